//! As much of JSON Schema (draft 4) as the schema of SARIF uses; a word that is not known here is a fault of the test.

use serde_json::Value;

/// Panics with every fault.
pub fn assert_fits(schema: &Value, value: &Value) {
    let faults = faults(schema, value);
    assert!(faults.is_empty(), "{faults:#?}\n{value:#}");
}

/// What of a value does not fit.
pub fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    check(schema, schema, value, "$", &mut faults);
    faults
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
    let fits = |schema: &Value| {
        let mut none = Vec::new();
        check(root, schema, value, at, &mut none);
        none.is_empty()
    };
    for (word, wanted) in schema.as_object().unwrap() {
        let fault = match word.as_str() {
            "$ref" => {
                let pointer = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                check(root, root.pointer(pointer).unwrap(), value, at, faults);
                continue;
            }
            "type" => match wanted {
                Value::Array(kinds) => !kinds.iter().any(|kind| is(kind, value)),
                kind => !is(kind, value),
            },
            "enum" => !wanted.as_array().unwrap().contains(value),
            "minimum" => value.as_f64().is_some_and(|number| number < wanted.as_f64().unwrap()),
            "maximum" => value.as_f64().is_some_and(|number| number > wanted.as_f64().unwrap()),
            "pattern" => {
                let pattern = regex::Regex::new(wanted.as_str().unwrap()).unwrap();
                value.as_str().is_some_and(|text| !pattern.is_match(text))
            }
            "format" => match (wanted.as_str().unwrap(), value.as_str()) {
                ("uri", Some(text)) => !text.contains(':') || !is_reference(text),
                ("uri-reference", Some(text)) => !is_reference(text),
                ("uri" | "uri-reference" | "date-time", _) => false,
                (other, _) => panic!("a format that is not known: {other}"),
            },
            "minItems" => value.as_array().is_some_and(|items| items.len() < usize(wanted)),
            "uniqueItems" => {
                let repeats = |items: &Vec<Value>| (1..items.len()).any(|at| items[..at].contains(&items[at]));
                wanted == true && value.as_array().is_some_and(repeats)
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, wanted, item, &format!("{at}[{index}]"), faults);
                }
                continue;
            }
            "properties" => {
                for (name, schema) in wanted.as_object().unwrap() {
                    if let Some(field) = value.get(name) {
                        check(root, schema, field, &format!("{at}.{name}"), faults);
                    }
                }
                continue;
            }
            "additionalProperties" => {
                let known = schema.get("properties").and_then(Value::as_object);
                let extra = value
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter(|(name, _)| known.is_none_or(|known| !known.contains_key(*name)));
                for (name, field) in extra {
                    match wanted {
                        Value::Bool(true) => {}
                        Value::Bool(false) => faults.push(format!("{at}: {name} is not known")),
                        schema => check(root, schema, field, &format!("{at}.{name}"), faults),
                    }
                }
                continue;
            }
            "required" => {
                let mut missing = wanted.as_array().unwrap().iter().filter_map(Value::as_str);
                value.is_object() && missing.any(|name| value.get(name).is_none())
            }
            "anyOf" => !wanted.as_array().unwrap().iter().any(fits),
            "oneOf" => wanted.as_array().unwrap().iter().filter(|schema| fits(schema)).count() != 1,
            "$schema" | "title" | "id" | "description" | "default" | "definitions" => continue,
            other => panic!("a word that is not known: {other}"),
        };
        if fault {
            faults.push(format!("{at}: {word} is {wanted}"));
        }
    }
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("a type that is not known: {other}"),
    }
}

/// Characters that RFC 3986 allows, and percent signs that mean something.
fn is_reference(text: &str) -> bool {
    let pattern = r"^(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*$";
    regex::Regex::new(pattern).unwrap().is_match(text)
}

fn usize(value: &Value) -> usize {
    value.as_u64().unwrap().try_into().unwrap()
}
