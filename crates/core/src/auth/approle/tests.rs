//! AppRole with a look at the rows that it keeps.

use std::{sync::Arc, time::Duration};

use coffer_api::{
    Code, Sensitive,
    token::{TokenGrant, TokenKind},
};

use super::*;
use crate::{
    Caller, Core, LoginKind, MountEnable, MountKind,
    commit::Edit,
    tests::{caller, context, dev, facts, rows},
};

struct Setup {
    core: Arc<Core>,
    root: Caller,
    mount: Arc<Mount>,
}

impl Setup {
    async fn new() -> Self {
        let core = dev().await;
        let root = caller(&core, "root").await;
        root.mount_enable("auth/approle/", MountKind::Approle, MountEnable::default(), &()).await.unwrap();
        let mount = root.resolve("auth/approle/login").unwrap();
        Self { core, root, mount }
    }

    async fn role(&self, name: &str, change: impl FnOnce(&mut AppRole)) {
        let change = |role: &mut AppRole| {
            role.role_id = name.to_owned();
            change(role);
            Ok(())
        };
        self.root.approle_write(&self.mount, name, None, &(), change).await.unwrap();
    }

    async fn issue(&self, role: &str, issue: SecretIdIssue) -> SecretIdIssued {
        self.root.secret_id_issue(&self.mount, role, issue, &()).await.unwrap()
    }

    async fn log_in(&self, role: &str, secret: &Sensitive<String>) -> Result<TokenGrant, Error> {
        self.core.login_approle(context(), "approle", role, Some(secret)).await
    }

    fn written(&self) -> u64 {
        self.root.active.store.stats().rows_written
    }

    async fn stop(self) {
        let Self { core, root, .. } = self;
        drop(root);
        core.shutdown().await;
    }
}

fn limited(num_uses: u64) -> SecretIdIssue {
    SecretIdIssue { num_uses: Some(num_uses), ..SecretIdIssue::default() }
}

#[tokio::test]
async fn one_use_gives_one_token_however_many_ask_at_once() {
    for (kind, uses, tokens) in [(LoginKind::Service, 1, 1), (LoginKind::Batch, 1, 1), (LoginKind::Service, 7, 7)] {
        let setup = Setup::new().await;
        setup.role("r", |role| role.token.kind = kind).await;
        let secret = Arc::new(setup.issue("r", limited(uses)).await.secret_id);
        let mut logins = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let (core, secret) = (Arc::clone(&setup.core), Arc::clone(&secret));
            logins.spawn(async move { core.login_approle(context(), "approle", "r", Some(&secret)).await });
        }
        let outcomes = logins.join_all().await;
        let given = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(given, tokens, "{kind:?}");
        for refused in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            // Enough failures lock the role.
            assert!(matches!(refused.code(), Code::InvalidCredentials | Code::Unauthenticated), "{refused:?}");
        }
        assert_eq!(rows(&setup.root.active, keys::SECRET_ID).await, Vec::<String>::new(), "used up, and gone");
        setup.stop().await;
    }
}

#[tokio::test]
async fn login_stays_within_its_rows() {
    const TIMES: u64 = 50;
    for (kind, uses, least, most) in [
        (LoginKind::Batch, 0, 0, 0),
        (LoginKind::Service, 0, 3, 3),
        (LoginKind::Service, 1000, 4, 4),
        (LoginKind::Batch, 1000, 2, 2),
    ] {
        let setup = Setup::new().await;
        setup.role("r", |role| role.token.kind = kind).await;
        let secret = setup.issue("r", limited(uses)).await.secret_id;
        // The first login makes entity and alias.
        setup.log_in("r", &secret).await.unwrap();
        let entities = rows(&setup.root.active, keys::ENTITY).await;
        let before = setup.written();
        for _ in 0..TIMES {
            let grant = setup.log_in("r", &secret).await.unwrap();
            assert_eq!(grant.kind == TokenKind::Batch, kind == LoginKind::Batch);
        }
        let written = setup.written() - before;
        // Bookkeeping in the background adds a few: outbox rows deleted, the log's head, the clock.
        let slack = TIMES / 2 + if most > 0 { TIMES } else { 0 };
        assert!(
            (TIMES * least..=TIMES * most + slack).contains(&written),
            "{written} rows for {TIMES} logins of {kind:?} with {uses} uses"
        );
        assert_eq!(rows(&setup.root.active, keys::ENTITY).await, entities);
        setup.stop().await;
    }
}

