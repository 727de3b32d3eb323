//! A server of revision 2024-11-05 over HTTP+SSE, written by hand, so that it can break every rule.

use super::fake_http::Seen;
use interlock_mcp::{Frame, answer::quote};
use interlock_model::json::Limits;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// How the stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// With this as its endpoint; `{s}` becomes the session.
    Endpoint(&'static str),
    /// With a message.
    Message,
    /// With an event without end.
    Endless,
    /// With comments without end.
    Comments,
    /// It ends at once.
    Ends,
    /// The connection is accepted, and that is all.
    Silent,
    /// There is no stream.
    Absent,
}

pub(super) const GOOD: Start = Start::Endpoint("/messages?s={s}");

pub(super) struct FakeSse {
    pub(super) url: http::Uri,
    pub(super) state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

pub(super) struct State {
    start: Start,
    pub(super) seen: Mutex<Vec<Seen>>,
    pub(super) tools: Mutex<&'static str>,
    sessions: AtomicU64,
    /// What goes onto each stream; an empty text closes our half of it.
    streams: Mutex<HashMap<String, mpsc::UnboundedSender<String>>>,
    /// Streams that are open and on which nothing is said.
    muted: Mutex<Vec<mpsc::UnboundedSender<String>>>,
}

impl Drop for FakeSse {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeSse {
    pub(super) async fn start(start: Start) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/sse", listener.local_addr().unwrap()).parse().unwrap();
        let state = Arc::new(State {
            start,
            seen: Mutex::default(),
            tools: Mutex::new("[{\"name\":\"echo\"}]"),
            sessions: AtomicU64::new(0),
            streams: Mutex::default(),
            muted: Mutex::default(),
        });
        let serving = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        Self { url, state, task }
    }

    pub(super) fn seen(&self, what: &str) -> Vec<Seen> {
        let seen = self.state.seen.lock().unwrap();
        seen.iter().filter(|s| s.body.contains(what) || s.head.starts_with(what)).cloned().collect()
    }

