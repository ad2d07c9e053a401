//! Signed notes (C2SP `signed-note`): text, a blank line, then one line for each signature.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_crypto::{
    hash::sha256,
    sign::{self, SigningKey},
};

/// Why a note, a key or a name was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NoteError {
    /// The text of a verifier key is not one, or its id does not fit its key.
    #[error("not a verifier key: {0}")]
    Key(&'static str),
    /// The bytes are not a signed note.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// A key name is empty, too long, or has a space, a plus sign or a control character.
    #[error("not a key name: 1 to {MAX_NAME} bytes, no space, plus sign or control character")]
    Name,
    /// A signature by a known key is wrong.
    #[error("the signature of {0} is wrong")]
    Signature(String),
    /// No known key has signed.
    #[error("signed by none of the known keys")]
    Unsigned,
}

/// The name of a key, and of a log: non-empty, without spaces, plus signs and control characters.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct KeyName(Box<str>);

impl KeyName {
    /// Takes a name of 1 to 255 bytes.
    ///
    /// # Errors
    /// [`NoteError::Name`].
    pub fn new(name: &str) -> Result<Self, NoteError> {
        let forbidden = |c: char| c.is_whitespace() || c.is_control() || c == '+';
        if name.is_empty() || name.len() > MAX_NAME || name.contains(forbidden) {
            return Err(NoteError::Name);
        }
        Ok(Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first four bytes of the hash of a key; finds the key that signed, proves nothing.
pub type KeyId = [u8; 4];

/// What a key signs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyKind {
    /// A checkpoint with a time, as a witness does (`tlog-cosignature`).
    CosignatureV1,
    /// The text of a note.
    Ed25519,
}

impl KeyKind {
    fn byte(self) -> u8 {
        match self {
            KeyKind::CosignatureV1 => 4,
            KeyKind::Ed25519 => 1,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        [KeyKind::CosignatureV1, KeyKind::Ed25519].into_iter().find(|kind| kind.byte() == byte)
    }
}

/// A public key with its name: `<name>+<id in hex>+<base64 of kind and key>`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VerifierKey {
    name: KeyName,
    kind: KeyKind,
    public: [u8; 32],
    id: KeyId,
}

impl VerifierKey {
    /// The key that checks the notes of this name and public key.
    pub fn new(name: KeyName, public: [u8; 32]) -> Self {
        Self::of_kind(name, KeyKind::Ed25519, public)
    }

    fn of_kind(name: KeyName, kind: KeyKind, public: [u8; 32]) -> Self {
        let digest = sha256(&[name.as_str().as_bytes(), b"\n", &[kind.byte()], &public]);
        let [a, b, c, d, ..] = digest;
        Self { name, kind, public, id: [a, b, c, d] }
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`NoteError::Name`], [`NoteError::Key`].
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key("it has three parts with + between them"));
        };
        let name = KeyName::new(name)?;
        let key = STANDARD.decode(key).map_err(|_| NoteError::Key("the last part is no base64"))?;
        let (kind, public) = key.split_first().ok_or(NoteError::Key("the key is empty"))?;
        let kind = KeyKind::from_byte(*kind).ok_or(NoteError::Key("an algorithm this release does not know"))?;
        let public = public.try_into().map_err(|_| NoteError::Key("an Ed25519 key has 32 bytes"))?;
        let key = Self::of_kind(name, kind, public);
        if id != hex(&key.id) {
            return Err(NoteError::Key("the id does not fit the key"));
        }
        Ok(key)
    }

    /// The name of the key.
    pub fn name(&self) -> &KeyName {
        &self.name
    }

    /// The id that stands in signatures.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// What it signs.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    fn verify(&self, text: &str, signature: &[u8]) -> bool {
        let (message, signature) = match self.kind {
            KeyKind::Ed25519 => (text.as_bytes().to_vec(), signature),
            KeyKind::CosignatureV1 => {
                let Some((time, signature)) = signature.split_first_chunk::<8>() else { return false };
                (format!("cosignature/v1\ntime {}\n{text}", u64::from_be_bytes(*time)).into_bytes(), signature)
            }
        };
        let Ok(signature) = signature.try_into() else { return false };
        sign::verify(&self.public, &message, signature).is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = [[self.kind.byte()].as_slice(), &self.public].concat();
        write!(f, "{}+{}+{}", self.name, hex(&self.id), STANDARD.encode(key))
    }
}

/// A key pair under its name.
pub(crate) struct NoteSigner {
    key: SigningKey,
    verifier: VerifierKey,
}

impl NoteSigner {
    pub(crate) fn new(name: KeyName, key: SigningKey) -> Self {
        let verifier = VerifierKey::new(name, key.public_key());
        Self { key, verifier }
    }

    pub(crate) fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// The signature line over `text`, with its newline.
    fn line(&self, text: &str) -> String {
        let signature = self.key.sign(text.as_bytes());
        let blob = [self.verifier.id.as_slice(), &signature].concat();
        format!("— {} {}\n", self.verifier.name, STANDARD.encode(blob))
    }
}

