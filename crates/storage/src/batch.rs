//! Batches: what is changed together, and under which conditions.

use crate::entry::{Revision, Sealed};
use crate::error::Error;
use crate::key::Key;

/// Changes that happen together or not at all.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The epoch under which the writer leads; the batch is [`Error::Fenced`] once another one holds.
    pub epoch: Option<Epoch>,
    /// The space on the disk that it may use.
    pub room: Room,
    /// The changes, each key at most once, at most [`Batch::MAX_CHANGES`] and [`Batch::MAX_BYTES`].
    pub changes: Vec<Change>,
}

impl Batch {
    /// The most changes in one batch: 10,000 secrets, of which each changes a few rows.
    pub const MAX_CHANGES: usize = 50_000;
    /// The most bytes of keys and values in one batch: 32 MiB of new values, as much of what they supersede, and records.
    pub const MAX_BYTES: usize = 96 * 1024 * 1024;

    /// The bytes of keys and values, having checked the limits and that no key occurs twice.
    pub(crate) fn measure(&self) -> Result<usize, Error> {
        if self.changes.len() > Batch::MAX_CHANGES {
            let size = self.changes.len();
            return Err(Error::TooLarge { what: "a batch, in changes,", size, limit: Batch::MAX_CHANGES });
        }
        let size = self.changes.iter().map(Change::size).fold(0, usize::saturating_add);
        if size > Batch::MAX_BYTES {
            return Err(Error::TooLarge { what: "a batch", size, limit: Batch::MAX_BYTES });
        }
        let mut keys: Vec<&Key> = self.changes.iter().map(Change::key).collect();
        keys.sort_unstable();
        if keys.is_sorted_by(|before, after| before < after) {
            Ok(size)
        } else {
            Err(Error::Invalid("a batch names a key twice".to_owned()))
        }
    }
}

/// Which space on the disk a batch may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Room {
    /// What is free.
    #[default]
    Ordinary,
    /// Also what the engine keeps for this; engines whose disk is not theirs keep none.
    Reserve,
}

/// One change of a batch.
#[derive(Clone, Debug)]
pub enum Change {
    /// Changes nothing, but the batch fails unless `expect` holds.
    Check {
        /// The key whose state matters.
        key: Key,
        /// What must hold.
        expect: Expect,
    },
    /// Removes the entry; removing what is not there is no error.
    Delete {
        /// The key to remove.
        key: Key,
        /// What must hold.
        expect: Option<Expect>,
    },
    /// Writes the entry, new or over the old one.
    Put {
        /// The key to write.
        key: Key,
        /// The value, sealed.
        value: Sealed,
        /// What must hold.
        expect: Option<Expect>,
    },
}

impl Change {
    /// The key concerned.
    pub fn key(&self) -> &Key {
        match self {
            Change::Check { key, .. } | Change::Delete { key, .. } | Change::Put { key, .. } => key,
        }
    }

    /// The condition, if there is one.
    pub(crate) fn expect(&self) -> Option<Expect> {
        match self {
            Change::Check { expect, .. } => Some(*expect),
            Change::Delete { expect, .. } | Change::Put { expect, .. } => *expect,
        }
    }

    fn size(&self) -> usize {
        match self {
            Change::Check { key, .. } | Change::Delete { key, .. } => key.as_bytes().len(),
            Change::Put { key, value, .. } => key.as_bytes().len().saturating_add(value.as_ref().len()),
        }
    }
}

/// What must hold for a key when the batch commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// There is no entry.
    Absent,
    /// There is an entry, and this commit wrote it.
    Revision(Revision),
}

impl Expect {
    /// Whether a key whose entry has the revision `stored`, or that has none, meets the expectation.
    pub(crate) fn holds(self, stored: Option<Revision>) -> bool {
        match self {
            Expect::Absent => stored.is_none(),
            Expect::Revision(revision) => stored == Some(revision),
        }
    }
}

/// Whether entries of these revisions may be loaded at `at` into a store whose last commit is `last`: one that nothing was
/// written to, or only by loads at the same revision.
pub(crate) fn may_load(last: Revision, at: Revision, revisions: impl IntoIterator<Item = Revision>) -> bool {
    at > Revision(0) && (last == Revision(0) || last == at) && revisions.into_iter().all(|revision| revision <= at)
}

/// A term of leadership: grows by one each time a node takes it. The first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch after this one.
    pub(crate) fn next(self) -> Epoch {
        Epoch(self.0.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn put(key: &str, size: usize) -> Change {
        let value = Sealed::from_barrier(Bytes::from(vec![0; size])).unwrap();
        Change::Put { key: Key::new(key).unwrap(), value, expect: None }
    }

    #[test]
    fn batch_naming_a_key_twice_is_invalid() {
        let check = Change::Check { key: Key::new("a").unwrap(), expect: Expect::Absent };
        let batch = Batch { changes: vec![put("a", 1), put("b", 1), check], ..Batch::default() };
        assert!(matches!(batch.measure(), Err(Error::Invalid(_))));
    }

    #[test]
    fn batch_above_its_limits_is_too_large() {
        let of = |count: usize| Batch {
            changes: (0..count).map(|n| put(&format!("{n:02}"), Sealed::MAX)).collect(),
            ..Batch::default()
        };
        let most = Batch::MAX_BYTES / Sealed::MAX;
        let (fits, heavy) = (of(most - 1), of(most));
        assert_eq!(fits.measure().unwrap(), (most - 1) * (Sealed::MAX + 2));
        assert!(matches!(heavy.measure(), Err(Error::TooLarge { .. })));
        let long =
            Batch { changes: (0..=Batch::MAX_CHANGES).map(|n| put(&n.to_string(), 0)).collect(), ..Batch::default() };
        assert!(matches!(long.measure(), Err(Error::TooLarge { .. })));
    }
}
