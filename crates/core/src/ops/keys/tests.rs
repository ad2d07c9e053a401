//! Keys in force against keys in the store, and what becomes of tokens whose key is gone.

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use coffer_api::token::{TokenCreate, TokenGrant, TokenRef, TokenRenew};

use super::*;
use crate::{
    Core, CreatePath, RotateKey,
    tests::{context, dev},
    token::{child_row, sweep},
};

async fn caller(core: &Core, token: &str) -> Result<Caller, Error> {
    core.caller(context(), Some(token)).await
}

/// A root token of its own, under today's key.
async fn administrator(core: &Core) -> Caller {
    let request = TokenCreate { policies: vec!["root".to_owned()], orphan: true, ..TokenCreate::default() };
    let made = caller(core, "root").await.unwrap().token_create(CreatePath::Child, request, &()).await.unwrap();
    caller(core, made.token.expose()).await.unwrap()
}

async fn make(caller: &Caller, request: TokenCreate) -> TokenGrant {
    caller.token_create(CreatePath::Child, request, &()).await.unwrap()
}

async fn is_accepted(core: &Core, grant: &TokenGrant) -> bool {
    match caller(core, grant.token.expose()).await {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.code(), Code::Unauthenticated);
            false
        }
    }
}

async fn stored_numbers(active: &Active, purpose: Purpose) -> Vec<u32> {
    let mut numbers: Vec<u32> = active.stored_keys(purpose).await.unwrap().iter().map(|key| key.number).collect();
    numbers.reverse();
    numbers
}

#[tokio::test]
async fn token_under_a_retired_key_is_refused_though_it_was_in_use() {
    let core = dev().await;
    let root = caller(&core, "root").await.unwrap();
    let old = make(&root, TokenCreate::default()).await;
    assert!(is_accepted(&core, &old).await, "it is in the cache now");
    root.rotate(RotateKey::Token).await.unwrap();
    assert!(is_accepted(&core, &old).await, "both keys hold during the overlap");
    let new = make(&root, TokenCreate::default()).await;
    let admin = administrator(&core).await;
    let before = core.active().unwrap().tokens.weight();
    let retired = admin.retire(NumberedKey::Token).await.unwrap();
    assert_eq!(retired, Retired { current: 2, key: NumberedKey::Token, removed: vec![1] });
    assert!(!is_accepted(&core, &old).await);
    assert!(caller(&core, "root").await.is_err());
    assert!(core.active().unwrap().tokens.weight() < before, "the cache forgot it");
    assert!(is_accepted(&core, &new).await, "it stands under the new key, and its parent's row is there");
    let of = TokenRef { token: Some(old.token), accessor: None };
    assert_eq!(admin.token_lookup(&of, &()).await.unwrap_err().code(), Code::NotFound);
    // Nothing older: nothing happens.
    let again = admin.retire(NumberedKey::Token).await.unwrap();
    assert_eq!(again.removed, [0_u32; 0]);
    drop((root, admin));
    core.shutdown().await;
}

#[tokio::test]
async fn own_token_s_key_is_not_retired() {
    let core = dev().await;
    let root = caller(&core, "root").await.unwrap();
    root.rotate(RotateKey::Token).await.unwrap();
    let refused = root.retire(NumberedKey::Token).await.unwrap_err();
    assert_eq!(refused.code(), Code::Invalid);
    assert!(refused.public().contains("token key 1"), "{}", refused.public());
    let policy = r#"path "sys/rotate*" { capabilities = ["update", "sudo"] }"#;
    root.policy_write("rotate", "sys/policies/acl/", policy, &()).await.unwrap();
    let policies = vec!["rotate".to_owned()];
    let batch = make(&root, TokenCreate { policies, kind: TokenKind::Batch, ..TokenCreate::default() }).await;
    let batch = caller(&core, batch.token.expose()).await.unwrap();
    batch.rotate(RotateKey::Batch).await.unwrap();
    let refused = batch.retire(NumberedKey::Batch).await.unwrap_err();
    assert!(refused.public().contains("batch key 1"), "{}", refused.public());
    assert_eq!(batch.retire(NumberedKey::Token).await.unwrap().removed, [1], "a batch token is under no token key");
    drop((root, batch));
    core.shutdown().await;
}

