//! Sessions over HTTP+SSE.

use super::fake_sse::{FakeSse, GOOD, Start};
use super::rig::{Rig, client, request, spec, text};
use crate::http::http_sse::Peer;
use crate::link::{Gone, Link};
use crate::secret::Redactor;
use crate::{Launch, Limits, SecretString, ServerSpec, list_once};
use interlock_model::Code;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

fn of(fake: &FakeSse) -> ServerSpec {
    let secret = SecretString::from("Bearer t0p-s3cret".to_owned());
    let headers = vec![(http::header::AUTHORIZATION, secret)];
    let launch = Launch::Http { url: fake.url.clone(), headers, key_pins: vec![] };
    ServerSpec { limits: Limits { result_bytes: 1 << 20, ..Limits::DEFAULT }, ..spec(launch) }
}

#[tokio::test]
async fn it_is_found_where_a_post_is_refused_and_remembered() {
    let fake = FakeSse::start(GOOD).await;
    let rig = Rig::started(of(&fake)).await;
    assert_eq!(rig.log.lock().unwrap()[0], "up 2024-11-05 fake");
    let arguments = "{ \"n\" : 1.10, \"big\":12345678901234567890123,\n\t\"s\":\"\\u0041\" }";
    let sent = text(&rig.call("echo", arguments).await.unwrap());
    assert!(sent.contains(&format!("\"arguments\":{arguments}")), "{sent}");
    let call = &fake.seen("tools/call")[0];
    assert_eq!(call.header("authorization"), Some("Bearer t0p-s3cret"));
    assert!(call.head.starts_with("POST /messages?s=0 HTTP/1.1"), "{}", call.head);
    assert_eq!(fake.seen("GET /sse")[0].header("accept"), Some("text/event-stream"));
    assert_eq!((fake.seen("POST /sse").len(), fake.seen("server/discover").len()), (2, 1));
    // Its end is noticed without a call, and the next opening asks nothing that is known already.
    fake.end();
    rig.logged(|log| log.iter().filter(|l| l.starts_with("up")).count() == 2).await;
    rig.settled().await.unwrap();
    assert!(rig.call("echo", "{}").await.is_ok());
    assert_eq!((fake.seen("POST /sse").len(), fake.seen("GET /sse").len()), (2, 2));
    rig.upstreams.stop().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(list_once(&of(&fake), &client()).await.unwrap().tools.len(), 1);
}

