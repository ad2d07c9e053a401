//! Files of any size on their way through a command: from a file or stdin, to a file that appears whole or not at all, or to
//! stdout.

use std::{
    fs::File,
    io::{self, IsTerminal, Read, Write},
    num::NonZeroU64,
    os::{
        fd::{AsFd, AsRawFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{Access, Advice, AtFlags, CWD, Mode, OFlags},
    process::geteuid,
};

use crate::{
    behind::Behind,
    failure::Failure,
    output::{Output, Progress},
    token_file::{beside, parent},
};

/// What a command reads.
pub(crate) struct Source {
    reader: Box<dyn Read>,
    name: String,
    /// Where that is known.
    size: Option<u64>,
    progress: Option<Progress>,
}

/// Where a command writes. Dropped without [`Self::finish`], nothing of it is left, and a file that was there before is as it was;
/// but what went to stdout, a device or a pipe is out.
pub(crate) struct Target {
    writer: Behind,
    place: Place,
    name: String,
}

/// Who may read a new file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Readers {
    /// As the process's mask has it.
    AsUsual,
    /// Its owner alone.
    Owner,
}

/// Permissions of a new file, as three octal digits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct FileMode(u32);

/// Parses `0600` or `600`, for an option.
///
/// # Errors
/// Where it is no such number, or its owner could not read the file.
pub(crate) fn file_mode(text: &str) -> Result<FileMode, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    match u32::from_str_radix(digits, 8) {
        Ok(mode) if (3..=4).contains(&digits.len()) && mode <= 0o777 && mode & 0o400 != 0 => Ok(FileMode(mode)),
        Ok(_) | Err(_) => Err("permissions are three octal digits that let the owner read, as 0600".to_owned()),
    }
}

enum Place {
    /// A device or a pipe.
    Device,
    /// A file that takes this path's place. Until then it has the temporary name, or none at all where the file system knows such
    /// files, which end with the process however that ends.
    File {
        path: PathBuf,
        temporary: Option<PathBuf>,
    },
    Stdout,
}

impl Source {
    /// A file, or stdin for `-`. Where nothing is named, stdin is meant unless it is a terminal.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        match path {
            Some(path) if path != Path::new("-") => {
                let name = path.display().to_string();
                let file = File::open(path).map_err(|error| Failure::io(format!("cannot read {name}"), &error))?;
                let size = file.metadata().ok().filter(|found| found.is_file()).map(|found| found.len());
                Ok(Self { reader: Box::new(file), name, size, progress: None })
            }
            None if io::stdin().is_terminal() => {
                Err(Failure::local("nothing to read").hint("name a file with --in, or pipe it in"))
            }
            Some(_) | None => {
                let reader = Box::new(io::stdin().lock());
                Ok(Self { reader, name: "stdin".to_owned(), size: None, progress: None })
            }
        }
    }

    /// Shows on a terminal how much of it is read.
    pub(crate) fn watch(&mut self, output: &Output, doing: &str) {
        self.progress = Some(output.progress(doing, self.size));
    }

    /// As people know it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Reading it failed.
    pub(crate) fn failed(&self, error: &io::Error) -> Failure {
        Failure::io(format!("cannot read {}", self.name), error)
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        if let Some(progress) = &mut self.progress {
            progress.add(u64::try_from(read).unwrap_or(0));
        }
        Ok(read)
    }
}

impl Target {
    /// A file, or stdout for `-` and where nothing is named.
    ///
    /// # Errors
    /// Where there is a directory, or nothing can be written.
    pub(crate) fn open(path: Option<&Path>, readers: Readers) -> Result<Self, Failure> {
        let Some(path) = path.filter(|path| *path != Path::new("-")) else {
            let stdout = io::stdout().as_fd().try_clone_to_owned().map_err(|error| Failure::stdout(&error))?;
            return Ok(Self::new(File::from(stdout), Place::Stdout, "stdout".to_owned()));
        };
        let name = path.display().to_string();
        let failed = |error: &io::Error| Failure::io(format!("cannot write {}", path.display()), error);
        let path = match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => return Err(failed(&io::ErrorKind::IsADirectory.into())),
            // What a link points to is replaced, and the link stays.
            Ok(found) if found.is_file() => {
                let path = path.canonicalize().map_err(|error| failed(&error))?;
                // It is replaced: its own permissions say nothing, but where it is somebody else's they are respected.
                let asked = if found.uid() == geteuid().as_raw() { parent(&path) } else { &path };
                rustix::fs::access(asked, Access::WRITE_OK).map_err(|error| failed(&error.into()))?;
                path
            }
            Ok(_) => {
                let file = File::options().write(true).open(path).map_err(|error| failed(&error))?;
                return Ok(Self::new(file, Place::Device, name));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.file_name().is_some() => path.to_owned(),
            Err(error) => return Err(failed(&error)),
        };
        let mode = Mode::from_raw_mode(match readers {
            Readers::AsUsual => 0o666,
            Readers::Owner => 0o600,
        });
        let nameless = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        if let Ok(file) = rustix::fs::open(parent(&path), nameless, mode) {
            return Ok(Self::new(File::from(file), Place::File { path, temporary: None }, name));
        }
        let new = beside(&path);
        let named = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::open(&new, named, mode).map_err(|error| failed(&error.into()))?;
        Ok(Self::new(File::from(file), Place::File { path, temporary: Some(new) }, name))
    }

    /// A file gets these permissions, whatever the process's mask is; stdout, devices and pipes keep theirs.
    ///
    /// # Errors
    /// Where the system refuses.
    pub(crate) fn with_mode(self, mode: FileMode) -> Result<Self, Failure> {
        match self.place {
            Place::File { .. } => rustix::fs::fchmod(self.writer.file(), Mode::from_raw_mode(mode.0))
                .map_err(|error| self.failed(&error.into()))?,
            Place::Device | Place::Stdout => {}
        }
        Ok(self)
    }

