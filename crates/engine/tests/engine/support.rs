//! Fakes of the ports, small enough to see through.

use bytes::Bytes;
use interlock_approval::{Approval, Settlement, State, Verdict};
use interlock_catalog::{Catalog, Definition, Destination, Lock, LockedServer, LockedTool, ServerIdentity, ToolFacts};
use interlock_engine::front::{Aside, Caller, Deaf, Endpoint, Governed, NoReply};
use interlock_engine::ports::{
    Append, AppendError, Appended, Clock, Effect, Ledger, Outgoing, Session, Upstream, UpstreamFault,
};
use interlock_engine::{Engine, Ports, Settings, World};
use interlock_identity::{Agent, AgentState, BearerKey, Registry};
use interlock_ledger::entry::{CallRecord, Entry, Event};
use interlock_mcp::{Ask, Frame, Offers, Request, Response, Revision};
use interlock_model::json::Limits;
use interlock_model::{
    AgentId, ApprovalId, Commitment, Effect as ToolEffect, Mode, OwnerId, Sensitivity, ServerName, SessionId,
    SessionKey, UnixMillis,
};
use interlock_policy::{Bundle, PolicySnapshot};
use interlock_signature::{Purpose, Signer};
use interlock_testkit::SoftSigner;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

pub const KEY: [u8; 32] = [7; 32];

/// Time that only moves when told to.
#[derive(Clone, Default)]
pub struct FakeClock(Arc<AtomicU64>);

impl FakeClock {
    pub fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::Relaxed);
    }
}

impl Clock for FakeClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(1_800_000_000_000 + self.0.load(Ordering::Relaxed))
    }
    fn monotonic_us(&self) -> u64 {
        self.0.load(Ordering::Relaxed) * 1000
    }
    fn entropy(&self) -> [u8; 10] {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mut out = [0; 10];
        out[2..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
        out
    }
}

/// What the ledger does with appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    Commits,
    /// Queued, never durable until told otherwise.
    Waits,
    Full,
}

#[derive(Default)]
struct LedgerState {
    entries: Vec<Entry>,
    approvals: HashMap<ApprovalId, Approval>,
    sessions: HashMap<(AgentId, OwnerId), Arc<Session>>,
}

#[derive(Clone)]
pub struct FakeLedger {
    state: Arc<Mutex<LedgerState>>,
    pub disk: watch::Sender<Disk>,
}

impl FakeLedger {
    pub fn entries(&self) -> Vec<Entry> {
        self.state.lock().unwrap().entries.clone()
    }
    pub fn kinds(&self) -> Vec<&'static str> {
        self.entries()
            .iter()
            .map(|e| match &e.event {
                Event::Intent(_) => "intent",
                Event::Denial(_) => "denial",
                Event::Outcome(_) => "outcome",
                Event::Approval(_) => "approval",
                Event::Catalog(_) => "catalog",
                _ => "other",
            })
            .collect()
    }
    pub fn statuses(&self) -> Vec<interlock_ledger::entry::CallStatus> {
        self.entries()
            .into_iter()
            .filter_map(|e| match e.event {
                Event::Outcome(outcome) => Some(outcome.status),
                _ => None,
            })
            .collect()
    }
    pub fn approvals(&self) -> Vec<Approval> {
        let mut all: Vec<_> = self.state.lock().unwrap().approvals.values().cloned().collect();
        all.sort_by_key(|a| a.statement.id);
        all
    }
    /// The operator says yes, or no.
    pub fn settle(&self, id: ApprovalId, verdict: Verdict, now: UnixMillis) {
        let operator = SoftSigner::new(1);
        let mut state = self.state.lock().unwrap();
        let approval = state.approvals.remove(&id).unwrap();
        let settlement = Settlement {
            approval: id,
            at: now,
            reason: String::new(),
            statement: approval.statement.digest(),
            verdict,
        };
        let signature = operator.sign(Purpose::ApprovalSettlement, &settlement.to_bytes());
        let settled = approval.settle(settlement, signature, &operator.public_key(), now).unwrap();
        state.approvals.insert(id, settled);
    }
}

