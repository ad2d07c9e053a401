//! The files of a SQLite store: a directory that belongs to it, its lock, and modes that keep others out.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::Error;

/// The database file of a store whose directory this process has locked.
#[derive(Debug)]
pub(super) struct Files {
    /// The database, by an absolute path without symbolic links.
    pub(super) database: PathBuf,
    /// Held for as long as the directory is ours; the kernel releases it when the process ends.
    lock: File,
}

impl Files {
    /// Creates what is missing, takes the lock, and checks or repairs the modes.
    ///
    /// [`Error::Locked`] if the lock is held, [`Error::Unsafe`] if others may write to the directory.
    pub(super) fn prepare(path: &str) -> Result<Files, Error> {
        let path = Path::new(path);
        let Some(name) = path.file_name().filter(|name| *name != LOCK) else {
            return Err(Error::Invalid("a SQLite store is sqlite:<directory>/<file>".to_owned()));
        };
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            Some(_) | None => Path::new("."),
        };
        create_directory(directory)?;
        let directory = fs::canonicalize(directory).map_err(|e| Error::unavailable("finding the data directory", e))?;
        check_directory(&directory)?;
        let lock = take_lock(&directory)?;
        let database = directory.join(name);
        prepare_database(&directory, &database)?;
        Ok(Files { database, lock })
    }

    /// The write-ahead log, whether it exists or not.
    pub(super) fn wal(&self) -> PathBuf {
        sibling(&self.database, "-wal")
    }

    /// The space kept for a full disk.
    pub(super) fn reserve(&self) -> PathBuf {
        sibling(&self.database, "-reserve")
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // Closing alone would not do: a child process being started has the file open too, until it runs its program.
        flock(&self.lock, FlockOperation::Unlock).ok();
    }
}

/// Creates the directory and those above it that are missing, and makes each of their names durable.
fn create_directory(directory: &Path) -> Result<(), Error> {
    let unavailable = |e| Error::unavailable("creating the data directory", e);
    let missing: Vec<&Path> =
        directory.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists()).collect();
    DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(unavailable)?;
    for path in missing {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        sync_directory(parent).map_err(unavailable)?;
    }
    Ok(())
}

/// Others may look at the directory, for all its files are closed to them, but not put their own files in it.
fn check_directory(directory: &Path) -> Result<(), Error> {
    let mode = fs::metadata(directory).map_err(|e| Error::unavailable("reading the data directory", e))?.mode();
    if mode & OTHERS_WRITE == 0 {
        return Ok(());
    }
    Err(Error::Unsafe {
        setting: format!("the mode of {}", directory.display()),
        value: format!("{:04o}", mode & 0o7777),
        wanted: "0700",
    })
}

fn take_lock(directory: &Path) -> Result<File, Error> {
    let unavailable = |e| Error::unavailable("opening the lock file", e);
    let lock = open_own(&directory.join(LOCK)).map_err(unavailable)?;
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(Errno::WOULDBLOCK) => Err(Error::Locked { directory: directory.to_owned() }),
        Err(errno) => Err(unavailable(errno.into())),
    }
}

/// Makes the database file ours before SQLite opens it, which gives its other files the same mode.
fn prepare_database(directory: &Path, database: &Path) -> Result<(), Error> {
    let unavailable = |e| Error::unavailable("creating the database file", e);
    drop(open_own(database).map_err(unavailable)?);
    for suffix in ["-wal", "-shm"] {
        let file = sibling(database, suffix);
        if file.symlink_metadata().is_ok() {
            drop(open_own(&file).map_err(unavailable)?);
        }
    }
    sync_directory(directory).map_err(unavailable)
}

/// Opens or creates a regular file, never through a symbolic link, and closes it to everyone else.
fn open_own(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(flags)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    if metadata.mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

fn sibling(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

const LOCK: &str = "lock";
const OTHERS_WRITE: u32 = 0o022;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    fn url(directory: &Path) -> String {
        directory.join("store.db").to_str().unwrap().to_owned()
    }

    #[test]
    fn files_are_created_for_the_owner_alone() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("a/b");
        let files = Files::prepare(&url(&directory)).unwrap();
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(mode(&files.database), 0o600);
        assert_eq!(mode(&directory.join("lock")), 0o600);
    }

    #[test]
    fn files_that_others_may_read_are_closed() {
        let root = tempfile::tempdir().unwrap();
        for name in ["store.db", "store.db-wal", "store.db-shm", "lock"] {
            fs::write(root.path().join(name), "").unwrap();
            fs::set_permissions(root.path().join(name), Permissions::from_mode(0o666)).unwrap();
        }
        let _files = Files::prepare(&url(root.path())).unwrap();
        for name in ["store.db", "store.db-wal", "store.db-shm", "lock"] {
            assert_eq!(mode(&root.path().join(name)), 0o600, "{name}");
        }
    }

    #[test]
    fn directory_that_others_may_write_is_unsafe() {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o770)).unwrap();
        assert!(matches!(Files::prepare(&url(root.path())), Err(Error::Unsafe { .. })));
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        assert!(Files::prepare(&url(root.path())).is_ok());
    }

    #[test]
    fn database_that_is_a_link_or_directory_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let elsewhere = root.path().join("elsewhere");
        fs::write(&elsewhere, "precious").unwrap();
        symlink(&elsewhere, root.path().join("store.db")).unwrap();
        assert!(Files::prepare(&url(root.path())).is_err());
        fs::remove_file(root.path().join("store.db")).unwrap();
        fs::create_dir(root.path().join("store.db")).unwrap();
        assert!(Files::prepare(&url(root.path())).is_err());
        assert_eq!(fs::read(&elsewhere).unwrap(), b"precious");
    }

    #[test]
    fn path_without_a_file_name_is_invalid() {
        for path in ["", "/", "..", "dir/lock"] {
            assert!(matches!(Files::prepare(path), Err(Error::Invalid(_))), "{path}");
        }
    }

    #[test]
    fn directory_locked_once_is_refused_until_released() {
        let root = tempfile::tempdir().unwrap();
        let files = Files::prepare(&url(root.path())).unwrap();
        let Err(Error::Locked { directory }) = Files::prepare(&url(root.path())) else { panic!("opened twice") };
        assert_eq!(directory, root.path().canonicalize().unwrap());
        drop(files);
        assert!(Files::prepare(&url(root.path())).is_ok());
    }
}
