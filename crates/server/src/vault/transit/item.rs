//! What a request asks to be done with a key: one item at its top level, or a list of them under `batch_input`.

use std::fmt;

use coffer_core::MAX_BATCH;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::super::{
    call::Failure,
    lenient::{Fields, LenientError, scalar},
};

/// One thing to be done. What was not sent is `None`; `null` is empty text.
#[derive(Default)]
pub(super) struct Item<'a> {
    pub(super) plaintext: Option<Text<'a>>,
    pub(super) ciphertext: Option<Text<'a>>,
    pub(super) input: Option<Text<'a>>,
    pub(super) signature: Option<Text<'a>>,
    pub(super) hmac: Option<Text<'a>>,
    pub(super) context: Option<Text<'a>>,
    pub(super) associated_data: Option<Text<'a>>,
    pub(super) reference: Option<Text<'a>>,
    pub(super) key_version: i64,
}

/// A string as the client wrote it, copied only where it has escapes.
pub(super) enum Text<'a> {
    Borrowed(&'a str),
    Owned(Zeroizing<String>),
}

/// How the items of a list are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reading {
    /// As decrypt reads them: strings are strings, and each item has a ciphertext.
    Ciphertexts,
    /// As encrypt reads them: strings are strings, and each item has a plaintext.
    Plaintexts,
    /// As all others read them: a number is taken as its text, `null` as empty text.
    Lenient,
}

/// The items of `batch_input`; `None` where there is no such field.
pub(super) fn batch<'a>(fields: &Fields<'a>, reading: Reading) -> Result<Option<Vec<Item<'a>>>, Failure> {
    let Some(raw) = fields.raw("batch_input").filter(|raw| raw.get() != "null") else { return Ok(None) };
    if !raw.get().starts_with('[') {
        let got = go_type(raw);
        return Err(unparsed(&format!("source data must be an array or slice, got {got}")));
    }
    let mut items = Items { reading, items: Vec::new(), faults: Vec::new() };
    let mut json = serde_json::Deserializer::from_str(raw.get());
    if json.deserialize_seq(&mut items).is_err() {
        return Err(match items.items.len() {
            MAX_BATCH.. => Failure::invalid(format!("a batch has at most {MAX_BATCH} items")),
            _ => unparsed("a number is out of range"),
        });
    }
    if !items.faults.is_empty() {
        return Err(unparsed(&items.faults.join("\n")));
    }
    if items.items.is_empty() {
        return Err(Failure::invalid("missing batch input to process"));
    }
    Ok(Some(items.items))
}

impl<'a> Item<'a> {
    /// The item at the top level of the request.
    pub(super) fn single(fields: &Fields<'a>) -> Result<Self, Failure> {
        let is_null = |field| fields.raw(field).is_some_and(|raw| raw.get() == "null");
        let text = |field| fields.raw(field).map(|raw| loose(field, raw)).transpose();
        Ok(Self {
            plaintext: text("plaintext")?,
            ciphertext: text("ciphertext")?,
            input: text("input")?,
            // Some clients send both, and `null` for the one that they do not mean.
            signature: text("signature")?.filter(|_| !is_null("signature")),
            hmac: text("hmac")?.filter(|_| !is_null("hmac")),
            context: text("context")?,
            associated_data: text("associated_data")?,
            reference: None,
            key_version: fields.integer("key_version")?.unwrap_or_default(),
        })
    }

    /// The slot of a string field.
    fn slot(&mut self, name: &str) -> Option<(&'static str, &mut Option<Text<'a>>)> {
        Some(match name {
            "plaintext" => ("plaintext", &mut self.plaintext),
            "ciphertext" => ("ciphertext", &mut self.ciphertext),
            "input" => ("input", &mut self.input),
            "signature" => ("signature", &mut self.signature),
            "hmac" => ("hmac", &mut self.hmac),
            "context" => ("context", &mut self.context),
            "associated_data" => ("associated_data", &mut self.associated_data),
            "reference" => ("reference", &mut self.reference),
            _ => return None,
        })
    }
}

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Borrowed(text) => text,
            Self::Owned(text) => text,
        }
    }
}

/// The text of an optional field, empty where it was not sent.
pub(super) fn str_of<'t>(text: &'t Option<Text<'_>>) -> &'t str {
    text.as_ref().map_or("", Text::as_str)
}

/// A string's content; a number's or a boolean's text.
fn loose<'a>(field: &'static str, raw: &'a RawValue) -> Result<Text<'a>, LenientError> {
    plain(raw).map_or_else(|| scalar(field, raw).map(Text::Owned), |text| Ok(Text::Borrowed(text)))
}

