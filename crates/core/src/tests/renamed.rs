//! An alias that gets another name while somebody deletes it.

use std::sync::Arc;

use super::{caller, dev, rows};
use crate::{AliasWrite, MountEnable, MountKind, keys};

#[tokio::test]
async fn alias_renamed_while_its_deletion_waits_goes_under_its_new_name() {
    let core = dev().await;
    let root = Arc::new(caller(&core, "root").await);
    root.mount_enable("auth/up/", MountKind::Userpass, MountEnable::default(), &()).await.unwrap();
    let accessor = root.resolve("auth/up/login").unwrap().accessor.clone();
    let named = |id: Option<String>, name: &str| AliasWrite {
        id,
        name: Some(name.to_owned()),
        mount_accessor: Some(accessor.clone()),
        ..AliasWrite::default()
    };
    let path = "identity/entity-alias";
    let before = rows(&root.active, keys::ALIAS).await;
    let alias = root.alias_write(path, named(None, "old"), &()).await.unwrap().unwrap().id;
    let turn = root.active.locks.lock(&[keys::ENTITY]).await;
    let rename = tokio::spawn({
        let (root, write) = (Arc::clone(&root), named(Some(alias.clone()), "new"));
        async move { root.alias_write(path, write, &()).await.map(drop) }
    });
    waits().await;
    let delete = tokio::spawn({
        let (root, alias) = (Arc::clone(&root), alias.clone());
        async move { root.alias_delete(path, &alias).await }
    });
    waits().await;
    drop(turn);
    rename.await.unwrap().unwrap();
    delete.await.unwrap().unwrap();
    assert_eq!(rows(&root.active, keys::ALIAS).await, before, "a login by the new name would find the old entity");
    assert_eq!(rows(&root.active, keys::ALIAS_ID).await, Vec::<String>::new());
    drop(root);
    core.shutdown().await;
}

/// Until the task just begun waits for its turn: nothing else happens on this thread, and its store answers at once.
async fn waits() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}
