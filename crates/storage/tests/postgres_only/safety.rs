//! Databases that would lose commits, or that are not ours, are refused.

use coffer_storage::{Error, Expect, Purged, open};

use crate::backend::{Backend, commit, delete, limit, prefix, put, put_if, value};
use crate::postgres_server::PostgresServer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_with_an_unsafe_server_setting_is_refused() {
    let server = PostgresServer::start(&[]);
    for (setting, fix) in [("fsync", "on"), ("full_page_writes", "on"), ("synchronous_commit", "local")] {
        let url = server.create_database();
        let set = |value: &str| {
            server.sql("postgres", &format!("ALTER SYSTEM SET {setting} = {value}"));
            server.crash();
            server.start_again();
        };
        set("off");
        let Err(Error::Unsafe { setting: named, value, .. }) = open(&url).await.map(drop) else {
            panic!("a server with {setting} = off was accepted")
        };
        assert!(named.contains(setting) && value == "off", "{named} {value}");
        assert_eq!(server.sql(&url, "SELECT to_regnamespace('coffer')"), "", "nothing was created");
        set(fix);
        open(&url).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_made_unsafe_while_open_is_refused_at_the_next_commit() {
    let server = PostgresServer::start(&[]);
    let url = server.create_database();
    let store = open(&url).await.unwrap();
    commit(&*store, vec![put("a", "before")]).await.unwrap();
    server.sql("postgres", "ALTER SYSTEM SET fsync = off");
    server.sql("postgres", "SELECT pg_reload_conf()");
    until(async || matches!(commit(&*store, vec![put("a", "during")]).await, Err(Error::Unsafe { .. }))).await;
    assert_eq!(server.sql(&url, "SELECT count(*) FROM coffer.entries"), "1");
    server.sql("postgres", "ALTER SYSTEM SET fsync = on");
    server.sql("postgres", "SELECT pg_reload_conf()");
    until(async || commit(&*store, vec![put("a", "after")]).await.is_ok()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_database_that_turns_synchronous_commit_off_is_refused() {
    let server = PostgresServer::shared();
    let url = server.create_database();
    let name = url.rsplit('/').next().unwrap();
    server.sql("postgres", &format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    assert!(matches!(open(&url).await.map(drop), Err(Error::Unsafe { .. })));
    for safe in ["local", "remote_write", "on", "remote_apply"] {
        server.sql("postgres", &format!("ALTER DATABASE {name} SET synchronous_commit = {safe}"));
        let store = open(&url).await.unwrap();
        commit(&*store, vec![put("a", safe)]).await.unwrap();
        store.close().await;
    }
    let unsafe_options = format!("{url}?options=-c%20synchronous_commit%3Doff");
    assert!(matches!(open(&unsafe_options).await.map(drop), Err(Error::Unsafe { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_unlogged_table_is_refused() {
    let server = PostgresServer::shared();
    let url = server.create_database();
    open(&url).await.unwrap().close().await;
    server.sql(&url, "ALTER TABLE coffer.entries SET UNLOGGED");
    assert!(matches!(open(&url).await.map(drop), Err(Error::Unsafe { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_purge_vacuums_the_table_that_rows_were_deleted_from() {
    let server = PostgresServer::shared();
    let url = server.create_database();
    let store = open(&url).await.unwrap();
    server.sql(&url, "ALTER TABLE coffer.entries SET (autovacuum_enabled = off)");
    commit(&*store, (0..100).map(|number| put(format!("{number}"), "x")).collect()).await.unwrap();
    commit(&*store, (0..50).map(|number| delete(format!("{number}"))).collect()).await.unwrap();
    // A vacuum notes which pages hold nothing but what everybody sees: no deleted row is left on them.
    let clean = "SELECT relallvisible > 0 AND relallvisible = relpages FROM pg_class \
                 WHERE oid = 'coffer.entries'::regclass";
    assert_eq!(server.sql(&url, clean), "f");
    assert_eq!(store.purge().await.unwrap(), Purged::Whole);
    assert_eq!(server.sql(&url, clean), "t");
    assert_eq!(server.sql(&url, "SELECT count(*) FROM coffer.entries"), "50");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_store_of_a_later_release_is_refused() {
    let server = PostgresServer::shared();
    let url = server.create_database();
    open(&url).await.unwrap().close().await;
    server.sql(&url, "UPDATE coffer.store SET format = 2");
    let error = open(&url).await.map(drop).unwrap_err();
    assert!(matches!(&error, Error::Invalid(text) if text.contains("format 2")), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_role_without_the_right_to_create_can_use_existing_tables() {
    let server = PostgresServer::start(&[]);
    let url = server.create_database();
    open(&url).await.unwrap().close().await;
    server.sql(
        &url,
        "CREATE ROLE worker LOGIN; GRANT USAGE ON SCHEMA coffer TO worker;
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA coffer TO worker",
    );
    let store = open(&url.replace("postgres@", "worker@")).await.unwrap();
    commit(&*store, vec![put("a", "x")]).await.unwrap();
    assert_eq!(value(&*store, "a").await.unwrap(), "x");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_unreachable_is_unavailable_and_names_no_password() {
    let directory = tempfile::tempdir().unwrap();
    let host = directory.path().to_str().unwrap().replace('/', "%2F");
    let error = open(&format!("postgres://user:canary@{host}/db")).await.map(drop).unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(!format!("{error:?}").contains("canary"));
    let tls = open("postgres://user@localhost/db?sslmode=verify-full").await.map(drop).unwrap_err();
    assert!(matches!(&tls, Error::Invalid(text) if text.contains("sslrootcert")), "{tls:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_scan_reads_through_the_index_however_small_the_table() {
    let server = PostgresServer::shared();
    let backend = Backend::postgres();
    let store = backend.open().await;
    commit(&*store, vec![put("a", "x")]).await.unwrap();
    for _ in 0..10 {
        assert_eq!(store.scan(&prefix(""), None, limit(10)).await.unwrap().items.len(), 1);
        assert_eq!(store.scan_keys(&prefix(""), None, limit(10)).await.unwrap().items.len(), 1);
        assert_eq!(value(&*store, "a").await.unwrap(), "x");
        commit(&*store, vec![put_if("b", "x", Expect::Absent), delete("c")]).await.unwrap();
        commit(&*store, vec![delete("b")]).await.unwrap();
    }
    store.close().await;
    // The server counts a connection's scans when that connection ends.
    let count = |column| {
        server.sql(&backend.url, &format!("SELECT {column} FROM pg_stat_user_tables WHERE relname = 'entries'"))
    };
    until(async || count("idx_scan").parse::<u64>().unwrap() >= 50).await;
    assert_eq!(count("seq_tup_read"), "0");
}

/// Repeats until the condition holds.
pub(super) async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !condition().await {
        assert!(std::time::Instant::now() < deadline, "it did not come about in time");
        tokio::task::yield_now().await;
    }
}
