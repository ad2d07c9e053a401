//! One authorisation for both dialects: whatever the policy, a native call is allowed exactly where the logical
//! requests that it stands for are.

use std::hash::{BuildHasher, Hasher, RandomState};

use proptest::{
    prelude::*,
    sample::{select, subsequence},
    strategy::ValueTree,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};

use crate::server::{ROOT, Reply, TestServer};

const POLICIES: usize = 60;
const NATIVE: &str = "/api/v1/secrets/acme:prod/KEY";
const KEYS: &str = "/api/v1/keys";

/// A native call and the requests of the Vault dialect that it stands for.
struct Pair {
    native: (&'static str, &'static str, Value),
    vault: Vec<(&'static str, &'static str, Value)>,
}

fn pairs() -> Vec<Pair> {
    let data = "/v1/secret/data/acme/prod/KEY";
    let write = |cas: Value| json!({"data": {"value": "v"}, "options": cas});
    let pair = |method, path, body, vault| Pair { native: (method, path, body), vault };
    vec![
        pair("GET", NATIVE, Value::Null, vec![("GET", data, Value::Null)]),
        pair("PUT", NATIVE, json!({"value": "v"}), vec![("POST", data, write(json!({})))]),
        pair(
            "PUT",
            "/api/v1/secrets/acme:prod/NEW",
            json!({"value": "v", "options": {"cas": 0}}),
            vec![("POST", "/v1/secret/data/acme/prod/NEW", write(json!({"cas": 0})))],
        ),
        pair("DELETE", NATIVE, Value::Null, vec![("DELETE", data, Value::Null)]),
        pair(
            "POST",
            "/api/v1/secrets/acme:prod/KEY/undelete",
            json!({"versions": [1]}),
            vec![("POST", "/v1/secret/undelete/acme/prod/KEY", json!({"versions": [1]}))],
        ),
        pair(
            "POST",
            "/api/v1/secrets/acme:prod/KEY/destroy",
            json!({"versions": [1]}),
            vec![("POST", "/v1/secret/destroy/acme/prod/KEY", json!({"versions": [1]}))],
        ),
        pair(
            "GET",
            "/api/v1/secrets/acme:prod/KEY/versions",
            Value::Null,
            vec![("GET", "/v1/secret/metadata/acme/prod/KEY", Value::Null)],
        ),
        pair(
            "GET",
            "/api/v1/secrets/acme:prod/",
            Value::Null,
            vec![("LIST", "/v1/secret/metadata/acme/prod", Value::Null)],
        ),
        pair(
            "POST",
            "/api/v1/secrets/acme:prod/KEY/rollback",
            json!({"version": 2}),
            vec![("GET", data, Value::Null), ("POST", data, write(json!({})))],
        ),
        pair("POST", "/api/v1/tokens", json!({"ttl": 60}), vec![("POST", "/v1/auth/token/create", json!({"ttl": 60}))]),
        pair("GET", "/api/v1/tokens/self", Value::Null, vec![("GET", "/v1/auth/token/lookup-self", Value::Null)]),
        pair(
            "GET",
            "/api/v1/secrets/acme:prod/KEY/metadata",
            Value::Null,
            vec![("GET", "/v1/secret/metadata/acme/prod/KEY", Value::Null)],
        ),
        pair("GET", "/api/v1/tokens", Value::Null, vec![("LIST", "/v1/auth/token/accessors", Value::Null)]),
        pair(
            "POST",
            "/api/v1/tokens/renew",
            json!({"accessor": "none"}),
            vec![("POST", "/v1/auth/token/renew-accessor", json!({"accessor": "none"}))],
        ),
        pair(
            "POST",
            "/api/v1/tokens/revoke",
            json!({"accessor": "none"}),
            vec![("POST", "/v1/auth/token/revoke-accessor", json!({"accessor": "none"}))],
        ),
        pair("GET", "/api/v1/policies", Value::Null, vec![("LIST", "/v1/sys/policies/acl", Value::Null)]),
        pair(
            "DELETE",
            "/api/v1/policies/other",
            Value::Null,
            vec![("DELETE", "/v1/sys/policies/acl/other", Value::Null)],
        ),
        pair("GET", "/api/v1/operator/keys", Value::Null, vec![("GET", "/v1/sys/key-status", Value::Null)]),
        pair(
            "POST",
            "/api/v1/operator/rotate",
            json!({"key": "barrier"}),
            vec![("POST", "/v1/sys/rotate", Value::Null)],
        ),
        pair(
            "GET",
            "/api/v1/policies/default",
            Value::Null,
            vec![("GET", "/v1/sys/policies/acl/default", Value::Null)],
        ),
        pair(
            "PUT",
            "/api/v1/policies/other",
            json!({"policy": "path \"x\" { capabilities = [\"read\"] }"}),
            vec![("POST", "/v1/sys/policies/acl/other", json!({"policy": "path \"x\" { capabilities = [\"read\"] }"}))],
        ),
    ]
}

