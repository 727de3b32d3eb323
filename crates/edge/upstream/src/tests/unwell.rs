//! Servers that are unwell, and calls that wait for their turn.

use super::fake_http::Fake;
use super::fake_sse::{FakeSse, GOOD};
use super::rig::{Rig, call_of, request, spec, text};
use crate::session::Call;
use crate::{Condition, Launch, ServerSpec, Tolerance};
use interlock_engine::front::Deaf;
use interlock_model::Code;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

const QUICK: Tolerance = Tolerance {
    faults: 3,
    wait: Duration::from_millis(200),
    longest_wait: Duration::from_millis(400),
    patience: Duration::from_millis(300),
};

fn at(url: &http::Uri) -> ServerSpec {
    let launch = Launch::Http { url: url.clone(), headers: vec![], key_pins: vec![] };
    ServerSpec { tolerance: QUICK, ..spec(launch) }
}

#[tokio::test]
async fn after_some_faults_calls_fail_at_once_until_the_server_answers_again() {
    for modern in [false, true] {
        let fake = Fake::start(modern).await;
        let rig = Rig::started(at(&fake.url)).await;
        for tool in ["drop", "html", "echo", "die", "garbage"] {
            let _ = rig.call(tool, "{}").await;
        }
        assert_eq!(rig.status().outage, None, "an answer in between");
        // Errors are answers.
        for _ in 0..5 {
            assert!(rig.call("mismatch", "{}").await.unwrap().error().is_some());
            rig.settled().await.unwrap();
        }
        for tool in ["drop", "html", "die"] {
            assert!(rig.call(tool, "{}").await.unwrap_err().sent);
        }
        let (calls, listings) = (fake.seen("tools/call\"").len(), fake.seen("tools/list\"").len());
        let fault = rig.call("echo", "{}").await.unwrap_err();
        assert_eq!((fault.code, fault.sent), (Code::ServerUnavailable, false), "{fault}");
        assert!(fault.detail.contains("unavailable for 0.") && fault.detail.contains("tried again in 0."), "{fault}");
        assert!(fault.detail.contains("broke off"), "{fault}");
        assert_eq!(rig.settled().await.unwrap_err().code, Code::ServerUnavailable, "before anything is recorded");
        let outage = rig.status().outage.unwrap();
        assert!(outage.next_try <= QUICK.wait && outage.since < QUICK.wait, "{outage:?}");
        assert_eq!(fake.seen("tools/call\"").len(), calls, "nothing was sent");
        tokio::time::sleep(QUICK.wait + Duration::from_millis(150)).await;
        assert_eq!(rig.status().outage, None);
        assert_eq!(fake.seen("tools/list\"").len(), listings + 1, "a request of ours tried it, once");
        assert!(rig.call("echo", "{}").await.is_ok());
    }
}

#[tokio::test]
async fn a_server_that_goes_away_fails_at_once_and_says_since_when() {
    let fake = FakeSse::start(GOOD).await;
    let rig = Rig::started(at(&fake.url)).await;
    fake.end();
    drop(fake);
    rig.logged(|log| log.iter().filter(|l| l.starts_with("down")).count() >= 3).await;
    let begun = Instant::now();
    for _ in 0..20 {
        let fault = rig.call("echo", "{}").await.unwrap_err();
        assert_eq!((fault.code, fault.sent), (Code::ServerUnavailable, false), "{fault}");
        assert!(fault.detail.contains("unavailable for") && fault.detail.contains("tried"), "{fault}");
    }
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    let status = rig.status();
    assert!(matches!(status.condition, Condition::Down { .. }));
    assert!(status.outage.unwrap().since > Duration::ZERO);
}

#[tokio::test]
async fn a_stream_made_anew_is_tried_at_once() {
    let fake = FakeSse::start(GOOD).await;
    let rig = Rig::started(at(&fake.url)).await;
    for _ in 0..3 {
        let fault = rig.call_within("hang", "{}", Duration::from_millis(30)).await.unwrap_err();
        assert_eq!(fault.code, Code::UpstreamTimeout);
    }
    assert!(rig.status().outage.is_some());
    fake.end();
    rig.logged(|log| log.iter().filter(|l| l.starts_with("listed")).count() == 2).await;
    assert!(rig.call("echo", "{}").await.is_ok());
    assert_eq!(rig.status().outage, None);
}

