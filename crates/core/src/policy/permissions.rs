//! What one pattern grants: the rules of all policies for it, joined.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::decision::{Decision, Denial, Grant, ParameterFault, Request, Unreadable};
use super::operation::{Capabilities, Capability, Operation};
use super::parameters::{Constraints, Joined};
use super::sudo::needs_sudo;

/// What one rule grants.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Permissions {
    pub(super) capabilities: Capabilities,
    pub(super) min_wrapping: Option<Duration>,
    pub(super) max_wrapping: Option<Duration>,
    pub(super) pagination_limit: Option<NonZeroU32>,
    pub(super) constraints: Constraints,
}

impl Permissions {
    /// Joins in another rule for the same pattern. The order of joining does not matter.
    fn merge(&mut self, other: &Permissions) {
        self.capabilities = self.capabilities.joined(other.capabilities);
        self.min_wrapping = smallest(self.min_wrapping, other.min_wrapping);
        self.max_wrapping = smallest(self.max_wrapping, other.max_wrapping);
        self.pagination_limit = smallest(self.pagination_limit, other.pagination_limit);
        self.constraints.merge(&other.constraints);
    }
}

/// All rules for one pattern. Those that expire are kept apart, so that the rest is joined once.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool {
    lasting: Option<Arc<Permissions>>,
    /// By expiry, the latest first.
    expiring: Vec<(i64, Arc<Permissions>)>,
}

impl Pool {
    /// Adds a rule; one with an expiry counts up to and including that UTC millisecond.
    pub(super) fn add(&mut self, permissions: &Arc<Permissions>, expiry: Option<i64>) {
        match (expiry, &mut self.lasting) {
            (Some(expiry), _) => self.expiring.push((expiry, Arc::clone(permissions))),
            (None, Some(lasting)) => Arc::make_mut(lasting).merge(permissions),
            (None, lasting @ None) => *lasting = Some(Arc::clone(permissions)),
        }
    }

    /// To be called after the last rule.
    pub(super) fn finish(&mut self) {
        self.expiring.sort_by_key(|(expiry, _)| std::cmp::Reverse(*expiry));
    }

    /// Bytes that it holds, about, beside itself. What it shares with policies is theirs.
    pub(super) fn weight(&self) -> usize {
        let own = self.lasting.as_ref().filter(|permissions| Arc::strong_count(permissions) == 1);
        let own = own.map_or(0, |permissions| size_of::<Permissions>() + permissions.constraints.weight());
        own + self.expiring.capacity() * size_of::<(i64, Arc<Permissions>)>()
    }

    pub(super) fn is_live(&self, now: i64) -> bool {
        self.lasting.is_some() || self.expiring.first().is_some_and(|(expiry, _)| now <= *expiry)
    }

    /// The rules that count at `now`.
    pub(super) fn at(&self, now: i64) -> Effective<'_> {
        let live = self.expiring.partition_point(|(expiry, _)| now <= *expiry);
        Effective { lasting: self.lasting.as_deref(), expiring: self.expiring.get(..live).unwrap_or_default() }
    }
}

/// The rules for one pattern at one time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effective<'a> {
    lasting: Option<&'a Permissions>,
    expiring: &'a [(i64, Arc<Permissions>)],
}

