//! HMACs: with HMAC keys, and with the one that transit gives each version of any other key.

use coffer_crypto::{
    hash,
    keys::{PreparedKey, Usage},
};
use zeroize::Zeroizing;

use super::{
    Batch, CompromisedGrant, Fault, KeyFault, KeyOperation, TextFault, TextKind, Versions, check_size,
    fault::InputField,
    hashed_path,
    input::{Input, decode},
    loaded::{LoadedKey, LoadedVersion},
    pace::nanos,
    requested,
    text::{Text, text},
    version_of,
};
use crate::{
    Caller, Error,
    mount::Mount,
    policy::{Operation, Parameters},
    record::Record,
};

/// An HMAC.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mac {
    /// `vault:v<version>:` and base64.
    pub hmac: String,
    /// That made it.
    pub key_version: u32,
}

/// An HMAC to be verified.
#[derive(Clone, Copy, Default)]
pub struct HmacVerifyItem<'a> {
    /// The message.
    pub input: Input<'a>,
    /// As [`Mac::hmac`].
    pub hmac: &'a str,
}

impl Caller {
    /// The HMAC of each item. Without a hash it is the key's own, or SHA-256 where the key leaves it open.
    ///
    /// # Errors
    /// As [`Caller::key_encrypt`], with update on `{mount}hmac/{name}`.
    pub async fn key_hmac(
        &self,
        mount: &Mount,
        name: &str,
        hash: Option<hash::Algorithm>,
        key_version: i64,
        items: &[Input<'_>],
        parameters: &dyn Parameters,
    ) -> Result<Batch<Mac>, Error> {
        self.key_hmac_at(mount, (name, ""), (hash, key_version), items, parameters).await
    }

    /// As [`Caller::key_hmac`], asked for with the name of a hash at the end of the path, which policies see.
    ///
    /// # Errors
    /// As there.
    pub async fn key_hmac_at(
        &self,
        mount: &Mount,
        (name, hash_in_path): (&str, &str),
        (hash, key_version): (Option<hash::Algorithm>, i64),
        items: &[Input<'_>],
        parameters: &dyn Parameters,
    ) -> Result<Batch<Mac>, Error> {
        let mut record = self.record("key.hmac", hashed_path(mount, "hmac", name, hash_in_path));
        let result = self.hmac(mount, name, (hash, key_version), items, parameters, &mut record).await;
        self.settled(record, result).await
    }

    /// Verifies each item's HMAC, in time that does not depend on where it differs.
    ///
    /// # Errors
    /// As [`Caller::key_encrypt`], with update on `{mount}verify/{name}`.
    pub async fn key_hmac_verify(
        &self,
        mount: &Mount,
        name: &str,
        hash: Option<hash::Algorithm>,
        items: &[HmacVerifyItem<'_>],
        parameters: &dyn Parameters,
    ) -> Result<Batch<bool>, Error> {
        self.key_hmac_verify_at(mount, (name, ""), hash, items, parameters).await
    }

    /// As [`Caller::key_hmac_verify`], asked for with the name of a hash at the end of the path, which policies see.
    ///
    /// # Errors
    /// As there.
    pub async fn key_hmac_verify_at(
        &self,
        mount: &Mount,
        (name, hash_in_path): (&str, &str),
        hash: Option<hash::Algorithm>,
        items: &[HmacVerifyItem<'_>],
        parameters: &dyn Parameters,
    ) -> Result<Batch<bool>, Error> {
        let mut record = self.record("key.verify", hashed_path(mount, "verify", name, hash_in_path));
        let result = self.hmac_verify(mount, name, hash, items, parameters, &mut record).await;
        self.settled(record, result).await
    }

    async fn hmac(
        &self,
        mount: &Mount,
        name: &str,
        (hash, key_version): (Option<hash::Algorithm>, i64),
        items: &[Input<'_>],
        parameters: &dyn Parameters,
        record: &mut Record,
    ) -> Result<Batch<Mac>, Error> {
        let key = self.granted_key(mount, name, Operation::Update, parameters, record).await?;
        check_size(items.len())?;
        let mut versions = Versions::of(&key);
        if let Ok(number) = making_version(&key, key_version) {
            versions.need(self, &key, number).await?;
            record.version = Some(u64::from(number));
        }
        let algorithm = key.entry.algorithm;
        let mut buffer = Zeroizing::default();
        let make = |input: &Input<'_>| {
            let number = making_version(&key, key_version)?;
            let mac_key = mac_key(versions.loaded(number)?)?;
            let input = read_input(input, &mut buffer)?;
            let mac =
                mac_key.mac(hash, input).map_err(|error| Fault::of_crypto(error, KeyOperation::Mac, algorithm))?;
            Ok(Mac { hmac: text(number, &mac), key_version: number })
        };
        let cost = |input: &Input<'_>| nanos(algorithm, KeyOperation::Mac, input.len());
        Ok(self.active.paced(items, cost, make).await)
    }

    async fn hmac_verify(
        &self,
        mount: &Mount,
        name: &str,
        hash: Option<hash::Algorithm>,
        items: &[HmacVerifyItem<'_>],
        parameters: &dyn Parameters,
        record: &mut Record,
    ) -> Result<Batch<bool>, Error> {
        let key = self.granted_key(mount, name, Operation::Update, parameters, record).await?;
        check_size(items.len())?;
        let mut versions = Versions::of(&key);
        let mut grant = CompromisedGrant::new(self, mount, &key.entry.name);
        let named = items.iter().filter_map(|item| checking_version(&key, item.hmac, &mut grant).ok());
        versions.need_each(self, &key, named.map(|(number, _)| number), record).await?;
        let algorithm = key.entry.algorithm;
        let (mut buffer, mut mac) = (Zeroizing::default(), Zeroizing::default());
        let check = |item: &HmacVerifyItem<'_>| {
            let input = read_input(&item.input, &mut buffer)?;
            let (number, encoded) = checking_version(&key, item.hmac, &mut grant)?;
            let malformed = |at| Fault::Text { kind: TextKind::Hmac, fault: TextFault::Base64 { at } };
            let mac = decode(encoded, &mut mac).map_err(malformed)?;
            let mac_key = mac_key(versions.loaded(number)?)?;
            let valid = mac_key.verify_mac(hash, input, mac);
            valid.map_err(|error| Fault::of_crypto(error, KeyOperation::Mac, algorithm))
        };
        let cost = |item: &HmacVerifyItem<'_>| nanos(algorithm, KeyOperation::Mac, item.input.len());
        Ok(self.active.paced(items, cost, check).await)
    }
}

fn making_version(key: &LoadedKey, asked: i64) -> Result<u32, KeyFault> {
    let asked = requested(asked, KeyOperation::Mac).map_err(|_| Fault::Parameters {
        native: "no version has a negative number",
        vault: "key version does not exist (cannot be negative)",
    })?;
    let floor = key.entry.min_encryption;
    if asked.is_some_and(|asked| asked < floor && asked != key.entry.latest) {
        return Err(Fault::Parameters {
            native: "the version is below the key's min_encryption_version",
            vault: "cannot generate HMAC: version is too old (disallowed by policy)",
        });
    }
    if asked.is_some_and(|asked| asked > key.entry.latest) {
        let latest = key.entry.latest;
        let why = format!("key version does not exist; latest key version is {latest}");
        let refused = Error::invalid(format!("the key has no such version: its highest is {latest}"));
        return Err(Fault::Refused(refused.in_vault(why)));
    }
    Ok(key.entry.for_protect(Usage::Mac, asked)?.number)
}

/// The version that an HMAC names, if it may be checked, and what there is to decode.
fn checking_version<'t>(
    key: &LoadedKey,
    hmac: &'t str,
    grant: &mut CompromisedGrant<'_>,
) -> Result<(u32, &'t str), KeyFault> {
    let text = Text::parse(TextKind::Hmac, hmac)?;
    let number = version_of(&text, TextKind::Hmac, key)?;
    let (_, permit) = key.entry.for_process(Usage::Mac, number)?;
    grant.check(permit)?;
    Ok((number, text.encoded))
}

/// The key that makes a version's HMACs.
fn mac_key(version: &LoadedVersion) -> Result<&PreparedKey, KeyFault> {
    if version.key.algorithm().supports(Usage::Mac) {
        return Ok(&version.key);
    }
    version.hmac.as_ref().ok_or(Fault::Parameters {
        native: "this version of the key makes no MACs",
        vault: "no HMAC key exists for that key version",
    })
}

fn read_input<'b>(input: &'b Input<'b>, buffer: &'b mut Zeroizing<Vec<u8>>) -> Result<&'b [u8], KeyFault> {
    input.bytes(buffer).map_err(|at| Fault::Base64 { field: InputField::Input, at })
}
