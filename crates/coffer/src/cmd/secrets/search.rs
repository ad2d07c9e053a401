//! `coffer secrets search`.

use clap::Args;

use crate::{cmd::secrets::list, failure::Failure, paging::PageArguments, session::Session};

/// Options of `secrets search`.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Part of a name
    text: String,
    #[command(flatten)]
    page: PageArguments,
}

/// Finds secrets by name.
///
/// # Errors
/// Where the server refuses.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let client = session.client()?;
    let text = &arguments.text;
    let found =
        arguments.page.gather(&session.output, async |paging| client.secret_search(text, &paging).await).await?;
    session.output.show(&found, |found| list::table(&found.items))
}