/// The content of a string without escapes.
fn plain(raw: &RawValue) -> Option<&str> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    (!inner.as_bytes().contains(&b'\\')).then_some(inner)
}

fn unparsed(why: &str) -> Failure {
    Failure::invalid(format!("failed to parse batch input: {why}"))
}

/// What Go calls a value of this kind.
fn go_type(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'"') => STRING,
        Some(b'[') => "[]interface {}",
        Some(b'{') => "map[string]interface {}",
        Some(b't' | b'f') => "bool",
        Some(b'n') => "<nil>",
        Some(_) | None => NUMBER,
    }
}

/// The items of a list while it is read.
struct Items<'a> {
    reading: Reading,
    items: Vec<Item<'a>>,
    /// What is wrong with them, bounded.
    faults: Vec<String>,
}

impl<'a> Items<'a> {
    /// Takes the next item.
    fn take(&mut self, raw: &'a RawValue) {
        let at = self.items.len();
        let mut item = Item::default();
        if raw.get().starts_with('{') {
            let mut json = serde_json::Deserializer::from_str(raw.get());
            if json.deserialize_map(ItemFields { list: self, item: &mut item }).is_err() {
                self.fault(|| format!("[{at}] cannot be read"));
            }
            match self.reading {
                Reading::Ciphertexts if item.ciphertext.is_none() => {
                    self.fault(|| format!("'[{at}].ciphertext' missing ciphertext to decrypt"));
                }
                Reading::Plaintexts if item.plaintext.is_none() => {
                    self.fault(|| format!("'[{at}].plaintext' missing plaintext to encrypt"));
                }
                Reading::Ciphertexts | Reading::Plaintexts | Reading::Lenient => {}
            }
        } else {
            let got = go_type(raw);
            self.fault(|| format!("[{at}] expected a map, got '{got}'"));
        }
        self.items.push(item);
    }

    /// A string of an item; empty where it is none.
    fn text(&mut self, at: usize, name: &'static str, raw: &'a RawValue) -> Text<'a> {
        if let Some(text) = plain(raw) {
            return Text::Borrowed(text);
        }
        let got = go_type(raw);
        let is_text = match self.reading {
            Reading::Ciphertexts | Reading::Plaintexts => got == STRING,
            Reading::Lenient => matches!(got, STRING | NUMBER | "<nil>"),
        };
        if is_text && let Ok(text) = scalar(name, raw) {
            return Text::Owned(text);
        }
        self.fault(|| format!("'[{at}].{name}' expected type 'string', got unconvertible type '{got}'"));
        Text::Borrowed("")
    }

    fn fault(&mut self, text: impl FnOnce() -> String) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(text());
        }
    }
}

impl<'de> Visitor<'de> for &mut Items<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(raw) = list.next_element::<&'de RawValue>()? {
            if self.items.len() >= MAX_BATCH {
                return Err(serde::de::Error::custom("too many items"));
            }
            self.take(raw);
        }
        Ok(())
    }
}

/// The fields of one item.
struct ItemFields<'i, 'a> {
    list: &'i mut Items<'a>,
    item: &'i mut Item<'a>,
}

impl<'de> Visitor<'de> for ItemFields<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an item")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let list = self.list;
        let at = list.items.len();
        while let Some(Name(name)) = map.next_key::<Name<'de>>()? {
            if name == "key_version" {
                self.item.key_version = version(list, at, map.next_value()?);
            } else if let Some((name, slot)) = self.item.slot(&name) {
                let raw = map.next_value::<&'de RawValue>()?;
                *slot = Some(list.text(at, name, raw));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// An item's `key_version`.
fn version(list: &mut Items<'_>, at: usize, raw: &RawValue) -> i64 {
    let got = go_type(raw);
    if got != NUMBER {
        list.fault(|| format!("'[{at}].key_version' expected type 'int', got unconvertible type '{got}'"));
        return 0;
    }
    raw.get().parse().unwrap_or_else(|_| {
        list.fault(|| format!("'[{at}].key_version' cannot parse value as 'int'"));
        0
    })
}

/// A key of an item, borrowed where it has no escapes.
struct Name<'a>(std::borrow::Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(text.into()))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(text.to_owned().into()))
            }
        }
        json.deserialize_str(Read)
    }
}

