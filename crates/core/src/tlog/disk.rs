//! Every file operation of the log, behind one trait, so that tests can stand in a disk that fails and forgets.

use std::{
    fs, io,
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{FallocateFlags, FlockOperation, OFlags},
    io::Errno,
};

/// A failed operation on a file: what was tried, on what, and what the system said.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot {operation} {}", path.display())]
pub struct DiskError {
    /// What was tried, as in "cannot write".
    pub operation: &'static str,
    /// The file or directory.
    pub path: PathBuf,
    /// The system's answer.
    #[source]
    pub cause: Arc<io::Error>,
}

impl DiskError {
    /// Whether the disk, or the user's share of it, is full.
    pub fn is_full(&self) -> bool {
        matches!(self.cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// Whether the file is longer than was asked for.
    pub(crate) fn is_too_long(&self) -> bool {
        self.cause.kind() == io::ErrorKind::FileTooLarge
    }

    /// Whether something else than a regular file, or than a directory, stands in its place.
    pub(crate) fn is_another_kind(&self) -> bool {
        let odd = [Errno::LOOP, Errno::NXIO, Errno::NOTDIR, Errno::ISDIR];
        self.cause.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<NotRegular>)
            || self.cause.raw_os_error().is_some_and(|code| odd.iter().any(|errno| errno.raw_os_error() == code))
    }

    /// Whether the file does not exist.
    pub fn is_missing(&self) -> bool {
        self.cause.kind() == io::ErrorKind::NotFound
    }
}

/// What stands in a file's place is no regular file.
#[derive(Debug, thiserror::Error)]
#[error("not a regular file")]
struct NotRegular;

/// Names the operation and the path of an I/O error.
pub(crate) trait Named<T> {
    fn named(self, operation: &'static str, path: &Path) -> Result<T, DiskError>;
}

impl<T> Named<T> for io::Result<T> {
    fn named(self, operation: &'static str, path: &Path) -> Result<T, DiskError> {
        self.map_err(|cause| DiskError { operation, path: path.to_owned(), cause: Arc::new(cause) })
    }
}

/// What an open file, or the file now found at a path, is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FileStat {
    /// The device and the inode: two files that are the same have the same.
    pub id: (u64, u64),
    /// The length in bytes.
    pub len: u64,
}

/// One name in a directory.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Listed {
    /// The name; one that is not UTF-8 has replacement characters, and so is found nowhere.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// What an opened file is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// Reading alone.
    Read,
    /// Reading, writing and syncing.
    Write,
}

/// A file system, as far as the log needs one. Calls block; they may come from several threads at once.
///
/// Nothing is durable before it is synced: neither what was written nor which name leads to which file.
pub trait Disk: Send + Sync {
    /// Makes a directory and those above it where missing, for the owner alone.
    fn create_dirs(&self, dir: &Path) -> io::Result<()>;

    /// Takes the lock of a file, which it makes where missing, until the value returned is dropped.
    ///
    /// Fails with [`io::ErrorKind::WouldBlock`] if another has it.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>>;

    /// The names in a directory, in any order.
    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>>;

    /// What is at a path now.
    fn stat(&self, path: &Path) -> io::Result<FileStat>;

    /// Opens a regular file that exists.
    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes an empty file, for the owner alone, in place of any that is there.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// A whole regular file of at most `limit` bytes; a longer one fails with [`io::ErrorKind::FileTooLarge`].
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>>;

    /// Gives a file another name, in place of any file that has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes the contents of these files, and the names in those of them that are directories, durable.
    fn sync(&self, paths: &[PathBuf]) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Reads at an offset; fewer bytes than fit, or none, at the end of the file.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at an offset; after an error any part of them may be there.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the file `len` bytes long, all zero and all with their place on the disk, durably.
    ///
    /// For a file that is empty, or zero.
    fn allocate(&self, len: u64, blocks: Blocks) -> io::Result<()>;

    /// Makes what was written durable.
    ///
    /// After an error nothing is known of what was written since the last success, and a second call that succeeds
    /// says nothing about it either. Each opening of a file learns of errors by itself.
    fn sync_data(&self) -> io::Result<()>;

    /// What the open file is.
    fn stat(&self) -> io::Result<FileStat>;
}

/// How a file gets its place on the disk.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Blocks {
    /// Quickly, where the file system can; the first write within it changes metadata.
    Reserved,
    /// By writing it: a later write changes no metadata, so that [`DiskFile::sync_data`] is one write.
    Written,
}

