//! What a start reports, and why it is refused.

use std::path::PathBuf;

use thiserror::Error;

/// What the first activation did that the operator should know.
#[derive(Clone, Debug, Default)]
pub struct Started {
    /// The file with the initial token, where this was a store's first start.
    pub initial_token_path: Option<PathBuf>,
    /// The root token of development mode.
    pub dev_root_token: Option<String>,
    /// What is not as it should be and does not stop the server.
    pub warnings: Vec<String>,
}

/// Why a core does not start. Each says what to do.
#[derive(Debug, Error)]
pub enum StartError {
    /// An operation on the way failed.
    #[error("{}", describe(.0))]
    Core(#[from] crate::Error),
    /// The data directory or something in it.
    #[error("{path}: cannot {operation}")]
    Data {
        /// Which file or directory.
        path: PathBuf,
        /// What was tried.
        operation: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Others may write to the data directory.
    #[error("{path}: others may write to the data directory (mode {mode:04o}); run `chmod 700` on it")]
    DataMode {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The data directory belongs to somebody else, who could replace what is in it.
    #[error(
        "{path}: the data directory belongs to user {owner}, and the server runs as user {own}; make them the same"
    )]
    DataOwner {
        /// The directory.
        path: PathBuf,
        /// The user id that owns it.
        owner: u32,
        /// The server's own effective user id.
        own: u32,
    },
    /// A restore into this store did not come to its end.
    #[error(
        "the store is half restored from the backup {backup}: a restore did not come to its end; remove the store and the \
         data folder, and restore again"
    )]
    HalfRestored {
        /// The backup.
        backup: uuid::Uuid,
    },
    /// The audit log is missing, shorter than or inconsistent with what the store knows.
    #[error("the audit log is refused: {0}")]
    Log(String),
    /// The seal key and the store do not go together.
    #[error("{0}")]
    Seal(String),
    /// The key file itself.
    #[error(transparent)]
    SealFile(#[from] crate::FileSealError),
    /// The store.
    #[error("the store: {0}")]
    Store(#[from] coffer_storage::Error),
}

impl From<coffer_crypto::Error> for StartError {
    fn from(error: coffer_crypto::Error) -> Self {
        Self::Core(error.into())
    }
}

// A start is reported to the operator at the terminal, not to a stranger: the cause belongs in it.
fn describe(error: &crate::Error) -> String {
    match error.cause() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
