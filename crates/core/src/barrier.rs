//! The barrier: nothing reaches the store but what is sealed here, and this is the only file that makes
//! [`Sealed`] bytes.
//!
//! Values are sealed under the data key of the current term with the entry's key as associated data; the layout
//! is `coffer_crypto::envelope`'s (docs/CRYPTO.md). Seals are counted in durably reserved blocks, so that a
//! crash forgets at most the rest of a block and never lowers the count.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use coffer_api::Code;
use coffer_crypto::{Secret, envelope, envelope::TermKey, wrap};
use coffer_storage::Sealed;
use zeroize::Zeroizing;

use crate::{Error, keys};

/// Seals are reserved in blocks of this many.
pub(crate) const BLOCK: u64 = 1 << 20;

/// A term ends before this many seals: random 96-bit nonces stay far from colliding (NIST SP 800-38D, 8.3).
pub(crate) const MAX_SEALS: u64 = 1 << 31;

/// Seals and opens every value of one store.
pub(crate) struct Barrier {
    terms: ArcSwap<Terms>,
    reserved: Reserved,
}

/// How many seals of the current term are paid for.
struct Reserved {
    /// Seals left in the blocks reserved so far.
    left: AtomicI64,
    /// All seals ever reserved for the term.
    total: AtomicU64,
}

struct Terms {
    by_number: BTreeMap<u32, Arc<TermKey>>,
    current: Arc<TermKey>,
}

impl Barrier {
    /// A barrier over the given terms; the highest is current. `reserved` is what the store says was reserved
    /// for it: none of that is used again.
    pub(crate) fn new(terms: Vec<TermKey>, reserved: u64) -> Result<Self, Error> {
        let by_number: BTreeMap<u32, Arc<TermKey>> =
            terms.into_iter().map(|term| (term.term(), Arc::new(term))).collect();
        let current = by_number
            .last_key_value()
            .map(|(_, term)| Arc::clone(term))
            .ok_or_else(|| Error::internal("the store holds no term key"))?;
        Ok(Self {
            terms: ArcSwap::from_pointee(Terms { by_number, current }),
            reserved: Reserved { left: AtomicI64::new(0), total: AtomicU64::new(reserved) },
        })
    }

    /// Sets what the store says was reserved for the current term.
    pub(crate) fn resume(&self, reserved: u64) {
        self.reserved.total.store(reserved, Ordering::Release);
    }

    /// The current term's number.
    pub(crate) fn term(&self) -> u32 {
        self.terms.load().current.term()
    }

    /// Seals the concatenated parts for the entry under `key`.
    ///
    /// # Errors
    /// [`Code::Unavailable`] where no reserved seal is left: the next block is on its way.
    pub(crate) fn seal(&self, key: &str, parts: &[&[u8]]) -> Result<Sealed, Error> {
        if self.reserved.left.fetch_sub(1, Ordering::Relaxed) <= 0 {
            self.reserved.left.fetch_add(1, Ordering::Relaxed);
            return Err(Error::new(Code::Unavailable, "the barrier is reserving its next block of seals; try again"));
        }
        let sealed = self.terms.load().current.seal(key.as_bytes(), parts)?;
        Ok(Sealed::from_barrier(Bytes::from(sealed))?)
    }

    /// Seals the row that pays for more seals; the only seal that is not counted against a block.
    pub(crate) fn seal_reservation(&self, key: &str, parts: &[&[u8]]) -> Result<Sealed, Error> {
        let sealed = self.terms.load().current.seal(key.as_bytes(), parts)?;
        Ok(Sealed::from_barrier(Bytes::from(sealed))?)
    }

    /// Checks the committing MAC; do it once for bytes that come from the store.
    pub(crate) fn check(&self, key: &str, sealed: &[u8]) -> Result<(), Error> {
        self.term_of(key, sealed)?.check(sealed).map_err(|error| integrity(key, error))
    }

    /// Opens bytes that passed [`Barrier::check`] in this process.
    pub(crate) fn open_checked(&self, key: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.term_of(key, sealed)?.open_checked(key.as_bytes(), sealed).map_err(|error| integrity(key, error))
    }

    /// Checks and opens.
    pub(crate) fn open(&self, key: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.term_of(key, sealed)?.open(key.as_bytes(), sealed).map_err(|error| integrity(key, error))
    }

    /// Makes a new term current. Its first block must be reserved before.
    pub(crate) fn begin_term(&self, term: TermKey, reserved: u64) {
        let current = Arc::new(term);
        self.terms.rcu(|old| {
            let mut by_number = old.by_number.clone();
            by_number.insert(current.term(), Arc::clone(&current));
            Terms { by_number, current: Arc::clone(&current) }
        });
        self.reserved.total.store(reserved, Ordering::Release);
        self.reserved.left.store(i64::try_from(reserved).unwrap_or(0), Ordering::Release);
    }

    /// What the next reservation row must say, if it is time for one (less than half a block is left).
    pub(crate) fn wants_reservation(&self) -> Option<u64> {
        let half = i64::try_from(BLOCK / 2).unwrap_or(i64::MAX);
        (self.reserved.left.load(Ordering::Relaxed) < half).then(|| self.reserved.total.load(Ordering::Relaxed) + BLOCK)
    }

    /// Adds a block after its row, saying `total`, was committed.
    pub(crate) fn reserved(&self, total: u64) {
        self.reserved.total.store(total, Ordering::Relaxed);
        self.reserved.left.fetch_add(i64::try_from(BLOCK).unwrap_or(0), Ordering::Relaxed);
    }

    /// All seals reserved for the current term: an upper bound on those made.
    pub(crate) fn seals(&self) -> u64 {
        self.reserved.total.load(Ordering::Relaxed)
    }

    fn term_of(&self, key: &str, sealed: &[u8]) -> Result<Arc<TermKey>, Error> {
        let number = envelope::term_of(sealed).map_err(|error| integrity(key, error))?;
        let terms = self.terms.load();
        if terms.current.term() == number {
            return Ok(Arc::clone(&terms.current));
        }
        terms
            .by_number
            .get(&number)
            .cloned()
            .ok_or_else(|| integrity(key, format!("sealed under term {number}, which the store does not hold")))
    }
}

/// A key wrapped under the root key, as the row under `key` holds it.
pub(crate) fn wrap_under_root(root: &Secret, key: &str, secret: &Secret) -> Result<Sealed, Error> {
    Ok(Sealed::from_barrier(Bytes::from(wrap::wrap(root, key.as_bytes(), secret)?))?)
}

/// Opens a row made by [`wrap_under_root`].
pub(crate) fn unwrap_under_root(root: &Secret, key: &str, wrapped: &[u8]) -> Result<Secret, Error> {
    wrap::unwrap(root, key.as_bytes(), wrapped).map_err(|error| integrity(key, error))
}

/// The row that holds the wrapped root keys: ciphertext and public facts, sealed by no term.
pub(crate) fn root_row(encoded: Vec<u8>) -> Result<Sealed, Error> {
    Ok(Sealed::from_barrier(Bytes::from(encoded))?)
}

/// The key of a term's row.
pub(crate) fn term_key(term: u32) -> String {
    format!("{}{term:08x}", keys::TERM)
}

fn integrity(key: &str, cause: impl std::fmt::Display) -> Error {
    Error::new(Code::Integrity, "a stored entry failed its integrity check")
        .caused_by(format!("entry {key:?}: {cause}"))
}
