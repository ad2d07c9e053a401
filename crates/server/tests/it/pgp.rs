//! Shares and root tokens that are encrypted to their holders' OpenPGP keys, and the backup of such shares.

use serde_json::{Value, json};

use crate::{
    gpg::Holder,
    server::TestServer,
    shamir::{ask, empty, unsealed, why},
};

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// What each holder reads in the list of messages.
fn opened(holders: &[&Holder], list: &Value) -> Vec<String> {
    let messages = texts(list);
    assert_eq!(messages.len(), holders.len());
    holders.iter().zip(messages).map(|(holder, message)| holder.opens(message)).collect()
}

async fn unseal(server: &TestServer, shares: &[String]) {
    for share in shares {
        ask(server, "PUT", "unseal", json!({"key": share})).await.is(200);
    }
    assert_eq!(ask(server, "GET", "seal-status", Value::Null).await.json()["sealed"], false);
}

#[tokio::test]
async fn initialisation_tells_holders_their_shares_and_nobody_else() {
    let holders = [Holder::new("rsa2048", "rsa2048"), Holder::new("ed25519", "cv25519")];
    let [rsa, curve] = &holders;
    let server = empty().await;
    let asked = json!({"secret_shares": 2, "secret_threshold": 2, "pgp_keys": [rsa.key, curve.key],
        "root_token_pgp_key": curve.key});
    let told = ask(&server, "PUT", "init", asked).await.is(200).json();
    let shares = opened(&[rsa, curve], &told["keys"]);
    assert_eq!(shares, opened(&[rsa, curve], &told["keys_base64"]));
    assert!(shares.iter().all(|share| share.len() == 66), "{shares:?}");
    unseal(&server, &shares).await;
    let root = curve.opens(told["root_token"].as_str().unwrap());
    server.as_token(&root, "GET", "/v1/sys/mounts", Value::Null).await.is(200);
    server.stop().await;
}

#[tokio::test]
async fn keys_that_are_none_or_of_nobody_leave_the_store_uninitialised() {
    let signer = Holder::new("ed25519", "");
    let server = empty().await;
    let config = "invalid seal configuration: ";
    for (shares, keys, said) in [
        (2, json!([signer.key]), "count mismatch between number of provided PGP keys and number of shares"),
        (1, json!([signer.key, signer.key]), "count mismatch"),
        (1, json!(["!!"]), "error decoding given PGP key: "),
        (1, json!(["AAAA"]), "error parsing given PGP key: "),
        (1, json!([""]), "error parsing given PGP key: "),
        (1, json!([signer.key]), "error parsing given PGP key: no part of the key may encrypt"),
    ] {
        let asked = json!({"secret_shares": shares, "secret_threshold": shares, "pgp_keys": keys});
        let said = format!("{config}{said}");
        let refused = why(ask(&server, "PUT", "init", asked).await, 400);
        assert!(refused.starts_with(&said), "{refused}");
    }
    for keys in [json!([5]), json!("text"), json!({})] {
        let asked = json!({"secret_shares": 1, "secret_threshold": 1, "pgp_keys": keys});
        assert!(why(ask(&server, "PUT", "init", asked).await, 400).contains("pgp_keys"));
    }
    let asked = json!({"secret_shares": 1, "secret_threshold": 1, "root_token_pgp_key": signer.key});
    assert!(why(ask(&server, "PUT", "init", asked).await, 400).starts_with(config));
    assert_eq!(ask(&server, "GET", "init", Value::Null).await.json(), json!({"initialized": false}));
    server.stop().await;
}

