//! Paths with `{{identity.…}}` in them.

use std::borrow::Cow;

use super::subject::{Alias, Metadata, Subject};

/// A path, taken apart into literal text and what is filled in per subject.
#[derive(Clone, Debug)]
pub(super) struct Template {
    text: String,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Literal(String),
    Selected(Selector),
}

#[derive(Clone, Debug)]
enum Selector {
    Alias { accessor: String, field: AliasField },
    EntityId,
    EntityMetadata(String),
    EntityName,
    Group { by: GroupKey, key: String, field: GroupField },
}

#[derive(Clone, Debug)]
enum AliasField {
    CustomMetadata(String),
    Id,
    Metadata(String),
    Name,
}

#[derive(Clone, Copy, Debug)]
enum GroupKey {
    Id,
    Name,
}

#[derive(Clone, Debug)]
enum GroupField {
    Id,
    Metadata(String),
    Name,
}

/// Which values a policy's templates take beside plain ones, which is none unless who writes it says so: they change
/// what a path matches.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct TemplateValues {
    /// Values with `*` or `+`.
    pub wildcards: bool,
    /// Values with `/`.
    pub slashes: bool,
}

/// Why a path is no template.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum TemplateError {
    #[error("\"{{{{\" and \"}}}}\" do not pair up")]
    Unbalanced,
    #[error("unknown template {0}")]
    Unknown(String),
}

/// Why a template names no path for a subject.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Unresolved {
    /// A value holds `*`, `+` or `/`, which would change what the path matches.
    Forbidden,
    /// The subject does not have a value.
    Missing,
}

impl Template {
    /// # Errors
    /// Braces that do not pair up, and selectors that no subject could answer.
    pub(super) fn parse(text: &str) -> Result<Template, TemplateError> {
        let mut pieces = Vec::new();
        let mut parts = text.split("{{");
        let literal = parts.next().unwrap_or_default();
        if literal.contains("}}") {
            return Err(TemplateError::Unbalanced);
        }
        pieces.push(Piece::Literal(literal.to_owned()));
        for part in parts {
            let (selector, literal) = part.split_once("}}").ok_or(TemplateError::Unbalanced)?;
            if literal.contains("}}") {
                return Err(TemplateError::Unbalanced);
            }
            let selector = Selector::parse(selector.trim())
                .ok_or_else(|| TemplateError::Unknown(super::hcl::quoted(selector.trim())))?;
            pieces.push(Piece::Selected(selector));
            pieces.push(Piece::Literal(literal.to_owned()));
        }
        Ok(Template { text: text.to_owned(), pieces })
    }

    /// The path as it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it fills in what a login method says of somebody.
    pub(super) fn names_alias_metadata(&self) -> bool {
        let names =
            |piece: &Piece| matches!(piece, Piece::Selected(Selector::Alias { field: AliasField::Metadata(_), .. }));
        self.pieces.iter().any(names)
    }

    pub(super) fn is_templated(&self) -> bool {
        self.pieces.len() > 1
    }

    /// The path for `subject`. An empty value counts as missing: it would widen what the path matches.
    pub(super) fn resolve(&self, subject: &Subject<'_>, values: TemplateValues) -> Result<Cow<'_, str>, Unresolved> {
        self.fill(|selector| {
            let value = selector.value(subject).filter(|value| !value.is_empty()).ok_or(Unresolved::Missing)?;
            let is_forbidden = |c: char| match c {
                '*' | '+' => !values.wildcards,
                '/' => !values.slashes,
                _ => false,
            };
            if value.contains(is_forbidden) { Err(Unresolved::Forbidden) } else { Ok(value) }
        })
    }

    /// The path with some letter in place of every template: what its literal parts alone determine.
    pub(super) fn sample(&self) -> Cow<'_, str> {
        self.fill(|_| Ok("x")).unwrap_or(Cow::Borrowed(&self.text))
    }

    fn fill<'s>(&self, value: impl Fn(&Selector) -> Result<&'s str, Unresolved>) -> Result<Cow<'_, str>, Unresolved> {
        if !self.is_templated() {
            return Ok(Cow::Borrowed(&self.text));
        }
        let mut path = String::with_capacity(self.text.len());
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => path.push_str(literal),
                Piece::Selected(selector) => path.push_str(value(selector)?),
            }
        }
        Ok(Cow::Owned(path))
    }
}

impl Selector {
    fn parse(text: &str) -> Option<Selector> {
        if let Some(entity) = text.strip_prefix("identity.entity.") {
            return match entity {
                "id" => Some(Selector::EntityId),
                "name" => Some(Selector::EntityName),
                _ => match entity.split_once('.')? {
                    ("metadata", name) => Some(Selector::EntityMetadata(name.to_owned())),
                    ("aliases", alias) => {
                        let (accessor, field) = alias.split_once('.')?;
                        Some(Selector::Alias { accessor: accessor.to_owned(), field: AliasField::parse(field)? })
                    }
                    _ => None,
                },
            };
        }
        let (by, rest) = text.strip_prefix("identity.groups.")?.split_once('.')?;
        let by = match by {
            "ids" => GroupKey::Id,
            "names" => GroupKey::Name,
            _ => return None,
        };
        let (key, field) = rest.split_once('.')?;
        Some(Selector::Group { by, key: key.to_owned(), field: GroupField::parse(field)? })
    }

