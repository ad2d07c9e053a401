//! Response wrapping from outside.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::server::{ROOT, Reply, TestServer, text};

const NOT_VALID: &str = "wrapping token is not valid or does not exist";

/// A request that asks for wrapping.
async fn wrapped(server: &TestServer, token: Option<&str>, method: &str, path: &str, body: Value, ttl: &str) -> Reply {
    let mut request = server.request(method, path, token, &text(&body));
    request.headers_mut().insert("x-vault-wrap-ttl", ttl.parse().unwrap());
    server.send(request).await
}

/// The `wrap_info` of root's request, which is all that the reply has.
async fn wrap(server: &TestServer, method: &str, path: &str, body: Value) -> Value {
    info(wrapped(server, Some(ROOT), method, path, body, "60").await)
}

fn info(reply: Reply) -> Value {
    let mut body = reply.is(200).json();
    let info = body["wrap_info"].take();
    assert_eq!(
        body,
        json!({"request_id": "", "lease_id": "", "renewable": false, "lease_duration": 0, "data": null,
            "wrap_info": null, "warnings": null, "auth": null})
    );
    info
}

fn of<'a>(info: &'a Value, key: &str) -> &'a str {
    info[key].as_str().unwrap()
}

async fn unwrap(server: &TestServer, token: &str) -> Reply {
    server.raw("POST", "/v1/sys/wrapping/unwrap", Some(token), "").await
}

async fn unwrap_for(server: &TestServer, by: &str, token: &str) -> Reply {
    server.as_token(by, "PUT", "/v1/sys/wrapping/unwrap", json!({"token": token})).await
}

#[tokio::test]
async fn read_is_wrapped_looked_up_and_unwrapped_once() {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/secret/data/wr", json!({"data": {"s": 1}})).await.is(200);
    let plain = server.root("GET", "/v1/secret/data/wr", Value::Null).await.json();
    let info = wrap(&server, "GET", "/v1/secret/data/wr", Value::Null).await;
    assert_eq!(
        info.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["accessor", "creation_path", "creation_time", "token", "ttl"]
    );
    assert_eq!((&info["ttl"], &info["creation_path"]), (&json!(60), &json!("secret/data/wr")));
    let token = of(&info, "token");
    assert!(token.starts_with("hvs.") && token.len() == 28, "{token}");
    let expected =
        json!({"creation_path": "secret/data/wr", "creation_time": info["creation_time"], "creation_ttl": 60});
    let path = "/v1/sys/wrapping/lookup";
    let by_body = json!({"token": token}).to_string();
    for (by, method, path, body) in [
        (Some(ROOT), "POST", path, by_body.as_str()),
        (None, "POST", path, by_body.as_str()),
        (Some("nosuch"), "POST", path, by_body.as_str()),
        (Some(token), "POST", path, ""),
        (Some(token), "GET", path, ""),
        (None, "GET", &format!("{path}?token={token}"), ""),
    ] {
        assert_eq!(server.raw(method, path, by, body).await.data(), expected, "{method} {path} by {by:?}");
    }
    let unwrapped = unwrap(&server, token).await.is(200).json();
    assert_eq!((&unwrapped["data"], &unwrapped["auth"]), (&plain["data"], &Value::Null));
    assert!(unwrapped["request_id"].as_str().unwrap().len() == 36 && unwrapped["request_id"] != plain["request_id"]);
    assert_eq!(unwrap(&server, token).await.errors(400), json!([NOT_VALID]));
    assert_eq!(unwrap_for(&server, ROOT, token).await.errors(400), json!([NOT_VALID]));
    let gone = server.raw("POST", path, Some(token), "").await;
    assert_eq!(gone.errors(400), json!([NOT_VALID]));
    server.stop().await;
}

