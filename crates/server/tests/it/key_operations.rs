//! What keys do, through the native API: each call, what it refuses, and what the log has of it.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::server::{ROOT, Reply, TestServer};

/// `hello` in base64.
const HELLO: &str = "aGVsbG8=";
const MAX_ITEMS: usize = 100_000;

async fn with_key(name: &str, algorithm: &str) -> TestServer {
    let server = TestServer::dev().await;
    key(&server, json!({"name": name, "algorithm": algorithm})).await;
    server
}

async fn key(server: &TestServer, body: Value) {
    server.root("POST", "/api/v1/keys", body).await.is(200);
}

/// Asks for something of a key as root.
async fn ask(server: &TestServer, call: &str, body: Value) -> Reply {
    server.root("POST", &format!("/api/v1/keys/{call}"), body).await
}

async fn done(server: &TestServer, call: &str, body: Value) -> Value {
    ask(server, call, body).await.is(200).json()
}

/// Status, code and detail of a refusal.
async fn refused(server: &TestServer, call: &str, body: Value) -> (u16, String, String) {
    let shown: String = format!("{call} {body}").chars().take(200).collect();
    let reply = ask(server, call, body).await;
    let problem = reply.json();
    let text = |field: &str| problem[field].as_str().unwrap_or_else(|| panic!("{shown}: {problem}")).to_owned();
    assert_eq!(problem["status"], reply.status, "{shown}: {problem}");
    (reply.status, text("code"), text("detail"))
}

