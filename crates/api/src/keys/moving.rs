//! Keys that leave and come: public parts, exports, wrapping, imports, backups, certificates.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::Sensitive;

/// A public key.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct KeyPublic {
    /// Whose it is.
    pub version: u32,
    /// `pem` (SubjectPublicKeyInfo) or `jwk`.
    pub format: String,
    /// PEM, or the JSON text of a JSON Web Key.
    pub public_key: String,
}

/// Body of `POST keys/{name}/export`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyExport {
    /// `encryption-key`, `signing-key`, `hmac-key`, `public-key` or `certificate-chain`.
    pub kind: String,
    /// Absent: every one that may be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// `raw`, `der` or `pem`; absent: as transit has the algorithm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// What was exported.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct KeyExported {
    /// The key's.
    pub name: String,
    /// The key's.
    pub algorithm: String,
    /// Ascending.
    pub keys: Vec<KeyExportedVersion>,
}

/// A part of a version.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct KeyExportedVersion {
    /// Whose it is.
    pub version: u32,
    /// Base64 or PEM; empty where a version has a public part alone.
    pub key: Sensitive<String>,
}

/// Body of `POST keys/{name}/wrap`, where the name is that of the wrapping key.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyWrap {
    /// The name of the key to wrap; it is exportable.
    pub key: String,
    /// Absent: every one that may be shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Of OAEP, where the wrapping key is RSA; absent: `sha2-256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

/// A key that is wrapped under another.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct KeyWrapped {
    /// The wrapped key's.
    pub name: String,
    /// The wrapped key's.
    pub algorithm: String,
    /// Ascending.
    pub keys: Vec<KeyWrappedVersion>,
}

/// A wrapped version.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct KeyWrappedVersion {
    /// Whose it is.
    pub version: u32,
    /// Base64 under an RSA key, else `vault:v<version>:` and base64.
    pub wrapped: String,
}

/// What a key or a version is made of, where it comes from elsewhere.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum KeySource {
    /// A public key in PEM, which verifies and encrypts.
    PublicKey(String),
    /// A whole key.
    Wrapped(KeyWrappedKey),
}

/// A wrapped key: PKCS#8 in DER, or the bytes of a symmetric one.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyWrappedKey {
    /// As the wrapping key wraps it: base64, or `vault:v<version>:` and base64. At most 64 KiB.
    pub ciphertext: String,
    /// Absent: the store's wrapping key (`GET key-wrapping-key`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<KeyWrappedBy>,
    /// Of OAEP, where the wrapping key is RSA; absent: `sha2-256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

/// What a key is wrapped under.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum KeyWrappedBy {
    /// A one-time import key (`POST key-imports`).
    #[schema(value_type = String)]
    ImportKey(Uuid),
    /// The key of this name here.
    Key(String),
}

/// Body of `POST keys/{name}/import-version`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyImportVersion {
    /// What comes.
    pub source: KeySource,
    /// The version whose private part this is; absent: a new one, or the highest where it lacks this private part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
}

/// Body of `POST key-imports`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyImportBegin {
    /// `rsa-oaep` (RSA-4096, OAEP and AES-KWP) or `ml-kem-768` (ML-KEM-768 and AES-KWP).
    pub wrap: String,
}

/// A one-time import key, for one import within a day.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct KeyImportKey {
    /// Names it at the import.
    #[schema(value_type = String)]
    pub id: Uuid,
    /// In PEM.
    pub public_key: String,
    /// When it is over.
    pub expires_time: String,
}

/// The store's wrapping key.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct KeyWrappingKey {
    /// RSA-4096 in PEM.
    pub public_key: String,
}

/// Body of `POST keys/{name}/agree`, where the name is that of the key that comes of it.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyAgree {
    /// The name of our key, of one of NIST's curves.
    pub base: String,
    /// Of our key; absent: the highest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_version: Option<u32>,
    /// Their public key in PEM.
    pub peer_public_key: String,
    /// What the key is that comes of it; absent: `aes-256-gcm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
}

/// A key with all that is known of it, in the clear.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct KeyBackup {
    /// For `POST key-restore`.
    pub backup: Sensitive<String>,
}

/// Body of `POST key-restore`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRestore {
    /// What a backup gave. At most 8 MiB.
    pub backup: Sensitive<String>,
    /// Absent: the name that it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A key that has the name is deleted first.
    #[serde(default)]
    pub force: bool,
}

/// Body of `POST keys/{name}/csr`; may be empty.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyCsr {
    /// A request in PEM whose subject and attributes the new one has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Absent: the highest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
}

/// A certificate signing request.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct KeyCsrMade {
    /// In PEM.
    pub csr: String,
}

/// Body of `PUT keys/{name}/certificate`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyCertificate {
    /// Certificates in PEM, the key's own first; at most 16, and 256 KiB.
    pub chain: String,
    /// Absent: the highest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
}
