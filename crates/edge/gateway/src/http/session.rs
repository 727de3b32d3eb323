//! Sessions of the legacy revisions: random ids, each bound to who opened it, bounded and short-lived.
//!
//! Possessing an id is not being its owner: every use names the principal again, and another one's id
//! is as unknown as one that never was.

use super::passport::{Passport, random_part};
use crate::flight::Flights;
use crate::side::Shared;
use bytes::Bytes;
use interlock_engine::front::Endpoint;
use interlock_identity::Principal;
use interlock_mcp::Revision;
use interlock_model::{AgentId, Digest, SessionKey, digest};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How many sessions there may be, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct SessionLimits {
    /// Of one principal; one more ends its longest unused one.
    pub per_principal: usize,
    /// In all; one more is refused.
    pub total: usize,
    /// A session that is not used for so long ends.
    pub idle: Duration,
    /// Requests under way at once in one session.
    pub in_flight: usize,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { per_principal: 256, total: 16_384, idle: Duration::from_secs(3600), in_flight: 128 }
    }
}

/// Whose a session is: the agent and the credential it was opened with.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Holder {
    agent: AgentId,
    key: Digest,
    bound: bool,
}

impl Holder {
    /// What tells holders apart: the agent, the credential's digest, and whether it was presented at all.
    pub(super) fn parts(&self) -> (&str, &[u8], bool) {
        (self.agent.as_str(), &self.key.0, self.bound)
    }

    #[cfg(test)]
    pub(super) const fn of(agent: AgentId, key: Digest, bound: bool) -> Self {
        Self { agent, key, bound }
    }

    fn is(&self, principal: &Principal) -> bool {
        self.bound == principal.bound && self.key == principal.agent.key && self.agent == principal.agent.id
    }
}

impl From<&Principal> for Holder {
    fn from(principal: &Principal) -> Self {
        Self { agent: principal.agent.id.clone(), key: principal.agent.key, bound: principal.bound }
    }
}

/// 256 random bits.
pub(super) type Id = [u8; 32];

/// Most ids of sessions that their clients ended which are remembered, so that they are not taken up again.
const MAX_ENDED: usize = 4096;

/// One session.
pub(super) struct Session {
    id: Id,
    /// As clients send it.
    name: Box<str>,
    holder: Holder,
    endpoint: Endpoint,
    pub(super) revision: Revision,
    pub(super) flights: Arc<Flights>,
    /// What the client can do, as it said; empty where it said nothing.
    pub(super) capabilities: Bytes,
    pub(super) shared: Arc<Shared>,
    used_ms: AtomicU64,
    streaming: AtomicBool,
    over: AtomicBool,
    ended: Notify,
}

/// The one event stream of a session; another may open once this is dropped.
pub(super) struct Streaming(Arc<Session>);

/// All sessions of one front.
pub(super) struct Sessions {
    by_id: papaya::HashMap<Id, Arc<Session>>,
    // Only opening and ending take this lock.
    by_holder: Mutex<HashMap<Holder, Vec<Arc<Session>>>>,
    limits: SessionLimits,
    /// Seals ids, where sessions outlive the process.
    key: Option<SessionKey>,
    ended: Mutex<VecDeque<Id>>,
}

/// Why no session was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotOpened {
    Full,
    /// The system gave no random bytes.
    NoEntropy,
}

impl Session {
    /// The id as clients send it: 64 hexadecimal digits, and where sessions outlive the process, what it is.
    pub(super) fn id(&self) -> String {
        self.name.to_string()
    }

    /// The view of the servers that it was opened on.
    pub(super) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) fn touch(&self, now_ms: u64) {
        self.used_ms.store(now_ms, Ordering::Relaxed);
    }

    /// The session's event stream, unless it has one already.
    pub(super) fn stream(self: &Arc<Self>) -> Option<Streaming> {
        (!self.streaming.swap(true, Ordering::AcqRel)).then(|| Streaming(self.clone()))
    }

    /// Ends once the session does.
    pub(super) async fn ended(&self) {
        let ended = self.ended.notified();
        tokio::pin!(ended);
        ended.as_mut().enable();
        if !self.over.load(Ordering::Acquire) {
            ended.await;
        }
    }

    fn end(&self) {
        self.over.store(true, Ordering::Release);
        self.ended.notify_waiters();
        // Not left to the drop: a map without locks keeps what was removed for a while.
        self.shared.subscribed.close();
    }

    fn used(&self) -> u64 {
        self.used_ms.load(Ordering::Relaxed)
    }
}

impl Streaming {
    pub(super) fn session(&self) -> &Session {
        &self.0
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.0.streaming.store(false, Ordering::Release);
    }
}

