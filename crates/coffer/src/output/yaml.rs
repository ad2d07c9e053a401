//! A YAML emitter for JSON values: block style, keys in order, strings quoted as JSON quotes them wherever any YAML
//! reader, old or new, could take them for something else.

use serde_json::Value;

/// The value as a YAML document.
pub(crate) fn emit(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Array(items) if !items.is_empty() => sequence(items, 0, &mut out),
        Value::Object(map) if !map.is_empty() => mapping(map, 0, &mut out),
        Value::Array(_) | Value::Bool(_) | Value::Null | Value::Number(_) | Value::Object(_) | Value::String(_) => {
            out.push_str(&scalar(value));
            out.push('\n');
        }
    }
    out
}

fn sequence(items: &[Value], depth: usize, out: &mut String) {
    for item in items {
        out.extend(std::iter::repeat_n("  ", depth));
        out.push_str("- ");
        match item {
            // The first line of a nested block stands behind the dash, the others below it.
            Value::Object(map) if !map.is_empty() => nested(depth, out, |out| mapping(map, depth + 1, out)),
            Value::Array(items) if !items.is_empty() => nested(depth, out, |out| sequence(items, depth + 1, out)),
            Value::Array(_) | Value::Bool(_) | Value::Null | Value::Number(_) | Value::Object(_) | Value::String(_) => {
                out.push_str(&scalar(item));
                out.push('\n');
            }
        }
    }
}

fn mapping(map: &serde_json::Map<String, Value>, depth: usize, out: &mut String) {
    for (key, value) in map {
        out.extend(std::iter::repeat_n("  ", depth));
        string(key, out);
        out.push(':');
        match value {
            Value::Object(map) if !map.is_empty() => {
                out.push('\n');
                mapping(map, depth + 1, out);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                sequence(items, depth + 1, out);
            }
            Value::Array(_) | Value::Bool(_) | Value::Null | Value::Number(_) | Value::Object(_) | Value::String(_) => {
                out.push(' ');
                out.push_str(&scalar(value));
                out.push('\n');
            }
        }
    }
}

fn nested(depth: usize, out: &mut String, write: impl FnOnce(&mut String)) {
    let mut block = String::new();
    write(&mut block);
    out.push_str(block.get((depth + 1) * 2..).unwrap_or_default());
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => {
            let mut out = String::new();
            string(text, &mut out);
            out
        }
        Value::Array(_) => "[]".to_owned(),
        Value::Object(_) => "{}".to_owned(),
    }
}

fn string(text: &str, out: &mut String) {
    if is_plain(text) {
        out.push_str(text);
    } else {
        quote(text, out);
    }
}

/// Starts with a letter and holds nothing special, so that it is neither number, date nor syntax; and is no word that
/// stands for a truth value or nothing in YAML 1.1 or 1.2.
fn is_plain(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'/' | b'-'))
        && !WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// JSON's escapes, which are a part of YAML's double-quoted style, for all that YAML does not take or that breaks lines.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn nested_values_indent_under_their_keys() {
        let value = json!({"a": [{"b": 1, "c": [true, null]}, [2, ["x"]], []], "d": {}, "e f": "yes"});
        assert_eq!(
            emit(&value),
            "a:\n  - b: 1\n    c:\n      - true\n      - null\n  - - 2\n    - - x\n  - []\nd: {}\n\"e f\": \"yes\"\n"
        );
        assert_eq!(emit(&json!([])), "[]\n");
        assert_eq!(emit(&json!("a b")), "\"a b\"\n");
    }

    #[test]
    fn strings_that_some_reader_takes_for_something_else_are_quoted() {
        for text in [
            "",
            "~",
            "null",
            "Null",
            "yes",
            "NO",
            "On",
            "y",
            "N",
            "true",
            "1",
            "1e3",
            "0x1f",
            "0o7",
            "1_000",
            "12:30:45",
            "2026-01-01",
            ".inf",
            ".NaN",
            "-1",
            "+1",
            "- a",
            "a: b",
            "a #b",
            "#",
            "!t",
            "&a",
            "*a",
            "|",
            ">",
            "%a",
            "@a",
            "`",
            "'",
            "\"",
            "{",
            "[",
            "a,b",
            " a",
            "a ",
            "a\n",
            "---",
            "...",
            "<<",
            "=",
            "\u{feff}a",
            "a\u{85}b",
            "ä",
        ] {
            assert!(emit(&json!(text)).starts_with('"'), "{text:?}");
        }
        for text in ["abc", "DATABASE_URL", "a.b-c/d", "_x", "yess"] {
            assert_eq!(emit(&json!(text)), format!("{text}\n"));
        }
    }

    const LINE_SEPARATOR: char = '\u{2028}';

    /// Reads what the emitter writes for a string: plain as it is, quoted by an independent JSON parser.
    fn read_back(text: &str) -> String {
        match text.strip_suffix('\n').unwrap() {
            quoted if quoted.starts_with('"') => serde_json::from_str(quoted).unwrap(),
            plain => plain.to_owned(),
        }
    }

    proptest! {
        #[test]
        fn any_string_comes_back_and_stays_on_one_line(text in any::<String>()) {
            let emitted = emit(&json!(text));
            prop_assert_eq!(emitted.lines().count(), 1);
            let breaks = emitted.trim_end_matches('\n').chars().any(|c| c.is_control() || c == LINE_SEPARATOR);
            prop_assert!(!breaks);
            prop_assert_eq!(read_back(&emitted), text);
        }
    }
}
