//! What the log says the store must hold: the last record of each key.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    hash::{BuildHasher, RandomState},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use coffer_crypto::{envelope, hash::sha256};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{backup::restored, keys, tlog};

/// The last record of every key that falls into one part of all keys, so that memory stays bounded.
pub(crate) struct Ledger {
    last: HashMap<String, Last>,
    hasher: RandomState,
    part: u64,
    parts: u64,
    /// The newest time of a record, UTC milliseconds: the node's own clock, which may be ahead of the verifier's.
    newest_ms: i64,
    last_start: Option<Start>,
    /// The highest revision of a record.
    newest_revision: u64,
    /// Backups with which a log goes on, and those whose restore has ended.
    continued: HashSet<String>,
    restored: HashSet<String>,
}

/// What a node said when it began to lead.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Start {
    pub(crate) epoch: u64,
    pub(crate) node: String,
    /// [`digest`](super::registered::digest) of the logs that the store registered then.
    pub(crate) logs: String,
}

/// A key's last record.
#[derive(Clone, Debug)]
pub(crate) struct Last {
    revision: u64,
    /// `None` where it was deleted.
    digest: Option<[u8; 32]>,
    /// When the row may go without a record.
    expires: Option<i64>,
    /// Whether the store was seen to hold it.
    seen: bool,
}

/// What a live entry and its last record say of each other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Standing {
    /// They agree, or the key is bookkeeping of the right shape.
    Agrees,
    /// No record of this revision is in the logs given.
    Elsewhere,
    /// The entry is not what was recorded.
    Altered(String),
    /// A row of the outbox: its record may not be in the log yet.
    Outbox,
    /// It belongs to another part.
    Skipped,
}

#[derive(Deserialize)]
struct Changes<'a> {
    #[serde(borrow, default)]
    changes: Vec<Changed<'a>>,
    #[serde(borrow, default)]
    cls: Cow<'a, str>,
    #[serde(borrow, default)]
    facts: Option<&'a RawValue>,
    #[serde(borrow, default)]
    node: Cow<'a, str>,
    #[serde(default)]
    rev: Option<u64>,
    #[serde(borrow, default)]
    t: Cow<'a, str>,
}

#[derive(Deserialize)]
struct BackupFacts<'a> {
    #[serde(borrow)]
    backup: Cow<'a, str>,
}

#[derive(Deserialize)]
struct StartFacts<'a> {
    #[serde(borrow)]
    epoch: Cow<'a, str>,
    #[serde(borrow)]
    logs: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Changed<'a> {
    #[serde(borrow, default)]
    digest: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    expires: Option<Cow<'a, str>>,
    #[serde(borrow)]
    key: Cow<'a, str>,
}

impl Ledger {
    /// A ledger of all keys.
    pub(crate) fn whole() -> Self {
        Self::part(0, 1, RandomState::new())
    }

    /// A ledger of one part of `parts`; the parts of one round share the hasher.
    pub(crate) fn part(part: u64, parts: u64, hasher: RandomState) -> Self {
        let (continued, restored) = (HashSet::new(), HashSet::new());
        let (newest_ms, newest_revision, last_start) = (0, 0, None);
        Self { last: HashMap::new(), hasher, part, parts, newest_ms, last_start, newest_revision, continued, restored }
    }

    /// Takes in an entry of the log.
    ///
    /// # Errors
    /// What is wrong with it as a record.
    pub(crate) fn absorb(&mut self, entry: &[u8]) -> Result<(), String> {
        let entry = tlog::payload(entry);
        // An array would do for a struct whose fields may all be absent.
        if !entry.starts_with(b"{") {
            return Err("not a JSON object".to_owned());
        }
        let record: Changes<'_> = serde_json::from_slice(entry).map_err(|error| error.to_string())?;
        let time_ms = record.t.parse::<i128>().ok().and_then(|ns| i64::try_from(ns / 1_000_000).ok());
        self.newest_ms = self.newest_ms.max(time_ms.unwrap_or(0));
        self.newest_revision = self.newest_revision.max(record.rev.unwrap_or(0));
        match record.cls.as_ref() {
            "log.continue" => self.continued.extend(backup_of(&record)),
            "system.restore" => self.restored.extend(backup_of(&record)),
            "system.init" | "system.start" => self.see_start(&record),
            _ => {}
        }
        if record.changes.is_empty() {
            return Ok(());
        }
        let revision = record.rev.ok_or("a change without a revision")?;
        for change in record.changes {
            if !self.is_ours(&change.key) {
                continue;
            }
            let digest = match change.digest {
                Some(text) => {
                    let bytes = URL_SAFE_NO_PAD.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
                    Some(bytes.ok_or("a digest that is none")?)
                }
                None => None,
            };
            let expires = change.expires.and_then(|expires| expires.parse().ok());
            let last = Last { revision, digest, expires, seen: false };
            // Records of different keys may stand in another order than their revisions, the same one twice.
            match self.last.get_mut(change.key.as_ref()) {
                Some(known) if known.revision > revision => {}
                Some(known) => *known = last,
                None => drop(self.last.insert(change.key.into_owned(), last)),
            }
        }
        Ok(())
    }

