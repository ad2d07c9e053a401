//! Entities, their aliases, and internal groups: who stands behind a token, across login methods.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map},
    sync::Arc,
};

use coffer_api::Code;
use coffer_storage::Expect;
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    Error,
    active::{Active, Found},
    codec::{self, Persisted},
    commit::{Edit, Urgency, again},
    keys, policies,
    record::Record,
};

/// Groups kept in memory at most.
const MAX_GROUPS: usize = 100_000;

/// One person or workload.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Entity {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) policies: Vec<String>,
    pub(crate) disabled: bool,
    pub(crate) aliases: Vec<Alias>,
    /// Entities that were merged into it, in that order; the tokens of those are its own.
    pub(crate) merged: Vec<Uuid>,
    /// The last write named them.
    pub(crate) metadata_named: bool,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
}

/// An entity's name in one login method.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Alias {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) mount_accessor: String,
    pub(crate) mount_type: String,
    pub(crate) mount_path: String,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) custom_metadata: BTreeMap<String, String>,
    /// An operator wrote the alias, and nothing of its entity was written since.
    pub(crate) custom_named: bool,
    /// Entities that it belonged to before they were merged.
    pub(crate) merged_from: Vec<Uuid>,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
}

/// Where the members of a group come from.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum GroupKind {
    /// From the login method of its alias; no operator sets them.
    External,
    /// From operators.
    #[default]
    Internal,
}

/// A group.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Group {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) kind: GroupKind,
    /// External groups only: its name in a login method.
    pub(crate) alias: Option<Alias>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) policies: Vec<String>,
    pub(crate) members: BTreeSet<Uuid>,
    pub(crate) member_groups: BTreeSet<Uuid>,
    pub(crate) named: Named,
    /// How often it was written.
    pub(crate) modify_index: u64,
    pub(crate) created_ms: i64,
    pub(crate) updated_ms: i64,
}

/// What the last write of a group named: where that is empty it is shown so, and else as absent.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Named {
    pub(crate) members: bool,
    pub(crate) metadata: bool,
    pub(crate) policies: bool,
}

/// An index row: the id that a name stands for.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct IdRow {
    pub(crate) id: Uuid,
}

impl Persisted for Entity {}
impl Persisted for Group {}
impl Persisted for IdRow {}

/// The groups, in memory; entities are read as they are needed.
#[derive(Default)]
pub(crate) struct Identity {
    groups: RwLock<Groups>,
}

#[derive(Default)]
struct Groups {
    by_id: HashMap<Uuid, Arc<Group>>,
    /// By the name in lower case.
    by_name: HashMap<String, Uuid>,
    by_alias: HashMap<Uuid, Uuid>,
    by_alias_name: HashMap<(String, String), Uuid>,
    of_entity: HashMap<Uuid, BTreeSet<Uuid>>,
    of_group: HashMap<Uuid, BTreeSet<Uuid>>,
}

/// Who logs in, by the login method's own name for them.
pub(crate) struct AliasKey<'a> {
    pub(crate) mount_accessor: &'a str,
    pub(crate) mount_type: &'a str,
    pub(crate) mount_path: &'a str,
    pub(crate) name: &'a str,
    /// What the login method says of them, if anything; the alias has it from the last login.
    pub(crate) metadata: Option<&'a BTreeMap<String, String>>,
    /// What its entity is called if it is made now and nobody else is called so.
    pub(crate) entity_name: Option<&'a str>,
}

/// The id that text is, in its one spelling: policies see ids as they were sent.
pub(crate) fn parse_id(text: &str) -> Option<Uuid> {
    let mut spelled = Uuid::encode_buffer();
    Uuid::try_parse(text).ok().filter(|id| *id.hyphenated().encode_lower(&mut spelled) == *text)
}

