//! What can go wrong between a call and its reply. No variant holds a token, a request body or a reply body.

use std::{io, time::Duration};

use coffer_api::{Code, Problem};

use crate::{Address, AddressError};

/// A failed call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server's certificate is that of an authority (`CA:TRUE`), which may sign others and stands for no server. Nothing
    /// was sent.
    #[error("the certificate of {address} is an authority's, not a server's")]
    Authority {
        /// Who was asked.
        address: Address,
    },
    /// No connection to the server.
    #[error("cannot connect to {address}")]
    Connect {
        /// Where.
        address: Address,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A name that cannot stand in a path (empty, `.` or `..`).
    #[error("{0:?} cannot be a name")]
    Name(String),
    /// The client sends none: the call is among its plans.
    #[error("the call is shown and not sent")]
    Planned,
    /// The server answered with an error of the native API.
    #[error("{}", .problem.detail.as_deref().unwrap_or(&.problem.title))]
    Problem {
        /// The error as the server sent it.
        problem: Box<Problem>,
        /// The HTTP status it came with.
        status: u16,
        /// Seconds to wait before trying again, where the server said so.
        retry_after: Option<u64>,
    },
    /// A standby redirected to a place that is not followed.
    #[error("{address} redirects to a place that is not followed: {reason}")]
    Redirect {
        /// Who redirected.
        address: Address,
        /// Why it is not followed.
        reason: RedirectError,
    },
    /// A reply of the right status that is not what the API says.
    #[error("{address} sent a reply that cannot be read (line {line}, column {column})")]
    Reply {
        /// Who sent it.
        address: Address,
        /// Where the JSON stops making sense. The parser's own message may quote a value, so it is left out.
        line: usize,
        /// As for `line`.
        column: usize,
    },
    /// A reply longer than the limit.
    #[error("{address} sent a reply of more than {limit} bytes")]
    ReplyTooLarge {
        /// Who sent it.
        address: Address,
        /// The limit in bytes.
        limit: usize,
    },
    /// A request that cannot be written as JSON.
    #[error("cannot encode the request")]
    Request(#[source] serde_json::Error),
    /// An answer with an error status and no problem details: probably not a Coffer server.
    #[error("{address} answered status {status} without an explanation")]
    Status {
        /// Who answered.
        address: Address,
        /// The HTTP status.
        status: u16,
    },
    /// The whole exchange took too long.
    #[error("no complete reply from {address} within {} s", .after.as_secs_f64())]
    Timeout {
        /// Who did not answer.
        address: Address,
        /// The limit.
        after: Duration,
    },
    /// No TLS connection came about: the server's certificate was not believed, or it speaks no TLS. Nothing was sent.
    #[error("no TLS connection to {address}")]
    Tls {
        /// Who was asked.
        address: Address,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A token that cannot be sent.
    #[error("the token is empty or holds characters other than visible ASCII")]
    Token,
    /// The connection broke; whether the request took effect is unknown.
    #[error("the connection to {address} broke before the reply was complete")]
    Transport {
        /// With whom.
        address: Address,
        /// Why.
        #[source]
        source: hyper::Error,
    },
}

/// Why a redirect was not followed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RedirectError {
    /// The location is no address that this client speaks to.
    #[error("{0}")]
    Address(#[from] AddressError),
    /// A redirect after a redirect.
    #[error("it came from a redirect already")]
    Again,
    /// The location has another path than the request.
    #[error("it changes the path")]
    Path,
    /// No location at all.
    #[error("it names no location")]
    Missing,
    /// From TLS to plain HTTP.
    #[error("it leads from https:// to http://, and the token would cross the network unencrypted")]
    Plain,
    /// The server's own socket never redirects.
    #[error("a unix socket is not left")]
    Socket,
}

impl Error {
    /// The HTTP status of the answer, where there was one.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Problem { status, .. } | Self::Status { status, .. } => Some(*status),
            Self::Authority { .. }
            | Self::Connect { .. }
            | Self::Name(_)
            | Self::Planned
            | Self::Redirect { .. }
            | Self::Reply { .. }
            | Self::ReplyTooLarge { .. }
            | Self::Request(_)
            | Self::Timeout { .. }
            | Self::Tls { .. }
            | Self::Token
            | Self::Transport { .. } => None,
        }
    }

    /// The stable code of the answer, where it was an error of the native API.
    pub fn code(&self) -> Option<Code> {
        match self {
            Self::Problem { problem, .. } => Some(problem.code),
            Self::Authority { .. }
            | Self::Connect { .. }
            | Self::Name(_)
            | Self::Planned
            | Self::Redirect { .. }
            | Self::Reply { .. }
            | Self::ReplyTooLarge { .. }
            | Self::Request(_)
            | Self::Status { .. }
            | Self::Timeout { .. }
            | Self::Tls { .. }
            | Self::Token
            | Self::Transport { .. } => None,
        }
    }
}
