//! Tuning and moving mounts, and who sees them.

use serde_json::{Value, json};

use crate::server::{ROOT, TestServer};

#[tokio::test]
async fn tuning_is_stored_shown_and_resolved() {
    let server = TestServer::dev().await;
    let tuned = async |path: &str| server.root("GET", &format!("/v1/sys/{path}/tune"), Value::Null).await.data();
    let tune = async |path: &str, body: Value| server.root("POST", &format!("/v1/sys/{path}/tune"), body).await;
    assert_eq!(
        tuned("mounts/secret").await,
        json!({"default_lease_ttl": 2_764_800, "description": "key/value secret storage", "force_no_cache": false,
            "max_lease_ttl": 2_764_800, "options": {"version": "2"}})
    );
    server
        .root(
            "POST",
            "/v1/sys/mounts/kv2",
            json!({"type": "kv", "options": {"version": "2"}, "description": "d",
            "config": {"default_lease_ttl": "1h", "max_lease_ttl": "24h", "force_no_cache": true}}),
        )
        .await
        .is(204);
    tune(
        "mounts/kv2",
        json!({"default_lease_ttl": "30m", "description": "new", "listing_visibility": "unauth",
        "audit_non_hmac_request_keys": ["a"], "audit_non_hmac_response_keys": "b,c",
        "passthrough_request_headers": "X-A", "allowed_response_headers": ["X-B"]}),
    )
    .await
    .is(204);
    let whole = server.root("GET", "/v1/sys/mounts/kv2/tune", Value::Null).await.is(200).json();
    assert_eq!(
        whole["data"],
        json!({"default_lease_ttl": 1800, "description": "new", "force_no_cache": true, "max_lease_ttl": 86400,
            "options": {"version": "2"}, "listing_visibility": "unauth", "audit_non_hmac_request_keys": ["a"],
            "audit_non_hmac_response_keys": ["b", "c"], "passthrough_request_headers": ["X-A"],
            "allowed_response_headers": ["X-B"]})
    );
    assert_eq!(whole["max_lease_ttl"], 86400);
    let entry = server.root("GET", "/v1/sys/mounts/kv2", Value::Null).await.data();
    assert_eq!(
        (&entry["config"]["default_lease_ttl"], &entry["config"]["listing_visibility"]),
        (&json!(1800), &json!("unauth"))
    );
    for (body, message) in [
        (
            json!({"default_lease_ttl": "999h", "max_lease_ttl": "1h"}),
            "backend max lease TTL of 3600 would be less than backend default lease TTL of 3596400",
        ),
        (json!({"listing_visibility": "foo"}), "invalid listing_visibility foo"),
        (json!({"token_type": "batch"}), "'token_type' can only be modified on auth mounts"),
        (json!({"options": {"version": "1"}}), "cannot downgrade mount from version 2"),
        (json!({"options": {"version": 3}}), "invalid version provided: 3"),
    ] {
        assert_eq!(tune("mounts/kv2", body).await.errors(400), json!([message]));
    }
    // What is refused changes nothing, and nothing is what null, absent and no body change.
    for body in [json!({"options": null, "description": null, "max_lease_ttl": null}), json!({}), Value::Null] {
        tune("mounts/kv2", body).await.is(204);
    }
    assert_eq!(tuned("mounts/kv2").await, whole["data"]);
    tune(
        "mounts/kv2",
        json!({"default_lease_ttl": "system", "max_lease_ttl": "0s", "listing_visibility": "",
        "audit_non_hmac_request_keys": [], "audit_non_hmac_response_keys": "", "passthrough_request_headers": [],
        "allowed_response_headers": "", "options": {"foo": "bar"}}),
    )
    .await
    .is(204);
    assert_eq!(
        tuned("mounts/kv2").await,
        json!({"default_lease_ttl": 2_764_800, "description": "new", "force_no_cache": true,
            "max_lease_ttl": 2_764_800, "options": {"foo": "bar", "version": "2"}})
    );
    let unknown = server.root("GET", "/v1/sys/mounts/nosuch/tune", Value::Null).await;
    assert_eq!(unknown.errors(400), json!(["cannot fetch sysview for path \"nosuch/\""]));
    assert_eq!(
        tune("auth/nosuch", json!({"description": "x"})).await.errors(400),
        json!(["tune of path \"auth/nosuch/\" failed: no mount entry found"])
    );
    assert_eq!(
        tune("mounts/cubbyhole", json!({"default_lease_ttl": "1h"})).await.errors(400),
        json!(["cannot tune parameter default_lease_ttl of cubbyhole/"])
    );
    for method in ["DELETE", "LIST", "PATCH"] {
        server.root(method, "/v1/sys/mounts/kv2/tune", Value::Null).await.is(405);
    }
    server.stop().await;
}

