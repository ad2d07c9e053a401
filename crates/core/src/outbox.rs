//! What becomes of outbox rows: those whose record is in the log are deleted in batches, together with the
//! registered head of the log; those whose record could not be logged are tried again.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::{
    Error,
    active::Active,
    codec::{self, Persisted},
    commit::Edit,
    keys,
    record::Record,
    tlog::Head,
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
    /// Whether the last attempt to write the log failed.
    broken: bool,
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
    pub(crate) fn unlogged(&self, row: String, entries: Vec<Vec<u8>>) {
        let mut inner = self.inner.lock();
        inner.unlogged.push((row, entries));
        inner.broken = true;
        self.wake.notify_one();
    }

    /// The log could not be written.
    pub(crate) fn broke(&self) {
        self.inner.lock().broken = true;
        self.wake.notify_one();
    }

    /// Whether changes have to wait for the log.
    pub(crate) fn is_broken(&self) -> bool {
        self.inner.lock().broken
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
/// in that store, is in the log up to there.
pub(crate) async fn register(active: &Active) -> Result<(), Error> {
    delete_logged(active).await?;
    let _registering = active.outbox.registering.lock().await;
    active.commit_bookkeeping(head_of(active)?).await.map(drop)
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
                inner.broken = false;
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

async fn log_and_sync(active: &Active, entries: Vec<Vec<u8>>) -> Result<(), crate::tlog::AppendError> {
    let ticket = active.log.append(entries).await?;
    active.log.synced(&ticket).await.map(drop)
}
