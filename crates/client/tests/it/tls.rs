//! TLS: which servers are believed, and what is never sent to others.

use coffer_client::{Client, Error, TrustError};

use crate::stub::{Stub, json, redirect};

const POLICY: &str = r#"{"name":"p","policy":""}"#;

#[tokio::test]
async fn server_that_a_named_authority_vouches_for_is_believed() {
    let (stub, authority) = Stub::start_tls(|_| json(200, POLICY)).await;
    let client = stub.client().with_authorities(authority.as_bytes()).unwrap();
    client.policy_read("p").await.unwrap();
    client.policy_read("p").await.unwrap();
    let asked = stub.asked();
    assert_eq!(asked.len(), 2);
    assert!(asked.iter().all(|asked| asked.connection == 0), "one connection: {asked:?}");
}

#[tokio::test]
async fn server_that_nobody_vouches_for_gets_no_request() {
    let (stub, _) = Stub::start_tls(|_| json(200, POLICY)).await;
    let (_, another) = Stub::start_tls(|_| json(200, POLICY)).await;
    let strangers = stub.client().with_authorities(another.as_bytes()).unwrap();
    // The machine's authorities do not know it either.
    for client in [stub.client(), strangers] {
        let error = client.policy_read("p").await.unwrap_err();
        assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    }
    assert!(stub.asked().is_empty());
}

#[tokio::test]
async fn certificate_for_another_name_is_refused() {
    let (mut stub, authority) = Stub::start_tls(|_| json(200, POLICY)).await;
    stub.url = stub.url.replace("localhost", "127.0.0.1");
    let client = stub.client().with_authorities(authority.as_bytes()).unwrap();
    assert!(matches!(client.policy_read("p").await.unwrap_err(), Error::Tls { .. }));
    assert!(stub.asked().is_empty());
}

#[tokio::test]
async fn authority_that_serves_with_its_own_certificate_is_told_so() {
    let is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let (stub, authority) = Stub::start_tls_as(is_ca, |_| json(200, POLICY)).await;
    let client = stub.client().with_authorities(authority.as_bytes()).unwrap();
    let error = client.policy_read("p").await.unwrap_err();
    assert!(matches!(error, Error::Authority { .. }), "{error:?}");
    assert!(stub.asked().is_empty());
}

#[tokio::test]
async fn redirect_from_tls_to_plain_http_is_refused() {
    let plain = Stub::start(|_| json(200, POLICY)).await;
    let location = format!("{}/api/v1/policies/p", plain.url);
    let (stub, authority) = Stub::start_tls(move |_| redirect(&location)).await;
    let client = stub.client().with_authorities(authority.as_bytes()).unwrap();
    let error = client.policy_read("p").await.unwrap_err();
    assert!(matches!(error, Error::Redirect { .. }), "{error:?}");
    assert!(plain.asked().is_empty());
}

#[tokio::test]
async fn server_without_tls_is_told_apart_from_one_that_is_away() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let error = Client::new(url.parse().unwrap()).policy_read("p").await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
}

#[tokio::test]
async fn authorities_that_are_none_are_refused() {
    let (stub, authority) = Stub::start_tls(|_| json(200, POLICY)).await;
    for text in ["", "nonsense", &authority[..authority.len() / 2]] {
        assert!(matches!(stub.client().with_authorities(text.as_bytes()), Err(TrustError::Empty)), "{text}");
    }
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(stub.client().with_authorities(garbage.as_bytes()), Err(TrustError::Unusable(_))));
}
