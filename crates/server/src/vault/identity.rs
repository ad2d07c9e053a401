//! `identity/…`: entities, their aliases, internal groups.

use std::collections::BTreeMap;

use coffer_core::{AliasView, By, Deleted, EntityClue, EntityView, Error, GroupView, IdentityWrite, Upsert};
use serde::Serialize;

use super::{
    call::{Failure, Outcome, VaultCall, Verb, done},
    lenient::Fields,
};

/// Answers below `identity/`.
pub(crate) async fn answer(call: &mut VaultCall, rest: &str) -> Outcome {
    match (rest, call.verb) {
        ("entity", Verb::Write) => entity_write(call, None).await,
        ("group", Verb::Write) => group_write(call, None).await,
        ("entity-alias", Verb::Write) => alias_write(call).await,
        ("entity/batch-delete", Verb::Write) => {
            let params = call.params().await?;
            let fields = params.fields()?;
            let ids = fields.list("entity_ids")?.filter(|ids| !ids.is_empty());
            let ids = ids.ok_or_else(|| Failure::invalid("missing entity ids to delete"))?;
            call.caller.entities_delete(&call.path, &ids, &fields).await?;
            Ok(done())
        }
        ("lookup/entity", Verb::Write) => entity_lookup(call).await,
        ("lookup/group", Verb::Write) => group_lookup(call).await,
        ("entity/id/", Verb::List) => entity_list(call).await,
        ("entity-alias/id/", Verb::List) => alias_list(call).await,
        ("entity/name/", Verb::List) => {
            let page = call.page().await?;
            let names = call.caller.entity_list(&call.path, By::Name(&page.after), page.limit()).await?;
            call.keys(names)
        }
        ("group/id/", Verb::List) => group_list(call).await,
        ("group/name/", Verb::List) => {
            let groups = call.caller.group_list(&call.path).await?;
            let mut names: Vec<String> = groups.into_iter().map(|group| group.name).collect();
            names.sort_unstable();
            call.keys(names)
        }
        ("entity" | "group" | "entity-alias" | "entity/batch-delete" | "lookup/entity" | "lookup/group", _) => {
            Err(Failure::unsupported_operation())
        }
        _ => match (rest.strip_prefix("entity-alias/id/").filter(|id| !id.is_empty()), Named::parse(rest)) {
            (Some(id), _) => alias(call, id).await,
            (None, Some(named)) => one(call, named).await,
            (None, None) => Err(Failure::unsupported_path()),
        },
    }
}

/// One entity or group.
#[derive(Clone, Copy)]
struct Named<'a> {
    what: What,
    by: By<'a>,
}

#[derive(Clone, Copy)]
enum What {
    Entity,
    Group,
}

impl<'a> Named<'a> {
    fn parse(rest: &'a str) -> Option<Self> {
        let (what, rest) = match rest.split_once('/')? {
            ("entity", rest) => (What::Entity, rest),
            ("group", rest) => (What::Group, rest),
            _ => return None,
        };
        let by = match rest.split_once('/')? {
            (_, "") => return None,
            ("id", id) => By::Id(id),
            ("name", name) => By::Name(name),
            _ => return None,
        };
        Some(Self { what, by })
    }
}

async fn one(call: &mut VaultCall, named: Named<'_>) -> Outcome {
    match (named.what, call.verb) {
        (What::Entity, Verb::Read) => {
            let entity = call.caller.entity_read(&call.path, named.by).await?.ok_or_else(Error::not_found)?;
            Ok(call.data(&ShownEntity::of(&entity)))
        }
        (What::Group, Verb::Read) => {
            let group = call.caller.group_read(&call.path, named.by).await?.ok_or_else(Error::not_found)?;
            Ok(call.data(&ShownGroup::of(&group)))
        }
        (What::Entity, Verb::Write) => entity_write(call, Some(named.by)).await,
        (What::Group, Verb::Write) => group_write(call, Some(named.by)).await,
        (What::Entity, Verb::Delete) => {
            call.caller.identity_delete(&call.path, Deleted::Entity(named.by)).await?;
            Ok(done())
        }
        (What::Group, Verb::Delete) => {
            call.caller.identity_delete(&call.path, Deleted::Group(named.by)).await?;
            Ok(done())
        }
        (What::Entity | What::Group, Verb::List | Verb::Patch | Verb::Scan) => Err(Failure::unsupported_operation()),
    }
}

