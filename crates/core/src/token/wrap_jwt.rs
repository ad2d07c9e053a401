//! Wrapping tokens as JWTs: the token inside claims of this store's own, signed, for whoever wants to see from outside
//! where and how long it is good.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use coffer_api::{Code, Sensitive};
use coffer_crypto::{
    hash,
    keys::{Algorithm, KeyMaterial, Marshal, PreparedKey, SignOptions},
};
use coffer_storage::Expect;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::wrap::Wrapped;
use crate::{
    Context, Core, Error,
    active::Active,
    caller::{anonymous, log_refusal},
    codec::{self, Persisted},
    commit::{Edit, Urgency},
    keys,
    record::Record,
};

/// How a wrapping token is handed out.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum WrapForm {
    /// As a JWT that names the address to unwrap it at.
    Jwt {
        /// Of the server; empty where it is not known.
        address: String,
    },
    /// As it is.
    #[default]
    Plain,
}

/// The key, as it is stored: base64 of its PKCS #8 form.
#[derive(Deserialize, Serialize)]
struct WrappingKeyRow {
    pkcs8: Sensitive<String>,
}

impl Persisted for WrappingKeyRow {}

#[derive(Serialize)]
struct Claims<'a> {
    accessor: &'a str,
    addr: &'a str,
    exp: i64,
    iat: i64,
    jti: &'a str,
    nbf: i64,
    r#type: &'a str,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
}

/// What is read of the claims of a JWT whose signature holds.
#[derive(Deserialize)]
struct Held {
    jti: Sensitive<String>,
    r#type: String,
}

impl Core {
    /// The wrapping token in what a request has in a token's place: that itself, or out of a JWT.
    ///
    /// # Errors
    /// [`Code::Denied`] for a JWT that is not this store's; it is recorded.
    pub async fn wrapping_token(&self, cx: &Context, token: Sensitive<String>) -> Result<Sensitive<String>, Error> {
        if !is_jwt(token.expose()) {
            return Ok(token);
        }
        let active = self.active()?;
        match active.wrapping_token_in(token.expose()).await {
            Ok(token) => Ok(Sensitive::from(token.as_str())),
            Err(error) => {
                let record = Record::of_request("wrapping.lookup", cx.path.clone(), anonymous(), cx);
                Err(log_refusal(&active, record, error).await)
            }
        }
    }
}

