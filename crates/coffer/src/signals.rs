//! Signals that tell a command to end, where it has something to clear away first.

use rustix::process::Signal;
use tokio::signal::unix::{SignalKind, signal};

use crate::failure::Failure;

/// What tells a command to end, heard from the time it listens on.
pub(crate) struct Signals([(Signal, tokio::signal::unix::Signal); 4]);

impl Signals {
    /// From now on.
    ///
    /// # Errors
    /// Where the system refuses.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let heard = |kind| signal(kind).map_err(|error| Failure::io("cannot listen for signals", &error));
        Ok(Self([
            (Signal::HUP, heard(SignalKind::hangup())?),
            (Signal::INT, heard(SignalKind::interrupt())?),
            (Signal::QUIT, heard(SignalKind::quit())?),
            (Signal::TERM, heard(SignalKind::terminate())?),
        ]))
    }

    /// The next that comes.
    pub(crate) async fn next(&mut self) -> Signal {
        let [hangup, interrupt, quit, terminate] = &mut self.0;
        tokio::select! {
            _ = hangup.1.recv() => hangup.0,
            _ = interrupt.1.recv() => interrupt.0,
            _ = quit.1.recv() => quit.0,
            _ = terminate.1.recv() => terminate.0,
        }
    }
}
