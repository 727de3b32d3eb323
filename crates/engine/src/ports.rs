//! What the engine asks of the world. Edges implement these; tests have small fakes of them.

use crate::front::Aside;
use bytes::Bytes;
use interlock_approval::{Approval, Settlement};
use interlock_ledger::entry::{Entry, EventKind};
use interlock_mcp::{NameAt, Offers, Response};
use interlock_model::{
    AgentId, ApprovalId, CallId, Code, Commitment, OwnerId, ServerName, SessionId, SessionKey, UnixMillis,
};
use interlock_signature::Signature;
use std::sync::Arc;
use std::time::Duration;

/// Time and randomness.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock.
    fn now(&self) -> UnixMillis;
    /// Microseconds since some fixed instant; never goes back.
    fn monotonic_us(&self) -> u64;
    /// Ten random bytes for an id.
    fn entropy(&self) -> [u8; 10];
}

/// A governance session, as the store opened it: keyed by agent and owner, not by anything the agent chooses.
#[derive(Debug)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// The agent.
    pub agent: AgentId,
    /// The accountable human.
    pub owner: OwnerId,
    /// Keys commitments and the vault.
    pub key: SessionKey,
    /// The labels it has; they only rise. Replaced as a whole by the store once a raise is durable.
    pub labels: arc_swap::ArcSwap<Vec<String>>,
    /// Calls since the gateway started. Budgets that a restart does not forget are counted in the store.
    pub calls: std::sync::atomic::AtomicU64,
}

/// Which payload of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Slot {
    /// The arguments as the agent sent them.
    Received = 1,
    /// The arguments as the server got them, where they differ.
    Sent = 2,
    /// The `result` or `error` member as the server sent it.
    Result = 3,
}

/// A payload for the vault: encrypted under its session's key before it is stored.
#[derive(Clone, Debug)]
pub struct Payload {
    /// Which one.
    pub slot: Slot,
    /// In the clear.
    pub bytes: Bytes,
}

/// What changes together with an entry, in the same transaction. If the condition does not hold, nothing of it happens.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Only the entry.
    None,
    /// The approval must be `approved` in the store, and becomes the given value (consumed).
    Consume(Box<Approval>),
    /// A new approval.
    Request(Box<Approval>),
    /// The approval must be in the state named by `from` (`pending` or `approved`), and becomes the given value.
    Replace {
        /// [`interlock_approval::State::as_str`] of the state it must be in.
        from: &'static str,
        /// What it becomes.
        to: Box<Approval>,
    },
    /// The session's labels become these (a superset of those before).
    RaiseLabels(Vec<String>),
}

/// One entry to append, with all that belongs to it.
#[derive(Debug)]
pub struct Append {
    /// Canonical bytes of the entry.
    pub entry: Vec<u8>,
    /// Its kind, for the search columns.
    pub kind: EventKind,
    /// Its time.
    pub at: UnixMillis,
    /// The call it is about.
    pub call: Option<CallId>,
    /// The session it belongs to; required where there are payloads or labels.
    pub session: Option<Arc<Session>>,
    /// Payloads for the vault.
    pub payloads: Vec<Payload>,
    /// What else changes.
    pub effect: Effect,
    /// Whether somebody waits until it is durable. If not, it may go with the next one that is waited for,
    /// as long as that is a few milliseconds at most.
    pub awaited: bool,
}

impl Append {
    /// An entry alone, waited for.
    ///
    /// # Errors
    ///
    /// [`AppendError::Entry`] if it does not encode.
    pub fn entry(entry: &Entry) -> Result<Self, AppendError> {
        Ok(Self {
            kind: entry.event.kind(),
            at: entry.at,
            call: entry.call(),
            entry: entry.to_bytes()?,
            session: None,
            payloads: Vec::new(),
            effect: Effect::None,
            awaited: true,
        })
    }
}

/// The entry is durable at this index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its index in the log.
    pub index: u64,
}

/// Why an entry was not appended. Whatever the variant, the call must not go on.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// It does not encode, or is too large.
    #[error(transparent)]
    Entry(#[from] interlock_ledger::entry::EntryError),
    /// The condition of its [`Effect`] did not hold: another call was first.
    #[error("the approval is not in the state that the call needs")]
    Conflict,
    /// The store is not taking entries: full disk, closed, or failed earlier.
    #[error("the ledger is not taking entries: {0}")]
    Closed(String),
    /// The write may have happened: recovery settles it from the store; a retry could log it twice.
    #[error("the store did not confirm the entry")]
    Unconfirmed,
    /// More entries are waiting than memory is meant to hold.
    #[error("too many entries are waiting to be written")]
    Backlog,
}

