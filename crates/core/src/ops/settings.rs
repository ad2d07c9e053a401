//! What clients set of the server itself: which web pages may call it, which request headers go into the log, and which
//! headers a web interface is to send. Kept in the store, and in memory where every request asks.

use std::{collections::BTreeMap, sync::Arc};

use arc_swap::ArcSwap;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::{
    Caller, Core, Error,
    active::Active,
    caller::Done,
    codec::{self, Persisted},
    commit::Edit,
    keys,
    policy::{Operation, Parameters},
};

/// Where cross-origin requests are set.
const CORS: &str = "sys/config/cors";
/// Where the headers are set that the log has.
const LOGGED: &str = "sys/config/auditing/request-headers";
/// Where the headers of a web interface are set.
const UI: &str = "sys/config/ui/headers";
/// Origins, headers and values of one at most.
const MAX_HEADERS: usize = 32;
/// Headers of a request that go into the log at most: an entry of the log has room for no more.
const MAX_LOGGED: usize = 8;
/// Longest name of such a header, and of its value, of which the rest is cut off.
const MAX_LOGGED_NAME: usize = 64;
const MAX_LOGGED_VALUE: usize = 128;
/// Longest name, value or origin, in bytes.
const MAX_TEXT: usize = 1024;

/// Which web pages may call the server from a browser (`setting/cors`).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Cors {
    /// As a browser sends them, or `*` alone for all.
    pub origins: Vec<String>,
    /// Request headers that they may send, beside those of the dialect.
    pub headers: Vec<String>,
}

/// How a header goes into the log (`setting/logged-header/{name}`).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LoggedHeader {
    /// As a keyed hash, not as it is.
    pub hashed: bool,
}

/// A header of a web interface (`setting/ui-header/{name}`).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct UiHeader {
    /// The name as it was written.
    pub name: String,
    /// From one on.
    pub values: Vec<String>,
}

impl Persisted for Cors {}
impl Persisted for LoggedHeader {}
impl Persisted for UiHeader {}

/// What every request asks about.
#[derive(Default)]
pub(crate) struct Settings {
    cors: ArcSwap<Cors>,
    logged: ArcSwap<BTreeMap<String, LoggedHeader>>,
}

impl Cors {
    /// Whether a page of this origin may call.
    pub fn allows(&self, origin: &str) -> bool {
        self.origins.iter().any(|allowed| allowed == "*" || allowed == origin)
    }

    fn check(&self) -> Result<(), Error> {
        if self.origins.is_empty() {
            return Err(refused("at least one origin or the wildcard must be provided"));
        }
        if self.origins.len() > 1 && self.origins.iter().any(|origin| origin == "*") {
            return Err(refused("to allow all origins the '*' must be the only value for allowed_origins"));
        }
        let plain =
            |text: &String| !text.is_empty() && text.len() <= MAX_TEXT && text.bytes().all(|b| (33..127).contains(&b));
        if self.origins.len() > MAX_HEADERS || !self.origins.iter().all(plain) {
            return Err(refused("at most 32 origins of printable ASCII"));
        }
        if self.headers.len() > MAX_HEADERS || !self.headers.iter().all(|name| is_header(name)) {
            return Err(refused("at most 32 names of headers"));
        }
        Ok(())
    }
}

impl Core {
    /// Which web pages may call the server: none where the node is not active, or nobody set any.
    pub fn cors(&self) -> Option<Arc<Cors>> {
        let cors = self.active().ok()?.settings.cors.load_full();
        (!cors.origins.is_empty()).then_some(cors)
    }

    /// The headers of a request that go into its records, with what is recorded of each. `sent` gives a header's values.
    pub fn logged_headers(&self, sent: impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
        let Ok(active) = self.active() else { return Vec::new() };
        let wanted = active.settings.logged.load();
        if wanted.is_empty() {
            return Vec::new();
        }
        let of = |(name, how): (&String, &LoggedHeader)| {
            let value = sent(name)?;
            match how.hashed {
                false => Some((name.clone(), value.chars().take(MAX_LOGGED_VALUE).collect())),
                true => {
                    let (kid, key) = active.keyrings.audit.current().ok()?;
                    Some((name.clone(), format!("hmac:{kid}:{}", URL_SAFE_NO_PAD.encode(key.mac(&[value.as_bytes()])))))
                }
            }
        };
        wanted.iter().filter_map(of).collect()
    }
}

