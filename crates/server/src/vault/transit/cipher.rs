//! `encrypt`, `decrypt`, `rewrap` and `datakey`.

use coffer_core::{
    DataKey, DataKeyBits, DecryptItem, Decrypted, EncryptItem, Encrypted, Error, Input, KeyCreate, KeyFault, Mount,
    Reveal, RewrapItem,
};
use serde::Serialize;

use super::{
    super::{
        call::{Failure, Outcome, VaultCall},
        lenient::Fields,
    },
    fault::{self, NO_KEY, text},
    item::{self, Item, Reading, Text, str_of},
    kind,
    reply::{self, Failures, ROOM, UndecryptedLine, UnencryptedLine, room},
};
use crate::error::{self, Success};

/// `encrypt/:name`: a key that is absent is made by its first use.
pub(super) async fn encrypt(call: &mut VaultCall, mount: &Mount, name: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let Asked { items, is_list, status } = Asked::read(&fields, Reading::Plaintexts, |item| {
        item.plaintext.is_none().then_some("missing plaintext to encrypt")
    })?;
    let new = new_key(&fields, &items)?;
    let wanted: Vec<EncryptItem<'_>> = items
        .iter()
        .map(|item| EncryptItem {
            plaintext: base64(&item.plaintext),
            context: base64(&item.context),
            associated_data: base64(&item.associated_data),
            key_version: item.key_version,
        })
        .collect();
    let done = call.caller.key_encrypt_or_create(mount, name, new, &wanted, &fields).await;
    let done = done.map_err(|error| fault::whole(error, NO_KEY))?;
    encrypted(call, &items, done, if is_list { Ends::List(status) } else { Ends::Lone })
}

/// `decrypt/:name`.
pub(super) async fn decrypt(call: &mut VaultCall, mount: &Mount, name: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let Asked { items, is_list, status } = Asked::read(&fields, Reading::Ciphertexts, no_ciphertext)?;
    let wanted: Vec<DecryptItem<'_>> = items
        .iter()
        .map(|item| DecryptItem {
            ciphertext: str_of(&item.ciphertext),
            context: base64(&item.context),
            associated_data: base64(&item.associated_data),
        })
        .collect();
    let done = call.caller.key_decrypt(mount, name, &wanted, &fields).await;
    let done = done.map_err(|error| fault::whole(error, NO_KEY))?;
    if is_list { Ok(decrypted_list(call, &items, &done, status)) } else { decrypted_lone(call, done) }
}

/// `rewrap/:name`.
pub(super) async fn rewrap(call: &mut VaultCall, mount: &Mount, name: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let Asked { items, is_list, .. } = Asked::read(&fields, Reading::Lenient, no_ciphertext)?;
    let wanted: Vec<RewrapItem<'_>> = items
        .iter()
        .map(|item| RewrapItem {
            ciphertext: str_of(&item.ciphertext),
            context: base64(&item.context),
            associated_data: Input::EMPTY,
            key_version: item.key_version,
        })
        .collect();
    let done = call.caller.key_rewrap(mount, name, &wanted, &fields).await;
    let done = done.map_err(|error| fault::whole(error, NO_KEY))?;
    encrypted(call, &items, done, if is_list { Ends::Results } else { Ends::Lone })
}

/// `datakey/plaintext/:name` and `datakey/wrapped/:name`.
pub(super) async fn data_key(call: &mut VaultCall, mount: &Mount, how: &str, name: &str) -> Outcome {
    #[derive(Serialize)]
    struct Shown<'a> {
        ciphertext: &'a str,
        key_version: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        plaintext: Option<&'a str>,
    }
    let params = call.params().await?;
    let fields = params.fields()?;
    let reveal = match how {
        "plaintext" => Reveal::Plain,
        "wrapped" => Reveal::Wrapped,
        _ => return Err(Failure::invalid("Invalid path, must be 'plaintext' or 'wrapped'")),
    };
    let item = Item::single(&fields)?;
    let bits = DataKeyBits::from_bits(fields.integer("bits")?.unwrap_or(DEFAULT_BITS));
    let bits = bits.ok_or_else(|| Failure::invalid("invalid bit length"))?;
    let wanted = DataKey {
        reveal,
        bits,
        context: base64(&item.context),
        associated_data: base64(&item.associated_data),
        key_version: item.key_version,
    };
    let made = call.caller.key_data_key(mount, name, wanted, &fields).await;
    let made = made.map_err(|error| fault::whole(error, NO_KEY))?;
    let made = made.map_err(|refused| fault::lone(refused, fault::text_of_data_key))?;
    let plaintext = made.plaintext.as_ref().map(|text| text.as_str());
    let size = made.ciphertext.len() + plaintext.map_or(0, str::len) + ROOM;
    Ok(reply::answer(call, size, &Shown { ciphertext: &made.ciphertext, key_version: made.key_version, plaintext }))
}

