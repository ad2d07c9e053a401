//! The environment, read once at the start, so that everything else takes it as an argument.

use std::{collections::HashMap, ffi::OsString, path::PathBuf};

use crate::failure::Failure;

/// Environment variables. One that is set to nothing counts as not set.
pub(crate) struct Environment(HashMap<OsString, OsString>);

impl Environment {
    /// The process's own.
    pub(crate) fn of_process() -> Self {
        Self(std::env::vars_os().collect())
    }

    /// A variable as text.
    ///
    /// # Errors
    /// Where it is not UTF-8.
    pub(crate) fn text(&self, name: &str) -> Result<Option<&str>, Failure> {
        match self.0.get(std::ffi::OsStr::new(name)).filter(|value| !value.is_empty()) {
            None => Ok(None),
            Some(value) => value.to_str().map(Some).ok_or_else(|| Failure::local(format!("{name} is not valid UTF-8"))),
        }
    }

    /// A variable as a path.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.0.get(std::ffi::OsStr::new(name)).filter(|value| !value.is_empty()).map(PathBuf::from)
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, &str); N]> for Environment {
    fn from(pairs: [(&str, &str); N]) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
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
        let bad = Environment(HashMap::from([("A".into(), OsString::from_vec(vec![0xff]))]));
        assert!(bad.text("A").is_err());
    }
}
