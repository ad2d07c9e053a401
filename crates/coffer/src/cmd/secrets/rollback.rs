//! `coffer secrets rollback`.

use clap::Args;
use coffer_api::secrets::Rollback;

use crate::{failure::Failure, scope::ScopeArguments, session::Session};

/// Options of `secrets rollback`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The secret's name
    name: String,
    /// The version whose value becomes current again
    #[arg(long, alias = "versions", value_name = "N")]
    version: u64,
    /// Only if the current version is this one
    #[arg(long, value_name = "N")]
    cas: Option<u64>,
    #[command(flatten)]
    scope: ScopeArguments,
}

/// Writes the older value as a new version.
///
/// # Errors
/// Where the server refuses.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let scope = arguments.scope.resolve(&session.environment)?;
    let name = super::name(&arguments.name)?;
    let rollback = Rollback { version: arguments.version, cas: arguments.cas };
    let version = session.client()?.secret_rollback(&scope, &name, &rollback).await?;
    session.output.show_or_note(&version, |version| {
        format!("rolled {name} in {scope} back to version {}, as version {}", rollback.version, version.version)
    })
}
