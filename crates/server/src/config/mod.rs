//! Configuration: a TOML file that refuses unknown keys, or files as Vault writes them, under overrides from flags and environment, over defaults.

mod limits;
mod source;
mod tls;
pub(crate) mod vault;

use std::{
    fmt, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use coffer_api::Sensitive;
pub use coffer_core::SealKind;
use serde::Deserialize;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Host {
        Host { is_root: false, home: Some("/home/ada".into()), temp: "/tmp".into() }
    }

    fn from_text(text: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("coffer.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path), Overrides::default(), &host())
    }

    #[test]
    fn sample_files_all_parse() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/samples");
        let mut seen = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "toml") {
                Config::load(Some(&path), Overrides::default(), &host()).unwrap_or_else(|e| panic!("{e}"));
                seen += 1;
            }
        }
        assert!(seen >= 3, "only {seen} samples found");
    }

    #[test]
    fn full_sample_names_every_key() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/samples/full.toml");
        let table: toml::Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        let keys = |table: &toml::Table| table.keys().cloned().collect::<Vec<_>>();
        assert_eq!(
            keys(&table),
            [
                "advertise",
                "audit",
                "data",
                "insecure_anonymous_rekey",
                "insecure_plain_http",
                "limits",
                "listen",
                "seal",
                "seal_key_file",
                "storage",
                "tls"
            ]
        );
        assert_eq!(keys(table["tls"].as_table().unwrap()), ["cert_file", "key_file", "min_version"]);
        assert_eq!(keys(table["audit"].as_table().unwrap()), ["dir", "read_durability", "scrub_every_seconds"]);
        assert_eq!(table["limits"].as_table().unwrap().len(), 11);
        let config = Config::load(Some(&path), Overrides::default(), &host()).unwrap();
        assert_eq!((config.limits, config.listen), (Limits::default(), DEFAULT_LISTEN));
    }

    #[test]
    fn defaults_without_file_are_loopback_and_sqlite_in_home() {
        let config = Config::load(None, Overrides::default(), &host()).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8200");
        assert_eq!(config.data.as_deref(), Some(Path::new("/home/ada/.local/share/coffer")));
        assert_eq!(config.storage.expose(), "sqlite:/home/ada/.local/share/coffer/store.db");
        assert_eq!(config.limits, Limits::default());

        let root = Host { is_root: true, ..host() };
        let config = Config::load(None, Overrides::default(), &root).unwrap();
        assert_eq!(config.data.as_deref(), Some(Path::new("/var/lib/coffer")));

        let nowhere = Host { home: None, ..host() };
        assert!(Config::load(None, Overrides::default(), &nowhere).is_err());
    }

    #[test]
    fn override_beats_file_beats_default() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        std::fs::write(&path, "listen='127.0.0.1:1'\ndata='/a'\n[limits]\nmax_connections=7\ncache_bytes=9\n").unwrap();
        let overrides = Overrides {
            listen: Some("127.0.0.1:2".parse().unwrap()),
            limits: LimitOverrides { max_connections: Some(8), ..LimitOverrides::default() },
            ..Overrides::default()
        };
        let config = Config::load(Some(&path), overrides, &host()).unwrap();
        assert_eq!(config.listen.port(), 2);
        assert_eq!(config.storage.expose(), "sqlite:/a/store.db");
        assert_eq!((config.limits.max_connections, config.limits.cache_bytes), (8, 9));
    }

    #[test]
    fn unknown_key_is_refused_with_its_line() {
        for text in ["a=1\n", "\n\nlisten='127.0.0.1:1'\nlisten_on='x'\n", "[limits]\nmax=1\n", "[audit]\nfile='x'\n"] {
            let error = from_text(text).unwrap_err().to_string();
            assert!(error.contains("unknown field"), "{error}");
        }
        assert!(from_text("\n\n[limits]\nmax=1\n").unwrap_err().to_string().contains("line 4"));
    }

    #[test]
    fn parse_error_never_shows_the_storage_password() {
        for text in [
            "storage='postgres://u:hunter2@h/db\n",
            "storage='postgres://u:hunter2@h/db' x",
            "storage='postgres://u:hunter2@h/db'\nstorage='postgres://u:hunter2@h/db'\n",
            "storage=['postgres://u:hunter2@h/db']\n",
        ] {
            let error = from_text(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        let config = from_text("storage='postgres://u:hunter2@h/db'\n").unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn plain_http_beyond_loopback_needs_the_insecure_key() {
        for listen in ["0.0.0.0:8200", "192.0.2.1:80", "[::]:8200", "[::ffff:192.0.2.1]:1"] {
            assert!(matches!(from_text(&format!("listen='{listen}'")), Err(ConfigError::PlainHttp { .. })), "{listen}");
            let config = from_text(&format!("insecure_plain_http=true\nlisten='{listen}'")).unwrap();
            assert_eq!(config.warnings.len(), 1);
        }
        for listen in ["127.0.0.1:0", "127.8.9.1:80", "[::1]:8200", "[::ffff:127.0.0.1]:1"] {
            assert!(from_text(&format!("listen='{listen}'")).unwrap().warnings.is_empty());
        }
    }

    #[test]
    fn tls_listens_anywhere_and_takes_both_files_or_none() {
        let both = "listen='0.0.0.0:8200'\n[tls]\ncert_file='/c'\nkey_file='/k'\n";
        let config = from_text(both).unwrap();
        assert_eq!(config.tls.unwrap().min_version, TlsVersion::Tls12);
        assert!(config.warnings.is_empty());
        let newer = from_text(&format!("{both}min_version='1.3'\n")).unwrap();
        assert_eq!(newer.tls.unwrap().min_version, TlsVersion::Tls13);
        for text in
            ["cert_file='/c'", "key_file='/k'", "min_version='1.2'", "cert_file='/c'\nkey_file='/k'\nmin_version='1.1'"]
        {
            assert!(from_text(&format!("[tls]\n{text}")).is_err(), "{text}");
        }
        assert!(from_text("").unwrap().tls.is_none());
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for text in [
            "advertise='vault.example:8200'",
            "advertise='http://a/'",
            "[limits]\nmax_connections=0",
            "[limits]\nmax_connections=65537",
            "[limits]\nrequest_body_bytes=33554433",
            "[limits]\nmin_free_percent_reads=51",
            "[limits]\nmax_lease_ttl=0",
            "[limits]\ndefault_lease_ttl=9\nmax_lease_ttl=8",
            "[limits]\nterm_max_age=3599",
            "[limits]\nterm_max_age=315360001",
            "[audit]\nread_durability='never'",
            "[audit]\nscrub_every_seconds=31536001",
            "[audit]\nscrub_every_seconds=-1",
            "insecure_plain_http=true\nlisten='0.0.0.0:1'\nstorage='postgres://h/db'",
        ] {
            assert!(from_text(text).is_err(), "{text}");
        }
    }

    #[test]
    fn scrub_runs_hourly_unless_set_and_never_at_zero() {
        let every = |text: &str| from_text(text).unwrap().scrub_every.map(|every| every.as_secs());
        assert_eq!(every(""), Some(3600));
        assert_eq!(every("[audit]\nscrub_every_seconds=5"), Some(5));
        assert_eq!(every("[audit]\nscrub_every_seconds=31536000"), Some(31_536_000));
        assert_eq!(every("[audit]\nscrub_every_seconds=0"), None);
        let flag = Overrides { scrub_every_seconds: Some(0), ..Overrides::default() };
        assert_eq!(Config::load(None, flag, &host()).unwrap().scrub_every, None);
    }

    #[test]
    fn file_beyond_a_mebibyte_is_refused() {
        let error = from_text(&" ".repeat((1 << 20) + 1)).unwrap_err();
        assert!(matches!(error, ConfigError::Read { .. }));
        from_text(&" ".repeat(1 << 20)).unwrap();
    }

    #[test]
    fn seal_is_a_key_file_unless_set_and_strangers_give_no_shares_unless_allowed() {
        let config = from_text("").unwrap();
        assert_eq!((config.seal, config.insecure_anonymous_rekey), (SealKind::File, false));
        let config = from_text("seal='shamir'\ninsecure_anonymous_rekey=true").unwrap();
        assert_eq!((config.seal, config.insecure_anonymous_rekey, config.warnings.len()), (SealKind::Shamir, true, 1));
        assert!(config.warnings[0].contains("insecure_anonymous_rekey"));
        for text in ["seal='awskms'", "seal='Shamir'", "seal=3", "[seal]\ntype='shamir'"] {
            assert!(from_text(text).is_err(), "{text}");
        }
        let flag = Overrides { seal: Some(SealKind::Shamir), ..Overrides::default() };
        assert_eq!(Config::load(None, flag.clone(), &host()).unwrap().seal, SealKind::Shamir);
        let dev = Overrides { dev: Some(Dev::default()), ..flag };
        assert!(Config::load(None, dev, &host()).is_err());
    }

    #[test]
    fn dev_excludes_storage_and_needs_no_data() {
        let dev = Overrides { dev: Some(Dev::default()), ..Overrides::default() };
        let config = Config::load(None, dev.clone(), &host()).unwrap();
        assert_eq!((config.storage.expose().as_str(), config.data), ("memory:", None));
        let both = Overrides { storage: Some("sqlite:/x".into()), ..dev };
        assert!(Config::load(None, both, &host()).is_err());
    }
}
