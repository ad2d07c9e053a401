//! The drill: a server with secrets, keys and tokens is backed up while a load of writes goes on, restored elsewhere, unsealed,
//! compared secret by secret, and its log and store verified. With `age` itself as a witness of the format.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
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
    /// Every version of every secret but the load's, its metadata, policies, mounts and keys, by their paths.
    everything: BTreeMap<String, Value>,
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
    // Deleted, destroyed, shredded, made by a recipe, described: each is a state of its own.
    for n in [3, 14, 28] {
        let path = format!("/api/v1/secrets/acme:prod:s{}/KEY_{n}", n % 4);
        client.send("DELETE", &path, None).unwrap().expect(204);
        secrets.remove(&path);
    }
    for n in [5, 8, 35, 56] {
        let path = format!("/api/v1/secrets/acme:prod:s{}/KEY_{n}/destroy", n % 4);
        client.post(&path, &json!({"versions": [1]})).unwrap().expect(204);
    }
    client
        .post("/api/v1/secrets/acme:prod:s1/KEY_1/rotate", &json!({"generate": {"kind": "hex"}}))
        .unwrap()
        .expect(200);
    secrets.remove("/api/v1/secrets/acme:prod:s1/KEY_1");
    let described = json!({"owner": "ada", "description": "of the drill"});
    client.send("PATCH", "/api/v1/secrets/acme:prod:s2/KEY_2/metadata", Some(&described)).unwrap().expect(204);
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
    let everything = everything(server, &user);
    assert!(everything.len() > 240, "{}", everything.len());
    Held { secrets, ciphertext, token: user, everything }
}

/// Walks all that can be read.
fn everything(server: &Server, token: &str) -> BTreeMap<String, Value> {
    let mut client = server.client().with_token(token);
    let mut found = BTreeMap::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for name in listed(&client.get(&format!("/v1/secret/metadata/{folder}?list=true")).unwrap().expect(200).json())
        {
            let path = format!("{folder}{name}");
            match path.as_str() {
                "acme/load/" => {}
                folder if folder.ends_with('/') => folders.push(path),
                secret => {
                    let metadata = client.get(&format!("/v1/secret/metadata/{secret}")).unwrap().expect(200).json();
                    for version in metadata["data"]["versions"].as_object().unwrap().keys() {
                        let path = format!("/v1/secret/data/{secret}?version={version}");
                        let reply = client.get(&path).unwrap();
                        found.insert(path, json!([reply.status, reply.json()["data"]]));
                    }
                    found.insert(path, metadata["data"].clone());
                }
            }
        }
    }
    for n in 0..60 {
        let path = format!("/api/v1/secrets/acme:prod:s{}/KEY_{n}/metadata", n % 4);
        let metadata = client.get(&path).unwrap().expect(200).json();
        found.insert(path, metadata);
    }
    for policy in listed(&client.get("/v1/sys/policies/acl?list=true").unwrap().expect(200).json()) {
        let path = format!("/v1/sys/policies/acl/{policy}");
        let reply = client.get(&path).unwrap();
        found.insert(path, json!([reply.status, reply.json()["data"]]));
    }
    for path in ["/v1/sys/mounts", "/v1/sys/auth", "/v1/transit/keys/k"] {
        found.insert(path.to_owned(), client.get(path).unwrap().expect(200).json()["data"].clone());
    }
    found
}

fn listed(reply: &Value) -> Vec<String> {
    reply["data"]["keys"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
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
    let found = everything(server, &held.token);
    for (path, expected) in &held.everything {
        assert_eq!(found.get(path), Some(expected), "{path}");
    }
    let more: Vec<&String> = found.keys().filter(|path| !held.everything.contains_key(*path)).collect();
    assert!(more.is_empty(), "{more:?}");
}

/// Writes until it is told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    writing: thread::JoinHandle<()>,
}

/// How many secrets it writes again and again.
const LOAD: u64 = 20;

