//! `coffer env snapshot`: which versions are in force, and back to them.

use clap::{Args, Subcommand};
use coffer_api::{
    Code,
    snapshots::{Restore, RestoreAction, Restored, SnapshotCreate},
};
use coffer_client::Error;

use crate::{
    cmd::secrets::state,
    failure::Failure,
    input,
    output::{Format, Table},
    paging::PageArguments,
    scope::ScopeArguments,
    session::Session,
};

/// Commands of `env snapshot`.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Note which version of each of the scope's own secrets is in force now
    Create(CreateArguments),
    /// List the scope's snapshots; the last 50 are kept
    List(ListArguments),
    /// Put the scope's own secrets back to a snapshot, all of them or none
    Restore(RestoreArguments),
}

/// Options of `env snapshot create`.
#[derive(Args)]
pub(crate) struct CreateArguments {
    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    scope: ScopeArguments,
}

/// Options of `env snapshot list`.
#[derive(Args)]
pub(crate) struct ListArguments {
    #[command(flatten)]
    page: PageArguments,
    #[command(flatten)]
    scope: ScopeArguments,
}

/// Options of `env snapshot restore`.
#[derive(Args)]
#[command(after_help = "\
An older value becomes a new version, what was not there is deleted (and can come back), what was
deleted comes back. Another snapshot is taken before, so that this can be undone as well. A
snapshot holds no values: a version that was destroyed or pruned since is gone, and is named.")]
pub(crate) struct RestoreArguments {
    /// The snapshot's number
    id: u64,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Restore the rest where some versions cannot be had any more
    #[arg(long)]
    partial: bool,
    /// Do not ask on a terminal
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    scope: ScopeArguments,
}

/// Runs the command.
///
/// # Errors
/// Where the server refuses.
pub(super) async fn run(session: &Session, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Create(arguments) => create(session, arguments).await,
        Command::List(arguments) => list(session, arguments).await,
        Command::Restore(arguments) => restore(session, arguments).await,
    }
}

async fn create(session: &Session, arguments: &CreateArguments) -> Result<(), Failure> {
    let scope = arguments.scope.resolve(&session.environment)?;
    let create = SnapshotCreate { reason: arguments.reason.clone() };
    let taken = session.client()?.snapshot_create(&scope, &create).await?;
    session.output.show_or_note(&taken, |taken| {
        let id = taken.id;
        format!("took snapshot {id} of {scope}; back to it with: coffer env snapshot restore {id} --scope {scope}")
    })
}

async fn list(session: &Session, arguments: &ListArguments) -> Result<(), Failure> {
    let scope = arguments.scope.resolve(&session.environment)?;
    let client = session.client()?;
    let page = async |paging| client.snapshot_list(&scope, &paging).await;
    let found = arguments.page.gather(&session.output, page).await?;
    session.output.show(&found, |found| {
        let mut table = Table::new(&["ID", "TAKEN", "SECRETS", "STATE", "REASON"]);
        for snapshot in &found.items {
            table.row([
                snapshot.id.to_string(),
                snapshot.created_time.clone(),
                snapshot.secrets.map(|count| count.to_string()).unwrap_or_default(),
                state(snapshot.state).to_owned(),
                snapshot.reason.clone().unwrap_or_default(),
            ]);
        }
        table
    })
}

async fn restore(session: &Session, arguments: &RestoreArguments) -> Result<(), Failure> {
    let scope = arguments.scope.resolve(&session.environment)?;
    let (id, client) = (arguments.id, session.client()?);
    let ask = Restore { dry_run: true, partial: arguments.partial };
    let explained = |error| {
        let hint = "--partial restores the rest; 'coffer env snapshot list' shows other snapshots";
        Failure::hinted(error, Code::Conflict, hint)
    };
    let wanted = Restore { dry_run: false, ..ask };
    let plan = match client.snapshot_restore(&scope, id, ask).await {
        Err(Error::Planned) if !arguments.dry_run => client.snapshot_restore(&scope, id, wanted).await,
        plan => plan,
    };
    let plan = plan.map_err(explained)?;
    let is_table = !matches!(session.output.format(), Format::Json | Format::Yaml);
    if is_table || arguments.dry_run {
        session.output.show(&plan, table)?;
    }
    for gone in &plan.gone {
        session.output.note(format!("note: version {} of {} {}", gone.version, gone.name, gone.why));
    }
    let summary = summary(&plan);
    if arguments.dry_run {
        session.output.note(format!("{scope} to snapshot {id}: {summary}; nothing was changed, as asked"));
        return Ok(());
    }
    if plan.changes.is_empty() {
        session.output.note(format!("{scope} is as in snapshot {id}: {summary}"));
        return session.output.show_to_programs(&plan);
    }
    if !arguments.yes {
        input::confirm(&format!("this happens to {scope}: {summary};"))?;
    }
    let restored = client.snapshot_restore(&scope, id, wanted).await.map_err(|error| match error {
        Error::Problem { .. } => explained(error),
        error => Failure::cut_off(
            error,
            "either all of it was put back or nothing: the same command with --dry-run shows which",
        ),
    })?;
    session.output.note(format!("{scope} is as in snapshot {id}: {}", self::summary(&restored)));
    if let Some(before) = restored.snapshot {
        session.output.note(format!("undo it with: coffer env snapshot restore {before} --scope {scope}"));
    }
    session.output.show_to_programs(&restored)
}

fn table(restored: &Restored) -> Table {
    let mut table = Table::new(&["CHANGE", "NAME", "VERSION"]);
    for change in &restored.changes {
        let (word, version) = match change.action {
            RestoreAction::Delete => ("delete", change.of.to_string()),
            RestoreAction::Rollback => ("rollback", format!("{} (the value of {})", change.version, change.of)),
            RestoreAction::Undelete => ("undelete", change.of.to_string()),
        };
        table.row([word.to_owned(), change.name.clone(), version]);
    }
    table
}

fn summary(restored: &Restored) -> String {
    let count = |action| restored.changes.iter().filter(|change| change.action == action).count();
    format!(
        "{} rolled back, {} deleted, {} undeleted, {} unchanged",
        count(RestoreAction::Rollback),
        count(RestoreAction::Delete),
        count(RestoreAction::Undelete),
        restored.unchanged
    )
}
