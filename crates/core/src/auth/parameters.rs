//! What a role or a user says about the tokens of its logins: the `token_*` parameters that every login method shares.

use std::collections::BTreeSet;

use coffer_api::token::TokenKind;
use serde::{Deserialize, Serialize};

use crate::{Error, Mount, cidr};

/// Policies of one role at most, and the length of a policy's name.
const MAX_POLICIES: usize = 1000;
const MAX_NAME: usize = 256;

/// The tokens of a role's or user's logins. Times are in seconds.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct TokenParameters {
    /// Addresses that tokens are used from; empty = any.
    pub bound_cidrs: Vec<String>,
    /// Bound on all renewals, 0 = none.
    pub explicit_max_ttl: u64,
    /// Service or batch.
    pub kind: LoginKind,
    /// Longest lifetime, 0 = the mount's.
    pub max_ttl: u64,
    /// Without the `default` policy.
    pub no_default_policy: bool,
    /// Uses of a token, 0 = unlimited, negative = none.
    pub num_uses: i64,
    /// 0 = not periodic.
    pub period: u64,
    /// As they were written.
    pub policies: Vec<String>,
    /// Whether a token is used from the address of its login alone.
    pub strictly_bind_ip: bool,
    /// Lifetime, 0 = the mount's.
    pub ttl: u64,
    /// Fields that were last written in their old spelling, and are shown in it as well.
    pub spelled: BTreeSet<OldSpelling>,
}

/// Which tokens a login gives.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum LoginKind {
    /// Batch tokens.
    Batch,
    /// What the mount gives.
    #[default]
    Default,
    /// Service tokens.
    Service,
}

/// A field's name from before they all began with `token_`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum OldSpelling {
    /// `bound_cidrs`.
    BoundCidrs,
    /// `max_ttl`.
    MaxTtl,
    /// `num_uses`.
    NumUses,
    /// `period`.
    Period,
    /// `policies`.
    Policies,
    /// `ttl`.
    Ttl,
}

impl TokenParameters {
    /// Brings addresses into their one form and checks what must hold of the whole.
    ///
    /// # Errors
    /// [`coffer_api::Code::Invalid`] where fields contradict each other or exceed a bound (1,000 policies, names of 256
    /// bytes).
    pub(crate) fn settle(&mut self) -> Result<(), Error> {
        if self.max_ttl > 0 && self.ttl > self.max_ttl {
            return Err(Error::invalid("'token_ttl' cannot be greater than 'token_max_ttl'"));
        }
        match self.kind {
            LoginKind::Batch if self.num_uses != 0 => {
                return Err(Error::invalid(format!("{NO_BATCH} tokens with limited use count")));
            }
            LoginKind::Batch if self.period > 0 => return Err(Error::invalid(format!("{NO_BATCH} periodic tokens"))),
            LoginKind::Batch | LoginKind::Default | LoginKind::Service => {}
        }
        if self.policies.len() > MAX_POLICIES || self.policies.iter().any(|name| name.len() > MAX_NAME) {
            let message = format!("at most {MAX_POLICIES} policies with names of at most {MAX_NAME} bytes");
            return Err(Error::invalid(message));
        }
        self.bound_cidrs = cidr::canonical(&self.bound_cidrs)?;
        Ok(())
    }

    /// The kind of token that a login gives at this mount.
    pub(crate) fn kind_at(&self, mount: &Mount) -> TokenKind {
        mount.token_kind(match self.kind {
            LoginKind::Batch => Some(TokenKind::Batch),
            LoginKind::Default => None,
            LoginKind::Service => Some(TokenKind::Service),
        })
    }
}

const NO_BATCH: &str = "'token_type' cannot be 'batch' or 'default_batch' when set to generate";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradicting_parameters_are_refused() {
        let settled = |parameters: TokenParameters| parameters.clone().settle();
        let base = TokenParameters::default;
        assert!(settled(base()).is_ok());
        assert!(settled(TokenParameters { ttl: 5, ..base() }).is_ok());
        assert!(settled(TokenParameters { ttl: 5, max_ttl: 5, ..base() }).is_ok());
        for bad in [
            TokenParameters { ttl: 6, max_ttl: 5, ..base() },
            TokenParameters { kind: LoginKind::Batch, num_uses: 1, ..base() },
            TokenParameters { kind: LoginKind::Batch, period: 1, ..base() },
            TokenParameters { bound_cidrs: vec!["x".to_owned()], ..base() },
            TokenParameters { policies: vec!["x".repeat(257)], ..base() },
        ] {
            assert!(settled(bad.clone()).is_err(), "{bad:?}");
        }
    }
}
