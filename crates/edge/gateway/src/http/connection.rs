//! One connection: silent until its first byte, then HTTP, with a bound on how long it may wait.

use super::service::Front;
use crate::stopped;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use interlock_engine::front::Governed;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Since when a connection has been waiting for a request. One coarse timer per connection looks at
/// this; nothing is armed or disarmed for a request.
pub(super) struct Phase {
    clock: Instant,
    waiting_since_ms: AtomicU64,
    answered: AtomicU64,
}

const BUSY: u64 = u64::MAX;

/// A request is being answered; while one of these lives, the connection may take its time.
pub(super) struct Busy(Arc<Phase>);

impl Phase {
    fn new(clock: Instant) -> Arc<Self> {
        let phase = Self { clock, waiting_since_ms: AtomicU64::new(0), answered: AtomicU64::new(0) };
        phase.waiting_since_ms.store(phase.now(), Ordering::Relaxed);
        Arc::new(phase)
    }

    pub(super) fn busy(self: &Arc<Self>) -> Busy {
        self.waiting_since_ms.store(BUSY, Ordering::Relaxed);
        Busy(self.clone())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.elapsed().as_millis()).unwrap_or(BUSY - 1)
    }

    /// Whether the connection has waited for longer than it may: `head` for its first request, `idle`
    /// for any later one.
    fn is_over(&self, head: Duration, idle: Duration) -> bool {
        let since = self.waiting_since_ms.load(Ordering::Relaxed);
        let may = if self.answered.load(Ordering::Relaxed) == 0 { head } else { idle };
        since != BUSY && u128::from(self.now().saturating_sub(since)) >= may.as_millis()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.answered.fetch_add(1, Ordering::Relaxed);
        self.0.waiting_since_ms.store(self.0.now(), Ordering::Relaxed);
    }
}

/// Serves one connection to its end.
pub(super) async fn serve<G: Governed>(front: Arc<Front<G>>, stream: TcpStream, mut stopping: watch::Receiver<bool>) {
    let head = front.options.head_timeout;
    // Nagle and delayed acknowledgements together cost 40 ms an answer.
    let _ = stream.set_nodelay(true);
    // A connection that has sent nothing holds this task and its socket; buffers come with the first byte.
    // Peeking, since a readiness event alone may be spurious.
    let mut first = [0];
    tokio::select! {
        peeked = tokio::time::timeout(head, stream.peek(&mut first)) => {
            if !matches!(peeked, Ok(Ok(1))) {
                return;
            }
        }
        () = stopped(&mut stopping) => return,
    }
    // Boxed, so that the state of HTTP is not part of a task that is only waiting.
    Box::pin(speak(front, stream, stopping)).await;
}

async fn speak<G: Governed>(front: Arc<Front<G>>, stream: TcpStream, mut stopping: watch::Receiver<bool>) {
    let (head, idle) = (front.options.head_timeout, front.options.idle_timeout);
    let phase = Phase::new(front.started);
    let service = service_fn(|request: http::Request<Incoming>| {
        let (front, busy) = (front.clone(), phase.busy());
        async move { Ok::<_, Infallible>(front.handle(request, busy).await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .half_close(false)
        .max_header_size(front.options.header_bytes)
        .max_buf_size(BUFFER.max(front.options.header_bytes));
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let every = (head.min(idle) / 2).max(Duration::from_millis(10));
    let mut check = pin!(tokio::time::sleep(every));
    let mut draining = false;
    loop {
        tokio::select! {
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

/// Most bytes that a connection buffers of what it reads or writes.
const BUFFER: usize = 64 * 1024;
