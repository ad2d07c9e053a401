//! Backups: made while writes go on, verified, damaged in every part, restored elsewhere.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use coffer_api::{Code, audit::AuditQuery, secrets::SetOptions};
use coffer_core::{
    BackupSchedule, BackupTime, Config, Core, CreatePath, Keep,
    age::{Identity, Opener},
    backup::{
        BackupDir, BackupError, Manifest, Needs, Part, Source,
        create::{BackupWanted, SealKeyPart},
        list,
        restore::{ObjectKeys, Restore, Restored, restore},
        verify::{Against, Depth, Presence, verify},
    },
    tlog::note::VerifierKey,
    verify::{GivenLog, verify_store},
};
use tempfile::TempDir;

use crate::harness::{caller, config, context, name, scope, sqlite, value};

/// A running server with an administrator, and somebody to back up to.
pub(crate) struct Site {
    pub(crate) dir: TempDir,
    pub(crate) core: Arc<Core>,
    pub(crate) token: String,
    pub(crate) vkey: VerifierKey,
    pub(crate) identity: Identity,
}

impl Site {
    pub(crate) async fn new() -> Site {
        let dir = tempfile::tempdir().unwrap();
        let (core, _) = sqlite(&dir).await;
        let initial = fs::read_to_string(dir.path().join("initial-token")).unwrap();
        let grant = core.login_initial(context(), initial.trim()).await.unwrap();
        let token = grant.token.expose().clone();
        let vkey = caller(&core, &token).await.audit_checkpoint().await.unwrap().vkey;
        Site { dir, core, token, vkey: VerifierKey::parse(&vkey).unwrap(), identity: Identity::generate().unwrap() }
    }

    pub(crate) async fn set(&self, secret: &str, text: &str, shred: Option<bool>) {
        let caller = caller(&self.core, &self.token).await;
        let options = SetOptions { shred, ..SetOptions::default() };
        caller.secret_set(&scope("acme:prod:api"), &name(secret), &value(text), options).await.unwrap();
    }

    pub(crate) async fn back_up(&self) -> PathBuf {
        self.try_back_up(SealKeyPart::LeftOut).await.unwrap().0
    }

    async fn try_back_up(&self, seal_key: SealKeyPart) -> Result<(PathBuf, Manifest), coffer_core::Error> {
        let caller = caller(&self.core, &self.token).await;
        let recipient = self.identity.recipient().unwrap().to_string();
        let backup = self.core.backup(&caller, &BackupWanted { recipient, seal_key }).await?;
        drop(caller);
        let to = self.dir.path().join("backups");
        let made = tokio::task::spawn_blocking(move || {
            let mut output = BackupDir::create(&to).unwrap();
            let manifest = backup.run(&mut output)?;
            Ok((output.finish(&manifest).unwrap(), manifest))
        });
        made.await.unwrap()
    }

