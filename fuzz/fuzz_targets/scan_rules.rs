//! Files of rules of the scanner.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coffer_scan::fuzz::configuration(bytes));
