//! The seal whose key exists as shares only: initialised, unsealed, rekeyed, and what it gives to strangers.

use coffer_server::config::SealKind;
use serde_json::{Value, json};

use crate::server::{ROOT, Reply, TestServer};

/// A server under shares, on an empty store.
pub(crate) async fn empty() -> TestServer {
    TestServer::with(|overrides, dir| {
        overrides.storage = Some("memory:".into());
        overrides.data = Some(dir.to_owned());
        overrides.seal = Some(SealKind::Shamir);
    })
    .await
}

/// What the initialisation told.
pub(crate) struct Told {
    pub(crate) keys: Vec<String>,
    pub(crate) root: String,
}

pub(crate) async fn ask(server: &TestServer, method: &str, path: &str, body: Value) -> Reply {
    server.raw(method, &format!("/v1/sys/{path}"), None, &crate::server::text(&body)).await
}

async fn init(server: &TestServer, shares: u8, threshold: u8) -> Told {
    let body = json!({"secret_shares": shares, "secret_threshold": threshold, "stored_shares": 0, "pgp_keys": null,
        "recovery_shares": 0, "recovery_threshold": 0, "recovery_pgp_keys": [], "root_token_pgp_key": ""});
    let told = ask(server, "PUT", "init", body).await.is(200).json();
    Told { keys: texts(&told["keys"]), root: told["root_token"].as_str().unwrap().to_owned() }
}

