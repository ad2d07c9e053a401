//! Backups by a schedule, while the node is active: into a folder, encrypted to a recipient, with an end of their own.

use std::{fs, path::Path, sync::Arc, time::Duration};

use uuid::Uuid;

use super::{BackupDir, Kept, Manifest, Part, directory};
use crate::{
    Core, Error,
    active::Active,
    config::{BackupSchedule, BackupTime, Keep},
    record::Record,
    seal::FileSeal,
};

/// How often it is looked whether one is due.
const LOOK: Duration = Duration::from_secs(5);
/// How long after one that failed the next is tried.
const RETRY_MS: i64 = 5 * 60_000;
const DAY_MS: i64 = 86_400_000;

/// Makes the backups that are due, until the node is no longer active.
pub(crate) async fn keep(active: Arc<Active>, seal: FileSeal, cluster: Uuid, schedule: Option<BackupSchedule>) {
    let Some(schedule) = schedule else { return };
    let mut tried_ms = None;
    // What a crash left; a folder that is not there yet has nothing of it.
    let _ = directory::remove_unfinished(&schedule.dir);
    loop {
        let now = active.clock.now();
        let last = own(&schedule.dir, cluster).await.last().map(|(_, manifest)| manifest.made_ms);
        active.metrics.backup_last_ms.set(last.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0));
        let failed_before = tried_ms.is_some_and(|tried: i64| now < tried.saturating_add(RETRY_MS));
        if is_due(schedule.when, last, now) && !failed_before {
            tried_ms = Some(now);
            match turn(&active, &seal, &schedule).await {
                Ok(()) => {
                    active.metrics.backups.add(1);
                    tried_ms = None;
                }
                // Stopped in the middle of one: no failure of the schedule's.
                Err(_) if *active.stop.borrow() => return,
                Err(error) => {
                    active.metrics.backup_failures.add(1);
                    tracing::error!(cause = ?error, "a scheduled backup failed; it is tried again in five minutes");
                }
            }
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = active.stopped() => return,
        }
    }
}

/// Whether a backup is due, where the last good one was made at `last`.
fn is_due(when: BackupTime, last: Option<i64>, now: i64) -> bool {
    let Some(last) = last else { return true };
    match when {
        BackupTime::Every(interval) => {
            let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
            last.saturating_add(interval) <= now
        }
        BackupTime::Daily { minute } => {
            let at = i64::from(minute) * 60_000;
            let latest = now.saturating_sub(at).div_euclid(DAY_MS) * DAY_MS + at;
            last < latest
        }
    }
}

/// One backup, and the end of those that are no longer to be kept.
async fn turn(active: &Arc<Active>, seal: &FileSeal, schedule: &BackupSchedule) -> Result<(), Error> {
    let backup = Core::backup_scheduled(active, seal, &schedule.recipient).await?;
    let dir = schedule.dir.clone();
    let made = tokio::task::spawn_blocking(move || {
        let mut output = BackupDir::create_scheduled(&dir).map_err(Error::internal)?;
        let manifest = backup.run(&mut output)?;
        let path = output.finish(&manifest).map_err(Error::internal)?;
        Ok::<_, Error>((path, manifest))
    });
    let (path, manifest): (_, Manifest) = made.await.map_err(Error::internal)??;
    tracing::info!(path = %path.display(), revision = manifest.revision, "a backup was made");
    prune(active, schedule, manifest.cluster).await
}

/// The backups of this cluster that can be read, the oldest first.
async fn own(dir: &Path, cluster: Uuid) -> Vec<(Kept, Manifest)> {
    let dir = dir.to_owned();
    let listed = tokio::task::spawn_blocking(move || directory::list(&dir)).await;
    let Ok(Ok(listed)) = listed else { return Vec::new() };
    let read = listed.into_iter().filter_map(|kept| {
        let manifest = kept.manifest.as_ref().ok().filter(|manifest| manifest.cluster == cluster)?.clone();
        kept.path.is_dir().then_some((kept, manifest))
    });
    read.collect()
}