/// The same of keys. None of them changes what another one meets but for the number of versions.
fn key_pairs() -> Vec<Pair> {
    let pair = |native: &'static str, body, vault: &'static str, sent| Pair {
        native: ("POST", native, body),
        vault: vec![("POST", vault, sent)],
    };
    let read = |native: &'static str, body, vault| Pair {
        native: ("POST", native, body),
        vault: vec![("GET", vault, Value::Null)],
    };
    let same = |native, vault, body: Value| pair(native, body.clone(), vault, body);
    let (input, wrong) = ("aGVsbG8=", "vault:v1:AAAA");
    vec![
        same("/api/v1/keys/k/encrypt", "/v1/transit/encrypt/k", json!({"plaintext": input})),
        same("/api/v1/keys/none/encrypt", "/v1/transit/encrypt/none", json!({"plaintext": input, "context": "###"})),
        same("/api/v1/keys/k/encrypt", "/v1/transit/encrypt/k", json!({"plaintext": input, "key_version": 1})),
        pair(
            "/api/v1/keys/k/encrypt",
            json!({"items": [{"plaintext": input}]}),
            "/v1/transit/encrypt/k",
            json!({"batch_input": [{"plaintext": input}]}),
        ),
        same("/api/v1/keys/k/decrypt", "/v1/transit/decrypt/k", json!({"ciphertext": wrong, "context": input})),
        same("/api/v1/keys/k/rewrap", "/v1/transit/rewrap/k", json!({"ciphertext": wrong})),
        pair(
            "/api/v1/keys/s/sign",
            json!({"input": input, "hash": "sha2-512", "encoding": "jws"}),
            "/v1/transit/sign/s",
            json!({"input": input, "hash_algorithm": "sha2-512", "marshaling_algorithm": "jws"}),
        ),
        pair(
            "/api/v1/keys/s/sign",
            json!({"input": input, "padding": "pkcs1"}),
            "/v1/transit/sign/s",
            json!({"input": input, "signature_algorithm": "pkcs1v15"}),
        ),
        same("/api/v1/keys/s/verify", "/v1/transit/verify/s", json!({"input": input, "signature": wrong})),
        pair(
            "/api/v1/keys/k/mac",
            json!({"input": input, "hash": "sha2-512"}),
            "/v1/transit/hmac/k",
            json!({"input": input, "algorithm": "sha2-512"}),
        ),
        pair(
            "/api/v1/keys/k/verify-mac",
            json!({"items": [{"input": input, "mac": wrong}]}),
            "/v1/transit/verify/k",
            json!({"batch_input": [{"input": input, "hmac": wrong}]}),
        ),
        pair(
            "/api/v1/keys/k/data-key",
            json!({"plaintext": true, "bits": 128}),
            "/v1/transit/datakey/plaintext/k",
            json!({"bits": 128}),
        ),
        same("/api/v1/keys/k/data-key", "/v1/transit/datakey/wrapped/k", json!({"bits": 512})),
        pair("/api/v1/keys/s/csr", json!({"template": "x"}), "/v1/transit/keys/s/csr", json!({"csr": "x"})),
        read("/api/v1/keys/k/export", json!({"kind": "encryption-key"}), "/v1/transit/export/encryption-key/k"),
        read(
            "/api/v1/keys/s/export",
            json!({"kind": "signing-key", "version": 1}),
            "/v1/transit/export/signing-key/s/1",
        ),
        read("/api/v1/keys/k/wrap", json!({"key": "s"}), "/v1/transit/byok-export/k/s"),
        read("/api/v1/keys/k/backup", Value::Null, "/v1/transit/backup/k"),
        Pair {
            native: ("GET", "/api/v1/keys/s/public", Value::Null),
            vault: vec![("GET", "/v1/transit/export/public-key/s", Value::Null)],
        },
        Pair {
            native: ("GET", "/api/v1/key-wrapping-key", Value::Null),
            vault: vec![("GET", "/v1/transit/wrapping_key", Value::Null)],
        },
        same("/api/v1/key-restore", "/v1/transit/restore", json!({"backup": "AAAA", "force": true})),
        pair(
            "/api/v1/key-restore",
            json!({"backup": "AAAA", "name": "k"}),
            "/v1/transit/restore/k",
            json!({"backup": "AAAA"}),
        ),
        pair(
            KEYS,
            json!({"name": "k", "algorithm": "aes-256-gcm", "exportable": true}),
            "/v1/transit/keys/k",
            json!({"type": "aes256-gcm96", "exportable": true}),
        ),
        pair(
            KEYS,
            json!({"name": "k", "algorithm": "ed25519", "source": {"wrapped": {"ciphertext": "AAAA", "hash": "sha1"}}}),
            "/v1/transit/keys/k/import",
            json!({"type": "ed25519", "ciphertext": "AAAA", "hash_function": "SHA1"}),
        ),
        pair(
            "/api/v1/keys/k/import-version",
            json!({"source": {"public_key": "x"}}),
            "/v1/transit/keys/k/import_version",
            json!({"public_key": "x"}),
        ),
        Pair {
            native: (
                "POST",
                "/api/v1/keys/n/agree",
                json!({"base": "none", "peer_public_key": "x", "algorithm": "aes-128-gcm"}),
            ),
            vault: vec![
                (
                    "POST",
                    "/v1/transit/derive-key/n",
                    json!({"base_key_name": "none", "peer_public_key": "x", "derived_key_type": "aes128-gcm96"}),
                ),
                // Which transit has not, but its policies know.
                ("POST", "/v1/transit/keys/none/agree", Value::Null),
            ],
        },
        Pair {
            native: ("PATCH", "/api/v1/keys/k", json!({"min_decryption_version": 1, "rotate_every": 3600})),
            vault: vec![(
                "POST",
                "/v1/transit/keys/k/config",
                json!({"min_decryption_version": 1, "auto_rotate_period": 3600}),
            )],
        },
        same("/api/v1/keys/k/rotate", "/v1/transit/keys/k/rotate", json!({})),
        Pair {
            native: ("GET", "/api/v1/keys/k", Value::Null),
            vault: vec![("GET", "/v1/transit/keys/k", Value::Null)],
        },
        Pair { native: ("GET", KEYS, Value::Null), vault: vec![("LIST", "/v1/transit/keys", Value::Null)] },
        Pair {
            native: ("DELETE", "/api/v1/keys/none", Value::Null),
            vault: vec![("DELETE", "/v1/transit/keys/none", Value::Null)],
        },
        Pair {
            native: ("GET", "/api/v1/key-settings", Value::Null),
            vault: vec![("GET", "/v1/transit/config/keys", Value::Null)],
        },
        same("/api/v1/hash", "/v1/sys/tools/hash", json!({"input": input, "algorithm": "sha2-512"})),
        same("/api/v1/random", "/v1/sys/tools/random", json!({"bytes": 8, "format": "hex"})),
    ]
}

