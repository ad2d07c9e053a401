//! Golden stores: a whole data directory of each released format, which every later release must open, read, write and
//! verify. `testdata/store-*.tar.gz` holds the directory as a stopped server left it, `store-*.json` beside it what is
//! in it. They are never rewritten; `COFFER_GENERATE=1` makes the newest one where it is missing (CONTRIBUTING.md).

mod make;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Once,
};

use serde_json::{Value, json};

use crate::{
    audit_log,
    clock::library,
    http::Client,
    node::{Node, Server},
};

/// The store that `COFFER_GENERATE=1` makes.
const NEWEST: &str = "store-v1";

#[test]
fn golden_stores_open_and_hold_what_they_held() {
    let stores = stores();
    assert!(stores.iter().any(|store| store == NEWEST), "{stores:?}");
    for store in stores {
        println!("{store}");
        let archived = fs::read(archive(&store)).unwrap();
        check(&store, 0);
        assert!(archived == fs::read(archive(&store)).unwrap(), "a golden store was written to");
    }
}

#[test]
fn golden_store_opens_twenty_years_later_and_a_year_before_it_was_made() {
    assert!(stores().iter().any(|store| store == NEWEST));
    for years in [20, -1] {
        check(NEWEST, years * 365 * 24 * 3600);
    }
}

/// Opens a store on a machine whose wall clock is so many seconds from this one's.
fn check(store: &str, wall: i64) {
    let home = tempfile::tempdir().unwrap();
    let mut unpack = Command::new("tar");
    unpack.arg("-xzpf").arg(archive(store)).arg("--no-same-owner").arg("-C").arg(home.path());
    assert!(unpack.status().unwrap().success());
    let facts: Value = serde_json::from_str(&fs::read_to_string(facts_of(store)).unwrap()).unwrap();
    let mut node = Node::at(&home.path().join("data"));
    if wall != 0 {
        let offset = home.path().join("offset");
        fs::write(&offset, format!("{wall:+}\n")).unwrap();
        node.env("LD_PRELOAD", library().to_str().unwrap());
        node.env("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap());
        node.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    }
    let text = |value: &Value| value.as_str().unwrap().to_owned();

    verify(&node, &facts);
    let server = node.start();
    // Years later the clock is in doubt: what does not expire is served all the same.
    let lasting = text(&facts["tokens"]["lasting"]);
    let mut client = server.client().with_token(&lasting);
    client.get("/v1/auth/token/lookup-self").unwrap().expect(200);
    if wall != 0 {
        assert_eq!(client.get("/readyz").unwrap().json()["clock_in_doubt"], true, "the wall clock was not moved");
    }
    reads_hold(&mut client, &facts);
    // Also a clock set back: it must not bring back what was deleted by hand.
    let accepted = node.cli(None, None, &["operator", "clock-accept", "--local"]);
    assert!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));
    reads_hold(&mut client, &facts);

    tokens_hold(&server, &mut client, &facts, wall);
    logins_hold(&server, &facts);
    // What is old can still be changed, under the old keys' successors, and is old and new after a restart.
    for path in facts["writable"].as_array().unwrap() {
        let path = path.as_str().unwrap();
        client.post(path, &json!({ "data": { "value": "of today" } })).unwrap().expect(200);
    }
    for key in ["audit", "barrier", "batch", "log", "token"] {
        client.post("/api/v1/operator/rotate", &json!({ "key": key })).unwrap().expect(204);
    }
    server.stop();
    let server = node.start();
    let mut client = server.client().with_token(&lasting);
    for path in facts["writable"].as_array().unwrap() {
        let read = client.get(path.as_str().unwrap()).unwrap().expect(200).json();
        assert_eq!(read["data"]["data"]["value"], "of today");
    }
    // Every version is what it was, but for those that are not the current one any more.
    let is_settled = |read: &&Value| text(&read["path"]).contains("version=") && read["body"]["state"] != "active";
    let versions: Vec<&Value> = reads(&facts).filter(is_settled).collect();
    assert!(!versions.is_empty());
    versions.iter().for_each(|read| read_holds(&mut client, read));
    audit_log::stop_and_verify(&node, server, &lasting);
    verify(&node, &facts);
}

/// The log and the store, offline, with the public key and the checkpoint that were written down when it was made.
fn verify(node: &Node, facts: &Value) {
    let since = node.home().join("since");
    fs::write(&since, facts["checkpoint"].as_str().unwrap()).unwrap();
    let (dir, store) = (node.audit_dir(), node.storage());
    let (dir, since) = (dir.to_str().unwrap(), since.to_str().unwrap());
    let vkey = facts["vkey"].as_str().unwrap();
    let verified = node.cli(None, None, &["audit", "verify", dir, "--vkey", vkey, "--since", since, "--store", &store]);
    let said = String::from_utf8_lossy(&[verified.stdout, verified.stderr].concat()).into_owned();
    assert!(verified.status.success(), "{}: {said}", verified.status);
    assert!(said.contains("store: "), "{said}");
}

fn reads(facts: &Value) -> impl Iterator<Item = &Value> {
    facts["reads"].as_array().unwrap().iter()
}

