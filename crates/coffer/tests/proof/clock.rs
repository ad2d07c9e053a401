//! Wall time that jumps by ten years while the server runs, and between two starts: libfaketime moves the wall clock of
//! the server's process, while its boot-time clock, which it asks the kernel itself, goes on.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use crate::{
    audit_log,
    http::Client,
    node::{Engine, Node, Server},
    wait::{PATIENCE, until},
};

const HOUR: i64 = 3600;
const YEAR: i64 = 365 * 24 * HOUR;

#[test]
fn clock_ten_years_ahead_refuses_tokens_without_removing_them_and_destroys_nothing() {
    let site = Site::new();
    let (server, admin) = site.first_start();
    let mut client = server.client().with_token(&admin);
    let short = site.token(&mut client, "2h");
    put(&mut client, "v1");

    // Just within the life of the administrator's token, so that somebody is left to ask.
    site.set_wall(10 * YEAR - 48 * HOUR);
    server_in_doubt(&server, true);
    assert_eq!(lookup(&client, &short.id), 403, "expired by the wall clock");
    assert!(is_stored(&mut client, &short), "refused is not removed");
    put(&mut client, "v2");
    let refused = destroy(&mut client, 1).expect(503);
    assert!(String::from_utf8_lossy(&refused.body).contains("clock"), "{refused}");
    read(&mut client, 1).expect(200);
    assert!(seconds_from_now(&server) < HOUR, "now goes on by the boot-time clock");

    // Beyond every token's life: refused as well, and nobody's is gone when the wall clock comes back by itself.
    site.set_wall(11 * YEAR);
    until("the refusal", PATIENCE, || (lookup(&client, &admin) == 403).then_some(()));
    site.set_wall(0);
    server_in_doubt(&server, false);
    assert_eq!((lookup(&client, &admin), lookup(&client, &short.id)), (200, 200));
    destroy(&mut client, 1).expect(204);
    read(&mut client, 1).expect(404);
    audit_log::stop_and_verify(&site.node, server, &admin);
}

#[test]
fn clock_ten_years_back_keeps_now_and_destroys_nothing() {
    let site = Site::new();
    let (server, admin) = site.first_start();
    let mut client = server.client().with_token(&admin);
    let short = site.token(&mut client, "2h");
    put(&mut client, "v1");
    let before = time_of_last_version(&mut client);

    site.set_wall(-10 * YEAR);
    server_in_doubt(&server, true);
    assert_eq!(lookup(&client, &short.id), 200, "by both clocks it lives");
    destroy(&mut client, 1).expect(503);
    put(&mut client, "v2");
    assert!(time_of_last_version(&mut client) >= before, "time went back");

    // A token whose time is up by the boot-time clock is not revived by a wall clock in the past.
    let moment = site.token(&mut client, "1s");
    until("the token's end", PATIENCE, || (lookup(&client, &moment.id) == 403).then_some(()));
    assert!(is_stored(&mut client, &moment), "refused is not removed");
    audit_log::stop_and_verify(&site.node, server, &admin);
}

#[test]
fn doubt_is_ended_by_the_operator_and_what_expired_is_then_removed() {
    let site = Site::new();
    let (server, admin) = site.first_start();
    let mut client = server.client().with_token(&admin);
    let short = site.token(&mut client, "2h");
    put(&mut client, "v1");

    site.set_wall(9 * YEAR);
    server_in_doubt(&server, true);
    destroy(&mut client, 1).expect(503);
    site.accept(&server);
    assert!(seconds_from_now(&server) > 8 * YEAR, "now is the wall clock's");
    destroy(&mut client, 1).expect(204);
    assert_eq!(lookup(&client, &short.id), 403);
    until("the sweep", PATIENCE, || (!is_stored(&mut client, &short)).then_some(()));
    audit_log::stop_and_verify(&site.node, server, &admin);
}

#[test]
fn restart_with_a_wall_clock_far_from_the_mark_goes_on_from_the_mark() {
    let site = Site::new();
    let (server, admin) = site.first_start();
    put(&mut server.client().with_token(&admin), "v1");
    let before = now(&server);
    server.stop();

    for years in [9, -9] {
        site.set_wall(years * YEAR);
        let server = site.start();
        server_in_doubt(&server, true);
        let gone_on = now(&server) - before;
        assert!((-60..HOUR).contains(&gone_on), "{years}: now is {gone_on} s from the mark");
        let mut client = server.client().with_token(&admin);
        destroy(&mut client, 1).expect(503);
        put(&mut client, "w");
        server.stop();
    }

    // Accepted in the past: the one way to set time back, and it holds over a restart.
    let server = site.start();
    site.accept(&server);
    assert!(seconds_from_now(&server) < -8 * YEAR);
    server.stop();
    let server = site.start();
    server_in_doubt(&server, false);
    assert!(seconds_from_now(&server) < -8 * YEAR);
    audit_log::stop_and_verify(&site.node, server, &admin);
}