async fn entity_write(call: &mut VaultCall, by: Option<By<'_>>) -> Outcome {
    #[derive(Serialize)]
    struct Written<'a> {
        aliases: Option<Vec<ShownAlias<'a>>>,
        id: &'a str,
        name: &'a str,
    }
    let params = call.params().await?;
    let fields = params.fields()?;
    let write = wanted(&fields, by)?;
    let (entity, upsert) = call.caller.entity_write(&call.path, write, &fields).await?;
    if upsert == Upsert::Updated {
        return Ok(done());
    }
    let aliases: Vec<ShownAlias<'_>> = entity.aliases.iter().map(ShownAlias::of).collect();
    let aliases = Some(aliases).filter(|aliases| !aliases.is_empty());
    Ok(call.data(&Written { aliases, id: &entity.id, name: &entity.name }))
}

async fn group_write(call: &mut VaultCall, by: Option<By<'_>>) -> Outcome {
    #[derive(Serialize)]
    struct Written<'a> {
        id: &'a str,
        name: &'a str,
    }
    let params = call.params().await?;
    let fields = params.fields()?;
    match fields.text("type")?.as_ref().map(|kind| kind.as_str()) {
        None | Some("" | "internal") => {}
        Some(_) => return Err(Failure::invalid("only groups of type \"internal\" are supported")),
    }
    let write = wanted(&fields, by)?;
    let (group, upsert) = call.caller.group_write(&call.path, write, &fields).await?;
    if upsert == Upsert::Updated {
        return Ok(done());
    }
    Ok(call.data(&Written { id: &group.id, name: &group.name }))
}

async fn alias_write(call: &mut VaultCall) -> Outcome {
    #[derive(Serialize)]
    struct Written<'a> {
        canonical_id: &'a str,
        id: &'a str,
    }
    let params = call.params().await?;
    let fields = params.fields()?;
    let needed = |field: &'static str| match fields.text(field)?.filter(|text| !text.is_empty()) {
        Some(text) => Ok(text),
        None => Err(Failure::invalid(format!("missing {field}"))),
    };
    // The old spelling of `canonical_id` is `entity_id`.
    let canonical_id = match fields.text("canonical_id")?.filter(|text| !text.is_empty()) {
        Some(id) => id,
        None => needed("entity_id").map_err(|_| Failure::invalid("missing canonical_id"))?,
    };
    let (name, mount_accessor) = (needed("name")?, needed("mount_accessor")?);
    let custom = fields.map("custom_metadata")?;
    let alias = call.caller.alias_write(&call.path, &name, &canonical_id, &mount_accessor, custom, &fields).await?;
    Ok(call.data(&Written { canonical_id: &alias.canonical_id, id: &alias.id }))
}

async fn alias(call: &mut VaultCall, id: &str) -> Outcome {
    match call.verb {
        Verb::Read => {
            #[derive(Serialize)]
            struct Read<'a> {
                #[serde(flatten)]
                alias: ShownAlias<'a>,
                namespace_id: &'static str,
            }
            let alias = call.caller.alias_read(&call.path, id).await?.ok_or_else(Error::not_found)?;
            Ok(call.data(&Read { alias: ShownAlias::of(&alias), namespace_id: "root" }))
        }
        Verb::Delete => {
            call.caller.alias_delete(&call.path, id).await?;
            Ok(done())
        }
        Verb::List | Verb::Patch | Verb::Scan | Verb::Write => Err(Failure::unsupported_operation()),
    }
}

