//! `coffer server`: flags and environment over a configuration file, then the server until it is told to stop.

#[cfg(test)]
mod settings;

use std::{io::IsTerminal, net::SocketAddr, path::PathBuf};

use clap::Args;
use coffer_api::Sensitive;
use coffer_server::config::{
    BackupOverrides, Config, ConfigError, Dev, Host, LimitOverrides, Overrides, ReadDurability, SealKind, TlsOverrides,
    TlsVersion,
};

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::{
    environment::Environment,
    failure::{Failure, chain},
    session::Session,
};

/// Options of `server`. Each stands before its variable, and both before the file.
#[derive(Args)]
pub(crate) struct Arguments {
    /// Configuration file: TOML, or .hcl and .json as Vault writes them, of which there may be several, or a directory
    #[arg(long, value_name = "FILE", env = "COFFER_CONFIG")]
    config: Vec<PathBuf>,
    /// Keep everything in memory, unsealed, with a root token
    #[arg(long, env = "COFFER_DEV", value_parser = switch)]
    dev: bool,
    /// With --dev, this root token instead of a random one
    #[arg(long, value_name = "TOKEN", env = "COFFER_DEV_ROOT_TOKEN_ID", hide_env_values = true)]
    dev_root_token_id: Option<String>,
    /// Address to listen on; port 0 takes a free one [default: 127.0.0.1:8200]
    #[arg(long, alias = "dev-listen-address", value_name = "IP:PORT", env = "COFFER_LISTEN")]
    listen: Option<SocketAddr>,
    /// PEM file with the listener's certificate and its intermediates; with it TLS is spoken
    #[arg(long, value_name = "FILE", env = "COFFER_TLS_CERT_FILE")]
    tls_cert_file: Option<PathBuf>,
    /// PEM file with the certificate's private key, which others may not read
    #[arg(long, value_name = "FILE", env = "COFFER_TLS_KEY_FILE")]
    tls_key_file: Option<PathBuf>,
    /// Lowest version of TLS that is spoken, 1.2 or 1.3 [default: 1.2]
    #[arg(long, value_name = "VERSION", env = "COFFER_TLS_MIN_VERSION")]
    tls_min_version: Option<TlsVersion>,
    /// Allow plain HTTP on an address that others can reach
    #[arg(long, env = "COFFER_INSECURE_PLAIN_HTTP", value_parser = switch)]
    insecure_plain_http: bool,
    /// Where clients and other nodes reach this one [default: the address listened on]
    #[arg(long, value_name = "URL", env = "COFFER_ADVERTISE")]
    advertise: Option<String>,
    /// Data directory [default: /var/lib/coffer as root, else ~/.local/share/coffer]
    #[arg(long, value_name = "DIR", env = "COFFER_DATA")]
    data: Option<PathBuf>,
    /// sqlite:PATH, postgres://… or memory: [default: store.db in the data directory]. A URL with a password belongs
    /// into the variable or the file
    #[arg(long, value_name = "URL", env = "COFFER_STORAGE", hide_env_values = true)]
    storage: Option<String>,
    /// What protects the root key: file, a key file on this machine, or shamir, shares of which so many together unseal
    /// [default: file]
    #[arg(long, value_name = "KIND", env = "COFFER_SEAL", value_parser = ["file", "shamir"])]
    seal: Option<String>,
    /// Let anybody who reaches the listener give shares to rekeys and for root tokens
    #[arg(long, env = "COFFER_INSECURE_ANONYMOUS_REKEY", value_parser = switch)]
    insecure_anonymous_rekey: bool,
    /// Key file of the file seal [default: seal.key in the data directory]
    #[arg(long, value_name = "FILE", env = "COFFER_SEAL_KEY_FILE")]
    seal_key_file: Option<PathBuf>,
    /// Directory of the audit log [default: audit in the data directory]
    #[arg(long, value_name = "DIR", env = "COFFER_AUDIT_DIR")]
    audit_dir: Option<PathBuf>,
    /// When a read is answered: after its record is synced, or written [default: synced]
    #[arg(long, value_name = "HOW", env = "COFFER_AUDIT_READ_DURABILITY", value_parser = ["synced", "written"])]
    audit_read_durability: Option<String>,
    /// How long after the start, and after each round, log and store are re-verified; 0 = never [default: 3600]
    #[arg(long, value_name = "SECONDS", env = "COFFER_AUDIT_SCRUB_EVERY_SECONDS")]
    audit_scrub_every_seconds: Option<u64>,
    #[command(flatten)]
    backup: Backup,
    #[command(flatten)]
    limits: Limits,
}

