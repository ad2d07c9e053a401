//! The RSA and ECDSA operations that aws-lc has and aws-lc-rs does not show: signatures over any digest on any key,
//! RSA-PSS with any salt, OAEP with any hash, and SHA3-224.
//!
//! With `lockmem` the only crate that may use `unsafe` (docs/adr/0002-evp.md). It must never print or keep what it is
//! given, and never choose: which hash, key or salt is fit for what is `coffer-crypto`'s business.

use std::ffi::c_int;
use std::ptr::{NonNull, null_mut};

use aws_lc_sys as lc;

/// The library refused: a malformed key or signature, or an input out of bounds. A reason would be an oracle.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refused;

/// What a key must be to be taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Kind {
    Ec,
    Rsa,
}

/// A hash function.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(missing_docs, reason = "their names say it")]
pub enum Hash {
    Sha1,
    Sha2_224,
    Sha2_256,
    Sha2_384,
    Sha2_512,
    Sha3_224,
    Sha3_256,
    Sha3_384,
    Sha3_512,
}

/// How a signature is made over a digest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Scheme {
    /// ECDSA in DER. A digest longer than the curve's order is cut, as FIPS 186-5 says.
    Ecdsa,
    /// RSASSA-PKCS1-v1_5 over a digest of that hash, or over any bytes, without a hash's identifier.
    RsaPkcs1(Option<Hash>),
    /// RSASSA-PSS over a digest of that hash, with the same hash in MGF1.
    RsaPss(Hash, Salt),
}

/// The length of PSS's salt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Salt {
    /// The longest that fits when signing, any when verifying.
    Auto,
    /// So many bytes, exactly.
    Bytes(u16),
}

/// A private key, parsed and checked.
pub struct PrivateKey(Key);

impl PrivateKey {
    /// Parses PKCS#8, in DER. RSA's numbers are checked against each other, but not for being prime; an elliptic curve's
    /// public point is checked against the private number, or computed.
    ///
    /// # Errors
    /// [`Refused`] for a key of another kind, one that is no valid key, and bytes after it.
    pub fn from_pkcs8(kind: Kind, der: &[u8]) -> Result<Self, Refused> {
        // SAFETY: `Key::parse` hands over a CBS over `der`, valid for the call.
        Key::parse(kind, der, |cbs| unsafe { lc::EVP_parse_private_key(cbs) }).map(Self)
    }

    /// Signs a digest.
    ///
    /// # Errors
    /// [`Refused`] for a scheme of another kind of key, a digest of another length than its hash's, and one or a salt
    /// that does not fit the key.
    pub fn sign(&self, scheme: Scheme, digest: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut context = Context::begin(&self.0, lc::EVP_PKEY_sign_init)?;
        context.set_scheme(self.0.kind, scheme)?;
        context.collect(lc::EVP_PKEY_sign, digest, self.0.output_len())
    }

    /// Opens RSA-OAEP, with one hash for the label, which is empty, and MGF1. The plaintext is the first bytes of `out`,
    /// as many as returned; the rest of it may hold rubbish, so a caller wipes all of it.
    ///
    /// # Errors
    /// [`Refused`] if this is no RSA key, the bytes do not open, or `out` is shorter than the modulus.
    pub fn open_oaep(&self, hash: Hash, ciphertext: &[u8], out: &mut [u8]) -> Result<usize, Refused> {
        let mut context = Context::begin(&self.0, lc::EVP_PKEY_decrypt_init)?;
        context.set_oaep(self.0.kind, hash)?;
        context.run(lc::EVP_PKEY_decrypt, ciphertext, out)
    }

    /// The length of a modulus, or the longest of a signature: how long a buffer must be.
    pub fn output_len(&self) -> usize {
        self.0.output_len()
    }
}

/// A public key, parsed and checked.
pub struct PublicKey(Key);

impl PublicKey {
    /// Parses a `SubjectPublicKeyInfo`, in DER. A point that is not on its curve is refused.
    ///
    /// # Errors
    /// [`Refused`] for a key of another kind, one that is no valid key, and bytes after it.
    pub fn from_spki(kind: Kind, der: &[u8]) -> Result<Self, Refused> {
        // SAFETY: `Key::parse` hands over a CBS over `der`, valid for the call.
        Key::parse(kind, der, |cbs| unsafe { lc::EVP_parse_public_key(cbs) }).map(Self)
    }

