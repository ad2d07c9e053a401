//! `coffer status`: what the server does.

use std::process::ExitCode;

use coffer_api::operator::{NodeState, Status};

use crate::{
    failure::{Exit, Failure},
    output::Table,
    session::Session,
};

/// Prints the status. A node that stands by redirects, so it serves; one that is sealed or starting does not.
///
/// # Errors
/// Where the server does not answer.
pub(crate) async fn run(session: &Session) -> Result<ExitCode, Failure> {
    let status = session.anonymous_client()?.status().await?;
    session.output.show(&status, table)?;
    match status.state {
        NodeState::Active | NodeState::Standby => Ok(ExitCode::SUCCESS),
        NodeState::Sealed | NodeState::Starting => Ok(ExitCode::from(Exit::Unavailable.code())),
    }
}

fn table(status: &Status) -> Table {
    let state = match status.state {
        NodeState::Active => "active",
        NodeState::Sealed => "sealed",
        NodeState::Standby => "standby",
        NodeState::Starting => "starting",
    };
    let or_unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
    let yes_no = |truth: bool| if truth { "yes" } else { "no" }.to_owned();
    Table::of_pairs([
        ("state", state.to_owned()),
        ("initialized", yes_no(status.initialized)),
        ("seal", status.seal.clone()),
        ("storage", status.storage.clone()),
        ("cluster", or_unknown(&status.cluster_id)),
        ("node", status.node.clone()),
        ("active node", or_unknown(&status.active_address)),
        ("log size", status.log_size.map_or_else(|| "unknown".to_owned(), |size| size.to_string())),
        ("clock in doubt", yes_no(status.clock_in_doubt)),
        ("version", status.version.clone()),
    ])
}
