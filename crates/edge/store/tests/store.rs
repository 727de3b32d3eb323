//! The store as the engine uses it.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use interlock_engine::ports::{Append, AppendError, Effect, Ledger as _, Payload, Session, Slot};
use interlock_identity::{Agent, AgentState, BearerKey};
use interlock_ledger::entry::{AgentAction, AgentEvent, ApprovalAction, CallStatus, Entry, Event, EventKind};
use interlock_model::UnixMillis;
use interlock_store::{Filter, OpenError, ReadError, Reader, Revealed, Store};
use std::sync::Arc;
use support::{NOW, approved, call, consuming, crash_copy, intent, options, outcome, pending, start, step};

async fn opened(dir: &std::path::Path) -> (Store, Arc<Session>) {
    let (store, recovery) = Store::open(options(dir)).unwrap();
    assert_eq!(recovery.damage, Vec::<String>::new());
    if recovery.entries == 0 {
        store.append(start()).await.unwrap();
    }
    let session = session_of(&store, "builder").await;
    (store, session)
}

async fn session_of(store: &Store, agent: &str) -> Arc<Session> {
    store.session(&agent.parse().unwrap(), &"ada@example.org".parse().unwrap(), NOW).await.unwrap()
}

fn intact(dir: &std::path::Path) {
    let report = Reader::open(dir).unwrap().verify(|_, _| {}).unwrap();
    assert!(report.is_intact(), "{report:?}");
    assert_eq!(report.payloads.unwrap().missing, 0);
}

#[tokio::test]
async fn what_is_appended_can_be_read_beside_the_daemon_and_after_it() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("data");
    let (store, session) = opened(&dir).await;
    store.append(intent(&session, 1, b"{\"q\":1}")).await.unwrap();
    let done = store.append(outcome(&session, 1, b"{\"rows\":[]}")).await.unwrap();
    assert_eq!(done.index, 3);

    for closed in [false, true] {
        if closed {
            store.close().unwrap();
        }
        let reader = Reader::open(&dir).unwrap();
        assert_eq!(reader.size().unwrap(), 4);
        assert_eq!(reader.entries(1..3, 10).unwrap().iter().map(|s| s.index).collect::<Vec<_>>(), [1, 2]);
        let shown = reader.show(&call(1).to_string()[..20]).unwrap();
        assert_eq!(shown.received, Revealed::Payload(b"{\"q\":1}".to_vec()));
        assert_eq!(shown.sent, shown.received);
        assert_eq!(shown.result, Revealed::Payload(b"{\"rows\":[]}".to_vec()));
        let receipt = reader.receipt(2).unwrap();
        assert_eq!(receipt.verify(reader.verifier_key()).unwrap(), reader.entry(2).unwrap().entry);
        assert!(matches!(reader.receipt(4), Err(ReadError::NotFound(_))));
        let found = reader.search(&Filter { kind: Some(EventKind::Intent), ..Filter::default() }, 10).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(reader.sessions().unwrap()[0].id, session.id);
        intact(&dir);
    }
    assert!(matches!(store.append(start()).await, Err(AppendError::Closed(_))));
}

