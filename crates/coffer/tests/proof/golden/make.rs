//! Makes the newest golden store: a server is led through everything that a store can hold, stopped, and its directory
//! kept. Run once for each released format.

use std::{fs, process::Command};

use serde_json::{Value, json};

use super::{archive, facts_of, testdata};
use crate::{
    http::Client,
    node::{Engine, Node, Server},
};

/// Runs a server through everything that a store can hold, stops it, and keeps its directory.
pub fn generate(store: &str) {
    let node = Node::new(Engine::Sqlite);
    let server = node.prepare().args(&["--max-lease-ttl", "315360000"]).start();
    let facts = fill(&node, &server);
    server.stop();
    let data = node.data();
    for left in ["store.db-wal", "store.db-shm"] {
        assert!(!data.join(left).exists(), "{left}: the store is not checkpointed");
    }
    for passing in ["lock", "coffer.sock", "initial-token"] {
        let _ = fs::remove_file(data.join(passing));
    }
    fs::create_dir_all(testdata()).unwrap();
    // The log's segments are allocated ahead: what is zero becomes a hole, and a hole takes no room.
    let packing = tempfile::tempdir().unwrap();
    let mut copy = Command::new("cp");
    copy.args(["--archive", "--sparse=always"]).arg(data).arg(packing.path());
    assert!(copy.status().unwrap().success());
    let packed = Command::new("tar")
        .args(["--sparse", "--sort=name", "--mtime=@0", "--numeric-owner"])
        .args(["--owner=0", "--group=0", "--use-compress-program=gzip -9n", "-cf"])
        .arg(archive(store))
        .arg("-C")
        .arg(packing.path())
        .arg("data")
        .status()
        .unwrap();
    assert!(packed.success());
    assert!(fs::metadata(archive(store)).unwrap().len() < 300_000, "too large to be kept for ever");
    fs::write(facts_of(store), serde_json::to_string_pretty(&facts).unwrap() + "\n").unwrap();
}

