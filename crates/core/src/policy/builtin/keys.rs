//! What the built-in roles may do with keys: every operation of a key engine at `transit/`, and every role.

use super::super::{
    Acl, Entity, Policy, Request, Subject,
    operation::Operation::{self, Create, Delete, List, Read, Update},
};
use super::{ADMINISTRATOR, AUDITOR, DEFAULT, OPERATOR, SERVICE};

/// What an operation is to the roles.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Class {
    /// Tells what everybody may know.
    Look,
    /// Changes a key or its settings, and tells nothing secret.
    Manage,
    /// Needs no key.
    Tool,
    /// Does something with a secret part, or takes it out.
    Use,
}

use Class::{Look, Manage, Tool, Use};

const OPERATIONS: [(Class, Operation, &str); 65] = [
    (Look, List, "transit/keys/"),
    (Look, Read, "transit/keys/k"),
    (Look, Read, "transit/config/keys"),
    (Look, Read, "transit/export/public-key/k"),
    (Look, Read, "transit/export/certificate-chain/k/1"),
    (Manage, Update, "transit/keys/k"),
    (Manage, Delete, "transit/keys/k"),
    (Manage, Update, "transit/keys/k/config"),
    (Manage, Update, "transit/keys/k/rotate"),
    (Manage, Update, "transit/keys/k/rollback"),
    (Manage, Update, "transit/keys/k/activate"),
    (Manage, Update, "transit/keys/k/suspend"),
    (Manage, Update, "transit/keys/k/resume"),
    (Manage, Update, "transit/keys/k/deactivate"),
    (Manage, Update, "transit/keys/k/compromise"),
    (Manage, Update, "transit/keys/k/enable"),
    (Manage, Update, "transit/keys/k/disable"),
    (Manage, Update, "transit/keys/k/destroy"),
    (Manage, Update, "transit/keys/k/cancel-destroy"),
    (Manage, Update, "transit/keys/k/trim"),
    (Manage, Update, "transit/keys/k/recover"),
    (Manage, Update, "transit/keys/k/import"),
    (Manage, Update, "transit/keys/k/import_version"),
    (Manage, Update, "transit/keys/k/set-certificate"),
    (Manage, Update, "transit/import-keys"),
    (Manage, Update, "transit/config/keys"),
    (Manage, Update, "transit/cache-config"),
    (Manage, Read, "transit/cache-config"),
    (Manage, Delete, "transit/keys/k/soft-delete"),
    (Manage, Update, "transit/keys/k/soft-delete-restore"),
    (Manage, Update, "transit/restore"),
    (Manage, Update, "transit/restore/k"),
    (Manage, Read, "transit/wrapping_key"),
    (Tool, Update, "transit/random/16"),
    (Tool, Update, "transit/hash/sha2-512"),
    (Use, Create, "transit/encrypt/k"),
    (Use, Update, "transit/encrypt/k"),
    (Use, Update, "transit/decrypt/k"),
    (Use, Update, "transit/rewrap/k"),
    (Use, Update, "transit/sign/k"),
    (Use, Update, "transit/sign/k/sha2-256"),
    (Use, Update, "transit/verify/k"),
    (Use, Update, "transit/verify/k/sha2-256"),
    (Use, Update, "transit/hmac/k"),
    (Use, Update, "transit/hmac/k/sha2-512"),
    (Use, Update, "transit/cmac/k"),
    (Use, Update, "transit/datakey/plaintext/k"),
    (Use, Update, "transit/datakey/wrapped/k"),
    (Use, Update, "transit/derive-key/k"),
    (Use, Update, "transit/keys/k/agree"),
    (Use, Update, "transit/keys/k/encapsulate"),
    (Use, Update, "transit/keys/k/decapsulate"),
    (Use, Update, "transit/keys/k/wrap"),
    (Use, Update, "transit/keys/k/unwrap"),
    (Use, Update, "transit/keys/k/use-compromised"),
    (Use, Update, "transit/keys/k/csr"),
    (Use, Read, "transit/export/encryption-key/k"),
    (Use, Read, "transit/export/encryption-key/k/1"),
    (Use, Read, "transit/export/signing-key/k"),
    (Use, Read, "transit/export/hmac-key/k"),
    (Use, Read, "transit/export/k"),
    (Use, Read, "transit/byok-export/w/k"),
    (Use, Read, "transit/byok-export/w/k/1"),
    (Use, Read, "transit/backup/k"),
    (Use, Update, "transit/backup/k"),
];

/// A policy as somebody would grant the use of one key.
const GRANT: &str = r#"
path "transit/encrypt/k" { capabilities = ["update"] }
path "transit/decrypt/k" { capabilities = ["update"] }
"#;

