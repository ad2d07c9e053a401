//! Numbered keys over HTTP: rotated by name, listed, retired, and on record.

use serde_json::{Value, json};

use crate::server::{ROOT, TestServer};

const KEYS: &str = "/api/v1/operator/keys";
const RETIRE: &str = "/api/v1/operator/keys/retire";
const ROTATE: &str = "/api/v1/operator/rotate";

async fn rotate(server: &TestServer, key: &str) {
    server.root("POST", ROTATE, json!({"key": key})).await.is(204);
}

async fn new_root(server: &TestServer) -> String {
    let wanted = json!({"policies": ["root"], "orphan": true});
    let grant = server.root("POST", "/api/v1/tokens", wanted).await.is(200).json();
    grant["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn native_rotate_without_a_key_is_refused_and_rotates_nothing() {
    let server = TestServer::dev().await;
    let before = server.root("GET", KEYS, Value::Null).await.is(200).json();
    for (body, what) in [
        ("", "body"),
        ("{}", "missing field `key`"),
        (r#"{"key": "root"}"#, "unknown variant"),
        (r#"{"key": null}"#, "body"),
        (r#"{"keys": "barrier"}"#, "unknown field"),
    ] {
        let refused = server.raw("POST", ROTATE, Some(ROOT), body).await.is(400).json();
        assert_eq!(refused["code"], "invalid");
        assert!(refused["detail"].as_str().unwrap().contains(what), "{body}: {refused}");
        let refused = server.raw("POST", RETIRE, Some(ROOT), body).await.is(400).json();
        assert_eq!(refused["code"], "invalid", "{body}");
    }
    assert_eq!(server.root("GET", KEYS, Value::Null).await.is(200).json(), before);
    let rotations = server.root("GET", "/api/v1/audit/entries?action=barrier.rotate", Value::Null).await.is(200);
    assert_eq!(rotations.json()["entries"], json!([]), "the barrier was rotated by nobody's wish");
    // A term and a log have other ways to go; they are not retired.
    for key in ["barrier", "log"] {
        server.root("POST", RETIRE, json!({"key": key})).await.is(400);
    }
    server.stop().await;
}

#[tokio::test]
async fn vault_rotate_without_a_body_rotates_the_barrier() {
    let server = TestServer::dev().await;
    let before = server.root("GET", KEYS, Value::Null).await.is(200).json();
    server.raw("PUT", "/v1/sys/rotate", Some(ROOT), "").await.is(204);
    let rotations = server.root("GET", "/api/v1/audit/entries?action=barrier.rotate", Value::Null).await.is(200);
    assert_eq!(rotations.json()["entries"].as_array().unwrap().len(), 1);
    assert_eq!(server.root("GET", KEYS, Value::Null).await.is(200).json(), before);
    server.stop().await;
}

#[tokio::test]
async fn keys_are_listed_and_retired_and_both_is_on_record() {
    let server = TestServer::dev().await;
    let listed = server.root("GET", KEYS, Value::Null).await.is(200).json();
    let expected = json!({"items": [
        {"key": "audit", "number": 1, "state": "current"},
        {"key": "batch", "number": 1, "state": "current"},
        {"key": "token", "number": 1, "state": "current", "tokens": 1},
    ]});
    assert_eq!(listed, expected);
    rotate(&server, "token").await;
    rotate(&server, "token").await;
    let admin = new_root(&server).await;
    let listed = server.as_token(&admin, "GET", KEYS, Value::Null).await.is(200).json();
    let expected = json!([
        {"key": "token", "number": 3, "state": "current", "tokens": 1},
        {"key": "token", "number": 2, "state": "held", "tokens": 0},
        {"key": "token", "number": 1, "state": "held", "tokens": 1},
    ]);
    assert_eq!(listed["items"].as_array().unwrap()[2..], expected.as_array().unwrap()[..]);

    let page = server.root("GET", &format!("{KEYS}?limit=3"), Value::Null).await.is(200).json();
    assert_eq!(page["items"][2], expected[0], "the newest of its key comes first");
    let next = page["next"].as_str().unwrap();
    let rest = server.root("GET", &format!("{KEYS}?after={next}"), Value::Null).await.is(200).json();
    assert_eq!(rest, json!({"items": [expected[1], expected[2]]}));

    let refused = server.root("POST", RETIRE, json!({"key": "token"})).await.is(400).json();
    assert!(refused["detail"].as_str().unwrap().contains("token key 1"), "{refused}");
    server.root("GET", KEYS, Value::Null).await.is(200);
    let retired = server.as_token(&admin, "POST", RETIRE, json!({"key": "token"})).await.is(200).json();
    assert_eq!(retired, json!({"key": "token", "current": 3, "removed": [1, 2]}));
    server.root("GET", KEYS, Value::Null).await.is(401);
    let again = server.as_token(&admin, "POST", RETIRE, json!({"key": "token"})).await.is(200).json();
    assert_eq!(again, json!({"key": "token", "current": 3, "removed": []}));

    let path = "/api/v1/audit/entries?action=key.retire";
    let told = server.as_token(&admin, "GET", path, Value::Null).await.is(200).json();
    let told: Vec<(&Value, &Value)> = told["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (&entry["entry"]["out"], &entry["entry"]["facts"]["removed"]))
        .collect();
    let (ok, none) = (json!("success"), Value::Null);
    assert_eq!(told, [(&json!("error"), &none), (&ok, &json!("1,2")), (&ok, &none)]);
    server.stop().await;
}

#[tokio::test]
async fn retired_audit_key_makes_no_hash_and_history_goes_on() {
    let server = TestServer::dev().await;
    let set = || server.root("PUT", "/api/v1/secrets/acme/KEY", json!({"value": "v"}));
    set().await.is(200);
    rotate(&server, "audit").await;
    set().await.is(200);
    let retired = server.root("POST", RETIRE, json!({"key": "audit"})).await.is(200).json();
    assert_eq!(retired["removed"], json!([1]));
    set().await.is(200);
    let path = "/api/v1/audit/entries?action=secret.write&path=secret/data/acme/KEY";
    let written = server.root("GET", path, Value::Null).await.is(200).json();
    let hashes: Vec<(&Value, &Value)> = written["entries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (&entry["entry"]["res"]["hmac_kid"], &entry["entry"]["res"]["hmac"]))
        .collect();
    assert_eq!(hashes.iter().map(|(kid, _)| (*kid).clone()).collect::<Vec<_>>(), [json!(1), json!(2), json!(2)]);
    assert!(hashes[0].1 != hashes[1].1 && hashes[1].1 == hashes[2].1, "one value, one hash for each key");
    let history = server.root("GET", "/api/v1/secrets/acme/KEY/history", Value::Null).await.is(200).json();
    assert_eq!(history["items"].as_array().unwrap().len(), 3);
    server.stop().await;
}
