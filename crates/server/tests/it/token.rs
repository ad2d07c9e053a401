//! `auth/token/…` through the Vault dialect.

use serde_json::{Value, json};

use crate::server::{ROOT, TestServer};

async fn create(server: &TestServer, by: &str, body: Value) -> Value {
    server.as_token(by, "POST", "/v1/auth/token/create", body).await.is(200).json()["auth"].take()
}

fn token(auth: &Value) -> &str {
    auth["client_token"].as_str().unwrap()
}

#[tokio::test]
async fn created_token_has_the_auth_block_that_clients_expect() {
    let server = TestServer::dev().await;
    let auth = create(
        &server,
        ROOT,
        json!({"policies": "default", "ttl": "1h", "explicit_max_ttl": "2h", "display_name": "bob", "meta": {"k": "v"}, "num_uses": "10"}),
    )
    .await;
    let text = token(&auth);
    assert!(text.starts_with("hvs.") && text.len() == 28, "{text}");
    assert_eq!(auth["accessor"].as_str().unwrap().len(), 24);
    let mut rest = auth.clone();
    rest.as_object_mut().unwrap().retain(|key, _| key != "client_token" && key != "accessor");
    assert_eq!(
        rest,
        json!({"policies": ["default"], "token_policies": ["default"], "metadata": {"k": "v"}, "lease_duration": 3600,
            "renewable": true, "entity_id": "", "token_type": "service", "orphan": false, "mfa_requirement": null,
            "num_uses": 10})
    );
    let auth = create(&server, ROOT, Value::Null).await;
    assert_eq!(
        (&auth["policies"], &auth["lease_duration"], &auth["renewable"]),
        (&json!(["root"]), &json!(0), &json!(false))
    );
    assert_eq!(auth["metadata"], Value::Null);
    server.stop().await;
}

#[tokio::test]
async fn lookup_shows_what_clients_require() {
    let server = TestServer::dev().await;
    let auth = create(&server, ROOT, json!({"policies": ["default"], "ttl": 3600})).await;
    let data = server.as_token(token(&auth), "GET", "/v1/auth/token/lookup-self", Value::Null).await.data();
    for key in [
        "accessor",
        "creation_time",
        "creation_ttl",
        "display_name",
        "entity_id",
        "expire_time",
        "explicit_max_ttl",
        "id",
        "issue_time",
        "meta",
        "num_uses",
        "orphan",
        "path",
        "policies",
        "renewable",
        "ttl",
        "type",
    ] {
        assert!(data.get(key).is_some(), "{key} is missing");
    }
    assert!(data.get("last_renewal").is_none() && data.get("period").is_none());
    assert_eq!(
        (&data["id"], &data["type"], &data["path"]),
        (&auth["client_token"], &json!("service"), &json!("auth/token/create"))
    );
    assert!((3590..=3600).contains(&data["ttl"].as_i64().unwrap()));

    let root = server.root("GET", "/v1/auth/token/lookup-self", Value::Null).await.data();
    assert_eq!((&root["expire_time"], &root["ttl"], &root["meta"]), (&Value::Null, &json!(0), &Value::Null));

    let body = json!({"token": token(&auth)});
    assert_eq!(server.root("POST", "/v1/auth/token/lookup", body).await.data()["id"], auth["client_token"]);
    let path = format!("/v1/auth/token/lookup?token={}", token(&auth));
    assert_eq!(server.root("GET", &path, Value::Null).await.data()["id"], auth["client_token"]);
    assert_eq!(server.root("POST", "/v1/auth/token/lookup", json!({})).await.data()["id"], ROOT);
    let body = json!({"accessor": auth["accessor"]});
    assert_eq!(server.root("POST", "/v1/auth/token/lookup-accessor", body).await.data()["id"], "");
    let unknown = server.root("POST", "/v1/auth/token/lookup", json!({"token": "nosuch"})).await;
    assert_eq!(unknown.errors(403), json!(["bad token"]));
    let unknown = server.root("POST", "/v1/auth/token/lookup-accessor", json!({"accessor": "nosuch"})).await;
    assert_eq!(unknown.errors(400), json!(["1 error occurred:\n\t* invalid accessor\n\n"]));
    let refused = server.as_token(token(&auth), "POST", "/v1/auth/token/lookup", json!({"token": ROOT})).await;
    refused.is(403);
    server.stop().await;
}

