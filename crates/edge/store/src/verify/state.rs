//! Rows that may change against the entries that tell of their changes.

use super::Fault;
use crate::error::ReadError;
use crate::rows::{AgentRow, ApprovalRow, RowError, SessionRow};
use crate::vault::Vault;
use interlock_approval::{Approval, State as ApprovalState};
use interlock_identity::{Agent, AgentState};
use interlock_ledger::entry::{AgentAction, AgentEvent, ApprovalAction, Entry, Event, SessionAction, SessionEvent};
use interlock_model::{AgentId, ApprovalId, SessionId, SessionKey, UnixMillis};
use rusqlite::Connection;
use std::collections::BTreeMap;

/// The rows, and what the entries told so far.
pub(super) struct State {
    sessions: BTreeMap<SessionId, (SessionRow, SessionKey)>,
    approvals: BTreeMap<ApprovalId, Approval>,
    agents: BTreeMap<AgentId, Agent>,
    told_sessions: BTreeMap<SessionId, (u64, Option<UnixMillis>)>,
    /// The last step of each approval, and its entry.
    told_approvals: BTreeMap<ApprovalId, (u64, &'static str)>,
    told_agents: BTreeMap<AgentId, (u64, AgentState)>,
}

impl State {
    /// Reads the rows; those that are not as they were sealed are faults and count as missing.
    pub(super) fn read(connection: &Connection, vault: &Vault, faults: &mut Vec<Fault>) -> Result<Self, ReadError> {
        let mut sessions = BTreeMap::new();
        let sql = format!("SELECT {} FROM sessions", SessionRow::COLUMNS);
        let mut statement = connection.prepare(&sql)?;
        let rows = statement.query_map([], |row| Ok(SessionRow::read(row, vault)))?;
        for row in rows {
            let Some(row) = sound(row?, faults) else { continue };
            match vault.unwrap(row.id, &row.wrapped_key) {
                Ok(key) => drop(sessions.insert(row.id, (row, key))),
                Err(_) => faults.push(Fault::new(None, format!("the key of {} is not as it was wrapped", row.id))),
            }
        }
        let approvals = ApprovalRow::select(connection, vault, "true", [])?;
        let approvals = approvals.into_iter().filter_map(|row| sound(row, faults));
        let approvals = approvals.map(|a| (a.statement.id, a)).collect();
        let agents = AgentRow::all(connection, vault)?;
        let agents = agents.into_iter().filter_map(|row| sound(row, faults)).map(|a| (a.id.clone(), a)).collect();
        Ok(Self {
            sessions,
            approvals,
            agents,
            told_sessions: BTreeMap::new(),
            told_approvals: BTreeMap::new(),
            told_agents: BTreeMap::new(),
        })
    }

    pub(super) fn session_key(&self, id: SessionId) -> Option<&SessionKey> {
        self.sessions.get(&id).map(|(_, key)| key)
    }

    /// Goes on with the entry at `index`.
    pub(super) fn tell(&mut self, index: u64, entry: &Entry, faults: &mut Vec<Fault>) {
        match &entry.event {
            Event::Session(event) => self.session(index, entry.at, event, faults),
            Event::Agent(event) => self.agent(index, event, faults),
            Event::Approval(event) => {
                let state = match event.action {
                    ApprovalAction::Requested => "pending",
                    ApprovalAction::Approved => "approved",
                    ApprovalAction::Denied => "denied",
                    ApprovalAction::Expired => "expired",
                    ApprovalAction::Superseded => "superseded",
                };
                self.told_approvals.insert(event.approval, (index, state));
                let stored = self.approvals.get(&event.approval);
                if stored.is_some_and(|a| a.statement.digest() != event.statement) {
                    faults.push(Fault::new(Some(index), "its approval's row has another statement"));
                }
            }
            Event::Intent(intent) => {
                if let Some(approval) = intent.approval {
                    self.told_approvals.insert(approval, (index, "consumed"));
                    let used_by = self.approvals.get(&approval).map(|a| &a.state);
                    if let Some(ApprovalState::Consumed { call, .. }) = used_by
                        && *call != intent.call
                    {
                        faults.push(Fault::new(Some(index), "its approval's row says that another call used it"));
                    }
                }
            }
            Event::Outcome(outcome) => {
                let row = self.sessions.get(&outcome.session).map(|(row, _)| row);
                if row.is_some_and(|row| !outcome.labels.iter().all(|label| row.labels.contains(label))) {
                    faults.push(Fault::new(Some(index), "its session's row lacks labels that it had"));
                }
            }
            Event::Catalog(_) | Event::Denial(_) | Event::Policy(_) | Event::Start(_) | Event::Stop(_) => {}
        }
    }

