//! The core as a whole, over real stores, without HTTP.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod backup;
mod bounds;
mod control;
mod decisions;
mod harness;
mod identity;
mod life;
#[path = "../../../storage/tests/postgres_server/mod.rs"]
mod postgres_server;
mod references;
mod restore;
mod scrub;
mod secrets;
mod shamir;
mod tamper;
mod together;
mod tokens;
mod verify;
