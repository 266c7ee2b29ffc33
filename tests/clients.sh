#!/bin/sh
# Real clients against the real program: Baseten's, OpenAI's and Anthropic's own packages, those of HTTP/2, WebSocket and
# gRPC, curl, nghttp and h2load.
# Everything lives in a temporary directory that is gone afterwards. The last line says how many checks passed.
set -eu
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
if ! "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'; then
    echo "missing: Python 3.11 or later with venv (Debian: python3-venv); PYTHON names another one." >&2
    exit 1
fi
for tool in curl openssl nghttp h2load; do
    command -v "$tool" >/dev/null || { echo "missing: $tool (Debian: nghttp2-client has the last two)" >&2 && exit 1; }
done

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

echo "installing baseten, openai, anthropic, httpx, websockets, grpcio and botocore from PyPI into $directory" >&2
"$python" -m venv "$directory/venv"
"$directory/venv/bin/pip" install --quiet --disable-pip-version-check 'baseten>=0.12' openai anthropic \
    'httpx[http2]' 'websockets>=14' grpcio botocore

# As the tests build it, so that nothing is built twice.
cargo test --locked --no-run --test it
program=${CARGO_TARGET_DIR:-target}/debug/keyward
PYTHONDONTWRITEBYTECODE=1 "$directory/venv/bin/python" tests/clients/run.py "$program" "$directory"
