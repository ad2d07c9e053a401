//! The rules of evaluation written down naively, to compare [`Acl`] with: every rule is tried, nothing is indexed.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Acl, Capability, Decision, Denial, Grant, Operation, Policy, Request, Subject};

/// One rule of the model.
#[derive(Clone, Debug)]
struct ModelRule {
    path: String,
    capabilities: BTreeSet<Capability>,
    /// The last millisecond at which it exists.
    expiry: Option<i64>,
}

/// What the rules say about a request, computed the long way round.
fn model_capabilities(rules: &[ModelRule], path: &str, operation: Operation, now: i64) -> Option<BTreeSet<Capability>> {
    let live: Vec<&ModelRule> = rules.iter().filter(|rule| rule.expiry.is_none_or(|at| now <= at)).collect();
    let lists = matches!(operation, Operation::List | Operation::Scan);
    let trimmed = path.strip_suffix('/').unwrap_or(path);
    let is_exact = |pattern: &str| !pattern.ends_with('*') && !has_plus_segment(pattern);
    let mut chosen = live.iter().map(|rule| rule.path.as_str()).find(|p| is_exact(p) && *p == path);
    if chosen.is_none() && lists {
        chosen = live.iter().map(|rule| rule.path.as_str()).find(|p| is_exact(p) && *p == trimmed);
    }
    let best = |path: &str| {
        let matching = live.iter().map(|rule| rule.path.as_str()).filter(|p| !is_exact(p) && model_matches(p, path));
        let longest = matching.clone().filter(|p| !has_plus_segment(p)).max_by_key(|p| p.len());
        matching.filter(|p| has_plus_segment(p)).chain(longest).max_by(|a, b| model_rank(a).cmp(&model_rank(b)))
    };
    if chosen.is_none() {
        chosen = best(path);
    }
    if chosen.is_none() && lists && path.ends_with('/') {
        chosen = best(trimmed);
    }
    let chosen = chosen?;
    let mut joined = BTreeSet::new();
    for rule in live.iter().filter(|rule| rule.path == chosen) {
        joined.extend(rule.capabilities.iter().copied());
    }
    if joined.contains(&Capability::Deny) {
        joined = BTreeSet::from([Capability::Deny]);
    }
    Some(joined)
}

fn has_plus_segment(pattern: &str) -> bool {
    pattern == "+" || pattern.starts_with("+/") || pattern.contains("/+")
}

fn model_matches(pattern: &str, path: &str) -> bool {
    let (stem, open) = match pattern.strip_suffix('*') {
        Some(stem) => (stem, true),
        None => (pattern, false),
    };
    if !has_plus_segment(pattern) {
        return open && path.starts_with(stem);
    }
    let wanted: Vec<&str> = stem.split('/').collect();
    let found: Vec<&str> = path.split('/').collect();
    if found.len() < wanted.len() || !open && found.len() != wanted.len() {
        return false;
    }
    wanted.iter().enumerate().all(|(i, segment)| {
        *segment == "+" || *segment == found[i] || open && i == wanted.len() - 1 && found[i].starts_with(segment)
    })
}

/// Greater is in charge.
fn model_rank(pattern: &str) -> (usize, bool, std::cmp::Reverse<usize>, usize, &str) {
    let stem = pattern.strip_suffix('*').unwrap_or(pattern);
    let first = if has_plus_segment(pattern) { pattern.find('+').unwrap() } else { stem.len() };
    let plusses = if has_plus_segment(pattern) { stem.split('/').filter(|s| *s == "+").count() } else { 0 };
    (first, !pattern.ends_with('*'), std::cmp::Reverse(plusses), stem.len(), stem)
}

fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(vec!["a", "b", "ab", ""]).prop_map(str::to_owned),
        3 => Just("+".to_owned()),
        1 => prop::sample::select(vec!["a+", "+a", "a*b"]).prop_map(str::to_owned),
    ]
}

fn pattern() -> impl Strategy<Value = String> {
    (prop::collection::vec(segment(), 1..5), any::<bool>())
        .prop_map(|(segments, open)| {
            let path = segments.join("/");
            if open { format!("{path}*") } else { path }
        })
        .prop_filter("no +*", |path| !path.contains("+*") && !path.starts_with('/'))
}

