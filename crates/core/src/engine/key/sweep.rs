//! What happens to keys by itself, found by an index of minutes: rotation, deactivation after the overlap, destruction and
//! its attestation. Nothing of it happens while the clock is in doubt. A rotation may wait for primes, so this is a task of
//! its own, for which nothing else waits, least of all a stop.
//!
//! A version is destroyed by a commit that expects the entry, and the settings that say how long destruction waits, to be
//! as they were read. Then the store is purged; only when no file of it holds the object key any more is the destruction
//! attested, in a record of its own.

use std::{sync::Arc, time::Duration};

use coffer_storage::{Key, Limit, Prefix, Purged};
use uuid::Uuid;

use super::{
    create::{Begin, key_record},
    entry::{KeyEntry, KeyVersion},
    manage::{check_rotates, list},
    settings::settings_row,
    state::{KeyState, KeyStep},
    uses::counter_row,
    view::fingerprint,
};
use crate::{
    Error,
    active::Active,
    clock::Expiry,
    commit::{Edit, Urgency},
    keys,
    record::Record,
    time::rfc3339,
};

/// Between two sweeps.
const EVERY: Duration = Duration::from_secs(30);
/// Index rows read at once.
const ROUND: usize = 500;
/// Steps of one key in one sweep.
const STEPS: usize = 8;

/// What is due for a key.
enum Due {
    Deactivate(Vec<u32>),
    Destroy(Vec<u32>),
    Rotate,
}

/// Sweeps until the node is no longer active.
pub(crate) async fn keep(active: Arc<Active>) {
    loop {
        let work = async {
            if let Err(error) = sweep_all(&active).await {
                tracing::warn!(cause = ?error, "some of what is due for keys failed; it is tried again");
            }
            tokio::time::sleep(EVERY).await;
        };
        tokio::select! {
            () = work => {}
            () = active.stopped() => return,
        }
    }
}

/// Does all that is due, until the node stops; whoever else sweeps meanwhile is waited for.
///
/// # Errors
/// The last of those keys that failed; the others are done all the same, and those that failed are tried again.
pub(crate) async fn sweep_all(active: &Arc<Active>) -> Result<(), Error> {
    // No path lock: under it others are taken, and two paths may share one.
    let _turn = active.key_sweep.lock().await;
    let prefix = Prefix::new(keys::KEY_DUE)?;
    let mut after: Option<Key> = None;
    let mut unattested = Vec::new();
    let mut outcome = Ok(());
    loop {
        if active.clock.is_in_doubt() {
            return outcome;
        }
        let minute = u64::try_from(active.clock.now() / 60_000).unwrap_or(0);
        let page = active.store.scan_keys(&prefix, after.as_ref(), Limit::new(ROUND)?).await?;
        let mut past = false;
        for key in &page.items {
            let Some((bucket, mount, id)) = parse(key) else { continue };
            if bucket > minute {
                past = true;
                break;
            }
            if *active.stop.borrow() {
                return outcome;
            }
            active.metrics.sweep_visited.add(1);
            match work_off(active, mount, id).await {
                Ok(Some(entry)) => unattested.push(entry),
                Ok(None) => {}
                Err(error) => outcome = Err(error),
            }
        }
        after = page.items.last().cloned();
        if past || !page.more {
            break;
        }
    }
    match (attest(active, unattested).await, outcome) {
        (Err(error), _) => Err(error),
        (Ok(()), outcome) => outcome,
    }
}

/// Does what is due for a key, one step after the other. Gives the entry back where destructions are to be attested.
async fn work_off(active: &Arc<Active>, mount: Uuid, id: Uuid) -> Result<Option<KeyEntry>, Error> {
    for _ in 0..STEPS {
        let Some(found) = active.key_by_id(mount, id).await? else { return Ok(None) };
        let entry = found.value;
        match due(active, &entry) {
            None => return Ok(Some(entry).filter(|entry| destroyed_unattested(entry).next().is_some())),
            Some(Due::Rotate) => rotate(active, &entry).await?,
            Some(Due::Deactivate(versions)) => deactivate(active, &entry, &versions).await?,
            Some(Due::Destroy(versions)) => destroy(active, &entry, &versions).await?,
        }
    }
    Ok(None)
}

fn due(active: &Active, entry: &KeyEntry) -> Option<Due> {
    let has_come = |at: Option<i64>| at.is_some_and(|at| matches!(active.clock.expired(at), Expiry::Expired));
    let versions = |which: &dyn Fn(&KeyVersion) -> bool| -> Vec<u32> {
        entry.versions.iter().filter(|version| which(version)).map(|version| version.number).collect()
    };
    let to_deactivate = versions(&|v| v.state == KeyState::Active && has_come(v.deactivate_at_ms));
    if !to_deactivate.is_empty() {
        return Some(Due::Deactivate(to_deactivate));
    }
    let to_destroy = versions(&|v| v.state == KeyState::DestroyScheduled && has_come(v.destroy_at_ms));
    if !to_destroy.is_empty() {
        return Some(Due::Destroy(to_destroy));
    }
    (entry.rotates() && has_come(entry.rotate_at_ms)).then_some(Due::Rotate)
}

async fn rotate(active: &Arc<Active>, entry: &KeyEntry) -> Result<(), Error> {
    check_rotates(entry)?;
    let material = active.key_generate(entry).await?;
    let record = Record::system("key.rotate").fact("reason", "its period");
    let planned = entry.rotate_at_ms;
    let still = |now: &KeyEntry| now.rotates() && now.rotate_at_ms == planned;
    let (_, logged) = active.key_add(entry, material, Begin::Active, still, record).await?;
    logged.spend();
    Ok(())
}

