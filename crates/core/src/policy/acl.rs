//! The policies of one subject, compiled: which pattern is in charge of a path, and what it decides.

use std::collections::HashMap;
use std::sync::Arc;

use super::decision::{Decision, Denial, Grant, Request};
use super::explain::{DroppedRule, Explanation};
use super::index::{PrefixIndex, SegmentIndex};
use super::operation::{Capabilities, Operation};
use super::pattern::{Kind, Pattern};
use super::permissions::Pool;
use super::read::{Policy, Rule};
use super::subject::Subject;

/// The union of a subject's policies, ready to be asked. Deciding neither blocks nor, as long as the request is
/// allowed and its data is not needed, allocates.
#[derive(Clone, Debug)]
pub struct Acl {
    root: bool,
    slots: Vec<Slot>,
    /// The slots of exact patterns by path.
    exact: HashMap<Box<str>, usize>,
    prefixes: PrefixIndex,
    segments: SegmentIndex,
    dropped: Vec<DroppedRule>,
    /// The built-in ones among the policies by themselves, where there are such.
    built_in: Option<Box<Acl>>,
}

/// One pattern with the rules for it.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) pattern: Pattern,
    pub(super) pool: Pool,
    pub(super) sources: Vec<Source>,
}

/// Where a rule came from.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) policy: Arc<str>,
    pub(super) capabilities: Capabilities,
    pub(super) expiry: Option<i64>,
    /// Whether its policy is a built-in one.
    built_in: bool,
}

/// Whether someone may do anything at all in some place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Access {
    /// Nothing.
    Refused,
    /// Something.
    Some,
}

/// One pattern of an [`Acl`] and what it holds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RuleView<'a> {
    /// The pattern as policies write it, with its `*`.
    pub pattern: &'a str,
    /// Whether it stands for one path only.
    pub exact: bool,
    /// What it holds.
    pub capabilities: Capabilities,
}

/// How a pattern came to be in charge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    /// It is the path.
    Exact,
    /// It is the path of a list without its final `/`.
    ExactWithoutSlash,
    /// It matches the path and ranks highest.
    Match,
    /// Nothing matches the path of a list; it matches the path without its final `/` and ranks highest.
    MatchWithoutSlash,
}

