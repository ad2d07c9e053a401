//! Whom a policy's templates speak of: entity, aliases, groups. Borrowed from wherever the caller keeps them.

/// The one who asks, as far as templates can tell.
#[derive(Clone, Debug, Default)]
pub struct Subject<'a> {
    /// The entity behind the token; `None` leaves every entity template unresolved.
    pub entity: Option<Entity<'a>>,
    /// The groups of the entity, inherited ones included.
    pub groups: Vec<Group<'a>>,
}

impl Subject<'_> {
    /// Someone without an entity: no template resolves.
    pub fn anonymous() -> Subject<'static> {
        Subject::default()
    }
}

/// An entity: one person or workload.
#[derive(Clone, Debug, Default)]
pub struct Entity<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What is known about it.
    pub metadata: Metadata<'a>,
    /// Its names in the authentication mounts.
    pub aliases: Vec<Alias<'a>>,
}

/// An entity's name in one authentication mount.
#[derive(Clone, Debug, Default)]
pub struct Alias<'a> {
    /// The accessor of the mount.
    pub mount_accessor: &'a str,
    /// The id of the alias.
    pub id: &'a str,
    /// The name that the mount knows it by.
    pub name: &'a str,
    /// What the mount knows about it.
    pub metadata: Metadata<'a>,
    /// What operators noted about it.
    pub custom_metadata: Metadata<'a>,
}

/// A group that the entity belongs to.
#[derive(Clone, Debug, Default)]
pub struct Group<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What is known about it.
    pub metadata: Metadata<'a>,
}

/// Names and values, collected from any map: `map.iter().collect()`. Of a name given twice the last value counts.
///
/// Besides the names themselves, `scope.project`, `scope.environment` and `scope.service` are offered: the segments
/// of the value `scope` (`acme:prod:api`), as far as it has them and if it is a scope. A template cannot take the
/// value apart, and a `/` in it would drop the path. A name that is really there comes first.
#[derive(Clone, Debug, Default)]
pub struct Metadata<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Metadata<'a> {
    /// The value of `name`.
    pub fn value(&self, name: &str) -> Option<&'a str> {
        self.stored(name).or_else(|| {
            let part = name.strip_prefix("scope.")?;
            let index = SCOPE_PARTS.iter().position(|known| *known == part)?;
            scope_segments(self.stored("scope")?)?.get(index).copied().flatten()
        })
    }

    fn stored(&self, name: &str) -> Option<&'a str> {
        let index = self.0.binary_search_by(|(known, _)| (*known).cmp(name)).ok()?;
        self.0.get(index).map(|(_, value)| *value)
    }
}

impl<'a, K, V> FromIterator<(&'a K, &'a V)> for Metadata<'a>
where
    K: AsRef<str> + ?Sized + 'a,
    V: AsRef<str> + ?Sized + 'a,
{
    fn from_iter<T: IntoIterator<Item = (&'a K, &'a V)>>(pairs: T) -> Metadata<'a> {
        let mut pairs: Vec<_> = pairs.into_iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect();
        pairs.reverse();
        pairs.sort_by_key(|(name, _)| *name);
        pairs.dedup_by_key(|(name, _)| *name);
        Metadata(pairs)
    }
}

const SCOPE_PARTS: [&str; 3] = ["project", "environment", "service"];

/// The segments of a scope `project[:environment[:service]]`; `None` if it is not one.
fn scope_segments(scope: &str) -> Option<[Option<&str>; 3]> {
    let mut segments = scope.split(':');
    let found = [segments.next(), segments.next(), segments.next()];
    let all_valid = segments.next().is_none() && found.iter().flatten().all(|segment| is_scope_segment(segment));
    all_valid.then_some(found)
}

fn is_scope_segment(segment: &str) -> bool {
    let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    segment.len() <= 63
        && segment.bytes().next().is_some_and(lower)
        && segment.bytes().all(|b| lower(b) || matches!(b, b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn metadata_with_a_scope_offers_its_segments() {
        let map = BTreeMap::from([("scope".to_owned(), "acme:prod".to_owned())]);
        let metadata: Metadata<'_> = map.iter().collect();
        assert_eq!(metadata.value("scope"), Some("acme:prod"));
        assert_eq!(metadata.value("scope.project"), Some("acme"));
        assert_eq!(metadata.value("scope.environment"), Some("prod"));
        assert_eq!(metadata.value("scope.service"), None);
        assert_eq!(metadata.value("scope.other"), None);
        assert_eq!(metadata.value("other"), None);
    }

    #[test]
    fn metadata_with_what_is_no_scope_offers_no_segments() {
        for scope in ["", "acme:", ":prod", "acme:prod:api:x", "Acme", "acme:../x", "acme:*", "acme:+", "-a", "a b"] {
            let metadata: Metadata<'_> = [("scope", scope)].into_iter().collect();
            assert_eq!(metadata.value("scope.project"), None, "{scope}");
        }
    }

    #[test]
    fn metadata_with_a_name_twice_keeps_the_last_and_real_names_come_first() {
        let metadata: Metadata<'_> =
            [("b", "1"), ("a", "2"), ("b", "3"), ("scope", "x"), ("scope.project", "y")].into_iter().collect();
        assert_eq!(metadata.value("b"), Some("3"));
        assert_eq!(metadata.value("a"), Some("2"));
        assert_eq!(metadata.value("scope.project"), Some("y"));
    }
}
