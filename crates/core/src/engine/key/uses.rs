//! Uses of versions that must not be used too often with random nonces: counted in durably reserved blocks, so that a
//! crash forgets at most the rest of a block and never lowers the count. Near the end of its uses a version is replaced.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use coffer_api::Code;
use parking_lot::Mutex;
use uuid::Uuid;

use super::{create::Begin, entry::KeyEntry, manage::check_rotates};
use crate::{
    Error,
    active::Active,
    codec,
    commit::{Edit, Logged},
    keys,
    record::Record,
    seal::root::Reservation,
};

/// Uses are reserved in blocks of this many.
pub(crate) const USE_BLOCK: u64 = 1 << 20;
/// A version is replaced while this many of its blocks are not reserved yet.
const SPARE_BLOCKS: u64 = 64;
/// Counters held at once; one that nobody uses makes room and gives up the rest of its block.
const MAX_COUNTERS: usize = 100_000;

/// Counters of the versions that were used since the node became active.
#[derive(Default)]
pub(crate) struct UseCounters {
    counters: Mutex<HashMap<(Uuid, u32), Arc<UseCounter>>>,
    /// Held by who reads a count from the store, so that nobody goes on from one that grew meanwhile.
    loading: tokio::sync::Mutex<()>,
    /// Keys to be rotated: mount and key.
    spent: Mutex<Vec<(Uuid, Uuid)>>,
}

/// The uses of one version.
pub(crate) struct UseCounter {
    key: Uuid,
    version: u32,
    /// Uses at most.
    most: u64,
    /// Uses left in the blocks reserved so far.
    left: AtomicI64,
    /// All uses ever reserved; what the store says.
    total: AtomicU64,
    /// Held by who reserves a block.
    turn: tokio::sync::Mutex<()>,
}

impl UseCounter {
    /// Takes so many uses, if they are reserved.
    pub(crate) fn take(&self, uses: u32) -> bool {
        let uses = i64::from(uses);
        if self.left.fetch_sub(uses, Ordering::Relaxed) >= uses {
            return true;
        }
        self.left.fetch_add(uses, Ordering::Relaxed);
        false
    }

    /// All uses ever reserved.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

impl Active {
    /// Counts uses of a version before they are made. Algorithms that need no count cost nothing.
    ///
    /// # Errors
    /// [`Code::KeyState`] where its uses are used up; by then the key has another primary version, where it can have one.
    pub(crate) async fn count_use(self: &Arc<Self>, entry: &KeyEntry, version: u32, uses: u32) -> Result<(), Error> {
        let Some(counter) = self.use_counter(entry, version).await? else { return Ok(()) };
        while !counter.take(uses) {
            self.reserve_uses(entry, &counter, uses).await?;
        }
        Ok(())
    }

    /// The counter of a version; `None` where uses need not be counted.
    pub(crate) async fn use_counter(&self, entry: &KeyEntry, version: u32) -> Result<Option<Arc<UseCounter>>, Error> {
        let Some(most) = entry.algorithm.uses() else { return Ok(None) };
        if let Some(known) = self.key_uses.counters.lock().get(&(entry.id, version)) {
            return Ok(Some(Arc::clone(known)));
        }
        let _loading = self.key_uses.loading.lock().await;
        if let Some(known) = self.key_uses.counters.lock().get(&(entry.id, version)) {
            return Ok(Some(Arc::clone(known)));
        }
        let row = self.row::<Reservation>(&counter_row(entry.id, version)).await?;
        let counter = Arc::new(UseCounter {
            key: entry.id,
            version,
            most,
            left: AtomicI64::new(0),
            total: AtomicU64::new(row.map_or(0, |found| found.value.total)),
            turn: tokio::sync::Mutex::default(),
        });
        let mut counters = self.key_uses.counters.lock();
        if counters.len() >= MAX_COUNTERS {
            counters.retain(|_, counter| Arc::strong_count(counter) > 1);
        }
        counters.insert((entry.id, version), Arc::clone(&counter));
        Ok(Some(counter))
    }

    async fn reserve_uses(&self, entry: &KeyEntry, counter: &UseCounter, uses: u32) -> Result<(), Error> {
        let _turn = counter.turn.lock().await;
        if counter.left.load(Ordering::Relaxed) >= i64::from(uses) {
            return Ok(());
        }
        let block = USE_BLOCK.max(u64::from(uses));
        let total = counter.total().saturating_add(block);
        if total.saturating_add(SPARE_BLOCKS * USE_BLOCK) >= counter.most {
            self.key_uses.spent.lock().push((entry.mount, entry.id));
            self.sweep_asked.notify_one();
        }
        if total > counter.most {
            let (name, version) = (&entry.name, counter.version);
            let message =
                format!("version {version} of the key {name:?} was used as often as it may be; rotate the key");
            return Err(Error::new(Code::KeyState, message));
        }
        let mut edit = Edit::default();
        edit.put(counter_row(counter.key, counter.version), codec::encode(&Reservation { total })?, None);
        crate::failpoint::hit("before-uses-reserved");
        self.commit_bookkeeping(edit).await?;
        crate::failpoint::hit("after-uses-reserved");
        counter.total.store(total, Ordering::Relaxed);
        counter.left.fetch_add(i64::try_from(block).unwrap_or(0), Ordering::Relaxed);
        Ok(())
    }
}

/// Rotates the keys whose primary versions are as good as used up.
///
/// # Errors
/// The last one of those that failed; the others are rotated all the same.
pub(crate) async fn rotate_spent(active: &Arc<Active>) -> Result<(), Error> {
    let mut spent = std::mem::take(&mut *active.key_uses.spent.lock());
    spent.sort_unstable();
    spent.dedup();
    let mut outcome = Ok(());
    for (mount, id) in spent {
        if let Err(error) = rotate_one(active, mount, id).await {
            // It is asked for again with the next block.
            outcome = Err(error);
        }
    }
    outcome
}

async fn rotate_one(active: &Arc<Active>, mount: Uuid, id: Uuid) -> Result<(), Error> {
    let Some(found) = active.key_by_id(mount, id).await? else { return Ok(()) };
    let entry = found.value;
    let Some(primary) = entry.primary.filter(|_| entry.deleted_ms.is_none()) else { return Ok(()) };
    let Some(counter) = active.use_counter(&entry, primary).await? else { return Ok(()) };
    if counter.total().saturating_add((SPARE_BLOCKS + 1) * USE_BLOCK) < counter.most {
        return Ok(());
    }
    check_rotates(&entry)?;
    let material = active.key_generate(&entry).await?;
    let record = Record::system("key.rotate").fact("reason", "its uses are used up");
    let still = |now: &KeyEntry| now.primary == Some(primary);
    let (_, logged) = active.key_add(&entry, material, Begin::Active, still, record).await?;
    Logged::spend(logged);
    Ok(())
}

/// The row that says how many uses of a version are reserved.
pub(crate) fn counter_row(key: Uuid, version: u32) -> String {
    format!("{}key/{}/{version:08x}", keys::COUNTER, key.simple())
}
