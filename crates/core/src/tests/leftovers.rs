//! What is left to be worked off in the background.

use std::{sync::Arc, time::Duration};

use coffer_api::{Sensitive, token::TokenCreate};
use serde_json::value::RawValue;

use super::{NOON, caller, config, dev, dev_with_keys, facts, rows};
use crate::{
    AppRole, Caller, Core, CreatePath, KvWrite, MountEnable, MountKind, Password, SecretIdIssue, User,
    active::Active,
    codec,
    commit::Edit,
    keys,
    mount::purge,
    token::{Marker, token_row},
};

/// Waits until there are no rows below a prefix.
async fn emptied(active: &Active, prefix: &str) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !rows(active, prefix).await.is_empty() {
        assert!(std::time::Instant::now() < deadline, "{:?}", rows(active, prefix).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A mount of each kind that keeps anything, with something in it.
async fn filled(root: &Caller) {
    let mut shredding = MountEnable::default();
    shredding.options.get_or_insert_default().insert("shred".to_owned(), "true".to_owned());
    root.mount_enable("torn/", MountKind::KvV2, shredding, &()).await.unwrap();
    root.mount_enable("one/", MountKind::KvV1, MountEnable::default(), &()).await.unwrap();
    root.mount_enable("auth/up/", MountKind::Userpass, MountEnable::default(), &()).await.unwrap();
    root.mount_enable("auth/roles/", MountKind::Approle, MountEnable::default(), &()).await.unwrap();
    let data = RawValue::from_string(r#"{"k":"v"}"#.to_owned()).unwrap();
    let write = || KvWrite { data: &data, cas: None, shred: None };
    let torn = root.resolve("torn/data/a").unwrap();
    for n in 0..250 {
        root.kv_write(&torn, &format!("a/{n}"), write(), &()).await.unwrap();
        root.kv_write(&torn, &format!("a/{n}"), write(), &()).await.unwrap();
    }
    let kept = root.resolve("secret/data/a").unwrap();
    root.kv_write(&kept, "kept", write(), &()).await.unwrap();
    let password = Sensitive::from("correct horse");
    let up = root.resolve("auth/up/login").unwrap();
    root.user_write(&up, "ada", None, Some(Password::Plain(&password)), &(), |_: &mut User| Ok(())).await.unwrap();
    let roles = root.resolve("auth/roles/login").unwrap();
    root.approle_write(&roles, "r", None, &(), |_: &mut AppRole| Ok(())).await.unwrap();
    root.secret_id_issue(&roles, "r", SecretIdIssue::default(), &()).await.unwrap();
}

/// Everything that mounts keep.
const KEPT: [&str; 7] =
    [keys::KV, keys::KV_VERSION, keys::OBJECT, keys::USER, keys::APPROLE, keys::APPROLE_ID, keys::SECRET_ID];

async fn kept(active: &Active) -> Vec<String> {
    let mut kept = Vec::new();
    for prefix in KEPT {
        kept.extend(rows(active, prefix).await);
    }
    kept
}

#[tokio::test]
async fn disabled_mounts_leave_none_of_their_rows() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let active = Arc::clone(&root.active);
    filled(&root).await;
    assert_eq!(rows(&active, keys::OBJECT).await.len(), 500);
    assert!(rows(&active, keys::USER).await[0].contains(&root.resolve("auth/up/x").unwrap().id.to_string()));
    for path in ["torn/", "one/", "auth/up/", "auth/roles/"] {
        root.mount_disable(path).await.unwrap();
    }
    let now = active.clock.now();
    purge::purge_all(&active, now).await.unwrap();
    let left = kept(&active).await;
    assert!(left.len() == 1 && left[0].ends_with("/kept"), "{left:?}");
    assert_eq!(
        rows(&active, keys::MOUNT_PURGE).await.len(),
        4,
        "a request that found a mount may still write below it"
    );
    purge::purge_all(&active, now + 3_600_000).await.unwrap();
    assert_eq!(rows(&active, keys::MOUNT_PURGE).await, Vec::<String>::new());
    let told = facts(&root, "mount.purge").await;
    let deleted: u64 =
        told.iter().filter_map(|facts| facts["object_key_deleted"].as_str()?.parse().ok()).max().unwrap();
    assert!(deleted > 0 && told.iter().any(|facts| facts["mount"] == "auth/up/"));
    drop((root, active));
    core.shutdown().await;
}

#[tokio::test]
async fn nothing_of_a_disabled_mount_is_deleted_while_the_clock_is_in_doubt() {
    let (core, time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    let active = Arc::clone(&root.active);
    filled(&root).await;
    time.set_wall(NOON + 3_600_000);
    assert!(active.clock.is_in_doubt());
    let before = kept(&active).await;
    for path in ["torn/", "one/", "auth/up/", "auth/roles/"] {
        root.mount_disable(path).await.unwrap();
    }
    purge::purge_all(&active, active.clock.now() + 3_600_000).await.unwrap();
    assert!(kept(&active).await == before);
    time.set_wall(NOON);
    purge::purge_all(&active, active.clock.now()).await.unwrap();
    let left = kept(&active).await;
    assert!(left.len() == 1 && left[0].ends_with("/kept"), "{left:?}");
    drop((root, active));
    core.shutdown().await;
}

#[tokio::test]
async fn purge_that_a_stop_interrupted_is_resumed_at_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let (core, started) = Core::start(config(dir.path())).await.unwrap();
    let initial = std::fs::read_to_string(started.initial_token_path.unwrap()).unwrap();
    let admin = core.login_initial(super::context(), initial.trim()).await.unwrap().token;
    let root = caller(&core, admin.expose()).await;
    filled(&root).await;
    for path in ["torn/", "one/", "auth/up/", "auth/roles/"] {
        root.mount_disable(path).await.unwrap();
    }
    drop(root);
    core.shutdown().await;
    drop(core);
    let (core, _) = Core::start(config(dir.path())).await.unwrap();
    let active = core.active().unwrap();
    for prefix in [keys::OBJECT, keys::KV_VERSION, keys::USER, keys::APPROLE, keys::APPROLE_ID, keys::SECRET_ID] {
        emptied(&active, prefix).await;
    }
    drop(active);
    core.shutdown().await;
}

#[tokio::test]
async fn tree_whose_revocation_was_interrupted_is_revoked_in_the_background() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let active = Arc::clone(&root.active);
    let request = || TokenCreate { ttl: Some(3600), ..TokenCreate::default() };
    let top = root.token_create(CreatePath::Child, request(), &()).await.unwrap();
    let below = caller(&core, top.token.expose()).await.token_create(CreatePath::Child, request(), &()).await.unwrap();
    // As the first step of a revocation leaves it.
    let mut entry = active.token_entry(&top.accessor).await.unwrap().unwrap().value;
    entry.expires_ms = Some(1);
    let mut edit = Edit::default();
    edit.put(format!("{}{}", keys::REVOKING, top.accessor), codec::encode(&Marker {}).unwrap(), None);
    edit.put_expiring(token_row(&top.accessor), codec::encode(&entry).unwrap(), None, Some(1));
    root.commit(edit, root.record("test", "test")).await.unwrap().spend();
    // Seen twice, it is nobody's who is at it right now.
    for _ in 0..2 {
        active.leftovers_asked.notify_one();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    emptied(&active, keys::REVOKING).await;
    for accessor in [&top.accessor, &below.accessor] {
        assert!(active.token_entry(accessor).await.unwrap().is_none());
    }
    drop((root, active));
    core.shutdown().await;
}

#[tokio::test]
async fn entity_in_more_groups_than_one_commit_takes_is_deleted() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let write = crate::IdentityWrite { name: Some("ada".to_owned()), ..crate::IdentityWrite::default() };
    let ada = root.entity_write("identity/entity", write, &()).await.unwrap().0.id;
    let policies: Vec<String> = (0..1000).map(|n| format!("{n:0>250}")).collect();
    for n in 0..70 {
        let write = crate::IdentityWrite {
            name: Some(format!("g{n}")),
            policies: Some(policies.clone()),
            member_entity_ids: Some(vec![ada.clone()]),
            ..crate::IdentityWrite::default()
        };
        root.group_write("identity/group", write, &()).await.unwrap();
    }
    root.identity_delete("identity/entity/id", crate::Deleted::Entity(crate::By::Id(&ada))).await.unwrap();
    assert!(root.entity_read("identity/entity/id", crate::By::Id(&ada)).await.unwrap().is_none());
    let id = ada.parse().unwrap();
    assert!(root.active.identity.groups_naming(id).is_empty());
    drop(root);
    core.shutdown().await;
}
