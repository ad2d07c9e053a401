//! What happens to versions that exist: deleted, brought back, destroyed, through both dialects.

use coffer_api::{Code, Name, Scope};
use coffer_storage::Expect;
use serde_json::{Map, json};

use super::{
    KvPath,
    data::Loaded,
    entry::{self, Data, Head, VersionMeta},
};
use crate::{
    Caller, Error,
    caller::Done,
    commit::Edit,
    mount::Mount,
    object::object_row,
    policy::{self, Operation, Parameters},
};

/// What happens to which versions.
#[derive(Clone, Copy)]
enum Change<'a> {
    Delete(&'a [u64]),
    DeleteCurrent,
    Destroy(&'a [u64]),
    Undelete(&'a [u64]),
}

/// Whether every version that is named must change.
#[derive(Clone, Copy)]
enum Insist<'a> {
    /// Or the request is refused, with the secret called this: the native way, where a success says what happened.
    OnAll(&'a str),
    /// What cannot change stays as it is, and all is well: the KV dialect's way.
    OnNothing,
}

/// Version numbers as the KV paths would take them.
struct VersionParameters<'a>(&'a [u64]);

impl Parameters for VersionParameters<'_> {
    fn load(&self) -> policy::Loaded {
        let mut all = Map::new();
        all.insert("versions".to_owned(), json!(self.0));
        Ok(Some(all))
    }
}

impl Caller {
    /// Deletes the current version; it can come back. Nothing there is no error.
    ///
    /// # Errors
    /// [`Code::Denied`] without delete on `{mount}data/{path}`.
    pub async fn kv_delete(&self, mount: &Mount, path: &str) -> Result<(), Error> {
        self.change_versions(mount, path, Change::DeleteCurrent, &(), Insist::OnNothing).await
    }

    /// Deletes versions; they can come back.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on `{mount}delete/{path}`.
    pub async fn kv_delete_versions(
        &self,
        mount: &Mount,
        path: &str,
        versions: &[u64],
        parameters: &dyn Parameters,
    ) -> Result<(), Error> {
        self.change_versions(mount, path, Change::Delete(versions), parameters, Insist::OnNothing).await
    }

    /// Brings deleted versions back; destroyed ones stay so.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on `{mount}undelete/{path}`.
    pub async fn kv_undelete(
        &self,
        mount: &Mount,
        path: &str,
        versions: &[u64],
        parameters: &dyn Parameters,
    ) -> Result<(), Error> {
        self.change_versions(mount, path, Change::Undelete(versions), parameters, Insist::OnNothing).await
    }

    /// Destroys versions for good: their data is removed, an object key with it.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on `{mount}destroy/{path}`.
    pub async fn kv_destroy(
        &self,
        mount: &Mount,
        path: &str,
        versions: &[u64],
        parameters: &dyn Parameters,
    ) -> Result<(), Error> {
        self.change_versions(mount, path, Change::Destroy(versions), parameters, Insist::OnNothing).await
    }

    /// Deletes the current version; it can come back.
    ///
    /// # Errors
    /// [`Code::Denied`] without delete on `secret/data/{path}`; [`Code::NotFound`] where there is no such secret, or
    /// its current version is deleted or destroyed already.
    pub async fn secret_delete(&self, scope: &Scope, name: &Name) -> Result<(), Error> {
        self.change_secret(scope, name, Change::DeleteCurrent, &()).await
    }

    /// Brings deleted versions back: all of them, or none.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on `secret/undelete/{path}`; [`Code::NotFound`] where the secret or one of the
    /// versions does not exist; [`Code::Conflict`] where one is destroyed, or not deleted.
    pub async fn secret_undelete(&self, scope: &Scope, name: &Name, versions: &[u64]) -> Result<(), Error> {
        self.change_secret(scope, name, Change::Undelete(versions), &VersionParameters(versions)).await
    }

    /// Destroys versions for good: all of them, or none.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on `secret/destroy/{path}`; [`Code::NotFound`] where the secret or one of the
    /// versions does not exist; [`Code::Conflict`] where one is destroyed already.
    pub async fn secret_destroy(&self, scope: &Scope, name: &Name, versions: &[u64]) -> Result<(), Error> {
        self.change_secret(scope, name, Change::Destroy(versions), &VersionParameters(versions)).await
    }

    async fn change_secret(
        &self,
        scope: &Scope,
        name: &Name,
        change: Change<'_>,
        parameters: &dyn Parameters,
    ) -> Result<(), Error> {
        let mount = self.native_mount()?;
        let (path, called) = (format!("{}/{name}", scope.path()), format!("{name} in {scope}"));
        self.change_versions(&mount, &path, change, parameters, Insist::OnAll(&called)).await
    }