impl Load {
    fn start(server: &Server, token: &str) -> Self {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, count, mut client) = (Arc::clone(&stop), Arc::clone(&written), server.client().with_token(token));
        let writing = thread::spawn(move || {
            for n in 0.. {
                if told.load(Ordering::Relaxed) {
                    break;
                }
                let path = format!("/api/v1/secrets/acme:load/KEY_{}", n % LOAD);
                client.send("PUT", &path, Some(&json!({"value": n.to_string()}))).unwrap().expect(200);
                count.store(n + 1, Ordering::SeqCst);
            }
        });
        Self { stop, written, writing }
    }

    fn written(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }

    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.writing.join().unwrap();
        self.written.load(Ordering::SeqCst)
    }
}

/// Of the load there is what was written up to some moment between the two, and nothing of what came after it.
fn compare_load(server: &Server, token: &str, (before, after): (u64, u64)) {
    let mut client = server.client().with_token(token);
    let mut counts = Vec::new();
    for n in 0..LOAD {
        let reply = client.get(&format!("/v1/secret/metadata/acme/load/KEY_{n}")).unwrap();
        if reply.status == 404 {
            counts.push(0);
            continue;
        }
        let metadata = reply.expect(200).json();
        for version in metadata["data"]["versions"].as_object().unwrap().keys() {
            let path = format!("/api/v1/secrets/acme:load/KEY_{n}/versions/{version}");
            let value = client.get(&path).unwrap().expect(200).json()["value"].clone();
            let expected = n + LOAD * (version.parse::<u64>().unwrap() - 1);
            assert_eq!(value, expected.to_string(), "{path}");
        }
        counts.push(metadata["data"]["current_version"].as_u64().unwrap());
    }
    let all: u64 = counts.iter().sum();
    let expected: Vec<u64> = (0..LOAD).map(|n| (all + LOAD - 1 - n) / LOAD).collect();
    assert_eq!(counts, expected, "not a beginning of what was written");
    assert!((before..=after).contains(&all), "{before} {all} {after}");
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
    /// What the load had written before the backup was asked for, and after it was there.
    load: (u64, u64),
}

impl Drill {
    fn made(node: Node, server: Server, token: &str) -> Self {
        let held = populate(&server, token);
        let (identity, recipient) = keygen(node.home());
        let out = node.home().join("backups");
        fs::create_dir(&out).unwrap();
        let checkpoint = node.home().join("checkpoint");
        let vkey = audit_log::vkey(&server, token);
        let load = Load::start(&server, token);
        // What is known before the backup is asked for, it is not older than.
        let kept = server.client().with_token(token).get("/api/v1/audit/checkpoint").unwrap().expect(200).json();
        fs::write(&checkpoint, kept["checkpoint"].as_str().unwrap()).unwrap();
        let before = load.written();
        let arguments = ["backup", "create", "--out", out.to_str().unwrap(), "--recipient", &recipient];
        let made = node.cli(Some(&server), Some(token), &arguments);
        let load = (before, load.end());
        assert!(load.1 > load.0, "nothing was written meanwhile");
        assert!(said(&made).contains("a restore needs"), "{}", said(&made));
        let backup = done(made);
        server.stop();
        let identity = identity.to_str().unwrap().to_owned();
        Self { node, held, backup, identity, vkey, checkpoint, load }
    }

    fn cli(&self, arguments: &[&str]) -> Output {
        self.node.cli(None, None, arguments)
    }

    fn restore(&self, to: &Node) -> Output {
        self.restore_to(to.data(), &to.storage())
    }

    fn restore_to(&self, data: &Path, storage: &str) -> Output {
        let (data, since) = (data.to_str().unwrap(), self.checkpoint.to_str().unwrap());
        self.cli(&[
            "backup",
            "restore",
            &self.backup,
            "--identity",
            &self.identity,
            "--data",
            data,
            "--store",
            storage,
            "--since",
            since,
            "--vkey",
            &self.vkey,
        ])
    }

    /// Everything is there, and log and store agree, over both logs.
    fn check(&self, to: &Node, server: Server) {
        compare(&server, &self.held);
        compare_load(&server, &self.held.token, self.load);
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
        // A second time nothing is touched, also where the store alone was used.
        assert_eq!(drill.restore(&to).status.code(), Some(5));
        let new = to.home().join("another-folder");
        let refused = drill.restore_to(&new, &to.storage());
        assert_eq!(refused.status.code(), Some(5));
        assert!(said(&refused).contains("is not empty"), "{}", said(&refused));
        assert!(!new.exists());
        compare(&to.start(), &drill.held);
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
