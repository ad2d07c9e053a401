//! Login methods.

pub(crate) mod approle;
mod failures;
pub(crate) mod login;
pub(crate) mod parameters;
pub(crate) mod userpass;

use coffer_api::Code;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use self::failures::Failures;
use crate::{Error, lease::monotonic_ms};

/// Password hashes computed at once: each takes 19 MiB and a core.
const HASHES: usize = 2;

/// Failed logins by name, and the bound on password hashing.
pub(crate) struct Logins {
    failures: Mutex<Failures>,
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

impl Logins {
    pub(crate) fn new() -> Self {
        Self { failures: Mutex::default(), hashing: Semaphore::new(HASHES) }
    }

    /// Whether a login may go on. Ask before a credential is looked at, and again before one that was right is honoured:
    /// of many guesses at once, those behind the last failure that is one too many learn nothing.
    ///
    /// # Errors
    /// [`Code::Unauthenticated`] while the name is locked out.
    pub(crate) fn check(&self, name: &LoginName) -> Result<(), Error> {
        if self.failures.lock().is_locked(name, monotonic_ms()) { Err(locked_out()) } else { Ok(()) }
    }

    /// Counts a failure.
    ///
    /// # Errors
    /// [`Code::Unauthenticated`] where the name was locked out meanwhile: answer that, and not that the credential was
    /// wrong.
    pub(crate) fn failed(&self, name: &LoginName) -> Result<(), Error> {
        let now = monotonic_ms();
        let mut failures = self.failures.lock();
        if failures.is_locked(name, now) {
            return Err(locked_out());
        }
        failures.count(name, now);
        Ok(())
    }

    /// Forgets the failures of a name: it logged in, or somebody unlocked it.
    pub(crate) fn clear(&self, name: &LoginName) {
        self.failures.lock().clear(name);
    }

    /// Names locked out now, in order.
    pub(crate) fn locked(&self) -> Vec<LoginName> {
        self.failures.lock().locked(monotonic_ms())
    }

    /// Runs a password computation off the runtime, a few at a time. `may_begin` is asked when its turn has come.
    ///
    /// # Errors
    /// Those of `may_begin`.
    pub(crate) async fn hashing<T: Send + 'static>(
        &self,
        may_begin: impl FnOnce() -> Result<(), Error>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let _permit = self.hashing.acquire().await.map_err(Error::internal)?;
        may_begin()?;
        tokio::task::spawn_blocking(work).await.map_err(Error::internal)
    }
}

fn locked_out() -> Error {
    Error::new(Code::Unauthenticated, "permission denied")
}
