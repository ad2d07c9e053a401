//! Key engines that are disabled: their keys are destroyed in their time and no sooner, and until then they come back.

use std::{path::Path, sync::Arc, time::Duration};

use coffer_api::{Code, token::TokenCreate};

use super::{NOON, caller, config, context, dev_with_keys, facts, rows};
use crate::{
    Caller, Core, CreatePath, EncryptItem, Input, Kept, KeyAlgorithm, KeyConfigure, KeyCreate, KeyFilter, KeyState,
    MountEnable, MountKind,
    active::Active,
    clock::ManualTimeSource,
    commit::Edit,
    engine::key::{state::KeyStep, sweep::sweep_all},
    keys,
    mount::purge::purge_all,
    ops::list::ListPart,
};

const DAY: i64 = 24 * 60 * 60 * 1000;
const KEPT: [&str; 7] = [
    keys::KEY_ENTRY,
    keys::KEY_NAME,
    keys::KEY_DELETED,
    keys::KEY_MATERIAL,
    keys::KEY_PUBLIC,
    keys::KEY_CONFIG,
    keys::OBJECT,
];

async fn started(dir: &Path, time: &ManualTimeSource) -> (Arc<Core>, Option<String>) {
    let (core, started) = Core::start_by(config(dir), Arc::new(time.clone())).await.unwrap();
    let Some(initial) = started.initial_token_path else { return (core, None) };
    let initial = std::fs::read_to_string(initial).unwrap();
    let admin = core.login_initial(context(), initial.trim()).await.unwrap().token;
    (core, Some(admin.expose().to_owned()))
}

/// Puts into the engine at `transit/` a key that may not be deleted, one that was deleted before, and settings.
async fn filled(root: &Caller) {
    let mount = root.resolve("transit/keys/k").unwrap();
    let tagged = KeyCreate { tags: ["slow".to_owned()].into(), ..KeyCreate::native(KeyAlgorithm::Ed25519) };
    root.key_create(&mount, "slow", tagged, &()).await.unwrap();
    for name in ["kept", "gone"] {
        root.key_create(&mount, name, KeyCreate::native(KeyAlgorithm::Xaes256Gcm), &()).await.unwrap();
    }
    let allow = KeyConfigure { deletion_allowed: Some(true), ..KeyConfigure::default() };
    root.key_configure(&mount, "gone", allow, &()).await.unwrap();
    root.key_delete(&mount, "gone").await.unwrap();
    root.key_settings_change(&mount, "config/keys", &(), |settings| {
        settings.destroy_windows.insert("slow".to_owned(), 30 * DAY);
        Ok(())
    })
    .await
    .unwrap();
}

async fn left(active: &Active) -> Vec<String> {
    let mut left = Vec::new();
    for prefix in KEPT {
        left.extend(rows(active, prefix).await);
    }
    left
}

fn pass(time: &ManualTimeSource, ms: i64) {
    time.advance(Duration::from_millis(u64::try_from(ms).unwrap()));
}

async fn work(active: &Arc<Active>) {
    sweep_all(active).await.unwrap();
    purge_all(active, active.clock.now()).await.unwrap();
}

