//! Snapshots of a scope: which version of each secret was in force at one moment. They hold names and numbers, never
//! values, so that what is destroyed stays destroyed. And the views of a scope alone: as it is, as it was, and its layout.

use coffer_api::{
    Code, Page, Scope,
    secrets::{Effective, Secret, State},
    snapshots::{Gone, Layout, Snapshot, SnapshotInfo, SnapshotValues},
};

use super::{
    KvPath,
    before::check_reason,
    entry::{Head, VersionMeta},
    kept::{Kept, LayoutData, SnapshotData},
    native::{MAX_EFFECTIVE, MAX_VIEW_BYTES, MOUNT},
    together::{Extent, Gathering},
};
use crate::{Caller, Error, caller::Done, mount::Mount, policy::Operation, time::rfc3339};

/// A snapshot as it is stored, and when it was taken.
pub(super) struct Taken {
    pub(super) data: SnapshotData,
    pub(super) created_ms: i64,
}

impl Caller {
    /// Takes a snapshot of a scope's own secrets.
    ///
    /// # Errors
    /// [`Code::Denied`] without list on `secret/metadata/{scope}/`, and create or update on
    /// `secret/data/{scope}/.snapshots`; [`Code::TooLarge`] where the scope has more than 10,000 names.
    pub async fn snapshot_create(&self, scope: &Scope, reason: &str) -> Result<SnapshotInfo, Error> {
        let record = self.record("secret.batch", format!("{MOUNT}data/{}/", scope.path()));
        self.recorded(record, async {
            check_reason(reason)?;
            let mut gathering = Gathering::begin(self, scope, std::iter::empty(), Extent::Whole).await?;
            let taken = gathering.snapshot(reason).await?;
            match (gathering.commit().await?, taken) {
                (Some(logged), Some(taken)) => Ok(Done::Logged(taken, logged)),
                (Some(_) | None, _) => Err(Error::internal("a snapshot was gathered and is not there")),
            }
        })
        .await
    }

    /// The snapshots that are kept, oldest first, those after `after`.
    ///
    /// # Errors
    /// [`Code::Denied`] without read on `secret/metadata/{scope}/.snapshots`. What each is for and holds is told to those
    /// who may read `secret/data/{scope}/.snapshots`.
    pub async fn snapshot_list(&self, scope: &Scope, after: u64, limit: usize) -> Result<Page<SnapshotInfo>, Error> {
        let path = kept_path(scope, Kept::Snapshots);
        let logical = format!("{MOUNT}metadata/{path}");
        self.recorded(self.record("snapshot.list", &logical), async {
            self.authorise(&logical, Operation::Read, &())?;
            let mount = self.native_mount()?;
            let at = KvPath::parse(&path)?;
            let Some(loaded) = self.active.kv_load(&mount, at).await? else {
                return Ok(Done::Unlogged(Page { items: Vec::new(), next: None }));
            };
            let may_read = self.authorise(&format!("{MOUNT}data/{path}"), Operation::Read, &()).is_ok();
            let limit = limit.clamp(1, 1000);
            let mut rest = loaded.head.versions.iter().filter(|version| version.number > after);
            let mut items = Vec::new();
            for version in rest.by_ref().take(limit) {
                let described = self.describe(&loaded.head, version);
                let is_there = matches!(described.state, State::Active | State::Archived);
                let data = match may_read && is_there {
                    true => self.active.kv_data(&mount, at, &loaded.opened, &loaded.head, version).await?,
                    false => None,
                };
                let data = data.and_then(|data| serde_json::from_slice::<SnapshotData>(&data).ok());
                items.push(SnapshotInfo {
                    id: version.number,
                    created_time: described.created_time,
                    state: described.state,
                    secrets: data.as_ref().and_then(|data| u64::try_from(data.secrets.len()).ok()),
                    reason: data.map(|data| data.reason),
                });
            }
            let next = rest.next().and_then(|_| items.last()).map(|last| last.id.to_string());
            Ok(Done::Unlogged(Page { items, next }))
        })
        .await
    }

    /// A snapshot: names and versions.
    ///
    /// # Errors
    /// [`Code::Denied`] without read on `secret/data/{scope}/.snapshots`; [`Code::NotFound`] where it is not there.
    pub async fn snapshot_read(&self, scope: &Scope, id: u64) -> Result<Snapshot, Error> {
        let path = kept_path(scope, Kept::Snapshots);
        let mut record = self.record("snapshot.read", format!("{MOUNT}data/{path}"));
        record.version = Some(id);
        self.recorded(record, async {
            let mount = self.native_mount()?;
            let Taken { data, created_ms } = self.taken(&mount, scope, id).await?;
            let SnapshotData { layout, reason, secrets } = data;
            let created_time = rfc3339(created_ms);
            Ok(Done::Unlogged(Snapshot { scope: scope.clone(), id, created_time, reason, secrets, layout }))
        })
        .await
    }

