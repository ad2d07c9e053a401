//! Every operation in every state of the version that it asks for, in both dialects.

use serde_json::{Value, json};

use crate::server::{ROOT, TestServer};

const KEYS: &str = "/api/v1/keys";
/// `hello` in base64.
const HELLO: &str = "aGVsbG8=";
/// A public key that has no other half here.
const P256: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEvhzNAQKwxT5DdkwdICHIU/dqEWVX
bM2Z8elivDkUEsgWbvQPO9ya5BJZLnllFB7E/x+ZaKxSqHqVM58grkN5eg==
-----END PUBLIC KEY-----";

/// What an operation asks of a version.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Class {
    /// That it makes something new.
    Protect,
    /// That it reads or checks what it made.
    Process,
    /// That it reads, and makes anew.
    Renew,
    /// That its secret part is shown.
    Export,
}

use Class::{Export, Process, Protect, Renew};

/// An operation with the version 1 of a key: its name, its class, its request.
type Operation = (&'static str, Class, &'static str, String, Value);

/// A state, by which steps a version comes to it, and what it lets be done: to everybody who may use the key, and to who
/// may use what is compromised too.
type State = (&'static str, &'static [&'static str], &'static [Class], &'static [Class]);

const STATES: [State; 5] = [
    ("active", &[], &[Protect, Process, Renew, Export], &[Protect, Process, Renew, Export]),
    ("suspended", &["suspend"], &[], &[]),
    ("deactivated", &["deactivate"], &[Process], &[Process]),
    ("compromised", &["compromise"], &[], &[Process]),
    ("destroy_scheduled", &["deactivate", "destroy"], &[], &[]),
];

/// The keys of a state: encrypting and wrapping, signing and agreeing, for MACs, for capsules.
type Made = (&'static str, &'static str, &'static [&'static str]);

const MADE: [Made; 4] = [
    ("e", "aes-256-gcm", &["encrypt", "wrap"]),
    ("s", "ecdsa-p256", &["sign", "derive"]),
    ("m", "hmac-sha256", &["mac"]),
    ("x", "ml-kem-768", &["encapsulate"]),
];

async fn done(server: &TestServer, path: &str, body: Value) -> Value {
    server.root("POST", path, body).await.is(200).json()
}

/// Makes the keys of a state, still active, and what every operation needs.
async fn operations(server: &TestServer, state: &str) -> Vec<Operation> {
    for (key, algorithm, usages) in MADE {
        let body =
            json!({"name": format!("{key}-{state}"), "algorithm": algorithm, "usages": usages, "exportable": true});
        done(server, KEYS, body).await;
    }
    let native = |key: &str, verb: &str| format!("{KEYS}/{key}-{state}/{verb}");
    let vault = |path: &str| format!("/v1/transit/{path}-{state}");
    let made = async |key: &str, verb: &str, body: Value| done(server, &native(key, verb), body).await;
    let sealed = made("e", "encrypt", json!({"plaintext": HELLO})).await["ciphertext"].clone();
    let signature = made("s", "sign", json!({"input": HELLO})).await["signature"].clone();
    let mac = made("m", "mac", json!({"input": HELLO})).await["mac"].clone();
    let capsule = made("x", "encapsulate", json!({})).await["ciphertext"].clone();
    let wrapped = made("e", "wrap", json!({"key": "other"})).await["keys"][0]["wrapped"].clone();
    let base = format!("s-{state}");
    let agree = json!({"base": base, "base_version": 1, "peer_public_key": P256});
    let derive = json!({"base_key_name": base, "base_key_version": 1, "peer_public_key": P256});
    let source = json!({"wrapped": {"ciphertext": wrapped, "by": {"key": format!("e-{state}")}}});
    let import = json!({"name": format!("unwrapped-{state}"), "algorithm": "aes-256-gcm", "source": source});
    let one = |mut body: Value| {
        body["key_version"] = json!(1);
        body
    };
    vec![
        ("encrypt", Protect, "POST", native("e", "encrypt"), one(json!({"plaintext": HELLO}))),
        ("encrypt", Protect, "POST", vault("encrypt/e"), one(json!({"plaintext": HELLO}))),
        ("data key", Protect, "POST", native("e", "data-key"), one(json!({}))),
        ("data key", Protect, "POST", vault("datakey/plaintext/e"), one(json!({}))),
        ("rewrap", Renew, "POST", native("e", "rewrap"), one(json!({"ciphertext": sealed}))),
        ("rewrap", Renew, "POST", vault("rewrap/e"), one(json!({"ciphertext": sealed}))),
        ("wrap", Protect, "POST", native("e", "wrap"), json!({"key": "other"})),
        ("wrap", Protect, "GET", format!("/v1/transit/byok-export/e-{state}/other"), Value::Null),
        ("sign", Protect, "POST", native("s", "sign"), one(json!({"input": HELLO}))),
        ("sign", Protect, "POST", vault("sign/s"), one(json!({"input": HELLO}))),
        ("csr", Protect, "POST", native("s", "csr"), json!({"version": 1})),
        ("csr", Protect, "POST", format!("/v1/transit/keys/s-{state}/csr"), json!({"version": 1})),
        ("agree", Protect, "POST", format!("{KEYS}/agreed-{state}/agree"), agree),
        ("agree", Protect, "POST", vault("derive-key/derived"), derive),
        ("mac", Protect, "POST", native("m", "mac"), one(json!({"input": HELLO}))),
        ("mac", Protect, "POST", vault("hmac/m"), one(json!({"input": HELLO}))),
        ("encapsulate", Protect, "POST", native("x", "encapsulate"), one(json!({}))),
        ("decrypt", Process, "POST", native("e", "decrypt"), json!({"ciphertext": sealed})),
        ("decrypt", Process, "POST", vault("decrypt/e"), json!({"ciphertext": sealed})),
        ("unwrap", Process, "POST", KEYS.to_owned(), import),
        ("verify", Process, "POST", native("s", "verify"), json!({"input": HELLO, "signature": signature})),
        ("verify", Process, "POST", vault("verify/s"), json!({"input": HELLO, "signature": signature})),
        ("verify a MAC", Process, "POST", native("m", "verify-mac"), json!({"input": HELLO, "mac": mac})),
        ("verify a MAC", Process, "POST", vault("verify/m"), json!({"input": HELLO, "hmac": mac})),
        ("decapsulate", Process, "POST", native("x", "decapsulate"), json!({"ciphertext": capsule})),
        ("export", Export, "POST", native("e", "export"), json!({"kind": "encryption-key", "version": 1})),
        ("export", Export, "GET", format!("/v1/transit/export/encryption-key/e-{state}/1"), Value::Null),
    ]
}

#[tokio::test]
async fn operation_is_done_in_the_states_that_allow_it_and_refused_in_all_others() {
    let server = TestServer::dev().await;
    done(&server, KEYS, json!({"name": "other", "algorithm": "aes-256-gcm", "exportable": true})).await;
    let everything = r#"path "transit/*" { capabilities = ["create", "read", "update", "list"] }"#;
    let spared = r#"path "transit/keys/+/use-compromised" { capabilities = ["deny"] }"#;
    let plain = server.token_with(ROOT, &format!("{everything}\n{spared}")).await;
    let special = server.token_with(ROOT, everything).await;
    for (state, steps, anybody, specially) in STATES {
        let operations = operations(&server, state).await;
        let special_alone = anybody.is_empty() && specially.contains(&Process);
        for step in steps {
            for (key, ..) in MADE {
                let body = match *step {
                    "compromise" => json!({"versions": [1], "reason": "a test"}),
                    _ => json!({"versions": [1]}),
                };
                let stepped = done(&server, &format!("{KEYS}/{key}-{state}/{step}"), body).await;
                assert!(*step != steps[steps.len() - 1] || stepped["versions"][0]["state"] == state, "{stepped}");
            }
        }
        for (name, class, method, path, body) in &operations {
            // Who may less comes first, so that what is made once is not there yet.
            for (who, token, allowed) in [("anybody", &plain, anybody), ("specially", &special, specially)] {
                let reply = server.as_token(token, method, path, body.clone()).await;
                let shown = format!("{who}: {name} in {state}: {path}: {} {}", reply.status, reply.text());
                let is_native = path.starts_with("/api/");
                if allowed.contains(class) {
                    let again = *path == KEYS && who == "specially" && anybody.contains(class);
                    assert_eq!(reply.status, if again { 409 } else { done_with(path) }, "{shown}");
                    assert!(!reply.text().contains("\"valid\":false"), "{shown}");
                } else if special_alone && (specially.contains(class) || *class == Renew) && who == "anybody" {
                    // It may not even be read.
                    assert_eq!(reply.status, 403, "{shown}");
                } else if is_native {
                    assert_eq!((reply.status, &reply.json()["code"]), (409, &json!("key_state")), "{shown}");
                } else {
                    assert_eq!(reply.status, 400, "{shown}");
                }
                let says_why = reply.status < 300 || [403].contains(&reply.status) || reply.text().contains(state);
                assert!(says_why || reply.text().contains("no primary") || reply.status == 409, "{shown}");
            }
        }
    }
    server.stop().await;
}

/// The status of an operation that is done.
fn done_with(path: &str) -> u16 {
    if path.contains("/derive-key/") { 204 } else { 200 }
}

#[tokio::test]
async fn version_that_is_not_in_use_yet_makes_nothing() {
    let server = TestServer::dev().await;
    for (key, algorithm, usages) in MADE {
        done(&server, KEYS, json!({"name": key, "algorithm": algorithm, "usages": usages, "exportable": true})).await;
        done(&server, &format!("{KEYS}/{key}/rotate"), json!({"pre_active": true})).await;
    }
    let two = |mut body: Value| {
        body["key_version"] = json!(2);
        body
    };
    for (path, body) in [
        (format!("{KEYS}/e/encrypt"), two(json!({"plaintext": HELLO}))),
        (format!("{KEYS}/e/data-key"), two(json!({}))),
        (format!("{KEYS}/e/export"), json!({"kind": "encryption-key", "version": 2})),
        (format!("{KEYS}/s/sign"), two(json!({"input": HELLO}))),
        (format!("{KEYS}/s/csr"), json!({"version": 2})),
        (format!("{KEYS}/a/agree"), json!({"base": "s", "base_version": 2, "peer_public_key": P256})),
        (format!("{KEYS}/m/mac"), two(json!({"input": HELLO}))),
        (format!("{KEYS}/x/encapsulate"), two(json!({}))),
        ("/v1/transit/encrypt/e".to_owned(), two(json!({"plaintext": HELLO}))),
        ("/v1/transit/datakey/plaintext/e".to_owned(), two(json!({}))),
        ("/v1/transit/sign/s".to_owned(), two(json!({"input": HELLO}))),
        ("/v1/transit/hmac/m".to_owned(), two(json!({"input": HELLO}))),
    ] {
        let reply = server.root("POST", &path, body).await;
        let status = if path.starts_with(KEYS) { 409 } else { 400 };
        assert_eq!(reply.status, status, "{path}: {}", reply.text());
        assert!(reply.text().contains("pre_active"), "{path}: {}", reply.text());
    }
    server.stop().await;
}
