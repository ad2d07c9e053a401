//! The server killed while a store comes to be and while it goes from one seal to the other. There is nothing or everything,
//! and whoever could open the store before still can, until somebody opened it the new way.

use std::process::Output;

use serde_json::{Value, json};

use crate::{
    audit_log,
    node::{Engine, Node, Server, Start},
    wait::{PATIENCE, until},
};

/// What the initialisation told.
struct Told {
    keys: Vec<String>,
    root: String,
}

#[test]
fn first_start_killed_around_the_birth_ends_with_a_store_at_the_next() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        for point in ["before-birth", "after-birth"] {
            let node = Node::new(engine);
            let died = node.prepare().env("COFFER_TEST_FAILPOINT", point).attempt();
            assert!(died.is_err(), "{point}: the server lives");
            let server = node.start();
            let token = node.login(&server);
            write(&server, &token);
            audit_log::stop_and_verify(&node, server, &token);
        }
    }
}

#[test]
fn initialisation_killed_before_the_birth_leaves_an_empty_store() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let node = Node::new(engine);
        killed_at_init(&node, "before-birth");
        let server = shamir(&node).start_anyhow();
        assert_eq!(is_initialised(&server), json!(false), "{engine:?}");
        let told = init(&server);
        unseal(&server, &told);
        write(&server, &told.root);
        audit_log::stop_and_verify(&node, server, &told.root);
    }
}

/// Nobody was told the shares, as after any initialisation whose answer is lost: the store is there, whole, and empty.
#[test]
fn initialisation_killed_after_the_birth_leaves_a_whole_store_and_makes_no_second_one() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let node = Node::new(engine);
        killed_at_init(&node, "after-birth");
        let server = shamir(&node).start_anyhow();
        assert_eq!(is_initialised(&server), json!(true), "{engine:?}");
        let body = json!({"secret_shares": 3, "secret_threshold": 2});
        let refused = server.client().send("PUT", "/v1/sys/init", Some(&body)).unwrap().expect(400);
        assert_eq!(refused.json()["errors"], json!(["Vault is already initialized"]));
        let status = server.client().get("/v1/sys/seal-status").unwrap().expect(200).json();
        assert_eq!((&status["t"], &status["n"], &status["sealed"]), (&json!(2), &json!(3), &json!(true)));
        server.stop();
    }
}

#[test]
fn migration_to_a_key_file_killed_after_the_file_is_made_locks_nobody_out() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let node = Node::new(engine);
        let server = shamir(&node).env("COFFER_TEST_FAILPOINT", "after-seal-key-file").start_anyhow();
        let told = init(&server);
        unseal(&server, &told);
        write(&server, &told.root);
        assert!(!to_file(&node, &told).status.success());
        server.wait_killed();
        // The file was made, and opens nothing yet.
        assert!(node.data().join("seal.key").exists());
        let refused = node.prepare().attempt().map(drop).unwrap_err();
        assert!(refused.contains("shamir"), "{refused}");

        let server = opened_with_shares(&node, &told);
        done(&to_file(&node, &told));
        server.stop();
        opens_with_file_alone(&node, &told);
    }
}

#[test]
fn migration_to_a_key_file_killed_before_the_shares_go_is_finished_or_taken_back() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let node = Node::new(engine);
        let server = shamir(&node).start_anyhow();
        let told = init(&server);
        unseal(&server, &told);
        write(&server, &told.root);
        let killed = |server: Server| {
            done(&to_file(&node, &told));
            server.stop();
            let died = node.prepare().env("COFFER_TEST_FAILPOINT", "before-seal-removed").attempt();
            assert!(died.is_err(), "the server lives");
        };
        killed(server);
        // Taken back: the shares open it, and the file no longer does.
        let server = opened_with_shares(&node, &told);
        done(&node.cli_fed(&["operator", "seal-migrate", "abandon"], &[]));
        server.stop();
        let refused = node.prepare().attempt().map(drop).unwrap_err();
        assert!(refused.contains("shamir"), "{refused}");
        // Finished.
        killed(opened_with_shares(&node, &told));
        opens_with_file_alone(&node, &told);
    }
}

