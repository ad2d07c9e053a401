//! Identities by what is known of them, their aliases by id, and the end of many at once.

use std::collections::BTreeSet;

use coffer_storage::Expect;
use uuid::Uuid;

use super::identity::{AliasView, By, EntityView, GroupView, uuid, view_alias, view_group};
use crate::{
    Caller, Error,
    active::{Active, Found},
    caller::Done,
    codec,
    commit::Edit,
    identity::{Alias, Entity, IdRow, alias_id_row, alias_row, entity_name_row, entity_row},
    keys,
    policy::{Operation, Parameters},
};

/// What is known of an entity that is looked for.
#[derive(Clone, Copy, Debug)]
pub enum EntityClue<'a> {
    /// A name of it in a login method.
    Alias {
        /// The name.
        name: &'a str,
        /// The login method.
        mount_accessor: &'a str,
    },
    /// The id of one of its aliases.
    AliasId(&'a str),
    /// Its own id or name.
    Own(By<'a>),
}

impl Caller {
    /// The entity that something is known of, or `None`.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `path`.
    pub async fn entity_lookup(
        &self,
        path: &str,
        clue: EntityClue<'_>,
        parameters: &dyn Parameters,
    ) -> Result<Option<EntityView>, Error> {
        self.recorded(self.record("entity.lookup", path), async {
            self.authorise(path, Operation::Update, parameters)?;
            let found = match clue {
                EntityClue::Alias { name, mount_accessor } => {
                    self.active.entity_of_alias(&alias_row(mount_accessor, name)).await?
                }
                EntityClue::AliasId(id) => self.active.alias_of_id(id).await?.map(|(found, _)| found.value),
                EntityClue::Own(By::Id(id)) => match Uuid::parse_str(id) {
                    Ok(id) => self.active.entity(id).await?.map(|found| found.value),
                    Err(_) => None,
                },
                EntityClue::Own(By::Name(name)) => self.active.entity_named(name).await?.map(|found| found.value),
            };
            Ok(Done::Unlogged(found.map(|entity| self.active.entity_view(&entity))))
        })
        .await
    }

    /// The group of this id or name, or `None`.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `path`.
    pub async fn group_lookup(
        &self,
        path: &str,
        by: By<'_>,
        parameters: &dyn Parameters,
    ) -> Result<Option<GroupView>, Error> {
        self.recorded(self.record("group.lookup", path), async {
            self.authorise(path, Operation::Update, parameters)?;
            let found = match by {
                By::Id(id) => Uuid::parse_str(id).ok().and_then(|id| self.active.identity.group(id)),
                By::Name(name) => self.active.identity.group_named(name),
            };
            Ok(Done::Unlogged(found.map(|group| view_group(&group, &self.active.identity))))
        })
        .await
    }

    /// Entities in the order of their ids after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without list on `path`.
    pub async fn entity_views(&self, path: &str, after: &str, limit: usize) -> Result<Vec<EntityView>, Error> {
        self.recorded(self.record("entity.list", path), async {
            self.authorise(path, Operation::List, &())?;
            let mut views = Vec::new();
            for id in self.active.names_up_to(keys::ENTITY, after, limit).await? {
                // One that goes while the list is made is left out.
                if let Some(found) = self.active.entity(uuid(&id)?).await? {
                    views.push(self.active.entity_view(&found.value));
                }
            }
            Ok(Done::Unlogged(views))
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

    /// Aliases in the order of their ids after `after`, at most `limit`.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without list on `path`.
    pub async fn alias_list(&self, path: &str, after: &str, limit: usize) -> Result<Vec<AliasView>, Error> {
        self.recorded(self.record("alias.list", path), async {
            self.authorise(path, Operation::List, &())?;
            let mut views = Vec::new();
            for id in self.active.names_up_to(keys::ALIAS_ID, after, limit).await? {
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
            let Some((_, alias)) = self.active.alias_of_id(id).await? else { return Ok(Done::Unlogged(())) };
            let row = alias_row(&alias.mount_accessor, &alias.name);
            let guard = self.active.locks.lock(&[keys::ENTITY, &row]).await;
            // It may have gone before the lock was there.
            let Some((Found { value: mut entity, revision }, _)) = self.active.alias_of_id(id).await? else {
                return Ok(Done::Unlogged(()));
            };
            entity.aliases.retain(|other| other.id != alias.id);
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

    /// Deletes entities with their aliases, all or none; those that are not there are passed over.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `path`; [`coffer_api::Code::Invalid`] for more than 100 of them.
    pub async fn entities_delete(&self, path: &str, ids: &[String], parameters: &dyn Parameters) -> Result<(), Error> {
        let record = self.record("identity.delete", path);
        self.recorded(record.clone(), async {
            self.authorise(path, Operation::Update, parameters)?;
            if ids.len() > MAX_DELETED {
                return Err(Error::invalid(format!("at most {MAX_DELETED} entities are deleted at once")));
            }
            let ids: BTreeSet<Uuid> = ids.iter().filter_map(|id| Uuid::parse_str(id).ok()).collect();
            let mut edit = Edit::under(self.active.locks.lock(&[keys::ENTITY]).await);
            for id in ids {
                if let Some(found) = self.active.entity(id).await? {
                    edit.delete_entity(&found.value);
                }
            }
            if edit.is_empty() {
                return Ok(Done::Unlogged(()));
            }
            edit.in_force(Active::authority_changed);
            Ok(Done::Logged((), self.commit(edit, record).await?))
        })
        .await
    }
}

impl Edit {
    /// An entity's row with every index that leads to it.
    pub(super) fn delete_entity(&mut self, entity: &Entity) {
        self.delete(entity_row(entity.id), None);
        self.delete(entity_name_row(&entity.name), None);
        for alias in &entity.aliases {
            self.delete(alias_row(&alias.mount_accessor, &alias.name), None);
            self.delete(alias_id_row(alias.id), None);
        }
    }
}

impl Active {
    /// An alias and the entity it belongs to.
    async fn alias_of_id(&self, id: &str) -> Result<Option<(Found<Entity>, Alias)>, Error> {
        let Ok(id) = Uuid::parse_str(id) else { return Ok(None) };
        let Some(index) = self.row::<IdRow>(&alias_id_row(id)).await? else { return Ok(None) };
        let Some(found) = self.entity(index.value.id).await? else { return Ok(None) };
        let alias = found.value.aliases.iter().find(|alias| alias.id == id).cloned();
        Ok(alias.map(|alias| (found, alias)))
    }
}

impl Active {
    /// As [`Active::names`], over as many pages as `limit` takes.
    pub(super) async fn names_up_to(&self, prefix: &str, after: &str, limit: usize) -> Result<Vec<String>, Error> {
        let mut names: Vec<String> = Vec::new();
        loop {
            let after = names.last().map_or(after, String::as_str).to_owned();
            let wanted = limit.saturating_sub(names.len());
            let page = self.names(prefix, &after, wanted).await?;
            names.extend(page.names);
            if !page.more || names.len() >= limit {
                return Ok(names);
            }
        }
    }
}

/// Entities in one deletion: with their aliases they make one commit.
const MAX_DELETED: usize = 100;
