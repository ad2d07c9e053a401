//! `coffer keys list`.

use clap::Args;
use coffer_client::KeyFilter;

use crate::{failure::Failure, output::Table, paging::PageArguments, session::Session};

/// Options of `keys list`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Of this algorithm
    #[arg(long, value_name = "NAME")]
    algorithm: Option<String>,
    /// With a version in this state: `pre_active`, `active`, `suspended`, `deactivated`, `compromised`, `destroy_scheduled`,
    /// `destroyed`
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// With this tag
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// With this in its name
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Those that were deleted and can be recovered
    #[arg(long)]
    deleted: bool,
    #[command(flatten)]
    page: PageArguments,
}

/// Lists.
///
/// # Errors
/// Where the server refuses.
pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { algorithm, state, tag, name, .. } = arguments;
    let filter = KeyFilter { algorithm: algorithm.clone(), state: state.clone(), tag: tag.clone(), name: name.clone() };
    let client = session.client()?;
    let page = async |paging| match arguments.deleted {
        true => client.key_deleted_list(&filter, &paging).await,
        false => client.key_list(&filter, &paging).await,
    };
    let found = arguments.page.gather(&session.output, page).await?;
    session.output.show(&found, |found| {
        let mut table = Table::new(&["NAME", "ALGORITHM", "PRIMARY", "LATEST", "ENABLED", "TAGS", "ID"]);
        for key in &found.items {
            table.row([
                key.name.clone(),
                key.algorithm.clone(),
                super::primary(key),
                key.latest_version.to_string(),
                if key.enabled { "yes" } else { "no" }.to_owned(),
                key.tags.join(","),
                key.id.clone(),
            ]);
        }
        table
    })
}
