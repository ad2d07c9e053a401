//! The OpenAPI document in the repository is the one that the server serves.

use std::path::Path;

use crate::server::TestServer;

#[test]
fn openapi_document_in_the_repository_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi.json");
    let made = coffer_server::openapi_document();
    if std::env::var_os("COFFER_GENERATE").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "openapi.json is out of date: run `make gen`");
}

#[tokio::test]
async fn openapi_document_is_served_to_anybody() {
    let server = TestServer::dev().await;
    let reply = server.raw("GET", "/openapi.json", None, "").await.is(200);
    assert_eq!(reply.headers["content-type"], "application/json");
    assert_eq!(reply.text(), coffer_server::openapi_document());
    let document = reply.json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    server.stop().await;
}
