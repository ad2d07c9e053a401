//! Opaque bytes at rest: an ordered transactional key-value store with leadership.
//!
//! This crate never decrypts, and never interprets a key or a value: it takes [`Sealed`] bytes, which only the barrier
//! makes, and gives them back. What is said of [`Store`] holds for every engine, and one test suite runs over them all.

mod admission;
mod batch;
mod entry;
mod error;
mod key;
mod leadership;
mod memory;
mod postgres;
mod snapshot;
mod sqlite;
mod stats;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use crate::batch::{Batch, Change, Epoch, Expect, Room};
pub use crate::entry::{Entry, Limit, Page, Revision, Sealed};
pub use crate::error::{Cause, Error};
pub use crate::key::{Key, Prefix};
pub use crate::leadership::Leader;
pub use crate::snapshot::Snapshot;
pub use crate::stats::Stats;

/// The storage contract.
///
/// *Durable*: a commit that returned survives `kill -9` and power loss (memory excepted).
/// *Atomic*: a batch happens whole or not at all. *Ordered*: commits form one sequence, numbered by [`Revision`].
/// *Retried*: nothing is, so no batch can happen twice. *Cancelled*: a dropped future may or may not have taken effect.
/// *Concurrent*: any number of calls at once; what waits together is committed together, but fails one by one.
#[async_trait]
pub trait Store: Send + Sync {
    /// Returns the entry and the revision that wrote it, or `None`. Sees every commit that returned before the call.
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Error>;

    /// Entries under `prefix` after `after`, sorted bytewise, at most `limit`. Not a snapshot across pages.
    ///
    /// A page ends early once its values reach 8 MiB, but has at least one entry if there is one.
    async fn scan(&self, prefix: &Prefix, after: Option<&Key>, limit: Limit) -> Result<Page<(Key, Entry)>, Error>;

    /// The keys of [`Store::scan`] alone, read from their index: without the limit that values have.
    async fn scan_keys(&self, prefix: &Prefix, after: Option<&Key>, limit: Limit) -> Result<Page<Key>, Error>;

    /// All or nothing, durable on return; every entry written carries the returned revision.
    ///
    /// [`Error::Conflict`] if an expectation does not hold, [`Error::Fenced`] if the batch names an epoch that is not in
    /// force at that moment, [`Error::Invalid`] or [`Error::TooLarge`] outside the limits of [`Batch`]. After
    /// [`Error::Unknown`] the batch may have happened; a read that succeeds afterwards tells.
    async fn commit(&self, batch: Batch) -> Result<Revision, Error>;

    /// All entries as they are at one revision, for as long as the snapshot is held. Commits and reads go on meanwhile.
    ///
    /// `growth` is how many bytes longer the engine's own files may get for its sake: SQLite's write-ahead log keeps what is
    /// committed meanwhile, and once it is so much longer the snapshot is ended. PostgreSQL keeps older rows, which are its own
    /// affair, and ends a snapshot from which nothing was read for five minutes. Memory makes a copy. While a snapshot is
    /// held, [`Store::purge`] may be [`Purged::Waiting`]. Closing the store ends it.
    async fn snapshot(&self, growth: u64) -> Result<Box<dyn Snapshot>, Error>;

    /// Writes entries with the revisions that they have in another store, durable on return, and makes `at` the last
    /// revision; further loads at the same revision may follow. For a store that nothing else was written to.
    ///
    /// [`Error::Conflict`] where something was, where an entry's revision is beyond `at`, or where a key is there already.
    /// The entries are to be within the limits of a [`Batch`]. Not for a store that others use meanwhile.
    async fn load(&self, at: Revision, entries: Vec<(Key, Sealed, Revision)>) -> Result<(), Error>;

    /// Takes what earlier commits deleted or wrote over out of the engine's own files, as far as the engine can.
    ///
    /// SQLite: no file of the store's directory holds the last half of a value of [`Sealed::WIPED_LEN`] bytes afterwards;
    /// what is freed is overwritten with zeros, and the write-ahead log is emptied. Of other values there may be copies in
    /// the gaps of pages that they were moved from. If someone still reads an older state it is [`Purged::Waiting`],
    /// without having made anybody wait.
    /// PostgreSQL: the table is vacuumed; its write-ahead log and copies made of it are the database's. Memory holds
    /// nothing. May take long; commits and reads go on meanwhile.
    async fn purge(&self) -> Result<Purged, Error>;

    /// Who leads, or led last; `None` before the first.
    async fn leader(&self) -> Result<Option<Leader>, Error>;

    /// Takes the leadership for `lease` (1 ms to one day) under the next epoch, which fences the one before.
    ///
    /// `None` while another lease runs by the database's clock. An engine whose data only one process can open (memory,
    /// SQLite) always grants it: the lock has already decided. `node` has 1 to 255 bytes, `address` up to 2048, both
    /// without control characters.
    async fn lead(&self, node: &str, address: &str, lease: Duration) -> Result<Option<Epoch>, Error>;

    /// Extends the lease of `epoch` to `lease` from now. [`Error::Fenced`] if another epoch is in force.
    async fn renew(&self, epoch: Epoch, lease: Duration) -> Result<(), Error>;

    /// Ends the lease of `epoch` at once, so that another node can lead. [`Error::Fenced`] if another one is in force.
    async fn release(&self, epoch: Epoch) -> Result<(), Error>;

    /// What the store has done since it was opened, and its size. Cheap; never waits for a commit.
    fn stats(&self) -> Stats;

    /// Finishes the commits already submitted, checkpoints, and closes every connection and lock.
    ///
    /// Every later call is [`Error::Unavailable`]; closing twice does nothing.
    async fn close(&self);
}

/// What became of a [`Store::purge`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Purged {
    /// Someone reads an older state; ask again later.
    Waiting,
    /// It was done.
    Whole,
}

/// Opens the store that `url` names, creating it where it does not exist. Needs a tokio runtime, also afterwards.
///
/// - `memory:` is a new, empty store each time.
/// - `sqlite:<path>` is a database file, alone in a directory of its own: the directory's `lock` file is held
///   exclusively ([`Error::Locked`] while another opener holds it). Its files are created with mode 0600, a missing
///   directory with 0700; a directory in which others may write is [`Error::Unsafe`].
/// - `postgres://` and `postgresql://` are PostgreSQL 12 or later, with the options of libpq that `tokio-postgres`
///   knows, and `sslmode`: `disable`, `prefer` (the default: TLS if the server offers it), `require`, `verify-ca` or
///   `verify-full`, the last two with `sslrootcert`, a PEM file or `system`. A unix socket is never encrypted. Many
///   servers may open the same database.
///
/// [`Error::Unsafe`] if the database does not make commits durable; [`Error::Invalid`] for any other URL, or for a
/// database of another program or of a later release.
pub async fn open(url: &str) -> Result<Arc<dyn Store>, Error> {
    match url.split_once(':') {
        Some(("memory", "")) => Ok(Arc::new(memory::Memory::default())),
        Some(("postgres" | "postgresql", _)) => Ok(Arc::new(postgres::Postgres::open(url).await?)),
        Some(("sqlite", path)) => Ok(Arc::new(sqlite::Sqlite::open(path).await?)),
        Some(_) | None => {
            Err(Error::Invalid("a store is memory:, sqlite:<path> or postgres://<user>@<host>/<database>".to_owned()))
        }
    }
}