    /// Verifies a signature over a digest.
    ///
    /// # Errors
    /// [`Refused`] if it is none: another message, key or scheme, or malformed in any way.
    pub fn verify(&self, scheme: Scheme, digest: &[u8], signature: &[u8]) -> Result<(), Refused> {
        let mut context = Context::begin(&self.0, lc::EVP_PKEY_verify_init)?;
        context.set_scheme(self.0.kind, scheme)?;
        let (signature, signature_len) = (signature.as_ptr(), signature.len());
        // SAFETY: reads as many bytes of signature and digest as they have.
        check(unsafe { lc::EVP_PKEY_verify(context.as_ptr(), signature, signature_len, digest.as_ptr(), digest.len()) })
    }

    /// Seals with RSA-OAEP, as [`PrivateKey::open_oaep`] opens.
    ///
    /// # Errors
    /// [`Refused`] if this is no RSA key or the plaintext is too long for it.
    pub fn seal_oaep(&self, hash: Hash, plaintext: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut context = Context::begin(&self.0, lc::EVP_PKEY_encrypt_init)?;
        context.set_oaep(self.0.kind, hash)?;
        context.collect(lc::EVP_PKEY_encrypt, plaintext, self.0.output_len())
    }

    /// The length of a modulus.
    pub fn output_len(&self) -> usize {
        self.0.output_len()
    }
}

/// SHA3-224, the one hash of this list that aws-lc-rs lacks.
///
/// # Errors
/// [`Refused`] if the library is out of memory.
pub fn sha3_224(message: &[u8]) -> Result<[u8; 28], Refused> {
    let mut out = [0; 28];
    let (data, hash) = (message.as_ptr().cast(), Hash::Sha3_224.as_ptr());
    // SAFETY: reads as many bytes as `message` has; SHA3-224 writes 28, which `out` has; the length is not asked for.
    let hashed = unsafe { lc::EVP_Digest(data, message.len(), out.as_mut_ptr(), null_mut(), hash, null_mut()) };
    check(hashed).map(|()| out)
}

/// A key of the library, freed on drop, which wipes what is private.
struct Key {
    pkey: NonNull<lc::EVP_PKEY>,
    kind: Kind,
}

// SAFETY: nothing about a key is tied to a thread.
unsafe impl Send for Key {}
// SAFETY: after parsing a key is only used, by functions that the library says may run on one key at once (evp.h): its
// reference count is atomic, and RSA's blinding has a lock of its own.
unsafe impl Sync for Key {}

impl Key {
    fn parse(kind: Kind, der: &[u8], parse: impl FnOnce(*mut lc::CBS) -> *mut lc::EVP_PKEY) -> Result<Self, Refused> {
        let mut cbs = lc::cbs_st { data: der.as_ptr(), len: der.len() };
        let Some(pkey) = NonNull::new(parse(&raw mut cbs)) else {
            return Err(refuse());
        };
        let key = Self { pkey, kind };
        // SAFETY: the key is valid.
        let id = unsafe { lc::EVP_PKEY_id(key.pkey.as_ptr()) };
        let wanted = match kind {
            Kind::Ec => lc::EVP_PKEY_EC,
            Kind::Rsa => lc::EVP_PKEY_RSA,
        };
        if id == wanted && cbs.len == 0 { Ok(key) } else { Err(Refused) }
    }

    fn output_len(&self) -> usize {
        // SAFETY: the key is valid.
        usize::try_from(unsafe { lc::EVP_PKEY_size(self.pkey.as_ptr()) }).unwrap_or(0)
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: this value's reference, given up here and nowhere else.
        unsafe { lc::EVP_PKEY_free(self.pkey.as_ptr()) };
    }
}

/// One operation on a key.
struct Context(NonNull<lc::EVP_PKEY_CTX>);
type Begin = unsafe extern "C" fn(*mut lc::EVP_PKEY_CTX) -> c_int;
type Operation = unsafe extern "C" fn(*mut lc::EVP_PKEY_CTX, *mut u8, *mut usize, *const u8, usize) -> c_int;

impl Context {
    fn begin(key: &Key, begin: Begin) -> Result<Self, Refused> {
        // SAFETY: the key is valid, and the context takes a reference of its own.
        let context = unsafe { lc::EVP_PKEY_CTX_new(key.pkey.as_ptr(), null_mut()) };
        let mut context = NonNull::new(context).map(Self).ok_or_else(refuse)?;
        // SAFETY: the context is valid and exclusive.
        check(unsafe { begin(context.as_ptr()) })?;
        Ok(context)
    }

