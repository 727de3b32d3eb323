//! HTTP/2 beside HTTP/1.1 on one port: the same answers, its own limits, bytes that are not HTTP/2.

use crate::fake::Gateway;
use crate::modern::message;
use crate::raw::{Answer, Connection, post, request};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use interlock_gateway::HttpOptions;
use serde_json::json;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const NOW: (&str, &str) = ("mcp-protocol-version", "2026-07-28");
const LIST: [(&str, &str); 2] = [NOW, ("mcp-method", "tools/list")];
const SLEEP: [(&str, &str); 3] = [NOW, ("mcp-method", "tools/call"), ("mcp-name", "sleep")];

fn list() -> String {
    message("tools/list", json!({}))
}

fn sleep(ms: u64) -> String {
    message("tools/call", json!({"name": "sleep", "arguments": {"ms": ms}}))
}

/// A client of one connection.
#[derive(Clone)]
pub struct Client(SendRequest<Full<Bytes>>);

impl Client {
    pub async fn open(gateway: &Gateway) -> (Self, JoinHandle<hyper::Result<()>>) {
        Self::over(TcpStream::connect(gateway.at).await.unwrap()).await
    }

    pub async fn over<I>(io: I) -> (Self, JoinHandle<hyper::Result<()>>)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(io)).await.unwrap();
        (Self(client), tokio::spawn(connection))
    }

    pub async fn ask(
        &self,
        authority: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> hyper::Result<Answer> {
        let mut builder = http::Request::post(format!("http://{authority}{path}"));
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            builder = builder.header("content-type", "application/json");
        }
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let request = builder.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
        let response = self.0.clone().send_request(request).await?;
        let status = response.status().as_u16();
        let headers = response.headers().iter().map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned())).collect();
        let body = response.into_body().collect().await?.to_bytes().to_vec();
        Ok(Answer { status, headers, body })
    }

    pub async fn list(&self) -> hyper::Result<Answer> {
        self.ask("localhost", "/mcp", &LIST, &list()).await
    }
}

#[tokio::test]
async fn both_versions_answer_alike_on_one_port() {
    let gateway = Gateway::start(HttpOptions::default()).await;
    let (client, _driver) = Client::open(&gateway).await;
    let two = client.list().await.unwrap();
    let one = post(gateway.at, &LIST, &list()).await;
    assert_eq!((two.status, &two.body), (200, &one.body));
    assert_eq!(two.header("content-type"), one.header("content-type"));
    for (path, headers, expected) in [
        ("/nothing", &LIST[..], (404, -32600, "unknown_method")),
        ("/mcp/nobody", &LIST, (404, -32600, "server_unavailable")),
        ("/mcp", &[NOW], (400, -32020, "header_mismatch")),
        ("/mcp", &[NOW, LIST[1], ("authorization", "Bearer nobodys")], (401, -32600, "unauthenticated")),
        ("/mcp", &[NOW, LIST[1], ("content-type", "text/plain")], (415, -32600, "malformed")),
    ] {
        let (status, rpc, code) = client.ask("localhost", path, headers, &list()).await.unwrap().error();
        assert_eq!((status, rpc, code.as_str()), expected, "{path} {headers:?}");
    }
    // Side by side on one connection.
    let started = Instant::now();
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.ask("localhost", "/mcp", &SLEEP, &sleep(200)).await.unwrap().status })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap(), 200);
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn the_authority_is_checked_as_the_host_is() {
    let gateway =
        Gateway::start(HttpOptions { allowed_hosts: vec!["gw.example.org".into()], ..HttpOptions::default() }).await;
    let (client, _driver) = Client::open(&gateway).await;
    for (authority, extra, status) in [
        ("localhost:7420", None, 200),
        ("gw.example.org", None, 200),
        ("evil.example.com", None, 403),
        ("evil.example.com", Some(("x-forwarded-host", "localhost")), 403),
        ("evil.example.com", Some(("forwarded", "host=localhost")), 403),
        ("evil.example.com", Some(("host", "localhost")), 403),
        ("localhost", Some(("host", "evil.example.com")), 403),
        ("localhost", Some(("x-forwarded-host", "evil.example.com")), 200),
        ("localhost", Some(("origin", "https://evil.example.com")), 403),
    ] {
        let headers: Vec<_> = LIST.into_iter().chain(extra).collect();
        let answer = client.ask(authority, "/mcp", &headers, &list()).await.unwrap();
        assert_eq!(answer.status, status, "{authority} {extra:?}");
        if status == 403 {
            let message = answer.json()["error"]["message"].as_str().unwrap().to_owned();
            assert!(message.contains("`listen.allowed_"), "{message}");
        }
    }
}

