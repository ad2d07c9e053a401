//! Everything that exists only while this node is unsealed and leads: keys, caches, the log. Dropping it is
//! what sealing means.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use coffer_api::Code;
use coffer_crypto::{Secret, keys::PreparedKey};
use coffer_storage::{Entry, Epoch, Key, Limit, Prefix, Revision, Store};
use tokio::sync::{Notify, watch};
use zeroize::Zeroizing;

use crate::{
    Error,
    barrier::Barrier,
    cache::{Coherent, Weigh},
    clock::Clock,
    codec::{self, Persisted},
    commit::Urgency,
    config::{Limits, ReadDurability},
    identity::Identity,
    keyring::Keyrings,
    lease::Lease,
    locks::PathLocks,
    metrics::Metrics,
    mount::{Mounts, Moves},
    outbox::Outbox,
    policies::Policies,
    record::{Encoded, Record},
    refusals::Refusals,
    seal::asker::Ceremonies,
    space::Space,
    tlog::{Log, index::Index},
    token::Tokens,
};

/// Records handed to the log in one call.
const RECORDS_TOGETHER: usize = 128;

/// The state of a leading node.
pub(crate) struct Active {
    pub(crate) node: String,
    pub(crate) epoch: Epoch,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) root: Arc<Secret>,
    pub(crate) barrier: Barrier,
    pub(crate) keyrings: Keyrings,
    pub(crate) clock: Arc<Clock>,
    /// Before the log: it keeps the log's files and goes first.
    pub(crate) index: Index,
    pub(crate) log: Log,
    pub(crate) first_vkey: String,
    pub(crate) outbox: Outbox,
    /// Sealed entries whose MAC was checked when they were read.
    pub(crate) cache: Coherent<String, CachedEntry>,
    pub(crate) locks: PathLocks,
    pub(crate) lease: Arc<Lease>,
    pub(crate) space: Arc<Space>,
    pub(crate) limits: Limits,
    pub(crate) read_durability: ReadDurability,
    pub(crate) mounts: Mounts,
    pub(crate) moves: Moves,
    pub(crate) policies: Policies,
    pub(crate) settings: crate::ops::settings::Settings,
    pub(crate) identity: Identity,
    pub(crate) tokens: Tokens,
    pub(crate) refusals: Refusals,
    pub(crate) logins: crate::auth::Logins,
    pub(crate) key_uses: crate::engine::key::uses::UseCounters,
    /// Held by who makes a backup.
    pub(crate) backing_up: Arc<tokio::sync::Mutex<()>>,
    /// Held by who does what is due for keys.
    pub(crate) key_sweep: tokio::sync::Mutex<()>,
    /// What values are searched by.
    pub(crate) value_keys: crate::engine::kv::value::ValueKeys,
    /// Held by who deletes what is left of disabled mounts.
    pub(crate) purging: tokio::sync::Mutex<crate::mount::purge::Resting>,
    /// Keys in use, in the clear.
    pub(crate) loaded: crate::engine::key::operate::loaded::LoadedKeys,
    /// RSA keys that nobody has yet.
    pub(crate) ready: crate::engine::key::operate::ready::ReadyKeys,
    pub(crate) metrics: Arc<Metrics>,
    /// What positions in lists that name nothing are sealed with.
    pub(crate) cursors: crate::engine::kv::cursor::Cursors,
    /// Moves with every change of a policy, an entity or a group; a compiled policy set of another value is stale.
    pub(crate) authority: AtomicU64,
    /// Told to sweep expired tokens before its time.
    pub(crate) sweep_asked: Notify,
    /// Told to sweep secret ids before its time.
    pub(crate) secrets_sweep_asked: Notify,
    /// Told that something is left to be worked off.
    pub(crate) leftovers_asked: Notify,
    /// One sweep of secret ids at a time.
    pub(crate) sweeping_secrets: tokio::sync::Mutex<()>,
    /// Rounds of giving shares that are under way: a rekey, a new root token.
    pub(crate) ceremonies: Ceremonies,
    /// What JWTs of wrapping tokens are signed with, once one was needed.
    pub(crate) wrapping_key: OnceLock<Arc<PreparedKey>>,
    pub(crate) stop: watch::Sender<bool>,
}

