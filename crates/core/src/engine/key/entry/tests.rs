//! What a key may be asked for, in every state.

use super::*;
use crate::engine::key::state::KeyStep;

fn version(number: u32, state: KeyState) -> KeyVersion {
    KeyVersion {
        number,
        state,
        object: Some(Uuid::nil()),
        fingerprint: vec![7; 32],
        created_ms: 0,
        activated_ms: None,
        deactivate_at_ms: None,
        deactivated_ms: None,
        compromise: None,
        scheduled_ms: None,
        destroy_at_ms: None,
        destroyed_ms: None,
        attested_ms: None,
    }
}

fn entry(states: &[KeyState]) -> KeyEntry {
    let versions: Vec<KeyVersion> = (1..).zip(states).map(|(number, state)| version(number, *state)).collect();
    let latest = u32::try_from(versions.len()).unwrap();
    let primary = versions.iter().rev().find(|v| v.state == KeyState::Active).map(|v| v.number);
    KeyEntry {
        id: Uuid::nil(),
        mount: Uuid::nil(),
        name: "k".to_owned(),
        algorithm: Algorithm::Aes256Gcm,
        key_size: 0,
        description: String::new(),
        tags: BTreeSet::new(),
        usages: Usages::of(Algorithm::Aes256Gcm),
        created_ms: 0,
        updated_ms: 0,
        deleted_ms: None,
        soft_deleted: false,
        enabled: true,
        exportable: false,
        allow_plaintext_backup: false,
        deletion_allowed: false,
        derived: false,
        convergent: false,
        imported: false,
        allow_rotation: true,
        rotate_every_ms: 0,
        rotate_jitter_ms: 0,
        rotate_at_ms: None,
        deactivate_on_rotate: true,
        overlap_ms: 0,
        min_decryption: 1,
        min_encryption: 0,
        min_available: 0,
        primary,
        latest,
        versions,
        backup: None,
    }
}

#[test]
fn key_without_primary_protects_nothing_until_it_is_rolled_back() {
    for step in [KeyStep::Suspend, KeyStep::Deactivate, KeyStep::Compromise] {
        let mut key = entry(&[KeyState::Deactivated, KeyState::Active]);
        assert_eq!(key.for_protect(Usage::Encrypt, None).unwrap().number, 2);
        key.step(2, step, 1).unwrap();
        assert_eq!(key.for_protect(Usage::Encrypt, None).unwrap_err().code(), Code::KeyState, "{step:?}");
        key.roll_back(1, 2).unwrap();
        assert_eq!(key.for_protect(Usage::Encrypt, None).unwrap().number, 1);
        assert_eq!(key.version(1).unwrap().deactivated_ms, None);
    }
    let mut key = entry(&[KeyState::Active]);
    key.step(1, KeyStep::Suspend, 1).unwrap();
    key.step(1, KeyStep::Resume, 2).unwrap();
    assert_eq!(key.primary, None, "it was resumed, not chosen");
    key.roll_back(1, 3).unwrap();
    assert_eq!(key.roll_back(1, 4).unwrap_err().code(), Code::KeyState, "it is the primary one");
}

#[test]
fn floors_and_states_must_both_allow() {
    let mut key = entry(&[KeyState::Deactivated, KeyState::Active, KeyState::Active]);
    assert_eq!(key.for_process(Usage::Encrypt, 1).unwrap().1, Permit::Always);
    assert_eq!(key.for_protect(Usage::Encrypt, Some(2)).unwrap().number, 2);
    let refused = key.for_protect(Usage::Encrypt, Some(1)).unwrap_err();
    assert_eq!(refused.code(), Code::KeyState);
    assert!(refused.public().contains("deactivated") && refused.public().contains("allowed: compromise, rollback"));
    key.min_decryption = 2;
    key.min_encryption = 3;
    assert_eq!(key.for_process(Usage::Encrypt, 1).unwrap_err().code(), Code::Invalid);
    assert_eq!(key.for_protect(Usage::Encrypt, Some(2)).unwrap_err().code(), Code::Invalid);
    assert_eq!(key.for_protect(Usage::Encrypt, Some(4)).unwrap_err().code(), Code::Invalid, "too new");
    assert_eq!(key.for_process(Usage::Encrypt, 4).unwrap_err().code(), Code::Invalid, "too new");
    assert_eq!(key.for_process(Usage::Encrypt, 0).unwrap_err().code(), Code::Invalid);
    key.step(3, KeyStep::Compromise, 1).unwrap();
    assert_eq!(key.for_process(Usage::Encrypt, 3).unwrap().1, Permit::UseCompromised);
    assert_eq!(key.for_export(3).unwrap_err().code(), Code::KeyState);
    assert_eq!(key.for_process(Usage::Sign, 2).unwrap_err().code(), Code::Invalid, "another usage");
    key.enabled = false;
    assert_eq!(key.for_process(Usage::Encrypt, 2).unwrap_err().code(), Code::KeyState);
    assert_eq!(key.for_export(2).unwrap_err().code(), Code::KeyState);
}

