//! Operations with keys: what they protect and open, in batches of which each item has its own result.
//!
//! A request costs a look into a map and one record, however many items it has; keys are parsed when they are first used and
//! stay so until they change. Slow work leaves the runtime's threads to others. Records tell the key, the version and how many
//! items there were, and never what came in or went out.

pub(super) mod agree;
mod backup;
mod certificate;
mod cipher;
mod data_key;
mod derived;
mod export;
mod fault;
mod import;
mod input;
mod kem;
pub(crate) mod loaded;
mod mac;
mod pace;
pub(super) mod pem;
pub(crate) mod ready;
mod sign;
mod text;
mod wrapping;

use std::{collections::BTreeMap, sync::Arc};

use coffer_api::Code;
use coffer_crypto::keys::{Algorithm, PreparedKey, Usage};
use zeroize::Zeroizing;

pub use agree::KeyAgreement;
pub use backup::Existing;
pub use cipher::{DecryptItem, Decrypted, EncryptItem, Encrypted, RewrapItem};
pub use data_key::{DataKey, DataKeyBits, NewDataKey, Reveal};
pub use export::{ExportFormat, ExportKind, Exported, PublicFormat, VersionChoice};
pub use fault::{FaultKind, InputField, KeyFault, KeyOperation, TextFault, TextKind};
pub use import::{ImportSource, WrappedBy};
pub use input::Input;
pub use kem::Encapsulation;
pub use mac::{HmacVerifyItem, Mac};
pub use sign::{SignItem, Signed, Signing, VerifyItem};
pub use wrapping::{ImportKey, ImportWrap};

use self::{
    fault::KeyFault as Fault,
    loaded::{LoadedKey, LoadedVersion},
    text::Text,
};
use super::state::Permit;
use crate::{
    Caller, Dialect, Error,
    caller::Done,
    mount::Mount,
    policy::{Operation, Parameters},
    record::Record,
};

/// Items of one request at most.
pub const MAX_BATCH: usize = coffer_api::keys::MAX_ITEMS;

/// What became of each item, in their order.
pub type Batch<T> = Vec<Result<T, KeyFault>>;

/// The versions of a key that a request needs, all loaded.
struct Versions<'k> {
    key: &'k LoadedKey,
    /// Those that the key itself does not keep loaded.
    extra: BTreeMap<u32, Arc<LoadedVersion>>,
}

/// Whether the caller may use compromised versions, asked once a request and only where it matters.
struct CompromisedGrant<'c> {
    caller: &'c Caller,
    path: String,
    granted: Option<bool>,
}

/// The key that an item's context stands for: derived, or the version's own.
#[derive(Default)]
struct Derived {
    /// Items of one batch often share their context.
    last: Option<(u32, Zeroizing<Vec<u8>>, PreparedKey)>,
}

/// How a derived key is to encrypt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Derivation {
    Convergent,
    Ordinary,
}

impl Caller {
    /// The key, once the policies grant the operation on the record's path.
    async fn granted_key(
        &self,
        mount: &Mount,
        name: &str,
        operation: Operation,
        parameters: &dyn Parameters,
        record: &mut Record,
    ) -> Result<Arc<LoadedKey>, Error> {
        self.authorise(&record.path, operation, parameters)?;
        let key = self.active.loaded_key(mount, name).await?.ok_or_else(key_not_found)?;
        note_key(record, &key);
        Ok(key)
    }

    /// Logs what a batch came to, in one record, and hands it on.
    async fn settled<T>(&self, mut record: Record, result: Result<Batch<T>, Error>) -> Result<Batch<T>, Error> {
        if let Ok(batch) = &result {
            note_batch(&mut record, batch);
        }
        self.recorded(record, async { result.map(Done::Unlogged) }).await
    }
}

impl<'k> Versions<'k> {
    fn of(key: &'k LoadedKey) -> Self {
        Self { key, extra: BTreeMap::new() }
    }

    /// Loads a version, if it is not yet.
    async fn need(&mut self, caller: &Caller, key: &Arc<LoadedKey>, number: u32) -> Result<(), Error> {
        if self.get(number).is_none() {
            let version = key.version(&caller.active, number).await?;
            if self.key.ready(number).is_none() {
                self.extra.insert(number, version);
            }
        }
        Ok(())
    }

    /// Loads the versions that the items of a batch name; the record has the last of them.
    async fn need_each(
        &mut self,
        caller: &Caller,
        key: &Arc<LoadedKey>,
        named: impl Iterator<Item = u32>,
        record: &mut Record,
    ) -> Result<(), Error> {
        let mut last = None;
        for number in named {
            // Most batches name the same all along.
            if last != Some(number) {
                self.need(caller, key, number).await?;
                record.version = Some(u64::from(number));
                last = Some(number);
            }
        }
        Ok(())
    }

    fn get(&self, number: u32) -> Option<&LoadedVersion> {
        self.key.ready(number).or_else(|| self.extra.get(&number)).map(Arc::as_ref)
    }

    /// A version that was asked for before.
    fn loaded(&self, number: u32) -> Result<&LoadedVersion, KeyFault> {
        let missing = || Error::internal(format!("version {number} of key {} was not loaded", self.key.entry.id));
        self.get(number).ok_or_else(|| Fault::Refused(missing()))
    }
}

