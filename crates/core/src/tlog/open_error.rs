//! Why a log is not opened.

use std::path::PathBuf;

use super::{checkpoint::CheckpointError, disk::DiskError, tail::ReadError};

/// Why a log was not opened: what was found, and what to do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OpenError {
    /// A signed checkpoint is not what the log signed.
    #[error("{}: the checkpoint of size {size} is not this log's; verify the log, then restore it", path.display())]
    BadCheckpoint {
        /// The file with the checkpoint.
        path: PathBuf,
        /// The size that it closes.
        size: u64,
        /// What is wrong with it.
        #[source]
        source: CheckpointError,
    },
    /// A file of the log is damaged.
    #[error("the log is damaged; verify it, then restore what is missing")]
    Damaged(#[source] ReadError),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The log has another root than it had.
    #[error("the log has another root at size {size} than {by} says: it was changed; verify it, then restore it")]
    Diverged {
        /// The size at which the roots differ.
        size: u64,
        /// Who knows the root.
        by: &'static str,
    },
    /// Entries between two segments, or before the first, are missing.
    #[error("the log lacks the entries from {from} to {to}: a segment is missing or damaged; restore it")]
    Gap {
        /// The first entry that is missing.
        from: u64,
        /// The first one that is there again.
        to: u64,
    },
    /// Another process has the log open.
    #[error("the log at {} is in use by another process", .0.display())]
    Locked(PathBuf),
    /// There is no log where there should be one.
    #[error("{} has no log, and should have one of {size} entries; restore it", dir.display())]
    Missing {
        /// Where it should be.
        dir: PathBuf,
        /// Its size, as far as known.
        size: u64,
    },
    /// The name would make a checkpoint of the log look like something else.
    #[error("a log cannot be named {0}")]
    Name(String),
    /// A file has a format of a later release.
    #[error("{} has format {format}, which needs a later release", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u8,
    },
    /// The log is signed by another key by now.
    #[error("the log is signed by {signed_by}, not by the key given; open it with that key")]
    OtherKey {
        /// The key, or that it is unknown.
        signed_by: String,
    },
    /// The log ends before what is known to have been in it.
    #[error("the log has {found} entries and had {known}, as {by} says: its end is missing; restore it")]
    Shorter {
        /// How many there are.
        found: u64,
        /// How many there were.
        known: u64,
        /// Who knows.
        by: &'static str,
    },
    /// A thread of the log could not be started.
    #[error("cannot start a thread for the log")]
    Thread(#[source] std::sync::Arc<std::io::Error>),
    /// A segment is damaged before entries that were acknowledged.
    #[error("{} is damaged at or after byte {offset}, before entries that were acknowledged; restore it", path.display())]
    Torn {
        /// The segment.
        path: PathBuf,
        /// Where the damage begins.
        offset: u64,
    },
}

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Disk(error) if !error.is_missing() => Self::Disk(error),
            error @ (ReadError::Damaged { .. } | ReadError::Disk(_) | ReadError::Range { .. }) => Self::Damaged(error),
        }
    }
}
