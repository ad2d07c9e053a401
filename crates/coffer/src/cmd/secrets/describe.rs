//! `coffer secrets describe`, and the same options of `set`.

use clap::Args;
use coffer_api::{Name, Scope, generate::Recipe, secrets::MetadataPatch};
use coffer_client::Client;

use crate::{failure::Failure, scope::ScopeArguments, session::Session};

/// What is kept of a secret beside its value.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Description")]
pub(super) struct Details {
    /// When it is to be replaced, as 2027-01-31T00:00:00Z; nothing ('') removes it
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// Who looks after it; nothing ('') removes it
    #[arg(long, value_name = "TEXT")]
    owner: Option<String>,
    /// What it is for; nothing ('') removes it
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

/// Options of `secrets describe`.
#[derive(Args)]
#[command(after_help = "\
Without options it shows what is kept of the secret beside its value. All of it may be read by who
may read the secret's metadata: it is no place for anything secret.")]
pub(crate) struct Arguments {
    /// The secret's name
    name: String,
    #[command(flatten)]
    details: Details,
    #[command(flatten)]
    scope: ScopeArguments,
}

impl Details {
    /// Whether there is anything to change.
    pub(super) fn is_empty(&self) -> bool {
        self.expires_at.is_none() && self.owner.is_none() && self.description.is_none()
    }

    /// What can be known to be wrong before anything is sent.
    ///
    /// # Errors
    /// Where a time is none.
    pub(super) fn check(&self) -> Result<(), Failure> {
        match self.expires_at.as_deref().filter(|time| !time.is_empty()).map(str::parse::<jiff::Timestamp>) {
            Some(Err(_)) => Err(Failure::local("--expires-at is not a time").hint("as 2027-01-31T00:00:00Z")),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    /// Changes them.
    ///
    /// # Errors
    /// Where the server refuses.
    pub(super) async fn apply(&self, client: &Client, scope: &Scope, name: &Name) -> Result<(), Failure> {
        let text = |text: &Option<String>| text.clone().map(|text| Some(text).filter(|text| !text.is_empty()));
        let patch = MetadataPatch {
            expires_at: text(&self.expires_at),
            owner: text(&self.owner),
            description: text(&self.description),
        };
        Ok(client.secret_metadata_patch(scope, name, &patch).await?)
    }
}

/// Shows or changes.
///
/// # Errors
/// Where the server refuses.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let scope = arguments.scope.resolve(&session.environment)?;
    let name = super::name(&arguments.name)?;
    let client = session.client()?;
    if !arguments.details.is_empty() {
        arguments.details.check()?;
        arguments.details.apply(&client, &scope, &name).await?;
        session.output.note(format!("described {name} in {scope}"));
        return Ok(());
    }
    let metadata = client.secret_metadata(&scope, &name).await?;
    session.output.show_lines(&metadata, |metadata| {
        let mut lines = vec![
            format!("name         {}", metadata.name),
            format!("scope        {}", metadata.scope),
            format!("version      {}", metadata.version),
            format!("created      {}", metadata.created_time),
            format!("updated      {}", metadata.updated_time),
        ];
        let recipe = metadata.recipe.as_ref().map(kind);
        for (label, text) in [
            ("expires at", &metadata.expires_at),
            ("owner", &metadata.owner),
            ("description", &metadata.description),
            ("made as", &recipe),
        ] {
            lines.extend(text.as_ref().map(|text| format!("{label:<12} {text}")));
        }
        lines.join("\n")
    })
}

fn kind(recipe: &Recipe) -> String {
    match recipe {
        Recipe::Base64 { .. } => "base64",
        Recipe::Hex { .. } => "hex",
        Recipe::Passphrase { .. } => "passphrase",
        Recipe::Password { .. } => "password",
        Recipe::Rsa { .. } => "rsa",
        Recipe::SshEd25519 { .. } => "ssh-ed25519",
        Recipe::Uuid {} => "uuid",
        Recipe::X25519 { .. } => "x25519",
    }
    .to_owned()
}
