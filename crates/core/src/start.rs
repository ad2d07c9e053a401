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
    format!("{error:?}")
}
