//! Keys that leave and come back: export, backup, import, and agreement on a key.

use serde_json::{Value, json};

use super::{MESSAGE, PLAIN, TYPES, ask, key, mount, post, refused, text, with_transit};
use crate::server::TestServer;

async fn other(server: &TestServer, method: &str, path: &str, body: Value) -> crate::server::Reply {
    server.root(method, &format!("/v1/other/{path}"), body).await
}

#[tokio::test]
async fn backup_of_each_type_is_restored_elsewhere_with_all_versions() {
    let server = with_transit().await;
    mount(&server, "other").await;
    for (kind, does) in TYPES {
        key(&server, kind, json!({"type": kind, "exportable": true, "allow_plaintext_backup": true})).await;
        let sealed = match does.contains('e') {
            true => Some(post(&server, &format!("encrypt/{kind}"), json!({"plaintext": PLAIN})).await),
            false => None,
        };
        let hmac = post(&server, &format!("hmac/{kind}"), json!({"input": MESSAGE})).await;
        ask(&server, "POST", &format!("keys/{kind}/rotate"), json!({})).await.is(200);
        let backup = ask(&server, "GET", &format!("backup/{kind}"), Value::Null).await.data();
        other(&server, "POST", &format!("restore/{kind}-2"), backup.clone()).await.is(204);
        let path = format!("keys/{kind}");
        let (a, b) = (
            ask(&server, "GET", &path, Value::Null).await.data(),
            other(&server, "GET", &format!("{path}-2"), Value::Null).await.data(),
        );
        assert_eq!((&a["keys"], &a["type"], &b["latest_version"]), (&b["keys"], &b["type"], &json!(2)), "{kind}");
        assert_eq!(a["backup_info"]["version"], 2);
        if let Some(sealed) = sealed {
            let body = json!({"ciphertext": sealed["ciphertext"]});
            assert_eq!(other(&server, "POST", &format!("decrypt/{kind}-2"), body).await.data()["plaintext"], PLAIN);
        }
        let body = json!({"input": MESSAGE, "hmac": hmac["hmac"]});
        assert_eq!(other(&server, "POST", &format!("verify/{kind}-2"), body).await.data()["valid"], true);
        let errors = other(&server, "POST", &format!("restore/{kind}-2"), backup.clone()).await.errors(400);
        assert!(text(&errors[0]).contains("already exists"), "{errors}");
        let mut forced = backup.clone();
        forced["force"] = json!(true);
        other(&server, "POST", &format!("restore/{kind}-2"), forced).await.is(204);
    }
    server.stop().await;
}

