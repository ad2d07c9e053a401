//! One authorisation for both dialects: whatever the policy, a native call is allowed exactly where the logical
//! requests that it stands for are.

use proptest::{
    prelude::*,
    sample::{select, subsequence},
    strategy::ValueTree,
    test_runner::TestRunner,
};
use serde_json::{Value, json};

use crate::server::{ROOT, Reply, TestServer};

const POLICIES: usize = 60;
const NATIVE: &str = "/api/v1/secrets/acme:prod/KEY";

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

/// Policies over the paths and parameters of the pairs.
fn policy() -> impl Strategy<Value = String> {
    let patterns = select(vec![
        "*",
        "auth/token/*",
        "auth/token/create",
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
        "sys/policies/acl/+",
        "sys/policies/acl/other",
    ]);
    let capabilities = subsequence(vec!["create", "delete", "list", "patch", "read", "sudo", "update"], 0..=7)
        .prop_flat_map(|some| {
            let deny = some.iter().copied().chain(["deny"]).collect::<Vec<_>>();
            prop_oneof![9 => Just(some), 1 => Just(deny)]
        });
    let constraint = prop_oneof![
        6 => Just(""),
        1 => Just(r#"allowed_parameters = { "data" = [] }"#),
        1 => Just(r#"allowed_parameters = { "data" = [] "options" = [] "versions" = [] }"#),
        1 => Just(r#"denied_parameters = { "options" = [{}] }"#),
        1 => Just(r#"denied_parameters = { "ttl" = [] }"#),
        1 => Just(r#"denied_parameters = { "data" = [{"value" = "v"}] }"#),
        1 => Just(r#"required_parameters = ["versions"]"#),
        1 => Just(r#"required_parameters = ["policy"]"#),
        1 => Just("min_wrapping_ttl = \"1m\""),
    ];
    let rule = (patterns, capabilities, constraint).prop_map(|(path, capabilities, constraint)| {
        format!("path {path:?} {{ capabilities = {capabilities:?} {constraint} }}\n")
    });
    proptest::collection::vec(rule, 1..5).prop_map(|rules| rules.concat())
}

#[tokio::test]
async fn native_call_is_allowed_exactly_where_its_logical_requests_are() {
    let server = TestServer::dev().await;
    reset(&server).await;
    let mut runner = TestRunner::deterministic();
    let (mut allowed, mut denied) = (0, 0);
    for _ in 0..POLICIES {
        let policy = policy().new_tree(&mut runner).unwrap().current();
        let token = server.token_with(ROOT, &policy).await;
        for Pair { native, vault } in pairs() {
            let (method, path, _) = native;
            let native = ask(&server, &token, native).await;
            let mut all = true;
            for request in vault {
                all &= ask(&server, &token, request).await.status != 403;
            }
            assert_eq!(native.status != 403, all, "{method} {path} under\n{policy}{}", native.text());
            *(if all { &mut allowed } else { &mut denied }) += 1;
        }
        server.root("POST", "/v1/auth/token/revoke", json!({"token": token})).await.is(204);
    }
    assert!(allowed > 100 && denied > 100, "{allowed} allowed, {denied} denied: one side is not tested");
    server.stop().await;
}

/// Asks, and undoes what that changed, so that each request meets the same entries.
async fn ask(server: &TestServer, token: &str, (method, path, body): (&str, &str, Value)) -> Reply {
    let reply = server.as_token(token, method, path, body).await;
    let reads = matches!(method, "GET" | "LIST");
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
