//! The mount table: which engine or login method answers which path.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use arc_swap::ArcSwap;
use coffer_crypto::rng;
use coffer_storage::Expect;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Caller, Error,
    active::Active,
    caller::Done,
    codec::{self, Persisted},
    commit::Edit,
    engine::kv::KvConfig,
    keys,
    policy::{Access, Operation, Parameters},
};

/// Mounts at most; the table stays in memory.
const MAX_MOUNTS: usize = 10_000;

/// What answers below a mount.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum MountKind {
    /// Roles with role ids and secret ids, for machines.
    Approle,
    /// A store of its own for each token (answers with a later release; its path is taken).
    Cubbyhole,
    /// Entities and groups.
    Identity,
    /// Versioned key-value store.
    KvV2,
    /// `sys/`.
    System,
    /// Tokens.
    Token,
    /// User names and passwords.
    Userpass,
}

/// A mount as it is stored and shown.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Mount {
    /// With trailing slash; login methods begin with `auth/`.
    pub path: String,
    /// What answers.
    pub kind: MountKind,
    /// For people.
    pub description: String,
    /// Engine options, as `version` and `shred`.
    pub options: BTreeMap<String, String>,
    /// Names the mount in aliases; not a credential.
    pub accessor: String,
    /// Names the mount's data in the store; never reused.
    pub id: Uuid,
    /// Seconds, 0 = the system's.
    pub default_lease_ttl: u64,
    /// Seconds, 0 = the system's.
    pub max_lease_ttl: u64,
    /// Settings of a KV mount.
    pub kv: KvConfig,
    /// When it was made, UTC milliseconds.
    pub created_ms: i64,
}

impl Persisted for Mount {}

/// All mounts.
#[derive(Default)]
pub(crate) struct Mounts {
    table: ArcSwap<HashMap<String, Arc<Mount>>>,
}

/// A request to enable a mount.
#[derive(Clone, Debug, Default)]
pub struct MountEnable {
    /// For people.
    pub description: String,
    /// Engine options.
    pub options: BTreeMap<String, String>,
    /// Seconds, 0 = the system's.
    pub default_lease_ttl: u64,
    /// Seconds, 0 = the system's.
    pub max_lease_ttl: u64,
}

impl MountKind {
    /// The type as clients know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approle => "approle",
            Self::Cubbyhole => "cubbyhole",
            Self::Identity => "identity",
            Self::KvV2 => "kv",
            Self::System => "system",
            Self::Token => "token",
            Self::Userpass => "userpass",
        }
    }
}

impl Mounts {
    pub(crate) fn put(&self, mount: Mount) {
        let mount = Arc::new(mount);
        self.table.rcu(|old| {
            let mut table = old.as_ref().clone();
            table.insert(mount.path.clone(), Arc::clone(&mount));
            table
        });
    }

    pub(crate) fn remove(&self, path: &str) {
        self.table.rcu(|old| {
            let mut table = old.as_ref().clone();
            table.remove(path);
            table
        });
    }

    pub(crate) fn at(&self, path: &str) -> Option<Arc<Mount>> {
        self.table.load().get(path).cloned()
    }

    /// The mount with the longest path that `path` lies at or below.
    pub(crate) fn resolve(&self, path: &str) -> Option<Arc<Mount>> {
        let table = self.table.load();
        let ends = path.char_indices().rev().filter(|(_, c)| *c == '/').map(|(at, _)| at + 1);
        ends.filter_map(|end| path.get(..end)).find_map(|prefix| table.get(prefix)).cloned()
    }

    /// The mount with this accessor.
    pub(crate) fn with_accessor(&self, accessor: &str) -> Option<Arc<Mount>> {
        self.table.load().values().find(|mount| mount.accessor == accessor).cloned()
    }

    /// Every mount, by path.
    pub(crate) fn all(&self) -> Vec<Arc<Mount>> {
        let mut all: Vec<_> = self.table.load().values().cloned().collect();
        all.sort_by(|a, b| a.path.cmp(&b.path));
        all
    }

