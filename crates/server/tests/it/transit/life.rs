//! A key from its creation to its end, as transit shows it; and the mount itself.

use serde_json::{Value, json};

use super::{MESSAGE, PLAIN, ask, key, post, refused, text, with_transit};
use crate::server::ROOT;

#[tokio::test]
async fn key_is_made_once_and_shown_whole() {
    let server = with_transit().await;
    ask(&server, "LIST", "keys", Value::Null).await.is(404);
    let made = post(&server, "keys/k", json!({"exportable": true, "auto_rotate_period": "24h"})).await;
    let since = made["keys"]["1"].as_i64().unwrap();
    assert_eq!(
        made,
        json!({
            "allow_plaintext_backup": false, "auto_rotate_period": 86400, "deletion_allowed": false, "derived": false,
            "exportable": true, "imported_key": false, "keys": {"1": since}, "latest_version": 1,
            "min_available_version": 0, "min_decryption_version": 1, "min_encryption_version": 0, "name": "k",
            "soft_deleted": false, "supports_decryption": true, "supports_derivation": true, "supports_encryption": true,
            "supports_signing": false, "type": "aes256-gcm96",
        })
    );
    // What is there stays as it is, whatever is asked.
    assert_eq!(post(&server, "keys/k", json!({"type": "ed25519", "exportable": false})).await, made);
    assert_eq!(ask(&server, "GET", "keys/k", Value::Null).await.data(), made);
    let hmac = post(&server, "keys/h", json!({"type": "hmac", "key_size": 64})).await;
    assert_eq!((&hmac["key_size"], hmac.get("keys")), (&json!(64), None));
    let signs = post(&server, "keys/s", json!({"type": "ecdsa-p256"})).await;
    let version = &signs["keys"]["1"];
    assert_eq!((&version["name"], &version["certificate_chain"]), (&json!("P-256"), &json!("")));
    assert!(text(&version["public_key"]).starts_with("-----BEGIN PUBLIC KEY-----\n"));
    assert_eq!(ask(&server, "LIST", "keys", Value::Null).await.data(), json!({"keys": ["h", "k", "s"]}));
    assert_eq!(ask(&server, "LIST", "keys?after=h&limit=1", Value::Null).await.data(), json!({"keys": ["k"]}));
    for (body, why) in [
        (json!({"type": "nosuch"}), "unknown key type nosuch"),
        (json!({"convergent_encryption": true}), "convergent encryption requires derivation to be enabled"),
        (json!({"type": "hmac", "key_size": 8}), "invalid key_size 8"),
        (json!({"key_size": 32}), "key_size is not valid for algorithm aes256-gcm96"),
        (json!({"auto_rotate_period": "10m"}), "auto rotate period must be 0 to disable or at least an hour"),
        (json!({"external_key_ref": "x"}), "must provide type=external-key to use external_key_ref"),
        (
            json!({"type": "rsa-2048", "derived": true}),
            "key derivation and convergent encryption not supported for keys of type rsa-2048",
        ),
    ] {
        assert_eq!(refused(&server, "keys/none", body).await, why);
    }
    ask(&server, "GET", "keys/none", Value::Null).await.is(404);
    server.stop().await;
}

