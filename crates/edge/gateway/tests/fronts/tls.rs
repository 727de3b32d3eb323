//! TLS on the HTTP front: both versions by ALPN, another certificate while it runs, clients that never finish.

use crate::fake::Gateway;
use crate::http2::Client;
use crate::modern::message;
use crate::raw::{Connection, request};
use base64::Engine as _;
use interlock_gateway::{HttpOptions, Tls, TlsFiles};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

const LIST: [(&str, &str); 2] = [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", "tools/list")];

/// A gateway with a certificate in files.
struct Site {
    gateway: Gateway,
    tls: Arc<Tls>,
    dir: tempfile::TempDir,
    certificate: CertificateDer<'static>,
}

impl Site {
    async fn start(options: HttpOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let certificate = write_pair(&dir);
        let files = TlsFiles { certificate: dir.path().join("c.pem"), key: dir.path().join("k.pem") };
        let tls = Arc::new(Tls::load(files).unwrap());
        let gateway = Gateway::start(HttpOptions { tls: Some(tls.clone()), ..options }).await;
        Self { gateway, tls, dir, certificate }
    }

    async fn connect(&self, protocols: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        connect(&self.gateway, &self.certificate, protocols).await
    }
}

/// A new self-signed pair in `dir`.
fn write_pair(dir: &tempfile::TempDir) -> CertificateDer<'static> {
    let key = rcgen::KeyPair::generate().unwrap();
    let made = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let pem = |label: &str, der: &[u8]| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    };
    std::fs::write(dir.path().join("c.pem"), pem("CERTIFICATE", made.der())).unwrap();
    let file = dir.path().join("k.pem");
    std::fs::write(&file, pem("PRIVATE KEY", &key.serialize_der())).unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    made.der().clone()
}

async fn connect(
    gateway: &Gateway,
    trusted: &CertificateDer<'static>,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(gateway.at).await?;
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

fn list() -> String {
    message("tools/list", json!({}))
}

/// A request of HTTP/1.1 and the first of its answer.
async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    stream.write_all(request("POST", "/mcp", &LIST, &list()).as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut answer)).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[tokio::test]
async fn the_version_is_agreed_on() {
    let site = Site::start(HttpOptions::default()).await;
    let (client, _driver) = Client::over(site.connect(&["h2", "http/1.1"]).await.unwrap()).await;
    assert_eq!(client.list().await.unwrap().status, 200);
    for protocols in [&["http/1.1"][..], &[]] {
        let mut one = site.connect(protocols).await.unwrap();
        assert!(ask(&mut one).await.starts_with("HTTP/1.1 200"), "{protocols:?}");
        assert!(ask(&mut one).await.starts_with("HTTP/1.1 200"), "the connection is kept");
    }
    assert!(site.connect(&["spdy/3"]).await.is_err(), "nothing in common");
    // Without ALPN it is HTTP/1.1, whatever the preface says.
    let mut wrong = site.connect(&[]).await.unwrap();
    wrong.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let _ = wrong.read_to_end(&mut rest).await;
    assert!(!rest.starts_with(&[0, 0]), "no frame came");
    // In the clear nothing is answered.
    let mut clear = Connection::open(site.gateway.at).await;
    clear.send(request("POST", "/mcp", &LIST, &list()).as_bytes()).await;
    assert!(clear.answer().await.is_none());
}

#[tokio::test]
async fn another_certificate_comes_into_force_and_connections_stay() {
    let site = Site::start(HttpOptions::default()).await;
    let mut old = site.connect(&["http/1.1"]).await.unwrap();
    assert!(ask(&mut old).await.starts_with("HTTP/1.1 200"));
    std::fs::write(site.dir.path().join("c.pem"), "nonsense").unwrap();
    assert!(site.tls.reload().is_err());
    assert!(site.connect(&[]).await.is_ok(), "the old one is in force");
    let newer = write_pair(&site.dir);
    assert!(site.tls.reload().unwrap());
    assert!(connect(&site.gateway, &newer, &[]).await.is_ok());
    assert!(site.connect(&[]).await.is_err(), "the old one is gone");
    assert!(ask(&mut old).await.starts_with("HTTP/1.1 200"), "what stood goes on");
}

#[tokio::test]
async fn handshakes_that_never_end_are_bounded_in_number_and_time() {
    let options = HttpOptions { connections: 2, head_timeout: Duration::from_millis(400), ..HttpOptions::default() };
    let site = Site::start(options).await;
    let begun = Instant::now();
    // A handshake record that announces more than comes, and nothing at all.
    let mut half = Connection::open(site.gateway.at).await;
    half.send(&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]).await;
    let mut silent = Connection::open(site.gateway.at).await;
    let mut third = site.connect(&[]).await.unwrap();
    assert!(begun.elapsed() > Duration::from_millis(300), "it waited for a place");
    assert!(ask(&mut third).await.starts_with("HTTP/1.1 200"));
    assert!(half.answer().await.is_none());
    assert!(silent.answer().await.is_none());
    assert!(begun.elapsed() < Duration::from_secs(3));
    for garbage in [&b"\x16\x03\x01\x00\x05hello"[..], b"\x80\x2e\x01\x00\x02", &[0xff; 300]] {
        let mut connection = Connection::open(site.gateway.at).await;
        connection.send(garbage).await;
        while connection.more().await {}
    }
    // With the handshake done, the first request has as long again.
    let mut idle = site.connect(&[]).await.unwrap();
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(3), idle.read_to_end(&mut rest)).await;
    assert!(closed.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_handshakes_cost_little() {
    let site = Site::start(HttpOptions { head_timeout: Duration::from_secs(60), ..HttpOptions::default() }).await;
    let many = 400;
    let before = crate::limits::resident_kib();
    let mut half = Vec::with_capacity(many);
    for _ in 0..many {
        let mut connection = Connection::open(site.gateway.at).await;
        // The most that one record may hold, less its last byte.
        connection.send(&[&[0x16, 0x03, 0x01, 0x40, 0x00, 0x01, 0x00, 0x3f, 0xfc][..], &[0; 16_379]].concat()).await;
        half.push(connection);
    }
    assert!(site.connect(&[]).await.is_ok());
    let each = (crate::limits::resident_kib() - before) * 1024 / many;
    println!("{each} bytes for an unfinished handshake, both ends");
    assert!(each < 64 * 1024, "{each} bytes");
}

#[tokio::test]
async fn a_shutdown_finishes_what_is_under_way() {
    let mut site = Site::start(HttpOptions { drain: Duration::from_secs(5), ..HttpOptions::default() }).await;
    let mut half = Connection::open(site.gateway.at).await;
    half.send(&[0x16, 0x03]).await;
    let mut working = site.connect(&["http/1.1"]).await.unwrap();
    let call = message("tools/call", json!({"name": "sleep", "arguments": {"ms": 300}}));
    let headers = [LIST[0], ("Mcp-Method", "tools/call"), ("Mcp-Name", "sleep")];
    working.write_all(request("POST", "/mcp", &headers, &call).as_bytes()).await.unwrap();
    site.gateway.fake.reaches((1, 0, 0)).await;
    site.gateway.stop();
    let mut answer = Vec::new();
    working.read_to_end(&mut answer).await.expect("TLS ends in order");
    assert!(String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 200"));
    tokio::time::timeout(Duration::from_secs(2), &mut site.gateway.served).await.expect("served ends").unwrap();
}
