//! AppRole: roles for machines, which log in with a role id and, mostly, a secret id.
//!
//! A secret id is stored as keyed hashes alone: its accessor, which names its row, and the hash that proves it. Both
//! come from the keys that tokens stand under.

mod login;
mod role;
mod secret_id;
pub(crate) mod sweep;

use std::collections::BTreeMap;

use coffer_crypto::hash::{HmacKey, sha256};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use uuid::Uuid;

pub use self::secret_id::{Destroyed, SecretIdFound, SecretIdInfo, SecretIdIssue, SecretIdIssued, SecretIdRef};
use crate::{
    Error, Mount, TokenParameters,
    active::{Active, Found},
    cidr,
    clock::Expiry,
    codec::{self, Persisted},
    keys,
};

/// Longest role id and custom secret id, in bytes.
const MAX_ID: usize = 512;
/// Longest name of a role, in bytes.
const MAX_NAME: usize = 256;
/// Address blocks of one list at most.
const MAX_BLOCKS: usize = 256;

/// A role as stored and shown.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct AppRole {
    /// Its own id, never reused: its secret ids lie under it.
    uid: Uuid,
    /// Half of the credential, and the name of its entity's alias.
    pub role_id: String,
    /// Whether a login needs a secret id.
    pub bind_secret_id: bool,
    /// Addresses to log in from; empty = any.
    pub secret_id_bound_cidrs: Vec<String>,
    /// Logins by one secret id, 0 = any number.
    pub secret_id_num_uses: u64,
    /// Seconds that a secret id lives, 0 = for ever.
    pub secret_id_ttl: u64,
    /// Said at the creation, and without meaning for a single cluster.
    pub local_secret_ids: bool,
    /// The tokens of its logins.
    pub token: TokenParameters,
}

impl Persisted for AppRole {}

/// An index row: the role that a role id stands for.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct RoleIdRow {
    name: String,
}

impl Persisted for RoleIdRow {}

/// A secret id as stored.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct SecretId {
    hash: [u8; 32],
    /// The number of the key that made hash and accessor.
    kid: u32,
    /// Logins that it was made for, 0 = any number, ...
    num_uses: u64,
    /// ... and those left.
    left: u64,
    ttl: u64,
    created_ms: i64,
    updated_ms: i64,
    expires_ms: Option<i64>,
    metadata: BTreeMap<String, String>,
    cidr_list: Vec<String>,
    token_bound_cidrs: Vec<String>,
}

impl Persisted for SecretId {}

/// Where the index of a secret id's expiry, or a role's end, says something: nothing more to say.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Marker {}

impl Persisted for Marker {}

/// A secret id as its keyed hashes see it.
struct Hashed {
    hash: [u8; 32],
    kid: u32,
    accessor: String,
}

impl AppRole {
    /// Whether a role can have this name: letters, digits and `_`, within it `-` and `.` as well; at most 256 bytes.
    pub fn is_name(name: &str) -> bool {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let ends = name.starts_with(word) && name.ends_with(word);
        ends && name.len() <= MAX_NAME && name.chars().all(|c| word(c) || matches!(c, '-' | '.'))
    }

    /// Checks what must hold of the whole, and brings what has several forms into one.
    fn settle(&mut self) -> Result<(), Error> {
        if self.role_id.is_empty() || self.role_id.len() > MAX_ID || self.role_id.chars().any(char::is_control) {
            return Err(Error::invalid("invalid role_id supplied, or failed to generate a role_id"));
        }
        if self.secret_id_bound_cidrs.len().max(self.token.bound_cidrs.len()) > MAX_BLOCKS {
            return Err(too_many_blocks());
        }
        cidr::check_blocks("CIDR", &self.secret_id_bound_cidrs)?;
        self.token.settle()?;
        if !self.bind_secret_id && self.secret_id_bound_cidrs.is_empty() && self.token.bound_cidrs.is_empty() {
            let message = "at least one constraint should be enabled on the role";
            return Err(Error::invalid(super::login::one_error(message)));
        }
        Ok(())
    }
}

