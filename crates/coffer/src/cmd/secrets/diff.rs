//! `coffer secrets diff`: two values of a secret, of two versions or in two environments.

use std::process::ExitCode;

use clap::Args;
use coffer_api::{
    Name, Scope, Sensitive,
    reference::Environment,
    secrets::{Secret, State},
};
use coffer_client::Client;
use serde::Serialize;

use crate::{
    cmd::secrets::get::missing,
    failure::{Exit, Failure},
    plan::foreseen,
    scope::ScopeArguments,
    session::Session,
    value_diff,
};

/// Options of `secrets diff`.
#[derive(Args)]
#[command(after_help = "\
  coffer secrets diff DB_PASSWORD -p acme -e prod          the version before and the current one
  coffer secrets diff DB_PASSWORD 3 5 -p acme -e prod      two versions
  coffer secrets diff DB_PASSWORD -p acme -e prod --with-env staging
Values are compared as they are stored. Exit code 10 where they differ, 0 where they do not.")]
pub(crate) struct Arguments {
    /// The secret's name
    name: String,
    /// The older version
    #[arg(requires = "to", value_name = "FROM")]
    from: Option<u64>,
    /// The newer version
    #[arg(value_name = "TO")]
    to: Option<u64>,
    /// Compare with what lies in this environment, in the same project and service
    #[arg(long, value_name = "NAME", conflicts_with_all = ["from", "to"])]
    with_env: Option<Environment>,
    /// Show the lines that differ, and not only that they do
    #[arg(long)]
    show_values: bool,
    #[command(flatten)]
    scope: ScopeArguments,
}

/// What is compared.
#[derive(Serialize)]
struct Difference {
    name: Name,
    from: Side,
    to: Side,
    differ: bool,
}

#[derive(Serialize)]
struct Side {
    scope: Scope,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Sensitive<String>>,
}

/// Compares.
///
/// # Errors
/// Where one of the values cannot be had.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let scope = arguments.scope.resolve(&session.environment)?;
    let name = super::name(&arguments.name)?;
    let client = session.client()?;
    let get = async |scope: &Scope, version: Option<u64>| {
        client.secret_get(scope, &name, version).await.map_err(|error| missing(error, &name, scope, version))
    };
    if session.is_planning() {
        return plan(&client, arguments, &scope, &name).await;
    }
    let (from, to) = match (&arguments.with_env, arguments.from, arguments.to) {
        (Some(other), _, _) => (get(&scope, None).await?, get(&other.of(&scope), None).await?),
        (None, Some(from), Some(to)) => (get(&scope, Some(from)).await?, get(&scope, Some(to)).await?),
        (None, _, _) => {
            let to = get(&scope, None).await?;
            let before = before(&client, &scope, &name, to.version.version).await?;
            (get(&scope, Some(before)).await?, to)
        }
    };
    let differ = from.value.expose() != to.value.expose();
    let side = |secret: &Secret| Side {
        scope: secret.scope.clone(),
        version: secret.version.version,
        value: arguments.show_values.then(|| secret.value.clone()),
    };
    let difference = Difference { name: name.clone(), from: side(&from), to: side(&to), differ };
    let called = |secret: &Secret| format!("{}, version {}", secret.scope, secret.version.version);
    session.output.show_lines(&difference, |difference| {
        let (old, new) = (from.value.expose(), to.value.expose());
        match (difference.differ, arguments.show_values) {
            (false, _) => format!("{name} is the same in {} and {}", called(&from), called(&to)),
            (true, false) => {
                let changed = value_diff::summary(old, new);
                format!("{name} differs between {} and {}: {changed}", called(&from), called(&to))
            }
            (true, true) => {
                format!(
                    "--- {name} in {}\n+++ {name} in {}\n{}",
                    called(&from),
                    called(&to),
                    value_diff::lines(old, new)
                )
            }
        }
    })?;
    Ok(ExitCode::from(if differ { Exit::Findings.code() } else { 0 }))
}

/// The calls that would be made, where they are shown instead.
async fn plan(client: &Client, arguments: &Arguments, scope: &Scope, name: &Name) -> Result<ExitCode, Failure> {
    let (one, other) = match (&arguments.with_env, arguments.from, arguments.to) {
        (Some(other), _, _) => ((scope.clone(), None), (other.of(scope), None)),
        (None, from @ Some(_), to @ Some(_)) => ((scope.clone(), from), (scope.clone(), to)),
        (None, _, _) => {
            foreseen(client.secret_get(scope, name, None).await.map(|_| ()), || ())?;
            super::all_versions(client, scope, name).await?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    for (scope, version) in [one, other] {
        foreseen(client.secret_get(&scope, name, version).await.map(|_| ()), || ())?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The newest version before this one that can be read.
async fn before(client: &Client, scope: &Scope, name: &Name, current: u64) -> Result<u64, Failure> {
    let versions = super::all_versions(client, scope, name).await?;
    let readable = |state| matches!(state, State::Active | State::Archived);
    let older = versions.items.iter().filter(|version| version.version < current && readable(version.state));
    older.map(|version| version.version).max().ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("{name} in {scope} has no version before {current} that can be read"))
            .hint("'coffer secrets versions' shows which there are")
    })
}
