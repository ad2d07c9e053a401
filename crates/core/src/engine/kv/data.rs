//! Reading, writing, deleting, undeleting and destroying versions.

use std::{ops::Range, sync::Arc};

use coffer_api::Code;
use coffer_storage::{Expect, Revision};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::{
    DEFAULT_MAX_VERSIONS, KvPath, MAX_VERSIONS,
    entry::{self, Data, Head, Opened, VersionMeta},
};
use crate::{
    Caller, Error,
    active::{Active, Found},
    caller::Done,
    commit::{Edit, Logged},
    generate::Recipe,
    mount::{Mount, MountKind},
    object::object_row,
    policy::{Operation, Parameters},
    record::{Record, ValueHash},
};

/// Largest value, in bytes of JSON.
pub(crate) const MAX_VALUE: usize = 1 << 20;

/// A version that was read: bytes to be spliced into an answer. Wiped on drop.
pub struct KvRead {
    buffer: Zeroizing<Vec<u8>>,
    metadata: Range<usize>,
    data: Option<Range<usize>>,
}

/// A version to be written.
pub struct KvWrite<'a> {
    /// A JSON object or null, as it came.
    pub data: &'a RawValue,
    /// The current version must be this one; 0 = none may exist.
    pub cas: Option<u64>,
    /// Seal this and later versions under object keys of their own.
    pub shred: Option<bool>,
}

/// A loaded entry.
pub(crate) struct Loaded {
    pub(crate) opened: Opened,
    pub(crate) head: Head,
    pub(crate) revision: Revision,
}

/// A write whose permission is settled.
pub(crate) struct Write<'a> {
    pub(crate) data: &'a [u8],
    pub(crate) cas: Option<u64>,
    pub(crate) shred: Option<bool>,
    pub(crate) recipe: Remembered,
}

/// What a secret remembers of how its values are made.
pub(crate) enum Remembered {
    /// What it did before.
    Kept,
    /// This, or nothing.
    Set(Option<Recipe>),
}

impl KvRead {
    /// The five metadata keys of the version, as JSON.
    pub fn metadata(&self) -> &[u8] {
        self.buffer.get(self.metadata.clone()).unwrap_or_default()
    }

    /// The data as JSON; `None` where the version is deleted or destroyed.
    pub fn data(&self) -> Option<&[u8]> {
        self.data.clone().and_then(|data| self.buffer.get(data))
    }

    fn of(metadata: &[u8], data: Option<&[u8]>) -> Self {
        let mut buffer = Zeroizing::new(Vec::with_capacity(metadata.len() + data.map_or(0, <[u8]>::len)));
        buffer.extend_from_slice(metadata);
        buffer.extend_from_slice(data.unwrap_or_default());
        let data = data.map(|_| metadata.len()..buffer.len());
        Self { metadata: 0..metadata.len(), data, buffer }
    }
}

impl Caller {
    /// Reads a version; `None`, 0 and negative numbers mean the current one.
    ///
    /// # Errors
    /// [`Code::Denied`] without read on `{mount}data/{path}`; [`Code::NotFound`] where no such version was ever
    /// written or it was pruned.
    pub async fn kv_read(&self, mount: &Mount, path: &str, version: Option<i64>) -> Result<KvRead, Error> {
        let logical = format!("{}data/{path}", mount.path);
        let mut record = self.record("secret.read", logical);
        let result = self.read_version(mount, path, version, &mut record).await;
        self.recorded(record, async { result.map(Done::Unlogged) }).await
    }

    async fn read_version(
        &self,
        mount: &Mount,
        path: &str,
        version: Option<i64>,
        record: &mut Record,
    ) -> Result<KvRead, Error> {
        self.authorise(&record.path, Operation::Read, &())?;
        let wanted = version.and_then(|version| u64::try_from(version).ok()).filter(|version| *version > 0);
        let (read, number) = self.active.kv_version(mount, KvPath::parse(path)?, wanted).await?;
        record.version = number;
        Ok(read)
    }

