//! How far long work has come: one line on a terminal's stderr, drawn over and over, and gone when the work ends.

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use super::{Notes, Output};

/// A bar. Elsewhere than on a terminal, and where notes are not wanted, it draws nothing.
pub(crate) struct Progress {
    what: String,
    total: Option<u64>,
    done: u64,
    began: Instant,
    drawn: Option<Instant>,
    shown: Shown,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Shown {
    No,
    Yes,
}

impl Output {
    /// A bar for work of this name; `total` is how many bytes there are, where that is known.
    pub(crate) fn progress(&self, what: impl Into<String>, total: Option<u64>) -> Progress {
        let is_shown = self.notes == Notes::Shown && io::stderr().is_terminal();
        Progress {
            what: what.into(),
            total,
            done: 0,
            began: Instant::now(),
            drawn: None,
            shown: if is_shown { Shown::Yes } else { Shown::No },
        }
    }
}

impl Progress {
    /// So much more is done.
    pub(crate) fn add(&mut self, more: u64) {
        self.done = self.done.saturating_add(more);
        // What is over at once needs no bar.
        let last = self.drawn.unwrap_or(self.began);
        let pause = if self.drawn.is_some() { PAUSE } else { PATIENCE };
        if self.shown == Shown::Yes && last.elapsed() >= pause {
            self.drawn = Some(Instant::now());
            let line = line(&self.what, self.done, self.total, self.began.elapsed());
            // Where stderr is gone, nobody looks.
            let _ = write!(io::stderr().lock(), "\r{line}\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn.is_some() {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}

fn line(what: &str, done: u64, total: Option<u64>, took: Duration) -> String {
    let each_second = (u128::from(done) * 1000).checked_div(took.as_millis()).unwrap_or(0);
    let rate = bytes(u64::try_from(each_second).unwrap_or(u64::MAX));
    let Some(total) = total.filter(|total| *total > 0) else { return format!("{what}  {}  {rate}/s", bytes(done)) };
    let share = u128::from(done.min(total)) * u128::from(WIDTH) / u128::from(total);
    let full = usize::try_from(share).unwrap_or(0);
    let bar = format!("{}{}", "#".repeat(full), ".".repeat(usize::from(WIDTH).saturating_sub(full)));
    let percent = u128::from(done.min(total)) * 100 / u128::from(total);
    format!("{what}  [{bar}] {percent:>3} %  {} of {}  {rate}/s", bytes(done), bytes(total))
}

/// As `3.2 MiB`.
fn bytes(count: u64) -> String {
    let mut tenths = u128::from(count) * 10;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 { format!("{count} {name}") } else { format!("{}.{} {name}", tenths / 10, tenths % 10) }
}

/// Characters of a bar.
const WIDTH: u8 = 24;
/// How long work may last before it gets one.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two drawings.
const PAUSE: Duration = Duration::from_millis(100);
const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_says_how_far_it_is_and_how_fast() {
        let second = Duration::from_secs(2);
        assert_eq!(
            line("encrypting", 3 << 20, Some(4 << 20), second),
            "encrypting  [##################......]  75 %  3.0 MiB of 4.0 MiB  1.5 MiB/s"
        );
        assert_eq!(line("reading", 10, None, second), "reading  10 B  5 B/s");
        assert_eq!(line("x", 9, Some(0), Duration::ZERO), "x  9 B  0 B/s", "nothing is divided by nothing");
        // More than was announced is no more than all of it.
        assert!(line("x", 9, Some(3), second).contains("] 100 %  9 B of 3 B"));
    }

    #[test]
    fn bytes_are_shown_in_fitting_units() {
        for (count, shown) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (u64::from(u32::MAX), "3.9 GiB"),
            (u64::MAX, "16777215.9 TiB"),
        ] {
            assert_eq!(bytes(count), shown);
        }
    }
}