#[tokio::test]
async fn batch_token_under_a_retired_key_is_refused() {
    let core = dev().await;
    let root = caller(&core, "root").await.unwrap();
    let wanted = TokenCreate {
        kind: TokenKind::Batch,
        policies: vec!["default".to_owned()],
        ttl: Some(600),
        ..TokenCreate::default()
    };
    let old = make(&root, wanted.clone()).await;
    root.rotate(RotateKey::Batch).await.unwrap();
    let new = make(&root, wanted).await;
    assert!(is_accepted(&core, &old).await && is_accepted(&core, &new).await);
    assert_eq!(root.retire(NumberedKey::Batch).await.unwrap().removed, [1]);
    assert!(!is_accepted(&core, &old).await);
    assert!(is_accepted(&core, &new).await);
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn child_under_the_new_key_keeps_its_retired_parent_and_ends_with_it() {
    let core = dev().await;
    let root = caller(&core, "root").await.unwrap();
    let policy = r#"path "auth/token/create" { capabilities = ["update"] }"#;
    root.policy_write("make", "sys/policies/acl/", policy, &()).await.unwrap();
    let policies = vec!["make".to_owned()];
    let parent = make(&root, TokenCreate { policies, orphan: true, ..TokenCreate::default() }).await;
    let below = caller(&core, parent.token.expose()).await.unwrap();
    let old_child = make(&below, TokenCreate::default()).await;
    root.rotate(RotateKey::Token).await.unwrap();
    let child = make(&below, TokenCreate::default()).await;
    let batch = make(&below, TokenCreate { kind: TokenKind::Batch, ttl: Some(600), ..TokenCreate::default() }).await;
    let admin = administrator(&core).await;
    admin.retire(NumberedKey::Token).await.unwrap();
    drop((root, below));
    assert!(!is_accepted(&core, &parent).await && !is_accepted(&core, &old_child).await);
    assert!(is_accepted(&core, &child).await && is_accepted(&core, &batch).await);
    let of = |grant: &TokenGrant| TokenRef { token: None, accessor: Some(grant.accessor.clone()) };
    assert!(!admin.token_lookup(&of(&child), &()).await.unwrap().orphan, "it still has its parent");
    let renewal = TokenRenew { accessor: Some(parent.accessor.clone()), ..TokenRenew::default() };
    assert_eq!(admin.token_renew(&renewal, &()).await.unwrap_err().code(), Code::Invalid);
    let listed = admin.keys(ListPart::default()).await.unwrap();
    let tokens = |number, state, tokens| KeyInfo { key: NumberedKey::Token, number, state, tokens: Some(tokens) };
    assert!(listed.items.ends_with(&[tokens(2, KeyState::Current, 2), tokens(1, KeyState::Retired, 3)]), "{listed:?}");

    admin.token_revoke(&of(&parent), &()).await.unwrap();
    assert!(!is_accepted(&core, &child).await && !is_accepted(&core, &batch).await);
    let active = core.active().unwrap();
    for gone in [&parent, &old_child, &child] {
        assert!(active.token_entry(&gone.accessor).await.unwrap().is_none());
    }
    assert!(active.open(&child_row(&parent.accessor, &child.accessor)).await.unwrap().is_none());
    drop((admin, active));
    core.shutdown().await;
}

#[tokio::test]
async fn rows_under_a_retired_key_are_swept_at_their_expiry_with_all_below_them() {
    let core = dev().await;
    let root = caller(&core, "root").await.unwrap();
    let moment =
        |orphan| TokenCreate { policies: vec!["root".to_owned()], ttl: Some(2), orphan, ..TokenCreate::default() };
    let alone = make(&root, moment(true)).await;
    let parent = make(&root, moment(true)).await;
    let below = caller(&core, parent.token.expose()).await.unwrap();
    root.rotate(RotateKey::Token).await.unwrap();
    let child = make(&below, TokenCreate { ttl: Some(3600), ..TokenCreate::default() }).await;
    drop((root, below));
    let admin = administrator(&core).await;
    admin.retire(NumberedKey::Token).await.unwrap();
    let active = core.active().unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    for gone in [&alone, &parent, &child] {
        while active.token_entry(&gone.accessor).await.unwrap().is_some() {
            assert!(tokio::time::Instant::now() < deadline, "not swept");
            sweep::sweep(&active).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert!(active.open(&child_row(&parent.accessor, &child.accessor)).await.unwrap().is_none());
    assert!(active.interrupted_revocations().await.unwrap().is_empty());
    drop((admin, active));
    core.shutdown().await;
}

#[tokio::test]
async fn keys_in_force_are_those_in_the_store_whenever_the_caller_goes_away() {
    let core = dev().await;
    let root = caller(&core, "root").await.unwrap();
    let active = core.active().unwrap();
    let mut retired = 0;
    for polls in 0..24_u32 {
        root.rotate(RotateKey::Batch).await.unwrap();
        {
            let mut retiring = pin!(root.retire(NumberedKey::Batch));
            let mut left = polls;
            let gone_away = poll_fn(|cx| {
                if left == 0 {
                    return Poll::Ready(false);
                }
                left -= 1;
                match retiring.as_mut().poll(cx) {
                    Poll::Ready(result) => Poll::Ready(result.is_ok()),
                    Poll::Pending => {
                        cx.waker().wake_by_ref();
                        Poll::Pending
                    }
                }
            });
            let _ = gone_away.await;
        }
        // Whatever goes on holds this lock to its end.
        let _guard = active.locks.lock(&[keys::KEY]).await;
        let numbers = active.keyrings.numbers(Purpose::Batch);
        assert_eq!(numbers, stored_numbers(&active, Purpose::Batch).await, "after {polls} polls");
        retired += u32::from(numbers.len() == 1);
    }
    assert!(retired > 0, "no retirement went on to its end");
    drop((root, active));
    core.shutdown().await;
}

#[tokio::test]
async fn rotation_goes_on_from_what_the_store_holds() {
    let core = dev().await;
    let root = caller(&core, "root").await.unwrap();
    let active = core.active().unwrap();
    // As after a rotation that was stored and could not be confirmed to this process.
    let secret = Secret::random(32).unwrap();
    let row = Purpose::Audit.row(2);
    let mut edit = Edit::default();
    edit.put_sealed(row.clone(), barrier::wrap_under_root(&active.root, &row, &secret).unwrap(), None);
    active.commit(edit, Record::system("key.rotate"), Urgency::Ordinary).await.unwrap().spend();
    root.rotate(RotateKey::Audit).await.unwrap();
    assert_eq!(active.keyrings.numbers(Purpose::Audit), [3, 2, 1]);
    assert_eq!(root.retire(NumberedKey::Audit).await.unwrap().removed, [1, 2]);
    assert_eq!(active.keyrings.numbers(Purpose::Audit), [3]);
    root.rotate(RotateKey::Audit).await.unwrap();
    assert_eq!(active.keyrings.numbers(Purpose::Audit), [4, 3], "no number comes twice");
    drop((root, active));
    core.shutdown().await;
}

#[tokio::test]
async fn memory_follows_the_store_where_a_change_is_stored_and_its_record_cannot_be_logged() {
    let core = dev().await;
    let root = caller(&core, "root").await.unwrap();
    let active = core.active().unwrap();
    // The log notices within its check interval that its files are gone, and takes nothing from then on.
    std::fs::remove_dir_all(core.config.audit.dir.join("segments")).unwrap();
    let mut number = 1;
    let error = loop {
        match root.rotate(RotateKey::Token).await {
            Ok(()) => number += 1,
            Err(error) => break error,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(error.code(), Code::AuditUnavailable);
    let stored = stored_numbers(&active, Purpose::Token).await;
    assert_eq!(stored.first(), Some(&(number + 1)), "the last rotation is stored all the same");
    assert_eq!(active.keyrings.numbers(Purpose::Token), stored);
    drop((root, active));
    core.shutdown().await;
}

#[tokio::test]
async fn current_key_that_does_not_open_keeps_the_old_ones() {
    let core = dev().await;
    let root = caller(&core, "root").await.unwrap();
    let active = core.active().unwrap();
    let other = Secret::random(32).unwrap();
    let row = Purpose::Audit.row(2);
    let mut edit = Edit::default();
    edit.put_sealed(row.clone(), barrier::wrap_under_root(&other, &row, &other).unwrap(), None);
    active.commit(edit, Record::system("key.rotate"), Urgency::Ordinary).await.unwrap().spend();
    assert_eq!(root.retire(NumberedKey::Audit).await.unwrap_err().code(), Code::Integrity);
    assert!(active.open_raw(&Purpose::Audit.row(1)).await, "nothing was removed");
    drop((root, active));
    core.shutdown().await;
}

impl Active {
    async fn open_raw(&self, row: &str) -> bool {
        self.store.get(&Key::new(row.to_owned()).unwrap()).await.unwrap().is_some()
    }
}
