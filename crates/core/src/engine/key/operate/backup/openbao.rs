//! Backups that OpenBao made: its own JSON, read strictly, into what is restored here. Numbers of keys are decimal there.

use std::{borrow::Cow, collections::BTreeMap};

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_api::Sensitive;
use coffer_crypto::keys::{Algorithm, KeyMaterial, PublicKey, Usage};
use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::{BackedUp, Backup, bytes_of, malformed, version_nanos};
use crate::{
    Error,
    active::Active,
    engine::key::{
        entry::{MAX_VERSIONS, Usages},
        operate::text::base64,
        state::KeyState,
    },
};

/// Digits of a number at most: a modulus of 4096 bits has 1,234.
const MAX_DIGITS: usize = 1_300;
const MS_NANOS: i64 = 1_000_000;

/// A backup as OpenBao has it; what is not named here has no meaning for a key.
#[derive(Deserialize)]
pub(super) struct Foreign<'a> {
    #[serde(borrow)]
    policy: Policy<'a>,
    #[serde(borrow)]
    archived_keys: Archive<'a>,
}

#[derive(Deserialize)]
struct Policy<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    keys: BTreeMap<u32, Version<'a>>,
    #[serde(rename = "type")]
    kind: u32,
    #[serde(default)]
    key_size: u16,
    derived: bool,
    /// The function that contexts are derived with; 1 is HKDF.
    kdf: u32,
    convergent_encryption: bool,
    exportable: bool,
    allow_plaintext_backup: bool,
    deletion_allowed: bool,
    min_decryption_version: u32,
    min_encryption_version: u32,
    min_available_version: u32,
    latest_version: u32,
    archive_min_version: u32,
    auto_rotate_period: i64,
    #[serde(rename = "Imported", default)]
    imported: bool,
    #[serde(rename = "AllowImportedKeyRotation", default)]
    allow_rotation: bool,
    #[serde(default)]
    soft_deleted: bool,
    #[serde(borrow, default)]
    version_template: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Archive<'a> {
    #[serde(borrow)]
    keys: Vec<Version<'a>>,
}

