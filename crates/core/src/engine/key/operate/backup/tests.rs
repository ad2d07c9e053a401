//! What a backup may hold, and what becomes of a key whose place a restored one takes.

use coffer_api::audit::AuditQuery;
use serde_json::json;

use super::*;
use crate::{
    Begin, Core, KeyCreate, MountEnable, MountKind,
    tests::{caller, dev, facts},
};

/// A core with a key `k` of two versions, and its backup.
async fn backed_up(algorithm: Algorithm) -> (std::sync::Arc<Core>, Caller, std::sync::Arc<Mount>, String) {
    let core = dev().await;
    let root = caller(&core, "root").await;
    root.mount_enable("transit/", MountKind::Transit, MountEnable::default(), &()).await.unwrap();
    let mount = root.resolve("transit/keys/k").unwrap();
    let create = KeyCreate { exportable: true, allow_plaintext_backup: true, ..KeyCreate::transit(algorithm) };
    root.key_create(&mount, "k", create, &()).await.unwrap();
    root.key_rotate(&mount, "k", Begin::Active, &()).await.unwrap();
    let backup = root.key_backup(&mount, "k").await.unwrap().expose().clone();
    (core, root, mount, backup)
}

fn read_backup(text: &str) -> Result<Box<Backup>, Error> {
    match parse(text, &mut Zeroizing::default())? {
        Parsed::Ours(backup) => Ok(backup),
        Parsed::Foreign(_) => panic!("made here"),
    }
}

fn changed(backup: &str, change: impl FnOnce(&mut Backup)) -> String {
    let mut backup = read_backup(backup).unwrap();
    change(&mut backup);
    STANDARD.encode(serde_json::to_vec(&backup).unwrap())
}

