//! `coffer backup list`.

use coffer_core::backup::{Kept, Part, list};
use serde::Serialize;

use super::{Shown, failure};
use crate::{cmd::backup::List, failure::Failure, output::Table, session::Session};

#[derive(Serialize)]
struct Listed {
    path: String,
    object_keys: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    damaged: Option<String>,
    #[serde(flatten)]
    backup: Option<Shown>,
}

/// Runs the command.
///
/// # Errors
/// Where the folder cannot be read.
pub(crate) fn run(session: &Session, arguments: &List) -> Result<(), Failure> {
    let kept = list(&arguments.dir).map_err(failure)?;
    let listed: Vec<Listed> = kept.iter().map(listed).collect();
    session.output.show(&listed, |listed| {
        let mut table = Table::new(&["NAME", "MADE", "REVISION", "BYTES", "OBJECT KEYS"]);
        for (one, kept) in listed.iter().zip(&kept) {
            let name = kept.path.file_name().unwrap_or_default().display().to_string();
            table.row(match &one.backup {
                Some(backup) => {
                    let is_there = |part: &&super::ShownPart| one.object_keys || part.part != Part::ObjectKeys.name();
                    let bytes: u64 = backup.parts.iter().filter(is_there).map(|part| part.bytes).sum();
                    let object_keys = if one.object_keys { "there" } else { "removed" };
                    [name, backup.made.clone(), backup.revision.to_string(), bytes.to_string(), object_keys.to_owned()]
                }
                None => {
                    let damaged = one.damaged.clone().unwrap_or_default();
                    [name, damaged, String::new(), String::new(), String::new()]
                }
            });
        }
        table
    })
}

fn listed(kept: &Kept) -> Listed {
    Listed {
        path: kept.path.display().to_string(),
        object_keys: kept.object_keys,
        damaged: kept.manifest.as_ref().err().map(ToString::to_string),
        backup: kept.manifest.as_ref().ok().map(Shown::of),
    }
}
