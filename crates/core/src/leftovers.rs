//! What was begun and is out of reach already, worked off in the background of an active node and tried again until it is
//! done: trees of tokens whose revocation a crash or an error interrupted, the data of disabled mounts, and indexes of values.

use std::{collections::HashSet, sync::Arc, time::Duration};

use crate::{
    Error,
    active::Active,
    engine::kv::value::{self, Clears},
    mount::purge,
    record::Record,
};

/// Between two looks where nobody asks.
const EVERY: Duration = Duration::from_secs(30);

/// Runs until the node is no longer active.
pub(crate) async fn keep(active: Arc<Active>) {
    // Those of the last look: who revokes a tree now ends it before the next one.
    let mut begun: Option<HashSet<String>> = None;
    let mut clears = Clears::All;
    loop {
        let work = async {
            begun = match revoke(&active, begun.as_ref()).await {
                Ok(left) => Some(left),
                Err(error) => {
                    report("revoke what was begun", &error);
                    begun.take()
                }
            };
            if let Err(error) = purge::purge_all(&active, active.clock.now()).await {
                report("delete the data of disabled mounts", &error);
            }
            if let Err(error) = value::keep_indexes(&active, clears).await {
                report("index values", &error);
            }
            clears = Clears::Known;
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = active.leftovers_asked.notified() => {}
            }
        };
        tokio::select! {
            () = work => {}
            () = active.stopped() => return,
        }
    }
}

/// Ends the trees that were on the list at the last look too, and at the first all; tells which are on it.
async fn revoke(active: &Arc<Active>, before: Option<&HashSet<String>>) -> Result<HashSet<String>, Error> {
    let begun = active.interrupted_revocations().await?;
    for accessor in begun.iter().filter(|accessor| before.is_none_or(|before| before.contains(*accessor))) {
        let record = Record::system("token.revoke").fact("accessor", accessor.clone()).fact("resumed", "true");
        // The others do not wait for this one.
        if let Err(error) = active.continue_revocation(accessor, record).await {
            report("revoke what was begun", &error);
        }
    }
    Ok(begun.into_iter().collect())
}

fn report(what: &'static str, error: &Error) {
    tracing::warn!(what, cause = ?error, "it is tried again");
}
