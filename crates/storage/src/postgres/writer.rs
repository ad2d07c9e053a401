//! The one task that commits: takes all batches that wait, commits them in one transaction, answers, and begins again.
//!
//! A transaction is two round trips: lock the store's row and find what the expectations name; then write and commit.
//! The batches are judged in between, so that each fails alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;

use super::session::{Session, bounded, column, failed, is_refusal, require_durable};
use super::slot::Slot;
use crate::admission::{GROUP, GROUP_BYTES, Job};
use crate::batch::{Batch, Change, Epoch};
use crate::entry::Revision;
use crate::error::Error;
use crate::stats::Counters;

/// The writer's state; owned by its task.
pub(super) struct Writer {
    pub(super) counters: Arc<Counters>,
    /// Set while a commit may still happen whose outcome is unknown; reads wait for its end. Only the writer sets it.
    pub(super) doubt: Arc<AtomicBool>,
    pub(super) jobs: mpsc::Receiver<Job>,
    pub(super) slot: Slot,
}

impl Writer {
    /// Serves until the queue is closed and empty.
    pub(super) async fn run(mut self) {
        let mut waiting = Vec::with_capacity(GROUP);
        loop {
            self.settle().await;
            if self.jobs.recv_many(&mut waiting, GROUP).await == 0 {
                break;
            }
            let mut group = Vec::with_capacity(waiting.len());
            let mut bytes = 0_usize;
            for job in waiting.drain(..) {
                if bytes >= GROUP_BYTES {
                    self.commit(std::mem::take(&mut group)).await;
                    bytes = 0;
                }
                bytes = bytes.saturating_add(job.size);
                group.push(job);
            }
            self.commit(group).await;
        }
        self.slot.close().await;
    }

    /// Where a commit's answer was lost, waits until that transaction is over, as the lock on the store's row tells.
    /// Batches that wait meanwhile are refused, so that nobody waits without bound.
    async fn settle(&mut self) {
        while self.doubt.load(Ordering::Acquire) {
            match self.touch().await {
                Ok(()) => self.doubt.store(false, Ordering::Release),
                Err(error) => {
                    while let Ok(job) = self.jobs.try_recv() {
                        job.finish(Err(error.clone()));
                    }
                    if self.jobs.is_closed() {
                        return;
                    }
                    tokio::time::sleep(SETTLE_PAUSE).await;
                }
            }
        }
    }

    async fn touch(&self) -> Result<(), Error> {
        let session = self.slot.session().await?;
        let touched = bounded(async {
            session.client.batch_execute(BEGIN).await?;
            session.client.query_one(&session.statements.lock, &[]).await?;
            session.client.batch_execute("ROLLBACK").await
        });
        let outcome = touched.await.and_then(|touched| touched.map_err(failed("settling a lost commit")));
        if outcome.is_err() {
            self.slot.discard(&session);
        }
        outcome
    }

    /// Commits the group; should there be no space for it as a whole, each of its batches gets its own attempt.
    async fn commit(&self, group: Vec<Job>) {
        if group.is_empty() {
            return;
        }
        match self.attempt(&group).await {
            Err(Failure::Refused(Error::Full)) if group.len() > 1 => {
                for job in group {
                    let outcome = self.attempt(std::slice::from_ref(&job)).await;
                    self.answer(vec![job], outcome);
                }
            }
            outcome => self.answer(group, outcome),
        }
    }

