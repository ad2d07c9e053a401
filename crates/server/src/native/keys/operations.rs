//! What keys do. The same calls take one item or many; `random` and `hash` need no key.

use axum::{Router, response::Response, routing};
use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_api::{
    Problem,
    keys::{
        Hash, HashMade, KeyBatch, KeyDataKey, KeyDataKeyMade, KeyDecapsulate, KeyDecapsulated, KeyDecrypt,
        KeyDecrypted, KeyEncapsulate, KeyEncapsulated, KeyEncrypt, KeyEncrypted, KeyItemError, KeyItems, KeyMac,
        KeyMacMade, KeyReply, KeyResult, KeyResults, KeyRewrap, KeySign, KeySigned, KeyVerified, KeyVerify,
        KeyVerifyMac, Random, RandomMade,
    },
};
use coffer_core::{
    Batch, DataKey, DataKeyBits, DecryptItem, Decrypted, EncryptItem, Encrypted, Error, HashAlgorithm, HmacVerifyItem,
    Input, Mac, Marshal, Mount, Operation, Reveal, RewrapItem, RsaPadding, Salt, SignItem, SignOptions, Signed,
    Signing, VerifyItem,
};
use zeroize::Zeroizing;

use super::{
    super::call::{Call, Fields, Known, Logical, NoQuery, Sent},
    Asked, hash, hash_or, no_such, parameters, sensitive,
};
use crate::{app::App, vault::tools::Format};

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/hash", routing::post(hash_make))
        .route("/keys/{name}/data-key", routing::post(key_data_key))
        .route("/keys/{name}/decapsulate", routing::post(key_decapsulate))
        .route("/keys/{name}/decrypt", routing::post(key_decrypt))
        .route("/keys/{name}/encapsulate", routing::post(key_encapsulate))
        .route("/keys/{name}/encrypt", routing::post(key_encrypt))
        .route("/keys/{name}/mac", routing::post(key_mac))
        .route("/keys/{name}/rewrap", routing::post(key_rewrap))
        .route("/keys/{name}/sign", routing::post(key_sign))
        .route("/keys/{name}/verify", routing::post(key_verify))
        .route("/keys/{name}/verify-mac", routing::post(key_verify_mac))
        .route("/random", routing::post(random_make))
}

/// Encrypts one message or many.
#[utoipa::path(post, path = "/api/v1/keys/{name}/encrypt", tag = "keys", operation_id = "key_encrypt",
    params(("name" = String, Path)), request_body = KeyEncrypt, security(("token" = [])),
    responses((status = 200, body = KeyReply<KeyEncrypted>), (status = "default", body = Problem)))]
pub(in super::super) async fn key_encrypt(call: Call<String, NoQuery, Sent<KeyEncrypt>>) -> Response {
    let items = items(&call, |item| EncryptItem {
        plaintext: Input::Base64(item.plaintext.expose()),
        context: base64(&item.context),
        associated_data: base64(&item.associated_data),
        key_version: version(item.key_version),
    });
    let done = each(&call, "encrypt", parameters::batch, Ok(()), encrypted, async |mount, (), known| {
        call.caller.key_encrypt(mount, &call.path, &items, known).await
    });
    let done = done.await;
    call.with(done).await
}

/// Decrypts one ciphertext or many.
#[utoipa::path(post, path = "/api/v1/keys/{name}/decrypt", tag = "keys", operation_id = "key_decrypt",
    params(("name" = String, Path)), request_body = KeyDecrypt, security(("token" = [])),
    responses((status = 200, body = KeyReply<KeyDecrypted>), (status = "default", body = Problem)))]
pub(in super::super) async fn key_decrypt(call: Call<String, NoQuery, Sent<KeyDecrypt>>) -> Response {
    let items = items(&call, |item| DecryptItem {
        ciphertext: &item.ciphertext,
        context: base64(&item.context),
        associated_data: base64(&item.associated_data),
    });
    let shown = |Decrypted { plaintext, key_version }| KeyDecrypted { plaintext: sensitive(plaintext), key_version };
    let done = each(&call, "decrypt", parameters::batch, Ok(()), shown, async |mount, (), known| {
        call.caller.key_decrypt(mount, &call.path, &items, known).await
    });
    let done = done.await;
    call.with(done).await
}

/// Encrypts anew what ciphertexts hold, without showing it.
#[utoipa::path(post, path = "/api/v1/keys/{name}/rewrap", tag = "keys", operation_id = "key_rewrap",
    params(("name" = String, Path)), request_body = KeyRewrap, security(("token" = [])),
    responses((status = 200, body = KeyReply<KeyEncrypted>), (status = "default", body = Problem)))]
