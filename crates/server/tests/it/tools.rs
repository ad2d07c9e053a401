//! `sys/tools/random` and `sys/tools/hash`.

use serde_json::{Value, json};

use crate::server::{ROOT, TestServer};

#[tokio::test]
async fn random_bytes_come_as_many_and_as_written_as_asked() {
    let server = TestServer::dev().await;
    let random = async |path: &str, body: Value| {
        let reply = server.root("POST", &format!("/v1/sys/tools/random{path}"), body).await.is(200).json();
        (reply["data"]["random_bytes"].as_str().unwrap().to_owned(), reply["warnings"].clone())
    };
    for (path, body, len) in [
        ("", Value::Null, 44),
        ("/16", json!({"format": "hex"}), 32),
        ("/16", json!({"bytes": 4}), 24),
        ("", json!({"bytes": "4", "format": "base64"}), 8),
        ("/platform", json!({}), 44),
        ("/platform/8", json!({"format": "hex"}), 16),
        ("/all/8", json!({"format": "hex"}), 16),
        ("/131072", json!({"format": "hex"}), 262_144),
    ] {
        let (text, warnings) = random(path, body).await;
        assert_eq!((text.len(), warnings), (len, Value::Null), "{path}");
    }
    assert_eq!(random("/seal/8", json!({})).await.1.as_array().unwrap().len(), 1);
    assert_ne!(random("", json!({})).await.0, random("", json!({})).await.0);
    for (path, body) in [
        ("", json!({"bytes": 0})),
        ("", json!({"bytes": -1})),
        ("", json!({"bytes": "abc"})),
        ("", json!({"format": "x"})),
        ("/0", json!({})),
        ("/abc", json!({})),
        ("/131073", json!({})),
        ("/99999999999999999999", json!({})),
        ("/foo/8", json!({})),
        ("/8/platform", json!({})),
    ] {
        server.root("POST", &format!("/v1/sys/tools/random{path}"), body).await.is(400);
    }
    for (method, path, status) in [
        ("GET", "tools/random", 405),
        ("DELETE", "tools/random", 405),
        ("LIST", "tools/random", 404),
        ("GET", "tools", 404),
        ("POST", "tools/nosuch", 404),
    ] {
        server.root(method, &format!("/v1/sys/{path}"), Value::Null).await.is(status);
    }
    server.stop().await;
}

#[tokio::test]
async fn hash_is_the_one_that_is_named_and_policies_bound_it() {
    let server = TestServer::dev().await;
    let sha256 = "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4";
    for (path, body, sum) in [
        ("", json!({"input": "aGk="}), sha256),
        ("/sha2-256", json!({"input": "aGk=", "algorithm": "sha2-512"}), sha256),
        ("", json!({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (
            "",
            json!({"input": "aGk=", "algorithm": "sha2-224"}),
            "1a15bca3e4ed3ab82367c6c434f86c41040bdac577fa1c2de62c3be0",
        ),
        (
            "/sha2-512",
            json!({"input": "aGk=", "format": "base64"}),
            "FQoU7VvqbMcxz4bEFWasQnqNtI7xuf1iZmSzv7uZBx+kySLzPd44cZuMg1Tit6udd+Dmf8EoQ5IKcS5z1Vjhlw==",
        ),
        ("/sha3-256", json!({"input": "aGk="}), "b39c14c8da3b23811f6415b7e0b33526d7e07a46f2cf0484179435767e4a8804"),
    ] {
        let data = server.root("POST", &format!("/v1/sys/tools/hash{path}"), body).await.data();
        assert_eq!(data, json!({"sum": sum}), "{path}");
    }
    for (path, body) in [
        ("/sha1", json!({"input": "aGk="})),
        ("/a/b", json!({"input": "aGk="})),
        ("", json!({"input": "!!"})),
        ("", json!({"input": "aGk"})),
        ("", json!({"input": "aGk=", "format": "x"})),
    ] {
        server.root("POST", &format!("/v1/sys/tools/hash{path}"), body).await.is(400);
    }
    server.root("GET", "/v1/sys/tools/hash", Value::Null).await.is(405);
    let token = server.token_with(ROOT, r#"path "sys/tools/hash" { capabilities = ["update"] }"#).await;
    server.as_token(&token, "POST", "/v1/sys/tools/hash", json!({"input": "aGk="})).await.is(200);
    // Who may not ask is told nothing about what he asked.
    for (path, body) in [("hash/sha2-512", json!({"input": "aGk="})), ("random", json!({"bytes": -1}))] {
        server.as_token(&token, "POST", &format!("/v1/sys/tools/{path}"), body).await.is(403);
    }
    server.stop().await;
}
