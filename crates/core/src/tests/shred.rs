//! Destroying a shredded version deletes its object key, and with it the value.

use coffer_api::{
    Code, Sensitive,
    secrets::{SetOptions, State},
};
use serde_json::value::RawValue;

use super::{caller, dev, facts, rows};
use crate::{
    Caller, KvWrite, Mount, MountEnable, MountKind,
    engine::kv::{KvPath, entry::Data},
    keys,
    object::object_row,
};

/// The object key's id and the sealed bytes of the current version.
async fn sealed(root: &Caller, mount: &Mount, path: &str) -> (uuid::Uuid, Vec<u8>) {
    let loaded = root.active.kv_load(mount, KvPath::parse(path).unwrap()).await.unwrap().unwrap();
    let object = loaded.head.version(loaded.head.current).unwrap().object.unwrap();
    match loaded.opened.data() {
        Data::Shredded(sealed) => (object, sealed.to_vec()),
        Data::Nothing | Data::Plain(_) => panic!("the version is not under an object key"),
    }
}

#[tokio::test]
async fn destroyed_version_has_no_object_key_and_its_sealed_bytes_do_not_open() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let (scope, name) = ("acme:prod".parse().unwrap(), "KEY".parse().unwrap());
    let set = async |text: &str, shred| {
        let options = SetOptions { cas: None, shred };
        root.secret_set(&scope, &name, &Sensitive::from(text), options).await.unwrap();
    };
    set("plain", None).await;
    assert_eq!(rows(&root.active, keys::OBJECT).await, Vec::<String>::new());
    set("one", Some(true)).await;
    set("two", None).await;
    assert_eq!(rows(&root.active, keys::OBJECT).await.len(), 2, "the option holds for later versions");

    let mount = root.resolve("secret/data/x").unwrap();
    let row = KvPath::parse("acme/prod/KEY").unwrap().row(&mount);
    let (object, bytes) = sealed(&root, &mount, "acme/prod/KEY").await;
    assert!(!bytes.windows(3).any(|window| window == b"two"));
    let opened = root.active.open_object(&row, 3, object, &bytes).await.unwrap();
    assert_eq!(opened.as_slice(), br#"{"value":"two"}"#);

    root.secret_destroy(&scope, &name, &[3]).await.unwrap();
    let left = rows(&root.active, keys::OBJECT).await;
    assert_eq!(left.len(), 1);
    assert!(!left.contains(&object_row(object)));
    let gone = root.active.open_object(&row, 3, object, &bytes).await.unwrap_err();
    assert_eq!(gone.code(), Code::Integrity);
    let other = left[0].strip_prefix(keys::OBJECT).unwrap().parse().unwrap();
    assert!(root.active.open_object(&row, 3, other, &bytes).await.is_err(), "another version's key opens nothing");
    assert_eq!(root.secret_get(&scope, &name, Some(2)).await.unwrap().value.expose(), "one");
    let states: Vec<State> = root.secret_versions(&scope, &name).await.unwrap().iter().map(|v| v.state).collect();
    assert_eq!(states[2], State::Destroyed);
    assert_eq!(facts(&root, "secret.destroy").await[0]["object_key_deleted"], "1");

    // Deleting brings nothing to an end that can come back; removing the whole entry does.
    root.secret_delete(&scope, &name).await.unwrap_err();
    root.kv_delete_versions(&mount, "acme/prod/KEY", &[2], &()).await.unwrap();
    assert_eq!(rows(&root.active, keys::OBJECT).await, left);
    root.kv_metadata_delete(&mount, "acme/prod/KEY").await.unwrap();
    assert_eq!(rows(&root.active, keys::OBJECT).await, Vec::<String>::new());
    assert_eq!(facts(&root, "metadata.delete").await[0]["object_key_deleted"], "1");
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn version_that_is_pruned_loses_its_object_key() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let (scope, name) = ("acme".parse().unwrap(), "KEY".parse().unwrap());
    for _ in 0..14 {
        let options = SetOptions { cas: None, shred: Some(true) };
        root.secret_set(&scope, &name, &Sensitive::from("x"), options).await.unwrap();
    }
    assert_eq!(rows(&root.active, keys::OBJECT).await.len(), 10);
    let of_writes = facts(&root, "secret.write").await;
    let deleting = of_writes.iter().filter(|facts| facts["object_key_deleted"] == "1").count();
    assert_eq!((of_writes.len(), deleting), (14, 4));
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn mount_with_shred_seals_each_version_under_a_key_of_its_own() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let mut how = MountEnable::default();
    how.options.get_or_insert_default().insert("shred".to_owned(), "true".to_owned());
    root.mount_enable("torn/", MountKind::KvV2, how, &()).await.unwrap();
    let mount = root.resolve("torn/data/a").unwrap();
    let data = RawValue::from_string(r#"{"k":"v"}"#.to_owned()).unwrap();
    for _ in 0..2 {
        root.kv_write(&mount, "a", KvWrite { data: &data, cas: None, shred: None }, &()).await.unwrap();
    }
    assert_eq!(rows(&root.active, keys::OBJECT).await.len(), 2);
    let row = KvPath::parse("a").unwrap().row(&mount);
    let (object, bytes) = sealed(&root, &mount, "a").await;
    root.active.open_object(&row, 2, object, &bytes).await.unwrap();
    root.kv_destroy(&mount, "a", &[1, 2], &()).await.unwrap();
    assert_eq!(rows(&root.active, keys::OBJECT).await, Vec::<String>::new());
    assert_eq!(root.active.open_object(&row, 2, object, &bytes).await.unwrap_err().code(), Code::Integrity);
    assert_eq!(facts(&root, "secret.destroy").await[0]["object_key_deleted"], "2");
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn shredded_value_stays_shredded_wherever_it_is_carried() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let (acme, other) = ("acme".parse().unwrap(), "other".parse().unwrap());
    let set = async |scope: &coffer_api::Scope, name: &str, text: &str, shred| {
        let options = SetOptions { cas: None, shred };
        root.secret_set(scope, &name.parse().unwrap(), &Sensitive::from(text), options).await.unwrap();
    };
    let mount = root.resolve("secret/data/x").unwrap();
    // Over what is plain, and over what was deleted.
    for target in ["A", "B"] {
        set(&other, target, "plain", None).await;
        set(&acme, target, "shredded", Some(true)).await;
    }
    root.secret_delete(&other, &"B".parse().unwrap()).await.unwrap();
    for (name, moves) in [("A", true), ("B", false)] {
        let names = vec![name.parse().unwrap()];
        let (from, to) = (acme.clone(), other.clone());
        let copy = coffer_api::copies::SecretCopy { from, to, names, rename: None, moves, overwrite: true };
        root.secret_copy(&copy).await.unwrap();
        // Else this finds no object key.
        sealed(&root, &mount, &format!("other/{name}")).await;
    }
    // Back to a version that was, though the secret no longer is.
    set(&acme, "C", "shredded", Some(true)).await;
    let id = root.snapshot_create(&acme, "").await.unwrap().id;
    set(&acme, "C", "plain", Some(false)).await;
    root.secret_rollback(&acme, &"C".parse().unwrap(), 1, None).await.unwrap();
    sealed(&root, &mount, "acme/C").await;
    set(&acme, "C", "plain", Some(false)).await;
    root.snapshot_restore(&acme, id, coffer_api::snapshots::Restore::default()).await.unwrap();
    sealed(&root, &mount, "acme/C").await;
    drop(root);
    core.shutdown().await;
}
