//! Tests of the module around this file.

use proptest::prelude::*;

use super::*;

const START: i64 = 1_800_000_000_000;
const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 24 * 60 * MINUTE;

fn started(wall: i64, mark: Option<i64>) -> (Clock, ManualTimeSource) {
    let source = ManualTimeSource::new(wall);
    (Clock::start(source.clone(), mark), source)
}

fn pass(source: &ManualTimeSource, milliseconds: i64) {
    source.advance(Duration::from_millis(u64::try_from(milliseconds).unwrap()));
}

fn jump(source: &ManualTimeSource, milliseconds: i64) {
    source.set_wall(source.wall() + milliseconds);
}

#[test]
fn clock_without_a_mark_follows_the_wall_clock() {
    let (clock, source) = started(START, None);
    assert_eq!((clock.now(), clock.is_in_doubt(), clock.mark_to_persist()), (START, false, Some(START)));
    pass(&source, 30 * DAY);
    assert_eq!((clock.now(), clock.is_in_doubt()), (START + 30 * DAY, false));
}

#[test]
fn clock_at_start_is_in_doubt_outside_of_the_bounds_around_the_mark() {
    for (wall, now, in_doubt) in [
        (START, START, false),
        (START + 7 * DAY, START + 7 * DAY, false),
        (START + 7 * DAY + 1, START, true),
        (START - 5 * MINUTE, START, false),
        (START - 5 * MINUTE - 1, START, true),
        (0, START, true),
        (i64::MAX, START, true),
        (i64::MIN, START, true),
    ] {
        let (clock, _source) = started(wall, Some(START));
        let reading = clock.read();
        assert_eq!((reading.now(), reading.is_in_doubt(), reading.wall()), (now, in_doubt, wall), "{wall}");
        assert_eq!(clock.mark_to_persist(), (!in_doubt).then_some(now), "{wall}");
    }
}

#[test]
fn clock_with_a_mark_ahead_of_the_wall_clock_waits_for_it() {
    let (clock, source) = started(START - MINUTE, Some(START));
    pass(&source, 30 * SECOND);
    assert_eq!((clock.now(), clock.is_in_doubt()), (START, false));
    pass(&source, 40 * SECOND);
    assert_eq!(clock.now(), START + 10 * SECOND);
}

#[test]
fn clock_in_doubt_goes_on_by_boot_time_with_the_mark_standing_still() {
    for step in [5 * MINUTE + 1, 400 * DAY, -5 * MINUTE - 1, -400 * DAY] {
        let (clock, source) = started(START, None);
        assert_eq!(clock.mark_to_persist(), Some(START));
        jump(&source, step);
        assert!(clock.is_in_doubt());
        pass(&source, DAY);
        assert_eq!((clock.now(), clock.mark_to_persist()), (START + DAY, None));
        jump(&source, -step);
        assert_eq!((clock.is_in_doubt(), clock.mark_to_persist()), (false, Some(START + DAY)), "{step}");
    }
}

#[test]
fn clock_within_the_tolerance_is_not_in_doubt_and_stands_rather_than_goes_back() {
    let (clock, source) = started(START, None);
    jump(&source, 5 * MINUTE);
    assert_eq!((clock.now(), clock.is_in_doubt()), (START + 5 * MINUTE, false));
    jump(&source, -10 * MINUTE);
    assert_eq!((clock.now(), clock.is_in_doubt()), (START + 5 * MINUTE, false));
    pass(&source, 11 * MINUTE);
    assert_eq!(clock.now(), START + 6 * MINUTE);
}

#[test]
fn clock_moved_in_small_steps_comes_into_doubt_when_they_add_up() {
    let (clock, source) = started(START, None);
    for _ in 0..5 {
        jump(&source, MINUTE);
        assert!(!clock.is_in_doubt());
    }
    jump(&source, 1);
    assert!(clock.is_in_doubt());
    assert_eq!(clock.now(), START + 5 * MINUTE);
}

#[test]
fn clock_leaves_doubt_only_near_its_own_time() {
    let (clock, source) = started(START, None);
    jump(&source, 4 * MINUTE);
    assert_eq!(clock.now(), START + 4 * MINUTE);
    jump(&source, DAY);
    assert!(clock.is_in_doubt());
    source.set_wall(START - 2 * MINUTE);
    assert!(clock.is_in_doubt(), "within the tolerance of the boot-time clock, but not of now");
    source.set_wall(START - MINUTE);
    assert_eq!((clock.now(), clock.is_in_doubt()), (START + 4 * MINUTE, false));
}

