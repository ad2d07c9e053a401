//! The drill: a server with secrets, keys and tokens is backed up while a load of writes goes on, restored elsewhere, unsealed,
//! compared secret by secret, and its log and store verified. With `age` itself as a witness of the format.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use serde_json::{Value, json};

use crate::{
    audit_log,
    node::{Engine, Node, Server},
    wait::PATIENCE,
};

/// What the populated server held when it was backed up.
struct Held {
    secrets: BTreeMap<String, String>,
    ciphertext: String,
    token: String,
}

fn populate(server: &Server, token: &str) -> Held {
    let mut client = server.client().with_token(token);
    let mut secrets = BTreeMap::new();
    for n in 0..60 {
        let path = format!("/api/v1/secrets/acme:prod:s{}/KEY_{n}", n % 4);
        for version in 0..=n % 3 {
            let value = format!("value {n} of version {version}");
            let options = if n % 7 == 0 { json!({"shred": true}) } else { json!({}) };
            client.send("PUT", &path, Some(&json!({"value": value, "options": options}))).unwrap().expect(200);
            secrets.insert(path.clone(), value);
        }
    }
    client.post("/v1/sys/mounts/kv1", &json!({"type": "kv", "options": {"version": "1"}})).unwrap().expect(204);
    client.post("/v1/kv1/plain", &json!({"old": "dialect"})).unwrap().expect(204);
    client.post("/api/v1/keys", &json!({"name": "k"})).unwrap().expect(200);
    client.post("/api/v1/keys/k/rotate", &json!({})).unwrap().expect(200);
    let policy = "path \"*\" { capabilities = [\"create\", \"read\", \"update\", \"list\", \"sudo\"] }";
    client.send("PUT", "/api/v1/policies/user", Some(&json!({"policy": policy}))).unwrap();
    let granted =
        client.post("/v1/auth/token/create", &json!({"policies": ["user"], "ttl": "24h"})).unwrap().expect(200);
    let user = granted.json()["auth"]["client_token"].as_str().unwrap().to_owned();
    let mut user_client = server.client().with_token(&user);
    let sealed =
        user_client.post("/v1/transit/encrypt/k", &json!({"plaintext": "aGVsbG8="})).unwrap().expect(200).json();
    let ciphertext = sealed["data"]["ciphertext"].as_str().unwrap().to_owned();
    Held { secrets, ciphertext, token: user }
}

fn compare(server: &Server, held: &Held) {
    let mut client = server.client().with_token(&held.token);
    for (path, value) in &held.secrets {
        assert_eq!(client.get(path).unwrap().expect(200).json()["value"], *value, "{path}");
    }
    assert_eq!(client.get("/v1/kv1/plain").unwrap().expect(200).json()["data"]["old"], "dialect");
    let opened =
        client.post("/v1/transit/decrypt/k", &json!({"ciphertext": held.ciphertext})).unwrap().expect(200).json();
    assert_eq!(opened["data"]["plaintext"], "aGVsbG8=");
}

/// Writes until it is told to stop.
fn load(server: &Server, token: &str) -> (Arc<AtomicBool>, thread::JoinHandle<u64>) {
    let stop = Arc::new(AtomicBool::new(false));
    let (told, mut client) = (Arc::clone(&stop), server.client().with_token(token));
    let writing = thread::spawn(move || {
        let mut written = 0;
        while !told.load(Ordering::Relaxed) {
            let path = format!("/api/v1/secrets/acme:load/KEY_{}", written % 20);
            client.send("PUT", &path, Some(&json!({"value": written.to_string()}))).unwrap().expect(200);
            written += 1;
        }
        written
    });
    (stop, writing)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat()).into_owned()
}

