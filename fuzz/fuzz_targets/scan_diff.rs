//! Diffs as git writes them.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coffer_scan::fuzz::diff(bytes));
