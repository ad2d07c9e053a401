//! Logs that were changed behind their back: what verification finds, and what opening refuses.

use std::path::{Path, PathBuf};

use super::{
    super::{
        Head, Log, OpenError,
        checkpoint::sign_head,
        merkle::{Frontier, leaf_hash},
        note::KeyName,
        segment::{Header, push_checkpoint_frame, push_entry_frame},
        verify::{Finding, Verification, VerifyError, verify_dir},
    },
    DIR, ORIGIN, append,
    dice::Dice,
    open,
    sim::SimDisk,
    small,
    vectors::{entry, signer, signing_key},
    verify,
};

/// A closed log of 700 entries: two full bundles, released and unreleased segments, partial tiles, a change of key.
async fn log_of_700() -> (SimDisk, Head) {
    let disk = SimDisk::new();
    let (log, _) = open(&disk, None).unwrap();
    fill(&log, 0..650).await;
    log.publish().unwrap();
    assert_eq!(log.rotate_key(signing_key(50), |_, _| entry(650)).await.unwrap(), 650);
    fill(&log, 651..700).await;
    let head = log.head();
    log.close().unwrap();
    (disk, head)
}

/// Appends entries ten at a time, each ten in one batch.
async fn fill(log: &Log, range: std::ops::Range<u64>) {
    let entries: Vec<Vec<u8>> = range.map(|index| [entry(index), vec![b'.'; 60]].concat()).collect();
    for ten in entries.chunks(10) {
        append(log, ten.to_vec()).await.unwrap();
    }
}

fn finding(disk: &SimDisk) -> Finding {
    match verify(disk, None) {
        Err(VerifyError::Finding(finding)) => *finding,
        other => panic!("no finding: {other:?}"),
    }
}

fn reopen(disk: &SimDisk, known: Head) -> Result<Log, OpenError> {
    let disk = std::sync::Arc::new(disk.clone());
    Log::open(Path::new(DIR), disk, signing_key(50), small(), Some(known)).map(|(log, _)| log)
}

fn path(name: &str) -> PathBuf {
    Path::new(DIR).join(name)
}

fn segments(disk: &SimDisk) -> Vec<PathBuf> {
    disk.files().into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "seg")).collect()
}

#[tokio::test]
async fn log_that_is_whole_verifies_with_its_keys_and_every_entry() {
    let (disk, head) = log_of_700().await;
    let (report, entries) = verify(&disk, None).unwrap();
    assert_eq!((report.head, report.published), (head, Some(head)));
    assert_eq!((report.keys.keys().count(), report.abandoned, report.unfinished_bytes), (2, 0, 0));
    assert_eq!(entries.len(), 700);
    assert!(entries[650].starts_with(b"tlog-key-rotation/v1\n"));
    assert!(!disk.files().contains(&path("segments/00000000000000000001.seg")), "one was released");
    assert!(segments(&disk).len() > 1);
    // Without segments it is the copy that a C2SP client has.
    for file in disk.files() {
        if !file.starts_with(path("tile")) && file != path("checkpoint") {
            super::super::disk::Disk::remove(&disk, &file).unwrap();
        }
    }
    super::super::disk::Disk::remove_dir(&disk, &path("segments")).unwrap();
    assert_eq!(verify(&disk, None).unwrap().0.head, head);
}

#[tokio::test]
async fn byte_flipped_anywhere_in_what_was_signed_is_found() {
    let (disk, _) = log_of_700().await;
    let mut dice = Dice(1);
    for file in disk.files() {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if ["spare", "reserve", "lock"].contains(&name.as_str()) {
            continue;
        }
        let whole = disk.contents(&file);
        // The zeros behind the frames are no part of the log.
        let used = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        let last = segments(&disk).last() == Some(&file);
        for _ in 0..8 {
            let at = dice.index(used);
            disk.tamper(&file, |bytes| bytes[at] ^= 1 << dice.below(8));
            let found = verify(&disk, None);
            assert!(found.is_err(), "{} at {at} of {used}, last segment: {last}", file.display());
            assert!(matches!(found, Err(VerifyError::Finding(_))));
            disk.tamper(&file, |bytes| *bytes = whole.clone());
        }
    }
    verify(&disk, None).unwrap();
}

