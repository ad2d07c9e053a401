//! `coffer secrets get`.

use std::io::{self, IsTerminal};

use clap::Args;
use coffer_api::{Code, Name, Scope, secrets::Secret};
use coffer_client::Error;
use zeroize::Zeroizing;

use crate::{
    failure::{Exit, Failure},
    output::{Format, Pairs, Table},
    scope::ScopeArguments,
    session::Session,
};

/// Options of `secrets get`.
#[derive(Args)]
#[command(after_help = "\
The value comes byte for byte: a line break is added on a terminal alone, so that
`coffer secrets get TLS_KEY > key.pem` makes exactly the file that was set. -n leaves it out
there too. References to other secrets, as ${NAME} or coffer://acme/prod/NAME, are replaced by
their values; --raw shows them as they are stored.")]
pub(crate) struct Arguments {
    /// The secret's name
    name: String,
    /// This version instead of the current one
    #[arg(long, alias = "versions", value_name = "N")]
    version: Option<u64>,
    /// No line break after the value, not even on a terminal
    #[arg(short = 'n', long)]
    no_newline: bool,
    /// The value as it is stored, with its references
    #[arg(long)]
    raw: bool,
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
    let client = session.client()?;
    let got = match arguments.raw {
        true => client.secret_get(&scope, &name, arguments.version).await,
        false => client.secret_get_resolved(&scope, &name, arguments.version).await,
    };
    let secret = got.map_err(|error| missing(error, &name, &scope, arguments.version))?;
    print(session, &secret, arguments.no_newline)
}

/// The value alone for people and pipes, with a line break on a terminal unless that is unwanted.
pub(crate) fn print(session: &Session, secret: &Secret, no_newline: bool) -> Result<(), Failure> {
    let pairs = match session.output.format() {
        Format::Table => {
            let mut value = Zeroizing::new(secret.value.expose().clone().into_bytes());
            if !no_newline && io::stdout().is_terminal() && !value.ends_with(b"\n") {
                value.push(b'\n');
            }
            return session.output.bytes(&value);
        }
        Format::Json | Format::Yaml => return session.output.show(secret, |_| Table::new(&[])),
        Format::Dotenv => Pairs::Dotenv,
        Format::Env => Pairs::Env,
    };
    session.output.bytes(pairs.text([(secret.name.as_str(), &secret.value)])?.as_bytes())
}

/// What to do depends on what is missing: the secret, the version, or what a version that is there held.
pub(crate) fn missing(error: Error, name: &Name, scope: &Scope, version: Option<u64>) -> Failure {
    let failure = Failure::hinted(
        error,
        Code::NotFound,
        match version {
            None => "check the name and the scope; 'coffer secrets list' shows what is there".to_owned(),
            Some(_) => format!("'coffer secrets versions {name} --scope {scope}' shows the versions there are"),
        },
    );
    match failure.exit() {
        Exit::NotFound if failure.what().ends_with("is deleted") => {
            let option = version.map(|version| format!(" --version {version}")).unwrap_or_default();
            failure.hint(format!("'coffer secrets undelete {name} --scope {scope}{option}' brings it back"))
        }
        _ => failure,
    }
}
