#!/bin/sh
# What a release is made of, tried with the program of the tests: the package installs and holds what it says, the digests
# fit, the list of crates is CycloneDX by its own schema. That the long build succeeds is not shown here.
set -eu
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
if ! "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'; then
    echo "missing: Python 3.11 or later with venv (Debian: python3-venv); PYTHON names another one." >&2
    exit 1
fi
for tool in dpkg-deb dpkg strip; do
    command -v "$tool" >/dev/null || { echo "missing: $tool (Debian: dpkg binutils)" >&2 && exit 1; }
done

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

echo "installing cyclonedx-python-lib from PyPI into $directory" >&2
"$python" -m venv "$directory/venv"
"$directory/venv/bin/pip" install --quiet --disable-pip-version-check 'cyclonedx-python-lib[json-validation]>=8'

# As the tests build it, so that nothing is built twice.
cargo test --locked --no-run --test it
program=${CARGO_TARGET_DIR:-target}/debug/keyward
SOURCE_DATE_EPOCH=1700000000 sh deploy/release.sh --trial "$program" >"$directory/said"
PYTHONDONTWRITEBYTECODE=1 "$directory/venv/bin/python" tests/release/check.py "$directory"
