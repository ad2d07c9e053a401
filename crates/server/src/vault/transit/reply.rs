//! Answers that hold what was asked for: one result, or one for each item of a list.

use axum::{http::StatusCode, response::Response};
use coffer_core::{FaultKind, KeyFault};
use serde::Serialize;

use super::super::{call::VaultCall, envelope};
use crate::error::{self, Success};

/// Results of a list, in its order.
#[derive(Serialize)]
pub(super) struct Batch<T> {
    pub(super) batch_results: Vec<T>,
}

/// Why an item was not encrypted or rewrapped.
#[derive(Serialize)]
pub(super) struct UnencryptedLine<'a> {
    pub(super) error: String,
    pub(super) reference: &'a str,
}

/// Why an item was not decrypted.
#[derive(Serialize)]
pub(super) struct UndecryptedLine<'a> {
    pub(super) plaintext: &'static str,
    pub(super) error: String,
    pub(super) reference: &'a str,
}

/// What became of an item that was signed.
#[derive(Serialize)]
pub(super) struct SignedLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) signature: Option<&'a str>,
    pub(super) key_version: u32,
    /// In lists it has this name.
    #[serde(rename = "publickey", skip_serializing_if = "Option::is_none")]
    pub(super) public_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    pub(super) reference: &'a str,
}

/// What became of an item whose signature or HMAC was checked.
#[derive(Serialize)]
pub(super) struct VerifiedLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) valid: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    pub(super) reference: &'a str,
}

/// What became of an item of which an HMAC was made.
#[derive(Serialize)]
pub(super) struct HmacLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hmac: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    pub(super) reference: &'a str,
}

/// How many items of a list failed, and what is answered then.
#[derive(Default)]
pub(super) struct Failures {
    pub(super) succeeded: usize,
    failed: usize,
    internal: usize,
}

impl Failures {
    /// Counts an item that failed.
    pub(super) fn count(&mut self, fault: &KeyFault) {
        self.failed += 1;
        self.internal += usize::from(fault.kind() == FaultKind::Internal);
    }

    /// The status of the list, and what is wrong with the one that the client wants where some items failed.
    pub(super) fn status(&self, wanted: Option<i64>) -> (StatusCode, Option<&'static str>) {
        if self.failed == 0 {
            return (error::success(Success::Body), None);
        }
        let usual = if self.internal > 0 { error::failed_items() } else { error::malformed() };
        match wanted {
            Some(code) if self.succeeded > 0 => match error::requested(code) {
                Some(status) => (status, None),
                None => (usual, Some(INVALID_CODE)),
            },
            Some(_) | None => (usual, None),
        }
    }
}

/// A reply in one buffer, which `size` bytes of data fill at most: nothing of it is copied about.
pub(super) fn answer(call: &VaultCall, size: usize, data: &impl Serialize) -> Response {
    answer_as(call, error::success(Success::Body), None, size, data)
}

/// As [`answer`], with a status and perhaps a warning.
pub(super) fn answer_as(
    call: &VaultCall,
    status: StatusCode,
    warning: Option<&'static str>,
    size: usize,
    data: &impl Serialize,
) -> Response {
    answer_filled(call, status, warning, size, |out| append(out, data))
}

/// As [`answer_as`], with data that `fill` appends as JSON.
pub(super) fn answer_filled(
    call: &VaultCall,
    status: StatusCode,
    warning: Option<&'static str>,
    size: usize,
    fill: impl FnOnce(&mut Vec<u8>),
) -> Response {
    let body = match warning {
        None => envelope::spliced(call.id, size, fill),
        Some(warning) => envelope::spliced_warned(call.id, warning, size, fill),
    };
    error::respond(status, error::JSON, body)
}

/// Appends any value.
pub(super) fn append(out: &mut Vec<u8>, data: &impl Serialize) {
    serde_json::to_writer(out, data).expect("structs of strings always serialise into a Vec");
}

/// Appends a member whose text is base64 or what stands before that in this engine's texts: nothing in it is looked at, as
/// nothing in it would be escaped.
pub(super) fn append_text(out: &mut Vec<u8>, opening: &'static str, text: &str) {
    debug_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=:-_".contains(&byte)), "not plain");
    out.extend_from_slice(opening.as_bytes());
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Appends the results of a list, each by `line`.
pub(super) fn append_results<T>(
    out: &mut Vec<u8>,
    results: impl Iterator<Item = T>,
    mut line: impl FnMut(&mut Vec<u8>, T),
) {
    out.extend_from_slice(br#"{"batch_results":["#);
    for (at, result) in results.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        line(out, result);
    }
    out.extend_from_slice(b"]}");
}

/// Room for a string in JSON, whatever has to be escaped.
pub(super) fn room(text: &str) -> usize {
    text.len() * 6 + ROOM
}

/// Room for the keys and the numbers of one result.
pub(super) const ROOM: usize = 96;
const INVALID_CODE: &str = "invalid HTTP response code override from partial_failure_response_code, reverting to 400";
