//! What leaves the server: `export`, `byok-export`, `backup`, and what comes back with `restore`.

use std::collections::BTreeMap;

use coffer_api::Code;
use coffer_core::{Error, Existing, ExportFormat, ExportKind, Exported, Mount, VersionChoice};
use serde::Serialize;

use super::{
    super::call::{Failure, Outcome, VaultCall, done},
    fault,
    kind::type_name,
    reply::{self, ROOM, room},
    sign::shown,
};

/// `export/:kind/:name` and `export/:kind/:name/:version`.
pub(super) async fn export(call: &mut VaultCall, mount: &Mount, kind: &str, name: &str, version: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let kind =
        ExportKind::parse(kind).ok_or_else(|| Failure::invalid(format!("invalid export type: {}", shown(kind))))?;
    let format = fields.text("format")?;
    let format = format.as_ref().map_or("", |name| name.as_str());
    let format =
        ExportFormat::parse(format).ok_or_else(|| Failure::invalid(format!("invalid format: {}", shown(format))))?;
    let exported = call.caller.key_export(mount, kind, name, choice(version)?, format).await;
    match exported {
        Ok(exported) => Ok(answer(call, &exported)),
        Err(error) if error.code() == Code::NotFound => Err(Failure::Recorded(Error::not_found())),
        Err(error) => Err(fault::in_transits_words(&call.caller, mount, name, error).await),
    }
}

/// `byok-export/:destination/:source` and with a version.
pub(super) async fn byok(call: &mut VaultCall, mount: &Mount, wrapping: &str, name: &str, version: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let hash = fields.text("hash")?;
    let hash = super::import::hash_function(hash.as_ref().map_or("", |name| name.as_str()))?;
    let exported = call.caller.key_wrap(mount, wrapping, name, choice(version)?, hash).await;
    let exported = exported.map_err(|error| match error.code() {
        Code::NotFound => Failure::Recorded(Error::invalid("no such key for export")),
        _ => Failure::Recorded(error),
    })?;
    Ok(answer(call, &exported))
}

/// `backup/:name`.
pub(super) async fn backup(call: &mut VaultCall, mount: &Mount, name: &str) -> Outcome {
    #[derive(Serialize)]
    struct Shown<'a> {
        backup: &'a str,
    }
    let backup = call.caller.key_backup(mount, name).await.map_err(|error| not_found(error, name))?;
    let text = backup.expose();
    Ok(reply::answer(call, text.len() + ROOM, &Shown { backup: text }))
}

/// `restore` and `restore/:name`.
pub(super) async fn restore(call: &mut VaultCall, mount: &Mount, name: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let backup = fields.text("backup")?.filter(|text| !text.is_empty());
    let backup = backup.ok_or_else(|| Failure::invalid("'backup' must be supplied"))?;
    if name.contains('/') {
        return Err(Failure::invalid("key names cannot be paths"));
    }
    if !name.is_empty() && !super::is_name(name) {
        return Err(Failure::invalid("the name of a key has letters, digits and _, and - and . within"));
    }
    let existing = if fields.boolean("force")?.unwrap_or_default() { Existing::Replace } else { Existing::Keep };
    let name = Some(name).filter(|name| !name.is_empty());
    call.caller.key_restore(mount, name, &backup, existing, &fields).await?;
    Ok(done())
}

/// A key that is not there, in the words of its backup.
fn not_found(error: Error, name: &str) -> Failure {
    match error.code() {
        Code::NotFound => Failure::Recorded(Error::invalid(format!("key {name:?} not found"))),
        _ => Failure::Recorded(error),
    }
}

/// Which versions.
fn choice(version: &str) -> Result<VersionChoice, Failure> {
    match version {
        "" => Ok(VersionChoice::All),
        "latest" => Ok(VersionChoice::Latest),
        number => match number.parse::<i64>() {
            Ok(number) => Ok(VersionChoice::Number(u32::try_from(number.max(0)).unwrap_or(u32::MAX))),
            Err(_) => Err(Failure::invalid("invalid key version")),
        },
    }
}

fn answer(call: &VaultCall, exported: &Exported) -> axum::response::Response {
    #[derive(Serialize)]
    struct Shown<'a> {
        keys: BTreeMap<u32, &'a str>,
        name: &'a str,
        #[serde(rename = "type")]
        kind: &'a str,
    }
    let shown = Shown {
        keys: exported.keys.iter().map(|(version, text)| (*version, text.as_str())).collect(),
        name: &exported.name,
        kind: type_name(exported.algorithm),
    };
    // A line break of a PEM text becomes two bytes.
    let size = exported.keys.iter().map(|(_, text)| text.len() * 2 + ROOM).sum::<usize>() + room(&exported.name);
    reply::answer(call, size, &shown)
}