#[tokio::test]
async fn damaged_backup_that_was_to_replace_a_key_leaves_it_as_it_was() {
    let (core, root, mount, backup) = backed_up(Algorithm::Aes256Gcm).await;
    let before = root.active.key_entry(mount.id, "k").await.unwrap().unwrap();
    let damaged = [
        changed(&backup, |backup| backup.versions[1].material = Some(Sensitive::new("AAAA".to_owned()))),
        changed(&backup, |backup| backup.versions[1].state = "destroyed".to_owned()),
        changed(&backup, |backup| backup.min_decryption = 3),
        changed(&backup, |backup| backup.primary = Some(7)),
        changed(&backup, |backup| {
            (backup.imported, backup.allow_rotation, backup.rotate_every_ms) = (true, false, 3_600_000);
        }),
    ];
    for damaged in damaged {
        let refused = root.key_restore(&mount, None, &damaged, Existing::Replace, &()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Invalid);
        let after = root.active.key_entry(mount.id, "k").await.unwrap().expect("the key is there");
        assert_eq!((after.revision, after.value.id), (before.revision, before.value.id));
    }
    assert!(facts(&root, "key.delete").await.is_empty());
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn replaced_key_and_restored_one_are_one_change_with_a_record_of_each() {
    let (core, root, mount, backup) = backed_up(Algorithm::Aes256Gcm).await;
    let old = root.key_read(&mount, "k").await.unwrap().id;
    let new = root.key_restore(&mount, None, &backup, Existing::Replace, &()).await.unwrap().id;
    assert_ne!(new, old);
    assert_eq!(root.key_read(&mount, "k").await.unwrap().id, new);
    let deleted = root.active.key_by_id(mount.id, old).await.unwrap().unwrap().value;
    assert!(deleted.versions.iter().all(|version| version.state == KeyState::DestroyScheduled));
    let [told] = facts(&root, "key.delete").await.try_into().unwrap();
    assert_eq!((&told["key"], &told["versions"]), (&old.to_string().into(), &"1,2".into()));
    assert_eq!(told["deletion_allowed"], "false", "that was overridden");
    let of = async |class: &str| {
        let question = AuditQuery { action: Some(class.to_owned()), ..AuditQuery::default() };
        root.audit_query(&question).await.unwrap().entries.remove(0).entry
    };
    let (delete, restore) = (of("key.delete").await, of("key.restore").await);
    assert_eq!((&delete["rev"], &delete["req"]["id"]), (&restore["rev"], &restore["req"]["id"]));
    assert!(delete["rev"].is_number());
    // The deleted one comes back once its name is free.
    root.key_configure(&mount, "k", crate::KeyConfigure { deletion_allowed: Some(true), ..Default::default() }, &())
        .await
        .unwrap();
    root.key_delete(&mount, "k").await.unwrap();
    assert_eq!(root.key_recover(&mount, old, None, &()).await.unwrap().id, old);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn restored_version_is_never_better_than_the_one_it_replaces() {
    let (core, root, mount, backup) = backed_up(Algorithm::Aes256Gcm).await;
    let states = |key: &KeyView| key.versions.iter().map(|version| version.state).collect::<Vec<_>>();
    let restore = async |name| root.key_restore(&mount, name, &backup, Existing::Replace, &()).await;
    assert_eq!(states(&restore(None).await.unwrap()), [KeyState::Active; 2], "nothing was marked since");
    root.key_compromise(&mount, "k", &[1], "leaked", &()).await.unwrap();
    root.key_deactivate(&mount, "k", &[2], &()).await.unwrap();
    let back = restore(None).await.unwrap();
    assert_eq!(states(&back), [KeyState::Compromised, KeyState::Deactivated]);
    assert_eq!((back.primary, back.versions[0].compromise_reason.as_deref()), (None, Some("leaked")));
    // Under another name it is the same secret, and still compromised; that it was put out of use there says nothing here.
    let other = restore(Some("other")).await.unwrap();
    assert_eq!((states(&other), other.primary), (vec![KeyState::Compromised, KeyState::Active], Some(2)));

    // On its way to its end it stays, at the time that was set; what called that off is not in the backup.
    let ends = root.key_destroy(&mount, "k", &[1], None, &()).await.unwrap().versions[0].destroy_at_ms;
    root.key_disable(&mount, "k", &()).await.unwrap();
    let back = restore(None).await.unwrap();
    assert_eq!(states(&back), [KeyState::DestroyScheduled, KeyState::Deactivated]);
    assert!(!back.enabled && ends.is_some() && back.versions[0].destroy_at_ms == ends);
    root.key_enable(&mount, "k", &()).await.unwrap();
    let cancelled = root.key_destroy_cancel(&mount, "k", &[1], &()).await.unwrap();
    assert_eq!(states(&cancelled)[0], KeyState::Compromised, "as it was before");

    // What was destroyed has no secret part again.
    let found = root.active.key_entry(mount.id, "k").await.unwrap().unwrap();
    let mut entry = found.value.clone();
    entry.schedule(1, 1, 1).unwrap();
    entry.step(1, crate::engine::key::state::KeyStep::Reap, 1).unwrap();
    let mut edit = Edit::under(root.active.key_lock(mount.id, "k").await);
    root.active.key_put(Some(&found), &entry, &mut edit).unwrap();
    root.commit(edit, root.record("key.attest", "transit/keys/k")).await.unwrap().spend();
    let back = restore(None).await.unwrap();
    assert_eq!(states(&back), [KeyState::Destroyed, KeyState::Deactivated]);
    let entry = root.active.key_entry(mount.id, "k").await.unwrap().unwrap().value;
    assert_eq!(root.active.key_material(&entry, 1).await.map(drop).unwrap_err().code(), Code::KeyState);
    assert!(root.active.key_material(&entry, 2).await.is_ok());

    // A deleted key still knows what was compromised.
    let deletable = crate::KeyConfigure { deletion_allowed: Some(true), ..Default::default() };
    root.key_configure(&mount, "other", deletable, &()).await.unwrap();
    root.key_delete(&mount, "other").await.unwrap();
    let back = root.key_restore(&mount, Some("other"), &backup, Existing::Keep, &()).await.unwrap();
    assert_eq!(states(&back), [KeyState::Compromised, KeyState::Active]);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn restored_version_counts_the_uses_that_were_made_since() {
    let (core, root, mount, backup) = backed_up(Algorithm::Aes256Gcm).await;
    let items = [crate::EncryptItem::default()];
    root.key_encrypt(&mount, "k", &items, &()).await.unwrap();
    let uses = async || {
        let entry = root.active.key_entry(mount.id, "k").await.unwrap().unwrap().value;
        root.active.use_counter(&entry, 2).await.unwrap().unwrap().total()
    };
    let before = uses().await;
    assert!(before > 0);
    root.key_restore(&mount, None, &backup, Existing::Replace, &()).await.unwrap();
    assert_eq!(uses().await, before);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn backup_is_refused_from_the_size_on_at_which_its_restore_is() {
    let (core, root, mount, backup) = backed_up(Algorithm::Aes256Gcm).await;
    let mut large = read_backup(&backup).unwrap();
    let json = serde_json::to_vec(&large).unwrap().len();
    large.description = "x".repeat(MAX_BACKUP / 4 * 3 - json);
    let text = large.text().unwrap();
    assert_eq!(text.expose().len(), MAX_BACKUP);
    assert_eq!(read_backup(text.expose()).unwrap().description.len(), large.description.len());
    large.description.push('x');
    let refused = large.text().map(drop).unwrap_err();
    assert_eq!(refused.code(), Code::TooLarge);
    assert!(refused.public().starts_with("the backup would have more than 8 MiB"), "{refused}");
    let above = format!("{}AAAA", text.expose());
    let refused = root.key_restore(&mount, Some("x"), &above, Existing::Keep, &()).await.unwrap_err();
    assert_eq!(refused.code(), Code::TooLarge);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn backup_is_read_and_checked_by_turns() {
    let (core, root, mount, small) = backed_up(Algorithm::Aes256Gcm).await;
    let create =
        KeyCreate { exportable: true, allow_plaintext_backup: true, ..KeyCreate::transit(Algorithm::EcdsaP521) };
    root.key_create(&mount, "slow", create, &()).await.unwrap();
    root.key_rotate(&mount, "slow", Begin::Active, &()).await.unwrap();
    let ours = root.key_backup(&mount, "slow").await.unwrap().expose().clone();
    let turns = &root.active.loaded.turns;
    let long = format!("{}{}", "\n".repeat(200_000), small);
    let foreign = of_openbao(100);
    for (name, backup) in [("ours", &ours), ("long", &long), ("foreign", &foreign)] {
        let held = turns.acquire_many(u32::try_from(turns.available_permits()).unwrap()).await.unwrap();
        let mut slow = Box::pin(root.key_restore(&mount, Some(name), backup, Existing::Keep, &()));
        // As long as several others take that need no turn.
        for other in 0..8 {
            let other = format!("{name}-{other}");
            tokio::select! {
                biased;
                restored = &mut slow => panic!("{name} took no turn: {restored:?}"),
                restored = root.key_restore(&mount, Some(&other), &small, Existing::Keep, &()) => restored.unwrap(),
            };
        }
        drop(held);
        slow.await.unwrap();
    }
    drop(root);
    core.shutdown().await;
}

/// A backup of an AES key as OpenBao makes it.
fn of_openbao(versions: u32) -> String {
    let version = json!({"key": STANDARD.encode([7; 32]), "hmac_key": STANDARD.encode([8; 32]), "ec_d": null, "rsa_key": null,
        "rsa_public_key": null, "public_key": "", "convergent_version": 0, "creation_time": 1_782_000_000,
        "certificate_chain": null});
    let archived: Vec<_> = (0..=versions).map(|_| version.clone()).collect();
    let backup = json!({"policy": {"name": "k", "keys": {}, "type": 0, "derived": false, "kdf": 1,
        "convergent_encryption": false, "exportable": true, "allow_plaintext_backup": true, "deletion_allowed": false,
        "min_decryption_version": 1, "min_encryption_version": 0, "min_available_version": 0, "latest_version": versions,
        "archive_min_version": 0, "auto_rotate_period": 0}, "archived_keys": {"keys": archived}});
    STANDARD.encode(backup.to_string())
}
