//! One connection: how it is made, what it must prove before use, and its prepared statements.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::error::{Severity, SqlState};
use tokio_postgres::{Client, Row, Statement};

use super::sql;
use super::url::Database;
use crate::error::Error;

/// A connection that has proved the server safe.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) statements: Statements,
    /// Moves the bytes; ends with the client, or is ended with the session.
    connection: Task,
}

/// The statements of this engine, prepared on one connection.
pub(super) struct Statements {
    pub(super) advance: Statement,
    pub(super) delete: Statement,
    pub(super) find: Statement,
    pub(super) get: Statement,
    pub(super) lead: Statement,
    pub(super) leader: Statement,
    pub(super) lock: Statement,
    pub(super) renew: Statement,
    pub(super) scan: Statement,
    pub(super) scan_keys: Statement,
    pub(super) upsert: Statement,
}

/// Whether a connection may find the tables missing and create them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tables {
    /// Create them if need be; when the store is opened.
    Create,
    /// They are there; when a connection is made again.
    Expect,
}

impl Session {
    /// Connects, sets the connection up, proves the server safe, and prepares the statements.
    pub(super) async fn connect(database: &Database, tables: Tables) -> Result<Session, Error> {
        let setup = async {
            let connecting = database.config.connect(database.tls.clone());
            let (client, connection) = connecting.await.map_err(failed("connecting to the database"))?;
            let connection = Task(tokio::spawn(async move {
                // Its error reaches every request that waits; there is nobody else to tell.
                drop(connection.await);
            }));
            client.batch_execute(sql::SETTINGS).await.map_err(failed("setting up the connection"))?;
            prove(&client, tables).await?;
            let statements = Statements::prepare(&client).await.map_err(failed("preparing the statements"))?;
            Ok(Session { client, statements, connection })
        };
        timeout(SETUP_TIMEOUT, setup).await.map_err(|e| Error::unavailable("connecting to the database", e))?
    }

    /// Ends the connection in order if nobody else uses it, without waiting for long.
    pub(super) async fn close(session: Arc<Session>) {
        if let Some(Session { client, mut connection, .. }) = Arc::into_inner(session) {
            drop(client);
            drop(timeout(Duration::from_secs(1), &mut connection.0).await);
        }
    }
}

/// A task that ends with its owner.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Refuses a server that would lose commits, and a store that this release cannot read.
async fn prove(client: &Client, tables: Tables) -> Result<(), Error> {
    let read = failed("reading the database's settings");
    let row = client.query_one(sql::PROVE, &[]).await.map_err(read)?;
    let synchronous = require_durable(&row, 0)?;
    let version: i64 = column(&row, 3)?;
    if version < OLDEST_VERSION {
        return Err(Error::Invalid(format!("PostgreSQL 12 or later is needed, this is {}", version / 10_000)));
    }
    if column::<i64>(&row, 5)? != 0 {
        let setting = "the persistence of the tables in the schema coffer".to_owned();
        return Err(Error::Unsafe { setting, value: "unlogged".to_owned(), wanted: "logged" });
    }
    // What was proved stays true for this connection, whatever the configuration file says later.
    let pin = format!("SET synchronous_commit = '{synchronous}'");
    client.batch_execute(&pin).await.map_err(failed("setting up the connection"))?;
    match (column::<bool>(&row, 4)?, tables) {
        (true, Tables::Create | Tables::Expect) => {}
        (false, Tables::Create) => client.batch_execute(sql::CREATE).await.map_err(failed("creating the tables"))?,
        (false, Tables::Expect) => {
            return Err(Error::Corrupt { what: "the tables are gone from the database", source: None });
        }
    }
    let row = client.query_opt(sql::FORMAT, &[]).await.map_err(failed("reading the format of the store"))?;
    match row.map(|row| column::<i32>(&row, 0)).transpose()? {
        Some(FORMAT) => Ok(()),
        Some(format) => Err(Error::Invalid(format!(
            "the store has format {format}, this release reads format {FORMAT}: use the release that wrote it, or a later one"
        ))),
        None => Err(Error::Corrupt { what: "the row of the store is gone", source: None }),
    }
}