fn acl(texts: &[&str]) -> Acl {
    let metadata = [("scope", "acme:prod:api")].into_iter().collect();
    let entity = Entity { id: "e-1", name: "api", metadata, aliases: Vec::new() };
    let policies: Vec<Policy> = texts.iter().map(|text| Policy::parse("p", text).unwrap()).collect();
    Acl::compile(policies.iter(), &Subject { entity: Some(entity), groups: Vec::new() })
}

#[test]
fn roles_may_do_with_keys_what_the_table_says() {
    let roles: [(&str, &[&str], &[Class]); 5] = [
        ("administrator", &[ADMINISTRATOR, DEFAULT], &[Look, Manage, Tool]),
        ("auditor", &[AUDITOR, DEFAULT], &[Look]),
        ("default", &[DEFAULT], &[]),
        ("operator", &[OPERATOR, DEFAULT], &[]),
        ("service", &[SERVICE, DEFAULT], &[]),
    ];
    for (role, texts, classes) in roles {
        let alone = acl(texts);
        let granted = acl(&[texts, &[GRANT]].concat());
        for (class, operation, path) in OPERATIONS {
            let asked = |acl: &Acl| {
                acl.check(&Request { path, operation, parameters: &(), wrap_ttl: None, now: 0 }).is_allowed()
            };
            assert_eq!(asked(&alone), classes.contains(&class), "{role}: {operation} {path}");
            // With a grant each uses that very key for that very thing, and nothing else is opened by it.
            let by_grant = operation == Update && matches!(path, "transit/encrypt/k" | "transit/decrypt/k");
            assert_eq!(
                asked(&granted),
                classes.contains(&class) || by_grant,
                "{role} with a grant: {operation} {path}"
            );
        }
    }
}

/// Whether it may be done at `tk/`, in an engine of keys that lies there.
fn allowed_elsewhere(acl: &Acl, operation: Operation, usual: &str) -> bool {
    let path = usual.replacen("transit/", "tk/", 1);
    acl.check(&Request { path: &path, operation, parameters: &(), wrap_ttl: None, now: 0 }).is_allowed()
        && !acl.withholds(&path, usual, operation, 0)
}

#[test]
fn administrator_may_in_every_engine_what_the_table_says_and_use_what_another_policy_grants() {
    let built_in = || Policy::parse("administrator", ADMINISTRATOR).unwrap().built_in();
    let with = |texts: &[&str]| {
        let others = texts.iter().map(|text| Policy::parse("p", text).unwrap());
        let policies: Vec<Policy> = std::iter::once(built_in()).chain(others).collect();
        Acl::compile(policies.iter(), &Subject::anonymous())
    };
    let alone = with(&[DEFAULT]);
    // What is granted at `transit/` is that engine's; what holds everywhere is held here too, for what it names.
    let elsewhere = GRANT.replace("transit/", "tk/");
    let everything = r#"path "*" { capabilities = ["read"] }"#;
    let ended = r#"path "*" { capabilities = ["update"] expiration = "1969-12-31T23:59:59Z" }"#;
    for (class, operation, path) in OPERATIONS {
        assert_eq!(allowed_elsewhere(&alone, operation, path), class != Use, "{operation} {path}");
        assert_eq!(allowed_elsewhere(&with(&[GRANT]), operation, path), class != Use, "granted there: {path}");
        assert_eq!(allowed_elsewhere(&with(&[ended]), operation, path), class != Use, "granted once: {path}");
        let granted = operation == Update && matches!(path, "transit/encrypt/k" | "transit/decrypt/k");
        let held = allowed_elsewhere(&with(&[&elsewhere]), operation, path);
        assert_eq!(held, class != Use || granted, "granted here: {operation} {path}");
        let held = allowed_elsewhere(&with(&[everything]), operation, path);
        assert_eq!(held, class != Use || operation == Read, "granted everywhere: {operation} {path}");
        let held = alone.capabilities_of_engine(&path.replacen("transit/", "tk/", 1), path, 0);
        assert_eq!(held.is_denied(), class == Use, "{path}: {held}");
    }
}

#[test]
fn policies_of_others_withhold_nothing_anywhere() {
    let written = acl(&[ADMINISTRATOR]);
    assert!(!written.has_built_in());
    for (class, operation, path) in OPERATIONS {
        assert!(allowed_elsewhere(&written, operation, path), "{class:?}: {operation} {path}");
    }
}

#[test]
fn table_has_each_operation_once() {
    let mut seen: Vec<String> = OPERATIONS.iter().map(|(_, operation, path)| format!("{operation} {path}")).collect();
    seen.sort_unstable();
    let before = seen.len();
    seen.dedup();
    assert_eq!(seen.len(), before);
}
