//! One item or many: the same calls take one at the top level of the body, or a list of them, each with its own result.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor, value::MapDeserializer},
};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::Code;

/// Items of one request at most.
pub const MAX_ITEMS: usize = 100_000;

/// Body of a call for one item or many: `{item…, option…}`, or `{"items": [{item…}], option…}`; not both.
///
/// It is read from JSON alone, field by field from the text, so that no value is copied on its way.
#[derive(Clone, Debug, Serialize)]
pub struct KeyBatch<I, O = NoOptions> {
    /// What is to be done.
    #[serde(flatten)]
    pub items: KeyItems<I>,
    /// What holds for every item.
    #[serde(flatten)]
    pub options: O,
}

/// The items of a request.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum KeyItems<I> {
    /// At the top level of the body.
    One(I),
    /// As a list.
    Many {
        /// At most 100,000; more are refused, and the rest of them not even kept.
        items: Vec<I>,
    },
}

/// Nothing that holds for every item.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}

/// An item of a batch.
pub trait Item: DeserializeOwned {
    /// All its fields, by which they are told from options.
    const FIELDS: &'static [&'static str];
}

/// Reply of a call for one item or many.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum KeyReply<T> {
    /// To one at the top level; what goes against it is the call's own error.
    One(T),
    /// To a list.
    Many(KeyResults<T>),
}

/// Reply to a list of items.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(bound(deserialize = "T: DeserializeOwned"))]
pub struct KeyResults<T> {
    /// In the order of the items.
    pub items: Vec<KeyResult<T>>,
}

/// What became of one item of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub enum KeyResult<T> {
    /// It was done.
    Done(T),
    /// It was not.
    Failed {
        /// Why.
        error: KeyItemError,
    },
}

/// Why an item was not done.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct KeyItemError {
    /// Stable cause.
    pub code: Code,
    /// What failed in this case, for people. Never holds a value.
    pub message: String,
}

impl<I, O: Default> KeyBatch<I, O> {
    /// One item, without options.
    pub fn one(item: I) -> Self {
        Self { items: KeyItems::One(item), options: O::default() }
    }

    /// A list, without options.
    pub fn many(items: Vec<I>) -> Self {
        Self { items: KeyItems::Many { items }, options: O::default() }
    }
}

impl<I> KeyItems<I> {
    /// The items, however they came.
    pub fn as_slice(&self) -> &[I] {
        match self {
            Self::One(item) => std::slice::from_ref(item),
            Self::Many { items } => items,
        }
    }
}

impl<'de, I: Item, O: DeserializeOwned> Deserialize<'de> for KeyBatch<I, O> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Body(PhantomData))
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for KeyResult<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Failed {
            error: Option<KeyItemError>,
        }
        let raw = <&RawValue>::deserialize(deserializer)?;
        let failed: Failed = serde_json::from_str(raw.get()).map_err(D::Error::custom)?;
        match failed.error {
            Some(error) => Ok(Self::Failed { error }),
            None => serde_json::from_str(raw.get()).map(Self::Done).map_err(D::Error::custom),
        }
    }
}

/// Reads a body.
struct Body<I, O>(PhantomData<(I, O)>);

impl<'de, I: Item, O: DeserializeOwned> Visitor<'de> for Body<I, O> {
    type Value = KeyBatch<I, O>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with one item, or with a list of them in `items`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut item, mut options, mut list) = (Vec::new(), Vec::new(), None);
        while let Some(name) = map.next_key::<String>()? {
            if name == "items" {
                if list.replace(map.next_value::<List<I>>()?).is_some() {
                    return Err(A::Error::duplicate_field("items"));
                }
                continue;
            }
            let value = map.next_value::<&'de RawValue>()?;
            let fields = if I::FIELDS.contains(&name.as_str()) { &mut item } else { &mut options };
            fields.push((name, value));
        }
        let options = O::deserialize(MapDeserializer::new(options.into_iter())).map_err(error)?;
        let items = match (list, item.first()) {
            (Some(_), Some((name, _))) => {
                return Err(A::Error::custom(format!("`{name}` belongs into each of the `items`")));
            }
            (Some(List(items)), None) => KeyItems::Many { items },
            (None, _) => KeyItems::One(I::deserialize(MapDeserializer::new(item.into_iter())).map_err(error)?),
        };
        Ok(KeyBatch { items, options })
    }
}

/// A list of items, of which one more is kept than there may be.
struct List<I>(Vec<I>);

impl<'de, I: Item> Deserialize<'de> for List<I> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData)).map(Self)
    }
}