fn store(state: &Mutex<LedgerState>, append: &Append, disk: Disk) -> Result<Appended, AppendError> {
    if disk == Disk::Full {
        return Err(AppendError::Closed("disk full".into()));
    }
    let mut state = state.lock().unwrap();
    match append.effect.clone() {
        Effect::None => {}
        Effect::Request(a) => drop(state.approvals.insert(a.statement.id, *a)),
        Effect::Consume(a) => {
            let id = a.statement.id;
            if !matches!(state.approvals.get(&id).map(|a| &a.state), Some(State::Approved(_))) {
                return Err(AppendError::Conflict);
            }
            state.approvals.insert(id, *a);
        }
        Effect::Replace { to, .. } => drop(state.approvals.insert(to.statement.id, *to)),
        Effect::RaiseLabels(labels) => {
            let have = &append.session.as_ref().unwrap().labels;
            if !have.load().iter().all(|label| labels.contains(label)) {
                return Err(AppendError::Conflict);
            }
            have.store(Arc::new(labels));
        }
    }
    state.entries.push(Entry::from_bytes(&append.entry).unwrap());
    Ok(Appended { index: state.entries.len() as u64 - 1 })
}

impl Ledger for FakeLedger {
    fn append(&self, append: Append) -> impl Future<Output = Result<Appended, AppendError>> + Send + use<> {
        let mut disk = self.disk.subscribe();
        let state = self.state.clone();
        let now = *disk.borrow();
        // Queued when this returns, whether or not anyone waits; stored at once unless the disk is slow.
        let stored = (now != Disk::Waits).then(|| store(&state, &append, now));
        let task = stored.is_none().then(|| {
            tokio::spawn(async move {
                let now = *disk.wait_for(|d| *d != Disk::Waits).await.map_err(|_| AppendError::Unconfirmed)?;
                store(&state, &append, now)
            })
        });
        async move {
            match (stored, task) {
                (Some(stored), _) => stored,
                (None, Some(task)) => task.await.unwrap_or(Err(AppendError::Unconfirmed)),
                (None, None) => Err(AppendError::Unconfirmed),
            }
        }
    }

    async fn session(&self, agent: &AgentId, owner: &OwnerId, now: UnixMillis) -> Result<Arc<Session>, AppendError> {
        let mut state = self.state.lock().unwrap();
        let key = (agent.clone(), owner.clone());
        Ok(state
            .sessions
            .entry(key)
            .or_insert_with(|| {
                Arc::new(Session {
                    id: SessionId::new(now, [3; 10]),
                    agent: agent.clone(),
                    owner: owner.clone(),
                    key: SessionKey::new([4; 32]),
                    labels: Default::default(),
                    calls: Default::default(),
                })
            })
            .clone())
    }

    fn approval_for(&self, call_digest: &Commitment) -> Option<Arc<Approval>> {
        let state = self.state.lock().unwrap();
        let mut of_call: Vec<_> = state
            .approvals
            .values()
            .filter(|a| a.statement.seen.call_digest == *call_digest)
            .filter(|a| !matches!(a.state, State::Consumed { .. } | State::Superseded))
            .collect();
        of_call.sort_by_key(|a| a.statement.id);
        of_call.pop().cloned().map(Arc::new)
    }

    async fn approval(&self, id: ApprovalId) -> Result<Option<Arc<Approval>>, AppendError> {
        Ok(self.state.lock().unwrap().approvals.get(&id).cloned().map(Arc::new))
    }
}

/// Answers every call with `answer`, once `open`.
#[derive(Clone)]
pub struct FakeUpstream {
    pub sent: Arc<Mutex<Vec<Outgoing>>>,
    pub answer: Arc<Mutex<Result<String, UpstreamFault>>>,
    pub open: watch::Sender<bool>,
    /// Asked before the answer: whole requests.
    pub asks: Arc<Mutex<Vec<String>>>,
    /// What came of them.
    pub replies: Arc<Mutex<Vec<Result<String, NoReply>>>>,
}

impl FakeUpstream {
    pub fn calls(&self) -> usize {
        self.sent.lock().unwrap().len()
    }
}

impl Upstream for FakeUpstream {
    async fn settled(&self, _: &ServerName) -> Result<(), UpstreamFault> {
        Ok(())
    }
    fn offers(&self, _: &ServerName) -> Offers {
        Offers { tools: true, prompts: true, resources: true, logging: true, ..Offers::default() }
    }

