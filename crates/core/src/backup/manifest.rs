//! The manifest: what a backup is, and what its parts are, as a note that the log's key signs.
//!
//! Its text is lines of a word and a value. The first, `coffer-backup/v1`, stands where a checkpoint has its log's name, so that
//! neither passes for the other.

use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

use super::{BackupError, MANIFEST, Part};
use crate::tlog::{
    checkpoint::{Checkpoint, Head, parse_decimal},
    note::{Note, NoteSigner, VerifierKey, signed},
};

/// What a backup is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Manifest {
    /// Its own id.
    pub backup: Uuid,
    /// Whose store it is.
    pub cluster: Uuid,
    /// When it was begun, UTC milliseconds.
    pub made_ms: i64,
    /// The release that made it.
    pub release: String,
    /// The last commit that is in it.
    pub revision: u64,
    /// The recipient that it is encrypted to.
    pub recipient: String,
    /// What opens the restored store: one of these.
    pub needs: Vec<Needs>,
    /// The key that the log began with.
    pub first_vkey: String,
    /// The key that signs the log, and the manifest.
    pub vkey: String,
    /// The signed checkpoint of the log as far as it is in the backup.
    pub checkpoint: String,
    /// Its parts, in their order.
    pub parts: Vec<PartInfo>,
}

/// One part.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PartInfo {
    /// Which.
    pub part: Part,
    /// The length of its file, in bytes.
    pub len: u64,
    /// The SHA-256 of its file.
    pub digest: [u8; 32],
    /// How many rows or entries are in it.
    pub items: u64,
}

/// What opens a restored store.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Needs {
    /// The file seal's key, which is in the backup.
    Enclosed {
        /// Its id.
        id: String,
    },
    /// The file seal's key, which is kept elsewhere.
    KeyFile {
        /// Its id.
        id: String,
        /// Where it lay on the server.
        path: String,
    },
    /// Shares.
    Shares {
        /// How many are needed.
        threshold: u8,
        /// How many there are.
        shares: u8,
    },
}

impl Manifest {
    /// The signed note.
    pub(crate) fn signed(&self, signer: &NoteSigner) -> String {
        signed(&self.text(), [signer])
    }

    /// Reads a manifest, and checks that the key that it names signed it.
    ///
    /// # Errors
    /// [`BackupError::Damaged`].
    pub fn read(bytes: &[u8]) -> Result<Self, BackupError> {
        let damaged = |what: &str| BackupError::damaged(MANIFEST, what);
        let note = Note::parse(bytes).map_err(|_| damaged("not one, or cut off"))?;
        let manifest = Self::parse(note.text()).ok_or_else(|| damaged("not one that this release understands"))?;
        let key = manifest.key().ok_or_else(|| damaged("its keys or its checkpoint are none"))?;
        note.verify([&key]).map_err(|_| damaged("was edited: its signature does not hold"))?;
        // One text for one manifest, so that nothing is in it that nobody reads.
        if manifest.text() != note.text() {
            return Err(damaged("is written in another way than this release writes it"));
        }
        Ok(manifest)
    }

    /// What is said of a part.
    pub fn part(&self, part: Part) -> Option<&PartInfo> {
        self.parts.iter().find(|info| info.part == part)
    }

    /// The size of the log as far as it is in the backup.
    pub fn log_size(&self) -> u64 {
        self.head().map_or(0, |head| head.size)
    }

    /// The name of the log whose entries are in it.
    pub fn origin(&self) -> &str {
        self.vkey.split_once('+').map_or("", |(origin, _)| origin)
    }

    pub(crate) fn head(&self) -> Option<Head> {
        Checkpoint::parse(self.checkpoint.as_bytes()).ok().map(|checkpoint| checkpoint.head)
    }

    /// The key in force, if it and the first are of one log, and the checkpoint is that log's and signed with it.
    pub(crate) fn key(&self) -> Option<VerifierKey> {
        let key = VerifierKey::parse(&self.vkey).ok()?;
        let first = VerifierKey::parse(&self.first_vkey).ok().filter(|first| first.name() == key.name())?;
        let checkpoint = Checkpoint::parse(self.checkpoint.as_bytes()).ok()?;
        checkpoint.verify(first.name(), [&key]).ok()?;
        Some(key)
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{FIRST_LINE}\nbackup {}\ncluster {}\nmade {}\nrelease {}\nrevision {}\nrecipient {}\n",
            self.backup, self.cluster, self.made_ms, self.release, self.revision, self.recipient,
        );
        for needs in &self.needs {
            text.push_str(&match needs {
                Needs::Enclosed { id } => format!("needs enclosed {id}\n"),
                Needs::KeyFile { id, path } => format!("needs key-file {id} {path}\n"),
                Needs::Shares { threshold, shares } => format!("needs shares {threshold} {shares}\n"),
            });
        }
        text.push_str(&format!("first-vkey {}\nvkey {}\n", self.first_vkey, self.vkey));
        text.push_str(&format!("checkpoint {}\n", STANDARD.encode(&self.checkpoint)));
        for PartInfo { part, len, digest, items } in &self.parts {
            text.push_str(&format!("part {} {len} {} {items}\n", part.name(), hex(digest)));
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n').peekable();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let mut value = |word: &str| lines.next()?.strip_prefix(word)?.strip_prefix(' ').map(str::to_owned);
        let backup = value("backup")?.parse().ok()?;
        let cluster = value("cluster")?.parse().ok()?;
        let made_ms = i64::try_from(parse_decimal(&value("made")?)?).ok()?;
        let release = value("release")?;
        let revision = parse_decimal(&value("revision")?)?;
        let recipient = value("recipient")?;
        let mut needs = Vec::new();
        while let Some(line) = lines.next_if(|line| line.starts_with("needs ")) {
            needs.push(parse_needs(line.strip_prefix("needs ")?)?);
        }
        let mut value = |word: &str| lines.next()?.strip_prefix(word)?.strip_prefix(' ').map(str::to_owned);
        let (first_vkey, vkey) = (value("first-vkey")?, value("vkey")?);
        let checkpoint = String::from_utf8(STANDARD.decode(value("checkpoint")?).ok()?).ok()?;
        let parts = lines.map(parse_part).collect::<Option<Vec<_>>>()?;
        let in_order = parts.is_sorted_by(|one, other| one.part < other.part);
        let has = |part| parts.iter().any(|info: &PartInfo| info.part == part);
        if !in_order || !has(Part::Store) || !has(Part::ObjectKeys) || !has(Part::Log) {
            return None;
        }
        Some(Self {
            backup,
            cluster,
            made_ms,
            release,
            revision,
            recipient,
            needs,
            first_vkey,
            vkey,
            checkpoint,
            parts,
        })
    }
}