#[tokio::test]
async fn entry_changed_in_its_bundle_is_found_by_its_index() {
    let (disk, _) = log_of_700().await;
    disk.tamper(&path("tile/entries/000"), |bytes| {
        let at = bytes.windows(9).position(|bytes| bytes == b"entry-123").unwrap();
        bytes[at + 8] = b'4';
    });
    assert!(matches!(finding(&disk), Finding::Entry { index: 123, .. }));
}

#[tokio::test]
async fn entry_changed_with_its_tile_is_found_by_the_tile_above_or_the_root() {
    let (disk, _) = log_of_700().await;
    let mut changed = Vec::new();
    disk.tamper(&path("tile/entries/000"), |bytes| {
        let at = bytes.windows(9).position(|bytes| bytes == b"entry-123").unwrap();
        bytes[at + 8] = b'4';
        changed = bytes[at..at + 69].to_vec();
    });
    disk.tamper(&path("tile/0/000"), |bytes| bytes[123 * 32..124 * 32].copy_from_slice(&leaf_hash(&changed)));
    assert!(matches!(finding(&disk), Finding::Root { .. } | Finding::File { .. }));
}

#[tokio::test]
async fn entries_swapped_are_found() {
    let (disk, _) = log_of_700().await;
    disk.tamper(&path("tile/entries/000"), |bytes| {
        // Entries 20 and 21 have the same length.
        let at = bytes.windows(8).position(|bytes| bytes == b"entry-20").unwrap();
        let (one, other) = bytes[at..].split_at_mut(70);
        one[..68].swap_with_slice(&mut other[..68]);
    });
    assert!(matches!(finding(&disk), Finding::Entry { index: 20, .. }));
    let (disk, head) = log_of_700().await;
    let last = segments(&disk).pop().unwrap();
    disk.tamper(&last, |bytes| {
        // Whole frames, checksums and all.
        let at = bytes.windows(9).position(|bytes| bytes == b"entry-693").unwrap() - 9;
        let (one, other) = bytes[at..].split_at_mut(78);
        one.swap_with_slice(&mut other[..78]);
    });
    assert!(matches!(finding(&disk), Finding::Root { .. } | Finding::Entry { .. }));
    assert!(matches!(reopen(&disk, head), Err(OpenError::Diverged { .. })));
}

#[tokio::test]
async fn segment_deleted_is_found_and_not_opened() {
    for at in 0..2 {
        let (disk, head) = log_of_700().await;
        let mut all = segments(&disk);
        let gone = all.remove(if at == 0 { 0 } else { all.len() - 1 });
        super::super::disk::Disk::remove(&disk, &gone).unwrap();
        assert!(matches!(verify(&disk, None), Err(VerifyError::Finding(_))), "{}", gone.display());
        let refused = reopen(&disk, head).err().unwrap();
        assert!(
            matches!(refused, OpenError::Shorter { .. } | OpenError::Gap { .. } | OpenError::Damaged(_)),
            "{refused}"
        );
    }
    let (disk, head) = log_of_700().await;
    segments(&disk).iter().for_each(|path| super::super::disk::Disk::remove(&disk, path).unwrap());
    assert!(matches!(finding(&disk), Finding::Missing(_)));
    assert!(matches!(reopen(&disk, head), Err(OpenError::Missing { size: 700, .. })));
}

#[tokio::test]
async fn log_removed_is_not_made_again_when_it_is_known() {
    let known = Head { size: 5, root: [1; 32] };
    assert!(matches!(open(&SimDisk::new(), Some(known)), Err(OpenError::Missing { size: 5, .. })));
    // And not when its tiles or its checkpoint are there.
    let (disk, _) = log_of_700().await;
    segments(&disk).iter().for_each(|path| super::super::disk::Disk::remove(&disk, path).unwrap());
    assert!(matches!(open(&disk, None), Err(OpenError::Missing { .. })));
    super::super::disk::Disk::remove(&disk, &path("checkpoint")).unwrap();
    assert!(matches!(open(&disk, None), Err(OpenError::Missing { .. })));
}

#[tokio::test]
async fn segment_cut_short_is_found_and_not_opened() {
    let (disk, head) = log_of_700().await;
    let last = segments(&disk).pop().unwrap();
    let whole = disk.contents(&last);
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    for cut in [used - 1, used / 2, 300, 64, 10, 0] {
        disk.tamper(&last, |bytes| bytes.truncate(cut));
        assert!(matches!(verify(&disk, None), Err(VerifyError::Finding(_))), "{cut}");
        let refused = reopen(&disk, head).err().unwrap();
        assert!(matches!(refused, OpenError::Shorter { .. } | OpenError::Torn { .. }), "{cut}: {refused}");
        disk.tamper(&last, |bytes| *bytes = whole.clone());
    }
    assert!(reopen(&disk, head).is_ok());
}

