//! The log thread: takes all that waits, writes it with its signed checkpoint in one write, syncs once, wakes all.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use super::{
    batch::{AppendError, Batch},
    checkpoint::{Head, sign_head},
    disk::{Access, Blocks, DiskError, DiskFile, Named},
    ledger::Written,
    merkle::{Frontier, leaf_hash},
    note::NoteSigner,
    pace::Pace,
    queue::{Rotation, Work},
    rotation::envelope,
    segment::{FRAME_HEAD, HEADER_LEN, Header, push_checkpoint_frame, push_entry_frame},
    shared::{AheadFile, Shared, SyncJob},
    tail::Segment,
    tile::MAX_ENTRY,
};

/// The segment being written.
pub(crate) struct Open {
    pub(crate) header: Header,
    pub(crate) file: Arc<dyn DiskFile>,
    /// The same file, opened once more for the syncing thread.
    pub(crate) again: Arc<dyn DiskFile>,
    pub(crate) path: PathBuf,
    pub(crate) generation: u64,
    /// Where the next frame goes; 0 where the header is still to be written, with the first batch.
    pub(crate) at: u64,
    pub(crate) len: u64,
    /// Whether it is the one kept for a full disk.
    pub(crate) reserve: bool,
}

/// A batch that is not in the segment, and why.
type NotWritten = Box<(Batch, DiskError)>;

