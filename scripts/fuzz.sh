#!/usr/bin/env bash
# The property tests of formats and parsers with far more cases than `make test` gives them, then each fuzz target for
# some seconds. What a target finds lies in fuzz/artifacts/, and `cargo +nightly fuzz run TARGET FILE` shows it again.
set -euo pipefail
cd "$(dirname "$0")/.."

cases=${CASES:-20000}
seconds=${SECONDS_EACH:-60}

PROPTEST_CASES=$cases cargo test --locked --package coffer-crypto --package coffer-core
PROPTEST_CASES=$cases cargo test --locked --package coffer-server --test it fuzz::
PROPTEST_CASES=$cases cargo test --locked --package coffer-scan
PROPTEST_CASES=$cases cargo test --locked --package coffer --bin coffer -- dotenv:: redact::

if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    echo "error: the fuzz targets need a nightly compiler and cargo-fuzz" >&2
    echo "hint: rustup toolchain install nightly && cargo install cargo-fuzz --locked" >&2
    exit 1
fi
for target in configuration dotenv envelope lenient policy redact reference scan_diff scan_rules scanner; do
    echo "fuzzing $target for $seconds s"
    cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -max_len=4096 -timeout=10
done
