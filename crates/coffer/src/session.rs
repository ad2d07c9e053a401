//! Everything a command starts from: options, environment, output, and a client with the user's token.

use std::path::PathBuf;

use coffer_api::Sensitive;
use coffer_client::{Address, Client, Plans};

use crate::{
    cli::Globals,
    data_dir::data_directory,
    environment::Environment,
    failure::{Exit, Failure, chain},
    output::Output,
    profile::{self, InUse, Profiles, TokenKept},
    token_file,
    token_place::TokenPlace,
};

/// What every command is given.
pub(crate) struct Session {
    pub(crate) environment: Environment,
    pub(crate) output: Output,
    globals: Globals,
    profile: Option<InUse>,
    /// Why there is no profile although one is named, for commands that go on without.
    profile_fault: Option<Failure>,
    /// Where calls go that are shown instead of made.
    plans: Option<Plans>,
}

impl Session {
    /// Puts options, environment and profile together, in this order of what counts.
    ///
    /// # Errors
    /// Where `COFFER_FORMAT` names no format; where the profile that is named is not there or cannot be read.
    pub(crate) fn new(globals: Globals, environment: Environment) -> Result<Self, Failure> {
        let profile = Profiles::load(&environment)?.in_use(globals.profile.as_deref(), &environment)?;
        let environment = match &profile {
            Some(in_use) => environment.preferring(in_use.variables()),
            None => environment,
        };
        let session = Self::without_profile(globals, environment)?;
        Ok(Self { profile, ..session })
    }

    /// As [`Self::new`], for commands that find out what is wrong with the profiles, or mend it: [`Self::profile_fault`] tells it.
    ///
    /// # Errors
    /// Where `COFFER_FORMAT` names no format.
    pub(crate) fn whatever_the_profile(globals: Globals, environment: Environment) -> Result<Self, Failure> {
        let found =
            Profiles::load(&environment).and_then(|profiles| profiles.in_use(globals.profile.as_deref(), &environment));
        match found {
            Ok(_) => Self::new(globals, environment),
            Err(fault) => Ok(Self { profile_fault: Some(fault), ..Self::without_profile(globals, environment)? }),
        }
    }

    /// As [`Self::new`], whatever the profiles say.
    ///
    /// # Errors
    /// Where `COFFER_FORMAT` names no format.
    pub(crate) fn without_profile(globals: Globals, environment: Environment) -> Result<Self, Failure> {
        let output = Output::new(&globals, &environment)?;
        let plans = (globals.output_curl || globals.output_policy).then(Plans::begin);
        Ok(Self { environment, output, globals, profile: None, profile_fault: None, plans })
    }

    /// The options of every command.
    pub(crate) fn globals(&self) -> &Globals {
        &self.globals
    }

    /// The profile in use.
    pub(crate) fn profile(&self) -> Option<&InUse> {
        self.profile.as_ref()
    }

    /// What is wrong with the profile that is named, for commands that go on without one.
    pub(crate) fn profile_fault(&self) -> Option<&Failure> {
        self.profile_fault.as_ref()
    }

    /// The calls that are shown instead of made, where that was asked for.
    pub(crate) fn plans(&self) -> Option<&Plans> {
        self.plans.as_ref()
    }

    /// Whether calls are shown instead of made: then nothing is changed on this machine either.
    pub(crate) fn is_planning(&self) -> bool {
        self.plans.is_some()
    }

