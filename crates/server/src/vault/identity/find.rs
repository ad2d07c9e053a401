//! `identity/lookup/…`, and lists by id.

use std::collections::BTreeMap;

use coffer_core::{By, EntityView, Error, GroupBrief, IdentityClue};
use serde::Serialize;

use super::{
    given,
    shown::{ShownEntity, ShownGroup},
};
use crate::vault::{
    call::{Failure, Outcome, VaultCall, done},
    lenient::Fields,
};

pub(super) async fn entity_lookup(call: &mut VaultCall) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let asked = Asked::of(&fields)?;
    let found = call.caller.entity_lookup(&call.path, asked.clue()?, &fields).await?;
    Ok(found.map_or_else(done, |entity| call.data(&ShownEntity::of(&entity))))
}

pub(super) async fn group_lookup(call: &mut VaultCall) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let asked = Asked::of(&fields)?;
    let found = call.caller.group_lookup(&call.path, asked.clue()?, &fields).await?;
    Ok(found.map_or_else(done, |group| call.data(&ShownGroup::of(&group))))
}

/// The clues that a lookup was sent.
struct Asked {
    id: Option<String>,
    name: Option<String>,
    alias_id: Option<String>,
    alias_name: Option<String>,
    alias_mount_accessor: Option<String>,
}

impl Asked {
    fn of(fields: &Fields<'_>) -> Result<Self, Failure> {
        Ok(Self {
            id: given(fields, "id")?,
            name: given(fields, "name")?,
            alias_id: given(fields, "alias_id")?,
            alias_name: given(fields, "alias_name")?,
            alias_mount_accessor: given(fields, "alias_mount_accessor")?,
        })
    }

    /// The one clue among them.
    fn clue(&self) -> Result<IdentityClue<'_>, Failure> {
        match (&self.id, &self.name, &self.alias_id, &self.alias_name, &self.alias_mount_accessor) {
            (Some(id), None, None, None, None) => Ok(IdentityClue::Own(By::Id(id))),
            (None, Some(name), None, None, None) => Ok(IdentityClue::Own(By::Name(name))),
            (None, None, Some(id), None, None) => Ok(IdentityClue::AliasId(id)),
            (None, None, None, Some(name), Some(mount_accessor)) => Ok(IdentityClue::Alias { name, mount_accessor }),
            (None, None, None, None, None) => Err(Failure::invalid(NO_QUERY)),
            (None, None, None, _, _) => {
                Err(Failure::invalid("both 'alias_name' and 'alias_mount_accessor' needs to be set"))
            }
            _ => Err(Failure::invalid(TWO_QUERIES)),
        }
    }
}

pub(super) async fn entity_list(call: &mut VaultCall) -> Outcome {
    #[derive(Serialize)]
    struct Info<'a> {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        aliases: Vec<AliasInfo<'a>>,
        name: &'a str,
    }
    #[derive(Serialize)]
    struct AliasInfo<'a> {
        id: &'a str,
        mount_accessor: &'a str,
        mount_path: &'a str,
        mount_type: &'a str,
        name: &'a str,
    }
    let page = call.page().await?;
    let entities = call.caller.entity_views(&call.path, page.part()).await?;
    let info = |entity: &'_ EntityView| {
        let aliases = entity.aliases.iter().map(|alias| AliasInfo {
            id: &alias.id,
            mount_accessor: &alias.mount_accessor,
            mount_path: &alias.mount_path,
            mount_type: &alias.mount_type,
            name: &alias.name,
        });
        serde_json::to_value(Info { aliases: aliases.collect(), name: &entity.name })
    };
    listed(call, entities.iter().map(|entity| (entity.id.as_str(), info(entity))))
}

/// A reply of ids and what is told of each; absent where there are none.
pub(super) fn listed<'a>(
    call: &VaultCall,
    items: impl Iterator<Item = (&'a str, Result<serde_json::Value, serde_json::Error>)>,
) -> Outcome {
    #[derive(Serialize)]
    struct Listed<'a> {
        key_info: BTreeMap<&'a str, serde_json::Value>,
        keys: Vec<&'a str>,
    }
    let key_info: BTreeMap<&str, serde_json::Value> = items.filter_map(|(id, info)| Some((id, info.ok()?))).collect();
    if key_info.is_empty() {
        return Err(Failure::Recorded(Error::not_found()));
    }
    let keys = key_info.keys().copied().collect();
    Ok(call.data(&Listed { key_info, keys }))
}

pub(super) async fn group_list(call: &mut VaultCall) -> Outcome {
    #[derive(Serialize)]
    struct Info<'a> {
        name: &'a str,
        num_member_entities: usize,
        num_parent_groups: usize,
    }
    let page = call.page().await?;
    let groups = call.caller.group_list(&call.path, page.part()).await?;
    let info = |group: &'_ GroupBrief| {
        serde_json::to_value(Info {
            name: &group.name,
            num_member_entities: group.member_entities,
            num_parent_groups: group.parent_groups,
        })
    };
    listed(call, groups.iter().map(|group| (group.id.as_str(), info(group))))
}

const NO_QUERY: &str = "query parameter not supplied";
const TWO_QUERIES: &str = "query parameter conflict; please supply distinct set of query parameters";
