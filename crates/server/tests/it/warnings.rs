//! What an endpoint says of parameters that it passed over.

use serde_json::{Value, json};

use crate::server::{ROOT, TestServer};

fn ignored(names: &str) -> String {
    format!("Endpoint ignored these unrecognized parameters: [{names}]")
}

fn replaced(names: &str) -> String {
    format!(
        "Endpoint replaced the value of these parameters with the values captured from the endpoint's path: [{names}]"
    )
}

#[tokio::test]
async fn unknown_parameters_are_told_in_replies_with_a_body() {
    let server = TestServer::dev().await;
    let warnings = async |method: &str, path: &str, body: Value| {
        server.root(method, &format!("/v1/{path}"), body).await.is(200).json()["warnings"].take()
    };
    let write = json!({"data": {"a": 1}, "foo": 1, "bar": null, "path": "x"});
    assert_eq!(warnings("POST", "secret/data/w", write).await, json!([ignored("bar foo"), replaced("path")]));
    assert_eq!(warnings("POST", "secret/data/w", json!({"data": {}, "path": null})).await, Value::Null);
    for (method, path, told) in [
        ("GET", "secret/data/w?version=1&foo=1", json!([ignored("foo")])),
        ("GET", "secret/data/w?version=1", Value::Null),
        ("GET", "secret/data/w?list=false&x=1", json!([ignored("list x")])),
        ("GET", "secret/metadata?list=true&x=1", json!([ignored("x")])),
        ("LIST", "secret/metadata?list=true&x=1", json!([ignored("list x")])),
        ("LIST", "secret/metadata?after=a&limit=2", Value::Null),
        ("GET", "sys/mounts/secret/tune?x=1", json!([ignored("x")])),
        ("GET", "sys/policies/acl/default?name=y", json!([replaced("name")])),
        ("GET", "auth/token/lookup-self?x=1&x=2&y", json!([ignored("x y")])),
    ] {
        assert_eq!(warnings(method, path, Value::Null).await, told, "{method} {path}");
    }
    assert_eq!(warnings("POST", "auth/token/create", json!({"x": 1})).await, json!([ignored("x")]));
    // Keys at the top level stay where they are, and the token is the one that was made.
    let paths = json!({"paths": ["a", "warnings"], "token": "x", "more": 1});
    let told = server.root("POST", "/v1/sys/capabilities-self", paths).await.is(200).json();
    assert_eq!((&told["a"], &told["data"]["a"]), (&json!(["root"]), &json!(["root"])));
    server.stop().await;
}

#[tokio::test]
async fn nothing_is_told_where_nothing_is_answered_or_it_is_an_absence() {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/cubbyhole/a", json!({"anything": 1})).await.is(204);
    server.root("POST", "/v1/sys/mounts/kv9", json!({"type": "kv", "x": 1})).await.is(204);
    server.root("POST", "/v1/kv9/a", json!({"anything": 1})).await.is(204);
    server.root("POST", "/v1/secret/data/gone", json!({"data": {}})).await.is(200);
    server.root("DELETE", "/v1/secret/data/gone?x=1", Value::Null).await.is(204);
    let gone = server.root("GET", "/v1/secret/data/gone?x=1", Value::Null).await.is(404).json();
    assert_eq!((&gone["warnings"], &gone["data"]["data"]), (&Value::Null, &Value::Null));
    assert_eq!(server.root("GET", "/v1/secret/data/none?x=1", Value::Null).await.errors(404), json!([]));
    let health = server.raw("GET", "/v1/sys/health?x=1", None, "").await.is(200).json();
    assert!(health.get("warnings").is_none());
    server.stop().await;
}

#[tokio::test]
async fn logins_and_wrapped_replies_tell_it_too() {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/sys/auth/userpass", json!({"type": "userpass"})).await.is(204);
    server.root("POST", "/v1/auth/userpass/users/ada", json!({"password": "pw"})).await.is(204);
    let body = r#"{"password":"pw","username":"bob","otp":"1"}"#;
    let told = json!([ignored("otp"), replaced("username")]);
    let login = server.raw("POST", "/v1/auth/userpass/login/ada", None, body).await.is(200).json();
    assert_eq!((&login["warnings"], &login["auth"]["metadata"]["username"]), (&told, &json!("ada")));

    let mut request = server.request("POST", "/v1/auth/userpass/login/ada", None, body);
    request.headers_mut().insert("x-vault-wrap-ttl", "60".parse().unwrap());
    let wrapped = server.send(request).await.is(200).json();
    assert_eq!(wrapped["warnings"], Value::Null);
    let token = wrapped["wrap_info"]["token"].as_str().unwrap();
    let lookup = json!({"token": token, "x": 1});
    let looked_up = server.root("POST", "/v1/sys/wrapping/lookup", lookup).await.is(200).json();
    assert_eq!(looked_up["warnings"], json!([ignored("x")]));
    let unwrapped = server.raw("POST", "/v1/sys/wrapping/unwrap", Some(token), r#"{"x":1}"#).await.is(200).json();
    assert_eq!((&unwrapped["warnings"], unwrapped["auth"].is_object()), (&told, true));

    let mut request = server.request("GET", "/v1/sys/mounts/secret?x=1", Some(ROOT), "");
    request.headers_mut().insert("x-vault-wrap-ttl", "60".parse().unwrap());
    let wrapped = server.send(request).await.is(200).json();
    let token = wrapped["wrap_info"]["token"].as_str().unwrap();
    let unwrapped = server.raw("POST", "/v1/sys/wrapping/unwrap", Some(token), "").await.is(200).json();
    assert_eq!((&unwrapped["warnings"], &unwrapped["data"]["type"]), (&json!([ignored("x")]), &json!("kv")));
    server.stop().await;
}
