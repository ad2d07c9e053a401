//! A key's metadata and a mount's settings.

use std::collections::BTreeMap;

use coffer_storage::Expect;

use super::{
    KvConfig, KvPath, MAX_VERSIONS,
    data::Loaded,
    entry::{self, Data, Head},
};
use crate::{
    Caller, Error,
    caller::Done,
    codec,
    commit::Edit,
    mount::Mount,
    object::object_row,
    policy::{Operation, Parameters},
    time::rfc3339,
};

/// Versions whose rows are removed in one commit when a key goes.
const REMOVED_TOGETHER: usize = 1000;

/// A key's metadata.
#[derive(Clone, Debug)]
pub struct KvMetadata {
    /// Writes must carry `cas`.
    pub cas_required: bool,
    /// RFC 3339.
    pub created_time: String,
    /// 0 where there is no version.
    pub current_version: u64,
    /// Free text pairs.
    pub custom_metadata: Option<BTreeMap<String, String>>,
    /// Milliseconds, 0 = never.
    pub delete_version_after_ms: i64,
    /// 0 = the mount's.
    pub max_versions: u64,
    /// The oldest version kept; 0 until one was pruned.
    pub oldest_version: u64,
    /// RFC 3339.
    pub updated_time: String,
    /// Counts changes of the metadata.
    pub current_metadata_version: u64,
    /// Changes of the metadata must carry `metadata_cas`.
    pub metadata_cas_required: bool,
    /// Ascending.
    pub versions: Vec<KvVersionMeta>,
}

/// One version's metadata.
#[derive(Clone, Debug)]
pub struct KvVersionMeta {
    /// Its number.
    pub version: u64,
    /// RFC 3339.
    pub created_time: String,
    /// RFC 3339, empty where it is not deleted.
    pub deletion_time: String,
    /// Whether that time has come.
    pub deleted: bool,
    /// Gone for good.
    pub destroyed: bool,
}

/// Changes to a key's metadata; absent fields stay.
#[derive(Clone, Debug, Default)]
pub struct MetadataWrite {
    /// Versions kept, 0 = the mount's.
    pub max_versions: Option<u64>,
    /// Writes must carry `cas`.
    pub cas_required: Option<bool>,
    /// Milliseconds until a new version is deleted, 0 = never.
    pub delete_version_after_ms: Option<i64>,
    /// Later changes of the metadata must carry `metadata_cas`.
    pub metadata_cas_required: Option<bool>,
    /// Where it is required: only if the metadata was changed so many times; 0 = never, or there is no key.
    pub metadata_cas: Option<u64>,
    /// Replaces all pairs; an empty map removes them.
    pub custom_metadata: Option<BTreeMap<String, String>>,
    /// Sets or (with `None`) removes single pairs.
    pub custom_metadata_merge: Option<BTreeMap<String, Option<String>>>,
}

impl MetadataWrite {
    /// Whether it changes nothing of a key, nor makes one.
    fn is_empty(&self) -> bool {
        let Self {
            max_versions,
            cas_required,
            delete_version_after_ms,
            metadata_cas_required,
            // A condition, no change.
            metadata_cas: _,
            custom_metadata,
            custom_metadata_merge,
        } = self;
        max_versions.is_none()
            && cas_required.is_none()
            && delete_version_after_ms.is_none()
            && metadata_cas_required.is_none()
            && custom_metadata.is_none()
            && custom_metadata_merge.is_none()
    }
}

impl Caller {
    /// A key's metadata.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `{mount}metadata/{path}`; [`coffer_api::Code::NotFound`] where
    /// there is no such key.
    pub async fn kv_metadata_read(&self, mount: &Mount, path: &str) -> Result<KvMetadata, Error> {
        let logical = format!("{}metadata/{path}", mount.path);
        self.recorded(self.record("metadata.read", &logical), async {
            self.authorise(&logical, Operation::Read, &())?;
            let loaded = self.active.kv_load(mount, KvPath::parse(path)?).await?.ok_or_else(Error::not_found)?;
            Ok(Done::Unlogged(describe(&loaded.head, self.active.clock.now())))
        })
        .await
    }

    /// Whether the path of a read that ends in a slash, which names nothing, is that of a key with versions but for the
    /// slash. Who may not read the key is not told.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `{mount}{area}/{path}`.
    pub async fn kv_read_with_slash(&self, mount: &Mount, area: &str, path: &str) -> Result<bool, Error> {
        let logical = format!("{}{area}/{path}", mount.path);
        self.recorded(self.record("secret.read", &logical), async {
            self.authorise(&logical, Operation::Read, &())?;
            let (key, own) = (path.trim_end_matches('/'), logical.trim_end_matches('/'));
            if self.authorise(own, Operation::Read, &()).is_err() {
                return Ok(Done::Unlogged(false));
            }
            let loaded = self.active.kv_load(mount, KvPath::parse(key)?).await?;
            let versions = loaded.map_or(0, |loaded| describe(&loaded.head, self.active.clock.now()).current_version);
            Ok(Done::Unlogged(versions > 0))
        })
        .await
    }

