//! How long the log thread waits for a batch to fill: not at all on a fast disk or for a lone caller, and on a slow
//! disk at most as long as a sync takes.

use std::time::Duration;

use super::queue::Linger;

/// Follows the time that syncs take and the number of callers that come back.
pub(crate) struct Pace {
    sync_time: Duration,
    /// The callers seen at work at the same time, decaying.
    callers: usize,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { sync_time: Duration::ZERO, callers: 1 }
    }

    /// Notes how long a sync took.
    pub(crate) fn sync_done(&mut self, took: Duration) {
        self.sync_time = (self.sync_time * 7 + took) / 8;
    }

    /// Notes how many calls a batch had, and how many came while it was written.
    pub(crate) fn batch_done(&mut self, calls: usize, waiting: usize) {
        self.callers = (calls + waiting).max(self.callers - self.callers.div_ceil(8)).max(1);
    }

    /// What the next batch waits for.
    pub(crate) fn linger(&self) -> Linger {
        let slow = self.sync_time >= FAST_SYNC && self.callers > 1;
        let limit = if slow { self.sync_time.min(LONGEST) } else { Duration::ZERO };
        let relaxed = if self.callers >= MANY { RELAXED } else { Duration::ZERO };
        Linger { calls: self.callers, limit, quiet: limit / QUIET_PARTS, relaxed }
    }
}

/// Below this, a sync costs about as much as the wake-ups that it would save.
const FAST_SYNC: Duration = Duration::from_micros(250);
const LONGEST: Duration = Duration::from_millis(50);
/// From so many callers on, a signature of their own each is dearer than waiting for company.
const MANY: usize = 4;
const RELAXED: Duration = Duration::from_micros(300);
/// The part of a sync's time after which a batch that does not grow goes.
const QUIET_PARTS: u32 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(sync: Duration, batches: &[(usize, usize)]) -> Linger {
        let mut pace = Pace::new();
        for _ in 0..100 {
            pace.sync_done(sync);
        }
        batches.iter().for_each(|(calls, waiting)| pace.batch_done(*calls, *waiting));
        pace.linger()
    }

    #[test]
    fn linger_on_a_fast_disk_is_none() {
        assert_eq!(pace(Duration::from_micros(100), &[(30, 34)]).limit, Duration::ZERO);
    }

    #[test]
    fn linger_for_a_lone_caller_is_none() {
        assert_eq!(pace(Duration::from_millis(5), &[(1, 0), (1, 0)]).limit, Duration::ZERO);
        // Others have been there and are gone.
        assert_eq!(pace(Duration::from_millis(5), &[&[(8, 8)][..], &[(1, 0); 40]].concat()).limit, Duration::ZERO);
    }

    #[test]
    fn linger_without_a_sync_is_for_many_callers_only() {
        assert_eq!(pace(Duration::from_micros(100), &[(1, 1)]).relaxed, Duration::ZERO);
        assert_eq!(pace(Duration::from_micros(100), &[(3, 1)]).relaxed, RELAXED);
    }

    #[test]
    fn linger_on_a_slow_disk_is_at_most_a_sync_and_until_the_callers_are_back() {
        let linger = pace(Duration::from_millis(5), &[(30, 34)]);
        assert_eq!(linger.calls, 64);
        assert!(linger.limit > Duration::from_millis(4) && linger.limit <= Duration::from_millis(5));
        assert_eq!(pace(Duration::from_secs(5), &[(30, 34)]).limit, LONGEST);
    }
}
