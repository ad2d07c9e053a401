//! Restoring a backup into a store and a data folder that hold nothing, with the server stopped.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    future,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    pin::Pin,
};

use bytes::Bytes;
use coffer_crypto::age::Opener;
use coffer_storage::{Batch, Change, Expect, Key, Revision, Sealed, Store};

use super::{
    BackupError, Manifest, Part, Source,
    parts::read_seal_key,
    restored::{Progress, RestoredRow},
    verify::{Against, Presence, Verified, open, read_log, rows_of, since, verify},
};
use crate::{barrier, keys, tlog::copy::Copy};

/// What is restored, and where to.
pub struct Restore<'a> {
    /// The backup.
    pub source: &'a Source,
    /// What opens it.
    pub opener: Opener<'a>,
    /// What it is held against.
    pub against: Against<'a>,
    /// Where object keys come from.
    pub object_keys: ObjectKeys<'a>,
    /// The URL of the store.
    pub store: &'a str,
    /// The data folder, which must hold nothing.
    pub data: &'a Path,
}

/// Where the object keys of a restored store come from.
#[derive(Clone, Copy)]
pub enum ObjectKeys<'a> {
    /// From a later backup of the same store: without those that were destroyed between the two.
    Later(&'a Source, Opener<'a>),
    /// From nowhere: what is sealed under one does not open any more.
    None,
    /// From the backup itself.
    Own,
}

/// What was restored.
#[derive(Clone, Debug)]
pub struct Restored {
    /// From what.
    pub manifest: Manifest,
    /// How many rows.
    pub rows: u64,
    /// Where the log of the backup lies now.
    pub log: PathBuf,
    /// The key file, where it was in the backup.
    pub seal_key: Option<PathBuf>,
}

/// Verifies the backup whole, and only then restores it. Until the end, the store says of itself that it is half restored, and no
/// server starts on it.
///
/// # Errors
/// [`BackupError::Refused`] where something is there already, or the backup is older than the checkpoint given;
/// [`BackupError::Damaged`], [`BackupError::NoMatch`]: nothing was changed by then. [`BackupError::Half`] for whatever goes wrong
/// from the first row on.
pub async fn restore(what: Restore<'_>) -> Result<Restored, BackupError> {
    let Verified { manifest, object_keys, .. } = verify(what.source, Some(what.opener), what.against)?;
    let later = check_object_keys(&what, &manifest, object_keys)?;
    check_empty(what.data, what.store)?;
    let store = coffer_storage::open(what.store).await?;
    if store.leader().await?.is_some_and(|leader| !leader.remaining.is_zero()) {
        return Err(BackupError::Refused("a server runs on the store".into()));
    }
    if store.snapshot(0).await?.revision() != Revision(0) {
        return Err(BackupError::Refused("the store is not empty; a backup is restored into a new one alone".into()));
    }
    let mut loading = Loading::new(store.as_ref(), Revision(manifest.revision));
    loading.mark(&manifest).await?;
    let filled = fill(&what, &manifest, later.as_ref(), loading).await;
    let (rows, log, seal_key) = filled.map_err(|error| BackupError::Half(Box::new(error)))?;
    store.close().await;
    Ok(Restored { manifest, rows, log, seal_key })
}