    /// A client with the user's token.
    ///
    /// # Errors
    /// Where the address is wrong or there is no usable token.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        if self.plans.is_some() {
            // Nothing is sent, so that none is needed.
            return Ok(self.anonymous_client()?.with_token(&Sensitive::from("none"))?);
        }
        let token = self.token()?.ok_or_else(|| {
            Failure::new(Exit::Denied, "not logged in").hint("log in with 'coffer login', or set COFFER_TOKEN")
        })?;
        self.client_with(&token)
    }

    /// A client with this token.
    ///
    /// # Errors
    /// Where the address or the token is malformed.
    pub(crate) fn client_with(&self, token: &Sensitive<String>) -> Result<Client, Failure> {
        let client = self.anonymous_client()?;
        if self.plans.is_none() && !client.address().is_local() && !client.address().is_encrypted() {
            self.output.note(format!("warning: {} is not encrypted, and the token goes there", client.address()));
        }
        Ok(client.with_token(token)?)
    }

    /// A client without a token.
    ///
    /// # Errors
    /// Where the address is malformed, or the authorities to trust cannot be used.
    pub(crate) fn anonymous_client(&self) -> Result<Client, Failure> {
        let address = self.address()?;
        if let Some(plans) = &self.plans {
            return Ok(Client::new(address).planning(plans));
        }
        let authorities = if address.is_encrypted() { self.authorities()? } else { None };
        let client = Client::new(address).with_timeout(self.globals.timeout);
        let Some((path, source)) = authorities else { return Ok(client) };
        let pem = std::fs::read(&path).map_err(|error| {
            Failure::io(format!("cannot read {}", path.display()), &error).hint(format!("it comes from {source}"))
        })?;
        client.with_authorities(&pem).map_err(|error| {
            Failure::local(format!("{}: {}", path.display(), chain(&error))).hint(format!("it comes from {source}"))
        })
    }

    /// A client of the server's unix socket in its data directory.
    ///
    /// # Errors
    /// Where the directory is unknown.
    pub(crate) fn local_client(&self, data: Option<&PathBuf>) -> Result<Client, Failure> {
        let directory = data_directory(data.map(PathBuf::as_path), &self.environment)?;
        let client = Client::new(Address::unix(directory.join("coffer.sock"))).with_timeout(self.globals.timeout);
        Ok(match &self.plans {
            Some(plans) => client.planning(plans),
            None => client,
        })
    }

    /// Where the token is kept.
    ///
    /// # Errors
    /// Where it is neither named nor below a known home.
    pub(crate) fn token_place(&self) -> Result<TokenPlace, Failure> {
        match (&self.globals.token_file, &self.profile) {
            (Some(path), _) => Ok(TokenPlace::File(path.clone())),
            (None, Some(InUse { name, profile })) => match (profile.token, &profile.token_file) {
                (TokenKept::Keyring, _) => Ok(TokenPlace::Keyring(name.clone())),
                (TokenKept::File, Some(path)) => Ok(TokenPlace::File(path.clone())),
                (TokenKept::File, None) => Ok(TokenPlace::File(profile::token_path(name, &self.environment)?)),
            },
            (None, None) => Ok(TokenPlace::File(token_file::default_path(&self.environment)?)),
        }
    }

    /// The variable whose token stands before the kept one.
    ///
    /// # Errors
    /// Where it is not UTF-8.
    pub(crate) fn token_variable(&self) -> Result<Option<&'static str>, Failure> {
        if self.globals.token_file.is_some() {
            return Ok(None);
        }
        for name in TOKEN_VARIABLES {
            if self.environment.text(name)?.is_some() {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    fn token(&self) -> Result<Option<Sensitive<String>>, Failure> {
        match self.token_variable()? {
            Some(name) => Ok(self.environment.text(name)?.map(|token| Sensitive::from(token.trim()))),
            None => self.token_place()?.read(),
        }
    }

    /// The file with the authorities to trust, and where its name comes from; `None` = the machine's.
    ///
    /// A certificate is always checked. What asks for it not to be is refused by name, rather than obeyed, which would send
    /// the token to whoever answers, or ignored, which would leave the user without an explanation.
    pub(crate) fn authorities(&self) -> Result<Option<(PathBuf, String)>, Failure> {
        let skip = self.environment.text("VAULT_SKIP_VERIFY")?.unwrap_or_default();
        if !matches!(skip.to_ascii_lowercase().as_str(), "" | "0" | "f" | "false") {
            return Err(Failure::local("VAULT_SKIP_VERIFY is set, and a server's certificate is always checked")
                .hint("unset it, and name the authority's PEM file in COFFER_CACERT"));
        }
        if let Some(path) = &self.globals.ca_cert {
            return Ok(Some((path.clone(), "--ca-cert".to_owned())));
        }
        let variable = |name: &str| self.environment.path(name).map(|path| (path, name.to_owned()));
        let of_profile = || {
            let InUse { name, profile } = self.profile.as_ref()?;
            profile.ca_cert.clone().map(|path| (path, format!("the profile {name}")))
        };
        Ok(variable("COFFER_CACERT").or_else(|| variable("VAULT_CACERT")).or_else(of_profile))
    }

    /// The server's address.
    ///
    /// # Errors
    /// Where it is malformed.
    pub(crate) fn address(&self) -> Result<Address, Failure> {
        let (text, source) = self.address_text()?;
        text.parse().map_err(|error| Failure::local(format!("{error}")).hint(format!("it comes from {source}")))
    }

    /// The server's address as it was given, and by what.
    ///
    /// # Errors
    /// Where a variable is not UTF-8.
    pub(crate) fn address_text(&self) -> Result<(String, String), Failure> {
        if let Some(text) = &self.globals.addr {
            return Ok((text.clone(), "--addr".to_owned()));
        }
        for name in ["COFFER_ADDR", "VAULT_ADDR"] {
            if let Some(text) = self.environment.text(name)? {
                return Ok((text.to_owned(), name.to_owned()));
            }
        }
        let of_profile = self.profile.as_ref().and_then(|InUse { name, profile }| {
            profile.address.clone().map(|address| (address, format!("the profile {name}")))
        });
        Ok(of_profile.unwrap_or_else(|| (DEFAULT_ADDRESS.to_owned(), "the default".to_owned())))
    }
}

/// In the order in which they count.
pub(crate) const TOKEN_VARIABLES: [&str; 2] = ["COFFER_TOKEN", "VAULT_TOKEN"];

const DEFAULT_ADDRESS: &str = "http://127.0.0.1:8200";

#[cfg(test)]
mod tests {
    use clap::Parser;

    use crate::cli::Cli;

    use super::*;

    fn session<const N: usize>(args: &[&str], environment: [(&str, &str); N]) -> Session {
        let cli = Cli::try_parse_from(["coffer", "status"].iter().chain(args)).unwrap();
        Session::new(cli.globals, Environment::from(environment)).unwrap()
    }

    #[test]
    fn address_follows_flag_coffer_vault_default() {
        let both = [("COFFER_ADDR", "http://b:1"), ("VAULT_ADDR", "http://c:1")];
        let address = |session: Session| session.address().unwrap().to_string();
        assert_eq!(address(session(&["--addr", "http://a:1"], both)), "http://a:1");
        assert_eq!(address(session(&[], both)), "http://b:1");
        assert_eq!(address(session(&[], [("COFFER_ADDR", ""), ("VAULT_ADDR", "http://c:1")])), "http://c:1");
        assert_eq!(address(session(&[], [])), "http://127.0.0.1:8200");
        assert_eq!(address(session(&[], [("VAULT_ADDR", "https://c")])), "https://c:443");
    }

    #[test]
    fn authorities_follow_flag_coffer_vault_machine() {
        let both = [("COFFER_CACERT", "/b"), ("VAULT_CACERT", "/c")];
        let path = |session: Session| session.authorities().unwrap().map(|(path, _)| path.display().to_string());
        assert_eq!(path(session(&["--ca-cert", "/a"], both)).as_deref(), Some("/a"));
        assert_eq!(path(session(&[], both)).as_deref(), Some("/b"));
        assert_eq!(path(session(&[], [("COFFER_CACERT", ""), ("VAULT_CACERT", "/c")])).as_deref(), Some("/c"));
        assert_eq!(path(session(&[], [("VAULT_SKIP_VERIFY", "false")])), None);
        for skip in ["1", "true", "T", "yes"] {
            assert!(session(&[], [("VAULT_SKIP_VERIFY", skip)]).authorities().is_err(), "{skip}");
        }
    }

    #[test]
    fn token_follows_flag_coffer_vault_file() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().to_str().unwrap();
        let named = directory.path().join("named");
        token_file::write(&named, &"from-named".into()).unwrap();
        token_file::write(&directory.path().join(".config/coffer/token"), &"from-home".into()).unwrap();
        let token = |session: Session| session.token().unwrap().map(|token| token.expose().clone());
        let both = [("HOME", home), ("COFFER_TOKEN", "from-coffer\n"), ("VAULT_TOKEN", "from-vault")];
        let named = ["--token-file", named.to_str().unwrap()];
        assert_eq!(token(session(&named, both)).as_deref(), Some("from-named"));
        assert_eq!(token(session(&[], both)).as_deref(), Some("from-coffer"));
        assert_eq!(token(session(&[], [("HOME", home), ("VAULT_TOKEN", "v")])).as_deref(), Some("v"));
        assert_eq!(token(session(&[], [("HOME", home)])).as_deref(), Some("from-home"));
        assert_eq!(token(session(&[], [("HOME", "/nonexistent")])), None);
    }

    #[test]
    fn profile_stands_below_options_and_variables_and_above_defaults() {
        let directory = tempfile::tempdir().unwrap();
        let home = directory.path().to_str().unwrap();
        let work = profile::Profile {
            address: Some("https://work:1".to_owned()),
            ca_cert: Some("/work.pem".into()),
            project: Some("acme".to_owned()),
            service: Some("api".to_owned()),
            format: Some(crate::output::Format::Json),
            ..profile::Profile::default()
        };
        let profiles = Profiles { current: Some("work".to_owned()), profiles: [("work".to_owned(), work)].into() };
        profiles.save(&Environment::from([("HOME", home)])).unwrap();
        let alone = session(&[], [("HOME", home)]);
        assert_eq!(alone.address().unwrap().to_string(), "https://work:1");
        assert_eq!(alone.authorities().unwrap().unwrap().0, PathBuf::from("/work.pem"));
        assert_eq!(alone.output.format(), crate::output::Format::Json);
        let scope = |session: &Session, environment: &str| {
            let named = crate::scope::ScopeArguments {
                environment: Some(environment.to_owned()),
                ..crate::scope::ScopeArguments::default()
            };
            named.resolve(&session.environment).unwrap().to_string()
        };
        assert_eq!(scope(&alone, "prod"), "acme:prod:api");
        let set = [("HOME", home), ("VAULT_ADDR", "http://c:1"), ("COFFER_SERVICE", "web"), ("COFFER_FORMAT", "yaml")];
        let set = session(&["--ca-cert", "/mine.pem"], set);
        assert_eq!(set.address().unwrap().to_string(), "http://c:1");
        assert_eq!(set.authorities().unwrap().unwrap().0, PathBuf::from("/mine.pem"));
        assert_eq!(set.output.format(), crate::output::Format::Yaml);
        assert_eq!(scope(&set, "prod"), "acme:prod:web");

        // A token of its own, so that no other server gets the one in the usual file.
        token_file::write(&directory.path().join(".config/coffer/token"), &"usual".into()).unwrap();
        assert_eq!(alone.token().unwrap().map(|token| token.expose().clone()), None);
        let own = directory.path().join(".config/coffer/tokens/work");
        assert_eq!(alone.token_place().unwrap(), TokenPlace::File(own.clone()));
        token_file::write(&own, &"own".into()).unwrap();
        assert_eq!(alone.token().unwrap().map(|token| token.expose().clone()).as_deref(), Some("own"));
    }
}
