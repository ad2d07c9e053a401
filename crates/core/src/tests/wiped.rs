//! What goes with a token: its cubbyhole, and what it wraps.

use std::time::Duration;

use coffer_api::{
    Sensitive,
    token::{TokenCreate, TokenGrant, TokenRef},
};
use coffer_storage::Key;
use serde_json::value::RawValue;

use super::{caller, dev, facts, rows};
use crate::{
    Caller, Core, CreatePath, Operation, Tells, Wrap, WrapForm, Wrapped,
    active::Active,
    codec,
    commit::{Edit, Urgency},
    keys,
    record::Record,
    token::{Marker, expiry_row, sweep, token_row},
};

/// Says something that must be nowhere in the clear.
const CANARY: &str = r#"{"value":"canary-8842"}"#;

async fn make(by: &Caller, request: TokenCreate) -> TokenGrant {
    let request = TokenCreate { policies: vec!["default".to_owned()], ttl: Some(600), ..request };
    by.token_create(CreatePath::Child, request, &()).await.unwrap()
}

async fn put(core: &Core, token: &TokenGrant, path: &str) {
    let data = RawValue::from_string(CANARY.to_owned()).unwrap();
    caller(core, token.token.expose()).await.cubbyhole_write(path, &data, &()).await.unwrap();
}

async fn wrap(by: &Caller) -> Wrapped {
    let payload = Sensitive::from(CANARY);
    let ttl = Duration::from_secs(60);
    by.wrap(Wrap {
        creation_path: "secret/data/a",
        ttl,
        payload,
        tells: Tells::Result,
        token_accessor: None,
        form: WrapForm::Plain,
    })
    .await
    .unwrap()
}

/// As if the token had been made to end a moment ago.
async fn expire(active: &std::sync::Arc<Active>, accessor: &str) {
    let mut entry = active.token_entry(accessor).await.unwrap().unwrap().value;
    let expires = active.clock.now() - 1;
    let mut edit = Edit::default();
    edit.delete(expiry_row(entry.expires_ms.unwrap(), accessor), None);
    entry.expires_ms = Some(expires);
    edit.put_expiring(token_row(accessor), codec::encode(&entry).unwrap(), None, Some(expires));
    let now = expiry_row(expires, accessor);
    edit.put(now, codec::encode(&Marker {}).unwrap(), None);
    active.commit(edit, Record::system("test.expire"), Urgency::Ordinary).await.unwrap().spend();
}

/// As if so many minutes had passed for what the index that the sweep goes by says of a token beside its own end.
async fn pass_minutes(active: &Active, accessor: &str, minutes: i64) {
    let mut edit = Edit::default();
    let own = active.token_entry(accessor).await.unwrap().unwrap().value.expires_ms.unwrap();
    let own = expiry_row(own, accessor);
    for row in rows(active, keys::TOKEN_EXPIRY).await.iter().filter(|row| row.ends_with(accessor) && **row != own) {
        let minute = row.strip_prefix(keys::TOKEN_EXPIRY).unwrap().split('/').next().unwrap();
        let earlier = (i64::from_str_radix(minute, 16).unwrap() - minutes) * 60_000;
        edit.delete(row.clone(), None);
        edit.put(expiry_row(earlier, accessor), codec::encode(&Marker {}).unwrap(), None);
    }
    active.commit_bookkeeping(edit).await.unwrap();
}

async fn left(active: &Active) -> (usize, usize) {
    (rows(active, keys::CUBBYHOLE).await.len(), rows(active, keys::WRAPPED).await.len())
}

#[tokio::test]
async fn cubbyhole_goes_with_its_token_however_that_ends() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let active = core.active().unwrap();
    let of = |grant: &TokenGrant| TokenRef { accessor: Some(grant.accessor.clone()), ..TokenRef::default() };

    let revoked = make(&root, TokenCreate::default()).await;
    put(&core, &revoked, "a").await;
    put(&core, &revoked, "b/c").await;
    for row in rows(&active, keys::CUBBYHOLE).await {
        let stored = active.store.get(&Key::new(row).unwrap()).await.unwrap().unwrap().value;
        assert!(!stored.windows(6).any(|bytes| bytes == b"canary"), "it is sealed");
    }
    assert_eq!(left(&active).await.0, 2);
    root.token_revoke(&of(&revoked), &()).await.unwrap();
    assert_eq!(left(&active).await.0, 0, "revoked");

    let request = TokenCreate { policies: vec!["root".to_owned()], ..TokenCreate::default() };
    let parent = root.token_create(CreatePath::Child, request, &()).await.unwrap();
    let by_parent = caller(&core, parent.token.expose()).await;
    for n in 0..3 {
        let child = make(&by_parent, TokenCreate::default()).await;
        put(&core, &child, &n.to_string()).await;
    }
    put(&core, &parent, "own").await;
    assert_eq!(left(&active).await.0, 4);
    drop(by_parent);
    root.token_revoke(&of(&parent), &()).await.unwrap();
    assert_eq!(left(&active).await.0, 0, "revoked as a tree");

    let short = make(&root, TokenCreate { num_uses: 2, ..TokenCreate::default() }).await;
    put(&core, &short, "a").await;
    let last = caller(&core, short.token.expose()).await;
    assert_eq!(last.cubbyhole_list("", crate::ListPart::default()).await.unwrap(), ["a"]);
    last.finish().await;
    assert_eq!(left(&active).await.0, 0, "used up");

    let dropped = make(&root, TokenCreate { num_uses: 2, ..TokenCreate::default() }).await;
    put(&core, &dropped, "a").await;
    // A client that hangs up, or a crash: nothing comes after the use.
    drop(caller(&core, dropped.token.expose()).await);
    sweep::sweep(&active).await.unwrap();
    assert_eq!(left(&active).await.0, 1, "the request may be under way");
    pass_minutes(&active, &dropped.accessor, 6).await;
    sweep::sweep(&active).await.unwrap();
    assert_eq!(left(&active).await.0, 0, "used up, and nobody came back");
    assert!(active.token_entry(&dropped.accessor).await.unwrap().is_none());
    sweep::sweep(&active).await.unwrap();
    assert!(!rows(&active, keys::TOKEN_EXPIRY).await.iter().any(|row| row.ends_with(&dropped.accessor)));

    let expired = make(&root, TokenCreate::default()).await;
    put(&core, &expired, "a").await;
    expire(&active, &expired.accessor).await;
    sweep::sweep(&active).await.unwrap();
    assert_eq!(left(&active).await.0, 0, "expired");
    assert!(active.token_entry(&expired.accessor).await.unwrap().is_none());
    let reasons = facts(&root, "token.revoke").await;
    assert!(reasons.iter().any(|facts| facts["reason"] == "expired, with its cubbyhole"), "{reasons:?}");
    drop((root, active));
    core.shutdown().await;
}

