//! What keys of each type do, and what they do not.

use serde_json::{Value, json};

use super::{MESSAGE, PLAIN, TYPES, ask, key, mount, post, refused, text, with_transit};
use crate::server::ROOT;

#[tokio::test]
async fn keys_of_each_type_do_what_they_are_for_and_nothing_else() {
    let server = with_transit().await;
    for (kind, does) in TYPES {
        key(&server, kind, json!({"type": kind})).await;
        let shown = ask(&server, "GET", &format!("keys/{kind}"), Value::Null).await.data();
        for (what, letter) in [("encryption", 'e'), ("decryption", 'e'), ("signing", 's'), ("derivation", 'd')] {
            assert_eq!(shown[format!("supports_{what}")], does.contains(letter), "{kind} {what}");
        }
        if does.contains('e') {
            let made = post(&server, &format!("encrypt/{kind}"), json!({"plaintext": PLAIN})).await;
            assert_eq!(made["key_version"], 1);
            let opened = post(&server, &format!("decrypt/{kind}"), json!({"ciphertext": made["ciphertext"]})).await;
            assert_eq!(opened, json!({"plaintext": PLAIN}), "{kind}");
            let made = post(&server, &format!("datakey/plaintext/{kind}"), json!({"bits": 128})).await;
            let opened = post(&server, &format!("decrypt/{kind}"), json!({"ciphertext": made["ciphertext"]})).await;
            assert_eq!(opened["plaintext"], made["plaintext"], "{kind}");
        } else {
            let why = refused(&server, &format!("encrypt/{kind}"), json!({"plaintext": PLAIN})).await;
            assert_eq!(why, format!("message encryption not supported for key type {kind}"));
        }
        if does.contains('s') {
            let made = post(&server, &format!("sign/{kind}"), json!({"input": MESSAGE})).await;
            for (input, valid) in [(MESSAGE, true), (PLAIN, false)] {
                let body = json!({"input": input, "signature": made["signature"]});
                assert_eq!(post(&server, &format!("verify/{kind}"), body).await, json!({"valid": valid}), "{kind}");
            }
        } else {
            let why = refused(&server, &format!("sign/{kind}"), json!({"input": MESSAGE})).await;
            assert_eq!(why, format!("key type {kind} does not support signing"));
        }
        let made = post(&server, &format!("hmac/{kind}"), json!({"input": MESSAGE})).await;
        let body = json!({"input": MESSAGE, "hmac": made["hmac"]});
        assert_eq!(post(&server, &format!("verify/{kind}"), body).await["valid"], true, "{kind}");
    }
    server.stop().await;
}

