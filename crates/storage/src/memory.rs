//! The engine that forgets: everything in one ordered map. For tests and throw-away development servers.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::RwLock;

use crate::batch::{Batch, Change, Epoch, may_load};
use crate::entry::{Entry, Filling, Limit, Page, Revision, Sealed};
use crate::error::Error;
use crate::key::{Key, Prefix, Range};
use crate::leadership::{Candidate, Exclusive, Leader, check_lease};
use crate::stats::{Counters, Stats};
use crate::{Purged, Snapshot, Store};

/// A store in memory; "durable" only as long as the process lives.
#[derive(Default)]
pub(crate) struct Memory {
    state: RwLock<State>,
    counters: Arc<Counters>,
}

/// A copy of it; the values are shared.
struct Copied {
    entries: BTreeMap<Key, Entry>,
    revision: Revision,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<Key, Entry>,
    revision: Revision,
    leadership: Exclusive,
    life: Life,
}

#[derive(Default, PartialEq, Eq)]
enum Life {
    Closed,
    #[default]
    Open,
}

#[async_trait]
impl Store for Memory {
    async fn get(&self, key: &Key) -> Result<Option<Entry>, Error> {
        let state = self.state.read();
        state.check_open()?;
        Ok(state.entries.get(key).cloned())
    }

    async fn scan(&self, prefix: &Prefix, after: Option<&Key>, limit: Limit) -> Result<Page<(Key, Entry)>, Error> {
        let state = self.state.read();
        state.check_open()?;
        Ok(page(&state.entries, prefix, after, limit))
    }

    async fn scan_keys(&self, prefix: &Prefix, after: Option<&Key>, limit: Limit) -> Result<Page<Key>, Error> {
        let state = self.state.read();
        state.check_open()?;
        let range = Range::new(prefix, after);
        let mut found = entries_in(&state.entries, &range);
        let items = found.by_ref().take(limit.get()).map(|(key, _)| key.clone()).collect();
        Ok(Page { items, more: found.next().is_some() })
    }

    async fn commit(&self, batch: Batch) -> Result<Revision, Error> {
        let size = batch.measure()?;
        let outcome = self.state.write().commit(&batch);
        self.counters.count(&batch, size, &outcome);
        if outcome.is_ok() {
            self.counters.count_group(1);
        }
        outcome
    }

    async fn snapshot(&self, _growth: u64) -> Result<Box<dyn Snapshot>, Error> {
        let state = self.state.read();
        state.check_open()?;
        Ok(Box::new(Copied { entries: state.entries.clone(), revision: state.revision }))
    }

    async fn load(&self, at: Revision, entries: Vec<(Key, Sealed, Revision)>) -> Result<(), Error> {
        let mut state = self.state.write();
        state.check_open()?;
        let revisions = entries.iter().map(|(_, _, revision)| *revision);
        let known = entries.iter().any(|(key, _, _)| state.entries.contains_key(key));
        if known || !may_load(state.revision, at, revisions) {
            return Err(Error::Conflict);
        }
        state.revision = at;
        for (key, value, revision) in entries {
            state.entries.insert(key, Entry { value: value.bytes(), revision });
        }
        Ok(())
    }

    async fn purge(&self) -> Result<Purged, Error> {
        self.state.read().check_open()?;
        Ok(Purged::Whole)
    }

    async fn leader(&self) -> Result<Option<Leader>, Error> {
        let state = self.state.read();
        state.check_open()?;
        Ok(state.leadership.leader())
    }

    async fn lead(&self, node: &str, address: &str, lease: Duration) -> Result<Option<Epoch>, Error> {
        let candidate = Candidate::new(node, address, lease)?;
        let mut state = self.state.write();
        state.check_open()?;
        let epoch = state.leadership.epoch().next();
        state.leadership.install(epoch, candidate);
        Ok(Some(epoch))
    }

    async fn renew(&self, epoch: Epoch, lease: Duration) -> Result<(), Error> {
        check_lease(lease)?;
        let mut state = self.state.write();
        state.check_open()?;
        state.leadership.renew(epoch, lease)
    }

    async fn release(&self, epoch: Epoch) -> Result<(), Error> {
        let mut state = self.state.write();
        state.check_open()?;
        state.leadership.renew(epoch, Duration::ZERO)
    }

    fn stats(&self) -> Stats {
        self.counters.read()
    }

    async fn close(&self) {
        let mut state = self.state.write();
        state.life = Life::Closed;
        state.entries = BTreeMap::new();
    }
}

#[async_trait]
impl Snapshot for Copied {
    fn revision(&self) -> Revision {
        self.revision
    }

    async fn scan(&self, prefix: &Prefix, after: Option<&Key>, limit: Limit) -> Result<Page<(Key, Entry)>, Error> {
        Ok(page(&self.entries, prefix, after, limit))
    }
}

fn page(entries: &BTreeMap<Key, Entry>, prefix: &Prefix, after: Option<&Key>, limit: Limit) -> Page<(Key, Entry)> {
    let mut page = Filling::new(limit);
    for (key, entry) in entries_in(entries, &Range::new(prefix, after)) {
        if page.is_full() {
            return page.finish(true);
        }
        page.push(key.clone(), entry.clone());
    }
    page.finish(false)
}

fn entries_in<'e>(entries: &'e BTreeMap<Key, Entry>, range: &Range) -> impl Iterator<Item = (&'e Key, &'e Entry)> {
    // The map panics where the bounds are in the wrong order.
    let to = if range.is_empty() { &range.from } else { &range.to };
    entries.range::<[u8], _>((Bound::Included(range.from.as_slice()), Bound::Excluded(to.as_slice())))
}

impl State {
    fn check_open(&self) -> Result<(), Error> {
        match self.life {
            Life::Closed => Err(Error::closed()),
            Life::Open => Ok(()),
        }
    }

    fn commit(&mut self, batch: &Batch) -> Result<Revision, Error> {
        self.check_open()?;
        if batch.epoch.is_some_and(|epoch| epoch != self.leadership.epoch()) {
            return Err(Error::Fenced);
        }
        let holds = |change: &Change| match change.expect() {
            None => true,
            Some(expect) => expect.holds(self.entries.get(change.key()).map(|entry| entry.revision)),
        };
        if !batch.changes.iter().all(holds) {
            return Err(Error::Conflict);
        }
        self.revision = self.revision.next();
        for change in &batch.changes {
            match change {
                Change::Check { .. } => {}
                Change::Delete { key, .. } => drop(self.entries.remove(key)),
                Change::Put { key, value, .. } => {
                    let entry = Entry { value: value.bytes(), revision: self.revision };
                    self.entries.insert(key.clone(), entry);
                }
            }
        }
        Ok(self.revision)
    }
}
