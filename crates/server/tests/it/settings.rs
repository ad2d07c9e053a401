//! What clients set of the server itself: password policies, web pages that may call, headers in the log; and what it tells
//! of itself.

use serde_json::{Value, json};

use crate::server::{ROOT, Reply, TestServer};

const CORS: &str = "/v1/sys/config/cors";
const LOGGED: &str = "/v1/sys/config/auditing/request-headers";
const PASSWORDS: &str = "/v1/sys/policies/password";

async fn with(server: &TestServer, method: &str, path: &str, token: Option<&str>, headers: &[(&str, &str)]) -> Reply {
    let mut request = server.request(method, path, token, "");
    for (name, value) in headers {
        let name: hyper::header::HeaderName = name.parse().unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    server.send(request).await
}

#[tokio::test]
async fn password_policy_makes_passwords_until_it_is_deleted() {
    let server = TestServer::dev().await;
    let path = format!("{PASSWORDS}/Db");
    let text = "length = 12\nrule \"charset\" { charset = \"ab\" min-chars = 1 }\nrule \"charset\" { charset = \"1\" min-chars = 2 }";
    server.root("POST", &path, json!({"policy": text})).await.is(204);
    assert_eq!(server.root("GET", &path, Value::Null).await.data(), json!({"policy": text}));
    let generate = format!("{path}/generate");
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        let made = server.root("GET", &generate, Value::Null).await.data();
        let password = made["password"].as_str().unwrap().to_owned();
        assert!(password.len() == 12 && password.contains(['a', 'b']), "{password}");
        assert!(password.matches('1').count() >= 2 && password.trim_matches(['a', 'b', '1']).is_empty(), "{password}");
        seen.insert(password);
    }
    assert!(seen.len() > 10, "{seen:?}");
    let impossible = "length = 100\nrule \"charset\" { charset = \"abcdefgh\" }\nrule \"charset\" { charset = \"Z\" min-chars = 99 }";
    let refused = server.root("POST", &path, json!({"policy": impossible})).await.errors(400);
    assert!(refused[0].as_str().unwrap().contains("are the rules impossible?"), "{refused}");
    assert_eq!(server.root("LIST", PASSWORDS, Value::Null).await.data(), json!({"keys": ["Db"]}));

    // The right to make one is not the right to see or change how.
    let policy = "path \"sys/policies/password/Db/generate\" { capabilities = [\"read\"] }";
    let token = server.token_with(ROOT, policy).await;
    server.as_token(&token, "GET", &generate, Value::Null).await.is(200);
    for (method, path) in [("GET", path.as_str()), ("POST", &path), ("DELETE", &path), ("LIST", PASSWORDS)] {
        server.as_token(&token, method, path, if method == "POST" { json!({}) } else { Value::Null }).await.is(403);
    }
    server.root("DELETE", &path, Value::Null).await.is(204);
    server.root("GET", &generate, Value::Null).await.is(404);
    server.stop().await;
}

#[tokio::test]
async fn web_page_may_call_where_its_origin_is_allowed_and_nowhere_else() {
    let server = TestServer::dev().await;
    let (here, there) = (("Origin", "https://a.example"), ("Origin", "https://b.example"));
    let before = with(&server, "GET", "/v1/sys/health", None, &[there]).await.is(200);
    assert!(before.headers.get("access-control-allow-origin").is_none());
    let set = json!({"allowed_origins": "https://a.example", "allowed_headers": ["X-Own"]});
    server.root("POST", CORS, set).await.is(204);
    let read = server.root("GET", CORS, Value::Null).await.data();
    assert_eq!((&read["enabled"], &read["allowed_origins"]), (&json!(true), &json!(["https://a.example"])));
    assert_eq!(read["allowed_headers"].as_array().unwrap().last(), Some(&json!("X-Own")));

    let allowed = with(&server, "GET", "/v1/sys/health", None, &[here]).await.is(200);
    assert_eq!(allowed.headers["access-control-allow-origin"], "https://a.example");
    assert_eq!(allowed.headers["vary"], "Origin");
    // A refusal is to be read by the page as well.
    let denied = with(&server, "GET", "/v1/secret/data/x", None, &[here]).await.is(403);
    assert_eq!(denied.headers["access-control-allow-origin"], "https://a.example");
    let asked = ("Access-Control-Request-Method", "LIST");
    let preflight = with(&server, "OPTIONS", "/v1/secret/metadata", None, &[here, asked]).await.is(200);
    assert!(preflight.headers["access-control-allow-headers"].to_str().unwrap().ends_with(",X-Own"));
    with(&server, "OPTIONS", "/v1/secret/metadata", None, &[here]).await.is(405);
    for method in ["GET", "OPTIONS", "POST"] {
        let refused = with(&server, method, "/v1/secret/data/x", Some(ROOT), &[there, asked]).await;
        assert_eq!(refused.errors(403), json!(["origin not allowed"]), "{method}");
    }
    server.root("DELETE", CORS, Value::Null).await.is(204);
    let after = with(&server, "GET", "/v1/sys/health", None, &[here]).await.is(200);
    assert!(after.headers.get("access-control-allow-origin").is_none());
    assert_eq!(server.root("GET", CORS, Value::Null).await.data(), json!({"enabled": false}));
    server.stop().await;
}

