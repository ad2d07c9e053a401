//! Verifying a backup without restoring it: manifest, digests and, with its key, every row and the whole log.

use coffer_crypto::{
    age::{self, Decryptor, Opener},
    envelope,
};
use coffer_storage::{Entry, Key};

use super::{
    BackupError, IDENTITY, MANIFEST, Manifest, Part, PartInfo, Source,
    parts::{LogReader, RowsReader, failed, read_seal_key},
    restored,
};
use crate::{
    audit::ledger::is_envelope,
    codec, keys,
    seal::root::RootRow,
    tlog::{
        checkpoint::Checkpoint,
        merkle::{Frontier, leaf_hash},
        note::VerifierKey,
        rotation::KeyChain,
    },
};

/// Against what a backup is held.
#[derive(Clone, Copy, Default)]
pub struct Against<'a> {
    /// The first key of the log, kept elsewhere; without it the backup vouches for itself.
    pub vkey: Option<&'a VerifierKey>,
    /// A checkpoint kept elsewhere, which the backup must not be older than.
    pub since: Option<&'a str>,
}

/// A backup in which nothing is wrong.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What it says of itself.
    pub manifest: Manifest,
    /// How far it was looked at.
    pub depth: Depth,
    /// Whether the object keys are there.
    pub object_keys: Presence,
}

/// How far a backup was looked at.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Depth {
    /// Manifest and digests; the parts were not opened.
    Digests,
    /// Every row and entry.
    Whole,
}

/// Whether a part is there.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Presence {
    /// It was removed.
    Missing,
    /// It is.
    There,
}

/// Verifies a backup. Blocks. Memory does not grow with it.
///
/// The part with the object keys may have been removed, as its own retention has it.
///
/// # Errors
/// [`BackupError`]: the first thing that is wrong. [`BackupError::Refused`] where it is older than `since`.
pub fn verify(source: &Source, opener: Option<Opener<'_>>, against: Against<'_>) -> Result<Verified, BackupError> {
    let manifest = source.manifest()?;
    if let Some(vkey) = against.vkey
        && vkey.to_string() != manifest.first_vkey
    {
        return Err(BackupError::damaged(MANIFEST, format!("is of the log of {}, not of {vkey}", manifest.first_vkey)));
    }
    let since = against.since.map(|text| since(&manifest, text)).transpose()?;
    let object_keys = match source.has(Part::ObjectKeys)? {
        true => Presence::There,
        false => Presence::Missing,
    };
    for info in present(&manifest, object_keys) {
        source.check(&manifest, info.part)?;
    }
    let depth = match opener {
        None => Depth::Digests,
        Some(opener) => {
            for info in present(&manifest, object_keys) {
                match info.part {
                    Part::Store | Part::ObjectKeys => check_rows(source, &manifest, info, opener)?,
                    Part::Log => drop(read_log(source, &manifest, opener, since.as_ref(), &mut |_| Ok(()))?),
                    Part::SealKey => {
                        drop(read_seal_key(open(source, &manifest, Part::SealKey, opener)?, manifest.backup)?)
                    }
                }
            }
            Depth::Whole
        }
    };
    Ok(Verified { manifest, depth, object_keys })
}

/// The key that a backup under a passphrase is encrypted to.
///
/// # Errors
/// [`BackupError::NoMatch`] for another passphrase; [`BackupError::Refused`] where the backup is under none.
pub fn identity_of(source: &Source, passphrase: &str) -> Result<age::Identity, BackupError> {
    let encrypted = source.identity()?.ok_or_else(|| {
        BackupError::Refused("the backup is encrypted to a key and not under a passphrase: name the key's file".into())
    })?;
    unlock(&encrypted, passphrase)
}

