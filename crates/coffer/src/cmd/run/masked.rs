//! Between a program and where coffer's own stdout and stderr go: values are masked on their way.

use std::{
    fs::File,
    io::{self, PipeReader, Read},
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
};

use tokio::{process::Command, sync::oneshot};
use zeroize::Zeroizing;

use super::values::Values;
use crate::{
    failure::Failure,
    redact::{Masks, SHORTEST},
    session::Session,
};

/// What carries a program's output on, masked, in threads of its own.
pub(super) struct Pumps(Vec<oneshot::Receiver<io::Result<()>>>);

impl Pumps {
    /// Takes stdout and stderr of a program that is to be started.
    ///
    /// # Errors
    /// Where the system has no pipes.
    pub(super) fn between(session: &Session, command: &mut Command, values: &Values) -> Result<Self, Failure> {
        let mut short: Vec<&str> =
            values.secrets().filter(|(_, value)| value.expose().len() < SHORTEST).map(|(name, _)| name).collect();
        short.dedup();
        if !short.is_empty() {
            let names = short.join(", ");
            session.output.note(format!("note: values under {SHORTEST} bytes are not masked: {names}"));
        }
        let masks = Arc::new(Masks::new(values.secrets().map(|(_, value)| value.expose().as_bytes())));
        let failed = |error: io::Error| Failure::io("cannot take the program's output", &error);
        let (stdout, into_stdout) = io::pipe().map_err(failed)?;
        let (stderr, into_stderr) = io::pipe().map_err(failed)?;
        command.stdout(into_stdout).stderr(into_stderr);
        Ok(Self(vec![
            pump(stdout, io::stdout().as_fd(), &masks).map_err(failed)?,
            pump(stderr, io::stderr().as_fd(), &masks).map_err(failed)?,
        ]))
    }

    /// All is carried on. Where nobody reads it any more, that is how the program ends too, and no failure.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) async fn done(self) -> Result<(), Failure> {
        for pump in self.0 {
            match pump.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => {}
                Ok(Err(error)) => return Err(Failure::io("cannot write the program's output", &error)),
                Err(_) => return Err(Failure::local("some of the program's output was lost")),
            }
        }
        Ok(())
    }
}

/// A thread of its own, which coffer's end need not wait for.
fn pump(from: PipeReader, to: BorrowedFd<'_>, masks: &Arc<Masks>) -> io::Result<oneshot::Receiver<io::Result<()>>> {
    let to = File::from(to.try_clone_to_owned()?);
    let masks = Arc::clone(masks);
    let (sender, receiver) = oneshot::channel();
    std::thread::Builder::new().name("redact".to_owned()).spawn(move || {
        // Nobody waits any more where a signal came.
        let _ = sender.send(carry(from, to, &masks));
    })?;
    Ok(receiver)
}

fn carry(mut from: PipeReader, to: File, masks: &Masks) -> io::Result<()> {
    let mut masked = masks.mask(to);
    let mut buffer = Zeroizing::new(vec![0; CHUNK]);
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return masked.finish(),
            Ok(len) => masked.feed(buffer.get(..len).unwrap_or_default())?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// As much as a pipe holds.
const CHUNK: usize = 64 << 10;
