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

/// A term is replaced while this many of its blocks are not reserved yet: every start takes one, whatever becomes of it.
const SPARE_BLOCKS: u64 = 64;

/// A term is replaced once so many of its seals are reserved.
pub(crate) const REPLACED_AT: u64 = MAX_SEALS - SPARE_BLOCKS * BLOCK;

/// Seals and opens every value of one store.
pub(crate) struct Barrier {
    terms: ArcSwap<Terms>,
}

/// A block of seals that is to be reserved: its row first, then [`Block::grant`].
pub(crate) struct Block {
    of: Arc<Current>,
    total: u64,
}

struct Terms {
    by_number: BTreeMap<u32, Arc<TermKey>>,
    current: Arc<Current>,
}

/// The term that seals, and how many of its seals are paid for.
struct Current {
    key: Arc<TermKey>,
    /// Seals left in the blocks reserved so far.
    left: AtomicI64,
    /// All seals ever reserved for the term.
    total: AtomicU64,
}

impl Barrier {
    /// A barrier over the given terms; the highest is current. `reserved` is what the store says was reserved
    /// for it: none of that is used again.
    pub(crate) fn new(terms: Vec<TermKey>, reserved: u64) -> Result<Self, Error> {
        let by_number: BTreeMap<u32, Arc<TermKey>> =
            terms.into_iter().map(|term| (term.term(), Arc::new(term))).collect();
        let key = by_number
            .last_key_value()
            .map(|(_, term)| Arc::clone(term))
            .ok_or_else(|| Error::internal("the store holds no term key"))?;
        let current = Arc::new(Current { key, left: AtomicI64::new(0), total: AtomicU64::new(reserved) });
        Ok(Self { terms: ArcSwap::from_pointee(Terms { by_number, current }) })
    }

    /// Sets what the store says was reserved for the current term.
    pub(crate) fn resume(&self, reserved: u64) {
        self.terms.load().current.total.store(reserved, Ordering::Release);
    }

    /// The current term's number.
    pub(crate) fn term(&self) -> u32 {
        self.terms.load().current.key.term()
    }

    /// Seals the concatenated parts for the entry under `key`.
    ///
    /// # Errors
    /// [`Code::Unavailable`] where no reserved seal is left: the next block is on its way.
    pub(crate) fn seal(&self, key: &str, parts: &[&[u8]]) -> Result<Sealed, Error> {
        let terms = self.terms.load();
        if terms.current.left.fetch_sub(1, Ordering::Relaxed) <= 0 {
            terms.current.left.fetch_add(1, Ordering::Relaxed);
            return Err(Error::new(Code::Unavailable, "the barrier is reserving its next block of seals; try again"));
        }
        let sealed = terms.current.key.seal(key.as_bytes(), parts)?;
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
        let key = Arc::new(term);
        let left = AtomicI64::new(i64::try_from(reserved).unwrap_or(0));
        let current = Arc::new(Current { key: Arc::clone(&key), left, total: AtomicU64::new(reserved) });
        self.terms.rcu(|old| {
            let mut by_number = old.by_number.clone();
            by_number.insert(key.term(), Arc::clone(&key));
            Terms { by_number, current: Arc::clone(&current) }
        });
    }

    /// The current term's next block.
    pub(crate) fn next_block(&self) -> Block {
        let of = Arc::clone(&self.terms.load().current);
        let total = of.total.load(Ordering::Relaxed).saturating_add(BLOCK);
        Block { of, total }
    }

    /// The next block, if it is time to reserve it (less than half a block is left).
    pub(crate) fn wanted_block(&self) -> Option<Block> {
        let half = i64::try_from(BLOCK / 2).unwrap_or(i64::MAX);
        let block = self.next_block();
        (block.of.left.load(Ordering::Relaxed) < half).then_some(block)
    }

    /// All seals reserved for the current term: an upper bound on those made.
    pub(crate) fn seals(&self) -> u64 {
        self.terms.load().current.total.load(Ordering::Relaxed)
    }

    /// Seals of the current term that are made, or that a crash forgot.
    pub(crate) fn used(&self) -> u64 {
        let terms = self.terms.load();
        let left = u64::try_from(terms.current.left.load(Ordering::Relaxed)).unwrap_or(0);
        terms.current.total.load(Ordering::Relaxed).saturating_sub(left)
    }

    /// Whether the current term is to be replaced, its seals being as good as used up.
    pub(crate) fn is_spent(&self) -> bool {
        self.seals() >= REPLACED_AT
    }

