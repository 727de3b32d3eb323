//! A fake engine, and a gateway in front of it.

use bytes::Bytes;
use interlock_engine::front::{Aside, CallResponse, Caller, Endpoint, Governed, NotIdentified, Notice};
use interlock_gateway::{HttpOptions, Published, serve_http};
use interlock_identity::{Agent, AgentState, BearerKey, Principal};
use interlock_mcp::{Ask, Era, Frame, Mirrored, Offers, Request, RpcError, answer};
use interlock_model::json::Limits;
use interlock_model::{Code, UnixMillis};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, oneshot, watch};

/// Answers by the tool's name: `echo` says who asked for what, `sleep` takes `ms`, `pretty` answers over
/// several lines, `stamped` has a result type, `fails` is a protocol error, `samples` one that names a capability.
pub struct Fake {
    pub allow_unbound: bool,
    pub offers: Mutex<Offers>,
    /// What was subscribed to and no more, in order.
    pub subscriptions: Mutex<Vec<String>>,
    pub started: AtomicUsize,
    pub finished: AtomicUsize,
    pub dropped: AtomicUsize,
}

impl Fake {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            allow_unbound: true,
            offers: Mutex::default(),
            subscriptions: Mutex::default(),
            started: AtomicUsize::new(0),
            finished: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
        })
    }

    pub fn counts(&self) -> (usize, usize, usize) {
        let of = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        (of(&self.started), of(&self.finished), of(&self.dropped))
    }

    /// Waits for `(started, finished, dropped)`.
    pub async fn reaches(&self, counts: (usize, usize, usize)) {
        let reached = tokio::time::timeout(Duration::from_secs(5), async {
            while self.counts() != counts {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        assert!(reached.await.is_ok(), "wanted {counts:?}, have {:?}", self.counts());
    }
}

fn principal(name: &str, bound: bool) -> Principal {
    let agent = Agent {
        id: name.parse().unwrap(),
        owner: "ada@example.org".parse().unwrap(),
        key: BearerKey::presented(name).digest(),
        state: AgentState::Active,
        purpose: String::new(),
        roles: vec![],
        added: UnixMillis(0),
    };
    Principal { agent: Arc::new(agent), bound }
}

/// Counts a call that was dropped before its end.
struct Watch<'a>(&'a Fake, bool);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        let count = if self.1 { &self.0.finished } else { &self.0.dropped };
        count.fetch_add(1, Ordering::SeqCst);
    }
}

impl Governed for Fake {
    fn identify(&self, presented: Option<&str>) -> Result<Principal, NotIdentified> {
        match presented {
            Some("key-a") => Ok(principal("a", true)),
            Some("key-b") => Ok(principal("b", true)),
            Some("key-suspended") => Err(NotIdentified { code: Code::AgentNotActive }),
            Some(_) => Err(NotIdentified { code: Code::Unauthenticated }),
            None if self.allow_unbound => Ok(principal("unbound", false)),
            None => Err(NotIdentified { code: Code::UnboundRefused }),
        }
    }

    fn has_endpoint(&self, endpoint: &Endpoint) -> bool {
        match endpoint {
            Endpoint::All => true,
            Endpoint::Server(name) => name.as_str() == "files",
        }
    }

    async fn list_tools(&self, _: &Caller, request: &Request) -> Result<Bytes, RpcError> {
        if request.param("cursor").is_some() {
            return Err(RpcError::new(RpcError::INVALID_PARAMS, Code::Malformed, "no such cursor"));
        }
        Ok(Bytes::from_static(
            br#"{"tools":[{"name":"echo","inputSchema":{"type":"object","properties":{"region":{"type":"string","x-mcp-header":"Region"}}}}]}"#,
        ))
    }

    fn offers(&self, _: &Endpoint) -> Offers {
        *self.offers.lock().unwrap()
    }

    async fn set_level(&self, _: Caller, request: Request) -> CallResponse {
        CallResponse { message: answer::result(request.id(), b"{}"), error: None }
    }

