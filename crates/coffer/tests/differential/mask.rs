//! Masks: where two replies may differ, how far, and why.

use std::cell::Cell;

use serde::Deserialize;
use serde_json::Value;

use crate::format::same_format;

/// One line of `masks.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mask {
    /// Requests: `METHOD path`, in which `*` stands for any text.
    on: String,
    /// Where in the reply: `status`, `header:NAME`, or a pointer into the body in which `*` stands for one key and `**`
    /// for any number of them.
    at: String,
    /// How far the values may differ.
    #[serde(flatten)]
    allows: Allows,
    /// Why they do.
    #[allow(dead_code, reason = "for the reader; its absence fails the test")]
    why: String,
    /// How many differences it covered.
    #[serde(skip)]
    used: Cell<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Allows {
    /// Any two values of this format.
    #[serde(rename = "format")]
    Format(String),
    /// This value of the original's and this one of Coffer's; texts may end in `…`, which stands for any rest.
    Pair([Value; 2]),
    /// Only the original has the key.
    Missing(()),
    /// Only Coffer has the key.
    Extra(()),
    /// The same elements in another order.
    Order(()),
}

/// Masks of a run.
pub struct Masks(Vec<Mask>);

/// One place where the replies differ: a value that is absent is `None`.
pub struct Place<'a> {
    pub request: &'a str,
    pub at: &'a str,
    pub bao: Option<&'a Value>,
    pub coffer: Option<&'a Value>,
}

impl Masks {
    pub fn parse(json: &str) -> Self {
        let masks: Vec<Mask> = serde_json::from_str(json).unwrap_or_else(|error| panic!("masks.json: {error}"));
        assert!(masks.iter().all(|mask| !mask.why.is_empty()), "a mask without a reason");
        Self(masks)
    }

    /// Whether a mask covers the difference.
    pub fn cover(&self, place: &Place<'_>) -> bool {
        let found = self.0.iter().find(|mask| mask.covers(place));
        if let Some(mask) = found {
            mask.used.set(mask.used.get() + 1);
        }
        found.is_some()
    }

    /// A mask of numbers that depend on the moment is of use also where they happen to be equal. No other is.
    pub fn see_equal(&self, place: &Place<'_>) {
        let is_of_a_moment =
            |mask: &&Mask| matches!(&mask.allows, Allows::Format(format) if format.starts_with("within:"));
        if let Some(mask) = self.0.iter().filter(is_of_a_moment).find(|mask| mask.covers(place)) {
            mask.used.set(mask.used.get() + 1);
        }
    }

    /// Masks that covered nothing.
    pub fn unused(&self) -> Vec<String> {
        let unused = self.0.iter().filter(|mask| mask.used.get() == 0);
        unused.map(|mask| format!("{} at {}", mask.on, mask.at)).collect()
    }
}

impl Mask {
    fn covers(&self, place: &Place<'_>) -> bool {
        glob(&self.on, place.request) && pointer(&self.at, place.at) && self.allows.allows(place.bao, place.coffer)
    }
}

impl Allows {
    fn allows(&self, bao: Option<&Value>, coffer: Option<&Value>) -> bool {
        match (self, bao, coffer) {
            (Self::Format(format), Some(bao), Some(coffer)) => same_format(format, bao, coffer),
            (Self::Pair([a, b]), Some(bao), Some(coffer)) => is(a, bao) && is(b, coffer),
            (Self::Order(()), Some(Value::Array(a)), Some(Value::Array(b))) => sorted(a) == sorted(b),
            (Self::Missing(()), Some(_), None) | (Self::Extra(()), None, Some(_)) => true,
            _ => false,
        }
    }
}

/// Whether a value is the expected one, or begins with its text up to `…`.
fn is(expected: &Value, found: &Value) -> bool {
    match (expected.as_str().and_then(|text| text.strip_suffix('…')), found.as_str()) {
        (Some(start), Some(found)) => found.starts_with(start),
        _ => expected == found,
    }
}

fn sorted(values: &[Value]) -> Vec<String> {
    let mut texts: Vec<String> = values.iter().map(Value::to_string).collect();
    texts.sort();
    texts
}

fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text
            .strip_prefix(start)
            .is_some_and(|text| (0..=text.len()).any(|at| text.is_char_boundary(at) && glob(rest, &text[at..]))),
    }
}

fn pointer(pattern: &str, at: &str) -> bool {
    fn matches(pattern: &[&str], at: &[&str]) -> bool {
        match (pattern, at) {
            ([], []) => true,
            (["**", rest @ ..], _) => (0..=at.len()).any(|skipped| matches(rest, &at[skipped..])),
            ([first, pattern @ ..], [key, at @ ..]) => (*first == "*" || first == key) && matches(pattern, at),
            _ => false,
        }
    }
    matches(&pattern.split('/').collect::<Vec<_>>(), &at.split('/').collect::<Vec<_>>())
}
