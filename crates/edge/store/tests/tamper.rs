//! What a database tool or a hex editor can do to a ledger, and that `verify` finds all of it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use interlock_engine::ports::{Effect, Ledger as _};
use interlock_identity::{Agent, AgentState, BearerKey};
use interlock_ledger::entry::{AgentAction, AgentEvent, ApprovalAction, Entry, Event};
use interlock_model::UnixMillis;
use interlock_store::{OpenError, Reader, Report, Store};
use rusqlite::{Connection, types::Value};
use std::path::{Path, PathBuf};
use support::{NOW, approved, consuming, crash_copy, intent, options, outcome, pending, start, step};

/// A closed ledger with some of everything: about `calls * 2 + 8` entries.
fn ledger(dir: &Path, calls: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (store, _) = Store::open(options(dir)).unwrap();
        store.append(start()).await.unwrap();
        let agent = Agent {
            id: "builder".parse().unwrap(),
            owner: "ada@example.org".parse().unwrap(),
            key: BearerKey::new(&[7; 32]).digest(),
            state: AgentState::Active,
            purpose: "builds".into(),
            roles: vec![],
            added: NOW,
        };
        let (id, owner) = (agent.id.clone(), agent.owner.clone());
        let event = AgentEvent { action: AgentAction::Added, agent: id, by: "op".into(), key: None, owner };
        store.put_agent(&agent, &Entry::new(NOW, Event::Agent(event))).await.unwrap();
        let session = store.session(&agent.id, &agent.owner, NOW).await.unwrap();
        for (n, used) in [(1, true), (2, false)] {
            let asked = pending(&session, n, UnixMillis(u64::MAX >> 1));
            let yes = approved(&asked);
            let request = Effect::Request(Box::new(asked.clone()));
            store.append(step(&asked, ApprovalAction::Requested, request)).await.unwrap();
            if used {
                let replace = Effect::Replace { from: "pending", to: Box::new(yes.clone()) };
                store.append(step(&asked, ApprovalAction::Approved, replace)).await.unwrap();
                store.append(consuming(&session, 1_000_000, &yes)).await.unwrap();
                store.append(outcome(&session, 1_000_000, b"used")).await.unwrap();
            }
        }
        for n in 0..calls {
            store.append(intent(&session, n, b"{\"q\":1}")).await.unwrap();
            if n + 1 < calls {
                store.append(outcome(&session, n, b"{\"rows\":[]}")).await.unwrap();
            }
        }
        store.close().unwrap();
    });
}

fn verify(dir: &Path) -> Report {
    Reader::open(dir).unwrap().verify(|_, _| {}).unwrap()
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![dir.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { directories.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// Flips one bit at every `step`th byte of every published file, and asks whether it was found.
fn every_flip(dir: &Path, step: usize) {
    assert!(verify(dir).is_intact());
    let files = files(&dir.join("log"));
    assert!(files.len() >= 2, "{files:?}");
    // The whole of `verify` for each flip costs more than it says: what differs is only one file.
    let reader = Reader::open(dir).unwrap();
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        for at in (0..bytes.len()).step_by(step) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            std::fs::write(&file, &flipped).unwrap();
            let report = reader.verify(|_, _| {}).unwrap();
            assert!(!report.is_intact(), "{} at {at}", file.display());
        }
        for other in [&bytes[..bytes.len() - 1], &[&bytes[..], b"\0"].concat(), b""] {
            std::fs::write(&file, other).unwrap();
            assert!(!reader.verify(|_, _| {}).unwrap().is_intact(), "{} cut or longer", file.display());
        }
        std::fs::remove_file(&file).unwrap();
        assert!(!reader.verify(|_, _| {}).unwrap().is_intact(), "{} gone", file.display());
        std::fs::write(&file, &bytes).unwrap();
    }
    assert!(verify(dir).is_intact());
}

#[test]
fn every_flipped_bit_of_a_small_ledgers_files_is_found() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("data");
    ledger(&dir, 16);
    every_flip(&dir, 1);
}

#[test]
fn flipped_bits_of_a_larger_ledgers_files_are_found() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("data");
    ledger(&dir, 300);
    every_flip(&dir, 9973);
}

#[test]
fn a_bad_tile_names_its_entry() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("data");
    ledger(&dir, 300);
    let tile = dir.join("log/tile/0/001");
    let mut bytes = std::fs::read(&tile).unwrap();
    bytes[32 * 44 + 5] ^= 4;
    std::fs::write(&tile, bytes).unwrap();
    let report = verify(&dir);
    assert_eq!(report.faults[0].entry, Some(256 + 44), "{report:?}");
}

