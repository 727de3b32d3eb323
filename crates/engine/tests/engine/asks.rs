//! What is no tool: resources, prompts, lists, and what servers ask while they work. All of it passes the path of a call.

use crate::support::{Bench, records};
use bytes::Bytes;
use interlock_engine::front::{Aside, Caller, Deaf, Endpoint, NoReply, Replying};
use interlock_ledger::entry::{CallStatus, Event};
use interlock_mcp::{Ask, Frame, Notification, Request, Revision};
use interlock_model::json::Limits;
use interlock_model::{Code, Mode};
use serde_json::{Value, json};
use std::sync::Mutex;

const OPEN: &str = r#"
@id("all") permit (principal, action, resource);
@id("no-secrets") @reason("a secret") forbid (principal, action == Interlock::Action::"read", resource) when { context.facts.secret_path };
@id("no-hidden") forbid (principal, action == Interlock::Action::"prompt", resource) when { resource.name == "hidden" };
@id("no-passwords") @reason("asks for a secret") forbid (principal, action == Interlock::Action::"elicit", resource) when { context.facts.asks_secret };
@id("no-sampling") @reason("no sampling here") forbid (principal, action == Interlock::Action::"sample", resource);
"#;

fn request(method: &str, params: &Value) -> Request {
    let text = json!({ "jsonrpc": "2.0", "id": "me", "method": method, "params": params }).to_string();
    match Frame::parse(Bytes::from(text), Limits::REQUEST) {
        Ok(Frame::Request(request)) => request,
        other => panic!("no request: {other:?}"),
    }
}

fn bench() -> Bench {
    let bench = Bench::new(Mode::Enforcing);
    bench.policy(OPEN);
    bench
}

/// A client that answers everything alike and keeps what it was asked.
#[derive(Default)]
struct Client(Mutex<Vec<String>>);

impl Aside for Client {
    fn tell(&self, _: &Notification) {}

    fn ask(&self, question: Request) -> Replying<'_> {
        self.0.lock().unwrap().push(question.method().to_owned());
        Box::pin(async {
            let text = r#"{"jsonrpc":"2.0","id":9,"result":{"action":"accept","content":{"name":"ada"}}}"#;
            match Frame::parse(Bytes::from(text), Limits::RESULT) {
                Ok(Frame::Response(response)) => Ok(response),
                _ => Err(NoReply::not_offered("never")),
            }
        })
    }
}

