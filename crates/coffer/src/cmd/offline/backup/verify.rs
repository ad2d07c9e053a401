//! `coffer backup verify`.

use coffer_core::{
    age::Opener,
    backup::{
        Source,
        verify::{Against, Depth, Presence, verify},
    },
};
use serde::Serialize;

use super::{Shown, failure, identities, needed, since, vkey, watched};
use crate::{
    cmd::backup::Verify,
    failure::{Exit, Failure},
    session::Session,
};

#[derive(Serialize)]
struct Verified {
    opened: bool,
    object_keys: bool,
    #[serde(flatten)]
    backup: Shown,
}

/// Runs the command.
///
/// # Errors
/// Exit 8 where the backup is damaged, 5 where it is too old or was not opened, 1 where it cannot be read.
pub(crate) fn run(session: &Session, arguments: &Verify) -> Result<(), Failure> {
    let source = Source::open(&arguments.backup).map_err(failure)?;
    let identities = identities(&source, &arguments.opener)?;
    let (vkey, since) = (vkey(&arguments.against)?, since(&arguments.against)?);
    let against = Against { vkey: vkey.as_ref(), since: since.as_deref() };
    let opener = identities.as_deref().map(Opener::Identities);
    // Digests first, and then what is in the parts.
    let source = watched(session, source, "verifying", if opener.is_some() { 2 } else { 1 });
    let found = verify(&source, opener, against).map_err(failure)?;
    drop(source);
    let shown = Verified {
        opened: found.depth == Depth::Whole,
        object_keys: found.object_keys == Presence::There,
        backup: Shown::of(&found.manifest),
    };
    session.output.show_lines(&shown, text)?;
    session.output.note(needed(&found.manifest));
    if found.object_keys == Presence::Missing {
        session.output.note("the object keys were removed: keys and shredded secrets need those of a later backup");
    }
    if vkey.is_none() {
        session.output.note("the backup vouches for itself; --vkey holds it against a key kept elsewhere");
    }
    match found.depth {
        Depth::Whole => Ok(()),
        Depth::Digests => {
            Err(Failure::new(Exit::Conflict, "nothing is wrong with the digests, but the backup was not opened")
                .hint("add --identity FILE, or --passphrase, to check every row and the log"))
        }
    }
}

fn text(verified: &Verified) -> String {
    let Shown { made, revision, log, log_size, parts, .. } = &verified.backup;
    let mut text = format!("backup of {made}, revision {revision}, log {log} with {log_size} entries\n");
    for part in parts {
        let state = match (verified.opened, verified.object_keys || part.part != "object-keys") {
            (_, false) => "removed",
            (true, true) => "whole",
            (false, true) => "digest as it should be",
        };
        text.push_str(&format!("  {}: {} items, {} bytes, {state}\n", part.part, part.items, part.bytes));
    }
    text
}