    /// Writes a new version and answers its metadata as JSON.
    ///
    /// # Errors
    /// [`Code::Denied`] without create (for a new path) or update on `{mount}data/{path}`; [`Code::Conflict`] where
    /// `cas` does not match; [`Code::Invalid`] where `cas` is required and absent; [`Code::TooLarge`] above 1 MiB.
    pub async fn kv_write(
        &self,
        mount: &Mount,
        path: &str,
        write: KvWrite<'_>,
        parameters: &dyn Parameters,
    ) -> Result<Vec<u8>, Error> {
        let logical = format!("{}data/{path}", mount.path);
        let record = self.record("secret.write", &logical);
        self.recorded(record.clone(), async {
            let path = KvPath::parse(path)?;
            let row = path.row(mount);
            let guard = self.active.lock_in(mount, &[&row]).await?;
            let loaded = self.active.kv_load(mount, path).await?;
            let operation = write_operation(loaded.as_ref());
            self.authorise(&logical, operation, parameters)?;
            let write = Write {
                data: write.data.get().as_bytes(),
                cas: write.cas,
                shred: write.shred,
                recipe: Remembered::Kept,
            };
            let (head, logged) = self.kv_put(mount, path, loaded, write, Edit::under(guard), record).await?;
            let metadata = head.version(head.current).map(|version| head.metadata_json(version));
            Ok(Done::Logged(metadata.unwrap_or_default(), logged))
        })
        .await
    }

    /// Adds a version and commits. Permission was settled by the caller.
    pub(crate) async fn kv_put(
        &self,
        mount: &Mount,
        path: KvPath<'_>,
        loaded: Option<Loaded>,
        write: Write<'_>,
        mut edit: Edit,
        mut record: Record,
    ) -> Result<(Head, Logged), Error> {
        let head = self.active.kv_stage(mount, path, loaded, &Head::default(), write, (&mut edit, &mut record))?;
        let logged = self.commit(edit, record).await?;
        Ok((head, logged))
    }
}

impl Active {
    /// Adds a new version to an edit and to its record. Permission was settled by the caller; `fresh` is what a key that is
    /// new begins with.
    pub(crate) fn kv_stage(
        &self,
        mount: &Mount,
        path: KvPath<'_>,
        loaded: Option<Loaded>,
        fresh: &Head,
        write: Write<'_>,
        (edit, record): (&mut Edit, &mut Record),
    ) -> Result<Head, Error> {
        if write.data.len() > MAX_VALUE {
            return Err(Error::new(Code::TooLarge, "a value holds at most 1 MiB of JSON"));
        }
        let now = self.clock.now();
        let expect = loaded.as_ref().map_or(Expect::Absent, |loaded| Expect::Revision(loaded.revision));
        let (opened, mut head) = match loaded {
            Some(loaded) => (Some(loaded.opened), loaded.head),
            None => (None, Head { created_ms: now, ..fresh.clone() }),
        };
        check_cas(mount, &head, write.cas)?;
        if let Some(shred) = write.shred {
            head.shred = shred;
        }
        match write.recipe {
            Remembered::Kept => {}
            Remembered::Set(recipe) => head.recipe = recipe,
        }
        let shred = head.shred || mount.option("shred") == Some("true");
        let number = head.current + 1;
        let old = head.current;
        let freed = match self.clock.is_in_doubt() {
            true => keep_all(&head)?,
            false => prune(mount, &mut head, number, edit),
        };
        let mut reused = None;
        if let Some(opened) = &opened
            && head.version(old).is_some_and(|version| !version.destroyed)
        {
            // A slot that a pruned version leaves is overwritten rather than deleted and written anew.
            let slot = head.free_slot();
            reused = Some(slot);
            if let Some(version) = head.version_mut(old) {
                version.slot = Some(slot);
            }
            edit.put(path.version_row(mount, slot), entry::superseded(old, &opened.data()), None);
        }
        for slot in freed.into_iter().filter(|slot| Some(*slot) != reused) {
            edit.delete(path.version_row(mount, slot), None);
        }
        let lives = version_lifetime(mount, &head);
        let mut version = VersionMeta { number, created_ms: now, ..VersionMeta::default() };
        if lives > 0 {
            version.deletion_ms = now.saturating_add(lives);
        }
        head.current = number;
        head.updated_ms = now;
        record.version = Some(number);
        record.value = Some(self.value_hash(write.data)?);
        let before = opened.as_ref().map_or(Data::Nothing, Opened::data);
        let after = if shred { Data::Nothing } else { Data::Plain(write.data) };
        self.follow_value(mount, path, &before, &after, edit)?;
        let row = path.row(mount);
        let bytes = if shred {
            let (id, sealed) = self.seal_object(&row, number, write.data, edit)?;
            version.object = Some(id);
            head.versions.push(version);
            entry::current(&head, &Data::Shredded(&sealed))?
        } else {
            head.versions.push(version);
            entry::current(&head, &Data::Plain(write.data))?
        };
        edit.put(row, bytes, Some(expect));
        Ok(head)
    }

