//! What an open does to a ledger whose daemon did not stop in order.

use crate::command::{Change, Command, Prepared, Reply};
use crate::error::OpenError;
use crate::group::Core;
use crate::memory::remembered_until;
use crate::rows::{AgentRow, ApprovalRow, int, uint};
use interlock_approval::{Approval, State};
use interlock_engine::ports::{AppendError, Appended};
use interlock_ledger::entry::{
    ApprovalAction, ApprovalEvent, CallStatus, Entry, EntryError, Event, EventKind, OutcomeRecord,
};
use interlock_ledger::tree::Hash;
use interlock_model::{CallId, UnixMillis};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Outcomes and expiries in one transaction.
const CHUNK: usize = 512;

/// What an open found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Entries in the ledger, those that recovery appended included.
    pub entries: u64,
    /// Calls that had an intent and no outcome; each is now closed as `unknown`.
    pub closed_unknown: u64,
    /// Approvals that nobody answered or used in time and that expired now.
    pub expired: u64,
    /// Log files that were missing or behind and were written.
    pub files_written: u64,
    /// What is not as it was written; the gateway may run, and someone should look. One line each.
    pub damage: Vec<String>,
}

/// Appends what the last run left open.
pub(crate) fn recover(core: &mut Core, open_from: u64, now: UnixMillis) -> Result<Recovery, OpenError> {
    let mut recovery = Recovery::default();
    find_open_intents(core, open_from)?;
    let mut outcomes = Vec::new();
    for index in core.open.all() {
        outcomes.push(unknown(core, index, now)?);
    }
    recovery.closed_unknown = outcomes.len() as u64;
    append_all(core, outcomes)?;

    let cut = int(now.0.saturating_sub(remembered_until(UnixMillis(0)).0));
    let condition = "state IN ('pending', 'approved') OR (state IN ('denied', 'expired') AND expires_at > ?)";
    for approval in ApprovalRow::select(&core.connection, &core.vault, condition, [cut])? {
        match approval {
            Ok(approval) => core.memory.put_approval(Arc::new(approval)),
            Err(damaged) => recovery.damage.push(damaged.to_string()),
        }
    }
    let mut expiries = Vec::new();
    for approval in core.memory.due(now) {
        expiries.push(expiry(&approval, core, now)?);
    }
    recovery.expired = expiries.len() as u64;
    append_all(core, expiries)?;

    let agents = AgentRow::all(&core.connection, &core.vault)?;
    recovery.damage.extend(agents.into_iter().filter_map(|a| a.err().map(|e| e.to_string())));
    recovery.entries = core.frontier.size();
    Ok(recovery)
}

/// The entry and change by which `approval` expires; `None` if it cannot any more.
pub(crate) fn expired(approval: &Approval, now: UnixMillis) -> Option<(Entry, &'static str, Approval)> {
    let from = match approval.state {
        State::Pending | State::Approved(_) => approval.state.as_str(),
        State::Denied(_) | State::Expired | State::Superseded | State::Consumed { .. } => return None,
    };
    let statement = &approval.statement;
    let event = ApprovalEvent {
        action: ApprovalAction::Expired,
        approval: statement.id,
        by: "clock".to_owned(),
        call_digest: statement.seen.call_digest,
        signature: None,
        statement: statement.digest(),
        tier: statement.seen.tier,
    };
    let to = Approval { state: State::Expired, ..approval.clone() };
    Some((Entry::new(now, Event::Approval(event)), from, to))
}

fn find_open_intents(core: &mut Core, open_from: u64) -> Result<(), OpenError> {
    core.open.begin();
    let mut statement = core
        .connection
        .prepare("SELECT idx, kind, call FROM entries WHERE idx >= ? AND kind IN (?, ?) ORDER BY idx")?;
    let mut rows = statement.query([int(open_from), EventKind::Intent as i64, EventKind::Outcome as i64])?;
    while let Some(row) = rows.next()? {
        let (index, kind) = (uint(row.get(0)?), row.get::<_, i64>(1)?);
        let call: Vec<u8> = row.get(2)?;
        let call = call.as_slice().try_into().map(CallId::from_bytes);
        let call = call.map_err(|_| OpenError::Damaged(format!("entry {index} is about no call")))?;
        if kind == EventKind::Intent as i64 { core.open.add(call, index) } else { core.open.remove(call) }
    }
    Ok(())
}

/// The outcome of an intent about which nothing more is known: it may have had its effect.
fn unknown(core: &Core, index: u64, now: UnixMillis) -> Result<(Command, Waiter), OpenError> {
    let bytes: Vec<u8> =
        core.connection.query_row("SELECT bytes FROM entries WHERE idx = ?", [int(index)], |row| row.get(0))?;
    let damaged = |why: &str| OpenError::Damaged(format!("entry {index}: {why}"));
    let entry = Entry::from_bytes(&bytes).map_err(|e| damaged(&e.to_string()))?;
    let Event::Intent(intent) = entry.event else { return Err(damaged("not the intent its row says it is")) };
    let outcome = OutcomeRecord {
        call: intent.call,
        code: None,
        labels: Vec::new(),
        result: None,
        result_bytes: None,
        session: intent.session,
        status: CallStatus::Unknown,
        timing: None,
    };
    prepared(&Entry::new(now, Event::Outcome(Box::new(outcome))), Change::None).map_err(|e| damaged(&e.to_string()))
}

fn expiry(approval: &Approval, core: &Core, now: UnixMillis) -> Result<(Command, Waiter), OpenError> {
    let damaged = |e: AppendError| OpenError::Damaged(e.to_string());
    let (entry, from, to) =
        expired(approval, now).ok_or_else(|| OpenError::Damaged("an approval expired twice".to_owned()))?;
    let row = Box::new(ApprovalRow::of(&to, &core.vault).map_err(damaged)?);
    let change = Change::Approval { from: Some(from), row, value: Arc::new(to) };
    prepared(&entry, change).map_err(|e| damaged(e.into()))
}

type Waiter = oneshot::Receiver<Result<Appended, AppendError>>;

fn prepared(entry: &Entry, change: Change) -> Result<(Command, Waiter), EntryError> {
    let bytes = entry.to_bytes()?;
    let prepared = Prepared {
        leaf: Hash::leaf(&bytes),
        kind: entry.event.kind(),
        at: entry.at,
        call: entry.call(),
        payloads: Vec::new(),
        change,
        awaited: true,
        bytes,
    };
    let (reply, waiter): (Reply<Appended>, Waiter) = oneshot::channel();
    Ok((Command::Append(Box::new(prepared), reply), waiter))
}

fn append_all(core: &mut Core, commands: Vec<(Command, Waiter)>) -> Result<(), OpenError> {
    let (commands, waiters): (Vec<_>, Vec<_>) = commands.into_iter().unzip();
    let mut commands = commands.into_iter().peekable();
    while commands.peek().is_some() {
        let mut group: Vec<_> = commands.by_ref().take(CHUNK).collect();
        core.commit(&mut group).map_err(|e| OpenError::Damaged(e.to_string()))?;
    }
    for mut waiter in waiters {
        match waiter.try_recv() {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(OpenError::Damaged(format!("recovery could not append: {error}"))),
            Err(_) => return Err(OpenError::Damaged("recovery was not answered".to_owned())),
        }
    }
    Ok(())
}