/// The note of `text`, which ends in a newline, signed by each of `signers` in turn.
pub(crate) fn signed<'a>(text: &str, signers: impl IntoIterator<Item = &'a NoteSigner>) -> String {
    debug_assert!(text.ends_with('\n'), "the text of a note ends in a newline");
    let mut note = format!("{text}\n");
    for signer in signers {
        note.push_str(&signer.line(text));
    }
    note
}

/// One signature of a note.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NoteSignature {
    /// The name of the key said to have signed.
    pub name: KeyName,
    /// The id of that key.
    pub id: KeyId,
    /// What the key made, without the id.
    pub bytes: Vec<u8>,
}

/// A note as read: nothing in it is true before [`Note::verify`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    text: String,
    signatures: Vec<NoteSignature>,
}

impl Note {
    /// Reads a note of at most 128 KiB and 64 signatures.
    ///
    /// # Errors
    /// [`NoteError::Malformed`], [`NoteError::Name`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        if bytes.len() > MAX_NOTE {
            return Err(NoteError::Malformed("longer than 128 KiB"));
        }
        let whole = str::from_utf8(bytes).map_err(|_| NoteError::Malformed("not UTF-8"))?;
        if whole.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(NoteError::Malformed("a control character"));
        }
        let (text, lines) = whole.rsplit_once("\n\n").ok_or(NoteError::Malformed("no blank line"))?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Malformed("does not end in a newline"))?;
        let signatures =
            lines.split('\n').map(parse_signature).take(MAX_SIGNATURES + 1).collect::<Result<Vec<_>, _>>()?;
        if signatures.len() > MAX_SIGNATURES {
            return Err(NoteError::Malformed("more than 64 signatures"));
        }
        Ok(Self { text: format!("{text}\n"), signatures })
    }

    /// The text, with its last newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The signatures, unverified.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// The keys among `keys` that have signed; signatures by other keys do not count.
    ///
    /// # Errors
    /// [`NoteError::Signature`] if a signature of a known key is wrong, [`NoteError::Unsigned`] if there is none.
    pub fn verify<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a VerifierKey> + Clone,
    ) -> Result<Vec<&'a VerifierKey>, NoteError> {
        let mut signed: Vec<&VerifierKey> = Vec::new();
        for signature in &self.signatures {
            let known = |key: &&VerifierKey| key.name == signature.name && key.id == signature.id;
            let Some(key) = keys.clone().into_iter().find(known) else { continue };
            if !key.verify(&self.text, &signature.bytes) {
                return Err(NoteError::Signature(key.to_string()));
            }
            if !signed.contains(&key) {
                signed.push(key);
            }
        }
        if signed.is_empty() { Err(NoteError::Unsigned) } else { Ok(signed) }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for signature in &self.signatures {
            let blob = [signature.id.as_slice(), &signature.bytes].concat();
            writeln!(f, "— {} {}", signature.name, STANDARD.encode(blob))?;
        }
        Ok(())
    }
}

fn parse_signature(line: &str) -> Result<NoteSignature, NoteError> {
    let rest =
        line.strip_prefix("— ").ok_or(NoteError::Malformed("a signature line starts with a dash and a space"))?;
    let (name, blob) = rest.split_once(' ').ok_or(NoteError::Malformed("a signature line without a signature"))?;
    let blob = STANDARD.decode(blob).map_err(|_| NoteError::Malformed("a signature that is no base64"))?;
    let (id, bytes) = blob.split_first_chunk::<4>().ok_or(NoteError::Malformed("a signature without a key id"))?;
    if bytes.is_empty() {
        return Err(NoteError::Malformed("an empty signature"));
    }
    Ok(NoteSignature { name: KeyName::new(name)?, id: *id, bytes: bytes.to_vec() })
}

fn hex(id: &KeyId) -> String {
    format!("{:08x}", u32::from_be_bytes(*id))
}

