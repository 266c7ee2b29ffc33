#!/bin/sh
# Builds the program that is shipped, and prints where it is. Some fifteen minutes on two cores.
#
#   sh deploy/build.sh              for a machine: linked with the machine's glibc
#   sh deploy/build.sh --static     for the image: with glibc in it, so that nothing stands beside it
#
# With KEYWARD_PROFILE=FILE, what `sh deploy/pgo.sh` has learnt of how calls run decides what is laid out for speed.
#
# A machine's program asks for names what the machine's nsswitch.conf says, by libraries that only a shared glibc loads well. The
# image's nsswitch.conf has `files dns`, which glibc has in itself since 2.34.
set -eu
cd "$(dirname "$0")/.."

kind=${1:-}
set --
if [ -n "${KEYWARD_PROFILE:-}" ]; then
    profile=$(realpath "$KEYWARD_PROFILE")
    export RUSTFLAGS="-C profile-use=$profile ${RUSTFLAGS:-}"
    # Whoever takes the time to learn wants speed: nothing of the key database is made small.
    for package in libsqlite3-sys sqlx-core sqlx-postgres sqlx-sqlite; do
        set -- "$@" --config "profile.dist.package.$package.opt-level=3"
    done
else
    # Without the forms of AES-GCM and RSA for AVX-512, 0.7 MiB of the program: up to 2.5 µs more for 16 KiB of TLS where a
    # processor has it.
    export AWS_LC_SYS_CFLAGS="-DMY_ASSEMBLER_IS_TOO_OLD_FOR_512AVX=1 ${AWS_LC_SYS_CFLAGS:-}"
fi

built=${CARGO_TARGET_DIR:-target}/dist/keyward
case $kind in
    '') cargo build --locked --profile dist --bin keyward "$@" ;;
    --static)
        # Relative relocations packed (DT_RELR), 0.6 MiB less: read by glibc's own start, which is in the program (2.36 or later
        # where it is built), so that no loader is asked whether it knows them.
        cargo rustc --locked --profile dist --bin keyward "$@" -- \
            -C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs
        # Whichever is linked next takes that name.
        mv "$built" "$built-static"
        built=$built-static
        ;;
    *)
        echo "unknown: $kind" >&2
        exit 2
        ;;
esac
echo "$built"
