//! The one thread that writes: takes all batches that wait, commits them in one transaction, answers, and begins again.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use tokio::sync::{mpsc, oneshot};

use super::checkpoint::{Checkpointer, Mode, checkpoint};
use super::connection::{Purpose, connect, failed};
use super::reserve::Reserve;
use super::schema;
use super::snapshot::Snapshots;
use crate::Purged;
use crate::admission::{GROUP, GROUP_BYTES, Job};
use crate::batch::{Batch, Change, Epoch, Expect, Room, may_load};
use crate::entry::{Revision, Sealed};
use crate::error::Error;
use crate::key::Key;
use crate::leadership::{Candidate, Exclusive};
use crate::stats::Counters;

/// What the writer is asked to do, in the order of arrival.
#[derive(Debug)]
pub(super) enum Request {
    /// Take nothing more, finish what waits, and end.
    Close,
    /// Commit a batch.
    Commit(Job),
    /// Make a node the leader.
    Lead { candidate: Candidate, answer: oneshot::Sender<Result<Epoch, Error>> },
    /// Write entries with the revisions that they have elsewhere.
    Load { at: Revision, entries: Vec<(Key, Sealed, Revision)>, answer: oneshot::Sender<Result<(), Error>> },
    /// Empty the log into the database, and say whether nobody was in the way.
    Purge { answer: oneshot::Sender<Result<Purged, Error>> },
}

/// The writer's state; owned by its thread.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) database: PathBuf,
    pub(super) checkpointer: Checkpointer,
    pub(super) counters: Arc<Counters>,
    /// Shared with the store; only the writer changes the epoch.
    pub(super) leadership: Arc<Mutex<Exclusive>>,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) reserve: Reserve,
    /// The last revision in the database.
    pub(super) revision: Revision,
    pub(super) snapshots: Arc<Snapshots>,
}

impl Writer {
    /// Serves until every sender is gone or [`Request::Close`] came, then empties the log and closes.
    pub(super) fn run(mut self) {
        let mut waiting = Vec::with_capacity(GROUP);
        while self.requests.blocking_recv_many(&mut waiting, GROUP) > 0 {
            self.serve(&mut waiting);
            let snapshots = self.snapshots.bound_log();
            self.checkpointer.tend(&self.connection, snapshots);
            self.reserve.tend();
        }
        let Writer { connection, checkpointer, .. } = self;
        drop(checkpointer);
        // Should it fail, the log stays and is read at the next start: nothing is lost.
        drop(checkpoint(&connection, Mode::Truncate));
    }

    fn serve(&mut self, waiting: &mut Vec<Request>) {
        let mut group = Vec::with_capacity(waiting.len());
        let mut bytes = 0_usize;
        for request in waiting.drain(..) {
            match request {
                Request::Close => self.requests.close(),
                Request::Commit(job) => {
                    if bytes >= GROUP_BYTES {
                        self.commit(std::mem::take(&mut group));
                        bytes = 0;
                    }
                    bytes = bytes.saturating_add(job.size);
                    group.push(job);
                }
                Request::Lead { candidate, answer } => {
                    self.commit(std::mem::take(&mut group));
                    bytes = 0;
                    drop(answer.send(self.lead(candidate)));
                }
                Request::Load { at, entries, answer } => {
                    self.commit(std::mem::take(&mut group));
                    bytes = 0;
                    drop(answer.send(self.load(at, &entries)));
                }
                Request::Purge { answer } => {
                    self.commit(std::mem::take(&mut group));
                    bytes = 0;
                    drop(answer.send(self.checkpointer.empty(&self.connection)));
                }
            }
        }
        self.commit(group);
    }

    /// Commits the group; should it fail as a whole with nothing done, each of its batches gets its own attempt.
    fn commit(&mut self, group: Vec<Job>) {
        if group.is_empty() {
            return;
        }
        match self.transact(&group) {
            Err(Failure::Undone(error)) if group.len() > 1 || matches!(error, Error::Full) => {
                if matches!(error, Error::Full) {
                    self.snapshots.give_way();
                    // The log's pages that lie in the database as well are space that a commit can use again.
                    drop(checkpoint(&self.connection, Mode::Restart));
                }
                for job in group {
                    let outcome = self.transact_alone(&job);
                    self.answer(vec![job], outcome);
                }
            }
            outcome => self.answer(group, outcome),
        }
    }

