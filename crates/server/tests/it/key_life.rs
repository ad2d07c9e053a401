//! The life of keys through the native API.

use serde_json::{Value, json};

use crate::server::{ROOT, TestServer};

const KEYS: &str = "/api/v1/keys";

#[tokio::test]
async fn first_key_mounts_the_engine_for_who_may_mount_it() {
    let server = TestServer::dev().await;
    server.root("GET", &format!("{KEYS}/k"), Value::Null).await.is(404);
    assert_eq!(server.root("GET", KEYS, Value::Null).await.is(200).json(), json!({"items": []}));
    let only_keys = r#"path "transit/keys/*" { capabilities = ["update", "read"] }"#;
    let both = format!("{only_keys}\npath \"sys/mounts/transit\" {{ capabilities = [\"update\"] }}");
    let token = server.token_with(ROOT, only_keys).await;
    let refused = server.as_token(&token, "POST", KEYS, json!({"name": "k"})).await.is(403).json();
    assert!(refused["detail"].as_str().unwrap().contains("sys/mounts/transit"), "{refused}");
    server.as_token(&token, "GET", &format!("{KEYS}/k"), Value::Null).await.is(404);
    let token = server.token_with(ROOT, &both).await;
    let made = server.as_token(&token, "POST", KEYS, json!({"name": "k"})).await.is(200).json();
    assert_eq!((&made["algorithm"], &made["primary_version"]), (&json!("xaes-256-gcm"), &json!(1)));
    assert_eq!(made["usages"], json!(["encrypt", "wrap", "derive"]));
    // From now on the engine is there.
    let token = server.token_with(ROOT, only_keys).await;
    server.as_token(&token, "POST", KEYS, json!({"name": "k2", "algorithm": "ed25519"})).await.is(200);
    let twice = server.root("POST", KEYS, json!({"name": "k"})).await.is(409).json();
    assert_eq!(twice["code"], "conflict");
    server.stop().await;
}

#[tokio::test]
async fn step_that_is_refused_says_state_and_what_it_allows() {
    let server = TestServer::dev().await;
    server.root("POST", KEYS, json!({"name": "k", "algorithm": "ed25519", "tags": ["pci"]})).await.is(200);
    let refused = server.root("POST", &format!("{KEYS}/k/destroy"), json!({"versions": [1]})).await.is(409).json();
    assert_eq!((&refused["code"], &refused["status"]), (&json!("key_state"), &json!(409)));
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.contains("is active") && detail.contains("allowed: compromise, deactivate"), "{detail}");

    let rotated = server.root("POST", &format!("{KEYS}/k/rotate"), json!({})).await.is(200).json();
    assert_eq!((&rotated["primary_version"], rotated["versions"].as_array().unwrap().len()), (&json!(2), 2));
    assert!(rotated["versions"][0]["deactivated_time"].is_string(), "it ends after the overlap");
    assert!(rotated["versions"][1]["public_key"].as_str().unwrap().starts_with("-----BEGIN PUBLIC KEY-----"));
    let back = server.root("POST", &format!("{KEYS}/k/rollback"), json!({})).await.is(200).json();
    assert_eq!(back["primary_version"], 1);
    let lost = json!({"reason": "left on a train"});
    let key = server.root("POST", &format!("{KEYS}/k/compromise"), lost).await.is(200).json();
    assert_eq!((&key["versions"][0]["state"], key.get("primary_version")), (&json!("compromised"), None));
    server.root("POST", &format!("{KEYS}/k/compromise"), json!({"versions": [2]})).await.is(400);

    // A tag's time holds for what is scheduled from now on.
    server.root("PUT", "/api/v1/key-settings", json!({"destroy_after": {"pci": 864_000}})).await.is(200);
    let settings = server.root("GET", "/api/v1/key-settings", Value::Null).await.is(200).json();
    assert_eq!(settings, json!({"destroy_after": {"pci": 864_000}}));
    server.root("PUT", "/api/v1/key-settings", json!({"destroy_after": {"pci": 3_600}})).await.is(400);
    let short = json!({"versions": [1], "after": 86_400});
    server.root("POST", &format!("{KEYS}/k/destroy"), short).await.is(400);
    let key = server.root("POST", &format!("{KEYS}/k/destroy"), json!({"versions": [1]})).await.is(200).json();
    assert_eq!(key["versions"][0]["state"], "destroy_scheduled");
    let key = server.root("POST", &format!("{KEYS}/k/cancel-destroy"), json!({})).await.is(200).json();
    assert_eq!(key["versions"][0]["state"], "compromised");
    server.stop().await;
}

