//! The mounts that came with the store, and what clients enable in their place.

use serde_json::{Value, json};

use crate::server::{Reply, TestServer};

/// A server that is no development server, and an administrator's token.
async fn started() -> (TestServer, String) {
    let server = TestServer::with_data().await;
    let initial = std::fs::read_to_string(server.initial_token.as_ref().unwrap()).unwrap();
    let login = server.raw("POST", "/api/v1/login/initial", Some(initial.trim()), "").await.is(200).json();
    let token = login["token"].as_str().unwrap().to_owned();
    (server, token)
}

async fn enable(server: &TestServer, token: &str, path: &str, version: u8) -> Reply {
    let body = json!({"type": "kv", "options": {"version": version.to_string()}, "description": "mine"});
    server.as_token(token, "POST", &format!("/v1/sys/mounts/{path}"), body).await
}

#[tokio::test]
async fn provisional_mount_that_nobody_used_can_be_disabled() {
    let (server, token) = started().await;
    server.as_token(&token, "DELETE", "/v1/sys/mounts/secret", Value::Null).await.is(204);
    server.as_token(&token, "GET", "/v1/secret/data/a", Value::Null).await.is(404);
    enable(&server, &token, "secret", 2).await.is(204);
    server.stop().await;
}

#[tokio::test]
async fn mount_of_the_store_gives_way_while_nothing_is_in_it() {
    for (path, version) in [("secret", 1), ("secret", 2), ("secret/below", 1)] {
        let (server, token) = started().await;
        // To clients it is not there, as on other servers.
        server.as_token(&token, "GET", "/v1/sys/mounts/secret", Value::Null).await.is(400);
        for list in ["/v1/sys/mounts", "/v1/sys/internal/ui/mounts"] {
            let listed = server.as_token(&token, "GET", list, Value::Null).await.is(200).text();
            assert!(listed.contains("\"cubbyhole/\"") && !listed.contains("\"secret/\""), "{listed}");
        }
        // Neither a read nor a refused write is a use.
        server.as_token(&token, "GET", "/v1/secret/data/a", Value::Null).await.is(404);
        server.as_token(&token, "POST", "/v1/secret/data/a", json!({})).await.is(400);
        enable(&server, &token, path, version).await.is(204);
        let after = server.as_token(&token, "GET", &format!("/v1/sys/mounts/{path}"), Value::Null).await.data();
        assert_eq!(
            (&after["description"], &after["options"]["version"]),
            (&json!("mine"), &json!(version.to_string()))
        );
        let gone = server.as_token(&token, "GET", "/v1/sys/mounts/secret", Value::Null).await;
        gone.is(if path == "secret" { 200 } else { 400 });
        // It is the client's own now.
        let again = enable(&server, &token, path, version).await.errors(400);
        assert_eq!(again, json!([format!("path is already in use at {path}/")]));
        server.stop().await;
    }
}

#[tokio::test]
async fn mount_of_the_store_with_something_in_it_is_adopted_by_its_like_alone() {
    let (server, token) = started().await;
    server.as_token(&token, "POST", "/v1/secret/data/a", json!({"data": {"k": "v"}})).await.is(200);
    let before = server.as_token(&token, "GET", "/v1/sys/mounts/secret", Value::Null).await.data();
    for (path, version) in [("secret", 1), ("secret/below", 2)] {
        let refused = enable(&server, &token, path, version).await.errors(400);
        let refused = refused[0].as_str().unwrap();
        assert!(refused.starts_with("path is already in use at secret/: "), "{refused}");
        assert!(refused.contains("kv version 2"), "{refused}");
    }
    enable(&server, &token, "secret", 2).await.is(204);
    let after = server.as_token(&token, "GET", "/v1/sys/mounts/secret", Value::Null).await.data();
    assert_eq!((&after["description"], &after["accessor"]), (&json!("mine"), &before["accessor"]));
    let read = server.as_token(&token, "GET", "/v1/secret/data/a", Value::Null).await.data();
    assert_eq!(read["data"], json!({"k": "v"}));
    enable(&server, &token, "secret", 2).await.is(400);
    server.stop().await;
}

#[tokio::test]
async fn settings_of_the_store_mount_count_as_use() {
    for (path, body) in
        [("secret/config", json!({"max_versions": 3})), ("sys/mounts/secret/tune", json!({"description": "d"}))]
    {
        let (server, token) = started().await;
        server.as_token(&token, "POST", &format!("/v1/{path}"), body).await.is(204);
        enable(&server, &token, "secret", 1).await.is(400);
        enable(&server, &token, "secret", 2).await.is(204);
        server.stop().await;
    }
}

#[tokio::test]
async fn mount_moves_to_where_the_store_has_an_empty_one() {
    let (server, token) = started().await;
    enable(&server, &token, "kv", 1).await.is(204);
    server.as_token(&token, "POST", "/v1/kv/a", json!({"k": "v"})).await.is(204);
    let moved = json!({"from": "kv", "to": "secret"});
    server.as_token(&token, "POST", "/v1/sys/remount", moved).await.is(200);
    assert_eq!(server.as_token(&token, "GET", "/v1/secret/a", Value::Null).await.data()["k"], "v");
    server.stop().await;
}

#[tokio::test]
async fn writers_and_who_takes_the_place_do_not_lose_what_was_stored() {
    let (server, token) = started().await;
    let write = async |key: usize| {
        let path = format!("/v1/secret/data/{key}");
        server.as_token(&token, "POST", &path, json!({"data": {"k": key}})).await.status
    };
    let (first, enabled, second) =
        tokio::join!(write(1), async { enable(&server, &token, "secret", 2).await.status }, write(2));
    assert_eq!(enabled, 204);
    for (key, status) in [(1, first), (2, second)] {
        let read = server.as_token(&token, "GET", &format!("/v1/secret/data/{key}"), Value::Null).await.status;
        match status {
            200 => assert_eq!(read, 200, "{key} was stored"),
            404 => assert_eq!(read, 404),
            other => panic!("{other}"),
        }
    }
    server.stop().await;
}