#[test]
fn migration_to_shares_killed_before_the_file_goes_is_finished_or_taken_back() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let node = Node::new(engine);
        let server = node.start();
        let root = node.login(&server);
        write(&server, &root);
        let killed = |server: Server| {
            let split = ["operator", "seal-migrate", "shamir", "--shares", "3", "--threshold", "2", "--format", "json"];
            let made = node.cli_fed(&split, &[]);
            done(&made);
            let made: Value = serde_json::from_slice(&made.stdout).unwrap();
            let told = Told { keys: texts(&made["keys"]), root: root.clone() };
            server.stop();
            let server = shamir(&node).env("COFFER_TEST_FAILPOINT", "before-seal-removed").start_anyhow();
            give(&server, &told.keys[0]).unwrap();
            // The last one may or may not be answered before the end.
            drop(give(&server, &told.keys[2]));
            server.wait_killed();
            told
        };
        let abandoned = killed(server);
        // Taken back: the file opens it, and those shares no longer do.
        let server = node.start();
        read(&server, &root);
        done(&node.cli_fed(&["operator", "seal-migrate", "abandon"], &[]));
        server.stop();
        let refused = shamir(&node).attempt().map(drop).unwrap_err();
        assert!(refused.contains("file"), "{refused}");
        // Finished, with other shares.
        let told = killed(node.start());
        let server = shamir(&node).start_anyhow();
        give(&server, &abandoned.keys[0]).unwrap();
        drop(give(&server, &abandoned.keys[1]));
        server.wait_for_state("sealed", PATIENCE);
        unseal(&server, &told);
        read(&server, &root);
        audit_log::stop_and_verify(&node, server, &root);
        let refused = node.prepare().attempt().map(drop).unwrap_err();
        assert!(refused.contains("shamir"), "{refused}");
    }
}

fn shamir(node: &Node) -> Start {
    node.prepare().args(&["--seal", "shamir"])
}

fn killed_at_init(node: &Node, point: &str) {
    let server = shamir(node).env("COFFER_TEST_FAILPOINT", point).start_anyhow();
    let body = json!({"secret_shares": 3, "secret_threshold": 2});
    assert!(server.client().send("PUT", "/v1/sys/init", Some(&body)).is_err(), "{point}");
    server.wait_killed();
}

fn is_initialised(server: &Server) -> Value {
    server.client().get("/v1/sys/init").unwrap().expect(200).json()["initialized"].take()
}

fn init(server: &Server) -> Told {
    let body = json!({"secret_shares": 3, "secret_threshold": 2});
    // On PostgreSQL the lease of a dead node may have to run out first.
    let told = until("initialisation", PATIENCE, || {
        let answer = server.client().send("PUT", "/v1/sys/init", Some(&body)).unwrap();
        (answer.status != 503).then(|| answer.expect(200).json())
    });
    Told { keys: texts(&told["keys"]), root: told["root_token"].as_str().unwrap().to_owned() }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn give(server: &Server, key: &str) -> std::io::Result<Value> {
    Ok(server.client().send("PUT", "/v1/sys/unseal", Some(&json!({ "key": key })))?.json())
}

fn unseal(server: &Server, told: &Told) {
    // On PostgreSQL the lease of a dead node may have to run out.
    server.client().send("PUT", "/v1/sys/unseal", Some(&json!({"reset": true}))).unwrap();
    for key in [&told.keys[2], &told.keys[0]] {
        give(server, key).unwrap();
    }
    server.wait_for_state("active", PATIENCE);
}

fn opened_with_shares(node: &Node, told: &Told) -> Server {
    let server = shamir(node).start_anyhow();
    unseal(&server, told);
    read(&server, &told.root);
    server
}

/// With the key file; the shares are refused from then on.
fn opens_with_file_alone(node: &Node, told: &Told) {
    let server = node.start();
    read(&server, &told.root);
    audit_log::stop_and_verify(node, server, &told.root);
    let refused = shamir(node).attempt().map(drop).unwrap_err();
    assert!(refused.contains("file"), "{refused}");
    node.start().stop();
}

fn to_file(node: &Node, told: &Told) -> Output {
    node.cli_fed(&["operator", "seal-migrate", "file"], &[&told.keys[0], &told.keys[1]])
}

fn done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn write(server: &Server, token: &str) {
    let body = json!({ "data": { "kept": "yes" } });
    server.client().with_token(token).post("/v1/secret/data/kept", &body).unwrap().expect(200);
}

fn read(server: &Server, token: &str) {
    let found = server.client().with_token(token).get("/v1/secret/data/kept").unwrap().expect(200).json();
    assert_eq!(found["data"]["data"]["kept"], "yes");
}
