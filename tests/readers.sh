#!/bin/sh
# Checks that Python's json and Node's JSON.parse read in the bodies of tests/it/readers/bodies.txt what stands there, and
# searches for bodies in which either reads another model than keyward judged.
#
#   KEYWARD_TEST_CASES=1000000 sh tests/readers.sh    searches longer (20000)
set -eu
cd "$(dirname "$0")/.."

for program in python3 node; do
    command -v "$program" >/dev/null || {
        echo "missing: $program (Debian: python3, nodejs)" >&2
        exit 1
    }
done
exec cargo test --locked --test it readers::programs -- --ignored --nocapture
