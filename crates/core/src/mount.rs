//! The mount table: which engine or login method answers which path.

mod enable;
pub(crate) mod provisional;
pub(crate) mod purge;
mod remount;
pub(crate) mod tune;
mod visible;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::AtomicBool},
};

use arc_swap::ArcSwap;
use coffer_api::token::TokenKind;
use coffer_crypto::rng;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Caller, Error, active::Active, codec::Persisted, config::Limits, engine::kv::KvConfig, keys};

pub use enable::MountEnable;
pub(crate) use provisional::Standing;
pub use remount::MountMove;
pub(crate) use remount::Moves;
pub use tune::{Listing, LoginTokenType, MountTune, Tuned, Tuning};
pub use visible::{GrantedPath, ResultantAcl};

/// What answers below a mount.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum MountKind {
    /// Roles with role ids and secret ids, for machines.
    Approle,
    /// A store of its own for each token that goes with it.
    Cubbyhole,
    /// The oldest name of a [`MountKind::KvV1`], which it keeps.
    Generic,
    /// Entities and groups.
    Identity,
    /// Key-value store without versions.
    KvV1,
    /// Versioned key-value store.
    KvV2,
    /// `sys/`.
    System,
    /// Tokens.
    Token,
    /// User names and passwords.
    Userpass,
    /// Keys that are used here and stay here.
    Transit,
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
    /// Engine options, as `version` and `shred`; `None` where whoever made the mount gave none, nor an empty set.
    pub options: Option<BTreeMap<String, String>>,
    /// Names the mount in aliases; not a credential.
    pub accessor: String,
    /// Names the mount's data in the store; never reused.
    pub id: Uuid,
    /// Seconds, 0 = the system's; negative = over at once.
    pub default_lease_ttl: i64,
    /// Seconds, 0 = the system's; negative = nothing may live.
    pub max_lease_ttl: i64,
    /// Everything else that can be tuned.
    pub tuning: Tuning,
    /// Settings of a KV mount.
    pub kv: KvConfig,
    /// When it was made, UTC milliseconds.
    pub created_ms: i64,
    /// Names its stay at its path; never reused. The tokens of a login method end with it.
    pub(crate) tenure: Uuid,
    /// Whose choice it is.
    pub(crate) standing: Standing,
}

impl Persisted for Mount {}

/// All mounts.
#[derive(Default)]
pub(crate) struct Mounts {
    table: ArcSwap<HashMap<String, Arc<Mount>>>,
    /// Whether any is provisional: so that every commit need not look.
    has_provisional: AtomicBool,
}

/// Lifetimes that a mount gives, in seconds; negative where it was told so.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeaseTtls {
    /// Where nobody asks for another.
    pub default: i64,
    /// At most.
    pub max: i64,
}

