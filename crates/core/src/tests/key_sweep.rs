//! What happens to keys by itself: rotation, the end of an overlap, destruction and its attestation.

use std::{path::Path, sync::Arc, time::Duration};

use coffer_api::Code;
use coffer_storage::Key;

use super::{NOON, caller, config, dev_with_keys, facts, rows};
use crate::{
    Begin, Caller, Core, KeyAlgorithm, KeyCreate, KeyState, KeyView, Mount, MountEnable, MountKind,
    clock::ManualTimeSource,
    engine::key::{material_row, sweep::sweep_all},
    keys,
    object::object_row,
};

const HOUR: i64 = 60 * 60 * 1000;
const DAY: i64 = 24 * HOUR;

fn pass(time: &ManualTimeSource, ms: i64) {
    time.advance(Duration::from_millis(u64::try_from(ms).unwrap()));
}

fn states(key: &KeyView) -> Vec<KeyState> {
    key.versions.iter().map(|version| version.state).collect()
}

async fn engine(root: &Caller) -> Arc<Mount> {
    root.resolve("transit/keys/k").unwrap()
}

#[tokio::test]
async fn overlap_of_a_signing_key_ends_after_a_day_and_an_encryption_keys_at_once() {
    let (core, time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    let mount = engine(&root).await;
    root.key_create(&mount, "s", KeyCreate::native(KeyAlgorithm::Ed25519), &()).await.unwrap();
    root.key_create(&mount, "e", KeyCreate::native(KeyAlgorithm::Xaes256Gcm), &()).await.unwrap();
    root.key_rotate(&mount, "s", Begin::Active, &()).await.unwrap();
    let encrypting = root.key_rotate(&mount, "e", Begin::Active, &()).await.unwrap();
    assert_eq!(states(&encrypting), [KeyState::Deactivated, KeyState::Active]);
    pass(&time, DAY - 60_000);
    sweep_all(&root.active).await.unwrap();
    assert_eq!(states(&root.key_read(&mount, "s").await.unwrap()), [KeyState::Active; 2]);
    pass(&time, 60_000);
    sweep_all(&root.active).await.unwrap();
    assert_eq!(states(&root.key_read(&mount, "s").await.unwrap()), [KeyState::Deactivated, KeyState::Active]);
    assert_eq!(rows(&root.active, keys::KEY_DUE).await, Vec::<String>::new());
    assert_eq!(facts(&root, "key.deactivate").await[0]["versions"], "1");
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn key_is_rotated_within_its_period_again_and_again_until_it_is_switched_off() {
    let (core, time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    let mount = engine(&root).await;
    let create = KeyCreate { rotate_every_ms: 10 * DAY, ..KeyCreate::native(KeyAlgorithm::Xaes256Gcm) };
    root.key_create(&mount, "k", create, &()).await.unwrap();
    for version in 2..=3 {
        pass(&time, 9 * DAY - 60_000);
        sweep_all(&root.active).await.unwrap();
        assert_eq!(root.key_read(&mount, "k").await.unwrap().latest, version - 1);
        pass(&time, DAY + 60_000);
        sweep_all(&root.active).await.unwrap();
        let key = root.key_read(&mount, "k").await.unwrap();
        assert_eq!((key.latest, key.primary), (version, Some(version)));
        assert_eq!(rows(&root.active, keys::KEY_DUE).await.len(), 1, "the next one is planned");
    }
    root.key_disable(&mount, "k", &()).await.unwrap();
    assert_eq!(rows(&root.active, keys::KEY_DUE).await, Vec::<String>::new());
    pass(&time, 30 * DAY);
    sweep_all(&root.active).await.unwrap();
    assert_eq!(root.key_enable(&mount, "k", &()).await.unwrap().latest, 3);
    // It is overdue by now.
    sweep_all(&root.active).await.unwrap();
    assert_eq!(root.key_read(&mount, "k").await.unwrap().latest, 4);
    let recorded = facts(&root, "key.rotate").await;
    assert!(recorded.len() == 3 && recorded.iter().all(|facts| facts["reason"] == "its period"));
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn destruction_waits_as_long_as_it_must_and_longer_where_a_tag_says_so_by_then() {
    let (core, time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    let mount = engine(&root).await;
    let create = KeyCreate { tags: ["pci".to_owned()].into(), ..KeyCreate::native(KeyAlgorithm::Xaes256Gcm) };
    root.key_create(&mount, "k", create, &()).await.unwrap();
    root.key_deactivate(&mount, "k", &[], &()).await.unwrap();
    for wait in [0, DAY - 1, 90 * DAY + 1, -1, i64::MIN] {
        let refused = root.key_destroy(&mount, "k", &[1], Some(wait), &()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Invalid, "{wait}");
    }
    root.key_destroy(&mount, "k", &[1], Some(DAY), &()).await.unwrap();
    let windows = |days: i64| {
        move |settings: &mut crate::KeySettings| {
            settings.destroy_windows = [("pci".to_owned(), days * DAY)].into();
            Ok(())
        }
    };
    assert!(root.key_settings_change(&mount, "config/keys", &(), windows(0)).await.is_err());
    root.key_settings_change(&mount, "config/keys", &(), windows(3)).await.unwrap();
    pass(&time, 2 * DAY);
    sweep_all(&root.active).await.unwrap();
    let key = root.key_read(&mount, "k").await.unwrap();
    assert_eq!(states(&key), [KeyState::DestroyScheduled]);
    assert_eq!(key.versions[0].destroy_at_ms, Some(NOON + 3 * DAY), "counted from when it was scheduled");
    // Made shorter, the tag shortens nothing that runs.
    root.key_settings_change(&mount, "config/keys", &(), windows(1)).await.unwrap();
    pass(&time, DAY - 60_000);
    sweep_all(&root.active).await.unwrap();
    assert_eq!(states(&root.key_read(&mount, "k").await.unwrap()), [KeyState::DestroyScheduled]);
    // The clock is in doubt, so nothing is destroyed, however late it is.
    time.set_wall(NOON + 1_000 * DAY);
    sweep_all(&root.active).await.unwrap();
    assert_eq!(states(&root.key_read(&mount, "k").await.unwrap()), [KeyState::DestroyScheduled]);
    time.set_wall(NOON + 3 * DAY - 60_000);
    pass(&time, 60_000);
    sweep_all(&root.active).await.unwrap();
    assert_eq!(states(&root.key_read(&mount, "k").await.unwrap()), [KeyState::Destroyed]);
    let refused = root.key_destroy_cancel(&mount, "k", &[1], &()).await.unwrap_err();
    assert!(refused.public().ends_with("allowed: nothing"), "{}", refused.public());
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn version_that_was_never_in_use_is_destroyed_at_once_and_a_compromised_one_stays_so() {
    let (core, time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    let mount = engine(&root).await;
    root.key_create(&mount, "k", KeyCreate::native(KeyAlgorithm::Xaes256Gcm), &()).await.unwrap();
    root.key_rotate(&mount, "k", Begin::PreActive, &()).await.unwrap();
    assert_eq!(rows(&root.active, keys::OBJECT).await.len(), 2);
    let discarded = root.key_destroy(&mount, "k", &[2], None, &()).await.unwrap();
    assert_eq!(states(&discarded), [KeyState::Active, KeyState::Destroyed]);
    assert_eq!(rows(&root.active, keys::OBJECT).await.len(), 1, "its object key is gone with the answer");
    assert_eq!(facts(&root, "key.destroy").await[0]["object_key_deleted"], "1");
    pass(&time, 60_000);
    sweep_all(&root.active).await.unwrap();
    assert_eq!(facts(&root, "key.attest").await.len(), 1);

    root.key_compromise(&mount, "k", &[1], "seen in a log", &()).await.unwrap();
    root.key_destroy(&mount, "k", &[1], None, &()).await.unwrap();
    let back = root.key_destroy_cancel(&mount, "k", &[1], &()).await.unwrap();
    assert_eq!(back.versions[0].state, KeyState::Compromised);
    root.key_destroy(&mount, "k", &[1], None, &()).await.unwrap();
    pass(&time, 7 * DAY + 60_000);
    sweep_all(&root.active).await.unwrap();
    let gone = root.key_read(&mount, "k").await.unwrap();
    assert_eq!(gone.versions[0].state, KeyState::Destroyed);
    assert_eq!(gone.versions[0].compromise_reason.as_deref(), Some("seen in a log"), "that it was is not forgotten");
    let entry = root.active.key_entry(mount.id, "k").await.unwrap().unwrap().value;
    assert_eq!(root.active.key_material(&entry, 1).await.map(drop).unwrap_err().code(), Code::KeyState);
    drop(root);
    core.shutdown().await;
}

/// Whether any file below a directory holds these bytes.
fn holds(dir: &Path, needle: &[u8]) -> bool {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).any(|path| match path.is_dir() {
        true => holds(&path, needle),
        false => std::fs::read(path).unwrap().windows(needle.len()).any(|window| window == needle),
    })
}

async fn stored(root: &Caller, row: &str) -> Option<Vec<u8>> {
    let found = root.active.store.get(&Key::new(row.to_owned()).unwrap()).await.unwrap();
    found.map(|found| found.value.to_vec())
}

/// A core over a data directory, its first administrator, and a transit engine.
async fn on_disk(dir: &Path, time: &ManualTimeSource) -> (Arc<Core>, Caller, Arc<Mount>) {
    let core = Core::start_by(config(dir), Arc::new(time.clone())).await.unwrap().0;
    let initial = std::fs::read_to_string(dir.join("initial-token")).unwrap();
    let root = caller(&core, initial.trim()).await;
    root.mount_enable("transit/", MountKind::Transit, MountEnable::default(), &()).await.unwrap();
    let mount = engine(&root).await;
    (core, root, mount)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn destroyed_versions_object_key_is_in_no_file_of_the_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let time = ManualTimeSource::new(NOON);
    let (core, root, mount) = on_disk(dir.path(), &time).await;
    let create = KeyCreate::native(KeyAlgorithm::Ed25519);
    let made = root.key_create(&mount, "k", create, &()).await.unwrap();
    root.key_rotate(&mount, "k", Begin::Active, &()).await.unwrap();
    root.key_deactivate(&mount, "k", &[1], &()).await.unwrap();
    let entry = root.active.key_entry(mount.id, "k").await.unwrap().unwrap().value;
    let object = |number| object_row(entry.version(number).unwrap().object.unwrap());
    let sealed = [object(1), object(2)];
    let mut bytes = Vec::new();
    for row in &sealed {
        // The key lies at the end of its padded row, and is sealed to the end of the ciphertext.
        let row = stored(&root, row).await.unwrap();
        bytes.push(row[row.len() - 100..].to_vec());
    }
    assert!(bytes.iter().all(|bytes| holds(dir.path(), bytes)), "the search finds what is there");
    let fingerprint = made.versions[0].fingerprint.clone();
    root.key_destroy(&mount, "k", &[1], None, &()).await.unwrap();
    pass(&time, 7 * DAY + 60_000);
    sweep_all(&root.active).await.unwrap();

    let material = material_row(mount.id, made.id, 1);
    assert_eq!((stored(&root, &sealed[0]).await, stored(&root, &material).await), (None, None));
    let left: Vec<bool> = bytes.iter().map(|bytes| holds(dir.path(), bytes)).collect();
    assert_eq!(left, [false, true]);
    let key = root.key_read(&mount, "k").await.unwrap();
    assert_eq!(states(&key), [KeyState::Destroyed, KeyState::Active]);
    assert!(key.versions[0].attested_ms.is_some() && key.versions[0].public.is_some(), "what is public stays");
    assert_eq!(rows(&root.active, keys::KEY_DUE).await, Vec::<String>::new());
    let destroyed = facts(&root, "key.destroyed").await;
    assert_eq!(destroyed.len(), 1);
    assert_eq!(destroyed[0]["object_key_deleted"], "1");
    let attested = facts(&root, "key.attest").await;
    assert_eq!(attested.len(), 1);
    assert_eq!(
        (&attested[0]["attestation"], &attested[0]["key"]),
        (&"object_key_deleted".into(), &made.id.to_string().into())
    );
    assert_eq!(attested[0]["fingerprint"], fingerprint);
    assert!(!attested[0].to_string().contains("erased"));
    // Once is enough.
    sweep_all(&root.active).await.unwrap();
    assert_eq!(facts(&root, "key.attest").await.len(), 1);
    drop(root);
    core.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn destruction_is_attested_only_once_nobody_reads_the_store_as_it_was_before() {
    let dir = tempfile::tempdir().unwrap();
    let time = ManualTimeSource::new(NOON);
    let (core, root, mount) = on_disk(dir.path(), &time).await;
    root.key_create(&mount, "k", KeyCreate::native(KeyAlgorithm::Ed25519), &()).await.unwrap();
    root.key_deactivate(&mount, "k", &[1], &()).await.unwrap();
    root.key_destroy(&mount, "k", &[1], None, &()).await.unwrap();
    pass(&time, 7 * DAY + 60_000);
    // As a backup does.
    let reader = root.active.store.snapshot(1 << 30).await.unwrap();
    for _ in 0..2 {
        sweep_all(&root.active).await.unwrap();
        let key = root.key_read(&mount, "k").await.unwrap();
        assert_eq!((states(&key), key.versions[0].attested_ms), (vec![KeyState::Destroyed], None));
        assert_eq!(facts(&root, "key.attest").await.len(), 0, "the object key is still in a file");
        assert_eq!(rows(&root.active, keys::KEY_DUE).await.len(), 1, "it is not forgotten");
    }
    drop(reader);
    sweep_all(&root.active).await.unwrap();
    assert!(root.key_read(&mount, "k").await.unwrap().versions[0].attested_ms.is_some());
    assert_eq!(facts(&root, "key.attest").await.len(), 1);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn rotations_of_keys_that_were_made_together_are_spread() {
    let (core, _time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    let mount = engine(&root).await;
    let mut plans = std::collections::BTreeSet::new();
    for number in 0..20 {
        let create = KeyCreate { rotate_every_ms: 30 * DAY, ..KeyCreate::native(KeyAlgorithm::Xaes256Gcm) };
        let made = root.key_create(&mount, &format!("k{number}"), create, &()).await.unwrap();
        let waits = made.rotate_at_ms.unwrap() - NOON;
        assert!((27 * DAY..=30 * DAY).contains(&waits), "{waits}");
        plans.insert(waits);
    }
    // Of three days two keys in twenty rotate at the same millisecond once in a million times.
    assert!(plans.len() > 10, "{plans:?}");
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn sweep_ends_between_two_keys_once_the_node_stops() {
    let (core, time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    let mount = engine(&root).await;
    let create = || KeyCreate { rotate_every_ms: 10 * DAY, ..KeyCreate::native(KeyAlgorithm::Xaes256Gcm) };
    for name in ["a", "b"] {
        root.key_create(&mount, name, create(), &()).await.unwrap();
    }
    pass(&time, 20 * DAY);
    root.active.stop.send_replace(true);
    sweep_all(&root.active).await.unwrap();
    for name in ["a", "b"] {
        let entry = root.active.key_entry(mount.id, name).await.unwrap().unwrap();
        assert_eq!(entry.value.latest, 1, "{name}");
    }
    drop((root, mount));
    core.shutdown().await;
}