    /// Ends all streams.
    pub(super) fn end(&self) {
        self.state.streams.lock().unwrap().clear();
    }
}

impl State {
    /// Forgets the sessions, whose streams go on for as long as the answer is kept.
    pub(super) fn forget(&self) -> Vec<mpsc::UnboundedSender<String>> {
        self.streams.lock().unwrap().drain().map(|(_, sender)| sender).collect()
    }

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
            let goes_on = if seen.head.starts_with("GET") {
                self.stream(&mut stream).await
            } else if let Some(session) = seen.head.strip_prefix("POST /messages?s=") {
                let session = session.split(' ').next().unwrap().to_owned();
                self.post(&session, &seen, &mut stream).await
            } else {
                send(&mut stream, "404 Not Found", "<pre>Cannot POST /sse</pre>").await
            };
            if !goes_on {
                return;
            }
        }
    }

    async fn stream(&self, stream: &mut TcpStream) -> bool {
        match self.start {
            Start::Silent => tokio::time::sleep(Duration::from_secs(60)).await,
            Start::Absent => return send(stream, "405 Method Not Allowed", "").await,
            _ => {}
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n").await;
        let session = self.sessions.fetch_add(1, Ordering::SeqCst).to_string();
        let endpoint = match self.start {
            Start::Endpoint(endpoint) => endpoint.replace("{s}", &session),
            Start::Message => {
                let _ = stream.write_all(b"data: {}\n\n").await;
                return false;
            }
            Start::Endless | Start::Comments => {
                let text = if self.start == Start::Endless { "x".repeat(1 << 16) } else { ": x\n".repeat(1 << 14) };
                while stream.write_all(text.as_bytes()).await.is_ok() {}
                return false;
            }
            Start::Ends | Start::Silent | Start::Absent => return false,
        };
        let (sender, mut events) = mpsc::unbounded_channel();
        self.streams.lock().unwrap().insert(session.clone(), sender);
        let _ = stream.write_all(format!("event: endpoint\ndata: {endpoint}\n\n").as_bytes()).await;
        let mut rest = [0; 1];
        loop {
            tokio::select! {
                text = events.recv() => match text {
                    None => return false,
                    Some(text) if text.is_empty() => drop(stream.shutdown().await),
                    Some(text) => drop(stream.write_all(text.as_bytes()).await),
                },
                _ = stream.read(&mut rest) => {
                    self.streams.lock().unwrap().remove(&session);
                    return false;
                }
            }
        }
    }

    async fn post(&self, session: &str, seen: &Seen, stream: &mut TcpStream) -> bool {
        let Some(events) = self.streams.lock().unwrap().get(session).cloned() else {
            return send(stream, "404 Not Found", "no such session").await;
        };
        let accepted = "202 Accepted";
        let Frame::Request(request) = Frame::parse(seen.body.clone().into(), Limits::REQUEST).unwrap() else {
            return send(stream, accepted, "Accepted").await;
        };
        let id = String::from_utf8(request.id().raw().to_vec()).unwrap();
        let say = |text: String| drop(events.send(format!("event: message\ndata: {text}\n\n")));
        let result = |id: &str, r: &str| format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{r}}}");
        let own = result(&id, &format!("{{\"text\":{}}}", quote(&seen.body)));
        let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#.to_owned();
        let tool = request.param("name").and_then(|n| n.as_str()).unwrap_or_default().into_owned();
        match (request.method(), tool.as_str()) {
            ("initialize", _) => say(result(
                &id,
                r#"{"protocolVersion":"2024-11-05","serverInfo":{"name":"fake","version":"1"},"capabilities":{"tools":{"listChanged":true}}}"#,
            )),
            ("tools/list", _) => say(result(&id, &format!("{{\"tools\":{}}}", self.tools.lock().unwrap()))),
            (_, "early") => {
                say(own);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            (_, "unaccepted") => {
                say(own);
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            (_, "twice") => {
                say(own.clone());
                say(own);
            }
            (_, "foreign-first") => {
                say(result("99999", "{}"));
                say(result("\"x\"", "{}"));
                say(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"whose?"}}"#.into());
                say(own);
            }
            (_, "asks") => {
                say(r#"{"jsonrpc":"2.0","id":5,"method":"sampling/createMessage"}"#.into());
                say(r#"{"jsonrpc":"2.0","id":"p","method":"ping"}"#.into());
                say(own);
            }
            (_, "floods") => {
                for n in 0..5000 {
                    say(format!("{{\"jsonrpc\":\"2.0\",\"id\":{n},\"method\":\"roots/list\"}}"));
                }
                say(own);
            }
            (_, "changed") => {
                *self.tools.lock().unwrap() = r#"[{"name":"changed"}]"#;
                say(changed);
                say(own);
            }
            (_, "moves") => {
                drop(events.send("event: endpoint\ndata: /elsewhere\n\nevent: other\ndata: x\n\n".into()));
                say("no message".into());
                say(own);
            }
            (_, "invalid") => say(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"a\":1,\"a\":2}}}}")),
            (_, "big") => say(result(&id, &format!("{{\"text\":\"{}\"}}", "x".repeat(2 << 20)))),
            (_, "endless") => {
                let _ = events.send(format!("data: {{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":\""));
                for _ in 0..128 {
                    let _ = events.send("x".repeat(1 << 16));
                }
            }
            (_, "end") => {
                self.streams.lock().unwrap().remove(session);
            }
            (_, "half-closed") => drop(events.send(String::new())),
            (_, "drop") => return false,
            (_, "half-closed-post") => {
                let _ = stream.shutdown().await;
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            (_, "refused") => return send(stream, "500 Internal Server Error", "secret-in-body").await,
            (_, "mute") => {
                self.muted.lock().unwrap().push(events);
                self.streams.lock().unwrap().insert(session.to_owned(), mpsc::unbounded_channel().0);
            }
            (_, "hang") => {}
            _ => say(own),
        }
        send(stream, accepted, "Accepted").await
    }
}

async fn send(stream: &mut TcpStream, status: &str, body: &str) -> bool {
    let text = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    stream.write_all(text.as_bytes()).await.is_ok()
}