/// Options and an item in one body.
fn with(options: &Value, item: Value) -> Value {
    let mut body = options.clone();
    body.as_object_mut().unwrap().extend(item.as_object().unwrap().clone());
    body
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

#[tokio::test]
async fn message_is_encrypted_opened_and_encrypted_anew() {
    let server = with_key("k", "xaes-256-gcm").await;
    let made = done(&server, "k/encrypt", json!({"plaintext": HELLO, "associated_data": "YWE="})).await;
    assert_eq!(made["key_version"], 1);
    let open = json!({"ciphertext": made["ciphertext"], "associated_data": "YWE="});
    assert_eq!(done(&server, "k/decrypt", open.clone()).await, json!({"plaintext": HELLO, "key_version": 1}));
    done(&server, "k/rotate", json!({})).await;
    let anew = done(&server, "k/rewrap", open).await;
    assert_eq!(anew["key_version"], 2);
    let open = json!({"ciphertext": anew["ciphertext"], "associated_data": "YWE="});
    assert_eq!(done(&server, "k/decrypt", open).await, json!({"plaintext": HELLO, "key_version": 2}));
    // It is the same ciphertext that transit knows.
    let open = json!({"ciphertext": anew["ciphertext"], "associated_data": "YWE="});
    assert_eq!(server.root("POST", "/v1/transit/decrypt/k", open).await.data()["plaintext"], HELLO);
    let empty = done(&server, "k/encrypt", json!({"plaintext": ""})).await;
    assert_eq!(done(&server, "k/decrypt", json!({"ciphertext": empty["ciphertext"]})).await["plaintext"], "");
    server.stop().await;
}

#[tokio::test]
async fn derived_key_needs_the_context_that_it_was_used_with() {
    let server = TestServer::dev().await;
    key(&server, json!({"name": "k", "algorithm": "aes-256-gcm", "derived": true, "convergent": true})).await;
    key(&server, json!({"name": "s", "algorithm": "ed25519", "derived": true})).await;
    let item = json!({"plaintext": HELLO, "context": "Y3R4"});
    let made = done(&server, "k/encrypt", item.clone()).await;
    assert_eq!(made, done(&server, "k/encrypt", item).await, "equal plaintexts become equal ciphertexts");
    let open = |context: &str| json!({"ciphertext": made["ciphertext"], "context": context});
    assert_eq!(done(&server, "k/decrypt", open("Y3R4")).await["plaintext"], HELLO);
    assert_eq!(refused(&server, "k/decrypt", open("eHh4")).await.0, 400);
    let (status, _, detail) = refused(&server, "k/encrypt", json!({"plaintext": HELLO})).await;
    assert!(status == 400 && detail.contains("context"), "{detail}");
    let signed = done(&server, "s/sign", json!({"input": HELLO, "context": "Y3R4"})).await;
    assert_eq!(STANDARD.decode(text(&signed["public_key"])).unwrap().len(), 32);
    for (context, valid) in [("Y3R4", true), ("eHh4", false)] {
        let check = json!({"input": HELLO, "context": context, "signature": signed["signature"]});
        assert_eq!(done(&server, "s/verify", check).await, json!({"valid": valid}));
    }
    server.stop().await;
}

#[tokio::test]
async fn signatures_hold_for_their_message_and_options_alone() {
    let server = TestServer::dev().await;
    for (algorithm, options) in [
        ("ecdsa-p256", json!({})),
        ("ecdsa-p384", json!({"hash": "sha2-384", "encoding": "jws"})),
        ("ed25519", json!({})),
        ("ml-dsa-65", json!({})),
        ("rsa-2048", json!({"hash": "sha2-512", "salt_length": "hash"})),
        ("rsa-2048", json!({"padding": "pkcs1"})),
        ("rsa-2048", json!({"salt_length": "20"})),
    ] {
        server
            .root("POST", "/api/v1/keys", json!({"name": algorithm, "algorithm": algorithm}))
            .await
            .one_of(&[200, 409]);
        let signed = done(&server, &format!("{algorithm}/sign"), with(&options, json!({"input": HELLO}))).await;
        assert_eq!(signed["key_version"], 1, "{algorithm}");
        for (input, valid) in [(HELLO, true), ("aGVsbG9v", false)] {
            let check = with(&options, json!({"input": input, "signature": signed["signature"]}));
            assert_eq!(
                done(&server, &format!("{algorithm}/verify"), check).await,
                json!({"valid": valid}),
                "{algorithm}"
            );
        }
    }
    let hash = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    let bytes: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&hash[2 * at..2 * at + 2], 16).unwrap()).collect();
    let hashed = json!({"input": STANDARD.encode(&bytes), "prehashed": true});
    let signed = done(&server, "ecdsa-p256/sign", hashed).await;
    let check = json!({"input": HELLO, "signature": signed["signature"]});
    assert_eq!(done(&server, "ecdsa-p256/verify", check).await, json!({"valid": true}));
    for (body, why) in [
        (json!({"input": HELLO, "hash": "md5"}), "no hash is called \"md5\""),
        (json!({"input": HELLO, "padding": "oaep"}), "no padding is called"),
        (json!({"input": HELLO, "encoding": "raw"}), "no encoding is called"),
        (json!({"input": HELLO, "salt_length": "-1"}), "no length of a salt is called"),
        (json!({"input": HELLO, "hash": "none"}), "the hash none is for"),
        (json!({"input": HELLO, "hash": "none", "prehashed": true}), "the hash none is for"),
    ] {
        let (status, code, detail) = refused(&server, "ecdsa-p256/sign", body).await;
        assert!((status, code.as_str()) == (400, "invalid") && detail.contains(why), "{detail}");
    }
    server.stop().await;
}

#[tokio::test]
async fn macs_are_made_and_checked() {
    let server = with_key("m", "hmac-sha512").await;
    key(&server, json!({"name": "any", "algorithm": "hmac", "key_size": 32})).await;
    for (name, options) in
        [("m", json!({})), ("m", json!({"hash": "sha2-512"})), ("any", json!({})), ("any", json!({"hash": "sha3-256"}))]
    {
        let made = done(&server, &format!("{name}/mac"), with(&options, json!({"input": HELLO}))).await;
        assert_eq!(made["key_version"], 1);
        for (input, valid) in [(HELLO, true), ("", false)] {
            let check = with(&options, json!({"input": input, "mac": made["mac"]}));
            assert_eq!(done(&server, &format!("{name}/verify-mac"), check).await, json!({"valid": valid}));
        }
    }
    for (options, why) in [
        (json!({"hash": "none"}), "no hash is called"),
        (json!({"hash": "sha2-256"}), "HMAC with another hash"),
        (json!({"key_version": 2}), "the key has no such version: its highest is 1"),
    ] {
        let (status, _, detail) = refused(&server, "m/mac", with(&options, json!({"input": HELLO}))).await;
        assert!(status == 400 && detail.contains(why), "{detail}");
    }
    server.stop().await;
}

