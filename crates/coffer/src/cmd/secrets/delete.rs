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
    let client = session.client()?;
    client.secret_delete(&scope, &name).await?;
    if session.output.has_notes() {
        // Who may delete a secret need not be allowed to look at its versions.
        let deleted = super::newest_deleted(&client, &scope, &name).await.ok().flatten();
        let (version, option) = match deleted {
            Some(version) => (format!(" (version {version})"), format!(" --version {version}")),
            None => (String::new(), String::new()),
        };
        session.output.note(format!(
            "deleted {name} in {scope}{version}; 'coffer secrets undelete {name} --scope {scope}{option}' brings it back"
        ));
    }
    Ok(())
}
