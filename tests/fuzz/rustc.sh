#!/bin/sh
# rustc for tests/fuzz.sh: what is ours tells libFuzzer which of its branches were taken, as cargo-fuzz has it done.
ours=
for word in "$@"; do
    case "${last:-} $word" in "--crate-name keyward" | "--crate-name doors") ours=yes ;; esac
    last=$word
done
[ -n "$ours" ] || exec "$@"
exec "$@" -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
