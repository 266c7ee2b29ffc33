#!/bin/sh
# The whole product in a minute, on loopback, with nothing kept: builds keyward and runs `keyward demo`.
# Where there is no C compiler it installs gcc and libc6-dev (as root or with sudo), and says so.
set -eu
cd "$(dirname "$0")/.."
. deploy/need.sh

need_rust
want "gcc libc6-dev" compiles_c
install_missing
# KEYWARD_DEMO_PROFILE=dev takes a build that the tests have made already.
exec cargo run --locked --profile "${KEYWARD_DEMO_PROFILE:-release}" -- demo "$@"