#[tokio::test]
async fn floors_are_held_and_trimmed_versions_are_gone() {
    let server = with_transit().await;
    key(&server, "k", json!({"exportable": true})).await;
    let first = post(&server, "encrypt/k", json!({"plaintext": PLAIN})).await["ciphertext"].clone();
    for latest in [2, 3] {
        assert_eq!(post(&server, "keys/k/rotate", json!({})).await["latest_version"], latest);
    }
    let second = post(&server, "encrypt/k", json!({"plaintext": PLAIN, "key_version": 2})).await["ciphertext"].clone();
    assert_eq!(post(&server, "encrypt/k", json!({"plaintext": PLAIN})).await["key_version"], 3);
    let why = refused(&server, "keys/k/trim", json!({"min_available_version": 2})).await;
    assert_eq!(why, "minimum available version cannot be set when minimum encryption version is not set");
    let shown = post(&server, "keys/k/config", json!({"min_decryption_version": 2, "min_encryption_version": 3})).await;
    assert_eq!(shown["keys"].as_object().unwrap().keys().collect::<Vec<_>>(), ["2", "3"]);
    let why = refused(&server, "decrypt/k", json!({"ciphertext": first})).await;
    assert_eq!(why, "ciphertext or signature version is disallowed by policy (too old)");
    let why = refused(&server, "encrypt/k", json!({"plaintext": PLAIN, "key_version": 2})).await;
    assert_eq!(why, "requested version for encryption is less than the minimum encryption key version");
    assert_eq!(post(&server, "decrypt/k", json!({"ciphertext": second})).await["plaintext"], PLAIN);
    for (body, why) in [
        (json!({"min_decryption_version": 9}), "cannot set min decryption version of 9, latest key version is 3"),
        (json!({"min_decryption_version": -1}), "min decryption version cannot be negative"),
        (
            json!({"min_encryption_version": 1}),
            "cannot set min encryption/decryption values; min encryption version of 1 must be greater than or equal to \
             min decryption version of 2",
        ),
        (json!({"auto_rotate_period": "59m"}), "auto rotate period must be 0 to disable or at least an hour"),
    ] {
        assert_eq!(refused(&server, "keys/k/config", body).await, why);
    }
    let zero = ask(&server, "POST", "keys/k/config", json!({"min_decryption_version": 0})).await.is(200).json();
    assert_eq!((&zero["data"]["min_decryption_version"], zero["warnings"].as_array().unwrap().len()), (&json!(1), 1));
    post(&server, "keys/k/config", json!({"min_decryption_version": 2})).await;
    assert_eq!(post(&server, "keys/k/trim", json!({"min_available_version": 2})).await["min_available_version"], 2);
    let why = refused(&server, "keys/k/config", json!({"min_decryption_version": 1})).await;
    assert_eq!(why, "min decryption version should not be less then min available version");
    refused(&server, "decrypt/k", json!({"ciphertext": first})).await;
    ask(&server, "GET", "export/encryption-key/k/1", Value::Null).await.is(400);
    assert_eq!(post(&server, "decrypt/k", json!({"ciphertext": second})).await["plaintext"], PLAIN);
    server.stop().await;
}

#[tokio::test]
async fn deleted_key_is_absent_and_its_name_is_free() {
    let server = with_transit().await;
    key(&server, "k", json!({})).await;
    let sealed = post(&server, "encrypt/k", json!({"plaintext": PLAIN})).await["ciphertext"].clone();
    let errors = ask(&server, "DELETE", "keys/k", Value::Null).await.errors(400);
    assert_eq!(errors, json!(["error deleting policy k: deletion is not allowed for this key"]));
    post(&server, "keys/k/config", json!({"deletion_allowed": true})).await;
    ask(&server, "DELETE", "keys/k", Value::Null).await.is(204);
    ask(&server, "GET", "keys/k", Value::Null).await.is(404);
    assert_eq!(refused(&server, "decrypt/k", json!({"ciphertext": sealed})).await, "encryption key not found");
    let errors = ask(&server, "DELETE", "keys/k", Value::Null).await.errors(400);
    assert_eq!(errors, json!(["error deleting policy k: could not delete key; not found"]));
    assert_eq!(post(&server, "keys/k", json!({})).await["latest_version"], 1);
    assert_eq!(
        refused(&server, "decrypt/k", json!({"ciphertext": sealed})).await,
        "cipher: message authentication failed"
    );
    server.stop().await;
}

