//! One server under test, and a consumer that acknowledges its listings.

use crate::session::Call;
use crate::{ClientInfo, Launch, ServerEvent, ServerSpec, Upstreams};
use bytes::Bytes;
use interlock_engine::front::Deaf;
use interlock_engine::ports::{Upstream as _, UpstreamFault};
use interlock_mcp::{Frame, NameAt, Request, Response, Revision};
use interlock_model::ServerName;
use interlock_model::json::Limits;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;

pub(super) struct Rig {
    pub(super) upstreams: Upstreams,
    pub(super) name: ServerName,
    /// What happened, as one line each; listings as their tools.
    pub(super) log: Arc<Mutex<Vec<String>>>,
    /// While true, listings are acknowledged.
    pub(super) acknowledge: Arc<AtomicBool>,
}

pub(super) fn client() -> ClientInfo {
    ClientInfo { name: "interlock-test".into(), version: "0".into() }
}

pub(super) fn spec(launch: Launch) -> ServerSpec {
    ServerSpec { timeout: Duration::from_secs(5), ..ServerSpec::new("srv".parse().unwrap(), launch) }
}

impl Rig {
    pub(super) fn start(spec: ServerSpec) -> Self {
        let (sender, mut events) = mpsc::channel(16);
        let name = spec.name.clone();
        let log = Arc::new(Mutex::new(Vec::new()));
        let acknowledge = Arc::new(AtomicBool::new(true));
        let upstreams = Upstreams::start(vec![spec], &client(), &sender);
        tokio::spawn({
            let (log, acknowledge) = (log.clone(), acknowledge.clone());
            async move {
                while let Some(event) = events.recv().await {
                    let line = match &event {
                        ServerEvent::Up { revision, server_info, .. } => format!("up {revision} {}", server_info.name),
                        ServerEvent::Down { reason, .. } => format!("down {reason}"),
                        ServerEvent::Listed { tools, .. } => {
                            let tools: Vec<_> = tools.iter().map(|t| String::from_utf8_lossy(t)).collect();
                            format!("listed {}", tools.join(";"))
                        }
                    };
                    log.lock().unwrap().push(line);
                    if let ServerEvent::Listed { ack, .. } = event
                        && acknowledge.load(Ordering::SeqCst)
                    {
                        ack.done();
                    }
                }
            }
        });
        Self { upstreams, name, log, acknowledge }
    }

    pub(super) async fn started(spec: ServerSpec) -> Self {
        let rig = Self::start(spec);
        rig.settled().await.unwrap();
        rig
    }

    pub(super) async fn settled(&self) -> Result<(), UpstreamFault> {
        self.upstreams.settled(&self.name).await
    }

    pub(super) async fn call(&self, tool: &str, arguments: &str) -> Result<Response, UpstreamFault> {
        self.call_within(tool, arguments, Duration::from_secs(5)).await
    }

    pub(super) async fn call_within(
        &self,
        tool: &str,
        arguments: &str,
        timeout: Duration,
    ) -> Result<Response, UpstreamFault> {
        let request = request(&format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"tools/call\",\"params\":{{\"name\":\"{tool}\",\"arguments\":{arguments}}}}}"
        ));
        self.upstreams.send(&self.name, &Call { timeout, ..call_of(tool, request) }, &Deaf).await
    }

    pub(super) fn status(&self) -> crate::ServerStatus {
        self.upstreams.status().remove(0)
    }

    /// Waits until `what` is true of the log.
    pub(super) async fn logged(&self, what: impl Fn(&[String]) -> bool) {
        for _ in 0..500 {
            if what(&self.log.lock().unwrap()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("not within five seconds: {:#?}", self.log.lock().unwrap());
    }
}

/// A call of a legacy client that can do nothing.
pub(super) fn call_of(tool: &str, request: Request) -> Call {
    Call {
        name: Some((NameAt::Name, tool.into())),
        key: 0,
        request,
        arguments: None,
        state: None,
        revision: Revision::V2025_11_25,
        capabilities: Bytes::new(),
        log_level: None,
        timeout: Duration::from_secs(5),
        trace: None,
    }
}

pub(super) fn request(text: &str) -> Request {
    match Frame::parse(Bytes::copy_from_slice(text.as_bytes()), Limits::REQUEST) {
        Ok(Frame::Request(request)) => request,
        other => panic!("{other:?}"),
    }
}

/// The text that a fake server put into its result.
pub(super) fn text(response: &Response) -> String {
    response.result().unwrap().get("text").unwrap().as_str().unwrap().into_owned()
}
