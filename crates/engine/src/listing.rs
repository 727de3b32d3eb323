//! `tools/list`: what this caller may see, as it was approved.

use crate::engine::{Engine, Ports};
use crate::front::{Caller, Endpoint};
use bytes::Bytes;
use interlock_mcp::{Request, RpcError};
use interlock_model::Code;

impl<P: Ports> Engine<P> {
    /// The `result` of `tools/list`: one page, in the catalog's order, so that a host's prompt cache holds.
    pub(crate) fn list(&self, caller: &Caller, request: &Request) -> Result<Bytes, RpcError> {
        if request.param("cursor").is_some() {
            return Err(RpcError::new(
                RpcError::INVALID_PARAMS,
                Code::InvalidArguments,
                "the list has one page, so there are no cursors",
            ));
        }
        let world = self.world();
        let mut out = Vec::with_capacity(16 * 1024);
        out.extend_from_slice(b"{\"tools\":[");
        let mut first = true;
        for tool in world.catalog.tools() {
            let bytes = match &caller.endpoint {
                Endpoint::All => &tool.listed,
                Endpoint::Server(server) if *server == tool.server => &tool.listed_plain,
                Endpoint::Server(_) => continue,
            };
            let visible = world.quarantine(tool).is_none()
                && world.policy.as_ref().is_some_and(|policy| policy.may_list(&caller.principal, tool));
            if visible {
                if !first {
                    out.push(b',');
                }
                out.extend_from_slice(bytes);
                first = false;
            }
        }
        out.extend_from_slice(b"]}");
        Ok(out.into())
    }
}
