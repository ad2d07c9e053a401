//! Entities, aliases and groups, as `identity/` offers them.

use std::collections::BTreeMap;

use coffer_storage::Expect;
use uuid::Uuid;

use crate::{
    Caller, Error,
    active::{Active, Found},
    caller::Done,
    codec,
    commit::Edit,
    identity::{
        Alias, Entity, Group, IdRow, Identity, alias_id_row, alias_row, entity_name_row, entity_row, group_row,
    },
    keys, policies,
    policy::{Operation, Parameters},
    time::rfc3339,
};

/// An entity as shown.
#[derive(Clone, Debug)]
pub struct EntityView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Free text pairs; `scope` is what the built-in policy `service` goes by.
    pub metadata: BTreeMap<String, String>,
    /// Its policies.
    pub policies: Vec<String>,
    /// Its tokens are refused.
    pub disabled: bool,
    /// Its names in login methods.
    pub aliases: Vec<AliasView>,
    /// Groups it is a member of.
    pub direct_group_ids: Vec<String>,
    /// Groups that contain those.
    pub inherited_group_ids: Vec<String>,
    /// RFC 3339.
    pub creation_time: String,
    /// RFC 3339.
    pub last_update_time: String,
}

/// An alias as shown.
#[derive(Clone, Debug)]
pub struct AliasView {
    /// Its id.
    pub id: String,
    /// The entity it belongs to.
    pub canonical_id: String,
    /// The login method's name for it.
    pub name: String,
    /// The login method.
    pub mount_accessor: String,
    /// Its type.
    pub mount_type: String,
    /// Its path.
    pub mount_path: String,
    /// Noted by operators.
    pub custom_metadata: BTreeMap<String, String>,
    /// RFC 3339.
    pub creation_time: String,
    /// RFC 3339.
    pub last_update_time: String,
}