#[tokio::test]
async fn answers_find_their_calls_and_oddities_are_counted() {
    let fake = FakeSse::start(GOOD).await;
    let rig = Arc::new(Rig::started(of(&fake)).await);
    for tool in ["early", "unaccepted", "twice", "foreign-first", "asks", "moves", "echo"] {
        let started = Instant::now();
        assert!(text(&rig.call(tool, "{}").await.unwrap()).contains(tool), "{tool}");
        assert!(started.elapsed() < Duration::from_secs(1), "{tool}");
    }
    let counters = rig.status().counters;
    assert_eq!((counters.responses_dropped, counters.garbage, counters.requests_refused), (4, 2, 1));
    assert!(fake.seen("POST /elsewhere").is_empty(), "the endpoint is named once");
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(fake.seen(r#""id":5,"error":{"code":-32601"#).len(), 1);
    assert_eq!(fake.seen(r#"{"jsonrpc":"2.0","id":"p","result":{}}"#).len(), 1);
    let calls: Vec<_> = (0..64)
        .map(|n| {
            let rig = rig.clone();
            tokio::spawn(async move { (n, text(&rig.call("echo", &format!("{{\"n\":{n}}}")).await.unwrap())) })
        })
        .collect();
    let mut ids = std::collections::HashSet::new();
    for call in calls {
        let (n, sent) = call.await.unwrap();
        assert!(sent.contains(&format!("{{\"n\":{n}}}")), "each gets its own answer");
        assert!(ids.insert(request(&sent).id().clone()), "no id twice");
    }
}

#[tokio::test]
async fn a_server_that_asks_without_end_is_not_answered_without_end() {
    let fake = FakeSse::start(GOOD).await;
    let rig = Rig::started(of(&fake)).await;
    assert!(rig.call("floods", "{}").await.is_ok());
    assert!(rig.call("echo", "{}").await.is_ok());
    assert_eq!(rig.status().counters.requests_refused, 5000);
    assert!(fake.seen("-32601").len() < 5000);
}

#[tokio::test]
async fn bad_answers_are_faults_and_tell_no_secret() {
    let fake = FakeSse::start(GOOD).await;
    let rig = Rig::started(of(&fake)).await;
    for (tool, code, ends) in [
        ("invalid", Code::UpstreamInvalid, false),
        ("refused", Code::UpstreamInvalid, false),
        ("drop", Code::UpstreamClosed, false),
        ("half-closed-post", Code::UpstreamClosed, false),
        ("big", Code::UpstreamTooLarge, false),
        ("endless", Code::UpstreamTooLarge, true),
        ("end", Code::UpstreamClosed, true),
        ("half-closed", Code::UpstreamClosed, true),
    ] {
        let before = rig.status().counters.connects;
        let fault = rig.call(tool, "{}").await.unwrap_err();
        assert_eq!((fault.code, fault.sent), (code, true), "{tool}: {fault}");
        assert!(!fault.to_string().contains("s3cret") && !fault.to_string().contains("secret-in"), "{fault}");
        rig.logged(|log| log.iter().filter(|l| l.starts_with("up")).count() as u64 + 1 >= before + u64::from(ends))
            .await;
        rig.settled().await.unwrap();
        // Still, or again, in working order.
        assert!(rig.call("echo", "{}").await.is_ok(), "after {tool}");
        assert_eq!(rig.status().counters.connects - before, u64::from(ends), "{tool}");
    }
    assert!(!rig.log.lock().unwrap().join("\n").contains("s3cret"));
}

#[tokio::test]
async fn slow_calls_end_and_are_cancelled() {
    let fake = FakeSse::start(GOOD).await;
    let rig = Rig::started(of(&fake)).await;
    let fault = rig.call_within("hang", "{}", Duration::from_millis(100)).await.unwrap_err();
    assert_eq!((fault.code, fault.sent), (Code::UpstreamTimeout, true));
    assert!(tokio::time::timeout(Duration::from_millis(50), rig.call("hang", "{}")).await.is_err());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!((fake.seen("notifications/cancelled").len(), rig.status().in_flight), (2, 0));
}

#[tokio::test]
async fn invariant_4_an_answer_never_overtakes_the_change_before_it() {
    let fake = FakeSse::start(GOOD).await;
    let rig = Rig::started(of(&fake)).await;
    rig.acknowledge.store(false, Ordering::SeqCst);
    rig.call("changed", "{}").await.unwrap();
    assert!(!rig.status().settled);
    rig.logged(|log| log.iter().any(|l| l.contains(r#"{"name":"changed"}"#))).await;
    assert!(!rig.status().settled, "listed, but not compared");
    rig.acknowledge.store(true, Ordering::SeqCst);
    assert!(rig.upstreams.relist(&rig.name));
    rig.settled().await.unwrap();
    assert!(rig.call("echo", "{}").await.is_ok());
}

#[tokio::test]
async fn a_forgotten_session_is_opened_again_once() {
    let fake = FakeSse::start(GOOD).await;
    let rig = Rig::started(of(&fake)).await;
    // The stream stays, but the server knows it by that name no more.
    let lost = fake.state.forget();
    assert!(rig.call("echo", "{}").await.is_ok(), "the same tools: the call goes on");
    assert!(fake.seen("tools/call").last().unwrap().head.contains("s=1"));
    drop(lost);
}

#[tokio::test]
async fn streams_that_begin_badly_are_refused() {
    for (start, expected) in [
        (Start::Endpoint("http://example.com/messages?s={s}"), "another origin"),
        (Start::Endpoint("//127.0.0.1:1/messages?s={s}"), "another origin"),
        (Start::Endpoint("https://127.0.0.1/messages"), "another origin"),
        (Start::Endpoint("\\\\example.com/"), "not a URL"),
        (Start::Message, "something else"),
        (Start::Endless, "no endpoint"),
        (Start::Comments, "no endpoint"),
        (Start::Ends, "no endpoint"),
        (Start::Absent, "405"),
    ] {
        let fake = FakeSse::start(start).await;
        let fault = list_once(&of(&fake), &client()).await.unwrap_err();
        assert_eq!((fault.code, fault.sent), (Code::ServerUnavailable, false), "{start:?}: {fault}");
        assert!(fault.detail.contains(expected), "{start:?}: {fault}");
        assert!(fake.seen("POST /messages").is_empty(), "{start:?}");
        assert_eq!(fake.seen("server/discover").len(), 1, "{start:?}: the other way was tried too");
    }
}

#[tokio::test]
async fn a_server_that_accepts_and_never_answers() {
    let fake = FakeSse::start(Start::Silent).await;
    let spec = of(&fake);
    let Launch::Http { url, headers, key_pins } = &spec.launch else { panic!() };
    let link = Link::unheard_of(spec.name.clone(), Redactor::default());
    let soon = Instant::now() + Duration::from_millis(100);
    let place = (url, headers.as_slice(), key_pins.as_slice());
    let shared = (&link, &Arc::new(Gone::default()), &Arc::default());
    let opened = Peer::open(place, 1, spec.limits, shared, soon).await;
    let fault = opened.map(drop).unwrap_err();
    assert_eq!(fault.code, Code::UpstreamTimeout);
    assert!(soon.elapsed() < Duration::from_secs(1));
}
