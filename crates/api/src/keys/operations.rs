//! What keys do: encrypting, signing, authenticating, making secrets that two share. Random bytes and hashes need no key.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::batch::{Item, KeyBatch};
use crate::Sensitive;

/// Body of `POST keys/{name}/encrypt`.
pub type KeyEncrypt = KeyBatch<KeyEncryptItem>;
/// Body of `POST keys/{name}/decrypt`.
pub type KeyDecrypt = KeyBatch<KeyDecryptItem>;
/// Body of `POST keys/{name}/rewrap`.
pub type KeyRewrap = KeyBatch<KeyRewrapItem>;
/// Body of `POST keys/{name}/sign`.
pub type KeySign = KeyBatch<KeySignItem, KeySignOptions>;
/// Body of `POST keys/{name}/verify`.
pub type KeyVerify = KeyBatch<KeyVerifyItem, KeyVerifyOptions>;
/// Body of `POST keys/{name}/mac`.
pub type KeyMac = KeyBatch<KeyMacItem, KeyMacOptions>;
/// Body of `POST keys/{name}/verify-mac`.
pub type KeyVerifyMac = KeyBatch<KeyVerifyMacItem, KeyVerifyMacOptions>;

/// A message to be encrypted.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyEncryptItem {
    /// The message; it may be empty.
    pub plaintext: Sensitive<String>,
    /// Chooses the key of a derived one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Bound to the ciphertext and not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub associated_data: Option<String>,
    /// Absent: the primary one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_version: Option<u32>,
}

/// What encrypting gives.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct KeyEncrypted {
    /// `vault:v<version>:` and base64.
    pub ciphertext: String,
    /// That encrypted.
    pub key_version: u32,
}

/// A ciphertext to be opened.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyDecryptItem {
    /// `vault:v<version>:` and base64.
    pub ciphertext: String,
    /// As it was encrypted with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// As it was encrypted with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub associated_data: Option<String>,
}

/// What decrypting gives.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct KeyDecrypted {
    /// The message.
    pub plaintext: Sensitive<String>,
    /// That had encrypted.
    pub key_version: u32,
}

/// A ciphertext to be made anew.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRewrapItem {
    /// `vault:v<version>:` and base64.
    pub ciphertext: String,
    /// As it was encrypted with, and is again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// As it was encrypted with, and is again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub associated_data: Option<String>,
    /// Of the new one; absent: the primary one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_version: Option<u32>,
}

/// A message to be signed.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeySignItem {
    /// The message, or its hash where it is prehashed.
    pub input: Sensitive<String>,
    /// Chooses the key of a derived one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

/// How to sign.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeySignOptions {
    /// Absent: the primary one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_version: Option<u32>,
    /// Of RSA and ECDSA: `sha2-256` (absent), `sha2-384`, `sha3-256`, …; `none` for a prehashed input under `pkcs1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// The input is a hash already.
    #[serde(default)]
    pub prehashed: bool,
    /// Of RSA: `pss` (absent) or `pkcs1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub padding: Option<String>,
    /// Of `pss`: `auto` (absent; the longest there is room for), `hash` (as long as the hash), or a number of bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt_length: Option<String>,
    /// Of ECDSA: `asn1` (absent) or `jws`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
}

/// What signing gives.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct KeySigned {
    /// `vault:v<version>:` and base64.
    pub signature: String,
    /// That signed.
    pub key_version: u32,
    /// That the context made, of a derived key: its bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
}

/// A signature to be checked.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyVerifyItem {
    /// What was signed.
    pub input: Sensitive<String>,
    /// `vault:v<version>:` and base64.
    pub signature: String,
    /// As it was signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

/// How it was signed; as [`KeySignOptions`]. The signature names the version.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyVerifyOptions {
    /// Of RSA and ECDSA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// The input is a hash already.
    #[serde(default)]
    pub prehashed: bool,
    /// Of RSA: `pss` (absent) or `pkcs1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub padding: Option<String>,
    /// Of `pss`: `auto` (absent; any), `hash` (as long as the hash), or a number of bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt_length: Option<String>,
    /// Of ECDSA: `asn1` (absent) or `jws`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
}

