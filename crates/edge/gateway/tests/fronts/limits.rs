//! What comes in malformed, oversized, slow, or not at all.

use crate::fake::Gateway;
use crate::modern::message;
use crate::raw::{Connection, post, request};
use interlock_gateway::HttpOptions;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

const LIST: [(&str, &str); 2] = [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", "tools/list")];

fn list() -> String {
    message("tools/list", json!({}))
}

#[tokio::test]
async fn malformed_bodies_have_stable_codes() {
    let gateway = Gateway::start(HttpOptions::default()).await;
    let deep = |n: usize| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"a":{}1{}}}}}"#, "[".repeat(n), "]".repeat(n))
    };
    for (body, rpc, code) in [
        ("".to_owned(), -32700, "malformed"),
        ("{".to_owned(), -32700, "malformed"),
        ("nonsense".to_owned(), -32700, "malformed"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping"} x"#.to_owned(), -32700, "malformed"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"\ud800"}"#.to_owned(), -32700, "malformed"),
        (r#"{"jsonrpc":"2.0","id":1,"id":1,"method":"ping"}"#.to_owned(), -32700, "duplicate_member"),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":"a","n\u0061me":"b"}}"#.to_owned(),
            -32700,
            "duplicate_member",
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":"m","Method":"x"}"#.to_owned(), -32600, "duplicate_member"),
        (deep(63), -32700, "too_deep"),
        ("[".repeat(100_000), -32700, "too_deep"),
        ("7".to_owned(), -32600, "malformed"),
        ("{}".to_owned(), -32600, "malformed"),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#.to_owned(), -32600, "malformed"),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#.to_owned(), -32600, "malformed"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[1]}"#.to_owned(), -32600, "malformed"),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#.to_owned(), -32600, "malformed"),
    ] {
        let answer = post(gateway.at, &[], &body).await;
        assert_eq!(answer.error(), (400, rpc, code.to_owned()), "{}", &body[..body.len().min(80)]);
        assert_eq!(answer.json()["id"], Value::Null);
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    // The deepest that is allowed reaches the session check.
    assert_eq!(post(gateway.at, &[], &deep(62)).await.error().2, "unknown_session");
}

#[tokio::test]
async fn pages_of_others_do_not_reach_us() {
    let gateway =
        Gateway::start(HttpOptions { allowed_hosts: vec!["gw.example.org".into()], ..HttpOptions::default() }).await;
    let (version, method) = (LIST[0], LIST[1]);
    for (what, extra, expected) in [
        ("ours", ("Host", "gw.example.org:80"), (200, "")),
        ("rebound", ("Host", "evil.example.com"), (403, "foreign_origin")),
        ("a page", ("Origin", "http://evil.example.com"), (403, "foreign_origin")),
        ("a sandboxed page", ("Origin", "null"), (403, "foreign_origin")),
        ("a local page", ("Origin", "http://localhost:3000"), (200, "")),
        ("plain text", ("Content-Type", "text/plain"), (415, "malformed")),
        ("a form", ("Content-Type", "application/x-www-form-urlencoded"), (415, "malformed")),
        ("json with a charset", ("Content-Type", "application/json; charset=utf-8"), (200, "")),
    ] {
        let (status, _, code) = post(gateway.at, &[version, method, extra], &list()).await.error();
        assert_eq!((status, code.as_str()), expected, "{what}");
    }
    let cross_site = [("Content-Type", "text/plain"), ("Origin", "http://evil.example.com")];
    assert_eq!(post(gateway.at, &cross_site, &list()).await.status, 403);
    let foreign = post(gateway.at, &[version, method, ("Host", "evil")], &list()).await.json();
    assert!(foreign["error"]["message"].as_str().unwrap().contains("`listen.allowed_hosts`"));
}

#[tokio::test]
async fn bodies_are_bounded() {
    let gateway = Gateway::start(HttpOptions { message_bytes: 100_000, ..HttpOptions::default() }).await;
    // By what is announced, before it is sent.
    let mut connection = Connection::open(gateway.at).await;
    connection
        .send(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100001\r\n\r\n")
        .await;
    let answer = connection.answer().await.unwrap();
    assert_eq!(answer.error(), (413, -32600, "too_large".into()));
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("100000"));
    // By what arrives, where nothing is announced.
    let mut connection = Connection::open(gateway.at).await;
    connection
        .send(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    for _ in 0..13 {
        connection.send(format!("2000\r\n{}\r\n", " ".repeat(0x2000)).as_bytes()).await;
    }
    assert_eq!(connection.answer().await.unwrap().error(), (413, -32600, "too_large".into()));
    // Exactly the limit, in pieces.
    let body = list();
    let body = format!("{body}{}", " ".repeat(100_000 - body.len()));
    assert_eq!(post(gateway.at, &LIST, &body).await.status, 200);
}

#[tokio::test]
async fn who_is_still_sending_sees_the_refusal() {
    let gateway = Gateway::start(HttpOptions { message_bytes: 100_000, ..HttpOptions::default() }).await;
    for (headers, status) in [("", 413), ("Host: evil.example\r\n", 403), ("Authorization: Bearer nobodys\r\n", 401)] {
        let host = if headers.starts_with("Host") { "" } else { "Host: localhost\r\n" };
        let length = 8 << 20;
        let head = format!(
            "POST /mcp HTTP/1.1\r\n{host}{headers}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        let mut connection = Connection::open(gateway.at).await;
        connection.send(head.as_bytes()).await;
        // The refusal is out long before this is.
        for _ in 0..length / 65_536 {
            connection.send(&[b' '; 65_536]).await;
        }
        assert_eq!(connection.answer().await.map(|a| a.status), Some(status));
    }
    // Nobody who asked first is made to send it.
    let mut polite = Connection::open(gateway.at).await;
    polite
        .send(b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 100001\r\n\r\n")
        .await;
    assert_eq!(polite.answer().await.map(|a| a.status), Some(413));
}

#[tokio::test]
async fn all_bodies_together_are_bounded() {
    let gateway = Gateway::start(HttpOptions { buffered_bytes: 50_000, ..HttpOptions::default() }).await;
    let mut slow = Connection::open(gateway.at).await;
    slow.send(
        b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 49000\r\n\r\n",
    )
    .await;
    slow.send(&[b' '; 48_900]).await;
    let big = format!("{}{}", list(), " ".repeat(2000));
    let refused = tokio::time::timeout(Duration::from_secs(5), async {
        while post(gateway.at, &LIST, &big).await.status != 503 {}
    });
    assert!(refused.await.is_ok());
    drop(slow);
    let freed = tokio::time::timeout(Duration::from_secs(5), async {
        while post(gateway.at, &LIST, &big).await.status != 200 {}
    });
    assert!(freed.await.is_ok());
}

#[tokio::test]
async fn calls_under_way_are_bounded() {
    let gateway = Gateway::start(HttpOptions { in_flight: 1, ..HttpOptions::default() }).await;
    let body = message("tools/call", json!({"name": "sleep", "arguments": {"ms": 60_000}}));
    let headers = [LIST[0], ("Mcp-Method", "tools/call"), ("Mcp-Name", "sleep")];
    let mut first = Connection::open(gateway.at).await;
    first.send(request("POST", "/mcp", &headers, &body).as_bytes()).await;
    gateway.fake.reaches((1, 0, 0)).await;
    let second = post(gateway.at, &headers, &body).await;
    assert_eq!(second.error(), (503, -32603, "overloaded".into()));
    assert_eq!(second.json()["id"], "x-7");
    drop(first);
    gateway.fake.reaches((1, 0, 1)).await;
    assert_eq!(post(gateway.at, &LIST, &list()).await.status, 200);
}

#[tokio::test]
async fn heads_are_bounded_and_framing_is_not_ambiguous() {
    let gateway = Gateway::start(HttpOptions::default()).await;
    let base = "POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let smuggled = "0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (what, bytes, status) in [
        ("a long header", format!("{base}X: {}\r\n\r\n", "x".repeat(40_000)), Some(431)),
        ("many headers", format!("{base}{}\r\n", "X: 1\r\n".repeat(101)), Some(431)),
        ("a header that never ends", format!("{base}X: {}", "x".repeat(200_000)), Some(431)),
        ("a space in a name", format!("{base}X y: 1\r\n\r\n"), Some(400)),
        ("no request", "\x16\x03\x01 TLS? \r\n\r\n".to_owned(), Some(400)),
        ("two lengths", format!("{base}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}"), Some(400)),
        ("a signed length", format!("{base}Content-Length: +2\r\n\r\n{{}}"), Some(400)),
        ("an unknown coding", format!("{base}Transfer-Encoding: gzip\r\n\r\n"), Some(400)),
        (
            "length and chunks",
            format!("{base}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{smuggled}"),
            Some(400),
        ),
        (
            "chunks and length",
            format!("{base}Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{smuggled}"),
            Some(400),
        ),
    ] {
        let mut connection = Connection::open(gateway.at).await;
        // The end of a long head may find the connection closed already.
        let _ = tokio::io::AsyncWriteExt::write_all(&mut connection.stream, bytes.as_bytes()).await;
        let answer = connection.answer().await;
        assert_eq!(answer.as_ref().map(|a| a.status), status, "{what}");
        assert!(connection.answer().await.is_none(), "{what}: nothing more is read from this connection");
    }
}

#[tokio::test]
async fn http_1_0_pipelining_and_other_paths() {
    let gateway = Gateway::start(HttpOptions::default()).await;
    let mut old = Connection::open(gateway.at).await;
    old.send(b"GET /healthz HTTP/1.0\r\n\r\n").await;
    let health = old.answer().await.unwrap();
    assert_eq!((health.status, health.json()), (200, json!({"status": "ok"})));
    assert!(old.answer().await.is_none(), "1.0 closes");

    let mut connection = Connection::open(gateway.at).await;
    let one = request("POST", "/mcp", &LIST, &list());
    let two = request("GET", "/log/checkpoint", &[], "");
    let three = request("POST", "/mcp/files", &LIST, &list());
    connection.send(format!("{one}{two}{three}").as_bytes()).await;
    assert_eq!(connection.answer().await.unwrap().status, 200);
    let checkpoint = connection.answer().await.unwrap();
    assert_eq!((checkpoint.status, checkpoint.body.as_slice()), (200, &b"log.example.org\n7\n"[..]));
    assert_eq!(connection.answer().await.unwrap().status, 200);

    for (method, path) in [
        ("GET", "/"),
        ("POST", "/healthz"),
        ("POST", "/mcp/"),
        ("POST", "/mcp/a/b"),
        ("POST", "/mcpx"),
        ("POST", "/mcp/%66iles"),
        ("POST", "/mcp/Files"),
    ] {
        let answer = connection.ask(method, path, &LIST, &list()).await;
        assert_eq!(answer.error(), (404, -32600, "unknown_method".into()), "{method} {path}");
    }
    let nobody = connection.ask("POST", "/mcp/nobody", &LIST, &list()).await;
    assert_eq!(nobody.error(), (404, -32600, "server_unavailable".into()));
}

#[tokio::test]
async fn the_slow_are_dropped() {
    let options = HttpOptions {
        head_timeout: Duration::from_millis(300),
        idle_timeout: Duration::from_millis(1500),
        body_timeout: Duration::from_millis(300),
        ..HttpOptions::default()
    };
    let gateway = Gateway::start(options).await;
    let start = Instant::now();
    // Slowloris: a byte now and then.
    let mut dribbling = Connection::open(gateway.at).await;
    let dribbled = tokio::time::timeout(Duration::from_secs(5), async {
        while tokio::io::AsyncWriteExt::write_all(&mut dribbling.stream, b"X").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(dribbled.await.is_ok(), "the connection is closed");
    assert!(start.elapsed() < Duration::from_secs(3));

    let mut silent = Connection::open(gateway.at).await;
    assert!(silent.answer().await.is_none());

    let mut body = Connection::open(gateway.at).await;
    body.send(
        b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{",
    )
    .await;
    let answer = body.answer().await.unwrap();
    assert_eq!(answer.error(), (408, -32600, "malformed".into()));
    assert!(body.answer().await.is_none());

    let mut kept = Connection::open(gateway.at).await;
    assert_eq!(kept.ask("POST", "/mcp", &LIST, &list()).await.status, 200);
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(kept.ask("POST", "/mcp", &LIST, &list()).await.status, 200, "between requests more time is given");
    assert!(kept.answer().await.is_none(), "but not for ever");

    // A call may take longer than any of these.
    let call = message("tools/call", json!({"name": "sleep", "arguments": {"ms": 1500}}));
    let headers = [LIST[0], ("Mcp-Method", "tools/call"), ("Mcp-Name", "sleep")];
    assert_eq!(post(gateway.at, &headers, &call).await.status, 200);
}

pub fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_silent_connections_cost_little_and_block_nobody() {
    let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 20);
    // Both ends of each are in this process.
    let many = 10_000.min((descriptors as usize).saturating_sub(500) / 2);
    let options =
        HttpOptions { connections: many + 64, head_timeout: Duration::from_secs(120), ..HttpOptions::default() };
    let gateway = Gateway::start(options).await;
    let before = resident_kib();
    let mut silent = Vec::with_capacity(many);
    for i in 0..many {
        silent.push(TcpStream::connect(gateway.at).await.unwrap());
        if i % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(post(gateway.at, &LIST, &list()).await.status, 200);
    let each = (resident_kib() - before) * 1024 / many;
    println!("{many} silent connections, {each} bytes each, both ends");
    assert!(each < 8 * 1024, "{each} bytes a connection");
}

#[tokio::test]
async fn at_the_cap_the_next_connection_waits_for_a_silent_one_to_time_out() {
    let options = HttpOptions { connections: 2, head_timeout: Duration::from_millis(200), ..HttpOptions::default() };
    let gateway = Gateway::start(options).await;
    let _silent = [Connection::open(gateway.at).await, Connection::open(gateway.at).await];
    let start = Instant::now();
    assert_eq!(post(gateway.at, &LIST, &list()).await.status, 200);
    assert!(start.elapsed() > Duration::from_millis(100));
}

#[tokio::test]
async fn a_shutdown_finishes_what_is_under_way() {
    let mut gateway = Gateway::start(HttpOptions { drain: Duration::from_secs(5), ..HttpOptions::default() }).await;
    let call = message("tools/call", json!({"name": "sleep", "arguments": {"ms": 300}}));
    let headers = [LIST[0], ("Mcp-Method", "tools/call"), ("Mcp-Name", "sleep")];
    let mut idle = Connection::open(gateway.at).await;
    assert_eq!(idle.ask("POST", "/mcp", &LIST, &list()).await.status, 200);
    let mut working = Connection::open(gateway.at).await;
    working.send(request("POST", "/mcp", &headers, &call).as_bytes()).await;
    gateway.fake.reaches((1, 0, 0)).await;
    gateway.stop();
    assert!(idle.answer().await.is_none(), "idle connections close at once");
    let answer = working.answer().await.unwrap();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    tokio::time::timeout(Duration::from_secs(2), &mut gateway.served).await.expect("served ends").unwrap();
    assert!(TcpStream::connect(gateway.at).await.is_err());
}

#[tokio::test]
async fn what_was_sent_before_a_stop_is_answered() {
    for round in 0..20 {
        let mut gateway = Gateway::start(HttpOptions { drain: Duration::from_secs(5), ..HttpOptions::default() }).await;
        // Nothing yields to the gateway between these: the connection waits in the system's queue at the stop.
        let mut stream = std::net::TcpStream::connect(gateway.at).unwrap();
        std::io::Write::write_all(&mut stream, request("POST", "/mcp", &LIST, &list()).as_bytes()).unwrap();
        gateway.stop();
        stream.set_nonblocking(true).unwrap();
        let mut connection = Connection { stream: TcpStream::from_std(stream).unwrap(), ahead: Vec::new() };
        assert_eq!(connection.answer().await.map(|a| a.status), Some(200), "round {round}");
        assert!(connection.answer().await.is_none(), "and closed");
    }
}

#[tokio::test]
async fn a_shutdown_is_bounded() {
    let mut gateway = Gateway::start(HttpOptions { drain: Duration::from_millis(200), ..HttpOptions::default() }).await;
    let call = message("tools/call", json!({"name": "sleep", "arguments": {"ms": 60_000}}));
    let headers = [LIST[0], ("Mcp-Method", "tools/call"), ("Mcp-Name", "sleep")];
    let mut working = Connection::open(gateway.at).await;
    working.send(request("POST", "/mcp", &headers, &call).as_bytes()).await;
    gateway.fake.reaches((1, 0, 0)).await;
    gateway.stop();
    tokio::time::timeout(Duration::from_secs(2), &mut gateway.served).await.expect("served ends").unwrap();
    gateway.fake.reaches((1, 0, 1)).await;
}
