#!/bin/sh
# Real clients against the real program: Baseten's own (the API's, truss, both performance clients), OpenAI's and Anthropic's
# for Python and Node, the AI SDK's for Baseten, those of HTTP/2, WebSocket and gRPC, curl, nghttp and h2load.
# What is run lives in a temporary directory that is gone afterwards; the clients are kept below target/ for a week. The last
# line says how many checks passed. A client that cannot be installed is named, and nothing is checked without it.
set -eu
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
if ! "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'; then
    echo "missing: Python 3.11 or later with venv (Debian: python3-venv); PYTHON names another one." >&2
    exit 1
fi
for tool in curl openssl nghttp h2load node npm; do
    command -v "$tool" >/dev/null || { echo "missing: $tool (Debian: nghttp2-client, nodejs, npm)" >&2 && exit 1; }
done

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

for_python='baseten>=0.12 openai anthropic truss baseten-performance-client httpx[http2] websockets>=14 grpcio botocore'
for_node='openai @anthropic-ai/sdk ai@6 @ai-sdk/baseten@1 @basetenlabs/performance-client'
mkdir -p "${CARGO_TARGET_DIR:-target}/clients"
clients=$(cd "${CARGO_TARGET_DIR:-target}/clients" && pwd)
wanted="$for_python $for_node $("$python" --version) node $(node --version)"

# install_python PACKAGES...: with pip. Says which package it is, when one of them cannot be had.
install_python() {
    "$python" -m venv "$clients/venv" && "$clients/venv/bin/pip" install --quiet --disable-pip-version-check "$@" && return
    for package in "$@"; do
        "$clients/venv/bin/pip" install --quiet --disable-pip-version-check "$package" >/dev/null 2>&1 ||
            echo "cannot be installed from PyPI: $package" >&2
    done
    return 1
}

# The same with npm.
install_node() {
    mkdir -p "$clients/node" && npm --prefix "$clients/node" install --silent --no-audit --no-fund "$@" && return
    for package in "$@"; do
        npm --prefix "$clients/node" install --silent --no-audit --no-fund "$package" >/dev/null 2>&1 ||
            echo "cannot be installed from npm: $package" >&2
    done
    return 1
}

if [ "$(cat "$clients/wanted" 2>/dev/null)" != "$wanted" ] || [ -n "$(find "$clients/wanted" -mtime +6)" ]; then
    echo "installing from PyPI: $for_python; from npm: $for_node; into $clients" >&2
    rm -rf "${clients:?}"/*
    # shellcheck disable=SC2086
    install_node $for_node &
    node=$!
    # shellcheck disable=SC2086
    install_python $for_python && python_there=yes
    wait "$node" && [ "${python_there:-}" = yes ] || exit 1
    echo "$wanted" >"$clients/wanted"
fi
"$clients/venv/bin/pip" --disable-pip-version-check freeze |
    grep -iE '^(baseten|baseten_performance_client|truss|openai|anthropic)==' >&2
npm --prefix "$clients/node" ls --depth 0 2>/dev/null | grep @ >&2

# As the tests build it, so that nothing is built twice.
cargo test --locked --no-run --test it
program=${CARGO_TARGET_DIR:-target}/debug/keyward
PYTHONDONTWRITEBYTECODE=1 "$clients/venv/bin/python" tests/clients/run.py "$program" "$directory" "$clients/node"
