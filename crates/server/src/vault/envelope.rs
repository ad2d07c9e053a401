//! What the Vault dialect answers: the eight-key envelope, error bodies, keys injected at the top level.

use std::ops::Range;

use axum::response::Response;
use bytes::Bytes;
use serde::Serialize;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{lenient::Fields, wrapping::Carried};
use crate::error::{self, Success};

/// A body under construction: may hold values, so it is wiped when it is dropped, as is what is made of it.
pub(crate) type Buffer = Zeroizing<Vec<u8>>;

/// The top level of a reply.
#[derive(Default)]
pub(crate) struct Envelope {
    data: Option<Buffer>,
    auth: Option<Buffer>,
    warnings: Vec<String>,
    injected: Injected,
    carried: Option<Carried>,
}

/// Whether the keys of `data` are repeated at the top level, as old `sys` routes do.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub(crate) enum Injected {
    /// Only under `data`.
    #[default]
    No,
    /// In both places.
    TopLevel,
}

/// A successful login, creation or renewal, as clients expect it under `auth`.
#[derive(Serialize)]
pub(crate) struct Auth<'a> {
    pub(crate) client_token: &'a str,
    pub(crate) accessor: &'a str,
    pub(crate) policies: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(crate) token_policies: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(crate) identity_policies: &'a [String],
    pub(crate) metadata: Option<&'a std::collections::BTreeMap<String, String>>,
    pub(crate) lease_duration: i64,
    pub(crate) renewable: bool,
    pub(crate) entity_id: String,
    pub(crate) token_type: &'static str,
    pub(crate) orphan: bool,
    pub(crate) mfa_requirement: Option<()>,
    pub(crate) num_uses: i64,
}

/// How a wrapped reply is announced.
#[derive(Serialize)]
pub(crate) struct WrapBlock<'a> {
    pub(crate) token: &'a str,
    pub(crate) accessor: &'a str,
    pub(crate) ttl: u64,
    pub(crate) creation_time: &'a str,
    pub(crate) creation_path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wrapped_accessor: Option<&'a str>,
}

impl Envelope {
    /// A reply with `data`.
    pub(crate) fn data(data: &impl Serialize) -> Self {
        Self { data: Some(to_json(data)), ..Self::default() }
    }

    /// A reply with `auth`.
    pub(crate) fn auth(auth: &Auth<'_>) -> Self {
        let carried = (!auth.accessor.is_empty()).then(|| Carried::Token(auth.accessor.to_owned()));
        Self { auth: Some(to_json(auth)), carried, ..Self::default() }
    }

    /// A reply that only warns.
    pub(crate) fn warning(text: impl Into<String>) -> Self {
        Self { warnings: vec![text.into()], ..Self::default() }
    }

    /// Adds warnings.
    #[must_use]
    pub(crate) fn with_warnings(mut self, warnings: Vec<String>) -> Self {
        self.warnings.extend(warnings);
        self
    }

    /// Repeats the keys of `data` at the top level.
    #[must_use]
    pub(crate) fn injected(mut self) -> Self {
        self.injected = Injected::TopLevel;
        self
    }

    /// Says what the reply hands out beside a token, for whom it is wrapped.
    #[must_use]
    pub(crate) fn carrying(mut self, accessor: String) -> Self {
        self.carried = Some(Carried::Other(accessor));
        self
    }

    /// Without keys at the top level, as a reply is wrapped.
    #[must_use]
    pub(crate) fn without_injection(mut self) -> Self {
        self.injected = Injected::No;
        self
    }

    /// What the reply hands out.
    pub(crate) fn carried(&self) -> Option<&Carried> {
        self.carried.as_ref()
    }

    /// Only the JSON of `data`.
    pub(crate) fn into_data(self) -> Buffer {
        self.data.unwrap_or_default()
    }

    /// A successful reply outside an authenticated call: a login's.
    pub(crate) fn reply(self, request_id: Uuid) -> Response {
        let carried = self.carried.clone();
        let mut response = error::respond(error::success(Success::Body), error::JSON, self.body(request_id));
        if let Some(carried) = carried {
            response.extensions_mut().insert(carried);
        }
        response
    }