#[tokio::test]
async fn renewal_gives_time_again_and_shows_it() {
    let server = TestServer::dev().await;
    let auth = create(&server, ROOT, json!({"policies": ["default"], "ttl": "1h"})).await;
    let renew = async |body: Value| server.as_token(token(&auth), "PUT", "/v1/auth/token/renew-self", body).await;
    for (body, duration) in [(Value::Null, 3600), (json!({"increment": 0}), 3600), (json!({"increment": "10m"}), 600)] {
        let renewed = renew(body).await.is(200).json()["auth"].take();
        assert_eq!((&renewed["lease_duration"], &renewed["client_token"]), (&json!(duration), &auth["client_token"]));
    }
    let data = server.as_token(token(&auth), "GET", "/v1/auth/token/lookup-self", Value::Null).await.data();
    assert!(data["last_renewal"].is_string() && data["last_renewal_time"].is_i64());
    let body = json!({"token": token(&auth), "increment": "30m"});
    assert_eq!(server.root("POST", "/v1/auth/token/renew", body).await.json()["auth"]["lease_duration"], 1800);
    let body = json!({"accessor": auth["accessor"], "increment": 60});
    let renewed = server.root("POST", "/v1/auth/token/renew-accessor", body).await.json()["auth"].take();
    assert_eq!((&renewed["client_token"], &renewed["lease_duration"]), (&json!(""), &json!(60)));
    let root = server.root("POST", "/v1/auth/token/renew-self", json!({})).await;
    assert_eq!(root.errors(400), json!(["lease is not renewable"]));
    let unknown = server.root("POST", "/v1/auth/token/renew", json!({"token": "nosuch"})).await;
    assert_eq!(unknown.errors(400), json!(["token not found"]));
    server.stop().await;
}

#[tokio::test]
async fn revoked_token_is_refused_with_its_children() {
    let server = TestServer::dev().await;
    let policy = r#"path "auth/token/*" { capabilities = ["update", "sudo"] }"#;
    let parent = server.token_with(ROOT, policy).await;
    let child = create(&server, &parent, Value::Null).await;
    let orphan =
        server.as_token(&parent, "POST", "/v1/auth/token/create-orphan", Value::Null).await.json()["auth"].take();
    let alive = async |of: &Value| {
        server.root("POST", "/v1/auth/token/lookup", json!({"token": of["client_token"]})).await.status
    };
    assert_eq!((alive(&child).await, alive(&orphan).await), (200, 200));
    for _ in 0..2 {
        server.root("POST", "/v1/auth/token/revoke", json!({"token": parent})).await.is(204);
    }
    assert_eq!((alive(&child).await, alive(&orphan).await), (403, 200));
    let body = json!({"accessor": orphan["accessor"]});
    server.root("POST", "/v1/auth/token/revoke-accessor", body.clone()).await.is(204);
    let again = server.root("POST", "/v1/auth/token/revoke-accessor", body).await.is(200).json();
    assert_eq!(again["warnings"], json!(["No token found with this accessor"]));
    let own = create(&server, ROOT, json!({"policies": ["default"]})).await;
    server.as_token(token(&own), "POST", "/v1/auth/token/revoke-self", Value::Null).await.is(204);
    server.as_token(token(&own), "POST", "/v1/auth/token/revoke-self", Value::Null).await.is(403);
    assert_eq!(server.root("POST", "/v1/auth/token/revoke", json!({})).await.errors(400), json!(["missing token ID"]));
    server.stop().await;
}