#[tokio::test]
async fn data_key_is_shown_only_where_it_is_asked_for() {
    let server = with_key("k", "aes-256-gcm").await;
    for (body, bytes) in [(json!({}), 32), (json!({"bits": 128}), 16), (json!({"bits": 512}), 64)] {
        let hidden = done(&server, "k/data-key", body.clone()).await;
        assert!(hidden.get("plaintext").is_none());
        let mut body = body;
        body["plaintext"] = json!(true);
        let shown = done(&server, "k/data-key", body).await;
        assert_eq!(STANDARD.decode(text(&shown["plaintext"])).unwrap().len(), bytes);
        let opened = done(&server, "k/decrypt", json!({"ciphertext": shown["ciphertext"]})).await;
        assert_eq!(opened["plaintext"], shown["plaintext"]);
        let opened = done(&server, "k/decrypt", json!({"ciphertext": hidden["ciphertext"]})).await;
        assert_eq!(STANDARD.decode(text(&opened["plaintext"])).unwrap().len(), bytes);
    }
    assert_eq!(refused(&server, "k/data-key", json!({"bits": 100})).await.0, 400);
    // The two are two permissions.
    let wrapped = server.token_with(ROOT, r#"path "transit/datakey/wrapped/k" { capabilities = ["update"] }"#).await;
    let path = "/api/v1/keys/k/data-key";
    server.as_token(&wrapped, "POST", path, json!({})).await.is(200);
    server.as_token(&wrapped, "POST", path, json!({"plaintext": true})).await.is(403);
    server.stop().await;
}

#[tokio::test]
async fn shared_secret_comes_out_of_its_capsule() {
    let server = TestServer::dev().await;
    for algorithm in ["ml-kem-512", "ml-kem-768", "ml-kem-1024", "x-wing"] {
        key(&server, json!({"name": algorithm, "algorithm": algorithm})).await;
        let made = done(&server, &format!("{algorithm}/encapsulate"), json!({})).await;
        assert_eq!(STANDARD.decode(text(&made["shared_secret"])).unwrap().len(), 32);
        let opened =
            done(&server, &format!("{algorithm}/decapsulate"), json!({"ciphertext": made["ciphertext"]})).await;
        assert_eq!(opened, json!({"shared_secret": made["shared_secret"]}));
    }
    for ciphertext in ["", "vault:v1:", "vault:v1:AAAA", "vault:v2:AAAA", "x"] {
        let refused = refused(&server, "x-wing/decapsulate", json!({"ciphertext": ciphertext})).await;
        assert_eq!((refused.0, refused.1.as_str()), (400, "invalid"), "{ciphertext}");
    }
    server.stop().await;
}

#[tokio::test]
async fn random_bytes_and_hashes_need_no_key() {
    let server = TestServer::dev().await;
    let random = async |body: Value| server.root("POST", "/api/v1/random", body).await;
    let made = random(json!({"bytes": 12})).await.is(200).json();
    assert_eq!(STANDARD.decode(text(&made["random"])).unwrap().len(), 12);
    let made = random(json!({"bytes": 12, "format": "hex"})).await.is(200).json();
    assert_eq!(text(&made["random"]).len(), 24);
    for body in [json!({"bytes": 0}), json!({"bytes": 131_073}), json!({"bytes": 1, "format": "oct"}), json!({})] {
        random(body).await.is(400);
    }
    let hash = async |body: Value| server.root("POST", "/api/v1/hash", body).await;
    let sum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    assert_eq!(hash(json!({"input": HELLO})).await.is(200).json(), json!({"hash": sum}));
    let made = hash(json!({"input": "", "algorithm": "sha3-512", "format": "base64"})).await.is(200).json();
    assert_eq!(STANDARD.decode(text(&made["hash"])).unwrap().len(), 64);
    for body in [json!({"input": "###"}), json!({"input": "", "algorithm": "sha1"}), json!({"input": "", "format": ""})]
    {
        hash(body).await.is(400);
    }
    server.stop().await;
}

#[tokio::test]
async fn each_item_of_a_batch_has_its_own_result() {
    let server = with_key("k", "aes-256-gcm").await;
    let items = json!([{"plaintext": HELLO}, {"plaintext": "###"}, {"plaintext": HELLO, "key_version": 2}]);
    let made = done(&server, "k/encrypt", json!({"items": items})).await;
    let made = made["items"].as_array().unwrap();
    assert_eq!(made.len(), 3);
    assert_eq!((&made[0]["key_version"], made[0].get("error")), (&json!(1), None));
    assert_eq!(made[1], json!({"error": {"code": "invalid", "message": "plaintext is no base64 text"}}));
    assert_eq!(made[2]["error"]["code"], "invalid");
    let items = json!([{"ciphertext": made[0]["ciphertext"]}, {"ciphertext": "vault:v1:AAAA"}, {"ciphertext": ""}]);
    let opened = done(&server, "k/decrypt", json!({"items": items.clone()})).await;
    assert_eq!(opened["items"][0], json!({"plaintext": HELLO, "key_version": 1}));
    assert!(opened["items"][1]["error"].is_object() && opened["items"][2]["error"].is_object());
    let anew = done(&server, "k/rewrap", json!({"items": items})).await;
    assert!(anew["items"][0]["ciphertext"].is_string() && anew["items"][1]["error"].is_object());

    key(&server, json!({"name": "s", "algorithm": "ed25519"})).await;
    let signed = done(&server, "s/sign", json!({"items": [{"input": HELLO}, {"input": "#"}], "key_version": 1})).await;
    assert_eq!(signed["items"][1]["error"]["code"], "invalid");
    let items = json!([
        {"input": HELLO, "signature": signed["items"][0]["signature"]},
        {"input": "", "signature": signed["items"][0]["signature"]},
        {"input": "", "signature": "x"},
    ]);
    let checked = done(&server, "s/verify", json!({"items": items})).await;
    assert_eq!((&checked["items"][0], &checked["items"][1]), (&json!({"valid": true}), &json!({"valid": false})));
    assert!(checked["items"][2]["error"].is_object());

    key(&server, json!({"name": "m", "algorithm": "hmac-sha256"})).await;
    let made = done(&server, "m/mac", json!({"items": [{"input": HELLO}]})).await;
    let items = json!([{"input": HELLO, "mac": made["items"][0]["mac"]}, {"input": "", "mac": "x"}]);
    let checked = done(&server, "m/verify-mac", json!({"items": items})).await;
    assert!(checked["items"][0] == json!({"valid": true}) && checked["items"][1]["error"].is_object());
    server.stop().await;
}

#[tokio::test]
async fn body_that_says_too_much_or_too_little_is_refused() {
    let server = with_key("k", "aes-256-gcm").await;
    let item = json!({"plaintext": ""});
    for (call, body, status, why) in [
        ("k/encrypt", json!({"items": []}), 400, "there are no items"),
        ("k/encrypt", json!({"items": vec![item.clone(); MAX_ITEMS + 2]}), 413, "at most 100000 items"),
        ("k/encrypt", json!({"plaintext": HELLO, "items": [item]}), 400, "`plaintext` belongs into each"),
        ("k/encrypt", json!({}), 400, "missing field `plaintext`"),
        ("k/encrypt", json!({"plaintext": HELLO, "colour": 1}), 400, "unknown field `colour`"),
        ("k/encrypt", json!({"items": [{"plaintext": HELLO, "colour": 1}]}), 400, "unknown field `colour`"),
        ("k/encrypt", json!({"plaintext": HELLO, "key_version": -1}), 400, "wrong type"),
        ("k/encrypt", json!({"plaintext": 7}), 400, "wrong type"),
        ("k/encrypt", json!({"plaintext": "aGVsbG8"}), 400, "plaintext is no base64 text"),
        ("k/encrypt", json!({"plaintext": "", "associated_data": "#"}), 400, "associated_data is no base64 text"),
        (
            "k/decrypt",
            json!({"ciphertext": "hunter2"}),
            400,
            "invalid ciphertext: it does not begin with vault:v<version>:",
        ),
        (
            "k/decrypt",
            json!({"ciphertext": "vault:v9:AAAA"}),
            400,
            "invalid ciphertext: the key has no such version yet",
        ),
        ("none/encrypt", json!({"plaintext": HELLO}), 404, "there is no such key"),
        ("none/sign", json!({"input": HELLO}), 404, "there is no such key"),
        ("none/decapsulate", json!({"ciphertext": ""}), 404, "there is no such key"),
        ("k%2Fx/encrypt", json!({"plaintext": HELLO}), 404, "there is no such key"),
    ] {
        let before = server.log_size().await;
        let (got, _, detail) = refused(&server, call, body).await;
        assert!(got == status && detail.contains(why), "{call}: {got}: {detail}, not {status}: {why}");
        assert!(server.log_size().await > before, "{call}: refused without a record");
    }
    let (wrong, right) = ("hunter2", format!("{{\"plaintext\":\"{}\"}}", "A".repeat(40 << 20)));
    let refused = server.raw("POST", "/api/v1/keys/k/encrypt", Some(ROOT), &format!("\"{wrong}\"")).await.is(400);
    assert!(!refused.text().contains(wrong));
    server.raw("POST", "/api/v1/keys/k/encrypt", Some(ROOT), &right).await.is(413);
    server.stop().await;
}

#[tokio::test]
async fn key_does_only_what_its_type_and_usages_are_for() {
    let server = TestServer::dev().await;
    for (name, body) in [
        ("cipher", json!({"algorithm": "xaes-256-gcm"})),
        ("kem", json!({"algorithm": "ml-kem-768"})),
        ("mac", json!({"algorithm": "hmac-sha256"})),
        ("signer", json!({"algorithm": "ecdsa-p256"})),
        // RSA both encrypts and signs; this one is for signing alone.
        ("rsa", json!({"algorithm": "rsa-2048", "usages": ["sign"]})),
    ] {
        let mut body = body;
        body["name"] = json!(name);
        key(&server, body).await;
    }
    for (call, body, able) in [
        ("encrypt", json!({"plaintext": HELLO}), &["cipher"][..]),
        ("decrypt", json!({"ciphertext": "vault:v1:AAAA"}), &[]),
        ("data-key", json!({}), &["cipher"]),
        ("sign", json!({"input": HELLO}), &["rsa", "signer"]),
        ("mac", json!({"input": HELLO}), &["mac"]),
        ("encapsulate", json!({}), &["kem"]),
        ("decapsulate", json!({"ciphertext": "vault:v1:AAAA"}), &[]),
    ] {
        for name in ["cipher", "kem", "mac", "rsa", "signer"] {
            let reply = ask(&server, &format!("{name}/{call}"), body.clone()).await;
            if able.contains(&name) {
                reply.is(200);
            } else {
                assert!([400, 409].contains(&reply.status), "{name}/{call}: {} {}", reply.status, reply.text());
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn states_and_floors_of_versions_decide() {
    let server = with_key("k", "aes-256-gcm").await;
    let old = done(&server, "k/encrypt", json!({"plaintext": HELLO})).await;
    let open = json!({"ciphertext": old["ciphertext"]});
    // Without a primary version nothing new is made until a rotation or a rollback.
    done(&server, "k/suspend", json!({})).await;
    for (call, body) in
        [("k/encrypt", json!({"plaintext": HELLO})), ("k/data-key", json!({})), ("k/decrypt", open.clone())]
    {
        let (status, code, _) = refused(&server, call, body).await;
        assert_eq!((status, code.as_str()), (409, "key_state"), "{call}");
    }
    let item = done(&server, "k/encrypt", json!({"items": [{"plaintext": HELLO}]})).await;
    assert_eq!(item["items"][0]["error"]["code"], "key_state");
    done(&server, "k/resume", json!({})).await;
    done(&server, "k/rotate", json!({})).await;
    assert_eq!(done(&server, "k/decrypt", open.clone()).await["plaintext"], HELLO);

    done(&server, "k/compromise", json!({"versions": [1], "reason": "a test"})).await;
    let policy = r#"path "transit/decrypt/k" { capabilities = ["update"] }"#;
    let token = server.token_with(ROOT, policy).await;
    let path = "/api/v1/keys/k/decrypt";
    let denied = server.as_token(&token, "POST", path, open.clone()).await.is(403).json();
    assert!(text(&denied["detail"]).contains("transit/keys/k/use-compromised"), "{denied}");
    let items = json!({"items": [{"ciphertext": old["ciphertext"]}]});
    let item = server.as_token(&token, "POST", path, items).await.is(200).json();
    assert_eq!(item["items"][0]["error"]["code"], "denied");
    let both = format!("{policy}\npath \"transit/keys/k/use-compromised\" {{ capabilities = [\"update\"] }}");
    let token = server.token_with(ROOT, &both).await;
    server.as_token(&token, "POST", path, open.clone()).await.is(200);

    server.root("PATCH", "/api/v1/keys/k", json!({"min_decryption_version": 2})).await.is(200);
    let (status, _, detail) = refused(&server, "k/decrypt", open.clone()).await;
    assert!(
        status == 400 && detail == "the version of this ciphertext is below the key's min_decryption_version",
        "{detail}"
    );
    server.root("POST", "/api/v1/keys/k/disable", Value::Null).await.is(200);
    assert_eq!(refused(&server, "k/encrypt", json!({"plaintext": HELLO})).await.1, "key_state");
    server.stop().await;
}

#[tokio::test]
async fn use_of_a_key_is_one_record_of_who_and_what_and_no_value() {
    let server = with_key("k", "aes-256-gcm").await;
    key(&server, json!({"name": "m", "algorithm": "hmac-sha256"})).await;
    key(&server, json!({"name": "s", "algorithm": "ed25519"})).await;
    let canary = "Y2FuYXJ5LTU1MTkyNzM=";
    let made = done(&server, "k/encrypt", json!({"plaintext": canary})).await;
    let signed = done(&server, "s/sign", json!({"input": canary})).await;
    let mac = done(&server, "m/mac", json!({"input": canary})).await;
    for (call, body, class, path) in [
        ("k/encrypt", json!({"plaintext": canary}), "key.encrypt", "transit/encrypt/k"),
        ("k/decrypt", json!({"ciphertext": made["ciphertext"]}), "key.decrypt", "transit/decrypt/k"),
        ("k/rewrap", json!({"ciphertext": made["ciphertext"]}), "key.rewrap", "transit/rewrap/k"),
        ("k/data-key", json!({"plaintext": true}), "key.data_key", "transit/datakey/plaintext/k"),
        ("m/mac", json!({"input": canary}), "key.hmac", "transit/hmac/m"),
        ("m/verify-mac", json!({"input": canary, "mac": mac["mac"]}), "key.verify", "transit/verify/m"),
        ("s/sign", json!({"input": canary}), "key.sign", "transit/sign/s"),
        ("s/verify", json!({"input": canary, "signature": signed["signature"]}), "key.verify", "transit/verify/s"),
    ] {
        let before = server.log_size().await;
        done(&server, call, body).await;
        let page = server.root("GET", &format!("/api/v1/audit/entries?from={before}"), Value::Null).await.is(200);
        assert!(!page.text().contains(canary) && !page.text().contains("canary-5519273"), "{}", page.text());
        let page = page.json();
        let told: Vec<&Value> = page["entries"].as_array().unwrap().iter().map(|entry| &entry["entry"]).collect();
        let told: Vec<&&Value> = told.iter().filter(|entry| entry["cls"] != "audit.query").collect();
        let [entry] = told[..] else { panic!("{call}: {told:#?}") };
        assert_eq!((&entry["cls"], &entry["res"]["path"]), (&json!(class), &json!(path)), "{entry}");
        let name = call.split('/').next().unwrap();
        assert_eq!((&entry["facts"]["key_name"], &entry["res"]["ver"]), (&json!(name), &json!(1)), "{entry}");
        assert!(entry["actor"]["accessor"].is_string() && entry["facts"]["key"].is_string(), "{entry}");
    }
    server.stop().await;
}