/// The policies that an entity and its groups give, sorted. `root` is none of them, whatever is stored: it comes with a
/// token that was made with it, never by way of an identity.
pub(crate) fn policies_of(entity: Option<&Entity>, groups: &[Arc<Group>]) -> Vec<String> {
    let own = entity.iter().flat_map(|entity| &entity.policies);
    let all = own.chain(groups.iter().flat_map(|group| &group.policies));
    let mut all: Vec<String> = all.filter(|name| *name != policies::ROOT).cloned().collect();
    all.sort_unstable();
    all.dedup();
    all
}

impl Identity {
    pub(crate) fn put(&self, group: Group) {
        let mut groups = self.groups.write();
        groups.remove(group.id);
        groups.by_name.insert(group.name.to_lowercase(), group.id);
        if let Some(alias) = &group.alias {
            groups.by_alias.insert(alias.id, group.id);
            groups.by_alias_name.insert((alias.mount_accessor.clone(), alias.name.clone()), group.id);
        }
        for member in &group.members {
            groups.of_entity.entry(*member).or_default().insert(group.id);
        }
        for member in &group.member_groups {
            groups.of_group.entry(*member).or_default().insert(group.id);
        }
        groups.by_id.insert(group.id, Arc::new(group));
    }

    /// Refuses a new group where there are too many.
    pub(crate) fn check_room(&self, id: Uuid) -> Result<(), Error> {
        let groups = self.groups.read();
        if groups.by_id.len() >= MAX_GROUPS && !groups.by_id.contains_key(&id) {
            return Err(Error::invalid(format!("there are {MAX_GROUPS} groups, which is the limit")));
        }
        Ok(())
    }

    pub(crate) fn remove(&self, id: Uuid) {
        self.groups.write().remove(id);
    }

    pub(crate) fn group(&self, id: Uuid) -> Option<Arc<Group>> {
        self.groups.read().by_id.get(&id).cloned()
    }

    pub(crate) fn group_named(&self, name: &str) -> Option<Arc<Group>> {
        let groups = self.groups.read();
        groups.by_name.get(&name.to_lowercase()).and_then(|id| groups.by_id.get(id)).cloned()
    }

    /// The group with the alias of this id.
    pub(crate) fn group_of_alias(&self, alias: Uuid) -> Option<Arc<Group>> {
        let groups = self.groups.read();
        groups.by_alias.get(&alias).and_then(|id| groups.by_id.get(id)).cloned()
    }

    /// The group that a login method calls so.
    pub(crate) fn group_of_alias_name(&self, mount_accessor: &str, name: &str) -> Option<Arc<Group>> {
        let groups = self.groups.read();
        let key = (mount_accessor.to_owned(), name.to_owned());
        groups.by_alias_name.get(&key).and_then(|id| groups.by_id.get(id)).cloned()
    }

    /// The groups that name an entity as their member.
    pub(crate) fn groups_naming(&self, entity: Uuid) -> BTreeSet<Uuid> {
        self.groups.read().of_entity.get(&entity).cloned().unwrap_or_default()
    }

    /// Every group, by id.
    pub(crate) fn all(&self) -> Vec<Arc<Group>> {
        let mut all: Vec<_> = self.groups.read().by_id.values().cloned().collect();
        all.sort_by_key(|group| group.id);
        all
    }

    /// Whether a group with these member groups would be, over any number of steps, in itself.
    pub(crate) fn would_be_in_itself(&self, group: Uuid, members: &BTreeSet<Uuid>) -> bool {
        self.groups.read().would_be_in_itself(group, members)
    }

    /// Groups that a group is a member of.
    pub(crate) fn parents_of(&self, group: Uuid) -> BTreeSet<Uuid> {
        self.groups.read().of_group.get(&group).cloned().unwrap_or_default()
    }

