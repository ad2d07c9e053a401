//! The time, and whether it can be trusted.
//!
//! Times are UTC milliseconds. [`Clock::now`] follows the wall clock as long as that agrees with the boot-time clock,
//! never goes back, and starts no earlier than the mark that the last run left in the store. When the wall clock
//! leaves the boot-time clock the clock is *in doubt*: it goes on by the boot-time clock alone, nothing may be removed
//! for being expired, and the mark stands still, until the wall clock comes back or an operator accepts it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use arc_swap::ArcSwap;

/// How far the wall clock may be from the boot-time clock, either way, before it is in doubt.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// How far the wall clock may be beyond the mark at the start before it is in doubt: how long a server may be off.
pub const LONGEST_ABSENCE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Where the time comes from.
pub trait TimeSource: Send + Sync {
    /// The wall clock in UTC milliseconds. May be set at any time, to anything.
    fn wall(&self) -> i64;

    /// Milliseconds since some fixed point, counting suspends. Never goes back.
    fn boot(&self) -> i64;
}

/// The clocks of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemTimeSource;

impl TimeSource for SystemTimeSource {
    fn wall(&self) -> i64 {
        #[expect(clippy::disallowed_methods, reason = "this is the one place where the wall clock is read")]
        let wall = std::time::SystemTime::now();
        match wall.duration_since(UNIX_EPOCH) {
            Ok(after) => milliseconds(after),
            Err(before) => -milliseconds(before.duration()),
        }
    }

    fn boot(&self) -> i64 {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        time.tv_sec.saturating_mul(1_000).saturating_add(time.tv_nsec / 1_000_000)
    }
}

impl TimeSource for Arc<dyn TimeSource> {
    fn wall(&self) -> i64 {
        self.as_ref().wall()
    }

    fn boot(&self) -> i64 {
        self.as_ref().boot()
    }
}

/// Gives the time. Reading it takes no lock.
pub struct Clock {
    source: Box<dyn TimeSource>,
    /// Replaced by [`Clock::accept`] alone; a reading that is still under way then changes only the old one.
    epoch: ArcSwap<Epoch>,
}

/// What is known since the start or since the wall clock was last accepted.
#[derive(Debug)]
struct Epoch {
    /// What to add to the boot-time clock to get the time that the wall clock is held against.
    offset: i64,
    /// The highest time that was given.
    highest: AtomicI64,
    /// By how much `highest` was ahead of the boot-time clock plus `offset` when it was given; negative if behind.
    lead: AtomicI64,
    in_doubt: AtomicBool,
}

/// One reading of a [`Clock`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reading {
    now: i64,
    wall: i64,
    in_doubt: bool,
}

/// Whether something is past its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Expiry {
    /// It is, and may be removed.
    Expired,
    /// It would be by the boot-time clock or by the wall clock, and the two disagree: to be refused but not removed.
    Refused,
    /// It is not.
    Valid,
}

impl Clock {
    /// Starts from `mark`, what [`Clock::mark_to_persist`] last gave to be persisted; `None` on the very first start.
    ///
    /// The clock starts in doubt if the wall clock lies more than [`LONGEST_ABSENCE`] beyond the mark or more than
    /// [`TOLERANCE`] before it.
    pub fn start(source: impl TimeSource + 'static, mark: Option<i64>) -> Clock {
        let Sample { wall, boot } = sample(&source);
        let mark = mark.unwrap_or(wall);
        let absence = wall.saturating_sub(mark);
        let in_doubt = absence > milliseconds(LONGEST_ABSENCE) || absence < -milliseconds(TOLERANCE);
        let held_against = if in_doubt { mark } else { wall };
        let now = if in_doubt { mark } else { wall.max(mark) };
        let epoch = Epoch::new(held_against.saturating_sub(boot), now, now.saturating_sub(held_against), in_doubt);
        Clock { source: Box::new(source), epoch: ArcSwap::from_pointee(epoch) }
    }

    /// Reads the clock. For one request one reading should serve.
    pub fn read(&self) -> Reading {
        let epoch = self.epoch.load();
        epoch.read(sample(&*self.source))
    }

    /// The time in UTC milliseconds. Never less than before, but after [`Clock::accept`].
    pub fn now(&self) -> i64 {
        self.read().now
    }

    /// Whether the clock is in doubt. Work that cannot be undone must stop while it is.
    pub fn is_in_doubt(&self) -> bool {
        self.read().in_doubt
    }

    /// Whether what ends at `at` has ended: from that millisecond on it has.
    pub fn expired(&self, at: i64) -> Expiry {
        self.read().expired(at)
    }

    /// The mark to write to the store; `None` while the clock is in doubt. To be written every few seconds, by one
    /// task: a restart goes on from the mark that was written last, so that time between the two is only kept from
    /// going back by the wall clock itself.
    pub fn mark_to_persist(&self) -> Option<i64> {
        let reading = self.read();
        (!reading.in_doubt).then_some(reading.now)
    }

