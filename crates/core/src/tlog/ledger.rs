//! What is written and what is synced: the one place where entries become acknowledged.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::{Mutex, RwLock};

use super::{
    batch::Batch,
    checkpoint::Head,
    merkle::{Frontier, Hash},
    note::VerifierKey,
    tail::Tail,
};

/// A batch that is written and not yet known to be synced.
pub(crate) struct Written {
    pub(crate) batch: Batch,
    /// The index of its first entry.
    pub(crate) base: u64,
    pub(crate) leaves: Vec<Hash>,
    /// The tree with it.
    pub(crate) frontier: Frontier,
    /// The signed checkpoint with which it ends.
    pub(crate) note: Arc<str>,
    /// The segment it is in, and the offset there of its first frame.
    pub(crate) ordinal: u64,
    pub(crate) offset: u64,
    /// The key that signs from then on, if the batch changes it.
    pub(crate) next_key: Option<VerifierKey>,
}

/// The state of the log between its threads. The log thread writes; it and the syncing thread report syncs.
pub(crate) struct Ledger {
    inner: Mutex<Inner>,
}

struct Inner {
    /// Grows with each segment and each failure, so that a late report about an older file is known as one.
    generation: u64,
    written: VecDeque<Written>,
    frontier: Frontier,
    head: Head,
    note: Arc<str>,
}

impl Ledger {
    pub(crate) fn new(frontier: Frontier, note: Arc<str>) -> Self {
        let head = Head { size: frontier.size(), root: frontier.root() };
        Self { inner: Mutex::new(Inner { generation: 0, written: VecDeque::new(), frontier, head, note }) }
    }

    /// The last synced size and root, and their checkpoint.
    pub(crate) fn latest(&self) -> (Head, Arc<str>) {
        let inner = self.inner.lock();
        (inner.head, Arc::clone(&inner.note))
    }

    /// The last synced size.
    pub(crate) fn size(&self) -> u64 {
        self.inner.lock().head.size
    }

    /// Begins a new generation, for a new segment.
    pub(crate) fn begin(&self) -> u64 {
        let mut inner = self.inner.lock();
        inner.generation += 1;
        inner.generation
    }

    /// Whether batches are written and not synced.
    pub(crate) fn is_behind(&self) -> bool {
        !self.inner.lock().written.is_empty()
    }

    /// Adds a batch that was written.
    pub(crate) fn push(&self, written: Written) {
        self.inner.lock().written.push_back(written);
    }

    /// Reports that what this generation had written up to `size` is synced: readers see it from then on. Gives the
    /// batches whose callers are to be told. A report about an older generation changes nothing.
    pub(crate) fn advance(&self, generation: u64, size: u64, tail: &RwLock<Tail>) -> Vec<Written> {
        let mut done = Vec::new();
        let mut inner = self.inner.lock();
        if inner.generation != generation {
            return done;
        }
        while inner.written.front().is_some_and(|written| written.frontier.size() <= size) {
            done.extend(inner.written.pop_front());
        }
        let Some(last) = done.last() else { return done };
        {
            let mut tail = tail.write();
            for written in &done {
                written.leaves.iter().for_each(|leaf| tail.edge.push(*leaf));
                let segment = tail.segments.iter_mut().rev().find(|segment| segment.ordinal == written.ordinal);
                if let Some(segment) = segment {
                    segment.mark(written.base, written.offset);
                }
            }
        }
        inner.frontier = last.frontier.clone();
        inner.head = Head { size: last.frontier.size(), root: last.frontier.root() };
        inner.note = Arc::clone(&last.note);
        done
    }

    /// Goes back to what is synced: gives the batches that are not, and the tree without them.
    pub(crate) fn fall_back(&self) -> (VecDeque<Written>, Frontier) {
        let mut inner = self.inner.lock();
        inner.generation += 1;
        (std::mem::take(&mut inner.written), inner.frontier.clone())
    }
}
