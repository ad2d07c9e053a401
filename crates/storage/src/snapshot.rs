//! All entries as they were at one revision, read in order while commits go on.

use async_trait::async_trait;

use crate::entry::{Entry, Limit, Page, Revision};
use crate::error::Error;
use crate::key::{Key, Prefix};

/// Reads at one revision; ends when it is dropped.
///
/// An engine that keeps older states for it in its own files bounds their growth (see
/// [`Store::snapshot`](crate::Store::snapshot)): beyond that the snapshot is over, every read of it is
/// [`Error::Unavailable`], and what was read before is to be thrown away.
#[async_trait]
pub trait Snapshot: Send + Sync {
    /// The last commit that it shows.
    fn revision(&self) -> Revision;

    /// As [`Store::scan`](crate::Store::scan), and all pages together are of one revision.
    async fn scan(&self, prefix: &Prefix, after: Option<&Key>, limit: Limit) -> Result<Page<(Key, Entry)>, Error>;
}
