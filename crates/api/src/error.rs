//! The error taxonomy as clients see it: a stable code per cause, in problem details (RFC 9457).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A stable, documented cause (docs/API.md). Programs match on it; people read `title` and `detail`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The audit log cannot be written, so nothing is answered until it can.
    AuditUnavailable,
    /// A check-and-set precondition or another writer's change stood in the way.
    Conflict,
    /// The token does not grant what the request needs.
    Denied,
    /// Too little free disk space: changes (and below a second mark reads) are refused.
    DiskFull,
    /// Stored data failed its integrity check.
    Integrity,
    /// An unexpected failure; the cause is in the server's log under the request id.
    Internal,
    /// The request is malformed or names something impossible.
    Invalid,
    /// User name and password, or another credential, did not match.
    InvalidCredentials,
    /// The state of the key or its version does not allow this; the detail names what it allows.
    KeyState,
    /// The method is not one this path knows.
    MethodNotAllowed,
    /// Nothing there (told only to a caller who may read the path).
    NotFound,
    /// Too many requests of this kind; wait as `Retry-After` says.
    RateLimited,
    /// The server is sealed.
    Sealed,
    /// This node stands by; another one answers.
    Standby,
    /// The body or a value in it exceeds a limit.
    TooLarge,
    /// No token, or one that is unknown, expired or revoked.
    Unauthenticated,
    /// The store, its leader or the clock is in no state to answer; try again.
    Unavailable,
    /// A value refers to others that cannot be put in their places; the detail says what is wrong and the way there.
    Unresolved,
    /// Known, but not offered here.
    Unsupported,
}

/// Problem details (RFC 9457), the body of every error of the native API.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Problem {
    /// Stable cause.
    pub code: Code,
    /// What failed in this case and what to do, for people. Never holds a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The request's id, which the server's log and the audit log carry too.
    #[serde(default)]
    pub request_id: String,
    /// The HTTP status again, for programs that lost it.
    pub status: u16,
    /// Short text of the code.
    pub title: String,
}
