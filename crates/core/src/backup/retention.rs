//! Which backups of a schedule are kept, and how the others end.

use std::{io, path::Path, sync::Arc, time::Duration};

use uuid::Uuid;

use super::{
    Kept, Manifest,
    directory::{self, Gone},
};
use crate::{
    active::Active,
    clock::TOLERANCE,
    config::{BackupSchedule, Keep},
    record::Record,
};

/// When a backup says that it was made, UTC milliseconds, and at which revision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Made {
    at_ms: i64,
    revision: u64,
}

impl Made {
    pub(super) fn of(manifest: &Manifest) -> Self {
        Self { at_ms: manifest.made_ms, revision: manifest.revision }
    }

    /// Whether the clock ran ahead when it was made.
    fn is_ahead(self, now: i64) -> bool {
        self.at_ms > now.saturating_add(milliseconds(TOLERANCE))
    }
}

/// When the newest was made, of those that were made by now.
pub(super) fn newest(made: &[Made], now: i64) -> Option<i64> {
    made.iter().filter(|made| !made.is_ahead(now)).map(|made| made.at_ms).max()
}

/// The backups that the schedule of a cluster made and that can be read.
pub(super) async fn own(dir: &Path, cluster: Uuid) -> Vec<(Kept, Manifest)> {
    let dir = dir.to_owned();
    let listed = blocking(move || directory::list(&dir).map_err(io::Error::other)).await;
    let own = listed.unwrap_or_default().into_iter().filter_map(|kept| {
        let manifest = kept.manifest.as_ref().ok().filter(|manifest| manifest.cluster == cluster)?.clone();
        kept.is_scheduled().then_some((kept, manifest))
    });
    own.collect()
}

/// Ends what is no longer to be kept; tells how many removals failed, and goes on past each. A removal has its record before
/// anything is gone for good.
pub(super) async fn prune(active: &Arc<Active>, schedule: &BackupSchedule, cluster: Uuid) -> u64 {
    let mut failures = 0;
    let mut failed = |path: &Path, error: &dyn std::fmt::Display| {
        failures += 1;
        tracing::error!(path = %path.display(), cause = %error, "a backup whose time is over could not be removed");
    };
    // What is gone does not come back: not by a clock that may be wrong.
    if !active.clock.is_in_doubt() {
        for (kept, gone) in over(own(&schedule.dir, cluster).await, schedule, active.clock.now()) {
            let (dir, path) = (schedule.dir.clone(), kept.path.clone());
            if let Err(error) = blocking(move || directory::hide(&dir, cluster, &path, gone)).await {
                failed(&kept.path, &error);
            }
        }
    }
    let dir = schedule.dir.clone();
    let left = match blocking(move || directory::left(&dir, cluster)).await {
        Ok(left) => left,
        Err(error) => {
            failed(&schedule.dir, &error);
            Vec::new()
        }
    };
    for left in left {
        let record = left.gone.map(|gone| match gone {
            Gone::Backup(backup) => Record::system("backup.remove").fact("backup", backup.to_string()),
            Gone::ObjectKeys(backup) => Record::system("backup.remove_object_keys").fact("backup", backup.to_string()),
        });
        if let Some(record) = record
            && let Err(error) = active.log_synced(&record).await
        {
            failed(&left.path, &error.public());
            continue;
        }
        let path = left.path.clone();
        if let Err(error) = blocking(move || left.remove()).await {
            failed(&path, &error);
        }
    }
    failures
}

/// What is to go of these.
fn over(own: Vec<(Kept, Manifest)>, schedule: &BackupSchedule, now: i64) -> Vec<(Kept, Gone)> {
    let made: Vec<Made> = own.iter().map(|(_, manifest)| Made::of(manifest)).collect();
    let (ends, keys_end) = (ended(&made, schedule.keep, now), ended(&made, schedule.keep_object_keys, now));
    let gone =
        own.into_iter().zip(ends.into_iter().zip(keys_end)).filter_map(|((kept, manifest), (ends, keys_end))| {
            let gone = match (ends, keys_end && kept.object_keys) {
                (true, _) => Gone::Backup(manifest.backup),
                (false, true) => Gone::ObjectKeys(manifest.backup),
                (false, false) => return None,
            };
            Some((kept, gone))
        });
    gone.collect()
}

/// Which are no longer to be kept. The newest always is.
fn ended(made: &[Made], keep: Keep, now: i64) -> Vec<bool> {
    let age = keep.age.map(milliseconds);
    let order: Vec<(i64, u64)> = made.iter().map(|one| (believed(*one, made, now), one.revision)).collect();
    let is_over = |(index, (at, revision)): (usize, &(i64, u64))| {
        let is_newer = |(other, order): &(usize, &(i64, u64))| (order.0, order.1, *other) > (*at, *revision, index);
        let newer = order.iter().enumerate().filter(is_newer).count();
        let by_count = keep.count.is_some_and(|count| newer >= usize::try_from(count).unwrap_or(usize::MAX));
        let by_age = age.is_some_and(|age| now.saturating_sub(*at) > age);
        newer > 0 && (by_count || by_age)
    };
    order.iter().enumerate().map(is_over).collect()
}

/// When one was made, as far as can be believed: one from the time to come was made before those of a later revision were.
fn believed(one: Made, made: &[Made], now: i64) -> i64 {
    if !one.is_ahead(now) {
        return one.at_ms;
    }
    let later = made.iter().filter(|other| !other.is_ahead(now) && other.revision >= one.revision);
    later.map(|other| other.at_ms).min().unwrap_or(now)
}

/// Work on files, which waits for a disk or a network.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_795_348_800_000;
    const HOUR: i64 = 3_600_000;

    fn keep(count: Option<u32>, age: Option<i64>) -> Keep {
        Keep { count, age: age.map(|ms| Duration::from_millis(ms.try_into().unwrap())) }
    }

    fn made(times: &[i64]) -> Vec<Made> {
        let made = |(index, at_ms): (usize, &i64)| Made { at_ms: *at_ms, revision: u64::try_from(index).unwrap() };
        times.iter().enumerate().map(made).collect()
    }

    #[test]
    fn retention_ends_the_oldest_and_never_the_newest() {
        let made = made(&[NOON - 4 * HOUR, NOON - 3 * HOUR, NOON - 2 * HOUR, NOON - HOUR]);
        let ended = |count, age: Option<i64>| ended(&made, keep(count, age), NOON);
        assert_eq!(ended(None, None), [false; 4]);
        assert_eq!(ended(Some(2), None), [true, true, false, false]);
        assert_eq!(ended(None, Some(150 * 60_000)), [true, true, false, false]);
        assert_eq!(ended(Some(1), Some(1)), [true, true, true, false]);
    }

    #[test]
    fn backup_of_a_clock_that_ran_ahead_is_no_newer_than_those_made_after_it() {
        let made = made(&[NOON - 2 * HOUR, NOON + 9_000 * HOUR, NOON - HOUR]);
        assert_eq!(newest(&made, NOON), Some(NOON - HOUR));
        assert_eq!(ended(&made, keep(Some(1), None), NOON), [true, true, false]);
        assert_eq!(ended(&made, keep(None, Some(HOUR / 2)), NOON), [true, true, false]);
        assert_eq!(newest(&made[1..2], NOON), None);
        assert_eq!(ended(&made[1..2], keep(Some(1), Some(1)), NOON), [false]);
        // Two nodes' clocks differ a little.
        assert_eq!(newest(&[Made { at_ms: NOON + 2_000, revision: 1 }], NOON), Some(NOON + 2_000));
    }
}
