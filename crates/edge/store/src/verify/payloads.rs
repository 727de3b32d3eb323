//! The vault against the entries: each payload decrypts to what its entry commits to.

use super::Fault;
use super::state::State;
use crate::show::{column, commitments};
use crate::vault::PayloadKey;
use interlock_engine::ports::Slot;
use interlock_ledger::entry::Entry;
use interlock_model::SessionId;
use rusqlite::types::ValueRef;
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

/// What the vault's columns held so far.
#[derive(Default)]
pub(super) struct Payloads {
    keys: HashMap<SessionId, PayloadKey>,
    counts: PayloadCounts,
}

impl Payloads {
    pub(super) const fn counts(&self) -> PayloadCounts {
        self.counts
    }

    /// Compares the payloads of the entry at `index`.
    pub(super) fn compare(
        &mut self,
        index: u64,
        entry: &Entry,
        vault: [(Slot, ValueRef<'_>); 3],
        state: &State,
        faults: &mut Vec<Fault>,
    ) {
        let committed = commitments(entry);
        let mut present = 0;
        for (slot, sealed) in vault {
            let sealed = match sealed {
                ValueRef::Null => continue,
                ValueRef::Blob(sealed) => sealed,
                _ => &[],
            };
            let opens = committed.as_ref().is_some_and(|(session, call, all)| {
                let Some(key) = state.session_key(*session) else { return false };
                let Some(one) = all.iter().find(|one| one.slot == slot) else { return false };
                let payload_key = self.keys.entry(*session).or_insert_with(|| PayloadKey::of(key));
                payload_key.open(*session, *call, slot, sealed).is_ok_and(|bytes| one.is(key, &bytes))
            });
            if opens {
                self.counts.intact += 1;
                present += 1;
            } else {
                self.counts.damaged += 1;
                faults
                    .push(Fault::new(Some(index), format!("its payload `{}` is not what it commits to", column(slot))));
            }
        }
        let expected = committed.map_or(0, |(_, _, all)| all.len() as u64);
        self.counts.missing += expected.saturating_sub(present);
    }
}
