//! A store under shares: across restarts, from one seal to the other, on several nodes.

use std::{path::Path, sync::Arc};

use coffer_api::{Code, Sensitive, audit::AuditQuery, operator::NodeState};
use coffer_core::{AskedSplit, Config, Core, InitSeal, Initialised, MigrateSeal, Migrated, SealKind, Share, Started};

use crate::{
    harness::{caller, config, context, local},
    postgres_server::PostgresServer,
};

fn under(dir: &Path, seal: SealKind) -> Config {
    Config { seal, ..config(dir) }
}

async fn start(dir: &Path, seal: SealKind) -> (Arc<Core>, Started) {
    Core::start(under(dir, seal)).await.unwrap()
}

async fn refused(dir: &Path, seal: SealKind) -> String {
    Core::start(under(dir, seal)).await.err().unwrap().to_string()
}

fn split(shares: i64, threshold: i64) -> AskedSplit {
    AskedSplit { shares, threshold }
}

async fn init(core: &Core, shares: i64, threshold: i64) -> Initialised {
    core.init(context(), InitSeal { split: split(shares, threshold), ..InitSeal::default() }).await.unwrap()
}

fn share(text: &Sensitive<String>) -> Share {
    Share::parse(text.expose()).unwrap()
}

async fn unseal(core: &Core, shares: &[Sensitive<String>]) {
    for text in shares {
        core.unseal(context(), share(text)).await.unwrap();
    }
    assert_eq!(core.status().state, NodeState::Active);
}

#[tokio::test]
async fn store_under_shares_waits_for_them_at_each_start() {
    let dir = tempfile::tempdir().unwrap();
    let (core, started) = start(dir.path(), SealKind::Shamir).await;
    assert!(started.initial_token_path.is_none());
    assert_eq!((core.status().state, core.status().initialized), (NodeState::Sealed, false));
    let made = init(&core, 3, 2).await;
    assert_eq!((core.status().state, core.status().initialized), (NodeState::Sealed, true));
    unseal(&core, &made.shares.hex()[..2]).await;
    caller(&core, made.root_token.expose()).await;
    core.shutdown().await;
    drop(core);
    assert!(!dir.path().join("seal.key").exists(), "nothing on this machine opens it");
    for from in 0..2 {
        let (core, _) = start(dir.path(), SealKind::Shamir).await;
        let status = core.status();
        assert_eq!((status.state, status.initialized), (NodeState::Sealed, true));
        let shares = status.shares.unwrap();
        assert_eq!((shares.shares, shares.threshold, shares.given), (3, 2, 0));
        let again = core.init(context(), InitSeal { split: split(1, 1), ..InitSeal::default() }).await;
        assert_eq!(again.err().unwrap().public(), "Vault is already initialized");
        unseal(&core, &made.shares.base64()[from..from + 2]).await;
        caller(&core, made.root_token.expose()).await;
        // Sealed and unsealed in one life.
        core.local_seal(local()).await.unwrap();
        assert_eq!(core.caller(context(), Some(made.root_token.expose())).await.err().unwrap().code(), Code::Sealed);
        assert!(core.local_unseal(local()).await.unwrap_err().public().contains("shares"));
        unseal(&core, &made.shares.hex()[1..]).await;
        core.shutdown().await;
    }
}

#[tokio::test]
async fn seal_of_another_kind_than_the_stores_is_refused_with_the_way_there() {
    let (shares, file) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (core, _) = start(shares.path(), SealKind::Shamir).await;
    init(&core, 1, 1).await;
    core.shutdown().await;
    drop(core);
    start(file.path(), SealKind::File).await.0.shutdown().await;
    for (dir, wrong) in [(&shares, SealKind::File), (&file, SealKind::Shamir)] {
        let said = refused(dir.path(), wrong).await;
        assert!(said.contains("coffer operator seal-migrate"), "{said}");
    }
    // A store that was never initialised may have either.
    let empty = tempfile::tempdir().unwrap();
    start(empty.path(), SealKind::Shamir).await.0.shutdown().await;
    start(empty.path(), SealKind::File).await.0.shutdown().await;
}

#[tokio::test]
async fn of_many_who_initialise_at_once_one_does() {
    let dir = tempfile::tempdir().unwrap();
    let (core, _) = start(dir.path(), SealKind::Shamir).await;
    let tries = (0..8).map(|_| {
        let core = Arc::clone(&core);
        tokio::spawn(async move { core.init(context(), InitSeal { split: split(1, 1), ..InitSeal::default() }).await })
    });
    let mut made = Vec::new();
    for tried in tries.collect::<Vec<_>>() {
        made.extend(tried.await.unwrap().ok());
    }
    assert_eq!(made.len(), 1);
    unseal(&core, &made[0].shares.hex()).await;
    core.shutdown().await;
}

#[tokio::test]
async fn flood_of_shares_is_bounded_and_the_last_attempts_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let (core, _) = start(dir.path(), SealKind::Shamir).await;
    let made = init(&core, 2, 2).await;
    for n in 0..1100_u32 {
        let _ = core.unseal(context(), Share::parse(&format!("{n:066x}")).unwrap()).await;
    }
    core.unseal_reset(context()).await.unwrap();
    unseal(&core, &made.shares.hex()).await;
    let root = caller(&core, made.root_token.expose()).await;
    let question = AuditQuery { action: Some("system.unseal".to_owned()), limit: Some(1000), ..AuditQuery::default() };
    let told = root.audit_query(&question).await.unwrap().entries;
    assert!((990..=1000).contains(&told.len()), "{}", told.len());
    drop(root);
    core.shutdown().await;
}

