//! Reading a ledger: beside the daemon that writes it, or without one. Takes no lock and changes nothing.

use crate::dir::DataDir;
use crate::error::{OpenError, ReadError};
use crate::find::{self, id_range};
use crate::keys::{self, LogKey};
use crate::published::LogFiles;
use crate::rows::{AgentRow, ApprovalRow, CheckpointRow, SessionRow, int, uint};
use crate::schema;
use crate::store::{origin_of, row_error};
use crate::vault::Vault;
use interlock_approval::Approval;
use interlock_identity::Agent;
use interlock_ledger::entry::Entry;
use interlock_ledger::note::VerifierKey;
use interlock_model::{AgentId, CallId, OwnerId, SessionId, UnixMillis};
use interlock_signature::Signer as _;
use rusqlite::Connection;
use std::ops::Range;
use std::path::Path;

/// A ledger, for reading.
pub struct Reader {
    pub(crate) connection: Connection,
    pub(crate) files: LogFiles,
    pub(crate) vault: Vault,
    pub(crate) key: VerifierKey,
}

/// One entry as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its index.
    pub index: u64,
    /// The entry.
    pub entry: Entry,
    /// Its canonical bytes, which are what is hashed.
    pub bytes: Vec<u8>,
}

/// A governance session, without its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its id.
    pub id: SessionId,
    /// The agent.
    pub agent: AgentId,
    /// The accountable human.
    pub owner: OwnerId,
    /// Its labels.
    pub labels: Vec<String>,
    /// When it began.
    pub opened: UnixMillis,
    /// When a human ended it.
    pub ended: Option<UnixMillis>,
}

impl Reader {
    /// Opens the ledger in `dir`.
    ///
    /// # Errors
    ///
    /// [`OpenError::NoLedger`] and others.
    pub fn open(dir: &Path) -> Result<Self, OpenError> {
        let dir = DataDir::existing(dir)?;
        let signer = LogKey::new(&keys::read(&dir.log_key())?, &dir.log_key())?;
        let random = |e: getrandom::Error| OpenError::io(&dir.vault_key(), std::io::Error::other(e.to_string()));
        Ok(Self {
            connection: schema::open_for_reading(&dir.database())?,
            files: LogFiles::new(&dir),
            vault: Vault::new(&keys::read(&dir.vault_key())?).map_err(random)?,
            key: VerifierKey::new(origin_of(&signer)?, signer.public_key()),
        })
    }

    /// All agents, by id.
    ///
    /// # Errors
    ///
    /// [`ReadError::Damaged`] if one is not as the gateway wrote it.
    pub fn agents(&self) -> Result<Vec<Agent>, ReadError> {
        let agents = AgentRow::all(&self.connection, &self.vault)?;
        agents.into_iter().map(|agent| agent.map_err(row_error)).collect()
    }

    /// The key that checkpoints are signed with, as auditors need it.
    #[must_use]
    pub const fn verifier_key(&self) -> &VerifierKey {
        &self.key
    }

    /// Entries so far.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn size(&self) -> Result<u64, ReadError> {
        Ok(CheckpointRow::read(&self.connection)?.map_or(0, |row| row.size))
    }

    /// The newest signed checkpoint, which covers every entry; `None` while there are none.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn checkpoint(&self) -> Result<Option<String>, ReadError> {
        Ok(CheckpointRow::read(&self.connection)?.map(|row| row.note))
    }

    /// The entries with these indices, at most `limit` of them. To follow a ledger, ask again from where
    /// the last answer ended.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn entries(&self, range: Range<u64>, limit: usize) -> Result<Vec<Stored>, ReadError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = "SELECT idx, bytes FROM entries WHERE idx >= ? AND idx < ? ORDER BY idx LIMIT ?";
        self.select(sql, (int(range.start), int(range.end), limit))
    }

    /// The entry at `index`.
    ///
    /// # Errors
    ///
    /// [`ReadError::NotFound`].
    pub fn entry(&self, index: u64) -> Result<Stored, ReadError> {
        let found = self.entries(index..index.saturating_add(1), 1)?;
        found.into_iter().next().ok_or_else(|| ReadError::NotFound(index.to_string()))
    }

    /// The entries of the one call whose id is or begins with `text` (with or without `call-`).
    ///
    /// # Errors
    ///
    /// [`ReadError::NotFound`], [`ReadError::Ambiguous`], [`ReadError::BadId`].
    pub fn of_call(&self, text: &str) -> Result<Vec<Stored>, ReadError> {
        let (low, high) = id_range(text, "call")?;
        let mut statement =
            self.connection.prepare_cached("SELECT DISTINCT call FROM entries WHERE call BETWEEN ? AND ? LIMIT 2")?;
        let calls: Vec<Vec<u8>> =
            statement.query_map([&low[..], &high[..]], |row| row.get(0))?.collect::<Result<_, _>>()?;
        match calls.as_slice() {
            [] => Err(ReadError::NotFound(text.to_owned())),
            [call] => self.select("SELECT idx, bytes FROM entries WHERE call = ? ORDER BY idx", [call]),
            _ => Err(ReadError::Ambiguous(text.to_owned())),
        }
    }

    /// All entries of a call, in order.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn of_call_id(&self, call: CallId) -> Result<Vec<Stored>, ReadError> {
        self.select("SELECT idx, bytes FROM entries WHERE call = ? ORDER BY idx", [&call.as_bytes()[..]])
    }

    /// All sessions, the newest first.
    ///
    /// # Errors
    ///
    /// [`ReadError::Damaged`] if one is not as the gateway wrote it.
    pub fn sessions(&self) -> Result<Vec<SessionInfo>, ReadError> {
        let sql = format!("SELECT {} FROM sessions ORDER BY id DESC", SessionRow::COLUMNS);
        let mut statement = self.connection.prepare_cached(&sql)?;
        let rows = statement.query_map([], |row| Ok(SessionRow::read(row, &self.vault)))?;
        rows.map(|row| {
            let SessionRow { id, agent, owner, labels, opened, ended, wrapped_key: _ } = row?.map_err(row_error)?;
            Ok(SessionInfo { id, agent, owner, labels, opened, ended })
        })
        .collect()
    }

    /// The newest `limit` approvals in whatever state, the newest first.
    ///
    /// # Errors
    ///
    /// [`ReadError::Damaged`] if one is not as the gateway wrote it.
    pub fn approvals(&self, limit: usize) -> Result<Vec<Approval>, ReadError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let found = ApprovalRow::select(&self.connection, &self.vault, "true ORDER BY id DESC LIMIT ?", [limit])?;
        found.into_iter().map(|a| a.map_err(row_error)).collect()
    }

    /// The approval whose id is or begins with `text` (with or without `approval-`).
    ///
    /// # Errors
    ///
    /// [`ReadError::NotFound`], [`ReadError::Ambiguous`], [`ReadError::BadId`].
    pub fn find_approval(&self, text: &str) -> Result<Approval, ReadError> {
        find::approval(&self.connection, &self.vault, text)
    }

    pub(crate) fn select(&self, sql: &str, parameters: impl rusqlite::Params) -> Result<Vec<Stored>, ReadError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(parameters, |row| Ok((uint(row.get(0)?), row.get::<_, Vec<u8>>(1)?)))?;
        rows.map(|row| {
            let (index, bytes) = row?;
            stored(index, bytes)
        })
        .collect()
    }
}

pub(crate) fn stored(index: u64, bytes: Vec<u8>) -> Result<Stored, ReadError> {
    let entry = Entry::from_bytes(&bytes).map_err(|source| ReadError::Entry { index, source })?;
    Ok(Stored { index, entry, bytes })
}
