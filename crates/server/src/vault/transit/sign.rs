//! `sign`, and `verify` of signatures.

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_core::{
    Caller, Error, HashAlgorithm, KeyAlgorithm, KeyFault, Marshal, Mount, RsaPadding, Salt, SignItem, SignOptions,
    Signed, Signing, VerifyItem,
};
use serde::Serialize;

use super::{
    super::{
        call::{Failure, Outcome, VaultCall},
        lenient::Fields,
    },
    cipher::base64,
    fault::{self, text_of_signing as text},
    item::{self, Item, Reading, str_of},
    mac,
    reply::{self, Batch, ROOM, SignedLine, VerifiedLine, room},
};

/// `sign/:name` and `sign/:name/:hash`.
pub(super) async fn sign(call: &mut VaultCall, mount: &Mount, name: &str, hash: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let how = Signing {
        key_version: fields.integer("key_version")?.unwrap_or_default(),
        options: options(&call.caller, mount, name, &fields, hash).await?,
    };
    let (items, is_list) = items(&fields)?;
    let wanted: Vec<SignItem<'_>> =
        items.iter().map(|item| SignItem { input: base64(&item.input), context: base64(&item.context) }).collect();
    let done = call.caller.key_sign_at(mount, (name, hash), &how, &wanted, &fields).await;
    let done = whole(done.map_err(|error| fault::whole(error, "signing key not found"))?)?;
    if is_list { Ok(signed_list(call, &items, &done)) } else { signed_lone(call, done) }
}

/// `verify/:name` and `verify/:name/:hash`, of signatures or of HMACs.
pub(super) async fn verify(call: &mut VaultCall, mount: &Mount, name: &str, hash: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let (items, is_list) = items(&fields)?;
    if !is_signatures(&items, is_list)? {
        return mac::verify(call, mount, name, hash, (&items, is_list), &fields).await;
    }
    let options = options(&call.caller, mount, name, &fields, hash).await?;
    let wanted: Vec<VerifyItem<'_>> = items
        .iter()
        .map(|item| VerifyItem {
            input: base64(&item.input),
            context: base64(&item.context),
            signature: str_of(&item.signature),
        })
        .collect();
    let done = call.caller.key_verify_at(mount, (name, hash), &options, &wanted, &fields).await;
    let done = whole(done.map_err(|error| fault::whole(error, "signature verification key not found"))?)?;
    verified(call, &items, is_list, done, text)
}

/// The hash of a request to sign or to verify: the one in the path counts, then `hash_algorithm`, then its old name
/// `algorithm`.
pub(super) fn hash_name<'t>(fields: &'t [Option<zeroize::Zeroizing<String>>], in_path: &'t str) -> Option<&'t str> {
    let named = fields.iter().flatten().map(|name| name.as_str());
    std::iter::once(in_path).chain(named).find(|name| !name.is_empty())
}

/// Results of checks.
pub(super) fn verified(
    call: &VaultCall,
    items: &[Item<'_>],
    is_list: bool,
    done: Vec<Result<bool, KeyFault>>,
    text: fn(&KeyFault, usize) -> String,
) -> Outcome {
    #[derive(Serialize)]
    struct Shown {
        valid: bool,
    }
    if !is_list {
        let result = done.into_iter().next().ok_or_else(nothing)?;
        let valid = result.map_err(|refused| fault::lone(refused, text))?;
        return Ok(reply::answer(call, ROOM, &Shown { valid }));
    }
    let mut size = ROOM;
    let lines = items.iter().zip(&done).enumerate().map(|(at, (item, result))| {
        let of_signature = item.signature.is_some();
        let (valid, error) = match (&item.input, result) {
            (None, _) => (of_signature.then_some(false), Some(NO_INPUT.to_owned())),
            (Some(_), Ok(valid)) => (Some(*valid), None),
            (Some(_), Err(refused)) => (of_signature.then_some(false), Some(text(refused, at))),
        };
        let reference = str_of(&item.reference);
        size += error.as_deref().map_or(0, room) + room(reference);
        VerifiedLine { valid, error, reference }
    });
    let batch = Batch { batch_results: lines.collect() };
    Ok(reply::answer(call, size, &batch))
}

/// The items, and whether they came in a list.
pub(super) fn items<'a>(fields: &Fields<'a>) -> Result<(Vec<Item<'a>>, bool), Failure> {
    match item::batch(fields, Reading::Lenient)? {
        Some(items) => Ok((items, true)),
        None => Ok((vec![Item::single(fields)?], false)),
    }
}

