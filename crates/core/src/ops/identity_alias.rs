//! The names of entities in login methods.

use std::{collections::BTreeMap, sync::Arc};

use coffer_api::Code;
use coffer_storage::Expect;
use uuid::Uuid;

use super::identity::{check_bounds, check_name, shown};
use crate::{
    Caller, Error,
    active::{Active, Found},
    caller::Done,
    codec,
    commit::{Edit, again},
    identity::{Alias, Entity, IdRow, alias_id_row, alias_row, entity_name_row, entity_row, parse_id},
    keys,
    locks::PathGuard,
    mount::Mount,
    ops::list::ListPart,
    policy::{Operation, Parameters},
    time::rfc3339,
};

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
    /// Noted by operators; `None` where there never was any.
    pub custom_metadata: Option<BTreeMap<String, String>>,
    /// Entities that it belonged to before they were merged.
    pub merged_from_canonical_ids: Vec<String>,
    /// What its login method says of it, as of the last login.
    pub metadata: BTreeMap<String, String>,
    /// RFC 3339.
    pub creation_time: String,
    /// RFC 3339.
    pub last_update_time: String,
}

/// Changes to an alias; absent fields stay.
#[derive(Clone, Debug, Default)]
pub struct AliasWrite {
    /// Which one. Without it, it is the one of this name and login method, or a new one.
    pub id: Option<String>,
    /// The login method's name for who it belongs to.
    pub name: Option<String>,
    /// The login method.
    pub mount_accessor: Option<String>,
    /// Whom it belongs to from now on; for a new one without it, a new entity or group.
    pub canonical_id: Option<String>,
    /// Replaces all pairs.
    pub custom_metadata: Option<BTreeMap<String, String>>,
}

impl Caller {
    /// Gives an entity a name in a login method, or changes one; `None` where all is as it was.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on `path`; [`Code::Invalid`] where mount, alias or entity do not exist, the name
    /// is another's, or the entity has an alias of that login method; [`Code::Conflict`] where the alias changed
    /// meanwhile.
    pub async fn alias_write(
        &self,
        path: &str,
        write: AliasWrite,
        parameters: &dyn Parameters,
    ) -> Result<Option<AliasView>, Error> {
        let record = self.record("alias.write", path);
        self.recorded(record.clone(), async {
            self.authorise(path, Operation::Update, parameters)?;
            again!(async {
                let wanted = self.active.alias_wanted(&write).await?;
                let row = alias_row(&wanted.mount_accessor, &wanted.name);
                let guard = self.active.locks.lock(&[keys::ENTITY, &row]).await;
                let again = self.active.alias_wanted(&write).await?;
                if (&again.mount_accessor, &again.name) != (&wanted.mount_accessor, &wanted.name) {
                    return Err(Error::new(Code::Conflict, "the alias changed; try again"));
                }
                let mut edit = Edit::under(guard);
                let written = match &again.known {
                    Some((found, alias)) => self.active.change_alias(&write, &again, found, alias, &mut edit).await?,
                    None => Some(self.active.make_alias(&write, &again, &mut edit).await?),
                };
                let Some((alias, entity)) = written else { return Ok(Done::Unlogged(None)) };
                edit.in_force(Active::authority_changed);
                let record = record.clone().fact("entity", entity.to_string()).fact("alias", alias.id.to_string());
                let logged = self.commit(edit, record).await?;
                Ok(Done::Logged(Some(view_alias(&alias, entity)), logged))
            })
        })
        .await
    }

    /// An alias, or `None`.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `path`.
    pub async fn alias_read(&self, path: &str, id: &str) -> Result<Option<AliasView>, Error> {
        self.recorded(self.record("alias.read", path), async {
            self.authorise(path, Operation::Read, &())?;
            let found = self.active.alias_of_id(id).await?;
            Ok(Done::Unlogged(found.map(|(entity, alias)| view_alias(&alias, entity.value.id))))
        })
        .await
    }

