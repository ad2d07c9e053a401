//! What many logins leave behind: nothing, once their tokens have expired. With `COFFER_STRESS` a million of them.

use std::{sync::Arc, time::Duration};

use coffer_api::Sensitive;

use super::{caller, config, rows};
use crate::{
    AppRole, Core, LoginKind, MountEnable, MountKind, SecretIdIssue, active::Active, auth::approle, keys, token::sweep,
};

/// Logins at once.
const TOGETHER: u64 = 64;
/// Waves of service tokens: the store's file is compared over them.
const WAVES: u64 = 5;
/// Tokens that live on, for the sweep to leave alone.
const LASTING: u64 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_leave_nothing_once_their_tokens_have_expired() {
    let logins: u64 = if std::env::var_os("COFFER_STRESS").is_some() { 1_000_000 } else { 20_000 };
    let dir = tempfile::tempdir().unwrap();
    let mut config = config(dir.path());
    config.dev = None;
    let (core, started) = Core::start(config).await.unwrap();
    let initial = std::fs::read_to_string(started.initial_token_path.unwrap()).unwrap();
    let admin = core.login_initial(super::context(), initial.trim()).await.unwrap().token;
    let admin = caller(&core, admin.expose()).await;
    admin.mount_enable("auth/approle/", MountKind::Approle, MountEnable::default(), &()).await.unwrap();
    let mount = admin.resolve("auth/approle/login").unwrap();
    for (name, kind, ttl) in
        [("batch", LoginKind::Batch, 60), ("service", LoginKind::Service, 1), ("lasting", LoginKind::Service, 86_400)]
    {
        let change = |role: &mut AppRole| {
            role.role_id = name.to_owned();
            role.token.kind = kind;
            role.token.ttl = ttl;
            Ok(())
        };
        admin.approle_write(&mount, name, None, &(), change).await.unwrap();
        let custom = Some(Sensitive::from("of all logins"));
        let issue = SecretIdIssue { custom, ..SecretIdIssue::default() };
        admin.secret_id_issue(&mount, name, issue, &()).await.unwrap();
    }
    let active = Arc::clone(&admin.active);
    log_in(&core, "lasting", LASTING).await;
    log_in(&core, "batch", 1).await;
    let before = (rows(&active, keys::TOKEN).await.len(), rows(&active, keys::ENTITY).await.len());
    let written = active.store.stats().rows_written;
    log_in(&core, "batch", logins / 2).await;
    let written = active.store.stats().rows_written - written;
    assert!(written < logins / 20, "{written} rows for {} batch tokens", logins / 2);
    assert_eq!((rows(&active, keys::TOKEN).await.len(), rows(&active, keys::ENTITY).await.len()), before);

    let mut sizes = Vec::new();
    for _ in 0..WAVES {
        let wave = logins / 2 / WAVES;
        log_in(&core, "service", wave).await;
        let visited = active.metrics.sweep_visited.value();
        let rounds = sweep_until(&active, before.0).await;
        let visited = active.metrics.sweep_visited.value() - visited;
        // Each once, and those of the running minute that are not due yet once a round, of at most 500.
        assert!(visited <= wave + 500 * rounds, "{visited} places visited for {wave} tokens in {rounds} rounds");
        sizes.push(active.store.stats().file_bytes.unwrap_or(0));
    }
    assert!(rows(&active, keys::TOKEN_EXPIRY).await.len() <= before.0, "places of tokens that are gone");
    assert!(sizes.last().unwrap() <= &(sizes[0] * 3 / 2 + (4 << 20)), "the store's file grows without end: {sizes:?}");
    let limits = core.config.limits;
    assert!(active.cache.weight() <= u64::try_from(limits.cache_bytes).unwrap());
    assert!(active.tokens.weight() <= u64::try_from(limits.token_cache_bytes).unwrap());
    let resident = std::fs::read_to_string("/proc/self/status").unwrap();
    let resident = resident.lines().find(|line| line.starts_with("VmRSS")).unwrap_or_default().to_owned();
    println!("{logins} logins: file sizes {sizes:?}, {resident}");
    drop((admin, active));
    core.shutdown().await;
}

/// Sweeps until so many tokens are left; tells in how many rounds.
async fn sweep_until(active: &Arc<Active>, left: usize) -> u64 {
    let mut rounds = 1;
    while rows(active, keys::TOKEN).await.len() > left {
        // A conflict is with the node's own sweep.
        let _ = sweep::sweep(active).await;
        rounds += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    approle::sweep::sweep_all(active).await.unwrap();
    rounds
}

async fn log_in(core: &Arc<Core>, role: &'static str, times: u64) {
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TOGETHER {
        let core = Arc::clone(core);
        let mine = times / TOGETHER + u64::from(task < times % TOGETHER);
        tasks.spawn(async move {
            let secret = Sensitive::from("of all logins");
            for _ in 0..mine {
                core.login_approle(super::context(), "approle", role, Some(&secret)).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
}
