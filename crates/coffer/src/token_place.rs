//! Where a token is kept: a file of the user's own, or the keyring of the desktop.

use std::{fmt, path::PathBuf};

use coffer_api::Sensitive;

use crate::{
    failure::Failure,
    keyring,
    token_file::{self, Removed},
};

/// A place for one token.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum TokenPlace {
    /// A file of mode 0600.
    File(PathBuf),
    /// The keyring, under the profile's name.
    Keyring(String),
}

impl TokenPlace {
    /// The token, if there is one.
    ///
    /// # Errors
    /// As [`token_file::read`]; where the keyring does not answer.
    pub(crate) fn read(&self) -> Result<Option<Sensitive<String>>, Failure> {
        match self {
            Self::File(path) => token_file::read(path),
            Self::Keyring(profile) => keyring::read(profile),
        }
    }

    /// Whether a token can be kept there: asked before something that cannot be done again.
    ///
    /// # Errors
    /// As [`token_file::check_place`]; where the keyring does not answer.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        match self {
            Self::File(path) => token_file::check_place(path),
            Self::Keyring(profile) => keyring::read(profile).map(|_| ()),
        }
    }

    /// Keeps a token in place of the one before.
    ///
    /// # Errors
    /// As [`token_file::write()`]; where the keyring refuses.
    pub(crate) fn write(&self, token: &Sensitive<String>) -> Result<(), Failure> {
        match self {
            Self::File(path) => token_file::write(path, token),
            Self::Keyring(profile) => keyring::write(profile, token),
        }
    }

    /// Forgets the token; whether there was one.
    ///
    /// # Errors
    /// As [`token_file::remove`]; where the keyring refuses.
    pub(crate) fn remove(&self) -> Result<Removed, Failure> {
        match self {
            Self::File(path) => token_file::remove(path),
            Self::Keyring(profile) => keyring::remove(profile),
        }
    }

    /// The file, if it is one.
    pub(crate) fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::File(path) => Some(path),
            Self::Keyring(_) => None,
        }
    }
}

impl fmt::Display for TokenPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Keyring(profile) => write!(f, "the keyring, for the profile {profile}"),
        }
    }
}