    /// One batch in a transaction of its own, with as much of the reserve as it may use and needs.
    fn transact_alone(&mut self, job: &Job) -> Result<Vec<Result<Revision, Error>>, Failure> {
        loop {
            match (self.transact(std::slice::from_ref(job)), job.batch.room) {
                (Err(Failure::Undone(Error::Full)), Room::Reserve) if self.reserve.release() => {}
                (outcome, Room::Ordinary | Room::Reserve) => return outcome,
            }
        }
    }

    fn answer(&self, group: Vec<Job>, outcome: Result<Vec<Result<Revision, Error>>, Failure>) {
        match outcome {
            Err(Failure::Undone(error) | Failure::Unclear(error)) => {
                for job in group {
                    job.finish(Err(error.clone()));
                }
            }
            Ok(verdicts) => {
                self.counters.count_group(verdicts.iter().filter(|verdict| verdict.is_ok()).count());
                for (job, verdict) in group.into_iter().zip(verdicts) {
                    job.finish(verdict);
                }
            }
        }
    }

    /// One transaction over the group. The verdicts hold only if it succeeds: a batch may have met what another batch of
    /// the same group wrote.
    ///
    /// No savepoint is needed for a batch to fail alone: all its expectations are checked before its first change, and a
    /// change itself fails only as the disk or the file does, which ends the transaction.
    fn transact(&mut self, group: &[Job]) -> Result<Vec<Result<Revision, Error>>, Failure> {
        let epoch = self.leadership.lock().epoch();
        let outcome = self.begin().and_then(|()| {
            let mut last = self.revision;
            let mut verdicts = Vec::with_capacity(group.len());
            for job in group {
                verdicts.push(match self.apply(&job.batch, epoch, last.next())? {
                    Verdict::Apply => {
                        last = last.next();
                        Ok(last)
                    }
                    Verdict::Conflict => Err(Error::Conflict),
                    Verdict::Fenced => Err(Error::Fenced),
                });
            }
            Ok((last, verdicts))
        });
        let (last, verdicts) = outcome.map_err(|error| self.undo(error))?;
        if last == self.revision {
            self.roll_back();
            return Ok(verdicts);
        }
        self.set_revision(last).map_err(|error| self.undo(error))?;
        self.end()?;
        self.revision = last;
        Ok(verdicts)
    }