    fn overlaps(&self, path: &str) -> Option<String> {
        let table = self.table.load();
        table.keys().find(|known| path.starts_with(known.as_str()) || known.starts_with(path)).cloned()
    }
}

impl Mount {
    /// A new mount of a kind.
    pub(crate) fn new(path: &str, kind: MountKind, request: MountEnable, now: i64) -> Result<Self, Error> {
        let prefix = if path.starts_with("auth/") { "auth_" } else { "" };
        let suffix = u32::from_be_bytes(rng::bytes::<4>()?);
        let mut options = request.options;
        if kind == MountKind::KvV2 {
            options.insert("version".to_owned(), "2".to_owned());
        }
        Ok(Self {
            path: path.to_owned(),
            kind,
            description: request.description,
            options,
            accessor: format!("{prefix}{}_{suffix:08x}", kind.name()),
            id: Uuid::new_v4(),
            default_lease_ttl: request.default_lease_ttl,
            max_lease_ttl: request.max_lease_ttl,
            kv: KvConfig::default(),
            created_ms: now,
        })
    }

    /// The row that stores it.
    pub(crate) fn row(path: &str) -> String {
        format!("{}{path}", keys::MOUNT)
    }

    /// The mounts that every store begins with.
    pub(crate) fn first(now: i64) -> Result<Vec<Self>, Error> {
        let mount = |path: &str, kind, description: &str| {
            Self::new(path, kind, MountEnable { description: description.to_owned(), ..MountEnable::default() }, now)
        };
        Ok(vec![
            mount("auth/token/", MountKind::Token, "token based credentials")?,
            mount("cubbyhole/", MountKind::Cubbyhole, "per-token private secret storage")?,
            mount("identity/", MountKind::Identity, "identity store")?,
            mount("secret/", MountKind::KvV2, "key/value secret storage")?,
            mount("sys/", MountKind::System, "system endpoints used for control, policy and debugging")?,
        ])
    }
}

impl Caller {
    /// The mount that a path lies at or below; no permission is needed to be routed.
    pub fn resolve(&self, path: &str) -> Option<Arc<Mount>> {
        self.active.mounts.resolve(path)
    }

    /// Every mount (login methods begin with `auth/`), for `sys/mounts` and `sys/auth`.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `path`.
    pub async fn mount_list(&self, path: &str) -> Result<Vec<Arc<Mount>>, Error> {
        self.recorded(self.record("mount.list", path), async {
            self.authorise(path, Operation::Read, &())?;
            Ok(Done::Unlogged(self.active.mounts.all()))
        })
        .await
    }

    /// The mount that `path` lies at or below, where the caller may do anything at all there.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] otherwise, and where there is no such mount.
    pub async fn mount_preflight(&self, path: &str) -> Result<Arc<Mount>, Error> {
        let full = format!("sys/internal/ui/mounts/{path}");
        self.recorded(self.record("mount.preflight", full), async {
            let slashed = format!("{}/", path.trim_end_matches('/'));
            let found = self.active.mounts.resolve(&slashed);
            let now = self.active.clock.now();
            match found.filter(|mount| self.authority.acl.any_access_under(&mount.path, now) == Access::Some) {
                Some(mount) => Ok(Done::Unlogged(mount)),
                None => Err(Error::new(
                    coffer_api::Code::Denied,
                    "preflight capability check returned 403, please ensure client's policies grant access to that path",
                )),
            }
        })
        .await
    }