    pub(crate) fn opener(&self) -> Opener<'_> {
        Opener::Identities(std::slice::from_ref(&self.identity))
    }

    pub(crate) async fn restore(&self, backup: &Path, to: &Path) -> Result<Restored, BackupError> {
        self.restore_with(backup, to, ObjectKeys::Own, Against::default()).await
    }

    pub(crate) async fn restore_with(
        &self,
        backup: &Path,
        to: &Path,
        object_keys: ObjectKeys<'_>,
        against: Against<'_>,
    ) -> Result<Restored, BackupError> {
        let source = Source::open(backup)?;
        let store = format!("sqlite:{}/store.db", to.display());
        let what = Restore { source: &source, opener: self.opener(), against, object_keys, store: &store, data: to };
        restore(what).await
    }

    /// The configuration of a restored server, with the key file put back.
    pub(crate) fn config_of(&self, to: &Path) -> Config {
        let key = to.join("seal.key");
        if !key.exists() {
            fs::copy(self.dir.path().join("seal.key"), key).unwrap();
        }
        config(to)
    }

    pub(crate) async fn get(&self, core: &Core, secret: &str) -> Result<String, Code> {
        let caller = caller(core, &self.token).await;
        let found = caller.secret_get(&scope("acme:prod:api"), &name(secret), None).await;
        found.map(|found| found.value.expose().clone()).map_err(|error| error.code())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_made_while_writes_go_on_is_restored_with_every_secret_and_its_log() {
    let site = Site::new().await;
    for n in 0..30 {
        site.set(&format!("KEY_{n}"), &format!("value {n}"), (n % 5 == 0).then_some(true)).await;
    }
    let (stop, core, token) = (Arc::new(AtomicBool::new(false)), Arc::clone(&site.core), site.token.clone());
    let stopping = Arc::clone(&stop);
    let writing = tokio::spawn(async move {
        let mut n = 0;
        while !stopping.load(Ordering::Relaxed) {
            let caller = caller(&core, &token).await;
            let options = SetOptions::default();
            caller.secret_set(&scope("acme:prod:load"), &name("N"), &value(&n.to_string()), options).await.unwrap();
            n += 1;
        }
    });
    let first = site.back_up().await;
    site.set("KEY_1", "later", None).await;
    let backup = site.back_up().await;
    site.set("KEY_2", "too late", None).await;
    stop.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    let vkey = site.vkey.clone();

    let source = Source::open(&backup).unwrap();
    let found = verify(&source, Some(site.opener()), Against { vkey: Some(&vkey), since: None }).unwrap();
    assert_eq!((found.depth, found.object_keys), (Depth::Whole, Presence::There));
    let manifest = found.manifest;
    assert!(matches!(&manifest.needs[..], [Needs::KeyFile { path, .. }] if path.ends_with("seal.key")), "{manifest:?}");
    assert!(manifest.part(Part::SealKey).is_none());
    assert_eq!(manifest.part(Part::ObjectKeys).unwrap().items, 6);
    // Nothing is in it in the clear, and without its key nothing is read.
    for file in fs::read_dir(&backup).unwrap() {
        let bytes = fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(5).any(|window| window == b"KEY_1" || window == b"value"));
    }
    let digests = verify(&source, None, Against::default()).unwrap();
    assert_eq!(digests.depth, Depth::Digests);
    let stranger = [Identity::generate().unwrap()];
    let refused = verify(&source, Some(Opener::Identities(&stranger)), Against::default());
    assert!(matches!(refused, Err(BackupError::NoMatch)));

    site.core.shutdown().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let to = elsewhere.path().join("data");
    let restored = site.restore(&backup, &to).await.unwrap();
    assert_eq!(restored.manifest, manifest);
    let refused = Core::start(config(&to)).await.err().unwrap().to_string();
    assert!(refused.contains("missing, but the store was sealed with one"), "{refused}");
    let (core, started) = Core::start(site.config_of(&to)).await.unwrap();
    assert_eq!(started.initial_token_path, None);
    for n in 0..30 {
        let expected = if n == 1 { "later".to_owned() } else { format!("value {n}") };
        assert_eq!(site.get(&core, &format!("KEY_{n}")).await.unwrap(), expected);
    }
    let admin = caller(&core, &site.token).await;
    let of = |action: &str| AuditQuery { action: Some(action.to_owned()), ..AuditQuery::default() };
    let begun = admin.audit_query(&of("log.continue")).await.unwrap().entries;
    assert_eq!((begun.len(), begun[0].index), (1, 0), "the first leaf says what was before it");
    let facts = &begun[0].entry["facts"];
    assert_eq!(facts["size"], manifest.log_size().to_string());
    assert_eq!(facts["origin"], manifest.origin());
    assert_eq!(admin.audit_query(&of("system.restore")).await.unwrap().entries.len(), 1);
    assert_eq!(admin.key_status().await.unwrap().term, 2, "sealed under another term from here on");
    let own = VerifierKey::parse(&admin.audit_checkpoint().await.unwrap().vkey).unwrap();
    drop(admin);
    core.shutdown().await;

    let logs = |log: &Path| {
        let given =
            |dir: &Path, key: &VerifierKey| GivenLog { dir: dir.to_owned(), keys: vec![key.clone()], since: None };
        vec![given(&to.join("audit"), &own), given(log, &vkey)]
    };
    let url = format!("sqlite:{}/store.db", to.display());
    let (reports, report) = verify_store(&url, logs(&restored.log)).await.unwrap();
    assert_eq!(report.findings, Vec::<String>::new());
    assert!(report.is_conclusive(), "{report:?}");
    assert_eq!(reports[1].head.size, manifest.log_size());
    // A second start is one like any other.
    let (core, _) = Core::start(config(&to)).await.unwrap();
    assert_eq!(caller(&core, &site.token).await.key_status().await.unwrap().term, 2);
    core.shutdown().await;

    // The older of the two is refused where the later checkpoint is known, and so is another log's.
    let since = manifest.checkpoint.clone();
    let against = Against { vkey: Some(&vkey), since: Some(&since) };
    let second = elsewhere.path().join("second");
    let refused = site.restore_with(&first, &second, ObjectKeys::Own, against).await.unwrap_err();
    assert!(matches!(&refused, BackupError::Refused(text) if text.contains("older than the checkpoint")), "{refused}");
    assert!(!second.exists());
    let older = Source::open(&first).unwrap().manifest().unwrap().checkpoint;
    let against = Against { vkey: Some(&vkey), since: Some(&older) };
    site.restore_with(&backup, &second, ObjectKeys::Own, against).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_foreign_and_missing_parts_are_named_and_nothing_is_changed() {
    let site = Site::new().await;
    site.set("A", "one", Some(true)).await;
    let other = site.back_up().await;
    site.set("A", "two", Some(true)).await;
    let backup = site.back_up().await;
    let whole = Source::open(&backup).unwrap();
    verify(&whole, Some(site.opener()), Against::default()).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let to = scratch.path().join("data");
    type Damage<'a> = &'a dyn Fn(&Path);
    let cut: Damage<'_> = &|path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
    };
    let edit: Damage<'_> = &|path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let lengthen: Damage<'_> = &|path| fs::write(path, [fs::read(path).unwrap(), vec![0]].concat()).unwrap();
    let remove: Damage<'_> = &|path| fs::remove_file(path).unwrap();
    let foreign: Damage<'_> = &|path| {
        fs::copy(other.join(path.file_name().unwrap()), path).unwrap();
    };
    for (how, damage) in [("cut", cut), ("edited", edit), ("longer", lengthen), ("gone", remove), ("foreign", foreign)]
    {
        for (file, part) in
            [("store.age", "store"), ("object-keys.age", "object-keys"), ("log.age", "log"), ("manifest", "manifest")]
        {
            // Another manifest makes every part a foreign one; and object keys may be gone.
            let named = match (how, file) {
                ("foreign", "manifest") => "store",
                ("gone", "object-keys.age") => continue,
                _ => part,
            };
            let copy = scratch.path().join(format!("{how}-{file}"));
            fs::create_dir(&copy).unwrap();
            for entry in fs::read_dir(&backup).unwrap() {
                let entry = entry.unwrap();
                fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
            }
            damage(&copy.join(file));
            for opener in [None, Some(site.opener())] {
                let refused = verify(&Source::open(&copy).unwrap(), opener, Against::default()).unwrap_err();
                assert!(
                    matches!(&refused, BackupError::Damaged { part, .. } if part == named),
                    "{how} {file}: {refused}"
                );
            }
            site.restore(&copy, &to).await.unwrap_err();
            assert!(!to.exists(), "{how} {file}: something was changed");
        }
    }
    site.core.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn backup_needs_no_key_file_that_was_there_for_the_start_alone() {
    let site = Site::new().await;
    let id = |manifest: &Manifest| match &manifest.needs[..] {
        [Needs::KeyFile { id, .. }] => id.clone(),
        other => panic!("{other:?}"),
    };
    let before = site.try_back_up(SealKeyPart::LeftOut).await.unwrap().1;
    fs::rename(site.dir.path().join("seal.key"), site.dir.path().join("kept elsewhere")).unwrap();
    site.set("A", "one", None).await;
    let after = site.try_back_up(SealKeyPart::LeftOut).await.unwrap().1;
    assert_eq!(id(&before), id(&after));
    site.core.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seal_key_is_in_a_backup_only_where_root_asks_for_it() {
    let site = Site::new().await;
    site.set("A", "one", None).await;
    let denied = site.try_back_up(SealKeyPart::Enclosed).await.err().unwrap();
    assert_eq!(denied.code(), Code::Denied, "administrators may not");
    let policy = "path \"*\" { capabilities = [\"read\", \"sudo\"] }";
    let admin = caller(&site.core, &site.token).await;
    admin.policy_write("all", "sys/policies/acl/", policy, &()).await.unwrap();
    let wanted = coffer_api::token::TokenCreate { policies: vec!["all".to_owned()], ..Default::default() };
    let grant = admin.token_create(CreatePath::Child, wanted, &()).await.unwrap();
    drop(admin);
    let root = caller(&site.core, grant.token.expose()).await;
    let recipient = site.identity.recipient().unwrap().to_string();
    let wanted = BackupWanted { recipient, seal_key: SealKeyPart::Enclosed };
    let backup = site.core.backup(&root, &wanted).await.unwrap();
    // One at a time.
    let second = site.core.backup(&root, &wanted).await.err().unwrap();
    assert_eq!(second.code(), Code::Conflict);
    let none = BackupWanted { recipient: "age1nobody".to_owned(), ..wanted.clone() };
    assert_eq!(site.core.backup(&root, &none).await.err().unwrap().code(), Code::Invalid);
    drop(root);
    let to = site.dir.path().join("backups");
    let made = tokio::task::spawn_blocking(move || {
        let mut output = BackupDir::create(&to).unwrap();
        let manifest = backup.run(&mut output).unwrap();
        (output.finish(&manifest).unwrap(), manifest)
    });
    let (path, manifest) = made.await.unwrap();
    assert!(matches!(&manifest.needs[..], [Needs::Enclosed { .. }]));
    site.core.shutdown().await;
    let scratch = tempfile::tempdir().unwrap();
    let to = scratch.path().join("data");
    let restored = site.restore(&path, &to).await.unwrap();
    assert_eq!(restored.seal_key.as_deref(), Some(to.join("seal.key").as_path()));
    assert_eq!(fs::read(to.join("seal.key")).unwrap(), fs::read(site.dir.path().join("seal.key")).unwrap());
    let (core, _) = Core::start(config(&to)).await.unwrap();
    assert_eq!(site.get(&core, "A").await.unwrap(), "one");
    core.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policy_fixes_whom_its_holders_back_up_to_and_a_backup_given_up_makes_way() {
    let site = Site::new().await;
    let [ours, theirs] = [(); 2].map(|()| Identity::generate().unwrap().recipient().unwrap().to_string());
    let policy = format!(
        "path \"sys/backup\" {{ capabilities = [\"read\", \"sudo\"] allowed_parameters = {{ \"recipient\" = [\"{ours}\"] }} }}"
    );
    let admin = caller(&site.core, &site.token).await;
    admin.policy_write("fixed", "sys/policies/acl/", &policy, &()).await.unwrap();
    let wanted = coffer_api::token::TokenCreate { policies: vec!["fixed".to_owned()], ..Default::default() };
    let grant = admin.token_create(CreatePath::Child, wanted, &()).await.unwrap();
    drop(admin);
    let holder = caller(&site.core, grant.token.expose()).await;
    let wanted = |recipient: &String| BackupWanted { recipient: recipient.clone(), seal_key: SealKeyPart::LeftOut };
    assert_eq!(site.core.backup(&holder, &wanted(&theirs)).await.err().unwrap().code(), Code::Denied);
    // One that nobody takes, and one whose reader goes away, are in nobody's way.
    drop(site.core.backup(&holder, &wanted(&ours)).await.unwrap());
    struct Gone;
    impl coffer_core::backup::Output for Gone {
        fn begin(&mut self, _: &str) -> std::io::Result<()> {
            Ok(())
        }

        fn write(&mut self, _: &[u8]) -> std::io::Result<()> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }

        fn end(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let backup = site.core.backup(&holder, &wanted(&ours)).await.unwrap();
    let broken = tokio::task::spawn_blocking(move || backup.run(&mut Gone).err().unwrap().code()).await.unwrap();
    assert_eq!(broken, Code::Unavailable);
    drop(holder);
    site.back_up().await;
    let admin = caller(&site.core, &site.token).await;
    let of = |action: &str| AuditQuery { action: Some(action.to_owned()), ..AuditQuery::default() };
    let ends = admin.audit_query(&of("backup.end")).await.unwrap().entries;
    assert_eq!(ends.iter().map(|end| end.entry["out"].as_str().unwrap()).collect::<Vec<_>>(), ["error", "success"]);
    drop(admin);
    site.core.shutdown().await;
}

/// One whole backup of format 1 in one file, and the key that opens it.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/backup-v1.coffer-backup");
const GOLDEN_KEY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn golden_backup_of_format_1_opens_for_ever() {
    // As with the golden stores: made where it is missing, and never again.
    if std::env::var_os("COFFER_GENERATE").is_some() && !Path::new(GOLDEN).exists() {
        make_golden_backup().await;
    }
    let identities = [Identity::parse(GOLDEN_KEY).unwrap()];
    let source = Source::open(Path::new(GOLDEN)).unwrap();
    let found = verify(&source, Some(Opener::Identities(&identities)), Against::default()).unwrap();
    assert_eq!((found.depth, found.object_keys), (Depth::Whole, Presence::There));
    let parts: Vec<Part> = found.manifest.parts.iter().map(|info| info.part).collect();
    assert_eq!(parts, Part::ALL);
    assert_eq!(found.manifest.part(Part::ObjectKeys).unwrap().items, 1);
}

async fn make_golden_backup() {
    let site = Site::new().await;
    site.set("SHREDDED", "one", Some(true)).await;
    site.set("PLAIN", "two", None).await;
    let admin = caller(&site.core, &site.token).await;
    let policy = "path \"*\" { capabilities = [\"read\", \"sudo\"] }";
    admin.policy_write("all", "sys/policies/acl/", policy, &()).await.unwrap();
    let wanted = coffer_api::token::TokenCreate { policies: vec!["all".to_owned()], ..Default::default() };
    let grant = admin.token_create(CreatePath::Child, wanted, &()).await.unwrap();
    let root = caller(&site.core, grant.token.expose()).await;
    let recipient = Identity::parse(GOLDEN_KEY).unwrap().recipient().unwrap().to_string();
    let wanted = BackupWanted { recipient, seal_key: SealKeyPart::Enclosed };
    let backup = site.core.backup(&root, &wanted).await.unwrap();
    let made = tokio::task::spawn_blocking(move || {
        let mut packer = coffer_core::backup::Packer::new(fs::File::create(GOLDEN).unwrap()).unwrap();
        backup.run(&mut packer).unwrap();
        packer.finish().unwrap();
    });
    made.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schedule_makes_backups_and_ends_old_ones() {
    let dir = tempfile::tempdir().unwrap();
    let backups = dir.path().join("backups");
    let made =
        || list(&backups).map(|kept| kept.into_iter().map(|kept| kept.path).collect::<Vec<_>>()).unwrap_or_default();
    let until = async |core: &Core, done: &dyn Fn(&[PathBuf], &str) -> bool| {
        for _ in 0..600 {
            if done(&made(), &core.metrics()) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("{:?} {}", made(), core.metrics());
    };
    let (core, _) = Core::start(Config { backup: Some(schedule(&backups, 3600)), ..config(dir.path()) }).await.unwrap();
    until(&core, &|made, metrics| made.len() == 1 && metrics.contains("coffer_backups_total 1")).await;
    core.shutdown().await;
    let first = made();
    let manifest = verify(&Source::open(&first[0]).unwrap(), None, Against::default()).unwrap().manifest;
    let left = backups.join(format!(".coffer-scheduled-{}-0123", manifest.cluster));
    let anothers = backups.join(format!(".coffer-scheduled-{}-0123", manifest.backup));
    for dir in [&left, &anothers] {
        fs::create_dir(dir).unwrap();
    }

    // Not due yet: the newest counts, also of an earlier run.
    let again = schedule(&backups, 3600);
    let (core, _) = Core::start(Config { backup: Some(again), ..config(dir.path()) }).await.unwrap();
    let swept = |metrics: &str| metrics.contains("\ncoffer_backup_last_timestamp_seconds 1") && !left.exists();
    until(&core, &|_, metrics| swept(metrics)).await;
    assert_eq!(made(), first);
    assert!(anothers.exists(), "another cluster's backup may be on its way there");
    core.shutdown().await;
    // Due again: the older one goes.
    let again = schedule(&backups, 0);
    let (core, _) = Core::start(Config { backup: Some(again), ..config(dir.path()) }).await.unwrap();
    until(&core, &|made, _| made.len() == 1 && *made != first[..]).await;
    core.shutdown().await;

    // A folder that cannot be written is counted.
    let nowhere = BackupSchedule { dir: dir.path().join("seal.key/x"), ..schedule(&backups, 3600) };
    let (core, _) = Core::start(Config { backup: Some(nowhere), ..config(dir.path()) }).await.unwrap();
    until(&core, &|_, metrics| metrics.contains("coffer_backup_failures_total 1")).await;
    core.shutdown().await;
}

fn schedule(backups: &Path, every: u64) -> BackupSchedule {
    BackupSchedule {
        dir: backups.to_owned(),
        recipient: Identity::generate().unwrap().recipient().unwrap().to_string(),
        when: BackupTime::Every(std::time::Duration::from_secs(every)),
        keep: Keep { count: Some(1), age: None },
        keep_object_keys: Keep::default(),
    }
}
