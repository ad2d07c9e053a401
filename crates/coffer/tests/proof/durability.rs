//! What the server asks of the kernel before it answers, as strace sees it: the WAL synced, then the log's segment.

use std::{collections::HashMap, path::Path, process::Command};

use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use crate::{
    audit_log,
    http::Client,
    node::{Engine, Node, Server},
    wait::{PATIENCE, until},
};

/// A sync that succeeded: of which file, and when it began and ended, in microseconds of wall time.
#[derive(Debug)]
struct Sync {
    file: String,
    began: u64,
    ended: u64,
}

#[test]
fn write_is_answered_after_syncs_of_wal_and_then_log_segment() {
    let traced = Traced::start("synced", &[]);
    let mut client = traced.client();
    let intervals: Vec<_> = (0..100)
        .map(|i| {
            // Alone: nothing of the last write's is left to be synced in the interval of this one.
            let commits = traced.commits();
            let body = json!({ "data": { "value": format!("v{i}") } });
            let path = if i % 2 == 0 { "/v1/secret/data/durable".to_owned() } else { format!("/v1/secret/data/n{i}") };
            let interval = timed(|| client.post(&path, &body).unwrap().expect(200));
            until("the outbox row's deletion", PATIENCE, || (traced.commits() >= commits + 2.0).then_some(()));
            interval
        })
        .collect();
    let syncs = traced.stop();
    for (i, (sent, answered)) in intervals.into_iter().enumerate() {
        let within = |sync: &&Sync| sync.began >= sent && sync.ended <= answered;
        let of_wal = syncs.iter().filter(within).find(|sync| sync.file.ends_with("/store.db-wal"));
        let of_wal = of_wal.unwrap_or_else(|| panic!("write {i}: the WAL was not synced before the answer"));
        let mut after = syncs.iter().filter(within).filter(|sync| sync.began >= of_wal.ended);
        assert!(after.any(Sync::is_of_segment), "write {i}: the log was not synced between the WAL and the answer");
    }
}

#[test]
fn read_is_answered_after_a_sync_of_the_log_segment() {
    let traced = Traced::start("synced", &[]);
    let mut client = traced.client();
    client.post("/v1/secret/data/durable", &json!({ "data": { "value": "v" } })).unwrap().expect(200);
    let intervals: Vec<_> =
        (0..20).map(|_| timed(|| client.get("/v1/secret/data/durable").unwrap().expect(200))).collect();
    let syncs = traced.stop();
    for (i, (sent, answered)) in intervals.into_iter().enumerate() {
        let mut within = syncs.iter().filter(|sync| sync.began >= sent && sync.ended <= answered);
        assert!(within.any(Sync::is_of_segment), "read {i}: the log was not synced before the answer");
    }
}

#[test]
fn read_where_written_is_enough_waits_for_no_sync_and_a_write_does_all_the_same() {
    // Longer than any read takes by itself.
    let traced = Traced::start("written", &["-e", "inject=fdatasync:delay_exit=50000"]);
    let mut client = traced.client();
    client.post("/v1/secret/data/durable", &json!({ "data": { "value": "v" } })).unwrap().expect(200);
    let reads: Vec<_> =
        (0..100).map(|_| timed(|| client.get("/v1/secret/data/durable").unwrap().expect(200))).collect();
    let body = json!({ "data": { "value": "w" } });
    let writes: Vec<_> =
        (0..10).map(|i| timed(|| client.post(&format!("/v1/secret/data/n{i}"), &body).unwrap().expect(200))).collect();
    // Each is in the log before its answer, synced or not.
    let logged = audit_log::files(&traced.node.audit_dir().join("segments"));
    let logged: usize =
        logged.iter().map(|file| count(&std::fs::read(file).unwrap(), b"\"cls\":\"secret.read\"")).sum();
    assert!(logged >= reads.len(), "{logged} records of {} reads", reads.len());
    let syncs = traced.stop();
    let synced_within = |(sent, answered): &&(u64, u64)| {
        syncs.iter().any(|sync| sync.is_of_segment() && sync.began >= *sent && sync.ended <= *answered)
    };
    // On a machine that stands still a sync may begin and end within one.
    let waited = reads.iter().filter(synced_within).count();
    assert!(waited < reads.len() / 2, "{waited} of {} reads were answered after a sync", reads.len());
    assert_eq!(writes.iter().filter(synced_within).count(), writes.len(), "a write was answered before its sync");
}

