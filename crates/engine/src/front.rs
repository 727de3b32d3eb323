//! What fronts (HTTP, stdio) ask of the engine. One implementation, the engine; tests of fronts have a fake.

use bytes::Bytes;
use interlock_identity::Principal;
use interlock_mcp::{Mirrored, Request, Revision, RpcError};
use interlock_model::{Code, ServerName};

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

    /// One `tools/call`. Never fails: a refusal is a result with `isError`, a protocol fault a JSON-RPC
    /// error. Dropping the future cancels the call.
    fn call_tool(&self, caller: Caller, request: Request) -> impl Future<Output = CallResponse> + Send;

    /// What this tool's approved schema wants repeated in headers; `None` where that is nothing, and for a
    /// tool that the caller may not see.
    fn mirrored(&self, caller: &Caller, tool: &str) -> Option<std::sync::Arc<[Mirrored]>>;

    /// The clock of [`Caller::received_us`].
    fn monotonic_us(&self) -> u64;
}
