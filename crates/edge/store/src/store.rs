//! The store as the daemon holds it.

use crate::command::{Change, Command, Opening, Prepared};
use crate::dir::{DataDir, OwnerLock, sync_dir};
use crate::error::{OpenError, ReadError};
use crate::fault::Faults;
use crate::group::Core;
use crate::keys::{self, LogKey};
use crate::memory::Memory;
use crate::open_intents::OpenIntents;
use crate::published::Publisher;
use crate::queue::Queue;
use crate::recovery::{Recovery, expired, recover};
use crate::rows::{AgentRow, ApprovalRow, RowError};
use crate::schema;
use crate::threads::{News, start_publisher, start_writer, stop_publisher};
use crate::vault::{OVERHEAD, Vault};
use interlock_approval::Approval;
use interlock_engine::ports::{Append, AppendError, Appended, Effect, Ledger, Session};
use interlock_identity::Agent;
use interlock_ledger::checkpoint::Checkpoint;
use interlock_ledger::entry::{Entry, EntryError, Event, SessionAction, SessionEvent};
use interlock_ledger::note::{Origin, VerifierKey};
use interlock_ledger::tree::{Frontier, Hash};
use interlock_model::{AgentId, ApprovalId, Commitment, OwnerId, SessionKey, UnixMillis};
use interlock_signature::Signer as _;
use rusqlite::Connection;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The data directory; made where there is none.
    pub dir: PathBuf,
    /// The time of the entries that recovery appends.
    pub now: UnixMillis,
    /// Log files are published at most once in this while.
    pub publish_every: Duration,
    /// Most appends that may wait.
    pub max_waiting: usize,
    /// And their bytes.
    pub max_waiting_bytes: usize,
}

impl StoreOptions {
    /// The usual ones: published every second, 16 384 appends or 64 MiB may wait.
    #[must_use]
    pub const fn new(dir: PathBuf, now: UnixMillis) -> Self {
        Self { dir, now, publish_every: Duration::from_secs(1), max_waiting: 16_384, max_waiting_bytes: 64 << 20 }
    }
}

/// The ledger, sessions, approvals and agents of one data directory. Cheap to clone; the last clone to go
/// closes it, though [`Store::close`] is the way to learn whether that worked.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    dir: DataDir,
    queue: Arc<Queue<Command>>,
    memory: Arc<Memory>,
    vault: Arc<Vault>,
    key: VerifierKey,
    /// For what is not in memory. Nobody on the path of a call waits here.
    reading: Mutex<Connection>,
    running: Mutex<Option<Running>>,
}

struct Running {
    writer: JoinHandle<Core>,
    publisher: JoinHandle<Result<(), String>>,
    news: Arc<News>,
    lock: OwnerLock,
}

/// Why closing did not go as it should. Every acknowledged entry is durable all the same.
#[derive(Debug, thiserror::Error)]
pub enum CloseError {
    /// A thread had failed.
    #[error("the ledger's writer failed before it was closed")]
    Writer,
    /// The last publication failed; the next open makes up for it.
    #[error("the log files were not brought up to date: {0}")]
    Publish(String),
    /// The write-ahead log was not folded into the database; the next open reads both.
    #[error("the write-ahead log was not copied into the database: {0}")]
    Database(#[from] rusqlite::Error),
}

impl Store {
    /// Opens the data directory, recovers what the last run left, and starts writing.
    ///
    /// Nothing is served before this returns, so what it appends comes before everything of this run.
    ///
    /// # Errors
    ///
    /// [`OpenError`].
    pub fn open(options: StoreOptions) -> Result<(Self, Recovery), OpenError> {
        Self::open_with(options, Faults::default())
    }