async fn entity_lookup(call: &mut VaultCall) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let given = |field: &'static str| -> Result<_, Failure> { Ok(fields.text(field)?.filter(|text| !text.is_empty())) };
    let (id, name, alias_id) = (given("id")?, given("name")?, given("alias_id")?);
    let (alias_name, accessor) = (given("alias_name")?, given("alias_mount_accessor")?);
    let clue = match (&id, &name, &alias_id, &alias_name, &accessor) {
        (Some(id), None, None, None, None) => EntityClue::Own(By::Id(id)),
        (None, Some(name), None, None, None) => EntityClue::Own(By::Name(name)),
        (None, None, Some(id), None, None) => EntityClue::AliasId(id),
        (None, None, None, Some(name), Some(mount_accessor)) => EntityClue::Alias { name, mount_accessor },
        (None, None, None, None, None) => return Err(Failure::invalid(NO_QUERY)),
        (None, None, None, _, _) => {
            return Err(Failure::invalid("both 'alias_name' and 'alias_mount_accessor' needs to be set"));
        }
        _ => return Err(Failure::invalid(TWO_QUERIES)),
    };
    let found = call.caller.entity_lookup(&call.path, clue, &fields).await?;
    Ok(found.map_or_else(done, |entity| call.data(&ShownEntity::of(&entity))))
}

async fn group_lookup(call: &mut VaultCall) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let given = |field: &'static str| -> Result<_, Failure> { Ok(fields.text(field)?.filter(|text| !text.is_empty())) };
    let (id, name) = (given("id")?, given("name")?);
    let by = match (&id, &name) {
        (Some(id), None) => By::Id(id),
        (None, Some(name)) => By::Name(name),
        (None, None) => return Err(Failure::invalid(NO_QUERY)),
        (Some(_), Some(_)) => return Err(Failure::invalid(TWO_QUERIES)),
    };
    let found = call.caller.group_lookup(&call.path, by, &fields).await?;
    Ok(found.map_or_else(done, |group| call.data(&ShownGroup::of(&group))))
}

async fn entity_list(call: &mut VaultCall) -> Outcome {
    #[derive(Serialize)]
    struct Info<'a> {
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
    let entities = call.caller.entity_views(&call.path, &page.after, page.limit()).await?;
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

async fn alias_list(call: &mut VaultCall) -> Outcome {
    #[derive(Serialize)]
    struct Info<'a> {
        canonical_id: &'a str,
        custom_metadata: &'a BTreeMap<String, String>,
        local: bool,
        metadata: Option<&'a BTreeMap<String, String>>,
        mount_accessor: &'a str,
        mount_path: &'a str,
        mount_type: &'a str,
        name: &'a str,
    }
    let page = call.page().await?;
    let aliases = call.caller.alias_list(&call.path, &page.after, page.limit()).await?;
    let info = |alias: &'_ AliasView| {
        serde_json::to_value(Info {
            canonical_id: &alias.canonical_id,
            custom_metadata: &alias.custom_metadata,
            local: false,
            metadata: None,
            mount_accessor: &alias.mount_accessor,
            mount_path: &alias.mount_path,
            mount_type: &alias.mount_type,
            name: &alias.name,
        })
    };
    listed(call, aliases.iter().map(|alias| (alias.id.as_str(), info(alias))))
}

/// A reply of ids and what is told of each; absent where there are none.
fn listed<'a>(
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

async fn group_list(call: &mut VaultCall) -> Outcome {
    #[derive(Serialize)]
    struct Listed<'a> {
        key_info: BTreeMap<&'a str, Info<'a>>,
        keys: Vec<&'a str>,
    }
    #[derive(Serialize)]
    struct Info<'a> {
        name: &'a str,
        num_member_entities: usize,
        num_parent_groups: usize,
    }
    let groups = call.caller.group_list(&call.path).await?;
    if groups.is_empty() {
        return Err(Failure::Recorded(Error::not_found()));
    }
    let info = groups.iter().map(|group| {
        let parents = groups.iter().filter(|other| other.member_group_ids.contains(&group.id)).count();
        let info =
            Info { name: &group.name, num_member_entities: group.member_entity_ids.len(), num_parent_groups: parents };
        (group.id.as_str(), info)
    });
    let keys = groups.iter().map(|group| group.id.as_str()).collect();
    Ok(call.data(&Listed { key_info: info.collect(), keys }))
}