pub(in super::super) async fn key_rewrap(call: Call<String, NoQuery, Sent<KeyRewrap>>) -> Response {
    let items = items(&call, |item| RewrapItem {
        ciphertext: &item.ciphertext,
        context: base64(&item.context),
        associated_data: base64(&item.associated_data),
        key_version: version(item.key_version),
    });
    let done = each(&call, "rewrap", parameters::batch, Ok(()), encrypted, async |mount, (), known| {
        call.caller.key_rewrap(mount, &call.path, &items, known).await
    });
    let done = done.await;
    call.with(done).await
}

/// Signs one message or many.
#[utoipa::path(post, path = "/api/v1/keys/{name}/sign", tag = "keys", operation_id = "key_sign",
    params(("name" = String, Path)), request_body = KeySign, security(("token" = [])),
    responses((status = 200, body = KeyReply<KeySigned>), (status = "default", body = Problem)))]
pub(in super::super) async fn key_sign(call: Call<String, NoQuery, Sent<KeySign>>) -> Response {
    let items =
        items(&call, |item| SignItem { input: Input::Base64(item.input.expose()), context: base64(&item.context) });
    let how = &call.body.value.options;
    let names = [&how.hash, &how.padding, &how.salt_length, &how.encoding];
    let how =
        sign_options(how.prehashed, names).map(|options| Signing { key_version: version(how.key_version), options });
    let shown = |made: Signed| KeySigned {
        signature: made.signature,
        key_version: made.key_version,
        public_key: made.public_key.map(|raw| STANDARD.encode(raw)),
    };
    let done = each(&call, "sign", parameters::signing, how, shown, async |mount, how, known| {
        call.caller.key_sign(mount, &call.path, &how, &items, known).await
    });
    let done = done.await;
    call.with(done).await
}

/// Checks one signature or many.
#[utoipa::path(post, path = "/api/v1/keys/{name}/verify", tag = "keys", operation_id = "key_verify",
    params(("name" = String, Path)), request_body = KeyVerify, security(("token" = [])),
    responses((status = 200, body = KeyReply<KeyVerified>), (status = "default", body = Problem)))]
pub(in super::super) async fn key_verify(call: Call<String, NoQuery, Sent<KeyVerify>>) -> Response {
    let items = items(&call, |item| VerifyItem {
        input: Input::Base64(item.input.expose()),
        context: base64(&item.context),
        signature: &item.signature,
    });
    let how = &call.body.value.options;
    let how = sign_options(how.prehashed, [&how.hash, &how.padding, &how.salt_length, &how.encoding]);
    let done = each(&call, "verify", parameters::signing, how, verified, async |mount, how, known| {
        call.caller.key_verify(mount, &call.path, &how, &items, known).await
    });
    let done = done.await;
    call.with(done).await
}

/// Authenticates one message or many.
#[utoipa::path(post, path = "/api/v1/keys/{name}/mac", tag = "keys", operation_id = "key_mac",
    params(("name" = String, Path)), request_body = KeyMac, security(("token" = [])),
    responses((status = 200, body = KeyReply<KeyMacMade>), (status = "default", body = Problem)))]
pub(in super::super) async fn key_mac(call: Call<String, NoQuery, Sent<KeyMac>>) -> Response {
    let items = items(&call, |item| Input::Base64(item.input.expose()));
    let how = &call.body.value.options;
    let shown = |Mac { hmac, key_version }| KeyMacMade { mac: hmac, key_version };
    let done = each(&call, "hmac", parameters::mac, hash(how.hash.as_deref()), shown, async |mount, hash, known| {
        call.caller.key_hmac(mount, &call.path, hash, version(how.key_version), &items, known).await
    });
    let done = done.await;
    call.with(done).await
}

/// Checks one MAC or many.
#[utoipa::path(post, path = "/api/v1/keys/{name}/verify-mac", tag = "keys", operation_id = "key_verify_mac",
    params(("name" = String, Path)), request_body = KeyVerifyMac, security(("token" = [])),
    responses((status = 200, body = KeyReply<KeyVerified>), (status = "default", body = Problem)))]
pub(in super::super) async fn key_verify_mac(call: Call<String, NoQuery, Sent<KeyVerifyMac>>) -> Response {
    let items = items(&call, |item| HmacVerifyItem { input: Input::Base64(item.input.expose()), hmac: &item.mac });
    let how = hash(call.body.value.options.hash.as_deref());
    let done = each(&call, "verify", parameters::verify_mac, how, verified, async |mount, hash, known| {
        call.caller.key_hmac_verify(mount, &call.path, hash, &items, known).await
    });
    let done = done.await;
    call.with(done).await
}

