//! KV without versions, and how it becomes versioned.

use serde_json::{Value, json};

use crate::server::{ROOT, TestServer};

async fn mounted() -> TestServer {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/sys/mounts/kvone", json!({"type": "kv", "options": {"version": "1"}})).await.is(204);
    server
}

#[tokio::test]
async fn body_is_the_value_and_names_its_lifetime() {
    let server = mounted().await;
    server.root("POST", "/v1/kvone/a", json!({"x": "1", "ttl": "1h"})).await.is(204);
    let read = server.root("GET", "/v1/kvone/a", Value::Null).await.is(200).json();
    assert_eq!((&read["data"], &read["lease_duration"]), (&json!({"x": "1", "ttl": "1h"}), &json!(3600)));
    assert_eq!((&read["renewable"], &read["lease_id"]), (&json!(false), &json!("")));
    assert_eq!(read.as_object().unwrap().len(), 8);
    server.root("PUT", "/v1/kvone/a", json!({"ttl": "bad"})).await.is(204);
    let read = server.root("GET", "/v1/kvone/a", Value::Null).await.is(200).json();
    assert_eq!((&read["data"], &read["lease_duration"]), (&json!({"ttl": "bad"}), &json!(2_764_800)));
    // Numbers come back as written, however large.
    server
        .raw("POST", "/v1/kvone/n", Some(ROOT), r#"{"n": 12345678901234567890.50, "deep": {"x": [1e400]}}"#)
        .await
        .is(204);
    let text = server.root("GET", "/v1/kvone/n", Value::Null).await.is(200).text();
    assert!(text.contains("12345678901234567890.50") && text.contains("1e400"), "{text}");
    // The mount's lifetime stands for the system's.
    server.root("POST", "/v1/sys/mounts/kvone/tune", json!({"default_lease_ttl": "1h"})).await.is(204);
    assert_eq!(server.root("GET", "/v1/kvone/n", Value::Null).await.json()["lease_duration"], 3600);
    server.stop().await;
}

#[tokio::test]
async fn names_are_listed_and_deleted_for_good() {
    let server = mounted().await;
    server.root("POST", "/v1/kvone/a", json!({"x": 1})).await.is(204);
    server.root("PUT", "/v1/kvone/b/c/d", json!({"x": 1})).await.is(204);
    for (method, path) in [("LIST", "kvone/"), ("LIST", "kvone"), ("GET", "kvone?list=true")] {
        let keys = server.root(method, &format!("/v1/{path}"), Value::Null).await.data();
        assert_eq!(keys, json!({"keys": ["a", "b/"]}), "{method} {path}");
    }
    assert_eq!(server.root("LIST", "/v1/kvone/b", Value::Null).await.data()["keys"], json!(["c/"]));
    assert_eq!(server.root("SCAN", "/v1/kvone", Value::Null).await.data()["keys"], json!(["a", "b/c/d"]));
    assert_eq!(server.root("GET", "/v1/kvone/b?scan=true", Value::Null).await.data()["keys"], json!(["c/d"]));
    assert_eq!(server.root("SCAN", "/v1/kvone/none", Value::Null).await.data(), json!({}));
    for (method, path) in [("LIST", "none"), ("GET", "none"), ("GET", "a/"), ("GET", "data/x"), ("LIST", "b/c/d")] {
        assert_eq!(
            server.root(method, &format!("/v1/kvone/{path}"), Value::Null).await.errors(404),
            json!([]),
            "{path}"
        );
    }
    for path in ["kvone/a", "kvone/none", "kvone/", "kvone"] {
        server.root("DELETE", &format!("/v1/{path}"), Value::Null).await.is(204);
    }
    server.root("GET", "/v1/kvone/a", Value::Null).await.is(404);
    assert_eq!(server.root("LIST", "/v1/kvone", Value::Null).await.data()["keys"], json!(["b/"]));
    server.stop().await;
}

#[tokio::test]
async fn what_is_no_value_is_refused() {
    let server = mounted().await;
    for body in ["{}", "", "null"] {
        let refused = server.raw("POST", "/v1/kvone/e", Some(ROOT), body).await;
        assert_eq!(refused.errors(400), json!(["missing data fields"]), "{body}");
    }
    assert_eq!(server.root("POST", "/v1/kvone", json!({"x": 1})).await.errors(400), json!(["missing path"]));
    server.root("POST", "/v1/kvone/", json!({"x": 1})).await.is(400);
    server.root("PATCH", "/v1/kvone/e", json!({"x": 1})).await.is(405);
    server.raw("POST", "/v1/kvone/e", Some(ROOT), "[1]").await.is(400);
    let large = json!({"x": "y".repeat(1 << 20)});
    server.root("POST", "/v1/kvone/e", large).await.is(413);
    server.root("GET", "/v1/kvone/e", Value::Null).await.is(404);
    server.stop().await;
}

#[tokio::test]
async fn policies_tell_creating_from_updating() {
    let server = mounted().await;
    let token = server.token_with(ROOT, r#"path "kvone/*" { capabilities = ["create", "read"] }"#).await;
    server.as_token(&token, "POST", "/v1/kvone/a", json!({"x": 1})).await.is(204);
    server.as_token(&token, "POST", "/v1/kvone/a", json!({"x": 2})).await.is(403);
    for method in ["DELETE", "LIST", "SCAN"] {
        server.as_token(&token, method, "/v1/kvone/a", Value::Null).await.is(403);
    }
    assert_eq!(server.as_token(&token, "GET", "/v1/kvone/a", Value::Null).await.data(), json!({"x": 1}));
    server.stop().await;
}

#[tokio::test]
async fn upgraded_mount_keeps_every_value_as_version_1() {
    let server = mounted().await;
    for (path, value) in [("a", 1), ("data/x", 2), ("a", 3)] {
        server.root("POST", &format!("/v1/kvone/{path}"), json!({"x": value})).await.is(204);
    }
    let upgrade = json!({"options": {"version": "2"}});
    let reply = server.root("POST", "/v1/sys/mounts/kvone/tune", upgrade.clone()).await.is(200).json();
    assert_eq!((&reply["data"], reply["warnings"].as_array().unwrap().len()), (&Value::Null, 1));
    let read = server.root("GET", "/v1/kvone/data/a", Value::Null).await.data();
    assert_eq!((&read["data"], &read["metadata"]["version"]), (&json!({"x": 3}), &json!(1)));
    assert_eq!(server.root("GET", "/v1/kvone/data/data/x", Value::Null).await.data()["data"], json!({"x": 2}));
    let metadata = server.root("GET", "/v1/kvone/metadata/a", Value::Null).await.data();
    assert_eq!((&metadata["current_version"], &metadata["oldest_version"]), (&json!(1), &json!(1)));
    server.root("POST", "/v1/kvone/data/a", json!({"data": {"x": 4}})).await.is(200);
    let old = server.root("GET", "/v1/kvone/data/a?version=1", Value::Null).await.data();
    assert_eq!(old["data"], json!({"x": 3}));
    assert_eq!(
        server.root("GET", "/v1/kvone/a", Value::Null).await.is(404).json()["warnings"].as_array().unwrap().len(),
        1
    );
    assert_eq!(
        server.root("GET", "/v1/sys/mounts/kvone", Value::Null).await.data()["options"],
        json!({"version": "2"})
    );
    server.root("POST", "/v1/sys/mounts/kvone/tune", upgrade).await.is(204);
    server.root("POST", "/v1/sys/mounts/kvone/tune", json!({"options": {"version": 1}})).await.is(400);
    server.stop().await;
}

#[tokio::test]
async fn every_name_of_the_engine_mounts_it() {
    let server = TestServer::dev().await;
    for (path, body, kind, options) in [
        ("k1", json!({"type": "kv"}), "kv", json!({})),
        ("k2", json!({"type": "kv-v1"}), "kv", json!({"version": "1"})),
        ("k3", json!({"type": "generic"}), "generic", json!({})),
        ("k4", json!({"type": "kv", "options": null}), "kv", Value::Null),
        ("k5", json!({"type": "plugin", "plugin_name": "kv"}), "kv", json!({})),
    ] {
        server.root("POST", &format!("/v1/sys/mounts/{path}"), body).await.is(204);
        let entry = server.root("GET", &format!("/v1/sys/mounts/{path}"), Value::Null).await.data();
        assert_eq!((&entry["type"], &entry["options"]), (&json!(kind), &options), "{path}");
        assert!(entry["accessor"].as_str().unwrap().starts_with(&format!("{kind}_")));
        server.root("POST", &format!("/v1/{path}/a"), json!({"x": 1})).await.is(204);
        assert_eq!(server.root("GET", &format!("/v1/{path}/a"), Value::Null).await.data(), json!({"x": 1}));
    }
    server.stop().await;
}
