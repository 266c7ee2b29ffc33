"""Judges what deploy/release.sh has made. The last line says how many checks passed."""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tomllib

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

directory = pathlib.Path(sys.argv[1])
version = tomllib.loads(pathlib.Path("Cargo.toml").read_text())["package"]["version"]
out = pathlib.Path(f"target/release-{version}")
passed = 0


def check(what, holds, seen=None):
    global passed
    if not holds:
        sys.exit(f"FAILED: {what}" + ("" if seen is None else f": {seen}"))
    passed += 1


def run(*words, **more):
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120, **more)


def check_digests():
    lines = (out / "SHA256SUMS").read_text().splitlines()
    told = dict(reversed(line.split("  ", 1)) for line in lines)
    there = {path.name for path in out.iterdir()} - {"SHA256SUMS"}
    check("every file has a digest", set(told) == there, (told, there))
    for name, digest in told.items():
        check(name, hashlib.sha256((out / name).read_bytes()).hexdigest() == digest)


def check_crates():
    text = (out / f"keyward-{version}.cdx.json").read_text()
    fault = JsonStrictValidator(SchemaVersion.V1_5).validate_str(text)
    check("the list is CycloneDX", fault is None, fault)
    bom = json.loads(text)
    spoilt = json.dumps({**bom, "components": [{"type": "library"}]})
    check("the schema finds mistakes", JsonStrictValidator(SchemaVersion.V1_5).validate_str(spoilt) is not None)
    names = {component["name"]: component for component in bom["components"]}
    for crate in ("tokio", "hyper", "rustls", "aws-lc-sys", "libsqlite3-sys", "libc.so.6"):
        check(f"{crate} is in it", crate in names)
    for crate in ("proptest", "rstest", "criterion", "snapbox"):
        check(f"{crate} is not, for only tests use it", crate not in names)
    crates = [component for component in bom["components"] if component.get("purl", "").startswith("pkg:cargo/")]
    check("every crate has a licence and a digest", all("licenses" in each and "hashes" in each for each in crates))
    references = {component["bom-ref"] for component in bom["components"]} | {bom["metadata"]["component"]["bom-ref"]}
    needs = [need for each in bom["dependencies"] for need in [each["ref"], *each["dependsOn"]]]
    check("who needs whom names what is there", set(needs) <= references, set(needs) - references)


def check_package():
    (package,) = out.glob("*.deb")
    root = directory / "root"
    (root / "var/lib/dpkg/info").mkdir(parents=True)
    (root / "var/lib/dpkg/updates").mkdir()
    (root / "var/lib/dpkg/status").write_text("")
    installed = run(
        "dpkg", f"--root={root}", "--force-not-root", "--force-depends", "--force-script-chrootless", "--install", package
    )
    check("it installs", installed.returncode == 0, installed.stdout + installed.stderr)
    for path in (
        "usr/bin/keyward",
        "lib/systemd/system/keyward.service",
        "etc/keyward/keyward.toml",
        "usr/share/man/man1/keyward.1.gz",
        "usr/share/bash-completion/completions/keyward",
        "usr/share/doc/keyward/copyright",
        "usr/share/doc/keyward/changelog.gz",
    ):
        check(path, (root / path).is_file())
    said = run(root / "usr/bin/keyward", "--version").stdout
    check("its program runs", said.startswith(f"keyward {version} (revision "), said)
    settings = run(root / "usr/bin/keyward", "config", "check", "--config", root / "etc/keyward/keyward.toml")
    check("its settings load", settings.returncode == 0, settings.stderr)
    verified = run("dpkg", f"--root={root}", "--verify", "keyward")
    check("its files are those of its list", (verified.returncode, verified.stdout) == (0, ""), verified.stdout)
    removed = run(
        "dpkg", f"--root={root}", "--force-not-root", "--force-script-chrootless", "--purge", "keyward"
    )
    check("it goes away", removed.returncode == 0 and not (root / "usr/bin/keyward").exists(), removed.stderr)


def check_archive():
    (archive,) = out.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        members = {pathlib.PurePosixPath(member.name).name: member for member in opened.getmembers()}
    check("the archive has the program", members["keyward"].mode & 0o111)
    check("and what to read", {"README.md", "keyward.toml", "keyward.service", "runbook.md"} <= members.keys())
    check("all of it is root's and of one time", all(m.uid == 0 and m.mtime == 1700000000 for m in members.values()))


def check_refusals():
    """A release that should not be is not made."""
    script = ["sh", "deploy/release.sh"]
    ran = run(*script, "--untested", env={**os.environ, "KEYWARD_REVISION": "abc-dirty"})
    check("not of changed files", ran.returncode == 1 and "has changes" in ran.stderr, ran.stderr)
    ran = run(*script, "--nonsense")
    check("not by guessing", ran.returncode == 1 and "unknown" in ran.stderr, ran.stderr)


check_digests()
check_crates()
check_package()
check_archive()
check_refusals()
print(f"release: {passed} passed, 0 failed")
