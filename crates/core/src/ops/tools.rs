//! Random bytes and hashes for those who have no good source of their own.

use coffer_crypto::{hash, rng};
use zeroize::Zeroizing;

use crate::{
    Caller, Error,
    caller::Done,
    policy::{Operation, Parameters},
};

/// Random bytes in one answer at most.
pub const MAX_RANDOM: usize = 128 * 1024;

/// A hash that can be asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HashAlgorithm {
    /// SHA-224.
    Sha2_224,
    /// SHA-256.
    Sha2_256,
    /// SHA-384.
    Sha2_384,
    /// SHA-512.
    Sha2_512,
    /// SHA3-256.
    Sha3_256,
    /// SHA3-384.
    Sha3_384,
    /// SHA3-512.
    Sha3_512,
}

impl HashAlgorithm {
    const ALL: [Self; 7] = [
        Self::Sha2_224,
        Self::Sha2_256,
        Self::Sha2_384,
        Self::Sha2_512,
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
            Self::Sha2_224 => "sha2-224",
            Self::Sha2_256 => "sha2-256",
            Self::Sha2_384 => "sha2-384",
            Self::Sha2_512 => "sha2-512",
            Self::Sha3_256 => "sha3-256",
            Self::Sha3_384 => "sha3-384",
            Self::Sha3_512 => "sha3-512",
        }
    }
}

impl Caller {
    /// So many random bytes, asked for as `logical`.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `logical`; [`coffer_api::Code::Invalid`] for none, or more than
    /// [`MAX_RANDOM`].
    pub async fn random(
        &self,
        logical: &str,
        bytes: usize,
        parameters: &dyn Parameters,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        self.recorded(self.record("tools.random", logical), async {
            self.authorise(logical, Operation::Update, parameters)?;
            if !(1..=MAX_RANDOM).contains(&bytes) {
                return Err(Error::invalid(format!("1 to {MAX_RANDOM} random bytes are given at once")));
            }
            let mut random = Zeroizing::new(vec![0; bytes]);
            rng::fill(&mut random)?;
            Ok(Done::Unlogged(random))
        })
        .await
    }

    /// The hash of what was sent, asked for as `logical`.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `logical`.
    pub async fn hash(
        &self,
        logical: &str,
        algorithm: HashAlgorithm,
        input: &[u8],
        parameters: &dyn Parameters,
    ) -> Result<Vec<u8>, Error> {
        self.recorded(self.record("tools.hash", logical).fact("algorithm", algorithm.name()), async {
            self.authorise(logical, Operation::Update, parameters)?;
            let algorithm = match algorithm {
                HashAlgorithm::Sha2_224 => hash::Algorithm::Sha2_224,
                HashAlgorithm::Sha2_256 => hash::Algorithm::Sha2_256,
                HashAlgorithm::Sha2_384 => hash::Algorithm::Sha2_384,
                HashAlgorithm::Sha2_512 => hash::Algorithm::Sha2_512,
                HashAlgorithm::Sha3_256 => hash::Algorithm::Sha3_256,
                HashAlgorithm::Sha3_384 => hash::Algorithm::Sha3_384,
                HashAlgorithm::Sha3_512 => hash::Algorithm::Sha3_512,
            };
            Ok(Done::Unlogged(hash::digest(algorithm, input)))
        })
        .await
    }
}
