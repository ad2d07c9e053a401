//! The core as a whole, with a look at the rows that it keeps.

mod key_list;
mod key_mounts;
mod key_sweep;
mod key_uses;
mod keys;
mod leftovers;
mod lockout;
mod logins;
mod policies;
mod rekeyed;
mod renamed;
mod retried;
mod revoked;
mod rows;
mod shred;
mod swept;
mod trees;
mod unversioned;
mod wiped;

use std::sync::Arc;

use coffer_storage::{Key, Limit, Prefix};
use uuid::Uuid;

use crate::{
    AuditConfig, Caller, Config, Context, Core, Dev, Limits, MountEnable, MountKind, ReadDurability, SealKind,
    ShareGivers, active::Active, clock::ManualTimeSource,
};

/// A core in memory with the root token `root`.
pub(crate) async fn dev() -> Arc<Core> {
    let mut config = config(std::path::Path::new("/nonexistent"));
    config.dev = Some(Dev { root_token: Some("root".to_owned()) });
    Core::start(config).await.unwrap().0
}

/// As [`dev`], by clocks that are set by hand, with a key engine at `transit/`.
pub(crate) async fn dev_with_keys() -> (Arc<Core>, ManualTimeSource) {
    let mut config = config(std::path::Path::new("/nonexistent"));
    config.dev = Some(Dev { root_token: Some("root".to_owned()) });
    let time = ManualTimeSource::new(NOON);
    let core = Core::start_by(config, Arc::new(time.clone())).await.unwrap().0;
    let root = caller(&core, "root").await;
    root.mount_enable("transit/", MountKind::Transit, MountEnable::default(), &()).await.unwrap();
    (core, time)
}

/// Some noon, UTC milliseconds.
pub(crate) const NOON: i64 = 1_795_348_800_000;

/// A core on SQLite in this directory.
pub(crate) fn config(dir: &std::path::Path) -> Config {
    let mut limits = Limits::default();
    limits.free_for_changes.bytes = 0;
    limits.free_for_reads.bytes = 0;
    Config {
        storage: format!("sqlite:{}", dir.join("store.db").display()),
        data: dir.to_owned(),
        advertise: "http://127.0.0.1:1".to_owned(),
        seal: SealKind::File,
        seal_key_file: dir.join("seal.key"),
        share_givers: ShareGivers::Known,
        dev: None,
        audit: AuditConfig { dir: dir.join("audit"), read_durability: ReadDurability::Synced, scrub_every: None },
        limits,
    }
}

pub(crate) fn context() -> Context {
    Context {
        request_id: Uuid::new_v4(),
        remote: Some("127.0.0.1:4321".parse().unwrap()),
        local_uid: None,
        method: "TEST",
        path: "/test".to_owned(),
        user_agent: None,
        wrap_ttl: None,
    }
}

pub(crate) async fn caller(core: &Core, token: &str) -> Caller {
    core.caller(context(), Some(token)).await.unwrap()
}

/// The keys of all rows below a prefix.
pub(crate) async fn rows(active: &Active, prefix: &str) -> Vec<String> {
    let prefix = Prefix::new(prefix.to_owned()).unwrap();
    let mut found = Vec::new();
    let mut after: Option<Key> = None;
    loop {
        let page = active.store.scan_keys(&prefix, after.as_ref(), Limit::MAX).await.unwrap();
        after = page.items.last().map(|(key, _)| key.clone());
        found.extend(page.items.iter().map(|(key, _)| String::from_utf8(key.as_bytes().to_vec()).unwrap()));
        if !page.more {
            return found;
        }
    }
}

/// The facts of the records of a class, oldest first.
pub(crate) async fn facts(caller: &Caller, class: &str) -> Vec<serde_json::Value> {
    let question =
        coffer_api::audit::AuditQuery { action: Some(class.to_owned()), ..coffer_api::audit::AuditQuery::default() };
    let page = caller.audit_query(&question).await.unwrap();
    page.entries.into_iter().map(|entry| entry.entry["facts"].clone()).collect()
}