#[tokio::test]
async fn revoke_orphan_leaves_the_children() {
    let server = TestServer::dev().await;
    let parent = server.token_with(ROOT, r#"path "auth/token/create" { capabilities = ["update"] }"#).await;
    let child = create(&server, &parent, Value::Null).await;
    server.root("POST", "/v1/auth/token/revoke-orphan", json!({"token": parent})).await.is(204);
    let data = server.root("POST", "/v1/auth/token/lookup", json!({"token": token(&child)})).await.data();
    assert_eq!(data["orphan"], true);
    server.root("POST", "/v1/auth/token/lookup", json!({"token": parent})).await.is(403);
    server.stop().await;
}

#[tokio::test]
async fn batch_token_is_not_renewed_or_revoked() {
    let server = TestServer::dev().await;
    let auth = create(&server, ROOT, json!({"policies": ["default"], "type": "batch", "ttl": "1h"})).await;
    assert!(token(&auth).starts_with("hvb."));
    assert_eq!(
        (&auth["accessor"], &auth["renewable"], &auth["token_type"]),
        (&json!(""), &json!(false), &json!("batch"))
    );
    let ask = async |path: &str| server.as_token(token(&auth), "POST", path, json!({})).await;
    assert_eq!(ask("/v1/auth/token/renew-self").await.errors(400), json!(["batch tokens cannot be renewed"]));
    assert_eq!(ask("/v1/auth/token/revoke-self").await.errors(400), json!(["batch tokens cannot be revoked"]));
    let data = server.as_token(token(&auth), "GET", "/v1/auth/token/lookup-self", Value::Null).await.data();
    assert_eq!((&data["type"], &data["id"]), (&json!("batch"), &auth["client_token"]));
    server.stop().await;
}

#[tokio::test]
async fn last_use_works_and_then_the_token_is_gone() {
    let server = TestServer::dev().await;
    let auth = create(&server, ROOT, json!({"policies": ["default"], "num_uses": 2})).await;
    let ask = async || server.as_token(token(&auth), "GET", "/v1/auth/token/lookup-self", Value::Null).await;
    assert_eq!(ask().await.data()["num_uses"], 1);
    assert_eq!(ask().await.data()["num_uses"], -1);
    ask().await.is(403);
    server.stop().await;
}

#[tokio::test]
async fn escalation_is_refused() {
    let server = TestServer::dev().await;
    let by = server.token_with(ROOT, r#"path "auth/token/create" { capabilities = ["update"] }"#).await;
    for (body, error) in [
        (json!({"policies": ["other"]}), "child policies must be subset of parent"),
        (json!({"policies": ["root"]}), "child policies must be subset of parent"),
        (json!({"no_parent": true}), "root or sudo privileges required to create orphan token"),
        (json!({"id": "abc"}), "root or sudo privileges required to specify token id"),
        (json!({"period": "1h"}), "root or sudo privileges required to create periodic token"),
        (json!({"ttl": -5}), "ttl must not be negative"),
        (json!({"type": "magic"}), "invalid 'token_type' value"),
    ] {
        let reply = server.as_token(&by, "POST", "/v1/auth/token/create", body.clone()).await;
        assert_eq!(reply.errors(400), json!([error]), "{body}");
    }
    server.root("POST", "/v1/auth/token/create", json!({"ttl": "bogus"})).await.is(400);
    server.root("GET", "/v1/auth/token/create", Value::Null).await.is(405);
    let capped =
        server.root("POST", "/v1/auth/token/create", json!({"ttl": "99999h", "policies": ["nosuch"]})).await.json();
    assert_eq!(capped["auth"]["lease_duration"], 2_764_800);
    assert_eq!(capped["warnings"].as_array().unwrap().len(), 2, "{capped}");
    server.stop().await;
}

#[tokio::test]
async fn roles_rule_the_tokens_made_through_them() {
    let server = TestServer::dev().await;
    let path = "/v1/auth/token/roles/r1";
    let role = json!({"allowed_policies": "p1,default", "orphan": true, "token_period": "1h", "path_suffix": "sfx"});
    server.root("POST", path, role).await.is(204);
    assert_eq!(
        server.root("GET", path, Value::Null).await.data(),
        json!({"allowed_entity_aliases": null, "allowed_policies": ["default", "p1"], "allowed_policies_glob": [],
            "disallowed_policies": [], "disallowed_policies_glob": [], "explicit_max_ttl": 0, "name": "r1",
            "orphan": true, "path_suffix": "sfx", "period": 0, "renewable": true, "token_explicit_max_ttl": 0,
            "token_no_default_policy": false, "token_period": 3600, "token_type": "default-service"})
    );
    assert_eq!(server.root("LIST", "/v1/auth/token/roles", Value::Null).await.data(), json!({"keys": ["r1"]}));
    let made = server.root("POST", "/v1/auth/token/create/r1", json!({"policies": ["p1"]})).await.is(200).json();
    assert_eq!((&made["auth"]["orphan"], &made["auth"]["lease_duration"]), (&json!(true), &json!(3600)));
    server.root("POST", "/v1/auth/token/create/r1", json!({"policies": ["other"]})).await.is(400);
    let unknown = server.root("POST", "/v1/auth/token/create/nosuch", Value::Null).await;
    assert_eq!(unknown.errors(400), json!(["unknown role nosuch"]));
    server.root("DELETE", path, Value::Null).await.is(204);
    assert_eq!(server.root("GET", path, Value::Null).await.errors(404), json!([]));
    server.root("LIST", "/v1/auth/token/roles", Value::Null).await.is(404);
    server.stop().await;
}

#[tokio::test]
async fn accessors_are_listed() {
    let server = TestServer::dev().await;
    let auth = create(&server, ROOT, json!({"policies": ["default"]})).await;
    let keys = server.root("LIST", "/v1/auth/token/accessors", Value::Null).await.data()["keys"].take();
    assert!(keys.as_array().unwrap().contains(&auth["accessor"]), "{keys}");
    server.stop().await;
}