async fn deactivate(active: &Arc<Active>, entry: &KeyEntry, versions: &[u32]) -> Result<(), Error> {
    let guard = active.key_lock(entry.mount, &entry.name).await;
    let Some(found) = active.key_by_id(entry.mount, entry.id).await? else { return Ok(()) };
    let mut entry = found.value.clone();
    let now = active.clock.now();
    for number in versions {
        let ends = entry.version(*number).and_then(|version| version.deactivate_at_ms);
        if ends.is_some_and(|at| at <= now) {
            entry.step(*number, KeyStep::Deactivate, now)?;
        }
    }
    let mut edit = Edit::under(guard);
    active.key_put(Some(&found), &entry, &mut edit)?;
    let record = key_record(Record::system("key.deactivate"), &entry).fact("versions", list(versions));
    active.commit(edit, record.fact("reason", "its overlap is over"), Urgency::Ordinary).await?.spend();
    Ok(())
}

/// Destroys versions whose time has come, by the settings of this moment; those that these make wait wait.
async fn destroy(active: &Arc<Active>, entry: &KeyEntry, versions: &[u32]) -> Result<(), Error> {
    let guard = active.key_lock(entry.mount, &entry.name).await;
    let Some(found) = active.key_by_id(entry.mount, entry.id).await? else { return Ok(()) };
    let settings = active.key_settings(entry.mount).await?;
    let mut entry = found.value.clone();
    let now = active.clock.now();
    let (mut destroyed, mut waiting) = (Vec::new(), Vec::new());
    let mut edit = Edit::under(guard);
    for number in versions {
        let Some(version) = entry.version(*number).filter(|version| version.state == KeyState::DestroyScheduled) else {
            continue;
        };
        let earliest = version.scheduled_ms.unwrap_or(now).saturating_add(settings.value.least_wait(&entry));
        let at = version.destroy_at_ms.unwrap_or(earliest);
        if earliest > now {
            entry.put_off(*number, earliest);
            waiting.push(*number);
        } else if at <= now && !active.clock.is_in_doubt() {
            entry.step(*number, KeyStep::Reap, now)?;
            edit.delete(counter_row(entry.id, *number), None);
            destroyed.push(*number);
        }
    }
    if destroyed.is_empty() && waiting.is_empty() {
        return Ok(());
    }
    edit.check(settings_row(entry.mount), settings.expect);
    active.key_put(Some(&found), &entry, &mut edit)?;
    let record = key_record(Record::system("key.destroyed"), &entry).fact("versions", list(&destroyed));
    let record = if waiting.is_empty() { record } else { record.fact("waiting", list(&waiting)) };
    active.commit(edit, record, Urgency::Ordinary).await?.spend();
    Ok(())
}

/// Purges the store and attests what was destroyed before. Where something still reads an older state of the store, that
/// is for the next sweep.
async fn attest(active: &Arc<Active>, entries: Vec<KeyEntry>) -> Result<(), Error> {
    if entries.is_empty() {
        return Ok(());
    }
    match active.store.purge().await? {
        Purged::Whole => {}
        Purged::Waiting => {
            tracing::info!(keys = entries.len(), "an older state of the store is being read; attestations wait for it");
            return Ok(());
        }
    }
    for read in entries {
        let numbers: Vec<u32> = destroyed_unattested(&read).map(|version| version.number).collect();
        for number in numbers {
            attest_one(active, &read, number).await?;
        }
    }
    Ok(())
}

async fn attest_one(active: &Arc<Active>, read: &KeyEntry, number: u32) -> Result<(), Error> {
    let guard = active.key_lock(read.mount, &read.name).await;
    let Some(found) = active.key_by_id(read.mount, read.id).await? else { return Ok(()) };
    let mut entry = found.value.clone();
    let Some(version) = destroyed_unattested(&found.value).find(|version| version.number == number) else {
        return Ok(());
    };
    let now = active.clock.now();
    entry.attested(number, now);
    let time = |at: Option<i64>| at.map_or_else(|| "never".to_owned(), rfc3339);
    let mut record = key_record(Record::system("key.attest"), &entry)
        .fact("attestation", "object_key_deleted")
        .fact("algorithm", entry.algorithm.name())
        .fact("fingerprint", fingerprint(version))
        .fact("created", rfc3339(version.created_ms))
        .fact("deactivated", time(version.deactivated_ms))
        .fact("compromised", time(version.compromise.as_ref().map(|compromise| compromise.at_ms)))
        .fact("scheduled", time(version.scheduled_ms))
        .fact("destroyed", time(version.destroyed_ms));
    record.version = Some(u64::from(number));
    let mut edit = Edit::under(guard);
    active.key_put(Some(&found), &entry, &mut edit)?;
    active.commit(edit, record, Urgency::Ordinary).await?.spend();
    Ok(())
}

fn destroyed_unattested(entry: &KeyEntry) -> impl Iterator<Item = &KeyVersion> {
    entry.versions.iter().filter(|version| version.state == KeyState::Destroyed && version.attested_ms.is_none())
}

/// Minute, mount and key of an index row.
fn parse(key: &Key) -> Option<(u64, Uuid, Uuid)> {
    let mut parts = std::str::from_utf8(key.as_bytes()).ok()?.strip_prefix(keys::KEY_DUE)?.split('/');
    let minute = u64::from_str_radix(parts.next()?, 16).ok()?;
    let (mount, id) = (Uuid::parse_str(parts.next()?).ok()?, Uuid::parse_str(parts.next()?).ok()?);
    parts.next().is_none().then_some((minute, mount, id))
}
