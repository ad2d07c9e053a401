//! Folders of backups: how one appears in a folder whole or not at all, which there are, and how one goes.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, BufWriter, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use coffer_crypto::rng;
use uuid::Uuid;

use super::{BackupError, IDENTITY, MANIFEST, Manifest, Part, Source, pack::Output};
use crate::time::rfc3339;

/// A backup on its way into a folder; dropped before its end, nothing of it is left. What a process left that was ended in the
/// middle is removed by whoever makes the next.
pub struct BackupDir {
    parent: PathBuf,
    temporary: PathBuf,
    current: Option<BufWriter<File>>,
    finished: Finished,
    maker: Maker,
    /// The folder, locked as long as somebody writes into it.
    _lock: File,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Finished {
    No,
    Yes,
}

/// Who makes a backup.
#[derive(Clone, Copy)]
enum Maker {
    Person,
    /// That of this cluster: a folder may be that of several.
    Schedule(Uuid),
}

impl BackupDir {
    /// Begins one in `parent`, which is made where it is missing.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(parent: &Path) -> io::Result<Self> {
        Self::begin(parent, Maker::Person)
    }

    /// As [`BackupDir::create`], for the schedule of a cluster, whose retention counts and removes its own alone.
    pub(crate) fn create_scheduled(parent: &Path, cluster: Uuid) -> io::Result<Self> {
        Self::begin(parent, Maker::Schedule(cluster))
    }

    fn begin(parent: &Path, maker: Maker) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        let prefix = match maker {
            Maker::Person => {
                remove_left(parent);
                TEMPORARY.to_owned()
            }
            Maker::Schedule(cluster) => scheduled(cluster),
        };
        for _ in 0..ATTEMPTS {
            let suffix = u64::from_be_bytes(rng::bytes::<8>().map_err(io::Error::other)?);
            let temporary = parent.join(format!("{prefix}{suffix:016x}"));
            DirBuilder::new().mode(0o700).create(&temporary)?;
            // Before it is locked, somebody may have taken it for one that was left.
            if let Some(lock) = lock(&temporary)? {
                let (parent, finished) = (parent.to_owned(), Finished::No);
                return Ok(Self { parent, temporary, current: None, finished, maker, _lock: lock });
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// Adds the encrypted key of a backup under a passphrase.
    ///
    /// # Errors
    /// What the system says.
    pub fn add_identity(&mut self, encrypted: &[u8]) -> io::Result<()> {
        self.begin(IDENTITY)?;
        self.write(encrypted)?;
        self.end()
    }

    /// What is there so far.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn source(&self) -> Result<Source, BackupError> {
        Source::open(&self.temporary)
    }

    /// Gives the backup its name, durably: time and revision. Tells where it lies.
    ///
    /// # Errors
    /// What the system says, and where there is one of that name.
    pub fn finish(mut self, manifest: &Manifest) -> io::Result<PathBuf> {
        let path = self.parent.join(name_of(manifest, self.maker));
        File::open(&self.temporary)?.sync_all()?;
        if path.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(&self.temporary, &path)?;
        self.finished = Finished::Yes;
        File::open(&self.parent)?.sync_all()?;
        Ok(path)
    }
}

impl Output for BackupDir {
    fn begin(&mut self, name: &str) -> io::Result<()> {
        let path = self.temporary.join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        self.current = Some(BufWriter::with_capacity(BUFFER, file));
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.current {
            Some(file) => file.write_all(bytes),
            None => Err(io::Error::other("no part was begun")),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        let Some(file) = self.current.take() else { return Ok(()) };
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}

impl Drop for BackupDir {
    fn drop(&mut self) {
        if self.finished == Finished::No {
            // Nothing more can be done where even this fails.
            let _ = fs::remove_dir_all(&self.temporary);
        }
    }
}

/// A backup in a folder.
pub struct Kept {
    /// Where it lies.
    pub path: PathBuf,
    /// What it is, unless its manifest cannot be read.
    pub manifest: Result<Manifest, BackupError>,
    /// Whether the part with the object keys is there.
    pub object_keys: bool,
}

impl Kept {
    /// Whether a schedule made it: its folder's name ends with that, so that one that is to stay is given another.
    pub(crate) fn is_scheduled(&self) -> bool {
        self.path.is_dir() && self.path.as_os_str().as_encoded_bytes().ends_with(SCHEDULED_END.as_bytes())
    }
}

/// The backups in a folder, the oldest first; those whose manifests cannot be read, last.
///
/// # Errors
/// [`BackupError::Io`] where the folder cannot be read.
pub fn list(dir: &Path) -> Result<Vec<Kept>, BackupError> {
    let failed = |source| BackupError::Io { operation: "read", path: dir.to_owned(), source };
    let mut kept = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let path = entry.path();
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| name.starts_with(PREFIX));
        let is_backup = match entry.file_type().map_err(failed)? {
            kind if kind.is_dir() => is_ours && path.join(MANIFEST).symlink_metadata().is_ok(),
            kind => kind.is_file() && (is_ours || path.extension().is_some_and(|end| end == "coffer-backup")),
        };
        if !is_backup {
            continue;
        }
        let source = Source::open(&path);
        let object_keys = source.as_ref().is_ok_and(|source| source.has(Part::ObjectKeys).unwrap_or(false));
        let manifest = source.and_then(|source| source.manifest());
        kept.push(Kept { path, manifest, object_keys });
    }
    kept.sort_by_cached_key(|kept| {
        (kept.manifest.as_ref().map_or(i64::MAX, |manifest| manifest.made_ms), kept.path.clone())
    });
    Ok(kept)
}

/// What a removal takes away. Hidden first, so that nothing half removed is ever taken for a backup, and a crash leaves what
/// the next round finds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Gone {
    /// All of this backup.
    Backup(Uuid),
    /// Its part with the object keys.
    ObjectKeys(Uuid),
}

