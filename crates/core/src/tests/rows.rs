//! What costs no row.

use coffer_api::token::{TokenCreate, TokenKind};

use super::{caller, dev, rows};
use crate::{CreatePath, Operation, active::Active, keys};

/// All rows but those that come and go by themselves.
async fn lasting(active: &Active) -> Vec<String> {
    let passing =
        |key: &String| [keys::CLOCK, keys::LOG_HEAD, keys::OUTBOX].iter().any(|prefix| key.starts_with(prefix));
    let mut all = rows(active, "").await;
    all.retain(|key| !passing(key));
    all
}

#[tokio::test]
async fn batch_token_is_stored_nowhere() {
    let core = dev().await;
    let root = caller(&core, "root").await;
    let written = || {
        let text = core.metrics();
        let line = text.lines().find_map(|line| line.strip_prefix("coffer_store_rows_total ")).unwrap();
        line.parse::<u64>().unwrap()
    };
    let before = lasting(&root.active).await;
    let written_before = written();
    const TIMES: u64 = 100;
    for _ in 0..TIMES {
        let request = TokenCreate { kind: TokenKind::Batch, ttl: Some(60), ..TokenCreate::default() };
        let refused = root.token_create(CreatePath::Child, request.clone(), &()).await;
        assert!(refused.is_err(), "root is not for batch tokens");
        let request = TokenCreate { policies: vec!["default".to_owned()], ..request };
        let batch = root.token_create(CreatePath::Child, request, &()).await.unwrap();
        let used = caller(&core, batch.token.expose()).await;
        used.token_lookup_self(Operation::Read).await.unwrap();
        used.finish().await;
    }
    assert_eq!(lasting(&root.active).await, before);
    // Bookkeeping in the background may add a few.
    let written = written() - written_before;
    assert!(written < TIMES / 2, "{written} rows for {TIMES} batch tokens");
    let service = TokenCreate { policies: vec!["default".to_owned()], ttl: Some(60), ..TokenCreate::default() };
    root.token_create(CreatePath::Child, service, &()).await.unwrap();
    assert_eq!(lasting(&root.active).await.len(), before.len() + 3, "a service token is: itself, its place, its end");
    drop(root);
    core.shutdown().await;
}
