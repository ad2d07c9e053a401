//! The entry points of `make fuzz` under property tests: any bytes, and texts that are nearly right.

use coffer_server::fuzz;
use proptest::{collection::vec, prelude::*, sample::select};

/// Texts out of the words of a language, in any order.
fn words(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    vec(prop_oneof![9 => select(words).prop_map(str::to_owned), 1 => ".{0,3}"], 0..40).prop_map(|words| words.concat())
}

const POLICY: &[&str] = &[
    "path",
    " ",
    "\"",
    "secret/*",
    "a/+/b",
    "+*",
    "{{identity.entity.id}}",
    "{",
    "}",
    "[",
    "]",
    "=",
    ",",
    "\n",
    ":",
    "capabilities",
    "read",
    "deny",
    "sudo",
    "policy",
    "write",
    "allowed_parameters",
    "required_parameters",
    "min_wrapping_ttl",
    "1h",
    "90",
    "-1",
    "expiration",
    "2020-01-01T00:00:00Z",
    "#",
    "/*",
    "*/",
    "<<E\n",
    "\nE\n",
    "${",
    "\\u0000",
    "\\\"",
    "true",
    "null",
    "name",
];

const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"a\"",
    "\"ttl\"",
    "\"data\"",
    "\"versions\"",
    "\"options\"",
    "1",
    "-0",
    "1e400",
    "1.50",
    "\"1h30m\"",
    "\"7d\"",
    "true",
    "null",
    " ",
    "\"\\ud800\"",
    "\"x,y\"",
    "a=1",
    "&",
    "%2",
    "%ff",
    "+",
    "\u{0}",
];

const CONFIGURATION: &[&str] = &[
    "listen",
    "=",
    "\"",
    "127.0.0.1:8200",
    "\n",
    "[",
    "]",
    "limits",
    "{",
    "}",
    "listener",
    "tcp",
    "storage",
    "address",
    "max_lease_ttl",
    "768h",
    ",",
    ":",
    "true",
    "1",
    "-1",
    "1e9",
    "#",
    "ui",
    "disable_mlock",
    "${",
    "<<E\n",
    "file",
    "path",
];

const REFERENCE: &[&str] = &[
    "$",
    "${",
    "$${",
    "}",
    ":-",
    ":",
    "A",
    "DB_URL",
    "staging",
    "coffer://",
    "coffer://acme/A",
    "acme/",
    "/",
    "?version=",
    "?version=7",
    "0",
    "18446744073709551616",
    "-",
    ".",
    "é",
    " ",
    "{",
    "c",
];

proptest! {
    #[test]
    fn any_value_is_taken_apart_without_a_loss(bytes in vec(any::<u8>(), 0..200), text in words(REFERENCE)) {
        fuzz::reference(&bytes);
        fuzz::reference(text.as_bytes());
        fuzz::reference(format!("${{A:-{text}}}").as_bytes());
    }

    #[test]
    fn any_policy_is_parsed_or_refused(bytes in vec(any::<u8>(), 0..200), text in words(POLICY)) {
        fuzz::policy(&bytes);
        fuzz::policy(text.as_bytes());
        fuzz::policy(format!("path \"{text}\" {{ capabilities = [\"read\"] }}").as_bytes());
    }

    #[test]
    fn any_parameters_are_read_or_refused(bytes in vec(any::<u8>(), 0..200), text in words(JSON)) {
        fuzz::lenient(&bytes);
        fuzz::lenient(text.as_bytes());
        fuzz::lenient(format!("{{\"a\":{text}}}").as_bytes());
    }

    #[test]
    fn any_reply_is_json_with_its_keys(bytes in vec(any::<u8>(), 0..200), text in words(JSON)) {
        fuzz::envelope(&bytes);
        fuzz::envelope(text.as_bytes());
        fuzz::envelope(format!("{{\"a\":{text}}}").as_bytes());
    }
}

#[test]
fn any_configuration_is_read_or_refused() {
    let directory = tempfile::tempdir().unwrap();
    proptest!(|(bytes in vec(any::<u8>(), 0..200), text in words(CONFIGURATION))| {
        fuzz::configuration(&bytes, directory.path());
        fuzz::configuration(text.as_bytes(), directory.path());
    });
}