#[tokio::test]
async fn softly_deleted_key_is_shown_and_not_used() {
    let server = with_transit().await;
    key(&server, "k", json!({"type": "rsa-2048", "exportable": true, "allow_plaintext_backup": true})).await;
    let sealed = post(&server, "encrypt/k", json!({"plaintext": PLAIN})).await["ciphertext"].clone();
    let softly = async |expected: bool| {
        let reply = ask(&server, "DELETE", "keys/k/soft-delete", Value::Null).await.is(200).json();
        (reply["data"]["soft_deleted"] == expected, reply["warnings"].clone())
    };
    assert_eq!(softly(true).await, (true, Value::Null));
    assert_eq!(softly(true).await, (true, json!(["key was already marked as soft deleted"])));
    for (path, body) in [
        ("encrypt/k", json!({"plaintext": PLAIN})),
        ("decrypt/k", json!({"ciphertext": sealed})),
        ("rewrap/k", json!({"ciphertext": sealed})),
        ("sign/k", json!({"input": MESSAGE})),
        ("hmac/k", json!({"input": MESSAGE})),
        ("datakey/wrapped/k", json!({})),
        ("keys/k/rotate", json!({})),
    ] {
        assert_eq!(refused(&server, path, body).await, "refusing to use soft-deleted key", "{path}");
    }
    for path in ["backup/k", "export/signing-key/k"] {
        ask(&server, "GET", path, Value::Null).await.is(400);
    }
    assert_eq!(ask(&server, "GET", "keys/k", Value::Null).await.data()["soft_deleted"], true);
    assert_eq!(post(&server, "keys/k/config", json!({"deletion_allowed": true})).await["soft_deleted"], true);
    assert_eq!(post(&server, "keys/k/soft-delete-restore", json!({})).await["soft_deleted"], false);
    let again = ask(&server, "POST", "keys/k/soft-delete-restore", json!({})).await.is(200).json();
    assert_eq!(again["warnings"], json!(["key was already restored"]));
    assert_eq!(post(&server, "decrypt/k", json!({"ciphertext": sealed})).await["plaintext"], PLAIN);
    for method in ["DELETE", "POST"] {
        let path = if method == "POST" { "keys/none/soft-delete-restore" } else { "keys/none/soft-delete" };
        ask(&server, method, path, Value::Null).await.is(204);
    }
    server.stop().await;
}

#[tokio::test]
async fn mount_is_of_its_type_and_helps() {
    let server = with_transit().await;
    let mounts = server.root("GET", "/v1/sys/mounts", Value::Null).await.data();
    let shown = &mounts["transit/"];
    assert_eq!((&shown["type"], &shown["deprecation_status"]), (&json!("transit"), &json!("supported")));
    assert!(text(&shown["accessor"]).starts_with("transit_"));
    let tuned = json!({"description": "keys", "default_lease_ttl": "1h"});
    server.root("POST", "/v1/sys/mounts/transit/tune", tuned).await.is(204);
    let shown = server.root("GET", "/v1/sys/mounts/transit/tune", Value::Null).await.data();
    assert_eq!(shown["description"], "keys");
    let policy = r#"path "transit/*" { capabilities = ["read"] }
        path "sys/internal/ui/resultant-acl" { capabilities = ["read"] }"#;
    let token = server.token_with(ROOT, policy).await;
    let acl = server.as_token(&token, "GET", "/v1/sys/internal/ui/resultant-acl", Value::Null).await.data();
    assert!(acl["glob_paths"].get("transit/").is_some(), "{acl}");
    let preflight = server.root("GET", "/v1/sys/internal/ui/mounts/transit/keys/k", Value::Null).await.data();
    assert_eq!((&preflight["path"], &preflight["type"]), (&json!("transit/"), &json!("transit")));
    let help = server.root("GET", "/v1/transit/keys/k?help=1", Value::Null).await.is(200).json();
    assert!(text(&help["help"]).contains("encrypt/NAME"));
    let errors = server
        .root("POST", "/v1/sys/mounts/t2", json!({"type": "transit", "options": {"version": "2"}}))
        .await
        .errors(400);
    assert_eq!(errors, json!(["secrets engine \"transit\" does not allow setting a version"]));
    server.root("POST", "/v1/sys/remount", json!({"from": "transit", "to": "moved"})).await.is(200);
    server.root("POST", "/v1/moved/keys/k", json!({})).await.is(200);
    for (method, path, status) in [
        ("GET", "moved", 404),
        ("GET", "moved/keys", 405),
        ("GET", "moved/encrypt/k", 405),
        ("LIST", "moved/encrypt/k", 404),
        ("POST", "moved/keys/-x", 404),
        ("POST", "moved/nosuch", 404),
        ("PATCH", "moved/keys/k", 405),
        ("DELETE", "moved/keys/k/config", 405),
    ] {
        server.root(method, &format!("/v1/{path}"), Value::Null).await.is(status);
    }
    let size = server.root("POST", "/v1/moved/cache-config", json!({"size": 500})).await.data();
    assert_eq!(size, json!({"size": 500}));
    server.root("POST", "/v1/moved/cache-config", json!({"size": 5})).await.is(400);
    server.stop().await;
}