#[tokio::test]
async fn login_method_is_tuned_by_either_path_and_sudo_guards_its_own() {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/sys/auth/up", json!({"type": "userpass"})).await.is(204);
    let body = json!({"default_lease_ttl": "1h", "token_type": "default-batch", "listing_visibility": "unauth"});
    server.root("POST", "/v1/sys/auth/up/tune", body).await.is(204);
    let one = server.root("GET", "/v1/sys/auth/up/tune", Value::Null).await.data();
    assert_eq!(
        one,
        json!({"default_lease_ttl": 3600, "description": "", "force_no_cache": false, "listing_visibility": "unauth",
            "max_lease_ttl": 2_764_800, "token_type": "default-batch"})
    );
    assert_eq!(server.root("GET", "/v1/sys/mounts/auth/up/tune", Value::Null).await.data(), one);
    assert_eq!(server.root("GET", "/v1/sys/mounts/auth/up", Value::Null).await.data()["type"], "userpass");
    let token = server.token_with(ROOT, r#"path "sys/*" { capabilities = ["read", "update", "list"] }"#).await;
    for (method, path) in [("GET", "auth/up/tune"), ("POST", "auth/up/tune"), ("GET", "auth/up"), ("POST", "remount")] {
        let refused = server.as_token(&token, method, &format!("/v1/sys/{path}"), json!({})).await;
        assert!(refused.errors(403)[0].as_str().unwrap().contains("sudo"), "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn lifetimes_and_token_type_of_a_login_method_bind_its_tokens() {
    let server = TestServer::dev().await;
    let login = async |mount: &str, user: Value| {
        server.root("POST", &format!("/v1/auth/{mount}/users/ada"), user).await.is(204);
        let body = json!({"password": "pw"});
        server.raw("POST", &format!("/v1/auth/{mount}/login/ada"), None, &body.to_string()).await.is(200).json()
    };
    let with = |own: Value| {
        let mut user = json!({"password": "pw"});
        user.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
        user
    };
    let config = json!({"token_type": "default-batch", "max_lease_ttl": "2h"});
    server.root("POST", "/v1/sys/auth/short", json!({"type": "userpass", "config": config})).await.is(204);
    let auth = &login("short", with(json!({}))).await["auth"];
    assert_eq!((&auth["lease_duration"], &auth["token_type"]), (&json!(7200), &json!("batch")));
    let auth = &login("short", with(json!({"token_ttl": "3h", "token_type": "service"}))).await["auth"];
    assert_eq!((&auth["lease_duration"], &auth["token_type"]), (&json!(7200), &json!("service")));
    let config = json!({"default_lease_ttl": "5000h", "max_lease_ttl": "9000h"});
    server.root("POST", "/v1/sys/auth/long", json!({"type": "userpass", "config": config})).await.is(204);
    assert_eq!(login("long", with(json!({}))).await["auth"]["lease_duration"], 18_000_000);
    let capped = login("long", with(json!({"token_ttl": "9500h", "token_max_ttl": "9700h"}))).await;
    assert_eq!(capped["auth"]["lease_duration"], 32_400_000);
    // The method of tokens binds those that are created.
    server
        .root("POST", "/v1/sys/auth/token/tune", json!({"default_lease_ttl": "3h", "max_lease_ttl": "5h"}))
        .await
        .is(204);
    let create = async |body: Value| server.root("POST", "/v1/auth/token/create", body).await.is(200).json();
    assert_eq!(create(json!({"policies": ["default"]})).await["auth"]["lease_duration"], 10_800);
    let capped = create(json!({"policies": ["default"], "ttl": "10h"})).await;
    assert_eq!(capped["auth"]["lease_duration"], 18_000);
    assert!(capped["warnings"][0].as_str().unwrap().contains("capped"));
    server.root("POST", "/v1/sys/auth/token/tune", json!({"token_type": "batch"})).await.is(400);
    server.stop().await;
}

#[tokio::test]
async fn moved_mount_keeps_its_data_and_policies_keep_their_paths() {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/sys/mounts/old", json!({"type": "kv-v2"})).await.is(204);
    server.root("POST", "/v1/old/data/a", json!({"data": {"x": 1}})).await.is(200);
    let before = server.root("GET", "/v1/sys/mounts/old", Value::Null).await.data();
    let token = server.token_with(ROOT, r#"path "old/*" { capabilities = ["read"] }"#).await;
    server.as_token(&token, "GET", "/v1/old/data/a", Value::Null).await.is(200);
    let reply =
        server.root("POST", "/v1/sys/remount", json!({"from": "old", "to": "/new/place/"})).await.is(200).json();
    let id = reply["migration_id"].as_str().unwrap().to_owned();
    assert_eq!(reply["data"]["migration_id"], reply["migration_id"]);
    assert_eq!(reply["warnings"].as_array().unwrap().len(), 1);
    let status = server.root("GET", &format!("/v1/sys/remount/status/{id}"), Value::Null).await.data();
    assert_eq!(
        status,
        json!({"migration_id": id, "migration_info":
            {"source_mount": "old/", "target_mount": "new/place/", "status": "success"}})
    );
    assert_eq!(server.root("GET", "/v1/new/place/data/a", Value::Null).await.data()["data"]["x"], 1);
    server.root("GET", "/v1/old/data/a", Value::Null).await.is(404);
    assert_eq!(server.root("GET", "/v1/sys/mounts/new/place", Value::Null).await.data(), before);
    server.as_token(&token, "GET", "/v1/new/place/data/a", Value::Null).await.is(403);
    assert_eq!(server.root("GET", "/v1/sys/remount/status/nosuch", Value::Null).await.errors(404), json!([]));
    server.root("GET", "/v1/sys/remount", Value::Null).await.is(405);
    server.stop().await;
}

#[tokio::test]
async fn move_that_cannot_be_is_refused() {
    let server = TestServer::dev().await;
    for (kind, path) in [("mounts", "r2"), ("mounts", "r3")] {
        server.root("POST", &format!("/v1/sys/{kind}/{path}"), json!({"type": "kv"})).await.is(204);
    }
    server.root("POST", "/v1/sys/auth/up", json!({"type": "userpass"})).await.is(204);
    for (from, to, message) in [
        ("nosuch", "r4", "no matching mount at \"nosuch/\""),
        ("r3", "r2", "path already in use at \"r2/\""),
        ("r3", "r2/sub", "path already in use at \"r2/\""),
        ("r3", "r3", "path already in use at \"r3/\""),
        ("sys", "r4", "cannot remount \"sys/\""),
        ("cubbyhole", "r4", "cannot remount \"cubbyhole/\""),
        ("auth/token", "auth/t2", "cannot remount \"auth/token/\""),
        ("r3", "sys/x", "cannot remount to destination sys/x/"),
        ("r3", "auth/x", "cannot remount to destination auth/x/"),
        ("auth/up", "up", "cannot remount auth mount to non-auth mount \"up/\""),
        ("auth/up", "auth/token", "cannot remount to destination \"auth/token/\""),
        (" r3", "r5", "'from' path cannot contain trailing whitespace"),
        ("", "r5", "both 'from' and 'to' path must be specified as a string"),
    ] {
        let refused = server.root("POST", "/v1/sys/remount", json!({"from": from, "to": to})).await;
        assert_eq!(refused.errors(400), json!([message]), "{from} {to}");
    }
    for to in ["a//b", "../b"] {
        server.root("POST", "/v1/sys/remount", json!({"from": "r3", "to": to})).await.is(400);
    }
    server.root("GET", "/v1/sys/mounts/r3", Value::Null).await.is(200);
    server.stop().await;
}

#[tokio::test]
async fn mounts_are_listed_to_whom_they_concern() {
    let server = TestServer::dev().await;
    let path = "/v1/sys/internal/ui/mounts";
    let nothing = server.raw("GET", path, None, "").await.data();
    assert_eq!(nothing, json!({"auth": {}, "secret": {}}));
    let public = json!({"type": "kv-v2", "description": "new", "config": {"listing_visibility": "unauth"}});
    server.root("POST", "/v1/sys/mounts/public", public).await.is(204);
    server.root("POST", "/v1/sys/auth/up", json!({"type": "userpass"})).await.is(204);
    server.root("POST", "/v1/sys/auth/up/tune", json!({"listing_visibility": "unauth"})).await.is(204);
    let shown = server.raw("GET", path, None, "").await.data();
    assert_eq!(
        shown,
        json!({"auth": {"up/": {"description": "", "options": {}, "type": "userpass"}},
            "secret": {"public/": {"description": "new", "options": {"version": "2"}, "type": "kv"}}})
    );
    assert_eq!(server.raw("GET", path, Some("hvs.nosuch"), "").await.errors(403), json!(["permission denied"]));
    let all = server.root("GET", path, Value::Null).await.data();
    let names = |of: &Value, family: &str| of[family].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&all, "secret"), ["cubbyhole/", "identity/", "public/", "secret/", "sys/"]);
    assert_eq!(names(&all, "auth"), ["token/", "up/"]);
    assert_eq!(all["secret"]["secret/"]["config"]["max_lease_ttl"], 0);
    let token = server.token_with(ROOT, r#"path "secret/data/a" { capabilities = ["read"] }"#).await;
    let some = server.as_token(&token, "GET", path, Value::Null).await.data();
    assert_eq!(
        (names(&some, "secret"), names(&some, "auth")),
        (vec!["public/".into(), "secret/".into()], vec!["up/".to_owned()])
    );
    server.root("POST", path, json!({})).await.is(405);
    // Without a token there is nothing else to be asked.
    server.raw("GET", &format!("{path}/public"), None, "").await.is(403);
    server.raw("POST", path, None, "{}").await.is(403);
    server.stop().await;
}

#[tokio::test]
async fn resultant_acl_shows_what_policies_grant() {
    let server = TestServer::dev().await;
    let path = "/v1/sys/internal/ui/resultant-acl";
    assert_eq!(server.root("GET", path, Value::Null).await.data(), json!({"root": true}));
    let policy = r#"path "a/*" { capabilities = ["read", "list"] } path "b/+/c" { capabilities = ["update"] }
        path "c" { capabilities = ["deny"] } path "d+" { capabilities = ["create"] }
        path "sys/internal/ui/resultant-acl" { capabilities = ["read"] }"#;
    let token = server.token_with(ROOT, policy).await;
    assert_eq!(
        server.as_token(&token, "GET", path, Value::Null).await.data(),
        json!({"root": false, "glob_paths": {"a/": {"capabilities": ["list", "read"]}},
            "exact_paths": {"c": {"capabilities": ["deny"]}, "d+": {"capabilities": ["create"]},
                "sys/internal/ui/resultant-acl": {"capabilities": ["read"]}}})
    );
    assert_eq!(server.as_token(&token, "GET", "/v1/sys/internal/ui/namespaces", Value::Null).await.data(), json!({}));
    let other = server.token_with(ROOT, r#"path "a" { capabilities = ["read"] }"#).await;
    server.as_token(&other, "GET", path, Value::Null).await.is(403);
    server.stop().await;
}