    /// Groups of an entity: the direct ones and those that contain them.
    pub(crate) fn groups_of(&self, entity: Uuid) -> (Vec<Arc<Group>>, Vec<Arc<Group>>) {
        let groups = self.groups.read();
        let direct = groups.of_entity.get(&entity).cloned().unwrap_or_default();
        let mut seen = direct.clone();
        let mut front = direct.clone();
        // To the end: a group left out might be the one that denies. Each is looked at once, whatever contains what.
        while !front.is_empty() {
            let above: BTreeSet<Uuid> =
                front.iter().filter_map(|id| groups.of_group.get(id)).flatten().copied().collect();
            front = above.difference(&seen).copied().collect();
            seen.extend(&front);
        }
        let find = |ids: &mut dyn Iterator<Item = &Uuid>| ids.filter_map(|id| groups.by_id.get(id).cloned()).collect();
        (find(&mut direct.iter()), find(&mut seen.difference(&direct)))
    }
}

impl Groups {
    /// Whether a group with these members would be, over any number of steps, in itself.
    fn would_be_in_itself(&self, id: Uuid, members: &BTreeSet<Uuid>) -> bool {
        let mut seen = BTreeSet::from([id]);
        let mut front = vec![id];
        while let Some(group) = front.pop() {
            if members.contains(&group) {
                return true;
            }
            let above = self.of_group.get(&group).into_iter().flatten();
            front.extend(above.filter(|above| seen.insert(**above)));
        }
        false
    }

    fn remove(&mut self, id: Uuid) {
        if let Some(old) = self.by_id.remove(&id) {
            self.by_name.remove(&old.name.to_lowercase());
            if let Some(alias) = &old.alias {
                self.by_alias.remove(&alias.id);
                self.by_alias_name.remove(&(alias.mount_accessor.clone(), alias.name.clone()));
            }
            for member in &old.members {
                leave(&mut self.of_entity, *member, id);
            }
            for member in &old.member_groups {
                leave(&mut self.of_group, *member, id);
            }
        }
    }
}

/// Takes a group from those that a member is in.
fn leave(groups_of: &mut HashMap<Uuid, BTreeSet<Uuid>>, member: Uuid, group: Uuid) {
    if let hash_map::Entry::Occupied(mut of) = groups_of.entry(member) {
        of.get_mut().remove(&group);
        if of.get().is_empty() {
            of.remove();
        }
    }
}

impl Active {
    pub(crate) async fn entity(&self, id: Uuid) -> Result<Option<Found<Entity>>, Error> {
        self.row(&entity_row(id)).await
    }

    pub(crate) async fn entity_named(&self, name: &str) -> Result<Option<Found<Entity>>, Error> {
        match self.row::<IdRow>(&entity_name_row(name)).await? {
            Some(index) => self.entity(index.value.id).await,
            None => Ok(None),
        }
    }

    /// The entity that a token's is today: itself, or the one it was merged into.
    pub(crate) async fn entity_of_token(&self, id: Uuid) -> Result<Option<Found<Entity>>, Error> {
        if let Some(entity) = self.entity(id).await? {
            return Ok(Some(entity));
        }
        match self.row::<IdRow>(&merged_row(id)).await? {
            Some(survivor) => self.entity(survivor.value.id).await,
            None => Ok(None),
        }
    }

    /// The entity behind a login; made at the first one. Where nothing changed, nothing is written.
    pub(crate) async fn entity_of_login(self: &Arc<Self>, key: &AliasKey<'_>) -> Result<Entity, Error> {
        // An operator may change it meanwhile, or have given another one the name that was thought up.
        again!(self.entity_at_login(key))
    }

