//! Server configuration as Vault writes it, HCL 1 or JSON: its keys become ours, are warned of, or are refused.
//!
//! A key that would change who can read what, and that this server cannot honour, is refused; one that asks for something
//! this server does not have, or does anyway, is warned of by name. Nothing is passed over in silence. No message repeats a
//! value: one may be a password.

mod block;
mod listener;
mod storage;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeSet;

use coffer_core::policy::hcl::{self, Item};

use self::{
    block::blocks,
    listener::Listener,
    storage::Storage,
    value::{Fault, fault, flag, hint, nothing_set, seconds, text},
};
use super::{File, LimitOverrides, SealKind, TlsOverrides};

/// What the files say, in our terms. Later files stand before earlier ones; listeners add up.
#[derive(Debug, Default)]
pub(super) struct VaultFile {
    listeners: Vec<Listener>,
    storage: Option<Storage>,
    seal: Option<SealKind>,
    api_addr: Option<String>,
    default_lease_ttl: Option<u64>,
    max_lease_ttl: Option<u64>,
    log_level: Option<&'static str>,
    /// What was asked for and is not done.
    warnings: Vec<String>,
}

impl VaultFile {
    /// Reads one file's text, HCL or (where it begins with a brace) JSON.
    ///
    /// # Errors
    /// With the line, where the text is neither, or says something that is refused.
    pub(super) fn parse(source: &str) -> Result<Self, Fault> {
        let document =
            hcl::parse(source).map_err(|error| Fault { line: error.position.line, message: error.message })?;
        let mut read = Self::default();
        let mut seen = BTreeSet::new();
        for item in &document.items {
            read.item(item, &mut seen)?;
        }
        Ok(read)
    }

    /// Puts a later file over this one.
    pub(super) fn merge(&mut self, later: Self) {
        let Self { listeners, storage, seal, api_addr, default_lease_ttl, max_lease_ttl, log_level, warnings } = later;
        self.listeners.extend(listeners);
        self.storage = storage.or(self.storage.take());
        self.seal = seal.or(self.seal);
        self.api_addr = api_addr.or(self.api_addr.take());
        self.default_lease_ttl = default_lease_ttl.or(self.default_lease_ttl);
        self.max_lease_ttl = max_lease_ttl.or(self.max_lease_ttl);
        self.log_level = log_level.or(self.log_level);
        // Files that say the same are told of once.
        self.warnings.extend(warnings.into_iter().filter(|new| !self.warnings.contains(new)).collect::<Vec<_>>());
    }

    /// The same in the keys of our own file, with what is to be warned of.
    ///
    /// # Errors
    /// Where there is more than one TCP listener.
    pub(super) fn into_file(self) -> Result<File, String> {
        let mut listeners = self.listeners.into_iter();
        let listener = listeners.next();
        if listeners.next().is_some() {
            return Err("listener: this server listens on one TCP address; leave one listener \"tcp\"".to_owned());
        }
        let Storage { url, data } = self.storage.unwrap_or_default();
        let mut file = File {
            advertise: self.api_addr,
            data,
            storage: url,
            seal: self.seal,
            limits: LimitOverrides {
                default_lease_ttl: self.default_lease_ttl,
                max_lease_ttl: self.max_lease_ttl,
                ..LimitOverrides::default()
            },
            log_level: self.log_level,
            warnings: self.warnings,
            ..File::default()
        };
        if let Some(listener) = listener {
            file.listen = listener.address;
            file.limits.request_body_bytes = listener.max_request_size;
            match listener.tls {
                Some(tls) => file.tls = tls,
                None => {
                    file.tls = TlsOverrides::default();
                    file.insecure_plain_http = Some(true);
                }
            }
        }
        Ok(file)
    }

