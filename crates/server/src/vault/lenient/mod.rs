//! What the Vault dialect's clients send, taken leniently: empty and `null` bodies, forms, numbers and booleans as
//! strings, comma lists. Bounded in size, depth and count; the native API never comes here.

mod after;
mod duration;
mod form;
mod given;
mod object;
mod settle;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, collections::BTreeMap};

use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

pub(crate) use self::{
    duration::GoDuration,
    form::{decode_percent, query_as_json},
};

/// The text of a request's parameters as one JSON object, wiped on drop.
pub(crate) struct Body(Zeroizing<Vec<u8>>);

/// The top level of a request's parameters, each value as the client wrote it. A key sent twice keeps its last value.
#[derive(Default)]
pub(crate) struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

/// Why parameters cannot be used; the text is for the client and holds no value of theirs.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum LenientError {
    /// The body is not a JSON object.
    #[error("failed to decode JSON input: {0}")]
    Json(String),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("failed to decode JSON input: nested deeper than {MAX_DEPTH} levels")]
    Depth,
    /// More members than [`MAX_MEMBERS`].
    #[error("failed to decode JSON input: more than {MAX_MEMBERS} members")]
    Members,
    /// A name that the parser uses for itself.
    #[error("failed to decode JSON input: names that begin with \"$serde_json::private::\" are reserved")]
    Reserved,
    /// A form or a query with a broken escape, or too many fields.
    #[error("failed to parse form data: {0}")]
    Form(&'static str),
    /// A field of the wrong type.
    #[error("error converting input for field {field:?}: {message}")]
    Field {
        /// Its name.
        field: &'static str,
        /// What was expected.
        message: &'static str,
    },
}

impl Body {
    /// A write's body: JSON whatever the content type says, a form where it is declared and the text is not JSON;
    /// empty and `null` are an empty object.
    pub(crate) fn of_write(mut bytes: Zeroizing<Vec<u8>>, content_type: Option<&str>) -> Result<Self, LenientError> {
        let text = bytes.trim_ascii();
        if text.is_empty() {
            return Ok(Self::empty());
        }
        if let Some(rest) = text.strip_prefix(b"null") {
            let mut rest = Zeroizing::new(rest.to_vec());
            settle::settle(&mut rest)?;
            return after::check(&rest).map(|()| Self::empty()).map_err(|message| LenientError::Json(message.into()));
        }
        let is_json = matches!(text.first(), Some(b'{' | b'['));
        if !is_json && content_type.is_some_and(|declared| declared.starts_with("application/x-www-form-urlencoded")) {
            return Ok(Self(form::form_as_json(text)?));
        }
        match text.first() {
            Some(b'{') => {}
            Some(first) => return Err(LenientError::Json(no_object(*first))),
            None => return Err(LenientError::Json("unexpected end of JSON input".into())),
        }
        settle::settle(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// The parameters of a GET, LIST or DELETE: its query.
    pub(crate) fn of_query(query: Option<&str>) -> Result<Self, LenientError> {
        match query {
            None | Some("") => Ok(Self::empty()),
            Some(query) => Ok(Self(query_as_json(query)?)),
        }
    }

    /// No parameters.
    pub(crate) fn empty() -> Self {
        Self(Zeroizing::new(Vec::new()))
    }

    /// The top level.
    pub(crate) fn fields(&self) -> Result<Fields<'_>, LenientError> {
        if self.0.is_empty() {
            return Ok(Fields::default());
        }
        Fields::parse(&self.0)
    }
}

impl<'a> Fields<'a> {
    /// The top level of a JSON object. What follows it must begin as JSON does, and is passed over.
    pub(crate) fn parse(text: &'a [u8]) -> Result<Self, LenientError> {
        let mut values = serde_json::Deserializer::from_slice(text).into_iter::<Fields<'a>>();
        let fields = match values.next() {
            Some(fields) => fields.map_err(|error| LenientError::Json(describe(&error)))?,
            None => return Err(LenientError::Json("unexpected end of JSON input".into())),
        };
        let rest = text.get(values.byte_offset()..).unwrap_or_default();
        after::check(rest).map_err(|message| LenientError::Json(message.into()))?;
        Ok(fields)
    }

    /// The raw value of a field, `null` included.
    pub(crate) fn raw(&self, field: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(key, _)| key == field).map(|(_, value)| *value)
    }

