//! What the writer is asked to do, made ready by the caller: hashed, encrypted, encoded.

use crate::queue::Waiting;
use crate::rows::{AgentRow, ApprovalRow};
use interlock_approval::Approval;
use interlock_engine::ports::{AppendError, Appended, Session, Slot};
use interlock_ledger::entry::EventKind;
use interlock_ledger::tree::Hash;
use interlock_model::{AgentId, CallId, OwnerId, SessionId, UnixMillis};
use std::sync::Arc;
use tokio::sync::oneshot;

/// Where an answer goes. The caller may have gone; the entry is written all the same.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, AppendError>>;

/// One thing to do.
pub(crate) enum Command {
    /// Append an entry, with what belongs to it.
    Append(Box<Prepared>, Reply<Appended>),
    /// Find or open a session.
    Open(Box<Opening>, Reply<Arc<Session>>),
}

/// An entry, ready to be inserted.
pub(crate) struct Prepared {
    pub(crate) bytes: Vec<u8>,
    pub(crate) leaf: Hash,
    pub(crate) kind: EventKind,
    pub(crate) at: UnixMillis,
    pub(crate) call: Option<CallId>,
    /// Encrypted.
    pub(crate) payloads: Vec<(Slot, Vec<u8>)>,
    pub(crate) change: Change,
    pub(crate) awaited: bool,
}

/// What changes in the same transaction.
pub(crate) enum Change {
    /// Nothing else.
    None,
    /// A new approval (`from` is `None`), or one that must be in state `from`.
    Approval { from: Option<&'static str>, row: Box<ApprovalRow>, value: Arc<Approval> },
    /// The session's labels; sorted, each once.
    Labels { session: Arc<Session>, labels: Vec<String> },
    /// An agent.
    Agent(Box<AgentRow>),
    /// The end of an open session.
    EndSession { id: SessionId, agent: AgentId, owner: OwnerId, at: UnixMillis },
}

/// A session to find or open.
pub(crate) struct Opening {
    pub(crate) agent: AgentId,
    pub(crate) owner: OwnerId,
    pub(crate) now: UnixMillis,
}

impl Waiting for Command {
    fn bytes(&self) -> usize {
        match self {
            Self::Append(p, _) => {
                size_of::<Prepared>() + p.bytes.len() + p.payloads.iter().map(|(_, b)| b.len()).sum::<usize>()
            }
            Self::Open(..) => size_of::<Opening>(),
        }
    }

    fn is_awaited(&self) -> bool {
        match self {
            Self::Append(p, _) => p.awaited,
            Self::Open(..) => true,
        }
    }

    fn refuse(self, error: AppendError) {
        // Nobody listening is not a fault: the caller gave up.
        match self {
            Self::Append(_, reply) => drop(reply.send(Err(error))),
            Self::Open(_, reply) => drop(reply.send(Err(error))),
        }
    }
}
