//! Root tokens from shares, under either name; and the step down of a node without others.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use serde_json::{Value, json};

use crate::shamir::{ask, unsealed, why};

#[tokio::test]
async fn shares_give_a_root_token_under_a_pad() {
    let (server, told) = unsealed(3, 2).await;
    let root = async |method: &str, path: &str, body: Value| {
        server.as_token(&told.root, method, &format!("/v1/sys/generate-root/{path}"), body).await
    };
    let idle = json!({"nonce": "", "started": false, "progress": 0, "required": 2, "complete": false, "encoded_token": "",
        "encoded_root_token": "", "pgp_fingerprint": "", "otp": "", "otp_length": 28});
    assert_eq!(root("GET", "attempt", Value::Null).await.is(200).json(), idle);
    assert_eq!(why(root("PUT", "attempt", json!({"otp": "abc"})).await, 400), "OTP string has incorrect length");
    assert!(why(root("PUT", "attempt", json!({"pgp_key": "abc"})).await, 400).contains("given PGP key"));
    let update = json!({"nonce": "x", "key": told.keys[0]});
    assert_eq!(why(root("PUT", "update", update).await, 400), "no root generation in progress");
    let begun = root("PUT", "attempt", Value::Null).await.is(200).json();
    let (nonce, otp) = (begun["nonce"].as_str().unwrap(), begun["otp"].as_str().unwrap());
    assert_eq!((otp.len(), &begun["otp_length"]), (28, &json!(28)));
    assert_eq!(root("GET", "attempt", Value::Null).await.json()["otp"], "", "told once");
    assert!(why(root("PUT", "attempt", json!({})).await, 400).contains("already in progress"));
    let give = async |key: &str| root("PUT", "update", json!({"nonce": nonce, "key": key})).await;
    assert_eq!(give(&told.keys[2]).await.is(200).json()["progress"], 1);
    assert!(why(give(&told.keys[2]).await, 400).contains("already been provided"));
    assert!(why(give(&"78".repeat(33)).await, 400).starts_with("invalid key: "));
    give(&told.keys[0]).await.is(200);
    let done = give(&told.keys[1]).await.is(200).json();
    assert_eq!((&done["complete"], &done["progress"], &done["otp_length"]), (&json!(true), &json!(2), &json!(0)));
    let encoded = done["encoded_root_token"].as_str().unwrap();
    let token: String =
        STANDARD_NO_PAD.decode(encoded).unwrap().iter().zip(otp.bytes()).map(|(a, b)| char::from(a ^ b)).collect();
    assert_ne!(token, told.root);
    let own = server.as_token(&token, "GET", "/v1/auth/token/lookup-self", Value::Null).await.data();
    assert_eq!((&own["policies"], &own["path"]), (&json!(["root"]), &json!("auth/token/root")));
    assert_eq!(root("GET", "attempt", Value::Null).await.json(), idle);
    root("PUT", "attempt", json!({"otp": "a".repeat(28)})).await.is(200);
    root("DELETE", "attempt", Value::Null).await.is(204);
    root("DELETE", "attempt", Value::Null).await.is(204);
    // What was under way goes with the keys.
    root("PUT", "attempt", Value::Null).await.is(200);
    server.as_token(&told.root, "PUT", "/v1/sys/seal", Value::Null).await.is(204);
    for key in &told.keys[..2] {
        ask(&server, "PUT", "unseal", json!({"key": key})).await.is(200);
    }
    assert_eq!(root("GET", "attempt", Value::Null).await.json(), idle);
    server.stop().await;
}

