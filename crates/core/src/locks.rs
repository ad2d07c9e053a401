//! Writers of one logical path take turns.

use std::{
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

use tokio::sync::{Mutex, OwnedMutexGuard};

const STRIPES: u64 = 1024;

/// Locks by path, striped: two paths may share one, never the other way round.
pub(crate) struct PathLocks {
    stripes: Vec<Arc<Mutex<()>>>,
    hasher: RandomState,
}

/// Held while a path is read, changed and committed.
pub(crate) struct PathGuard(#[allow(dead_code, reason = "held for its drop")] Vec<OwnedMutexGuard<()>>);

impl PathLocks {
    pub(crate) fn new() -> Self {
        Self { stripes: (0..STRIPES).map(|_| Arc::default()).collect(), hasher: RandomState::new() }
    }

    /// Waits for its turn on every path; any order of paths is free of deadlock.
    pub(crate) async fn lock(&self, paths: &[&str]) -> PathGuard {
        let mut stripes: Vec<u64> = paths.iter().map(|path| self.hasher.hash_one(path) % STRIPES).collect();
        stripes.sort_unstable();
        stripes.dedup();
        let mut guards = Vec::with_capacity(stripes.len());
        for stripe in stripes {
            if let Some(lock) = usize::try_from(stripe).ok().and_then(|stripe| self.stripes.get(stripe)) {
                guards.push(Arc::clone(lock).lock_owned().await);
            }
        }
        PathGuard(guards)
    }
}
