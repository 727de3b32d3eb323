//! One commit group: conditions, entries, payloads, changes and one signed checkpoint, in one transaction.
//!
//! For each append the conditions are tried first, by conditional updates that change no row where they
//! do not hold, so an append that is refused has written nothing when the next one is looked at.

use crate::command::{Change, Command, Opening, Prepared, Reply};
use crate::fault::{Faults, Write};
use crate::keys::LogKey;
use crate::memory::Memory;
use crate::open_intents::OpenIntents;
use crate::queue::Waiting as _;
use crate::rows::{RowError, SessionRow, int};
use crate::vault::Vault;
use interlock_engine::ports::{AppendError, Appended, Session, Slot};
use interlock_ledger::checkpoint::Checkpoint;
use interlock_ledger::entry::{Entry, Event, EventKind, SessionAction, SessionEvent};
use interlock_ledger::note::Origin;
use interlock_ledger::tree::{Frontier, Hash};
use interlock_model::{CallId, SessionId, SessionKey};
use rusqlite::{Connection, params};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// Everything that only the writer touches.
pub(crate) struct Core {
    pub(crate) connection: Connection,
    pub(crate) key: LogKey,
    pub(crate) origin: Origin,
    pub(crate) vault: Arc<Vault>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) frontier: Frontier,
    pub(crate) open: OpenIntents,
    /// Leaves of what was committed, for the publisher.
    pub(crate) fresh: Vec<Hash>,
    pub(crate) faults: Faults,
}

/// The store cannot know what is on disk any more; it must be opened again.
#[derive(Debug, thiserror::Error)]
#[error("{0}; restart the gateway to recover")]
pub(crate) struct Broken(String);

/// Why a group was not written. Nothing of it is on disk, unless `Unconfirmed`.
enum GroupError {
    Refused(rusqlite::Error),
    Failed(String),
    Unconfirmed(rusqlite::Error),
}

/// How one command ended, if its group is committed.
enum Verdict {
    Appended(u64),
    Opened(Arc<Session>),
    No(AppendError),
}

/// What callers will see once the group is durable.
#[derive(Default)]
struct Staged {
    opened: HashMap<SessionId, Arc<Session>>,
    labels: HashMap<SessionId, (Arc<Session>, Vec<String>)>,
    leaves: Vec<Hash>,
    /// In order, since a session may end and another be opened in one group.
    steps: Vec<Step>,
}

enum Step {
    Session(Arc<Session>),
    Ended(SessionId, interlock_model::AgentId, interlock_model::OwnerId),
    Approval(Arc<interlock_approval::Approval>),
}

impl Core {
    /// Writes a group and answers everyone in it.
    pub(crate) fn commit(&mut self, group: &mut Vec<Command>) -> Result<(), Broken> {
        let before = self.frontier.clone();
        self.open.begin();
        let mut staged = Staged::default();
        match self.transact(group, &mut staged) {
            Ok(verdicts) => {
                self.fresh.append(&mut staged.leaves);
                staged.take_effect(&self.memory);
                for (command, verdict) in group.drain(..).zip(verdicts) {
                    answer(command, verdict);
                }
                Ok(())
            }
            Err(GroupError::Unconfirmed(source)) => {
                for command in group.drain(..) {
                    command.refuse(AppendError::Unconfirmed);
                }
                Err(Broken(format!("a commit was not confirmed ({source})")))
            }
            Err(error) => {
                self.frontier = before;
                self.open.undo();
                self.roll_back()?;
                // A constraint names no culprit; alone, each command stands or falls for itself.
                if matches!(error, GroupError::Refused(_)) && group.len() > 1 {
                    let mut one = Vec::with_capacity(1);
                    for command in group.drain(..) {
                        one.push(command);
                        self.commit(&mut one)?;
                    }
                    return Ok(());
                }
                let reason = match error {
                    GroupError::Refused(source) => format!("the database refused the entry ({source})"),
                    GroupError::Unconfirmed(source) => source.to_string(),
                    GroupError::Failed(reason) => reason,
                };
                for command in group.drain(..) {
                    command.refuse(AppendError::Closed(reason.clone()));
                }
                Ok(())
            }
        }
    }

