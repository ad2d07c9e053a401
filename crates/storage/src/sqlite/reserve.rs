//! Space kept for commits that must not fail for want of it: a file beside the database that is cut shorter when the disk
//! is full.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// The file, and how much of it there is.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
    last_filled: Option<Instant>,
}

impl Reserve {
    /// Takes over or makes the file; without space it stays short until [`Reserve::tend`] finds some.
    pub(super) fn open(path: PathBuf) -> Reserve {
        let mut reserve = Reserve { path, bytes: 0, last_filled: None };
        reserve.fill();
        reserve
    }

    /// Gives a part back to the disk; `false` where nothing is left to give.
    pub(super) fn release(&mut self) -> bool {
        let left = self.bytes.saturating_sub(STEP);
        let cut = match left {
            0 => fs::remove_file(&self.path),
            _ => OpenOptions::new().write(true).open(&self.path).and_then(|file| file.set_len(left)),
        };
        let had_some = self.bytes > 0 && cut.is_ok();
        self.bytes = left;
        // Whoever asked needs the space before it is taken back.
        self.last_filled = Some(Instant::now());
        had_some
    }

    /// Takes back what was given, once there is space again; call it between two commits.
    pub(super) fn tend(&mut self) {
        if self.bytes < SIZE && self.last_filled.is_none_or(|last| last.elapsed() >= PAUSE) {
            self.fill();
        }
    }

    fn fill(&mut self) {
        self.last_filled = Some(Instant::now());
        match allocate(&self.path, self.bytes) {
            Ok(()) => self.bytes = SIZE,
            // What could not be had is not kept in part either: somebody else needs it more.
            Err(_) if self.bytes == 0 => drop(fs::remove_file(&self.path)),
            Err(_) => drop(OpenOptions::new().write(true).open(&self.path).map(|file| file.set_len(self.bytes))),
        }
    }
}

/// Makes the file [`SIZE`] long, with space on the disk behind it; `known` bytes of it have that already.
fn allocate(path: &Path, known: u64) -> io::Result<()> {
    let flags = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).map_err(io::Error::other)?;
    let file =
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(path)?;
    match fallocate(&file, FallocateFlags::empty(), 0, SIZE) {
        Ok(()) => {}
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeros(&file, known)?,
        Err(errno) => return Err(errno.into()),
    }
    file.set_len(SIZE)
}

fn write_zeros(mut file: &File, from: u64) -> io::Result<()> {
    io::Seek::seek(&mut file, io::SeekFrom::Start(from))?;
    io::copy(&mut io::Read::take(io::repeat(0), SIZE.saturating_sub(from)), &mut file)?;
    file.flush()
}

/// Room for a few dozen small commits.
const SIZE: u64 = 4 << 20;
/// Room for one commit, and the pages that the database grows by.
const STEP: u64 = 256 << 10;
/// How often space is looked for.
const PAUSE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn blocks(path: &Path) -> u64 {
        fs::metadata(path).map_or(0, |metadata| metadata.blocks() * 512)
    }

    #[test]
    fn reserve_has_its_space_and_gives_it_back_in_parts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reserve");
        let mut reserve = Reserve::open(path.clone());
        assert_eq!(blocks(&path), SIZE);
        let mut before = SIZE;
        while reserve.release() {
            assert!(blocks(&path) < before);
            before = blocks(&path);
        }
        assert!(!path.exists());
        // Not at once, or the space would be gone before it is used.
        reserve.tend();
        assert!(!path.exists());
        reserve.last_filled = None;
        reserve.tend();
        assert_eq!(blocks(&path), SIZE);
    }

    #[test]
    fn reserve_left_short_by_an_earlier_run_is_filled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("reserve");
        fs::write(&path, [0; 10]).unwrap();
        drop(Reserve::open(path.clone()));
        assert_eq!((blocks(&path), fs::metadata(&path).unwrap().len()), (SIZE, SIZE));
    }
}
