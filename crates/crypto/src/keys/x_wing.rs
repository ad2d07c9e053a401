//! X-Wing (draft-connolly-cfrg-xwing-kem): ML-KEM-768 and X25519 in one, safe while either is.
//!
//! A private key is stored as its two component keys, ML-KEM-768's decapsulation key and X25519's number: the library
//! makes no ML-KEM key from a seed, as the draft would have it stored. Public keys and ciphertexts are the draft's.

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};
use zeroize::Zeroizing;

use super::kem::Encapsulated;
use super::ml_kem::{self, MlKem, MlKemKey};
use crate::hash::{self, Digest};
use crate::{Error, Secret, rng};

pub(super) const PUBLIC_LEN: usize = 1216;
pub(super) const PRIVATE_LEN: usize = 2432;
pub(super) const CIPHERTEXT_LEN: usize = 1120;

pub(super) fn generate() -> Result<Secret, Error> {
    let of_ml_kem = ml_kem::generate(MlKem::MlKem768)?;
    Secret::zeroed_with(PRIVATE_LEN, |out| {
        let (first, second) = out.split_at_mut(of_ml_kem.len());
        first.copy_from_slice(of_ml_kem.expose());
        rng::fill(second)
    })
}

pub(super) fn public(private: &[u8]) -> Result<Vec<u8>, Error> {
    let (of_ml_kem, number) = split(private)?;
    let mut out = ml_kem::public(MlKem::MlKem768, of_ml_kem)?;
    let public = x25519(number)?.compute_public_key().map_err(|_| INVALID)?;
    out.extend_from_slice(public.as_ref());
    Ok(out)
}

pub(super) fn check_public(public: &[u8]) -> Result<(), Error> {
    let (of_ml_kem, _) = split(public)?;
    ml_kem::check_public(MlKem::MlKem768, of_ml_kem)
}

/// A key that encapsulates, and decapsulates if it has its private part.
pub(super) struct XWingKey {
    ml_kem: MlKemKey,
    private: Option<PrivateKey>,
    public: [u8; POINT_LEN],
}

impl XWingKey {
    pub(super) fn new(private: Option<&[u8]>, public: &[u8]) -> Result<Self, Error> {
        let (public_of_ml_kem, public) = split(public)?;
        let private = private.map(split).transpose()?;
        let private_of_ml_kem = private.map(|(of_ml_kem, _)| of_ml_kem);
        Ok(Self {
            ml_kem: MlKemKey::new(MlKem::MlKem768, private_of_ml_kem, public_of_ml_kem)?,
            private: private.map(|(_, number)| x25519(number)).transpose()?,
            public: *public,
        })
    }

    pub(super) fn encapsulate(&self) -> Result<Encapsulated, Error> {
        let mut number = Zeroizing::new([0; POINT_LEN]);
        rng::fill(number.as_mut_slice())?;
        let ephemeral = x25519(&number)?;
        let point = ephemeral.compute_public_key().map_err(|_| Error::Random)?;
        let point: &[u8; POINT_LEN] = point.as_ref().try_into().map_err(|_| Error::Random)?;
        let of_x25519 = agree(&ephemeral, &self.public).map_err(|_| INVALID)?;
        let mut out = self.ml_kem.encapsulate()?;
        out.shared = combine(&out.shared, &of_x25519, point, &self.public);
        out.ciphertext.extend_from_slice(point);
        Ok(out)
    }

    /// As of ML-KEM; but a point that multiplies to nothing is refused, since the library gives no secret for it.
    pub(super) fn decapsulate(&self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let key = self.private.as_ref().ok_or(super::prepared::PUBLIC_ONLY)?;
        let (of_ml_kem, point) = split(ciphertext).map_err(|_| Error::Authentication)?;
        let of_ml_kem = self.ml_kem.decapsulate(of_ml_kem)?;
        let of_x25519 = agree(key, point)?;
        Ok(combine(&of_ml_kem, &of_x25519, point, &self.public))
    }
}

/// SHA3-256 over both secrets, the ciphertext's and the key's point, and the draft's label.
fn combine(ml_kem: &[u8], x25519: &[u8], point: &[u8; POINT_LEN], public: &[u8; POINT_LEN]) -> Zeroizing<Vec<u8>> {
    let mut message = Zeroizing::new(Vec::with_capacity(4 * POINT_LEN + LABEL.len()));
    for part in [ml_kem, x25519, point, public, LABEL] {
        message.extend_from_slice(part);
    }
    Zeroizing::new(Digest::of(hash::Algorithm::Sha3_256, &message).as_bytes().to_vec())
}

fn agree(private: &PrivateKey, point: &[u8; POINT_LEN]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let peer = UnparsedPublicKey::new(&X25519, point);
    agreement::agree(private, peer, Error::Authentication, |secret| Ok(Zeroizing::new(secret.to_vec())))
}

fn x25519(number: &[u8; POINT_LEN]) -> Result<PrivateKey, Error> {
    PrivateKey::from_private_key(&X25519, number).map_err(|_| INVALID)
}

/// Into ML-KEM's part and X25519's, which comes last everywhere.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8; POINT_LEN]), Error> {
    bytes.split_last_chunk().ok_or(INVALID)
}

const POINT_LEN: usize = 32;
const LABEL: &[u8] = b"\\.//^\\";
const INVALID: Error = Error::InvalidKey("not a valid X-Wing key");
