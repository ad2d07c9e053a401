//! `coffer secrets destroy`.

use clap::Args;
use coffer_api::secrets::Versions;

use crate::{failure::Failure, input, scope::ScopeArguments, session::Session};

/// Options of `secrets destroy`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The secret's name
    name: String,
    /// The versions to destroy, as 1,3
    #[arg(long = "version", alias = "versions", required = true, value_delimiter = ',', value_name = "N")]
    versions: Vec<u64>,
    /// Do not ask on the terminal
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    scope: ScopeArguments,
}

/// Destroys the versions; a person is asked first.
///
/// # Errors
/// Where the server refuses, or the person does.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let scope = arguments.scope.resolve(&session.environment)?;
    let name = super::name(&arguments.name)?;
    let client = session.client()?;
    let shown = super::numbers(&arguments.versions);
    if !arguments.yes {
        input::confirm(&format!("version {shown} of {name} in {scope} will be gone for good;"))?;
    }
    client.secret_destroy(&scope, &name, &Versions { versions: arguments.versions.clone() }).await?;
    session.output.note(format!("destroyed version {shown} of {name} in {scope}"));
    Ok(())
}