    fn value<'a>(&self, subject: &Subject<'a>) -> Option<&'a str> {
        match self {
            Selector::EntityId => Some(subject.entity.as_ref()?.id),
            Selector::EntityName => Some(subject.entity.as_ref()?.name),
            Selector::EntityMetadata(name) => subject.entity.as_ref()?.metadata.value(name),
            Selector::Alias { accessor, field } => {
                let aliases = &subject.entity.as_ref()?.aliases;
                field.value(aliases.iter().find(|alias| alias.mount_accessor == accessor)?)
            }
            Selector::Group { by, key, field } => {
                let group = subject.groups.iter().find(|group| match by {
                    GroupKey::Id => group.id == key,
                    GroupKey::Name => group.name == key,
                })?;
                match field {
                    GroupField::Id => Some(group.id),
                    GroupField::Metadata(name) => group.metadata.value(name),
                    GroupField::Name => Some(group.name),
                }
            }
        }
    }
}

impl AliasField {
    fn parse(text: &str) -> Option<AliasField> {
        match text {
            "id" => Some(AliasField::Id),
            "name" => Some(AliasField::Name),
            _ => match text.split_once('.')? {
                ("metadata", name) => Some(AliasField::Metadata(name.to_owned())),
                ("custom_metadata", name) => Some(AliasField::CustomMetadata(name.to_owned())),
                _ => None,
            },
        }
    }

    fn value<'a>(&self, alias: &Alias<'a>) -> Option<&'a str> {
        let of = |metadata: &Metadata<'a>, name: &str| metadata.value(name);
        match self {
            AliasField::CustomMetadata(name) => of(&alias.custom_metadata, name),
            AliasField::Id => Some(alias.id),
            AliasField::Metadata(name) => of(&alias.metadata, name),
            AliasField::Name => Some(alias.name),
        }
    }
}

impl GroupField {
    fn parse(text: &str) -> Option<GroupField> {
        match text {
            "id" => Some(GroupField::Id),
            "name" => Some(GroupField::Name),
            _ => text.strip_prefix("metadata.").map(|name| GroupField::Metadata(name.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::subject::{Entity, Group};
    use super::*;

    fn subject() -> Subject<'static> {
        Subject {
            entity: Some(Entity {
                id: "e-1",
                name: "anna",
                metadata: [("team", "blue"), ("a.b", "dotted"), ("glob", "x*"), ("empty", ""), ("scope", "acme:prod")]
                    .into_iter()
                    .collect(),
                aliases: vec![Alias {
                    mount_accessor: "auth_jwt_1",
                    id: "al-1",
                    name: "repo/x",
                    metadata: [("ns", "default")].into_iter().collect(),
                    custom_metadata: [("tier", "gold")].into_iter().collect(),
                }],
            }),
            groups: vec![Group { id: "g-1", name: "ops", metadata: [("room", "12")].into_iter().collect() }],
        }
    }

    #[test]
    fn template_with_every_selector_resolves() {
        for (text, path) in [
            ("a/b", "a/b"),
            ("a/{{identity.entity.id}}", "a/e-1"),
            ("a/{{ identity.entity.name }}/*", "a/anna/*"),
            ("{{identity.entity.metadata.team}}{{identity.entity.metadata.team}}", "blueblue"),
            ("{{identity.entity.metadata.a.b}}", "dotted"),
            ("{{identity.entity.metadata.scope.project}}", "acme"),
            ("{{identity.entity.aliases.auth_jwt_1.id}}", "al-1"),
            ("{{identity.entity.aliases.auth_jwt_1.metadata.ns}}", "default"),
            ("{{identity.entity.aliases.auth_jwt_1.custom_metadata.tier}}", "gold"),
            ("{{identity.groups.ids.g-1.name}}", "ops"),
            ("{{identity.groups.names.ops.id}}", "g-1"),
            ("{{identity.groups.names.ops.metadata.room}}", "12"),
        ] {
            let template = Template::parse(text).unwrap();
            assert_eq!(template.resolve(&subject(), TemplateValues::default()).as_deref(), Ok(path), "{text}");
            assert_eq!(template.is_templated(), text != "a/b");
        }
    }

    #[test]
    fn template_with_what_the_subject_lacks_does_not_resolve() {
        for (text, reason) in [
            ("{{identity.entity.metadata.other}}", Unresolved::Missing),
            ("{{identity.entity.metadata.empty}}", Unresolved::Missing),
            ("{{identity.entity.metadata.scope.service}}", Unresolved::Missing),
            ("{{identity.entity.metadata.glob}}", Unresolved::Forbidden),
            ("{{identity.entity.aliases.auth_jwt_1.name}}", Unresolved::Forbidden),
            ("{{identity.entity.aliases.auth_jwt_2.id}}", Unresolved::Missing),
            ("{{identity.groups.names.dev.id}}", Unresolved::Missing),
        ] {
            let template = Template::parse(text).unwrap();
            assert_eq!(template.resolve(&subject(), TemplateValues::default()).unwrap_err(), reason, "{text}");
            assert_eq!(
                template.resolve(&Subject::anonymous(), TemplateValues::default()).unwrap_err(),
                Unresolved::Missing,
                "{text}"
            );
        }
    }

    #[test]
    fn template_that_is_malformed_is_refused() {
        for text in
            ["{{", "}}", "a}}b", "{{identity.entity.id", "{{identity.entity.id}}}}", "{{a{{identity.entity.id}}"]
        {
            assert_eq!(Template::parse(text).unwrap_err(), TemplateError::Unbalanced, "{text}");
        }
        for text in ["{{}}", "{{x}}", "{{identity.entity.metadata}}", "{{identity.groups.names.ops}}", "{{time.now}}"] {
            assert!(matches!(Template::parse(text), Err(TemplateError::Unknown(_))), "{text}");
        }
    }
}
