//! `coffer secrets get`.

use std::io::{self, IsTerminal};

use clap::Args;
use zeroize::Zeroizing;

use crate::{
    failure::Failure,
    output::{Format, Pairs, Table},
    scope::ScopeArguments,
    session::Session,
};

/// Options of `secrets get`.
#[derive(Args)]
#[command(
    disable_version_flag = true,
    after_help = "\
The value comes byte for byte: a line break is added on a terminal alone, so that
`coffer secrets get TLS_KEY > key.pem` makes exactly the file that was set. -n leaves it out
there too."
)]
pub(crate) struct Arguments {
    /// The secret's name
    name: String,
    /// This version instead of the current one
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    /// No line break after the value, not even on a terminal
    #[arg(short = 'n', long)]
    no_newline: bool,
    #[command(flatten)]
    scope: ScopeArguments,
}

/// Prints the value.
///
/// # Errors
/// Where the server refuses, or the value does not fit the format.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let scope = arguments.scope.resolve(&session.environment)?;
    let name = super::name(&arguments.name)?;
    let secret = session.client()?.secret_get(&scope, &name, arguments.version).await?;
    let pairs = match session.output.format() {
        Format::Table => {
            let mut value = Zeroizing::new(secret.value.expose().clone().into_bytes());
            if !arguments.no_newline && io::stdout().is_terminal() && !value.ends_with(b"\n") {
                value.push(b'\n');
            }
            return session.output.bytes(&value);
        }
        Format::Json | Format::Yaml => return session.output.show(&secret, |_| Table::new(&[])),
        Format::Dotenv => Pairs::Dotenv,
        Format::Env => Pairs::Env,
    };
    session.output.bytes(pairs.text([(secret.name.as_str(), &secret.value)])?.as_bytes())
}
