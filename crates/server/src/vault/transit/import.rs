//! Keys that come from outside: `wrapping_key`, `import`, `import_version` and `derive-key`.

use coffer_core::{Error, HashAlgorithm, ImportSource, Input, KeyAgreement, KeyCreate, Mount, WrappedBy};
use serde::Serialize;

use super::{
    super::{
        call::{Failure, Outcome, VaultCall, done},
        lenient::Fields,
    },
    fault, keys, kind,
    sign::shown,
};

/// `wrapping_key`.
pub(super) async fn wrapping_key(call: &mut VaultCall, mount: &Mount) -> Outcome {
    #[derive(Serialize)]
    struct Shown<'a> {
        public_key: &'a str,
    }
    let public_key = call.caller.key_wrapping_key(mount).await?;
    Ok(call.data(&Shown { public_key: &public_key }))
}

/// `keys/:name/import`.
pub(super) async fn import(call: &mut VaultCall, mount: &Mount, name: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let algorithm = keys::algorithm(&fields, "unknown key type:")?;
    let hash = hash_of(&fields)?;
    let allow_rotation = fields.boolean("allow_rotation")?.unwrap_or_default();
    let period = keys::rotate_period(&fields)?.unwrap_or_default();
    if period != 0 && !allow_rotation {
        return Err(Failure::invalid("allow_rotation must be set to true if auto-rotation is enabled"));
    }
    let new = KeyCreate {
        imported: true,
        allow_rotation,
        derived: fields.boolean("derived")?.unwrap_or_default(),
        exportable: fields.boolean("exportable")?.unwrap_or_default(),
        allow_plaintext_backup: fields.boolean("allow_plaintext_backup")?.unwrap_or_default(),
        rotate_every_ms: period,
        ..KeyCreate::transit(algorithm)
    };
    let (ciphertext, public) = (fields.text("ciphertext")?, fields.text("public_key")?);
    let has_public_half = algorithm.is_asymmetric();
    let source = source(ciphertext.as_ref().map(|text| text.as_str()), public.as_ref().map(|text| text.as_str()), hash)
        .filter(|source| has_public_half || !matches!(source, ImportSource::Public { .. }))
        .ok_or_else(|| Failure::invalid(NO_PUBLIC))?;
    call.caller.key_import(mount, name, new, source, &fields).await?;
    Ok(done())
}

/// `keys/:name/import_version`.
pub(super) async fn import_version(call: &mut VaultCall, mount: &Mount, name: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let hash = hash_of(&fields)?;
    let version = match fields.integer("version")? {
        None | Some(0) => None,
        Some(number) => Some(u32::try_from(number).map_err(|_| Failure::invalid("no such key version"))?),
    };
    let (ciphertext, public) = (fields.text("ciphertext")?, fields.text("public_key")?);
    let source = source(ciphertext.as_ref().map(|text| text.as_str()), public.as_ref().map(|text| text.as_str()), hash)
        .ok_or_else(|| Failure::invalid(NO_PUBLIC))?;
    let imported = call.caller.key_import_version(mount, name, source, version, &fields).await;
    imported.map_err(|error| match error.code() {
        coffer_api::Code::NotFound => Failure::Recorded(Error::invalid(format!(
            "no key found with name {name}; to import a new key, use the import/ endpoint"
        ))),
        _ => Failure::Recorded(error),
    })?;
    Ok(done())
}

/// `derive-key/:name`: a key that two parties agree on.
pub(super) async fn derive(call: &mut VaultCall, mount: &Mount, name: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let peer = fields.text("peer_public_key")?.filter(|pem| !pem.is_empty());
    let peer = peer.ok_or_else(|| Failure::invalid("peer public key not provided"))?;
    let base = fields.text("base_key_name")?.filter(|name| super::is_name(name));
    let base = base.ok_or_else(|| Failure::invalid(NO_BASE))?;
    let how = fields.text("key_derivation_algorithm")?;
    let how = how.as_ref().map_or("ecdh", |name| name.as_str());
    if how != "ecdh" {
        return Err(Failure::invalid(format!("key derivation algorithm {} not supported", shown(how))));
    }
    let wanted = fields.text("derived_key_type")?;
    let wanted = wanted.as_ref().map_or("aes256-gcm96", |name| name.as_str());
    let algorithm = kind::algorithm(wanted).filter(|algorithm| kind::is_made_by_use(*algorithm));
    let algorithm = algorithm.ok_or_else(|| Failure::invalid(format!("unknown key type {}", shown(wanted))))?;
    let agreement = KeyAgreement {
        base: &base,
        base_version: match fields.integer("base_key_version")? {
            None | Some(0) => None,
            Some(number) => Some(
                u32::try_from(number).map_err(|_| Failure::invalid("requested version of the base key is negative"))?,
            ),
        },
        peer_pem: &peer,
        algorithm,
    };
    let agreed = call.caller.key_agree(mount, name, agreement, &fields).await;
    match agreed {
        Ok(_) => Ok(done()),
        Err(error) if error.code() == coffer_api::Code::NotFound => Err(fault::whole(error, NO_BASE)),
        Err(error) => Err(fault::in_transits_words(&call.caller, mount, &base, error).await),
    }
}

/// The hash of OAEP by the name that imports have for it.
pub(super) fn hash_function(name: &str) -> Result<HashAlgorithm, Failure> {
    match name.to_ascii_uppercase().as_str() {
        "SHA1" => Ok(HashAlgorithm::Sha1),
        "SHA224" => Ok(HashAlgorithm::Sha2_224),
        "" | "SHA256" => Ok(HashAlgorithm::Sha2_256),
        "SHA384" => Ok(HashAlgorithm::Sha2_384),
        "SHA512" => Ok(HashAlgorithm::Sha2_512),
        _ => Err(Failure::invalid(format!("unknown hash function: {}", shown(name)))),
    }
}

fn hash_of(fields: &Fields<'_>) -> Result<HashAlgorithm, Failure> {
    let name = fields.text("hash_function")?;
    hash_function(name.as_ref().map_or("", |name| name.as_str()))
}

/// What the key is made of: the wrapped one, where both were sent.
fn source<'a>(ciphertext: Option<&'a str>, public: Option<&'a str>, hash: HashAlgorithm) -> Option<ImportSource<'a>> {
    let wrapped = ciphertext.filter(|text| !text.is_empty());
    let wrapped =
        wrapped.map(|text| ImportSource::Wrapped { ciphertext: Input::Base64(text), hash, by: WrappedBy::Store });
    wrapped.or_else(|| public.filter(|pem| !pem.is_empty()).map(|pem| ImportSource::Public { pem }))
}

const NO_PUBLIC: &str = "provided type does not support public_key import";
const NO_BASE: &str = "specified base key not found";