impl Active {
    /// The wrapping token in a text that may be a JWT.
    ///
    /// # Errors
    /// [`Code::Denied`] for a JWT that is not this store's.
    pub(super) async fn wrapping_token_in(&self, text: &str) -> Result<Zeroizing<String>, Error> {
        if !is_jwt(text) {
            return Ok(Zeroizing::new(text.to_owned()));
        }
        let unparsed = || refused("could not be parsed");
        let (signed, signature) = text.rsplit_once('.').ok_or_else(unparsed)?;
        let (header, claims) = signed.split_once('.').ok_or_else(unparsed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map(Zeroizing::new).map_err(|_| unparsed());
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| unparsed())?;
        let (claims, signature) = (decode(claims)?, decode(signature)?);
        if header.alg != ALGORITHM {
            return Err(unparsed());
        }
        let unsigned = || refused("signature could not be validated");
        // Where there is no key yet there is no signature either.
        let key = self.known_wrapping_key().await?.ok_or_else(unsigned)?;
        if !key.verify(&es512(), signed.as_bytes(), &signature).map_err(|_| unsigned())? {
            return Err(unsigned());
        }
        let held: Held = serde_json::from_slice(&claims).map_err(|_| unparsed())?;
        if held.r#type != TYPE {
            return Err(Error::new(Code::Denied, "error validating wrapping token: unexpected type claim"));
        }
        Ok(Zeroizing::new(held.jti.expose().clone()))
    }

    /// A wrapping token as a JWT.
    pub(super) async fn wrapping_jwt(
        self: &Arc<Self>,
        wrapped: &Wrapped,
        created_ms: i64,
        accessor: Option<&str>,
        address: &str,
    ) -> Result<Sensitive<String>, Error> {
        let key = self.wrapping_key().await?;
        let issued = created_ms.div_euclid(1000);
        let claims = Claims {
            accessor: accessor.unwrap_or_default(),
            addr: address,
            exp: issued.saturating_add(i64::try_from(wrapped.ttl).unwrap_or(i64::MAX)),
            iat: issued,
            jti: wrapped.token.expose(),
            nbf: issued.saturating_sub(LEEWAY),
            r#type: TYPE,
        };
        let claims = Zeroizing::new(serde_json::to_vec(&claims).map_err(Error::internal)?);
        let mut jwt = Zeroizing::new(URL_SAFE_NO_PAD.encode(HEADER));
        jwt.push('.');
        jwt.push_str(&Zeroizing::new(URL_SAFE_NO_PAD.encode(claims.as_slice())));
        let signature = key.sign(&es512(), jwt.as_bytes()).map_err(Error::internal)?;
        jwt.push('.');
        jwt.push_str(&URL_SAFE_NO_PAD.encode(signature));
        Ok(Sensitive::from(jwt.as_str()))
    }

    /// The key, made where there is none yet.
    async fn wrapping_key(self: &Arc<Self>) -> Result<Arc<PreparedKey>, Error> {
        if let Some(key) = self.known_wrapping_key().await? {
            return Ok(key);
        }
        let guard = self.locks.lock(&[keys::WRAPPING_KEY]).await;
        if let Some(key) = self.known_wrapping_key().await? {
            return Ok(key);
        }
        let material = KeyMaterial::generate(CURVE).map_err(Error::internal)?;
        let pkcs8 =
            Zeroizing::new(URL_SAFE_NO_PAD.encode(material.export_pkcs8().map_err(Error::internal)?.as_slice()));
        let key = material.prepare().map_err(Error::internal)?;
        let row = WrappingKeyRow { pkcs8: Sensitive::from(pkcs8.as_str()) };
        let mut edit = Edit::under(guard);
        edit.put(keys::WRAPPING_KEY.to_owned(), codec::encode(&row)?, Some(Expect::Absent));
        self.commit(edit, Record::system("wrapping.make_key"), Urgency::Ordinary).await?.spend();
        Ok(Arc::clone(self.wrapping_key.get_or_init(|| Arc::new(key))))
    }

    async fn known_wrapping_key(&self) -> Result<Option<Arc<PreparedKey>>, Error> {
        if let Some(key) = self.wrapping_key.get() {
            return Ok(Some(Arc::clone(key)));
        }
        let Some(found) = self.row::<WrappingKeyRow>(keys::WRAPPING_KEY).await? else { return Ok(None) };
        let damaged = |error| codec::damaged(keys::WRAPPING_KEY, error);
        let decoded = URL_SAFE_NO_PAD.decode(found.value.pkcs8.expose()).map(Zeroizing::new);
        let pkcs8 = decoded.map_err(|error| codec::damaged(keys::WRAPPING_KEY, error))?;
        let material = KeyMaterial::import(CURVE, &pkcs8).map_err(damaged)?;
        let key = material.prepare().map_err(damaged)?;
        Ok(Some(Arc::clone(self.wrapping_key.get_or_init(|| Arc::new(key)))))
    }
}

/// Whether a token's text is a JWT: three parts, and none of the prefixes that tokens have.
fn is_jwt(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() > 3
        && bytes.iter().filter(|byte| **byte == b'.').count() == 2
        && bytes.get(1) != Some(&b'.')
        && bytes.get(3) != Some(&b'.')
}

fn refused(why: &str) -> Error {
    Error::new(Code::Denied, format!("error validating wrapping token: wrapping token {why}"))
}

/// How JWTs are signed (RFC 7518): by P-521 with SHA-512, as two numbers of 66 bytes.
fn es512() -> SignOptions {
    SignOptions { hash: Some(hash::Algorithm::Sha2_512), marshal: Marshal::Jws, ..SignOptions::default() }
}

const CURVE: Algorithm = Algorithm::EcdsaP521;
const ALGORITHM: &str = "ES512";
const HEADER: &str = r#"{"alg":"ES512","typ":"JWT"}"#;
const TYPE: &str = "wrapping";
/// Seconds before its making from which a JWT is good, for clocks that differ.
const LEEWAY: i64 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jwts_are_told_from_tokens() {
        for jwt in ["abcd.b.c", "xyJ0.xyJ0.", "ab.d.c"] {
            assert!(is_jwt(jwt), "{jwt}");
        }
        for token in ["", "s.a", "hvs.a.b", "s.b.c", "root", "abcd.b", "abcd.b.c.d", "hvb.a.b"] {
            assert!(!is_jwt(token), "{token}");
        }
    }
}