/// Something in a folder that is no backup any more, or never was one.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) path: PathBuf,
    /// Of what it is the rest; `None` where a backup was cut off.
    pub(crate) gone: Option<Gone>,
    /// Held until it is gone, so that nobody begins to write into it.
    _lock: Option<File>,
}

/// Hides what is to go, durably.
pub(crate) fn hide(dir: &Path, cluster: Uuid, kept: &Path, gone: Gone) -> io::Result<()> {
    let (from, name) = match gone {
        Gone::Backup(backup) => (kept.to_owned(), format!("{}{OF_BACKUP}{backup}", scheduled(cluster))),
        Gone::ObjectKeys(backup) => {
            (kept.join(Part::ObjectKeys.file()), format!("{}{OF_OBJECT_KEYS}{backup}", scheduled(cluster)))
        }
    };
    // What cannot be emptied stays in sight.
    rustix::fs::access(kept, rustix::fs::Access::WRITE_OK)?;
    fs::rename(from, dir.join(name))?;
    if let Gone::ObjectKeys(_) = gone {
        File::open(kept)?.sync_all()?;
    }
    File::open(dir)?.sync_all()
}

/// What is left in a folder of the schedule of a cluster, and in nobody's hands.
pub(crate) fn left(dir: &Path, cluster: Uuid) -> io::Result<Vec<Left>> {
    let prefix = scheduled(cluster);
    let mut left = Vec::new();
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(left),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(&prefix)) else { continue };
        let id = |kind: &str| rest.strip_prefix(kind).and_then(|id| id.parse().ok());
        let gone = id(OF_BACKUP).map(Gone::Backup).or_else(|| id(OF_OBJECT_KEYS).map(Gone::ObjectKeys));
        let path = entry.path();
        let lock = if gone.is_none() { abandoned(&path) } else { None };
        if gone.is_some() || lock.is_some() {
            left.push(Left { path, gone, _lock: lock });
        }
    }
    Ok(left)
}

impl Left {
    /// Takes it away.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match fs::symlink_metadata(&self.path)?.is_dir() {
            true => fs::remove_dir_all(&self.path),
            false => fs::remove_file(&self.path),
        }
    }
}

/// Removes what people's commands left that were ended in the middle, as far as that can be had.
fn remove_left(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let is_ours = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(TEMPORARY));
        if is_ours && let Some(_lock) = abandoned(&path) {
            // It takes space, and that is all.
            let _ = fs::remove_dir_all(&path);
        }
    }
}

/// The lock of a folder that nobody writes into. Where the file system has no locks, that is not known.
fn abandoned(path: &Path) -> Option<File> {
    fs::symlink_metadata(path).ok().filter(fs::Metadata::is_dir)?;
    let folder = File::open(path).ok()?;
    folder.try_lock().is_ok().then_some(folder)
}

/// Locks a new folder; `None` where somebody else took it away.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let folder = match File::open(path) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match folder.try_lock() {
        Ok(()) => Ok(path.symlink_metadata().is_ok().then_some(folder)),
        Err(TryLockError::WouldBlock) => Ok(None),
        // Without locks nobody removes it either.
        Err(TryLockError::Error(_)) => Ok(Some(folder)),
    }
}

fn name_of(manifest: &Manifest, maker: Maker) -> String {
    let time: String = rfc3339(manifest.made_ms).chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let time = time.split_once('.').map_or(time.trim_end_matches('Z'), |(seconds, _)| seconds);
    let end = match maker {
        Maker::Person => "",
        Maker::Schedule(_) => SCHEDULED_END,
    };
    format!("{PREFIX}{time}Z-r{}{end}", manifest.revision)
}

/// How the names begin that are not to be seen.
fn scheduled(cluster: Uuid) -> String {
    format!("{SCHEDULED}{cluster}-")
}

const PREFIX: &str = "coffer-";
const TEMPORARY: &str = ".coffer-backup-";
const SCHEDULED: &str = ".coffer-scheduled-";
const SCHEDULED_END: &str = "-scheduled";
const OF_BACKUP: &str = "removed-";
const OF_OBJECT_KEYS: &str = "removed-keys-";
/// At names for a new folder.
const ATTEMPTS: u8 = 8;
const BUFFER: usize = 256 << 10;
