//! The keyring of the desktop, by its Secret Service: only in a build with the feature `keyring`.

use coffer_api::Sensitive;

use crate::{failure::Failure, token_file::Removed};

/// The token of a profile, if there is one.
///
/// # Errors
/// Where the build has no keyring, or it does not answer.
pub(crate) fn read(profile: &str) -> Result<Option<Sensitive<String>>, Failure> {
    desktop::read(profile)
}

/// Keeps the token of a profile.
///
/// # Errors
/// As [`read`].
pub(crate) fn write(profile: &str, token: &Sensitive<String>) -> Result<(), Failure> {
    desktop::write(profile, token)
}

/// Forgets the token of a profile; whether there was one.
///
/// # Errors
/// As [`read`].
pub(crate) fn remove(profile: &str) -> Result<Removed, Failure> {
    desktop::remove(profile)
}

#[cfg(feature = "keyring")]
mod desktop {
    use keyring::{Entry, Error};

    use super::{Failure, Removed, Sensitive};

    pub(super) fn read(profile: &str) -> Result<Option<Sensitive<String>>, Failure> {
        match asked(profile, |entry| entry.get_password().map(Sensitive::new)) {
            Ok(token) => Ok(Some(token)),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(failed(&error)),
        }
    }

    pub(super) fn write(profile: &str, token: &Sensitive<String>) -> Result<(), Failure> {
        asked(profile, |entry| entry.set_password(token.expose())).map_err(|error| failed(&error))
    }

    pub(super) fn remove(profile: &str) -> Result<Removed, Failure> {
        match asked(profile, Entry::delete_credential) {
            Ok(()) => Ok(Removed::Now),
            Err(Error::NoEntry) => Ok(Removed::Before),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Asks on a thread of its own: the library waits by a runtime of its own, which cannot be within another.
    fn asked<T: Send>(profile: &str, ask: impl FnOnce(&Entry) -> Result<T, Error> + Send) -> Result<T, Error> {
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| ask(&Entry::new(SERVICE, profile)?));
            asking.join().unwrap_or(Err(Error::NoDefaultStore))
        })
    }

    /// Its own words may hold what it was given, so that none of them are told.
    fn failed(error: &Error) -> Failure {
        let why = match error {
            Error::NoDefaultStore => "there is none on this machine",
            Error::NoStorageAccess(_) => "it is locked, or refuses",
            _ => "it does not answer as it should",
        };
        Failure::local(format!("the keyring cannot be used: {why}"))
            .hint("unlock the desktop's keyring, or keep the token in a file: coffer profile add NAME --replace")
    }

    /// What the desktop shows as the program that keeps it.
    const SERVICE: &str = "coffer";
}

#[cfg(not(feature = "keyring"))]
mod desktop {
    use super::{Failure, Removed, Sensitive};

    pub(super) fn read(_: &str) -> Result<Option<Sensitive<String>>, Failure> {
        Err(absent())
    }

    pub(super) fn write(_: &str, _: &Sensitive<String>) -> Result<(), Failure> {
        Err(absent())
    }

    pub(super) fn remove(_: &str) -> Result<Removed, Failure> {
        Err(absent())
    }

    fn absent() -> Failure {
        Failure::local("the profile keeps its token in the keyring, which this build of coffer does not speak to")
            .hint("build it with --features keyring, or keep the token in a file: coffer profile add NAME --replace")
    }
}
