//! 2026-07-28 over HTTP: status and code of every step of the ladder.

use crate::fake::Gateway;
use crate::raw::{Connection, post, request};
use interlock_gateway::HttpOptions;
use serde_json::{Value, json};

const NOW: (&str, &str) = ("MCP-Protocol-Version", "2026-07-28");

pub fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}

pub fn message(method: &str, params: Value) -> String {
    let mut params = params;
    params["_meta"] = meta();
    json!({"jsonrpc": "2.0", "id": "x-7", "method": method, "params": params}).to_string()
}

#[tokio::test]
async fn the_ladder() {
    let gateway = Gateway::start(HttpOptions::default()).await;
    let list = message("tools/list", json!({}));
    let of = |method: &'static str| ("Mcp-Method", method);
    let call = message("tools/call", json!({"name": "echo", "arguments": {"region": "eu"}}));
    let without = |member: &str| {
        let mut value: Value = serde_json::from_str(&list).unwrap();
        value["params"]["_meta"].as_object_mut().unwrap().remove(&format!("io.modelcontextprotocol/{member}"));
        value.to_string()
    };
    let named = ("Mcp-Name", "echo");
    let in_eu = ("Mcp-Param-Region", "eu");
    for (what, headers, body, expected) in [
        ("list", vec![NOW, of("tools/list")], list.clone(), (200, 0, "")),
        (
            "lower-case names",
            vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/list")],
            list.clone(),
            (200, 0, ""),
        ),
        ("no version header", vec![of("tools/list")], list.clone(), (400, -32020, "header_mismatch")),
        (
            "a legacy version header",
            vec![("MCP-Protocol-Version", "2025-11-25"), of("tools/list")],
            list.clone(),
            (400, -32020, "header_mismatch"),
        ),
        ("two version headers", vec![NOW, NOW, of("tools/list")], list.clone(), (400, -32020, "header_mismatch")),
        (
            "unknown version, agreed",
            vec![("MCP-Protocol-Version", "v999.0.0"), of("tools/list")],
            list.replace("2026-07-28", "v999.0.0"),
            (400, -32022, "unsupported_revision"),
        ),
        (
            "unknown version, header only",
            vec![("MCP-Protocol-Version", "v999.0.0"), of("tools/list")],
            r#"{"jsonrpc":"2.0","id":"x-7","method":"tools/list"}"#.into(),
            (400, -32022, "unsupported_revision"),
        ),
        (
            "version disagrees",
            vec![NOW, of("tools/list")],
            list.replace("2026-07-28", "v999.0.0"),
            (400, -32020, "header_mismatch"),
        ),
        (
            "no params",
            vec![NOW, of("tools/list")],
            r#"{"jsonrpc":"2.0","id":"x-7","method":"tools/list"}"#.into(),
            (400, -32602, "malformed"),
        ),
        ("no protocolVersion", vec![NOW, of("tools/list")], without("protocolVersion"), (400, -32602, "malformed")),
        (
            "no clientCapabilities",
            vec![NOW, of("tools/list")],
            without("clientCapabilities"),
            (400, -32602, "malformed"),
        ),
        ("no method header", vec![NOW], list.clone(), (400, -32020, "header_mismatch")),
        ("another method", vec![NOW, of("prompts/list")], list.clone(), (400, -32020, "header_mismatch")),
        ("method in another case", vec![NOW, of("TOOLS/LIST")], list.clone(), (400, -32020, "header_mismatch")),
        ("call", vec![NOW, of("tools/call"), named, in_eu], call.clone(), (200, 0, "")),
        (
            "call, other parameters",
            vec![NOW, of("tools/call"), named, in_eu, ("Mcp-Param-X", "1")],
            call.clone(),
            (200, 0, ""),
        ),
        (
            "call, name coded",
            vec![NOW, of("tools/call"), ("Mcp-Name", "=?base64?ZWNobw==?="), in_eu],
            call.clone(),
            (200, 0, ""),
        ),
        (
            "call, name badly coded",
            vec![NOW, of("tools/call"), ("Mcp-Name", "=?base64?ZWNobw?="), in_eu],
            call.clone(),
            (400, -32020, "header_mismatch"),
        ),
        (
            "call, another name",
            vec![NOW, of("tools/call"), ("Mcp-Name", "delete"), in_eu],
            call.clone(),
            (400, -32020, "header_mismatch"),
        ),
        ("call, no name header", vec![NOW, of("tools/call"), in_eu], call.clone(), (400, -32020, "header_mismatch")),
        (
            "call, another parameter",
            vec![NOW, of("tools/call"), named, ("Mcp-Param-Region", "us")],
            call.clone(),
            (400, -32020, "header_mismatch"),
        ),
        (
            "call, no parameter header",
            vec![NOW, of("tools/call"), named],
            call.clone(),
            (400, -32020, "header_mismatch"),
        ),
        (
            "call that fails",
            vec![NOW, of("tools/call"), ("Mcp-Name", "fails")],
            message("tools/call", json!({"name": "fails"})),
            (200, -32602, "unknown_tool"),
        ),
        (
            "call that needs more of the client",
            vec![NOW, of("tools/call"), ("Mcp-Name", "samples")],
            message("tools/call", json!({"name": "samples"})),
            (400, -32021, ""),
        ),
        (
            "a cursor nobody gave",
            vec![NOW, of("tools/list")],
            message("tools/list", json!({"cursor": "x"})),
            (200, -32602, "malformed"),
        ),
        ("discover", vec![NOW, of("server/discover")], message("server/discover", json!({})), (200, 0, "")),
    ] {
        let answer = post(gateway.at, &headers, &body).await;
        let (status, rpc, code) = answer.error();
        assert_eq!((status, rpc, code.as_str()), expected, "{what}");
        assert_eq!(answer.json()["id"], "x-7", "{what}: the id is echoed");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("mcp-session-id"), None);
    }
    for method in [
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "resources/list",
        "prompts/list",
        "unknown/method",
    ] {
        let answer = post(gateway.at, &[NOW, ("Mcp-Method", method)], &message(method, json!({}))).await;
        assert_eq!(answer.error(), (404, -32601, "unknown_method".into()), "{method}");
        assert_eq!(answer.json()["id"], "x-7");
    }
}

