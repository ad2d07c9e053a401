//! The core as a whole, with a look at the rows that it keeps.

mod backups;
mod bounded;
mod constant_time;
mod doubt;
#[path = "../../tests/it/harness.rs"]
#[allow(dead_code, reason = "the tests from outside need more of it")]
mod harness;
mod key_administrator;
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
mod stored;
mod swept;
mod trees;
mod unversioned;
mod values;
mod wiped;

use std::sync::Arc;

use coffer_storage::{Key, Limit, Prefix};

pub(crate) use self::harness::{caller, config, context, dev};
use crate::{Caller, Core, Dev, MountEnable, MountKind, active::Active, clock::ManualTimeSource};

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

/// The keys of all rows below a prefix.
pub(crate) async fn rows(active: &Active, prefix: &str) -> Vec<String> {
    let prefix = Prefix::new(prefix.to_owned()).unwrap();
    let mut found = Vec::new();
    let mut after: Option<Key> = None;
    loop {
        let page = active.store.scan_keys(&prefix, after.as_ref(), Limit::MAX).await.unwrap();
        after = page.items.last().cloned();
        found.extend(page.items.iter().map(|key| String::from_utf8(key.as_bytes().to_vec()).unwrap()));
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
