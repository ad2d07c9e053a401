//! The store against its log, and the rows that operations cost.

use std::path::Path;

use coffer_api::{secrets::SetOptions, token::TokenCreate};
use coffer_core::{
    Core, CreatePath,
    tlog::note::VerifierKey,
    verify::{GivenLog, StoreReport, verify_store},
};
use rusqlite::Connection;

use crate::harness::{caller, config, context, local, name, scope, sqlite, value};

/// A stopped server's directory with some secrets in it.
async fn stopped() -> (tempfile::TempDir, VerifierKey) {
    let dir = tempfile::tempdir().unwrap();
    let (core, _) = sqlite(&dir).await;
    let initial = std::fs::read_to_string(dir.path().join("initial-token")).unwrap();
    let admin = core.login_initial(context(), initial.trim()).await.unwrap();
    let caller = caller(&core, admin.token.expose()).await;
    for i in 0..20 {
        let at = (scope("acme:prod:api"), name(&format!("KEY_{}", i % 7)));
        caller.secret_set(&at.0, &at.1, &value("x"), SetOptions::default()).await.unwrap();
    }
    caller.secret_destroy(&scope("acme:prod:api"), &name("KEY_1"), &[1]).await.unwrap();
    let vkey = caller.audit_checkpoint().await.unwrap().vkey;
    drop(caller);
    core.shutdown().await;
    (dir, VerifierKey::parse(&vkey).unwrap())
}

async fn verify(dir: &Path, key: &VerifierKey) -> StoreReport {
    let log = GivenLog { dir: dir.join("audit"), keys: vec![key.clone()], since: None };
    verify_store(&format!("sqlite:{}", dir.join("store.db").display()), vec![log]).await.unwrap().1
}

fn edit(dir: &Path, sql: &str) -> usize {
    Connection::open(dir.join("store.db")).unwrap().execute(sql, []).unwrap()
}

#[tokio::test]
async fn store_that_was_left_alone_is_clean() {
    let (dir, key) = stopped().await;
    let report = verify(dir.path(), &key).await;
    assert_eq!(report.findings, Vec::<String>::new());
    assert!(report.is_conclusive(), "{report:?}");
    assert!(report.entries > 30);
}

#[tokio::test]
async fn edits_of_the_store_are_found() {
    let (dir, key) = stopped().await;
    let table = {
        let db = Connection::open(dir.path().join("store.db")).unwrap();
        let mut tables = db.prepare("SELECT name, sql FROM sqlite_master WHERE type='table'").unwrap();
        let found = tables.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).unwrap();
        found.map(Result::unwrap).find(|(_, sql)| sql.contains("value") && sql.contains("key")).unwrap().0
    };
    let is_kv = "key >= CAST('kv/' AS BLOB) AND key < CAST('kv0' AS BLOB)";
    for (what, sql) in [
        ("altered", format!("UPDATE {table} SET value = CAST(value || x'00' AS BLOB) WHERE {is_kv}")),
        ("deleted", format!("DELETE FROM {table} WHERE {is_kv}")),
        ("rolled back", format!("UPDATE {table} SET revision = 1 WHERE {is_kv}")),
        ("moved on", format!("UPDATE {table} SET revision = revision + 1000 WHERE {is_kv}")),
    ] {
        let copy = tempfile::tempdir().unwrap();
        let copied = std::process::Command::new("cp").arg("-a").arg(dir.path()).arg(copy.path().join("c")).status();
        assert!(copied.unwrap().success());
        let copy = copy.path().join("c");
        assert!(edit(&copy, &sql) > 0, "{what}: {sql}");
        let report = verify(&copy, &key).await;
        assert!(report.finding_count > 0, "{what}: {report:?}");
    }
}

#[tokio::test]
async fn row_that_claims_another_log_excuses_nothing() {
    let (dir, key) = stopped().await;
    let claim = "INSERT INTO entries (key, revision, value) SELECT CAST('log/x' AS BLOB), revision, value
        FROM entries WHERE key >= CAST('log/' AS BLOB) AND key < CAST('log0' AS BLOB)";
    let moved = "UPDATE entries SET key = CAST(key || '-moved' AS BLOB) WHERE key = CAST('policy/auditor' AS BLOB)";
    assert_eq!(edit(dir.path(), moved), 1);
    assert_eq!(verify(dir.path(), &key).await.finding_count, 2, "one without a record, one gone");
    assert_eq!(edit(dir.path(), claim), 1);
    let report = verify(dir.path(), &key).await;
    assert!(report.findings.iter().any(|finding| finding.contains("other logs than at its last start")), "{report:?}");
}

