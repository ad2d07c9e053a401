//! The root key: made at the first start of a store, stored wrapped, unwrapped at each later start.

use std::{collections::BTreeMap, sync::Arc};

use coffer_crypto::{Secret, envelope::TermKey, wrap};
use coffer_storage::{Expect, Key, Revision, Store};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    FileSeal, SealKind,
    shares::{self, Gave, Given, Share, Split},
};
use crate::{
    Error, StartError,
    barrier::{self, Barrier},
    codec::{self, Persisted},
    commit::Edit,
    housekeeping::TermBegan,
    keyring::Purpose,
    keys,
};

/// The row under [`keys::ROOT`]: public facts and ciphertext, so it lies outside the barrier.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct RootRow {
    pub(crate) cluster_id: Uuid,
    /// The root key, wrapped once per seal, by the seal's kind; and under [`SUPERSEDED`].
    pub(crate) wraps: BTreeMap<String, Wrapped>,
    /// The kind of the seal to which the store is on its way: once a node was opened with it, the others go.
    pub(crate) next: Option<String>,
}

impl Persisted for RootRow {}

/// The root key under one seal's key.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Wrapped {
    bytes: Vec<u8>,
    /// How the seal's key is split, where it is.
    pub(crate) split: Option<Split>,
}

/// A store's root key and what is public beside it.
#[derive(Clone)]
pub(crate) struct Root {
    pub(crate) key: Arc<Secret>,
    pub(crate) cluster_id: Uuid,
}

/// What shares have opened: the root key, and the wrap that it was under.
pub(crate) struct Opened {
    pub(crate) root: Root,
    pub(crate) by: Wrapped,
}

/// What came of giving one more share to a store's seal.
pub(crate) enum Tried {
    /// It had been given before.
    Again,
    /// Enough were given; none is kept. An error where they open nothing.
    Enough(Result<Opened, Error>),
    /// More are needed.
    More,
}

/// A first start: the root key and all rows that make a store out of nothing.
pub(crate) struct Birth {
    pub(crate) root: Root,
    pub(crate) barrier: Barrier,
    pub(crate) edit: Edit,
    /// The first key of tokens.
    pub(crate) token_key: Secret,
}

impl RootRow {
    /// How the key of shares is split.
    ///
    /// # Errors
    /// [`StartError::Seal`] where this seal is none of the store's.
    pub(crate) fn split(&self) -> Result<Split, StartError> {
        let found = self.wraps.get(SealKind::Shamir.name()).and_then(|wrapped| wrapped.split);
        found.ok_or_else(|| not_sealed_with(SealKind::Shamir))
    }

    /// Whether a node may be started with a seal of this kind.
    ///
    /// # Errors
    /// [`StartError::Seal`] where the root key is not wrapped under one.
    pub(crate) fn check(&self, kind: SealKind) -> Result<(), StartError> {
        match self.wraps.contains_key(kind.name()) {
            true => Ok(()),
            false => Err(not_sealed_with(kind)),
        }
    }

    /// Takes one more share. After a rekey whose new shares nobody may have, those before it open the seal as well.
    ///
    /// # Errors
    /// [`StartError::Seal`] where this seal is none of the store's.
    pub(crate) fn give(&self, given: &mut Given, share: Share) -> Result<Tried, StartError> {
        let present = self.split()?.threshold();
        let before = self.wraps.get(SUPERSEDED).and_then(|wrapped| wrapped.split).map(Split::threshold);
        Ok(match given.give(share, before.unwrap_or_default().max(present)) {
            Gave::Again => Tried::Again,
            Gave::More if [Some(present), before].contains(&Some(given.progress())) => {
                match self.open_with(given.held()) {
                    Ok(opened) => {
                        given.clear();
                        Tried::Enough(Ok(opened))
                    }
                    Err(_) => Tried::More,
                }
            }
            Gave::More => Tried::More,
            Gave::Enough(all) => Tried::Enough(self.open_with(&all)),
        })
    }

    /// What these shares open.
    ///
    /// # Errors
    /// [`coffer_api::Code::Invalid`] where that is nothing.
    pub(crate) fn open_with(&self, given: &[Secret]) -> Result<Opened, Error> {
        let key = shares::combine(given)?;
        let wraps = [SealKind::Shamir.name(), SUPERSEDED].into_iter().filter_map(|name| self.wraps.get(name));
        let opened = wraps.into_iter().find_map(|by| {
            let root = self.unwrap_one(by, SealKind::Shamir, &key)?;
            Some(Opened { root, by: by.clone() })
        });
        opened.ok_or_else(|| Error::invalid(shares::WRONG_SHARES))
    }

    /// Puts new shares in force. Those by which somebody showed their right to them open the seal as well, until
    /// [`RootRow::retire`].
    pub(crate) fn supersede(&mut self, before: Wrapped, wrapped: Wrapped) {
        self.wraps.insert(SUPERSEDED.to_owned(), before);
        self.wraps.insert(SealKind::Shamir.name().to_owned(), wrapped);
    }

    /// Puts new shares in force, and no others.
    pub(crate) fn replace(&mut self, wrapped: Wrapped) {
        self.wraps.remove(SUPERSEDED);
        self.wraps.insert(SealKind::Shamir.name().to_owned(), wrapped);
    }

