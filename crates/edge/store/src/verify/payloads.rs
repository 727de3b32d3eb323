//! The vault against the entries: each payload decrypts to what its entry commits to.

use super::Fault;
use super::state::State;
use crate::error::ReadError;
use crate::rows::uint;
use crate::show::commitments;
use crate::vault::PayloadKey;
use interlock_ledger::entry::Entry;
use interlock_model::SessionId;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, params};
use std::collections::HashMap;

/// How many payloads there are, and how they fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayloadCounts {
    /// Decrypted, and what the entry commits to.
    pub intact: u64,
    /// An entry commits to them and the vault does not have them.
    pub missing: u64,
    /// In the vault, and not what an entry commits to. Each is a fault too.
    pub damaged: u64,
}

pub(super) struct Payloads<'c> {
    connection: &'c Connection,
    keys: HashMap<SessionId, PayloadKey>,
    counts: PayloadCounts,
    /// Rows seen so far; what is left at the end belongs to no entry.
    seen: u64,
    total: u64,
}

impl<'c> Payloads<'c> {
    pub(super) fn new(connection: &'c Connection) -> Result<Self, ReadError> {
        let total: i64 = connection.query_row("SELECT count(*) FROM payloads", [], |row| row.get(0))?;
        Ok(Self { connection, keys: HashMap::new(), counts: PayloadCounts::default(), seen: 0, total: uint(total) })
    }

    pub(super) const fn counts(&self) -> PayloadCounts {
        self.counts
    }

    /// Compares the payloads of the entry at `index`.
    pub(super) fn compare(
        &mut self,
        index: u64,
        entry: &Entry,
        state: &State,
        faults: &mut Vec<Fault>,
    ) -> Result<(), ReadError> {
        let Ok(first) = i64::try_from(index << 2) else { return Ok(()) };
        let mut statement =
            self.connection.prepare_cached("SELECT id & 3, data FROM payloads WHERE id BETWEEN ? AND ?")?;
        let mut rows = statement.query(params![first, first + 3])?;
        let committed = commitments(entry);
        let mut present = 0;
        while let Some(row) = rows.next()? {
            self.seen += 1;
            let slot: i64 = row.get(0)?;
            let ValueRef::Blob(sealed) = row.get_ref(1)? else { continue };
            let opens = committed.as_ref().is_some_and(|(session, call, all)| {
                let Some(key) = state.session_key(*session) else { return false };
                let Some(one) = all.iter().find(|one| one.slot as i64 == slot) else { return false };
                let payload_key = self.keys.entry(*session).or_insert_with(|| PayloadKey::of(key));
                payload_key.open(*session, *call, one.slot, sealed).is_ok_and(|bytes| one.is(key, &bytes))
            });
            if opens {
                self.counts.intact += 1;
                present += 1;
            } else {
                self.counts.damaged += 1;
                faults.push(Fault::new(Some(index), format!("its payload {slot} is not what it commits to")));
            }
        }
        let expected = committed.map_or(0, |(_, _, all)| all.len() as u64);
        self.counts.missing += expected.saturating_sub(present);
        Ok(())
    }

    /// Payloads that belong to no entry.
    pub(super) fn rest(&self, faults: &mut Vec<Fault>) -> Result<(), ReadError> {
        if self.seen < self.total {
            let strays = self.total - self.seen;
            faults.push(Fault::new(None, format!("{strays} payloads in the vault belong to no entry")));
        }
        Ok(())
    }
}