#[test]
fn rotation_ends_the_version_before_at_once_or_after_the_overlap_or_never() {
    for (deactivates, overlap, state, at) in [
        (true, 0, KeyState::Deactivated, None),
        (true, 500, KeyState::Active, Some(1_500)),
        (false, 500, KeyState::Active, None),
    ] {
        let mut key = entry(&[KeyState::Active]);
        (key.deactivate_on_rotate, key.overlap_ms) = (deactivates, overlap);
        key.add(version(2, KeyState::Active)).unwrap();
        key.make_primary(2, 1_000).unwrap();
        let before = key.version(1).unwrap();
        assert_eq!((before.state, before.deactivate_at_ms, key.primary), (state, at, Some(2)));
        assert_eq!(key.due_ms(), at);
        if at.is_some() {
            key.roll_back(1, 1_200).unwrap();
            assert_eq!((key.primary, key.due_ms()), (Some(1), None), "what is primary again does not end");
            assert_eq!(key.version(2).unwrap().state, KeyState::Active);
        }
    }
}

#[test]
fn version_that_is_superseded_while_it_is_suspended_ends_when_it_is_resumed() {
    for (deactivates, overlap, resumed_at, state, due) in [
        (true, 0, 1_000, KeyState::Deactivated, None),
        (true, 0, 9_000, KeyState::Deactivated, None),
        (true, 500, 1_200, KeyState::Active, Some(1_500)),
        (true, 500, 1_500, KeyState::Deactivated, None),
        (false, 500, 9_000, KeyState::Active, None),
    ] {
        let mut key = entry(&[KeyState::Active]);
        (key.deactivate_on_rotate, key.overlap_ms) = (deactivates, overlap);
        key.step(1, KeyStep::Suspend, 500).unwrap();
        key.add(version(2, KeyState::Active)).unwrap();
        key.make_primary(2, 1_000).unwrap();
        assert_eq!(key.version(1).unwrap().state, KeyState::Suspended, "a rotation lets nothing decrypt again");
        assert_eq!(key.due_ms(), None);
        key.resume(1, resumed_at).unwrap();
        let resumed = key.version(1).unwrap();
        assert_eq!((resumed.state, key.due_ms(), key.primary), (state, due, Some(2)), "{overlap} {resumed_at}");
        assert_eq!(resumed.deactivated_ms, (state == KeyState::Deactivated).then_some(resumed_at));
    }
}