#[tokio::test]
async fn write_that_comes_after_its_tokens_end_leaves_nothing() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let active = core.active().unwrap();
    let token = make(&root, TokenCreate::default()).await;
    // It was let in, and then its token went.
    let late = caller(&core, token.token.expose()).await;
    let of = TokenRef { accessor: Some(token.accessor.clone()), ..TokenRef::default() };
    root.token_revoke(&of, &()).await.unwrap();
    let data = RawValue::from_string(CANARY.to_owned()).unwrap();
    assert!(late.cubbyhole_write("a", &data, &()).await.is_err());
    assert_eq!(left(&active).await.0, 0);
    drop((root, late, active));
    core.shutdown().await;
}

#[tokio::test]
async fn wrapped_reply_is_sealed_and_goes_with_its_token() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let active = core.active().unwrap();
    let unwrapped = wrap(&root).await;
    let row = rows(&active, keys::WRAPPED).await.remove(0);
    let stored = active.store.get(&Key::new(row).unwrap()).await.unwrap().unwrap().value;
    assert!(!stored.windows(6).any(|bytes| bytes == b"canary"), "it is sealed");
    assert_eq!(root.wrapping_unwrap(Some(&unwrapped.token), &()).await.unwrap().payload.expose(), CANARY);
    assert_eq!(left(&active).await.1, 0, "unwrapped");

    let spent = wrap(&root).await;
    let by_spent = caller(&core, spent.token.expose()).await;
    assert!(by_spent.token_lookup_self(Operation::Read).await.is_err());
    by_spent.finish().await;
    assert_eq!(left(&active).await.1, 0, "spent");

    let revoked = wrap(&root).await;
    let of = TokenRef { accessor: Some(revoked.accessor.clone()), ..TokenRef::default() };
    root.token_revoke(&of, &()).await.unwrap();
    assert_eq!(left(&active).await.1, 0, "revoked");

    let expired = wrap(&root).await;
    expire(&active, &expired.accessor).await;
    assert!(root.wrapping_unwrap(Some(&expired.token), &()).await.is_err());
    sweep::sweep(&active).await.unwrap();
    assert_eq!(left(&active).await.1, 0, "expired");
    for gone in [&unwrapped, &spent, &revoked, &expired] {
        assert!(active.token_entry(&gone.accessor).await.unwrap().is_none());
        assert!(rows(&active, &format!("{}{}", keys::TOKEN_USES, gone.accessor)).await.is_empty());
    }
    drop((root, active));
    core.shutdown().await;
}

#[tokio::test]
async fn token_whose_reply_cannot_be_wrapped_is_revoked() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let inner = make(&root, TokenCreate::default()).await;
    let payload = Sensitive::new("x".repeat(crate::MAX_WRAPPED + 1));
    let token_accessor = Some(inner.accessor.as_str());
    let wrap = Wrap {
        creation_path: "auth/token/create",
        ttl: Duration::from_secs(60),
        payload,
        tells: Tells::Result,
        token_accessor,
        form: WrapForm::Plain,
    };
    assert_eq!(root.wrap(wrap).await.unwrap_err().code(), coffer_api::Code::TooLarge);
    assert!(core.active().unwrap().token_entry(&inner.accessor).await.unwrap().is_none());
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn largest_reply_is_wrapped_and_unwrapped() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let payload = Sensitive::new("x".repeat(crate::MAX_WRAPPED));
    let path = "p".repeat(4096);
    let wrap = Wrap {
        creation_path: &path,
        ttl: Duration::from_millis(29_999),
        payload,
        tells: Tells::Result,
        token_accessor: None,
        form: WrapForm::Plain,
    };
    let wrapped = root.wrap(wrap).await.unwrap();
    assert_eq!(wrapped.ttl, 29, "whole seconds");
    assert_eq!(
        root.wrapping_unwrap(Some(&wrapped.token), &()).await.unwrap().payload.expose().len(),
        crate::MAX_WRAPPED
    );
    drop(root);
    core.shutdown().await;
}