#[tokio::test]
async fn a_payload_is_not_on_disk_in_the_clear() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("data");
    let (store, session) = opened(&dir).await;
    store.append(intent(&session, 1, b"correct horse battery staple")).await.unwrap();
    let bare = Append { session: None, ..intent(&session, 2, b"x") };
    assert!(store.append(bare).await.is_err(), "a payload without a session has no key");
    store.close().unwrap();
    let database = std::fs::read(dir.join("ledger.db")).unwrap();
    assert!(!database.windows(13).any(|w| w == b"correct horse"));
    assert!(!database.windows(32).any(|w| w == session.key.danger_bytes()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn indices_are_dense_and_each_callers_order_is_kept() {
    const CALLERS: u64 = 64;
    const EACH: u64 = 20;
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("data");
    let (store, session) = opened(&dir).await;
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (store, session) = (store.clone(), Arc::clone(&session));
            tokio::spawn(async move {
                // Queued one after the other, awaited later and backwards.
                let queued: Vec<_> = (0..EACH)
                    .flat_map(|i| {
                        let n = caller * EACH + i;
                        [store.append(intent(&session, n, b"a")), store.append(outcome(&session, n, b"r"))]
                    })
                    .collect();
                let mut indices = Vec::new();
                for one in queued.into_iter().rev() {
                    indices.push(one.await.unwrap().index);
                }
                indices.reverse();
                assert!(indices.is_sorted(), "{indices:?}");
                indices
            })
        })
        .collect();
    let mut all = vec![0, 1];
    for caller in callers {
        all.extend(caller.await.unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, (0..CALLERS * EACH * 2 + 2).collect::<Vec<_>>());
    store.close().unwrap();
    intact(&dir);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_openers_get_the_same_session() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("data");
    let (store, _) = Store::open(options(&dir)).unwrap();
    store.append(start()).await.unwrap();
    let racing: Vec<_> = (0..32)
        .map(|i| {
            let store = store.clone();
            tokio::spawn(async move { session_of(&store, if i % 2 == 0 { "even" } else { "odd" }).await })
        })
        .collect();
    let mut ids = std::collections::BTreeSet::new();
    for one in racing {
        ids.insert(one.await.unwrap().id);
    }
    assert_eq!(ids.len(), 2);
    let even = session_of(&store, "even").await;
    store.close().unwrap();
    drop(store);

    let (store, _) = Store::open(options(&dir)).unwrap();
    let again = session_of(&store, "even").await;
    assert_eq!((again.id, again.key.danger_bytes()), (even.id, even.key.danger_bytes()));
    assert_eq!(Reader::open(&dir).unwrap().size().unwrap(), 3, "found, not opened anew");
}

/// Design invariant 4.5: an approval is consumed once, atomically with the start of execution.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_5_of_many_consumers_exactly_one_wins() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("data");
    let (store, session) = opened(&dir).await;
    let asked = pending(&session, 1, UnixMillis(u64::MAX >> 1));
    let yes = approved(&asked);
    store.append(step(&asked, ApprovalAction::Requested, Effect::Request(Box::new(asked.clone())))).await.unwrap();
    assert!(
        matches!(store.append(consuming(&session, 99, &yes)).await, Err(AppendError::Conflict)),
        "not approved yet"
    );
    let effect = Effect::Replace { from: "pending", to: Box::new(yes.clone()) };
    store.append(step(&asked, ApprovalAction::Approved, effect.clone())).await.unwrap();
    assert!(matches!(store.append(step(&asked, ApprovalAction::Approved, effect)).await, Err(AppendError::Conflict)));
    let before = Reader::open(&dir).unwrap().size().unwrap();
    assert_eq!(*store.approval_for(&asked.statement.seen.call_digest).unwrap(), yes);

    let racing: Vec<_> = (0..16)
        .map(|n| {
            let (store, append) = (store.clone(), consuming(&session, n, &yes));
            tokio::spawn(async move { store.append(append).await })
        })
        .collect();
    let mut won = 0;
    for one in racing {
        match one.await.unwrap() {
            Ok(_) => won += 1,
            Err(AppendError::Conflict) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(won, 1);
    assert_eq!(Reader::open(&dir).unwrap().size().unwrap(), before + 1, "those refused wrote nothing");
    assert_eq!(store.approval_for(&asked.statement.seen.call_digest), None);
    let stored = store.approval(asked.statement.id).await.unwrap().unwrap();
    assert_eq!(stored.state.as_str(), "consumed");
    store.close().unwrap();
    intact(&dir);
}

/// Design invariant 4.6: labels only rise.
#[tokio::test]
async fn invariant_6_labels_only_rise() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("data");
    let (store, session) = opened(&dir).await;
    let raise = |n, labels: &[&str]| Append {
        effect: Effect::RaiseLabels(labels.iter().map(ToString::to_string).collect()),
        ..intent(&session, n, b"a")
    };
    // Queued together, so that they meet in one group.
    let (first, second, third) = (
        store.append(raise(1, &["b", "a"])),
        store.append(raise(2, &["a"])),
        store.append(raise(3, &["c", "a", "b", "a"])),
    );
    first.await.unwrap();
    assert!(matches!(second.await, Err(AppendError::Conflict)));
    third.await.unwrap();
    assert_eq!(**session.labels.load(), ["a", "b", "c"]);
    store.close().unwrap();
    drop(store);
    let (store, session) = opened(&dir).await;
    assert_eq!(**session.labels.load(), ["a", "b", "c"]);

    // Only a human's reset starts a clean one, and it is recorded.
    let (agent, owner) = (session.agent.clone(), session.owner.clone());
    assert!(store.reset_session(&agent, &owner, "0123456789abcdef", NOW).await.unwrap());
    let clean = session_of(&store, "builder").await;
    assert_ne!(clean.id, session.id);
    assert!(clean.labels.load().is_empty());
    assert!(!store.reset_session(&agent, &"eve".parse().unwrap(), "0123456789abcdef", NOW).await.unwrap());
    let sessions = Reader::open(&dir).unwrap().sessions().unwrap();
    assert_eq!(sessions.len(), 2);
    // A call that was under way when its session was reset still ends in it.
    store.append(intent(&session, 4, b"a")).await.unwrap();
    store.append(outcome(&session, 4, b"r")).await.unwrap();
    store.close().unwrap();
    intact(&dir);
}

/// Design invariant 4.1: after a kill the ledger may show a call that never ran, closed as unknown, never the reverse.
#[tokio::test]
async fn invariant_1_a_killed_daemon_leaves_intents_that_the_next_closes_as_unknown() {
    let temporary = tempfile::tempdir().unwrap();
    let (dir, after) = (temporary.path().join("data"), temporary.path().join("after"));
    let (store, session) = opened(&dir).await;
    for n in 1..=5 {
        store.append(intent(&session, n, b"a")).await.unwrap();
    }
    store.append(outcome(&session, 2, b"r")).await.unwrap();
    let asked = pending(&session, 1, NOW.plus_ms(10));
    store.append(step(&asked, ApprovalAction::Requested, Effect::Request(Box::new(asked.clone())))).await.unwrap();
    crash_copy(&dir, &after);

    let mut later = options(&after);
    later.now = NOW.plus_ms(10);
    let (recovered, recovery) = Store::open(later).unwrap();
    assert_eq!((recovery.closed_unknown, recovery.expired, recovery.entries), (4, 1, 2 + 7 + 5));
    assert!(recovery.files_written > 0);
    let reader = Reader::open(&after).unwrap();
    for n in [1, 3, 4, 5] {
        let entries = reader.of_call_id(call(n)).unwrap();
        let Event::Outcome(outcome) = &entries[1].entry.event else { panic!("{entries:?}") };
        assert_eq!(outcome.status, CallStatus::Unknown);
    }
    assert!(matches!(reader.find_approval("approval-"), Err(ReadError::BadId(_))));
    assert_eq!(reader.find_approval(&asked.statement.id.to_string()).unwrap().state.as_str(), "expired");
    // Already closed: a late outcome is not written over it.
    let late = store_session_outcome(&recovered, 1).await;
    assert!(matches!(late, Err(AppendError::Conflict)));
    recovered.close().unwrap();
    intact(&after);
    let (_again, recovery) = Store::open(options(&after)).unwrap();
    assert_eq!((recovery.closed_unknown, recovery.expired, recovery.files_written), (0, 0, 0));
}

async fn store_session_outcome(store: &Store, n: u64) -> Result<(), AppendError> {
    let session = session_of(store, "builder").await;
    store.append(outcome(&session, n, b"late")).await.map(drop)
}

#[tokio::test]
async fn approvals_are_listed_found_and_expire_once() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("data");
    let (store, session) = opened(&dir).await;
    for n in 1..=3 {
        let asked = pending(&session, n, NOW.plus_ms(100 * u64::from(n)));
        store.append(step(&asked, ApprovalAction::Requested, Effect::Request(Box::new(asked.clone())))).await.unwrap();
        let twice = step(&asked, ApprovalAction::Requested, Effect::Request(Box::new(asked.clone())));
        assert!(matches!(store.append(twice).await, Err(AppendError::Conflict)));
    }
    let open = store.open_approvals();
    assert_eq!(open.len(), 3);
    assert_eq!(store.list_approvals(2).unwrap().len(), 2);
    let id = open[1].statement.id;
    assert_eq!(store.find_approval(&id.to_string()).unwrap(), *open[1]);
    assert!(matches!(store.find_approval(&id.to_string()[..12]), Err(ReadError::Ambiguous(_))));
    assert!(matches!(store.find_approval("approval-ff"), Err(ReadError::NotFound(_))));

    assert_eq!(store.expire_due(NOW.plus_ms(200)).await.unwrap(), 2);
    assert_eq!(store.expire_due(NOW.plus_ms(200)).await.unwrap(), 0);
    let expired = store.approval_for(&open[0].statement.seen.call_digest).unwrap();
    assert_eq!(expired.state.as_str(), "expired");
    // An hour later nobody asks about it any more.
    store.expire_due(NOW.plus_ms(3_600_000)).await.unwrap();
    assert_eq!(store.approval_for(&open[0].statement.seen.call_digest), None);
    assert!(store.approval(open[0].statement.id).await.unwrap().is_some(), "the store remembers");
    store.close().unwrap();
    intact(&dir);
}

