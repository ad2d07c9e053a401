//! Backups: the one reply that is longer than memory, and so is read piece by piece.

use bytes::Bytes;
use coffer_api::backup::BackupCreate;

use crate::{Client, Error, call::Call, route::Route, transport::Incoming};

/// A backup on its way.
pub struct BackupStream(Incoming);

impl BackupStream {
    /// The next piece; `None` at the end. The client's time limit bounds the wait for each.
    ///
    /// # Errors
    /// [`Error::Transport`] where the connection broke: the server's backup came to no good end, or it is gone.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        self.0.next().await
    }
}

impl Client {
    /// A backup of the whole store, encrypted to a recipient. It is whole only where its parts fit its manifest.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn backup_create(&self, create: &BackupCreate) -> Result<BackupStream, Error> {
        self.stream(Call::post(Route::api("backup"), create)?).await.map(BackupStream)
    }
}
