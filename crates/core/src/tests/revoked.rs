//! A revocation that is stored and whose record cannot be logged: the token is refused all the same.

use std::time::Duration;

use coffer_api::{
    Code,
    token::{TokenCreate, TokenRef},
};

use super::{caller, dev};
use crate::CreatePath;

#[tokio::test]
async fn token_in_use_whose_revocation_cannot_be_logged_is_refused() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let active = core.active().unwrap();
    let mut tokens = Vec::new();
    for _ in 0..200 {
        let made = root.token_create(CreatePath::Child, TokenCreate::default(), &()).await.unwrap();
        assert!(active.token_state(made.token.expose()).await.unwrap().is_some(), "it is in the cache now");
        tokens.push(made);
    }
    // The log notices within its check interval that its files are gone, and takes nothing from then on.
    std::fs::remove_dir_all(core.config.audit.dir.join("segments")).unwrap();
    let (token, error) = loop {
        let token = tokens.pop().expect("the log goes on without its files");
        let of = TokenRef { accessor: Some(token.accessor.clone()), ..TokenRef::default() };
        if let Err(error) = root.token_revoke(&of, &()).await {
            break (token, error);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(error.code(), Code::AuditUnavailable);
    assert!(active.token_entry(&token.accessor).await.unwrap().is_none(), "the revocation is stored");
    assert!(active.token_state(token.token.expose()).await.unwrap().is_none(), "it lives on in memory");
    drop((root, active));
    core.shutdown().await;
}
