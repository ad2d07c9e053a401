//! What holds for every request, whatever it asks for.

use serde_json::{Value, json};

use crate::server::{ROOT, TestServer};

#[tokio::test]
async fn unknown_token_and_no_token_are_refused_alike() {
    let server = TestServer::dev().await;
    for token in [None, Some("bad"), Some("hvs.000000000000000000000000"), Some("hvb.AAAA")] {
        for path in
            ["/v1/secret/data/none", "/v1/nosuch/x", "/v1/sys/mounts", "/v1/sys/internal/ui/mounts/secret", "/v1/%zz"]
        {
            let reply = server.raw("GET", path, token, "").await;
            assert!(reply.headers.contains_key("x-request-id"));
            assert_eq!(reply.errors(403), json!(["permission denied"]), "{path}");
        }
        let native = server.raw("GET", "/api/v1/tokens/self", token, "").await.is(401);
        assert_eq!(native.headers["content-type"], "application/problem+json");
        assert_eq!(native.json()["code"], "unauthenticated");
        assert_eq!(native.headers["x-request-id"], native.json()["request_id"].as_str().unwrap());
    }
    server.stop().await;
}

#[tokio::test]
async fn bearer_is_a_token_too_and_the_header_wins() {
    let server = TestServer::dev().await;
    let ask = async |headers: &[(&'static str, String)]| {
        let mut request = server.request("GET", "/v1/auth/token/lookup-self", None, "");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        server.send(request).await.status
    };
    assert_eq!(ask(&[("authorization", format!("Bearer {ROOT}"))]).await, 200);
    assert_eq!(ask(&[("authorization", format!("Basic {ROOT}"))]).await, 403);
    assert_eq!(ask(&[("authorization", format!("Bearer {ROOT}")), ("x-vault-token", "bad".into())]).await, 403);
    server.stop().await;
}

#[tokio::test]
async fn unknown_routes_and_methods_are_told_to_the_known_only() {
    let server = TestServer::dev().await;
    let errors = async |method: &str, path: &str| {
        let reply = server.raw(method, path, Some(ROOT), "").await;
        (reply.status, reply.json()["errors"].take())
    };
    assert_eq!(
        errors("GET", "/v1/nosuch/x").await,
        (404, json!(["no handler for route \"nosuch/x\". route entry not found."]))
    );
    assert_eq!(errors("GET", "/v1/sys/nosuch").await, (404, json!(["1 error occurred:\n\t* unsupported path\n\n"])));
    assert_eq!(errors("TRACE", "/v1/sys/mounts").await, (405, json!([])));
    assert_eq!(errors("GET", "/v1/sys/capabilities-self").await.0, 405);
    assert_eq!(
        errors("OPTIONS", "/v1/sys/mounts").await,
        (400, json!(["cannot handle internal-only request operation"]))
    );
    server.raw("HEAD", "/v1/secret/data/foo", Some(ROOT), "").await.is(405);
    for path in ["/v1/secret/data/a//b", "/v1/secret/data/a/../b", "/v1/secret/data/%2e%2e/b", "/v1/secret/data/a%00"] {
        server.raw("GET", path, Some(ROOT), "").await.is(400);
    }
    let slash = server.root("POST", "/v1/secret/data/", json!({"data": {}})).await;
    assert_eq!(slash.errors(400), json!(["cannot write to a path ending in '/'"]));

    // Somebody without any permission learns nothing from them.
    let token = server.token_with(ROOT, r#"path "nothing" { capabilities = ["read"] }"#).await;
    for path in ["/v1/nosuch/x", "/v1/sys/nosuch", "/v1/secret/nosuch", "/v1/secret/data/none"] {
        server.as_token(&token, "GET", path, Value::Null).await.is(403);
    }
    server.raw("GET", "/api/v1/nosuch", Some(ROOT), "").await.is(404);
    server.raw("PUT", "/api/v1/tokens", Some(ROOT), "").await.is(405);
    server.raw("GET", "/api/v1/nosuch", None, "").await.is(401);
    server.raw("GET", "/", None, "").await.is(401);
    server.stop().await;
}

#[tokio::test]
async fn malformed_bodies_are_refused_with_a_reason() {
    let server = TestServer::dev().await;
    let errors = async |body: &str| server.raw("POST", "/v1/secret/data/a", Some(ROOT), body).await.errors(400);
    for body in ["{bad json", "[1]", "\"x\"", "{\"data\":{}}x"] {
        let errors = errors(body).await;
        assert!(errors[0].as_str().unwrap().starts_with("failed to decode JSON input: "), "{errors}");
    }
    let deep = format!("{{\"data\":{}{}}}", "{\"a\":".repeat(200), "}".repeat(200));
    server.raw("POST", "/v1/secret/data/a", Some(ROOT), &deep).await.is(400);
    let large = format!("{{\"data\":{{}},\"x\":\"{}\"}}", "x".repeat(33 << 20));
    server.raw("POST", "/v1/secret/data/a", Some(ROOT), &large).await.is(413);
    server.stop().await;
}

#[tokio::test]
async fn namespace_that_is_not_offered_is_refused() {
    let server = TestServer::dev().await;
    let ask = async |name: &'static str, value: &'static str| {
        let mut request = server.request("GET", "/v1/sys/mounts", Some(ROOT), "");
        request.headers_mut().insert(name, value.parse().unwrap());
        server.send(request).await
    };
    assert_eq!(ask("x-vault-namespace", "nope/").await.errors(404), json!(["namespace not found"]));
    ask("x-vault-namespace", "root").await.is(200);
    ask("x-vault-namespace", "/").await.is(200);
    assert_eq!(ask("x-vault-namespace", "/root/").await.is(200).headers["x-vault-namespace"], "/root/");
    assert_eq!(ask("x-vault-namespace", "nope").await.is(404).headers["x-vault-namespace"], "nope");
    assert!(!ask("x-vault-namespace", "").await.is(200).headers.contains_key("x-vault-namespace"));
    // Whoever asks: the header alone decides. What concerns the whole server has no namespace at all.
    for (path, status) in
        [("/v1/secret/data/x", 404), ("/v1/secrets/acme/KEY", 404), ("/v1/sys/health", 400), ("/v1/sys/init", 400)]
    {
        let mut request = server.request("GET", path, None, "");
        request.headers_mut().insert("x-vault-namespace", "nope".parse().unwrap());
        server.send(request).await.is(status);
    }
    // So it is by the native API's other path, which Vault's clients can reach.
    server.root("PUT", "/v1/secrets/acme/KEY", json!({"value": "x"})).await.is(200);
    for (namespace, status) in [("team/a", 404), ("root", 200), ("/", 200), ("", 200)] {
        let mut request = server.request("GET", "/v1/secrets/acme/KEY", Some(ROOT), "");
        request.headers_mut().insert("x-vault-namespace", namespace.parse().unwrap());
        let reply = server.send(request).await;
        assert_eq!(reply.status, status, "{namespace:?}");
        if status == 404 {
            assert_eq!(reply.errors(404), json!(["namespace not found"]));
        }
    }
    for ignored in ["x-vault-request", "x-vault-mfa", "x-vault-index", "x-vault-policy-override"] {
        ask(ignored, "true").await.is(200);
    }
    server.stop().await;
}

#[tokio::test]
async fn list_flag_is_a_go_boolean_and_help_needs_a_token_alone() {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/secret/data/a/b", json!({"data": {"x": 1}})).await.is(200);
    let get = async |path: &str| server.root("GET", path, Value::Null).await;
    assert_eq!(get("/v1/secret/metadata?list=T").await.data(), json!({"keys": ["a/"]}));
    assert_eq!(get("/v1/secret/metadata?scan=1").await.data(), json!({"keys": ["a/b"]}));
    assert_eq!(get("/v1/secret/metadata/none?scan=1").await.data(), json!({}));
    for (path, errors) in [("list=yes", json!([])), ("scan=x", json!([])), ("list=1&scan=1", json!([]))] {
        assert_eq!(get(&format!("/v1/secret/metadata?{path}")).await.errors(400), errors, "{path}");
    }
    let read = get("/v1/secret/metadata?list=").await.is(404).json();
    assert_eq!(read["warnings"][0], "Non-listing operations on the root of a K/V v2 mount are not supported.");
    let warned = get("/v1/secret").await.is(404).json()["warnings"][0].to_string();
    assert!(warned.contains("Invalid path for a versioned K/V secrets engine"), "{warned}");

    let nothing = server.token_with(ROOT, r#"path "nothing" { capabilities = ["read"] }"#).await;
    for path in ["/v1/secret/data/a/b?help=1", "/v1/secret?help", "/v1/sys/mounts?help=0&list=true"] {
        let help = server.as_token(&nothing, "GET", path, Value::Null).await.is(200).json();
        assert!(help["help"].as_str().is_some_and(|help| !help.is_empty()) && help["see_also"].is_null(), "{help}");
    }
    server.as_token(&nothing, "GET", "/v1/nosuch?help=1", Value::Null).await.is(403);
    server.raw("GET", "/v1/secret?help=1", None, "").await.is(403);
    server.stop().await;
}

#[tokio::test]
async fn read_is_held_to_the_parameters_of_its_query() {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/secret/data/a", json!({"data": {"x": 1}})).await.is(200);
    let policy = r#"path "secret/data/a" { capabilities = ["read"] denied_parameters = { "version" = [] } }
        path "secret/metadata/a" { capabilities = ["read"] required_parameters = ["why"] }"#;
    let token = server.token_with(ROOT, policy).await;
    let get = async |path: &str| server.as_token(&token, "GET", path, Value::Null).await.status;
    assert_eq!(get("/v1/secret/data/a").await, 200);
    assert_eq!(get("/v1/secret/data/a?other=1").await, 200);
    assert_eq!(get("/v1/secret/data/a?version=1").await, 403);
    assert_eq!(get("/v1/secret/data/a?VERSION=1").await, 403);
    assert_eq!(get("/v1/secret/metadata/a").await, 403);
    assert_eq!(get("/v1/secret/metadata/a?why=audit").await, 200);
    server.stop().await;
}

#[tokio::test]
async fn write_that_means_nothing_is_refused_as_what_it_would_have_been() {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/secret/data/there", json!({"data": {"x": 1}})).await.is(200);
    server.root("POST", "/v1/secret/metadata/bare", json!({"max_versions": 4})).await.is(204);
    server.root("POST", "/v1/secret/metadata/none", json!({"other": 1})).await.is(204);
    server.root("GET", "/v1/secret/metadata/none", Value::Null).await.is(404);
    let creator = server.token_with(ROOT, r#"path "secret/*" { capabilities = ["create"] }"#).await;
    let post = async |path: &str| server.as_token(&creator, "POST", path, json!({"other": 1})).await.status;
    for (path, status) in [("data/none", 400), ("data/there", 403), ("data/bare", 403), ("metadata/bare", 403)] {
        assert_eq!(post(&format!("/v1/secret/{path}")).await, status, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn every_reply_has_the_fixed_headers() {
    let server = TestServer::dev().await;
    for (method, path, token) in [
        ("GET", "/v1/sys/health", None),
        ("GET", "/v1/sys/mounts", Some(ROOT)),
        ("GET", "/v1/sys/mounts", None),
        ("POST", "/v1/sys/rotate", Some(ROOT)),
        ("GET", "/v1/nosuch", Some(ROOT)),
    ] {
        let reply = server.raw(method, path, token, "").await;
        assert_eq!(reply.headers["content-type"], "application/json", "{method} {path}");
        assert_eq!(reply.headers["cache-control"], "no-store");
        assert_eq!(reply.headers["strict-transport-security"], "max-age=31536000; includeSubDomains");
    }
    server.stop().await;
}

#[tokio::test]
async fn status_is_told_to_anybody() {
    let server = TestServer::dev().await;
    let get = async |path: &str| server.raw("GET", path, None, "").await;
    let health = get("/v1/sys/health").await.is(200).json();
    assert_eq!(
        (&health["initialized"], &health["sealed"], &health["standby"]),
        (&json!(true), &json!(false), &json!(false))
    );
    assert_eq!(health["version"], "1.21.4");
    get("/v1/sys/health?activecode=299").await.is(299);
    assert_eq!(get("/v1/sys/health?activecode=abc").await.errors(400), json!([]));
    assert!(server.raw("HEAD", "/v1/sys/health", None, "").await.is(200).body.is_empty());
    let seal = get("/v1/sys/seal-status").await.is(200).json();
    assert_eq!(
        (&seal["sealed"], &seal["version"], &seal["storage_type"]),
        (&json!(false), &json!("1.21.4"), &json!("memory"))
    );
    assert_eq!(get("/v1/sys/init").await.is(200).json(), json!({"initialized": true}));
    assert_eq!(get("/v1/sys/leader").await.is(200).json()["ha_enabled"], false);
    assert_eq!(get("/healthz").await.is(200).json(), json!({"status": "ok"}));
    assert_eq!(get("/readyz").await.is(200).json()["state"], "active");
    assert!(get("/metrics").await.is(200).headers["content-type"].to_str().unwrap().starts_with("text/plain"));

    server.root("PUT", "/v1/sys/seal", Value::Null).await.is(204);
    get("/v1/sys/health").await.is(503);
    get("/v1/sys/health?sealedcode=200").await.is(200);
    assert_eq!(get("/v1/sys/seal-status").await.is(200).json()["sealed"], true);
    assert_eq!(get("/v1/sys/leader").await.is(200).json()["is_self"], false);
    server.raw("PUT", "/v1/sys/seal", None, "").await.is(204);
    assert_eq!(get("/readyz").await.is(503).json()["state"], "sealed");
    assert_eq!(get("/healthz").await.is(200).json(), json!({"status": "ok"}));
    get("/metrics").await.is(200);
    assert_eq!(server.root("GET", "/v1/secret/data/x", Value::Null).await.errors(503), json!(["Vault is sealed"]));
    server.stop().await;
}

#[tokio::test]
async fn metrics_are_those_of_the_documentation() {
    let document = include_str!("../../../../docs/API.md");
    let rows = document.split("## Metrics").nth(1).unwrap().split("\n## ").next().unwrap().lines();
    let rows = rows.filter(|line| line.starts_with("| `coffer_"));
    let documented: Vec<[&str; 3]> = rows
        .map(|line| {
            let columns: Vec<&str> = line.split('|').map(str::trim).collect();
            [columns[1].trim_matches('`'), columns[2], columns[3]]
        })
        .collect();
    let server = TestServer::with(|overrides, dir| overrides.data = Some(dir.to_owned())).await;
    let text = server.raw("GET", "/metrics", None, "").await.is(200).text();
    let mut shown: Vec<(&str, &str)> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let mut expected: Vec<(&str, &str)> = documented.iter().map(|[name, kind, _]| (*name, *kind)).collect();
    shown.sort_unstable();
    expected.sort_unstable();
    assert_eq!(shown, expected, "the table in docs/API.md, \"Metrics\"");
    server.stop().await;

    let server = TestServer::dev().await;
    server.root("PUT", "/v1/sys/seal", Value::Null).await.is(204);
    let sealed = server.raw("GET", "/metrics", None, "").await.is(200).text();
    let always = documented.iter().filter(|[_, _, place]| *place == "always");
    let mut always: Vec<&str> = always.map(|[name, ..]| *name).collect();
    let mut shown: Vec<&str> = sealed
        .lines()
        .filter_map(|line| Some(line.strip_prefix("# TYPE ")?.split_once(' ')?.0))
        .filter(|name| documented.iter().all(|[known, _, place]| known != name || *place != "SQLite"))
        .collect();
    always.sort_unstable();
    shown.sort_unstable();
    assert_eq!(shown, always, "while sealed, in memory");
    server.stop().await;
}

/// Writes that mean nothing are refused by the one who could have written, as what they would have been.
#[tokio::test]
async fn malformed_write_is_judged_as_what_it_would_have_been() {
    let server = TestServer::dev().await;
    for (path, body) in [
        ("sys/auth/approle", json!({"type": "approle"})),
        ("sys/auth/userpass", json!({"type": "userpass"})),
        ("sys/mounts/kv1", json!({"type": "kv"})),
        ("auth/approle/role/old", json!({"role_id": "old"})),
        ("auth/userpass/users/old", json!({"password": "p"})),
        ("auth/token/roles/old", json!({})),
        ("kv1/old", json!({"a": 1})),
        ("secret/data/old", json!({"data": {}})),
    ] {
        server.root("POST", &format!("/v1/{path}"), body).await.one_of(&[200, 204]);
    }
    let policy = |capability: &str| format!("path \"*\" {{ capabilities = [{capability:?}] }}");
    let creates = server.token_with(ROOT, &policy("create")).await;
    let updates = server.token_with(ROOT, &policy("update")).await;
    server.as_token(&creates, "POST", "/v1/cubbyhole/old", json!({"a": 1})).await.is(204);
    for place in ["auth/approle/role", "auth/userpass/users", "auth/token/roles", "kv1", "secret/data", "cubbyhole"] {
        for (token, name, status) in
            [(&creates, "new", 400), (&updates, "new", 403), (&creates, "old", 403), (&updates, "old", 400)]
        {
            if place == "cubbyhole" && token == &updates {
                // Each token has its own, and this one can write nothing to it.
                server.raw("POST", "/v1/cubbyhole/old", Some(token), "{").await.is(403);
                continue;
            }
            let refused = server.raw("POST", &format!("/v1/{place}/{name}"), Some(token), "{").await;
            assert_eq!(refused.status, status, "{place}/{name}: {}", refused.text());
        }
    }
    // What has no question of existence is updated.
    for path in ["identity/entity/name/new", "sys/policies/acl/new", "auth/approle/role/new/policies", "sys/mounts/new"]
    {
        for (token, status) in [(&creates, 403), (&updates, 400)] {
            let refused = server.raw("POST", &format!("/v1/{path}"), Some(token), "{").await;
            assert_eq!(refused.status, status, "{path}: {}", refused.text());
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn more_json_behind_a_body_is_passed_over_and_anything_else_refused() {
    let server = TestServer::dev().await;
    let write = async |body: &str| server.raw("POST", "/v1/secret/data/x", Some(crate::server::ROOT), body).await;
    for behind in [" ", "{\"data\":{\"a\":2}}", "\n\n{", "null", " [", " \"text\""] {
        write(&format!("{{\"data\":{{\"a\":1}}}}{behind}")).await.is(200);
        let read = server.root("GET", "/v1/secret/data/x", Value::Null).await.data();
        assert_eq!(read["data"], json!({"a": 1}), "{behind}");
    }
    for behind in [" trailing", "]", ",", "x", "\u{0}", " \"abc", " [}"] {
        let refused = write(&format!("{{\"data\":{{\"a\":1}}}}{behind}")).await.errors(400);
        assert!(refused[0].as_str().unwrap().starts_with("failed to decode JSON input: "), "{refused}");
    }
    for body in ["null x", "nullx"] {
        let refused = write(body).await.errors(400);
        assert!(refused[0].as_str().unwrap().starts_with("failed to decode JSON input: "), "{refused}");
    }
    write("null null").await.is(400);
    server.stop().await;
}