#[tokio::test]
async fn root_token_under_its_other_name_is_the_same_attempt_in_an_envelope() {
    let (server, told) = unsealed(3, 2).await;
    let root = async |method: &str, path: &str, body: Value| {
        server.as_token(&told.root, method, &format!("/v1/sys/generate-root-token/{path}"), body).await
    };
    let idle = json!({"complete": false, "otp": "", "otp_length": 28, "progress": 0, "required": 2, "started": false});
    assert_eq!(root("GET", "attempt", Value::Null).await.data(), idle);
    let share = json!({"nonce": "x", "key": told.keys[0]});
    assert_eq!(why(root("PUT", "update", share).await, 400), "no root generation in progress");
    assert_eq!(why(root("PUT", "attempt", json!({"otp": "abc"})).await, 400), "OTP string has incorrect length");
    assert!(why(root("PUT", "attempt", json!({"pgp_key": "abc"})).await, 400).contains("given PGP key"));
    let begun = root("PUT", "attempt", json!({})).await.data();
    let (nonce, otp) = (begun["nonce"].as_str().unwrap(), begun["otp"].as_str().unwrap());
    let expected = json!({"complete": false, "nonce": nonce, "otp": otp, "otp_length": 28, "pgp_fingerprint": "",
        "progress": 0, "required": 2, "started": true});
    assert_eq!((&begun, otp.len()), (&expected, 28));
    let again = root("PUT", "attempt", json!({})).await;
    assert_eq!(why(again, 400), "root generation already in progress for this namespace");
    let give = async |body: Value| root("PUT", "update", body).await;
    assert_eq!(why(give(json!({"key": told.keys[0]})).await, 400), "nonce is required");
    assert_eq!(why(give(json!({"nonce": nonce})).await, 400), "key is required");
    assert!(why(give(json!({"nonce": "wrong", "key": told.keys[0]})).await, 400).starts_with("incorrect nonce"));
    let first = give(json!({"nonce": nonce, "key": told.keys[0]})).await.data();
    let expected = json!({"complete": false, "encoded_token": "", "nonce": nonce, "pgp_fingerprint": "", "progress": 1,
        "required": 2, "started": true});
    assert_eq!(first, expected);
    // Its other name shows the same attempt, and takes the share that is left.
    let old = "/v1/sys/generate-root";
    let seen = server.as_token(&told.root, "GET", &format!("{old}/attempt"), Value::Null).await.is(200).json();
    assert_eq!((&seen["nonce"], &seen["progress"]), (&json!(nonce), &json!(1)));
    let last = json!({"nonce": nonce, "key": told.keys[1]});
    let done = server.as_token(&told.root, "PUT", &format!("{old}/update"), last).await.is(200).json();
    let encoded = STANDARD_NO_PAD.decode(done["encoded_token"].as_str().unwrap()).unwrap();
    let token: String = encoded.iter().zip(otp.bytes()).map(|(a, b)| char::from(a ^ b)).collect();
    let own = server.as_token(&token, "GET", "/v1/auth/token/lookup-self", Value::Null).await.data();
    assert_eq!(own["policies"], json!(["root"]));
    assert_eq!(root("GET", "attempt", Value::Null).await.data(), idle);
    root("PUT", "attempt", json!({"otp": "a".repeat(28)})).await.is(200);
    root("DELETE", "attempt", Value::Null).await.is(204);
    root("DELETE", "attempt", Value::Null).await.is(204);
    for (method, path, status) in
        [("GET", "update", 405), ("DELETE", "update", 405), ("LIST", "attempt", 404), ("GET", "", 404)]
    {
        root(method, path, Value::Null).await.is(status);
    }
    // A policy alone is not enough: it takes sudo.
    let all = r#"path "sys/generate-root-token/*" { capabilities = ["create", "read", "update", "delete"] }"#;
    let weak = server.token_with(&told.root, all).await;
    let sudo = server.token_with(&told.root, &all.replace("[", "[\"sudo\", ")).await;
    let path = "/v1/sys/generate-root-token/attempt";
    for (method, done) in [("GET", 200), ("PUT", 200), ("DELETE", 204)] {
        server.as_token(&weak, method, path, Value::Null).await.is(403);
        server.as_token(&sudo, method, path, Value::Null).await.is(done);
    }
    server.stop().await;
}

#[tokio::test]
async fn step_down_without_another_node_changes_nothing() {
    let (server, told) = unsealed(1, 1).await;
    let path = "/v1/sys/step-down";
    server.raw("PUT", path, None, "").await.is(403);
    let weak = server.token_with(&told.root, r#"path "sys/step-down" { capabilities = ["update"] }"#).await;
    server.as_token(&weak, "PUT", path, Value::Null).await.is(403);
    server.as_token(&told.root, "GET", path, Value::Null).await.is(405);
    let strong = r#"path "sys/step-down" { capabilities = ["update", "sudo"] }"#;
    let strong = server.token_with(&told.root, strong).await;
    for method in ["PUT", "POST"] {
        server.as_token(&strong, method, path, Value::Null).await.is(204);
    }
    ask(&server, "GET", "health", Value::Null).await.is(200);
    server.as_token(&told.root, "GET", "/v1/sys/mounts", Value::Null).await.is(200);
    server.stop().await;
}
