#!/bin/sh
# Makes the image of deploy/Dockerfile as an OCI layout, with tar and gzip alone: no daemon, no root, nothing fetched.
#
#   sh deploy/image.sh                      builds the program first (some fifteen minutes); fails above 20 MiB
#   sh deploy/image.sh --program PATH       of a program that is there; says how large it is
#   skopeo copy oci:target/image/oci:keyward docker://…      to where it shall be
#
# The same source, compiler and libraries make the same bytes.
set -eu
cd "$(dirname "$0")/.."

limit=$((20 * 1024 * 1024))
program=
if [ "${1:-}" = --program ]; then
    program=$2
    limit=
fi
revision=${KEYWARD_REVISION:-$(git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}
if [ -z "$program" ]; then
    export KEYWARD_REVISION="$revision"
    program=$(sh deploy/build.sh --static)
fi

out=target/image
rm -rf "$out"
mkdir -p "$out/oci/blobs/sha256"
sh deploy/rootfs.sh "$program" "$out/rootfs"
size=$(find "$out/rootfs" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }')

# Whoever makes it, root owns it; but for what keyward may write.
pack() { tar --sort=name --mtime="@$epoch" --numeric-owner --format=ustar "$@"; }
(
    cd "$out/rootfs"
    find . -mindepth 1 -print0 | LC_ALL=C sort -z |
        pack --create --owner=0 --group=0 --no-recursion --null --files-from=- --file=../layer.tar
    cd ../rootfs.state
    pack --append --owner=65532 --group=65532 --file=../layer.tar ./var/lib/keyward
)

# blob FILE: moves it to where its digest says, and prints that.
blob() {
    digest=$(sha256sum "$1" | cut -d ' ' -f 1)
    mv "$1" "$out/oci/blobs/sha256/$digest"
    echo "$digest"
}
case $(uname -m) in
    x86_64) architecture=amd64 ;;
    aarch64) architecture=arm64 ;;
    *) architecture=$(uname -m) ;;
esac
created=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)
whole=$(sha256sum "$out/layer.tar" | cut -d ' ' -f 1)
gzip -n -9 "$out/layer.tar"
layer_size=$(stat -c %s "$out/layer.tar.gz")
layer=$(blob "$out/layer.tar.gz")

cat >"$out/config" <<CONFIG
{"created":"$created","architecture":"$architecture","os":"linux","config":{"User":"65532:65532","ExposedPorts":{"8080/tcp":{},"9090/tcp":{},"9091/tcp":{}},"Entrypoint":["/usr/bin/keyward"],"Cmd":["serve"],"WorkingDir":"/var/lib/keyward","StopSignal":"SIGTERM","Labels":{"org.opencontainers.image.title":"keyward","org.opencontainers.image.description":"A key-verification sidecar proxy for model servers","org.opencontainers.image.licenses":"MIT OR Apache-2.0","org.opencontainers.image.version":"$version","org.opencontainers.image.revision":"$revision"}},"rootfs":{"type":"layers","diff_ids":["sha256:$whole"]},"history":[{"created":"$created","created_by":"deploy/image.sh"}]}
CONFIG
config_size=$(stat -c %s "$out/config")
config=$(blob "$out/config")

cat >"$out/manifest" <<MANIFEST
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:$config","size":$config_size},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:$layer","size":$layer_size}]}
MANIFEST
manifest_size=$(stat -c %s "$out/manifest")
manifest=$(blob "$out/manifest")

printf '{"imageLayoutVersion":"1.0.0"}\n' >"$out/oci/oci-layout"
cat >"$out/oci/index.json" <<INDEX
{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:$manifest","size":$manifest_size,"platform":{"architecture":"$architecture","os":"linux"},"annotations":{"org.opencontainers.image.ref.name":"keyward"}}]}
INDEX

echo "$out/oci: sha256:$manifest, $size bytes of files, $layer_size compressed"
if [ -n "$limit" ] && [ "$size" -gt "$limit" ]; then
    echo "larger than $limit bytes" >&2
    exit 1
fi
