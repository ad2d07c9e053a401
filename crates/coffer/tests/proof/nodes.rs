//! Two nodes on one PostgreSQL: one answers, the other stands by, takes over when the first dies, and a leader that was
//! only asleep wakes up harmless.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::json;

use crate::{
    audit_log,
    load::Load,
    node::{Engine, Node, Server},
    wait::{PATIENCE, until},
};

/// How soon the standby must answer after the leader's death.
const TAKEOVER: Duration = Duration::from_secs(5);

#[test]
fn second_node_stands_by_and_sends_clients_to_the_first() {
    let first = Node::new(Engine::Postgres);
    let leader = first.start();
    let token = first.login(&leader);
    let second = first.sibling();
    let standby = second.prepare().start_anyhow();
    standby.wait_for_state("standby", PATIENCE);

    let mut client = standby.client().with_token(&token);
    client.get("/v1/sys/health").unwrap().expect(429);
    client.get("/v1/sys/health?standbyok=true").unwrap().expect(200);
    client.get("/healthz").unwrap().expect(200);
    client.get("/readyz").unwrap().expect(503);
    client.get("/metrics").unwrap().expect(200);
    let shown = client.get("/v1/sys/leader").unwrap().expect(200).json();
    assert_eq!((&shown["is_self"], &shown["leader_address"]), (&json!(false), &json!(leader.url())));
    let body = json!({ "data": { "value": "v" } });
    for (method, path, body) in [
        ("GET", "/v1/secret/data/a?version=1", None),
        ("POST", "/v1/secret/data/a", Some(&body)),
        ("LIST", "/v1/secret/metadata/", None),
        ("GET", "/api/v1/secrets/acme/", None),
        ("POST", "/v1/auth/token/create", Some(&body)),
    ] {
        let answer = client.send(method, path, body).unwrap().expect(307);
        assert_eq!(answer.header("location"), Some(format!("{}{path}", leader.url()).as_str()), "{answer}");
    }
    // Without a token as well: a standby knows nobody.
    standby.client().get("/v1/secret/data/a").unwrap().expect(307);
    leader.client().with_token(&token).get("/v1/sys/health").unwrap().expect(200);
}

#[test]
fn node_whose_key_does_not_open_the_store_refuses_to_start() {
    let first = Node::new(Engine::Postgres);
    let leader = first.start();
    let stranger = first.sibling();
    std::fs::remove_file(stranger.data().join("seal.key")).unwrap();
    let other = Node::new(Engine::Sqlite);
    other.start().stop();
    std::fs::copy(other.data().join("seal.key"), stranger.data().join("seal.key")).unwrap();
    let said = stranger.prepare().attempt().map(drop).unwrap_err();
    assert!(said.contains("error: ") && said.contains("key"), "{said}");
    leader.wait_for_state("active", PATIENCE);
}

#[test]
fn second_server_on_the_same_sqlite_refuses_to_start() {
    let node = Node::new(Engine::Sqlite);
    let server = node.start();
    let said = node.prepare().attempt().map(drop).unwrap_err();
    assert!(said.contains("error: "), "{said}");
    server.wait_for_state("active", PATIENCE);
    let token = node.login(&server);
    let answer = server.client().with_token(&token).post("/v1/secret/data/a", &json!({ "data": {} })).unwrap();
    answer.expect(200);
}