#[tokio::test]
async fn keys_are_listed_by_page_and_filter_and_bad_questions_are_refused() {
    let server = TestServer::dev().await;
    for (name, algorithm) in [("a", "ed25519"), ("b", "xaes-256-gcm"), ("c", "ed25519"), ("d", "ml-kem-768")] {
        let body = json!({"name": name, "algorithm": algorithm, "tags": [format!("tag-{name}")]});
        server.root("POST", KEYS, body).await.is(200);
    }
    server.root("POST", &format!("{KEYS}/c/suspend"), json!({})).await.is(200);
    let names = async |query: &str| {
        let page = server.root("GET", &format!("{KEYS}?{query}"), Value::Null).await.is(200).json();
        let names = page["items"].as_array().unwrap().iter();
        let names: Vec<String> = names.map(|key| key["name"].as_str().unwrap().to_owned()).collect();
        (names.join(""), page["next"].as_str().map(str::to_owned))
    };
    assert_eq!(names("limit=3").await, ("abc".to_owned(), Some("c".to_owned())));
    assert_eq!(names("limit=3&after=c").await, ("d".to_owned(), None));
    assert_eq!(names("algorithm=ed25519").await.0, "ac");
    assert_eq!(names("state=suspended").await.0, "c");
    assert_eq!(names("tag=tag-b").await.0, "b");
    assert_eq!(names("name=d&algorithm=ml-kem-768&state=active").await.0, "d");
    assert_eq!(names("name=d&algorithm=ed25519").await.0, "");
    for bad in ["algorithm=des", "state=gone", "limit=0", "limit=1001", "colour=red"] {
        server.root("GET", &format!("{KEYS}?{bad}"), Value::Null).await.is(400);
    }
    for bad in [
        json!({"name": "x", "algorithm": "des"}),
        json!({"name": "x", "usages": ["fly"]}),
        json!({"name": "x", "usages": ["sign"]}),
        json!({"name": "x/y"}),
        json!({"name": ""}),
        json!({"name": "x", "colour": "red"}),
        json!({"name": "x", "rotate_every": u64::MAX}),
        json!({"name": "x", "overlap": u64::MAX}),
    ] {
        server.root("POST", KEYS, bad).await.is(400);
    }
    server.stop().await;
}