/// Policies over the paths and parameters of the pairs of keys.
fn key_policy() -> impl Strategy<Value = String> {
    let patterns = vec![
        "*",
        "sys/tools/*",
        "transit/*",
        "transit/+/k",
        "transit/+/s",
        "transit/backup/k",
        "transit/byok-export/k/s",
        "transit/datakey/plaintext/*",
        "transit/datakey/wrapped/k",
        "transit/decrypt/k",
        "transit/derive-key/*",
        "transit/encrypt/*",
        "transit/encrypt/k",
        "transit/export/+/k",
        "transit/export/public-key/*",
        "transit/hmac/k",
        "transit/config/keys",
        "transit/keys",
        "transit/keys/+/+",
        "transit/keys/none",
        "transit/keys/k",
        "transit/keys/k/import",
        "transit/restore",
        "transit/restore/+",
        "transit/rewrap/k",
        "transit/sign/s",
        "transit/verify/+",
        "transit/wrapping_key",
    ];
    let constraints = vec![
        r#"allowed_parameters = { "plaintext" = [] "input" = [] "bits" = ["128"] }"#,
        r#"allowed_parameters = { "type" = ["aes256-gcm96"] "*" = [] }"#,
        r#"allowed_parameters = { "derived_key_type" = ["aes128-gcm96"] "*" = [] }"#,
        r#"denied_parameters = { "batch_input" = [] }"#,
        r#"denied_parameters = { "exportable" = [true] }"#,
        r#"denied_parameters = { "hash_algorithm" = ["sha2-512"] "algorithm" = ["sha2-512"] }"#,
        r#"denied_parameters = { "hash_function" = ["SHA1"] "public_key" = [] }"#,
        r#"denied_parameters = { "key_version" = [] "auto_rotate_period" = [] }"#,
        r#"denied_parameters = { "signature_algorithm" = ["pkcs1v15"] "marshaling_algorithm" = ["jws"] }"#,
        r#"required_parameters = ["context"]"#,
        r#"required_parameters = ["csr"]"#,
    ];
    rules(patterns, constraints)
}

