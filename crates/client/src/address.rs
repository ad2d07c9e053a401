//! Where a server listens: `https://host[:port]`, `http://host[:port]` or a unix socket.

use std::{
    fmt,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use hyper::Uri;

/// A server's address, parsed and normalised.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Address(Target);

/// What was wrong with an address.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AddressError {
    /// A path, query, fragment or user stands where only `scheme://host:port` may.
    #[error("address {0:?} holds more than https://host:port")]
    Excess(String),
    /// Not an address at all.
    #[error("{0:?} is not an address of the form https://host:port")]
    Malformed(String),
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Target {
    Tcp { scheme: Scheme, host: String, port: u16 },
    Unix(PathBuf),
}

/// What is spoken over TCP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// How to reach a target, for the transport alone.
pub(crate) enum Endpoint<'a> {
    /// Host name or address (without brackets) and port.
    Tcp(Scheme, &'a str, u16),
    /// Path of the socket.
    Unix(&'a Path),
}

impl Address {
    /// The server's unix socket at this path.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self(Target::Unix(path.into()))
    }

    /// The path, where it is a unix socket.
    pub fn socket(&self) -> Option<&Path> {
        match &self.0 {
            Target::Unix(path) => Some(path),
            Target::Tcp { .. } => None,
        }
    }

    /// Whether what is sent there can leave this machine.
    pub fn is_local(&self) -> bool {
        match &self.0 {
            Target::Tcp { host, .. } => {
                host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
            Target::Unix(_) => true,
        }
    }

    /// Whether what is sent there is encrypted on its way.
    pub fn is_encrypted(&self) -> bool {
        match &self.0 {
            Target::Tcp { scheme: Scheme::Https, .. } => true,
            Target::Tcp { scheme: Scheme::Http, .. } | Target::Unix(_) => false,
        }
    }

    pub(crate) fn endpoint(&self) -> Endpoint<'_> {
        match &self.0 {
            Target::Tcp { scheme, host, port } => Endpoint::Tcp(*scheme, host, *port),
            Target::Unix(path) => Endpoint::Unix(path),
        }
    }

    /// The value of the `Host` header.
    pub(crate) fn host(&self) -> String {
        match &self.0 {
            Target::Tcp { host, port, .. } if host.contains(':') => format!("[{host}]:{port}"),
            Target::Tcp { host, port, .. } => format!("{host}:{port}"),
            Target::Unix(_) => "localhost".to_owned(),
        }
    }

    /// The address and the path with query of an absolute URL.
    pub(crate) fn of_url(url: &str) -> Result<(Self, String), AddressError> {
        let parts = split(url)?;
        let rest = parts.path_and_query().map_or_else(|| "/".to_owned(), ToString::to_string);
        Ok((Self(target(&parts, url)?), rest))
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Some(path) = text.strip_prefix("unix://") {
            if !path.starts_with('/') {
                return Err(AddressError::Malformed(text.to_owned()));
            }
            return Ok(Self::unix(path));
        }
        let parts = split(text)?;
        if !matches!(parts.path(), "" | "/") || parts.query().is_some() || text.contains('#') {
            return Err(AddressError::Excess(text.to_owned()));
        }
        Ok(Self(target(&parts, text)?))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Target::Tcp { scheme: Scheme::Http, .. } => write!(f, "http://{}", self.host()),
            Target::Tcp { scheme: Scheme::Https, .. } => write!(f, "https://{}", self.host()),
            Target::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

fn split(text: &str) -> Result<Uri, AddressError> {
    let uri: Uri = text.parse().map_err(|_| AddressError::Malformed(text.to_owned()))?;
    match uri.scheme_str() {
        Some("http" | "https") => Ok(uri),
        Some(_) | None => Err(AddressError::Malformed(text.to_owned())),
    }
}

fn target(uri: &Uri, text: &str) -> Result<Target, AddressError> {
    let malformed = || AddressError::Malformed(text.to_owned());
    let authority = uri.authority().ok_or_else(malformed)?;
    if authority.as_str().contains('@') {
        return Err(AddressError::Excess(mask_user(text)));
    }
    let bare = authority.host();
    let host = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(bare);
    let scheme = if uri.scheme_str() == Some("https") { Scheme::Https } else { Scheme::Http };
    let port = match authority.as_str().strip_prefix(bare) {
        Some("") => match scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
        },
        Some(rest) => rest.strip_prefix(':').and_then(|port| port.parse().ok()).ok_or_else(malformed)?,
        None => return Err(malformed()),
    };
    if host.is_empty() {
        return Err(malformed());
    }
    Ok(Target::Tcp { scheme, host: host.to_ascii_lowercase(), port })
}

/// A URL's user part may hold a password, which no error may repeat.
fn mask_user(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        (Some(_), None) | (None, _) => "…".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_of_http_or_unix_is_normalised() {
        for (text, shown) in [
            ("http://127.0.0.1:8200", "http://127.0.0.1:8200"),
            ("http://127.0.0.1:8200/", "http://127.0.0.1:8200"),
            ("HTTP://LocalHost", "http://localhost:80"),
            ("http://[::1]:8200", "http://[::1]:8200"),
            ("https://Vault.example:8200", "https://vault.example:8200"),
            ("HTTPS://a", "https://a:443"),
            ("unix:///run/coffer.sock", "unix:///run/coffer.sock"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown, "{text}");
        }
    }

    #[test]
    fn address_of_another_shape_is_refused() {
        for text in [
            "",
            "127.0.0.1:8200",
            "localhost",
            "ftp://x",
            "http://",
            "http://:1",
            "http://a:b",
            "http://a:99999",
            "http://a:",
            "unix://x",
        ] {
            assert!(matches!(text.parse::<Address>(), Err(AddressError::Malformed(_))), "{text:?}");
        }
        for text in ["http://a/v1", "http://a/?x", "http://a?x", "http://a/#x", "http://a#x"] {
            assert!(
                matches!(text.parse::<Address>(), Err(AddressError::Excess(_) | AddressError::Malformed(_))),
                "{text:?}"
            );
        }
    }

    #[test]
    fn address_with_password_is_refused_without_repeating_it() {
        let error = "http://me:hunter2@host:1".parse::<Address>().unwrap_err();
        assert_eq!(error, AddressError::Excess("http://…@host:1".into()));
    }

    #[test]
    fn only_loopback_and_sockets_are_local() {
        for text in ["http://127.0.0.1", "http://127.9.9.9:1", "http://[::1]", "http://localhost:1", "unix:///x"] {
            assert!(text.parse::<Address>().unwrap().is_local(), "{text}");
        }
        for text in ["http://10.0.0.1", "http://example.org", "http://127.0.0.1.example.org"] {
            assert!(!text.parse::<Address>().unwrap().is_local(), "{text}");
        }
    }

    #[test]
    fn only_https_is_encrypted() {
        assert!("https://a".parse::<Address>().unwrap().is_encrypted());
        for text in ["http://a", "unix:///x"] {
            assert!(!text.parse::<Address>().unwrap().is_encrypted(), "{text}");
        }
    }
}
