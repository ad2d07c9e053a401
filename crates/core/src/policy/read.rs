//! Policy text to rules. What is unknown, ambiguous or not enforced here is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;

use super::duration;
use super::hcl::{self, Form, Item, Key, Node, Position, Syntax, SyntaxError, Value, quoted};
use super::operation::{Capabilities, Capability};
use super::pattern::Pattern;
use super::permissions::Permissions;
use super::template::{Template, TemplateValues};

/// A policy: read from its text and checked.
#[derive(Clone, Debug)]
pub struct Policy {
    name: Arc<str>,
    grants: Grants,
    /// The last UTC millisecond at which it exists.
    until: Option<i64>,
    values: TemplateValues,
    built_in: bool,
}

#[derive(Clone, Debug)]
enum Grants {
    Everything,
    Rules(Vec<Rule>),
}

/// One path block of a policy.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) path: Template,
    pub(super) permissions: Arc<Permissions>,
    /// The last UTC millisecond at which the rule exists.
    pub(super) expiry: Option<i64>,
}

/// Why a text is not a policy, fit to follow `failed to parse policy: `.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("at {line}:{column}: {message}")]
pub struct ParseError {
    /// The line of the fault, counted from 1.
    pub line: u32,
    /// The column of the fault, counted in characters from 1.
    pub column: u32,
    /// What is wrong there.
    pub message: String,
}

impl From<SyntaxError> for ParseError {
    fn from(error: SyntaxError) -> ParseError {
        ParseError { line: error.position.line, column: error.position.column, message: error.message }
    }
}

impl Policy {
    /// Reads a policy from HCL or JSON of at most 1 MiB. The name is not looked at: a policy that is named `root`
    /// here is not [`Policy::root`].
    ///
    /// A path that is given twice is no fault: its blocks are joined like those of different policies.
    ///
    /// # Errors
    /// Malformed text, unknown keys and capabilities, known ones that are not enforced, attributes given twice,
    /// malformed paths, templates, durations and timestamps.
    pub fn parse(name: &str, text: &str) -> Result<Policy, ParseError> {
        let document = hcl::parse(text)?;
        let mut rules = Vec::new();
        for item in &document.items {
            match item.key.name.as_str() {
                "path" => match document.syntax {
                    Syntax::Json => read_json_blocks(&item.value, &mut rules)?,
                    Syntax::Native => rules.push(read_native_block(item)?),
                },
                "name" => {
                    string(attribute(item)?, "name")?;
                }
                other => return Err(fault(item.key.position, format!("invalid key {}", quoted(other)))),
            }
        }
        Ok(Policy::of(name, Grants::Rules(rules)))
    }

    /// The policy that allows everything. It counts only where it is alone.
    pub fn root() -> Policy {
        Policy::of("root", Grants::Everything)
    }

    fn of(name: &str, grants: Grants) -> Policy {
        Policy { name: name.into(), grants, until: None, values: TemplateValues::default(), built_in: false }
    }

    /// The policy with an end: it counts up to and including that UTC millisecond.
    #[must_use]
    pub fn until(mut self, until: Option<i64>) -> Policy {
        if let (Grants::Rules(rules), Some(until)) = (&mut self.grants, until) {
            for rule in rules {
                rule.expiry = Some(rule.expiry.map_or(until, |own| own.min(until)));
            }
        }
        self.until = until;
        self
    }

    /// The policy with templates that take these values.
    #[must_use]
    pub fn taking(mut self, values: TemplateValues) -> Policy {
        self.values = values;
        self
    }

    /// The policy as one of the built-in ones: what it denies of an engine where that usually lies, it withholds wherever
    /// it lies ([`Acl::withholds`](super::Acl::withholds)).
    #[must_use]
    pub fn built_in(mut self) -> Policy {
        self.built_in = true;
        self
    }

    pub(super) fn is_built_in(&self) -> bool {
        self.built_in
    }

    /// Whether it has come to its end.
    pub fn has_ended(&self, now: i64) -> bool {
        self.until.is_some_and(|until| now > until)
    }

