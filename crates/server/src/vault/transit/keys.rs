//! `keys…`: made, read, listed, configured, rotated, trimmed and deleted.

use std::collections::BTreeMap;

use coffer_api::Code;
use coffer_core::{Begin, Error, KeyAlgorithm, KeyConfigure, KeyCreate, KeyView, Mount};

use super::{
    super::{
        call::{Failure, Outcome, VaultCall, done},
        envelope::Envelope,
        lenient::Fields,
    },
    cipher::base64,
    fault,
    item::Item,
    kind::{self, type_name},
    shown::ShownKey,
    sign::shown,
};

/// `keys/:name` POST. A key that is there is answered as it is.
pub(super) async fn create(call: &mut VaultCall, mount: &Mount, name: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let algorithm = algorithm(&fields, "unknown key type")?;
    if fields.text("external_key_ref")?.is_some_and(|name| !name.is_empty()) {
        return Err(Failure::invalid("must provide type=external-key to use external_key_ref"));
    }
    let create = KeyCreate {
        key_size: key_size(&fields, algorithm)?,
        derived: fields.boolean("derived")?.unwrap_or_default(),
        convergent: fields.boolean("convergent_encryption")?.unwrap_or_default(),
        exportable: fields.boolean("exportable")?.unwrap_or_default(),
        allow_plaintext_backup: fields.boolean("allow_plaintext_backup")?.unwrap_or_default(),
        rotate_every_ms: rotate_period(&fields)?.unwrap_or_default(),
        ..KeyCreate::transit(algorithm)
    };
    let key = call.caller.key_create(mount, name, create, &fields).await?;
    answer(call, &key, Vec::new())
}

/// `keys/:name` GET; with a context, the public keys that it derives.
pub(super) async fn read(call: &mut VaultCall, mount: &Mount, name: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let item = Item::single(&fields)?;
    let (key, derived) = call.caller.key_read_derived(mount, name, base64(&item.context)).await?;
    Ok(call.data(&ShownKey::of(&key, &derived).map_err(Failure::Recorded)?))
}

/// `keys/` LIST.
pub(super) async fn list(call: &mut VaultCall, mount: &Mount) -> Outcome {
    let page = call.page().await?;
    let names = call.caller.key_names(mount, page.part()).await?;
    call.keys(names)
}

/// `keys/:name` DELETE.
pub(super) async fn delete(call: &mut VaultCall, mount: &Mount, name: &str) -> Outcome {
    let deleted = call.caller.key_delete(mount, name).await;
    let of_this_key = |why: &str| Failure::Recorded(Error::invalid(format!("error deleting policy {name}: {why}")));
    match deleted {
        Ok(_) => Ok(done()),
        Err(error) if error.code() == Code::NotFound => Err(of_this_key("could not delete key; not found")),
        Err(error) if error.code() == Code::Invalid => Err(of_this_key(error.vault_words())),
        Err(error) => Err(Failure::Recorded(error)),
    }
}

/// `keys/:name/config`.
pub(super) async fn configure(call: &mut VaultCall, mount: &Mount, name: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let mut warnings = Vec::new();
    let min_decryption = fields.integer("min_decryption_version")?;
    if min_decryption == Some(0) {
        warnings.push("since Vault 0.3, transit key numbering starts at 1; forcing minimum to 1".to_owned());
    }
    let change = KeyConfigure {
        min_decryption,
        min_encryption: fields.integer("min_encryption_version")?,
        deletion_allowed: fields.boolean("deletion_allowed")?,
        // Both are on for good once they are on; false is passed over.
        exportable: fields.boolean("exportable")?.filter(|wanted| *wanted),
        allow_plaintext_backup: fields.boolean("allow_plaintext_backup")?.filter(|wanted| *wanted),
        rotate_every_ms: rotate_period(&fields)?,
        ..KeyConfigure::default()
    };
    let key = call.caller.key_configure(mount, name, change, &fields).await;
    let key = key.map_err(|error| match error.code() {
        Code::NotFound => Failure::Recorded(Error::invalid(format!("no existing key named {name} could be found"))),
        _ => Failure::Recorded(error),
    })?;
    answer(call, &key, warnings)
}

