//! A core of its own for each test, here and, by way of `src/tests`, within the crate.

use std::{path::Path, sync::Arc};

use coffer_api::{Name, Scope, Sensitive};
use coffer_core::{
    AuditConfig, Caller, Config, Context, Core, Dev, Dialect, Limits, ReadDurability, SealKind, ShareGivers, Started,
};
use tempfile::TempDir;
use uuid::Uuid;

/// A core in memory with the root token `root`.
pub(crate) async fn dev() -> Arc<Core> {
    let _ = tracing_subscriber::fmt().with_test_writer().try_init();
    let mut config = config(Path::new("/nonexistent"));
    config.dev = Some(Dev { root_token: Some("root".to_owned()) });
    Core::start(config).await.unwrap().0
}

/// A core on SQLite in a directory.
pub(crate) async fn sqlite(dir: &TempDir) -> (Arc<Core>, Started) {
    Core::start(config(dir.path())).await.unwrap()
}

pub(crate) fn config(dir: &Path) -> Config {
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
        backup: None,
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
        dialect: Dialect::Native,
        headers: Vec::new(),
        wrap_ttl: None,
    }
}

pub(crate) fn local() -> Context {
    Context { remote: None, local_uid: Some(rustix::process::geteuid().as_raw()), ..context() }
}

pub(crate) async fn caller(core: &Core, token: &str) -> Caller {
    core.caller(context(), Some(token)).await.unwrap()
}

pub(crate) fn scope(text: &str) -> Scope {
    text.parse().unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn value(text: &str) -> Sensitive<String> {
    Sensitive::from(text)
}