pub(crate) async fn unsealed(shares: u8, threshold: u8) -> (TestServer, Told) {
    let server = empty().await;
    let told = init(&server, shares, threshold).await;
    for key in told.keys.iter().take(threshold.into()) {
        ask(&server, "POST", "unseal", json!({"key": key})).await.is(200);
    }
    (server, told)
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

pub(crate) fn why(reply: Reply, status: u16) -> String {
    reply.errors(status)[0].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn empty_store_is_uninitialised_and_says_so_in_every_way() {
    let server = empty().await;
    assert!(server.greeting.contains("coffer operator init"), "{}", server.greeting);
    let health = ask(&server, "GET", "health", Value::Null).await.is(501).json();
    assert_eq!(
        (&health["initialized"], &health["sealed"], &health["standby"]),
        (&json!(false), &json!(true), &json!(true))
    );
    let status = ask(&server, "GET", "seal-status", Value::Null).await.is(200).json();
    for (key, value) in [
        ("type", json!("shamir")),
        ("initialized", json!(false)),
        ("sealed", json!(true)),
        ("t", json!(0)),
        ("n", json!(0)),
        ("progress", json!(0)),
        ("nonce", json!("")),
        ("migration", json!(false)),
        ("recovery_seal", json!(false)),
    ] {
        assert_eq!(status[key], value, "{key}");
    }
    assert_eq!(ask(&server, "GET", "init", Value::Null).await.is(200).json(), json!({"initialized": false}));
    for path in ["mounts", "rekey/init", "generate-root/attempt"] {
        assert_eq!(why(ask(&server, "GET", path, Value::Null).await, 503), "Vault is sealed", "{path}");
    }
    server.raw("GET", "/readyz", None, "").await.is(503);
    server.raw("GET", "/healthz", None, "").await.is(200);
    let key = "78".repeat(33);
    assert_eq!(why(ask(&server, "PUT", "unseal", json!({"key": key})).await, 400), "Vault is not initialized");
    ask(&server, "PUT", "unseal", json!({"reset": true})).await.is(200);
    server.stop().await;
}

#[tokio::test]
async fn initialisation_that_makes_no_sense_is_refused_and_changes_nothing() {
    let server = empty().await;
    let config = "invalid seal configuration: ";
    for (body, said) in [
        (json!({}), format!("{config}shares must be at least one")),
        (json!({"secret_shares": 0, "secret_threshold": 0}), format!("{config}shares must be at least one")),
        (json!({"secret_shares": 1, "secret_threshold": 2}), format!("{config}threshold cannot be larger than shares")),
        (json!({"secret_shares": 3, "secret_threshold": 0}), format!("{config}threshold must be at least one")),
        (
            json!({"secret_shares": 2, "secret_threshold": 1}),
            format!("{config}threshold must be greater than one for multiple shares"),
        ),
        (json!({"secret_shares": 256, "secret_threshold": 2}), format!("{config}shares must be less than 256")),
        (json!({"secret_shares": 3, "secret_threshold": 2, "stored_shares": 1}), "stored_shares".into()),
        (json!({"secret_shares": 3, "secret_threshold": 2, "recovery_shares": 1}), "recovery_shares".into()),
        (json!({"secret_shares": 3, "secret_threshold": 2, "pgp_keys": ["a", "b", "c"]}), "given PGP key".into()),
        (json!({"secret_shares": 3, "secret_threshold": 2, "recovery_pgp_keys": ["a"]}), "recovery_pgp_keys".into()),
        (json!({"secret_shares": 3, "secret_threshold": 2, "root_token_pgp_key": "a"}), "given PGP key".into()),
    ] {
        let refused = why(ask(&server, "PUT", "init", body.clone()).await, 400);
        assert!(refused.contains(&said), "{body}: {refused}");
    }
    for body in ["x", "[]", "{", "{\"secret_shares\": {}}"] {
        server.raw("PUT", "/v1/sys/init", None, body).await.is(400);
    }
    for method in ["DELETE", "PATCH"] {
        ask(&server, method, "init", Value::Null).await.is(405);
    }
    ask(&server, "GET", "unseal", Value::Null).await.is(405);
    assert_eq!(ask(&server, "GET", "init", Value::Null).await.json()["initialized"], false);
    init(&server, 3, 2).await;
    let again = json!({"secret_shares": 3, "secret_threshold": 2});
    assert_eq!(why(ask(&server, "PUT", "init", again).await, 400), "Vault is already initialized");
    server.stop().await;
}

#[tokio::test]
async fn shares_unseal_one_by_one_and_the_root_token_is_one() {
    let server = empty().await;
    let body = json!({"secret_shares": 5, "secret_threshold": 3});
    let told = ask(&server, "POST", "init", body).await.is(200).json();
    let (keys, base64) = (texts(&told["keys"]), texts(&told["keys_base64"]));
    assert_eq!((keys.len(), base64.len(), told.as_object().unwrap().len()), (5, 5, 3));
    assert!(keys.iter().all(|key| key.len() == 66) && base64.iter().all(|key| key.len() == 44));
    let root = told["root_token"].as_str().unwrap();
    let status = ask(&server, "GET", "seal-status", Value::Null).await.json();
    assert_eq!((&status["initialized"], &status["t"], &status["n"]), (&json!(true), &json!(3), &json!(5)));
    assert!(status.get("cluster_id").is_none());
    ask(&server, "GET", "health", Value::Null).await.is(503);

    let given = async |key: &str| ask(&server, "PUT", "unseal", json!({"key": key})).await.is(200).json();
    let first = given(&base64[1]).await;
    assert_eq!((&first["progress"], &first["sealed"]), (&json!(1), &json!(true)));
    assert_eq!(given(&keys[1]).await, first, "the same share again, in the other writing");
    let second = given(&keys[4]).await;
    assert_eq!((&second["progress"], &second["nonce"]), (&json!(2), &first["nonce"]));
    let third = given(&keys[0]).await;
    assert_eq!((&third["sealed"], &third["progress"], &third["nonce"]), (&json!(false), &json!(0), &json!("")));
    assert!(third["cluster_id"].is_string());

    let own = server.as_token(root, "GET", "/v1/auth/token/lookup-self", Value::Null).await.data();
    for (key, value) in [
        ("policies", json!(["root"])),
        ("ttl", json!(0)),
        ("expire_time", Value::Null),
        ("display_name", json!("root")),
        ("path", json!("auth/token/root")),
        ("orphan", json!(true)),
        ("type", json!("service")),
        ("entity_id", json!("")),
    ] {
        assert_eq!(own[key], value, "{key}");
    }
    server.as_token(root, "GET", "/v1/sys/mounts", Value::Null).await.is(200);
    // One who comes late is told that all is well.
    assert_eq!(given(&keys[2]).await["sealed"], false);
    assert_eq!(why(ask(&server, "PUT", "unseal", json!({"reset": true})).await, 400), "vault is unsealed");
    server.stop().await;
}

#[tokio::test]
async fn wrong_shares_leave_it_sealed_with_nothing_given() {
    let (server, told) = unsealed(3, 2).await;
    server.as_token(&told.root, "PUT", "/v1/sys/seal", Value::Null).await.is(204);
    let [one, two] = [&told.keys[0], &told.keys[1]];
    let same_x = format!("{}{}", &two[..64], &one[64..]);
    let no_x = format!("{}00", &two[..64]);
    for bad in [&"78".repeat(33), &two[..60], &format!("{}aa", &two[..64]), &same_x, &no_x, &two[..64]] {
        let first = ask(&server, "PUT", "unseal", json!({"key": one})).await.is(200).json();
        assert_eq!(first["progress"], 1);
        let refused = why(ask(&server, "PUT", "unseal", json!({"key": bad})).await, 400);
        assert!(refused.contains("invalid key: failed to "), "{bad}: {refused}");
        let status = ask(&server, "GET", "seal-status", Value::Null).await.json();
        assert_eq!((&status["sealed"], &status["progress"], &status["nonce"]), (&json!(true), &json!(0), &json!("")));
    }
    for (body, said) in [
        (json!({"key": "zz"}), "'key' must be a valid hex or base64 string"),
        (json!({"key": "00"}), "'key' must be a valid hex or base64 string"),
        (json!({"key": format!("{two}{two}")}), "invalid key: key is longer than maximum 33 bytes"),
        (json!({}), "'key' must be specified in request body as JSON, or 'reset' set to true"),
        (json!({"reset": false, "key": ""}), "'key' must be specified in request body as JSON, or 'reset' set to true"),
        (json!({"key": one, "migrate": true}), "can't perform a seal migration, no migration seal found"),
    ] {
        assert_eq!(why(ask(&server, "PUT", "unseal", body.clone()).await, 400), said, "{body}");
    }
    ask(&server, "PUT", "unseal", json!({"key": one})).await.is(200);
    let reset = ask(&server, "PUT", "unseal", json!({"reset": true})).await.is(200).json();
    assert_eq!((&reset["progress"], &reset["nonce"]), (&json!(0), &json!("")));
    for key in [two, &told.keys[2]] {
        ask(&server, "PUT", "unseal", json!({"key": key})).await.is(200);
    }
    server.as_token(&told.root, "GET", "/v1/sys/mounts", Value::Null).await.is(200);
    server.stop().await;
}

#[tokio::test]
async fn one_share_of_one_is_enough() {
    let (server, told) = unsealed(1, 1).await;
    assert_eq!(told.keys[0].len(), 64);
    server.as_token(&told.root, "GET", "/v1/sys/mounts", Value::Null).await.is(200);
    server.stop().await;
}

#[tokio::test]
async fn log_begins_with_who_initialised_and_who_gave_shares() {
    let server = empty().await;
    ask(&server, "PUT", "init", json!({"secret_shares": 0})).await.is(400);
    let told = init(&server, 2, 2).await;
    ask(&server, "PUT", "unseal", json!({"key": "78".repeat(33)})).await.is(200);
    ask(&server, "PUT", "unseal", json!({"key": told.keys[0]})).await.is(400);
    for key in &told.keys {
        ask(&server, "PUT", "unseal", json!({"key": key})).await.is(200);
    }
    let page = server.as_token(&told.root, "GET", "/api/v1/audit/entries?limit=1000", Value::Null).await.json();
    let entries: Vec<Value> = page["entries"].as_array().unwrap().iter().map(|entry| entry["entry"].clone()).collect();
    let told_of = |entry: &Value| format!("{} {}", entry["cls"].as_str().unwrap(), entry["out"].as_str().unwrap());
    let shown: Vec<String> = entries.iter().map(told_of).collect();
    let begins: Vec<&str> =
        shown.iter().map(String::as_str).filter(|shown| !shown.starts_with("log.")).take(8).collect();
    assert_eq!(
        begins,
        [
            "system.init success",
            "system.start success",
            "system.init error",
            "system.unseal success",
            "system.unseal error",
            "system.unseal success",
            "system.unseal success",
        ],
        "{shown:#?}"
    );
    let first = entries.iter().find(|entry| entry["cls"] == "system.init").unwrap();
    assert_eq!((&first["actor"]["type"], &first["src"]["ip"]), (&json!("anonymous"), &json!("127.0.0.1")), "{first}");
    assert_eq!((&first["facts"]["shares"], &first["facts"]["threshold"]), (&json!("2"), &json!("2")));
    assert!(first["changes"].as_array().unwrap().iter().any(|change| change["key"] == "sys/root"), "{first}");
    let given: Vec<&Value> = entries
        .iter()
        .filter(|entry| entry["cls"] == "system.unseal")
        .map(|entry| &entry["facts"]["progress"])
        .collect();
    assert_eq!(given, ["1/2", "2/2", "1/2", "2/2"]);
    let all = page.to_string();
    assert!(told.keys.iter().all(|key| !all.contains(key.as_str())) && !all.contains(&told.root));
    server.stop().await;
}

#[tokio::test]
async fn strangers_neither_rekey_nor_ask_for_root_tokens() {
    let (server, told) = unsealed(3, 2).await;
    let weak = server.token_with(&told.root, r#"path "sys/rekey/*" { capabilities = ["read", "update"] }"#).await;
    for (method, path) in [
        ("GET", "rekey/init"),
        ("PUT", "rekey/init"),
        ("DELETE", "rekey/init"),
        ("PUT", "rekey/update"),
        ("GET", "rekey/verify"),
        ("PUT", "rekey/verify"),
        ("DELETE", "rekey/verify"),
        ("GET", "rekey/backup"),
        ("GET", "generate-root/attempt"),
        ("PUT", "generate-root/attempt"),
        ("DELETE", "generate-root/attempt"),
        ("PUT", "generate-root/update"),
        ("GET", "generate-root-token/attempt"),
        ("PUT", "generate-root-token/attempt"),
        ("DELETE", "generate-root-token/attempt"),
        ("PUT", "generate-root-token/update"),
        ("GET", "rotate/root/init"),
        ("PUT", "rotate/root/update"),
        ("GET", "rotate/recovery/init"),
    ] {
        let body = json!({"secret_shares": 3, "secret_threshold": 2, "key": told.keys[0], "nonce": "x"});
        ask(&server, method, path, body.clone()).await.is(403);
        server.as_token("hvs.nosuch", method, &format!("/v1/sys/{path}"), body.clone()).await.is(403);
        // Without sudo.
        server.as_token(&weak, method, &format!("/v1/sys/{path}"), body).await.is(403);
    }
    let sudo = r#"path "sys/rekey/*" { capabilities = ["read", "sudo"] }"#;
    let strong = server.token_with(&told.root, sudo).await;
    server.as_token(&strong, "GET", "/v1/sys/rekey/init", Value::Null).await.is(200);
    server
        .as_token(&strong, "PUT", "/v1/sys/rekey/init", json!({"secret_shares": 1, "secret_threshold": 1}))
        .await
        .is(403);
    server.stop().await;
}

#[tokio::test]
async fn setting_called_insecure_lets_strangers_give_shares() {
    let server = TestServer::with(|overrides, dir| {
        overrides.storage = Some("memory:".into());
        overrides.data = Some(dir.to_owned());
        overrides.seal = Some(SealKind::Shamir);
        overrides.insecure_anonymous_rekey = Some(true);
    })
    .await;
    let told = init(&server, 1, 1).await;
    ask(&server, "PUT", "unseal", json!({"key": told.keys[0]})).await.is(200);
    ask(&server, "GET", "rekey/init", Value::Null).await.is(200);
    let nonce = ask(&server, "PUT", "generate-root/attempt", Value::Null).await.is(200).json()["nonce"].take();
    let done = ask(&server, "PUT", "generate-root/update", json!({"nonce": nonce, "key": told.keys[0]})).await;
    assert_eq!(done.is(200).json()["complete"], true);
    // A token that is none is no stranger's.
    server.as_token("hvs.nosuch", "GET", "/v1/sys/rekey/init", Value::Null).await.is(403);
    // These are a token's.
    ask(&server, "GET", "rotate/root/init", Value::Null).await.is(403);
    server.stop().await;
}

#[tokio::test]
async fn rekey_makes_new_shares_and_the_old_ones_open_nothing() {
    let (server, told) = unsealed(3, 2).await;
    let sys = async |method: &str, path: &str, body: Value| {
        server.as_token(&told.root, method, &format!("/v1/sys/{path}"), body).await
    };
    let idle = json!({"nonce": "", "started": false, "t": 0, "n": 0, "progress": 0, "required": 2,
        "pgp_fingerprints": null, "backup": false, "verification_required": false});
    assert_eq!(sys("GET", "rekey/init", Value::Null).await.is(200).json(), idle);
    for (body, said) in [
        (json!({}), "invalid rekey seal configuration: shares must be at least one"),
        (json!({"secret_shares": 1, "secret_threshold": 2}), "threshold cannot be larger than shares"),
        (json!({"secret_shares": 3, "secret_threshold": 2, "pgp_keys": ["a"]}), "incorrect number of PGP keys"),
        (json!({"secret_shares": 3, "secret_threshold": 2, "backup": true}), "cannot request a backup"),
    ] {
        let refused = why(sys("PUT", "rekey/init", body).await, 400);
        assert!(refused.contains(said), "{refused}");
    }
    let update = json!({"nonce": "x", "key": told.keys[0]});
    assert_eq!(why(sys("PUT", "rekey/update", update).await, 400), "no barrier rekey in progress");
    let wanted = json!({"secret_shares": 4, "secret_threshold": 3});
    let begun = sys("PUT", "rekey/init", wanted.clone()).await.is(200).json();
    assert_eq!(
        (&begun["started"], &begun["t"], &begun["n"], &begun["required"]),
        (&json!(true), &json!(3), &json!(4), &json!(2))
    );
    assert_eq!(why(sys("PUT", "rekey/init", wanted).await, 400), "rekey already in progress");
    let nonce = begun["nonce"].as_str().unwrap();
    let give = async |key: &str| sys("PUT", "rekey/update", json!({"nonce": nonce, "key": key})).await;
    let other = sys("PUT", "rekey/update", json!({"nonce": "bad", "key": told.keys[0]})).await;
    assert_eq!(why(other, 400), format!("incorrect nonce supplied; nonce for this rekey operation is \"{nonce}\""));
    assert_eq!(
        why(sys("PUT", "rekey/update", json!({"nonce": nonce})).await, 400),
        "'key' must be specified in request body as JSON"
    );
    assert_eq!(give(&told.keys[0]).await.is(200).json()["progress"], 1);
    assert_eq!(
        why(give(&told.keys[0]).await, 400),
        "given key has already been provided during this generation operation"
    );
    assert!(why(give(&"78".repeat(33)).await, 400).starts_with("invalid key: "));
    assert_eq!(sys("GET", "rekey/init", Value::Null).await.json()["progress"], 0);
    give(&told.keys[2]).await.is(200);
    let made = give(&told.keys[1]).await.is(200).json();
    let new = texts(&made["keys"]);
    assert_eq!((new.len(), texts(&made["keys_base64"]).len(), &made["complete"]), (4, 4, &json!(true)));
    assert_eq!(made.as_object().unwrap().len(), 7);
    assert_eq!(sys("GET", "rekey/init", Value::Null).await.json()["required"], 3);
    assert_eq!(ask(&server, "GET", "seal-status", Value::Null).await.json()["n"], 4);
    sys("DELETE", "rekey/init", Value::Null).await.is(204);
    assert_eq!(why(sys("GET", "rekey/backup", Value::Null).await, 400), "no backed-up keys found");
    sys("DELETE", "rekey/backup", Value::Null).await.is(204);

    sys("PUT", "seal", Value::Null).await.is(204);
    for key in &told.keys[..2] {
        ask(&server, "PUT", "unseal", json!({"key": key})).await.is(200);
    }
    let refused = why(ask(&server, "PUT", "unseal", json!({"key": told.keys[2]})).await, 400);
    assert!(refused.starts_with("unable to retrieve stored keys: invalid key: "), "{refused}");
    for key in &new[1..] {
        ask(&server, "PUT", "unseal", json!({"key": key})).await.is(200);
    }
    sys("GET", "mounts", Value::Null).await.is(200);
    server.stop().await;
}

#[tokio::test]
async fn rekey_with_verification_counts_only_once_the_new_shares_came_back() {
    let (server, told) = unsealed(1, 1).await;
    let sys = async |method: &str, path: &str, body: Value| {
        server.as_token(&told.root, method, &format!("/v1/sys/{path}"), body).await
    };
    assert_eq!(why(sys("GET", "rekey/verify", Value::Null).await, 400), "no rekey configuration found");
    let wanted = json!({"secret_shares": 3, "secret_threshold": 2, "require_verification": true});
    let nonce = sys("PUT", "rekey/init", wanted).await.is(200).json()["nonce"].take();
    let made = sys("PUT", "rekey/update", json!({"nonce": nonce, "key": told.keys[0]})).await.is(200).json();
    let (new, verification) = (texts(&made["keys"]), made["verification_nonce"].as_str().unwrap().to_owned());
    assert_eq!(made["verification_required"], true);
    let again = sys("PUT", "rekey/update", json!({"nonce": nonce, "key": told.keys[0]})).await;
    assert!(why(again, 400).contains("verification must be performed"));
    // Nothing counts yet.
    assert_eq!(ask(&server, "GET", "seal-status", Value::Null).await.json()["n"], 1);
    let verify = async |nonce: &str, key: &str| sys("PUT", "rekey/verify", json!({"nonce": nonce, "key": key})).await;
    assert!(why(verify("x", &new[0]).await, 400).contains("nonce for this verify operation is"));
    assert_eq!(verify(&verification, &new[0]).await.is(200).json()["progress"], 1);
    let wrong = why(verify(&verification, &"78".repeat(33)).await, 400);
    assert_eq!(wrong, "rekey verification failed; incorrect key shares supplied");
    let status = sys("GET", "rekey/verify", Value::Null).await.is(200).json();
    assert_ne!(status["nonce"], verification);
    let restarted = sys("DELETE", "rekey/verify", Value::Null).await.is(200).json();
    assert_eq!((&restarted["t"], &restarted["n"], &restarted["progress"]), (&json!(2), &json!(3), &json!(0)));
    let verification = restarted["nonce"].as_str().unwrap();
    verify(verification, &new[2]).await.is(200);
    let done = verify(verification, &new[1]).await.is(200).json();
    assert_eq!(done, json!({"nonce": verification, "complete": true}));
    assert_eq!(ask(&server, "GET", "seal-status", Value::Null).await.json()["n"], 3);
    sys("PUT", "seal", Value::Null).await.is(204);
    for key in &new[..2] {
        ask(&server, "PUT", "unseal", json!({"key": key})).await.is(200);
    }
    sys("GET", "mounts", Value::Null).await.is(200);
    server.stop().await;
}

#[tokio::test]
async fn rotation_of_the_root_is_a_rekey_in_an_envelope() {
    let (server, told) = unsealed(1, 1).await;
    let sys = async |method: &str, path: &str, body: Value| {
        server.as_token(&told.root, method, &format!("/v1/sys/rotate/{path}"), body).await
    };
    let data = sys("GET", "root/init", Value::Null).await.data();
    assert_eq!(data, json!({"n": 0, "required": 1, "started": false, "t": 0}));
    let wanted = json!({"secret_shares": 3, "secret_threshold": 2});
    let begun = sys("POST", "root/init", wanted.clone()).await.data();
    assert_eq!((begun.as_object().unwrap().len(), &begun["verification_nonce"]), (8, &json!("")));
    assert_eq!(why(sys("POST", "root/init", wanted.clone()).await, 400), "rotation already in progress");
    sys("DELETE", "root/init", Value::Null).await.is(204);
    assert_eq!(
        why(sys("PUT", "root/update", json!({"nonce": "x", "key": told.keys[0]})).await, 400),
        "no rotation in progress"
    );
    let nonce = sys("POST", "root/init", wanted).await.data()["nonce"].take();
    let made = sys("POST", "root/update", json!({"nonce": nonce, "key": told.keys[0]})).await.data();
    assert_eq!((texts(&made["keys"]).len(), &made["complete"], made.as_object().unwrap().len()), (3, &json!(true), 8));
    for (method, path, said) in [
        ("GET", "recovery/init", "unable to look up config: recovery not supported"),
        ("PUT", "recovery/init", "recovery keys not supported"),
        ("GET", "recovery/verify", "no rotation configuration found"),
        ("GET", "recovery/backup", "no backed-up keys found"),
        ("GET", "root/backup", "no backed-up keys found"),
    ] {
        assert_eq!(why(sys(method, path, Value::Null).await, 400), said, "{path}");
    }
    sys("DELETE", "recovery/init", Value::Null).await.is(204);
    server.stop().await;
}

#[tokio::test]
async fn key_file_seal_names_the_local_commands() {
    let server = TestServer::dev().await;
    let key = "78".repeat(33);
    for (method, path, body, command) in [
        ("PUT", "unseal", json!({"key": key}), "coffer operator unseal --local"),
        ("PUT", "unseal", json!({"reset": true}), "coffer operator unseal --local"),
        ("GET", "generate-root/attempt", Value::Null, "coffer operator initial-token --local"),
        ("PUT", "generate-root/update", json!({"nonce": "x", "key": key}), "coffer operator initial-token --local"),
        ("GET", "generate-root-token/attempt", Value::Null, "coffer operator initial-token --local"),
        ("PUT", "generate-root-token/attempt", json!({}), "coffer operator initial-token --local"),
        (
            "PUT",
            "generate-root-token/update",
            json!({"nonce": "x", "key": key}),
            "coffer operator initial-token --local",
        ),
        ("GET", "rekey/init", Value::Null, "coffer operator seal-migrate"),
        ("PUT", "rekey/init", json!({"secret_shares": 1, "secret_threshold": 1}), "coffer operator seal-migrate"),
        ("PUT", "rotate/root/init", json!({"secret_shares": 1, "secret_threshold": 1}), "coffer operator seal-migrate"),
    ] {
        let said = why(server.root(method, &format!("/v1/sys/{path}"), body.clone()).await, 400);
        assert!(said.contains(command), "{path}: {said}");
        if path.starts_with("rotate") || path.starts_with("generate-root-token") {
            // Under these names a token comes first.
            ask(&server, method, path, body).await.is(403);
        } else {
            assert!(why(ask(&server, method, path, body).await, 400).contains(command), "{path}");
        }
    }
    assert_eq!(ask(&server, "GET", "init", Value::Null).await.json(), json!({"initialized": true}));
    let asked = json!({"secret_shares": 1, "secret_threshold": 1});
    assert_eq!(why(ask(&server, "PUT", "init", asked).await, 400), "Vault is already initialized");
    let status = ask(&server, "GET", "seal-status", Value::Null).await.json();
    assert_eq!((&status["type"], &status["t"], &status["n"]), (&json!("file"), &json!(1), &json!(1)));
    server.root("GET", "/v1/sys/mounts", Value::Null).await.is(200);
    server.as_token(ROOT, "PUT", "/v1/sys/seal", Value::Null).await.is(204);
    server.stop().await;
}