    /// The values that a snapshot stands for.
    ///
    /// # Errors
    /// As [`Caller::snapshot_read`]; [`Code::TooLarge`] beyond 48 MiB. Values that may not be read are counted, those that
    /// cannot be had any more are named.
    pub async fn snapshot_values(&self, scope: &Scope, id: u64) -> Result<SnapshotValues, Error> {
        let path = kept_path(scope, Kept::Snapshots);
        let mut record = self.record("snapshot.read", format!("{MOUNT}data/{path}"));
        record.version = Some(id);
        let mut read = Vec::new();
        let result = self.values_of(scope, id, &mut read).await;
        self.log_values(scope, read).await?;
        self.recorded(record, async { result.map(Done::Unlogged) }).await
    }

    async fn values_of(&self, scope: &Scope, id: u64, read: &mut Vec<(String, u64)>) -> Result<SnapshotValues, Error> {
        let mount = self.native_mount()?;
        let taken = self.taken(&mount, scope, id).await?;
        let mut values = SnapshotValues { secrets: Vec::new(), hidden: 0, gone: Vec::new() };
        let mut bytes = 0;
        for (name, number) in &taken.data.secrets {
            let path = format!("{}/{name}", scope.path());
            if self.authorise(&format!("{MOUNT}data/{path}"), Operation::Read, &()).is_err() {
                values.hidden += 1;
                continue;
            }
            let at = KvPath::parse(&path)?;
            let loaded = self.active.kv_load(&mount, at).await?;
            let version = match version_of(loaded.as_ref().map(|loaded| &loaded.head), *number, taken.created_ms) {
                Ok(version) if version.is_live(self.active.clock.now()) => version,
                found => {
                    let why = found.err().unwrap_or("is deleted").to_owned();
                    values.gone.push(Gone { name: name.to_string(), version: *number, why });
                    continue;
                }
            };
            match self.get(scope, name, &path, Some(version.number), &mut None).await? {
                Some(secret) => {
                    take(&mut values.secrets, secret, &mut bytes)?;
                    read.push((format!("{MOUNT}data/{path}"), *number));
                }
                None => {
                    let why = "is of another shape".to_owned();
                    values.gone.push(Gone { name: name.to_string(), version: *number, why });
                }
            }
        }
        Ok(values)
    }

    /// The secrets that lie in a scope itself, without those of its parents.
    ///
    /// # Errors
    /// [`Code::Denied`] without list on the scope's directory; [`Code::TooLarge`] beyond 10,000 names or 48 MiB. Names that
    /// cannot be read are counted, not shown.
    pub async fn secret_own(&self, scope: &Scope) -> Result<Effective, Error> {
        let logical = format!("{MOUNT}metadata/{}/", scope.path());
        let record = self.record("secret.own", &logical);
        let mut read = Vec::new();
        let result = self.own(scope, &logical, &mut read).await;
        self.log_values(scope, read).await?;
        self.recorded(record, async { result.map(Done::Unlogged) }).await
    }

