//! A backup on its way to a client.

use coffer_api::Sensitive;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

use crate::server::TestServer;

const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_that_outgrows_its_bound_ends_with_the_reason_and_the_server_goes_on() {
    let server = TestServer::with(|overrides, dir| {
        overrides.storage = Some(Sensitive::new(format!("sqlite:{}/store.db", dir.display())));
        overrides.data = Some(dir.to_owned());
        overrides.limits.backup_growth_bytes = Some(1 << 20);
    })
    .await;
    let initial = std::fs::read_to_string(server.initial_token.clone().unwrap()).unwrap();
    let grant = server.raw("POST", "/api/v1/login/initial", Some(initial.trim()), "").await.is(200).json();
    let token = grant["token"].as_str().unwrap().to_owned();
    let set = async |n: usize| {
        let value = json!({"value": "v".repeat((1 << 20) - 4096)});
        server.as_token(&token, "PUT", &format!("/api/v1/secrets/acme/LARGE_{n}"), value).await.is(200);
    };
    // More than waits between the two while the client does not read.
    for n in 0..32 {
        set(n).await;
    }
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let mut stream = socket.connect(server.address).await.unwrap();
    let body = json!({"recipient": RECIPIENT}).to_string();
    let request = format!(
        "POST /api/v1/backup HTTP/1.1\r\nhost: {}\r\nx-vault-token: {token}\r\ncontent-type: application/json\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        server.address,
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut reply = vec![0; 100];
    stream.read_exact(&mut reply).await.unwrap();
    assert!(reply.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&reply));
    for n in 0..4 {
        set(n).await;
    }
    // To its end: the connection is not broken off.
    stream.read_to_end(&mut reply).await.unwrap();
    assert!(reply.len() < 32 << 20, "all of it came");
    let end = String::from_utf8_lossy(&reply[reply.len() - 400..]).into_owned();
    assert!(end.contains("the write-ahead log grew to its bound"), "{end}");
    assert!(end.ends_with("0\r\n\r\n"), "{end}");
    set(5).await;
    let ends =
        server.as_token(&token, "GET", "/api/v1/audit/entries?action=backup.end", json!(null)).await.is(200).json();
    assert_eq!(ends["entries"][0]["entry"]["out"], "error", "{ends}");
    server.stop().await;
}
