//! The numbers of the configuration, with their defaults and ranges.

use serde::Deserialize;

use super::ConfigError;

/// [`Limits`], each absent until set. In the file, section `[limits]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitOverrides {
    /// Bytes of ciphertext kept in memory.
    pub cache_bytes: Option<usize>,
    /// Bytes of token entries kept in memory.
    pub token_cache_bytes: Option<usize>,
    /// Connections at a time.
    pub max_connections: Option<usize>,
    /// Largest request body in bytes.
    pub request_body_bytes: Option<usize>,
    /// Changes are refused below the smaller of this share of the disk …
    pub min_free_percent_changes: Option<u8>,
    /// … and this many bytes.
    pub min_free_bytes_changes: Option<u64>,
    /// Reads are refused below the smaller of this share of the disk …
    pub min_free_percent_reads: Option<u8>,
    /// … and this many bytes.
    pub min_free_bytes_reads: Option<u64>,
    /// Lifetime of a token that asks for none, in seconds.
    pub default_lease_ttl: Option<u64>,
    /// Longest lifetime that a token can ask for, in seconds.
    pub max_lease_ttl: Option<u64>,
    /// Age in seconds at which the barrier's term ends.
    pub term_max_age: Option<u64>,
    /// Bytes by which SQLite's write-ahead log may grow while a backup reads.
    pub backup_growth_bytes: Option<u64>,
}

/// Numbers that bound what the server takes and keeps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes of ciphertext kept in memory.
    pub cache_bytes: usize,
    /// Bytes of token entries kept in memory.
    pub token_cache_bytes: usize,
    /// Connections at a time, 1 to 65,536.
    pub max_connections: usize,
    /// Largest request body in bytes, 1 KiB to 32 MiB.
    pub request_body_bytes: usize,
    /// Changes are refused below the smaller of this share of the disk (percent, 0 to 50) …
    pub min_free_percent_changes: u8,
    /// … and this many bytes.
    pub min_free_bytes_changes: u64,
    /// Reads are refused below the smaller of this share of the disk (percent, 0 to 50) …
    pub min_free_percent_reads: u8,
    /// … and this many bytes.
    pub min_free_bytes_reads: u64,
    /// Lifetime of a token that asks for none, in seconds.
    pub default_lease_ttl: u64,
    /// Longest lifetime that a token can ask for, in seconds.
    pub max_lease_ttl: u64,
    /// Age in seconds at which the barrier's term ends: an hour to ten years.
    pub term_max_age: u64,
    /// Bytes by which SQLite's write-ahead log may grow while a backup reads, at least 1 MiB.
    pub backup_growth_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cache_bytes: 32 << 20,
            token_cache_bytes: 8 << 20,
            max_connections: 1024,
            request_body_bytes: MAX_BODY,
            min_free_percent_changes: 5,
            min_free_bytes_changes: 1 << 30,
            min_free_percent_reads: 2,
            min_free_bytes_reads: 256 << 20,
            default_lease_ttl: 768 * 3600,
            max_lease_ttl: 768 * 3600,
            term_max_age: 365 * DAY,
            backup_growth_bytes: 1 << 30,
        }
    }
}

/// Puts flags, file and defaults together.
pub(super) fn resolve(flags: &LimitOverrides, file: &LimitOverrides) -> Result<Limits, ConfigError> {
    let base = Limits::default();
    let limits = Limits {
        cache_bytes: flags.cache_bytes.or(file.cache_bytes).unwrap_or(base.cache_bytes),
        token_cache_bytes: flags.token_cache_bytes.or(file.token_cache_bytes).unwrap_or(base.token_cache_bytes),
        max_connections: flags.max_connections.or(file.max_connections).unwrap_or(base.max_connections),
        request_body_bytes: flags.request_body_bytes.or(file.request_body_bytes).unwrap_or(base.request_body_bytes),
        min_free_percent_changes: flags
            .min_free_percent_changes
            .or(file.min_free_percent_changes)
            .unwrap_or(base.min_free_percent_changes),
        min_free_bytes_changes: flags
            .min_free_bytes_changes
            .or(file.min_free_bytes_changes)
            .unwrap_or(base.min_free_bytes_changes),
        min_free_percent_reads: flags
            .min_free_percent_reads
            .or(file.min_free_percent_reads)
            .unwrap_or(base.min_free_percent_reads),
        min_free_bytes_reads: flags
            .min_free_bytes_reads
            .or(file.min_free_bytes_reads)
            .unwrap_or(base.min_free_bytes_reads),
        default_lease_ttl: flags.default_lease_ttl.or(file.default_lease_ttl).unwrap_or(base.default_lease_ttl),
        max_lease_ttl: flags.max_lease_ttl.or(file.max_lease_ttl).unwrap_or(base.max_lease_ttl),
        term_max_age: flags.term_max_age.or(file.term_max_age).unwrap_or(base.term_max_age),
        backup_growth_bytes: flags.backup_growth_bytes.or(file.backup_growth_bytes).unwrap_or(base.backup_growth_bytes),
    };
    let refuse = |key, message: &str| Err(ConfigError::Value { key, message: message.to_owned() });
    if !(1..=65_536).contains(&limits.max_connections) {
        return refuse("limits.max_connections", "must be 1 to 65536");
    }
    if !(1024..=MAX_BODY).contains(&limits.request_body_bytes) {
        return refuse("limits.request_body_bytes", "must be 1024 to 33554432 (32 MiB)");
    }
    if limits.min_free_percent_changes > 50 || limits.min_free_percent_reads > 50 {
        return refuse("limits.min_free_percent_*", "must be 0 to 50");
    }
    if !(1..=TEN_YEARS).contains(&limits.max_lease_ttl) {
        return refuse("limits.max_lease_ttl", "must be 1 to 315360000 seconds (ten years)");
    }
    if !(1..=limits.max_lease_ttl).contains(&limits.default_lease_ttl) {
        return refuse("limits.default_lease_ttl", "must be 1 second to max_lease_ttl");
    }
    if !(3600..=TEN_YEARS).contains(&limits.term_max_age) {
        return refuse("limits.term_max_age", "must be 3600 (an hour) to 315360000 seconds (ten years)");
    }
    if limits.backup_growth_bytes < MIN_GROWTH {
        return refuse("limits.backup_growth_bytes", "must be at least 1048576 (1 MiB)");
    }
    Ok(limits)
}

const MIN_GROWTH: u64 = 1 << 20;
const MAX_BODY: usize = 32 << 20;
const DAY: u64 = 86_400;
const TEN_YEARS: u64 = 10 * 365 * DAY;
