//! What the log counts.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// Counters since the log was opened, and what waits now.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Stats {
    /// Entries synced.
    pub entries: u64,
    /// Batches written.
    pub batches: u64,
    /// Batches by their number of entries: up to 1, 2, 4 and so on to 4096, then more.
    pub batch_sizes: [u64; BUCKETS],
    /// Writes and syncs that failed.
    pub failures: u64,
    /// Entries whose callers were told that they are written, and which were then lost with the disk.
    pub lost: u64,
    /// Bytes of entries that wait, or are written and not synced.
    pub pending_bytes: u64,
    /// Attempts to publish that failed.
    pub publish_failures: u64,
    /// Syncs of segments.
    pub syncs: u64,
    /// How long they took together.
    pub sync_time: Duration,
    /// How long the last one took.
    pub last_sync_time: Duration,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) entries: AtomicU64,
    pub(crate) batches: AtomicU64,
    pub(crate) failures: AtomicU64,
    pub(crate) lost: AtomicU64,
    pub(crate) publish_failures: AtomicU64,
    batch_sizes: [AtomicU64; BUCKETS],
    syncs: AtomicU64,
    sync_nanos: AtomicU64,
    last_sync_nanos: AtomicU64,
}

impl Counters {
    pub(crate) fn count_batch(&self, entries: usize) {
        self.batches.fetch_add(1, Relaxed);
        let bucket = usize::try_from(entries.next_power_of_two().trailing_zeros()).unwrap_or(BUCKETS);
        if let Some(count) = self.batch_sizes.get(bucket.min(BUCKETS - 1)) {
            count.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn count_sync(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.syncs.fetch_add(1, Relaxed);
        self.sync_nanos.fetch_add(nanos, Relaxed);
        self.last_sync_nanos.store(nanos, Relaxed);
    }

    pub(crate) fn read(&self, pending_bytes: usize) -> Stats {
        Stats {
            entries: self.entries.load(Relaxed),
            batches: self.batches.load(Relaxed),
            batch_sizes: self.batch_sizes.each_ref().map(|count| count.load(Relaxed)),
            failures: self.failures.load(Relaxed),
            lost: self.lost.load(Relaxed),
            pending_bytes: u64::try_from(pending_bytes).unwrap_or(u64::MAX),
            publish_failures: self.publish_failures.load(Relaxed),
            syncs: self.syncs.load(Relaxed),
            sync_time: Duration::from_nanos(self.sync_nanos.load(Relaxed)),
            last_sync_time: Duration::from_nanos(self.last_sync_nanos.load(Relaxed)),
        }
    }
}

const BUCKETS: usize = 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_counted_in_the_bucket_of_their_size() {
        let counters = Counters::default();
        [1, 2, 3, 4, 5, 4096, 4097, 1 << 40].into_iter().for_each(|size| counters.count_batch(size));
        let stats = counters.read(7);
        assert_eq!((stats.batches, stats.pending_bytes), (8, 7));
        assert_eq!(stats.batch_sizes, [1, 1, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
    }
}