impl SecretId {
    /// Whether it may still be used, as far as time and uses go.
    fn is_alive(&self, active: &Active) -> bool {
        let expired = self.expires_ms.is_some_and(|at| match active.clock.expired(at) {
            Expiry::Valid => false,
            Expiry::Expired | Expiry::Refused => true,
        });
        !expired && (self.num_uses == 0 || self.left > 0)
    }
}

impl Active {
    /// A role, by its name in any case.
    pub(crate) async fn approle(&self, mount: &Mount, name: &str) -> Result<Option<Found<AppRole>>, Error> {
        self.row_cached(&role_row(mount, name)?).await
    }

    /// The row of a secret id that is alive, with its accessor.
    async fn secret_id(
        &self,
        mount: &Mount,
        role: &AppRole,
        secret_id: &str,
    ) -> Result<Option<(String, Found<SecretId>)>, Error> {
        if secret_id.is_empty() || secret_id.len() > MAX_ID {
            return Ok(None);
        }
        for (kid, key) in self.keyrings.token.all().iter() {
            let hashed = Hashed::of(*kid, key, role, secret_id);
            let found = self.row_cached::<SecretId>(&secret_row(mount, role, &hashed.accessor)).await?;
            if let Some(found) = found
                && found.value.kid == hashed.kid
                && bool::from(found.value.hash.ct_eq(&hashed.hash))
            {
                return Ok(Some((hashed.accessor, found)).filter(|(_, found)| found.value.is_alive(self)));
            }
        }
        Ok(None)
    }
}

impl Hashed {
    fn of(kid: u32, key: &HmacKey, role: &AppRole, secret_id: &str) -> Self {
        let hash = key.mac(&[b"secret-id\0", role.uid.as_bytes(), secret_id.as_bytes()]);
        let long = key.mac(&[b"secret-id accessor\0", role.uid.as_bytes(), secret_id.as_bytes()]);
        let accessor = Uuid::from_bytes(*long.first_chunk::<16>().expect("the hash has 32 bytes"));
        Self { hash, kid, accessor: accessor.to_string() }
    }
}

/// The number of the key that a secret id stands under.
pub(crate) fn key_of(row: &str, stored: &[u8]) -> Result<u32, Error> {
    Ok(codec::decode::<SecretId>(row, stored)?.kid)
}

fn too_many_blocks() -> Error {
    Error::invalid(format!("at most {MAX_BLOCKS} address blocks"))
}

/// The row of a role.
///
/// # Errors
/// Where this is no name of a role.
fn role_row(mount: &Mount, name: &str) -> Result<String, Error> {
    if !AppRole::is_name(name) {
        return Err(Error::new(coffer_api::Code::NotFound, super::login::one_error("unsupported path")));
    }
    Ok(format!("{}{}/{}", keys::APPROLE, mount.id, name.to_lowercase()))
}

fn role_id_row(mount: &Mount, role_id: &str) -> String {
    let digest = sha256(&[role_id.as_bytes()]);
    let [high, low] = [digest.first_chunk(), digest.last_chunk()].map(|half| half.copied().unwrap_or_default());
    // Sixteen bytes at a time: every login makes this name.
    format!("{}{}/{:032x}{:032x}", keys::APPROLE_ID, mount.id, u128::from_be_bytes(high), u128::from_be_bytes(low))
}

fn secret_prefix(mount: &Mount, role: &AppRole) -> String {
    format!("{}{}/{}/", keys::SECRET_ID, mount.id, role.uid)
}

fn secret_row(mount: &Mount, role: &AppRole, accessor: &str) -> String {
    format!("{}{accessor}", secret_prefix(mount, role))
}

/// The place of a secret id's row in the index of expiry.
fn expiry_of_row(row: &str, expires_ms: i64) -> String {
    let minute = expires_ms.max(0) / 60_000;
    format!("{}{minute:010x}/{}", keys::SECRET_ID_EXPIRY, row.strip_prefix(keys::SECRET_ID).unwrap_or(row))
}

#[cfg(test)]
mod tests;
