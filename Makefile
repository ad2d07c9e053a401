# What a person types. Everything that takes more than a line is in scripts/.

.PHONY: run check test stress bench fuzz gen

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

# Kills the server under load two hundred times on each store, compares 100,000 random requests with the original, and
# follows README.md on a machine of its own, as root and as somebody else.
stress:
	scripts/stress.sh

# Speed and size, beside a bare server, OpenBao and SQLite alone; rewrites docs/BENCHMARKS.md. Takes about 40 minutes;
# with ARGS=--quick a few, and rewrites nothing.
bench:
	scripts/install-test-deps.sh
	python3 scripts/bench $(ARGS)

# The property tests of formats and parsers with CASES cases each, then each fuzz target for SECONDS_EACH seconds; needs
# a nightly compiler and cargo-fuzz, and says so.
fuzz:
	scripts/fuzz.sh

# Rewrites what is generated from the code and checked in: openapi.json. What changed shows in `git diff`.
gen:
	COFFER_GENERATE=1 cargo test --locked --package coffer-server --test it openapi_document_in_the_repository_is_current