/// Makes a key for somebody else's encryption.
#[utoipa::path(post, path = "/api/v1/keys/{name}/data-key", tag = "keys", operation_id = "key_data_key",
    params(("name" = String, Path)), request_body = KeyDataKey, security(("token" = [])),
    responses((status = 200, body = KeyDataKeyMade), (status = "default", body = Problem)))]
pub(in super::super) async fn key_data_key(call: Call<String, NoQuery, Sent<KeyDataKey>>) -> Response {
    let asked = &call.body.value;
    let reveal = if asked.plaintext { Reveal::Plain } else { Reveal::Wrapped };
    let bits = DataKeyBits::from_bits(asked.bits.unwrap_or(DEFAULT_BITS).into());
    let bits = bits.ok_or_else(|| Error::invalid("a data key has 128, 256 or 512 bits"));
    let below = format!("datakey/{}/{}", reveal.name(), call.path);
    let made = Asked::to_change(&call, below, parameters::data_key).run(bits, async |mount, bits, known| {
        let wanted = DataKey {
            reveal,
            bits,
            context: base64(&asked.context),
            associated_data: base64(&asked.associated_data),
            key_version: version(asked.key_version),
        };
        let made = call.caller.key_data_key(mount, &call.path, wanted, known).await??;
        Ok(KeyDataKeyMade {
            ciphertext: made.ciphertext,
            key_version: made.key_version,
            plaintext: made.plaintext.map(sensitive),
        })
    });
    let made = made.await;
    call.with(made).await
}

/// Makes a shared secret, and a capsule of it that the key's secret part opens.
#[utoipa::path(post, path = "/api/v1/keys/{name}/encapsulate", tag = "keys", operation_id = "key_encapsulate",
    params(("name" = String, Path)), request_body = KeyEncapsulate, security(("token" = [])),
    responses((status = 200, body = KeyEncapsulated), (status = "default", body = Problem)))]
pub(in super::super) async fn key_encapsulate(call: Call<String, NoQuery, Sent<KeyEncapsulate>>) -> Response {
    let asked = Asked::to_change(&call, format!("keys/{}/encapsulate", call.path), parameters::as_sent);
    let made = asked.run(Ok(()), async |mount, (), known| {
        let wanted = version(call.body.value.key_version);
        let made = call.caller.key_encapsulate(mount, &call.path, wanted, known).await?;
        Ok(KeyEncapsulated {
            shared_secret: sensitive(made.shared),
            ciphertext: made.ciphertext,
            key_version: made.key_version,
        })
    });
    let made = made.await;
    call.with(made).await
}

/// Opens a capsule.
#[utoipa::path(post, path = "/api/v1/keys/{name}/decapsulate", tag = "keys", operation_id = "key_decapsulate",
    params(("name" = String, Path)), request_body = KeyDecapsulate, security(("token" = [])),
    responses((status = 200, body = KeyDecapsulated), (status = "default", body = Problem)))]
pub(in super::super) async fn key_decapsulate(call: Call<String, NoQuery, Sent<KeyDecapsulate>>) -> Response {
    let asked = Asked::to_change(&call, format!("keys/{}/decapsulate", call.path), parameters::as_sent);
    let opened = asked.run(Ok(()), async |mount, (), known| {
        let opened = call.caller.key_decapsulate(mount, &call.path, &call.body.value.ciphertext, known).await?;
        Ok(KeyDecapsulated { shared_secret: sensitive(opened) })
    });
    let opened = opened.await;
    call.with(opened).await
}

/// Random bytes.
#[utoipa::path(post, path = "/api/v1/random", tag = "keys", operation_id = "random",
    request_body = Random, security(("token" = [])),
    responses((status = 200, body = RandomMade), (status = "default", body = Problem)))]
pub(in super::super) async fn random_make(call: Call<(), NoQuery, Sent<Random>>) -> Response {
    let made = async {
        let (asked, known) = (&call.body.value, call.body.known(parameters::as_sent));
        let format = match format(asked.format.as_deref(), Format::Base64) {
            Ok(format) => format,
            Err(error) => return Err(call.caller.refuse_with(Operation::Update, RANDOM, &known, error).await),
        };
        let bytes = usize::try_from(asked.bytes).unwrap_or(usize::MAX);
        let random = call.caller.random(RANDOM, bytes, &known).await?;
        Ok(RandomMade { random: sensitive(format.text(&random)) })
    };
    let made = made.await;
    call.with(made).await
}

/// The hash of what is sent.
#[utoipa::path(post, path = "/api/v1/hash", tag = "keys", operation_id = "hash",
    request_body = Hash, security(("token" = [])),
    responses((status = 200, body = HashMade), (status = "default", body = Problem)))]
