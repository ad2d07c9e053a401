//! Entry points for tests that send anything: `make fuzz` and the property tests call the same ones. Each takes bytes as
//! they come and panics where what must hold for any input does not.

use std::path::Path;

use coffer_api::reference::{self, Address, Part};
use coffer_core::policy::{Acl, Operation, Policy, Request, Subject};
use serde_json::{Value, value::RawValue};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    config::{Config, Host, Overrides},
    vault::{
        envelope::{self, Auth, Envelope},
        lenient::{Body, Fields, decode_percent},
    },
};

/// Policies in HCL and JSON: what parses can be asked about any path, and why is told as it is decided.
pub fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(policy) = Policy::parse("fuzz", text) else { return };
    let acl = Acl::compile([&policy], &Subject::default());
    let paths = text.split(['"', '\n', ' ']).filter(|path| !path.is_empty()).take(8);
    for path in paths.chain(["", "/", "secret/data/a", "sys/auth/x/"]) {
        for operation in Operation::ALL {
            let request = Request { path, operation, parameters: &(), wrap_ttl: None, now: 0 };
            let decision = acl.check(&request);
            assert_eq!(acl.explain(&request).decision, decision, "{operation} {path:?}");
        }
    }
}

/// References in values: what is taken apart is all that there was, in its order, and each reference is one by itself.
pub fn reference(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let mut at = text;
    let mut holds_one = false;
    for part in reference::parts(text) {
        let piece = match &part {
            Part::Reference(reference) => reference.written,
            Part::Text(text) => text,
        };
        assert!(!piece.is_empty(), "a part of nothing");
        // A dollar goes where two of them say that no reference follows.
        let rest =
            at.strip_prefix(piece).or_else(|| at.strip_prefix('$').filter(|_| piece == "${")?.strip_prefix(piece));
        at = rest.expect("parts follow each other without a gap");
        if let Part::Reference(found) = part {
            holds_one = true;
            let alone: Vec<Part<'_>> = reference::parts(found.written).collect();
            assert_eq!(alone, [Part::Reference(found)], "a reference is another one by itself");
        }
    }
    assert!(at.is_empty(), "the end is lost");
    assert_eq!(reference::is_in(text), holds_one, "two ways to look for references");
    assert!(!(reference::is_literal(text) && holds_one), "a reference in a text that is said to hold none");
    let mut from = 0;
    while let Some((start, end, address)) = reference::next_address(text, from) {
        assert!(start >= from && end > start, "it does not go on");
        assert_eq!(text.get(start..end).and_then(|text| text.parse::<Address>().ok()).as_ref(), Some(&address));
        assert_eq!(
            address.to_string().parse::<Address>().as_ref(),
            Ok(&address),
            "an address is another one when shown"
        );
        from = end;
    }
}

/// Bodies and queries of the Vault dialect, and every way in which their fields are read.
pub fn lenient(bytes: &[u8]) {
    let form = Some("application/x-www-form-urlencoded");
    for declared in [None, form] {
        if let Ok(body) = Body::of_write(Zeroizing::new(bytes.to_vec()), declared)
            && let Ok(fields) = body.fields()
        {
            read(&fields);
        }
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(body) = Body::of_query(Some(text)) {
        read(&body.fields().expect("a query makes an object"));
    }
    if let Some(decoded) = decode_percent(text) {
        assert!(decoded.len() <= text.len(), "an escape is longer than what it stands for");
    }
}

fn read(fields: &Fields<'_>) {
    for field in ["a", "ttl", "data", "options", "versions"] {
        let _ = (fields.text(field), fields.boolean(field), fields.integer(field), fields.duration(field));
        let _ = (fields.list(field), fields.integers(field), fields.map(field));
        if let Ok(Some(inner)) = fields.object(field) {
            assert!(inner.iter().all(|(key, _)| inner.raw(key).is_some()), "a key that is there is not found");
        }
    }
}

/// Replies of the Vault dialect: whatever is put into one, it is JSON with the eight keys, and the data comes back as it
/// was written.
pub fn envelope(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    // A lone half of a surrogate pair, escaped, comes back as it was written, and not every reader takes that.
    let is_readable = serde_json::from_str::<Value>(&text).is_ok();
    let data = serde_json::from_str::<&RawValue>(&text).ok().filter(|_| is_readable).unwrap_or(RawValue::NULL);
    let auth = Auth {
        client_token: &text,
        accessor: &text,
        policies: &[],
        token_policies: &[],
        identity_policies: &[],
        metadata: None,
        lease_duration: 1,
        renewable: false,
        entity_id: String::new(),
        token_type: "service",
        orphan: true,
        mfa_requirement: None,
        num_uses: 0,
    };
    let replies = [
        Envelope::data(&data),
        Envelope::data(&data).injected(),
        Envelope::data(&data).with_warnings(vec![text.to_string()]),
        Envelope::auth(&auth),
        Envelope::warning(text.as_ref()),
    ];
    for reply in replies {
        let body = reply.body(Uuid::nil());
        let parsed: Value = serde_json::from_slice(&body).expect("a reply is JSON");
        let keys = ["auth", "data", "lease_duration", "lease_id", "renewable", "request_id", "warnings", "wrap_info"];
        assert!(keys.iter().all(|key| parsed.get(key).is_some()), "a reply lacks one of its keys");
    }
    let spliced = envelope::spliced(Uuid::nil(), data.get().len(), |out| out.extend_from_slice(data.get().as_bytes()));
    assert_eq!(spliced, Envelope::data(&data).body(Uuid::nil()), "two ways to the same reply");
    let errors: Value = serde_json::from_slice(&envelope::errors(Some(&text))).expect("an error is JSON");
    assert_eq!(errors.pointer("/errors/0").and_then(Value::as_str), Some(text.as_ref()), "an error keeps its text");
}

/// Configuration files in each of their languages, which their names tell; `directory` is for the files.
pub fn configuration(bytes: &[u8], directory: &Path) {
    for name in ["fuzz.toml", "fuzz.hcl", "fuzz.json"] {
        let file = directory.join(name);
        std::fs::write(&file, bytes).expect("the directory is writable");
        let host = Host { is_root: false, home: None, temp: directory.to_owned() };
        if let Err(error) = Config::load(Some(&file), Overrides::default(), &host) {
            assert!(!error.to_string().is_empty(), "an error without a text");
        }
    }
}