#[test]
fn clock_accept_takes_the_wall_clock_forward_and_back() {
    for step in [400 * DAY, -400 * DAY] {
        let (clock, source) = started(START, None);
        jump(&source, step);
        assert!(clock.is_in_doubt());
        assert_eq!(clock.accept(), START + step);
        assert_eq!((clock.is_in_doubt(), clock.mark_to_persist()), (false, Some(START + step)));
        pass(&source, DAY);
        assert_eq!((clock.now(), clock.is_in_doubt()), (START + step + DAY, false));
        jump(&source, -step);
        assert!(clock.is_in_doubt());
    }
}

#[test]
fn expiry_in_doubt_refuses_by_either_clock_and_removes_by_none() {
    let (clock, source) = started(START, None);
    assert_eq!(clock.expired(START), Expiry::Expired);
    assert_eq!(clock.expired(START + 1), Expiry::Valid);
    jump(&source, DAY);
    for (at, expiry) in [
        (START - 1, Expiry::Refused),
        (START, Expiry::Refused),
        (START + DAY, Expiry::Refused),
        (START + DAY + 1, Expiry::Valid),
    ] {
        assert_eq!(clock.expired(at), expiry);
    }
    jump(&source, -2 * DAY);
    assert_eq!(clock.expired(START - DAY), Expiry::Refused);
    assert_eq!(clock.expired(START), Expiry::Refused);
    assert_eq!(clock.expired(START + 1), Expiry::Valid);
}

#[test]
fn clock_restarted_in_doubt_is_in_doubt_again() {
    let (clock, source) = started(START, None);
    let mark = clock.mark_to_persist();
    jump(&source, 30 * DAY);
    assert!(clock.is_in_doubt());
    source.reboot();
    let clock = Clock::start(source.clone(), mark);
    assert_eq!((clock.now(), clock.is_in_doubt()), (START, true));
    jump(&source, -30 * DAY);
    assert!(!clock.is_in_doubt());
}

#[test]
fn sample_that_was_held_up_is_taken_again() {
    /// Jumps by an hour between the first reading of the boot-time clock and the first of the wall clock.
    struct HeldUp(ManualTimeSource, AtomicBool);

    impl TimeSource for HeldUp {
        fn wall(&self) -> i64 {
            if !self.1.swap(true, Ordering::Relaxed) {
                self.0.advance(Duration::from_secs(3600));
            }
            self.0.wall()
        }

        fn boot(&self) -> i64 {
            self.0.boot()
        }
    }

    let source = ManualTimeSource::new(START);
    let clock = Clock::start(HeldUp(source, AtomicBool::new(true)), None);
    let held_up = HeldUp(ManualTimeSource::new(START), AtomicBool::new(false));
    let Sample { wall, boot } = sample(&held_up);
    assert_eq!(wall - boot, START);
    assert!(!clock.is_in_doubt());
}

#[test]
fn system_time_source_runs_forward() {
    let source = SystemTimeSource;
    let (wall, boot) = (source.wall(), source.boot());
    assert!(wall > 1_600_000_000_000 && boot > 0);
    assert!(source.boot() >= boot);
    let clock = Clock::start(source, None);
    assert!(clock.now() <= clock.now());
    assert!(!clock.is_in_doubt());
}

#[test]
fn clock_read_by_many_threads_never_goes_back_in_any_of_them() {
    let (clock, source) = started(START, None);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut last = clock.now();
                for _ in 0..20_000 {
                    let now = clock.now();
                    assert!(now >= last);
                    last = now;
                }
            });
        }
        for step in 0..2_000_i64 {
            pass(&source, 7);
            jump(&source, (step % 13 - 6) * MINUTE);
            jump(&source, -(step % 13 - 6) * MINUTE);
        }
    });
    assert_eq!((clock.now() >= START, clock.is_in_doubt()), (true, false));
}

#[derive(Clone, Debug)]
enum Event {
    Accept,
    Jump(i64),
    Pass(i64),
    Persist,
    Reboot,
    SetRight,
}

