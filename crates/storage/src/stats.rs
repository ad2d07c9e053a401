//! Counters of what a store has done since it was opened.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::batch::{Batch, Change};
use crate::entry::Revision;
use crate::error::Error;

/// What a store has done since it was opened; every count only grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Batches committed.
    pub commits: u64,
    /// Batches refused because a precondition did not hold.
    pub conflicts: u64,
    /// Batches refused because their epoch was over.
    pub fenced: u64,
    /// Batches that failed for any other reason, unknown outcomes included.
    pub failures: u64,
    /// Transactions that carried at least one batch to disk.
    pub groups: u64,
    /// Those transactions by how many batches they committed: index `i` counts sizes of `2^i` up to `2^(i+1) - 1`.
    pub group_sizes: [u64; 12],
    /// Entries written by committed batches.
    pub rows_written: u64,
    /// Deletions in committed batches, also of what was not there.
    pub rows_deleted: u64,
    /// Bytes of keys and values in committed batches.
    pub bytes_written: u64,
    /// Checkpoints completed (SQLite).
    pub checkpoints: u64,
    /// Checkpoints that failed and will be tried again (SQLite).
    pub checkpoint_failures: u64,
    /// Connections lost and given up (PostgreSQL).
    pub losses: u64,
    /// Bytes of the write-ahead log file now, where the store is a file.
    pub wal_bytes: Option<u64>,
    /// Bytes of the database file now, where the store is a file.
    pub file_bytes: Option<u64>,
}

/// The live counters behind [`Stats`]; shared by all tasks of one store.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    commits: Counter,
    conflicts: Counter,
    fenced: Counter,
    failures: Counter,
    groups: Counter,
    group_sizes: [Counter; 12],
    rows_written: Counter,
    rows_deleted: Counter,
    bytes_written: Counter,
    pub(crate) checkpoints: Counter,
    pub(crate) checkpoint_failures: Counter,
    pub(crate) losses: Counter,
}

impl Counters {
    /// Counts what became of a batch of `size` bytes.
    pub(crate) fn count(&self, batch: &Batch, size: usize, outcome: &Result<Revision, Error>) {
        match outcome {
            Ok(_) => self.count_changes(batch, size),
            Err(Error::Conflict) => self.conflicts.add(1),
            Err(Error::Fenced) => self.fenced.add(1),
            Err(
                Error::Corrupt { .. }
                | Error::Full
                | Error::Invalid(_)
                | Error::Locked { .. }
                | Error::Outgrown
                | Error::TooLarge { .. }
                | Error::Unavailable { .. }
                | Error::Unknown { .. }
                | Error::Unsafe { .. },
            ) => self.failures.add(1),
        }
    }

    fn count_changes(&self, batch: &Batch, size: usize) {
        self.commits.add(1);
        self.bytes_written.add(size);
        for change in &batch.changes {
            match change {
                Change::Check { .. } => {}
                Change::Delete { .. } => self.rows_deleted.add(1),
                Change::Put { .. } => self.rows_written.add(1),
            }
        }
    }

    /// Counts one transaction that committed `batches` of them.
    pub(crate) fn count_group(&self, batches: usize) {
        let Some(power) = batches.checked_ilog2() else { return };
        self.groups.add(1);
        let bucket = usize::try_from(power).unwrap_or(usize::MAX).min(self.group_sizes.len() - 1);
        if let Some(counter) = self.group_sizes.get(bucket) {
            counter.add(1);
        }
    }

    /// The counts as they are; the file sizes are the engine's to fill in.
    pub(crate) fn read(&self) -> Stats {
        Stats {
            commits: self.commits.read(),
            conflicts: self.conflicts.read(),
            fenced: self.fenced.read(),
            failures: self.failures.read(),
            groups: self.groups.read(),
            group_sizes: self.group_sizes.each_ref().map(Counter::read),
            rows_written: self.rows_written.read(),
            rows_deleted: self.rows_deleted.read(),
            bytes_written: self.bytes_written.read(),
            checkpoints: self.checkpoints.read(),
            checkpoint_failures: self.checkpoint_failures.read(),
            losses: self.losses.read(),
            wal_bytes: None,
            file_bytes: None,
        }
    }
}

/// One count.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`.
    pub(crate) fn add(&self, count: usize) {
        self.0.fetch_add(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_sizes_fall_into_power_of_two_buckets() {
        let counters = Counters::default();
        for size in [0, 1, 2, 3, 4, 1_000_000] {
            counters.count_group(size);
        }
        let stats = counters.read();
        assert_eq!(stats.groups, 5);
        assert_eq!(stats.group_sizes, [1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    }
}