    async fn change_versions(
        &self,
        mount: &Mount,
        path: &str,
        change: Change<'_>,
        parameters: &dyn Parameters,
        insist: Insist<'_>,
    ) -> Result<(), Error> {
        let (class, area, operation) = change.request();
        let logical = format!("{}{area}/{path}", mount.path);
        let mut record = self.record(class, &logical);
        if let Some(versions) = change.listed() {
            let listed: Vec<String> = versions.iter().take(100).map(u64::to_string).collect();
            record = record.fact("versions", listed.join(","));
        }
        self.recorded(record.clone(), async {
            self.authorise(&logical, operation, parameters)?;
            let path = KvPath::parse(path)?;
            let guard = self.active.lock_in(mount, &[&path.row(mount)]).await?;
            let loaded = self.active.kv_load(mount, path).await?;
            let now = self.active.clock.now();
            if let Insist::OnAll(called) = insist {
                let head = loaded.as_ref().map(|loaded| &loaded.head).filter(|head| !head.versions.is_empty());
                let missing = || Error::new(Code::NotFound, format!("there is no secret {called}"));
                change.check(head.ok_or_else(missing)?, now, called)?;
            }
            let Some(Loaded { opened, mut head, revision }) = loaded else { return Ok(Done::Unlogged(())) };
            if matches!(change, Change::Destroy(_)) {
                self.active.may_destroy()?;
            }
            let mut record = record;
            let mut edit = Edit::under(guard);
            let mut data = opened.data();
            let mut changed = false;
            let current = head.current;
            for number in change.listed().unwrap_or(&[current]) {
                let Some(version) = head.version_mut(*number) else { continue };
                if change.obstacle(version, now).is_some() {
                    continue;
                }
                changed = true;
                match change {
                    Change::Delete(_) | Change::DeleteCurrent => version.delete(now),
                    Change::Undelete(_) => version.deletion_ms = 0,
                    Change::Destroy(_) => {
                        version.destroyed = true;
                        if let Some(slot) = version.slot.take() {
                            edit.delete(path.version_row(mount, slot), None);
                        }
                        if let Some(object) = version.object.take() {
                            edit.delete(object_row(object), None);
                        }
                        if *number == current {
                            data = Data::Nothing;
                        }
                    }
                }
            }
            if !changed {
                return Ok(Done::Unlogged(()));
            }
            let is_live = head.version(current).is_some_and(|version| version.is_live(now));
            let after = if is_live { &data } else { &Data::Nothing };
            self.active.follow_value(mount, path, &opened.data(), after, &mut edit)?;
            edit.put(path.row(mount), entry::current(&head, &data)?, Some(Expect::Revision(revision)));
            if matches!(change, Change::DeleteCurrent) {
                record.version = Some(current);
            }
            Ok(Done::Logged((), self.commit(edit, record).await?))
        })
        .await
    }
}

impl<'a> Change<'a> {
    /// The class of its record, and where and as what policies see it.
    fn request(self) -> (&'static str, &'static str, Operation) {
        match self {
            Self::Delete(_) => ("secret.delete", "delete", Operation::Update),
            Self::DeleteCurrent => ("secret.delete", "data", Operation::Delete),
            Self::Destroy(_) => ("secret.destroy", "destroy", Operation::Update),
            Self::Undelete(_) => ("secret.undelete", "undelete", Operation::Update),
        }
    }

    /// The versions that it names.
    fn listed(self) -> Option<&'a [u64]> {
        match self {
            Self::Delete(versions) | Self::Destroy(versions) | Self::Undelete(versions) => Some(versions),
            Self::DeleteCurrent => None,
        }
    }

    /// Why a version stays as it is.
    fn obstacle(self, version: &VersionMeta, now: i64) -> Option<(Code, &'static str)> {
        match self {
            Self::Delete(_) | Self::DeleteCurrent if version.destroyed => {
                Some((Code::NotFound, "is destroyed already"))
            }
            Self::Delete(_) | Self::DeleteCurrent if !version.is_live(now) => {
                Some((Code::NotFound, "is deleted already"))
            }
            Self::Destroy(_) if version.destroyed => Some((Code::Conflict, "is destroyed already")),
            Self::Undelete(_) if version.destroyed => Some((Code::Conflict, "is destroyed and cannot come back")),
            Self::Undelete(_) if version.deletion_ms == 0 => Some((Code::Conflict, "is not deleted")),
            Self::Delete(_) | Self::DeleteCurrent | Self::Destroy(_) | Self::Undelete(_) => None,
        }
    }

    /// Refuses the first version that would stay as it is.
    fn check(self, head: &Head, now: i64, called: &str) -> Result<(), Error> {
        for number in self.listed().unwrap_or(&[head.current]) {
            let obstacle = match head.version(*number) {
                // One that will be deleted when its time is over is not deleted; the KV dialect takes that time away.
                Some(version)
                    if matches!(self, Self::Undelete(_)) && !version.destroyed && !version.is_deleted(now) =>
                {
                    Some((Code::Conflict, "is not deleted"))
                }
                Some(version) => self.obstacle(version, now),
                None => Some((Code::NotFound, "does not exist")),
            };
            if let Some((code, what)) = obstacle {
                return Err(Error::new(code, format!("version {number} of {called} {what}")));
            }
        }
        Ok(())
    }
}
