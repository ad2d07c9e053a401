//! Keys that leave and come through the native API.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::server::{ROOT, Reply, TestServer};

const KEYS: &str = "/api/v1/keys";
/// `hello` in base64.
const HELLO: &str = "aGVsbG8=";

async fn ask(server: &TestServer, call: &str, body: Value) -> Reply {
    server.root("POST", &format!("{KEYS}/{call}"), body).await
}

async fn done(server: &TestServer, call: &str, body: Value) -> Value {
    ask(server, call, body).await.is(200).json()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// Makes a key, exportable, in the clear too.
async fn exportable(server: &TestServer, name: &str, algorithm: &str) {
    let body = json!({"name": name, "algorithm": algorithm, "exportable": true});
    server.root("POST", KEYS, body).await.is(200);
    server.root("PATCH", &format!("{KEYS}/{name}"), json!({"allow_plaintext_backup": true})).await.is(200);
}

#[tokio::test]
async fn public_keys_are_shown_and_secret_parts_of_exportable_keys_alone() {
    let server = TestServer::dev().await;
    exportable(&server, "open", "ed25519").await;
    server.root("POST", KEYS, json!({"name": "closed", "algorithm": "ed25519"})).await.is(200);
    let public = async |call: &str| server.root("GET", &format!("{KEYS}/{call}"), Value::Null).await;
    let pem = public("closed/public").await.is(200).json();
    assert_eq!((&pem["version"], &pem["format"]), (&json!(1), &json!("pem")));
    assert!(text(&pem["public_key"]).starts_with("-----BEGIN PUBLIC KEY-----\n"));
    done(&server, "closed/rotate", json!({})).await;
    let jwk = public("closed/public?format=jwk&version=1").await.is(200).json();
    let jwk: Value = serde_json::from_str(text(&jwk["public_key"])).unwrap();
    assert_eq!((&jwk["kty"], &jwk["crv"]), (&json!("OKP"), &json!("Ed25519")));
    assert_eq!(public("closed/public").await.is(200).json()["version"], 2);
    for (call, status) in [
        ("closed/public?version=3", 400),
        ("closed/public?format=der", 400),
        ("none/public", 404),
        ("closed/public?x=1", 400),
    ] {
        public(call).await.is(status);
    }

    let shown = done(&server, "open/export", json!({"kind": "signing-key"})).await;
    assert_eq!((&shown["name"], &shown["algorithm"]), (&json!("open"), &json!("ed25519")));
    assert_eq!(STANDARD.decode(text(&shown["keys"][0]["key"])).unwrap().len(), 64);
    let shown = done(&server, "closed/export", json!({"kind": "public-key", "version": 2, "format": "pem"})).await;
    assert_eq!((&shown["keys"][0]["version"], shown["keys"].as_array().unwrap().len()), (&json!(2), 1));
    for (call, body) in [
        ("closed/export", json!({"kind": "signing-key"})),
        ("open/export", json!({"kind": "encryption-key"})),
        ("open/export", json!({"kind": "everything"})),
        ("open/export", json!({"kind": "signing-key", "format": "xml"})),
        ("open/export", json!({"kind": "signing-key", "version": 9})),
        ("open/export", json!({"kind": "signing-key", "colour": 1})),
    ] {
        ask(&server, call, body).await.is(400);
    }
    ask(&server, "none/export", json!({"kind": "signing-key"})).await.is(404);
    server.stop().await;
}

#[tokio::test]
async fn key_wrapped_under_another_comes_back_for_who_may_use_both() {
    let server = TestServer::dev().await;
    exportable(&server, "k", "aes-256-gcm").await;
    let sealed = done(&server, "k/encrypt", json!({"plaintext": HELLO})).await;
    for (wrapping, algorithm) in [("w", "aes-256-gcm"), ("r", "rsa-2048")] {
        server.root("POST", KEYS, json!({"name": wrapping, "algorithm": algorithm})).await.is(200);
        let wrapped = done(&server, &format!("{wrapping}/wrap"), json!({"key": "k"})).await;
        assert_eq!((&wrapped["name"], &wrapped["algorithm"]), (&json!("k"), &json!("aes-256-gcm")));
        let source = json!({"wrapped": {"ciphertext": wrapped["keys"][0]["wrapped"], "by": {"key": wrapping}}});
        let name = format!("of-{wrapping}");
        let body = json!({"name": name, "algorithm": "aes-256-gcm", "tags": ["came"], "source": source});
        let policy = format!(r#"path "transit/keys/{name}/import" {{ capabilities = ["update"] }}"#);
        let token = server.token_with(ROOT, &policy).await;
        let denied = server.as_token(&token, "POST", KEYS, body.clone()).await.is(403).json();
        assert!(text(&denied["detail"]).contains(&format!("transit/keys/{wrapping}/unwrap")), "{denied}");
        let made = server.root("POST", KEYS, body.clone()).await.is(200).json();
        assert_eq!((&made["imported"], &made["tags"]), (&json!(true), &json!(["came"])));
        let opened = done(&server, &format!("{name}/decrypt"), json!({"ciphertext": sealed["ciphertext"]})).await;
        assert_eq!(opened["plaintext"], HELLO);
        assert_eq!(server.root("POST", KEYS, body).await.is(409).json()["code"], "conflict");
    }
    server.root("POST", KEYS, json!({"name": "closed"})).await.is(200);
    for (call, body, status) in [
        ("w/wrap", json!({"key": "closed"}), 400),
        ("w/wrap", json!({"key": "none"}), 404),
        ("none/wrap", json!({"key": "k"}), 404),
        ("r/wrap", json!({"key": "k", "hash": "md5"}), 400),
        ("w/wrap", json!({"key": "k", "version": 2}), 400),
    ] {
        ask(&server, call, body).await.is(status);
    }
    server.stop().await;
}

#[tokio::test]
async fn key_is_imported_as_public_half_and_then_whole() {
    let server = TestServer::dev().await;
    // The first of all mounts the engine, for who may.
    exportable(&server, "k", "ecdsa-p256").await;
    let pem = server.root("GET", &format!("{KEYS}/k/public"), Value::Null).await.is(200).json();
    let body = json!({"name": "half", "algorithm": "ecdsa-p256", "source": {"public_key": pem["public_key"]}});
    server.root("POST", KEYS, body).await.is(200);
    let signed = done(&server, "k/sign", json!({"input": HELLO})).await;
    let check = json!({"input": HELLO, "signature": signed["signature"]});
    assert_eq!(done(&server, "half/verify", check).await, json!({"valid": true}));
    assert_eq!(ask(&server, "half/sign", json!({"input": HELLO})).await.status, 400);
    server.root("POST", KEYS, json!({"name": "w", "algorithm": "aes-256-gcm"})).await.is(200);
    let wrapped = done(&server, "w/wrap", json!({"key": "k"})).await;
    let source = json!({"wrapped": {"ciphertext": wrapped["keys"][0]["wrapped"], "by": {"key": "w"}}});
    let whole = done(&server, "half/import-version", json!({"source": source, "version": 1})).await;
    assert_eq!((&whole["latest_version"], &whole["imported"]), (&json!(1), &json!(true)));
    done(&server, "half/sign", json!({"input": HELLO})).await;
    for (call, body, status) in [
        ("half/import-version", json!({"source": source, "version": 1}), 400),
        ("k/import-version", json!({"source": source}), 400),
        ("none/import-version", json!({"source": source}), 404),
        ("half/import-version", json!({"source": {"public_key": "x"}}), 400),
        ("half/import-version", json!({"source": {"public_key": "x", "wrapped": {"ciphertext": "x"}}}), 400),
        ("half/import-version", json!({"source": {"wrapped": {"ciphertext": "AAAA", "hash": "md5"}}}), 400),
        ("half/import-version", json!({"source": {}}), 400),
        ("half/import-version", json!({}), 400),
    ] {
        ask(&server, call, body).await.is(status);
    }
    let body = json!({"name": "sym", "algorithm": "aes-256-gcm", "source": {"public_key": pem["public_key"]}});
    server.root("POST", KEYS, body).await.is(400);
    server.stop().await;
}

#[tokio::test]
async fn one_time_import_keys_and_the_stores_wrapping_key_are_handed_out() {
    let server = TestServer::dev().await;
    server.root("GET", "/api/v1/key-wrapping-key", Value::Null).await.is(404);
    let begin = async |wrap: &str| server.root("POST", "/api/v1/key-imports", json!({"wrap": wrap})).await;
    let begun = begin("ml-kem-768").await.is(200).json();
    assert!(text(&begun["public_key"]).starts_with("-----BEGIN PUBLIC KEY-----"));
    assert!(text(&begun["expires_time"]).ends_with('Z'));
    let begun = begin("rsa-oaep").await.is(200).json();
    begin("des").await.is(400);
    let read = server.root("GET", "/api/v1/key-wrapping-key", Value::Null).await.is(200).json();
    assert!(read["public_key"] != begun["public_key"]);
    let import = async |by: Value| {
        let source = json!({"wrapped": {"ciphertext": "AAAA", "by": by}});
        let body = json!({"name": "k", "algorithm": "aes-256-gcm", "source": source});
        server.root("POST", KEYS, body).await.status
    };
    assert_eq!(import(json!({"import_key": begun["id"]})).await, 400, "it unwraps nothing");
    assert_eq!(import(json!({"import_key": "00000000-0000-4000-8000-000000000000"})).await, 404);
    assert_eq!(import(json!({"import_key": "x"})).await, 400);
    assert_eq!(import(json!({"key": "none"})).await, 404);
    assert_eq!(import(json!({"store": true})).await, 400);
    server.stop().await;
}

#[tokio::test]
async fn backup_is_restored_under_its_name_or_another() {
    let server = TestServer::dev().await;
    exportable(&server, "k", "aes-256-gcm").await;
    let sealed = done(&server, "k/encrypt", json!({"plaintext": HELLO})).await;
    done(&server, "k/rotate", json!({})).await;
    let backup = server.root("POST", &format!("{KEYS}/k/backup"), Value::Null).await.is(200).json();
    let restore = async |body: Value| server.root("POST", "/api/v1/key-restore", body).await;
    restore(backup.clone()).await.is(409);
    let with = |name: &str, value: Value| {
        let mut body = backup.clone();
        body[name] = value;
        body
    };
    let made = restore(with("name", json!("copy"))).await.is(200).json();
    assert_eq!((&made["name"], &made["primary_version"]), (&json!("copy"), &json!(2)));
    let opened = done(&server, "copy/decrypt", json!({"ciphertext": sealed["ciphertext"]})).await;
    assert_eq!(opened["plaintext"], HELLO);
    restore(with("force", json!(true))).await.is(400);
    let deletable = json!({"deletion_allowed": true});
    server.root("PATCH", &format!("{KEYS}/k"), deletable).await.is(200);
    let text = r#"path "transit/restore" { capabilities = ["update"] }"#;
    let restorer = server.token_with(ROOT, text).await;
    server.as_token(&restorer, "POST", "/api/v1/key-restore", with("force", json!(true))).await.is(403);
    let again = restore(with("force", json!(true))).await.is(200).json();
    assert_eq!(again["name"], "k");
    let deleted = server.root("GET", "/api/v1/deleted-keys", Value::Null).await.is(200).json();
    assert_eq!(deleted["items"].as_array().unwrap().len(), 1, "the one whose place it took");
    for body in
        [json!({"backup": ""}), json!({"backup": "AAAA"}), json!({}), with("name", json!("a/b")), with("x", json!(1))]
    {
        restore(body).await.is(400);
    }
    server.root("POST", KEYS, json!({"name": "closed"})).await.is(200);
    server.root("POST", &format!("{KEYS}/closed/backup"), Value::Null).await.is(400);
    server.root("POST", &format!("{KEYS}/none/backup"), Value::Null).await.is(404);
    server.stop().await;
}

#[tokio::test]
async fn two_parties_agree_on_the_same_key() {
    let server = TestServer::dev().await;
    let mut pems = Vec::new();
    for name in ["ours", "theirs", "none-of-it"] {
        let usages = if name == "none-of-it" { json!(["sign"]) } else { json!(["derive", "sign"]) };
        server.root("POST", KEYS, json!({"name": name, "algorithm": "ecdsa-p256", "usages": usages})).await.is(200);
        let public = server.root("GET", &format!("{KEYS}/{name}/public"), Value::Null).await.is(200).json();
        pems.push(public["public_key"].clone());
    }
    let made = done(&server, "a/agree", json!({"base": "ours", "peer_public_key": pems[1]})).await;
    assert_eq!((&made["name"], &made["algorithm"]), (&json!("a"), &json!("aes-256-gcm")));
    done(&server, "b/agree", json!({"base": "theirs", "base_version": 1, "peer_public_key": pems[0]})).await;
    let sealed = done(&server, "a/encrypt", json!({"plaintext": HELLO})).await;
    let opened = done(&server, "b/decrypt", json!({"ciphertext": sealed["ciphertext"]})).await;
    assert_eq!(opened["plaintext"], HELLO);
    for (body, status) in [
        (json!({"base": "none", "peer_public_key": pems[1]}), 404),
        (json!({"base": "a", "peer_public_key": pems[1]}), 400),
        (json!({"base": "ours", "peer_public_key": "x"}), 400),
        (json!({"base": "ours", "peer_public_key": pems[1], "algorithm": "des"}), 400),
        (json!({"base": "ours", "base_version": 7, "peer_public_key": pems[1]}), 400),
        // It is for signatures alone.
        (json!({"base": "none-of-it", "peer_public_key": pems[1]}), 400),
    ] {
        ask(&server, "c/agree", body).await.is(status);
    }
    // Whoever may make the new key needs the right to use ours as well; in transit, which knows no such right, not.
    let body = json!({"base": "ours", "peer_public_key": pems[1]});
    let made = r#"path "transit/derive-key/*" { capabilities = ["update"] }"#;
    for (policy, status) in [
        (made.to_owned(), 403),
        (format!(r#"{made} path "transit/keys/theirs/agree" {{ capabilities = ["update"] }}"#), 403),
        (format!(r#"{made} path "transit/keys/ours/agree" {{ capabilities = ["update"] }}"#), 200),
    ] {
        let token = server.token_with(ROOT, &policy).await;
        server.as_token(&token, "POST", &format!("{KEYS}/d/agree"), body.clone()).await.is(status);
    }
    let token = server.token_with(ROOT, made).await;
    let body = json!({"base_key_name": "none-of-it", "peer_public_key": pems[1], "derived_key_type": "aes256-gcm96"});
    server.as_token(&token, "POST", "/v1/transit/derive-key/e", body).await.is(204);
    server.stop().await;
}

#[tokio::test]
async fn key_requests_a_certificate_and_keeps_it() {
    let server = TestServer::dev().await;
    exportable(&server, "k", "ecdsa-p256").await;
    let made = done(&server, "k/csr", json!({})).await;
    let csr = text(&made["csr"]);
    assert!(csr.starts_with("-----BEGIN CERTIFICATE REQUEST-----\n"), "{csr}");
    assert!(done(&server, "k/csr", json!({"template": csr, "version": 1})).await["csr"].is_string());
    for body in [json!({"template": "x"}), json!({"version": 2})] {
        ask(&server, "k/csr", body).await.is(400);
    }
    // The key itself signs its certificate, elsewhere.
    let exported = done(&server, "k/export", json!({"kind": "signing-key", "format": "pem"})).await;
    let pair = rcgen::KeyPair::from_pem(text(&exported["keys"][0]["key"])).unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["k.example".to_owned()]).unwrap().self_signed(&pair).unwrap();
    let set = async |body: Value| server.root("PUT", &format!("{KEYS}/k/certificate"), body).await;
    let kept = set(json!({"chain": certificate.pem()})).await.is(200).json();
    let chain = text(&kept["versions"][0]["certificate_chain"]);
    assert_eq!(chain.split_whitespace().collect::<String>(), certificate.pem().split_whitespace().collect::<String>());
    let read = server.root("GET", &format!("{KEYS}/k"), Value::Null).await.is(200).json();
    assert_eq!(read["versions"][0]["certificate_chain"], chain);
    let listed = server.root("GET", KEYS, Value::Null).await.is(200).json();
    assert!(listed["items"][0]["versions"][0].get("certificate_chain").is_none());
    let shown = done(&server, "k/export", json!({"kind": "certificate-chain"})).await;
    assert_eq!(text(&shown["keys"][0]["key"]).trim_end(), chain.trim_end());
    done(&server, "k/rotate", json!({})).await;
    for body in
        [json!({"chain": certificate.pem()}), json!({"chain": "x"}), json!({"chain": certificate.pem(), "version": 9})]
    {
        set(body).await.is(400);
    }
    set(json!({"chain": certificate.pem(), "version": 1})).await.is(200);
    server.root("PUT", &format!("{KEYS}/none/certificate"), json!({"chain": certificate.pem()})).await.is(404);
    server.stop().await;
}
