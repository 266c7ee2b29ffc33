#!/bin/sh
# The admin page in a real Chromium, against the real program: every feature by keyboard, in light and dark, narrow and wide,
# with axe-core's rules of accessibility. Screenshots stay in target/page/.
# Playwright and axe-core come from PyPI into a temporary directory that is gone afterwards; the browser is Debian's
# (chromium; KEYWARD_TEST_CHROMIUM names another program). The last line says how many checks passed.
set -eu
cd "$(dirname "$0")/.."

if [ "${KEYWARD_TEST_BROWSER:-}" = skip ]; then
    echo "KEYWARD_TEST_BROWSER=skip: the admin page is not tried in a browser" >&2
    exit 0
fi
python=${PYTHON:-python3}
if ! "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'; then
    echo "missing: Python 3.11 or later with venv (Debian: python3-venv); PYTHON names another one." >&2
    exit 1
fi
browser=$(command -v "${KEYWARD_TEST_CHROMIUM:-chromium}") || {
    echo "missing: chromium (Debian: chromium, and fonts-dejavu-core for letters)" >&2
    exit 1
}

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

echo "installing playwright and axe-core from PyPI into $directory" >&2
"$python" -m venv "$directory/venv"
"$directory/venv/bin/pip" install --quiet --disable-pip-version-check 'playwright>=1.50' 'axe-playwright-python>=0.1.4'

# As the tests build it, so that nothing is built twice.
cargo test --locked --no-run --test it
target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target/page"
PYTHONDONTWRITEBYTECODE=1 "$directory/venv/bin/python" tests/page/run.py "$target/debug/keyward" "$directory" "$browser" \
    "$target/page"