#[tokio::test]
async fn deleted_key_is_recovered_by_its_id() {
    let server = TestServer::dev().await;
    let made = server.root("POST", KEYS, json!({"name": "k"})).await.is(200).json();
    let id = made["id"].as_str().unwrap();
    server.root("DELETE", &format!("{KEYS}/k"), Value::Null).await.is(400);
    server.root("PATCH", &format!("{KEYS}/k"), json!({"deletion_allowed": true})).await.is(200);
    let deleted = server.root("DELETE", &format!("{KEYS}/k"), Value::Null).await.is(200).json();
    assert_eq!((&deleted["id"], &deleted["versions"][0]["state"]), (&made["id"], &json!("destroy_scheduled")));
    server.root("GET", &format!("{KEYS}/k"), Value::Null).await.is(404);
    let listed = server.root("GET", "/api/v1/deleted-keys", Value::Null).await.is(200).json();
    assert_eq!(listed["items"][0]["id"], made["id"]);
    // The permission is that on the key's name, and nobody learns which ids there are.
    let one = server.token_with(ROOT, r#"path "transit/keys/other/recover" { capabilities = ["update"] }"#).await;
    for id in [id, "00000000-0000-4000-8000-000000000000"] {
        let path = format!("/api/v1/deleted-keys/{id}/recover");
        server.as_token(&one, "POST", &path, Value::Null).await.is(403);
    }
    server.root("POST", "/api/v1/deleted-keys/00000000-0000-4000-8000-000000000000/recover", Value::Null).await.is(404);
    server.root("POST", "/api/v1/deleted-keys/k/recover", Value::Null).await.is(400);
    let back = server.root("POST", &format!("/api/v1/deleted-keys/{id}/recover"), Value::Null).await.is(200).json();
    assert_eq!(back["versions"][0]["state"], "deactivated");
    server.root("POST", &format!("{KEYS}/k/rollback"), json!({})).await.is(200);
    server.stop().await;
}

#[tokio::test]
async fn deleted_key_whose_name_is_taken_is_recovered_under_another() {
    let server = TestServer::dev().await;
    let made = server.root("POST", KEYS, json!({"name": "k"})).await.is(200).json();
    server.root("PATCH", &format!("{KEYS}/k"), json!({"deletion_allowed": true})).await.is(200);
    let sealed =
        server.root("POST", &format!("{KEYS}/k/encrypt"), json!({"plaintext": "aGVsbG8="})).await.is(200).json();
    server.root("DELETE", &format!("{KEYS}/k"), Value::Null).await.is(200);
    server.root("POST", KEYS, json!({"name": "k"})).await.is(200);
    let path = format!("/api/v1/deleted-keys/{}/recover", made["id"].as_str().unwrap());
    let taken = server.root("POST", &path, Value::Null).await.is(409).json();
    assert_eq!(taken["detail"], r#"there is another key "k": recover this one under a name of its own"#);
    for (body, status) in [(json!({"name": "k"}), 409), (json!({"name": "a/b"}), 400), (json!({"colour": "red"}), 400)]
    {
        server.root("POST", &path, body).await.is(status);
    }
    // A new name is as a new key's.
    let named = json!({"name": "k-old"});
    let may = r#"path "transit/keys/k/recover" { capabilities = ["update"] }"#;
    let token = server.token_with(ROOT, may).await;
    server.as_token(&token, "POST", &path, named.clone()).await.is(403);
    let both = format!(r#"{may} path "transit/keys/k-old" {{ capabilities = ["update"] }}"#);
    let token = server.token_with(ROOT, &both).await;
    let back = server.as_token(&token, "POST", &path, named).await.is(200).json();
    assert_eq!((&back["id"], &back["name"]), (&made["id"], &json!("k-old")));
    let opened = json!({"ciphertext": sealed["ciphertext"]});
    let opened = server.root("POST", &format!("{KEYS}/k-old/decrypt"), opened).await.is(200).json();
    assert_eq!(opened["plaintext"], "aGVsbG8=");
    assert_eq!(server.root("GET", "/api/v1/deleted-keys", Value::Null).await.is(200).json()["items"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn tag_that_destruction_waits_for_goes_with_sudo_alone() {
    let server = TestServer::dev().await;
    server.root("POST", KEYS, json!({"name": "k", "tags": ["pci", "eu"]})).await.is(200);
    server.root("PUT", "/api/v1/key-settings", json!({"destroy_after": {"pci": 30 * 86_400}})).await.is(200);
    let path = format!("{KEYS}/k");
    let policy = |more| format!(r#"path "transit/keys/k/config" {{ capabilities = ["update"{more}] }}"#);
    let may = server.token_with(ROOT, &policy("")).await;
    for (tags, status) in [(json!(["pci"]), 200), (json!(["eu"]), 403), (json!([]), 403), (json!(["pci", "us"]), 200)] {
        server.as_token(&may, "PATCH", &path, json!({"tags": tags})).await.is(status);
    }
    let refused = server.as_token(&may, "PATCH", &path, json!({"tags": []})).await.json();
    let why = "permission denied: update on transit/keys/k/config: the destruction of this key waits for its tag \"pci\"; \
               whoever takes that off needs the capability sudo on this path as well";
    assert_eq!(refused["detail"], why);
    let kept = server.root("GET", &path, Value::Null).await.is(200).json();
    assert_eq!(kept["tags"], json!(["pci", "us"]));
    let sudo = server.token_with(ROOT, &policy(r#", "sudo""#)).await;
    server.as_token(&sudo, "PATCH", &path, json!({"tags": []})).await.is(200);
    server.stop().await;
}

#[tokio::test]
async fn context_of_a_key_that_is_not_derived_is_refused_natively_and_passed_over_in_transit() {
    let server = TestServer::dev().await;
    server.root("POST", KEYS, json!({"name": "k"})).await.is(200);
    server.root("POST", KEYS, json!({"name": "s", "algorithm": "ed25519"})).await.is(200);
    let (hello, context) = ("aGVsbG8=", "Y29udGV4dA==");
    let of = async |path: &str, body: Value| server.root("POST", path, body).await;
    let sealed = of("/v1/transit/encrypt/k", json!({"plaintext": hello, "context": context})).await.is(200).json();
    let sealed = &sealed["data"]["ciphertext"];
    let signed = of("/v1/transit/sign/s", json!({"input": hello, "context": context})).await.is(200).json();
    let signed = &signed["data"]["signature"];
    for (call, body) in [
        ("k/encrypt", json!({"plaintext": hello})),
        ("k/decrypt", json!({"ciphertext": sealed})),
        ("k/rewrap", json!({"ciphertext": sealed})),
        ("k/data-key", json!({})),
        ("s/sign", json!({"input": hello})),
        ("s/verify", json!({"input": hello, "signature": signed})),
    ] {
        let path = format!("{KEYS}/{call}");
        of(&path, body.clone()).await.is(200);
        let mut bound = body.clone();
        bound["context"] = json!(context);
        let refused = of(&path, bound.clone()).await.is(400).json();
        let why = "context: the key is not derived, so that a context would be of no effect; leave it out";
        assert_eq!(refused["detail"], why, "{call}");
        if call != "k/data-key" {
            let items = of(&path, json!({"items": [body, bound]})).await.is(200).json();
            assert_eq!(items["items"][1]["error"]["message"], why, "{call}");
            assert!(items["items"][0].get("error").is_none(), "{call}: {items}");
        }
    }
    server.stop().await;
}
