//! What the kernel says about a locked region: guard pages, locking, dumps, forks, and the end of it.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use coffer_lockmem::{Locked, harden_process, lock_failures};
use rustix::fs::MemfdFlags;
use rustix::mm::{MapFlags, ProtFlags};
use rustix::thread::{CapabilitySet, CapabilitySets};

#[test]
fn guard_page_after_the_bytes_touched_kills_the_process() {
    if is_child() {
        let locked = Locked::zeroed(33).unwrap();
        let past_the_end = locked.as_bytes().as_ptr().wrapping_add(33);
        // SAFETY: none: the fault is what the test is about.
        std::process::exit(unsafe { past_the_end.read_volatile() }.into());
    }
    let output = run_child("guard_page_after_the_bytes_touched_kills_the_process");
    assert_eq!(output.status.signal(), Some(SIGSEGV), "{output:?}");
}

#[test]
fn guard_page_before_the_bytes_touched_kills_the_process() {
    if is_child() {
        let page = rustix::param::page_size();
        let mut locked = Locked::zeroed(page).unwrap();
        let before = locked.as_bytes_mut().as_mut_ptr().wrapping_sub(1);
        // SAFETY: none: the fault is what the test is about.
        unsafe { before.write_volatile(1) };
        std::process::exit(0);
    }
    let output = run_child("guard_page_before_the_bytes_touched_kills_the_process");
    assert_eq!(output.status.signal(), Some(SIGSEGV), "{output:?}");
}

#[test]
fn locked_bytes_are_writable_and_start_zeroed() {
    for len in [1, 32, 4095, 4096, 4097, 70_000] {
        let mut locked = Locked::zeroed(len).unwrap();
        assert_eq!(locked.as_bytes(), vec![0; len]);
        locked.as_bytes_mut().fill(0x5a);
        assert_eq!(locked.as_bytes(), vec![0x5a; len]);
    }
}

#[test]
fn locked_impossible_length_is_an_error() {
    for len in [0, usize::MAX, usize::MAX - 4096, usize::MAX / 2] {
        assert!(Locked::zeroed(len).is_err(), "{len}");
    }
}

#[test]
fn locked_region_is_guarded_locked_undumpable_and_wiped_on_fork() {
    let locked = Locked::zeroed(32).unwrap();
    let maps = Map::all();
    let address = address_of(&locked);
    let at = maps.iter().position(|map| map.range.contains(&address)).unwrap();
    for flag in ["lo", "dd", "wf"] {
        assert!(maps[at].flags.iter().any(|f| f == flag), "{flag} missing in {:?}", maps[at].flags);
    }
    assert_eq!(maps[at].locked_kib, maps[at].range.len() / 1024);
    assert!(maps[at].permissions.starts_with("rw-"));
    for guard in [&maps[at - 1], &maps[at + 1]] {
        assert!(guard.permissions.starts_with("---"), "{}", guard.permissions);
    }
    assert_eq!(maps[at - 1].range.end, maps[at].range.start);
    assert_eq!(maps[at].range.end, maps[at + 1].range.start);
}

