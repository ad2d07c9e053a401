//! Keys without versions, and the moment in which their mount begins to keep versions, moves or goes.

use std::{collections::BTreeMap, sync::Arc};

use coffer_api::Code;
use serde_json::value::RawValue;

use super::{caller, config, context, dev, facts, rows};
use crate::{Caller, Core, KvWrite, Mount, MountEnable, MountKind, MountTune, Tuned, keys};

async fn enabled(root: &Caller, shred: &str) -> Arc<Mount> {
    let options = BTreeMap::from([("shred".to_owned(), shred.to_owned())]);
    let how = MountEnable { options: Some(options), ..MountEnable::default() };
    root.mount_enable("one/", MountKind::KvV1, how, &()).await.unwrap();
    root.resolve("one/a").unwrap()
}

async fn upgrade(root: &Caller) {
    let options = BTreeMap::from([("version".to_owned(), "2".to_owned())]);
    let tune = MountTune { options: Some(options), ..MountTune::default() };
    let tuned = root.mount_tune("sys/mounts/one/tune", "one/", tune, &()).await.unwrap();
    assert_eq!(tuned, Tuned::Versioned);
}

#[tokio::test]
async fn overwriting_leaves_one_row_and_one_object_key() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let mount = enabled(&root, "true").await;
    for value in [r#"{"x":1}"#, r#"{"x":2}"#] {
        root.kv1_write(&mount, "a", value.as_bytes(), &()).await.unwrap();
    }
    assert_eq!(rows(&root.active, keys::OBJECT).await.len(), 1);
    assert_eq!(rows(&root.active, &crate::engine::kv::prefix(&mount)).await.len(), 1);
    assert_eq!(rows(&root.active, keys::KV_VERSION).await, Vec::<String>::new());
    assert_eq!(root.kv1_read(&mount, "a").await.unwrap().as_slice(), br#"{"x":2}"#);
    assert_eq!(facts(&root, "secret.write").await[1]["object_key_deleted"], "1");
    root.kv1_delete(&mount, "a").await.unwrap();
    assert_eq!(rows(&root.active, keys::OBJECT).await, Vec::<String>::new());
    assert_eq!(root.kv1_read(&mount, "a").await.unwrap_err().code(), Code::NotFound);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn writer_routed_before_an_upgrade_takes_no_version_away() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let before = enabled(&root, "false").await;
    root.kv1_write(&before, "a", br#"{"x":1}"#, &()).await.unwrap();
    upgrade(&root).await;
    let after = root.resolve("one/data/a").unwrap();
    let data = RawValue::from_string(r#"{"x":2}"#.to_owned()).unwrap();
    root.kv_write(&after, "a", KvWrite { data: &data, cas: Some(1), shred: None }, &()).await.unwrap();
    let late = root.kv1_write(&before, "a", br#"{"x":3}"#, &()).await.unwrap_err();
    assert_eq!(late.code(), Code::Unavailable);
    assert_eq!(root.kv1_delete(&before, "a").await.unwrap_err().code(), Code::Unavailable);
    for (version, data) in [(1, r#"{"x":1}"#), (2, r#"{"x":2}"#)] {
        let read = root.kv_read(&after, "a", Some(version)).await.unwrap();
        assert_eq!(read.data().unwrap(), data.as_bytes());
    }
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn writer_routed_before_a_move_writes_nothing_at_the_old_path() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let before = enabled(&root, "false").await;
    root.mount_move("one", "two", &()).await.unwrap();
    assert_eq!(root.kv1_write(&before, "a", b"{}", &()).await.unwrap_err().code(), Code::Unavailable);
    // Another mount at the old path is another mount.
    enabled(&root, "false").await;
    assert_eq!(root.kv1_write(&before, "a", b"{}", &()).await.unwrap_err().code(), Code::Unavailable);
    let after = root.resolve("two/a").unwrap();
    assert_eq!(after.id, before.id);
    root.kv1_write(&after, "a", b"{}", &()).await.unwrap();
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn move_and_upgrade_outlive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = config(dir.path());
    let (core, started) = Core::start(first.clone()).await.unwrap();
    let initial = std::fs::read_to_string(started.initial_token_path.unwrap()).unwrap();
    let grant = core.login_initial(context(), initial.trim()).await.unwrap();
    let token = grant.token.expose().clone();
    let root = caller(&core, &token).await;
    let mount = enabled(&root, "false").await;
    root.kv1_write(&mount, "a", br#"{"x":1}"#, &()).await.unwrap();
    upgrade(&root).await;
    root.mount_move("one", "two", &()).await.unwrap();
    drop(root);
    core.shutdown().await;
    drop(core);
    first.dev = None;
    let (core, _) = Core::start(first).await.unwrap();
    let root = caller(&core, &token).await;
    assert!(root.resolve("one/data/a").is_none());
    let after = root.resolve("two/data/a").unwrap();
    assert_eq!((after.id, after.kind), (mount.id, MountKind::KvV2));
    assert_eq!(root.kv_read(&after, "a", None).await.unwrap().data().unwrap(), br#"{"x":1}"#);
    drop(root);
    core.shutdown().await;
}
