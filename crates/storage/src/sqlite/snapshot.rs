//! Snapshots: read transactions on connections of their own. While one is held the write-ahead log cannot begin anew, so
//! the writer looks after its length and ends those for whose sake it grew too long.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::task::spawn_blocking;

use super::connection::{Purpose, connect, failed};
use super::{readers, schema};
use crate::Snapshot;
use crate::entry::{Entry, Limit, Page, Revision};
use crate::error::Error;
use crate::key::{Key, Prefix, Range};

/// The snapshots that are held.
#[derive(Debug)]
pub(super) struct Snapshots {
    database: PathBuf,
    wal: PathBuf,
    list: Mutex<List>,
}

/// Whether any is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    None,
    Some,
}

#[derive(Debug, Default)]
struct List {
    life: Life,
    snapshots: Vec<Weak<Reading>>,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Life {
    Closed,
    #[default]
    Open,
}

#[derive(Debug)]
struct Reading {
    state: Mutex<State>,
    /// The length of the write-ahead log, in bytes, beyond which it ends.
    bound: u64,
}

#[derive(Debug)]
enum State {
    Closed,
    /// Inside its read transaction.
    Open(Connection),
    Outgrown,
}

/// One of them.
struct SqliteSnapshot {
    reading: Arc<Reading>,
    revision: Revision,
}

impl Snapshots {
    pub(super) fn new(database: &Path, wal: PathBuf) -> Snapshots {
        Snapshots { database: database.to_owned(), wal, list: Mutex::default() }
    }

    /// Begins a read transaction; it ends once the write-ahead log is `growth` bytes longer than now.
    pub(super) fn begin(&self, growth: u64) -> Result<Box<dyn Snapshot>, Error> {
        let connection = connect(&self.database, Purpose::Snapshot)?;
        connection.execute_batch("BEGIN").map_err(failed("beginning a snapshot"))?;
        // The first read is what fixes the state that it shows.
        let revision = schema::load_revision(&connection)?;
        let bound = self.length().saturating_add(growth);
        let reading = Arc::new(Reading { state: Mutex::new(State::Open(connection)), bound });
        let mut list = self.list.lock();
        if list.life == Life::Closed {
            return Err(Error::closed());
        }
        list.snapshots.push(Arc::downgrade(&reading));
        drop(list);
        Ok(Box::new(SqliteSnapshot { reading, revision }))
    }

    /// Ends those for whose sake the write-ahead log grew beyond their bound, and tells whether others are held; the writer
    /// calls this between two transactions.
    pub(super) fn bound_log(&self) -> Held {
        let mut list = self.list.lock();
        if list.snapshots.is_empty() {
            return Held::None;
        }
        let length = self.length();
        list.snapshots.retain(|snapshot| match snapshot.upgrade() {
            Some(reading) if length > reading.bound => {
                reading.end(State::Outgrown);
                false
            }
            Some(_) => true,
            None => false,
        });
        if list.snapshots.is_empty() { Held::None } else { Held::Some }
    }

    /// Ends them all, so that the space of the write-ahead log can be used again.
    pub(super) fn give_way(&self) {
        let held = std::mem::take(&mut self.list.lock().snapshots);
        held.iter().filter_map(Weak::upgrade).for_each(|reading| reading.end(State::Outgrown));
    }

    /// Ends them all, and begins no more.
    pub(super) fn close(&self) {
        let mut list = self.list.lock();
        list.life = Life::Closed;
        list.snapshots
            .drain(..)
            .filter_map(|snapshot| snapshot.upgrade())
            .for_each(|reading| reading.end(State::Closed));
    }

    fn length(&self) -> u64 {
        fs::metadata(&self.wal).map_or(0, |metadata| metadata.len())
    }
}

impl Reading {
    /// Waits for the page that is being read, at most; the connection's end is that of its transaction.
    fn end(&self, state: State) {
        *self.state.lock() = state;
    }
}

#[async_trait]
impl Snapshot for SqliteSnapshot {
    fn revision(&self) -> Revision {
        self.revision
    }

    async fn scan(&self, prefix: &Prefix, after: Option<&Key>, limit: Limit) -> Result<Page<(Key, Entry)>, Error> {
        let range = Range::new(prefix, after);
        let reading = Arc::clone(&self.reading);
        let task = spawn_blocking(move || match &*reading.state.lock() {
            State::Open(connection) => readers::scan(connection, &range, limit),
            State::Closed => Err(Error::closed()),
            State::Outgrown => Err(Error::Outgrown),
        });
        task.await.map_err(|e| Error::unavailable("reading a snapshot", e))?
    }
}
