//! Whom `policy test` decides about: what templates fill in of an entity, its aliases and its groups.

use std::collections::BTreeMap;

use clap::Args;
use coffer_core::policy::{Alias, Entity, Group, Subject};

use super::split;
use crate::failure::Failure;

/// Options that say who asks.
#[derive(Args)]
pub(super) struct Person {
    /// For templates: the entity's id
    #[arg(long, value_name = "ID")]
    entity_id: Option<String>,
    /// For templates: the entity's name
    #[arg(long, value_name = "NAME")]
    entity_name: Option<String>,
    /// For templates: the entity's metadata; repeat for more
    #[arg(long = "entity-metadata", value_name = "KEY=VALUE")]
    metadata: Vec<String>,
    /// For templates: an alias of the entity, by the accessor of its mount, and one thing known of it: id, name,
    /// metadata.KEY or custom_metadata.KEY; repeat for more
    #[arg(long = "alias", value_name = "MOUNT:KEY=VALUE")]
    aliases: Vec<String>,
    /// For templates: a group of the entity, by name, and one thing known of it: id or metadata.KEY; repeat for more
    #[arg(long = "group", value_name = "NAME[:KEY=VALUE]")]
    groups: Vec<String>,
}

/// The same, put together.
pub(super) struct Known<'a> {
    entity: Option<(&'a str, &'a str)>,
    metadata: BTreeMap<&'a str, &'a str>,
    aliases: BTreeMap<&'a str, KnownAlias<'a>>,
    groups: BTreeMap<&'a str, KnownGroup<'a>>,
}

#[derive(Default)]
struct KnownAlias<'a> {
    id: &'a str,
    name: &'a str,
    metadata: BTreeMap<&'a str, &'a str>,
    custom_metadata: BTreeMap<&'a str, &'a str>,
}

#[derive(Default)]
struct KnownGroup<'a> {
    id: &'a str,
    metadata: BTreeMap<&'a str, &'a str>,
}

impl Person {
    /// # Errors
    /// Where an option is malformed, or names what no template asks for.
    pub(super) fn known(&self) -> Result<Known<'_>, Failure> {
        let metadata = self.metadata.iter().map(|pair| split(pair, "--entity-metadata")).collect::<Result<_, _>>()?;
        let mut aliases: BTreeMap<&str, KnownAlias<'_>> = BTreeMap::new();
        for text in &self.aliases {
            let malformed = || {
                let what = "--alias takes MOUNT:KEY=VALUE, its key id, name, metadata.KEY or custom_metadata.KEY";
                Failure::local(what).hint("MOUNT is the accessor of a login method, as auth_userpass_1a2b3c4d")
            };
            let (mount, key, value) = parts(text).ok_or_else(malformed)?;
            let alias = aliases.entry(mount).or_default();
            match (key, key.split_once('.')) {
                ("id", _) => alias.id = value,
                ("name", _) => alias.name = value,
                (_, Some(("metadata", key))) => alias.metadata.extend([(key, value)]),
                (_, Some(("custom_metadata", key))) => alias.custom_metadata.extend([(key, value)]),
                (_, Some(_) | None) => return Err(malformed()),
            }
        }
        let mut groups: BTreeMap<&str, KnownGroup<'_>> = BTreeMap::new();
        for text in &self.groups {
            let Some((name, key, value)) = parts(text) else {
                groups.entry(text).or_default();
                continue;
            };
            let group = groups.entry(name).or_default();
            match (key, key.split_once('.')) {
                ("id", _) => group.id = value,
                (_, Some(("metadata", key))) => group.metadata.extend([(key, value)]),
                (_, Some(_) | None) => {
                    return Err(Failure::local("--group takes NAME or NAME:KEY=VALUE, its key id or metadata.KEY"));
                }
            }
        }
        let (id, name) = (self.entity_id.as_deref(), self.entity_name.as_deref());
        let is_known = id.is_some() || name.is_some() || !self.metadata.is_empty() || !aliases.is_empty();
        let entity = is_known.then(|| (id.unwrap_or_default(), name.unwrap_or_default()));
        Ok(Known { entity, metadata, aliases, groups })
    }
}

impl Known<'_> {
    pub(super) fn subject(&self) -> Subject<'_> {
        let aliases = self.aliases.iter().map(|(mount, alias)| Alias {
            mount_accessor: mount,
            id: alias.id,
            name: alias.name,
            metadata: alias.metadata.iter().collect(),
            custom_metadata: alias.custom_metadata.iter().collect(),
        });
        let entity = self.entity.map(|(id, name)| Entity {
            id,
            name,
            metadata: self.metadata.iter().collect(),
            aliases: aliases.collect(),
        });
        let groups = self.groups.iter().map(|(name, group)| Group {
            id: group.id,
            name,
            metadata: group.metadata.iter().collect(),
        });
        Subject { entity, groups: groups.collect() }
    }
}

/// Takes `OF:KEY=VALUE` apart; the name may hold colons, the value anything.
fn parts(text: &str) -> Option<(&str, &str, &str)> {
    let (before, value) = text.split_once('=')?;
    let (of, key) = before.rsplit_once(':')?;
    (!of.is_empty() && !key.is_empty()).then_some((of, key, value))
}