struct Token {
    id: String,
    accessor: Value,
}

/// A node and the offset of its wall clock.
struct Site {
    node: Node,
    offset: PathBuf,
}

impl Site {
    fn new() -> Self {
        let mut node = Node::new(Engine::Sqlite);
        let offset = node.home().join("offset");
        node.env("LD_PRELOAD", library().to_str().unwrap());
        node.env("FAKETIME_TIMESTAMP_FILE", offset.to_str().unwrap());
        node.env("FAKETIME_NO_CACHE", "1");
        node.env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        let site = Self { node, offset };
        site.set_wall(0);
        site
    }

    /// Starts for the first time, with an administrator's token that lives for ten years.
    fn first_start(&self) -> (Server, String) {
        let server = self.start();
        let month = self.node.login(&server);
        let token = self.token(&mut server.client().with_token(&month), "87599h");
        (server, token.id)
    }

    fn start(&self) -> Server {
        let ten_years = (10 * YEAR).to_string();
        self.node.prepare().args(&["--max-lease-ttl", &ten_years]).start()
    }

    /// Moves the wall clock of the server to so many seconds from the machine's.
    fn set_wall(&self, offset: i64) {
        let fresh = self.offset.with_extension("fresh");
        fs::write(&fresh, format!("{offset:+}\n")).unwrap();
        fs::rename(&fresh, &self.offset).unwrap();
    }

    fn accept(&self, server: &Server) {
        let accepted = self.node.cli(None, None, &["operator", "clock-accept", "--local"]);
        assert!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));
        server_in_doubt(server, false);
        let records = audit_log::on_disk(&self.node.audit_dir(), "system.clock_accept");
        assert!(records.values().any(|record| record["out"] == "success"), "{records:?}");
    }

    /// A new administrator's token that no other's end takes along.
    fn token(&self, client: &mut Client, ttl: &str) -> Token {
        let wanted = json!({ "policies": ["administrator"], "ttl": ttl, "no_parent": true });
        let granted = client.post("/v1/auth/token/create", &wanted).unwrap().expect(200).json();
        let id = granted["auth"]["client_token"].as_str().unwrap().to_owned();
        Token { id, accessor: granted["auth"]["accessor"].clone() }
    }
}

/// What moves the wall clock of a process that loads it.
pub fn library() -> PathBuf {
    let found = fs::read_dir("/usr/lib").unwrap().flatten().map(|entry| entry.path().join("faketime"));
    let found = found.map(|dir| dir.join("libfaketimeMT.so.1")).find(|library| library.is_file());
    found.expect("libfaketime is not installed; run `make test`, which installs it")
}

fn server_in_doubt(server: &Server, doubt: bool) {
    let mut client = server.client();
    until("doubt of the clock, or its end", PATIENCE, || {
        (client.get("/readyz").unwrap().json()["clock_in_doubt"] == doubt).then_some(())
    });
    assert_eq!(server.metric("coffer_clock_in_doubt"), Some(if doubt { 1.0 } else { 0.0 }));
}

/// What the server takes for the time, in seconds.
fn now(server: &Server) -> i64 {
    let health = server.client().get("/v1/sys/health").unwrap().expect(200).json();
    health["server_time_utc"].as_i64().unwrap()
}

/// How far that is from the machine's own time.
fn seconds_from_now(server: &Server) -> i64 {
    now(server) - rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec
}

fn put(client: &mut Client, value: &str) {
    client.post("/v1/secret/data/a", &json!({ "data": { "value": value } })).unwrap().expect(200);
}

fn read(client: &mut Client, version: u64) -> crate::http::Answer {
    client.get(&format!("/v1/secret/data/a?version={version}")).unwrap()
}

fn destroy(client: &mut Client, version: u64) -> crate::http::Answer {
    client.post("/v1/secret/destroy/a", &json!({ "versions": [version] })).unwrap()
}

/// RFC 3339 in UTC, which sorts.
/// Comparable as text: the time is told without zeros at its end.
fn time_of_last_version(client: &mut Client) -> String {
    let found: Value = client.get("/v1/secret/data/a").unwrap().expect(200).json();
    let time = found["data"]["metadata"]["created_time"].as_str().unwrap().trim_end_matches('Z');
    let (seconds, fraction) = time.split_once('.').unwrap_or((time, ""));
    format!("{seconds}.{fraction:0<9}")
}

fn lookup(client: &Client, token: &str) -> u16 {
    client.another().with_token(token).get("/v1/auth/token/lookup-self").unwrap().status
}

/// Whether a token is stored, valid or not.
fn is_stored(client: &mut Client, token: &Token) -> bool {
    let listed = client.send("LIST", "/v1/auth/token/accessors", None).unwrap().expect(200).json();
    listed["data"]["keys"].as_array().unwrap().contains(&token.accessor)
}
