//! Restores: what is refused, what is left half done, and where object keys come from.

use std::{
    fs,
    path::{Path, PathBuf},
};

use coffer_api::{Code, audit::AuditQuery};
use coffer_core::{
    Core, StartError,
    age::Identity,
    backup::{
        BackupError, Source, list,
        restore::{ObjectKeys, Restore, restore},
        verify::Against,
    },
    tlog::note::VerifierKey,
    verify::{GivenLog, verify_store},
};
use rusqlite::Connection;

use crate::{
    backup::Site,
    harness::{caller, config, name, scope},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn object_keys_have_an_end_of_their_own_and_come_from_a_later_backup() {
    let site = Site::new().await;
    site.set("KEPT", "kept", Some(true)).await;
    site.set("GONE", "gone", Some(true)).await;
    site.set("PLAIN", "plain", None).await;
    let backup = site.back_up().await;
    let admin = caller(&site.core, &site.token).await;
    admin.secret_destroy(&scope("acme:prod:api"), &name("GONE"), &[1]).await.unwrap();
    drop(admin);
    site.set("NEW", "new", Some(true)).await;
    let later = site.back_up().await;
    fs::remove_file(backup.join("object-keys.age")).unwrap();
    let listed = list(&site.dir.path().join("backups")).unwrap();
    assert_eq!(listed.iter().map(|kept| kept.object_keys).collect::<Vec<_>>(), [false, true]);
    site.core.shutdown().await;

    let scratch = tempfile::tempdir().unwrap();
    let refused = site.restore(&backup, &scratch.path().join("a")).await.unwrap_err().to_string();
    assert!(refused.contains("--object-keys-from"), "{refused}");
    let source = Source::open(&later).unwrap();
    for (to, object_keys, kept) in [
        ("b", ObjectKeys::Later(&source, site.opener()), Ok("kept".to_owned())),
        ("c", ObjectKeys::None, Err(Code::Integrity)),
    ] {
        let to = scratch.path().join(to);
        site.restore_with(&backup, &to, object_keys, Against::default()).await.unwrap();
        let (core, _) = Core::start(site.config_of(&to)).await.unwrap();
        assert_eq!(site.get(&core, "PLAIN").await, Ok("plain".to_owned()));
        assert_eq!(site.get(&core, "KEPT").await, kept);
        // It was destroyed between the two: no backup whose object keys are gone brings it back.
        assert_eq!(site.get(&core, "GONE").await, Err(Code::Integrity));
        core.shutdown().await;
    }
}

/// A backup of a store that was restored.
async fn back_up_restored(site: &Site, data: &Path, secrets: usize) -> PathBuf {
    let (core, _) = Core::start(site.config_of(data)).await.unwrap();
    let restored = Site {
        dir: tempfile::tempdir_in(site.dir.path()).unwrap(),
        core,
        token: site.token.clone(),
        vkey: site.vkey.clone(),
        identity: Identity::parse(&site.identity.to_text()).unwrap(),
    };
    for n in 0..secrets {
        restored.set("KEPT", &format!("kept {n}"), Some(true)).await;
    }
    let backup = restored.back_up().await;
    restored.core.shutdown().await;
    let kept = site.dir.path().join(backup.file_name().unwrap());
    fs::rename(&backup, &kept).unwrap();
    kept
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn object_keys_are_taken_from_what_the_backup_went_on_to_be_and_nothing_else() {
    let site = Site::new().await;
    site.set("KEPT", "kept", Some(true)).await;
    let early = site.back_up().await;
    site.set("SINCE", "since", Some(true)).await;
    let backup = site.back_up().await;
    site.set("NEW", "new", Some(true)).await;
    let later = site.back_up().await;
    site.core.shutdown().await;
    let revision = |backup: &Path| Source::open(backup).unwrap().manifest().unwrap().revision;

    let scratch = tempfile::tempdir().unwrap();
    // What an earlier backup was restored to has none of the keys that were made between the two.
    let side = scratch.path().join("side");
    site.restore(&early, &side).await.unwrap();
    let side = back_up_restored(&site, &side, 40).await;
    assert!(revision(&side) > revision(&backup), "by its revision alone it would be a later one");
    // What this backup was restored to has them all, under another node's log.
    let onwards = scratch.path().join("onwards");
    site.restore(&backup, &onwards).await.unwrap();
    let onwards = back_up_restored(&site, &onwards, 1).await;

    fs::remove_file(backup.join("object-keys.age")).unwrap();
    let (vkey, stranger) = (site.vkey.clone(), Source::open(&onwards).unwrap().manifest().unwrap().first_vkey);
    let stranger = VerifierKey::parse(&stranger).unwrap();
    for (from, key, taken) in [
        (&later, None, true),
        (&later, Some(&vkey), true),
        (&onwards, Some(&vkey), true),
        (&side, Some(&vkey), false),
        (&side, None, false),
        (&early, None, false),
        (&later, Some(&stranger), false),
    ] {
        let to = tempfile::tempdir_in(scratch.path()).unwrap();
        let to = to.path().join("data");
        let source = Source::open(from).unwrap();
        let object_keys = ObjectKeys::Later(&source, site.opener());
        let against = Against { vkey: key, since: None };
        let done = site.restore_with(&backup, &to, object_keys, against).await;
        assert_eq!(done.is_ok(), taken, "{} {key:?}: {:?}", from.display(), done.err());
        assert_eq!(to.exists(), taken);
        if taken {
            let (core, _) = Core::start(site.config_of(&to)).await.unwrap();
            assert_eq!(site.get(&core, "SINCE").await, Ok("since".to_owned()));
            core.shutdown().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_restored_over_something_and_nothing_starts_half_restored() {
    let site = Site::new().await;
    site.set("A", "one", None).await;
    let backup = site.back_up().await;
    site.core.shutdown().await;
    let scratch = tempfile::tempdir().unwrap();
    let to = scratch.path().join("data");
    fs::create_dir(&to).unwrap();
    fs::write(to.join("something"), "").unwrap();
    let refused = site.restore(&backup, &to).await.unwrap_err();
    assert!(matches!(&refused, BackupError::Refused(text) if text.contains("is not empty")), "{refused}");
    assert_eq!(fs::read_dir(&to).unwrap().count(), 1);
    fs::remove_file(to.join("something")).unwrap();
    site.restore(&backup, &to).await.unwrap();
    assert!(site.restore(&backup, &to).await.is_err(), "twice");

    // A store that was used, elsewhere than in the new data folder.
    let (used, new) = (to.join("store.db"), scratch.path().join("new"));
    let before = fs::read(&used).unwrap();
    let source = Source::open(&backup).unwrap();
    let store = format!("sqlite:{}", used.display());
    let object_keys = ObjectKeys::Own;
    let (opener, against) = (site.opener(), Against::default());
    let refused = restore(Restore { source: &source, opener, against, object_keys, store: &store, data: &new }).await;
    assert!(matches!(refused, Err(BackupError::Refused(_))), "{:?}", refused.err());
    assert!(!new.exists() && fs::read(&used).unwrap() == before);

    // What goes wrong from the first row on is told as that: here the data folder cannot be made.
    let (stuck, elsewhere) = (scratch.path().join("stuck"), scratch.path().join("elsewhere"));
    std::os::unix::fs::symlink("/nowhere/at/all", &stuck).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    let store = format!("sqlite:{}", elsewhere.join("store.db").display());
    let failed = restore(Restore { source: &source, opener, against, object_keys, store: &store, data: &stuck }).await;
    let failed = failed.unwrap_err();
    assert!(matches!(&failed, BackupError::Half(cause) if matches!(**cause, BackupError::Io { .. })), "{failed}");
    let refused = Core::start(site.config_of(&elsewhere)).await.err().unwrap();
    assert!(matches!(refused, StartError::HalfRestored { .. }), "{refused}");

    // As a crash in the middle leaves it.
    let half =
        "UPDATE entries SET value = CAST(x'0100' || substr(value, 3) AS BLOB) WHERE key = CAST('restored' AS BLOB)";
    assert_eq!(Connection::open(to.join("store.db")).unwrap().execute(half, []).unwrap(), 1);
    let refused = Core::start(site.config_of(&to)).await.err().unwrap();
    assert!(matches!(refused, StartError::HalfRestored { .. }), "{refused}");
    assert!(refused.to_string().contains("half restored"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_of_a_restore_put_into_a_live_store_is_reported_and_changes_nothing() {
    let site = Site::new().await;
    site.set("A", "one", None).await;
    let backup = site.back_up().await;
    site.core.shutdown().await;
    let scratch = tempfile::tempdir().unwrap();
    let to = scratch.path().join("data");
    site.restore(&backup, &to).await.unwrap();
    let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?));
    let database = || Connection::open(to.join("store.db")).unwrap();
    let kept = database().query_row(READ_RESTORED, [], read).unwrap();
    let (core, _) = Core::start(site.config_of(&to)).await.unwrap();
    let vkey = caller(&core, &site.token).await.audit_checkpoint().await.unwrap().vkey;
    core.shutdown().await;
    assert!(database().query_row(READ_RESTORED, [], read).is_err());

    let put = "INSERT INTO entries (key, revision, value) VALUES (CAST('restored' AS BLOB), ?1, ?2)";
    database().execute(put, rusqlite::params![kept.0, kept.1]).unwrap();
    let url = format!("sqlite:{}/store.db", to.display());
    let keys = vec![VerifierKey::parse(&vkey).unwrap(), site.vkey.clone()];
    let given = [to.join("audit"), to.join("audit-restored")].into_iter().zip(&keys);
    let given = given.map(|(dir, key)| GivenLog { dir, keys: vec![key.clone()], since: None }).collect();
    let (_, report) = verify_store(&url, given).await.unwrap();
    assert!(matches!(&report.findings[..], [only] if only.contains("was put back")), "{:?}", report.findings);
    // The log of this start was begun for the restore of that row, so its end is noted anew; one of another backup is not.
    let mut other = kept.1.clone();
    other[5] ^= 1;
    let change = "UPDATE entries SET value = ?1 WHERE key = CAST('restored' AS BLOB)";
    database().execute(change, [other]).unwrap();
    let (core, _) = Core::start(config(&to)).await.unwrap();
    let admin = caller(&core, &site.token).await;
    assert_eq!(admin.key_status().await.unwrap().term, 2, "no term was begun for it");
    let of = AuditQuery { action: Some("system.restore".to_owned()), ..AuditQuery::default() };
    assert_eq!(admin.audit_query(&of).await.unwrap().entries.len(), 1);
    drop(admin);
    core.shutdown().await;
}

const READ_RESTORED: &str = "SELECT revision, value FROM entries WHERE key = CAST('restored' AS BLOB)";
