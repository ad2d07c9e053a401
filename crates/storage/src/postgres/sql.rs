//! Every statement that goes to PostgreSQL. All names are qualified: the search path is empty.

/// How each connection is set up. Every access is by key, so that a plan without the index is never right, however
/// young the table's statistics.
pub(super) const SETTINGS: &str = "
SET search_path = '';
SET statement_timeout = '12s';
SET lock_timeout = '10s';
SET idle_in_transaction_session_timeout = '10s';
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SET jit = off;
SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE;
";

/// What durability rests on, and whether the tables exist.
pub(super) const PROVE: &str = "
SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('synchronous_commit'),
       current_setting('server_version_num')::int8, to_regclass('coffer.store') IS NOT NULL,
       (SELECT count(*) FROM pg_catalog.pg_class
        WHERE oid IN (to_regclass('coffer.store'), to_regclass('coffer.entries')) AND relpersistence <> 'p')
";

/// Creates the tables; two servers that start at once take turns, and the second finds everything there.
///
/// A value is sealed, so that compressing it is in vain; beyond two kilobytes it lies beside the table, uncompressed.
pub(super) const CREATE: &str = "
BEGIN;
SELECT pg_advisory_xact_lock(7165055932316939118);
CREATE SCHEMA IF NOT EXISTS coffer;
CREATE TABLE IF NOT EXISTS coffer.entries (
    key      bytea PRIMARY KEY,
    revision int8  NOT NULL,
    value    bytea NOT NULL
) WITH (fillfactor = 85);
ALTER TABLE coffer.entries ALTER COLUMN value SET STORAGE EXTERNAL;
CREATE TABLE IF NOT EXISTS coffer.store (
    id       int4        PRIMARY KEY CHECK (id = 1),
    format   int4        NOT NULL,
    revision int8        NOT NULL,
    epoch    int8        NOT NULL,
    node     text        NOT NULL,
    address  text        NOT NULL,
    until    timestamptz NOT NULL
) WITH (fillfactor = 10);
INSERT INTO coffer.store VALUES (1, 1, 0, 0, '', '', '-infinity') ON CONFLICT DO NOTHING;
COMMIT;
";

pub(super) const FORMAT: &str = "SELECT format FROM coffer.store WHERE id = 1";

pub(super) const GET: &str = "SELECT revision, value FROM coffer.entries WHERE key = $1";

/// `$3` is the limit, `$4` the bytes of values after which no further entry is taken. The length of a large value is
/// known without reading it, so that what is left out costs nothing. The last column says how many there would be.
pub(super) const SCAN: &str = "
SELECT key, revision, value, total FROM (
    SELECT key, revision, value, count(*) OVER () AS total, row_number() OVER (ORDER BY key) AS place,
           sum(octet_length(value)) OVER (ORDER BY key) - octet_length(value) AS before
    FROM (SELECT key, revision, value FROM coffer.entries
          WHERE key >= $1 AND key < $2 ORDER BY key LIMIT $3::int8 + 1) AS page
) AS sized WHERE place <= $3::int8 AND before < $4::int8 ORDER BY key
";

pub(super) const SCAN_KEYS: &str =
    "SELECT key FROM coffer.entries WHERE key >= $1 AND key < $2 ORDER BY key LIMIT $3::int8 + 1";

/// Opens a group's transaction for good: whoever commits or takes the leadership next waits for its end.
pub(super) const LOCK: &str = "
SELECT revision, epoch, current_setting('fsync'), current_setting('full_page_writes'),
       current_setting('synchronous_commit')
FROM coffer.store WHERE id = 1 FOR UPDATE
";

pub(super) const FIND: &str = "SELECT key, revision FROM coffer.entries WHERE key = ANY($1::bytea[])";

pub(super) const DELETE: &str = "DELETE FROM coffer.entries WHERE key = ANY($1::bytea[])";

pub(super) const UPSERT: &str = "
INSERT INTO coffer.entries (key, revision, value) SELECT * FROM unnest($1::bytea[], $2::int8[], $3::bytea[])
ON CONFLICT (key) DO UPDATE SET revision = excluded.revision, value = excluded.value
";

/// Opens a snapshot; whoever reads it may rest for a while between two pages.
pub(super) const BEGIN_SNAPSHOT: &str = "
SET statement_timeout = '60s';
SET idle_in_transaction_session_timeout = '5min';
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY
";

pub(super) const REVISION: &str = "SELECT revision FROM coffer.store WHERE id = 1";

pub(super) const BEGIN_LOAD: &str = "SET statement_timeout = '60s'; BEGIN";

/// Entries that are not there yet.
pub(super) const INSERT: &str = "
INSERT INTO coffer.entries (key, revision, value) SELECT * FROM unnest($1::bytea[], $2::int8[], $3::bytea[])
";

/// A vacuum takes as long as it takes.
pub(super) const PATIENT: &str = "SET statement_timeout = 0";

/// Clears away the versions of rows that nobody can see any more.
pub(super) const VACUUM: &str = "VACUUM coffer.entries";

pub(super) const ADVANCE: &str = "UPDATE coffer.store SET revision = $1 WHERE id = 1";

/// `until` is compared again after a wait for the row, with the clock of that moment.
pub(super) const LEAD: &str = "
UPDATE coffer.store SET epoch = epoch + 1, node = $1, address = $2,
       until = clock_timestamp() + $3::int8::float8 * interval '1 millisecond'
WHERE id = 1 AND until <= clock_timestamp() RETURNING epoch
";

pub(super) const RENEW: &str = "
UPDATE coffer.store SET until = clock_timestamp() + $2::int8::float8 * interval '1 millisecond'
WHERE id = 1 AND epoch = $1
";

pub(super) const LEADER: &str = "
SELECT epoch, node, address, greatest(0, floor(extract(epoch FROM until - clock_timestamp()) * 1000))::int8
FROM coffer.store WHERE id = 1 AND epoch > 0
";
