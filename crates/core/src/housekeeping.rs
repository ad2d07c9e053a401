//! What an active node does beside answering: reserve seals, persist the clock's mark, rotate terms, sweep tokens,
//! watch the disk, summarise refusals. Nothing in it waits for long: what does is a task of its own.

use std::{sync::Arc, time::Duration};

use coffer_crypto::{Secret, envelope::TermKey};
use coffer_storage::Expect;
use serde::{Deserialize, Serialize};

use crate::{
    Error,
    active::{Active, Found},
    auth::approle,
    barrier::{self, BLOCK},
    codec::{self, Persisted},
    commit::{Edit, Logged, Urgency},
    engine::key,
    keys,
    locks::PathGuard,
    ops,
    record::Record,
    refusals,
    seal::{
        retire,
        root::{Reservation, counter_row},
    },
    token::{create::milliseconds, sweep},
};

const TICK: Duration = Duration::from_millis(200);
/// In ticks.
const EVERY_SECOND: u64 = 5;
const EVERY_FIVE_SECONDS: u64 = 25;
const EVERY_HALF_MINUTE: u64 = 150;
/// Bundles indexed in one go: 256 entries each.
const BUNDLES_INDEXED: u64 = 256;

/// The clock's high-water mark (`clock`).
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct ClockRow {
    pub(crate) mark_ms: i64,
}

impl Persisted for ClockRow {}

/// When a term began (`sys/term-began`), for rotation by age.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct TermBegan {
    pub(crate) term: u32,
    pub(crate) began_ms: i64,
}

impl Persisted for TermBegan {}

/// Runs until the node is no longer active.
pub(crate) async fn keep(active: Arc<Active>) {
    for tick in 0_u64.. {
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            () = active.sweep_asked.notified() => report("sweep tokens", sweep_all(&active).await),
            () = active.secrets_sweep_asked.notified() => {
                report("sweep secret ids", approle::sweep::sweep_all(&active).await)
            }
            () = active.stopped() => return,
        }
        report("reserve seals", reserve(&active).await);
        report("rotate keys", key::uses::rotate_spent(&active).await);
        if tick % EVERY_SECOND == 0 {
            active.space.look();
            if let Some(warning) = active.metrics.unlocked.warning() {
                tracing::warn!("{warning}");
            }
            refusals::summarise(&active).await;
        }
        if tick % EVERY_SECOND == 1 {
            report("index the log", index(&active).await);
        }
        if tick % EVERY_FIVE_SECONDS == 0 {
            report("persist the clock's mark", persist_clock(&active).await);
        }
        if tick % EVERY_HALF_MINUTE == 0 {
            report("rotate the term", rotate_if_old(&active).await);
            report("end the shares before a rekey", retire::retire(&active).await);
            report("sweep tokens", sweep_all(&active).await);
            report("end policies", ops::policy::sweep(&active).await);
            report("sweep secret ids", approle::sweep::sweep_all(&active).await);
            active.tokens.tidy();
        }
    }
}

/// Makes a new term current.
pub(crate) async fn rotate_term(active: &Arc<Active>, record: Record) -> Result<Logged, Error> {
    let guard = active.locks.lock(&[keys::TERM]).await;
    next_term(active, guard, record).await
}

async fn next_term(active: &Arc<Active>, guard: PathGuard, record: Record) -> Result<Logged, Error> {
    let number = active.barrier.term() + 1;
    let secret = Secret::random(32)?;
    let row = barrier::term_key(number);
    let mut edit = Edit::under(guard);
    edit.put_sealed(row.clone(), barrier::wrap_under_root(&active.root, &row, &secret)?, Some(Expect::Absent));
    let counter = counter_row(number);
    let reservation = codec::encode(&Reservation { total: BLOCK })?;
    edit.put(counter, reservation, None);
    let began = TermBegan { term: number, began_ms: active.clock.now() };
    edit.put(keys::TERM_BEGAN, codec::encode(&began)?, None);
    let key = TermKey::new(number, &secret)?;
    edit.in_force(move |active| active.barrier.begin_term(key, BLOCK));
    active.commit(edit, record.fact("term", number.to_string()), Urgency::Ordinary).await
}

/// Writes the clock's mark where it may move.
pub(crate) async fn persist_clock(active: &Active) -> Result<(), Error> {
    let Some(mark_ms) = active.clock.mark_to_persist() else { return Ok(()) };
    let mut edit = Edit::default();
    edit.put(keys::CLOCK, codec::encode(&ClockRow { mark_ms })?, None);
    active.commit_bookkeeping(edit).await.map(drop)
}

/// Pays for more seals. A term whose seals are as good as used up gets no further block: the next term brings its own.
async fn reserve(active: &Arc<Active>) -> Result<(), Error> {
    if active.barrier.is_spent() {
        return replace_term(active, active.barrier.term(), "its seals are used up").await;
    }
    let Some(block) = active.barrier.wanted_block() else { return Ok(()) };
    let row = counter_row(block.term());
    let mut edit = Edit::default();
    let sealed = block.seal(&row, &[&codec::encode(&Reservation { total: block.total() })?])?;
    edit.put_sealed(row, sealed, None);
    active.commit_bookkeeping(edit).await?;
    block.grant();
    Ok(())
}

async fn rotate_if_old(active: &Arc<Active>) -> Result<(), Error> {
    let now = active.clock.now();
    let Some(Found { value: began, .. }) = active.row::<TermBegan>(keys::TERM_BEGAN).await? else { return Ok(()) };
    let old = now.saturating_sub(began.began_ms) >= milliseconds(active.limits.term_max_age);
    if old && !active.clock.is_in_doubt() {
        replace_term(active, began.term, "its age").await?;
    }
    Ok(())
}

/// Ends this term, unless somebody else did meanwhile.
async fn replace_term(active: &Arc<Active>, term: u32, reason: &str) -> Result<(), Error> {
    let guard = active.locks.lock(&[keys::TERM]).await;
    if active.barrier.term() != term {
        return Ok(());
    }
    let record = Record::system("barrier.rotate").fact("reason", reason);
    next_term(active, guard, record).await.map(Logged::spend)
}

/// Adds full bundles to the search index, a few at a time; what is not in it yet is searched all the same.
async fn index(active: &Arc<Active>) -> Result<(), Error> {
    let active = Arc::clone(active);
    let indexed = tokio::task::spawn_blocking(move || active.index.catch_up(BUNDLES_INDEXED)).await;
    indexed.map_err(Error::internal)?.map(drop).map_err(Error::internal)
}

async fn sweep_all(active: &Arc<Active>) -> Result<(), Error> {
    while sweep::sweep(active).await? {}
    Ok(())
}

fn report(what: &'static str, result: Result<(), Error>) {
    if let Err(error) = result {
        tracing::warn!(what, cause = ?error, "housekeeping failed; it is tried again");
    }
}

#[cfg(test)]
mod tests;
