//! Login methods.

pub(crate) mod approle;
pub(crate) mod login;
pub(crate) mod parameters;
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
    failures: Mutex<HashMap<LoginName, Failures>>,
    hashing: Semaphore,
}

/// Somebody's name in one login method.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct LoginName {
    /// The accessor of the login method's mount.
    pub(crate) mount: String,
    /// As the method tells them apart: a user's in lower case, a role id as it is.
    pub(crate) name: String,
}

struct Failures {
    count: u32,
    last: i64,
}

impl Failures {
    fn is_locked(&self, now: i64) -> bool {
        self.count >= FAILURES && now.saturating_sub(self.last) < WINDOW
    }
}

impl Logins {
    pub(crate) fn new() -> Self {
        Self { failures: Mutex::default(), hashing: Semaphore::new(HASHES) }
    }

    /// # Errors
    /// [`Code::Unauthenticated`] while the name is locked out.
    pub(crate) fn check(&self, name: &LoginName) -> Result<(), Error> {
        let locked = self.failures.lock().get(name).is_some_and(|failures| failures.is_locked(monotonic_ms()));
        if locked { Err(Error::new(Code::Unauthenticated, "permission denied")) } else { Ok(()) }
    }

    pub(crate) fn failed(&self, name: &LoginName) {
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
        let entry = failures.entry(name.clone()).or_insert(Failures { count: 0, last: now });
        if now.saturating_sub(entry.last) >= WINDOW {
            entry.count = 0;
        }
        entry.count = entry.count.saturating_add(1);
        entry.last = now;
    }

    /// Forgets the failures of a name: it logged in, or somebody unlocked it.
    pub(crate) fn clear(&self, name: &LoginName) {
        self.failures.lock().remove(name);
    }

    /// Names locked out now, in order.
    pub(crate) fn locked(&self) -> Vec<LoginName> {
        let now = monotonic_ms();
        let failures = self.failures.lock();
        let locked = failures.iter().filter(|(_, failures)| failures.is_locked(now));
        let mut locked: Vec<LoginName> = locked.map(|(name, _)| name.clone()).collect();
        locked.sort_unstable();
        locked
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
    fn fifth_failure_locks_until_it_is_cleared() {
        let logins = Logins::new();
        let [ada, bob] = ["ada", "bob"].map(|name| LoginName { mount: "m".to_owned(), name: name.to_owned() });
        for _ in 0..4 {
            logins.failed(&ada);
        }
        assert!(logins.check(&ada).is_ok() && logins.locked().is_empty());
        logins.failed(&ada);
        assert!(logins.check(&ada).is_err() && logins.check(&bob).is_ok());
        assert_eq!(logins.locked(), std::slice::from_ref(&ada));
        logins.clear(&ada);
        assert!(logins.check(&ada).is_ok() && logins.locked().is_empty());
    }
}
