//! Why a request is allowed or denied, for people.

use std::fmt;

use super::acl::{Acl, Slot, Way};
use super::decision::{Decision, Denial, ParameterFault, Request, Unreadable};
use super::operation::{Capabilities, Capability, Operation};
use super::permissions::LIMIT;

/// A decision and how it came about. Holds names of parameters, never their values.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Explanation {
    /// The path that was asked for.
    pub path: String,
    /// What was to be done.
    pub operation: Operation,
    /// The decision.
    pub decision: Decision,
    /// The capability that the operation needs, with `sudo` if the path does.
    pub needed: Vec<Capability>,
    /// What the pattern in charge holds; nothing if there is none.
    pub held: Capabilities,
    /// The patterns that match the path; the one in charge comes first.
    pub candidates: Vec<Candidate>,
    /// What the pattern in charge says to each parameter. Empty if it does not look at them.
    pub parameters: Vec<ParameterReport>,
    /// The rules that do not exist for this subject.
    pub dropped: Vec<DroppedRule>,
}

/// A pattern that matches the path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Candidate {
    /// The pattern as policies write it.
    pub pattern: String,
    /// The policies that it comes from, without those whose rule has expired unless all have.
    pub policies: Vec<String>,
    /// What it holds.
    pub capabilities: Capabilities,
    /// Whether it is in charge, or why not.
    pub standing: Standing,
}

/// Whether a pattern that matches is in charge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It is in charge.
    Chosen,
    /// All its rules have expired.
    Expired,
    /// It matches without the final `/` of the path, the one in charge with it.
    LostToFinalSlash,
    /// The one in charge is the path itself.
    LostToExact,
    /// The one in charge is more specific.
    LostToMoreSpecific,
}

/// A rule whose template the subject has no value for, or a value that would widen the path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DroppedRule {
    /// The policy it stands in.
    pub policy: String,
    /// Its path with the template.
    pub path: String,
}

/// What a rule says to one parameter.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParameterReport {
    /// Its name as the request sent it.
    pub name: String,
    /// What becomes of it.
    pub verdict: ParameterVerdict,
}

/// What becomes of a parameter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ParameterVerdict {
    /// It passes.
    Accepted,
    /// It does not.
    Refused(ParameterFault),
}

impl Explanation {
    pub(super) fn of(acl: &Acl, request: &Request<'_>) -> Explanation {
        let path = request.path.trim_start_matches('/');
        let mut needed = vec![request.operation.capability()];
        if super::needs_sudo(path, request.operation) {
            needed.push(Capability::Sudo);
        }
        let mut explanation = Explanation {
            path: path.to_owned(),
            operation: request.operation,
            decision: acl.check(request),
            needed,
            held: acl.capabilities_of(path, request),
            candidates: Vec::new(),
            parameters: Vec::new(),
            dropped: acl.dropped().to_vec(),
        };
        if acl.is_root() {
            return explanation;
        }
        let chosen = acl.in_charge(path, request.operation, request.now);
        if let Some((slot, _)) = chosen {
            explanation.candidates.push(candidate(slot, Standing::Chosen, request.now));
            explanation.parameters = parameters(slot, request);
        }
        for slot in acl.slots() {
            if chosen.is_some_and(|(chosen, _)| std::ptr::eq(chosen, slot)) {
                continue;
            }
            if let Some(standing) = standing(slot, path, request, chosen.map(|(_, way)| way)) {
                explanation.candidates.push(candidate(slot, standing, request.now));
            }
        }
        explanation
    }
}

impl Acl {
    fn capabilities_of(&self, path: &str, request: &Request<'_>) -> Capabilities {
        if self.is_root() {
            return Capabilities::ROOT;
        }
        self.in_charge(path, request.operation, request.now)
            .map_or(Capabilities::EMPTY, |(slot, _)| slot.pool.at(request.now).capabilities())
    }
}

/// How a pattern that is not in charge stands; `None` if it does not match the path.
fn standing(slot: &Slot, path: &str, request: &Request<'_>, chosen: Option<Way>) -> Option<Standing> {
    let with_slash = slot.pattern.matches(path);
    let without_slash =
        request.operation.enumerates() && path.strip_suffix('/').is_some_and(|path| slot.pattern.matches(path));
    if !with_slash && !without_slash {
        return None;
    }
    Some(match chosen {
        _ if !slot.pool.is_live(request.now) => Standing::Expired,
        Some(Way::Exact | Way::ExactWithoutSlash) => Standing::LostToExact,
        Some(Way::Match) if !with_slash => Standing::LostToFinalSlash,
        Some(Way::Match | Way::MatchWithoutSlash) | None => Standing::LostToMoreSpecific,
    })
}

