//! Snapshots: repeatable reads on a connection of their own. And their counterpart, the loading of entries from elsewhere.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;

use super::session::{Session, Tables, bounded, column, failed};
use super::slot::Slot;
use super::url::Database;
use super::{count, page_of, sql};
use crate::Snapshot;
use crate::batch::may_load;
use crate::entry::{Entry, Limit, PAGE_BYTES, Page, Revision, Sealed};
use crate::error::Error;
use crate::key::{Key, Prefix, Range};

/// One of them; its connection ends with it, and the transaction with that.
pub(super) struct PostgresSnapshot {
    session: Session,
    revision: Revision,
}

impl PostgresSnapshot {
    /// Connects and begins the transaction.
    pub(super) async fn begin(database: &Database) -> Result<PostgresSnapshot, Error> {
        let session = Session::connect(database, Tables::Expect).await?;
        let begun = bounded(async {
            session.client.batch_execute(sql::BEGIN_SNAPSHOT).await?;
            // The first read is what fixes the state that it shows.
            session.client.query_one(sql::REVISION, &[]).await
        });
        let row = begun.await?.map_err(failed("beginning a snapshot"))?;
        let revision = Revision::stored(column(&row, 0)?)?;
        Ok(PostgresSnapshot { session, revision })
    }
}

#[async_trait]
impl Snapshot for PostgresSnapshot {
    fn revision(&self) -> Revision {
        self.revision
    }

    async fn scan(&self, prefix: &Prefix, after: Option<&Key>, limit: Limit) -> Result<Page<(Key, Entry)>, Error> {
        let range = Range::new(prefix, after);
        let (items, bytes) = (count(limit.get())?, count(PAGE_BYTES)?);
        let Session { client, statements, .. } = &self.session;
        let query = async { client.query(&statements.scan, &[&range.from, &range.to, &items, &bytes]).await };
        let rows = timeout(PAGE_TIMEOUT, query).await;
        let rows = rows.map_err(|e| Error::unavailable(READING, e))?.map_err(failed(READING))?;
        page_of(&rows)
    }
}

/// Writes entries as they were elsewhere, in one transaction over the connection in `slot`.
pub(super) async fn load(slot: &Slot, at: Revision, entries: &[(Key, Sealed, Revision)]) -> Result<(), Error> {
    let session = slot.session().await?;
    let outcome = load_over(&session, at, entries).await;
    if outcome.is_err() {
        // The end of the connection is the end of its transaction.
        slot.discard(&session);
    }
    outcome
}

async fn load_over(session: &Session, at: Revision, entries: &[(Key, Sealed, Revision)]) -> Result<(), Error> {
    let Session { client, statements, .. } = session;
    let number = |revision: Revision| {
        i64::try_from(revision.0).map_err(|_| Error::Invalid("a revision that no store gives".to_owned()))
    };
    let to = number(at)?;
    let keys: Vec<&[u8]> = entries.iter().map(|(key, _, _)| key.as_bytes()).collect();
    let revisions: Vec<i64> = entries.iter().map(|(_, _, revision)| number(*revision)).collect::<Result<_, _>>()?;
    let values: Vec<&[u8]> = entries.iter().map(|(_, value, _)| value.as_ref()).collect();
    let begun = bounded(async {
        client.batch_execute(sql::BEGIN_LOAD).await?;
        client.query_one(&statements.lock, &[]).await
    });
    let row = begun.await?.map_err(failed(LOADING))?;
    if !may_load(Revision::stored(column(&row, 0)?)?, at, entries.iter().map(|(_, _, revision)| *revision)) {
        return Err(Error::Conflict);
    }
    let written = timeout(PAGE_TIMEOUT, async {
        client.execute(sql::INSERT, &[&keys, &revisions, &values]).await?;
        client.execute(&statements.advance, &[&to]).await?;
        client.batch_execute("COMMIT").await
    });
    written.await.map_err(|e| Error::unavailable(LOADING, e))?.map_err(|error| match error.code() {
        Some(code) if *code == SqlState::UNIQUE_VIOLATION => Error::Conflict,
        Some(_) | None => failed(LOADING)(error),
    })
}

const LOADING: &str = "loading entries";
const READING: &str = "reading a snapshot";
/// For one page or load, which nobody but its caller waits for.
const PAGE_TIMEOUT: Duration = Duration::from_secs(60);
