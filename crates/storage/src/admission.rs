//! The way into a single writer: bounds what waits, by number and by bytes, and carries the answers back.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::batch::Batch;
use crate::entry::Revision;
use crate::error::Error;
use crate::stats::Counters;

/// Bounds the bytes of all batches between their submission and their answer.
#[derive(Debug)]
pub(crate) struct Admission {
    room: Arc<Semaphore>,
    counters: Arc<Counters>,
}

impl Admission {
    /// An empty waiting room.
    pub(crate) fn new(counters: Arc<Counters>) -> Admission {
        Admission { room: Arc::new(Semaphore::new(ROOM_KIB)), counters }
    }

    /// Checks the batch and waits for room. [`Error::Unavailable`] once the store is closed.
    pub(crate) async fn admit(&self, batch: Batch) -> Result<(Job, Answer), Error> {
        let size = batch.measure()?;
        let kib = u32::try_from(size / 1024).unwrap_or(u32::MAX).saturating_add(1);
        let room = Arc::clone(&self.room).acquire_many_owned(kib).await.map_err(|_| Error::closed())?;
        let (sender, receiver) = oneshot::channel();
        let job = Job { batch, size, answer: sender, counters: Arc::clone(&self.counters), _room: room };
        Ok((job, Answer(receiver)))
    }

    /// Refuses everything from now on.
    pub(crate) fn close(&self) {
        self.room.close();
    }
}

/// A batch on its way through the writer.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) batch: Batch,
    /// Bytes of keys and values.
    pub(crate) size: usize,
    answer: oneshot::Sender<Result<Revision, Error>>,
    counters: Arc<Counters>,
    _room: OwnedSemaphorePermit,
}

impl Job {
    /// Answers the caller, who may have gone, and counts the outcome.
    pub(crate) fn finish(self, outcome: Result<Revision, Error>) {
        self.counters.count(&self.batch, self.size, &outcome);
        // A caller that stopped waiting gave up the answer, not the commit.
        drop(self.answer.send(outcome));
    }
}

/// Where the answer to an admitted batch arrives.
pub(crate) struct Answer(oneshot::Receiver<Result<Revision, Error>>);

impl Answer {
    /// Waits for the writer. [`Error::Unknown`] if it ended without answering.
    pub(crate) async fn wait(self) -> Result<Revision, Error> {
        match self.0.await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::Unknown { operation: "the writer stopped during a commit", source: None }),
        }
    }
}

/// How many requests may wait in a writer's queue.
pub(crate) const QUEUE: usize = 1024;
/// How many batches one transaction takes.
pub(crate) const GROUP: usize = 256;
/// A transaction takes no further batch once its batches reach this many bytes.
pub(crate) const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// Room for batches between submission and answer; more than the largest batch, so that one never waits for itself.
const ROOM_KIB: usize = (Batch::MAX_BYTES + 16 * 1024 * 1024) / 1024;
