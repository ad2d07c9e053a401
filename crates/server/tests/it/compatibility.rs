//! docs/COMPATIBILITY.md against the server: what it calls "no" is refused, and what it does not is known.

use serde_json::json;

use crate::server::{ROOT, TestServer};

/// What a row says of its endpoints.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Word {
    Known,
    No,
}

/// The paths of the table's rows that lie where every server has a mount.
fn rows() -> Vec<(String, Word)> {
    let document = include_str!("../../../../docs/COMPATIBILITY.md");
    let mut rows = Vec::new();
    for line in document.lines() {
        let columns: Vec<&str> = line.trim_start_matches("| ").splitn(3, " | ").collect();
        let [first, word, _] = columns[..] else { continue };
        let word = match word {
            "yes" | "differs" => Word::Known,
            "no" => Word::No,
            _ => continue,
        };
        for named in first.split('`').skip(1).step_by(2) {
            let path = named.split_once(' ').map_or(named, |(_, path)| path).split(['?', '[']).next().unwrap();
            if HOMES.iter().any(|home| path.starts_with(home)) && !path.contains(['…', '*', '{']) {
                let segments = path.split('/').map(|segment| if segment.starts_with(':') { "x" } else { segment });
                rows.push((segments.collect::<Vec<_>>().join("/"), word));
            }
        }
    }
    rows
}

/// Whether the server knows a path: it does something there, or refuses the operation alone.
async fn is_known(server: &TestServer, path: &str) -> bool {
    for method in ["GET", "LIST", "POST"] {
        let body = if method == "POST" { "{}" } else { "" };
        let reply = server.raw(method, &format!("/v1/{path}"), Some(ROOT), body).await;
        let text = reply.text();
        if reply.status != 404 || !["unsupported path", "no handler for route"].iter().any(|no| text.contains(no)) {
            return true;
        }
    }
    false
}

#[tokio::test]
async fn table_of_endpoints_says_what_the_server_does() {
    let server = TestServer::dev().await;
    server.root("POST", "/v1/secret/data/x", json!({"data": {}})).await.is(200);
    let mut wrong = Vec::new();
    let rows = rows();
    for (path, word) in &rows {
        let known = if is_known(&server, path).await { Word::Known } else { Word::No };
        if known != *word {
            wrong.push(format!("{path}: the table has it as {word:?}, the server as {known:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for word in [Word::Known, Word::No] {
        assert!(rows.iter().filter(|row| row.1 == word).count() >= 8, "hardly a row is {word:?}");
    }
    server.stop().await;
}

const HOMES: [&str; 5] = ["auth/token/", "cubbyhole/", "identity/", "secret/", "sys/"];
