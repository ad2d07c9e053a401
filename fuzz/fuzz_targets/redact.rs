//! Values that `run --redact` masks, and streams they stand in.
#![no_main]

#[allow(dead_code, reason = "the program uses more of it")]
#[path = "../../crates/coffer/src/redact/mod.rs"]
mod redact;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| redact::fuzz::redact(bytes));