struct ListVisitor<I>(PhantomData<I>);

impl<'de, I: Item> Visitor<'de> for ListVisitor<I> {
    type Value = Vec<I>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<I>, A::Error> {
        let mut items = Vec::new();
        while items.len() <= MAX_ITEMS {
            match list.next_element()? {
                Some(item) => items.push(item),
                None => return Ok(items),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(items)
    }
}

/// What is wrong with a field, in the words of the reader of the whole.
fn error<E: serde::de::Error>(error: serde_json::Error) -> E {
    E::custom(error)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::keys::{
        KeyDecryptItem, KeyEncrypt, KeyEncryptItem, KeyEncrypted, KeyMacItem, KeyRewrapItem, KeySign, KeySignItem,
        KeySignOptions, KeyVerifyItem, KeyVerifyMacItem,
    };

    fn refused(text: &str) -> String {
        serde_json::from_str::<KeySign>(text).unwrap_err().to_string()
    }

    #[test]
    fn one_item_and_many_are_told_apart_and_written_as_read() {
        for text in [
            r#"{"input":"aQ==","context":"Yw==","key_version":2,"hash":"sha2-512","prehashed":false}"#,
            r#"{"items":[{"input":"aQ=="},{"input":"","context":"Yw=="}],"prehashed":true}"#,
            r#"{"items":[],"prehashed":false}"#,
        ] {
            let read: KeySign = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
        let mut built = KeySign::one(KeySignItem { input: "aQ==".into(), context: None });
        built.options = KeySignOptions { key_version: Some(3), ..KeySignOptions::default() };
        assert_eq!(
            serde_json::to_value(&built).unwrap(),
            json!({"input": "aQ==", "key_version": 3, "prehashed": false})
        );
    }

    #[test]
    fn what_is_unknown_twice_missing_or_of_both_kinds_is_refused() {
        for (text, why) in [
            (r#"{"input":"a","colour":1}"#, "unknown field `colour`"),
            (r#"{"input":"a","input":"b"}"#, "duplicate field `input`"),
            (r#"{"items":[],"items":[]}"#, "duplicate field `items`"),
            (r#"{"input":"a","hash":"x","hash":"y"}"#, "duplicate field `hash`"),
            (r#"{"items":[{"input":"a","hash":"x"}]}"#, "unknown field `hash`"),
            (r#"{"items":[{"input":"a"}],"context":"c"}"#, "`context` belongs into each of the `items`"),
            (r#"{"key_version":1}"#, "missing field `input`"),
            (r#"{"items":null}"#, "invalid type: null, expected a list of items"),
            (r#"{"items":[7]}"#, "invalid type"),
            (r#"{"input":"a","key_version":-1}"#, "invalid value"),
            (r#"[]"#, "an object with one item"),
        ] {
            assert!(refused(text).contains(why), "{text}: {}", refused(text));
        }
    }

    #[test]
    fn no_more_items_are_kept_than_show_that_they_are_too_many() {
        let text = format!(r#"{{"items":[{}]}}"#, vec![r#"{"plaintext":""}"#; MAX_ITEMS + 5].join(","));
        let read: KeyEncrypt = serde_json::from_str(&text).unwrap();
        assert_eq!(read.items.as_slice().len(), MAX_ITEMS + 1);
    }

    #[test]
    fn result_of_an_item_is_read_as_written() {
        let text =
            r#"{"items":[{"ciphertext":"vault:v1:x","key_version":1},{"error":{"code":"invalid","message":"no"}}]}"#;
        let read: KeyResults<KeyEncrypted> = serde_json::from_str(text).unwrap();
        assert!(matches!(read.items[..], [KeyResult::Done(_), KeyResult::Failed { .. }]));
        assert_eq!(serde_json::to_string(&KeyReply::Many(read)).unwrap(), text);
    }

    #[test]
    fn fields_of_items_are_those_that_they_have() {
        fn check<I: Item>() {
            let unknown = serde_json::from_str::<I>(r#"{"none of them":1}"#).err().unwrap().to_string();
            let named: Vec<&str> = unknown.split('`').skip(3).step_by(2).collect();
            assert_eq!(named, I::FIELDS, "{unknown}");
        }
        check::<KeyDecryptItem>();
        check::<KeyEncryptItem>();
        check::<KeyMacItem>();
        check::<KeyRewrapItem>();
        check::<KeySignItem>();
        check::<KeyVerifyItem>();
        check::<KeyVerifyMacItem>();
    }
}
