//! One audit record: who did what to what, from where, with which outcome, as canonical JSON (RFC 8785; integers
//! and strings only). It never holds a value: sensitive ones appear as keyed hashes. docs/AUDIT.md has the schema.

use std::{io::Write, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use coffer_api::Code;
use uuid::Uuid;

use crate::{Context, Error, commit::Urgency};

/// Bytes of changes in one entry of the log (an entry holds at most 65,535); more are split over several entries
/// of one commit.
const CHANGES_PER_ENTRY: usize = 36_000;

/// How a request ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    Denied,
    Error,
    Success,
}

/// Who acted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Actor {
    /// `user`, `machine`, `system`, `local` or `anonymous`.
    pub(crate) kind: &'static str,
    /// Entity id, where there is one.
    pub(crate) id: Option<String>,
    /// Display name.
    pub(crate) name: Option<String>,
    /// Login path.
    pub(crate) auth: Option<String>,
    /// The token's accessor.
    pub(crate) accessor: Option<String>,
}

/// A keyed hash of a value, with the number of the key.
#[derive(Clone, Debug)]
pub(crate) struct ValueHash {
    pub(crate) kid: u32,
    pub(crate) hmac: [u8; 32],
}

/// One change to the store: the key, and the SHA-256 of the sealed entry, or `None` where it was deleted.
#[derive(Clone, Debug)]
pub(crate) struct ChangeDigest {
    pub(crate) key: String,
    pub(crate) digest: Option<[u8; 32]>,
    /// When the row may vanish without a record (tokens), UTC milliseconds.
    pub(crate) expires: Option<i64>,
}

/// A record before it is an entry.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// Class and verb, as `secret.read`.
    pub(crate) class: &'static str,
    pub(crate) outcome: Outcome,
    pub(crate) code: Option<Code>,
    pub(crate) actor: Arc<Actor>,
    pub(crate) request: Option<Arc<Context>>,
    /// Logical path, as policies speak of it.
    pub(crate) path: String,
    pub(crate) version: Option<u64>,
    pub(crate) value: Option<ValueHash>,
    /// Free facts of the class, sorted by key by the writer: counts, names, reasons. Never values.
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) changes: Vec<ChangeDigest>,
}

/// An entry of the log but for the revision, which only the commit knows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Encoded {
    json: Vec<u8>,
    /// Where `"rev":N,` goes.
    revision_at: usize,
}

