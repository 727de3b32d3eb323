//! 2025-03-26 to 2025-11-25 over HTTP: sessions, cancellation, batches, the event stream.

use crate::fake::Gateway;
use crate::raw::{Answer, Connection, post, request};
use interlock_gateway::{HttpOptions, SessionLimits};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

fn message(id: u64, method: &str, params: Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

fn call(id: u64, ms: u64) -> String {
    message(id, "tools/call", json!({"name": "sleep", "arguments": {"ms": ms}}))
}

async fn initialize(at: SocketAddr, revision: &str, extra: &[(&str, &str)]) -> (Answer, String) {
    let params = json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}});
    let answer = post(at, extra, &message(0, "initialize", params)).await;
    let session = answer.header("mcp-session-id").unwrap_or_default().to_owned();
    (answer, session)
}

#[tokio::test]
async fn a_session_from_start_to_end() {
    let gateway = Gateway::start(HttpOptions::default()).await;
    for (asked, given) in [
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2024-11-05", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
    ] {
        let (answer, session) = initialize(gateway.at, asked, &[]).await;
        let result = &answer.json()["result"];
        assert_eq!(result["protocolVersion"], given);
        assert_eq!(result["capabilities"], json!({"tools": {"listChanged": true}}));
        assert_eq!(session.len(), 64);

        let mut connection = Connection::open(gateway.at).await;
        let headers = [("Mcp-Session-Id", session.as_str()), ("MCP-Protocol-Version", given)];
        let note = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        let answer = connection.ask("POST", "/mcp", &headers, note).await;
        assert_eq!((answer.status, answer.body.len()), (202, 0));
        let answer = connection.ask("POST", "/mcp", &headers, &message(1, "ping", json!({}))).await;
        assert_eq!((answer.status, &answer.json()["result"]), (200, &json!({})));
        let list = connection.ask("POST", "/mcp", &headers, &message(2, "tools/list", json!({}))).await.json();
        assert_eq!(list["result"]["tools"][0]["name"], "echo");
        assert_eq!(list["result"].get("ttlMs"), None);
        let echo = connection.ask("POST", "/mcp", &headers, &message(3, "tools/call", json!({"name": "other"}))).await;
        assert_eq!(echo.json()["result"]["revision"], given);
        assert_eq!(echo.json()["result"].get("resultType"), None);
        for method in ["server/discover", "resources/list", "prompts/list", "logging/setLevel"] {
            let answer = connection.ask("POST", "/mcp", &headers, &message(4, method, json!({}))).await;
            assert_eq!(answer.error(), (200, -32601, "unknown_method".into()), "{method}");
        }
        let response = r#"{"jsonrpc":"2.0","id":9,"result":{}}"#;
        assert_eq!(connection.ask("POST", "/mcp", &headers, response).await.status, 202);

        assert_eq!(connection.ask("DELETE", "/mcp", &headers, "").await.status, 204);
        let gone = connection.ask("POST", "/mcp", &headers, &message(5, "ping", json!({}))).await;
        assert_eq!(gone.error(), (404, -32600, "unknown_session".into()));
        assert_eq!(connection.ask("DELETE", "/mcp", &headers, "").await.status, 404);
        assert_eq!(connection.ask("GET", "/mcp", &headers, "").await.status, 404);
    }
}

#[tokio::test]
async fn a_session_is_its_principals_alone() {
    let gateway = Gateway::start(HttpOptions::default()).await;
    let a = ("Authorization", "Bearer key-a");
    let (_, session) = initialize(gateway.at, "2025-06-18", &[a]).await;
    let id = ("Mcp-Session-Id", session.as_str());
    let ping = message(1, "ping", json!({}));
    assert_eq!(post(gateway.at, &[a, id], &ping).await.status, 200);
    for (who, path, expected) in [
        (vec![("Authorization", "Bearer key-b"), id], "/mcp", (404, "unknown_session")),
        (vec![id], "/mcp", (404, "unknown_session")),
        (vec![a, id], "/mcp/files", (404, "unknown_session")),
        (vec![a, id], "/mcp/nobody", (404, "server_unavailable")),
        (vec![a], "/mcp", (400, "unknown_session")),
        (vec![a, id, id], "/mcp", (400, "header_mismatch")),
        (vec![("Authorization", "Bearer key-suspended"), id], "/mcp", (403, "agent_not_active")),
    ] {
        for (method, body) in [("POST", ping.as_str()), ("DELETE", ""), ("GET", "")] {
            let answer = Connection::open(gateway.at).await.ask(method, path, &who, body).await;
            let (status, _, code) = answer.error();
            assert_eq!((status, code.as_str()), expected, "{method} {who:?} {path}");
        }
    }
}

