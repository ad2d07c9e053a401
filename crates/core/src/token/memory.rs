//! The states of tokens in use: one for each token, however many requests hold it. What a token may do is kept as long as
//! the token is in the cache, and counts towards its bound.

use std::{
    collections::HashMap,
    sync::{Arc, Weak, atomic::Ordering},
};

use parking_lot::Mutex;

use super::{Authority, TokenState};
use crate::{
    cache::{Coherent, Visit, Weigh},
    policy::Acl,
};

/// Tokens in memory.
pub(crate) struct Tokens {
    /// By keyed hash, bounded in bytes.
    cache: Coherent<[u8; 32], Held>,
    states: Mutex<States>,
    shared: Mutex<Shared>,
}

/// A state in the cache, with what it weighed when it was put there.
struct Held {
    state: Arc<TokenState>,
    weight: usize,
}

/// Compiled policy sets shared by tokens whose policies have no templates.
#[derive(Default)]
struct Shared {
    /// By what they are compiled from, and the value of `Active::authority` then.
    sets: HashMap<(Basis, u64), Weak<Acl>>,
    /// Bytes of those compiled since it was last looked which are in use.
    bytes: usize,
    most: usize,
}

/// Everything that decides what a policy set without templates is compiled from: who has the same shares it.
#[derive(Eq, Hash, PartialEq)]
pub(super) enum Basis {
    /// The policies of these names, sorted.
    Named(Vec<String>),
    /// A root token's right to everything.
    Root,
    /// The fixed policy of a token that wraps a response.
    Wrapping,
}

#[derive(Default)]
struct States {
    /// By accessor, for as long as anybody holds the state.
    by_accessor: HashMap<String, Weak<TokenState>>,
    /// Counts what was forgotten, so that a row read before a revocation does not come back after it.
    forgotten: u64,
}

impl Tokens {
    pub(crate) fn new(bytes: usize) -> Self {
        let most = bytes / 4;
        let shared = Mutex::new(Shared { most, ..Shared::default() });
        Self { cache: Coherent::new(bytes - most, 1024), states: Mutex::default(), shared }
    }

    pub(crate) fn weight(&self) -> u64 {
        self.cache.weight() + u64::try_from(self.shared.lock().in_use()).unwrap_or(u64::MAX)
    }

    /// Before the store is asked for the token of this hash.
    pub(super) fn visit(&self, hash: &[u8; 32]) -> Visit {
        self.cache.visit(hash)
    }

    /// Keeps a state that was read.
    pub(super) fn admit(&self, visit: Visit, hash: [u8; 32], state: &Arc<TokenState>) {
        self.cache.admit(visit, hash, Arc::new(Held::new(state)));
    }

    /// Keeps what the token may do, for as long as there is room for it. A token that is not in the cache, like one that
    /// is held by those below it alone, is without.
    pub(super) fn keep(&self, state: &Arc<TokenState>, authority: &Arc<Authority>) {
        state.authority.store(Some(Arc::clone(authority)));
        let held = Arc::new(Held::new(state));
        if !self.cache.replace(state.entry.hash, held, |held| Arc::ptr_eq(&held.state, state)) {
            state.authority.store(None);
        }
    }

    /// The token is gone: nobody uses it from here on.
    pub(crate) fn forget(&self, accessor: &str) {
        if let Some(state) = self.drop_state(accessor) {
            state.revoked.store(true, Ordering::Release);
        }
    }

    /// The token's place in the tree changed: it is read anew at its next use, and with it what lives below it, whose
    /// states still hold the old one.
    pub(crate) fn moved(&self, accessor: &str) {
        if let Some(state) = self.drop_state(accessor) {
            state.moved.store(true, Ordering::Release);
        }
    }

    /// The token was renewed: requests that hold it see the new expiry, later ones its new entry.
    pub(crate) fn renewed(&self, accessor: &str, expires_ms: Option<i64>) {
        if let Some(state) = self.known(accessor) {
            state.expires_ms.store(expires_ms.unwrap_or(0), Ordering::Release);
        }
    }