#[tokio::test]
async fn bodies_are_bounded_and_streams_are_cancelled() {
    let options = HttpOptions {
        message_bytes: 100_000,
        body_timeout: Duration::from_millis(300),
        in_flight: 2,
        ..HttpOptions::default()
    };
    let gateway = Gateway::start(options).await;
    let (client, _driver) = Client::open(&gateway).await;
    let fits = format!("{}{}", list(), " ".repeat(100_000 - list().len()));
    assert_eq!(client.ask("localhost", "/mcp", &LIST, &fits).await.unwrap().status, 200);
    let large = client.ask("localhost", "/mcp", &LIST, &format!("{fits} ")).await.unwrap();
    assert_eq!(large.error(), (413, -32600, "too_large".into()));
    assert_eq!(client.list().await.unwrap().status, 200, "the connection goes on");

    // A reset cancels that call alone.
    let call = |ms| {
        let client = client.clone();
        tokio::spawn(async move { client.ask("localhost", "/mcp", &SLEEP, &sleep(ms)).await })
    };
    let (cancelled, kept) = (call(60_000), call(700));
    gateway.fake.reaches((2, 0, 0)).await;
    let third = client.ask("localhost", "/mcp", &SLEEP, &sleep(0)).await.unwrap();
    assert_eq!(third.error(), (503, -32603, "overloaded".into()));
    cancelled.abort();
    gateway.fake.reaches((2, 0, 1)).await;
    assert_eq!(kept.await.unwrap().unwrap().status, 200);
    // So does the end of the connection.
    let mut last = Raw::open(&gateway).await;
    let head = SLEEP.iter().fold(slow_head(), |head, (name, value)| [head, literal(name, value)].concat());
    last.send(&headers_frame(1, false, &head)).await;
    last.send(&frame(DATA, 1, 1, sleep(60_000).as_bytes())).await;
    gateway.fake.reaches((3, 1, 1)).await;
    drop(last);
    gateway.fake.reaches((3, 1, 2)).await;

    let mut slow = Raw::open(&gateway).await;
    slow.send(&headers_frame(1, false, &slow_head())).await;
    slow.send(&frame(DATA, 0, 1, b"{")).await;
    assert_eq!(slow.status().await.as_deref(), Some("408"));
}

#[tokio::test]
async fn limits_are_announced() {
    let gateway = Gateway::start(HttpOptions::default()).await;
    let mut connection = Connection::open(gateway.at).await;
    connection.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let settings = Raw(connection).next().await.unwrap();
    let value = |id: u8| {
        let one = settings.payload.chunks(6).find(|one| one[..2] == [0, id])?;
        Some(u32::from_be_bytes(one[2..].try_into().unwrap()))
    };
    // What is at its initial value need not be said (RFC 9113, 6.5.2): table 4096, window 65,535, frame 16,384.
    for (id, announced, initial) in
        [(1, 4096, 4096), (3, 128, 0), (4, 65_535, 65_535), (5, 16_384, 16_384), (6, 32_768, 0)]
    {
        assert_eq!(value(id).unwrap_or(initial), announced, "setting {id}");
    }
}

#[tokio::test]
async fn streams_are_bounded_on_one_connection_and_in_all() {
    let gateway = Gateway::start(HttpOptions { connections: 200, ..HttpOptions::default() }).await;
    let mut raw = Raw::open(&gateway).await;
    for stream in 0..129 {
        raw.send(&headers_frame(stream * 2 + 1, false, &slow_head())).await;
    }
    let refused = raw.next_of(RST_STREAM).await.unwrap();
    assert_eq!((refused.stream, &refused.payload[..]), (257, &[0, 0, 0, 7][..]), "REFUSED_STREAM");
    let mut other = Raw::open(&gateway).await;
    for stream in 0..73 {
        other.send(&headers_frame(stream * 2 + 1, false, &slow_head())).await;
    }
    assert_eq!(other.status().await.as_deref(), Some("503"), "128 there and 72 here are 200");
    assert_eq!(post(gateway.at, &LIST, &list()).await.status, 200, "HTTP/1.1 is not held up");
}

