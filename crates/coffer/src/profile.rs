//! Profiles: which server, as whom and where in it, under a name of the user's own (`~/.config/coffer/profiles.toml`).
//!
//! What a profile says counts where neither an option nor a variable of the environment says otherwise.

use std::{
    collections::BTreeMap,
    fs::{DirBuilder, File},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    environment::Environment,
    failure::Failure,
    output::Format,
    token_file::{beside, parent},
};

/// All profiles of a user.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profiles {
    /// The one in use where no other is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) current: Option<String>,
    /// By name.
    #[serde(default)]
    pub(crate) profiles: BTreeMap<String, Profile>,
}

/// One of them; what is absent is as it would be without a profile, but for the token, which is the profile's own.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// The server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<String>,
    /// PEM file with the authorities that may vouch for the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// Where the token is kept.
    #[serde(default, skip_serializing_if = "is_file")]
    pub(crate) token: TokenKept,
    /// The file, where it is not `tokens/NAME` beside the profiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
    /// The scope that is meant where none is named, level by level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) project: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) environment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<String>,
    /// How results are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) format: Option<Format>,
}

/// Where a profile's token is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TokenKept {
    /// In a file of mode 0600.
    #[default]
    File,
    /// In the keyring of the desktop.
    Keyring,
}

/// A profile that is in use, with its name.
#[derive(Clone, Debug)]
pub(crate) struct InUse {
    pub(crate) name: String,
    pub(crate) profile: Profile,
}

impl Profiles {
    /// The user's, or none where there is no file.
    ///
    /// # Errors
    /// Where the file is not the user's own (a profile says to whom the token goes), or not what it should be.
    pub(crate) fn load(environment: &Environment) -> Result<Self, Failure> {
        let Some(path) = path(environment) else { return Ok(Self::default()) };
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(Failure::io(format!("cannot read {}", path.display()), &error)),
        };
        let failed = |error: &io::Error| Failure::io(format!("cannot read {}", path.display()), error);
        let metadata = file.metadata().map_err(|error| failed(&error))?;
        let own = rustix::process::geteuid().as_raw();
        if !metadata.is_file() || (metadata.uid() != own && metadata.uid() != 0) || metadata.mode() & 0o022 != 0 {
            return Err(Failure::local(format!("{} can be changed by others", path.display()))
                .hint(format!("look through it, then run 'chmod 600 {}'", path.display())));
        }
        let mut text = String::new();
        (&mut file).take(FILE_LIMIT).read_to_string(&mut text).map_err(|error| failed(&error))?;
        let profiles: Self = toml::from_str(&text).map_err(|error| {
            let place = error.span().map_or(0, |span| text.get(..span.start).unwrap_or_default().matches('\n').count());
            Failure::local(format!("{}, line {}: {}", path.display(), place + 1, error.message()))
        })?;
        profiles.profiles.keys().try_for_each(|name| check_name(name))?;
        Ok(profiles)
    }

    /// Writes them, whole or not at all.
    ///
    /// # Errors
    /// Where the home is unknown, or the system refuses.
    pub(crate) fn save(&self, environment: &Environment) -> Result<(), Failure> {
        let path = path(environment).ok_or_else(no_home)?;
        let failed = |error: io::Error| Failure::io(format!("cannot write {}", path.display()), &error);
        DirBuilder::new().recursive(true).mode(0o700).create(parent(&path)).map_err(failed)?;
        // A link stays one: what it points to is replaced.
        let target = std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
        let text = toml::to_string(self).map_err(|_| Failure::local("the profiles cannot be written as TOML"))?;
        let new = beside(&target);
        let write = || -> io::Result<()> {
            let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(HEAD.as_bytes())?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            std::fs::rename(&new, &target)?;
            File::open(parent(&target))?.sync_all()
        };
        write().map_err(|error| {
            // Nothing more can be done where even this fails.
            let _ = std::fs::remove_file(&new);
            failed(error)
        })
    }

    /// The profile of this name.
    ///
    /// # Errors
    /// Where there is none.
    pub(crate) fn named(&self, name: &str) -> Result<&Profile, Failure> {
        self.profiles.get(name).ok_or_else(|| {
            let failure = Failure::local(format!("there is no profile {name:?}"));
            match self.profiles.is_empty() {
                true => failure.hint("'coffer profile add NAME' makes one"),
                false => failure.hint("'coffer profile list' shows those there are"),
            }
        })
    }

    /// The one in use: that which is named, else the variable's, else the current one.
    ///
    /// # Errors
    /// Where there is none of that name.
    pub(crate) fn in_use(&self, named: Option<&str>, environment: &Environment) -> Result<Option<InUse>, Failure> {
        let of_variable = environment.text(VARIABLE)?;
        let Some(name) = named.or(of_variable).or(self.current.as_deref()) else { return Ok(None) };
        let profile = self.named(name).map_err(|failure| match (named, of_variable) {
            (None, Some(_)) => failure.hint(format!("{VARIABLE} names it")),
            (None, None) => failure.hint(
                "it is the one in use: 'coffer profile use NAME' chooses another, 'coffer profile use --none' none",
            ),
            (Some(_), _) => failure,
        })?;
        Ok(Some(InUse { name: name.to_owned(), profile: profile.clone() }))
    }
}

