//! What the threads of a log and its callers share.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::{Condvar, Mutex, RwLock};

use super::{
    Options,
    disk::{Blocks, Disk, DiskError, DiskFile, Named},
    ledger::Ledger,
    paths::Paths,
    queue::Queue,
    rotation::KeyChain,
    stats::Counters,
    tail::{Reader, Tail},
};

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) paths: Paths,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) ledger: Ledger,
    pub(crate) tail: RwLock<Tail>,
    pub(crate) counters: Counters,
    /// The keys that have signed, changed by the log thread.
    pub(crate) chain: Mutex<KeyChain>,
    /// Whether `chain` is other than the file `keys`.
    pub(crate) keys_changed: AtomicBool,
    /// Segments made ahead of use, by the keeping thread; taken by the log thread.
    pub(crate) ahead: Mutex<Ahead>,
    /// Whether the last attempt at making one failed, so that a lasting failure is logged once.
    pub(crate) making_failed: AtomicBool,
    pub(crate) keep: Signal<Keep>,
    pub(crate) sync: Signal<SyncJobs>,
    tampered: Mutex<Option<Arc<str>>>,
}

/// Zeroed files that wait for their use.
#[derive(Default)]
pub(crate) struct Ahead {
    pub(crate) spare: Option<AheadFile>,
    pub(crate) reserve: Option<AheadFile>,
}

/// One zeroed file and its length.
pub(crate) struct AheadFile {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) len: u64,
}

/// A value with a signal for the thread that waits for it to change.
#[derive(Default)]
pub(crate) struct Signal<T> {
    pub(crate) value: Mutex<T>,
    pub(crate) changed: Condvar,
}

impl<T> Signal<T> {
    /// Changes the value and wakes the thread.
    pub(crate) fn set(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.value.lock());
        self.changed.notify_one();
    }
}

/// What the keeping thread is told.
#[derive(Default)]
pub(crate) struct Keep {
    /// A segment made ahead was taken.
    pub(crate) taken: bool,
    pub(crate) stop: bool,
}

/// What the syncing thread is told.
#[derive(Default)]
pub(crate) struct SyncJobs {
    pub(crate) latest: Option<SyncJob>,
    pub(crate) stop: bool,
}

/// A file to sync, opened apart from the one that is written, since each opening learns of errors by itself.
pub(crate) struct SyncJob {
    pub(crate) generation: u64,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) path: std::path::PathBuf,
    /// The size of the log that is synced with it.
    pub(crate) size: u64,
}

impl Shared {
    pub(crate) fn new(
        options: Options,
        paths: Paths,
        disk: Arc<dyn Disk>,
        ledger: Ledger,
        tail: Tail,
        chain: KeyChain,
    ) -> Self {
        Self {
            queue: Arc::new(Queue::new(options.bounds())),
            options,
            paths,
            disk,
            ledger,
            tail: RwLock::new(tail),
            counters: Counters::default(),
            chain: Mutex::new(chain),
            keys_changed: AtomicBool::new(false),
            making_failed: AtomicBool::new(false),
            ahead: Mutex::default(),
            keep: Signal::default(),
            sync: Signal::default(),
            tampered: Mutex::new(None),
        }
    }

    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader { disk: self.disk.as_ref(), paths: &self.paths, tail: &self.tail }
    }

    /// Takes a report that a generation's segment is synced up to a size, and tells the callers.
    pub(crate) fn advance(&self, generation: u64, size: u64) {
        let done = self.ledger.advance(generation, size, &self.tail);
        for written in &done {
            let entries = u64::try_from(written.leaves.len()).expect("a length in memory fits 64 bits");
            self.counters.entries.fetch_add(entries, Ordering::Relaxed);
            if let Some(key) = &written.next_key {
                self.chain.lock().push(written.frontier.size(), key.clone());
                self.keys_changed.store(true, Ordering::Release);
            }
        }
        // Callers come last: woken, they find everything as it is from now on.
        self.queue.release(done.iter().map(|written| written.batch.bytes).sum());
        done.into_iter().for_each(|written| written.batch.announce_synced(written.base));
    }

    /// What was found to be changed from outside, if anything was.
    pub(crate) fn tampered(&self) -> Option<Arc<str>> {
        self.tampered.lock().clone()
    }

    /// Notes that the log's files were changed from outside; nothing is appended any more.
    pub(crate) fn report_tampering(&self, what: &str) {
        let mut tampered = self.tampered.lock();
        if tampered.is_none() {
            tracing::error!(log = %self.options.origin, what, "the files of the log were changed from outside");
            *tampered = Some(what.into());
        }
    }

    /// Makes a zeroed file durable but for its name; a failed attempt leaves nothing.
    pub(crate) fn allocate(&self, path: &Path, len: u64, blocks: Blocks) -> Result<Arc<dyn DiskFile>, DiskError> {
        let made = self.disk.create(path).and_then(|file| file.allocate(len, blocks).map(|()| file));
        if made.is_err() {
            // What was allocated of it would be missing elsewhere. If removing fails too, the next attempt replaces it.
            let _ = self.disk.remove(path);
        }
        made.named("allocate", path)
    }

    pub(crate) fn keys_changed(&self) -> bool {
        self.keys_changed.load(Ordering::Acquire)
    }
}
