//! The default engine: one SQLite file, one thread that writes, a few connections that read.

mod checkpoint;
mod connection;
mod files;
mod readers;
mod reserve;
mod schema;
mod snapshot;
mod writer;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::spawn_blocking;

use self::checkpoint::Checkpointer;
use self::connection::{Purpose, connect};
use self::files::Files;
use self::readers::Readers;
use self::reserve::Reserve;
use self::snapshot::Snapshots;
use self::writer::{Request, Writer};
use crate::admission::{Admission, QUEUE};
use crate::batch::{Batch, Epoch};
use crate::entry::{Entry, Limit, Page, Revision, Sealed};
use crate::error::Error;
use crate::key::{Key, Prefix, Range};
use crate::leadership::{Candidate, Exclusive, Leader, check_lease};
use crate::stats::{Counters, Stats};
use crate::{Purged, Snapshot, Store};

/// A store in a file.
pub(crate) struct Sqlite {
    admission: Admission,
    counters: Arc<Counters>,
    database: PathBuf,
    /// Shared with the writer, which alone changes the epoch.
    leadership: Arc<Mutex<Exclusive>>,
    readers: Arc<Readers>,
    requests: mpsc::Sender<Request>,
    scanners: Arc<Readers>,
    /// One permit per connection of `scanners`, so that no blocking thread waits for another.
    scans: Arc<Semaphore>,
    /// Shared with the writer, which ends those that keep its log from being short.
    snapshots: Arc<Snapshots>,
    wal: PathBuf,
    /// Taken by whoever closes; held while closing, so that a second call waits for the first.
    writer: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Sqlite {
    /// Opens or creates the database at `path`.
    pub(crate) async fn open(path: &str) -> Result<Sqlite, Error> {
        let path = path.to_owned();
        spawn_blocking(move || open_blocking(&path)).await.map_err(|e| Error::unavailable("opening the store", e))?
    }

    async fn scanning<T: Send + 'static>(
        &self,
        scan: impl FnOnce(&Readers) -> Result<Page<T>, Error> + Send + 'static,
    ) -> Result<Page<T>, Error> {
        let permit = Arc::clone(&self.scans).acquire_owned().await.map_err(|_| Error::closed())?;
        let scanners = Arc::clone(&self.scanners);
        let task = spawn_blocking(move || {
            let page = scan(&scanners);
            drop(permit);
            page
        });
        task.await.map_err(|e| Error::unavailable("scanning", e))?
    }
}

fn open_blocking(path: &str) -> Result<Sqlite, Error> {
    let files = Files::prepare(path)?;
    let connection = connect(&files.database, Purpose::Write)?;
    schema::ensure(&connection)?;
    let revision = schema::load_revision(&connection)?;
    let leadership = Arc::new(Mutex::new(schema::load_leadership(&connection)?));
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let readers = Readers::open(&files.database, Purpose::Read, (2 * threads).clamp(4, 16))?;
    let scanners = Readers::open(&files.database, Purpose::Scan, SCANS)?;
    let snapshots = Arc::new(Snapshots::new(&files.database, files.wal()));
    let counters = Arc::new(Counters::default());
    let (requests, receiver) = mpsc::channel(QUEUE);
    let writer = Writer {
        connection,
        database: files.database.clone(),
        checkpointer: Checkpointer::start(&files.database, Arc::clone(&counters))?,
        counters: Arc::clone(&counters),
        leadership: Arc::clone(&leadership),
        requests: receiver,
        reserve: Reserve::open(files.reserve()),
        revision,
        snapshots: Arc::clone(&snapshots),
    };
    let (database, wal) = (files.database.clone(), files.wal());
    let thread = thread::Builder::new().name("store-writer".to_owned()).spawn(move || {
        writer.run();
        // Only now may another process open the directory.
        drop(files);
    });
    Ok(Sqlite {
        admission: Admission::new(Arc::clone(&counters)),
        counters,
        database,
        leadership,
        readers,
        requests,
        scanners,
        scans: Arc::new(Semaphore::new(SCANS)),
        snapshots,
        wal,
        writer: tokio::sync::Mutex::new(Some(thread.map_err(|e| Error::unavailable("starting the writer", e))?)),
    })
}

#[async_trait]
impl Store for Sqlite {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Error> {
        // On the calling thread: a hop to a blocking thread costs more than the read.
        self.readers.get(key)
    }

