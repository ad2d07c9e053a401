//! The core as a whole, over real stores, without HTTP.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod control;
mod harness;
mod life;
mod secrets;
mod tokens;
mod verify;
