//! How long this node may answer: the holder's own limit on its leadership, by the monotonic clock.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use coffer_api::Code;
use rustix::time::{ClockId, clock_gettime};

use crate::Error;

/// The leader row is held for this long...
pub(crate) const LEASE: Duration = Duration::from_secs(4);
/// ...renewed this often...
pub(crate) const RENEW_EVERY: Duration = Duration::from_secs(1);
/// ...and no longer trusted this long before it ends.
pub(crate) const MARGIN: Duration = Duration::from_secs(2);

const FOR_EVER: i64 = i64::MAX;

/// Until when this node may answer. CLOCK_BOOTTIME, so that neither a stopped process nor a suspended machine
/// comes back believing that it leads.
pub(crate) struct Lease {
    until_ms: AtomicI64,
}

impl Lease {
    /// For a store that only one process can open: the lock is the lease.
    pub(crate) fn exclusive() -> Self {
        Self { until_ms: AtomicI64::new(FOR_EVER) }
    }

    /// A lease that was asked for at `asked` (from [`monotonic_ms`]) and granted since.
    pub(crate) fn granted(asked: i64) -> Self {
        Self { until_ms: AtomicI64::new(limit(asked)) }
    }

    /// Renewed: the answer to a question asked at `asked`.
    pub(crate) fn renewed(&self, asked: i64) {
        // A lease once lost stays lost: only a new epoch makes a new one.
        let _ = self
            .until_ms
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |until| (until != 0).then(|| until.max(limit(asked))));
    }

    /// Gives up at once.
    pub(crate) fn lose(&self) {
        self.until_ms.store(0, Ordering::Release);
    }

    /// Whether this node gave up or was told that another one leads.
    pub(crate) fn is_lost(&self) -> bool {
        self.until_ms.load(Ordering::Acquire) == 0
    }

    /// # Errors
    /// [`Code::Unavailable`] once the lease may have passed to another node.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let until = self.until_ms.load(Ordering::Acquire);
        if until == FOR_EVER || monotonic_ms() < until {
            return Ok(());
        }
        Err(Error::new(Code::Unavailable, "this node is not sure that it still leads; try again"))
    }
}

/// Milliseconds since boot, suspends included.
pub(crate) fn monotonic_ms() -> i64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec.saturating_mul(1000).saturating_add(now.tv_nsec / 1_000_000)
}

fn limit(asked: i64) -> i64 {
    let trusted = LEASE.saturating_sub(MARGIN).as_millis();
    asked.saturating_add(i64::try_from(trusted).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lease_asked_too_long_ago_is_refused() {
        assert!(Lease::granted(monotonic_ms()).check().is_ok());
        assert!(Lease::granted(monotonic_ms() - 2_001).check().is_err());
        assert!(Lease::exclusive().check().is_ok());
    }

    #[test]
    fn lost_lease_is_not_renewed() {
        let lease = Lease::granted(monotonic_ms());
        lease.lose();
        lease.renewed(monotonic_ms());
        assert!(lease.check().is_err());
    }
}