    fn begin(&self) -> Result<(), rusqlite::Error> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop)
    }

    fn set_revision(&self, revision: Revision) -> Result<(), rusqlite::Error> {
        let mut statement = self.connection.prepare_cached("UPDATE store SET revision = ?1 WHERE id = 1")?;
        statement.execute(params![revision]).map(drop)
    }

    /// Checks every expectation, then makes every change.
    fn apply(&self, batch: &Batch, epoch: Epoch, revision: Revision) -> Result<Verdict, rusqlite::Error> {
        if batch.epoch.is_some_and(|expected| expected != epoch) {
            return Ok(Verdict::Fenced);
        }
        let mut found = Vec::with_capacity(batch.changes.len());
        for change in &batch.changes {
            let row = match change.expect() {
                None => None,
                Some(expect) => {
                    let row = self.find(change)?;
                    if !holds(expect, row) {
                        return Ok(Verdict::Conflict);
                    }
                    row
                }
            };
            found.push(row);
        }
        for (change, row) in batch.changes.iter().zip(found) {
            self.change(change, row, revision)?;
        }
        Ok(Verdict::Apply)
    }

    fn find(&self, change: &Change) -> Result<Option<Row>, rusqlite::Error> {
        let mut statement = self.connection.prepare_cached("SELECT id, revision FROM entries WHERE key = ?1")?;
        let row = statement
            .query_row(params![change.key().as_bytes()], |row| Ok(Row { id: row.get(0)?, revision: row.get(1)? }));
        row.optional()
    }

    fn change(&self, change: &Change, row: Option<Row>, revision: Revision) -> Result<(), rusqlite::Error> {
        match (change, row) {
            (Change::Check { .. }, _) => Ok(()),
            (Change::Delete { key, .. }, _) => {
                let mut statement = self.connection.prepare_cached("DELETE FROM entries WHERE key = ?1")?;
                statement.execute(params![key.as_bytes()]).map(drop)
            }
            (Change::Put { value, .. }, Some(row)) => {
                let sql = "UPDATE entries SET revision = ?2, value = ?3 WHERE id = ?1";
                let mut statement = self.connection.prepare_cached(sql)?;
                statement.execute(params![row.id, revision, value.as_ref()]).map(drop)
            }
            (Change::Put { key, value, .. }, None) => {
                let sql = "INSERT INTO entries (key, revision, value) VALUES (?1, ?2, ?3)
                           ON CONFLICT (key) DO UPDATE SET revision = excluded.revision, value = excluded.value";
                let mut statement = self.connection.prepare_cached(sql)?;
                statement.execute(params![key.as_bytes(), revision, value.as_ref()]).map(drop)
            }
        }
    }

    fn lead(&mut self, candidate: Candidate) -> Result<Epoch, Error> {
        let epoch = self.leadership.lock().epoch().next();
        let number =
            i64::try_from(epoch.0).map_err(|_| Error::Corrupt { what: "an impossible epoch", source: None })?;
        self.begin()
            .and_then(|()| schema::store_leader(&self.connection, number, &candidate.node, &candidate.address))
            .map_err(|error| self.undo(error))
            .and_then(|_| self.end())
            .map_err(|failure| match failure {
                Failure::Undone(error) | Failure::Unclear(error) => error,
            })?;
        self.leadership.lock().install(epoch, candidate);
        Ok(epoch)
    }

    /// One transaction that writes entries as they were elsewhere, in a store that nothing else was written to.
    fn load(&mut self, at: Revision, entries: &[(Key, Sealed, Revision)]) -> Result<(), Error> {
        if !may_load(self.revision, at, entries.iter().map(|(_, _, revision)| *revision)) {
            return Err(Error::Conflict);
        }
        let written = self.begin().and_then(|()| {
            let sql = "INSERT INTO entries (key, revision, value) VALUES (?1, ?2, ?3)";
            let mut statement = self.connection.prepare_cached(sql)?;
            for (key, value, revision) in entries {
                statement.execute(params![key.as_bytes(), revision, value.as_ref()])?;
            }
            drop(statement);
            self.set_revision(at)
        });
        let ended = match written {
            Ok(()) => self.end(),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                self.roll_back();
                return Err(Error::Conflict);
            }
            Err(error) => Err(self.undo(error)),
        };
        ended.map_err(|failure| match failure {
            Failure::Undone(error) | Failure::Unclear(error) => error,
        })?;
        self.revision = at;
        Ok(())
    }

    /// Ends the transaction durably.
    ///
    /// If the log could not be written or synced, its pages may yet be on disk and come back after a crash. Another
    /// commit in their place settles that they do not; only if that fails too is the outcome unclear.
    fn end(&mut self) -> Result<(), Failure> {
        let outcome = self.connection.prepare_cached("COMMIT").and_then(|mut statement| statement.execute([]));
        let Err(error) = outcome else { return Ok(()) };
        let written = match error.sqlite_error_code() {
            // Neither leaves a whole transaction in the log.
            Some(ErrorCode::DatabaseBusy | ErrorCode::DiskFull) => false,
            Some(_) | None => true,
        };
        self.roll_back();
        if written && self.overwrite().is_err() {
            self.roll_back();
            return Err(Failure::Unclear(Error::Unknown { operation: "committing", source: Some(Arc::new(error)) }));
        }
        Err(Failure::Undone(failed("committing")(error)))
    }

    fn overwrite(&mut self) -> Result<(), rusqlite::Error> {
        let revision = self.revision.next();
        self.begin()?;
        self.set_revision(revision)?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.revision = revision;
        Ok(())
    }

    fn undo(&mut self, error: rusqlite::Error) -> Failure {
        self.roll_back();
        Failure::Undone(failed("writing")(error))
    }

    /// Leaves the connection outside any transaction; SQLite itself ended it after some errors.
    fn roll_back(&mut self) {
        if self.connection.is_autocommit() {
            return;
        }
        drop(self.connection.execute_batch("ROLLBACK"));
        if self.connection.is_autocommit() {
            return;
        }
        // A connection that cannot even roll back is given up, and with it its transaction.
        if let Ok(connection) = connect(&self.database, Purpose::Write) {
            self.connection = connection;
        }
    }
}