/// Checks three columns: `fsync`, `full_page_writes` and `synchronous_commit`. Returns the last.
///
/// Any value of `synchronous_commit` but `off` waits for the disk of this server; the others differ in what they wait
/// for on standbys, which is the operator's choice.
pub(super) fn require_durable(row: &Row, first: usize) -> Result<&'static str, Error> {
    for (index, setting) in [(first, "fsync"), (first + 1, "full_page_writes")] {
        let value: &str = column(row, index)?;
        if value != "on" {
            let setting = format!("the PostgreSQL setting {setting}");
            return Err(Error::Unsafe { setting, value: value.to_owned(), wanted: "on" });
        }
    }
    let value: &str = column(row, first + 2)?;
    match SYNCHRONOUS.into_iter().find(|safe| *safe == value) {
        Some(safe) => Ok(safe),
        None => Err(Error::Unsafe {
            setting: "the PostgreSQL setting synchronous_commit".to_owned(),
            value: value.to_owned(),
            wanted: "local, remote_write, on or remote_apply",
        }),
    }
}

impl Statements {
    /// All in one round trip.
    async fn prepare(client: &Client) -> Result<Statements, tokio_postgres::Error> {
        let (advance, delete, find, get, lead, leader, lock, renew, scan, scan_keys, upsert) = tokio::try_join!(
            client.prepare(sql::ADVANCE),
            client.prepare(sql::DELETE),
            client.prepare(sql::FIND),
            client.prepare(sql::GET),
            client.prepare(sql::LEAD),
            client.prepare(sql::LEADER),
            client.prepare(sql::LOCK),
            client.prepare(sql::RENEW),
            client.prepare(sql::SCAN),
            client.prepare(sql::SCAN_KEYS),
            client.prepare(sql::UPSERT),
        )?;
        Ok(Statements { advance, delete, find, get, lead, leader, lock, renew, scan, scan_keys, upsert })
    }
}

/// Waits for one step of a transaction, or for one read, but not for ever.
pub(super) async fn bounded<T>(step: impl Future<Output = T>) -> Result<T, Error> {
    timeout(STEP_TIMEOUT, step).await.map_err(|e| Error::unavailable("waiting for the database", e))
}

/// Turns an error of the driver into ours.
pub(super) fn failed(operation: &'static str) -> impl Fn(tokio_postgres::Error) -> Error + Copy {
    move |error| match error.code() {
        Some(code) if *code == SqlState::DISK_FULL => Error::Full,
        Some(code) if *code == SqlState::DATA_CORRUPTED || *code == SqlState::INDEX_CORRUPTED => {
            Error::Corrupt { what: operation, source: Some(Arc::new(error)) }
        }
        Some(_) | None => Error::unavailable(operation, error),
    }
}

/// Whether the connection survived the error: the server refused one statement and waits for the next.
pub(super) fn is_refusal(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().and_then(|error| error.parsed_severity()) == Some(Severity::Error)
}

/// A column of a row; the types are fixed by our own tables.
pub(super) fn column<'row, T: tokio_postgres::types::FromSql<'row>>(row: &'row Row, index: usize) -> Result<T, Error> {
    row.try_get(index).map_err(|e| Error::Corrupt { what: "a column of another type", source: Some(Arc::new(e)) })
}

/// The values of `synchronous_commit` under which a commit is on this server's disk when it returns.
const SYNCHRONOUS: [&str; 4] = ["local", "remote_write", "on", "remote_apply"];
const FORMAT: i32 = 1;
const OLDEST_VERSION: i64 = 120_000;
/// For everything until the connection can be used.
const SETUP_TIMEOUT: Duration = Duration::from_secs(15);
/// For one step; above what the server itself allows a statement (see [`sql::SETTINGS`]).
pub(super) const STEP_TIMEOUT: Duration = Duration::from_secs(15);
