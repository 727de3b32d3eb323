//! The API beside the MCP port: AuthZEN evaluations, one and several, in front of a fake engine.

use crate::fake::Fake;
use crate::raw::{Answer, Connection};
use interlock_engine::authorize::{Authorizes, Verdict};
use interlock_engine::front::{Caller, Endpoint};
use interlock_gateway::{HttpOptions, serve_api};
use interlock_mcp::{Ask, Request};
use interlock_model::{ApprovalId, Code, Mode, Outcome, Tier, UnixMillis};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::net::TcpListener;

const KEY: (&str, &str) = ("Authorization", "Bearer key-a");

impl Authorizes for Fake {
    async fn authorize(&self, caller: Caller, ask: Ask, request: Request) -> Verdict {
        self.started.fetch_add(1, Ordering::SeqCst);
        let params = String::from_utf8_lossy(request.params().unwrap().raw()).into_owned();
        let Endpoint::Server(server) = &caller.endpoint else { panic!("no server") };
        let said = format!("{} {server} {} {params}", caller.principal.agent.id, request.method());
        let verdict = verdict(Outcome::Allow, None, &said);
        let name = ask.name(&request).unwrap().1.as_str().unwrap().into_owned();
        match name.as_str() {
            "no" => Verdict { policies: vec!["never".into()], ..denied(Outcome::Deny, Code::PolicyDenied) },
            "human" => Verdict {
                tier: Some(Tier::try_from(2).unwrap()),
                approval: Some(ApprovalId::new(UnixMillis(1), [7; 10])),
                ..denied(Outcome::StepUp, Code::ApprovalRequired)
            },
            "full" => denied(Outcome::Deny, Code::NotRecorded),
            _ => Verdict { obligations: vec!["label:internal".into()], ..verdict },
        }
    }

    fn may_list(&self, _: &Caller, ask: Ask, request: &Request) -> Verdict {
        match ask.name(request) {
            Some((_, name)) if name.is_str("hidden") => denied(Outcome::Deny, Code::UnknownTool),
            _ => verdict(Outcome::Allow, None, "listed"),
        }
    }

    fn ready(&self) -> Result<(), &'static str> {
        if self.allow_unbound { Ok(()) } else { Err("no policy is in force") }
    }
}

fn verdict(outcome: Outcome, code: Option<Code>, reason: &str) -> Verdict {
    Verdict {
        permitted: code.is_none(),
        call: None,
        outcome,
        code,
        reason: reason.to_owned(),
        policies: vec![],
        tier: None,
        approval: None,
        obligations: vec![],
        mode: Mode::Enforcing,
    }
}

fn denied(outcome: Outcome, code: Code) -> Verdict {
    verdict(outcome, Some(code), code.meaning())
}

struct Api {
    at: SocketAddr,
    fake: Arc<Fake>,
}

impl Api {
    async fn start(options: HttpOptions, allow_unbound: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let mut fake = Fake::new();
        Arc::get_mut(&mut fake).unwrap().allow_unbound = allow_unbound;
        tokio::spawn(serve_api(vec![listener], fake.clone(), options, std::future::pending()));
        Self { at, fake }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        Connection::open(self.at).await.ask(method, path, headers, body).await
    }

    async fn evaluate(&self, body: &Value) -> (u16, Value) {
        let answer = self.ask("POST", "/access/v1/evaluation", &[KEY], &body.to_string()).await;
        (answer.status, if answer.status == 200 { answer.json() } else { Value::Null })
    }