    fn item<'a>(&mut self, item: &'a Item, seen: &mut BTreeSet<&'a str>) -> Result<(), Fault> {
        let (name, line) = (item.key.name.as_str(), item.key.position.line);
        // Blocks of the same kind may stand side by side.
        let is_first = seen.insert(name);
        if !is_first && !matches!(name, "listener" | "seal" | "telemetry" | "audit" | "plugin") {
            return Err(fault(line, format!("{name} is given twice")));
        }
        let value = &item.value;
        match name {
            "listener" => {
                for (kind, body) in blocks(item)? {
                    match kind.name.as_str() {
                        "tcp" => self.listeners.push(Listener::read(kind, body, &mut self.warnings)?),
                        "unix" => {
                            self.warn("listener \"unix\" is not used: the operator's socket is in the data directory")
                        }
                        _ => return Err(fault(kind.position.line, "listener is \"tcp\" or \"unix\"")),
                    }
                }
            }
            "backend" | "storage" => {
                if seen.contains("backend") && seen.contains("storage") {
                    return Err(fault(line, "storage and backend are two names for one thing; leave one"));
                }
                let found = blocks(item)?;
                let [(kind, body)] = found.as_slice() else {
                    return Err(fault(line, format!("{name} is given once, as: {name} \"file\" {{ … }}")));
                };
                self.storage = Some(Storage::read(kind, body, &mut self.warnings)?);
            }
            "seal" => {
                for (kind, body) in blocks(item)? {
                    self.seal(&kind.name, body, kind.position.line)?;
                }
            }
            "api_addr" => {
                let url = text(value, name)?;
                self.api_addr = Some(url.strip_suffix('/').unwrap_or(url).to_owned()).filter(|url| !url.is_empty());
            }
            "default_lease_ttl" => self.default_lease_ttl = seconds(value, name)?,
            "max_lease_ttl" => self.max_lease_ttl = seconds(value, name)?,
            "log_level" => {
                self.log_level = Some(
                    log_level(text(value, name)?)
                        .ok_or_else(|| fault(line, "log_level is one of trace, debug, info, notice, warn and error"))?,
                )
            }
            // Nothing of the process is written to swap that is a key; no page of it needs all to be locked.
            "disable_mlock" => drop(flag(value, name)?),
            "ui" => {
                if flag(value, name)? {
                    self.warn("ui = true is not done: this release has no web interface");
                }
            }
            _ if nothing_set(value) => {}
            _ if NOT_USED.contains(&name) => self.warn(&format!("{name} is not used by this server")),
            _ => self.warn(&format!("{} is not known to this server{}", hcl_name(name), hint(name, &USED))),
        }
        Ok(())
    }

    fn seal(&mut self, kind: &str, body: &[Item], line: u32) -> Result<(), Fault> {
        match kind {
            "shamir" if body.is_empty() => {
                self.seal = Some(SealKind::Shamir);
                Ok(())
            }
            "shamir" => Err(fault(line, "seal \"shamir\" takes no keys here: leave it empty")),
            _ => {
                // Only a name that is known is repeated.
                let named = OTHER_SEALS.iter().find(|other| **other == kind);
                let named = named.map(|other| format!(" \"{other}\"")).unwrap_or_default();
                let why = "is none of this server's: \"shamir\" is, and without the block a key file unseals";
                Err(fault(line, format!("seal{named} {why}")))
            }
        }
    }

    fn warn(&mut self, message: &str) {
        self.warnings.push(message.to_owned());
    }
}

fn log_level(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "trace" => Some("trace"),
        "debug" => Some("debug"),
        "info" | "notice" => Some("info"),
        "warn" | "warning" => Some("warn"),
        "err" | "error" => Some("error"),
        _ => None,
    }
}

fn hcl_name(name: &str) -> String {
    let shown: String = name.chars().take(64).collect();
    format!("{shown:?}")
}

/// The keys that mean something here.
const USED: [&str; 11] = [
    "api_addr",
    "backend",
    "default_lease_ttl",
    "disable_mlock",
    "listener",
    "log_level",
    "max_lease_ttl",
    "seal",
    "storage",
    "tls_cert_file",
    "ui",
];
/// Seals that Vault and OpenBao know.
const OTHER_SEALS: [&str; 10] =
    ["alicloudkms", "awskms", "azurekeyvault", "gcpckms", "hsm", "kmip", "ocikms", "pkcs11", "static", "transit"];
/// Keys that Vault and OpenBao know, and that ask for what this server does not have.
const NOT_USED: [&str; 51] = [
    "administrative_namespace_path",
    "allow_audit_log_prefixing",
    "audit",
    "cache_size",
    "cluster_addr",
    "cluster_cipher_suites",
    "cluster_name",
    "default_max_request_duration",
    "detect_deadlocks",
    "disable_cache",
    "disable_clustering",
    "disable_indexing",
    "disable_performance_standby",
    "disable_printable_check",
    "disable_sealwrap",
    "disable_sentinel_trace",
    "disable_standby_reads",
    "enable_post_unseal_trace",
    "enable_response_header_hostname",
    "enable_response_header_raft_node_id",
    "enable_ui",
    "entropy",
    "experiments",
    "ha_backend",
    "ha_storage",
    "hsm_lib",
    "imprecise_lease_role_tracking",
    "initialize",
    "introspection_endpoint",
    "kms_library",
    "license_path",
    "log_file",
    "log_format",
    "log_requests_level",
    "log_rotate_bytes",
    "log_rotate_duration",
    "log_rotate_max_files",
    "pid_file",
    "plugin",
    "plugin_auto_download",
    "plugin_auto_register",
    "plugin_directory",
    "plugin_download_behavior",
    "plugin_file_permissions",
    "plugin_file_uid",
    "post_unseal_trace_directory",
    "raw_storage_endpoint",
    "remove_irrevocable_lease_after",
    "service_registration",
    "telemetry",
    "unsafe_allow_api_audit_creation",
];