#[tokio::test]
async fn rekey_encrypts_shares_and_keeps_them_where_that_is_asked_for() {
    let holder = Holder::new("ed25519", "cv25519");
    let (server, told) = unsealed(2, 2).await;
    let sys = async |method: &str, path: &str, body: Value| {
        server.as_token(&told.root, method, &format!("/v1/sys/{path}"), body).await
    };
    for (body, said) in [
        (json!({"secret_shares": 2, "secret_threshold": 2, "backup": true}), "cannot request a backup"),
        (json!({"secret_shares": 2, "secret_threshold": 2, "pgp_keys": [holder.key]}), "incorrect number of PGP keys"),
        (
            json!({"secret_shares": 1, "secret_threshold": 1, "pgp_keys": ["AAAA"]}),
            "invalid rekey seal configuration: error parsing given PGP key: ",
        ),
    ] {
        let refused = why(sys("PUT", "rekey/init", body).await, 400);
        assert!(refused.starts_with(said), "{refused}");
    }
    let none = "no backed-up keys found";
    for path in ["rekey/backup", "rotate/root/backup", "rekey/recovery-key-backup", "rotate/recovery/backup"] {
        assert_eq!(why(sys("GET", path, Value::Null).await, 400), none);
        sys("DELETE", path, Value::Null).await.is(204);
    }

    let asked =
        json!({"secret_shares": 2, "secret_threshold": 2, "pgp_keys": [holder.key, holder.key], "backup": true});
    let begun = sys("PUT", "rekey/init", asked.clone()).await.is(200).json();
    let fingerprints = json!([holder.fingerprint, holder.fingerprint]);
    assert_eq!((&begun["pgp_fingerprints"], &begun["backup"]), (&fingerprints, &json!(true)));
    let nonce = &begun["nonce"];
    sys("PUT", "rekey/update", json!({"nonce": nonce, "key": told.keys[0]})).await.is(200);
    let made = sys("PUT", "rekey/update", json!({"nonce": nonce, "key": told.keys[1]})).await.is(200).json();
    assert_eq!((&made["pgp_fingerprints"], &made["backup"]), (&fingerprints, &json!(true)));
    let shares = opened(&[&holder, &holder], &made["keys"]);

    // The same messages under both names, in the envelope and beside it.
    for path in ["rekey/backup", "rotate/root/backup"] {
        let kept = sys("GET", path, Value::Null).await.is(200).json();
        for place in [&kept, &kept["data"]] {
            assert_eq!(place["keys"], json!({&holder.fingerprint: made["keys"]}));
            assert_eq!(place["keys_base64"], json!({&holder.fingerprint: made["keys_base64"]}));
            assert_eq!(&place["nonce"], nonce);
        }
    }
    assert_eq!(why(sys("GET", "rekey/recovery-key-backup", Value::Null).await, 400), none);

    // Sealed and opened with them; what is kept stays.
    sys("PUT", "seal", Value::Null).await.is(204);
    unseal(&server, &shares).await;
    sys("GET", "rekey/backup", Value::Null).await.is(200);

    // Another one, to be given back: what it told is kept already, and stays when it is cancelled.
    let mut asked = asked;
    asked["require_verification"] = true.into();
    let begun = sys("PUT", "rotate/root/init", asked).await.is(200).json();
    assert_eq!((&begun["data"]["pgp_fingerprints"], &begun["data"]["backup"]), (&fingerprints, &json!(true)));
    let nonce = &begun["data"]["nonce"];
    sys("PUT", "rotate/root/update", json!({"nonce": nonce, "key": shares[0]})).await.is(200);
    let made = sys("PUT", "rotate/root/update", json!({"nonce": nonce, "key": shares[1]})).await.is(200).json();
    let new = opened(&[&holder, &holder], &made["data"]["keys"]);
    assert_eq!(&sys("GET", "rekey/backup", Value::Null).await.is(200).json()["nonce"], nonce);
    let verify = json!({"nonce": made["data"]["verification_nonce"], "key": new[0]});
    sys("PUT", "rotate/root/verify", verify).await.is(200);
    sys("DELETE", "rotate/root/init", Value::Null).await.is(204);
    assert_eq!(&sys("GET", "rekey/backup", Value::Null).await.is(200).json()["nonce"], nonce);

    // A rekey without a backup leaves it.
    let plain = json!({"secret_shares": 1, "secret_threshold": 1});
    let begun = sys("PUT", "rekey/init", plain).await.is(200).json();
    assert_eq!((&begun["pgp_fingerprints"], &begun["backup"]), (&Value::Null, &json!(false)));
    for share in &shares {
        sys("PUT", "rekey/update", json!({"nonce": begun["nonce"], "key": share})).await.is(200);
    }
    assert_eq!(&sys("GET", "rekey/backup", Value::Null).await.is(200).json()["nonce"], nonce);
    sys("DELETE", "rekey/backup", Value::Null).await.is(204);
    assert_eq!(why(sys("GET", "rotate/root/backup", Value::Null).await, 400), none);
    server.stop().await;
}

#[tokio::test]
async fn backup_is_for_who_may_read_it() {
    let (server, told) = unsealed(1, 1).await;
    let policy = json!({"policy": "path \"sys/rekey/backup\" { capabilities = [\"read\"] }"});
    server.as_token(&told.root, "PUT", "/v1/sys/policies/acl/weak", policy).await.is(204);
    let made = server.as_token(&told.root, "POST", "/v1/auth/token/create", json!({"policies": ["weak"]})).await.json();
    let weak = made["auth"]["client_token"].as_str().unwrap();
    for (method, path) in [("GET", "rekey/backup"), ("DELETE", "rekey/backup"), ("GET", "rotate/root/backup")] {
        // It needs sudo, too.
        server.as_token(weak, method, &format!("/v1/sys/{path}"), Value::Null).await.is(403);
        server.raw(method, &format!("/v1/sys/{path}"), None, "").await.is(403);
    }
    server.stop().await;
}

#[tokio::test]
async fn root_token_is_encrypted_to_whose_key_was_given() {
    let holder = Holder::new("ed25519", "cv25519");
    let (server, told) = unsealed(1, 1).await;
    for (path, enveloped) in [("generate-root", false), ("generate-root-token", true)] {
        let sys = async |step: &str, body: Value| {
            let reply =
                server.as_token(&told.root, "PUT", &format!("/v1/sys/{path}/{step}"), body).await.is(200).json();
            if enveloped { reply["data"].clone() } else { reply }
        };
        let attempt = format!("/v1/sys/{path}/attempt");
        for key in ["zz", "AAAA", "!"] {
            let refused = server.as_token(&told.root, "PUT", &attempt, json!({"pgp_key": key})).await;
            assert!(why(refused, 400).starts_with("error parsing PGP key: error "));
        }
        let begun = sys("attempt", json!({"pgp_key": holder.key})).await;
        assert_eq!((&begun["pgp_fingerprint"], &begun["otp"]), (&json!(holder.fingerprint), &json!("")));
        let status = server.as_token(&told.root, "GET", &attempt, Value::Null).await.is(200).json();
        let status = if enveloped { &status["data"] } else { &status };
        assert_eq!(status["pgp_fingerprint"], json!(holder.fingerprint));
        let done = sys("update", json!({"nonce": begun["nonce"], "key": told.keys[0]})).await;
        assert_eq!(done["pgp_fingerprint"], json!(holder.fingerprint));
        let root = holder.opens(done["encoded_token"].as_str().unwrap());
        let lookup = server.as_token(&root, "GET", "/v1/auth/token/lookup-self", Value::Null).await.is(200).json();
        assert_eq!(lookup["data"]["policies"], json!(["root"]));
    }
    server.stop().await;
}
