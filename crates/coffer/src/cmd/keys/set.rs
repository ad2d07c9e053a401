//! `coffer keys set`.

use clap::{ArgAction, ArgGroup, Args};
use coffer_api::keys::KeyConfigure;

use crate::{duration, failure::Failure, session::Session};

/// Options of `keys set`.
#[derive(Args)]
#[group(skip)]
#[command(group(ArgGroup::new("change").required(true).multiple(true).args([
    "allow_plaintext_backup", "deactivate_on_rotate", "deletion_allowed", "description", "exportable",
    "min_decryption_version", "min_encryption_version", "no_tags", "overlap", "rotate_every", "rotate_jitter", "tags",
])))]
pub(crate) struct Arguments {
    /// The key's name
    name: String,
    /// It may be deleted, or not
    #[arg(long, value_name = "BOOL", action = ArgAction::Set)]
    deletion_allowed: Option<bool>,
    /// Its secret parts may be taken out, for good
    #[arg(long)]
    exportable: bool,
    /// It may be backed up in the clear, for good
    #[arg(long)]
    allow_plaintext_backup: bool,
    /// The oldest version that decrypts and verifies
    #[arg(long, value_name = "N")]
    min_decryption_version: Option<u32>,
    /// The oldest version that encrypts and signs when asked for by number; 0 = any
    #[arg(long, value_name = "N")]
    min_encryption_version: Option<u32>,
    /// Rotate it by itself this often, as 30d; 0 = never
    #[arg(long, value_name = "TIME", value_parser = duration::parse_seconds)]
    rotate_every: Option<u64>,
    /// By how much a rotation may come early
    #[arg(long, value_name = "TIME", value_parser = duration::parse_seconds)]
    rotate_jitter: Option<u64>,
    /// A rotation ends what the version before may encrypt and sign, or does not
    #[arg(long, value_name = "BOOL", action = ArgAction::Set)]
    deactivate_on_rotate: Option<bool>,
    /// So long after it
    #[arg(long, value_name = "TIME", value_parser = duration::parse_seconds)]
    overlap: Option<u64>,
    /// All tags from now on; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// No tags from now on
    #[arg(long, conflicts_with = "tags")]
    no_tags: bool,
    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

/// Changes a key.
///
/// # Errors
/// Where the server refuses.
pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let tags = (arguments.no_tags || !arguments.tags.is_empty()).then(|| arguments.tags.iter().cloned().collect());
    let configure = KeyConfigure {
        min_decryption_version: arguments.min_decryption_version,
        min_encryption_version: arguments.min_encryption_version,
        deletion_allowed: arguments.deletion_allowed,
        exportable: arguments.exportable.then_some(true),
        allow_plaintext_backup: arguments.allow_plaintext_backup.then_some(true),
        rotate_every: arguments.rotate_every,
        rotate_jitter: arguments.rotate_jitter,
        deactivate_on_rotate: arguments.deactivate_on_rotate,
        overlap: arguments.overlap,
        tags,
        description: arguments.description.clone(),
    };
    let key = session.client()?.key_configure(&arguments.name, &configure).await.map_err(super::missing)?;
    session.output.note(format!("changed key {}", key.name));
    Ok(())
}
