//! Encapsulation: a shared secret for who has the public key, and its way back.

use coffer_crypto::keys::Usage;
use zeroize::Zeroizing;

use super::{
    CompromisedGrant, Fault, KeyFault, KeyOperation, TextFault, TextKind,
    cipher::require_private,
    input::decode,
    requested, supported,
    text::{Text, base64, text},
    version_of,
};
use crate::{
    Caller, Error,
    mount::Mount,
    policy::{Operation, Parameters},
    record::Record,
};

/// A shared secret and its capsule.
pub struct Encapsulation {
    /// 32 bytes in base64; wiped on drop.
    pub shared: Zeroizing<String>,
    /// `vault:v<version>:` and base64.
    pub ciphertext: String,
    /// Whose public key it is for.
    pub key_version: u32,
}

impl Caller {
    /// Makes a shared secret and encapsulates it under the key.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `{mount}keys/{name}/encapsulate`;
    /// [`coffer_api::Code::NotFound`] without such a key; what goes against its use.
    pub async fn key_encapsulate(
        &self,
        mount: &Mount,
        name: &str,
        key_version: i64,
        parameters: &dyn Parameters,
    ) -> Result<Encapsulation, Error> {
        let mut record = self.record("key.encapsulate", format!("{}keys/{name}/encapsulate", mount.path));
        let made = self.encapsulate(mount, name, key_version, parameters, &mut record).await;
        self.one(record, made).await
    }

    /// Opens a capsule: the shared secret in base64.
    ///
    /// # Errors
    /// As [`Caller::key_encapsulate`], with update on `{mount}keys/{name}/decapsulate`. A capsule that was altered gives
    /// another secret, as these mechanisms have it.
    pub async fn key_decapsulate(
        &self,
        mount: &Mount,
        name: &str,
        ciphertext: &str,
        parameters: &dyn Parameters,
    ) -> Result<Zeroizing<String>, Error> {
        let mut record = self.record("key.decapsulate", format!("{}keys/{name}/decapsulate", mount.path));
        let opened = self.decapsulate(mount, name, ciphertext, parameters, &mut record).await;
        self.one(record, opened).await
    }

    async fn encapsulate(
        &self,
        mount: &Mount,
        name: &str,
        key_version: i64,
        parameters: &dyn Parameters,
        record: &mut Record,
    ) -> Result<Result<Encapsulation, KeyFault>, Error> {
        const OPERATION: KeyOperation = KeyOperation::Encapsulate;
        let key = self.granted_key(mount, name, Operation::Update, parameters, record).await?;
        let algorithm = key.entry.algorithm;
        let number = || -> Result<u32, KeyFault> {
            supported(algorithm, Usage::Encapsulate, OPERATION)?;
            let asked = requested(key_version, OPERATION)?;
            Ok(key.entry.for_protect(Usage::Encapsulate, asked)?.number)
        };
        let number = match number() {
            Ok(number) => number,
            Err(fault) => return Ok(Err(fault)),
        };
        record.version = Some(u64::from(number));
        let version = key.version(&self.active, number).await?;
        let made = version.key.encapsulate().map_err(|error| Fault::of_crypto(error, OPERATION, algorithm));
        Ok(made.map(|made| Encapsulation {
            shared: base64(&made.shared),
            ciphertext: text(number, &made.ciphertext),
            key_version: number,
        }))
    }

    async fn decapsulate(
        &self,
        mount: &Mount,
        name: &str,
        ciphertext: &str,
        parameters: &dyn Parameters,
        record: &mut Record,
    ) -> Result<Result<Zeroizing<String>, KeyFault>, Error> {
        const OPERATION: KeyOperation = KeyOperation::Decapsulate;
        let key = self.granted_key(mount, name, Operation::Update, parameters, record).await?;
        let algorithm = key.entry.algorithm;
        let mut grant = CompromisedGrant::new(self, mount, name);
        let mut usable = || -> Result<(u32, &str), KeyFault> {
            supported(algorithm, Usage::Encapsulate, OPERATION)?;
            let text = Text::parse(TextKind::Ciphertext, ciphertext)?;
            let number = version_of(&text, TextKind::Ciphertext, &key)?;
            let (_, permit) = key.entry.for_process(Usage::Encapsulate, number)?;
            grant.check(permit)?;
            Ok((number, text.encoded))
        };
        let (number, encoded) = match usable() {
            Ok(usable) => usable,
            Err(fault) => return Ok(Err(fault)),
        };
        record.version = Some(u64::from(number));
        let version = key.version(&self.active, number).await?;
        let mut buffer = Zeroizing::default();
        let mut open = || -> Result<Zeroizing<Vec<u8>>, KeyFault> {
            require_private(&version, OPERATION)?;
            let malformed = |at| Fault::Text { kind: TextKind::Ciphertext, fault: TextFault::Base64 { at } };
            let capsule = decode(encoded, &mut buffer).map_err(malformed)?;
            version.key.decapsulate(capsule).map_err(|error| Fault::of_crypto(error, OPERATION, algorithm))
        };
        Ok(open().map(|shared| base64(&shared)))
    }

    /// Logs what a request for one thing came to.
    pub(super) async fn one<T>(&self, record: Record, result: Result<Result<T, KeyFault>, Error>) -> Result<T, Error> {
        let batch = self.settled(record, result.map(|one| vec![one])).await?;
        let one = batch.into_iter().next().ok_or_else(|| Error::internal("an operation has no result"))?;
        Ok(one?)
    }
}
