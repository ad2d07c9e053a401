//! Mounts come and go: enable, disable, list.

use std::{collections::BTreeMap, sync::Arc};

use coffer_api::Code;
use coffer_storage::Expect;
use uuid::Uuid;

use super::{
    Mount, MountKind,
    provisional::{Place, displace},
    purge::{PurgeRow, purge_row},
    tune::Tuning,
};
use crate::{
    Caller, Error,
    active::Found,
    caller::Done,
    codec,
    commit::Edit,
    engine::key::orphaned,
    keys,
    mount::signed,
    policy::{Operation, Parameters},
    spelled::Spelled,
};

/// The option of a key engine that names a disabled one, whose keys are taken up.
const RESTORE: &str = "restore";
/// Mounts at most; the table stays in memory.
const MAX_MOUNTS: usize = 10_000;
/// Where no engine is mounted: what lies there is the server's own.
const TAKEN: [&str; 5] = ["audit/", "auth/", "cubbyhole/", "identity/", "sys/"];

/// A request to enable a mount.
#[derive(Clone, Debug, Default)]
pub struct MountEnable {
    /// For people; at most 4 KiB.
    pub description: String,
    /// Engine options; at most 64 pairs.
    pub options: Option<BTreeMap<String, String>>,
    /// Seconds, 0 = the system's.
    pub default_lease_ttl: i64,
    /// Seconds, 0 = the system's.
    pub max_lease_ttl: i64,
    /// Everything else.
    pub tuning: Tuning,
}

impl Caller {
    /// Every mount (login methods begin with `auth/`) but those of the store's own that nobody has used yet, for `sys/mounts` and `sys/auth`.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `path`.
    pub async fn mount_list(&self, path: &str) -> Result<Vec<Arc<Mount>>, Error> {
        self.recorded(self.record("mount.list", path), async {
            self.authorise(path, Operation::Read, &())?;
            let mut mounts = self.active.mounts.all();
            mounts.retain(|mount| !mount.is_unused());
            Ok(Done::Unlogged(mounts))
        })
        .await
    }

    /// The mount at `path` (with its final `/`), asked for as `logical`.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `logical`; `absent` where there is no such mount.
    pub async fn mount_read(
        &self,
        logical: &str,
        path: &str,
        absent: impl FnOnce() -> Error,
    ) -> Result<Arc<Mount>, Error> {
        let asked = asked_as(logical);
        self.recorded(self.record("mount.read", &asked), async {
            self.authorise(&asked, Operation::Read, &())?;
            let found = self.active.mounts.at(path).filter(|mount| !mount.is_unused());
            found.map(Done::Unlogged).ok_or_else(absent)
        })
        .await
    }

    /// Enables an engine or login method at a path (`kv/`, `auth/userpass/`).
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without create or update (for login methods: and sudo) on `sys/mounts/PATH` or
    /// `sys/auth/PATH`, and without them on `sys/mounts/OLD` where the keys of an engine that was disabled at `OLD` are
    /// taken up; [`coffer_api::Code::Invalid`] where the path is taken or unusable, or a setting is.
    pub async fn mount_enable(
        &self,
        path: &str,
        kind: MountKind,
        request: MountEnable,
        parameters: &dyn Parameters,
    ) -> Result<(), Error> {
        let logical = asked_as(&logical(path));
        let record = self.record("mount.enable", &logical);
        self.recorded(record.clone(), async {
            self.authorise(&logical, Operation::Update, parameters)?;
            check_place(path, kind)?;
            check_path(path)?;
            check_ttls(&request, self.active.limits.max_lease_ttl)?;
            // One at a time: nesting is a question about all paths.
            let guard = self.active.locks.lock(&[keys::MOUNT]).await;
            let place = self.active.mounts.place(path, kind)?;
            if self.active.mounts.all().len() >= MAX_MOUNTS {
                return Err(Error::invalid(format!("there are {MAX_MOUNTS} mounts, which is the limit")));
            }
            let mut request = request;
            let disabled = self.disabled_engine(&logical, kind, &mut request, parameters).await?;
            let mut mount = Mount::new(path, kind, request, self.active.clock.now())?;
            mount.check_bounds()?;
            let mut edit = Edit::under(guard);
            let mut record = record.fact("type", kind.name());
            if let Some((id, found)) = disabled {
                record = record.fact("restored", id.to_string()).fact("from", found.value.path);
                mount.id = id;
                edit.delete(purge_row(id), Some(Expect::Revision(found.revision)));
            }
            match place {
                Place::Adopted(known) => {
                    record = record.fact("adopted", known.accessor.clone());
                    mount = mount.in_place_of(&known);
                    edit.put(Mount::row(path), codec::encode(&mount)?, None);
                }
                Place::Free(gone) => {
                    record = displace(&gone, path, &mut edit, record);
                    let replaces = gone.iter().any(|gone| gone.path == path);
                    edit.put(Mount::row(path), codec::encode(&mount)?, (!replaces).then_some(Expect::Absent));
                }
            }
            edit.in_force(move |active| {
                active.mounts.put(mount);
                active.leftovers_asked.notify_one();
            });
            Ok(Done::Logged((), self.commit(edit, record).await?))
        })
        .await
    }

