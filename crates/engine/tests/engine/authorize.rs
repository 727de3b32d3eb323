//! Decisions for callers that act themselves: the same as for a call, recorded, and nothing is sent.

use crate::support::{Bench, Disk, code, policy, records};
use bytes::Bytes;
use interlock_approval::{State, Verdict as Answer};
use interlock_engine::authorize::{Authorizes, Verdict};
use interlock_engine::front::{Caller, Endpoint};
use interlock_engine::ports::Clock;
use interlock_engine::{Quarantine, World};
use interlock_ledger::entry::{CallStatus, Event};
use interlock_mcp::{Ask, Frame, Request, Revision};
use interlock_model::json::Limits;
use interlock_model::{Code, Digest, Mode, Outcome};
use std::sync::Arc;
use std::time::Duration;

fn request(tool: &str, id: &str) -> Request {
    request_with(tool, &format!(r#"{{"id":"{id}"}}"#))
}

fn request_with(tool: &str, arguments: &str) -> Request {
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
    );
    match Frame::parse(Bytes::from(text), Limits::REQUEST) {
        Ok(Frame::Request(request)) => request,
        other => panic!("no request: {other:?}"),
    }
}

fn caller(bench: &Bench) -> Caller {
    Caller { endpoint: Endpoint::Server("db".parse().unwrap()), ..bench.caller(Revision::NEWEST_LEGACY) }
}

async fn authorize(bench: &Bench, tool: &str, id: &str) -> Verdict {
    bench.engine.authorize(caller(bench), Ask::Call, request(tool, id)).await
}

#[tokio::test]
async fn a_permission_is_recorded_as_what_it_is_and_nothing_is_sent() {
    let bench = Bench::new(Mode::Enforcing);
    let verdict = authorize(&bench, "write", "7").await;
    assert!(verdict.permitted, "{verdict:?}");
    assert_eq!((verdict.outcome, verdict.code, verdict.policies), (Outcome::Allow, None, vec!["writes".to_owned()]));
    assert_eq!(verdict.obligations, ["label:touched"]);
    assert_eq!(bench.upstream.calls(), 0);
    assert_eq!(bench.ledger.kinds(), ["intent", "outcome"]);
    assert_eq!(bench.ledger.statuses(), [CallStatus::Answered]);
    let [(_, intent)] = records(&bench).try_into().unwrap();
    assert_eq!(Some(intent.call), verdict.call);
    assert_eq!((intent.arguments.received_bytes, intent.arguments.sent), (10, None), "it announces nothing of ours");
    // What the caller does puts the same data before the agent as a call would.
    let entries = bench.ledger.entries();
    let Event::Outcome(outcome) = &entries[1].event else { panic!("{entries:?}") };
    assert_eq!((outcome.labels.as_slice(), outcome.result, outcome.code), (&["touched".to_owned()][..], None, None));
}

#[tokio::test]
async fn a_refusal_is_the_refusal_of_a_call() {
    let unfit = request_with("read", r#"{"id":7}"#);
    for (asked, expected, policies) in [
        (request("write", "forbidden"), Code::PolicyDenied, &["never"][..]),
        (request("nothing", "1"), Code::UnknownTool, &[]),
        (unfit, Code::InvalidArguments, &[]),
    ] {
        let bench = Bench::new(Mode::Enforcing);
        let verdict = bench.engine.authorize(caller(&bench), Ask::Call, asked).await;
        assert_eq!((verdict.permitted, verdict.code, verdict.outcome), (false, Some(expected), Outcome::Deny));
        assert_eq!(verdict.policies, policies);
        let [(kind, denial)] = records(&bench).try_into().unwrap();
        assert_eq!((kind, Some(denial.call)), ("denial", verdict.call));
        assert_eq!(bench.upstream.calls(), 0);
    }
}

#[tokio::test]
async fn what_may_not_be_listed_does_not_exist() {
    let bench = Bench::new(Mode::Enforcing);
    bench.policy(r#"@id("reads") permit (principal, action, resource == Interlock::Tool::"db/read");"#);
    let strip = |verdict: Verdict| Verdict { call: None, ..verdict };
    let (hidden, absent) = (authorize(&bench, "wipe", "1").await, authorize(&bench, "absent", "1").await);
    assert!(hidden.call.is_some() && absent.call.is_some());
    assert_eq!(strip(hidden), strip(absent));
    let list = |tool: &str| bench.engine.may_list(&caller(&bench), Ask::Call, &request(tool, "1"));
    assert!(list("read").permitted);
    assert_eq!(list("wipe"), list("absent"));
    assert_eq!(list("wipe").code, Some(Code::UnknownTool));
    assert_eq!(records(&bench).len(), 2, "a list makes no entry");

    let quarantine = Quarantine { found: Some(Digest([1; 32])), reason: "changed".into() };
    bench.engine.change_world(|world| {
        let mut quarantined = world.quarantined.clone();
        quarantined.insert("db__read".into(), quarantine.clone());
        World { quarantined, ..world.clone() }
    });
    assert!(!list("read").permitted);
    assert_eq!(authorize(&bench, "read", "1").await.code, Some(Code::ToolQuarantined));
}

#[tokio::test]
async fn an_approval_is_used_by_the_question_that_is_answered_with_yes() {
    for mode in [Mode::Enforcing, Mode::Advisory] {
        let bench = Bench::new(mode);
        let asked = authorize(&bench, "wipe", "1").await;
        assert_eq!(
            (asked.permitted, asked.outcome, asked.code),
            (false, Outcome::StepUp, Some(Code::ApprovalRequired))
        );
        let id = asked.approval.unwrap();
        assert_eq!(asked.tier.unwrap().get(), 2);
        assert_eq!(authorize(&bench, "wipe", "1").await.approval, Some(id), "asked again, it is the same one");

        bench.ledger.settle(id, Answer::Approve, bench.clock.now());
        assert_eq!(authorize(&bench, "wipe", "2").await.code, Some(Code::ApprovalRequired), "another action");
        let granted = authorize(&bench, "wipe", "1").await;
        assert!(granted.permitted, "{granted:?}");
        assert_eq!((granted.approval, granted.mode), (Some(id), mode));
        let used = bench.ledger.approvals().into_iter().find(|a| a.statement.id == id).unwrap();
        assert!(matches!(used.state, State::Consumed { call, .. } if Some(call) == granted.call), "{used:?}");
        let again = authorize(&bench, "wipe", "1").await;
        assert_eq!((again.permitted, again.code), (false, Some(Code::ApprovalRequired)));
        assert_ne!(again.approval, Some(id));
        assert_eq!(bench.upstream.calls(), 0);
    }
}

#[tokio::test]
async fn one_yes_is_for_one_action_however_it_is_done() {
    let bench = Bench::new(Mode::Enforcing);
    let id = authorize(&bench, "wipe", "1").await.approval.unwrap();
    bench.ledger.settle(id, Answer::Approve, bench.clock.now());
    assert_eq!(code(&bench.call("wipe", "1").await), None, "made through the gateway");
    assert_eq!(authorize(&bench, "wipe", "1").await.code, Some(Code::ApprovalRequired), "and so not elsewhere as well");
}

#[tokio::test]
async fn a_no_of_the_human_is_told() {
    let bench = Bench::new(Mode::Enforcing);
    let id = authorize(&bench, "wipe", "1").await.approval.unwrap();
    bench.ledger.settle(id, Answer::Deny, bench.clock.now());
    let verdict = authorize(&bench, "wipe", "1").await;
    assert_eq!((verdict.permitted, verdict.code, verdict.outcome), (false, Some(Code::ApprovalDenied), Outcome::Deny));
}

#[tokio::test]
async fn the_mode_does_not_change_the_verdict() {
    for mode in [Mode::Advisory, Mode::Silent] {
        let bench = Bench::new(mode);
        let verdict = authorize(&bench, "write", "forbidden").await;
        assert_eq!((verdict.permitted, verdict.code, verdict.mode), (false, Some(Code::PolicyDenied), mode));
        let [(kind, denial)] = records(&bench).try_into().unwrap();
        assert_eq!((kind, denial.mode), ("denial", mode));
        assert!(authorize(&bench, "read", "1").await.permitted);
        assert_eq!(code(&bench.call("write", "forbidden").await), None, "through the gateway the mode counts");
    }
}

#[tokio::test]
async fn nothing_is_permitted_that_is_not_recorded() {
    let bench = Bench::new(Mode::Enforcing);
    bench.ledger.disk.send_replace(Disk::Full);
    for tool in ["read", "write", "absent"] {
        let verdict = authorize(&bench, tool, "1").await;
        assert_eq!((verdict.permitted, verdict.code, verdict.call), (false, Some(Code::NotRecorded), None));
        assert!(verdict.is_failure());
    }
    // A read of ours may overtake its entry; the permission for one may not.
    bench.ledger.disk.send_replace(Disk::Waits);
    let (engine, who) = (bench.engine.clone(), caller(&bench));
    let asking = tokio::spawn(async move { engine.authorize(who, Ask::Call, request("read", "1")).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(!asking.is_finished());
    bench.ledger.disk.send_replace(Disk::Commits);
    assert!(asking.await.unwrap().permitted);
}

#[tokio::test]
async fn a_caller_that_leaves_before_the_answer_was_told_nothing() {
    let bench = Bench::new(Mode::Enforcing);
    bench.ledger.disk.send_replace(Disk::Waits);
    let (engine, who) = (bench.engine.clone(), caller(&bench));
    let asking = tokio::spawn(async move { engine.authorize(who, Ask::Call, request("write", "1")).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    asking.abort();
    assert!(asking.await.is_err());
    bench.ledger.disk.send_replace(Disk::Commits);
    tokio::time::timeout(Duration::from_secs(5), async {
        while bench.ledger.statuses().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(bench.ledger.statuses(), [CallStatus::NotSent]);
}

#[tokio::test]
async fn too_many_at_once_are_told_so_and_without_a_policy_nothing_is_ready() {
    let bench = Bench::new(Mode::Enforcing);
    assert_eq!(bench.engine.ready(), Ok(()));
    bench.ledger.disk.send_replace(Disk::Waits);
    let asking: Vec<_> = (0..4)
        .map(|_| {
            let (engine, who) = (bench.engine.clone(), caller(&bench));
            tokio::spawn(async move { engine.authorize(who, Ask::Call, request("write", "1")).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let verdict = authorize(&bench, "read", "1").await;
    assert_eq!((verdict.permitted, verdict.code, verdict.call), (false, Some(Code::Overloaded), None));
    bench.ledger.disk.send_replace(Disk::Commits);
    for asked in asking {
        assert!(asked.await.unwrap().permitted);
    }
    let world = bench.engine.world();
    let closed = World::closed(world.catalog.clone(), world.registry.clone(), world.settings.clone());
    bench.engine.change_world(|_| closed.clone());
    assert!(bench.engine.ready().is_err());
    assert_eq!(authorize(&bench, "read", "1").await.code, Some(Code::PolicyError));
    let restored = policy(&world.catalog, crate::support::POLICY);
    bench.engine.change_world(|world| world.clone().with_policy(Arc::clone(&restored)));
    assert_eq!(bench.engine.ready(), Ok(()));
}
