//! `coffer secrets generate`.

use clap::Args;
use coffer_api::{generate::SecretGenerate, secrets::SetOptions};

use super::recipe::{RecipeKind, RecipeOptions, show};
use crate::{failure::Failure, scope::ScopeArguments, session::Session};

/// Options of `secrets generate`.
#[derive(Args)]
#[command(after_help = "\
The server makes the value, and it does not leave the server: 'coffer secrets get' reads it.
  coffer secrets generate DB_PASSWORD -p acme -e prod
  coffer secrets generate PIN password --length 6 --classes digits -p acme
  coffer secrets generate DEPLOY_KEY ssh-ed25519 --comment deploy@acme -p acme
The secret remembers how it was made, and 'coffer secrets rotate' makes the next one so.")]
pub(crate) struct Arguments {
    /// The secret's name
    name: String,
    /// What to make
    #[arg(value_enum, default_value = "password")]
    kind: RecipeKind,
    /// Only if the current version is this one; 0 = only if there is none
    #[arg(long, value_name = "N")]
    cas: Option<u64>,
    /// Seal each version under a key of its own, so that destroying it shreds it
    #[arg(long)]
    shred: bool,
    #[command(flatten)]
    recipe: RecipeOptions,
    #[command(flatten)]
    scope: ScopeArguments,
}

/// Makes the value.
///
/// # Errors
/// Where an option does not fit, or the server refuses.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let scope = arguments.scope.resolve(&session.environment)?;
    let name = super::name(&arguments.name)?;
    let generate = arguments.recipe.recipe(arguments.kind)?;
    let options = SetOptions { cas: arguments.cas, shred: arguments.shred.then_some(true) };
    let generated = session.client()?.secret_generate(&scope, &name, &SecretGenerate { generate, options }).await?;
    show(session, &generated, &format!("made {name} in {scope}, "))
}
