//! Waiting for what must come, with a deadline generous enough for a loaded machine.

use std::{
    thread,
    time::{Duration, Instant},
};

/// How long anything may take that takes a moment on an idle machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Asks until there is an answer; fails after `within`, saying what was awaited.
#[track_caller]
pub fn until<T>(what: &str, within: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < within, "{what}: not within {within:?}");
        thread::sleep(Duration::from_millis(10));
    }
}
