//! `coffer secrets rotate`.

use clap::Args;
use coffer_api::{generate::SecretRotate, secrets::SetOptions};

use super::recipe::{RecipeKind, RecipeOptions, show};
use crate::{failure::Failure, scope::ScopeArguments, session::Session};

/// Options of `secrets rotate`.
#[derive(Args)]
#[command(after_help = "\
Makes a new value as the secret's last one was made. With a recipe, this time and from now on it
is made by that. The value before stays as an older version.")]
pub(crate) struct Arguments {
    /// The secret's name
    name: String,
    /// What to make from now on
    #[arg(value_enum)]
    kind: Option<RecipeKind>,
    /// Only if the current version is this one
    #[arg(long, value_name = "N")]
    cas: Option<u64>,
    #[command(flatten)]
    recipe: RecipeOptions,
    #[command(flatten)]
    scope: ScopeArguments,
}

/// Makes the next value.
///
/// # Errors
/// Where an option does not fit, or the server refuses.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let scope = arguments.scope.resolve(&session.environment)?;
    let name = super::name(&arguments.name)?;
    let generate = match arguments.kind {
        Some(kind) => Some(arguments.recipe.recipe(kind)?),
        None if arguments.recipe.is_empty() => None,
        None => {
            return Err(Failure::local("options of a recipe, and no recipe").hint("name it behind the secret, as hex"));
        }
    };
    let options = SetOptions { cas: arguments.cas, shred: None };
    let rotated = session.client()?.secret_rotate(&scope, &name, &SecretRotate { generate, options }).await;
    let rotated = rotated.map_err(|error| {
        let failure = Failure::from(error);
        match failure.what().contains("was not made by the server") {
            true => failure.hint(format!("as in 'coffer secrets rotate {name} password --scope {scope}'")),
            false => failure,
        }
    })?;
    show(session, &rotated, &format!("rotated {name} in {scope}, now "))
}
