# shellcheck shell=sh
# Sourced by deploy/demo.sh and tests/all.sh: finds what this machine lacks, and installs it or says how.

missing=

# want PACKAGES CHECK...: unless CHECK succeeds, these packages of Debian are missing.
want() {
    packages=$1
    shift
    "$@" >/dev/null 2>&1 </dev/null || missing="$missing $packages"
}

# The crates hold C (SQLite, the TLS provider): a compiler, and the C library's headers.
compiles_c() {
    printf '#include <stdlib.h>\n' | "${CC:-cc}" -x c -fsyntax-only -
}

need_rust() {
    command -v cargo >/dev/null 2>&1 && return
    echo "missing: Rust (cargo). Install it from https://rustup.rs and run this again." >&2
    exit 1
}

# Installs what is missing, as root or with sudo; else names the line to type, and fails.
install_missing() {
    [ -n "$missing" ] || return 0
    line="apt-get update && apt-get install -y --no-install-recommends$missing"
    case " $missing " in
    *" postgresql "*)
        # Debian's package would make a database and start a server; the tests start their own.
        conf=/etc/postgresql-common/createcluster.conf
        line="apt-get update && apt-get install -y --no-install-recommends postgresql-common && \
sed -i 's/^#* *create_main_cluster.*/create_main_cluster = false/' $conf && ${line#* && }"
        ;;
    esac
    if ! command -v apt-get >/dev/null 2>&1; then
        echo "missing, by Debian's names:$missing. Install them and run this again." >&2
        exit 1
    fi
    if [ "$(id -u)" -eq 0 ]; then
        echo "installing$missing (apt-get)" >&2
        sh -c "$line" >/dev/null </dev/null || cannot_install
    elif command -v sudo >/dev/null 2>&1; then
        echo "installing$missing (sudo apt-get)" >&2
        sudo sh -c "$line" >/dev/null || cannot_install
    else
        cannot_install
    fi
    missing=
}

cannot_install() {
    printf 'missing:%s. As root, type\n  %s\nand run this again.\n' "$missing" "$line" >&2
    exit 1
}
