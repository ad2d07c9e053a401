//! A key as transit shows it.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_core::{Error, KeyAlgorithm, KeyState, KeyUsage, KeyVersionView, KeyView, PublicKey, rfc3339};
use serde::Serialize;

use super::kind::{public_name, type_name};

/// What a description has.
#[derive(Serialize)]
pub(super) struct ShownKey<'a> {
    allow_plaintext_backup: bool,
    auto_rotate_period: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    backup_info: Option<BackupInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    convergent_encryption: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    convergent_encryption_version: Option<i64>,
    deletion_allowed: bool,
    derived: bool,
    exportable: bool,
    imported_key: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    imported_key_allow_rotation: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kdf: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_size: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<BTreeMap<u32, ShownVersion>>,
    latest_version: u32,
    min_available_version: u32,
    min_decryption_version: u32,
    min_encryption_version: u32,
    name: &'a str,
    soft_deleted: bool,
    supports_decryption: bool,
    supports_derivation: bool,
    supports_encryption: bool,
    supports_signing: bool,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct BackupInfo {
    time: String,
    version: u32,
}

/// A version: when a secret one was made, or what everybody may know of an asymmetric one.
#[derive(Serialize)]
#[serde(untagged)]
enum ShownVersion {
    Secret(i64),
    Public { certificate_chain: String, creation_time: String, name: &'static str, public_key: String },
}

impl<'a> ShownKey<'a> {
    /// The key, with the public keys that a context gave the versions of a derived one.
    pub(super) fn of(key: &'a KeyView, derived: &BTreeMap<u32, PublicKey>) -> Result<Self, Error> {
        let does = |usage| key.usages.contains(usage);
        let is_encrypting = does(KeyUsage::Encrypt);
        Ok(Self {
            allow_plaintext_backup: key.allow_plaintext_backup,
            auto_rotate_period: key.rotate_every_ms / 1000,
            backup_info: key.backup.map(|(time, version)| BackupInfo { time: rfc3339(time), version }),
            convergent_encryption: key.derived.then_some(key.convergent),
            convergent_encryption_version: key.convergent.then_some(-1),
            deletion_allowed: key.deletion_allowed,
            derived: key.derived,
            exportable: key.exportable,
            imported_key: key.imported,
            imported_key_allow_rotation: key.imported.then_some(key.allow_rotation),
            kdf: key.derived.then_some("hkdf_sha256"),
            key_size: (key.algorithm == KeyAlgorithm::Hmac).then_some(key.key_size),
            keys: versions(key, derived)?,
            latest_version: key.latest,
            min_available_version: key.min_available,
            min_decryption_version: key.min_decryption,
            min_encryption_version: key.min_encryption,
            name: &key.name,
            soft_deleted: key.soft_deleted,
            supports_decryption: is_encrypting,
            supports_derivation: does(KeyUsage::Derive),
            supports_encryption: is_encrypting,
            supports_signing: does(KeyUsage::Sign),
            kind: type_name(key.algorithm),
        })
    }
}

/// The versions that decrypt and verify; those of HMAC keys are not shown at all.
fn versions(key: &KeyView, derived: &BTreeMap<u32, PublicKey>) -> Result<Option<BTreeMap<u32, ShownVersion>>, Error> {
    if key.algorithm == KeyAlgorithm::Hmac {
        return Ok(None);
    }
    let floor = key.min_decryption.max(key.min_available);
    let there = key.versions.iter().filter(|version| version.number >= floor && version.state != KeyState::Destroyed);
    let shown = there.map(|version| {
        let shown = match key.algorithm.is_asymmetric() {
            true => public(key, version, derived.get(&version.number))?,
            false => ShownVersion::Secret(version.created_ms / 1000),
        };
        Ok((version.number, shown))
    });
    shown.collect::<Result<_, Error>>().map(Some)
}

fn public(key: &KeyView, version: &KeyVersionView, derived: Option<&PublicKey>) -> Result<ShownVersion, Error> {
    let shown = if key.derived { derived } else { version.public.as_ref() };
    Ok(ShownVersion::Public {
        certificate_chain: chain(&version.chain),
        creation_time: rfc3339(version.created_ms),
        name: public_name(key.algorithm),
        public_key: shown.map(|public| public_text(key.algorithm, public)).transpose()?.unwrap_or_default(),
    })
}

fn public_text(algorithm: KeyAlgorithm, public: &PublicKey) -> Result<String, Error> {
    match algorithm {
        // X-Wing has no object identifier, so no PEM.
        KeyAlgorithm::Ed25519 | KeyAlgorithm::XWing => Ok(STANDARD.encode(public.raw())),
        _ => Ok(public.pem()?),
    }
}

/// Certificates in PEM, one after the other.
fn chain(certificates: &[Vec<u8>]) -> String {
    let pem = certificates.iter().map(|der| {
        let text = STANDARD.encode(der);
        let lines = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap_or_default());
        let lines: Vec<&str> = lines.collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----", lines.join("\n"))
    });
    pem.collect::<Vec<_>>().join("\n")
}
