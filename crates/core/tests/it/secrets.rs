//! Native secrets and the KV entries they are.

use coffer_api::{
    Code,
    secrets::{Kind, SetOptions, State},
    token::TokenCreate,
};
use coffer_core::{CreatePath, Depth, KvReach, KvWrite};
use serde_json::value::RawValue;

use crate::harness::{caller, dev, name, scope, value};

/// All of one level.
const LEVEL: KvReach<'_> = KvReach::Level { after: "", limit: None };

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

#[tokio::test]
async fn versions_are_kept_pruned_deleted_and_destroyed() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let at = (scope("acme:prod:api"), name("KEY"));
    for i in 1..=14 {
        let set = root.secret_set(&at.0, &at.1, &value(&format!("v{i}")), SetOptions::default()).await.unwrap();
        assert_eq!(set.version, i);
    }
    let versions = root.secret_versions(&at.0, &at.1).await.unwrap();
    assert_eq!(versions.iter().map(|v| v.version).collect::<Vec<_>>(), (5..=14).collect::<Vec<_>>());
    for i in 5..=14 {
        let read = root.secret_get(&at.0, &at.1, Some(i)).await.unwrap();
        assert_eq!(read.value.expose(), &format!("v{i}"));
    }
    assert_eq!(root.secret_get(&at.0, &at.1, Some(4)).await.unwrap_err().code(), Code::NotFound);
    root.secret_delete(&at.0, &at.1).await.unwrap();
    assert_eq!(root.secret_get(&at.0, &at.1, None).await.unwrap_err().code(), Code::NotFound);
    root.secret_undelete(&at.0, &at.1, &[14]).await.unwrap();
    assert_eq!(root.secret_get(&at.0, &at.1, None).await.unwrap().value.expose(), "v14");
    root.secret_destroy(&at.0, &at.1, &[13]).await.unwrap();
    assert_eq!(root.secret_undelete(&at.0, &at.1, &[13]).await.unwrap_err().code(), Code::Conflict);
    let versions = root.secret_versions(&at.0, &at.1).await.unwrap();
    assert_eq!(versions[8].state, State::Destroyed);
    assert_eq!(root.secret_get(&at.0, &at.1, Some(13)).await.unwrap_err().code(), Code::NotFound);
    let rolled = root.secret_rollback(&at.0, &at.1, 6, Some(14)).await.unwrap();
    assert_eq!(rolled.version, 15);
    assert_eq!(root.secret_get(&at.0, &at.1, None).await.unwrap().value.expose(), "v6");
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn cas_that_does_not_match_is_a_conflict() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let at = (scope("acme"), name("KEY"));
    let cas = |cas| SetOptions { cas: Some(cas), shred: None };
    root.secret_set(&at.0, &at.1, &value("a"), cas(0)).await.unwrap();
    assert_eq!(root.secret_set(&at.0, &at.1, &value("b"), cas(0)).await.unwrap_err().code(), Code::Conflict);
    root.secret_set(&at.0, &at.1, &value("b"), cas(1)).await.unwrap();
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn native_secret_is_the_kv_entry_and_foreign_shapes_are_left_alone() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let mount = root.resolve("secret/data/x").unwrap();
    let at = (scope("acme:prod:api"), name("KEY"));
    root.secret_set(&at.0, &at.1, &value("a\"b"), SetOptions::default()).await.unwrap();
    let read = root.kv_read(&mount, "acme/prod/api/KEY", None).await.unwrap();
    assert_eq!(read.data().unwrap(), br#"{"value":"a\"b"}"#);
    let data = raw(r#"{"user":"u","n":12345678901234567890}"#);
    let write = KvWrite { data: &data, cas: None, shred: None };
    root.kv_write(&mount, "acme/prod/api/OTHER", write, &()).await.unwrap();
    let list = root.secret_list(&at.0, Depth::Own, "", 100).await.unwrap();
    let kinds: Vec<_> = list.items.iter().map(|info| (info.name.as_str(), info.kind)).collect();
    assert_eq!(kinds, [("KEY", Kind::Secret), ("OTHER", Kind::Kv)]);
    let refused = root.secret_set(&at.0, &name("OTHER"), &value("x"), SetOptions::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Conflict);
    assert_eq!(root.kv_list(&mount, "", LEVEL).await.unwrap(), ["acme/"]);
    assert_eq!(root.kv_list(&mount, "acme/prod/api/", LEVEL).await.unwrap(), ["KEY", "OTHER"]);
    assert_eq!(
        root.kv_list(&mount, "acme", KvReach::Below { limit: None }).await.unwrap(),
        ["prod/api/KEY", "prod/api/OTHER"]
    );
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn shredded_versions_read_back_and_lose_their_object_key() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let at = (scope("acme:prod"), name("KEY"));
    let shred = SetOptions { cas: None, shred: Some(true) };
    root.secret_set(&at.0, &at.1, &value("one"), shred).await.unwrap();
    root.secret_set(&at.0, &at.1, &value("two"), SetOptions::default()).await.unwrap();
    assert_eq!(root.secret_get(&at.0, &at.1, Some(1)).await.unwrap().value.expose(), "one");
    assert_eq!(root.secret_get(&at.0, &at.1, None).await.unwrap().value.expose(), "two");
    root.secret_destroy(&at.0, &at.1, &[1, 2]).await.unwrap();
    assert_eq!(root.secret_get(&at.0, &at.1, None).await.unwrap_err().code(), Code::NotFound);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn effective_view_shows_origins_and_counts_the_hidden() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    for (at, key, text) in [
        ("acme", "A", "p"),
        ("acme", "B", "p"),
        ("acme:prod", "B", "e"),
        ("acme:prod:api", "C", "s"),
        ("acme:prod:api", "A", "s"),
    ] {
        root.secret_set(&scope(at), &name(key), &value(text), SetOptions::default()).await.unwrap();
    }
    let view = root.secret_effective(&scope("acme:prod:api"), None).await.unwrap();
    let shown: Vec<_> =
        view.secrets.iter().map(|s| (s.name.as_str(), s.scope.to_string(), s.value.expose().as_str())).collect();
    assert_eq!(
        shown,
        [("A", "acme:prod:api".into(), "s"), ("B", "acme:prod".into(), "e"), ("C", "acme:prod:api".into(), "s")]
    );
    let policy = r#"
        path "secret/metadata/acme/*" { capabilities = ["list"] }
        path "secret/data/acme/prod/api/*" { capabilities = ["read"] }
    "#;
    root.policy_write("narrow", "sys/policies/acl/", policy, &()).await.unwrap();
    let request = TokenCreate { policies: vec!["narrow".into()], ..TokenCreate::default() };
    let token = root.token_create(CreatePath::Child, request, &()).await.unwrap();
    let narrow = caller(&core, token.token.expose()).await;
    let view = narrow.secret_effective(&scope("acme:prod:api"), None).await.unwrap();
    assert_eq!(view.secrets.len(), 2);
    assert_eq!(view.hidden, 1);
    let error = narrow.secret_get(&scope("acme"), &name("A"), None).await.unwrap_err();
    assert_eq!(error.code(), Code::Denied);
    assert!(error.public().contains("read on secret/data/acme/A"), "{}", error.public());
    let at = (scope("acme:prod:api"), name("Z"));
    let refused = narrow.secret_set(&at.0, &at.1, &value("x"), SetOptions::default()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Denied);
    drop((root, narrow));
    core.shutdown().await;
}

#[tokio::test]
async fn search_finds_names_in_every_scope() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    for i in 0..30 {
        let at = scope(&format!("p{}:e{}", i % 3, i % 5));
        root.secret_set(&at, &name(&format!("DB_URL_{i}")), &value("x"), SetOptions::default()).await.unwrap();
    }
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let page = root.secret_search("url", &after, 7).await.unwrap();
        found.extend(page.items.into_iter().map(|info| info.name));
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    found.sort();
    let mut expected: Vec<String> = (0..30).map(|i| format!("DB_URL_{i}")).collect();
    expected.sort();
    assert_eq!(found, expected, "each name once, over all pages");
    drop(root);
    core.shutdown().await;
}