    pub(super) fn values(&self) -> TemplateValues {
        self.values
    }

    /// The name it was read under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this is [`Policy::root`].
    pub fn is_root(&self) -> bool {
        matches!(self.grants, Grants::Everything)
    }

    /// Whether what it grants depends on the subject. An [`Acl`](super::Acl) of policies that are not templated can be
    /// shared by all subjects that have them.
    pub fn is_templated(&self) -> bool {
        self.rules().iter().any(|rule| rule.path.is_templated())
    }

    /// Whether what it grants depends on what login methods say of the subject, which may change at each login.
    pub fn names_alias_metadata(&self) -> bool {
        self.rules().iter().any(|rule| rule.path.names_alias_metadata())
    }

    pub(super) fn shared_name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn rules(&self) -> &[Rule] {
        match &self.grants {
            Grants::Everything => &[],
            Grants::Rules(rules) => rules,
        }
    }
}

/// `path "…" { … }`.
fn read_native_block(item: &Item) -> Result<Rule, ParseError> {
    let ([label], Form::Block, Value::Object(body)) = (item.labels.as_slice(), item.form, &item.value.value) else {
        return Err(fault(item.key.position, "a path is written as: path \"…\" { … }"));
    };
    read_rule(label, body)
}

/// `"path": {"…": {…}}`, with a list of objects allowed in place of either object.
fn read_json_blocks(value: &Node, rules: &mut Vec<Rule>) -> Result<(), ParseError> {
    const EXPECTED: &str = "expected an object";
    for paths in objects(value, EXPECTED)? {
        for path in paths {
            for body in objects(&path.value, EXPECTED)? {
                rules.push(read_rule(&path.key, body)?);
            }
        }
    }
    Ok(())
}

fn objects<'a>(node: &'a Node, expected: &str) -> Result<Vec<&'a [Item]>, ParseError> {
    let object = |node: &'a Node| match &node.value {
        Value::Object(items) => Ok(items.as_slice()),
        other => Err(fault(node.position, format!("{expected}, found {}", other.kind()))),
    };
    match &node.value {
        Value::List(nodes) if !nodes.is_empty() => nodes.iter().map(object).collect(),
        _ => Ok(vec![object(node)?]),
    }
}

fn read_rule(path: &Key, body: &[Item]) -> Result<Rule, ParseError> {
    let context =
        |error: ParseError| ParseError { message: format!("path {}: {}", quoted(&path.name), error.message), ..error };
    let template = Template::parse(&path.name).map_err(|error| context(fault(path.position, error.to_string())))?;
    Pattern::parse(&template.sample()).map_err(|error| context(fault(path.position, error.to_string())))?;
    let mut reader = RuleReader::default();
    for item in body {
        reader.read(item).map_err(context)?;
    }
    let (permissions, expiry) = reader.finish(path.position).map_err(context)?;
    Ok(Rule { path: template, permissions: Arc::new(permissions), expiry })
}

/// Collects the attributes of one path block.
#[derive(Default)]
struct RuleReader<'a> {
    seen: BTreeSet<&'a str>,
    capabilities: Vec<Capability>,
    permissions: Permissions,
    expiry: Option<i64>,
}