    async fn forward(&self, call: Outgoing, aside: &dyn Aside) -> Result<Response, UpstreamFault> {
        self.sent.lock().unwrap().push(call);
        let asks = self.asks.lock().unwrap().clone();
        for text in asks {
            let Ok(Frame::Request(question)) = Frame::parse(Bytes::from(text), Limits::RESULT) else { panic!() };
            let reply = aside.ask(question).await;
            let reply = reply.map(|reply| String::from_utf8_lossy(reply.result().unwrap().raw()).into_owned());
            self.replies.lock().unwrap().push(reply);
        }
        let mut open = self.open.subscribe();
        open.wait_for(|open| *open).await.unwrap();
        let text = self.answer.lock().unwrap().clone()?;
        match Frame::parse(Bytes::from(text), Limits::RESULT) {
            Ok(Frame::Response(response)) => Ok(response),
            other => panic!("the fake's answer is no response: {other:?}"),
        }
    }
}

pub struct Fakes;
impl Ports for Fakes {
    type Clock = FakeClock;
    type Ledger = FakeLedger;
    type Upstream = FakeUpstream;
}

/// An engine over fakes, and handles to them.
pub struct Bench {
    pub engine: Arc<Engine<Fakes>>,
    pub clock: FakeClock,
    pub ledger: FakeLedger,
    pub upstream: FakeUpstream,
}

pub const POLICY: &str = r#"
@id("reads") permit (principal, action in Interlock::Action::"call", resource) when { resource.effects.contains("read") };
@id("writes") @label("touched") permit (principal, action in Interlock::Action::"call", resource) when { resource.effects.contains("write") };
@id("wipes") @step_up("2") @reason("it deletes data") forbid (principal, action in Interlock::Action::"call", resource) when { resource.effects.contains("destructive") };
@id("wipes-may") permit (principal, action in Interlock::Action::"call", resource) when { resource.effects.contains("destructive") };
@id("never") @reason("never this") forbid (principal, action == Interlock::Action::"db/write", resource) when { context.args.id == "forbidden" };
"#;

pub fn catalog() -> Catalog {
    let tool = |name: &str, effect: ToolEffect| {
        let raw = format!(
            r#"{{"name":"{name}","description":"approved text","inputSchema":{{"type":"object","properties":{{"id":{{"type":"string","x-mcp-header":"Row"}}}},"required":["id"]}},"x-unknown":[1.10]}}"#
        );
        let definition = Definition::parse(raw.as_bytes()).unwrap();
        let facts = ToolFacts {
            effects: [effect].into_iter().collect(),
            destination: Destination::Local,
            sensitivity: Sensitivity::Internal,
            confirmed: true,
        };
        let locked = LockedTool {
            approved_at: UnixMillis(1),
            approved_by: "ada@example.org".parse().unwrap(),
            digest: definition.digest(),
            exceptions: vec![],
            facts,
            definition,
        };
        (locked.definition.name().clone(), locked)
    };
    let tools = BTreeMap::from([
        tool("read", ToolEffect::Read),
        tool("write", ToolEffect::Write),
        tool("wipe", ToolEffect::Destructive),
    ]);
    let identity = ServerIdentity::Http { url: "http://127.0.0.1:1/mcp".into(), key_pins: vec![] };
    let lock = Lock {
        serial: 1,
        servers: BTreeMap::from([("db".parse().unwrap(), LockedServer { identity, tools })]),
        signature: None,
    };
    let operator = SoftSigner::new(1);
    let verified = lock.sign(&operator).verify(&operator.public_key()).unwrap();
    Catalog::from_lock(&verified, 0).unwrap()
}

pub fn policy(catalog: &Catalog, text: &str) -> Arc<PolicySnapshot> {
    let bundle = Bundle::parse_text(text.as_bytes()).unwrap();
    Arc::new(PolicySnapshot::new(&bundle, catalog.tools()).unwrap().0)
}

pub fn settings(mode: Mode) -> Arc<Settings> {
    Arc::new(Settings {
        mode,
        environment: "test".into(),
        allow_unbound: false,
        call_timeout_ms: 1000,
        approval_ttl_ms: 60_000,
        max_in_flight: 4,
    })
}