#[test]
fn standby_takes_over_within_five_seconds_of_the_leader_s_death() {
    let (first, second) = pair();
    let mut leader = first.start();
    let token = first.login(&leader);
    let mut standby = second.prepare().start_anyhow();
    standby.wait_for_state("standby", PATIENCE);
    let mut load = Load::new("takeover", 8, 3);
    let mut names = (&first, &second);
    let mut vkeys = vec![audit_log::vkey(&leader, &token)];
    for round in 1..=3 {
        let mut died = None;
        load.run(&leader, &token, |answered: &AtomicU64| {
            until("writes", PATIENCE, || (answered.load(Ordering::SeqCst) >= 100).then_some(()));
            leader.signal(Signal::KILL);
            died = Some(Instant::now());
        });
        let mut client = standby.client().with_token(&token);
        client.set_agent("takeover");
        let body = json!({ "data": { "round": round } });
        until("takeover", PATIENCE, || client.post("/v1/secret/data/first", &body).ok()?.is_success().then_some(()));
        let took = died.unwrap().elapsed();
        println!("round {round}: taken over after {took:?}");
        assert!(took < TAKEOVER, "{took:?}");

        // What the dead one answered is in its own log; what it only committed, in that of its heir.
        load.check_recorded(&audit_log::on_disk(&names.0.audit_dir(), "takeover"));
        let mut records = audit_log::on_disk(&names.0.audit_dir(), "takeover");
        records.extend(audit_log::on_disk(&names.1.audit_dir(), "takeover"));
        load.check_stored(&standby, &token, &records);

        if round == 1 {
            vkeys.push(audit_log::vkey(&standby, &token));
        }
        let back = names.0.prepare().start_anyhow();
        back.wait_for_state("standby", PATIENCE);
        (leader, standby, names) = (standby, back, (names.1, names.0));
    }
    standby.stop();
    leader.stop();

    // Both logs account for every entry of the store; either alone leaves open what the other node did.
    let vkeys: Vec<&str> = vkeys.iter().map(String::as_str).collect();
    let both = audit_log::verify_store(&first, &[&first, &second], &vkeys);
    assert_eq!(both, (Some(0), String::new()));
    for (given, absent) in [(&first, vkeys[1]), (&second, vkeys[0])] {
        let (code, said) = audit_log::verify_store(&first, &[given], &vkeys);
        assert_eq!(code, Some(5), "{said}");
        let origin = absent.split('+').next().unwrap();
        assert!(said.contains("are recorded in other logs") && said.contains(origin), "{said}");
    }
}

#[test]
fn leader_that_slept_beyond_its_lease_answers_nothing_and_then_redirects() {
    let (first, second) = pair();
    let mut leader = first.start();
    let token = first.login(&leader);
    let mut standby = second.prepare().start_anyhow();
    standby.wait_for_state("standby", PATIENCE);
    let mut names = (&first, &second);
    let mut load = Load::new("asleep", 8, 5);
    for round in 1..=3 {
        leader.client().with_token(&token).post("/v1/secret/data/x", &value("before")).unwrap().expect(200);
        let mut waiting = Vec::new();
        load.run(&leader, &token, |answered: &AtomicU64| {
            // Stopped in the middle of its work, whatever it holds.
            until("writes", PATIENCE, || (answered.load(Ordering::SeqCst) >= 60).then_some(()));
            leader.signal(Signal::STOP);
            // In its socket's queue while it sleeps: the first things it sees when it wakes up.
            waiting = stale_requests(&leader, &token);
            standby.wait_for_state("active", PATIENCE);
            standby.client().with_token(&token).post("/v1/secret/data/x", &value("after")).unwrap().expect(200);
            leader.signal(Signal::CONT);
        });
        for (what, mut stream) in waiting {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            let refused = ["HTTP/1.1 503 ", "HTTP/1.1 307 "].iter().any(|status| answer.starts_with(status));
            assert!(refused, "{what}: {answer}");
            // It may name the one that leads now, and never itself.
            let location = answer.lines().find_map(|line| line.strip_prefix("location: "));
            assert_eq!(location.is_some(), answer.starts_with("HTTP/1.1 307 "), "{what}: {answer}");
            assert!(location.is_none_or(|url| url.starts_with(&format!("{}/", standby.url()))), "{what}: {answer}");
            println!("round {round}: {what}: {}", answer.lines().next().unwrap());
        }
        let mut late = leader.client().with_token(&token);
        let location = until("redirects", PATIENCE, || {
            let answer = late.get("/v1/secret/data/x").unwrap();
            assert!(matches!(answer.status, 307 | 503), "{answer}");
            answer.header("location").map(str::to_owned)
        });
        assert_eq!(location, format!("{}/v1/secret/data/x", standby.url()));
        // From then on it is a standby like any other, for reads and for writes.
        late.get("/v1/sys/health").unwrap().expect(429);
        late.get("/v1/auth/token/lookup-self").unwrap().expect(307);
        late.post("/v1/secret/data/x", &value("late")).unwrap().expect(307);

        let found = standby.client().with_token(&token).get("/v1/secret/data/x").unwrap().expect(200).json();
        assert_eq!(found["data"]["data"]["value"], "after");
        let mut records = audit_log::on_disk(&names.0.audit_dir(), "asleep");
        load.check_recorded(&records);
        let stale = audit_log::on_disk(&names.0.audit_dir(), "stale-request");
        assert!(stale.values().all(|record| record["out"] != "success"), "{stale:?}");
        records.extend(audit_log::on_disk(&names.1.audit_dir(), "asleep"));
        load.check_stored(&standby, &token, &records);
        (leader, standby, names) = (standby, leader, (names.1, names.0));
    }
}

