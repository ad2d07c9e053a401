//! Entities, as `identity/` offers them, and what may be written of entities and groups.

use std::collections::BTreeMap;

use coffer_storage::Expect;
use uuid::Uuid;

use super::identity_alias::{AliasView, view_alias};
use crate::{
    Caller, Error,
    active::{Active, Found},
    caller::Done,
    codec,
    commit::Edit,
    identity::{Entity, GroupKind, IdRow, entity_name_row, entity_row, parse_id},
    keys,
    ops::list::ListPart,
    policies,
    policy::{Operation, Parameters},
    spelled::Spelled,
    time::rfc3339,
};

/// An entity as shown.
#[derive(Clone, Debug)]
pub struct EntityView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Free text pairs; `scope` is what the built-in policy `service` goes by. `None` where there never were any.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Its policies.
    pub policies: Vec<String>,
    /// Its tokens are refused.
    pub disabled: bool,
    /// Its names in login methods.
    pub aliases: Vec<AliasView>,
    /// Entities that were merged into it.
    pub merged_entity_ids: Vec<String>,
    /// Groups it is a member of.
    pub direct_group_ids: Vec<String>,
    /// Groups that contain those.
    pub inherited_group_ids: Vec<String>,
    /// RFC 3339.
    pub creation_time: String,
    /// RFC 3339.
    pub last_update_time: String,
}

/// Changes to an entity or a group; absent fields stay.
#[derive(Clone, Debug, Default)]
pub struct IdentityWrite {
    /// Which one, by id.
    pub id: Option<String>,
    /// Which one, by name, or the new name of the one by id.
    pub name: Option<String>,
    /// Replaces all pairs.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Replaces all policies.
    pub policies: Option<Vec<String>>,
    /// Entities only.
    pub disabled: Option<bool>,
    /// Groups only.
    pub member_entity_ids: Option<Vec<String>>,
    /// Groups only.
    pub member_group_ids: Option<Vec<String>>,
    /// Groups only; it never changes.
    pub kind: Option<GroupKind>,
}

/// What a write did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Upsert {
    /// There was none.
    Created,
    /// There was one.
    Updated,
}