    /// Enables an engine or login method at a path (`kv/`, `auth/userpass/`).
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without create or update (for login methods: and sudo) on `sys/mounts/PATH` or
    /// `sys/auth/PATH`; [`coffer_api::Code::Invalid`] where the path is taken or unusable.
    pub async fn mount_enable(
        &self,
        path: &str,
        kind: MountKind,
        request: MountEnable,
        parameters: &dyn Parameters,
    ) -> Result<(), Error> {
        let logical = logical(path);
        let record = self.record("mount.enable", &logical);
        self.recorded(record.clone(), async {
            self.authorise(&logical, Operation::Update, parameters)?;
            check_path(path)?;
            // One at a time: nesting is a question about all paths.
            let guard = self.active.locks.lock(&[keys::MOUNT]).await;
            if let Some(known) = self.active.mounts.overlaps(path) {
                let shown = known.strip_prefix("auth/").unwrap_or(&known);
                return Err(Error::invalid(format!("path is already in use at {shown}")));
            }
            if self.active.mounts.all().len() >= MAX_MOUNTS {
                return Err(Error::invalid(format!("there are {MAX_MOUNTS} mounts, which is the limit")));
            }
            let mount = Mount::new(path, kind, request, self.active.clock.now())?;
            let mut edit = Edit::under(guard);
            edit.put(Mount::row(path), codec::encode(&mount)?, Some(Expect::Absent));
            edit.in_force(move |active| active.mounts.put(mount));
            Ok(Done::Logged((), self.commit(edit, record.fact("type", kind.name())).await?))
        })
        .await
    }

    /// Disables a mount that is not one of the first; its data is unreachable from then on.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without delete on the path; [`coffer_api::Code::Invalid`] for a fixed mount.
    pub async fn mount_disable(&self, path: &str) -> Result<(), Error> {
        let logical = logical(path);
        let record = self.record("mount.disable", &logical);
        self.recorded(record.clone(), async {
            self.authorise(&logical, Operation::Delete, &())?;
            let Some(mount) = self.active.mounts.at(path) else { return Ok(Done::Unlogged(())) };
            match mount.kind {
                MountKind::Approle | MountKind::KvV2 | MountKind::Userpass => {}
                MountKind::Cubbyhole | MountKind::Identity | MountKind::System | MountKind::Token => {
                    return Err(Error::invalid(format!("cannot unmount {path:?}")));
                }
            }
            let mut edit = Edit::under(self.active.locks.lock(&[keys::MOUNT]).await);
            edit.delete(Mount::row(path), None);
            edit.in_force(move |active| active.mounts.remove(&mount.path));
            Ok(Done::Logged((), self.commit(edit, record).await?))
        })
        .await
    }
}

impl Active {
    pub(crate) async fn load_mounts(&self) -> Result<(), Error> {
        self.each(keys::MOUNT, |_, mount: Mount| {
            self.mounts.put(mount);
            Ok(())
        })
        .await
    }
}

fn logical(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    match trimmed.strip_prefix("auth/") {
        Some(method) => format!("sys/auth/{method}"),
        None => format!("sys/mounts/{trimmed}"),
    }
}

fn check_path(path: &str) -> Result<(), Error> {
    let inner = path.strip_prefix("auth/").unwrap_or(path).strip_suffix('/').unwrap_or_default();
    let plain = inner.chars().all(|c| !c.is_control() && !matches!(c, '*' | '+'));
    let segments = inner.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
    if inner.is_empty() || inner.len() > 256 || !plain || !segments {
        return Err(Error::invalid(
            "a mount path has 1 to 256 printable bytes, without empty or relative segments, '*' or '+'",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_mount_answers() {
        let mounts = Mounts::default();
        for path in ["secret/", "path/to/kv/", "auth/token/"] {
            mounts.put(Mount::new(path, MountKind::KvV2, MountEnable::default(), 0).unwrap());
        }
        let path = |path: &str| mounts.resolve(path).map(|mount| mount.path.clone());
        assert_eq!(path("secret/data/a").as_deref(), Some("secret/"));
        assert_eq!(path("path/to/kv/data/x").as_deref(), Some("path/to/kv/"));
        assert_eq!(path("path/to"), None);
        assert_eq!(path("secret"), None);
        assert_eq!(mounts.overlaps("path/").as_deref(), Some("path/to/kv/"));
        assert_eq!(mounts.overlaps("secret/x/").as_deref(), Some("secret/"));
        assert_eq!(mounts.overlaps("secret2/"), None);
    }

    #[test]
    fn unusable_mount_paths_are_refused() {
        for good in ["kv/", "auth/userpass/", "path/to/secret engine/"] {
            assert!(check_path(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "auth/", "a//b/", "a/../b/", "a*/", "+/", "a\n/", "kv"] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
    }
}
