//! `interlock ledger verify`: everything that is stored, compared with what was signed and with itself.
//!
//! The entries, the published files and the checkpoints are the ledger crate's audit. Beyond it: rows that
//! may change (sessions, approvals, agents) must be as the gateway sealed them and as the entries tell;
//! payloads must be what entries commit to; and the database must hang together.

mod payloads;
mod state;

use crate::error::ReadError;
use crate::reader::Reader;
use crate::rows::CheckpointRow;
use interlock_engine::ports::Slot;
use interlock_ledger::audit::{Audit, Columns, Finding, Row, Summary};
use interlock_ledger::checkpoint::Checkpoint;
use interlock_ledger::entry::{Entry, Event};
use interlock_ledger::tile::TilePath;
use payloads::Payloads;
use rusqlite::types::ValueRef;
use state::State;
use std::collections::BTreeSet;

pub use payloads::PayloadCounts;

/// Faults that a report lists; more of them say nothing new.
const MAX_FAULTS: usize = 100;
/// Entries between two calls of the progress callback.
const PROGRESS_EVERY: u64 = 1024;

/// What a verification found.
#[derive(Debug)]
pub struct Report {
    /// What the audit of entries, files and checkpoints found in order; `None` if it found a fault.
    pub summary: Option<Summary>,
    /// What is not as it must be: first the first bad entry, if one is, then rows by the entry that tells of
    /// them, then what concerns none. Empty: nothing was found.
    pub faults: Vec<Fault>,
    /// What the vault holds; `None` where entries are not as they were signed, so that nothing says what it should.
    pub payloads: Option<PayloadCounts>,
}

/// One thing that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The entry it concerns, where it concerns one.
    pub entry: Option<u64>,
    /// What is wrong, for people.
    pub what: String,
}

impl Report {
    /// Whether nothing was found wrong.
    #[must_use]
    pub const fn is_intact(&self) -> bool {
        self.faults.is_empty()
    }
}

impl Fault {
    fn new(entry: Option<u64>, what: impl Into<String>) -> Self {
        Self { entry, what: what.into() }
    }
}

impl From<Finding> for Fault {
    fn from(finding: Finding) -> Self {
        Self { entry: Some(finding.index), what: finding.reason.to_string() }
    }
}

impl Reader {
    /// Verifies the whole ledger. `progress` is given how many entries were read, and of how many.
    ///
    /// A running daemon does not disturb it: what it verifies is one snapshot.
    ///
    /// # Errors
    ///
    /// [`ReadError`] if the database cannot be read; whatever can be read and is wrong is in the report.
    pub fn verify(&self, mut progress: impl FnMut(u64, u64)) -> Result<Report, ReadError> {
        // Files first: what they say was committed before, so the snapshot covers it.
        let shown = self.files.checkpoint().map_err(|e| crate::error::OpenError::io(self.files.root(), e))?;
        let snapshot = self.connection.unchecked_transaction()?;
        let stored = CheckpointRow::read(&self.connection)?;
        let mut faults = Vec::new();

        let published = match shown.as_deref().map(|note| Checkpoint::open(note, &self.key)) {
            Some(Ok(checkpoint)) => checkpoint.size,
            Some(Err(error)) => {
                faults.push(Fault::new(None, format!("log/checkpoint: {error}")));
                0
            }
            // One is published before the first entry is written.
            None if stored.is_some() => {
                faults.push(Fault::new(None, "log/checkpoint is missing"));
                0
            }
            None => 0,
        };
        let total = stored.as_ref().map_or(0, |row| row.size);
        let usable = shown.as_deref().filter(|_| faults.is_empty());
        let (summary, first) = match self.audit(usable, stored.as_ref(), published, |at| progress(at, total)) {
            Ok(summary) => (Some(summary), None),
            Err(Stop::Found(fault)) => (None, Some(fault)),
            Err(Stop::Read(error)) => return Err(error),
        };
        self.other_files(published, total, &mut faults);
        let state = State::read(&self.connection, &self.vault, &mut faults)?;
        // Against entries that are not what was signed, everything else would look wrong.
        let payloads = match first {
            None => Some(self.compare_state(state, stored.as_ref(), &mut faults)?),
            Some(_) => None,
        };
        self.check_database(&mut faults)?;
        snapshot.finish()?;

        faults.sort_by_key(|fault| fault.entry.unwrap_or(u64::MAX));
        faults.dedup();
        let faults = first.into_iter().chain(faults).take(MAX_FAULTS).collect();
        progress(total, total);
        Ok(Report { summary, faults, payloads })
    }