    fn answer(&self, group: Vec<Job>, outcome: Result<Vec<Verdict>, Failure>) {
        match outcome {
            Err(Failure::Lost(error) | Failure::Refused(error)) => {
                for job in group {
                    job.finish(Err(error.clone()));
                }
            }
            Err(Failure::Unclear(error)) => {
                // Before anyone learns of it: a read after the answer must not miss a commit that is still under way.
                self.doubt.store(true, Ordering::Release);
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

    /// One transaction, on a new connection should the old one turn out to be dead before anything was written.
    async fn attempt(&self, group: &[Job]) -> Result<Vec<Verdict>, Failure> {
        if self.doubt.load(Ordering::Acquire) {
            let operation = "the outcome of an earlier commit is being settled";
            return Err(Failure::Lost(Error::Unavailable { operation, source: None }));
        }
        let session = self.slot.session().await.map_err(Failure::Lost)?;
        match transact(&session, group).await {
            Ok(verdicts) => Ok(verdicts),
            Err(Failure::Lost(_)) => {
                self.slot.discard(&session);
                let session = self.slot.session().await.map_err(Failure::Lost)?;
                let outcome = transact(&session, group).await;
                if outcome.is_err() {
                    self.slot.discard(&session);
                }
                outcome
            }
            Err(failure @ (Failure::Refused(_) | Failure::Unclear(_))) => {
                // The end of the connection is the end of its transaction.
                self.slot.discard(&session);
                Err(failure)
            }
        }
    }
}

type Verdict = Result<Revision, Error>;

/// Why a transaction failed as a whole.
enum Failure {
    /// The connection is gone; nothing happened.
    Lost(Error),
    /// The server refused; nothing happened.
    Refused(Error),
    /// The commit was sent and not answered.
    Unclear(Error),
}

/// One transaction over the group.
async fn transact(session: &Session, group: &[Job]) -> Result<Vec<Verdict>, Failure> {
    let mut plan = Plan::default();
    let named = named(group);
    let (client, statements) = (&session.client, &session.statements);
    let opened = bounded(async {
        // Polled in this order the first time, which sends them in this order and all at once.
        let (begun, locked, found) = tokio::join!(
            biased;
            client.batch_execute(BEGIN),
            client.query_one(&statements.lock, &[]),
            async { client.query(&statements.find, &[&named]).await },
        );
        begun.and_then(|()| Ok((locked?, found?)))
    });
    let (store, found) = opened.await.map_err(Failure::Lost)?.map_err(|error| match is_refusal(&error) {
        true => Failure::Refused(failed("opening a transaction")(error)),
        false => Failure::Lost(failed("opening a transaction")(error)),
    })?;
    require_durable(&store, 2).map_err(Failure::Refused)?;
    let last = Revision::stored(column(&store, 0).map_err(Failure::Refused)?).map_err(Failure::Refused)?;
    let epoch: i64 = column(&store, 1).map_err(Failure::Refused)?;
    for row in &found {
        let (key, number) = (column(row, 0).map_err(Failure::Refused)?, column(row, 1).map_err(Failure::Refused)?);
        plan.stored.insert(key, Revision::stored(number).map_err(Failure::Refused)?);
    }

    let mut next = last;
    let mut verdicts = Vec::with_capacity(group.len());
    for job in group {
        verdicts.push(match plan.judge(&job.batch, epoch, next.next()) {
            Ok(()) => {
                next = next.next();
                Ok(next)
            }
            Err(error) => Err(error),
        });
    }
    if next == last {
        // Everything was refused under the lock, by what is committed; that stands even if this rollback is lost.
        let rolled_back = bounded(client.batch_execute("ROLLBACK")).await;
        return match rolled_back.map_err(Failure::Lost)? {
            Ok(()) => Ok(verdicts),
            Err(error) => Err(Failure::Lost(failed("rolling back")(error))),
        };
    }
    plan.carry_out(session, next).await?;
    Ok(verdicts)
}

/// The keys whose revisions the group's expectations name.
fn named(group: &[Job]) -> Vec<&[u8]> {
    let changes = group.iter().flat_map(|job| &job.batch.changes).filter(|change| change.expect().is_some());
    let keys: BTreeSet<&[u8]> = changes.map(|change| change.key().as_bytes()).collect();
    keys.into_iter().collect()
}

/// What a group's transaction found and will write.
#[derive(Default)]
struct Plan<'group> {
    stored: HashMap<&'group [u8], Revision>,
    /// The last word of the group on each key: its new value and revision, or `None` for its removal.
    writes: BTreeMap<&'group [u8], Option<(&'group [u8], Revision)>>,
}

impl<'group> Plan<'group> {
    /// Checks every expectation of the batch against what is stored and what the group has written so far, then adds its
    /// changes.
    fn judge(&mut self, batch: &'group Batch, epoch: i64, revision: Revision) -> Result<(), Error> {
        if batch.epoch.is_some_and(|Epoch(expected)| i64::try_from(expected) != Ok(epoch) || epoch == 0) {
            return Err(Error::Fenced);
        }
        let holds = |change: &Change| match change.expect() {
            None => true,
            Some(expect) => expect.holds(self.revision(change.key().as_bytes())),
        };
        if !batch.changes.iter().all(holds) {
            return Err(Error::Conflict);
        }
        for change in &batch.changes {
            match change {
                Change::Check { .. } => {}
                Change::Delete { key, .. } => drop(self.writes.insert(key.as_bytes(), None)),
                Change::Put { key, value, .. } => {
                    self.writes.insert(key.as_bytes(), Some((value.as_ref(), revision)));
                }
            }
        }
        Ok(())
    }

    fn revision(&self, key: &[u8]) -> Option<Revision> {
        match self.writes.get(key) {
            Some(write) => write.map(|(_, revision)| revision),
            None => self.stored.get(key).copied(),
        }
    }

    /// Writes and commits. Only a plain refusal by the server is certain not to have happened.
    async fn carry_out(&self, session: &Session, last: Revision) -> Result<(), Failure> {
        let number = |revision: Revision| {
            let error = |_| Failure::Refused(Error::Corrupt { what: "an impossible revision", source: None });
            i64::try_from(revision.0).map_err(error)
        };
        let last = number(last)?;
        let mut deletes = Vec::new();
        let (mut keys, mut revisions, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for (key, write) in &self.writes {
            match write {
                None => deletes.push(*key),
                Some((value, revision)) => {
                    keys.push(*key);
                    revisions.push(number(*revision)?);
                    values.push(*value);
                }
            }
        }
        let (client, statements) = (&session.client, &session.statements);
        let written = bounded(async {
            // Sent in this order and all at once, as above; after a refused statement the commit is a rollback.
            let (deleted, upserted, advanced, committed) = tokio::join!(
                biased;
                async {
                    match deletes.is_empty() {
                        true => Ok(0),
                        false => client.execute(&statements.delete, &[&deletes]).await,
                    }
                },
                async {
                    match keys.is_empty() {
                        true => Ok(0),
                        false => client.execute(&statements.upsert, &[&keys, &revisions, &values]).await,
                    }
                },
                async { client.execute(&statements.advance, &[&last]).await },
                client.batch_execute("COMMIT"),
            );
            deleted.and(upserted).and(advanced).and(committed)
        });
        let unclear = |source| Failure::Unclear(Error::Unknown { operation: "committing", source });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if is_refusal(&error) => Err(Failure::Refused(failed("committing")(error))),
            Ok(Err(error)) => Err(unclear(Some(Arc::new(error)))),
            Err(elapsed) => Err(unclear(Some(Arc::new(elapsed)))),
        }
    }
}

const BEGIN: &str = "BEGIN";
const SETTLE_PAUSE: Duration = Duration::from_millis(100);