#[tokio::test]
async fn a_stream_that_says_nothing_any_more_is_opened_again() {
    let fake = FakeSse::start(GOOD).await;
    let rig = Rig::started(at(&fake.url)).await;
    for _ in 0..3 {
        let fault = rig.call_within("mute", "{}", Duration::from_millis(30)).await.unwrap_err();
        assert_eq!(fault.code, Code::UpstreamTimeout);
    }
    rig.logged(|log| log.iter().filter(|l| l.starts_with("listed")).count() == 2).await;
    assert!(rig.call("echo", "{}").await.is_ok());
    assert_eq!((fake.seen("GET /sse").len(), rig.status().outage), (2, None));
}

/// So many calls, on their way.
async fn held(rig: &Arc<Rig>, calls: usize) -> Vec<tokio::task::JoinHandle<()>> {
    let all = (0..calls).map(|_| {
        let rig = rig.clone();
        tokio::spawn(async move { drop(rig.call("slow", "{}").await) })
    });
    let all = all.collect();
    tokio::time::sleep(Duration::from_millis(10)).await;
    all
}

#[tokio::test]
async fn one_key_with_many_calls_does_not_hold_up_another() {
    let fake = Fake::start(false).await;
    let rig = Arc::new(Rig::started(ServerSpec { max_in_flight: 2, queue: 100, ..at(&fake.url) }).await);
    let order = Arc::new(Mutex::new(Vec::new()));
    let call = |key: u64| {
        let (rig, order) = (rig.clone(), order.clone());
        tokio::spawn(async move {
            let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"slow"}}"#;
            let call = Call { key, ..call_of("slow", request(text)) };
            let answer = rig.upstreams.send(&rig.name, &call, &Deaf).await;
            order.lock().unwrap().push((key, answer.is_ok()));
        })
    };
    let many: Vec<_> = (0..60).map(|_| call(1)).collect();
    tokio::time::sleep(Duration::from_millis(10)).await;
    let few: Vec<_> = (0..3).map(|_| call(2)).collect();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!((rig.status().in_flight, rig.status().queued), (2, 61));
    for call in many.into_iter().chain(few) {
        call.await.unwrap();
    }
    let order = order.lock().unwrap();
    assert!(order.iter().all(|(_, ok)| *ok));
    let last = order.iter().rposition(|(key, _)| *key == 2).unwrap();
    assert!(last < 12, "the few were done after {last} calls");
    assert_eq!((rig.status().in_flight, rig.status().queued), (0, 0));
}