impl MountKind {
    /// The type as clients know it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approle => "approle",
            Self::Cubbyhole => "cubbyhole",
            Self::Generic => "generic",
            Self::Identity => "identity",
            Self::KvV1 | Self::KvV2 => "kv",
            Self::System => "system",
            Self::Token => "token",
            Self::Userpass => "userpass",
            Self::Transit => "transit",
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
        self.note_provisional();
    }

    pub(crate) fn remove(&self, path: &str) {
        self.table.rcu(|old| {
            let mut table = old.as_ref().clone();
            table.remove(path);
            table
        });
        self.note_provisional();
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

    /// A path of a key engine as if that lay where the built-in policies speak of it; `None` for what lies there, and for
    /// paths of everything else.
    pub(crate) fn usual(&self, path: &str) -> Option<String> {
        let path = path.trim_start_matches('/');
        let mount = self.resolve(path).filter(|mount| mount.kind == MountKind::Transit && mount.path != KEYS)?;
        Some(format!("{KEYS}{}", path.strip_prefix(&mount.path)?))
    }

    /// Puts a mount in the place of the one at `from`, in one step.
    pub(crate) fn rename(&self, from: &str, mount: Mount) {
        let mount = Arc::new(mount);
        self.table.rcu(|old| {
            let mut table = old.as_ref().clone();
            table.remove(from);
            table.insert(mount.path.clone(), Arc::clone(&mount));
            table
        });
        self.note_provisional();
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

    /// The mounts that a path lies at or below, and those below it.
    fn overlapping(&self, path: &str) -> Vec<Arc<Mount>> {
        let table = self.table.load();
        let known = table.iter().filter(|(known, _)| path.starts_with(known.as_str()) || known.starts_with(path));
        known.map(|(_, mount)| Arc::clone(mount)).collect()
    }
}

impl Mount {
    /// A new mount of a kind.
    pub(crate) fn new(path: &str, kind: MountKind, request: MountEnable, now: i64) -> Result<Self, Error> {
        let prefix = if path.starts_with("auth/") { "auth_" } else { "" };
        let suffix = u32::from_be_bytes(rng::bytes::<4>()?);
        let mut options = request.options;
        if kind == MountKind::KvV2 {
            options.get_or_insert_default().insert("version".to_owned(), "2".to_owned());
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
            tuning: request.tuning,
            kv: KvConfig::default(),
            created_ms: now,
            tenure: Uuid::new_v4(),
            standing: Standing::Chosen,
        })
    }

    /// The row that stores it.
    pub(crate) fn row(path: &str) -> String {
        format!("{}{path}", keys::MOUNT)
    }

    /// The mounts that every store begins with; those that others could do without have the `standing`.
    pub(crate) fn first(now: i64, standing: Standing) -> Result<Vec<Self>, Error> {
        let mount = |path: &str, kind, description: &str, tuning: Tuning| {
            let request = MountEnable { description: description.to_owned(), tuning, ..MountEnable::default() };
            Self::new(path, kind, request, now)
        };
        let passing =
            |header: &str| Tuning { passthrough_request_headers: vec![header.to_owned()], ..Tuning::default() };
        let local = Tuning { local: true, ..Tuning::default() };
        let system = Tuning { seal_wrap: true, ..passing("Accept") };
        let mut mounts = vec![
            mount("auth/token/", MountKind::Token, "token based credentials", Tuning::default())?,
            mount("cubbyhole/", MountKind::Cubbyhole, "per-token private secret storage", local)?,
            mount("identity/", MountKind::Identity, "identity store", passing("Authorization"))?,
            mount("secret/", MountKind::KvV2, "key/value secret storage", Tuning::default())?,
            mount("sys/", MountKind::System, "system endpoints used for control, policy and debugging", system)?,
        ];
        for mount in mounts.iter_mut().filter(|mount| !mount.kind.is_fixed()) {
            mount.standing = standing;
        }
        Ok(mounts)
    }

    /// An engine option that was set.
    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        self.options.as_ref()?.get(name).map(String::as_str)
    }

    /// The kind of token that a login here gives to whom the method itself gives one of the kind `own`, or leaves it to
    /// the mount.
    pub(crate) fn token_kind(&self, own: Option<TokenKind>) -> TokenKind {
        match self.tuning.token_type {
            LoginTokenType::Batch => TokenKind::Batch,
            LoginTokenType::DefaultBatch => own.unwrap_or(TokenKind::Batch),
            LoginTokenType::DefaultService => own.unwrap_or(TokenKind::Service),
            LoginTokenType::Service => TokenKind::Service,
        }
    }
}

impl Limits {
    /// The lifetimes that a mount gives: its own where it has them, else the system's. A mount's may be longer.
    pub(crate) fn lease_ttls(&self, mount: Option<&Mount>) -> LeaseTtls {
        let own = |ttl: fn(&Mount) -> i64| mount.map(ttl).filter(|ttl| *ttl != 0);
        LeaseTtls {
            default: own(|mount| mount.default_lease_ttl).unwrap_or(signed(self.default_lease_ttl)),
            max: own(|mount| mount.max_lease_ttl).unwrap_or(signed(self.max_lease_ttl)),
        }
    }
}

