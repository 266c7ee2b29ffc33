#!/bin/sh
# Searches by coverage (libFuzzer) for bytes at which a law of tests/it/fuzz/laws does not hold, and keeps those inputs that
# reach code that no other of the corpus reaches: they are added to tests/it/fuzz/corpus, which every test run goes through.
#
#   sh tests/fuzz.sh                  ten minutes for each door: body, credential, form, head, host, path
#   sh tests/fuzz.sh 3600 path host   an hour for each of these
#
# Ends with 1 when a law did not hold; the input is in target/fuzz/broken. Needs a C++ compiler (Debian: g++).
set -eu
cd "$(dirname "$0")/.."

seconds=600
case "${1:-}" in [0-9]*) seconds=$1 && shift ;; esac
[ $# -gt 0 ] || set -- body credential form head host path

# Without the sanitizers, which only nightly compilers have: our code is safe Rust.
RUSTC_WRAPPER="$PWD/tests/fuzz/rustc.sh" CARGO_TARGET_DIR="$PWD/target/fuzz/build" \
    cargo build --release --locked --manifest-path tests/fuzz/Cargo.toml
program=target/fuzz/build/release/doors

rm -rf target/fuzz/seeds target/fuzz/found target/fuzz/met
cargo test --locked --quiet --test it fuzz::corpus::seeds_are_written_out -- --ignored >/dev/null
broken=
for door in "$@"; do
    mkdir -p "target/fuzz/met/$door" target/fuzz/found target/fuzz/broken
    echo "== $door, $seconds s" >&2
    export KEYWARD_FUZZ_DOOR="$door"
    "$program" -max_total_time="$seconds" -max_len=1000 -timeout=10 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 \
        -artifact_prefix="target/fuzz/broken/$door-" "target/fuzz/met/$door" "target/fuzz/seeds/$door" \
        >"target/fuzz/$door.log" 2>&1 || broken="$broken $door"
    grep -aE 'panicked|ERROR|number_of_executed|average_exec' "target/fuzz/$door.log" >&2 || true
    # What of it reaches further than the seeds do, which are looked at first.
    cp -r "target/fuzz/seeds/$door" "target/fuzz/found/$door"
    "$program" -merge=1 -max_len=1000 -use_counters=0 -verbosity=0 "target/fuzz/found/$door" "target/fuzz/met/$door" \
        >>"target/fuzz/$door.log" 2>&1
done
[ -z "$broken" ] || { echo "a law did not hold:$broken; see target/fuzz" >&2 && exit 1; }
exec cargo test --locked --quiet --test it fuzz::corpus::what_was_found_is_kept -- --ignored