impl Sessions {
    pub(super) fn new(limits: SessionLimits, key: Option<SessionKey>) -> Self {
        Self { by_id: papaya::HashMap::new(), by_holder: Mutex::default(), limits, key, ended: Mutex::default() }
    }

    /// Opens a session.
    pub(super) fn open(
        &self,
        principal: &Principal,
        endpoint: Endpoint,
        (revision, capabilities): (Revision, Bytes),
        now_ms: u64,
    ) -> Result<Arc<Session>, NotOpened> {
        let mut id = Id::default();
        getrandom::fill(&mut id).map_err(|_| NotOpened::NoEntropy)?;
        let passport = Passport { id, revision, capabilities, opened_s: now_s() };
        self.enter(passport, Holder::from(principal), endpoint, now_ms)
    }

    /// Puts a session among the others: a new one, or one that another process opened.
    fn enter(
        &self,
        passport: Passport,
        holder: Holder,
        endpoint: Endpoint,
        now_ms: u64,
    ) -> Result<Arc<Session>, NotOpened> {
        let name = match &self.key {
            Some(key) => passport.seal(key, &holder, &endpoint),
            None => digest::hex(&passport.id),
        };
        let Passport { id, revision, capabilities, .. } = passport;
        let session = Arc::new(Session {
            id,
            name: name.into(),
            holder: holder.clone(),
            endpoint,
            revision,
            flights: Flights::new(self.limits.in_flight),
            capabilities,
            shared: Arc::default(),
            used_ms: AtomicU64::new(now_ms),
            streaming: AtomicBool::new(false),
            over: AtomicBool::new(false),
            ended: Notify::new(),
        });
        let mut by_holder = self.by_holder.lock().unwrap_or_else(PoisonError::into_inner);
        let theirs = by_holder.entry(holder).or_default();
        if theirs.len() >= self.limits.per_principal {
            let oldest =
                theirs.iter().enumerate().min_by_key(|(_, s)| (!s.flights.is_empty(), s.used())).map(|(at, _)| at);
            if let Some(old) = oldest.map(|at| theirs.swap_remove(at)) {
                self.by_id.pin().remove(&old.id);
                old.end();
            }
        } else if self.by_id.len() >= self.limits.total {
            return Err(NotOpened::Full);
        }
        theirs.push(session.clone());
        self.by_id.pin().insert(id, session.clone());
        Ok(session)
    }

    /// The session called `name`, if it is this principal's at this endpoint; one that another process opened is
    /// taken up.
    pub(super) fn find(
        &self,
        name: &str,
        principal: &Principal,
        endpoint: &Endpoint,
        now_ms: u64,
    ) -> Option<Arc<Session>> {
        let id = random_part(name)?;
        if let Some(session) = self.by_id.pin().get(&id).cloned() {
            return (session.holder.is(principal) && session.endpoint == *endpoint).then_some(session);
        }
        let (key, holder) = (self.key.as_ref()?, Holder::from(principal));
        let passport = Passport::open(key, name, &holder, endpoint, now_s())?;
        if self.ended.lock().unwrap_or_else(PoisonError::into_inner).contains(&id) {
            return None;
        }
        self.enter(passport, holder, endpoint.clone(), now_ms).ok()
    }

    /// Ends a session because its client says so: it is not taken up again.
    pub(super) fn end(&self, session: &Session) {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.len() >= MAX_ENDED {
            ended.pop_front();
        }
        ended.push_back(session.id);
        drop(ended);
        self.remove(session);
    }

    fn remove(&self, session: &Session) {
        let mut by_holder = self.by_holder.lock().unwrap_or_else(PoisonError::into_inner);
        self.by_id.pin().remove(&session.id);
        if let Some(theirs) = by_holder.get_mut(&session.holder) {
            theirs.retain(|other| other.id != session.id);
            if theirs.is_empty() {
                by_holder.remove(&session.holder);
            }
        }
        session.end();
    }

    /// Ends the sessions that have not been used for too long and have nothing under way.
    pub(super) fn sweep(&self, now_ms: u64) {
        let idle = u64::try_from(self.limits.idle.as_millis()).unwrap_or(u64::MAX);
        let stale: Vec<Arc<Session>> = self
            .by_id
            .pin()
            .values()
            .filter(|s| now_ms.saturating_sub(s.used()) > idle && s.flights.is_empty())
            .cloned()
            .collect();
        for session in stale {
            self.remove(&session);
        }
    }
}

