//! Keys of a mount that was disabled. They are out of reach from the commit that disables it; in the background each is then
//! deleted as by hand, with a record of its own, so its versions wait for their destruction as long as its tags and the
//! engine's settings say. Until the last is destroyed and attested the mount can be enabled again with its keys among the
//! deleted ones; then their rows go.

use std::sync::Arc;

use coffer_storage::{Expect, Revision};
use uuid::Uuid;

use super::{
    create::key_record,
    deleted_row,
    entry::{KeyEntry, NameRow},
    key_row, keys_of, public_prefix,
    state::KeyState,
};
use crate::{
    Error,
    active::Active,
    commit::{Edit, Urgency},
    keys,
    mount::purge::purge_row,
    record::Record,
};

/// Names read at once.
const NAMES: usize = 200;
/// What waits for nothing but the next look, in UTC milliseconds.
const AT_ONCE: i64 = 0;

/// A disabled mount, and the revision of the row that says so: nothing is done to its keys once that changed.
#[derive(Clone, Copy)]
pub(crate) struct Orphanage<'a> {
    pub(crate) mount: Uuid,
    pub(crate) path: &'a str,
    pub(crate) since: Revision,
}

/// What is left of a disabled mount's keys.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Left {
    /// No row.
    Nothing,
    /// Keys of which none is over before this time, in UTC milliseconds.
    Until(i64),
}

/// Goes on with the end of a disabled mount's keys.
///
/// # Errors
/// The first that comes; the next call goes on.
pub(crate) async fn retire(active: &Arc<Active>, mount: Orphanage<'_>) -> Result<Left, Error> {
    let mut after = Some(String::new());
    while let Some(last) = after {
        let (rows, next) = page(active, &keys_of(keys::KEY_NAME, mount.mount), &last).await?;
        for (name, row) in rows {
            end_one(active, mount, row.id, &name).await?;
        }
        after = next;
    }
    let mut first: Option<i64> = None;
    let mut after = Some(String::new());
    while let Some(last) = after {
        let (rows, next) = page(active, &keys_of(keys::KEY_DELETED, mount.mount), &last).await?;
        for (place, row) in rows {
            let name = place.split('\0').next().unwrap_or_default();
            let over = match row.states.iter().all(|state| *state == KeyState::Destroyed) {
                true if forget(active, mount, row.id, name).await? => continue,
                true => AT_ONCE,
                false => active.key_by_id(mount.mount, row.id).await?.map_or(AT_ONCE, |found| is_over_at(&found.value)),
            };
            first = Some(first.map_or(over, |first| first.min(over)));
        }
        after = next;
    }
    Ok(first.map_or(Left::Nothing, Left::Until))
}

/// Whether a mount that is not there any more has keys.
pub(crate) async fn has_keys(active: &Active, mount: Uuid) -> Result<bool, Error> {
    for prefix in [keys::KEY_NAME, keys::KEY_DELETED] {
        if !active.names(&keys_of(prefix, mount), "", 1).await?.names.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// When the last version of a deleted key is to be destroyed, which may be put off and does not come sooner.
fn is_over_at(entry: &KeyEntry) -> i64 {
    let scheduled = entry.versions.iter().filter(|version| version.state != KeyState::Destroyed);
    scheduled.map(|version| version.destroy_at_ms.unwrap_or(AT_ONCE)).max().unwrap_or(AT_ONCE)
}

/// Deletes a key as by hand, whether or not it allows that.
async fn end_one(active: &Arc<Active>, mount: Orphanage<'_>, id: Uuid, name: &str) -> Result<(), Error> {
    let guard = active.key_lock(mount.mount, name).await;
    let found = active.key_by_id(mount.mount, id).await?.filter(|found| found.value.deleted_ms.is_none());
    let Some(found) = found else { return Ok(()) };
    let mut edit = Edit::under(guard);
    edit.check(purge_row(mount.mount), Expect::Revision(mount.since));
    let record = Record::system("key.delete").fact("mount", mount.path.to_owned());
    let (_, record) = active.key_end(&found, record.fact("reason", "its mount was disabled"), &mut edit).await?;
    active.commit(edit, record, Urgency::Ordinary).await?.spend();
    Ok(())
}

/// Deletes the rows of a key of which nothing is left but what attests its end. `false` where that is not attested yet.
async fn forget(active: &Arc<Active>, mount: Orphanage<'_>, id: Uuid, name: &str) -> Result<bool, Error> {
    let guard = active.key_lock(mount.mount, name).await;
    let Some(found) = active.key_by_id(mount.mount, id).await? else { return Ok(true) };
    let entry = found.value;
    if entry.deleted_ms.is_none() || entry.versions.iter().any(|version| version.attested_ms.is_none()) {
        return Ok(false);
    }
    let mut edit = Edit::under(guard);
    edit.check(purge_row(mount.mount), Expect::Revision(mount.since));
    let public = public_prefix(mount.mount, id);
    let mut after = String::new();
    loop {
        let page = active.names(&public, &after, NAMES).await?;
        page.names.iter().for_each(|version| edit.delete(format!("{public}{version}"), None));
        match page.names.into_iter().next_back().filter(|_| page.more) {
            Some(last) => after = last,
            None => break,
        }
    }
    edit.delete(deleted_row(mount.mount, name, id), None);
    edit.delete(key_row(mount.mount, id), Some(Expect::Revision(found.revision)));
    let record = key_record(Record::system("mount.purge"), &entry).fact("mount", mount.path.to_owned());
    active.commit(edit, record, Urgency::Ordinary).await?.spend();
    Ok(true)
}

/// Some name rows below a prefix after a name, and the name after which there may be more.
async fn page(active: &Active, prefix: &str, after: &str) -> Result<(Vec<(String, NameRow)>, Option<String>), Error> {
    let page = active.names(prefix, after, NAMES).await?;
    let next = page.names.last().filter(|_| page.more).cloned();
    let mut rows = Vec::with_capacity(page.names.len());
    for name in page.names {
        if let Some(found) = active.row::<NameRow>(&format!("{prefix}{name}")).await? {
            rows.push((name, found.value));
        }
    }
    Ok((rows, next))
}
