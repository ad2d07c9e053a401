//! A store that a backup was restored into: while it is half done no server starts on it, and the first that does begins a
//! log that names the last checkpoint of the one before.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_storage::{Expect, Key, Sealed, Store};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::Manifest;
use crate::{
    Error, StartError,
    active::Active,
    barrier,
    codec::{self, Persisted},
    commit::{Edit, Urgency},
    housekeeping, keys,
    record::Record,
    tlog,
};

/// What was restored (`restored`): public facts, so it lies outside the barrier, which a restore has no key of. Deleted by
/// the first activation.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct RestoredRow {
    progress: Progress,
    backup: Uuid,
    revision: u64,
    origin: String,
    log_size: u64,
    log_root: [u8; 32],
}

/// How far it went.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum Progress {
    /// Rows may be missing.
    Half,
    /// Everything is there.
    Whole,
}

impl Persisted for RestoredRow {}

impl RestoredRow {
    pub(crate) fn new(manifest: &Manifest, progress: Progress) -> Self {
        let head = manifest.head();
        Self {
            progress,
            backup: manifest.backup,
            revision: manifest.revision,
            origin: manifest.origin().to_owned(),
            log_size: head.map_or(0, |head| head.size),
            log_root: head.map_or([0; 32], |head| head.root),
        }
    }

    pub(crate) fn sealed(&self) -> Result<Sealed, Error> {
        barrier::root_row(codec::encode(self)?.to_vec())
    }
}

/// Whether a row may be one of these.
pub(crate) fn is_row(value: &[u8]) -> bool {
    of_row(value).is_some()
}

/// The backup that a row names, and its revision.
pub(crate) fn of_row(value: &[u8]) -> Option<(String, u64)> {
    let row: RestoredRow = codec::decode(keys::RESTORED, value).ok()?;
    Some((row.backup.to_string(), row.revision))
}

/// Refuses a store into which a restore did not come to its end.
pub(crate) async fn check(store: &dyn Store) -> Result<(), StartError> {
    match read(store).await? {
        Some((RestoredRow { progress: Progress::Half, backup, .. }, _)) => Err(StartError::HalfRestored { backup }),
        Some((RestoredRow { progress: Progress::Whole, .. }, _)) | None => Ok(()),
    }
}

/// Begins the log of a store that was restored with what it goes on from, before anything else is in it.
pub(crate) async fn begin_log(active: &Active) -> Result<(), Error> {
    let Some((row, _)) = read(active.store.as_ref()).await? else { return Ok(()) };
    if active.log.head().size > 0 {
        return Ok(());
    }
    let record = Record::system("log.continue")
        .fact("backup", row.backup.to_string())
        .fact("revision", row.revision.to_string())
        .fact("origin", row.origin)
        .fact("size", row.log_size.to_string())
        .fact("root", STANDARD.encode(row.log_root));
    active.log_synced(&record).await
}

/// Ends the restore. From here on what is sealed is under another term than the store goes on under that the backup was made
/// of, and neither's seals count against the other's.
pub(crate) async fn finish(active: &Arc<Active>) -> Result<(), Error> {
    let Some((row, revision)) = read(active.store.as_ref()).await? else { return Ok(()) };
    // The row is in the clear, and whoever can write the store can write it: this node's own log is what counts.
    if !goes_on(active, &row)? {
        tracing::error!(
            backup = %row.backup,
            "the store says that it was restored, but this node's log was not begun for it: that row was put there"
        );
        return Ok(());
    }
    let term = Record::system("barrier.rotate").fact("reason", "restored from a backup");
    housekeeping::rotate_term(active, term).await?.spend();
    let mut edit = Edit::default();
    edit.delete(keys::RESTORED, Some(Expect::Revision(revision)));
    let record = Record::system("system.restore")
        .fact("backup", row.backup.to_string())
        .fact("revision", row.revision.to_string());
    active.commit(edit, record, Urgency::Essential).await?.spend();
    tracing::info!(backup = %row.backup, revision = row.revision, "this store was restored from a backup");
    Ok(())
}

/// Whether the log began with what it goes on from.
fn goes_on(active: &Active, row: &RestoredRow) -> Result<bool, Error> {
    let first = active.log.read(0, 1).map_err(Error::internal)?;
    let first = first.first().and_then(|(_, entry)| serde_json::from_slice::<Value>(tlog::payload(entry)).ok());
    let Some(first) = first else { return Ok(false) };
    let text = |pointer: &str| first.pointer(pointer).and_then(Value::as_str);
    Ok(text("/cls") == Some("log.continue") && text("/facts/backup") == Some(row.backup.to_string().as_str()))
}

async fn read(store: &dyn Store) -> Result<Option<(RestoredRow, coffer_storage::Revision)>, Error> {
    let Some(entry) = store.get(&Key::new(keys::RESTORED)?).await? else { return Ok(None) };
    Ok(Some((codec::decode(keys::RESTORED, &entry.value)?, entry.revision)))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A row of a restore that is whole, and its backup.
    pub(crate) fn row(revision: u64) -> (Vec<u8>, String) {
        let backup = Uuid::from_u128(7);
        let (progress, origin) = (Progress::Whole, "cluster/node".to_owned());
        let row = RestoredRow { progress, backup, revision, origin, log_size: 3, log_root: [1; 32] };
        (codec::encode(&row).unwrap().to_vec(), backup.to_string())
    }
}