/// The core answers as many items as it was given.
pub(super) fn nothing() -> Failure {
    Failure::Recorded(Error::internal("an operation with one item had no result"))
}

/// Whether signatures are to be checked, not HMACs: of a list all or none.
fn is_signatures(items: &[Item<'_>], is_list: bool) -> Result<bool, Failure> {
    let signatures = items.iter().filter(|item| item.signature.is_some()).count();
    let hmacs = items.iter().filter(|item| item.signature.is_none() && item.hmac.is_some()).count();
    let why = match (signatures, hmacs) {
        (0, 0) if is_list => "no batch_input elements have 'signature' or 'hmac'",
        (0, 0) => "neither a 'signature' nor an 'hmac' were given to verify",
        (found, 0) if found == items.len() => return Ok(true),
        (0, found) if found == items.len() => return Ok(false),
        (_, 0) => "some elements of batch_input are missing 'signature'",
        (0, _) => "some elements of batch_input are missing 'hmac'",
        (_, _) => "elements of batch_input must all provide 'signature' or all provide 'hmac'",
    };
    Err(Failure::invalid(why))
}

async fn options(
    caller: &Caller,
    mount: &Mount,
    name: &str,
    fields: &Fields<'_>,
    in_path: &str,
) -> Result<SignOptions, Failure> {
    let names = [fields.text("hash_algorithm")?, fields.text("algorithm")?];
    let hash = match hash_name(&names, in_path) {
        None => Some(HashAlgorithm::Sha2_256),
        Some("none") => None,
        Some(name) => Some(hash_of(name)?),
    };
    let marshal = match fields.text("marshaling_algorithm")?.as_ref().map_or("asn1", |name| name.as_str()) {
        "asn1" => Marshal::Der,
        "jws" => Marshal::Jws,
        other => return Err(Failure::invalid(format!("invalid marshaling type {:?}", shown(other)))),
    };
    let salt = salt(fields.text("salt_length")?.as_ref().map_or("auto", |text| text.as_str()))?;
    let rsa = match fields.text("signature_algorithm")?.as_ref().map_or("", |name| name.as_str()) {
        "" | "pss" => RsaPadding::Pss(salt),
        "pkcs1v15" => RsaPadding::Pkcs1v15,
        other => {
            // It matters to RSA keys alone.
            if is_rsa(caller, mount, name).await {
                return Err(Failure::invalid(format!("unsupported rsa signature algorithm {}", shown(other))));
            }
            RsaPadding::Pss(salt)
        }
    };
    let prehashed = fields.boolean("prehashed")?.unwrap_or_default();
    let is_bare = prehashed && rsa == RsaPadding::Pkcs1v15;
    if hash.is_none() && !is_bare && hashes(caller, mount, name).await {
        let why = "hash_algorithm=none requires both prehashed=true and signature_algorithm=pkcs1v15";
        return Err(Failure::invalid(why));
    }
    Ok(SignOptions { hash, prehashed, rsa, marshal })
}

/// What the key is tells only how its own parameters are read.
async fn is_rsa(caller: &Caller, mount: &Mount, name: &str) -> bool {
    let algorithm = caller.key_algorithm(mount, name).await;
    algorithm.is_ok_and(|algorithm| {
        matches!(algorithm, KeyAlgorithm::Rsa2048 | KeyAlgorithm::Rsa3072 | KeyAlgorithm::Rsa4096)
    })
}

/// Whether a key signs a hash, not the message itself.
async fn hashes(caller: &Caller, mount: &Mount, name: &str) -> bool {
    let algorithm = caller.key_algorithm(mount, name).await;
    algorithm.is_ok_and(|algorithm| {
        matches!(
            algorithm,
            KeyAlgorithm::EcdsaP256
                | KeyAlgorithm::EcdsaP384
                | KeyAlgorithm::EcdsaP521
                | KeyAlgorithm::Rsa2048
                | KeyAlgorithm::Rsa3072
                | KeyAlgorithm::Rsa4096
        )
    })
}

pub(super) fn hash_of(name: &str) -> Result<HashAlgorithm, Failure> {
    HashAlgorithm::parse(name).ok_or_else(|| Failure::invalid(format!("invalid hash algorithm {:?}", shown(name))))
}

/// As Go has it: 0 is the longest there is room for, -1 the length of the hash.
fn salt(text: &str) -> Result<Salt, Failure> {
    match text {
        "auto" => return Ok(Salt::Auto),
        "hash" => return Ok(Salt::Hash),
        _ => {}
    }
    match text.parse::<i64>() {
        Ok(0) => Ok(Salt::Auto),
        Ok(-1) => Ok(Salt::Hash),
        Ok(bytes @ 1..) => {
            let bytes = u16::try_from(bytes);
            bytes.map(Salt::Bytes).map_err(|_| Failure::invalid(format!("requested salt length {text} is invalid")))
        }
        Ok(_) => Err(Failure::invalid(format!("salt length is invalid: {text}"))),
        Err(_) => Err(Failure::invalid(format!("salt length neither 'auto', 'hash', nor an int: {}", shown(text)))),
    }
}

/// A list fails as a whole where the key cannot do it at all.
fn whole<T>(done: Vec<Result<T, KeyFault>>) -> Result<Vec<Result<T, KeyFault>>, Failure> {
    match done.first() {
        Some(Err(refused @ KeyFault::Unsupported { .. })) => Err(Failure::Recorded(Error::invalid(text(refused, 0)))),
        Some(_) | None => Ok(done),
    }
}

fn signed_lone(call: &VaultCall, done: Vec<Result<Signed, KeyFault>>) -> Outcome {
    #[derive(Serialize)]
    struct Shown<'a> {
        key_version: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        public_key: Option<String>,
        signature: &'a str,
    }
    let result = done.into_iter().next().ok_or_else(nothing)?;
    let made = result.map_err(|refused| fault::lone(refused, text))?;
    let public_key = public_key(&made);
    let size = made.signature.len() + public_key.as_deref().map_or(0, str::len) + ROOM;
    Ok(reply::answer(call, size, &Shown { key_version: made.key_version, public_key, signature: &made.signature }))
}

