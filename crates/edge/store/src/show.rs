//! One call with its payloads, decrypted.

use crate::error::ReadError;
use crate::reader::{Reader, Stored};
use crate::rows::{SessionRow, int};
use crate::store::row_error;
use crate::vault::PayloadKey;
use interlock_engine::ports::Slot;
use interlock_ledger::entry::{Entry, Event};
use interlock_model::{CallId, Commitment, SessionId, SessionKey};

/// A call, as the ledger and the vault tell it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its entries, in order.
    pub entries: Vec<Stored>,
    /// The arguments as the agent sent them.
    pub received: Revealed,
    /// The arguments as the server got them.
    pub sent: Revealed,
    /// The `result` or `error` member as the server sent it.
    pub result: Revealed,
}

/// A payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Revealed {
    /// What the entry commits to.
    Payload(Vec<u8>),
    /// The entry commits to nothing: there was none.
    None,
    /// The entry commits to a payload that is not in the vault.
    Missing,
    /// What is in the vault is not what the entry commits to.
    Damaged,
}

/// What an entry commits to in one slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Committed {
    pub(crate) slot: Slot,
    pub(crate) commitment: Commitment,
}

impl Committed {
    /// The label under which payloads of this slot are committed to.
    fn label(self) -> &'static str {
        match self.slot {
            Slot::Received | Slot::Sent => "arguments",
            Slot::Result => "result",
        }
    }

    /// Whether `bytes` are the payload committed to.
    pub(crate) fn is(self, key: &SessionKey, bytes: &[u8]) -> bool {
        key.commit(self.label(), &[bytes]).matches(&self.commitment)
    }
}

/// Whose call an entry is about, and the payloads the vault should have for it.
pub(crate) fn commitments(entry: &Entry) -> Option<(SessionId, CallId, Vec<Committed>)> {
    let one = |slot, commitment| Committed { slot, commitment };
    match &entry.event {
        Event::Intent(call) | Event::Denial(call) => {
            let arguments = &call.arguments;
            let mut all = Vec::new();
            if arguments.received_bytes > 0 {
                all.push(one(Slot::Received, arguments.received));
            }
            // What was sent as it was received is stored once.
            if let Some(sent) = arguments.sent.filter(|sent| *sent != arguments.received) {
                all.push(one(Slot::Sent, sent));
            }
            Some((call.session, call.call, all))
        }
        Event::Outcome(outcome) => {
            let all = outcome.result.map(|result| one(Slot::Result, result)).into_iter().collect();
            Some((outcome.session, outcome.call, all))
        }
        _ => None,
    }
}

/// Where the payload of a slot stands in its entry's row.
pub(crate) const fn column(slot: Slot) -> &'static str {
    match slot {
        Slot::Received => "received",
        Slot::Sent => "sent",
        Slot::Result => "result",
    }
}

impl Reader {
    /// The call whose id is or begins with `text`, or to which the entry at index `text` belongs.
    ///
    /// # Errors
    ///
    /// [`ReadError::NotFound`] and others.
    pub fn show(&self, text: &str) -> Result<Shown, ReadError> {
        let entries = self.of_call(text)?;
        let mut shown = Shown { entries, received: Revealed::None, sent: Revealed::None, result: Revealed::None };
        for at in &shown.entries {
            let Some((session, call, committed)) = commitments(&at.entry) else { continue };
            let Some(row) = SessionRow::by_id(&self.connection, &self.vault, session).map_err(row_error)? else {
                return Err(ReadError::NotFound(session.to_string()));
            };
            let key = self.vault.unwrap(session, &row.wrapped_key);
            for one in committed {
                let revealed = match &key {
                    Ok(key) => self.reveal(at.index, session, call, key, one)?,
                    Err(_) => Revealed::Damaged,
                };
                match one.slot {
                    Slot::Received => shown.received = revealed,
                    Slot::Sent => shown.sent = revealed,
                    Slot::Result => shown.result = revealed,
                }
            }
            if let Event::Intent(call) = &at.entry.event
                && call.arguments.sent == Some(call.arguments.received)
            {
                shown.sent = shown.received.clone();
            }
        }
        Ok(shown)
    }

    fn reveal(
        &self,
        index: u64,
        session: SessionId,
        call: CallId,
        key: &SessionKey,
        committed: Committed,
    ) -> Result<Revealed, ReadError> {
        let sealed: Option<Vec<u8>> = self
            .connection
            .prepare_cached(&format!("SELECT {} FROM entries WHERE idx = ?", column(committed.slot)))?
            .query_row([int(index)], |row| row.get(0))?;
        let Some(sealed) = sealed else { return Ok(Revealed::Missing) };
        let opened = PayloadKey::of(key).open(session, call, committed.slot, &sealed);
        Ok(match opened {
            Ok(bytes) if committed.is(key, &bytes) => Revealed::Payload(bytes),
            Ok(_) | Err(_) => Revealed::Damaged,
        })
    }
}