fn unlock(encrypted: &[u8], passphrase: &str) -> Result<age::Identity, BackupError> {
    use std::io::Read;
    let damaged = |error: &dyn std::fmt::Display| BackupError::damaged(IDENTITY, error.to_string());
    let opened = Decryptor::new(encrypted, Opener::Passphrase(passphrase)).map_err(|error| match error {
        age::Error::NoMatch => BackupError::NoMatch,
        error => damaged(&error),
    })?;
    let mut text = coffer_crypto::Zeroizing::new(String::with_capacity(MAX_IDENTITY));
    opened.take(MAX_IDENTITY_READ).read_to_string(&mut text).map_err(|error| damaged(&error))?;
    age::Identity::parse(text.trim()).map_err(|error| damaged(&error))
}

/// A fresh key, and its text encrypted under a passphrase: what a backup under one is made with.
///
/// # Errors
/// Where a primitive fails.
pub fn lock(passphrase: &str) -> Result<(age::Recipient, Vec<u8>), age::Error> {
    use std::io::Write;
    let identity = age::Identity::generate()?;
    let encrypted = (|| {
        let mut encryptor = age::Encryptor::new(age::Sealer::Passphrase(passphrase), Vec::new())?;
        encryptor.write_all(identity.to_text().as_bytes())?;
        encryptor.finish()
    })();
    Ok((identity.recipient()?, encrypted.map_err(age::Error::Read)?))
}

fn present(manifest: &Manifest, object_keys: Presence) -> impl Iterator<Item = &PartInfo> {
    manifest.parts.iter().filter(move |info| info.part != Part::ObjectKeys || object_keys == Presence::There)
}

/// The part, decrypted.
pub(crate) fn open(
    source: &Source,
    manifest: &Manifest,
    part: Part,
    opener: Opener<'_>,
) -> Result<Decryptor<Box<dyn std::io::Read + Send>>, BackupError> {
    Decryptor::new(source.part(manifest, part)?, opener).map_err(|error| match error {
        age::Error::NoMatch => BackupError::NoMatch,
        age::Error::Read(error) => failed(part, error),
        error => BackupError::damaged(part.name(), error.to_string()),
    })
}

/// The rows of a part.
pub(crate) fn rows_of(
    source: &Source,
    manifest: &Manifest,
    part: Part,
    opener: Opener<'_>,
) -> Result<RowsReader<Decryptor<Box<dyn std::io::Read + Send>>>, BackupError> {
    RowsReader::open(open(source, manifest, part, opener)?, part, manifest.backup, manifest.revision)
}

fn check_rows(source: &Source, manifest: &Manifest, info: &PartInfo, opener: Opener<'_>) -> Result<(), BackupError> {
    let mut rows = rows_of(source, manifest, info.part, opener)?;
    let mut root = None;
    while let Some((key, entry)) = rows.next()? {
        if key.as_bytes() == keys::ROOT.as_bytes() {
            root = codec::decode::<RootRow>(keys::ROOT, &entry.value).ok();
        }
        check_row(info.part, &key, &entry)?;
    }
    if rows.count() != info.items {
        return Err(BackupError::damaged(info.part.name(), "holds another number of rows than the manifest says"));
    }
    match (info.part, root) {
        (Part::Store, Some(root)) if root.cluster_id == manifest.cluster => Ok(()),
        (Part::Store, Some(_)) => Err(BackupError::damaged(info.part.name(), "is of another cluster")),
        (Part::Store, None) => Err(BackupError::damaged(info.part.name(), "holds no root key")),
        (Part::ObjectKeys | Part::Log | Part::SealKey, _) => Ok(()),
    }
}

