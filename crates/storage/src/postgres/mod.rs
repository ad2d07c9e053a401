//! The engine for several servers: tables in a PostgreSQL database, one task that commits, a few connections that read.

mod session;
mod slot;
mod snapshot;
mod sql;
mod tls;
mod url;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::Row;

use self::session::{Session, Tables, bounded, column, failed, is_refusal};
use self::slot::Slot;
use self::snapshot::PostgresSnapshot;
use self::url::Database;
use self::writer::Writer;
use crate::admission::{Admission, Job, QUEUE};
use crate::batch::{Batch, Epoch};
use crate::entry::{Entry, Limit, PAGE_BYTES, Page, Revision, Sealed};
use crate::error::Error;
use crate::key::{Key, Prefix, Range};
use crate::leadership::{Candidate, Leader, check_lease};
use crate::stats::{Counters, Stats};
use crate::{Purged, Snapshot, Store};

/// A store in a database that many servers may open.
pub(crate) struct Postgres {
    admission: Admission,
    /// For the leadership alone, which must not wait behind anything large.
    control: Slot,
    counters: Arc<Counters>,
    /// For snapshots, which have connections of their own.
    database: Arc<Database>,
    /// Set by the writer while a commit may still happen whose answer was lost.
    doubt: Arc<AtomicBool>,
    jobs: parking_lot::Mutex<Option<mpsc::Sender<Job>>>,
    next: AtomicUsize,
    /// For the vacuum, which takes its time, and for loads, beside which nothing goes on.
    purger: Slot,
    readers: Vec<Slot>,
    scanners: Vec<Slot>,
    /// Taken by whoever closes; held while closing, so that a second call waits for the first.
    writer: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

impl Postgres {
    /// Connects to the database and creates the tables if need be.
    pub(crate) async fn open(url: &str) -> Result<Postgres, Error> {
        let database = Arc::new(Database::parse(url)?);
        let first = Session::connect(&database, Tables::Create).await?;
        let counters = Arc::new(Counters::default());
        let doubt = Arc::new(AtomicBool::new(false));
        let slot = || Slot::new(Arc::clone(&database), Arc::clone(&counters));
        let (jobs, receiver) = mpsc::channel(QUEUE);
        let writer = Writer {
            counters: Arc::clone(&counters),
            doubt: Arc::clone(&doubt),
            jobs: receiver,
            slot: Slot::with(first, Arc::clone(&database), Arc::clone(&counters)),
        };
        Ok(Postgres {
            admission: Admission::new(Arc::clone(&counters)),
            control: slot(),
            database: Arc::clone(&database),
            doubt,
            jobs: parking_lot::Mutex::new(Some(jobs)),
            next: AtomicUsize::new(0),
            purger: slot(),
            readers: (0..READERS).map(|_| slot()).collect(),
            scanners: (0..SCANNERS).map(|_| slot()).collect(),
            writer: tokio::sync::Mutex::new(Some(tokio::spawn(writer.run()))),
            counters,
        })
    }

    /// Runs a read on one of the connections, and once more if that one turns out to be dead.
    async fn read<T, F: Future<Output = Result<T, tokio_postgres::Error>>>(
        &self,
        slots: &[Slot],
        query: impl Fn(Arc<Session>) -> F,
    ) -> Result<T, Error> {
        if self.doubt.load(Ordering::Acquire) {
            let operation = "the outcome of an earlier commit is being settled";
            return Err(Error::Unavailable { operation, source: None });
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let slot = turn.checked_rem(slots.len()).and_then(|index| slots.get(index)).ok_or_else(Error::closed)?;
        match attempt(slot, "reading", &query).await {
            Err(Attempt::Lost(_)) => attempt(slot, "reading", &query).await.map_err(Attempt::into_error),
            outcome => outcome.map_err(Attempt::into_error),
        }
    }

    /// Runs a statement on the leadership once.
    async fn control<T, F: Future<Output = Result<T, tokio_postgres::Error>>>(
        &self,
        query: impl Fn(Arc<Session>) -> F,
    ) -> Result<T, Error> {
        attempt(&self.control, "asking for the leadership", query).await.map_err(Attempt::into_error)
    }
}

async fn attempt<T, F: Future<Output = Result<T, tokio_postgres::Error>>>(
    slot: &Slot,
    operation: &'static str,
    query: impl Fn(Arc<Session>) -> F,
) -> Result<T, Attempt> {
    let session = slot.session().await.map_err(Attempt::Refused)?;
    match bounded(query(Arc::clone(&session))).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) if is_refusal(&error) => Err(Attempt::Refused(failed(operation)(error))),
        Ok(Err(error)) => {
            slot.discard(&session);
            Err(Attempt::Lost(failed(operation)(error)))
        }
        Err(elapsed) => {
            slot.discard(&session);
            Err(Attempt::Refused(elapsed))
        }
    }
}

