//! Policies in HCL and JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coffer_server::fuzz::policy(bytes));
