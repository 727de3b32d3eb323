//! Example entries and a key in memory, for tests here and in the crates above; development only.

#![expect(clippy::unwrap_used, clippy::missing_panics_doc, reason = "fixed values, used by tests only")]

use crate::entry::{
    AgentAction, AgentEvent, AgentRecord, ApprovalAction, ApprovalEvent, ArgumentsRecord, CallRecord, CallStatus,
    CallTiming, CatalogAction, CatalogEvent, DecisionRecord, Entry, Event, OutcomeRecord, OutcomeTiming, PolicyEvent,
    PolicyRecord, SessionAction, SessionEvent, StartEvent, StopEvent, ToolRecord,
};
use ed25519_dalek::{Signer as _, SigningKey};
use interlock_model::{
    ApprovalId, CallId, Code, Commitment, Digest, Effect, Mode, Outcome, SessionId, Tier, UnixMillis,
};
use interlock_signature::{PublicKey, Signature, Signer};

/// An Ed25519 key in memory.
#[derive(Debug)]
pub struct SoftSigner(SigningKey);

impl SoftSigner {
    /// The key whose seed is `seed`, 32 times.
    #[must_use]
    pub fn new(seed: u8) -> Self {
        Self(SigningKey::from_bytes(&[seed; 32]))
    }
}