/// What checking gives.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
pub struct KeyVerified {
    /// Whether it is of this key and this input.
    pub valid: bool,
}

/// A message to be authenticated.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyMacItem {
    /// The message.
    pub input: Sensitive<String>,
}

/// How to authenticate.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyMacOptions {
    /// `sha2-256`, `sha2-512`, `sha3-256`, …; absent: the key's own, or else `sha2-256`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Absent: the primary one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_version: Option<u32>,
}

/// What authenticating gives.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct KeyMacMade {
    /// `vault:v<version>:` and base64.
    pub mac: String,
    /// That made it.
    pub key_version: u32,
}

/// A MAC to be checked.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyVerifyMacItem {
    /// The message.
    pub input: Sensitive<String>,
    /// `vault:v<version>:` and base64.
    pub mac: String,
}

/// How it was made. The MAC names the version.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyVerifyMacOptions {
    /// As [`KeyMacOptions::hash`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
}

/// Body of `POST keys/{name}/data-key`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyDataKey {
    /// 128, 256 (absent) or 512.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bits: Option<u16>,
    /// It is shown too, not its ciphertext alone.
    #[serde(default)]
    pub plaintext: bool,
    /// Chooses the key of a derived one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// Bound to the ciphertext and not in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub associated_data: Option<String>,
    /// Absent: the primary one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_version: Option<u32>,
}

/// A data key.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct KeyDataKeyMade {
    /// `vault:v<version>:` and base64; decrypt opens it.
    pub ciphertext: String,
    /// That encrypted it.
    pub key_version: u32,
    /// The data key, where it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plaintext: Option<Sensitive<String>>,
}

/// Body of `POST keys/{name}/encapsulate`; may be empty.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyEncapsulate {
    /// Absent: the primary one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_version: Option<u32>,
}

/// A shared secret and its capsule.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct KeyEncapsulated {
    /// 32 bytes.
    pub shared_secret: Sensitive<String>,
    /// `vault:v<version>:` and base64.
    pub ciphertext: String,
    /// That it was made for.
    pub key_version: u32,
}

/// Body of `POST keys/{name}/decapsulate`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyDecapsulate {
    /// `vault:v<version>:` and base64.
    pub ciphertext: String,
}

/// What was in a capsule.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct KeyDecapsulated {
    /// 32 bytes.
    pub shared_secret: Sensitive<String>,
}

/// Body of `POST random`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Random {
    /// 1 to 131,072.
    pub bytes: u32,
    /// `base64` (absent) or `hex`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// Random bytes.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct RandomMade {
    /// In the format asked for.
    pub random: Sensitive<String>,
}

/// Body of `POST hash`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Hash {
    /// Base64 of what to hash.
    pub input: Sensitive<String>,
    /// `sha2-256` (absent), `sha2-512`, `sha3-256`, …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<String>,
    /// `hex` (absent) or `base64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// A hash.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct HashMade {
    /// In the format asked for.
    pub hash: String,
}

impl Item for KeyEncryptItem {
    const FIELDS: &'static [&'static str] = &["plaintext", "context", "associated_data", "key_version"];
}

impl Item for KeyDecryptItem {
    const FIELDS: &'static [&'static str] = &["ciphertext", "context", "associated_data"];
}

impl Item for KeyRewrapItem {
    const FIELDS: &'static [&'static str] = &["ciphertext", "context", "associated_data", "key_version"];
}

impl Item for KeySignItem {
    const FIELDS: &'static [&'static str] = &["input", "context"];
}

impl Item for KeyVerifyItem {
    const FIELDS: &'static [&'static str] = &["input", "signature", "context"];
}

impl Item for KeyMacItem {
    const FIELDS: &'static [&'static str] = &["input"];
}

impl Item for KeyVerifyMacItem {
    const FIELDS: &'static [&'static str] = &["input", "mac"];
}
