//! Changes of the key that signs the log: an entry that the old key vouches for, and the chain that follows from them.
//!
//! Such an entry is an envelope: the line `tlog-key-rotation/v1`, the length of a signed note as u32 big-endian, the
//! note, and the caller's own entry. The note's text has six lines: `tlog-key-rotation/v1`, the log's origin, the index
//! of the entry, the old verifier key, the new one, and the SHA-256 of the caller's entry in base64; the old key signs
//! it. The checkpoint over the entry is signed by both keys, later ones by the new key alone.

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_crypto::hash::sha256;

use super::{
    checkpoint::parse_decimal,
    note::{KeyName, Note, NoteSigner, VerifierKey, signed},
};

/// Why an entry that begins as an envelope was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a change of key that does not hold: {0}")]
pub struct RotationError(&'static str);

/// The caller's part of an entry: the entry itself, or what the envelope of a change of key carries.
pub fn payload(entry: &[u8]) -> &[u8] {
    split(entry).map_or(entry, |(_, payload)| payload)
}

/// Whether an entry is, or begins as, the envelope of a change of key.
pub(crate) fn is_envelope(entry: &[u8]) -> bool {
    entry.starts_with(MAGIC)
}

/// The entry at `index` by which `old` hands over to `new`.
pub(crate) fn envelope(old: &NoteSigner, new: &VerifierKey, index: u64, payload: &[u8]) -> Vec<u8> {
    let text = statement(old.verifier(), new, index, payload);
    let note = signed(&text, [old]);
    let length = u32::try_from(note.len()).expect("a note of two keys is short");
    [MAGIC, &length.to_be_bytes(), note.as_bytes(), payload].concat()
}

/// The key that takes over at `index` from `current`, if the entry is an envelope.
pub(crate) fn successor(entry: &[u8], index: u64, current: &VerifierKey) -> Result<Option<VerifierKey>, RotationError> {
    if !is_envelope(entry) {
        return Ok(None);
    }
    let (note, payload) = split(entry).ok_or(RotationError("it is cut short"))?;
    let note = Note::parse(note).map_err(|_| RotationError("its statement is no signed note"))?;
    note.verify([current]).map_err(|_| RotationError("the key in force has not signed it"))?;
    let next = note.text().split('\n').nth(4).and_then(|vkey| VerifierKey::parse(vkey).ok());
    let next = next.ok_or(RotationError("its statement names no new key"))?;
    if next.name() != current.name() || next == *current {
        return Err(RotationError("the new key is not another key of this log"));
    }
    if note.text() != statement(current, &next, index, payload) {
        return Err(RotationError("its statement is about another log, index, key or entry"));
    }
    Ok(Some(next))
}

fn statement(old: &VerifierKey, new: &VerifierKey, index: u64, payload: &[u8]) -> String {
    let digest = STANDARD.encode(sha256(&[payload]));
    format!("{STATEMENT}\n{}\n{index}\n{old}\n{new}\n{digest}\n", old.name())
}

fn split(entry: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = entry.strip_prefix(MAGIC)?.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// The keys of a log, each with the size of the log when it began to sign; never empty.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeyChain {
    first: VerifierKey,
    later: Vec<(u64, VerifierKey)>,
}

impl KeyChain {
    /// The chain of a log with one key.
    pub fn new(first: VerifierKey) -> Self {
        Self { first, later: Vec::new() }
    }

    /// Adds the key of an entry at `index`, if that entry changes the key.
    pub(crate) fn follow(&mut self, entry: &[u8], index: u64) -> Result<(), RotationError> {
        if let Some(next) = successor(entry, index, self.current())? {
            self.later.push((index + 1, next));
        }
        Ok(())
    }

    /// Adds a key from the checkpoint of `size` on.
    pub(crate) fn push(&mut self, size: u64, key: VerifierKey) {
        self.later.push((size, key));
    }

    /// The key in force.
    pub fn current(&self) -> &VerifierKey {
        self.later.last().map_or(&self.first, |(_, key)| key)
    }

    /// The first key, from which the others follow.
    pub fn first(&self) -> &VerifierKey {
        &self.first
    }

    /// The chain as it stood when the log had this size.
    pub(crate) fn until(&self, size: u64) -> Self {
        let later = self.later.iter().filter(|(from, _)| *from <= size).cloned().collect();
        Self { first: self.first.clone(), later }
    }

    /// The keys in their order.
    pub fn keys(&self) -> impl Iterator<Item = &VerifierKey> + Clone {
        std::iter::once(&self.first).chain(self.later.iter().map(|(_, key)| key))
    }

    /// The keys that must all have signed a checkpoint of this size.
    pub fn signers_of(&self, size: u64) -> Vec<&VerifierKey> {
        let mut signers = vec![&self.first];
        for (from, key) in &self.later {
            match size.cmp(from) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => signers.push(key),
                std::cmp::Ordering::Greater => signers = vec![key],
            }
        }
        signers
    }

    /// The text of the file `keys`: for each key a line with the size from which it signs, and the key.
    pub fn to_text(&self) -> String {
        let mut text = format!("0 {}\n", self.first);
        for (size, key) in &self.later {
            text.push_str(&format!("{size} {key}\n"));
        }
        text
    }

    /// Reads that file; it proves nothing, the entries do.
    pub fn parse(text: &str) -> Option<Self> {
        let line = |line: &str| {
            let (size, key) = line.split_once(' ')?;
            Some((parse_decimal(size)?, VerifierKey::parse(key).ok()?))
        };
        let mut lines = text.strip_suffix('\n')?.split('\n').map(line);
        let (0, first) = lines.next()?? else { return None };
        let later = lines.collect::<Option<Vec<_>>>()?;
        let rising = later.iter().is_sorted_by(|(one, _), (other, _)| one < other);
        let one_name = later.iter().all(|(size, key)| *size > 0 && key.name() == first.name());
        (rising && one_name).then_some(Self { first, later })
    }
}

