//! `coffer policy`: read and write policies on the server, and test them offline.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use coffer_api::{Code, policy::PolicyPut};
use coffer_client::Error;

use crate::{cmd::offline, failure::Failure, input, output::Table, paging::PageArguments, session::Session};

/// Commands of `policy`.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Delete a policy; tokens that name it lose what it granted
    Delete(Named),
    /// List the names
    List(PageArguments),
    /// Print a policy's text
    Read(Named),
    /// Decide a request by policy files, without a server, and explain it
    Test(Box<offline::policy_test::Arguments>),
    /// Write a policy from a file
    Write(Write),
}

/// Names a policy.
#[derive(Args)]
pub(crate) struct Named {
    /// The policy's name
    name: String,
}

/// Options of `policy write`.
#[derive(Args)]
pub(crate) struct Write {
    /// The policy's name
    name: String,
    /// File with the text, HCL or JSON; - is stdin
    file: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// Where the server refuses; for `test`, where a policy cannot be read.
pub(crate) async fn run(session: &Session, command: &Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Delete(named) => {
            session.client()?.policy_delete(&named.name).await.map_err(missing)?;
            session.output.note(format!("deleted policy {}", named.name));
        }
        Command::List(page) => {
            let client = session.client()?;
            let names = page.gather(&session.output, async |paging| client.policy_list(&paging).await).await?;
            session.output.show(&names, |names| {
                let mut table = Table::new(&[]);
                names.items.iter().for_each(|name| table.row([name.clone()]));
                table
            })?;
        }
        Command::Read(named) => {
            let policy = session.client()?.policy_read(&named.name).await.map_err(missing)?;
            session.output.show_text(&policy, |policy| &policy.policy)?;
        }
        Command::Test(arguments) => return offline::policy_test::run(session, arguments),
        Command::Write(write) => {
            let policy = PolicyPut { policy: input::text_file(&write.file, TEXT_LIMIT)? };
            session.client()?.policy_write(&write.name, &policy).await?;
            session.output.note(format!("wrote policy {}", write.name));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn missing(error: Error) -> Failure {
    Failure::hinted(error, Code::NotFound, "check the name; 'coffer policy list' shows what is there")
}

const TEXT_LIMIT: usize = 1 << 20;
