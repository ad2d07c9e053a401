//! Percent-encoded text: form bodies, queries, path segments.

use std::{borrow::Cow, collections::BTreeMap};

use zeroize::Zeroizing;

use super::{LenientError, MAX_FIELDS};

/// A form body as a JSON object of strings; a repeated key joins its values with commas.
pub(super) fn form_as_json(form: &[u8]) -> Result<Zeroizing<Vec<u8>>, LenientError> {
    let form = std::str::from_utf8(form).map_err(|_| LenientError::Form("not UTF-8"))?;
    query_as_json(form)
}

/// The same for a query.
pub(crate) fn query_as_json(query: &str) -> Result<Zeroizing<Vec<u8>>, LenientError> {
    let mut fields: BTreeMap<Cow<'_, str>, Zeroizing<String>> = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let key = decode_form(key).ok_or(LenientError::Form("invalid URL escape"))?;
        let value = decode_form(value).ok_or(LenientError::Form("invalid URL escape"))?;
        if let Some(joined) = fields.get_mut(&key) {
            joined.push(',');
            joined.push_str(&value);
        } else if fields.len() < MAX_FIELDS {
            fields.insert(key, Zeroizing::new(value.into_owned()));
        } else {
            return Err(LenientError::Form("too many fields"));
        }
    }
    let mut json = Zeroizing::new(Vec::with_capacity(2 * query.len() + 2));
    let texts: BTreeMap<&str, &str> = fields.iter().map(|(key, value)| (key.as_ref(), value.as_str())).collect();
    serde_json::to_writer(&mut *json, &texts).map_err(|_| LenientError::Form("not text"))?;
    Ok(json)
}

/// Undoes percent-encoding; `None` where an escape is broken or the result is not UTF-8. Borrows text without `%`.
pub(crate) fn decode_percent(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let (high, low) = (hex_digit(rest.next()?)?, hex_digit(rest.next()?)?);
            bytes.push(high << 4 | low);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

fn decode_form(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('+') {
        return decode_percent(text);
    }
    decode_percent(&text.replace('+', " ")).map(|decoded| Cow::Owned(decoded.into_owned()))
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::*;

    fn encode(text: &str) -> String {
        text.bytes().fold(String::new(), |mut out, byte| {
            write!(out, "%{byte:02X}").unwrap();
            out
        })
    }

    #[test]
    fn broken_escapes_are_refused() {
        for bad in ["%", "%2", "%zz", "a%2", "%ff", "%c3"] {
            assert!(decode_percent(bad).is_none(), "{bad}");
        }
        assert_eq!(decode_percent("a+b%20c").unwrap(), "a+b c");
        assert_eq!(decode_form("a+b%20c%2B").unwrap(), "a b c+");
    }

    #[test]
    fn query_without_values_and_with_repeats_is_taken() {
        let json = query_as_json("a&b=&c=1&c=2&&d=x=y").unwrap();
        assert_eq!(std::str::from_utf8(&json).unwrap(), r#"{"a":"","b":"","c":"1,2","d":"x=y"}"#);
    }

    #[test]
    fn too_many_fields_are_refused() {
        let query = (0..=MAX_FIELDS).map(|i| format!("k{i}=")).collect::<Vec<_>>().join("&");
        assert!(query_as_json(&query).is_err());
    }

    proptest! {
        #[test]
        fn encoded_text_decodes_to_itself(text in any::<String>()) {
            let encoded = encode(&text);
            prop_assert_eq!(decode_percent(&encoded).unwrap(), text.as_str());
        }

        #[test]
        fn any_query_is_json_or_refused(query in any::<String>()) {
            if let Ok(json) = query_as_json(&query) {
                serde_json::from_slice::<BTreeMap<String, String>>(&json).unwrap();
            }
        }
    }
}