#[tokio::test]
async fn keys_of_a_disabled_mount_are_destroyed_in_their_time_through_every_stop() {
    let dir = tempfile::tempdir().unwrap();
    let time = ManualTimeSource::new(NOON);
    let (core, token) = started(dir.path(), &time).await;
    let token = token.unwrap();
    let root = caller(&core, &token).await;
    root.mount_enable("transit/", MountKind::Transit, MountEnable::default(), &()).await.unwrap();
    filled(&root).await;
    let old = root.resolve("transit/keys/k").unwrap().id;
    // Stopped right after the answer: nothing of it is done yet, or some.
    root.mount_disable("transit/").await.unwrap();
    drop(root);
    core.shutdown().await;
    drop(core);

    let (core, _) = started(dir.path(), &time).await;
    let root = caller(&core, &token).await;
    let active = Arc::clone(&root.active);
    work(&active).await;
    assert_eq!(rows(&active, keys::KEY_NAME).await, [""; 0]);
    assert_eq!(rows(&active, keys::OBJECT).await.len(), 3, "none is destroyed before its time");
    let told = facts(&root, "key.delete").await;
    assert_eq!(told.iter().filter(|facts| facts["reason"] == "its mount was disabled").count(), 2);
    assert_eq!(told.iter().filter(|facts| facts["deletion_allowed"] == "false").count(), 2);
    // The same path again is another engine, empty.
    root.mount_enable("transit/", MountKind::Transit, MountEnable::default(), &()).await.unwrap();
    let mount = root.resolve("transit/keys/k").unwrap();
    assert_ne!(mount.id, old);
    for kept in [Kept::Named, Kept::Deleted] {
        let filter = KeyFilter { kept, ..KeyFilter::default() };
        assert!(root.key_list(&mount, &filter, ListPart::default()).await.unwrap().items.is_empty());
    }
    pass(&time, 7 * DAY - 1_000);
    work(&active).await;
    assert_eq!(rows(&active, keys::OBJECT).await.len(), 3, "seven days are not over");
    pass(&time, 60_000);
    work(&active).await;
    assert_eq!(rows(&active, keys::OBJECT).await.len(), 1, "its tag's thirty days are not over");
    assert_eq!(rows(&active, keys::MOUNT_PURGE).await.len(), 1);
    drop((root, active));
    core.shutdown().await;
    drop(core);

    let (core, _) = started(dir.path(), &time).await;
    let root = caller(&core, &token).await;
    let active = Arc::clone(&root.active);
    pass(&time, 24 * DAY);
    work(&active).await;
    assert_eq!(left(&active).await, [""; 0]);
    assert_eq!(rows(&active, keys::MOUNT_PURGE).await, [""; 0]);
    assert_eq!(facts(&root, "key.attest").await.len(), 3, "each destruction is on record");
    let restore = || restoring(&old.to_string());
    let refused = root.mount_enable("late/", MountKind::Transit, restore(), &()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Invalid);
    drop((root, active));
    core.shutdown().await;
}

