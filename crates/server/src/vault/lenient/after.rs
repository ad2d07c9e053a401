//! What may stand behind the JSON of a body: more JSON, the last of it perhaps unfinished. It is passed over, as Go's
//! decoder does, and some clients' bodies rely on it.

use serde::de::IgnoredAny;

/// # Errors
/// Where the bytes behind a value are no JSON. They are not nested deeper than a recursive reader survives.
pub(super) fn check(rest: &[u8]) -> Result<(), &'static str> {
    if rest.trim_ascii_start().is_empty() {
        return Ok(());
    }
    for value in serde_json::Deserializer::from_slice(rest).into_iter::<IgnoredAny>() {
        match value {
            Ok(IgnoredAny) => {}
            Err(error) if error.is_eof() && ends_between_tokens(rest) => return Ok(()),
            Err(error) if error.is_eof() => return Err("unexpected EOF"),
            Err(_) => return Err("invalid character after the first value"),
        }
    }
    Ok(())
}

/// Of JSON that is cut off: whether it is so where a token has ended.
fn ends_between_tokens(text: &[u8]) -> bool {
    let (mut in_string, mut escaped) = (false, false);
    for byte in text {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (true | false, _) => {}
        }
    }
    !in_string && matches!(text.trim_ascii_end().last(), Some(b'{' | b'[' | b',' | b':' | b'}' | b']' | b'"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_json_may_follow_and_nothing_else() {
        for good in ["", " \n", "{", "[", "{\"a\"", "{\"a\":", "[[1],", " \"a\" 1 null{}[]", "-1.5e3", "\"\\\"\"{"] {
            assert!(check(good.as_bytes()).is_ok(), "{good}");
        }
        for bad in
            ["x", "]", "}", ",", ":", "\"a", "\"\\\"", "tru", "truex", "1x", "-", "1e", "[}", "{x", "\u{0}", "{} x"]
        {
            assert!(check(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