#[tokio::test]
async fn signatures_take_every_hash_padding_and_form() {
    let server = with_transit().await;
    key(&server, "r", json!({"type": "rsa-2048"})).await;
    key(&server, "e", json!({"type": "ecdsa-p384"})).await;
    for hash in ["sha1", "sha2-224", "sha2-256", "sha2-384", "sha2-512", "sha3-224", "sha3-256", "sha3-384", "sha3-512"]
    {
        for (name, more) in [
            ("e", json!({"marshaling_algorithm": "asn1"})),
            ("e", json!({"marshaling_algorithm": "jws"})),
            ("r", json!({"signature_algorithm": "pss", "salt_length": "hash"})),
            ("r", json!({"signature_algorithm": "pss", "salt_length": "20"})),
            ("r", json!({"signature_algorithm": "pkcs1v15"})),
        ] {
            let mut body = more.clone();
            body["input"] = json!(MESSAGE);
            let made = post(&server, &format!("sign/{name}/{hash}"), body.clone()).await;
            body["signature"] = made["signature"].clone();
            assert_eq!(
                post(&server, &format!("verify/{name}/{hash}"), body.clone()).await["valid"],
                true,
                "{hash} {more}"
            );
            // The path counts, not the field.
            body["hash_algorithm"] = json!("nosuch");
            assert_eq!(post(&server, &format!("verify/{name}/{hash}"), body.clone()).await["valid"], true);
            body["hash_algorithm"] = json!(hash);
            assert_eq!(post(&server, &format!("verify/{name}"), body).await["valid"], true);
        }
    }
    // What is hashed already, and what is not to be hashed at all.
    let digest = post(&server, "hash/sha2-256", json!({"input": MESSAGE, "format": "base64"})).await["sum"].clone();
    let made =
        post(&server, "sign/r", json!({"input": digest, "prehashed": true, "signature_algorithm": "pkcs1v15"})).await;
    let body = json!({"input": MESSAGE, "signature": made["signature"], "signature_algorithm": "pkcs1v15"});
    assert_eq!(post(&server, "verify/r", body).await["valid"], true);
    let bare =
        json!({"input": MESSAGE, "prehashed": true, "signature_algorithm": "pkcs1v15", "hash_algorithm": "none"});
    post(&server, "sign/r", bare).await;
    for body in [
        json!({"input": MESSAGE, "prehashed": true}),
        json!({"input": MESSAGE, "hash_algorithm": "none"}),
        json!({"input": MESSAGE, "hash_algorithm": "bogus"}),
        json!({"input": MESSAGE, "salt_length": "bogus"}),
        json!({"input": MESSAGE, "salt_length": "-5"}),
        json!({"input": MESSAGE, "salt_length": "300"}),
        json!({"input": MESSAGE, "marshaling_algorithm": "bogus"}),
        json!({"input": MESSAGE, "signature_algorithm": "bogus"}),
        json!({"input": MESSAGE, "key_version": 5}),
        json!({"input": "!!"}),
    ] {
        refused(&server, "sign/r", body).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn context_and_associated_data_bind_a_ciphertext() {
    let server = with_transit().await;
    key(&server, "k", json!({})).await;
    key(&server, "d", json!({"derived": true})).await;
    key(&server, "c", json!({"derived": true, "convergent_encryption": true})).await;
    let made =
        post(&server, "encrypt/k", json!({"plaintext": PLAIN, "associated_data": "YWQ="})).await["ciphertext"].clone();
    let opened = post(&server, "decrypt/k", json!({"ciphertext": made, "associated_data": "YWQ="})).await;
    assert_eq!(opened["plaintext"], PLAIN);
    for other in [json!({"ciphertext": made}), json!({"ciphertext": made, "associated_data": "YWU="})] {
        assert_eq!(refused(&server, "decrypt/k", other).await, "cipher: message authentication failed");
    }
    for name in ["d", "c"] {
        let path = format!("encrypt/{name}");
        let why = refused(&server, &path, json!({"plaintext": PLAIN})).await;
        assert!(why.starts_with("missing 'context' for key derivation"), "{why}");
        let once = post(&server, &path, json!({"plaintext": PLAIN, "context": "Y3R4"})).await;
        let again = post(&server, &path, json!({"plaintext": PLAIN, "context": "Y3R4"})).await;
        assert_eq!(once["ciphertext"] == again["ciphertext"], name == "c");
        let path = format!("decrypt/{name}");
        let opened = post(&server, &path, json!({"ciphertext": once["ciphertext"], "context": "Y3R4"})).await;
        assert_eq!(opened["plaintext"], PLAIN);
        refused(&server, &path, json!({"ciphertext": once["ciphertext"], "context": "b3RoZXI="})).await;
    }
    key(&server, "s", json!({"type": "ed25519", "derived": true})).await;
    let made = post(&server, "sign/s", json!({"input": MESSAGE, "context": "Y3R4"})).await;
    let shown = ask(&server, "GET", "keys/s?context=Y3R4", Value::Null).await.data();
    assert_eq!(shown["keys"]["1"]["public_key"], made["public_key"]);
    let body = json!({"input": MESSAGE, "signature": made["signature"], "context": "b3RoZXI="});
    assert_eq!(post(&server, "verify/s", body).await["valid"], false);
    assert_eq!(ask(&server, "GET", "keys/s", Value::Null).await.data()["keys"]["1"]["public_key"], "");
    server.stop().await;
}

#[tokio::test]
async fn policies_speak_of_the_path_that_was_asked() {
    let server = with_transit().await;
    key(&server, "k", json!({"type": "ecdsa-p256"})).await;
    let policy = r#"
        path "transit/sign/k/sha2-256" { capabilities = ["update"] }
        path "transit/hmac/k" { capabilities = ["update"] }
        path "transit/encrypt/new" { capabilities = ["create"] }
        path "transit/encrypt/there" { capabilities = ["create"] }"#;
    let token = server.token_with(ROOT, policy).await;
    key(&server, "there", json!({})).await;
    let input = json!({"input": MESSAGE});
    for (path, body, status) in [
        ("sign/k/sha2-256", &input, 200),
        ("sign/k", &input, 403),
        ("sign/k/sha2-512", &input, 403),
        ("hmac/k", &input, 200),
        ("hmac/k/sha2-512", &input, 403),
        ("encrypt/new", &json!({"plaintext": PLAIN}), 200),
        // It is there now, so that it is not made but used.
        ("encrypt/new", &json!({"plaintext": PLAIN}), 403),
        ("encrypt/there", &json!({"plaintext": PLAIN}), 403),
        ("keys/other", &json!({}), 403),
    ] {
        server.as_token(&token, "POST", &format!("/v1/transit/{path}"), body.clone()).await.is(status);
    }
    server.stop().await;
}

#[tokio::test]
async fn encrypt_makes_an_absent_key_unless_that_is_switched_off() {
    let server = with_transit().await;
    for (name, body, kind, derived) in [
        ("a", json!({"plaintext": PLAIN}), "aes256-gcm96", false),
        ("b", json!({"plaintext": PLAIN, "context": "Y3R4"}), "aes256-gcm96", true),
        ("c", json!({"plaintext": PLAIN, "type": "chacha20-poly1305"}), "chacha20-poly1305", false),
        ("d", json!({"batch_input": [{"plaintext": PLAIN, "context": "Y3R4"}]}), "aes256-gcm96", true),
    ] {
        post(&server, &format!("encrypt/{name}"), body).await;
        let shown = ask(&server, "GET", &format!("keys/{name}"), Value::Null).await.data();
        assert_eq!((&shown["type"], &shown["derived"]), (&json!(kind), &json!(derived)), "{name}");
    }
    for (body, why) in [
        (json!({"plaintext": PLAIN, "type": "ed25519"}), "unknown key type ed25519"),
        (json!({"plaintext": PLAIN, "type": "nosuch"}), "unknown key type nosuch"),
        (
            json!({"plaintext": PLAIN, "convergent_encryption": true}),
            "convergent encryption requires derivation to be enabled, so context is required",
        ),
    ] {
        assert_eq!(refused(&server, "encrypt/none", body.clone()).await, why);
        // What is wrong with the wish does not matter where the key is.
        post(&server, "encrypt/a", body).await;
    }
    assert_eq!(post(&server, "config/keys", json!({"disable_upsert": true})).await, json!({"disable_upsert": true}));
    assert_eq!(refused(&server, "encrypt/none", json!({"plaintext": PLAIN})).await, "encryption key not found");
    post(&server, "encrypt/a", json!({"plaintext": PLAIN})).await;
    ask(&server, "GET", "keys/none", Value::Null).await.is(404);
    server.stop().await;
}

#[tokio::test]
async fn keys_of_one_mount_are_not_those_of_another() {
    let server = with_transit().await;
    mount(&server, "deep/er").await;
    key(&server, "k", json!({})).await;
    server.root("POST", "/v1/deep/er/keys/k", json!({})).await.is(200);
    let made = post(&server, "encrypt/k", json!({"plaintext": PLAIN})).await;
    let body = json!({"ciphertext": made["ciphertext"]});
    let errors = server.root("POST", "/v1/deep/er/decrypt/k", body).await.errors(400);
    assert_eq!(errors, json!(["cipher: message authentication failed"]));
    server.root("DELETE", "/v1/sys/mounts/deep/er", Value::Null).await.is(204);
    server.root("POST", "/v1/deep/er/encrypt/k", json!({"plaintext": PLAIN})).await.is(404);
    mount(&server, "deep/er").await;
    server.root("GET", "/v1/deep/er/keys/k", Value::Null).await.is(404);
    server.stop().await;
}

#[tokio::test]
async fn reply_is_wrapped_where_that_is_asked_and_a_refusal_is_not() {
    let server = with_transit().await;
    key(&server, "k", json!({})).await;
    let wrapped = async |body: Value| {
        let mut request = server.request("POST", "/v1/transit/datakey/plaintext/k", Some(ROOT), &body.to_string());
        request.headers_mut().insert("x-vault-wrap-ttl", "60".parse().unwrap());
        server.send(request).await
    };
    let reply = wrapped(json!({})).await.is(200).json();
    assert!(reply["data"].is_null() && !reply.to_string().contains("vault:v1:"), "{reply}");
    let token = text(&reply["wrap_info"]["token"]).to_owned();
    let opened = server.as_token(&token, "POST", "/v1/sys/wrapping/unwrap", json!({})).await.data();
    assert!(text(&opened["ciphertext"]).starts_with("vault:v1:"));
    assert!(wrapped(json!({"bits": 7})).await.is(400).json()["wrap_info"].is_null());
    server.stop().await;
}