/// A sealed entry whose committing MAC was checked in this process.
pub(crate) struct CachedEntry {
    pub(crate) sealed: Bytes,
    pub(crate) revision: Revision,
}

/// A decoded row with the revision that a change must expect.
pub(crate) struct Found<T> {
    pub(crate) value: T,
    pub(crate) revision: Revision,
}

impl Active {
    /// Whether this node may answer at all.
    pub(crate) fn may_read(&self) -> Result<(), Error> {
        self.lease.check()?;
        self.space.check_read()
    }

    pub(crate) fn may_change(&self, urgency: Urgency) -> Result<(), Error> {
        self.lease.check()?;
        if self.outbox.holds_up(urgency) {
            return Err(Error::new(
                Code::AuditUnavailable,
                "the audit log cannot be written, so nothing may change; it recovers by itself",
            ));
        }
        match urgency {
            Urgency::Essential => Ok(()),
            Urgency::Ordinary => self.space.check_change(),
        }
    }

    /// For what cannot be undone: no value or key goes while it is not known what time it is.
    ///
    /// # Errors
    /// [`Code::Unavailable`] while the clock is in doubt.
    pub(crate) fn may_destroy(&self) -> Result<(), Error> {
        if self.clock.is_in_doubt() {
            let message = "the clock is in doubt, so nothing is destroyed; see `coffer operator clock-accept`";
            return Err(Error::new(Code::Unavailable, message));
        }
        Ok(())
    }

    /// The entry under `key`, checked, from the cache or the store.
    pub(crate) async fn sealed(&self, key: &str) -> Result<Option<Arc<CachedEntry>>, Error> {
        if let Some(found) = self.cache.get(key) {
            self.metrics.cache_hits.add(1);
            return Ok(Some(found));
        }
        self.metrics.cache_misses.add(1);
        let visit = self.cache.visit(key);
        let Some(Entry { value, revision }) = self.store.get(&Key::new(key.to_owned())?).await? else {
            return Ok(None);
        };
        self.barrier.check(key, &value)?;
        let entry = Arc::new(CachedEntry { sealed: value, revision });
        self.cache.admit(visit, key.to_owned(), Arc::clone(&entry));
        Ok(Some(entry))
    }

    /// The opened entry under `key`, through the cache.
    pub(crate) async fn open_cached(&self, key: &str) -> Result<Option<Found<Zeroizing<Vec<u8>>>>, Error> {
        let Some(entry) = self.sealed(key).await? else { return Ok(None) };
        let value = self.barrier.open_checked(key, &entry.sealed)?;
        Ok(Some(Found { value, revision: entry.revision }))
    }

    /// The opened entry under `key`, from the store.
    pub(crate) async fn open(&self, key: &str) -> Result<Option<Found<Zeroizing<Vec<u8>>>>, Error> {
        match self.store.get(&Key::new(key.to_owned())?).await? {
            Some(Entry { value, revision }) => Ok(Some(Found { value: self.barrier.open(key, &value)?, revision })),
            None => Ok(None),
        }
    }

    /// The row under `key`, decoded.
    pub(crate) async fn row<T: Persisted>(&self, key: &str) -> Result<Option<Found<T>>, Error> {
        match self.open(key).await? {
            Some(Found { value, revision }) => Ok(Some(Found { value: codec::decode(key, &value)?, revision })),
            None => Ok(None),
        }
    }

    /// The row under `key`, decoded, through the cache. For the prefixes that [`crate::keys::is_cached`] names.
    pub(crate) async fn row_cached<T: Persisted>(&self, key: &str) -> Result<Option<Found<T>>, Error> {
        debug_assert!(crate::keys::is_cached(key), "a change of {key} would not reach the cache");
        match self.open_cached(key).await? {
            Some(Found { value, revision }) => Ok(Some(Found { value: codec::decode(key, &value)?, revision })),
            None => Ok(None),
        }
    }

    /// Keys under `prefix` after `after`, without the prefix, at most `limit` (1 to 1,000).
    pub(crate) async fn names(&self, prefix: &str, after: &str, limit: usize) -> Result<NamePage, Error> {
        let after = (!after.is_empty()).then(|| Key::new(format!("{prefix}{after}"))).transpose()?;
        let limit = Limit::new(limit.clamp(1, 1000))?;
        let page = self.store.scan_keys(&Prefix::new(prefix.to_owned())?, after.as_ref(), limit).await?;
        let names = page.items.iter().filter_map(|key| {
            std::str::from_utf8(key.as_bytes()).ok().and_then(|key| key.strip_prefix(prefix)).map(str::to_owned)
        });
        Ok(NamePage { names: names.collect(), more: page.more })
    }

