//! What a request is, before anybody knows who sent it.

use std::{net::SocketAddr, time::Duration};

use uuid::Uuid;

/// The language of a request, where the rules differ by it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Dialect {
    /// What has no meaning for what is asked is refused.
    Native,
    /// It is passed over, as Vault's clients expect.
    Vault,
}

/// Facts of one request, for authorisation and for its record.
#[derive(Clone, Debug)]
pub struct Context {
    /// Made by the server; in the answer, the server's log and the audit log.
    pub request_id: Uuid,
    /// The peer, for TCP.
    pub remote: Option<SocketAddr>,
    /// The peer's user id, for the unix socket.
    pub local_uid: Option<u32>,
    /// HTTP method or another short verb.
    pub method: &'static str,
    /// Request path without the query.
    pub path: String,
    /// Who it says it is.
    pub user_agent: Option<String>,
    /// What it is asked in.
    pub dialect: Dialect,
    /// Headers that its records have, by name in small letters, sorted: what [`Core::logged_headers`](crate::Core::logged_headers)
    /// makes of them.
    pub headers: Vec<(String, String)>,
    /// Response wrapping asked for.
    pub wrap_ttl: Option<Duration>,
}
