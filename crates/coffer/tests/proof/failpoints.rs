//! The server killed at each point of a commit. What was answered is stored and recorded; what was not is both or
//! neither, and which of the two each point decides.

use std::sync::atomic::AtomicU64;

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
    /// In the store and in the log at once.
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
    kill_after_sync: "after-sync", LoggedAtOnce;
    kill_before_outbox_delete: "before-outbox-delete", Answered;
    kill_after_outbox_delete: "after-outbox-delete", Answered;
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