fn able(bench: &Bench, revision: Revision) -> Caller {
    Caller { capabilities: Bytes::from_static(br#"{"elicitation":{},"sampling":{}}"#), ..bench.caller(revision) }
}

async fn asked(bench: &Bench, method: &str, params: Value) -> Value {
    asked_as(bench, bench.caller(Revision::V2025_11_25), method, params).await
}

async fn asked_as(bench: &Bench, caller: Caller, method: &str, params: Value) -> Value {
    bench.ask_as(caller, Ask::of(method).unwrap(), request(method, &params), &Deaf).await
}

#[tokio::test]
async fn a_resource_is_read_at_its_server_under_its_own_name_and_recorded() {
    let bench = bench();
    bench.answers(r#""result":{"contents":[{"uri":"file:///a","text":"x"}]}"#);
    let answer = asked(&bench, "resources/read", json!({ "uri": "db+file:///a" })).await;
    assert_eq!(answer["result"]["contents"][0]["uri"], "db+file:///a", "it can be read again");
    let sent = bench.upstream.sent.lock().unwrap()[0].clone();
    assert_eq!((sent.server.as_str(), sent.name.unwrap().1.as_ref()), ("db", "file:///a"));
    let (kind, record) = records(&bench).remove(0);
    let subject = record.subject.unwrap();
    assert_eq!((kind, subject.method.as_str(), subject.name, record.tool), ("intent", "resources/read", None, None));
    assert_eq!(record.decision.policies, ["all"]);
}

#[tokio::test]
async fn what_policy_forbids_or_nobody_has_is_never_sent() {
    for (method, params, code, rpc_code) in [
        ("resources/read", json!({ "uri": "db+file:///app/.env" }), "policy_denied", -32603),
        ("resources/read", json!({ "uri": "file:///a" }), "", 0),
        ("resources/read", json!({ "uri": "other+file:///a" }), "", 0),
        ("resources/read", json!({}), "unknown_resource", -32002),
        ("prompts/get", json!({ "name": "db__hidden" }), "unknown_prompt", -32602),
        ("prompts/get", json!({ "name": "hidden" }), "unknown_prompt", -32602),
        ("prompts/get", json!({ "name": "other__p" }), "unknown_prompt", -32602),
        ("completion/complete", json!({ "ref": { "type": "ref/what" } }), "unknown_prompt", -32602),
    ] {
        let bench = bench();
        let answer = asked(&bench, method, params.clone()).await;
        let sent = bench.upstream.calls();
        if code.is_empty() {
            assert_eq!(sent, 1, "there is one server only, so that it is clear whose address this is: {params}");
            continue;
        }
        assert_eq!(sent, 0, "{params}");
        assert_eq!(answer["error"]["data"]["code"], code, "{answer}");
        assert_eq!(answer["error"]["code"], rpc_code, "{answer}");
        assert_eq!(records(&bench)[0].0, "denial", "{params}");
    }
}

#[tokio::test]
async fn lists_leave_out_what_the_agent_may_not_know_of() {
    let bench = bench();
    bench.answers(r#""result":{"prompts":[{"name":"hidden"},{"name":"p","x":1.10}]}"#);
    let all = asked(&bench, "prompts/list", json!({})).await;
    assert_eq!(all["result"], json!({ "prompts": [{ "name": "db__p", "x": 1.10 }] }));
    let plain = Caller { endpoint: Endpoint::Server("db".parse().unwrap()), ..bench.caller(Revision::V2026_07_28) };
    let one = asked_as(&bench, plain, "prompts/list", json!({})).await;
    assert_eq!(one["result"]["prompts"], json!([{ "name": "p", "x": 1.10 }]));
    assert_eq!(one["result"]["cacheScope"], "private");
    assert_eq!(records(&bench).len(), 2, "each asked a server, and both are recorded");
    let wrong = asked(&bench, "prompts/list", json!({ "cursor": "x" })).await;
    assert_eq!(wrong["error"]["code"], -32602);
}

const NAME: &str = r#"{"jsonrpc":"2.0","id":1,"method":"elicitation/create","params":{"message":"name?"}}"#;
const PASSWORD: &str = r#"{"jsonrpc":"2.0","id":2,"method":"elicitation/create","params":{"message":"password?"}}"#;
const SAMPLE: &str = r#"{"jsonrpc":"2.0","id":3,"method":"sampling/createMessage","params":{"messages":[]}}"#;
const ROOTS: &str = r#"{"jsonrpc":"2.0","id":4,"method":"roots/list"}"#;
const ODD: &str = r#"{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"x"}}"#;

#[tokio::test]
async fn what_a_server_asks_is_decided_and_recorded_before_anyone_sees_it() {
    let bench = bench();
    *bench.upstream.asks.lock().unwrap() = [NAME, PASSWORD, SAMPLE, ROOTS, ODD].map(String::from).to_vec();
    let client = Client::default();
    let caller = able(&bench, Revision::V2025_11_25);
    let answer = bench.ask_as(caller, Ask::Call, crate::support::request("read", "1"), &client).await;
    assert_eq!(answer["result"]["isError"], Value::Null);
    assert_eq!(*client.0.lock().unwrap(), ["elicitation/create"], "the one that policy lets pass");
    let replies = bench.upstream.replies.lock().unwrap().clone();
    assert!(replies[0].as_ref().unwrap().contains("ada"));
    assert_eq!(replies[1].as_deref(), Ok(r#"{"action":"decline"}"#), "policy says no in the protocol's words");
    let codes: Vec<Code> = replies[2..].iter().map(|reply| reply.as_ref().unwrap_err().code).collect();
    assert_eq!(codes, [Code::PolicyDenied, Code::UnknownMethod, Code::UnknownMethod]);

    let records = records(&bench);
    let call = records[0].1.call;
    let about: Vec<_> = records[1..]
        .iter()
        .map(|(kind, record)| {
            let subject = record.subject.as_ref().unwrap();
            assert_eq!((subject.within, subject.server.as_str()), (Some(call), "db"));
            (*kind, subject.method.as_str())
        })
        .collect();
    assert_eq!(
        about,
        [("intent", "elicitation/create"), ("denial", "elicitation/create"), ("denial", "sampling/createMessage")]
    );
}

#[tokio::test]
async fn questions_in_an_answer_are_decided_before_the_answer_is_shown() {
    let asks = |request: &str| {
        format!(
            r#""result":{{"resultType":"input_required","inputRequests":{{"k":{request}}},"requestState":"theirs"}}"#
        )
    };
    let name = r#"{"method":"elicitation/create","params":{"message":"name?"}}"#;
    for (members, code) in [
        (asks(name), None),
        (asks(&name.replace("name?", "password?")), Some("policy_denied")),
        (asks(r#"{"method":"roots/list"}"#), Some("upstream_invalid")),
        (asks(r#"{"method":"tools/call","params":{}}"#), Some("upstream_invalid")),
    ] {
        let bench = bench();
        bench.answers(&members);
        let caller = able(&bench, Revision::V2026_07_28);
        let answer = bench.ask_as(caller, Ask::Call, crate::support::request("read", "1"), &Deaf).await;
        assert_eq!(crate::support::code(&answer), code, "{answer}");
        if code.is_none() {
            assert_eq!(answer["result"]["inputRequests"]["k"]["method"], "elicitation/create");
            let shown = bench.ledger.entries().into_iter().map(|entry| entry.event).any(|event| match event {
                Event::Outcome(outcome) => outcome.status == CallStatus::Shown,
                _ => false,
            });
            assert!(shown, "the question has an entry of its own");
        } else {
            assert!(!answer.to_string().contains("password?"), "it was not shown: {answer}");
        }
    }
}

#[tokio::test]
async fn a_state_comes_back_to_its_server_as_it_was_and_only_from_whom_it_was_given_to() {
    let bench = bench();
    bench.answers(r#""result":{"resultType":"input_required","requestState":"theirs.1"}"#);
    let modern = || bench.caller(Revision::V2026_07_28);
    let first = bench.ask_as(modern(), Ask::Call, crate::support::request("read", "1"), &Deaf).await;
    let sealed = first["result"]["requestState"].as_str().unwrap().to_owned();
    assert_ne!(sealed, "theirs.1");
    let leg = |name: &str, state: &str| {
        let params = json!({ "name": name, "arguments": { "id": "1" }, "inputResponses": {}, "requestState": state });
        request("tools/call", &params)
    };
    bench.answers(r#""result":{"content":[]}"#);
    let done = bench.ask_as(modern(), Ask::Call, leg("db__read", &sealed), &Deaf).await;
    assert_eq!(done["result"]["resultType"], "complete");
    assert_eq!(bench.upstream.sent.lock().unwrap()[1].state.as_deref(), Some("theirs.1"));
    for (name, state) in [
        ("db__write", sealed.as_str()),
        ("db__read", "theirs.1"),
        ("db__read", &sealed.replace("theirs", "others")),
        ("db__read", ""),
    ] {
        let refused = bench.ask_as(modern(), Ask::Call, leg(name, state), &Deaf).await;
        assert_eq!(
            (refused["error"]["code"].as_i64(), crate::support::code(&refused)),
            (Some(-32602), Some("forged_state"))
        );
    }
    assert_eq!(bench.upstream.calls(), 2, "nothing of it was sent");
}

#[tokio::test]
async fn a_task_is_asked_about_by_whom_its_call_was_and_only_while_its_tool_may_be_called() {
    let bench = bench();
    bench.answers(r#""result":{"resultType":"task","taskId":"t.1","status":"working"}"#);
    let modern = || bench.caller(Revision::V2026_07_28);
    let begun = bench.ask_as(modern(), Ask::Call, crate::support::request("read", "1"), &Deaf).await;
    let task = begun["result"]["taskId"].as_str().unwrap().to_owned();
    assert!(task.starts_with("db/read/") && task != "t.1");

    let known = asked_as(&bench, modern(), "tasks/get", json!({ "taskId": task })).await;
    assert_eq!(known["result"]["taskId"], task.as_str(), "the id stays the same");
    assert_eq!(bench.upstream.sent.lock().unwrap()[1].name.as_ref().unwrap().1.as_ref(), "t.1");
    let (kind, record) = records(&bench).remove(1);
    let subject = record.subject.unwrap();
    assert_eq!((kind, subject.method.as_str(), subject.name.as_deref()), ("intent", "tasks/get", Some("read")));

    for forged in [task.replace("db/read", "db/write"), task.replace("t.1", "t.2"), "t.1".to_owned(), String::new()] {
        let unknown = asked_as(&bench, modern(), "tasks/cancel", json!({ "taskId": forged })).await;
        assert_eq!(unknown["error"]["data"]["code"], "unknown_task", "{forged}");
    }
    bench.policy(r#"@id("none") forbid (principal, action, resource);"#);
    let closed = asked_as(&bench, modern(), "tasks/get", json!({ "taskId": task })).await;
    assert_eq!(closed["error"]["data"]["code"], "unknown_task");
    assert_eq!(bench.upstream.calls(), 2, "nothing of it was sent");
}