/// Triggers and constraints are out of the way for someone with a database tool.
fn tampered(dir: &Path, to: &Path, sql: &str) -> Report {
    let _ = std::fs::remove_dir_all(to);
    crash_copy(dir, to);
    let db = Connection::open(to.join("ledger.db")).unwrap();
    db.execute_batch("PRAGMA ignore_check_constraints = 1; PRAGMA foreign_keys = 0;").unwrap();
    db.set_db_config(rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false).unwrap();
    db.execute_batch(sql).unwrap_or_else(|e| panic!("{sql}: {e}"));
    assert!(db.total_changes() > 0, "{sql}");
    drop(db);
    verify(to)
}

#[test]
fn every_column_of_every_row_is_accounted_for() {
    let temporary = tempfile::tempdir().unwrap();
    let (dir, to) = (temporary.path().join("data"), temporary.path().join("tampered"));
    ledger(&dir, 6);
    let db = Connection::open(dir.join("ledger.db")).unwrap();
    let mut tried = 0;
    for (table, key) in [("entries", "idx"), ("sessions", "id"), ("approvals", "id"), ("agents", "id")] {
        let statement = db.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns: Vec<String> = statement.column_names().map(ToOwned::to_owned).collect();
        let keys: Vec<Value> = db
            .prepare(&format!("SELECT {key} FROM {table} ORDER BY {key}"))
            .unwrap()
            .query_map([], |row| row.get(0))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        assert!(!keys.is_empty(), "{table}");
        for key_value in keys {
            let place = match &key_value {
                Value::Integer(i) => i.to_string(),
                Value::Text(t) => format!("'{t}'"),
                Value::Blob(b) => format!("x'{}'", interlock_model::digest::hex(b)),
                other => panic!("{other:?}"),
            };
            for column in &columns {
                let kind: Value = db
                    .query_row(&format!("SELECT {column} FROM {table} WHERE {key} = {place}"), [], |row| row.get(0))
                    .unwrap();
                let changed = match kind {
                    Value::Integer(_) if column == "kind" => "CASE kind WHEN 1 THEN 2 ELSE 1 END".to_owned(),
                    Value::Integer(_) if column == "idx" => format!("{column} + 1000"),
                    Value::Integer(_) => format!("{column} - 1"),
                    Value::Null if column == "ended" || column == "open_from" => "7".to_owned(),
                    Value::Null if column == "note" => "'7'".to_owned(),
                    Value::Null => "zeroblob(16)".to_owned(),
                    Value::Text(_) if column == "labels" => "'[\"x\"]'".to_owned(),
                    Value::Text(_) if column == "state" => {
                        format!("CASE {column} WHEN 'approved' THEN 'pending' ELSE 'approved' END")
                    }
                    Value::Text(_) => {
                        format!("replace({column}, 'a', 'b') || CASE WHEN {column} LIKE '%a%' THEN '' ELSE ' ' END")
                    }
                    // The last byte, one bit.
                    Value::Blob(b) => {
                        let mut b = b;
                        if let Some(last) = b.last_mut() {
                            *last ^= 1;
                        }
                        format!("x'{}'", interlock_model::digest::hex(&b))
                    }
                    Value::Real(_) => panic!("no reals"),
                };
                let sql = format!("UPDATE {table} SET {column} = {changed} WHERE {key} = {place}");
                let report = tampered(&dir, &to, &sql);
                assert!(!report.is_intact(), "{sql}");
                if table == "entries" {
                    let Value::Integer(index) = key_value else { panic!() };
                    assert_eq!(report.faults[0].entry, Some(index as u64), "{sql}: {:?}", report.faults);
                }
                tried += 1;
            }
            let sql = format!("DELETE FROM {table} WHERE {key} = {place}");
            let report = tampered(&dir, &to, &sql);
            assert!(!report.is_intact(), "{sql}");
            tried += 1;
        }
    }
    assert!(tried > 150, "{tried}");
}

#[test]
fn rows_added_swapped_or_cut_off_are_found_with_the_first_bad_entry() {
    let temporary = tempfile::tempdir().unwrap();
    let (dir, to) = (temporary.path().join("data"), temporary.path().join("tampered"));
    ledger(&dir, 6);
    let size = Reader::open(&dir).unwrap().size().unwrap();
    let last = size - 1;
    for (sql, first) in [
        // Cut off, and the tail's traces with it.
        ("DELETE FROM entries WHERE idx > 9".to_owned(), 10),
        (format!("DELETE FROM entries WHERE idx = {last}"), last),
        // The same, and the checkpoint of what was cut off is put on what is left.
        (
            format!(
                "UPDATE entries SET open_from = 9, note = (SELECT note FROM entries WHERE idx = {last}) WHERE idx = 9;
                 DELETE FROM entries WHERE idx > 9"
            ),
            10,
        ),
        // The newest entry without its checkpoint: as if newer ones had been cut off.
        (format!("UPDATE entries SET note = NULL, open_from = NULL WHERE idx = {last}"), size),
        // One more, a copy of one that is there.
        (
            format!(
                "INSERT INTO entries (idx, kind, at, bytes) SELECT {size}, 1, at, bytes FROM entries WHERE idx = 1"
            ),
            size,
        ),
        // Two change places.
        (
            "UPDATE entries SET idx = -1 WHERE idx = 9; UPDATE entries SET idx = 9 WHERE idx = 10;
             UPDATE entries SET idx = 10 WHERE idx = -1"
                .to_owned(),
            9,
        ),
        // Everything moves up by one.
        ("UPDATE entries SET idx = idx + 1000; UPDATE entries SET idx = idx - 999".to_owned(), 0),
        // One gone, and those after it moved down.
        (
            "DELETE FROM entries WHERE idx = 9; UPDATE entries SET idx = idx + 1000 WHERE idx > 9;
             UPDATE entries SET idx = idx - 1001 WHERE idx > 1000"
                .to_owned(),
            9,
        ),
    ] {
        let report = tampered(&dir, &to, &sql);
        assert!(!report.is_intact(), "{sql}");
        assert_eq!(report.faults[0].entry, Some(first), "{sql}: {:?}", report.faults);
    }
}

