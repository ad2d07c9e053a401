//! Sweeps that find what they did not expect go on.

use std::sync::Arc;

use coffer_api::token::{TokenCreate, TokenGrant};

use super::{caller, dev, facts, rows};
use crate::{
    Caller, CreatePath,
    active::Active,
    codec,
    commit::Edit,
    keys,
    token::{Marker, expiry_row, sweep, token_row},
};

/// A token that has expired since an hour, with its index row where it would be.
async fn expire(root: &Caller, accessor: &str) -> i64 {
    let active = &root.active;
    let mut entry = active.token_entry(accessor).await.unwrap().unwrap().value;
    let past = active.clock.now() - 3_600_000;
    let mut edit = Edit::default();
    edit.delete(expiry_row(entry.expires_ms.unwrap(), accessor), None);
    entry.expires_ms = Some(past);
    edit.put_expiring(token_row(accessor), codec::encode(&entry).unwrap(), None, Some(past));
    edit.put(expiry_row(past, accessor), codec::encode(&Marker {}).unwrap(), None);
    root.commit(edit, root.record("test", "test")).await.unwrap().spend();
    past
}

async fn made(by: &Caller, id: Option<&str>) -> TokenGrant {
    let request = TokenCreate {
        id: id.map(coffer_api::Sensitive::from),
        policies: vec!["root".to_owned()],
        ttl: Some(86_400),
        ..TokenCreate::default()
    };
    by.token_create(CreatePath::Child, request, &()).await.unwrap()
}

async fn left(active: &Active) -> Vec<String> {
    let mut left = rows(active, keys::TOKEN_EXPIRY).await;
    left.extend(rows(active, keys::TOKEN).await);
    left
}

#[tokio::test]
async fn token_with_two_places_in_the_index_is_swept_once() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let active = Arc::clone(&root.active);
    let before = left(&active).await;
    let accessor = made(&root, None).await.accessor;
    let past = expire(&root, &accessor).await;
    // As of a token of the same chosen id that was revoked with its tree earlier.
    let mut edit = Edit::default();
    edit.put(expiry_row(past - 600_000, &accessor), codec::encode(&Marker {}).unwrap(), None);
    active.commit_bookkeeping(edit).await.unwrap();
    sweep::sweep(&active).await.unwrap();
    assert_eq!(left(&active).await, before);
    drop((root, active));
    core.shutdown().await;
}

#[tokio::test]
async fn parent_and_child_that_expire_together_go_in_one_round_with_all_others() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let active = Arc::clone(&root.active);
    let before = left(&active).await;
    let parent = made(&root, None).await;
    let by_parent = caller(&core, parent.token.expose()).await;
    let mut expired = vec![parent.accessor.clone()];
    for _ in 0..20 {
        expired.push(made(&by_parent, None).await.accessor);
    }
    let lives = made(&by_parent, None).await.accessor;
    expired.push(made(&root, None).await.accessor);
    drop(by_parent);
    for accessor in &expired {
        expire(&root, accessor).await;
    }
    sweep::sweep(&active).await.unwrap();
    // The places of what was revoked with its tree are found empty in the next round.
    sweep::sweep(&active).await.unwrap();
    let after = left(&active).await;
    let strange: Vec<_> = after.iter().filter(|row| !before.contains(row) && !row.contains(&lives)).collect();
    assert_eq!(strange, Vec::<&String>::new());
    assert!(active.token_entry(&lives).await.unwrap().is_none(), "it went with its parent");
    let revoked = facts(&root, "token.revoke").await;
    assert!(revoked.iter().any(|facts| facts["reason"] == "expired, with tokens below it"));
    drop((root, active));
    core.shutdown().await;
}
