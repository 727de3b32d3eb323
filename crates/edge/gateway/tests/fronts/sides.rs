//! What comes before an answer: told on the request's own stream, asked as a request or as `input_required`.

use crate::fake::{Fake, Gateway};
use crate::raw::{Connection, post, request};
use interlock_engine::front::{Change, Notice};
use interlock_gateway::HttpOptions;
use interlock_mcp::Offers;
use serde_json::{Value, json};
use std::time::Duration;

const EVENTS: (&str, &str) = ("Accept", "application/json, text/event-stream");
const NOW: (&str, &str) = ("MCP-Protocol-Version", "2026-07-28");
const CALL: (&str, &str) = ("Mcp-Method", "tools/call");

fn message(id: u64, method: &str, params: &Value) -> String {
    json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }).to_string()
}

async fn session(gateway: &Gateway) -> String {
    let params = json!({ "protocolVersion": "2025-11-25", "capabilities": { "elicitation": {} }, "clientInfo": {} });
    let answer = post(gateway.at, &[], &message(0, "initialize", &params)).await;
    answer.header("mcp-session-id").unwrap().to_owned()
}

/// The JSON of each event of a whole stream.
fn events(body: &str) -> Vec<Value> {
    body.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect()
}

fn modern(id: u64, name: &str, more: &Value) -> String {
    let mut params = json!({
        "name": name,
        "arguments": {},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": { "elicitation": {} },
            "progressToken": "p",
        },
    });
    for (key, value) in more.as_object().unwrap() {
        params[key] = value.clone();
    }
    message(id, "tools/call", &params)
}

#[tokio::test]
async fn what_is_told_makes_the_answer_a_stream() {
    let gateway = Gateway::start(HttpOptions::default()).await;
    let session = session(&gateway).await;
    let headers = [EVENTS, ("Mcp-Session-Id", session.as_str())];
    let call = |name: &str| message(1, "tools/call", &json!({ "name": name }));
    let told = post(gateway.at, &headers, &call("tells")).await;
    assert_eq!(told.header("content-type"), Some("text/event-stream"));
    let all = events(&String::from_utf8_lossy(&told.body));
    let methods: Vec<_> = all.iter().map(|event| event["method"].as_str().unwrap_or("answer")).collect();
    assert_eq!(methods, ["notifications/message", "notifications/progress", "answer"]);
    assert_eq!((all[2]["id"].as_u64(), &all[2]["result"]["told"]), (Some(1), &json!(true)));

    let plain = post(gateway.at, &headers, &call("other")).await;
    assert_eq!(plain.header("content-type"), Some("application/json"), "nothing came before it");
    let deaf =
        post(gateway.at, &[("Mcp-Session-Id", session.as_str()), ("Accept", "application/json")], &call("tells")).await;
    assert_eq!(deaf.json()["result"]["told"], true, "a client that takes no events gets its answer");
}

#[tokio::test]
async fn a_modern_client_hears_only_the_log_lines_it_asks_for() {
    let gateway = Gateway::start(HttpOptions::default()).await;
    let headers = [EVENTS, NOW, CALL, ("Mcp-Name", "tells")];
    let told = post(gateway.at, &headers, &modern(1, "tells", &json!({}))).await;
    let all = events(&String::from_utf8_lossy(&told.body));
    assert_eq!(all.len(), 2, "progress and the answer: {all:?}");
    for (level, expected) in [("info", 3), ("error", 2), ("what", 2)] {
        let mut body: Value = serde_json::from_str(&modern(1, "tells", &json!({}))).unwrap();
        body["params"]["_meta"]["io.modelcontextprotocol/logLevel"] = json!(level);
        let told = post(gateway.at, &headers, &body.to_string()).await;
        assert_eq!(events(&String::from_utf8_lossy(&told.body)).len(), expected, "{level}");
    }
}

#[tokio::test]
async fn log_lines_follow_the_level_of_the_session() {
    let fake = Fake::new();
    *fake.offers.lock().unwrap() = Offers { logging: true, ..Offers::default() };
    let gateway = Gateway::start_with(fake, HttpOptions::default()).await;
    let session = session(&gateway).await;
    let headers = [EVENTS, ("Mcp-Session-Id", session.as_str())];
    let set = |level: &str| message(7, "logging/setLevel", &json!({ "level": level }));
    assert_eq!(post(gateway.at, &headers, &set("loud")).await.error().1, -32602);
    assert_eq!(post(gateway.at, &headers, &set("warning")).await.json()["result"], json!({}));
    let told = post(gateway.at, &headers, &message(1, "tools/call", &json!({ "name": "tells" }))).await;
    assert_eq!(events(&String::from_utf8_lossy(&told.body)).len(), 2, "progress and the answer");
}

