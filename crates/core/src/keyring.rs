//! Keys that are not terms: for tokens, batch tokens and audit hashes. Each is stored wrapped under the root key,
//! independent of any term; a new number replaces the old one, which holds on until it is retired (`ops/keys.rs`).

use std::sync::Arc;

use arc_swap::ArcSwap;
use coffer_crypto::{Secret, hash::HmacKey};
use coffer_storage::{Entry, Key, Limit, Prefix, Revision, Store};

use crate::{Error, barrier, codec, keys};

/// What a key is for; part of its row's name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Purpose {
    /// Keyed hashes of values in the log.
    Audit,
    /// Batch tokens' sealed claims.
    Batch,
    /// Keyed hashes of tokens.
    Token,
}

/// All three rings.
pub(crate) struct Keyrings {
    pub(crate) audit: Ring<HmacKey>,
    pub(crate) batch: Ring<Secret>,
    pub(crate) token: Ring<HmacKey>,
}

/// Keys of one purpose, newest first.
pub(crate) struct Ring<K> {
    keys: ArcSwap<Numbered<K>>,
}

/// A key as its row holds it.
pub(crate) struct StoredKey {
    pub(crate) number: u32,
    pub(crate) row: String,
    pub(crate) revision: Revision,
    pub(crate) secret: Secret,
}

/// Keys with their numbers.
type Numbered<K> = Vec<(u32, Arc<K>)>;

impl Purpose {
    pub(crate) const ALL: [Self; 3] = [Self::Audit, Self::Batch, Self::Token];

    /// The row of key number `number`.
    pub(crate) fn row(self, number: u32) -> String {
        format!("{}{number:08x}", self.prefix())
    }

    /// Its name, in rows and records.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Batch => "batch",
            Self::Token => "token",
        }
    }

    /// The prefix of all rows of this purpose.
    fn prefix(self) -> String {
        format!("{}{}/", keys::KEY, self.name())
    }
}

/// The keys of one purpose that the store holds, opened, oldest first.
///
/// # Errors
/// [`coffer_api::Code::Integrity`] where one of them does not open.
pub(crate) async fn stored_keys(store: &dyn Store, root: &Secret, purpose: Purpose) -> Result<Vec<StoredKey>, Error> {
    let prefix = purpose.prefix();
    let mut found = Vec::new();
    for (row, Entry { value, revision }) in rows(store, &prefix).await? {
        let number = number_after(&row, &prefix)?;
        let secret = barrier::unwrap_under_root(root, &row, &value)?;
        found.push(StoredKey { number, row, revision, secret });
    }
    Ok(found)
}

/// Every row below a prefix, in their order.
pub(crate) async fn rows(store: &dyn Store, prefix: &str) -> Result<Vec<(String, Entry)>, Error> {
    let prefix = Prefix::new(prefix.to_owned())?;
    let mut found = Vec::new();
    let mut after: Option<Key> = None;
    loop {
        let page = store.scan(&prefix, after.as_ref(), Limit::MAX).await?;
        after = page.items.last().map(|(key, _)| key.clone());
        for (key, entry) in page.items {
            let key = std::str::from_utf8(key.as_bytes()).map_err(Error::internal)?;
            found.push((key.to_owned(), entry));
        }
        if !page.more {
            return Ok(found);
        }
    }
}

/// The number with which the name of a term's or a numbered key's row ends.
pub(crate) fn number_after(row: &str, prefix: &str) -> Result<u32, Error> {
    let number = row.strip_prefix(prefix).and_then(|number| u32::from_str_radix(number, 16).ok());
    number.ok_or_else(|| codec::damaged(row, "its name does not end in a number"))
}

impl Keyrings {
    /// The rings that a store holds.
    ///
    /// # Errors
    /// Where one of them is empty or a key does not open.
    pub(crate) async fn read(store: &dyn Store, root: &Secret) -> Result<Self, Error> {
        let rings = Self { audit: Ring::empty(), batch: Ring::empty(), token: Ring::empty() };
        for purpose in Purpose::ALL {
            let keys = stored_keys(store, root, purpose).await?;
            if keys.is_empty() {
                return Err(Error::internal("the store lacks one of its keys"));
            }
            rings.replace(purpose, keys.into_iter().map(|key| (key.number, key.secret)).collect());
        }
        Ok(rings)
    }

    /// Puts these keys in force, and no other of the purpose.
    pub(crate) fn replace(&self, purpose: Purpose, keys: Vec<(u32, Secret)>) {
        match purpose {
            Purpose::Audit => self.audit.replace(keys, |secret| HmacKey::new(&secret)),
            Purpose::Batch => self.batch.replace(keys, |secret| secret),
            Purpose::Token => self.token.replace(keys, |secret| HmacKey::new(&secret)),
        }
    }

    /// The numbers in force, newest first.
    pub(crate) fn numbers(&self, purpose: Purpose) -> Vec<u32> {
        match purpose {
            Purpose::Audit => self.audit.numbers(),
            Purpose::Batch => self.batch.numbers(),
            Purpose::Token => self.token.numbers(),
        }
    }
}

impl<K> Ring<K> {
    fn empty() -> Self {
        Self { keys: ArcSwap::from_pointee(Vec::new()) }
    }

    /// The newest key and its number.
    pub(crate) fn current(&self) -> Result<(u32, Arc<K>), Error> {
        let keys = self.keys.load();
        keys.first().cloned().ok_or_else(|| Error::internal("the store lacks one of its keys"))
    }

    /// Every key, newest first.
    pub(crate) fn all(&self) -> arc_swap::Guard<Arc<Numbered<K>>> {
        self.keys.load()
    }

    /// Whether a key of this number is in force.
    pub(crate) fn holds(&self, number: u32) -> bool {
        self.keys.load().iter().any(|(held, _)| *held == number)
    }

    fn numbers(&self) -> Vec<u32> {
        self.keys.load().iter().map(|(number, _)| *number).collect()
    }

    fn replace(&self, keys: Vec<(u32, Secret)>, ready: impl Fn(Secret) -> K) {
        let mut keys: Numbered<K> = keys.into_iter().map(|(number, key)| (number, Arc::new(ready(key)))).collect();
        keys.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
        self.keys.store(Arc::new(keys));
    }
}
