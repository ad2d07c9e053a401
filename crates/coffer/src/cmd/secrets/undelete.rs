//! `coffer secrets undelete`.

use clap::Args;
use coffer_api::secrets::Versions;

use crate::{
    failure::{Exit, Failure},
    scope::ScopeArguments,
    session::Session,
};

/// Options of `secrets undelete`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The secret's name
    name: String,
    /// The versions to bring back, as 1,3 [default: the newest one that is deleted]
    #[arg(long = "version", alias = "versions", value_delimiter = ',', value_name = "N")]
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
    let client = session.client()?;
    let mut versions = Versions { versions: arguments.versions.clone() };
    if versions.versions.is_empty() {
        let newest = super::newest_deleted(&client, &scope, &name).await?;
        let newest = newest.ok_or_else(|| {
            Failure::new(Exit::NotFound, format!("no version of {name} in {scope} is deleted and can come back"))
                .hint(format!("'coffer secrets versions {name} --scope {scope}' shows them all"))
        })?;
        versions.versions.push(newest);
    }
    client.secret_undelete(&scope, &name, &versions).await?;
    session.output.note(format!("undeleted version {} of {name} in {scope}", super::numbers(&versions.versions)));
    Ok(())
}
