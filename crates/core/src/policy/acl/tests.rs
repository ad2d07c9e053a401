//! Tests of the module around this file.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::super::decision::{Loaded, ParameterFault, Parameters, Unreadable};
use super::super::explain::{ParameterVerdict, Standing};
use super::super::operation::Capability;
use super::*;

fn acl(texts: &[&str]) -> Acl {
    let policies: Vec<Policy> =
        texts.iter().enumerate().map(|(i, text)| Policy::parse(&format!("p{i}"), text).unwrap()).collect();
    Acl::compile(&policies, &Subject::anonymous())
}

fn request(operation: Operation, path: &str) -> Request<'_> {
    Request { path, operation, parameters: &(), wrap_ttl: None, now: 0 }
}

fn names(acl: &Acl, path: &str) -> Vec<&'static str> {
    acl.capabilities(path, 0).names()
}

fn denial(decision: Decision) -> Denial {
    match decision {
        Decision::Deny(denial) => denial,
        Decision::Allow(grant) => panic!("allowed: {grant:?}"),
    }
}

fn granted(decision: Decision) -> Grant {
    match decision {
        Decision::Allow(grant) => grant,
        Decision::Deny(denial) => panic!("denied: {denial}"),
    }
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

/// Data that counts how often it is asked for.
struct Counted(Option<Map<String, Value>>, AtomicU32);

impl Parameters for Counted {
    fn load(&self) -> Loaded {
        self.1.fetch_add(1, Ordering::Relaxed);
        Ok(self.0.clone())
    }
}

#[test]
fn acl_without_policies_denies() {
    let acl = acl(&[]);
    assert_eq!(denial(acl.check(&request(Operation::Read, "a"))), Denial::NoRule);
    assert_eq!(names(&acl, "a"), ["deny"]);
    assert!(!acl.is_root());
}

#[test]
fn acl_with_overlapping_patterns_uses_one_only() {
    let acl = acl(&["path \"data/a/*\" { capabilities = [\"read\"] }
        path \"data/a/b\" { capabilities = [\"deny\"] }
        path \"data/+/c\" { capabilities = [\"create\", \"read\"] }
        path \"data/a/x*\" { capabilities = [\"update\"] }"]);
    assert_eq!(names(&acl, "data/a/c"), ["read"]);
    assert_eq!(names(&acl, "data/a/xyz"), ["update"]);
    assert_eq!(names(&acl, "data/a/b"), ["deny"]);
    assert_eq!(names(&acl, "data/q/c"), ["create", "read"]);
    assert_eq!(denial(acl.check(&request(Operation::Read, "data/a/b"))), Denial::DenyRule);
    let missing = Denial::MissingCapability(Capability::Update);
    assert_eq!(denial(acl.check(&request(Operation::Update, "data/q/c"))), missing);
    assert!(acl.check(&request(Operation::Read, "///data/a/z")).is_allowed());
}

#[test]
fn acl_lists_with_and_without_final_slash() {
    let acl = acl(&["path \"m/*\" { capabilities = [\"list\"] }
        path \"m/x/\" { capabilities = [\"deny\"] }
        path \"n\" { capabilities = [\"list\"] }
        path \"o/+\" { capabilities = [\"list\"] }"]);
    let list = |path| acl.check(&request(Operation::List, path)).is_allowed();
    assert!(list("m/x") && !list("m/x/"));
    assert!(list("n/") && list("n") && !list("n//"));
    assert!(list("o/a/") && list("o/a") && list("o/"));
    assert!(!acl.check(&request(Operation::Read, "n/")).is_allowed());
    assert!(!list("m"));
}

#[test]
fn acl_root_counts_only_alone() {
    let other = Policy::parse("p", "path \"a\" { capabilities = [\"read\"] }").unwrap();
    let root = Policy::root();
    let alone = Acl::compile([&root], &Subject::anonymous());
    let grant = granted(alone.check(&request(Operation::Update, "sys/raw/x")));
    assert!(grant.root && grant.sudo && alone.is_root());
    assert_eq!(names(&alone, "x"), ["root"]);
    assert_eq!(alone.any_access_under("secret/", 0), Access::Some);
    for policies in [vec![&root, &other], vec![&other, &root], vec![&root, &root]] {
        let beside = Acl::compile(policies, &Subject::anonymous());
        assert!(!beside.is_root());
        assert!(!beside.check(&request(Operation::Update, "b")).is_allowed());
    }
}

#[test]
fn acl_joins_rules_for_one_pattern() {
    let acl = acl(&[
        "path \"a\" { capabilities = [\"read\"] min_wrapping_ttl = 10 pagination_limit = 9 }
         path \"a\" { capabilities = [\"list\"] max_wrapping_ttl = 100 }",
        "path \"/a\" { capabilities = [\"update\"] min_wrapping_ttl = 5 max_wrapping_ttl = 200 pagination_limit = 4 }",
        "path \"b\" { capabilities = [\"read\"] }",
        "path \"b\" { policy = \"deny\" }",
    ]);
    assert_eq!(names(&acl, "a"), ["list", "read", "update"]);
    assert_eq!(names(&acl, "b"), ["deny"]);
    let read = |ttl: Option<u64>| {
        acl.check(&Request { wrap_ttl: ttl.map(Duration::from_secs), ..request(Operation::Read, "a") })
    };
    for (ttl, allowed) in [(None, false), (Some(4), false), (Some(5), true), (Some(100), true), (Some(101), false)] {
        assert_eq!(read(ttl).is_allowed(), allowed, "{ttl:?}");
    }
    assert_eq!(denial(read(None)), Denial::WrappingBounds);
    let list = acl.check(&Request { wrap_ttl: Some(Duration::from_secs(5)), ..request(Operation::List, "a") });
    assert_eq!(granted(list).pagination_limit, Some(4));
}

#[test]
fn acl_wrapping_bounds_that_contradict_after_joining_deny() {
    let acl = acl(&[
        "path \"a\" { capabilities = [\"read\"] min_wrapping_ttl = 100 }",
        "path \"a\" { capabilities = [\"read\"] max_wrapping_ttl = 50 }",
    ]);
    for ttl in [10, 50, 75, 100, 200] {
        let request = Request { wrap_ttl: Some(Duration::from_secs(ttl)), ..request(Operation::Read, "a") };
        assert_eq!(denial(acl.check(&request)), Denial::WrappingBounds);
    }
}

#[test]
fn acl_rule_past_its_expiration_does_not_exist() {
    let acl = acl(&["path \"a/*\" { capabilities = [\"list\"] }
        path \"a/b\" { capabilities = [\"deny\"] expiration = 2 }
        path \"a/b\" { capabilities = [\"read\"] expiration = 4 }
        path \"c\" { capabilities = [\"read\"] expiration = 2 }
        path \"d\" { capabilities = [\"read\"] }
        path \"d\" { capabilities = [\"update\"] expiration = 2 }"]);
    let at = |path, now| acl.capabilities(path, now).names();
    assert_eq!(at("a/b", 2_000), ["deny"]);
    assert_eq!(at("a/b", 2_001), ["read"]);
    assert_eq!(at("a/b", 4_000), ["read"]);
    assert_eq!(at("a/b", 4_001), ["list"]);
    assert_eq!(at("d", 2_000), ["read", "update"]);
    assert_eq!(at("d", 2_001), ["read"]);
    let late = Request { now: 2_001, ..request(Operation::Read, "c") };
    assert_eq!(denial(acl.check(&late)), Denial::Expired);
    assert_eq!(denial(acl.check(&Request { now: 2_001, ..request(Operation::Read, "e") })), Denial::NoRule);
    assert_eq!(acl.rules(4_001).count(), 2);
}

#[test]
fn acl_sudo_paths_need_sudo_beside_the_capability() {
    let acl = acl(&["path \"sys/auth/a\" { capabilities = [\"update\"] }
        path \"sys/auth/b\" { capabilities = [\"update\", \"sudo\"] }
        path \"sys/auth/c\" { capabilities = [\"sudo\"] }
        path \"x\" { capabilities = [\"update\", \"sudo\"] }"]);
    let update = |path| acl.check(&request(Operation::Update, path));
    assert_eq!(denial(update("sys/auth/a")), Denial::MissingSudo);
    assert!(granted(update("sys/auth/b")).sudo);
    assert_eq!(denial(update("sys/auth/c")), Denial::MissingCapability(Capability::Update));
    assert_eq!(granted(update("x")), Grant { root: false, sudo: true, pagination_limit: None });
    assert_eq!(names(&acl, "sys/auth/a"), ["update"]);
}

#[test]
fn acl_checks_parameters_of_reads_and_writes() {
    let acl = acl(&[
        "path \"allow\" { capabilities = [\"update\"] allowed_parameters = { Foo = [\"a*\", 5] bar = [] } }
         path \"any\" { capabilities = [\"update\"] allowed_parameters = { \"*\" = [] foo = [\"a\"] } }
         path \"deny\" { capabilities = [\"update\", \"delete\"] denied_parameters = { foo = [\"x\", [1]] bar = [] } }
         path \"none\" { capabilities = [\"update\"] denied_parameters = { \"*\" = [] } }
         path \"need\" { capabilities = [\"update\", \"read\"] required_parameters = [\"Foo\"] }
         path \"join\" { capabilities = [\"update\"] allowed_parameters = { foo = [\"a\"] bar = [\"b\"] } }",
        "path \"join\" { capabilities = [\"update\"] allowed_parameters = { foo = [] baz = [\"c\"] bar = [\"d\"] } }",
    ]);
    let fault = |path: &str, data: Value| {
        let data = object(data);
        match acl.check(&Request { parameters: &data, ..request(Operation::Update, path) }) {
            Decision::Allow(_) => None,
            Decision::Deny(Denial::Parameter { name, fault }) => Some((name, fault)),
            Decision::Deny(other) => panic!("{other}"),
        }
    };
    use ParameterFault::{Denied, Missing, NotAllowed, ValueNotAllowed};
    for (path, data, expected) in [
        ("allow", json!({}), None),
        ("allow", json!({"foo": "abc", "BAR": 1}), None),
        ("allow", json!({"FOO": 5.0}), Some(("FOO", ValueNotAllowed))),
        ("allow", json!({"foo": "b"}), Some(("foo", ValueNotAllowed))),
        ("allow", json!({"foo": "5"}), Some(("foo", ValueNotAllowed))),
        ("allow", json!({"baz": 1}), Some(("baz", NotAllowed))),
        ("any", json!({"x": 1, "foo": "a"}), None),
        ("any", json!({"x": 1, "foo": "b"}), Some(("foo", ValueNotAllowed))),
        ("deny", json!({"foo": "y", "x": 1}), None),
        ("deny", json!({"FOO": "x"}), Some(("FOO", Denied))),
        ("deny", json!({"foo": [1]}), None),
        ("deny", json!({"bar": null}), Some(("bar", Denied))),
        ("none", json!({}), None),
        ("none", json!({"a": 1}), Some(("a", Denied))),
        ("need", json!({"foo": null}), None),
        ("need", json!({"Foo": 1}), Some(("foo", Missing))),
        ("need", json!({}), Some(("foo", Missing))),
        ("join", json!({"foo": 1, "bar": "d", "baz": "c"}), None),
        ("join", json!({"bar": "x"}), Some(("bar", ValueNotAllowed))),
    ] {
        assert_eq!(fault(path, data.clone()), expected.map(|(name, fault)| (name.to_owned(), fault)), "{path} {data}");
    }
    let denied = object(json!({"bar": 1}));
    assert!(acl.check(&Request { parameters: &denied, ..request(Operation::Delete, "deny") }).is_allowed());
    let missing = Denial::Parameter { name: "foo".to_owned(), fault: Missing };
    assert_eq!(denial(acl.check(&request(Operation::Read, "need"))), missing);
}

#[test]
fn acl_loads_parameters_only_if_the_rule_looks_at_them() {
    let acl = acl(&["path \"free\" { capabilities = [\"update\", \"list\", \"delete\"] }
        path \"bound\" { capabilities = [\"update\", \"delete\"] denied_parameters = { x = [] } }"]);
    for (operation, path, loads) in [
        (Operation::Update, "free", 0),
        (Operation::List, "free", 0),
        (Operation::Delete, "bound", 0),
        (Operation::Read, "bound", 0),
        (Operation::Update, "bound", 1),
    ] {
        let data = Counted(Some(object(json!({"y": 1}))), AtomicU32::new(0));
        let _ = acl.check(&Request { parameters: &data, ..request(operation, path) });
        assert_eq!(data.1.load(Ordering::Relaxed), loads, "{operation} {path}");
    }
}

#[test]
fn acl_pagination_limit_bounds_pages() {
    let acl = acl(&["path \"a\" { capabilities = [\"list\", \"scan\"] pagination_limit = 10 }
        path \"b\" { capabilities = [\"list\"] pagination_limit = 10 required_parameters = [\"Limit\"] }
        path \"c\" { capabilities = [\"list\"] required_parameters = [\"limit\"] }"]);
    let list = |path: &str, limit: Value| {
        let data = if limit.is_null() { Map::new() } else { object(json!({"limit": limit})) };
        acl.check(&Request { parameters: &data, ..request(Operation::List, path) })
    };
    for limit in [json!(null), json!(0), json!("0"), json!(10), json!("7"), json!("max"), json!("")] {
        assert_eq!(granted(list("a", limit)).pagination_limit, Some(10));
    }
    for limit in [json!(11), json!("11"), json!(-1), json!("x"), json!(true), json!([1]), json!(1.5)] {
        assert!(matches!(denial(list("a", limit)), Denial::Parameter { fault: ParameterFault::ValueNotAllowed, .. }));
    }
    assert!(matches!(denial(list("b", json!(null))), Denial::Parameter { fault: ParameterFault::Missing, .. }));
    assert_eq!(granted(list("b", json!("max"))).pagination_limit, Some(10));
    assert_eq!(granted(list("c", json!(null))).pagination_limit, None);
    assert_eq!(granted(acl.check(&request(Operation::Scan, "a"))).pagination_limit, Some(10));
}

#[test]
fn acl_any_access_under_a_mount_ignores_denied_and_empty_rules() {
    for (text, mount, access) in [
        ("path \"secret/data/x\" { capabilities = [\"read\"] }", "secret/", Access::Some),
        ("path \"secret/data/x\" { capabilities = [] }", "secret/", Access::Refused),
        ("path \"secret/data/x\" { capabilities = [\"deny\"] }", "secret/", Access::Refused),
        ("path \"*\" { capabilities = [\"scan\"] }", "secret/", Access::Some),
        ("path \"se*\" { capabilities = [\"deny\"] }", "secret/", Access::Refused),
        ("path \"+/data/x\" { capabilities = [\"read\"] }", "secret/", Access::Some),
        ("path \"secret\" { capabilities = [\"list\"] }", "secret/", Access::Some),
        ("path \"secrets/x\" { capabilities = [\"list\"] }", "secret/", Access::Refused),
        ("path \"secret/x\" { capabilities = [\"list\"] expiration = -1 }", "secret/", Access::Refused),
    ] {
        assert_eq!(acl(&[text]).any_access_under(mount, 0), access, "{text}");
    }
}

#[test]
fn acl_drops_rules_whose_template_does_not_resolve() {
    let policy = Policy::parse(
        "p",
        "path \"a/{{identity.entity.id}}\" { capabilities = [\"read\"] } path \"b\" { capabilities = [\"read\"] }",
    )
    .unwrap();
    assert!(policy.is_templated());
    let acl = Acl::compile([&policy], &Subject::anonymous());
    assert_eq!(acl.rules(0).map(|rule| rule.pattern).collect::<Vec<_>>(), ["b"]);
    assert_eq!(acl.dropped().len(), 1);
    assert!(acl.explain(&request(Operation::Read, "a/x")).to_string().contains("does not exist for this subject"));
}

#[test]
fn explanation_names_winner_losers_and_parameters_but_no_values() {
    let acl = acl(&[
        "path \"m/*\" { capabilities = [\"read\"] }
         path \"m/a\" { capabilities = [\"update\"] allowed_parameters = { foo = [\"x\"] bar = [] } }
         path \"m/+\" { capabilities = [\"read\"] }
         path \"m/a\" { capabilities = [\"list\"] expiration = -1 }
         path \"m/a*\" { capabilities = [\"list\"] expiration = -1 }",
        "path \"m/a\" { capabilities = [\"read\"] }",
    ]);
    let data = object(json!({"foo": "canary-value", "bar": "canary-value"}));
    let explanation = acl.explain(&Request { parameters: &data, ..request(Operation::Update, "m/a") });
    let standings: Vec<_> = explanation.candidates.iter().map(|c| (c.pattern.as_str(), c.standing)).collect();
    let expected = [
        ("m/a", Standing::Chosen),
        ("m/*", Standing::LostToExact),
        ("m/+", Standing::LostToExact),
        ("m/a*", Standing::Expired),
    ];
    assert_eq!(standings, expected);
    assert_eq!(explanation.candidates[0].policies, ["p0", "p1"]);
    assert_eq!(explanation.parameters.len(), 2);
    assert!(explanation.parameters.iter().any(|report| {
        report.name == "foo" && report.verdict == ParameterVerdict::Refused(ParameterFault::ValueNotAllowed)
    }));
    let text = explanation.to_string();
    assert!(!text.contains("canary-value") && !format!("{explanation:?}").contains("canary-value"));
    let expected = "denied: update m/a: the parameter \"foo\" has a value that is not allowed
  needed: update; held: read, update
  path \"m/a\" (policy p0, p1): read, update: in charge
  path \"m/*\" (policy p0): read: not used, because a path without wildcards comes first
  path \"m/+\" (policy p0): read: not used, because a path without wildcards comes first
  path \"m/a*\" (policy p0): list: expired
  parameter \"bar\" is accepted
  parameter \"foo\" has a value that is not allowed";
    assert_eq!(text, expected);
}

#[test]
fn explanation_of_lists_tells_the_final_slash() {
    let acl = acl(&["path \"a/+/b\" { capabilities = [\"list\"] } path \"a/*\" { capabilities = [\"list\"] }"]);
    let explanation = acl.explain(&request(Operation::List, "a/x/b/"));
    assert_eq!(explanation.candidates[0].pattern, "a/*");
    assert_eq!(explanation.candidates[1].standing, Standing::LostToFinalSlash);
    let nothing = acl.explain(&request(Operation::List, "z/"));
    assert_eq!(
        nothing.to_string(),
        "denied: list z/: no rule matches\n  needed: list; held: deny\n  no path of any policy matches"
    );
}

#[test]
fn acl_of_many_rules_for_one_pattern_compiles_in_linear_time() {
    let mut text = String::new();
    for i in 0..8_000 {
        let capabilities = if i == 7_999 { "\"read\"" } else { "" };
        text += &format!(
            "path \"a\" {{ capabilities = [{capabilities}] expiration = {i} required_parameters = [\"p{i}\"] }}\n"
        );
    }
    let acl = acl(&[&text]);
    assert_eq!(acl.capabilities("a", 0).names(), ["read"]);
    assert_eq!(acl.capabilities("a", 7_999_001).names(), ["deny"]);
}

/// Data of which one parameter cannot be read.
struct Odd;

impl Parameters for Odd {
    fn load(&self) -> Loaded {
        Err(Unreadable("odd".to_owned()))
    }
}

#[test]
fn parameter_that_cannot_be_read_is_denied_where_a_rule_looks_at_any() {
    let acl = acl(&[r#"path "denied" { capabilities = ["update"] denied_parameters = { "policies" = [] } }
        path "allowed" { capabilities = ["update"] allowed_parameters = { "*" = [] } }
        path "page/" { capabilities = ["list"] pagination_limit = 2 }
        path "free" { capabilities = ["update"] }"#]);
    let unreadable = Denial::Parameter { name: "odd".to_owned(), fault: ParameterFault::Unreadable };
    for (operation, path) in [(Operation::Update, "denied"), (Operation::Update, "allowed"), (Operation::List, "page/")]
    {
        assert_eq!(denial(acl.check(&Request { parameters: &Odd, ..request(operation, path) })), unreadable, "{path}");
    }
    assert!(acl.check(&Request { parameters: &Odd, ..request(Operation::Update, "free") }).is_allowed());
}