/// Which space a batch may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Room {
    Ordinary,
    Reserve,
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    signer: NoteSigner,
    /// The tree with everything that was written.
    frontier: Frontier,
    /// None after a failure: nothing is known of what the segment holds beyond the last sync.
    open: Option<Open>,
    next_ordinal: u64,
    /// Batches whose callers were told that they are written, and whose sync then failed: first in line to be written
    /// again, with the same indexes.
    retained: VecDeque<Batch>,
    failed: Option<(Instant, DiskError)>,
    /// Segments in which nothing was synced, to be removed once what was written to them is synced elsewhere.
    replaced: Vec<PathBuf>,
    /// Failures since the last sync that succeeded.
    failures: u32,
    pace: Pace,
    buffer: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        signer: NoteSigner,
        frontier: Frontier,
        open: Option<Open>,
        next_ordinal: u64,
    ) -> Self {
        Self {
            shared,
            signer,
            frontier,
            open,
            next_ordinal,
            retained: VecDeque::new(),
            failed: None,
            replaced: Vec::new(),
            failures: 0,
            pace: Pace::new(),
            buffer: Vec::new(),
        }
    }

    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        // However the thread ends, nobody waits for it any more.
        let _guard = Abandon(Arc::clone(&self.shared));
        loop {
            let until = (!self.retained.is_empty()).then(|| Instant::now() + self.shared.options.retry_after);
            match self.shared.queue.next(self.pace.linger(), until) {
                Work::Batch(batch) => self.on_batch(batch),
                Work::Rotate(rotation) => self.on_rotation(rotation),
                Work::Retry => drop(self.ensure(Room::Ordinary, 0)),
                Work::SyncFailed(generation, error) => {
                    if self.open.as_ref().is_some_and(|open| open.generation == generation) {
                        self.fall_back(&error);
                    }
                }
                Work::Stop => break,
            }
        }
        self.stop();
    }

    fn on_batch(&mut self, batch: Batch) {
        if let Some(what) = self.shared.tampered() {
            return self.refuse(batch, AppendError::Tampered(what));
        }
        let calls = batch.calls;
        let Err(failed) = self.try_batch(Room::Ordinary, batch) else {
            return self.pace.batch_done(calls, self.shared.queue.waiting_calls());
        };
        let (mut batch, error) = *failed;
        if !batch.has_reserved() {
            return self.refuse(batch, error.into());
        }
        batch.keep_reserved(error.into());
        if let Err(failed) = self.try_batch(Room::Reserve, batch) {
            let (batch, error) = *failed;
            self.refuse(batch, error.into());
        }
    }

    /// Writes a batch, and syncs it if a caller waits for that. A batch that was not written is given back; what
    /// becomes of one whose sync fails is told to its callers.
    fn try_batch(&mut self, room: Room, batch: Batch) -> Result<(), NotWritten> {
        if let Err(error) = self.ensure(room, batch_room(&batch)) {
            return Err(Box::new((batch, error)));
        }
        let must_sync = batch.must_sync;
        if let Err(failed) = self.write(batch, None) {
            self.fall_back(&failed.1);
            return Err(failed);
        }
        if must_sync {
            // The callers were told of a failure.
            let _ = self.sync();
        } else if let Some(open) = &self.open {
            let job = SyncJob {
                generation: open.generation,
                file: Arc::clone(&open.again),
                path: open.path.clone(),
                size: self.frontier.size(),
            };
            self.shared.sync.set(|jobs| jobs.latest = Some(job));
        }
        Ok(())
    }

    fn on_rotation(&mut self, rotation: Rotation) {
        let Rotation { next, entry, outcome } = rotation;
        if let Some(what) = self.shared.tampered() {
            return outcome.fail(AppendError::Tampered(what));
        }
        // Written by itself, after everything before it is synced: what comes later is signed by the new key.
        let ready = self.ensure(Room::Ordinary, len64(MAX_ENTRY) + BATCH_ROOM).and_then(|()| self.sync());
        if let Err(error) = ready {
            return outcome.fail(error.into());
        }
        let payload = entry(&self.signer.verifier().to_string(), &next.verifier().to_string());
        let entry = envelope(&self.signer, next.verifier(), self.frontier.size(), &payload);
        if entry.len() > MAX_ENTRY {
            return outcome.fail(AppendError::EntrySize(entry.len()));
        }
        if let Err(failed) = self.write(Batch::single(outcome, entry), Some(&next)) {
            let (batch, error) = *failed;
            self.fall_back(&error);
            return batch.outcome.fail(error.into());
        }
        if self.sync().is_ok() {
            self.signer = next;
        }
    }

    /// Sees to it that the open segment has room for `need` bytes and that what was retained is in it.
    fn ensure(&mut self, room: Room, need: u64) -> Result<(), DiskError> {
        let fits = |open: &Open| {
            let lead = if open.at == 0 { len64(HEADER_LEN) + BATCH_ROOM } else { 0 };
            open.at + lead + need <= open.len && (room == Room::Reserve || !open.reserve)
        };
        if self.open.as_ref().is_some_and(fits) {
            return Ok(());
        }
        if let (Room::Ordinary, Some((at, error))) = (room, &self.failed)
            && at.elapsed() < self.shared.options.retry_after
        {
            return Err(error.clone());
        }
        let begun = self.sync().and_then(|()| self.begin(room, need)).and_then(|()| self.write_retained());
        match &begun {
            Ok(()) => self.failed = None,
            Err(error) => self.failed = Some((Instant::now(), error.clone())),
        }
        begun
    }

    /// Opens the next segment. What was open stays so if that fails.
    fn begin(&mut self, room: Room, need: u64) -> Result<(), DiskError> {
        let shared = Arc::clone(&self.shared);
        let retained: u64 = self.retained.iter().map(batch_room).sum();
        let least = len64(HEADER_LEN) + BATCH_ROOM + need + retained;
        let path = shared.paths.segment(self.next_ordinal);
        // A name is used once, also where the attempt fails in the middle.
        self.next_ordinal += 1;
        let AheadFile { file, len } = self.next_file(room, least, &path)?;
        let segments = shared.paths.segments();
        let named = shared.disk.sync(std::slice::from_ref(&segments)).named("sync", &segments);
        let again = named.and_then(|()| shared.disk.open(&path, Access::Write).named("open", &path));
        let again = again.inspect_err(|_| {
            // Nothing is in it; one that stays is passed over when the log is opened again.
            let _ = shared.disk.remove(&path);
        })?;
        let header = Header { ordinal: self.next_ordinal - 1, first: self.frontier.size(), root: self.frontier.root() };
        {
            let mut tail = shared.tail.write();
            // Segments of failed attempts: nothing in them was synced.
            let empty = |segment: &Segment| segment.first == header.first && header.first > 0;
            self.replaced.extend(tail.segments.iter().filter(|s| empty(s)).map(|s| s.path.clone()));
            tail.segments.retain(|segment| !empty(segment));
            let segment = Segment::new(header.ordinal, header.first, path.clone(), Arc::clone(&file), len);
            tail.segments.push(segment);
        }
        let generation = shared.ledger.begin();
        let reserve = room == Room::Reserve;
        self.open = Some(Open { header, file, again, path, generation, at: 0, len, reserve });
        Ok(())
    }

    /// A zeroed file of at least so many bytes, under the path.
    fn next_file(&self, room: Room, least: u64, path: &Path) -> Result<AheadFile, DiskError> {
        let shared = &self.shared;
        {
            // Renamed before the lock is given back: from then on the keeping thread may make the next one.
            let mut ahead = shared.ahead.lock();
            let (taken, from) = match room {
                Room::Ordinary => (ahead.spare.take_if(|spare| spare.len >= least), shared.paths.spare()),
                Room::Reserve => (ahead.reserve.take_if(|reserve| reserve.len >= least), shared.paths.reserve()),
            };
            shared.keep.set(|keep| keep.taken = true);
            if let Some(taken) = taken {
                shared.disk.rename(&from, path).named("rename", &from)?;
                return Ok(taken);
            }
        }
        let len = shared.options.urgent_bytes().max(least);
        shared.allocate(path, len, Blocks::Written).map(|file| AheadFile { file, len })
    }

    fn write_retained(&mut self) -> Result<(), DiskError> {
        if self.retained.is_empty() {
            return Ok(());
        }
        while let Some(batch) = self.retained.pop_front() {
            if let Err(failed) = self.write(batch, None) {
                let (batch, error) = *failed;
                self.retained.push_front(batch);
                self.fall_back(&error);
                return Err(error);
            }
        }
        self.sync()
    }

    /// Writes a batch with its checkpoint, signed by the key in force and by `also`.
    fn write(&mut self, mut batch: Batch, also: Option<&NoteSigner>) -> Result<(), NotWritten> {
        let shared = Arc::clone(&self.shared);
        let Some(open) = &mut self.open else {
            let missing = std::io::Error::from(std::io::ErrorKind::NotFound);
            let error = DiskError { operation: "write", path: shared.paths.segments(), cause: Arc::new(missing) };
            return Err(Box::new((batch, error)));
        };
        let (synced, note) = shared.ledger.latest();
        self.buffer.clear();
        if open.at == 0 {
            self.buffer.extend_from_slice(&open.header.encode());
            push_checkpoint_frame(&mut self.buffer, synced.size, &note);
        }
        let offset = open.at + len64(self.buffer.len());
        let base = self.frontier.size();
        let mut frontier = self.frontier.clone();
        let mut leaves = Vec::with_capacity(batch.entries.len());
        for (entry, _) in &batch.entries {
            push_entry_frame(&mut self.buffer, entry);
            let leaf = leaf_hash(entry);
            leaves.push(leaf);
            frontier.push(leaf);
        }
        let head = Head { size: frontier.size(), root: frontier.root() };
        let note = sign_head(&shared.options.origin, &head, std::iter::once(&self.signer).chain(also));
        push_checkpoint_frame(&mut self.buffer, synced.size, &note);
        if let Err(error) = open.file.write_at(&self.buffer, open.at).named("write", &open.path) {
            return Err(Box::new((batch, error)));
        }
        open.at += len64(self.buffer.len());
        self.frontier = frontier.clone();
        shared.counters.count_batch(batch.entries.len());
        batch.announce_written(base);
        let ordinal = open.header.ordinal;
        let next_key = also.map(|next| next.verifier().clone());
        shared.ledger.push(Written { batch, base, leaves, frontier, note: note.into(), ordinal, offset, next_key });
        Ok(())
    }

    /// Syncs what is written and not synced; on failure its callers are told, and the segment is left.
    fn sync(&mut self) -> Result<(), DiskError> {
        let Some(open) = &self.open else { return Ok(()) };
        if !self.shared.ledger.is_behind() {
            return Ok(());
        }
        crate::failpoint::hit("before-log-sync");
        let started = Instant::now();
        if let Err(error) = open.file.sync_data().named("sync", &open.path) {
            self.fall_back(&error);
            return Err(error);
        }
        self.failures = 0;
        let took = started.elapsed();
        self.pace.sync_done(took);
        self.shared.counters.count_sync(took);
        self.shared.advance(open.generation, self.frontier.size());
        for path in self.replaced.drain(..) {
            // One that stays is passed over when the log is opened again.
            let _ = self.shared.disk.remove(&path);
        }
        Ok(())
    }

    /// Gives up the open segment and everything in it that is not synced.
    fn fall_back(&mut self, error: &DiskError) {
        tracing::error!(log = %self.shared.options.origin, %error, cause = %error.cause, "writing the log failed");
        self.shared.counters.failures.fetch_add(1, Ordering::Relaxed);
        self.failures += 1;
        if self.failures > 1 {
            // The first failure is tried again at once, in a fresh segment; a disk that goes on failing is given time.
            self.failed = Some((Instant::now(), error.clone()));
        }
        let (lost, frontier) = self.shared.ledger.fall_back();
        for written in lost.into_iter().rev() {
            if written.batch.announced {
                written.batch.announce_retained(written.base, error.clone().into());
                self.retained.push_front(written.batch);
            } else {
                self.refuse(written.batch, error.clone().into());
            }
        }
        self.frontier = frontier;
        self.open = None;
    }

    fn refuse(&self, batch: Batch, error: AppendError) {
        self.shared.queue.release(batch.bytes);
        batch.outcome.fail(error);
    }

    fn stop(mut self) {
        // A failure is logged, and shows in what `close` returns: the entries are not synced.
        let _ = self.sync();
        if !self.retained.is_empty() {
            self.failed = None;
            let _ = self.ensure(Room::Ordinary, 0);
        }
        let lost: usize = self.retained.iter().map(|batch| batch.entries.len()).sum();
        if lost > 0 {
            tracing::error!(log = %self.shared.options.origin, entries = lost, "entries that were written are lost");
            self.shared.counters.lost.fetch_add(len64(lost), Ordering::Relaxed);
        }
    }
}

