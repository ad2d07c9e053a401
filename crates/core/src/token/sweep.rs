//! Removes tokens that have expired or are used up, found by an index of minutes. Both are enforced at each use; this only
//! frees the rows. What lives below such a token is revoked with it.

use std::sync::Arc;

use coffer_storage::{Expect, Key, Limit, Prefix};

use super::{TokenEntry, UsesRow, child_row, manage::forget, token_row, uses_row, wrap::wrapped_row};
use crate::{
    Error,
    active::Active,
    commit::{Edit, again},
    keys,
    record::Record,
};

/// Index rows worked off in one round.
const ROUND: usize = 500;

/// One round; tells whether there may be more to do at once.
pub(crate) async fn sweep(active: &Arc<Active>) -> Result<bool, Error> {
    if active.clock.is_in_doubt() {
        return Ok(false);
    }
    // What was renewed meanwhile is none of the next try's.
    again!(round(active))
}

async fn round(active: &Arc<Active>) -> Result<bool, Error> {
    let prefix = Prefix::new(keys::TOKEN_EXPIRY)?;
    let page = active.store.scan_keys(&prefix, None::<&Key>, Limit::new(ROUND)?).await?;
    let minute = u64::try_from(active.clock.now() / 60_000).unwrap_or(0);
    let mut edit = Edit::default();
    let mut trees = Vec::new();
    for key in &page.items {
        let Some((bucket, accessor)) = std::str::from_utf8(key.as_bytes())
            .ok()
            .and_then(|key| key.strip_prefix(keys::TOKEN_EXPIRY))
            .and_then(|key| key.split_once('/'))
        else {
            continue;
        };
        if u64::from_str_radix(bucket, 16).map_or(true, |bucket| bucket > minute) {
            break;
        }
        active.metrics.sweep_visited.add(1);
        let row = format!("{}{bucket}/{accessor}", keys::TOKEN_EXPIRY);
        match active.token_entry(accessor).await? {
            None => edit.delete(row, None),
            Some(found) if active.has_expired(&found.value) => {
                let below = !active.children(accessor).await?.is_empty();
                if below || found.value.cubbyhole {
                    let reason = if below { "expired, with tokens below it" } else { "expired, with its cubbyhole" };
                    trees.push((accessor.to_owned(), reason));
                    continue;
                }
                edit.delete(token_row(accessor), Some(Expect::Revision(found.revision)));
                edit.delete(row, None);
                if let Some(parent) = &found.value.parent {
                    edit.delete(child_row(parent, accessor), None);
                }
                if found.value.num_uses > 0 {
                    edit.delete(uses_row(accessor), None);
                }
                if found.value.wrapping {
                    edit.delete(wrapped_row(accessor), None);
                }
                forget(accessor, &mut edit);
            }
            // Nobody came to the end of its last request: a client that hung up, a crash.
            Some(found) if active.is_used_up(accessor, &found.value).await? => {
                trees.push((accessor.to_owned(), "uses exhausted"));
            }
            // Renewed since, under another minute; or of this very minute and not yet due.
            Some(found) if super::expiry_row(found.value.expires_ms.unwrap_or(0), accessor) != row => {
                edit.delete(row, None)
            }
            Some(_) => {}
        }
    }
    if edit.is_empty() && trees.is_empty() {
        return Ok(false);
    }
    if !edit.is_empty() {
        active.commit_bookkeeping(edit).await?;
    }
    // After what goes by itself, which may be part of them.
    let mut failed = None;
    for (accessor, reason) in trees {
        let record = Record::system("token.revoke").fact("accessor", accessor.clone()).fact("reason", reason);
        match active.revoke_tree(&accessor, record).await {
            Ok(logged) => logged.spend(),
            // The others do not wait for this one.
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(page.more), Err)
}

impl Active {
    async fn is_used_up(&self, accessor: &str, entry: &TokenEntry) -> Result<bool, Error> {
        if entry.num_uses == 0 {
            return Ok(false);
        }
        Ok(self.row::<UsesRow>(&uses_row(accessor)).await?.is_some_and(|uses| uses.value.left == 0))
    }
}
