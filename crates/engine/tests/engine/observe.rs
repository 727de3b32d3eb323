//! What those who watch are told: each request once, names and outcomes, where it stood in a trace.

use crate::support::{Bench, request};
use bytes::Bytes;
use interlock_engine::front::{Caller, Deaf, Governed};
use interlock_engine::ports::UpstreamFault;
use interlock_engine::{Observed, Observer, Trace};
use interlock_mcp::{Ask, Frame, Revision};
use interlock_model::json::Limits;
use interlock_model::{Code, Mode, Outcome};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Clone, Default)]
struct Watcher(Arc<Mutex<Vec<Observed>>>);

impl Observer for Watcher {
    fn observed(&self, what: Observed) {
        self.0.lock().unwrap().push(what);
    }
}

fn watched() -> (Bench, Watcher) {
    let (bench, watcher) = (Bench::new(Mode::Enforcing), Watcher::default());
    bench.engine.observe(Box::new(watcher.clone()));
    (bench, watcher)
}

#[tokio::test]
async fn every_end_of_a_call_is_told_once() {
    let (bench, watcher) = watched();
    bench.call("read", "1").await;
    bench.call("write", "forbidden").await;
    bench.call("absent", "1").await;
    bench.call("wipe", "1").await;
    bench.answers(r#""result":{"content":[],"isError":true}"#);
    bench.call("read", "2").await;
    *bench.upstream.answer.lock().unwrap() =
        Err(UpstreamFault { code: Code::UpstreamTimeout, sent: true, detail: "t0p-s3cret".into() });
    bench.call("read", "3").await;
    bench.upstream.open.send_replace(false);
    drop(tokio::time::timeout(Duration::from_millis(20), bench.call("read", "4")).await);
    let told: Vec<_> = watcher.0.lock().unwrap().clone();
    let told: Vec<_> = told.iter().map(|one| (one.name.as_deref(), one.decision, one.code, one.failed)).collect();
    assert_eq!(
        told,
        [
            (Some("read"), Some(Outcome::Allow), None, false),
            (Some("write"), Some(Outcome::Deny), Some(Code::PolicyDenied), false),
            (None, Some(Outcome::Deny), Some(Code::UnknownTool), false),
            (Some("wipe"), Some(Outcome::StepUp), Some(Code::ApprovalRequired), false),
            (Some("read"), Some(Outcome::Allow), None, true),
            (Some("read"), Some(Outcome::Allow), Some(Code::UpstreamTimeout), false),
            (None, None, Some(Code::Cancelled), false),
        ]
    );
    let all = format!("{:?}", watcher.0.lock().unwrap());
    assert!(!all.contains("forbidden") && !all.contains("s3cret"), "{all}");
}

#[tokio::test]
async fn the_message_says_where_it_stands_before_its_headers_do() {
    const IN_MESSAGE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const IN_HEADERS: &str = "00-11111111111111111111111111111111-2222222222222222-00";
    let (bench, watcher) = watched();
    let text = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"db__read","arguments":{{"id":"1"}},"_meta":{{"traceparent":"{IN_MESSAGE}"}}}}}}"#
    );
    let Ok(Frame::Request(with_meta)) = Frame::parse(Bytes::from(text), Limits::REQUEST) else { panic!() };
    for (request, expected) in [(with_meta, IN_MESSAGE), (request("read", "1"), IN_HEADERS)] {
        let caller = Caller { trace: Trace::read(IN_HEADERS, None), ..bench.caller(Revision::V2025_11_25) };
        bench.engine.ask(caller, Ask::Call, request, &Deaf).await;
        let told = watcher.0.lock().unwrap().pop().unwrap();
        assert_eq!(told.trace.unwrap().parent(), expected);
        let sent = bench.upstream.sent.lock().unwrap().pop().unwrap();
        assert_eq!(sent.trace.unwrap().parent(), IN_HEADERS, "headers go on as headers");
    }
}
