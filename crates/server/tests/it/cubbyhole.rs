//! `cubbyhole/…`: a private store of each token.

use serde_json::{Value, json};

use crate::server::{ROOT, TestServer};

async fn token(server: &TestServer) -> (String, String) {
    let body = json!({"policies": ["default"], "ttl": "1h"});
    let auth = server.root("POST", "/v1/auth/token/create", body).await.is(200).json()["auth"].take();
    let text = |key: &str| auth[key].as_str().unwrap().to_owned();
    (text("client_token"), text("accessor"))
}

#[tokio::test]
async fn entries_are_written_read_listed_and_deleted() {
    let server = TestServer::dev().await;
    let (token, _) = token(&server).await;
    let ask = async |method: &str, path: &str, body: &str| server.raw(method, path, Some(&token), body).await;
    ask("PUT", "/v1/cubbyhole/a", r#"{"x":"1","y":{"z":[1,2]}}"#).await.is(204);
    ask("POST", "/v1/cubbyhole/d/e/f", r#"{"n":12345678901234567890,"f":1.50}"#).await.is(204);
    ask("POST", "/v1/cubbyhole/d-1", r#"{"n":1}"#).await.is(204);
    ask("POST", "/v1/cubbyhole/d", r#"{"n":1}"#).await.is(204);
    assert_eq!(ask("GET", "/v1/cubbyhole/a", "").await.data(), json!({"x": "1", "y": {"z": [1, 2]}}));
    // Numbers come back digit by digit.
    assert!(ask("GET", "/v1/cubbyhole/d/e/f", "").await.text().contains(r#"{"n":12345678901234567890,"f":1.50}"#));
    assert_eq!(ask("LIST", "/v1/cubbyhole", "").await.data(), json!({"keys": ["a", "d", "d-1", "d/"]}));
    assert_eq!(ask("GET", "/v1/cubbyhole/d/?list=true", "").await.data(), json!({"keys": ["e/"]}));
    assert_eq!(ask("LIST", "/v1/cubbyhole/d/e", "").await.data(), json!({"keys": ["f"]}));
    for absent in ["/v1/cubbyhole/none", "/v1/cubbyhole/d/e", "/v1/cubbyhole/d/"] {
        assert_eq!(ask("GET", absent, "").await.errors(404), json!([]), "{absent}");
    }
    ask("POST", "/v1/cubbyhole/a", r#"{"x":"2"}"#).await.is(204);
    assert_eq!(ask("GET", "/v1/cubbyhole/a", "").await.data(), json!({"x": "2"}));
    for path in ["a", "d/e/f", "d-1", "d", "none"] {
        ask("DELETE", &format!("/v1/cubbyhole/{path}"), "").await.is(204);
    }
    assert_eq!(ask("LIST", "/v1/cubbyhole", "").await.errors(404), json!([]));
    for (body, path) in [("{}", "a"), ("", "a"), (r#"{"x":1}"#, "")] {
        server.raw("POST", &format!("/v1/cubbyhole/{path}"), Some(ROOT), body).await.is(400);
    }
    let long = "a".repeat(600);
    server.raw("POST", &format!("/v1/cubbyhole/{long}"), Some(ROOT), r#"{"x":1}"#).await.is(400);
    let large = json!({"x": "a".repeat(1 << 20)}).to_string();
    server.raw("POST", "/v1/cubbyhole/a", Some(ROOT), &large).await.is(413);
    server.root("PATCH", "/v1/cubbyhole/a", json!({"x": 1})).await.is(405);
    server.stop().await;
}

#[tokio::test]
async fn nobody_sees_the_cubbyhole_of_another() {
    let server = TestServer::dev().await;
    let (one, _) = token(&server).await;
    let (other, _) = token(&server).await;
    server.as_token(&one, "POST", "/v1/cubbyhole/a", json!({"x": 1})).await.is(204);
    for token in [other.as_str(), ROOT] {
        server.as_token(token, "GET", "/v1/cubbyhole/a", Value::Null).await.is(404);
        server.as_token(token, "LIST", "/v1/cubbyhole", Value::Null).await.is(404);
        server.as_token(token, "DELETE", "/v1/cubbyhole/a", Value::Null).await.is(204);
    }
    assert_eq!(server.as_token(&one, "GET", "/v1/cubbyhole/a", Value::Null).await.data(), json!({"x": 1}));
    server.raw("GET", "/v1/cubbyhole/a", None, "").await.is(403);
    let batch = json!({"policies": ["default"], "type": "batch", "ttl": "1h"});
    let batch = server.root("POST", "/v1/auth/token/create", batch).await.json()["auth"]["client_token"].take();
    let batch = batch.as_str().unwrap();
    for (method, body) in [("POST", json!({"a": 1})), ("GET", Value::Null), ("LIST", Value::Null)] {
        let refused = server.as_token(batch, method, "/v1/cubbyhole/x", body).await;
        let why = "cubbyhole operations are only supported by 'service' type tokens";
        assert_eq!(refused.errors(400), json!([why]), "{method}");
    }
    server.stop().await;
}

#[tokio::test]
async fn policy_tells_creation_from_update() {
    let server = TestServer::dev().await;
    let token = server.token_with(ROOT, r#"path "cubbyhole/*" { capabilities = ["create", "read"] }"#).await;
    let write = async || server.as_token(&token, "POST", "/v1/cubbyhole/a", json!({"x": 1})).await.status;
    assert_eq!((write().await, write().await), (204, 403));
    server.stop().await;
}

#[tokio::test]
async fn token_renewed_after_its_first_entry_keeps_it() {
    let server = TestServer::dev().await;
    let (token, _) = token(&server).await;
    server.as_token(&token, "POST", "/v1/cubbyhole/a", json!({"x": 1})).await.is(204);
    server.as_token(&token, "POST", "/v1/auth/token/renew-self", json!({})).await.is(200);
    server.as_token(&token, "POST", "/v1/cubbyhole/b", json!({"x": 2})).await.is(204);
    assert_eq!(server.as_token(&token, "LIST", "/v1/cubbyhole", Value::Null).await.data(), json!({"keys": ["a", "b"]}));
    server.stop().await;
}

#[tokio::test]
async fn cubbyhole_takes_a_bounded_number_of_entries() {
    let server = TestServer::dev().await;
    let (token, _) = token(&server).await;
    for n in 0..256 {
        server.as_token(&token, "POST", &format!("/v1/cubbyhole/{n}"), json!({"x": 1})).await.is(204);
    }
    server.as_token(&token, "POST", "/v1/cubbyhole/more", json!({"x": 1})).await.is(400);
    server.as_token(&token, "POST", "/v1/cubbyhole/0", json!({"x": 2})).await.is(204);
    server.as_token(&token, "POST", "/v1/auth/token/revoke-self", Value::Null).await.is(204);
    server.stop().await;
}
