//! Entry points for tests that send anything: `make fuzz` and the property tests call the same ones. Each takes bytes as
//! they come and panics where what must hold for any input does not.

use std::sync::LazyLock;

use crate::{
    config,
    diff::scan_diff,
    rule::{Origin, Rules},
    text::{Place, TextScan, scan_reader},
};

/// Coffer's own rules, made ready once.
static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::load(Origin::Builtin).expect("coffer's own rules make sense"));

/// A text, the first byte of which says how it is cut: the same is found in pieces, and lies where the text has it.
pub fn scanner(bytes: &[u8]) {
    let Some((cut, text)) = bytes.split_first() else { return };
    let places = |scan: TextScan<'_>| {
        let (findings, more) = scan.finish();
        assert_eq!(more, 0, "a short text holds few");
        let place =
            |found: &crate::Finding| (found.rule.to_string(), found.line, found.column, found.secret().to_vec());
        findings.iter().map(place).collect::<Vec<_>>()
    };
    let mut whole = TextScan::new(&RULES, Place::file("f"));
    whole.feed(text);
    let whole = places(whole);
    let mut pieces = TextScan::new(&RULES, Place::file("f"));
    text.chunks(usize::from(*cut).max(1)).for_each(|piece| pieces.feed(piece));
    assert_eq!(places(pieces), whole, "where it is cut makes a difference");
    for (rule, line, column, secret) in whole {
        let line = usize::try_from(line - 1).unwrap_or(usize::MAX);
        assert!(text.split(|byte| *byte == b'\n').nth(line).is_some(), "{rule} lies in no line");
        assert!(column > 0, "{rule} lies in no column");
        assert!(secret.is_empty() || text.windows(secret.len()).any(|window| window == secret), "{rule} is made up");
    }
    let read = scan_reader(&RULES, Place::file("f"), &mut &*text, &mut Vec::new()).expect("memory can be read");
    assert!(read.files == 1 && read.unreadable.is_empty(), "it is one file");
}

/// What git might write: it is read or refused, and no finding is made up.
pub fn diff(bytes: &[u8]) {
    if let Ok(scanned) = scan_diff(&RULES, &mut &*bytes) {
        let added = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        assert!(scanned.bytes <= added && scanned.binary <= added, "more was added than there is");
    }
}

/// Files of rules, which extend no others: what is taken scans its own text.
pub fn configuration(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match config::text(text).and_then(|config| config.ready()).and_then(|rules| rules.check().map(|()| rules)) {
        Ok(rules) => {
            let mut scan = TextScan::new(&rules, Place::file("f"));
            scan.feed(bytes);
            scan.finish();
        }
        Err(error) => assert!(!error.to_string().is_empty(), "an error without a text"),
    }
}