impl Caller {
    /// Which web pages may call the server.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read and sudo on `sys/config/cors`.
    pub async fn cors_read(&self) -> Result<Arc<Cors>, Error> {
        self.recorded(self.record("setting.read", CORS), async {
            self.authorise(CORS, Operation::Read, &())?;
            Ok(Done::Unlogged(self.active.settings.cors.load_full()))
        })
        .await
    }

    /// Sets which web pages may call the server; without any origin none may.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update and sudo on `sys/config/cors`; [`coffer_api::Code::Invalid`] where
    /// the origins or headers are none, or too many.
    pub async fn cors_write(&self, cors: Cors, parameters: &dyn Parameters) -> Result<(), Error> {
        let apply = |settings: &Settings, cors: Option<Cors>| settings.cors.store(Arc::new(cors.unwrap_or_default()));
        self.set((CORS, Operation::Update, parameters), || cors.check(), (cors_row(), Some(cors.clone())), apply).await
    }

    /// No web page may call the server any more.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without delete and sudo on `sys/config/cors`.
    pub async fn cors_delete(&self) -> Result<(), Error> {
        let apply = |settings: &Settings, _: Option<Cors>| settings.cors.store(Arc::default());
        self.set((CORS, Operation::Delete, &()), || Ok(()), (cors_row(), None), apply).await
    }

    /// The headers that go into the log, by name; `name` asks for one, and is where the caller asks.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read and sudo on `sys/config/auditing/request-headers` (and the name).
    pub async fn logged_header_read(&self, name: Option<&str>) -> Result<BTreeMap<String, LoggedHeader>, Error> {
        let path = name.map_or_else(|| LOGGED.to_owned(), |name| format!("{LOGGED}/{name}"));
        self.recorded(self.record("setting.read", &path), async {
            self.authorise(&path, Operation::Read, &())?;
            Ok(Done::Unlogged(BTreeMap::clone(&self.active.settings.logged.load())))
        })
        .await
    }

    /// Sets how a header goes into the log; `None` = not at all.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update (or delete) and sudo on `sys/config/auditing/request-headers/{name}`;
    /// [`coffer_api::Code::Invalid`] for what is no header, what holds a token, and above 32 of them.
    pub async fn logged_header_set(
        &self,
        name: &str,
        how: Option<LoggedHeader>,
        parameters: &dyn Parameters,
    ) -> Result<(), Error> {
        let path = format!("{LOGGED}/{name}");
        let name = name.to_lowercase();
        let operation = if how.is_some() { Operation::Update } else { Operation::Delete };
        let check = || {
            let logged = self.active.settings.logged.load();
            match how {
                Some(_) if !is_header(&name) || name.len() > MAX_LOGGED_NAME => {
                    Err(Error::invalid("that is no name of a header that can be logged"))
                }
                Some(_) if TOKENS.contains(&name.as_str()) => {
                    Err(Error::invalid("this header holds a token, which the log never has"))
                }
                Some(_) if logged.len() >= MAX_LOGGED && !logged.contains_key(&name) => {
                    Err(Error::invalid(format!("the log has {MAX_LOGGED} headers, which is the limit")))
                }
                Some(_) | None => Ok(()),
            }
        };
        let row = format!("{}{name}", logged_rows());
        let named = name.clone();
        let apply = move |settings: &Settings, how| settings.log_header(&named, how);
        self.set((&path, operation, parameters), check, (row, how), apply).await
    }

    /// The headers of a web interface, in order.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without `operation` and sudo on `sys/config/ui/headers/` (and the name).
    pub async fn ui_header_read(&self, operation: Operation, name: &str) -> Result<Vec<UiHeader>, Error> {
        let path = format!("{UI}/{name}");
        self.recorded(self.record("setting.read", &path), async {
            self.authorise(&path, operation, &())?;
            let mut found = Vec::new();
            let collect = |_: &str, row: UiHeader| {
                found.push(row);
                Ok(())
            };
            self.active.each(&ui_rows(), collect).await?;
            Ok(Done::Unlogged(found))
        })
        .await
    }

