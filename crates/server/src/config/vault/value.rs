//! Values as leniently as Vault reads them: a boolean or a number may stand in quotes.

use coffer_core::policy::hcl::{Node, Value};

use crate::vault::lenient::{GoDuration, go_bool};

/// Why a text is refused, and where.
#[derive(Debug, PartialEq)]
pub(crate) struct Fault {
    /// From 1.
    pub(crate) line: u32,
    /// What is wrong, without the value.
    pub(crate) message: String,
}

pub(super) fn fault(line: u32, message: impl Into<String>) -> Fault {
    Fault { line, message: message.into() }
}

/// Whether a value leaves its key as it is without the key.
pub(super) fn nothing_set(node: &Node) -> bool {
    match &node.value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::List(nodes) => nodes.is_empty(),
        Value::Bool(true) | Value::Float(_) | Value::Integer(_) | Value::Object(_) => false,
    }
}

pub(super) fn text<'a>(node: &'a Node, name: &str) -> Result<&'a str, Fault> {
    match &node.value {
        Value::String(text) => Ok(text),
        other => Err(fault(node.position.line, format!("{name} is {}, not a string", other.kind()))),
    }
}

pub(super) fn flag(node: &Node, name: &str) -> Result<bool, Fault> {
    let parsed = match &node.value {
        Value::Bool(value) => Some(*value),
        Value::Integer(0) => Some(false),
        Value::Integer(1) => Some(true),
        Value::String(text) if text.is_empty() => Some(false),
        Value::String(text) => go_bool(text),
        Value::Float(_) | Value::Integer(_) | Value::List(_) | Value::Null | Value::Object(_) => None,
    };
    parsed.ok_or_else(|| fault(node.position.line, format!("{name} is true or false")))
}

pub(super) fn whole(node: &Node, name: &str) -> Result<i64, Fault> {
    let parsed = match &node.value {
        Value::Integer(number) => Some(*number),
        Value::String(text) => text.parse().ok(),
        Value::Bool(_) | Value::Float(_) | Value::List(_) | Value::Null | Value::Object(_) => None,
    };
    parsed.ok_or_else(|| fault(node.position.line, format!("{name} is a whole number")))
}

/// A duration in seconds, or as `768h`; `None` where it is zero, which means the default.
pub(super) fn seconds(node: &Node, name: &str) -> Result<Option<u64>, Fault> {
    let parsed = match &node.value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::String(text) => text.parse::<GoDuration>().ok().and_then(GoDuration::whole_secs),
        Value::Bool(_) | Value::Float(_) | Value::List(_) | Value::Null | Value::Object(_) => None,
    };
    let message = || format!("{name} is a duration, as \"768h\", or a number of seconds");
    parsed
        .map(|seconds| Some(seconds).filter(|seconds| *seconds > 0))
        .ok_or_else(|| fault(node.position.line, message()))
}

/// The key that was probably meant, for the end of a message.
pub(super) fn hint(name: &str, known: &[&str]) -> String {
    let near = known.iter().map(|key| (distance(name, key), key)).min().filter(|(distance, _)| *distance <= 2);
    near.map_or_else(|| " and was passed over".to_owned(), |(_, key)| format!("; {key} is"))
}

/// How many characters are to be changed, added or taken away (Levenshtein). Long names are cut: they are far from all.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, from) in left.chars().take(64).enumerate() {
        let mut corner = index;
        let mut before = index + 1;
        let mut next = vec![before];
        for (to, above) in right.iter().zip(row.iter().skip(1)) {
            before = (corner + usize::from(from != *to)).min(before + 1).min(above + 1);
            corner = *above;
            next.push(before);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