#[tokio::test]
async fn disabled_engine_that_is_taken_up_again_gives_its_keys_back() {
    let (core, time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    filled(&root).await;
    let mount = root.resolve("transit/keys/k").unwrap();
    let item = || [EncryptItem { plaintext: Input::Raw(b"hello"), ..EncryptItem::default() }];
    assert!(root.key_encrypt(&mount, "kept", &item(), &()).await.is_ok());
    root.mount_disable("transit/").await.unwrap();
    work(&root.active).await;
    let id = facts(&root, "mount.disable").await[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(id, mount.id.to_string());
    for wrong in ["", "x", "00000000-0000-0000-0000-000000000000"] {
        let refused = root.mount_enable("again/", MountKind::Transit, restoring(wrong), &()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Invalid, "{wrong}");
    }
    pass(&time, 6 * DAY);
    root.mount_enable("again/", MountKind::Transit, restoring(&id), &()).await.unwrap();
    let again = root.resolve("again/keys/k").unwrap();
    assert_eq!((again.id, again.option("restore")), (mount.id, None));
    assert_eq!(rows(&root.active, keys::MOUNT_PURGE).await, [""; 0]);
    let twice = root.mount_enable("twice/", MountKind::Transit, restoring(&id), &()).await.unwrap_err();
    assert_eq!(twice.code(), Code::Invalid);
    let deleted = KeyFilter { kept: Kept::Deleted, ..KeyFilter::default() };
    let found = root.key_list(&again, &deleted, ListPart::default()).await.unwrap().items;
    assert_eq!(found.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["gone", "kept", "slow"]);
    let kept = root.key_recover(&again, found[1].id, None, &()).await.unwrap();
    assert_eq!(kept.versions[0].state, KeyState::Deactivated);
    root.key_rollback(&again, "kept", Some(1), &()).await.unwrap();
    assert!(root.key_encrypt(&again, "kept", &item(), &()).await.is_ok());
    // What nobody took back goes in its time; what was taken back stays.
    pass(&time, 40 * DAY);
    work(&root.active).await;
    assert_eq!(rows(&root.active, keys::OBJECT).await.len(), 1);
    assert!(root.key_encrypt(&again, "kept", &item(), &()).await.is_ok());
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn disabled_engine_is_taken_up_only_by_who_may_mount_at_its_old_path_too() {
    let (core, _time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    root.mount_enable("team-a/keys/", MountKind::Transit, MountEnable::default(), &()).await.unwrap();
    let mount = root.resolve("team-a/keys/keys/k").unwrap();
    let id = mount.id;
    root.key_create(&mount, "k", KeyCreate::native(KeyAlgorithm::Xaes256Gcm), &()).await.unwrap();
    root.mount_disable("team-a/keys/").await.unwrap();
    let tenant = async |paths: &[&str]| {
        let rules = paths.iter().map(|path| format!("path \"{path}\" {{ capabilities = [\"update\"] }}\n"));
        root.policy_write("tenant", "sys/policies/acl/", &rules.collect::<String>(), &()).await.unwrap();
        let create = TokenCreate { policies: vec!["tenant".to_owned()], ..TokenCreate::default() };
        let token = root.token_create(CreatePath::Child, create, &()).await.unwrap();
        caller(&core, token.token.expose()).await
    };
    let restore = || restoring(&id.to_string());
    for paths in [&["sys/mounts/team-b/*", "team-b/*"][..], &["sys/mounts/team-b/*", "team-a/*", "sys/mounts/team-a"]] {
        let other = tenant(paths).await;
        let refused = other.mount_enable("team-b/x/", MountKind::Transit, restore(), &()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Denied, "{paths:?}");
        assert!(!refused.public().contains("team-a"), "{}", refused.public());
        other.mount_enable("team-b/own/", MountKind::Transit, MountEnable::default(), &()).await.unwrap();
        root.mount_disable("team-b/own/").await.unwrap();
    }
    let both = tenant(&["sys/mounts/team-b/*", "sys/mounts/team-a/*"]).await;
    both.mount_enable("team-b/x/", MountKind::Transit, restore(), &()).await.unwrap();
    assert_eq!(root.resolve("team-b/x/keys/k").unwrap().id, id);
    let told = facts(&root, "mount.enable").await;
    let told = told.iter().find(|facts| facts["restored"] == id.to_string()).unwrap();
    assert_eq!(told["from"], "team-a/keys/");
    drop((root, both));
    core.shutdown().await;
}

#[tokio::test]
async fn keys_that_wait_for_their_destruction_are_not_looked_at_before_the_first_can_be_over() {
    let (core, time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    let active = Arc::clone(&root.active);
    filled(&root).await;
    let mount = root.resolve("transit/keys/k").unwrap().id;
    root.mount_disable("transit/").await.unwrap();
    work(&active).await;
    pass(&time, DAY);
    work(&active).await;
    // Taken up and disabled again it is looked at again.
    root.mount_enable("again/", MountKind::Transit, restoring(&mount.to_string()), &()).await.unwrap();
    let again = root.resolve("again/keys/k").unwrap();
    root.key_create(&again, "late", KeyCreate::native(KeyAlgorithm::Xaes256Gcm), &()).await.unwrap();
    root.mount_disable("again/").await.unwrap();
    work(&active).await;
    assert_eq!(rows(&active, keys::KEY_NAME).await, [""; 0]);
    assert_eq!(rows(&active, keys::KEY_DELETED).await.len(), 4);
    pass(&time, DAY);
    work(&active).await;
    // Over before its time, which shows whether anybody looks.
    let id = facts(&root, "key.delete").await.pop().unwrap()["key"].as_str().unwrap().parse().unwrap();
    let found = active.key_by_id(mount, id).await.unwrap().unwrap();
    let (mut entry, now) = (found.value.clone(), active.clock.now());
    entry.step(1, KeyStep::Reap, now).unwrap();
    entry.attested(1, now);
    let mut edit = Edit::default();
    active.key_put(Some(&found), &entry, &mut edit).unwrap();
    root.commit(edit, root.record("test", "test")).await.unwrap().spend();
    work(&active).await;
    assert_eq!(rows(&active, keys::KEY_DELETED).await.len(), 4, "nobody looks");
    // Those of the first time are due after seven days.
    pass(&time, 5 * DAY - 60_000);
    work(&active).await;
    assert_eq!(rows(&active, keys::KEY_DELETED).await.len(), 4, "nobody looks yet");
    pass(&time, 120_000);
    work(&active).await;
    assert_eq!(rows(&active, keys::KEY_DELETED).await.len(), 1, "the one that waits for thirty days");
    drop((root, active));
    core.shutdown().await;
}

fn restoring(id: &str) -> MountEnable {
    let options = [("restore".to_owned(), id.to_owned())].into();
    MountEnable { options: Some(options), ..MountEnable::default() }
}
