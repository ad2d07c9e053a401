//! `coffer secrets delete`.

use clap::Args;

use crate::{failure::Failure, scope::ScopeArguments, session::Session};

/// Options of `secrets delete`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The secret's name
    name: String,
    #[command(flatten)]
    scope: ScopeArguments,
}

/// Deletes the current version.
///
/// # Errors
/// Where the server refuses.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let scope = arguments.scope.resolve(&session.environment)?;
    let name = super::name(&arguments.name)?;
    session.client()?.secret_delete(&scope, &name).await?;
    session.output.note(format!("deleted {name} in {scope}; 'coffer secrets undelete' brings it back"));
    Ok(())
}
