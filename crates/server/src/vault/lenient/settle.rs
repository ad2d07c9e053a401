//! What is settled about a JSON text before anything reads it: how deep and how large it is, that no name in it means
//! something to the parser itself, and that every text in it is one. One pass, in place.

use super::LenientError;

/// Settles a text that may be JSON. What is wrong with it otherwise is left to the parser.
///
/// Half of a surrogate pair on its own becomes U+FFFD, as Go reads it: of the same length, so nothing moves.
///
/// # Errors
/// [`LenientError::Depth`], [`LenientError::Members`], [`LenientError::Reserved`].
pub(super) fn settle(text: &mut [u8]) -> Result<(), LenientError> {
    let (mut at, mut depth, mut members) = (0, 0_usize, 0_usize);
    while let Some(byte) = text.get(at) {
        match byte {
            b'{' | b'[' => {
                depth += 1;
                if depth > super::MAX_DEPTH {
                    return Err(LenientError::Depth);
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => {
                members += 1;
                if members > super::MAX_MEMBERS {
                    return Err(LenientError::Members);
                }
            }
            b'"' => {
                let end = settle_string(text, at + 1);
                let is_name = text.get(end..).is_some_and(|rest| rest.trim_ascii_start().starts_with(b":"));
                if is_name && text.get(at..end).is_some_and(is_reserved) {
                    return Err(LenientError::Reserved);
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    Ok(())
}

/// Settles the string whose first byte is at `at`, and gives the place behind its closing quote.
fn settle_string(text: &mut [u8], mut at: usize) -> usize {
    loop {
        match text.get(at..) {
            None | Some([]) => return text.len(),
            Some([b'"', ..]) => return at + 1,
            Some([b'\\', b'u', rest @ ..]) => {
                let half = unit(rest);
                let is_pair = matches!(half, Some(0xd800..=0xdbff))
                    && rest.get(4..).and_then(|after| after.strip_prefix(b"\\u")).and_then(unit).is_some_and(is_low);
                if is_pair {
                    at += 12;
                    continue;
                }
                if matches!(half, Some(0xd800..=0xdfff))
                    && let Some(digits) = text.get_mut(at + 2..at + 6)
                {
                    digits.copy_from_slice(b"fffd");
                }
                at += 2;
            }
            Some([b'\\', ..]) => at += 2,
            Some(rest) => at += plain_len(rest),
        }
    }
}

/// How much of a text comes before its first quote or backslash. Long values are most of what is sent, and go by in strides.
fn plain_len(text: &[u8]) -> usize {
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\');
    // Without a way out in the middle, a stride is one comparison to the processor.
    let is_plain = |stride: &&[u8]| !stride.iter().fold(false, |found, byte| found | is_special(byte));
    let strides = text.chunks_exact(STRIDE).take_while(is_plain).count() * STRIDE;
    let rest = text.get(strides..).unwrap_or_default();
    strides + rest.iter().position(is_special).unwrap_or(rest.len())
}

/// The UTF-16 unit that four hexadecimal digits stand for.
fn unit(digits: &[u8]) -> Option<u32> {
    let digits = digits.first_chunk::<4>().filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn is_low(unit: u32) -> bool {
    (0xdc00..=0xdfff).contains(&unit)
}

/// Whether a quoted name is one by which serde_json passes numbers and raw texts to itself: it would read another value
/// than was written.
fn is_reserved(quoted: &[u8]) -> bool {
    quoted.len() > RESERVED.len()
        && matches!(quoted.get(1), Some(b'$' | b'\\'))
        && serde_json::from_slice::<String>(quoted).is_ok_and(|name| name.starts_with(RESERVED))
}

const STRIDE: usize = 16;
const RESERVED: &str = "$serde_json::private::";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn settled(text: &str) -> Result<String, LenientError> {
        let mut bytes = text.as_bytes().to_vec();
        settle(&mut bytes).map(|()| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn lone_halves_become_the_replacement_character_and_pairs_stay() {
        for (sent, kept) in [
            (r#"{"a":"\ud800"}"#, r#"{"a":"\ufffd"}"#),
            (r#"{"a":"\uDFFFx"}"#, r#"{"a":"\ufffdx"}"#),
            (r#"{"\ud83d\ude00":"\ud83d\ud83d\ude00"}"#, r#"{"\ud83d\ude00":"\ufffd\ud83d\ude00"}"#),
            (r#"{"a":"\\ud800 \u0041"}"#, r#"{"a":"\\ud800 \u0041"}"#),
            (r#"{"a":"\ud800"#, r#"{"a":"\ufffd"#),
            (r#"{"a":"\ud8"#, r#"{"a":"\ud8"#),
        ] {
            assert_eq!(settled(sent).unwrap(), kept);
        }
    }

    #[test]
    fn names_that_mean_something_to_the_parser_are_refused_at_any_depth() {
        for text in [
            r#"{"a":{"$serde_json::private::Number":1}}"#,
            r#"{"a":[{"b":1,"\u0024serde_json::private::RawValue" : "\"ok\""}]}"#,
            r#"{"$serde_json::private::Number":"1"}"#,
        ] {
            assert_eq!(settled(text), Err(LenientError::Reserved), "{text}");
        }
        for text in
            [r#"{"a":"$serde_json::private::Number"}"#, r#"{"$serde_json":1}"#, r#"["$serde_json::private::x"]"#]
        {
            assert_eq!(settled(text).unwrap(), text);
        }
    }

    #[test]
    fn members_are_bounded_wherever_they_are_and_commas_in_texts_do_not_count() {
        let list = |n: usize| format!("{{\"a\":[{}1]}}", "1,".repeat(n));
        assert!(settled(&list(super::super::MAX_MEMBERS)).is_ok());
        assert_eq!(settled(&list(super::super::MAX_MEMBERS + 1)), Err(LenientError::Members));
        assert!(settled(&format!("{{\"a\":\"{}\"}}", ",".repeat(super::super::MAX_MEMBERS + 1))).is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_keep_their_length(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut settled = bytes.clone();
            let _ = settle(&mut settled);
            prop_assert_eq!(settled.len(), bytes.len());
        }

        #[test]
        fn plain_text_ends_at_the_first_quote_or_backslash(text in r#"[a-z]{0,70}["\\]?[a-z]{0,20}["\\]?"#) {
            let end = text.find(['"', '\\']).unwrap_or(text.len());
            prop_assert_eq!(plain_len(text.as_bytes()), end);
        }

        #[test]
        fn what_the_parser_reads_stays_as_it_is(text in r#"[a-z"\\ud8cf0-9]{0,24}"#) {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(settled(&json).unwrap(), json);
        }

        #[test]
        fn texts_of_escapes_can_be_read_once_they_are_settled(units in proptest::collection::vec(0xd700_u32..0xe100, 0..8)) {
            let text: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
            let json = settled(&format!("{{\"{text}\":\"{text}\"}}")).unwrap();
            prop_assert!(serde_json::from_str::<Value>(&json).is_ok(), "{}", json);
        }
    }
}
