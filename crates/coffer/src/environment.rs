//! The environment, read once at the start, so that everything else takes it as an argument.

use std::{collections::HashMap, ffi::OsString, path::PathBuf};

use crate::failure::Failure;

/// Environment variables. One that is set to nothing counts as not set.
pub(crate) struct Environment {
    set: HashMap<OsString, OsString>,
    /// What counts where a variable is not set: a profile's.
    preferred: HashMap<&'static str, String>,
}

impl Environment {
    /// The process's own.
    pub(crate) fn of_process() -> Self {
        Self { set: std::env::vars_os().collect(), preferred: HashMap::new() }
    }

    /// The same, with texts for variables that are not set.
    #[must_use]
    pub(crate) fn preferring(mut self, preferred: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        self.preferred.extend(preferred);
        self
    }

    /// A variable as text.
    ///
    /// # Errors
    /// Where it is not UTF-8.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Failure> {
        match self.set.get(std::ffi::OsStr::new(name)).filter(|value| !value.is_empty()) {
            None => Ok(self.preferred.get(name).map(String::as_str).filter(|text| !text.is_empty())),
            Some(value) => value.to_str().map(Some).ok_or_else(|| Failure::local(format!("{name} is not valid UTF-8"))),
        }
    }

    /// A variable as a path.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.set.get(std::ffi::OsStr::new(name)).filter(|value| !value.is_empty()).map(PathBuf::from)
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(pairs: [(&str, &str); N]) -> Self {
        let set = pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { set, preferred: HashMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn empty_variable_counts_as_unset_and_bad_text_is_refused() {
        let environment = Environment::from([("A", ""), ("B", "b")]);
        assert_eq!(environment.text("A").unwrap(), None);
        assert_eq!(environment.path("A"), None);
        assert_eq!(environment.text("B").unwrap(), Some("b"));
        let set = HashMap::from([("A".into(), OsString::from_vec(vec![0xff]))]);
        assert!(Environment { set, preferred: HashMap::new() }.text("A").is_err());
        let environment = environment.preferring([("A", "a".to_owned()), ("B", "c".to_owned()), ("C", String::new())]);
        let text = |name| environment.text(name).unwrap();
        assert_eq!((text("A"), text("B"), text("C")), (Some("a"), Some("b"), None), "what is set stands before");
    }
}
