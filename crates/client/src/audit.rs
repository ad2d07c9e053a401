//! The audit log: entries, checkpoint, proofs.

use coffer_api::audit::{AuditPage, AuditQuery, Checkpoint, Proof};

use crate::{Client, Error, call::Call, route::Route};

impl Client {
    /// One page of entries. It may be empty while `next` is set.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn audit_query(&self, query: &AuditQuery) -> Result<AuditPage, Error> {
        let AuditQuery { since, until, actor, action, path, outcome, from, after, limit } = query;
        let from = from.map(|index| index.to_string());
        let limit = limit.map(|limit| limit.to_string());
        let route = Route::api("audit/entries")
            .query("since", since.as_deref())
            .query("until", until.as_deref())
            .query("actor", actor.as_deref())
            .query("action", action.as_deref())
            .query("path", path.as_deref())
            .query("outcome", outcome.as_deref())
            .query("from", from.as_deref())
            .query("after", after.as_deref())
            .query("limit", limit.as_deref());
        self.reply(Call::get(route)).await
    }

    /// The latest signed checkpoint.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn audit_checkpoint(&self) -> Result<Checkpoint, Error> {
        self.reply(Call::get(Route::api("audit/checkpoint"))).await
    }

    /// A proof that the entry at an index is in the log.
    ///
    /// # Errors
    /// [`Error`] as for every call.
    pub async fn audit_prove(&self, index: u64) -> Result<Proof, Error> {
        self.reply(Call::get(Route::api("audit/proofs").segment(&index.to_string())?)).await
    }
}