fn reads_hold(client: &mut Client, facts: &Value) {
    assert!(reads(facts).count() > 10);
    reads(facts).for_each(|read| read_holds(client, read));
}

fn read_holds(client: &mut Client, read: &Value) {
    let path = read["path"].as_str().unwrap();
    let got = client.get(path).unwrap();
    assert_eq!(json!(got.status), read["status"], "{path}: {got}");
    let got = got.json();
    assert!(holds(&read["body"], &got), "{path}:\nwas {}\nis  {got}", read["body"]);
}

fn tokens_hold(server: &Server, client: &mut Client, facts: &Value, wall: i64) {
    // The native API tells one who may not from one who is nobody: 403 and 401.
    let asks = |token: &Value, path: &str| {
        let token = token.as_str().unwrap();
        server.client().with_token(token).get(path).unwrap()
    };
    let lookup = |token: &Value| asks(token, "/api/v1/tokens/self");
    let tokens = &facts["tokens"];
    asks(&tokens["reader"], "/v1/secret/data/legacy/app?version=1").expect(200);
    asks(&tokens["reader"], "/api/v1/secrets/acme/SHARED").expect(403);
    let reader =
        client.post("/api/v1/tokens/lookup", &json!({ "token": tokens["reader"] })).unwrap().expect(200).json();
    assert_eq!((&reader["policies"], &reader["entity_id"]), (&json!(["reader"]), &facts["entity"]));
    for gone in ["retired_batch", "retired_token", "revoked", "used_up"] {
        lookup(&tokens[gone]).expect(401);
    }
    // Three uses were left of it.
    for _ in 0..3 {
        lookup(&tokens["limited"]).expect(200);
    }
    lookup(&tokens["limited"]).expect(401);
    // A batch token lives for ten years at most.
    let until: jiff::Timestamp = facts["batch_until"].as_str().unwrap().parse().unwrap();
    let is_alive = wall_now() + wall < until.as_second();
    lookup(&tokens["batch"]).expect(if is_alive { 200 } else { 401 });

    lookup(&tokens["child"]).expect(200);
    let parent = json!({ "accessor": facts["parent"] });
    client.post("/v1/auth/token/revoke-accessor", &parent).unwrap().expect(204);
    lookup(&tokens["child"]).expect(401);
}

fn logins_hold(server: &Server, facts: &Value) {
    let path = "/v1/auth/userpass/login/ada";
    let login = |password: &Value| server.client().post(path, &json!({ "password": password })).unwrap();
    login(&json!("wrong")).expect(400);
    let granted = login(&facts["password"]).expect(200).json();
    assert_eq!(granted["auth"]["entity_id"], facts["entity"]);
    assert_eq!(granted["auth"]["token_policies"], json!(["default", "reader"]));
    assert_eq!(granted["auth"]["identity_policies"], json!(["of-the-group"]));
    let mut client = server.client().with_token(granted["auth"]["client_token"].as_str().unwrap());
    client.get("/v1/secret/data/legacy/app?version=1").unwrap().expect(200);
    client.get("/v1/shred/data/a").unwrap().expect(403);
}

/// Whether all of `kept` is in `found`: what a later release adds to an answer does not count, what it leaves out does.
fn holds(kept: &Value, found: &Value) -> bool {
    match (kept, found) {
        (Value::Object(kept), Value::Object(found)) => {
            kept.iter().all(|(key, kept)| found.get(key).is_some_and(|found| holds(kept, found)))
        }
        (Value::Array(kept), Value::Array(found)) => {
            kept.len() == found.len() && kept.iter().zip(found).all(|(kept, found)| holds(kept, found))
        }
        _ => kept == found,
    }
}

/// This machine's wall clock, in seconds.
fn wall_now() -> i64 {
    rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec
}

fn testdata() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata")
}

fn archive(store: &str) -> PathBuf {
    testdata().join(format!("{store}.tar.gz"))
}

fn facts_of(store: &str) -> PathBuf {
    testdata().join(format!("{store}.json"))
}

/// Every golden store; with `COFFER_GENERATE` the newest one too.
fn stores() -> Vec<String> {
    static NEWEST_IS_THERE: Once = Once::new();
    NEWEST_IS_THERE.call_once(|| {
        if std::env::var_os("COFFER_GENERATE").is_some() && !archive(NEWEST).exists() {
            make::generate(NEWEST);
        }
    });
    let names = fs::read_dir(testdata()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut stores: Vec<String> = names.filter_map(|name| name.strip_suffix(".tar.gz").map(str::to_owned)).collect();
    stores.sort();
    stores
}

#[test]
fn missing_and_other_values_do_not_hold() {
    let kept = json!({ "a": { "b": [1, { "c": null }] } });
    assert!(holds(&kept, &json!({ "a": { "b": [1, { "c": null, "new": 1 }], "new": 2 } })));
    for found in [
        json!({ "a": { "b": [1] } }),
        json!({ "a": { "b": [1, {}] } }),
        json!({ "a": { "b": [2, { "c": null }] } }),
        json!({ "a": { "b": [1, { "c": null }, 3] } }),
        json!({}),
        json!(null),
    ] {
        assert!(!holds(&kept, &found), "{found}");
    }
}
