//! What callers read without waiting: open sessions, live approvals, payload keys. Changed only by the
//! writer, and only after the change is durable.

use crate::vault::PayloadKey;
use interlock_approval::{Approval, State};
use interlock_engine::ports::Session;
use interlock_model::{AgentId, ApprovalId, Commitment, OwnerId, SessionId, UnixMillis};
use papaya::HashMap;
use std::sync::Arc;

/// How long a denied or expired approval is remembered after it lapsed, so that a call retried soon
/// after learns what happened instead of asking anew.
const REMEMBERED_MS: u64 = 15 * 60 * 1000;

/// Sessions, approvals and keys.
#[derive(Default)]
pub(crate) struct Memory {
    sessions: HashMap<(AgentId, OwnerId), Arc<Session>>,
    payload_keys: HashMap<SessionId, Arc<PayloadKey>>,
    by_call: HashMap<Commitment, Arc<Approval>>,
    by_id: HashMap<ApprovalId, Arc<Approval>>,
}

impl Memory {
    /// The open session of these two, if it is loaded.
    pub(crate) fn session(&self, agent: &AgentId, owner: &OwnerId) -> Option<Arc<Session>> {
        self.sessions.pin().get(&(agent.clone(), owner.clone())).cloned()
    }

    pub(crate) fn put_session(&self, session: Arc<Session>) {
        self.sessions.pin().insert((session.agent.clone(), session.owner.clone()), session);
    }

    /// Forgets a session that ended, unless another took its place.
    pub(crate) fn end_session(&self, id: SessionId, agent: &AgentId, owner: &OwnerId) {
        let key = (agent.clone(), owner.clone());
        let _ = self.sessions.pin().remove_if(&key, |_, session| session.id == id);
        self.payload_keys.pin().remove(&id);
    }

    /// The payload key of a session, expanded at its first use.
    pub(crate) fn payload_key(&self, session: &Session) -> Arc<PayloadKey> {
        let keys = self.payload_keys.pin();
        if let Some(key) = keys.get(&session.id) {
            return Arc::clone(key);
        }
        let key = Arc::new(PayloadKey::of(&session.key));
        keys.insert(session.id, Arc::clone(&key));
        key
    }

    /// The newest approval for this call that can still be spoken of.
    pub(crate) fn approval_for(&self, call: &Commitment) -> Option<Arc<Approval>> {
        self.by_call.pin().get(call).cloned()
    }

    pub(crate) fn approval(&self, id: ApprovalId) -> Option<Arc<Approval>> {
        self.by_id.pin().get(&id).cloned()
    }

    /// Takes in an approval as it now is.
    pub(crate) fn put_approval(&self, approval: Arc<Approval>) {
        let (id, call) = (approval.statement.id, approval.statement.seen.call_digest);
        let (by_call, by_id) = (self.by_call.pin(), self.by_id.pin());
        match approval.state {
            State::Consumed { .. } | State::Superseded => {
                by_id.remove(&id);
                let _ = by_call.remove_if(&call, |_, known| known.statement.id == id);
            }
            State::Pending | State::Approved(_) | State::Denied(_) | State::Expired => {
                // Ids sort by time; an older approval for the same call does not hide a newer one.
                if by_call.get(&call).is_none_or(|known| known.statement.id <= id) {
                    by_call.insert(call, Arc::clone(&approval));
                }
                by_id.insert(id, approval);
            }
        }
    }

    /// Approvals that nobody answered or used in time; and forgets those that lapsed long ago.
    pub(crate) fn due(&self, now: UnixMillis) -> Vec<Arc<Approval>> {
        let (by_call, by_id) = (self.by_call.pin(), self.by_id.pin());
        let mut due = Vec::new();
        for (id, approval) in &by_id {
            let lapsed = approval.statement.expires_at;
            match approval.state {
                State::Pending | State::Approved(_) if now >= lapsed => due.push(Arc::clone(approval)),
                State::Denied(_) | State::Expired if now >= remembered_until(lapsed) => {
                    by_id.remove(id);
                    let call = approval.statement.seen.call_digest;
                    let _ = by_call.remove_if(&call, |_, known| known.statement.id == *id);
                }
                _ => {}
            }
        }
        due
    }

    /// Approvals that wait for an answer or for their call, the oldest first.
    pub(crate) fn open_approvals(&self) -> Vec<Arc<Approval>> {
        let by_id = self.by_id.pin();
        let open = by_id.values().filter(|a| matches!(a.state, State::Pending | State::Approved(_)));
        let mut open: Vec<_> = open.cloned().collect();
        open.sort_by_key(|a| a.statement.id);
        open
    }
}

/// Until when an approval that lapsed at `expires_at` is kept in memory.
pub(crate) const fn remembered_until(expires_at: UnixMillis) -> UnixMillis {
    expires_at.plus_ms(REMEMBERED_MS)
}
