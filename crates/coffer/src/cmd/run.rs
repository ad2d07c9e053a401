//! `coffer run`: starts a program with a scope's secrets in its environment, passes signals on and returns its exit code.

mod env_file;
mod masked;
mod values;

use std::{
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{ExitCode, ExitStatus},
};

use clap::Args;
use coffer_api::Name;
use rustix::process::{Pid, Signal};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use self::{masked::Pumps, values::Values};
use crate::{
    failure::{Exit, Failure, plain},
    scope::ScopeArguments,
    session::{Session, TOKEN_VARIABLES},
};

/// Options of `run`.
#[derive(Args)]
#[command(after_help = "\
The program gets the caller's environment and, over it, the effective view of the scope: the
service's values over the environment's over the project's. Coffer's own tokens are taken out.

Your shell replaces $NAME before coffer starts: in `coffer run -- echo $DATABASE_URL` it is your
shell's variable, most likely empty. Leave it to a shell that the values reach:
  coffer run -p acme -e prod -s api -- sh -c 'echo \"$DATABASE_URL\"'

References in values, as ${NAME} or coffer://acme/prod/NAME, are replaced by what they refer to;
--raw leaves them. In a file of --env-file, addresses (coffer://…) are; the file's values stand
over the scope's, and with a file alone no scope is needed.

--redact writes [masked] for each value in what the program prints, as a whole and line by line.
Of a scope's value that was put together of others it knows the whole: give the program those too.
The program then writes to pipes, not to your terminal, and values under 4 bytes stay.

The exit code is the program's: 126 where it cannot be started, 127 where it is not found,
128+n where signal n ended it. SIGHUP, SIGTERM, SIGUSR1 and SIGUSR2 are passed on; SIGINT and
SIGQUIT too, unless the terminal sends them to the program anyway.")]
pub(crate) struct Arguments {
    /// Start the program even where some values are hidden from this token
    #[arg(long)]
    allow_hidden: bool,
    /// Variables from this .env file too; may be given more than once
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Let secrets set PATH, IFS, BASH_ENV, LD_* and DYLD_*, which decide what code the program runs
    #[arg(long)]
    danger_allow_loader_variables: bool,
    /// Leave COFFER_TOKEN and VAULT_TOKEN in the program's environment
    #[arg(long)]
    keep_token: bool,
    /// Only these of the scope's secrets, with commas between them
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<Name>,
    /// Values as they are stored, with their references
    #[arg(long)]
    raw: bool,
    /// Mask values in what the program writes to stdout and stderr
    #[arg(long)]
    redact: bool,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
    #[command(flatten)]
    scope: ScopeArguments,
}

/// Runs the program.
///
/// # Errors
/// Where the values cannot be had, or the program cannot be started.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let Some((program, rest)) = arguments.command.split_first() else {
        return Err(Failure::local("no program given").hint("name it after --"));
    };
    let values = Values::gather(session, arguments).await?;
    if session.is_planning() {
        return Ok(ExitCode::SUCCESS);
    }
    if program == "echo" && rest.iter().all(|argument| argument.is_empty()) {
        session.output.note_to_person(
            "hint: did your shell replace $NAME before coffer started? write: coffer run … -- sh -c 'echo \"$NAME\"'",
        );
    }
    let mut command = Command::new(program);
    command.args(rest);
    if !arguments.keep_token {
        TOKEN_VARIABLES.iter().for_each(|name| {
            command.env_remove(name);
        });
    }
    values.give(&mut command);
    let pumps = match arguments.redact {
        true => Some(Pumps::between(session, &mut command, &values)?),
        false => None,
    };
    drop(values);
    let signals = Signals::listen()?;
    let child = command.spawn().map_err(|error| unstartable(program, &error))?;
    // The command still holds the values, and the program's ends of the pipes.
    drop(command);
    signals.wait(child, pumps).await
}

/// Whether this variable decides what code a program runs.
pub(super) fn is_loader_variable(name: &str) -> bool {
    matches!(name, "BASH_ENV" | "IFS" | "PATH") || name.starts_with("LD_") || name.starts_with("DYLD_")
}

