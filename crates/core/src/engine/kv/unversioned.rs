//! KV v1: values at paths, without versions. A key is the same entry as in KV v2 with one version, numbered 1, so that
//! a mount becomes versioned by being called so.

use coffer_api::Code;
use coffer_storage::Expect;
use zeroize::Zeroizing;

use super::{
    KvPath,
    data::{Loaded, MAX_VALUE},
    entry::{self, Data, Head, VersionMeta},
    list::{KvReach, MAX_LISTED},
};
use crate::{
    Caller, Error,
    caller::Done,
    commit::Edit,
    mount::Mount,
    object::object_row,
    policy::{Operation, Parameters},
};

/// The one version's number.
const ONLY: u64 = 1;

impl Caller {
    /// The value at a path, as JSON.
    ///
    /// # Errors
    /// [`Code::Denied`] without read on `{mount}{path}`; [`Code::NotFound`] where there is nothing.
    pub async fn kv1_read(&self, mount: &Mount, path: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
        let logical = format!("{}{path}", mount.path);
        self.recorded(self.record("secret.read", &logical), async {
            self.authorise(&logical, Operation::Read, &())?;
            if path.is_empty() || path.ends_with('/') {
                return Err(Error::not_found());
            }
            let (read, _) = self.active.kv_version(mount, KvPath::parse(path)?, None).await?;
            let data = read.data().ok_or_else(Error::not_found)?;
            Ok(Done::Unlogged(Zeroizing::new(data.to_vec())))
        })
        .await
    }

    /// Writes a value, a JSON object, in the place of what is there.
    ///
    /// # Errors
    /// [`Code::Denied`] without create (for a new path) or update on `{mount}{path}`; [`Code::Invalid`] for an unusable
    /// path; [`Code::TooLarge`] above 1 MiB; [`Code::Unavailable`] where the mount changed meanwhile.
    pub async fn kv1_write(
        &self,
        mount: &Mount,
        path: &str,
        data: &[u8],
        parameters: &dyn Parameters,
    ) -> Result<(), Error> {
        let logical = format!("{}{path}", mount.path);
        let record = self.record("secret.write", &logical);
        self.recorded(record.clone(), async {
            let path = KvPath::parse(path)?;
            let row = path.row(mount);
            let guard = self.active.lock_in(mount, &[&row]).await?;
            let loaded = self.active.kv_load(mount, path).await?;
            let operation = if loaded.is_some() { Operation::Update } else { Operation::Create };
            self.authorise(&logical, operation, parameters)?;
            self.check_unchanged(mount)?;
            if data.len() > MAX_VALUE {
                return Err(Error::new(Code::TooLarge, "a value holds at most 1 MiB of JSON"));
            }
            let mut edit = Edit::under(guard);
            let now = self.active.clock.now();
            let mut head = Head { current: ONLY, oldest: ONLY, created_ms: now, ..Head::default() };
            let mut expect = Expect::Absent;
            if let Some(loaded) = loaded {
                expect = Expect::Revision(loaded.revision);
                head.created_ms = loaded.head.created_ms;
                delete_objects(&loaded.head, &mut edit);
            }
            head.updated_ms = now;
            let mut version = VersionMeta { number: ONLY, created_ms: now, ..VersionMeta::default() };
            let sealed;
            let stored = if mount.option("shred") == Some("true") {
                let (id, bytes) = self.active.seal_object(&row, ONLY, data, &mut edit)?;
                version.object = Some(id);
                sealed = bytes;
                Data::Shredded(&sealed)
            } else {
                Data::Plain(data)
            };
            head.versions.push(version);
            let mut record = record;
            record.value = Some(self.active.value_hash(data)?);
            edit.put(row, entry::current(&head, &stored)?, Some(expect));
            Ok(Done::Logged((), self.commit(edit, record).await?))
        })
        .await
    }

    /// Deletes a value for good; nothing there is no error.
    ///
    /// # Errors
    /// [`Code::Denied`] without delete on `{mount}{path}`; [`Code::Unavailable`] where the mount changed meanwhile, and
    /// while the clock is in doubt.
    pub async fn kv1_delete(&self, mount: &Mount, path: &str) -> Result<(), Error> {
        let logical = format!("{}{path}", mount.path);
        let record = self.record("secret.delete", &logical);
        self.recorded(record.clone(), async {
            self.authorise(&logical, Operation::Delete, &())?;
            if path.is_empty() || path.ends_with('/') {
                return Ok(Done::Unlogged(()));
            }
            let path = KvPath::parse(path)?;
            let guard = self.active.lock_in(mount, &[&path.row(mount)]).await?;
            self.check_unchanged(mount)?;
            let Some(Loaded { head, revision, .. }) = self.active.kv_load(mount, path).await? else {
                return Ok(Done::Unlogged(()));
            };
            self.active.may_destroy()?;
            let mut edit = Edit::under(guard);
            delete_objects(&head, &mut edit);
            edit.delete(path.row(mount), Some(Expect::Revision(revision)));
            Ok(Done::Logged((), self.commit(edit, record).await?))
        })
        .await
    }

    /// Names below a directory (`""` or `a/b/`).
    ///
    /// # Errors
    /// [`Code::Denied`] without list (or scan, as it reaches) on `{mount}{directory}`; [`Code::Invalid`] where more than
    /// [`MAX_LISTED`] names would have to be answered at once.
    pub async fn kv1_list(&self, mount: &Mount, directory: &str, reach: KvReach<'_>) -> Result<Vec<String>, Error> {
        let directory = directory.trim_end_matches('/');
        let logical = match directory {
            "" => mount.path.clone(),
            directory => format!("{}{directory}/", mount.path),
        };
        self.recorded(self.record("metadata.list", &logical), async {
            self.found(mount, &logical, directory, reach, MAX_LISTED).await.map(Done::Unlogged)
        })
        .await
    }

    /// Refuses a change by a caller who was routed before the mount moved, went, or began to keep versions: it would
    /// take versions away. Under the row's lock, so that whoever writes versions there comes before or after.
    fn check_unchanged(&self, mount: &Mount) -> Result<(), Error> {
        let now = self.active.mounts.at(&mount.path);
        if now.is_some_and(|now| now.id == mount.id && now.kind == mount.kind) {
            return Ok(());
        }
        Err(Error::new(Code::Unavailable, "the mount was changed meanwhile; try again"))
    }
}

fn delete_objects(head: &Head, edit: &mut Edit) {
    let objects = head.versions.iter().filter_map(|version| version.object);
    objects.for_each(|object| edit.delete(object_row(object), None));
}
