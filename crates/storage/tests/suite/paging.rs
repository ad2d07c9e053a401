//! Scans: order, pages and their limits, prefixes at the edges.

use coffer_storage::{Key, Limit, Prefix, Store};

use crate::backend::{Backend, commit, key, limit, prefix, put};

/// Every key under the prefix, read in pages by both kinds of scan, which must agree.
async fn keys(store: &dyn Store, prefix: &Prefix, limit: Limit) -> Vec<Key> {
    let mut found = Vec::new();
    loop {
        let after = found.last().cloned();
        let page = store.scan(prefix, after.as_ref(), limit).await.unwrap();
        let names = store.scan_keys(prefix, after.as_ref(), limit).await.unwrap();
        assert!(page.items.len() <= limit.get());
        assert_eq!(page.more, names.more);
        let scanned: Vec<Key> = page.items.into_iter().map(|(key, _)| key).collect();
        assert_eq!(scanned, names.items);
        found.extend(scanned);
        if !page.more {
            return found;
        }
    }
}

pub(crate) async fn pages_cover_everything_once_in_order(backend: Backend) {
    let store = backend.open().await;
    let mut names: Vec<String> = (0..25).map(|number| format!("list/{number}")).collect();
    let others = ["list", "list.", "list0", "lisu/1"];
    let changes = names.iter().map(String::as_str).chain(others).map(|name| put(name, name));
    commit(&*store, changes.collect()).await.unwrap();
    names.sort();
    let expected: Vec<Key> = names.iter().map(key).collect();
    for size in [1, 2, 5, 24, 25, 26, 1000] {
        assert_eq!(keys(&*store, &prefix("list/"), limit(size)).await, expected, "in pages of {size}");
    }
}

pub(crate) async fn prefix_at_the_edges_of_the_byte_range_is_exact(backend: Backend) {
    let store = backend.open().await;
    let names: [&[u8]; 8] = [b"\x00", b"\x00\xff", b"\x01", b"a\xfe", b"a\xff", b"a\xff\x00", b"b", b"\xff\xff"];
    commit(&*store, names.iter().map(|name| put(name, name)).collect()).await.unwrap();
    let all: [&[u8]; 7] = [b"", b"\x00", b"a", b"a\xff", b"\xff", b"\xff\xff", b"\xff\xff\xff"];
    for start in all {
        let expected: Vec<Key> = names.iter().filter(|name| name.starts_with(start)).map(key).collect();
        assert_eq!(keys(&*store, &prefix(start), limit(2)).await, expected, "{:?}", prefix(start));
    }
}

pub(crate) async fn scan_after_a_key_outside_the_prefix_is_clamped(backend: Backend) {
    let store = backend.open().await;
    let names = ["a", "b/1", "b/2", "c"];
    commit(&*store, names.iter().map(|name| put(name, name)).collect()).await.unwrap();
    for (after, expected) in [("a", 2), ("b/", 2), ("b/1", 1), ("b/1x", 1), ("b/2", 0), ("b0", 0), ("z", 0)] {
        let page = store.scan_keys(&prefix("b/"), Some(&key(after)), limit(10)).await.unwrap();
        assert_eq!(page.items.len(), expected, "after {after}");
        let page = store.scan(&prefix("b/"), Some(&key(after)), limit(10)).await.unwrap();
        assert_eq!(page.items.len(), expected, "after {after}");
        assert!(!page.more);
    }
}

pub(crate) async fn scan_of_nothing_is_an_empty_page(backend: Backend) {
    let store = backend.open().await;
    for start in ["", "a", "\u{7f}"] {
        let page = store.scan(&prefix(start), None, limit(1)).await.unwrap();
        assert!(page.items.is_empty() && !page.more);
        let page = store.scan_keys(&prefix(start), None, limit(1)).await.unwrap();
        assert!(page.items.is_empty() && !page.more);
    }
}

pub(crate) async fn page_ends_at_the_value_limit_with_at_least_one_entry(backend: Backend) {
    let store = backend.open().await;
    // Seven values of 1.5 MiB: the sixth takes a page to 9 MiB, so that it is the last one on it.
    let large = vec![1; 3 * 512 * 1024];
    commit(&*store, (0..7).map(|number| put(format!("large/{number}"), &large)).collect()).await.unwrap();
    let first = store.scan(&prefix("large/"), None, limit(1000)).await.unwrap();
    assert_eq!(first.items.len(), 6);
    assert!(first.more);
    assert!(first.items.iter().all(|(_, entry)| entry.value == large));
    let rest = store.scan(&prefix("large/"), Some(&first.items[5].0), limit(1000)).await.unwrap();
    assert_eq!(rest.items.len(), 1);
    assert!(!rest.more);
    let exact = store.scan(&prefix("large/"), None, limit(6)).await.unwrap();
    assert!(exact.items.len() == 6 && exact.more);
    assert_eq!(store.scan_keys(&prefix("large/"), None, limit(1000)).await.unwrap().items.len(), 7);
}
