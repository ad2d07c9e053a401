//! Where the server keeps its data, for commands that meet it on the same machine.

use std::path::{Path, PathBuf};

use crate::{environment::Environment, failure::Failure};

/// The directory named, else `COFFER_DATA`, else `/var/lib/coffer` as root, else `~/.local/share/coffer`.
///
/// # Errors
/// Where none of them is known.
pub(crate) fn data_directory(named: Option<&Path>, environment: &Environment) -> Result<PathBuf, Failure> {
    choose(named, environment, rustix::process::geteuid().is_root())
}

fn choose(named: Option<&Path>, environment: &Environment, is_root: bool) -> Result<PathBuf, Failure> {
    if let Some(path) = named {
        return Ok(path.to_owned());
    }
    if let Some(path) = environment.path("COFFER_DATA") {
        return Ok(path);
    }
    if is_root {
        return Ok(PathBuf::from("/var/lib/coffer"));
    }
    match environment.path("HOME") {
        Some(home) => Ok(home.join(".local/share/coffer")),
        None => Err(Failure::local("the data directory is unknown: HOME is not set").hint("name it with --data")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_directory_follows_flag_variable_root_home() {
        let set = Environment::from([("COFFER_DATA", "/a"), ("HOME", "/h")]);
        let home = Environment::from([("HOME", "/h")]);
        assert_eq!(choose(Some(Path::new("/x")), &set, true).unwrap(), Path::new("/x"));
        assert_eq!(choose(None, &set, true).unwrap(), Path::new("/a"));
        assert_eq!(choose(None, &home, true).unwrap(), Path::new("/var/lib/coffer"));
        assert_eq!(choose(None, &home, false).unwrap(), Path::new("/h/.local/share/coffer"));
        assert!(choose(None, &Environment::from([]), false).is_err());
    }
}
