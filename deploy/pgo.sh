#!/bin/sh
# Learns how calls run, for `KEYWARD_PROFILE=… sh deploy/build.sh`, and prints where that is written. Some ten minutes on two cores.
#
# A program that counts its own steps does every job of `benches/compare` once: calls passed on and refused, large answers,
# streams, HTTP/2, TLS. What is counted holds for this version of the sources and of the compiler.
set -eu
cd "$(dirname "$0")/.."

target=$(realpath -m "${CARGO_TARGET_DIR:-target}/pgo")
host=$(rustc -vV | sed -n 's/^host: //p')
merge=$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata
[ -x "$merge" ] || rustup component add llvm-tools >&2

rm -rf "$target/counts"
# Linked as quickly as can be: where a step is counted does not depend on it.
RUSTFLAGS="-C profile-generate=$target/counts" \
    CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 CARGO_PROFILE_RELEASE_DEBUG=false \
    cargo build --locked --release --bin keyward --target "$host" --target-dir "$target" >&2
cargo bench --locked --profile dev --bench compare -- train "$target/$host/release/keyward" >&2
"$merge" merge -o "$target/keyward.profdata" "$target/counts"
echo "$target/keyward.profdata"