    fn session(&mut self, index: u64, at: UnixMillis, event: &SessionEvent, faults: &mut Vec<Fault>) {
        match event.action {
            SessionAction::Opened => {
                self.told_sessions.insert(event.session, (index, None));
                let same = self
                    .sessions
                    .get(&event.session)
                    .is_none_or(|(row, _)| (&row.agent, &row.owner, row.opened) == (&event.agent, &event.owner, at));
                if !same {
                    faults.push(Fault::new(Some(index), "its session's row says something else"));
                }
            }
            SessionAction::Reset => {
                if let Some((_, ended)) = self.told_sessions.get_mut(&event.session) {
                    *ended = Some(at);
                }
            }
        }
    }

    fn agent(&mut self, index: u64, event: &AgentEvent, faults: &mut Vec<Fault>) {
        let state = match event.action {
            AgentAction::Added | AgentAction::Resumed => AgentState::Active,
            AgentAction::Suspended => AgentState::Suspended,
            AgentAction::Retired => AgentState::Retired,
        };
        self.told_agents.insert(event.agent.clone(), (index, state));
        if self.agents.get(&event.agent).is_some_and(|row| row.owner != event.owner) {
            faults.push(Fault::new(Some(index), "its agent's row has another owner"));
        }
    }

    /// Compares where the entries end with where the rows are.
    pub(super) fn finish(self, faults: &mut Vec<Fault>) {
        for (id, (index, ended)) in &self.told_sessions {
            match self.sessions.get(id) {
                Some((row, _)) if row.ended == *ended => {}
                Some(_) => faults.push(Fault::new(Some(*index), "its session's row ended at another time")),
                None => faults.push(Fault::new(Some(*index), "its session's row is missing or damaged")),
            }
        }
        for (id, (index, state)) in &self.told_approvals {
            match self.approvals.get(id) {
                Some(row) if row.state.as_str() == *state => {}
                Some(row) => {
                    let what = format!("its approval's row says {}, the entries say {state}", row.state.as_str());
                    faults.push(Fault::new(Some(*index), what));
                }
                None => faults.push(Fault::new(Some(*index), "its approval's row is missing or damaged")),
            }
        }
        for (id, (index, state)) in &self.told_agents {
            match self.agents.get(id) {
                Some(row) if row.state == *state => {}
                Some(_) => faults.push(Fault::new(Some(*index), "its agent's row is in another state")),
                None => faults.push(Fault::new(Some(*index), "its agent's row is missing or damaged")),
            }
        }
        let untold = self.sessions.keys().filter(|id| !self.told_sessions.contains_key(id)).map(ToString::to_string);
        let approvals = self.approvals.keys().filter(|id| !self.told_approvals.contains_key(id));
        let agents = self.agents.keys().filter(|id| !self.told_agents.contains_key(*id));
        for id in untold.chain(approvals.map(ToString::to_string)).chain(agents.map(ToString::to_string)) {
            faults.push(Fault::new(None, format!("no entry tells of the row of `{id}`")));
        }
    }
}

fn sound<T>(row: Result<T, RowError>, faults: &mut Vec<Fault>) -> Option<T> {
    row.map_err(|error| faults.push(Fault::new(None, error.to_string()))).ok()
}