fn candidate(slot: &Slot, standing: Standing, now: i64) -> Candidate {
    let live = slot.pool.is_live(now);
    let counts = |expiry: Option<i64>| !live || expiry.is_none_or(|expiry| now <= expiry);
    let mut policies: Vec<String> = Vec::new();
    for source in slot.sources.iter().filter(|source| counts(source.expiry)) {
        if policies.last().is_none_or(|last| **last != *source.policy) {
            policies.push(source.policy.to_string());
        }
    }
    let capabilities = if live {
        slot.pool.at(now).capabilities()
    } else {
        slot.sources.iter().fold(Capabilities::EMPTY, |joined, source| joined.joined(source.capabilities))
    };
    Candidate { pattern: slot.pattern.text().to_owned(), policies, capabilities, standing }
}

/// What the pattern in charge says to the request's data, if it looks at it.
fn parameters(slot: &Slot, request: &Request<'_>) -> Vec<ParameterReport> {
    let rules = slot.pool.at(request.now);
    let report = |name: &str, fault: Option<ParameterFault>| ParameterReport {
        name: name.to_owned(),
        verdict: fault.map_or(ParameterVerdict::Accepted, ParameterVerdict::Refused),
    };
    match request.operation {
        Operation::Create | Operation::Patch | Operation::Read | Operation::Update => {
            let constraints = rules.constraints();
            if constraints.is_empty() {
                return Vec::new();
            }
            let data = match request.parameters.load() {
                Ok(data) => data.unwrap_or_default(),
                Err(Unreadable(name)) => return vec![report(&name, Some(ParameterFault::Unreadable))],
            };
            let mut reports: Vec<_> =
                data.iter().map(|(name, value)| report(name, constraints.verdict(name, value))).collect();
            let missing = constraints.missing(&data);
            reports.extend(missing.map(|name| report(name, Some(ParameterFault::Missing))));
            reports
        }
        Operation::List | Operation::Scan => {
            let Some(limit) = rules.pagination_limit() else { return Vec::new() };
            match request.parameters.load() {
                Ok(data) => vec![report(LIMIT, rules.page_fault(limit, data.as_ref()))],
                Err(Unreadable(name)) => vec![report(&name, Some(ParameterFault::Unreadable))],
            }
        }
        Operation::Delete => Vec::new(),
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.decision {
            Decision::Allow(grant) if grant.root => {
                return write!(f, "allowed: {} {}\n  the root policy allows everything", self.operation, self.path);
            }
            Decision::Allow(_) => writeln!(f, "allowed: {} {}", self.operation, self.path)?,
            Decision::Deny(denial) => writeln!(f, "denied: {} {}: {denial}", self.operation, self.path)?,
        }
        let needed: Vec<_> = self.needed.iter().map(|capability| capability.name()).collect();
        write!(f, "  needed: {}; held: {}", needed.join(", "), self.held)?;
        for candidate in &self.candidates {
            let Candidate { pattern, policies, capabilities, standing } = candidate;
            let policies = policies.join(", ");
            write!(f, "\n  path {pattern:?} (policy {policies}): {capabilities}: {standing}")?;
        }
        for ParameterReport { name, verdict } in &self.parameters {
            match verdict {
                ParameterVerdict::Accepted => write!(f, "\n  parameter {name:?} is accepted")?,
                ParameterVerdict::Refused(fault) => write!(f, "\n  parameter {name:?} {fault}")?,
            }
        }
        if let Decision::Allow(grant) = &self.decision
            && let Some(limit) = grant.pagination_limit
        {
            write!(f, "\n  at most {limit} entries a page")?;
        }
        for DroppedRule { policy, path } in &self.dropped {
            write!(
                f,
                "\n  path {path:?} (policy {policy}) does not exist for this subject: its template has no usable value"
            )?;
        }
        match &self.decision {
            Decision::Deny(Denial::NoRule) if self.candidates.is_empty() => {
                write!(f, "\n  no path of any policy matches")
            }
            Decision::Allow(_) | Decision::Deny(_) => Ok(()),
        }
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Standing::Chosen => "in charge",
            Standing::Expired => "expired",
            Standing::LostToFinalSlash => "matches only without the final /, which comes second",
            Standing::LostToExact => "not used, because a path without wildcards comes first",
            Standing::LostToMoreSpecific => "not used, because a more specific path comes first",
        })
    }
}