/// A version. The texts of its secrets lie in the backup alone: they are borrowed.
#[derive(Clone, Deserialize)]
struct Version<'a> {
    #[serde(borrow)]
    key: Option<&'a str>,
    #[serde(borrow)]
    hmac_key: Option<&'a str>,
    #[serde(borrow)]
    ec_d: Option<&'a RawValue>,
    #[serde(borrow)]
    rsa_key: Option<RsaKey<'a>>,
    #[serde(borrow)]
    rsa_public_key: Option<RsaPublicKey<'a>>,
    #[serde(borrow)]
    public_key: Cow<'a, str>,
    convergent_version: i64,
    creation_time: i64,
    certificate_chain: Option<Vec<String>>,
    #[serde(borrow, default)]
    external_key_ref: Cow<'a, str>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RsaKey<'a> {
    #[serde(borrow)]
    n: &'a RawValue,
    #[serde(borrow)]
    e: &'a RawValue,
    #[serde(borrow)]
    d: &'a RawValue,
    #[serde(borrow)]
    primes: [&'a RawValue; 2],
    #[serde(borrow)]
    precomputed: Precomputed<'a>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Precomputed<'a> {
    #[serde(borrow)]
    dp: &'a RawValue,
    #[serde(borrow)]
    dq: &'a RawValue,
    #[serde(borrow)]
    qinv: &'a RawValue,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RsaPublicKey<'a> {
    #[serde(borrow)]
    n: &'a RawValue,
    #[serde(borrow)]
    e: &'a RawValue,
}

impl Foreign<'_> {
    /// The backup as one of ours, by turns.
    ///
    /// # Errors
    /// [`coffer_api::Code::Invalid`] where it is none, or holds what there is not here: external keys, the functions that
    /// OpenBao has given up, a prefix of its own for ciphertexts, a key that is put aside.
    pub(super) async fn read(&self, active: &Active) -> Result<Backup, Error> {
        let policy = &self.policy;
        let algorithm = algorithm(policy.kind).ok_or_else(malformed)?;
        let unknown =
            |what: &str| Err(Error::invalid(format!("the backup is of a key {what}, which is not known here")));
        if policy.derived && policy.kdf != HKDF {
            return unknown("that is derived as imported ones are in OpenBao");
        }
        if !policy.version_template.is_empty() {
            return unknown("with a form of ciphertexts of its own");
        }
        if policy.soft_deleted {
            return unknown("that is put aside");
        }
        let first = policy.min_available_version.max(policy.archive_min_version).max(1);
        let count = policy.latest_version.checked_sub(first).ok_or_else(malformed)?;
        if usize::try_from(count).map_or(true, |count| count >= MAX_VERSIONS) {
            return Err(malformed());
        }
        let mut found = Vec::new();
        for number in first..=policy.latest_version {
            let at = usize::try_from(number - policy.archive_min_version).map_err(Error::internal)?;
            let archived = self.archived_keys.keys.get(at);
            let version = policy.keys.get(&number).or(archived).ok_or_else(malformed)?;
            if !version.external_key_ref.is_empty() {
                return unknown("that lies elsewhere");
            }
            if policy.convergent_encryption && version.convergent_version != CONVERGENT {
                return unknown("with an older way of convergent encryption");
            }
            found.push((number, version));
        }
        let read = |(number, version): &(u32, &Version<'_>)| version.read(algorithm, *number);
        let versions = active.paced_while_sound(&found, |_| version_nanos(algorithm), read).await?;
        let created_ms = versions.first().map_or(0, |version| version.created_ms);
        Ok(Backup {
            format: super::FORMAT.to_owned(),
            name: policy.name.clone().into_owned(),
            algorithm: algorithm.name().to_owned(),
            key_size: match (algorithm, policy.key_size) {
                (Algorithm::Hmac, 0) => 32,
                (_, size) => size,
            },
            description: String::new(),
            tags: std::collections::BTreeSet::new(),
            usages: Usages::of(algorithm).with(Usage::Mac).iter().map(|usage| usage.name().to_owned()).collect(),
            created_ms,
            exportable: policy.exportable,
            allow_plaintext_backup: policy.allow_plaintext_backup,
            deletion_allowed: policy.deletion_allowed,
            derived: policy.derived,
            convergent: policy.convergent_encryption,
            imported: policy.imported,
            allow_rotation: policy.allow_rotation || !policy.imported,
            rotate_every_ms: policy.auto_rotate_period / MS_NANOS,
            rotate_jitter_ms: 0,
            deactivate_on_rotate: false,
            overlap_ms: 0,
            min_decryption: policy.min_decryption_version,
            min_encryption: policy.min_encryption_version,
            min_available: policy.min_available_version,
            primary: Some(policy.latest_version),
            latest: policy.latest_version,
            versions,
        })
    }
}

impl Version<'_> {
    fn read(&self, algorithm: Algorithm, number: u32) -> Result<BackedUp, Error> {
        let material = self.material(algorithm)?;
        let public = match &material {
            Some(_) => None,
            None => Some(STANDARD.encode(self.public(algorithm)?.raw())),
        };
        let hmac = self.hmac_key.filter(|_| material.is_some() && algorithm != Algorithm::Hmac);
        let created_ms = self.creation_time.checked_mul(1000).filter(|at| *at >= 0).ok_or_else(malformed)?;
        Ok(BackedUp {
            number,
            state: KeyState::Active.name().to_owned(),
            created_ms,
            activated_ms: Some(created_ms),
            deactivated_ms: None,
            compromised_ms: None,
            compromise_reason: None,
            material: material.map(|material| Sensitive::new(base64(material.encoded()).as_str().to_owned())),
            hmac: hmac.map(|key| Sensitive::new(key.to_owned())),
            public,
            chain: self.certificate_chain.clone().unwrap_or_default(),
            // Nobody counts them there.
            uses: 0,
        })
    }

    /// The secret part, checked as any key that comes from elsewhere.
    fn material(&self, algorithm: Algorithm) -> Result<Option<KeyMaterial>, Error> {
        let made = match algorithm {
            Algorithm::Rsa2048 | Algorithm::Rsa3072 | Algorithm::Rsa4096 => {
                let Some(key) = &self.rsa_key else { return Ok(None) };
                let [p, q] = key.primes;
                let precomputed = &key.precomputed;
                let numbers = [key.n, key.e, key.d, p, q, precomputed.dp, precomputed.dq, precomputed.qinv];
                let mut read = Vec::with_capacity(numbers.len());
                for number in numbers {
                    read.push(whole(number)?);
                }
                let [n, e, d, p, q, dp, dq, qinv] = read.as_slice() else { return Err(malformed()) };
                KeyMaterial::import_rsa(algorithm, [n, e, d, p, q, dp, dq, qinv])
            }
            Algorithm::EcdsaP256 | Algorithm::EcdsaP384 | Algorithm::EcdsaP521 => {
                let Some(number) = self.ec_d else { return Ok(None) };
                KeyMaterial::import_number(algorithm, &whole(number)?)
            }
            _ => {
                let Some(key) = self.key else { return Ok(None) };
                KeyMaterial::import(algorithm, &bytes_of(key)?)
            }
        };
        made.map(Some).map_err(|_| malformed())
    }

    fn public(&self, algorithm: Algorithm) -> Result<PublicKey, Error> {
        let public = match (algorithm, &self.rsa_public_key) {
            (Algorithm::Ed25519, _) => PublicKey::from_raw(algorithm, &bytes_of(&self.public_key)?),
            (_, Some(key)) => PublicKey::from_rsa(algorithm, &whole(key.n)?, &whole(key.e)?),
            (_, None) => PublicKey::from_pem(algorithm, &self.public_key),
        };
        public.map_err(|_| malformed())
    }
}

/// A whole number in decimal, as big-endian bytes without leading zeros.
fn whole(number: &RawValue) -> Result<Zeroizing<Vec<u8>>, Error> {
    let digits = number.get().as_bytes();
    if digits.is_empty() || digits.len() > MAX_DIGITS || !digits.iter().all(u8::is_ascii_digit) {
        return Err(malformed());
    }
    // Little-endian first; as many bytes as digits are enough, so that nothing is moved and left behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(digits.len()));
    for digit in digits {
        let mut carry = u16::from(digit - b'0');
        for byte in bytes.iter_mut() {
            let [low, high] = (u16::from(*byte) * 10 + carry).to_le_bytes();
            *byte = low;
            carry = u16::from(high);
        }
        // At most nine.
        let [low, _] = carry.to_le_bytes();
        if low != 0 {
            bytes.push(low);
        }
    }
    bytes.reverse();
    Ok(bytes)
}

/// OpenBao's numbers of types.
fn algorithm(kind: u32) -> Option<Algorithm> {
    Some(match kind {
        0 => Algorithm::Aes256Gcm,
        1 => Algorithm::EcdsaP256,
        2 => Algorithm::Ed25519,
        3 => Algorithm::Rsa2048,
        4 => Algorithm::Rsa4096,
        5 => Algorithm::ChaCha20Poly1305,
        6 => Algorithm::EcdsaP384,
        7 => Algorithm::EcdsaP521,
        8 => Algorithm::Aes128Gcm,
        9 => Algorithm::Rsa3072,
        10 => Algorithm::Hmac,
        11 => Algorithm::XChaCha20Poly1305,
        _ => return None,
    })
}

const HKDF: u32 = 1;
const CONVERGENT: i64 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_numbers_become_bytes_and_nothing_else_does() {
        let read = |text: &str| {
            let raw = RawValue::from_string(text.to_owned()).unwrap();
            whole(&raw).map(|bytes| bytes.to_vec())
        };
        for (text, bytes) in [
            ("0", &[][..]),
            ("1", &[1]),
            ("255", &[255]),
            ("256", &[1, 0]),
            ("65537", &[1, 0, 1]),
            ("340282366920938463463374607431768211455", &[255; 16]),
        ] {
            assert_eq!(read(text).unwrap(), bytes, "{text}");
        }
        for wrong in ["-1", "1.5", "1e9", "null", "\"1\"", "[1]", &"9".repeat(MAX_DIGITS + 1)] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