    pub(crate) fn open_with(options: StoreOptions, faults: Faults) -> Result<(Self, Recovery), OpenError> {
        let dir = DataDir::create(&options.dir)?;
        let lock = dir.lock()?;
        let (log_secret, vault_secret) = keys::open_or_create(&dir)?;
        let signer = LogKey::new(&log_secret, &dir.log_key())?;
        let origin = origin_of(&signer)?;
        let key = VerifierKey::new(origin.clone(), signer.public_key());
        let random = |e: getrandom::Error| OpenError::io(&dir.vault_key(), std::io::Error::other(e.to_string()));
        let vault = Arc::new(Vault::new(&vault_secret).map_err(random)?);

        let connection = schema::open_for_writing(&dir.database())?;
        connection.set_prepared_statement_cache_capacity(64);
        // The names of database and WAL, made just now or long ago, are durable before the first entry is.
        sync_dir(dir.path()).map_err(|source| OpenError::io(dir.path(), source))?;
        let following = schema::open_for_writing(&dir.database())?;
        let empty = Checkpoint::of(origin.clone(), &Frontier::default()).sign(&signer);
        let empty = empty.map_err(|e| OpenError::Damaged(e.to_string()))?.to_string();
        let publisher = Publisher::open(&dir, following, key.clone(), &empty, faults.clone())?;
        let open_from = publisher.stored()?.map_or(0, |c| c.open_from);

        let memory = Arc::new(Memory::default());
        let mut core = Core {
            connection,
            key: signer,
            origin,
            vault: Arc::clone(&vault),
            memory: Arc::clone(&memory),
            frontier: publisher.frontier().clone(),
            open: OpenIntents::default(),
            fresh: Vec::new(),
            faults,
        };
        let mut recovery = recover(&mut core, open_from, options.now)?;
        recovery.files_written = publisher.written();
        recovery.damage.extend_from_slice(publisher.damage());

        let reading = Mutex::new(schema::open_for_reading(&dir.database())?);
        let queue = Arc::new(Queue::new(options.max_waiting, options.max_waiting_bytes));
        let news = Arc::new(News::default());
        let io = |source| OpenError::io(dir.path(), source);
        news.committed(core.frontier.size(), &mut core.fresh, 0);
        let publisher = start_publisher(publisher, Arc::clone(&news), options.publish_every).map_err(io)?;
        let writer = start_writer(core, Arc::clone(&queue), Arc::clone(&news)).map_err(io)?;
        let running = Mutex::new(Some(Running { writer, publisher, news, lock }));
        Ok((Self(Arc::new(Shared { dir, queue, memory, vault, key, reading, running })), recovery))
    }

    /// Writes what waits, publishes the log files, folds the write-ahead log into the database and lets go
    /// of the directory. Blocks; appends fail from now on. Closing twice is closing once.
    ///
    /// # Errors
    ///
    /// [`CloseError`].
    pub fn close(&self) -> Result<(), CloseError> {
        self.0.close()
    }

    /// The key that the log's checkpoints are signed with, as auditors need it.
    #[must_use]
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.0.key
    }

    /// The data directory.
    #[must_use]
    pub fn dir(&self) -> &std::path::Path {
        self.0.dir.path()
    }

    /// A key that every process on this store derives alike, for a use told apart by `label`. It goes with `vault.key`.
    #[must_use]
    pub fn derived_key(&self, label: &str) -> SessionKey {
        self.0.vault.derived(label)
    }

    /// All agents, by id.
    ///
    /// # Errors
    ///
    /// [`ReadError::Damaged`] if one is not as the gateway wrote it: an agent that cannot be trusted is no agent.
    pub fn agents(&self) -> Result<Vec<Agent>, ReadError> {
        let agents = AgentRow::all(&self.0.reading(), &self.0.vault)?;
        agents.into_iter().map(|agent| agent.map_err(row_error)).collect()
    }

