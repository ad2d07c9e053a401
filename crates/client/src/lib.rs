//! A typed client of the native API (`/api/v1`), and of the seal below `/v1/sys`, over TLS, plain HTTP or the server's unix socket.
//!
//! It never reaches inside the server: it speaks the types of `coffer-api` like any other client. It never puts a token, a
//! request body or a reply body into an error, and it sends a token to the address it was given and, after one redirect of a
//! standby, to the address that the redirect names, nowhere else.

mod address;
mod audit;
mod backup;
mod call;
mod error;
mod keys;
mod login;
mod operator;
mod plan;
mod policies;
mod probe;
mod route;
mod seal;
mod secrets;
mod snapshots;
mod tokens;
mod transport;
mod trust;

use std::time::Duration;

pub use address::{Address, AddressError};
pub use backup::BackupStream;
pub use error::Error;
pub use keys::{KeyFilter, KeySwitch, KeyVerb, PublicFormat};
pub use plan::{Plan, Plans};
pub use probe::{Handshake, Validity};
pub use secrets::Depth;
pub use trust::TrustError;

use call::Credential;
use coffer_api::Sensitive;
use transport::Transport;
use trust::Trust;

/// Talks to one server. Cheap to make; keeps at most one idle connection. Requests may run concurrently.
pub struct Client {
    address: Address,
    credential: Option<Credential>,
    transport: Transport,
    /// Where calls go that are not sent.
    plans: Option<plan::List>,
}

/// What part of a list to return.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Paging {
    /// Continue after this cursor, the `next` of the page before.
    pub after: Option<String>,
    /// At most this many items; the server has a maximum of its own.
    pub limit: Option<u32>,
}

impl Client {
    /// A client without a token, with [`TIMEOUT`] and [`REPLY_LIMIT`].
    pub fn new(address: Address) -> Self {
        Self { address, credential: None, transport: Transport::new(TIMEOUT, REPLY_LIMIT), plans: None }
    }

    /// Sends this token with each request.
    ///
    /// # Errors
    /// [`Error::Token`] where it is empty or holds anything but visible ASCII.
    pub fn with_token(mut self, token: &Sensitive<String>) -> Result<Self, Error> {
        self.credential = Some(Credential::new(token)?);
        Ok(self)
    }

    /// Believes the servers that these authorities vouch for, PEM, instead of those that the machine trusts.
    ///
    /// # Errors
    /// Where a certificate in the text cannot be used, or none is there.
    pub fn with_authorities(mut self, pem: &[u8]) -> Result<Self, TrustError> {
        self.transport.set_trust(Trust::of_pem(pem)?);
        Ok(self)
    }

    /// Bounds each request, from connecting to the last byte of the reply.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.transport.set_timeout(timeout);
        self
    }

    /// Bounds each reply's body in bytes; a longer one is [`Error::ReplyTooLarge`].
    #[must_use]
    pub fn with_reply_limit(mut self, bytes: usize) -> Self {
        self.transport.set_reply_limit(bytes);
        self
    }

    /// Where requests go first.
    pub fn address(&self) -> &Address {
        &self.address
    }
}

/// How long one request may take unless set otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// How long one reply may be unless set otherwise, in bytes.
pub const REPLY_LIMIT: usize = 64 << 20;
