//! The names of external groups in login methods. They are in the rows of their groups: a group has one at most.

use coffer_api::Code;
use uuid::Uuid;

use super::{
    identity_alias::{AliasView, AliasWrite, new_alias, view_alias},
    identity_group::GroupChanges,
    list::ListPart,
};
use crate::{
    Caller, Error,
    active::Active,
    caller::Done,
    commit::Edit,
    identity::{Alias, Group, GroupKind, parse_id},
    keys,
    policy::{Operation, Parameters},
};

impl Caller {
    /// Gives an external group a name in a login method, in place of the one it has; or changes one, as its id says.
    /// `None` where all is as it was.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on `path`; [`Code::Invalid`] without name or login method, where mount, alias
    /// or group do not exist, the group is an internal one, or another has that name.
    pub async fn group_alias_write(
        &self,
        path: &str,
        write: &AliasWrite,
        parameters: &dyn Parameters,
    ) -> Result<Option<AliasView>, Error> {
        let record = self.record("group-alias.write", path);
        self.recorded(record.clone(), async {
            self.authorise(path, Operation::Update, parameters)?;
            let identity = &self.active.identity;
            let guard = self.active.locks.lock(&[keys::GROUP]).await;
            let known = match &write.id {
                Some(id) => {
                    let group = parse_id(id).and_then(|id| identity.group_of_alias(id));
                    let known = group.and_then(|group| Some((group.id, group.alias.clone()?)));
                    Some(known.ok_or_else(|| Error::invalid("invalid group alias ID"))?)
                }
                None => None,
            };
            let name = write.name.as_deref().ok_or_else(|| Error::invalid("missing alias name"))?;
            let accessor = write.mount_accessor.as_deref().ok_or_else(|| Error::invalid("missing mount_accessor"))?;
            let target = match &write.canonical_id {
                Some(id) => Some(external_group(&self.active, id)?),
                None => known.as_ref().map(|(id, _)| *id),
            };
            let is_as_it_was = |(group, alias): &(Uuid, Alias)| {
                alias.name == name && alias.mount_accessor == accessor && target == Some(*group)
            };
            if known.as_ref().is_some_and(is_as_it_was) {
                return Ok(Done::Unlogged(None));
            }
            let mount = self.active.login_mount(accessor)?;
            let taken = identity.group_of_alias_name(accessor, name).and_then(|group| Some(group.alias.as_ref()?.id));
            if taken.is_some_and(|taken| known.as_ref().is_none_or(|(_, alias)| alias.id != taken)) {
                return Err(Error::invalid("combination of mount and group alias name is already in use"));
            }
            let now = self.active.clock.now();
            let mut alias = new_alias(name, &mount, now)?;
            let mut groups = GroupChanges::default();
            if let Some((owner, known)) = &known {
                alias.id = known.id;
                alias.created_ms = known.created_ms;
                if let Some(owner) = groups.of(identity, *owner).filter(|owner| Some(owner.id) != target) {
                    owner.alias = None;
                    owner.updated_ms = now;
                }
            }
            let group = match target {
                Some(id) if known.as_ref().is_some_and(|(owner, _)| *owner == id) => groups.changing(id),
                Some(id) => groups.of(identity, id),
                None => {
                    let id = Uuid::new_v4();
                    let name = format!("group_{}", id.simple());
                    identity.check_room(id)?;
                    let kind = GroupKind::External;
                    Some(groups.add(Group { id, name, kind, modify_index: 1, created_ms: now, ..Group::default() }))
                }
            };
            let group = group.ok_or_else(|| Error::new(Code::Conflict, "the group changed; try again"))?;
            group.alias = Some(alias.clone());
            group.updated_ms = now;
            let view = view_alias(&alias, group.id);
            let record = record.fact("group", view.canonical_id.clone()).fact("alias", view.id.clone());
            let mut edit = Edit::under(guard);
            groups.into_edit(&mut edit)?;
            edit.in_force(Active::authority_changed);
            Ok(Done::Logged(Some(view), self.commit(edit, record).await?))
        })
        .await
    }

    /// The alias of a group, or `None`.
    ///
    /// # Errors
    /// [`Code::Denied`] without read on `path`.
    pub async fn group_alias_read(&self, path: &str, id: &str) -> Result<Option<AliasView>, Error> {
        self.recorded(self.record("group-alias.read", path), async {
            self.authorise(path, Operation::Read, &())?;
            let group = parse_id(id).and_then(|id| self.active.identity.group_of_alias(id));
            Ok(Done::Unlogged(group.and_then(|group| Some(view_alias(group.alias.as_ref()?, group.id)))))
        })
        .await
    }

    /// Aliases of groups in the order of their ids.
    ///
    /// # Errors
    /// [`Code::Denied`] without list on `path`.
    pub async fn group_alias_list(&self, path: &str, part: ListPart<'_>) -> Result<Vec<AliasView>, Error> {
        self.recorded(self.record("group-alias.list", path), async {
            let part = self.authorise_list(path, part)?;
            let groups = self.active.identity.all();
            let views = groups.iter().filter_map(|group| Some(view_alias(group.alias.as_ref()?, group.id)));
            let mut views: Vec<AliasView> = views.collect();
            views.sort_unstable_by(|a, b| a.id.cmp(&b.id));
            Ok(Done::Unlogged(part.of_named(views, |alias| &alias.id)?.items))
        })
        .await
    }

    /// Takes an alias from its group. One that is not there is no error.
    ///
    /// # Errors
    /// [`Code::Denied`] without delete on `path`.
    pub async fn group_alias_delete(&self, path: &str, id: &str) -> Result<(), Error> {
        let record = self.record("group-alias.delete", path);
        self.recorded(record.clone(), async {
            self.authorise(path, Operation::Delete, &())?;
            let identity = &self.active.identity;
            let guard = self.active.locks.lock(&[keys::GROUP]).await;
            let mut groups = GroupChanges::default();
            let found = parse_id(id).and_then(|id| identity.group_of_alias(id));
            let Some(group) = found.and_then(|group| groups.of(identity, group.id)) else {
                return Ok(Done::Unlogged(()));
            };
            group.alias = None;
            let record = record.fact("group", group.id.to_string()).fact("alias", id);
            let mut edit = Edit::under(guard);
            groups.into_edit(&mut edit)?;
            edit.in_force(Active::authority_changed);
            Ok(Done::Logged((), self.commit(edit, record).await?))
        })
        .await
    }
}

/// The group that an alias is to be of.
fn external_group(active: &Active, id: &str) -> Result<Uuid, Error> {
    let group = parse_id(id).and_then(|id| active.identity.group(id));
    let group = group.ok_or_else(|| Error::invalid("invalid group ID given in 'canonical_id'"))?;
    match group.kind {
        GroupKind::External => Ok(group.id),
        GroupKind::Internal => Err(Error::invalid("alias can't be set on an internal group")),
    }
}