/// Everything behind the first row: the others, the log, the key file where there is one, and the word that all is there.
async fn fill(
    what: &Restore<'_>,
    manifest: &Manifest,
    later: Option<&Manifest>,
    mut loading: Loading<'_>,
) -> Result<(u64, PathBuf, Option<PathBuf>), BackupError> {
    loading.all(what.source, manifest, Part::Store, what.opener).await?;
    match (what.object_keys, later) {
        (ObjectKeys::Own, _) => loading.all(what.source, manifest, Part::ObjectKeys, what.opener).await?,
        (ObjectKeys::Later(source, opener), Some(later)) => {
            loading.all(source, later, Part::ObjectKeys, opener).await?;
        }
        (ObjectKeys::Later(..) | ObjectKeys::None, _) => {}
    }
    let (rows, store) = (loading.rows, loading.store);
    drop(loading);
    crate::failpoint::hit("restore-rows");

    let failed = |operation, path: &Path| {
        let path = path.to_owned();
        move |source| BackupError::Io { operation, path, source }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(what.data).map_err(failed("make", what.data))?;
    let dir = what.data.join(LOG_DIR);
    copy_log(what, manifest, &dir)?;
    let seal_key = match manifest.part(Part::SealKey) {
        None => None,
        Some(_) => {
            let text = read_seal_key(open(what.source, manifest, Part::SealKey, what.opener)?, manifest.backup)?;
            let path = what.data.join(SEAL_KEY);
            write_new(&path, text.as_bytes()).map_err(failed("write", &path))?;
            Some(path)
        }
    };
    sync_dir(what.data).map_err(failed("sync", what.data))?;
    finish(store, manifest).await?;
    Ok((rows, dir, seal_key))
}

/// Whether the object keys can be had as asked; the manifest of the backup that they come from.
fn check_object_keys(what: &Restore<'_>, manifest: &Manifest, own: Presence) -> Result<Option<Manifest>, BackupError> {
    match (what.object_keys, own) {
        (ObjectKeys::Own, Presence::There) | (ObjectKeys::None, _) => Ok(None),
        (ObjectKeys::Own, Presence::Missing) => Err(BackupError::Refused(
            "the part object-keys was removed from the backup: without it no key, and no secret under an object key, \
             opens; name a later backup with --object-keys-from, or go without with --without-object-keys"
                .into(),
        )),
        (ObjectKeys::Later(source, opener), _) => {
            let not_later = || {
                BackupError::Refused(
                    "the backup given with --object-keys-from does not go on from this one: it is an earlier one, or \
                     one of another store, or of what became of this one after a restore of an earlier state"
                        .into(),
                )
            };
            let later = source.manifest()?;
            if later.cluster != manifest.cluster || later.revision < manifest.revision {
                return Err(not_later());
            }
            // Of the same log it is held against this one's checkpoint, and its first key; another's has others.
            let against = match later.origin() == manifest.origin() {
                true => Against { vkey: what.against.vkey, since: Some(&manifest.checkpoint) },
                false => Against::default(),
            };
            let Verified { manifest: later, object_keys, .. } =
                verify(source, Some(opener), against).map_err(|error| match error {
                    BackupError::Refused(_) => not_later(),
                    error => error,
                })?;
            if against.since.is_none() && !goes_on(what, manifest, (source, &later, opener))? {
                return Err(not_later());
            }
            match object_keys {
                Presence::There => Ok(Some(later)),
                Presence::Missing => Err(BackupError::Refused(
                    "the backup given with --object-keys-from has no part object-keys either".into(),
                )),
            }
        }
    }
}

/// Whether a backup that another node made is of what this one went on to be. The node that made this one registered its log right
/// before, in a row that no other node writes: what does not go on from this backup has an older one, or none.
fn goes_on(
    what: &Restore<'_>,
    manifest: &Manifest,
    (source, later, opener): (&Source, &Manifest, Opener<'_>),
) -> Result<bool, BackupError> {
    let Some((_, node)) = manifest.origin().rsplit_once('/') else { return Ok(false) };
    let row = format!("{}{node}", keys::LOG_HEAD);
    let find = |source: &Source, manifest: &Manifest, opener| {
        let mut rows = rows_of(source, manifest, Part::Store, opener)?;
        while let Some((key, entry)) = rows.next()? {
            if key.as_bytes() >= row.as_bytes() {
                return Ok((key.as_bytes() == row.as_bytes()).then_some(entry));
            }
        }
        Ok::<_, BackupError>(None)
    };
    Ok(match (find(what.source, manifest, what.opener)?, find(source, later, opener)?) {
        (Some(own), Some(theirs)) => {
            theirs.revision > own.revision || (theirs.revision, theirs.value) == (own.revision, own.value)
        }
        (None, _) | (_, None) => false,
    })
}

/// Nothing may be where the store and the data folder will be.
fn check_empty(data: &Path, store: &str) -> Result<(), BackupError> {
    let refused = |path: &Path| {
        let path = path.display();
        Err(BackupError::Refused(format!("{path} is not empty; a backup is restored into a new data folder alone")))
    };
    match fs::read_dir(data).map(|mut entries| entries.next().is_some()) {
        Ok(true) => return refused(data),
        Ok(false) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(BackupError::Io { operation: "read", path: data.to_owned(), source }),
    }
    match store.split_once(':') {
        Some(("memory", _)) => Err(BackupError::Refused("a store in memory would be gone at once".into())),
        Some(("sqlite", path)) if Path::new(path).symlink_metadata().is_ok() => refused(Path::new(path)),
        Some(_) | None => Ok(()),
    }
}

/// Rows on their way into the store.
struct Loading<'a> {
    store: &'a dyn Store,
    at: Revision,
    waiting: Vec<(Key, Sealed, Revision)>,
    bytes: usize,
    rows: u64,
    /// What the store writes while the next rows are read.
    written: Option<Load<'a>>,
}

type Load<'a> = Pin<Box<dyn Future<Output = Result<(), coffer_storage::Error>> + Send + 'a>>;

impl<'a> Loading<'a> {
    fn new(store: &'a dyn Store, at: Revision) -> Self {
        Self { store, at, waiting: Vec::new(), bytes: 0, rows: 0, written: None }
    }

    /// The first row of all: that the others are not all there.
    async fn mark(&mut self, manifest: &Manifest) -> Result<(), BackupError> {
        let row = RestoredRow::new(manifest, Progress::Half).sealed().map_err(internal)?;
        self.store.load(self.at, vec![(Key::new(keys::RESTORED)?, row, self.at)]).await.map_err(|error| match error {
            coffer_storage::Error::Conflict => {
                BackupError::Refused("the store is not empty; a backup is restored into a new one alone".into())
            }
            error => error.into(),
        })
    }

    /// The rows of a part, of another backup up to the revision of this one.
    async fn all(
        &mut self,
        source: &Source,
        manifest: &Manifest,
        part: Part,
        opener: Opener<'_>,
    ) -> Result<(), BackupError> {
        let mut rows = rows_of(source, manifest, part, opener)?;
        while let Some((key, entry)) = rows.next()? {
            // A backup of a store that was restored and never started holds one of its own.
            if entry.revision > self.at || key.as_bytes() == keys::RESTORED.as_bytes() {
                continue;
            }
            self.bytes = self.bytes.saturating_add(key.as_bytes().len()).saturating_add(entry.value.len());
            self.waiting.push((key, sealed(entry.value)?, entry.revision));
            if self.bytes >= LOAD_BYTES || self.waiting.len() >= LOAD_ROWS {
                self.flush().await?;
            }
        }
        self.flush().await?;
        self.settle().await
    }

    /// Hands the rows over, once those before are written.
    async fn flush(&mut self) -> Result<(), BackupError> {
        self.settle().await?;
        if self.waiting.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.waiting);
        self.rows += u64::try_from(rows.len()).unwrap_or(u64::MAX);
        self.bytes = 0;
        let mut load: Load<'a> = self.store.load(self.at, rows);
        // Asked once, the store has begun; a future that nobody asks does nothing.
        tokio::select! {
            biased;
            outcome = &mut load => outcome?,
            () = future::ready(()) => self.written = Some(load),
        }
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), BackupError> {
        match self.written.take() {
            None => Ok(()),
            Some(load) => Ok(load.await?),
        }
    }
}