/// Backups that are made by themselves.
#[derive(Args)]
#[command(next_help_heading = "Backups by themselves")]
struct Backup {
    /// The folder that they go to, an absolute path
    #[arg(long, value_name = "DIR", env = "COFFER_BACKUP_DIR")]
    backup_dir: Option<PathBuf>,
    /// Whom they are encrypted to, as age-keygen prints it: age1...
    #[arg(long, value_name = "KEY", env = "COFFER_BACKUP_RECIPIENT")]
    backup_recipient: Option<String>,
    /// One is made so long after the last
    #[arg(long, value_name = "SECONDS", env = "COFFER_BACKUP_EVERY_SECONDS")]
    backup_every_seconds: Option<u64>,
    /// Or at this time of the day, UTC, as 02:30
    #[arg(long, value_name = "TIME", env = "COFFER_BACKUP_DAILY_AT")]
    backup_daily_at: Option<String>,
    /// The newest so many are kept [default: all]
    #[arg(long, value_name = "N", env = "COFFER_BACKUP_KEEP_COUNT")]
    backup_keep_count: Option<u32>,
    /// They are kept for so many days [default: for ever]
    #[arg(long, value_name = "DAYS", env = "COFFER_BACKUP_KEEP_DAYS")]
    backup_keep_days: Option<u32>,
    /// In the newest so many the object keys are kept [default: in all]
    #[arg(long, value_name = "N", env = "COFFER_BACKUP_KEEP_OBJECT_KEYS_COUNT")]
    backup_keep_object_keys_count: Option<u32>,
    /// Object keys are kept for so many days [default: for ever]
    #[arg(long, value_name = "DAYS", env = "COFFER_BACKUP_KEEP_OBJECT_KEYS_DAYS")]
    backup_keep_object_keys_days: Option<u32>,
}

/// Numbers that bound what the server takes and keeps.
#[derive(Args)]
#[command(next_help_heading = "Limits")]
struct Limits {
    /// Bytes of ciphertext kept in memory
    #[arg(long, value_name = "BYTES", env = "COFFER_CACHE_BYTES")]
    cache_bytes: Option<usize>,
    /// Bytes of token entries kept in memory
    #[arg(long, value_name = "BYTES", env = "COFFER_TOKEN_CACHE_BYTES")]
    token_cache_bytes: Option<usize>,
    /// Connections at a time
    #[arg(long, value_name = "N", env = "COFFER_MAX_CONNECTIONS")]
    max_connections: Option<usize>,
    /// Largest request body
    #[arg(long, value_name = "BYTES", env = "COFFER_REQUEST_BODY_BYTES")]
    request_body_bytes: Option<usize>,
    /// Refuse changes below the smaller of this share of the disk and --min-free-bytes-changes
    #[arg(long, value_name = "PERCENT", env = "COFFER_MIN_FREE_PERCENT_CHANGES")]
    min_free_percent_changes: Option<u8>,
    /// See --min-free-percent-changes
    #[arg(long, value_name = "BYTES", env = "COFFER_MIN_FREE_BYTES_CHANGES")]
    min_free_bytes_changes: Option<u64>,
    /// Refuse reads below the smaller of this share of the disk and --min-free-bytes-reads
    #[arg(long, value_name = "PERCENT", env = "COFFER_MIN_FREE_PERCENT_READS")]
    min_free_percent_reads: Option<u8>,
    /// See --min-free-percent-reads
    #[arg(long, value_name = "BYTES", env = "COFFER_MIN_FREE_BYTES_READS")]
    min_free_bytes_reads: Option<u64>,
    /// Lifetime in seconds of a token that asks for none
    #[arg(long, value_name = "SECONDS", env = "COFFER_DEFAULT_LEASE_TTL")]
    default_lease_ttl: Option<u64>,
    /// Longest lifetime in seconds that a token can ask for
    #[arg(long, value_name = "SECONDS", env = "COFFER_MAX_LEASE_TTL")]
    max_lease_ttl: Option<u64>,
    /// Age in seconds at which the key that seals entries is replaced; old ones stay to read
    #[arg(long, value_name = "SECONDS", env = "COFFER_TERM_MAX_AGE")]
    term_max_age: Option<u64>,
    /// Give a backup up once SQLite's write-ahead log has grown by so much while it reads
    #[arg(long, value_name = "BYTES", env = "COFFER_BACKUP_GROWTH_BYTES")]
    backup_growth_bytes: Option<u64>,
}