    /// Aliases in the order of their ids.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without list on `path`.
    pub async fn alias_list(&self, path: &str, part: ListPart<'_>) -> Result<Vec<AliasView>, Error> {
        self.recorded(self.record("alias.list", path), async {
            let part = self.authorise_list(path, part)?;
            let mut views = Vec::new();
            for id in self.active.list(keys::ALIAS_ID, part).await?.items {
                if let Some((entity, alias)) = self.active.alias_of_id(&id).await? {
                    views.push(view_alias(&alias, entity.value.id));
                }
            }
            Ok(Done::Unlogged(views))
        })
        .await
    }

    /// Takes an alias from its entity: who logs in by it next is another. One that is not there is no error.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without delete on `path`.
    pub async fn alias_delete(&self, path: &str, id: &str) -> Result<(), Error> {
        let record = self.record("alias.delete", path);
        self.recorded(record.clone(), async {
            self.authorise(path, Operation::Delete, &())?;
            let (guard, known) = self.active.lock_alias(id).await?;
            let Some((Found { value: mut entity, revision }, alias)) = known else { return Ok(Done::Unlogged(())) };
            let row = alias_row(&alias.mount_accessor, &alias.name);
            entity.aliases.retain(|other| other.id != alias.id);
            entity.settle();
            entity.updated_ms = self.active.clock.now();
            let mut edit = Edit::under(guard);
            edit.put(entity_row(entity.id), codec::encode(&entity)?, Some(Expect::Revision(revision)));
            edit.delete(row, None);
            edit.delete(alias_id_row(alias.id), None);
            edit.in_force(Active::authority_changed);
            let record = record.fact("entity", entity.id.to_string()).fact("alias", alias.name);
            Ok(Done::Logged((), self.commit(edit, record).await?))
        })
        .await
    }
}

/// What a write asks for, with what is there already.
struct Wanted {
    name: String,
    mount_accessor: String,
    known: Option<(Found<Entity>, Alias)>,
}

impl Active {
    async fn alias_wanted(&self, write: &AliasWrite) -> Result<Wanted, Error> {
        if let Some(id) = &write.id {
            let known = self.alias_of_id(id).await?;
            let known = known.ok_or_else(|| Error::invalid("invalid alias ID provided"))?;
            let name = write.name.clone().unwrap_or_else(|| known.1.name.clone());
            let mount_accessor = write.mount_accessor.clone().unwrap_or_else(|| known.1.mount_accessor.clone());
            return Ok(Wanted { name, mount_accessor, known: Some(known) });
        }
        let (Some(name), Some(mount_accessor)) = (write.name.clone(), write.mount_accessor.clone()) else {
            return Err(Error::invalid("'id' or 'mount_accessor' and 'name' must be provided"));
        };
        self.login_mount(&mount_accessor)?;
        let known = match self.row::<IdRow>(&alias_row(&mount_accessor, &name)).await? {
            Some(index) => self.entity(index.value.id).await?.and_then(|found| {
                let aliases = &found.value.aliases;
                let is_it = |alias: &&Alias| alias.mount_accessor == mount_accessor && alias.name == name;
                let alias = aliases.iter().find(is_it).cloned();
                alias.map(|alias| (found, alias))
            }),
            None => None,
        };
        Ok(Wanted { name, mount_accessor, known })
    }