/// How one attempt failed.
enum Attempt {
    /// The connection was dead; a new one may serve.
    Lost(Error),
    /// Another attempt would fare no better.
    Refused(Error),
}

impl Attempt {
    fn into_error(self) -> Error {
        match self {
            Attempt::Lost(error) | Attempt::Refused(error) => error,
        }
    }
}

#[async_trait]
impl Store for Postgres {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Error> {
        let key = key.as_bytes();
        let row =
            self.read(&self.readers, |session| async move {
                session.client.query_opt(&session.statements.get, &[&key]).await
            })
            .await?;
        row.map(|row| entry(&row, 0, 1)).transpose()
    }

    async fn scan(&self, prefix: &Prefix, after: Option<&Key>, limit: Limit) -> Result<Page<(Key, Entry)>, Error> {
        let range = Range::new(prefix, after);
        let (items, bytes) = (count(limit.get())?, count(PAGE_BYTES)?);
        let range = &range;
        let rows = self
            .read(&self.scanners, |session| async move {
                session.client.query(&session.statements.scan, &[&range.from, &range.to, &items, &bytes]).await
            })
            .await?;
        page_of(&rows)
    }

    async fn scan_keys(&self, prefix: &Prefix, after: Option<&Key>, limit: Limit) -> Result<Page<Key>, Error> {
        let range = Range::new(prefix, after);
        let range = &range;
        let items = count(limit.get())?;
        let rows = self
            .read(&self.scanners, |session| async move {
                session.client.query(&session.statements.scan_keys, &[&range.from, &range.to, &items]).await
            })
            .await?;
        let items: Result<_, Error> = rows.iter().take(limit.get()).map(key).collect();
        Ok(Page { items: items?, more: rows.len() > limit.get() })
    }

    async fn commit(&self, batch: Batch) -> Result<Revision, Error> {
        let (job, answer) = self.admission.admit(batch).await?;
        let jobs = self.jobs.lock().clone().ok_or_else(Error::closed)?;
        jobs.send(job).await.map_err(|_| Error::closed())?;
        drop(jobs);
        answer.wait().await
    }

    async fn snapshot(&self, _growth: u64) -> Result<Box<dyn Snapshot>, Error> {
        if self.jobs.lock().is_none() {
            return Err(Error::closed());
        }
        Ok(Box::new(PostgresSnapshot::begin(&self.database).await?))
    }

    async fn load(&self, at: Revision, entries: Vec<(Key, Sealed, Revision)>) -> Result<(), Error> {
        snapshot::load(&self.purger, at, &entries).await
    }

    async fn purge(&self) -> Result<Purged, Error> {
        let session = self.purger.session().await?;
        let vacuumed = timeout(PURGE_TIMEOUT, async {
            // Two round trips: a vacuum is no part of a transaction, and several statements at once would be one.
            session.client.batch_execute(sql::PATIENT).await?;
            session.client.batch_execute(sql::VACUUM).await
        })
        .await;
        // Nobody else is to have its settings, and it is not needed again for long.
        self.purger.discard(&session);
        let operation = "vacuuming the table";
        vacuumed.map_err(|e| Error::unavailable(operation, e))?.map_err(failed(operation))?;
        Ok(Purged::Whole)
    }