/// Runs the server until it is told to stop. Its log goes to stderr; `COFFER_LOG` chooses what is in it (`info` unless set,
/// as `debug` or `warn,coffer_server=debug`).
///
/// # Errors
/// Where the configuration is refused, or the server cannot start.
pub(crate) fn run(session: &Session, arguments: Arguments) -> Result<(), Failure> {
    let files = arguments.config.clone();
    let config = Config::load_all(&files, arguments.overrides()?, &Host::current())
        .map_err(|error| refused(&error, &files, &given(), &session.environment))?;
    let filter = session.environment.text("COFFER_LOG")?.or(config.log_level).unwrap_or("info");
    let filter = log_filter(filter).ok_or_else(|| {
        Failure::local("COFFER_LOG is no filter").hint("use error, warn, info, debug or trace, or target=level,…")
    })?;
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    tracing_subscriber::registry().with(lines).with(filter).init();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("cannot start the runtime", &error))?
        .block_on(coffer_server::run(config))
        .map_err(|error| Failure::local(chain(&error)))
}

/// What stands on the command line behind `server`.
fn given() -> Vec<String> {
    std::env::args_os().skip(2).map(|argument| argument.to_string_lossy().into_owned()).collect()
}

/// A setting is named as it was given: by its flag, its variable, or its key in the file.
fn refused(error: &ConfigError, files: &[PathBuf], given: &[String], environment: &Environment) -> Failure {
    match error {
        ConfigError::Value { key, message } => {
            let long = key.strip_prefix("limits.").unwrap_or(key).replace(['.', '_'], "-");
            let flag = long.trim_end_matches('*');
            let is_flag = |argument: &String| {
                let name = argument.split('=').next().unwrap_or_default().trim_start_matches('-');
                argument.starts_with('-') && (name == flag || (flag.len() < long.len() && name.starts_with(flag)))
            };
            let variable = format!("COFFER_{}", long.replace('-', "_").to_ascii_uppercase());
            let as_flag = || Failure::local(format!("--{long}: {}", message.replace("tls.cert_file", "--tls-cert-file")));
            if given.iter().any(is_flag) {
                as_flag()
            } else if environment.text(&variable).is_ok_and(|text| text.is_some()) {
                Failure::local(format!("{variable}: {message}"))
            } else if files.is_empty() {
                as_flag()
            } else {
                Failure::local(format!("{key}: {message}"))
            }
        }
        ConfigError::PlainHttp { listen } if files.is_empty() => Failure::local(format!(
            "{listen} is reachable by others and plain HTTP shows every secret to the network"
        ))
        .hint("give --tls-cert-file and --tls-key-file, listen on 127.0.0.1 behind a TLS proxy, or give --insecure-plain-http"),
        ConfigError::Parse { .. } | ConfigError::PlainHttp { .. } | ConfigError::Read { .. } => {
            Failure::local(chain(error))
        }
    }
}