#[tokio::test]
async fn wrap_ttl_that_means_nothing_is_refused_before_anything_happens() {
    let server = TestServer::dev().await;
    for (ttl, why) in [
        ("bogus", "error parsing X-Vault-Wrap-TTL header: time: invalid duration \"bogus\""),
        ("-5", "error parsing X-Vault-Wrap-TTL header: requested wrap ttl cannot be negative"),
    ] {
        let reply = wrapped(&server, Some(ROOT), "POST", "/v1/secret/data/w", json!({"data": {}}), ttl).await;
        assert_eq!(reply.errors(400), json!([why]));
        let login = wrapped(&server, None, "POST", "/v1/auth/up/login/ada", json!({"password": "x"}), ttl).await;
        assert_eq!(login.errors(400), json!([why]));
        let unknown = wrapped(&server, None, "GET", "/v1/secret/data/w", Value::Null, ttl).await;
        assert_eq!(unknown.errors(400), json!([why]));
    }
    server.root("GET", "/v1/secret/data/w", Value::Null).await.is(404);
    for none in ["", "0", "0s"] {
        let reply = wrapped(&server, Some(ROOT), "GET", "/v1/sys/mounts", Value::Null, none).await;
        assert!(reply.data().is_object(), "{none}");
    }
    let long = info(wrapped(&server, Some(ROOT), "GET", "/v1/sys/mounts", Value::Null, "90000000").await);
    assert_eq!(long["ttl"], 90_000_000, "longer than any lease");
    server.stop().await;
}

#[tokio::test]
async fn what_has_no_body_or_is_an_error_comes_back_plain() {
    let server = TestServer::dev().await;
    let ask =
        async |method: &str, path: &str, body: Value| wrapped(&server, Some(ROOT), method, path, body, "60").await;
    assert_eq!(ask("GET", "/v1/secret/data/nosuch", Value::Null).await.errors(404), json!([]));
    // What tells more of an absence is wrapped, and is an absence again when it is unwrapped.
    server.root("POST", "/v1/secret/data/deleted", json!({"data": {}})).await.is(200);
    server.root("DELETE", "/v1/secret/data/deleted", Value::Null).await.is(204);
    let deleted = info(ask("GET", "/v1/secret/data/deleted", Value::Null).await);
    let told = unwrap(&server, of(&deleted, "token")).await.is(404).json();
    assert_eq!((&told["data"]["data"], &told["data"]["metadata"]["version"]), (&Value::Null, &json!(1)));
    ask("POST", "/v1/sys/mounts/kv9", json!({"type": "kv-v2"})).await.is(204);
    ask("POST", "/v1/secret/data/x", json!({})).await.is(400);
    wrapped(&server, None, "GET", "/v1/secret/data/x", Value::Null, "60").await.is(403);
    assert_eq!(ask("GET", "/v1/sys/health", Value::Null).await.is(200).json()["sealed"], false);
    server.stop().await;
}

#[tokio::test]
async fn wrapped_token_is_named_by_its_accessor_and_works_once_unwrapped() {
    let server = TestServer::dev().await;
    let info = wrap(&server, "POST", "/v1/auth/token/create", json!({"policies": ["default", "nosuch"]})).await;
    let reply = unwrap_for(&server, ROOT, of(&info, "token")).await.is(200).json();
    assert_eq!(reply["auth"]["accessor"], info["wrapped_accessor"]);
    assert_eq!(reply["warnings"], json!(["Policy \"nosuch\" does not exist"]));
    let inner = of(&reply["auth"], "client_token");
    server.as_token(inner, "GET", "/v1/auth/token/lookup-self", Value::Null).await.is(200);

    // As the original: who revokes the wrapping token leaves the wrapped one, whose accessor it was told.
    let info = wrap(&server, "POST", "/v1/auth/token/create", json!({"policies": ["default"]})).await;
    let accessor = json!({"accessor": info["accessor"]});
    server.root("POST", "/v1/auth/token/revoke-accessor", accessor).await.is(204);
    assert_eq!(unwrap(&server, of(&info, "token")).await.errors(400), json!([NOT_VALID]));
    let inner = json!({"accessor": info["wrapped_accessor"]});
    server.root("POST", "/v1/auth/token/lookup-accessor", inner.clone()).await.is(200);
    server.root("POST", "/v1/auth/token/revoke-accessor", inner).await.is(204);
    server.stop().await;
}

