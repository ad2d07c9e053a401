//! `coffer secrets versions`.

use clap::Args;

use crate::{failure::Failure, output::Table, scope::ScopeArguments, session::Session};

/// Options of `secrets versions`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The secret's name
    name: String,
    #[command(flatten)]
    scope: ScopeArguments,
}

/// Lists the versions, without values.
///
/// # Errors
/// Where the server refuses.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let scope = arguments.scope.resolve(&session.environment)?;
    let name = super::name(&arguments.name)?;
    let versions = super::all_versions(&session.client()?, &scope, &name).await?;
    session.output.show(&versions, |versions| {
        let mut table = Table::new(&["VERSION", "STATE", "CREATED", "DELETED"]);
        for version in &versions.items {
            table.row([
                version.version.to_string(),
                super::state(version.state).to_owned(),
                version.created_time.clone(),
                version.deletion_time.clone().unwrap_or_default(),
            ]);
        }
        table
    })
}
