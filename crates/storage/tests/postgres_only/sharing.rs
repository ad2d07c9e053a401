//! Several servers on one database.

use std::sync::Arc;
use std::time::Duration;

use coffer_storage::{Error, Expect, Store, open};
use tokio::task::JoinSet;

use crate::backend::{Backend, commit, commit_under, key, put, put_if, revision, value};

const LEASE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_opened_by_many_at_once_is_created_once() {
    let backend = Backend::postgres();
    let mut tasks = JoinSet::new();
    for number in 0..12 {
        let url = backend.url.clone();
        tasks.spawn(async move {
            let store = open(&url).await.unwrap();
            commit(&*store, vec![put(number.to_string(), "x")]).await.unwrap();
            store.close().await;
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let store = backend.open().await;
    for number in 0..12 {
        assert!(value(&*store, number.to_string()).await.is_some());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_stores_see_and_exclude_each_other() {
    let backend = Backend::postgres();
    let (one, two) = (backend.open().await, backend.open().await);
    let made = commit(&*one, vec![put_if("a", "one", Expect::Absent)]).await.unwrap();
    assert_eq!(value(&*two, "a").await.unwrap(), "one");
    assert!(matches!(commit(&*two, vec![put_if("a", "two", Expect::Absent)]).await, Err(Error::Conflict)));
    let next = commit(&*two, vec![put_if("a", "two", Expect::Revision(made))]).await.unwrap();
    assert!(next > made);
    assert_eq!(revision(&*one, "a").await, Some(next));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_counters_over_two_stores_lose_no_increment() {
    let backend = Backend::postgres();
    let stores = [backend.open().await, backend.open().await];
    let mut tasks = JoinSet::new();
    for number in 0..8 {
        let store = Arc::clone(&stores[number % 2]);
        tasks.spawn(async move {
            let mut revisions = Vec::new();
            while revisions.len() < 10 {
                let (count, expect) = match store.get(&key("counter")).await.unwrap() {
                    Some(entry) => {
                        let count: usize = std::str::from_utf8(&entry.value).unwrap().parse().unwrap();
                        (count, Expect::Revision(entry.revision))
                    }
                    None => (0, Expect::Absent),
                };
                match commit(&*store, vec![put_if("counter", (count + 1).to_string(), expect)]).await {
                    Ok(made) => revisions.push(made),
                    Err(Error::Conflict) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
            revisions
        });
    }
    let mut revisions: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(value(&*stores[0], "counter").await.unwrap(), "80");
    revisions.sort();
    revisions.dedup();
    assert_eq!(revisions.len(), 80, "no two commits share a revision, whichever store made them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_leadership_is_refused_while_another_lease_runs() {
    let backend = Backend::postgres();
    let (one, two) = (backend.open().await, backend.open().await);
    let first = one.lead("one", "https://one", LEASE).await.unwrap().unwrap();
    assert_eq!(two.lead("two", "https://two", LEASE).await.unwrap(), None);
    assert_eq!(one.lead("one", "https://one", LEASE).await.unwrap(), None, "not even to the same node");
    let seen = two.leader().await.unwrap().unwrap();
    assert_eq!((seen.epoch, seen.node.as_str(), seen.address.as_str()), (first, "one", "https://one"));
    commit_under(&*one, first, vec![put("a", "one")]).await.unwrap();

    one.release(first).await.unwrap();
    let second = two.lead("two", "https://two", LEASE).await.unwrap().unwrap();
    assert!(second > first);
    assert!(matches!(commit_under(&*one, first, vec![put("a", "stale")]).await, Err(Error::Fenced)));
    assert!(matches!(one.renew(first, LEASE).await, Err(Error::Fenced)));
    assert!(matches!(one.release(first).await, Err(Error::Fenced)));
    assert_eq!(one.lead("one", "https://one", LEASE).await.unwrap(), None);
    commit_under(&*two, second, vec![put("a", "two")]).await.unwrap();
    assert_eq!(value(&*one, "a").await.unwrap(), "two");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_leadership_contended_goes_to_exactly_one() {
    let backend = Backend::postgres();
    let mut stores: Vec<Arc<dyn Store>> = Vec::new();
    for _ in 0..4 {
        stores.push(backend.open().await);
    }
    for round in 1..=5 {
        let mut tasks = JoinSet::new();
        for (number, store) in stores.iter().cloned().enumerate() {
            tasks.spawn(async move {
                let epoch = store.lead(&format!("node {number}"), "", LEASE).await.unwrap();
                epoch.map(|epoch| (number, epoch))
            });
        }
        let winners: Vec<_> = tasks.join_all().await.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1);
        let (number, epoch) = winners[0];
        assert_eq!(epoch.0, round);
        assert_eq!(stores[0].leader().await.unwrap().unwrap().node, format!("node {number}"));
        stores[number].release(epoch).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_old_leader_writing_during_a_takeover_is_fenced_from_then_on() {
    let backend = Backend::postgres();
    let (old, new) = (backend.open().await, backend.open().await);
    let first = old.lead("old", "", LEASE).await.unwrap().unwrap();
    let writing = Arc::clone(&old);
    let writer = tokio::spawn(async move {
        let mut last = None;
        for round in 0_u64.. {
            match commit_under(&*writing, first, vec![put("owner", round.to_string())]).await {
                Ok(made) => last = Some(made),
                Err(Error::Fenced) => break,
                Err(other) => panic!("{other:?}"),
            }
        }
        last
    });
    super::safety::until(async || value(&*new, "owner").await.is_some()).await;
    old.release(first).await.unwrap();
    let second = new.lead("new", "", LEASE).await.unwrap().unwrap();
    let taken = commit_under(&*new, second, vec![put("owner", "new")]).await.unwrap();
    let last = writer.await.unwrap().unwrap();
    assert!(last < taken, "the old leader committed at {last:?}, after {taken:?}");
    assert_eq!(value(&*new, "owner").await.unwrap(), "new");
}
