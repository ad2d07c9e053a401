//! Many callers at once: what is committed together still succeeds or fails one by one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coffer_storage::{Batch, Change, Epoch, Error, Expect, Revision, Sealed, Store};
use tokio::task::JoinSet;

use crate::backend::{Backend, Engine, check, commit, key, put, put_if, revision, value};

/// Submits every batch at once and returns the outcomes in the order of the batches.
async fn all(store: &Arc<dyn Store>, batches: Vec<Batch>) -> Vec<Result<Revision, Error>> {
    let mut tasks = JoinSet::new();
    for (number, batch) in batches.into_iter().enumerate() {
        let store = Arc::clone(store);
        tasks.spawn(async move { (number, store.commit(batch).await) });
    }
    let mut outcomes = tasks.join_all().await;
    outcomes.sort_by_key(|(number, _)| *number);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// Whether transactions with at least eight committed batches were seen.
fn grouped(store: &Arc<dyn Store>) -> bool {
    store.stats().group_sizes[3..].iter().sum::<u64>() > 0
}

pub(crate) async fn failing_batches_of_a_group_fail_alone(backend: Backend) {
    let store = backend.open().await;
    let epoch = store.lead("node", "", Duration::from_secs(60)).await.unwrap().unwrap();
    let old = commit(&*store, vec![put("shared", "old")]).await.unwrap();
    let new = commit(&*store, vec![put("shared", "new")]).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    for round in 0.. {
        let name = |number: usize| format!("{round}/{number}");
        let batches = (0..60).map(|number| {
            let (epoch, guard) = match number % 6 {
                1 => (Some(epoch), check("shared", Expect::Revision(old))),
                3 => (Some(Epoch(epoch.0 + 1)), check("shared", Expect::Revision(new))),
                _ => (Some(epoch), check("shared", Expect::Revision(new))),
            };
            Batch { epoch, changes: vec![put(name(number), name(number)), guard], ..Batch::default() }
        });
        let outcomes = all(&store, batches.collect()).await;
        let mut revisions = Vec::new();
        for (number, outcome) in outcomes.into_iter().enumerate() {
            let stored = store.get(&key(name(number))).await.unwrap();
            match number % 6 {
                1 => assert!(matches!(outcome, Err(Error::Conflict)) && stored.is_none(), "{outcome:?}"),
                3 => assert!(matches!(outcome, Err(Error::Fenced)) && stored.is_none(), "{outcome:?}"),
                _ => {
                    let stored = stored.unwrap();
                    assert_eq!(stored.value, name(number));
                    assert_eq!(stored.revision, outcome.unwrap());
                    revisions.push(stored.revision);
                }
            }
        }
        revisions.sort();
        assert!(revisions.is_sorted_by(|a, b| a < b), "each batch has a revision of its own");
        if backend.engine == Engine::Memory || grouped(&store) {
            return;
        }
        assert!(Instant::now() < deadline, "no group of eight batches came about: {:?}", store.stats());
    }
}

pub(crate) async fn concurrent_batches_on_one_key_are_ordered(backend: Backend) {
    let store = backend.open().await;
    let deadline = Instant::now() + Duration::from_secs(60);
    for round in 0.. {
        // Exactly one can create the key, whether or not they meet in one group.
        let name = format!("key {round}");
        let create = |number: usize| vec![put_if(&name, number.to_string(), Expect::Absent)];
        let batches = (0..40).map(|number| Batch { changes: create(number), ..Batch::default() });
        let outcomes = all(&store, batches.collect()).await;
        let winners: Vec<usize> = (0..40).filter(|number| outcomes[*number].is_ok()).collect();
        assert_eq!(winners.len(), 1);
        assert!(outcomes.iter().all(|outcome| matches!(outcome, Ok(_) | Err(Error::Conflict))));
        assert_eq!(value(&*store, &name).await.unwrap(), winners[0].to_string());

        // Of writes without expectation the one with the highest revision stays, also after deletes in between.
        let batches = (0..40).map(|number| Batch {
            changes: vec![match number % 4 {
                0 => Change::Delete { key: key(&name), expect: None },
                _ => put(&name, number.to_string()),
            }],
            ..Batch::default()
        });
        let outcomes = all(&store, batches.collect()).await;
        let revisions: Vec<Revision> = outcomes.into_iter().map(Result::unwrap).collect();
        let last = (0..40).max_by_key(|number| revisions[*number]).unwrap();
        match last % 4 {
            0 => assert_eq!(value(&*store, &name).await, None),
            _ => {
                assert_eq!(value(&*store, &name).await.unwrap(), last.to_string());
                assert_eq!(revision(&*store, &name).await, Some(revisions[last]));
            }
        }
        if backend.engine == Engine::Memory || grouped(&store) {
            return;
        }
        assert!(Instant::now() < deadline, "no group of eight batches came about: {:?}", store.stats());
    }
}

pub(crate) async fn concurrent_counters_lose_no_increment(backend: Backend) {
    const WRITERS: usize = 64;
    const INCREMENTS: usize = 4;
    let store = backend.open().await;
    let mut tasks = JoinSet::new();
    for _ in 0..WRITERS {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for _ in 0..INCREMENTS {
                increment(&*store).await;
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(value(&*store, "counter").await.unwrap(), (WRITERS * INCREMENTS).to_string());
}

async fn increment(store: &dyn Store) {
    loop {
        let (count, expect) = match store.get(&key("counter")).await.unwrap() {
            Some(entry) => {
                let count: usize = std::str::from_utf8(&entry.value).unwrap().parse().unwrap();
                (count, Expect::Revision(entry.revision))
            }
            None => (0, Expect::Absent),
        };
        match commit(store, vec![put_if("counter", (count + 1).to_string(), expect)]).await {
            Ok(made) => {
                // Every commit that returned is visible, or has been overwritten since.
                assert!(revision(store, "counter").await.unwrap() >= made);
                return;
            }
            Err(Error::Conflict) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
}

pub(crate) async fn readers_see_batches_whole(backend: Backend) {
    let store = backend.open().await;
    let pair = |text: &str| vec![put("pair/a", text), put("pair/b", text)];
    commit(&*store, pair("start")).await.unwrap();
    let writing = Arc::clone(&store);
    let writer = tokio::spawn(async move {
        for round in 0..100 {
            commit(&*writing, pair(&round.to_string())).await.unwrap();
        }
    });
    let prefix = crate::backend::prefix("pair/");
    while !writer.is_finished() {
        let page = store.scan(&prefix, None, crate::backend::limit(10)).await.unwrap();
        assert_eq!(page.items.len(), 2);
        assert_eq!(page.items[0].1, page.items[1].1);
    }
    writer.await.unwrap();
}

pub(crate) async fn large_batches_at_once_are_all_committed(backend: Backend) {
    let store = backend.open().await;
    // More than may wait for the writer at once: the rest waits outside.
    let batches =
        (0..24_u8).map(|number| Batch { changes: vec![put([number], vec![number; Sealed::MAX])], ..Batch::default() });
    for outcome in all(&store, batches.collect()).await {
        outcome.unwrap();
    }
    for number in 0..24_u8 {
        assert!(value(&*store, [number]).await.unwrap().iter().all(|byte| *byte == number));
    }
}
