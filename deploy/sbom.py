"""sbom.py TARGET [FILE…]: a CycloneDX 1.5 list, on standard output, of what a keyward for TARGET is made of.

From `cargo metadata`: the crates that are linked or that generate code, with their licences and the digests of Cargo.lock; no
crate that only tests use. FILEs are libraries that are shipped beside it, named with their digest and Debian's package.
"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tomllib
import urllib.parse
import uuid
from datetime import datetime, timezone

CRATES = "registry+https://github.com/rust-lang/crates.io-index"


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def reached(nodes, root):
    """The ids of the crates that `root` needs to be built and to run, and who needs whom."""
    found, needs, rest = set(), {}, [root]
    while rest:
        identity = rest.pop()
        if identity in found:
            continue
        found.add(identity)
        wanted = [
            need["pkg"] for need in nodes[identity]["deps"] if any(kind["kind"] != "dev" for kind in need["dep_kinds"])
        ]
        needs[identity] = sorted(set(wanted))
        rest.extend(wanted)
    return found, needs


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def crate(package, digests):
    component = {
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "purl": purl(package),
    }
    if package["license"]:
        # The old way to write `OR`.
        component["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    digest = digests.get((package["name"], package["version"]))
    if digest:
        component["hashes"] = [{"alg": "SHA-256", "content": digest}]
    return component


def library(path):
    path = pathlib.Path(path)
    component = {"type": "library", "bom-ref": f"file:{path.name}", "name": path.name}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    component["hashes"] = [{"alg": "SHA-256", "content": digest}]
    # Where /lib is a link to /usr/lib, Debian's list may have either.
    for place in (str(path), str(path.resolve()), str(path.resolve()).removeprefix("/usr")):
        try:
            package = run("dpkg-query", "--search", place).split(":")[0]
            version = run("dpkg-query", "--show", "--showformat=${Version}\n", package).split()[0]
        except (FileNotFoundError, subprocess.CalledProcessError):
            continue
        component["version"] = version
        component["purl"] = f"pkg:deb/debian/{package}@{urllib.parse.quote(version, safe='')}"
        break
    return component


def main(target, libraries):
    metadata = json.loads(run("cargo", "metadata", "--locked", "--format-version=1", f"--filter-platform={target}"))
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    with open("Cargo.lock", "rb") as lock:
        locked = tomllib.load(lock)["package"]
    strangers = [package["name"] for package in locked if package.get("source", CRATES) != CRATES]
    if strangers:
        sys.exit(f"not from crates.io: {strangers}")
    digests = {(package["name"], package["version"]): package.get("checksum") for package in locked}
    found, needs = reached(nodes, root)
    ours = crate(packages[root], {})
    ours["type"] = "application"
    others = [crate(packages[identity], digests) for identity in found if identity != root]
    shipped = [library(path) for path in libraries]
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    components = sorted(others + shipped, key=lambda component: component["bom-ref"])
    dependencies = [
        {"ref": purl(packages[identity]), "dependsOn": sorted({purl(packages[need]) for need in needs[identity]})}
        for identity in sorted(found)
    ]
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        # The same content, the same number.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([ours, components]))}",
        "version": 1,
        "metadata": {"component": ours},
        "components": components,
        "dependencies": dependencies,
    }
    if epoch:
        bom["metadata"]["timestamp"] = datetime.fromtimestamp(int(epoch), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    json.dump(bom, sys.stdout, indent=1)
    print()


main(sys.argv[1], sys.argv[2:])
