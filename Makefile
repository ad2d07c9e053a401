# What a person types. Everything that takes more than a line is in scripts/.

.PHONY: run check test fuzz

# Builds the release and starts it on its embedded default; it says itself what to type next. Flags: make run ARGS=...
run:
	cargo run --release --locked --package coffer -- server $(ARGS)

# Format, lints, docs, layers, dependencies, secrets.
check:
	scripts/check.sh

# Installs what is missing, then runs every test.
test:
	scripts/install-test-deps.sh
	cargo test --locked --workspace --no-fail-fast

# The property tests of formats and parsers, with far more cases than `make test` gives them.
CASES ?= 20000
fuzz:
	PROPTEST_CASES=$(CASES) cargo test --locked --package coffer-crypto --package coffer-core
