//! Uses of versions with random nonces are counted in blocks, never downwards, and end with a rotation.

use coffer_api::Code;

use super::{caller, config, dev_with_keys, facts};
use crate::{
    Core, KeyAlgorithm, KeyCreate, Mount, MountEnable, MountKind, codec,
    commit::Edit,
    engine::key::uses::{USE_BLOCK, counter_row, rotate_spent},
    seal::root::Reservation,
};

async fn engine(root: &crate::Caller) -> std::sync::Arc<Mount> {
    root.resolve("transit/keys/k").unwrap()
}

#[tokio::test]
async fn counter_goes_on_from_what_was_reserved_after_every_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut id = None;
    for start in 1..=3_u64 {
        let core = Core::start(config(dir.path())).await.unwrap().0;
        let initial = std::fs::read_to_string(dir.path().join("initial-token")).unwrap();
        let root = caller(&core, initial.trim()).await;
        if start == 1 {
            root.mount_enable("transit/", MountKind::Transit, MountEnable::default(), &()).await.unwrap();
            let mount = engine(&root).await;
            id = Some(root.key_create(&mount, "k", KeyCreate::transit(KeyAlgorithm::Aes256Gcm), &()).await.unwrap().id);
        }
        let mount = engine(&root).await;
        let entry = root.active.key_entry(mount.id, "k").await.unwrap().unwrap().value;
        root.active.count_use(&entry, 1, 3).await.unwrap();
        let counter = root.active.use_counter(&entry, 1).await.unwrap().unwrap();
        assert_eq!(counter.total(), start * USE_BLOCK, "the rest of the block before is given up");
        let row = root.active.row::<Reservation>(&counter_row(id.unwrap(), 1)).await.unwrap().unwrap();
        assert_eq!(row.value.total, start * USE_BLOCK, "the store knows before the first use");
        // To the last use of the block no other is reserved.
        assert!(counter.take(u32::try_from(USE_BLOCK - 3).unwrap()));
        assert!(!counter.take(1) && counter.total() == start * USE_BLOCK);
        drop((counter, root));
        core.shutdown().await;
    }
}

#[tokio::test]
async fn version_that_is_as_good_as_used_up_is_replaced_and_ends_at_its_last_use() {
    let (core, _time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    let mount = engine(&root).await;
    for (name, imported) in [("k", false), ("fixed", true)] {
        let create = KeyCreate { imported, allow_rotation: false, ..KeyCreate::transit(KeyAlgorithm::Aes256Gcm) };
        let made = root.key_create(&mount, name, create, &()).await.unwrap();
        let most = KeyAlgorithm::Aes256Gcm.uses().unwrap();
        let mut edit = Edit::default();
        let spent = Reservation { total: most - 2 * USE_BLOCK };
        edit.put(counter_row(made.id, 1), codec::encode(&spent).unwrap(), None);
        root.active.commit_bookkeeping(edit).await.unwrap();
    }
    let entry = root.active.key_entry(mount.id, "k").await.unwrap().unwrap().value;
    root.active.count_use(&entry, 1, 1).await.unwrap();
    // The node's own housekeeping may have been faster.
    rotate_spent(&root.active).await.unwrap();
    while root.key_read(&mount, "k").await.unwrap().latest == 1 {
        tokio::task::yield_now().await;
    }
    let rotated = root.key_read(&mount, "k").await.unwrap();
    assert_eq!((rotated.latest, rotated.primary), (2, Some(2)));
    root.active.count_use(&entry, 2, 1).await.unwrap();
    while facts(&root, "key.rotate").await.is_empty() {}
    assert_eq!(facts(&root, "key.rotate").await[0]["reason"], "its uses are used up");

    // One that cannot be rotated here goes on to its last use and no further.
    let fixed = root.active.key_entry(mount.id, "fixed").await.unwrap().unwrap().value;
    let block = u32::try_from(USE_BLOCK).unwrap();
    root.active.count_use(&fixed, 1, block).await.unwrap();
    root.active.count_use(&fixed, 1, block).await.unwrap();
    let refused = root.active.count_use(&fixed, 1, 1).await.unwrap_err();
    assert_eq!(refused.code(), Code::KeyState);
    assert_eq!(root.key_read(&mount, "fixed").await.unwrap().latest, 1);

    let free = root.key_create(&mount, "x", KeyCreate::native(KeyAlgorithm::Xaes256Gcm), &()).await.unwrap();
    let entry = root.active.key_by_id(mount.id, free.id).await.unwrap().unwrap().value;
    assert!(root.active.use_counter(&entry, 1).await.unwrap().is_none(), "its nonces do not run out");
    drop(root);
    core.shutdown().await;
}
