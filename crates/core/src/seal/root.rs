//! The root key: made at the first start of a store, stored wrapped, unwrapped at each later start.

use std::collections::BTreeMap;

use coffer_crypto::{Secret, envelope::TermKey, wrap};
use coffer_storage::{Expect, Key, Store};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::FileSeal;
use crate::{
    StartError,
    barrier::{self, Barrier},
    codec::{self, Persisted},
    commit::Edit,
    housekeeping::TermBegan,
    keyring::Purpose,
    keys,
};

/// The row under [`keys::ROOT`]: public facts and ciphertext, so it is the one row outside the barrier.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct RootRow {
    pub(crate) cluster_id: Uuid,
    /// The root key, wrapped once per seal, by the seal's kind.
    pub(crate) wraps: BTreeMap<String, Vec<u8>>,
}

impl Persisted for RootRow {}

/// A store's root key and what is public beside it.
pub(crate) struct Root {
    pub(crate) key: Secret,
    pub(crate) cluster_id: Uuid,
}

/// A first start: the root key and all rows that make a store out of nothing.
pub(crate) struct Birth {
    pub(crate) root: Root,
    pub(crate) barrier: Barrier,
    pub(crate) edit: Edit,
}

/// The root row, if the store has one.
pub(crate) async fn read(store: &dyn Store) -> Result<Option<RootRow>, StartError> {
    let Some(entry) = store.get(&Key::new(keys::ROOT)?).await? else { return Ok(None) };
    Ok(Some(codec::decode(keys::ROOT, &entry.value)?))
}

/// Opens the root key with the file seal.
///
/// # Errors
/// [`StartError::Seal`] where the key file is missing, damaged or another store's.
pub(crate) fn unwrap(row: &RootRow, seal: &FileSeal) -> Result<Root, StartError> {
    let refuse = |what: &str| StartError::Seal(format!("seal key file {}: {what}", seal.path().display()));
    let key = seal.read()?.ok_or_else(|| {
        refuse("missing, but the store was sealed with one; put it back (a new one cannot open this store)")
    })?;
    let wrapped = row.wraps.get("file").ok_or_else(|| refuse("this store is not sealed with a key file"))?;
    let key = wrap::unwrap(&key, wrap_aad("file").as_bytes(), wrapped)
        .map_err(|_| refuse("does not open this store's root key; it belongs to another store or is damaged"))?;
    Ok(Root { key, cluster_id: row.cluster_id })
}

/// Everything a new store needs: root, first term, the other keys.
pub(crate) fn create(seal: &FileSeal, now: i64) -> Result<Birth, StartError> {
    let seal_key = match seal.read()? {
        Some(key) => key,
        None => seal.create()?,
    };
    let root = Root { key: Secret::random(32)?, cluster_id: Uuid::new_v4() };
    let wrapped = wrap::wrap(&seal_key, wrap_aad("file").as_bytes(), &root.key)?;
    let row = RootRow { cluster_id: root.cluster_id, wraps: BTreeMap::from([("file".to_owned(), wrapped)]) };
    let term = Secret::random(32)?;
    let barrier = Barrier::new(vec![TermKey::new(1, &term)?], 0)?;

    let mut edit = Edit::default();
    edit.put_sealed(keys::ROOT, barrier::root_row(codec::encode(&row)?.to_vec())?, Some(Expect::Absent));
    let term_row = barrier::term_key(1);
    edit.put_sealed(term_row.clone(), barrier::wrap_under_root(&root.key, &term_row, &term)?, Some(Expect::Absent));
    let counter = counter_row(1);
    let block = barrier.next_block();
    let paid = block.seal(&counter, &[&codec::encode(&Reservation { total: block.total() })?])?;
    edit.put_sealed(counter, paid, Some(Expect::Absent));
    block.grant();
    let began = TermBegan { term: 1, began_ms: now };
    edit.put(keys::TERM_BEGAN, codec::encode(&began)?, Some(Expect::Absent));
    for purpose in Purpose::ALL {
        let row = purpose.row(1);
        let sealed = barrier::wrap_under_root(&root.key, &row, &Secret::random(32)?)?;
        edit.put_sealed(row, sealed, Some(Expect::Absent));
    }
    Ok(Birth { root, barrier, edit })
}

/// The row that counts a term's reserved seals.
pub(crate) fn counter_row(term: u32) -> String {
    format!("{}term/{term:08x}", keys::COUNTER)
}

/// All seals ever reserved for a term.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Reservation {
    pub(crate) total: u64,
}

impl Persisted for Reservation {}

fn wrap_aad(kind: &str) -> String {
    format!("{}/{kind}", keys::ROOT)
}
