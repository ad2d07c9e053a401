//! `identity/…`: entities, groups, and their aliases.

mod alias;
mod find;
mod shown;

use coffer_core::{By, Deleted, EntityMerge, Error, GroupKind, IdentityWrite, Upsert};
use serde::Serialize;

use self::{
    alias::Of,
    shown::{ShownAlias, ShownEntity, ShownGroup},
};
use super::{
    call::{Failure, Outcome, VaultCall, Verb, done},
    lenient::Fields,
};

/// Answers below `identity/`.
pub(crate) async fn answer(call: &mut VaultCall, rest: &str) -> Outcome {
    match (rest, call.verb) {
        ("entity", Verb::Write) => entity_write(call, None).await,
        ("group", Verb::Write) => group_write(call, None).await,
        ("entity/merge", Verb::Write) => entity_merge(call).await,
        ("entity/batch-delete", Verb::Write) => {
            let params = call.params().await?;
            let fields = params.fields()?;
            let ids = fields.list("entity_ids")?.filter(|ids| !ids.is_empty());
            let ids = ids.ok_or_else(|| Failure::invalid("missing entity ids to delete"))?;
            call.caller.entities_delete(&call.path, &ids, &fields).await?;
            Ok(done())
        }
        ("lookup/entity", Verb::Write) => find::entity_lookup(call).await,
        ("lookup/group", Verb::Write) => find::group_lookup(call).await,
        ("entity/id/", Verb::List) => find::entity_list(call).await,
        ("entity/name/", Verb::List) => {
            let page = call.page().await?;
            let names = call.caller.entity_names(&call.path, page.part()).await?;
            call.keys(names)
        }
        ("group/id/", Verb::List) => find::group_list(call).await,
        ("group/name/", Verb::List) => {
            let page = call.page().await?;
            let names = call.caller.group_names(&call.path, page.part()).await?;
            call.keys(names)
        }
        (
            "entity" | "group" | "entity/batch-delete" | "entity/merge" | "lookup/entity" | "lookup/group",
            Verb::Delete | Verb::List | Verb::Patch | Verb::Read | Verb::Scan,
        ) => Err(Failure::unsupported_operation()),
        _ => match (rest.strip_prefix("entity-alias"), rest.strip_prefix("group-alias"), Named::parse(rest)) {
            (Some(rest), _, _) => alias::answer(call, Of::Entities, rest).await,
            (None, Some(rest), _) => alias::answer(call, Of::Groups, rest).await,
            (None, None, Some(named)) => one(call, named).await,
            (None, None, None) => Err(Failure::unsupported_path()),
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

async fn entity_merge(call: &mut VaultCall) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let to = given(&fields, "to_entity_id")?.ok_or_else(|| Failure::invalid("missing entity id to merge to"))?;
    let from = fields.list("from_entity_ids")?.filter(|ids| !ids.is_empty());
    let from = from.ok_or_else(|| Failure::invalid("missing entity ids to merge from"))?;
    // It is about second factors, which there are none of.
    fields.boolean("force")?;
    let keep = fields.list("conflicting_alias_ids_to_keep")?.unwrap_or_default();
    call.caller.entity_merge(&call.path, &EntityMerge { to, from, keep }, &fields).await?;
    Ok(done())
}

async fn group_write(call: &mut VaultCall, by: Option<By<'_>>) -> Outcome {
    #[derive(Serialize)]
    struct Written<'a> {
        id: &'a str,
        name: &'a str,
    }
    let params = call.params().await?;
    let fields = params.fields()?;
    let kind = match given(&fields, "type")?.as_deref() {
        None => None,
        Some("internal") => Some(GroupKind::Internal),
        Some("external") => Some(GroupKind::External),
        Some(kind) => {
            let kind: String = kind.chars().take(100).collect();
            return Err(Failure::invalid(format!("invalid group type {kind:?}")));
        }
    };
    let write = IdentityWrite { kind, ..wanted(&fields, by)? };
    let (group, upsert) = call.caller.group_write(&call.path, write, &fields).await?;
    if upsert == Upsert::Updated {
        return Ok(done());
    }
    Ok(call.data(&Written { id: &group.id, name: &group.name }))
}

/// What a write sets; the path names the one that is meant, else the body does.
fn wanted(fields: &Fields<'_>, by: Option<By<'_>>) -> Result<IdentityWrite, Failure> {
    let (id, name) = match by {
        Some(By::Id(id)) => (Some(id.to_owned()), given(fields, "name")?),
        Some(By::Name(name)) => (None, Some(name.to_owned())),
        None => (given(fields, "id")?, given(fields, "name")?),
    };
    Ok(IdentityWrite {
        id,
        name,
        metadata: emptied(fields, "metadata", fields.map("metadata")?),
        policies: emptied(fields, "policies", fields.list("policies")?),
        disabled: fields.boolean("disabled")?,
        member_entity_ids: emptied(fields, "member_entity_ids", fields.list("member_entity_ids")?),
        member_group_ids: emptied(fields, "member_group_ids", fields.list("member_group_ids")?),
        kind: None,
    })
}

/// A field that is `null` says that there are none, where one that is absent says nothing.
fn emptied<T: Default>(fields: &Fields<'_>, field: &str, value: Option<T>) -> Option<T> {
    value.or_else(|| fields.raw(field).map(|_| T::default()))
}

/// Text that is not empty.
fn given(fields: &Fields<'_>, field: &'static str) -> Result<Option<String>, Failure> {
    Ok(fields.given(field)?.map(|text| text.to_string()))
}
