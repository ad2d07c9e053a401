//! The life of a key by hand: made, changed, rotated, rolled back, suspended, deleted and recovered.

use std::collections::BTreeSet;

use coffer_api::Code;

use super::{NOON, caller, dev_with_keys, facts, rows};
use crate::{
    Begin, Caller, IfExists, KeyAlgorithm, KeyConfigure, KeyCreate, KeyState, KeyView, Mount, keys, ops::list::ListPart,
};

const DAY: i64 = 24 * 60 * 60 * 1000;

async fn mount(root: &Caller) -> std::sync::Arc<Mount> {
    root.resolve("transit/keys/k").unwrap()
}

fn states(key: &KeyView) -> Vec<KeyState> {
    key.versions.iter().map(|version| version.state).collect()
}

fn native() -> KeyCreate {
    KeyCreate::native(KeyAlgorithm::Xaes256Gcm)
}

#[tokio::test]
async fn key_that_is_made_is_described_and_its_secret_is_sealed_under_its_own_key() {
    let (core, _time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    let mount = mount(&root).await;
    let create = KeyCreate {
        tags: BTreeSet::from(["pci".to_owned()]),
        description: "for tests".to_owned(),
        rotate_every_ms: 30 * DAY,
        ..native()
    };
    let made = root.key_create(&mount, "k", create.clone(), &()).await.unwrap();
    let read = root.key_read(&mount, "k").await.unwrap();
    assert_eq!((made.id, &made.tags, made.created_ms), (read.id, &read.tags, NOON));
    assert_eq!((read.primary, read.latest, states(&read)), (Some(1), 1, vec![KeyState::Active]));
    assert!(read.versions[0].fingerprint.starts_with("check:") && read.versions[0].public.is_none());
    let rotation = read.rotate_at_ms.unwrap() - NOON;
    assert!((27 * DAY..=30 * DAY).contains(&rotation), "a tenth of the period at most is jitter: {rotation}");

    let entry = root.active.key_entry(mount.id, "k").await.unwrap().unwrap().value;
    let stored = root.active.key_material(&entry, 1).await.unwrap();
    assert_eq!(stored.material.algorithm(), KeyAlgorithm::Xaes256Gcm);
    assert!(stored.hmac.is_none(), "it is not for MACs");
    let object = crate::object::object_row(entry.versions[0].object.unwrap());
    assert_eq!(rows(&root.active, keys::OBJECT).await, [object]);

    let again = root.key_create(&mount, "k", create, &()).await.unwrap_err();
    assert_eq!(again.code(), Code::Conflict);
    let other = KeyCreate { if_exists: IfExists::Answer, ..KeyCreate::transit(KeyAlgorithm::Ed25519) };
    assert_eq!(root.key_create(&mount, "k", other.clone(), &()).await.unwrap().id, made.id, "unchanged");
    let signing = root.key_create(&mount, "s", other, &()).await.unwrap();
    assert!(signing.versions[0].fingerprint.starts_with("sha256:") && signing.versions[0].public.is_some());
    let entry = root.active.key_entry(mount.id, "s").await.unwrap().unwrap().value;
    assert!(root.active.key_material(&entry, 1).await.unwrap().hmac.is_some(), "the dialect's keys make MACs");

    assert_eq!(root.key_names(&mount, ListPart::default()).await.unwrap(), ["k", "s"]);
    let recorded = facts(&root, "key.create").await;
    assert_eq!(recorded[0]["key_name"], "k");
    assert_eq!(recorded[0]["key"], made.id.to_string());
    assert_eq!(root.key_read(&mount, "none").await.unwrap_err().code(), Code::NotFound);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn keys_whose_parts_do_not_fit_are_refused() {
    let (core, _time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    let mount = mount(&root).await;
    let tags = |count: usize| (0..count).map(|n| n.to_string()).collect();
    let bad = [
        KeyCreate { convergent: true, ..native() },
        KeyCreate { derived: true, ..KeyCreate::native(KeyAlgorithm::Rsa2048) },
        KeyCreate { derived: true, convergent: true, ..KeyCreate::native(KeyAlgorithm::Ed25519) },
        KeyCreate { rotate_every_ms: 3_599_999, ..native() },
        KeyCreate { rotate_every_ms: -1, ..native() },
        KeyCreate { rotate_every_ms: i64::MAX, ..native() },
        KeyCreate { rotate_every_ms: DAY, rotate_jitter_ms: Some(DAY), ..native() },
        KeyCreate { overlap_ms: Some(-1), ..native() },
        KeyCreate { key_size: 32, ..native() },
        KeyCreate { key_size: 31, ..KeyCreate::native(KeyAlgorithm::Hmac) },
        KeyCreate { key_size: 513, ..KeyCreate::native(KeyAlgorithm::Hmac) },
        KeyCreate { tags: tags(65), ..native() },
        KeyCreate { tags: BTreeSet::from([String::new()]), ..native() },
        KeyCreate { description: "x".repeat(4097), ..native() },
        KeyCreate { usages: Some([crate::KeyUsage::Sign].into_iter().collect()), ..native() },
        KeyCreate { usages: Some([].into_iter().collect()), ..native() },
    ];
    for create in bad {
        let refused = root.key_create(&mount, "k", create.clone(), &()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Invalid, "{create:?}");
    }
    assert_eq!(root.key_create(&mount, "a/b", native(), &()).await.unwrap_err().code(), Code::Invalid);
    assert_eq!(rows(&root.active, keys::OBJECT).await, Vec::<String>::new(), "nothing is left of them");
    for size in [32, 512] {
        let create = KeyCreate { key_size: size, ..KeyCreate::native(KeyAlgorithm::Hmac) };
        root.key_create(&mount, &format!("h{size}"), create, &()).await.unwrap();
        let entry = root.active.key_entry(mount.id, &format!("h{size}")).await.unwrap().unwrap().value;
        assert_eq!(root.active.key_material(&entry, 1).await.unwrap().material.encoded().len(), usize::from(size));
    }
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn steps_that_a_state_refuses_change_nothing_and_are_recorded_with_what_is_allowed() {
    let (core, _time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    let mount = mount(&root).await;
    root.key_create(&mount, "k", native(), &()).await.unwrap();
    let refused = |result: Result<KeyView, crate::Error>, part: &str| {
        let error = result.unwrap_err();
        assert_eq!(error.code(), Code::KeyState, "{}", error.public());
        assert!(error.public().contains(part), "{}", error.public());
    };
    refused(root.key_resume(&mount, "k", &[1], &()).await, "active, which does not allow resume; allowed: compromise");
    refused(root.key_destroy(&mount, "k", &[1], None, &()).await, "is active");
    refused(root.key_destroy_cancel(&mount, "k", &[], &()).await, "no version");
    refused(root.key_activate(&mount, "k", &[1], &()).await, "is active");
    refused(root.key_rollback(&mount, "k", None, &()).await, "no version");
    refused(root.key_rollback(&mount, "k", Some(1), &()).await, "is the primary one");
    refused(root.key_enable(&mount, "k", &()).await, "is enabled");
    let missing = root.key_suspend(&mount, "k", &[1, 2], &()).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound, "all or none");
    assert_eq!(states(&root.key_read(&mount, "k").await.unwrap()), [KeyState::Active]);

    root.key_suspend(&mount, "k", &[], &()).await.unwrap();
    refused(root.key_suspend(&mount, "k", &[], &()).await, "has no primary version");
    refused(root.key_suspend(&mount, "k", &[1], &()).await, "is suspended");
    root.key_compromise(&mount, "k", &[1], "left on a train", &()).await.unwrap();
    refused(root.key_resume(&mount, "k", &[1], &()).await, "is compromised");
    refused(root.key_rollback(&mount, "k", Some(1), &()).await, "allowed: destroy");
    let no_reason = root.key_compromise(&mount, "k", &[1], "", &()).await.unwrap_err();
    assert_eq!(no_reason.code(), Code::Invalid);
    assert_eq!(facts(&root, "key.compromise").await[0]["reason"], "left on a train");
    let question = coffer_api::audit::AuditQuery {
        action: Some("key.resume".to_owned()),
        ..coffer_api::audit::AuditQuery::default()
    };
    let page = root.audit_query(&question).await.unwrap();
    assert!(page.entries.iter().all(|entry| entry.entry["code"] == "key_state" && entry.entry["out"] == "error"));
    assert_eq!(page.entries.len(), 2);

    // The key goes on with a new version, and with a switch.
    let rotated = root.key_rotate(&mount, "k", Begin::Active, &()).await.unwrap();
    assert_eq!((rotated.primary, states(&rotated)), (Some(2), vec![KeyState::Compromised, KeyState::Active]));
    root.key_disable(&mount, "k", &()).await.unwrap();
    refused(root.key_rotate(&mount, "k", Begin::Active, &()).await, "disabled");
    refused(root.key_disable(&mount, "k", &()).await, "disabled");
    root.key_suspend(&mount, "k", &[], &()).await.unwrap();
    assert!(root.key_enable(&mount, "k", &()).await.unwrap().enabled);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn rotation_supersedes_and_rollback_is_an_event_of_its_own() {
    let (core, _time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    let mount = mount(&root).await;
    root.key_create(&mount, "native", native(), &()).await.unwrap();
    root.key_create(&mount, "transit", KeyCreate::transit(KeyAlgorithm::Aes256Gcm), &()).await.unwrap();
    for _ in 0..2 {
        root.key_rotate(&mount, "native", Begin::Active, &()).await.unwrap();
        root.key_rotate(&mount, "transit", Begin::Active, &()).await.unwrap();
    }
    let native = root.key_read(&mount, "native").await.unwrap();
    assert_eq!(states(&native), [KeyState::Deactivated, KeyState::Deactivated, KeyState::Active]);
    let transit = root.key_read(&mount, "transit").await.unwrap();
    assert_eq!((states(&transit), transit.primary), (vec![KeyState::Active; 3], Some(3)));

    let back = root.key_rollback(&mount, "native", None, &()).await.unwrap();
    assert_eq!((back.primary, back.latest), (Some(2), 3), "a rewind would forget version 3");
    assert_eq!(states(&back), [KeyState::Deactivated, KeyState::Active, KeyState::Active]);
    let back = root.key_rollback(&mount, "native", Some(1), &()).await.unwrap();
    assert_eq!(back.primary, Some(1));
    let recorded = facts(&root, "key.rollback").await;
    assert_eq!((&recorded[0]["from"], &recorded[1]["from"]), (&"3".into(), &"2".into()));

    let ready = root.key_rotate(&mount, "native", Begin::PreActive, &()).await.unwrap();
    assert_eq!((ready.primary, ready.latest, ready.versions[3].state), (Some(1), 4, KeyState::PreActive));
    let live = root.key_activate(&mount, "native", &[], &()).await.unwrap();
    assert_eq!((live.primary, live.versions[3].state), (Some(4), KeyState::Active));
    assert_eq!(live.versions[0].state, KeyState::Deactivated, "it was superseded as by any rotation");
    let imported = KeyCreate { imported: true, allow_rotation: false, ..KeyCreate::transit(KeyAlgorithm::Aes256Gcm) };
    root.key_create(&mount, "imported", imported, &()).await.unwrap();
    let refused = root.key_rotate(&mount, "imported", Begin::Active, &()).await.unwrap_err();
    assert_eq!(refused.code(), Code::KeyState);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn configuration_keeps_its_floors_and_permissions_only_grow() {
    let (core, _time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    let mount = mount(&root).await;
    root.key_create(&mount, "k", KeyCreate::transit(KeyAlgorithm::Aes256Gcm), &()).await.unwrap();
    root.key_rotate(&mount, "k", Begin::Active, &()).await.unwrap();
    let set = async |configure: KeyConfigure| root.key_configure(&mount, "k", configure, &()).await;
    let floors = |decryption, encryption| KeyConfigure {
        min_decryption: Some(decryption),
        min_encryption: Some(encryption),
        ..KeyConfigure::default()
    };
    for (bad, text) in [
        (floors(9, 0), "cannot set min decryption version of 9, latest key version is 2"),
        (floors(1, 3), "cannot set min encryption version of 3, latest key version is 2"),
        (floors(2, 1), "min encryption version of 1 must be greater than or equal to min decryption version of 2"),
        (floors(-1, 0), "cannot be negative"),
        (KeyConfigure { rotate_every_ms: Some(600_000), ..KeyConfigure::default() }, "at least an hour"),
    ] {
        let error = set(bad).await.unwrap_err();
        assert!(error.code() == Code::Invalid && error.vault_words().contains(text), "{error:?}");
    }
    let grown = KeyConfigure {
        exportable: Some(true),
        allow_plaintext_backup: Some(true),
        deletion_allowed: Some(true),
        rotate_every_ms: Some(DAY),
        ..floors(2, 2)
    };
    let key = set(grown).await.unwrap();
    assert_eq!((key.min_decryption, key.min_encryption, key.rotate_at_ms), (2, 2, Some(NOON + DAY)));
    let shrunk = KeyConfigure { deletion_allowed: Some(false), rotate_every_ms: Some(0), ..floors(0, 0) };
    let key = set(shrunk).await.unwrap();
    assert!(key.exportable && key.allow_plaintext_backup && !key.deletion_allowed);
    assert_eq!((key.min_decryption, key.min_encryption, key.rotate_at_ms), (1, 0, None));
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn deleted_key_frees_its_name_and_comes_back_by_its_id() {
    let (core, _time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    let mount = mount(&root).await;
    let transit = KeyCreate::transit(KeyAlgorithm::Aes256Gcm);
    let first = root.key_create(&mount, "k", transit.clone(), &()).await.unwrap();
    root.key_rotate(&mount, "k", Begin::Active, &()).await.unwrap();
    assert_eq!(root.key_delete(&mount, "k").await.unwrap_err().public(), "deletion is not allowed for this key");
    let allow = KeyConfigure { deletion_allowed: Some(true), ..KeyConfigure::default() };
    root.key_configure(&mount, "k", allow.clone(), &()).await.unwrap();
    assert_eq!(root.key_delete(&mount, "k").await.unwrap().id, first.id);
    assert_eq!(root.key_read(&mount, "k").await.unwrap_err().code(), Code::NotFound);
    assert_eq!(root.key_names(&mount, ListPart::default()).await.unwrap(), Vec::<String>::new());
    let deleted = root.key_deleted_read(&mount, first.id).await.unwrap();
    assert_eq!(states(&deleted), [KeyState::DestroyScheduled; 2]);
    assert!(deleted.versions.iter().all(|version| version.destroy_at_ms == Some(NOON + 7 * DAY)));
    assert_eq!(facts(&root, "key.delete").await.last().unwrap()["versions"], "1,2", "one step, one record");

    // The name is another's now, so the first cannot have it back until that one is gone too.
    let second = root.key_create(&mount, "k", transit, &()).await.unwrap();
    assert_ne!(second.id, first.id);
    assert_eq!(root.key_recover(&mount, first.id, None, &()).await.unwrap_err().code(), Code::Conflict);
    assert_eq!(
        root.key_recover(&mount, second.id, None, &()).await.unwrap_err().code(),
        Code::NotFound,
        "it is not deleted"
    );
    root.key_configure(&mount, "k", allow, &()).await.unwrap();
    root.key_delete(&mount, "k").await.unwrap();
    assert_eq!(rows(&root.active, keys::KEY_DELETED).await.len(), 2, "both had the same name");
    let back = root.key_recover(&mount, first.id, None, &()).await.unwrap();
    assert_eq!((states(&back), back.primary), (vec![KeyState::Deactivated; 2], None), "nothing of it is in use");
    assert_eq!(root.key_read(&mount, "k").await.unwrap().id, first.id);
    let used = root.key_rollback(&mount, "k", None, &()).await.unwrap();
    assert_eq!(used.primary, Some(2));
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn trimmed_versions_are_scheduled_and_absent_below_the_floor() {
    let (core, _time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    let mount = mount(&root).await;
    root.key_create(&mount, "k", KeyCreate::transit(KeyAlgorithm::Aes256Gcm), &()).await.unwrap();
    for _ in 0..2 {
        root.key_rotate(&mount, "k", Begin::Active, &()).await.unwrap();
    }
    let trim = async |floor| root.key_trim(&mount, "k", floor, &()).await;
    let unset = trim(2).await.unwrap_err();
    assert_eq!(unset.public(), "minimum available version cannot be set when minimum encryption version is not set");
    let floors = KeyConfigure { min_decryption: Some(2), min_encryption: Some(3), ..KeyConfigure::default() };
    root.key_configure(&mount, "k", floors, &()).await.unwrap();
    for bad in [-1, 0, 3, 4, i64::MAX] {
        assert_eq!(trim(bad).await.unwrap_err().code(), Code::Invalid, "{bad}");
    }
    let trimmed = trim(2).await.unwrap();
    assert_eq!(trimmed.min_available, 2);
    assert_eq!(states(&trimmed), [KeyState::DestroyScheduled, KeyState::Active, KeyState::Active]);
    let entry = root.active.key_entry(mount.id, "k").await.unwrap().unwrap().value;
    assert!(entry.for_process(crate::KeyUsage::Encrypt, 1).is_err());
    let back = root.key_destroy_cancel(&mount, "k", &[1], &()).await.unwrap();
    assert_eq!(back.min_available, 1, "it is within reach again");
    let lowest = KeyConfigure { min_decryption: Some(1), ..KeyConfigure::default() };
    root.key_configure(&mount, "k", lowest, &()).await.unwrap();
    assert_eq!(root.key_rollback(&mount, "k", Some(1), &()).await.unwrap().primary, Some(1));
    assert_eq!(facts(&root, "key.trim").await.last().unwrap()["versions"], "1");
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn first_keys_made_at_once_share_the_engine_that_one_of_them_mounts() {
    let (core, _time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    root.mount_disable("transit/").await.unwrap();
    let (a, b) = tokio::join!(root.key_engine_for("a", &()), root.key_engine_for("b", &()));
    assert_eq!(a.unwrap().id, b.unwrap().id);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn primary_version_is_never_below_what_may_be_decrypted() {
    let (core, _time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    let mount = mount(&root).await;
    root.key_create(&mount, "k", KeyCreate::transit(KeyAlgorithm::Aes256Gcm), &()).await.unwrap();
    for _ in 0..2 {
        root.key_rotate(&mount, "k", Begin::Active, &()).await.unwrap();
    }
    let floor = |version| KeyConfigure { min_decryption: Some(version), ..KeyConfigure::default() };
    root.key_configure(&mount, "k", floor(2), &()).await.unwrap();
    let below = root.key_rollback(&mount, "k", Some(1), &()).await.unwrap_err();
    assert!(below.code() == Code::KeyState && below.public().contains("min_decryption_version 2"), "{below:?}");
    root.key_rollback(&mount, "k", Some(2), &()).await.unwrap();
    let above = root.key_configure(&mount, "k", floor(3), &()).await.unwrap_err();
    assert!(above.code() == Code::Invalid && above.vault_words().contains("primary key version is 2"), "{above:?}");
    let exportable = |wanted| KeyConfigure { exportable: Some(wanted), ..KeyConfigure::default() };
    root.key_configure(&mount, "k", exportable(false), &()).await.unwrap();
    root.key_configure(&mount, "k", exportable(true), &()).await.unwrap();
    let back = root.key_configure(&mount, "k", exportable(false), &()).await.unwrap_err();
    assert!(back.public().contains("on for good"), "{back:?}");
    drop(root);
    core.shutdown().await;
}
