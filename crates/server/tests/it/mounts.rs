//! Mounts, login methods and the preflight.

use serde_json::{Value, json};

use crate::server::{ROOT, TestServer};

#[tokio::test]
async fn mounts_are_listed_at_the_top_level_too() {
    let server = TestServer::dev().await;
    let body = server.root("GET", "/v1/sys/mounts", Value::Null).await.is(200).json();
    let data = body["data"].as_object().unwrap();
    assert_eq!(data.keys().collect::<Vec<_>>(), ["cubbyhole/", "identity/", "secret/", "sys/"]);
    assert_eq!(body["secret/"], body["data"]["secret/"]);
    let secret = &body["secret/"];
    assert_eq!((&secret["type"], &secret["options"]), (&json!("kv"), &json!({"version": "2"})));
    assert_eq!(secret["config"], json!({"default_lease_ttl": 0, "force_no_cache": false, "max_lease_ttl": 0}));
    assert!(secret["accessor"].as_str().unwrap().starts_with("kv_"));
    assert_eq!(body["data"]["sys/"]["options"], Value::Null);
    let auth = server.root("GET", "/v1/sys/auth", Value::Null).await.is(200).json();
    assert_eq!(auth["data"].as_object().unwrap().keys().collect::<Vec<_>>(), ["token/"]);
    assert_eq!(auth["token/"]["config"]["token_type"], "default-service");
    let one = server.root("GET", "/v1/sys/mounts/secret", Value::Null).await.is(200).json();
    assert_eq!((&one["type"], &one["data"]["type"]), (&json!("kv"), &json!("kv")));
    let none = server.root("GET", "/v1/sys/mounts/nosuch", Value::Null).await;
    assert_eq!(none.errors(400), json!(["No secret engine mount at nosuch/"]));
    let none = server.root("GET", "/v1/sys/auth/nosuch", Value::Null).await;
    assert_eq!(none.errors(400), json!(["No auth engine at nosuch/"]));
    server.root("GET", "/v1/sys/mounts/", Value::Null).await.is(404);
    server.root("LIST", "/v1/sys/mounts", Value::Null).await.is(404);
    server.stop().await;
}

#[tokio::test]
async fn kv_mount_is_made_used_and_removed() {
    let server = TestServer::dev().await;
    let body = json!({"type": "kv", "options": {"version": 2}, "description": "d", "config": {"default_lease_ttl": "1h", "max_lease_ttl": "24h"}});
    server.root("POST", "/v1/sys/mounts/path/to/secret%20engine", body).await.is(204);
    let entry = server.root("GET", "/v1/sys/mounts/path/to/secret%20engine", Value::Null).await.data();
    assert_eq!((&entry["description"], &entry["config"]["max_lease_ttl"]), (&json!("d"), &json!(86400)));
    let data = "/v1/path/to/secret%20engine/data/a";
    server.root("POST", data, json!({"data": {"x": 1}})).await.is(200);
    assert_eq!(server.root("GET", data, Value::Null).await.data()["data"]["x"], 1);
    server.root("DELETE", "/v1/sys/mounts/path/to/secret%20engine", Value::Null).await.is(204);
    server.root("GET", data, Value::Null).await.is(404);
    server.root("DELETE", "/v1/sys/mounts/nosuch", Value::Null).await.is(204);
    server.root("POST", "/v1/sys/mounts/kvx", json!({"type": "kv-v2", "options": null})).await.is(204);
    server.root("POST", "/v1/sys/mounts/pl", json!({"type": "plugin", "plugin_name": "kv-v2"})).await.is(204);
    server.stop().await;
}