/// Syncs beside the log thread what is written and whose callers do not wait for it.
pub(crate) fn sync_beside(shared: &Shared) {
    let mut failed = None;
    loop {
        let job = {
            let mut jobs = shared.sync.value.lock();
            while jobs.latest.is_none() && !jobs.stop {
                shared.sync.changed.wait(&mut jobs);
            }
            // What is written in the meantime shares the sync.
            let until = Instant::now() + shared.options.relaxed_sync_delay;
            while !jobs.stop && !shared.sync.changed.wait_until(&mut jobs, until).timed_out() {}
            if jobs.stop {
                return;
            }
            jobs.latest.take()
        };
        let Some(SyncJob { generation, file, path, size }) = job else { continue };
        // After a failure a file says nothing more about what was written to it before; the log thread leaves it.
        if shared.ledger.size() >= size || failed == Some(generation) {
            continue;
        }
        let started = Instant::now();
        match file.sync_data().named("sync", &path) {
            Ok(()) => {
                shared.counters.count_sync(started.elapsed());
                shared.advance(generation, size);
            }
            Err(error) => {
                failed = Some(generation);
                shared.queue.sync_failed(generation, error);
            }
        }
    }
}

struct Abandon(Arc<Shared>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.queue.abandon();
        let (left, _) = self.0.ledger.fall_back();
        left.into_iter().for_each(|written| written.batch.outcome.fail(AppendError::Closed));
    }
}

/// The most that the frames of a batch take.
fn batch_room(batch: &Batch) -> u64 {
    len64(batch.bytes + batch.entries.len() * FRAME_HEAD) + BATCH_ROOM
}

fn len64(len: usize) -> u64 {
    u64::try_from(len).expect("a length in memory fits 64 bits")
}

/// More than the frame of a checkpoint takes that bears two signatures under the longest name.
const BATCH_ROOM: u64 = 2048;