#[tokio::test]
async fn agents_change_together_with_their_entries() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("data");
    let (store, _) = opened(&dir).await;
    let agent = |state| Agent {
        id: "builder".parse().unwrap(),
        owner: "ada@example.org".parse().unwrap(),
        key: BearerKey::new(&[7; 32]).digest(),
        state,
        purpose: "builds".into(),
        roles: vec![],
        added: NOW,
    };
    let entry = |action| {
        let a = agent(AgentState::Active);
        Entry::new(NOW, Event::Agent(AgentEvent { action, agent: a.id, by: "op".into(), key: None, owner: a.owner }))
    };
    store.put_agent(&agent(AgentState::Active), &entry(AgentAction::Added)).await.unwrap();
    store.put_agent(&agent(AgentState::Retired), &entry(AgentAction::Retired)).await.unwrap();
    let back = store.put_agent(&agent(AgentState::Active), &entry(AgentAction::Resumed)).await;
    assert!(matches!(back, Err(AppendError::Conflict)), "retired is for good");
    assert_eq!(store.agents().unwrap(), [agent(AgentState::Retired)]);
    store.close().unwrap();
    intact(&dir);
}

#[tokio::test]
async fn a_call_has_one_intent_and_an_outcome_needs_it() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("data");
    let (store, session) = opened(&dir).await;
    assert!(matches!(store.append(outcome(&session, 1, b"r")).await, Err(AppendError::Conflict)));
    store.append(intent(&session, 1, b"a")).await.unwrap();
    assert!(matches!(store.append(intent(&session, 1, b"a")).await, Err(AppendError::Conflict)));
    store.append(outcome(&session, 1, b"r")).await.unwrap();
    assert!(matches!(store.append(outcome(&session, 1, b"r")).await, Err(AppendError::Conflict)));
    // The schema says so too; the group it fails takes nobody else along.
    let (bad, good) = (store.append(intent(&session, 1, b"a")), store.append(intent(&session, 2, b"a")));
    assert!(matches!(bad.await, Err(AppendError::Closed(_))));
    good.await.unwrap();
    let long = Append { entry: vec![b'x'; Entry::MAX_LEN + 1], ..start() };
    assert!(matches!(store.append(long).await, Err(AppendError::Entry(_))));
    store.append(outcome(&session, 2, b"r")).await.unwrap();
    store.close().unwrap();
    intact(&dir);
}

