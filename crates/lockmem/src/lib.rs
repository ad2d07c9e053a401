//! Locked, undumpable memory pages for keys.
//!
//! With `evp` the only crate that may use `unsafe` (docs/adr/0001-locked-memory.md). It must never copy, print,
//! compare or otherwise look at the bytes it holds, and must never hand out a pointer that outlives the region.

#[cfg(not(target_os = "linux"))]
compile_error!("locked pages rest on Linux's mlock, MADV_DONTDUMP and MADV_WIPEONFORK");

use std::io;
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags};
use rustix::process::{DumpableBehavior, Resource, Rlimit};

/// Bytes in a memory region of their own, between two pages that cannot be touched.
///
/// The pages are locked (never swapped), left out of core dumps, empty in a forked child, zeroed and unmapped on drop.
/// The bytes end where the upper guard page begins, so that a read or write past the end is a fault at once.
pub struct Locked {
    // Declared for its drop alone, which comes after the bytes were zeroed.
    _region: Region,
    bytes: NonNull<u8>,
    len: usize,
}

// SAFETY: the region belongs to this value alone and holds plain bytes; nothing about it is tied to a thread.
unsafe impl Send for Locked {}
// SAFETY: through `&Locked` the bytes can only be read, and writing needs `&mut Locked`.
unsafe impl Sync for Locked {}

impl Locked {
    /// A region of `len` zero bytes. It takes at least three pages of address space and one of locked memory.
    ///
    /// Where the pages cannot be locked (`RLIMIT_MEMLOCK`), they are used unlocked and [`lock_failures`] counts it.
    ///
    /// # Errors
    /// `InvalidInput` for a length of zero or one that overflows; else what the kernel said to mmap, mprotect or madvise.
    pub fn zeroed(len: usize) -> io::Result<Self> {
        let page = rustix::param::page_size();
        let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
        let middle_len = len.checked_next_multiple_of(page).filter(|_| len > 0).ok_or_else(invalid)?;
        let region_len = middle_len.checked_add(page).and_then(|n| n.checked_add(page)).ok_or_else(invalid)?;

        let region = Region::reserve(region_len)?;
        // SAFETY: the region is `page + middle_len + page` bytes long, so this stays inside it.
        let middle = unsafe { region.start.add(page) };
        // SAFETY: `len <= middle_len`, so the bytes begin inside the middle and end at its end.
        let bytes = unsafe { middle.add(middle_len - len) };

        let read_write = MprotectFlags::READ | MprotectFlags::WRITE;
        // SAFETY: the middle was mapped above, is a whole number of pages and nothing refers to it yet.
        unsafe { rustix::mm::mprotect(middle.as_ptr().cast(), middle_len, read_write) }?;
        for advice in [Advice::LinuxDontDump, Advice::LinuxWipeOnFork] {
            // SAFETY: as above; both advices leave the contents alone.
            unsafe { rustix::mm::madvise(middle.as_ptr().cast(), middle_len, advice) }?;
        }
        // SAFETY: as above; locking changes nothing that a program can see.
        if unsafe { rustix::mm::mlock(middle.as_ptr().cast(), middle_len) }.is_err() {
            LOCK_FAILURES.fetch_add(1, Ordering::Relaxed);
        }
        Ok(Self { _region: region, bytes, len })
    }

    /// The bytes. In a forked child they cannot be relied on: the kernel gives it zeros.
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: `bytes..bytes + len` is mapped readable while `self` lives, initialised by the kernel with zeros, and
        // no `&mut` to it exists while `self` is borrowed.
        unsafe { std::slice::from_raw_parts(self.bytes.as_ptr(), self.len) }
    }

    /// The bytes, to be filled in place.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_bytes`, mapped writable too, and `self` is borrowed mutably, so this is the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.bytes.as_ptr(), self.len) }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        for byte in self.as_bytes_mut() {
            // SAFETY: a valid, aligned and exclusive place; volatile, so that the dying write is not optimised away.
            unsafe { std::ptr::write_volatile(byte, 0) };
        }
    }
}

/// An address range that is unmapped on drop.
struct Region {
    start: NonNull<u8>,
    len: usize,
}

impl Region {
    fn reserve(len: usize) -> io::Result<Self> {
        // SAFETY: a private anonymous mapping at an address of the kernel's choice touches no existing memory.
        let start = unsafe { rustix::mm::mmap_anonymous(null_mut(), len, ProtFlags::empty(), MapFlags::PRIVATE) }?;
        let start = NonNull::new(start.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { start, len })
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: `reserve` mapped exactly this range and nothing refers into it any more. The call can fail only for a
        // range that is no mapping; the bytes are zero by now, so nothing hangs on the result.
        let _ = unsafe { rustix::mm::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// How many regions of this process could not be locked, for a metric and one warning by the caller.
pub fn lock_failures() -> u64 {
    LOCK_FAILURES.load(Ordering::Relaxed)
}

/// Makes this process leave no core dump and closes its memory to debuggers of the same user (root still may look).
///
/// # Errors
/// What the kernel said to prctl or setrlimit.
pub fn harden_process() -> io::Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(())
}

static LOCK_FAILURES: AtomicU64 = AtomicU64::new(0);
