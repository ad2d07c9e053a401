//! Configuration: a TOML file that refuses unknown keys, or files as Vault writes them, under overrides from flags and environment, over defaults.

mod backup;
mod limits;
mod source;
#[cfg(test)]
mod tests;
mod tls;
pub(crate) mod vault;

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use coffer_api::Sensitive;
pub use coffer_core::{BackupSchedule, SealKind};
use serde::Deserialize;

pub use self::backup::BackupOverrides;
pub use self::limits::{LimitOverrides, Limits};
pub use self::tls::{TlsFiles, TlsOverrides, TlsVersion};

/// What the command line and the environment set; a flag stands before its variable, and both before the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Address to listen on.
    pub listen: Option<SocketAddr>,
    /// Allows plain HTTP on an address that is not loopback.
    pub insecure_plain_http: Option<bool>,
    /// Certificate and key of the listener.
    pub tls: TlsOverrides,
    /// Where clients and other nodes reach this node, as a URL.
    pub advertise: Option<String>,
    /// Data directory.
    pub data: Option<PathBuf>,
    /// `sqlite:PATH`, `postgres://…` or `memory:`.
    pub storage: Option<Sensitive<String>>,
    /// What protects the root key.
    pub seal: Option<SealKind>,
    /// Lets anybody give shares to rekeys and for root tokens.
    pub insecure_anonymous_rekey: Option<bool>,
    /// Key file of the `file` seal.
    pub seal_key_file: Option<PathBuf>,
    /// Everything in memory, unsealed, with a root token.
    pub dev: Option<Dev>,
    /// Directory of the audit log.
    pub audit_dir: Option<PathBuf>,
    /// When a read may be answered.
    pub read_durability: Option<ReadDurability>,
    /// Seconds between two rounds of the scrub; 0 = none.
    pub scrub_every_seconds: Option<u64>,
    /// Backups that are made by themselves.
    pub backup: BackupOverrides,
    /// Numbers that bound what the server takes and keeps.
    pub limits: LimitOverrides,
}

/// What the defaults depend on, taken from the process once.
#[derive(Clone, Debug)]
pub struct Host {
    /// Whether the process runs as root.
    pub is_root: bool,
    /// The user's home directory.
    pub home: Option<PathBuf>,
    /// Where throw-away directories go.
    pub temp: PathBuf,
}

/// A complete configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Certificate and key of the listener; absent = plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Where clients and other nodes reach this node; absent = as bound.
    pub advertise: Option<String>,
    /// Data directory; with `dev` absent = a throw-away one.
    pub data: Option<PathBuf>,
    /// Where entries are stored.
    pub storage: Sensitive<String>,
    /// What protects the root key.
    pub seal: SealKind,
    /// Anybody may give shares to rekeys and for root tokens.
    pub insecure_anonymous_rekey: bool,
    /// Key file of the `file` seal; absent = `seal.key` in the data directory.
    pub seal_key_file: Option<PathBuf>,
    /// Everything in memory, unsealed, with a root token.
    pub dev: Option<Dev>,
    /// Directory of the audit log; absent = `audit` in the data directory.
    pub audit_dir: Option<PathBuf>,
    /// When a read may be answered.
    pub read_durability: ReadDurability,
    /// How long after the start, and after each round, log and store are re-verified; absent = never.
    pub scrub_every: Option<Duration>,
    /// When backups are made by themselves; absent = never.
    pub backup: Option<BackupSchedule>,
    /// Numbers that bound what the server takes and keeps.
    pub limits: Limits,
    /// What the log shows, `trace` to `error`, unless the environment says otherwise; from files as Vault writes them.
    pub log_level: Option<&'static str>,
    /// Dangerous options in use, and keys that are not honoured, for the log at start.
    pub warnings: Vec<String>,
}

/// `--dev`.
#[derive(Clone, Debug, Default)]
pub struct Dev {
    /// The root token; absent = a random one, printed.
    pub root_token: Option<Sensitive<String>>,
}

