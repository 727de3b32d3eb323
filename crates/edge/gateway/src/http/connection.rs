//! One connection: silent until its first byte, then TLS where that is set up, then HTTP/1.1 or HTTP/2, with a
//! bound on how long it may wait.

use super::http2;
use super::serving::Serving;
use super::tls::Tls;
use crate::stopped;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Since when a connection has been waiting for a request. One coarse timer per connection looks at
/// this; nothing is armed or disarmed for a request.
pub(super) struct Phase {
    clock: Instant,
    /// Requests that are being answered; HTTP/1.1 has at most one.
    open: AtomicUsize,
    waiting_since_ms: AtomicU64,
    answered: AtomicBool,
}

/// A request is being answered; while one of these lives, the connection may take its time.
pub(super) struct Busy(Arc<Phase>);

impl Phase {
    pub(super) fn new(clock: Instant) -> Arc<Self> {
        let phase = Self {
            clock,
            open: AtomicUsize::new(0),
            waiting_since_ms: AtomicU64::new(0),
            answered: AtomicBool::new(false),
        };
        phase.waiting_since_ms.store(phase.now(), Ordering::Relaxed);
        Arc::new(phase)
    }

    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.open.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether nothing is being answered.
    pub(super) fn is_idle(&self) -> bool {
        self.open.load(Ordering::Acquire) == 0
    }

    /// Whether the connection has waited for longer than it may: `head` for its first request, `idle`
    /// for any later one.
    pub(super) fn is_over(&self, head: Duration, idle: Duration) -> bool {
        let may = if self.answered.load(Ordering::Relaxed) { idle } else { head };
        // In this order: a request that ends in between has moved the time on before it is counted off.
        self.is_idle()
            && u128::from(self.now().saturating_sub(self.waiting_since_ms.load(Ordering::Relaxed))) >= may.as_millis()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.answered.store(true, Ordering::Relaxed);
        self.0.waiting_since_ms.store(self.0.now(), Ordering::Relaxed);
        self.0.open.fetch_sub(1, Ordering::Release);
    }
}

/// Serves one connection to its end.
pub(super) async fn serve<S: Serving>(front: Arc<S>, stream: TcpStream, mut stopping: watch::Receiver<bool>) {
    let head = front.options().head_timeout;
    let accepted = tokio::time::Instant::now();
    // Nagle and delayed acknowledgements together cost 40 ms an answer.
    let _ = stream.set_nodelay(true);
    // A connection that has sent nothing holds this task and its socket; buffers come with the first byte.
    // Peeking, since a readiness event alone may be spurious.
    let mut first = [0; http2::MARK.len()];
    let seen = tokio::select! {
        biased;
        peeked = tokio::time::timeout(head, stream.peek(&mut first)) => match peeked {
            Ok(Ok(seen)) => first.get(..seen).unwrap_or_default(),
            _ => return,
        },
        // What was sent before the stop is answered; the runtime may not have seen it yet.
        () = async { stopped(&mut stopping).await; tokio::time::sleep(LAST_LOOK).await } => return,
    };
    // Boxed, so that the state of TLS and HTTP is not part of a task that is only waiting.
    if let Some(tls) = front.options().tls.clone() {
        Box::pin(secure(front, tls, stream, stopping, accepted + head)).await;
        return;
    }
    match http2::is_announced(seen) {
        Some(false) if seen.is_empty() => {}
        Some(false) => Box::pin(speak(front, TokioIo::new(stream), stopping)).await,
        Some(true) => Box::pin(http2::speak(front, TokioIo::new(stream), stopping)).await,
        None => Box::pin(undecided(front, stream, stopping, accepted + head)).await,
    }
}

/// How long after a stop a connection's first bytes may take to be seen.
const LAST_LOOK: Duration = Duration::from_millis(20);

/// One or two bytes have come, and either version may begin with them.
async fn undecided<S: Serving>(
    front: Arc<S>,
    stream: TcpStream,
    mut stopping: watch::Receiver<bool>,
    until: tokio::time::Instant,
) {
    let mut first = [0; http2::MARK.len()];
    let announced = tokio::time::timeout_at(until, async {
        let mut pause = Duration::from_millis(10);
        loop {
            let seen = stream.peek(&mut first).await.unwrap_or(0);
            if let Some(announced) = http2::is_announced(first.get(..seen).unwrap_or_default()) {
                return announced;
            }
            // The socket is readable as long as these bytes are not read: nothing else can be waited for. Ever less
            // often, so that many connections that stop here cost next to nothing.
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    });
    let announced = tokio::select! {
        announced = announced => announced,
        () = stopped(&mut stopping) => return,
    };
    match announced {
        Ok(true) => http2::speak(front, TokioIo::new(stream), stopping).await,
        Ok(false) => speak(front, TokioIo::new(stream), stopping).await,
        Err(_) => {}
    }
}

/// TLS, and in it the version that the two sides agreed on. The slot among the connections is taken already, so
/// unfinished handshakes are bounded in number as well as in time.
async fn secure<S: Serving>(
    front: Arc<S>,
    tls: Arc<Tls>,
    stream: TcpStream,
    mut stopping: watch::Receiver<bool>,
    until: tokio::time::Instant,
) {
    let stream = tokio::select! {
        shaken = tokio::time::timeout_at(until, tls.acceptor().accept(stream)) => match shaken {
            Ok(Ok(stream)) => stream,
            _ => return,
        },
        () = stopped(&mut stopping) => return,
    };
    // Inside TLS only ALPN selects HTTP/2 (RFC 9113, 3.2).
    match stream.get_ref().1.alpn_protocol() {
        Some(b"h2") => http2::speak(front, TokioIo::new(stream), stopping).await,
        _ => speak(front, TokioIo::new(stream), stopping).await,
    }
}

async fn speak<S: Serving, I: Read + Write + Unpin>(front: Arc<S>, io: I, mut stopping: watch::Receiver<bool>) {
    let (head, idle) = (front.options().head_timeout, front.options().idle_timeout);
    let phase = Phase::new(front.started());
    let service = service_fn(|request: http::Request<Incoming>| {
        let (front, busy) = (front.clone(), phase.busy());
        async move { Ok::<_, Infallible>(front.handle(request, busy).await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .half_close(false)
        .max_header_size(front.options().header_bytes)
        .max_buf_size(BUFFER.max(front.options().header_bytes));
    let mut connection = pin!(builder.serve_connection(io, service));
    let every = look_every(head, idle);
    let mut check = pin!(tokio::time::sleep(every));
    let mut draining = false;
    loop {
        tokio::select! {
            // The connection first: a request that has arrived is read before a stop closes what is idle.
            biased;
            _ = connection.as_mut() => return,
            () = check.as_mut() => {
                if phase.is_over(head, idle) {
                    return;
                }
                check.as_mut().reset(tokio::time::Instant::now() + every);
            }
            () = stopped(&mut stopping), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// How often a connection is looked at for having waited too long.
pub(super) fn look_every(head: Duration, idle: Duration) -> Duration {
    (head.min(idle) / 2).max(Duration::from_millis(10))
}

/// Most bytes that a connection buffers of what it reads or writes.
pub(super) const BUFFER: usize = 64 * 1024;
