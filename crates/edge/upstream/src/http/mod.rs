//! HTTP toward a server: origins and TLS, pooled connections, streamable HTTP, and HTTP+SSE as it was before.

pub(crate) mod client;
mod connection;
pub(crate) mod http_sse;
pub(crate) mod origin;
pub(crate) mod peer;
pub(crate) mod pool;
pub(crate) mod tls;