/// Seconds since the Unix epoch, for what other processes read.
fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_identity::{Agent, AgentState, BearerKey};
    use interlock_model::UnixMillis;

    fn principal(name: &str, secret: u8, bound: bool) -> Principal {
        let agent = Agent {
            id: name.parse().unwrap(),
            owner: "ada@example.org".parse().unwrap(),
            key: BearerKey::new(&[secret; 32]).digest(),
            state: AgentState::Active,
            purpose: String::new(),
            roles: vec![],
            added: UnixMillis(0),
        };
        Principal { agent: Arc::new(agent), bound }
    }

    fn sessions(per_principal: usize, total: usize) -> Sessions {
        Sessions::new(SessionLimits { per_principal, total, idle: Duration::from_millis(100), in_flight: 1 }, None)
    }

    #[test]
    fn an_id_is_known_to_its_holder_only() {
        let all = sessions(9, 9);
        let mine = principal("builder", 1, true);
        let session = all.open(&mine, Endpoint::All, (Revision::V2025_11_25, Bytes::new()), 0).unwrap();
        let id = session.id();
        assert!(all.find(&id, &mine, &Endpoint::All, 0).is_some());
        for (who, endpoint, id) in [
            (principal("other", 1, true), Endpoint::All, id.clone()),
            (principal("builder", 2, true), Endpoint::All, id.clone()),
            (principal("builder", 1, false), Endpoint::All, id.clone()),
            (mine.clone(), Endpoint::Server("files".parse().unwrap()), id.clone()),
            (mine.clone(), Endpoint::All, id.to_uppercase()),
            (mine.clone(), Endpoint::All, digest::hex(&[0; 32])),
            (mine.clone(), Endpoint::All, String::new()),
        ] {
            assert!(all.find(&id, &who, &endpoint, 0).is_none());
        }
        all.end(&session);
        assert!(all.find(&id, &mine, &Endpoint::All, 0).is_none());
    }

    #[test]
    fn another_process_on_the_same_store_goes_on_with_a_session_and_not_with_an_ended_one() {
        let limits = SessionLimits { per_principal: 9, total: 9, idle: Duration::from_millis(100), in_flight: 1 };
        let process = |key: u8| Sessions::new(limits, Some(SessionKey::new([key; 32])));
        let (one, two, foreign) = (process(1), process(1), process(2));
        let (mine, other) = (principal("builder", 1, true), principal("other", 2, true));
        let able = Bytes::from_static(b"{\"roots\":{}}");
        let session = one.open(&mine, Endpoint::All, (Revision::V2025_06_18, able.clone()), 0).unwrap();
        let id = session.id();
        assert!(foreign.find(&id, &mine, &Endpoint::All, 0).is_none());
        assert!(two.find(&id, &other, &Endpoint::All, 0).is_none());
        let taken = two.find(&id, &mine, &Endpoint::All, 0).unwrap();
        assert_eq!((taken.id(), taken.revision, &taken.capabilities), (id.clone(), Revision::V2025_06_18, &able));
        one.sweep(101);
        assert!(one.find(&id, &mine, &Endpoint::All, 200).is_some(), "unused for long, and still known");
        two.end(&taken);
        assert!(two.find(&id, &mine, &Endpoint::All, 200).is_none());
    }

    #[test]
    fn one_principal_displaces_its_own_and_the_total_is_bounded() {
        let all = sessions(2, 3);
        let open = |who: &Principal, at| all.open(who, Endpoint::All, (Revision::V2025_11_25, Bytes::new()), at);
        let (a, b, c) = (principal("a", 1, true), principal("b", 2, true), principal("c", 3, true));
        let first = open(&a, 5).unwrap();
        let second = open(&a, 3).unwrap();
        let busy = second.flights.start(&interlock_mcp::Id::number(1)).unwrap();
        open(&a, 7).unwrap();
        assert!(all.find(&first.id(), &a, &Endpoint::All, 0).is_none(), "the longest unused one without calls ended");
        assert!(all.find(&second.id(), &a, &Endpoint::All, 0).is_some());
        drop(busy);
        open(&b, 8).unwrap();
        assert_eq!(open(&c, 9).err(), Some(NotOpened::Full));
        assert!(open(&a, 9).is_ok(), "displacing needs no room");
    }

    #[test]
    fn the_unused_expire() {
        let all = sessions(9, 9);
        let who = principal("a", 1, true);
        let old = all.open(&who, Endpoint::All, (Revision::V2025_11_25, Bytes::new()), 0).unwrap();
        let used = all.open(&who, Endpoint::All, (Revision::V2025_11_25, Bytes::new()), 0).unwrap();
        used.touch(90);
        all.sweep(101);
        assert!(all.find(&old.id(), &who, &Endpoint::All, 0).is_none());
        assert!(all.find(&used.id(), &who, &Endpoint::All, 0).is_some());
    }
}
