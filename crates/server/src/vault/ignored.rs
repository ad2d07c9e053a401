//! Warnings of what an endpoint passed over: parameters that it does not know, and those that its path had given.

use std::{collections::BTreeSet, sync::LazyLock};

use axum::{
    body::{Body as HttpBody, Bytes},
    response::Response,
};
use coffer_core::MountKind;

use super::{
    call::{VaultCall, Verb},
    envelope,
    lenient::Body,
};
use crate::error::{self, Success};

/// What is to be said of a request that was answered with `response`: `rest` is the path below the mount.
pub(crate) fn of_call(call: &VaultCall, response: &Response, kind: MountKind, rest: &str) -> Vec<String> {
    if response.status() != error::success(Success::Body) {
        return Vec::new();
    }
    let params = match call.verb {
        Verb::Patch | Verb::Write => call.sent_params(),
        Verb::Delete | Verb::List | Verb::Read | Verb::Scan => call.query_params(),
    };
    params.map(|params| warnings(kind, rest, params.names())).unwrap_or_default()
}

/// What is to be said of a request with this query.
pub(crate) fn of_query(query: Option<&str>, kind: MountKind, rest: &str) -> Vec<String> {
    let Ok(query) = Body::of_query(query) else { return Vec::new() };
    query.fields().map(|fields| warnings(kind, rest, fields.names())).unwrap_or_default()
}

/// The reply with more warnings, where it is an envelope.
pub(crate) async fn told(response: Response, warnings: Vec<String>) -> Response {
    let (parts, body) = response.into_parts();
    // A body of ours is one piece in memory already.
    let bytes: Bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let bytes = envelope::warned(&bytes, warnings).unwrap_or(bytes);
    Response::from_parts(parts, HttpBody::from(bytes))
}

/// What is to be said of a request with these parameters: their names, and whether the value of each is `null`.
pub(crate) fn warnings<'a>(kind: MountKind, rest: &str, sent: impl Iterator<Item = (&'a str, bool)>) -> Vec<String> {
    let path: Vec<&str> = rest.strip_suffix('/').unwrap_or(rest).split('/').collect();
    let mut endpoints = ENDPOINTS.iter().filter(|endpoint| section(kind) == endpoint.section);
    let Some(endpoint) = endpoints.find(|endpoint| fits(&endpoint.segments, &path)) else { return Vec::new() };
    let (mut ignored, mut replaced) = (BTreeSet::new(), BTreeSet::new());
    for (name, is_null) in sent {
        if endpoint.captures.contains(&name) {
            if !is_null {
                replaced.insert(name);
            }
        } else if !endpoint.fields.contains(&name) {
            ignored.insert(name);
        }
    }
    let list = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(" ");
    let mut warnings = Vec::new();
    if !ignored.is_empty() {
        warnings.push(format!("Endpoint ignored these unrecognized parameters: [{}]", list(ignored)));
    }
    if !replaced.is_empty() {
        warnings.push(format!(
            "Endpoint replaced the value of these parameters with the values captured from the endpoint's path: [{}]",
            list(replaced)
        ));
    }
    warnings
}

/// A line of the table.
struct Endpoint {
    section: &'static str,
    segments: Vec<Segment>,
    /// What the path gives.
    captures: Vec<&'static str>,
    fields: Vec<&'static str>,
}

/// A part of a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Segment {
    /// This text.
    Is(&'static str),
    /// One segment.
    One,
    /// Any number of them, none included.
    Rest,
}

impl Endpoint {
    fn parse(line: &'static str) -> Option<Self> {
        let (head, fields) = line.split_once(':')?;
        let (section, path) = head.split_once(' ')?;
        let mut captures = Vec::new();
        let segments =
            path.split('/').map(|segment| match segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) {
                None => Segment::Is(segment),
                Some(names) => {
                    let one = names.strip_suffix('*');
                    captures.extend(one.unwrap_or(names).split(','));
                    one.map_or(Segment::One, |_| Segment::Rest)
                }
            });
        let segments = segments.collect();
        Some(Self { section, segments, captures, fields: fields.split_whitespace().collect() })
    }
}

