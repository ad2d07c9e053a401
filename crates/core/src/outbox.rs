//! What becomes of outbox rows: those whose record is in the log are deleted in batches, together with the
//! registered head of the log; those whose record could not be logged are tried again.

use std::{sync::Arc, time::Duration};

use coffer_storage::Revision;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::{
    Error,
    active::Active,
    codec::{self, Persisted},
    commit::{Edit, Urgency},
    keys,
    record::Record,
    tlog::{AppendError, Head},
};

/// Rows deleted in one batch.
const DELETIONS: usize = 1000;
/// How long a logged row may wait for company.
const LINGER: Duration = Duration::from_millis(50);
/// How often a broken log is tried.
const RETRY: Duration = Duration::from_millis(250);

/// Records between commit and log.
#[derive(Default)]
pub(crate) struct Outbox {
    inner: Mutex<Inner>,
    wake: Notify,
    /// Held from the look at the log's head to its registration, so that the one registered never goes back.
    registering: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Inner {
    /// Rows whose record is logged and synced.
    logged: Vec<String>,
    /// Rows whose record is not, with the entries.
    unlogged: Vec<(String, Vec<Vec<u8>>)>,
    /// Why the last attempt to write the log failed.
    broken: Option<Fault>,
}

/// Why the log cannot be written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fault {
    /// There is no space; the log has kept some for what protects.
    Full,
    Other,
}

impl Fault {
    fn of(error: &AppendError) -> Self {
        match error {
            AppendError::Write(error) if error.is_full() => Self::Full,
            AppendError::CallSize { .. }
            | AppendError::Closed
            | AppendError::EntrySize(_)
            | AppendError::Reserved
            | AppendError::Tampered(_)
            | AppendError::Write(_) => Self::Other,
        }
    }
}

/// Size and root up to which a node's log is known to be whole (`log-head/{node}`).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct LogHead {
    pub(crate) size: u64,
    pub(crate) root: [u8; 32],
}

impl Persisted for LogHead {}

impl From<Head> for LogHead {
    fn from(head: Head) -> Self {
        Self { size: head.size, root: head.root }
    }
}

impl Outbox {
    /// The row's record is in the log.
    pub(crate) fn logged(&self, row: String) {
        let mut inner = self.inner.lock();
        inner.logged.push(row);
        if inner.logged.len() == 1 || inner.logged.len() >= DELETIONS {
            self.wake.notify_one();
        }
    }

    /// The row's record could not be logged: try again.
    pub(crate) fn unlogged(&self, row: String, entries: Vec<Vec<u8>>, error: &AppendError) {
        let mut inner = self.inner.lock();
        inner.unlogged.push((row, entries));
        inner.broken = Some(Fault::of(error));
        self.wake.notify_one();
    }

    /// The log could not be written.
    pub(crate) fn broke(&self, error: &AppendError) {
        self.inner.lock().broken = Some(Fault::of(error));
        self.wake.notify_one();
    }

    /// Whether changes have to wait for the log.
    pub(crate) fn is_broken(&self) -> bool {
        self.inner.lock().broken.is_some()
    }

    /// Whether a change of this urgency has to wait for the log. Where nothing is wrong but that the disk is full, what
    /// protects does not: the log has space of its own for its record.
    pub(crate) fn holds_up(&self, urgency: Urgency) -> bool {
        let inner = self.inner.lock();
        match (inner.broken, urgency) {
            (None, Urgency::Essential | Urgency::Ordinary) => false,
            (Some(Fault::Full), Urgency::Essential) => !inner.unlogged.is_empty(),
            (Some(Fault::Full), Urgency::Ordinary) | (Some(Fault::Other), Urgency::Essential | Urgency::Ordinary) => {
                true
            }
        }
    }

    /// Rows that await deletion or logging.
    pub(crate) fn depth(&self) -> usize {
        let inner = self.inner.lock();
        inner.logged.len() + inner.unlogged.len()
    }
}

/// Runs until the node is no longer active.
pub(crate) async fn tend(active: Arc<Active>) {
    loop {
        tokio::select! {
            () = active.outbox.wake.notified() => {}
            () = active.stopped() => return,
        }
        if active.outbox.is_broken() {
            mend(&active).await;
        }
        tokio::time::sleep(LINGER).await;
        while let Err(error) = delete_logged(&active).await {
            tracing::warn!(cause = ?error, "outbox rows cannot be deleted; trying again");
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = active.stopped() => return,
            }
        }
    }
}