    /// Sets the values of a header of a web interface; none = it goes.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update (or delete) and sudo on `sys/config/ui/headers/{name}`;
    /// [`coffer_api::Code::Invalid`] for what is no header, or too many values.
    pub async fn ui_header_set(
        &self,
        name: &str,
        values: Option<Vec<String>>,
        parameters: &dyn Parameters,
    ) -> Result<(), Error> {
        let path = format!("{UI}/{name}");
        let operation = if values.is_some() { Operation::Update } else { Operation::Delete };
        let row = values.map(|values| UiHeader { name: name.to_owned(), values });
        let check = || match &row {
            Some(header) if header.values.is_empty() => Err(Error::invalid("header and values must be specified")),
            Some(_) if name.to_ascii_lowercase().starts_with("x-vault-") => {
                Err(Error::invalid("X-Vault headers cannot be set"))
            }
            Some(_) if !is_header(name) => Err(Error::invalid("that is no name of a header")),
            Some(header) if header.values.len() > MAX_HEADERS || !header.values.iter().all(is_value) => {
                Err(Error::invalid("at most 32 values of printable ASCII"))
            }
            Some(_) | None => Ok(()),
        };
        let key = format!("{}{}", ui_rows(), name.to_lowercase());
        self.set((&path, operation, parameters), check, (key, row.clone()), |_, _| {}).await
    }

    /// Writes one setting, or removes it, and sees to it that it is in force from then on.
    async fn set<T: Persisted + Send + Sync + 'static>(
        &self,
        asked: (&str, Operation, &dyn Parameters),
        check: impl Fn() -> Result<(), Error>,
        (row, value): (String, Option<T>),
        apply: impl FnOnce(&Settings, Option<T>) + Send + Sync + 'static,
    ) -> Result<(), Error> {
        let (path, operation, parameters) = asked;
        let class = if value.is_some() { "setting.write" } else { "setting.delete" };
        let record = self.record(class, path);
        self.recorded(record.clone(), async {
            self.authorise(path, operation, parameters)?;
            // One at a time: how many there are is a question about all.
            let mut edit = Edit::under(self.active.locks.lock(&[keys::SETTING]).await);
            check()?;
            match &value {
                Some(value) => edit.put(row, codec::encode(value)?, None),
                None => edit.delete(row, None),
            }
            edit.in_force(move |active| apply(&active.settings, value));
            Ok(Done::Logged((), self.commit(edit, record).await?))
        })
        .await
    }
}

impl Settings {
    fn log_header(&self, name: &str, how: Option<LoggedHeader>) {
        let mut logged = BTreeMap::clone(&self.logged.load());
        match how {
            Some(how) => drop(logged.insert(name.to_owned(), how)),
            None => drop(logged.remove(name)),
        }
        self.logged.store(Arc::new(logged));
    }
}

impl Active {
    /// Reads what every request asks about.
    pub(crate) async fn load_settings(&self) -> Result<(), Error> {
        if let Some(found) = self.row::<Cors>(&cors_row()).await? {
            self.settings.cors.store(Arc::new(found.value));
        }
        let mut logged = BTreeMap::new();
        let collect = |key: &str, row: LoggedHeader| {
            logged.insert(key.strip_prefix(&logged_rows()).unwrap_or(key).to_owned(), row);
            Ok(())
        };
        self.each(&logged_rows(), collect).await?;
        self.settings.logged.store(Arc::new(logged));
        Ok(())
    }
}

fn cors_row() -> String {
    format!("{}cors", keys::SETTING)
}

fn logged_rows() -> String {
    format!("{}logged-header/", keys::SETTING)
}

fn ui_rows() -> String {
    format!("{}ui-header/", keys::SETTING)
}

fn refused(why: &str) -> Error {
    Error::invalid(format!("1 error occurred:\n\t* {why}\n\n"))
}

fn is_header(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.len() <= MAX_TEXT && name.bytes().all(is_token)
}

#[allow(clippy::ptr_arg, reason = "called on each of a list")]
fn is_value(value: &String) -> bool {
    value.len() <= MAX_TEXT && value.bytes().all(|byte| (32..127).contains(&byte))
}

/// Headers that hold tokens.
const TOKENS: [&str; 4] = ["authorization", "cookie", "x-coffer-token", "x-vault-token"];
