//! Named policies: their texts in the store, parsed once, in memory.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, OnceLock},
};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    codec::Persisted,
    policy::{Policy, builtin},
};

/// The policy of those who administer the server.
pub(crate) const ADMINISTRATOR: &str = "administrator";
/// The policy that is no text: it answers every question with yes.
pub(crate) const ROOT: &str = "root";
/// The policy of wrapping tokens: fixed, and given to no other token.
pub(crate) const RESPONSE_WRAPPING: &str = "response-wrapping";
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
    /// Those that speak of what login methods say of somebody.
    on_alias_metadata: RwLock<HashSet<String>>,
    wrapping: OnceLock<Arc<Policy>>,
}

impl Policies {
    /// Refuses a new policy where there are too many.
    pub(crate) fn check_room(&self, name: &str) -> Result<(), Error> {
        let by_name = self.by_name.read();
        if by_name.len() >= MAX_POLICIES && !by_name.contains_key(name) {
            return Err(Error::invalid(format!("there are {MAX_POLICIES} policies, which is the limit")));
        }
        Ok(())
    }

    /// Puts a policy in place.
    pub(crate) fn put(&self, name: &str, policy: Policy) {
        match policy.names_alias_metadata() {
            true => drop(self.on_alias_metadata.write().insert(name.to_owned())),
            false => drop(self.on_alias_metadata.write().remove(name)),
        }
        self.by_name.write().insert(name.to_owned(), Arc::new(policy));
    }

    pub(crate) fn remove(&self, name: &str) {
        self.by_name.write().remove(name);
        self.on_alias_metadata.write().remove(name);
    }

    /// Whether any policy speaks of what login methods say of somebody.
    pub(crate) fn name_alias_metadata(&self) -> bool {
        !self.on_alias_metadata.read().is_empty()
    }

    pub(crate) fn find(&self, name: &str) -> Option<Arc<Policy>> {
        self.by_name.read().get(name).cloned()
    }

    /// The policy of wrapping tokens, which no text of anybody's replaces.
    pub(crate) fn response_wrapping(&self) -> Result<Arc<Policy>, Error> {
        if let Some(policy) = self.wrapping.get() {
            return Ok(Arc::clone(policy));
        }
        let policy = Policy::parse(RESPONSE_WRAPPING, builtin::RESPONSE_WRAPPING).map_err(Error::internal)?;
        Ok(Arc::clone(self.wrapping.get_or_init(|| Arc::new(policy))))
    }

    /// Names in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.by_name.read().keys().cloned().collect();
        names.sort_unstable();
        names
    }
}

/// Names of policies as they are kept: lower case, without the space around them, each once.
pub(crate) fn normalised(names: &[String]) -> Vec<String> {
    let mut seen = HashSet::new();
    let names = names.iter().map(|name| name.trim().to_lowercase());
    names.filter(|name| !name.is_empty() && seen.insert(name.clone())).collect()
}

/// Whether `root` is among normalised names.
pub(crate) fn has_root(names: &[String]) -> bool {
    names.iter().any(|name| name == ROOT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_in_lower_case_once_and_in_their_order() {
        let given = ["B", " a ", "", "b", "ROOT", " "].map(str::to_owned);
        let kept = normalised(&given);
        assert_eq!(kept, ["b", "a", "root"]);
        assert!(has_root(&kept) && !has_root(&given));
    }
}
