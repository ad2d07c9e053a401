//! `coffer secrets undelete`.

use clap::Args;
use coffer_api::secrets::Versions;

use crate::{failure::Failure, scope::ScopeArguments, session::Session};

/// Options of `secrets undelete`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The secret's name
    name: String,
    /// The versions to bring back, as 1,3
    #[arg(long, required = true, value_delimiter = ',', value_name = "N")]
    versions: Vec<u64>,
    #[command(flatten)]
    scope: ScopeArguments,
}

/// Brings the versions back.
///
/// # Errors
/// Where the server refuses.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let scope = arguments.scope.resolve(&session.environment)?;
    let name = super::name(&arguments.name)?;
    let versions = Versions { versions: arguments.versions.clone() };
    session.client()?.secret_undelete(&scope, &name, &versions).await?;
    session.output.note(format!("undeleted version {} of {name} in {scope}", super::numbers(&versions.versions)));
    Ok(())
}