/// The shape that a row must have: nothing lies in a store in the clear.
fn check_row(part: Part, key: &Key, entry: &Entry) -> Result<(), BackupError> {
    let damaged = |what: &str| Err(BackupError::damaged(part.name(), format!("{key:?} {what}")));
    let Ok(name) = std::str::from_utf8(key.as_bytes()) else { return damaged("is no key of this program") };
    if name.starts_with(keys::OBJECT) != (part == Part::ObjectKeys) {
        return damaged("belongs into another part");
    }
    let is_shaped = match name {
        keys::ROOT => codec::decode::<RootRow>(keys::ROOT, &entry.value).is_ok(),
        keys::RESTORED => restored::is_row(&entry.value),
        name if name.starts_with(keys::TERM) || name.starts_with(keys::KEY) => {
            entry.value.first() == Some(&1) && entry.value.len() == WRAPPED_LEN
        }
        _ => is_envelope(&entry.value),
    };
    if is_shaped { Ok(()) } else { damaged("is not sealed as it should be") }
}

/// Reads the log, holds it against the checkpoint, and hands each entry on; gives the list of its keys.
pub(crate) fn read_log(
    source: &Source,
    manifest: &Manifest,
    opener: Opener<'_>,
    since: Option<&Checkpoint>,
    each: &mut dyn FnMut(&[u8]) -> Result<(), BackupError>,
) -> Result<String, BackupError> {
    let damaged = |what: &str| BackupError::damaged(Part::Log.name(), what);
    let mut log = LogReader::open(open(source, manifest, Part::Log, opener)?, manifest.backup)?;
    let (Some(head), Ok(first)) = (manifest.head(), VerifierKey::parse(&manifest.first_vkey)) else {
        return Err(BackupError::damaged(MANIFEST, "its keys or its checkpoint are none"));
    };
    if log.checkpoint != manifest.checkpoint || log.size != head.size {
        return Err(damaged("ends at another checkpoint than the manifest says"));
    }
    let (mut chain, mut frontier) = (KeyChain::new(first), Frontier::new());
    loop {
        if let Some(since) = since.filter(|since| since.head.size == frontier.size()) {
            let keys = chain.until(frontier.size());
            let signers: Vec<VerifierKey> = keys.signers_of(frontier.size()).into_iter().cloned().collect();
            if frontier.root() != since.head.root {
                return Err(BackupError::Refused(
                    "the log in the backup does not go on from the checkpoint given with --since: it is another log"
                        .into(),
                ));
            }
            if since.verify(chain.first().name(), &signers).is_err() {
                return Err(BackupError::Refused("the checkpoint given with --since is not signed by the log".into()));
            }
        }
        let index = frontier.size();
        let Some(entry) = log.next()? else { break };
        chain.follow(&entry, index).map_err(|error| damaged(&format!("entry {index}: {error}")))?;
        frontier.push(leaf_hash(&entry));
        each(&entry)?;
    }
    if frontier.root() != head.root {
        return Err(damaged("its entries do not have the root that its checkpoint states"));
    }
    if chain.current().to_string() != manifest.vkey || chain.to_text() != log.keys {
        return Err(damaged("was signed with another key than the manifest says"));
    }
    Ok(log.keys)
}

/// A checkpoint that the backup must not be older than.
pub(crate) fn since(manifest: &Manifest, text: &str) -> Result<Checkpoint, BackupError> {
    let since = Checkpoint::parse(text.as_bytes())
        .map_err(|error| BackupError::Refused(format!("the file given with --since: {error}")))?;
    if since.origin != manifest.origin() {
        return Err(BackupError::Refused(format!(
            "the checkpoint given with --since is one of {}, the backup's log is {}",
            since.origin,
            manifest.origin()
        )));
    }
    if since.head.size > manifest.log_size() {
        return Err(BackupError::Refused(format!(
            "the backup is older than the checkpoint given with --since: its log has {} entries, the checkpoint states {}",
            manifest.log_size(),
            since.head.size
        )));
    }
    Ok(since)
}

/// A key of 32 bytes, wrapped.
const WRAPPED_LEN: usize = 32 + envelope::OVERHEAD - 4;
/// More than an identity has, so that reading one leaves no copy behind.
const MAX_IDENTITY: usize = 256;
const MAX_IDENTITY_READ: u64 = 200;
