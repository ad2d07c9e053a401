//! The schedule of backups: what is due, what ends, and what is left alone, by clocks that are set by hand.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use coffer_crypto::age::Identity;
use tempfile::TempDir;

use super::{NOON, caller, config, context, facts};
use crate::{
    BackupSchedule, BackupTime, Core, Keep,
    active::Active,
    backup::{BackupDir, Kept, Manifest, list, schedule::Keeper},
    clock::ManualTimeSource,
};

const HOUR: i64 = 3_600_000;

struct Site {
    dir: TempDir,
    core: Arc<Core>,
    active: Arc<Active>,
    time: ManualTimeSource,
    token: String,
    recipient: String,
}

impl Site {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let time = ManualTimeSource::new(NOON);
        let (core, started) = Core::start_by(config(dir.path()), Arc::new(time.clone())).await.unwrap();
        let initial = fs::read_to_string(started.initial_token_path.unwrap()).unwrap();
        let token = core.login_initial(context(), initial.trim()).await.unwrap().token.expose().clone();
        let active = core.active().unwrap();
        let recipient = Identity::generate().unwrap().recipient().unwrap().to_string();
        Self { dir, core, active, time, token, recipient }
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("backups")
    }

    fn keeper(&self, keep: Keep, keep_object_keys: Keep) -> Keeper {
        self.keeper_to(&self.recipient, keep, keep_object_keys)
    }

    fn keeper_to(&self, recipient: &str, keep: Keep, keep_object_keys: Keep) -> Keeper {
        let when = BackupTime::Every(Duration::from_secs(3600));
        let schedule =
            BackupSchedule { dir: self.folder(), recipient: recipient.to_owned(), when, keep, keep_object_keys };
        let cluster = self.core.cluster_id.get().copied().unwrap();
        Keeper::new(Arc::clone(&self.active), self.core.seal.clone(), cluster, schedule)
    }

    /// As a person makes one, into the same folder.
    async fn by_hand(&self) -> PathBuf {
        let backup = Core::backup_scheduled(&self.active, &self.core.seal, &self.recipient).await.unwrap();
        let folder = self.folder();
        let made = tokio::task::spawn_blocking(move || {
            let mut output = BackupDir::create(&folder).unwrap();
            let manifest = backup.run(&mut output).unwrap();
            output.finish(&manifest).unwrap()
        });
        made.await.unwrap()
    }

    fn pass(&self, ms: i64) {
        self.time.advance(Duration::from_millis(ms.try_into().unwrap()));
    }

    /// The schedule's, the oldest first: when they were made, after the start, in hours; and whether object keys are there.
    fn scheduled(&self) -> Vec<(i64, bool)> {
        let listed = list(&self.folder()).unwrap().into_iter().filter(Kept::is_scheduled);
        listed.map(|kept| ((kept.manifest.unwrap().made_ms - NOON) / HOUR, kept.object_keys)).collect()
    }

    fn hidden(&self) -> Vec<String> {
        let names = fs::read_dir(self.folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with('.')).collect()
    }

    async fn recorded(&self, class: &str) -> Vec<String> {
        let admin = caller(&self.core, &self.token).await;
        facts(&admin, class).await.iter().map(|facts| facts["backup"].as_str().unwrap().to_owned()).collect()
    }

    fn metric(&self, name: &str) -> u64 {
        let text = self.core.metrics();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }

    async fn end(self) {
        drop(self.active);
        self.core.shutdown().await;
    }
}

fn count(count: u32) -> Keep {
    Keep { count: Some(count), age: None }
}

