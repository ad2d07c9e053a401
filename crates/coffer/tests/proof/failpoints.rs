//! The server killed at each point of a commit. What was answered is stored and recorded; what was not is both or
//! neither, and which of the two each point decides.

use std::{collections::HashMap, process::Command, sync::atomic::AtomicU64};

use serde_json::json;

use crate::{
    audit_log::{self, Records, agent},
    load::Load,
    node::{Engine, Node, Server},
};

/// What must have become of the request that was under way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    /// Not in the store, not in the log.
    Undone,
    /// In the store; in the log only after the restart.
    LoggedLater,
    /// In the store and after the restart in the log; before it perhaps.
    Logged,
    /// In the store and in the log at once: whether what is in the log's file was synced, a kill does not tell.
    LoggedAtOnce,
    /// No request was under way: the point lies after the answer.
    Answered,
}

macro_rules! at {
    ($($test:ident: $point:literal, $fate:ident;)*) => { $(
        mod $test {
            use super::*;

            #[test]
            fn on_sqlite_loses_nothing_answered_and_halves_nothing() {
                kill_at($point, Fate::$fate, Engine::Sqlite);
            }

            #[test]
            fn on_postgres_loses_nothing_answered_and_halves_nothing() {
                kill_at($point, Fate::$fate, Engine::Postgres);
            }
        }
    )* };
}

at! {
    kill_before_commit: "before-commit", Undone;
    kill_after_commit: "after-commit", LoggedLater;
    kill_after_append: "after-append", Logged;
    kill_before_log_sync: "before-log-sync", LoggedAtOnce;
    kill_after_sync: "after-sync", LoggedAtOnce;
    kill_before_outbox_delete: "before-outbox-delete", Answered;
    kill_after_outbox_delete: "after-outbox-delete", Answered;
}

/// What a kill leaves in the kernel's memory hides a sync that did not happen, so strace tells.
#[test]
fn points_around_the_sync_of_the_log_have_it_before_them_or_not() {
    for (point, is_synced) in [("before-log-sync", false), ("after-sync", true)] {
        let node = Node::new(Engine::Sqlite);
        let server = node.start();
        let token = node.login(&server);
        server.stop();
        let trace = node.home().join("strace");
        let mut strace = Command::new("strace");
        let traced = ["-f", "-y", "-s", "0", "-e", "trace=pwrite64,write,fdatasync,fsync", "-e", "signal=none", "-o"];
        strace.args(traced).arg(&trace);
        let point = format!("{point}:9");
        let mut server = node.prepare_under(strace).env("COFFER_TEST_FAILPOINT", &point).start();
        let mut lone = Load::new("traced", 1, 7);
        lone.run(&server, &token, |_: &AtomicU64| {});
        server.wait();
        assert!(lone.answered() > 0 && lone.pending() == 1, "{point}");
        let text = std::fs::read_to_string(&trace).unwrap();
        let (written, synced) = last_write_and_sync(&text);
        assert_eq!(synced > written, is_synced, "{point}: written at line {written:?}, synced at {synced:?}:\n{text}");
    }
}

/// The order of the code is the order for every store. The row waits for a moment before it goes; of several tries one
/// sees the answer even on a machine that stands still just then, and none would if the point lay before it.
#[test]
fn points_around_the_deletion_of_the_outbox_row_lie_after_the_answer() {
    for point in ["before-outbox-delete", "after-outbox-delete"] {
        let answered = (0..5).any(|_| {
            let node = Node::new(Engine::Sqlite);
            let server = node.start();
            let token = node.login(&server);
            server.stop();
            let server = node.prepare().env("COFFER_TEST_FAILPOINT", point).start();
            let body = json!({ "data": { "value": "v" } });
            let answer = server.client().with_token(&token).post("/v1/secret/data/lone", &body);
            server.wait_killed();
            answer.is_ok_and(|answer| answer.expect(200).is_success())
        });
        assert!(answered, "{point}: the server dies before it answers");
    }
}

#[test]
fn first_start_killed_before_its_initial_token_is_stored_gives_one_at_the_next() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let node = Node::new(engine);
        let died = node.prepare().env("COFFER_TEST_FAILPOINT", "before-initial-token").attempt();
        assert!(died.is_err(), "the server lives");
        let server = node.start();
        let token = node.login(&server);
        audit_log::stop_and_verify(&node, server, &token);
    }
}

