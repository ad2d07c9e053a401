//! Leadership: one epoch at a time, and nothing is written under another.

use std::time::{Duration, Instant};

use coffer_storage::{Epoch, Error};

use crate::backend::{Backend, commit, commit_under, put, value};

const LEASE: Duration = Duration::from_secs(60);

pub(crate) async fn leader_is_reported_with_its_lease(backend: Backend) {
    let store = backend.open().await;
    assert_eq!(store.leader().await.unwrap(), None);
    let epoch = store.lead("node-1", "https://one.example:8200", LEASE).await.unwrap().unwrap();
    let leader = store.leader().await.unwrap().unwrap();
    assert_eq!(
        (leader.epoch, leader.node.as_str(), leader.address.as_str()),
        (epoch, "node-1", "https://one.example:8200")
    );
    assert!(leader.remaining > LEASE / 2 && leader.remaining <= LEASE, "{leader:?}");
    store.renew(epoch, LEASE * 2).await.unwrap();
    let leader = store.leader().await.unwrap().unwrap();
    assert!(leader.remaining > LEASE && leader.remaining <= LEASE * 2, "{leader:?}");
    assert_eq!(leader.epoch, epoch);
    store.release(epoch).await.unwrap();
    assert_eq!(store.leader().await.unwrap().unwrap().remaining, Duration::ZERO);
}

pub(crate) async fn leadership_passes_on_after_release(backend: Backend) {
    let store = backend.open().await;
    let first = store.lead("node-1", "", LEASE).await.unwrap().unwrap();
    store.release(first).await.unwrap();
    let second = store.lead("node-2", "", Duration::from_millis(1)).await.unwrap().unwrap();
    assert!(second > first);
    // The lease of one millisecond ends by itself.
    let deadline = Instant::now() + Duration::from_secs(30);
    let third = loop {
        if let Some(epoch) = store.lead("node-3", "", LEASE).await.unwrap() {
            break epoch;
        }
        assert!(Instant::now() < deadline, "the lease did not end");
    };
    assert!(third > second);
    assert_eq!(store.leader().await.unwrap().unwrap().node, "node-3");
}

pub(crate) async fn batch_under_an_old_epoch_is_fenced_and_changes_nothing(backend: Backend) {
    let store = backend.open().await;
    let store = &*store;
    let first = store.lead("node-1", "", LEASE).await.unwrap().unwrap();
    commit_under(store, first, vec![put("a", "first")]).await.unwrap();
    store.release(first).await.unwrap();
    commit_under(store, first, vec![put("a", "still first")]).await.expect("nobody else took it yet");
    let second = store.lead("node-2", "", LEASE).await.unwrap().unwrap();
    for stale in [first, Epoch(0), Epoch(second.0 + 1), Epoch(u64::MAX)] {
        let outcome = commit_under(store, stale, vec![put("a", "stale")]).await;
        assert!(matches!(outcome, Err(Error::Fenced)), "{outcome:?}");
        assert_eq!(value(store, "a").await.unwrap(), "still first");
    }
    commit_under(store, second, vec![put("a", "second")]).await.unwrap();
    commit(store, vec![put("a", "no epoch")]).await.unwrap();
    assert_eq!(store.stats().fenced, 4);
}

pub(crate) async fn batch_under_no_leader_is_fenced(backend: Backend) {
    let store = backend.open().await;
    let outcome = commit_under(&*store, Epoch(1), vec![put("a", "x")]).await;
    assert!(matches!(outcome, Err(Error::Fenced)), "{outcome:?}");
    assert_eq!(value(&*store, "a").await, None);
}

pub(crate) async fn renewal_under_an_old_epoch_is_fenced(backend: Backend) {
    let store = backend.open().await;
    assert!(matches!(store.renew(Epoch(1), LEASE).await, Err(Error::Fenced)));
    assert!(matches!(store.release(Epoch(1)).await, Err(Error::Fenced)));
    let first = store.lead("node-1", "", LEASE).await.unwrap().unwrap();
    store.release(first).await.unwrap();
    let second = store.lead("node-2", "", LEASE).await.unwrap().unwrap();
    assert!(matches!(store.renew(first, LEASE).await, Err(Error::Fenced)));
    assert!(matches!(store.release(first).await, Err(Error::Fenced)));
    assert!(store.leader().await.unwrap().unwrap().remaining > Duration::ZERO, "the stale release did nothing");
    store.renew(second, LEASE).await.unwrap();
}

pub(crate) async fn names_beyond_their_limits_are_refused(backend: Backend) {
    let store = backend.open().await;
    for (node, address, lease) in [
        ("", "", LEASE),
        ("a\0b", "", LEASE),
        ("a", "x\ny", LEASE),
        ("a", "", Duration::ZERO),
        ("a", "", Duration::from_secs(86_401)),
    ] {
        assert!(
            matches!(store.lead(node, address, lease).await, Err(Error::Invalid(_))),
            "{node:?} {address:?} {lease:?}"
        );
    }
    assert!(matches!(store.lead(&"n".repeat(256), "", LEASE).await, Err(Error::TooLarge { .. })));
    assert_eq!(store.leader().await.unwrap(), None);
    let epoch = store.lead("nöde", "", LEASE).await.unwrap().unwrap();
    assert!(matches!(store.renew(epoch, Duration::ZERO).await, Err(Error::Invalid(_))));
}