    /// Every field as sent.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), *value))
    }

    /// The fields' names, and whether the value of each is `null`.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, bool)> {
        self.iter().map(|(name, raw)| (name, raw.get() == "null"))
    }

    /// Text; a number or a boolean is taken as its text.
    pub(crate) fn text(&self, field: &'static str) -> Result<Option<Zeroizing<String>>, LenientError> {
        self.value(field).map(|raw| scalar(field, raw)).transpose()
    }

    /// A boolean: JSON's, a number (0 = false), or Go's spellings `1 t T TRUE true True 0 f F FALSE false False`.
    pub(crate) fn boolean(&self, field: &'static str) -> Result<Option<bool>, LenientError> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        match go_bool(&text) {
            Some(value) => Ok(Some(value)),
            None if text.is_empty() => Ok(Some(false)),
            None => Err(LenientError::Field { field, message: "cannot parse value as 'bool'" }),
        }
    }

    /// A whole number, also as text; empty text is 0.
    pub(crate) fn integer(&self, field: &'static str) -> Result<Option<i64>, LenientError> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        parse_integer(field, &text).map(Some)
    }

    /// A duration: seconds as number or text, or Go's notation (`1h30m`), also days (`7d`).
    pub(crate) fn duration(&self, field: &'static str) -> Result<Option<GoDuration>, LenientError> {
        let Some(text) = self.text(field)? else { return Ok(None) };
        text.parse().map(Some).map_err(|message| LenientError::Field { field, message })
    }

    /// A list: an array of scalars, or text separated by commas; blanks around items and empty items are dropped.
    pub(crate) fn list(&self, field: &'static str) -> Result<Option<Vec<String>>, LenientError> {
        let Some(raw) = self.value(field) else { return Ok(None) };
        let mut items = Vec::new();
        if raw.get().starts_with('[') {
            let array: Vec<&RawValue> = serde_json::from_str(raw.get())
                .map_err(|_| LenientError::Field { field, message: "expected a list" })?;
            for raw in array {
                push_item(field, &mut items, scalar(field, raw)?.trim())?;
            }
        } else {
            for item in scalar(field, raw)?.split(',') {
                push_item(field, &mut items, item.trim())?;
            }
        }
        Ok(Some(items))
    }

    /// Whole numbers from 0 in a list; anything else is an error.
    pub(crate) fn integers(&self, field: &'static str) -> Result<Option<Vec<u64>>, LenientError> {
        let Some(list) = self.list(field)? else { return Ok(None) };
        let message = "expected a list of version numbers";
        list.iter()
            .map(|item| item.parse().map_err(|_| LenientError::Field { field, message }))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// Text by text; numbers and booleans are taken as their text.
    pub(crate) fn map(&self, field: &'static str) -> Result<Option<BTreeMap<String, String>>, LenientError> {
        let Some(raw) = self.value(field) else { return Ok(None) };
        let message = "expected a map of strings";
        let map: BTreeMap<String, &RawValue> =
            serde_json::from_str(raw.get()).map_err(|_| LenientError::Field { field, message })?;
        if map.len() > MAX_ITEMS {
            return Err(LenientError::Field { field, message: "too many items" });
        }
        map.into_iter().map(|(key, raw)| Ok((key, scalar(field, raw)?.to_string()))).collect::<Result<_, _>>().map(Some)
    }

    /// An object's own top level, for `options` and `config`.
    pub(crate) fn object(&self, field: &'static str) -> Result<Option<Fields<'a>>, LenientError> {
        let Some(raw) = self.value(field) else { return Ok(None) };
        let mut json = serde_json::Deserializer::from_str(raw.get());
        json.deserialize_any(TopLevel).map(Some).map_err(|_| LenientError::Field { field, message: "expected a map" })
    }

    /// The raw value unless absent or `null`.
    fn value(&self, field: &str) -> Option<&'a RawValue> {
        self.raw(field).filter(|raw| raw.get() != "null")
    }
}

/// Go's `ParseBool`.
pub(crate) fn go_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

fn parse_integer(field: &'static str, text: &str) -> Result<i64, LenientError> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| LenientError::Field { field, message: "cannot parse value as 'int'" })
}

fn push_item(field: &'static str, items: &mut Vec<String>, item: &str) -> Result<(), LenientError> {
    if item.is_empty() {
        return Ok(());
    }
    if items.len() >= MAX_ITEMS {
        return Err(LenientError::Field { field, message: "too many items" });
    }
    items.push(item.to_owned());
    Ok(())
}

/// A string's content, a number's or a boolean's text.
pub(crate) fn scalar(field: &'static str, raw: &RawValue) -> Result<Zeroizing<String>, LenientError> {
    let wrong = LenientError::Field { field, message: "expected type 'string', got unconvertible type" };
    match raw.get().as_bytes().first() {
        Some(b'"') => serde_json::from_str::<String>(raw.get()).map(Zeroizing::new).map_err(|_| wrong),
        Some(b'{' | b'[') | None => Err(wrong),
        Some(_) if raw.get() == "null" => Ok(Zeroizing::new(String::new())),
        Some(_) => Ok(Zeroizing::new(raw.get().to_owned())),
    }
}

/// Why a body that begins like this is no object.
fn no_object(first: u8) -> String {
    let kind = match first {
        b'[' => "array",
        b'"' => "string",
        b'-' | b'0'..=b'9' => "number",
        b't' | b'f' => "bool",
        _ => return "invalid character looking for beginning of value".to_owned(),
    };
    format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}")
}

/// Where the parser stopped, without the text around the place, which may be a value.
fn describe(error: &serde_json::Error) -> String {
    match error.classify() {
        serde_json::error::Category::Data => format!("more than {MAX_FIELDS} fields"),
        serde_json::error::Category::Eof => "unexpected end of JSON input".into(),
        serde_json::error::Category::Io | serde_json::error::Category::Syntax => {
            format!("invalid character at line {} column {}", error.line(), error.column())
        }
    }
}

impl<'de> serde::Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TopLevel)
    }
}

struct TopLevel;

impl<'de> Visitor<'de> for TopLevel {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
        // Each one is looked for among those before it, so those that are sent again count too.
        let mut sent = 0;
        while let Some(Key(key)) = map.next_key::<Key<'de>>()? {
            let value = map.next_value::<&'de RawValue>()?;
            sent += 1;
            if sent > MAX_FIELDS {
                return Err(A::Error::custom("too many fields"));
            }
            match fields.iter_mut().find(|(known, _)| *known == key) {
                Some((_, slot)) => *slot = value,
                None => fields.push((key, value)),
            }
        }
        Ok(Fields(fields))
    }
}

/// A key, borrowed where it has no escapes.
struct Key<'a>(Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Levels of objects and arrays; serde_json's own recursive readers stop at 128.
const MAX_DEPTH: usize = 100;
/// Members of all objects and lists of one request: what a reader makes of each takes a hundred bytes.
const MAX_MEMBERS: usize = 1 << 20;
/// Top-level fields of one request, those that are sent twice counted twice.
const MAX_FIELDS: usize = 1_000;
/// Items of one list or map.
const MAX_ITEMS: usize = 10_000;
