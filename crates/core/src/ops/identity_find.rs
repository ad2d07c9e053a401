//! Identities by what is known of them.

use super::{
    identity::{By, EntityView},
    identity_group::{GroupView, view_group},
};
use crate::{
    Caller, Error,
    caller::Done,
    identity::{alias_row, parse_id},
    keys,
    ops::list::ListPart,
    policy::{Operation, Parameters},
};

/// What is known of an entity or a group that is looked for.
#[derive(Clone, Copy, Debug)]
pub enum IdentityClue<'a> {
    /// Its name in a login method.
    Alias {
        /// The name.
        name: &'a str,
        /// The login method.
        mount_accessor: &'a str,
    },
    /// The id of an alias of it.
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
        clue: IdentityClue<'_>,
        parameters: &dyn Parameters,
    ) -> Result<Option<EntityView>, Error> {
        self.recorded(self.record("entity.lookup", path), async {
            self.authorise(path, Operation::Update, parameters)?;
            let found = match clue {
                IdentityClue::Alias { name, mount_accessor } => {
                    self.active.entity_of_alias(&alias_row(mount_accessor, name)).await?
                }
                IdentityClue::AliasId(id) => self.active.alias_of_id(id).await?.map(|(found, _)| found.value),
                IdentityClue::Own(By::Id(id)) => match parse_id(id) {
                    Some(id) => self.active.entity(id).await?.map(|found| found.value),
                    None => None,
                },
                IdentityClue::Own(By::Name(name)) => self.active.entity_named(name).await?.map(|found| found.value),
            };
            Ok(Done::Unlogged(found.map(|entity| self.active.entity_view(&entity))))
        })
        .await
    }

    /// The group that something is known of, or `None`.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `path`.
    pub async fn group_lookup(
        &self,
        path: &str,
        clue: IdentityClue<'_>,
        parameters: &dyn Parameters,
    ) -> Result<Option<GroupView>, Error> {
        self.recorded(self.record("group.lookup", path), async {
            self.authorise(path, Operation::Update, parameters)?;
            let identity = &self.active.identity;
            let found = match clue {
                IdentityClue::Alias { name, mount_accessor } => identity.group_of_alias_name(mount_accessor, name),
                IdentityClue::AliasId(id) => parse_id(id).and_then(|id| identity.group_of_alias(id)),
                IdentityClue::Own(By::Id(id)) => parse_id(id).and_then(|id| identity.group(id)),
                IdentityClue::Own(By::Name(name)) => identity.group_named(name),
            };
            Ok(Done::Unlogged(found.map(|group| view_group(&group, identity))))
        })
        .await
    }

    /// Entities in the order of their ids.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without list on `path`.
    pub async fn entity_views(&self, path: &str, part: ListPart<'_>) -> Result<Vec<EntityView>, Error> {
        self.recorded(self.record("entity.list", path), async {
            let part = self.authorise_list(path, part)?;
            let mut views = Vec::new();
            for id in self.active.list(keys::ENTITY, part).await?.items {
                // One that goes while the list is made is left out.
                let Some(id) = parse_id(&id) else { continue };
                if let Some(found) = self.active.entity(id).await? {
                    views.push(self.active.entity_view(&found.value));
                }
            }
            Ok(Done::Unlogged(views))
        })
        .await
    }
}
