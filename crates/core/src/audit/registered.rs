//! The logs that the store registers (`log/{node}`): by them it is known whether a record may stand elsewhere.

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_crypto::hash::sha256;
use coffer_storage::{Key, Limit, Prefix};

use crate::{Error, activate::LogRow, active::Active, codec, keys};

/// The nodes whose logs the store registers, in the order of their names.
///
/// A row that the barrier does not open is nobody's log: whoever writes to the store from outside can make one.
pub(crate) async fn nodes(active: &Active) -> Result<Vec<String>, Error> {
    let prefix = Prefix::new(keys::LOG)?;
    let mut nodes = Vec::new();
    let mut after: Option<Key> = None;
    loop {
        let page = active.store.scan(&prefix, after.as_ref(), Limit::MAX).await?;
        for (key, entry) in &page.items {
            let name = String::from_utf8_lossy(key.as_bytes());
            if let Some(node) = name.strip_prefix(keys::LOG).filter(|_| is_log(active, &name, &entry.value)) {
                nodes.push(node.to_owned());
            }
        }
        after = page.items.last().map(|(key, _)| key.clone());
        if !page.more {
            return Ok(nodes);
        }
    }
}

/// Whether a row registers a log.
pub(crate) fn is_log(active: &Active, row: &str, value: &[u8]) -> bool {
    active.barrier.open(row, value).is_ok_and(|opened| codec::decode::<LogRow>(row, &opened).is_ok())
}

/// [`digest`] of the logs registered now.
pub(crate) async fn digest_now(active: &Active) -> Result<String, Error> {
    Ok(digest(nodes(active).await?.iter().map(String::as_str)))
}

/// What a start's record says of the registered logs, for who verifies without the barrier's keys: a hash of the names.
pub(crate) fn digest<'a>(nodes: impl IntoIterator<Item = &'a str>) -> String {
    // No name of a node has a line's end in it.
    let lines: String = nodes.into_iter().flat_map(|node| [node, "\n"]).collect();
    STANDARD.encode(sha256(&[lines.as_bytes()]))
}
