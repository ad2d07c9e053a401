//! Checkpoints (C2SP `tlog-checkpoint`): the signed size and root of a log.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    merkle::Hash,
    note::{KeyName, Note, NoteError, NoteSigner, VerifierKey, signed},
};

/// The size and the root of the log at one moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Head {
    /// The number of entries.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

/// Why a checkpoint was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CheckpointError {
    /// The text of the note is not a checkpoint.
    #[error("not a checkpoint: {0}")]
    Malformed(&'static str),
    /// The note itself, or its signatures.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// It speaks of another log.
    #[error("a checkpoint of {found}, not of {expected}")]
    Origin {
        /// The log it speaks of.
        found: String,
        /// The log it should speak of.
        expected: KeyName,
    },
}

/// A checkpoint as read: not to be believed before [`Checkpoint::verify`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    /// The log it speaks of.
    pub origin: String,
    /// The size and root it states.
    pub head: Head,
    note: Note,
}

impl Checkpoint {
    /// Reads a signed checkpoint; extension lines are allowed and ignored.
    ///
    /// # Errors
    /// [`CheckpointError::Note`], [`CheckpointError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let note = Note::parse(bytes)?;
        let text = note.text().strip_suffix('\n').ok_or(CheckpointError::Malformed("no newline at the end"))?;
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Malformed("fewer than three lines"));
        };
        if origin.is_empty() || lines.any(str::is_empty) {
            return Err(CheckpointError::Malformed("an empty line"));
        }
        let size = parse_decimal(size).ok_or(CheckpointError::Malformed("the size is no decimal number"))?;
        let root = parse_hash(root).ok_or(CheckpointError::Malformed("the root is no hash in base64"))?;
        Ok(Self { origin: origin.to_owned(), head: Head { size, root }, note })
    }

    /// Checks the origin, and the signatures against `keys`; returns the keys that have signed.
    ///
    /// # Errors
    /// [`CheckpointError::Origin`], [`CheckpointError::Note`].
    pub fn verify<'a>(
        &self,
        origin: &KeyName,
        keys: impl IntoIterator<Item = &'a VerifierKey> + Clone,
    ) -> Result<Vec<&'a VerifierKey>, CheckpointError> {
        if self.origin != origin.as_str() {
            return Err(CheckpointError::Origin { found: self.origin.clone(), expected: origin.clone() });
        }
        Ok(self.note.verify(keys)?)
    }

    /// The note that it was read from.
    pub fn note(&self) -> &Note {
        &self.note
    }
}

/// The checkpoint of `head` as a note, signed by each of `signers`, all of which bear the log's name.
pub(crate) fn sign_head<'a>(
    origin: &KeyName,
    head: &Head,
    signers: impl IntoIterator<Item = &'a NoteSigner>,
) -> String {
    signed(&format!("{origin}\n{}\n{}\n", head.size, STANDARD.encode(head.root)), signers)
}

/// A decimal number as these formats write it: digits alone, no leading zero.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

/// A hash in standard base64 with padding.
pub(crate) fn parse_hash(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tlog::tests::vectors::{Vectors, signer};

    #[test]
    fn checkpoint_of_the_golden_vectors_is_read_and_written() {
        let vectors = Vectors::load();
        let key = signer("coffer.test/audit", 0);
        let checkpoint = Checkpoint::parse(vectors.checkpoint.as_bytes()).unwrap();
        assert_eq!(checkpoint.head, Head { size: 5, root: vectors.roots[&5] });
        let origin = KeyName::new("coffer.test/audit").unwrap();
        assert_eq!(checkpoint.verify(&origin, [key.verifier()]).unwrap().len(), 1);
        assert_eq!(sign_head(&origin, &checkpoint.head, [&key]), vectors.checkpoint);
        let other = KeyName::new("coffer.test/other").unwrap();
        assert!(matches!(checkpoint.verify(&other, [key.verifier()]), Err(CheckpointError::Origin { .. })));
    }

    #[test]
    fn checkpoint_not_in_form_is_refused() {
        let root = STANDARD.encode([0; 32]);
        let good = format!("log\n5\n{root}\nextension\n");
        let parse = |text: &str| Checkpoint::parse(signed(text, [&signer("log", 1)]).as_bytes());
        assert_eq!(parse(&good).unwrap().head, Head { size: 5, root: [0; 32] });
        let bad = ["05", "+5", "-1", "", "5 ", "0x5", "18446744073709551616"];
        for size in bad {
            assert!(parse(&good.replacen('5', size, 1)).is_err(), "{size}");
        }
        assert!(parse(&format!("log\n18446744073709551615\n{root}\n")).is_ok());
        for text in [
            "log\n",
            "log\n5\n",
            "\n5\nAAAA\n",
            "log\n5\nAAAA\n",
            &format!("log\n5\n{root}\n\nx\n"),
            &format!("log\n5\n{root}=\n"),
            &format!("\n5\n{root}\n"),
            &format!("log\n5\n{}\n", root.trim_end_matches('=')),
            &format!("log\n5\n {root}\n"),
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn checkpoint_is_read_by_another_implementation() {
        let vectors = Vectors::load();
        let text = Checkpoint::parse(vectors.checkpoint.as_bytes()).unwrap().note().text().to_owned();
        let theirs = tlog_tiles::Checkpoint::from_bytes(text.as_bytes()).unwrap();
        assert_eq!((theirs.origin(), theirs.size(), theirs.hash().0), ("coffer.test/audit", 5, vectors.roots[&5]));
    }

    proptest! {
        #[test]
        fn checkpoint_written_is_read_back(size: u64, root: [u8; 32]) {
            let origin = KeyName::new("example.com/log").unwrap();
            let head = Head { size, root };
            let key = signer("example.com/log", 4);
            let read = Checkpoint::parse(sign_head(&origin, &head, [&key]).as_bytes()).unwrap();
            prop_assert_eq!(read.head, head);
            prop_assert!(read.verify(&origin, [key.verifier()]).is_ok());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, lines in "([a-z0-9+/=]{0,44}\n){0,6}\n— a AAAAAAA=\n") {
            let _ = Checkpoint::parse(&bytes);
            let _ = Checkpoint::parse(lines.as_bytes());
        }
    }
}
