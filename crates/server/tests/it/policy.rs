//! Policies and capabilities.

use serde_json::{Value, json};

use crate::server::{ROOT, TestServer};

const TEXT: &str = r#"path "secret/data/p1/*" { capabilities=["read","create","update"] }"#;

#[tokio::test]
async fn policy_is_written_read_listed_and_deleted_in_both_spellings() {
    let server = TestServer::dev().await;
    server.root("PUT", "/v1/sys/policies/acl/MiXed", json!({"policy": TEXT})).await.is(204);
    assert_eq!(
        server.root("GET", "/v1/sys/policies/acl/mixed", Value::Null).await.data(),
        json!({"name": "mixed", "policy": TEXT})
    );
    let legacy = server.root("GET", "/v1/sys/policy/mixed", Value::Null).await.is(200).json();
    assert_eq!(
        (&legacy["rules"], &legacy["name"], &legacy["data"]["rules"]),
        (&json!(TEXT), &json!("mixed"), &json!(TEXT))
    );
    for (method, path) in [("LIST", "/v1/sys/policies/acl"), ("GET", "/v1/sys/policies/acl?list=true")] {
        let keys = server.root(method, path, Value::Null).await.data()["keys"].take();
        assert!(
            keys.as_array().unwrap().contains(&json!("mixed")) && keys.as_array().unwrap().contains(&json!("root"))
        );
    }
    for method in ["GET", "LIST"] {
        let list = server.root(method, "/v1/sys/policy", Value::Null).await.is(200).json();
        assert_eq!((&list["keys"], &list["policies"]), (&list["data"]["keys"], &list["data"]["policies"]));
    }
    for _ in 0..2 {
        server.root("DELETE", "/v1/sys/policy/mixed", Value::Null).await.is(204);
    }
    assert_eq!(server.root("GET", "/v1/sys/policy/mixed", Value::Null).await.errors(404), json!([]));
    assert_eq!(server.root("GET", "/v1/sys/policies/acl/root", Value::Null).await.data()["policy"], "");
    server.stop().await;
}

#[tokio::test]
async fn policy_text_may_be_json_or_base64() {
    let server = TestServer::dev().await;
    let as_json = json!({"path": {"secret/*": {"capabilities": ["read"]}}}).to_string();
    server.root("PUT", "/v1/sys/policy/p3", json!({"policy": as_json})).await.is(204);
    let encoded = "cGF0aCAieCIgeyBjYXBhYmlsaXRpZXM9WyJyZWFkIl0gfQ==";
    server.root("PUT", "/v1/sys/policy/b64", json!({"policy": encoded})).await.is(204);
    assert_eq!(
        server.root("GET", "/v1/sys/policy/b64", Value::Null).await.data()["rules"],
        r#"path "x" { capabilities=["read"] }"#
    );
    server.stop().await;
}

