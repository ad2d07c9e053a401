//! `coffer secrets history`.

use clap::Args;

use crate::{failure::Failure, output::Table, paging::PageArguments, scope::ScopeArguments, session::Session};

/// Options of `secrets history`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The secret's name
    name: String,
    /// Show reads as well
    #[arg(long)]
    access: bool,
    #[command(flatten)]
    page: PageArguments,
    #[command(flatten)]
    scope: ScopeArguments,
}

/// Shows the events that the audit log holds of a secret.
///
/// # Errors
/// Where the server refuses.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let scope = arguments.scope.resolve(&session.environment)?;
    let name = super::name(&arguments.name)?;
    let client = session.client()?;
    let mut history = arguments
        .page
        .gather(&session.output, async |paging| client.secret_history(&scope, &name, &paging).await)
        .await?;
    if !arguments.access {
        history.items.retain(|event| !is_read(&event.action));
    }
    session.output.show(&history, |history| {
        let mut table = Table::new(&["TIME", "ACTION", "OUTCOME", "ACTOR", "FROM", "VERSION", "INDEX"]);
        for event in &history.items {
            table.row([
                event.time.clone(),
                event.action.clone(),
                event.outcome.clone(),
                event.actor.clone(),
                event.address.clone().unwrap_or_default(),
                event.version.map(|version| version.to_string()).unwrap_or_default(),
                event.index.to_string(),
            ]);
        }
        table
    })
}

fn is_read(action: &str) -> bool {
    action.rsplit('.').next().is_some_and(|verb| matches!(verb, "read" | "list" | "subkeys"))
}