#[test]
fn locked_dropped_leaves_no_map_and_no_locked_page() {
    if is_child() {
        let locked_kib = status_field("VmLck:");
        let locked = Locked::zeroed(32).unwrap();
        let address = address_of(&locked);
        assert!(status_field("VmLck:") > locked_kib);
        drop(locked);
        assert!(Map::all().iter().all(|map| !map.range.contains(&address)));
        assert_eq!(status_field("VmLck:"), locked_kib);
        std::process::exit(0);
    }
    let output = run_child("locked_dropped_leaves_no_map_and_no_locked_page");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn locked_dropped_zeroes_before_it_unmaps() {
    // A file in memory takes the place of the region's page, so that what drop wrote can be read when the page is gone.
    let mut locked = Locked::zeroed(32).unwrap();
    let page = rustix::param::page_size();
    let start = address_of(&locked) / page * page;
    let file = std::fs::File::from(rustix::fs::memfd_create("under-the-page", MemfdFlags::empty()).unwrap());
    file.set_len(page.try_into().unwrap()).unwrap();
    let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::FIXED);
    let address = std::ptr::with_exposed_provenance_mut(start);
    // SAFETY: replaces the one middle page of a live region by another of the same length and rights; nothing borrows it.
    unsafe { rustix::mm::mmap(address, page, prot, flags, &file, 0) }.unwrap();

    locked.as_bytes_mut().fill(0x5a);
    let mut content = vec![1; page];
    file.read_exact_at(&mut content, 0).unwrap();
    assert_eq!(content[page - 32..], [0x5a; 32]);
    drop(locked);
    file.read_exact_at(&mut content, 0).unwrap();
    assert_eq!(content, vec![0; page]);
}

#[test]
fn locking_refused_is_counted_and_goes_on() {
    if is_child() {
        let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
        rustix::process::setrlimit(rustix::process::Resource::Memlock, none).unwrap();
        rustix::thread::set_capabilities(None, NO_CAPABILITIES).unwrap();
        let before = lock_failures();
        let mut locked = Locked::zeroed(32).unwrap();
        locked.as_bytes_mut().fill(7);
        assert_eq!(locked.as_bytes(), [7; 32]);
        assert_eq!(lock_failures(), before + 1);
        std::process::exit(0);
    }
    let output = run_child("locking_refused_is_counted_and_goes_on");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn process_hardened_is_not_dumpable() {
    if is_child() {
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), rustix::process::DumpableBehavior::Dumpable);
        harden_process().unwrap();
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), rustix::process::DumpableBehavior::NotDumpable);
        let core = rustix::process::getrlimit(rustix::process::Resource::Core);
        assert_eq!((core.current, core.maximum), (Some(0), Some(0)));
        harden_process().unwrap();
        std::process::exit(0);
    }
    let output = run_child("process_hardened_is_not_dumpable");
    assert!(output.status.success(), "{output:?}");
}

/// Whether this process was started by [`run_child`]: what needs a process of its own runs there.
fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Runs one test of this binary again, in a process with no other test.
fn run_child(test: &str) -> Output {
    let binary = std::env::current_exe().unwrap();
    Command::new(binary).args(["--exact", test, "--nocapture"]).env(CHILD, "1").output().unwrap()
}

fn address_of(locked: &Locked) -> usize {
    locked.as_bytes().as_ptr().expose_provenance()
}

/// One entry of /proc/self/smaps.
struct Map {
    range: Range<usize>,
    permissions: String,
    locked_kib: usize,
    flags: Vec<String>,
}

impl Map {
    fn all() -> Vec<Self> {
        let mut maps: Vec<Self> = Vec::new();
        for line in std::fs::read_to_string("/proc/self/smaps").unwrap().lines() {
            let words: Vec<_> = line.split_whitespace().collect();
            match words[0] {
                "Locked:" => maps.last_mut().unwrap().locked_kib = words[1].parse().unwrap(),
                "VmFlags:" => maps.last_mut().unwrap().flags = words[1..].iter().map(ToString::to_string).collect(),
                name if name.ends_with(':') => {}
                range => {
                    let (start, end) = range.split_once('-').unwrap();
                    let range = usize::from_str_radix(start, 16).unwrap()..usize::from_str_radix(end, 16).unwrap();
                    maps.push(Self { range, permissions: words[1].into(), locked_kib: 0, flags: Vec::new() });
                }
            }
        }
        maps
    }
}

fn status_field(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

const CHILD: &str = "LOCKMEM_TEST_CHILD";
const SIGSEGV: i32 = 11;
const NO_CAPABILITIES: CapabilitySets = CapabilitySets {
    effective: CapabilitySet::empty(),
    permitted: CapabilitySet::empty(),
    inheritable: CapabilitySet::empty(),
};