#[tokio::test]
async fn login_is_wrapped() {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/sys/auth/up", json!({"type": "userpass"})).await.is(204);
    server.root("POST", "/v1/auth/up/users/ada", json!({"password": "pw"})).await.is(204);
    let login = async |password: &str| {
        wrapped(&server, None, "POST", "/v1/auth/up/login/ada", json!({"password": password}), "5m").await
    };
    login("wrong").await.is(400);
    let info = info(login("pw").await);
    assert_eq!((&info["ttl"], of(&info, "creation_path")), (&json!(300), "auth/up/login/ada"));
    let auth = unwrap(&server, of(&info, "token")).await.is(200).json()["auth"].take();
    assert_eq!(auth["accessor"], info["wrapped_accessor"]);
    let own = server.as_token(of(&auth, "client_token"), "GET", "/v1/auth/token/lookup-self", Value::Null).await;
    assert_eq!(own.data()["path"], "auth/up/login/ada");
    server.stop().await;
}

#[tokio::test]
async fn data_of_ones_own_is_wrapped_by_its_endpoint() {
    let server = TestServer::dev().await;
    let path = "/v1/sys/wrapping/wrap";
    let refused = server.root("POST", path, json!({"foo": "bar"})).await;
    assert_eq!(refused.errors(400), json!(["endpoint requires response wrapping to be used"]));
    let body = r#"{"foo":"bar","n":12345678901234567890}"#;
    let mut request = server.request("POST", path, Some(ROOT), body);
    request.headers_mut().insert("x-vault-wrap-ttl", "5m".parse().unwrap());
    let found = info(server.send(request).await);
    assert_eq!((&found["ttl"], of(&found, "creation_path")), (&json!(300), "sys/wrapping/wrap"));
    assert!(unwrap(&server, of(&found, "token")).await.is(200).text().contains(&format!(r#""data":{body}"#)));
    for (method, path) in [("GET", path), ("GET", "/v1/sys/wrapping/unwrap"), ("LIST", "/v1/sys/wrapping/rewrap")] {
        wrapped(&server, Some(ROOT), method, path, Value::Null, "60").await.one_of(&[404, 405]);
    }
    let large = json!({"x": "a".repeat(3 << 20)});
    let accessors = async || server.root("LIST", "/v1/auth/token/accessors", Value::Null).await.data();
    let before = accessors().await;
    wrapped(&server, Some(ROOT), "POST", path, large, "60").await.is(413);
    assert_eq!(accessors().await, before);
    server.stop().await;
}

#[tokio::test]
async fn rewrap_moves_the_reply_to_a_fresh_token() {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/secret/data/a/b", json!({"data": {"s": 1}})).await.is(200);
    let list = wrap(&server, "LIST", "/v1/secret/metadata", Value::Null).await;
    assert_eq!(of(&list, "creation_path"), "secret/metadata/", "a list keeps its slash");
    let rewrap = "/v1/sys/wrapping/rewrap";
    let body = json!({"token": list["token"]});
    // The lifetime stays what it was.
    let again = info(wrapped(&server, Some(ROOT), "POST", rewrap, body.clone(), "300").await);
    assert_eq!((&again["ttl"], of(&again, "creation_path")), (&json!(60), "secret/metadata/"));
    assert_ne!(again["token"], list["token"]);
    assert_eq!(server.root("POST", rewrap, body).await.errors(400), json!([NOT_VALID]));
    assert_eq!(unwrap_for(&server, ROOT, of(&list, "token")).await.errors(400), json!([NOT_VALID]));
    assert_eq!(unwrap(&server, of(&again, "token")).await.data(), json!({"keys": ["a/"]}));

    // The policy of wrapping tokens gives no more than to unwrap: asking spends the token.
    let info = wrap(&server, "GET", "/v1/secret/data/a/b", Value::Null).await;
    server.raw("POST", rewrap, Some(of(&info, "token")), "").await.is(403);
    assert_eq!(server.raw("POST", rewrap, Some(of(&info, "token")), "").await.errors(400), json!([NOT_VALID]));
    assert_eq!(unwrap(&server, of(&info, "token")).await.errors(400), json!([NOT_VALID]));
    server.stop().await;
}

#[tokio::test]
async fn wrapping_token_does_nothing_else() {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/secret/data/a", json!({"data": {"s": 1}})).await.is(200);
    for (method, path, status) in [
        ("GET", "/v1/secret/data/a", 403),
        ("GET", "/v1/auth/token/lookup-self", 403),
        ("POST", "/v1/auth/token/create", 403),
        ("GET", "/v1/cubbyhole/other", 403),
        ("POST", "/v1/auth/token/revoke-self", 204),
    ] {
        let info = wrap(&server, "GET", "/v1/secret/data/a", Value::Null).await;
        let token = of(&info, "token");
        server.raw(method, path, Some(token), "").await.is(status);
        assert_eq!(unwrap(&server, token).await.errors(400), json!([NOT_VALID]), "{path} was its one use");
    }
    let info = wrap(&server, "GET", "/v1/secret/data/a", Value::Null).await;
    let known = server.root("POST", "/v1/auth/token/lookup", json!({"token": info["token"]})).await.data();
    for (key, value) in [
        ("policies", json!(["response-wrapping"])),
        ("num_uses", json!(1)),
        ("orphan", json!(true)),
        ("renewable", json!(false)),
        ("explicit_max_ttl", json!(60)),
        ("creation_ttl", json!(60)),
        ("path", json!("secret/data/a")),
        ("display_name", json!("token")),
    ] {
        assert_eq!(known[key], value, "{key}");
    }
    let create = server.root("POST", "/v1/auth/token/create", json!({"policies": ["response-wrapping"]})).await;
    assert_eq!(create.errors(400), json!(["cannot assign policy \"response-wrapping\""]));
    let policy = server.root("GET", "/v1/sys/policies/acl/response-wrapping", Value::Null).await.data();
    assert!(policy["policy"].as_str().unwrap().contains("sys/wrapping/unwrap"));
    let listed = server.root("LIST", "/v1/sys/policies/acl", Value::Null).await.text();
    assert!(!listed.contains("response-wrapping"));
    server.stop().await;
}

#[tokio::test]
async fn old_clients_read_it_from_the_cubbyhole() {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/secret/data/a", json!({"data": {"s": 1}})).await.is(200);
    let info = wrap(&server, "GET", "/v1/secret/data/a", Value::Null).await;
    let token = of(&info, "token");
    let read = server.raw("GET", "/v1/cubbyhole/response", Some(token), "").await.is(200).json();
    assert!(read["warnings"][0].as_str().unwrap().starts_with("Reading from 'cubbyhole/response' is deprecated."));
    let inner: Value = serde_json::from_str(read["data"]["response"].as_str().unwrap()).unwrap();
    assert_eq!(inner["data"]["data"], json!({"s": 1}));
    assert_eq!(inner.as_object().unwrap().len(), 8);
    server.raw("GET", "/v1/cubbyhole/response", Some(token), "").await.is(403);
    assert_eq!(unwrap(&server, token).await.errors(400), json!([NOT_VALID]));
    // For any other token it is a path like others.
    server.root("POST", "/v1/cubbyhole/response", json!({"response": "x"})).await.is(204);
    assert_eq!(server.root("GET", "/v1/cubbyhole/response", Value::Null).await.data(), json!({"response": "x"}));
    server.stop().await;
}

#[tokio::test]
async fn who_may_unwrap_is_checked() {
    let server = TestServer::dev().await;
    let info = wrap(&server, "GET", "/v1/sys/mounts", Value::Null).await;
    let token = of(&info, "token");
    let body = json!({"token": token}).to_string();
    let path = "/v1/sys/wrapping/unwrap";
    server.raw("POST", path, None, &body).await.is(403);
    server.raw("POST", path, None, "").await.is(403);
    server.raw("POST", path, Some("hvs.nosuch"), &body).await.is(403);
    assert_eq!(server.raw("POST", path, Some("hvs.nosuch"), "").await.errors(400), json!([NOT_VALID]));
    let none = server.token_with(ROOT, r#"path "x" { capabilities = ["read"] }"#).await;
    unwrap_for(&server, &none, token).await.is(403);
    for not_wrapping in ["bogus", ROOT, none.as_str()] {
        assert_eq!(unwrap_for(&server, ROOT, not_wrapping).await.errors(400), json!([NOT_VALID]));
        let lookup = server.root("POST", "/v1/sys/wrapping/lookup", json!({"token": not_wrapping})).await;
        assert_eq!(lookup.errors(400), json!([NOT_VALID]));
    }
    assert_eq!(unwrap(&server, ROOT).await.errors(400), json!([NOT_VALID]));
    server.raw("POST", "/v1/sys/wrapping/lookup", None, "{}").await.is(403);
    let data = unwrap_for(&server, ROOT, token).await.is(200).json();
    assert!(data["data"]["sys/"].is_object() && data.get("sys/").is_none(), "{data}");
    server.stop().await;
}

#[tokio::test]
async fn policy_bounds_the_lifetime_of_wraps() {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/secret/data/a", json!({"data": {"s": 1}})).await.is(200);
    let rule = r#"capabilities = ["read"] min_wrapping_ttl = "30s" max_wrapping_ttl = "60s""#;
    let token = server.token_with(ROOT, &format!(r#"path "secret/data/a" {{ {rule} }}"#)).await;
    for (ttl, status) in [("", 403), ("10", 403), ("30", 200), ("60", 200), ("61", 403)] {
        let reply = wrapped(&server, Some(&token), "GET", "/v1/secret/data/a", Value::Null, ttl).await;
        assert_eq!(reply.status, status, "{ttl}: {}", reply.text());
    }
    server.stop().await;
}

#[tokio::test]
async fn of_many_who_unwrap_at_once_one_gets_it() {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/secret/data/a", json!({"data": {"s": "canary-5512"}})).await.is(200);
    for by_header in [true, false] {
        let info = wrap(&server, "GET", "/v1/secret/data/a", Value::Null).await;
        let token = of(&info, "token");
        let attempts = (0..16).map(async |n| match by_header || n % 2 == 0 {
            true => unwrap(&server, token).await,
            false => unwrap_for(&server, ROOT, token).await,
        });
        let replies = futures_util::future::join_all(attempts).await;
        let got = replies.iter().filter(|reply| reply.text().contains("canary-5512")).count();
        assert_eq!(got, 1, "by header: {by_header}");
        for reply in replies.iter().filter(|reply| reply.status != 200) {
            assert!(reply.status == 400, "{}", reply.text());
        }
    }
    let log = server.root("GET", "/api/v1/audit/entries?limit=1000", Value::Null).await.is(200).text();
    assert!(log.contains("wrapping.unwrap") && !log.contains("canary-5512"));
    server.stop().await;
}

/// A reply wrapped with its token as a JWT: that, and its claims.
async fn as_jwt(server: &TestServer, by: Option<&str>, method: &str, path: &str, body: &str) -> (String, Value) {
    let mut request = server.request(method, path, by, body);
    request.headers_mut().insert("x-vault-wrap-format", "jwt".parse().unwrap());
    request.headers_mut().insert("x-vault-wrap-ttl", "60".parse().unwrap());
    let info = info(server.send(request).await);
    let jwt = of(&info, "token").to_owned();
    let part = |index: usize| {
        let decoded = URL_SAFE_NO_PAD.decode(jwt.split('.').nth(index).unwrap()).unwrap();
        serde_json::from_slice::<Value>(&decoded).unwrap()
    };
    assert_eq!(part(0), json!({"alg": "ES512", "typ": "JWT"}));
    assert_eq!(info["accessor"].as_str().map(str::len), Some(24));
    let mut claims = part(1);
    claims["wrapped_accessor"] = info["wrapped_accessor"].clone();
    (jwt, claims)
}

#[tokio::test]
async fn wrapping_token_is_a_jwt_where_that_is_asked_for() {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/secret/data/j", json!({"data": {"a": 1}})).await.is(200);
    let wrap = async || as_jwt(&server, Some(ROOT), "GET", "/v1/secret/data/j", "").await;
    let (jwt, claims) = wrap().await;
    let at = |name: &str| claims[name].as_i64().unwrap();
    assert_eq!((at("exp") - at("iat"), at("iat") - at("nbf")), (60, 5));
    assert_eq!((&claims["accessor"], &claims["type"]), (&json!(""), &json!("wrapping")));
    assert_eq!(claims["addr"], json!(format!("http://{}", server.address)));
    assert!(of(&claims, "jti").starts_with("hvs."));
    let lookup = "/v1/sys/wrapping/lookup";
    let looked_up = server.raw("POST", lookup, None, &json!({"token": jwt}).to_string()).await.data();
    assert_eq!(looked_up, server.raw("GET", lookup, Some(&jwt), "").await.data());
    assert_eq!((&looked_up["creation_path"], &looked_up["creation_ttl"]), (&json!("secret/data/j"), &json!(60)));
    // It is no token for anything else.
    server.as_token(&jwt, "GET", "/v1/auth/token/lookup-self", Value::Null).await.is(403);
    server.as_token(&jwt, "GET", "/v1/cubbyhole/response", Value::Null).await.is(403);
    let rewrapped = server.root("POST", "/v1/sys/wrapping/rewrap", json!({"token": jwt})).await;
    let plain = info(rewrapped);
    assert!(of(&plain, "token").starts_with("hvs."));
    assert_eq!(unwrap_for(&server, ROOT, &jwt).await.errors(400), json!([NOT_VALID]));
    assert_eq!(unwrap(&server, of(&plain, "token")).await.data()["data"], json!({"a": 1}));

    let (jwt, _) = wrap().await;
    assert_eq!(unwrap(&server, &jwt).await.data()["data"], json!({"a": 1}));
    assert_eq!(unwrap(&server, &jwt).await.errors(400), json!([NOT_VALID]));
    let (jwt, claims) = wrap().await;
    assert_eq!(unwrap(&server, of(&claims, "jti")).await.data()["data"], json!({"a": 1}));
    assert_eq!(unwrap_for(&server, ROOT, &jwt).await.errors(400), json!([NOT_VALID]));
    let (jwt, claims) = as_jwt(&server, Some(ROOT), "POST", "/v1/auth/token/create", "").await;
    assert_eq!(claims["accessor"], claims["wrapped_accessor"]);
    assert_eq!(unwrap_for(&server, ROOT, &jwt).await.is(200).json()["auth"]["accessor"], claims["accessor"]);
    server.stop().await;
}

#[tokio::test]
async fn jwt_of_anybody_else_is_refused() {
    let (server, other) = (TestServer::dev().await, TestServer::dev().await);
    let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
    let (jwt, claims) = as_jwt(&server, Some(ROOT), "GET", "/v1/sys/mounts", "").await;
    let parts: Vec<&str> = jwt.split('.').collect();
    let refused = "error validating wrapping token: wrapping token ";
    // Before the other has made a key of its own, and after.
    for _ in 0..2 {
        let reply = unwrap_for(&other, ROOT, &jwt).await.errors(403);
        assert!(reply[0].as_str().unwrap().starts_with(&format!("{refused}signature")), "{reply}");
        as_jwt(&other, Some(ROOT), "GET", "/v1/sys/mounts", "").await;
    }
    let forged = URL_SAFE_NO_PAD.encode(json!({"jti": claims["jti"], "type": "wrapping", "exp": 1}).to_string());
    for bad in [
        format!("{jwt}x"),
        format!("{}.{forged}.{}", parts[0], parts[2]),
        format!("{none}.{}.", parts[1]),
        format!("{none}.{}.{}", parts[1], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        "abcd.b.c".to_owned(),
    ] {
        for reply in [
            unwrap(&server, &bad).await,
            unwrap_for(&server, ROOT, &bad).await,
            server.raw("POST", "/v1/sys/wrapping/lookup", Some(&bad), "").await,
            server.root("POST", "/v1/sys/wrapping/rewrap", json!({"token": bad})).await,
        ] {
            let errors = reply.errors(403);
            assert!(errors[0].as_str().unwrap().starts_with(refused), "{bad}: {errors}");
        }
    }
    assert!(unwrap(&server, &jwt).await.data().is_object(), "and it is still good");
    other.stop().await;
    server.stop().await;
}
