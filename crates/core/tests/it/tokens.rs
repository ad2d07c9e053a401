//! Tokens: trees, limits, batch tokens, logins.

use std::collections::BTreeMap;

use coffer_api::{
    Code, Sensitive,
    token::{TokenCreate, TokenKind, TokenRef, TokenRenew},
};
use coffer_core::{CreatePath, MountEnable, MountKind, Password};

use crate::harness::{caller, context, dev};

async fn create(caller: &coffer_core::Caller, request: TokenCreate) -> coffer_api::token::TokenGrant {
    caller.token_create(CreatePath::Child, request, &()).await.unwrap()
}

#[tokio::test]
async fn revoking_a_token_revokes_its_tree_at_once() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let with = |policies: &[&str]| TokenCreate {
        policies: policies.iter().map(|name| (*name).to_owned()).collect(),
        ..TokenCreate::default()
    };
    let make = r#"path "auth/token/create" { capabilities = ["update"] }"#;
    root.policy_write("make", "sys/policies/acl/", make, &()).await.unwrap();
    let parent = create(&root, with(&["make"])).await;
    let mut tokens = Vec::new();
    for _ in 0..3 {
        let child = create(&caller(&core, parent.token.expose()).await, with(&[])).await;
        for _ in 0..3 {
            tokens.push(create(&caller(&core, child.token.expose()).await, with(&[])).await);
        }
        tokens.push(child);
    }
    for token in &tokens {
        assert!(core.caller(context(), Some(token.token.expose())).await.is_ok());
    }
    let of = TokenRef { token: None, accessor: Some(parent.accessor.clone()) };
    root.token_revoke(&of, &()).await.unwrap();
    tokens.push(parent);
    for token in &tokens {
        let refused = core.caller(context(), Some(token.token.expose())).await.err().unwrap();
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
    let left = root.token_list(coffer_core::ListPart::default()).await.unwrap();
    assert_eq!(left.items.len(), 1, "only root is left");
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn use_limited_token_ends_with_its_last_use() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let limited = create(&root, TokenCreate { num_uses: 2, ..TokenCreate::default() }).await;
    for _ in 0..2 {
        let used = caller(&core, limited.token.expose()).await;
        used.token_lookup_self(coffer_core::policy::Operation::Read).await.unwrap();
        used.finish().await;
    }
    assert!(core.caller(context(), Some(limited.token.expose())).await.is_err());
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn batch_token_dies_with_its_parent_and_is_stored_nowhere() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let policy = r#"path "auth/token/create" { capabilities = ["update"] }"#;
    root.policy_write("make", "sys/policies/acl/", policy, &()).await.unwrap();
    let parent = create(&root, TokenCreate { policies: vec!["make".into()], ..TokenCreate::default() }).await;
    let request = TokenCreate { kind: TokenKind::Batch, ttl: Some(60), ..TokenCreate::default() };
    let batch = create(&caller(&core, parent.token.expose()).await, request).await;
    assert!(batch.accessor.is_empty() && !batch.renewable);
    let used = caller(&core, batch.token.expose()).await;
    assert_eq!(used.token_renew(&TokenRenew::default(), &()).await.unwrap_err().code(), Code::Invalid);
    assert_eq!(used.token_revoke_self().await.unwrap_err().code(), Code::Invalid);
    drop(used);
    let mut forged = batch.token.expose().clone().into_bytes();
    let middle = forged.len() / 2;
    forged[middle] = if forged[middle] == b'A' { b'B' } else { b'A' };
    assert!(core.caller(context(), Some(std::str::from_utf8(&forged).unwrap())).await.is_err());
    root.token_revoke(&TokenRef { token: Some(parent.token), accessor: None }, &()).await.unwrap();
    assert!(core.caller(context(), Some(batch.token.expose())).await.is_err());
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn caller_hands_out_no_more_than_it_has() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let policy = r#"path "auth/token/*" { capabilities = ["update"] }"#;
    root.policy_write("make", "sys/policies/acl/", policy, &()).await.unwrap();
    let maker = create(&root, TokenCreate { policies: vec!["make".into()], ..TokenCreate::default() }).await;
    let maker = caller(&core, maker.token.expose()).await;
    let refused =
        |request: TokenCreate| async { maker.token_create(CreatePath::Child, request, &()).await.unwrap_err().code() };
    let base = TokenCreate::default;
    assert_eq!(refused(TokenCreate { policies: vec!["root".into()], ..base() }).await, Code::Invalid);
    assert_eq!(refused(TokenCreate { policies: vec!["administrator".into()], ..base() }).await, Code::Invalid);
    assert_eq!(refused(TokenCreate { orphan: true, ..base() }).await, Code::Invalid);
    assert_eq!(refused(TokenCreate { period: Some(60), ..base() }).await, Code::Invalid);
    assert_eq!(refused(TokenCreate { id: Some(Sensitive::from("mine")), ..base() }).await, Code::Invalid);
    drop((root, maker));
    core.shutdown().await;
}

