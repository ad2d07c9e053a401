//! Counters of the core, in Prometheus text.

use std::{
    fmt::Write,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{Core, memory::Unlocked};

/// A number that others read while it changes.
#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

/// Everything counted in the core.
#[derive(Default)]
pub(crate) struct Metrics {
    /// When the newest backup of the schedule was made, UTC milliseconds; 0 = there is none.
    pub(crate) backup_last_ms: Counter,
    pub(crate) backup_failures: Counter,
    pub(crate) backup_removal_failures: Counter,
    pub(crate) backups: Counter,
    pub(crate) cache_hits: Counter,
    pub(crate) cache_misses: Counter,
    pub(crate) denied: Counter,
    pub(crate) unauthenticated: Counter,
    pub(crate) scrub_elsewhere: Counter,
    pub(crate) scrub_findings: Counter,
    pub(crate) scrub_rounds: Counter,
    pub(crate) scrubbed: Counter,
    pub(crate) sweep_visited: Counter,
    pub(crate) takeovers: Counter,
    pub(crate) unlocked: Unlocked,
}

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Core {
    /// Everything counted, in Prometheus text (docs/API.md, "Metrics").
    pub fn metrics(&self) -> String {
        let mut out = Exposition::default();
        let metrics = &self.metrics;
        let active = self.active().ok();
        out.gauge("coffer_active", "Whether this node is active (1) or not (0).", u64::from(active.is_some()));
        out.gauge(
            "coffer_clock_in_doubt",
            "Whether the clock is in doubt.",
            u64::from(self.clock.load().is_in_doubt()),
        );
        out.counter(
            "coffer_memory_lock_failures_total",
            "Key pages that could not be locked.",
            coffer_crypto::lock_failures(),
        );
        out.counter("coffer_cache_hits_total", "Sealed entries found in the cache.", metrics.cache_hits.value());
        out.counter("coffer_cache_misses_total", "Sealed entries read from the store.", metrics.cache_misses.value());
        out.counter("coffer_denied_total", "Logical requests that policies refused.", metrics.denied.value());
        out.counter("coffer_unauthenticated_total", "Requests without a valid token.", metrics.unauthenticated.value());
        out.counter("coffer_leadership_lost_total", "Times this node lost the leadership.", metrics.takeovers.value());
        out.counter("coffer_scrub_checked_total", "Entries of log and store re-verified.", metrics.scrubbed.value());
        out.gauge("coffer_scrub_findings", "Entries that failed re-verification.", metrics.scrub_findings.value());
        out.gauge(
            "coffer_scrub_recorded_elsewhere",
            "Entries that the last round could not compare: other nodes' logs have their records.",
            metrics.scrub_elsewhere.value(),
        );
        out.counter(
            "coffer_scrub_rounds_total",
            "Rounds of re-verification that came to their end.",
            metrics.scrub_rounds.value(),
        );
        out.counter(
            "coffer_sweep_visited_total",
            "Places in indexes of expiry that a sweep looked at: those due, and of the minute that runs.",
            metrics.sweep_visited.value(),
        );
        out.counter("coffer_backups_total", "Scheduled backups made.", metrics.backups.value());
        out.counter("coffer_backup_failures_total", "Scheduled backups that failed.", metrics.backup_failures.value());
        out.counter(
            "coffer_backup_removal_failures_total",
            "Removals of scheduled backups, or of their object keys, that failed.",
            metrics.backup_removal_failures.value(),
        );
        out.gauge(
            "coffer_backup_last_timestamp_seconds",
            "When the newest good backup in the schedule's folder was made, Unix time; 0 = there is none.",
            metrics.backup_last_ms.value() / 1000,
        );
        let store = self.store.stats();
        out.counter("coffer_store_commits_total", "Batches committed.", store.commits);
        out.counter("coffer_store_conflicts_total", "Batches refused by a precondition.", store.conflicts);
        out.counter("coffer_store_rows_total", "Rows written.", store.rows_written);
        out.histogram(
            "coffer_store_group_batches",
            "Batches per transaction.",
            &store.group_sizes,
            |i| (2 << i) - 1,
            store.commits,
        );
        if let Some(bytes) = store.wal_bytes {
            out.gauge("coffer_store_wal_bytes", "Size of SQLite's write-ahead log.", bytes);
        }
        if let Some(bytes) = store.file_bytes {
            out.gauge("coffer_store_bytes", "Size of the database.", bytes);
        }
        if let Some(active) = active {
            let log = active.log.stats();
            out.gauge("coffer_log_entries", "Entries in this node's audit log.", active.log.head().size);
            out.counter("coffer_log_syncs_total", "Syncs of the audit log.", log.syncs);
            out.counter("coffer_log_sync_microseconds_total", "Time spent in them.", micros(log.sync_time));
            out.gauge("coffer_log_last_sync_microseconds", "Time the last one took.", micros(log.last_sync_time));
            out.counter("coffer_log_failures_total", "Writes and syncs of the log that failed.", log.failures);
            out.gauge("coffer_log_pending_bytes", "Bytes of records that wait or are not synced.", log.pending_bytes);
            out.histogram("coffer_log_batch_entries", "Records per sync.", &log.batch_sizes, |i| 1 << i, log.entries);
            out.gauge("coffer_outbox_rows", "Outbox rows not yet deleted.", size(active.outbox.depth()));
            out.gauge("coffer_barrier_term", "Number of the barrier's term.", u64::from(active.barrier.term()));
            out.gauge("coffer_barrier_seals_reserved", "Seals reserved for the term.", active.barrier.seals());
            out.gauge("coffer_cache_bytes", "Size of the cache of sealed entries.", active.cache.weight());
            out.gauge("coffer_token_cache_bytes", "Size of the cache of tokens.", active.tokens.weight());
        }
        out.0
    }
}

/// Prometheus text in the making.
#[derive(Default)]
struct Exposition(String);

impl Exposition {
    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.sample(name, value);
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "gauge", help);
        self.sample(name, value);
    }

    /// A histogram whose bucket `i` counts observations up to `bound(i)` and the last one all others.
    fn histogram(&mut self, name: &str, help: &str, buckets: &[u64], bound: impl Fn(usize) -> u128, sum: u64) {
        self.family(name, "histogram", help);
        let mut total = 0;
        for (i, count) in buckets.iter().enumerate() {
            total += count;
            if i + 1 < buckets.len() {
                let _ = writeln!(self.0, "{name}_bucket{{le=\"{}\"}} {total}", bound(i));
            }
        }
        let _ = writeln!(self.0, "{name}_bucket{{le=\"+Inf\"}} {total}\n{name}_sum {sum}\n{name}_count {total}");
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, value: u64) {
        let _ = writeln!(self.0, "{name} {value}");
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn size(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