impl Acl {
    /// Compiles the policies for `subject`. Rules whose template does not resolve are left out. The root policy counts
    /// only alone; beside others it grants nothing.
    pub fn compile<'p>(policies: impl IntoIterator<Item = &'p Policy>, subject: &Subject<'_>) -> Acl {
        let policies: Vec<&Policy> = policies.into_iter().collect();
        let mut acl = Acl::compile_all(&policies, subject);
        let built_in: Vec<&Policy> = policies.into_iter().filter(|policy| policy.is_built_in()).collect();
        if !built_in.is_empty() {
            acl.built_in = Some(Box::new(Acl::compile_all(&built_in, subject)));
        }
        acl
    }

    fn compile_all(policies: &[&Policy], subject: &Subject<'_>) -> Acl {
        let mut acl = Acl {
            root: matches!(policies, [only] if only.is_root()),
            slots: Vec::new(),
            exact: HashMap::new(),
            prefixes: PrefixIndex::default(),
            segments: SegmentIndex::new(),
            dropped: Vec::new(),
            built_in: None,
        };
        let mut by_pattern = HashMap::new();
        for policy in policies {
            for rule in policy.rules() {
                acl.add(policy, rule, subject, &mut by_pattern);
            }
        }
        acl.build_indexes();
        acl
    }

    /// Decides about a request. A leading `/` of its path is ignored.
    pub fn check(&self, request: &Request<'_>) -> Decision {
        if self.root {
            return Decision::Allow(Grant { root: true, sudo: true, pagination_limit: None });
        }
        let path = request.path.trim_start_matches('/');
        match self.in_charge(path, request.operation, request.now) {
            Some((slot, _)) => slot.pool.at(request.now).decide(path, request),
            None if self.in_charge(path, request.operation, BEFORE_ANY_EXPIRY).is_some() => {
                Decision::Deny(Denial::Expired)
            }
            None => Decision::Deny(Denial::NoRule),
        }
    }

    /// Whether the pattern in charge of `path` allows nothing at all. Where there is none, nothing is denied.
    pub fn denies(&self, path: &str, operation: Operation, now: i64) -> bool {
        let in_charge = self.in_charge(path.trim_start_matches('/'), operation, now);
        !self.root && in_charge.is_some_and(|(slot, _)| slot.pool.at(now).capabilities().is_denied())
    }

    /// Whether there are built-in policies, so that [`Acl::withholds`] may say yes.
    pub fn has_built_in(&self) -> bool {
        self.built_in.is_some()
    }

    /// Whether nothing allows a request but built-in policies, and these deny it at `usual`: its path as if its engine
    /// lay where those policies speak of it. It is asked of requests that [`Acl::check`] allows.
    pub fn withholds(&self, path: &str, usual: &str, operation: Operation, now: i64) -> bool {
        let denied = self.built_in.as_deref().is_some_and(|built_in| built_in.denies(usual, operation, now));
        denied && !self.of_others(path, operation, now).contains(operation.capability())
    }

    /// What [`Acl::capabilities`] gives without what is withheld by [`Acl::withholds`].
    pub fn capabilities_of_engine(&self, path: &str, usual: &str, now: i64) -> Capabilities {
        match self.built_in.as_deref().is_some_and(|built_in| built_in.denies(usual, Operation::List, now)) {
            true => self.of_others(path, Operation::List, now),
            false => self.capabilities(path, now),
        }
    }

    /// What the pattern in charge of `path` holds by policies that are not built in.
    fn of_others(&self, path: &str, operation: Operation, now: i64) -> Capabilities {
        let Some((slot, _)) = self.in_charge(path.trim_start_matches('/'), operation, now) else {
            return Capabilities::EMPTY;
        };
        let counts = |source: &&Source| !source.built_in && source.expiry.is_none_or(|expiry| now <= expiry);
        let held = slot.sources.iter().filter(counts).map(|source| source.capabilities);
        held.fold(Capabilities::EMPTY, Capabilities::joined)
    }

    /// What the pattern in charge of `path` holds. As a list sees it: with or without a final `/`.
    pub fn capabilities(&self, path: &str, now: i64) -> Capabilities {
        if self.root {
            return Capabilities::ROOT;
        }
        let path = path.trim_start_matches('/');
        self.in_charge(path, Operation::List, now)
            .map_or(Capabilities::EMPTY, |(slot, _)| slot.pool.at(now).capabilities())
    }

    /// Whether something is allowed at a mount's path, or by a pattern that names a path under it. Such a pattern
    /// counts even if another one is in charge of all that it matches.
    pub fn any_access_under(&self, mount: &str, now: i64) -> Access {
        let mount = mount.trim_start_matches('/');
        let allows = |slot: &Slot| slot.pattern.lies_under(mount) && !slot.pool.at(now).capabilities().is_denied();
        let any = !self.capabilities(mount, now).is_denied() || self.slots.iter().any(allows);
        if any { Access::Some } else { Access::Refused }
    }

    /// Decides as [`Acl::check`] does and says how. Slow: it tries every pattern.
    pub fn explain(&self, request: &Request<'_>) -> Explanation {
        Explanation::of(self, request)
    }

    /// Bytes that it holds, about: what it shares with the policies is theirs.
    pub fn weight(&self) -> usize {
        let of_slot = |slot: &Slot| {
            slot.pattern.text().len() + slot.sources.capacity() * size_of::<Source>() + slot.pool.weight()
        };
        let slots = self.slots.capacity() * size_of::<Slot>() + self.slots.iter().map(of_slot).sum::<usize>();
        // A hash table has a seventh more places than it says, and a byte beside each.
        let exact = self.exact.capacity() * 8 / 7 * (size_of::<(Box<str>, usize)>() + 1)
            + self.exact.keys().map(|path| path.len()).sum::<usize>();
        let dropped = self.dropped.iter().map(|rule| size_of::<DroppedRule>() + rule.policy.len() + rule.path.len());
        let indexes = self.prefixes.weight() + self.segments.weight();
        size_of::<Self>() + slots + exact + indexes + dropped.sum::<usize>()
    }

    /// Whether the root policy decides.
    pub fn is_root(&self) -> bool {
        self.root
    }

    /// The patterns that count at `now` and what they hold, in no particular order. None for root.
    pub fn rules(&self, now: i64) -> impl Iterator<Item = RuleView<'_>> {
        self.slots.iter().filter(move |slot| slot.pool.is_live(now)).map(move |slot| RuleView {
            pattern: slot.pattern.text(),
            exact: slot.pattern.kind() == Kind::Exact,
            capabilities: slot.pool.at(now).capabilities(),
        })
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(super) fn dropped(&self) -> &[DroppedRule] {
        &self.dropped
    }

    /// The pattern in charge of `path`, which has no leading `/`.
    pub(super) fn in_charge(&self, path: &str, operation: Operation, now: i64) -> Option<(&Slot, Way)> {
        let without_slash = if operation.enumerates() { path.strip_suffix('/') } else { None };
        let (slot, way) = self
            .exact_at(path, now)
            .map(|slot| (slot, Way::Exact))
            .or_else(|| Some((self.exact_at(without_slash?, now)?, Way::ExactWithoutSlash)))
            .or_else(|| Some((self.best_match(path, now)?, Way::Match)))
            .or_else(|| Some((self.best_match(without_slash?, now)?, Way::MatchWithoutSlash)))?;
        Some((self.slots.get(slot)?, way))
    }

    fn exact_at(&self, path: &str, now: i64) -> Option<usize> {
        self.exact.get(path).copied().filter(|slot| self.is_live(*slot, now))
    }

    /// The non-exact pattern that matches `path` and ranks highest.
    fn best_match(&self, path: &str, now: i64) -> Option<usize> {
        let live = |slot: usize| self.is_live(slot, now);
        let mut best = self.prefixes.longest(path, live);
        if !self.segments.is_empty() {
            self.segments.each_match(path, &live, &mut |slot| {
                if best.is_none_or(|best| self.rank(slot) > self.rank(best)) {
                    best = Some(slot);
                }
            });
        }
        best
    }

    fn rank(&self, slot: usize) -> Option<super::pattern::Rank<'_>> {
        self.slots.get(slot).map(|slot| slot.pattern.rank())
    }

    fn is_live(&self, slot: usize, now: i64) -> bool {
        self.slots.get(slot).is_some_and(|slot| slot.pool.is_live(now))
    }

    fn add(&mut self, policy: &Policy, rule: &Rule, subject: &Subject<'_>, by_pattern: &mut HashMap<Box<str>, usize>) {
        let resolved = rule.path.resolve(subject, policy.values()).ok();
        let Some(pattern) = resolved.and_then(|path| Pattern::parse(&path).ok()) else {
            let dropped = DroppedRule { policy: policy.name().to_owned(), path: rule.path.text().to_owned() };
            self.dropped.push(dropped);
            return;
        };
        let fresh = self.slots.len();
        let slot = *by_pattern.entry(pattern.text().into()).or_insert(fresh);
        if slot == fresh {
            self.slots.push(Slot { pattern, pool: Pool::default(), sources: Vec::new() });
        }
        if let Some(slot) = self.slots.get_mut(slot) {
            slot.pool.add(&rule.permissions, rule.expiry);
            slot.sources.push(Source {
                policy: Arc::clone(policy.shared_name()),
                capabilities: rule.permissions.capabilities,
                expiry: rule.expiry,
                built_in: policy.is_built_in(),
            });
        }
    }

    fn build_indexes(&mut self) {
        let mut prefixes = Vec::new();
        // One is kept for each token whose policies have templates.
        self.slots.shrink_to_fit();
        for (number, slot) in self.slots.iter_mut().enumerate() {
            slot.sources.shrink_to_fit();
            slot.pool.finish();
            let stem = slot.pattern.stem();
            match slot.pattern.kind() {
                Kind::Exact => {
                    self.exact.insert(stem.into(), number);
                }
                Kind::Prefix => prefixes.push((stem.into(), number)),
                Kind::Segments if slot.pattern.is_open() => self.segments.insert_open(stem, number),
                Kind::Segments => self.segments.insert_whole(stem, number),
            }
        }
        self.prefixes = PrefixIndex::build(prefixes);
        self.segments.finish();
    }
}

/// A time at which every rule that ever existed still does.
const BEFORE_ANY_EXPIRY: i64 = i64::MIN;

#[cfg(test)]
mod tests;
