//! What is loaded follows what is stored, and records hold no value.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use coffer_api::audit::AuditQuery;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn rotation_that_has_returned_is_seen_by_every_later_request() {
    let world = Arc::new(World::new().await);
    world.key("k", Algorithm::Aes256Gcm).await;
    // The highest version whose rotation has returned.
    let rotated = Arc::new(AtomicU32::new(1));
    let mut users = Vec::new();
    for _ in 0..4 {
        let (world, rotated) = (Arc::clone(&world), Arc::clone(&rotated));
        users.push(tokio::spawn(async move {
            loop {
                let least = rotated.load(Ordering::Acquire);
                if least > 20 {
                    return;
                }
                let text = world.encrypted("k", b"hello").await;
                let version = text.split(':').nth(1).unwrap()[1..].parse::<u32>().unwrap();
                assert!(version >= least, "encrypted with {version} after the rotation to {least}");
                assert_eq!(world.decrypted("k", &text).await.unwrap(), b"hello");
            }
        }));
    }
    for version in 2..=21 {
        world.rotate("k").await;
        rotated.store(version, Ordering::Release);
    }
    for user in users {
        user.await.unwrap();
    }
    Arc::into_inner(world).unwrap().end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn suspension_that_has_returned_stops_every_later_request() {
    let world = Arc::new(World::new().await);
    world.key("k", Algorithm::Aes256Gcm).await;
    let text = Arc::new(world.encrypted("k", b"hello").await);
    for round in 0..20 {
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let (world, text) = (Arc::clone(&world), Arc::clone(&text));
                tokio::spawn(async move { world.decrypted("k", &text).await })
            })
            .collect();
        world.root.key_suspend(&world.mount, "k", &[1], &()).await.unwrap();
        assert!(world.decrypted("k", &text).await.unwrap_err().contains("suspended"), "round {round}");
        for reader in readers {
            // Before or after, as it came.
            let _ = reader.await.unwrap();
        }
        assert!(world.decrypted("k", &text).await.is_err(), "what raced the suspension brought nothing back");
        world.root.key_resume(&world.mount, "k", &[1], &()).await.unwrap();
        assert!(world.decrypted("k", &text).await.is_ok(), "round {round}");
    }
    Arc::into_inner(world).unwrap().end().await;
}

#[tokio::test]
async fn key_that_was_deleted_is_forgotten_and_its_name_is_another_keys() {
    let world = World::new().await;
    world.key("k", Algorithm::Aes256Gcm).await;
    let text = world.encrypted("k", b"hello").await;
    let configure = crate::engine::key::configure::KeyConfigure { deletion_allowed: Some(true), ..Default::default() };
    world.root.key_configure(&world.mount, "k", configure, &()).await.unwrap();
    world.root.key_delete(&world.mount, "k").await.unwrap();
    let item = DecryptItem { ciphertext: &text, ..DecryptItem::default() };
    let gone = world.root.key_decrypt(&world.mount, "k", &[item], &()).await.err().unwrap();
    assert_eq!(gone.code(), Code::NotFound);
    world.key("k", Algorithm::Aes256Gcm).await;
    assert!(world.decrypted("k", &text).await.is_err());
    world.end().await;
}