/// Policies over the paths and parameters of the pairs.
fn policy() -> impl Strategy<Value = String> {
    let patterns = vec![
        "*",
        "auth/token/*",
        "auth/token/accessors",
        "auth/token/create",
        "auth/token/renew-accessor",
        "auth/token/revoke-accessor",
        "secret/*",
        "secret/+/acme/*",
        "secret/+/acme/prod/KEY",
        "secret/data/+/prod/KEY",
        "secret/data/acme/*",
        "secret/data/acme/prod/KEY",
        "secret/data/acme/prod/NEW",
        "secret/destroy/acme/prod/KEY",
        "secret/metadata/acme/*",
        "secret/metadata/acme/prod",
        "secret/metadata/acme/prod/",
        "secret/undelete/+/+/KEY",
        "sys/+",
        "sys/key-status",
        "sys/policies/acl",
        "sys/policies/acl/",
        "sys/policies/acl/+",
        "sys/policies/acl/other",
        "sys/rotate",
    ];
    let constraints = vec![
        r#"allowed_parameters = { "data" = [] }"#,
        r#"allowed_parameters = { "data" = [] "options" = [] "versions" = [] }"#,
        r#"denied_parameters = { "options" = [{}] }"#,
        r#"denied_parameters = { "ttl" = [] }"#,
        r#"denied_parameters = { "data" = [{"value" = "v"}] }"#,
        r#"required_parameters = ["versions"]"#,
        r#"required_parameters = ["policy"]"#,
        "min_wrapping_ttl = \"1m\"",
    ];
    rules(patterns, constraints)
}