    fn as_ptr(&mut self) -> *mut lc::EVP_PKEY_CTX {
        self.0.as_ptr()
    }

    /// Runs what was begun; gives the number of bytes written.
    fn run(&mut self, operation: Operation, input: &[u8], out: &mut [u8]) -> Result<usize, Refused> {
        let mut len = out.len();
        // SAFETY: writes at most `len` bytes, which `out` has, and reads as many as `input` has.
        check(unsafe { operation(self.as_ptr(), out.as_mut_ptr(), &raw mut len, input.as_ptr(), input.len()) })?;
        Ok(len)
    }

    fn collect(&mut self, operation: Operation, input: &[u8], max_len: usize) -> Result<Vec<u8>, Refused> {
        let mut out = vec![0; max_len];
        let len = self.run(operation, input, &mut out)?;
        out.truncate(len);
        Ok(out)
    }

    fn set_scheme(&mut self, kind: Kind, scheme: Scheme) -> Result<(), Refused> {
        let (padding, hash) = match (kind, scheme) {
            (Kind::Ec, Scheme::Ecdsa) => return Ok(()),
            (Kind::Rsa, Scheme::RsaPkcs1(hash)) => (lc::RSA_PKCS1_PADDING, hash),
            (Kind::Rsa, Scheme::RsaPss(hash, _)) => (lc::RSA_PKCS1_PSS_PADDING, Some(hash)),
            (Kind::Ec, Scheme::RsaPkcs1(_) | Scheme::RsaPss(..)) | (Kind::Rsa, Scheme::Ecdsa) => return Err(Refused),
        };
        // SAFETY: the context is valid and exclusive.
        check(unsafe { lc::EVP_PKEY_CTX_set_rsa_padding(self.as_ptr(), padding) })?;
        if let Some(hash) = hash {
            // SAFETY: as above; the hash is static.
            check(unsafe { lc::EVP_PKEY_CTX_set_signature_md(self.as_ptr(), hash.as_ptr()) })?;
        }
        if let Scheme::RsaPss(_, salt) = scheme {
            let len = match salt {
                Salt::Auto => lc::RSA_PSS_SALTLEN_AUTO,
                Salt::Bytes(len) => c_int::from(len),
            };
            // SAFETY: as above.
            check(unsafe { lc::EVP_PKEY_CTX_set_rsa_pss_saltlen(self.as_ptr(), len) })?;
        }
        Ok(())
    }

    fn set_oaep(&mut self, kind: Kind, hash: Hash) -> Result<(), Refused> {
        if kind != Kind::Rsa {
            return Err(Refused);
        }
        // SAFETY: the context is valid and exclusive.
        check(unsafe { lc::EVP_PKEY_CTX_set_rsa_padding(self.as_ptr(), lc::RSA_PKCS1_OAEP_PADDING) })?;
        // SAFETY: as above; the hash is static, and MGF1 follows it.
        check(unsafe { lc::EVP_PKEY_CTX_set_rsa_oaep_md(self.as_ptr(), hash.as_ptr()) })
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: made by `new`, freed here and nowhere else.
        unsafe { lc::EVP_PKEY_CTX_free(self.as_ptr()) };
    }
}

impl Hash {
    fn as_ptr(self) -> *const lc::EVP_MD {
        let hash = match self {
            Self::Sha1 => lc::EVP_sha1,
            Self::Sha2_224 => lc::EVP_sha224,
            Self::Sha2_256 => lc::EVP_sha256,
            Self::Sha2_384 => lc::EVP_sha384,
            Self::Sha2_512 => lc::EVP_sha512,
            Self::Sha3_224 => lc::EVP_sha3_224,
            Self::Sha3_256 => lc::EVP_sha3_256,
            Self::Sha3_384 => lc::EVP_sha3_384,
            Self::Sha3_512 => lc::EVP_sha3_512,
        };
        // SAFETY: takes nothing and gives a pointer to a static.
        unsafe { hash() }
    }
}

/// One is success for every function called here.
fn check(result: c_int) -> Result<(), Refused> {
    if result == 1 { Ok(()) } else { Err(refuse()) }
}

/// Forgets what the library noted about a failure, so that the thread's list of errors does not grow.
fn refuse() -> Refused {
    // SAFETY: touches this thread's list of errors alone.
    unsafe { lc::ERR_clear_error() };
    Refused
}
