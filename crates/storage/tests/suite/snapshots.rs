//! Snapshots: everything at one revision while others write; and loading what one showed into another store.

use std::sync::Arc;

use coffer_storage::{Entry, Error, Key, Limit, Revision, Sealed, Snapshot};

use crate::backend::{Backend, commit, delete, key, limit, prefix, put, sealed, value};

/// More than any of these tests writes.
const AMPLE: u64 = 1 << 30;

async fn all(snapshot: &dyn Snapshot, page: Limit) -> Vec<(Key, Entry)> {
    let mut entries: Vec<(Key, Entry)> = Vec::new();
    loop {
        let after = entries.last().map(|(key, _)| key.clone());
        let page = snapshot.scan(&prefix(""), after.as_ref(), page).await.unwrap();
        entries.extend(page.items);
        if !page.more {
            return entries;
        }
    }
}

pub(crate) async fn snapshot_shows_one_revision_while_a_writer_goes_on(backend: Backend) {
    let store = backend.open().await;
    let round = |text: String| (0..40).map(move |n| put(format!("k/{n:02}"), &text)).collect::<Vec<_>>();
    commit(&*store, round("first".to_owned())).await.unwrap();
    let last = commit(&*store, vec![put("only/then", "x")]).await.unwrap();
    let snapshot = store.snapshot(AMPLE).await.unwrap();
    assert_eq!(snapshot.revision(), last);
    let writing = Arc::clone(&store);
    let writer = tokio::spawn(async move {
        for n in 0..30 {
            commit(&*writing, round(format!("later {n}"))).await.unwrap();
            commit(&*writing, vec![put(format!("new/{n}"), "x"), delete("only/then")]).await.unwrap();
        }
    });
    for page in [1, 7, 1000] {
        let entries = all(&*snapshot, limit(page)).await;
        assert_eq!(entries.len(), 41);
        assert!(entries.is_sorted_by(|(one, _), (other, _)| one < other));
        assert!(entries.iter().all(|(_, entry)| entry.revision <= last));
        assert!(entries.iter().take(40).all(|(_, entry)| entry.value == "first"));
        assert_eq!(entries[40].0, key("only/then"));
    }
    writer.await.unwrap();
    assert_eq!(all(&*snapshot, limit(10)).await.len(), 41);
    drop(snapshot);
    assert_eq!(value(&*store, "only/then").await, None);
    assert_eq!(value(&*store, "k/00").await.unwrap(), "later 29");
    // Nothing of it stays behind that would keep the store from its work.
    assert_eq!(store.purge().await.unwrap(), coffer_storage::Purged::Whole);
    let page = store.snapshot(AMPLE).await.unwrap().scan(&prefix("new/"), Some(&key("new/5")), limit(3)).await.unwrap();
    let names: Vec<_> = page.items.iter().map(|(key, _)| key.as_bytes().to_vec()).collect();
    assert_eq!((names, page.more), (vec![b"new/6".to_vec(), b"new/7".to_vec(), b"new/8".to_vec()], true));
}

pub(crate) async fn snapshot_of_an_empty_store_is_empty_and_a_closed_one_has_none(backend: Backend) {
    let store = backend.open().await;
    let snapshot = store.snapshot(AMPLE).await.unwrap();
    assert_eq!((snapshot.revision(), all(&*snapshot, limit(10)).await.len()), (Revision(0), 0));
    drop(snapshot);
    store.close().await;
    assert!(matches!(store.snapshot(AMPLE).await, Err(Error::Unavailable { .. })));
    assert!(matches!(store.load(Revision(1), Vec::new()).await, Err(Error::Unavailable { .. })));
}

fn loaded(entries: &[(Key, Entry)]) -> Vec<(Key, Sealed, Revision)> {
    entries.iter().map(|(key, entry)| (key.clone(), sealed(&entry.value), entry.revision)).collect()
}

pub(crate) async fn loaded_store_has_entries_and_revisions_of_the_other(backend: Backend) {
    let other = coffer_storage::open("memory:").await.unwrap();
    for n in 0..20 {
        commit(&*other, vec![put(format!("k/{n:02}"), n.to_string()), put("often", n.to_string())]).await.unwrap();
    }
    let snapshot = other.snapshot(AMPLE).await.unwrap();
    let (at, entries) = (snapshot.revision(), all(&*snapshot, limit(100)).await);
    let store = backend.open().await;
    for part in entries.chunks(8) {
        store.load(at, loaded(part)).await.unwrap();
    }
    let copy = store.snapshot(AMPLE).await.unwrap();
    assert_eq!(copy.revision(), at);
    assert_eq!(all(&*copy, limit(100)).await, entries);
    drop(copy);
    assert!(commit(&*store, vec![put("after", "x")]).await.unwrap() > at);
    // From here on it is a store like any other.
    assert!(matches!(store.load(at, loaded(&entries[..1])).await, Err(Error::Conflict)));
}

pub(crate) async fn load_where_it_must_not_be_is_a_conflict_and_changes_nothing(backend: Backend) {
    let store = backend.open().await;
    let entry = |name: &str, revision| (key(name), sealed("x"), Revision(revision));
    let conflict = |outcome: Result<(), Error>| assert!(matches!(outcome, Err(Error::Conflict)), "{outcome:?}");
    conflict(store.load(Revision(0), Vec::new()).await);
    conflict(store.load(Revision(5), vec![entry("a", 6)]).await);
    store.load(Revision(5), vec![entry("a", 5), entry("b", 1)]).await.unwrap();
    conflict(store.load(Revision(5), vec![entry("c", 1), entry("a", 2)]).await);
    conflict(store.load(Revision(6), vec![entry("c", 1)]).await);
    assert_eq!(value(&*store, "c").await, None);
    assert_eq!(store.get(&key("a")).await.unwrap().unwrap().revision, Revision(5));
    store.load(Revision(5), vec![entry("c", 2)]).await.unwrap();
    assert_eq!(value(&*store, "c").await.unwrap(), "x");
}