/// Whether a log may have this name: that of a statement would let a checkpoint pass for one.
pub(crate) fn is_free_name(name: &KeyName) -> bool {
    name.as_str() != STATEMENT
}

const MAGIC: &[u8] = b"tlog-key-rotation/v1\n";
const STATEMENT: &str = "tlog-key-rotation/v1";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tlog::tests::vectors::signer;

    #[test]
    fn envelope_is_followed_at_its_index_by_its_key_alone() {
        let (old, new) = (signer("log", 1), signer("log", 2));
        let entry = envelope(&old, new.verifier(), 7, b"record");
        assert_eq!(payload(&entry), b"record");
        assert_eq!(successor(&entry, 7, old.verifier()), Ok(Some(new.verifier().clone())));
        assert!(successor(&entry, 8, old.verifier()).is_err());
        assert!(successor(&entry, 7, new.verifier()).is_err());
        assert!(successor(&entry, 7, signer("other", 1).verifier()).is_err());
        assert!(successor(&[entry.as_slice(), b"x"].concat(), 7, old.verifier()).is_err());
        let to_other_log = envelope(&old, signer("other", 2).verifier(), 7, b"record");
        assert!(successor(&to_other_log, 7, old.verifier()).is_err());
        let to_itself = envelope(&old, old.verifier(), 7, b"record");
        assert!(successor(&to_itself, 7, old.verifier()).is_err());
        assert_eq!(successor(b"an entry", 7, old.verifier()), Ok(None));
        assert_eq!(payload(b"an entry"), b"an entry");
    }

    #[test]
    fn chain_names_the_signers_of_each_size_and_is_read_back() {
        let signers = [1, 2, 3].map(|first| signer("log", first));
        let [a, b, c] = signers.each_ref().map(|signer| signer.verifier().clone());
        let mut chain = KeyChain::new(a.clone());
        chain.follow(&envelope(&signers[0], &b, 4, b"x"), 4).unwrap();
        chain.follow(b"plain", 5).unwrap();
        chain.follow(&envelope(&signers[1], &c, 5, b"x"), 5).unwrap();
        assert!(chain.follow(&envelope(&signers[1], &c, 6, b"x"), 6).is_err());
        let expected: [(u64, Vec<&VerifierKey>); 5] =
            [(0, vec![&a]), (4, vec![&a]), (5, vec![&a, &b]), (6, vec![&b, &c]), (7, vec![&c])];
        for (size, keys) in expected {
            assert_eq!(chain.signers_of(size), keys, "{size}");
        }
        assert_eq!(KeyChain::parse(&chain.to_text()), Some(chain.clone()));
        assert_eq!((chain.first(), chain.current()), (&a, &c));
        for text in ["", "\n", &chain.to_text()[1..], &chain.to_text().replace("\n6 ", "\n5 "), &format!("5 {a}\n")] {
            assert_eq!(KeyChain::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, text: String) {
            let key = signer("log", 1);
            let _ = payload(&bytes);
            let entry = [MAGIC, bytes.as_slice()].concat();
            let _ = payload(&entry);
            prop_assert!(successor(&entry, 0, key.verifier()).is_err());
            let _ = KeyChain::parse(&text);
        }

        #[test]
        fn envelope_with_one_changed_byte_is_no_change_of_key(at: prop::sample::Index, bit in 0..8_u8) {
            let (old, new) = (signer("log", 1), signer("log", 2));
            let mut entry = envelope(&old, new.verifier(), 7, b"record");
            let at = at.index(entry.len());
            entry[at] ^= 1 << bit;
            prop_assert!(!matches!(successor(&entry, 7, old.verifier()), Ok(Some(_))));
        }
    }
}