#[test]
fn a_payload_that_was_removed_is_missing_and_breaks_nothing() {
    let temporary = tempfile::tempdir().unwrap();
    let (dir, to) = (temporary.path().join("data"), temporary.path().join("tampered"));
    ledger(&dir, 6);
    let before = verify(&dir).payloads.unwrap();
    for column in ["received", "result"] {
        let report = tampered(&dir, &to, &format!("UPDATE entries SET {column} = NULL WHERE {column} IS NOT NULL"));
        assert!(report.is_intact(), "{report:?}");
        let after = report.payloads.unwrap();
        assert!(after.missing > 0 && after.missing + after.intact == before.intact, "{after:?}");
    }
}

#[test]
fn a_schema_without_its_guards_is_found() {
    let temporary = tempfile::tempdir().unwrap();
    let (dir, to) = (temporary.path().join("data"), temporary.path().join("tampered"));
    ledger(&dir, 2);
    for sql in ["DROP TRIGGER entries_stay", "DROP INDEX one_open_session", "CREATE TABLE more (x)"] {
        crash_copy(&dir, &to);
        Connection::open(to.join("ledger.db")).unwrap().execute_batch(sql).unwrap();
        assert!(!verify(&to).is_intact(), "{sql}");
    }
}

#[test]
fn an_older_copy_of_the_database_is_not_taken_for_the_newest() {
    let temporary = tempfile::tempdir().unwrap();
    let (dir, older) = (temporary.path().join("data"), temporary.path().join("older"));
    ledger(&dir, 3);
    crash_copy(&dir, &older);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (store, recovery) = Store::open(options(&dir)).unwrap();
        assert_eq!(recovery.closed_unknown, 1);
        store.append(start()).await.unwrap();
        store.close().unwrap();
    });
    std::fs::copy(older.join("ledger.db"), dir.join("ledger.db")).unwrap();
    let refused = Store::open(options(&dir)).err().unwrap();
    assert!(matches!(&refused, OpenError::Damaged(why) if why.contains("older copy")), "{refused}");
    assert!(!verify(&dir).is_intact());
    std::fs::remove_file(dir.join("ledger.db")).unwrap();
    assert!(Store::open(options(&dir)).is_err(), "with the keys and the log there, an empty ledger is no ledger");
}

#[test]
fn missing_files_come_back_and_damaged_ones_stay_for_someone_to_see() {
    let temporary = tempfile::tempdir().unwrap();
    let (dir, to) = (temporary.path().join("data"), temporary.path().join("copy"));
    ledger(&dir, 300);
    for file in files(&dir.join("log")) {
        let name = file.strip_prefix(&dir).unwrap();
        let bytes = std::fs::read(&file).unwrap();
        // Not there: made again, as it was.
        crash_copy(&dir, &to);
        std::fs::remove_file(to.join(name)).unwrap();
        let (store, recovery) = Store::open(options(&to)).unwrap();
        assert_eq!(recovery.damage, Vec::<String>::new(), "{name:?}");
        store.close().unwrap();
        drop(store);
        if name != Path::new("log/checkpoint") {
            assert_eq!(std::fs::read(to.join(name)).unwrap(), bytes, "{name:?}");
        }
        assert!(verify(&to).is_intact(), "{name:?}");
        std::fs::remove_dir_all(&to).unwrap();
        // Another: reported, and left.
        crash_copy(&dir, &to);
        let mut other = bytes.clone();
        other[40] ^= 1;
        std::fs::write(to.join(name), &other).unwrap();
        let (store, recovery) = Store::open(options(&to)).unwrap();
        assert_eq!(recovery.damage.len(), 1, "{name:?}: {recovery:?}");
        assert!(recovery.damage[0].contains(name.to_str().unwrap()), "{name:?}: {recovery:?}");
        store.close().unwrap();
        drop(store);
        assert_eq!(std::fs::read(to.join(name)).unwrap(), other, "{name:?}");
        assert!(!verify(&to).is_intact(), "{name:?}");
        std::fs::remove_dir_all(&to).unwrap();
    }
}
