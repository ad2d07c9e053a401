//! A standby's redirect: followed once, with the token, to the address named and for the same path alone.

use coffer_client::{Address, Client, Error};

use crate::stub::{Stub, json, redirect};

const POLICY: &str = r#"{"name":"p","policy":"text"}"#;

#[tokio::test]
async fn redirect_to_the_active_node_is_followed_with_the_token() {
    let active = Stub::start(|_| json(200, POLICY)).await;
    let location = format!("{}/api/v1/policies/p", active.url);
    let standby = Stub::start(move |_| redirect(&location)).await;
    assert_eq!(standby.client().policy_read("p").await.unwrap().policy, "text");
    let asked = active.asked();
    assert_eq!(asked[0].header("x-vault-token"), Some("canary-token"));
    assert_eq!(asked[0].header("host"), Some(active.url.trim_start_matches("http://")));
}

#[tokio::test]
async fn body_survives_the_redirect() {
    let active = Stub::start(|_| b"HTTP/1.1 204 X\r\n\r\n".to_vec()).await;
    let location = format!("{}/api/v1/policies/p", active.url);
    let standby = Stub::start(move |_| redirect(&location)).await;
    let put = coffer_api::policy::PolicyPut { policy: "text".into() };
    standby.client().policy_write("p", &put).await.unwrap();
    assert_eq!(active.asked()[0].body, r#"{"policy":"text"}"#);
    assert!(active.asked()[0].line.starts_with("PUT "));
}

#[tokio::test]
async fn second_redirect_is_refused() {
    let end = Stub::start(|_| json(200, POLICY)).await;
    let location = format!("{}/api/v1/policies/p", end.url);
    let second = Stub::start(move |_| redirect(&location)).await;
    let location = format!("{}/api/v1/policies/p", second.url);
    let first = Stub::start(move |_| redirect(&location)).await;
    let error = first.client().policy_read("p").await.unwrap_err();
    assert!(matches!(error, Error::Redirect { .. }), "{error:?}");
    assert!(end.asked().is_empty());
}

#[tokio::test]
async fn redirect_elsewhere_is_refused() {
    let other = Stub::start(|_| json(200, POLICY)).await;
    for location in [
        format!("{}/api/v1/policies/other", other.url),
        format!("{}/api/v1/policies/p?x=1", other.url),
        "ftp://127.0.0.1:1/api/v1/policies/p".to_owned(),
        "/api/v1/policies/p".to_owned(),
        String::new(),
    ] {
        let standby = Stub::start(move |_| redirect(&location)).await;
        let error = standby.client().policy_read("p").await.unwrap_err();
        assert!(matches!(error, Error::Redirect { .. }), "{error:?}");
    }
    assert!(other.asked().is_empty());
}

#[tokio::test]
async fn redirect_from_a_unix_socket_is_refused() {
    let other = Stub::start(|_| json(200, POLICY)).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("s");
    let location = format!("{}/api/v1/operator/seal", other.url);
    let _stub = Stub::start_unix(&path, move |_| redirect(&location)).await;
    let error = Client::new(Address::unix(&path)).operator_seal().await.unwrap_err();
    assert!(matches!(error, Error::Redirect { .. }), "{error:?}");
    assert!(other.asked().is_empty());
}