/// Policies of some rules over these paths, two of five with a constraint.
fn rules(patterns: Vec<&'static str>, constraints: Vec<&'static str>) -> impl Strategy<Value = String> {
    let capabilities = subsequence(vec!["create", "delete", "list", "patch", "read", "sudo", "update"], 0..=7)
        .prop_flat_map(|some| {
            let deny = some.iter().copied().chain(["deny"]).collect::<Vec<_>>();
            prop_oneof![9 => Just(some), 1 => Just(deny)]
        });
    let constraint = prop_oneof![3 => Just(""), 4 => select(constraints)];
    let rule = (select(patterns), capabilities, constraint).prop_map(|(path, capabilities, constraint)| {
        format!("path {path:?} {{ capabilities = {capabilities:?} {constraint} }}\n")
    });
    proptest::collection::vec(rule, 1..5).prop_map(|rules| rules.concat())
}

#[tokio::test]
async fn native_call_is_allowed_exactly_where_its_logical_requests_are() {
    let server = TestServer::dev().await;
    reset(&server).await;
    compare(&server, &pairs(), &policy()).await;
    server.stop().await;
}

#[tokio::test]
async fn native_call_on_a_key_is_allowed_exactly_where_transits_is() {
    let server = TestServer::dev().await;
    for (name, algorithm) in [("k", "aes-256-gcm"), ("s", "ecdsa-p256")] {
        server.root("POST", KEYS, json!({"name": name, "algorithm": algorithm})).await.is(200);
    }
    // Else the first request to encrypt under no key would make it.
    server.root("POST", "/v1/transit/config/keys", json!({"disable_upsert": true})).await.is(200);
    compare(&server, &key_pairs(), &key_policy()).await;
    server.stop().await;
}

/// Asks for each pair under many policies.
async fn compare(server: &TestServer, pairs: &[Pair], policies: &impl Strategy<Value = String>) {
    // Other policies with every run; COFFER_SEED repeats one.
    let fresh = || RandomState::new().build_hasher().finish();
    let seed = std::env::var("COFFER_SEED").map_or_else(|_| fresh(), |seed| seed.parse().unwrap());
    let bytes = [seed.to_le_bytes(); 4].concat();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    let (mut allowed, mut denied) = (0, 0);
    for _ in 0..POLICIES {
        let policy = policies.new_tree(&mut runner).unwrap().current();
        let token = server.token_with(ROOT, &policy).await;
        for Pair { native, vault } in pairs {
            let (method, path, body) = native;
            let native = ask(server, &token, native).await;
            let mut all = true;
            for request in vault {
                all &= ask(server, &token, request).await.status != 403;
            }
            assert_eq!(
                native.status != 403,
                all,
                "seed {seed}: {method} {path} {body} under\n{policy}{}",
                native.text()
            );
            *(if all { &mut allowed } else { &mut denied }) += 1;
        }
        server.root("POST", "/v1/auth/token/revoke", json!({"token": token})).await.is(204);
    }
    assert!(allowed > 100 && denied > 100, "{allowed} allowed, {denied} denied: one side is not tested");
}

/// Asks, and undoes what that changed, so that each request meets the same entries.
async fn ask(server: &TestServer, token: &str, (method, path, body): &(&str, &str, Value)) -> Reply {
    let reply = server.as_token(token, method, path, body.clone()).await;
    let reads = matches!(*method, "GET" | "LIST");
    if reply.status < 300 && !reads && path.contains("secret") {
        reset(server).await;
    }
    reply
}

async fn reset(server: &TestServer) {
    server.root("DELETE", "/v1/secret/metadata/acme/prod/NEW", Value::Null).await.is(204);
    server.root("DELETE", "/v1/secret/metadata/acme/prod/KEY", Value::Null).await.is(204);
    for _ in 0..2 {
        server.root("PUT", NATIVE, json!({"value": "v"})).await.is(200);
    }
}
