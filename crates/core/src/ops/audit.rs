//! The log: entries, proofs, checkpoints, a secret's history.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_api::{
    Name, Page, Scope,
    audit::{AuditPage, AuditQuery, Checkpoint, Proof},
    secrets::HistoryEvent,
};

use crate::{
    Caller, Error,
    audit::query::{Facts, Filter, query, unreadable},
    caller::Done,
    policy::Operation,
    time::rfc3339,
    tlog::index::Order,
};

impl Caller {
    /// Entries that match, oldest first.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `sys/audit-log/entries`; [`coffer_api::Code::Invalid`] where a
    /// time or cursor is none.
    pub async fn audit_query(&self, question: &AuditQuery) -> Result<AuditPage, Error> {
        let path = "sys/audit-log/entries";
        self.recorded(self.record("audit.query", path), async {
            self.authorise(path, Operation::Read, &())?;
            let filter = Filter::parse(question, Order::Oldest)?;
            let active = Arc::clone(&self.active);
            let page =
                tokio::task::spawn_blocking(move || query(&active, &filter)).await.map_err(Error::internal)??;
            Ok(Done::Unlogged(page))
        })
        .await
    }

    /// The latest signed checkpoint.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `sys/audit-log/checkpoint`.
    pub async fn audit_checkpoint(&self) -> Result<Checkpoint, Error> {
        let path = "sys/audit-log/checkpoint";
        self.recorded(self.record("audit.checkpoint", path), async {
            self.authorise(path, Operation::Read, &())?;
            let checkpoint = self.active.log.checkpoint();
            Ok(Done::Unlogged(Checkpoint { checkpoint, vkey: self.active.first_vkey.clone() }))
        })
        .await
    }

    /// The proof that an entry is in the log.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `sys/audit-log/proofs/{index}`; [`coffer_api::Code::NotFound`]
    /// beyond the end of the log.
    pub async fn audit_prove(&self, index: u64) -> Result<Proof, Error> {
        let path = format!("sys/audit-log/proofs/{index}");
        self.recorded(self.record("audit.prove", &path), async {
            self.authorise(&path, Operation::Read, &())?;
            let active = Arc::clone(&self.active);
            let proof = tokio::task::spawn_blocking(move || {
                let file = active.log.proof_file(index, None).map_err(unreadable)?;
                let entry = active.log.read(index, 1).map_err(unreadable)?;
                let (_, entry) = entry.into_iter().next().ok_or_else(Error::not_found)?;
                Ok::<_, Error>(Proof {
                    entry: STANDARD.encode(entry),
                    proof: file.to_text(),
                    vkey: active.first_vkey.clone(),
                })
            });
            Ok(Done::Unlogged(proof.await.map_err(Error::internal)??))
        })
        .await
    }

    /// Who did what to a secret, when and from where, oldest first.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `sys/audit-log/secret/{path}`.
    pub async fn secret_history(
        &self,
        scope: &Scope,
        name: &Name,
        after: Option<String>,
        limit: u32,
    ) -> Result<Page<HistoryEvent>, Error> {
        let secret = format!("{}/{name}", scope.path());
        let path = format!("sys/audit-log/secret/{secret}");
        self.recorded(self.record("audit.history", &path), async {
            self.authorise(&path, Operation::Read, &())?;
            let question = AuditQuery { after, limit: Some(limit), ..AuditQuery::default() };
            let paths = SECRET_PATHS.iter().map(|area| format!("secret/{area}/{secret}")).collect();
            let filter = Filter::with_paths(&question, paths, Order::Oldest)?;
            let active = Arc::clone(&self.active);
            let page =
                tokio::task::spawn_blocking(move || query(&active, &filter)).await.map_err(Error::internal)??;
            let events = page.entries.iter().filter_map(|entry| event(entry.index, &entry.entry)).collect();
            Ok(Done::Unlogged(Page { items: events, next: page.next }))
        })
        .await
    }
}

fn event(index: u64, entry: &serde_json::Value) -> Option<HistoryEvent> {
    let text = serde_json::to_vec(entry).ok()?;
    let facts: Facts<'_> = serde_json::from_slice(&text).ok()?;
    let ns: i128 = facts.t.parse().ok()?;
    let actor = [&facts.actor.name, &facts.actor.id, &facts.actor.accessor, &facts.actor.kind];
    Some(HistoryEvent {
        index,
        time: rfc3339(i64::try_from(ns / 1_000_000).ok()?),
        action: facts.cls.into_owned(),
        outcome: facts.out.into_owned(),
        actor: actor.into_iter().flatten().next().map(|name| name.to_string()).unwrap_or_default(),
        address: facts.src.ip.map(|ip| ip.into_owned()),
        version: facts.res.ver,
    })
}

/// Below what of the mount the paths lie that are about one secret.
const SECRET_PATHS: [&str; 6] = ["data", "delete", "destroy", "metadata", "subkeys", "undelete"];