#[tokio::test]
async fn who_presents_what() {
    let gateway = Gateway::start(HttpOptions::default()).await;
    let ping = message(1, "tools/list", json!({}));
    for authorization in ["Bearer wrong", "Bearer", "Bearer ", "Basic a2V5LWE=", "key-a", "Bearer key-a key-a"] {
        let answer = post(gateway.at, &[("Authorization", authorization)], &ping).await;
        assert_eq!(answer.error(), (401, -32600, "unauthenticated".into()), "{authorization}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        assert!(!String::from_utf8(answer.body).unwrap().contains("key-a"));
    }
    let two = [("Authorization", "Bearer key-a"), ("Authorization", "Bearer key-a")];
    assert_eq!(post(gateway.at, &two, &ping).await.status, 401);
    let (answer, _) = initialize(gateway.at, "2025-06-18", &[("authorization", "bearer  key-a")]).await;
    assert_eq!(answer.status, 200);

    let fake = std::sync::Arc::new(crate::fake::Fake {
        allow_unbound: false,
        offers: std::sync::Mutex::default(),
        subscriptions: std::sync::Mutex::default(),
        started: 0.into(),
        finished: 0.into(),
        dropped: 0.into(),
    });
    let bound = Gateway::start_with(fake, HttpOptions::default()).await;
    assert_eq!(post(bound.at, &[], &ping).await.error(), (401, -32600, "unbound_refused".into()));
}

#[tokio::test]
async fn hanging_up_is_no_cancel_but_the_notification_is() {
    let gateway = Gateway::start(HttpOptions::default()).await;
    let (_, session) = initialize(gateway.at, "2025-11-25", &[]).await;
    let headers = [("Mcp-Session-Id", session.as_str())];

    let mut connection = Connection::open(gateway.at).await;
    connection.send(request("POST", "/mcp", &headers, &call(1, 200)).as_bytes()).await;
    gateway.fake.reaches((1, 0, 0)).await;
    drop(connection);
    gateway.fake.reaches((1, 1, 0)).await;

    let mut connection = Connection::open(gateway.at).await;
    connection.send(request("POST", "/mcp", &headers, &call(2, 60_000)).as_bytes()).await;
    gateway.fake.reaches((2, 1, 0)).await;
    // An id in another spelling, and another session's, are other requests.
    let (_, other) = initialize(gateway.at, "2025-11-25", &[]).await;
    for (session, id) in [(session.as_str(), "\"2\""), (session.as_str(), "3"), (other.as_str(), "2")] {
        let note = format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#);
        assert_eq!(post(gateway.at, &[("Mcp-Session-Id", session)], &note).await.status, 202);
    }
    let second = post(gateway.at, &headers, &call(2, 1)).await;
    assert_eq!(second.error(), (400, -32600, "malformed".into()));
    assert_eq!(second.json()["id"], Value::Null, "the first one's client must not take it for its answer");
    assert_eq!(gateway.fake.counts(), (2, 1, 0));
    let note = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#;
    assert_eq!(post(gateway.at, &headers, note).await.status, 202);
    gateway.fake.reaches((2, 1, 1)).await;
    assert_eq!(connection.answer().await.unwrap().error().2, "cancelled");
}

#[tokio::test]
async fn batches_are_of_one_revision() {
    let gateway = Gateway::start(HttpOptions::default()).await;
    let batch = format!(
        r#"[{},{},{{"jsonrpc":"2.0","method":"notifications/x"}},7,{},{}]"#,
        call(1, 30),
        message(2, "ping", json!({})),
        message(3, "initialize", json!({"protocolVersion": "2025-03-26"})),
        call(1, 1),
    );
    let (_, session) = initialize(gateway.at, "2025-03-26", &[]).await;
    let id = ("Mcp-Session-Id", session.as_str());
    let answer = post(gateway.at, &[id], &batch).await;
    let all = answer.json();
    let codes: Vec<_> = all.as_array().unwrap().iter().map(|a| (a["id"].clone(), a["error"]["code"].clone())).collect();
    assert_eq!(
        codes,
        [
            (json!(1), Value::Null),
            (json!(2), Value::Null),
            (Value::Null, json!(-32600)),
            (json!(3), json!(-32600)),
            (Value::Null, json!(-32600)),
        ]
    );
    let notes = r#"[{"jsonrpc":"2.0","method":"notifications/x"}]"#;
    assert_eq!(post(gateway.at, &[id], notes).await.status, 202);
    assert_eq!(post(gateway.at, &[id, ("MCP-Protocol-Version", "2025-03-26")], notes).await.status, 202);
    assert_eq!(post(gateway.at, &[id], "[]").await.error(), (400, -32600, "malformed".into()));
    assert_eq!(post(gateway.at, &[id, ("MCP-Protocol-Version", "2025-06-18")], &batch).await.status, 400);
    assert_eq!(post(gateway.at, &[], &batch).await.error().2, "unknown_session");
    let (_, newer) = initialize(gateway.at, "2025-06-18", &[]).await;
    assert_eq!(post(gateway.at, &[("Mcp-Session-Id", &newer)], &batch).await.status, 400);
}

#[tokio::test]
async fn the_event_stream_tells_of_changes() {
    let options = HttpOptions {
        keep_alive: Duration::from_millis(50),
        idle_timeout: Duration::from_millis(200),
        ..HttpOptions::default()
    };
    let gateway = Gateway::start(options).await;
    let (_, session) = initialize(gateway.at, "2025-11-25", &[]).await;
    let headers = [("Mcp-Session-Id", session.as_str()), ("Accept", "text/event-stream")];
    let mut stream = Connection::open(gateway.at).await;
    stream.send(request("GET", "/mcp", &headers, "").as_bytes()).await;
    let head = stream.until("\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
    stream.until(":\n\n").await;
    let second = Connection::open(gateway.at).await.ask("GET", "/mcp", &headers, "").await;
    assert_eq!(second.status, 409);
    // Longer than a connection may wait for a request: a stream is not waiting.
    tokio::time::sleep(Duration::from_millis(500)).await;
    gateway.epoch.send_modify(|epoch| *epoch += 1);
    let seen = stream.until("list_changed\"}\n\n").await;
    assert!(seen.contains("event: message\ndata: {"), "{seen}");

    drop(stream);
    let mut again = Connection::open(gateway.at).await;
    tokio::time::sleep(Duration::from_millis(150)).await;
    again.send(request("GET", "/mcp", &headers, "").as_bytes()).await;
    again.until(":\n\n").await;
    assert_eq!(Connection::open(gateway.at).await.ask("DELETE", "/mcp", &headers, "").await.status, 204);
    again.until("0\r\n\r\n").await;
}

#[tokio::test]
async fn sessions_are_bounded_and_expire() {
    let sessions = SessionLimits { per_principal: 2, total: 3, idle: Duration::from_millis(1000), in_flight: 1 };
    let gateway = Gateway::start(HttpOptions { sessions, ..HttpOptions::default() }).await;
    let (_, first) = initialize(gateway.at, "2025-06-18", &[]).await;
    let (_, second) = initialize(gateway.at, "2025-06-18", &[]).await;
    let (_, third) = initialize(gateway.at, "2025-06-18", &[]).await;
    let ping = message(1, "ping", json!({}));
    for (session, status) in [(&first, 404), (&second, 200), (&third, 200)] {
        assert_eq!(post(gateway.at, &[("Mcp-Session-Id", session)], &ping).await.status, status);
    }
    let a = ("Authorization", "Bearer key-a");
    assert_eq!(initialize(gateway.at, "2025-06-18", &[a]).await.0.status, 200);
    let full = initialize(gateway.at, "2025-06-18", &[a]).await.0;
    assert_eq!(full.error(), (503, -32603, "overloaded".into()));
    assert_eq!(full.header("retry-after"), Some("1"));
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(post(gateway.at, &[("Mcp-Session-Id", &third)], &ping).await.status, 404);
    assert_eq!(initialize(gateway.at, "2025-06-18", &[a]).await.0.status, 200);
}