#[tokio::test]
async fn what_is_not_http_2_ends_the_connection_and_nothing_else() {
    let gateway = Gateway::start(HttpOptions { head_timeout: Duration::from_secs(3), ..HttpOptions::default() }).await;
    let endless: Vec<u8> = {
        let mut all = frame(HEADERS, 0, 1, &literal("x", "y"));
        (0..2000).for_each(|_| all.extend(frame(CONTINUATION, 0, 1, &literal("x", &"y".repeat(100)))));
        all
    };
    let resets: Vec<u8> = (0..1000)
        .flat_map(|i| {
            let stream = i * 2 + 1;
            let mut both = headers_frame(stream, false, &slow_head());
            both.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
            both
        })
        .collect();
    // Each stream is broken by a window that overflows, which we have to answer with a reset.
    let faults: Vec<u8> = (0..1000)
        .flat_map(|i| {
            let stream = i * 2 + 1;
            let mut both = headers_frame(stream, false, &slow_head());
            both.extend(frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]));
            both
        })
        .collect();
    // The codes are those of RFC 9113, 7.
    let (protocol, flow, size, calm) = (1, 3, 6, 11);
    for (what, bytes, error) in [
        ("garbage", vec![0xa5; 4096], size),
        ("a request of HTTP/1.1", request("POST", "/mcp", &LIST, &list()).into_bytes(), size),
        ("a frame that is too large", frame(DATA, 0, 1, &[0; 16_385]), size),
        ("data on no stream", frame(DATA, 0, 0, b"x"), protocol),
        ("an even stream", headers_frame(2, true, &slow_head()), protocol),
        ("headers that do not decode", frame(HEADERS, 5, 1, &[0xff; 40]), protocol),
        ("headers without an end", endless, calm),
        ("a window that overflows", frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), flow),
        ("a push", frame(5, 4, 1, &[0, 0, 0, 2]), protocol),
        ("1000 resets", resets, calm),
        ("1000 faults", faults, calm),
    ] {
        let mut raw = Raw::open(&gateway).await;
        let _ = tokio::io::AsyncWriteExt::write_all(&mut raw.0.stream, &bytes).await;
        let started = Instant::now();
        let said = raw.next_of(GOAWAY).await.map(|goaway| u32::from_be_bytes(goaway.payload[4..8].try_into().unwrap()));
        assert_eq!(said, Some(error), "{what}");
        while raw.next().await.is_some() {}
        assert!(started.elapsed() < Duration::from_secs(2), "{what}: closed by itself");
        assert_eq!(gateway.fake.counts().0, 0, "{what}");
    }
    let (client, _driver) = Client::open(&gateway).await;
    assert_eq!(client.list().await.unwrap().status, 200);
}

#[tokio::test]
async fn heads_are_bounded() {
    let gateway = Gateway::start(HttpOptions::default()).await;
    // Over 100 headers, over 32 KiB, over both. Without an end they close the connection (above).
    for (what, count, length, status) in
        [("fits", 90, 1, "415"), ("many", 200, 1, "431"), ("long", 30, 2000, "431"), ("both", 900, 100, "431")]
    {
        let mut raw = Raw::open(&gateway).await;
        let mut block = head("POST", "/mcp");
        for _ in 0..count {
            block.extend(literal("x-long", &"v".repeat(length)));
        }
        let mut pieces = block.chunks(16_000).peekable();
        let first = pieces.next().unwrap();
        raw.send(&frame(HEADERS, if pieces.peek().is_none() { 5 } else { 1 }, 1, first)).await;
        while let Some(piece) = pieces.next() {
            let flags = if pieces.peek().is_none() { 4 } else { 0 };
            let _ = tokio::io::AsyncWriteExt::write_all(&mut raw.0.stream, &frame(CONTINUATION, flags, 1, piece)).await;
        }
        assert_eq!(raw.status().await.as_deref(), Some(status), "{what}");
    }
}