    fn transact(&mut self, group: &[Command], staged: &mut Staged) -> Result<Vec<Verdict>, GroupError> {
        let Self { connection, key, origin, vault, memory, frontier, open, faults, .. } = self;
        let size_before = frontier.size();
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut pass =
            Pass { connection, frontier, open, vault, memory, staged, lines: Vec::with_capacity(group.len()) };
        let mut verdicts = Vec::with_capacity(group.len());
        for command in group {
            verdicts.push(faults.around(
                Write::Statement,
                || match command {
                    Command::Append(prepared, _) => pass.append(prepared),
                    Command::Open(opening, _) => pass.open_session(opening),
                },
                || rusqlite::Error::InvalidQuery.into(),
            )?);
        }
        let lines = pass.lines;
        if lines.is_empty() {
            // Everyone was refused, or found what was there: nothing was written.
            connection.prepare_cached("ROLLBACK")?.execute([])?;
            return Ok(verdicts);
        }
        let note = Checkpoint::of(origin.clone(), frontier).sign(key).map_err(|e| GroupError::Failed(e.to_string()))?;
        let open_from = open.lowest().unwrap_or(frontier.size());
        let failed = || rusqlite::Error::InvalidQuery;
        faults.around(
            Write::Statement,
            || Line::insert_all(&lines, connection, &note.to_string(), open_from),
            failed,
        )?;
        if let Some(last) = size_before.checked_sub(1) {
            connection
                .prepare_cached("UPDATE entries SET note = NULL, open_from = NULL WHERE idx = ?")?
                .execute([int(last)])?;
        }
        faults
            .around(Write::Commit, || connection.prepare_cached("COMMIT")?.execute([]).map(drop), failed)
            .map_err(GroupError::Unconfirmed)?;
        Ok(verdicts)
    }

    fn roll_back(&self) -> Result<(), Broken> {
        // Some errors (a full disk) roll back by themselves.
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.connection.execute_batch("ROLLBACK").map_err(|e| Broken(format!("a group was not rolled back ({e})")))
    }
}

/// The first pass over a group: who stands, in which order. Rows that may change are changed here; entries
/// are inserted when the checkpoint over them is signed, since the last of them carries it.
struct Pass<'a, 'g> {
    connection: &'a Connection,
    frontier: &'a mut Frontier,
    open: &'a mut OpenIntents,
    vault: &'a Vault,
    memory: &'a Memory,
    staged: &'a mut Staged,
    lines: Vec<Line<'g>>,
}

/// An entry that is to be inserted.
struct Line<'a> {
    index: u64,
    kind: EventKind,
    at: u64,
    call: Option<CallId>,
    bytes: Cow<'a, [u8]>,
    payloads: &'a [(Slot, Vec<u8>)],
}

impl Line<'_> {
    /// Inserts all, the last one with the checkpoint.
    fn insert_all(lines: &[Self], connection: &Connection, note: &str, open_from: u64) -> rusqlite::Result<()> {
        let mut insert = connection.prepare_cached("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
        for (at, line) in lines.iter().enumerate() {
            let last = at + 1 == lines.len();
            let payload = |slot| line.payloads.iter().find(|(s, _)| *s == slot).map(|(_, data)| data);
            insert.execute(params![
                int(line.index),
                line.kind as u8,
                int(line.at),
                line.call.as_ref().map(|call| &call.as_bytes()[..]),
                &*line.bytes,
                last.then_some(note),
                last.then_some(int(open_from)),
                payload(Slot::Received),
                payload(Slot::Sent),
                payload(Slot::Result),
            ])?;
        }
        Ok(())
    }
}

