//! SARIF 2.1.0 (OASIS), as code hosts take it in.

use serde_json::{Value, json};

use crate::{
    report::{Entry, Report},
    rule::Rules,
};

/// A report as a SARIF log of one run, with the version of the tool.
pub fn sarif(report: &Report, rules: &Rules, version: &str) -> Value {
    // Only rules that found something: the whole list says nothing of this tree.
    let mut used: Vec<(&str, &str)> =
        rules.names().filter(|(id, _)| report.findings.iter().any(|finding| finding.rule == *id)).collect();
    used.dedup();
    let described: Vec<Value> = used
        .iter()
        .map(|(id, description)| {
            let description = if description.is_empty() { id } else { description };
            json!({"id": id, "shortDescription": {"text": description}})
        })
        .collect();
    let results: Vec<Value> = report
        .findings
        .iter()
        .map(|finding| result(finding, used.iter().position(|(id, _)| *id == finding.rule)))
        .collect();
    let notifications: Vec<Value> = report
        .unreadable
        .iter()
        .map(|file| {
            json!({
                "level": "warning",
                "message": {"text": format!("cannot be read: {}", file.why)},
                "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri(&file.path)}}}],
            })
        })
        .collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "coffer", "semanticVersion": version, "rules": described}},
            "columnKind": "unicodeCodePoints",
            "invocations": [{"executionSuccessful": report.unreadable.is_empty(), "toolExecutionNotifications": notifications}],
            "results": results,
        }],
    })
}

fn result(finding: &Entry, rule_index: Option<usize>) -> Value {
    let mut text = format!("{}: {}", described(finding), finding.secret);
    for stored in &finding.stored {
        text.push_str(&format!("; the value of {stored}"));
    }
    let mut result = json!({
        "ruleId": finding.rule,
        "level": "error",
        "message": {"text": text},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": uri(&finding.path)},
            "region": {
                "startLine": finding.line,
                "startColumn": finding.column,
                "endLine": finding.end_line,
                "endColumn": finding.end_column,
            },
        }}],
        "partialFingerprints": {"cofferSecret/v1": finding.fingerprint},
    });
    if let Some(fields) = result.as_object_mut() {
        if let Some(index) = rule_index {
            fields.insert("ruleIndex".to_owned(), json!(index));
        }
        let mut properties = serde_json::Map::new();
        if !finding.tags.is_empty() {
            properties.insert("tags".to_owned(), json!(finding.tags));
        }
        if let Some(commit) = &finding.commit {
            properties.insert("commit".to_owned(), json!(commit));
        }
        if !properties.is_empty() {
            fields.insert("properties".to_owned(), Value::Object(properties));
        }
    }
    result
}

fn described(finding: &Entry) -> &str {
    if finding.description.is_empty() { &finding.rule } else { &finding.description }
}

/// A path as a relative reference, or with its scheme where it begins at the root (RFC 3986).
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len() + 8);
    if path.starts_with('/') {
        uri.push_str("file://");
    }
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => uri.push(char::from(byte)),
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri
}

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_becomes_a_reference() {
        for (path, reference) in
            [("a/b c.rs", "a/b%20c.rs"), ("/tmp/ä", "file:///tmp/%C3%A4"), ("a:b#c?d%", "a%3Ab%23c%3Fd%25")]
        {
            assert_eq!(uri(path), reference);
        }
    }
}