impl InUse {
    /// What the profile says where the environment does not.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let Profile { project, environment, service, format, .. } = &self.profile;
        let format = format.map(|format| format.name().to_owned());
        [
            ("COFFER_PROJECT", project.clone()),
            ("COFFER_ENV", environment.clone()),
            ("COFFER_SERVICE", service.clone()),
            ("COFFER_FORMAT", format),
        ]
        .into_iter()
        .filter_map(|(name, value)| value.map(|value| (name, value)))
        .collect()
    }
}

/// `~/.config/coffer/profiles.toml`, where the home is known.
pub(crate) fn path(environment: &Environment) -> Option<PathBuf> {
    environment.path("HOME").map(|home| home.join(".config/coffer/profiles.toml"))
}

/// Where the token of a profile lies that names no file.
///
/// # Errors
/// Where the home is unknown.
pub(crate) fn token_path(name: &str, environment: &Environment) -> Result<PathBuf, Failure> {
    let home = environment.path("HOME").ok_or_else(no_home)?;
    Ok(home.join(".config/coffer/tokens").join(name))
}

/// A name that is also a file's.
///
/// # Errors
/// Where it is none.
pub(crate) fn check_name(name: &str) -> Result<(), Failure> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.');
    let begins = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    match name.starts_with(begins) && name.chars().all(fits) && name.len() <= 63 {
        true => Ok(()),
        false => Err(Failure::local(format!("{name:?} is no name of a profile"))
            .hint("1 to 63 of a-z, 0-9, '_', '-' and '.', a letter or digit first")),
    }
}

/// Relative paths would mean something else in another directory.
///
/// # Errors
/// Where the working directory is gone.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::io(format!("cannot find {}", path.display()), &error))
}

fn is_file(kept: &TokenKept) -> bool {
    *kept == TokenKept::File
}

fn no_home() -> Failure {
    Failure::local("profiles have no place: HOME is not set")
}

/// Names the profile in use.
pub(crate) const VARIABLE: &str = "COFFER_PROFILE";
const FILE_LIMIT: u64 = 1 << 20;
const HEAD: &str = "# Written by 'coffer profile'; edited by hand it stays as it is until then.\n";

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn home(directory: &tempfile::TempDir) -> Environment {
        Environment::from([("HOME", directory.path().to_str().unwrap())])
    }

    fn sample() -> Profiles {
        let work = Profile {
            address: Some("https://vault.example:8200".to_owned()),
            project: Some("acme".to_owned()),
            token: TokenKept::Keyring,
            format: Some(Format::Json),
            ..Profile::default()
        };
        let profiles = BTreeMap::from([("work".to_owned(), work), ("home".to_owned(), Profile::default())]);
        Profiles { current: Some("home".to_owned()), profiles }
    }

    #[test]
    fn saved_profiles_load_again_and_are_the_users_own() {
        let directory = tempfile::tempdir().unwrap();
        let environment = home(&directory);
        assert_eq!(Profiles::load(&environment).unwrap(), Profiles::default());
        sample().save(&environment).unwrap();
        sample().save(&environment).unwrap();
        assert_eq!(Profiles::load(&environment).unwrap(), sample());
        let path = path(&environment).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no temporary file stays");
        for mode in [0o620, 0o602] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(Profiles::load(&environment).unwrap_err().what().contains("changed by others"), "{mode:o}");
        }
    }

    #[test]
    fn file_that_is_linked_stays_linked() {
        let directory = tempfile::tempdir().unwrap();
        let environment = home(&directory);
        sample().save(&environment).unwrap();
        let (link, real) = (path(&environment).unwrap(), directory.path().join("real.toml"));
        std::fs::rename(&link, &real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        Profiles::default().save(&environment).unwrap();
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(Profiles::load(&environment).unwrap(), Profiles::default());
    }

    #[test]
    fn profile_in_use_follows_flag_variable_current() {
        let profiles = sample();
        let set = Environment::from([(VARIABLE, "work")]);
        let none = Environment::from([]);
        let name = |named, environment| profiles.in_use(named, environment).unwrap().map(|in_use| in_use.name);
        assert_eq!(name(Some("home"), &set).as_deref(), Some("home"));
        assert_eq!(name(None, &set).as_deref(), Some("work"));
        assert_eq!(name(None, &none).as_deref(), Some("home"));
        assert!(Profiles::default().in_use(None, &none).unwrap().is_none());
        assert!(profiles.in_use(Some("none"), &none).is_err());
        assert!(profiles.in_use(None, &Environment::from([(VARIABLE, "gone")])).is_err());
    }

    #[test]
    fn damaged_file_is_told_with_its_line() {
        let directory = tempfile::tempdir().unwrap();
        let environment = home(&directory);
        let path = path(&environment).unwrap();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        for (text, told) in [
            ("[profiles.a]\naddres = \"x\"\n", "line 2: unknown field `addres`"),
            ("[profiles.a\n", "line 1:"),
            ("[profiles.\"../x\"]\n", "\"../x\" is no name of a profile"),
        ] {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            let failure = Profiles::load(&environment).unwrap_err();
            assert!(failure.what().contains(told), "{}", failure.what());
        }
    }
}