    async fn scan(&self, prefix: &Prefix, after: Option<&Key>, limit: Limit) -> Result<Page<(Key, Entry)>, Error> {
        let range = Range::new(prefix, after);
        self.scanning(move |readers| readers.scan(&range, limit)).await
    }

    async fn scan_keys(&self, prefix: &Prefix, after: Option<&Key>, limit: Limit) -> Result<Page<Key>, Error> {
        let range = Range::new(prefix, after);
        self.scanning(move |readers| readers.scan_keys(&range, limit)).await
    }

    async fn commit(&self, batch: Batch) -> Result<Revision, Error> {
        let (job, answer) = self.admission.admit(batch).await?;
        self.requests.send(Request::Commit(job)).await.map_err(|_| Error::closed())?;
        answer.wait().await
    }

    async fn snapshot(&self, growth: u64) -> Result<Box<dyn Snapshot>, Error> {
        let snapshots = Arc::clone(&self.snapshots);
        let begun = spawn_blocking(move || snapshots.begin(growth)).await;
        begun.map_err(|e| Error::unavailable("beginning a snapshot", e))?
    }

    async fn load(&self, at: Revision, entries: Vec<(Key, Sealed, Revision)>) -> Result<(), Error> {
        let (sender, receiver) = oneshot::channel();
        let request = Request::Load { at, entries, answer: sender };
        self.requests.send(request).await.map_err(|_| Error::closed())?;
        receiver.await.map_err(|_| Error::closed())?
    }

    async fn purge(&self) -> Result<Purged, Error> {
        let (sender, receiver) = oneshot::channel();
        self.requests.send(Request::Purge { answer: sender }).await.map_err(|_| Error::closed())?;
        receiver.await.map_err(|_| Error::closed())?
    }

    async fn leader(&self) -> Result<Option<Leader>, Error> {
        self.check_open()?;
        Ok(self.leadership.lock().leader())
    }

    async fn lead(&self, node: &str, address: &str, lease: Duration) -> Result<Option<Epoch>, Error> {
        let candidate = Candidate::new(node, address, lease)?;
        let (sender, receiver) = oneshot::channel();
        let request = Request::Lead { candidate, answer: sender };
        self.requests.send(request).await.map_err(|_| Error::closed())?;
        receiver.await.map_err(|_| Error::closed())?.map(Some)
    }

    async fn renew(&self, epoch: Epoch, lease: Duration) -> Result<(), Error> {
        check_lease(lease)?;
        self.check_open()?;
        self.leadership.lock().renew(epoch, lease)
    }

    async fn release(&self, epoch: Epoch) -> Result<(), Error> {
        self.check_open()?;
        self.leadership.lock().renew(epoch, Duration::ZERO)
    }

    fn stats(&self) -> Stats {
        let size = |path| fs::metadata(path).ok().map(|metadata| metadata.len());
        Stats { wal_bytes: size(&self.wal), file_bytes: size(&self.database), ..self.counters.read() }
    }

    async fn close(&self) {
        let mut writer = self.writer.lock().await;
        let Some(thread) = writer.take() else { return };
        self.admission.close();
        self.scans.close();
        // If the queue is closed already, the writer has ended.
        drop(self.requests.send(Request::Close).await);
        let (readers, scanners) = (Arc::clone(&self.readers), Arc::clone(&self.scanners));
        let snapshots = Arc::clone(&self.snapshots);
        let closing = spawn_blocking(move || {
            snapshots.close();
            readers.close();
            scanners.close();
            thread.join()
        });
        // A panic of the writer was printed where it happened.
        drop(closing.await);
    }
}

impl Sqlite {
    fn check_open(&self) -> Result<(), Error> {
        if self.requests.is_closed() { Err(Error::closed()) } else { Ok(()) }
    }
}

impl Drop for Sqlite {
    /// Closes as [`Store::close`] does, unless that was done: whoever opens the directory next finds it unlocked.
    fn drop(&mut self) {
        let Some(thread) = self.writer.get_mut().take() else { return };
        self.snapshots.close();
        self.readers.close();
        self.scanners.close();
        // Ends the writer by leaving it without senders.
        self.requests = mpsc::channel(1).0;
        drop(thread.join());
    }
}

/// How many scans run at once.
const SCANS: usize = 2;
