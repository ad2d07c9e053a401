//! Keys that are not terms: for tokens, batch tokens and audit hashes. Each is stored wrapped under the root key,
//! independent of any term; a new number replaces the old one, which holds on until it is retired (`ops/keys.rs`).

use std::sync::Arc;

use arc_swap::ArcSwap;
use coffer_crypto::{Secret, hash::HmacKey, object::ObjectKey};
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
    pub(crate) batch: Ring<ObjectKey>,
    pub(crate) token: Ring<HmacKey>,
}

/// Keys of one purpose, newest first.
pub(crate) struct Ring<K> {
    keys: ArcSwap<Numbered<K>>,
}

/// All keys of one purpose, made ready for their work.
pub(crate) enum ReadyKeys {
    Audit(Numbered<HmacKey>),
    Batch(Numbered<ObjectKey>),
    Token(Numbered<HmacKey>),
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

impl ReadyKeys {
    /// # Errors
    /// Where a key has another length than its purpose asks for.
    pub(crate) fn new(purpose: Purpose, keys: &[(u32, Secret)]) -> Result<Self, Error> {
        Ok(match purpose {
            Purpose::Audit => Self::Audit(ready(keys, |key| Ok(HmacKey::new(key)))?),
            Purpose::Batch => Self::Batch(ready(keys, |key| Ok(ObjectKey::new(key)?))?),
            Purpose::Token => Self::Token(ready(keys, |key| Ok(HmacKey::new(key)))?),
        })
    }

    /// What they are for.
    pub(crate) fn purpose(&self) -> Purpose {
        match self {
            Self::Audit(_) => Purpose::Audit,
            Self::Batch(_) => Purpose::Batch,
            Self::Token(_) => Purpose::Token,
        }
    }
}

fn ready<K>(keys: &[(u32, Secret)], ready: impl Fn(&Secret) -> Result<K, Error>) -> Result<Numbered<K>, Error> {
    let keys = keys.iter().map(|(number, key)| Ok((*number, Arc::new(ready(key)?))));
    let mut keys = keys.collect::<Result<Numbered<K>, Error>>()?;
    keys.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    Ok(keys)
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
            let keys: Vec<_> = keys.into_iter().map(|key| (key.number, key.secret)).collect();
            rings.replace(ReadyKeys::new(purpose, &keys)?);
        }
        Ok(rings)
    }

    /// Puts these keys in force, and no other of their purpose.
    pub(crate) fn replace(&self, keys: ReadyKeys) {
        match keys {
            ReadyKeys::Audit(keys) => self.audit.keys.store(Arc::new(keys)),
            ReadyKeys::Batch(keys) => self.batch.keys.store(Arc::new(keys)),
            ReadyKeys::Token(keys) => self.token.keys.store(Arc::new(keys)),
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
}
