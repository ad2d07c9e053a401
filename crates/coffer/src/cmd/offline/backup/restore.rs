//! `coffer backup restore`.

use coffer_core::{
    age::Opener,
    backup::{
        BackupError, Source,
        restore::{ObjectKeys, Restore as Wanted, restore},
        verify::Against,
    },
};
use serde::Serialize;

use super::{Shown, failure, identities, needs, since, vkey, watched};
use crate::{cmd::backup::Restore, data_dir::data_directory, failure::Failure, session::Session};

#[derive(Serialize)]
struct Restored {
    data: String,
    rows: u64,
    log_dir: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    seal_key_file: Option<String>,
    #[serde(flatten)]
    backup: Shown,
}

/// Runs the command.
///
/// # Errors
/// Exit 8 where the backup is damaged, 5 where it is too old or something is in the way, 1 where it cannot be read or
/// written.
pub(crate) async fn run(session: &Session, arguments: &Restore) -> Result<(), Failure> {
    let data = data_directory(arguments.data.as_deref(), &session.environment)?;
    let store = match &arguments.store {
        Some(store) => store.clone(),
        None => format!("sqlite:{}/store.db", data.display()),
    };
    let source = Source::open(&arguments.backup).map_err(failure)?;
    let identities_of = |source: &Source| {
        let found = identities(source, &arguments.opener)?;
        found.ok_or_else(|| {
            Failure::local("what opens the backup is not given").hint("add --identity FILE, or --passphrase")
        })
    };
    let own = identities_of(&source)?;
    let later = arguments.object_keys_from.as_deref().map(Source::open).transpose().map_err(failure)?;
    // Under a passphrase each backup has a key of its own.
    let later_identities = later.as_ref().map(identities_of).transpose()?;
    let object_keys = match (&later, &later_identities) {
        (Some(later), Some(identities)) => ObjectKeys::Later(later, Opener::Identities(identities)),
        (_, _) if arguments.without_object_keys => ObjectKeys::None,
        (_, _) => ObjectKeys::Own,
    };
    let (vkey, since) = (vkey(&arguments.against)?, since(&arguments.against)?);
    let against = Against { vkey: vkey.as_ref(), since: since.as_deref() };
    let opener = Opener::Identities(&own);
    // Twice to verify it, once to restore it.
    let source = watched(session, source, "restoring", 3);
    let wanted = Wanted { source: &source, opener, against, object_keys, store: &store, data: &data };
    let by_variable =
        session.environment.text("COFFER_STORAGE")?.is_some_and(|url| arguments.store.as_deref() == Some(url));
    let done = restore(wanted).await.map_err(|error| match error {
        error @ BackupError::Refused(_) if by_variable => failure(error)
            .hint("COFFER_STORAGE names the store: unset it for store.db in the new data folder, or give --store"),
        error => failure(error),
    })?;
    drop(source);
    let restored = Restored {
        data: data.display().to_string(),
        rows: done.rows,
        log_dir: done.log.display().to_string(),
        seal_key_file: done.seal_key.as_ref().map(|path| path.display().to_string()),
        backup: Shown::of(&done.manifest),
    };
    session.output.show_or_note(&restored, |restored| {
        format!("revision {} is restored to {}: {} rows", restored.backup.revision, restored.data, restored.rows)
    })?;
    let open: Vec<String> = done.manifest.needs.iter().map(needs).collect();
    session.output.note(format!("to start, the server needs {}", open.join(", or ")));
    session.output.note(format!("the log until then lies in {}: 'audit verify --log' reads it", restored.log_dir));
    session.output.note("what was revoked or changed since the backup is as it was before");
    Ok(())
}