#[test]
fn read_is_refused_where_its_record_cannot_be_written() {
    let node = Node::new(Engine::Sqlite);
    let server = node.prepare().args(&["--audit-read-durability", "written"]).start();
    let mut client = server.client().with_token(&node.login(&server));
    client.post("/v1/secret/data/durable", &json!({ "data": { "value": "v" } })).unwrap().expect(200);
    client.get("/v1/secret/data/durable").unwrap().expect(200);
    // From here on no byte of the log's reaches a file: its segments are taken away, which it notices.
    for file in audit_log::files(&node.audit_dir().join("segments")) {
        std::fs::rename(&file, file.with_extension("gone")).unwrap();
    }
    let refused = until("the log to be missed", PATIENCE, || {
        let answer = client.get("/v1/secret/data/durable").unwrap();
        (answer.status != 200).then_some(answer)
    });
    let text = String::from_utf8(refused.expect(503).body).unwrap();
    assert!(text.contains("audit log") && !text.contains("\"v\""), "{text}");
}

fn count(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).filter(|window| *window == wanted).count()
}

/// A server under strace.
struct Traced {
    node: Node,
    server: Server,
    token: String,
}

impl Traced {
    fn start(read_durability: &str, more: &[&str]) -> Self {
        let node = Node::new(Engine::Sqlite);
        let mut strace = Command::new("strace");
        let traced = ["-f", "-y", "-ttt", "-T", "-e", "trace=fdatasync,fsync", "-e", "signal=none", "-o"];
        strace.args(more).args(traced).arg(node.home().join("strace"));
        let server = node.prepare_under(strace).args(&["--audit-read-durability", read_durability]).start();
        let token = node.login(&server);
        Self { node, server, token }
    }

    fn client(&self) -> Client {
        self.server.client().with_token(&self.token)
    }

    fn commits(&self) -> f64 {
        self.server.metric("coffer_store_commits_total").unwrap()
    }

    /// Every sync of the server's life.
    fn stop(mut self) -> Vec<Sync> {
        let strace = self.server.pid().as_raw_nonzero();
        let children = std::fs::read_to_string(format!("/proc/{strace}/task/{strace}/children")).unwrap();
        let traced = children.split_whitespace().next().and_then(|pid| Pid::from_raw(pid.parse().ok()?)).unwrap();
        kill_process(traced, Signal::TERM).unwrap();
        self.server.wait();
        read_trace(&self.node.home().join("strace"))
    }
}

impl Sync {
    fn is_of_segment(&self) -> bool {
        self.file.contains("/audit/segments/") && self.file.ends_with(".seg")
    }
}

/// Wall time before and after, in microseconds, rounded so that the interval is never larger than it was.
fn timed<T>(act: impl FnOnce() -> T) -> (u64, u64) {
    let now = || {
        let now = clock_gettime(ClockId::Realtime);
        u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).unwrap()
    };
    let before = now().div_ceil(1000);
    act();
    (before, now() / 1000)
}

/// Lines are `PID TIME fdatasync(FD<PATH>) = 0 <TOOK>`, or two of them where others came between.
fn read_trace(path: &Path) -> Vec<Sync> {
    let text = std::fs::read_to_string(path).unwrap().replace(" (DELAYED)", "");
    let mut begun: HashMap<&str, (u64, String)> = HashMap::new();
    let mut syncs = Vec::new();
    for line in text.lines() {
        let (pid, rest) = line.split_once(' ').unwrap();
        let (time, call) = rest.trim_start().split_once(' ').unwrap();
        let time = micros(time);
        if call.starts_with("+++") || call.starts_with("---") || call.ends_with("= ?") {
            continue;
        }
        if call.starts_with("<...") {
            let (began, file) = begun.remove(pid).unwrap();
            assert!(call.contains(") = 0 <"), "a sync failed: {line}");
            syncs.push(Sync { file, began, ended: time });
            continue;
        }
        let (_, after) = call.split_once('<').unwrap();
        let (file, after) = after.split_once('>').unwrap();
        let file = file.to_owned();
        if after.contains("<unfinished ...>") {
            begun.insert(pid, (time, file));
        } else {
            let took =
                after.strip_prefix(") = 0 <").or_else(|| after.trim_start_matches(") ").trim().strip_prefix("= 0 <"));
            let took = took.unwrap_or_else(|| panic!("a sync failed: {line}"));
            syncs.push(Sync { file, began: time, ended: time + micros(took.trim_end_matches('>')) });
        }
    }
    assert!(syncs.len() > 20, "strace saw next to nothing:\n{text}");
    syncs
}

/// `SECONDS.MICROSECONDS`
fn micros(text: &str) -> u64 {
    let (seconds, micros) = text.split_once('.').unwrap();
    assert_eq!(micros.len(), 6, "{text}");
    seconds.parse::<u64>().unwrap() * 1_000_000 + micros.parse::<u64>().unwrap()
}
