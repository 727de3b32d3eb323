//! Spans, against a collector of a few lines.

use interlock_engine::{Observed, Observer, Trace};
use interlock_gateway::{Collector, OtlpOptions, otlp};
use interlock_mcp::{Ask, Revision};
use interlock_model::{CallId, Code, Outcome, UnixMillis};
use serde_json::Value;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn observed(n: u8) -> Observed {
    Observed {
        call: CallId::new(UnixMillis(1), [n; 10]),
        agent: "builder".parse().unwrap(),
        ask: Ask::Call,
        server: Some("db".parse().unwrap()),
        name: Some("read".into()),
        revision: Revision::V2025_11_25,
        trace: None,
        at: UnixMillis(1_800_000_000_123),
        took_us: 1500,
        decision: Some(Outcome::Allow),
        code: None,
        failed: false,
    }
}

/// Keeps what it is sent; answers with `status`.
async fn collector(status: &'static str) -> (Collector, Arc<Mutex<Vec<(String, Value)>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let seen = Arc::<Mutex<Vec<(String, Value)>>>::default();
    let kept = seen.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut all = Vec::new();
            let (head, body) = loop {
                let mut piece = [0; 4096];
                let read = stream.read(&mut piece).await.unwrap();
                all.extend_from_slice(&piece[..read]);
                let text = String::from_utf8_lossy(&all).into_owned();
                if let Some((head, body)) = text.split_once("\r\n\r\n")
                    && let Ok(body) = serde_json::from_str(body)
                {
                    break (head.to_owned(), body);
                }
            };
            kept.lock().unwrap().push((head, body));
            stream.write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}").as_bytes()).await.unwrap();
        }
    });
    (address, seen)
}

fn spans(seen: &Mutex<Vec<(String, Value)>>) -> Vec<Value> {
    let seen = seen.lock().unwrap();
    let of = |body: &Value| body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone();
    seen.iter().flat_map(|(_, body)| of(body)).collect()
}

fn attribute<'a>(span: &'a Value, key: &str) -> Option<&'a str> {
    let found = span["attributes"].as_array().unwrap().iter().find(|a| a["key"] == key);
    found.and_then(|a| a["value"]["stringValue"].as_str())
}

fn quick() -> OtlpOptions {
    OtlpOptions { every: Duration::from_millis(20), ..OtlpOptions::default() }
}

#[tokio::test]
async fn a_request_is_a_span_of_its_senders_trace() {
    let (address, seen) = collector("200 OK").await;
    let (stop, stopped) = oneshot::channel::<()>();
    let (watcher, sending) = otlp(address, quick(), |_| {}, async { drop(stopped.await) });
    let sending = tokio::spawn(sending);
    watcher.observed(Observed { trace: Trace::read(PARENT, None), ..observed(1) });
    watcher.observed(Observed { trace: Trace::read(&PARENT.replace("-01", "-00"), None), ..observed(2) });
    watcher.observed(Observed { code: Some(Code::PolicyDenied), decision: Some(Outcome::Deny), ..observed(3) });
    watcher.observed(Observed { failed: true, ask: Ask::Prompt, ..observed(4) });
    drop(stop);
    sending.await.unwrap();
    let head = seen.lock().unwrap()[0].0.clone();
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n") && head.contains("application/json"), "{head}");
    let spans = spans(&seen);
    let [allowed, denied, failed] = spans.as_slice() else { panic!("unsampled ones stay: {spans:?}") };
    assert_eq!(allowed["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(allowed["parentSpanId"], "00f067aa0ba902b7");
    assert_eq!((&allowed["name"], &allowed["kind"]), (&"tools/call read".into(), &2.into()));
    assert_eq!(allowed["startTimeUnixNano"], "1800000000123000000");
    assert_eq!(allowed["endTimeUnixNano"], "1800000000124500000");
    for (key, value) in [
        ("mcp.method.name", Some("tools/call")),
        ("mcp.protocol.version", Some("2025-11-25")),
        ("gen_ai.operation.name", Some("execute_tool")),
        ("gen_ai.tool.name", Some("read")),
        ("interlock.decision", Some("allow")),
        ("interlock.server", Some("db")),
        ("interlock.agent", Some("builder")),
        ("error.type", None),
    ] {
        assert_eq!(attribute(allowed, key), value, "{key}");
    }
    assert_eq!((attribute(denied, "error.type"), &denied["status"]["code"]), (Some("policy_denied"), &2.into()));
    assert_eq!((denied["traceId"].as_str().unwrap().len(), &denied["parentSpanId"]), (32, &"".into()));
    assert_eq!((attribute(failed, "error.type"), attribute(failed, "gen_ai.tool.name")), (Some("tool_error"), None));
    assert_eq!(attribute(failed, "gen_ai.prompt.name"), Some("read"));
    assert_ne!(denied["spanId"], failed["spanId"]);
}

#[tokio::test]
async fn batches_are_bounded_and_do_not_wait_for_long() {
    let (address, seen) = collector("200 OK").await;
    let (watcher, sending) = otlp(address, OtlpOptions { batch: 2, ..quick() }, |_| {}, std::future::pending());
    let sending = tokio::spawn(sending);
    for n in 0..5 {
        watcher.observed(observed(n));
    }
    tokio::time::timeout(Duration::from_secs(5), async {
        while spans(&seen).len() < 5 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(seen.lock().unwrap().len(), 3);
    sending.abort();
}

#[tokio::test]
async fn a_collector_that_is_gone_or_refuses_costs_nothing_and_is_said_once() {
    let gone: Collector = "http://127.0.0.1:1".parse().unwrap();
    let (refusing, _) = collector("503 Busy").await;
    for address in [gone, refusing] {
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let log = {
            let lines = lines.clone();
            move |line: &str| lines.lock().unwrap().push(line.to_owned())
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let options = OtlpOptions { queue: 4, batch: 1, ..quick() };
        let (watcher, sending) = otlp(address, options, log, async { drop(stopped.await) });
        let begun = std::time::Instant::now();
        for n in 0..200 {
            watcher.observed(observed(n));
        }
        assert!(begun.elapsed() < Duration::from_millis(100), "nobody waits");
        drop(stop);
        tokio::time::timeout(Duration::from_secs(5), sending).await.unwrap();
        let lines = lines.lock().unwrap();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].contains("does not take spans"), "{lines:?}");
    }
}

#[test]
fn addresses_of_collectors() {
    for (text, valid) in [
        ("http://127.0.0.1:4318", true),
        ("http://collector.example.org", true),
        ("http://[::1]:4318/otlp/", true),
        ("https://127.0.0.1:4318", false),
        ("127.0.0.1:4318", false),
        ("http://user:key@127.0.0.1:4318", false),
        ("http://127.0.0.1:4318/?token=1", false),
        ("", false),
    ] {
        assert_eq!(text.parse::<Collector>().is_ok(), valid, "{text}");
    }
}
