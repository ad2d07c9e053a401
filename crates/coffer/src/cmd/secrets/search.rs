//! `coffer secrets search`: by a part of the name, or by the value.

use clap::Args;
use coffer_api::secrets::{Identified, ValuesIdentify};

use crate::{
    cmd::{scan::store, secrets::list},
    failure::{Exit, Failure},
    input,
    output::Table,
    paging::PageArguments,
    session::Session,
};

/// Options of `secrets search`.
#[derive(Args)]
#[command(after_help = "\
By value, the current versions of secrets that this token may read are found, each of which
is recorded as if it were read. The server must search values: 'coffer operator value-search'.")]
pub(crate) struct Arguments {
    /// Part of a name
    #[arg(required_unless_present = "by_value")]
    text: Option<String>,
    /// By a whole value instead: asked for on a terminal, else all of stdin
    #[arg(long, conflicts_with_all = ["text", "limit", "after"])]
    by_value: bool,
    #[command(flatten)]
    page: PageArguments,
}

/// Finds secrets.
///
/// # Errors
/// Where the server refuses, or nothing has the value.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let client = session.client()?;
    let Some(text) = &arguments.text else {
        let value = input::asked_value("Value")?;
        let identified = client.secret_identify(&ValuesIdentify { values: vec![value] }).await?;
        if let Some(note) = store::note(identified.index) {
            session.output.note(note);
        }
        session.output.show(&identified, table)?;
        return match identified.matches.is_empty() {
            false => Ok(()),
            true => Err(Failure::new(Exit::NotFound, "no secret that you may read has this value now")
                .hint("values of less than 8 bytes, and those with an object key of their own, are never found")),
        };
    };
    let found =
        arguments.page.gather(&session.output, async |paging| client.secret_search(text, &paging).await).await?;
    session.output.show(&found, |found| list::table(&found.items))
}

fn table(identified: &Identified) -> Table {
    let mut table = Table::new(&["SCOPE", "NAME", "VERSION"]);
    for found in &identified.matches {
        table.row([found.scope.to_string(), found.name.to_string(), found.version.to_string()]);
    }
    table
}
