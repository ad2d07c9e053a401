//! What a store holds and hands back: sealed values, entries, revisions and pages of them.

use std::fmt;

use bytes::Bytes;

use crate::error::Error;
use crate::key::Key;

/// A value as the barrier sealed it; the only form in which a store takes one.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(Bytes);

impl Sealed {
    /// The largest value, in bytes.
    pub const MAX: usize = 2 * 1024 * 1024;

    /// A length at which [`Store::purge`](crate::Store::purge) wipes the last half of the value for certain.
    ///
    /// SQLite keeps so long a value, but for its beginning, on a page of its own, which is overwritten when the value goes.
    /// Shorter ones share pages and are moved from one to another, which leaves copies in the gaps.
    pub const WIPED_LEN: usize = 4200;

    /// Takes the output of the barrier. [`Error::TooLarge`] above [`Sealed::MAX`] bytes.
    ///
    /// Only the barrier may call this: whatever passes here is written to disk as it is.
    pub fn from_barrier(bytes: Bytes) -> Result<Sealed, Error> {
        if bytes.len() > Sealed::MAX {
            return Err(Error::TooLarge { what: "a value", size: bytes.len(), limit: Sealed::MAX });
        }
        Ok(Sealed(bytes))
    }

    /// The bytes, shared rather than copied.
    pub fn bytes(&self) -> Bytes {
        self.0.clone()
    }
}

impl AsRef<[u8]> for Sealed {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Sealed({} bytes)", self.0.len())
    }
}

/// The number of a commit: store-wide, strictly increasing, also across restarts; gaps are possible.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

impl Revision {
    /// A revision as it was read back from an engine.
    pub(crate) fn stored(number: i64) -> Result<Revision, Error> {
        match u64::try_from(number) {
            Ok(number) => Ok(Revision(number)),
            Err(_) => Err(Error::Corrupt { what: "a negative revision", source: None }),
        }
    }

    /// The revision of the commit after this one.
    pub(crate) fn next(self) -> Revision {
        Revision(self.0.saturating_add(1))
    }
}

/// A stored value and the commit that wrote it.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The sealed bytes.
    pub value: Bytes,
    /// The commit that wrote them.
    pub revision: Revision,
}

impl fmt::Debug for Entry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Entry({} bytes at {:?})", self.value.len(), self.revision)
    }
}

/// How many items a page may have: 1 to 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Limit(u16);

impl Limit {
    /// The largest page.
    pub const MAX: Limit = Limit(1000);

    /// Makes a limit. [`Error::Invalid`] outside 1 to 1000.
    pub fn new(items: usize) -> Result<Limit, Error> {
        match u16::try_from(items) {
            Ok(number) if (1..=Limit::MAX.0).contains(&number) => Ok(Limit(number)),
            Ok(_) | Err(_) => Err(Error::Invalid(format!("a page has 1 to {} items, not {items}", Limit::MAX.0))),
        }
    }

    /// The number of items.
    pub fn get(self) -> usize {
        usize::from(self.0)
    }
}

/// Some items of a longer list, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The items; continue after the last one's key.
    pub items: Vec<T>,
    /// Whether there was more behind the last item.
    pub more: bool,
}

/// A page of entries in the making: knows when it is full.
pub(crate) struct Filling {
    items: Vec<(Key, Entry)>,
    bytes: usize,
    limit: usize,
}

impl Filling {
    /// An empty page for at most `limit` items and about [`PAGE_BYTES`] of values.
    pub(crate) fn new(limit: Limit) -> Filling {
        Filling { items: Vec::new(), bytes: 0, limit: limit.get() }
    }

    /// Whether the next item belongs to the next page.
    pub(crate) fn is_full(&self) -> bool {
        self.items.len() >= self.limit || self.bytes >= PAGE_BYTES
    }

    /// Adds an item.
    pub(crate) fn push(&mut self, key: Key, entry: Entry) {
        self.bytes = self.bytes.saturating_add(entry.value.len());
        self.items.push((key, entry));
    }

    /// The page; `more` says whether something was left behind.
    pub(crate) fn finish(self, more: bool) -> Page<(Key, Entry)> {
        Page { items: self.items, more }
    }
}

/// A page takes no further entry once its values reach this many bytes.
pub(crate) const PAGE_BYTES: usize = 8 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_debug_shows_only_the_length() {
        let sealed = Sealed::from_barrier(Bytes::from_static(b"canary")).unwrap();
        assert_eq!(format!("{sealed:?}"), "Sealed(6 bytes)");
        let entry = Entry { value: sealed.bytes(), revision: Revision(3) };
        assert_eq!(format!("{entry:?}"), "Entry(6 bytes at Revision(3))");
    }

    #[test]
    fn sealed_above_the_limit_is_too_large() {
        assert!(Sealed::from_barrier(Bytes::from(vec![0; Sealed::MAX])).is_ok());
        assert!(matches!(Sealed::from_barrier(Bytes::from(vec![0; Sealed::MAX + 1])), Err(Error::TooLarge { .. })));
    }

    #[test]
    fn limit_outside_its_range_is_invalid() {
        assert!(Limit::new(0).is_err());
        assert!(Limit::new(1001).is_err());
        assert!(Limit::new(70_000).is_err());
        assert_eq!(Limit::new(1000).unwrap(), Limit::MAX);
    }
}