pub(in super::super) async fn hash_make(call: Call<(), NoQuery, Sent<Hash>>) -> Response {
    let made = async {
        let (asked, known) = (&call.body.value, call.body.known(parameters::as_sent));
        let parsed = || {
            let format = format(asked.format.as_deref(), Format::Hex)?;
            let algorithm = hash_or(asked.algorithm.as_deref(), HashAlgorithm::Sha2_256)?;
            if algorithm == HashAlgorithm::Sha1 {
                return Err(Error::invalid("sha1 is broken: it is there for old signatures alone"));
            }
            let input = STANDARD.decode(asked.input.expose()).map(Zeroizing::new);
            Ok((format, algorithm, input.map_err(|_| Error::invalid("input is no base64 text"))?))
        };
        let (format, algorithm, input) = match parsed() {
            Ok(parsed) => parsed,
            Err(error) => return Err(call.caller.refuse_with(Operation::Update, HASH, &known, error).await),
        };
        let sum = call.caller.hash(HASH, algorithm, &input, &known).await?;
        Ok(HashMade { hash: format.text(&sum).as_str().to_owned() })
    };
    let made = made.await;
    call.with(made).await
}

/// The items of a request, as the core takes them.
fn items<'c, I, O, T>(call: &'c Call<String, NoQuery, Sent<KeyBatch<I, O>>>, item: fn(&'c I) -> T) -> Vec<T> {
    call.body.value.items.as_slice().iter().map(item).collect()
}

/// Does it for one item or many: one result, or one for each.
async fn each<I, O, P, T, R>(
    call: &Call<String, NoQuery, Sent<KeyBatch<I, O>>>,
    verb: &str,
    logical: Logical,
    how: Result<P, Error>,
    shown: fn(T) -> R,
    run: impl AsyncFnOnce(&Mount, P, &Known<'_>) -> Result<Batch<T>, Error>,
) -> Result<KeyReply<R>, Error> {
    let asked = Asked::to_change(call, format!("{verb}/{}", call.path), logical);
    let mut results = asked.run(how, run).await?.into_iter();
    match &call.body.value.items {
        KeyItems::One(_) => {
            let result = results.next().ok_or_else(|| Error::internal("one item has no result"))?;
            Ok(KeyReply::One(shown(result?)))
        }
        KeyItems::Many { .. } => {
            let items = results.map(|result| match result {
                Ok(done) => KeyResult::Done(shown(done)),
                Err(fault) => {
                    let error = Error::from(fault);
                    error.log_cause(&call.reply.id);
                    KeyResult::Failed { error: KeyItemError { code: error.code(), message: error.public().to_owned() } }
                }
            });
            Ok(KeyReply::Many(KeyResults { items: items.collect() }))
        }
    }
}

fn encrypted(Encrypted { ciphertext, key_version }: Encrypted) -> KeyEncrypted {
    KeyEncrypted { ciphertext, key_version }
}

fn verified(valid: bool) -> KeyVerified {
    KeyVerified { valid }
}

fn base64(text: &Option<String>) -> Input<'_> {
    text.as_deref().map_or(Input::EMPTY, Input::Base64)
}

/// 0 stands for the primary one.
fn version(asked: Option<u32>) -> i64 {
    asked.unwrap_or(0).into()
}

/// How to sign, from the names of hash, padding, salt and encoding.
fn sign_options(prehashed: bool, names: [&Option<String>; 4]) -> Result<SignOptions, Error> {
    let [named, padding, salt, encoding] = names.map(Option::as_deref);
    let hash = match named {
        Some("none") => None,
        named => Some(hash_or(named, HashAlgorithm::Sha2_256)?),
    };
    let salt = match salt {
        None | Some("auto") => Salt::Auto,
        Some("hash") => Salt::Hash,
        Some(bytes) => Salt::Bytes(bytes.parse().map_err(|_| no_such("length of a salt", bytes))?),
    };
    let rsa = match padding {
        None | Some("pss") => RsaPadding::Pss(salt),
        Some(parameters::PKCS1) => RsaPadding::Pkcs1v15,
        Some(other) => return Err(no_such("padding", other)),
    };
    let marshal = match encoding {
        None | Some("asn1") => Marshal::Der,
        Some("jws") => Marshal::Jws,
        Some(other) => return Err(no_such("encoding", other)),
    };
    if hash.is_none() && !(prehashed && rsa == RsaPadding::Pkcs1v15) {
        return Err(Error::invalid("the hash none is for a prehashed input under the padding pkcs1"));
    }
    Ok(SignOptions { hash, prehashed, rsa, marshal })
}

fn format(name: Option<&str>, default: Format) -> Result<Format, Error> {
    name.map_or(Ok(default), |name| Format::parse(name).ok_or_else(|| no_such("format", name)))
}

const DEFAULT_BITS: u16 = 256;
/// As policies know it.
const HASH: &str = "sys/tools/hash";
const RANDOM: &str = "sys/tools/random";