#[tokio::test]
async fn headers_that_are_asked_for_are_in_the_log_and_no_others() {
    let server = TestServer::dev().await;
    server.root("POST", &format!("{LOGGED}/X-Ticket"), json!({})).await.is(204);
    server.root("POST", &format!("{LOGGED}/X-Who"), json!({"hmac": true})).await.is(204);
    for refused in ["X-Vault-Token", "authorization", "X%20Y"] {
        server.root("POST", &format!("{LOGGED}/{refused}"), json!({})).await.is(400);
    }
    let before = server.log_size().await;
    let sent = [("X-Ticket", "T-1"), ("X-Who", "ada"), ("X-Other", "unseen")];
    with(&server, "GET", "/v1/sys/mounts", Some(ROOT), &sent).await.is(200);
    let page = server.root("GET", &format!("/api/v1/audit/entries?from={before}&limit=100"), Value::Null).await;
    let page = page.is(200).json();
    let entries = page["entries"].as_array().unwrap().iter().map(|entry| &entry["entry"]);
    let mut of_it = entries.filter(|entry| entry["req"]["path"] == "/v1/sys/mounts");
    let headers = of_it.next().unwrap()["req"]["headers"].clone();
    assert_eq!(headers["x-ticket"], "T-1");
    let hashed = headers["x-who"].as_str().unwrap();
    assert!(hashed.starts_with("hmac:1:") && hashed.len() > 40, "{hashed}");
    assert_eq!(headers.as_object().unwrap().len(), 2);
    server.root("DELETE", &format!("{LOGGED}/x-ticket"), Value::Null).await.is(204);
    let left = server.root("GET", LOGGED, Value::Null).await.data();
    assert_eq!(left, json!({"headers": {"x-who": {"hmac": true}}}));
    for number in 0..7 {
        server.root("POST", &format!("{LOGGED}/X-{number}"), json!({})).await.is(204);
    }
    server.root("POST", &format!("{LOGGED}/X-one-more"), json!({})).await.is(400);
    server.stop().await;
}

#[tokio::test]
async fn configuration_and_requests_under_way_are_told_without_secrets() {
    let server = TestServer::dev().await;
    let told = server.root("GET", "/v1/sys/config/state/sanitized", Value::Null).await.data();
    assert_eq!(told["listeners"][0]["config"]["address"], server.address.to_string());
    assert_eq!((&told["storage"]["type"], &told["max_lease_ttl"]), (&json!("memory"), &json!(2_764_800)));
    let flying = server.root("GET", "/v1/sys/in-flight-req", Value::Null).await.is(200).json();
    let one = flying.as_object().unwrap().values().next().unwrap();
    assert_eq!((&one["request_method"], &one["request_path"]), (&json!("GET"), &json!("/v1/sys/in-flight-req")));
    assert_eq!(flying.as_object().unwrap().len(), 1, "what was answered is gone: {flying}");
    let token = server.token_with(ROOT, "path \"secret/*\" { capabilities = [\"read\"] }").await;
    for path in ["/v1/sys/config/state/sanitized", "/v1/sys/in-flight-req"] {
        server.as_token(&token, "GET", path, Value::Null).await.is(403);
    }
    server.stop().await;
}
