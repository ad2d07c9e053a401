//! Values that the server makes, and what is kept of a secret beside them.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::server::{ROOT, TestServer};

const SECRET: &str = "/api/v1/secrets/acme:prod/KEY";

async fn value(server: &TestServer) -> String {
    server.root("GET", SECRET, Value::Null).await.is(200).json()["value"].as_str().unwrap().to_owned()
}

/// What a program makes of a file.
fn asked(program: &str, arguments: &[&str], file: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key");
    std::fs::write(&path, file).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let arguments = arguments.iter().map(|argument| argument.replace("[KEY]", path.to_str().unwrap()));
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn value_is_made_remembered_and_made_anew() {
    let server = TestServer::dev().await;
    let made = server.root("PUT", SECRET, json!({"generate": {"kind": "password", "length": 20}})).await.is(200).json();
    assert_eq!((&made["version"], &made["entropy_bits"], made.get("value")), (&json!(1), &json!(129), None));
    let first = value(&server).await;
    assert_eq!(first.len(), 20);
    let rotated = server.root("POST", &format!("{SECRET}/rotate"), json!({})).await.is(200).json();
    assert_eq!(rotated["version"], 2);
    let second = value(&server).await;
    assert!(second.len() == 20 && second != first);
    // Set by hand, and still made the same way after.
    server.root("PUT", SECRET, json!({"value": "by hand"})).await.is(200);
    let body = json!({"generate": {"kind": "hex", "bytes": 16}, "options": {"cas": 3}});
    let rotated = server.root("POST", &format!("{SECRET}/rotate"), body.clone()).await.is(200).json();
    assert_eq!((&rotated["version"], &rotated["entropy_bits"]), (&json!(4), &json!(128)));
    assert_eq!(server.root("POST", &format!("{SECRET}/rotate"), body).await.is(409).json()["code"], "conflict");
    server.root("POST", &format!("{SECRET}/rotate"), json!({})).await.is(200);
    let third = value(&server).await;
    assert!(third.len() == 32 && third.bytes().all(|byte| byte.is_ascii_hexdigit()), "{third}");
    let metadata = server.root("GET", &format!("{SECRET}/metadata"), Value::Null).await.is(200).json();
    assert_eq!((&metadata["recipe"], &metadata["version"]), (&json!({"kind": "hex", "bytes": 16}), &json!(5)));
    server.stop().await;
}

#[tokio::test]
async fn rotation_without_a_recipe_a_secret_or_permission_is_refused() {
    let server = TestServer::dev().await;
    let rotate = format!("{SECRET}/rotate");
    server.root("POST", &rotate, json!({})).await.is(404);
    server.root("PUT", SECRET, json!({"value": "x"})).await.is(200);
    let told = server.root("POST", &rotate, json!({})).await.is(409).json();
    assert!(told["detail"].as_str().unwrap().contains("was not made by the server"), "{told}");
    for bad in [
        json!({"generate": {"kind": "hex", "bytes": 1}}),
        json!({"generate": {"kind": "pin"}}),
        json!({"generate": {"kind": "hex"}, "value": "x"}),
        json!({"generate": {"kind": "password", "classes": ["digits"], "exclude": "0123456789"}}),
    ] {
        server.root("POST", &rotate, bad.clone()).await.is(400);
        server.root("PUT", SECRET, bad).await.is(400);
    }
    server.root("PUT", SECRET, json!({})).await.is(400);
    for lacks in ["rotate", "data"] {
        let policy = r#"path "secret/PATH/acme/prod/KEY" { capabilities = ["update"] }"#.replace("PATH", lacks);
        let token = server.token_with(ROOT, &policy).await;
        server.as_token(&token, "POST", &rotate, json!({"generate": {"kind": "uuid"}})).await.is(403);
        // Not even a wrong recipe is looked at.
        server.as_token(&token, "POST", &rotate, json!({"generate": {"kind": "hex", "bytes": 1}})).await.is(403);
    }
    server.root("DELETE", SECRET, Value::Null).await.is(204);
    server.root("POST", &rotate, json!({"generate": {"kind": "uuid"}})).await.is(409);
    server.root("POST", "/v1/secret/data/acme/prod/KV", json!({"data": {"a": 1}})).await.is(200);
    let body = json!({"generate": {"kind": "uuid"}});
    server.root("PUT", "/api/v1/secrets/acme:prod/KV", body.clone()).await.is(409);
    server.root("POST", "/api/v1/secrets/acme:prod/KV/rotate", body).await.is(409);
    server.stop().await;
}

#[tokio::test]
async fn keys_are_what_other_programs_read() {
    let server = TestServer::dev().await;
    let make = async |recipe: Value| {
        let made = server.root("PUT", SECRET, json!({"generate": recipe})).await.is(200).json();
        assert!(made.get("entropy_bits").is_none());
        (value(&server).await, made["public"].as_str().unwrap().to_owned())
    };
    let (private, public) = make(json!({"kind": "ssh-ed25519", "comment": "a b"})).await;
    assert_eq!(asked("ssh-keygen", &["-y", "-f", "[KEY]"], &private), public);
    for recipe in [json!({"kind": "rsa", "bits": 2048}), json!({"kind": "x25519"})] {
        let (private, public) = make(recipe).await;
        assert_eq!(asked("openssl", &["pkey", "-in", "[KEY]", "-pubout"], &private), public);
    }
    server.stop().await;
}

#[tokio::test]
async fn metadata_is_typed_here_and_the_entrys_own_there() {
    let server = TestServer::dev().await;
    let metadata = format!("{SECRET}/metadata");
    server.root("PATCH", &metadata, json!({"owner": "x"})).await.is(404);
    server.root("PUT", SECRET, json!({"value": "x"})).await.is(200);
    let all = json!({"expires_at": "2030-01-31T00:00:00Z", "owner": "team-db", "description": "the database"});
    server.root("PATCH", &metadata, all.clone()).await.is(204);
    let there = server.root("GET", "/v1/secret/metadata/acme/prod/KEY", Value::Null).await.is(200).json();
    assert_eq!(there["data"]["custom_metadata"], all);
    server.root("PATCH", &metadata, json!({"owner": null})).await.is(204);
    let shown = server.root("GET", &metadata, Value::Null).await.is(200).json();
    assert_eq!((shown.get("owner"), &shown["description"]), (None, &json!("the database")));
    for bad in [
        json!({}),
        json!({"expires_at": "tomorrow"}),
        json!({"expires_at": "2030-01-31"}),
        json!({"owner": ""}),
        json!({"description": "a\nb"}),
        json!({"description": "x".repeat(513)}),
        json!({"other": "x"}),
    ] {
        server.root("PATCH", &metadata, bad).await.is(400);
    }
    let token = server.token_with(ROOT, r#"path "secret/metadata/acme/prod/KEY" { capabilities = ["read"] }"#).await;
    server.as_token(&token, "PATCH", &metadata, json!({"owner": "x"})).await.is(403);
    server.as_token(&token, "PATCH", &metadata, json!({"expires_at": "never"})).await.is(403);
    server.stop().await;
}

#[tokio::test]
async fn due_are_those_whose_time_comes_and_that_the_caller_may_see() {
    let server = TestServer::dev().await;
    for (path, expires_at) in [
        ("acme/PAST", json!("2020-01-01T00:00:00Z")),
        ("acme/FAR", json!("2999-01-01T00:00:00Z")),
        ("acme:prod/ODD", json!("soon")),
        ("acme:prod/NONE", Value::Null),
        ("acme:prod/GONE", json!("2020-01-01T00:00:00Z")),
        ("other/PAST", json!("2020-01-01T00:00:00+02:00")),
    ] {
        server.root("PUT", &format!("/api/v1/secrets/{path}"), json!({"value": "x"})).await.is(200);
        if let Some(expires_at) = expires_at.as_str() {
            let path = path.replace(':', "/");
            let custom = json!({"custom_metadata": {"expires_at": expires_at, "owner": "me"}});
            server.root("POST", &format!("/v1/secret/metadata/{path}"), custom).await.is(204);
        }
    }
    server.root("DELETE", "/api/v1/secrets/acme:prod/GONE", Value::Null).await.is(204);
    let due = async |token: &str, query: &str| -> Vec<String> {
        let mut found = Vec::new();
        let mut after = String::new();
        loop {
            let path = format!("/api/v1/due?{query}{after}");
            let page = server.as_token(token, "GET", &path, Value::Null).await.is(200).json();
            for item in page["items"].as_array().unwrap() {
                let text = |key: &str| item[key].as_str().unwrap().to_owned();
                found.push(format!("{}/{} {}", text("scope"), text("name"), text("state")));
            }
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return found,
            }
        }
    };
    let expected = ["acme/PAST expired", "acme:prod/ODD invalid", "other/PAST expired"];
    assert_eq!(due(ROOT, "").await, expected);
    assert_eq!(due(ROOT, "limit=1").await, expected);
    assert_eq!(due(ROOT, "within=40000000000").await[0], "acme/FAR due");
    let policy = r#"path "secret/metadata/acme/" { capabilities = ["list"] }
        path "secret/metadata/acme/PAST" { capabilities = ["read"] }
        path "secret/metadata/other/PAST" { capabilities = ["read"] }"#;
    let token = server.token_with(ROOT, policy).await;
    assert_eq!(due(&token, "within=40000000000").await, ["acme/PAST expired"]);
    server.root("GET", "/api/v1/due?within=-1", Value::Null).await.is(400);
    server.stop().await;
}

#[tokio::test]
async fn copies_and_moves_are_whole_allowed_on_both_ends_and_recorded_there() {
    let server = TestServer::dev().await;
    for name in ["A", "B"] {
        let body = json!({"generate": {"kind": "hex", "bytes": 8}});
        server.root("PUT", &format!("/api/v1/secrets/acme:prod/{name}"), body).await.is(200);
    }
    let copy = async |token: &str, body: Value| server.as_token(token, "POST", "/api/v1/secret-copies", body).await;
    let both = json!({"from": "acme:prod", "to": "acme:staging", "names": ["A", "B"]});
    let reads = r#"path "secret/data/acme/prod/+" { capabilities = ["read"] }
        path "secret/data/acme/staging/A" { capabilities = ["create"] }"#;
    let token = server.token_with(ROOT, reads).await;
    let refused = copy(&token, both.clone()).await.is(403).json();
    assert!(refused["detail"].as_str().unwrap().contains("update on secret/data/acme/staging/B"), "{refused}");
    server.root("GET", "/api/v1/secrets/acme:staging/A", Value::Null).await.is(404);
    let copied = copy(ROOT, both.clone()).await.is(200).json();
    assert_eq!(copied["secrets"][1]["name"], "B");
    let value = async |path: &str| server.root("GET", path, Value::Null).await.is(200).json()["value"].clone();
    assert_eq!(value("/api/v1/secrets/acme:staging/B").await, value("/api/v1/secrets/acme:prod/B").await);
    // How it is made goes along.
    server.root("POST", "/api/v1/secrets/acme:staging/A/rotate", json!({})).await.is(200);
    copy(ROOT, both.clone()).await.is(409);
    let mut over = both.clone();
    over["overwrite"] = json!(true);
    assert_eq!(copy(ROOT, over).await.is(200).json()["secrets"][0]["version"], 3);
    let moved = json!({"from": "acme:prod", "to": "acme:prod", "names": ["A"], "rename": "C", "move": true});
    let may_not_delete =
        server.token_with(ROOT, r#"path "secret/data/acme/prod/+" { capabilities = ["create", "read"] }"#);
    copy(&may_not_delete.await, moved.clone()).await.is(403);
    copy(ROOT, moved.clone()).await.is(200);
    server.root("GET", "/api/v1/secrets/acme:prod/A", Value::Null).await.is(404);
    copy(ROOT, moved).await.is(404);
    server.root("POST", "/api/v1/secrets/acme:prod/A/undelete", json!({"versions": [1]})).await.is(204);
    let history = async |name: &str| -> Vec<String> {
        let path = format!("/api/v1/secrets/acme:prod/{name}/history");
        let page = server.root("GET", &path, Value::Null).await.is(200).json();
        let events = page["items"].as_array().unwrap().iter().filter(|event| event["outcome"] == "success");
        events.map(|event| event["action"].as_str().unwrap().to_owned()).collect()
    };
    let all = ["secret.write", "secret.copy", "secret.copy", "secret.delete", "secret.undelete"];
    assert_eq!(history("A").await, all);
    assert_eq!(history("C").await, ["secret.write"]);
    server.root("POST", "/v1/secret/data/acme/prod/KV", json!({"data": {"a": 1}})).await.is(200);
    for (status, bad) in [
        (409, json!({"from": "acme:prod", "to": "acme:staging", "names": ["KV"]})),
        (409, json!({"from": "acme:prod", "to": "acme:prod", "names": ["B"], "rename": "KV", "overwrite": true})),
        (404, json!({"from": "acme:prod", "to": "acme:dev", "names": ["B", "NONE"]})),
        (400, json!({"from": "acme:prod", "to": "acme:prod", "names": ["B"]})),
        (400, json!({"from": "acme:prod", "to": "acme:dev", "names": []})),
        (400, json!({"from": "acme:prod", "to": "acme:dev", "names": ["B", "B"]})),
        (400, json!({"from": "acme:prod", "to": "acme:dev", "names": ["A", "B"], "rename": "C"})),
    ] {
        let got = copy(ROOT, bad.clone()).await;
        assert_eq!(got.status, status, "{bad}: {}", got.text());
    }
    server.root("GET", "/api/v1/secrets/acme:dev/B", Value::Null).await.is(404);
    server.stop().await;
}