    /// Takes the wall clock for the time, whatever it says, and ends any doubt. Returns the mark to write at once,
    /// which may be lower than the one before. For an operator's explicit order alone.
    pub fn accept(&self) -> i64 {
        let Sample { wall, boot } = sample(&*self.source);
        self.epoch.store(Arc::new(Epoch::new(wall.saturating_sub(boot), wall, 0, false)));
        wall
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clock").field("epoch", &self.epoch.load()).finish_non_exhaustive()
    }
}

impl Reading {
    /// The time in UTC milliseconds.
    pub fn now(self) -> i64 {
        self.now
    }

    /// What the wall clock said. For messages: by this and [`Reading::now`] an operator sees what to accept.
    pub fn wall(self) -> i64 {
        self.wall
    }

    /// Whether the clock was in doubt.
    pub fn is_in_doubt(self) -> bool {
        self.in_doubt
    }

    /// Whether what ends at `at` has ended: from that millisecond on it has.
    pub fn expired(self, at: i64) -> Expiry {
        match self.in_doubt {
            false if self.now >= at => Expiry::Expired,
            true if self.now >= at || self.wall >= at => Expiry::Refused,
            false | true => Expiry::Valid,
        }
    }
}

impl Epoch {
    fn new(offset: i64, now: i64, lead: i64, in_doubt: bool) -> Epoch {
        Epoch { offset, highest: AtomicI64::new(now), lead: AtomicI64::new(lead), in_doubt: AtomicBool::new(in_doubt) }
    }

    /// Turns a sample into a reading.
    ///
    /// Relaxed ordering suffices: each value is meaningful alone. Readings that race may see each other's doubt a
    /// reading late, as if they had been taken a moment earlier; `highest` only ever grows.
    fn read(&self, Sample { wall, boot }: Sample) -> Reading {
        let held_against = boot.saturating_add(self.offset);
        let by_boot = held_against.saturating_add(self.lead.load(Ordering::Relaxed));
        let was_in_doubt = self.in_doubt.load(Ordering::Relaxed);
        // The offset stays as it is when doubt ends: many small steps of the wall clock must not add up to a large one.
        let in_doubt = apart(wall, held_against) || was_in_doubt && apart(wall, by_boot);
        if in_doubt != was_in_doubt {
            self.in_doubt.store(in_doubt, Ordering::Relaxed);
        }
        let candidate = if in_doubt { by_boot } else { wall };
        let now = self.highest.fetch_max(candidate, Ordering::Relaxed).max(candidate);
        if !in_doubt {
            // Within the tolerance anyway, unless this thread slept since its sample while others read on.
            let tolerance = milliseconds(TOLERANCE);
            self.lead.store(now.saturating_sub(held_against).clamp(-tolerance, tolerance), Ordering::Relaxed);
        }
        Reading { now, wall, in_doubt }
    }
}

/// Both clocks at one moment.
#[derive(Clone, Copy)]
struct Sample {
    wall: i64,
    boot: i64,
}

/// Reads both clocks. If the thread was held up in between it reads them again, lest a pause look like a jump.
fn sample(source: &(impl TimeSource + ?Sized)) -> Sample {
    let mut boot = source.boot();
    for _ in 0..ATTEMPTS {
        let wall = source.wall();
        let after = source.boot();
        if after.saturating_sub(boot) <= LONGEST_SAMPLE {
            return Sample { wall, boot };
        }
        boot = after;
    }
    Sample { wall: source.wall(), boot }
}

fn apart(a: i64, b: i64) -> bool {
    u128::from(a.abs_diff(b)) > TOLERANCE.as_millis()
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// How long the reading of both clocks may take, in milliseconds.
const LONGEST_SAMPLE: i64 = 100;

/// How often both clocks are read anew.
const ATTEMPTS: usize = 3;

/// Clocks for tests, set by hand. Clones share their time.
#[derive(Clone, Debug, Default)]
pub struct ManualTimeSource {
    wall: Arc<AtomicI64>,
    boot: Arc<AtomicI64>,
}

impl ManualTimeSource {
    /// A machine that was just booted, with the wall clock at `wall`.
    pub fn new(wall: i64) -> ManualTimeSource {
        ManualTimeSource { wall: Arc::new(AtomicI64::new(wall)), boot: Arc::default() }
    }

    /// Lets time pass on both clocks, awake or suspended.
    pub fn advance(&self, duration: Duration) {
        self.boot.fetch_add(milliseconds(duration), Ordering::Relaxed);
        self.wall.fetch_add(milliseconds(duration), Ordering::Relaxed);
    }

    /// Sets the wall clock alone.
    pub fn set_wall(&self, wall: i64) {
        self.wall.store(wall, Ordering::Relaxed);
    }

    /// Boots the machine again: the boot-time clock starts anew, the wall clock goes on.
    pub fn reboot(&self) {
        self.boot.store(0, Ordering::Relaxed);
    }
}

impl TimeSource for ManualTimeSource {
    fn wall(&self) -> i64 {
        self.wall.load(Ordering::Relaxed)
    }

    fn boot(&self) -> i64 {
        self.boot.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
