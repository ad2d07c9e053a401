//! Keeps the write-ahead log short without making commits wait for it.
//!
//! A thread moves the log's pages into the database while commits go on. What arrived meanwhile is little; the writer
//! moves that rest itself between two commits, so that the next one finds the whole log moved and begins it anew.

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use super::connection::{BUSY, Purpose, connect, failed};
use super::snapshot::Held;
use crate::Purged;
use crate::error::Error;
use crate::stats::Counters;

/// The thread that checkpoints on request; stops and is joined on drop.
#[derive(Debug)]
pub(super) struct Checkpointer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    counters: Arc<Counters>,
    /// The length of the log, in pages, at which the writer finishes a checkpoint next. Owned by the writer.
    finish_at: u64,
    /// The length of the log when the writer last looked; it shrinks only by being begun anew.
    length: u64,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Running,
    Stopped,
    Wanted,
}

impl Checkpointer {
    /// Starts the thread with a connection of its own.
    pub(super) fn start(database: &Path, counters: Arc<Counters>) -> Result<Checkpointer, Error> {
        let connection = connect(database, Purpose::Checkpoint)?;
        let shared = Arc::new(Shared { state: Mutex::new(State::Idle), changed: Condvar::new() });
        let (theirs, counts) = (Arc::clone(&shared), Arc::clone(&counters));
        let thread = thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || serve(&connection, &theirs, &counts))
            .map_err(|e| Error::unavailable("starting the checkpoint thread", e))?;
        Ok(Checkpointer { shared, thread: Some(thread), counters, finish_at: LOG_PAGES, length: 0 })
    }

    /// Looks after the log; the writer calls this between two transactions, over its own `connection`. While a snapshot is
    /// held the log cannot begin anew, and nobody waits for that.
    pub(super) fn tend(&mut self, connection: &Connection, snapshots: Held) {
        let Ok(log) = checkpoint(connection, Mode::Look) else { return };
        if log.pages < self.length {
            self.finish_at = LOG_PAGES;
        }
        self.length = log.pages;
        if log.pages < LOG_PAGES {
            return;
        }
        if log.pages >= LOG_PAGES_BOUND.max(self.finish_at) {
            self.wait();
            let mode = match snapshots {
                Held::Some => Mode::Passive,
                Held::None => Mode::Restart,
            };
            self.finish(connection, mode, log);
        } else if log.behind() > REST_PAGES {
            self.wake();
        } else if log.pages >= self.finish_at && self.is_idle() {
            self.finish(connection, Mode::Passive, log);
        }
    }

    /// Moves the whole log into the database and empties its file, over the writer's `connection`. What was deleted is
    /// zeros in the database then, and nowhere else. Commits wait for a moment only: a reader in the way is not waited
    /// for.
    pub(super) fn empty(&mut self, connection: &Connection) -> Result<Purged, Error> {
        self.wait();
        // Nobody is kept waiting by this one, and it does the work.
        checkpoint(connection, Mode::Passive)?;
        let setting = failed("emptying the log");
        connection.busy_timeout(READER_PATIENCE).map_err(setting)?;
        let outcome = checkpoint(connection, Mode::Truncate);
        connection.busy_timeout(BUSY).map_err(setting)?;
        let log = outcome?;
        count(&self.counters, Ok(log));
        Ok(if log.blocked { Purged::Waiting } else { Purged::Whole })
    }

    /// Should a reader keep the log from being begun anew, the next attempt comes after some more pages.
    fn finish(&mut self, connection: &Connection, mode: Mode, log: Log) {
        self.finish_at = log.pages.saturating_add(LOG_PAGES / 2);
        count(&self.counters, checkpoint(connection, mode));
    }

    fn wake(&self) {
        let mut state = self.shared.state.lock();
        if *state == State::Idle {
            *state = State::Wanted;
            self.shared.changed.notify_all();
        }
    }

    fn is_idle(&self) -> bool {
        *self.shared.state.lock() == State::Idle
    }

    fn wait(&self) {
        let mut state = self.shared.state.lock();
        while matches!(*state, State::Running | State::Wanted) {
            self.shared.changed.wait(&mut state);
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        *self.shared.state.lock() = State::Stopped;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed where it happened; there is nothing left to save here.
            drop(thread.join());
        }
    }
}

fn serve(connection: &Connection, shared: &Shared, counters: &Counters) {
    loop {
        {
            let mut state = shared.state.lock();
            while *state == State::Idle {
                shared.changed.wait(&mut state);
            }
            match *state {
                State::Stopped => return,
                State::Idle | State::Running | State::Wanted => *state = State::Running,
            }
        }
        count(counters, checkpoint(connection, Mode::Passive));
        let mut state = shared.state.lock();
        if *state == State::Running {
            *state = State::Idle;
            shared.changed.notify_all();
        }
    }
}

fn count(counters: &Counters, outcome: Result<Log, Error>) {
    match outcome {
        Ok(_) => counters.checkpoints.add(1),
        Err(_) => counters.checkpoint_failures.add(1),
    }
}

/// How thorough a checkpoint is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mode {
    /// Only reads the state of the log.
    Look,
    /// Moves what it can without waiting for anyone.
    Passive,
    /// Moves everything, waiting for readers, so that the next commit begins the log anew.
    Restart,
    /// As restart, and empties the log file.
    Truncate,
}

/// The state of the write-ahead log, in pages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Log {
    /// Its length.
    pub(super) pages: u64,
    /// How many of them are in the database already.
    moved: u64,
    /// Whether a reader or another checkpoint kept this one from its end.
    blocked: bool,
}

impl Log {
    fn behind(self) -> u64 {
        self.pages.saturating_sub(self.moved)
    }
}

/// Runs a checkpoint and reports the log as it then is.
pub(super) fn checkpoint(connection: &Connection, mode: Mode) -> Result<Log, Error> {
    let checkpoint = failed("checkpointing");
    let sql = match mode {
        Mode::Look => "PRAGMA wal_checkpoint(NOOP)",
        Mode::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        Mode::Restart => "PRAGMA wal_checkpoint(RESTART)",
        Mode::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    let mut statement = connection.prepare_cached(sql).map_err(checkpoint)?;
    let state = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?));
    let (blocked, pages, moved) = statement.query_row([], state).map_err(checkpoint)?;
    // The numbers are -1 before the first commit.
    let (pages, moved) = (u64::try_from(pages).unwrap_or(0), u64::try_from(moved).unwrap_or(0));
    Ok(Log { pages, moved, blocked: blocked != 0 })
}

/// The length at which the log is moved into the database.
const LOG_PAGES: u64 = 1000;
/// What the writer moves itself, between two commits.
const REST_PAGES: u64 = 250;
/// The length at which commits wait until the log has been moved.
const LOG_PAGES_BOUND: u64 = 8_000;
/// How long an emptying of the log waits for readers, and commits with it.
const READER_PATIENCE: Duration = Duration::from_millis(20);