fn signed_list(call: &VaultCall, items: &[Item<'_>], done: &[Result<Signed, KeyFault>]) -> axum::response::Response {
    let mut size = ROOM;
    let lines = items.iter().zip(done).enumerate().map(|(at, (item, result))| {
        let reference = str_of(&item.reference);
        let failed =
            |why| SignedLine { signature: None, key_version: 0, public_key: None, error: Some(why), reference };
        let line = match (&item.input, result) {
            (None, _) => failed(NO_INPUT.to_owned()),
            (Some(_), Err(refused)) => failed(text(refused, at)),
            (Some(_), Ok(made)) => SignedLine {
                signature: Some(&made.signature),
                key_version: made.key_version,
                public_key: public_key(made),
                error: None,
                reference,
            },
        };
        let texts = [line.error.as_deref(), line.public_key.as_deref(), Some(reference)];
        size += line.signature.map_or(0, str::len) + texts.iter().flatten().map(|text| room(text)).sum::<usize>();
        line
    });
    let batch = Batch { batch_results: lines.collect() };
    reply::answer(call, size, &batch)
}

/// The public key that a context made.
fn public_key(made: &Signed) -> Option<String> {
    made.public_key.as_ref().map(|raw| STANDARD.encode(raw))
}

/// A name that a client sent, as far as it is repeated.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(100).collect()
}

const NO_INPUT: &str = "missing input";
