//! MCP clients toward servers: streamable HTTP, HTTP+SSE and stdio children; and APIs presented as tools.
//!
//! In scope: starting and reaching servers, speaking both eras of the protocol, forwarding recorded
//! calls, noticing that tools changed, installing packages and saying what a server is.
//! Out of scope: whether a call may be made, and what its answer means.
//!
//! The agent's request bytes are spliced, never rebuilt, and nothing of its HTTP request is passed on.
//! No client capability is declared, so servers' own requests, save `ping`, are refused.
//! Source: MCP 2024-11-05 to 2026-07-28.

pub mod adapted;
mod aside;
mod beside;
mod breaker;
mod event;
mod freshness;
mod http;
pub mod identity;
pub mod install;
mod lines;
mod link;
mod listing;
mod queue;
mod routes;
mod secret;
mod server;
mod session;
mod spec;
mod sse;
pub mod stdio;
mod subscriptions;
mod upstreams;
mod wire;

pub use event::{Condition, Counters, Outage, ServerEvent, ServerInfo, ServerStatus};
pub use freshness::ListingAck;
pub use secret::SecretString;
pub use spec::{ClientInfo, KeyPin, Launch, Limits, ServerSpec, Tolerance};
pub use upstreams::{OneListing, Upstreams, list_once};

#[cfg(test)]
mod tests;