/// The log of the backup, as a folder that `coffer audit verify` reads.
fn copy_log(what: &Restore<'_>, manifest: &Manifest, dir: &Path) -> Result<(), BackupError> {
    let failed = |source| BackupError::Io { operation: "write", path: dir.to_owned(), source };
    let mut copy = Copy::create(dir).map_err(failed)?;
    let since = what.against.since.map(|text| since(manifest, text)).transpose()?;
    let mut push = |entry: &[u8]| copy.push(entry).map_err(failed);
    let keys = read_log(what.source, manifest, what.opener, since.as_ref(), &mut push)?;
    copy.finish(&keys, &manifest.checkpoint).map_err(failed)
}

/// Everything is there.
async fn finish(store: &dyn Store, manifest: &Manifest) -> Result<(), BackupError> {
    let value = RestoredRow::new(manifest, Progress::Whole).sealed().map_err(internal)?;
    let expect = Some(Expect::Revision(Revision(manifest.revision)));
    let changes = vec![Change::Put { key: Key::new(keys::RESTORED)?, value, expect }];
    store.commit(Batch { changes, ..Batch::default() }).await?;
    Ok(())
}

/// A row as the barrier sealed it, there and then.
fn sealed(bytes: Bytes) -> Result<Sealed, BackupError> {
    barrier::restored_row(bytes).map_err(internal)
}

fn internal(error: crate::Error) -> BackupError {
    let text = error.cause().unwrap_or_else(|| error.public().to_owned());
    BackupError::Refused(text)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

/// Where the log of the backup goes, in the data folder.
const LOG_DIR: &str = "audit-restored";
/// Where the key file goes, in the data folder: where a server looks for it.
const SEAL_KEY: &str = "seal.key";
/// What is loaded together.
const LOAD_BYTES: usize = 8 << 20;
const LOAD_ROWS: usize = 5000;
