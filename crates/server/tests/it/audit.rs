//! The log from outside: every change leaves a line, and lines can be queried and proved.

mod query;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    endpoints::{For, NATIVE, Row, VAULT, allowed, fresh, furnish, rows},
    server::{ROOT, TestServer},
};

/// What the record of each change says: id of the row | class | logical path.
const LINES: &str = include_str!("audit/lines.txt");

#[tokio::test]
async fn every_mutation_leaves_a_line_that_says_who_did_what_to_what() {
    let server = TestServer::dev().await;
    let mut lines: BTreeMap<&str, (&str, &str)> = LINES
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let columns: Vec<&str> = line.split('|').map(str::trim).collect();
            let [id, class, path] = columns[..] else { panic!("three columns: {line}") };
            (id, (class, path))
        })
        .collect();
    let mut wrong = Vec::new();
    // Sealing is the last thing that the log hears of, so it can be asked only after an unseal.
    let changes = |row: &&Row| row.changes && row.whom == For::Token && !row.path.ends_with("/seal");
    for row in rows(NATIVE).iter().chain(&rows(VAULT)).filter(changes) {
        let (class, path) = lines.remove(row.id).unwrap_or_else(|| panic!("{}: no line in lines.txt", row.id));
        furnish(&server).await;
        let fresh = fresh(&server).await;
        let right = allowed(&server, row).await;
        let known = server.root("POST", "/v1/auth/token/lookup", json!({"token": right})).await.data();
        let before = server.log_size().await;
        row.ask(&server, Some(&right), &fresh).await.is(row.status);
        let page = server.root("GET", &format!("/api/v1/audit/entries?from={before}&limit=1000"), Value::Null).await;
        let page = page.is(200).json();
        let told = page["entries"].as_array().unwrap().iter().map(|entry| &entry["entry"]);
        let told: Vec<&Value> = told.filter(|entry| entry["req"]["path"] == row.path_of(&fresh)).collect();
        for entry in &told {
            assert_eq!(entry["out"], "success", "{}: {entry}", row.id);
            assert_eq!(entry["actor"]["accessor"], known["accessor"], "{}: {entry}", row.id);
            assert_eq!(entry["src"]["ip"], "127.0.0.1", "{}: {entry}", row.id);
        }
        let said = |entry: &&&Value| entry["cls"] == class && entry["res"]["path"] == path;
        // There is but one token key here, so that nothing is retired, and nobody else to lead.
        let changed = matches!(row.id, "operator_retire" | "sys/step-down")
            || told.iter().any(|entry| entry["changes"].as_array().is_some_and(|keys| !keys.is_empty()));
        if told.iter().filter(said).count() != 1 || !changed {
            let brief = |entry: &&Value| format!("{} | {} | {}", entry["cls"], entry["res"]["path"], entry["changes"]);
            let told: Vec<String> = told.iter().map(brief).collect();
            wrong.push(format!("{} | {class} | {path}: {told:#?}", row.id));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(lines.is_empty(), "no such rows: {lines:?}");
    server.stop().await;
}

#[tokio::test]
async fn sealing_leaves_a_line_that_is_read_after_the_unseal() {
    let server = TestServer::with_data().await;
    let initial = std::fs::read_to_string(server.initial_token.clone().unwrap()).unwrap();
    let grant = server.raw("POST", "/api/v1/login/initial", Some(initial.trim()), "").await.is(200).json();
    let token = grant["token"].as_str().unwrap();
    server.as_token(token, "POST", "/api/v1/operator/seal", Value::Null).await.is(204);
    assert_eq!(crate::local::local(&server, "POST", "/api/v1/operator/unseal").await.0, 204);
    let page =
        server.as_token(token, "GET", "/api/v1/audit/entries?action=system.seal", Value::Null).await.is(200).json();
    assert_eq!(page["entries"].as_array().unwrap().len(), 1, "{page}");
    server.stop().await;
}

#[tokio::test]
async fn entry_is_found_by_request_and_proved() {
    let server = TestServer::dev().await;
    let set = server.root("PUT", "/api/v1/secrets/acme/KEY", json!({"value": "canary-7391"})).await.is(200);
    let id = set.headers["x-request-id"].to_str().unwrap().to_owned();
    let page = server.root("GET", "/api/v1/audit/entries?path=secret/data/acme/KEY", Value::Null).await.is(200);
    assert!(!page.text().contains("canary-7391"));
    assert!(page.text().contains(&id));
    let page = page.json();
    let index = &page["entries"][0]["index"];
    let proof = server.root("GET", &format!("/api/v1/audit/proofs/{index}"), Value::Null).await.is(200).json();
    assert!(proof["proof"].as_str().unwrap().starts_with("c2sp.org/tlog-proof@v1"));
    let checkpoint = server.root("GET", "/api/v1/audit/checkpoint", Value::Null).await.is(200).json();
    assert_eq!(checkpoint["vkey"], proof["vkey"]);
    server.root("GET", "/api/v1/audit/proofs/999999", Value::Null).await.is(404);
    let history = server.root("GET", "/api/v1/secrets/acme/KEY/history", Value::Null).await.is(200).json();
    assert_eq!(history["items"][0]["action"], "secret.write");
    server.stop().await;
}

#[tokio::test]
async fn malformed_requests_of_the_known_are_recorded() {
    let server = TestServer::dev().await;
    for (method, path, body) in [
        ("POST", "/v1/secret/data/a", "{bad"),
        ("GET", "/v1/nosuch/x", ""),
        ("TRACE", "/v1/secret/data/a", ""),
        ("GET", "/v1/secret/data/a/../b", ""),
        ("GET", "/v1/secret/data/a?version=x", ""),
        ("POST", "/v1/sys/mounts/x", "{}"),
        ("PUT", "/api/v1/secrets/acme/KEY", "{}"),
        ("GET", "/api/v1/nosuch", ""),
        ("GET", "/api/v1/secrets/acme/?limit=0", ""),
    ] {
        let before = server.log_size().await;
        let reply = server.raw(method, path, Some(ROOT), body).await;
        assert!(reply.status >= 400, "{method} {path}");
        assert!(server.log_size().await > before, "{method} {path}: refused without a record");
    }
    server.stop().await;
}

#[tokio::test]
async fn malformed_requests_of_nobody_are_recorded() {
    let server = TestServer::dev().await;
    for (path, body) in [
        ("/v1/auth/userpass/login/ada", "{bad"),
        ("/v1/auth/userpass/login/ada", r#"{"password":"x"}"#),
        ("/v1/auth/nosuch/login/ada", r#"{"password":"x"}"#),
        ("/api/v1/login/userpass", "{}"),
        ("/api/v1/login/initial", ""),
        ("/api/v1/operator/unseal", ""),
        ("/v1/secret/data/a", ""),
    ] {
        let before = server.log_size().await;
        let reply = server.raw("POST", path, None, body).await;
        assert!(reply.status >= 400, "{path}");
        assert!(server.log_size().await > before, "{path}: refused without a record");
    }
    server.stop().await;
}
