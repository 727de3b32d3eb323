//! What fronts (HTTP, stdio) ask of the engine. One implementation, the engine; tests of fronts have a fake.

use crate::trace::Trace;
use bytes::Bytes;
use interlock_identity::Principal;
use interlock_mcp::{Ask, Mirrored, Notification, Offers, Request, Response, Revision, RpcError};
use interlock_model::{Code, ServerName};
use std::pin::Pin;

/// Which view of the servers a request came in on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `/mcp`: all servers, tools named `server__tool`.
    All,
    /// `/mcp/{server}`: one server's view, nothing renamed, as governed as the other.
    Server(ServerName),
}

/// Who asks, through what.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// Which view.
    pub endpoint: Endpoint,
    /// The revision the client speaks.
    pub revision: Revision,
    /// The client's capabilities as it declared them, a JSON object; empty where it declared none.
    pub capabilities: Bytes,
    /// The mildest log lines that a legacy client wants; requests of modern clients say it themselves.
    pub log_level: Option<&'static str>,
    /// Where the request stands in a trace, as its HTTP headers say.
    pub trace: Option<Trace>,
    /// [`crate::ports::Clock::monotonic_us`] when the last byte of the request had arrived.
    pub received_us: u64,
}

/// Nobody can be named, or they may not ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", code.meaning())]
pub struct NotIdentified {
    /// `unauthenticated`, `unbound_refused` or `agent_not_active`.
    pub code: Code,
}

/// The response to a call: a whole message with the request's id, complete for the caller's revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallResponse {
    /// The message.
    pub message: Bytes,
    /// The JSON-RPC code, where it is an error.
    pub error: Option<i64>,
}

/// The client's side of one call, for what comes before its answer. Fronts implement it toward clients; the engine
/// implements it toward servers, and governs what passes.
pub trait Aside: Send + Sync {
    /// A notification about the call: progress, or a log line. Dropped where the client does not keep up.
    fn tell(&self, notification: &Notification);

    /// A question of the server, as the server put it; the reply's id is the client's business.
    fn ask(&self, question: Request) -> Replying<'_>;
}

/// A reply on its way.
pub type Replying<'a> = Pin<Box<dyn Future<Output = Result<Response, NoReply>> + Send + 'a>>;

/// Why a question has no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct NoReply {
    /// Why, as one of ours.
    pub code: Code,
    /// For the server and for people.
    pub reason: String,
}

impl NoReply {
    /// A client that does not do what the server asks for.
    #[must_use]
    pub fn not_offered(what: &str) -> Self {
        Self { code: Code::UnknownMethod, reason: format!("the client did not declare `{what}`") }
    }
}

/// What a server announced, beside changes of its tools.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The server.
    pub server: ServerName,
    /// What changed there.
    pub change: Change,
}

/// What changed at a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Its list of prompts.
    Prompts,
    /// Its list of resources.
    Resources,
    /// One resource, by the server's own address for it.
    Resource(Box<str>),
}

/// The side of a client that is told and asked nothing.
#[derive(Clone, Copy, Debug)]
pub struct Deaf;

impl Aside for Deaf {
    fn tell(&self, _: &Notification) {}

    fn ask(&self, question: Request) -> Replying<'_> {
        Box::pin(std::future::ready(Err(NoReply::not_offered(question.method()))))
    }
}

/// The engine, as fronts see it.
pub trait Governed: Send + Sync + 'static {
    /// Who presents this bearer key, or who the unbound caller is.
    ///
    /// # Errors
    ///
    /// [`NotIdentified`].
    fn identify(&self, presented: Option<&str>) -> Result<Principal, NotIdentified>;

    /// Whether such an endpoint exists.
    fn has_endpoint(&self, endpoint: &Endpoint) -> bool;

    /// The `result` of `tools/list`, without the envelope: approved text of the tools this caller may
    /// see, in a stable order, in one page. A request with a cursor we did not give is refused.
    fn list_tools(&self, caller: &Caller, request: &Request) -> impl Future<Output = Result<Bytes, RpcError>> + Send;

    /// Anything but `tools/list` that servers are asked for. Never fails: a refused call of a tool is a result with
    /// `isError`, any other refusal and a protocol fault a JSON-RPC error. Dropping the future cancels it.
    fn ask<'a>(
        &'a self,
        caller: Caller,
        ask: Ask,
        request: Request,
        aside: &'a dyn Aside,
    ) -> impl Future<Output = CallResponse> + Send + 'a;

    /// What the servers of this endpoint have, as far as is known.
    fn offers(&self, endpoint: &Endpoint) -> Offers;

    /// `logging/setLevel`: tells the servers of this endpoint how much to log.
    fn set_level(&self, caller: Caller, request: Request) -> impl Future<Output = CallResponse> + Send;

    /// What this tool's approved schema wants repeated in headers; `None` where that is nothing, and for a
    /// tool that the caller may not see.
    fn mirrored(&self, caller: &Caller, tool: &str) -> Option<std::sync::Arc<[Mirrored]>>;

    /// The clock of [`Caller::received_us`].
    fn monotonic_us(&self) -> u64;
}
