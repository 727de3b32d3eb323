//! The stdio front, over pipes.

use crate::fake::Fake;
use crate::modern::message;
use interlock_engine::front::Endpoint;
use interlock_gateway::{StdioOptions, serve_stdio};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream, Lines};
use tokio::sync::watch;

struct Host {
    input: Option<DuplexStream>,
    output: Lines<BufReader<DuplexStream>>,
    fake: Arc<Fake>,
    epoch: watch::Sender<u64>,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Host {
    fn start(key: Option<&str>, options: StdioOptions) -> Self {
        let (input, reader) = tokio::io::duplex(1 << 16);
        let (writer, output) = tokio::io::duplex(1 << 16);
        let fake = Fake::new();
        let (epoch, catalog_epoch) = watch::channel(0);
        let notices = tokio::sync::broadcast::channel(16).0;
        let key = key.map(|k| k.to_owned().into());
        let served = tokio::spawn(serve_stdio(reader, writer, fake.clone(), key, (catalog_epoch, notices), options));
        Self { input: Some(input), output: BufReader::new(output).lines(), fake, epoch, served }
    }

    async fn send(&mut self, line: impl AsRef<[u8]>) {
        let input = self.input.as_mut().unwrap();
        input.write_all(line.as_ref()).await.unwrap();
        input.write_all(b"\n").await.unwrap();
    }

    async fn read(&mut self) -> Value {
        let line = tokio::time::timeout(Duration::from_secs(5), self.output.next_line()).await.expect("a line");
        serde_json::from_str(&line.unwrap().expect("not the end")).unwrap()
    }

    async fn ask(&mut self, line: impl AsRef<[u8]>) -> Value {
        self.send(line).await;
        self.read().await
    }

    async fn initialize(&mut self, revision: &str) -> Value {
        let params = json!({"protocolVersion": revision, "capabilities": {}});
        self.ask(json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}).to_string()).await
    }
}

fn request(id: u64, method: &str, params: Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string()
}

fn sleep(id: u64, ms: u64) -> String {
    request(id, "tools/call", json!({"name": "sleep", "arguments": {"ms": ms}}))
}

#[tokio::test]
async fn legacy_revisions() {
    for revision in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        let mut host = Host::start(Some("key-a"), StdioOptions::default());
        assert_eq!(host.ask(request(1, "ping", json!({}))).await["result"], json!({}));
        assert_eq!(host.ask(request(2, "server/discover", json!({}))).await["error"]["code"], -32601);
        assert_eq!(host.ask(request(3, "tools/list", json!({}))).await["error"]["code"], -32600, "not initialized");
        assert_eq!(host.initialize(revision).await["result"]["protocolVersion"], revision);
        host.send(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
        assert_eq!(host.ask(request(4, "tools/list", json!({}))).await["result"]["tools"][0]["name"], "echo");
        let echo = host.ask(request(5, "tools/call", json!({"name": "other"}))).await;
        assert_eq!((&echo["result"]["agent"], &echo["result"]["revision"]), (&json!("a"), &json!(revision)));
        let batch = format!("[{},{}]", request(6, "ping", json!({})), request(7, "ping", json!({})));
        let answer = host.ask(batch).await;
        assert_eq!(answer.is_array(), revision == "2025-03-26", "{answer}");
    }
}

#[tokio::test]
async fn the_modern_revision() {
    let mut host = Host::start(None, StdioOptions::default());
    let discovery = host.ask(message("server/discover", json!({}))).await;
    assert_eq!(discovery["result"]["supportedVersions"], json!(["2026-07-28"]));
    assert_eq!(host.ask(message("tools/list", json!({}))).await["result"]["cacheScope"], "private");
    let call = host.ask(message("tools/call", json!({"name": "other"}))).await;
    assert_eq!((&call["result"]["resultType"], &call["result"]["agent"]), (&json!("complete"), &json!("unbound")));
    assert_eq!(host.ask(message("ping", json!({}))).await["error"]["code"], -32601);
    let newer = message("tools/list", json!({})).replace("2026-07-28", "2030-01-01");
    let refused = host.ask(newer).await;
    assert_eq!(refused["error"]["code"], -32022);
    assert_eq!(refused["error"]["data"]["requested"], "2030-01-01");
    let bare = message("tools/list", json!({})).replace("clientCapabilities", "x");
    assert_eq!(host.ask(bare).await["error"]["code"], -32602);
}