impl<'g> Pass<'_, 'g> {
    fn append(&mut self, p: &'g Prepared) -> Result<Verdict, GroupError> {
        let index = self.frontier.size();
        // An outcome closes exactly one intent, and a call has one intent.
        let fits = match (p.kind, p.call) {
            (EventKind::Intent, Some(call)) => !self.open.contains(call),
            (EventKind::Outcome, Some(call)) => self.open.contains(call),
            (EventKind::Intent | EventKind::Outcome, None) => false,
            _ => true,
        };
        if !fits || !self.apply(&p.change)? {
            return Ok(Verdict::No(AppendError::Conflict));
        }
        match (p.kind, p.call) {
            (EventKind::Intent, Some(call)) => self.open.add(call, index),
            (EventKind::Outcome, Some(call)) => self.open.remove(call),
            _ => {}
        }
        let (kind, at, call) = (p.kind, p.at.0, p.call);
        let bytes = Cow::Borrowed(&p.bytes[..]);
        self.push(Line { index, kind, at, call, bytes, payloads: &p.payloads }, p.leaf);
        Ok(Verdict::Appended(index))
    }

    fn push(&mut self, line: Line<'g>, leaf: Hash) {
        self.lines.push(line);
        self.frontier.push(leaf);
        self.staged.leaves.push(leaf);
    }

    /// Tries the condition of `change` and makes it in one statement; false if the condition does not hold.
    fn apply(&mut self, change: &Change) -> Result<bool, GroupError> {
        match change {
            Change::None => Ok(true),
            Change::Approval { from, row, value } => {
                let done = match from {
                    None => row.insert(self.connection)?,
                    Some(from) => row.replace(self.connection, from)?,
                };
                if done {
                    self.staged.steps.push(Step::Approval(Arc::clone(value)));
                }
                Ok(done)
            }
            Change::Agent(row) => Ok(row.put(self.connection)?),
            Change::Labels { session, labels } => self.raise_labels(session, labels),
            Change::EndSession { id, agent, owner, at } => {
                let Some(mut row) = SessionRow::by_id(self.connection, self.vault, *id)?.filter(|r| r.ended.is_none())
                else {
                    return Ok(false);
                };
                row.ended = Some(*at);
                row.update(self.connection, self.vault)?;
                self.staged.steps.push(Step::Ended(*id, agent.clone(), owner.clone()));
                Ok(true)
            }
        }
    }

    fn raise_labels(&mut self, session: &Arc<Session>, labels: &[String]) -> Result<bool, GroupError> {
        let Some(mut row) = SessionRow::by_id(self.connection, self.vault, session.id)? else { return Ok(false) };
        // Design 4.6: labels only rise.
        if !row.labels.iter().all(|label| labels.contains(label)) {
            return Ok(false);
        }
        row.labels = labels.to_vec();
        row.update(self.connection, self.vault)?;
        self.staged.labels.insert(session.id, (Arc::clone(session), labels.to_vec()));
        Ok(true)
    }

    /// The open session of these two, from the rows; opened with its entry if there is none.
    fn open_session(&mut self, opening: &Opening) -> Result<Verdict, GroupError> {
        let Opening { agent, owner, now } = opening;
        if let Some(row) = SessionRow::open_of(self.connection, self.vault, agent, owner)? {
            let known = self.staged.opened.get(&row.id).cloned();
            let known = known.or_else(|| self.memory.session(agent, owner).filter(|s| s.id == row.id));
            return match known {
                Some(session) => Ok(Verdict::Opened(session)),
                None => Ok(Verdict::Opened(self.load(&row)?)),
            };
        }
        let no_randomness = |e: getrandom::Error| GroupError::Failed(format!("no randomness: {e}"));
        let (mut entropy, mut secret) = ([0; 10], [0; 32]);
        getrandom::fill(&mut entropy).map_err(no_randomness)?;
        getrandom::fill(&mut secret).map_err(no_randomness)?;
        let (id, key) = (SessionId::new(*now, entropy), SessionKey::new(secret));
        let event = SessionEvent {
            action: SessionAction::Opened,
            agent: agent.clone(),
            by: "engine".to_owned(),
            owner: owner.clone(),
            session: id,
        };
        let bytes =
            Entry::new(*now, Event::Session(event)).to_bytes().map_err(|e| GroupError::Failed(e.to_string()))?;
        let wrapped_key = self.vault.wrap(id, &key).map_err(|e| GroupError::Failed(e.to_string()))?;
        let row = SessionRow {
            id,
            agent: agent.clone(),
            owner: owner.clone(),
            wrapped_key,
            labels: Vec::new(),
            opened: *now,
            ended: None,
        };
        row.insert(self.connection, self.vault)?;
        let (index, leaf) = (self.frontier.size(), Hash::leaf(&bytes));
        let bytes = Cow::Owned(bytes);
        self.push(Line { index, kind: EventKind::Session, at: now.0, call: None, bytes, payloads: &[] }, leaf);
        Ok(Verdict::Opened(self.load(&row)?))
    }

    fn load(&mut self, row: &SessionRow) -> Result<Arc<Session>, GroupError> {
        let damaged = || GroupError::Failed(format!("the key of session {} is not as it was wrapped", row.id));
        let key = self.vault.unwrap(row.id, &row.wrapped_key).map_err(|_| damaged())?;
        let session = Arc::new(Session {
            id: row.id,
            agent: row.agent.clone(),
            owner: row.owner.clone(),
            key,
            labels: arc_swap::ArcSwap::from_pointee(row.labels.clone()),
            calls: std::sync::atomic::AtomicU64::new(0),
        });
        self.staged.opened.insert(row.id, Arc::clone(&session));
        self.staged.steps.push(Step::Session(Arc::clone(&session)));
        Ok(session)
    }
}

impl Staged {
    fn take_effect(self, memory: &Memory) {
        for step in self.steps {
            match step {
                Step::Session(session) => memory.put_session(session),
                Step::Ended(id, agent, owner) => memory.end_session(id, &agent, &owner),
                Step::Approval(approval) => memory.put_approval(approval),
            }
        }
        for (session, labels) in self.labels.into_values() {
            session.labels.store(Arc::new(labels));
        }
    }
}

impl From<rusqlite::Error> for GroupError {
    fn from(source: rusqlite::Error) -> Self {
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::ConstraintViolation) => Self::Refused(source),
            _ => Self::Failed(format!("the database failed ({source})")),
        }
    }
}

impl From<RowError> for GroupError {
    fn from(error: RowError) -> Self {
        match error {
            RowError::Database(source) => source.into(),
            damaged @ RowError::Damaged { .. } => Self::Failed(damaged.to_string()),
        }
    }
}

fn answer(command: Command, verdict: Verdict) {
    fn send<T>(reply: Reply<T>, answer: Result<T, AppendError>) {
        // Nobody listening is not a fault: the caller gave up.
        drop(reply.send(answer));
    }
    match (command, verdict) {
        (Command::Append(_, reply), Verdict::Appended(index)) => send(reply, Ok(Appended { index })),
        (Command::Open(_, reply), Verdict::Opened(session)) => send(reply, Ok(session)),
        (command, Verdict::No(error)) => command.refuse(error),
        (command, _) => command.refuse(AppendError::Unconfirmed),
    }
}