#[tokio::test]
async fn segment_damaged_before_acknowledged_entries_is_not_opened_even_if_nothing_else_is_known() {
    let (disk, _) = log_of_700().await;
    let last = segments(&disk).pop().unwrap();
    super::super::disk::Disk::remove(&disk, &path("checkpoint")).unwrap();
    disk.tamper(&last, |bytes| bytes[400] ^= 1);
    let opened = Log::open(Path::new(DIR), std::sync::Arc::new(disk.clone()), signing_key(50), small(), None);
    assert!(matches!(opened, Err(OpenError::Torn { .. })));
    assert!(matches!(finding(&disk), Finding::Damaged { path, .. } if path == last));
}

/// The entry of an index in a log of 700, as a segment has it.
fn framed(index: u64, altered: bool) -> Vec<u8> {
    let mut entry = [entry(index), vec![b'.'; 60]].concat();
    if altered {
        *entry.last_mut().unwrap() = b'!';
    }
    let mut frame = Vec::new();
    push_entry_frame(&mut frame, &entry);
    frame
}

/// Puts bytes in the place of others in the segment that has them.
fn replace(disk: &SimDisk, old: &[u8], new: &[u8]) -> PathBuf {
    let place = |bytes: &[u8]| bytes.windows(old.len()).position(|window| window == old);
    let segment = segments(disk).into_iter().find(|segment| place(&disk.contents(segment)).is_some()).unwrap();
    disk.tamper(&segment, |bytes| {
        let at = place(bytes).unwrap();
        bytes[at..at + new.len()].copy_from_slice(new);
    });
    segment
}

#[tokio::test]
async fn entry_altered_in_a_segment_is_named_by_its_index() {
    let (disk, _) = log_of_700().await;
    // The third of a batch of ten; the two before it are whole.
    let mut torn = framed(683, false);
    *torn.last_mut().unwrap() = b'!';
    let segment = replace(&disk, &framed(683, false), &torn);
    assert!(matches!(finding(&disk), Finding::Damaged { path, index: 683 } if path == segment));
    assert!(finding(&disk).to_string().contains("683"));

    // With its checksum it is as it should be, but for the hash.
    let (disk, _) = log_of_700().await;
    replace(&disk, &framed(683, false), &framed(683, true));
    assert!(matches!(finding(&disk), Finding::Entry { index: 683, .. }));
}

#[tokio::test]
async fn entry_altered_in_a_segment_before_anything_is_published_is_named_with_those_signed_together() {
    let (disk, _) = log_of_700().await;
    let published =
        |file: &PathBuf| file.starts_with(path("tile/0/002.p")) || file.starts_with(path("tile/entries/002.p"));
    for file in disk.files().into_iter().filter(|file| published(file) || *file == path("checkpoint")) {
        super::super::disk::Disk::remove(&disk, &file).unwrap();
    }
    replace(&disk, &framed(683, false), &framed(683, true));
    let found = finding(&disk);
    assert!(matches!(found, Finding::Root { from: 681, size: 691, .. }), "{found}");
    assert!(found.to_string().starts_with("one of the entries 681 to 690 is altered"), "{found}");
}

