//! Folders of backups: how one appears in a folder whole or not at all, which there are, and which are to go.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use coffer_crypto::rng;

use super::{BackupError, IDENTITY, MANIFEST, Manifest, Part, Source, pack::Output};
use crate::time::rfc3339;

/// A backup on its way into a folder; dropped before its end, nothing of it is left.
pub struct BackupDir {
    parent: PathBuf,
    temporary: PathBuf,
    current: Option<BufWriter<File>>,
    finished: Finished,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Finished {
    No,
    Yes,
}

impl BackupDir {
    /// Begins one in `parent`, which is made where it is missing.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(parent: &Path) -> io::Result<Self> {
        Self::begin(parent, TEMPORARY)
    }

    /// As [`BackupDir::create`], for the schedule, which removes what a crash left of its own alone.
    pub(crate) fn create_scheduled(parent: &Path) -> io::Result<Self> {
        Self::begin(parent, SCHEDULED)
    }

    fn begin(parent: &Path, prefix: &str) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        let suffix = u64::from_be_bytes(rng::bytes::<8>().map_err(io::Error::other)?);
        let temporary = parent.join(format!("{prefix}{suffix:016x}"));
        DirBuilder::new().mode(0o700).create(&temporary)?;
        Ok(Self { parent: parent.to_owned(), temporary, current: None, finished: Finished::No })
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
        let path = self.parent.join(name_of(manifest));
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

/// Removes what is left of a scheduled backup that a crash cut off.
pub(crate) fn remove_unfinished(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(SCHEDULED)) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn name_of(manifest: &Manifest) -> String {
    let time: String = rfc3339(manifest.made_ms).chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let time = time.split_once('.').map_or(time.trim_end_matches('Z'), |(seconds, _)| seconds);
    format!("{PREFIX}{time}Z-r{}", manifest.revision)
}

const PREFIX: &str = "coffer-";
const TEMPORARY: &str = ".coffer-backup-";
const SCHEDULED: &str = ".coffer-scheduled-";
const BUFFER: usize = 256 << 10;
