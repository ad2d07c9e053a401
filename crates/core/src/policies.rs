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
    policy::{ParseError, Policy, TemplateValues, builtin},
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
    pub(crate) settings: PolicySettings,
}

/// What is set of a policy beside its text.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct PolicySettings {
    /// Counts its writes, from 1; a policy that is made anew begins again.
    pub version: u64,
    /// Whether a write must name the version that it replaces.
    pub cas_required: bool,
    /// The last UTC millisecond at which it exists.
    pub until_ms: Option<i64>,
    /// What its templates take.
    pub values: TemplateValues,
    /// Whether any of this was ever written: who does not use it is not shown it.
    pub is_used: bool,
}

impl Persisted for PolicyRow {}

impl PolicyRow {
    /// A policy with nothing set beside its text.
    pub(crate) fn plain(text: &str, now: i64) -> Self {
        let settings = PolicySettings { version: 1, ..PolicySettings::default() };
        Self { text: text.to_owned(), updated_ms: now, settings }
    }

    /// Whether it has come to its end.
    pub(crate) fn has_ended(&self, now: i64) -> bool {
        self.settings.until_ms.is_some_and(|until| now > until)
    }

    /// As it is in force.
    ///
    /// # Errors
    /// As [`Policy::parse`].
    pub(crate) fn parse(&self, name: &str) -> Result<Policy, ParseError> {
        let policy = Policy::parse(name, &self.text)?.until(self.settings.until_ms).taking(self.settings.values);
        // Who changes the text gets what he writes.
        Ok(match name == ADMINISTRATOR && self.text == builtin::ADMINISTRATOR {
            true => policy.built_in(),
            false => policy,
        })
    }
}

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

    /// A policy, also one that has come to its end and grants nothing.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Policy>> {
        self.by_name.read().get(name).cloned()
    }

    /// Whether there is such a policy at a time.
    pub(crate) fn has(&self, name: &str, now: i64) -> bool {
        self.by_name.read().get(name).is_some_and(|policy| !policy.has_ended(now))
    }

    /// Names of those that have come to their end.
    pub(crate) fn ended(&self, now: i64) -> Vec<String> {
        let by_name = self.by_name.read();
        by_name.values().filter(|policy| policy.has_ended(now)).map(|policy| policy.name().to_owned()).collect()
    }

    /// The policy of wrapping tokens, which no text of anybody's replaces.
    pub(crate) fn response_wrapping(&self) -> Result<Arc<Policy>, Error> {
        if let Some(policy) = self.wrapping.get() {
            return Ok(Arc::clone(policy));
        }
        let policy = Policy::parse(RESPONSE_WRAPPING, builtin::RESPONSE_WRAPPING).map_err(Error::internal)?;
        Ok(Arc::clone(self.wrapping.get_or_init(|| Arc::new(policy))))
    }

    /// Names in order, without those that have come to their end.
    pub(crate) fn names(&self, now: i64) -> Vec<String> {
        let by_name = self.by_name.read();
        let live = by_name.iter().filter(|(_, policy)| !policy.has_ended(now));
        let mut names: Vec<String> = live.map(|(name, _)| name.clone()).collect();
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
