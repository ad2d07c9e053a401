#!/usr/bin/env bash
# Installs what the tests need and is missing: Debian packages (as root), a Python venv in .venv, and the npm package
# that a test runs.
# Run it as often as you like: when nothing is missing it takes well under a second.
set -euo pipefail
cd "$(dirname "$0")/.."

# package:what must then be there
packages=(
    age:age
    bsdutils:script
    build-essential:gcc
    curl:curl
    faketime:/usr/lib/*/faketime/libfaketimeMT.so.1
    git:git
    gnupg:gpg
    jq:jq
    lld:ld.lld
    nodejs:node
    npm:npm
    openssl:openssl
    postgresql:/usr/lib/postgresql/*/bin/postgres
    python3-venv:/usr/lib/python3*/ensurepip/__init__.py
    strace:strace
    wrk:wrk
)

is_there() {
    case $1 in
        /*) compgen -G "$1" >/dev/null ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

missing=()
for entry in "${packages[@]}"; do
    is_there "${entry#*:}" || missing+=("${entry%%:*}")
done

if [ ${#missing[@]} -gt 0 ]; then
    echo "installing: ${missing[*]}"
    if ! command -v apt-get >/dev/null; then
        echo "error: no apt-get here; install what provides: ${missing[*]}" >&2
        exit 1
    fi
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { echo "error: run as root: apt-get install ${missing[*]}" >&2; exit 1; }
        as_root=(sudo)
    fi
    export DEBIAN_FRONTEND=noninteractive
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" apt-get install -qq -y --no-install-recommends "${missing[@]}"
fi

# The stamp is written last, so that an interrupted run is done again.
requirements=scripts/test-requirements.txt
stamp=.venv/installed-requirements
if ! cmp -s "$requirements" "$stamp" || ! .venv/bin/python -c '' 2>/dev/null; then
    echo "installing: .venv with $(grep -v '^#' "$requirements" | tr '\n' ' ')"
    rm -rf .venv
    python3 -m venv .venv
    .venv/bin/pip install --quiet --disable-pip-version-check --requirement "$requirements"
    cp "$requirements" "$stamp"
fi

# As above: the lock file's copy lies there only once everything else does.
node=crates/coffer/tests/clients/node-vault
stamp=$node/node_modules/installed-lock
if ! cmp -s "$node/package-lock.json" "$stamp"; then
    echo "installing: node-vault"
    npm ci --prefix "$node" --silent --no-audit --no-fund
    cp "$node/package-lock.json" "$stamp"
fi
