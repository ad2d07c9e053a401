//! Random bytes and hashes for those who have no good source of their own.

use coffer_crypto::{
    hash::{self, Algorithm},
    rng,
};
use zeroize::Zeroizing;

use crate::{
    Caller, Error,
    caller::Done,
    policy::{Operation, Parameters},
};

/// Random bytes in one answer at most.
pub const MAX_RANDOM: usize = 128 * 1024;

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
        algorithm: Algorithm,
        input: &[u8],
        parameters: &dyn Parameters,
    ) -> Result<Vec<u8>, Error> {
        self.recorded(self.record("tools.hash", logical).fact("algorithm", algorithm.name()), async {
            self.authorise(logical, Operation::Update, parameters)?;
            Ok(Done::Unlogged(hash::digest(algorithm, input)))
        })
        .await
    }
}
