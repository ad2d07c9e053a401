//! Proof files (C2SP `tlog-proof@v1`): one entry's place in the log, to be checked without the log.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    checkpoint::{Checkpoint, CheckpointError, parse_decimal, parse_hash},
    merkle::{Hash, leaf_hash},
    note::{KeyName, VerifierKey},
    proof::{ProofError, verify_inclusion},
};

/// Why a proof file was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ProofFileError {
    /// The checkpoint in it.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The text is no proof file.
    #[error("not a proof file: {0}")]
    Malformed(&'static str),
    /// The proof does not hold.
    #[error(transparent)]
    Proof(#[from] ProofError),
}

/// An entry's index, the hashes from its leaf to the root, and the checkpoint that signs the root.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ProofFile {
    /// Data for the application, which nothing in the file vouches for.
    pub extra: Option<Vec<u8>>,
    /// The index of the entry.
    pub index: u64,
    /// The inclusion proof, the leaf's sibling first; at most 64 hashes.
    pub path: Vec<Hash>,
    /// The signed checkpoint, as the log wrote it.
    pub checkpoint: String,
}

impl ProofFile {
    /// Reads a file of at most 256 KiB.
    ///
    /// # Errors
    /// [`ProofFileError::Malformed`], [`ProofFileError::Checkpoint`] where what follows the proof is none.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofFileError> {
        use ProofFileError::Malformed;
        if bytes.len() > MAX_FILE {
            return Err(Malformed("longer than 256 KiB"));
        }
        let text = str::from_utf8(bytes).map_err(|_| Malformed("not UTF-8"))?;
        let (head, checkpoint) = text.split_once("\n\n").ok_or(Malformed("no blank line"))?;
        let mut lines = head.split('\n').peekable();
        if lines.next() != Some(FIRST_LINE) {
            return Err(Malformed("the first line is another"));
        }
        let extra = match lines.peek().and_then(|line| line.strip_prefix("extra ")) {
            None => None,
            Some(extra) => {
                let extra = STANDARD.decode(extra).map_err(|_| Malformed("the extra data is no base64"))?;
                lines.next();
                Some(extra)
            }
        };
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(parse_decimal);
        let index = index.ok_or(Malformed("no index"))?;
        let path = lines.take(MAX_PATH + 1).map(parse_hash).collect::<Option<Vec<_>>>();
        let path = path.ok_or(Malformed("a line that is no hash in base64"))?;
        if path.len() > MAX_PATH {
            return Err(Malformed("more than 64 hashes"));
        }
        Checkpoint::parse(checkpoint.as_bytes())?;
        Ok(Self { extra, index, path, checkpoint: checkpoint.to_owned() })
    }

    /// The text of the file.
    pub fn to_text(&self) -> String {
        let mut text = format!("{FIRST_LINE}\n");
        if let Some(extra) = &self.extra {
            text.push_str(&format!("extra {}\n", STANDARD.encode(extra)));
        }
        text.push_str(&format!("index {}\n", self.index));
        for hash in &self.path {
            text.push_str(&format!("{}\n", STANDARD.encode(hash)));
        }
        text.push('\n');
        text.push_str(&self.checkpoint);
        text
    }

    /// Checks that the log of this origin, by one of `keys`, has signed a tree with `entry` at the index.
    ///
    /// # Errors
    /// [`ProofFileError::Checkpoint`], [`ProofFileError::Proof`].
    pub fn verify<'a>(
        &self,
        entry: &[u8],
        origin: &KeyName,
        keys: impl IntoIterator<Item = &'a VerifierKey> + Clone,
    ) -> Result<Checkpoint, ProofFileError> {
        let checkpoint = Checkpoint::parse(self.checkpoint.as_bytes())?;
        checkpoint.verify(origin, keys)?;
        let head = checkpoint.head;
        verify_inclusion(self.index, head.size, &leaf_hash(entry), &self.path, &head.root)?;
        Ok(checkpoint)
    }
}

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";
const MAX_FILE: usize = 256 * 1024;
const MAX_PATH: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tlog::tests::vectors::{Vectors, entry, signer};

    fn golden() -> ProofFile {
        let vectors = Vectors::load();
        let case = vectors.inclusion.iter().find(|case| (case.index, case.size) == (3, 5)).unwrap();
        ProofFile { extra: None, index: 3, path: case.proof.clone(), checkpoint: vectors.checkpoint.clone() }
    }

    #[test]
    fn proof_file_of_the_golden_vectors_verifies_for_its_entry_alone() {
        let key = signer("coffer.test/audit", 0);
        let origin = KeyName::new("coffer.test/audit").unwrap();
        for extra in [None, Some(b"receipt".to_vec()), Some(Vec::new())] {
            let file = ProofFile { extra, ..golden() };
            let read = ProofFile::parse(file.to_text().as_bytes()).unwrap();
            assert_eq!(read, file);
            assert_eq!(read.verify(&entry(3), &origin, [key.verifier()]).unwrap().head.size, 5);
            assert!(matches!(read.verify(&entry(2), &origin, [key.verifier()]), Err(ProofFileError::Proof(_))));
            let stranger = signer("coffer.test/audit", 9);
            assert!(matches!(
                read.verify(&entry(3), &origin, [stranger.verifier()]),
                Err(ProofFileError::Checkpoint(_))
            ));
        }
    }

    #[test]
    fn proof_file_of_a_single_entry_has_no_hashes() {
        let file = ProofFile { path: Vec::new(), index: 0, ..golden() };
        assert!(file.to_text().starts_with("c2sp.org/tlog-proof@v1\nindex 0\n\ncoffer.test/audit\n"));
        assert_eq!(ProofFile::parse(file.to_text().as_bytes()).unwrap(), file);
    }

    #[test]
    fn proof_file_not_in_form_is_refused() {
        let good = golden().to_text();
        let bad = [
            good.replacen("@v1", "@v2", 1),
            good.replacen("index 3\n", "", 1),
            good.replacen("index 3", "index 03", 1),
            good.replacen("index 3", "extra !\nindex 3", 1),
            good.replacen("\n\n", "\n", 1),
            good.replacen("index 3\n", "index 3\nAAAA\n", 1),
            good.replacen("\n\n", "\n\n\n", 1),
            String::new(),
            good.replacen(
                "index 3\n",
                &format!("index 3\n{}", format!("{}\n", STANDARD.encode([0; 32])).repeat(65)),
                1,
            ),
        ];
        for text in bad {
            assert!(ProofFile::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(ProofFile::parse(&vec![b'a'; MAX_FILE + 1]).is_err());
    }

    proptest! {
        #[test]
        fn proof_file_with_one_changed_byte_does_not_verify(at: prop::sample::Index, bit in 0..8_u8) {
            let key = signer("coffer.test/audit", 0);
            let origin = KeyName::new("coffer.test/audit").unwrap();
            let mut text = golden().to_text().into_bytes();
            let at = at.index(text.len());
            text[at] ^= 1 << bit;
            if let Ok(file) = ProofFile::parse(&text) {
                prop_assert!(file.verify(&entry(3), &origin, [key.verifier()]).is_err());
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>, tail in "([a-z0-9 +/=]{0,44}\n){0,8}") {
            let _ = ProofFile::parse(&bytes);
            let _ = ProofFile::parse(format!("{FIRST_LINE}\n{tail}").as_bytes());
        }
    }
}
