#!/usr/bin/env bash
# `kill -9` under a write load, 200 rounds on SQLite and on PostgreSQL instead of the 20 of `make test`; then 100,000
# random requests under random policies beside the original instead of 2,000; then a newcomer's first hour, which takes a
# release build. A failure names its seed: COFFER_SEED=N scripts/stress.sh repeats the same load.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install-test-deps.sh
COFFER_STRESS=1 cargo test --locked --package coffer --test proof kill:: -- --nocapture
COFFER_STRESS=1 cargo test --locked --package coffer --test differential policies:: -- --nocapture
# A million logins: what they leave behind in store and memory, once their tokens have expired.
COFFER_STRESS=1 cargo test --locked --package coffer-core --lib logins -- --nocapture
# `make run` and README.md's blocks, on the real port and in the real data directory, as root and as somebody else.
python3 scripts/newcomer.py