impl Signer for SoftSigner {
    fn public_key(&self) -> PublicKey {
        PublicKey::from_bytes(self.0.verifying_key().to_bytes())
    }
    fn sign_raw(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

/// The instant `n` seconds into the examples.
#[must_use]
pub const fn at(n: u8) -> UnixMillis {
    UnixMillis(1_800_000_000_000 + 1000 * n as u64)
}

/// Call number `n`.
#[must_use]
pub fn call(n: u8) -> CallId {
    CallId::new(at(0), [n; 10])
}

/// Approval number `n`.
#[must_use]
pub fn approval(n: u8) -> ApprovalId {
    ApprovalId::new(at(0), [n; 10])
}

/// Session number `n`.
#[must_use]
pub fn session(n: u8) -> SessionId {
    SessionId::new(at(0), [n; 10])
}

/// Version `n` of a policy bundle.
#[must_use]
pub fn policy(n: u8) -> PolicyRecord {
    PolicyRecord { digest: Digest([n; 32]), version: u64::from(n) }
}

/// An entry.
#[must_use]
pub const fn entry(seconds: u8, event: Event) -> Entry {
    Entry::new(at(seconds), event)
}

/// The daemon starts.
#[must_use]
pub fn start() -> Entry {
    let event = StartEvent {
        build: "0.1.0".into(),
        catalog: Some(Digest([3; 32])),
        config: Digest([4; 32]),
        mode: Mode::Enforcing,
        operator: "0123456789abcdef".into(),
        policy: Some(policy(1)),
        recovered: 0,
    };
    entry(0, Event::Start(event))
}

/// What an intent or a denial of call `n` records: an allowed call of session 1.
#[must_use]
pub fn call_record(n: u8) -> Box<CallRecord> {
    Box::new(CallRecord {
        agent: AgentRecord {
            credential: "key:0123456789abcdef".into(),
            id: "builder".parse().unwrap(),
            owner: "ada@example.org".parse().unwrap(),
        },
        approval: None,
        arguments: ArgumentsRecord {
            received: Commitment([n; 32]),
            received_bytes: 17,
            sent: Some(Commitment([n; 32])),
            sent_bytes: Some(17),
        },
        call: call(n),
        call_digest: Commitment([100; 32]),
        decision: DecisionRecord {
            code: None,
            outcome: Outcome::Allow,
            policies: vec!["read".into()],
            reason: String::new(),
            tier: None,
        },
        findings: None,
        mode: Mode::Enforcing,
        obligations: vec!["label:internal".into()],
        policy: policy(1),
        requested: None,
        session: session(1),
        subject: None,
        timing: CallTiming { decided_us: 40 },
        tool: Some(ToolRecord {
            definition: Digest([5; 32]),
            effects: [Effect::Read].into_iter().collect(),
            identity: Digest([6; 32]),
            name: "query".parse().unwrap(),
            server: "db".parse().unwrap(),
        }),
    })
}

/// Call `n` is about to be sent.
#[must_use]
pub fn intent(n: u8) -> Entry {
    entry(n, Event::Intent(call_record(n)))
}

/// Call `n` was refused.
#[must_use]
pub fn denial(n: u8) -> Entry {
    let mut record = call_record(n);
    record.arguments.sent = None;
    record.arguments.sent_bytes = None;
    record.decision = DecisionRecord {
        code: Some(Code::PolicyDenied),
        outcome: Outcome::Deny,
        policies: vec!["no-drop".into()],
        reason: "dropping tables isn't allowed: \"never\" \u{2014} über".into(),
        tier: None,
    };
    record.requested = Some("db__drop".into());
    entry(n, Event::Denial(record))
}

/// Call `n` got its result.
#[must_use]
pub fn outcome(n: u8) -> Entry {
    let record = OutcomeRecord {
        call: call(n),
        code: None,
        labels: vec!["internal".into()],
        result: Some(Commitment([n; 32])),
        result_bytes: Some(120),
        session: session(1),
        status: CallStatus::Ok,
        timing: Some(OutcomeTiming { total_us: 900, upstream_us: 800 }),
    };
    entry(n, Event::Outcome(Box::new(record)))
}

/// A step in the life of approval `n`.
#[must_use]
pub fn approval_step(n: u8, action: ApprovalAction) -> Entry {
    let human = matches!(action, ApprovalAction::Approved | ApprovalAction::Denied);
    let event = ApprovalEvent {
        action,
        approval: approval(n),
        by: "0123456789abcdef".into(),
        call_digest: Commitment([100; 32]),
        signature: human.then(|| Signature([7; 64]).to_string()),
        statement: Digest([8; 32]),
        tier: Tier::try_from(2).unwrap(),
    };
    entry(n, Event::Approval(event))
}

/// The first session begins.
#[must_use]
pub fn session_opened() -> Entry {
    let event = SessionEvent {
        action: SessionAction::Opened,
        agent: "builder".parse().unwrap(),
        by: "engine".into(),
        owner: "ada@example.org".parse().unwrap(),
        session: session(1),
    };
    entry(1, Event::Session(event))
}

/// Version `n` of the policy comes into force, or is refused.
#[must_use]
pub fn policy_change(n: u8, activated: bool) -> Entry {
    let reason = if activated { String::new() } else { "the manifest's signature does not verify".into() };
    entry(n, Event::Policy(PolicyEvent { activated, policy: policy(n), reason }))
}

/// The catalog changes.
#[must_use]
pub fn catalog_change(action: CatalogAction) -> Entry {
    let one_tool = matches!(action, CatalogAction::Quarantined | CatalogAction::Released);
    let event = CatalogEvent {
        action,
        by: "gateway".into(),
        catalog: Digest([9; 32]),
        found: one_tool.then_some(Digest([10; 32])),
        pinned: one_tool.then_some(Digest([5; 32])),
        reason: "the description changed".into(),
        serial: 2,
        server: one_tool.then(|| "db".parse().unwrap()),
        tool: one_tool.then(|| "query".parse().unwrap()),
    };
    entry(2, Event::Catalog(event))
}

/// An agent's life changes.
#[must_use]
pub fn agent_change(action: AgentAction) -> Entry {
    let event = AgentEvent {
        action,
        agent: "builder".parse().unwrap(),
        by: "0123456789abcdef".into(),
        key: (action == AgentAction::Added).then(|| "fedcba9876543210".into()),
        owner: "ada@example.org".parse().unwrap(),
    };
    entry(1, Event::Agent(event))
}

/// The daemon stops.
#[must_use]
pub fn stop() -> Entry {
    entry(99, Event::Stop(StopEvent { reason: "asked to".into() }))
}

/// At least one entry of every kind, with members both present and absent.
#[must_use]
pub fn every_kind() -> Vec<Entry> {
    let mut bare_start = start();
    if let Event::Start(event) = &mut bare_start.event {
        event.catalog = None;
        event.policy = None;
        event.mode = Mode::Silent;
    }
    let mut approved = call_record(4);
    approved.approval = Some(approval(1));
    approved.findings = Some(vec!["secret.token".into()]);
    approved.decision.tier = Some(Tier::MAX);
    let mut unknown_tool = call_record(5);
    unknown_tool.tool = None;
    unknown_tool.requested = Some("nö \u{1F512}\u{7}".into());
    let recovered = OutcomeRecord {
        call: call(6),
        code: Some(Code::Internal),
        labels: vec![],
        result: None,
        result_bytes: None,
        session: session(1),
        status: CallStatus::Unknown,
        timing: None,
    };
    vec![
        start(),
        bare_start,
        agent_change(AgentAction::Added),
        agent_change(AgentAction::Suspended),
        agent_change(AgentAction::Resumed),
        agent_change(AgentAction::Retired),
        session_opened(),
        policy_change(2, true),
        policy_change(3, false),
        catalog_change(CatalogAction::Activated),
        catalog_change(CatalogAction::Refused),
        catalog_change(CatalogAction::Quarantined),
        catalog_change(CatalogAction::Released),
        catalog_change(CatalogAction::IdentityRefused),
        approval_step(1, ApprovalAction::Requested),
        approval_step(1, ApprovalAction::Approved),
        approval_step(2, ApprovalAction::Denied),
        approval_step(3, ApprovalAction::Expired),
        approval_step(4, ApprovalAction::Superseded),
        intent(3),
        entry(4, Event::Intent(approved)),
        entry(5, Event::Denial(unknown_tool)),
        denial(7),
        outcome(3),
        entry(6, Event::Outcome(Box::new(recovered))),
        stop(),
    ]
}
