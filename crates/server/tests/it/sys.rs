//! What else lies below `sys/`: keys, the log as a device, capabilities, policies, the machine.

use coffer_server::{
    Config, Overrides,
    config::{Dev, Host},
};
use serde_json::{Value, json};

use crate::server::{ROOT, TestServer};

#[tokio::test]
async fn key_status_follows_rotation_which_the_configuration_bounds() {
    let server = TestServer::dev().await;
    let status = async || server.root("GET", "/v1/sys/key-status", Value::Null).await.is(200).json();
    let first = status().await;
    assert_eq!((&first["term"], &first["data"]["term"]), (&json!(1), &json!(1)));
    assert!(first["data"]["encryptions"].as_u64().unwrap() > 0);
    assert!(first["install_time"].as_str().unwrap().ends_with('Z'));
    for (path, term) in [("rotate", 2), ("rotate/keyring", 3)] {
        server.root("POST", &format!("/v1/sys/{path}"), json!({})).await.is(204);
        assert_eq!(status().await["data"]["term"], term);
    }
    let config = server.root("GET", "/v1/sys/rotate/config", Value::Null).await.is(200).json();
    assert_eq!(config["data"], json!({"enabled": true, "interval": "8760h0m0s", "max_operations": 2_080_374_784}));
    assert_eq!(config.as_object().unwrap().len(), 8);
    let refused = server.root("POST", "/v1/sys/rotate/config", json!({"enabled": false})).await.errors(400);
    assert!(refused[0].as_str().unwrap().contains("limits.term_max_age"));
    let token = server.token_with(ROOT, r#"path "sys/*" { capabilities = ["read", "update"] }"#).await;
    for (method, path, status) in [
        ("GET", "key-status", 200),
        ("GET", "rotate/config", 200),
        ("POST", "rotate", 403),
        ("POST", "rotate/keyring", 403),
        ("POST", "key-status", 405),
        ("GET", "rotate", 403),
    ] {
        server.as_token(&token, method, &format!("/v1/sys/{path}"), json!({})).await.is(status);
    }
    server.stop().await;
}

#[tokio::test]
async fn term_ends_at_the_age_that_the_configuration_says() {
    let server = TestServer::with(|overrides, dir| {
        let file = dir.join("coffer.toml");
        std::fs::write(&file, "[limits]\nterm_max_age = 5400\n").unwrap();
        let host = Host { is_root: false, home: Some(dir.to_owned()), temp: dir.to_owned() };
        let config = Config::load(Some(&file), Overrides::default(), &host).unwrap();
        overrides.limits.term_max_age = Some(config.limits.term_max_age);
        overrides.dev = Some(Dev { root_token: Some(ROOT.into()) });
    })
    .await;
    let config = server.root("GET", "/v1/sys/rotate/config", Value::Null).await.data();
    assert_eq!(config["interval"], json!("1h30m0s"));
    server.stop().await;
}

#[tokio::test]
async fn log_is_the_one_audit_device_and_cannot_be_switched_off() {
    let server = TestServer::dev().await;
    let list = server.root("GET", "/v1/sys/audit", Value::Null).await.is(200).json();
    assert_eq!(list["data"].as_object().unwrap().keys().collect::<Vec<_>>(), ["log/"]);
    assert_eq!(list["log/"], list["data"]["log/"]);
    assert_eq!((&list["log/"]["path"], &list["log/"]["options"]), (&json!("log/"), &json!({})));
    for method in ["PUT", "POST"] {
        let refused = server.root(method, "/v1/sys/audit/file", json!({"type": "file"})).await.errors(400);
        let text = refused[0].as_str().unwrap();
        assert!(text.starts_with("cannot enable audit device via API;") && text.contains("configuration"), "{text}");
    }
    let refused = server.root("DELETE", "/v1/sys/audit/log", Value::Null).await.errors(400);
    assert!(refused[0].as_str().unwrap().contains("always on"));
    server.root("DELETE", "/v1/sys/audit/file", Value::Null).await.is(204);
    server.root("GET", "/v1/sys/audit/file", Value::Null).await.is(405);
    let token = server.token_with(ROOT, r#"path "sys/audit*" { capabilities = ["read", "update", "delete"] }"#).await;
    for (method, path) in [("GET", "audit"), ("POST", "audit/file"), ("DELETE", "audit/log"), ("DELETE", "audit/x")] {
        server.as_token(&token, method, &format!("/v1/sys/{path}"), json!({})).await.is(403);
    }
    server.stop().await;
}

#[tokio::test]
async fn audit_hash_is_the_one_that_the_log_holds_of_a_value() {
    let server = TestServer::dev().await;
    let value = r#"{"password":"hunter2"}"#;
    server.raw("POST", "/v1/secret/data/a", Some(ROOT), &format!(r#"{{"data":{value}}}"#)).await.is(200);
    let reply = server.root("POST", "/v1/sys/audit-hash/log", json!({"input": value})).await.is(200).json();
    let hash = reply["hash"].as_str().unwrap();
    assert!(hash.starts_with("hmac-sha256:") && hash.len() == 12 + 64);
    let found = server.root("GET", "/api/v1/audit/entries?action=secret.write", Value::Null).await.is(200).json();
    let logged = &found["entries"][0]["entry"]["res"];
    assert_eq!((&logged["hmac"], &logged["hmac_kid"]), (&reply["data"]["hmac"], &reply["data"]["hmac_kid"]));
    let other = server.root("POST", "/v1/sys/audit-hash/log", json!({"input": "x"})).await.is(200).json();
    assert_ne!(other["hash"], reply["hash"]);
    for (path, body, message) in [
        ("file", json!({"input": "x"}), "unknown audit backend \"file/\""),
        ("log", json!({}), "the \"input\" parameter is empty"),
    ] {
        let refused = server.root("POST", &format!("/v1/sys/audit-hash/{path}"), body).await;
        assert_eq!(refused.errors(400), json!([message]));
    }
    server.root("GET", "/v1/sys/audit-hash/log", Value::Null).await.is(405);
    server.stop().await;
}

#[tokio::test]
async fn capabilities_are_those_of_whom_is_asked_about() {
    let server = TestServer::dev().await;
    let policy = r#"path "a/*" { capabilities = ["read", "list", "sudo"] } path "b" { capabilities = ["deny"] }
        path "sys/capabilities*" { capabilities = ["update"] }"#;
    let token = server.token_with(ROOT, policy).await;
    let lookup = server.root("POST", "/v1/auth/token/lookup", json!({"token": token})).await.data();
    let accessor = lookup["accessor"].as_str().unwrap().to_owned();
    let ask =
        async |who: &str, path: &str, body: Value| server.as_token(who, "POST", &format!("/v1/sys/{path}"), body).await;
    let all = json!({"a/x": ["list", "read", "sudo"], "b": ["deny"], "zz": ["deny"]});
    let paths = json!(["a/x", "b", "zz"]);
    for (who, path, body) in [
        (token.as_str(), "capabilities-self", json!({"paths": paths})),
        (ROOT, "capabilities", json!({"paths": paths, "token": token})),
        (ROOT, "capabilities-accessor", json!({"paths": paths, "accessor": accessor})),
    ] {
        let reply = ask(who, path, body).await.is(200).json();
        assert_eq!((&reply["data"], &reply["a/x"]), (&all, &all["a/x"]), "{path}");
    }
    let one = ask(&token, "capabilities-self", json!({"path": "a/x", "token": token})).await.data();
    assert_eq!(one, json!({"a/x": all["a/x"], "capabilities": all["a/x"]}));
    let twice = ask(&token, "capabilities-self", json!({"paths": ["a/x", "a/x"]})).await.data();
    assert_eq!(twice, json!({"a/x": all["a/x"]}));
    assert_eq!(ask(&token, "capabilities", json!({"paths": "x", "token": ROOT})).await.data()["x"], json!(["root"]));
    for (path, body, message) in [
        ("capabilities-self", json!({"paths": []}), "paths must be supplied"),
        ("capabilities", json!({"token": token}), "paths must be supplied"),
        ("capabilities", json!({"paths": ["a"]}), "1 error occurred:\n\t* no token found\n\n"),
        ("capabilities", json!({"paths": ["a"], "token": "bad"}), "1 error occurred:\n\t* invalid token\n\n"),
        ("capabilities-accessor", json!({"paths": ["a"]}), "missing accessor"),
        (
            "capabilities-accessor",
            json!({"paths": ["a"], "accessor": "bad"}),
            "1 error occurred:\n\t* invalid accessor\n\n",
        ),
    ] {
        assert_eq!(ask(&token, path, body).await.errors(400), json!([message]));
    }
    for path in ["capabilities", "capabilities-self", "capabilities-accessor"] {
        server.root("GET", &format!("/v1/sys/{path}"), Value::Null).await.is(405);
    }
    server.root("POST", "/v1/sys/capabilities-nosuch", json!({})).await.is(404);
    let stranger = server.token_with(ROOT, r#"path "a" { capabilities = ["read"] }"#).await;
    ask(&stranger, "capabilities", json!({"paths": ["a"], "token": token})).await.is(403);
    // A token that was revoked is nobody's.
    server.root("POST", "/v1/auth/token/revoke", json!({"token": token})).await.is(204);
    ask(ROOT, "capabilities", json!({"paths": ["a"], "token": token})).await.is(400);
    ask(ROOT, "capabilities-accessor", json!({"paths": ["a"], "accessor": accessor})).await.is(400);
    server.stop().await;
}

#[tokio::test]
async fn both_families_of_policies_answer_in_their_own_way() {
    let server = TestServer::dev().await;
    let text = r#"path "x" { capabilities=["read"] }"#;
    let put = async |path: &str, body: Value| server.root("PUT", &format!("/v1/sys/{path}"), body).await;
    let get = async |path: &str| server.root("GET", &format!("/v1/sys/{path}"), Value::Null).await;
    put("policies/acl/MiXed", json!({"policy": text})).await.is(204);
    assert_eq!(get("policies/acl/MIXED").await.data(), json!({"name": "mixed", "policy": text}));
    let legacy = get("policy/mixed").await.is(200).json();
    assert_eq!((&legacy["data"], &legacy["rules"]), (&json!({"name": "mixed", "rules": text}), &json!(text)));
    put("policy/b64", json!({"policy": "cGF0aCAieCIgeyBjYXBhYmlsaXRpZXM9WyJyZWFkIl0gfQ=="})).await.is(204);
    assert_eq!(get("policy/b64").await.data()["rules"], text);
    put("policy/json", json!({"policy": r#"{"path":{"sys":{"policy":"deny"}}}"#})).await.is(204);
    put("policies/acl/zz/below", json!({"policy": text})).await.is(204);
    let old = put("policy/old", json!({"rules": text})).await.is(200).json();
    assert_eq!(
        (&old["data"], &old["warnings"]),
        (&Value::Null, &json!(["'rules' is deprecated, please use 'policy' instead"]))
    );
    let names = json!([
        "administrator",
        "auditor",
        "b64",
        "default",
        "json",
        "mixed",
        "old",
        "operator",
        "service",
        "zz/below",
        "root"
    ]);
    assert_eq!(server.root("LIST", "/v1/sys/policies/acl", Value::Null).await.data(), json!({"keys": names}));
    for (method, path) in [("GET", "policy"), ("GET", "policy/"), ("LIST", "policy")] {
        let list = server.root(method, &format!("/v1/sys/{path}"), Value::Null).await.is(200).json();
        assert_eq!((&list["keys"], &list["data"]["policies"]), (&names, &names), "{method} {path}");
    }
    assert_eq!(server.root("LIST", "/v1/sys/policies/acl/zz", Value::Null).await.data(), json!({"keys": ["zz/below"]}));
    assert_eq!(server.root("LIST", "/v1/sys/policies/acl/mixed", Value::Null).await.errors(404), json!([]));
    // Pages are parts of the same list: what is not below the name is none of them, and `root` is on the last.
    let mut paged = Vec::new();
    loop {
        let after = paged.last().map_or("", String::as_str);
        let path = format!("/v1/sys/policies/acl?list=true&limit=2&after={}", after.replace('/', "%2F"));
        let page = server.root("GET", &path, Value::Null).await;
        if page.status == 404 {
            break;
        }
        let page: Vec<String> = serde_json::from_value(page.data()["keys"].take()).unwrap();
        assert!((1..=2).contains(&page.len()), "{page:?}");
        paged.extend(page);
    }
    assert_eq!(json!(paged), names);
    let below = server.root("GET", "/v1/sys/policies/acl/zz?list=true&limit=1", Value::Null).await;
    assert_eq!(below.data(), json!({"keys": ["zz/below"]}));
    assert_eq!(get("policies/acl/root").await.data(), json!({"name": "root", "policy": ""}));
    assert_eq!(get("policies/acl/nosuch").await.errors(404), json!([]));
    let missing = "'policy' parameter not supplied or empty";
    for (path, body, message) in [
        ("policies/acl/e", json!({}), missing),
        ("policies/acl/e", json!({"policy": ""}), missing),
        ("policies/acl/e", json!({"policy": null}), missing),
        ("policies/acl/e", json!({"rules": text}), missing),
        ("policies/acl/root", json!({"policy": text}), "cannot update \"root\" policy"),
        ("policies/acl/response-wrapping", json!({"policy": text}), "cannot update \"response-wrapping\" policy"),
    ] {
        assert_eq!(put(path, body).await.errors(400), json!([message]));
    }
    for bad in [
        "junk {",
        r#"path "x" { bogus=1 }"#,
        r#"foo "x" { capabilities=["read"] }"#,
        r#"path "x+*" { capabilities=["read"] }"#,
    ] {
        let refused = put("policy/bad", json!({"policy": bad})).await.errors(400);
        assert!(refused[0].as_str().unwrap().starts_with("failed to parse policy: "), "{refused}");
    }
    for (name, message) in [("root", "cannot delete \"root\" policy"), ("default", "cannot delete default policy")] {
        let refused = server.root("DELETE", &format!("/v1/sys/policies/acl/{name}"), Value::Null).await;
        assert_eq!(refused.errors(400), json!([message]));
    }
    for name in ["mixed", "nosuch"] {
        server.root("DELETE", &format!("/v1/sys/policy/{name}"), Value::Null).await.is(204);
    }
    for (method, path, status) in [
        ("GET", "policies/acl", 405),
        ("POST", "policies/acl", 405),
        ("DELETE", "policies/acl", 405),
        ("POST", "policy", 405),
        ("GET", "policies/egp", 404),
        ("GET", "policies/password/x", 404),
        ("GET", "policyx", 404),
    ] {
        server.root(method, &format!("/v1/sys/{path}"), json!({})).await.is(status);
    }
    server.stop().await;
}

#[tokio::test]
async fn machine_and_releases_are_told_to_whom_may_ask() {
    let server = TestServer::dev().await;
    let info = server.root("GET", "/v1/sys/host-info", Value::Null).await.data();
    assert_eq!(info["host"]["os"], "linux");
    assert!(info["memory"]["total"].as_u64().unwrap() > info["memory"]["free"].as_u64().unwrap());
    assert!(info["disk"][0]["total"].as_u64().unwrap() > 0 && info["timestamp"].is_string());
    for (method, path) in [("LIST", "version-history"), ("GET", "version-history?list=true")] {
        let history = server.root(method, &format!("/v1/sys/{path}"), Value::Null).await.data();
        let version = history["keys"][0].as_str().unwrap();
        assert_eq!(version, env!("CARGO_PKG_VERSION"));
        assert_eq!(history["key_info"][version]["previous_version"], Value::Null);
    }
    let token = server.token_with(ROOT, r#"path "sys/mounts" { capabilities = ["read"] }"#).await;
    for (method, path) in [("GET", "host-info"), ("LIST", "version-history")] {
        server.as_token(&token, method, &format!("/v1/sys/{path}"), Value::Null).await.is(403);
    }
    for (method, path) in [("POST", "host-info"), ("GET", "version-history"), ("LIST", "host-info")] {
        server.root(method, &format!("/v1/sys/{path}"), Value::Null).await.is(405);
    }
    server.stop().await;
}

#[tokio::test]
async fn tokens_of_a_login_method_end_with_it() {
    let server = TestServer::dev().await;
    let enable = async || {
        server.root("POST", "/v1/sys/auth/up", json!({"type": "userpass"})).await.is(204);
        server.root("POST", "/v1/auth/up/users/ada", json!({"password": "pw", "token_policies": "p"})).await.is(204);
    };
    let policy = r#"path "auth/token/*" { capabilities = ["update"] }"#;
    server.root("PUT", "/v1/sys/policies/acl/p", json!({"policy": policy})).await.is(204);
    let login = async |mount: &str, kind: &str| {
        let user = format!("/v1/auth/{mount}/users/ada");
        server.root("POST", &user, json!({"token_type": kind})).await.is(204);
        let path = format!("/v1/auth/{mount}/login/ada");
        let auth = server.raw("POST", &path, None, r#"{"password": "pw"}"#).await.is(200).json();
        auth["auth"]["client_token"].as_str().unwrap().to_owned()
    };
    let lives = async |token: &str| {
        server.as_token(token, "GET", "/v1/auth/token/lookup-self", Value::Null).await.status == 200
    };
    enable().await;
    let (service, batch) = (login("up", "service").await, login("up", "batch").await);
    let child =
        server.as_token(&service, "POST", "/v1/auth/token/create", json!({"policies": ["p", "default"]})).await.is(200);
    let child = child.json()["auth"]["client_token"].as_str().unwrap().to_owned();
    let lost = [service.as_str(), batch.as_str(), child.as_str()];
    for token in lost {
        assert!(lives(token).await);
    }
    server.root("DELETE", "/v1/sys/auth/up", Value::Null).await.is(204);
    for token in lost {
        assert!(!lives(token).await);
    }
    // Nor does another method at the same path bring them back.
    enable().await;
    for token in lost {
        assert!(!lives(token).await);
    }
    let stays = login("up", "service").await;
    assert!(lives(&stays).await);
    server.root("POST", "/v1/sys/remount", json!({"from": "auth/up", "to": "auth/moved"})).await.is(200);
    assert!(!lives(&stays).await);
    let anew = login("moved", "service").await;
    assert!(lives(&anew).await);
    server.stop().await;
}