#[tokio::test]
async fn userpass_login_makes_an_entity_and_locks_out() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    root.mount_enable("auth/userpass/", MountKind::Userpass, MountEnable::default(), &()).await.unwrap();
    let mount = root.resolve("auth/userpass/users/ada").unwrap();
    let password = Sensitive::from("correct horse");
    root.user_write(&mount, "Ada", None, Some(Password::Plain(&password)), &(), |_| Ok(())).await.unwrap();
    let one = core.login_userpass(context(), "userpass", "ada", &password).await.unwrap();
    let two = core.login_userpass(context(), "userpass", "ADA", &password).await.unwrap();
    assert!(one.entity_id.is_some() && one.entity_id == two.entity_id);
    assert_eq!(one.metadata, BTreeMap::from([("username".to_owned(), "ada".to_owned())]));
    for user in ["ada", "nobody"] {
        for _ in 0..5 {
            let wrong = core.login_userpass(context(), "userpass", user, &Sensitive::from("wrong")).await;
            assert_eq!(wrong.unwrap_err().code(), Code::InvalidCredentials);
        }
        let locked = core.login_userpass(context(), "userpass", user, &password).await;
        assert_eq!(locked.unwrap_err().code(), Code::Unauthenticated);
    }
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn renewal_is_bounded_and_seen_at_once() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let request = TokenCreate { ttl: Some(60), explicit_max_ttl: Some(100), ..TokenCreate::default() };
    let token = create(&root, request).await;
    let own = caller(&core, token.token.expose()).await;
    let renewed = own.token_renew(&TokenRenew { increment: Some(1000), ..TokenRenew::default() }, &()).await.unwrap();
    assert!((98..=100).contains(&renewed.lease_duration), "{}", renewed.lease_duration);
    assert!(!renewed.warnings.is_empty());
    assert_eq!(root.token_renew(&TokenRenew::default(), &()).await.unwrap_err().code(), Code::Invalid);
    drop((root, own));
    core.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_use_that_many_ask_for_at_once_is_given_to_one() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    for uses in [1, 3] {
        let limited = create(&root, TokenCreate { num_uses: uses, ..TokenCreate::default() }).await;
        let asked: Vec<_> = (0..50)
            .map(|_| {
                let (core, token) = (core.clone(), limited.token.expose().clone());
                tokio::spawn(async move {
                    let used = core.caller(context(), Some(&token)).await.map_err(|error| error.code())?;
                    let looked = used.token_lookup_self(coffer_core::policy::Operation::Read).await;
                    used.finish().await;
                    looked.map(drop).map_err(|error| error.code())
                })
            })
            .collect();
        let mut succeeded = 0;
        for asked in asked {
            match asked.await.unwrap() {
                Ok(()) => succeeded += 1,
                Err(code) => assert_eq!(code, Code::Unauthenticated),
            }
        }
        assert_eq!(succeeded, uses);
        assert!(core.caller(context(), Some(limited.token.expose())).await.is_err());
    }
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn periodic_token_is_renewed_by_its_period_whatever_is_asked_for() {
    const MOST: u64 = 3600;
    const PERIOD: u64 = 1800;
    let mut config = crate::harness::config(std::path::Path::new("/nonexistent"));
    config.dev = Some(coffer_core::Dev { root_token: Some("root".to_owned()) });
    config.limits.max_lease_ttl = MOST;
    config.limits.default_lease_ttl = MOST;
    let core = coffer_core::Core::start(config).await.unwrap().0;
    let root = caller(&core, "root").await;
    let with = |period| TokenCreate { period, policies: vec!["default".into()], ..TokenCreate::default() };
    let periodic = create(&root, with(Some(PERIOD))).await;
    assert_eq!(periodic.lease_duration, PERIOD.cast_signed());
    let own = caller(&core, periodic.token.expose()).await;
    // What it asks for makes no difference, be it less or more.
    for increment in [None, Some(1), Some(10 * PERIOD)] {
        let renewed = own.token_renew(&TokenRenew { increment, ..TokenRenew::default() }, &()).await.unwrap();
        assert_eq!(renewed.lease_duration, PERIOD.cast_signed(), "{increment:?}");
    }
    let info = own.token_lookup_self(coffer_core::policy::Operation::Read).await.unwrap();
    assert_eq!((info.period, info.creation_ttl), (PERIOD, PERIOD));
    let longer = create(&root, with(Some(2 * MOST))).await;
    assert_eq!(longer.lease_duration, MOST.cast_signed());
    assert!(longer.warnings.iter().any(|warning| warning.starts_with("period of \"2h\"")), "{:?}", longer.warnings);
    let renewed = caller(&core, longer.token.expose()).await.token_renew(&TokenRenew::default(), &()).await.unwrap();
    assert_eq!(renewed.lease_duration, MOST.cast_signed());
    let ordinary = create(&root, with(None)).await;
    assert_eq!(ordinary.lease_duration, MOST.cast_signed());
    let other = caller(&core, ordinary.token.expose()).await;
    let renewed = other.token_renew(&TokenRenew { increment: Some(2 * MOST), ..TokenRenew::default() }, &()).await;
    assert!(renewed.unwrap().lease_duration <= MOST.cast_signed());
    drop((root, own, other));
    core.shutdown().await;
}
