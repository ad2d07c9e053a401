//! Uses of a key with random nonces, counted through `kill -9`: what is reserved is never fewer afterwards, and a key comes
//! to its end all the same.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    http::Client,
    load::Random,
    node::{Engine, Node},
    wait::{PATIENCE, until},
};

/// Uses that are reserved at once.
const BLOCK: u64 = 1 << 20;
/// Uses of a version at most.
const MOST: u64 = 1 << 31;
const WRITERS: usize = 3;
const ROUNDS: u64 = 5;

#[test]
fn uses_reserved_on_sqlite_are_never_fewer_after_a_kill() {
    kill_in_blocks(Engine::Sqlite);
}

#[test]
fn uses_reserved_on_postgres_are_never_fewer_after_a_kill() {
    kill_in_blocks(Engine::Postgres);
}

fn kill_in_blocks(engine: Engine) {
    let mut random = Random(u64::from(std::process::id()) * 2 + 1);
    let node = Node::new(engine);
    let server = node.start();
    let token = node.login(&server);
    let mut client = server.client().with_token(&token);
    client.post("/v1/sys/mounts/transit", &json!({"type": "transit"})).unwrap().expect(204);
    let token = user(&mut client);
    let mut client = server.client().with_token(&token);
    client
        .post("/v1/transit/keys/k", &json!({"exportable": true, "allow_plaintext_backup": true}))
        .unwrap()
        .expect(200);
    assert_eq!(reserved(&mut client, "k"), [0], "nothing is reserved before the first use");

    // In the middle of a block: the rest of it is given up, so each life takes one block.
    let mut server = server;
    for round in 1..=ROUNDS {
        let wanted = 1 + random.below(60);
        let answered = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..WRITERS {
                let (mut client, answered) = (server.client().with_token(&token), &answered);
                scope.spawn(move || {
                    while encrypt(&mut client, "k", 7).is_some() {
                        answered.fetch_add(7, Ordering::SeqCst);
                    }
                });
            }
            until("uses", PATIENCE, || (answered.load(Ordering::SeqCst) >= wanted).then_some(()));
            server.signal(Signal::KILL);
        });
        server.wait_killed();
        server = node.start();
        let mut client = server.client().with_token(&token);
        let after = reserved(&mut client, "k");
        assert_eq!(after, [round * BLOCK], "{answered:?} uses were answered");
    }
    server.stop();

    // Before and after the block is durable: no use was answered; what was reserved stays reserved.
    for (point, blocks) in [("before-uses-reserved", ROUNDS), ("after-uses-reserved", ROUNDS + 1)] {
        let server = node.prepare().env("COFFER_TEST_FAILPOINT", point).start();
        assert_eq!(encrypt(&mut server.client().with_token(&token), "k", 1), None, "{point}");
        server.wait_killed();
        let server = node.start();
        assert_eq!(reserved(&mut server.client().with_token(&token), "k"), [blocks * BLOCK], "{point}");
        server.stop();
    }

    comes_to_its_end(&node, &token, &mut random);
}

/// A key that has two blocks to go before it is rotated, which come from two lives of the server.
fn comes_to_its_end(node: &Node, token: &str, random: &mut Random) {
    let server = node.start();
    let mut client = server.client().with_token(token);
    let mut backup = backed_up(&mut client, "k");
    backup["versions"][0]["uses"] = (MOST - 66 * BLOCK).into();
    let backup = STANDARD.encode(backup.to_string());
    client.post("/v1/transit/restore/old", &json!({"backup": backup})).unwrap().expect(204);
    for _ in 0..=random.below(5) {
        assert_eq!(encrypt(&mut client, "old", 3).as_deref(), Some("vault:v1"));
    }
    server.signal(Signal::KILL);
    server.wait_killed();

    let server = node.start();
    let mut client = server.client().with_token(token);
    assert_eq!(reserved(&mut client, "old"), [MOST - 65 * BLOCK]);
    assert_eq!(encrypt(&mut client, "old", 1).as_deref(), Some("vault:v1"));
    until("a version that is not used up", PATIENCE, || {
        (encrypt(&mut client, "old", 1).as_deref() == Some("vault:v2")).then_some(())
    });
    assert_eq!(reserved(&mut client, "old"), [MOST - 64 * BLOCK, BLOCK]);
    server.stop();
}

/// A token that does everything with keys: administrators only manage them.
fn user(client: &mut Client) -> String {
    let all = r#"path "transit/*" { capabilities = ["create", "read", "update", "delete", "list"] }"#;
    client.post("/v1/sys/policies/acl/keys-all", &json!({"policy": all})).unwrap().expect(204);
    let wanted = json!({"policies": ["keys-all"], "no_parent": true});
    let granted = client.post("/v1/auth/token/create", &wanted).unwrap().expect(200).json();
    granted["auth"]["client_token"].as_str().unwrap().to_owned()
}

/// Encrypts so many items, and tells under which version; none where the server died.
fn encrypt(client: &mut Client, name: &str, items: usize) -> Option<String> {
    let body = json!({"batch_input": vec![json!({"plaintext": "aGVsbG8="}); items]});
    let answer = client.post(&format!("/v1/transit/encrypt/{name}"), &body).ok()?;
    let results = &answer.expect(200).json()["data"]["batch_results"];
    assert_eq!(results.as_array().unwrap().len(), items);
    Some(results[0]["ciphertext"].as_str().unwrap().rsplit_once(':').unwrap().0.to_owned())
}

/// The uses that were reserved of each version.
fn reserved(client: &mut Client, name: &str) -> Vec<u64> {
    let backup = backed_up(client, name);
    backup["versions"].as_array().unwrap().iter().map(|version| version["uses"].as_u64().unwrap()).collect()
}

fn backed_up(client: &mut Client, name: &str) -> Value {
    let answer = client.get(&format!("/v1/transit/backup/{name}")).unwrap().expect(200).json();
    serde_json::from_slice(&STANDARD.decode(answer["data"]["backup"].as_str().unwrap()).unwrap()).unwrap()
}