impl Record {
    /// A record of what the server did by itself.
    pub(crate) fn system(class: &'static str) -> Self {
        Self {
            class,
            outcome: Outcome::Success,
            code: None,
            actor: Arc::new(Actor { kind: "system", ..Actor::default() }),
            request: None,
            path: String::new(),
            version: None,
            value: None,
            facts: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// A record of a request.
    pub(crate) fn of_request(class: &'static str, path: String, actor: Actor, cx: &Context) -> Self {
        Self::of_caller(class, path, Arc::new(actor), Arc::new(cx.clone()))
    }

    /// A record of a request by somebody who makes more than one.
    pub(crate) fn of_caller(class: &'static str, path: String, actor: Arc<Actor>, cx: Arc<Context>) -> Self {
        Self {
            class,
            outcome: Outcome::Success,
            code: None,
            actor,
            request: Some(cx),
            path,
            version: None,
            value: None,
            facts: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// Whether the request goes on when the disk is nearly full.
    pub(crate) fn urgency(&self) -> Urgency {
        match self.class {
            "key.compromise" | "key.deactivate" | "key.disable" | "key.suspend" | "system.seal" | "token.revoke" => {
                Urgency::Essential
            }
            _ => Urgency::Ordinary,
        }
    }

    /// Adds a fact.
    #[must_use]
    pub(crate) fn fact(mut self, key: &'static str, value: impl Into<String>) -> Self {
        self.facts.push((key, value.into()));
        self
    }

    /// Marks the record as that of a failed request.
    pub(crate) fn fail(&mut self, error: &Error) {
        self.code = Some(error.code());
        self.outcome = match error.code() {
            Code::Denied | Code::Unauthenticated | Code::InvalidCredentials => Outcome::Denied,
            _ => Outcome::Error,
        };
    }

    /// The log's entries for this record: one, or several where the changes are many.
    pub(crate) fn encode(&self, node: &str, now_ms: i64) -> Vec<Encoded> {
        let mut parts = Vec::new();
        let mut rest = self.changes.as_slice();
        loop {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|change| {
                bytes += change.key.len() * 2 + 160;
                bytes <= CHANGES_PER_ENTRY
            });
            let (part, after) = rest.split_at(fits.count());
            parts.push(self.encode_part(node, now_ms, part));
            rest = after;
            if rest.is_empty() {
                return parts;
            }
        }
    }

    fn encode_part(&self, node: &str, now_ms: i64, changes: &[ChangeDigest]) -> Encoded {
        let mut w = Writer { out: Vec::with_capacity(512 + changes.len() * 120) };
        w.raw("{\"act\":");
        w.string(self.class.rsplit('.').next().unwrap_or(self.class));
        w.raw(",\"actor\":{");
        let mut first = true;
        w.field(&mut first, "accessor", self.actor.accessor.as_deref());
        w.field(&mut first, "auth", self.actor.auth.as_deref());
        w.field(&mut first, "id", self.actor.id.as_deref());
        w.field(&mut first, "name", self.actor.name.as_deref());
        w.field(&mut first, "type", Some(self.actor.kind));
        w.raw("}");
        if !changes.is_empty() {
            w.raw(",\"changes\":[");
            for (i, change) in changes.iter().enumerate() {
                w.raw(if i == 0 { "{" } else { ",{" });
                let mut first = true;
                if let Some(digest) = &change.digest {
                    w.field(&mut first, "digest", Some(&URL_SAFE_NO_PAD.encode(digest)));
                }
                if let Some(expires) = change.expires {
                    w.field(&mut first, "expires", Some(&expires.to_string()));
                }
                w.field(&mut first, "key", Some(&change.key));
                w.raw("}");
            }
            w.raw("]");
        }
        w.raw(",\"cls\":");
        w.string(self.class);
        if let Some(code) = self.code {
            w.raw(",\"code\":");
            w.json(&code);
        }
        if !self.facts.is_empty() {
            let mut facts = self.facts.clone();
            facts.sort_by_key(|(key, _)| *key);
            w.raw(",\"facts\":{");
            let mut first = true;
            for (key, value) in &facts {
                w.field(&mut first, key, Some(clip(value, 1024)));
            }
            w.raw("}");
        }
        w.raw(",\"id\":\"");
        let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
        w.raw(Uuid::now_v7().as_hyphenated().encode_lower(&mut id));
        w.raw("\",\"node\":");
        w.string(node);
        w.raw(",\"out\":");
        w.string(match self.outcome {
            Outcome::Denied => "denied",
            Outcome::Error => "error",
            Outcome::Success => "success",
        });
        if let Some(request) = &self.request {
            w.raw(",\"req\":{");
            if !request.headers.is_empty() {
                w.raw("\"headers\":{");
                let mut first = true;
                for (name, value) in &request.headers {
                    w.field(&mut first, name, Some(value));
                }
                w.raw("},");
            }
            w.raw("\"id\":\"");
            w.raw(request.request_id.as_hyphenated().encode_lower(&mut id));
            w.raw("\",\"method\":");
            w.string(request.method);
            w.raw(",\"path\":");
            w.string(clip(&request.path, 2048));
            w.raw("}");
        }
        w.raw(",\"res\":{");
        let mut first = true;
        if let Some(value) = &self.value {
            w.field(&mut first, "hmac", Some(&URL_SAFE_NO_PAD.encode(value.hmac)));
            w.raw(",\"hmac_kid\":");
            w.integer(u64::from(value.kid));
        }
        w.field(&mut first, "path", Some(clip(&self.path, 2048)));
        if let Some(version) = self.version {
            w.raw(",\"ver\":");
            w.integer(version);
        }
        w.raw("},");
        let revision_at = w.out.len();
        if let Some(request) = &self.request {
            w.raw("\"src\":{");
            let mut first = true;
            if let Some(remote) = request.remote {
                w.raw("\"ip\":\"");
                w.display(&remote.ip());
                w.raw("\"");
                first = false;
                w.raw(",\"port\":");
                w.integer(u64::from(remote.port()));
            }
            w.field(&mut first, "ua", request.user_agent.as_deref().map(|agent| clip(agent, 256)));
            if let Some(uid) = request.local_uid {
                w.raw(if first { "\"uid\":" } else { ",\"uid\":" });
                w.integer(u64::from(uid));
            }
            w.raw("},");
        }
        w.raw("\"t\":\"");
        w.json(&now_ms);
        w.raw("000000\",\"v\":1}");
        Encoded { json: w.out, revision_at }
    }
}

impl Encoded {
    /// The entry of a record that changed nothing.
    pub(crate) fn into_entry(self) -> Vec<u8> {
        self.json
    }

    /// The entry of a committed change.
    pub(crate) fn with_revision(&self, revision: u64) -> Vec<u8> {
        let (head, tail) = self.json.split_at(self.revision_at.min(self.json.len()));
        [head, format!("\"rev\":{revision},").as_bytes(), tail].concat()
    }

    /// As an outbox row holds it: where the revision goes (u32, big-endian), the length (u32), the text.
    pub(crate) fn write_to(&self, out: &mut Vec<u8>) {
        let at = u32::try_from(self.revision_at).unwrap_or(u32::MAX);
        let len = u32::try_from(self.json.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&at.to_be_bytes());
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(&self.json);
    }

    /// How many bytes [`Encoded::write_to`] writes.
    pub(crate) fn written_len(&self) -> usize {
        8 + self.json.len()
    }

    /// Reads what [`Encoded::write_to`] wrote, until the end of `bytes`. `None` where they are damaged.
    pub(crate) fn read_all(mut bytes: &[u8]) -> Option<Vec<Self>> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let (at, rest) = bytes.split_first_chunk::<4>()?;
            let (len, rest) = rest.split_first_chunk::<4>()?;
            let revision_at = usize::try_from(u32::from_be_bytes(*at)).ok()?;
            let (json, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*len)).ok()?)?;
            if revision_at > json.len() {
                return None;
            }
            all.push(Self { json: json.to_vec(), revision_at });
            bytes = rest;
        }
        Some(all)
    }
}

