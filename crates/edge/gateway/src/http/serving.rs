//! What answers the requests of a port: the MCP front, or the API beside it. Connections are the same for both.

use super::HttpOptions;
use super::body::Answer;
use super::connection::Busy;
use super::load::Load;
use super::service::Front;
use http::{Request, Response};
use hyper::body::Incoming;
use interlock_engine::front::Governed;
use std::sync::Arc;
use std::time::Instant;

pub(super) trait Serving: Send + Sync + 'static {
    fn options(&self) -> &HttpOptions;

    /// The instant that idle times are counted from.
    fn started(&self) -> Instant;

    /// HTTP/2 streams of all connections.
    fn streams(&self) -> &Arc<Load>;

    /// Answers one request. `busy` keeps the connection open meanwhile.
    fn handle(self: Arc<Self>, request: Request<Incoming>, busy: Busy)
    -> impl Future<Output = Response<Answer>> + Send;
}

impl<G: Governed> Serving for Front<G> {
    fn options(&self) -> &HttpOptions {
        &self.options
    }

    fn started(&self) -> Instant {
        self.started
    }

    fn streams(&self) -> &Arc<Load> {
        &self.streams
    }

    async fn handle(self: Arc<Self>, request: Request<Incoming>, busy: Busy) -> Response<Answer> {
        // The front's own method, which is found before this one.
        Self::handle(self, request, busy).await
    }
}
