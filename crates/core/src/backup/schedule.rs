//! Backups by a schedule, while the node is active: into a folder, encrypted to a recipient, with an end of their own.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use uuid::Uuid;

use super::{
    BackupDir, Manifest,
    retention::{self, Made},
};
use crate::{
    Core, Error,
    active::Active,
    config::{BackupSchedule, BackupTime},
    seal::FileSeal,
};

/// Makes the backups that are due, and ends those whose time is over, until the node is no longer active.
pub(crate) async fn keep(active: Arc<Active>, seal: FileSeal, cluster: Uuid, schedule: Option<BackupSchedule>) {
    let Some(schedule) = schedule else { return };
    let mut keeper = Keeper::new(active, seal, cluster, schedule);
    while !*keeper.active.stop.borrow() {
        keeper.look().await;
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = keeper.active.stopped() => return,
        }
    }
}

/// A schedule at work.
pub(crate) struct Keeper {
    active: Arc<Active>,
    seal: FileSeal,
    cluster: Uuid,
    schedule: BackupSchedule,
    /// The schedule's own backups, as the folder was last read.
    made: Vec<Made>,
    read: Option<Instant>,
    failed: Option<Instant>,
    pruned: Option<Instant>,
}

impl Keeper {
    pub(crate) fn new(active: Arc<Active>, seal: FileSeal, cluster: Uuid, schedule: BackupSchedule) -> Self {
        Self { active, seal, cluster, schedule, made: Vec::new(), read: None, failed: None, pruned: None }
    }

    /// Does what is due.
    pub(crate) async fn look(&mut self) {
        if is_over(self.read, READ_EVERY) {
            self.read().await;
        }
        let now = self.active.clock.now();
        let last = self.tell(now);
        if is_due(self.schedule.when, last, now) && is_over(self.failed, RETRY) {
            match self.make().await {
                Ok(()) => {
                    self.active.metrics.backups.add(1);
                    (self.failed, self.pruned) = (None, None);
                }
                // Stopped in the middle of one: no failure of the schedule's.
                Err(_) if *self.active.stop.borrow() => return,
                Err(error) => {
                    self.active.metrics.backup_failures.add(1);
                    self.failed = Some(Instant::now());
                    tracing::error!(cause = ?error, "a scheduled backup failed; it is tried again in five minutes");
                }
            }
            self.read().await;
            self.tell(now);
        }
        // At a pace of its own: what is to go, goes also where none can be made.
        if is_over(self.pruned, PRUNE_EVERY) {
            self.pruned = Some(Instant::now());
            let failures = retention::prune(&self.active, &self.schedule, self.cluster).await;
            self.active.metrics.backup_removal_failures.add(failures);
            self.read().await;
        }
    }

    /// When the newest was made; the metric says it too.
    fn tell(&self, now: i64) -> Option<i64> {
        let last = retention::newest(&self.made, now);
        self.active.metrics.backup_last_ms.set(last.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0));
        last
    }

    async fn read(&mut self) {
        let own = retention::own(&self.schedule.dir, self.cluster).await;
        self.made = own.iter().map(|(_, manifest)| Made::of(manifest)).collect();
        self.read = Some(Instant::now());
    }

    async fn make(&self) -> Result<(), Error> {
        let backup = Core::backup_scheduled(&self.active, &self.seal, &self.schedule.recipient).await?;
        let (dir, cluster) = (self.schedule.dir.clone(), self.cluster);
        let made = tokio::task::spawn_blocking(move || {
            let mut output = BackupDir::create_scheduled(&dir, cluster).map_err(Error::internal)?;
            let manifest = backup.run(&mut output)?;
            let path = output.finish(&manifest).map_err(Error::internal)?;
            Ok::<_, Error>((path, manifest))
        });
        let (path, manifest): (_, Manifest) = made.await.map_err(Error::internal)??;
        tracing::info!(path = %path.display(), revision = manifest.revision, "a backup was made");
        Ok(())
    }
}

/// Whether so much time is over since then, by a clock that nobody sets.
fn is_over(since: Option<Instant>, pause: Duration) -> bool {
    since.is_none_or(|since| since.elapsed() >= pause)
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

const DAY_MS: i64 = 86_400_000;
/// How often it is looked whether one is due.
const LOOK: Duration = Duration::from_secs(5);
/// How often the folder is read, in which people may have changed something.
const READ_EVERY: Duration = Duration::from_secs(600);
/// How long after one that failed the next is tried.
const RETRY: Duration = Duration::from_secs(5 * 60);
/// How often it is looked what is to go.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

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
}
