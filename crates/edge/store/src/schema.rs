//! The database: its tables, the invariants they repeat, and how it is opened.
//!
//! What a constraint can say, one says: an entry is never changed or removed, a call has at most one
//! intent and one outcome, an approval leaves a final state never, one session of an agent and owner is
//! open at a time. The program checks all of it before it writes; the schema is there for its mistakes.

use crate::error::OpenError;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use std::path::Path;
use std::time::Duration;

/// `ilkl`, in the file's header.
const APPLICATION_ID: i64 = 0x696c_6b6c;
const SCHEMA_VERSION: i64 = 2;
/// An entry with its payload takes about 2 KiB: pages of 8 KiB waste less of themselves than those of 4, and
/// of larger ones more would be written again with every commit.
const PAGE_BYTES: u32 = 8192;
/// WAL pages after which the writer itself copies them into the database. The publisher does so earlier
/// and beside it; this bounds the WAL (32 MiB) where the publisher cannot keep up.
const WAL_PAGES: u32 = 4096;

const DDL: &str = "
CREATE TABLE entries (
    idx       INTEGER PRIMARY KEY CHECK (idx >= 0),
    kind      INTEGER NOT NULL CHECK (kind BETWEEN 1 AND 10),
    at        INTEGER NOT NULL,
    call      BLOB CHECK (length(call) = 16),
    bytes     BLOB NOT NULL CHECK (length(bytes) BETWEEN 1 AND 65535),
    -- Only in the newest entry: the checkpoint signed over all entries, and the lowest index that may hold
    -- an intent without outcome.
    note      TEXT,
    open_from INTEGER CHECK (open_from BETWEEN 0 AND idx + 1),
    -- The vault: payloads, encrypted under the session's key.
    received  BLOB,
    sent      BLOB,
    result    BLOB,
    CHECK ((note IS NULL) = (open_from IS NULL))
) STRICT;
CREATE UNIQUE INDEX entries_of_call ON entries (call, kind) WHERE call IS NOT NULL;
CREATE TRIGGER entries_stay BEFORE UPDATE OF idx, kind, at, call, bytes ON entries
BEGIN SELECT RAISE(ABORT, 'an entry is never changed'); END;
CREATE TRIGGER entries_remain BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'an entry is never removed'); END;
CREATE TRIGGER notes_go BEFORE UPDATE OF note, open_from ON entries
WHEN NEW.note IS NOT NULL OR NEW.open_from IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a checkpoint is replaced by that of a newer entry'); END;
CREATE TRIGGER payloads_go BEFORE UPDATE OF received, sent, result ON entries
WHEN NEW.received IS NOT OLD.received AND NEW.received IS NOT NULL
  OR NEW.sent IS NOT OLD.sent AND NEW.sent IS NOT NULL
  OR NEW.result IS NOT OLD.result AND NEW.result IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'payloads are never changed, only removed'); END;

CREATE TABLE sessions (
    id          BLOB PRIMARY KEY CHECK (length(id) = 16),
    agent       TEXT NOT NULL,
    owner       TEXT NOT NULL,
    wrapped_key BLOB NOT NULL,
    labels      TEXT NOT NULL CHECK (json_type(labels) = 'array'),
    opened      INTEGER NOT NULL,
    ended       INTEGER,
    seal        BLOB NOT NULL CHECK (length(seal) = 32)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX one_open_session ON sessions (agent, owner) WHERE ended IS NULL;
CREATE TRIGGER sessions_keep BEFORE UPDATE OF id, agent, owner, wrapped_key, opened ON sessions
BEGIN SELECT RAISE(ABORT, 'a session keeps its key and its people'); END;
CREATE TRIGGER sessions_end_once BEFORE UPDATE OF ended ON sessions WHEN OLD.ended IS NOT NULL
BEGIN SELECT RAISE(ABORT, 'a session ends once'); END;

CREATE TABLE approvals (
    id          BLOB PRIMARY KEY CHECK (length(id) = 16),
    state       TEXT NOT NULL
                CHECK (state IN ('pending', 'approved', 'denied', 'expired', 'superseded', 'consumed')),
    call_digest BLOB NOT NULL CHECK (length(call_digest) = 32),
    expires_at  INTEGER NOT NULL,
    body        TEXT NOT NULL CHECK (json_type(body) = 'object'),
    seal        BLOB NOT NULL CHECK (length(seal) = 32)
) STRICT, WITHOUT ROWID;
CREATE INDEX approvals_by_expiry ON approvals (expires_at);
CREATE TRIGGER approvals_end_once BEFORE UPDATE ON approvals
WHEN OLD.state NOT IN ('pending', 'approved') OR NEW.id <> OLD.id OR NEW.call_digest <> OLD.call_digest
BEGIN SELECT RAISE(ABORT, 'a final approval stays as it is'); END;

CREATE TABLE agents (
    id   TEXT PRIMARY KEY,
    body TEXT NOT NULL CHECK (json_type(body) = 'object'),
    seal BLOB NOT NULL CHECK (length(seal) = 32)
) STRICT, WITHOUT ROWID;
";

/// Opens the database for the one process that writes it, made where there is none.
pub(crate) fn open_for_writing(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    // Both only say something to a database that is being made.
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    // Where a plain fsync leaves data in the drive's cache (macOS), ask for more; elsewhere these do nothing.
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
    // The writer only appends; what it needs again are the right edges of a few trees.
    connection.pragma_update(None, "cache_size", -4096)?;
    let (application, version, tables) = identity(&connection)?;
    if (application, version, tables) == (0, 0, 0) {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(DDL)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
        transaction.commit()?;
    } else {
        check_identity(path, application, version)?;
    }
    Ok(connection)
}

/// Opens the database for reading, beside a running daemon or without one.
pub(crate) fn open_for_reading(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "query_only", true)?;
    let (application, version, _) = identity(&connection)?;
    check_identity(path, application, version)?;
    Ok(connection)
}

