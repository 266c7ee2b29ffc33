#!/bin/sh
# The image: made by deploy/image.sh, read by skopeo, run by runc; and the same from deploy/Dockerfile by buildah.
#
# It holds the program of the tests, which is built for speed of building and linked with glibc's libraries, so its size says
# nothing. The program that is shipped is static and small: `sh deploy/image.sh` builds it, and fails when the image's files are
# more than 20 MiB, as deploy/release.sh does; KEYWARD_TEST_PROGRAM=target/dist/keyward-static has it tried here, and held to that.
# The Dockerfile's first stage is not run in its container, whose base would have to be fetched: it does what deploy/image.sh does,
# deploy/build.sh and deploy/rootfs.sh. Where no container may be made (no root, no namespaces) say KEYWARD_TEST_IMAGE=skip.
set -eu
cd "$(dirname "$0")/.."

if [ "${KEYWARD_TEST_IMAGE:-}" = skip ]; then
    echo "the image is not tried: KEYWARD_TEST_IMAGE=skip"
    exit 0
fi
for tool in skopeo umoci runc buildah python3 strip; do
    command -v "$tool" >/dev/null || {
        echo "missing: $tool (Debian: skopeo umoci runc buildah python3 binutils), or say KEYWARD_TEST_IMAGE=skip" >&2
        exit 1
    }
done

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

program=${KEYWARD_TEST_PROGRAM:-}
limit=$((20 * 1024 * 1024))
if [ -z "$program" ]; then
    # As the tests build it, so that nothing is built twice.
    cargo test --locked --no-run --test it
    program=${CARGO_TARGET_DIR:-target}/debug/keyward
    limit=
fi
export SOURCE_DATE_EPOCH=1700000000 KEYWARD_REVISION=of-the-test
first=$(sh deploy/image.sh --program "$program")
second=$(sh deploy/image.sh --program "$program")
[ "$first" = "$second" ] || {
    echo "FAILED: the same program made two images: $first, $second" >&2
    exit 1
}
size=$(find target/image/rootfs -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }')
if [ -n "$limit" ] && [ "$size" -gt "$limit" ]; then
    echo "FAILED: the image holds $size bytes, more than $limit" >&2
    exit 1
fi

mkdir "$directory/context"
cp -a target/image/rootfs target/image/rootfs.state "$directory/context/"
buildah --root "$directory/storage" --runroot "$directory/run" --storage-driver vfs bud --quiet --isolation chroot \
    --build-context "build=$directory/context" --build-arg REVISION=of-the-test \
    --file deploy/Dockerfile --tag keyward:test "$directory/context" >/dev/null
buildah --root "$directory/storage" --runroot "$directory/run" --storage-driver vfs push --quiet \
    keyward:test "oci:$directory/dockerfile:keyward"

for layout in target/image/oci "$directory/dockerfile"; do
    name=$(basename "$layout")
    skopeo inspect --config "oci:$layout:keyward" >"$directory/$name.json"
    umoci unpack --image "$layout:keyward" "$directory/$name-bundle"
done
PYTHONDONTWRITEBYTECODE=1 python3 tests/image/check.py "$directory"
