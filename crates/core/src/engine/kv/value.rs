//! Search by value: for a mount with the option `value_search`, an index from keyed fingerprints of current values to the
//! entries that hold them. It knows native secrets alone, and of them neither short values, which could be guessed, nor those
//! under an object key of their own, of which nothing may outlive that key.
//!
//! Rows are hints: who looks one up reads the entry itself. Each switching on makes a key of its own; what an older one made is
//! cleared away. While a path is locked its writer and the building of the index see the same key, so none is missed.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use arc_swap::ArcSwap;
use coffer_api::{Name, Scope, Sensitive, secrets::ValueIndex};
use coffer_crypto::{Secret, hash::HmacKey};
use coffer_storage::Expect;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    KvPath,
    entry::{Data, Opened},
    prefix,
};
use crate::{
    Error,
    active::{Active, Found},
    codec::{self, Persisted},
    commit::{Edit, Urgency},
    keys,
    mount::{Mount, MountKind},
    record::Record,
};

/// Bytes of the shortest value that is indexed.
pub(crate) const SHORTEST: usize = 8;

/// The keys of all mounts that are searched by value.
#[derive(Default)]
pub(crate) struct ValueKeys {
    keys: ArcSwap<HashMap<Uuid, Arc<ValueKey>>>,
    /// Held by who makes or deletes one.
    turn: tokio::sync::Mutex<()>,
    /// Mounts with rows of keys that are gone.
    stale: parking_lot::Mutex<HashSet<Uuid>>,
}

/// Where rows of keys that are gone are looked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Clears {
    /// At all mounts: some may be left of an earlier run.
    All,
    /// At mounts whose key went since the last look.
    Known,
}

/// What one mount's values are fingerprinted with, from one switching on to the next.
pub(crate) struct ValueKey {
    generation: Uuid,
    key: HmacKey,
    /// Every entry that was there before the key was is in the index.
    is_built: AtomicBool,
}

/// A value as its entry holds it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    value: Sensitive<String>,
}

/// A row of the index: its key says all.
#[derive(Deserialize, Serialize)]
struct IndexRow {}

impl Persisted for IndexRow {}

/// How far the building of an index has come.
#[derive(Deserialize, Serialize)]
struct BuiltRow {
    after: String,
    done: bool,
}

impl Persisted for BuiltRow {}

impl Mount {
    /// Whether it is to be searched by value.
    pub(crate) fn is_searched_by_value(&self) -> bool {
        self.kind == MountKind::KvV2 && self.option(OPTION) == Some("true")
    }

    /// What is known of its values, by the key that it has.
    pub(crate) fn value_index(&self, key: Option<&ValueKey>) -> ValueIndex {
        match (self.is_searched_by_value(), key) {
            (false, _) => ValueIndex::Off,
            (true, Some(key)) if key.is_built() => ValueIndex::Complete,
            (true, Some(_) | None) => ValueIndex::Building,
        }
    }
}

impl ValueKeys {
    /// The key of a mount, where it has one.
    pub(crate) fn of(&self, mount: Uuid) -> Option<Arc<ValueKey>> {
        self.keys.load().get(&mount).cloned()
    }

    fn has_stale(&self, mount: Uuid) -> bool {
        self.stale.lock().contains(&mount)
    }

    fn put(&self, mount: Uuid, key: Arc<ValueKey>) {
        self.keys.rcu(|old| {
            let mut keys = old.as_ref().clone();
            keys.insert(mount, Arc::clone(&key));
            keys
        });
    }

    fn keep(&self, is_kept: impl Fn(Uuid) -> bool) {
        self.keys.rcu(|old| {
            let kept = old.iter().filter(|(mount, _)| is_kept(**mount));
            kept.map(|(mount, key)| (*mount, Arc::clone(key))).collect::<HashMap<_, _>>()
        });
    }
}

impl ValueKey {
    fn new(generation: Uuid, key: &Secret) -> Self {
        Self { generation, key: HmacKey::new(key), is_built: AtomicBool::new(false) }
    }

