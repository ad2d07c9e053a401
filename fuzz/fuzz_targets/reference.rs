//! References in values.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coffer_server::fuzz::reference(bytes));
