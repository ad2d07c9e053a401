//! The unix socket and the first five minutes.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::server::TestServer;

/// A request over the unix socket.
pub(crate) async fn local(server: &TestServer, method: &str, path: &str) -> (u16, Value) {
    let stream = UnixStream::connect(server.dir.path().join("coffer.sock")).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let driving = tokio::spawn(connection);
    let request =
        Request::builder().method(method).uri(path).header("host", "local").body(Full::new(Bytes::new())).unwrap();
    let reply = sender.send_request(request).await.unwrap();
    let status = reply.status().as_u16();
    let body = reply.into_body().collect().await.unwrap().to_bytes();
    driving.abort();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

async fn login(server: &TestServer) -> Option<String> {
    let path = server.initial_token.clone().unwrap();
    let initial = std::fs::read_to_string(path).ok()?;
    let reply = server.raw("POST", "/api/v1/login/initial", Some(initial.trim()), "").await;
    (reply.status == 200).then(|| reply.json()["token"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn initial_token_is_exchanged_once() {
    let server = TestServer::with_data().await;
    let path = server.initial_token.clone().unwrap();
    assert!(
        server.greeting.contains(&path.display().to_string()) && server.greeting.contains("coffer login --initial")
    );
    let initial = std::fs::read_to_string(&path).unwrap();
    assert!(!server.greeting.contains(initial.trim()));
    let token = login(&server).await.unwrap();
    let info = server.as_token(&token, "GET", "/api/v1/tokens/self", Value::Null).await.is(200).json();
    assert_eq!(info["policies"], json!(["administrator"]));
    assert!(!path.exists());
    server.raw("POST", "/api/v1/login/initial", Some(initial.trim()), "").await.is(401);
    server.raw("POST", "/api/v1/login/initial", Some(&token), "").await.is(401);
    server.raw("POST", "/api/v1/login/initial", None, "").await.is(401);
    server.stop().await;
}

#[tokio::test]
async fn operator_on_the_machine_needs_no_token() {
    let server = TestServer::with_data().await;
    assert_eq!(local(&server, "POST", "/api/v1/operator/seal").await.0, 204);
    server.raw("GET", "/readyz", None, "").await.is(503);
    assert_eq!(local(&server, "POST", "/api/v1/operator/seal").await.0, 204);
    assert_eq!(local(&server, "POST", "/api/v1/operator/initial-token").await.0, 503);
    assert_eq!(local(&server, "POST", "/api/v1/operator/unseal").await.0, 204);
    server.raw("GET", "/readyz", None, "").await.is(200);
    assert!(login(&server).await.is_some());
    let (status, body) = local(&server, "POST", "/api/v1/operator/initial-token").await;
    assert_eq!((status, body["path"].as_str()), (200, server.initial_token.as_ref().unwrap().to_str()));
    assert!(login(&server).await.is_some());
    assert_eq!(local(&server, "POST", "/api/v1/operator/clock-accept").await.0, 204);
    // Everything else needs a token there as well.
    assert_eq!(local(&server, "GET", "/v1/secret/data/x").await.0, 403);
    assert_eq!(local(&server, "GET", "/api/v1/tokens/self").await.0, 401);
    server.stop().await;
}

#[tokio::test]
async fn initial_token_made_on_the_machine_is_in_the_log() {
    let server = TestServer::with_data().await;
    let token = login(&server).await.unwrap();
    let asked = async || {
        let path = "/api/v1/audit/entries?action=token.create_initial";
        let page = server.as_token(&token, "GET", path, Value::Null).await.is(200).json();
        page["entries"].as_array().unwrap().iter().map(|entry| entry["entry"].clone()).collect::<Vec<Value>>()
    };
    let first = asked().await;
    assert_eq!((first.len(), &first[0]["actor"]["type"]), (1, &json!("system")), "{first:?}");
    assert_eq!(local(&server, "POST", "/api/v1/operator/initial-token").await.0, 200);
    let both = asked().await;
    assert_eq!(both.len(), 2, "{both:?}");
    let uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(server.dir.path()).unwrap());
    assert_eq!((&both[1]["actor"]["type"], &both[1]["out"]), (&json!("local"), &json!("success")));
    assert_eq!(both[1]["src"]["uid"].to_string().trim_matches('"'), uid.to_string(), "{}", both[1]);
    // It is good for a day.
    let initial = std::fs::read_to_string(server.initial_token.clone().unwrap()).unwrap();
    let info = server.as_token(initial.trim(), "GET", "/api/v1/tokens/self", Value::Null).await.is(200).json();
    assert_eq!(info["creation_ttl"], 24 * 3600);
    server.stop().await;
}

#[tokio::test]
async fn network_may_not_do_what_the_socket_may() {
    let server = TestServer::with_data().await;
    for path in ["unseal", "initial-token", "clock-accept"] {
        let reply = server.raw("POST", &format!("/api/v1/operator/{path}"), None, "").await;
        assert_eq!(reply.is(403).json()["code"], "denied", "{path}");
    }
    server.raw("POST", "/api/v1/operator/seal", None, "").await.is(401);
    let token = login(&server).await.unwrap();
    server.as_token(&token, "POST", "/api/v1/operator/seal", Value::Null).await.is(204);
    server.raw("POST", "/api/v1/operator/unseal", None, "").await.is(403);
    server.raw("GET", "/readyz", None, "").await.is(503);
    server.stop().await;
}

#[tokio::test]
async fn socket_goes_with_the_server() {
    let server = TestServer::with_data().await;
    let path = server.dir.path().join("coffer.sock");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&path).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    let keep = server.dir.path().to_owned();
    server.stop().await;
    assert!(!keep.join("coffer.sock").exists());
}