impl LeaseTtls {
    /// The bound, for what lives at all.
    ///
    /// # Errors
    /// [`coffer_api::Code::Invalid`] where the mount lets nothing live.
    pub(crate) fn most(self) -> Result<u64, Error> {
        u64::try_from(self.max).map_err(|_| Error::invalid("max TTL must be greater than zero"))
    }
}

impl Caller {
    /// The mount that a path lies at or below; no permission is needed to be routed.
    pub fn resolve(&self, path: &str) -> Option<Arc<Mount>> {
        self.active.mounts.resolve(path)
    }

    /// The lifetimes in force at a mount; no permission is needed.
    pub fn lease_ttls(&self, mount: &Mount) -> LeaseTtls {
        self.active.limits.lease_ttls(Some(mount))
    }
}

/// Where key engines usually lie.
const KEYS: &str = "transit/";

/// Seconds that may be negative elsewhere.
pub(crate) fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
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
        let overlapping =
            |path: &str| mounts.overlapping(path).iter().map(|mount| mount.path.clone()).collect::<Vec<_>>();
        assert_eq!(overlapping("path/"), ["path/to/kv/"]);
        assert_eq!(overlapping("secret/x/"), ["secret/"]);
        assert_eq!(overlapping("secret2/"), [""; 0]);
    }

    #[test]
    fn moved_mount_answers_at_its_new_path_alone() {
        let mounts = Mounts::default();
        let old = Mount::new("a/", MountKind::KvV2, MountEnable::default(), 0).unwrap();
        mounts.put(old.clone());
        mounts.rename("a/", Mount { path: "b/c/".to_owned(), ..old.clone() });
        assert!(mounts.resolve("a/data/x").is_none());
        assert_eq!(mounts.resolve("b/c/data/x").unwrap().id, old.id);
        assert_eq!(mounts.all().len(), 1);
    }

    #[test]
    fn path_of_a_key_engine_elsewhere_is_told_as_if_it_lay_at_transit() {
        let mounts = Mounts::default();
        for (path, kind) in [
            ("transit/", MountKind::Transit),
            ("tk/", MountKind::Transit),
            ("transit/deep/", MountKind::Transit),
            ("tk/kv/", MountKind::KvV2),
        ] {
            mounts.put(Mount::new(path, kind, MountEnable::default(), 0).unwrap());
        }
        let usual = |path: &str| mounts.usual(path);
        assert_eq!(usual("tk/encrypt/k").as_deref(), Some("transit/encrypt/k"));
        assert_eq!(usual("/transit/deep/keys/k/csr").as_deref(), Some("transit/keys/k/csr"));
        for other in ["transit/encrypt/k", "tk/kv/encrypt/k", "tk", "secret/data/a"] {
            assert_eq!(usual(other), None, "{other}");
        }
    }

    #[test]
    fn token_type_of_mount_decides_where_the_method_does_not() {
        let mut mount = Mount::new("auth/up/", MountKind::Userpass, MountEnable::default(), 0).unwrap();
        for (of_mount, own, kind) in [
            (LoginTokenType::DefaultService, None, TokenKind::Service),
            (LoginTokenType::DefaultService, Some(TokenKind::Batch), TokenKind::Batch),
            (LoginTokenType::DefaultBatch, None, TokenKind::Batch),
            (LoginTokenType::DefaultBatch, Some(TokenKind::Service), TokenKind::Service),
            (LoginTokenType::Batch, Some(TokenKind::Service), TokenKind::Batch),
            (LoginTokenType::Service, Some(TokenKind::Batch), TokenKind::Service),
        ] {
            mount.tuning.token_type = of_mount;
            assert_eq!(mount.token_kind(own), kind, "{of_mount:?} {own:?}");
        }
    }
}
