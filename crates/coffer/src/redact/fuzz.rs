//! What must hold for any values and any stream: called by the property test and by the fuzzer.

use super::{MASK, Masks, SHORTEST, SHORTEST_LINE};

/// Takes the bytes apart at 0xff: how a stream is cut, the stream, and the values. However it is cut, it comes out as a stream
/// in which each place of each value was looked for by itself.
///
/// # Panics
/// Where it does not.
#[cfg_attr(not(test), allow(dead_code, reason = "the fuzzer's and the tests'"))]
pub(crate) fn redact(bytes: &[u8]) {
    let mut parts = bytes.split(|byte| *byte == 0xff);
    let (cuts, text) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let values: Vec<&[u8]> = parts.take(8).collect();
    let masks = Masks::new(values.iter().copied());
    let expected = replaced(text, &values);
    let mut whole = Vec::new();
    let mut stream = masks.mask(&mut whole);
    assert!(stream.feed(text).and_then(|()| stream.finish()).is_ok(), "memory takes everything");
    assert_eq!(whole, expected, "a value is left, or more than a value is gone");
    let mut pieces = Vec::new();
    let mut stream = masks.mask(&mut pieces);
    let mut rest = text;
    for cut in cuts {
        let (piece, after) = rest.split_at(usize::from(*cut).min(rest.len()));
        assert!(stream.feed(piece).is_ok(), "memory takes everything");
        rest = after;
    }
    assert!(stream.feed(rest).and_then(|()| stream.finish()).is_ok(), "memory takes everything");
    assert_eq!(pieces, expected, "where it is cut makes a difference");
}

/// The same, place by place.
fn replaced(text: &[u8], values: &[&[u8]]) -> Vec<u8> {
    let mut needles: Vec<&[u8]> = Vec::new();
    for value in values {
        let trimmed = value.trim_ascii();
        needles.extend([*value, trimmed].iter().filter(|needle| needle.len() >= SHORTEST));
        let lines = trimmed.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
        needles.extend(lines.filter(|line| line.len() >= SHORTEST_LINE));
    }
    let mut out = Vec::new();
    let (mut at, mut covered_to) = (0, 0);
    for place in 0..text.len() {
        let rest = text.get(place..).unwrap_or_default();
        let longest = needles.iter().filter(|needle| rest.starts_with(needle)).map(|needle| needle.len()).max();
        let Some(len) = longest else { continue };
        if place >= covered_to {
            out.extend_from_slice(text.get(at.max(covered_to)..place).unwrap_or_default());
            out.extend_from_slice(MASK);
        }
        covered_to = covered_to.max(place + len);
        at = covered_to;
    }
    out.extend_from_slice(text.get(at..).unwrap_or_default());
    out
}