#[tokio::test]
async fn log_truncated_and_signed_again_is_found_by_a_checkpoint_kept_elsewhere() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk, None).unwrap();
    append(&log, vec![entry(0), entry(1)]).await.unwrap();
    append(&log, vec![entry(2)]).await.unwrap();
    let (head, kept) = (log.head(), log.checkpoint());
    log.close().unwrap();
    verify(&disk, Some(&kept)).unwrap();
    for file in disk.files().into_iter().filter(|file| file.starts_with(path("tile")) || *file == path("checkpoint")) {
        super::super::disk::Disk::remove(&disk, &file).unwrap();
    }
    // With the log's own key, and another third entry.
    let rewrite = |key: u8, third: Option<Vec<u8>>| {
        let signer = signer(ORIGIN, key);
        let origin = KeyName::new(ORIGIN).unwrap();
        let mut tree = Frontier::new();
        let mut bytes = Header { ordinal: 1, first: 0, root: tree.root() }.encode();
        push_checkpoint_frame(&mut bytes, 0, &sign_head(&origin, &Head { size: 0, root: tree.root() }, [&signer]));
        for entry in [Some(entry(0)), Some(entry(1)), third].into_iter().flatten() {
            push_entry_frame(&mut bytes, &entry);
            tree.push(leaf_hash(&entry));
        }
        let head = Head { size: tree.size(), root: tree.root() };
        push_checkpoint_frame(&mut bytes, 0, &sign_head(&origin, &head, [&signer]));
        bytes.resize(32 * 1024, 0);
        disk.tamper(&segments(&disk)[0], |file| *file = bytes);
    };
    rewrite(0, None);
    assert!(verify(&disk, None).is_ok(), "by itself it looks whole");
    assert!(matches!(verify(&disk, Some(&kept)), Err(VerifyError::Finding(f)) if matches!(*f, Finding::Short { .. })));
    assert!(matches!(open(&disk, Some(head)), Err(OpenError::Shorter { found: 2, known: 3, .. })));
    rewrite(0, Some(b"another".to_vec()));
    assert!(
        matches!(verify(&disk, Some(&kept)), Err(VerifyError::Finding(f)) if matches!(*f, Finding::Root { size: 3, .. }))
    );
    assert!(matches!(open(&disk, Some(head)), Err(OpenError::Diverged { size: 3, .. })));
    // With a key that never was the log's.
    rewrite(9, Some(b"another".to_vec()));
    assert!(matches!(finding(&disk), Finding::Signature { .. }));
    assert!(matches!(open(&disk, None), Err(OpenError::OtherKey { .. })));
}

#[tokio::test]
async fn file_that_the_log_did_not_write_is_found() {
    let long = "x".repeat(8192);
    for (name, bytes) in [
        ("tile/0/002", long.as_str()),
        ("tile/0/x001/000", &long),
        ("tile/0/2", "stray"),
        ("tile/entries/002.p/200", "stray"),
        ("tile/7/000", &long),
        ("tile/readme", "stray"),
        ("segments/readme", "stray"),
    ] {
        let (disk, _) = log_of_700().await;
        super::super::disk::Disk::create_dirs(&disk, path(name).parent().unwrap()).unwrap();
        let file = super::super::disk::Disk::create(&disk, &path(name)).unwrap();
        file.write_at(bytes.as_bytes(), 0).unwrap();
        assert!(matches!(finding(&disk), Finding::Extra(extra) if extra == path(name)), "{name}");
    }
}

#[tokio::test]
async fn file_that_the_published_checkpoint_promises_is_found_missing_whether_segments_hold_its_entries_or_not() {
    let (whole, _) = log_of_700().await;
    let promised: Vec<PathBuf> = whole.files().into_iter().filter(|file| file.starts_with(path("tile"))).collect();
    for name in ["tile/0/000", "tile/0/001", "tile/entries/000", "tile/entries/001", "tile/0/002.p/188"] {
        assert!(promised.contains(&path(name)), "{name} in {promised:?}");
    }
    for name in ["tile/1/000.p/2", "tile/entries/002.p/188"] {
        assert!(promised.contains(&path(name)), "{name} in {promised:?}");
    }
    for file in promised {
        let width = file.file_name().unwrap().to_str().unwrap();
        // Those of earlier checkpoints are promised no more.
        let is_old = file.parent().unwrap().extension().is_some() && !["188", "2"].contains(&width);
        let (disk, _) = log_of_700().await;
        super::super::disk::Disk::remove(&disk, &file).unwrap();
        match verify(&disk, None) {
            Ok(_) => assert!(is_old, "{}", file.display()),
            Err(VerifyError::Finding(found)) => {
                assert!(matches!(*found, Finding::Missing(missing) if missing == file), "{}", file.display());
            }
            other => panic!("{}: {other:?}", file.display()),
        }
    }
    let (disk, head) = log_of_700().await;
    for file in disk.files().into_iter().filter(|file| file.starts_with(path("tile"))) {
        super::super::disk::Disk::remove(&disk, &file).unwrap();
    }
    assert!(matches!(finding(&disk), Finding::Missing(_)));
    // Those whose entries are gone from the segments cannot be made again.
    assert!(reopen(&disk, head).is_err());
}