    async fn leader(&self) -> Result<Option<Leader>, Error> {
        let query =
            |session: Arc<Session>| async move { session.client.query_opt(&session.statements.leader, &[]).await };
        let Some(row) = self.control(query).await? else { return Ok(None) };
        let millis: i64 = column(&row, 3)?;
        Ok(Some(Leader {
            epoch: epoch(&row)?,
            node: column(&row, 1)?,
            address: column(&row, 2)?,
            remaining: Duration::from_millis(u64::try_from(millis).unwrap_or(0)),
        }))
    }

    async fn lead(&self, node: &str, address: &str, lease: Duration) -> Result<Option<Epoch>, Error> {
        let candidate = Candidate::new(node, address, lease)?;
        let millis = check_lease(lease)?;
        let candidate = &candidate;
        let query = |session: Arc<Session>| async move {
            let statement = &session.statements.lead;
            session.client.query_opt(statement, &[&candidate.node, &candidate.address, &millis]).await
        };
        self.control(query).await?.map(|row| epoch(&row)).transpose()
    }

    async fn renew(&self, epoch: Epoch, lease: Duration) -> Result<(), Error> {
        self.extend(epoch, check_lease(lease)?).await
    }

    async fn release(&self, epoch: Epoch) -> Result<(), Error> {
        self.extend(epoch, 0).await
    }

    fn stats(&self) -> Stats {
        self.counters.read()
    }

    async fn close(&self) {
        let mut writer = self.writer.lock().await;
        let Some(task) = writer.take() else { return };
        self.admission.close();
        // The queue ends when the last commit under way has put its batch into it.
        drop(self.jobs.lock().take());
        // A panic of the writer was printed where it happened.
        drop(task.await);
        for slot in self.readers.iter().chain(&self.scanners).chain([&self.control, &self.purger]) {
            slot.close().await;
        }
    }
}

impl Postgres {
    async fn extend(&self, epoch: Epoch, millis: i64) -> Result<(), Error> {
        // An epoch that the table cannot hold was never given out; nor was zero.
        let Some(epoch) = i64::try_from(epoch.0).ok().filter(|epoch| *epoch > 0) else { return Err(Error::Fenced) };
        let query = |session: Arc<Session>| async move {
            session.client.execute(&session.statements.renew, &[&epoch, &millis]).await
        };
        match self.control(query).await? {
            0 => Err(Error::Fenced),
            _ => Ok(()),
        }
    }
}

/// The page that the rows of a scan make up.
fn page_of(rows: &[Row]) -> Result<Page<(Key, Entry)>, Error> {
    let total = rows.first().map_or(Ok(0), |row| column::<i64>(row, 3))?;
    let more = total > count(rows.len())?;
    let items: Result<_, Error> = rows.iter().map(|row| Ok((key(row)?, entry(row, 1, 2)?))).collect();
    Ok(Page { items: items?, more })
}

fn key(row: &Row) -> Result<Key, Error> {
    Key::stored(column(row, 0)?)
}

fn entry(row: &Row, revision: usize, value: usize) -> Result<Entry, Error> {
    let revision = Revision::stored(column(row, revision)?)?;
    Ok(Entry { value: Bytes::copy_from_slice(column(row, value)?), revision })
}

fn epoch(row: &Row) -> Result<Epoch, Error> {
    let number: i64 = column(row, 0)?;
    u64::try_from(number).map(Epoch).map_err(|_| Error::Corrupt { what: "a negative epoch", source: None })
}

fn count(number: usize) -> Result<i64, Error> {
    let limit = usize::try_from(i64::MAX).unwrap_or(usize::MAX);
    i64::try_from(number).map_err(|_| Error::TooLarge { what: "a number", size: number, limit })
}

/// Connections for point reads, each used by many at once.
const READERS: usize = 3;
/// Connections for scans.
const SCANNERS: usize = 2;
/// How long a vacuum may take.
const PURGE_TIMEOUT: Duration = Duration::from_secs(60 * 60);