    async fn ask(&self, caller: Caller, ask: Ask, request: Request, aside: &dyn Aside) -> CallResponse {
        if matches!(ask, Ask::Subscribe | Ask::Unsubscribe) {
            let uri = request.param("uri").and_then(|uri| uri.as_str()).unwrap_or_default().into_owned();
            let message = if uri.contains("secret") {
                RpcError::new(RpcError::INTERNAL, Code::PolicyDenied, "no").to_frame(Some(request.id()))
            } else {
                self.subscriptions.lock().unwrap().push(format!("{} {uri}", request.method()));
                answer::result(request.id(), b"{}")
            };
            return CallResponse { message, error: uri.contains("secret").then_some(RpcError::INTERNAL.into()) };
        }
        if ask == Ask::Read {
            return CallResponse { message: answer::result(request.id(), br#"{"contents":[]}"#), error: None };
        }
        self.started.fetch_add(1, Ordering::SeqCst);
        let mut watch = Watch(self, false);
        let tool = request.param("name").and_then(|n| n.as_str()).map(|n| n.into_owned()).unwrap_or_default();
        let arguments = request.param("arguments");
        let result = match tool.as_str() {
            "sleep" => {
                let ms = arguments.and_then(|a| a.get("ms")).and_then(|v| v.as_i64()).unwrap_or(0);
                tokio::time::sleep(Duration::from_millis(ms as u64)).await;
                r#"{"content":[],"slept":true}"#.to_owned()
            }
            // Says two things before it answers.
            "tells" => {
                for text in [
                    r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"one"}}"#,
                    r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"p","progress":1}}"#,
                ] {
                    let Ok(Frame::Notification(told)) = Frame::parse(Bytes::from(text), Limits::RESULT) else {
                        panic!()
                    };
                    aside.tell(&told);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                r#"{"content":[],"told":true}"#.to_owned()
            }
            // Asks one thing before it answers, and shows what it was told.
            "asks" => {
                let text =
                    r#"{"jsonrpc":"2.0","id":"theirs","method":"elicitation/create","params":{"message":"name?"}}"#;
                let Ok(Frame::Request(question)) = Frame::parse(Bytes::from(text), Limits::RESULT) else { panic!() };
                match aside.ask(question).await {
                    Ok(reply) => {
                        let reply = String::from_utf8_lossy(reply.result().unwrap().raw()).into_owned();
                        format!(r#"{{"content":[],"reply":{reply}}}"#)
                    }
                    Err(no) => format!(r#"{{"content":[],"no":{}}}"#, answer::quote(&no.reason)),
                }
            }
            "pretty" => "{\r\n  \"content\": []\n}".to_owned(),
            "stamped" => r#"{"resultType":"input_required","inputRequests":{}}"#.to_owned(),
            "samples" => {
                watch.1 = true;
                let error = r#""error":{"message":"no sampling","code":-32021,"data":{"requiredCapabilities":{"sampling":{}}}}"#;
                let id = String::from_utf8_lossy(request.id().raw()).into_owned();
                let message = Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":{id},{error}}}"#));
                return CallResponse { message, error: Some(-32021) };
            }
            "fails" => {
                watch.1 = true;
                let error = RpcError::new(RpcError::INVALID_PARAMS, Code::UnknownTool, "unknown tool");
                return CallResponse {
                    message: error.to_frame(Some(request.id())),
                    error: Some(RpcError::INVALID_PARAMS.into()),
                };
            }
            _ => format!(
                r#"{{"content":[],"agent":"{}","revision":"{}","endpoint":"{:?}","arguments":{}}}"#,
                caller.principal.agent.id,
                caller.revision,
                matches!(caller.endpoint, Endpoint::All),
                arguments.map_or("null", |a| std::str::from_utf8(a.raw()).unwrap()),
            ),
        };
        watch.1 = true;
        let result = match result.strip_prefix('{') {
            Some(rest) if caller.revision.era() == Era::Modern && tool != "stamped" => {
                format!(r#"{{"resultType":"complete",{rest}"#)
            }
            _ => result,
        };
        CallResponse { message: answer::result(request.id(), result.as_bytes()), error: None }
    }

    fn mirrored(&self, _: &Caller, tool: &str) -> Option<Arc<[Mirrored]>> {
        (tool == "echo").then(|| [Mirrored { header: "Region".into(), path: ["region".into()].into() }].into())
    }

    fn monotonic_us(&self) -> u64 {
        1
    }
}

/// A gateway that runs; told to stop when dropped.
pub struct Gateway {
    pub at: SocketAddr,
    pub fake: Arc<Fake>,
    pub epoch: watch::Sender<u64>,
    pub notices: broadcast::Sender<Notice>,
    stop: Option<oneshot::Sender<()>>,
    pub served: tokio::task::JoinHandle<()>,
}

impl Gateway {
    pub async fn start(options: HttpOptions) -> Self {
        Self::start_with(Fake::new(), options).await
    }

    pub async fn start_with(fake: Arc<Fake>, options: HttpOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (epoch, catalog_epoch) = watch::channel(0);
        let notices = broadcast::channel(16).0;
        let (stop, stopped) = oneshot::channel::<()>();
        let checkpoint = Arc::new(|| Some(Bytes::from_static(b"log.example.org\n7\n")));
        let served = tokio::spawn(serve_http(
            vec![listener],
            fake.clone(),
            Published { catalog_epoch, notices: notices.clone(), checkpoint },
            options,
            async {
                let _ = stopped.await;
            },
        ));
        Self { at, fake, epoch, notices, stop: Some(stop), served }
    }

    pub fn stop(&mut self) {
        self.stop.take();
    }
}