#[test]
fn suspension_within_the_overlap_keeps_its_end_and_every_older_version_has_one() {
    let mut key = entry(&[KeyState::Active]);
    key.overlap_ms = 500;
    key.add(version(2, KeyState::Active)).unwrap();
    key.make_primary(2, 1_000).unwrap();
    key.step(1, KeyStep::Suspend, 1_100).unwrap();
    key.resume(1, 1_200).unwrap();
    assert_eq!((key.version(1).unwrap().state, key.due_ms()), (KeyState::Active, Some(1_500)));
    // What lost its place, and what was rolled back from, is superseded by the next rotation too.
    key.step(2, KeyStep::Suspend, 1_250).unwrap();
    key.resume(2, 1_260).unwrap();
    assert_eq!((key.primary, key.version(2).unwrap().deactivate_at_ms), (None, None));
    key.add(version(3, KeyState::Active)).unwrap();
    key.make_primary(3, 1_300).unwrap();
    let ends: Vec<_> = key.versions.iter().map(|version| version.deactivate_at_ms).collect();
    assert_eq!(ends, [Some(1_500), Some(1_800), None]);
    key.roll_back(2, 1_400).unwrap();
    assert_eq!(key.version(3).unwrap().deactivate_at_ms, None);
    key.overlap_ms = 0;
    key.add(version(4, KeyState::Active)).unwrap();
    key.make_primary(4, 1_450).unwrap();
    let states: Vec<_> = key.versions.iter().map(|version| version.state).collect();
    let (active, over) = (KeyState::Active, KeyState::Deactivated);
    assert_eq!(states, [active, over, over, active], "the first one's overlap was promised");
    // Whatever somebody does with it otherwise, it does.
    key.step(1, KeyStep::Compromise, 1_460).unwrap();
    assert_eq!(key.version(1).unwrap().deactivate_at_ms, None);
}

#[test]
fn cancelled_destruction_lands_where_the_version_was_or_one_step_short_of_use() {
    let mut key = entry(&[KeyState::Suspended, KeyState::Deactivated, KeyState::Active, KeyState::PreActive]);
    assert_eq!(key.schedule(3, 99, 1).unwrap_err().code(), Code::KeyState, "what is in use is not destroyed");
    key.compromise(3, "lost laptop".to_owned(), 1).unwrap();
    for number in 1..=3 {
        assert_eq!(key.schedule(number, 99, 2).unwrap(), KeyState::DestroyScheduled);
    }
    assert_eq!(key.schedule(4, 99, 2).unwrap(), KeyState::Destroyed, "it was never in use");
    assert_eq!(key.due_ms(), Some(2), "the attestation is due");
    key.attested(4, 3);
    assert_eq!(key.due_ms(), Some(99));
    key.put_off(1, 50);
    key.put_off(1, 120);
    assert_eq!(key.version(1).unwrap().destroy_at_ms, Some(120), "never earlier");
    for (number, state) in [(1, KeyState::Deactivated), (2, KeyState::Deactivated), (3, KeyState::Compromised)] {
        key.step(number, KeyStep::CancelDestroy, 4).unwrap();
        let version = key.version(number).unwrap();
        assert_eq!((version.state, version.destroy_at_ms, version.scheduled_ms), (state, None, None));
    }
    assert_eq!(key.due_ms(), None);
    assert_eq!(key.version(3).unwrap().compromise.as_ref().unwrap().reason, "lost laptop");
}

#[test]
fn oldest_attested_version_makes_room_and_nothing_else_does() {
    let mut key = entry(&vec![KeyState::Deactivated; MAX_VERSIONS]);
    let next = u32::try_from(MAX_VERSIONS).unwrap() + 1;
    assert_eq!(key.add(version(next, KeyState::Active)).unwrap_err().code(), Code::KeyState);
    key.schedule(7, 1, 1).unwrap();
    key.step(7, KeyStep::Reap, 2).unwrap();
    assert!(key.add(version(next, KeyState::Active)).is_err(), "its destruction is not attested");
    key.attested(7, 3);
    key.add(version(next, KeyState::Active)).unwrap();
    assert!(key.version(7).is_none() && key.version(8).is_some() && key.latest == next);
    let bytes = crate::codec::encode(&key).unwrap();
    assert!(bytes.len() < 700_000, "{} bytes do not fit into a row", bytes.len());
}

#[test]
fn usages_are_a_set_of_what_the_algorithm_supports() {
    for algorithm in Algorithm::ALL {
        let usages = Usages::of(algorithm);
        assert!(!usages.is_empty(), "{}", algorithm.name());
        assert!(usages.iter().all(|usage| algorithm.supports(usage)));
        assert_eq!(usages.iter().collect::<Usages>(), usages);
    }
    assert!(!Usages::of(Algorithm::Aes256Gcm).contains(Usage::Sign));
    assert!(Usages::of(Algorithm::Aes256Gcm).with(Usage::Mac).contains(Usage::Mac));
}
