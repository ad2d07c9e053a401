//! `coffer whoami`: whose token is in use, and what it is worth.

use crate::{cmd::token, failure::Failure, session::Session};

/// Prints what the server knows of the caller's token.
///
/// # Errors
/// Where the token is missing or no longer valid.
pub(crate) async fn run(session: &Session) -> Result<(), Failure> {
    let info = session.client()?.token_lookup_self().await?;
    session.output.show(&info, token::table)
}
