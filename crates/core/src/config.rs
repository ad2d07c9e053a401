//! What a core is started with.

use std::path::PathBuf;

pub use crate::{seal::SealKind, space::FreeSpace};

/// Everything a core needs to know at start. No `Debug`: a PostgreSQL URL may hold a password.
#[derive(Clone)]
pub struct Config {
    /// `memory:`, `sqlite:/path/store.db` or `postgres://…`.
    pub storage: String,
    /// The data directory: node id, initial token, unix socket, usually the log and the SQLite store.
    pub data: PathBuf,
    /// The URL at which clients reach this node when it is active.
    pub advertise: String,
    /// What protects the root key.
    pub seal: SealKind,
    /// The file seal's key.
    pub seal_key_file: PathBuf,
    /// Who may give shares for other ends than the unseal.
    pub share_givers: ShareGivers,
    /// Development: everything in memory, a root token.
    pub dev: Option<Dev>,
    /// The audit log.
    pub audit: AuditConfig,
    /// When backups are made by themselves; `None` = never.
    pub backup: Option<BackupSchedule>,
    /// Bounds.
    pub limits: Limits,
}

/// Backups that are made by themselves.
#[derive(Clone, Debug)]
pub struct BackupSchedule {
    /// The folder that they go to.
    pub dir: PathBuf,
    /// To whom they are encrypted, `age1…`.
    pub recipient: String,
    /// When one is due.
    pub when: BackupTime,
    /// Which are kept.
    pub keep: Keep,
    /// In which of those the part with the object keys is kept.
    pub keep_object_keys: Keep,
}

impl BackupSchedule {
    /// Whether a text is a recipient, `age1…`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check_recipient(text: &str) -> Result<(), String> {
        coffer_crypto::age::Recipient::parse(text).map(drop).map_err(|error| error.to_string())
    }
}

/// When a backup is due.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BackupTime {
    /// Once a day.
    Daily {
        /// At this minute of the day, UTC, 0 to 1439.
        minute: u16,
    },
    /// So long after the last one.
    Every(std::time::Duration),
}

/// How long something is kept: as long as neither bound is passed. The newest always is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Keep {
    /// At most so many.
    pub count: Option<u32>,
    /// At most for so long.
    pub age: Option<std::time::Duration>,
}

/// Development mode.
#[derive(Clone, Debug, Default)]
pub struct Dev {
    /// The root token, else a random one.
    pub root_token: Option<String>,
}

/// Who may give shares to `sys/rekey` and `sys/generate-root`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ShareGivers {
    /// Whoever reaches the listener, and so whoever wants to disturb those who give shares.
    Anybody,
    /// A caller with sudo, or the server's own user over the unix socket.
    #[default]
    Known,
}

/// Where and how the log is kept.
#[derive(Clone, Debug)]
pub struct AuditConfig {
    /// Its directory.
    pub dir: PathBuf,
    /// What a read's answer waits for.
    pub read_durability: ReadDurability,
    /// How long after the start, and after each round, log and store are re-verified; `None` = never.
    pub scrub_every: Option<std::time::Duration>,
}

/// What the answer to a read waits for; changes always wait for the sync.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ReadDurability {
    /// Its record is synced.
    #[default]
    Synced,
    /// Its record was handed to the operating system, which a power loss may forget.
    Written,
}

/// Bounds on memory, time and disk.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Cached ciphertext, in bytes.
    pub cache_bytes: usize,
    /// Cached tokens, in bytes.
    pub token_cache_bytes: usize,
    /// Lifetime of a token or lease that asks for none, in seconds.
    pub default_lease_ttl: u64,
    /// Longest lifetime of a token or lease, in seconds.
    pub max_lease_ttl: u64,
    /// A term of the barrier ends at this age, in seconds.
    pub term_max_age: u64,
    /// How much longer SQLite's write-ahead log may get for the sake of a backup, in bytes.
    pub backup_growth: u64,
    /// Below this, changes are refused.
    pub free_for_changes: FreeSpace,
    /// Below this, reads too.
    pub free_for_reads: FreeSpace,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cache_bytes: 32 << 20,
            token_cache_bytes: 8 << 20,
            default_lease_ttl: 768 * 3600,
            max_lease_ttl: 768 * 3600,
            term_max_age: 365 * 86_400,
            backup_growth: 1 << 30,
            free_for_changes: FreeSpace { percent: 5, bytes: 1 << 30 },
            free_for_reads: FreeSpace { percent: 2, bytes: 256 << 20 },
        }
    }
}
