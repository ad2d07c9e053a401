//! How a command ends badly: an exit code, what failed, what to do.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use coffer_api::{Code, Problem};
use coffer_client::Error;

use crate::output::{Paint, Tone, printable};

/// Exit codes; part of the interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    /// 5: a stale version, a wrong state, an inconclusive check.
    Conflict,
    /// 4: denied, or no valid token.
    Denied,
    /// 10: what was looked for was found: differences, secrets in files.
    Findings,
    /// 8: a broken integrity check.
    Integrity,
    /// 1: usage, input that makes no sense, or something on this machine.
    Local,
    /// 3: not there.
    NotFound,
    /// 141: the reader of stdout went away, as for a program that SIGPIPE ends.
    Pipe,
    /// 2: the server or the way to it.
    Server,
    /// 7: sealed or unavailable.
    Unavailable,
    /// 126: `run` found the program but could not start it.
    UnstartableProgram,
    /// 127: `run` did not find the program.
    UnknownProgram,
}

/// A failed command.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    what: String,
    hint: Option<String>,
}

impl Exit {
    /// The number.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Local => 1,
            Self::Server => 2,
            Self::NotFound => 3,
            Self::Denied => 4,
            Self::Conflict => 5,
            Self::Unavailable => 7,
            Self::Integrity => 8,
            Self::Findings => 10,
            Self::UnstartableProgram => 126,
            Self::UnknownProgram => 127,
            Self::Pipe => 141,
        }
    }
}

impl Failure {
    /// Lower case, no full stop; never a value.
    pub(crate) fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self { exit, what: what.into(), hint: None }
    }

    /// Usage, or something on this machine.
    pub(crate) fn local(what: impl Into<String>) -> Self {
        Self::new(Exit::Local, what)
    }

    /// A failed operation of the system.
    pub(crate) fn io(what: impl Into<String>, error: &io::Error) -> Self {
        Self::local(format!("{}: {}", what.into(), plain(error)))
    }

    /// A failed write to stdout. A reader that went away is no error to speak of.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Pipe, String::new());
        }
        Self::io("cannot write to stdout", error)
    }

    /// Adds or replaces what to do.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts the place before what failed.
    #[must_use]
    pub(crate) fn at(mut self, place: &str) -> Self {
        self.what = format!("{place}: {}", self.what);
        self
    }

    /// What the command's exit code will be.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// A failure of one item among several.
    pub(crate) fn of_problem(problem: &Problem) -> Self {
        let what = problem.detail.as_deref().unwrap_or(&problem.title);
        let failure = Self::new(exit_of_code(problem.code), what);
        match hint_of_code(problem.code) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// As from the error, and where the server's code is this one with the hint of a command that knows better.
    pub(crate) fn hinted(error: Error, code: Code, hint: impl Into<String>) -> Self {
        let is_told = matches!(&error, Error::Problem { problem, .. } if problem.code == code);
        let failure = Self::from(error);
        if is_told { failure.hint(hint) } else { failure }
    }

    /// As from the error, and where it is unknown whether the request took effect with this hint.
    pub(crate) fn cut_off(error: Error, hint: &str) -> Self {
        let is_unknown = matches!(error, Error::Timeout { .. } | Error::Transport { .. });
        let failure = Self::from(error);
        if is_unknown { failure.hint(hint) } else { failure }
    }

    /// What failed, for messages that speak of several failures.
    pub(crate) fn what(&self) -> &str {
        &self.what
    }

    /// What to do about it, if that is known.
    pub(crate) fn what_to_do(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Tells stderr and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        let mut stderr = io::stderr().lock();
        // Nobody is left to tell where stderr is gone; the exit code still says it.
        if self.exit != Exit::Pipe {
            let paint = Paint::on(&stderr);
            let _ = writeln!(stderr, "{} {}", paint.text(Tone::Bad, "error:"), printable(&self.what));
            if let Some(hint) = &self.hint {
                let _ = writeln!(stderr, "{} {}", paint.text(Tone::Hint, "hint:"), printable(hint));
            }
        }
        ExitCode::from(self.exit.code())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match &error {
            Error::Problem { problem, retry_after, .. } => {
                let failure = Self::of_problem(problem);
                match (problem.code, retry_after) {
                    (Code::Internal, _) => {
                        failure.hint(format!("the server's log has the cause under request id {}", problem.request_id))
                    }
                    (Code::RateLimited, Some(seconds)) => failure.hint(format!("try again in {seconds} s")),
                    (_, Some(_) | None) => failure,
                }
            }
            Error::Status { status, .. } => {
                let failure = Self::new(exit_of_status(*status), error.to_string());
                failure.hint("is it a coffer server of this release that listens there?")
            }
            Error::Connect { source, .. } => Self::new(Exit::Server, format!("{error}: {}", plain(source)))
                .hint("is the server running there? COFFER_ADDR or --addr name another address"),
            Error::Authority { .. } => Self::new(Exit::Server, error.to_string()).hint(
                "make one that the authority signs, or a self-signed one that is no authority: \
                 openssl req -x509 … -addext basicConstraints=critical,CA:FALSE",
            ),
            Error::Tls { source, .. } => Self::new(Exit::Server, format!("{error}: {}", plain(source)))
                .hint("COFFER_CACERT or --ca-cert names a PEM file with the authority to trust"),
            Error::Timeout { .. } => Self::new(Exit::Server, error.to_string()).hint("--timeout allows more time"),
            Error::Transport { .. } => Self::new(Exit::Server, error.to_string())
                .hint("whether the request took effect is unknown: read before you repeat it"),
            Error::Redirect { .. } | Error::Reply { .. } | Error::ReplyTooLarge { .. } => {
                Self::new(Exit::Server, error.to_string())
            }
            Error::Name(_) | Error::Planned | Error::Request(_) => Self::local(error.to_string()),
            Error::Token => {
                Self::local(error.to_string()).hint("check COFFER_TOKEN or the token file, or log in again")
            }
        }
    }
}

