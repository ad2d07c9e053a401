//! Points at which a test kills the process: `COFFER_TEST_FAILPOINT=name[:N]` dies at the N-th passage of a point.
//! An ordinary server has no such variable and pays one load per point.

use std::sync::{
    OnceLock,
    atomic::{AtomicI64, Ordering},
};

/// Kills the process as `kill -9` would, if this point was chosen.
pub(crate) fn hit(name: &str) {
    static CHOSEN: OnceLock<Option<(String, AtomicI64)>> = OnceLock::new();
    if let Some((chosen, left)) = CHOSEN.get_or_init(chosen)
        && chosen == name
        && left.fetch_sub(1, Ordering::SeqCst) == 1
    {
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        loop {
            std::thread::park();
        }
    }
}

fn chosen() -> Option<(String, AtomicI64)> {
    let text = std::env::var("COFFER_TEST_FAILPOINT").ok()?;
    let (name, count) = text.split_once(':').unwrap_or((&text, "1"));
    Some((name.to_owned(), AtomicI64::new(count.parse().ok()?)))
}
