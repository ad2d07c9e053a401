//! `hmac`, and `verify` of HMACs.

use coffer_core::{Error, HashAlgorithm, HmacVerifyItem, Input, KeyFault, Mount};
use serde::Serialize;

use super::{
    super::{
        call::{Failure, Outcome, VaultCall},
        lenient::Fields,
    },
    cipher::base64,
    fault::{self, NO_KEY, text},
    item::{Item, str_of},
    reply::{self, Batch, HmacLine, ROOM, room},
    sign::{hash_name, hash_of, items, nothing, verified},
};

/// `hmac/:name` and `hmac/:name/:hash`.
pub(super) async fn make(call: &mut VaultCall, mount: &Mount, name: &str, hash: &str) -> Outcome {
    #[derive(Serialize)]
    struct Shown<'a> {
        hmac: &'a str,
    }
    let params = call.params().await?;
    let fields = params.fields()?;
    let (items, is_list) = items(&fields)?;
    if !is_list && items.iter().any(|item| item.input.is_none()) {
        return Err(Failure::invalid(NO_INPUT));
    }
    let named = hash_named(&[fields.text("algorithm")?], hash)?;
    let key_version = fields.integer("key_version")?.unwrap_or_default();
    let wanted: Vec<Input<'_>> = items.iter().map(|item| base64(&item.input)).collect();
    let done = call.caller.key_hmac_at(mount, (name, hash), (named, key_version), &wanted, &fields).await;
    let done = done.map_err(|error| fault::whole(error, NO_KEY))?;
    if !is_list {
        let result = done.into_iter().next().ok_or_else(nothing)?;
        let made = result.map_err(|refused| fault::lone(refused, text))?;
        return Ok(reply::answer(call, made.hmac.len() + ROOM, &Shown { hmac: &made.hmac }));
    }
    // A version that makes none makes none of any item.
    if let Some(Err(refused)) = done.first()
        && !matches!(refused, KeyFault::Base64 { .. })
    {
        return Err(Failure::Recorded(Error::invalid(fault::text(refused, 0))));
    }
    let mut size = ROOM;
    let lines = items.iter().zip(&done).enumerate().map(|(at, (item, result))| {
        let (hmac, error) = match (&item.input, result) {
            (None, _) => (None, Some(NO_INPUT.to_owned())),
            (Some(_), Ok(made)) => (Some(made.hmac.as_str()), None),
            (Some(_), Err(refused)) => (None, Some(text(refused, at))),
        };
        let reference = str_of(&item.reference);
        size += hmac.map_or(0, str::len) + error.as_deref().map_or(0, room) + room(reference);
        HmacLine { hmac, error, reference }
    });
    let batch = Batch { batch_results: lines.collect() };
    Ok(reply::answer(call, size, &batch))
}

/// `verify/:name` with HMACs.
pub(super) async fn verify(
    call: &mut VaultCall,
    mount: &Mount,
    name: &str,
    hash: &str,
    (items, is_list): (&[Item<'_>], bool),
    fields: &Fields<'_>,
) -> Outcome {
    let named = hash_named(&[fields.text("hash_algorithm")?, fields.text("algorithm")?], hash)?;
    let wanted: Vec<HmacVerifyItem<'_>> =
        items.iter().map(|item| HmacVerifyItem { input: base64(&item.input), hmac: str_of(&item.hmac) }).collect();
    let done = call.caller.key_hmac_verify_at(mount, (name, hash), named, &wanted, fields).await;
    let done = done.map_err(|error| fault::whole(error, NO_KEY))?;
    verified(call, items, is_list, done, text)
}

/// The hash that the request names; `None` where it names none, and the key's own is meant.
fn hash_named(names: &[Option<zeroize::Zeroizing<String>>], in_path: &str) -> Result<Option<HashAlgorithm>, Failure> {
    match hash_name(names, in_path) {
        None => Ok(None),
        Some("none") => Err(Failure::invalid("algorithm cannot be none")),
        Some(name) => hash_of(name).map(Some),
    }
}

const NO_INPUT: &str = "missing input for HMAC";