/// An error of the system in a few lower-case words.
pub(crate) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" (os error").map_or(text.as_str(), |(text, _)| text);
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut last = text.clone();
    let mut cause = error.source();
    while let Some(error) = cause {
        let shown = error.downcast_ref().map_or_else(|| error.to_string(), plain);
        // Some errors tell their cause themselves, and some causes are what was told under a number.
        if !text.ends_with(&shown) && !shown.ends_with(&last) {
            text.push_str(": ");
            text.push_str(&shown);
        }
        last = shown;
        cause = error.source();
    }
    text
}

fn exit_of_code(code: Code) -> Exit {
    match code {
        Code::NotFound => Exit::NotFound,
        Code::Denied | Code::InvalidCredentials | Code::Unauthenticated => Exit::Denied,
        Code::Conflict | Code::KeyState | Code::Unresolved => Exit::Conflict,
        Code::AuditUnavailable | Code::DiskFull | Code::Sealed | Code::Standby | Code::Unavailable => Exit::Unavailable,
        Code::Integrity => Exit::Integrity,
        Code::Invalid | Code::TooLarge => Exit::Local,
        Code::Internal | Code::MethodNotAllowed | Code::RateLimited | Code::Unsupported => Exit::Server,
    }
}

fn exit_of_status(status: u16) -> Exit {
    match status {
        401 | 403 => Exit::Denied,
        404 => Exit::NotFound,
        409 | 412 => Exit::Conflict,
        503 => Exit::Unavailable,
        _ => Exit::Server,
    }
}

