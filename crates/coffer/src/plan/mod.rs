//! `--output-curl` and `--output-policy`: what a command would ask of the server, instead of asking it.
//!
//! A command runs as always, but its client sends nothing: a call is noted and fails. Commands of several calls go on with
//! [`foreseen`] replies as far as the calls do not depend on what a reply says; what else they do, they leave out where
//! [`Session::is_planning`].

mod curl;
mod policy;

use std::process::ExitCode;

use coffer_client::{Error, Plan};

use crate::{failure::Failure, session::Session};

/// Shows the calls; where there was none, the command ended before.
///
/// # Errors
/// The command's own, where it came to no call; where stdout fails.
pub(crate) fn show(session: &Session, calls: &[Plan], result: Result<ExitCode, Failure>) -> Result<ExitCode, Failure> {
    if calls.is_empty() {
        return Err(result.err().unwrap_or_else(asks_nothing));
    }
    let text = match session.globals().output_curl {
        true => {
            let authorities = session.authorities()?.map(|(path, _)| path);
            let commands: Vec<String> = calls.iter().map(|call| curl::command(call, authorities.as_deref())).collect();
            commands.join("\n")
        }
        false => policy::needed(calls)?,
    };
    session.output.bytes(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// A reply, and where calls are shown instead of made what the command goes on with.
///
/// # Errors
/// The call's own.
pub(crate) fn foreseen<T>(reply: Result<T, Error>, otherwise: impl FnOnce() -> T) -> Result<T, Error> {
    match reply {
        Err(Error::Planned) => Ok(otherwise()),
        Ok(_) | Err(_) => reply,
    }
}

/// The failure of a command that makes no call.
pub(crate) fn asks_nothing() -> Failure {
    Failure::local("this command asks nothing of the server").hint("leave --output-curl and --output-policy out")
}
