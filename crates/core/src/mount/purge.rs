//! The data of disabled mounts: out of reach from the commit that disables one, deleted in the background, a few rows at
//! a time, and resumed at each start until nothing is left. Keys are not deleted so: they are destroyed in their time
//! (`engine/key/orphaned.rs`), and until then the mount can be enabled again with them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use coffer_storage::{Expect, Revision};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Error,
    active::{Active, Found},
    codec::Persisted,
    commit::{Edit, Urgency},
    engine::{
        key::{
            orphaned::{self, Left, Orphanage},
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
/// Mounts that are remembered as resting; of more, the keys are looked at each time.
const MAX_RESTING: usize = 10_000;

/// A disabled mount.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct PurgeRow {
    /// Where it was.
    pub(crate) path: String,
    /// UTC milliseconds.
    pub(crate) disabled_ms: i64,
}

impl Persisted for PurgeRow {}

/// Disabled mounts of which nothing is left but keys that wait for their destruction, for days and weeks: none of their
/// rows is read before the first can be over.
#[derive(Default)]
pub(crate) struct Resting(HashMap<Uuid, Rest>);

#[derive(Clone, Copy)]
struct Rest {
    /// The revision of the mount's row: one that was taken up and disabled again has another.
    since: Revision,
    /// UTC milliseconds.
    until: i64,
}

/// The row of a disabled mount.
pub(crate) fn purge_row(id: Uuid) -> String {
    format!("{}{id}", keys::MOUNT_PURGE)
}

/// Deletes what is left of disabled mounts, but nothing while the clock is in doubt. A mount is forgotten once nothing was
/// left `LATE` milliseconds after its end. Whoever else does this meanwhile is waited for.
pub(crate) async fn purge_all(active: &Arc<Active>, now: i64) -> Result<(), Error> {
    let mut resting = active.purging.lock().await;
    let before = std::mem::take(&mut resting.0);
    let mut after = String::new();
    loop {
        let page = active.names(keys::MOUNT_PURGE, &after, NAMES).await?;
        for id in &page.names {
            if active.clock.is_in_doubt() {
                return Ok(());
            }
            let id = id.parse().map_err(Error::internal)?;
            let Some(found) = active.row::<PurgeRow>(&purge_row(id)).await? else { continue };
            let known = before.get(&id).filter(|rest| rest.since == found.revision && now < rest.until);
            let rest = match known {
                Some(rest) => Some(*rest),
                None => purge(active, id, &found, now).await?,
            };
            if let Some(rest) = rest.filter(|_| resting.0.len() < MAX_RESTING) {
                resting.0.insert(id, rest);
            }
        }
        match page.names.into_iter().next_back().filter(|_| page.more) {
            Some(last) => after = last,
            None => return Ok(()),
        }
    }
}

/// Goes on with one; tells whether it rests from now on.
async fn purge(active: &Arc<Active>, id: Uuid, found: &Found<PurgeRow>, now: i64) -> Result<Option<Rest>, Error> {
    let mount = &found.value;
    let record = Record::system("mount.purge").fact("mount", mount.path.clone()).fact("id", id.to_string());
    for prefix in keys::of_mount(id) {
        loop {
            // It may take long.
            if active.clock.is_in_doubt() {
                return Ok(None);
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
    let left = orphaned::retire(active, orphans).await?;
    if now.saturating_sub(mount.disabled_ms) < LATE {
        return Ok(None);
    }
    match left {
        Left::Until(until) => return Ok(Some(Rest { since: found.revision, until })),
        Left::Nothing => {}
    }
    let mut edit = Edit::default();
    // Destructions waited by it.
    edit.delete(settings_row(id), None);
    edit.delete(purge_row(id), Some(Expect::Revision(found.revision)));
    active.commit(edit, record.fact("complete", "true"), Urgency::Ordinary).await?.spend();
    Ok(None)
}

/// The object keys of an entry's versions.
async fn objects_of(active: &Active, row: &str) -> Result<Vec<String>, Error> {
    let Some(found) = active.open(row).await? else { return Ok(Vec::new()) };
    let head = Opened::parse(row, found.value)?.head(row)?;
    Ok(head.versions.iter().filter_map(|version| version.object).map(object_row).collect())
}