    /// Whether the index knows all that it should.
    pub(crate) fn is_built(&self) -> bool {
        self.is_built.load(Ordering::Acquire)
    }

    /// What rows of entries with this value begin with; none where it is too short.
    pub(crate) fn rows_of(&self, mount: Uuid, value: &str) -> Option<String> {
        let print = self.fingerprint(value)?;
        Some(format!("{}{mount}/{}/{print}/", keys::VALUE_INDEX, self.generation))
    }

    /// Whether an entry's data is this value.
    pub(crate) fn is_value(&self, data: &Data<'_>, value: &str) -> bool {
        text(data).is_some_and(|text| self.fingerprint(text.expose()) == self.fingerprint(value))
    }

    fn row(&self, mount: Uuid, path: KvPath<'_>, data: &Data<'_>) -> Option<String> {
        if !is_native(path) {
            return None;
        }
        Some(self.rows_of(mount, text(data)?.expose())? + path.0)
    }

    fn fingerprint(&self, value: &str) -> Option<String> {
        if value.len() < SHORTEST {
            return None;
        }
        let mac = self.key.mac(&[b"value", value.as_bytes()]);
        Some(mac.iter().take(FINGERPRINT).map(|byte| format!("{byte:02x}")).collect())
    }
}

impl Active {
    /// The keys that the store holds.
    pub(crate) async fn load_value_keys(&self) -> Result<(), Error> {
        let mut after = String::new();
        loop {
            let page = self.names(keys::VALUE_KEY, &after, 1000).await?;
            for name in &page.names {
                let row = format!("{}{name}", keys::VALUE_KEY);
                let (mount, generation) = name.split_once('/').ok_or_else(|| codec::damaged(&row, "its name"))?;
                let (mount, generation) = (parse_id(&row, mount)?, parse_id(&row, generation)?);
                let Some(found) = self.open(&row).await? else { continue };
                let key = ValueKey::new(generation, &decode(&row, &found.value)?);
                let built = self.row::<BuiltRow>(&built_row(mount, generation)).await?;
                key.is_built.store(built.is_some_and(|built| built.value.done), Ordering::Release);
                self.value_keys.put(mount, Arc::new(key));
            }
            match page.names.into_iter().next_back().filter(|_| page.more) {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }

    /// Adds to an edit of an entry what the index must know of it: its current value before and after. Called with the
    /// entry's path locked.
    pub(crate) fn follow_value(
        &self,
        mount: &Mount,
        path: KvPath<'_>,
        before: &Data<'_>,
        after: &Data<'_>,
        edit: &mut Edit,
    ) -> Result<(), Error> {
        let Some(key) = self.value_keys.of(mount.id) else { return Ok(()) };
        let after = key.row(mount.id, path, after);
        if let Some(before) = key.row(mount.id, path, before).filter(|before| after.as_ref() != Some(before)) {
            edit.delete(before, None);
        }
        if let Some(after) = after {
            edit.put(after, codec::encode(&IndexRow {})?, None);
        }
        Ok(())
    }
}

/// Brings keys and indexes to what the mounts' options ask for: a bounded part of the work, after which it asks to be called
/// again. With `Clears::All` what older keys left is looked for at all mounts.
pub(crate) async fn keep_indexes(active: &Arc<Active>, clears: Clears) -> Result<(), Error> {
    let mounts = active.mounts.all();
    for mount in mounts.iter().filter(|mount| mount.kind == MountKind::KvV2) {
        let key = settle(active, mount).await?;
        if clears == Clears::All || active.value_keys.has_stale(mount.id) {
            clear(active, mount.id, key.as_deref()).await?;
            active.value_keys.stale.lock().remove(&mount.id);
        }
        if let Some(key) = key.filter(|key| !key.is_built()) {
            build(active, mount, &key).await?;
        }
    }
    // Their rows go with their mounts.
    let mounts = active.mounts.all();
    active.value_keys.keep(|id| mounts.iter().any(|mount| mount.id == id));
    Ok(())
}

/// Gives a mount the key that its option asks for, or takes it away, and tells the one in force. Whoever does this meanwhile is
/// waited for.
pub(crate) async fn settle(active: &Arc<Active>, mount: &Mount) -> Result<Option<Arc<ValueKey>>, Error> {
    let _turn = active.value_keys.turn.lock().await;
    // Somebody may have changed it since the caller looked.
    let Some(mount) = active.mounts.at(&mount.path).filter(|now| now.id == mount.id) else { return Ok(None) };
    let mount = mount.as_ref();
    match (mount.is_searched_by_value(), active.value_keys.of(mount.id)) {
        (true, None) => begin(active, mount).await.map(Some),
        (false, Some(old)) => end(active, mount, &old).await.map(|()| None),
        (true | false, key) => Ok(key),
    }
}

/// Makes a key. From its commit on, writers follow it.
async fn begin(active: &Arc<Active>, mount: &Mount) -> Result<Arc<ValueKey>, Error> {
    let secret = Secret::random(KEY)?;
    let id = mount.id;
    let key = Arc::new(ValueKey::new(Uuid::new_v4(), &secret));
    let mut edit = Edit::default();
    edit.put(key_row(id, key.generation), encode(&secret), Some(Expect::Absent));
    let made = Arc::clone(&key);
    edit.in_force(move |active| {
        active.value_keys.put(id, made);
        active.leftovers_asked.notify_one();
    });
    let record = Record::system("value_index.begin").fact("mount", mount.path.clone());
    active.commit(edit, record, Urgency::Ordinary).await?.spend();
    Ok(key)
}

/// Deletes the key, without which the rows say nothing.
async fn end(active: &Arc<Active>, mount: &Mount, key: &ValueKey) -> Result<(), Error> {
    let id = mount.id;
    let mut edit = Edit::default();
    edit.delete(key_row(id, key.generation), None);
    edit.delete(built_row(id, key.generation), None);
    edit.in_force(move |active| {
        active.value_keys.stale.lock().insert(id);
        active.value_keys.keep(|kept| kept != id);
        active.leftovers_asked.notify_one();
    });
    let record = Record::system("value_index.end").fact("mount", mount.path.clone());
    active.commit(edit, record, Urgency::Ordinary).await?.spend();
    Ok(())
}

/// Deletes a mount's rows of every key but this one.
async fn clear(active: &Arc<Active>, mount: Uuid, key: Option<&ValueKey>) -> Result<(), Error> {
    let prefix = format!("{}{mount}/", keys::VALUE_INDEX);
    let kept = key.map(|key| format!("{}/", key.generation));
    let mut after = String::new();
    loop {
        let page = active.names(&prefix, &after, CLEARED).await?;
        let is_kept = |name: &&String| kept.as_ref().is_some_and(|kept| name.starts_with(kept));
        let mut edit = Edit::default();
        page.names.iter().filter(|name| !is_kept(name)).for_each(|name| edit.delete(format!("{prefix}{name}"), None));
        let was_there = page.names.last().is_some_and(|last| is_kept(&last));
        if !edit.is_empty() {
            active.commit_bookkeeping(edit).await?;
            tokio::time::sleep(PACE).await;
        }
        match &kept {
            // On behind what is kept: of fingerprints none begins with a letter after f.
            Some(kept) if was_there => after = format!("{kept}g"),
            Some(_) | None if page.more => {}
            Some(_) | None => return Ok(()),
        }
    }
}

/// Goes on with an index, and asks to be called again where that was not all.
async fn build(active: &Arc<Active>, mount: &Mount, key: &ValueKey) -> Result<(), Error> {
    let row = built_row(mount.id, key.generation);
    let mut after = match active.row::<BuiltRow>(&row).await? {
        Some(Found { value, .. }) if value.done => {
            key.is_built.store(true, Ordering::Release);
            return Ok(());
        }
        Some(Found { value, .. }) => value.after,
        None => String::new(),
    };
    for _ in 0..PAGES {
        let page = active.names(&prefix(mount), &after, PAGE).await?;
        let Some(last) = page.names.last().cloned() else {
            after.clear();
            break;
        };
        let rows: Vec<String> = page.names.iter().map(|name| format!("{}{name}", prefix(mount))).collect();
        let mut edit = Edit::default();
        // Held until the rows are in: a writer comes before, and is seen, or after, and knows the key.
        let guard = active.lock_in(mount, &rows.iter().map(String::as_str).collect::<Vec<_>>()).await?;
        for name in &page.names {
            let Ok(path) = KvPath::parse(name) else { continue };
            let entry_row = path.row(mount);
            let Some(found) = active.open(&entry_row).await? else { continue };
            let opened = Opened::parse(&entry_row, found.value)?;
            if opened.is_live(active.clock.now())
                && let Some(indexed) = key.row(mount.id, path, &opened.data())
            {
                edit.put(indexed, codec::encode(&IndexRow {})?, None);
            }
        }
        edit.put(row.clone(), codec::encode(&BuiltRow { after: last.clone(), done: !page.more })?, None);
        active.commit_bookkeeping(edit).await?;
        if !page.more {
            key.is_built.store(true, Ordering::Release);
            let record = Record::system("value_index.built").fact("mount", mount.path.clone());
            return active.log_synced(&record).await;
        }
        after = last;
        drop(guard);
        tokio::time::sleep(PACE).await;
    }
    if after.is_empty() {
        let mut edit = Edit::default();
        edit.put(row, codec::encode(&BuiltRow { after, done: true })?, None);
        active.commit_bookkeeping(edit).await?;
        key.is_built.store(true, Ordering::Release);
        return Ok(());
    }
    active.leftovers_asked.notify_one();
    Ok(())
}

/// The value of a native secret, where it lies in its entry.
fn text(data: &Data<'_>) -> Option<Sensitive<String>> {
    match data {
        Data::Plain(json) => serde_json::from_slice::<Text>(json).ok().map(|text| text.value),
        Data::Nothing | Data::Shredded(_) => None,
    }
}

/// Whether a native secret can lie there.
fn is_native(path: KvPath<'_>) -> bool {
    let parts = path.0.rsplit_once('/');
    parts.is_some_and(|(scope, name)| Scope::from_path(scope).is_ok() && name.parse::<Name>().is_ok())
}

fn key_row(mount: Uuid, generation: Uuid) -> String {
    format!("{}{mount}/{generation}", keys::VALUE_KEY)
}

fn built_row(mount: Uuid, generation: Uuid) -> String {
    format!("{}{mount}/{generation}", keys::VALUE_BUILT)
}

fn parse_id(row: &str, text: &str) -> Result<Uuid, Error> {
    text.parse().map_err(|error| codec::damaged(row, error))
}

/// Format byte and key.
fn encode(key: &Secret) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(1 + KEY));
    bytes.push(KEY_FORMAT);
    bytes.extend_from_slice(key.expose());
    bytes
}

fn decode(row: &str, bytes: &[u8]) -> Result<Secret, Error> {
    match bytes.split_first() {
        Some((&KEY_FORMAT, key)) if key.len() == KEY => Ok(Secret::copy_from(key)?),
        Some((&KEY_FORMAT, _)) | None => Err(codec::damaged(row, "its length")),
        Some((format, _)) => Err(codec::unknown_format(row, *format, KEY_FORMAT)),
    }
}

/// The option of a mount that asks for it, by the value `true`.
pub(crate) const OPTION: &str = "value_search";

const KEY_FORMAT: u8 = 1;
/// Bytes of a key.
const KEY: usize = 32;
/// Bytes of a fingerprint.
const FINGERPRINT: usize = 16;
/// Entries that are indexed under one lock.
const PAGE: usize = 50;
/// Such pages at one call.
const PAGES: usize = 200;
/// Rows that are cleared away in one commit.
const CLEARED: usize = 500;
/// Between two commits, so that requests find the store free.
const PACE: std::time::Duration = std::time::Duration::from_millis(5);
