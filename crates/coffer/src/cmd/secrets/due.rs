//! `coffer secrets due`.

use clap::Args;
use coffer_api::secrets::{DueSecret, DueState};

use crate::{duration, failure::Failure, output::Table, paging::PageArguments, session::Session};

/// Options of `secrets due`.
#[derive(Args)]
#[command(after_help = "\
'coffer secrets describe NAME --expires-at 2027-01-01T00:00:00Z' says when a secret is to be
replaced. Nothing happens to it by itself. Shown are secrets in every scope you may list whose
metadata you may read.")]
pub(crate) struct Arguments {
    /// Those too whose time comes within this, as 30d
    #[arg(long, value_name = "TIME", value_parser = duration::parse_seconds, default_value = "0")]
    within: u64,
    /// Show at most this many, the most urgent of all
    #[arg(long, value_name = "N", default_value_t = MAX_DUE, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_DUE)))]
    limit: u32,
}

/// Lists what is due, the most urgent first.
///
/// # Errors
/// Where the server refuses.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let client = session.client()?;
    let page = async |paging| client.secret_due(arguments.within, &paging).await;
    // The server goes by path: what is most urgent may come last.
    let all = PageArguments { limit: MAX_DUE, after: None };
    let mut due = all.gather(&session.output, page).await?;
    due.items.sort_by_cached_key(urgency);
    let limit = usize::try_from(arguments.limit).unwrap_or(usize::MAX);
    if due.items.len() > limit {
        session.output.note(format!("{} more are due: --limit shows more", due.items.len() - limit));
        due.items.truncate(limit);
    }
    session.output.show(&due, |due| {
        let mut table = Table::new(&["EXPIRES AT", "STATE", "SCOPE", "NAME", "OWNER", "DESCRIPTION"]);
        for secret in &due.items {
            let state = match secret.state {
                DueState::Due => "due",
                DueState::Expired => "expired",
                DueState::Invalid => "no time",
            };
            table.row([
                secret.expires_at.clone(),
                state.to_owned(),
                secret.scope.to_string(),
                secret.name.to_string(),
                secret.owner.clone().unwrap_or_default(),
                secret.description.clone().unwrap_or_default(),
            ]);
        }
        table
    })
}

/// More than anybody replaces.
const MAX_DUE: u32 = 1_000_000;

/// What is no time comes first: it will never be due.
fn urgency(secret: &DueSecret) -> (Option<jiff::Timestamp>, String, String) {
    (secret.expires_at.parse().ok(), secret.scope.to_string(), secret.name.to_string())
}
