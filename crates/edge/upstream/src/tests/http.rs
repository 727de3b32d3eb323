//! Sessions over HTTP.

use super::fake_http::{Fake, TOOLS};
use super::rig::{Rig, call_of, client, request, spec, text};
use crate::session::Call;
use crate::{Launch, Limits, SecretString, ServerSpec, list_once};
use bytes::Bytes;
use interlock_engine::Trace;
use interlock_engine::front::Deaf;
use interlock_model::Code;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn launch(fake: &Fake) -> Launch {
    let secret = SecretString::from("Bearer t0p-s3cret".to_owned());
    Launch::Http { url: fake.url.clone(), headers: vec![(http::header::AUTHORIZATION, secret)], key_pins: vec![] }
}

fn small(fake: &Fake) -> ServerSpec {
    ServerSpec { limits: Limits { result_bytes: 1 << 20, ..Limits::DEFAULT }, ..spec(launch(fake)) }
}

#[tokio::test]
async fn both_eras_are_found_and_forwarded_to() {
    for modern in [false, true] {
        let fake = Fake::start(modern).await;
        let rig = Rig::started(spec(launch(&fake))).await;
        let revision = if modern { "2026-07-28" } else { "2025-11-25" };
        rig.logged(|log| {
            log[0] == format!("up {revision} fake") && log[1] == format!("listed {}", &TOOLS[1..TOOLS.len() - 1])
        })
        .await;
        let arguments = "{ \"n\" : 1.10, \"big\":12345678901234567890123,\n\t\"s\":\"\\u0041\" }";
        let sent = text(&rig.call("echo", arguments).await.unwrap());
        assert!(sent.contains(&format!("\"arguments\":{arguments}")), "{sent}");
        assert_eq!(sent.contains("io.modelcontextprotocol/protocolVersion"), modern);
        let call = &fake.seen("tools/call")[0];
        assert_eq!(call.header("mcp-protocol-version"), Some(revision));
        assert_eq!(call.header("mcp-session-id"), (!modern).then_some("s-1"));
        assert_eq!(call.header("mcp-method"), modern.then_some("tools/call"));
        assert_eq!(call.header("mcp-name"), modern.then_some("echo"));
        assert_eq!(call.header("authorization"), Some("Bearer t0p-s3cret"));
        assert!(call.head.starts_with("POST /mcp?x=1 HTTP/1.1"));
        let names: Vec<String> =
            call.head.lines().skip(1).filter_map(|l| Some(l.split_once(':')?.0.to_ascii_lowercase())).collect();
        let allowed = [
            "host",
            "content-type",
            "accept",
            "user-agent",
            "authorization",
            "content-length",
            "mcp-protocol-version",
            "mcp-session-id",
            "mcp-method",
            "mcp-name",
        ];
        assert!(names.iter().all(|n| allowed.contains(&n.as_str())), "{names:?}");
        rig.upstreams.stop().await;
        assert_eq!(fake.seen("DELETE").len(), usize::from(!modern));
        assert_eq!(rig.call("echo", "{}").await.unwrap_err().code, Code::ServerUnavailable);
    }
}