    /// Changes a key's metadata; a key that is not there is made, without versions.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without create or update on `{mount}metadata/{path}`;
    /// [`coffer_api::Code::Invalid`] where a pair breaks its bounds.
    pub async fn kv_metadata_write(
        &self,
        mount: &Mount,
        path: &str,
        write: MetadataWrite,
        parameters: &dyn Parameters,
    ) -> Result<(), Error> {
        self.change_metadata(mount, path, write, parameters, Absent::Made).await
    }

    /// Changes the metadata of a key that exists.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without patch on `{mount}metadata/{path}`; [`coffer_api::Code::NotFound`] where
    /// there is no such key; [`coffer_api::Code::Invalid`] where a pair breaks its bounds.
    pub async fn kv_metadata_patch(
        &self,
        mount: &Mount,
        path: &str,
        write: MetadataWrite,
        parameters: &dyn Parameters,
    ) -> Result<(), Error> {
        self.change_metadata(mount, path, write, parameters, Absent::NotFound).await
    }

    async fn change_metadata(
        &self,
        mount: &Mount,
        path: &str,
        write: MetadataWrite,
        parameters: &dyn Parameters,
        absent: Absent,
    ) -> Result<(), Error> {
        let logical = format!("{}metadata/{path}", mount.path);
        let record = self.record("metadata.write", &logical);
        self.recorded(record.clone(), async {
            let path = KvPath::parse(path)?;
            let row = path.row(mount);
            let guard = self.active.lock_in(mount, &[&row]).await?;
            let loaded = self.active.kv_load(mount, path).await?;
            let operation = match (absent, &loaded) {
                (Absent::NotFound, _) => Operation::Patch,
                (Absent::Made, Some(_)) => Operation::Update,
                (Absent::Made, None) => Operation::Create,
            };
            self.authorise(&logical, operation, parameters)?;
            if absent == Absent::Made && write.is_empty() {
                return Ok(Done::Unlogged(()));
            }
            let now = self.active.clock.now();
            let (opened, mut head, expect) = match loaded {
                Some(Loaded { opened, head, revision }) => (Some(opened), head, Expect::Revision(revision)),
                None if absent == Absent::NotFound => return Err(Error::not_found()),
                None => (None, Head { created_ms: now, ..Head::default() }, Expect::Absent),
            };
            check_metadata_cas(mount, &head, write.metadata_cas, &expect)?;
            apply(&mut head, write)?;
            head.updated_ms = now;
            head.metadata_version += 1;
            let data = opened.as_ref().map_or(Data::Nothing, |opened| opened.data());
            let mut edit = Edit::under(guard);
            edit.put(row, entry::current(&head, &data)?, Some(expect));
            Ok(Done::Logged((), self.commit(edit, record).await?))
        })
        .await
    }

    /// Removes a key with all versions.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without delete on `{mount}metadata/{path}`; [`coffer_api::Code::Unavailable`] while
    /// the clock is in doubt.
    pub async fn kv_metadata_delete(&self, mount: &Mount, path: &str) -> Result<(), Error> {
        let logical = format!("{}metadata/{path}", mount.path);
        let record = self.record("metadata.delete", &logical);
        self.recorded(record.clone(), async {
            self.authorise(&logical, Operation::Delete, &())?;
            let path = KvPath::parse(path)?;
            loop {
                let guard = self.active.lock_in(mount, &[&path.row(mount)]).await?;
                let Some(Loaded { opened, mut head, revision }) = self.active.kv_load(mount, path).await? else {
                    return Ok(Done::Unlogged(()));
                };
                self.active.may_destroy()?;
                let mut edit = Edit::under(guard);
                // Oldest first and the entry last, so that an interrupted removal leaves a key that tells the truth.
                let some = head.versions.len().min(REMOVED_TOGETHER);
                for version in head.versions.drain(..some) {
                    if let Some(slot) = version.slot {
                        edit.delete(path.version_row(mount, slot), None);
                    }
                    if let Some(object) = version.object {
                        edit.delete(object_row(object), None);
                    }
                }
                let expect = Some(Expect::Revision(revision));
                if head.versions.is_empty() {
                    self.active.follow_value(mount, path, &opened.data(), &Data::Nothing, &mut edit)?;
                    edit.delete(path.row(mount), expect);
                    return Ok(Done::Logged((), self.commit(edit, record).await?));
                }
                head.oldest = head.versions.first().map_or(0, |version| version.number);
                edit.put(path.row(mount), entry::current(&head, &opened.data())?, expect);
                self.commit(edit, record.clone().fact("begun", "true")).await?.spend();
            }
        })
        .await
    }

    /// A mount's settings.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `{mount}config`.
    pub async fn kv_config_read(&self, mount: &Mount) -> Result<KvConfig, Error> {
        let logical = format!("{}config", mount.path);
        self.recorded(self.record("mount.read", &logical), async {
            self.authorise(&logical, Operation::Read, &())?;
            Ok(Done::Unlogged(mount.kv))
        })
        .await
    }

