//! Several secrets of one scope, changed together or not at all: one commit, with a record for each.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use coffer_api::{
    Code, Name, Scope, Sensitive,
    secrets::{PatchReply, PatchResult, SecretChange, SecretsPatch, SetOptions, Version},
    snapshots::SnapshotInfo,
};
use coffer_storage::Expect;

use super::{
    KvPath,
    before::check,
    data::{Loaded, MAX_VALUE, Remembered, Write, write_operation},
    entry::{self, Head, VersionMeta},
    kept::{DataParameters, Kept, LayoutData, SnapshotData, json},
    native::{MOUNT, SetParameters, foreign, native_json},
};
use crate::{
    Caller, Error,
    caller::Done,
    commit::{Edit, Logged, Part, Urgency},
    locks::PathGuard,
    mount::Mount,
    policy::Operation,
    record::Record,
};

/// Bytes that are written together at most, with what the new values supersede.
const MAX_BYTES: usize = 72 << 20;
/// Snapshots that a scope keeps, unless its KV metadata say otherwise.
const MAX_SNAPSHOTS: u64 = 50;
/// Entries that are loaded before other requests have their turn.
pub(super) const LOADS_AT_ONCE: usize = 64;
/// How often a scope whose names change meanwhile is looked at again.
const TRIES: u32 = 16;

/// Changes of one scope on their way into one commit, the paths concerned locked.
pub(super) struct Gathering<'a> {
    pub(super) caller: &'a Caller,
    pub(super) mount: Arc<Mount>,
    scope: &'a Scope,
    /// The secrets of the scope, where all of them are locked.
    pub(super) names: Vec<Name>,
    /// Until the changes are on their way, or refused.
    guard: Option<PathGuard>,
    parts: Vec<Part>,
    bytes: usize,
    refused: Vec<(Record, Error)>,
    /// What was read only to be compared: logical paths with versions.
    pub(super) compared: Vec<(String, u64)>,
    /// Entries that were loaded.
    loads: AtomicUsize,
}

/// What of a scope is locked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Extent {
    /// What is named.
    Named,
    /// Every secret in it: none comes, goes or changes meanwhile.
    Whole,
}

impl Caller {
    /// Changes several secrets together or not at all, keeps the layout they came in, and takes a snapshot before.
    ///
    /// # Errors
    /// Where anything is wrong with any of them, nothing is changed. [`Code::Denied`] where setting or deleting one is not
    /// granted, or where there is a layout or a snapshot, writing `secret/data/{scope}/.env` or `/.snapshots` (the latter
    /// also needs list on `secret/metadata/{scope}/`); [`Code::Conflict`] where a `cas` does not match; [`Code::NotFound`]
    /// where one to be deleted is not there; [`Code::TooLarge`] beyond 10,000 secrets or 32 MiB of values.
    pub async fn secret_patch_all(&self, scope: &Scope, patch: &SecretsPatch) -> Result<PatchReply, Error> {
        let record = self.record("secret.batch", format!("{MOUNT}data/{}/", scope.path()));
        self.recorded(record, async {
            check(patch)?;
            let extent = if patch.snapshot.is_some() { Extent::Whole } else { Extent::Named };
            self.look_before(scope, patch, extent).await?;
            let named = patch.secrets.iter().map(|change| change.name.as_str());
            let mut gathering = Gathering::begin(self, scope, named, extent).await?;
            let reply = match gathering.all(patch).await {
                Ok(reply) => reply,
                // What was refused before goes first, and is in the log.
                Err(error) => {
                    gathering.settle().await?;
                    return Err(error);
                }
            };
            Ok(match gathering.commit().await? {
                Some(logged) => Done::Logged(reply, logged),
                None => Done::Unlogged(reply),
            })
        })
        .await
    }
}

