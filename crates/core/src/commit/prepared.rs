//! A batch on its way: rows sealed, records encoded, outbox rows added.

use coffer_api::Code;
use coffer_crypto::hash::sha256;
use coffer_storage::{Batch, Change, Epoch, Expect, Key, Sealed};
use uuid::Uuid;

use super::{Edit, InForce, OUTBOX_FORMAT, Part, Value};
use crate::{
    Error,
    barrier::Barrier,
    keys,
    locks::PathGuard,
    record::{ChangeDigest, Encoded, Record},
};

/// A batch on its way, with all that must happen once it is in.
pub(super) struct Prepared {
    pub(super) batch: Batch,
    pub(super) cached: Vec<(String, Option<Sealed>)>,
    /// The outbox rows of the batch, one or more, with the entries that they hold, in their order.
    pub(super) outbox: Vec<(String, Vec<Encoded>)>,
    pub(super) guards: Vec<PathGuard>,
    pub(super) in_force: Vec<InForce>,
}

/// Seals the rows and adds the records' outbox rows.
pub(super) fn prepare(
    barrier: &Barrier,
    node: &str,
    epoch: Epoch,
    now: i64,
    parts: Vec<Part>,
) -> Result<Prepared, Error> {
    let mut prepared = Prepared {
        batch: Batch { epoch: Some(epoch), ..Batch::default() },
        cached: Vec::new(),
        outbox: Vec::new(),
        guards: Vec::new(),
        in_force: Vec::new(),
    };
    let mut entries = Vec::new();
    for (edit, record) in parts {
        let recorded = prepared.seal(barrier, edit, record)?;
        let of_part: Vec<Encoded> = recorded.iter().flat_map(|record| record.encode(node, now)).collect();
        if of_part.iter().map(Encoded::written_len).sum::<usize>() > OUTBOX_BYTES {
            return Err(Error::new(Code::TooLarge, "too many changes for one request"));
        }
        entries.extend(of_part);
    }
    for entries in rows_of(entries) {
        let row = format!("{}{}/{}", keys::OUTBOX, node, Uuid::now_v7());
        let mut text = vec![OUTBOX_FORMAT];
        entries.iter().for_each(|entry| entry.write_to(&mut text));
        let value = barrier.seal(&row, &[&text])?;
        prepared.batch.changes.push(Change::Put { key: Key::new(row.clone())?, value, expect: None });
        prepared.outbox.push((row, entries));
    }
    Ok(prepared)
}

/// Entries by the outbox row that will hold them.
fn rows_of(entries: Vec<Encoded>) -> Vec<Vec<Encoded>> {
    let mut rows: Vec<Vec<Encoded>> = Vec::new();
    let mut bytes = 0;
    for entry in entries {
        let len = entry.written_len();
        match rows.last_mut() {
            Some(row) if bytes + len <= OUTBOX_BYTES && row.len() < OUTBOX_ENTRIES => {
                bytes += len;
                row.push(entry);
            }
            Some(_) | None => {
                bytes = len;
                rows.push(vec![entry]);
            }
        }
    }
    rows
}

impl Prepared {
    /// Adds the rows of an edit, sealed. Its records, of which the last lists what changed.
    fn seal(&mut self, barrier: &Barrier, edit: Edit, mut record: Record) -> Result<Vec<Record>, Error> {
        let mut object_keys_deleted: u64 = 0;
        for row in edit.rows {
            let key = Key::new(row.key.clone())?;
            let sealed = match row.value {
                Value::Checked => {
                    let expect = row.expect.unwrap_or(Expect::Absent);
                    self.batch.changes.push(Change::Check { key, expect });
                    continue;
                }
                Value::Deleted => None,
                Value::Plain(value) => Some(barrier.seal(&row.key, &[&value])?),
                Value::Sealed(sealed) => Some(sealed),
            };
            let digest = sealed.as_ref().map(|sealed| sha256(&[sealed.as_ref()]));
            if keys::is_cached(&row.key) {
                self.cached.push((row.key.clone(), sealed.clone()));
            }
            if sealed.is_none() && row.key.starts_with(keys::OBJECT) {
                object_keys_deleted += 1;
            }
            if !keys::is_bookkeeping(&row.key) {
                record.changes.push(ChangeDigest { key: row.key, digest, expires: row.expires });
            }
            self.batch.changes.push(match sealed {
                Some(value) => Change::Put { key, value, expect: row.expect },
                None => Change::Delete { key, expect: row.expect },
            });
        }
        if object_keys_deleted > 0 {
            record = record.fact("object_key_deleted", object_keys_deleted.to_string());
        }
        self.guards.extend(edit.guard);
        self.in_force.extend(edit.in_force);
        let mut records = edit.told;
        records.push(record);
        Ok(records)
    }
}

/// An outbox row holds at most this many bytes …
const OUTBOX_BYTES: usize = 1 << 20;
/// … and entries, so that it is a call of the log.
const OUTBOX_ENTRIES: usize = 2048;
