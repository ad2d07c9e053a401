//! The crate as its users see it.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod age;
mod file;
mod golden;
mod keys;
mod memory;
mod pgp;
mod sealed;
