//! Appends as the engine makes them, for the tests and the benchmark.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "shared by several targets, none uses all"
)]

use interlock_approval::{Approval, Seen, Settled, Settlement, State, Statement, Verdict};
use interlock_engine::ports::{Append, Effect, Payload, Session, Slot};
use interlock_ledger::entry::{
    ApprovalAction, ApprovalEvent, CallRecord, CallStatus, Entry, Event, OutcomeRecord, OutcomeTiming,
};
use interlock_ledger::samples;
use interlock_model::{ApprovalId, CallId, Commitment, Digest, Mode, Outcome, Tier, UnixMillis};
use interlock_signature::Signature;
use std::sync::Arc;

pub const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

/// Call number `n`.
pub fn call(n: u64) -> CallId {
    let mut entropy = [0; 10];
    entropy[2..].copy_from_slice(&n.to_be_bytes());
    CallId::new(NOW.plus_ms(n), entropy)
}

/// The intent of call `n` with its arguments.
pub fn intent(session: &Arc<Session>, n: u64, arguments: &[u8]) -> Append {
    append_intent(session, record(session, n, arguments), arguments)
}

fn record(session: &Session, n: u64, arguments: &[u8]) -> Box<CallRecord> {
    let mut record = samples::call_record(1);
    record.call = call(n);
    record.session = session.id;
    record.agent.id = session.agent.clone();
    record.agent.owner = session.owner.clone();
    let commitment = session.key.commit("arguments", &[arguments]);
    record.arguments.received = commitment;
    record.arguments.sent = Some(commitment);
    record.arguments.received_bytes = arguments.len() as u64;
    record.arguments.sent_bytes = Some(arguments.len() as u64);
    record
}

fn append_intent(session: &Arc<Session>, record: Box<CallRecord>, arguments: &[u8]) -> Append {
    let entry = Entry::new(NOW, Event::Intent(record));
    let payloads = vec![Payload { slot: Slot::Received, bytes: bytes::Bytes::copy_from_slice(arguments) }];
    Append { session: Some(Arc::clone(session)), payloads, ..Append::entry(&entry).unwrap() }
}

/// The outcome of call `n` with its result.
pub fn outcome(session: &Arc<Session>, n: u64, result: &[u8]) -> Append {
    let record = OutcomeRecord {
        call: call(n),
        code: None,
        labels: Vec::new(),
        result: Some(session.key.commit("result", &[result])),
        result_bytes: Some(result.len() as u64),
        session: session.id,
        status: CallStatus::Ok,
        timing: Some(OutcomeTiming { total_us: 900, upstream_us: 800 }),
    };
    let entry = Entry::new(NOW.plus_ms(n), Event::Outcome(Box::new(record)));
    let payloads = vec![Payload { slot: Slot::Result, bytes: bytes::Bytes::copy_from_slice(result) }];
    Append { session: Some(Arc::clone(session)), payloads, ..Append::entry(&entry).unwrap() }
}

/// A pending approval `n` for calls of `session` whose digest is `n`, thirty-two times.
pub fn pending(session: &Session, n: u8, expires_at: UnixMillis) -> Approval {
    let record = samples::call_record(1);
    let tool = record.tool.unwrap();
    Approval::request(Statement {
        expires_at,
        id: ApprovalId::new(NOW.plus_ms(u64::from(n)), [n; 10]),
        reason: "it deletes".into(),
        requested_at: NOW,
        requester: session.owner.clone(),
        seen: Seen {
            agent: session.agent.clone(),
            call_digest: Commitment([n; 32]),
            definition: Some(tool.definition),
            effects: tool.effects,
            findings: None,
            identity: tool.identity,
            labels: vec![],
            mode: Mode::Enforcing,
            owner: session.owner.clone(),
            policies: vec!["destructive".into()],
            policy: record.policy,
            server: tool.server,
            session: session.id,
            tier: Tier::try_from(2).unwrap(),
            subject: None,
            tool: Some(tool.name),
        },
        v: 1,
    })
}

/// The same, answered with yes.
pub fn approved(approval: &Approval) -> Approval {
    let statement = &approval.statement;
    let settlement = Settlement {
        approval: statement.id,
        at: NOW,
        reason: "ok".into(),
        statement: statement.digest(),
        verdict: Verdict::Approve,
    };
    let settled = Settled { by: "0123456789abcdef".into(), settlement, signature: Signature([1; 64]) };
    Approval { state: State::Approved(settled), ..approval.clone() }
}

/// The entry of a step of `approval`.
pub fn step(approval: &Approval, action: ApprovalAction, effect: Effect) -> Append {
    let statement = &approval.statement;
    let human = matches!(action, ApprovalAction::Approved | ApprovalAction::Denied);
    let event = ApprovalEvent {
        action,
        approval: statement.id,
        by: if human { "0123456789abcdef".into() } else { "engine".into() },
        call_digest: statement.seen.call_digest,
        signature: human.then(|| Signature([1; 64]).to_string()),
        statement: statement.digest(),
        tier: statement.seen.tier,
    };
    let append = Append::entry(&Entry::new(NOW, Event::Approval(event))).unwrap();
    Append { effect, ..append }
}

/// The intent of call `n` that uses up `approval`, which must be approved.
pub fn consuming(session: &Arc<Session>, n: u64, approval: &Approval) -> Append {
    let State::Approved(by) = &approval.state else { panic!("not approved") };
    let used = Approval { state: State::Consumed { call: call(n), by: by.clone() }, ..approval.clone() };
    let mut record = record(session, n, b"{}");
    record.approval = Some(approval.statement.id);
    record.call_digest = approval.statement.seen.call_digest;
    record.decision.outcome = Outcome::StepUp;
    Append { effect: Effect::Consume(Box::new(used)), ..append_intent(session, record, b"{}") }
}

/// The entry with which a daemon starts.
pub fn start() -> Append {
    Append::entry(&samples::start()).unwrap()
}

/// A digest of nothing in particular.
pub fn digest(n: u8) -> Digest {
    Digest([n; 32])
}

/// What a crash would leave of the data directory `from`, in `to`: everything that is written, nothing that
/// is only in memory (the WAL's index is rebuilt from the WAL).
pub fn crash_copy(from: &std::path::Path, to: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir_all(to).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700)).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            crash_copy(&entry.path(), &target);
        } else if entry.file_name() != "ledger.db-shm" {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The usual options, publishing only at open and close.
pub fn options(dir: &std::path::Path) -> interlock_store::StoreOptions {
    let mut options = interlock_store::StoreOptions::new(dir.to_owned(), NOW);
    options.publish_every = std::time::Duration::from_secs(3600);
    options
}