    /// Stores an agent with the entry that says so, in one transaction.
    ///
    /// # Errors
    ///
    /// [`AppendError::Conflict`] if the agent is retired.
    pub fn put_agent(
        &self,
        agent: &Agent,
        entry: &Entry,
    ) -> impl Future<Output = Result<Appended, AppendError>> + Send + 'static + use<> {
        let prepared =
            AgentRow::of(agent, &self.0.vault).and_then(|row| prepare_entry(entry, Change::Agent(Box::new(row))));
        self.0.enqueue(prepared)
    }

    /// Ends the open session of these two, with its entry; their next call opens another. False if there is none.
    ///
    /// # Errors
    ///
    /// [`AppendError`].
    pub async fn reset_session(
        &self,
        agent: &AgentId,
        owner: &OwnerId,
        by: &str,
        now: UnixMillis,
    ) -> Result<bool, AppendError> {
        let open = {
            let reading = self.0.reading();
            crate::rows::SessionRow::open_of(&reading, &self.0.vault, agent, owner)
        };
        let Some(session) = open.map_err(|e| AppendError::Closed(e.to_string()))? else { return Ok(false) };
        let event = SessionEvent {
            action: SessionAction::Reset,
            agent: agent.clone(),
            by: by.to_owned(),
            owner: owner.clone(),
            session: session.id,
        };
        let change = Change::EndSession { id: session.id, agent: agent.clone(), owner: owner.clone(), at: now };
        let prepared = prepare_entry(&Entry::new(now, Event::Session(event)), change);
        match self.0.enqueue(prepared).await {
            Ok(_) => Ok(true),
            Err(AppendError::Conflict) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Approvals that wait for an answer or for their call, the oldest first.
    #[must_use]
    pub fn open_approvals(&self) -> Vec<Arc<Approval>> {
        self.0.memory.open_approvals()
    }

    /// The newest `limit` approvals in whatever state, the newest first.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub fn list_approvals(&self, limit: usize) -> Result<Vec<Approval>, ReadError> {
        let condition = "true ORDER BY id DESC LIMIT ?";
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let approvals = ApprovalRow::select(&self.0.reading(), &self.0.vault, condition, [limit])?;
        approvals.into_iter().map(|a| a.map_err(row_error)).collect()
    }

    /// The approval whose id is or begins with `text` (with or without `approval-`).
    ///
    /// # Errors
    ///
    /// [`ReadError::NotFound`], [`ReadError::Ambiguous`], [`ReadError::BadId`].
    pub fn find_approval(&self, text: &str) -> Result<Approval, ReadError> {
        crate::find::approval(&self.0.reading(), &self.0.vault, text)
    }

    /// Ends every approval whose time has passed, each with its entry. Returns how many there were.
    ///
    /// # Errors
    ///
    /// [`AppendError`]; those that were ended before it stay so.
    pub async fn expire_due(&self, now: UnixMillis) -> Result<u64, AppendError> {
        let mut waiting = Vec::new();
        for approval in self.0.memory.due(now) {
            let Some((entry, from, to)) = expired(&approval, now) else { continue };
            let effect = Effect::Replace { from, to: Box::new(to) };
            waiting.push(self.append(Append { effect, ..Append::entry(&entry)? }));
        }
        let mut count = 0;
        for one in waiting {
            match one.await {
                Ok(_) => count += 1,
                // It was answered or used in the meantime.
                Err(AppendError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }
}

impl Ledger for Store {
    fn append(&self, append: Append) -> impl Future<Output = Result<Appended, AppendError>> + Send + use<> {
        let prepared = self.0.prepare(append);
        self.0.enqueue(prepared)
    }

    async fn session(&self, agent: &AgentId, owner: &OwnerId, now: UnixMillis) -> Result<Arc<Session>, AppendError> {
        if let Some(session) = self.0.memory.session(agent, owner) {
            return Ok(session);
        }
        let (reply, answer) = oneshot::channel();
        let opening = Opening { agent: agent.clone(), owner: owner.clone(), now };
        self.0.queue.push(Command::Open(Box::new(opening), reply));
        answer.await.unwrap_or(Err(AppendError::Unconfirmed))
    }

    fn approval_for(&self, call_digest: &Commitment) -> Option<Arc<Approval>> {
        self.0.memory.approval_for(call_digest)
    }

    async fn approval(&self, id: ApprovalId) -> Result<Option<Arc<Approval>>, AppendError> {
        if let Some(approval) = self.0.memory.approval(id) {
            return Ok(Some(approval));
        }
        let closed = |e: &dyn std::error::Error| AppendError::Closed(e.to_string());
        let found = ApprovalRow::select(&self.0.reading(), &self.0.vault, "id = ?", [&id.as_bytes()[..]])
            .map_err(|e| closed(&e))?;
        found.into_iter().next().transpose().map(|a| a.map(Arc::new)).map_err(|e| closed(&e))
    }
}

impl Shared {
    /// All that needs no writer: hashing, encrypting, encoding.
    fn prepare(&self, append: Append) -> Result<Prepared, AppendError> {
        let Append { entry: bytes, kind, at, call, session, payloads, effect, awaited } = append;
        if bytes.is_empty() || bytes.len() > Entry::MAX_LEN {
            return Err(EntryError::TooLarge { len: bytes.len() }.into());
        }
        let plain: usize = payloads.iter().map(|p| p.bytes.len() + OVERHEAD).sum();
        self.queue.admits(bytes.len() + plain)?;
        let mut sealed = Vec::with_capacity(payloads.len());
        if !payloads.is_empty() {
            let (Some(session), Some(call)) = (&session, call) else {
                return Err(AppendError::Closed("a payload needs its session and call".to_owned()));
            };
            let key = self.memory.payload_key(session);
            for payload in payloads {
                let data = self.vault.seal(&key, session.id, call, payload.slot, &payload.bytes);
                sealed.push((payload.slot, data.map_err(|e| AppendError::Closed(e.to_string()))?));
            }
        }
        let change = match effect {
            Effect::None => Change::None,
            Effect::Request(approval) => self.approval_change(None, *approval)?,
            Effect::Consume(approval) => self.approval_change(Some("approved"), *approval)?,
            Effect::Replace { from: from @ ("pending" | "approved"), to } => self.approval_change(Some(from), *to)?,
            Effect::Replace { .. } => return Err(AppendError::Conflict),
            Effect::RaiseLabels(mut labels) => {
                let session = session.ok_or_else(|| AppendError::Closed("labels need their session".to_owned()))?;
                labels.sort_unstable();
                labels.dedup();
                Change::Labels { session, labels }
            }
        };
        Ok(Prepared { leaf: Hash::leaf(&bytes), bytes, kind, at, call, payloads: sealed, change, awaited })
    }

    fn approval_change(&self, from: Option<&'static str>, approval: Approval) -> Result<Change, AppendError> {
        let row = Box::new(ApprovalRow::of(&approval, &self.vault)?);
        Ok(Change::Approval { from, row, value: Arc::new(approval) })
    }

    /// Queues now; the future only waits.
    fn enqueue(
        &self,
        prepared: Result<Prepared, AppendError>,
    ) -> impl Future<Output = Result<Appended, AppendError>> + Send + 'static + use<> {
        let queued = prepared.map(|prepared| {
            let (reply, answer) = oneshot::channel();
            self.queue.push(Command::Append(Box::new(prepared), reply));
            answer
        });
        async move { queued?.await.unwrap_or(Err(AppendError::Unconfirmed)) }
    }

    fn reading(&self) -> MutexGuard<'_, Connection> {
        // A reader that panicked left no state behind in a connection that only reads.
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) -> Result<(), CloseError> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { writer, publisher, news, lock: _lock }) = running else { return Ok(()) };
        self.queue.close();
        let core = writer.join();
        let published = stop_publisher(&news, publisher);
        let core = core.map_err(|_| CloseError::Writer)?;
        published.map_err(CloseError::Publish)?;
        core.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        Ok(())
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // What is acknowledged is durable; what is left undone here, the next open does.
        let _ = self.close();
    }
}

fn prepare_entry(entry: &Entry, change: Change) -> Result<Prepared, AppendError> {
    let bytes = entry.to_bytes()?;
    Ok(Prepared {
        leaf: Hash::leaf(&bytes),
        kind: entry.event.kind(),
        at: entry.at,
        call: entry.call(),
        payloads: Vec::new(),
        change,
        awaited: true,
        bytes,
    })
}

/// A log is named for its key: two logs never share a name, and nothing has to be configured.
pub(crate) fn origin_of(signer: &LogKey) -> Result<Origin, OpenError> {
    let name = format!("interlock.invalid/log/{}", signer.public_key().id());
    name.parse().map_err(|_| OpenError::Damaged("the log has no name".to_owned()))
}

pub(crate) fn row_error(error: RowError) -> ReadError {
    match error {
        RowError::Database(source) => source.into(),
        damaged @ RowError::Damaged { .. } => ReadError::Damaged(damaged.to_string()),
    }
}
