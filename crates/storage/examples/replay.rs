//! What SQLite alone does with the batches of KV updates, for `make bench` to compare with: one thread, one connection,
//! the store's schema, settings and statements, the group sizes of a recorded run, and nothing else around it.
//!
//! Usage: `replay DATABASE GROUPS DELETIONS OUTBOX_KEY_BYTES OUTBOX_VALUE_BYTES`, where DATABASE is a copy of the run's
//! store (it is changed), GROUPS is `SIZExCOUNT,…` and DELETIONS how many of the batches deleted outbox rows.
//! Prints a line of JSON: updates, groups, seconds.

use std::collections::VecDeque;
use std::error::Error;
use std::io::Write;
use std::time::Instant;

use rusqlite::{Connection, Row, params};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The run to be repeated.
struct Recording {
    /// Batches in each group, in an order that mixes the sizes.
    groups: Vec<usize>,
    deletions: usize,
    outbox_key: usize,
    outbox_value: usize,
}

/// A secret of the run's store.
struct Secret {
    key: Vec<u8>,
    value_bytes: usize,
    /// Superseded versions written so far.
    versions: usize,
}

struct Replay {
    connection: Connection,
    secrets: Vec<Secret>,
    superseded_bytes: usize,
    revision: i64,
    outbox: VecDeque<Vec<u8>>,
    random: Random,
    updates: usize,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [database, groups, numbers @ ..] = arguments.as_slice() else { return Err(USAGE.into()) };
    let [deletions, outbox_key, outbox_value] = numbers else { return Err(USAGE.into()) };
    let mut random = Random::new();
    let recording = Recording {
        groups: parse_groups(groups, &mut random)?,
        deletions: deletions.parse()?,
        outbox_key: outbox_key.parse()?,
        outbox_value: outbox_value.parse()?,
    };
    let mut replay = Replay::open(database, random)?;
    let started = Instant::now();
    replay.run(&recording)?;
    let seconds = started.elapsed().as_secs_f64();
    let (updates, groups) = (replay.updates, recording.groups.len());
    writeln!(std::io::stdout(), "{{\"updates\":{updates},\"groups\":{groups},\"seconds\":{seconds:.6}}}")?;
    Ok(())
}

impl Replay {
    fn open(database: &str, random: Random) -> Result<Replay> {
        let connection = Connection::open(database)?;
        connection.set_prepared_statement_cache_capacity(24);
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "secure_delete", "on")?;
        connection.pragma_update(None, "cache_size", -8192)?;
        connection.pragma_update(None, "mmap_size", 0)?;
        connection.pragma_update(None, "temp_store", "memory")?;
        let revision = connection.query_row("SELECT revision FROM store", [], |row| row.get(0))?;
        let secrets = load_secrets(&connection)?;
        if secrets.is_empty() {
            return Err("the store holds no secrets".into());
        }
        let superseded_bytes = connection.query_row(
            "SELECT coalesce(cast(avg(length(value)) AS INTEGER), 600) FROM entries WHERE key >= ?1 AND key < ?2",
            params![b"kv-version/", b"kv-version0"],
            |row| size(row, 0),
        )?;
        Ok(Replay { connection, secrets, superseded_bytes, revision, outbox: VecDeque::new(), random, updates: 0 })
    }

    fn run(&mut self, recording: &Recording) -> Result<()> {
        let every = recording.groups.len().checked_div(recording.deletions).unwrap_or(usize::MAX).max(1);
        for (number, size) in recording.groups.iter().enumerate() {
            let deletes = recording.deletions > 0 && number % every == every - 1;
            self.execute("BEGIN IMMEDIATE")?;
            for _ in usize::from(deletes)..*size {
                self.update(recording)?;
            }
            if deletes {
                self.delete_outbox()?;
            }
            self.connection
                .prepare_cached("UPDATE store SET revision = ?1 WHERE id = 1")?
                .execute(params![self.revision])?;
            self.execute("COMMIT")?;
        }
        Ok(())
    }

    fn execute(&self, sql: &str) -> Result<()> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    /// The three rows of an update: the superseded version, the entry, the outbox row.
    fn update(&mut self, recording: &Recording) -> Result<()> {
        self.revision += 1;
        self.updates += 1;
        let at = self.random.below(self.secrets.len());
        let Some(secret) = self.secrets.get_mut(at) else { return Ok(()) };
        let slot = secret.versions % KEPT_VERSIONS;
        secret.versions += 1;
        let mut version_key = b"kv-version".to_vec();
        version_key.extend_from_slice(secret.key.get(2..).unwrap_or_default());
        version_key.extend_from_slice(format!("\0{slot:08x}").as_bytes());
        let (key, value_bytes) = (secret.key.clone(), secret.value_bytes);
        let mut outbox_key = format!("outbox/{:020}", self.revision).into_bytes();
        outbox_key.resize(recording.outbox_key.max(outbox_key.len()), b'-');
        let id: i64 = self
            .connection
            .prepare_cached("SELECT id, revision FROM entries WHERE key = ?1")?
            .query_row(params![key], |row| row.get(0))?;
        self.upsert(&version_key, self.superseded_bytes)?;
        let value = self.random.bytes(value_bytes);
        self.connection
            .prepare_cached("UPDATE entries SET revision = ?2, value = ?3 WHERE id = ?1")?
            .execute(params![id, self.revision, value])?;
        self.upsert(&outbox_key, recording.outbox_value)?;
        self.outbox.push_back(outbox_key);
        Ok(())
    }

    fn upsert(&mut self, key: &[u8], bytes: usize) -> Result<()> {
        let value = self.random.bytes(bytes);
        let sql = "INSERT INTO entries (key, revision, value) VALUES (?1, ?2, ?3)
                   ON CONFLICT (key) DO UPDATE SET revision = excluded.revision, value = excluded.value";
        self.connection.prepare_cached(sql)?.execute(params![key, self.revision, value])?;
        Ok(())
    }

    fn delete_outbox(&mut self) -> Result<()> {
        self.revision += 1;
        self.upsert(b"log-head/replay", LOG_HEAD_BYTES)?;
        let most = self.outbox.len().min(DELETIONS);
        for key in self.outbox.drain(..most) {
            self.connection.prepare_cached("DELETE FROM entries WHERE key = ?1")?.execute(params![key])?;
        }
        Ok(())
    }
}