    async fn entity_at_login(self: &Arc<Self>, key: &AliasKey<'_>) -> Result<Entity, Error> {
        let alias_row = alias_row(key.mount_accessor, key.name);
        if let Some(entity) = self.entity_of_alias(&alias_row).await? {
            return match key.metadata {
                Some(metadata) if entity.alias(key).is_some_and(|alias| alias.metadata != *metadata) => {
                    self.alias_told(key, metadata, entity.id).await
                }
                Some(_) | None => Ok(entity),
            };
        }
        let guard = match key.entity_name {
            Some(_) => self.locks.lock(&[keys::ENTITY, &alias_row]).await,
            None => self.locks.lock(&[&alias_row]).await,
        };
        if let Some(entity) = self.entity_of_alias(&alias_row).await? {
            return Ok(entity);
        }
        let now = self.clock.now();
        let id = Uuid::new_v4();
        let alias_id = Uuid::new_v4();
        let alias = Alias {
            id: alias_id,
            name: key.name.to_owned(),
            mount_accessor: key.mount_accessor.to_owned(),
            mount_type: key.mount_type.to_owned(),
            mount_path: key.mount_path.to_owned(),
            metadata: key.metadata.cloned().unwrap_or_default(),
            created_ms: now,
            updated_ms: now,
            ..Alias::default()
        };
        let short = id.simple().to_string();
        let short = short.get(..8).unwrap_or(&short);
        let name = match key.entity_name {
            Some(name) if self.entity_named(name).await?.is_none() => name.to_owned(),
            Some(name) => format!("{name}_{short}"),
            None => format!("entity_{short}"),
        };
        let entity = Entity { id, name, aliases: vec![alias], created_ms: now, updated_ms: now, ..Entity::default() };
        let mut edit = Edit::under(guard);
        edit.put(entity_row(id), codec::encode(&entity)?, Some(Expect::Absent));
        edit.put(entity_name_row(&entity.name), codec::encode(&IdRow { id })?, Some(Expect::Absent));
        edit.put(alias_row, codec::encode(&IdRow { id })?, Some(Expect::Absent));
        edit.put(alias_id_row(alias_id), codec::encode(&IdRow { id })?, Some(Expect::Absent));
        let record = Record::system("entity.create").fact("entity", id.to_string()).fact("alias", key.name);
        self.commit(edit, record, Urgency::Ordinary).await?.spend();
        Ok(entity)
    }

    pub(crate) async fn entity_of_alias(&self, alias_row: &str) -> Result<Option<Entity>, Error> {
        let Some(index) = self.row_cached::<IdRow>(alias_row).await? else { return Ok(None) };
        Ok(self.row_cached(&entity_row(index.value.id)).await?.map(|found| found.value))
    }

    /// Brings what an alias says of its owner up to date; policies may speak of it.
    async fn alias_told(
        self: &Arc<Self>,
        key: &AliasKey<'_>,
        metadata: &BTreeMap<String, String>,
        id: Uuid,
    ) -> Result<Entity, Error> {
        let row = entity_row(id);
        let guard = self.locks.lock(&[keys::ENTITY, &row]).await;
        let found =
            self.entity(id).await?.ok_or_else(|| Error::new(Code::Conflict, "the entity changed; try again"))?;
        let mut entity = found.value;
        let now = self.clock.now();
        let is_it = |alias: &&mut Alias| alias.mount_accessor == key.mount_accessor && alias.name == key.name;
        let Some(alias) = entity.aliases.iter_mut().find(is_it) else { return Ok(entity) };
        alias.metadata.clone_from(metadata);
        alias.updated_ms = now;
        let mut edit = Edit::under(guard);
        edit.put(row, codec::encode(&entity)?, Some(Expect::Revision(found.revision)));
        // It may do so at each login: tokens are looked at again only where a policy goes by it.
        edit.in_force(|active| {
            if active.policies.name_alias_metadata() {
                active.authority_changed();
            }
        });
        let record = Record::system("entity.alias").fact("entity", id.to_string()).fact("alias", key.name);
        self.commit(edit, record, Urgency::Ordinary).await?.spend();
        Ok(entity)
    }
}

impl Entity {
    /// Its empty fields that an earlier write named are shown as absent from now on.
    pub(crate) fn settle(&mut self) {
        self.metadata_named = false;
        self.aliases.iter_mut().for_each(|alias| alias.custom_named = false);
    }

    fn alias(&self, key: &AliasKey<'_>) -> Option<&Alias> {
        self.aliases.iter().find(|alias| alias.mount_accessor == key.mount_accessor && alias.name == key.name)
    }
}

