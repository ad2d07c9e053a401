//! The server killed while many secrets change together: all of them, or none, and records of what happened.

use serde_json::{Value, json};

use crate::{
    audit_log,
    node::{Engine, Node, Server},
};

/// Secrets of one change: their records fill several rows of the outbox and calls of the log.
const NAMES: usize = 2500;

#[test]
fn kill_amid_the_records_on_sqlite_halves_nothing() {
    kill_at("amid-append", Engine::Sqlite);
}

#[test]
fn kill_amid_the_records_on_postgres_halves_nothing() {
    kill_at("amid-append", Engine::Postgres);
}

#[test]
fn kill_before_the_commit_halves_nothing() {
    kill_at("before-commit", Engine::Sqlite);
}

#[test]
fn kill_after_the_commit_halves_nothing() {
    kill_at("after-commit", Engine::Sqlite);
}

fn kill_at(point: &str, engine: Engine) {
    let node = Node::new(engine);
    let server = node.start();
    let token = node.login(&server);
    server.stop();
    // Passages of the start come first; each change passes it once or, amid its records, several times.
    let server = node.prepare().env("COFFER_TEST_FAILPOINT", &format!("{point}:5")).start();
    let mut client = server.client().with_token(&token);
    let mut answered = 0;
    for round in 1..=5 {
        match client.send("PATCH", "/api/v1/secrets/acme/", Some(&change(round))) {
            Ok(answer) => {
                answer.expect(200);
                answered = round;
            }
            Err(_) => break,
        }
    }
    assert!(answered < 5, "it was not killed");
    server.wait_killed();
    let server = node.start();
    let found = rounds(&server, &token);
    assert_eq!(found.len(), if found[0] == 0 { 1 } else { NAMES }, "some are there");
    assert!(found.iter().all(|round| *round == found[0]), "halved");
    assert!(found[0] == answered || found[0] == answered + 1, "{} and not {answered}", found[0]);
    audit_log::stop_and_verify(&node, server, &token);
}

fn change(round: u64) -> Value {
    let set = |n| json!({"name": format!("NAME_{n}"), "value": round.to_string()});
    json!({"atomic": true, "snapshot": "", "secrets": (0..NAMES).map(set).collect::<Vec<_>>()})
}

/// The value of each secret, 0 where there is none.
fn rounds(server: &Server, token: &str) -> Vec<u64> {
    let mut client = server.client().with_token(token);
    let own = client.get("/api/v1/secrets/acme/?view=own").unwrap().expect(200).json();
    let values = own["secrets"].as_array().unwrap().iter();
    let found: Vec<u64> = values.map(|secret| secret["value"].as_str().unwrap().parse().unwrap()).collect();
    if found.is_empty() { vec![0] } else { found }
}
