//! The data of disabled mounts: out of reach from the commit that disables one, deleted in the background, a few rows at
//! a time, and resumed at each start until nothing is left. Keys are not deleted so: they are destroyed in their time
//! (`engine/key/orphaned.rs`), and until then the mount can be enabled again with them.

use std::{sync::Arc, time::Duration};

use coffer_storage::Expect;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Error,
    active::{Active, Found},
    codec::Persisted,
    commit::{Edit, Urgency},
    engine::{
        key::{
            orphaned::{self, Orphanage},
            settings::settings_row,
        },
        kv::entry::Opened,
    },
    keys,
    object::object_row,
    record::Record,
};

/// Rows deleted in one commit.
const TOGETHER: usize = 500;
/// Names read at once.
const NAMES: usize = 100;
/// Between two commits, so that requests find the store free.
const PACE: Duration = Duration::from_millis(10);
/// Milliseconds after which no request that found the mount can still be writing below it.
const LATE: i64 = 5 * 60 * 1000;

/// A disabled mount.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct PurgeRow {
    /// Where it was.
    pub(crate) path: String,
    /// UTC milliseconds.
    pub(crate) disabled_ms: i64,
}

impl Persisted for PurgeRow {}

/// The row of a disabled mount.
pub(crate) fn purge_row(id: Uuid) -> String {
    format!("{}{id}", keys::MOUNT_PURGE)
}

/// Deletes what is left of disabled mounts, but nothing while the clock is in doubt. A mount is forgotten once nothing was
/// left `LATE` milliseconds after its end.
pub(crate) async fn purge_all(active: &Arc<Active>, now: i64) -> Result<(), Error> {
    let mut after = String::new();
    loop {
        let page = active.names(keys::MOUNT_PURGE, &after, NAMES).await?;
        for id in &page.names {
            if active.clock.is_in_doubt() {
                return Ok(());
            }
            let id = id.parse().map_err(Error::internal)?;
            if let Some(found) = active.row::<PurgeRow>(&purge_row(id)).await? {
                purge(active, id, &found, now).await?;
            }
        }
        match page.names.into_iter().next_back().filter(|_| page.more) {
            Some(last) => after = last,
            None => return Ok(()),
        }
    }
}

async fn purge(active: &Arc<Active>, id: Uuid, found: &Found<PurgeRow>, now: i64) -> Result<(), Error> {
    let mount = &found.value;
    let record = Record::system("mount.purge").fact("mount", mount.path.clone()).fact("id", id.to_string());
    for prefix in keys::of_mount(id) {
        loop {
            // It may take long.
            if active.clock.is_in_doubt() {
                return Ok(());
            }
            let names = active.names(&prefix, "", NAMES).await?.names;
            if names.is_empty() {
                break;
            }
            let mut doomed = Vec::new();
            for name in names {
                let row = format!("{prefix}{name}");
                if prefix.starts_with(keys::KV) {
                    doomed.extend(objects_of(active, &row).await?);
                }
                // The entry last: until then it names the object keys that are left.
                doomed.push(row);
            }
            for some in doomed.chunks(TOGETHER) {
                let mut edit = Edit::default();
                some.iter().for_each(|row| edit.delete(row.clone(), None));
                let record = record.clone().fact("count", some.len().to_string());
                active.commit(edit, record, Urgency::Ordinary).await?.spend();
                tokio::time::sleep(PACE).await;
            }
        }
    }
    let orphans = Orphanage { mount: id, path: &mount.path, since: found.revision };
    if !orphaned::retire(active, orphans).await? || now.saturating_sub(mount.disabled_ms) < LATE {
        return Ok(());
    }
    let mut edit = Edit::default();
    // Destructions waited by it.
    edit.delete(settings_row(id), None);
    edit.delete(purge_row(id), Some(Expect::Revision(found.revision)));
    active.commit(edit, record.fact("complete", "true"), Urgency::Ordinary).await.map(crate::commit::Logged::spend)
}

/// The object keys of an entry's versions.
async fn objects_of(active: &Active, row: &str) -> Result<Vec<String>, Error> {
    let Some(found) = active.open(row).await? else { return Ok(Vec::new()) };
    let head = Opened::parse(row, found.value)?.head(row)?;
    Ok(head.versions.iter().filter_map(|version| version.object).map(object_row).collect())
}