#[tokio::test]
async fn secret_id_is_stored_as_keyed_hashes_alone() {
    let setup = Setup::new().await;
    setup.role("r", |_| {}).await;
    let custom = SecretIdIssue { custom: Some(Sensitive::from("chosen-by-hand")), ..SecretIdIssue::default() };
    let issued = setup.issue("r", custom).await;
    let active = &setup.root.active;
    let row = rows(active, keys::SECRET_ID).await.remove(0);
    assert!(row.ends_with(&issued.accessor));
    let opened = active.open(&row).await.unwrap().unwrap().value;
    assert!(!opened.windows(14).any(|window| window == b"chosen-by-hand"));
    // The same under another role is another: neither hash nor accessor tells that they are equal.
    setup.role("s", |_| {}).await;
    let custom = SecretIdIssue { custom: Some(Sensitive::from("chosen-by-hand")), ..SecretIdIssue::default() };
    assert_ne!(setup.issue("s", custom).await.accessor, issued.accessor);
    for record in facts(&setup.root, "secret_id.issue").await {
        assert!(record["secret_id_accessor"].is_string() && !record.to_string().contains("chosen"), "{record}");
    }
    setup.stop().await;
}

#[tokio::test]
async fn keys_of_tokens_are_those_of_secret_ids() {
    let setup = Setup::new().await;
    setup.role("r", |_| {}).await;
    let old = setup.issue("r", limited(0)).await.secret_id;
    setup.root.rotate(crate::RotateKey::Token).await.unwrap();
    setup.log_in("r", &old).await.unwrap();
    let new = setup.issue("r", limited(0)).await.secret_id;
    setup.log_in("r", &new).await.unwrap();
    let again = SecretIdIssue { custom: Some(old.clone()), ..SecretIdIssue::default() };
    let taken = setup.root.secret_id_issue(&setup.mount, "r", again, &()).await;
    assert_eq!(taken.err().map(|error| error.code()), Some(Code::Invalid), "taken, under an older key");
    setup.stop().await;
}

#[tokio::test]
async fn sweep_visits_what_is_due_and_nothing_else() {
    let setup = Setup::new().await;
    let active = Arc::clone(&setup.root.active);
    setup.role("r", |_| {}).await;
    let issue = |ttl| SecretIdIssue { ttl: Some(ttl), ..SecretIdIssue::default() };
    for _ in 0..300 {
        setup.issue("r", issue(86_400)).await;
    }
    let mut due = Vec::new();
    for _ in 0..20 {
        due.push(setup.issue("r", issue(3600)).await);
    }
    // Due since an hour, in the store as it would be then.
    for row in rows(&active, keys::SECRET_ID).await {
        let found = active.row::<SecretId>(&row).await.unwrap().unwrap().value;
        if found.ttl != 3600 {
            continue;
        }
        let place = row.strip_prefix(keys::SECRET_ID).unwrap();
        let past = active.clock.now() - 3_600_000;
        let mut edit = Edit::default();
        edit.put_expiring(
            row.clone(),
            crate::codec::encode(&SecretId { expires_ms: Some(past), ..found.clone() }).unwrap(),
            None,
            Some(past),
        );
        let index = |at: i64| format!("{}{:010x}/{place}", keys::SECRET_ID_EXPIRY, at / 60_000);
        edit.delete(index(found.expires_ms.unwrap()), None);
        edit.put(index(past), crate::codec::encode(&Marker {}).unwrap(), None);
        setup.root.commit(edit, setup.root.record("test", "test")).await.unwrap().spend();
    }
    for one in &due {
        assert_eq!(setup.log_in("r", &one.secret_id).await.unwrap_err().code(), {
            setup
                .root
                .active
                .logins
                .clear(&crate::auth::LoginName { mount: setup.mount.accessor.clone(), name: "r".to_owned() });
            Code::InvalidCredentials
        });
    }
    let visited = || active.metrics.sweep_visited.value();
    let before = visited();
    sweep::sweep_all(&active).await.unwrap();
    assert!(visited() - before <= 20, "{} rows visited for 20 that were due", visited() - before);
    assert_eq!(rows(&active, keys::SECRET_ID).await.len(), 300);
    assert_eq!(rows(&active, keys::SECRET_ID_EXPIRY).await.len(), 300);
    drop(active);
    setup.stop().await;
}

