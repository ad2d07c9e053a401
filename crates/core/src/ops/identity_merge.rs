//! Several entities become one.

use std::collections::{BTreeMap, BTreeSet};

use coffer_storage::Expect;
use uuid::Uuid;

use super::{identity_alias::check_aliases, identity_group::GroupChanges};
use crate::{
    Caller, Error,
    active::{Active, Found},
    caller::Done,
    codec,
    commit::Edit,
    identity::{Alias, Entity, IdRow, alias_id_row, alias_row, entity_name_row, entity_row, merged_row, parse_id},
    keys,
    policy::{Operation, Parameters},
};

/// Which entities become one.
#[derive(Clone, Debug, Default)]
pub struct EntityMerge {
    /// The one that stays.
    pub to: String,
    /// Those that go; twice is once.
    pub from: Vec<String>,
    /// Of two aliases in one login method, these stay and the others are deleted.
    pub keep: Vec<String>,
}

impl Caller {
    /// Merges entities into one, all or none: it takes over their aliases, their memberships and their tokens, and
    /// keeps its own name, policies and metadata.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `path`; [`coffer_api::Code::Invalid`] where one does not exist
    /// or is the one that stays, where two aliases are of one login method and none is said to stay, or are of several that
    /// go, where several go and more than one alias is said to stay, or where it would be made of more than 1,000;
    /// [`coffer_api::Code::TooLarge`] where it is more than one commit takes.
    pub async fn entity_merge(
        &self,
        path: &str,
        merge: &EntityMerge,
        parameters: &dyn Parameters,
    ) -> Result<(), Error> {
        let record = self.record("entity.merge", path);
        self.recorded(record.clone(), async {
            self.authorise(path, Operation::Update, parameters)?;
            let guard = self.active.locks.lock(&[keys::ENTITY, keys::GROUP]).await;
            let to = match parse_id(&merge.to) {
                Some(id) => self.active.entity(id).await?,
                None => None,
            };
            let to = to.ok_or_else(|| Error::invalid("entity id to merge to is invalid"))?;
            if merge.from.len() > 1 && merge.keep.len() > 1 {
                return Err(Error::invalid(ONE_AT_A_TIME));
            }
            let mut from = Vec::new();
            for id in merge.from.iter().collect::<BTreeSet<_>>() {
                let found = match parse_id(id) {
                    Some(id) if id == to.value.id => {
                        return Err(Error::invalid("to_entity_id should not be present in from_entity_ids"));
                    }
                    Some(id) => self.active.entity(id).await?,
                    None => None,
                };
                from.push(found.ok_or_else(|| Error::invalid("entity id to merge from is invalid"))?);
            }
            if merge.keep.is_empty() {
                check_clashes(&to.value, &from)?;
            }
            let ids: Vec<String> = from.iter().map(|found| found.value.id.to_string()).collect();
            let record = record.fact("entity", to.value.id.to_string()).fact("merged", ids.join(","));
            let mut edit = Edit::under(guard);
            self.active.merge_into(to, from, &merge.keep, &mut edit)?;
            edit.in_force(Active::authority_changed);
            Ok(Done::Logged((), self.commit(edit, record).await?))
        })
        .await
    }
}

impl Active {
    fn merge_into(
        &self,
        to: Found<Entity>,
        from: Vec<Found<Entity>>,
        keep: &[String],
        edit: &mut Edit,
    ) -> Result<(), Error> {
        let Found { value: mut to, revision } = to;
        let own = to.aliases.clone();
        let index = codec::encode(&IdRow { id: to.id })?;
        let mut groups = GroupChanges::default();
        to.settle();
        for Found { value: entity, revision } in from {
            edit.delete(entity_row(entity.id), Some(Expect::Revision(revision)));
            edit.delete(entity_name_row(&entity.name), None);
            for mut alias in entity.aliases {
                let same = |own: &&Alias| own.mount_accessor == alias.mount_accessor;
                if let Some(goes) = own.iter().find(same) {
                    let kept = |id: Uuid| keep.iter().any(|keep| *keep == id.to_string());
                    match (kept(goes.id), kept(alias.id)) {
                        (true, _) => {
                            delete_alias(edit, &alias);
                            continue;
                        }
                        (false, true) => {
                            // Those that came along with another stay.
                            let goes = |other: &Alias| same(&other) && own.iter().any(|own| own.id == other.id);
                            to.aliases.iter().filter(|other| goes(other)).for_each(|other| delete_alias(edit, other));
                            to.aliases.retain(|other| !goes(other));
                        }
                        (false, false) => {
                            return Err(Error::invalid(format!(
                                "conflicting mount accessors in following alias IDs and neither were present in \
                                 conflicting_alias_ids_to_keep: {}, {}",
                                alias.id, goes.id
                            )));
                        }
                    }
                }
                alias.custom_named = false;
                alias.merged_from.push(entity.id);
                edit.put(alias_row(&alias.mount_accessor, &alias.name), index.clone(), None);
                edit.put(alias_id_row(alias.id), index.clone(), None);
                to.aliases.push(alias);
            }
            for gone in entity.merged.into_iter().chain([entity.id]) {
                edit.put(merged_row(gone), index.clone(), None);
                to.merged.push(gone);
            }
            for id in self.identity.groups_naming(entity.id) {
                if let Some(group) = groups.of(&self.identity, id) {
                    group.members.remove(&entity.id);
                }
                if let Some(group) = groups.of(&self.identity, id) {
                    group.members.insert(to.id);
                }
            }
        }
        check_aliases(&to)?;
        if to.merged.len() > MAX_MERGED {
            return Err(Error::invalid(format!("an entity is made of at most {MAX_MERGED} others")));
        }
        groups.into_edit(edit)?;
        edit.put(entity_row(to.id), codec::encode(&to)?, Some(Expect::Revision(revision)));
        Ok(())
    }
}

/// Refuses aliases of one login method, where none is said to stay.
fn check_clashes(to: &Entity, from: &[Found<Entity>]) -> Result<(), Error> {
    let mut seen: BTreeMap<&str, Uuid> = BTreeMap::new();
    let mut clashes = Vec::new();
    for Found { value: entity, .. } in from {
        for own in &to.aliases {
            for alias in &entity.aliases {
                if seen.insert(&alias.mount_accessor, entity.id).is_some_and(|other| other != entity.id) {
                    return Err(Error::invalid(format!(
                        "mount accessor {} found in multiple fromEntities, merge should be done with one fromEntity at \
                         a time",
                        alias.mount_accessor
                    )));
                }
                if own.mount_accessor == alias.mount_accessor {
                    clashes.push(format!(
                        "\t* mountAccessor: {}, toEntity ID: {}, fromEntity ID: {}, conflicting toEntity alias ID: {}, \
                         conflicting fromEntity alias ID: {}\n",
                        own.mount_accessor, to.id, entity.id, own.id, alias.id
                    ));
                }
            }
        }
    }
    if clashes.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "{} errors occurred:\n\t* toEntity and at least one fromEntity have aliases with the same mount accessor, \
         repeat the merge request specifying exactly one fromEntity, clashes: \n{}\n",
        clashes.len() + 1,
        clashes.concat()
    )))
}

fn delete_alias(edit: &mut Edit, alias: &Alias) {
    edit.delete(alias_row(&alias.mount_accessor, &alias.name), None);
    edit.delete(alias_id_row(alias.id), None);
}

/// Entities that one entity is made of: the rows of all change when it is merged itself.
const MAX_MERGED: usize = 1000;

const ONE_AT_A_TIME: &str =
    "aliases conflicts cannot be resolved with multiple from entity ids - merge one entity at a time";