/// When a read is answered.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum ReadDurability {
    /// After its audit record is synced.
    #[default]
    Synced,
    /// After its audit record is written.
    Written,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read configuration file {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what the server understands.
    #[error("configuration file {path}, line {line}: {message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong, without the line's text, which may hold a password.
        message: String,
    },
    /// Plain HTTP on an address that others can reach.
    #[error(
        "{listen} is reachable by others and plain HTTP shows every secret to the network; set tls.cert_file and tls.key_file, listen on 127.0.0.1 behind a TLS proxy, or set insecure_plain_http = true"
    )]
    PlainHttp {
        /// The address.
        listen: SocketAddr,
    },
    /// A key's value is outside its range, or two keys exclude each other.
    #[error("{key}: {message}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong.
        message: String,
    },
}

impl Config {
    /// Puts file, overrides and defaults together.
    ///
    /// # Errors
    /// Where the file cannot be read or parsed (unknown keys included), or a value is refused.
    pub fn load(file: Option<&Path>, overrides: Overrides, host: &Host) -> Result<Self, ConfigError> {
        let files: Vec<PathBuf> = file.map(Path::to_owned).into_iter().collect();
        Self::load_all(&files, overrides, host)
    }

    /// As [`Config::load`], from one TOML file, or from files as Vault writes them: `.hcl` and `.json`, or directories of
    /// them. Later files stand before earlier ones.
    ///
    /// # Errors
    /// As [`Config::load`]; in Vault's files, unknown keys are warned of.
    pub fn load_all(files: &[PathBuf], overrides: Overrides, host: &Host) -> Result<Self, ConfigError> {
        resolve(source::read(files)?, overrides, host)
    }
}

impl Host {
    /// The process's own.
    pub fn current() -> Self {
        Self {
            is_root: rustix::process::geteuid().is_root(),
            home: std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from),
            temp: std::env::temp_dir(),
        }
    }
}

impl fmt::Display for ReadDurability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Synced => "synced",
            Self::Written => "written",
        })
    }
}

impl std::str::FromStr for ReadDurability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "synced" => Ok(Self::Synced),
            "written" => Ok(Self::Written),
            _ => Err("either \"synced\" or \"written\"".into()),
        }
    }
}

/// The file's keys.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    insecure_plain_http: Option<bool>,
    advertise: Option<String>,
    data: Option<PathBuf>,
    storage: Option<Sensitive<String>>,
    seal: Option<SealKind>,
    insecure_anonymous_rekey: Option<bool>,
    seal_key_file: Option<PathBuf>,
    #[serde(default)]
    tls: TlsOverrides,
    #[serde(default)]
    audit: AuditFile,
    backup: Option<BackupOverrides>,
    #[serde(default)]
    limits: LimitOverrides,
    #[serde(skip)]
    log_level: Option<&'static str>,
    #[serde(skip)]
    warnings: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditFile {
    dir: Option<PathBuf>,
    read_durability: Option<ReadDurability>,
    scrub_every_seconds: Option<u64>,
}

