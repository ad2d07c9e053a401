//! Everything a command starts from: options, environment, output, and a client with the user's token.

use std::path::PathBuf;

use coffer_api::Sensitive;
use coffer_client::{Address, Client};

use crate::{
    cli::Globals,
    data_dir::data_directory,
    environment::Environment,
    failure::{Exit, Failure, chain},
    output::Output,
    token_file,
};

/// What every command is given.
pub(crate) struct Session {
    pub(crate) environment: Environment,
    pub(crate) output: Output,
    globals: Globals,
}

impl Session {
    /// Puts options and environment together.
    ///
    /// # Errors
    /// Where `COFFER_FORMAT` names no format.
    pub(crate) fn new(globals: Globals, environment: Environment) -> Result<Self, Failure> {
        let output = Output::new(&globals, &environment)?;
        Ok(Self { environment, output, globals })
    }

    /// A client with the user's token.
    ///
    /// # Errors
    /// Where the address is wrong or there is no usable token.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
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
        if !client.address().is_local() && !client.address().is_encrypted() {
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
        Ok(Client::new(Address::unix(directory.join("coffer.sock"))).with_timeout(self.globals.timeout))
    }

    /// The token file in use.
    ///
    /// # Errors
    /// Where it is neither named nor below a known home.
    pub(crate) fn token_path(&self) -> Result<PathBuf, Failure> {
        match &self.globals.token_file {
            Some(path) => Ok(path.clone()),
            None => token_file::default_path(&self.environment),
        }
    }

    /// The variable whose token stands before the token file.
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
            None => token_file::read(&self.token_path()?),
        }
    }

    /// The file with the authorities to trust, and where its name comes from; `None` = the machine's.
    ///
    /// A certificate is always checked. What asks for it not to be is refused by name, rather than obeyed, which would send
    /// the token to whoever answers, or ignored, which would leave the user without an explanation.
    fn authorities(&self) -> Result<Option<(PathBuf, &'static str)>, Failure> {
        let skip = self.environment.text("VAULT_SKIP_VERIFY")?.unwrap_or_default();
        if !matches!(skip.to_ascii_lowercase().as_str(), "" | "0" | "f" | "false") {
            return Err(Failure::local("VAULT_SKIP_VERIFY is set, and a server's certificate is always checked")
                .hint("unset it, and name the authority's PEM file in COFFER_CACERT"));
        }
        if let Some(path) = &self.globals.ca_cert {
            return Ok(Some((path.clone(), "--ca-cert")));
        }
        let variable = |name| self.environment.path(name).map(|path| (path, name));
        Ok(variable("COFFER_CACERT").or_else(|| variable("VAULT_CACERT")))
    }

    fn address(&self) -> Result<Address, Failure> {
        let (text, source) = match &self.globals.addr {
            Some(text) => (text.as_str(), "--addr"),
            None => match (self.environment.text("COFFER_ADDR")?, self.environment.text("VAULT_ADDR")?) {
                (Some(text), _) => (text, "COFFER_ADDR"),
                (None, Some(text)) => (text, "VAULT_ADDR"),
                (None, None) => (DEFAULT_ADDRESS, "the default"),
            },
        };
        text.parse().map_err(|error| Failure::local(format!("{error}")).hint(format!("it comes from {source}")))
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
}
