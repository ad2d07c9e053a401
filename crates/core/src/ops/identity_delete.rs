//! The end of entities and groups, one or many at once.

use uuid::Uuid;

use super::{
    identity::{By, asked_as},
    identity_group::GroupChanges,
};
use crate::{
    Caller, Error,
    active::Active,
    caller::Done,
    commit::Edit,
    identity::{
        Entity, Identity, alias_id_row, alias_row, entity_name_row, entity_row, group_row, merged_row, parse_id,
    },
    keys,
    policy::{Operation, Parameters},
    record::Record,
};

/// What is to be deleted.
#[derive(Clone, Copy, Debug)]
pub enum Deleted<'a> {
    /// An entity.
    Entity(By<'a>),
    /// A group.
    Group(By<'a>),
}

impl Caller {
    /// Deletes an entity with its aliases: its tokens are refused from then on, and no group has it as a member. Or a
    /// group. One that is not there is no error.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without delete on `path`.
    pub async fn identity_delete(&self, path: &str, what: Deleted<'_>) -> Result<(), Error> {
        let asked = asked_as(path);
        let record = self.record("identity.delete", &asked);
        self.recorded(record.clone(), async {
            self.authorise(&asked, Operation::Delete, &())?;
            match what {
                Deleted::Entity(by) => {
                    let found = match by {
                        By::Id(id) => parse_id(id),
                        By::Name(name) => self.active.entity_named(name).await?.map(|found| found.value.id),
                    };
                    self.delete_entities(found.as_slice(), &record).await
                }
                Deleted::Group(by) => {
                    let guard = self.active.locks.lock(&[keys::ENTITY, keys::GROUP]).await;
                    let found = match by {
                        By::Id(id) => parse_id(id).and_then(|id| self.active.identity.group(id)),
                        By::Name(name) => self.active.identity.group_named(name),
                    };
                    let Some(group) = found else { return Ok(Done::Unlogged(())) };
                    let mut edit = Edit::under(guard);
                    edit.delete(group_row(group.id), None);
                    edit.in_force(move |active| {
                        active.identity.remove(group.id);
                        active.authority_changed();
                    });
                    Ok(Done::Logged((), self.commit(edit, record).await?))
                }
            }
        })
        .await
    }

    /// Deletes entities with their aliases; those that are not there are passed over. Many are deleted in several
    /// steps, each whole and with a record of its own.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `path`; whatever keeps a step from being stored, after which the
    /// steps before it stand.
    pub async fn entities_delete(&self, path: &str, ids: &[String], parameters: &dyn Parameters) -> Result<(), Error> {
        let record = self.record("identity.delete", path);
        self.recorded(record.clone(), async {
            self.authorise(path, Operation::Update, parameters)?;
            let mut ids: Vec<Uuid> = ids.iter().filter_map(|id| parse_id(id)).collect();
            ids.sort_unstable();
            ids.dedup();
            self.delete_entities(&ids, &record).await
        })
        .await
    }

    /// In steps: an entity leaves its groups and goes, or where those are more than one commit takes, leaves some.
    async fn delete_entities(&self, ids: &[Uuid], record: &Record) -> Result<Done<()>, Error> {
        let mut done = Done::Unlogged(());
        let mut left = ids;
        while !left.is_empty() {
            let mut edit = Edit::under(self.active.locks.lock(&[keys::ENTITY, keys::GROUP]).await);
            let mut groups = GroupChanges::default();
            while let Some((id, rest)) = left.split_first() {
                if let Some(found) = self.active.entity(*id).await? {
                    if !groups.leave(&self.active.identity, found.value.id) {
                        break;
                    }
                    edit.delete_entity(&found.value);
                }
                left = rest;
                if edit.len() >= STEP_ROWS {
                    break;
                }
            }
            groups.into_edit(&mut edit)?;
            if edit.is_empty() {
                break;
            }
            edit.in_force(Active::authority_changed);
            let logged = self.commit(edit, record.clone()).await?;
            if let Done::Logged((), earlier) = std::mem::replace(&mut done, Done::Logged((), logged)) {
                earlier.spend();
            }
        }
        Ok(done)
    }
}

impl GroupChanges {
    /// Takes an entity out of its groups; tells whether out of all: those that make too much for one commit are left.
    fn leave(&mut self, identity: &Identity, entity: Uuid) -> bool {
        for id in identity.groups_naming(entity) {
            let is_new = self.changing(id).is_none();
            if is_new && self.weight() >= STEP_BYTES {
                return false;
            }
            if let Some(group) = self.of(identity, id) {
                group.members.remove(&entity);
                group.named.members = true;
            }
        }
        true
    }
}

impl Edit {
    /// An entity's row with every index that leads to it.
    fn delete_entity(&mut self, entity: &Entity) {
        self.delete(entity_row(entity.id), None);
        self.delete(entity_name_row(&entity.name), None);
        for alias in &entity.aliases {
            self.delete(alias_row(&alias.mount_accessor, &alias.name), None);
            self.delete(alias_id_row(alias.id), None);
        }
        for merged in &entity.merged {
            self.delete(merged_row(*merged), None);
        }
    }
}

/// A step of a deletion ends with the entity that brings it to so many rows.
const STEP_ROWS: usize = 1000;
/// And with the group that brings the rows of groups to about so many bytes.
const STEP_BYTES: usize = 2 << 20;