/// Whether segments are these; there is one [`Segment::Rest`] in a line at most.
fn fits(segments: &[Segment], path: &[&str]) -> bool {
    match (segments, path) {
        ([], []) => true,
        ([Segment::Rest, after @ ..], _) => {
            let tail = path.len().checked_sub(after.len()).and_then(|at| path.get(at..));
            tail.is_some_and(|tail| fits(after, tail))
        }
        ([Segment::Is(text), segments @ ..], [first, path @ ..]) => text == first && fits(segments, path),
        ([Segment::One, segments @ ..], [_, path @ ..]) => fits(segments, path),
        ([], [_, ..]) | ([Segment::Is(_) | Segment::One, ..], []) => false,
    }
}

/// The name of a kind in the table.
fn section(kind: MountKind) -> &'static str {
    match kind {
        MountKind::Approle => "approle",
        MountKind::Cubbyhole => "cubbyhole",
        MountKind::Generic | MountKind::KvV1 => "kv-v1",
        MountKind::Identity => "identity",
        MountKind::KvV2 => "kv-v2",
        MountKind::System => "system",
        MountKind::Token => "token",
        MountKind::Transit => "transit",
        MountKind::Userpass => "userpass",
    }
}

static ENDPOINTS: LazyLock<Vec<Endpoint>> = LazyLock::new(|| lines().filter_map(Endpoint::parse).collect());

/// The table's lines but for what it says of itself.
fn lines() -> impl Iterator<Item = &'static str> {
    TABLE.lines().filter(|line| !line.starts_with('#'))
}

const TABLE: &str = include_str!("fields.txt");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vault::lenient::Fields;

    fn told(kind: MountKind, rest: &str, body: &str) -> Vec<String> {
        warnings(kind, rest, Fields::parse(body.as_bytes()).unwrap().names())
    }

    #[test]
    fn table_is_whole() {
        assert_eq!(lines().filter(|line| Endpoint::parse(line).is_none()).collect::<Vec<_>>(), [""; 0]);
        let mut kinds: Vec<&str> = ENDPOINTS.iter().map(|endpoint| endpoint.section).collect();
        kinds.dedup();
        assert_eq!(
            kinds,
            ["kv-v2", "kv-v1", "cubbyhole", "approle", "userpass", "token", "identity", "system", "transit"]
        );
        for endpoint in ENDPOINTS.iter() {
            assert!(endpoint.segments.iter().filter(|segment| **segment == Segment::Rest).count() <= 1);
            let mut sorted = endpoint.fields.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!(endpoint.fields, sorted);
        }
    }

    #[test]
    fn unknown_and_captured_parameters_are_told_in_order() {
        assert_eq!(
            told(MountKind::KvV2, "data/a/b", r#"{"zz":null,"data":{},"path":"x","a b":1}"#),
            [
                "Endpoint ignored these unrecognized parameters: [a b zz]",
                "Endpoint replaced the value of these parameters with the values captured from the endpoint's path: [path]"
            ]
        );
        assert_eq!(told(MountKind::KvV2, "data/a", r#"{"data":{},"path":null}"#), [""; 0]);
        let tune = |body: &str| told(MountKind::System, "mounts/a/b/tune", body);
        assert_eq!(tune(r#"{"type":"kv"}"#), ["Endpoint ignored these unrecognized parameters: [type]"]);
        assert_eq!(told(MountKind::System, "mounts/a/b", r#"{"type":"kv"}"#), [""; 0]);
    }

    #[test]
    fn path_without_a_line_says_nothing() {
        for rest in ["nope", "", "data", "role/a/b/c"] {
            assert_eq!(told(MountKind::Approle, rest, r#"{"x":1}"#), [""; 0], "{rest}");
        }
        assert_eq!(told(MountKind::KvV1, "a/b", r#"{"x":1}"#).len(), 1);
        assert_eq!(told(MountKind::KvV2, "metadata/", r#"{"x":1}"#).len(), 1);
    }
}