#[test]
fn record_not_yet_logged_leaves_the_check_open_until_the_next_start() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let node = Node::new(engine);
        let server = node.start();
        let token = node.login(&server);
        let vkey = audit_log::vkey(&server, &token);
        server.stop();
        let verify = || audit_log::verify_store(&node, &[&node], &[&vkey]);
        assert_eq!(verify(), (Some(0), String::new()), "{engine:?}");

        let server = node.prepare().env("COFFER_TEST_FAILPOINT", "after-commit:9").start();
        let mut lone = Load::new("unlogged", 1, 7);
        lone.run(&server, &token, |_: &AtomicU64| {});
        server.wait_killed();
        let (code, said) = verify();
        assert_eq!(code, Some(5), "{engine:?}: {said}");
        assert!(said.contains("not in the log yet") && said.contains("start the server once"), "{engine:?}: {said}");

        node.start().stop();
        assert_eq!(verify(), (Some(0), String::new()), "{engine:?}");
    }
}

fn kill_at(point: &str, fate: Fate, engine: Engine) {
    let node = Node::new(engine);
    let server = node.start();
    let token = node.login(&server);
    server.stop();

    // One writer: at the point of death at most one request is under way, and its fate is known.
    let mut lone = Load::new("lone", 1, 7);
    let (server, before, after) = die_at(&node, &token, &mut lone, point, 9);
    match (lone.pending_agent().map(|agent| (found(&before, agent), found(&after, agent))), fate) {
        (Some((before, after)), Fate::Undone) => assert!(!before && !after, "recorded and not committed"),
        (Some((before, after)), Fate::LoggedLater) => assert!(!before && after, "{before} {after}"),
        (Some((_, after)), Fate::Logged) => assert!(after, "committed and not recorded"),
        (Some((before, after)), Fate::LoggedAtOnce) => assert!(before && after, "{before} {after}"),
        (None, Fate::Undone | Fate::LoggedLater | Fate::Logged | Fate::LoggedAtOnce) => panic!("no request under way"),
        // The next request may have been on its way already; check_stored holds it to both or neither.
        (_, Fate::Answered) => {}
    }
    lone.check_stored(&server, &token, &after);
    server.stop();

    // Many writers: groups of commits, of entries, of answers.
    let mut many = Load::new("many", 12, 8);
    let (server, _, after) = die_at(&node, &token, &mut many, point, 60);
    many.check_stored(&server, &token, &after);
    lone.check_stored(&server, &token, &after);
    audit_log::stop_and_verify(&node, server, &token);
}

/// Writes until the server dies at the `passage`-th passage of `point`, and starts it again. What was on record when
/// it was dead, and once it serves again.
fn die_at(node: &Node, token: &str, load: &mut Load, point: &str, passage: u32) -> (Server, Records, Records) {
    let server = node.prepare().env("COFFER_TEST_FAILPOINT", &format!("{point}:{passage}")).start();
    load.run(&server, token, |_: &AtomicU64| {});
    server.wait_killed();
    let before = audit_log::on_disk(&node.audit_dir(), "");
    assert!(load.answered() > 0);
    load.check_recorded(&before);
    let server = node.start();
    let after = audit_log::on_disk(&node.audit_dir(), "");
    load.check_recorded(&after);
    (server, before, after)
}

fn found(records: &Records, wanted: &str) -> bool {
    records.values().any(|record| agent(record) == Some(wanted))
}

/// The lines at which a segment of the log was last written to, and last synced with success. A line is
/// `PID call(FD<PATH>…) = RESULT`, or two of them where others came between.
fn last_write_and_sync(trace: &str) -> (Option<usize>, Option<usize>) {
    let mut syncing: HashMap<&str, bool> = HashMap::new();
    let (mut written, mut synced) = (None, None);
    for (number, line) in trace.lines().enumerate() {
        let (pid, call) = line.split_once(' ').unwrap();
        let call = call.trim_start();
        let of_segment = call.contains("/audit/segments/") && call.contains(".seg>");
        let is_sync = call.starts_with("fdatasync(") || call.starts_with("fsync(");
        if is_sync && call.ends_with("<unfinished ...>") {
            syncing.insert(pid, of_segment);
        } else if is_sync && of_segment && call.ends_with("= 0") {
            synced = Some(number);
        } else if call.starts_with("<... f") && call.contains("sync resumed") {
            synced = if syncing.remove(pid) == Some(true) && call.ends_with("= 0") { Some(number) } else { synced };
        } else if of_segment && call.contains("write") {
            written = Some(number);
        }
    }
    (written, synced)
}