#[tokio::test]
async fn keys_in_use_leave_memory_with_their_mount_and_with_the_seal() {
    let world = World::new().await;
    world.key("k", Algorithm::Aes256Gcm).await;
    world.encrypted("k", b"hello").await;
    let held = |key: &Arc<LoadedKey>| Arc::downgrade(key);
    let loaded = held(&world.root.active.loaded_key(&world.mount, "k").await.unwrap().unwrap());
    assert!(loaded.upgrade().is_some(), "it is kept");
    world.root.mount_disable("transit/").await.unwrap();
    assert!(loaded.upgrade().is_none());
    let mount = World::mounted(&world.root, "other/").await;
    world.root.key_create(&mount, "k", KeyCreate::transit(Algorithm::Aes256Gcm), &()).await.unwrap();
    let loaded = held(&world.root.active.loaded_key(&mount, "k").await.unwrap().unwrap());
    assert!(loaded.upgrade().is_some());
    world.end().await;
    // What ends with the node lets go of it by itself.
    let patience = Instant::now() + Duration::from_secs(20);
    while loaded.upgrade().is_some() {
        assert!(Instant::now() < patience, "it outlived the seal");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn many_versions_stay_usable_beyond_those_that_stay_loaded() {
    let world = World::new().await;
    world.key("k", Algorithm::Aes128Gcm).await;
    let mut texts = vec![world.encrypted("k", b"1").await];
    for number in 2..=70_u32 {
        world.rotate("k").await;
        texts.push(world.encrypted("k", number.to_string().as_bytes()).await);
    }
    let items: Vec<DecryptItem<'_>> =
        texts.iter().map(|text| DecryptItem { ciphertext: text, ..DecryptItem::default() }).collect();
    let opened = world.root.key_decrypt(&world.mount, "k", &items, &()).await.unwrap();
    for (number, opened) in (1..).zip(opened) {
        let opened = opened.unwrap();
        assert_eq!(opened.key_version, number);
        assert_eq!(STANDARD.decode(opened.plaintext.as_bytes()).unwrap(), number.to_string().as_bytes());
    }
    world.end().await;
}

#[tokio::test]
async fn records_hold_nothing_that_was_sent_or_given_back() {
    const CANARY: &str = "canary-5d1f0c";
    let world = World::new().await;
    let create = KeyCreate { derived: true, exportable: true, ..KeyCreate::transit(Algorithm::Aes256Gcm) };
    world.make("k", KeyCreate { allow_plaintext_backup: true, ..create }).await;
    world.make("s", KeyCreate { derived: true, ..KeyCreate::transit(Algorithm::Ed25519) }).await;
    let (root, mount) = (&world.root, &world.mount);
    let mut secrets = vec![CANARY.to_owned(), STANDARD.encode(CANARY)];
    let value = Input::Raw(CANARY.as_bytes());
    let item = EncryptItem { plaintext: value, context: value, associated_data: value, key_version: 0 };
    let text = one(root.key_encrypt(mount, "k", &[item], &()).await).unwrap().ciphertext;
    let item = DecryptItem { ciphertext: &text, context: value, associated_data: value };
    one(root.key_decrypt(mount, "k", &[item], &()).await).unwrap();
    let wrong = DecryptItem { ciphertext: CANARY, ..DecryptItem::default() };
    assert!(root.key_decrypt(mount, "k", &[wrong], &()).await.unwrap()[0].is_err());
    let wanted = DataKey {
        reveal: Reveal::Plain,
        bits: DataKeyBits::Bits256,
        context: value,
        associated_data: value,
        key_version: 0,
    };
    let data_key = root.key_data_key(mount, "k", wanted, &()).await.unwrap().unwrap();
    let how = Signing { key_version: 0, options: Default::default() };
    let item = SignItem { input: value, context: value };
    let signed = one(root.key_sign(mount, "s", &how, &[item], &()).await).unwrap();
    let item = VerifyItem { input: value, context: value, signature: &signed.signature };
    one(root.key_verify(mount, "s", &how.options, &[item], &()).await).unwrap();
    let mac = one(root.key_hmac(mount, "k", None, 0, &[value], &()).await).unwrap();
    let exported = root
        .key_export(mount, ExportKind::EncryptionKey, "k", VersionChoice::All, ExportFormat::Default)
        .await
        .unwrap();
    let backup = root.key_backup(mount, "k").await.unwrap();
    for text in [&text, &data_key.ciphertext, &signed.signature, &mac.hmac] {
        secrets.push(text.rsplit(':').next().unwrap().to_owned());
    }
    secrets.push(data_key.plaintext.unwrap().to_string());
    secrets.push(exported.keys[0].1.to_string());
    secrets.push(backup.expose().get(..40).unwrap().to_owned());
    let page = root.audit_query(&AuditQuery { limit: Some(1000), ..AuditQuery::default() }).await.unwrap();
    let log = serde_json::to_string(&page.entries.iter().map(|entry| &entry.entry).collect::<Vec<_>>()).unwrap();
    assert!(log.contains("key.data_key") && log.contains("key.backup") && log.contains("key.verify"));
    for secret in secrets {
        assert!(!log.contains(&secret), "{secret}");
    }
    world.end().await;
}