/// The library's own reading takes any word for a target, and so a mistyped level for everything.
fn log_filter(text: &str) -> Option<Targets> {
    let mut filter = Targets::new();
    for directive in text.split(',').map(str::trim) {
        filter = match directive.split_once('=') {
            Some(("", _)) => return None,
            Some((target, level)) => filter.with_target(target.trim(), log_level(level.trim())?),
            None => filter.with_default(log_level(directive)?),
        };
    }
    Some(filter)
}

fn log_level(text: &str) -> Option<LevelFilter> {
    // Nothing at all would be read as `error`.
    if text.is_empty() { None } else { text.parse().ok() }
}

impl Arguments {
    fn overrides(self) -> Result<Overrides, Failure> {
        if self.dev_root_token_id.is_some() && !self.dev {
            return Err(Failure::local("a root token can be chosen with --dev alone"));
        }
        let read_durability = self
            .audit_read_durability
            .map(|text| text.parse::<ReadDurability>())
            .transpose()
            .map_err(Failure::local)?;
        let seal = self.seal.map(|text| text.parse::<SealKind>()).transpose().map_err(Failure::local)?;
        let root_token = self.dev_root_token_id.map(Sensitive::new);
        Ok(Overrides {
            listen: self.listen,
            insecure_plain_http: self.insecure_plain_http.then_some(true),
            tls: TlsOverrides {
                cert_file: self.tls_cert_file,
                key_file: self.tls_key_file,
                min_version: self.tls_min_version,
            },
            advertise: self.advertise,
            data: self.data,
            storage: self.storage.map(Sensitive::new),
            seal,
            insecure_anonymous_rekey: self.insecure_anonymous_rekey.then_some(true),
            seal_key_file: self.seal_key_file,
            dev: self.dev.then_some(Dev { root_token }),
            audit_dir: self.audit_dir,
            read_durability,
            scrub_every_seconds: self.audit_scrub_every_seconds,
            backup: self.backup.overrides(),
            limits: self.limits.overrides(),
        })
    }
}

/// A switch's variable. One that is set to nothing counts as not set.
fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "" | "0" | "f" | "false" | "n" | "no" | "off" => Ok(false),
        "1" | "on" | "t" | "true" | "y" | "yes" => Ok(true),
        _ => Err("its variable takes true or false, yes or no, on or off, 1 or 0".to_owned()),
    }
}

impl Backup {
    fn overrides(self) -> BackupOverrides {
        BackupOverrides {
            dir: self.backup_dir,
            recipient: self.backup_recipient,
            every_seconds: self.backup_every_seconds,
            daily_at: self.backup_daily_at,
            keep_count: self.backup_keep_count,
            keep_days: self.backup_keep_days,
            keep_object_keys_count: self.backup_keep_object_keys_count,
            keep_object_keys_days: self.backup_keep_object_keys_days,
        }
    }
}

impl Limits {
    fn overrides(self) -> LimitOverrides {
        LimitOverrides {
            cache_bytes: self.cache_bytes,
            token_cache_bytes: self.token_cache_bytes,
            max_connections: self.max_connections,
            request_body_bytes: self.request_body_bytes,
            min_free_percent_changes: self.min_free_percent_changes,
            min_free_bytes_changes: self.min_free_bytes_changes,
            min_free_percent_reads: self.min_free_percent_reads,
            min_free_bytes_reads: self.min_free_bytes_reads,
            default_lease_ttl: self.default_lease_ttl,
            max_lease_ttl: self.max_lease_ttl,
            term_max_age: self.term_max_age,
            backup_growth_bytes: self.backup_growth_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_filter_takes_levels_and_targets_and_nothing_else() {
        for good in ["info", "TRACE", "off", "warn,coffer_server=debug", " warn , hyper = error "] {
            assert!(log_filter(good).is_some(), "{good}");
        }
        for bad in ["", "=", "=debug", "coffer", "inf", "coffer=", "coffer=loud", "info,", "info,,warn"] {
            assert!(log_filter(bad).is_none(), "{bad}");
        }
    }
}