#[tokio::test]
async fn a_preface_in_pieces_and_one_that_never_ends() {
    let options = HttpOptions {
        head_timeout: Duration::from_millis(400),
        idle_timeout: Duration::from_millis(900),
        ..HttpOptions::default()
    };
    let gateway = Gateway::start(options).await;
    let mut slow = Connection::open(gateway.at).await;
    for piece in [&b"P"[..], b"R", b"I * HTTP/2.0\r\n\r", b"\nSM\r\n\r\n"] {
        slow.send(piece).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    slow.send(&frame(SETTINGS, 0, 0, &[])).await;
    let mut slow = Raw(slow);
    assert_eq!(slow.next().await.unwrap().kind, SETTINGS);
    let mut one = Connection::open(gateway.at).await;
    one.send(b"P").await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    one.send(request("POST", "/mcp", &LIST, &list()).strip_prefix('P').unwrap().as_bytes()).await;
    assert_eq!(one.answer().await.unwrap().status, 200);

    for unfinished in [&b"P"[..], b"PRI * HT", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
        let mut raw = Raw(Connection::open(gateway.at).await);
        raw.0.send(unfinished).await;
        let started = Instant::now();
        while raw.next().await.is_some() {}
        assert!(started.elapsed() < Duration::from_secs(3), "{unfinished:?}");
    }
    // One that has been used is told to go, and pings do not keep it.
    let mut idle = Raw::open(&gateway).await;
    idle.send(&headers_frame(1, true, &health())).await;
    assert_eq!(idle.status().await.as_deref(), Some("200"));
    let pings = async {
        loop {
            let ping = frame(PING, 0, 0, &[7; 8]);
            if tokio::io::AsyncWriteExt::write_all(&mut idle.0.stream, &ping).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(5), pings).await.is_ok());
    let mut idle = Raw::open(&gateway).await;
    idle.send(&headers_frame(1, true, &health())).await;
    assert!(idle.next_of(GOAWAY).await.is_some());
}

#[tokio::test]
async fn who_reads_no_events_does_not_keep_the_connection() {
    let options = HttpOptions {
        keep_alive: Duration::from_millis(50),
        head_timeout: Duration::from_millis(400),
        idle_timeout: Duration::from_millis(400),
        ..HttpOptions::default()
    };
    let gateway = Gateway::start(options).await;
    let opened = post(gateway.at, &[], INITIALIZE).await;
    let session = opened.header("mcp-session-id").unwrap().to_owned();
    for (window, closes) in [(0_u32, true), (65_535, false)] {
        let mut raw = Raw::open(&gateway).await;
        raw.send(&frame(SETTINGS, 0, 0, &[&[0, 4][..], &window.to_be_bytes()].concat())).await;
        raw.send(&headers_frame(1, true, &[head("GET", "/mcp"), literal("mcp-session-id", &session)].concat())).await;
        assert_eq!(raw.status().await.as_deref(), Some("200"));
        let closed = tokio::time::timeout(Duration::from_secs(2), raw.next_of(GOAWAY)).await;
        assert_eq!(closed.is_ok(), closes, "window {window}");
    }
}

#[tokio::test]
async fn a_shutdown_says_goaway_and_finishes_what_is_under_way() {
    let mut gateway = Gateway::start(HttpOptions { drain: Duration::from_secs(5), ..HttpOptions::default() }).await;
    let (client, _driver) = Client::open(&gateway).await;
    let (idle, idle_driver) = Client::open(&gateway).await;
    assert_eq!(idle.list().await.unwrap().status, 200);
    let opened = client.ask("localhost", "/mcp", &[], INITIALIZE).await.unwrap();
    let session = opened.header("mcp-session-id").unwrap().to_owned();
    let events = {
        let get = http::Request::get("http://localhost/mcp").header("mcp-session-id", &session);
        client.0.clone().send_request(get.body(Full::default()).unwrap()).await.unwrap()
    };
    assert_eq!(events.status(), 200);
    let call = {
        let client = client.clone();
        tokio::spawn(async move { client.ask("localhost", "/mcp", &SLEEP, &sleep(400)).await })
    };
    gateway.fake.reaches((1, 0, 0)).await;
    gateway.stop();
    assert_eq!(idle_driver.await.unwrap().map_err(|e| e.to_string()), Ok(()), "GOAWAY without an error");
    let events = events.into_body().collect().await.expect("the stream has an end");
    assert!(events.to_bytes().starts_with(b":"));
    assert_eq!(call.await.unwrap().unwrap().status, 200);
    tokio::time::timeout(Duration::from_secs(2), &mut gateway.served).await.expect("served ends").unwrap();
    assert!(client.list().await.is_err());
    assert!(TcpStream::connect(gateway.at).await.is_err());
}

#[tokio::test]
async fn a_shutdown_is_bounded() {
    let mut gateway = Gateway::start(HttpOptions { drain: Duration::from_millis(200), ..HttpOptions::default() }).await;
    let (client, _driver) = Client::open(&gateway).await;
    let call = tokio::spawn(async move { client.ask("localhost", "/mcp", &SLEEP, &sleep(60_000)).await });
    gateway.fake.reaches((1, 0, 0)).await;
    gateway.stop();
    tokio::time::timeout(Duration::from_secs(2), &mut gateway.served).await.expect("served ends").unwrap();
    gateway.fake.reaches((1, 0, 1)).await;
    assert!(call.await.unwrap().is_err());
}

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}"#;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut out = vec![length[1], length[2], length[3], kind, flags];
    out.extend(stream.to_be_bytes());
    out.extend(payload);
    out
}

