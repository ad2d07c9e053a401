//! Entities, aliases and groups as replies show them.

use std::collections::BTreeMap;

use coffer_core::{AliasView, EntityView, GroupKind, GroupView};
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct ShownEntity<'a> {
    aliases: Vec<ShownAlias<'a>>,
    creation_time: &'a str,
    direct_group_ids: &'a [String],
    disabled: bool,
    group_ids: Vec<&'a str>,
    id: &'a str,
    inherited_group_ids: &'a [String],
    last_update_time: &'a str,
    merged_entity_ids: Option<&'a [String]>,
    metadata: Option<&'a BTreeMap<String, String>>,
    name: &'a str,
    namespace_id: &'static str,
    policies: &'a [String],
}

impl<'a> ShownEntity<'a> {
    pub(super) fn of(entity: &'a EntityView) -> Self {
        let groups = entity.direct_group_ids.iter().chain(&entity.inherited_group_ids);
        Self {
            aliases: entity.aliases.iter().map(ShownAlias::of).collect(),
            creation_time: &entity.creation_time,
            direct_group_ids: &entity.direct_group_ids,
            disabled: entity.disabled,
            group_ids: groups.map(String::as_str).collect(),
            id: &entity.id,
            inherited_group_ids: &entity.inherited_group_ids,
            last_update_time: &entity.last_update_time,
            merged_entity_ids: any(&entity.merged_entity_ids),
            metadata: entity.metadata.as_ref(),
            name: &entity.name,
            namespace_id: "root",
            policies: &entity.policies,
        }
    }
}

#[derive(Serialize)]
pub(super) struct ShownAlias<'a> {
    canonical_id: &'a str,
    creation_time: &'a str,
    custom_metadata: Option<&'a BTreeMap<String, String>>,
    id: &'a str,
    last_update_time: &'a str,
    local: bool,
    merged_from_canonical_ids: Option<&'a [String]>,
    metadata: Option<&'a BTreeMap<String, String>>,
    mount_accessor: &'a str,
    mount_path: &'a str,
    mount_type: &'a str,
    name: &'a str,
}

impl<'a> ShownAlias<'a> {
    pub(super) fn of(alias: &'a AliasView) -> Self {
        Self {
            canonical_id: &alias.canonical_id,
            creation_time: &alias.creation_time,
            custom_metadata: alias.custom_metadata.as_ref(),
            id: &alias.id,
            last_update_time: &alias.last_update_time,
            local: false,
            merged_from_canonical_ids: any(&alias.merged_from_canonical_ids),
            metadata: Some(&alias.metadata).filter(|metadata| !metadata.is_empty()),
            mount_accessor: &alias.mount_accessor,
            mount_path: &alias.mount_path,
            mount_type: &alias.mount_type,
            name: &alias.name,
        }
    }
}

#[derive(Serialize)]
pub(super) struct ShownGroup<'a> {
    alias: GroupAlias<'a>,
    creation_time: &'a str,
    id: &'a str,
    last_update_time: &'a str,
    member_entity_ids: Option<&'a [String]>,
    member_group_ids: Option<&'a [String]>,
    metadata: Option<&'a BTreeMap<String, String>>,
    modify_index: u64,
    name: &'a str,
    namespace_id: &'static str,
    parent_group_ids: Option<&'a [String]>,
    policies: Option<&'a [String]>,
    #[serde(rename = "type")]
    kind: &'static str,
}

impl<'a> ShownGroup<'a> {
    pub(super) fn of(group: &'a GroupView) -> Self {
        Self {
            alias: group.alias.as_ref().map_or(GroupAlias::None {}, GroupAlias::of),
            creation_time: &group.creation_time,
            id: &group.id,
            last_update_time: &group.last_update_time,
            member_entity_ids: group.member_entity_ids.as_deref(),
            member_group_ids: any(&group.member_group_ids),
            metadata: group.metadata.as_ref(),
            modify_index: group.modify_index,
            name: &group.name,
            namespace_id: "root",
            parent_group_ids: any(&group.parent_group_ids),
            policies: group.policies.as_deref(),
            kind: match group.kind {
                GroupKind::External => "external",
                GroupKind::Internal => "internal",
            },
        }
    }
}

/// What a group shows of its alias: less than the alias itself.
#[derive(Serialize)]
#[serde(untagged)]
enum GroupAlias<'a> {
    None {},
    Some {
        canonical_id: &'a str,
        creation_time: &'a str,
        id: &'a str,
        last_update_time: &'a str,
        merged_from_canonical_ids: Option<()>,
        metadata: Option<()>,
        mount_accessor: &'a str,
        mount_path: &'a str,
        mount_type: &'a str,
        name: &'a str,
    },
}

impl<'a> GroupAlias<'a> {
    fn of(alias: &'a AliasView) -> Self {
        Self::Some {
            canonical_id: &alias.canonical_id,
            creation_time: &alias.creation_time,
            id: &alias.id,
            last_update_time: &alias.last_update_time,
            merged_from_canonical_ids: None,
            metadata: None,
            mount_accessor: &alias.mount_accessor,
            mount_path: &alias.mount_path,
            mount_type: &alias.mount_type,
            name: &alias.name,
        }
    }
}

/// An empty list of these is shown as `null`.
fn any(list: &[String]) -> Option<&[String]> {
    Some(list).filter(|list| !list.is_empty())
}
