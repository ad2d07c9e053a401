//! The core as a whole, over real stores, without HTTP.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod control;
mod decisions;
mod harness;
mod life;
mod scrub;
mod secrets;
mod tamper;
mod tokens;
mod verify;
