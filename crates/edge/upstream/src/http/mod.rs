//! Streamable HTTP toward a server: origins and TLS, pooled connections, exchanges, listening.

pub(crate) mod client;
mod connection;
pub(crate) mod origin;
pub(crate) mod peer;
pub(crate) mod pool;
pub(crate) mod tls;
