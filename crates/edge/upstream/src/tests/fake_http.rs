//! An HTTP server written by hand, so that it can break every rule.

use interlock_mcp::{Frame, answer::quote};
use interlock_model::json::Limits;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) head: String,
    pub(super) body: String,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|l| l.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v))
    }
}

pub(super) struct Fake {
    pub(super) url: http::Uri,
    pub(super) state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

pub(super) struct State {
    modern: bool,
    pub(super) seen: Mutex<Vec<Seen>>,
    pub(super) tools: Mutex<String>,
    session: AtomicU64,
    pub(super) connections: AtomicUsize,
    announce: broadcast::Sender<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) const TOOLS: &str = r#"[{"name":"echo",  "inputSchema":{"type":"object"}, "x":1.10}]"#;

impl Fake {
    pub(super) async fn start(modern: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp?x=1", listener.local_addr().unwrap()).parse().unwrap();
        let state = Arc::new(State {
            modern,
            seen: Mutex::new(Vec::new()),
            tools: Mutex::new(TOOLS.to_owned()),
            session: AtomicU64::new(1),
            connections: AtomicUsize::new(0),
            announce: broadcast::channel(16).0,
        });
        let serving = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        Self { url, state, task }
    }

    /// The server loses its sessions, as after a restart.
    pub(super) fn forget(&self) {
        self.state.session.fetch_add(1, Ordering::SeqCst);
    }

    /// Announces a change on the listening stream.
    pub(super) fn announce(&self) {
        self.state.announce.send(()).unwrap();
    }

