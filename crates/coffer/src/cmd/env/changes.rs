//! What differs between two sets of names with values. Values are masked unless they are asked for.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::output::Table;

/// What becomes of a name from one set to the other.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Change {
    /// It is in the second alone.
    Added,
    /// It is in both, with other values.
    Changed,
    /// It is in the first alone.
    Removed,
    /// It is in both; whether it differs cannot be told, for the first one's value is hidden.
    Written,
}

/// One difference.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Difference<'a> {
    pub(super) name: &'a str,
    pub(super) change: Change,
    /// The line of the file that names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<&'a str>,
}

/// All of them, sorted by name.
#[derive(Debug, Default, Serialize)]
pub(super) struct Changes<'a> {
    pub(super) changes: Vec<Difference<'a>>,
    /// How many are in both with the same value.
    pub(super) unchanged: usize,
}

/// Whether values are seen.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Values {
    Masked,
    Shown,
}

impl Values {
    pub(super) fn by_flag(is_shown: bool) -> Self {
        if is_shown { Self::Shown } else { Self::Masked }
    }
}

impl Change {
    fn word(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Written => "written",
        }
    }
}

impl<'a> Changes<'a> {
    /// From the first set to the second.
    pub(super) fn between(first: &BTreeMap<&'a str, &'a str>, second: &BTreeMap<&'a str, &'a str>) -> Self {
        let mut found = Self::default();
        let mut differs = |name, change, from, to| {
            found.changes.push(Difference { name, change, line: None, from, to });
        };
        let mut unchanged = 0;
        for (name, to) in second {
            match first.get(name) {
                None => differs(*name, Change::Added, None, Some(*to)),
                Some(from) if from == to => unchanged += 1,
                Some(from) => differs(*name, Change::Changed, Some(*from), Some(*to)),
            }
        }
        for (name, from) in first.iter().filter(|(name, _)| !second.contains_key(*name)) {
            differs(*name, Change::Removed, Some(*from), None);
        }
        found.unchanged = unchanged;
        found.changes.sort_by_key(|difference| difference.name);
        found
    }

    /// How often something happens.
    pub(super) fn count(&self, change: Change) -> usize {
        self.changes.iter().filter(|difference| difference.change == change).count()
    }

    /// In words.
    pub(super) fn summary(&self) -> String {
        let all = [Change::Added, Change::Changed, Change::Written, Change::Removed];
        let mut words: Vec<String> = all
            .into_iter()
            .map(|change| (change, self.count(change)))
            .filter(|(change, count)| *count > 0 || *change != Change::Written)
            .map(|(change, count)| format!("{count} {}", change.word()))
            .collect();
        words.push(format!("{} unchanged", self.unchanged));
        words.join(", ")
    }

    /// Takes the values out, unless they are to be seen.
    pub(super) fn masked(mut self, values: Values) -> Self {
        if values == Values::Masked {
            for difference in &mut self.changes {
                (difference.from, difference.to) = (None, None);
            }
        }
        self
    }

    /// For people.
    pub(super) fn table(&self, header: &'static [&'static str], values: Values) -> Table {
        let mut table = Table::new(header);
        for Difference { name, change, line, from, to } in &self.changes {
            let (had, has) = match change {
                Change::Added => (false, true),
                Change::Changed | Change::Written => (true, true),
                Change::Removed => (true, false),
            };
            let shown = |is_there: bool, value: &Option<&str>| match (is_there, values, value) {
                (false, _, _) => String::new(),
                (true, Values::Shown, Some(value)) => (*value).to_owned(),
                (true, Values::Shown, None) => "(hidden)".to_owned(),
                (true, Values::Masked, _) => MASK.to_owned(),
            };
            let mut row = vec![change.word().to_owned(), (*name).to_owned(), shown(had, from), shown(has, to)];
            if header.len() > row.len() {
                row.push(line.map(|line| line.to_string()).unwrap_or_default());
            }
            table.row(row);
        }
        table
    }
}

/// What stands for a value, whatever its length.
const MASK: &str = "********";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_found_sorted_and_masked() {
        let first = BTreeMap::from([("A", "1"), ("B", "canary"), ("C", "3")]);
        let second = BTreeMap::from([("A", "1"), ("B", "2"), ("AA", "canary")]);
        let found = Changes::between(&first, &second);
        let kinds: Vec<(&str, Change)> = found.changes.iter().map(|found| (found.name, found.change)).collect();
        assert_eq!(kinds, [("AA", Change::Added), ("B", Change::Changed), ("C", Change::Removed)]);
        assert_eq!(found.summary(), "1 added, 1 changed, 1 removed, 1 unchanged");
        let header = &["CHANGE", "NAME", "FROM", "TO"];
        assert!(found.table(header, Values::Shown).render().contains("canary"));
        assert!(!found.table(header, Values::Masked).render().contains("canary"));
        let masked = serde_json::to_string(&found.masked(Values::Masked)).unwrap();
        assert!(!masked.contains("canary"), "{masked}");
    }
}