#[tokio::test]
async fn too_much_waiting_is_refused_at_once() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("data");
    let mut small = options(&dir);
    (small.max_waiting, small.max_waiting_bytes) = (8, 1 << 20);
    let (store, _) = Store::open(small).unwrap();
    store.append(start()).await.unwrap();
    let session = session_of(&store, "builder").await;
    let payload = Payload { slot: Slot::Received, bytes: vec![0; 2 << 20].into() };
    let large = Append { payloads: vec![payload], ..intent(&session, 1, b"a") };
    assert!(matches!(store.append(large).await, Err(AppendError::Backlog)));
    let many: Vec<_> = (0..500).map(|n| store.append(intent(&session, n, b"a"))).collect();
    let mut refused = 0;
    for one in many {
        refused += u32::from(matches!(one.await, Err(AppendError::Backlog)));
    }
    assert!(refused > 0);
    store.append(intent(&session, 1000, b"a")).await.unwrap();
}

#[tokio::test]
async fn one_daemon_owns_a_directory() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = temporary.path().join("data");
    assert!(matches!(Reader::open(&dir), Err(OpenError::NoLedger(_))));
    let (store, _) = opened(&dir).await;
    let refused = Store::open(options(&dir)).err().unwrap().to_string();
    assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
    store.close().unwrap();
    store.close().unwrap();
    Store::open(options(&dir)).unwrap();
}