    /// The start of the highest epoch.
    pub(crate) fn last_start(&self) -> Option<&Start> {
        self.last_start.as_ref()
    }

    /// Compares a live entry with its last record.
    pub(crate) fn compare(&mut self, key: &str, revision: u64, value: &[u8]) -> Standing {
        if key.starts_with(keys::OUTBOX) {
            return if is_envelope(value) { Standing::Outbox } else { altered(key, "is not sealed") };
        }
        if key == keys::RESTORED {
            return self.compare_restored(key, value);
        }
        if keys::is_bookkeeping(key) {
            return if is_envelope(value) { Standing::Agrees } else { altered(key, "is not sealed") };
        }
        if !self.is_ours(key) {
            return Standing::Skipped;
        }
        let Some(last) = self.last.get_mut(key) else { return Standing::Elsewhere };
        last.seen = true;
        match &last.digest {
            _ if last.revision < revision => Standing::Elsewhere,
            _ if last.revision > revision => altered(
                key,
                &format!(
                    "is of revision {revision}, its last record of {}: an older entry was put back",
                    last.revision
                ),
            ),
            Some(digest) if *digest == sha256(&[value]) => Standing::Agrees,
            Some(_) => altered(key, "is not what was recorded"),
            None => altered(key, "was deleted, and is there again"),
        }
    }

    /// What a restore left stands until a server has started on it: it has no record of its own, but the log says whether one has.
    fn compare_restored(&self, key: &str, value: &[u8]) -> Standing {
        let Some((backup, revision)) = restored::of_row(value) else {
            return altered(key, "is not what a restore writes");
        };
        if self.restored.contains(&backup) {
            return altered(key, "names a restore that has ended: it was put back");
        }
        match self.continued.contains(&backup) || self.newest_revision <= revision {
            true => Standing::Agrees,
            false => altered(key, "names a restore that the log knows nothing of"),
        }
    }

    /// Keys whose last record wrote them and that were not compared, but for those that may have expired by `now`.
    pub(crate) fn missing(&self, now: i64) -> impl Iterator<Item = (&str, u64)> {
        let now = now.max(self.newest_ms);
        let gone = move |last: &&Last| last.digest.is_some() && !last.seen && last.expires.is_none_or(|at| at > now);
        self.last.iter().filter(move |(_, last)| gone(last)).map(|(key, last)| (key.as_str(), last.revision))
    }