impl<'a> RuleReader<'a> {
    fn read(&mut self, item: &'a Item) -> Result<(), ParseError> {
        let name = item.key.name.as_str();
        // Blocks of parameters may be repeated; what is assigned may not.
        let first = self.seen.insert(name);
        if !first && item.form == Form::Assigned {
            return Err(fault(item.key.position, format!("{name} is given twice")));
        }
        match name {
            "allowed_parameters" => read_parameters(item, &mut self.permissions.constraints.allowed)?,
            "denied_parameters" => read_parameters(item, &mut self.permissions.constraints.denied)?,
            "required_parameters" => {
                let names = strings(attribute(item)?, name)?;
                self.permissions.constraints.required = names.iter().map(|(_, name)| name.to_lowercase()).collect();
            }
            "capabilities" => {
                for (position, capability) in strings(attribute(item)?, name)? {
                    self.capabilities.push(read_capability(position, capability)?);
                }
            }
            "policy" => self.read_old_policy(attribute(item)?)?,
            "min_wrapping_ttl" => self.permissions.min_wrapping = read_duration(attribute(item)?, name)?,
            "max_wrapping_ttl" => self.permissions.max_wrapping = read_duration(attribute(item)?, name)?,
            "pagination_limit" => self.permissions.pagination_limit = read_limit(attribute(item)?)?,
            "expiration" => self.expiry = read_expiration(attribute(item)?)?,
            "comment" => {
                attribute(item)?;
            }
            "control_group" | "list_scan_response_keys_filter_path" | "mfa_methods" | "subscribe_event_types" => {
                return Err(fault(item.key.position, format!("{name} is not supported: it would not be enforced")));
            }
            other => return Err(fault(item.key.position, format!("invalid key {}", quoted(other)))),
        }
        Ok(())
    }

    /// The words that came before capabilities.
    fn read_old_policy(&mut self, node: &Node) -> Result<(), ParseError> {
        use Capability::{Create, Delete, Deny, List, Read, Sudo, Update};
        let granted: &[Capability] = match string(node, "policy")?.as_str() {
            "" => &[],
            "deny" => &[Deny],
            "read" => &[Read, List],
            "write" => &[Create, Read, Update, Delete, List],
            "sudo" => &[Create, Read, Update, Delete, List, Sudo],
            other => return Err(fault(node.position, format!("invalid policy {}", quoted(other)))),
        };
        self.capabilities.extend(granted);
        Ok(())
    }

    fn finish(mut self, position: Position) -> Result<(Permissions, Option<i64>), ParseError> {
        self.permissions.capabilities = self.capabilities.into_iter().collect::<Capabilities>();
        if let (Some(min), Some(max)) = (self.permissions.min_wrapping, self.permissions.max_wrapping)
            && max < min
        {
            return Err(fault(position, "max_wrapping_ttl cannot be less than min_wrapping_ttl"));
        }
        Ok((self.permissions, self.expiry))
    }
}

fn read_capability(position: Position, name: &str) -> Result<Capability, ParseError> {
    Capability::from_name(name).ok_or_else(|| match name {
        "recover" | "subscribe" => {
            fault(position, format!("capability {name:?} is not supported: it would not be enforced"))
        }
        _ => fault(position, format!("invalid capability {}", quoted(name))),
    })
}

/// Adds the names of one object, in lower case, each with its list of values.
fn read_parameters(item: &Item, into: &mut BTreeMap<String, Vec<Json>>) -> Result<(), ParseError> {
    let key = &item.key.name;
    if let Some(label) = item.labels.first() {
        return Err(fault(label.position, format!("{key} takes no label")));
    }
    for parameters in objects(&item.value, &format!("{key} must be an object of lists"))? {
        for parameter in parameters {
            let Value::List(values) = &attribute(parameter)?.value else {
                let found = parameter.value.value.kind();
                let message = format!("{key}: {} must be a list, found {found}", quoted(&parameter.key.name));
                return Err(fault(parameter.value.position, message));
            };
            let values = values.iter().map(json).collect::<Result<_, _>>()?;
            if into.insert(parameter.key.name.to_lowercase(), values).is_some() {
                let message = format!("{key}: {} is given twice", quoted(&parameter.key.name));
                return Err(fault(parameter.key.position, message));
            }
        }
    }
    Ok(())
}

/// A value as a request would send it.
fn json(node: &Node) -> Result<Json, ParseError> {
    Ok(match &node.value {
        Value::Bool(value) => Json::Bool(*value),
        Value::Float(value) => Json::from(*value),
        Value::Integer(value) => Json::from(*value),
        Value::List(nodes) => Json::Array(nodes.iter().map(json).collect::<Result<_, _>>()?),
        Value::Null => Json::Null,
        Value::Object(items) => {
            let mut members = serde_json::Map::new();
            for item in items {
                if members.insert(item.key.name.clone(), json(attribute(item)?)?).is_some() {
                    return Err(fault(item.key.position, format!("{} is given twice", quoted(&item.key.name))));
                }
            }
            Json::Object(members)
        }
        Value::String(value) => Json::String(value.clone()),
    })
}

