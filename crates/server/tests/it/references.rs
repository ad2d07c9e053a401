//! References in values: what they come to, who may follow them, and what the log says of it.

use serde_json::{Value, json};

use crate::server::{ROOT, Reply, TestServer};

async fn set(server: &TestServer, scope: &str, name: &str, value: &str) {
    server.root("PUT", &format!("/api/v1/secrets/{scope}/{name}"), json!({"value": value})).await.is(200);
}

async fn resolved(server: &TestServer, token: &str, scope: &str, name: &str) -> Reply {
    server.as_token(token, "GET", &format!("/api/v1/secrets/{scope}/{name}?resolve=true"), Value::Null).await
}

async fn value(server: &TestServer, scope: &str, name: &str) -> String {
    resolved(server, ROOT, scope, name).await.is(200).json()["value"].as_str().unwrap().to_owned()
}

/// The detail of a refusal.
async fn detail(server: &TestServer, scope: &str, name: &str) -> String {
    let problem = resolved(server, ROOT, scope, name).await.is(409).json();
    assert_eq!(problem["code"], "unresolved");
    problem["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn references_are_replaced_by_what_the_same_service_sees() {
    let server = TestServer::dev().await;
    for (scope, name, value) in [
        ("acme", "HOST", "db.internal"),
        ("acme:prod", "USER", "svc"),
        ("acme:prod:api", "PASSWORD", "p$$w$rd"),
        ("acme:staging", "USER", "staging-svc"),
        ("acme:prod:api", "URL", "pg://${USER}:${PASSWORD}@${HOST}/${DB:-main}?u=${staging:USER}"),
        ("acme:prod:api", "TWICE", "${URL}|${URL}"),
        ("acme:prod:api", "ADDRESSED", "coffer://acme/HOST:5432, ${coffer://acme/HOST}.x"),
        ("acme:prod:api", "PLAIN", "a$b $${USER} ${ not one } ${1}"),
        ("acme:prod:api", "FALLBACK", "${NONE:-${USER:-never}}${EMPTY:-e}"),
        ("acme:prod:api", "EMPTY", ""),
        // What lies above is resolved as the service sees it.
        ("acme", "GREETING", "hello ${USER}"),
    ] {
        set(&server, scope, name, value).await;
    }
    let url = "pg://svc:p$$w$rd@db.internal/main?u=staging-svc";
    assert_eq!(value(&server, "acme:prod:api", "URL").await, url);
    assert_eq!(value(&server, "acme:prod:api", "TWICE").await, format!("{url}|{url}"));
    assert_eq!(value(&server, "acme:prod:api", "ADDRESSED").await, "db.internal:5432, db.internal.x");
    assert_eq!(value(&server, "acme:prod:api", "PLAIN").await, "a$b ${USER} ${ not one } ${1}");
    assert_eq!(value(&server, "acme:prod:api", "FALLBACK").await, "svce");
    set(&server, "acme:prod:api", "INDIRECT", "${GREETING}").await;
    assert_eq!(value(&server, "acme:prod:api", "INDIRECT").await, "hello svc");
    // As it is stored: without being asked, in a version, and for Vault's clients.
    let stored = server.root("GET", "/api/v1/secrets/acme:prod:api/INDIRECT", Value::Null).await.is(200).json();
    assert_eq!(stored["value"], "${GREETING}");
    let raw = server.root("GET", "/v1/secret/data/acme/prod/api/INDIRECT", Value::Null).await.is(200).json();
    assert_eq!(raw["data"]["data"]["value"], "${GREETING}");
    let path = "/api/v1/secrets/acme:prod:api/INDIRECT/versions/1?resolve=true";
    assert_eq!(server.root("GET", path, Value::Null).await.is(200).json()["value"], "hello svc");
    let view = "/api/v1/secrets/acme:prod:api/?view=effective&resolve=true";
    let view = server.root("GET", view, Value::Null).await.is(200).json();
    let of = |name: &str| {
        let mut secrets = view["secrets"].as_array().unwrap().iter();
        secrets.find(|secret| secret["name"] == name).unwrap()["value"].as_str().unwrap().to_owned()
    };
    assert_eq!((of("URL").as_str(), of("GREETING").as_str()), (url, "hello svc"));
    server.stop().await;
}

#[tokio::test]
async fn address_means_one_place_and_one_version() {
    let server = TestServer::dev().await;
    set(&server, "acme", "KEY", "project").await;
    set(&server, "acme:prod", "KEY", "one").await;
    set(&server, "acme:prod", "KEY", "two").await;
    set(&server, "acme:prod:api", "A", "coffer://acme/prod/KEY?version=1 coffer://acme/prod/KEY coffer://acme/KEY")
        .await;
    assert_eq!(value(&server, "acme:prod:api", "A").await, "one two project");
    set(&server, "acme:prod:api", "B", "coffer://acme/prod/api/KEY").await;
    let told = detail(&server, "acme:prod:api", "B").await;
    assert_eq!(
        told,
        "the value cannot be put together: there is nothing for coffer://acme/prod/api/KEY in it (acme:prod:api/B)"
    );
    // In its own place it means its own place.
    set(&server, "other", "C", "coffer://acme/prod/D").await;
    set(&server, "acme:prod", "D", "${KEY}").await;
    assert_eq!(value(&server, "other", "C").await, "two");
    server.stop().await;
}

#[tokio::test]
async fn circles_long_ways_and_outgrown_values_are_refused_with_the_way() {
    let server = TestServer::dev().await;
    set(&server, "acme", "SELF", "x${SELF}").await;
    assert!(detail(&server, "acme", "SELF").await.ends_with("in a circle (acme/SELF -> acme/SELF)"));
    set(&server, "acme", "A", "${B}").await;
    set(&server, "acme", "B", "coffer://acme/A").await;
    assert!(detail(&server, "acme", "A").await.ends_with("in a circle (acme/A -> acme/B -> acme/A)"));
    // From one environment to another and back, ever again.
    set(&server, "acme", "PING", "${prod:PING}").await;
    assert!(detail(&server, "acme", "PING").await.contains("in a circle"));
    for n in 0..10 {
        set(&server, "acme", &format!("N{n}"), &format!("${{N{}:-end}}", n + 1)).await;
    }
    assert_eq!(value(&server, "acme", "N1").await, "end");
    assert!(
        detail(&server, "acme", "N0").await.contains("more than 8 references lead from one to the next (acme/N0 ->")
    );
    // Each ten times the one before: a billion bytes by the ninth.
    set(&server, "acme", "M0", &"x".repeat(1000)).await;
    for n in 1..8 {
        set(&server, "acme", &format!("M{n}"), &format!("${{M{}}}", n - 1).repeat(10)).await;
    }
    assert_eq!(value(&server, "acme", "M3").await.len(), 1_000_000);
    assert!(detail(&server, "acme", "M4").await.contains("more than 1 MiB"));
    assert!(detail(&server, "acme", "M7").await.contains("more than 1 MiB"));
    server.stop().await;
}

#[tokio::test]
async fn each_step_needs_its_own_permission_and_is_recorded() {
    let server = TestServer::dev().await;
    set(&server, "acme:prod", "DB", "hunter2").await;
    set(&server, "acme:prod:api", "URL", "pg://${DB}").await;
    set(&server, "acme:prod:api", "OPEN", "x").await;
    let narrow = r#"path "secret/data/acme/prod/api/+" { capabilities = ["read"] }
        path "secret/metadata/acme/prod/api/" { capabilities = ["list"] }"#;
    let token = server.token_with(ROOT, narrow).await;
    let refused = resolved(&server, &token, "acme:prod:api", "URL").await.is(403).json();
    let expected = "permission denied: read on secret/data/acme/prod/DB: no policy grants read on this path; \
                    acme:prod:api/URL refers to it";
    assert_eq!(refused["detail"], expected);
    // What may not be read is named whether it is there or not.
    set(&server, "acme:prod:api", "GONE", "${NOWHERE:-default}").await;
    resolved(&server, &token, "acme:prod:api", "GONE").await.is(403);
    let view = "/api/v1/secrets/acme:prod:api/?view=effective&resolve=true";
    let shown = server.as_token(&token, "GET", view, Value::Null).await.is(200).json();
    let names: Vec<&Value> = shown["secrets"].as_array().unwrap().iter().map(|secret| &secret["name"]).collect();
    // DB itself, and the two that lead to what may not be read.
    assert_eq!((names, &shown["hidden"]), (vec![&json!("OPEN")], &json!(3)));
    let history = async |name: &str| -> Vec<String> {
        let path = format!("/api/v1/secrets/acme:prod/{name}/history");
        let page = server.root("GET", &path, Value::Null).await.is(200).json();
        let events = page["items"].as_array().unwrap().iter();
        events.map(|e| format!("{} {}", e["action"].as_str().unwrap(), e["outcome"].as_str().unwrap())).collect()
    };
    assert_eq!(history("DB").await, ["secret.write success", "secret.read denied"]);
    let wide = format!(r#"{narrow} path "secret/data/acme/prod/+" {{ capabilities = ["read"] }}"#);
    let token = server.token_with(ROOT, &wide).await;
    assert_eq!(resolved(&server, &token, "acme:prod:api", "URL").await.is(200).json()["value"], "pg://hunter2");
    assert_eq!(history("DB").await.last().unwrap(), "secret.read success");
    let entries = server.root("GET", "/api/v1/audit/entries?path=secret/data/acme/prod/DB", Value::Null).await.json();
    let last = entries["entries"].as_array().unwrap().last().unwrap()["entry"].clone();
    assert_eq!(last["facts"]["referred_from"], "secret/data/acme/prod/api/URL");
    server.stop().await;
}

#[tokio::test]
async fn effective_view_of_some_names_reads_nothing_else() {
    let server = TestServer::dev().await;
    set(&server, "acme", "A", "a").await;
    set(&server, "acme", "B", "${A}b").await;
    set(&server, "acme", "BAD", "${NOWHERE}").await;
    let view = async |query: &str| {
        server.root("GET", &format!("/api/v1/secrets/acme/?view=effective{query}"), Value::Null).await
    };
    let shown = view("&only=B&resolve=true").await.is(200).json();
    assert_eq!((&shown["secrets"][0]["value"], shown["secrets"].as_array().unwrap().len()), (&json!("ab"), 1));
    let told = view("&resolve=true").await.is(409).json();
    assert!(told["detail"].as_str().unwrap().ends_with("${NOWHERE} in it (acme/BAD)"), "{told}");
    for bad in ["&only=", "&only=A,,B", "&only=a%20b", "&resolve=maybe"] {
        view(bad).await.is(400);
    }
    for bad in ["only=A", "resolve=true"] {
        server.root("GET", &format!("/api/v1/secrets/acme/?{bad}"), Value::Null).await.is(400);
    }
    server.stop().await;
}

#[tokio::test]
async fn foreign_and_deleted_entries_are_not_taken_for_values() {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/secret/data/acme/KV", json!({"data": {"a": "b"}})).await.is(200);
    set(&server, "acme", "A", "coffer://acme/KV").await;
    assert!(detail(&server, "acme", "A").await.contains("KV entry of another shape"));
    set(&server, "acme", "GONE", "x").await;
    set(&server, "acme", "B", "${GONE:-default}").await;
    server.root("DELETE", "/api/v1/secrets/acme/GONE", Value::Null).await.is(204);
    assert_eq!(value(&server, "acme", "B").await, "default");
    server.stop().await;
}
