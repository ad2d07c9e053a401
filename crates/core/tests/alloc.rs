//! What allocates nothing: a decision. A binary of its own, since it counts allocations with an allocator of its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use allocation_counter::measure;
use coffer_core::policy::{Acl, Decision, Entity, Operation, Policy, Request, Subject, builtin};

#[test]
fn matching_a_compiled_policy_allocates_nothing() {
    let own = r#"
        path "secret/data/acme/*" { capabilities = ["read"] }
        path "secret/data/+/prod/+" { capabilities = ["read", "list"] }
        path "secret/data/{{identity.entity.id}}/*" { capabilities = ["read"] }
        path "secret/data/acme/closed" { capabilities = ["deny"] }
        path "secret/metadata/*" { capabilities = ["list"] pagination_limit = 10 }
        path "secret/data/old" { capabilities = ["read"] expiration = "2001-01-31T12:00:00Z" }
    "#;
    let policies = [Policy::parse("own", own).unwrap(), Policy::parse("default", builtin::DEFAULT).unwrap()];
    let entity =
        Entity { id: "e-1", name: "api", metadata: [("scope", "acme")].into_iter().collect(), aliases: vec![] };
    let acl = Acl::compile(&policies, &Subject { entity: Some(entity), groups: Vec::new() });
    for (path, operation, allowed) in [
        ("secret/data/acme/prod/api/KEY", Operation::Read, true),
        ("secret/data/other/prod/KEY", Operation::Read, true),
        ("secret/data/e-1/KEY", Operation::Read, true),
        ("secret/metadata/acme/", Operation::List, true),
        ("auth/token/lookup-self", Operation::Read, true),
        ("secret/data/acme/closed", Operation::Read, false),
        ("secret/data/acme/prod", Operation::Update, false),
        ("secret/data/old", Operation::Read, false),
        ("sys/policies/acl/x", Operation::Update, false),
    ] {
        let request = Request { path, operation, parameters: &(), wrap_ttl: None, now: 1_800_000_000_000 };
        let mut decision = None;
        let counted = measure(|| decision = Some(acl.check(&request)));
        assert_eq!(matches!(decision, Some(Decision::Allow(_))), allowed, "{operation} {path}");
        assert_eq!(counted.count_total, 0, "{operation} {path} allocates {} bytes", counted.bytes_total);
    }
    // The counter counts.
    assert_eq!(measure(|| drop(std::hint::black_box(vec![0_u8; 64]))).count_total, 1);
}

#[test]
fn compiled_policies_weigh_about_what_they_allocate() {
    let many: String = (0..300)
        .map(|i| format!("path \"secret/data/{i}/+/x/*\" {{ capabilities = [\"read\"] }}\npath \"a/{i}\" {{ capabilities = [\"list\"] }}\n"))
        .collect();
    let values: String = (0..300).map(|i| format!("\"value {i}\", ")).collect();
    let constrained = |name: &str| {
        let rule = format!(
            "path \"b/*\" {{ capabilities = [\"update\"] allowed_parameters = {{ \"{name}\" = [{values}] }} }}\n\
             path \"Denied/*\" {{ capabilities = [\"deny\"] }}"
        );
        Policy::parse(name, &rule).unwrap()
    };
    let default = Policy::parse("default", builtin::DEFAULT).unwrap();
    let many = Policy::parse("many", &many).unwrap();
    for policies in [vec![default.clone()], vec![default, many], vec![constrained("one"), constrained("two")]] {
        let mut acl = None;
        let counted = measure(|| acl = Some(Acl::compile(&policies, &Subject { entity: None, groups: Vec::new() })));
        let (held, said) = (counted.bytes_current, acl.unwrap().weight());
        let said = i64::try_from(said).unwrap();
        assert!((held * 3 / 4..held * 2).contains(&said), "{said} bytes are said, {held} are held");
    }
}
