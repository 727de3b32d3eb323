//! Rows that may change (sessions, approvals, agents) as values, each under its seal.

use crate::vault::Vault;
use interlock_approval::Approval;
use interlock_engine::ports::AppendError;
use interlock_identity::Agent;
use interlock_model::{AgentId, ApprovalId, OwnerId, SessionId, UnixMillis};
use rusqlite::{Connection, Row, params};

/// Why a row was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RowError {
    #[error("the row of {what} `{name}` is not as the gateway wrote it")]
    Damaged { what: &'static str, name: String },
    #[error(transparent)]
    Database(#[from] rusqlite::Error),
}

/// SQLite's integers are signed; ours end where its do (the year 292 million, as milliseconds).
pub(crate) fn int(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The other way; nothing we wrote is negative.
pub(crate) fn uint(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}

/// A session as stored: with its key wrapped.
#[derive(Clone, Debug)]
pub(crate) struct SessionRow {
    pub(crate) id: SessionId,
    pub(crate) agent: AgentId,
    pub(crate) owner: OwnerId,
    pub(crate) wrapped_key: Vec<u8>,
    /// Sorted, each once.
    pub(crate) labels: Vec<String>,
    pub(crate) opened: UnixMillis,
    pub(crate) ended: Option<UnixMillis>,
}

impl SessionRow {
    pub(crate) const COLUMNS: &str = "id, agent, owner, wrapped_key, labels, opened, ended, seal";

    pub(crate) fn read(row: &Row<'_>, vault: &Vault) -> Result<Self, RowError> {
        let id: Vec<u8> = row.get(0)?;
        let (agent, owner): (String, String) = (row.get(1)?, row.get(2)?);
        let wrapped_key: Vec<u8> = row.get(3)?;
        let labels: String = row.get(4)?;
        let (opened, ended): (i64, Option<i64>) = (row.get(5)?, row.get(6)?);
        let seal: Vec<u8> = row.get(7)?;
        let columns = session_columns(opened, ended);
        let parse = || {
            let parts: [&[u8]; 6] =
                [&id, agent.as_bytes(), owner.as_bytes(), &wrapped_key, labels.as_bytes(), columns.as_bytes()];
            vault.check_row("sessions", &parts, &seal).ok()?;
            Some(Self {
                id: SessionId::from_bytes(id.as_slice().try_into().ok()?),
                agent: agent.parse().ok()?,
                owner: owner.parse().ok()?,
                labels: serde_json::from_str(&labels).ok()?,
                wrapped_key: wrapped_key.clone(),
                opened: UnixMillis(uint(opened)),
                ended: ended.map(uint).map(UnixMillis),
            })
        };
        parse().ok_or_else(|| RowError::Damaged { what: "session of agent", name: agent.clone() })
    }

    /// The open session of these two, if there is one.
    pub(crate) fn open_of(
        connection: &Connection,
        vault: &Vault,
        agent: &AgentId,
        owner: &OwnerId,
    ) -> Result<Option<Self>, RowError> {
        let sql = format!("SELECT {} FROM sessions WHERE agent = ? AND owner = ? AND ended IS NULL", Self::COLUMNS);
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![agent.as_str(), owner.as_str()])?;
        rows.next()?.map(|row| Self::read(row, vault)).transpose()
    }

    /// The session called `id`.
    pub(crate) fn by_id(connection: &Connection, vault: &Vault, id: SessionId) -> Result<Option<Self>, RowError> {
        let sql = format!("SELECT {} FROM sessions WHERE id = ?", Self::COLUMNS);
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query([&id.as_bytes()[..]])?;
        rows.next()?.map(|row| Self::read(row, vault)).transpose()
    }

    pub(crate) fn insert(&self, connection: &Connection, vault: &Vault) -> rusqlite::Result<()> {
        let labels = labels_text(&self.labels);
        let mut statement = connection.prepare_cached("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?)")?;
        statement.execute(params![
            &self.id.as_bytes()[..],
            self.agent.as_str(),
            self.owner.as_str(),
            self.wrapped_key,
            labels,
            int(self.opened.0),
            self.ended.map(|e| int(e.0)),
            self.seal(vault, &labels),
        ])?;
        Ok(())
    }

    /// Stores labels and end as they now are.
    pub(crate) fn update(&self, connection: &Connection, vault: &Vault) -> rusqlite::Result<()> {
        let labels = labels_text(&self.labels);
        let seal = self.seal(vault, &labels);
        match self.ended {
            None => connection
                .prepare_cached("UPDATE sessions SET labels = ?, seal = ? WHERE id = ?")?
                .execute(params![labels, seal, &self.id.as_bytes()[..]])?,
            Some(ended) => connection
                .prepare_cached("UPDATE sessions SET labels = ?, ended = ?, seal = ? WHERE id = ?")?
                .execute(params![labels, int(ended.0), seal, &self.id.as_bytes()[..]])?,
        };
        Ok(())
    }

    fn seal(&self, vault: &Vault, labels: &str) -> [u8; 32] {
        let times = session_columns(int(self.opened.0), self.ended.map(|e| int(e.0)));
        let parts: [&[u8]; 6] = [
            self.id.as_bytes(),
            self.agent.as_str().as_bytes(),
            self.owner.as_str().as_bytes(),
            &self.wrapped_key,
            labels.as_bytes(),
            times.as_bytes(),
        ];
        vault.row_seal("sessions", &parts)
    }
}

fn session_columns(opened: i64, ended: Option<i64>) -> String {
    format!("{opened}/{ended:?}")
}

fn labels_text(labels: &[String]) -> String {
    // A list of strings always serialises.
    serde_json::to_string(labels).unwrap_or_default()
}

/// An approval as stored; encoded by the caller, before it is queued.
#[derive(Clone, Debug)]
pub(crate) struct ApprovalRow {
    id: ApprovalId,
    state: &'static str,
    call_digest: [u8; 32],
    expires_at: i64,
    body: String,
    seal: [u8; 32],
}

impl ApprovalRow {
    pub(crate) const COLUMNS: &str = "id, state, call_digest, expires_at, body, seal";

    pub(crate) fn of(approval: &Approval, vault: &Vault) -> Result<Self, AppendError> {
        let body = serde_json::to_string(approval).map_err(interlock_ledger::entry::EntryError::from)?;
        let statement = &approval.statement;
        let (id, state, digest) = (statement.id, approval.state.as_str(), statement.seen.call_digest.0);
        let expires_at = int(statement.expires_at.0);
        let parts: [&[u8]; 5] = [id.as_bytes(), state.as_bytes(), &digest, &expires_at.to_be_bytes(), body.as_bytes()];
        let seal = vault.row_seal("approvals", &parts);
        Ok(Self { id, state, call_digest: digest, expires_at, body, seal })
    }

    pub(crate) fn read(row: &Row<'_>, vault: &Vault) -> Result<Approval, RowError> {
        let id: Vec<u8> = row.get(0)?;
        let state: String = row.get(1)?;
        let digest: Vec<u8> = row.get(2)?;
        let expires_at: i64 = row.get(3)?;
        let body: String = row.get(4)?;
        let seal: Vec<u8> = row.get(5)?;
        let parts: [&[u8]; 5] = [&id, state.as_bytes(), &digest, &expires_at.to_be_bytes(), body.as_bytes()];
        let checked = vault.check_row("approvals", &parts, &seal);
        let approval = checked.ok().and_then(|()| serde_json::from_str::<Approval>(&body).ok());
        approval.ok_or_else(|| RowError::Damaged { what: "approval", name: interlock_model::digest::hex(&id) })
    }

    /// False if there is one of that id already.
    pub(crate) fn insert(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let mut statement =
            connection.prepare_cached("INSERT INTO approvals VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING")?;
        let changed = statement.execute(params![
            &self.id.as_bytes()[..],
            self.state,
            &self.call_digest[..],
            self.expires_at,
            self.body,
            self.seal
        ])?;
        Ok(changed == 1)
    }

    /// False unless there is one of that id, for the same call, in state `from`.
    pub(crate) fn replace(&self, connection: &Connection, from: &str) -> rusqlite::Result<bool> {
        let mut statement = connection.prepare_cached(
            "UPDATE approvals SET state = ?, expires_at = ?, body = ?, seal = ?
             WHERE id = ? AND state = ? AND call_digest = ?",
        )?;
        let changed = statement.execute(params![
            self.state,
            self.expires_at,
            self.body,
            self.seal,
            &self.id.as_bytes()[..],
            from,
            &self.call_digest[..]
        ])?;
        Ok(changed == 1)
    }

    /// All approvals for which `condition` holds (SQL after WHERE, with `parameters`).
    pub(crate) fn select(
        connection: &Connection,
        vault: &Vault,
        condition: &str,
        parameters: impl rusqlite::Params,
    ) -> Result<Vec<Result<Approval, RowError>>, rusqlite::Error> {
        let sql = format!("SELECT {} FROM approvals WHERE {condition}", Self::COLUMNS);
        let mut statement = connection.prepare_cached(&sql)?;
        let rows = statement.query_map(parameters, |row| Ok(Self::read(row, vault)))?;
        rows.collect()
    }
}

/// An agent as stored.
#[derive(Clone, Debug)]
pub(crate) struct AgentRow {
    id: AgentId,
    body: String,
    seal: [u8; 32],
}

impl AgentRow {
    pub(crate) fn of(agent: &Agent, vault: &Vault) -> Result<Self, AppendError> {
        let body = serde_json::to_string(agent).map_err(interlock_ledger::entry::EntryError::from)?;
        let seal = vault.row_seal("agents", &[agent.id.as_str().as_bytes(), body.as_bytes()]);
        Ok(Self { id: agent.id.clone(), body, seal })
    }

    /// False if the agent is retired, which is for good.
    pub(crate) fn put(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let mut statement = connection.prepare_cached(
            "INSERT INTO agents VALUES (?, ?, ?)
             ON CONFLICT (id) DO UPDATE SET body = excluded.body, seal = excluded.seal
             WHERE agents.body ->> '$.state' <> 'retired'",
        )?;
        Ok(statement.execute(params![self.id.as_str(), self.body, self.seal])? == 1)
    }

    /// All agents, by id.
    pub(crate) fn all(connection: &Connection, vault: &Vault) -> Result<Vec<Result<Agent, RowError>>, rusqlite::Error> {
        let mut statement = connection.prepare_cached("SELECT id, body, seal FROM agents ORDER BY id")?;
        let rows = statement.query_map([], |row| {
            let (id, body, seal): (String, String, Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let agent = vault
                .check_row("agents", &[id.as_bytes(), body.as_bytes()], &seal)
                .ok()
                .and_then(|()| serde_json::from_str::<Agent>(&body).ok())
                .filter(|agent| agent.id.as_str() == id);
            Ok(agent.ok_or(RowError::Damaged { what: "agent", name: id }))
        })?;
        rows.collect()
    }
}

/// The checkpoint of the newest commit group; it stands in the newest entry's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckpointRow {
    pub(crate) size: u64,
    /// The lowest index that may hold an intent without outcome.
    pub(crate) open_from: u64,
    /// The signed note.
    pub(crate) note: String,
}

impl CheckpointRow {
    /// The newest; `None` if there are no entries, or the newest entry carries none.
    pub(crate) fn read(connection: &Connection) -> rusqlite::Result<Option<Self>> {
        let mut statement =
            connection.prepare_cached("SELECT idx, open_from, note FROM entries ORDER BY idx DESC LIMIT 1")?;
        let mut rows = statement.query([])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let (index, open_from, note): (i64, Option<i64>, Option<String>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let size = uint(index).saturating_add(1);
        Ok(open_from.zip(note).map(|(open_from, note)| Self { size, open_from: uint(open_from), note }))
    }
}
