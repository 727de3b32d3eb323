//! HTTP by hand: bytes out, status, headers and body back.

use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e}: {} {:?}", self.status, String::from_utf8_lossy(&self.body)))
    }

    /// Status, JSON-RPC code and our code, of an error.
    pub fn error(&self) -> (u16, i64, String) {
        let json = self.json();
        let code = json["error"]["data"]["code"].as_str().unwrap_or_default().to_owned();
        (self.status, json["error"]["code"].as_i64().unwrap_or_default(), code)
    }
}

pub struct Connection {
    pub stream: TcpStream,
    pub ahead: Vec<u8>,
}

impl Connection {
    pub async fn open(at: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(at).await.unwrap(), ahead: Vec::new() }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// More bytes; `false` at the end.
    pub async fn more(&mut self) -> bool {
        let mut piece = [0; 4096];
        let read =
            tokio::time::timeout(Duration::from_secs(10), self.stream.read(&mut piece)).await.expect("an answer");
        match read {
            Ok(0) | Err(_) => false,
            Ok(n) => {
                self.ahead.extend_from_slice(&piece[..n]);
                true
            }
        }
    }

    /// Reads until `text` has come, and returns all up to its end.
    pub async fn until(&mut self, text: &str) -> String {
        loop {
            if let Some(at) = self.ahead.windows(text.len()).position(|w| w == text.as_bytes()) {
                let rest = self.ahead.split_off(at + text.len());
                return String::from_utf8(std::mem::replace(&mut self.ahead, rest)).unwrap();
            }
            assert!(self.more().await, "closed before {text:?}: {:?}", String::from_utf8_lossy(&self.ahead));
        }
    }

    /// One answer; `None` if the connection closes instead.
    pub async fn answer(&mut self) -> Option<Answer> {
        let end = loop {
            match self.ahead.windows(4).position(|w| w == b"\r\n\r\n") {
                Some(at) => break at,
                None if !self.more().await => return None,
                None => {}
            }
        };
        let rest = self.ahead.split_off(end + 4);
        let head = String::from_utf8(std::mem::replace(&mut self.ahead, rest)).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|l| l.split_once(':'))
            .map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()))
            .collect();
        if headers.iter().any(|(n, v)| n == "transfer-encoding" && v == "chunked") {
            let body = self.chunks().await?;
            return Some(Answer { status, headers, body });
        }
        let length = headers.iter().find(|(n, _)| n == "content-length").map_or(0, |(_, v)| v.parse().unwrap());
        while self.ahead.len() < length {
            if !self.more().await {
                return None;
            }
        }
        let rest = self.ahead.split_off(length);
        Some(Answer { status, headers, body: std::mem::replace(&mut self.ahead, rest) })
    }

    /// A whole body in pieces.
    async fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            while !self.ahead.windows(2).any(|w| w == b"\r\n") {
                if !self.more().await {
                    return None;
                }
            }
            let line = self.until("\r\n").await;
            let size = usize::from_str_radix(line.trim(), 16).unwrap();
            while self.ahead.len() < size + 2 {
                if !self.more().await {
                    return None;
                }
            }
            let rest = self.ahead.split_off(size + 2);
            let chunk = std::mem::replace(&mut self.ahead, rest);
            body.extend_from_slice(&chunk[..size]);
            if size == 0 {
                return Some(body);
            }
        }
    }

    /// A request and its answer.
    pub async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.send(request(method, path, headers, body).as_bytes()).await;
        self.answer().await.expect("an answer")
    }
}

/// A request as text; `Host` and, for a POST, `Content-Type` are added where `headers` lacks them.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let has = |name: &str| headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
    let mut out = format!("{method} {path} HTTP/1.1\r\n");
    if !has("host") {
        out.push_str("Host: localhost\r\n");
    }
    if method == "POST" && !has("content-type") {
        out.push_str("Content-Type: application/json\r\n");
    }
    for (name, value) in headers {
        out.push_str(&format!("{name}: {value}\r\n"));
    }
    out.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    out
}

pub async fn post(at: SocketAddr, headers: &[(&str, &str)], body: &str) -> Answer {
    Connection::open(at).await.ask("POST", "/mcp", headers, body).await
}
