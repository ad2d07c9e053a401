//! What must hold for any bytes: called by the property test and by the fuzzer.

use std::collections::BTreeMap;

use super::{Document, Interpolation, References};

/// Reads the bytes as a file in every way, and what is read writes and reads back.
///
/// # Panics
/// Where it does not.
#[cfg_attr(not(test), allow(dead_code, reason = "the fuzzer's and the tests'"))]
pub(crate) fn dotenv(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let expanded = Document::parse(text, Interpolation::Expand);
    if let Ok(document) = &expanded {
        check(document);
    }
    match Document::parse(text, Interpolation::Literal) {
        Ok(document) => check(&document),
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a reason");
            let last = text.split('\n').count();
            assert!(faults.iter().all(|fault| (1..=last).contains(&fault.line)), "a fault in no line: {faults:?}");
            assert!(expanded.is_err(), "what cannot be read was read in the other way");
        }
    }
}

fn check(document: &Document) {
    let rendered = document.render();
    let again = read(&rendered);
    assert_eq!(pairs(&again), pairs(document), "other values came back");
    assert_eq!(*again.render(), *rendered, "a second way through changes more");
    assert_eq!(again.lines.len(), document.lines.len(), "lines are lost");
    let layout = document.layout();
    let laid_out = read(layout.expose());
    let found = pairs(document);
    let values: BTreeMap<&str, &str> = found.iter().copied().collect();
    assert_eq!(*laid_out.filled(&values, References::Kept), *rendered, "the layout does not hold all that there was");
    assert_eq!(laid_out.layout().expose(), layout.expose(), "a layout is its own layout");
    assert!(pairs(&read(&laid_out.filled(&BTreeMap::new(), References::Kept))).is_empty(), "a value is left");
}

fn read(text: &str) -> Document {
    match Document::parse(text, Interpolation::Literal) {
        Ok(document) => document,
        Err(faults) => panic!("what was written cannot be read: {faults:?}"),
    }
}

fn pairs(document: &Document) -> Vec<(&str, &str)> {
    document.entries().map(|(_, entry)| (entry.name.as_str(), entry.value.expose().as_str())).collect()
}
