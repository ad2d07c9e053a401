//! Losses of power at any point, a thousand of them.

use std::{path::Path, sync::Arc};

use super::{
    super::{
        Head, Log, OpenError,
        checkpoint::sign_head,
        note::KeyName,
        payload,
        proof::verify_consistency,
        segment::{push_checkpoint_frame, push_entry_frame},
    },
    DIR, ORIGIN, append, count,
    dice::Dice,
    open,
    sim::{Op, SimDisk},
    small,
    vectors::{signer, signing_key},
    verify,
};

/// What callers were told, and what they keep elsewhere.
#[derive(Default)]
struct Told {
    synced: Vec<(u64, Vec<u8>)>,
    /// The last head that was registered, and its checkpoint.
    head: Option<Head>,
    checkpoint: Option<String>,
    /// The keys that may be in force: the last one known to be, and the next.
    key: u8,
}

/// Appends until the power goes, or for some steps.
async fn work(log: &Log, dice: &mut Dice, told: &mut Told, round: u64) {
    for step in 0..dice.below(30) {
        if dice.one_in(40) {
            let record = format!("{round}/{step}/key").into_bytes();
            let copy = record.clone();
            let Ok(index) = log.rotate_key(signing_key(told.key + 1), move |_, _| copy).await else { return };
            told.key += 1;
            told.synced.push((index, record));
        }
        let entries: Vec<Vec<u8>> = (0..=dice.below(40))
            .map(|i| format!("{round}/{step}/{i}/{}", "x".repeat(dice.index(300))).into())
            .collect();
        let relaxed = dice.one_in(4);
        let call = if relaxed { log.append_relaxed(entries.clone()) } else { log.append(entries.clone()) };
        let Ok(ticket) = call.await else { return };
        let done = if relaxed { log.written(&ticket).await } else { log.synced(&ticket).await };
        let Ok(first) = done else { return };
        if !relaxed {
            told.synced.extend((first..).zip(entries));
            told.head = Some(log.head());
            told.checkpoint = Some(log.checkpoint());
        }
        if dice.one_in(6) && log.publish().is_err() {
            return;
        }
    }
}

/// Opens the log with whichever of the two keys is in force.
fn start(disk: &SimDisk, told: &mut Told) -> Result<(Log, Head), OpenError> {
    let with = |key| {
        let opened = Log::open(Path::new(DIR), Arc::new(disk.clone()), signing_key(key), small(), told.head);
        opened.map(|(log, opened)| (log, opened.head))
    };
    match with(told.key) {
        Err(OpenError::OtherKey { .. }) => {
            let opened = with(told.key + 1)?;
            told.key += 1;
            Ok(opened)
        }
        opened => opened,
    }
}

async fn lose_power_and_recover(seed: u64) {
    let disk = SimDisk::new();
    let mut dice = Dice(seed);
    let mut told = Told::default();
    for round in 0..3 {
        // The last round always comes up.
        if round < 2 {
            let most = if dice.one_in(3) { 20 } else { 300 };
            disk.cut_power_after(dice.below(most));
        }
        match start(&disk, &mut told) {
            Ok((log, head)) => {
                check(&log, head, &told, seed);
                work(&log, &mut dice, &mut told, round).await;
                if round < 2 {
                    disk.cut_power_after(0);
                } else {
                    log.close().unwrap();
                }
            }
            // Nothing but the missing power may keep it from opening.
            Err(OpenError::Disk(_)) if round < 2 => {}
            Err(error) => panic!("{seed}: {error}"),
        }
        if round < 2 {
            if dice.one_in(3) {
                disk.kill()
            } else {
                disk.crash(dice.next())
            }
            if told.head.is_some() {
                // What a crash leaves behind is no finding.
                verify(&disk, told.checkpoint.as_deref()).unwrap_or_else(|error| panic!("{seed}: {error}"));
            }
        }
    }
    let (log, head) = start(&disk, &mut told).unwrap_or_else(|error| panic!("{seed}: {error}"));
    check(&log, head, &told, seed);
    drop(log);
    let (report, entries) = verify(&disk, told.checkpoint.as_deref()).unwrap();
    assert_eq!((report.head, count(&entries)), (head, head.size));
}

fn check(log: &Log, head: Head, told: &Told, seed: u64) {
    let all = log.read(0, usize::MAX).unwrap();
    assert_eq!(count(&all), head.size, "{seed}");
    for (index, entry) in &told.synced {
        let (found, bytes) = &all[usize::try_from(*index).unwrap()];
        assert_eq!((found, payload(bytes)), (index, entry.as_slice()), "{seed}");
    }
    if let Some(known) = told.head {
        let path = log.prove_consistency(known.size, head.size).unwrap();
        verify_consistency(known.size, head.size, &path, &known.root, &head.root).unwrap();
    }
}

