//! Batches: expectations, atomicity, limits and revisions.

use coffer_storage::{Batch, Error, Expect, Key, Revision, Sealed};

use crate::backend::{Backend, check, commit, delete, delete_if, limit, prefix, put, put_if, revision, value};

pub(crate) async fn expectations_hold_and_fail_as_documented(backend: Backend) {
    let store = backend.open().await;
    let store = &*store;
    let first = commit(store, vec![put_if("a", "1", Expect::Absent)]).await.unwrap();
    let other = Expect::Revision(Revision(first.0 + 1000));

    for refused in [
        check("a", Expect::Absent),
        check("a", other),
        check("missing", Expect::Revision(first)),
        put_if("a", "x", Expect::Absent),
        put_if("a", "x", other),
        put_if("missing", "x", Expect::Revision(first)),
        put_if("missing", "x", Expect::Revision(Revision(0))),
        put_if("a", "x", Expect::Revision(Revision(u64::MAX))),
        delete_if("a", Expect::Absent),
        delete_if("a", other),
        delete_if("missing", Expect::Revision(first)),
    ] {
        let shown = format!("{refused:?}");
        let outcome = commit(store, vec![refused]).await;
        assert!(matches!(outcome, Err(Error::Conflict)), "{shown}: {outcome:?}");
        assert_eq!(value(store, "a").await.unwrap(), "1", "{shown}");
        assert_eq!(value(store, "missing").await, None, "{shown}");
    }

    commit(store, vec![check("a", Expect::Revision(first)), check("missing", Expect::Absent)]).await.unwrap();
    assert_eq!(revision(store, "a").await, Some(first), "a check writes nothing");
    let second = commit(store, vec![put_if("a", "2", Expect::Revision(first))]).await.unwrap();
    assert_eq!(revision(store, "a").await, Some(second));
    let stale = commit(store, vec![put_if("a", "3", Expect::Revision(first))]).await;
    assert!(matches!(stale, Err(Error::Conflict)));
    commit(store, vec![delete_if("missing", Expect::Absent), delete_if("a", Expect::Revision(second))]).await.unwrap();
    assert_eq!(value(store, "a").await, None);
    commit(store, vec![put_if("a", "4", Expect::Absent)]).await.unwrap();
}

pub(crate) async fn batch_with_one_failing_expectation_changes_nothing(backend: Backend) {
    let store = backend.open().await;
    let store = &*store;
    commit(store, vec![put("kept", "old"), put("gone", "old")]).await.unwrap();
    for place in 0..4 {
        let mut changes = vec![put("kept", "new"), delete("gone"), put("made", "new")];
        changes.insert(place, check("absent", Expect::Revision(Revision(1))));
        assert!(matches!(commit(store, changes).await, Err(Error::Conflict)));
        assert_eq!(value(store, "kept").await.unwrap(), "old");
        assert_eq!(value(store, "gone").await.unwrap(), "old");
        assert_eq!(value(store, "made").await, None);
    }
}

pub(crate) async fn batch_with_deletes_removes_only_its_keys(backend: Backend) {
    let store = backend.open().await;
    let store = &*store;
    commit(store, vec![put("a", "1"), put("a\x00", "2"), put("b", "3")]).await.unwrap();
    commit(store, vec![delete("a"), delete("never there")]).await.unwrap();
    let page = store.scan_keys(&prefix(""), None, limit(10)).await.unwrap();
    let keys: Vec<&[u8]> = page.items.iter().map(Key::as_bytes).collect();
    assert_eq!(keys, [b"a\x00".as_slice(), b"b"]);
}

pub(crate) async fn entries_of_one_batch_share_its_revision(backend: Backend) {
    let store = backend.open().await;
    let store = &*store;
    commit(store, vec![put("before", "x")]).await.unwrap();
    let made = commit(store, vec![put("a", "x"), put("b", "x"), put("c", "x")]).await.unwrap();
    for name in ["a", "b", "c"] {
        assert_eq!(revision(store, name).await, Some(made));
    }
    let page = store.scan(&prefix(""), None, limit(10)).await.unwrap();
    assert_eq!(page.items.iter().filter(|(_, entry)| entry.revision == made).count(), 3);
}

pub(crate) async fn revisions_increase_strictly(backend: Backend) {
    let store = backend.open().await;
    let mut last = Revision(0);
    for round in 0..50 {
        let made = commit(&*store, vec![put("a", round.to_string())]).await.unwrap();
        assert!(made > last, "{made:?} after {last:?}");
        last = made;
        let refused = commit(&*store, vec![put_if("a", "x", Expect::Absent)]).await;
        assert!(matches!(refused, Err(Error::Conflict)));
    }
    // The highest revision must not be forgotten with the entry that carried it.
    let deleted = commit(&*store, vec![delete("a")]).await.unwrap();
    assert!(deleted > last);
    assert!(commit(&*store, vec![put("b", "x")]).await.unwrap() > deleted);
}

pub(crate) async fn batch_changing_nothing_has_a_revision(backend: Backend) {
    let store = backend.open().await;
    let first = commit(&*store, vec![]).await.unwrap();
    let second = commit(&*store, vec![check("missing", Expect::Absent)]).await.unwrap();
    assert!(second > first);
}

pub(crate) async fn batch_naming_a_key_twice_is_invalid(backend: Backend) {
    let store = backend.open().await;
    for second in [put("a", "2"), delete("a"), check("a", Expect::Absent)] {
        let outcome = commit(&*store, vec![put("a", "1"), put("b", "1"), second]).await;
        assert!(matches!(outcome, Err(Error::Invalid(_))), "{outcome:?}");
    }
    assert_eq!(value(&*store, "a").await, None);
}

pub(crate) async fn batch_beyond_its_limits_is_refused(backend: Backend) {
    let store = backend.open().await;
    let store = &*store;
    let large = vec![7; Sealed::MAX];
    let most = Batch::MAX_BYTES / Sealed::MAX;
    let heavy = commit(store, (0..most).map(|n| put(n.to_string(), &large)).collect()).await;
    assert!(matches!(heavy, Err(Error::TooLarge { .. })), "{heavy:?}");
    let long = commit(store, (0..=Batch::MAX_CHANGES).map(|n| put(n.to_string(), "")).collect()).await;
    assert!(matches!(long, Err(Error::TooLarge { .. })), "{long:?}");
    assert!(store.scan_keys(&prefix(""), None, limit(1)).await.unwrap().items.is_empty());

    commit(store, (0..most - 1).map(|n| put(n.to_string(), &large)).collect()).await.unwrap();
    commit(store, (0..Batch::MAX_CHANGES).map(|n| put(n.to_string(), "")).collect()).await.unwrap();
    assert_eq!(value(store, "9999").await.unwrap(), "");
}