fn parse_needs(line: &str) -> Option<Needs> {
    let (kind, rest) = line.split_once(' ')?;
    match kind {
        "enclosed" => Some(Needs::Enclosed { id: rest.to_owned() }),
        "key-file" => {
            let (id, path) = rest.split_once(' ')?;
            Some(Needs::KeyFile { id: id.to_owned(), path: path.to_owned() })
        }
        "shares" => {
            let (threshold, shares) = rest.split_once(' ')?;
            Some(Needs::Shares { threshold: threshold.parse().ok()?, shares: shares.parse().ok()? })
        }
        _ => None,
    }
}

fn parse_part(line: &str) -> Option<PartInfo> {
    let mut words = line.strip_prefix("part ")?.split(' ');
    let part = Part::parse(words.next()?)?;
    let len = parse_decimal(words.next()?)?;
    let digest = unhex(words.next()?)?;
    let items = parse_decimal(words.next()?)?;
    words.next().is_none().then_some(PartInfo { part, len, digest, items })
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let plain = digits.len() == 64 && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes = digits.chunks(2).map(pair).collect::<Option<Vec<u8>>>().filter(|_| plain)?;
    bytes.try_into().ok()
}

const FIRST_LINE: &str = "coffer-backup/v1";

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tlog::{checkpoint::sign_head, tests::vectors::signer};

    pub(crate) fn manifest(signer: &NoteSigner) -> Manifest {
        let head = Head { size: 7, root: [3; 32] };
        let vkey = signer.verifier().to_string();
        let part = |part, items| PartInfo { part, len: 300, digest: [5; 32], items };
        Manifest {
            backup: Uuid::from_u128(1),
            cluster: Uuid::from_u128(2),
            made_ms: 1_795_348_800_000,
            release: "0.1.0".to_owned(),
            revision: 42,
            recipient: "age1x".to_owned(),
            needs: vec![
                Needs::KeyFile { id: "abcd".to_owned(), path: "/a path/seal.key".to_owned() },
                Needs::Shares { threshold: 2, shares: 3 },
            ],
            first_vkey: vkey.clone(),
            vkey,
            checkpoint: sign_head(signer.verifier().name(), &head, [signer]),
            parts: vec![part(Part::Store, 9), part(Part::ObjectKeys, 0), part(Part::Log, 7)],
        }
    }

    #[test]
    fn manifest_is_read_back_and_any_edit_is_noticed() {
        let signer = signer("cluster/node", 0);
        let manifest = manifest(&signer);
        let note = manifest.signed(&signer);
        assert_eq!(Manifest::read(note.as_bytes()).unwrap(), manifest);
        assert_eq!((manifest.log_size(), manifest.origin()), (7, "cluster/node"));
        for at in 0..note.len() {
            let mut edited = note.clone().into_bytes();
            edited[at] ^= 1;
            assert!(Manifest::read(&edited).is_err(), "byte {at}");
            assert!(Manifest::read(&note.as_bytes()[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn manifest_without_a_part_or_by_another_log_is_refused() {
        let (signer, stranger) = (signer("cluster/node", 0), signer("cluster/other", 1));
        for remove in 0..3 {
            let mut manifest = manifest(&signer);
            manifest.parts.remove(remove);
            assert!(Manifest::read(manifest.signed(&signer).as_bytes()).is_err());
        }
        let own = manifest(&signer);
        assert!(Manifest::read(own.signed(&stranger).as_bytes()).is_err());
        let forged = Manifest { vkey: stranger.verifier().to_string(), ..own };
        assert!(Manifest::read(forged.signed(&stranger).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, text: String) {
            let _ = Manifest::read(&bytes);
            let _ = Manifest::parse(&format!("{FIRST_LINE}\n{text}\n"));
        }
    }
}