/// Whether tables, indices and triggers are those of [`DDL`], no more and no fewer.
pub(crate) fn is_as_made(connection: &Connection) -> Result<bool, rusqlite::Error> {
    let fresh = Connection::open_in_memory()?;
    fresh.execute_batch(DDL)?;
    let objects = |connection: &Connection| {
        // Statistics that someone had SQLite gather are nobody's fault.
        let sql =
            "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_stat%' ORDER BY name";
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
        rows.collect::<Result<Vec<(String, String, String, Option<String>)>, rusqlite::Error>>()
    };
    Ok(objects(connection)? == objects(&fresh)?)
}

/// Whether the database says it is one of ours, of this version.
pub(crate) fn check_identity(path: &Path, application: i64, version: i64) -> Result<(), OpenError> {
    if (application, version) == (APPLICATION_ID, SCHEMA_VERSION) {
        Ok(())
    } else {
        Err(OpenError::Schema { path: path.to_owned(), application, version })
    }
}

fn identity(connection: &Connection) -> Result<(i64, i64, i64), rusqlite::Error> {
    let one = |sql: &str| connection.query_row(sql, [], |row| row.get(0));
    Ok((one("PRAGMA application_id")?, one("PRAGMA user_version")?, one("SELECT count(*) FROM sqlite_schema")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_refuses_what_the_program_must_not_do() {
        let temporary = tempfile::tempdir().unwrap();
        let db = open_for_writing(&temporary.path().join("ledger.db")).unwrap();
        db.execute_batch(
            "INSERT INTO entries VALUES (0, 5, 1, zeroblob(16), x'01', NULL, NULL, x'00', NULL, NULL),
                                        (1, 6, 1, zeroblob(16), x'02', 'note', 2, NULL, NULL, x'00');
             INSERT INTO approvals VALUES (zeroblob(16), 'approved', zeroblob(32), 9, '{}', zeroblob(32));
             INSERT INTO sessions VALUES (zeroblob(16), 'a', 'o', x'00', '[]', 1, NULL, zeroblob(32));
             UPDATE approvals SET state = 'consumed';",
        )
        .unwrap();
        for (sql, why) in [
            ("UPDATE entries SET at = 2", "never changed"),
            ("DELETE FROM entries WHERE idx = 1", "never removed"),
            ("INSERT INTO entries (idx, kind, at, call, bytes) VALUES (2, 5, 1, zeroblob(16), x'01')", "UNIQUE"),
            ("INSERT INTO entries (idx, kind, at, bytes) VALUES (2, 11, 1, x'01')", "CHECK"),
            ("INSERT INTO entries (idx, kind, at, bytes) VALUES (2, 1, 1, x'')", "CHECK"),
            ("INSERT INTO entries (idx, kind, at, bytes, note) VALUES (2, 1, 1, x'01', 'note')", "CHECK"),
            ("INSERT INTO entries (idx, kind, at, bytes, note, open_from) VALUES (2, 1, 1, x'01', 'n', 4)", "CHECK"),
            ("UPDATE entries SET note = 'other' WHERE idx = 1", "newer entry"),
            ("UPDATE entries SET open_from = 0 WHERE idx = 1", "newer entry"),
            ("UPDATE entries SET received = x'01' WHERE idx = 0", "only removed"),
            ("UPDATE approvals SET state = 'approved'", "final approval"),
            (
                "INSERT INTO sessions VALUES (x'01010101010101010101010101010101', 'a', 'o', x'00', '[]', 1, NULL, zeroblob(32))",
                "UNIQUE",
            ),
            ("UPDATE sessions SET wrapped_key = x'01'", "keeps its key"),
        ] {
            let error = db.execute(sql, []).unwrap_err().to_string();
            assert!(error.contains(why), "{sql}: {error}");
        }
        for sql in ["UPDATE entries SET note = NULL, open_from = NULL", "UPDATE entries SET result = NULL"] {
            assert_eq!(db.execute(sql, []), Ok(2), "{sql}");
        }
    }

    #[test]
    fn every_commit_is_synced() {
        let temporary = tempfile::tempdir().unwrap();
        let db = open_for_writing(&temporary.path().join("ledger.db")).unwrap();
        for (pragma, value) in [("synchronous", "2"), ("journal_mode", "wal"), ("foreign_keys", "1")] {
            let found: rusqlite::types::Value = db.pragma_query_value(None, pragma, |row| row.get(0)).unwrap();
            let found = match found {
                rusqlite::types::Value::Integer(i) => i.to_string(),
                rusqlite::types::Value::Text(t) => t,
                other => panic!("{other:?}"),
            };
            assert_eq!(found, value, "{pragma}");
        }
    }

    #[test]
    fn another_programs_database_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("ledger.db");
        Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (x)").unwrap();
        assert!(matches!(open_for_writing(&path), Err(OpenError::Schema { .. })));
        assert!(matches!(open_for_reading(&path), Err(OpenError::Schema { .. })));
        let path = temporary.path().join("newer.db");
        open_for_writing(&path).unwrap().pragma_update(None, "user_version", 3).unwrap();
        assert!(matches!(open_for_writing(&path), Err(OpenError::Schema { version: 3, .. })));
    }
}
