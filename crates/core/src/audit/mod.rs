//! The audit log as the core uses it: level with the store at start, searched, proved, re-verified.

pub(crate) mod ledger;
pub(crate) mod query;
pub(crate) mod registered;
pub(crate) mod scrub;

use std::{collections::HashSet, sync::Arc};

use coffer_storage::{Key, Limit, Prefix};

use crate::{
    Error, StartError,
    active::Active,
    codec,
    commit::OUTBOX_FORMAT,
    keys,
    record::Encoded,
    tlog::{self, Head},
};

/// Entries read at once while catching up.
const PAGE: usize = 1000;

/// Appends every outbox row's record that the log does not hold yet: of this node, and of nodes that died.
///
/// What this node logged since it last registered the log's head is known by record id; anything else may be in
/// the log twice, which is legal.
pub(crate) async fn catch_up(active: &Arc<Active>, known: Option<Head>) -> Result<(), StartError> {
    let logged = ids_since(active, known.map_or(0, |head| head.size))?;
    let prefix = Prefix::new(keys::OUTBOX)?;
    let mut after: Option<Key> = None;
    let mut adopted = 0_usize;
    loop {
        let page = active.store.scan(&prefix, after.as_ref(), Limit::MAX).await?;
        let mut tickets = Vec::new();
        let mut rows = Vec::new();
        for (key, entry) in &page.items {
            let row = std::str::from_utf8(key.as_bytes()).map_err(Error::internal)?;
            let opened = active.barrier.open(row, &entry.value)?;
            let records = match opened.split_first() {
                Some((&OUTBOX_FORMAT, text)) => {
                    Encoded::read_all(text).ok_or_else(|| codec::damaged(row, "truncated"))?
                }
                Some((format, _)) => return Err(codec::unknown_format(row, *format, OUTBOX_FORMAT).into()),
                None => return Err(codec::damaged(row, "empty").into()),
            };
            let entries: Vec<Vec<u8>> = records
                .iter()
                .map(|record| record.with_revision(entry.revision.0))
                .filter(|entry| record_id(entry).is_none_or(|id| !logged.contains(&id)))
                .collect();
            if !entries.is_empty() {
                adopted += entries.len();
                tickets.push(active.log.append(entries).await.map_err(Error::internal)?);
            }
            rows.push(row.to_owned());
        }
        for ticket in &tickets {
            active.log.synced(ticket).await.map_err(Error::internal)?;
        }
        rows.into_iter().for_each(|row| active.outbox.logged(row));
        after = page.items.last().map(|(key, _)| key.clone());
        if !page.more {
            break;
        }
    }
    if adopted > 0 {
        tracing::info!(records = adopted, "records of commits that were not yet in the log are appended");
    }
    crate::outbox::delete_logged(active).await?;
    Ok(())
}

fn ids_since(active: &Active, from: u64) -> Result<HashSet<String>, Error> {
    let mut ids = HashSet::new();
    let mut next = from;
    let end = active.log.head().size;
    while next < end {
        let entries = active.log.read(next, PAGE).map_err(Error::internal)?;
        let Some((last, _)) = entries.last() else { break };
        next = last + 1;
        ids.extend(entries.iter().filter_map(|(_, entry)| record_id(entry)));
    }
    Ok(ids)
}

fn record_id(entry: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Id {
        id: String,
    }
    serde_json::from_slice::<Id>(tlog::payload(entry)).ok().map(|record| record.id)
}
