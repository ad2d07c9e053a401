//! Groups, as `identity/` offers them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use uuid::Uuid;

use super::{
    identity::{By, IdentityWrite, Upsert, asked_as, check_bounds, check_name, policies_given, shown},
    identity_alias::{AliasView, view_alias},
    list::ListPart,
};
use crate::{
    Caller, Error,
    active::Active,
    caller::Done,
    codec,
    commit::Edit,
    identity::{Group, GroupKind, Identity, Named, group_row, parse_id},
    keys,
    policy::{Operation, Parameters},
    time::rfc3339,
};

/// A group as shown.
#[derive(Clone, Debug)]
pub struct GroupView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where its members come from.
    pub kind: GroupKind,
    /// External groups only: its name in a login method.
    pub alias: Option<AliasView>,
    /// Free text pairs; `None` where there are none and the last write did not say so. The same below.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Its policies.
    pub policies: Option<Vec<String>>,
    /// Entities in it.
    pub member_entity_ids: Option<Vec<String>>,
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

/// A group as lists have it: without the names of who is in it.
#[derive(Clone, Debug)]
pub struct GroupBrief {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// How many entities are in it.
    pub member_entities: usize,
    /// How many groups it is in.
    pub parent_groups: usize,
}

impl Caller {
    /// Creates or changes a group.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `path`; [`coffer_api::Code::Invalid`] where the name is taken,
    /// a member does not exist, the group would be in itself, an external one would have members, the kind would change, or
    /// `root` is among the policies.
    pub async fn group_write(
        &self,
        path: &str,
        write: IdentityWrite,
        parameters: &dyn Parameters,
    ) -> Result<(GroupView, Upsert), Error> {
        let asked = asked_as(path);
        let record = self.record("group.write", &asked);
        self.recorded(record.clone(), async {
            self.authorise(&asked, Operation::Update, parameters)?;
            let guard = self.active.locks.lock(&[keys::ENTITY, keys::GROUP]).await;
            let unknown = || Error::invalid("invalid group ID");
            let known = match (&write.id, &write.name) {
                (Some(id), _) => {
                    let id = parse_id(id).ok_or_else(unknown)?;
                    Some(self.active.identity.group(id).ok_or_else(unknown)?)
                }
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
            if upsert == Upsert::Updated && write.kind.is_some_and(|kind| kind != group.kind) {
                return Err(Error::invalid("group type cannot be changed"));
            }
            group.kind = write.kind.unwrap_or(group.kind);
            let is_any = |ids: &Option<Vec<String>>| ids.as_ref().is_some_and(|ids| !ids.is_empty());
            if group.kind == GroupKind::External && is_any(&write.member_entity_ids) {
                return Err(Error::invalid("member entities can't be set manually for external groups"));
            }
            if group.kind == GroupKind::External && is_any(&write.member_group_ids) {
                return Err(Error::invalid("member groups can't be set for external groups"));
            }
            group.named = Named {
                members: write.member_entity_ids.is_some(),
                metadata: write.metadata.is_some(),
                policies: write.policies.is_some(),
            };
            group.metadata = write.metadata.unwrap_or(group.metadata);
            group.policies = write.policies.map_or(Ok(group.policies), policies_given)?;
            if let Some(ids) = write.member_entity_ids {
                group.members = self.active.members_given(&ids, &group.members).await?;
            }
            if let Some(ids) = write.member_group_ids {
                group.member_groups = self.active.member_groups_given(&ids, group.id)?;
            }
            group.updated_ms = now;
            group.modify_index = group.modify_index.saturating_add(1);
            check_bounds(&group.metadata, &group.policies)?;
            if group.members.len() + group.member_groups.len() > MAX_MEMBERS {
                return Err(Error::invalid(format!("a group has at most {MAX_MEMBERS} members")));
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
        let asked = asked_as(path);
        self.recorded(self.record("group.read", &asked), async {
            self.authorise(&asked, Operation::Read, &())?;
            let found = match by {
                By::Id(id) => parse_id(id).and_then(|id| self.active.identity.group(id)),
                By::Name(name) => self.active.identity.group_named(name),
            };
            Ok(Done::Unlogged(found.map(|group| view_group(&group, &self.active.identity))))
        })
        .await
    }

    /// Groups in the order of their ids.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without list on `path`.
    pub async fn group_list(&self, path: &str, part: ListPart<'_>) -> Result<Vec<GroupBrief>, Error> {
        self.recorded(self.record("group.list", path), async {
            let part = self.authorise_list(path, part)?;
            let identity = &self.active.identity;
            // In the order of their ids, as bytes and as text.
            let all = identity.all().into_iter().map(|group| (group.id.to_string(), group));
            let part = part.of_named(all, |(id, _)| id)?.items;
            let brief = |(id, group): (String, Arc<Group>)| GroupBrief {
                name: group.name.clone(),
                member_entities: group.members.len(),
                parent_groups: identity.parents_of(group.id).len(),
                id,
            };
            Ok(Done::Unlogged(part.into_iter().map(brief).collect()))
        })
        .await
    }

    /// Names of groups.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without list on `path`.
    pub async fn group_names(&self, path: &str, part: ListPart<'_>) -> Result<Vec<String>, Error> {
        self.recorded(self.record("group.list", path), async {
            let part = self.authorise_list(path, part)?;
            let mut names: Vec<String> = self.active.identity.all().iter().map(|group| group.name.clone()).collect();
            names.sort_unstable();
            Ok(Done::Unlogged(part.of(names)?.items))
        })
        .await
    }
}

impl Active {
    pub(crate) async fn load_groups(&self) -> Result<(), Error> {
        self.each(keys::GROUP, |_, group: Group| {
            self.identity.put(group);
            Ok(())
        })
        .await
    }

    /// The entities of these ids, which must exist unless they are members already.
    async fn members_given(&self, ids: &[String], known: &BTreeSet<Uuid>) -> Result<BTreeSet<Uuid>, Error> {
        let mut members = BTreeSet::new();
        for text in ids {
            let id = parse_id(text);
            let exists = match id {
                Some(id) => known.contains(&id) || members.contains(&id) || self.entity(id).await?.is_some(),
                None => false,
            };
            let id = id.filter(|_| exists);
            members.insert(id.ok_or_else(|| Error::invalid(format!("invalid entity ID \"{text}\"")))?);
        }
        Ok(members)
    }

    /// The groups of these ids, which must exist and may not contain the group that is to contain them.
    fn member_groups_given(&self, ids: &[String], group: Uuid) -> Result<BTreeSet<Uuid>, Error> {
        let mut members = BTreeSet::new();
        for text in ids {
            let id = parse_id(text).filter(|id| *id == group || self.identity.group(*id).is_some());
            let id = id.ok_or_else(|| Error::invalid(format!("invalid member group ID \"{text}\"")))?;
            if id == group {
                return Err(Error::invalid(format!("member group ID \"{id}\" is same as the ID of the group")));
            }
            members.insert(id);
        }
        if self.identity.would_be_in_itself(group, &members) {
            let loops = |id: &&Uuid| self.identity.would_be_in_itself(group, &BTreeSet::from([**id]));
            let id = members.iter().find(loops).copied().unwrap_or(group);
            return Err(Error::invalid(format!("cyclic relationship detected for member group ID \"{id}\"")));
        }
        Ok(members)
    }
}

/// Groups on their way into an edit, each changed by as many steps as it takes and stored once.
#[derive(Default)]
pub(super) struct GroupChanges(BTreeMap<Uuid, Group>);

impl GroupChanges {
    /// The group as it will be, counted as written once more; `None` where there is none.
    pub(super) fn of(&mut self, identity: &Identity, id: Uuid) -> Option<&mut Group> {
        let group = match self.0.remove(&id) {
            Some(group) => group,
            None => identity.group(id)?.as_ref().clone(),
        };
        let group = self.0.entry(id).or_insert(group);
        group.modify_index = group.modify_index.saturating_add(1);
        group.named = Named::default();
        Some(group)
    }

    /// A group that is among them.
    pub(super) fn changing(&mut self, id: Uuid) -> Option<&mut Group> {
        self.0.get_mut(&id)
    }

    /// About how many bytes their rows have.
    pub(super) fn weight(&self) -> usize {
        let texts = |group: &Group| {
            group.policies.iter().chain(group.metadata.values()).map(|text| 160 + text.len()).sum::<usize>()
        };
        self.0.values().map(|group| 1024 + texts(group) + 17 * (group.members.len() + group.member_groups.len())).sum()
    }

    /// A new group.
    pub(super) fn add(&mut self, group: Group) -> &mut Group {
        self.0.entry(group.id).insert_entry(group).into_mut()
    }

    /// Stores the groups with the edit, and takes them into memory where it is in force.
    pub(super) fn into_edit(self, edit: &mut Edit) -> Result<(), Error> {
        let mut groups = Vec::with_capacity(self.0.len());
        for group in self.0.into_values() {
            edit.put(group_row(group.id), codec::encode(&group)?, None);
            groups.push(group);
        }
        edit.in_force(move |active| groups.into_iter().for_each(|group| active.identity.put(group)));
        Ok(())
    }
}

pub(super) fn view_group(group: &Group, identity: &Identity) -> GroupView {
    GroupView {
        id: group.id.to_string(),
        name: group.name.clone(),
        kind: group.kind,
        alias: group.alias.as_ref().map(|alias| view_alias(alias, group.id)),
        metadata: shown(&group.metadata, group.named.metadata),
        policies: shown(&group.policies, group.named.policies),
        member_entity_ids: shown(&group.members, group.named.members).map(|ids| texts(&ids)),
        member_group_ids: texts(group.member_groups.iter().filter(|id| identity.group(**id).is_some())),
        parent_group_ids: texts(&identity.parents_of(group.id)),
        modify_index: group.modify_index,
        creation_time: rfc3339(group.created_ms),
        last_update_time: rfc3339(group.updated_ms),
    }
}

fn texts<'a>(ids: impl IntoIterator<Item = &'a Uuid>) -> Vec<String> {
    ids.into_iter().map(Uuid::to_string).collect()
}

/// Entities and groups in one group.
const MAX_MEMBERS: usize = 23_000;
