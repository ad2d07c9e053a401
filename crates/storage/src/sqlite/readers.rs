//! Reading: point reads on the calling thread, scans on blocking threads, each over connections of their own.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use rusqlite::{Connection, Row, params};

use super::connection::{Purpose, connect, failed};
use crate::entry::{Entry, Filling, Limit, Page};
use crate::error::Error;
use crate::key::{Key, Range};

/// A fixed set of connections; `None` once closed. Each slot's lock is held for one read.
#[derive(Debug)]
pub(super) struct Readers {
    slots: Vec<Mutex<Option<Connection>>>,
}

impl Readers {
    /// Opens `count` connections.
    pub(super) fn open(database: &Path, purpose: Purpose, count: usize) -> Result<Arc<Readers>, Error> {
        let slots: Result<_, Error> = (0..count).map(|_| Ok(Mutex::new(Some(connect(database, purpose)?)))).collect();
        Ok(Arc::new(Readers { slots: slots? }))
    }

    /// Reads one entry. A few microseconds where the pages are in memory.
    pub(super) fn get(&self, key: &Key) -> Result<Option<Entry>, Error> {
        self.with(|connection| {
            let read = failed("reading an entry");
            let mut statement =
                connection.prepare_cached("SELECT revision, value FROM entries WHERE key = ?1").map_err(read)?;
            let mut rows = statement.query(params![key.as_bytes()]).map_err(read)?;
            match rows.next().map_err(read)? {
                Some(row) => Ok(Some(entry(row, 0, 1)?)),
                None => Ok(None),
            }
        })
    }

    /// Reads a page of entries.
    pub(super) fn scan(&self, range: &Range, limit: Limit) -> Result<Page<(Key, Entry)>, Error> {
        self.with(|connection| scan(connection, range, limit))
    }

    /// Reads a page of keys.
    pub(super) fn scan_keys(&self, range: &Range, limit: Limit) -> Result<Page<Key>, Error> {
        self.with(|connection| {
            let read = failed("scanning keys");
            let mut statement = connection
                .prepare_cached("SELECT key FROM entries WHERE key >= ?1 AND key < ?2 ORDER BY key")
                .map_err(read)?;
            let mut rows = statement.query(params![range.from, range.to]).map_err(read)?;
            let mut items = Vec::new();
            while let Some(row) = rows.next().map_err(read)? {
                if items.len() >= limit.get() {
                    return Ok(Page { items, more: true });
                }
                items.push(key(row)?);
            }
            Ok(Page { items, more: false })
        })
    }

    /// Closes every connection, each once its read is done.
    pub(super) fn close(&self) {
        for slot in &self.slots {
            drop(slot.lock().take());
        }
    }

    fn with<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        match self.slot().and_then(|slot| MutexGuard::try_map(slot, Option::as_mut).ok()) {
            Some(connection) => read(&connection),
            None => Err(Error::closed()),
        }
    }

    /// This thread's own slot if it is free, else any free one, else this thread's own when it becomes free.
    fn slot(&self) -> Option<MutexGuard<'_, Option<Connection>>> {
        let own = own_number().checked_rem(self.slots.len())?;
        let (before, after) = self.slots.split_at_checked(own)?;
        let free = after.iter().chain(before).find_map(Mutex::try_lock);
        free.or_else(|| after.first().map(Mutex::lock))
    }
}

/// Reads a page of entries over `connection`.
pub(super) fn scan(connection: &Connection, range: &Range, limit: Limit) -> Result<Page<(Key, Entry)>, Error> {
    let read = failed("scanning entries");
    let mut statement = connection
        .prepare_cached("SELECT key, revision, value FROM entries WHERE key >= ?1 AND key < ?2 ORDER BY key")
        .map_err(read)?;
    let mut rows = statement.query(params![range.from, range.to]).map_err(read)?;
    let mut page = Filling::new(limit);
    while let Some(row) = rows.next().map_err(read)? {
        if page.is_full() {
            return Ok(page.finish(true));
        }
        page.push(key(row)?, entry(row, 1, 2)?);
    }
    Ok(page.finish(false))
}

fn key(row: &Row<'_>) -> Result<Key, Error> {
    Key::stored(blob(row, 0)?)
}

fn entry(row: &Row<'_>, revision: usize, value: usize) -> Result<Entry, Error> {
    let revision = row.get(revision).map_err(failed("reading a revision"))?;
    Ok(Entry { value: Bytes::copy_from_slice(blob(row, value)?), revision })
}

fn blob<'row>(row: &'row Row<'_>, column: usize) -> Result<&'row [u8], Error> {
    let value = row.get_ref(column).map_err(failed("reading a column"))?;
    value.as_blob().map_err(|_| Error::Corrupt { what: "a column that is not bytes", source: None })
}

/// A number that stays the same for a thread, so that it keeps coming back to the connection whose cache it filled.
fn own_number() -> usize {
    thread_local! {
        static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
    }
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NUMBER.with(|number| match number.get() {
        Some(known) => known,
        None => {
            let new = NEXT.fetch_add(1, Ordering::Relaxed);
            number.set(Some(new));
            new
        }
    })
}
