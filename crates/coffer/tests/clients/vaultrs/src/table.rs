//! What the rows share: the clients, the record of what succeeded and was refused, and the two macros that keep it.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Debug,
};

use vaultrs::{
    api::token::requests::CreateTokenRequest,
    client::{VaultClient, VaultClientSettingsBuilder},
    error::ClientError,
    sys, token,
};

/// The clients, and what was called so far.
pub struct Table {
    pub root: VaultClient,
    /// Has a token that no policy grants anything.
    pub weak: VaultClient,
    pub nobody: VaultClient,
    rows: BTreeMap<String, Row>,
    names: u32,
}

/// What is not as expected, as the line that reports it.
#[derive(Debug)]
pub struct Wrong(pub String);

/// How often a function succeeded and was refused.
#[derive(Default)]
struct Row {
    successes: u32,
    refusals: u32,
}

/// Calls a function of vaultrs, which must succeed with a value of which the last argument holds; evaluates to the value.
#[macro_export]
macro_rules! succeeds {
    ($table:ident, $($name:ident)::+ ( $($argument:expr),* $(,)? ), $holds:expr) => {{
        let given = $($name)::+($($argument),*).await;
        $table.succeeded(stringify!($($name)::+), given, $holds)?
    }};
}

/// Calls a function of vaultrs, which the server must refuse with this status.
#[macro_export]
macro_rules! refused {
    ($table:ident, $status:expr, $($name:ident)::+ ( $($argument:expr),* $(,)? )) => {{
        let given = $($name)::+($($argument),*).await;
        $table.refused(stringify!($($name)::+), given.map(drop), $status)?
    }};
}

impl Table {
    pub async fn new() -> Self {
        let root = dev("root");
        let mut options = CreateTokenRequest::builder();
        options.policies(vec!["nothing".to_owned()]).no_default_policy(true);
        let made = token::new(&root, Some(&mut options)).await.expect("a token without rights");
        Self { weak: dev(&made.client_token), nobody: dev(""), root, rows: BTreeMap::new(), names: 0 }
    }

    pub fn succeeded<T: Debug>(
        &mut self,
        name: &str,
        given: Result<T, ClientError>,
        holds: impl FnOnce(&T) -> bool,
    ) -> Result<T, Wrong> {
        let name = name.replace(' ', "");
        let value = given.map_err(|error| Wrong(format!("{name}: {error:?}")))?;
        if !holds(&value) {
            return Err(Wrong(format!("{name}: gave {value:?}")));
        }
        self.rows.entry(name).or_default().successes += 1;
        Ok(value)
    }

    pub fn refused(&mut self, name: &str, given: Result<(), ClientError>, status: u16) -> Result<(), Wrong> {
        let name = name.replace(' ', "");
        match given {
            Err(error) if status_of(&error) == Some(status) => {
                self.rows.entry(name).or_default().refusals += 1;
                Ok(())
            }
            other => Err(Wrong(format!("{name}: {other:?} instead of {status}"))),
        }
    }

    /// A name that no other row uses.
    pub fn name(&mut self, kind: &str) -> String {
        self.names += 1;
        format!("{kind}-{}", self.names)
    }

    pub async fn mount(&mut self, kind: &str) -> Result<String, Wrong> {
        let path = self.name(kind);
        self.prepared(sys::mount::enable(&self.root, &path, kind, None).await)?;
        Ok(path)
    }

    pub async fn auth_mount(&mut self, kind: &str) -> Result<String, Wrong> {
        let path = self.name(kind);
        self.prepared(sys::auth::enable(&self.root, &path, kind, None).await)?;
        Ok(path)
    }

    /// A token with these policies that lives for an hour.
    pub async fn token(&self, policies: &[&str]) -> Result<vaultrs::api::AuthInfo, Wrong> {
        let mut options = CreateTokenRequest::builder();
        options.policies(policies.iter().map(|policy| (*policy).to_owned()).collect::<Vec<_>>()).ttl("1h");
        self.prepared(token::new(&self.root, Some(&mut options)).await)
    }

    /// What a row needs before it can begin.
    pub fn prepared<T>(&self, given: Result<T, ClientError>) -> Result<T, Wrong> {
        given.map_err(|error| Wrong(format!("preparation: {error:?}")))
    }

    /// The functions with how often each succeeded and was refused.
    pub fn names(&self) -> impl Iterator<Item = (&str, u32, u32)> {
        self.rows.iter().map(|(name, row)| (name.as_str(), row.successes, row.refusals))
    }

    /// The line that the table ends with.
    pub fn counts(&self, later: usize) -> String {
        let of = |count: fn(&Row) -> u32| {
            let without = self.rows.values().filter(|row| count(row) == 0).count();
            let beyond = if without > 0 { format!(" ({without} cannot be)") } else { String::new() };
            (self.rows.len() - without, beyond)
        };
        let ((succeeded, never), (refused, always)) = (of(|row| row.successes), of(|row| row.refusals));
        let calls = self.rows.len();
        format!(
            "vaultrs: {calls} calls, {succeeded} succeeded{never}, {refused} refused as expected{always}, {later} later"
        )
    }
}

/// A client of the unsealed server.
pub fn dev(token: &str) -> VaultClient {
    client("DEV_URL", token)
}

/// A client of the server with a Shamir seal.
pub fn shamir(token: &str) -> VaultClient {
    client("SHAMIR_URL", token)
}

/// The status that OpenBao has where it answers a mistake of the client with 500; else the one that is right.
pub fn oracle(right: u16, of_openbao: u16) -> u16 {
    if is_oracle() { of_openbao } else { right }
}

/// Whether the table is held against OpenBao.
pub fn is_oracle() -> bool {
    std::env::var_os("COFFER_ORACLE").is_some()
}

/// A map with one entry.
pub fn pair(key: &str, value: &str) -> HashMap<String, String> {
    HashMap::from([(key.to_owned(), value.to_owned())])
}

fn client(url: &str, token: &str) -> VaultClient {
    let address = std::env::var(url).unwrap_or_else(|_| panic!("{url} is not set"));
    let settings = VaultClientSettingsBuilder::default().address(address).token(token).build();
    VaultClient::new(settings.expect("settings")).expect("a client")
}

fn status_of(error: &ClientError) -> Option<u16> {
    match error {
        ClientError::APIError { code, .. } => Some(*code),
        ClientError::RestClientError { source: rustify::errors::ClientError::ServerResponseError { code, .. } } => {
            Some(*code)
        }
        // What vaultrs makes of 400 where it asks for a wrapped response.
        ClientError::WrapInvalidError => Some(400),
        _ => None,
    }
}
