//! Texts that are scanned for secrets.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coffer_scan::fuzz::scanner(bytes));
