//! One connection, driven by whoever uses it.
//!
//! hyper wants somebody to poll a connection while requests pass over it. A task of its own for that means two
//! hand-overs between tasks for each call; here the caller's own task does it. An idle connection is polled by
//! nobody: that the server closed it is seen when it is taken up again, before a request is written.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite};

/// Ends when the connection does.
type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection. Dropping it closes it.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// `None` once it has ended.
    driver: Option<Driver>,
}

impl Connection {
    /// Speaks HTTP/1.1 over `stream`.
    pub(crate) async fn open<S>(builder: &Builder, stream: S) -> hyper::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, driver) = builder.handshake(TokioIo::new(stream)).await?;
        // Its error reaches the request that it breaks.
        let driver: Driver = Box::pin(async { drop(driver.await) });
        Ok(Self { sender, driver: Some(driver) })
    }

    /// Whether it is known to be closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.driver.is_none() || self.sender.is_closed()
    }

    /// Waits until a request can be sent. False if it is closed.
    pub(crate) async fn is_ready(&mut self) -> bool {
        let Self { sender, driver } = self;
        drive(driver, sender.ready()).await.is_ok()
    }

    /// Sends a request and waits for the head of its response.
    pub(crate) async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>> {
        let response = self.sender.try_send_request(request);
        drive(&mut self.driver, response).await
    }

    /// Waits for what comes over this connection, such as a piece of a response's body.
    pub(crate) async fn wait_for<T>(&mut self, what: impl Future<Output = T>) -> T {
        drive(&mut self.driver, what).await
    }
}

/// Polls the connection and `what` comes over it. Nothing but the connection can bring `what` on, so that it needs
/// no waker of its own: it is asked each time the connection was.
async fn drive<T>(driver: &mut Option<Driver>, what: impl Future<Output = T>) -> T {
    let mut what = pin!(what);
    poll_fn(|cx| {
        let mut asleep = Context::from_waker(Waker::noop());
        // First: asking is what tells the connection that more is wanted.
        if let Poll::Ready(done) = what.as_mut().poll(&mut asleep) {
            return Poll::Ready(done);
        }
        if let Some(running) = driver
            && running.as_mut().poll(cx).is_ready()
        {
            *driver = None;
        }
        what.as_mut().poll(&mut asleep)
    })
    .await
}
