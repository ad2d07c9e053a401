//! What can go wrong, said without a byte of any input.

/// A failed operation. No variant holds or prints key, plaintext, password or ciphertext.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ciphertext, signature, tag or password does not belong to this key, associated data or hash.
    #[error("authentication failed")]
    Authentication,
    /// Key material that is malformed or weak; the text says how, without a byte of it.
    #[error("{0}")]
    InvalidKey(&'static str),
    /// No locked memory could be had.
    #[error("cannot map memory for a secret")]
    Memory(#[source] std::io::Error),
    /// An argument lies outside what the operation takes; the text names the argument and its bounds.
    #[error("{0}")]
    Parameters(&'static str),
    /// The random number generator failed.
    #[error("the random number generator failed")]
    Random,
    /// The sealed bytes are shorter than the shortest of their format.
    #[error("sealed bytes are truncated")]
    Truncated,
    /// The sealed bytes begin with a format that this release does not know.
    #[error("sealed bytes have unknown format {0}")]
    UnknownFormat(u8),
    /// The key's algorithm has no such operation; the text names what was asked for.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The sealed bytes name another term than the key's.
    #[error("sealed under term {sealed}, key is of term {key}")]
    WrongTerm {
        /// The term named by the sealed bytes.
        sealed: u32,
        /// The term of the key that was asked to open them.
        key: u32,
    },
}