#[tokio::test]
async fn unusable_mounts_are_refused() {
    let server = TestServer::dev().await;
    let errors = async |path: &str, body: Value| server.root("POST", path, body).await.errors(400);
    assert_eq!(
        errors("/v1/sys/mounts/secret", json!({"type": "kv-v2"})).await,
        json!(["path is already in use at secret/"])
    );
    assert_eq!(
        errors("/v1/sys/mounts/secret/sub", json!({"type": "kv-v2"})).await,
        json!(["path is already in use at secret/"])
    );
    assert_eq!(errors("/v1/sys/mounts/x", json!({})).await, json!(["backend type must be specified as a string"]));
    assert_eq!(
        errors("/v1/sys/mounts/x", json!({"type": "aws"})).await,
        json!(["plugin not found in the catalog: aws"])
    );
    let third = json!({"type": "kv", "options": {"version": 3}});
    assert!(errors("/v1/sys/mounts/x", third).await[0].as_str().unwrap().contains("version"));
    let generic = json!({"type": "generic", "options": {"version": "1"}});
    assert!(errors("/v1/sys/mounts/x", generic).await[0].as_str().unwrap().contains("version"));
    for (path, message) in [
        ("mounts/sys/x", "cannot mount \"sys/x/\""),
        ("mounts/sys", "cannot mount \"sys/\""),
        ("mounts/auth/x", "cannot mount \"auth/x/\""),
        ("mounts/auth", "cannot mount \"auth/\""),
        ("mounts/cubbyhole/x", "cannot mount \"cubbyhole/x/\""),
    ] {
        assert_eq!(errors(&format!("/v1/sys/{path}"), json!({"type": "kv"})).await, json!([message]));
    }
    assert_eq!(
        errors("/v1/sys/mounts/x", json!({"type": "system"})).await,
        json!(["mount type of \"system\" is not mountable"])
    );
    for config in [
        json!({"default_lease_ttl": "2h", "max_lease_ttl": "1h"}),
        json!({"default_lease_ttl": "769h"}),
        json!({"max_lease_ttl": "-1h"}),
        json!({"default_lease_ttl": "-1h", "max_lease_ttl": "-2h"}),
        json!({"default_lease_ttl": "bad"}),
        json!({"listing_visibility": "bad"}),
        json!({"plugin_version": "v1.0.0"}),
        json!({"passthrough_request_headers": "x".repeat(300)}),
    ] {
        errors("/v1/sys/mounts/x", json!({"type": "kv", "config": config})).await;
    }
    errors("/v1/sys/auth/x", json!({"type": "userpass", "config": {"token_type": "bad"}})).await;
    assert_eq!(
        errors("/v1/sys/auth/token2", json!({"type": "token"})).await,
        json!(["token credential backend cannot be instantiated"])
    );
    for (fixed, message) in [
        ("mounts/sys", "cannot unmount \"sys/\""),
        ("mounts/cubbyhole", "cannot unmount \"cubbyhole/\""),
        ("mounts/identity", "cannot unmount \"identity/\""),
        ("mounts/auth/token", "cannot unmount \"auth/token/\""),
        ("auth/token", "token credential backend cannot be disabled"),
    ] {
        let refused = server.root("DELETE", &format!("/v1/sys/{fixed}"), Value::Null).await;
        assert_eq!(refused.errors(400), json!([message]));
    }
    server.stop().await;
}