fn load_secrets(connection: &Connection) -> Result<Vec<Secret>> {
    let mut statement = connection.prepare(
        "SELECT e.key, length(e.value), (SELECT count(*) FROM entries v
             WHERE v.key >= cast('kv-version' || substr(e.key, 3) || x'00' AS BLOB)
               AND v.key <  cast('kv-version' || substr(e.key, 3) || x'01' AS BLOB))
         FROM entries e WHERE e.key >= ?1 AND e.key < ?2",
    )?;
    let rows = statement.query_map(params![b"kv/", b"kv0"], |row| {
        Ok(Secret { key: row.get(0)?, value_bytes: size(row, 1)?, versions: size(row, 2)? })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn size(row: &Row<'_>, column: usize) -> rusqlite::Result<usize> {
    let number: i64 = row.get(column)?;
    usize::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// The sizes as often as they occurred, shuffled.
fn parse_groups(text: &str, random: &mut Random) -> Result<Vec<usize>> {
    let mut groups = Vec::new();
    for part in text.split(',') {
        let (size, count) = part.split_once('x').ok_or(USAGE)?;
        groups.extend(std::iter::repeat_n(size.parse::<usize>()?, count.parse()?));
    }
    for left in (1..groups.len()).rev() {
        groups.swap(left, random.below(left + 1));
    }
    Ok(groups)
}

/// Xorshift, and a pool of its output to cut values from.
struct Random {
    state: u64,
    pool: Vec<u8>,
}

impl Random {
    fn new() -> Random {
        let mut random = Random { state: 0x9e37_79b9_7f4a_7c15, pool: Vec::new() };
        random.pool = (0..POOL / 8).flat_map(|_| random.next().to_le_bytes()).collect();
        random
    }

    fn next(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % limit).unwrap_or(0)
    }

    /// Bytes that do not compress, up to the size of the pool.
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let from = self.below(POOL - count.min(POOL));
        self.pool.iter().skip(from).take(count).copied().collect()
    }
}

const USAGE: &str = "usage: replay DATABASE GROUPS DELETIONS OUTBOX_KEY_BYTES OUTBOX_VALUE_BYTES";
/// As a KV mount keeps them unless told otherwise, the current one not counted.
const KEPT_VERSIONS: usize = 9;
/// Outbox rows deleted in one batch, at most.
const DELETIONS: usize = 1000;
const LOG_HEAD_BYTES: usize = 120;
const POOL: usize = 1 << 20;
