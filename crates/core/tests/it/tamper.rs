//! A store whose entries were changed under a running core: a typed error, a record of it, and the next request.

use std::{fs, path::Path};

use coffer_api::{Code, audit::AuditQuery, secrets::SetOptions};
use rusqlite::Connection;

use crate::harness::{caller, context, name, scope, sqlite, value};

/// Both secrets' rows.
const ROWS: &str = "key >= CAST('kv/' AS BLOB) AND key < CAST('kv0' AS BLOB)";

#[tokio::test]
async fn flipped_bit_is_an_integrity_error_on_record() {
    read_after(|store| {
        for (key, mut value) in rows(store) {
            let middle = value.len() / 2;
            value[middle] ^= 1;
            put(store, &key, &value);
        }
    })
    .await;
}

#[tokio::test]
async fn swapped_paths_are_an_integrity_error_on_record() {
    read_after(|store| {
        let rows = rows(store);
        put(store, &rows[0].0, &rows[1].1);
        put(store, &rows[1].0, &rows[0].1);
    })
    .await;
}

#[tokio::test]
async fn truncated_value_is_an_integrity_error_on_record() {
    for kept in [0, 1, 4, 30, usize::MAX] {
        read_after(|store| {
            for (key, value) in rows(store) {
                // All but the last byte at the end of the list.
                put(store, &key, &value[..kept.min(value.len() - 1)]);
            }
        })
        .await;
    }
}

async fn read_after(tamper: impl FnOnce(&Connection)) {
    let dir = tempfile::tempdir().unwrap();
    let (core, _) = sqlite(&dir).await;
    let initial = fs::read_to_string(dir.path().join("initial-token")).unwrap();
    let admin = core.login_initial(context(), initial.trim()).await.unwrap();
    let scope = scope("acme:prod:api");
    let writer = caller(&core, admin.token.expose()).await;
    for (key, text) in [("ONE", "first"), ("TWO", "other")] {
        writer.secret_set(&scope, &name(key), &value(text), SetOptions::default()).await.unwrap();
    }
    drop(writer);
    core.shutdown().await;
    drop(core);

    // Closed in between, so that nothing is in the cache.
    tamper(&store(dir.path()));
    let (core, _) = sqlite(&dir).await;
    let reader = caller(&core, admin.token.expose()).await;
    for key in ["ONE", "TWO"] {
        let error = reader.secret_get(&scope, &name(key), None).await.unwrap_err();
        assert_eq!(error.code(), Code::Integrity, "{error}");
        let error = reader.secret_set(&scope, &name(key), &value("new"), SetOptions::default()).await.unwrap_err();
        assert_eq!(error.code(), Code::Integrity, "{error}");
    }
    let question = AuditQuery { outcome: Some("error".to_owned()), ..AuditQuery::default() };
    let page = reader.audit_query(&question).await.unwrap();
    let failed: Vec<String> = page.entries.iter().map(|entry| entry.entry.to_string()).collect();
    for class in ["secret.read", "secret.write"] {
        for key in ["ONE", "TWO"] {
            let is_it = |record: &&String| {
                record.contains(&format!("\"{class}\"")) && record.contains(key) && record.contains("\"integrity\"")
            };
            assert_eq!(failed.iter().filter(is_it).count(), 1, "{class} {key}: {failed:#?}");
        }
    }
    reader.secret_set(&scope, &name("THREE"), &value("later"), SetOptions::default()).await.unwrap();
    assert_eq!(reader.secret_get(&scope, &name("THREE"), None).await.unwrap().value.expose(), "later");
    drop(reader);
    core.shutdown().await;
}

fn store(dir: &Path) -> Connection {
    Connection::open(dir.join("store.db")).unwrap()
}

fn rows(store: &Connection) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = store.prepare(&format!("SELECT key, value FROM entries WHERE {ROWS} ORDER BY key")).unwrap();
    let rows = found.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let rows: Vec<(Vec<u8>, Vec<u8>)> = rows.map(Result::unwrap).collect();
    assert_eq!(rows.len(), 2);
    rows
}

fn put(store: &Connection, key: &[u8], value: &[u8]) {
    assert_eq!(store.execute("UPDATE entries SET value = ?2 WHERE key = ?1", (key, value)).unwrap(), 1);
}
