//! Terms and counters of a running core, their limits reached by setting what is counted.

use coffer_api::{Sensitive, secrets::SetOptions};
use coffer_storage::Key;

use super::*;
use crate::{
    Core,
    barrier::MAX_SEALS,
    tests::{caller, config, dev, facts},
};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the store says was reserved for a term.
async fn stored(active: &Active, term: u32) -> u64 {
    let row = counter_row(term);
    let entry = active.store.get(&Key::new(row.clone()).unwrap()).await.unwrap().unwrap();
    codec::decode::<Reservation>(&row, &active.barrier.open(&row, &entry.value).unwrap()).unwrap().total
}

#[tokio::test]
async fn counters_are_reserved_in_blocks_and_a_restart_gives_up_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let mut token = None;
    for start in 1..=3 {
        let core = Core::start(config(dir.path())).await.unwrap().0;
        let active = core.active().unwrap();
        // Far fewer seals were made; nothing of an earlier block is left, and the store knows before it is used.
        assert_eq!((active.barrier.term(), active.barrier.seals()), (1, start * BLOCK));
        assert_eq!(stored(&active, 1).await, start * BLOCK);
        assert!(active.barrier.wanted_block().is_none());
        if token.is_none() {
            let initial = std::fs::read_to_string(dir.path().join("initial-token")).unwrap();
            let cx = caller(&core, initial.trim()).await.cx.as_ref().clone();
            token = Some(core.login_initial(cx, initial.trim()).await.unwrap().token);
        }
        let admin = caller(&core, token.as_ref().unwrap().expose()).await;
        let (scope, name) = ("acme".parse().unwrap(), "KEY".parse().unwrap());
        let set = admin.secret_set(&scope, &name, &Sensitive::from("x"), SetOptions::default()).await.unwrap();
        assert_eq!(set.version, start);
        drop((admin, active));
        core.shutdown().await;
    }
}

#[tokio::test]
async fn block_that_was_stored_and_never_granted_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let core = Core::start(config(dir.path())).await.unwrap().0;
    let active = core.active().unwrap();
    // As a crash right after the commit of the row leaves it.
    let (row, block) = (counter_row(1), active.barrier.next_block());
    let mut edit = Edit::default();
    let sealed = block.seal(&row, &[&codec::encode(&Reservation { total: block.total() }).unwrap()]).unwrap();
    edit.put_sealed(row, sealed, None);
    active.commit_bookkeeping(edit).await.unwrap();
    assert_eq!((active.barrier.seals(), stored(&active, 1).await), (BLOCK, 2 * BLOCK));
    drop(active);
    core.shutdown().await;
    let core = Core::start(config(dir.path())).await.unwrap().0;
    let active = core.active().unwrap();
    assert_eq!((active.barrier.seals(), stored(&active, 1).await), (3 * BLOCK, 3 * BLOCK));
    drop(active);
    core.shutdown().await;
}

#[tokio::test]
async fn term_ends_before_its_seals_do_and_old_values_stay_readable() {
    let dir = tempfile::tempdir().unwrap();
    let core = Core::start(config(dir.path())).await.unwrap().0;
    let initial = std::fs::read_to_string(dir.path().join("initial-token")).unwrap();
    let admin = caller(&core, initial.trim()).await;
    let (scope, name) = ("acme".parse().unwrap(), "KEY".parse().unwrap());
    admin.secret_set(&scope, &name, &Sensitive::from("one"), SetOptions::default()).await.unwrap();
    let active = core.active().unwrap();
    reserve(&active).await.unwrap();
    assert_eq!((active.barrier.term(), active.barrier.seals()), (1, BLOCK), "half a block is left, and seals are many");
    // From here on the node's own housekeeping does it.
    active.barrier.resume(MAX_SEALS - BLOCK);
    while active.barrier.term() == 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!((active.barrier.term(), active.barrier.seals(), stored(&active, 2).await), (2, BLOCK, BLOCK));
    assert_eq!(stored(&active, 1).await, BLOCK, "nothing more was reserved for the term that ended");
    // The term is in force a moment before its record can be read.
    let recorded = loop {
        let recorded = facts(&admin, "barrier.rotate").await;
        if !recorded.is_empty() {
            break recorded;
        }
    };
    assert_eq!(recorded.len(), 1);
    assert_eq!((&recorded[0]["reason"], &recorded[0]["term"]), (&"its seals are used up".into(), &"2".into()));
    admin.secret_set(&scope, &name, &Sensitive::from("two"), SetOptions::default()).await.unwrap();
    drop((admin, active));
    core.shutdown().await;

    let core = Core::start(config(dir.path())).await.unwrap().0;
    let active = core.active().unwrap();
    assert_eq!((active.barrier.term(), active.barrier.seals()), (2, 2 * BLOCK));
    let admin = caller(&core, initial.trim()).await;
    for (version, text) in [(1, "one"), (2, "two")] {
        assert_eq!(admin.secret_get(&scope, &name, Some(version)).await.unwrap().value.expose(), text);
    }
    drop((admin, active));
    core.shutdown().await;
}

#[tokio::test]
async fn sweep_of_keys_that_waits_holds_up_neither_housekeeping_nor_a_stop() {
    let core = dev().await;
    let active = core.active().unwrap();
    // As while a rotation waits for primes.
    let turn = active.key_sweep.lock().await;
    for term in 1..=2 {
        active.barrier.resume(MAX_SEALS - BLOCK);
        let next = async {
            while active.barrier.term() == term {
                tokio::time::sleep(TICK).await;
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("housekeeping goes on");
    }
    let sweep = tokio::spawn(key::sweep::keep(Arc::clone(&active)));
    tokio::task::yield_now().await;
    let stopping = tokio::spawn(async move { core.shutdown().await });
    let tasks_ended = async {
        // What is left is the node's own and this one.
        while Arc::strong_count(&active) > 2 {
            tokio::time::sleep(TICK).await;
        }
    };
    tokio::time::timeout(PATIENCE, tasks_ended).await.expect("nobody waits for the sweep");
    sweep.await.unwrap();
    drop(turn);
    drop(active);
    stopping.await.unwrap();
}

#[tokio::test]
async fn term_ends_at_its_age_and_not_before() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let active = core.active().unwrap();
    let most = milliseconds(active.limits.term_max_age);
    let began = async |term, age| {
        let mut edit = Edit::default();
        let row = TermBegan { term, began_ms: active.clock.now() - age };
        edit.put(keys::TERM_BEGAN, codec::encode(&row).unwrap(), None);
        active.commit(edit, Record::system("test.age"), Urgency::Ordinary).await.unwrap().spend();
    };
    began(1, most - 60_000).await;
    rotate_if_old(&active).await.unwrap();
    assert_eq!(active.barrier.term(), 1);
    began(1, most).await;
    rotate_if_old(&active).await.unwrap();
    assert_eq!(active.barrier.term(), 2);
    rotate_if_old(&active).await.unwrap();
    assert_eq!(active.barrier.term(), 2, "the new term is young");
    assert_eq!(facts(&root, "barrier.rotate").await[0]["reason"], "its age");
    drop((root, active));
    core.shutdown().await;
}
