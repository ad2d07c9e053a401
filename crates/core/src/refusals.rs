//! Refusals of callers without a valid token: single records up to a rate, then one counted summary a second, so
//! that a flood neither fills the log nor slows anybody else.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::{
    active::Active,
    lease::monotonic_ms,
    record::{Outcome, Record},
};

/// Single records a second.
const SINGLE: u32 = 100;

/// Counts the refusals of the current second.
#[derive(Default)]
pub(crate) struct Refusals {
    inner: Mutex<Second>,
}

#[derive(Default)]
struct Second {
    began: i64,
    single: u32,
    counted: u64,
}

impl Refusals {
    /// Whether this refusal gets a record of its own; else it is counted.
    pub(crate) fn is_single(&self) -> bool {
        let now = monotonic_ms();
        let mut second = self.inner.lock();
        if now - second.began >= 1000 {
            second.began = now;
            second.single = 0;
        }
        if second.single < SINGLE {
            second.single += 1;
            return true;
        }
        second.counted += 1;
        false
    }

    fn take_counted(&self) -> u64 {
        std::mem::take(&mut self.inner.lock().counted)
    }
}

/// Logs what was only counted since the last call.
pub(crate) async fn summarise(active: &Arc<Active>) {
    let count = active.refusals.take_counted();
    if count > 0 {
        let mut record = Record::system("auth.refused").fact("count", count.to_string());
        record.outcome = Outcome::Denied;
        if let Err(error) = active.log_synced(&record).await {
            active.refusals.inner.lock().counted += count;
            tracing::warn!(cause = ?error, count, "a summary of refusals could not be logged; the next one counts them");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_rate_refusals_are_counted() {
        let refusals = Refusals::default();
        let single = (0..1000).filter(|_| refusals.is_single()).count();
        assert!((100..=200).contains(&single), "{single}");
        assert_eq!(refusals.take_counted(), 1000 - u64::try_from(single).unwrap());
        assert_eq!(refusals.take_counted(), 0);
    }
}
