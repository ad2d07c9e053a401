//! `coffer logout`: revokes the kept token, then removes the file.

use clap::Args;

use crate::{
    failure::{Exit, Failure},
    session::{Session, TOKEN_VARIABLES},
    token_file,
};

/// Options of `logout`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Remove the file without asking the server to revoke the token
    #[arg(long)]
    keep_token: bool,
}

impl Arguments {
    /// Whether the server is asked for anything.
    pub(crate) fn is_asking(&self) -> bool {
        !self.keep_token
    }
}

/// Logs out. A token that the server no longer knows counts as revoked; where the server does not answer, the file stays.
///
/// # Errors
/// Where there is no token file, or the server cannot revoke.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let place = session.token_place()?;
    if !arguments.keep_token {
        let token = place.read()?.ok_or_else(|| {
            Failure::local(match place.file() {
                Some(path) => format!("not logged in: there is no {}", path.display()),
                None => format!("not logged in: {place} holds no token"),
            })
        })?;
        let revoked = session.client_with(&token)?.token_revoke_self().await.map_err(Failure::from);
        match revoked {
            // The calls are shown, and the file stays.
            Err(_) if session.is_planning() => return Ok(()),
            Ok(()) => {}
            Err(failure) if failure.exit() == Exit::Denied => {
                session.output.note(format!("the server did not revoke the token: {}", failure.what()));
            }
            Err(failure) => {
                return Err(
                    failure.hint("the token is still valid and the file is kept; --keep-token removes the file alone")
                );
            }
        }
    }
    match place.remove()? {
        token_file::Removed::Now => session.output.note(format!("logged out; {place} is removed")),
        token_file::Removed::Before => session.output.note("not logged in"),
    }
    for name in TOKEN_VARIABLES {
        if session.environment.text(name)?.is_some() {
            session.output.note(format!("warning: {name} is set and still in use"));
        }
    }
    Ok(())
}