enum Verdict {
    Apply,
    Conflict,
    Fenced,
}

/// Why a transaction failed as a whole.
enum Failure {
    /// Nothing of it happened.
    Undone(Error),
    /// It may come back after a crash.
    Unclear(Error),
}

#[derive(Clone, Copy)]
struct Row {
    id: i64,
    revision: Revision,
}

fn holds(expect: Expect, row: Option<Row>) -> bool {
    expect.holds(row.map(|row| row.revision))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::admission::{Admission, Answer};
    use crate::entry::Sealed;
    use crate::key::Key;

    struct Bench {
        admission: Admission,
        writer: Writer,
        _directory: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Bench {
            let directory = tempfile::tempdir().unwrap();
            let database = directory.path().canonicalize().unwrap().join("store.db");
            std::fs::write(&database, "").unwrap();
            let connection = connect(&database, Purpose::Write).unwrap();
            schema::ensure(&connection).unwrap();
            let counters = Arc::new(Counters::default());
            let checkpointer = Checkpointer::start(&database, Arc::clone(&counters)).unwrap();
            let admission = Admission::new(Arc::clone(&counters));
            let (leadership, requests) = (Arc::default(), mpsc::channel(1).1);
            let revision = Revision(0);
            let reserve = Reserve::open(directory.path().join("reserve"));
            let snapshots = Arc::new(Snapshots::new(&database, directory.path().join("none")));
            let writer = Writer {
                connection,
                database,
                checkpointer,
                counters,
                leadership,
                requests,
                reserve,
                revision,
                snapshots,
            };
            Bench { admission, writer, _directory: directory }
        }

        async fn put(&self, name: &str, size: usize) -> (Job, Answer) {
            let value = Sealed::from_barrier(Bytes::from(vec![7; size])).unwrap();
            let changes = vec![Change::Put { key: Key::new(name).unwrap(), value, expect: None }];
            self.admission.admit(Batch { changes, ..Batch::default() }).await.unwrap()
        }

        fn count(&self) -> i64 {
            self.writer.connection.query_row("SELECT count(*) FROM entries", [], |row| row.get(0)).unwrap()
        }

        fn limit_pages(&self, pages: i64) {
            self.writer.connection.pragma_update(None, "max_page_count", pages).unwrap();
        }
    }

    #[tokio::test]
    async fn group_that_does_not_fit_commits_the_batches_that_do_and_recovers() {
        let mut bench = Bench::new();
        bench.limit_pages(20);
        let (first, first_answer) = bench.put("first", 100).await;
        let (large, large_answer) = bench.put("large", 200_000).await;
        let (last, last_answer) = bench.put("last", 100).await;
        bench.writer.commit(vec![first, large, last]);
        assert_eq!(first_answer.wait().await.unwrap(), Revision(1));
        assert!(matches!(large_answer.wait().await, Err(Error::Full)));
        assert_eq!(last_answer.wait().await.unwrap(), Revision(2));
        assert_eq!(bench.count(), 2);

        bench.limit_pages(1000);
        let (large, large_answer) = bench.put("large", 200_000).await;
        bench.writer.commit(vec![large]);
        assert_eq!(large_answer.wait().await.unwrap(), Revision(3));
        assert_eq!(bench.count(), 3);
        let stats = bench.writer.counters.read();
        assert_eq!((stats.commits, stats.failures, stats.groups), (3, 1, 3));
    }

    #[tokio::test]
    async fn writer_whose_connection_is_inside_a_transaction_recovers() {
        let mut bench = Bench::new();
        bench.writer.connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        let (job, answer) = bench.put("a", 1).await;
        bench.writer.commit(vec![job]);
        assert!(matches!(answer.wait().await, Err(Error::Unavailable { .. })));
        let (job, answer) = bench.put("a", 1).await;
        bench.writer.commit(vec![job]);
        answer.wait().await.unwrap();
    }
}