fn manifest_of(path: &std::path::Path) -> Manifest {
    crate::backup::Source::open(path).unwrap().manifest().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_ends_what_the_schedule_made_with_a_record_and_nothing_that_people_made() {
    let site = Site::new().await;
    let by_hand = site.by_hand().await;
    let mut keeper = site.keeper(count(2), count(1));
    keeper.look().await;
    assert_eq!(site.scheduled(), [(0, true)], "the one made by hand puts none off");
    keeper.look().await;
    assert_eq!(site.scheduled().len(), 1, "not due yet");
    let first = list(&site.folder()).unwrap().into_iter().find(Kept::is_scheduled).unwrap().manifest.unwrap();
    site.pass(HOUR);
    keeper.look().await;
    assert_eq!(site.scheduled(), [(0, false), (1, true)]);
    assert_eq!(site.recorded("backup.remove_object_keys").await, [first.backup.to_string()]);
    assert_eq!(site.recorded("backup.remove").await, [""; 0]);
    site.pass(HOUR);
    keeper.look().await;
    assert_eq!(site.scheduled(), [(1, false), (2, true)]);
    assert_eq!(site.recorded("backup.remove").await, [first.backup.to_string()]);
    assert!(by_hand.join("object-keys.age").exists() && by_hand.join("manifest").exists());
    assert_eq!(site.hidden(), [""; 0]);
    let last = u64::try_from((NOON + 2 * HOUR) / 1000).unwrap();
    assert_eq!(site.metric("coffer_backup_last_timestamp_seconds"), last);
    assert_eq!((site.metric("coffer_backups_total"), site.metric("coffer_backup_removal_failures_total")), (3, 0));
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn retention_goes_on_where_no_backup_can_be_made_and_past_a_removal_that_fails() {
    let site = Site::new().await;
    let mut keeper = site.keeper(Keep::default(), Keep::default());
    for _ in 0..4 {
        keeper.look().await;
        site.pass(HOUR);
    }
    let all: Vec<Kept> = list(&site.folder()).unwrap();
    let ids: Vec<String> = all.iter().map(|kept| manifest_of(&kept.path).backup.to_string()).collect();
    assert_eq!(ids.len(), 4);
    // What is in the way of the oldest, and what a crash left between a removal's beginning and its end.
    let cluster = site.core.cluster_id.get().unwrap();
    let hidden = |what: &str| site.folder().join(format!(".coffer-scheduled-{cluster}-{what}"));
    fs::create_dir(hidden(&format!("removed-{}", ids[0]))).unwrap();
    fs::write(hidden(&format!("removed-{}", ids[0])).join("store.age"), "x").unwrap();
    fs::rename(all[1].path.join("object-keys.age"), hidden(&format!("removed-keys-{}", ids[1]))).unwrap();

    let mut keeper = site.keeper_to("age1nobody", count(3), count(1));
    keeper.look().await;
    assert_eq!(site.metric("coffer_backup_failures_total"), 1);
    assert_eq!(site.metric("coffer_backup_removal_failures_total"), 1, "the oldest could not be moved");
    assert_eq!(site.scheduled(), [(0, true), (1, false), (2, false), (3, true)]);
    assert_eq!(site.hidden(), [""; 0]);
    let mut removed = site.recorded("backup.remove_object_keys").await;
    removed.sort();
    let mut expected = ids[1..3].to_vec();
    expected.sort();
    assert_eq!(removed, expected, "each removal has its record, also one that a crash cut off");
    // A later round ends it.
    let mut keeper = site.keeper_to("age1nobody", count(3), count(1));
    keeper.look().await;
    assert_eq!(site.scheduled(), [(1, false), (2, false), (3, true)]);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_removed_while_the_clock_is_in_doubt() {
    let site = Site::new().await;
    let mut keeper = site.keeper(Keep::default(), Keep::default());
    for _ in 0..2 {
        keeper.look().await;
        site.pass(HOUR);
    }
    site.time.set_wall(NOON + 1_000 * 24 * HOUR);
    assert!(site.active.clock.is_in_doubt());
    let hour = Keep { count: Some(1), age: Some(Duration::from_secs(3600)) };
    site.keeper(hour, hour).look().await;
    assert_eq!(site.scheduled(), [(0, true), (1, true), (2, true)], "one was due");
    site.time.set_wall(NOON + 2 * HOUR);
    assert!(!site.active.clock.is_in_doubt());
    assert_eq!(site.recorded("backup.remove").await, [""; 0]);
    assert_eq!(site.recorded("backup.remove_object_keys").await, [""; 0]);
    site.keeper(hour, hour).look().await;
    assert_eq!(site.scheduled(), [(2, true)]);
    assert_eq!(site.recorded("backup.remove").await.len(), 2);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_of_a_clock_that_ran_ahead_puts_none_off_and_outlives_none() {
    let site = Site::new().await;
    let ahead = 400 * 24;
    site.time.set_wall(NOON + ahead * HOUR);
    site.active.clock.accept();
    site.keeper(Keep::default(), Keep::default()).look().await;
    assert_eq!(site.scheduled(), [(ahead, true)]);
    site.time.set_wall(NOON + HOUR);
    site.active.clock.accept();
    let mut keeper = site.keeper(count(1), Keep::default());
    keeper.look().await;
    assert_eq!(site.scheduled(), [(1, true)], "due at once, and the newest");
    let last = u64::try_from((NOON + HOUR) / 1000).unwrap();
    assert_eq!(site.metric("coffer_backup_last_timestamp_seconds"), last);
    site.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_crash_left_is_swept_but_nothing_that_somebody_writes_into() {
    let site = Site::new().await;
    fs::create_dir(site.folder()).unwrap();
    let cluster = *site.core.cluster_id.get().unwrap();
    let left = [
        site.folder().join(format!(".coffer-scheduled-{cluster}-0123")),
        site.folder().join(".coffer-backup-0123456789abcdef"),
    ];
    for dir in &left {
        fs::create_dir(dir).unwrap();
        fs::write(dir.join("store.age"), "half").unwrap();
    }
    let running = BackupDir::create_scheduled(&site.folder(), cluster).unwrap();
    let persons = BackupDir::create(&site.folder()).unwrap();
    assert!(!left[1].exists(), "whoever makes the next sweeps");
    site.keeper(Keep::default(), Keep::default()).look().await;
    assert!(!left[0].exists());
    drop(BackupDir::create(&site.folder()).unwrap());
    assert_eq!(site.hidden().len(), 2, "{:?}", site.hidden());
    drop((running, persons));
    assert_eq!(site.hidden(), [""; 0]);
    site.end().await;
}
