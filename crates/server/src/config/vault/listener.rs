//! `listener "tcp"`.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use coffer_core::policy::hcl::{Item, Key};

use super::value::{Fault, fault, flag, hint, nothing_set, text, whole};
use crate::config::{TlsOverrides, TlsVersion};

/// Where to listen.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) address: Option<SocketAddr>,
    /// `None` = `tls_disable`.
    pub(super) tls: Option<TlsOverrides>,
    /// In bytes.
    pub(super) max_request_size: Option<usize>,
}

impl Listener {
    pub(super) fn read(kind: &Key, body: &[Item], warnings: &mut Vec<String>) -> Result<Self, Fault> {
        let mut seen = BTreeSet::new();
        let (mut address, mut max_request_size, mut is_plain) = (None, None, false);
        let mut tls = TlsOverrides::default();
        for item in body {
            let (name, value, line) = (item.key.name.as_str(), &item.value, item.key.position.line);
            if !seen.insert(name) {
                return Err(fault(line, format!("listener: {name} is given twice")));
            }
            let mut warn = |message: String| warnings.push(format!("listener \"tcp\": {message}"));
            match name {
                "address" => {
                    let parsed = parse_address(text(value, name)?);
                    address = Some(parsed.ok_or_else(|| fault(line, "listener: address is IP:PORT"))?);
                }
                "tls_disable" => is_plain = flag(value, name)?,
                "tls_cert_file" => tls.cert_file = Some(PathBuf::from(text(value, name)?)),
                "tls_key_file" => tls.key_file = Some(PathBuf::from(text(value, name)?)),
                "tls_min_version" => {
                    tls.min_version = match text(value, name)? {
                        "tls12" | "" => Some(TlsVersion::Tls12),
                        "tls13" => Some(TlsVersion::Tls13),
                        "tls10" | "tls11" => {
                            warn("tls_min_version: TLS 1.2 is the lowest that this server speaks".to_owned());
                            Some(TlsVersion::Tls12)
                        }
                        _ => return Err(fault(line, "listener: tls_min_version is tls12 or tls13")),
                    };
                }
                "max_request_size" => {
                    let bytes = usize::try_from(whole(value, name)?).ok().filter(|bytes| *bytes > 0);
                    if bytes.is_none() {
                        warn("max_request_size: requests are always bounded, here by the default".to_owned());
                    }
                    max_request_size = bytes;
                }
                // No client is asked for a certificate, and rekeys are for those with sudo.
                "tls_disable_client_certs" => drop(flag(value, name)?),
                "disable_unauthed_rekey_endpoints" => {
                    if !flag(value, name)? {
                        warn("disable_unauthed_rekey_endpoints = false is not done: rekeys need a token".to_owned());
                    }
                }
                "tls_require_and_verify_client_cert" => {
                    if flag(value, name)? {
                        return Err(fault(
                            line,
                            format!(
                                "listener: {name}: this server asks for no client certificates, and would let in whom you keep out"
                            ),
                        ));
                    }
                }
                "proxy_protocol_behavior" | "proxy_protocol_authorized_addrs" if !nothing_set(value) => {
                    return Err(fault(line, format!("listener: {name}: this server does not read the PROXY protocol")));
                }
                "x_forwarded_for_reject_not_authorized" | "x_forwarded_for_reject_not_present" => {
                    if flag(value, name)? {
                        return Err(fault(line, format!("listener: {name}: {FORWARDED}")));
                    }
                }
                "x_forwarded_for_authorized_addrs" if !nothing_set(value) => {
                    return Err(fault(line, format!("listener: {name}: {FORWARDED}")));
                }
                "chroot_namespace" if !nothing_set(value) => {
                    return Err(fault(
                        line,
                        format!(
                            "listener: {name}: this server has no namespaces, and would show more than you mean to"
                        ),
                    ));
                }
                _ if nothing_set(value) => {}
                _ if NOT_USED.contains(&name) => warn(format!("{name} is not used by this server")),
                _ => {
                    let shown: String = name.chars().take(64).collect();
                    warn(format!("{shown:?} is not known to this server{}", hint(name, &USED)));
                }
            }
        }
        if !is_plain && (tls.cert_file.is_none() || tls.key_file.is_none()) {
            return Err(fault(
                kind.position.line,
                "listener: tls_cert_file and tls_key_file are needed, or tls_disable = true",
            ));
        }
        Ok(Self { address, tls: (!is_plain).then_some(tls), max_request_size })
    }
}

/// `IP:PORT`; no address in front of the port means every address, and `localhost` the usual one.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.rsplit_once(':')?;
    let on = |ip| Some(SocketAddr::new(ip, port.parse().ok()?));
    match host {
        "" => on(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        "localhost" => on(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        _ => text.parse().ok(),
    }
}

/// Why what a proxy says of clients is refused.
const FORWARDED: &str = "this server does not read X-Forwarded-For: the proxy's address would be every client's, in \
                         the log as in what is bound to addresses";
const USED: [&str; 6] =
    ["address", "max_request_size", "tls_cert_file", "tls_disable", "tls_key_file", "tls_min_version"];
const NOT_USED: [&str; 22] = [
    "agent_api",
    "cluster_address",
    "cors",
    "custom_response_headers",
    "http_idle_timeout",
    "http_read_header_timeout",
    "http_read_timeout",
    "http_write_timeout",
    "inflight_requests_logging",
    "max_request_duration",
    "max_request_json_memory",
    "max_request_json_strings",
    "profiling",
    "purpose",
    "role",
    "telemetry",
    "tls_acme_domains",
    "tls_cipher_suites",
    "tls_client_ca_file",
    "tls_max_version",
    "tls_prefer_server_cipher_suites",
    "x_forwarded_for_hop_skips",
];