/// A group as shown.
#[derive(Clone, Debug)]
pub struct GroupView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Free text pairs.
    pub metadata: BTreeMap<String, String>,
    /// Its policies.
    pub policies: Vec<String>,
    /// Entities in it.
    pub member_entity_ids: Vec<String>,
    /// Groups in it.
    pub member_group_ids: Vec<String>,
    /// Groups that it is in.
    pub parent_group_ids: Vec<String>,
    /// How often it was written.
    pub modify_index: u64,
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
        let record = self.record("entity.write", path);
        self.recorded(record.clone(), async {
            self.authorise(path, Operation::Update, parameters)?;
            let guard = self.active.locks.lock(&[keys::ENTITY]).await;
            let known = match (&write.id, &write.name) {
                (Some(id), _) => Some(
                    self.active.entity(uuid(id)?).await?.ok_or_else(|| Error::invalid("entity not found from id"))?,
                ),
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
        self.recorded(self.record("entity.read", path), async {
            self.authorise(path, Operation::Read, &())?;
            let found = match by {
                By::Id(id) => match Uuid::parse_str(id) {
                    Ok(id) => self.active.entity(id).await?,
                    Err(_) => None,
                },
                By::Name(name) => self.active.entity_named(name).await?,
            };
            Ok(Done::Unlogged(found.map(|found| self.active.entity_view(&found.value))))
        })
        .await
    }

    /// Ids or names of entities after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without list on `path`.
    pub async fn entity_list(&self, path: &str, by: By<'_>, limit: usize) -> Result<Vec<String>, Error> {
        self.recorded(self.record("entity.list", path), async {
            self.authorise(path, Operation::List, &())?;
            let page = match by {
                By::Id(after) => self.active.names_up_to(keys::ENTITY, after, limit).await?,
                By::Name(after) => self.active.names_up_to(keys::ENTITY_NAME, after, limit).await?,
            };
            Ok(Done::Unlogged(page))
        })
        .await
    }

    /// Gives an entity a name in a login method.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `path`; [`coffer_api::Code::Invalid`] where mount or entity do
    /// not exist or the alias belongs to another entity.
    pub async fn alias_write(
        &self,
        path: &str,
        name: &str,
        canonical_id: &str,
        mount_accessor: &str,
        custom_metadata: Option<BTreeMap<String, String>>,
        parameters: &dyn Parameters,
    ) -> Result<AliasView, Error> {
        let record = self.record("alias.write", path);
        self.recorded(record.clone(), async {
            self.authorise(path, Operation::Update, parameters)?;
            check_name(name)?;
            let mounts = self.active.mounts.all();
            let mount = mounts.iter().find(|mount| mount.accessor == mount_accessor && mount.path.starts_with("auth/"));
            let mount = mount.ok_or_else(|| Error::invalid("invalid mount accessor"))?;
            let row = alias_row(mount_accessor, name);
            let guard = self.active.locks.lock(&[keys::ENTITY, &row]).await;
            let Some(Found { value: mut entity, revision }) = self.active.entity(uuid(canonical_id)?).await? else {
                return Err(Error::invalid("invalid canonical ID"));
            };
            let taken = self.active.row::<IdRow>(&row).await?;
            if taken.as_ref().is_some_and(|taken| taken.value.id != entity.id) {
                return Err(Error::invalid("the alias belongs to another entity"));
            }
            let now = self.active.clock.now();
            let known =
                entity.aliases.iter_mut().find(|alias| alias.mount_accessor == mount_accessor && alias.name == name);
            let alias = match known {
                Some(alias) => {
                    alias.custom_metadata = custom_metadata.unwrap_or_else(|| alias.custom_metadata.clone());
                    alias.updated_ms = now;
                    alias.clone()
                }
                None => {
                    let alias = Alias {
                        id: Uuid::new_v4(),
                        name: name.to_owned(),
                        mount_accessor: mount_accessor.to_owned(),
                        mount_type: mount.kind.name().to_owned(),
                        mount_path: mount.path.clone(),
                        metadata: BTreeMap::new(),
                        custom_metadata: custom_metadata.unwrap_or_default(),
                        created_ms: now,
                        updated_ms: now,
                    };
                    entity.aliases.push(alias.clone());
                    alias
                }
            };
            check_bounds(&alias.custom_metadata, &[])?;
            if entity.aliases.len() > 1000 {
                return Err(Error::invalid("an entity has at most 1,000 aliases"));
            }
            let mut edit = Edit::under(guard);
            edit.put(entity_row(entity.id), codec::encode(&entity)?, Some(Expect::Revision(revision)));
            edit.put(row, codec::encode(&IdRow { id: entity.id })?, None);
            edit.put(alias_id_row(alias.id), codec::encode(&IdRow { id: entity.id })?, None);
            edit.in_force(Active::authority_changed);
            let logged = self.commit(edit, record.fact("entity", entity.id.to_string())).await?;
            Ok(Done::Logged(view_alias(&alias, entity.id), logged))
        })
        .await
    }

    /// Creates or changes an internal group.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `path`; [`coffer_api::Code::Invalid`] where the name is taken,
    /// a member is no id, the group would be in itself, or `root` is among the policies.
    pub async fn group_write(
        &self,
        path: &str,
        write: IdentityWrite,
        parameters: &dyn Parameters,
    ) -> Result<(GroupView, Upsert), Error> {
        let record = self.record("group.write", path);
        self.recorded(record.clone(), async {
            self.authorise(path, Operation::Update, parameters)?;
            let guard = self.active.locks.lock(&[keys::GROUP]).await;
            let known = match (&write.id, &write.name) {
                (Some(id), _) => Some(
                    self.active.identity.group(uuid(id)?).ok_or_else(|| Error::invalid("group not found from id"))?,
                ),
                (None, Some(name)) => self.active.identity.group_named(name),
                (None, None) => None,
            };
            let upsert = if known.is_some() { Upsert::Updated } else { Upsert::Created };
            let now = self.active.clock.now();
            let mut group = known.map_or_else(
                || Group { id: Uuid::new_v4(), created_ms: now, ..Group::default() },
                |known| known.as_ref().clone(),
            );
            let old_name = group.name.clone();
            group.name = write.name.unwrap_or_else(|| {
                if old_name.is_empty() { format!("group_{}", group.id.simple()) } else { old_name.clone() }
            });
            check_name(&group.name)?;
            if self.active.identity.group_named(&group.name).is_some_and(|other| other.id != group.id) {
                return Err(Error::invalid("group name is already in use"));
            }
            let ids = |ids: Vec<String>| ids.iter().map(|id| uuid(id)).collect::<Result<_, _>>();
            group.metadata = write.metadata.unwrap_or(group.metadata);
            group.policies = write.policies.map_or(Ok(group.policies), policies_given)?;
            group.members = write.member_entity_ids.map_or(Ok(group.members), ids)?;
            group.member_groups = write.member_group_ids.map_or(Ok(group.member_groups), ids)?;
            if self.active.identity.would_be_in_itself(group.id, &group.member_groups) {
                return Err(Error::invalid("a group cannot be a member of itself, nor of a group that is in it"));
            }
            group.updated_ms = now;
            group.modify_index = group.modify_index.saturating_add(1);
            check_bounds(&group.metadata, &group.policies)?;
            if group.members.len() + group.member_groups.len() > 23_000 {
                return Err(Error::invalid("a group has at most 23,000 members"));
            }
            self.active.identity.check_room(group.id)?;
            let mut edit = Edit::under(guard);
            edit.put(group_row(group.id), codec::encode(&group)?, None);
            let view = view_group(&group, &self.active.identity);
            edit.in_force(move |active| {
                active.identity.put(group);
                active.authority_changed();
            });
            let logged = self.commit(edit, record.fact("group", view.id.clone())).await?;
            Ok(Done::Logged((view, upsert), logged))
        })
        .await
    }

    /// A group, or `None`.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `path`.
    pub async fn group_read(&self, path: &str, by: By<'_>) -> Result<Option<GroupView>, Error> {
        self.recorded(self.record("group.read", path), async {
            self.authorise(path, Operation::Read, &())?;
            let found = match by {
                By::Id(id) => Uuid::parse_str(id).ok().and_then(|id| self.active.identity.group(id)),
                By::Name(name) => self.active.identity.group_named(name),
            };
            Ok(Done::Unlogged(found.map(|group| view_group(&group, &self.active.identity))))
        })
        .await
    }

    /// All groups.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without list on `path`.
    pub async fn group_list(&self, path: &str) -> Result<Vec<GroupView>, Error> {
        self.recorded(self.record("group.list", path), async {
            self.authorise(path, Operation::List, &())?;
            Ok(Done::Unlogged(
                self.active.identity.all().iter().map(|group| view_group(group, &self.active.identity)).collect(),
            ))
        })
        .await
    }

    /// Deletes an entity with its aliases: its tokens are refused from then on. Or a group.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without delete on `path`.
    pub async fn identity_delete(&self, path: &str, what: Deleted<'_>) -> Result<(), Error> {
        let record = self.record("identity.delete", path);
        self.recorded(record.clone(), async {
            self.authorise(path, Operation::Delete, &())?;
            let guard = self.active.locks.lock(&[keys::ENTITY, keys::GROUP]).await;
            let mut edit = Edit::under(guard);
            let group = match what {
                Deleted::Entity(by) => {
                    let found = match by {
                        By::Id(id) => self.active.entity(uuid(id)?).await?,
                        By::Name(name) => self.active.entity_named(name).await?,
                    };
                    if let Some(Found { value: entity, .. }) = found {
                        edit.delete_entity(&entity);
                    }
                    None
                }
                Deleted::Group(by) => {
                    let found = match by {
                        By::Id(id) => self.active.identity.group(uuid(id)?),
                        By::Name(name) => self.active.identity.group_named(name),
                    };
                    if let Some(group) = &found {
                        edit.delete(group_row(group.id), None);
                    }
                    found
                }
            };
            if edit.is_empty() {
                return Ok(Done::Unlogged(()));
            }
            edit.in_force(move |active| {
                if let Some(group) = group {
                    active.identity.remove(group.id);
                }
                active.authority_changed();
            });
            Ok(Done::Logged((), self.commit(edit, record).await?))
        })
        .await
    }
}

/// What is to be deleted.
#[derive(Clone, Copy, Debug)]
pub enum Deleted<'a> {
    /// An entity.
    Entity(By<'a>),
    /// A group.
    Group(By<'a>),
}

impl Active {
    pub(crate) async fn load_groups(&self) -> Result<(), Error> {
        self.each(keys::GROUP, |_, group: Group| {
            self.identity.put(group);
            Ok(())
        })
        .await
    }

    pub(super) fn entity_view(&self, entity: &Entity) -> EntityView {
        let (direct, inherited) = self.identity.groups_of(entity.id);
        EntityView {
            id: entity.id.to_string(),
            name: entity.name.clone(),
            metadata: entity.metadata.clone(),
            policies: entity.policies.clone(),
            disabled: entity.disabled,
            aliases: entity.aliases.iter().map(|alias| view_alias(alias, entity.id)).collect(),
            direct_group_ids: direct.iter().map(|group| group.id.to_string()).collect(),
            inherited_group_ids: inherited.iter().map(|group| group.id.to_string()).collect(),
            creation_time: rfc3339(entity.created_ms),
            last_update_time: rfc3339(entity.updated_ms),
        }
    }
}

pub(super) fn view_alias(alias: &Alias, canonical_id: Uuid) -> AliasView {
    AliasView {
        id: alias.id.to_string(),
        canonical_id: canonical_id.to_string(),
        name: alias.name.clone(),
        mount_accessor: alias.mount_accessor.clone(),
        mount_type: alias.mount_type.clone(),
        mount_path: alias.mount_path.clone(),
        custom_metadata: alias.custom_metadata.clone(),
        creation_time: rfc3339(alias.created_ms),
        last_update_time: rfc3339(alias.updated_ms),
    }
}

pub(super) fn view_group(group: &Group, identity: &Identity) -> GroupView {
    GroupView {
        id: group.id.to_string(),
        name: group.name.clone(),
        metadata: group.metadata.clone(),
        policies: group.policies.clone(),
        member_entity_ids: group.members.iter().map(Uuid::to_string).collect(),
        member_group_ids: group.member_groups.iter().map(Uuid::to_string).collect(),
        parent_group_ids: identity.parents_of(group.id).iter().map(Uuid::to_string).collect(),
        modify_index: group.modify_index,
        creation_time: rfc3339(group.created_ms),
        last_update_time: rfc3339(group.updated_ms),
    }
}

pub(super) fn uuid(text: &str) -> Result<Uuid, Error> {
    Uuid::parse_str(text).map_err(|_| Error::invalid("an id is a UUID"))
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > 256 || name.chars().any(char::is_control) {
        return Err(Error::invalid("a name has 1 to 256 printable bytes"));
    }
    Ok(())
}

fn policies_given(names: Vec<String>) -> Result<Vec<String>, Error> {
    let names = policies::normalised(&names);
    if policies::has_root(&names) { Err(Error::invalid("policies cannot contain root")) } else { Ok(names) }
}

fn check_bounds(metadata: &BTreeMap<String, String>, policies: &[String]) -> Result<(), Error> {
    let long = metadata.iter().any(|(key, value)| key.len() > 128 || value.len() > 512);
    if metadata.len() > 64 || long {
        return Err(Error::invalid("metadata has at most 64 pairs, keys of 128 and values of 512 bytes"));
    }
    if policies.len() > 1000 || policies.iter().any(|name| name.len() > 256) {
        return Err(Error::invalid("at most 1,000 policies with names of at most 256 bytes"));
    }
    Ok(())
}
