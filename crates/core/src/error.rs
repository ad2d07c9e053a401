//! What a core operation can fail with: a kind a caller can act on, a stable code, a public message and,
//! kept apart, the private cause.

use std::{borrow::Cow, error::Error as StdError, fmt};

use coffer_api::Code;

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Read again and retry with what is there now.
    Conflict,
    /// Ask for the permission that is named.
    Denied,
    /// Report it with the request id.
    Internal,
    /// Correct the request.
    Invalid,
    /// Nothing there.
    NotFound,
    /// Slow down.
    RateLimited,
    /// Unseal the server.
    Sealed,
    /// Ask the active node.
    Standby,
    /// Send less.
    TooLarge,
    /// Log in.
    Unauthenticated,
    /// Try again later.
    Unavailable,
    /// Not offered here.
    Unsupported,
}

/// A failed operation.
///
/// The public message never holds a value, a token or anything that the caller did not send; the cause goes to
/// the server's log alone.
pub struct Error {
    kind: Kind,
    code: Code,
    message: Cow<'static, str>,
    /// What Vault's clients are told instead, where they look for words of their own.
    vault_words: Option<Cow<'static, str>>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
    active_address: Option<String>,
}

impl Error {
    /// An error without a private cause.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind: kind_of(code),
            code,
            message: message.into(),
            vault_words: None,
            cause: None,
            active_address: None,
        }
    }

    /// A malformed request.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Invalid, message)
    }

    /// Nothing there, told to a caller who may read the path.
    pub fn not_found() -> Self {
        Self::new(Code::NotFound, "not found")
    }

    /// An unexpected failure with its cause.
    pub fn internal(cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::new(Code::Internal, "internal error").caused_by(cause)
    }

    /// Another node is active, at this address if it is known.
    pub fn standby(address: Option<String>) -> Self {
        let mut error = Self::new(Code::Standby, "this node stands by");
        error.active_address = address;
        error
    }

    /// Adds what Vault's clients are told instead.
    #[must_use]
    pub fn in_vault(mut self, words: impl Into<Cow<'static, str>>) -> Self {
        self.vault_words = Some(words.into());
        self
    }

    /// Adds the private cause.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// What a caller can do about it.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The message for the caller.
    pub fn public(&self) -> &str {
        &self.message
    }

    /// The message for Vault's clients.
    pub fn vault_words(&self) -> &str {
        self.vault_words.as_deref().unwrap_or(&self.message)
    }

    /// Where the active node is, for [`Kind::Standby`].
    pub fn active_address(&self) -> Option<&str> {
        self.active_address.as_deref()
    }

    /// The private cause with the chain of its sources: for the operator, never for the caller.
    pub(crate) fn cause(&self) -> Option<String> {
        let cause = self.cause.as_ref()?;
        let mut text = cause.to_string();
        let mut source = cause.source();
        while let Some(inner) = source {
            text.push_str(": ");
            text.push_str(&inner.to_string());
            source = inner.source();
        }
        Some(text)
    }

    /// Writes the private cause, with the chain of its sources, to the server's log. Call it once, where the
    /// error is turned into an answer.
    pub fn log_cause(&self, request_id: &uuid::Uuid) {
        if let Some(text) = self.cause() {
            match self.code {
                Code::AuditUnavailable
                | Code::DiskFull
                | Code::Integrity
                | Code::Internal
                | Code::Sealed
                | Code::Standby
                | Code::Unavailable => {
                    tracing::error!(request.id = %request_id, code = ?self.code, cause = text, "request failed");
                }
                // Any client can bring these about, as often as it likes.
                Code::Conflict
                | Code::Denied
                | Code::Invalid
                | Code::InvalidCredentials
                | Code::KeyState
                | Code::MethodNotAllowed
                | Code::NotFound
                | Code::RateLimited
                | Code::TooLarge
                | Code::Unauthenticated
                | Code::Unresolved
                | Code::Unsupported => {
                    tracing::debug!(request.id = %request_id, code = ?self.code, cause = text, "request refused");
                }
            }
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("code", &self.code)
            .field("message", &self.message)
            .field("cause", &self.cause.as_ref().map(ToString::to_string))
            .finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {}

impl From<coffer_storage::Error> for Error {
    fn from(error: coffer_storage::Error) -> Self {
        use coffer_storage::Error as Storage;
        let (code, message) = match &error {
            Storage::Conflict => (Code::Conflict, "another change came first; read again and retry"),
            Storage::Fenced => (Code::Unavailable, "this node no longer leads; try again"),
            Storage::Full => {
                (Code::DiskFull, "the store is out of disk space; changes are refused until there is room")
            }
            Storage::Outgrown => (
                Code::Unavailable,
                "the write-ahead log grew to its bound, or the disk was full, while the store was read; try again at a \
                 time of fewer changes, where it can be read faster, or with a larger limits.backup_growth_bytes",
            ),
            Storage::TooLarge { .. } => (Code::TooLarge, "too large for the store; one value holds at most 1 MiB"),
            Storage::Unavailable { .. } => (Code::Unavailable, "the store cannot be reached; try again"),
            Storage::Unknown { .. } => {
                (Code::Unavailable, "the connection to the store was lost during a commit; read before you retry")
            }
            Storage::Corrupt { .. } => (Code::Integrity, "the store is damaged; see the server's log"),
            Storage::Invalid(_) | Storage::Locked { .. } | Storage::Unsafe { .. } => (Code::Internal, "internal error"),
        };
        Self::new(code, message).caused_by(error)
    }
}

impl From<coffer_crypto::Error> for Error {
    fn from(error: coffer_crypto::Error) -> Self {
        Self::internal(error)
    }
}

fn kind_of(code: Code) -> Kind {
    match code {
        Code::AuditUnavailable | Code::DiskFull | Code::Unavailable => Kind::Unavailable,
        Code::Conflict | Code::KeyState | Code::Unresolved => Kind::Conflict,
        Code::Denied => Kind::Denied,
        Code::Integrity | Code::Internal => Kind::Internal,
        Code::Invalid | Code::InvalidCredentials => Kind::Invalid,
        Code::MethodNotAllowed | Code::Unsupported => Kind::Unsupported,
        Code::NotFound => Kind::NotFound,
        Code::RateLimited => Kind::RateLimited,
        Code::Sealed => Kind::Sealed,
        Code::Standby => Kind::Standby,
        Code::TooLarge => Kind::TooLarge,
        Code::Unauthenticated => Kind::Unauthenticated,
    }
}