#[tokio::test]
async fn store_goes_from_its_key_file_to_shares_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let (core, started) = start(dir.path(), SealKind::File).await;
    let token = std::fs::read_to_string(started.initial_token_path.unwrap()).unwrap();
    let strange = core.local_seal_migrate(context(), MigrateSeal::Shamir(split(3, 2))).await;
    assert_eq!(strange.err().unwrap().code(), Code::Denied);
    let senseless = core.local_seal_migrate(local(), MigrateSeal::Shamir(split(3, 1))).await;
    assert_eq!(senseless.err().unwrap().code(), Code::Invalid);
    assert!(core.local_seal_migrate(local(), MigrateSeal::File(Vec::new())).await.is_err(), "it has that seal");
    assert!(core.local_seal_migrate(local(), MigrateSeal::Abandon).await.is_err(), "nothing to take back");
    let first = to_shares(&core).await;
    let shares = to_shares(&core).await;
    assert!(core.status().seal_migration);
    core.shutdown().await;
    drop(core);

    // Until the shares have opened it, the key file does.
    start(dir.path(), SealKind::File).await.0.shutdown().await;
    let (core, _) = start(dir.path(), SealKind::Shamir).await;
    core.unseal(context(), share(&first[0])).await.unwrap();
    assert!(core.unseal(context(), share(&first[1])).await.is_err(), "the first shares were replaced");
    assert!(core.status().seal_migration);
    unseal(&core, &shares[1..]).await;
    assert!(!core.status().seal_migration);
    caller(&core, token.trim()).await;
    core.shutdown().await;
    drop(core);
    assert!(refused(dir.path(), SealKind::File).await.contains("seal-migrate"), "the key file opens nothing any more");

    let (core, _) = start(dir.path(), SealKind::Shamir).await;
    let given = |texts: &[Sensitive<String>]| MigrateSeal::File(texts.iter().map(share).collect());
    assert!(core.local_seal_migrate(local(), given(&shares)).await.is_err(), "it is sealed");
    unseal(&core, &shares[..2]).await;
    for few in [&shares[..0], &shares[..1], &[shares[0].clone(), shares[0].clone()], &first[..2]] {
        let wrong = core.local_seal_migrate(local(), given(few)).await;
        assert_eq!(wrong.err().unwrap().code(), Code::Invalid);
    }
    // The key of a store of its own, in a new place.
    std::fs::remove_file(dir.path().join("seal.key")).unwrap();
    let migrated = core.local_seal_migrate(local(), given(&shares)).await.unwrap();
    assert!(matches!(migrated, Migrated::File(path) if path == dir.path().join("seal.key")));
    core.shutdown().await;
    drop(core);
    // A restart in between keeps both.
    let (core, _) = start(dir.path(), SealKind::Shamir).await;
    unseal(&core, &shares[..2]).await;
    core.shutdown().await;
    drop(core);
    let (core, _) = start(dir.path(), SealKind::File).await;
    assert_eq!((core.status().state, core.status().seal_migration), (NodeState::Active, false));
    caller(&core, token.trim()).await;
    core.shutdown().await;
    drop(core);
    assert!(refused(dir.path(), SealKind::Shamir).await.contains("seal-migrate"), "the shares open nothing any more");
}

#[tokio::test]
async fn migration_taken_back_leaves_the_seal_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let (core, _) = start(dir.path(), SealKind::File).await;
    to_shares(&core).await;
    let taken_back = core.local_seal_migrate(local(), MigrateSeal::Abandon).await.unwrap();
    assert!(matches!(taken_back, Migrated::Abandoned) && !core.status().seal_migration);
    core.shutdown().await;
    drop(core);
    assert!(refused(dir.path(), SealKind::Shamir).await.contains("seal-migrate"));
    start(dir.path(), SealKind::File).await.0.shutdown().await;
}

#[tokio::test]
async fn second_node_stays_sealed_until_it_is_given_shares_itself() {
    let storage = PostgresServer::shared().create_database();
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let node = async |dir: &tempfile::TempDir| {
        let config = Config { storage: storage.clone(), ..under(dir.path(), SealKind::Shamir) };
        Core::start(config).await.unwrap().0
    };
    let (one, other) = (node(&dirs[0]).await, node(&dirs[1]).await);
    let made = init(&one, 3, 2).await;
    let again = other.init(context(), InitSeal { split: split(1, 1), ..InitSeal::default() }).await;
    assert_eq!(again.err().unwrap().public(), "Vault is already initialized");
    unseal(&one, &made.shares.hex()[..2]).await;
    assert_eq!(other.status().state, NodeState::Sealed);
    other.unseal(context(), share(&made.shares.hex()[2])).await.unwrap();
    assert_eq!((other.status().state, other.status().shares.unwrap().given), (NodeState::Sealed, 1));
    other.unseal(context(), share(&made.shares.hex()[0])).await.unwrap();
    assert_eq!(other.status().state, NodeState::Standby);
    // It takes over with what it was given.
    one.shutdown().await;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while other.status().state != NodeState::Active {
        assert!(std::time::Instant::now() < deadline, "{:?}", other.status());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    caller(&other, made.root_token.expose()).await;
    other.shutdown().await;
}

async fn to_shares(core: &Core) -> Vec<Sensitive<String>> {
    match core.local_seal_migrate(local(), MigrateSeal::Shamir(split(3, 2))).await.unwrap() {
        Migrated::Shamir(shares) => shares.hex(),
        Migrated::Abandoned | Migrated::File(_) => panic!("shares were asked for"),
    }
}