/// The file system of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn Send + Sync>> {
        let file = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Box::new(file))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<Listed>> {
        fs::read_dir(dir)?
            .map(|entry| {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                Ok(Listed { name, is_dir: entry.file_type()?.is_dir() })
            })
            .collect()
    }

    fn stat(&self, path: &Path) -> io::Result<FileStat> {
        fs::symlink_metadata(path).map(|metadata| stat_of(&metadata))
    }

    fn open(&self, path: &Path, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(open_regular(path, access)?)))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
        Ok(Arc::new(RealFile(file)))
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        use io::Read;
        let mut bytes = Vec::new();
        open_regular(path, Access::Read)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).is_ok_and(|len| len > limit) {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        fs::remove_dir(dir)
    }

    fn sync(&self, paths: &[PathBuf]) -> io::Result<()> {
        // Each fsync of a new file is a commit of the file system's journal; syncfs is one for all of them.
        match paths.first() {
            Some(first) if paths.len() > FEW_FILES => Ok(rustix::fs::syncfs(fs::File::open(first)?)?),
            _ => paths.iter().try_for_each(|path| fs::File::open(path)?.sync_all()),
        }
    }
}

/// Opens a regular file; a pipe in its place is not waited for.
fn open_regular(path: &Path, access: Access) -> io::Result<fs::File> {
    let flags = i32::try_from((OFlags::NONBLOCK | OFlags::NOCTTY).bits()).map_err(io::Error::other)?;
    let write = access == Access::Write;
    let file = fs::OpenOptions::new().read(true).write(write).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, NotRegular)) }
}

struct RealFile(fs::File);

impl DiskFile for RealFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn allocate(&self, len: u64, blocks: Blocks) -> io::Result<()> {
        // Finds out at once whether there is room. Not every file system can; writing the zeros finds it out too.
        match (rustix::fs::fallocate(&self.0, FallocateFlags::empty(), 0, len), blocks) {
            (Ok(()), Blocks::Reserved) => return self.0.sync_all(),
            (Ok(()), Blocks::Written) | (Err(Errno::OPNOTSUPP | Errno::NOSYS), _) => {}
            (Err(error), _) => return Err(error.into()),
        }
        let zeros = vec![0; ZEROS];
        let mut offset = 0;
        while offset < len {
            let count = usize::try_from(len - offset).map_or(ZEROS, |rest| rest.min(ZEROS));
            self.0.write_all_at(zeros.get(..count).unwrap_or(&zeros), offset)?;
            offset += u64::try_from(count).unwrap_or(len);
        }
        self.0.sync_all()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn stat(&self) -> io::Result<FileStat> {
        self.0.metadata().map(|metadata| stat_of(&metadata))
    }
}

fn stat_of(metadata: &fs::Metadata) -> FileStat {
    FileStat { id: (metadata.dev(), metadata.ino()), len: metadata.len() }
}

const FEW_FILES: usize = 8;
const ZEROS: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_allocated_is_zero_and_keeps_its_length_when_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let file = RealDisk.create(&path).unwrap();
        let len = u64::try_from(ZEROS).unwrap() + 100;
        file.allocate(len, Blocks::Written).unwrap();
        file.write_at(b"abc", 10).unwrap();
        file.sync_data().unwrap();
        assert_eq!(file.stat().unwrap(), RealDisk.stat(&path).unwrap());
        assert_eq!(file.stat().unwrap().len, len);
        let bytes = RealDisk.read(&path, len).unwrap();
        assert_eq!(&bytes[8..15], b"\0\0abc\0\0");
        assert_eq!(bytes.iter().filter(|byte| **byte != 0).count(), 3);
        assert_eq!(RealDisk.read(&path, len - 1).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn lock_held_is_not_given_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = RealDisk.lock(&path).unwrap();
        assert_eq!(RealDisk.lock(&path).err().unwrap().kind(), io::ErrorKind::WouldBlock);
        drop(held);
        assert!(RealDisk.lock(&path).is_ok());
    }

    #[test]
    fn file_replaced_has_another_id() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("a"), dir.path().join("b"));
        let open = RealDisk.create(&path).unwrap();
        RealDisk.create(&other).unwrap();
        RealDisk.rename(&other, &path).unwrap();
        assert_ne!(open.stat().unwrap().id, RealDisk.stat(&path).unwrap().id);
        RealDisk.sync(&[path, dir.path().to_owned()]).unwrap();
        let many: Vec<PathBuf> = (0..20).map(|i| dir.path().join(format!("{i}"))).collect();
        many.iter().for_each(|path| drop(RealDisk.create(path).unwrap()));
        RealDisk.sync(&many).unwrap();
        assert_eq!(RealDisk.list(dir.path()).unwrap().len(), 21);
    }
}
