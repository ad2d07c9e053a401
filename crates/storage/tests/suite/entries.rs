//! Single entries: any bytes as key, any sealed value.

use coffer_storage::{Key, Sealed};

use crate::backend::{Backend, commit, key, limit, prefix, put, value};

pub(crate) async fn get_of_missing_key_is_none(backend: Backend) {
    let store = backend.open().await;
    assert_eq!(store.get(&key("nothing")).await.unwrap(), None);
}

pub(crate) async fn put_then_get_returns_value_and_revision(backend: Backend) {
    let store = backend.open().await;
    let first = commit(&*store, vec![put("a", "one")]).await.unwrap();
    let entry = store.get(&key("a")).await.unwrap().unwrap();
    assert_eq!((entry.value.as_ref(), entry.revision), (b"one".as_slice(), first));
    let second = commit(&*store, vec![put("a", "two")]).await.unwrap();
    let entry = store.get(&key("a")).await.unwrap().unwrap();
    assert_eq!((entry.value.as_ref(), entry.revision), (b"two".as_slice(), second));
}

pub(crate) async fn binary_keys_are_kept_apart_and_in_order(backend: Backend) {
    let store = backend.open().await;
    let mut keys: Vec<Vec<u8>> = (0..=255_u8).map(|byte| vec![byte]).collect();
    keys.extend((0..=255_u8).map(|byte| vec![b'a', byte]));
    keys.extend([
        b"a\x00\x00".to_vec(),
        b"\x00\x00".to_vec(),
        b"\xff\xff".to_vec(),
        b"\\x00".to_vec(),
        b"'; --".to_vec(),
    ]);
    keys.extend([b"\xc3\xa9".to_vec(), b"e\xcc\x81".to_vec(), b"A\x00b".to_vec()]);
    commit(&*store, keys.iter().rev().map(|bytes| put(bytes, bytes)).collect()).await.unwrap();
    keys.sort();
    let page = store.scan(&prefix(""), None, limit(1000)).await.unwrap();
    assert!(!page.more);
    let found: Vec<&[u8]> = page.items.iter().map(|(key, _)| key.as_bytes()).collect();
    assert_eq!(found, keys);
    for bytes in &keys {
        assert_eq!(value(&*store, bytes).await.unwrap(), bytes);
    }
}

pub(crate) async fn longest_key_is_stored_and_scanned(backend: Backend) {
    let store = backend.open().await;
    let (low, high) = (vec![0x00; Key::MAX], vec![0xff; Key::MAX]);
    commit(&*store, vec![put(&low, "low"), put(&high, "high")]).await.unwrap();
    assert_eq!(value(&*store, &high).await.unwrap(), "high");
    let page = store.scan_keys(&prefix(&high), None, limit(2)).await.unwrap();
    assert_eq!(page.items.len(), 1);
    let page = store.scan_keys(&prefix(""), Some(&key(&low)), limit(2)).await.unwrap();
    assert_eq!(page.items[0], key(&high));
    assert!(store.scan_keys(&prefix(""), Some(&key(&high)), limit(2)).await.unwrap().items.is_empty());
}

pub(crate) async fn large_and_empty_values_come_back_whole(backend: Backend) {
    let store = backend.open().await;
    for size in [0, 1, 700, 1023, 4096, 65_537, 1024 * 1024, Sealed::MAX] {
        // Differs at every position, so that a lost or repeated page shows.
        let mut bytes: Vec<u8> = (0..size.div_ceil(4)).flat_map(|n: usize| (n as u32).to_le_bytes()).collect();
        bytes.truncate(size);
        commit(&*store, vec![put("large", &bytes)]).await.unwrap();
        assert!(value(&*store, "large").await.unwrap() == bytes, "{size} bytes came back different");
    }
}