    /// Changes a mount's settings.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `{mount}config`.
    pub async fn kv_config_write(
        &self,
        mount: &Mount,
        parameters: &dyn Parameters,
        change: impl FnOnce(&mut KvConfig) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let logical = format!("{}config", mount.path);
        let record = self.record("mount.tune", &logical);
        self.recorded(record.clone(), async {
            self.authorise(&logical, Operation::Update, parameters)?;
            let guard = self.active.locks.lock(&[crate::keys::MOUNT]).await;
            let known = self.active.mounts.at(&mount.path).ok_or_else(Error::not_found)?;
            let mut mount = known.as_ref().clone();
            change(&mut mount.kv)?;
            check_max_versions(mount.kv.max_versions)?;
            mount.used();
            let mut edit = Edit::under(guard);
            edit.put(Mount::row(&mount.path), codec::encode(&mount)?, None);
            edit.in_force(move |active| active.mounts.put(mount));
            Ok(Done::Logged((), self.commit(edit, record).await?))
        })
        .await
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Absent {
    Made,
    NotFound,
}

/// What the API shows of a key.
pub(crate) fn describe(head: &Head, now: i64) -> KvMetadata {
    KvMetadata {
        cas_required: head.cas_required,
        created_time: rfc3339(head.created_ms),
        current_version: head.current,
        custom_metadata: head.custom.clone(),
        delete_version_after_ms: head.delete_version_after_ms,
        max_versions: head.max_versions,
        oldest_version: head.oldest,
        updated_time: rfc3339(head.updated_ms),
        current_metadata_version: head.metadata_version,
        metadata_cas_required: head.metadata_cas_required,
        versions: head
            .versions
            .iter()
            .map(|version| KvVersionMeta {
                version: version.number,
                created_time: rfc3339(version.created_ms),
                deletion_time: version.deletion_time().map(rfc3339).unwrap_or_default(),
                deleted: version.is_deleted(now),
                destroyed: version.destroyed,
            })
            .collect(),
    }
}

fn apply(head: &mut Head, write: MetadataWrite) -> Result<(), Error> {
    if let Some(max_versions) = write.max_versions {
        check_max_versions(max_versions)?;
        head.max_versions = max_versions;
    }
    head.cas_required = write.cas_required.unwrap_or(head.cas_required);
    head.metadata_cas_required = write.metadata_cas_required.unwrap_or(head.metadata_cas_required);
    head.delete_version_after_ms = write.delete_version_after_ms.unwrap_or(head.delete_version_after_ms);
    if let Some(custom) = write.custom_metadata {
        head.custom = Some(custom);
    }
    if let Some(merge) = write.custom_metadata_merge {
        let custom = head.custom.get_or_insert_default();
        for (key, value) in merge {
            match value {
                Some(value) => drop(custom.insert(key, value)),
                None => drop(custom.remove(&key)),
            }
        }
    }
    head.custom = head.custom.take().filter(|custom| !custom.is_empty());
    check_custom(head.custom.as_ref())
}

fn check_metadata_cas(mount: &Mount, head: &Head, cas: Option<u64>, expect: &Expect) -> Result<(), Error> {
    // Where nobody asks for it, it is not looked at: that is how the original has it.
    if !(head.metadata_cas_required || mount.kv.metadata_cas_required) {
        return Ok(());
    }
    match (cas, expect) {
        (None, _) => Err(Error::invalid("metadata check-and-set parameter required for this call")),
        (Some(cas), _) if cas == head.metadata_version => Ok(()),
        (Some(_), Expect::Absent) => Err(Error::invalid("metadata_cas must be 0 when creating new metadata")),
        (Some(_), Expect::Revision(_)) => {
            let message = "metadata check-and-set parameter does not match the current version";
            Err(Error::new(coffer_api::Code::Conflict, message))
        }
    }
}

fn check_max_versions(max_versions: u64) -> Result<(), Error> {
    if max_versions > MAX_VERSIONS {
        return Err(Error::invalid(format!("max_versions is at most {MAX_VERSIONS}")));
    }
    Ok(())
}

/// At most 64 pairs, keys of 1 to 128 bytes, values of 1 to 512.
fn check_custom(custom: Option<&BTreeMap<String, String>>) -> Result<(), Error> {
    let Some(custom) = custom else { return Ok(()) };
    let why = if custom.len() > 64 {
        format!("payload must contain at most 64 keys, provided {}", custom.len())
    } else if let Some((key, _)) = custom.iter().find(|(key, _)| key.is_empty() || key.len() > 128) {
        format!("length of key {:?} is {} but must be 0 < len(key) <= 128", clip(key), key.len())
    } else if let Some((key, value)) = custom.iter().find(|(_, value)| value.is_empty() || value.len() > 512) {
        format!("length of value for key {:?} is {} but must be 0 < len(value) <= 512", clip(key), value.len())
    } else if let Some((key, _)) = custom.iter().find(|(k, v)| k.chars().chain(v.chars()).any(char::is_control)) {
        format!("key {:?} or its value contains unprintable characters", clip(key))
    } else {
        return Ok(());
    };
    Err(Error::invalid(format!("1 error occurred:\n\t* custom_metadata validation failed: {why}\n\n")))
}

fn clip(key: &str) -> String {
    key.chars().take(512).collect()
}