    /// Ends the shares before `present`; tells whether there were any, and these are in force.
    pub(crate) fn retire(&mut self, present: &Wrapped) -> bool {
        self.wraps.get(SealKind::Shamir.name()) == Some(present) && self.wraps.remove(SUPERSEDED).is_some()
    }

    fn unwrap_one(&self, wrapped: &Wrapped, kind: SealKind, seal_key: &Secret) -> Option<Root> {
        let key = wrap::unwrap(seal_key, wrap_aad(kind).as_bytes(), &wrapped.bytes).ok()?;
        Some(Root { key: Arc::new(key), cluster_id: self.cluster_id })
    }

    /// The row as it is written.
    pub(crate) fn sealed(&self) -> Result<coffer_storage::Sealed, Error> {
        barrier::root_row(codec::encode(self)?.to_vec())
    }
}

impl Wrapped {
    /// Wraps the root key.
    pub(crate) fn new(kind: SealKind, seal_key: &Secret, split: Option<Split>, root: &Secret) -> Result<Self, Error> {
        Ok(Self { bytes: wrap::wrap(seal_key, wrap_aad(kind).as_bytes(), root)?, split })
    }
}

/// The root row, if the store has one.
pub(crate) async fn read(store: &dyn Store) -> Result<Option<RootRow>, StartError> {
    Ok(read_with_revision(store).await?.map(|(row, _)| row))
}

/// As [`read`], with the revision that a change must expect.
pub(crate) async fn read_with_revision(store: &dyn Store) -> Result<Option<(RootRow, Revision)>, StartError> {
    let Some(entry) = store.get(&Key::new(keys::ROOT)?).await? else { return Ok(None) };
    Ok(Some((codec::decode(keys::ROOT, &entry.value)?, entry.revision)))
}

/// Opens the root key with the file seal.
///
/// # Errors
/// [`StartError::Seal`] where the key file is missing, damaged or another store's.
pub(crate) fn unwrap(row: &RootRow, seal: &FileSeal) -> Result<Root, StartError> {
    let refuse = |what: &str| StartError::Seal(format!("seal key file {}: {what}", seal.path().display()));
    row.check(SealKind::File)?;
    let key = seal.read()?.ok_or_else(|| {
        refuse("missing, but the store was sealed with one; put it back (a new one cannot open this store)")
    })?;
    let wrapped = row.wraps.get(SealKind::File.name());
    let root = wrapped
        .and_then(|wrapped| row.unwrap_one(wrapped, SealKind::File, &key))
        .ok_or_else(|| refuse("does not open this store's root key; it belongs to another store or is damaged"))?;
    seal.note_opened(&key);
    Ok(root)
}

/// Everything a new store needs: root, first term, the other keys.
pub(crate) fn create(kind: SealKind, seal_key: &Secret, split: Option<Split>, now: i64) -> Result<Birth, StartError> {
    let root = Root { key: Arc::new(Secret::random(32)?), cluster_id: Uuid::new_v4() };
    let wrapped = Wrapped::new(kind, seal_key, split, &root.key)?;
    let wraps = BTreeMap::from([(kind.name().to_owned(), wrapped)]);
    let row = RootRow { cluster_id: root.cluster_id, wraps, next: None };
    let term = Secret::random(32)?;
    let barrier = Barrier::new(vec![TermKey::new(1, &term)?], 0)?;

    let mut edit = Edit::default();
    edit.put_sealed(keys::ROOT, row.sealed()?, Some(Expect::Absent));
    let term_row = barrier::term_key(1);
    edit.put_sealed(term_row.clone(), barrier::wrap_under_root(&root.key, &term_row, &term)?, Some(Expect::Absent));
    let counter = counter_row(1);
    let block = barrier.next_block();
    let paid = block.seal(&counter, &[&codec::encode(&Reservation { total: block.total() })?])?;
    edit.put_sealed(counter, paid, Some(Expect::Absent));
    block.grant();
    let began = TermBegan { term: 1, began_ms: now };
    edit.put(keys::TERM_BEGAN, codec::encode(&began)?, Some(Expect::Absent));
    let token_key = Secret::random(32)?;
    for purpose in Purpose::ALL {
        let row = purpose.row(1);
        let sealed = match purpose {
            Purpose::Token => barrier::wrap_under_root(&root.key, &row, &token_key)?,
            Purpose::Audit | Purpose::Batch => barrier::wrap_under_root(&root.key, &row, &Secret::random(32)?)?,
        };
        edit.put_sealed(row, sealed, Some(Expect::Absent));
    }
    Ok(Birth { root, barrier, edit, token_key })
}

/// Under which name the wrap of the shares before a rekey stays until the new ones are known to be in somebody's hands.
const SUPERSEDED: &str = "shamir-superseded";

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

fn wrap_aad(kind: SealKind) -> String {
    format!("{}/{kind}", keys::ROOT)
}

fn not_sealed_with(kind: SealKind) -> StartError {
    let (what, other) = match kind {
        SealKind::File => ("a key file", SealKind::Shamir),
        SealKind::Shamir => ("shares", SealKind::File),
    };
    StartError::Seal(format!(
        "this store is not sealed with {what}: start the server with --seal {other}, under which \
         `coffer operator seal-migrate` leads to --seal {kind}"
    ))
}
