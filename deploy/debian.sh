#!/bin/sh
# debian.sh PROGRAM VERSION FOLDER: a Debian package in FOLDER: the program, its unit (not started: it needs secrets first),
# settings, manual pages, completions and papers.
set -eu
program=$1 version=$2 out=$3
architecture=$(dpkg --print-architecture)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
root=$tree/keyward
mkdir -p "$root/DEBIAN" "$root/usr/bin" "$root/lib/systemd/system" "$root/etc/keyward" "$root/usr/share/doc/keyward" \
    "$root/usr/share/man/man1" "$root/usr/share/bash-completion/completions" "$root/usr/share/zsh/vendor-completions" \
    "$root/usr/share/fish/vendor_completions.d"

cp "$program" "$root/usr/bin/keyward"
cp deploy/systemd/keyward.service "$root/lib/systemd/system/"
cp config/keyward.minimal.toml "$root/etc/keyward/keyward.toml"
cp README.md deploy/runbook.md config/keyward.toml config/keyward.postgres.toml deploy/postgres/roles.sql \
    "$root/usr/share/doc/keyward/"
gzip -n -9 <deploy/changelog.md >"$root/usr/share/doc/keyward/changelog.gz"
cat >"$root/usr/share/doc/keyward/copyright" <<'COPYRIGHT'
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: the authors of keyward
License: MIT or Apache-2.0
COPYRIGHT
"$program" man | gzip -n -9 >"$root/usr/share/man/man1/keyward.1.gz"
"$program" completions bash >"$root/usr/share/bash-completion/completions/keyward"
"$program" completions zsh >"$root/usr/share/zsh/vendor-completions/_keyward"
"$program" completions fish >"$root/usr/share/fish/vendor_completions.d/keyward.fish"

cat >"$root/DEBIAN/control" <<CONTROL
Package: keyward
Version: $version
Architecture: $architecture
Maintainer: the authors of keyward <keyward@localhost>
Section: net
Priority: optional
Depends: libc6 (>= 2.36), libgcc-s1
Installed-Size: $(du -sk "$root" | cut -f 1)
Description: key-verification sidecar proxy for model servers
 Stands in front of a model server, admits calls by their API keys, and keeps
 the key out of what goes on. Deleted keys are refused within milliseconds on
 every instance.
CONTROL
printf '/etc/keyward/keyward.toml\n' >"$root/DEBIAN/conffiles"
(cd "$root" && find . -type f ! -path './DEBIAN/*' | sed 's/^\.\///' | LC_ALL=C sort | xargs md5sum >DEBIAN/md5sums)
find "$root" -type d -exec chmod 755 {} +
find "$root" -type f -exec chmod 644 {} +
chmod 755 "$root/usr/bin/keyward"
dpkg-deb --build --root-owner-group "$root" "$out/keyward_${version}_$architecture.deb" >/dev/null
