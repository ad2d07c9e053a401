//! A flood of requests without a valid token: the log neither fills, nor fills faster when the flood is faster, and who
//! is known is served throughout.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    audit_log::{self, agent},
    http::Client,
    node::{Engine, Node, Server},
    wait::{PATIENCE, until},
};

const LASTS: Duration = Duration::from_secs(10);
const MOST_GROWTH: u64 = 4 << 20;
/// Requests a second of the slower flood; twice what gets records of its own.
const SLOW: u64 = 200;

#[test]
fn flood_of_bad_tokens_neither_fills_the_log_nor_starves_who_is_known() {
    let node = Node::new(Engine::Sqlite);
    let server = node.start();
    let token = node.login(&server);
    let mut admin = server.client().with_token(&token);
    admin.post("/v1/secret/data/known", &json!({ "data": { "value": "v" } })).unwrap().expect(200);
    admin.post("/v1/sys/auth/userpass", &json!({ "type": "userpass" })).unwrap().expect(204);
    let user = json!({ "password": "correct horse battery staple", "policies": "default" });
    admin.post("/v1/auth/userpass/users/ada", &user).unwrap().expect(204);
    let expired = expired_token(&mut admin);

    let slow = flood(&node, &server, &token, &expired, Some(SLOW));
    let fast = flood(&node, &server, &token, &expired, None);
    println!("slow {slow:?}\nfast {fast:?}");
    assert!(fast.refused > 2 * slow.refused, "the fast flood was no faster: {slow:?} {fast:?}");
    for flood in [&slow, &fast] {
        assert!(flood.used < MOST_GROWTH && flood.length < MOST_GROWTH, "{flood:?}");
        assert!(flood.served >= 20 && flood.slowest < Duration::from_secs(5), "{flood:?}");
    }
    // Both get a hundred records a second and one summary.
    assert!(fast.used < slow.used + slow.used / 4 + 100_000, "{slow:?} {fast:?}");

    // Nobody is forgotten: each refusal has its record or is counted in a summary.
    let (records, counted) = until("the last summary", PATIENCE, || {
        let records = audit_log::on_disk(&node.audit_dir(), "");
        let single = records.values().filter(|record| agent(record) == Some("flood")).count();
        let single = u64::try_from(single).unwrap();
        let summaries = records.values().filter(|record| record["cls"] == "auth.refused" && record["src"].is_null());
        let counted: u64 = summaries.map(|it| it["facts"]["count"].as_str().unwrap().parse::<u64>().unwrap()).sum();
        (single + counted >= slow.refused + fast.refused).then_some((single, counted))
    });
    assert_eq!(records + counted, slow.refused + fast.refused);
}

/// What a flood did.
#[derive(Debug)]
struct Flood {
    /// Refusals answered.
    refused: u64,
    /// Growth of what is written in the log's files, and of their lengths.
    used: u64,
    length: u64,
    /// Requests of the known client, and the longest that one of them took.
    served: u64,
    slowest: Duration,
}

fn flood(node: &Node, server: &Server, token: &str, expired: &str, rate: Option<u64>) -> Flood {
    let before = sizes(&node.audit_dir());
    let start = Instant::now();
    let over = AtomicBool::new(false);
    let refused = AtomicU64::new(0);
    let mut known = (0, Duration::ZERO);
    thread::scope(|scope| {
        for kind in 0..5 {
            let (over, refused) = (&over, &refused);
            scope.spawn(move || {
                let mut client = server.client();
                client.set_agent("flood");
                let mut number = 0;
                while !over.load(Ordering::SeqCst) {
                    if let Some(rate) = rate {
                        let due = Duration::from_micros(number * 5 * 1_000_000 / rate);
                        thread::sleep(due.saturating_sub(start.elapsed()));
                    }
                    bad_request(&client, kind, number, expired);
                    refused.fetch_add(1, Ordering::SeqCst);
                    number += 1;
                }
            });
        }
        let mut client = server.client().with_token(token);
        while start.elapsed() < LASTS {
            let asked = Instant::now();
            client.get("/v1/secret/data/known").unwrap().expect(200);
            known = (known.0 + 1, known.1.max(asked.elapsed()));
            // A few requests a second: their own records are not what is measured.
            thread::sleep(Duration::from_millis(100));
        }
        over.store(true, Ordering::SeqCst);
    });
    let after = sizes(&node.audit_dir());
    Flood {
        refused: refused.into_inner(),
        used: after.0.saturating_sub(before.0),
        length: after.1.saturating_sub(before.1),
        served: known.0,
        slowest: known.1,
    }
}

/// One request that must be refused, of a kind of its own on each connection.
fn bad_request(client: &Client, kind: u64, number: u64, expired: &str) {
    thread_local!(static KEPT: std::cell::RefCell<Option<Client>> = const { std::cell::RefCell::new(None) });
    KEPT.with_borrow_mut(|kept| {
        let mut kept_client = kept.take().unwrap_or_else(|| client.another());
        let answer = match kind {
            0 => kept_client.get("/v1/secret/data/known"),
            1 | 2 => {
                kept_client = kept_client.with_token(&format!("hvs.unknown{number:013}"));
                kept_client.get(if kind == 1 { "/v1/secret/data/known" } else { "/api/v1/secrets/acme/" })
            }
            3 => {
                kept_client = kept_client.with_token(expired);
                kept_client.post("/v1/secret/data/known", &json!({ "data": { "value": "theirs" } }))
            }
            _ => kept_client.post("/v1/auth/userpass/login/ada", &json!({ "password": format!("guess {number}") })),
        };
        let answer = answer.unwrap();
        assert!(matches!(answer.status, 400 | 401 | 403 | 429), "{kind}: {answer}");
        *kept = Some(kept_client);
    });
}

fn expired_token(admin: &mut Client) -> String {
    let wanted = json!({ "policies": ["default"], "ttl": "1s" });
    let granted = admin.post("/v1/auth/token/create", &wanted).unwrap().expect(200).json();
    let token = granted["auth"]["client_token"].as_str().unwrap().to_owned();
    let mut client = admin.another().with_token(&token);
    until("the token's end", PATIENCE, || {
        (client.get("/v1/auth/token/lookup-self").unwrap().status == 403).then_some(())
    });
    token
}

/// Bytes written in the log's files, without the zeros that segments are allocated with, and the lengths of the files.
fn sizes(dir: &Path) -> (u64, u64) {
    let (mut used, mut length) = (0, 0);
    for file in audit_log::files(dir) {
        let Ok(bytes) = fs::read(&file) else { continue };
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        used += u64::try_from(end).unwrap();
        length += u64::try_from(bytes.len()).unwrap();
    }
    (used, length)
}