    async fn own(&self, scope: &Scope, logical: &str, read: &mut Vec<(String, u64)>) -> Result<Effective, Error> {
        self.authorise(logical, Operation::List, &())?;
        let mount = self.native_mount()?;
        let mut own = Effective { secrets: Vec::new(), hidden: 0, kv: 0 };
        let mut bytes = 0;
        for name in self.own_names(&mount, scope).await? {
            let path = format!("{}/{name}", scope.path());
            match self.get(scope, &name, &path, None, &mut None).await {
                Ok(Some(secret)) => {
                    read.push((format!("{MOUNT}data/{path}"), secret.version.version));
                    take(&mut own.secrets, secret, &mut bytes)?;
                }
                Ok(None) => own.kv += 1,
                Err(error) if error.code() == Code::Denied => own.hidden += 1,
                Err(error) if error.code() == Code::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(own)
    }

    /// The layout of the `.env` file that a scope's secrets came from.
    ///
    /// # Errors
    /// [`Code::Denied`] without read on `secret/data/{scope}/.env`; [`Code::NotFound`] where there is none.
    pub async fn secret_layout(&self, scope: &Scope) -> Result<Layout, Error> {
        let path = kept_path(scope, Kept::Layout);
        let logical = format!("{MOUNT}data/{path}");
        let mut record = self.record("secret.read", &logical);
        let result = async {
            self.authorise(&logical, Operation::Read, &())?;
            let mount = self.native_mount()?;
            let at = KvPath::parse(&path)?;
            let loaded = self.active.kv_load(&mount, at).await?.ok_or_else(Error::not_found)?;
            let version = loaded.head.version(loaded.head.current).copied().ok_or_else(Error::not_found)?;
            if !version.is_live(self.active.clock.now()) {
                return Err(Error::not_found());
            }
            let data = self.active.kv_data(&mount, at, &loaded.opened, &loaded.head, &version).await?;
            let data = data.ok_or_else(Error::not_found)?;
            let LayoutData { layout } = serde_json::from_slice(&data).map_err(|_| super::native::unreadable())?;
            record.version = Some(version.number);
            Ok(Layout { layout, version: version.number })
        }
        .await;
        self.recorded(record, async { result.map(Done::Unlogged) }).await
    }

    /// A snapshot, where the caller may read it.
    pub(super) async fn taken(&self, mount: &Mount, scope: &Scope, id: u64) -> Result<Taken, Error> {
        let path = kept_path(scope, Kept::Snapshots);
        self.authorise(&format!("{MOUNT}data/{path}"), Operation::Read, &())?;
        let missing = || Error::new(Code::NotFound, format!("there is no snapshot {id} of {scope}"));
        let at = KvPath::parse(&path)?;
        let loaded = self.active.kv_load(mount, at).await?.ok_or_else(missing)?;
        let version = loaded.head.version(id).copied().ok_or_else(missing)?;
        if !version.is_live(self.active.clock.now()) {
            return Err(Error::new(Code::NotFound, format!("snapshot {id} of {scope} is deleted")));
        }
        let data = self.active.kv_data(mount, at, &loaded.opened, &loaded.head, &version).await?.ok_or_else(missing)?;
        let data: SnapshotData = serde_json::from_slice(&data).map_err(|_| {
            Error::new(Code::Conflict, format!("another entry lies where the snapshots of {scope} would"))
        })?;
        if data.secrets.len() > MAX_EFFECTIVE {
            return Err(Error::new(
                Code::TooLarge,
                format!("snapshot {id} of {scope} names more than {MAX_EFFECTIVE}"),
            ));
        }
        Ok(Taken { data, created_ms: version.created_ms })
    }
}

/// The version that a snapshot taken at a time means by a number.
///
/// # Errors
/// What became of it: told to those who may read the entry's metadata or its value.
pub(super) fn version_of(head: Option<&Head>, number: u64, taken_ms: i64) -> Result<VersionMeta, &'static str> {
    let head = head.filter(|head| number <= head.current).ok_or("was removed with all its versions")?;
    let version = head.version(number).ok_or("was pruned: newer versions took its place")?;
    // Numbers begin anew where a secret is removed with all its versions.
    if version.created_ms > taken_ms {
        return Err("was removed with all its versions, and another has its number");
    }
    if version.destroyed { Err("is destroyed") } else { Ok(*version) }
}

/// The path of what is kept beside a scope's secrets, below the mount.
pub(super) fn kept_path(scope: &Scope, kept: Kept) -> String {
    format!("{}/{}", scope.path(), kept.name())
}

fn take(secrets: &mut Vec<Secret>, secret: Secret, bytes: &mut usize) -> Result<(), Error> {
    *bytes += secret.value.expose().len();
    if *bytes > MAX_VIEW_BYTES {
        return Err(Error::new(Code::TooLarge, "the scope's values are more than 48 MiB; read them one by one"));
    }
    secrets.push(secret);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_of_another_life_is_not_taken_for_the_one_that_was_meant() {
        let version = |number, created_ms| VersionMeta { number, created_ms, ..VersionMeta::default() };
        let head = |versions: Vec<VersionMeta>| Head { current: 3, versions, ..Head::default() };
        let kept = head(vec![version(2, 10), version(3, 20)]);
        assert_eq!(version_of(Some(&kept), 2, 15).unwrap().number, 2);
        assert!(version_of(Some(&kept), 1, 15).unwrap_err().contains("pruned"));
        assert!(version_of(Some(&kept), 3, 15).unwrap_err().contains("another"));
        assert!(version_of(Some(&kept), 4, 30).unwrap_err().contains("removed"));
        assert!(version_of(None, 1, 30).unwrap_err().contains("removed"));
        let destroyed = head(vec![VersionMeta { destroyed: true, ..version(3, 20) }]);
        assert_eq!(version_of(Some(&destroyed), 3, 25).unwrap_err(), "is destroyed");
    }
}
