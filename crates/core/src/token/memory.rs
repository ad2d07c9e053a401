//! The states of tokens in use: one for each token, however many requests hold it.

use std::{
    collections::HashMap,
    sync::{Arc, Weak, atomic::Ordering},
};

use parking_lot::Mutex;

use super::TokenState;
use crate::{
    cache::{Coherent, Weigh},
    policy::Acl,
};

/// Tokens in memory.
pub(crate) struct Tokens {
    /// By keyed hash, bounded in bytes.
    pub(super) cache: Coherent<[u8; 32], Arc<TokenState>>,
    states: Mutex<States>,
    /// Compiled policy sets shared by tokens whose policies have no templates.
    shared: Mutex<HashMap<Basis, Compiled>>,
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

/// A policy set, and the value of `Active::authority` it was compiled at.
type Compiled = (u64, Weak<Acl>);

#[derive(Default)]
struct States {
    /// By accessor, for as long as anybody holds the state.
    by_accessor: HashMap<String, Weak<TokenState>>,
    /// Counts what was forgotten, so that a row read before a revocation does not come back after it.
    forgotten: u64,
}

impl Tokens {
    pub(crate) fn new(bytes: usize) -> Self {
        Self { cache: Coherent::new(bytes, 1024), states: Mutex::default(), shared: Mutex::new(HashMap::new()) }
    }

    pub(crate) fn weight(&self) -> u64 {
        self.cache.weight()
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
        self.cache.retain(|state| numbers.contains(&state.entry.kid));
    }

    /// Forgets states nobody holds; call it now and then.
    pub(crate) fn tidy(&self) {
        self.states.lock().by_accessor.retain(|_, state| state.strong_count() > 0);
        self.shared.lock().retain(|_, (_, acl)| acl.strong_count() > 0);
    }

    fn drop_state(&self, accessor: &str) -> Option<Arc<TokenState>> {
        let state = {
            let mut states = self.states.lock();
            states.forgotten = states.forgotten.wrapping_add(1);
            states.by_accessor.remove(accessor).and_then(|state| state.upgrade())
        };
        if let Some(state) = &state {
            self.cache.put(state.entry.hash, None);
        }
        state
    }

    /// The state in use, unless it is out of place.
    pub(super) fn known(&self, accessor: &str) -> Option<Arc<TokenState>> {
        self.states.lock().known(accessor)
    }

    /// The state of this hash, unless it is out of place.
    pub(super) fn cached(&self, hash: &[u8; 32]) -> Option<Arc<TokenState>> {
        self.cache.get(hash).map(|state| Arc::clone(state.as_ref())).filter(|state| state.is_in_place())
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
        if let Some((known, acl)) = shared.get(&basis)
            && *known == generation
            && let Some(acl) = acl.upgrade()
        {
            return acl;
        }
        let acl = Arc::new(compile());
        shared.insert(basis, (generation, Arc::downgrade(&acl)));
        acl
    }
}

impl States {
    fn known(&self, accessor: &str) -> Option<Arc<TokenState>> {
        self.by_accessor.get(accessor).and_then(Weak::upgrade).filter(|state| state.is_in_place())
    }
}

impl Weigh for Arc<TokenState> {
    fn weight(&self) -> usize {
        let entry = &self.entry;
        let texts = entry.policies.iter().map(String::len).sum::<usize>()
            + entry.metadata.iter().map(|(key, value)| key.len() + value.len() + 64).sum::<usize>();
        texts + 768
    }
}
