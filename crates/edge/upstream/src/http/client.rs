//! Requests to one origin over pooled connections.
//!
//! In scope: connecting, sending, knowing whether a request can have been sent, reading bodies with a
//! bound. Out of scope: what requests say. Redirects are answers here; nobody follows them.

use super::connection::Connection;
use super::origin::Origin;
use super::pool::{GOOD_FOR, Pool};
use crate::link::Link;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use interlock_engine::ports::UpstreamFault;
use interlock_model::Code;
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

/// The longest a connection may take to be made, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// Most header lines of a response, and most bytes of them.
const MAX_HEADERS: usize = 64;
const MAX_HEAD_BYTES: usize = 64 << 10;

/// Sends requests to one origin.
pub(crate) struct Client {
    origin: Origin,
    tls: Option<Arc<ClientConfig>>,
    pool: Pool,
    link: Arc<Link>,
}

impl Client {
    pub(crate) fn new(origin: Origin, tls: Option<Arc<ClientConfig>>, pool: usize, link: Arc<Link>) -> Self {
        Self { origin, tls, pool: Pool::new(pool), link }
    }

    /// Sends one request with these headers and `Host`. A request goes over another connection only
    /// if the first one gave it back unsent.
    pub(crate) async fn send(
        self: &Arc<Self>,
        method: http::Method,
        headers: HeaderMap,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Reply, UpstreamFault> {
        self.send_to(&self.origin.target, method, headers, body, deadline).await
    }

    /// The same to another path and query of the origin.
    pub(crate) async fn send_to(
        self: &Arc<Self>,
        target: &Uri,
        method: http::Method,
        headers: HeaderMap,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Reply, UpstreamFault> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = target.clone();
        *request.headers_mut() = headers;
        request.headers_mut().insert(header::HOST, self.origin.authority.clone());
        let mut tries = 0_u8;
        loop {
            tries += 1;
            // Idle connections may all have died together; then a new one settles it.
            let pooled = if tries <= 3 { self.pool.take() } else { None };
            let fresh = pooled.is_none();
            let mut connection = match pooled {
                Some(connection) => connection,
                None => self.connect(deadline).await?,
            };
            if !connection.is_ready().await && !fresh {
                continue;
            }
            match connection.exchange(request).await {
                Ok(response) => return Ok(Reply::new(response, connection, self.clone())),
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !fresh => request = unsent,
                    Some(_) => {
                        let why = format!("the connection was closed at once: {}", error.into_error());
                        return Err(self.link.unsent(Code::ServerUnavailable, why));
                    }
                    None => return Err(self.broken(&error.into_error())),
                },
            }
        }
    }

    fn broken(&self, error: &hyper::Error) -> UpstreamFault {
        let code = if error.is_parse() { Code::UpstreamInvalid } else { Code::UpstreamClosed };
        self.link.sent(code, format!("no HTTP answer: {error}"))
    }

    async fn connect(&self, deadline: Instant) -> Result<Connection, UpstreamFault> {
        let unavailable = |why: String| self.link.unsent(Code::ServerUnavailable, why);
        let deadline = deadline.min(Instant::now() + CONNECT);
        let connecting = async {
            let stream = TcpStream::connect((self.origin.host.as_str(), self.origin.port))
                .await
                .map_err(|e| unavailable(format!("cannot connect: {e}")))?;
            // Else small frames wait for acknowledgements: forty milliseconds on each answer.
            stream.set_nodelay(true).map_err(|e| unavailable(format!("cannot connect: {e}")))?;
            match &self.tls {
                None => self.open(stream).await,
                Some(config) => {
                    let name = rustls::pki_types::ServerName::try_from(self.origin.host.clone())
                        .map_err(|e| unavailable(format!("not a host that a certificate can name: {e}")))?;
                    let stream = tokio_rustls::TlsConnector::from(config.clone())
                        .connect(name, stream)
                        .await
                        .map_err(|e| unavailable(format!("cannot establish TLS: {e}")))?;
                    self.open(stream).await
                }
            }
        };
        timeout_at(deadline, connecting).await.map_err(|_| unavailable("connecting took too long".into()))?
    }

    async fn open<S>(&self, stream: S) -> Result<Connection, UpstreamFault>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = http1::Builder::new();
        builder.max_headers(MAX_HEADERS).max_buf_size(MAX_HEAD_BYTES);
        Connection::open(&builder, stream)
            .await
            .map_err(|e| self.link.unsent(Code::ServerUnavailable, format!("cannot connect: {e}")))
    }
}

/// A response whose body is still to be read. Dropping it closes the connection, which is how a
/// request is abandoned.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Incoming,
    connection: Connection,
    client: Arc<Client>,
    good_for: Duration,
}

impl Reply {
    fn new(response: Response<Incoming>, connection: Connection, client: Arc<Client>) -> Self {
        let (parts, body) = response.into_parts();
        let good_for = keep_alive(&parts.headers).unwrap_or(GOOD_FOR);
        Self { status: parts.status, headers: parts.headers, body, connection, client, good_for }
    }

    /// The next piece of the body; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, UpstreamFault> {
        loop {
            match self.connection.wait_for(self.body.frame()).await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(error)) => {
                    return Err(self.client.link.sent(Code::UpstreamClosed, format!("the answer broke off: {error}")));
                }
            }
        }
    }

    /// The whole body, of at most `max` bytes; the connection goes back to the pool.
    pub(crate) async fn collect(mut self, max: usize) -> Result<Bytes, UpstreamFault> {
        let too_large = |link: &Link| link.sent(Code::UpstreamTooLarge, format!("the answer is over {max} bytes"));
        if self.body.size_hint().lower() > max as u64 {
            return Err(too_large(&self.client.link));
        }
        let first = self.chunk().await?.unwrap_or_default();
        if first.len() > max {
            return Err(too_large(&self.client.link));
        }
        if self.body.is_end_stream() {
            self.release();
            return Ok(first);
        }
        let expected = usize::try_from(self.body.size_hint().lower()).unwrap_or(max).min(1 << 20);
        let mut all = BytesMut::with_capacity(first.len() + expected);
        all.extend_from_slice(&first);
        while let Some(chunk) = self.chunk().await? {
            if all.len() + chunk.len() > max {
                return Err(too_large(&self.client.link));
            }
            all.extend_from_slice(&chunk);
        }
        self.release();
        Ok(all.freeze())
    }

    /// Gives the connection back after the body's end.
    pub(crate) fn release(self) {
        self.client.pool.put(self.connection, self.good_for);
    }

    /// Gives the connection back once the rest of the body has passed; not if that is more than a little
    /// or takes more than a moment. Nobody needs it, save that a change may be announced there.
    pub(crate) fn release_after_rest(mut self) {
        if self.body.is_end_stream() {
            return self.release();
        }
        tokio::spawn(async move {
            let rest = async {
                let mut left: usize = 64 << 10;
                while let Ok(Some(chunk)) = self.chunk().await {
                    left = left.checked_sub(chunk.len())?;
                    if memchr::memmem::find(&chunk, b"list_changed").is_some() {
                        self.client.link.changed();
                    }
                }
                self.body.is_end_stream().then_some(())
            };
            if tokio::time::timeout(Duration::from_secs(1), rest).await == Ok(Some(())) {
                self.release();
            }
        });
    }
}

/// How long the server says that it keeps the idle connection, less a second for the way.
fn keep_alive(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("keep-alive")?.to_str().ok()?;
    let seconds: u64 = value.split(',').find_map(|p| p.trim().strip_prefix("timeout="))?.parse().ok()?;
    Some(Duration::from_secs(seconds.saturating_sub(1).min(300)))
}
