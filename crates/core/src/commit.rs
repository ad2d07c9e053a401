//! The order of a commit (ARCHITECTURE.md, "A change"): rows and the sealed record in one batch; then the record
//! in the log, synced; then the answer; later the outbox row goes.

mod prepared;

use std::{collections::HashMap, sync::Arc};

use coffer_api::Code;
use coffer_storage::{Batch, Change, Entry, Epoch, Error as StoreError, Expect, Key, Revision, Room, Sealed};
use zeroize::Zeroizing;

use self::prepared::{Prepared, prepare};
use crate::{
    Error,
    active::{Active, CachedEntry},
    barrier::Barrier,
    keys,
    locks::PathGuard,
    record::{Encoded, Record},
};

/// Format byte of an outbox row.
pub(crate) const OUTBOX_FORMAT: u8 = 1;

/// Edits of one commit that are sealed where they come.
const AT_ONCE: usize = 64;

/// How often a commit of unknown outcome is looked up before giving up.
const LOOKUPS: u32 = 20;

/// Rows to be changed together, before they are sealed.
#[derive(Default)]
pub(crate) struct Edit {
    rows: Vec<Row>,
    /// Where a row is deleted: several reasons for it are one deletion.
    deleted: HashMap<String, usize>,
    guard: Option<PathGuard>,
    in_force: Vec<InForce>,
    /// Records of what it does beside what its own is of.
    told: Vec<Record>,
}

/// What a change does to memory beyond the cache.
type InForce = Box<dyn FnOnce(&Active) + Send + Sync>;

/// Proof that a record of this request is in the log and synced.
#[must_use]
pub(crate) struct Logged(());

impl Logged {
    /// Spends the proof: the request may be answered.
    pub(crate) fn spend(self) {
        let Self(()) = self;
    }
}

/// What a change may do when the disk is nearly full.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Urgency {
    /// Seal, revoke, suspend: uses the space kept for it.
    Essential,
    /// Everything else.
    Ordinary,
}

struct Row {
    key: String,
    expect: Option<Expect>,
    expires: Option<i64>,
    value: Value,
}

enum Value {
    Checked,
    Deleted,
    Plain(Zeroizing<Vec<u8>>),
    Sealed(Sealed),
}

/// An edit and its record: what of a batch is recorded together.
pub(crate) type Part = (Edit, Record);

impl Edit {
    /// Rows to be changed while the guard's paths are locked; it is let go once the change is visible.
    pub(crate) fn under(guard: PathGuard) -> Self {
        Self { guard: Some(guard), ..Self::default() }
    }

    /// Writes a row.
    pub(crate) fn put(&mut self, key: impl Into<String>, value: Zeroizing<Vec<u8>>, expect: Option<Expect>) {
        self.write(Row { key: key.into(), expect, expires: None, value: Value::Plain(value) });
    }

    /// Writes a row that the sweep may remove once `expires` (UTC milliseconds) has passed.
    pub(crate) fn put_expiring(
        &mut self,
        key: impl Into<String>,
        value: Zeroizing<Vec<u8>>,
        expect: Option<Expect>,
        expires: Option<i64>,
    ) {
        self.write(Row { key: key.into(), expect, expires, value: Value::Plain(value) });
    }

    /// Writes a row that is ciphertext already (wrapped keys).
    pub(crate) fn put_sealed(&mut self, key: impl Into<String>, value: Sealed, expect: Option<Expect>) {
        self.write(Row { key: key.into(), expect, expires: None, value: Value::Sealed(value) });
    }

    /// What the edit deleted before is replaced, and what was expected of it still is.
    fn write(&mut self, row: Row) {
        match self.deleted.remove(&row.key).and_then(|at| self.rows.get_mut(at)) {
            Some(deleted) => *deleted = Row { expect: deleted.expect, ..row },
            None => self.rows.push(row),
        }
    }

    /// Deletes a row; a second time is once, and what was expected still is.
    pub(crate) fn delete(&mut self, key: impl Into<String>, expect: Option<Expect>) {
        let key = key.into();
        if let Some(row) = self.deleted.get(&key).and_then(|at| self.rows.get_mut(*at)) {
            row.expect = row.expect.or(expect);
            return;
        }
        self.deleted.insert(key.clone(), self.rows.len());
        self.rows.push(Row { key, expect, expires: None, value: Value::Deleted });
    }

    /// Holds only if the row is as expected.
    pub(crate) fn check(&mut self, key: impl Into<String>, expect: Expect) {
        self.rows.push(Row { key: key.into(), expect: Some(expect), expires: None, value: Value::Checked });
    }

    /// Keeps the guard's paths locked until the change is visible.
    pub(crate) fn hold(&mut self, guard: PathGuard) {
        self.guard = Some(guard);
    }

    /// Runs where the change becomes visible: its rows are stored, its paths still locked. So it runs also where the
    /// record cannot be logged or the caller goes away, and what is in memory follows the order of the store.
    pub(crate) fn in_force(&mut self, apply: impl FnOnce(&Active) + Send + Sync + 'static) {
        self.in_force.push(Box::new(apply));
    }

