//! The tables of the database file and the marks by which it is known.

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, params};

use super::connection::failed;
use crate::batch::Epoch;
use crate::entry::Revision;
use crate::error::Error;
use crate::leadership::Exclusive;

/// Creates the tables in an empty file. [`Error::Invalid`] for another program's file or a later format.
pub(super) fn ensure(connection: &Connection) -> Result<(), Error> {
    let read = failed("reading the format of the store");
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(read);
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(read)?;
    match (tables, number("application_id")?, number("user_version")?) {
        (0, 0, 0) => create(connection),
        (_, APPLICATION, FORMAT) => Ok(()),
        (_, APPLICATION, format) => Err(Error::Invalid(format!(
            "the store has format {format}, this release reads format {FORMAT}: use the release that wrote it, or a later one"
        ))),
        (_, _, _) => Err(Error::Invalid("the database file belongs to another program".to_owned())),
    }
}

fn create(connection: &Connection) -> Result<(), Error> {
    connection.execute_batch(CREATE).map_err(failed("creating the tables"))
}

/// The revision of the last commit.
pub(super) fn load_revision(connection: &Connection) -> Result<Revision, Error> {
    let read = failed("reading the last revision");
    connection.query_row("SELECT revision FROM store WHERE id = 1", [], |row| row.get(0)).map_err(read)
}

/// The leadership as the last process left it.
pub(super) fn load_leadership(connection: &Connection) -> Result<Exclusive, Error> {
    let row = connection
        .query_row("SELECT epoch, node, address FROM store WHERE id = 1 AND epoch > 0", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
        })
        .optional()
        .map_err(failed("reading the leader"))?;
    match row {
        Some((epoch, node, address)) => match u64::try_from(epoch) {
            Ok(epoch) => Ok(Exclusive::left_by(Epoch(epoch), node, address)),
            Err(_) => Err(Error::Corrupt { what: "a negative epoch", source: None }),
        },
        None => Ok(Exclusive::default()),
    }
}

/// Stores the leader; part of the caller's transaction.
pub(super) fn store_leader(connection: &Connection, epoch: i64, node: &str, address: &str) -> rusqlite::Result<usize> {
    connection
        .execute("UPDATE store SET epoch = ?1, node = ?2, address = ?3 WHERE id = 1", params![epoch, node, address])
}

impl FromSql for Revision {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Revision> {
        let number = value.as_i64()?;
        u64::try_from(number).map(Revision).map_err(|_| FromSqlError::OutOfRange(number))
    }
}

impl ToSql for Revision {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match i64::try_from(self.0) {
            Ok(number) => Ok(ToSqlOutput::from(number)),
            Err(error) => Err(rusqlite::Error::ToSqlConversionFailure(Box::new(error))),
        }
    }
}

/// "cofr", in the header of the file.
const APPLICATION: i64 = 0x636f_6672;
const FORMAT: i64 = 1;

// Entries are found through a narrow index and lie in a table ordered by a hidden number: a table ordered by the key
// itself would have entries in its inner nodes, and five of them to a page make a deep tree. The revision stands before
// the value, so that reading it never follows a large value's chain of pages.
const CREATE: &str = "
BEGIN IMMEDIATE;
CREATE TABLE entries (
    id       INTEGER PRIMARY KEY,
    key      BLOB    NOT NULL UNIQUE,
    revision INTEGER NOT NULL,
    value    BLOB    NOT NULL
) STRICT;
CREATE TABLE store (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL,
    epoch    INTEGER NOT NULL,
    node     TEXT    NOT NULL,
    address  TEXT    NOT NULL
) STRICT;
INSERT INTO store VALUES (1, 0, 0, '', '');
PRAGMA application_id = 0x636f6672;
PRAGMA user_version = 1;
COMMIT;
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schema_is_created_once_and_recognised() {
        let connection = Connection::open_in_memory().unwrap();
        ensure(&connection).unwrap();
        ensure(&connection).unwrap();
        assert_eq!(load_revision(&connection).unwrap(), Revision(0));
        assert_eq!(load_leadership(&connection).unwrap().epoch(), Epoch(0));
    }

    #[test]
    fn schema_of_a_later_release_is_refused() {
        let connection = Connection::open_in_memory().unwrap();
        ensure(&connection).unwrap();
        connection.pragma_update(None, "user_version", 2).unwrap();
        let error = ensure(&connection).unwrap_err().to_string();
        assert!(error.contains("format 2"), "{error}");
    }

    #[test]
    fn schema_of_another_program_is_refused() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("CREATE TABLE photos (id INTEGER)").unwrap();
        assert!(matches!(ensure(&connection), Err(Error::Invalid(_))));
    }
}