#[tokio::test]
async fn only_what_may_leave_leaves() {
    let server = with_transit().await;
    key(&server, "k", json!({"type": "rsa-2048"})).await;
    for path in ["export/encryption-key/k", "export/signing-key/k", "export/hmac-key/k", "backup/k", "byok-export/k/k"]
    {
        ask(&server, "GET", path, Value::Null).await.is(400);
    }
    assert!(
        text(&ask(&server, "GET", "export/public-key/k", Value::Null).await.data()["keys"]["1"]).contains("PUBLIC")
    );
    // Once allowed it stays so.
    ask(&server, "POST", "keys/k/config", json!({"exportable": true})).await.is(200);
    let shown = post(&server, "keys/k/config", json!({"exportable": false})).await;
    assert_eq!(shown["exportable"], true);
    let pem = ask(&server, "GET", "export/signing-key/k/latest", Value::Null).await.data();
    assert!(text(&pem["keys"]["1"]).starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
    let errors = ask(&server, "GET", "backup/k", Value::Null).await.errors(400);
    assert_eq!(errors, json!(["plaintext backup is disallowed on the policy"]));
    for (path, status) in [
        ("export/bogus/k", 400),
        ("export/signing-key/none", 404),
        ("export/signing-key/k/9", 400),
        ("export/signing-key/k/0", 400),
        ("export/signing-key/k/x", 400),
        ("export/signing-key/k?format=bogus", 400),
        ("backup/none", 400),
    ] {
        ask(&server, "GET", path, Value::Null).await.is(status);
    }
    server.stop().await;
}

#[tokio::test]
async fn public_half_alone_encrypts_and_verifies() {
    let server = with_transit().await;
    mount(&server, "other").await;
    key(&server, "k", json!({"type": "rsa-2048"})).await;
    let public = ask(&server, "GET", "export/public-key/k", Value::Null).await.data()["keys"]["1"].clone();
    let body = json!({"type": "rsa-2048", "public_key": public});
    other(&server, "POST", "keys/half/import", body.clone()).await.is(204);
    let errors = other(&server, "POST", "keys/half/import", body).await.errors(400);
    assert!(text(&errors[0]).starts_with("the import path cannot be used with an existing key"), "{errors}");
    let sealed = other(&server, "POST", "encrypt/half", json!({"plaintext": PLAIN})).await.data();
    assert_eq!(post(&server, "decrypt/k", json!({"ciphertext": sealed["ciphertext"]})).await["plaintext"], PLAIN);
    let signed = post(&server, "sign/k", json!({"input": MESSAGE})).await;
    let body = json!({"input": MESSAGE, "signature": signed["signature"]});
    assert_eq!(other(&server, "POST", "verify/half", body).await.data()["valid"], true);
    for (path, body) in [
        ("sign/half", json!({"input": MESSAGE})),
        ("decrypt/half", json!({"ciphertext": sealed["ciphertext"]})),
        ("keys/half/rotate", json!({})),
        ("keys/half/csr", json!({})),
    ] {
        other(&server, "POST", path, body).await.is(400);
    }
    other(&server, "GET", "export/signing-key/half", Value::Null).await.is(400);
    server.stop().await;
}

#[tokio::test]
async fn imports_of_weak_and_malformed_keys_are_refused() {
    let server = with_transit().await;
    ask(&server, "GET", "wrapping_key", Value::Null).await.is(200);
    for (body, says) in [
        (json!({}), "provided type does not support public_key import"),
        (json!({"ciphertext": "AAAA", "type": "bogus"}), "unknown key type: bogus"),
        (json!({"ciphertext": "AAAA", "hash_function": "bogus"}), "unknown hash function: bogus"),
        (json!({"ciphertext": "!!"}), "illegal base64 data"),
        (json!({"ciphertext": "AAAA"}), ""),
        (json!({"ciphertext": "A".repeat(800)}), ""),
        (json!({"public_key": "x", "type": "rsa-2048"}), ""),
        (json!({"public_key": WEAK, "type": "rsa-2048"}), ""),
        (json!({"ciphertext": "AAAA", "auto_rotate_period": "1h"}), "allow_rotation must be set to true"),
    ] {
        let why = refused(&server, "keys/i/import", body.clone()).await;
        assert!(why.contains(says), "{body}: {why}");
    }
    ask(&server, "GET", "keys/i", Value::Null).await.is(404);
    key(&server, "k", json!({})).await;
    refused(&server, "keys/k/import_version", json!({"ciphertext": "AAAA"})).await;
    let why = refused(&server, "keys/none/import_version", json!({"ciphertext": "AAAA"})).await;
    assert!(why.starts_with("no key found with name none"), "{why}");
    server.stop().await;
}

#[tokio::test]
async fn two_parties_agree_on_a_key() {
    let server = with_transit().await;
    for (kind, derived) in
        [("ecdsa-p256", "aes256-gcm96"), ("ecdsa-p384", "aes128-gcm96"), ("ecdsa-p521", "chacha20-poly1305")]
    {
        let [mine, theirs] = ["mine", "theirs"].map(|whose| format!("{whose}-{kind}"));
        let mut public = Vec::new();
        for name in [&mine, &theirs] {
            key(&server, name, json!({"type": kind})).await;
            public.push(
                ask(&server, "GET", &format!("keys/{name}"), Value::Null).await.data()["keys"]["1"]["public_key"]
                    .clone(),
            );
        }
        let [of_mine, of_theirs] = public.as_slice() else { unreachable!() };
        for (name, base, peer) in [("a", &mine, of_theirs), ("b", &theirs, of_mine)] {
            let body = json!({"base_key_name": base, "peer_public_key": peer, "derived_key_type": derived});
            ask(&server, "POST", &format!("derive-key/{name}-{kind}"), body).await.is(204);
        }
        let sealed = post(&server, &format!("encrypt/a-{kind}"), json!({"plaintext": PLAIN})).await;
        let opened = post(&server, &format!("decrypt/b-{kind}"), json!({"ciphertext": sealed["ciphertext"]})).await;
        assert_eq!(opened["plaintext"], PLAIN);
        let shown = ask(&server, "GET", &format!("keys/a-{kind}"), Value::Null).await.data();
        assert_eq!((&shown["type"], &shown["imported_key"]), (&json!(derived), &json!(true)));
        for body in [
            json!({}),
            json!({"base_key_name": mine, "peer_public_key": "x"}),
            json!({"base_key_name": "none", "peer_public_key": of_theirs}),
            json!({"base_key_name": format!("a-{kind}"), "peer_public_key": of_theirs}),
            json!({"base_key_name": mine, "peer_public_key": WEAK}),
            json!({"base_key_name": mine, "peer_public_key": of_theirs, "base_key_version": 7}),
            json!({"base_key_name": mine, "peer_public_key": of_theirs, "derived_key_type": "ed25519"}),
            json!({"base_key_name": mine, "peer_public_key": of_theirs, "key_derivation_algorithm": "bogus"}),
        ] {
            refused(&server, "derive-key/c", body).await;
        }
    }
    server.stop().await;
}

/// An RSA key of 1024 bits.
const WEAK: &str = "-----BEGIN PUBLIC KEY-----\n\
    MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC/s/NYV5KHUCxyjOynu2I4ZWXL\n\
    nIyqyyCiTQkmsQOJxlPywcwds1y5Qw/ioQnTzH/mnHVYdsGIzg3KI5B19K8Qfue2\n\
    3jEilDL4eCCJLOT308RZBB3wponWJj68Mx18oUQiUVA5KqhGaFlZ6lqS4vz0xiSr\n\
    o+EPFA+CsrjOOlEQ5wIDAQAB\n\
    -----END PUBLIC KEY-----\n";
