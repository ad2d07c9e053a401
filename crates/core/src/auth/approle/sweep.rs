//! Removes secret ids that have expired, found by an index of minutes, and those of deleted roles. Neither can be used
//! any more before it is removed; this only frees the rows.

use std::sync::Arc;

use coffer_storage::{Expect, Key, Limit, Prefix};

use super::SecretId;
use crate::{
    Error,
    active::Active,
    clock::Expiry,
    commit::{Edit, Urgency, again},
    keys,
    record::Record,
};

/// Index rows worked off in one round.
const ROUND: usize = 500;
/// Secret ids of a deleted role deleted in one commit.
const PURGED_TOGETHER: usize = 500;

/// Sweeps until there is no more to do; whoever else sweeps meanwhile is waited for.
pub(crate) async fn sweep_all(active: &Arc<Active>) -> Result<(), Error> {
    let _turn = active.sweeping_secrets.lock().await;
    if active.clock.is_in_doubt() {
        return Ok(());
    }
    while again!(sweep(active))? {}
    while purge(active).await? {}
    Ok(())
}

/// One round of what expired; tells whether there may be more to do at once.
async fn sweep(active: &Arc<Active>) -> Result<bool, Error> {
    let page = active.store.scan_keys(&Prefix::new(keys::SECRET_ID_EXPIRY)?, None::<&Key>, Limit::new(ROUND)?).await?;
    let minute = u64::try_from(active.clock.now() / 60_000).unwrap_or(0);
    let mut edit = Edit::default();
    for key in &page.items {
        let Some((bucket, place)) =
            text(key).and_then(|key| key.strip_prefix(keys::SECRET_ID_EXPIRY)).and_then(|place| place.split_once('/'))
        else {
            continue;
        };
        if u64::from_str_radix(bucket, 16).map_or(true, |bucket| bucket > minute) {
            break;
        }
        active.metrics.sweep_visited.add(1);
        let row = format!("{}{place}", keys::SECRET_ID);
        let index = format!("{}{bucket}/{place}", keys::SECRET_ID_EXPIRY);
        match active.row::<SecretId>(&row).await? {
            None => edit.delete(index, None),
            Some(found) if has_expired(active, &found.value) => {
                edit.delete(row.clone(), Some(Expect::Revision(found.revision)));
                edit.delete(index, None);
                // Bookkeeping tells the cache nothing by itself.
                edit.in_force(move |active| active.cache.put(row, None));
            }
            // Of this very minute and not yet due; or made anew with another end.
            Some(found) if minute_of(&found.value) != u64::from_str_radix(bucket, 16).ok() => edit.delete(index, None),
            Some(_) => {}
        }
    }
    if edit.is_empty() {
        return Ok(false);
    }
    active.commit_bookkeeping(edit).await?;
    Ok(page.more)
}

/// One round of what belonged to deleted roles; tells whether there is more.
async fn purge(active: &Arc<Active>) -> Result<bool, Error> {
    let page = active.names(keys::SECRET_ID_PURGE, "", 1).await?;
    let Some(role) = page.names.first() else { return Ok(false) };
    let prefix = format!("{}{role}/", keys::SECRET_ID);
    let below = active.names(&prefix, "", PURGED_TOGETHER).await?;
    let mut edit = Edit::default();
    for accessor in &below.names {
        active.metrics.sweep_visited.add(1);
        edit.delete(format!("{prefix}{accessor}"), None);
    }
    if !below.more {
        edit.delete(format!("{}{role}", keys::SECRET_ID_PURGE), None);
    }
    let record = Record::system("secret_id.purge").fact("role", role.clone());
    let record = record.fact("count", below.names.len().to_string());
    active.commit(edit, record, Urgency::Ordinary).await?.spend();
    Ok(below.more || page.more)
}

fn has_expired(active: &Active, secret: &SecretId) -> bool {
    secret.expires_ms.is_some_and(|at| matches!(active.clock.expired(at), Expiry::Expired))
}

fn minute_of(secret: &SecretId) -> Option<u64> {
    secret.expires_ms.and_then(|at| u64::try_from(at.max(0) / 60_000).ok())
}

fn text(key: &Key) -> Option<&str> {
    std::str::from_utf8(key.as_bytes()).ok()
}
