//! `.env` files.
#![no_main]

#[allow(dead_code, unused_imports, reason = "the program uses more of it")]
#[path = "../../crates/coffer/src/dotenv/mod.rs"]
mod dotenv;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dotenv::fuzz::dotenv(bytes));
