//! The configuration as it is in force, for who may read it over HTTP: nothing of it is secret or tells where secrets lie.

use std::net::SocketAddr;

use serde::Serialize;

use super::Config;

/// The configuration in the words of Vault's own, as far as there is the same here.
#[derive(Debug, Serialize)]
pub(crate) struct Sanitized {
    api_addr: String,
    default_lease_ttl: u64,
    enable_ui: bool,
    listeners: [Listener; 1],
    log_level: &'static str,
    max_lease_ttl: u64,
    seals: [Seal; 1],
    storage: Storage,
}

#[derive(Debug, Serialize)]
struct Listener {
    config: ListenerConfig,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Debug, Serialize)]
struct ListenerConfig {
    address: SocketAddr,
    tls_disable: bool,
}

#[derive(Debug, Serialize)]
struct Seal {
    disabled: bool,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Debug, Serialize)]
struct Storage {
    #[serde(rename = "type")]
    kind: String,
}

impl Sanitized {
    /// Of a server that listens at `address`.
    pub(crate) fn of(config: &Config, address: SocketAddr) -> Self {
        let tls_disable = config.tls.is_none();
        // What stands before the first colon: no password, and no path.
        let kind = config.storage.expose().split(':').next().unwrap_or_default().to_owned();
        Self {
            api_addr: config.advertise.clone().unwrap_or_default(),
            default_lease_ttl: config.limits.default_lease_ttl,
            enable_ui: false,
            listeners: [Listener { config: ListenerConfig { address, tls_disable }, kind: "tcp" }],
            log_level: config.log_level.unwrap_or_default(),
            max_lease_ttl: config.limits.max_lease_ttl,
            seals: [Seal { disabled: false, kind: config.seal.name() }],
            storage: Storage { kind },
        }
    }
}