async fn prune(active: &Arc<Active>, schedule: &BackupSchedule, cluster: Uuid) -> Result<(), Error> {
    // What is gone does not come back: not by a clock that may be wrong.
    if active.clock.is_in_doubt() {
        return Ok(());
    }
    let now = active.clock.now();
    let kept = own(&schedule.dir, cluster).await;
    let times: Vec<i64> = kept.iter().map(|(_, manifest)| manifest.made_ms).collect();
    let (ends, keys_end) = (ended(&times, schedule.keep, now), ended(&times, schedule.keep_object_keys, now));
    for ((kept, manifest), (ends, keys_end)) in kept.iter().zip(ends.into_iter().zip(keys_end)) {
        let (class, removed) = if ends {
            ("backup.remove", fs::remove_dir_all(&kept.path))
        } else if keys_end && kept.object_keys {
            ("backup.remove_object_keys", fs::remove_file(kept.path.join(Part::ObjectKeys.file())))
        } else {
            continue;
        };
        removed.map_err(|error| Error::internal(format!("{}: {error}", kept.path.display())))?;
        let record = Record::system(class).fact("backup", manifest.backup.to_string());
        active.log_synced(&record).await?;
    }
    Ok(())
}

/// Which of the backups made at these times, the oldest first, are no longer to be kept. The newest always is.
fn ended(times: &[i64], keep: Keep, now: i64) -> Vec<bool> {
    let age = keep.age.map(|age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
    let newer = |index: usize| times.len() - index - 1;
    let is_over = |(index, made): (usize, &i64)| {
        let by_count = keep.count.is_some_and(|count| newer(index) >= usize::try_from(count).unwrap_or(usize::MAX));
        let by_age = age.is_some_and(|age| now.saturating_sub(*made) > age);
        newer(index) > 0 && (by_count || by_age)
    };
    times.iter().enumerate().map(is_over).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_795_348_800_000;
    const HOUR: i64 = 3_600_000;

    #[test]
    fn interval_counts_from_the_last_backup() {
        let every = BackupTime::Every(Duration::from_secs(3600));
        assert!(is_due(every, None, NOON));
        assert!(!is_due(every, Some(NOON - HOUR + 1), NOON));
        assert!(is_due(every, Some(NOON - HOUR), NOON));
    }

    #[test]
    fn time_of_day_comes_once_a_day() {
        assert_eq!(NOON % DAY_MS, 12 * HOUR);
        let at_two = BackupTime::Daily { minute: 120 };
        assert!(is_due(at_two, Some(NOON - 11 * HOUR), NOON), "made at one, due at two");
        assert!(!is_due(at_two, Some(NOON - 10 * HOUR), NOON), "made at two");
        assert!(!is_due(at_two, Some(NOON - 2 * HOUR), NOON + 13 * HOUR), "not yet two");
        assert!(is_due(at_two, Some(NOON - 2 * HOUR), NOON + 14 * HOUR));
        assert!(is_due(at_two, Some(NOON - 30 * HOUR), NOON), "one was missed");
    }

    #[test]
    fn retention_ends_the_oldest_and_never_the_newest() {
        let times = [NOON - 4 * HOUR, NOON - 3 * HOUR, NOON - 2 * HOUR, NOON - HOUR];
        let ended = |count, age: Option<i64>| {
            let age = age.map(|ms| Duration::from_millis(ms.try_into().unwrap()));
            ended(&times, Keep { count, age }, NOON)
        };
        assert_eq!(ended(None, None), [false; 4]);
        assert_eq!(ended(Some(2), None), [true, true, false, false]);
        assert_eq!(ended(None, Some(150 * 60_000)), [true, true, false, false]);
        assert_eq!(ended(Some(1), Some(1)), [true, true, true, false]);
    }
}