/// What a request asks for.
struct Asked<'a> {
    items: Vec<Item<'a>>,
    is_list: bool,
    /// The status that the client wants where some items failed.
    status: Option<i64>,
}

impl<'a> Asked<'a> {
    /// Reads the list, or the one item at the top level, of which `lacks` may say what it has not.
    fn read(
        fields: &Fields<'a>,
        reading: Reading,
        lacks: impl Fn(&Item<'a>) -> Option<&'static str>,
    ) -> Result<Self, Failure> {
        let status = fields.integer("partial_failure_response_code")?;
        if let Some(items) = item::batch(fields, reading)? {
            let with_context = items.iter().filter(|item| !str_of(&item.context).is_empty()).count();
            if with_context != 0 && with_context != items.len() {
                return Err(Failure::invalid("context should be set either in all the request blocks or in none"));
            }
            return Ok(Self { items, is_list: true, status });
        }
        let item = Item::single(fields)?;
        match lacks(&item) {
            Some(missing) => Err(Failure::invalid(missing)),
            None => Ok(Self { items: vec![item], is_list: false, status }),
        }
    }
}

fn no_ciphertext(item: &Item<'_>) -> Option<&'static str> {
    str_of(&item.ciphertext).is_empty().then_some(NO_CIPHERTEXT)
}

/// The key that a first use makes. What is wrong with the wish matters only where there is no key yet.
fn new_key(fields: &Fields<'_>, items: &[Item<'_>]) -> Result<Result<KeyCreate, Error>, Failure> {
    let wanted = fields.text("type")?;
    let wanted = wanted.as_ref().map_or("aes256-gcm96", |name| name.as_str());
    let convergent = fields.boolean("convergent_encryption")?.unwrap_or_default();
    let derived = items.first().is_some_and(|item| !str_of(&item.context).is_empty());
    if convergent && !derived {
        return Ok(Err(Error::invalid(
            "convergent encryption requires derivation to be enabled, so context is required",
        )));
    }
    let Some(algorithm) = kind::algorithm(wanted).filter(|algorithm| kind::is_made_by_use(*algorithm)) else {
        let shown: String = wanted.chars().take(100).collect();
        return Ok(Err(Error::invalid(format!("unknown key type {shown}"))));
    };
    Ok(Ok(KeyCreate { derived, convergent, ..KeyCreate::transit(algorithm) }))
}

/// How results are answered.
enum Ends {
    /// As a list whose status tells of failures.
    List(Option<i64>),
    /// As the only result.
    Lone,
    /// As a list that is a success whatever became of its items.
    Results,
}

fn encrypted(call: &VaultCall, items: &[Item<'_>], done: Vec<Result<Encrypted, KeyFault>>, ends: Ends) -> Outcome {
    let wanted = match ends {
        Ends::Lone => {
            let result = done.into_iter().next().ok_or_else(nothing)?;
            let made = result.map_err(|refused| fault::lone(refused, text))?;
            let status = error::success(Success::Body);
            return Ok(reply::answer_filled(call, status, None, made.ciphertext.len() + ROOM, |out| {
                append_encrypted(out, &made);
                out.push(b'}');
            }));
        }
        Ends::List(wanted) => Some(wanted),
        Ends::Results => None,
    };
    let (failures, size) = looked_over(items, &done, no_text, |made| made.ciphertext.len());
    let (status, warning) = wanted.map_or_else(|| Failures::default().status(None), |wanted| failures.status(wanted));
    Ok(reply::answer_filled(call, status, warning, size, |out| {
        reply::append_results(out, items.iter().zip(&done).enumerate(), |out, (at, (item, result))| {
            let reference = str_of(&item.reference);
            match result {
                Ok(made) => {
                    append_encrypted(out, made);
                    append_reference(out, reference);
                }
                Err(refused) => {
                    reply::append(out, &UnencryptedLine { error: why(no_text(item), refused, at), reference })
                }
            }
        });
    }))
}

fn decrypted_lone(call: &VaultCall, done: Vec<Result<Decrypted, KeyFault>>) -> Outcome {
    let result = done.into_iter().next().ok_or_else(nothing)?;
    let opened = result.map_err(|refused| fault::lone(refused, text))?;
    let status = error::success(Success::Body);
    Ok(reply::answer_filled(call, status, None, opened.plaintext.len() + ROOM, |out| {
        reply::append_text(out, r#"{"plaintext":"#, &opened.plaintext);
        out.push(b'}');
    }))
}

fn decrypted_list(
    call: &VaultCall,
    items: &[Item<'_>],
    done: &[Result<Decrypted, KeyFault>],
    wanted: Option<i64>,
) -> axum::response::Response {
    let (failures, size) = looked_over(items, done, no_ciphertext, |opened| opened.plaintext.len());
    let (status, warning) = failures.status(wanted);
    reply::answer_filled(call, status, warning, size, |out| {
        reply::append_results(out, items.iter().zip(done).enumerate(), |out, (at, (item, result))| {
            let reference = str_of(&item.reference);
            match result {
                Ok(opened) => {
                    reply::append_text(out, r#"{"plaintext":"#, &opened.plaintext);
                    append_reference(out, reference);
                }
                Err(refused) => {
                    let error = why(no_ciphertext(item), refused, at);
                    reply::append(out, &UndecryptedLine { plaintext: "", error, reference });
                }
            }
        });
    })
}

/// How many results of a list there are of each kind, and the room for them in JSON.
fn looked_over<T>(
    items: &[Item<'_>],
    done: &[Result<T, KeyFault>],
    lacks: fn(&Item<'_>) -> Option<&'static str>,
    len: impl Fn(&T) -> usize,
) -> (Failures, usize) {
    let (mut failures, mut size) = (Failures::default(), ROOM);
    for (at, (item, result)) in items.iter().zip(done).enumerate() {
        size += room(str_of(&item.reference));
        match result {
            Ok(made) => {
                failures.succeeded += 1;
                size += len(made);
            }
            Err(refused) => {
                failures.count(refused);
                size += room(&why(lacks(item), refused, at));
            }
        }
    }
    (failures, size)
}

/// What of its input an item has not, where it is encrypted or rewrapped.
fn no_text(item: &Item<'_>) -> Option<&'static str> {
    no_ciphertext(item).filter(|_| item.plaintext.is_none())
}

/// Why an item of a list failed.
fn why(missing: Option<&'static str>, refused: &KeyFault, at: usize) -> String {
    missing.map_or_else(|| text(refused, at), str::to_owned)
}

/// All but the end of what tells a ciphertext.
fn append_encrypted(out: &mut Vec<u8>, made: &Encrypted) {
    reply::append_text(out, r#"{"ciphertext":"#, &made.ciphertext);
    out.extend_from_slice(br#","key_version":"#);
    reply::append(out, &made.key_version);
}

/// The end of a result of a list.
fn append_reference(out: &mut Vec<u8>, reference: &str) {
    out.extend_from_slice(br#","reference":"#);
    reply::append(out, &reference);
    out.push(b'}');
}

/// The core answers as many items as it was given.
fn nothing() -> Failure {
    Failure::Recorded(Error::internal("an operation with one item had no result"))
}

pub(super) fn base64<'t>(text: &'t Option<Text<'_>>) -> Input<'t> {
    Input::Base64(str_of(text))
}

const NO_CIPHERTEXT: &str = "missing ciphertext to decrypt";
const DEFAULT_BITS: i64 = 256;
