//! SHA-256 and HMAC-SHA256, and the other hashes that can be asked for.

use aws_lc_rs::{digest, hmac};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{Error, Secret};

/// A hash function.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Algorithm {
    /// SHA-1, for signatures and keyed hashes that others ask for.
    Sha1,
    /// SHA-224.
    Sha2_224,
    /// SHA-256.
    Sha2_256,
    /// SHA-384.
    Sha2_384,
    /// SHA-512.
    Sha2_512,
    /// SHA3-224.
    Sha3_224,
    /// SHA3-256.
    Sha3_256,
    /// SHA3-384.
    Sha3_384,
    /// SHA3-512.
    Sha3_512,
}

impl Algorithm {
    /// All of them, by name.
    pub const ALL: [Self; 9] = [
        Self::Sha1,
        Self::Sha2_224,
        Self::Sha2_256,
        Self::Sha2_384,
        Self::Sha2_512,
        Self::Sha3_224,
        Self::Sha3_256,
        Self::Sha3_384,
        Self::Sha3_512,
    ];

    /// The algorithm of that name, as `sha2-256`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Its name, as `sha2-256`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha2_224 => "sha2-224",
            Self::Sha2_256 => "sha2-256",
            Self::Sha2_384 => "sha2-384",
            Self::Sha2_512 => "sha2-512",
            Self::Sha3_224 => "sha3-224",
            Self::Sha3_256 => "sha3-256",
            Self::Sha3_384 => "sha3-384",
            Self::Sha3_512 => "sha3-512",
        }
    }

    /// The length of a hash in bytes, 20 to 64.
    pub fn output_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha2_224 | Self::Sha3_224 => 28,
            Self::Sha2_256 | Self::Sha3_256 => 32,
            Self::Sha2_384 | Self::Sha3_384 => 48,
            Self::Sha2_512 | Self::Sha3_512 => 64,
        }
    }

    /// The length of the blocks that the hash works on, which HMAC pads to.
    pub(crate) fn block_len(self) -> usize {
        match self {
            Self::Sha1 | Self::Sha2_224 | Self::Sha2_256 => 64,
            Self::Sha2_384 | Self::Sha2_512 => 128,
            Self::Sha3_224 => 144,
            Self::Sha3_256 => 136,
            Self::Sha3_384 => 104,
            Self::Sha3_512 => 72,
        }
    }
}

/// The hash of a message, in as many bytes as its name says bits (of SHA-1: 160).
pub fn digest(algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
    Digest::of(algorithm, message).as_bytes().to_vec()
}

/// A hash, without an allocation.
pub(crate) struct Digest {
    bytes: [u8; 64],
    len: usize,
}

impl Digest {
    pub(crate) fn of(algorithm: Algorithm, message: &[u8]) -> Self {
        let library = match algorithm {
            Algorithm::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Algorithm::Sha2_224 => &digest::SHA224,
            Algorithm::Sha2_256 => &digest::SHA256,
            Algorithm::Sha2_384 => &digest::SHA384,
            Algorithm::Sha2_512 => &digest::SHA512,
            Algorithm::Sha3_224 => {
                return Self::copy_of(&coffer_evp::sha3_224(message).expect("hashing fails for want of memory alone"));
            }
            Algorithm::Sha3_256 => &digest::SHA3_256,
            Algorithm::Sha3_384 => &digest::SHA3_384,
            Algorithm::Sha3_512 => &digest::SHA3_512,
        };
        Self::copy_of(digest::digest(library, message).as_ref())
    }

    /// Bytes that are a hash already, if they are as long as one.
    pub(crate) fn from_bytes(algorithm: Algorithm, bytes: &[u8]) -> Option<Self> {
        (bytes.len() == algorithm.output_len()).then(|| Self::copy_of(bytes))
    }

