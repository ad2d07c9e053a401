//! An append-only log of opaque entries, proved by a Merkle tree and signed checkpoints (C2SP `tlog-tiles`).
//!
//! One log thread writes what waits, with the checkpoint signed over it, in one write to a segment, syncs it once and
//! wakes all who wait (group commit). Segments are the truth for new entries; a second thread publishes tiles, bundles
//! and the checkpoint from them, and removes segments whose entries are in full, synced bundles. What was acknowledged
//! survives a crash between any two operations; what was not is dropped when the log is opened.
//!
//! The log never looks into entries, and knows no time but that of its own pace.

mod batch;
pub mod checkpoint;
pub(crate) mod copy;
pub mod disk;
mod edge;
pub mod index;
mod keeper;
mod ledger;
pub mod merkle;
pub mod note;
mod open_error;
mod pace;
mod paths;
pub mod proof;
pub mod proof_file;
mod queue;
mod recovery;
mod replay;
pub mod rotation;
mod segment;
mod segment_stream;
mod shared;
mod stats;
pub mod summary;
mod tail;
#[cfg(test)]
pub(crate) mod tests;
pub mod tile;
mod tile_check;
pub mod verify;
mod writer;
mod zeros;

use std::{
    io,
    panic::{self, AssertUnwindSafe},
    path::Path,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use coffer_crypto::sign::SigningKey;
use parking_lot::Mutex;

pub use self::{
    batch::{AppendError, Ticket},
    checkpoint::Head,
    disk::{Disk, DiskError, RealDisk},
    keeper::PublishError,
    open_error::OpenError,
    queue::Appending,
    recovery::{LogOrigin, Opened},
    rotation::payload,
    stats::Stats,
    tail::ReadError,
};
use self::{
    batch::{Class, Level, Outcome},
    disk::{Access, Named},
    keeper::Keeper,
    ledger::Ledger,
    note::{KeyName, NoteSigner, VerifierKey},
    paths::Paths,
    queue::{Bounds, Rotation},
    recovery::{Recovered, Recovery},
    rotation::{KeyChain, is_free_name},
    shared::Shared,
    writer::{Open, Writer, sync_beside},
};

/// How a log is kept. The defaults are right for a server; tests make things smaller.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Options {
    /// The name of the log, in its checkpoints and of its keys.
    pub origin: KeyName,
    /// The length of a segment; one that callers wait for is shorter, one whose batch needs more is longer. 8 MiB.
    pub segment_bytes: u64,
    /// The length of the segment kept for when the disk is full; more than `pending_bytes`. 16 MiB.
    pub reserve_bytes: u64,
    /// The most entries of a batch, and of a call. 4096.
    pub max_batch_entries: usize,
    /// The most bytes of a batch, and of a call. 4 MiB.
    pub max_batch_bytes: usize,
    /// The most bytes of entries that wait or are not synced; callers beyond it wait for room. 8 MiB.
    pub pending_bytes: usize,
    /// How often the checkpoint and tiles are published at most. 1 s.
    pub publish_interval: Duration,
    /// How often the segments are looked at for changes from outside. 1 s.
    pub check_interval: Duration,
    /// How long entries whose callers do not wait for the sync go unsynced, besides the sync itself. 10 ms.
    pub relaxed_sync_delay: Duration,
    /// How long a disk that failed more than once is left alone; meanwhile the log refuses at once. 100 ms.
    pub retry_after: Duration,
}

impl Options {
    /// The defaults, for a log of this name.
    pub fn new(origin: KeyName) -> Self {
        Self {
            origin,
            segment_bytes: 8 << 20,
            reserve_bytes: 16 << 20,
            max_batch_entries: 4096,
            max_batch_bytes: 4 << 20,
            pending_bytes: 8 << 20,
            publish_interval: Duration::from_secs(1),
            check_interval: Duration::from_secs(1),
            relaxed_sync_delay: Duration::from_millis(10),
            retry_after: Duration::from_millis(100),
        }
    }

