//! Backups: the whole store at one revision, with its log, encrypted to somebody else's key while the server goes on.
//!
//! A backup is a few *parts*, each an age file, and a *manifest* in the clear that names their lengths and digests and is
//! signed with the log's key. Rows lie in it as they lie in the store, sealed: who opens a part sees names and the log, but no
//! value without the seal. The object keys are a part of their own, so that they can be kept for a shorter time than the
//! rest. docs/CRYPTO.md has the layout, docs/BACKUP.md what it means for people.

pub mod create;
mod directory;
mod manifest;
mod pack;
mod parts;
pub mod restore;
pub(crate) mod restored;
mod retention;
pub(crate) mod schedule;
mod source;
pub mod verify;

use std::{io, path::PathBuf};

pub use self::{
    directory::{BackupDir, Kept, list},
    manifest::{Manifest, Needs, PartInfo},
    pack::{Checked, Output, Packer, Unpacker, Why},
    source::{Source, Watch},
};

/// What a backup consists of, in this order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Part {
    /// Every row but object keys.
    Store,
    /// The rows of object keys.
    ObjectKeys,
    /// The entries of the log of the node that made it, up to what the store registers.
    Log,
    /// The file seal's key, only where it was asked for.
    SealKey,
}

impl Part {
    /// All of them, in their order.
    pub const ALL: [Self; 4] = [Self::Store, Self::ObjectKeys, Self::Log, Self::SealKey];

    /// Its name in the manifest; its file is that with `.age`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::ObjectKeys => "object-keys",
            Self::Log => "log",
            Self::SealKey => "seal-key",
        }
    }

    /// The part of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name)
    }

    /// The name of its file in a backup's folder, and in one file with all of them.
    pub(crate) fn file(self) -> String {
        format!("{}.age", self.name())
    }
}

/// Why a backup cannot be read, verified or restored. Nothing was changed, but for [`BackupError::Half`].
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The backup is not what was made: `part` names the part, or the manifest.
    #[error("{part}: {what}")]
    Damaged {
        /// Which part.
        part: String,
        /// What is wrong with it.
        what: String,
    },
    /// A restore came to no end: what is half restored is there, and no server starts on it.
    #[error("what is there is half restored: {0}")]
    Half(#[source] Box<BackupError>),
    /// The system refused.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The key or passphrase is not the one.
    #[error("the backup is not encrypted to this key or passphrase")]
    NoMatch,
    /// It may not be done.
    #[error("{0}")]
    Refused(String),
    /// The store.
    #[error("the store: {0}")]
    Store(#[from] coffer_storage::Error),
}

impl BackupError {
    fn damaged(part: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Damaged { part: part.into(), what: what.into() }
    }
}

/// The name of the manifest's file.
pub(crate) const MANIFEST: &str = "manifest";
/// The name of the file with the key of a backup under a passphrase, itself encrypted to that.
pub const IDENTITY: &str = "identity.age";
/// The longest manifest, in bytes.
pub(crate) const MAX_MANIFEST: u64 = 64 << 10;
