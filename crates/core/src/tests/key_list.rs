//! Lists of many keys: each page is short work, whatever is filtered by.

use std::time::{Duration, Instant};

use coffer_api::Code;

use super::{caller, dev_with_keys};
use crate::{
    Caller, Kept, KeyAlgorithm, KeyConfigure, KeyCreate, KeyFilter, KeyState, Mount,
    commit::{Edit, Urgency},
    ops::list::ListPart,
    record::Record,
};

const KEYS: usize = 10_000;

/// All pages of a list, and how long the longest took.
async fn all(root: &Caller, mount: &Mount, filter: &KeyFilter, limit: usize) -> (Vec<String>, Duration) {
    let (mut names, mut after, mut longest) = (Vec::new(), String::new(), Duration::ZERO);
    loop {
        let began = Instant::now();
        let page = root.key_list(mount, filter, ListPart { after: &after, limit: Some(limit) }).await.unwrap();
        longest = longest.max(began.elapsed());
        assert!(page.items.len() <= limit);
        names.extend(page.items.into_iter().map(|key| key.name));
        match page.next {
            Some(next) => after = next,
            None => return (names, longest),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_keys_are_listed_and_filtered_in_short_pages() {
    let (core, _time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    let mount = root.resolve("transit/keys/k").unwrap();
    let create = KeyCreate { tags: ["team-a".to_owned()].into(), ..KeyCreate::native(KeyAlgorithm::Ed25519) };
    root.key_create(&mount, "pattern", create, &()).await.unwrap();
    let pattern = root.active.key_entry(mount.id, "pattern").await.unwrap().unwrap().value;
    for numbers in (0..KEYS).collect::<Vec<_>>().chunks(500) {
        let mut edit = Edit::default();
        for number in numbers {
            let mut entry = pattern.clone();
            entry.id = uuid::Uuid::new_v4();
            entry.name = format!("key-{number:05}");
            if number % 1_000 == 7 {
                entry.tags = ["rare".to_owned()].into();
                entry.compromise(1, "a test".to_owned(), 1).unwrap();
            }
            root.active.key_put(None, &entry, &mut edit).unwrap();
        }
        root.active.commit(edit, Record::system("test.keys"), Urgency::Ordinary).await.unwrap().spend();
    }
    let expected: Vec<String> = (0..KEYS).map(|number| format!("key-{number:05}")).collect();
    let rare: Vec<String> = (0..10).map(|number| format!("key-{:05}", number * 1_000 + 7)).collect();
    let named = |part: &str| KeyFilter { name: Some(part.to_owned()), ..KeyFilter::default() };
    let cases = [
        (KeyFilter { algorithm: Some(KeyAlgorithm::Ed25519), ..named("key-") }, expected),
        (KeyFilter { tag: Some("rare".to_owned()), ..KeyFilter::default() }, rare.clone()),
        (KeyFilter { state: Some(KeyState::Compromised), ..KeyFilter::default() }, rare),
        (KeyFilter { state: Some(KeyState::Suspended), ..KeyFilter::default() }, Vec::new()),
        (KeyFilter { algorithm: Some(KeyAlgorithm::Rsa2048), ..KeyFilter::default() }, Vec::new()),
        (named("key-09999"), vec!["key-09999".to_owned()]),
        (KeyFilter { kept: Kept::Deleted, ..KeyFilter::default() }, Vec::new()),
    ];
    for (filter, names) in cases {
        let (found, longest) = all(&root, &mount, &filter, 100).await;
        assert_eq!(found, names, "{filter:?}");
        // What is not optimised takes many times as long.
        let most = if cfg!(debug_assertions) { Duration::from_secs(2) } else { Duration::from_millis(50) };
        assert!(longest < most, "a page took {longest:?} with {filter:?}");
    }
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn deleted_keys_of_one_name_are_all_listed_page_by_page() {
    let (core, _time) = dev_with_keys().await;
    let root = caller(&core, "root").await;
    let mount = root.resolve("transit/keys/k").unwrap();
    for name in ["a", "a", "a", "b"] {
        root.key_create(&mount, name, KeyCreate::native(KeyAlgorithm::Xaes256Gcm), &()).await.unwrap();
        let allow = KeyConfigure { deletion_allowed: Some(true), ..KeyConfigure::default() };
        root.key_configure(&mount, name, allow, &()).await.unwrap();
        root.key_delete(&mount, name).await.unwrap();
    }
    let deleted = KeyFilter { kept: Kept::Deleted, ..KeyFilter::default() };
    assert_eq!(all(&root, &mount, &deleted, 1).await.0, ["a", "a", "a", "b"]);
    let named = KeyFilter { name: Some("b".to_owned()), ..deleted };
    assert_eq!(all(&root, &mount, &named, 10).await.0, ["b"]);
    assert_eq!(all(&root, &mount, &KeyFilter::default(), 10).await.0, Vec::<String>::new());
    let wrong = ListPart { after: &"x".repeat(3_000), limit: None };
    let refused = root.key_list(&mount, &KeyFilter::default(), wrong).await.unwrap_err();
    assert_eq!(refused.code(), Code::TooLarge);
    drop(root);
    core.shutdown().await;
}
