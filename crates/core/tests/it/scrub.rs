//! The scrub of a running core: silent while all is well, loud about what was changed from outside, and unhurried.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use coffer_api::{audit::AuditQuery, secrets::SetOptions, token::TokenCreate};
use coffer_core::{Caller, Core, CreatePath};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::harness::{caller as harness_caller, config, context, name, scope, value};

/// More than any round takes here.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes of the log's first segment before its first entry's payload, with some of the payload.
const INSIDE_THE_FIRST_ENTRY: u64 = 64 + 9 + 20;
/// What the scrub looks at between two rests, and how long a rest is.
const BURST: u64 = 500;
const REST: Duration = Duration::from_millis(25);

/// A core with some secrets that scrubs without end.
async fn scrubbing(dir: &TempDir) -> (Arc<Core>, Caller) {
    let mut config = config(dir.path());
    config.audit.scrub_every = Some(Duration::from_millis(20));
    let core = Core::start(config).await.unwrap().0;
    let initial = fs::read_to_string(dir.path().join("initial-token")).unwrap();
    let admin = core.login_initial(context(), initial.trim()).await.unwrap();
    let caller = harness_caller(&core, admin.token.expose()).await;
    for i in 0..20 {
        let key = name(&format!("KEY_{}", i % 7));
        caller.secret_set(&scope("acme:prod:api"), &key, &value("x"), SetOptions::default()).await.unwrap();
    }
    (core, caller)
}

fn metric(core: &Core, name: &str) -> u64 {
    let text = core.metrics();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap();
    line.parse().unwrap()
}

/// Waits until a figure is at least this.
async fn reach(core: &Core, name: &str, least: u64) {
    let start = Instant::now();
    while metric(core, name) < least {
        assert!(start.elapsed() < PATIENCE, "{name} stays at {}", metric(core, name));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits for two rounds to end: the second began after the call.
async fn whole_round(core: &Core) {
    reach(core, "coffer_scrub_rounds_total", metric(core, "coffer_scrub_rounds_total") + 2).await;
}

async fn reported(caller: &Caller) -> Vec<serde_json::Value> {
    let question = AuditQuery { action: Some("audit.scrub".to_owned()), ..AuditQuery::default() };
    let page = caller.audit_query(&question).await.unwrap();
    page.entries.into_iter().map(|entry| entry.entry).collect()
}

fn first_segment(dir: &Path) -> PathBuf {
    let segments = fs::read_dir(dir.join("audit/segments")).unwrap();
    segments.map(|entry| entry.unwrap().path()).min().unwrap()
}

#[tokio::test]
async fn scrub_of_what_was_left_alone_finds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (core, caller) = scrubbing(&dir).await;
    whole_round(&core).await;
    assert_eq!(metric(&core, "coffer_scrub_findings"), 0);
    // Of each of both rounds: the log's entries and the store's.
    assert!(metric(&core, "coffer_scrub_checked_total") > 2 * 40);
    assert_eq!(reported(&caller).await, Vec::<serde_json::Value>::new());
    drop(caller);
    core.shutdown().await;
}

#[tokio::test]
async fn scrub_reports_rows_edited_behind_its_back_once() {
    let dir = tempfile::tempdir().unwrap();
    let (core, caller) = scrubbing(&dir).await;
    whole_round(&core).await;
    {
        let store = Connection::open(dir.path().join("store.db")).unwrap();
        store.busy_timeout(PATIENCE).unwrap();
        let sql = "UPDATE entries SET value = CAST(value || x'00' AS BLOB)
            WHERE key >= CAST('kv/' AS BLOB) AND key < CAST('kv0' AS BLOB)";
        assert_eq!(store.execute(sql, []).unwrap(), 7);
    }
    reach(&core, "coffer_scrub_findings", 1).await;
    whole_round(&core).await;
    assert_eq!(metric(&core, "coffer_scrub_findings"), 7);
    let records = reported(&caller).await;
    let last = records.last().unwrap();
    assert_eq!(last["facts"]["findings"], "7", "{last}");
    assert!(last["facts"]["first"].as_str().unwrap().contains("is not what was recorded"), "{last}");
    // A round that began before the edit may have seen a part of it; after that nothing is new.
    whole_round(&core).await;
    assert_eq!(reported(&caller).await.len(), records.len());
    drop(caller);
    core.shutdown().await;
}

#[tokio::test]
async fn scrub_reports_a_row_without_a_record_and_one_that_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let (core, caller) = scrubbing(&dir).await;
    {
        let store = Connection::open(dir.path().join("store.db")).unwrap();
        store.busy_timeout(PATIENCE).unwrap();
        let sql = "UPDATE entries SET key = CAST(key || '-moved' AS BLOB)
            WHERE key = CAST('policy/auditor' AS BLOB)";
        assert_eq!(store.execute(sql, []).unwrap(), 1);
    }
    reach(&core, "coffer_scrub_findings", 2).await;
    whole_round(&core).await;
    assert_eq!(metric(&core, "coffer_scrub_findings"), 2);
    drop(caller);
    core.shutdown().await;
}

