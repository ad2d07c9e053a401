//! Keys that are made, used and destroyed here and do not leave: what lies below a mount of the kind `transit`.
//!
//! A key lies under an id of its own; its name is an index row. Its entry holds everything but secrets and public keys,
//! which have a row per version. A version's secret part is sealed under an object key, whose deletion destroys it.
//! Whoever changes a key holds the lock of its name, whether it still has it or not.

pub(crate) mod configure;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod entry;
pub(crate) mod list;
pub(crate) mod manage;
pub(crate) mod operate;
pub(crate) mod orphaned;
pub(crate) mod settings;
pub(crate) mod soft;
pub(crate) mod state;
pub(crate) mod store;
pub(crate) mod sweep;
pub(crate) mod uses;
pub(crate) mod view;
pub(crate) mod wire;

use uuid::Uuid;

use crate::{Error, Mount, keys};

/// Longest name of a key, in bytes.
const MAX_NAME: usize = 255;

/// The path of a key, or of a verb below it, as policies speak of it.
pub(crate) fn keys_path(mount: &Mount, name: &str, verb: Option<&str>) -> String {
    match verb {
        Some(verb) => format!("{}keys/{name}/{verb}", mount.path),
        None => format!("{}keys/{name}", mount.path),
    }
}

/// The row of a key.
pub(crate) fn key_row(mount: Uuid, id: Uuid) -> String {
    format!("{}{}/{}", keys::KEY_ENTRY, mount.simple(), id.simple())
}

/// The row that makes a name the key's; also what its changes are locked by.
pub(crate) fn name_row(mount: Uuid, name: &str) -> String {
    format!("{}{}/{name}", keys::KEY_NAME, mount.simple())
}

/// The row of a key that lost its name.
pub(crate) fn deleted_row(mount: Uuid, name: &str, id: Uuid) -> String {
    format!("{}{}", deleted_prefix(mount, name), id.simple())
}

/// The rows of keys that lost this name.
pub(crate) fn deleted_prefix(mount: Uuid, name: &str) -> String {
    format!("{}{}/{name}\0", keys::KEY_DELETED, mount.simple())
}

/// The row of a version's secret part.
pub(crate) fn material_row(mount: Uuid, id: Uuid, version: u32) -> String {
    format!("{}{}/{}/{version:08x}", keys::KEY_MATERIAL, mount.simple(), id.simple())
}

/// The row of a version's public part.
pub(crate) fn public_row(mount: Uuid, id: Uuid, version: u32) -> String {
    format!("{}{version:08x}", public_prefix(mount, id))
}

fn public_prefix(mount: Uuid, id: Uuid) -> String {
    format!("{}{}/{}/", keys::KEY_PUBLIC, mount.simple(), id.simple())
}

/// The rows of a kind that a mount's keys have.
pub(crate) fn keys_of(rows: &str, mount: Uuid) -> String {
    format!("{rows}{}/", mount.simple())
}

/// The index row by which the sweep finds a key.
pub(crate) fn due_row(due_ms: i64, mount: Uuid, id: Uuid) -> String {
    format!("{}{:010x}/{}/{}", keys::KEY_DUE, due_ms.max(0) / 60_000, mount.simple(), id.simple())
}

/// # Errors
/// Where a name is no key's: those of the Vault dialect, at most 255 bytes.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let inner = |c: char| word(c) || matches!(c, '-' | '.');
    let fits = name.len() <= MAX_NAME && name.starts_with(word) && name.ends_with(word) && name.chars().all(inner);
    match fits {
        true => Ok(()),
        false => Err(Error::invalid(
            "a key's name has 1 to 255 letters, digits, '_', '-' and '.', and begins and ends with none of the last two",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_no_path_of_the_dialect_has_are_refused() {
        for good in ["a", "acme-prod.api_1", "_", "0", &"a".repeat(255)] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", ".a", "a.", "a/b", "a b", "a\0b", "ä", "a@b", "..", &"a".repeat(256)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
