//! A cache bounded in bytes that stays coherent with the store: a reader that raced a writer never leaves a
//! stale entry behind.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    sync::Arc,
};

use parking_lot::Mutex;
use quick_cache::{DefaultHashBuilder, Lifecycle, Weighter, sync::Cache};

const STRIPES: usize = 256;

/// Values by key, at most a given weight in bytes.
///
/// A reader that misses takes a [`Visit`] before it asks the store and hands the answer in with it; the answer
/// is dropped if a writer touched the key's stripe in between.
pub(crate) struct Coherent<K, V> {
    cache: Cache<K, Arc<V>, ByWeight, DefaultHashBuilder, LettingGo>,
    stripes: Box<[Mutex<u64>]>,
    hasher: RandomState,
}

/// What a value costs, in bytes.
pub(crate) trait Weigh {
    /// Never another number for the same value.
    fn weight(&self) -> usize;

    /// Runs where it has to make room for others, whoever else may hold it.
    fn let_go(&self);
}

/// The moment at which a reader went to the store.
#[derive(Clone, Copy)]
pub(crate) struct Visit {
    stripe: usize,
    generation: u64,
}

#[derive(Clone)]
struct ByWeight;

#[derive(Clone)]
struct LettingGo;

impl<K: Eq + Hash + Clone, V: Weigh> Coherent<K, V> {
    pub(crate) fn new(bytes: usize, typical_value: usize) -> Self {
        let items = bytes.checked_div(typical_value.max(1)).unwrap_or(0).max(16);
        Self {
            cache: Cache::with(
                items,
                u64::try_from(bytes).unwrap_or(u64::MAX),
                ByWeight,
                DefaultHashBuilder::default(),
                LettingGo,
            ),
            stripes: (0..STRIPES).map(|_| Mutex::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }

    pub(crate) fn get<Q>(&self, key: &Q) -> Option<Arc<V>>
    where
        Q: ?Sized + Hash + quick_cache::Equivalent<K>,
    {
        self.cache.get(key)
    }

    /// Call before reading the store.
    pub(crate) fn visit<Q: ?Sized + Hash>(&self, key: &Q) -> Visit {
        let stripe = self.stripe(key);
        Visit { stripe, generation: self.stripes.get(stripe).map_or(0, |generation| *generation.lock()) }
    }

    /// Keeps what the store answered, unless a writer came by since the visit.
    pub(crate) fn admit(&self, visit: Visit, key: K, value: Arc<V>) {
        if let Some(stripe) = self.stripes.get(visit.stripe) {
            let generation = stripe.lock();
            if *generation == visit.generation {
                self.cache.insert(key, value);
            }
        }
    }

    /// Replaces (or with `None` removes) what is cached, after a commit.
    pub(crate) fn put(&self, key: K, value: Option<Arc<V>>) {
        if let Some(stripe) = self.stripes.get(self.stripe(&key)) {
            let mut generation = stripe.lock();
            *generation = generation.wrapping_add(1);
            match value {
                Some(value) => self.cache.insert(key, value),
                None => drop(self.cache.remove(&key)),
            }
        }
    }

    /// Puts another value in the place of one that is cached and of which this holds. Tells whether it found room.
    pub(crate) fn replace(&self, key: K, value: Arc<V>, known: impl Fn(&V) -> bool) -> bool {
        let Some(stripe) = self.stripes.get(self.stripe(&key)) else { return false };
        let _turn = stripe.lock();
        if self.cache.peek(&key).is_none_or(|cached| !known(&cached)) {
            return false;
        }
        self.cache.insert(key.clone(), Arc::clone(&value));
        self.cache.peek(&key).is_some_and(|cached| Arc::ptr_eq(&cached, &value))
    }

    /// Removes what does not match, and what readers on their way to the store would bring back.
    pub(crate) fn retain(&self, keep: impl Fn(&V) -> bool) {
        for stripe in &self.stripes {
            let mut generation = stripe.lock();
            *generation = generation.wrapping_add(1);
        }
        self.cache.retain(|_, value| keep(value));
    }

    pub(crate) fn weight(&self) -> u64 {
        self.cache.weight()
    }

    fn stripe<Q: ?Sized + Hash>(&self, key: &Q) -> usize {
        usize::try_from(self.hasher.hash_one(key) % 256).unwrap_or(0)
    }
}

impl<K, V: Weigh> Weighter<K, Arc<V>> for ByWeight {
    fn weight(&self, _key: &K, value: &Arc<V>) -> u64 {
        u64::try_from(value.weight()).unwrap_or(u64::MAX).max(1)
    }
}

impl<K: Eq + Hash + Clone, V: Weigh> Lifecycle<K, Arc<V>> for LettingGo {
    type RequestState = ();

    fn before_evict(&self, _state: &mut (), _key: &K, value: &mut Arc<V>) {
        value.let_go();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weigh for Vec<u8> {
        fn weight(&self) -> usize {
            self.len()
        }

        fn let_go(&self) {}
    }

    #[test]
    fn answer_of_reader_that_raced_writer_is_dropped() {
        let cache: Coherent<String, Vec<u8>> = Coherent::new(1 << 20, 100);
        let visit = cache.visit("a");
        cache.put("a".to_owned(), None);
        cache.admit(visit, "a".to_owned(), Arc::new(b"stale".to_vec()));
        assert!(cache.get("a").is_none());
        let visit = cache.visit("a");
        cache.admit(visit, "a".to_owned(), Arc::new(b"fresh".to_vec()));
        assert_eq!(*cache.get("a").unwrap(), b"fresh".to_vec());
    }

    #[test]
    fn entry_not_retained_is_gone_and_no_reader_brings_it_back() {
        let cache: Coherent<String, Vec<u8>> = Coherent::new(1 << 20, 100);
        cache.put("old".to_owned(), Some(Arc::new(b"old".to_vec())));
        cache.put("new".to_owned(), Some(Arc::new(b"new".to_vec())));
        let visit = cache.visit("old");
        cache.retain(|value| value != b"old");
        cache.admit(visit, "old".to_owned(), Arc::new(b"old".to_vec()));
        assert!(cache.get("old").is_none());
        assert_eq!(*cache.get("new").unwrap(), b"new".to_vec());
    }

    #[test]
    fn weight_never_exceeds_bound() {
        let cache: Coherent<String, Vec<u8>> = Coherent::new(64 * 1024, 1024);
        for i in 0..1000 {
            cache.put(i.to_string(), Some(Arc::new(vec![0; 1024])));
        }
        assert!(cache.weight() <= 64 * 1024);
    }
}