    /// The entry at a path.
    pub(crate) async fn kv_load(&self, mount: &Mount, path: KvPath<'_>) -> Result<Option<Loaded>, Error> {
        let row = path.row(mount);
        let Some(Found { value, revision }) = self.open_cached(&row).await? else { return Ok(None) };
        let opened = Opened::parse(&row, value)?;
        let head = opened.head(&row)?;
        Ok(Some(Loaded { opened, head, revision }))
    }

    /// A version with its number; `None` means the current one.
    pub(crate) async fn kv_version(
        &self,
        mount: &Mount,
        path: KvPath<'_>,
        wanted: Option<u64>,
    ) -> Result<(KvRead, Option<u64>), Error> {
        let row = path.row(mount);
        let Some(Found { value, .. }) = self.open_cached(&row).await? else { return Err(Error::not_found()) };
        let opened = Opened::parse(&row, value)?;
        let now = self.clock.now();
        if wanted.is_none() && !opened.is_shredded() {
            if !opened.has_version() {
                return Err(Error::not_found());
            }
            let data = opened.is_live(now).then(|| opened.data.clone());
            let number = opened.current;
            return Ok((KvRead { metadata: opened.metadata.clone(), data, buffer: opened.bytes }, Some(number)));
        }
        Box::pin(self.kv_other_version(mount, path, &opened, wanted)).await
    }

    /// As [`Active::kv_version`], for what does not lie in the entry in the clear.
    async fn kv_other_version(
        &self,
        mount: &Mount,
        path: KvPath<'_>,
        opened: &Opened,
        wanted: Option<u64>,
    ) -> Result<(KvRead, Option<u64>), Error> {
        let head = opened.head(&path.row(mount))?;
        let number = wanted.unwrap_or(head.current);
        let version = head.version(number).ok_or_else(Error::not_found)?;
        let metadata = head.metadata_json(version);
        if !version.is_live(self.clock.now()) {
            return Ok((KvRead::of(&metadata, None), Some(number)));
        }
        let data = self.kv_data(mount, path, opened, &head, version).await?;
        Ok((KvRead::of(&metadata, data.as_ref().map(|data| data.as_slice())), Some(number)))
    }