const MAX_NAME: usize = 255;
const MAX_NOTE: usize = 128 * 1024;
const MAX_SIGNATURES: usize = 64;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use signed_note::Verifier;

    use super::*;
    use crate::tlog::tests::vectors::{Vectors, signer};

    #[test]
    fn keys_and_signatures_of_the_golden_vectors_agree() {
        let vectors = Vectors::load();
        let log = signer("coffer.test/audit", 0);
        assert_eq!(log.verifier().to_string(), vectors.vkey);
        assert_eq!(VerifierKey::parse(&vectors.vkey).unwrap(), *log.verifier());
        let note = Note::parse(vectors.checkpoint.as_bytes()).unwrap();
        assert_eq!(signed(note.text(), [&log]), vectors.checkpoint);
        assert_eq!(note.to_string(), vectors.checkpoint);
        assert_eq!(note.verify([log.verifier()]).unwrap(), [log.verifier()]);
    }

    #[test]
    fn cosignature_of_the_golden_vectors_verifies_until_its_time_is_changed() {
        let vectors = Vectors::load();
        let witness = VerifierKey::parse(&vectors.witness_vkey).unwrap();
        assert_eq!(witness.kind(), KeyKind::CosignatureV1);
        let mut note = Note::parse(format!("{}{}", vectors.checkpoint, vectors.cosignature).as_bytes()).unwrap();
        assert_eq!(note.verify([&witness]).unwrap(), [&witness]);
        note.signatures[1].bytes[7] ^= 1;
        assert!(matches!(note.verify([&witness]), Err(NoteError::Signature(_))));
    }

    #[test]
    fn note_signed_here_is_accepted_by_another_implementation_and_back() {
        let ours = signer("example.com/log", 7);
        let text = "first\n\nsecond — with a dash\n";
        let note = signed(text, [&ours]);
        let theirs = signed_note::StandardVerifier::new(&ours.verifier().to_string()).unwrap();
        assert_eq!(theirs.key_id().to_be_bytes(), ours.verifier().id());
        let parsed = signed_note::Note::from_bytes(note.as_bytes()).unwrap();
        assert_eq!(parsed.text(), text.as_bytes());
        let (verified, _) = parsed.verify(&signed_note::VerifierList::new(vec![Box::new(theirs)])).unwrap();
        assert_eq!(verified.len(), 1);
    }

    #[test]
    fn note_with_a_wrong_signature_of_a_known_key_is_refused() {
        let (one, other, stranger) = (signer("one", 1), signer("other", 2), signer("one", 3));
        let text = "text\n";
        let note = signed(text, [&one, &stranger, &other]);
        let parsed = Note::parse(note.as_bytes()).unwrap();
        assert_eq!(parsed.verify([other.verifier(), one.verifier()]).unwrap(), [one.verifier(), other.verifier()]);
        assert_eq!(parsed.verify([signer("x", 9).verifier()]), Err(NoteError::Unsigned));
        let forged = note.replacen("text", "next", 1);
        let forged = Note::parse(forged.as_bytes()).unwrap();
        assert!(matches!(forged.verify([one.verifier()]), Err(NoteError::Signature(_))));
    }

    #[test]
    fn note_not_in_form_is_refused() {
        let good = signed("text\n", [&signer("one", 1)]);
        assert!(Note::parse(good.as_bytes()).is_ok());
        let many = format!("text\n\n{}", "— a AAAAAAA=\n".repeat(65));
        let cases = [
            "",
            "\n",
            "text\n",
            "text\n\n",
            "text\n\n\n",
            "\n\n— a AAAAAAA",
            "text\n\n- a AAAAAAA=\n",
            "text\n\n— a\n",
            "text\n\n— a+b AAAAAAA=\n",
            "text\n\n—  AAAAAAA=\n",
            "text\n\n— a AAAAAA==\n",
            "text\n\n— a AAAAAAA\n",
            "te\txt\n\n— a AAAAAAA=\n",
            "text\r\n\n— a AAAAAAA=\n",
            "text\n\n— a AAAAAAA=\n\n",
            &many,
        ];
        for case in cases {
            assert!(Note::parse(case.as_bytes()).is_err(), "{case:?}");
        }
        assert!(Note::parse(&[b"text\xff\n\n".as_slice(), "— a AAAAAAA=\n".as_bytes()].concat()).is_err());
        assert!(Note::parse(&vec![b'a'; MAX_NOTE + 1]).is_err());
        let sixteen = format!("text\n\n{}", "— a AAAAAAA=\n".repeat(16));
        assert_eq!(Note::parse(sixteen.as_bytes()).unwrap().signatures().len(), 16);
    }

    #[test]
    fn verifier_key_not_in_form_is_refused() {
        let good = signer("a", 1).verifier().to_string();
        assert!(VerifierKey::parse(&good).is_ok());
        for case in ["", "a", "a+b", "+00000000+AQ==", "a+00000000+AQ==", &good[1..], &good.replace("a+", "b+")] {
            assert!(VerifierKey::parse(case).is_err(), "{case}");
        }
        for name in ["", "a b", "a+b", "a\u{a0}b", "a\nb", "a\u{7f}", &"x".repeat(256)] {
            assert_eq!(KeyName::new(name), Err(NoteError::Name), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn parsers_of_arbitrary_text_never_panic(bytes: Vec<u8>, text in "(\\PC|\n|— |\\+){0,40}") {
            let _ = Note::parse(&bytes);
            let _ = VerifierKey::parse(&text);
            if let Ok(note) = Note::parse(text.as_bytes()) {
                prop_assert_eq!(note.to_string(), text);
            }
        }

        #[test]
        fn note_with_one_changed_byte_is_not_verified(at: prop::sample::Index, bit in 0..8_u8, text in "([a-z ]{0,9}\n){1,4}") {
            let key = signer("example.com/log", 5);
            let mut note = signed(&text, [&key]).into_bytes();
            let at = at.index(note.len());
            note[at] ^= 1 << bit;
            if let Ok(parsed) = Note::parse(&note) {
                prop_assert!(parsed.verify([key.verifier()]).is_err());
            }
        }
    }
}