impl<'c> CompromisedGrant<'c> {
    fn new(caller: &'c Caller, mount: &Mount, name: &str) -> Self {
        Self { caller, path: format!("{}keys/{name}/use-compromised", mount.path), granted: None }
    }

    fn check(&mut self, permit: Permit) -> Result<(), Error> {
        match (permit, self.granted) {
            (Permit::Always, _) | (Permit::UseCompromised, Some(true)) => Ok(()),
            (Permit::UseCompromised, None | Some(false)) => {
                self.caller.authorise(&self.path, Operation::Update, &())?;
                self.granted = Some(true);
                Ok(())
            }
        }
    }
}

impl Derived {
    /// The key for a context, in which an empty one is none.
    fn key<'d>(
        &'d mut self,
        version: &LoadedVersion,
        context: &[u8],
        derivation: Derivation,
    ) -> Result<&'d PreparedKey, KeyFault> {
        if context.is_empty() {
            return Err(Fault::ContextMissing);
        }
        let is_last = |(number, last, _): &(u32, Zeroizing<Vec<u8>>, PreparedKey)| {
            *number == version.number && last.as_slice() == context
        };
        if !self.last.as_ref().is_some_and(is_last) {
            let key = match derivation {
                Derivation::Convergent => version.key.derive_convergent(context),
                Derivation::Ordinary => version.key.derive(context),
            };
            let key = key.map_err(|error| Fault::Refused(error.into()))?;
            self.last = Some((version.number, Zeroizing::new(context.to_vec()), key));
        }
        let missing = || Fault::Refused(Error::internal("a derived key is gone"));
        self.last.as_ref().map(|(_, _, key)| key).ok_or_else(missing)
    }
}

/// The key of a version that nothing is derived of. What else a context is sent for is known to the Vault dialect alone.
fn of_itself<'v>(version: &'v LoadedVersion, context: &[u8], dialect: Dialect) -> Result<&'v PreparedKey, KeyFault> {
    match dialect {
        Dialect::Native if !context.is_empty() => Err(Fault::ContextUnused),
        Dialect::Native | Dialect::Vault => Ok(&version.key),
    }
}

/// The number of a version that was asked for: 0 is the key's own choice.
fn requested(number: i64, operation: KeyOperation) -> Result<Option<u32>, KeyFault> {
    match number {
        0 => Ok(None),
        ..0 => Err(Fault::VersionNegative { operation }),
        // No key has a version of a larger number, so that it is too new for any.
        1.. => Ok(Some(u32::try_from(number).unwrap_or(u32::MAX))),
    }
}

/// The version that a text names, within what the key has ever had.
fn version_of(text: &Text<'_>, kind: TextKind, key: &LoadedKey) -> Result<u32, KeyFault> {
    // Texts of the very first servers count from 0.
    let number = match (text.version, kind) {
        (0, TextKind::Ciphertext) => 1,
        (number, _) => number,
    };
    if number > i64::from(key.entry.latest) {
        return Err(Fault::Text { kind, fault: TextFault::TooNew });
    }
    u32::try_from(number)
        .ok()
        .filter(|number| *number >= key.entry.min_decryption.max(1))
        .ok_or(Fault::Text { kind, fault: TextFault::TooOld })
}

/// Keys of an algorithm that has no such operation are told so before anything else.
fn supported(algorithm: Algorithm, usage: Usage, operation: KeyOperation) -> Result<(), KeyFault> {
    if algorithm.supports(usage) { Ok(()) } else { Err(Fault::Unsupported { operation, algorithm }) }
}

fn check_size(items: usize) -> Result<(), Error> {
    match items {
        0 => Err(Error::invalid("there are no items").in_vault("missing batch input to process")),
        1..=MAX_BATCH => Ok(()),
        _ => Err(Error::new(Code::TooLarge, format!("a batch has at most {MAX_BATCH} items"))),
    }
}

/// The path of an operation whose hash may stand at its end.
fn hashed_path(mount: &Mount, verb: &str, name: &str, hash: &str) -> String {
    match hash {
        "" => format!("{}{verb}/{name}", mount.path),
        hash => format!("{}{verb}/{name}/{hash}", mount.path),
    }
}

fn key_not_found() -> Error {
    Error::new(Code::NotFound, "there is no such key")
}

fn note_key(record: &mut Record, key: &LoadedKey) {
    record.facts.push(("key", key.entry.id.to_string()));
    record.facts.push(("key_name", key.entry.name.clone()));
}

/// A batch of which nothing succeeded is a failed request to the record.
fn note_batch<T>(record: &mut Record, batch: &Batch<T>) {
    let failed = batch.iter().filter(|result| result.is_err()).count();
    if batch.len() > 1 {
        record.facts.push(("items", batch.len().to_string()));
    }
    if failed == 0 {
        return;
    }
    if batch.len() > 1 {
        record.facts.push(("failed", failed.to_string()));
    }
    if failed == batch.len()
        && let Some(Err(fault)) = batch.first()
    {
        record.fail(&Error::new(fault.code(), ""));
    }
}

#[cfg(test)]
mod tests;
