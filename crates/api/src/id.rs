//! Names and scopes, parsed once at the edge.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An entity's id.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String)]
pub struct EntityId(pub uuid::Uuid);

/// `project[:environment[:service]]`, each segment `[a-z0-9][a-z0-9_-]{0,62}`.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "acme:prod:api")]
pub struct Scope(Vec<String>);

/// A native secret's name: one segment `[A-Za-z_][A-Za-z0-9_.-]{0,127}`.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "DATABASE_URL")]
pub struct Name(String);

/// What was wrong with a scope or a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParseError(String);

/// One page of a list.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items, in order.
    pub items: Vec<T>,
    /// Pass as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Scope {
    /// The segments, one to three.
    pub fn segments(&self) -> &[String] {
        &self.0
    }

    /// The path below the mount: `acme/prod/api`.
    pub fn path(&self) -> String {
        self.0.join("/")
    }

    /// The scope one level up, `None` for a project.
    pub fn parent(&self) -> Option<Self> {
        match self.0.split_last() {
            Some((_, rest)) if !rest.is_empty() => Some(Self(rest.to_vec())),
            Some(_) | None => None,
        }
    }

    /// The scope that takes this one's place in another environment, which is one segment.
    pub(crate) fn in_environment(&self, environment: &str) -> Self {
        let project = self.0.iter().take(1).map(String::as_str);
        let service = self.0.iter().skip(2).map(String::as_str);
        Self(project.chain([environment]).chain(service).map(str::to_owned).collect())
    }

    /// A scope from a path of one to three segments below the mount.
    ///
    /// # Errors
    /// Where a segment is not a scope's.
    pub fn from_path(path: &str) -> Result<Self, ParseError> {
        Self::from_segments(path.split('/'))
    }

    fn from_segments<'a>(segments: impl Iterator<Item = &'a str>) -> Result<Self, ParseError> {
        let segments: Vec<String> = segments.take(4).map(str::to_owned).collect();
        if segments.len() > 3 {
            return Err(ParseError("a scope is project[:environment[:service]], at most three segments".into()));
        }
        match segments.iter().find(|segment| !is_segment(segment)) {
            Some(bad) => Err(ParseError(format!(
                "scope segment {bad:?} is not 1 to 63 of a-z, 0-9, '_', '-', starting with a letter or digit"
            ))),
            None => Ok(Self(segments)),
        }
    }
}

impl ParseError {
    /// Never with the text itself, where that may be a value.
    pub(crate) fn new(what: &str) -> Self {
        Self(what.to_owned())
    }
}

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Scope {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::from_segments(text.split(':'))
    }
}

impl FromStr for Name {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let mut bytes = text.bytes();
        let starts = bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
        if starts && text.len() <= 128 && bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')) {
            return Ok(Self(text.to_owned()));
        }
        Err(ParseError(format!(
            "name {:?} is not 1 to 128 of A-Z, a-z, 0-9, '_', '.', '-', starting with a letter or '_'",
            text.chars().take(160).collect::<String>()
        )))
    }
}

impl TryFrom<String> for Scope {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl TryFrom<String> for Name {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.0.join(":")
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(":"))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseError {}

fn is_segment(segment: &str) -> bool {
    let mut bytes = segment.bytes();
    segment.len() <= 63
        && bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scope_of_one_to_three_segments_parses() {
        for good in ["acme", "acme:prod", "acme:prod:api", "a", "0-_:x"] {
            assert_eq!(good.parse::<Scope>().unwrap().to_string(), good);
        }
        let long = "a".repeat(64);
        for bad in ["", ":", "acme:", "a:b:c:d", "Acme", "a/b", "-a", "_a", "a:..", &long] {
            assert!(bad.parse::<Scope>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn name_outside_its_alphabet_is_refused() {
        for good in ["A", "_x", "DATABASE_URL", "tls.key-1"] {
            assert_eq!(good.parse::<Name>().unwrap().as_str(), good);
        }
        let long = "a".repeat(129);
        for bad in ["", "1a", "a b", "a/b", "-a", "ä", "..", &long] {
            assert!(bad.parse::<Name>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn parent_of_service_is_environment() {
        let scope: Scope = "acme:prod:api".parse().unwrap();
        assert_eq!(scope.parent().unwrap().to_string(), "acme:prod");
        assert!(scope.parent().unwrap().parent().unwrap().parent().is_none());
    }
}
