//! Batches that callers fill, and the outcome that each batch's callers wait for.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::disk::DiskError;

/// Why entries were not logged. Once it is returned, the log goes on by itself as soon as its cause is gone, except
/// after [`AppendError::Tampered`].
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// A call with more entries or bytes than one batch holds, or with none.
    #[error("a call takes 1 to {entries} entries of together at most {bytes} bytes")]
    CallSize {
        /// The most entries.
        entries: usize,
        /// The most bytes.
        bytes: usize,
    },
    /// The log has been closed.
    #[error("the log is closed")]
    Closed,
    /// An entry is empty or longer than 65,535 bytes.
    #[error("an entry has 1 to 65535 bytes, this one {0}")]
    EntrySize(usize),
    /// An entry looks like one that changes the log's key.
    #[error("an entry must not begin like one that changes the key of the log")]
    Reserved,
    /// The files of the log are no longer what was written; nothing is appended until it is opened again.
    #[error("the log's files were changed from outside: {0}; verify the log, then restart")]
    Tampered(Arc<str>),
    /// The disk failed or is full.
    #[error("the log could not be written")]
    Write(#[from] DiskError),
}

/// How an entry is treated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Class {
    /// Its caller waits until it is written.
    Relaxed,
    /// Its caller waits until it is synced, and it may use the space kept for when the disk is full.
    Reserved,
    /// Its caller waits until it is synced.
    Synced,
}

/// The claim to entries that were handed to the log; their index is known when they are written.
#[derive(Clone, Debug)]
pub struct Ticket {
    outcome: Arc<Outcome>,
    offset: u64,
    /// The place among the entries that may use reserved space.
    reserved: Option<u64>,
    count: u64,
}

impl Ticket {
    /// The number of entries.
    pub fn count(&self) -> u64 {
        self.count
    }

    fn result(&self, level: Level) -> Option<Result<u64, AppendError>> {
        match (&*self.outcome.state.lock(), level) {
            (State::Waiting, _) | (State::Written { .. }, Level::Synced) => None,
            (State::Synced { base } | State::Written { base }, _) => Some(Ok(base + self.offset)),
            (State::Retained { base, .. }, Level::Written) => Some(Ok(base + self.offset)),
            (State::Retained { error, .. } | State::Failed(error), _) => Some(Err(error.clone())),
            (State::ReservedOnly { base, error }, _) => {
                Some(self.reserved.map(|offset| base + offset).ok_or_else(|| error.clone()))
            }
        }
    }

    /// The index of the first of its entries, once they are as safe as asked for.
    pub(crate) async fn wait(&self, level: Level) -> Result<u64, AppendError> {
        loop {
            let mut changed = std::pin::pin!(self.outcome.changed.notified());
            // Enabled before the state is read, so that no change falls between.
            changed.as_mut().enable();
            if let Some(result) = self.result(level) {
                return result;
            }
            changed.await;
        }
    }
}

/// How safe entries must be before their caller goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Level {
    Synced,
    Written,
}

/// What became of a batch; shared by the tickets of its callers.
#[derive(Debug)]
pub(crate) struct Outcome {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
enum State {
    Failed(AppendError),
    /// Only the entries that may use reserved space were written.
    ReservedOnly {
        base: u64,
        error: AppendError,
    },
    /// Was written, then a sync failed: kept in memory, to be written again.
    Retained {
        base: u64,
        error: AppendError,
    },
    Synced {
        base: u64,
    },
    Waiting,
    Written {
        base: u64,
    },
}

impl Outcome {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State::Waiting), changed: Notify::new() })
    }

    pub(crate) fn ticket(self: &Arc<Self>) -> Ticket {
        Ticket { outcome: Arc::clone(self), offset: 0, reserved: None, count: 1 }
    }

    fn set(&self, state: State) {
        *self.state.lock() = state;
        self.changed.notify_waiters();
    }

    pub(crate) fn fail(&self, error: AppendError) {
        self.set(State::Failed(error));
    }
}

/// Entries that are written and synced together.
pub(crate) struct Batch {
    pub(crate) outcome: Arc<Outcome>,
    pub(crate) entries: Vec<(Vec<u8>, Class)>,
    /// The callers, each of whom waits.
    pub(crate) calls: usize,
    pub(crate) bytes: usize,
    /// Whether callers that wait until it is written were told that it is.
    pub(crate) announced: bool,
    /// Whether a caller waits until the batch is synced.
    pub(crate) must_sync: bool,
    has_relaxed: bool,
    reserved: u64,
    /// Why the entries that may not use reserved space are no longer among them.
    refused: Option<AppendError>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        let outcome = Outcome::new();
        Self {
            outcome,
            entries: Vec::new(),
            calls: 0,
            bytes: 0,
            announced: false,
            must_sync: false,
            has_relaxed: false,
            reserved: 0,
            refused: None,
        }
    }

    /// A batch of one entry, whose outcome the caller already has.
    pub(crate) fn single(outcome: Arc<Outcome>, entry: Vec<u8>) -> Self {
        Self { outcome, entries: vec![(entry, Class::Synced)], must_sync: true, ..Self::new() }
    }

    /// Drops the entries that may not use reserved space; their callers get `error` once the others are synced.
    pub(crate) fn keep_reserved(&mut self, error: AppendError) {
        self.entries.retain(|(_, class)| *class == Class::Reserved);
        self.has_relaxed = false;
        self.refused = Some(error);
    }

    /// Tells its callers that it is written, once.
    pub(crate) fn announce_written(&mut self, base: u64) {
        if self.has_relaxed && !self.announced {
            self.announced = true;
            self.outcome.set(State::Written { base });
        }
    }

    /// Tells its callers that it is synced.
    pub(crate) fn announce_synced(self, base: u64) {
        self.outcome.set(match self.refused {
            Some(error) => State::ReservedOnly { base, error },
            None => State::Synced { base },
        });
    }

    /// Tells its callers that it was written and must be written again.
    pub(crate) fn announce_retained(&self, base: u64, error: AppendError) {
        self.outcome.set(State::Retained { base, error });
    }

    /// Whether an entry may use reserved space.
    pub(crate) fn has_reserved(&self) -> bool {
        self.reserved > 0
    }

    /// Takes the entries of one more call.
    pub(crate) fn admit(&mut self, call: Call) -> Ticket {
        let count = len64(call.entries.len());
        let ticket = Ticket {
            outcome: Arc::clone(&self.outcome),
            offset: len64(self.entries.len()),
            reserved: (call.class == Class::Reserved).then_some(self.reserved),
            count,
        };
        match call.class {
            Class::Relaxed => self.has_relaxed = true,
            Class::Reserved => {
                self.reserved += count;
                self.must_sync = true;
            }
            Class::Synced => self.must_sync = true,
        }
        self.calls += 1;
        self.bytes += call.bytes;
        self.entries.extend(call.entries.into_iter().map(|entry| (entry, call.class)));
        ticket
    }
}

/// One call's entries.
pub(crate) struct Call {
    pub(crate) entries: Vec<Vec<u8>>,
    pub(crate) class: Class,
    pub(crate) bytes: usize,
}

fn len64(len: usize) -> u64 {
    u64::try_from(len).expect("a length in memory fits 64 bits")
}
