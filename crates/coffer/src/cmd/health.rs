//! `coffer health`: whether the server is alive, sealed or not.

use crate::{failure::Failure, session::Session};

/// Asks and prints the answer.
///
/// # Errors
/// Where there is none.
pub(crate) async fn run(session: &Session) -> Result<(), Failure> {
    let health = session.anonymous_client()?.health().await?;
    session.output.show_text(&health, |health| &health.status)
}
