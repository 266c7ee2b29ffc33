#!/bin/sh
# Attacks the admin listener with schemathesis: every check, every operation of the served OpenAPI document.
#
#   sh tests/schemathesis.sh [options of `schemathesis run`]
#
# With KEYWARD_URL and KEYWARD_API_KEY set it attacks that listener — it makes keys and teams and deletes keys, so give
# it a database of its own — and otherwise `keyward serve` on loopback with a new one. schemathesis comes from PyPI into
# a temporary directory that is gone afterwards.
#
# SCHEMATHESIS_EXAMPLES   test cases for each operation and phase (100)
# SCHEMATHESIS_SEED       the random seed (1: the same attack every time)
set -eu
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
if ! "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'; then
    echo "missing: Python 3.11 or later with venv (Debian: python3-venv); PYTHON names another one." >&2
    exit 1
fi

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

echo "installing schemathesis from PyPI into $directory" >&2
"$python" -m venv "$directory/venv"
"$directory/venv/bin/pip" install --quiet --disable-pip-version-check 'schemathesis>=4.32,<5'

if [ -z "${KEYWARD_URL:-}" ]; then
    # As the tests build it, so that nothing is built twice.
    cargo test --locked --no-run --test it
fi
program=${CARGO_TARGET_DIR:-target}/debug/keyward
PYTHONDONTWRITEBYTECODE=1 "$directory/venv/bin/python" tests/clients/attack.py "$program" "$directory" \
    --checks all \
    --max-examples "${SCHEMATHESIS_EXAMPLES:-100}" \
    --seed "${SCHEMATHESIS_SEED:-1}" \
    --generation-database none \
    --suppress-health-check all \
    --request-timeout 10 \
    --no-color \
    "$@"
