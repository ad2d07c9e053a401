//! Tests of the module around this file.

use super::*;

fn rules(text: &str) -> Vec<Rule> {
    Policy::parse("p", text).unwrap().rules().to_vec()
}

fn rule(body: &str) -> Rule {
    rules(&format!("path \"a\" {{ {body} }}")).remove(0)
}

fn error(text: &str) -> String {
    Policy::parse("p", text).unwrap_err().to_string()
}

#[test]
fn policy_with_every_attribute_is_read() {
    let rule = rule(
        "capabilities = [\"read\", \"create\"]\ncomment = \"why\"\nexpiration = \"2031-01-01T00:00:00.0005Z\"
         allowed_parameters = { \"Foo\" = [\"x*\", 1, 1.5, true, [2], {\"a\" = \"b\"}] bar = [] }
         denied_parameters { baz = [] } denied_parameters { qux = [] }
         required_parameters = [\"Foo\"] min_wrapping_ttl = 60 max_wrapping_ttl = \"1h\" pagination_limit = \"5\"",
    );
    let Permissions { capabilities, min_wrapping, max_wrapping, pagination_limit, constraints } = &*rule.permissions;
    assert_eq!(capabilities.names(), ["create", "read"]);
    assert_eq!((*min_wrapping, *max_wrapping), (Some(Duration::from_secs(60)), Some(Duration::from_secs(3600))));
    assert_eq!(pagination_limit.map(NonZeroU32::get), Some(5));
    assert_eq!(rule.expiry, Some(1_924_992_000_000));
    assert_eq!(
        constraints.allowed["foo"],
        serde_json::json!(["x*", 1, 1.5, true, [2], {"a": "b"}]).as_array().unwrap()[..]
    );
    assert!(constraints.allowed["bar"].is_empty());
    assert_eq!(constraints.denied.keys().collect::<Vec<_>>(), ["baz", "qux"]);
    assert!(constraints.required.contains("foo"));
}

#[test]
fn policy_with_old_words_maps_them_to_capabilities() {
    for (word, names) in [
        ("deny", vec!["deny"]),
        ("read", vec!["list", "read"]),
        ("write", vec!["create", "delete", "list", "read", "update"]),
        ("sudo", vec!["create", "delete", "list", "read", "sudo", "update"]),
    ] {
        assert_eq!(rule(&format!("policy = \"{word}\"")).permissions.capabilities.names(), names);
    }
    let joined = rule("policy = \"read\" capabilities = [\"patch\"]").permissions.capabilities;
    assert_eq!(joined.names(), ["list", "patch", "read"]);
    assert_eq!(rule("capabilities = [\"read\", \"deny\", \"list\"]").permissions.capabilities.names(), ["deny"]);
    assert_eq!(rule("").permissions.capabilities, Capabilities::EMPTY);
}

#[test]
fn policy_in_json_is_read_like_hcl() {
    let paths = |text: &str| rules(text).iter().map(|rule| rule.path.text().to_owned()).collect::<Vec<_>>();
    assert_eq!(paths(r#"{"path": {"sys": {"policy": "deny"}, "a/*": {"capabilities": ["read"]}}}"#), ["sys", "a/*"]);
    assert_eq!(paths(r#"{"path": [{"a": {}}, {"b": {}}], "name": "x"}"#), ["a", "b"]);
    assert_eq!(paths(r#"{"path": {"a": [{"policy": "read"}, {"policy": "deny"}], "a": {}}}"#), ["a", "a", "a"]);
    assert_eq!(paths(r#"{"path": {"a": {"allowed_parameters": {"x": []}}}}"#), ["a"]);
    assert_eq!(paths(r#"{}"#), [""; 0]);
    assert!(error(r#"{"path": {"a": 1}}"#).contains("expected an object, found a number"));
    assert!(error(r#"{"path": {"a": []}}"#).contains("expected an object, found a list"));
    assert!(error(r#"{"path": null}"#).contains("expected an object, found null"));
    assert!(error(r#"{"path": {"a": {"policy": "read", "policy": "deny"}}}"#).contains("policy is given twice"));
}

#[test]
fn policy_with_what_is_unknown_or_not_enforced_is_refused() {
    for (text, message) in [
        ("foo \"x\" {}", "at 1:1: invalid key \"foo\""),
        ("path \"x\" {\n bogus = 1 }", "at 2:2: path \"x\": invalid key \"bogus\""),
        ("path \"x\" { capabilities = [\"bogus\"] }", "at 1:28: path \"x\": invalid capability \"bogus\""),
        ("path \"x\" { capabilities = [\"root\"] }", "at 1:28: path \"x\": invalid capability \"root\""),
        ("path \"x\" { policy = \"admin\" }", "at 1:21: path \"x\": invalid policy \"admin\""),
        (
            "path \"a+*\" {}",
            "at 1:6: path \"a+*\": \"+*\" is not a wildcard: write \"+\" for one segment, or \"*\" at the end",
        ),
        ("path \"{{\" {}", "at 1:6: path \"{{\": \"{{\" and \"}}\" do not pair up"),
        ("path \"{{x}}\" {}", "at 1:6: path \"{{x}}\": unknown template \"x\""),
        ("path {}", "at 1:1: a path is written as: path \"…\" { … }"),
    ] {
        assert_eq!(error(text), message);
    }
    for key in [
        "control_group {}",
        "mfa_methods = []",
        "subscribe_event_types = []",
        "list_scan_response_keys_filter_path = \"\"",
    ] {
        let name = key.split(' ').next().unwrap();
        let message = format!("at 1:12: path \"x\": {name} is not supported: it would not be enforced");
        assert_eq!(error(&format!("path \"x\" {{ {key} }}")), message);
    }
    for capability in ["subscribe", "recover"] {
        assert!(error(&format!("path \"x\" {{ capabilities = [\"{capability}\"] }}")).contains("is not supported"));
    }
}

#[test]
fn policy_with_ambiguous_or_malformed_attributes_is_refused() {
    for (body, message) in [
        ("capabilities = [\"read\"] capabilities = [\"deny\"]", "capabilities is given twice"),
        ("allowed_parameters { a = [] } allowed_parameters { A = [] }", "allowed_parameters: \"A\" is given twice"),
        ("allowed_parameters = { a = 1 }", "\"a\" must be a list, found a number"),
        ("allowed_parameters = []", "must be an object of lists, found a list"),
        ("allowed_parameters \"x\" {}", "allowed_parameters takes no label"),
        ("allowed_parameters = { a = [{ b = 1 b = 2 }] }", "\"b\" is given twice"),
        ("capabilities = \"read\"", "capabilities must be a list of strings, found a string"),
        ("capabilities = [1]", "capabilities must hold strings, found a number"),
        ("capabilities \"x\" {}", "takes no label"),
        ("policy = 1", "policy must be a string, found a number"),
        ("min_wrapping_ttl = -1", "min_wrapping_ttl must be a duration"),
        ("max_wrapping_ttl = \"x\"", "max_wrapping_ttl must be a duration"),
        ("min_wrapping_ttl = 2 max_wrapping_ttl = 1", "max_wrapping_ttl cannot be less than min_wrapping_ttl"),
        ("pagination_limit = -1", "pagination_limit must be"),
        ("pagination_limit = 4294967296", "pagination_limit must be"),
        ("expiration = \"tomorrow\"", "expiration must be a timestamp"),
        ("expiration = \"2030-01-01\"", "expiration must be a timestamp"),
        ("expiration = 9223372036854775807", "expiration must be a timestamp"),
    ] {
        let text = error(&format!("path \"x\" {{ {body} }}"));
        assert!(text.contains(message), "{body}: {text}");
    }
    assert!(error("name = 1").contains("name must be a string"));
    assert!(error("path \"a\" \"b\" {}").contains("a path is written as"));
    assert!(error("path = { a = {} }").contains("a path is written as"));
}

#[test]
fn policy_expiration_is_the_last_millisecond_not_after_the_timestamp() {
    let expiry = |value: &str| rule(&format!("expiration = {value}")).expiry;
    assert_eq!(expiry("\"1970-01-01T00:00:01.0019Z\""), Some(1_001));
    assert_eq!(expiry("\"1969-12-31T23:59:59.9999Z\""), Some(-1));
    assert_eq!(expiry("\"1970-01-01T01:00:00+01:00\""), Some(0));
    assert_eq!(expiry("\"90\""), Some(90_000));
    assert_eq!(expiry("90"), Some(90_000));
    assert_eq!(expiry("\"\""), None);
}

#[test]
fn policy_named_root_is_not_the_root_policy() {
    assert!(!Policy::parse("root", "").unwrap().is_root());
    assert!(Policy::root().is_root() && Policy::root().rules().is_empty());
}

#[test]
fn policy_long_names_are_cut_in_messages() {
    let message = error(&format!("{} = 1", "é".repeat(10_000)));
    assert!(message.len() < 250, "{}", message.len());
}
