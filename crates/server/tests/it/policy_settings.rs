//! What is set of a policy beside its text: versions, an end, what its templates take.

use serde_json::{Value, json};

use crate::server::TestServer;

const TEXT: &str = r#"path "secret/data/a" { capabilities = ["read"] }"#;
const PATH: &str = "/v1/sys/policies/acl/p";

#[tokio::test]
async fn version_that_is_named_must_be_the_one_replaced() {
    let server = TestServer::dev().await;
    let write = async |mut more: Value| {
        more["policy"] = json!(TEXT);
        server.root("POST", PATH, more).await
    };
    let read = async || server.root("GET", PATH, Value::Null).await.data();
    write(json!({"cas": 5})).await.is(400);
    server.root("GET", PATH, Value::Null).await.is(404);
    write(json!({})).await.is(204);
    assert_eq!(read().await, json!({"name": "p", "policy": TEXT}), "who does not use it is not shown it");
    let mismatch =
        |cas: i64, is: i64| json!([format!("check-and-set parameter {cas} did not match the current version {is}")]);
    assert_eq!(write(json!({"cas": 0})).await.errors(400), mismatch(0, 1));
    let existing = json!(["check-and-set parameter set to -1 on existing entry"]);
    assert_eq!(write(json!({"cas": -1})).await.errors(400), existing);
    write(json!({"cas": 1, "cas_required": true})).await.is(204);
    let shown = read().await;
    assert_eq!((&shown["version"], &shown["cas_required"]), (&json!(2), &json!(true)));
    assert!(shown["modified"].is_string() && shown.get("expiration").is_none());
    let required = json!(["check-and-set parameter required for this call"]);
    assert_eq!(write(json!({})).await.errors(400), required);
    assert_eq!(write(json!({"cas": 1})).await.errors(400), mismatch(1, 2));
    // The native interface names no version, and is held to it as well.
    let native = server.root("PUT", "/api/v1/policies/p", json!({"policy": TEXT})).await;
    assert_eq!(native.is(400).json()["detail"], required[0]);
    write(json!({"cas": "2", "cas_required": false})).await.is(204);
    write(json!({})).await.is(204);
    let legacy = server.root("GET", "/v1/sys/policy/p", Value::Null).await.is(200).json();
    assert_eq!(
        (&legacy["rules"], &legacy["version"], &legacy["data"]["version"]),
        (&json!(TEXT), &json!(4), &json!(4))
    );
    server.root("DELETE", PATH, Value::Null).await.is(204);
    write(json!({"cas": -1})).await.is(204);
    assert_eq!(read().await["version"], 1);
    server.stop().await;
}

#[tokio::test]
async fn end_is_shown_and_one_that_is_over_is_refused() {
    let server = TestServer::dev().await;
    let write = async |mut more: Value| {
        more["policy"] = json!(TEXT);
        server.root("POST", PATH, more).await
    };
    let read = async || server.root("GET", PATH, Value::Null).await.data();
    write(json!({"expiration": "2100-01-01T00:00:00Z"})).await.is(204);
    assert_eq!(read().await["expiration"], "2100-01-01T00:00:00Z");
    write(json!({"expiration": 4102444801_i64})).await.is(204);
    assert_eq!(read().await["expiration"], "2100-01-01T00:00:01Z");
    write(json!({"ttl": "1h"})).await.is(204);
    assert!(read().await["expiration"].is_string());
    let over = json!(["refusing to update policy as expiration time has already elapsed"]);
    for ended in [json!({"expiration": "2020-01-01T00:00:00Z"}), json!({"ttl": 0}), json!({"expiration": 1})] {
        assert_eq!(write(ended).await.errors(400), over);
    }
    let both = json!(["cannot supply both 'expiration' and 'ttl' for policies"]);
    assert_eq!(write(json!({"ttl": 5, "expiration": "2100-01-01T00:00:00Z"})).await.errors(400), both);
    for bad in [json!({"ttl": -5}), json!({"ttl": "x"}), json!({"expiration": "soon"}), json!({"cas": "x"})] {
        write(bad).await.is(400);
    }
    write(json!({})).await.is(204);
    assert!(read().await.get("expiration").is_none(), "a write without an end takes it away");
    server.stop().await;
}

#[tokio::test]
async fn patch_changes_what_it_names() {
    let server = TestServer::dev().await;
    let patch = async |body: Value| server.root("PATCH", PATH, body).await;
    assert_eq!(patch(json!({"cas_required": true})).await.errors(400), json!(["policy not found"]));
    let write = json!({"policy": TEXT, "expiration": "2100-01-01T00:00:00Z", "cas_required": true});
    server.root("POST", PATH, write.clone()).await.is(400);
    let mut first = write;
    first["cas"] = json!(0);
    server.root("POST", PATH, first).await.is(204);
    patch(json!({"allow_slashes_in_identity_templates": true})).await.is(200);
    let shown = server.root("GET", PATH, Value::Null).await.data();
    assert_eq!(
        (&shown["policy"], &shown["expiration"], &shown["cas_required"], &shown["version"]),
        (&json!(TEXT), &json!("2100-01-01T00:00:00Z"), &json!(true), &json!(2))
    );
    assert_eq!(
        (&shown["allow_slashes_in_identity_templates"], &shown["allow_wildcards_in_identity_templates"]),
        (&json!(true), &json!(false))
    );
    patch(json!({"cas": 1})).await.is(400);
    patch(json!({"policy": "junk {"})).await.is(400);
    patch(json!({"policy": ""})).await.is(400);
    let updater = r#"path "sys/policies/acl/*" { capabilities = ["create", "update"] }"#;
    let token = server.token_with(crate::server::ROOT, updater).await;
    server.as_token(&token, "PATCH", PATH, json!({"cas_required": false})).await.is(403);
    server.stop().await;
}

#[tokio::test]
async fn templates_take_what_the_policy_allows() {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/sys/auth/userpass", json!({"type": "userpass"})).await.is(204);
    server.root("POST", "/v1/auth/userpass/users/ada", json!({"password": "pw"})).await.is(204);
    let login = server.raw("POST", "/v1/auth/userpass/login/ada", None, r#"{"password":"pw"}"#).await.is(200).json();
    let (token, entity) =
        (login["auth"]["client_token"].as_str().unwrap(), login["auth"]["entity_id"].as_str().unwrap());
    let body = json!({"metadata": {"place": "x/y"}, "policies": ["home"]});
    server.root("POST", &format!("/v1/identity/entity/id/{entity}"), body).await.is(204);
    server.root("POST", "/v1/secret/data/x/y", json!({"data": {}})).await.is(200);
    let text = r#"path "secret/data/{{identity.entity.metadata.place}}" { capabilities = ["read"] }"#;
    let write = async |slashes: bool| {
        let body = json!({"policy": text, "allow_slashes_in_identity_templates": slashes});
        server.root("POST", "/v1/sys/policies/acl/home", body).await.is(204);
    };
    let read = async || server.as_token(token, "GET", "/v1/secret/data/x/y", Value::Null).await.status;
    write(false).await;
    assert_eq!(read().await, 403);
    write(true).await;
    assert_eq!(read().await, 200);
    write(false).await;
    assert_eq!(read().await, 403);
    server.stop().await;
}