    fn see_start(&mut self, record: &Changes<'_>) {
        let facts = record.facts.and_then(|facts| serde_json::from_str::<StartFacts<'_>>(facts.get()).ok());
        let Some((epoch, facts)) = facts.and_then(|facts| Some((facts.epoch.parse().ok()?, facts))) else { return };
        if self.last_start.as_ref().is_none_or(|last| last.epoch < epoch) {
            let (node, logs) = (record.node.clone().into_owned(), facts.logs.into_owned());
            self.last_start = Some(Start { epoch, node, logs });
        }
    }

    fn is_ours(&self, key: &str) -> bool {
        self.parts == 1 || self.hasher.hash_one(key) % self.parts == self.part
    }
}

/// The backup that a record names.
fn backup_of(record: &Changes<'_>) -> Option<String> {
    let facts: BackupFacts<'_> = serde_json::from_str(record.facts?.get()).ok()?;
    Some(facts.backup.into_owned())
}

/// Whether a value has the shape of one that the barrier sealed.
pub(crate) fn is_envelope(value: &[u8]) -> bool {
    value.len() >= envelope::OVERHEAD && envelope::term_of(value).is_ok()
}

fn altered(key: &str, what: &str) -> Standing {
    Standing::Altered(format!("entry {key:?} {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, revision: u64, digest: Option<&[u8]>) -> Vec<u8> {
        let digest = digest.map(|value| URL_SAFE_NO_PAD.encode(sha256(&[value])));
        let change = match digest {
            Some(digest) => serde_json::json!({"key": key, "digest": digest}),
            None => serde_json::json!({"key": key}),
        };
        serde_json::to_vec(&serde_json::json!({"changes": [change], "rev": revision})).unwrap()
    }

    #[test]
    fn alterations_are_told_apart() {
        let mut ledger = Ledger::whole();
        ledger.absorb(&record("kv/a", 5, Some(b"new"))).unwrap();
        ledger.absorb(&record("kv/a", 3, Some(b"old"))).unwrap();
        ledger.absorb(&record("kv/b", 4, None)).unwrap();
        ledger.absorb(&record("kv/c", 6, Some(b"c"))).unwrap();
        assert_eq!(ledger.compare("kv/a", 5, b"new"), Standing::Agrees);
        assert!(matches!(ledger.compare("kv/a", 5, b"nex"), Standing::Altered(_)));
        assert!(matches!(ledger.compare("kv/a", 3, b"old"), Standing::Altered(_)));
        assert_eq!(ledger.compare("kv/a", 9, b"newer"), Standing::Elsewhere);
        assert!(matches!(ledger.compare("kv/b", 4, b"x"), Standing::Altered(_)));
        assert_eq!(ledger.compare("kv/unknown", 1, b"x"), Standing::Elsewhere);
        assert!(matches!(ledger.compare("clock", 1, b"plain"), Standing::Altered(_)));
        assert_eq!(ledger.missing(0).collect::<Vec<_>>(), [("kv/c", 6)]);
    }

    #[test]
    fn last_start_is_that_of_the_highest_epoch_and_tells_its_logs() {
        let start = |class: &str, epoch: &str| {
            let facts = serde_json::json!({"cluster": "c", "epoch": epoch, "logs": format!("of {epoch}")});
            serde_json::to_vec(&serde_json::json!({"cls": class, "facts": facts, "node": "n"})).unwrap()
        };
        let mut ledger = Ledger::whole();
        for (class, epoch) in [("system.init", "1"), ("system.start", "12"), ("system.start", "9"), ("other", "20")] {
            ledger.absorb(&start(class, epoch)).unwrap();
        }
        ledger.absorb(br#"{"cls":"system.start","facts":{"epoch":"x"}}"#).unwrap();
        let last = Start { epoch: 12, node: "n".to_owned(), logs: "of 12".to_owned() };
        assert_eq!(ledger.last_start(), Some(&last));
    }

    #[test]
    fn row_of_a_restore_agrees_until_a_server_has_started_on_it() {
        let (row, backup) = restored::tests::row(7);
        let stands = |records: &[String]| {
            let mut ledger = Ledger::whole();
            records.iter().for_each(|record| ledger.absorb(record.as_bytes()).unwrap());
            ledger.compare(keys::RESTORED, 8, &row) == Standing::Agrees
        };
        let of = |class: &str| format!(r#"{{"cls":"{class}","facts":{{"backup":"{backup}"}}}}"#);
        let change = |rev: u64| format!(r#"{{"changes":[],"cls":"kv.write","rev":{rev}}}"#);
        assert!(stands(&[]) && stands(&[change(7)]), "nobody started");
        assert!(stands(&[change(7), of("log.continue"), change(9)]), "somebody is about to");
        assert!(!stands(&[change(7), of("log.continue"), change(9), of("system.restore")]));
        assert!(!stands(&[change(8)]), "the log goes on, and was not begun for it");
        assert!(matches!(Ledger::whole().compare(keys::RESTORED, 8, b"x"), Standing::Altered(_)));
    }

    #[test]
    fn entry_that_is_no_record_is_refused() {
        let mut ledger = Ledger::whole();
        for bad in [
            &b""[..],
            b"{",
            b"[]",
            br#"{"changes":[{"key":"a"}]}"#,
            br#"{"changes":[{"key":"a","digest":"x"}],"rev":1}"#,
        ] {
            assert!(ledger.absorb(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
        ledger.absorb(br#"{"cls":"secret.read"}"#).unwrap();
    }
}
