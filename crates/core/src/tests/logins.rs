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

/// How much longer than after the first waves the process may be after the last: what the allocator keeps of freed pages.
const SLACK: u64 = 6 << 20;
/// Waves until caches, pools and the allocator are as full as they get.
const WARM: usize = 2;
/// Set where this test runs in a process of its own.
const ALONE: &str = "COFFER_TEST_LOGINS_ALONE";

/// In a process of its own, since other tests take and leave memory as well.
#[test]
fn logins_leave_nothing_once_their_tokens_have_expired() {
    if std::env::var_os(ALONE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        return runtime.block_on(log_in_and_expire());
    }
    let this = std::env::current_exe().unwrap();
    let name = "tests::logins::logins_leave_nothing_once_their_tokens_have_expired";
    let ran = std::process::Command::new(this).args(["--exact", name, "--nocapture"]).env(ALONE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}

async fn log_in_and_expire() {
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

    let (mut sizes, mut resident) = (Vec::new(), Vec::new());
    for _ in 0..WAVES {
        let wave = logins / 2 / WAVES;
        log_in(&core, "service", wave).await;
        let visited = active.metrics.sweep_visited.value();
        let rounds = sweep_until(&active, before.0).await;
        let visited = active.metrics.sweep_visited.value() - visited;
        // Each once, and those of the running minute that are not due yet once a round, of at most 500.
        assert!(visited <= wave + 500 * rounds, "{visited} places visited for {wave} tokens in {rounds} rounds");
        sizes.push(active.store.stats().file_bytes.unwrap_or(0));
        active.tokens.tidy();
        resident.push(resident_bytes());
    }
    assert!(rows(&active, keys::TOKEN_EXPIRY).await.len() <= before.0, "places of tokens that are gone");
    assert!(sizes.last().unwrap() <= &(sizes[0] * 3 / 2 + (4 << 20)), "the store's file grows without end: {sizes:?}");
    let limits = core.config.limits;
    assert!(active.cache.weight() <= u64::try_from(limits.cache_bytes).unwrap());
    assert!(active.tokens.weight() <= u64::try_from(limits.token_cache_bytes).unwrap());
    println!("{logins} logins: file sizes {sizes:?}, memory {resident:?}");
    let (warm, last) = (resident[..WARM].iter().max().unwrap(), resident.last().unwrap());
    assert!(*last <= warm + SLACK, "memory grows with every login: {resident:?}");
    drop((admin, active));
    core.shutdown().await;
}

/// What the process has in memory.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
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
