//! Connections to the database file: how they are set up, and the proof that the settings took.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::Error;

/// What a connection is for; decides its cache, in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Moves the write-ahead log into the database.
    Checkpoint,
    /// Answers point reads.
    Read,
    /// Answers scans.
    Scan,
    /// Reads everything once, in order.
    Snapshot,
    /// Commits.
    Write,
}

impl Purpose {
    fn cache_kib(self) -> i64 {
        match self {
            Purpose::Checkpoint => 64,
            // The inner pages of a million entries, so that a read fetches one leaf of the index and one of the table.
            Purpose::Read => 6144,
            Purpose::Scan => 256,
            Purpose::Snapshot | Purpose::Write => 8192,
        }
    }
}

/// Opens the database file, which exists, and proves the settings.
pub(super) fn connect(database: &Path, purpose: Purpose) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
    let connection = Connection::open_with_flags(database, flags).map_err(failed("opening the database"))?;
    configure(&connection, purpose).map_err(failed("configuring the database"))?;
    #[cfg(test)]
    tests::weaken(database, purpose, &connection);
    prove(&connection)?;
    Ok(connection)
}

fn configure(connection: &Connection, purpose: Purpose) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(24);
    // Takes effect on an empty file alone, and only before the journal mode is set.
    connection.pragma_update(None, "page_size", PAGE_SIZE)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "secure_delete", "on")?;
    // Checkpoints have a thread of their own; see `checkpoint.rs`.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", WAL_KEPT_BYTES)?;
    connection.pragma_update(None, "cache_size", -purpose.cache_kib())?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "temp_store", "memory")?;
    // A file that someone prepared can make reading fail, but not run anything.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    match purpose {
        Purpose::Read | Purpose::Scan | Purpose::Snapshot => connection.pragma_update(None, "query_only", "on"),
        // Checks each page as it comes from disk, which costs a point read a tenth of its time.
        Purpose::Checkpoint | Purpose::Write => connection.pragma_update(None, "cell_size_check", "on"),
    }
}

/// Reads back what durability and deletion rest on. [`Error::Unsafe`] for what differs.
pub(super) fn prove(connection: &Connection) -> Result<(), Error> {
    let read = failed("reading back the settings");
    let journal: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).map_err(read)?;
    require("journal_mode", &journal, "wal")?;
    for (setting, wanted) in [("synchronous", "2"), ("secure_delete", "1"), ("mmap_size", "0")] {
        let value: i64 = connection.pragma_query_value(None, setting, |row| row.get(0)).map_err(read)?;
        require(setting, &value.to_string(), wanted)?;
    }
    Ok(())
}

fn require(setting: &str, value: &str, wanted: &'static str) -> Result<(), Error> {
    if value == wanted {
        return Ok(());
    }
    Err(Error::Unsafe { setting: format!("the SQLite setting {setting}"), value: value.to_owned(), wanted })
}

/// Turns an error of SQLite into ours.
pub(super) fn failed(operation: &'static str) -> impl Fn(rusqlite::Error) -> Error + Copy {
    move |error| match (error.sqlite_error_code(), &error) {
        (Some(ErrorCode::DiskFull), _) => Error::Full,
        (Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase), _)
        | (
            None,
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::QueryReturnedNoRows,
        ) => Error::Corrupt { what: operation, source: Some(Arc::new(error)) },
        (_, _) => Error::unavailable(operation, error),
    }
}

/// Pages of the file. A value of 700 bytes shares its page with four others, so that changing it rewrites little.
pub(super) const PAGE_SIZE: i64 = 4096;
/// How much of a log that was longer for a while is kept as file, to be overwritten in place.
const WAL_KEPT_BYTES: i64 = 16 * 1024 * 1024;
/// How long one connection waits for another's lock; nobody but this process holds any, and none for long.
pub(super) const BUSY: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use parking_lot::Mutex;

    use super::*;
    use crate::Store;
    use crate::sqlite::Sqlite;

    /// Which connections lose which setting after they were configured: those for a purpose to a file.
    static WEAKENED: Mutex<Vec<(PathBuf, Purpose, &str)>> = Mutex::new(Vec::new());

    pub(super) fn weaken(database: &Path, purpose: Purpose, connection: &Connection) {
        for (path, of, setting) in WEAKENED.lock().iter() {
            if path == database && *of == purpose {
                let value = if *setting == "mmap_size" { 65_536 } else { 0 };
                connection.pragma_update(None, setting, value).unwrap();
            }
        }
    }

    /// What is opened first opens, so that it is the weak connection that is refused.
    #[tokio::test]
    async fn store_proves_each_of_its_connections() {
        for purpose in [Purpose::Checkpoint, Purpose::Read, Purpose::Scan, Purpose::Snapshot, Purpose::Write] {
            for setting in ["synchronous", "secure_delete", "mmap_size"] {
                let directory = tempfile::tempdir().unwrap();
                let path = directory.path().canonicalize().unwrap().join("store.db");
                let store = Sqlite::open(path.to_str().unwrap()).await.unwrap();
                let refused = if purpose == Purpose::Snapshot {
                    drop(store.snapshot(1 << 20).await.unwrap());
                    WEAKENED.lock().push((path, purpose, setting));
                    store.snapshot(1 << 20).await.err()
                } else {
                    store.close().await;
                    WEAKENED.lock().push((path.clone(), purpose, setting));
                    Sqlite::open(path.to_str().unwrap()).await.err()
                };
                let Some(Error::Unsafe { setting: found, .. }) = refused else {
                    panic!("{purpose:?} without {setting}: {refused:?}")
                };
                assert!(found.ends_with(setting), "{purpose:?}: {found} for {setting}");
            }
        }
    }

    fn database() -> (tempfile::TempDir, Connection) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap().join("store.db");
        std::fs::write(&path, "").unwrap();
        let connection = connect(&path, Purpose::Write).unwrap();
        (directory, connection)
    }

    #[test]
    fn connection_as_configured_proves_safe() {
        let (_directory, connection) = database();
        prove(&connection).unwrap();
    }

    #[test]
    fn connection_with_a_weakened_setting_is_unsafe() {
        for (setting, value, wanted) in [
            ("synchronous", "1", "2"),
            ("synchronous", "0", "2"),
            ("secure_delete", "0", "1"),
            ("journal_mode", "delete", "wal"),
        ] {
            let (_directory, connection) = database();
            connection.pragma_update(None, setting, value).unwrap();
            let Err(Error::Unsafe { value: found, wanted: expected, .. }) = prove(&connection) else {
                panic!("{setting} = {value} was accepted")
            };
            assert_eq!((found.as_str(), expected), (value, wanted));
        }
    }

    #[test]
    fn connection_to_something_else_is_corrupt() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap().join("store.db");
        std::fs::write(&path, vec![b'x'; 8192]).unwrap();
        assert!(matches!(connect(&path, Purpose::Write), Err(Error::Corrupt { .. })));
    }
}