    /// Logs this record too, before the change's own, which is the one that lists what changed.
    pub(crate) fn tell(&mut self, record: Record) {
        self.told.push(record);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds what another edit holds, which must hold no guard.
    pub(crate) fn append(&mut self, other: Self) {
        debug_assert!(other.guard.is_none(), "its paths would not stay locked");
        for row in other.rows {
            match row.value {
                Value::Deleted => self.delete(row.key, row.expect),
                Value::Checked => self.rows.push(row),
                Value::Plain(_) | Value::Sealed(_) => self.write(row),
            }
        }
        self.told.extend(other.told);
        self.in_force.extend(other.in_force);
    }

    /// Whether it writes a row of which this holds.
    pub(crate) fn puts(&self, is: impl Fn(&str) -> bool) -> bool {
        let is_put = |row: &Row| matches!(row.value, Value::Plain(_) | Value::Sealed(_));
        self.rows.iter().any(|row| is_put(row) && is(&row.key))
    }

    /// How many rows it has.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many bytes of values it writes.
    pub(crate) fn bytes(&self) -> usize {
        let written = |row: &Row| match &row.value {
            Value::Checked | Value::Deleted => 0,
            Value::Plain(value) => value.len(),
            Value::Sealed(value) => value.as_ref().len(),
        };
        self.rows.iter().map(written).sum()
    }

    /// Whether it changes any row, and does not only ask for some to be as they were.
    pub(crate) fn writes(&self) -> bool {
        self.rows.iter().any(|row| !matches!(row.value, Value::Checked))
    }
}

/// How often what met another change starts over.
const TRIES: u32 = 32;

/// Does something fallible again, from what it reads on, where another change came first; at last that is its error. Not
/// for what names a state that must hold (`cas`): there the conflict is the answer.
macro_rules! again {
    ($work:expr) => {{
        let mut tries = $crate::commit::Tries::default();
        loop {
            match $work.await {
                Err(error) if tries.goes_on(&error) => {}
                outcome => break outcome,
            }
        }
    }};
}
pub(crate) use again;

/// How often something was done again.
#[derive(Default)]
pub(crate) struct Tries(u32);

impl Tries {
    /// Whether it is to be done again after this error.
    pub(crate) fn goes_on(&mut self, error: &Error) -> bool {
        self.0 += 1;
        error.code() == Code::Conflict && self.0 < TRIES
    }
}

impl Active {
    /// Logs a change to what is in memory alone, and returns once its record is synced; the change comes after.
    ///
    /// # Errors
    /// [`Code::AuditUnavailable`] where it cannot be logged: then nothing may be changed.
    pub(crate) async fn log_change(&self, record: &Record) -> Result<Logged, Error> {
        self.may_change(record.urgency())?;
        self.log_synced(record).await?;
        Ok(Logged(()))
    }

    /// Commits the edit with its record, logs the record, and returns once it is synced.
    ///
    /// The work goes on to its end even if the caller goes away.
    ///
    /// # Errors
    /// [`Code::Conflict`] where a precondition did not hold; then nothing was changed. [`Code::AuditUnavailable`]
    /// where the change is committed and its record could not yet be logged: it will be, without a restart.
    pub(crate) async fn commit(
        self: &Arc<Self>,
        edit: Edit,
        record: Record,
        urgency: Urgency,
    ) -> Result<Logged, Error> {
        self.commit_all(vec![(edit, record)], urgency).await
    }

    /// As [`Active::commit`], for several edits that happen together or not at all and have a record each. No two of them
    /// may change the same row.
    ///
    /// # Errors
    /// As there; [`Code::TooLarge`] beyond what the store takes in one batch.
    pub(crate) async fn commit_all(self: &Arc<Self>, mut parts: Vec<Part>, urgency: Urgency) -> Result<Logged, Error> {
        self.may_change(urgency)?;
        self.note_use(&mut parts)?;
        let mut prepared = if parts.len() > AT_ONCE {
            // Sealing many rows would keep other requests waiting.
            let this = Arc::clone(self);
            let now = self.clock.now();
            let sealing = move || prepare(&this.barrier, &this.node, this.epoch, now, parts);
            tokio::task::spawn_blocking(sealing).await.map_err(Error::internal)??
        } else {
            prepare(&self.barrier, &self.node, self.epoch, self.clock.now(), parts)?
        };
        prepared.batch.room = match urgency {
            Urgency::Essential => Room::Reserve,
            Urgency::Ordinary => Room::Ordinary,
        };
        let this = Arc::clone(self);
        tokio::spawn(async move { this.commit_and_log(prepared, urgency).await }).await.map_err(Error::internal)?
    }

