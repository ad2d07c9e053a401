//! Snapshots of a scope, and the layout of the file that its secrets came from.

use coffer_api::{
    Page, Scope,
    snapshots::{Layout, Restore, Restored, Snapshot, SnapshotCreate, SnapshotInfo, SnapshotValues},
};

use crate::{Client, Error, Paging, call::Call, route::Route};

impl Client {
    /// The `.env` file that a scope's secrets came from, without its values.
    ///
    /// # Errors
    /// Code `not_found` where there is none; [`Error`] as for every call.
    pub async fn layout_read(&self, scope: &Scope) -> Result<Layout, Error> {
        self.reply(Call::get(Route::api("layouts").segment(&scope.to_string())?)).await
    }

    /// One page of a scope's snapshots, oldest first.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn snapshot_list(&self, scope: &Scope, paging: &Paging) -> Result<Page<SnapshotInfo>, Error> {
        self.reply(Call::get(of(scope)?.paging(paging))).await
    }

    /// Takes a snapshot.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn snapshot_create(&self, scope: &Scope, create: &SnapshotCreate) -> Result<SnapshotInfo, Error> {
        self.reply(Call::post(of(scope)?, create)?).await
    }

    /// A snapshot's names and versions.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn snapshot_read(&self, scope: &Scope, id: u64) -> Result<Snapshot, Error> {
        self.reply(Call::get(of(scope)?.segment(&id.to_string())?)).await
    }

    /// The values that a snapshot stands for.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn snapshot_values(&self, scope: &Scope, id: u64) -> Result<SnapshotValues, Error> {
        self.reply(Call::get(of(scope)?.segment(&id.to_string())?.fixed("/values"))).await
    }

    /// Puts a scope back to a snapshot, all of it or nothing.
    ///
    /// # Errors
    /// Code `conflict` where versions cannot be had any more, unless the rest is wanted; [`Error`] as for every call.
    pub async fn snapshot_restore(&self, scope: &Scope, id: u64, restore: Restore) -> Result<Restored, Error> {
        self.reply(Call::post(of(scope)?.segment(&id.to_string())?.fixed("/restore"), &restore)?).await
    }
}

fn of(scope: &Scope) -> Result<Route, Error> {
    Route::api("snapshots").segment(&scope.to_string())
}