    fn term_of(&self, key: &str, sealed: &[u8]) -> Result<Arc<TermKey>, Error> {
        let number = envelope::term_of(sealed).map_err(|error| integrity(key, error))?;
        let terms = self.terms.load();
        if terms.current.key.term() == number {
            return Ok(Arc::clone(&terms.current.key));
        }
        terms
            .by_number
            .get(&number)
            .cloned()
            .ok_or_else(|| integrity(key, format!("sealed under term {number}, which the store does not hold")))
    }
}

impl Block {
    /// The term it is a block of.
    pub(crate) fn term(&self) -> u32 {
        self.of.key.term()
    }

    /// What its row must say: all seals reserved for the term, this block's included.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// Seals its row; the only seal that is not counted against a block.
    pub(crate) fn seal(&self, key: &str, parts: &[&[u8]]) -> Result<Sealed, Error> {
        Ok(Sealed::from_barrier(Bytes::from(self.of.key.seal(key.as_bytes(), parts)?))?)
    }

    /// Gives the block to its term, once its row was committed. Where another term is current by now it is given up.
    pub(crate) fn grant(self) {
        self.of.total.store(self.total, Ordering::Relaxed);
        self.of.left.fetch_add(i64::try_from(BLOCK).unwrap_or(0), Ordering::Relaxed);
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

/// A row of a backup, which the barrier of the store that it was made of sealed.
pub(crate) fn restored_row(sealed: Bytes) -> Result<Sealed, Error> {
    Ok(Sealed::from_barrier(sealed)?)
}

/// The key of a term's row.
pub(crate) fn term_key(term: u32) -> String {
    format!("{}{term:08x}", keys::TERM)
}

fn integrity(key: &str, cause: impl std::fmt::Display) -> Error {
    Error::new(Code::Integrity, "a stored entry failed its integrity check")
        .caused_by(format!("entry {key:?}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(number: u32) -> TermKey {
        TermKey::new(number, &Secret::copy_from(&[7; 32]).unwrap()).unwrap()
    }

    fn set_left(barrier: &Barrier, left: i64) {
        barrier.terms.load().current.left.store(left, Ordering::Relaxed);
    }

    #[test]
    fn seal_without_a_reserved_block_is_refused_until_one_is_granted() {
        let barrier = Barrier::new(vec![term(1)], 0).unwrap();
        assert_eq!(barrier.seal("k", &[b"v"]).unwrap_err().code(), Code::Unavailable);
        let block = barrier.wanted_block().unwrap();
        assert_eq!((block.term(), block.total()), (1, BLOCK));
        assert!(block.seal("row", &[b"v"]).is_ok(), "the row that pays is not paid for");
        assert_eq!(
            barrier.seal("k", &[b"v"]).unwrap_err().code(),
            Code::Unavailable,
            "not before the row is committed"
        );
        block.grant();
        set_left(&barrier, 3);
        for _ in 0..3 {
            assert_eq!(barrier.open("k", barrier.seal("k", &[b"v"]).unwrap().as_ref()).unwrap().as_slice(), b"v");
        }
        for _ in 0..3 {
            assert_eq!(barrier.seal("k", &[b"v"]).unwrap_err().code(), Code::Unavailable);
        }
        // What was refused is not owed by the next block.
        barrier.next_block().grant();
        assert_eq!(barrier.terms.load().current.left.load(Ordering::Relaxed), i64::try_from(BLOCK).unwrap());
        assert_eq!(barrier.seals(), 2 * BLOCK);
    }

    #[test]
    fn block_is_wanted_when_less_than_half_of_one_is_left() {
        let barrier = Barrier::new(vec![term(1)], 5 * BLOCK).unwrap();
        let half = i64::try_from(BLOCK / 2).unwrap();
        set_left(&barrier, half);
        assert!(barrier.wanted_block().is_none());
        set_left(&barrier, half - 1);
        assert_eq!(barrier.wanted_block().unwrap().total(), 6 * BLOCK);
    }

    #[test]
    fn block_of_a_term_that_was_replaced_meanwhile_is_not_the_new_terms() {
        let barrier = Barrier::new(vec![term(1)], 0).unwrap();
        let late = barrier.next_block();
        barrier.begin_term(term(2), BLOCK);
        late.grant();
        assert_eq!((barrier.term(), barrier.seals()), (2, BLOCK));
        assert_eq!(barrier.terms.load().current.left.load(Ordering::Relaxed), i64::try_from(BLOCK).unwrap());
    }

    #[test]
    fn term_is_spent_well_before_its_last_seal() {
        let barrier = Barrier::new(vec![term(1)], MAX_SEALS - SPARE_BLOCKS * BLOCK - 1).unwrap();
        assert!(!barrier.is_spent());
        barrier.resume(MAX_SEALS - SPARE_BLOCKS * BLOCK);
        assert!(barrier.is_spent());
        barrier.begin_term(term(2), BLOCK);
        assert!(!barrier.is_spent());
    }
}
