//! What git writes, and what only looks like it.

use coffer_scan::{Error, Scanned, scan_diff};
use proptest::prelude::*;

use crate::sample::{filled, rules};

fn diff(text: &str) -> Result<Scanned, Error> {
    scan_diff(&rules(), &mut text.as_bytes())
}

/// Commit, path, line and rule of each finding.
fn found(text: &str) -> Vec<(String, String, u64, String)> {
    let scanned = diff(text).unwrap();
    let told = scanned.findings.iter().map(|found| {
        let commit = found.commit.as_deref().unwrap_or_default().to_owned();
        (commit, found.path.to_string(), found.line, found.rule.to_string())
    });
    told.collect()
}

#[test]
fn added_lines_are_scanned_at_their_places() {
    let token = filled("ghp_{w36}");
    let key = filled("+-----BEGIN PRIVATE KEY-----\n+{p64}\n+{p64}\n+-----END PRIVATE KEY-----");
    let text = format!(
        "commit 1111\n\ndiff --git a/a b/a\nindex 1..2 100644\n--- a/a\n+++ b/a\n@@ -3 +3,2 @@ fn x() {{\n-old {token}\n+one\n+{token}\n\
         @@ -9,0 +10 @@\n+{token}x\n\\ No newline at end of file\n\
         diff --git a/gone b/gone\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-{token}\n\
         diff --git a/b b/b\nnew file mode 100755\n--- /dev/null\n+++ \"b/d\\303\\244/b\"\n@@ -0,0 +1,4 @@\n{key}\n\
         commit 2222\n\ndiff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -0,0 +1 @@\n+{token}\n\
         diff --git a/x.png b/x.png\nBinary files /dev/null and b/x.png differ\n"
    );
    let scanned = diff(&text).unwrap();
    assert_eq!((scanned.binary, scanned.files), (1, 3));
    assert_eq!(
        found(&text),
        [
            // The second time in another commit is the same finding.
            ("1111".to_owned(), "a".to_owned(), 4, "github-token".to_owned()),
            ("1111".to_owned(), "a".to_owned(), 10, "github-token".to_owned()),
            ("1111".to_owned(), "dä/b".to_owned(), 1, "private-key".to_owned()),
        ]
    );
}

#[test]
fn line_of_a_file_is_never_taken_for_a_header() {
    let token = filled("ghp_{w36}");
    let text = format!(
        "diff --git a/a b/a\n--- a/a\n+++ b/a\n@@ -1,2 +1,4 @@\n--- a/x\n-@@ -1 +1 @@\n+++ b/allowed\n+commit 99\n+@@ -1 +1 @@\n+{token}\n"
    );
    assert_eq!(found(&text), [(String::new(), "a".to_owned(), 4, "github-token".to_owned())]);
}

/// A diff that adds these bytes to a file, from a line on.
fn adding(name: &str, first_line: u64, bytes: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        lines.push(b'+');
        lines.extend_from_slice(line);
    }
    let count = bytes.split_inclusive(|byte| *byte == b'\n').count();
    let end: &[u8] = if bytes.ends_with(b"\n") { b"" } else { b"\n\\ No newline at end of file\n" };
    let head = format!("diff --git a/{name} b/{name}\n+++ b/{name}\n@@ -0,0 +{first_line},{count} @@\n");
    [head.as_bytes(), &lines, end].concat()
}

#[test]
fn utf_16_is_read_from_its_beginning_and_from_its_midst() {
    let secret = filled("ghp_{w36}");
    let little = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let big = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
    let text = format!("first\r\ntoken: {secret}\r\nlast\r\n");
    let whole = format!("\u{feff}{text}");
    for (what, first_line, bytes) in [
        ("little", 1, little(&whole)),
        ("big", 1, big(&whole)),
        // The line before ended in the midst of its last character.
        ("little, later", 7, [b"\0", &little(&text)[..]].concat()),
        ("big, later", 7, big(&text)),
        ("long", 7, big(&format!("{}{text}", "a line\n".repeat(3000)))),
    ] {
        let scanned = scan_diff(&rules(), &mut &adding("f", first_line, &bytes)[..]).unwrap();
        let [finding] = scanned.findings.as_slice() else { panic!("{what}: {} found", scanned.findings.len()) };
        let line = first_line + 1 + if what == "long" { 3000 } else { 0 };
        assert_eq!((finding.line, finding.column), (line, 8), "{what}");
        assert_eq!((finding.secret(), scanned.binary), (secret.as_bytes(), 0), "{what}");
    }
}

#[test]
fn what_holds_no_text_is_counted_once_a_file() {
    let secret = filled("\n ghp_{w36} \n");
    let binary = [b"\x7fELF\0\0\0\0\0".as_slice(), secret.as_bytes(), &[0; 900]].concat();
    let two_files = [adding("a", 1, &binary), adding("b", 1, &binary)].concat();
    let scanned = scan_diff(&rules(), &mut &two_files[..]).unwrap();
    assert_eq!((scanned.findings.len(), scanned.binary), (0, 2));
    let hunk = b"@@ -9,0 +90,2 @@\n+\x7f\0\0\0\0\0\0\n+x\n";
    let two_hunks = [adding("a", 1, &binary), hunk.to_vec()].concat();
    assert_eq!(scan_diff(&rules(), &mut &two_hunks[..]).unwrap().binary, 1);
}

#[test]
fn diff_that_is_none_or_ends_early_is_refused() {
    for text in [
        "@@ nonsense @@\n",
        "+++ b/a\n@@ -1 +1 @@\n+one\n",
        "+++ b/a\n@@ -0,0 +1 @@\n",
        "+++ b/a\n@@ -0,0 +1 @@\n-one\n",
        "+++ b/a\n@@ -0,0 +1 @@\nxone\n",
    ] {
        assert!(diff(text).is_err(), "{text:?}");
    }
    assert!(diff(&"x".repeat(70_000)).is_err());
    assert!(diff("").unwrap().findings.is_empty());
    assert!(diff("+++ b/a\n@@ -0,0 +1 @@\n+no line end").unwrap().findings.is_empty());
}

proptest! {
    #[test]
    fn any_text_is_taken_or_refused(text in "(@@ -[0-9],[0-9] \\+[0-9] @@\n|[+ -][a-z+@ -]{0,9}\n|\\+\\+\\+ \"?b/[a-z\\\\0-9\"]{0,9}\n|commit [a-z]\n){0,12}") {
        let _ = diff(&text);
    }
}