#[test]
fn log_after_a_loss_of_power_has_every_acknowledged_entry_and_goes_on() {
    std::thread::scope(|scope| {
        for part in 0..4 {
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                (0..1000)
                    .filter(|seed| seed % 4 == part)
                    .for_each(|seed| runtime.block_on(lose_power_and_recover(seed)));
            });
        }
    });
}

#[tokio::test]
async fn log_whose_sync_failed_before_a_kill_is_written_again_before_it_is_trusted() {
    for seed in 0..10 {
        let disk = SimDisk::new();
        let (log, _) = open(&disk, None).unwrap();
        append(&log, vec![b"one".to_vec()]).await.unwrap();
        // The sync fails, the process ends before it can go on: the batch can still be read, and is not on disk.
        disk.fail(Op::SyncData, "segments", std::io::ErrorKind::Other);
        assert!(append(&log, vec![b"two".to_vec()]).await.is_err());
        disk.cut_power_after(0);
        drop(log);
        disk.kill();
        let (log, opened) = open(&disk, None).unwrap();
        assert_eq!(opened.head.size, 2);
        disk.cut_power_after(0);
        drop(log);
        disk.crash(seed);
        assert_eq!(open(&disk, Some(opened.head)).unwrap().1.head, opened.head);
    }
}

/// Operations fail here and there, one after the other and on any thread; then the power goes.
async fn fail_and_lose_power(seed: u64) {
    let disk = SimDisk::new();
    let mut dice = Dice(seed);
    let (log, _) = open(&disk, None).unwrap();
    let mut faults = Dice(dice.next());
    disk.set_fault(Some(Box::new(move |op, _| {
        let often = if op == Op::SyncData { 5 } else { 40 };
        faults.one_in(often).then_some(std::io::ErrorKind::Other)
    })));
    let mut synced = Vec::new();
    let mut head = None;
    for step in 0..40_u64 {
        let relaxed = log.append_relaxed(vec![format!("relaxed {step}").into()]).await.unwrap();
        let bytes = format!("{step}/{}", "y".repeat(dice.index(2000))).into_bytes();
        let strict = log.append(vec![bytes.clone()]).await.unwrap();
        if let Ok(index) = log.synced(&strict).await {
            synced.push((index, bytes));
            head = Some(log.head());
        }
        if dice.one_in(3) {
            // Whether it was written or not; what matters is that it does not disturb the others.
            let _ = log.written(&relaxed).await;
        }
        if dice.one_in(8) {
            let _ = log.publish();
        }
    }
    disk.cut_power_after(0);
    drop(log);
    if dice.one_in(3) {
        disk.kill()
    } else {
        disk.crash(dice.next())
    }
    let (log, opened) = open(&disk, head).unwrap_or_else(|error| panic!("{seed}: {error}"));
    check(&log, opened.head, &Told { synced, head, ..Told::default() }, seed);
    log.close().unwrap();
    verify(&disk, None).unwrap_or_else(|error| panic!("{seed}: {error}"));
}

#[test]
fn log_on_a_failing_disk_that_loses_power_has_every_acknowledged_entry() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    (0..300).for_each(|seed| runtime.block_on(fail_and_lose_power(seed)));
}

#[tokio::test]
async fn frames_that_a_crash_left_behind_the_end_never_come_back() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk, None).unwrap();
    append(&log, vec![b"one".to_vec()]).await.unwrap();
    let head = log.head();
    log.close().unwrap();
    // Two batches were written and not synced; of the first nothing survived, the second is whole.
    let segment = Path::new(DIR).join("segments/00000000000000000001.seg");
    let end = disk.contents(&segment).iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let batch = |size| {
        let mut bytes = Vec::new();
        push_entry_frame(&mut bytes, b"two");
        let note = sign_head(&KeyName::new(ORIGIN).unwrap(), &Head { size, root: [9; 32] }, [&signer(ORIGIN, 0)]);
        push_checkpoint_frame(&mut bytes, 1, &note);
        bytes
    };
    let (lost, kept) = (batch(2).len(), batch(3));
    disk.tamper(&segment, |bytes| bytes[end + lost..end + lost + kept.len()].copy_from_slice(&kept));
    let (log, opened) = open(&disk, Some(head)).unwrap();
    assert_eq!(opened.head, head);
    assert!(opened.dropped_bytes > 0);
    // The next batch ends exactly where the leftover begins.
    append(&log, vec![b"TWO".to_vec()]).await.unwrap();
    let head = log.head();
    log.close().unwrap();
    assert_eq!(verify(&disk, None).unwrap().1, [b"one", b"TWO"]);
    assert_eq!(open(&disk, Some(head)).unwrap().1.head.size, 2);
}