/// By what an entity or group is asked for.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// Its id.
    Id(&'a str),
    /// Its name.
    Name(&'a str),
}

impl Caller {
    /// Creates or changes an entity.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `path`; [`coffer_api::Code::Invalid`] where the name is taken
    /// or `root` is among the policies.
    pub async fn entity_write(
        &self,
        path: &str,
        write: IdentityWrite,
        parameters: &dyn Parameters,
    ) -> Result<(EntityView, Upsert), Error> {
        let asked = asked_as(path);
        let record = self.record("entity.write", &asked);
        self.recorded(record.clone(), async {
            self.authorise(&asked, Operation::Update, parameters)?;
            let guard = self.active.locks.lock(&[keys::ENTITY]).await;
            let unknown = || Error::invalid("entity not found from id");
            let known = match (&write.id, &write.name) {
                (Some(id), _) => {
                    let id = parse_id(id).ok_or_else(unknown)?;
                    Some(self.active.entity(id).await?.ok_or_else(unknown)?)
                }
                (None, Some(name)) => self.active.entity_named(name).await?,
                (None, None) => None,
            };
            let now = self.active.clock.now();
            let upsert = if known.is_some() { Upsert::Updated } else { Upsert::Created };
            let (mut entity, expect) = match known {
                Some(Found { value, revision }) => (value, Expect::Revision(revision)),
                None => (Entity { id: Uuid::new_v4(), created_ms: now, ..Entity::default() }, Expect::Absent),
            };
            let old_name = entity.name.clone();
            entity.name = write.name.unwrap_or_else(|| {
                if old_name.is_empty() { format!("entity_{}", entity.id.simple()) } else { old_name.clone() }
            });
            check_name(&entity.name)?;
            entity.settle();
            entity.metadata_named = write.metadata.is_some();
            entity.metadata = write.metadata.unwrap_or(entity.metadata);
            entity.policies = write.policies.map_or(Ok(entity.policies), policies_given)?;
            entity.disabled = write.disabled.unwrap_or(entity.disabled);
            entity.updated_ms = now;
            check_bounds(&entity.metadata, &entity.policies)?;
            let mut edit = Edit::under(guard);
            if entity_name_row(&old_name) != entity_name_row(&entity.name) {
                if self.active.entity_named(&entity.name).await?.is_some() {
                    return Err(Error::invalid("entity name is already in use"));
                }
                if !old_name.is_empty() {
                    edit.delete(entity_name_row(&old_name), None);
                }
                edit.put(entity_name_row(&entity.name), codec::encode(&IdRow { id: entity.id })?, Some(Expect::Absent));
            }
            edit.put(entity_row(entity.id), codec::encode(&entity)?, Some(expect));
            edit.in_force(Active::authority_changed);
            let logged = self.commit(edit, record.fact("entity", entity.id.to_string())).await?;
            Ok(Done::Logged((self.active.entity_view(&entity), upsert), logged))
        })
        .await
    }

    /// An entity, or `None`.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `path`.
    pub async fn entity_read(&self, path: &str, by: By<'_>) -> Result<Option<EntityView>, Error> {
        let asked = asked_as(path);
        self.recorded(self.record("entity.read", &asked), async {
            self.authorise(&asked, Operation::Read, &())?;
            let found = match by {
                By::Id(id) => match parse_id(id) {
                    Some(id) => self.active.entity(id).await?,
                    None => None,
                },
                By::Name(name) => self.active.entity_named(name).await?,
            };
            Ok(Done::Unlogged(found.map(|found| self.active.entity_view(&found.value))))
        })
        .await
    }

    /// Names of entities.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without list on `path`.
    pub async fn entity_names(&self, path: &str, part: ListPart<'_>) -> Result<Vec<String>, Error> {
        self.recorded(self.record("entity.list", path), async {
            // The rows have the names in lower case.
            let after = part.after.to_lowercase();
            let part = self.authorise_list(path, ListPart { after: &after, ..part })?;
            let mut names = Vec::new();
            for name in self.active.list(keys::ENTITY_NAME, part).await?.items {
                // One that goes while the list is made is left out.
                names.extend(self.active.entity_named(&name).await?.map(|found| found.value.name));
            }
            Ok(Done::Unlogged(names))
        })
        .await
    }
}

impl Active {
    pub(super) fn entity_view(&self, entity: &Entity) -> EntityView {
        let (direct, inherited) = self.identity.groups_of(entity.id);
        EntityView {
            id: entity.id.to_string(),
            name: entity.name.clone(),
            metadata: shown(&entity.metadata, entity.metadata_named),
            policies: entity.policies.clone(),
            disabled: entity.disabled,
            aliases: entity.aliases.iter().map(|alias| view_alias(alias, entity.id)).collect(),
            merged_entity_ids: entity.merged.iter().map(Uuid::to_string).collect(),
            direct_group_ids: direct.iter().map(|group| group.id.to_string()).collect(),
            inherited_group_ids: inherited.iter().map(|group| group.id.to_string()).collect(),
            creation_time: rfc3339(entity.created_ms),
            last_update_time: rfc3339(entity.updated_ms),
        }
    }
}

/// What is shown where an empty field is either empty or absent.
pub(super) fn shown<T: Clone + Default + PartialEq>(value: &T, named: bool) -> Option<T> {
    Some(value.clone()).filter(|value| named || *value != T::default())
}

/// The path by which an entity or group is asked for: nothing in it has case, names neither.
pub(super) fn asked_as(path: &str) -> Spelled {
    Spelled::in_any_case(path)
}

pub(super) fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > 256 || name.chars().any(char::is_control) {
        return Err(Error::invalid("a name has 1 to 256 printable bytes"));
    }
    Ok(())
}

pub(super) fn policies_given(names: Vec<String>) -> Result<Vec<String>, Error> {
    let names = policies::normalised(&names);
    if policies::has_root(&names) { Err(Error::invalid("policies cannot contain root")) } else { Ok(names) }
}

pub(super) fn check_bounds(metadata: &BTreeMap<String, String>, policies: &[String]) -> Result<(), Error> {
    let long = metadata.iter().any(|(key, value)| key.len() > 128 || value.len() > 512);
    if metadata.len() > 64 || long {
        return Err(Error::invalid("metadata has at most 64 pairs, keys of 128 and values of 512 bytes"));
    }
    if policies.len() > 1000 || policies.iter().any(|name| name.len() > 256) {
        return Err(Error::invalid("at most 1,000 policies with names of at most 256 bytes"));
    }
    Ok(())
}