/// Deletes every row whose record is logged and registers the head of the log in the same batches.
pub(crate) async fn delete_logged(active: &Active) -> Result<(), Error> {
    loop {
        let rows: Vec<String> = {
            let mut inner = active.outbox.inner.lock();
            let most = inner.logged.len().min(DELETIONS);
            inner.logged.drain(..most).collect()
        };
        if rows.is_empty() {
            return Ok(());
        }
        crate::failpoint::hit("before-outbox-delete");
        let _registering = active.outbox.registering.lock().await;
        let mut edit = head_of(active)?;
        rows.iter().for_each(|row| edit.delete(row.clone(), None));
        if let Err(error) = active.commit_bookkeeping(edit).await {
            active.outbox.inner.lock().logged.extend(rows);
            return Err(error);
        }
        crate::failpoint::hit("after-outbox-delete");
    }
}

/// Registers the log as far as it is synced by now: what a store read from here on says of it, and what has no outbox row
/// in that store, is in the log up to there. Gives the revision at which that is so.
pub(crate) async fn register(active: &Active) -> Result<Revision, Error> {
    delete_logged(active).await?;
    let _registering = active.outbox.registering.lock().await;
    active.commit_bookkeeping(head_of(active)?).await
}

/// An edit that registers the log's head.
fn head_of(active: &Active) -> Result<Edit, Error> {
    let mut edit = Edit::default();
    let head = LogHead::from(active.log.head());
    edit.put(format!("{}{}", keys::LOG_HEAD, active.node), codec::encode(&head)?, None);
    Ok(edit)
}

/// Logs what could not be logged, until the log takes it all.
async fn mend(active: &Arc<Active>) {
    tracing::error!("the audit log cannot be written; changes are refused until it can");
    loop {
        let waiting = std::mem::take(&mut active.outbox.inner.lock().unlogged);
        let mut failed = Vec::new();
        for (row, entries) in waiting {
            match log_and_sync(active, entries.clone()).await {
                Ok(()) => active.outbox.inner.lock().logged.push(row),
                Err(_) => failed.push((row, entries)),
            }
        }
        let empty = {
            let mut inner = active.outbox.inner.lock();
            inner.unlogged.extend(failed);
            inner.unlogged.is_empty()
        };
        let probe = Record::system("audit.recover").encode(&active.node, active.clock.now());
        let probe = probe.into_iter().map(crate::record::Encoded::into_entry).collect();
        if empty && log_and_sync(active, probe).await.is_ok() {
            let mut inner = active.outbox.inner.lock();
            if inner.unlogged.is_empty() {
                inner.broken = None;
                tracing::info!("the audit log can be written again");
                return;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = active.stopped() => return,
        }
    }
}

async fn log_and_sync(active: &Active, entries: Vec<Vec<u8>>) -> Result<(), AppendError> {
    let ticket = active.log.append(entries).await?;
    active.log.synced(&ticket).await.map(drop)
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::tlog::DiskError;

    fn fault(kind: io::ErrorKind) -> AppendError {
        DiskError { operation: "write", path: "segment".into(), cause: Arc::new(kind.into()) }.into()
    }

    #[test]
    fn what_protects_waits_for_a_broken_log_but_not_for_a_full_one() {
        for (kind, essential_waits) in [(io::ErrorKind::StorageFull, false), (io::ErrorKind::PermissionDenied, true)] {
            let outbox = Outbox::default();
            assert!(!outbox.holds_up(Urgency::Ordinary) && !outbox.holds_up(Urgency::Essential));
            outbox.broke(&fault(kind));
            assert!(outbox.holds_up(Urgency::Ordinary));
            assert_eq!(outbox.holds_up(Urgency::Essential), essential_waits, "{kind}");
            // Its own record was refused: then the space that is kept is gone as well.
            outbox.unlogged("outbox/n/1".to_owned(), vec![b"{}".to_vec()], &fault(kind));
            assert!(outbox.holds_up(Urgency::Ordinary) && outbox.holds_up(Urgency::Essential));
        }
    }
}