fn resolve(file: File, flags: Overrides, host: &Host) -> Result<Config, ConfigError> {
    let refuse = |key, message: &str| Err(ConfigError::Value { key, message: message.to_owned() });
    let mut warnings = file.warnings;

    let listen = flags.listen.or(file.listen).unwrap_or(DEFAULT_LISTEN);
    let tls = tls::resolve(flags.tls, file.tls)?;
    if tls.is_none() && !listen.ip().to_canonical().is_loopback() {
        if flags.insecure_plain_http.or(file.insecure_plain_http) != Some(true) {
            return Err(ConfigError::PlainHttp { listen });
        }
        warnings.push(format!("insecure_plain_http: secrets travel to and from {listen} unencrypted"));
    }

    let dev = flags.dev;
    if let Some(token) = dev.as_ref().and_then(|dev| dev.root_token.as_ref())
        && !is_token_id(token.expose())
    {
        return refuse("dev_root_token_id", "must be 1 to 256 visible ASCII characters without '.'");
    }
    let data = match (flags.data.or(file.data), &dev) {
        (Some(data), _) => Some(data),
        (None, Some(_)) => None,
        (None, None) => Some(default_data(host)?),
    };
    let storage = match (flags.storage.or(file.storage), &dev, &data) {
        (Some(_), Some(_), _) => return refuse("storage", "--dev keeps everything in memory and takes no storage"),
        (Some(storage), None, _) => storage,
        (None, Some(_), _) | (None, None, None) => Sensitive::from("memory:"),
        (None, None, Some(data)) => match data.to_str() {
            Some(data) => Sensitive::new(format!("sqlite:{data}/store.db")),
            None => return refuse("data", "the path is not UTF-8; set storage as well"),
        },
    };

    let advertise = flags.advertise.or(file.advertise);
    match &advertise {
        Some(url) if !(url.starts_with("http://") || url.starts_with("https://")) => {
            return refuse("advertise", "not a URL that starts with http:// or https://");
        }
        Some(url) if url.ends_with('/') => {
            return refuse("advertise", "a URL without a path, so without a slash at its end");
        }
        None if listen.ip().is_unspecified() && storage.expose().starts_with("postgres") => {
            return refuse(
                "advertise",
                "set the URL under which other nodes reach this one; it listens on every address",
            );
        }
        Some(_) | None => {}
    }

    let seal = flags.seal.or(file.seal).unwrap_or_default();
    if dev.is_some() && seal != SealKind::File {
        return refuse("seal", "--dev starts unsealed and takes no other seal than file");
    }
    let insecure_anonymous_rekey = flags.insecure_anonymous_rekey.or(file.insecure_anonymous_rekey).unwrap_or(false);
    if insecure_anonymous_rekey {
        warnings.push(
            "insecure_anonymous_rekey: whoever reaches the listener may begin, disturb and cancel rekeys and \
             attempts at a root token"
                .to_owned(),
        );
    }

    let backup = backup::resolve(flags.backup, file.backup)?;
    if dev.is_some() && backup.is_some() {
        return refuse("backup", "--dev keeps nothing, and backs up nothing by itself");
    }
    let scrub_every = match flags.scrub_every_seconds.or(file.audit.scrub_every_seconds).unwrap_or(SCRUB_EVERY_SECONDS)
    {
        0 => None,
        seconds @ 1..=MAX_SCRUB_EVERY_SECONDS => Some(Duration::from_secs(seconds)),
        _ => return refuse("audit.scrub_every_seconds", "must be at most 31536000, a year; 0 switches the scrub off"),
    };

    Ok(Config {
        listen,
        tls,
        advertise,
        data,
        storage,
        seal,
        insecure_anonymous_rekey,
        seal_key_file: flags.seal_key_file.or(file.seal_key_file),
        dev,
        audit_dir: flags.audit_dir.or(file.audit.dir),
        read_durability: flags.read_durability.or(file.audit.read_durability).unwrap_or_default(),
        scrub_every,
        backup,
        limits: limits::resolve(&flags.limits, &file.limits)?,
        log_level: file.log_level,
        warnings,
    })
}

fn is_token_id(text: &str) -> bool {
    (1..=256).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.')
}

fn default_data(host: &Host) -> Result<PathBuf, ConfigError> {
    match (host.is_root, &host.home) {
        (true, _) => Ok(PathBuf::from("/var/lib/coffer")),
        (false, Some(home)) => Ok(home.join(".local/share/coffer")),
        (false, None) => Err(ConfigError::Value {
            key: "data",
            message: "neither data nor HOME is set: where should data go?".into(),
        }),
    }
}

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8200);
const SCRUB_EVERY_SECONDS: u64 = 3600;
const MAX_SCRUB_EVERY_SECONDS: u64 = 365 * 86_400;
