//! What a rule demands of a request's data: required, denied and allowed parameters with their values.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::decision::ParameterFault;

/// The constraints of one rule. Names are in lower case; an empty list of values stands for any value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Constraints {
    pub(super) allowed: BTreeMap<String, Vec<Value>>,
    pub(super) denied: BTreeMap<String, Vec<Value>>,
    pub(super) required: BTreeSet<String>,
}

impl Constraints {
    pub(super) fn is_empty(&self) -> bool {
        self.allowed.is_empty() && self.denied.is_empty() && self.required.is_empty()
    }

    /// Bytes that they hold, about.
    pub(super) fn weight(&self) -> usize {
        let lists = self.allowed.iter().chain(&self.denied);
        let lists = lists.map(|(name, values)| ENTRY + name.len() + values.iter().map(value_weight).sum::<usize>());
        lists.sum::<usize>() + self.required.iter().map(|name| ENTRY + name.len()).sum::<usize>()
    }

    /// Joins in the constraints of another rule for the same pattern.
    pub(super) fn merge(&mut self, other: &Constraints) {
        merge_values(&mut self.allowed, &other.allowed);
        merge_values(&mut self.denied, &other.denied);
        self.required.extend(other.required.iter().cloned());
    }
}

/// The constraints of several rules for the same pattern, as if they were merged.
#[derive(Clone, Copy)]
pub(super) struct Joined<I>(pub(super) I);

impl<'a, I> Joined<I>
where
    I: Iterator<Item = &'a Constraints> + Clone,
{
    pub(super) fn is_empty(&self) -> bool {
        self.0.clone().all(Constraints::is_empty)
    }

    pub(super) fn requires(&self, name: &str) -> bool {
        self.0.clone().any(|constraints| constraints.required.contains(name))
    }

    /// The first fault of `data`, with the name of the parameter at fault.
    pub(super) fn fault(&self, data: Option<&Map<String, Value>>) -> Option<(String, ParameterFault)> {
        let none = Map::new();
        if let Some(name) = self.missing(data.unwrap_or(&none)).next() {
            return Some((name.to_owned(), ParameterFault::Missing));
        }
        data?.iter().find_map(|(name, value)| Some((name.clone(), self.verdict(name, value)?)))
    }

    /// The required parameters that were not sent. Their names must be sent in lower case.
    pub(super) fn missing<'d>(&self, data: &'d Map<String, Value>) -> impl Iterator<Item = &'a str> + use<'a, 'd, I> {
        let required = self.0.clone().flat_map(|constraints| &constraints.required);
        required.map(String::as_str).filter(|name| !data.contains_key(*name))
    }

    /// What is wrong with one parameter that was sent.
    pub(super) fn verdict(&self, name: &str, value: &Value) -> Option<ParameterFault> {
        let name = lower(name);
        if self.0.clone().any(|constraints| constraints.denied.contains_key(ANY)) {
            return Some(ParameterFault::Denied);
        }
        if self.lookup(|c| &c.denied, &name, value) == Listed::Value {
            return Some(ParameterFault::Denied);
        }
        if self.0.clone().all(|constraints| constraints.allowed.is_empty()) {
            return None;
        }
        match self.lookup(|c| &c.allowed, &name, value) {
            Listed::Value => None,
            Listed::Name => Some(ParameterFault::ValueNotAllowed),
            Listed::Not if self.0.clone().any(|constraints| constraints.allowed.contains_key(ANY)) => None,
            Listed::Not => Some(ParameterFault::NotAllowed),
        }
    }

    fn lookup(
        &self,
        map: fn(&'a Constraints) -> &'a BTreeMap<String, Vec<Value>>,
        name: &str,
        value: &Value,
    ) -> Listed {
        let mut listed = Listed::Not;
        for values in self.0.clone().filter_map(|constraints| map(constraints).get(name)) {
            if values.is_empty() || values.iter().any(|allowed| accepts(allowed, value)) {
                return Listed::Value;
            }
            listed = Listed::Name;
        }
        listed
    }
}

/// Whether a parameter is in a map of names and values.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Listed {
    Name,
    Not,
    Value,
}

fn value_weight(value: &Value) -> usize {
    let held = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(value_weight).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| ENTRY + name.len() + value_weight(value)).sum(),
    };
    ENTRY + held
}

fn merge_values(into: &mut BTreeMap<String, Vec<Value>>, from: &BTreeMap<String, Vec<Value>>) {
    for (name, values) in from {
        match into.get_mut(name) {
            None => {
                into.insert(name.clone(), values.clone());
            }
            Some(existing) if existing.is_empty() || values.is_empty() => existing.clear(),
            Some(existing) => existing.extend(values.iter().cloned()),
        }
    }
}

fn lower(name: &str) -> Cow<'_, str> {
    if name.chars().any(char::is_uppercase) { Cow::Owned(name.to_lowercase()) } else { Cow::Borrowed(name) }
}

/// Whether a value of a policy accepts a value of a request: strings by glob, all else by deep equality.
fn accepts(policy: &Value, sent: &Value) -> bool {
    match (policy, sent) {
        (Value::String(glob), Value::String(text)) => glob_matches(glob, text),
        _ => same(policy, sent),
    }
}

/// A `*` at the start or the end of `glob` stands for anything; a glob that is nothing but one `*` is literal.
fn glob_matches(glob: &str, text: &str) -> bool {
    if glob.len() < 2 {
        return glob == text;
    }
    let (open_start, rest) = glob.strip_prefix('*').map_or((false, glob), |rest| (true, rest));
    let (open_end, rest) = rest.strip_suffix('*').map_or((false, rest), |rest| (true, rest));
    match (open_start, open_end) {
        (false, false) => text == rest,
        (false, true) => text.starts_with(rest),
        (true, false) => text.ends_with(rest),
        (true, true) => text.contains(rest),
    }
}

/// Deep equality, in which a number equals nothing: as in the original, whose policies hold numbers of another type than
/// its requests do.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        (Value::Null, Value::Null) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::String(a), Value::String(b)) => a == b,
        _ => false,
    }
}

/// The name that stands for every parameter.
const ANY: &str = "*";

/// About what a name or a value takes beside its text.
const ENTRY: usize = 48;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn glob_matches_at_either_end_only() {
        for (glob, text, matches) in [
            ("a", "a", true),
            ("", "", true),
            ("*", "a", false),
            ("*", "*", true),
            ("**", "anything", true),
            ("a*", "abc", true),
            ("a*", "ba", false),
            ("*a", "ba", true),
            ("*a*", "bab", true),
            ("a*c", "abc", false),
            ("a*c", "a*c", true),
        ] {
            assert_eq!(glob_matches(glob, text), matches, "{glob} {text}");
        }
    }

    #[test]
    fn same_compares_types_strictly_and_matches_no_number() {
        assert!(!same(&json!(5), &json!(5)) && !same(&json!([1.5]), &json!([1.5])));
        assert!(!same(&json!(5), &json!("5")));
        assert!(!same(&json!(true), &json!("true")));
        assert!(same(&json!({"a": ["1", {"b": null}]}), &json!({"a": ["1", {"b": null}]})));
        assert!(!same(&json!({"a": "1"}), &json!({"a": "1", "b": "2"})));
        assert!(!same(&json!(["1"]), &json!(["1", "2"])));
    }
}
