//! `coffer read`: the value that an address names.

use std::path::PathBuf;

use clap::Args;
use coffer_api::reference::Address;

use crate::{
    cmd::{
        inject::written,
        secrets::get::{missing, print},
    },
    failure::Failure,
    session::Session,
    stream::{FileMode, file_mode},
};

/// Options of `read`.
#[derive(Args)]
#[command(after_help = "\
An address is coffer://PROJECT[/ENVIRONMENT[/SERVICE]]/NAME, and ?version=N behind it names a
version. It means the secret that lies right there, not one of a scope above.
  coffer read coffer://acme/prod/api/DATABASE_URL
  coffer read 'coffer://acme/prod/TLS_KEY?version=3' -o tls.key --file-mode 0400
The value comes byte for byte; a line break is added on a terminal alone, and -n leaves it out.")]
pub(crate) struct Arguments {
    /// The secret's address
    #[arg(value_name = "URI")]
    address: String,
    /// Write the value to this file, which appears whole or not at all
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Who may read that file
    #[arg(long, value_name = "MODE", default_value = "0600", value_parser = file_mode, requires = "out")]
    file_mode: FileMode,
    /// No line break after the value, not even on a terminal
    #[arg(short = 'n', long)]
    no_newline: bool,
    /// The value as it is stored, with its references
    #[arg(long)]
    raw: bool,
}

/// Prints or writes the value.
///
/// # Errors
/// Where the text is no address, the server refuses, or the file cannot be written.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let address: Address = arguments.address.parse().map_err(|error| {
        Failure::local(format!("{error}"))
            .hint("as coffer://acme/prod/api/DATABASE_URL or coffer://acme/NAME?version=3")
    })?;
    let client = session.client()?;
    let Address { scope, name, version } = &address;
    let got = match arguments.raw {
        true => client.secret_get(scope, name, *version).await,
        false => client.secret_get_resolved(scope, name, *version).await,
    };
    let secret = got.map_err(|error| missing(error, name, scope, *version))?;
    let Some(path) = &arguments.out else { return print(session, &secret, arguments.no_newline) };
    session.output.refuse_structure()?;
    written(Some(path), arguments.file_mode, secret.value.expose().as_bytes())
}
