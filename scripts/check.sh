#!/usr/bin/env bash
# Everything that can be said about the tree without running the product: format, lints, docs, layers, dependencies,
# secrets. Stops at the first failure and prints what each stage took.
#
# ADVISORY_DB   a copy of https://github.com/RustSec/advisory-db; without it advisories are not checked.
set -euo pipefail
cd "$(dirname "$0")/.."

CARGO_DENY_VERSION=0.20.2

main() {
    stage "format" cargo fmt --all --check
    stage "clippy" cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
    stage "docs" env RUSTDOCFLAGS="-D warnings" cargo doc --quiet --locked --workspace --no-deps
    stage "layers" cargo test --quiet --locked --package coffer --test layers
    installed cargo-deny "$CARGO_DENY_VERSION" || stage "install cargo-deny (once)" install cargo-deny "$CARGO_DENY_VERSION"
    stage "bans, licences, sources" cargo deny --log-level error check bans licenses sources
    if [ -n "${ADVISORY_DB:-}" ]; then
        stage "advisories" advisories
    else
        echo "advisories not checked: ADVISORY_DB names no copy of the RustSec database"
    fi
    # Every file that is or could be committed, hidden ones too; .coffer-scan.toml says what may be found.
    stage "secrets" cargo run --quiet --locked --package coffer -- scan
}

# Runs the rest of its arguments and prints how long they took.
stage() {
    local name=$1 start=$SECONDS status=0
    shift
    echo "check: $name"
    # A function called here runs without `set -e`: it chains its commands.
    "$@" || status=$?
    if [ "$status" -ne 0 ]; then
        echo "check: $name FAILED after $((SECONDS - start)) s" >&2
        exit "$status"
    fi
    echo "check: $name ok, $((SECONDS - start)) s"
}

installed() {
    [ "$(cargo install --list | sed -n "s/^$1 v\([^ :]*\).*/\1/p")" = "$2" ]
}

# Built outside the workspace, so that its pinned toolchain and settings have no part in it.
install() {
    (cd / && cargo install --quiet --locked "$1@$2")
}

# cargo-deny reads a database offline only from a git clone of the name that it gives to the default address.
advisories() {
    local target name=advisory-db-3157b0e258782691
    target=${CARGO_TARGET_DIR:-$PWD/target}
    export COFFER_ADVISORIES="$target/advisories"
    local clone="$COFFER_ADVISORIES/$name"
    if [ ! -e "$clone/.git/FETCH_HEAD" ] || [ "$ADVISORY_DB" -nt "$clone/.git/FETCH_HEAD" ]; then
        rm -rf "$clone" &&
            mkdir -p "$clone" &&
            cp -R "$ADVISORY_DB/." "$clone/" &&
            rm -rf "$clone/.git" &&
            git -C "$clone" init --quiet &&
            git -C "$clone" add --all &&
            git -C "$clone" -c user.name=check -c user.email=check@localhost commit --quiet --message snapshot &&
            touch "$clone/.git/FETCH_HEAD" || return
    fi
    cargo deny --offline --log-level error check advisories
}

main