fn fill(node: &Node, server: &Server) -> Value {
    let mut make = Maker { client: server.client().with_token(&node.login(server)) };
    // Beyond every clock that will open this store.
    let century = "876000h";
    make.post("/v1/sys/auth/token/tune", json!({ "max_lease_ttl": century }));
    let lasting = make.token(json!({ "policies": ["administrator"], "period": century, "no_parent": true }));
    make.client = server.client().with_token(&lasting.0);

    // Under the first term and the first token, batch and audit keys.
    let reader = r#"path "secret/data/legacy/*" { capabilities = ["read"] }"#;
    make.post("/v1/sys/policies/acl/reader", json!({ "policy": reader }));
    make.post("/v1/sys/policies/acl/of-the-group", json!({ "policy": reader }));
    make.post("/v1/sys/auth/userpass", json!({ "type": "userpass", "config": { "max_lease_ttl": century } }));
    let password = "a password of nobody";
    make.post("/v1/auth/userpass/users/ada", json!({ "password": password, "token_policies": ["reader"] }));
    let login = make.post("/v1/auth/userpass/login/ada", json!({ "password": password }));
    let entity = login["auth"]["entity_id"].clone();
    make.post("/v1/identity/entity/name/batch-job", json!({ "metadata": { "scope": "acme:prod:api" } }));
    make.post(
        "/v1/identity/group",
        json!({ "name": "g", "policies": ["of-the-group"], "member_entity_ids": [entity] }),
    );
    make.post("/v1/auth/token/roles/ci", json!({ "orphan": true, "allowed_policies": "reader" }));
    make.post("/v1/sys/mounts/shred", json!({ "type": "kv", "options": { "version": "2", "shred": "true" } }));
    make.post("/v1/secret/metadata/legacy/app", json!({ "custom_metadata": { "owner": "ops" }, "max_versions": 7 }));
    for number in 1..=3 {
        make.value(number);
    }
    let year = "8760h";
    let once = json!({ "policies": ["default"], "num_uses": 1, "ttl": year });
    let used_up = make.token(once);
    server.client().with_token(&used_up.0).get("/v1/auth/token/lookup-self").unwrap().expect(200);
    let revoked = make.token(json!({ "policies": ["default"], "ttl": year }));
    make.post("/v1/auth/token/revoke-accessor", json!({ "accessor": revoked.1 }));
    let retired_token = make.token(json!({ "policies": ["default"], "period": century, "no_parent": true }));
    let retired_batch = make.token(json!({ "policies": ["default"], "type": "batch", "ttl": "87600h" }));
    let before = make.client.get("/v1/secret/data/legacy/app?version=1").unwrap().expect(200);

    // Under the second ones; of the third the current ones are.
    for key in ["audit", "barrier", "batch", "log", "token"] {
        make.post("/api/v1/operator/rotate", json!({ "key": key }));
    }
    let lasting = make.token(json!({ "policies": ["administrator"], "period": century, "no_parent": true }));
    make.client = server.client().with_token(&lasting.0);
    for key in ["batch", "token"] {
        assert_eq!(make.post("/api/v1/operator/keys/retire", json!({ "key": key }))["removed"], json!([1]));
    }
    for number in 4..=5 {
        make.value(number);
    }
    let parent = make.token(json!({ "policies": ["administrator"], "period": century, "no_parent": true }));
    let mut of_parent = Maker { client: server.client().with_token(&parent.0) };
    let child = of_parent.token(json!({ "policies": ["default"], "period": century }));
    let limited = json!({ "policies": ["default"], "num_uses": 5, "period": century, "no_parent": true });
    let limited = make.token(limited);
    for _ in 0..2 {
        server.client().with_token(&limited.0).get("/v1/auth/token/lookup-self").unwrap().expect(200);
    }
    let batch = make.token(json!({ "policies": ["default"], "type": "batch", "ttl": "87600h" }));
    let batch_until = lookup(server, &batch.0)["data"]["expire_time"].clone();
    // A token of the user's entity that never ends: by a role of the user's mount it would.
    make.post(
        "/v1/auth/userpass/users/ada",
        json!({ "token_period": century, "token_policies": ["reader"], "token_no_default_policy": true }),
    );
    let reader = make.post("/v1/auth/userpass/login/ada", json!({ "password": password }));
    make.post("/v1/auth/userpass/users/ada", json!({ "token_period": 0, "token_no_default_policy": false }));
    for key in ["audit", "barrier", "log", "token"] {
        make.post("/api/v1/operator/rotate", json!({ "key": key }));
    }
    make.value(6);
    make.destroy();
    // More than one full tile of the log.
    for _ in 0..260 {
        make.client.get("/v1/auth/token/lookup-self").unwrap().expect(200);
    }
    assert_eq!(before.json()["data"], make.get("/v1/secret/data/legacy/app?version=1")["body"]["data"]);

    let checkpoint = make.client.get("/api/v1/audit/checkpoint").unwrap().expect(200).json();
    json!({
        "batch_until": batch_until,
        "checkpoint": checkpoint["checkpoint"],
        "entity": entity,
        "parent": parent.1,
        "password": password,
        "reads": READ.iter().map(|path| make.get(path)).collect::<Vec<Value>>(),
        "release": env!("CARGO_PKG_VERSION"),
        "tokens": {
            "batch": batch.0,
            "child": child.0,
            "lasting": lasting.0,
            "limited": limited.0,
            "reader": reader["auth"]["client_token"],
            "retired_batch": retired_batch.0,
            "retired_token": retired_token.0,
            "revoked": revoked.0,
            "used_up": used_up.0,
        },
        "vkey": checkpoint["vkey"],
        "writable": ["/v1/secret/data/acme/prod/api/DATABASE_URL", "/v1/secret/data/legacy/app", "/v1/shred/data/a"],
    })
}

/// What is read of a new store and written down.
const READ: [&str; 39] = [
    "/api/v1/secrets/acme:prod:api/DATABASE_URL",
    "/api/v1/secrets/acme:prod:api/DATABASE_URL?version=1",
    "/api/v1/secrets/acme:prod:api/DATABASE_URL?version=2",
    "/api/v1/secrets/acme:prod:api/DATABASE_URL?version=3",
    "/api/v1/secrets/acme:prod:api/DATABASE_URL?version=4",
    "/api/v1/secrets/acme:prod:api/DATABASE_URL?version=5",
    "/api/v1/secrets/acme:prod:api/DATABASE_URL?version=6",
    "/api/v1/secrets/acme:prod:api/DATABASE_URL/versions",
    "/api/v1/secrets/acme:prod:api/SHREDDED?version=1",
    "/api/v1/secrets/acme:prod:api/SHREDDED?version=2",
    "/api/v1/secrets/acme:prod:api/SHREDDED?version=6",
    "/api/v1/secrets/acme:prod:api/?view=effective",
    "/api/v1/secrets/acme/?recursive=true",
    "/v1/secret/data/legacy/app",
    "/v1/secret/data/legacy/app?version=1",
    "/v1/secret/data/legacy/app?version=4",
    "/v1/secret/data/legacy/app?version=5",
    "/v1/secret/data/legacy/app?version=6",
    "/v1/secret/metadata/legacy/app",
    "/v1/secret/subkeys/legacy/app?version=1",
    "/v1/shred/data/a?version=1",
    "/v1/shred/data/a?version=2",
    "/v1/shred/data/a?version=6",
    "/v1/shred/metadata/a",
    "/v1/shred/config",
    "/v1/sys/mounts",
    "/v1/sys/auth",
    "/v1/sys/policies/acl/reader",
    "/v1/sys/policies/acl/administrator",
    "/v1/sys/policies/acl/operator",
    "/v1/auth/userpass/users/ada",
    "/v1/auth/token/roles/ci",
    "/v1/identity/entity/name/batch-job",
    "/v1/identity/group/name/g",
    "/api/v1/operator/keys",
    "/api/v1/policies",
    "/api/v1/audit/entries?action=key.retire",
    "/api/v1/audit/entries?action=system.birth",
    "/api/v1/audit/entries?action=secret.destroy",
];

