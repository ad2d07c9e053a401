//! `sys/leases/…` and its older paths.

use serde_json::{Value, json};

use crate::server::{ROOT, TestServer};

async fn create(server: &TestServer, by: &str, body: Value) -> Value {
    server.as_token(by, "POST", "/v1/auth/token/create", body).await.is(200).json()["auth"].take()
}

async fn login(server: &TestServer, name: &str) -> Value {
    let path = format!("/v1/auth/up/login/{name}");
    server.raw("POST", &path, None, r#"{"password":"pw"}"#).await.is(200).json()["auth"].take()
}

async fn with_users(names: &[&str]) -> TestServer {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/sys/auth/up", json!({"type": "userpass"})).await.is(204);
    for name in names {
        let body = json!({"password": "pw", "token_policies": "creator"});
        server.root("POST", &format!("/v1/auth/up/users/{name}"), body).await.is(204);
    }
    let policy = r#"path "auth/token/create" { capabilities = ["update"] }"#;
    server.root("POST", "/v1/sys/policies/acl/creator", json!({"policy": policy})).await.is(204);
    server
}

fn token(auth: &Value) -> &str {
    auth["client_token"].as_str().unwrap()
}

fn id(path: &str, auth: &Value) -> String {
    format!("{path}/{}", auth["accessor"].as_str().unwrap())
}

async fn alive(server: &TestServer, auth: &Value) -> bool {
    server.as_token(token(auth), "GET", "/v1/auth/token/lookup-self", Value::Null).await.status == 200
}

#[tokio::test]
async fn lease_of_a_token_is_looked_up_by_its_id() {
    let server = with_users(&["bob"]).await;
    let bob = login(&server, "bob").await;
    let bobs = id("auth/up/login/bob", &bob);
    let path = "/v1/sys/leases/lookup";
    let mut data = server.root("PUT", path, json!({"lease_id": bobs})).await.data();
    assert!((2_764_790..=2_764_800).contains(&data["ttl"].take().as_i64().unwrap()));
    assert!(data["expire_time"].take().is_string() && data["issue_time"].take().is_string());
    assert_eq!(
        data,
        json!({"expire_time": null, "id": bobs, "issue_time": null, "last_renewal": null,
            "path": "auth/up/login/bob", "renewable": true, "ttl": null})
    );
    // Whoever has the default policy may, who knows the id.
    server.as_token(token(&bob), "POST", path, json!({"lease_id": bobs})).await.is(200);
    server.as_token(token(&bob), "POST", "/v1/auth/token/renew-self", json!({"increment": "1h"})).await.is(200);
    let data = server.root("POST", path, json!({"lease_id": bobs})).await.data();
    assert!(data["last_renewal"].is_string() && data["ttl"].as_i64().unwrap() <= 3600);
    let root = create(&server, ROOT, json!({})).await;
    let data = server.root("POST", path, json!({"lease_id": id("auth/token/create", &root)})).await.data();
    assert_eq!((&data["expire_time"], &data["ttl"], &data["renewable"]), (&Value::Null, &json!(0), &json!(false)));
    for unknown in ["nosuch", "auth/up/login/bob", &id("auth/up/login/eve", &bob), &bobs[1..], "a/b/../c"] {
        let reply = server.root("POST", path, json!({"lease_id": unknown})).await;
        assert_eq!(reply.errors(400), json!(["invalid lease"]), "{unknown}");
    }
    let missing = server.root("POST", path, json!({})).await;
    assert_eq!(missing.errors(400), json!(["lease_id must be specified"]));
    server.root("GET", path, Value::Null).await.is(405);
    server.stop().await;
}

#[tokio::test]
async fn prefixes_are_listed_one_level_at_a_time() {
    let server = with_users(&["ada", "bob"]).await;
    let bob = login(&server, "bob").await;
    login(&server, "ada").await;
    create(&server, ROOT, json!({"policies": ["default"]})).await;
    create(&server, ROOT, json!({"policies": ["default"], "type": "batch"})).await;
    let list = async |prefix: &str| server.root("LIST", &format!("/v1/sys/leases/lookup/{prefix}"), Value::Null).await;
    assert_eq!(list("").await.data(), json!({"keys": ["auth/"]}));
    assert_eq!(list("auth").await.data(), json!({"keys": ["token/", "up/"]}));
    assert_eq!(list("auth/up/login/").await.data(), json!({"keys": ["ada/", "bob/"]}));
    assert_eq!(list("auth/up/login/bob").await.data(), json!({"keys": [bob["accessor"]]}));
    assert_eq!(list("auth/token/create").await.data()["keys"].as_array().unwrap().len(), 2, "no batch token");
    assert_eq!(list("nosuch").await.errors(404), json!([]));
    let mere = server.token_with(ROOT, r#"path "sys/leases/*" { capabilities = ["list", "update"] }"#).await;
    server.as_token(&mere, "LIST", "/v1/sys/leases/lookup/auth", Value::Null).await.is(403);
    server.as_token(&mere, "PUT", "/v1/sys/leases/revoke-prefix/auth", json!({})).await.is(403);
    server.stop().await;
}

#[tokio::test]
async fn renewal_is_refused_with_its_reason() {
    let server = with_users(&["bob"]).await;
    let bob = id("auth/up/login/bob", &login(&server, "bob").await);
    let fixed = create(&server, ROOT, json!({"policies": ["default"], "renewable": false, "ttl": "1h"})).await;
    let fixed = id("auth/token/create", &fixed);
    for path in ["/v1/sys/leases/renew", "/v1/sys/renew"] {
        for (id, why) in [
            (bob.as_str(), "tokens cannot be renewed through this endpoint"),
            (fixed.as_str(), "lease is not renewable"),
            ("nosuch", "lease not found"),
        ] {
            let body = json!({"lease_id": id, "increment": 60});
            assert_eq!(server.root("PUT", path, body).await.errors(400), json!([why]), "{path} {id}");
            let by_path = server.root("PUT", &format!("{path}/{id}"), json!({})).await;
            assert_eq!(by_path.errors(400), json!([why]), "{path}/{id}");
        }
        server.root("PUT", path, json!({})).await.is(400);
    }
    server.stop().await;
}

#[tokio::test]
async fn revoking_a_lease_revokes_its_token() {
    let server = with_users(&["bob"]).await;
    for (path, in_path) in [
        ("/v1/sys/leases/revoke", false),
        ("/v1/sys/leases/revoke", true),
        ("/v1/sys/revoke", false),
        ("/v1/sys/revoke", true),
        ("/v1/sys/leases/revoke-prefix", true),
    ] {
        let bob = login(&server, "bob").await;
        let child = create(&server, token(&bob), json!({})).await;
        let id = id("auth/up/login/bob", &bob);
        for _ in 0..2 {
            let reply = match in_path {
                true => server.root("PUT", &format!("{path}/{id}"), json!({})).await,
                false => server.root("PUT", path, json!({"lease_id": id})).await,
            };
            reply.is(204);
        }
        assert!(!alive(&server, &bob).await && !alive(&server, &child).await, "{path}");
    }
    server.root("POST", "/v1/sys/leases/revoke", json!({})).await.is(400);
    server.stop().await;
}

#[tokio::test]
async fn prefix_takes_its_tokens_with_their_trees_and_no_others() {
    let server = with_users(&["bo", "bob", "bobby"]).await;
    for path in ["sys/leases/revoke-prefix", "sys/leases/revoke-force", "sys/revoke-prefix", "sys/revoke-force"] {
        let mut gone = Vec::new();
        for _ in 0..2 {
            let bob = login(&server, "bob").await;
            gone.push(create(&server, token(&bob), json!({})).await);
            gone.push(bob);
            gone.push(login(&server, "bob").await);
        }
        let others = [login(&server, "bo").await, login(&server, "bobby").await];
        server.root("PUT", &format!("/v1/{path}/auth/up/login/bob"), json!({})).await.is(204);
        for auth in &gone {
            assert!(!alive(&server, auth).await, "{path}");
        }
        for auth in &others {
            assert!(alive(&server, auth).await, "{path}");
        }
        let left = server.root("LIST", "/v1/sys/leases/lookup/auth/up/login/bob", Value::Null).await;
        left.is(404);
    }
    let late = server.root("PUT", "/v1/sys/leases/revoke-prefix/auth/up", json!({"sync": false})).await;
    assert_eq!(late.is(202).body, b"");
    server.root("PUT", "/v1/sys/leases/revoke-prefix/nosuch", json!({})).await.is(204);
    server.root("PUT", "/v1/sys/leases/revoke-prefix", json!({})).await.is(404);
    server.stop().await;
}

#[tokio::test]
async fn more_tokens_than_one_batch_takes_are_revoked_by_their_prefix() {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/auth/token/roles/many", json!({"orphan": true})).await.is(204);
    for _ in 0..230 {
        server.root("POST", "/v1/auth/token/create/many", json!({"policies": ["default"]})).await.is(200);
    }
    let before = server.root("LIST", "/v1/auth/token/accessors", Value::Null).await.data();
    assert!(before["keys"].as_array().unwrap().len() > 230);
    server.root("PUT", "/v1/sys/leases/revoke-prefix/auth/token/create/many", json!({})).await.is(204);
    let after = server.root("LIST", "/v1/auth/token/accessors", Value::Null).await.data();
    assert_eq!(after["keys"].as_array().unwrap().len(), 1, "root's own is left: {after}");
    server.stop().await;
}

#[tokio::test]
async fn counts_and_tidy_answer_as_clients_expect() {
    let server = TestServer::dev().await;
    let count = server.root("GET", "/v1/sys/leases/count?type=irrevocable", Value::Null).await.data();
    assert_eq!(count, json!({"counts": {}, "lease_count": 0}));
    let list = server.root("GET", "/v1/sys/leases?type=irrevocable&limit=none", Value::Null).await.data();
    assert_eq!(list, json!({"lease_count": 0, "leases": []}));
    for path in ["/v1/sys/leases", "/v1/sys/leases/count", "/v1/sys/leases/count?type=foo"] {
        assert_eq!(server.root("GET", path, Value::Null).await.errors(404), json!([]), "{path}");
    }
    server.root("GET", "/v1/sys/leases?type=irrevocable&limit=-1", Value::Null).await.is(400);
    server.root("LIST", "/v1/sys/leases", Value::Null).await.is(404);
    for path in ["/v1/sys/leases/tidy", "/v1/auth/token/tidy"] {
        let tidy = server.root("PUT", path, json!({})).await.is(202).json();
        assert!(tidy["warnings"][0].as_str().unwrap().starts_with("Tidy operation successfully started."));
        server.root("GET", path, Value::Null).await.is(405);
    }
    server.stop().await;
}