fn rule() -> impl Strategy<Value = ModelRule> {
    let capabilities = prop::collection::btree_set(
        prop::sample::select(vec![Capability::Read, Capability::List, Capability::Update, Capability::Scan]),
        0..4,
    );
    (pattern(), capabilities, prop::bool::weighted(0.1), prop::option::weighted(0.2, 0..3_i64)).prop_map(
        |(path, mut capabilities, deny, expiry)| {
            if deny {
                capabilities.insert(Capability::Deny);
            }
            ModelRule { path, capabilities, expiry: expiry.map(|seconds| seconds * 1_000) }
        },
    )
}

fn path() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "ab", "", "c", "+", "a+", "abc", "a*b"]), 1..6)
        .prop_map(|segments| segments.join("/").trim_start_matches('/').to_owned())
}

fn text(rules: &[ModelRule]) -> String {
    rules.iter().fold(String::new(), |text, rule| {
        let capabilities: Vec<_> = rule.capabilities.iter().map(|c| format!("{:?}", c.name())).collect();
        let expiry = rule.expiry.map(|at| format!("expiration = \"{}\"", at / 1_000)).unwrap_or_default();
        let capabilities = capabilities.join(", ");
        format!("{text}path {:?} {{ capabilities = [{capabilities}] {expiry} }}\n", rule.path)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn acl_of_random_policies_decides_as_the_model(
        policies in prop::collection::vec(prop::collection::vec(rule(), 0..6), 1..4),
        paths in prop::collection::vec(path(), 1..12),
        now in 0..3_000_i64,
    ) {
        let parsed: Vec<Policy> = policies.iter().map(|rules| Policy::parse("p", &text(rules)).unwrap()).collect();
        let acl = Acl::compile(&parsed, &Subject::anonymous());
        let rules = policies.concat();
        for path in &paths {
            for operation in Operation::ALL {
                let request = Request { path, operation, parameters: &(), wrap_ttl: None, now };
                let expected = match model_capabilities(&rules, path, operation, now) {
                    None => match model_capabilities(&rules, path, operation, i64::MIN) {
                        None => Decision::Deny(Denial::NoRule),
                        Some(_) => Decision::Deny(Denial::Expired),
                    },
                    Some(held) if held.contains(&Capability::Deny) => Decision::Deny(Denial::DenyRule),
                    Some(held) if held.contains(&operation.capability()) => Decision::Allow(Grant::default()),
                    Some(_) => Decision::Deny(Denial::MissingCapability(operation.capability())),
                };
                prop_assert_eq!(acl.check(&request), expected, "{} {}", operation, path);
                let explanation = acl.explain(&request);
                prop_assert_eq!(&explanation.decision, &acl.check(&request));
                prop_assert!(!explanation.to_string().is_empty());
            }
            let held = model_capabilities(&rules, path, Operation::List, now).unwrap_or_default();
            let held = held.into_iter().collect::<super::Capabilities>();
            prop_assert_eq!(acl.capabilities(path, now).names(), held.names(), "{}", path);
        }
    }

    #[test]
    fn acl_in_any_order_of_rules_decides_the_same(
        rules in prop::collection::vec(rule(), 1..8),
        paths in prop::collection::vec(path(), 1..8),
        now in 0..3_000_i64,
    ) {
        let mut reversed = rules.clone();
        reversed.reverse();
        let compile = |rules: &[ModelRule]| {
            Acl::compile([&Policy::parse("p", &text(rules)).unwrap()], &Subject::anonymous())
        };
        let (one, other) = (compile(&rules), compile(&reversed));
        for path in &paths {
            prop_assert_eq!(one.capabilities(path, now), other.capabilities(path, now));
        }
    }

    #[test]
    fn policy_of_any_text_never_panics(text in any::<String>()) {
        let _ = Policy::parse("p", &text);
    }

    #[test]
    fn policy_of_tokens_in_any_order_never_panics(
        tokens in prop::collection::vec(prop::sample::select(vec![
            "path", "\"a\"", "\"a/{{identity.entity.id}}\"", "{", "}", "[", "]", "=", ",", "capabilities", "\"read\"",
            "\n", "#", "/*", "*/", "//", "<<E\n", "<<-E\n", "E\n", "1", "0x", "-1", "1.5e", "true", "\"", "\\", "${",
            ":", "null", "allowed_parameters", "min_wrapping_ttl", "\"1h\"", "expiration", "é", "\r\n", "\"\\u00e9\"",
        ]), 0..40),
        separator in prop::sample::select(vec!["", " "]),
    ) {
        let _ = Policy::parse("p", &tokens.join(separator));
        let _ = Policy::parse("p", &format!("{{{}", tokens.join(separator)));
    }
}