pub(crate) fn entity_row(id: Uuid) -> String {
    format!("{}{id}", keys::ENTITY)
}

pub(crate) fn entity_name_row(name: &str) -> String {
    format!("{}{}", keys::ENTITY_NAME, name.to_lowercase())
}

pub(crate) fn merged_row(id: Uuid) -> String {
    format!("{}{id}", keys::ENTITY_MERGED)
}

pub(crate) fn alias_row(mount_accessor: &str, name: &str) -> String {
    format!("{}{mount_accessor}/{name}", keys::ALIAS)
}

pub(crate) fn alias_id_row(id: Uuid) -> String {
    format!("{}{id}", keys::ALIAS_ID)
}

pub(crate) fn group_row(id: Uuid) -> String {
    format!("{}{id}", keys::GROUP)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(n: u128, members: &[u128], member_groups: &[u128]) -> Group {
        Group {
            id: Uuid::from_u128(n),
            name: n.to_string(),
            members: members.iter().map(|n| Uuid::from_u128(*n)).collect(),
            member_groups: member_groups.iter().map(|n| Uuid::from_u128(*n)).collect(),
            ..Group::default()
        }
    }

    #[test]
    fn group_in_itself_is_seen_over_any_number_of_steps() {
        let identity = Identity::default();
        // 1 in 2 in 3; 4 by itself.
        for group in [group(1, &[], &[]), group(2, &[], &[1]), group(3, &[], &[2]), group(4, &[], &[])] {
            identity.put(group);
        }
        let loops = |id: u128, members: &[u128]| {
            let members = members.iter().map(|n| Uuid::from_u128(*n)).collect();
            identity.would_be_in_itself(Uuid::from_u128(id), &members)
        };
        assert!(loops(1, &[1]) && loops(1, &[4, 3]) && loops(2, &[3]) && loops(9, &[9]));
        assert!(!loops(3, &[1, 2, 4]) && !loops(4, &[3]) && !loops(1, &[4]) && !loops(9, &[1, 2, 3]) && !loops(1, &[]));
    }

    #[test]
    fn groups_are_inherited_over_any_number_of_steps_and_leave_nothing_behind() {
        let identity = Identity::default();
        identity.put(group(1, &[1000], &[]));
        (2..=100).for_each(|n| identity.put(group(n, &[], &[n - 1])));
        let (direct, inherited) = identity.groups_of(Uuid::from_u128(1000));
        assert_eq!((direct.len(), inherited.len()), (1, 99), "one that was left out might be the one that denies");
        (1..=100).for_each(|n| identity.remove(Uuid::from_u128(n)));
        let groups = identity.groups.read();
        assert!(groups.of_entity.is_empty() && groups.of_group.is_empty());
    }

    #[test]
    fn root_is_no_policy_of_an_identity() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let entity = Entity { policies: names(&["root", "b"]), ..Entity::default() };
        let group = Group { policies: names(&["root", "a", "b"]), ..Group::default() };
        assert_eq!(policies_of(Some(&entity), &[Arc::new(group)]), names(&["a", "b"]));
    }

    #[test]
    fn groups_are_inherited_and_cycles_end() {
        let identity = Identity::default();
        for group in [group(1, &[100], &[3]), group(2, &[], &[1]), group(3, &[], &[2])] {
            identity.put(group);
        }
        let names = |groups: Vec<Arc<Group>>| groups.iter().map(|group| group.name.clone()).collect::<Vec<_>>();
        let (direct, inherited) = identity.groups_of(Uuid::from_u128(100));
        assert_eq!((names(direct), names(inherited)), (vec!["1".to_owned()], vec!["2".to_owned(), "3".to_owned()]));
        identity.put(group(1, &[], &[]));
        assert!(identity.groups_of(Uuid::from_u128(100)).0.is_empty(), "a member that left is forgotten");
    }
}