    /// A new alias, and whom it belongs to.
    async fn make_alias(&self, write: &AliasWrite, wanted: &Wanted, edit: &mut Edit) -> Result<(Alias, Uuid), Error> {
        let mount = self.login_mount(&wanted.mount_accessor)?;
        let now = self.clock.now();
        let (mut entity, expect) = match &write.canonical_id {
            Some(id) => {
                let found = self.entity_given(id).await?.ok_or_else(|| Error::invalid("invalid canonical ID"))?;
                (found.value, Expect::Revision(found.revision))
            }
            None => {
                let id = Uuid::new_v4();
                let name = format!("entity_{}", id.simple());
                edit.put(entity_name_row(&name), codec::encode(&IdRow { id })?, Some(Expect::Absent));
                (Entity { id, name, created_ms: now, updated_ms: now, ..Entity::default() }, Expect::Absent)
            }
        };
        if entity.aliases.iter().any(|alias| alias.mount_accessor == wanted.mount_accessor) {
            return Err(Error::invalid("Alias already exists for requested entity and mount accessor"));
        }
        let custom_metadata = write.custom_metadata.clone().unwrap_or_default();
        let alias = Alias { custom_metadata, custom_named: true, ..new_alias(&wanted.name, &mount, now)? };
        entity.settle();
        entity.aliases.push(alias.clone());
        check_aliases(&entity)?;
        edit.put(entity_row(entity.id), codec::encode(&entity)?, Some(expect));
        edit.put(
            alias_row(&alias.mount_accessor, &alias.name),
            codec::encode(&IdRow { id: entity.id })?,
            Some(Expect::Absent),
        );
        edit.put(alias_id_row(alias.id), codec::encode(&IdRow { id: entity.id })?, Some(Expect::Absent));
        Ok((alias, entity.id))
    }

    /// The alias as changed, and whom it belongs to now; `None` where nothing changes.
    async fn change_alias(
        &self,
        write: &AliasWrite,
        wanted: &Wanted,
        found: &Found<Entity>,
        old: &Alias,
        edit: &mut Edit,
    ) -> Result<Option<(Alias, Uuid)>, Error> {
        let owner = &found.value;
        // By its name alone, a write says everything.
        let custom_metadata = match (&write.custom_metadata, &write.id) {
            (Some(given), _) => given.clone(),
            (None, Some(_)) => old.custom_metadata.clone(),
            (None, None) => BTreeMap::new(),
        };
        let moves = match &write.canonical_id {
            Some(id) if *id != owner.id.to_string() => Some(id),
            Some(_) | None => None,
        };
        let renamed = wanted.name != old.name || wanted.mount_accessor != old.mount_accessor;
        if !renamed && moves.is_none() && custom_metadata == old.custom_metadata {
            return Ok(None);
        }
        let has = |entity: &Entity| entity.aliases.iter().any(|other| other.mount_accessor == wanted.mount_accessor);
        if wanted.mount_accessor != old.mount_accessor && moves.is_none() && has(owner) {
            return Err(Error::invalid(
                "Alias cannot be updated as the entity already has an alias for the given 'mount_accessor' ",
            ));
        }
        let mount = self.login_mount(&wanted.mount_accessor)?;
        let row = alias_row(&wanted.mount_accessor, &wanted.name);
        if renamed && self.row::<IdRow>(&row).await?.is_some() {
            return Err(Error::invalid("alias with combination of mount accessor and name already exists"));
        }
        let custom_named = write.custom_metadata.is_some() || write.id.is_none();
        let now = self.clock.now();
        let alias = Alias {
            id: old.id,
            metadata: old.metadata.clone(),
            custom_metadata,
            custom_named,
            merged_from: old.merged_from.clone(),
            created_ms: old.created_ms,
            ..new_alias(&wanted.name, &mount, now)?
        };
        let mut owner = owner.clone();
        owner.settle();
        let place = owner.aliases.iter().position(|other| other.id == old.id).unwrap_or(owner.aliases.len());
        owner.aliases.retain(|other| other.id != old.id);
        let owner = if let Some(id) = moves {
            let unknown = || Error::invalid("given 'canonical_id' is not associated with an entity");
            let Found { value: mut target, revision } = self.entity_given(id).await?.ok_or_else(unknown)?;
            if has(&target) {
                return Err(Error::invalid(
                    "Alias cannot be updated as the given entity already has an alias for this mount ",
                ));
            }
            edit.put(entity_row(owner.id), codec::encode(&owner)?, Some(Expect::Revision(found.revision)));
            target.settle();
            target.aliases.push(alias.clone());
            edit.put(entity_row(target.id), codec::encode(&target)?, Some(Expect::Revision(revision)));
            edit.put(alias_id_row(alias.id), codec::encode(&IdRow { id: target.id })?, None);
            target
        } else {
            owner.aliases.insert(place, alias.clone());
            edit.put(entity_row(owner.id), codec::encode(&owner)?, Some(Expect::Revision(found.revision)));
            owner
        };
        check_aliases(&owner)?;
        if renamed {
            edit.delete(alias_row(&old.mount_accessor, &old.name), None);
        }
        edit.put(row, codec::encode(&IdRow { id: owner.id })?, None);
        Ok(Some((alias, owner.id)))
    }

