//! The path of a call over fakes: each invariant of the design that the engine keeps has a test here that names it.

use crate::support::{Bench, CallOwned, Disk, agent, code, request, settings};
use interlock_approval::Verdict;
use interlock_catalog::{Drift, DriftKind};
use interlock_engine::World;
use interlock_engine::front::{Deaf, Governed};
use interlock_engine::ports::{Clock, UpstreamFault};
use interlock_identity::{AgentState, Registry};
use interlock_ledger::entry::{CallStatus, Event};
use interlock_mcp::{Ask, Revision};
use interlock_model::{Code, Mode, Outcome};
use std::sync::Arc;
use std::time::Duration;

async fn settle_tasks() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

#[tokio::test]
async fn an_allowed_call_is_recorded_sent_as_it_came_and_answered_as_it_came() {
    let bench = Bench::new(Mode::Enforcing);
    let answer =
        bench.engine.ask(bench.caller(Revision::V2025_11_25), Ask::Call, request("write", "1"), &Deaf).await.message;
    assert_eq!(answer, r#"{"jsonrpc":"2.0","id":"me","result":{"content":[],"x":1.10},"y":null}"#);
    assert_eq!(bench.ledger.kinds(), ["intent", "outcome"]);
    let sent = bench.upstream.sent.lock().unwrap();
    assert_eq!(sent[0].request.bytes(), request("write", "1").bytes());
    assert_eq!(sent[0].name.as_ref().map(|(_, name)| &**name), Some("write"));
    assert!(sent[0].arguments.is_none());
}

#[tokio::test]
async fn a_modern_client_gets_a_result_type() {
    let bench = Bench::new(Mode::Enforcing);
    let answer =
        bench.engine.ask(bench.caller(Revision::V2026_07_28), Ask::Call, request("read", "1"), &Deaf).await.message;
    assert_eq!(
        answer,
        r#"{"jsonrpc":"2.0","id":"me","result":{"resultType":"complete","content":[],"x":1.10},"y":null}"#
    );
}

#[tokio::test]
async fn invariant_1_nothing_with_an_effect_is_sent_before_its_intent_is_durable() {
    let bench = Bench::new(Mode::Enforcing);
    bench.ledger.disk.send_replace(Disk::Waits);
    let engine = bench.engine.clone();
    let call = tokio::spawn(engine.call_tool_owned(bench.caller(Revision::V2025_11_25), request("write", "1")));
    settle_tasks().await;
    assert_eq!(bench.upstream.calls(), 0);
    bench.ledger.disk.send_replace(Disk::Commits);
    call.await.unwrap();
    assert_eq!(bench.upstream.calls(), 1);
    assert_eq!(bench.ledger.kinds(), ["intent", "outcome"]);
}

#[tokio::test]
async fn invariant_1_a_read_may_run_meanwhile_but_its_result_waits() {
    let bench = Bench::new(Mode::Enforcing);
    bench.ledger.disk.send_replace(Disk::Waits);
    let engine = bench.engine.clone();
    let call = tokio::spawn(engine.call_tool_owned(bench.caller(Revision::V2025_11_25), request("read", "1")));
    settle_tasks().await;
    assert_eq!(bench.upstream.calls(), 1);
    assert!(!call.is_finished());
    bench.ledger.disk.send_replace(Disk::Commits);
    call.await.unwrap();
    assert_eq!(bench.ledger.kinds(), ["intent", "outcome"]);
}

#[tokio::test]
async fn invariant_3_a_full_disk_refuses_and_releases_nothing() {
    for (tool, forwarded) in [("write", 0), ("read", 1)] {
        let bench = Bench::new(Mode::Enforcing);
        bench.ledger.disk.send_replace(Disk::Full);
        let answer = bench.call(tool, "1").await;
        assert_eq!(code(&answer), Some("not_recorded"), "{tool}");
        assert!(!answer.to_string().contains("1.1"), "the server's result was released: {answer}");
        assert_eq!(bench.upstream.calls(), forwarded, "{tool}");
    }
}

#[tokio::test]
async fn invariant_3_what_cannot_be_judged_is_denied() {
    let bench = Bench::new(Mode::Enforcing);
    // Overflow is an evaluation error; Cedar alone would skip the forbid and let the call through.
    bench.policy(
        r#"@id("all") permit (principal, action, resource);
           @id("broken") forbid (principal, action in Interlock::Action::"call", resource) when { 9223372036854775807 + context.time.hour > 0 };"#,
    );
    bench.clock.advance(3_600_000 * 5);
    assert_eq!(code(&bench.call("write", "1").await), Some("policy_error"));
    bench.engine.change_world(|w| World::closed(w.catalog.clone(), w.registry.clone(), w.settings.clone()));
    assert_eq!(code(&bench.call("write", "1").await), Some("policy_error"));
    assert_eq!(bench.upstream.calls(), 0);
    assert_eq!(bench.ledger.kinds(), ["denial", "denial"]);
}

#[tokio::test]
async fn invariant_3_other_modes_forward_what_policy_denies_and_nothing_else() {
    for mode in [Mode::Advisory, Mode::Silent] {
        let bench = Bench::new(mode);
        let answer = bench.call("write", "forbidden").await;
        assert_eq!(bench.upstream.calls(), 1, "{mode}");
        assert_eq!(
            answer["result"]["_meta"]["interlock/advisory"]["code"].as_str(),
            (mode == Mode::Advisory).then_some("policy_denied")
        );
        let entries = bench.ledger.entries();
        let Event::Intent(intent) = &entries[0].event else { panic!("no intent") };
        assert_eq!((intent.decision.outcome, intent.mode), (Outcome::Deny, mode));
        assert_eq!(intent.decision.policies, ["never"]);
        // Unknown to the catalog, and unrecorded: never.
        assert_eq!(code(&bench.call("nothing", "1").await), Some("unknown_tool"));
        bench.ledger.disk.send_replace(Disk::Full);
        assert_eq!(code(&bench.call("write", "1").await), Some("not_recorded"));
        bench.ledger.disk.send_replace(Disk::Commits);
        // Not active any more: never.
        let caller = bench.caller(Revision::V2025_11_25);
        let suspended = Arc::new(Registry::new([agent(AgentState::Suspended)]));
        bench.engine.change_world(|w| World { registry: suspended.clone(), ..w.clone() });
        let answer = bench.engine.ask(caller, Ask::Call, request("write", "1"), &Deaf).await.message;
        assert!(String::from_utf8_lossy(&answer).contains("agent_not_active"));
        assert_eq!(bench.upstream.calls(), 1, "{mode}");
    }
}

#[tokio::test]
async fn invariant_4_drift_sets_that_tool_aside_and_no_other() {
    let bench = Bench::new(Mode::Enforcing);
    let server = "db".parse().unwrap();
    let changed = Drift { tool: Some("write".parse().unwrap()), kind: DriftKind::Missing };
    bench.engine.apply_drift(&server, &[changed]).await.unwrap();
    assert_eq!(code(&bench.call("write", "1").await), Some("tool_quarantined"));
    assert_eq!(code(&bench.call("read", "1").await), None);
    let caller = bench.caller(Revision::V2025_11_25);
    let list = |bench: &Bench| {
        let engine = bench.engine.clone();
        let caller = caller.clone();
        async move { String::from_utf8(engine.list_tools(&caller, &request("x", "1")).await.unwrap().to_vec()).unwrap() }
    };
    let listed = list(&bench).await;
    assert!(listed.contains("db__read") && !listed.contains("db__write"), "{listed}");
    assert!(listed.contains(r#""description":"approved text""#) && listed.contains("x-unknown"), "{listed}");
    bench.engine.apply_drift(&server, &[]).await.unwrap();
    assert_eq!(code(&bench.call("write", "1").await), None);
    let actions: Vec<_> = bench
        .ledger
        .entries()
        .into_iter()
        .filter_map(|e| match e.event {
            Event::Catalog(c) => Some(c.action),
            _ => None,
        })
        .collect();
    use interlock_ledger::entry::CatalogAction::{Quarantined, Released};
    assert_eq!(actions, [Quarantined, Released]);
}

#[tokio::test]
async fn invariant_5_an_approval_lets_exactly_one_such_call_through() {
    let bench = Bench::new(Mode::Enforcing);
    let asked = bench.call("wipe", "1").await;
    assert_eq!(code(&asked), Some("approval_required"));
    assert_eq!(asked["result"]["structuredContent"]["decision"], "step_up");
    assert_eq!(bench.upstream.calls(), 0);
    let id = bench.ledger.approvals()[0].statement.id;
    assert_eq!(asked["result"]["structuredContent"]["approval"]["id"], id.to_string());
    // Asking again does not ask the human again.
    assert_eq!(code(&bench.call("wipe", "1").await), Some("approval_required"));
    assert_eq!(bench.ledger.approvals().len(), 1);

    bench.ledger.settle(id, Verdict::Approve, bench.clock.now());
    // Other arguments are another call.
    assert_eq!(code(&bench.call("wipe", "2").await), Some("approval_required"));
    assert_eq!(bench.upstream.calls(), 0);
    assert_eq!(code(&bench.call("wipe", "1").await), None);
    assert_eq!(bench.upstream.calls(), 1);
    // Used up.
    assert_eq!(code(&bench.call("wipe", "1").await), Some("approval_required"));
    assert_eq!(bench.upstream.calls(), 1);
    let consumed = bench.ledger.entries().into_iter().find_map(|e| match e.event {
        Event::Intent(intent) => intent.approval,
        _ => None,
    });
    assert_eq!(consumed, Some(id));
}

#[tokio::test]
async fn invariant_5_denied_expired_and_superseded_are_three_answers() {
    let bench = Bench::new(Mode::Enforcing);
    bench.call("wipe", "denied").await;
    let id = bench.ledger.approvals()[0].statement.id;
    bench.ledger.settle(id, Verdict::Deny, bench.clock.now());
    assert_eq!(code(&bench.call("wipe", "denied").await), Some("approval_denied"));

    // What the approver saw changes: another bundle, with the same policies.
    bench.call("wipe", "superseded").await;
    let id = bench.ledger.approvals()[1].statement.id;
    bench.ledger.settle(id, Verdict::Approve, bench.clock.now());
    bench.policy(&format!("{}\n// changed\n", crate::support::POLICY));
    assert_eq!(code(&bench.call("wipe", "superseded").await), Some("approval_superseded"));

    bench.call("wipe", "expired").await;
    let id = bench.ledger.approvals().last().unwrap().statement.id;
    bench.ledger.settle(id, Verdict::Approve, bench.clock.now());
    bench.clock.advance(60_001);
    assert_eq!(code(&bench.call("wipe", "expired").await), Some("approval_required"));
    assert_eq!(bench.upstream.calls(), 0);
}

#[tokio::test]
async fn invariant_5_an_approval_lifts_the_step_up_and_nothing_else() {
    let bench = Bench::new(Mode::Enforcing);
    bench.call("wipe", "1").await;
    let id = bench.ledger.approvals()[0].statement.id;
    bench.ledger.settle(id, Verdict::Approve, bench.clock.now());
    bench.policy(&format!(
        r#"{} @id("frozen") @reason("change freeze") forbid (principal, action, resource);"#,
        crate::support::POLICY
    ));
    let answer = bench.call("wipe", "1").await;
    assert_eq!(code(&answer), Some("unknown_tool"), "an unconditional forbid hides the tool");
    assert_eq!(bench.upstream.calls(), 0);
}

#[tokio::test]
async fn which_arguments_are_mirrored_is_known_of_tools_that_may_be_seen() {
    let bench = Bench::new(Mode::Enforcing);
    let caller = bench.caller(Revision::V2026_07_28);
    let mirrored = bench.engine.mirrored(&caller, "db__write").unwrap();
    assert_eq!((&*mirrored[0].header, &mirrored[0].path), ("Row", &["id".into()].into()));
    assert!(bench.engine.mirrored(&caller, "db__nothing").is_none());
    bench.policy(&format!(
        r#"{} @id("hidden") forbid (principal, action, resource == Interlock::Tool::"db/write");"#,
        crate::support::POLICY
    ));
    assert!(bench.engine.mirrored(&caller, "db__write").is_none(), "a hidden tool has no headers either");
    assert!(bench.engine.mirrored(&caller, "db__read").is_some());
}

#[tokio::test]
async fn invariant_6_labels_rise_with_the_outcome_and_stay_across_connections() {
    let bench = Bench::new(Mode::Enforcing);
    bench.call("write", "1").await;
    bench.policy(&format!(
        r#"{} @id("after") forbid (principal, action in Interlock::Action::"call", resource) when {{ context.session.labels.contains("touched") && resource.effects.contains("read") }};"#,
        crate::support::POLICY
    ));
    // A new request is a new connection, a new MCP session and a new credential as far as the engine can tell.
    assert_eq!(code(&bench.call("read", "1").await), Some("policy_denied"));
    let entries = bench.ledger.entries();
    let Event::Outcome(outcome) = &entries[1].event else { panic!("no outcome") };
    assert_eq!(outcome.labels, ["touched"]);
}

#[tokio::test]
async fn invariant_6_calls_that_raise_labels_at_once_lose_none() {
    let bench = Bench::new(Mode::Enforcing);
    bench.policy(
        r#"@id("r") @label("a") permit (principal, action in Interlock::Action::"call", resource) when { resource.effects.contains("read") };
           @id("w") @label("b") permit (principal, action in Interlock::Action::"call", resource) when { resource.effects.contains("write") };"#,
    );
    bench.upstream.open.send_replace(false);
    let calls: Vec<_> = ["read", "write"]
        .map(|tool| {
            tokio::spawn(bench.engine.clone().call_tool_owned(bench.caller(Revision::V2025_11_25), request(tool, "1")))
        })
        .into_iter()
        .collect();
    settle_tasks().await;
    // Both outcomes are queued before either is stored: each knows nothing of the other's label.
    bench.ledger.disk.send_replace(Disk::Waits);
    bench.upstream.open.send_replace(true);
    settle_tasks().await;
    bench.ledger.disk.send_replace(Disk::Commits);
    for call in calls {
        assert_eq!(code(&serde_json::from_slice(&call.await.unwrap()).unwrap()), None);
    }
    assert_eq!(bench.ledger.statuses(), [CallStatus::Ok, CallStatus::Ok]);
    let raised: Vec<_> = bench
        .ledger
        .entries()
        .into_iter()
        .filter_map(|e| match e.event {
            Event::Outcome(outcome) => Some(outcome.labels),
            _ => None,
        })
        .collect();
    assert_eq!(raised.last().unwrap(), &["a", "b"]);
}

#[tokio::test]
async fn invariant_4_a_swap_in_mid_call_does_not_mix_two_bundles() {
    let bench = Bench::new(Mode::Enforcing);
    let before = bench.engine.world().policy_record.clone();
    bench.ledger.disk.send_replace(Disk::Waits);
    let call =
        tokio::spawn(bench.engine.clone().call_tool_owned(bench.caller(Revision::V2025_11_25), request("write", "1")));
    settle_tasks().await;
    bench.policy(r#"@id("nothing") forbid (principal, action, resource);"#);
    bench.ledger.disk.send_replace(Disk::Commits);
    call.await.unwrap();
    let entries = bench.ledger.entries();
    let Event::Intent(intent) = &entries[0].event else { panic!("no intent") };
    assert_eq!((&intent.policy, intent.decision.outcome), (&before, Outcome::Allow));
}

#[tokio::test]
async fn a_cancelled_call_is_closed_in_the_ledger() {
    for (disk, status) in [(Disk::Commits, CallStatus::Cancelled), (Disk::Waits, CallStatus::NotSent)] {
        let bench = Bench::new(Mode::Enforcing);
        bench.upstream.open.send_replace(false);
        bench.ledger.disk.send_replace(disk);
        let call = tokio::spawn(
            bench.engine.clone().call_tool_owned(bench.caller(Revision::V2025_11_25), request("write", "1")),
        );
        settle_tasks().await;
        call.abort();
        drop(call.await);
        bench.ledger.disk.send_replace(Disk::Commits);
        settle_tasks().await;
        let statuses = bench.ledger.statuses();
        assert_eq!(statuses, [status], "{disk:?}");
    }
}

#[tokio::test]
async fn a_fault_of_the_server_is_recorded_and_told() {
    for (sent, status) in [(true, CallStatus::Failed), (false, CallStatus::NotSent)] {
        let bench = Bench::new(Mode::Enforcing);
        *bench.upstream.answer.lock().unwrap() =
            Err(UpstreamFault { code: Code::UpstreamClosed, sent, detail: "it broke".into() });
        let answer = bench.call("write", "1").await;
        assert_eq!(code(&answer), Some("upstream_closed"));
        assert_eq!(bench.ledger.statuses(), [status]);
    }
}

#[tokio::test]
async fn wrong_arguments_and_too_many_calls_are_refused_before_anything_is_sent() {
    let bench = Bench::new(Mode::Enforcing);
    let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"db__write","arguments":{"id":7}}}"#;
    let Ok(interlock_mcp::Frame::Request(wrong)) =
        interlock_mcp::Frame::parse(bytes::Bytes::from(text), interlock_model::json::Limits::REQUEST)
    else {
        panic!("no request")
    };
    let answer = bench.engine.ask(bench.caller(Revision::V2025_11_25), Ask::Call, wrong, &Deaf).await.message;
    assert_eq!(code(&serde_json::from_slice(&answer).unwrap()), Some("invalid_arguments"));

    bench.upstream.open.send_replace(false);
    let calls: Vec<_> = (0..4)
        .map(|_| {
            tokio::spawn(
                bench.engine.clone().call_tool_owned(bench.caller(Revision::V2025_11_25), request("write", "1")),
            )
        })
        .collect();
    settle_tasks().await;
    assert_eq!(code(&bench.call("write", "1").await), Some("overloaded"));
    bench.upstream.open.send_replace(true);
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(code(&bench.call("write", "1").await), None);
}

#[tokio::test]
async fn who_cannot_be_named_is_refused_at_the_door() {
    let bench = Bench::new(Mode::Enforcing);
    assert_eq!(bench.engine.identify(Some("ilk_wrong")).unwrap_err().code, Code::Unauthenticated);
    assert_eq!(bench.engine.identify(None).unwrap_err().code, Code::UnboundRefused);
    let open = Arc::new(interlock_engine::Settings { allow_unbound: true, ..(*settings(Mode::Enforcing)).clone() });
    bench.engine.change_world(|w| World { settings: open.clone(), ..w.clone() });
    assert!(!bench.engine.identify(None).unwrap().bound);
}
