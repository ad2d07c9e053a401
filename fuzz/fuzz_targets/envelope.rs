//! Replies of the Vault dialect.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coffer_server::fuzz::envelope(bytes));
