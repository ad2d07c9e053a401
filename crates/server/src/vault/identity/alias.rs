//! `identity/entity-alias…` and `identity/group-alias…`.

use std::collections::BTreeMap;

use coffer_core::{AliasView, AliasWrite, Error};
use serde::Serialize;

use super::{find::listed, given, shown::ShownAlias};
use crate::vault::call::{Failure, Outcome, VaultCall, Verb, done};

/// Whose aliases.
#[derive(Clone, Copy)]
pub(super) enum Of {
    Entities,
    Groups,
}

/// Answers below `identity/entity-alias` and `identity/group-alias`, `rest` being what follows.
pub(super) async fn answer(call: &mut VaultCall, of: Of, rest: &str) -> Outcome {
    match (rest, call.verb) {
        ("", Verb::Write) => write(call, of, None).await,
        ("/id/", Verb::List) => list(call, of).await,
        ("" | "/id/", Verb::Delete | Verb::Patch | Verb::Read | Verb::Scan | Verb::Write) | ("", Verb::List) => {
            Err(Failure::unsupported_operation())
        }
        _ => match (rest.strip_prefix("/id/"), call.verb) {
            (Some(id), Verb::Read) => read(call, of, id).await,
            (Some(id), Verb::Write) => write(call, of, Some(id)).await,
            (Some(id), Verb::Delete) => {
                match of {
                    Of::Entities => call.caller.alias_delete(&call.path, id).await?,
                    Of::Groups => call.caller.group_alias_delete(&call.path, id).await?,
                }
                Ok(done())
            }
            (Some(_), Verb::List | Verb::Patch | Verb::Scan) => Err(Failure::unsupported_operation()),
            (None, _) => Err(Failure::unsupported_path()),
        },
    }
}

async fn write(call: &mut VaultCall, of: Of, id: Option<&str>) -> Outcome {
    #[derive(Serialize)]
    struct Written<'a> {
        canonical_id: &'a str,
        id: &'a str,
    }
    let params = call.params().await?;
    let fields = params.fields()?;
    // The old spelling of `canonical_id` is `entity_id`.
    let canonical_id = match (given(&fields, "canonical_id")?, of) {
        (None, Of::Entities) => given(&fields, "entity_id")?,
        (canonical_id, Of::Entities | Of::Groups) => canonical_id,
    };
    let write = AliasWrite {
        id: id.map_or_else(|| given(&fields, "id"), |id| Ok(Some(id.to_owned())))?,
        name: given(&fields, "name")?,
        mount_accessor: given(&fields, "mount_accessor")?,
        canonical_id,
        custom_metadata: match of {
            Of::Entities => fields.map("custom_metadata")?,
            Of::Groups => None,
        },
    };
    let alias = match of {
        Of::Entities => call.caller.alias_write(&call.path, write, &fields).await?,
        Of::Groups => call.caller.group_alias_write(&call.path, &write, &fields).await?,
    };
    Ok(alias.map_or_else(done, |alias| call.data(&Written { canonical_id: &alias.canonical_id, id: &alias.id })))
}

async fn read(call: &mut VaultCall, of: Of, id: &str) -> Outcome {
    #[derive(Serialize)]
    struct Read<'a> {
        #[serde(flatten)]
        alias: ShownAlias<'a>,
        namespace_id: &'static str,
    }
    let alias = match of {
        Of::Entities => call.caller.alias_read(&call.path, id).await?,
        Of::Groups => call.caller.group_alias_read(&call.path, id).await?,
    };
    let alias = alias.ok_or_else(Error::not_found)?;
    Ok(call.data(&Read { alias: ShownAlias::of(&alias), namespace_id: "root" }))
}

async fn list(call: &mut VaultCall, of: Of) -> Outcome {
    let page = call.page().await?;
    let aliases = match of {
        Of::Entities => call.caller.alias_list(&call.path, page.part()).await?,
        Of::Groups => call.caller.group_alias_list(&call.path, page.part()).await?,
    };
    alias_list(call, &aliases)
}

/// Aliases by their ids.
fn alias_list(call: &VaultCall, aliases: &[AliasView]) -> Outcome {
    #[derive(Serialize)]
    struct Info<'a> {
        canonical_id: &'a str,
        custom_metadata: Option<&'a BTreeMap<String, String>>,
        local: bool,
        metadata: Option<&'a BTreeMap<String, String>>,
        mount_accessor: &'a str,
        mount_path: &'a str,
        mount_type: &'a str,
        name: &'a str,
    }
    let info = |alias: &'_ AliasView| {
        serde_json::to_value(Info {
            canonical_id: &alias.canonical_id,
            custom_metadata: alias.custom_metadata.as_ref(),
            local: false,
            metadata: Some(&alias.metadata).filter(|metadata| !metadata.is_empty()),
            mount_accessor: &alias.mount_accessor,
            mount_path: &alias.mount_path,
            mount_type: &alias.mount_type,
            name: &alias.name,
        })
    };
    listed(call, aliases.iter().map(|alias| (alias.id.as_str(), info(alias))))
}