struct Maker {
    client: Client,
}

impl Maker {
    fn post(&mut self, path: &str, body: Value) -> Value {
        let answer = self.client.post(path, &body).unwrap();
        assert!(answer.is_success(), "{path}: {answer}");
        if answer.body.is_empty() { Value::Null } else { answer.json() }
    }

    /// A token and its accessor.
    fn token(&mut self, wanted: Value) -> (String, Value) {
        let auth = self.post("/v1/auth/token/create", wanted)["auth"].take();
        (auth["client_token"].as_str().unwrap().to_owned(), auth["accessor"].clone())
    }

    /// A version of each secret.
    fn value(&mut self, number: u64) {
        let native = "/api/v1/secrets/acme:prod:api";
        let body = |options: Value| json!({ "value": format!("value {number} ü\n"), "options": options });
        for (name, options) in [("DATABASE_URL", json!({})), ("SHREDDED", json!({ "shred": true }))] {
            self.client.send("PUT", &format!("{native}/{name}"), Some(&body(options))).unwrap().expect(200);
        }
        let shared = json!({ "value": format!("shared {number}") });
        self.client.send("PUT", "/api/v1/secrets/acme/SHARED", Some(&shared)).unwrap().expect(200);
        let data = json!({ "data": { "number": number, "deep": { "list": [1, 2.5, null, "three"] }, "user": "u" } });
        self.post("/v1/secret/data/legacy/app", data.clone());
        self.post("/v1/shred/data/a", data);
    }

    /// Of six versions: one deleted, one destroyed, and both of those that were shredded.
    fn destroy(&mut self) {
        self.post("/v1/secret/delete/legacy/app", json!({ "versions": [5] }));
        self.post("/v1/secret/destroy/legacy/app", json!({ "versions": [4] }));
        self.post("/v1/shred/destroy/a", json!({ "versions": [2] }));
        self.post("/api/v1/secrets/acme:prod:api/SHREDDED/destroy", json!({ "versions": [2] }));
    }

    /// A read as it is written down.
    fn get(&mut self, path: &str) -> Value {
        let answer = self.client.get(path).unwrap();
        let status = answer.status;
        let gone = ["legacy/app?version=4", "legacy/app?version=5", "SHREDDED?version=2", "a?version=2"];
        let is_gone = gone.iter().any(|gone| path.ends_with(gone)) && !path.contains("DATABASE_URL");
        assert_eq!(status, if is_gone { 404 } else { 200 }, "{path}: {answer}");
        let mut body = answer.json();
        // Of the Vault dialect's envelope the data alone.
        if path.starts_with("/v1/") {
            body = json!({ "data": body["data"].take() });
        }
        forget_what_is_not_stored(&mut body);
        json!({ "path": path, "status": status, "body": body })
    }
}

/// Leaves out what belongs to the request, to this release or to the moment.
fn forget_what_is_not_stored(body: &mut Value) {
    match body {
        Value::Array(items) => items.iter_mut().for_each(forget_what_is_not_stored),
        Value::Object(fields) => {
            NOT_STORED.iter().for_each(|key| drop(fields.remove(*key)));
            fields.values_mut().for_each(forget_what_is_not_stored);
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

const NOT_STORED: [&str; 9] = [
    "deprecation_status",
    "detail",
    "instance",
    "plugin_version",
    "request_id",
    "running_plugin_version",
    "running_sha256",
    "size",
    "tokens",
];

fn lookup(server: &Server, token: &str) -> Value {
    server.client().with_token(token).get("/v1/auth/token/lookup-self").unwrap().expect(200).json()
}