    /// The JSON of a version, wherever it lies; `None` where it was destroyed.
    pub(crate) async fn kv_data(
        &self,
        mount: &Mount,
        path: KvPath<'_>,
        opened: &Opened,
        head: &Head,
        version: &VersionMeta,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        let superseded;
        let data = if version.number == head.current {
            opened.data()
        } else {
            let Some(slot) = version.slot else { return Ok(None) };
            let row = path.version_row(mount, slot);
            let found = self.open(&row).await?;
            superseded = found.ok_or_else(|| crate::codec::damaged(&row, "missing"))?.value;
            entry::parse_superseded(&row, version.number, &superseded)?
        };
        match (data, version.object) {
            (Data::Nothing, _) => Ok(None),
            (Data::Plain(data), _) => Ok(Some(Zeroizing::new(data.to_vec()))),
            (Data::Shredded(sealed), Some(object)) => {
                self.open_object(&path.row(mount), version.number, object, sealed).await.map(Some)
            }
            (Data::Shredded(_), None) => Err(crate::codec::damaged(&path.row(mount), "its object key has no name")),
        }
    }

    /// The keyed hash by which a value is recognised in the log.
    pub(crate) fn value_hash(&self, value: &[u8]) -> Result<ValueHash, Error> {
        let (kid, key) = self.keyrings.audit.current()?;
        Ok(ValueHash { kid, hmac: key.mac(&[value]) })
    }
}

/// The mount's engine must be KV v2.
pub(crate) fn kv_mount(mount: Option<Arc<Mount>>) -> Result<Arc<Mount>, Error> {
    mount.filter(|mount| mount.kind == MountKind::KvV2).ok_or_else(Error::not_found)
}

/// What a write below `data/` is to policies: a key that has metadata is updated by it, whether it ever had a version or not.
pub(crate) fn write_operation(loaded: Option<&Loaded>) -> Operation {
    if loaded.is_some() { Operation::Update } else { Operation::Create }
}

fn check_cas(mount: &Mount, head: &Head, cas: Option<u64>) -> Result<(), Error> {
    match cas {
        Some(cas) if cas == head.current => Ok(()),
        Some(_) => Err(Error::new(Code::Conflict, "check-and-set parameter did not match the current version")),
        None if head.cas_required || mount.kv.cas_required => {
            Err(Error::invalid("check-and-set parameter required for this call"))
        }
        None => Ok(()),
    }
}

/// Removes the versions that a new one pushes out and tells the slots they leave.
fn prune(mount: &Mount, head: &mut Head, number: u64, edit: &mut Edit) -> Vec<u32> {
    let most = [head.max_versions, mount.kv.max_versions, DEFAULT_MAX_VERSIONS].into_iter().find(|most| *most > 0);
    let most = most.unwrap_or(DEFAULT_MAX_VERSIONS).min(MAX_VERSIONS);
    let oldest = (number + 1).saturating_sub(most);
    let gone = head.versions.partition_point(|version| version.number < oldest);
    if gone == 0 {
        return Vec::new();
    }
    head.oldest = oldest;
    let gone: Vec<VersionMeta> = head.versions.drain(..gone).collect();
    gone.iter().filter_map(|version| version.object).for_each(|object| edit.delete(object_row(object), None));
    gone.iter().filter_map(|version| version.slot).collect()
}

/// While the clock is in doubt no version goes; the first write afterwards removes what is too many then.
fn keep_all(head: &Head) -> Result<Vec<u32>, Error> {
    if u64::try_from(head.versions.len()).is_ok_and(|kept| kept < MAX_VERSIONS) {
        return Ok(Vec::new());
    }
    let message = format!(
        "there are {MAX_VERSIONS} versions, and none is removed while the clock is in doubt; see `coffer operator clock-accept`"
    );
    Err(Error::new(Code::Unavailable, message))
}

/// Milliseconds until a new version is deleted; 0 = never.
fn version_lifetime(mount: &Mount, head: &Head) -> i64 {
    match (mount.kv.delete_version_after_ms, head.delete_version_after_ms) {
        (of_mount, _) if of_mount < 0 => 0,
        (0, of_key) => of_key.max(0),
        (of_mount, of_key) if of_key <= 0 => of_mount,
        (of_mount, of_key) => of_mount.min(of_key),
    }
}
