//! Policies: their text ([`Policy::parse`]), what they allow together ([`Acl`]), and why ([`Acl::explain`]).
//!
//! Semantics are those of Vault's ACL policies. Default deny: a request is allowed by exactly one pattern, the most
//! specific that matches, in which the rules of all policies with that pattern are joined; patterns never add up.
//! Nothing here knows a store, a token or an engine: callers bring the policies, the subject and the request.

mod acl;
pub mod builtin;
mod decision;
mod duration;
mod explain;
pub mod hcl;
mod index;
mod operation;
mod parameters;
mod pattern;
mod permissions;
mod read;
#[cfg(test)]
mod reference;
mod subject;
mod sudo;
mod template;

pub use acl::{Access, Acl, RuleView};
pub use decision::{Decision, Denial, Grant, Loaded, ParameterFault, Parameters, Request, Unreadable};
pub use explain::{Candidate, DroppedRule, Explanation, ParameterReport, ParameterVerdict, Standing};
pub use operation::{Capabilities, Capability, Operation};
pub use read::{ParseError, Policy, moment};
pub use subject::{Alias, Entity, Group, Metadata, Subject};
pub use sudo::needs_sudo;
pub use template::TemplateValues;