fn unstartable(program: &OsString, error: &io::Error) -> Failure {
    let shown = program.to_string_lossy();
    if error.kind() == io::ErrorKind::NotFound {
        return Failure::new(Exit::UnknownProgram, format!("{shown}: not found"));
    }
    let failure = Failure::new(Exit::UnstartableProgram, format!("cannot start {shown}: {}", plain(error)));
    if error.kind() == io::ErrorKind::ArgumentListTooLong {
        return failure.hint("the system bounds the environment as a whole, and each value to 128 KiB");
    }
    failure
}

/// Signals that are the program's business, heard from before it starts until it ends.
struct Signals(mpsc::UnboundedReceiver<Signal>);

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let keyboard = if in_foreground() { Keyboard::ReachesProgram } else { Keyboard::Absent };
        for (kind, number, source) in FORWARDED {
            let mut heard = signal(kind()).map_err(|error| Failure::io("cannot listen for signals", &error))?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while heard.recv().await.is_some() {
                    match (source, keyboard) {
                        (Source::Keyboard, Keyboard::ReachesProgram) => {}
                        (Source::Keyboard, Keyboard::Absent) | (Source::Others, _) => {
                            if sender.send(number).is_err() {
                                return;
                            }
                        }
                    }
                }
            });
        }
        Ok(Self(receiver))
    }

    async fn wait(mut self, mut child: Child, pumps: Option<Pumps>) -> Result<ExitCode, Failure> {
        // Stays the child's until `wait` has reaped it, which ends the loop.
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        loop {
            tokio::select! {
                status = child.wait() => {
                    let status = status.map_err(|error| Failure::io("cannot wait for the program", &error))?;
                    if let Some(pumps) = pumps {
                        self.drain(pumps).await?;
                    }
                    return Ok(ExitCode::from(code_of(status)));
                }
                Some(signal) = self.0.recv() => {
                    if let Some(pid) = pid {
                        // A program that has just ended cannot be told any more.
                        let _ = rustix::process::kill_process(pid, signal);
                    }
                }
            }
        }
    }
    /// Waits for what is still to be masked, which may be long where the program left others behind that write: until a
    /// signal comes.
    async fn drain(&mut self, pumps: Pumps) -> Result<(), Failure> {
        tokio::select! {
            done = pumps.done() => done,
            Some(_) = self.0.recv() => Ok(()),
            _ = tokio::signal::ctrl_c() => Ok(()),
        }
    }
}

fn code_of(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
        (None, Some(signal)) => u8::try_from(signal).unwrap_or(u8::MAX).saturating_add(128),
        (None, None) => Exit::Local.code(),
    }
}

/// Whether a terminal sends its keyboard's signals to this process group, and so to the program as well.
fn in_foreground() -> bool {
    std::fs::File::open("/dev/tty")
        .is_ok_and(|tty| rustix::termios::tcgetpgrp(&tty).is_ok_and(|group| group == rustix::process::getpgrp()))
}

#[derive(Clone, Copy)]
enum Keyboard {
    Absent,
    ReachesProgram,
}

#[derive(Clone, Copy)]
enum Source {
    Keyboard,
    Others,
}

type Kind = fn() -> SignalKind;

const FORWARDED: [(Kind, Signal, Source); 6] = [
    (SignalKind::hangup, Signal::HUP, Source::Others),
    (SignalKind::interrupt, Signal::INT, Source::Keyboard),
    (SignalKind::quit, Signal::QUIT, Source::Keyboard),
    (SignalKind::terminate, Signal::TERM, Source::Others),
    (SignalKind::user_defined1, Signal::USR1, Source::Others),
    (SignalKind::user_defined2, Signal::USR2, Source::Others),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_status_becomes_the_shells_code() {
        assert_eq!(code_of(ExitStatus::from_raw(0)), 0);
        assert_eq!(code_of(ExitStatus::from_raw(7 << 8)), 7);
        assert_eq!(code_of(ExitStatus::from_raw(9)), 137);
        assert_eq!(code_of(ExitStatus::from_raw(15)), 143);
    }

    #[test]
    fn names_that_choose_code_are_known() {
        for name in ["PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "BASH_ENV", "IFS"] {
            assert!(is_loader_variable(name), "{name}");
        }
        for name in ["DATABASE_URL", "PATHS", "ENV", "LDAP_URL", "path"] {
            assert!(!is_loader_variable(name), "{name}");
        }
    }
}
