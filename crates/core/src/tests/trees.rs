//! Tokens in memory after their place in a tree, or the key that they stand under, changed.

use std::sync::Arc;

use coffer_api::{
    Code,
    token::{TokenCreate, TokenGrant, TokenRef, TokenRenew},
};

use super::{caller, dev};
use crate::{Caller, Core, CreatePath, Operation, RotateKey};

async fn child(core: &Core, of: &str) -> TokenGrant {
    let request = TokenCreate { ttl: Some(3600), ..TokenCreate::default() };
    caller(core, of).await.token_create(CreatePath::Child, request, &()).await.unwrap()
}

fn accessor(of: &TokenGrant) -> TokenRef {
    TokenRef { accessor: Some(of.accessor.clone()), ..TokenRef::default() }
}

#[tokio::test]
async fn what_lives_below_an_orphaned_token_lives_on_in_memory_as_in_the_store() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let top = child(&core, "root").await;
    let middle = child(&core, top.token.expose()).await;
    let low = child(&core, middle.token.expose()).await;
    let lowest = child(&core, low.token.expose()).await;
    let batch = TokenCreate {
        kind: coffer_api::token::TokenKind::Batch,
        policies: vec!["default".to_owned()],
        ..TokenCreate::default()
    };
    let low_caller = caller(&core, low.token.expose()).await;
    // A root token's child that is none of its own.
    let batch = low_caller.token_create(CreatePath::Child, batch, &()).await.unwrap();
    for token in [&low, &lowest, &batch] {
        caller(&core, token.token.expose()).await;
    }
    root.token_revoke_orphan(&accessor(&top), &()).await.unwrap();
    assert!(core.caller(super::context(), Some(top.token.expose())).await.is_err());
    for token in [&middle, &low, &lowest, &batch] {
        let caller = caller(&core, token.token.expose()).await;
        caller.token_lookup_self(Operation::Read).await.unwrap();
    }
    // A renewal of the orphan counts for what lives below it, and its end as well.
    let active = core.active().unwrap();
    let renew = TokenRenew { accessor: Some(middle.accessor.clone()), ..TokenRenew::default() };
    root.token_renew(&renew, &()).await.unwrap();
    let state = active.token_state(lowest.token.expose()).await.unwrap().unwrap();
    let above = state.parent.as_ref().unwrap().parent.as_ref().unwrap();
    let stored = active.token_entry(&middle.accessor).await.unwrap().unwrap().value;
    assert_eq!((above.accessor.as_str(), above.expires_ms()), (middle.accessor.as_str(), stored.expires_ms));
    drop((state, active, low_caller));
    root.token_revoke(&accessor(&middle), &()).await.unwrap();
    for token in [&middle, &low, &lowest, &batch] {
        let refused = core.caller(super::context(), Some(token.token.expose())).await.err().unwrap();
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn chosen_id_is_one_token_under_all_keys() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let chosen = async |root: &Caller| {
        let request = TokenCreate { id: Some("chosen-id".into()), ttl: Some(3600), ..TokenCreate::default() };
        root.token_create(CreatePath::Child, request, &()).await
    };
    chosen(&root).await.unwrap();
    for _ in 0..2 {
        let again = chosen(&root).await.err().unwrap();
        assert_eq!(again.public(), "cannot create a token with a duplicate ID");
        root.rotate(RotateKey::Token).await.unwrap();
    }
    let again = chosen(&root).await.err().unwrap();
    assert_eq!(again.public(), "cannot create a token with a duplicate ID");
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn rights_of_a_wrapping_token_are_those_of_no_other() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let active = core.active().unwrap();
    let state = |wrapping: bool, policies: &[&str]| {
        let entry = crate::token::TokenEntry {
            policies: policies.iter().map(|name| (*name).to_owned()).collect(),
            wrapping,
            ..crate::token::TokenEntry::default()
        };
        Arc::new(crate::token::TokenState::new(coffer_api::token::TokenKind::Batch, String::new(), entry, None))
    };
    let may_unwrap = async |state: &Arc<crate::token::TokenState>| {
        let acl = Arc::clone(&active.authority_of(state).await.unwrap().acl);
        let request = crate::policy::Request {
            path: "sys/wrapping/unwrap",
            operation: Operation::Update,
            parameters: &(),
            wrap_ttl: None,
            now: 0,
        };
        matches!(acl.check(&request), crate::policy::Decision::Allow(_))
    };
    // Held, so that what was compiled for one is there to be shared.
    let (plain, wrapping) = (state(false, &["response-wrapping"]), state(true, &["response-wrapping"]));
    assert!(!may_unwrap(&plain).await && may_unwrap(&wrapping).await);
    assert!(!may_unwrap(&plain).await);
    let (all, named) = (state(false, &["root"]), state(false, &["root", "x"]));
    assert!(may_unwrap(&all).await && !may_unwrap(&named).await);
    drop((root, active));
    core.shutdown().await;
}
