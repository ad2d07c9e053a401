//! `coffer secrets copy` and `move`.

use clap::Args;
use coffer_api::{Code, Name, Scope, copies::SecretCopy, reference::Environment};
use coffer_client::Error;

use crate::{
    failure::{ALL_OR_NOTHING, Failure},
    scope::ScopeArguments,
    session::Session,
};

/// Options of `secrets copy` and `secrets move`.
#[derive(Args)]
#[command(after_help = "\
  coffer secrets copy DB_PASSWORD API_KEY -p acme -e prod --to-env staging
  coffer secrets move OLD_NAME --as NEW_NAME -p acme -e prod
The server copies the current values as they are stored, references included, and how they are
made; older versions and descriptions stay where they are. All names or none. What is moved is
deleted where it was, and 'coffer secrets undelete' brings it back there.")]
pub(crate) struct Arguments {
    /// The secrets
    #[arg(required = true, value_name = "NAME")]
    names: Vec<Name>,
    /// To this scope, as acme:staging:api [default: the same scope]
    #[arg(long, value_name = "SCOPE", conflicts_with = "to_env")]
    to: Option<Scope>,
    /// To this environment, in the same project and service
    #[arg(long, value_name = "NAME")]
    to_env: Option<Environment>,
    /// Under this name, where one secret is given
    #[arg(long = "as", value_name = "NAME")]
    rename: Option<Name>,
    /// Write over what is there, as a new version
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    scope: ScopeArguments,
}

/// Whether the sources stay.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Way {
    Copy,
    Move,
}

/// Copies or moves.
///
/// # Errors
/// Where the server refuses: then nothing was changed.
pub(super) async fn run(session: &Session, arguments: &Arguments, way: Way) -> Result<(), Failure> {
    let from = arguments.scope.resolve(&session.environment)?;
    let to = match (&arguments.to, &arguments.to_env) {
        (Some(to), _) => to.clone(),
        (None, Some(environment)) => environment.of(&from),
        (None, None) => from.clone(),
    };
    if to == from && arguments.rename.is_none() {
        return Err(Failure::local("nowhere to go").hint("--to, --to-env or --as name another place"));
    }
    let copy = SecretCopy {
        from,
        to,
        names: arguments.names.clone(),
        rename: arguments.rename.clone(),
        moves: way == Way::Move,
        overwrite: arguments.force,
    };
    let hint = "--force writes over it, as a new version";
    let copied = session.client()?.secret_copy(&copy).await;
    let reply = copied.map_err(|error| match error {
        Error::Problem { .. } => Failure::hinted(error, Code::Conflict, hint),
        error => Failure::cut_off(error, ALL_OR_NOTHING),
    })?;
    session.output.show_or_note(&reply, |reply| {
        let each = reply.secrets.iter().map(|secret| format!("{} (version {})", secret.name, secret.version.version));
        let verb = match way {
            Way::Copy => "copied",
            Way::Move => "moved",
        };
        format!("{verb} to {}: {}", copy.to, each.collect::<Vec<_>>().join(", "))
    })
}