#[tokio::test]
async fn preflight_names_the_mount_to_whom_it_concerns() {
    let server = TestServer::dev().await;
    let ask = async |token: &str, path: &str| {
        server.as_token(token, "GET", &format!("/v1/sys/internal/ui/mounts/{path}"), Value::Null).await
    };
    for path in ["secret", "secret/", "secret/foo/bar", "secret/data/x"] {
        let data = ask(ROOT, path).await.data();
        assert_eq!(
            (&data["path"], &data["type"], &data["options"]["version"]),
            (&json!("secret/"), &json!("kv"), &json!("2"))
        );
    }
    assert_eq!(ask(ROOT, "auth/token").await.data()["path"], "token/");
    let token = server.token_with(ROOT, r#"path "secret/data/a/*" { capabilities = ["read"] }"#).await;
    ask(&token, "secret/other").await.is(200);
    for path in ["nosuch", "identity", "sys"] {
        assert_eq!(
            ask(&token, path).await.errors(403),
            json!([format!(
                "preflight capability check returned 403, please ensure client's policies grant access to path \"{path}/\""
            )])
        );
    }
    for path in ["nosuch", "auth", "auth/nosuch"] {
        ask(ROOT, path).await.is(403);
    }
    for (path, kind) in [("sys/x", "system"), ("identity", "identity"), ("cubbyhole/x", "cubbyhole")] {
        let data = ask(ROOT, path).await.data();
        assert_eq!((&data["type"], data.get("deprecation_status")), (&json!(kind), None));
    }
    server.stop().await;
}

#[tokio::test]
async fn mount_path_may_hold_what_patterns_are_made_of() {
    let server = TestServer::dev().await;
    for path in ["a*", "a%2Bb", "%2B", "x/%2B/y", "*/y"] {
        server.root("POST", &format!("/v1/sys/mounts/{path}"), json!({"type": "kv"})).await.is(204);
        server.root("POST", &format!("/v1/{path}/k"), json!({"v": path})).await.is(204);
    }
    for path in ["a*", "a%2Bb", "%2B", "x/%2B/y", "*/y"] {
        assert_eq!(server.root("GET", &format!("/v1/{path}/k"), Value::Null).await.data()["v"], path);
    }
    // A policy's pattern in the same letters means what patterns mean.
    let token = server.token_with(ROOT, r#"path "a*" { capabilities = ["read"] }"#).await;
    for path in ["/v1/a*/k", "/v1/a%2Bb/k"] {
        server.as_token(&token, "GET", path, Value::Null).await.is(200);
    }
    server.root("POST", "/v1/sys/remount", json!({"from": "a*", "to": "b+"})).await.is(200);
    assert_eq!(server.root("GET", "/v1/b%2B/k", Value::Null).await.data()["v"], "a*");
    server.stop().await;
}

#[tokio::test]
async fn negative_lifetime_is_kept_and_gives_tokens_that_are_over() {
    let server = TestServer::dev().await;
    let config = json!({"type": "kv", "config": {"default_lease_ttl": "-1h"}});
    server.root("POST", "/v1/sys/mounts/neg", config).await.is(204);
    let tuned = async || server.root("GET", "/v1/sys/mounts/neg/tune", Value::Null).await.data();
    assert_eq!(tuned().await["default_lease_ttl"], -3600);
    server.root("POST", "/v1/neg/x", json!({"a": 1})).await.is(204);
    assert_eq!(server.root("GET", "/v1/neg/x", Value::Null).await.is(200).json()["lease_duration"], -3600);
    server.root("POST", "/v1/sys/mounts/neg/tune", json!({"max_lease_ttl": -7200})).await.is(400);
    server.root("POST", "/v1/sys/mounts/neg/tune", json!({"max_lease_ttl": -60})).await.is(204);
    assert_eq!(tuned().await["max_lease_ttl"], -60);

    let method = json!({"type": "userpass", "config": {"default_lease_ttl": -60}});
    server.root("POST", "/v1/sys/auth/up", method).await.is(204);
    server.root("POST", "/v1/auth/up/users/ada", json!({"password": "pw"})).await.is(204);
    let login = async || server.raw("POST", "/v1/auth/up/login/ada", None, r#"{"password":"pw"}"#).await;
    let over = login().await.is(200).json();
    assert_eq!(over["auth"]["lease_duration"], -60);
    let token = over["auth"]["client_token"].as_str().unwrap();
    server.as_token(token, "GET", "/v1/auth/token/lookup-self", Value::Null).await.is(403);
    let accessor = json!({"accessor": over["auth"]["accessor"]});
    server.root("POST", "/v1/auth/token/lookup-accessor", accessor).await.is(400);
    server.root("POST", "/v1/auth/up/users/ada", json!({"token_ttl": 100})).await.is(204);
    let live = login().await.is(200).json();
    assert_eq!(live["auth"]["lease_duration"], 100);
    server.root("POST", "/v1/sys/auth/up/tune", json!({"max_lease_ttl": -60})).await.is(204);
    assert_eq!(login().await.errors(400), json!(["max TTL must be greater than zero"]));
    let token = live["auth"]["client_token"].as_str().unwrap();
    server.as_token(token, "POST", "/v1/auth/token/renew-self", Value::Null).await.is(400);
    server.stop().await;
}
