//! What waits for the log thread, in the order of calls and within bounds.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use super::{
    batch::{AppendError, Batch, Call, Class, Outcome, Ticket},
    disk::DiskError,
    note::NoteSigner,
    rotation,
    tile::MAX_ENTRY,
};

/// Makes the caller's record of a change of key from the old and the new verifier key.
pub(crate) type MakeEntry = Box<dyn FnOnce(&str, &str) -> Vec<u8> + Send>;

/// A change of the key that signs.
pub(crate) struct Rotation {
    pub(crate) next: NoteSigner,
    pub(crate) entry: MakeEntry,
    pub(crate) outcome: Arc<Outcome>,
}

/// What the log thread does next.
pub(crate) enum Work {
    Batch(Batch),
    Rotate(Rotation),
    /// The deadline has passed.
    Retry,
    Stop,
    /// A sync beside the log thread failed, for the segment of this generation.
    SyncFailed(u64, DiskError),
}

/// How long the log thread waits for a batch to fill.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Linger {
    /// The calls that make a batch worth going at once.
    pub(crate) calls: usize,
    pub(crate) limit: Duration,
    /// A batch that did not grow for so long goes: who is to come waits for something else, as the store.
    pub(crate) quiet: Duration,
    /// The limit for callers that do not wait for the sync: they share the signature alone.
    pub(crate) relaxed: Duration,
}

/// How a batch has filled so far.
struct Lingered {
    until: Instant,
    /// The calls when it was last looked at.
    calls: usize,
}

/// The bounds of batches and of what waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) batch_entries: usize,
    pub(crate) batch_bytes: usize,
    pub(crate) pending_bytes: usize,
}

/// The meeting place of callers and the log thread.
pub(crate) struct Queue {
    bounds: Bounds,
    inner: Mutex<Inner>,
    /// Signalled when `Inner::wake_at` calls wait, and for everything but calls.
    work: Condvar,
}

struct Inner {
    open: bool,
    pending: VecDeque<Work>,
    pending_calls: usize,
    /// The bytes of entries that were taken and are not released: waiting, or written and not synced.
    bytes: usize,
    parked: VecDeque<Parked>,
    next_parked: u64,
    sync_failed: Option<(u64, DiskError)>,
    wake_at: usize,
}

/// A call that found no room.
struct Parked {
    id: u64,
    call: Call,
    reply: oneshot::Sender<Result<Ticket, AppendError>>,
}

impl Queue {
    pub(crate) fn new(bounds: Bounds) -> Self {
        let inner = Inner {
            open: true,
            pending: VecDeque::new(),
            pending_calls: 0,
            bytes: 0,
            parked: VecDeque::new(),
            next_parked: 0,
            sync_failed: None,
            wake_at: 1,
        };
        Self { bounds, inner: Mutex::new(inner), work: Condvar::new() }
    }

    /// Takes entries in the order of calls; the future is ready at once unless too much waits.
    pub(crate) fn append(self: &Arc<Self>, entries: Vec<Vec<u8>>, class: Class) -> Appending {
        let call = match self.check(entries, class) {
            Ok(call) => call,
            Err(error) => return Appending::ready(Err(error)),
        };
        let mut inner = self.inner.lock();
        if !inner.open {
            return Appending::ready(Err(AppendError::Closed));
        }
        if inner.parked.is_empty() && self.fits(&inner, &call) {
            let ticket = self.admit(&mut inner, call);
            return Appending::ready(Ok(ticket));
        }
        let id = inner.next_parked;
        inner.next_parked += 1;
        let (reply, receiver) = oneshot::channel();
        inner.parked.push_back(Parked { id, call, reply });
        Appending(Some(AppendingState::Parked { id, receiver, queue: Arc::clone(self) }))
    }

    /// Puts a change of key behind everything that waits.
    pub(crate) fn rotate(&self, rotation: Rotation) -> Result<(), AppendError> {
        let mut inner = self.inner.lock();
        if !inner.open {
            return Err(AppendError::Closed);
        }
        inner.pending.push_back(Work::Rotate(rotation));
        self.work.notify_one();
        Ok(())
    }

    /// Tells the log thread that a sync failed.
    pub(crate) fn sync_failed(&self, generation: u64, error: DiskError) {
        self.inner.lock().sync_failed = Some((generation, error));
        self.work.notify_one();
    }