impl<'a> Effective<'a> {
    fn rules(self) -> impl Iterator<Item = &'a Permissions> + Clone {
        self.lasting.into_iter().chain(self.expiring.iter().map(|(_, permissions)| &**permissions))
    }

    pub(super) fn constraints(self) -> Joined<impl Iterator<Item = &'a Constraints> + Clone> {
        Joined(self.rules().map(|rule| &rule.constraints))
    }

    pub(super) fn capabilities(self) -> Capabilities {
        self.rules().fold(Capabilities::EMPTY, |joined, rule| joined.joined(rule.capabilities))
    }

    pub(super) fn min_wrapping(self) -> Option<Duration> {
        self.rules().filter_map(|rule| rule.min_wrapping).min()
    }

    pub(super) fn max_wrapping(self) -> Option<Duration> {
        self.rules().filter_map(|rule| rule.max_wrapping).min()
    }

    pub(super) fn pagination_limit(self) -> Option<NonZeroU32> {
        self.rules().filter_map(|rule| rule.pagination_limit).min()
    }

    /// Decides about a request for `path`, which this pattern is in charge of.
    pub(super) fn decide(self, path: &str, request: &Request<'_>) -> Decision {
        let held = self.capabilities();
        if held.contains(Capability::Deny) {
            return Decision::Deny(Denial::DenyRule);
        }
        let needed = request.operation.capability();
        if !held.contains(needed) {
            return Decision::Deny(Denial::MissingCapability(needed));
        }
        let sudo = held.contains(Capability::Sudo);
        if !sudo && needs_sudo(path, request.operation) {
            return Decision::Deny(Denial::MissingSudo);
        }
        if !self.wrapping_fits(request.wrap_ttl) {
            return Decision::Deny(Denial::WrappingBounds);
        }
        let grant = Grant { root: false, sudo, pagination_limit: None };
        match request.operation {
            Operation::Create | Operation::Patch | Operation::Read | Operation::Update => {
                self.decide_parameters(request, grant)
            }
            Operation::List | Operation::Scan => self.decide_page(request, grant),
            Operation::Delete => Decision::Allow(grant),
        }
    }

    fn wrapping_fits(self, ttl: Option<Duration>) -> bool {
        self.max_wrapping().is_none_or(|max| ttl.is_some_and(|ttl| ttl <= max))
            && self.min_wrapping().is_none_or(|min| ttl.is_some_and(|ttl| ttl >= min))
    }

    fn decide_parameters(self, request: &Request<'_>, grant: Grant) -> Decision {
        let constraints = self.constraints();
        if constraints.is_empty() {
            return Decision::Allow(grant);
        }
        let fault = match request.parameters.load() {
            Ok(data) => constraints.fault(data.as_ref()),
            Err(Unreadable(name)) => Some((name, ParameterFault::Unreadable)),
        };
        match fault {
            None => Decision::Allow(grant),
            Some((name, fault)) => Decision::Deny(Denial::Parameter { name, fault }),
        }
    }

    /// A list is bound by the page's length only; other parameters are not looked at.
    fn decide_page(self, request: &Request<'_>, grant: Grant) -> Decision {
        let Some(limit) = self.pagination_limit() else { return Decision::Allow(grant) };
        let fault = match request.parameters.load() {
            Ok(data) => self.page_fault(limit, data.as_ref()).map(|fault| (LIMIT.to_owned(), fault)),
            Err(Unreadable(name)) => Some((name, ParameterFault::Unreadable)),
        };
        match fault {
            None => Decision::Allow(Grant { pagination_limit: Some(limit.get()), ..grant }),
            Some((name, fault)) => Decision::Deny(Denial::Parameter { name, fault }),
        }
    }

    /// What is wrong with the length of page that was asked for.
    pub(super) fn page_fault(self, limit: NonZeroU32, data: Option<&Map<String, Value>>) -> Option<ParameterFault> {
        let wanted = match data.and_then(|data| data.get(LIMIT)) {
            None if self.constraints().requires(LIMIT) => return Some(ParameterFault::Missing),
            None => return None,
            Some(Value::String(text)) if matches!(text.as_str(), "max" | "") => return None,
            Some(Value::String(text)) => text.parse::<i64>().ok(),
            Some(Value::Number(number)) => number.as_i64(),
            Some(Value::Array(_) | Value::Bool(_) | Value::Null | Value::Object(_)) => None,
        };
        let fits = wanted.is_some_and(|wanted| (0..=i64::from(limit.get())).contains(&wanted));
        if fits { None } else { Some(ParameterFault::ValueNotAllowed) }
    }
}

/// The parameter that asks for a page's length.
pub(super) const LIMIT: &str = "limit";

fn smallest<T: Ord>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
