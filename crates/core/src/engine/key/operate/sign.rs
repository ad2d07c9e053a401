//! Signing and verifying.

use coffer_crypto::keys::{Algorithm, Marshal, PreparedKey, SignOptions, Usage, is_ecdsa_der};
use zeroize::Zeroizing;

use super::{
    Batch, CompromisedGrant, Derivation, Derived, Fault, KeyFault, KeyOperation, TextFault, TextKind, Versions,
    check_size,
    cipher::require_private,
    fault::InputField,
    hashed_path,
    input::{Input, decode, decode_url},
    loaded::LoadedKey,
    of_itself,
    pace::nanos,
    requested, supported,
    text::{Text, signature_text},
    version_of,
};
use crate::{
    Caller, Error,
    mount::Mount,
    policy::{Operation, Parameters},
    record::Record,
};

/// How to sign.
#[derive(Clone, Copy)]
pub struct Signing {
    /// 0 = the primary one.
    pub key_version: i64,
    /// Hash, padding and form.
    pub options: SignOptions,
}

/// A message to be signed.
#[derive(Clone, Copy, Default)]
pub struct SignItem<'a> {
    /// The message, or its hash.
    pub input: Input<'a>,
    /// Chooses the key of a derived one.
    pub context: Input<'a>,
}

/// A signature.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signed {
    /// `vault:v<version>:` and base64 (base64 for URLs without padding, where the form is JWS's).
    pub signature: String,
    /// That signed.
    pub key_version: u32,
    /// The public key of a derived one: the raw bytes.
    pub public_key: Option<Vec<u8>>,
}

/// A signature to be verified.
#[derive(Clone, Copy, Default)]
pub struct VerifyItem<'a> {
    /// The message, or its hash.
    pub input: Input<'a>,
    /// As it was signed with.
    pub context: Input<'a>,
    /// As [`Signed::signature`].
    pub signature: &'a str,
}

