//! Fronts toward hosts: streamable HTTP, stdio, the administration socket; and what is told to those who watch.
//!
//! In scope: transports, limits on what comes in, protocol eras, sessions, who presents which key.
//! Out of scope: deciding and forwarding, which is the engine's ([`interlock_engine::front::Governed`]).

#[cfg(unix)]
pub mod admin;
mod batch;
mod era;
mod flight;
pub mod http;
mod legacy;
mod line;
mod modern;
pub mod otlp;
mod parking;
mod side;
mod stamp;
pub mod stdio;
mod subscription;

#[cfg(unix)]
pub use admin::{
    AdminBindError, AdminClient, AdminClientError, AdminError, AdminErrorKind, AdminItems, AdminOptions, AdminService,
    AdminSocket, HungUp, Items, McpStream, Peer, serve_admin,
};
pub use http::{HttpOptions, Published, SessionLimits, Tls, TlsError, TlsFiles, serve_api, serve_http};
pub use otlp::{Collector, InvalidCollector, Otlp, OtlpOptions, otlp};
pub use stdio::{StdioOptions, serve_stdio};

/// How the gateway names itself to clients.
const SERVER_INFO: &str =
    concat!(r#"{"name":"interlock","title":"Interlock","version":""#, env!("CARGO_PKG_VERSION"), r#""}"#);

/// Ends once the front is told to stop.
async fn stopped(stopping: &mut tokio::sync::watch::Receiver<bool>) {
    // A sender that is gone stops as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}
