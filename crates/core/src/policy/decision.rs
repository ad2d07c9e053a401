//! What is asked of an [`Acl`](super::Acl) and what it answers. No answer ever holds a value of the request.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use super::operation::{Capability, Operation};

/// A logical request.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The path with its mount and without a leading `/`. A list's path may end in `/` or not.
    pub path: &'a str,
    /// What is to be done.
    pub operation: Operation,
    /// The request's data.
    pub parameters: &'a dyn Parameters,
    /// How long the answer is to be wrapped; `None` if it is not.
    pub wrap_ttl: Option<Duration>,
    /// The time in UTC milliseconds.
    pub now: i64,
}

/// The data of a request, read only if the rule in charge looks at it.
pub trait Parameters: Sync {
    /// The top-level members; `None` if there is no data.
    ///
    /// # Errors
    /// The first parameter that cannot be read: the request is denied then.
    fn load(&self) -> Loaded;
}

/// A request's data, as policies see it.
pub type Loaded = Result<Option<Map<String, Value>>, Unreadable>;

/// The name of a parameter that was sent and cannot be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unreadable(pub String);

/// No data.
impl Parameters for () {
    fn load(&self) -> Loaded {
        Ok(None)
    }
}

/// Data that is at hand anyway.
impl Parameters for Map<String, Value> {
    fn load(&self) -> Loaded {
        Ok(Some(self.clone()))
    }
}

/// Whether a request is allowed.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use]
pub enum Decision {
    /// It is, within the grant.
    Allow(Grant),
    /// It is not.
    Deny(Denial),
}

impl Decision {
    /// Whether the request is allowed.
    pub fn is_allowed(&self) -> bool {
        match self {
            Decision::Allow(_) => true,
            Decision::Deny(_) => false,
        }
    }
}

/// What an allowed request may do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Grant {
    /// Whether the root policy allowed it.
    pub root: bool,
    /// Whether the rule holds `sudo`, or root allowed it: the caller may use what an engine reserves for that.
    pub sudo: bool,
    /// For a list: no page may be longer. A request without a limit, with the limit 0 or `max` gets this one; one
    /// with a larger limit was denied.
    pub pagination_limit: Option<u32>,
}

/// Why a request is denied.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Denial {
    /// The rule denies everything.
    #[error("a rule denies it")]
    DenyRule,
    /// No rule matches, but one did that has expired.
    #[error("the rule that matched has expired")]
    Expired,
    /// The rule does not hold the capability.
    #[error("the capability \"{0}\" is missing")]
    MissingCapability(Capability),
    /// The path needs `sudo` besides the capability, and the rule does not hold it.
    #[error("the capability \"sudo\" is missing")]
    MissingSudo,
    /// No rule matches.
    #[error("no rule matches")]
    NoRule,
    /// The rule does not accept a parameter.
    #[error("the parameter {name:?} {fault}")]
    Parameter {
        /// The parameter: as the request named it, or for [`ParameterFault::Missing`] as the policy does.
        name: String,
        /// What is wrong with it.
        fault: ParameterFault,
    },
    /// The rule asks for a wrapped answer, or the wrapping lasts too short or too long.
    #[error("the wrapping is outside of the rule's bounds")]
    WrappingBounds,
}

/// What a rule has against a parameter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ParameterFault {
    /// It is denied, or its value is.
    Denied,
    /// It is required and was not sent. That it is required is known from the policy only, not from the request.
    Missing,
    /// It is not among the allowed ones.
    NotAllowed,
    /// It was sent and cannot be read.
    Unreadable,
    /// Its value is not among the allowed ones.
    ValueNotAllowed,
}

impl fmt::Display for ParameterFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ParameterFault::Denied => "is denied",
            ParameterFault::Missing => "is required",
            ParameterFault::NotAllowed => "is not allowed",
            ParameterFault::Unreadable => "cannot be read",
            ParameterFault::ValueNotAllowed => "has a value that is not allowed",
        })
    }
}