    async fn evaluations(&self, body: &Value) -> Value {
        let answer = self.ask("POST", "/access/v1/evaluations", &[KEY], &body.to_string()).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    fn asked(&self) -> usize {
        self.fake.started.load(Ordering::SeqCst)
    }
}

fn tool(name: &str) -> Value {
    json!({
        "subject": { "type": "agent", "id": "a" },
        "action": { "name": "call" },
        "resource": { "type": "tool", "id": format!("files/{name}"), "properties": { "arguments": { "n": 1.10 } } },
    })
}

fn with(mut value: Value, pointer: &str, to: Value) -> Value {
    match value.pointer_mut(pointer) {
        Some(at) => *at = to,
        None => {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            value.pointer_mut(parent).unwrap()[name] = to;
        }
    }
    value
}

#[tokio::test]
async fn a_question_reaches_the_engine_as_the_request_that_a_client_would_make() {
    let api = Api::start(HttpOptions::default(), false).await;
    let body = r#"{"subject":{"type":"agent","id":"a"},"action":{"name":"call","properties":{"why":1}},"more":[],
        "resource":{"type":"tool","id":"files/a/b","properties":{"arguments":{"n": 1.10,"m":"\u00e4"}}},"context":{"time":"now"}}"#;
    for path in ["/api/v1/authorize", "/access/v1/evaluation", "/access/v1/evaluations"] {
        let answer = api.ask("POST", path, &[KEY, ("X-Request-ID", "r-7")], body).await;
        assert_eq!((answer.status, answer.header("x-request-id")), (200, Some("r-7")));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(
            answer.json(),
            json!({
                "decision": true,
                "context": {
                    "outcome": "allow",
                    "reason": r#"a files tools/call {"name":"a/b","arguments":{"n": 1.10,"m":"\u00e4"}}"#,
                    "policies": [],
                    "mode": "enforcing",
                    "obligations": ["label:internal"],
                },
            }),
            "the arguments' bytes are the caller's own"
        );
    }
    for (action, kind, id, expected) in [
        ("read", "resource", "files/file:///a/b", r#"a files resources/read {"uri":"file:///a/b"}"#),
        ("prompt", "prompt", "files/greet", r#"a files prompts/get {"name":"greet"}"#),
    ] {
        let body = json!({
            "subject": { "type": "agent", "id": "a" }, "action": { "name": action },
            "resource": { "type": kind, "id": id },
        });
        assert_eq!(api.evaluate(&body).await.1["context"]["reason"], expected);
    }
    let listed = with(tool("seen"), "/action/name", json!("list"));
    assert_eq!(api.evaluate(&listed).await.1["decision"], true);
    let hidden = with(tool("hidden"), "/action/name", json!("list"));
    assert_eq!(api.evaluate(&hidden).await.1["decision"], false);
}

#[tokio::test]
async fn a_no_says_why_and_what_to_do() {
    let api = Api::start(HttpOptions::default(), false).await;
    let (status, no) = api.evaluate(&tool("no")).await;
    assert_eq!((status, &no["decision"]), (200, &json!(false)));
    let context = &no["context"];
    assert_eq!(context["outcome"], "deny");
    assert_eq!((&context["code"], &context["retry"]), (&json!("policy_denied"), &json!("no")));
    assert_eq!(context["policies"], json!(["never"]));
    let (_, human) = api.evaluate(&tool("human")).await;
    let context = &human["context"];
    assert_eq!((&human["decision"], &context["outcome"]), (&json!(false), &json!("step_up")));
    assert_eq!((&context["tier"], &context["retry"]), (&json!(2), &json!("after_approval")));
    assert!(context["approval"]["id"].is_string());
    // No decision is not a decision.
    assert_eq!(api.evaluate(&tool("full")).await.0, 503);
}

#[tokio::test]
async fn what_is_malformed_is_refused_with_a_message_and_asked_of_nobody() {
    let api = Api::start(HttpOptions::default(), false).await;
    let good = tool("yes");
    let without = |name: &str| {
        let mut body = good.clone();
        body.as_object_mut().unwrap().remove(name);
        body.to_string()
    };
    let changed = |pointer: &str, to: Value| with(good.clone(), pointer, to).to_string();
    let twice = good.to_string().replacen('{', r#"{"action":{"name":"list"},"#, 1);
    let deep = changed("/resource/properties/arguments/n", json!(0))
        .replace(":0}", &format!(":{}{}}}", "[".repeat(70), "]".repeat(70)));
    for (body, status, message) in [
        ("".to_owned(), 400, "not one JSON text"),
        ("{} {}".to_owned(), 400, "not one JSON text"),
        (twice, 400, "already has"),
        (deep, 400, "too deep"),
        ("[]".to_owned(), 400, "is an object"),
        (without("subject"), 400, "`subject` is missing"),
        (without("action"), 400, "`action` is missing"),
        (without("resource"), 400, "`resource` is missing"),
        (changed("/subject", json!("a")), 400, "`subject` is not an object"),
        (changed("/subject/id", json!("b")), 403, "nobody asks for another"),
        (changed("/subject/type", json!("user")), 403, "nobody asks for another"),
        (changed("/action/name", json!(7)), 400, "`action.name` is not a string"),
        (changed("/action/name", json!("delete")), 400, "`action.name` and `resource.type`"),
        (changed("/resource/type", json!("resource")), 400, "`action.name` and `resource.type`"),
        (changed("/resource/id", json!("nothing")), 400, "`resource.id`"),
        (changed("/resource/id", json!("Bad Server/x")), 400, "`resource.id`"),
        (changed("/resource/id", json!("files/")), 400, "`resource.id`"),
        (changed("/resource/properties", json!([])), 400, "`resource.properties` is not an object"),
        (changed("/resource/properties/arguments", json!([])), 400, "`arguments` is not an object"),
        (changed("/context", json!(1)), 400, "`context` is not an object"),
        (changed("/context", json!({ "arguments": {} })), 400, "not into `context`"),
        (changed("/resource/arguments", json!({})), 400, "not into `resource`"),
        (changed("/action/properties", json!({ "arguments": {} })), 400, "not into `action.properties`"),
    ] {
        let answer = api.ask("POST", "/access/v1/evaluation", &[KEY, ("X-Request-ID", "r")], &body).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!((answer.status, text.contains(message)), (status, true), "{body}: {text}");
        assert_eq!(answer.header("x-request-id"), Some("r"));
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    }
    assert_eq!(api.asked(), 0);
}

#[tokio::test]
async fn every_endpoint_wants_a_key_and_none_answers_foreign_pages() {
    let api = Api::start(HttpOptions::default(), false).await;
    let body = tool("yes").to_string();
    for path in
        ["/api/v1/authorize", "/api/v1/authorize/evaluations", "/access/v1/evaluation", "/access/v1/evaluations"]
    {
        for (headers, status, code) in [
            (&[][..], 401, "unbound_refused"),
            (&[("Authorization", "Bearer other")], 401, "unauthenticated"),
            (&[("Authorization", "Basic key-a")], 401, "unauthenticated"),
            (&[KEY, KEY], 401, "unauthenticated"),
            (&[("Authorization", "Bearer key-suspended")], 403, "agent_not_active"),
            (&[KEY, ("Origin", "https://evil.example.com")], 403, "foreign_origin"),
            (&[KEY, ("Host", "evil.example.com")], 403, "foreign_origin"),
            (&[KEY, ("Content-Type", "text/plain")], 415, ""),
            (&[KEY], 200, ""),
        ] {
            let answer = api.ask("POST", path, headers, &body).await;
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            assert_eq!((answer.status, text.contains(code)), (status, true), "{path} {headers:?}: {text}");
            assert_eq!(answer.header("www-authenticate"), (status == 401).then_some("Bearer"));
        }
        assert_eq!(api.ask("GET", path, &[KEY], "").await.status, 405);
    }
    assert_eq!(api.ask("POST", "/mcp", &[KEY], &body).await.status, 404, "MCP is elsewhere");
    assert_eq!(api.asked(), 4);

    let open = Api::start(HttpOptions::default(), true).await;
    assert_eq!(open.ask("POST", "/api/v1/authorize", &[], &body).await.status, 403, "not that agent");
    let unbound = with(tool("yes"), "/subject/id", json!("unbound")).to_string();
    assert_eq!(open.ask("POST", "/api/v1/authorize", &[], &unbound).await.json()["decision"], true);
}

#[tokio::test]
async fn whether_it_is_ready_and_where_things_are_is_for_everyone() {
    let api = Api::start(HttpOptions::default(), true).await;
    let ready = api.ask("GET", "/readyz", &[("Host", "10.1.2.3:80")], "").await;
    assert_eq!((ready.status, ready.json()), (200, json!({ "status": "ready" })));
    let closed = Api::start(HttpOptions::default(), false).await;
    let answer = closed.ask("GET", "/readyz", &[], "").await;
    assert_eq!((answer.status, &answer.json()["status"]), (503, &json!("not_ready")));
    let metadata = api.ask("GET", "/.well-known/authzen-configuration", &[("Host", "localhost:7421")], "").await;
    assert_eq!(
        metadata.json(),
        json!({
            "policy_decision_point": "http://localhost:7421",
            "access_evaluation_endpoint": "http://localhost:7421/access/v1/evaluation",
            "access_evaluations_endpoint": "http://localhost:7421/access/v1/evaluations",
        })
    );
    let foreign = api.ask("GET", "/.well-known/authzen-configuration", &[("Host", "evil.example.com")], "").await;
    assert_eq!(foreign.status, 403);
}

fn batch(semantic: Option<&str>, names: &[&str]) -> Value {
    let evaluations: Vec<Value> =
        names.iter().map(|name| json!({ "resource": { "type": "tool", "id": format!("files/{name}") } })).collect();
    let mut body = json!({
        "subject": { "type": "agent", "id": "a" }, "action": { "name": "call" }, "evaluations": evaluations,
    });
    if let Some(semantic) = semantic {
        body["options"] = json!({ "evaluations_semantic": semantic, "another": true });
    }
    body
}

fn decisions(answer: &Value) -> Vec<bool> {
    assert!(answer.get("decision").is_none());
    answer["evaluations"].as_array().unwrap().iter().map(|one| one["decision"].as_bool().unwrap()).collect()
}

#[tokio::test]
async fn several_are_decided_in_order_until_the_semantic_is_satisfied() {
    for (semantic, names, expected) in [
        (None, &["yes", "no", "yes"][..], &[true, false, true][..]),
        (Some("execute_all"), &["no", "full", "yes"], &[false, false, true]),
        (Some("deny_on_first_deny"), &["yes", "no", "yes"], &[true, false]),
        (Some("deny_on_first_deny"), &["yes", "full", "yes"], &[true, false]),
        (Some("permit_on_first_permit"), &["no", "yes", "yes"], &[false, true]),
        (Some("permit_on_first_permit"), &["no", "no"], &[false, false]),
    ] {
        let api = Api::start(HttpOptions::default(), false).await;
        let answer = api.evaluations(&batch(semantic, names)).await;
        assert_eq!(decisions(&answer), expected, "{semantic:?} {names:?}");
        assert_eq!(api.asked(), expected.len(), "what was not answered was not asked");
    }
}

#[tokio::test]
async fn one_that_is_wrong_is_denied_alone_and_defaults_are_whole_members() {
    let api = Api::start(HttpOptions::default(), false).await;
    let mut body = batch(None, &["yes"]);
    body["resource"] = json!({ "type": "tool", "id": "files/default", "properties": { "arguments": { "n": 1 } } });
    body["evaluations"] = json!([
        {},
        { "resource": { "type": "tool", "id": "files/other" } },
        { "subject": { "type": "agent", "id": "b" } },
        7,
        { "action": { "name": "read" } },
    ]);
    let answer = api.evaluations(&body).await;
    assert_eq!(decisions(&answer), [true, true, false, false, false]);
    let reason = |at: usize| answer["evaluations"][at]["context"]["reason"].as_str().unwrap().to_owned();
    assert!(reason(0).ends_with(r#"{"name":"default","arguments":{"n":1}}"#), "{}", reason(0));
    assert!(reason(1).ends_with(r#"{"name":"other"}"#), "another's arguments are not its own: {}", reason(1));
    let status = |at: usize| answer["evaluations"][at]["context"]["error"]["status"].as_u64();
    assert_eq!((status(2), status(3), status(4)), (Some(403), Some(400), Some(400)));
    assert_eq!(api.asked(), 2);
}

#[tokio::test]
async fn batches_are_bounded_and_a_batch_of_none_is_one_question() {
    let api = Api::start(HttpOptions { message_bytes: 20_000, ..HttpOptions::default() }, false).await;
    let names = |n: usize| vec!["yes"; n];
    assert_eq!(decisions(&api.evaluations(&batch(None, &names(50))).await).len(), 50);
    for (body, status) in [
        (batch(None, &names(51)), 400),
        (with(batch(None, &names(1)), "/evaluations", json!({})), 400),
        (batch(Some("all_at_once"), &names(1)), 400),
        (with(batch(Some("x"), &names(1)), "/options/evaluations_semantic", json!(1)), 400),
        (with(tool("yes"), "/context", json!({ "x": "y".repeat(20_000) })), 413),
    ] {
        let answer = api.ask("POST", "/access/v1/evaluations", &[KEY], &body.to_string()).await;
        assert_eq!(answer.status, status, "{}", String::from_utf8_lossy(&answer.body));
    }
    assert_eq!(api.asked(), 50);
    let one = with(tool("yes"), "/evaluations", json!([]));
    assert_eq!(api.evaluations(&one).await["decision"], true);
    let crowded = Api::start(HttpOptions { in_flight: 0, ..HttpOptions::default() }, false).await;
    let answer = crowded.ask("POST", "/access/v1/evaluation", &[KEY], &tool("yes").to_string()).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
}

#[tokio::test]
async fn a_refusal_leaves_the_connection_usable() {
    let api = Api::start(HttpOptions::default(), false).await;
    let mut connection = Connection::open(api.at).await;
    let body = tool("yes").to_string();
    for (method, path, headers, status) in [
        ("POST", "/mcp", &[KEY][..], 404),
        ("PUT", "/api/v1/authorize", &[KEY, ("Content-Type", "application/json")], 405),
        ("POST", "/api/v1/authorize", &[], 401),
        ("POST", "/api/v1/authorize", &[KEY, ("Content-Type", "text/plain")], 415),
        ("POST", "/api/v1/authorize", &[KEY], 200),
    ] {
        assert_eq!(connection.ask(method, path, headers, &body).await.status, status, "{method} {path}");
    }
}