    /// Disables a mount that is not one of the first; its data is unreachable from then on and deleted in the background,
    /// and the tokens that a login method gave are void. Keys of a key engine are destroyed in their time.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without delete on the path; [`coffer_api::Code::Invalid`] for a fixed mount.
    pub async fn mount_disable(&self, path: &str) -> Result<(), Error> {
        self.mount_disable_as(&logical(path), path).await
    }

    /// The same, asked for as `logical`.
    ///
    /// # Errors
    /// As there, with delete on `logical`.
    pub async fn mount_disable_as(&self, logical: &str, path: &str) -> Result<(), Error> {
        let logical = asked_as(logical);
        let record = self.record("mount.disable", &logical);
        self.recorded(record.clone(), async {
            self.authorise(&logical, Operation::Delete, &())?;
            let guard = self.active.locks.lock(&[keys::MOUNT]).await;
            let Some(mount) = self.active.mounts.at(path) else { return Ok(Done::Unlogged(())) };
            if mount.kind == MountKind::Token {
                return Err(Error::invalid("token credential backend cannot be disabled"));
            }
            if mount.kind.is_fixed() {
                return Err(Error::invalid(format!("cannot unmount {path:?}")));
            }
            let record = record.fact("id", mount.id.to_string());
            let mut edit = Edit::under(guard);
            edit.delete(Mount::row(path), None);
            // Its data is out of reach from here on, and goes in the background.
            let purge = PurgeRow { path: path.to_owned(), disabled_ms: self.active.clock.now() };
            edit.put(purge_row(mount.id), codec::encode(&purge)?, Some(Expect::Absent));
            edit.in_force(move |active| {
                active.mounts.remove(&mount.path);
                active.leftovers_asked.notify_one();
                active.loaded.forget_mount(mount.id);
            });
            Ok(Done::Logged((), self.commit(edit, record).await?))
        })
        .await
    }

    /// The key engine that was disabled and is to be enabled again with its keys, which are deleted ones by then: the
    /// option [`RESTORE`] has its id, and goes by that. Who takes it up may change what was at its old path too, where
    /// policies guarded the keys; a refusal does not tell where that was.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on the old path; [`Code::Invalid`] where no such engine was disabled, or none of
    /// its keys is left.
    async fn disabled_engine(
        &self,
        asked: &Spelled,
        kind: MountKind,
        request: &mut MountEnable,
        parameters: &dyn Parameters,
    ) -> Result<Option<(Uuid, Found<PurgeRow>)>, Error> {
        let options = request.options.as_mut().filter(|_| kind == MountKind::Transit);
        let Some(wanted) = options.and_then(|options| options.remove(RESTORE)) else { return Ok(None) };
        let nothing = || Error::invalid(format!("no key engine {wanted:?} was disabled whose keys are still there"));
        let id = Uuid::parse_str(&wanted).map_err(|_| nothing())?;
        let found = self.active.row::<PurgeRow>(&purge_row(id)).await?.ok_or_else(nothing)?;
        let old = asked_as(&logical(&found.value.path));
        self.authorise(&old, Operation::Update, parameters).map_err(|_| {
            let asked = asked.sent();
            let why = format!("the option {RESTORE:?} needs update on the old path of that engine as well");
            Error::new(Code::Denied, format!("permission denied: update on {asked}: {why}"))
        })?;
        match orphaned::has_keys(&self.active, id).await? {
            true => Ok(Some((id, found))),
            false => Err(nothing()),
        }
    }
}