#[tokio::test]
async fn every_kind_of_answer() {
    for modern in [false, true] {
        let fake = Fake::start(modern).await;
        let rig = Rig::started(small(&fake)).await;
        for tool in ["echo", "sse", "twice", "foreign-first", "asks"] {
            let answer = text(&rig.call(tool, "{}").await.unwrap());
            assert!(answer.contains(tool), "{tool}: {answer}");
        }
        assert!(rig.call("null-id", "{}").await.unwrap().error().is_some());
        let counters = rig.status().counters;
        assert_eq!((counters.responses_dropped, counters.requests_refused), (2, 1));
        // The refusal of the server's own request went back on a POST of its own.
        assert_eq!(fake.seen(r#""id":5,"error":{"code":-32601"#).len(), 1);
        assert_eq!(fake.seen(r#"{"jsonrpc":"2.0","id":"p","result":{}}"#).len(), 1);
    }
}

#[tokio::test]
async fn a_stream_that_ends_early_is_resumed() {
    let fake = Fake::start(false).await;
    let rig = Rig::started(spec(launch(&fake))).await;
    assert_eq!(text(&rig.call("resume", "{}").await.unwrap()), "resumed");
    let fault = rig.call("mute", "{}").await.unwrap_err();
    assert_eq!((fault.code, fault.sent), (Code::UpstreamClosed, true));
}

#[tokio::test]
async fn bad_answers_are_faults_and_tell_no_secret() {
    for modern in [false, true] {
        let fake = Fake::start(modern).await;
        let rig = Rig::started(small(&fake)).await;
        for (tool, code) in [
            ("wrong-id", Code::UpstreamInvalid),
            ("garbage", Code::UpstreamInvalid),
            ("batch", Code::UpstreamInvalid),
            ("html", Code::UpstreamInvalid),
            ("redirect", Code::UpstreamInvalid),
            ("unauthorized", Code::UpstreamInvalid),
            ("headers", Code::UpstreamInvalid),
            ("unknown", Code::UpstreamInvalid),
            ("die", Code::UpstreamClosed),
            ("drop", Code::UpstreamClosed),
            ("big", Code::UpstreamTooLarge),
            ("big-event", Code::UpstreamTooLarge),
            ("big-length", Code::UpstreamTooLarge),
        ] {
            let fault = rig.call(tool, "{}").await.unwrap_err();
            assert_eq!((fault.code, fault.sent), (code, true), "{tool}: {fault}");
            // Fewer in a row than are tolerated.
            assert!(rig.call("echo", "{}").await.is_ok());
            assert!(!fault.to_string().contains("s3cret") && !fault.to_string().contains("secret-in"), "{fault}");
        }
        // Still in working order.
        assert!(rig.call("echo", "{}").await.is_ok());
        let shown = format!("{:?}", small(&fake));
        assert!(!shown.contains("s3cret") && !shown.contains("x=1") && shown.contains("/mcp"), "{shown}");
        assert_eq!(fake.seen("/elsewhere").len(), 0, "redirects are not followed");
    }
}

#[tokio::test]
async fn slow_calls_end_and_are_cancelled() {
    for modern in [false, true] {
        let fake = Fake::start(modern).await;
        let rig = Rig::started(spec(launch(&fake))).await;
        let fault = rig.call_within("hang", "{}", Duration::from_millis(100)).await.unwrap_err();
        assert_eq!((fault.code, fault.sent), (Code::UpstreamTimeout, true));
        let dropped = tokio::time::timeout(Duration::from_millis(50), rig.call("hang", "{}")).await;
        assert!(dropped.is_err());
        tokio::time::sleep(Duration::from_millis(200)).await;
        // Toward a modern server the closed stream is the cancellation.
        let cancelled = fake.seen("notifications/cancelled");
        assert_eq!(cancelled.len(), if modern { 0 } else { 2 });
        assert_eq!(rig.status().in_flight, 0);
    }
}

#[tokio::test]
async fn one_session_never_sees_an_id_twice() {
    let fake = Fake::start(false).await;
    let rig = Arc::new(Rig::started(ServerSpec { max_in_flight: 64, ..spec(launch(&fake)) }).await);
    let calls: Vec<_> = (0..64)
        .map(|n| {
            let rig = rig.clone();
            tokio::spawn(async move { (n, text(&rig.call("slow", &format!("{{\"n\":{n}}}")).await.unwrap())) })
        })
        .collect();
    let mut ids = std::collections::HashSet::new();
    for call in calls {
        let (n, sent) = call.await.unwrap();
        assert!(sent.contains(&format!("{{\"n\":{n}}}")), "each gets its own answer");
        assert!(ids.insert(request(&sent).id().clone()));
    }
    // Connections are kept: a second round opens no more.
    let opened = fake.state.connections.load(Ordering::SeqCst);
    for n in 0..20 {
        rig.call("echo", &format!("{{\"n\":{n}}}")).await.unwrap();
    }
    assert_eq!(fake.state.connections.load(Ordering::SeqCst), opened);
}

#[tokio::test]
async fn too_many_calls_are_refused_unsent() {
    let fake = Fake::start(false).await;
    let rig = Arc::new(Rig::started(ServerSpec { max_in_flight: 2, queue: 0, ..spec(launch(&fake)) }).await);
    let held: Vec<_> = (0..2)
        .map(|_| {
            let rig = rig.clone();
            tokio::spawn(async move { rig.call("slow", "{}").await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(10)).await;
    let fault = rig.call("echo", "{}").await.unwrap_err();
    assert_eq!((fault.code, fault.sent), (Code::Overloaded, false));
    for call in held {
        assert!(call.await.unwrap().is_ok());
    }
    assert!(rig.call("echo", "{}").await.is_ok());
}

#[tokio::test]
async fn invariant_4_a_change_stops_calls_until_it_was_compared() {
    for modern in [false, true] {
        let fake = Fake::start(modern).await;
        let rig = Rig::started(spec(launch(&fake))).await;
        rig.acknowledge.store(false, Ordering::SeqCst);
        // On the call's own stream: announced before the answer, so known before the answer.
        if modern || text(&rig.call("changed", "{}").await.unwrap()).contains("changed") {
            if modern {
                rig.call("changed", "{}").await.unwrap();
            }
            assert!(!rig.status().settled);
        }
        rig.logged(|log| log.iter().any(|l| l.contains(r#"{"name":"changed"}"#))).await;
        let settling = rig.settled();
        let waited = tokio::time::timeout(Duration::from_millis(100), settling).await;
        assert!(waited.is_err(), "nobody acknowledged");
        rig.acknowledge.store(true, Ordering::SeqCst);
        assert!(rig.upstreams.relist(&rig.name));
        rig.settled().await.unwrap();
        assert!(rig.call("echo", "{}").await.is_ok());
        // On the listening stream.
        tokio::time::sleep(Duration::from_millis(50)).await;
        *fake.state.tools.lock().unwrap() = r#"[{"name":"third"}]"#.into();
        fake.announce();
        rig.logged(|log| log.iter().any(|l| l.contains("third"))).await;
    }
}

#[tokio::test]
async fn a_call_decided_before_a_change_is_not_sent_after_it() {
    let fake = Fake::start(false).await;
    let rig = Arc::new(Rig::started(spec(launch(&fake))).await);
    rig.acknowledge.store(false, Ordering::SeqCst);
    rig.call("changed", "{}").await.unwrap();
    let late = tokio::spawn({
        let rig = rig.clone();
        async move { rig.call("echo", "{\"late\":1}").await }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    rig.acknowledge.store(true, Ordering::SeqCst);
    assert!(rig.upstreams.relist(&rig.name));
    let fault = late.await.unwrap().unwrap_err();
    assert_eq!((fault.code, fault.sent), (Code::ServerUnavailable, false), "{fault}");
    assert!(fake.seen("late").is_empty());
}

#[tokio::test]
async fn a_forgotten_session_is_opened_again_once() {
    let fake = Fake::start(false).await;
    let rig = Rig::started(spec(launch(&fake))).await;
    fake.forget();
    assert!(rig.call("echo", "{}").await.is_ok(), "the same tools: the call goes on");
    assert_eq!(fake.seen("tools/call").last().unwrap().header("mcp-session-id"), Some("s-2"));
    fake.forget();
    *fake.state.tools.lock().unwrap() = r#"[{"name":"echo","description":"now different"}]"#.into();
    let fault = rig.call("echo", "{}").await.unwrap_err();
    assert_eq!((fault.code, fault.sent), (Code::ServerUnavailable, false), "{fault}");
    assert_eq!(fake.seen("tools/call").iter().filter(|c| c.header("mcp-session-id") == Some("s-3")).count(), 0);
    assert!(rig.log.lock().unwrap().iter().all(|l| !l.starts_with("down")));
}

#[tokio::test]
async fn a_session_refused_in_the_wrong_way_is_opened_again_for_the_next_call() {
    let fake = Fake::start(false).await;
    let rig = Rig::started(spec(launch(&fake))).await;
    assert!(rig.call("null-id", "{}").await.unwrap().error().is_some());
    rig.settled().await.unwrap();
    assert!(rig.call("echo", "{}").await.is_ok());
    assert_eq!(rig.status().counters.connects, 2);
}

#[tokio::test]
async fn renamed_tools_and_replaced_arguments() {
    let fake = Fake::start(true).await;
    *fake.state.tools.lock().unwrap() = r#"[{"name":"echo","inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}},{"name":"bad","inputSchema":{"properties":{"a":{"type":"number","x-mcp-header":"A"}}}}]"#.into();
    let rig = Rig::started(spec(launch(&fake))).await;
    assert!(!rig.log.lock().unwrap()[1].contains("bad"), "a tool whose annotations are forbidden is left out");
    assert_eq!(rig.status().counters.tools_dropped, 1);
    let request = request(
        r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"srv__echo","arguments":{"region":"x"}}}"#,
    );
    for (arguments, header) in [(None, "x"), (Some(r#"{"region":"gr\u00fcn"}"#), "=?base64?Z3LDvG4=?=")] {
        let arguments_sent = arguments.map(|a| Bytes::from_static(a.as_bytes()));
        let call = Call { arguments: arguments_sent, ..call_of("echo", request.clone()) };
        let sent = text(&rig.upstreams.send(&rig.name, &call, &Deaf).await.unwrap());
        assert!(sent.contains(r#""name":"echo""#) && !sent.contains("srv__echo"), "{sent}");
        assert!(sent.contains(arguments.unwrap_or(r#"{"region":"x"}"#)), "{sent}");
        assert_eq!(fake.seen("tools/call").last().unwrap().header("mcp-param-region"), Some(header));
    }
}

#[tokio::test]
async fn a_place_in_a_trace_goes_on_to_servers_of_both_eras() {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for modern in [true, false] {
        let fake = Fake::start(modern).await;
        let rig = Rig::started(spec(launch(&fake))).await;
        let text = r#"{"jsonrpc":"2.0","id":"a","method":"tools/call","params":{"name":"srv__echo","arguments":{}}}"#;
        for (trace, expected) in [
            (Trace::read(PARENT, Some("a=1")), (Some(PARENT), Some("a=1"))),
            (Trace::read(PARENT, None), (Some(PARENT), None)),
            (None, (None, None)),
        ] {
            let call = Call { trace, ..call_of("echo", request(text)) };
            rig.upstreams.send(&rig.name, &call, &Deaf).await.unwrap();
            let seen = fake.seen("tools/call");
            let last = seen.last().unwrap();
            assert_eq!((last.header("traceparent"), last.header("tracestate")), expected);
            assert!(!last.body.contains("trace"), "the message is the client's own");
        }
    }
}

#[tokio::test]
async fn a_header_mismatch_lists_again() {
    let fake = Fake::start(true).await;
    let rig = Rig::started(spec(launch(&fake))).await;
    let listings = fake.seen("tools/list").len();
    assert!(rig.call("mismatch", "{}").await.unwrap().error().is_some());
    rig.settled().await.unwrap();
    assert_eq!(fake.seen("tools/list\"").len(), listings + 1);
}

#[tokio::test]
async fn a_server_that_is_not_there() {
    let url = "http://127.0.0.1:1/mcp".parse().unwrap();
    let rig = Rig::start(spec(Launch::Http { url, headers: vec![], key_pins: vec![] }));
    rig.logged(|log| log.iter().any(|l| l.starts_with("down"))).await;
    let fault = rig.call("echo", "{}").await.unwrap_err();
    assert_eq!((fault.code, fault.sent), (Code::ServerUnavailable, false));
    assert_eq!(rig.settled().await.unwrap_err().code, Code::ServerUnavailable);
    let insecure = Launch::Http {
        url: "http://example.com/mcp".parse().unwrap(),
        headers: vec![(http::header::AUTHORIZATION, SecretString::from("t0p-s3cret".to_owned()))],
        key_pins: vec![],
    };
    let fault = list_once(&spec(insecure), &client()).await.unwrap_err();
    assert!(fault.detail.contains("https") && !fault.detail.contains("s3cret"), "{fault}");
}

#[tokio::test]
async fn one_listing_without_a_gateway() {
    let fake = Fake::start(true).await;
    let listing = list_once(&spec(launch(&fake)), &client()).await.unwrap();
    assert_eq!(listing.server_info.name, "fake");
    assert_eq!(listing.tools, [Bytes::from_static(&TOOLS.as_bytes()[1..TOOLS.len() - 1])]);
}