/// A duration in seconds or with units; none if it is zero.
fn read_duration(node: &Node, name: &str) -> Result<Option<Duration>, ParseError> {
    let read = match &node.value {
        Value::Integer(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
        Value::Float(seconds) => Duration::try_from_secs_f64(seconds.trunc()).ok(),
        Value::String(text) => duration::parse(text),
        Value::Bool(_) | Value::List(_) | Value::Null | Value::Object(_) => None,
    };
    match read {
        Some(duration) => Ok(Some(duration).filter(|duration| !duration.is_zero())),
        None => Err(fault(node.position, format!("{name} must be a duration such as 90, \"90s\" or \"1h30m\""))),
    }
}

/// A count of entries; none if it is zero.
fn read_limit(node: &Node) -> Result<Option<NonZeroU32>, ParseError> {
    let limit = match &node.value {
        Value::Integer(limit) => u32::try_from(*limit).ok(),
        Value::String(text) => text.parse().ok(),
        Value::Bool(_) | Value::Float(_) | Value::List(_) | Value::Null | Value::Object(_) => None,
    };
    match limit {
        Some(limit) => Ok(NonZeroU32::new(limit)),
        None => Err(fault(node.position, "pagination_limit must be a whole number from 0 to 4294967295")),
    }
}

/// A moment, as seconds since 1970 or RFC 3339, to the last UTC millisecond that is not after it.
pub fn moment(text: &str) -> Option<i64> {
    match text.parse::<i64>() {
        Ok(seconds) => seconds.checked_mul(1_000),
        Err(_) => text.parse::<jiff::Timestamp>().ok().and_then(floor_to_millisecond),
    }
}

/// A timestamp to the last UTC millisecond that is not after it; none if it is empty.
fn read_expiration(node: &Node) -> Result<Option<i64>, ParseError> {
    let millis = match &node.value {
        Value::Integer(seconds) => seconds.checked_mul(1_000),
        Value::String(text) if text.is_empty() => return Ok(None),
        Value::String(text) => moment(text),
        Value::Bool(_) | Value::Float(_) | Value::List(_) | Value::Null | Value::Object(_) => None,
    };
    match millis {
        Some(millis) => Ok(Some(millis)),
        None => Err(fault(node.position, "expiration must be a timestamp such as \"2030-01-31T12:00:00Z\"")),
    }
}

fn floor_to_millisecond(timestamp: jiff::Timestamp) -> Option<i64> {
    i64::try_from(timestamp.as_nanosecond().div_euclid(1_000_000)).ok()
}

fn attribute(item: &Item) -> Result<&Node, ParseError> {
    match item.labels.first() {
        None => Ok(&item.value),
        Some(label) => Err(fault(label.position, format!("{} takes no label", quoted(&item.key.name)))),
    }
}

fn string(node: &Node, name: &str) -> Result<String, ParseError> {
    match &node.value {
        Value::String(text) => Ok(text.clone()),
        other => Err(fault(node.position, format!("{name} must be a string, found {}", other.kind()))),
    }
}

fn strings<'a>(node: &'a Node, name: &str) -> Result<Vec<(Position, &'a str)>, ParseError> {
    let Value::List(nodes) = &node.value else {
        let found = node.value.kind();
        return Err(fault(node.position, format!("{name} must be a list of strings, found {found}")));
    };
    let text = |node: &'a Node| match &node.value {
        Value::String(text) => Ok((node.position, text.as_str())),
        other => Err(fault(node.position, format!("{name} must hold strings, found {}", other.kind()))),
    };
    nodes.iter().map(text).collect()
}

fn fault(position: Position, message: impl Into<String>) -> ParseError {
    SyntaxError::new(position, message).into()
}

#[cfg(test)]
mod tests;