pub fn agent(state: AgentState) -> Agent {
    Agent {
        id: "builder".parse().unwrap(),
        owner: "ada@example.org".parse().unwrap(),
        key: BearerKey::new(&KEY).digest(),
        state,
        purpose: String::new(),
        roles: vec![],
        added: UnixMillis(0),
    }
}

impl Bench {
    pub fn new(mode: Mode) -> Self {
        let clock = FakeClock::default();
        let ledger = FakeLedger { state: Arc::default(), disk: watch::channel(Disk::Commits).0 };
        let upstream = FakeUpstream {
            sent: Arc::default(),
            answer: Arc::new(Mutex::new(Ok(
                r#"{"jsonrpc":"2.0","id":9,"result":{"content":[],"x":1.10},"y":null}"#.into()
            ))),
            open: watch::channel(true).0,
            asks: Arc::default(),
            replies: Arc::default(),
        };
        let catalog = Arc::new(catalog());
        let policy = policy(&catalog, POLICY);
        let registry = Arc::new(Registry::new([agent(AgentState::Active)]));
        let world = World::closed(catalog, registry, settings(mode)).with_policy(policy);
        let engine = Arc::new(Engine::new(clock.clone(), ledger.clone(), upstream.clone(), world).unwrap());
        Self { engine, clock, ledger, upstream }
    }

    pub fn caller(&self, revision: Revision) -> Caller {
        let principal = self.engine.identify(Some(BearerKey::new(&KEY).danger_reveal())).unwrap();
        Caller {
            principal,
            endpoint: Endpoint::All,
            revision,
            capabilities: Bytes::new(),
            log_level: None,
            trace: None,
            received_us: 0,
        }
    }

    pub async fn call(&self, tool: &str, id: &str) -> serde_json::Value {
        self.ask_as(self.caller(Revision::V2025_11_25), Ask::Call, request(tool, id), &Deaf).await
    }

    pub async fn ask_as(&self, caller: Caller, ask: Ask, request: Request, aside: &dyn Aside) -> serde_json::Value {
        serde_json::from_slice(&self.engine.ask(caller, ask, request, aside).await.message).unwrap()
    }

    /// What the server answers from now on.
    pub fn answers(&self, members: &str) {
        *self.upstream.answer.lock().unwrap() = Ok(format!(r#"{{"jsonrpc":"2.0","id":1,{members}}}"#));
    }

    pub fn policy(&self, text: &str) {
        let catalog = self.engine.world().catalog.clone();
        let snapshot = policy(&catalog, text);
        self.engine.change_world(|w| w.clone().with_policy(snapshot.clone()));
    }
}

pub fn request(tool: &str, id: &str) -> Request {
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":"me","method":"tools/call","params":{{"name":"db__{tool}","arguments":{{"id":"{id}"}},"more":1.10}}}}"#
    );
    match Frame::parse(Bytes::from(text), Limits::REQUEST) {
        Ok(Frame::Request(request)) => request,
        other => panic!("no request: {other:?}"),
    }
}

/// A call on an engine that the task owns, for spawning.
pub trait CallOwned {
    fn call_tool_owned(self, caller: Caller, request: Request) -> impl Future<Output = Bytes> + Send + 'static;
}

impl CallOwned for Arc<Engine<Fakes>> {
    async fn call_tool_owned(self, caller: Caller, request: Request) -> Bytes {
        self.ask(caller, Ask::Call, request, &Deaf).await.message
    }
}

/// The refusal's code, or `None` for an answer of the server's.
pub fn code(answer: &serde_json::Value) -> Option<&str> {
    answer["result"]["structuredContent"]["code"].as_str().or_else(|| answer["error"]["data"]["code"].as_str())
}

/// What the ledger has of calls: whether each went ahead, and its record.
pub fn records(bench: &Bench) -> Vec<(&'static str, Box<CallRecord>)> {
    let events = bench.ledger.entries().into_iter().map(|entry| entry.event);
    events
        .filter_map(|event| match event {
            Event::Intent(record) => Some(("intent", record)),
            Event::Denial(record) => Some(("denial", record)),
            _ => None,
        })
        .collect()
}
