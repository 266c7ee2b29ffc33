#!/bin/sh
# rootfs.sh PROGRAM FOLDER: everything that the image holds. The program, and the libraries of glibc beside it unless it has them
# in itself (deploy/build.sh --static), and names for its user; in FOLDER.state, whose owner is another, its place to write. No
# shell, no package manager, no certificates (Mozilla's list is compiled in).
set -eu
program=$1 root=$2

mkdir -p "$root/usr/bin" "$root/etc/keyward" "$root/var/lib" "$root.state/var/lib/keyward"
cp "$program" "$root/usr/bin/keyward"
strip --strip-all "$root/usr/bin/keyward"

# The loader, and what it would load, where it looks for them.
ldd "$program" | sed -n 's/.* => \(\/[^ ]*\) .*/\1/p; s/^[[:space:]]*\(\/[^ ]*ld-linux[^ ]*\) .*/\1/p' |
    while read -r library; do
        mkdir -p "$root${library%/*}"
        cp -L "$library" "$root$library"
    done

printf 'keyward:x:65532:65532:keyward:/var/lib/keyward:/sbin/nologin\n' >"$root/etc/passwd"
printf 'keyward:x:65532:\n' >"$root/etc/group"
# Without it glibc asks the network before /etc/hosts; one linked statically has these two in itself, and no other.
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"

find "$root" -type d -exec chmod 755 {} +
find "$root" -type f -exec chmod 644 {} +
find "$root" \( -path '*/usr/bin/*' -o -name 'ld-linux*' \) -type f -exec chmod 755 {} +
chmod 700 "$root.state/var/lib/keyward"