    /// Tokens under other keys than these are not found any more. Their states stay for the tokens below them: those
    /// end with them, and not before.
    pub(crate) fn keep_only(&self, numbers: &[u32]) {
        self.cache.retain(|held| {
            let stays = numbers.contains(&held.state.entry.kid);
            if !stays {
                held.let_go();
            }
            stays
        });
    }

    /// Forgets states nobody holds; call it now and then.
    pub(crate) fn tidy(&self) {
        self.states.lock().by_accessor.retain(|_, state| state.strong_count() > 0);
        self.shared.lock().sets.retain(|_, acl| acl.strong_count() > 0);
    }

    fn drop_state(&self, accessor: &str) -> Option<Arc<TokenState>> {
        let state = {
            let mut states = self.states.lock();
            states.forgotten = states.forgotten.wrapping_add(1);
            states.by_accessor.remove(accessor).and_then(|state| state.upgrade())
        };
        if let Some(state) = &state {
            self.cache.put(state.entry.hash, None);
            state.authority.store(None);
        }
        state
    }

    /// The state in use, unless it is out of place.
    pub(super) fn known(&self, accessor: &str) -> Option<Arc<TokenState>> {
        self.states.lock().known(accessor)
    }

    /// The state of this hash, unless it is out of place.
    pub(super) fn cached(&self, hash: &[u8; 32]) -> Option<Arc<TokenState>> {
        self.cache.get(hash).map(|held| Arc::clone(&held.state)).filter(|state| state.is_in_place())
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.states.lock().forgotten
    }

    /// The one state of a token: the one in use, else this; `None` where something was forgotten since.
    pub(super) fn adopt(&self, state: TokenState, forgotten: u64) -> Option<Arc<TokenState>> {
        let mut states = self.states.lock();
        if let Some(known) = states.known(&state.accessor) {
            return Some(known);
        }
        if states.forgotten != forgotten {
            return None;
        }
        let state = Arc::new(state);
        states.by_accessor.insert(state.accessor.clone(), Arc::downgrade(&state));
        Some(state)
    }

    pub(super) fn shared_acl(&self, basis: Basis, generation: u64, compile: impl FnOnce() -> Acl) -> Arc<Acl> {
        let mut shared = self.shared.lock();
        let key = (basis, generation);
        if let Some(acl) = shared.sets.get(&key).and_then(Weak::upgrade) {
            return acl;
        }
        let acl = Arc::new(compile());
        shared.bytes += acl.weight();
        shared.sets.insert(key, Arc::downgrade(&acl));
        if shared.bytes > shared.most {
            shared.bytes = shared.in_use();
            if shared.bytes > shared.most {
                // Rarely: each token in use has its own compiled anew.
                shared.bytes = acl.weight();
                drop(shared);
                self.cache.retain(|held| {
                    held.let_go();
                    true
                });
            }
        }
        acl
    }
}

impl Shared {
    fn in_use(&self) -> usize {
        self.sets.values().filter_map(Weak::upgrade).map(|acl| acl.weight()).sum()
    }
}

impl Held {
    fn new(state: &Arc<TokenState>) -> Self {
        let entry = &state.entry;
        let texts = entry.policies.iter().map(String::len).sum::<usize>()
            + entry.metadata.iter().map(|(key, value)| key.len() + value.len() + 64).sum::<usize>();
        let authority = state.authority.load_full().map_or(0, |authority| authority.weight);
        Self { state: Arc::clone(state), weight: texts + authority + 768 }
    }
}

impl States {
    fn known(&self, accessor: &str) -> Option<Arc<TokenState>> {
        self.by_accessor.get(accessor).and_then(Weak::upgrade).filter(|state| state.is_in_place())
    }
}

impl Weigh for Held {
    fn weight(&self) -> usize {
        self.weight
    }

    fn let_go(&self) {
        self.state.authority.store(None);
    }
}
