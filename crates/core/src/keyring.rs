//! Keys that are not terms: for tokens, batch tokens and audit hashes. Each is stored wrapped under the root key,
//! independent of any term; a new number replaces the old one, which stays readable until it is removed.

use std::sync::Arc;

use arc_swap::ArcSwap;
use coffer_crypto::{Secret, hash::HmacKey};

use crate::{Error, keys};

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

/// Keys with their numbers.
type Numbered<K> = Vec<(u32, Arc<K>)>;

impl Purpose {
    pub(crate) const ALL: [Self; 3] = [Self::Audit, Self::Batch, Self::Token];

    /// The row of key number `number`.
    pub(crate) fn row(self, number: u32) -> String {
        format!("{}{number:08x}", self.prefix())
    }

    /// The prefix of all rows of this purpose.
    pub(crate) fn prefix(self) -> String {
        let name = match self {
            Self::Audit => "audit",
            Self::Batch => "batch",
            Self::Token => "token",
        };
        format!("{}{name}/", keys::KEY)
    }
}

impl Keyrings {
    /// Rings from the stored keys, by purpose and number.
    pub(crate) fn new(stored: Vec<(Purpose, u32, Secret)>) -> Result<Self, Error> {
        let rings = Self { audit: Ring::empty(), batch: Ring::empty(), token: Ring::empty() };
        for (purpose, number, secret) in stored {
            rings.add(purpose, number, secret);
        }
        for ring in [rings.audit.number(), rings.batch.number(), rings.token.number()] {
            ring.ok_or_else(|| Error::internal("the store lacks one of its keys"))?;
        }
        Ok(rings)
    }

    /// Makes a key current.
    pub(crate) fn add(&self, purpose: Purpose, number: u32, secret: Secret) {
        match purpose {
            Purpose::Audit => self.audit.add(number, HmacKey::new(&secret)),
            Purpose::Batch => self.batch.add(number, secret),
            Purpose::Token => self.token.add(number, HmacKey::new(&secret)),
        }
    }

    /// The number of the current key.
    pub(crate) fn number(&self, purpose: Purpose) -> u32 {
        match purpose {
            Purpose::Audit => self.audit.number(),
            Purpose::Batch => self.batch.number(),
            Purpose::Token => self.token.number(),
        }
        .unwrap_or(0)
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

    fn number(&self) -> Option<u32> {
        self.keys.load().first().map(|(number, _)| *number)
    }

    fn add(&self, number: u32, key: K) {
        let key = Arc::new(key);
        self.keys.rcu(|old| {
            let mut keys = old.as_ref().clone();
            keys.push((number, Arc::clone(&key)));
            keys.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
            keys
        });
    }
}