impl MountKind {
    /// Whether it is one that every store has once, at a path of its own.
    pub(super) fn is_fixed(self) -> bool {
        match self {
            Self::Cubbyhole | Self::Identity | Self::System | Self::Token => true,
            Self::Approle | Self::Generic | Self::KvV1 | Self::KvV2 | Self::Userpass | Self::Transit => false,
        }
    }

    /// Whether it is a login method.
    fn is_login(self) -> bool {
        match self {
            Self::Approle | Self::Token | Self::Userpass => true,
            Self::Cubbyhole
            | Self::Generic
            | Self::Identity
            | Self::KvV1
            | Self::KvV2
            | Self::System
            | Self::Transit => false,
        }
    }
}

/// # Errors
/// Where a path is no mount's: too long, with empty or relative segments.
pub(super) fn check_path(path: &str) -> Result<(), Error> {
    let inner = path.strip_prefix("auth/").unwrap_or(path).strip_suffix('/').unwrap_or_default();
    let plain = inner.chars().all(|c| !c.is_control());
    let segments = inner.split('/').all(|segment| !matches!(segment, "" | "." | ".."));
    if inner.is_empty() || inner.len() > 256 || !plain || !segments {
        return Err(Error::invalid("a mount path has 1 to 256 printable bytes, without empty or relative segments"));
    }
    Ok(())
}

/// Whether a path lies where engines may not be mounted.
pub(super) fn is_taken(path: &str) -> bool {
    TAKEN.iter().any(|taken| path.starts_with(taken))
}

fn check_place(path: &str, kind: MountKind) -> Result<(), Error> {
    let fits = if kind.is_login() { path.starts_with("auth/") } else { !is_taken(path) };
    if fits { Ok(()) } else { Err(Error::invalid(format!("cannot mount {path:?}"))) }
}

fn check_ttls(request: &MountEnable, system_max: u64) -> Result<(), Error> {
    match (request.default_lease_ttl, request.max_lease_ttl) {
        (default, 0) if default > signed(system_max) => {
            Err(Error::invalid(format!("given default lease TTL greater than system max lease TTL of {system_max}")))
        }
        (default, max) if max != 0 && default > max => {
            Err(Error::invalid("given default lease TTL greater than given max lease TTL"))
        }
        _ => Ok(()),
    }
}

/// The path by which a mount was asked for, which may end in the slash that the mount's own path has.
pub(super) fn asked_as(logical: &str) -> Spelled {
    Spelled::with_slash(logical)
}

fn logical(path: &str) -> String {
    let trimmed = path.trim_end_matches('/');
    match trimmed.strip_prefix("auth/") {
        Some(method) => format!("sys/auth/{method}"),
        None => format!("sys/mounts/{trimmed}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusable_mount_paths_are_refused() {
        for good in ["kv/", "auth/userpass/", "path/to/secret engine/", "a*/", "+/", "a/+/b/"] {
            assert!(check_path(good).is_ok(), "{good}");
        }
        for bad in ["", "/", "auth/", "a//b/", "a/../b/", "a\n/", "kv"] {
            assert!(check_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn engines_stay_out_of_the_servers_own_places_and_logins_within_theirs() {
        for (path, kind, fits) in [
            ("kv/", MountKind::KvV1, true),
            ("system/", MountKind::KvV1, true),
            ("sys/", MountKind::KvV2, false),
            ("sys/kv/", MountKind::KvV2, false),
            ("cubbyhole/x/", MountKind::KvV1, false),
            ("auth/kv/", MountKind::KvV2, false),
            ("audit/", MountKind::KvV2, false),
            ("auth/up/", MountKind::Userpass, true),
            ("up/", MountKind::Userpass, false),
        ] {
            assert_eq!(check_place(path, kind).is_ok(), fits, "{path}");
        }
    }

    #[test]
    fn default_lifetime_above_its_bound_is_refused() {
        let check = |default_lease_ttl, max_lease_ttl| {
            check_ttls(&MountEnable { default_lease_ttl, max_lease_ttl, ..MountEnable::default() }, 100).is_ok()
        };
        assert!(check(0, 0) && check(100, 0) && check(1000, 2000) && check(0, 1) && check(-1, 0) && check(-2, -1));
        assert!(!check(101, 0) && !check(2, 1) && !check(0, -1) && !check(-1, -2));
    }
}