    /// At most 64 bytes, as every hash has.
    fn copy_of(hash: &[u8]) -> Self {
        let mut bytes = [0; 64];
        bytes.iter_mut().zip(hash).for_each(|(byte, of_hash)| *byte = *of_hash);
        Self { bytes, len: hash.len() }
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// SHA-256 of the parts one after the other, as if they were one slice.
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    context.finish().as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

/// SHA-256 of what comes piece by piece, and is public.
#[derive(Clone)]
pub struct Sha256(digest::Context);

impl Sha256 {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Takes in the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of all pieces.
    pub fn finish(self) -> [u8; 32] {
        self.0.finish().as_ref().try_into().expect("SHA-256 gives 32 bytes")
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

/// A key for HMAC-SHA256, its pads hashed once.
// Boxed, so that moving the value leaves no copies of the key's state on the stack.
pub struct HmacKey(Box<hmac::Key>);

impl HmacKey {
    /// Takes a key of any length; 32 random bytes are right.
    pub fn new(key: &Secret) -> Self {
        Self::from_bytes(key.expose())
    }

    pub(crate) fn from_bytes(key: &[u8]) -> Self {
        Self(Box::new(hmac::Key::new(hmac::HMAC_SHA256, key)))
    }

    /// The HMAC of the parts one after the other, as if they were one slice: a caller whose parts vary in length puts
    /// the lengths among them.
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; 32] {
        // In one piece, because a context that takes several is moved to be finished, and leaves a copy of the message's
        // last block behind on the stack.
        match parts {
            [whole] => self.mac_whole(whole),
            parts => self.mac_whole(&Zeroizing::new(parts.concat())),
        }
    }

    fn mac_whole(&self, message: &[u8]) -> [u8; 32] {
        let mut mac = [0; 32];
        hmac::sign_to_buffer(&self.0, message, &mut mac).expect("the buffer holds an HMAC-SHA256");
        mac
    }

    /// Compares the HMAC of the parts with `tag`, in time that depends on the lengths alone.
    ///
    /// # Errors
    /// [`Error::Authentication`] if they differ, or if `tag` is not whole.
    pub fn verify(&self, parts: &[&[u8]], tag: &[u8]) -> Result<(), Error> {
        if self.mac(parts).ct_eq(tag).into() { Ok(()) } else { Err(Error::Authentication) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testdata::Vector;

    #[test]
    fn hmac_published_vectors_hold() {
        let (vectors, must_fail) = Vector::load("hmac-sha256.json");
        assert_eq!((vectors.len(), must_fail), (87, 54));
        for vector in vectors {
            let key = HmacKey::from_bytes(&vector.bytes("key"));
            let verified = key.verify(&[&vector.bytes("message")], &vector.bytes("tag"));
            assert_eq!(verified.is_ok(), vector.is_valid(), "{}", vector.id());
        }
    }

    #[test]
    fn sha256_published_vectors_hold() {
        // FIPS 180-4 examples: one block, two blocks, none.
        let one = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let two = "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1";
        let none = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let text = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
        for (message, digest) in [(b"abc".as_slice(), one), (text, two), (b"", none)] {
            let hex: String = sha256(&[message]).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, digest);
        }
    }

    #[test]
    fn every_hash_gives_its_published_digest() {
        // FIPS 180-4 and FIPS 202: the message "abc".
        for (algorithm, start, bits) in [
            (Algorithm::Sha1, "a9993e364706816aba3e25717850c26c", 160),
            (Algorithm::Sha2_224, "23097d223405d8228642a477bda255b3", 224),
            (Algorithm::Sha2_256, "ba7816bf8f01cfea414140de5dae2223", 256),
            (Algorithm::Sha2_384, "cb00753f45a35e8bb5a03d699ac65007", 384),
            (Algorithm::Sha2_512, "ddaf35a193617abacc417349ae204131", 512),
            (Algorithm::Sha3_224, "e642824c3f8cf24ad09234ee7d3c766f", 224),
            (Algorithm::Sha3_256, "3a985da74fe225b2045c172d6bd390bd", 256),
            (Algorithm::Sha3_384, "ec01498288516fc926459f58e2c6ad8d", 384),
            (Algorithm::Sha3_512, "b751850b1a57168a5693cd924b6b096e", 512),
        ] {
            let digest = digest(algorithm, b"abc");
            let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!((digest.len() * 8, algorithm.output_len() * 8), (bits, bits));
            assert!(hex.starts_with(start), "{algorithm:?}: {hex}");
        }
    }

    #[test]
    fn sha256_of_parts_equals_sha256_of_the_whole() {
        assert_eq!(sha256(&[b"ab", b"", b"c"]), sha256(&[b"abc"]));
    }

    #[test]
    fn hmac_tag_of_another_length_is_refused() {
        let key = HmacKey::new(&Secret::copy_from(&[1; 32]).unwrap());
        let tag = key.mac(&[b"message"]);
        assert!(key.verify(&[b"mess", b"age"], &tag).is_ok());
        for wrong in [&tag[..31], &tag[..16], &[], &[tag.as_slice(), &[0]].concat()] {
            assert!(matches!(key.verify(&[b"message"], wrong), Err(Error::Authentication)));
        }
    }
}