    /// The file that this will be, as it was named; none for stdout, devices and pipes.
    pub(crate) fn file(&self) -> Option<&str> {
        match self.place {
            Place::File { .. } => Some(&self.name),
            Place::Device | Place::Stdout => None,
        }
    }

    /// Whether this is stdout.
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self.place, Place::Stdout)
    }

    /// Writing it failed.
    pub(crate) fn failed(&self, error: &io::Error) -> Failure {
        match self.place {
            Place::Device | Place::File { .. } => Failure::io(format!("cannot write {}", self.name), error),
            Place::Stdout => Failure::stdout(error),
        }
    }

    /// All is written: a file takes its place, synced.
    ///
    /// # Errors
    /// Where the system refuses: then nothing of it is left, or, where only the folder could not be synced, it is whole.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.writer.flush().and_then(|()| self.settle()).map_err(|error| self.failed(&error))
    }

    fn new(file: File, place: Place, name: String) -> Self {
        let written = match place {
            Place::File { .. } => begin_writing,
            Place::Device | Place::Stdout => |_: &File, _| {},
        };
        Self { writer: Behind::new(file, written), place, name }
    }

    fn settle(&mut self) -> io::Result<()> {
        let file = self.writer.file();
        let Place::File { path, temporary } = &mut self.place else { return Ok(()) };
        file.sync_all()?;
        let new = match temporary {
            Some(new) => new.clone(),
            None => {
                let new = beside(path);
                let nameless = format!("/proc/self/fd/{}", file.as_raw_fd());
                rustix::fs::linkat(CWD, nameless, CWD, &new, AtFlags::SYMLINK_FOLLOW)?;
                temporary.insert(new).clone()
            }
        };
        std::fs::rename(&new, &*path)?;
        *temporary = None;
        File::open(parent(path)).and_then(|directory| directory.sync_all())
    }
}

impl Write for Target {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.writer.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Place::File { temporary: Some(new), .. } = &self.place {
            // Nothing more can be done where even this fails.
            let _ = std::fs::remove_file(new);
        }
    }
}

/// Has the system begin to write a file to its disk while more of it is made: the sync at its end then waits for little.
fn begin_writing(file: &File, len: u64) {
    if len.is_multiple_of(STRETCH) {
        // Linux writes what it is told will not be needed. It is advice: the sync at the end is what counts.
        let _ = rustix::fs::fadvise(file, len.saturating_sub(STRETCH), NonZeroU64::new(STRETCH), Advice::DontNeed);
    }
}

/// Bytes after which the system begins to write: a number of whole buffers, as they are written one by one.
const STRETCH: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;
    use crate::behind::BUFFER;

    fn written(path: &Path, readers: Readers, text: &str) {
        let mut target = Target::open(Some(path), readers).unwrap();
        target.write_all(text.as_bytes()).unwrap();
        target.finish().unwrap();
    }

    #[test]
    fn file_appears_whole_at_the_end_and_private_where_asked() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let mut target = Target::open(Some(&path), Readers::Owner).unwrap();
        target.write_all(&vec![b'a'; 2 * BUFFER]).unwrap();
        assert!(!path.exists());
        target.finish().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), u64::try_from(2 * BUFFER).unwrap());
        written(&path, Readers::Owner, "again");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "again");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn file_gets_the_permissions_asked_for_whatever_the_mask_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        for (text, mode) in [("0600", 0o600), ("640", 0o640), ("0777", 0o777), ("0400", 0o400)] {
            let target =
                Target::open(Some(&path), Readers::Owner).unwrap().with_mode(file_mode(text).unwrap()).unwrap();
            target.finish().unwrap();
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
            std::fs::remove_file(&path).unwrap();
        }
        for bad in ["", "6", "0200", "1777", "07777", "888", "-600", "rw-------"] {
            assert!(file_mode(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn file_that_is_not_finished_leaves_the_old_one_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        std::fs::write(&path, "old").unwrap();
        let mut target = Target::open(Some(&path), Readers::AsUsual).unwrap();
        target.write_all(&vec![b'a'; 2 * BUFFER]).unwrap();
        drop(target);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn link_stays_and_what_it_points_to_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (real, link) = (directory.path().join("real"), directory.path().join("link"));
        std::fs::write(&real, "old").unwrap();
        symlink(&real, &link).unwrap();
        written(&link, Readers::AsUsual, "new");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(std::fs::read_to_string(&real).unwrap(), "new");
    }

    #[test]
    fn device_is_written_to_and_never_replaced() {
        let before = std::fs::metadata("/dev/null").unwrap().ino();
        written(Path::new("/dev/null"), Readers::Owner, "gone");
        assert_eq!(std::fs::metadata("/dev/null").unwrap().ino(), before);
        let mut full = Target::open(Some(Path::new("/dev/full")), Readers::Owner).unwrap();
        full.write_all(b"x").unwrap();
        assert_eq!(full.finish().unwrap_err().what(), "cannot write /dev/full: no space left on device");
    }

    #[test]
    fn places_where_nothing_can_be_written_are_refused_at_once() {
        let directory = tempfile::tempdir().unwrap();
        for bad in [directory.path().to_owned(), directory.path().join("none/out"), PathBuf::from("/"), PathBuf::new()]
        {
            assert!(Target::open(Some(&bad), Readers::Owner).is_err(), "{}", bad.display());
        }
        assert!(Source::open(Some(&directory.path().join("none"))).is_err());
    }
}
