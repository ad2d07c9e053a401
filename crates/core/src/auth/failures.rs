//! Failed logins by name, bounded: what a flood of names can push out is what keeps nobody out.

use std::collections::{BTreeMap, HashMap};

use super::LoginName;

/// Failures before a lockout...
const FAILURES: u32 = 5;
/// ...within this window, and how long it lasts, in milliseconds.
const WINDOW: i64 = 15 * 60 * 1000;
/// Names remembered at most.
const MAX_REMEMBERED: usize = 10_000;
/// Bytes of a name at most. Nobody can log in by a longer one, and so it need not be remembered.
const MAX_NAME: usize = 512;

/// The failures of each name, and in which order names are forgotten.
#[derive(Default)]
pub(super) struct Failures {
    by_name: HashMap<LoginName, Entry>,
    /// Every name once, by what keeps it here.
    order: BTreeMap<Place, LoginName>,
    counted: u64,
}

struct Entry {
    count: u32,
    place: Place,
}

/// Those locked out come last, then the later failure; the number tells two apart.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Place {
    locked: bool,
    last: i64,
    number: u64,
}

impl Failures {
    pub(super) fn is_locked(&self, name: &LoginName, now: i64) -> bool {
        self.by_name.get(name).is_some_and(|entry| entry.place.locked && entry.place.is_recent(now))
    }

    /// Counts one more, and forgets another name where there are too many.
    pub(super) fn count(&mut self, name: &LoginName, now: i64) {
        if name.name.len() > MAX_NAME {
            return;
        }
        let before = self.remove(name).filter(|entry| entry.place.is_recent(now)).map_or(0, |entry| entry.count);
        if self.by_name.len() >= MAX_REMEMBERED {
            self.forget_one(now);
        }
        let count = before.saturating_add(1);
        self.counted = self.counted.wrapping_add(1);
        let place = Place { locked: count >= FAILURES, last: now, number: self.counted };
        self.order.insert(place, name.clone());
        self.by_name.insert(name.clone(), Entry { count, place });
    }

    pub(super) fn clear(&mut self, name: &LoginName) {
        self.remove(name);
    }

    /// Names locked out, in order.
    pub(super) fn locked(&self, now: i64) -> Vec<LoginName> {
        let locked = self.order.range(Place::FIRST_LOCKED..).filter(|(place, _)| place.is_recent(now));
        let mut locked: Vec<LoginName> = locked.map(|(_, name)| name.clone()).collect();
        locked.sort_unstable();
        locked
    }

    /// A lock that has ended goes first, then the oldest failure that locks nobody out, then the oldest lock.
    fn forget_one(&mut self, now: i64) {
        let oldest_lock = self.order.range(Place::FIRST_LOCKED..).next();
        let ended = oldest_lock.filter(|(place, _)| !place.is_recent(now));
        if let Some(name) = ended.or_else(|| self.order.iter().next()).map(|(_, name)| name.clone()) {
            self.remove(&name);
        }
    }

    fn remove(&mut self, name: &LoginName) -> Option<Entry> {
        let entry = self.by_name.remove(name)?;
        self.order.remove(&entry.place);
        Some(entry)
    }
}

impl Place {
    const FIRST_LOCKED: Self = Self { locked: true, last: i64::MIN, number: 0 };

    fn is_recent(self, now: i64) -> bool {
        now.saturating_sub(self.last) < WINDOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: impl ToString) -> LoginName {
        LoginName { mount: "m".to_owned(), name: name.to_string() }
    }

    #[test]
    fn fifth_failure_locks_until_it_is_cleared_or_its_time_is_over() {
        let mut failures = Failures::default();
        let (ada, bob) = (named("ada"), named("bob"));
        (0..4).for_each(|now| failures.count(&ada, now));
        assert!(!failures.is_locked(&ada, 4) && failures.locked(4).is_empty());
        failures.count(&ada, 4);
        assert!(failures.is_locked(&ada, 5) && !failures.is_locked(&bob, 5));
        assert_eq!(failures.locked(5), std::slice::from_ref(&ada));
        assert!(!failures.is_locked(&ada, 4 + WINDOW) && failures.locked(4 + WINDOW).is_empty());
        failures.count(&ada, 4 + WINDOW);
        assert!(!failures.is_locked(&ada, 4 + WINDOW), "it begins anew");
        failures.clear(&ada);
        assert!(failures.by_name.is_empty() && failures.order.is_empty());
    }

    #[test]
    fn flood_of_names_neither_grows_nor_unlocks_anybody() {
        let mut failures = Failures::default();
        let victim = named("victim");
        (0..5).for_each(|now| failures.count(&victim, now));
        for n in 0..3 * MAX_REMEMBERED {
            failures.count(&named(n), 5 + i64::try_from(n).unwrap());
        }
        assert_eq!((failures.by_name.len(), failures.order.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
        assert!(failures.is_locked(&victim, WINDOW - 1));
        // Once its lock is over it is the first to go.
        failures.count(&named("one more"), 5 + WINDOW);
        assert!(!failures.by_name.contains_key(&victim));
    }

    #[test]
    fn oldest_lock_goes_where_all_names_are_locked_out() {
        let mut failures = Failures::default();
        for n in 0..MAX_REMEMBERED {
            (0..5).for_each(|_| failures.count(&named(n), i64::try_from(n).unwrap()));
        }
        failures.count(&named("one more"), 20_000);
        assert!(!failures.is_locked(&named(0), 20_000) && failures.is_locked(&named(1), 20_000));
        assert_eq!(failures.by_name.len(), MAX_REMEMBERED);
    }

    #[test]
    fn name_that_nobody_can_have_is_not_remembered() {
        let mut failures = Failures::default();
        failures.count(&named("x".repeat(MAX_NAME + 1)), 0);
        assert!(failures.by_name.is_empty());
        failures.count(&named("x".repeat(MAX_NAME)), 0);
        assert_eq!(failures.by_name.len(), 1);
    }
}