    pub(super) fn seen(&self, what: &str) -> Vec<Seen> {
        self.state
            .seen
            .lock()
            .unwrap()
            .iter()
            .filter(|s| s.body.contains(what) || s.head.starts_with(what))
            .cloned()
            .collect()
    }
}

const CHANGED: &str = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;

impl State {
    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        let mut buffer = Vec::new();
        loop {
            let end = loop {
                if let Some(at) = buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                    break at + 4;
                }
                if stream.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                    return;
                }
            };
            let head = String::from_utf8(buffer.drain(..end).collect()).unwrap();
            let mut seen = Seen { head, body: String::new() };
            let length = seen.header("content-length").map_or(0, |l| l.parse().unwrap());
            while buffer.len() < length {
                stream.read_buf(&mut buffer).await.unwrap();
            }
            seen.body = String::from_utf8(buffer.drain(..length).collect()).unwrap();
            self.seen.lock().unwrap().push(seen.clone());
            if !self.answer(&seen, &mut stream).await {
                return;
            }
        }
    }

    /// Whether the connection goes on.
    async fn answer(&self, seen: &Seen, stream: &mut TcpStream) -> bool {
        let session = format!("s-{}", self.session.load(Ordering::SeqCst));
        let known = self.modern || seen.header("mcp-session-id") == Some(&session);
        if seen.head.starts_with("GET") {
            return self.get(seen, known, stream).await;
        }
        if seen.head.starts_with("DELETE") {
            return send(stream, "200 OK", "", "").await;
        }
        let frame = Frame::parse(seen.body.clone().into(), Limits::REQUEST).unwrap();
        let Frame::Request(request) = frame else {
            return send(stream, "202 Accepted", "", "").await;
        };
        let id = String::from_utf8(request.id().raw().to_vec()).unwrap();
        let result = |r: &str| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{r}}}");
        let error =
            |code: i32| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":{code},\"message\":\"no\"}}}}");
        let info = r#""serverInfo":{"name":"fake","version":"1"},"capabilities":{"tools":{"listChanged":true}}"#;
        match (request.method(), self.modern) {
            ("initialize", true) => send(stream, "404 Not Found", JSON, &error(-32601)).await,
            ("initialize", false) => {
                let head = format!("{JSON}Mcp-Session-Id: {session}\r\n");
                send(stream, "200 OK", &head, &result(&format!("{{\"protocolVersion\":\"2025-11-25\",{info}}}"))).await
            }
            ("server/discover", true) => {
                send(stream, "200 OK", JSON, &result(&format!("{{\"supportedVersions\":[\"2026-07-28\"],{info}}}")))
                    .await
            }
            ("subscriptions/listen", true) => self.listen(stream).await,
            _ if !known => {
                send(
                    stream,
                    "404 Not Found",
                    JSON,
                    r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32001,"message":"no session"}}"#,
                )
                .await
            }
            ("tools/list", _) => {
                let tools = self.tools.lock().unwrap().clone();
                send(stream, "200 OK", JSON, &result(&format!("{{\"tools\":{tools}}}"))).await
            }
            ("tools/call", _) => {
                let tool = request.param("name").unwrap().as_str().unwrap().into_owned();
                self.call(&tool, seen, &id, stream).await
            }
            _ => send(stream, "200 OK", JSON, &error(-32601)).await,
        }
    }

    async fn get(&self, seen: &Seen, known: bool, stream: &mut TcpStream) -> bool {
        if let Some(id) = seen.header("last-event-id").and_then(|id| id.strip_prefix("resume-")) {
            let answer = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"text\":\"resumed\"}}}}");
            return send(stream, "200 OK", SSE, &format!("data: {answer}\n\n")).await;
        }
        if self.modern {
            return send(stream, "405 Method Not Allowed", "", "").await;
        }
        if !known {
            return send(stream, "404 Not Found", "", "").await;
        }
        self.listen(stream).await
    }

    async fn listen(&self, stream: &mut TcpStream) -> bool {
        let mut announced = self.announce.subscribe();
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n").await;
        while announced.recv().await.is_ok() {
            if stream.write_all(format!("data: {CHANGED}\n\n").as_bytes()).await.is_err() {
                break;
            }
        }
        false
    }

    async fn call(&self, tool: &str, seen: &Seen, id: &str, stream: &mut TcpStream) -> bool {
        let answer = |id: &str, text: &str| {
            format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"text\":{}}}}}", quote(text))
        };
        let own = answer(id, &seen.body);
        let ok = "200 OK";
        match tool {
            "echo" => send(stream, ok, JSON, &own).await,
            "slow" => {
                tokio::time::sleep(Duration::from_millis(30)).await;
                send(stream, ok, JSON, &own).await
            }
            "sse" => {
                let noise = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#;
                let (first, second) = own.split_at(own.find(",\"result\"").unwrap() + 1);
                let events = format!(
                    "\u{FEFF}id: 1\r\ndata:\r\n\r\n: hi\r\n\r\nevent: message\r\ndata: {noise}\r\n\r\ndata: {first}\r\ndata: {second}\r\n\r\n"
                );
                send(stream, ok, SSE, &events).await
            }
            "twice" => send(stream, ok, SSE, &format!("data: {own}\n\ndata: {own}\n\n")).await,
            "foreign-first" => {
                send(stream, ok, SSE, &format!("data: {}\n\ndata: {own}\n\n", answer("99999", "foreign"))).await
            }
            "wrong-id" => send(stream, ok, JSON, &answer("99999", "foreign")).await,
            "null-id" => {
                send(
                    stream,
                    "400 Bad Request",
                    JSON,
                    r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"unreadable"}}"#,
                )
                .await
            }
            "changed" => {
                *self.tools.lock().unwrap() = r#"[{"name":"changed"}]"#.into();
                send(stream, ok, SSE, &format!("data: {CHANGED}\n\ndata: {own}\n\n")).await
            }
            "asks" => {
                let ask = |id: &str, method: &str| {
                    format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\"}}\n\n")
                };
                let events = format!("{}{}data: {own}\n\n", ask("\"p\"", "ping"), ask("5", "sampling/createMessage"));
                send(stream, ok, SSE, &events).await
            }
            "resume" => send(stream, ok, SSE, &format!("id: resume-{id}\nretry: 20\ndata:\n\n")).await,
            "mute" => send(stream, ok, SSE, ": nothing\n\n").await,
            "hang" => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                false
            }
            "die" => {
                let _ = stream
                    .write_all(format!("HTTP/1.1 200 OK\r\n{JSON}Content-Length: 1000\r\n\r\n{{\"json").as_bytes())
                    .await;
                false
            }
            "drop" => false,
            "big" => {
                let _ = stream
                    .write_all(format!("HTTP/1.1 200 OK\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n").as_bytes())
                    .await;
                let chunk = format!("100000\r\n{}\r\n", "x".repeat(1 << 20));
                for _ in 0..100 {
                    if stream.write_all(chunk.as_bytes()).await.is_err() {
                        return false;
                    }
                }
                false
            }
            "big-event" => {
                let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n{SSE}\r\ndata: ").as_bytes()).await;
                let chunk = "x".repeat(1 << 20);
                while stream.write_all(chunk.as_bytes()).await.is_ok() {}
                false
            }
            "big-length" => {
                let _ = stream
                    .write_all(format!("HTTP/1.1 200 OK\r\n{JSON}Content-Length: 104857600\r\n\r\n").as_bytes())
                    .await;
                tokio::time::sleep(Duration::from_secs(60)).await;
                false
            }
            "headers" => {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
                while stream.write_all(b"X-Many: headers\r\n").await.is_ok() {}
                false
            }
            "garbage" => send(stream, ok, JSON, "secret-in-body {").await,
            "batch" => send(stream, ok, JSON, &format!("[{own}]")).await,
            "html" => send(stream, ok, "Content-Type: text/html\r\n", "<p>secret-in-body").await,
            "redirect" => send(stream, "307 Temporary Redirect", "Location: /elsewhere\r\n", "").await,
            "unauthorized" => send(stream, "401 Unauthorized", "", "").await,
            "mismatch" => {
                let error =
                    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":-32020,\"message\":\"no\"}}}}");
                send(stream, "400 Bad Request", JSON, &error).await
            }
            _ => send(stream, "500 Internal Server Error", "", "").await,
        }
    }
}

const JSON: &str = "Content-Type: application/json\r\n";
const SSE: &str = "Content-Type: text/event-stream; charset=utf-8\r\n";

async fn send(stream: &mut TcpStream, status: &str, head: &str, body: &str) -> bool {
    let text = format!("HTTP/1.1 {status}\r\n{head}Content-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await.is_ok()
}