fn hint_of_code(code: Code) -> Option<&'static str> {
    match code {
        Code::AuditUnavailable => Some("the server cannot write its audit log; free its disk, then try again"),
        Code::Conflict => Some("read the current version, then try again"),
        Code::Denied => Some("ask for a policy that grants it; 'coffer policy test' explains decisions"),
        Code::DiskFull => Some("free space on the server's disk, then try again"),
        Code::Integrity => Some("stop writing, and run 'coffer audit verify' on a copy of the log and the store"),
        Code::InvalidCredentials => Some("check user name, password and --mount"),
        Code::KeyState => Some("the message says what the key's state allows; 'coffer keys show' shows its versions"),
        Code::NotFound => Some("check the name and the scope; 'coffer secrets list' shows what is there"),
        Code::RateLimited => Some("wait a little, then try again"),
        Code::Sealed => {
            Some("run 'coffer operator unseal' with a share, or with --local on a server whose seal is a key file")
        }
        Code::Standby | Code::Unavailable => {
            Some("try again in a few seconds; 'coffer status' shows the server's state")
        }
        Code::Unauthenticated => Some("log in with 'coffer login', or set COFFER_TOKEN"),
        Code::Unresolved => {
            Some("--raw shows what is stored; '$${' in a value stands for '${' where no reference is meant")
        }
        Code::Internal | Code::Invalid | Code::MethodNotAllowed | Code::TooLarge | Code::Unsupported => None,
    }
}

/// The hint of a call that does all or nothing, and whose answer did not come.
pub(crate) const ALL_OR_NOTHING: &str =
    "either all of it was done or nothing: read one of the names before you repeat it";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_errors_read_as_the_rest_does() {
        assert_eq!(plain(&io::Error::from_raw_os_error(2)), "no such file or directory");
        assert_eq!(plain(&io::Error::other("Odd")), "odd");
    }

    #[test]
    fn chain_tells_each_cause_once() {
        #[derive(Debug)]
        struct Told(&'static str, Option<Box<dyn std::error::Error>>);
        impl std::fmt::Display for Told {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.0)
            }
        }
        impl std::error::Error for Told {
            fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
                self.1.as_deref()
            }
        }
        let numbered = Told("Error code 26: not a database", None);
        let told = Told("not a database", Some(Box::new(numbered)));
        assert_eq!(chain(&Told("opening", Some(Box::new(told)))), "opening: not a database");
        let inner = Told("in use", Some(Box::new(io::Error::from_raw_os_error(2))));
        let error = Told("the store: in use", Some(Box::new(inner)));
        assert_eq!(chain(&error), "the store: in use: no such file or directory");
    }

    #[test]
    fn statuses_and_codes_map_to_the_documented_exits() {
        let exits = [
            ("audit_unavailable", 7),
            ("conflict", 5),
            ("denied", 4),
            ("disk_full", 7),
            ("integrity", 8),
            ("internal", 2),
            ("invalid", 1),
            ("invalid_credentials", 4),
            ("key_state", 5),
            ("method_not_allowed", 2),
            ("not_found", 3),
            ("rate_limited", 2),
            ("sealed", 7),
            ("standby", 7),
            ("too_large", 1),
            ("unauthenticated", 4),
            ("unavailable", 7),
            ("unresolved", 5),
            ("unsupported", 2),
        ];
        // Every code that a client can be told, as the API's description lists them.
        let document: serde_json::Value = serde_json::from_str(include_str!("../../../openapi.json")).unwrap();
        let codes = document["components"]["schemas"]["Code"]["enum"].as_array().unwrap();
        assert_eq!(codes, &exits.map(|(name, _)| serde_json::Value::from(name)));
        for (name, exit) in exits {
            let code: Code = serde_json::from_value(name.into()).unwrap();
            assert_eq!(exit_of_code(code).code(), exit, "{name}");
        }
        for (status, exit) in [(400, 2), (401, 4), (403, 4), (404, 3), (409, 5), (412, 5), (429, 2), (500, 2), (503, 7)]
        {
            assert_eq!(exit_of_status(status).code(), exit, "{status}");
        }
    }

    #[test]
    fn reader_that_went_away_is_its_own_exit() {
        assert_eq!(Failure::stdout(&io::ErrorKind::BrokenPipe.into()).exit(), Exit::Pipe);
        assert_eq!(Failure::stdout(&io::ErrorKind::StorageFull.into()).exit(), Exit::Local);
    }
}