    /// Refuses what comes from now on; what waits is still done.
    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.open = false;
        for parked in inner.parked.drain(..) {
            // The caller may have gone; then nobody needs the answer.
            let _ = parked.reply.send(Err(AppendError::Closed));
        }
        self.work.notify_one();
    }

    /// Refuses everything, also what waits: the log thread is gone.
    pub(crate) fn abandon(&self) {
        self.close();
        let left = std::mem::take(&mut self.inner.lock().pending);
        for work in left {
            match work {
                Work::Batch(batch) => batch.outcome.fail(AppendError::Closed),
                Work::Rotate(rotation) => rotation.outcome.fail(AppendError::Closed),
                Work::Retry | Work::Stop | Work::SyncFailed(..) => {}
            }
        }
    }

    /// Frees the room of a batch that is done with, and takes parked calls into it.
    pub(crate) fn release(&self, bytes: usize) {
        let mut inner = self.inner.lock();
        inner.bytes = inner.bytes.saturating_sub(bytes);
        while let Some(parked) = inner.parked.pop_front() {
            if !self.fits(&inner, &parked.call) {
                inner.parked.push_front(parked);
                break;
            }
            if !parked.reply.is_closed() {
                let ticket = self.admit(&mut inner, parked.call);
                // A caller that went just now leaves an entry of a request that was not answered, which is harmless.
                let _ = parked.reply.send(Ok(ticket));
            }
        }
    }

    /// The calls that wait now.
    pub(crate) fn waiting_calls(&self) -> usize {
        let inner = self.inner.lock();
        inner.pending_calls + inner.parked.len()
    }

    /// The bytes of entries that are not released.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.inner.lock().bytes
    }

    /// Waits for something to do, and for a batch to fill as `linger` says; `until` ends in [`Work::Retry`].
    pub(crate) fn next(&self, linger: Linger, until: Option<Instant>) -> Work {
        let mut inner = self.inner.lock();
        let mut lingered = None;
        loop {
            if let Some((generation, error)) = inner.sync_failed.take() {
                return Work::SyncFailed(generation, error);
            }
            let full = inner.pending.len() > 1 || !inner.open || inner.pending_calls >= linger.calls;
            let (limit, quiet) = match inner.pending.front() {
                Some(Work::Batch(batch)) if batch.must_sync => (linger.limit, linger.quiet),
                Some(Work::Batch(_)) => (linger.relaxed, linger.relaxed),
                Some(Work::Rotate(_) | Work::Retry | Work::Stop | Work::SyncFailed(..)) | None => Default::default(),
            };
            if !full && !limit.is_zero() {
                let now = Instant::now();
                let Lingered { until, calls } = lingered.get_or_insert(Lingered { until: now + limit, calls: 0 });
                if now < *until && *calls < inner.pending_calls {
                    *calls = inner.pending_calls;
                    inner.wake_at = linger.calls;
                    self.work.wait_until(&mut inner, (now + quiet).min(*until));
                    continue;
                }
            }
            if let Some(work) = inner.pending.pop_front() {
                if let Work::Batch(batch) = &work {
                    inner.pending_calls -= batch.calls;
                }
                inner.wake_at = usize::MAX;
                return work;
            }
            if !inner.open {
                return Work::Stop;
            }
            inner.wake_at = 1;
            match until {
                None => self.work.wait(&mut inner),
                Some(until) if Instant::now() >= until => return Work::Retry,
                Some(until) => {
                    self.work.wait_until(&mut inner, until);
                }
            }
        }
    }

    fn check(&self, entries: Vec<Vec<u8>>, class: Class) -> Result<Call, AppendError> {
        let Bounds { batch_entries, batch_bytes, .. } = self.bounds;
        for entry in &entries {
            if entry.is_empty() || entry.len() > MAX_ENTRY {
                return Err(AppendError::EntrySize(entry.len()));
            }
            if rotation::is_envelope(entry) {
                return Err(AppendError::Reserved);
            }
        }
        let bytes = entries.iter().map(Vec::len).sum();
        if entries.is_empty() || entries.len() > batch_entries || bytes > batch_bytes {
            return Err(AppendError::CallSize { entries: batch_entries, bytes: batch_bytes });
        }
        Ok(Call { entries, class, bytes })
    }

    fn fits(&self, inner: &Inner, call: &Call) -> bool {
        inner.bytes == 0 || inner.bytes + call.bytes <= self.bounds.pending_bytes
    }

    fn admit(&self, inner: &mut Inner, call: Call) -> Ticket {
        inner.bytes += call.bytes;
        inner.pending_calls += 1;
        let joins = |batch: &Batch| {
            batch.entries.len() + call.entries.len() <= self.bounds.batch_entries
                && batch.bytes + call.bytes <= self.bounds.batch_bytes
        };
        let ticket = match inner.pending.back_mut() {
            Some(Work::Batch(batch)) if joins(batch) => batch.admit(call),
            _ => {
                let mut batch = Batch::new();
                let ticket = batch.admit(call);
                inner.pending.push_back(Work::Batch(batch));
                ticket
            }
        };
        if inner.pending_calls >= inner.wake_at || inner.pending.len() > 1 && inner.wake_at != usize::MAX {
            inner.wake_at = usize::MAX;
            self.work.notify_one();
        }
        ticket
    }
}

/// A call to append; dropped while it waits for room, it takes its entries back.
#[must_use = "the entries may still wait for room"]
pub struct Appending(Option<AppendingState>);

enum AppendingState {
    Parked { id: u64, receiver: oneshot::Receiver<Result<Ticket, AppendError>>, queue: Arc<Queue> },
    Ready(Box<Result<Ticket, AppendError>>),
}

impl Appending {
    fn ready(result: Result<Ticket, AppendError>) -> Self {
        Self(Some(AppendingState::Ready(Box::new(result))))
    }
}

impl Future for Appending {
    type Output = Result<Ticket, AppendError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.0.take() {
            Some(AppendingState::Ready(result)) => Poll::Ready(*result),
            Some(AppendingState::Parked { id, mut receiver, queue }) => match Pin::new(&mut receiver).poll(context) {
                Poll::Ready(result) => Poll::Ready(result.unwrap_or(Err(AppendError::Closed))),
                Poll::Pending => {
                    self.0 = Some(AppendingState::Parked { id, receiver, queue });
                    Poll::Pending
                }
            },
            None => Poll::Ready(Err(AppendError::Closed)),
        }
    }
}

impl Drop for Appending {
    fn drop(&mut self) {
        if let Some(AppendingState::Parked { id, queue, .. }) = &self.0 {
            queue.inner.lock().parked.retain(|parked| parked.id != *id);
        }
    }
}