#[tokio::test]
async fn log_without_a_published_checkpoint_is_told_from_one_without_segments() {
    let (disk, head) = log_of_700().await;
    super::super::disk::Disk::remove(&disk, &path("checkpoint")).unwrap();
    let (report, _) = verify(&disk, None).unwrap();
    assert_eq!((report.published, report.has_segments, report.head), (None, true, head));
    let (disk, head) = log_of_700().await;
    for file in disk.files().into_iter().filter(|file| file.starts_with(path("segments"))) {
        super::super::disk::Disk::remove(&disk, &file).unwrap();
    }
    super::super::disk::Disk::remove_dir(&disk, &path("segments")).unwrap();
    let (report, _) = verify(&disk, None).unwrap();
    assert_eq!((report.published, report.has_segments), (Some(head), false));
}

#[tokio::test]
async fn keys_that_are_not_the_logs_are_found() {
    let (disk, _) = log_of_700().await;
    let [first, second, stranger] = [0, 50, 9].map(|key| signer(ORIGIN, key).verifier().clone());
    let check =
        |keys: &[_]| verify_dir(&disk, Verification { dir: Path::new(DIR), keys, since: None }, &mut |_, _| Ok(()));
    assert_eq!(check(&[first.clone(), second.clone()]).unwrap().keys.current(), &second);
    let alone = [stranger.clone()];
    for keys in [
        std::slice::from_ref(&second),
        &alone,
        &[first.clone(), stranger.clone()],
        &[first.clone(), second.clone(), stranger],
    ] {
        assert!(matches!(check(keys), Err(VerifyError::Finding(_))));
    }
    assert!(matches!(check(&[]), Err(VerifyError::Input(_))));
    disk.tamper(&path("keys"), |bytes| bytes.extend_from_slice(format!("700 {first}\n").as_bytes()));
    assert!(matches!(finding(&disk), Finding::File { path: file, .. } if file == path("keys")));
    super::super::disk::Disk::remove(&disk, &path("keys")).unwrap();
    assert!(matches!(finding(&disk), Finding::Missing(file) if file == path("keys")));
}

#[tokio::test]
async fn entry_that_the_caller_refuses_is_reported_with_its_index() {
    let (disk, _) = log_of_700().await;
    let keys = [signer(ORIGIN, 0).verifier().clone()];
    let what = Verification { dir: Path::new(DIR), keys: &keys, since: None };
    let refused = verify_dir(&disk, what, &mut |index, _| if index == 400 { Err("no".into()) } else { Ok(()) });
    assert!(
        matches!(refused, Err(VerifyError::Finding(f)) if matches!(&*f, Finding::Record { index: 400, reason } if reason == "no"))
    );
}

#[tokio::test]
async fn segment_removed_while_the_log_is_open_stops_it_with_a_clear_error() {
    for cut in [false, true] {
        let disk = SimDisk::new();
        let (log, _) = open(&disk, None).unwrap();
        append(&log, vec![entry(0)]).await.unwrap();
        log.check_files();
        append(&log, vec![entry(1)]).await.unwrap();
        let segment = segments(&disk).pop().unwrap();
        if cut {
            disk.tamper(&segment, |bytes| bytes.truncate(1000));
        } else {
            super::super::disk::Disk::remove(&disk, &segment).unwrap();
        }
        log.check_files();
        let refused = append(&log, vec![entry(2)]).await.unwrap_err();
        let expected = if cut { "was cut short" } else { "is gone" };
        assert!(refused.to_string().contains(expected), "{refused}");
        assert!(log.rotate_key(signing_key(1), |_, _| vec![1]).await.is_err());
        assert!(log.publish().is_err());
    }
}

#[tokio::test]
async fn bundle_that_differs_from_the_segments_stops_the_log() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk, None).unwrap();
    fill(&log, 0..200).await;
    super::super::disk::Disk::create_dirs(&disk, &path("tile/entries")).unwrap();
    super::super::disk::Disk::create(&disk, &path("tile/entries/000")).unwrap().write_at(b"other", 0).unwrap();
    fill(&log, 200..260).await;
    append(&log, vec![entry(260)]).await.unwrap();
    assert!(log.publish().is_err());
    assert!(append(&log, vec![entry(261)]).await.unwrap_err().to_string().contains("tile/entries/000"));
}
