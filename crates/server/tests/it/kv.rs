//! KV v2 through the Vault dialect.

use serde_json::{Value, json};

use crate::server::{ROOT, TestServer};

const DATA: &str = "/v1/secret/data/foo";

/// A reply's data without the times in it.
fn without_times(mut data: Value) -> Value {
    if let Some(map) = data.as_object_mut() {
        map.retain(|key, _| key != "created_time" && key != "updated_time");
        for value in map.values_mut() {
            *value = without_times(value.take());
        }
    }
    data
}

#[tokio::test]
async fn write_answers_metadata_and_read_answers_value_as_written() {
    let server = TestServer::dev().await;
    let sent = r#"{"data": {"a":"1", "n": 10000000000000000000000, "f": 1.50, "nested":{"x":[1,2]}}}"#;
    let reply = server.raw("POST", DATA, Some(ROOT), sent).await;
    assert_eq!(reply.headers["content-type"], "application/json");
    assert_eq!(reply.headers["cache-control"], "no-store");
    assert_eq!(
        without_times(reply.data()),
        json!({"custom_metadata": null, "deletion_time": "", "destroyed": false, "version": 1})
    );
    let reply = server.root("GET", DATA, Value::Null).await.is(200);
    assert_eq!(reply.headers["content-length"], reply.body.len().to_string());
    assert!(reply.text().contains(r#"{"a":"1", "n": 10000000000000000000000, "f": 1.50, "nested":{"x":[1,2]}}"#));
    let body = reply.json();
    assert_eq!(body.as_object().unwrap().len(), 8);
    assert_eq!(body["data"]["metadata"]["version"], 1);
    assert_eq!(body["lease_id"], "");
    server.stop().await;
}

#[tokio::test]
async fn put_is_post_and_a_version_can_be_read() {
    let server = TestServer::dev().await;
    for i in 1..=3 {
        server.root("PUT", DATA, json!({"data": {"i": i}})).await.is(200);
    }
    for (query, version) in [("", 3), ("?version=1", 1), ("?version=0", 3), ("?version=-1", 3), ("?version=2&x=y", 2)] {
        let data = server.root("GET", &format!("{DATA}{query}"), Value::Null).await.data();
        assert_eq!((&data["data"]["i"], &data["metadata"]["version"]), (&json!(version), &json!(version)), "{query}");
    }
    assert_eq!(server.root("GET", &format!("{DATA}?version=9"), Value::Null).await.errors(404), json!([]));
    server.root("GET", &format!("{DATA}?version=abc"), Value::Null).await.errors(400);
    server.stop().await;
}

#[tokio::test]
async fn cas_must_match_the_current_version() {
    let server = TestServer::dev().await;
    let write =
        async |cas: Value| server.root("POST", DATA, json!({"data": {}, "options": {"cas": cas, "bogus": 1}})).await;
    write(json!(0)).await.is(200);
    for stale in [json!(0), json!(2), json!(-1)] {
        assert_eq!(
            write(stale).await.errors(400),
            json!(["check-and-set parameter did not match the current version"])
        );
    }
    write(json!("1")).await.is(200);
    assert_eq!(write(json!("x")).await.errors(400), json!(["error parsing check-and-set parameter"]));
    server.root("POST", "/v1/secret/config", json!({"cas_required": true})).await.is(204);
    let refused = server.root("POST", DATA, json!({"data": {}})).await;
    assert_eq!(refused.errors(400), json!(["check-and-set parameter required for this call"]));
    server.stop().await;
}

#[tokio::test]
async fn data_must_be_an_object_or_null() {
    let server = TestServer::dev().await;
    for body in ["{}", "null", "", r#"{"a":"3"}"#] {
        assert_eq!(server.raw("POST", DATA, Some(ROOT), body).await.errors(400), json!(["no data provided"]), "{body}");
    }
    for body in [r#"{"data":"str"}"#, r#"{"data":[1]}"#, r#"{"data":1}"#] {
        server.raw("POST", DATA, Some(ROOT), body).await.errors(400);
    }
    server.raw("POST", DATA, Some(ROOT), r#"{"data":null}"#).await.is(200);
    assert_eq!(server.root("GET", DATA, Value::Null).await.data()["data"], Value::Null);
    server.raw("POST", DATA, Some(ROOT), r#"{"data":{}}"#).await.is(200);
    assert_eq!(server.root("GET", DATA, Value::Null).await.data()["data"], json!({}));
    server.stop().await;
}

#[tokio::test]
async fn deleted_version_is_absent_with_metadata_until_undeleted() {
    let server = TestServer::dev().await;
    for i in 1..=4 {
        server.root("POST", DATA, json!({"data": {"i": i}})).await.is(200);
    }
    server.root("DELETE", DATA, Value::Null).await.is(204);
    let gone = server.root("GET", DATA, Value::Null).await.is(404).json();
    assert_eq!(gone["data"]["data"], Value::Null);
    assert_ne!(gone["data"]["metadata"]["deletion_time"], "");
    assert_eq!(gone["data"]["metadata"]["destroyed"], false);
    server.root("POST", "/v1/secret/undelete/foo", json!({"versions": [4]})).await.is(204);
    assert_eq!(server.root("GET", DATA, Value::Null).await.data()["data"]["i"], 4);
    server.root("POST", "/v1/secret/delete/foo", json!({"versions": "1,2"})).await.is(204);
    server.root("GET", &format!("{DATA}?version=1"), Value::Null).await.is(404);
    server.root("PUT", "/v1/secret/destroy/foo", json!({"versions": ["2"]})).await.is(204);
    server.root("POST", "/v1/secret/undelete/foo", json!({"versions": [1, 2]})).await.is(204);
    server.root("GET", &format!("{DATA}?version=1"), Value::Null).await.is(200);
    let destroyed = server.root("GET", &format!("{DATA}?version=2"), Value::Null).await.is(404).json();
    assert_eq!(destroyed["data"]["metadata"]["destroyed"], true);
    server.stop().await;
}

#[tokio::test]
async fn version_lists_may_be_missing_or_name_nothing() {
    let server = TestServer::dev().await;
    for (path, error) in [
        ("delete", "No version number provided"),
        ("undelete", "No version number provided"),
        ("destroy", "no version number provided"),
    ] {
        for body in [json!({}), json!({"versions": []}), json!({"versions": ""})] {
            let reply = server.root("POST", &format!("/v1/secret/{path}/foo"), body).await;
            assert_eq!(reply.errors(400), json!([error]));
        }
        server.root("POST", &format!("/v1/secret/{path}/none"), json!({"versions": [1]})).await.is(204);
        server.root("POST", &format!("/v1/secret/{path}/foo"), json!({"versions": ["x"]})).await.is(400);
    }
    server.root("DELETE", "/v1/secret/data/none", Value::Null).await.is(204);
    server.stop().await;
}

#[tokio::test]
async fn patch_merges_into_the_current_version() {
    let server = TestServer::dev().await;
    server.root("POST", DATA, json!({"data": {"a": 1, "b": {"c": 1, "d": 2}}})).await.is(200);
    server.root("PATCH", DATA, json!({"data": {"a": null, "b": {"c": 3}, "n": "x"}})).await.is(200);
    assert_eq!(server.root("GET", DATA, Value::Null).await.data()["data"], json!({"b": {"c": 3, "d": 2}, "n": "x"}));
    let stale = server.root("PATCH", DATA, json!({"data": {}, "options": {"cas": 1}})).await;
    assert_eq!(stale.errors(400), json!(["check-and-set parameter did not match the current version"]));
    assert_eq!(server.root("PATCH", DATA, json!({})).await.errors(400), json!(["no data provided"]));
    let absent = server.root("PATCH", "/v1/secret/data/nosuch", json!({"data": {}})).await.is(404);
    assert!(absent.body.is_empty());
    server.root("DELETE", DATA, Value::Null).await.is(204);
    let deleted = server.root("PATCH", DATA, json!({"data": {}})).await.is(404).json();
    assert_eq!(deleted["data"]["version"], 2);
    let mut plain = server.request("PATCH", DATA, Some(ROOT), r#"{"data":{}}"#);
    plain.headers_mut().insert("content-type", "application/json".parse().unwrap());
    let refused = server.send(plain).await.errors(415);
    assert!(refused[0].as_str().unwrap().starts_with("PATCH requires Content-Type of application/merge-patch+json"));
    server.stop().await;
}

#[tokio::test]
async fn subkeys_show_structure_without_values() {
    let server = TestServer::dev().await;
    server.root("POST", DATA, json!({"data": {"a": {"b": {"c": 1}}, "z": 1}})).await.is(200);
    let subkeys = async |query: &str| server.root("GET", &format!("/v1/secret/subkeys/foo{query}"), Value::Null).await;
    let data = subkeys("").await.data();
    assert_eq!(data["subkeys"], json!({"a": {"b": {"c": null}}, "z": null}));
    assert_eq!(data["metadata"]["version"], 1);
    assert_eq!(subkeys("?depth=1").await.data()["subkeys"], json!({"a": null, "z": null}));
    assert_eq!(subkeys("?version=7").await.errors(404), json!([]));
    server.root("DELETE", DATA, Value::Null).await.is(204);
    let gone = subkeys("").await.is(404).json();
    assert_eq!(gone["data"]["subkeys"], Value::Null);
    server.stop().await;
}

#[tokio::test]
async fn metadata_is_written_merged_shown_and_removed() {
    let server = TestServer::dev().await;
    let path = "/v1/secret/metadata/foo";
    server.root("POST", DATA, json!({"data": {}})).await.is(200);
    let write = json!({"max_versions": 2, "cas_required": true, "delete_version_after": "3h25m19s", "custom_metadata": {"o": "team", "n": 5}});
    server.root("POST", path, write).await.is(204);
    assert_eq!(
        without_times(server.root("GET", path, Value::Null).await.data()),
        json!({"cas_required": true, "current_metadata_version": 1, "current_version": 1,
            "custom_metadata": {"o": "team", "n": "5"}, "delete_version_after": "3h25m19s", "max_versions": 2,
            "metadata_cas_required": false, "oldest_version": 0, "versions": {"1": {"deletion_time": "", "destroyed": false}}})
    );
    server.root("PATCH", path, json!({"custom_metadata": {"o": null, "p": "1"}, "max_versions": 7})).await.is(204);
    let data = server.root("GET", path, Value::Null).await.data();
    assert_eq!((&data["custom_metadata"], &data["max_versions"]), (&json!({"n": "5", "p": "1"}), &json!(7)));
    let written = server.root("POST", DATA, json!({"data": {}, "options": {"cas": 1}})).await.data();
    assert_ne!(written["deletion_time"], "");
    server.root("DELETE", path, Value::Null).await.is(204);
    assert_eq!(server.root("GET", path, Value::Null).await.errors(404), json!([]));
    server.root("DELETE", path, Value::Null).await.is(204);
    assert!(server.root("PATCH", path, json!({"max_versions": 1})).await.is(404).body.is_empty());
    for bad in [json!({"custom_metadata": "x"}), json!({"max_versions": -1}), json!({"delete_version_after": "soon"})] {
        server.root("POST", path, bad).await.is(400);
    }
    let long = json!({"custom_metadata": {"k".repeat(129): "v"}});
    let refused = server.root("POST", path, long).await.errors(400);
    assert!(refused[0].as_str().unwrap().starts_with("1 error occurred:\n\t* custom_metadata validation failed: "));
    server.stop().await;
}

#[tokio::test]
async fn key_without_version_is_absent_as_data() {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/secret/metadata/only", json!({"custom_metadata": {"k": "v"}})).await.is(204);
    let data = server.root("GET", "/v1/secret/metadata/only", Value::Null).await.data();
    assert_eq!((&data["current_version"], &data["versions"]), (&json!(0), &json!({})));
    assert_eq!(server.root("GET", "/v1/secret/data/only", Value::Null).await.errors(404), json!([]));
    server.root("POST", "/v1/secret/data/only", json!({"data": {}, "options": {"cas": 0}})).await.is(200);
    server.stop().await;
}

#[tokio::test]
async fn list_is_one_level_sorted_and_paged() {
    let server = TestServer::dev().await;
    for path in ["foo", "foo/bar", "dir/one", "dir/two/three", "b", " sp ace/x", "uni%C3%A9"] {
        let path = path.replace(' ', "%20");
        server.root("POST", &format!("/v1/secret/data/{path}"), json!({"data": {}})).await.is(200);
    }
    let keys = async |method: &str, path: &str| server.root(method, path, Value::Null).await.data()["keys"].take();
    let all = json!([" sp ace/", "b", "dir/", "foo", "foo/", "unié"]);
    for (method, path) in [
        ("LIST", "/v1/secret/metadata"),
        ("LIST", "/v1/secret/metadata/"),
        ("GET", "/v1/secret/metadata?list=true"),
        ("GET", "/v1/secret/metadata/?list=1"),
    ] {
        assert_eq!(keys(method, path).await, all, "{method} {path}");
    }
    assert_eq!(keys("LIST", "/v1/secret/metadata/dir").await, json!(["one", "two/"]));
    assert_eq!(keys("LIST", "/v1/secret/metadata/?limit=2").await, json!([" sp ace/", "b"]));
    assert_eq!(keys("LIST", "/v1/secret/metadata/?after=dir/&limit=2").await, json!(["foo", "foo/"]));
    assert_eq!(server.root("LIST", "/v1/secret/metadata/none", Value::Null).await.errors(404), json!([]));
    assert_eq!(server.root("GET", "/v1/secret/metadata/dir/", Value::Null).await.errors(404), json!([]));
    let refused = server.root("LIST", "/v1/secret/data/", Value::Null).await.errors(405);
    assert_eq!(refused, json!(["1 error occurred:\n\t* unsupported operation\n\n"]));
    server.root("GET", "/v1/secret/metadata?list=maybe", Value::Null).await.errors(400);
    server.stop().await;
}

#[tokio::test]
async fn old_dialect_is_absent_with_a_warning() {
    let server = TestServer::dev().await;
    for (method, path) in
        [("GET", "/v1/secret/foo"), ("LIST", "/v1/secret/"), ("POST", "/v1/secret/foo"), ("DELETE", "/v1/secret/foo")]
    {
        let body = server.root(method, path, Value::Null).await.is(404).json();
        let warning = body["warnings"][0].as_str().unwrap();
        assert!(warning.starts_with("Invalid path for a versioned K/V secrets engine."), "{warning}");
        assert_eq!(body["data"], Value::Null);
    }
    let token = server.token_with(ROOT, r#"path "secret/data/*" { capabilities = ["read"] }"#).await;
    server.as_token(&token, "GET", "/v1/secret/foo", Value::Null).await.is(403);
    server.stop().await;
}

#[tokio::test]
async fn config_is_partial_and_durations_come_back_as_text() {
    let server = TestServer::dev().await;
    let config = async || server.root("GET", "/v1/secret/config", Value::Null).await.data();
    let fresh =
        json!({"cas_required": false, "delete_version_after": "0s", "max_versions": 0, "metadata_cas_required": false});
    assert_eq!(config().await, fresh);
    let mut form = server.request("PUT", "/v1/secret/config", Some(ROOT), "max_versions=5");
    form.headers_mut().insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    server.send(form).await.is(204);
    server.root("POST", "/v1/secret/config", json!({"delete_version_after": "-1s"})).await.is(204);
    assert_eq!(
        config().await,
        json!({"cas_required": false, "metadata_cas_required": false, "delete_version_after": "-1s", "max_versions": 5})
    );
    server.root("POST", "/v1/secret/config", json!({"max_versions": -2})).await.is(400);
    server.root("DELETE", "/v1/secret/config", Value::Null).await.is(405);
    server.stop().await;
}

#[tokio::test]
async fn policy_parameters_are_seen_on_writes() {
    let server = TestServer::dev().await;
    let policy = r#"path "secret/data/w" { capabilities = ["create", "update"] allowed_parameters = { "data" = [] "options" = [] } }"#;
    let token = server.token_with(ROOT, policy).await;
    let write = async |body: Value| server.as_token(&token, "POST", "/v1/secret/data/w", body).await.status;
    assert_eq!(write(json!({"data": {"a": 1}})).await, 200);
    assert_eq!(write(json!({"data": {"a": 1}, "other": 1})).await, 403);
    server.stop().await;
}

#[tokio::test]
async fn odd_texts_hide_no_parameter_from_a_policy_and_are_read_as_go_reads_them() {
    let server = TestServer::dev().await;
    let policy =
        r#"path "secret/data/w" { capabilities = ["create", "update"] denied_parameters = { "options" = [] } }"#;
    let token = server.token_with(ROOT, policy).await;
    let write = async |body: &str| server.raw("POST", "/v1/secret/data/w", Some(&token), body).await.status;
    assert_eq!(write(r#"{"data": {"a": "\ud800"}, "zz": "\udfff"}"#).await, 200);
    for beside in [r#""zz": "\ud800""#, r#""zz": 1e999"#, r#""zz": {"a": "\udc00\ud800"}"#] {
        assert_eq!(write(&format!(r#"{{"data": {{"a": 1}}, "options": {{}}, {beside}}}"#)).await, 403, "{beside}");
    }
    for reserved in ["$serde_json::private::Number", "\\u0024serde_json::private::RawValue"] {
        let refused =
            server.raw("POST", DATA, Some(ROOT), &format!(r#"{{"data": {{"v": {{"{reserved}": "1"}}}}}}"#)).await;
        assert!(refused.is(400).text().contains("are reserved"), "{reserved}");
    }
    let data = server.root("GET", "/v1/secret/data/w", Value::Null).await.data();
    assert_eq!(data["data"], json!({"a": "\u{fffd}"}));
    server.root("GET", "/v1/secret/subkeys/w", Value::Null).await.is(200);
    let patch = r#"{"data": {"b": "\udabc"}}"#;
    let mut patch = server.request("PATCH", "/v1/secret/data/w", Some(ROOT), patch);
    patch.headers_mut().insert("content-type", "application/merge-patch+json".parse().unwrap());
    server.send(patch).await.is(200);
    server.stop().await;
}

#[tokio::test]
async fn value_beyond_a_mebibyte_is_too_large() {
    let server = TestServer::dev().await;
    let value = "x".repeat(1 << 20);
    server.root("POST", DATA, json!({"data": {"v": value}})).await.is(413);
    server.root("POST", DATA, json!({"data": {"v": &value[..(1 << 20) - 8]}})).await.is(200);
    let reply = server.root("GET", DATA, Value::Null).await.is(200);
    assert!(reply.body.len() > 1 << 20);
    server.stop().await;
}