#[tokio::test]
async fn results_have_what_the_revision_asks_for() {
    let gateway = Gateway::start(HttpOptions::default()).await;
    let mut connection = Connection::open(gateway.at).await;
    let mut ask = async |method: &str, params: Value| {
        let name = params["name"].as_str().unwrap_or_default().to_owned();
        let mut headers = vec![NOW, ("Mcp-Method", method)];
        if !name.is_empty() {
            headers.push(("Mcp-Name", &name));
        }
        connection.ask("POST", "/mcp", &headers, &message(method, params)).await.json()["result"].clone()
    };
    let discovery = ask("server/discover", json!({})).await;
    assert_eq!(discovery["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(discovery["capabilities"], json!({"tools": {"listChanged": true}}));
    assert_eq!(discovery["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "interlock");
    let list = ask("tools/list", json!({})).await;
    for result in [&discovery, &list] {
        assert_eq!(
            (&result["resultType"], &result["ttlMs"], &result["cacheScope"]),
            (&json!("complete"), &json!(0), &json!("private"))
        );
    }
    assert_eq!(ask("tools/call", json!({"name": "other"})).await["resultType"], "complete");
    assert_eq!(ask("tools/call", json!({"name": "pretty"})).await["resultType"], "complete");
    assert_eq!(ask("tools/call", json!({"name": "stamped"})).await["resultType"], "input_required");
}

#[tokio::test]
async fn arguments_reach_the_engine_as_they_were_sent() {
    let gateway = Gateway::start(HttpOptions::default()).await;
    let arguments = r#"{"n":12345678901234567890123,"f":1.10,"s":"\u00e4\/","e":[ ]}"#;
    let body = message("tools/call", json!({"name": "other", "arguments": "HERE"})).replace(r#""HERE""#, arguments);
    let answer = post(gateway.at, &[NOW, ("Mcp-Method", "tools/call"), ("Mcp-Name", "other")], &body).await;
    assert!(String::from_utf8(answer.body).unwrap().contains(arguments));
}

#[tokio::test]
async fn notifications_responses_and_other_verbs() {
    let gateway = Gateway::start(HttpOptions::default()).await;
    let note = r#"{"jsonrpc":"2.0","method":"notifications/x"}"#;
    let answer = post(gateway.at, &[NOW, ("Mcp-Method", "notifications/x")], note).await;
    assert_eq!((answer.status, answer.body.len()), (202, 0));
    assert_eq!(post(gateway.at, &[NOW, ("Mcp-Method", "y")], note).await.error().1, -32020);
    let response = r#"{"jsonrpc":"2.0","id":1,"result":{}}"#;
    assert_eq!(post(gateway.at, &[NOW], response).await.error(), (400, -32600, "malformed".into()));
    assert_eq!(post(gateway.at, &[NOW], "[]").await.error(), (400, -32600, "malformed".into()));
    for method in ["GET", "DELETE", "PUT", "OPTIONS"] {
        let answer = Connection::open(gateway.at).await.ask(method, "/mcp", &[NOW], "").await;
        assert_eq!(answer.error(), (405, -32600, "unknown_method".into()), "{method}");
        assert_eq!(answer.header("allow"), Some("POST"));
    }
}

#[tokio::test]
async fn closing_the_stream_cancels() {
    let gateway = Gateway::start(HttpOptions::default()).await;
    let mut connection = Connection::open(gateway.at).await;
    let body = message("tools/call", json!({"name": "sleep", "arguments": {"ms": 60_000}}));
    let headers = [NOW, ("Mcp-Method", "tools/call"), ("Mcp-Name", "sleep")];
    connection.send(request("POST", "/mcp", &headers, &body).as_bytes()).await;
    gateway.fake.reaches((1, 0, 0)).await;
    drop(connection);
    gateway.fake.reaches((1, 0, 1)).await;
}
