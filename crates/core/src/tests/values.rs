//! Search by value: what is found, by whom, and what stays in the store of it.

use std::sync::Arc;

use coffer_api::{
    Name, Scope, Sensitive,
    secrets::{SetOptions, ValueIndex, ValueMatch},
    token::TokenCreate,
};

use super::{caller, config, context, dev, facts, rows};
use crate::{
    Caller, Core, CreatePath, KvWrite, MountEnable, MountKind, ValueSearch, commit,
    engine::kv::value::{Clears, keep_indexes},
    keys,
    mount::purge,
};

const LONG: &str = "a value of some length";

fn scope(text: &str) -> Scope {
    text.parse().unwrap()
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

async fn set(caller: &Caller, place: &str, called: &str, value: &str) -> u64 {
    let options = SetOptions::default();
    caller.secret_set(&scope(place), &name(called), &value.into(), options).await.unwrap().version
}

/// Where a value is found, as `scope/name version`.
async fn found(caller: &Caller, value: &str) -> Vec<String> {
    let identified = caller.secret_identify(&[Sensitive::from(value)]).await.unwrap();
    identified.matches.iter().map(|found| format!("{}/{} {}", found.scope, found.name, found.version)).collect()
}

/// Until the index is built and nothing of an older one is left.
async fn settled(caller: &Caller) {
    let mount = caller.active.mounts.at("secret/").unwrap();
    loop {
        keep_indexes(&caller.active, Clears::Known).await.unwrap();
        if caller.active.value_keys.of(mount.id).is_none_or(|key| key.is_built()) {
            return;
        }
    }
}

async fn index(caller: &Caller) -> Vec<String> {
    rows(&caller.active, keys::VALUE_INDEX).await
}

async fn searched() -> (Arc<Core>, Caller) {
    let core = dev().await;
    let root = caller(&core, "root").await;
    root.value_search_set(ValueSearch::On).await.unwrap();
    settled(&root).await;
    (core, root)
}

async fn reader(core: &Core, root: &Caller, policy: &str) -> Caller {
    root.policy_write("p", "sys/policies/acl/", policy, &()).await.unwrap();
    let request = TokenCreate { policies: vec!["p".to_owned()], ..TokenCreate::default() };
    let made = root.token_create(CreatePath::Child, request, &()).await.unwrap();
    caller(core, made.token.expose()).await
}

#[tokio::test]
async fn value_is_found_at_its_current_version_and_nowhere_else() {
    let (core, root) = searched().await;
    set(&root, "acme:prod:api", "A", LONG).await;
    set(&root, "acme", "B", LONG).await;
    assert_eq!(found(&root, LONG).await, ["acme/B 1", "acme:prod:api/A 1"]);
    assert_eq!(set(&root, "acme:prod:api", "A", "another long value").await, 2);
    assert_eq!(found(&root, LONG).await, ["acme/B 1"]);
    assert_eq!(found(&root, "another long value").await, ["acme:prod:api/A 2"]);
    assert_eq!(found(&root, "another long valu").await, [""; 0]);
    assert_eq!(index(&root).await.len(), 2, "one row for each");
    // The same value again is the same row; a rollback brings the old one back.
    set(&root, "acme", "B", LONG).await;
    root.secret_rollback(&scope("acme:prod:api"), &name("A"), 1, None).await.unwrap();
    assert_eq!(found(&root, LONG).await, ["acme/B 2", "acme:prod:api/A 3"]);
    assert_eq!(index(&root).await.len(), 2);
    // Several at once are told by their place.
    let identified = root.secret_identify(&["none of these".into(), LONG.into()]).await.unwrap();
    assert_eq!(identified.index, ValueIndex::Complete);
    let first = ValueMatch { index: 1, scope: scope("acme"), name: name("B"), version: 2 };
    assert_eq!(identified.matches.first(), Some(&first));
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn rows_follow_deletion_destruction_and_the_end_of_an_entry() {
    let (core, root) = searched().await;
    let (place, called) = (scope("acme"), name("A"));
    set(&root, "acme", "A", LONG).await;
    root.secret_delete(&place, &called).await.unwrap();
    assert_eq!((found(&root, LONG).await.len(), index(&root).await.len()), (0, 0));
    root.secret_undelete(&place, &called, &[1]).await.unwrap();
    assert_eq!(found(&root, LONG).await, ["acme/A 1"]);
    root.secret_destroy(&place, &called, &[1]).await.unwrap();
    assert_eq!((found(&root, LONG).await.len(), index(&root).await.len()), (0, 0));
    set(&root, "acme", "A", LONG).await;
    let mount = root.active.mounts.at("secret/").unwrap();
    root.kv_metadata_delete(&mount, "acme/A").await.unwrap();
    assert_eq!((found(&root, LONG).await.len(), index(&root).await.len()), (0, 0));
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn short_values_other_shapes_and_shredded_values_are_in_no_index() {
    let (core, root) = searched().await;
    set(&root, "acme", "SHORT", "seven77").await;
    set(&root, "acme", "EIGHT", "eight888").await;
    let shred = SetOptions { shred: Some(true), ..SetOptions::default() };
    root.secret_set(&scope("acme"), &name("SHRED"), &LONG.into(), shred).await.unwrap();
    let mount = root.active.mounts.at("secret/").unwrap();
    for (path, data) in [
        ("acme/KV", format!(r#"{{"value":"{LONG}","more":1}}"#)),
        ("acme/NUMBER", r#"{"value":12345678}"#.to_owned()),
        ("deep/er/than/any/SCOPE", format!(r#"{{"value":"{LONG}"}}"#)),
    ] {
        let data = serde_json::value::RawValue::from_string(data).unwrap();
        root.kv_write(&mount, path, KvWrite { data: &data, cas: None, shred: None }, &()).await.unwrap();
    }
    assert_eq!(index(&root).await.len(), 1);
    assert_eq!(found(&root, "eight888").await, ["acme/EIGHT 1"]);
    assert_eq!(found(&root, "seven77").await.len() + found(&root, LONG).await.len(), 0);
    // Written through the KV dialect in the native shape it is a native secret.
    let data = serde_json::value::RawValue::from_string(format!(r#"{{"value":"{LONG}"}}"#)).unwrap();
    root.kv_write(&mount, "acme/KV", KvWrite { data: &data, cas: None, shred: None }, &()).await.unwrap();
    assert_eq!(found(&root, LONG).await, ["acme/KV 2"]);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn who_may_not_read_is_told_nothing_and_each_match_is_recorded() {
    let (core, root) = searched().await;
    set(&root, "acme:prod:api", "A", LONG).await;
    set(&root, "acme:dev", "A", LONG).await;
    let stranger = reader(&core, &root, r#"path "secret/metadata/*" { capabilities = ["list", "read"] }"#).await;
    assert_eq!(found(&stranger, LONG).await.len(), 0);
    let denied = r#"path "secret/data/*" { capabilities = ["read"] } path "secret/data/acme/prod/*" { capabilities = ["deny"] }"#;
    let some = reader(&core, &root, denied).await;
    assert_eq!(found(&some, LONG).await, ["acme:dev/A 1"]);

    let question = coffer_api::audit::AuditQuery {
        action: Some("secret.identify".to_owned()),
        ..coffer_api::audit::AuditQuery::default()
    };
    let page = root.audit_query(&question).await.unwrap();
    let told: Vec<_> =
        page.entries.iter().map(|entry| entry.entry["res"]["path"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, ["secret/data/", "secret/data/acme/dev/A", "secret/data/"]);
    let text = serde_json::to_string(&page.entries.iter().map(|entry| &entry.entry).collect::<Vec<_>>()).unwrap();
    assert!(!text.contains(LONG) && text.contains("hmac"), "{text}");
    assert_eq!(facts(&root, "secret.identify").await[0]["matches"], "0");
    drop((root, stranger, some));
    core.shutdown().await;
}

#[tokio::test]
async fn switching_on_indexes_what_is_there_and_off_leaves_nothing() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    for number in 0..130 {
        set(&root, "acme", &format!("N{number}"), &format!("a long value {number}")).await;
    }
    assert_eq!(root.secret_identify(&[LONG.into()]).await.unwrap().index, ValueIndex::Off);
    root.value_search_set(ValueSearch::On).await.unwrap();
    // Before its turn in the background a write is followed already.
    set(&root, "acme", "N5", LONG).await;
    assert_eq!(found(&root, LONG).await, ["acme/N5 2"]);
    settled(&root).await;
    assert_eq!(found(&root, "a long value 129").await, ["acme/N129 1"]);
    assert_eq!(found(&root, "a long value 5").await.len(), 0);
    assert_eq!(index(&root).await.len(), 130);

    root.value_search_set(ValueSearch::Off).await.unwrap();
    assert_eq!(root.secret_identify(&[LONG.into()]).await.unwrap().index, ValueIndex::Off);
    set(&root, "acme", "N6", "not followed any more").await;
    settled(&root).await;
    for prefix in [keys::VALUE_KEY, keys::VALUE_INDEX, keys::VALUE_BUILT] {
        assert_eq!(rows(&root.active, prefix).await, [""; 0], "{prefix}");
    }
    // On again it is another key.
    root.value_search_set(ValueSearch::On).await.unwrap();
    settled(&root).await;
    assert_eq!(found(&root, "not followed any more").await, ["acme/N6 2"]);
    assert_eq!(index(&root).await.len(), 130);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn building_goes_on_where_it_was_and_rows_of_older_keys_are_cleared() {
    let (core, root) = searched().await;
    set(&root, "acme", "A", LONG).await;
    let mount = root.active.mounts.at("secret/").unwrap();
    // What a crash may leave: rows of a key that is gone.
    let stale = format!("{}{}/00000000-0000-4000-8000-000000000000/00/acme/A", keys::VALUE_INDEX, mount.id);
    let after = format!("{}{}/ffffffff-ffff-4fff-bfff-ffffffffffff/00/acme/A", keys::VALUE_INDEX, mount.id);
    let mut edit = commit::Edit::default();
    for row in [&stale, &after] {
        edit.put(row.clone(), zeroize::Zeroizing::new(vec![1]), None);
    }
    root.active.commit_bookkeeping(edit).await.unwrap();
    assert_eq!(index(&root).await.len(), 3);
    keep_indexes(&root.active, Clears::All).await.unwrap();
    assert_eq!(index(&root).await.len(), 1);
    assert_eq!(found(&root, LONG).await, ["acme/A 1"]);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn values_are_asked_about_by_the_thousand_and_not_more() {
    let (core, root) = searched().await;
    let many = |count: usize| vec![Sensitive::from(LONG); count];
    assert!(root.secret_identify(&[]).await.is_err());
    assert!(root.secret_identify(&many(1001)).await.is_err());
    set(&root, "acme", "A", LONG).await;
    assert_eq!(root.secret_identify(&many(1000)).await.unwrap().matches.len(), 1000);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn write_of_a_searched_secret_writes_one_more_row() {
    let (core, root) = searched().await;
    let written = || {
        let text = core.metrics();
        let line = text.lines().find_map(|line| line.strip_prefix("coffer_store_rows_total ")).unwrap();
        line.parse::<u64>().unwrap()
    };
    set(&root, "acme", "A", "a first long value").await;
    let before = (rows(&root.active, "").await.len(), written());
    const TIMES: u64 = 20;
    for number in 0..TIMES {
        set(&root, "acme", "A", &format!("a long value {number}")).await;
    }
    // Entry, superseded version, outbox, index; and the row of the value before goes.
    let each = (written() - before.1) / TIMES;
    assert!((4..=6).contains(&each), "{each} rows a write");
    assert_eq!(index(&root).await.len(), 1);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn disabled_mount_takes_key_and_index_along() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let mut enable = MountEnable::default();
    enable.options.get_or_insert_default().insert("value_search".to_owned(), "true".to_owned());
    root.mount_enable("other/", MountKind::KvV2, enable, &()).await.unwrap();
    keep_indexes(&root.active, Clears::Known).await.unwrap();
    let mount = root.active.mounts.at("other/").unwrap();
    let data = serde_json::value::RawValue::from_string(format!(r#"{{"value":"{LONG}"}}"#)).unwrap();
    root.kv_write(&mount, "acme/A", KvWrite { data: &data, cas: None, shred: None }, &()).await.unwrap();
    assert_eq!((index(&root).await.len(), rows(&root.active, keys::VALUE_KEY).await.len()), (1, 1));
    root.mount_disable("other/").await.unwrap();
    purge::purge_all(&root.active, root.active.clock.now()).await.unwrap();
    keep_indexes(&root.active, Clears::Known).await.unwrap();
    for prefix in [keys::VALUE_KEY, keys::VALUE_INDEX, keys::VALUE_BUILT] {
        assert_eq!(rows(&root.active, prefix).await, [""; 0], "{prefix}");
    }
    assert!(root.active.value_keys.of(mount.id).is_none());
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn restart_finds_what_was_found_before_and_every_row_has_its_record() {
    let dir = tempfile::tempdir().unwrap();
    let core = Core::start(config(dir.path())).await.unwrap().0;
    let initial = std::fs::read_to_string(dir.path().join("initial-token")).unwrap();
    let token = core.login_initial(context(), initial.trim()).await.unwrap().token;
    let root = caller(&core, token.expose()).await;
    set(&root, "acme", "BEFORE", LONG).await;
    root.value_search_set(ValueSearch::On).await.unwrap();
    settled(&root).await;
    set(&root, "acme", "AFTER", LONG).await;
    drop(root);
    core.shutdown().await;

    let core = Core::start(config(dir.path())).await.unwrap().0;
    let root = caller(&core, token.expose()).await;
    let identified = root.secret_identify(&[LONG.into()]).await.unwrap();
    assert_eq!((identified.matches.len(), identified.index), (2, ValueIndex::Complete));
    let vkey = root.audit_checkpoint().await.unwrap().vkey;
    let log = dir.path().join("audit");
    drop(root);
    core.shutdown().await;

    let keys = vec![crate::tlog::note::VerifierKey::parse(&vkey).unwrap()];
    let given = crate::verify::GivenLog { dir: log, keys, since: None };
    let url = format!("sqlite:{}", dir.path().join("store.db").display());
    let report = crate::verify::verify_store(&url, vec![given]).await.unwrap().1;
    assert_eq!((report.finding_count, report.unlogged), (0, 0), "{:?}", report.findings);
    // Whatever of the store is read without its keys, the value is nowhere.
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = if path.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        assert!(!bytes.windows(LONG.len()).any(|window| window == LONG.as_bytes()), "{}", path.display());
    }
}

#[tokio::test]
async fn writer_that_began_before_the_switch_is_not_missed() {
    let core = dev().await;
    let root = Arc::new(caller(&core, "root").await);
    set(&root, "acme", "A", "an older long value").await;
    let mount = root.active.mounts.at("secret/").unwrap();
    // A writer waits for its turn on the path, and knows no key yet.
    let row = format!("{}acme/A", crate::engine::kv::prefix(&mount));
    let turn = root.active.locks.lock(&[&row]).await;
    let writer = tokio::spawn({
        let root = Arc::clone(&root);
        async move { set(&root, "acme", "A", LONG).await }
    });
    root.value_search_set(ValueSearch::On).await.unwrap();
    let builder = tokio::spawn({
        let root = Arc::clone(&root);
        async move { settled(&root).await }
    });
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
    drop(turn);
    assert_eq!(writer.await.unwrap(), 2);
    builder.await.unwrap();
    assert_eq!(found(&root, LONG).await, ["acme/A 2"]);
    assert_eq!(index(&root).await.len(), 1);
    drop(root);
    core.shutdown().await;
}
