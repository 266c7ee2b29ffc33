#!/bin/sh
# Makes a release below target/release-VERSION: the program, a Debian package, the image, the list of what they are made of
# (CycloneDX), and their digests.
#
#   sh deploy/release.sh                     tests everything first, and builds (most of an hour on two cores)
#   sh deploy/release.sh --untested          builds
#   sh deploy/release.sh --trial PROGRAM     of a program that is there: shows that the rest works
#
# Nothing is uploaded or signed here.
set -eu
cd "$(dirname "$0")/.."

fail() {
    echo "no release: $*" >&2
    exit 1
}

kind=${1:-tested}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
KEYWARD_REVISION=${KEYWARD_REVISION:-$(git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)}
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
export KEYWARD_REVISION SOURCE_DATE_EPOCH
host=$(rustc -vV | sed -n 's/^host: //p')
for tool in dpkg-deb python3 strip gzip sha256sum; do
    command -v "$tool" >/dev/null || fail "$tool is missing"
done

grep -q "^## $version" deploy/changelog.md || fail "deploy/changelog.md says nothing of $version"
case $kind in
    --trial) program=$2 ;;
    tested | --untested)
        case $KEYWARD_REVISION in *-dirty) fail "the work tree has changes" ;; esac
        grep -q "^## $version, not released yet" deploy/changelog.md &&
            fail "deploy/changelog.md says that $version is not released yet"
        [ "$kind" = --untested ] || sh tests/all.sh
        ;;
    *) fail "unknown: $kind" ;;
esac

out=target/release-$version
rm -rf "$out"
mkdir -p "$out"

# The image, with a limit of its size unless this is a trial.
if [ "$kind" = --trial ]; then
    sh deploy/image.sh --program "$program"
else
    # What a profile lays out for speed is 2 MiB larger, for which the image has no room.
    profile=${KEYWARD_PROFILE:-$(sh deploy/pgo.sh)}
    KEYWARD_PROFILE='' sh deploy/image.sh
    program=$(KEYWARD_PROFILE=$profile sh deploy/build.sh)
fi
tar --create --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
    --file="$out/keyward-$version-image.tar" --directory=target/image/oci .

# The program alone.
name=keyward-$version-$host
mkdir -p "$out/$name"
cp "$program" README.md "$out/$name/"
strip --strip-all "$out/$name/keyward"
cp -R config "$out/$name/"
cp deploy/systemd/keyward.service deploy/runbook.md deploy/changelog.md "$out/$name/"
tar --create --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
    --directory="$out" "$name" | gzip -n -9 >"$out/$name.tar.gz"

sh deploy/debian.sh "$out/$name/keyward" "$version" "$out"
rm -r "${out:?}/$name"

# What is in the image besides crates: the archives that its program was linked with, or the libraries beside it.
if ldd target/image/rootfs/usr/bin/keyward 2>&1 | grep -q 'static'; then
    for archive in libc.a libm.a libgcc.a libgcc_eh.a; do cc -print-file-name="$archive"; done
else
    find target/image/rootfs \( -name 'lib*.so*' -o -name 'ld-linux*' \) -type f |
        sed 's/^target\/image\/rootfs//' | LC_ALL=C sort
fi | xargs python3 deploy/sbom.py "$host" >"$out/keyward-$version.cdx.json"

(
    cd "$out"
    find . -type f ! -name SHA256SUMS | sed 's/^\.\///' | LC_ALL=C sort | xargs sha256sum >../sums
    mv ../sums SHA256SUMS
)
said=$("$program" --version)
echo "$out: $said"
cat "$out/SHA256SUMS"