const NUMBER: &str = "json.Number";
const STRING: &str = "string";
/// Faults of a list that are told.
const MAX_FAULTS: usize = 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a body's `batch_input` is read as: how many items, or why it cannot be read.
    fn read(body: &str, reading: Reading) -> Result<Option<usize>, String> {
        let fields = Fields::parse(body.as_bytes()).unwrap();
        let items = batch(&fields, reading).map_err(|failure| failure.into_error().public().to_owned())?;
        Ok(items.map(|items| items.len()))
    }

    #[test]
    fn list_is_read_strictly_or_leniently() {
        let list = |items: &str| format!("{{\"batch_input\":{items}}}");
        for (items, strict, lenient) in [
            ("null", Ok(None), Ok(None)),
            ("[]", Err("missing batch input to process"), Err("missing batch input to process")),
            (r#"[{"plaintext":"a"},{"plaintext":"","unknown":[1]}]"#, Ok(Some(2)), Ok(Some(2))),
            (r#"[{"plaintext":"a\/b","key_version":2}]"#, Ok(Some(1)), Ok(Some(1))),
            (
                r#"[{"plaintext":5}]"#,
                Err(
                    "failed to parse batch input: '[0].plaintext' expected type 'string', got unconvertible type 'json.Number'",
                ),
                Ok(Some(1)),
            ),
            (
                r#"[{"plaintext":null}]"#,
                Err(
                    "failed to parse batch input: '[0].plaintext' expected type 'string', got unconvertible type '<nil>'",
                ),
                Ok(Some(1)),
            ),
            ("[{}]", Err("failed to parse batch input: '[0].plaintext' missing plaintext to encrypt"), Ok(Some(1))),
            (
                "[{},{}]",
                Err("failed to parse batch input: '[0].plaintext' missing plaintext to encrypt\n\
                    '[1].plaintext' missing plaintext to encrypt"),
                Ok(Some(2)),
            ),
        ] {
            let owned = |expected: Result<Option<usize>, &str>| expected.map_err(str::to_owned);
            assert_eq!(read(&list(items), Reading::Plaintexts), owned(strict), "{items}");
            assert_eq!(read(&list(items), Reading::Lenient), owned(lenient), "{items}");
        }
        for reading in [Reading::Ciphertexts, Reading::Plaintexts, Reading::Lenient] {
            for items in ["\"x\"", "{}", "5", "[1]", "[[]]", "[null]", "[\"x\"]", "[true]", "[1e999]"] {
                let why = read(&list(items), reading).unwrap_err();
                assert!(why.starts_with("failed to parse batch input: "), "{items}: {why}");
            }
            for version in ["\"1\"", "1.5", "1e3", "99999999999999999999", "true", "[]"] {
                let items = format!("[{{\"plaintext\":\"\",\"ciphertext\":\"\",\"key_version\":{version}}}]");
                let why = read(&list(&items), reading).unwrap_err();
                assert!(why.contains("'[0].key_version'"), "{items}: {why}");
            }
        }
    }

    #[test]
    fn field_sent_twice_keeps_its_last_value_and_escapes_are_undone() {
        let body = br#"{"batch_input":[{"plaintext":"a","plaintext":"b\/\u0063","reference":"x","key_version":1,"key_version":2}]}"#;
        let fields = Fields::parse(body).unwrap();
        let items = batch(&fields, Reading::Plaintexts).unwrap().unwrap();
        assert_eq!((str_of(&items[0].plaintext), str_of(&items[0].reference), items[0].key_version), ("b/c", "x", 2));
    }

    #[test]
    fn long_list_is_refused_before_it_takes_memory() {
        let body = format!("{{\"batch_input\":[{}]}}", vec!["{}"; MAX_BATCH + 1].join(","));
        assert_eq!(read(&body, Reading::Lenient), Err(format!("a batch has at most {MAX_BATCH} items")));
    }

    proptest! {
        #[test]
        fn any_list_is_read_or_refused(items in proptest::collection::vec(
            prop_oneof![
                Just("{}".to_owned()), Just("null".to_owned()), Just("1".to_owned()), Just("[[]]".to_owned()),
                ("(plaintext|ciphertext|key_version|input|x)", "(\"[a-zA-Z+/=\\\\\\\\n]{0,8}\"|[0-9]{1,20}|null|true|\\[1\\]|\\{\\})")
                    .prop_map(|(name, value)| format!("{{\"{name}\":{value}}}")),
            ],
            0..8,
        )) {
            let body = format!("{{\"batch_input\":[{}]}}", items.join(","));
            let Ok(fields) = Fields::parse(body.as_bytes()) else { return Ok(()) };
            for reading in [Reading::Ciphertexts, Reading::Plaintexts, Reading::Lenient] {
                if let Ok(Some(read)) = batch(&fields, reading) {
                    prop_assert_eq!(read.len(), items.len());
                }
            }
        }
    }
}