    async fn entity_given(&self, id: &str) -> Result<Option<Found<Entity>>, Error> {
        match parse_id(id) {
            Some(id) => self.entity(id).await,
            None => Ok(None),
        }
    }

    /// An alias and the entity it belongs to, as they are while the guard holds: nobody writes either meanwhile, nor is
    /// anybody made at a login by that name.
    async fn lock_alias(&self, id: &str) -> Result<(PathGuard, Option<(Found<Entity>, Alias)>), Error> {
        let row_of = |known: &Option<(Found<Entity>, Alias)>| {
            known.as_ref().map(|(_, alias)| alias_row(&alias.mount_accessor, &alias.name))
        };
        let mut row = row_of(&self.alias_of_id(id).await?);
        loop {
            let guard = self.locks.lock(&[keys::ENTITY, row.as_deref().unwrap_or(keys::ENTITY)]).await;
            let known = self.alias_of_id(id).await?;
            let now = row_of(&known);
            // One that was given another name before the lock was there has another row.
            if now.is_none() || now == row {
                return Ok((guard, known));
            }
            row = now;
        }
    }

    /// The login method of an accessor.
    pub(super) fn login_mount(&self, accessor: &str) -> Result<Arc<Mount>, Error> {
        let mounts = self.mounts.all();
        let mount = mounts.iter().find(|mount| mount.accessor == accessor && mount.path.starts_with("auth/"));
        mount.cloned().ok_or_else(|| Error::invalid(format!("invalid mount accessor \"{accessor}\"")))
    }

    /// An alias and the entity it belongs to.
    pub(super) async fn alias_of_id(&self, id: &str) -> Result<Option<(Found<Entity>, Alias)>, Error> {
        let Some(id) = parse_id(id) else { return Ok(None) };
        let Some(index) = self.row::<IdRow>(&alias_id_row(id)).await? else { return Ok(None) };
        let Some(found) = self.entity(index.value.id).await? else { return Ok(None) };
        let alias = found.value.aliases.iter().find(|alias| alias.id == id).cloned();
        Ok(alias.map(|alias| (found, alias)))
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
        custom_metadata: shown(&alias.custom_metadata, alias.custom_named),
        merged_from_canonical_ids: alias.merged_from.iter().map(Uuid::to_string).collect(),
        metadata: alias.metadata.clone(),
        creation_time: rfc3339(alias.created_ms),
        last_update_time: rfc3339(alias.updated_ms),
    }
}

/// An alias in a login method, with an id of its own.
pub(super) fn new_alias(name: &str, mount: &Mount, now: i64) -> Result<Alias, Error> {
    check_name(name)?;
    Ok(Alias {
        id: Uuid::new_v4(),
        name: name.to_owned(),
        mount_accessor: mount.accessor.clone(),
        mount_type: mount.kind.name().to_owned(),
        mount_path: mount.path.clone(),
        created_ms: now,
        updated_ms: now,
        ..Alias::default()
    })
}

/// Refuses more aliases, or more of what is noted with them, than an entity may have.
pub(super) fn check_aliases(entity: &Entity) -> Result<(), Error> {
    if entity.aliases.len() > MAX_ALIASES {
        return Err(Error::invalid(format!("an entity has at most {MAX_ALIASES} aliases")));
    }
    entity.aliases.iter().try_for_each(|alias| check_bounds(&alias.custom_metadata, &[]))
}

/// Aliases of one entity.
const MAX_ALIASES: usize = 1000;