#[tokio::test]
async fn scrub_is_not_blinded_by_a_row_that_claims_another_log() {
    let dir = tempfile::tempdir().unwrap();
    let (core, caller) = scrubbing(&dir).await;
    whole_round(&core).await;
    {
        let store = Connection::open(dir.path().join("store.db")).unwrap();
        store.busy_timeout(PATIENCE).unwrap();
        // As like a registered log as somebody without keys can make it.
        let sql = "INSERT INTO entries (key, revision, value) SELECT CAST('log/x' AS BLOB), revision, value
            FROM entries WHERE key >= CAST('log/' AS BLOB) AND key < CAST('log0' AS BLOB)";
        assert_eq!(store.execute(sql, []).unwrap(), 1);
        let sql = "UPDATE entries SET key = CAST(key || '-moved' AS BLOB) WHERE key = CAST('policy/auditor' AS BLOB)";
        assert_eq!(store.execute(sql, []).unwrap(), 1);
    }
    reach(&core, "coffer_scrub_findings", 3).await;
    whole_round(&core).await;
    assert_eq!(metric(&core, "coffer_scrub_findings"), 3, "the log's row, the one without a record, the one gone");
    assert_eq!(metric(&core, "coffer_scrub_recorded_elsewhere"), 0);
    drop(caller);
    core.shutdown().await;
}

#[tokio::test]
async fn scrub_of_a_store_with_two_logs_counts_what_it_cannot_compare_and_finds_the_rest() {
    let first = tempfile::tempdir().unwrap();
    let (core, caller) = scrubbing(&first).await;
    let issued = caller.token_create(CreatePath::Orphan, TokenCreate::default(), &()).await.unwrap();
    drop(caller);
    core.shutdown().await;
    // Another node on the same store: its own directory, its own log.
    let second = tempfile::tempdir().unwrap();
    let mut config = config(second.path());
    config.storage = format!("sqlite:{}", first.path().join("store.db").display());
    config.seal_key_file = first.path().join("seal.key");
    config.audit.scrub_every = Some(Duration::from_millis(20));
    let core = Core::start(config).await.unwrap().0;
    let caller = harness_caller(&core, issued.token.expose()).await;
    let here = name("WRITTEN_HERE");
    caller.secret_set(&scope("acme:prod:api"), &here, &value("x"), SetOptions::default()).await.unwrap();
    whole_round(&core).await;
    assert_eq!(metric(&core, "coffer_scrub_findings"), 0);
    let elsewhere = metric(&core, "coffer_scrub_recorded_elsewhere");
    assert!(elsewhere >= 7 + 5, "{elsewhere}: secrets and policies at least");
    {
        let store = Connection::open(first.path().join("store.db")).unwrap();
        store.busy_timeout(PATIENCE).unwrap();
        let gone = "DELETE FROM entries WHERE key >= CAST('kv/' AS BLOB) AND key < CAST('kv0' AS BLOB)
            AND instr(key, CAST('WRITTEN_HERE' AS BLOB)) > 0";
        assert_eq!(store.execute(gone, []).unwrap(), 1);
        // Of the time of the other node, which has a log of its own; that one did not lead since.
        let added = "INSERT INTO entries (key, revision, value) SELECT CAST('policy/added' AS BLOB), revision, value
            FROM entries WHERE key = CAST('policy/auditor' AS BLOB)";
        assert_eq!(store.execute(added, []).unwrap(), 1);
    }
    reach(&core, "coffer_scrub_findings", 2).await;
    whole_round(&core).await;
    assert_eq!(metric(&core, "coffer_scrub_findings"), 2, "{:?}", reported(&caller).await);
    assert_eq!(metric(&core, "coffer_scrub_recorded_elsewhere"), elsewhere + 1);
    drop(caller);
    core.shutdown().await;
}

#[tokio::test]
async fn scrub_reports_a_log_file_that_was_altered_and_the_core_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (core, caller) = scrubbing(&dir).await;
    whole_round(&core).await;
    assert_eq!(metric(&core, "coffer_scrub_findings"), 0);
    let segment = first_segment(dir.path());
    let file = fs::File::options().read(true).write(true).open(&segment).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, INSIDE_THE_FIRST_ENTRY).unwrap();
    file.write_all_at(&[byte[0] ^ 1], INSIDE_THE_FIRST_ENTRY).unwrap();
    reach(&core, "coffer_scrub_findings", 1).await;
    whole_round(&core).await;
    assert!(metric(&core, "coffer_scrub_findings") >= 1);
    let log = fs::read(&segment).unwrap();
    assert!(log.windows(13).any(|bytes| bytes == b"\"audit.scrub\""), "the finding is not on record");
    let at = (scope("acme:prod:api"), name("KEY_1"));
    caller.secret_set(&at.0, &at.1, &value("later"), SetOptions::default()).await.unwrap();
    assert_eq!(caller.secret_get(&at.0, &at.1, None).await.unwrap().value.expose(), "later");
    drop(caller);
    core.shutdown().await;
}

#[tokio::test]
async fn scrub_rests_between_bounded_bursts() {
    let dir = tempfile::tempdir().unwrap();
    let entries = 6 * BURST;
    {
        let (core, caller) = scrubbing(&dir).await;
        let caller = Arc::new(caller);
        let reads: Vec<_> = (0..50)
            .map(|_| {
                let caller = Arc::clone(&caller);
                tokio::spawn(async move {
                    for _ in 0..entries / 50 {
                        caller.secret_get(&scope("acme:prod:api"), &name("KEY_1"), None).await.unwrap();
                    }
                })
            })
            .collect();
        for read in reads {
            read.await.unwrap();
        }
        drop(caller);
        core.shutdown().await;
    }
    let mut config = config(dir.path());
    config.audit.scrub_every = Some(Duration::from_millis(20));
    let core = Core::start(config).await.unwrap().0;
    let start = Instant::now();
    reach(&core, "coffer_scrub_checked_total", entries).await;
    // As many rests lie before the last of that many entries, however fast the machine is.
    let rests = u32::try_from(entries / BURST - 1).unwrap();
    assert!(start.elapsed() >= REST * rests, "{:?} for {entries} entries", start.elapsed());
    core.shutdown().await;
}
