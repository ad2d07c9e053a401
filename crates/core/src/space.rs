//! Free disk space: below a first mark changes are refused, below a second one reads too, so that seal and
//! revoke always have room for their records.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use coffer_api::Code;

use crate::Error;

/// A threshold: the smaller of a share of the filesystem and a number of bytes.
#[derive(Clone, Copy, Debug)]
pub struct FreeSpace {
    /// Percent of the filesystem.
    pub percent: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Watches the filesystems of the store and the log.
pub(crate) struct Space {
    watched: Vec<PathBuf>,
    changes: FreeSpace,
    reads: FreeSpace,
    /// Free bytes above the threshold for changes and for reads, at the last look (0 = below).
    above_changes: AtomicU64,
    above_reads: AtomicU64,
}

impl Space {
    pub(crate) fn new(watched: Vec<PathBuf>, changes: FreeSpace, reads: FreeSpace) -> Self {
        let most = u64::MAX;
        let space =
            Self { watched, changes, reads, above_changes: AtomicU64::new(most), above_reads: AtomicU64::new(most) };
        space.look();
        space
    }

    /// Asks the filesystems again; call it each second.
    pub(crate) fn look(&self) {
        let mut changes = u64::MAX;
        let mut reads = u64::MAX;
        for path in &self.watched {
            if let Some((free, total)) = free_and_total(path) {
                changes = changes.min(free.saturating_sub(self.changes.of(total)));
                reads = reads.min(free.saturating_sub(self.reads.of(total)));
            }
        }
        self.above_changes.store(changes, Ordering::Relaxed);
        self.above_reads.store(reads, Ordering::Relaxed);
    }

    /// # Errors
    /// [`Code::DiskFull`] while there is too little space for changes.
    pub(crate) fn check_change(&self) -> Result<(), Error> {
        refuse_at_zero(&self.above_changes, "changes are refused: the disk is nearly full; free some space")
    }

    /// # Errors
    /// [`Code::DiskFull`] while there is too little space even for the records of reads.
    pub(crate) fn check_read(&self) -> Result<(), Error> {
        refuse_at_zero(&self.above_reads, "requests are refused: the disk is full; free some space")
    }
}

impl FreeSpace {
    fn of(self, total: u64) -> u64 {
        (total / 100).saturating_mul(self.percent).min(self.bytes)
    }
}

fn refuse_at_zero(above: &AtomicU64, message: &'static str) -> Result<(), Error> {
    match above.load(Ordering::Relaxed) {
        0 => Err(Error::new(Code::DiskFull, message)),
        _ => Ok(()),
    }
}

fn free_and_total(path: &Path) -> Option<(u64, u64)> {
    let stat = rustix::fs::statvfs(path).ok()?;
    Some((stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threshold_is_the_smaller_of_share_and_bytes() {
        let five_percent_or_gib = FreeSpace { percent: 5, bytes: 1 << 30 };
        assert_eq!(five_percent_or_gib.of(1000), 50);
        assert_eq!(five_percent_or_gib.of(1 << 40), 1 << 30);
    }

    #[test]
    fn changes_are_refused_before_reads() {
        let dir = tempfile::tempdir().unwrap();
        let none = FreeSpace { percent: 0, bytes: 0 };
        let all = FreeSpace { percent: 100, bytes: u64::MAX };
        let space = Space::new(vec![dir.path().to_owned()], all, none);
        assert!(space.check_change().is_err() && space.check_read().is_ok());
        let space = Space::new(vec![dir.path().to_owned()], all, all);
        assert!(space.check_read().is_err());
    }
}