impl<'a> Gathering<'a> {
    /// Locks what is named, and beside it the layout and the snapshots. A whole scope is for who may list it alone.
    pub(super) async fn begin<'n>(
        caller: &'a Caller,
        scope: &'a Scope,
        named: impl Iterator<Item = &'n str>,
        extent: Extent,
    ) -> Result<Self, Error> {
        let directory = scope.path();
        if extent == Extent::Whole {
            caller.authorise(&format!("{MOUNT}metadata/{directory}/"), Operation::List, &())?;
        }
        let mount = caller.native_mount()?;
        let row = |name: &str| KvPath::parse(&format!("{directory}/{name}")).map(|path| path.row(&mount));
        let mut rows = named.map(row).collect::<Result<BTreeSet<String>, Error>>()?;
        for kept in Kept::ALL {
            rows.insert(row(kept.name())?);
        }
        for _ in 0..TRIES {
            if extent == Extent::Whole {
                for name in caller.own_names(&mount, scope).await? {
                    rows.insert(row(name.as_str())?);
                }
            }
            let locked: Vec<&str> = rows.iter().map(String::as_str).collect();
            let guard = caller.active.lock_in(&mount, &locked).await?;
            let names = match extent {
                Extent::Named => Vec::new(),
                Extent::Whole => caller.own_names(&mount, scope).await?,
            };
            // One that came between the look and the locks is not locked.
            let is_locked = |name: &Name| row(name.as_str()).is_ok_and(|row| rows.contains(&row));
            if names.iter().all(is_locked) {
                let (parts, refused, compared) = (Vec::new(), Vec::new(), Vec::new());
                let (guard, loads) = (Some(guard), AtomicUsize::new(0));
                return Ok(Self { caller, mount, scope, names, guard, parts, bytes: 0, refused, compared, loads });
            }
        }
        Err(Error::new(Code::Conflict, format!("secrets come to scope {scope} all the time; try again")))
    }

    /// The path of an entry of the scope, below the mount.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.scope.path())
    }

    /// Gathers a whole patch.
    async fn all(&mut self, patch: &SecretsPatch) -> Result<PatchReply, Error> {
        let mut results = Vec::with_capacity(patch.secrets.len());
        for change in &patch.secrets {
            if let Some(version) = self.change(change).await? {
                results.push(PatchResult { name: change.name.clone(), version: Some(version), problem: None });
            }
        }
        if let Some(layout) = &patch.layout {
            self.layout(layout).await?;
        }
        let snapshot = match &patch.snapshot {
            Some(reason) => self.snapshot(reason).await?.map(|snapshot| snapshot.id),
            None => None,
        };
        Ok(PatchReply { results, snapshot })
    }

    /// Sets or deletes a secret. What is wrong with it alone is kept for [`Self::commit`].
    async fn change(&mut self, change: &SecretChange) -> Result<Option<Version>, Error> {
        let path = self.path(change.name.as_str());
        let logical = format!("{MOUNT}data/{path}");
        match &change.value {
            Some(value) => {
                let mut record = self.caller.record("secret.write", logical);
                let staged = self.set(&path, value, &change.options, &mut record).await;
                self.take(change.name.as_str(), record, staged)
            }
            None => {
                let mut record = self.caller.record("secret.delete", logical);
                let staged = self.delete(&path, change.options.cas, &mut record).await;
                self.take(change.name.as_str(), record, staged)
            }
        }
    }

    async fn set(
        &self,
        path: &str,
        value: &Sensitive<String>,
        options: &SetOptions,
        record: &mut Record,
    ) -> Result<(Edit, Version), Error> {
        let path = KvPath::parse(path)?;
        let loaded = self.load(path).await?;
        let operation = write_operation(loaded.as_ref());
        self.caller.authorise(&record.path, operation, &SetParameters { value, options })?;
        if let Some(loaded) = &loaded {
            self.caller.refuse_foreign(&self.mount, path, loaded).await?;
        }
        let data = native_json(value)?;
        let write = Write { data: &data, cas: options.cas, shred: options.shred, recipe: Remembered::Kept };
        self.stage(path, loaded, &Head::default(), write, record)
    }

    async fn delete(&self, path: &str, cas: Option<u64>, record: &mut Record) -> Result<(Edit, Version), Error> {
        self.caller.authorise(&record.path, Operation::Delete, &())?;
        let path = KvPath::parse(path)?;
        let loaded = self.load(path).await?.ok_or_else(|| Error::new(Code::NotFound, "there is no such secret"))?;
        if cas.is_some_and(|cas| cas != loaded.head.current) {
            return Err(Error::new(Code::Conflict, "check-and-set parameter did not match the current version"));
        }
        let now = self.caller.active.clock.now();
        let current = loaded.head.version(loaded.head.current).filter(|version| version.is_live(now));
        if current.is_none() {
            return Err(Error::new(Code::NotFound, "it is deleted already"));
        }
        self.mark(path, loaded, |version| version.delete(now), record)
    }

    /// Keeps the layout, unless it is the one that is kept.
    async fn layout(&mut self, layout: &Sensitive<String>) -> Result<(), Error> {
        let data = json(&LayoutData { layout: layout.clone() })?;
        self.keep(Kept::Layout, &data, &Head::default()).await.map(drop)
    }

    /// Notes which version of each secret is in force, before what was gathered is. The whole scope must be locked.
    pub(super) async fn snapshot(&mut self, reason: &str) -> Result<Option<SnapshotInfo>, Error> {
        let now = self.caller.active.clock.now();
        let mut secrets = BTreeMap::new();
        for name in &self.names {
            let path = self.path(name.as_str());
            let path = KvPath::parse(&path)?;
            let Some(loaded) = self.load(path).await? else { continue };
            let is_live = loaded.head.version(loaded.head.current).is_some_and(|version| version.is_live(now));
            if is_live && self.caller.is_native(&self.mount, path, &loaded).await? {
                secrets.insert(name.clone(), loaded.head.current);
            }
        }
        let path = self.path(Kept::Layout.name());
        let layout = self.load(KvPath::parse(&path)?).await?.map(|loaded| loaded.head);
        let layout = layout.and_then(|head| head.version(head.current).filter(|version| version.is_live(now)).copied());
        let count = u64::try_from(secrets.len()).ok();
        let data = SnapshotData { layout: layout.map(|version| version.number), reason: reason.to_owned(), secrets };
        let fresh = Head { max_versions: MAX_SNAPSHOTS, ..Head::default() };
        let kept = self.keep(Kept::Snapshots, &json(&data)?, &fresh).await?;
        Ok(kept.map(|version| SnapshotInfo {
            id: version.version,
            created_time: version.created_time,
            state: version.state,
            reason: Some(data.reason),
            secrets: count,
        }))
    }

    /// Writes a new version of what is kept beside the secrets, where it differs.
    async fn keep(&mut self, kept: Kept, data: &[u8], fresh: &Head) -> Result<Option<Version>, Error> {
        let text = self.path(kept.name());
        let path = KvPath::parse(&text)?;
        let mut record = self.caller.record("secret.write", format!("{MOUNT}data/{text}"));
        let loaded = self.load(path).await?;
        let operation = write_operation(loaded.as_ref());
        let allowed = self.caller.authorise(&record.path, operation, &DataParameters(data));
        if let Err(error) = allowed {
            return self.take(kept.name(), record, Err(error));
        }
        if let Some(Loaded { opened, head, .. }) = &loaded
            && let Some(version) = head.version(head.current).copied()
            && let Some(current) = self.caller.active.kv_data(&self.mount, path, opened, head, &version).await?
        {
            if !kept.fits(&current) {
                return self.take(kept.name(), record, Err(foreign()));
            }
            let is_live = version.is_live(self.caller.active.clock.now());
            if kept == Kept::Layout && is_live && current.as_slice() == data {
                return Ok(Some(self.caller.describe(head, &version)));
            }
        }
        if data.len() > MAX_VALUE {
            let error = Error::new(Code::TooLarge, "it would hold more than 1 MiB");
            return self.take(kept.name(), record, Err(error));
        }
        let cas = loaded.as_ref().map_or(0, |loaded| loaded.head.current);
        let staged = self.stage(
            path,
            loaded,
            fresh,
            Write { data, cas: Some(cas), shred: None, recipe: Remembered::Kept },
            &mut record,
        );
        self.take(kept.name(), record, staged)
    }

    /// An entry of the scope. Others have their turn now and then.
    pub(super) async fn load(&self, path: KvPath<'_>) -> Result<Option<Loaded>, Error> {
        if self.loads.fetch_add(1, Ordering::Relaxed) % LOADS_AT_ONCE == LOADS_AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
        self.caller.active.kv_load(&self.mount, path).await
    }

    /// A new version of an entry.
    pub(super) fn stage(
        &self,
        path: KvPath<'_>,
        loaded: Option<Loaded>,
        fresh: &Head,
        write: Write<'_>,
        record: &mut Record,
    ) -> Result<(Edit, Version), Error> {
        let mut edit = Edit::default();
        let head = self.caller.active.kv_stage(&self.mount, path, loaded, fresh, write, (&mut edit, record))?;
        let version = head.version(head.current).copied().unwrap_or_default();
        Ok((edit, self.caller.describe(&head, &version)))
    }

    /// A mark on an entry's current version.
    pub(super) fn mark(
        &self,
        path: KvPath<'_>,
        loaded: Loaded,
        change: impl FnOnce(&mut VersionMeta),
        record: &mut Record,
    ) -> Result<(Edit, Version), Error> {
        let Loaded { opened, mut head, revision } = loaded;
        let current = head.current;
        let version = head.version_mut(current).ok_or_else(Error::not_found)?;
        change(version);
        let version = *version;
        record.version = Some(current);
        let mut edit = Edit::default();
        let data = opened.data();
        let after = if version.is_live(self.caller.active.clock.now()) { &data } else { &entry::Data::Nothing };
        self.caller.active.follow_value(&self.mount, path, &data, after, &mut edit)?;
        edit.put(path.row(&self.mount), entry::current(&head, &data)?, Some(Expect::Revision(revision)));
        Ok((edit, self.caller.describe(&head, &version)))
    }

    /// Adds what was staged. What is wrong with one entry is kept for [`Self::commit`], so that all that is wrong can be
    /// told; nothing is gathered any more then.
    pub(super) fn take(
        &mut self,
        name: &str,
        mut record: Record,
        staged: Result<(Edit, Version), Error>,
    ) -> Result<Option<Version>, Error> {
        match staged {
            Ok((edit, version)) => {
                if !self.refused.is_empty() {
                    return Ok(Some(version));
                }
                self.bytes += edit.bytes();
                if self.bytes > MAX_BYTES {
                    let message = "these values and those that they supersede are too many for one change; set fewer";
                    return Err(Error::new(Code::TooLarge, message));
                }
                self.parts.push((edit, record));
                Ok(Some(version))
            }
            Err(error) => {
                let of_entry = [Code::Conflict, Code::Denied, Code::Invalid, Code::NotFound, Code::TooLarge];
                if !of_entry.contains(&error.code()) {
                    return Err(error);
                }
                // A refusal of the policies names the path.
                let error = match error.code() == Code::Denied {
                    true => error,
                    false => Error::new(error.code(), format!("{name}: {}", error.public())),
                };
                record.fail(&error);
                self.refused.push((record, error));
                self.parts.clear();
                self.bytes = 0;
                Ok(None)
            }
        }
    }

    /// Logs this record too, where anything changes.
    pub(super) fn tell(&mut self, record: Record) {
        if let Some((edit, _)) = self.parts.first_mut() {
            edit.tell(record);
        }
    }

    /// Ends it without a change, its paths free again, and gives what was compared to be recorded.
    pub(super) fn ended(self) -> Vec<(String, u64)> {
        self.compared
    }

    /// Whether nothing would change.
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Refuses where anything was wrong, with a record for each; nobody waits for those.
    ///
    /// # Errors
    /// What was wrong first, a refusal of the policies before all else.
    pub(super) async fn settle(&mut self) -> Result<(), Error> {
        let refused = std::mem::take(&mut self.refused);
        if !refused.is_empty() {
            self.guard = None;
        }
        self.caller.refuse_all(refused).await
    }

    /// Commits what was gathered; `None` where that is nothing.
    ///
    /// # Errors
    /// As [`Self::settle`]; as the store says.
    pub(super) async fn commit(mut self) -> Result<Option<Logged>, Error> {
        self.settle().await?;
        let Some((edit, _)) = self.parts.first_mut() else { return Ok(None) };
        if let Some(guard) = self.guard {
            edit.hold(guard);
        }
        self.caller.active.commit_all(self.parts, Urgency::Ordinary).await.map(Some)
    }
}
