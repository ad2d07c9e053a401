//! What can go wrong in a store, in terms a caller can act on.

use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::Arc;

/// The driver's own error, shared because one failed group commit answers many callers.
pub type Cause = Arc<dyn StdError + Send + Sync>;

/// Why an operation of a [`Store`](crate::Store) failed.
///
/// No variant carries a value or a connection string. Except after [`Error::Unknown`], nothing was changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A precondition of the batch does not hold; retry with what is stored now.
    #[error("an expected revision differs from the stored one")]
    Conflict,
    /// The stored bytes are damaged, or were not written by this program.
    #[error("the store is damaged: {what}")]
    Corrupt {
        /// What was being read.
        what: &'static str,
        /// The driver's error, where it was the driver that noticed.
        #[source]
        source: Option<Cause>,
    },
    /// Another node took the leadership; this one must stop serving.
    #[error("the leadership has passed to another epoch")]
    Fenced,
    /// The disk or the quota is full; works again once there is space.
    #[error("the store has no space left")]
    Full,
    /// The caller's request can never succeed as it stands.
    #[error("{0}")]
    Invalid(String),
    /// Another process has the store open.
    #[error("the data directory {} is in use by another process", directory.display())]
    Locked {
        /// The directory whose `lock` file is held.
        directory: PathBuf,
    },
    /// A snapshot was ended, so that the store's write-ahead log can begin anew; another can be taken.
    #[error(
        "the snapshot was ended: the write-ahead log grew beyond its bound, or the disk was full, while it was read"
    )]
    Outgrown,
    /// A key, value, batch or name exceeds its limit.
    #[error("{what} is too large: {size}, the limit is {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size, in bytes unless `what` says otherwise.
        size: usize,
        /// The limit, in the same unit.
        limit: usize,
    },
    /// The store cannot be reached or is closed; nothing was changed, and a later call may succeed.
    #[error("the store is unavailable: {operation}")]
    Unavailable {
        /// What was being done.
        operation: &'static str,
        /// The driver's error, where there is one.
        #[source]
        source: Option<Cause>,
    },
    /// The commit was sent and its answer lost: it may or may not have happened. The next successful read tells.
    #[error("the outcome is unknown: {operation}")]
    Unknown {
        /// What was being done.
        operation: &'static str,
        /// The driver's error, where there is one.
        #[source]
        source: Option<Cause>,
    },
    /// The database is configured so that an answered commit could be lost, or read by strangers.
    #[error("{setting} is {value}, but must be {wanted}")]
    Unsafe {
        /// The setting's name in the database or file system.
        setting: String,
        /// Its value.
        value: String,
        /// What is accepted.
        wanted: &'static str,
    },
}

impl Error {
    /// An [`Error::Unavailable`] caused by `source`.
    pub(crate) fn unavailable(operation: &'static str, source: impl StdError + Send + Sync + 'static) -> Error {
        Error::Unavailable { operation, source: Some(Arc::new(source)) }
    }

    /// An [`Error::Unavailable`] of a store that was closed.
    pub(crate) fn closed() -> Error {
        Error::Unavailable { operation: "the store is closed", source: None }
    }
}