fn headers_frame(stream: u32, ends: bool, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, 4 | u8::from(ends), stream, block)
}

/// HPACK: a header as it stands, not indexed.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut out = vec![0];
    for text in [name, value] {
        match text.len() {
            short @ 0..127 => out.push(u8::try_from(short).unwrap()),
            long => {
                out.push(127);
                let mut rest = long - 127;
                while rest >= 128 {
                    out.push(u8::try_from(rest % 128).unwrap() | 128);
                    rest /= 128;
                }
                out.push(u8::try_from(rest).unwrap());
            }
        }
        out.extend(text.as_bytes());
    }
    out
}

fn head(method: &str, path: &str) -> Vec<u8> {
    [(":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost")]
        .iter()
        .flat_map(|(name, value)| literal(name, value))
        .collect()
}

fn health() -> Vec<u8> {
    head("GET", "/healthz")
}

/// Of a request whose body is to follow.
fn slow_head() -> Vec<u8> {
    [head("POST", "/mcp"), literal("content-type", "application/json")].concat()
}

struct Frame {
    kind: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// HTTP/2 by hand.
struct Raw(Connection);

impl Raw {
    /// With the preface sent and settings acknowledged ahead of time.
    async fn open(gateway: &Gateway) -> Self {
        let mut connection = Connection::open(gateway.at).await;
        let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        hello.extend(frame(SETTINGS, 0, 0, &[]));
        connection.send(&hello).await;
        let mut raw = Self(connection);
        assert_eq!(raw.next().await.unwrap().kind, SETTINGS);
        raw.send(&frame(SETTINGS, 1, 0, &[])).await;
        raw
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.0.send(bytes).await;
    }

    /// The next frame; `None` at the end.
    async fn next(&mut self) -> Option<Frame> {
        while self.0.ahead.len() < 9 {
            if !self.0.more().await {
                return None;
            }
        }
        let head: Vec<u8> = self.0.ahead.drain(..9).collect();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        while self.0.ahead.len() < length {
            if !self.0.more().await {
                return None;
            }
        }
        let payload = self.0.ahead.drain(..length).collect();
        Some(Frame { kind: head[3], stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload })
    }

    async fn next_of(&mut self, kind: u8) -> Option<Frame> {
        loop {
            match self.next().await {
                Some(found) if found.kind == kind => return Some(found),
                None => return None,
                Some(_) => {}
            }
        }
    }

    /// The status of the next answer; `None` if the connection ends or the stream is reset instead.
    async fn status(&mut self) -> Option<String> {
        loop {
            let found = self.next().await?;
            match found.kind {
                HEADERS => {}
                RST_STREAM | GOAWAY => return None,
                _ => continue,
            }
            return Some(match found.payload.first()? {
                // The static table has a few, the rest is spelled, in plain digits or Huffman's.
                0x88 => "200".to_owned(),
                0x8c => "400".to_owned(),
                0x8d => "404".to_owned(),
                0x8e => "500".to_owned(),
                _ => spelled(&found.payload),
            });
        }
    }
}

/// A status that is spelled in Huffman's code: digits 0 to 2 have five bits, the others six (RFC 7541, appendix B).
fn spelled(payload: &[u8]) -> String {
    let at = payload.iter().position(|b| b & 0x80 != 0 && (b & 0x7f) <= 3).unwrap_or(1);
    let length = usize::from(payload[at] & 0x7f);
    let bits: String = payload[at + 1..=at + length].iter().map(|b| format!("{b:08b}")).collect();
    let mut rest = bits.as_str();
    let mut digits = String::new();
    while digits.len() < 3 {
        let short = u8::from_str_radix(&rest[..5], 2).unwrap();
        if short <= 2 {
            digits.push(char::from(b'0' + short));
            rest = &rest[5..];
        } else {
            let long = u8::from_str_radix(&rest[..6], 2).unwrap();
            digits.push(char::from(b'3' + (long - 0b01_1001)));
            rest = &rest[6..];
        }
    }
    digits
}