impl Caller {
    /// Signs each item.
    ///
    /// # Errors
    /// As [`Caller::key_encrypt`], with update on `{mount}sign/{name}`.
    pub async fn key_sign(
        &self,
        mount: &Mount,
        name: &str,
        how: &Signing,
        items: &[SignItem<'_>],
        parameters: &dyn Parameters,
    ) -> Result<Batch<Signed>, Error> {
        self.key_sign_at(mount, (name, ""), how, items, parameters).await
    }

    /// As [`Caller::key_sign`], asked for with the name of a hash at the end of the path, which policies see.
    ///
    /// # Errors
    /// As there.
    pub async fn key_sign_at(
        &self,
        mount: &Mount,
        (name, hash): (&str, &str),
        how: &Signing,
        items: &[SignItem<'_>],
        parameters: &dyn Parameters,
    ) -> Result<Batch<Signed>, Error> {
        let mut record = self.record("key.sign", hashed_path(mount, "sign", name, hash));
        let result = self.sign(mount, name, how, items, parameters, &mut record).await;
        self.settled(record, result).await
    }

    /// Verifies each item's signature. One that does not hold is `false`; one that is none is a fault.
    ///
    /// # Errors
    /// As [`Caller::key_encrypt`], with update on `{mount}verify/{name}`.
    pub async fn key_verify(
        &self,
        mount: &Mount,
        name: &str,
        options: &SignOptions,
        items: &[VerifyItem<'_>],
        parameters: &dyn Parameters,
    ) -> Result<Batch<bool>, Error> {
        self.key_verify_at(mount, (name, ""), options, items, parameters).await
    }

    /// As [`Caller::key_verify`], asked for with the name of a hash at the end of the path, which policies see.
    ///
    /// # Errors
    /// As there.
    pub async fn key_verify_at(
        &self,
        mount: &Mount,
        (name, hash): (&str, &str),
        options: &SignOptions,
        items: &[VerifyItem<'_>],
        parameters: &dyn Parameters,
    ) -> Result<Batch<bool>, Error> {
        let mut record = self.record("key.verify", hashed_path(mount, "verify", name, hash));
        let result = self.verify(mount, name, options, items, parameters, &mut record).await;
        self.settled(record, result).await
    }

    async fn sign(
        &self,
        mount: &Mount,
        name: &str,
        how: &Signing,
        items: &[SignItem<'_>],
        parameters: &dyn Parameters,
        record: &mut Record,
    ) -> Result<Batch<Signed>, Error> {
        let key = self.granted_key(mount, name, Operation::Update, parameters, record).await?;
        check_size(items.len())?;
        let mut versions = Versions::of(&key);
        // All items are signed by one version; why it cannot is each one's result.
        let number = signing_version(&key, how.key_version);
        if let Ok(number) = number {
            versions.need(self, &key, number).await?;
            record.version = Some(u64::from(number));
        }
        let algorithm = key.entry.algorithm;
        let cost = |item: &SignItem<'_>| nanos(algorithm, KeyOperation::Sign, item.input.len());
        let (mut input, mut context, mut derived) = (Zeroizing::default(), Zeroizing::default(), Derived::default());
        let sign = |item: &SignItem<'_>| {
            let input = read_input(item.input, &mut input)?;
            let number = signing_version(&key, how.key_version)?;
            let version = versions.loaded(number)?;
            require_private(version, KeyOperation::Sign)?;
            let context = read_context(&item.context, &mut context)?;
            let signer = match key.entry.derived {
                true => derived.key(version, context, Derivation::Ordinary)?,
                false => of_itself(version, context, self.cx.dialect)?,
            };
            let signature = signer
                .sign(&how.options, input)
                .map_err(|error| Fault::of_crypto(error, KeyOperation::Sign, algorithm))?;
            Ok(Signed {
                signature: signature_text(number, how.options.marshal, &signature),
                key_version: number,
                public_key: key.entry.derived.then(|| raw_public(signer)).flatten(),
            })
        };
        Ok(self.active.paced(items, cost, sign).await)
    }

    async fn verify(
        &self,
        mount: &Mount,
        name: &str,
        options: &SignOptions,
        items: &[VerifyItem<'_>],
        parameters: &dyn Parameters,
        record: &mut Record,
    ) -> Result<Batch<bool>, Error> {
        let key = self.granted_key(mount, name, Operation::Update, parameters, record).await?;
        check_size(items.len())?;
        let mut versions = Versions::of(&key);
        let mut grant = CompromisedGrant::new(self, mount, &key.entry.name);
        let named = items.iter().filter_map(|item| verifying_version(&key, item.signature, &mut grant).ok());
        versions.need_each(self, &key, named.map(|(number, _)| number), record).await?;
        let algorithm = key.entry.algorithm;
        let cost = |item: &VerifyItem<'_>| nanos(algorithm, KeyOperation::Verify, item.input.len());
        let (mut input, mut context, mut derived) = (Zeroizing::default(), Zeroizing::default(), Derived::default());
        let mut signature = Zeroizing::default();
        let verify = |item: &VerifyItem<'_>| {
            let input = read_input(item.input, &mut input)?;
            let (number, encoded) = verifying_version(&key, item.signature, &mut grant)?;
            let signature = read_signature(encoded, options.marshal, &mut signature)?;
            let version = versions.loaded(number)?;
            let context = read_context(&item.context, &mut context)?;
            let verifier = match key.entry.derived {
                true => derived.key(version, context, Derivation::Ordinary)?,
                false => of_itself(version, context, self.cx.dialect)?,
            };
            let valid = verifier.verify(options, input, signature);
            let valid = valid.map_err(|error| Fault::of_crypto(error, KeyOperation::Verify, algorithm))?;
            let is_der = options.marshal == Marshal::Der && is_ecdsa(algorithm);
            match valid || !is_der || is_ecdsa_der(signature) {
                true => Ok(valid),
                false => Err(Fault::Parameters {
                    native: "invalid signature: it is no DER of two numbers",
                    vault: "supplied signature is invalid",
                }),
            }
        };
        Ok(self.active.paced(items, cost, verify).await)
    }
}

fn signing_version(key: &LoadedKey, asked: i64) -> Result<u32, KeyFault> {
    supported(key.entry.algorithm, Usage::Sign, KeyOperation::Sign)?;
    let asked = requested(asked, KeyOperation::Sign)?;
    if asked.is_some_and(|asked| asked > key.entry.latest) {
        return Err(Fault::Parameters {
            native: "the key has no such version yet",
            vault: "requested version for signing is higher than the latest key version",
        });
    }
    if asked.is_some_and(|asked| asked < key.entry.min_encryption) {
        return Err(Fault::Parameters {
            native: "the version is below the key's min_encryption_version",
            vault: "requested version for signing is less than the minimum encryption key version",
        });
    }
    Ok(key.entry.for_protect(Usage::Sign, asked)?.number)
}

/// The version that a signature names, if it may verify, and what there is to decode.
fn verifying_version<'t>(
    key: &LoadedKey,
    signature: &'t str,
    grant: &mut CompromisedGrant<'_>,
) -> Result<(u32, &'t str), KeyFault> {
    supported(key.entry.algorithm, Usage::Sign, KeyOperation::Verify)?;
    let text = Text::parse(TextKind::Signature, signature)?;
    let number = version_of(&text, TextKind::Signature, key)?;
    let (_, permit) = key.entry.for_process(Usage::Sign, number)?;
    grant.check(permit)?;
    Ok((number, text.encoded))
}

fn read_input<'b>(input: Input<'b>, buffer: &'b mut Zeroizing<Vec<u8>>) -> Result<&'b [u8], KeyFault> {
    match input {
        Input::Raw(bytes) => Ok(bytes),
        Input::Base64(text) => decode(text, buffer).map_err(|at| Fault::Base64 { field: InputField::Input, at }),
    }
}

fn read_context<'b>(context: &'b Input<'b>, buffer: &'b mut Zeroizing<Vec<u8>>) -> Result<&'b [u8], KeyFault> {
    context.bytes(buffer).map_err(|_| Fault::Parameters {
        native: "context is no base64 text",
        vault: "failed to base64-decode context",
    })
}

fn read_signature<'b>(
    encoded: &str,
    marshal: Marshal,
    buffer: &'b mut Zeroizing<Vec<u8>>,
) -> Result<&'b [u8], KeyFault> {
    let malformed = |at| Fault::Text { kind: TextKind::Signature, fault: TextFault::Base64 { at } };
    match marshal {
        Marshal::Der => decode(encoded, buffer).map_err(malformed),
        Marshal::Jws => decode_url(encoded, buffer).ok_or(malformed(0)),
    }
}

fn is_ecdsa(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::EcdsaP256 | Algorithm::EcdsaP384 | Algorithm::EcdsaP521)
}

fn raw_public(key: &PreparedKey) -> Option<Vec<u8>> {
    key.public().map(|public| public.raw().to_vec())
}
