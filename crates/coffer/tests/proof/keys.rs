//! A node that dies between the commit that removes a key and the moment that it stops using it: whoever comes after it
//! knows the key no more.

use serde_json::{Value, json};

use crate::{
    audit_log,
    http::Client,
    node::{Engine, Node, Server},
    wait::PATIENCE,
};

#[test]
fn key_retired_at_the_moment_of_death_is_gone_after_the_restart() {
    let node = Node::new(Engine::Sqlite);
    let server = node.start();
    let tokens = Tokens::make(&node, &server);
    server.stop();
    let server = node.prepare().env("COFFER_TEST_FAILPOINT", "before-keys-in-force").start();
    tokens.retire(&server).unwrap_err();
    server.wait_killed();
    let server = node.start();
    tokens.check_retired(&server);
    assert_eq!(lookup(&server, &tokens.batch), 200, "its parent's row is there");
    audit_log::stop_and_verify(&node, server, &tokens.new);
}

#[test]
fn key_retired_on_one_node_is_gone_on_the_next() {
    let first = Node::new(Engine::Postgres);
    let leader = first.start();
    let tokens = Tokens::make(&first, &leader);
    leader.stop();
    let second = first.sibling();

    let dying = first.prepare().env("COFFER_TEST_FAILPOINT", "before-keys-in-force").start();
    let standby = second.prepare().start_anyhow();
    standby.wait_for_state("standby", PATIENCE);
    tokens.retire(&dying).unwrap_err();
    dying.wait_killed();
    standby.wait_for_state("active", PATIENCE);
    tokens.check_retired(&standby);
    assert_eq!(lookup(&standby, &tokens.batch), 200);

    // And in order: what one node retires, the other never knew.
    let back = first.prepare().start_anyhow();
    back.wait_for_state("standby", PATIENCE);
    let mut client = standby.client().with_token(&tokens.new);
    client.post("/api/v1/operator/rotate", &json!({ "key": "batch" })).unwrap().expect(204);
    client.post("/api/v1/operator/keys/retire", &json!({ "key": "batch" })).unwrap().expect(200);
    standby.stop();
    back.wait_for_state("active", PATIENCE);
    tokens.check_retired(&back);
    assert_eq!(lookup(&back, &tokens.batch), 403);
    let batch = keys(&mut back.client().with_token(&tokens.new), "batch");
    assert_eq!(batch, [json!({ "key": "batch", "number": 2, "state": "current" })]);
}

/// One administrator's token under each of two token keys, and a batch token whose parent is the old one.
struct Tokens {
    old: String,
    new: String,
    batch: String,
}

impl Tokens {
    fn make(node: &Node, server: &Server) -> Self {
        let old = node.login(server);
        let mut client = server.client().with_token(&old);
        let batch = create(&mut client, &json!({ "policies": ["default"], "type": "batch", "ttl": "1h" }));
        client.post("/api/v1/operator/rotate", &json!({ "key": "token" })).unwrap().expect(204);
        let new = create(&mut client, &json!({ "policies": ["administrator"], "no_parent": true }));
        let tokens = Self { old, new, batch };
        for token in [&tokens.old, &tokens.new, &tokens.batch] {
            assert_eq!(lookup(server, token), 200);
        }
        tokens
    }

    fn retire(&self, server: &Server) -> std::io::Result<()> {
        let mut client = server.client().with_token(&self.new);
        client.post("/api/v1/operator/keys/retire", &json!({ "key": "token" })).map(drop)
    }

    fn check_retired(&self, server: &Server) {
        assert_eq!(lookup(server, &self.old), 403);
        assert_eq!(lookup(server, &self.new), 200);
        let tokens = keys(&mut server.client().with_token(&self.new), "token");
        assert_eq!(tokens[0]["number"], 2);
        assert_eq!(tokens[1..], [json!({ "key": "token", "number": 1, "state": "retired", "tokens": 1 })]);
    }
}

fn create(client: &mut Client, wanted: &Value) -> String {
    let granted = client.post("/v1/auth/token/create", wanted).unwrap().expect(200).json();
    granted["auth"]["client_token"].as_str().unwrap().to_owned()
}

fn lookup(server: &Server, token: &str) -> u16 {
    server.client().with_token(token).get("/v1/auth/token/lookup-self").unwrap().status
}

fn keys(client: &mut Client, key: &str) -> Vec<Value> {
    let listed = client.get("/api/v1/operator/keys").unwrap().expect(200).json();
    listed["items"].as_array().unwrap().iter().filter(|listed| listed["key"] == key).cloned().collect()
}