#[tokio::test]
async fn store_with_one_of_its_two_logs_is_inconclusive_without_a_finding() {
    let (dir, first) = stopped().await;
    // Another node on the same store: its own directory, its own log.
    let other = tempfile::tempdir().unwrap();
    let mut config = config(other.path());
    let url = format!("sqlite:{}", dir.path().join("store.db").display());
    config.storage = url.clone();
    config.seal_key_file = dir.path().join("seal.key");
    let core = Core::start(config).await.unwrap().0;
    core.local_initial_token(local()).await.unwrap();
    let token = std::fs::read_to_string(dir.path().join("initial-token")).unwrap();
    let admin = core.login_initial(context(), token.trim()).await.unwrap();
    let caller = caller(&core, admin.token.expose()).await;
    let at = (scope("acme:prod:api"), name("KEY_0"));
    caller.secret_set(&at.0, &at.1, &value("other"), SetOptions::default()).await.unwrap();
    let second = VerifierKey::parse(&caller.audit_checkpoint().await.unwrap().vkey).unwrap();
    drop(caller);
    core.shutdown().await;

    let log = |dir: &Path, key: &VerifierKey| GivenLog { dir: dir.join("audit"), keys: vec![key.clone()], since: None };
    let (here, there) = (log(dir.path(), &first), log(other.path(), &second));
    for (given, absent) in [(&here, &second), (&there, &first)] {
        let report = verify_store(&url, vec![given.clone()]).await.unwrap().1;
        assert_eq!((report.findings.as_slice(), report.unlogged), ([].as_slice(), 0), "{report:?}");
        assert!(!report.is_conclusive(), "{report:?}");
        let origins: Vec<&str> = report.recorded_elsewhere.keys().map(String::as_str).collect();
        assert_eq!(origins, [absent.name().as_str()], "{report:?}");
    }
    let report = verify_store(&url, vec![here, there]).await.unwrap().1;
    assert_eq!(report.findings, Vec::<String>::new());
    assert!(report.is_conclusive(), "{report:?}");
}

#[tokio::test]
async fn store_with_the_log_of_another_store_is_not_clean() {
    let (dir, _) = stopped().await;
    let (other, key) = stopped().await;
    let log = GivenLog { dir: other.path().join("audit"), keys: vec![key], since: None };
    let url = format!("sqlite:{}", dir.path().join("store.db").display());
    let report = verify_store(&url, vec![log]).await.unwrap().1;
    assert!(!report.is_conclusive() && !report.recorded_elsewhere.is_empty(), "{report:?}");
}

#[tokio::test]
async fn operations_write_no_more_rows_than_their_budget() {
    let dir = tempfile::tempdir().unwrap();
    let (core, _) = sqlite(&dir).await;
    let initial = std::fs::read_to_string(dir.path().join("initial-token")).unwrap();
    let admin = core.login_initial(context(), initial.trim()).await.unwrap();
    let caller = caller(&core, admin.token.expose()).await;
    let at = (scope("acme:prod:api"), name("KEY"));
    // Rows are counted between two looks; bookkeeping in the background may add a few in all, so each is done often.
    let rows = || {
        let text = core.metrics();
        let line = text.lines().find_map(|line| line.strip_prefix("coffer_store_rows_total ")).unwrap();
        line.parse::<u64>().unwrap()
    };
    const TIMES: u64 = 100;
    let before = rows();
    for _ in 0..TIMES {
        caller.secret_set(&at.0, &at.1, &value("x"), SetOptions::default()).await.unwrap();
    }
    let writes = rows() - before;
    assert!(writes <= TIMES * 3 + TIMES / 2, "{writes} rows for {TIMES} KV writes");
    let before = rows();
    for _ in 0..TIMES {
        let request = TokenCreate { orphan: true, ..TokenCreate::default() };
        caller.token_create(CreatePath::Orphan, request, &()).await.unwrap();
    }
    let orphans = rows() - before;
    assert!(orphans <= TIMES * 3 + TIMES / 2, "{orphans} rows for {TIMES} orphan tokens");
    let before = rows();
    for _ in 0..TIMES {
        caller.token_create(CreatePath::Child, TokenCreate::default(), &()).await.unwrap();
    }
    let children = rows() - before;
    assert!(children <= TIMES * 4 + TIMES / 2, "{children} rows for {TIMES} child tokens");
    drop(caller);
    core.shutdown().await;
}