#[tokio::test]
async fn unusable_policies_are_refused() {
    let server = TestServer::dev().await;
    let errors =
        async |name: &str, body: Value| server.root("PUT", &format!("/v1/sys/policy/{name}"), body).await.errors(400);
    for text in
        [r#"path "x" { capabilities=["bogus"] }"#, "junk {", r#"foo "x" { }"#, r#"path "x" { control_group = {} }"#]
    {
        let errors = errors("bad", json!({"policy": text})).await;
        assert!(errors[0].as_str().unwrap().starts_with("failed to parse policy: "), "{errors}");
    }
    for body in [json!({}), json!({"policy": ""}), json!({"policy": null})] {
        assert_eq!(errors("bad", body).await, json!(["'policy' parameter not supplied or empty"]));
    }
    assert_eq!(errors("root", json!({"policy": TEXT})).await, json!(["cannot update \"root\" policy"]));
    for fixed in ["root", "default", "response-wrapping"] {
        server.root("DELETE", &format!("/v1/sys/policy/{fixed}"), Value::Null).await.is(400);
    }
    server.stop().await;
}

#[tokio::test]
async fn capabilities_self_answers_each_path() {
    let server = TestServer::dev().await;
    let policy = r#"path "sys/capabilities-self" { capabilities=["update"] } path "secret/data/w" { capabilities=["create","update"] }"#;
    let token = server.token_with(ROOT, policy).await;
    let ask = async |body: Value| server.as_token(&token, "POST", "/v1/sys/capabilities-self", body).await;
    let two = ask(json!({"paths": ["secret/data/w", "nosuch"]})).await.is(200).json();
    assert_eq!(two["data"], json!({"nosuch": ["deny"], "secret/data/w": ["create", "update"]}));
    assert_eq!(two["nosuch"], json!(["deny"]));
    let one = ask(json!({"path": "secret/data/w", "token": "x"})).await.data();
    assert_eq!(one, json!({"capabilities": ["create", "update"], "secret/data/w": ["create", "update"]}));
    assert_eq!(ask(json!({})).await.errors(400), json!(["paths must be supplied"]));
    let root = server.root("POST", "/v1/sys/capabilities-self", json!({"paths": "a"})).await.data();
    assert_eq!(root, json!({"a": ["root"], "capabilities": ["root"]}));
    server.stop().await;
}

#[tokio::test]
async fn capabilities_of_another_are_told_by_token_and_by_accessor() {
    let server = TestServer::dev().await;
    let policy = r#"path "auth/token/lookup-self" { capabilities=["read"] } path "secret/data/w" { capabilities=["create","sudo"] }"#;
    let token = server.token_with(ROOT, policy).await;
    let accessor =
        server.as_token(&token, "GET", "/v1/auth/token/lookup-self", Value::Null).await.data()["accessor"].take();
    let paths = json!(["secret/data/w", "nosuch"]);
    let of_token = server.root("POST", "/v1/sys/capabilities", json!({"token": token, "paths": paths})).await.data();
    assert_eq!(of_token, json!({"nosuch": ["deny"], "secret/data/w": ["create", "sudo"]}));
    let body = json!({"accessor": accessor, "paths": paths});
    assert_eq!(server.root("POST", "/v1/sys/capabilities-accessor", body.clone()).await.data(), of_token);
    let refused = async |path: &str, body: Value| server.root("POST", path, body).await.errors(400)[0].to_string();
    assert!(refused("/v1/sys/capabilities", json!({"token": "bogus", "paths": ["a"]})).await.contains("invalid token"));
    let unknown = json!({"accessor": "bogus", "paths": ["a"]});
    assert!(refused("/v1/sys/capabilities-accessor", unknown).await.contains("invalid accessor"));
    assert!(refused("/v1/sys/capabilities", json!({"token": token})).await.contains("paths must be supplied"));
    server.as_token(&token, "POST", "/v1/sys/capabilities-accessor", body).await.is(403);
    server.stop().await;
}

#[tokio::test]
async fn refusal_says_which_path_and_capability_was_missing() {
    let server = TestServer::dev().await;
    let token = server.token_with(ROOT, r#"path "secret/data/a" { capabilities=["read"] }"#).await;
    let errors = server.as_token(&token, "POST", "/v1/secret/data/a", json!({"data": {}})).await.errors(403);
    let text = errors[0].as_str().unwrap();
    assert!(
        text.contains("permission denied") && text.contains("secret/data/a") && text.contains("update on"),
        "{text}"
    );
    server.stop().await;
}

#[test]
fn builtin_policies_stand_in_the_documentation_as_they_are() {
    let document = include_str!("../../../../docs/API.md");
    let fences: Vec<(&str, &str)> = document
        .split("<summary><code>")
        .skip(1)
        .map(|block| {
            let (name, rest) = block.split_once("</code></summary>\n\n```hcl\n").unwrap();
            (name, rest.split_once("```\n\n</details>\n").unwrap().0)
        })
        .collect();
    for builtin in coffer_core::policy::builtin::ALL {
        let shown: Vec<&str> = fences.iter().filter(|(name, _)| *name == builtin.name).map(|(_, text)| *text).collect();
        assert_eq!(shown, [builtin.text], "docs/API.md does not show the policy {} as it is", builtin.name);
    }
    assert_eq!(fences.len(), coffer_core::policy::builtin::ALL.len(), "docs/API.md shows a policy that is none");
}

#[tokio::test]
async fn who_may_neither_make_nor_change_a_thing_is_not_told_whether_it_is_there() {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/secret/data/there", json!({"data": {}})).await.is(200);
    server.root("POST", "/v1/sys/mounts/transit", json!({"type": "transit"})).await.is(204);
    server.root("POST", "/v1/transit/keys/there", json!({})).await.is(200);
    let nobody = server.token_with(ROOT, r#"path "sys/health" { capabilities = ["read"] }"#).await;
    let maker = server.token_with(ROOT, r#"path "+/data/*" { capabilities = ["create"] }"#).await;
    for (path, body) in [("/v1/secret/data", json!({"data": {}})), ("/v1/transit/encrypt", json!({"plaintext": ""}))] {
        let said = async |token: &str, name: &str| {
            let reply = server.as_token(token, "POST", &format!("{path}/{name}"), body.clone()).await.is(403);
            reply.json()["errors"][0].as_str().unwrap().replace(name, "NAME")
        };
        assert_eq!(said(&nobody, "there").await, said(&nobody, "absent").await, "{path}");
        assert!(said(&nobody, "absent").await.contains("update on"), "{path}");
    }
    let there = server.as_token(&maker, "POST", "/v1/secret/data/there", json!({"data": {}})).await.is(403);
    assert!(there.text().contains("update on secret/data/there"), "{}", there.text());
    server.stop().await;
}
