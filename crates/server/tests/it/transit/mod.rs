//! Transit: keys that are used on the server and stay there.

mod batch;
mod hostile;
mod life;
mod openssl;
mod outside;
mod slow;
mod uses;

use serde_json::{Value, json};

use crate::server::{Reply, TestServer};

/// A server with a mount of transit at `transit/`.
pub(super) async fn with_transit() -> TestServer {
    let server = TestServer::dev().await;
    mount(&server, "transit").await;
    server
}

async fn mount(server: &TestServer, path: &str) {
    server.root("POST", &format!("/v1/sys/mounts/{path}"), json!({"type": "transit"})).await.is(204);
}

/// Asks below `transit/` as root.
async fn ask(server: &TestServer, method: &str, path: &str, body: Value) -> Reply {
    server.root(method, &format!("/v1/transit/{path}"), body).await
}

/// Writes below `transit/` as root, and takes the data.
async fn post(server: &TestServer, path: &str, body: Value) -> Value {
    ask(server, "POST", path, body).await.data()
}

/// The first error of a refused write.
async fn refused(server: &TestServer, path: &str, body: Value) -> String {
    let shown = format!("{path} {body}");
    let errors = ask(server, "POST", path, body).await.errors(400);
    errors[0].as_str().unwrap_or_else(|| panic!("{shown}: {errors}")).to_owned()
}

async fn key(server: &TestServer, name: &str, body: Value) {
    ask(server, "POST", &format!("keys/{name}"), body).await.is(200);
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// `hello` in base64.
const PLAIN: &str = "aGVsbG8=";
/// `msg` in base64.
const MESSAGE: &str = "bXNn";
/// All types of keys, with what they are for: encrypt, sign, derive.
const TYPES: [(&str, &str); 11] = [
    ("aes128-gcm96", "ed"),
    ("aes256-gcm96", "ed"),
    ("chacha20-poly1305", "ed"),
    ("xchacha20-poly1305", "ed"),
    ("rsa-2048", "es"),
    ("rsa-3072", "es"),
    ("rsa-4096", "es"),
    ("ecdsa-p256", "s"),
    ("ecdsa-p384", "s"),
    ("ecdsa-p521", "s"),
    ("ed25519", "sd"),
];