#[tokio::test]
async fn calls_wait_so_long_and_no_longer() {
    let fake = Fake::start(false).await;
    let queue_wait = Duration::from_millis(50);
    let rig = Rig::started(ServerSpec { max_in_flight: 1, queue: 1, queue_wait, ..at(&fake.url) }).await;
    let rig = Arc::new(rig);
    let hanging = tokio::spawn({
        let rig = rig.clone();
        async move { rig.call_within("hang", "{}", Duration::from_millis(300)).await }
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    let (begun, listed) = (Instant::now(), fake.seen("tools/call").len());
    let (first, second) = tokio::join!(rig.call("echo", "{}"), rig.call("echo", "{}"));
    for fault in [first.unwrap_err(), second.unwrap_err()] {
        assert_eq!((fault.code, fault.sent), (Code::Overloaded, false), "{fault}");
    }
    assert!(begun.elapsed() >= queue_wait && begun.elapsed() < Duration::from_millis(200));
    assert_eq!(fake.seen("tools/call").len(), listed, "neither was sent");
    assert_eq!(hanging.await.unwrap().unwrap_err().code, Code::UpstreamTimeout);
    for call in held(&rig, 1).await {
        assert!(rig.call("echo", "{}").await.is_ok(), "waited for its turn");
        call.await.unwrap();
    }
}

#[tokio::test]
async fn a_call_that_waited_is_not_sent_to_tools_that_changed_meanwhile() {
    let fake = Fake::start(true).await;
    let rig = Arc::new(Rig::started(ServerSpec { max_in_flight: 1, ..at(&fake.url) }).await);
    let hanging = tokio::spawn({
        let rig = rig.clone();
        async move { rig.call_within("hang", "{}", Duration::from_millis(400)).await }
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    let waiting = tokio::spawn({
        let rig = rig.clone();
        async move { rig.call("echo", "{\"late\":1}").await }
    });
    tokio::time::sleep(Duration::from_millis(10)).await;
    *fake.state.tools.lock().unwrap() = r#"[{"name":"echo","description":"now different"}]"#.into();
    fake.announce();
    rig.logged(|log| log.iter().any(|l| l.contains("different"))).await;
    rig.settled().await.unwrap();
    assert_eq!(rig.status().queued, 1, "settled again while the call still waits");
    assert!(hanging.await.unwrap().is_err());
    let fault = waiting.await.unwrap().unwrap_err();
    assert_eq!((fault.code, fault.sent), (Code::ServerUnavailable, false), "{fault}");
    assert!(fake.seen("late").is_empty());
}

/// A modern server that answers `left` requests on a connection and then closes it: idle ones at once, or only
/// when the next request has been read.
async fn closes(left: usize, after_reading: bool) -> (http::Uri, Arc<AtomicUsize>) {
    async fn serve(mut stream: TcpStream, mut left: usize, after_reading: bool, calls: Arc<AtomicUsize>) {
        let mut buffer = Vec::new();
        loop {
            let whole = loop {
                let text = String::from_utf8_lossy(&buffer).into_owned();
                if let Some((head, body)) = text.split_once("\r\n\r\n") {
                    let length = head
                        .to_ascii_lowercase()
                        .lines()
                        .find_map(|l| l.strip_prefix("content-length: ")?.parse().ok());
                    if body.len() >= length.unwrap_or(0_usize) {
                        break text;
                    }
                }
                if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                    return;
                }
            };
            buffer.clear();
            calls.fetch_add(usize::from(whole.contains("tools/call\"")), Ordering::SeqCst);
            if left == 0 {
                return;
            }
            left -= 1;
            let id = whole.split("\"id\":").nth(1).and_then(|r| r.split(',').next()).unwrap_or("0").to_owned();
            let info = r#""serverInfo":{"name":"fake","version":"1"},"capabilities":{"tools":{}}"#;
            let (status, body) = if whole.contains("\"initialize\"") {
                (
                    "404 Not Found",
                    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":-32601,\"message\":\"no\"}}}}"),
                )
            } else {
                let result = format!("{{\"supportedVersions\":[\"2026-07-28\"],{info},\"tools\":[],\"text\":\"ok\"}}");
                ("200 OK", format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}"))
            };
            let text = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(text.as_bytes()).await;
            if left == 0 && !after_reading {
                return;
            }
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap()).parse().unwrap();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, left, after_reading, counted.clone()));
        }
    });
    (url, calls)
}

#[tokio::test]
async fn a_call_is_sent_again_only_if_nothing_of_it_was() {
    // Idle connections that the server closed: nobody notices.
    let (url, calls) = closes(1, false).await;
    let rig = Rig::started(at(&url)).await;
    for _ in 0..10 {
        assert_eq!(text(&rig.call("echo", "{}").await.unwrap()), "ok");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(calls.load(Ordering::SeqCst), 10);
    // Closed after the request was read: it may have run, and is not sent again.
    let (url, calls) = closes(4, true).await;
    let tolerance = Tolerance { faults: u32::MAX, ..QUICK };
    let rig = Rig::started(ServerSpec { tolerance, ..at(&url) }).await;
    let mut broken = 0;
    for _ in 0..20 {
        if let Err(fault) = rig.call("echo", "{}").await {
            assert_eq!((fault.code, fault.sent), (Code::UpstreamClosed, true), "{fault}");
            broken += 1;
        }
    }
    assert!((3..=5).contains(&broken), "{broken}");
    assert_eq!(calls.load(Ordering::SeqCst), 20, "each call was seen exactly once");
}
