//! TLS on the listener: which files, and which versions of the protocol.

use std::path::PathBuf;

use serde::Deserialize;

use super::ConfigError;

/// [`TlsFiles`], each absent until set. In the file, section `[tls]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsOverrides {
    /// Certificate and what leads from it to a root, PEM.
    pub cert_file: Option<PathBuf>,
    /// The certificate's private key, PEM.
    pub key_file: Option<PathBuf>,
    /// The lowest version that is spoken.
    pub min_version: Option<TlsVersion>,
}

/// What the listener presents.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsFiles {
    /// Certificate and what leads from it to a root, PEM.
    pub cert_file: PathBuf,
    /// The certificate's private key, PEM without passphrase; others may not read it.
    pub key_file: PathBuf,
    /// The lowest version that is spoken.
    pub min_version: TlsVersion,
}

/// A version of the protocol; older ones are not spoken.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
pub enum TlsVersion {
    /// 1.2.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

impl std::str::FromStr for TlsVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "1.2" => Ok(Self::Tls12),
            "1.3" => Ok(Self::Tls13),
            _ => Err("either \"1.2\" or \"1.3\"".into()),
        }
    }
}

/// Puts flags, file and defaults together; `None` where neither file is named.
pub(super) fn resolve(flags: TlsOverrides, file: TlsOverrides) -> Result<Option<TlsFiles>, ConfigError> {
    let min_version = flags.min_version.or(file.min_version);
    match (flags.cert_file.or(file.cert_file), flags.key_file.or(file.key_file)) {
        (Some(cert_file), Some(key_file)) => {
            Ok(Some(TlsFiles { cert_file, key_file, min_version: min_version.unwrap_or_default() }))
        }
        (None, None) if min_version.is_none() => Ok(None),
        (None, _) => {
            Err(ConfigError::Value { key: "tls.cert_file", message: "needed beside the other tls keys".into() })
        }
        (Some(_), None) => {
            Err(ConfigError::Value { key: "tls.key_file", message: "needed beside tls.cert_file".into() })
        }
    }
}
