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
    let seal = match status.seal_migration {
        true => format!("{}, on its way to another", status.seal),
        false => status.seal.clone(),
    };
    let shares = status.shares.iter().flat_map(|shares| {
        let given = (status.state == NodeState::Sealed).then(|| ("shares given", shares.given.to_string()));
        [("shares", shares.shares.to_string()), ("threshold", shares.threshold.to_string())].into_iter().chain(given)
    });
    let before = [("state", state.to_owned()), ("initialized", yes_no(status.initialized)), ("seal", seal)];
    let after = [
        ("storage", status.storage.clone()),
        ("cluster", or_unknown(&status.cluster_id)),
        ("node", status.node.clone()),
        ("active node", or_unknown(&status.active_address)),
        ("log size", status.log_size.map_or_else(|| "unknown".to_owned(), |size| size.to_string())),
        ("clock in doubt", yes_no(status.clock_in_doubt)),
        ("version", status.version.clone()),
    ];
    Table::of_pairs(before.into_iter().chain(shares).chain(after))
}
