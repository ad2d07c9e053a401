//! `kill -9` under a write load, again and again on the same store.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use rustix::process::Signal;

use crate::{
    audit_log,
    load::{Load, Random},
    node::{Engine, Node},
    wait::{PATIENCE, until},
};

const WRITERS: usize = 16;

#[test]
fn kill_under_load_on_sqlite_loses_nothing_answered() {
    kill_again_and_again(Engine::Sqlite);
}

#[test]
fn kill_under_load_on_postgres_loses_nothing_answered() {
    kill_again_and_again(Engine::Postgres);
}

fn kill_again_and_again(engine: Engine) {
    let rounds = if std::env::var_os("COFFER_STRESS").is_some() { 200 } else { 20 };
    // Other moments in each run; a failure names the seed, which COFFER_SEED gives back.
    let seed = match std::env::var("COFFER_SEED") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => u64::from(std::process::id()),
    };
    println!("COFFER_SEED={seed}");
    let mut random = Random(seed * 2 + 1);
    let node = Node::new(engine);
    let mut server = node.start();
    let token = node.login(&server);
    let mut load = Load::new("kill", WRITERS, seed);
    let (mut answered, mut open) = (0, 0);
    for round in 1..=rounds {
        let start = Instant::now();
        let last = 20 + random.below(300);
        load.run(&server, &token, |count: &AtomicU64| {
            until("writes", PATIENCE, || (count.load(Ordering::SeqCst) >= last).then_some(()));
            server.signal(Signal::KILL);
        });
        server.wait_killed();
        let before = audit_log::on_disk(&node.audit_dir(), &format!("-r{round}-"));
        load.check_recorded(&before);
        (answered, open) = (answered + load.answered(), open + load.pending());
        server = node.start();
        let after = audit_log::on_disk(&node.audit_dir(), &format!("-r{round}-"));
        load.check_recorded(&after);
        load.check_stored(&server, &token, &after);
        println!("round {round}: {} answered, {:?}", load.answered(), start.elapsed());
    }
    println!("{answered} answered, {open} cut off");
    assert!(open >= rounds, "the kills hit nobody");
    audit_log::stop_and_verify(&node, server, &token);
}