    /// The body.
    pub(crate) fn body(self, request_id: Uuid) -> Bytes {
        let (data, auth) = (self.data.as_deref(), self.auth.as_deref());
        let data = data.map_or(&b"null"[..], |data| data.as_slice());
        let auth = auth.map_or(&b"null"[..], |auth| auth.as_slice());
        let warnings = match self.warnings.as_slice() {
            [] => to_json(&()),
            some => to_json(&some),
        };
        let inner = match self.injected {
            Injected::No => &[][..],
            Injected::TopLevel => members(data),
        };
        let mut out =
            Zeroizing::new(Vec::with_capacity(FIXED + data.len() + inner.len() + auth.len() + warnings.len()));
        out.push(b'{');
        if !inner.is_empty() {
            out.extend_from_slice(inner);
            out.push(b',');
        }
        open(&mut out, request_id, 0);
        out.extend_from_slice(data);
        out.extend_from_slice(br#","wrap_info":null,"warnings":"#);
        out.extend_from_slice(&warnings);
        out.extend_from_slice(br#","auth":"#);
        out.extend_from_slice(auth);
        out.push(b'}');
        wiped(out)
    }
}

/// A body around data that `fill` appends as JSON: the hot path, one buffer, nothing parsed. `size` is a bound on
/// what `fill` appends; where it holds, nothing is copied twice.
pub(crate) fn spliced(request_id: Uuid, size: usize, fill: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    spliced_lease(request_id, 0, size, fill)
}

/// As [`spliced`], with a lease of so many seconds.
pub(crate) fn spliced_lease(request_id: Uuid, lease: i64, size: usize, fill: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut out = Zeroizing::new(Vec::with_capacity(FIXED + size));
    out.push(b'{');
    open(&mut out, request_id, lease);
    fill(&mut out);
    out.extend_from_slice(br#","wrap_info":null,"warnings":null,"auth":null}"#);
    wiped(out)
}

/// An enveloped body with more warnings at its end; `None` where it is no such body.
pub(crate) fn warned(body: &[u8], more: Vec<String>) -> Option<Bytes> {
    let fields = Fields::parse(body).ok()?;
    let mut warnings: Vec<String> =
        serde_json::from_str::<Option<_>>(fields.raw("warnings")?.get()).ok()?.unwrap_or_default();
    let room = more.iter().map(|text| 6 * text.len() + 3).sum::<usize>();
    warnings.extend(more);
    let mut out = Zeroizing::new(Vec::with_capacity(body.len() + room));
    for (name, raw) in fields.iter() {
        let before = if out.is_empty() { b'{' } else { b',' };
        out.push(before);
        out.extend_from_slice(&to_json(&name));
        out.push(b':');
        match name {
            "warnings" => out.extend_from_slice(&to_json(&warnings)),
            _ => out.extend_from_slice(raw.get().as_bytes()),
        }
    }
    out.push(b'}');
    Some(wiped(out))
}

/// As [`spliced`], with a warning.
pub(crate) fn spliced_warned(request_id: Uuid, warning: &str, size: usize, fill: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let warnings = to_json(&[warning]);
    let mut out = Zeroizing::new(Vec::with_capacity(FIXED + size + warnings.len()));
    out.push(b'{');
    open(&mut out, request_id, 0);
    fill(&mut out);
    out.extend_from_slice(br#","wrap_info":null,"warnings":"#);
    out.extend_from_slice(&warnings);
    out.extend_from_slice(br#","auth":null}"#);
    wiped(out)
}

/// The reply in place of one that was wrapped.
pub(crate) fn wrapped(block: &WrapBlock<'_>) -> Bytes {
    let block = to_json(block);
    let mut out = Zeroizing::new(Vec::with_capacity(FIXED + block.len()));
    out.extend_from_slice(
        br#"{"request_id":"","lease_id":"","renewable":false,"lease_duration":0,"data":null,"wrap_info":"#,
    );
    out.extend_from_slice(&block);
    out.extend_from_slice(br#","warnings":null,"auth":null}"#);
    wiped(out)
}

/// Where the id of the request stands in an enveloped body; `None` where it is no such body.
pub(crate) fn request_id_at(body: &str) -> Option<Range<usize>> {
    let rest = body.strip_prefix(OPENING)?;
    let id = rest.get(..uuid::fmt::Hyphenated::LENGTH)?;
    Uuid::try_parse(id).ok()?;
    Some(OPENING.len()..OPENING.len() + id.len())
}

/// An error body; without a message the list is empty, which clients read as "absent".
pub(crate) fn errors(message: Option<&str>) -> Bytes {
    match message {
        None => Bytes::from_static(br#"{"errors":[]}"#),
        Some(message) => {
            let mut out = br#"{"errors":["#.to_vec();
            out.extend_from_slice(&to_json(&message));
            out.extend_from_slice(b"]}");
            Bytes::from(out)
        }
    }
}

/// A bare object, for the routes that have no envelope.
pub(crate) fn bare(object: &impl Serialize) -> Bytes {
    wiped(to_json(object))
}

/// A body that is wiped once the last reader has dropped it.
pub(crate) fn wiped(buffer: Buffer) -> Bytes {
    Bytes::from_owner(buffer)
}

fn open(out: &mut Vec<u8>, request_id: Uuid, lease: i64) {
    let mut text = Uuid::encode_buffer();
    out.extend_from_slice(br#""request_id":""#);
    out.extend_from_slice(request_id.hyphenated().encode_lower(&mut text).as_bytes());
    out.extend_from_slice(br#"","lease_id":"","renewable":false,"lease_duration":"#);
    match lease {
        0 => out.push(b'0'),
        lease => out.extend_from_slice(lease.to_string().as_bytes()),
    }
    out.extend_from_slice(br#","data":"#);
}

/// The text between the braces of an object; nothing for anything else.
fn members(object: &[u8]) -> &[u8] {
    object.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")).unwrap_or_default()
}

fn to_json(value: &impl Serialize) -> Buffer {
    let mut out = Zeroizing::new(Vec::with_capacity(256));
    if serde_json::to_writer(&mut *out, value).is_err() {
        // Only a map with keys that are no strings, or a failing writer: neither exists here.
        out.clear();
        out.extend_from_slice(b"null");
    }
    out
}

/// How every enveloped body without injected keys begins.
const OPENING: &str = r#"{"request_id":""#;
/// Room for the envelope's own text.
const FIXED: usize = 192;

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const KEYS: [&str; 8] =
        ["auth", "data", "lease_duration", "lease_id", "renewable", "request_id", "warnings", "wrap_info"];

    fn parsed(body: &Bytes) -> Value {
        serde_json::from_slice(body).unwrap()
    }

    #[test]
    fn envelope_has_exactly_its_eight_keys() {
        let id = Uuid::from_u128(7);
        for envelope in [Envelope::default(), Envelope::data(&json!({"a": 1})), Envelope::warning("w")] {
            let body = parsed(&envelope.body(id));
            assert_eq!(body.as_object().unwrap().keys().collect::<Vec<_>>(), KEYS);
            assert_eq!(body["request_id"], "00000000-0000-0000-0000-000000000007");
            assert_eq!(
                (&body["lease_id"], &body["renewable"], &body["lease_duration"]),
                (&json!(""), &json!(false), &json!(0))
            );
        }
        let body = parsed(&Envelope::warning("w").with_warnings(vec!["v\"".into()]).body(id));
        assert_eq!((&body["data"], &body["warnings"]), (&Value::Null, &json!(["w", "v\""])));
    }

    #[test]
    fn injected_keys_stand_in_both_places() {
        let body = parsed(&Envelope::data(&json!({"keys": ["a"], "x": {}})).injected().body(Uuid::nil()));
        assert_eq!(body["keys"], body["data"]["keys"]);
        assert_eq!(body["x"], json!({}));
        assert_eq!(body.as_object().unwrap().len(), 10);
        let empty = parsed(&Envelope::data(&json!({})).injected().body(Uuid::nil()));
        assert_eq!(empty.as_object().unwrap().len(), 8);
        let none = parsed(&Envelope::default().injected().body(Uuid::nil()));
        assert_eq!(none.as_object().unwrap().len(), 8);
    }

    #[test]
    fn spliced_body_is_the_enveloped_one() {
        let data = br#"{"data":{"a":1e400},"metadata":{}}"#;
        let body = spliced(Uuid::from_u128(9), data.len(), |out| out.extend_from_slice(data));
        let raw: &serde_json::value::RawValue = serde_json::from_slice(data).unwrap();
        assert_eq!(body, Envelope::data(&raw).body(Uuid::from_u128(9)));
        assert!(FIXED >= spliced(Uuid::nil(), 0, |_| ()).len());
    }

    #[test]
    fn auth_block_has_its_keys_and_omits_empty_identity_policies() {
        let auth = Auth {
            client_token: "t",
            accessor: "",
            policies: &[],
            token_policies: &[],
            identity_policies: &[],
            metadata: None,
            lease_duration: 5,
            renewable: true,
            entity_id: String::new(),
            token_type: "service",
            orphan: false,
            mfa_requirement: None,
            num_uses: 0,
        };
        let body = parsed(&Envelope::auth(&auth).body(Uuid::nil()));
        assert_eq!(
            body["auth"],
            json!({"client_token": "t", "accessor": "", "policies": [], "metadata": null,
                "lease_duration": 5, "renewable": true, "entity_id": "", "token_type": "service", "orphan": false,
                "mfa_requirement": null, "num_uses": 0})
        );
    }

    #[test]
    fn errors_are_a_list_even_if_empty() {
        assert_eq!(errors(None), r#"{"errors":[]}"#);
        assert_eq!(parsed(&errors(Some("a \"b\"\n"))), json!({"errors": ["a \"b\"\n"]}));
    }
}