/// What a write sets; the path names the one that is meant, else the body does.
fn wanted(fields: &Fields<'_>, by: Option<By<'_>>) -> Result<IdentityWrite, Failure> {
    let text = |field: &'static str| -> Result<Option<String>, Failure> {
        Ok(fields.text(field)?.filter(|text| !text.is_empty()).map(|text| text.to_string()))
    };
    let (id, name) = match by {
        Some(By::Id(id)) => (Some(id.to_owned()), text("name")?),
        Some(By::Name(name)) => (None, Some(name.to_owned())),
        None => (text("id")?, text("name")?),
    };
    Ok(IdentityWrite {
        id,
        name,
        metadata: fields.map("metadata")?,
        policies: fields.list("policies")?,
        disabled: fields.boolean("disabled")?,
        member_entity_ids: fields.list("member_entity_ids")?,
        member_group_ids: fields.list("member_group_ids")?,
    })
}

#[derive(Serialize)]
struct ShownEntity<'a> {
    aliases: Vec<ShownAlias<'a>>,
    creation_time: &'a str,
    direct_group_ids: &'a [String],
    disabled: bool,
    group_ids: Vec<&'a str>,
    id: &'a str,
    inherited_group_ids: &'a [String],
    last_update_time: &'a str,
    merged_entity_ids: Option<()>,
    metadata: Option<&'a BTreeMap<String, String>>,
    name: &'a str,
    namespace_id: &'static str,
    policies: &'a [String],
}

impl<'a> ShownEntity<'a> {
    fn of(entity: &'a EntityView) -> Self {
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
            merged_entity_ids: None,
            metadata: Some(&entity.metadata).filter(|metadata| !metadata.is_empty()),
            name: &entity.name,
            namespace_id: "root",
            policies: &entity.policies,
        }
    }
}

#[derive(Serialize)]
struct ShownAlias<'a> {
    canonical_id: &'a str,
    creation_time: &'a str,
    custom_metadata: &'a BTreeMap<String, String>,
    id: &'a str,
    last_update_time: &'a str,
    local: bool,
    merged_from_canonical_ids: Option<()>,
    metadata: Option<()>,
    mount_accessor: &'a str,
    mount_path: &'a str,
    mount_type: &'a str,
    name: &'a str,
}

impl<'a> ShownAlias<'a> {
    fn of(alias: &'a AliasView) -> Self {
        Self {
            canonical_id: &alias.canonical_id,
            creation_time: &alias.creation_time,
            custom_metadata: &alias.custom_metadata,
            id: &alias.id,
            last_update_time: &alias.last_update_time,
            local: false,
            merged_from_canonical_ids: None,
            metadata: None,
            mount_accessor: &alias.mount_accessor,
            mount_path: &alias.mount_path,
            mount_type: &alias.mount_type,
            name: &alias.name,
        }
    }
}

#[derive(Serialize)]
struct ShownGroup<'a> {
    alias: BTreeMap<&'a str, &'a str>,
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
    fn of(group: &'a GroupView) -> Self {
        Self {
            alias: BTreeMap::new(),
            creation_time: &group.creation_time,
            id: &group.id,
            last_update_time: &group.last_update_time,
            member_entity_ids: any(&group.member_entity_ids),
            member_group_ids: any(&group.member_group_ids),
            metadata: Some(&group.metadata).filter(|metadata| !metadata.is_empty()),
            modify_index: group.modify_index,
            name: &group.name,
            namespace_id: "root",
            parent_group_ids: any(&group.parent_group_ids),
            policies: any(&group.policies),
            kind: "internal",
        }
    }
}

/// Groups show an empty list as `null`.
fn any(list: &[String]) -> Option<&[String]> {
    Some(list).filter(|list| !list.is_empty())
}

const NO_QUERY: &str = "query parameter not supplied";
const TWO_QUERIES: &str = "query parameter conflict; please supply distinct set of query parameters";