/// Writes JSON whose keys the caller gives in sorted order.
struct Writer {
    out: Vec<u8>,
}

impl Writer {
    fn raw(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn string(&mut self, text: &str) {
        self.json(&text);
    }

    fn json(&mut self, value: &impl serde::Serialize) {
        serde_json::to_writer(&mut self.out, value).expect("a string always serialises into a Vec");
    }

    fn integer(&mut self, value: u64) {
        self.json(&value);
    }

    /// What needs no escape in a string.
    fn display(&mut self, value: &impl std::fmt::Display) {
        write!(self.out, "{value}").expect("writing into a Vec does not fail");
    }

    fn field(&mut self, first: &mut bool, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.raw(if *first { "" } else { "," });
            *first = false;
            self.raw("\"");
            // One of this file's own names, or a fact's: letters, digits and `_`, which need no escape.
            self.raw(key);
            self.raw("\":");
            self.string(value);
        }
    }
}

fn clip(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context {
        Context {
            request_id: Uuid::nil(),
            remote: Some("10.1.2.3:5123".parse().unwrap()),
            local_uid: None,
            method: "GET",
            path: "/v1/secret/data/a\"\n\u{1}ü".into(),
            user_agent: Some("x".repeat(1000)),
            dialect: crate::Dialect::Native,
            headers: vec![("x-a".to_owned(), "\"".to_owned()), ("x-b".to_owned(), "hmac:1:eA".to_owned())],
            wrap_ttl: None,
        }
    }

    #[test]
    fn entry_is_canonical_json() {
        let mut record = Record::of_request("secret.write", "secret/data/a".into(), Actor::default(), &context())
            .fact("zeta", "1")
            .fact("alpha", "2");
        record.version = Some(3);
        record.value = Some(ValueHash { kid: 1, hmac: [7; 32] });
        record.changes = vec![ChangeDigest { key: "kv/m/a".into(), digest: Some([1; 32]), expires: Some(5) }];
        let encoded = record.encode("node-1", 1_795_303_800_123);
        for entry in [encoded[0].clone().into_entry(), encoded[0].with_revision(42)] {
            let value: serde_json::Value = serde_json::from_slice(&entry).unwrap();
            // serde_json's map is sorted, so equality with its output means the keys were in order.
            assert_eq!(serde_json::to_vec(&value).unwrap(), entry);
        }
        let value: serde_json::Value = serde_json::from_slice(&encoded[0].with_revision(42)).unwrap();
        assert_eq!(value["rev"], 42);
        assert_eq!(value["t"], "1795303800123000000");
    }

    #[test]
    fn many_changes_are_split_into_entries_below_the_limit() {
        let mut record = Record::system("secret.destroy");
        let key = "k".repeat(200);
        record.changes = vec![ChangeDigest { key, digest: Some([1; 32]), expires: None }; 1000];
        let entries = record.encode("n", 0);
        assert_eq!(entries.len(), 16);
        assert!(entries.iter().all(|entry| entry.with_revision(u64::MAX).len() <= 65_535));
    }

    #[test]
    fn outbox_text_reads_back_and_truncation_is_noticed() {
        let entries = Record::system("system.start").encode("n", 1);
        let mut bytes = Vec::new();
        entries.iter().for_each(|entry| entry.write_to(&mut bytes));
        assert_eq!(Encoded::read_all(&bytes).unwrap(), entries);
        for len in 1..bytes.len() {
            assert!(Encoded::read_all(&bytes[..len]).is_none(), "{len}");
        }
    }

    #[test]
    fn longest_record_stays_below_sixteen_kib() {
        let mut cx = context();
        cx.path = "\u{1}".repeat(100_000);
        cx.user_agent = Some("\u{1}".repeat(100_000));
        let record = Record::of_request("a.b", "\u{2}".repeat(1500), Actor::default(), &cx);
        let entry = record.encode("n", 0).remove(0).into_entry();
        assert!(entry.len() < 32 * 1024, "{}", entry.len());
    }
}