    /// Every row under `prefix`, decoded, a page at a time.
    pub(crate) async fn each<T: Persisted>(
        &self,
        prefix: &str,
        mut visit: impl FnMut(&str, T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let prefix = Prefix::new(prefix.to_owned())?;
        let mut after: Option<Key> = None;
        loop {
            let page = self.store.scan(&prefix, after.as_ref(), Limit::MAX).await?;
            for (key, entry) in &page.items {
                let name = std::str::from_utf8(key.as_bytes()).map_err(Error::internal)?;
                let opened = self.barrier.open(name, &entry.value)?;
                visit(name, codec::decode(name, &opened)?)?;
            }
            match page.items.last() {
                Some((last, _)) if page.more => after = Some(last.clone()),
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// Logs a record that belongs to no change, and waits as the setting for reads says.
    pub(crate) async fn log_read(&self, record: &Record) -> Result<(), Error> {
        self.log_reads(std::slice::from_ref(record)).await
    }

    /// Logs the records of one request together, as [`Active::log_read`] does one.
    pub(crate) async fn log_reads(&self, records: &[Record]) -> Result<(), Error> {
        // The log takes so many entries, of 16 KiB at most, in one call.
        for some in records.chunks(RECORDS_TOGETHER) {
            match self.read_durability {
                ReadDurability::Synced => self.log_all_synced(some).await?,
                // What protects has no change of its own to be synced with, as a seal, and may use what is kept for it.
                ReadDurability::Written if some.iter().any(is_essential) => self.log_all_synced(some).await?,
                ReadDurability::Written => {
                    let appended = self.log.append_relaxed(self.entries(some)).await;
                    let ticket = appended.map_err(|error| self.log_broke(error))?;
                    self.log.written(&ticket).await.map_err(|error| self.log_broke(error))?;
                }
            }
        }
        Ok(())
    }

    /// Logs a record that belongs to no change and waits until it is synced.
    pub(crate) async fn log_synced(&self, record: &Record) -> Result<(), Error> {
        self.log_all_synced(std::slice::from_ref(record)).await
    }

    async fn log_all_synced(&self, records: &[Record]) -> Result<(), Error> {
        let entries = self.entries(records);
        let appended = match records.iter().any(is_essential) {
            true => self.log.append_reserved(entries).await,
            false => self.log.append(entries).await,
        };
        let ticket = appended.map_err(|error| self.log_broke(error))?;
        self.log.synced(&ticket).await.map(drop).map_err(|error| self.log_broke(error))
    }

    /// Waits until this node stops being active.
    pub(crate) async fn stopped(&self) {
        let mut stop = self.stop.subscribe();
        let _ = stop.wait_for(|stop| *stop).await;
    }

    /// Policies, entities or groups changed: compiled policy sets are stale.
    pub(crate) fn authority_changed(&self) {
        self.authority.fetch_add(1, Ordering::AcqRel);
    }

    fn entries(&self, records: &[Record]) -> Vec<Vec<u8>> {
        let now = self.clock.now();
        records.iter().flat_map(|record| record.encode(&self.node, now)).map(Encoded::into_entry).collect()
    }

    fn log_broke(&self, error: crate::tlog::AppendError) -> Error {
        self.outbox.broke(&error);
        Error::new(
            Code::AuditUnavailable,
            "the audit log cannot be written, so nothing is answered; it recovers by itself",
        )
        .caused_by(error)
    }
}

fn is_essential(record: &Record) -> bool {
    record.urgency() == Urgency::Essential
}

/// Names below a prefix.
pub(crate) struct NamePage {
    pub(crate) names: Vec<String>,
    pub(crate) more: bool,
}

impl Weigh for CachedEntry {
    fn weight(&self) -> usize {
        // The key, the maps' overhead and the reference counts beside the bytes themselves.
        self.sealed.len() + 256
    }

    fn let_go(&self) {}
}