    /// The length of a segment that somebody waits for.
    fn urgent_bytes(&self) -> u64 {
        self.segment_bytes.min(URGENT_BYTES)
    }

    fn bounds(&self) -> Bounds {
        Bounds {
            batch_entries: self.max_batch_entries,
            batch_bytes: self.max_batch_bytes,
            pending_bytes: self.pending_bytes,
        }
    }
}

/// An open log. Dropping it closes it, waiting for what was handed in; [`Log::close`] also says whether that went well.
pub struct Log {
    shared: Arc<Shared>,
    keeper: Arc<Mutex<Keeper>>,
    threads: Vec<thread::JoinHandle<()>>,
    /// Keeps other processes out.
    _lock: Box<dyn Send + Sync>,
}

impl Log {
    /// Opens the log in a directory, which it makes where missing, signing with `signer`.
    ///
    /// `known` is the size and root last registered elsewhere. Without it, a log that is not there is made; with it,
    /// the log must be there and have had that root at that size. What follows the last signed checkpoint was never
    /// acknowledged and is dropped. Blocks while the segments are read.
    ///
    /// # Errors
    /// [`OpenError`]; [`OpenError::OtherKey`] where a change of key came to its end that its caller did not learn of.
    pub fn open(
        dir: &Path,
        disk: Arc<dyn Disk>,
        signer: SigningKey,
        options: Options,
        known: Option<Head>,
    ) -> Result<(Log, Opened), OpenError> {
        if !is_free_name(&options.origin) {
            return Err(OpenError::Name(options.origin.to_string()));
        }
        let signer = NoteSigner::new(options.origin.clone(), signer);
        let paths = Paths::new(dir);
        disk.create_dirs(dir).named("make", dir)?;
        let lock = disk.lock(&paths.lock()).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => OpenError::Locked(dir.to_owned()),
            _ => DiskError { operation: "lock", path: paths.lock(), cause: Arc::new(error) }.into(),
        })?;
        let recovered = {
            let recovery = Recovery {
                disk: disk.as_ref(),
                paths: &paths,
                signer: &signer,
                first_segment_bytes: options.segment_bytes,
            };
            recovery.run(known)?
        };
        let Recovered { frontier, note, tail, segment, next_ordinal, chain, keys_changed, published, opened } =
            recovered;
        let ledger = Ledger::new(frontier.clone(), note);
        let again = disk.open(&segment.path, Access::Write).named("open", &segment.path)?;
        let open = Open {
            header: segment.header,
            file: segment.file,
            again,
            path: segment.path,
            generation: ledger.begin(),
            at: segment.at,
            len: segment.len,
            reserve: false,
        };
        let shared = Arc::new(Shared::new(options, paths, disk, ledger, tail, chain));
        shared.keys_changed.store(keys_changed, Ordering::Release);
        let writer = Writer::new(Arc::clone(&shared), signer, frontier, Some(open), next_ordinal);
        let keeper = Keeper::new(Arc::clone(&shared), published);
        // Before the first entry: from then on a full disk does not keep out those that may use the reserve.
        keeper.make_reserve();
        let keeper = Arc::new(Mutex::new(keeper));
        let mut log =
            Log { shared: Arc::clone(&shared), keeper: Arc::clone(&keeper), threads: Vec::new(), _lock: lock };
        log.spawn("log", move || writer.run())?;
        let syncing = Arc::clone(&shared);
        log.spawn("log-sync", move || sync_beside(&syncing))?;
        log.spawn("log-keep", move || keep(&shared, &keeper))?;
        Ok((log, opened))
    }

    /// Hands entries of 1 to 65,535 bytes to the log, in the order of calls; those of one call lie side by side.
    ///
    /// The future waits while too much is pending; dropped before it is ready, it takes the entries back. They are
    /// acknowledged by [`Log::synced`] alone.
    pub fn append(&self, entries: Vec<Vec<u8>>) -> Appending {
        self.shared.queue.append(entries, Class::Synced)
    }

    /// As [`Log::append`], for entries that may use the space kept for when the disk is full.
    pub fn append_reserved(&self, entries: Vec<Vec<u8>>) -> Appending {
        self.shared.queue.append(entries, Class::Reserved)
    }

    /// As [`Log::append`], for entries whose callers go on after [`Log::written`]. They survive the end of the process,
    /// and a loss of power once they are synced, shortly after.
    pub fn append_relaxed(&self, entries: Vec<Vec<u8>>) -> Appending {
        self.shared.queue.append(entries, Class::Relaxed)
    }

    /// Waits until the entries, and the checkpoint signed over them, are synced; gives the index of the first.
    ///
    /// # Errors
    /// [`AppendError`]: the entries are not in the log, or, after a failed sync, not known to be.
    pub async fn synced(&self, ticket: &Ticket) -> Result<u64, AppendError> {
        ticket.wait(Level::Synced).await
    }

    /// Waits until the entries are handed to the operating system; gives the index of the first.
    ///
    /// # Errors
    /// [`AppendError`]: the entries are not in the log.
    pub async fn written(&self, ticket: &Ticket) -> Result<u64, AppendError> {
        ticket.wait(Level::Written).await
    }

    /// The last synced size and root.
    pub fn head(&self) -> Head {
        self.shared.ledger.latest().0
    }

    /// The signed checkpoint of [`Log::head`].
    pub fn checkpoint(&self) -> String {
        self.shared.ledger.latest().1.to_string()
    }

    /// The keys that have signed the log, as far as known, and the one in force.
    pub fn keys(&self) -> KeyChain {
        self.shared.chain.lock().clone()
    }

    /// Synced entries from an index on, with their indexes: at most `limit`, fewer where they have more than 4 MiB, none
    /// at the end of the log. Blocks while files are read.
    ///
    /// # Errors
    /// [`ReadError`]; an index beyond the size of the log is none.
    pub fn read(&self, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, ReadError> {
        let size = self.shared.ledger.size();
        if from > size {
            return Err(ReadError::Range { asked: from, size });
        }
        let to = size.min(from.saturating_add(u64::try_from(limit).unwrap_or(u64::MAX)));
        let entries = self.shared.reader().entries(from, to, MAX_READ)?;
        Ok((from..).zip(entries).collect())
    }

    /// The hashes that prove the entry at an index in the tree of a size, the leaf's sibling first. Blocks.
    ///
    /// # Errors
    /// [`ReadError::Range`] unless `index < size` and `size` is synced.
    pub fn prove_inclusion(&self, index: u64, size: u64) -> Result<Vec<merkle::Hash>, ReadError> {
        self.check_size(size)?;
        if index >= size {
            return Err(ReadError::Range { asked: index, size });
        }
        proof::inclusion(&mut self.shared.reader().nodes(), index, size)
    }

    /// The hashes that prove that the tree of size `old` is a prefix of that of size `new`. Blocks.
    ///
    /// # Errors
    /// [`ReadError::Range`] unless `old <= new` and `new` is synced.
    pub fn prove_consistency(&self, old: u64, new: u64) -> Result<Vec<merkle::Hash>, ReadError> {
        self.check_size(new)?;
        if old > new {
            return Err(ReadError::Range { asked: old, size: new });
        }
        proof::consistency(&mut self.shared.reader().nodes(), old, new)
    }

    /// The proof file of an entry in the log as it stands now. Blocks.
    ///
    /// # Errors
    /// [`ReadError::Range`] for an index that is not synced.
    pub fn proof_file(&self, index: u64, extra: Option<Vec<u8>>) -> Result<proof_file::ProofFile, ReadError> {
        let (head, note) = self.shared.ledger.latest();
        let path = self.prove_inclusion(index, head.size)?;
        Ok(proof_file::ProofFile { extra, index, path, checkpoint: note.to_string() })
    }

    /// Changes the key that signs, and waits until that is synced; gives the index of the entry that says so.
    ///
    /// `entry` makes the caller's own record of it from the old and the new verifier key; it is wrapped in an envelope
    /// that the old key signs (see [`rotation`]) and found again with [`payload`]. The checkpoint over it is signed by
    /// both keys, later ones by the new key alone. The caller must have stored `next` before: a crash, or an error
    /// here, leaves it open which of the two is in force, which [`Log::open`] then says.
    ///
    /// # Errors
    /// [`AppendError`]; the old key goes on signing unless the log is opened again.
    pub async fn rotate_key(
        &self,
        next: SigningKey,
        entry: impl FnOnce(&str, &str) -> Vec<u8> + Send + 'static,
    ) -> Result<u64, AppendError> {
        let next = NoteSigner::new(self.shared.options.origin.clone(), next);
        let outcome = Outcome::new();
        let ticket = outcome.ticket();
        self.shared.queue.rotate(Rotation { next, entry: Box::new(entry), outcome })?;
        ticket.wait(Level::Synced).await
    }

    /// The key in force, for whoever verifies the log.
    pub fn verifier_key(&self) -> VerifierKey {
        self.shared.chain.lock().current().clone()
    }

    /// What the log has counted since it was opened.
    pub fn stats(&self) -> Stats {
        self.shared.counters.read(self.shared.queue.pending_bytes())
    }

    /// Publishes what is synced now: tiles, bundles, checkpoint. It happens by itself too. Blocks.
    ///
    /// # Errors
    /// [`PublishError`]; entries are safe all the same, and publishing is tried again.
    pub fn publish(&self) -> Result<(), PublishError> {
        self.keeper.lock().publish()
    }

    /// Looks now whether the log's segments were changed from outside; if so, everything is refused from here on. It
    /// happens by itself too. Blocks.
    pub fn check_files(&self) {
        self.keeper.lock().check_segments();
    }

    /// Refuses new entries, waits until those handed in are synced, publishes. Blocks.
    ///
    /// # Errors
    /// [`PublishError`]; whether entries were lost stands in [`Log::stats`], and their callers were told.
    pub fn close(mut self) -> Result<(), PublishError> {
        self.stop();
        self.keeper.lock().publish()
    }

    fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    fn stop(&mut self) {
        self.shared.queue.close();
        for thread in self.threads.drain(..) {
            // The log thread comes first; the others work for it until it is done.
            let _ = thread.join();
            self.shared.sync.set(|jobs| jobs.stop = true);
            self.shared.keep.set(|keep| keep.stop = true);
        }
    }

    fn check_size(&self, asked: u64) -> Result<(), ReadError> {
        let size = self.shared.ledger.size();
        if asked > size { Err(ReadError::Range { asked, size }) } else { Ok(()) }
    }

    fn spawn(&mut self, name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), OpenError> {
        let thread = thread::Builder::new().name(format!("coffer-{name}")).spawn(work);
        self.threads.push(thread.map_err(|error| OpenError::Thread(Arc::new(error)))?);
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The keeping thread: at work when something is due or was asked for.
fn keep(shared: &Shared, keeper: &Mutex<Keeper>) {
    let every = shared.options.publish_interval.min(shared.options.check_interval);
    loop {
        let tick = panic::catch_unwind(AssertUnwindSafe(|| keeper.lock().tick()));
        if tick.is_err() {
            // The thread goes on: what it was at is begun again from what is on disk.
            tracing::error!(log = %shared.options.origin, "keeping the log's files failed");
            shared.counters.publish_failures.fetch_add(1, Ordering::Relaxed);
        }
        let mut keep = shared.keep.value.lock();
        if !keep.taken && !keep.stop {
            shared.keep.changed.wait_for(&mut keep, every);
        }
        if keep.stop {
            return;
        }
        keep.taken = false;
    }
}

const MAX_READ: usize = 4 << 20;
const URGENT_BYTES: u64 = 1 << 20;