    fn audit(
        &self,
        shown: Option<&[u8]>,
        stored: Option<&CheckpointRow>,
        published: u64,
        mut progress: impl FnMut(u64),
    ) -> Result<Summary, Stop> {
        let tiles = |path: &TilePath| self.files.tile(path).ok()?;
        let mut audit = Audit::with_files(self.key.clone(), tiles, published);
        if let Some(note) = shown {
            audit.checkpoint(note)?;
        }
        // Said only if the entries themselves show nothing earlier.
        let mut unsigned = None;
        if let Some(row) = stored {
            match Checkpoint::open(row.note.as_bytes(), &self.key) {
                Ok(signed) if signed.size == row.size => audit.checkpoint(row.note.as_bytes())?,
                // The rows end before what was signed, or the signature was put on an entry that it is not about.
                Ok(signed) => {
                    let what = format!("the checkpoint stored with the entry before it covers {} entries", signed.size);
                    unsigned = Some(Fault::new(Some(row.size), what));
                }
                Err(error) => unsigned = Some(Fault::new(Some(row.size - 1), format!("its checkpoint: {error}"))),
            }
        }
        let mut statement = self
            .connection
            .prepare_cached("SELECT idx, kind, at, call, bytes, note, open_from FROM entries ORDER BY idx")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let here = audit.size();
            let strange = || Stop::Found(Fault::new(Some(here), "a column is of another type than it was written as"));
            let integer = |at| row.get_ref(at)?.as_i64().map_err(|_| strange());
            let call = match row.get_ref(3)? {
                ValueRef::Null => None,
                ValueRef::Blob(call) => Some(call),
                _ => return Err(strange()),
            };
            let ValueRef::Blob(entry) = row.get_ref(4)? else { return Err(strange()) };
            let columns = Columns { kind: integer(1)?, at: integer(2)?, call };
            audit.row(&Row { index: integer(0)?, columns: Some(columns), entry })?;
            match (row.get_ref(5)?, row.get_ref(6)?, stored) {
                (ValueRef::Null, ValueRef::Null, _) => {}
                (_, _, Some(row)) if row.size == here + 1 => {}
                // The newest entry carries none, and this was the newest one when it was signed.
                (ValueRef::Text(note), _, None) if unsigned.is_none() => {
                    audit.checkpoint(note)?;
                    unsigned = Some(Fault::new(Some(here + 1), "from here on, entries are not signed"));
                }
                _ => {
                    let what = "it carries a checkpoint, and is not the newest entry";
                    return Err(Stop::Found(Fault::new(Some(here), what)));
                }
            }
            if here.is_multiple_of(PROGRESS_EVERY) {
                progress(here);
            }
        }
        let read = audit.size();
        let summary = audit.finish()?;
        if stored.is_none() && unsigned.is_none() && read > 0 {
            let what = "the entry before it does not carry the checkpoint signed over it: newer ones were removed";
            unsigned = Some(Fault::new(Some(read), what));
        }
        if let Some(fault) = unsigned {
            return Err(Stop::Found(fault));
        }
        if summary.signed < read {
            // Entries and their signature are written in one transaction.
            return Err(Stop::Found(Fault::new(Some(summary.signed), "from here on, entries are not signed")));
        }
        Ok(summary)
    }

    /// Compares what may change, and the vault, with what the entries tell.
    fn compare_state(
        &self,
        mut state: State,
        stored: Option<&CheckpointRow>,
        faults: &mut Vec<Fault>,
    ) -> Result<PayloadCounts, ReadError> {
        let mut payloads = Payloads::default();
        let mut statement =
            self.connection.prepare_cached("SELECT idx, bytes, received, sent, result FROM entries ORDER BY idx")?;
        let mut rows = statement.query([])?;
        let mut open = BTreeSet::new();
        let mut calls = std::collections::HashMap::new();
        let mut next = 0;
        while let Some(row) = rows.next()? {
            let index = crate::rows::uint(row.get(0)?);
            let bytes = row.get_ref(1)?.as_blob().unwrap_or_default();
            // The audit has read every one of them.
            let Ok(entry) = Entry::from_bytes(bytes) else { continue };
            match &entry.event {
                Event::Intent(intent) => {
                    open.insert(index);
                    calls.insert(intent.call, index);
                }
                Event::Outcome(outcome) => {
                    if let Some(intent) = calls.remove(&outcome.call) {
                        open.remove(&intent);
                    }
                }
                _ => {}
            }
            state.tell(index, &entry, faults);
            let vault =
                [(Slot::Received, row.get_ref(2)?), (Slot::Sent, row.get_ref(3)?), (Slot::Result, row.get_ref(4)?)];
            payloads.compare(index, &entry, vault, &state, faults);
            next = index.saturating_add(1);
        }
        state.finish(faults);
        if let Some(row) = stored
            && row.open_from != open.first().copied().unwrap_or(next)
        {
            let what = "its mark from which recovery looks for open calls is not where the first one is";
            faults.push(Fault::new(Some(row.size - 1), what));
        }
        Ok(payloads.counts())
    }

    /// Files that the audit does not ask for: partial tiles of earlier checkpoints, tiles of a publication that
    /// a crash cut short, and what is no file of a log.
    fn other_files(&self, published: u64, total: u64, faults: &mut Vec<Fault>) {
        let root = self.files.root();
        let mut directories = vec![root.to_path_buf()];
        while let Some(directory) = directories.pop() {
            let Ok(entries) = std::fs::read_dir(&directory) else { continue };
            for path in entries.flatten().map(|entry| entry.path()) {
                if path.is_dir() {
                    directories.push(path);
                    continue;
                }
                let Some(name) = path.strip_prefix(root).ok().and_then(|p| p.to_str()) else { continue };
                // A file that a crash kept from being renamed is nobody's.
                let unfinished = path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
                if name == "checkpoint" || unfinished {
                    continue;
                }
                match name.parse::<TilePath>() {
                    Ok(tile) if self.is_as_it_must_be(&tile, published, total) => {}
                    Ok(_) => faults.push(Fault::new(None, format!("log/{name}: not what the entries hash to"))),
                    Err(_) => faults.push(Fault::new(None, format!("log/{name} is not a file of the log"))),
                }
            }
        }
    }

    fn is_as_it_must_be(&self, tile: &TilePath, published: u64, total: u64) -> bool {
        let read = |path: &TilePath| self.files.tile(path).ok().flatten();
        match TilePath::in_tree(tile.kind(), tile.index(), published) {
            // The audit compares exactly these.
            Some(now) if now == *tile => true,
            // The beginning of one of those.
            Some(now) if now.width() > tile.width() => match (read(tile), read(&now)) {
                (Some(old), Some(new)) => old.len() == usize::from(tile.width()) * 32 && new.starts_with(&old),
                (_, None) => true,
                (None, Some(_)) => false,
            },
            // Published after the snapshot began, or just before a crash.
            _ => match self.tile_from_rows(tile) {
                Some(expected) => read(tile) == Some(expected),
                None => self.size().is_ok_and(|now| now > total),
            },
        }
    }

    fn check_database(&self, faults: &mut Vec<Fault>) -> Result<(), ReadError> {
        if !crate::schema::is_as_made(&self.connection)? {
            faults.push(Fault::new(None, "database: its tables, indices or triggers are not as they were made"));
        }
        let mut statement = self.connection.prepare("PRAGMA integrity_check(20)")?;
        let lines: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        faults.extend(lines.into_iter().filter(|l| l != "ok").map(|l| Fault::new(None, format!("database: {l}"))));
        Ok(())
    }
}

/// Why the audit ended early.
enum Stop {
    Found(Fault),
    Read(ReadError),
}

impl From<Finding> for Stop {
    fn from(finding: Finding) -> Self {
        Self::Found(finding.into())
    }
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Read(error.into())
    }
}
