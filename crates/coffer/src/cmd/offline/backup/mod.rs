//! `coffer backup`, where it knows the format: making a backup of what the server sends, and all that needs no server.

pub(crate) mod create;
pub(crate) mod list;
pub(crate) mod restore;
pub(crate) mod verify;

use std::sync::{Arc, Mutex};

use coffer_core::{
    age::{self, Identity},
    backup::{BackupError, Manifest, Needs, Source, verify::identity_of},
    tlog::note::VerifierKey,
};
use serde::Serialize;

use crate::{
    cmd::backup,
    failure::{Exit, Failure, chain},
    input,
    session::Session,
};

/// A backup as programs are told of it.
#[derive(Serialize)]
struct Shown {
    backup: String,
    cluster: String,
    made: String,
    revision: u64,
    release: String,
    recipient: String,
    log: String,
    log_size: u64,
    vkey: String,
    checkpoint: String,
    needs: Vec<String>,
    parts: Vec<ShownPart>,
}

#[derive(Serialize)]
struct ShownPart {
    part: &'static str,
    bytes: u64,
    items: u64,
}

impl Shown {
    fn of(manifest: &Manifest) -> Self {
        let part = |info: &coffer_core::backup::PartInfo| ShownPart {
            part: info.part.name(),
            bytes: info.len,
            items: info.items,
        };
        Self {
            backup: manifest.backup.to_string(),
            cluster: manifest.cluster.to_string(),
            made: coffer_core::rfc3339(manifest.made_ms),
            revision: manifest.revision,
            release: manifest.release.clone(),
            recipient: manifest.recipient.clone(),
            log: manifest.origin().to_owned(),
            log_size: manifest.log_size(),
            vkey: manifest.first_vkey.clone(),
            checkpoint: manifest.checkpoint.clone(),
            needs: manifest.needs.iter().map(needs).collect(),
            parts: manifest.parts.iter().map(part).collect(),
        }
    }
}

/// What opens a restored store, for people.
fn needs(needs: &Needs) -> String {
    match needs {
        Needs::Enclosed { id } => format!("the seal key {id}, which is in the backup"),
        Needs::KeyFile { id, path } => format!("the seal key file {path} (key id {id}), which is not in the backup"),
        Needs::Shares { threshold, shares } => format!("{threshold} of the {shares} shares of the seal"),
    }
}

/// The sentence about what a restore needs.
fn needed(manifest: &Manifest) -> String {
    let all: Vec<String> = manifest.needs.iter().map(needs).collect();
    format!("a restore needs {}", all.join(", or "))
}

/// What opens a backup, as asked for; `None` where nothing was.
fn identities(source: &Source, opener: &backup::Opener) -> Result<Option<Vec<Identity>>, Failure> {
    if let Some(path) = &opener.identity {
        let text = input::file_value(path)?;
        let identities = Identity::parse_file(text.expose());
        return identities.map(Some).map_err(|error| Failure::local(format!("{}: {error}", path.display())));
    }
    let Some(passphrase) = opener.passphrase()? else { return Ok(None) };
    Ok(Some(vec![identity_of(source, passphrase.expose()).map_err(failure)?]))
}

/// Shows on a terminal how much of it is read, where each part is read so many times.
fn watched(session: &Session, source: Source, doing: &str, times: u64) -> Source {
    let total = source.manifest().ok().map(|manifest| manifest.parts.iter().map(|part| part.len).sum::<u64>() * times);
    let progress = Mutex::new(session.output.progress(doing, total));
    source.watched(Arc::new(move |more| {
        if let Ok(mut progress) = progress.lock() {
            progress.add(more);
        }
    }))
}

/// The key to hold the log against.
fn vkey(against: &backup::Against) -> Result<Option<VerifierKey>, Failure> {
    let parsed = against.vkey.as_deref().map(VerifierKey::parse).transpose();
    parsed.map_err(|error| Failure::local(format!("--vkey: {error}")))
}

/// The text of the checkpoint to hold the log against.
fn since(against: &backup::Against) -> Result<Option<String>, Failure> {
    against.since.as_deref().map(|path| input::text_file(path, CHECKPOINT_LIMIT)).transpose()
}

fn failure(error: BackupError) -> Failure {
    match &error {
        BackupError::Damaged { .. } => {
            Failure::new(Exit::Integrity, error.to_string()).hint("nothing was changed; take another backup")
        }
        BackupError::Half(cause) => {
            let exit = match **cause {
                BackupError::Damaged { .. } => Exit::Integrity,
                BackupError::Half(_)
                | BackupError::Io { .. }
                | BackupError::NoMatch
                | BackupError::Refused(_)
                | BackupError::Store(_) => Exit::Local,
            };
            Failure::new(exit, chain(&error))
                .hint("no server starts on it: remove the new store and the new data folder, and restore again")
        }
        BackupError::NoMatch => {
            Failure::local(error.to_string()).hint("name the right key with --identity, or give the passphrase")
        }
        BackupError::Refused(_) => Failure::new(Exit::Conflict, error.to_string()),
        BackupError::Io { .. } | BackupError::Store(_) => Failure::local(chain(&error)),
    }
}

fn age_failure(error: age::Error) -> Failure {
    Failure::local(chain(&error))
}

const CHECKPOINT_LIMIT: usize = 128 << 10;
