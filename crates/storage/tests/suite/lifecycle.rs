//! Opening, closing, reopening, and calls that are given up.

use std::sync::Arc;
use std::time::Duration;

use coffer_storage::{Error, Expect, Purged};
use tokio::task::JoinSet;

use crate::backend::{Backend, Engine, commit, commit_under, delete, key, limit, prefix, put, put_if, value};

pub(crate) async fn reopened_store_has_everything_and_goes_on_counting(backend: Backend) {
    if backend.engine == Engine::Memory {
        let store = backend.open().await;
        commit(&*store, vec![put("a", "x")]).await.unwrap();
        assert_eq!(value(&*backend.open().await, "a").await, None, "each memory store is its own");
        return;
    }
    let mut last = Default::default();
    let mut epoch = None;
    for round in 0..3 {
        let store = backend.open().await;
        let leader = store.leader().await.unwrap();
        assert_eq!(leader.as_ref().map(|leader| leader.epoch), epoch);
        for earlier in 0..round {
            assert_eq!(value(&*store, format!("round {earlier}")).await.unwrap(), "kept");
        }
        assert_eq!(value(&*store, "deleted").await, None);
        let led = store.lead("node", "address", Duration::from_secs(60)).await.unwrap().unwrap();
        assert!(Some(led) > epoch);
        let made = commit_under(&*store, led, vec![put(format!("round {round}"), "kept"), put("deleted", "x")]).await;
        assert!(made.as_ref().unwrap() > &last);
        last = commit(&*store, vec![delete("deleted")]).await.unwrap();
        epoch = Some(led);
        store.release(led).await.unwrap();
        // Both ways to end leave nothing behind that keeps the next one out.
        if round == 0 {
            store.close().await;
        }
        drop(store);
    }
}

pub(crate) async fn closed_store_refuses_everything_and_closes_twice(backend: Backend) {
    let store = backend.open().await;
    commit(&*store, vec![put("a", "x")]).await.unwrap();
    let epoch = store.lead("node", "", Duration::from_secs(60)).await.unwrap().unwrap();
    store.close().await;
    store.close().await;
    let unavailable = |error: Error| assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    unavailable(store.get(&key("a")).await.unwrap_err());
    unavailable(store.scan(&prefix(""), None, limit(1)).await.unwrap_err());
    unavailable(store.scan_keys(&prefix(""), None, limit(1)).await.unwrap_err());
    unavailable(commit(&*store, vec![put("a", "y")]).await.unwrap_err());
    unavailable(store.purge().await.unwrap_err());
    unavailable(store.leader().await.unwrap_err());
    unavailable(store.lead("node", "", Duration::from_secs(60)).await.unwrap_err());
    unavailable(store.renew(epoch, Duration::from_secs(60)).await.unwrap_err());
    unavailable(store.release(epoch).await.unwrap_err());
    assert!(store.stats().commits >= 1);
}

pub(crate) async fn purge_keeps_what_is_there_and_everybody_goes_on(backend: Backend) {
    let store = backend.open().await;
    // Also of a store in which nothing happened yet.
    let mut purged = store.purge().await.unwrap();
    let mut tasks = JoinSet::new();
    for number in 0..50 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            commit(&*store, vec![put(format!("kept/{number}"), "x"), put(format!("gone/{number}"), "y")])
                .await
                .unwrap();
            commit(&*store, vec![delete(format!("gone/{number}"))]).await.unwrap();
            assert_eq!(value(&*store, format!("kept/{number}")).await.unwrap(), "x");
        });
    }
    // While others write it may have to be asked again; when nobody does it is done at once.
    let _ = store.purge().await.unwrap();
    tasks.join_all().await;
    assert_eq!(purged, Purged::Whole);
    purged = store.purge().await.unwrap();
    assert_eq!(purged, Purged::Whole);
    let page = store.scan(&prefix(""), None, limit(1000)).await.unwrap();
    assert_eq!(page.items.len(), 50);
    assert!(page.items.iter().all(|(key, entry)| key.as_bytes().starts_with(b"kept/") && entry.value == "x"));
    commit(&*store, vec![put("after", "fine")]).await.unwrap();
}

pub(crate) async fn commit_still_running_when_closing_is_answered(backend: Backend) {
    let store = backend.open().await;
    let mut tasks = JoinSet::new();
    for number in 0..100 {
        let store = Arc::clone(&store);
        tasks.spawn(async move { (number, commit(&*store, vec![put(number.to_string(), "x")]).await) });
    }
    let first = tasks.join_next().await.unwrap().unwrap();
    store.close().await;
    let mut outcomes = tasks.join_all().await;
    outcomes.push(first);
    let committed: Vec<i32> = outcomes
        .into_iter()
        .filter_map(|(number, outcome)| match outcome {
            Ok(_) => Some(number),
            Err(Error::Unavailable { .. }) => None,
            Err(other) => panic!("{other:?}"),
        })
        .collect();
    assert!(!committed.is_empty());
    if backend.engine == Engine::Memory {
        return;
    }
    let store = backend.open().await;
    for number in 0..100 {
        let expected = committed.contains(&number);
        assert_eq!(value(&*store, number.to_string()).await.is_some(), expected, "{number}");
    }
}

pub(crate) async fn dropped_calls_do_not_harm_later_ones(backend: Backend) {
    let store = backend.open().await;
    let large = vec![1; 1024 * 1024];
    for number in 0..64 {
        let name = format!("dropped/{number}");
        // Polled once, so that it may have been sent, and given up.
        let sent = tokio::time::timeout(Duration::ZERO, commit(&*store, vec![put(&name, &large)])).await;
        drop(sent);
        drop(tokio::time::timeout(Duration::ZERO, store.get(&key(&name))).await);
        drop(tokio::time::timeout(Duration::ZERO, store.scan(&prefix(""), None, limit(10))).await);
    }
    commit(&*store, vec![put("after", "fine")]).await.unwrap();
    assert_eq!(value(&*store, "after").await.unwrap(), "fine");
    let page = store.scan(&prefix("dropped/"), None, limit(100)).await.unwrap();
    assert!(page.items.iter().all(|(_, entry)| entry.value == large));
}

pub(crate) async fn stats_count_commits_conflicts_and_rows(backend: Backend) {
    let store = backend.open().await;
    commit(&*store, vec![put("a", "1234"), put("b", "")]).await.unwrap();
    commit(&*store, vec![delete("b")]).await.unwrap();
    let refused = commit(&*store, vec![put_if("a", "x", Expect::Absent)]).await;
    assert!(matches!(refused, Err(Error::Conflict)));
    let stats = store.stats();
    assert_eq!((stats.commits, stats.conflicts, stats.fenced, stats.failures), (2, 1, 0, 0));
    assert_eq!((stats.rows_written, stats.rows_deleted, stats.bytes_written), (2, 1, 7));
    assert_eq!((stats.groups, stats.group_sizes[0]), (2, 2));
    assert_eq!(stats.file_bytes.is_some(), backend.engine == Engine::Sqlite);
    assert_eq!(stats.wal_bytes.is_some(), backend.engine == Engine::Sqlite);
}
