//! Tokens in memory are bounded in bytes, with all that is kept of them.

use std::sync::{Arc, Weak};

use coffer_api::token::TokenCreate;

use super::{caller, config};
use crate::{Core, CreatePath, Dev, token::Authority};

const LIMIT: usize = 256 * 1024;

/// A core that keeps few tokens.
async fn tight() -> Arc<Core> {
    let mut config = config(std::path::Path::new("/nonexistent"));
    config.dev = Some(Dev { root_token: Some("root".to_owned()) });
    config.limits.token_cache_bytes = LIMIT;
    Core::start(config).await.unwrap().0
}

/// Uses a new token once; what it may do is kept, or not.
async fn used(core: &Arc<Core>, policy: &str, no_default_policy: bool) -> (String, Weak<Authority>) {
    let root = caller(core, "root").await;
    let request = TokenCreate { policies: vec![policy.to_owned()], no_default_policy, ..TokenCreate::default() };
    let token = root.token_create(CreatePath::Orphan, request, &()).await.unwrap().token.expose().clone();
    let authority = Arc::downgrade(&caller(core, &token).await.authority);
    (token, authority)
}

/// What is kept of compiled policy sets, and how many there are.
fn kept(used: &[(String, Weak<Authority>)]) -> (usize, usize) {
    let mut kept: Vec<_> = used.iter().filter_map(|(_, authority)| authority.upgrade()).collect();
    kept.sort_by_key(|authority| Arc::as_ptr(&authority.acl));
    kept.dedup_by_key(|authority| Arc::as_ptr(&authority.acl));
    (kept.iter().map(|authority| authority.acl.weight()).sum(), kept.len())
}

#[tokio::test]
async fn tokens_whose_policies_have_templates_stay_within_the_bound_with_what_they_may_do() {
    let core = tight().await;
    let mut tokens = Vec::new();
    for _ in 0..300 {
        tokens.push(used(&core, "default", false).await);
    }
    let (bytes, sets) = kept(&tokens);
    assert!(bytes <= LIMIT, "{sets} policy sets of {bytes} bytes");
    assert!(sets > 10, "{sets} policy sets are kept of 300: next to nothing");
    assert!(core.active().unwrap().tokens.weight() <= u64::try_from(LIMIT).unwrap());
    // In use they are, kept or not.
    let again = caller(&core, &tokens[0].0).await;
    assert!(!again.is_root());
    drop(again);
    core.shutdown().await;
}

#[tokio::test]
async fn policy_sets_shared_by_tokens_stay_within_the_bound_too() {
    let core = tight().await;
    let root = caller(&core, "root").await;
    let mut tokens = Vec::new();
    for i in 0..60 {
        let rules: String = (0..100)
            .map(|rule| format!("path \"secret/data/{i}/{rule}/*\" {{ capabilities = [\"read\"] }}\n"))
            .collect();
        let user = format!("p{i}");
        root.policy_write(&user, "sys/policies/acl/", &rules, &()).await.unwrap();
        tokens.push(used(&core, &user, true).await);
        tokens.push(used(&core, &user, true).await);
        let (bytes, sets) = kept(&tokens);
        assert!(bytes <= LIMIT, "{sets} policy sets of {bytes} bytes");
    }
    assert!(tokens[110..].iter().any(|(_, authority)| authority.upgrade().is_some()), "nothing is kept");
    drop(root);
    core.shutdown().await;
}
