//! The entry points of `make fuzz` under property tests: any bytes, and texts that are nearly right.

use coffer_scan::fuzz;
use proptest::{collection::vec, prelude::*, sample::select};

use crate::sample::filled;

/// Texts out of the words of a language, in any order.
fn words(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    vec(prop_oneof![9 => select(words).prop_map(filled), 1 => ".{0,3}"], 0..40).prop_map(|words| words.concat())
}

const TEXT: &[&str] = &[
    "ghp_{w36}",
    "AKIA{t16}",
    "password = \"{w20}\"",
    "DB_PASSWORD={w20}",
    "-----BEGIN PRIVATE KEY-----\n{p64}\n-----END PRIVATE KEY-----",
    "postgres://app:{w16}@db/app",
    "coffer:allow",
    "\n",
    "\r\n",
    " ",
    "\"",
    "=",
    "ä",
    "\u{feff}",
    "\0",
    "\u{fffd}",
    "{w3}",
];

const DIFF: &[&str] = &[
    "commit 0123\n",
    "diff --git a/a b/a\n",
    "--- a/a\n",
    "+++ b/a\n",
    "+++ /dev/null\n",
    "+++ \"b/\\303\\244\"\n",
    "@@ -0,0 +1 @@\n",
    "@@ -1,2 +1,3 @@ fn x\n",
    "@@ -1 +18446744073709551615,2 @@\n",
    "+ghp_{w36}\n",
    "+\0g\0h\0p\0_\0\n",
    "+a\n",
    "-a\n",
    " a\n",
    "\\ No newline at end of file\n",
    "Binary files a and b differ\n",
];

const RULES: &[&str] = &[
    "[[rules]]\n",
    "[[rules.allowlists]]\n",
    "[[allowlists]]\n",
    "[allowlist]\n",
    "[extend]\n",
    "id = \"a\"\n",
    "id = \"npm-token\"\n",
    "regex = '''[a-z]+(x)?'''\n",
    "regex = '''('''\n",
    "secretGroup = 1\n",
    "entropy = 2.5\n",
    "entropy = nan\n",
    "keywords = [\"a\", \"\"]\n",
    "path = '''\\.x$'''\n",
    "paths = ['''a''']\n",
    "regexes = ['''a''']\n",
    "stopwords = [\"b\"]\n",
    "targetRules = [\"a\"]\n",
    "condition = \"AND\"\n",
    "useDefault = true\n",
    "disabledRules = [\"npm-token\"]\n",
];

proptest! {
    #[test]
    fn any_text_is_scanned_the_same_in_pieces(cut in any::<u8>(), bytes in vec(any::<u8>(), 0..400), text in words(TEXT)) {
        fuzz::scanner(&bytes);
        fuzz::scanner(&[&[cut], text.as_bytes()].concat());
    }

    #[test]
    fn any_diff_is_read_or_refused(bytes in vec(any::<u8>(), 0..200), text in words(DIFF)) {
        fuzz::diff(&bytes);
        fuzz::diff(text.as_bytes());
        fuzz::diff(format!("diff --git a/a b/a\n+++ b/a\n{text}").as_bytes());
    }

    #[test]
    fn any_rules_are_taken_or_refused(bytes in vec(any::<u8>(), 0..200), text in words(RULES)) {
        fuzz::configuration(&bytes);
        fuzz::configuration(text.as_bytes());
    }
}

#[test]
fn diff_of_the_last_line_that_there_can_be_is_read() {
    fuzz::diff(filled("+++ b/a\n@@ -1 +18446744073709551615,2 @@\n a\n+ghp_{w36}\n").as_bytes());
}