    /// Commits rows that have no record. Only for keys of [`keys::BOOKKEEPING`].
    pub(crate) async fn commit_bookkeeping(&self, edit: Edit) -> Result<Revision, Error> {
        let mut changes = Vec::with_capacity(edit.rows.len());
        for row in edit.rows {
            debug_assert!(keys::is_bookkeeping(&row.key) || matches!(row.value, Value::Deleted | Value::Checked));
            let key = Key::new(row.key.clone())?;
            changes.push(match row.value {
                Value::Checked => Change::Check { key, expect: row.expect.unwrap_or(Expect::Absent) },
                Value::Deleted => Change::Delete { key, expect: row.expect },
                Value::Plain(value) => {
                    Change::Put { key, value: self.barrier.seal(&row.key, &[&value])?, expect: row.expect }
                }
                Value::Sealed(value) => Change::Put { key, value, expect: row.expect },
            });
        }
        let revision = self.store.commit(Batch { epoch: Some(self.epoch), changes, ..Batch::default() }).await?;
        edit.in_force.into_iter().for_each(|apply| apply(self));
        Ok(revision)
    }

    async fn commit_and_log(self: Arc<Self>, prepared: Prepared, urgency: Urgency) -> Result<Logged, Error> {
        let Prepared { batch, cached, outbox, guards, in_force } = prepared;
        crate::failpoint::hit("before-commit");
        let revision = match self.store.commit(batch).await {
            Ok(revision) => revision,
            Err(lost @ StoreError::Unknown { .. }) => self.resolve(&outbox, lost).await?,
            Err(StoreError::Fenced) => {
                self.lease.lose();
                return Err(StoreError::Fenced.into());
            }
            Err(error) => return Err(error.into()),
        };
        crate::failpoint::hit("after-commit");
        // Appended before the change becomes visible: who reads it is later in the log than who wrote it.
        let mut appended = Vec::with_capacity(outbox.len());
        for (row, entries) in outbox {
            let entries: Vec<Vec<u8>> = entries.iter().map(|entry| entry.with_revision(revision.0)).collect();
            let ticket = match urgency {
                Urgency::Essential => self.log.append_reserved(entries.clone()).await,
                Urgency::Ordinary => self.log.append(entries.clone()).await,
            };
            appended.push((row, entries, ticket));
            crate::failpoint::hit("amid-append");
        }
        crate::failpoint::hit("after-append");
        for (key, sealed) in cached {
            self.remember(key, sealed, revision);
        }
        in_force.into_iter().for_each(|apply| apply(&self));
        drop(guards);
        let mut broken = None;
        for (row, entries, ticket) in appended {
            let synced = match ticket {
                Ok(ticket) => self.log.synced(&ticket).await.map(drop),
                Err(error) => Err(error),
            };
            match synced {
                Ok(()) => self.outbox.logged(row),
                Err(error) => {
                    self.outbox.unlogged(row, entries, &error);
                    broken = Some(error);
                }
            }
        }
        crate::failpoint::hit("after-sync");
        match broken {
            None => Ok(Logged(())),
            Some(error) => Err(Error::new(
                Code::AuditUnavailable,
                "the change is stored, but the audit log cannot be written, so it is not confirmed; \
                 it will be logged once the log can be written again",
            )
            .caused_by(error)),
        }
    }

    /// Whether a commit whose answer was lost went in: its outbox row says so. Asked by a commit that expects the
    /// row to be absent, so that the answer comes after whatever the lost connection left running.
    async fn resolve(&self, outbox: &[(String, Vec<Encoded>)], lost: StoreError) -> Result<Revision, Error> {
        // A batch goes in whole, so that one of its rows tells of all.
        let Some((row, _)) = outbox.first() else { return Err(lost.into()) };
        let key = Key::new(row.clone())?;
        for _ in 0..LOOKUPS {
            let absent = Change::Check { key: key.clone(), expect: Expect::Absent };
            match self.store.commit(Batch { epoch: Some(self.epoch), changes: vec![absent], ..Batch::default() }).await
            {
                Ok(_) => {
                    let message = "the connection to the store was lost and nothing was changed; try again";
                    return Err(Error::new(Code::Unavailable, message).caused_by(lost));
                }
                Err(StoreError::Conflict) => {
                    if let Ok(Some(Entry { revision, .. })) = self.store.get(&key).await {
                        return Ok(revision);
                    }
                }
                Err(StoreError::Fenced) => break,
                Err(_) => {}
            }
            tokio::time::sleep(std::time::Duration::from_millis(250)).await;
        }
        // Still unknown: the start of the next leader logs the row if it is there.
        self.lease.lose();
        Err(lost.into())
    }

    fn remember(&self, key: String, sealed: Option<Sealed>, revision: Revision) {
        let value = sealed.map(|sealed| Arc::new(CachedEntry { sealed: sealed.bytes(), revision }));
        self.cache.put(key, value);
    }
}

/// A batch with its outbox row, for commits before there is a log: the start logs it.
pub(crate) fn sealed_batch(
    barrier: &Barrier,
    node: &str,
    epoch: Epoch,
    now: i64,
    edit: Edit,
    record: Record,
) -> Result<Batch, Error> {
    prepare(barrier, node, epoch, now, vec![(edit, record)]).map(|prepared| prepared.batch)
}