#[tokio::test]
async fn a_legacy_client_is_asked_on_the_stream_and_answers_with_a_post() {
    let gateway = Gateway::start(HttpOptions::default()).await;
    let session = session(&gateway).await;
    let headers = [EVENTS, ("Mcp-Session-Id", session.as_str())];
    let mut stream = Connection::open(gateway.at).await;
    let call = message(1, "tools/call", &json!({ "name": "asks" }));
    stream.send(request("POST", "/mcp", &headers, &call).as_bytes()).await;
    let seen = stream.until("elicitation/create").await;
    assert!(seen.contains(r#""id":1,"#) && !seen.contains("theirs"), "the id is ours: {seen}");
    // Others' replies, and replies to nothing, change nothing.
    let other = self::session(&gateway).await;
    let reply = |id: u64| {
        json!({ "jsonrpc": "2.0", "id": id, "result": { "action": "accept", "content": { "name": "ada" } } })
            .to_string()
    };
    assert_eq!(post(gateway.at, &[("Mcp-Session-Id", &other)], &reply(1)).await.status, 202);
    assert_eq!(post(gateway.at, &headers, &reply(2)).await.status, 202);
    assert_eq!(post(gateway.at, &headers, &reply(1)).await.status, 202);
    let answer = stream.until(r#""name":"ada""#).await;
    assert!(answer.contains(r#""reply""#), "{answer}");
}

#[tokio::test]
async fn a_client_that_does_not_answer_is_not_waited_for_without_end() {
    let options = HttpOptions { question_timeout: Duration::from_millis(50), ..HttpOptions::default() };
    let gateway = Gateway::start(options).await;
    let session = session(&gateway).await;
    let headers = [EVENTS, ("Mcp-Session-Id", session.as_str())];
    let told = post(gateway.at, &headers, &message(1, "tools/call", &json!({ "name": "asks" }))).await;
    assert!(String::from_utf8_lossy(&told.body).contains("did not answer in time"));
}

#[tokio::test]
async fn a_modern_client_answers_with_another_leg_which_nobody_else_can_take_up() {
    let gateway = Gateway::start(HttpOptions::default()).await;
    let (a, b) = (("Authorization", "Bearer key-a"), ("Authorization", "Bearer key-b"));
    let headers = |who| [EVENTS, NOW, CALL, ("Mcp-Name", "asks"), who];
    let first = post(gateway.at, &headers(a), &modern(1, "asks", &json!({}))).await.json();
    let result = &first["result"];
    assert_eq!(result["resultType"], "input_required");
    assert_eq!(result["inputRequests"]["question-1"]["params"]["message"], "name?");
    let state = result["requestState"].as_str().unwrap().to_owned();
    let reply = json!({ "question-1": { "action": "accept", "content": { "name": "ada" } } });
    let leg = |state: &str| json!({ "requestState": state, "inputResponses": reply });

    let forged = state.replace(&state[4..6], "zz");
    for (who, body) in [
        (b, modern(2, "asks", &leg(&state))),
        (a, modern(2, "asks", &leg(&forged))),
        (a, modern(2, "asks", &leg("ilp."))),
        (a, modern(2, "asks", &json!({ "requestState": state, "inputResponses": reply, "arguments": { "x": 1 } }))),
    ] {
        let answer = post(gateway.at, &headers(who), &body).await;
        assert_eq!(answer.error(), (200, -32602, "forged_state".into()), "{body}");
    }
    // A leg without the reply is asked again, under a state of its own.
    let again = post(gateway.at, &headers(a), &modern(3, "asks", &json!({ "requestState": state }))).await.json();
    assert_eq!(again["result"]["resultType"], "input_required");
    let next = again["result"]["requestState"].as_str().unwrap();
    assert_ne!(next, state);
    let done = post(gateway.at, &headers(a), &modern(4, "asks", &leg(next))).await.json();
    assert_eq!((done["id"].as_u64(), &done["result"]["reply"]["content"]["name"]), (Some(4), &json!("ada")));
    for used in [state.as_str(), next] {
        let answer = post(gateway.at, &headers(a), &modern(5, "asks", &leg(used))).await;
        assert_eq!(answer.error().2, "forged_state", "each is good for one leg");
    }
    gateway.fake.reaches((1, 1, 0)).await;
}

#[tokio::test]
async fn what_is_parked_ends_with_the_gateway_and_a_closed_stream_cancels() {
    let gateway = Gateway::start(HttpOptions::default()).await;
    let mut stream = Connection::open(gateway.at).await;
    let mut body: Value = serde_json::from_str(&modern(1, "sleep", &json!({}))).unwrap();
    body["params"]["arguments"] = json!({ "ms": 60_000 });
    let headers = [EVENTS, NOW, CALL, ("Mcp-Name", "sleep")];
    stream.send(request("POST", "/mcp", &headers, &body.to_string()).as_bytes()).await;
    gateway.fake.reaches((1, 0, 0)).await;
    drop(stream);
    gateway.fake.reaches((1, 0, 1)).await;
}

fn all_kinds() -> Offers {
    Offers {
        prompts: true,
        prompts_changed: true,
        resources: true,
        resources_changed: true,
        subscribe: true,
        ..Offers::default()
    }
}

fn notice(server: &str, change: Change) -> Notice {
    Notice { server: server.parse().unwrap(), change }
}

async fn subscribed(gateway: &Gateway, expected: &[&str]) {
    for _ in 0..200 {
        if *gateway.fake.subscriptions.lock().unwrap() == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{:?} instead of {expected:?}", gateway.fake.subscriptions.lock().unwrap());
}

#[tokio::test]
async fn a_legacy_session_hears_of_lists_and_of_what_it_subscribed_to() {
    let fake = Fake::new();
    *fake.offers.lock().unwrap() = all_kinds();
    let gateway = Gateway::start_with(fake, HttpOptions::default()).await;
    let session = session(&gateway).await;
    let headers = [EVENTS, ("Mcp-Session-Id", session.as_str())];
    let subscribe = |method: &str, uri: &str| message(1, method, &json!({ "uri": uri }));
    for uri in ["db+a:1", "db+a:1", "db+a:2", "db+secret:1"] {
        post(gateway.at, &headers, &subscribe("resources/subscribe", uri)).await;
    }
    post(gateway.at, &headers, &subscribe("resources/unsubscribe", "db+a:2")).await;
    let mut stream = Connection::open(gateway.at).await;
    stream.send(request("GET", "/mcp", &headers, "").as_bytes()).await;
    stream.until(":\n\n").await;
    for change in [Change::Resource("a:2".into()), Change::Resource("a:1".into()), Change::Prompts] {
        gateway.notices.send(notice("db", change)).unwrap();
    }
    let seen = stream.until("prompts/list_changed").await;
    assert!(seen.contains(r#""params":{"uri":"db+a:1"}"#) && !seen.contains("a:2"), "{seen}");

    assert_eq!(Connection::open(gateway.at).await.ask("DELETE", "/mcp", &headers, "").await.status, 204);
    drop(stream);
    let told = [
        "resources/subscribe db+a:1",
        "resources/subscribe db+a:2",
        "resources/unsubscribe db+a:2",
        "resources/unsubscribe db+a:1",
    ];
    subscribed(&gateway, &told).await;
}

#[tokio::test]
async fn a_modern_client_hears_what_it_listens_to_and_nothing_else() {
    let fake = Fake::new();
    *fake.offers.lock().unwrap() = all_kinds();
    let gateway = Gateway::start_with(fake, HttpOptions::default()).await;
    let mut body: Value = serde_json::from_str(&modern(7, "", &json!({}))).unwrap();
    body["method"] = json!("subscriptions/listen");
    body["params"]["notifications"] = json!({
        "resourcesListChanged": true,
        "toolsListChanged": false,
        "resourceSubscriptions": ["a:1", "secret:1"],
    });
    let headers = [EVENTS, NOW, ("Mcp-Method", "subscriptions/listen")];
    let mut stream = Connection::open(gateway.at).await;
    stream.send(request("POST", "/mcp/files", &headers, &body.to_string()).as_bytes()).await;
    let first = stream.until("subscriptions/acknowledged").await + &stream.until("\n\n").await;
    assert!(first.contains(r#""resourcesListChanged":true,"resourceSubscriptions":["a:1"]"#), "{first}");
    assert!(first.contains(r#""io.modelcontextprotocol/subscriptionId":7"#) && !first.contains("secret"), "{first}");

    gateway.epoch.send_replace(1);
    for (server, change) in [
        ("files", Change::Prompts),
        ("files", Change::Resource("a:2".into())),
        ("db", Change::Resource("a:1".into())),
        ("files", Change::Resource("a:1".into())),
        ("files", Change::Resources),
    ] {
        gateway.notices.send(notice(server, change)).unwrap();
    }
    let seen = stream.until("resources/list_changed").await;
    assert_eq!(seen.matches("\"method\"").count(), 2, "one resource and the list: {seen}");
    drop(stream);
    subscribed(&gateway, &["resources/subscribe a:1", "resources/unsubscribe a:1"]).await;

    body["params"]["notifications"] = json!([]);
    let wrong = post(gateway.at, &headers, &body.to_string()).await;
    assert_eq!(wrong.error().1, -32602);
}
