//! Named policies: their texts in the store, parsed once, in memory.

use std::{collections::HashMap, sync::Arc};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::{Error, codec::Persisted, policy::Policy};

/// Policies at most: parsed they stay in memory.
const MAX_POLICIES: usize = 28_000;

/// A policy as it is stored.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct PolicyRow {
    pub(crate) text: String,
    pub(crate) updated_ms: i64,
}

impl Persisted for PolicyRow {}

/// All parsed policies by name.
#[derive(Default)]
pub(crate) struct Policies {
    by_name: RwLock<HashMap<String, Arc<Policy>>>,
}

impl Policies {
    pub(crate) fn put(&self, name: &str, policy: Policy) -> Result<(), Error> {
        let mut by_name = self.by_name.write();
        if by_name.len() >= MAX_POLICIES && !by_name.contains_key(name) {
            return Err(Error::invalid(format!("there are {MAX_POLICIES} policies, which is the limit")));
        }
        by_name.insert(name.to_owned(), Arc::new(policy));
        Ok(())
    }

    pub(crate) fn remove(&self, name: &str) {
        self.by_name.write().remove(name);
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Policy>> {
        self.by_name.read().get(name).cloned()
    }

    /// Names in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.by_name.read().keys().cloned().collect();
        names.sort_unstable();
        names
    }
}