fn event() -> impl Strategy<Value = Event> {
    let span = prop_oneof![
        0..=MINUTE,
        Just(5 * MINUTE - 1),
        Just(5 * MINUTE),
        Just(5 * MINUTE + 1),
        0..=20 * MINUTE,
        0..=30 * DAY,
        Just(7 * DAY),
    ];
    prop_oneof![
        1 => Just(Event::Accept),
        4 => (span.clone(), any::<bool>()).prop_map(|(span, back)| Event::Jump(if back { -span } else { span })),
        4 => span.prop_map(Event::Pass),
        3 => Just(Event::Persist),
        2 => Just(Event::Reboot),
        1 => Just(Event::SetRight),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn clock_through_any_events_keeps_its_promises(events in prop::collection::vec(event(), 1..40)) {
        let (mut clock, source) = started(START, None);
        let mut mark: Option<i64> = None;
        // The time that the wall clock is held against, by the test's own account.
        let mut held_against = START;
        let mut last = clock.read();
        for event in events {
            let mut passed = 0;
            let mut accepted = false;
            let mut restarted = false;
            match event {
                Event::Accept => {
                    let new_mark = clock.accept();
                    prop_assert_eq!(new_mark, source.wall());
                    mark = Some(new_mark);
                    held_against = new_mark;
                    accepted = true;
                }
                Event::Jump(by) => jump(&source, by),
                Event::Pass(span) => {
                    pass(&source, span);
                    held_against += span;
                    passed = span;
                }
                Event::Persist => {
                    let new_mark = clock.mark_to_persist();
                    prop_assert_eq!(new_mark.is_none(), clock.is_in_doubt());
                    if let (Some(old), Some(new)) = (mark, new_mark) {
                        prop_assert!(new >= old);
                    }
                    mark = new_mark.or(mark);
                }
                Event::Reboot => {
                    source.reboot();
                    clock = Clock::start(source.clone(), mark);
                    let wall = source.wall();
                    let from = mark.unwrap_or(wall);
                    let bounds = from - 5 * MINUTE..=from + 7 * DAY;
                    prop_assert_eq!(clock.is_in_doubt(), !bounds.contains(&wall));
                    held_against = if bounds.contains(&wall) { wall } else { from };
                    restarted = true;
                }
                Event::SetRight => source.set_wall(held_against),
            }
            let reading = clock.read();
            let wall = source.wall();
            prop_assert_eq!(reading.wall(), wall);
            let apart = (wall - held_against).abs() > 5 * MINUTE;
            if apart {
                prop_assert!(reading.is_in_doubt());
            }
            if accepted {
                prop_assert_eq!((reading.now(), reading.is_in_doubt()), (wall, false));
            } else if restarted {
                prop_assert!(mark.is_none_or(|mark| reading.now() >= mark));
            } else {
                prop_assert!(reading.now() >= last.now());
                if last.is_in_doubt() && reading.is_in_doubt() {
                    prop_assert_eq!(reading.now() - last.now(), passed);
                }
            }
            if wall == held_against {
                prop_assert!(!reading.is_in_doubt());
            }
            prop_assert!((reading.now() - held_against).abs() <= 5 * MINUTE);
            if !reading.is_in_doubt() {
                prop_assert!(reading.now() >= wall);
            }
            for at in [wall - 1, wall, wall + 1, reading.now(), reading.now() + 1] {
                let expected = match reading.is_in_doubt() {
                    true if reading.now() >= at || wall >= at => Expiry::Refused,
                    false if reading.now() >= at => Expiry::Expired,
                    _ => Expiry::Valid,
                };
                prop_assert_eq!(reading.expired(at), expected);
            }
            last = reading;
        }
    }
}

/// The boot-time clock and the monotonic clock differ by how long the machine slept, and a process in a time namespace
/// sees them differ by as much as one likes. Where the system gives no such namespace they may be the same.
#[test]
fn clock_and_lease_go_by_the_boot_time_clock() {
    if let Ok(apart) = std::env::var(APART) {
        return goes_by_boot_time(apart.parse().unwrap());
    }
    let name = module_path!().split_once("::").unwrap().1;
    let test = format!("{name}::clock_and_lease_go_by_the_boot_time_clock");
    let seconds = 1_000_000;
    let offset = ["--time", "--fork", "--boottime", &seconds.to_string()].map(str::to_owned);
    let as_root = offset.to_vec();
    let as_anybody = [&["--user".to_owned(), "--map-root-user".to_owned()], &offset[..]].concat();
    let unshare = |options: &[String]| {
        let mut command = std::process::Command::new("unshare");
        command.args(options);
        command
    };
    let works = |options: &&Vec<String>| unshare(options).arg("true").output().is_ok_and(|done| done.status.success());
    let this = std::env::current_exe().unwrap();
    let mut child = match [as_root, as_anybody].iter().find(works) {
        Some(options) => {
            let mut child = unshare(options);
            child.arg(this).env(APART, (seconds * 1000).to_string());
            child
        }
        None => {
            let mut child = std::process::Command::new(this);
            child.env(APART, "0");
            child
        }
    };
    let output = child.args([&test, "--exact"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

const APART: &str = "CLOCKS_TEST_MILLISECONDS_APART";

/// In a process whose clocks are so many milliseconds apart.
fn goes_by_boot_time(apart: i64) {
    let read = |clock| {
        let time = rustix::time::clock_gettime(clock);
        time.tv_sec * 1000 + time.tv_nsec / 1_000_000
    };
    let (boot, monotonic) = (read(rustix::time::ClockId::Boottime), read(rustix::time::ClockId::Monotonic));
    assert!(boot - monotonic >= apart, "no time namespace: {boot} {monotonic}");
    for (name, shown) in [("clock", SystemTimeSource.boot()), ("lease", crate::lease::monotonic_ms())] {
        assert!((shown - boot).abs() < 60_000, "{name}: {shown}, not {boot}");
    }
}
