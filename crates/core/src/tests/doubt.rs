//! While the clock is in doubt nothing is destroyed, by whatever name it is asked for, and the scrub goes on.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use coffer_api::{Code, Sensitive, secrets::SetOptions};

use super::{NOON, caller, config, dev_with_keys, rows};
use crate::{
    Begin, Caller, Core, KeyAlgorithm, KeyCreate, KeyState, MountEnable, MountKind, clock::ManualTimeSource, keys,
};

const TEN_YEARS_MS: i64 = 10 * 365 * 24 * 3_600_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Sets a secret whose versions have object keys of their own.
async fn set(root: &Caller, text: &str) {
    let options = SetOptions { cas: None, shred: Some(true) };
    root.secret_set(&"acme".parse().unwrap(), &"KEY".parse().unwrap(), &Sensitive::from(text), options).await.unwrap();
}

async fn version(root: &Caller, number: u64) -> Option<String> {
    let read = root.secret_get(&"acme".parse().unwrap(), &"KEY".parse().unwrap(), Some(number)).await;
    read.ok().map(|secret| secret.value.expose().to_owned())
}

#[tokio::test]
async fn versions_beyond_the_most_stay_until_the_clock_is_out_of_doubt() {
    let (core, time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    for i in 1..=9 {
        set(&root, &format!("v{i}")).await;
    }
    time.set_wall(NOON + TEN_YEARS_MS);
    assert!(root.active.clock.is_in_doubt());
    for i in 10..=13 {
        set(&root, &format!("v{i}")).await;
    }
    for i in 1..=13 {
        assert_eq!(version(&root, i).await, Some(format!("v{i}")));
    }
    assert_eq!(rows(&root.active, keys::OBJECT).await.len(), 13);

    time.set_wall(NOON);
    assert!(!root.active.clock.is_in_doubt());
    set(&root, "v14").await;
    assert_eq!((version(&root, 4).await, version(&root, 5).await), (None, Some("v5".to_owned())));
    assert_eq!(rows(&root.active, keys::OBJECT).await.len(), 10);
    assert_eq!(rows(&root.active, keys::KV_VERSION).await.len(), 9);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn removing_a_secret_with_all_its_versions_waits_for_the_clock() {
    let (core, time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    let mount = root.resolve("secret/data/x").unwrap();
    set(&root, "one").await;
    set(&root, "two").await;
    root.mount_enable("plain/", MountKind::KvV1, MountEnable::default(), &()).await.unwrap();
    let plain = root.resolve("plain/a").unwrap();
    root.kv1_write(&plain, "a", br#"{"x":1}"#, &()).await.unwrap();

    time.set_wall(NOON - TEN_YEARS_MS);
    for refused in [root.kv_metadata_delete(&mount, "acme/KEY").await, root.kv1_delete(&plain, "a").await] {
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert!(refused.to_string().contains("clock"), "{refused}");
    }
    assert_eq!((version(&root, 1).await, version(&root, 2).await), (Some("one".to_owned()), Some("two".to_owned())));
    assert_eq!(root.kv1_read(&plain, "a").await.unwrap().as_slice(), br#"{"x":1}"#);
    // What is not there is not destroyed.
    root.kv_metadata_delete(&mount, "acme/NONE").await.unwrap();
    root.kv1_delete(&plain, "none").await.unwrap();

    time.set_wall(NOON);
    root.kv_metadata_delete(&mount, "acme/KEY").await.unwrap();
    root.kv1_delete(&plain, "a").await.unwrap();
    assert_eq!(rows(&root.active, keys::OBJECT).await, Vec::<String>::new());
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn key_version_that_was_never_in_use_is_not_destroyed_either() {
    let (core, time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    let mount = root.resolve("transit/keys/k").unwrap();
    root.key_create(&mount, "k", KeyCreate::native(KeyAlgorithm::Ed25519), &()).await.unwrap();
    root.key_rotate(&mount, "k", Begin::PreActive, &()).await.unwrap();
    time.set_wall(NOON + TEN_YEARS_MS);
    let refused = root.key_destroy(&mount, "k", &[2], None, &()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    time.set_wall(NOON);
    let destroyed = root.key_destroy(&mount, "k", &[2], None, &()).await.unwrap();
    assert_eq!(destroyed.versions[1].state, KeyState::Destroyed);
    drop(root);
    core.shutdown().await;
}

/// A core on a file, by a clock set by hand, that scrubs without end.
async fn scrubbing(dir: &tempfile::TempDir) -> (Arc<Core>, ManualTimeSource) {
    let mut config = config(dir.path());
    config.audit.scrub_every = Some(Duration::from_millis(20));
    let time = ManualTimeSource::new(NOON);
    let core = Core::start_by(config, Arc::new(time.clone())).await.unwrap().0;
    (core, time)
}

async fn until(what: &str, reached: impl Fn() -> bool) {
    let start = Instant::now();
    while !reached() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn alter(dir: &tempfile::TempDir, key: &str) {
    let store = rusqlite::Connection::open(dir.path().join("store.db")).unwrap();
    store.busy_timeout(PATIENCE).unwrap();
    let sql = "UPDATE entries SET value = CAST(value || x'00' AS BLOB) WHERE key = CAST(?1 AS BLOB)";
    assert_eq!(store.execute(sql, [key]).unwrap(), 1);
}

#[tokio::test]
async fn scrub_finds_what_was_altered_while_the_clock_is_in_doubt_and_forgets_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (core, time) = scrubbing(&dir).await;
    let active = core.active().unwrap();
    let (rounds, found) = (&active.metrics.scrub_rounds, &active.metrics.scrub_findings);
    alter(&dir, "policy/auditor");
    until("the finding", || found.value() == 1).await;
    time.set_wall(NOON + TEN_YEARS_MS);
    assert!(active.clock.is_in_doubt());
    let before = rounds.value();
    until("whole rounds", || rounds.value() >= before + 2).await;
    assert_eq!(found.value(), 1, "the doubt ended the alarm");
    alter(&dir, "policy/service");
    until("the second finding", || found.value() == 2).await;
    drop(active);
    core.shutdown().await;
}

#[tokio::test]
async fn scrub_that_is_cut_short_clears_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (core, _) = scrubbing(&dir).await;
    let active = core.active().unwrap();
    let (rounds, found) = (&active.metrics.scrub_rounds, &active.metrics.scrub_findings);
    alter(&dir, "policy/auditor");
    alter(&dir, "policy/service");
    until("the findings", || found.value() == 2).await;

    // A record that the log never takes: it stays broken, and what it holds is no measure for the store.
    let row = format!("{}{}/stuck", keys::OUTBOX, active.node);
    let mut edit = crate::commit::Edit::default();
    edit.put(row.clone(), zeroize::Zeroizing::new(b"never".to_vec()), None);
    active.commit_bookkeeping(edit).await.unwrap();
    active.outbox.unlogged(row, vec![Vec::new()], &crate::tlog::AppendError::EntrySize(0));
    let ended = rounds.value();
    let checked = active.metrics.scrubbed.value();
    until("attempts", || active.metrics.scrubbed.value() >= checked + 3 * active.log.head().size).await;
    assert!(rounds.value() <= ended + 1, "a round that was under way may have ended");
    assert_eq!(found.value(), 2, "a round without an end ended the alarm");
    drop(active);
    core.shutdown().await;
}
