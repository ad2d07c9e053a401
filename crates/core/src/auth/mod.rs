//! Login methods.

pub(crate) mod userpass;

use std::collections::HashMap;

use coffer_api::Code;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::{Error, lease::monotonic_ms};

/// Failures before a lockout...
const FAILURES: u32 = 5;
/// ...within this window, and how long it lasts, in milliseconds.
const WINDOW: i64 = 15 * 60 * 1000;
/// Failing names remembered at most; the oldest are forgotten.
const MAX_REMEMBERED: usize = 10_000;
/// Password hashes computed at once: each takes 19 MiB and a core.
const HASHES: usize = 2;

/// Failed logins by name, and the bound on password hashing.
pub(crate) struct Logins {
    failures: Mutex<HashMap<String, Failures>>,
    hashing: Semaphore,
}

struct Failures {
    count: u32,
    last: i64,
}

impl Logins {
    pub(crate) fn new() -> Self {
        Self { failures: Mutex::default(), hashing: Semaphore::new(HASHES) }
    }

    /// # Errors
    /// [`Code::Unauthenticated`] while the name is locked out.
    pub(crate) fn check(&self, name: &str) -> Result<(), Error> {
        let locked = self.failures.lock().get(name).is_some_and(|failures| {
            failures.count >= FAILURES && monotonic_ms().saturating_sub(failures.last) < WINDOW
        });
        if locked { Err(Error::new(Code::Unauthenticated, "permission denied")) } else { Ok(()) }
    }

    pub(crate) fn failed(&self, name: &str) {
        let now = monotonic_ms();
        let mut failures = self.failures.lock();
        if failures.len() >= MAX_REMEMBERED && !failures.contains_key(name) {
            failures.retain(|_, failures| now.saturating_sub(failures.last) < WINDOW);
            if failures.len() >= MAX_REMEMBERED
                && let Some(oldest) = failures.iter().min_by_key(|(_, f)| f.last).map(|(name, _)| name.clone())
            {
                failures.remove(&oldest);
            }
        }
        let entry = failures.entry(name.to_owned()).or_insert(Failures { count: 0, last: now });
        if now.saturating_sub(entry.last) >= WINDOW {
            entry.count = 0;
        }
        entry.count = entry.count.saturating_add(1);
        entry.last = now;
    }

    pub(crate) fn succeeded(&self, name: &str) {
        self.failures.lock().remove(name);
    }

    /// Runs a password computation off the runtime, a few at a time.
    pub(crate) async fn hashing<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let _permit = self.hashing.acquire().await.map_err(Error::internal)?;
        tokio::task::spawn_blocking(work).await.map_err(Error::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifth_failure_locks_and_success_clears() {
        let logins = Logins::new();
        for _ in 0..4 {
            logins.failed("ada");
        }
        assert!(logins.check("ada").is_ok());
        logins.failed("ada");
        assert!(logins.check("ada").is_err() && logins.check("bob").is_ok());
        logins.succeeded("ada");
        assert!(logins.check("ada").is_ok());
    }
}