#[tokio::test]
async fn chosen_secret_id_issued_again_leaves_the_sweep_going() {
    let setup = Setup::new().await;
    let active = Arc::clone(&setup.root.active);
    setup.role("r", |_| {}).await;
    let chosen = |ttl| SecretIdIssue {
        custom: Some(Sensitive::from("chosen")),
        num_uses: Some(1),
        ttl: Some(ttl),
        ..SecretIdIssue::default()
    };
    let first = setup.issue("r", chosen(3600)).await;
    assert_eq!(rows(&active, keys::SECRET_ID_EXPIRY).await.len(), 1);
    setup.log_in("r", &first.secret_id).await.unwrap();
    assert_eq!(rows(&active, keys::SECRET_ID_EXPIRY).await, Vec::<String>::new(), "it goes with the last use");
    let again = setup.issue("r", chosen(7200)).await;
    assert_eq!(again.accessor, first.accessor);
    // Both its places are due, as they would be after a long time without this node.
    let row = rows(&active, keys::SECRET_ID).await.remove(0);
    let found = active.row::<SecretId>(&row).await.unwrap().unwrap().value;
    let past = active.clock.now() - 3_600_000;
    let mut edit = Edit::default();
    edit.delete(expiry_of_row(&row, found.expires_ms.unwrap()), None);
    for at in [past, past - 600_000] {
        edit.put(expiry_of_row(&row, at), crate::codec::encode(&Marker {}).unwrap(), None);
    }
    let due = crate::codec::encode(&SecretId { expires_ms: Some(past), ..found }).unwrap();
    edit.put_expiring(row, due, None, Some(past));
    setup.root.commit(edit, setup.root.record("test", "test")).await.unwrap().spend();
    sweep::sweep_all(&active).await.unwrap();
    assert_eq!(rows(&active, keys::SECRET_ID).await, Vec::<String>::new());
    assert_eq!(rows(&active, keys::SECRET_ID_EXPIRY).await, Vec::<String>::new());
    drop(active);
    setup.stop().await;
}

#[tokio::test]
async fn deleted_role_leaves_no_rows_behind() {
    let setup = Setup::new().await;
    let active = Arc::clone(&setup.root.active);
    setup.role("r", |_| {}).await;
    setup.role("kept", |_| {}).await;
    for _ in 0..620 {
        setup.issue("r", limited(0)).await;
    }
    let kept = setup.issue("kept", limited(0)).await;
    setup.root.approle_delete(&setup.mount, "r").await.unwrap();
    assert_eq!(rows(&active, keys::SECRET_ID_PURGE).await.len(), 1);
    sweep::sweep_all(&active).await.unwrap();
    assert_eq!(rows(&active, keys::SECRET_ID).await.len(), 1);
    assert_eq!(rows(&active, keys::SECRET_ID_PURGE).await, Vec::<String>::new());
    assert_eq!(rows(&active, keys::APPROLE).await.len(), 1);
    assert_eq!(rows(&active, keys::APPROLE_ID).await.len(), 1);
    let purges = facts(&setup.root, "secret_id.purge").await;
    // A record with many changes is several entries of the log.
    let mut counts: Vec<_> = purges.iter().map(|facts| facts["count"].as_str().unwrap()).collect();
    counts.dedup();
    assert_eq!(counts, ["500", "120"]);
    setup.log_in("kept", &kept.secret_id).await.unwrap();
    drop(active);
    setup.stop().await;
}

#[tokio::test]
async fn alias_has_the_metadata_of_the_last_login() {
    let setup = Setup::new().await;
    setup.role("r", |_| {}).await;
    let with = |value: &str| SecretIdIssue {
        metadata: std::collections::BTreeMap::from([("team".to_owned(), value.to_owned())]),
        ..SecretIdIssue::default()
    };
    for team in ["a", "b"] {
        let secret = setup.issue("r", with(team)).await.secret_id;
        let entity = setup.log_in("r", &secret).await.unwrap().entity_id.unwrap().0;
        let found = setup.root.active.entity(entity).await.unwrap().unwrap().value;
        assert_eq!(found.aliases.len(), 1);
        assert_eq!(found.aliases[0].metadata["team"], team);
    }
    setup.stop().await;
}

#[tokio::test]
async fn logins_and_changes_of_their_role_at_once_end() {
    let setup = Setup::new().await;
    setup.role("r", |_| {}).await;
    let secret = Arc::new(setup.issue("r", limited(0)).await.secret_id);
    let mut logins = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (core, secret) = (Arc::clone(&setup.core), Arc::clone(&secret));
        logins.spawn(async move { core.login_approle(context(), "approle", "r", Some(&secret)).await });
    }
    for ttl in 1..20 {
        setup.role("r", |role| role.token.ttl = ttl).await;
    }
    let outcomes = tokio::time::timeout(Duration::from_secs(60), logins.join_all()).await.unwrap();
    assert!(outcomes.iter().all(|outcome| match outcome {
        Ok(_) => true,
        Err(error) => error.code() == Code::Conflict,
    }));
    setup.stop().await;
}
