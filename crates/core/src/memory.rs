//! Keys in pages that could not be locked: said once, whenever that first happens.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether it was said.
#[derive(Default)]
pub(crate) struct Unlocked(AtomicBool);

impl Unlocked {
    /// What to say, the first time that there is something.
    pub(crate) fn warning(&self) -> Option<&'static str> {
        let news = coffer_crypto::lock_failures() > 0 && !self.0.swap(true, Ordering::Relaxed);
        news.then_some(
            "memory could not be locked: keys may be written to swap; raise RLIMIT_MEMLOCK or switch swap off",
        )
    }
}