/// `keys/:name/rotate`.
pub(super) async fn rotate(call: &mut VaultCall, mount: &Mount, name: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let key = call.caller.key_rotate(mount, name, Begin::Active, &fields).await;
    answer(call, &key.map_err(|error| fault::whole(error, "key not found"))?, Vec::new())
}

/// `keys/:name/trim`.
pub(super) async fn trim(call: &mut VaultCall, mount: &Mount, name: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let floor = fields.integer("min_available_version")?;
    let floor = floor.ok_or_else(|| Failure::invalid("missing min_available_version"))?;
    let key = call.caller.key_trim(mount, name, floor, &fields).await;
    answer(call, &key.map_err(|error| fault::whole(error, "invalid key name"))?, Vec::new())
}

/// `keys/:name/soft-delete`.
pub(super) async fn soft_delete(call: &mut VaultCall, mount: &Mount, name: &str) -> Outcome {
    let deleted = call.caller.key_soft_delete(mount, name).await;
    softly(call, deleted, "key was already marked as soft deleted")
}

/// `keys/:name/soft-delete-restore`.
pub(super) async fn soft_restore(call: &mut VaultCall, mount: &Mount, name: &str) -> Outcome {
    let params = call.params().await?;
    let restored = call.caller.key_soft_restore(mount, name, &params.fields()?).await;
    softly(call, restored, "key was already restored")
}

/// The key, and a warning where nothing had to be changed. An absent key has nothing to change either.
fn softly(call: &VaultCall, changed: Result<(KeyView, bool), Error>, already: &str) -> Outcome {
    match changed {
        Ok((key, true)) => answer(call, &key, Vec::new()),
        Ok((key, false)) => answer(call, &key, vec![already.to_owned()]),
        Err(error) if error.code() == Code::NotFound => Ok(done()),
        Err(error) => Err(Failure::Recorded(error)),
    }
}

fn answer(call: &VaultCall, key: &KeyView, warnings: Vec<String>) -> Outcome {
    let shown = ShownKey::of(key, &BTreeMap::new()).map_err(Failure::Recorded)?;
    Ok(call.envelope(Envelope::data(&shown).with_warnings(warnings)))
}

/// The field `type`.
pub(super) fn algorithm(fields: &Fields<'_>, unknown: &str) -> Result<KeyAlgorithm, Failure> {
    let name = fields.text("type")?;
    let name = name.as_ref().map_or("aes256-gcm96", |name| name.as_str());
    kind::algorithm(name).ok_or_else(|| Failure::invalid(format!("{unknown} {}", shown(name))))
}

/// The field `auto_rotate_period` in milliseconds: none, or an hour and more.
pub(super) fn rotate_period(fields: &Fields<'_>) -> Result<Option<i64>, Failure> {
    let Some(period) = fields.duration("auto_rotate_period")? else { return Ok(None) };
    let milliseconds = period.nanos() / 1_000_000;
    if milliseconds < 0 {
        let field = "auto_rotate_period";
        return Err(Failure::invalid(format!(
            "error converting input for field {field:?}: cannot provide negative value '{}'",
            milliseconds / 1000
        )));
    }
    if milliseconds != 0 && milliseconds < HOUR_MS {
        return Err(Failure::invalid("auto rotate period must be 0 to disable or at least an hour"));
    }
    Ok(Some(milliseconds))
}

fn key_size(fields: &Fields<'_>, algorithm: KeyAlgorithm) -> Result<u16, Failure> {
    let size = fields.integer("key_size")?.unwrap_or_default();
    match (algorithm, size) {
        (KeyAlgorithm::Hmac, size) => match u16::try_from(size) {
            Ok(size @ (0 | 32..=512)) => Ok(size),
            Ok(_) | Err(_) => Err(Failure::invalid(format!("invalid key_size {size}"))),
        },
        (_, 0) => Ok(0),
        (other, _) => Err(Failure::invalid(format!("key_size is not valid for algorithm {}", type_name(other)))),
    }
}

const HOUR_MS: i64 = 60 * 60 * 1000;