/// The ledger, the sessions and the approvals: one store, since they change in one transaction.
pub trait Ledger: Send + Sync + 'static {
    /// Appends. The entry is queued when this returns; the future ends once it is durable.
    /// Entries queued one after the other by one caller are stored in that order.
    fn append(&self, append: Append) -> impl Future<Output = Result<Appended, AppendError>> + Send + use<Self>;

    /// The session of this agent and owner; opened, with its entry, if there is none. A session that is
    /// already in memory is returned without waiting and without a lock.
    fn session(
        &self,
        agent: &AgentId,
        owner: &OwnerId,
        now: UnixMillis,
    ) -> impl Future<Output = Result<Arc<Session>, AppendError>> + Send;

    /// The newest approval for this call digest that is not consumed or superseded, from memory.
    fn approval_for(&self, call_digest: &Commitment) -> Option<Arc<Approval>>;

    /// The approval called `id`, from memory (open ones) or the store.
    fn approval(&self, id: ApprovalId) -> impl Future<Output = Result<Option<Arc<Approval>>, AppendError>> + Send;
}

/// A human's answer on its way in.
#[derive(Clone, Debug)]
pub struct Answered {
    /// What they signed.
    pub settlement: Settlement,
    /// Their signature.
    pub signature: Signature,
}

/// What goes to a server: everything about one recorded call that the wire needs. Only the engine
/// makes one, from a call whose intent it has handed to the ledger. Invariant 2, "no side door": elsewhere this does not compile.
///
/// ```compile_fail,E0639
/// fn side_door(call: interlock_model::CallId, agent: interlock_model::AgentId, server: interlock_model::ServerName,
///              request: interlock_mcp::Request) -> interlock_engine::ports::Outgoing {
///     let timeout = std::time::Duration::from_secs(1);
///     let revision = interlock_mcp::Revision::NEWEST_LEGACY;
///     let (name, arguments, state, capabilities, log_level) = (None, None, None, Default::default(), None);
///     let trace = None;
///     interlock_engine::ports::Outgoing {
///         call, agent, server, name, request, arguments, state, revision, capabilities, log_level, timeout, trace
///     }
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outgoing {
    /// Our call; its deadline and cancellation are the engine's business.
    pub call: CallId,
    /// Whose it is: where calls wait for a busy server, agents take turns.
    pub agent: AgentId,
    /// The server.
    pub server: ServerName,
    /// The member of the request that says what it is about, and the server's own name for that.
    pub name: Option<(NameAt, Box<str>)>,
    /// The whole request as the agent sent it; what is not named below passes unchanged.
    pub request: interlock_mcp::Request,
    /// The arguments, where an obligation changed them; else those of `request` are sent as they came.
    pub arguments: Option<Bytes>,
    /// The server's own `requestState`, in place of the sealed one that the agent sent back.
    pub state: Option<String>,
    /// The revision that the client speaks.
    pub revision: interlock_mcp::Revision,
    /// The client's capabilities, a JSON object; empty where it declared none.
    pub capabilities: Bytes,
    /// The mildest log lines that a legacy client wants.
    pub log_level: Option<&'static str>,
    /// How long the server may take.
    pub timeout: Duration,
    /// Where the request stands in a trace, for servers over HTTP.
    pub trace: Option<crate::Trace>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct UpstreamFault {
    /// One of `server_unavailable`, `upstream_timeout`, `upstream_closed`, `upstream_invalid`, `upstream_too_large`.
    pub code: Code,
    /// Whether the request may have reached the server.
    pub sent: bool,
    /// For the log and for people; holds no secret.
    pub detail: String,
}

/// The servers.
pub trait Upstream: Send + Sync + 'static {
    /// Ends at once unless the server has said (`list_changed`) that its tools may have changed and the
    /// new list has not been compared with the catalog yet; then it waits for that, for a bounded time.
    fn settled(&self, server: &ServerName) -> impl Future<Output = Result<(), UpstreamFault>> + Send;

    /// Sends a recorded call and waits for its answer. Dropping the future cancels the call upstream.
    /// The response's id is the server's business; only its `result` or `error` matters. What the server says or
    /// asks before goes to `aside`.
    fn forward(
        &self,
        call: Outgoing,
        aside: &dyn Aside,
    ) -> impl Future<Output = Result<Response, UpstreamFault>> + Send;

    /// What the server said that it has, when it was last connected to.
    fn offers(&self, server: &ServerName) -> Offers;
}
