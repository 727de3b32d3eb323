//! The administration socket: every command against every kind of authorization.

use crate::fake::Fake;
use ed25519_dalek::{Signer as _, SigningKey};
use interlock_gateway::{
    AdminBindError, AdminClient, AdminClientError, AdminError, AdminErrorKind, AdminOptions, AdminService, AdminSocket,
    Items, Peer, serve_admin,
};
use interlock_signature::{PublicKey, Purpose, Signature, Signer};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{oneshot, watch};

struct Soft(SigningKey);

impl Soft {
    fn new(seed: u8) -> Self {
        Self(SigningKey::from_bytes(&[seed; 32]))
    }
}

impl Signer for Soft {
    fn public_key(&self) -> PublicKey {
        PublicKey::from_bytes(self.0.verifying_key().to_bytes())
    }
    fn sign_raw(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

/// Commands, and whether each needs the operator.
const COMMANDS: [(&str, bool); 6] = [
    ("status", false),
    ("approvals.list", false),
    ("ledger.tail", false),
    ("approvals.settle", true),
    ("kill.set", true),
    ("policy.follow", true),
];

#[derive(Default)]
struct Service {
    ran: AtomicUsize,
    hung_up: Arc<AtomicUsize>,
}

impl AdminService for Service {
    fn needs_operator(&self, command: &str) -> Option<bool> {
        COMMANDS.iter().find(|(name, _)| *name == command).map(|(_, needs)| *needs)
    }
    fn operator(&self) -> PublicKey {
        Soft::new(1).public_key()
    }
    async fn run(&self, peer: Peer, command: &str, params: Value, authorised: bool) -> Result<Value, AdminError> {
        self.ran.fetch_add(1, Ordering::SeqCst);
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
        if params.get("fail").is_some() {
            return Err(AdminError::new(AdminErrorKind::Refused, "the approval is settled already"));
        }
        Ok(json!({"command": command, "params": params, "authorised": authorised}))
    }
    fn streams(&self, command: &str) -> bool {
        matches!(command, "ledger.tail" | "policy.follow")
    }
    async fn follow(
        &self,
        _: Peer,
        _: &str,
        params: Value,
        authorised: bool,
        items: Items,
    ) -> Result<Value, AdminError> {
        self.ran.fetch_add(1, Ordering::SeqCst);
        let hung_up = self.hung_up.clone();
        let count = params["count"].as_u64().unwrap_or(u64::MAX);
        for n in 0..count {
            if items.send(json!(n)).await.is_err() {
                break;
            }
            if count == u64::MAX {
                let _gone = Gone(hung_up.clone());
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        }
        Ok(json!({"authorised": authorised}))
    }
}

struct Gone(Arc<AtomicUsize>);
impl Drop for Gone {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct Daemon {
    path: PathBuf,
    service: Arc<Service>,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

fn start() -> Daemon {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let socket = AdminSocket::bind(&path).unwrap();
    let service = Arc::new(Service::default());
    let (stop, stopped) = oneshot::channel::<()>();
    let (_, epoch) = watch::channel(0);
    let served = tokio::spawn(serve_admin(
        socket,
        service.clone(),
        Fake::new(),
        (epoch, tokio::sync::broadcast::channel(1).0),
        AdminOptions::default(),
        async {
            let _ = stopped.await;
        },
    ));
    Daemon { path, service, stop: Some(stop), served, _folder: folder }
}

/// The protocol by hand.
struct Raw {
    lines: tokio::io::Lines<BufReader<tokio::net::unix::OwnedReadHalf>>,
    writer: tokio::net::unix::OwnedWriteHalf,
    challenge: String,
}

impl Raw {
    async fn open(daemon: &Daemon) -> Self {
        let (reader, writer) = UnixStream::connect(&daemon.path).await.unwrap().into_split();
        let mut raw = Self { lines: BufReader::new(reader).lines(), writer, challenge: String::new() };
        raw.ask(json!({"interlock": 1})).await;
        raw
    }

    async fn send(&mut self, line: &str) {
        self.writer.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn read(&mut self) -> Option<Value> {
        let line = tokio::time::timeout(Duration::from_secs(5), self.lines.next_line()).await.expect("an answer");
        let value: Value = serde_json::from_str(&line.unwrap()?).unwrap();
        if let Some(challenge) = value["challenge"].as_str() {
            assert_ne!(self.challenge, challenge, "a challenge is never given twice");
            self.challenge = challenge.to_owned();
        }
        Some(value)
    }

    async fn ask(&mut self, line: Value) -> Value {
        self.send(&line.to_string()).await;
        self.read().await.expect("an answer")
    }
}

fn sign(signer: &Soft, purpose: Purpose, challenge: &str, command: &str, params: &str) -> Value {
    let message = format!(r#"{{"challenge":"{challenge}","command":"{command}","params":{params}}}"#);
    json!({"key": signer.public_key(), "signature": signer.sign(purpose, message.as_bytes())})
}

#[tokio::test]
async fn invariant_10_every_command_against_every_authorization() {
    let daemon = start();
    let (operator, other) = (Soft::new(1), Soft::new(2));
    for (command, needs) in COMMANDS {
        let params = json!({"a": 1, "count": 0});
        let text = r#"{"a":1,"count":0}"#;
        let mut raw = Raw::open(&daemon).await;
        let stale = raw.challenge.clone();
        raw.ask(json!({"id": 0, "command": "status"})).await;
        let purpose = Purpose::AdminCommand;
        for what in [
            "none",
            "operator",
            "another key",
            "operator's name on another's signature",
            "another command",
            "other params",
            "another challenge",
            "an older challenge",
            "another purpose",
            "not canonical",
        ] {
            let now = raw.challenge.clone();
            let authorization = match what {
                "none" => Value::Null,
                "operator" => sign(&operator, purpose, &now, command, text),
                "another key" => sign(&other, purpose, &now, command, text),
                "operator's name on another's signature" => {
                    let mut wrong = sign(&other, purpose, &now, command, text);
                    wrong["key"] = json!(operator.public_key());
                    wrong
                }
                "another command" => sign(&operator, purpose, &now, "status", text).take_if_other(command, "status"),
                "other params" => sign(&operator, purpose, &now, command, r#"{"a":2,"count":0}"#),
                "another challenge" => sign(&operator, purpose, "AAAA", command, text),
                "an older challenge" => sign(&operator, purpose, &stale, command, text),
                "another purpose" => sign(&operator, Purpose::ApprovalSettlement, &now, command, text),
                _ => sign(&operator, purpose, &now, command, r#"{"count":0,"a":1}"#),
            };
            if what == "another command" && authorization.is_null() {
                continue;
            }
            let before = daemon.service.ran.load(Ordering::SeqCst);
            let answer =
                raw.ask(json!({"id": 7, "command": command, "params": params, "authorization": authorization})).await;
            let ran = daemon.service.ran.load(Ordering::SeqCst) - before;
            let allowed = what == "operator" || (what == "none" && !needs);
            assert_eq!(ran, usize::from(allowed), "{command}, {what}: {answer}");
            if allowed {
                let done = if answer["result"].is_null() { &answer["done"] } else { &answer["result"] };
                assert_eq!(done["authorised"], what == "operator", "{command}, {what}");
            } else {
                assert_eq!(answer["error"]["code"], "unauthorised", "{command}, {what}");
            }
        }
    }
}

trait TakeIfOther {
    fn take_if_other(self, command: &str, same: &str) -> Value;
}
impl TakeIfOther for Value {
    fn take_if_other(self, command: &str, same: &str) -> Value {
        if command == same { Value::Null } else { self }
    }
}

#[tokio::test]
async fn a_signature_is_good_once() {
    let daemon = start();
    let mut raw = Raw::open(&daemon).await;
    let signed = sign(&Soft::new(1), Purpose::AdminCommand, &raw.challenge, "kill.set", "{}");
    let line = json!({"id": 1, "command": "kill.set", "params": {}, "authorization": signed});
    assert!(raw.ask(line.clone()).await["result"].is_object());
    assert_eq!(raw.ask(line.clone()).await["error"]["code"], "unauthorised", "replayed on the same connection");
    let mut second = Raw::open(&daemon).await;
    assert_eq!(second.ask(line).await["error"]["code"], "unauthorised", "replayed on another one");
    assert_eq!(daemon.service.ran.load(Ordering::SeqCst), 1);
    // A line that is no command uses the challenge up as well.
    let signed = sign(&Soft::new(1), Purpose::AdminCommand, &second.challenge, "kill.set", "{}");
    second.send("nonsense").await;
    assert_eq!(second.read().await.unwrap()["error"]["code"], "invalid");
    let line = json!({"id": 1, "command": "kill.set", "params": {}, "authorization": signed});
    assert_eq!(second.ask(line).await["error"]["code"], "unauthorised");
}

#[tokio::test]
async fn odd_lines() {
    let daemon = start();
    let mut raw = Raw::open(&daemon).await;
    for (line, code) in [
        (r#"{"id":1}"#.to_owned(), "invalid"),
        (r#"{"id":1,"command":"status","extra":1}"#.to_owned(), "invalid"),
        (r#"{"id":1,"command":"status","params":[]}"#.to_owned(), "invalid"),
        (r#"{"id":1,"command":"status","params":{"a":1,"a":2}}"#.to_owned(), "invalid"),
        (r#"{"id":1,"command":"status","command":"status"}"#.to_owned(), "invalid"),
        (r#"{"id":1,"command":"status","authorization":{"key":"AA","signature":"AA"}}"#.to_owned(), "invalid"),
        (r#"{"id":1,"command":"format.disk"}"#.to_owned(), "unknown_command"),
        (r#"{"id":1,"command":"status","params":{"fail":1}}"#.to_owned(), "refused"),
        (" ".repeat(2 << 20), "invalid"),
        (r#"{"id":1,"command":"mcp.stdio","params":{"key":"secret-key"}}"#.to_owned(), "unauthorised"),
        (r#"{"id":1,"command":"mcp.stdio","params":{"server":"nobody"}}"#.to_owned(), "not_found"),
        (r#"{"id":1,"command":"mcp.stdio","params":{"other":"secret-key"}}"#.to_owned(), "invalid"),
    ] {
        raw.send(&line).await;
        let answer = raw.read().await.unwrap();
        assert_eq!(answer["error"]["code"], code, "{}", &line[..line.len().min(80)]);
        assert!(!answer.to_string().contains("secret-key"));
    }
    assert!(raw.ask(json!({"id": 1, "command": "status"})).await["result"].is_object());

    for hello in ["{\"interlock\":2}", "{}", "GET / HTTP/1.1"] {
        let mut stream = UnixStream::connect(&daemon.path).await.unwrap();
        stream.write_all(format!("{hello}\n").as_bytes()).await.unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).await.unwrap();
        assert!(said.contains("\"invalid\"") && !said.contains("challenge"), "{said}");
    }
}

#[tokio::test]
async fn the_client() {
    let mut daemon = start();
    assert_eq!(std::fs::metadata(&daemon.path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut client = AdminClient::connect(&daemon.path).await.unwrap();
    assert_eq!(client.version(), env!("CARGO_PKG_VERSION"));
    let operator = Soft::new(1);
    let params = json!({"z": 1, "a": {"y": [1.5, null], "x": "ä\n"}});
    let answer = client.call("kill.set", params.clone(), Some(&operator)).await.unwrap();
    assert_eq!(answer, json!({"command": "kill.set", "params": params, "authorised": true}));
    let refused = client.call("kill.set", json!({}), None).await.unwrap_err();
    assert!(matches!(refused, AdminClientError::Refused(AdminError { kind: AdminErrorKind::Unauthorised, .. })));
    assert_eq!(client.call("status", json!({}), None).await.unwrap()["authorised"], false);

    let mut items = client.stream("ledger.tail", json!({"count": 40}), None).await.unwrap();
    for n in 0..40 {
        assert_eq!(items.next().await.unwrap(), Some(json!(n)));
    }
    assert_eq!(items.next().await.unwrap(), None);
    assert_eq!(items.done(), Some(&json!({"authorised": false})));

    let client = AdminClient::connect(&daemon.path).await.unwrap();
    let mut items = client.stream("ledger.tail", json!({}), None).await.unwrap();
    assert_eq!(items.next().await.unwrap(), Some(json!(0)));
    drop(items);
    let hung_up = tokio::time::timeout(Duration::from_secs(5), async {
        while daemon.service.hung_up.load(Ordering::SeqCst) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(hung_up.await.is_ok(), "a command that streams ends when its client does");

    let mut idle = AdminClient::connect(&daemon.path).await.unwrap();
    daemon.stop.take();
    tokio::time::timeout(Duration::from_secs(5), &mut daemon.served).await.expect("it stops").unwrap();
    assert!(idle.call("status", json!({}), None).await.is_err());
    let gone = AdminClient::connect(&daemon.path).await.unwrap_err();
    assert!(gone.to_string().starts_with("no daemon is listening at "), "{gone}");
}

#[tokio::test]
async fn mcp_over_the_socket() {
    let mut daemon = start();
    for (key, server, agent) in [(None, None, "unbound"), (Some("key-a"), Some("files"), "a")] {
        let client = AdminClient::connect(&daemon.path).await.unwrap();
        let server = server.map(|s: &str| s.parse().unwrap());
        let (reader, mut writer) = client.into_mcp_stream(key, server.as_ref()).await.unwrap().split();
        let mut lines = BufReader::new(reader).lines();
        let call = crate::modern::message("tools/call", json!({"name": "other"}));
        // Longer than a line of this protocol may be, and not longer than one of MCP.
        writer.write_all(format!("{}{call}\n", " ".repeat(2 << 20)).as_bytes()).await.unwrap();
        let answer: Value = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
        assert_eq!(answer["result"]["agent"], agent);
        drop(writer);
        assert!(lines.next_line().await.unwrap().is_none());
    }
    let client = AdminClient::connect(&daemon.path).await.unwrap();
    let (_reader, _writer) = client.into_mcp_stream(None, None).await.unwrap().split();
    daemon.stop.take();
    tokio::time::timeout(Duration::from_secs(5), &mut daemon.served).await.expect("it stops").unwrap();
}

#[tokio::test]
async fn what_is_in_the_way_of_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    std::fs::write(&path, "mine").unwrap();
    assert!(matches!(AdminSocket::bind(&path), Err(AdminBindError::NotASocket(_))));
    std::fs::remove_file(&path).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let socket = AdminSocket::bind(&path).unwrap();
    assert!(matches!(AdminSocket::bind(&path), Err(AdminBindError::InUse(_))));
    drop(socket);
    assert!(!path.exists());
    let long = folder.path().join("x".repeat(120));
    assert!(matches!(AdminSocket::bind(&long), Err(AdminBindError::Io { .. })));
}
