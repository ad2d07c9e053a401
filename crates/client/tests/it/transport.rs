//! Time, size, broken and reused connections.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use coffer_api::operator::{Rotate, Rotated};
use coffer_client::{Address, Client, Error};
use tokio::net::TcpListener;

use crate::stub::{Stub, json};

const HEALTH: &str = r#"{"status":"ok"}"#;

#[tokio::test]
async fn server_that_never_answers_times_out() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let client = Client::new(url.parse().unwrap()).with_timeout(Duration::from_millis(50));
    assert!(matches!(client.health().await.unwrap_err(), Error::Timeout { .. }));
}

#[tokio::test]
async fn body_that_stops_half_way_times_out() {
    let stub = Stub::start(|_| b"HTTP/1.1 200 X\r\ncontent-length: 100\r\n\r\n{".to_vec()).await;
    let client = stub.client().with_timeout(Duration::from_millis(50));
    assert!(matches!(client.health().await.unwrap_err(), Error::Timeout { .. }));
}

#[tokio::test]
async fn nobody_listening_is_a_connect_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = Client::new(url.parse().unwrap()).health().await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    let directory = tempfile::tempdir().unwrap();
    let error = Client::new(Address::unix(directory.path().join("none"))).health().await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn reply_longer_than_the_limit_is_refused_by_its_header_and_by_its_bytes() {
    let declared = Stub::start(|_| b"HTTP/1.1 200 X\r\ncontent-length: 999999999999\r\n\r\n".to_vec()).await;
    let error = declared.client().health().await.unwrap_err();
    assert!(matches!(error, Error::ReplyTooLarge { .. }), "{error:?}");
    let chunked = Stub::start(|_| {
        let chunk = format!("400\r\n{}\r\n", " ".repeat(1024));
        format!("HTTP/1.1 200 X\r\ntransfer-encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(9)).into_bytes()
    })
    .await;
    let error = chunked.client().with_reply_limit(8 * 1024).health().await.unwrap_err();
    assert!(matches!(error, Error::ReplyTooLarge { limit: 8192, .. }), "{error:?}");
}

#[tokio::test]
async fn hang_up_before_the_reply_is_not_sent_twice() {
    let stub = Stub::start(|_| Vec::new()).await;
    let error = stub.client().operator_rotate(Rotate { key: Rotated::Barrier }).await.unwrap_err();
    assert!(matches!(error, Error::Transport { .. }), "{error:?}");
    assert_eq!(stub.asked().len(), 1);
}

#[tokio::test]
async fn connection_is_used_again() {
    let stub = Stub::start(|_| json(200, HEALTH)).await;
    let client = stub.client();
    for _ in 0..3 {
        client.health().await.unwrap();
    }
    assert!(stub.asked().iter().all(|asked| asked.connection == 0), "{:?}", stub.asked());
}

#[tokio::test]
async fn connection_that_the_server_closed_is_replaced() {
    let count = AtomicUsize::new(0);
    let stub = Stub::start(move |_| {
        let close = if count.fetch_add(1, Ordering::Relaxed) == 0 { "connection: close\r\n" } else { "" };
        format!("HTTP/1.1 200 X\r\n{close}content-length: {}\r\n\r\n{HEALTH}", HEALTH.len()).into_bytes()
    })
    .await;
    let client = stub.client();
    client.health().await.unwrap();
    client.health().await.unwrap();
    assert_eq!(stub.asked().iter().map(|asked| asked.connection).collect::<Vec<_>>(), [0, 1]);
}

#[tokio::test]
async fn token_that_could_smuggle_a_header_is_refused() {
    for token in ["", "a b", "a\r\nx: y", "tök", "a\0"] {
        let client = Client::new("http://127.0.0.1:1".parse().unwrap());
        assert!(matches!(client.with_token(&token.into()), Err(Error::Token)), "{token:?}");
    }
}

#[tokio::test]
async fn unix_socket_is_spoken_to() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let stub = Stub::start_unix(&path, |_| b"HTTP/1.1 204 X\r\n\r\n".to_vec()).await;
    Client::new(Address::unix(&path)).operator_unseal().await.unwrap();
    assert_eq!(stub.asked()[0].line, "POST /api/v1/operator/unseal HTTP/1.1");
}