#[tokio::test]
async fn requests_run_side_by_side_and_can_be_cancelled() {
    let mut host = Host::start(None, StdioOptions { in_flight: 2, ..StdioOptions::default() });
    host.initialize("2025-11-25").await;
    host.send(sleep(1, 60_000)).await;
    assert_eq!(host.ask(sleep(2, 1)).await["id"], 2, "the second is not held up by the first");
    let twice = host.ask(sleep(1, 1)).await;
    assert_eq!((&twice["id"], &twice["error"]["code"]), (&Value::Null, &json!(-32600)));
    host.send(sleep(3, 60_000)).await;
    assert_eq!(host.ask(sleep(4, 1)).await["error"]["data"]["code"], "overloaded");
    host.fake.reaches((3, 1, 0)).await;
    host.send(r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}"#).await;
    host.fake.reaches((3, 1, 1)).await;
    assert_eq!(host.ask(request(5, "ping", json!({}))).await["id"], 5, "a cancelled request has no answer");
}

#[tokio::test]
async fn odd_input() {
    let mut host = Host::start(None, StdioOptions { message_bytes: 2000, ..StdioOptions::default() });
    host.send(b"\xEF\xBB\xBF\r\n").await;
    let modern = message("tools/list", json!({}));
    assert!(host.ask(format!("{modern}\r")).await["result"].is_object());
    let long = host.ask(" ".repeat(10_000)).await;
    assert_eq!((&long["id"], &long["error"]["data"]["code"]), (&Value::Null, &json!("too_large")));
    assert!(host.ask(&modern).await["result"].is_object(), "the next line is read again");
    for (line, code) in [("{", "malformed"), ("[]", "malformed"), (r#"{"a":1,"a":2}"#, "duplicate_member")] {
        let answer = host.ask(line).await;
        assert_eq!((&answer["id"], &answer["error"]["data"]["code"]), (&Value::Null, &json!(code)), "{line}");
    }
    let pretty = message("tools/call", json!({"name": "pretty"}));
    assert_eq!(host.ask(pretty).await["result"]["content"], json!([]), "an answer is one line");

    let mut wide = Host::start(None, StdioOptions::default());
    let utf16: Vec<u8> = message("ping", json!({})).encode_utf16().flat_map(u16::to_le_bytes).collect();
    let answer = wide.ask(utf16).await;
    assert!(answer["error"]["message"].as_str().unwrap().contains("UTF-16"));
    wide.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_may_ask_is_asked_each_time() {
    for (key, code) in [("key-suspended", "agent_not_active"), ("wrong", "unauthenticated")] {
        let mut host = Host::start(Some(key), StdioOptions::default());
        assert_eq!(host.initialize("2025-11-25").await["error"]["data"]["code"], code);
        assert_eq!(host.ask(message("tools/list", json!({}))).await["error"]["data"]["code"], code);
    }
    let nobody = StdioOptions { endpoint: Endpoint::Server("nobody".parse().unwrap()), ..StdioOptions::default() };
    let mut host = Host::start(None, nobody);
    assert_eq!(host.initialize("2025-11-25").await["error"]["data"]["code"], "server_unavailable");
}

#[tokio::test]
async fn changes_are_told_to_legacy_hosts() {
    let mut host = Host::start(None, StdioOptions::default());
    host.epoch.send_modify(|e| *e += 1);
    host.initialize("2025-11-25").await;
    host.epoch.send_modify(|e| *e += 1);
    assert_eq!(host.read().await["method"], "notifications/tools/list_changed");

    let mut modern = Host::start(None, StdioOptions::default());
    modern.ask(message("tools/list", json!({}))).await;
    modern.epoch.send_modify(|e| *e += 1);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(modern.ask(message("tools/list", json!({}))).await["result"].is_object());
}

#[tokio::test]
async fn the_end_of_input_finishes_what_is_under_way() {
    let mut host = Host::start(None, StdioOptions::default());
    host.initialize("2025-11-25").await;
    host.send(sleep(1, 100)).await;
    host.input = None;
    assert_eq!(host.read().await["id"], 1);
    assert!(host.output.next_line().await.unwrap().is_none());
    host.served.await.unwrap().unwrap();

    let mut bounded = Host::start(None, StdioOptions { drain: Duration::from_millis(50), ..StdioOptions::default() });
    bounded.initialize("2025-11-25").await;
    bounded.send(sleep(1, 60_000)).await;
    bounded.fake.reaches((1, 0, 0)).await;
    bounded.input = None;
    bounded.served.await.unwrap().unwrap();
    bounded.fake.reaches((1, 0, 1)).await;
}

#[tokio::test]
async fn a_host_that_stops_reading_ends_it() {
    let mut host = Host::start(None, StdioOptions { drain: Duration::from_millis(50), ..StdioOptions::default() });
    host.initialize("2025-11-25").await;
    let Host { input, output, served, .. } = host;
    drop(output);
    let mut input = input.unwrap();
    let _ = input.write_all(format!("{}\n", request(1, "ping", json!({}))).as_bytes()).await;
    tokio::time::timeout(Duration::from_secs(5), served).await.expect("it ends").unwrap().unwrap();
}