#[test]
fn leader_that_steps_down_lets_the_other_lead_and_stands_by() {
    let (first, second) = pair();
    let leader = first.start();
    let token = first.login(&leader);
    let standby = second.prepare().start_anyhow();
    standby.wait_for_state("standby", PATIENCE);
    leader.client().with_token(&token).post("/v1/secret/data/x", &value("before")).unwrap().expect(200);
    leader.client().send("PUT", "/v1/sys/step-down", None).unwrap().expect(403);
    let mut asked = leader.client().with_token(&token);
    asked.set_agent("step-down");
    asked.send("PUT", "/v1/sys/step-down", None).unwrap().expect(204);
    // Answered when it no longer leads.
    leader.client().get("/v1/sys/health").unwrap().expect(429);
    standby.wait_for_state("active", TAKEOVER);
    let found = standby.client().with_token(&token).get("/v1/secret/data/x").unwrap().expect(200).json();
    assert_eq!(found["data"]["data"]["value"], "before");
    let mut old = leader.client().with_token(&token);
    until("redirects", PATIENCE, || {
        let answer = old.get("/v1/secret/data/x").unwrap();
        (answer.header("location")? == format!("{}/v1/secret/data/x", standby.url())).then_some(())
    });
    let records = audit_log::on_disk(&first.audit_dir(), "step-down");
    assert!(records.values().any(|record| audit_log::agent(record) == Some("step-down")), "{records:?}");
    // The other way round, and back at the first.
    standby.client().with_token(&token).send("PUT", "/v1/sys/step-down", None).unwrap().expect(204);
    leader.wait_for_state("active", TAKEOVER);
    leader.client().with_token(&token).post("/v1/secret/data/x", &value("after")).unwrap().expect(200);
}

#[test]
fn lone_leader_that_steps_down_leads_again_after_a_while() {
    let node = Node::new(Engine::Postgres);
    let server = node.start();
    let token = node.login(&server);
    server.client().with_token(&token).send("PUT", "/v1/sys/step-down", None).unwrap().expect(204);
    server.client().get("/v1/sys/health").unwrap().expect(429);
    server.wait_for_state("active", PATIENCE);
    server.client().with_token(&token).post("/v1/secret/data/x", &value("after")).unwrap().expect(200);
}

/// Two nodes of one store and one seal; neither runs.
fn pair() -> (Node, Node) {
    let first = Node::new(Engine::Postgres);
    first.start().stop();
    let second = first.sibling();
    (first, second)
}

fn value(text: &str) -> serde_json::Value {
    json!({ "data": { "value": text } })
}

/// Requests sent to a process that does not run, each on a connection of its own.
fn stale_requests(server: &Server, token: &str) -> Vec<(&'static str, TcpStream)> {
    let head = format!("Host: x\r\nUser-Agent: stale-request\r\nX-Vault-Token: {token}\r\nConnection: close\r\n");
    let write = r#"{"data":{"value":"stale"}}"#;
    let write = format!("{head}Content-Length: {}\r\n\r\n{write}", write.len());
    let send = |what: &'static str, request: String| {
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        (what, stream)
    };
    vec![
        send("a write", format!("POST /v1/secret/data/x HTTP/1.1\r\n{write}")),
        send("a read", format!("GET /v1/secret/data/x HTTP/1.1\r\n{head}\r\n")),
        send("a native read", format!("GET /api/v1/secrets/acme/ HTTP/1.1\r\n{head}\r\n")),
        send("a lookup", format!("GET /v1/auth/token/lookup-self HTTP/1.1\r\n{head}\r\n")),
    ]
}