fn done(output: Output) -> String {
    assert!(output.status.success(), "{}: {}", output.status, said(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A key as people make it.
fn keygen(dir: &Path) -> (PathBuf, String) {
    let path = dir.join("backup.key");
    done(Command::new("age-keygen").arg("-o").arg(&path).output().unwrap());
    let recipient = done(Command::new("age-keygen").arg("-y").arg(&path).output().unwrap());
    (path, recipient)
}

/// What a drill begins with: a backup made under load, and what it must bring back.
struct Drill {
    node: Node,
    held: Held,
    backup: String,
    identity: String,
    vkey: String,
    checkpoint: PathBuf,
}

impl Drill {
    fn made(node: Node, server: Server, token: &str) -> Self {
        let held = populate(&server, token);
        let (identity, recipient) = keygen(node.home());
        let out = node.home().join("backups");
        fs::create_dir(&out).unwrap();
        let checkpoint = node.home().join("checkpoint");
        let vkey = audit_log::vkey(&server, token);
        let (stop, writing) = load(&server, token);
        // What is known before the backup is asked for, it is not older than.
        let kept = server.client().with_token(token).get("/api/v1/audit/checkpoint").unwrap().expect(200).json();
        fs::write(&checkpoint, kept["checkpoint"].as_str().unwrap()).unwrap();
        let arguments = ["backup", "create", "--out", out.to_str().unwrap(), "--recipient", &recipient];
        let made = node.cli(Some(&server), Some(token), &arguments);
        stop.store(true, Ordering::Relaxed);
        assert!(writing.join().unwrap() > 0);
        assert!(said(&made).contains("a restore needs"), "{}", said(&made));
        let backup = done(made);
        server.stop();
        let identity = identity.to_str().unwrap().to_owned();
        Self { node, held, backup, identity, vkey, checkpoint }
    }

    fn cli(&self, arguments: &[&str]) -> Output {
        self.node.cli(None, None, arguments)
    }

    fn restore(&self, to: &Node) -> Output {
        let (data, storage) = (to.data().to_str().unwrap().to_owned(), to.storage());
        let since = self.checkpoint.to_str().unwrap();
        self.cli(&[
            "backup",
            "restore",
            &self.backup,
            "--identity",
            &self.identity,
            "--data",
            &data,
            "--store",
            &storage,
            "--since",
            since,
            "--vkey",
            &self.vkey,
        ])
    }

    /// Everything is there, and log and store agree, over both logs.
    fn check(&self, to: &Node, server: Server) {
        compare(&server, &self.held);
        let own = audit_log::vkey(&server, &self.held.token);
        assert_ne!(own, self.vkey);
        server.stop();
        let (audit, before) = (to.audit_dir(), to.data().join("audit-restored"));
        let verified = to.cli(
            None,
            None,
            &[
                "audit",
                "verify",
                audit.to_str().unwrap(),
                "--log",
                before.to_str().unwrap(),
                "--store",
                &to.storage(),
                "--vkey",
                &own,
                "--vkey",
                &self.vkey,
            ],
        );
        assert!(verified.status.success(), "{}", said(&verified));
    }
}

#[test]
fn drill_of_a_server_with_a_key_file_brings_everything_back() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let node = Node::new(engine);
        let server = node.start();
        let token = node.login(&server);
        let drill = Drill::made(node, server, &token);
        // Whoever has the key opens it without this program.
        let part = format!("{}/store.age", drill.backup);
        let opened = Command::new("age").args(["-d", "-i", &drill.identity, &part]).output().unwrap();
        assert!(opened.stdout.starts_with(b"coffer-rows\x01"), "{}", String::from_utf8_lossy(&opened.stderr));
        let verified =
            drill.cli(&["backup", "verify", &drill.backup, "--identity", &drill.identity, "--vkey", &drill.vkey]);
        assert!(said(&verified).contains("whole"), "{}", said(&verified));
        assert_eq!(verified.status.code(), Some(0));

        let to = Node::new(engine);
        done(drill.restore(&to));
        fs::copy(drill.node.data().join("seal.key"), to.data().join("seal.key")).unwrap();
        drill.check(&to, to.start());
        // A second time nothing is touched.
        assert_eq!(drill.restore(&to).status.code(), Some(5));
    }
}

#[test]
fn drill_of_a_server_with_shares_brings_everything_back() {
    let node = Node::new(Engine::Sqlite);
    let server = node.prepare().args(&["--seal", "shamir"]).start_anyhow();
    let body = json!({"secret_shares": 3, "secret_threshold": 2});
    let told = server.client().send("PUT", "/v1/sys/init", Some(&body)).unwrap().expect(200).json();
    let root = told["root_token"].as_str().unwrap().to_owned();
    let keys: Vec<String> =
        told["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned()).collect();
    unseal(&server, &keys);
    // A new store has no mounts of Vault's.
    let drill = Drill::made(node, server, &root);
    let listed = drill.cli(&["backup", "verify", &drill.backup]);
    assert_eq!(listed.status.code(), Some(5), "not opened: {}", said(&listed));
    assert!(said(&listed).contains("2 of the 3 shares"), "{}", said(&listed));

    let to = Node::new(Engine::Sqlite);
    done(drill.restore(&to));
    let server = to.prepare().args(&["--seal", "shamir"]).start_anyhow();
    unseal(&server, &keys);
    drill.check(&to, server);
}

fn unseal(server: &Server, keys: &[String]) {
    for key in &keys[..2] {
        server.client().send("PUT", "/v1/sys/unseal", Some(&json!({ "key": key }))).unwrap().expect(200);
    }
    server.wait_for_state("active", PATIENCE);
}

#[test]
fn restore_killed_in_the_middle_leaves_what_no_server_starts_on() {
    let node = Node::new(Engine::Sqlite);
    let server = node.start();
    let token = node.login(&server);
    let drill = Drill::made(node, server, &token);
    let mut to = Node::new(Engine::Sqlite);
    to.env("COFFER_TEST_FAILPOINT", "restore-rows");
    let data = to.data().to_str().unwrap().to_owned();
    let killed =
        to.cli(None, None, &["backup", "restore", &drill.backup, "--identity", &drill.identity, "--data", &data]);
    assert!(killed.status.code().is_none(), "{}", said(&killed));
    let again = Node::at(to.data());
    fs::copy(drill.node.data().join("seal.key"), again.data().join("seal.key")).unwrap();
    let refused = again.prepare().attempt().map(drop).unwrap_err();
    assert!(refused.contains("half restored"), "{refused}");
    assert_eq!(
        drill.cli(&["backup", "restore", &drill.backup, "--identity", &drill.identity, "--data", &data]).status.code(),
        Some(5)
    );
}

#[test]
fn backup_in_one_file_under_a_passphrase_is_restored_and_a_cut_one_is_not() {
    let node = Node::new(Engine::Sqlite);
    let server = node.start();
    let token = node.login(&server);
    let held = populate(&server, &token);
    let passphrase = node.home().join("passphrase");
    fs::write(&passphrase, "correct horse battery\n").unwrap();
    let file = node.home().join("one.coffer-backup");
    let (file, passphrase) = (file.to_str().unwrap(), passphrase.to_str().unwrap());
    done(node.cli(Some(&server), Some(&token), &["backup", "create", "--out", file, "--passphrase-file", passphrase]));
    server.stop();
    let verified =
        done(node.cli(None, None, &["backup", "verify", file, "--passphrase-file", passphrase, "--format", "json"]));
    let verified: Value = serde_json::from_str(&verified).unwrap();
    assert_eq!((&verified["opened"], &verified["object_keys"]), (&json!(true), &json!(true)));

    let bytes = fs::read(file).unwrap();
    let cut = node.home().join("cut.coffer-backup");
    for len in [10, bytes.len() / 3, bytes.len() - 1] {
        fs::write(&cut, &bytes[..len]).unwrap();
        let refused = node.cli(None, None, &["backup", "verify", cut.to_str().unwrap()]);
        assert_eq!(refused.status.code(), Some(8), "{len}: {}", said(&refused));
    }
    let to = Node::new(Engine::Sqlite);
    let data = to.data().to_str().unwrap().to_owned();
    done(node.cli(None, None, &["backup", "restore", file, "--passphrase-file", passphrase, "--data", &data]));
    fs::copy(node.data().join("seal.key"), to.data().join("seal.key")).unwrap();
    let server = to.start();
    compare(&server, &held);
    server.stop();
}
