//! The HTTP front: MCP's streamable HTTP in both eras, on one endpoint for all servers and one for each.
//!
//! In scope: listeners, TLS, limits, sessions, headers; the API beside it (`api`). Out of scope: the console.
//! Source: MCP 2025-03-26, 2025-06-18, 2025-11-25, 2026-07-28, basic/transports.

mod agreement;
mod api;
mod body;
mod connection;
mod events;
mod guard;
mod http2;
mod listen;
mod load;
mod outbox;
mod passport;
mod reply;
mod run_on;
mod service;
mod serving;
mod session;
mod tls;
mod trace;

pub use api::serve_api;
pub use session::SessionLimits;
pub use tls::{Tls, TlsError, TlsFiles};

use crate::stopped;
use bytes::Bytes;
use interlock_engine::front::{Governed, Notice};
use interlock_model::SessionKey;
use service::Front;
use serving::Serving;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio::task::JoinSet;

/// Limits and names of the HTTP front.
#[derive(Clone, Debug)]
pub struct HttpOptions {
    /// Host names beside the loopback ones that requests may be for, with or without a port.
    pub allowed_hosts: Vec<String>,
    /// Origins beside the loopback ones whose pages may call, as `scheme://host[:port]`.
    pub allowed_origins: Vec<String>,
    /// Most bytes of one request body.
    pub message_bytes: usize,
    /// Most bytes of a request's line and headers. At most 100 headers in any case.
    pub header_bytes: usize,
    /// Bytes of request bodies in memory at once, of all connections together.
    pub buffered_bytes: usize,
    /// How long a new connection may take for its TLS handshake, and then to send its first request's head.
    pub head_timeout: Duration,
    /// How long a connection may wait between requests.
    pub idle_timeout: Duration,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// Most connections, with those whose TLS handshake is not done; further ones wait in the system's queue. HTTP/2
    /// may have as many streams in all, and 128 on one connection.
    pub connections: usize,
    /// Most requests under way.
    pub in_flight: usize,
    /// How long a shutdown waits for what is under way.
    pub drain: Duration,
    /// How often an event stream shows that it is alive.
    pub keep_alive: Duration,
    /// How long a client may take to answer what a server asks: a person may have to read it.
    pub question_timeout: Duration,
    /// Sessions of the legacy revisions.
    pub sessions: SessionLimits,
    /// Seals the ids of sessions, so that any process with the same key goes on with them; without it they end with
    /// this one.
    pub session_key: Option<SessionKey>,
    /// TLS; without it connections are in the clear.
    pub tls: Option<Arc<Tls>>,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            message_bytes: 4 << 20,
            header_bytes: 32 << 10,
            buffered_bytes: 256 << 20,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            connections: 16_384,
            in_flight: 4096,
            drain: Duration::from_secs(10),
            keep_alive: Duration::from_secs(15),
            question_timeout: Duration::from_secs(600),
            sessions: SessionLimits::default(),
            session_key: None,
            tls: None,
        }
    }
}

/// What a front shows of the rest of the gateway.
#[derive(Clone)]
pub struct Published {
    /// Changes when the tools that clients may see have changed.
    pub catalog_epoch: watch::Receiver<u64>,
    /// What servers announce beside changes of their tools.
    pub notices: broadcast::Sender<Notice>,
    /// The ledger's newest signed checkpoint, as text; `None` while there is none.
    pub checkpoint: Arc<dyn Fn() -> Option<Bytes> + Send + Sync>,
}

/// Serves MCP on `listeners` until `shutdown` ends and what is under way has finished, at most
/// [`HttpOptions::drain`] later.
pub async fn serve_http<G: Governed>(
    listeners: Vec<TcpListener>,
    governed: Arc<G>,
    published: Published,
    options: HttpOptions,
    shutdown: impl Future<Output = ()> + Send,
) {
    let (stop, stopping) = watch::channel(false);
    let slots = Arc::new(Semaphore::new(options.connections.min(Semaphore::MAX_PERMITS)));
    let front = Arc::new(Front {
        guard: guard::Guard::new(&options.allowed_hosts, &options.allowed_origins),
        sessions: session::Sessions::new(options.sessions, options.session_key.clone()),
        parking: Arc::default(),
        load: load::Load::new(options.in_flight, options.buffered_bytes),
        streams: load::Load::new(options.connections, 0),
        started: Instant::now(),
        stopping: stopping.clone(),
        governed,
        published,
        options,
    });
    let mut accepting: JoinSet<()> =
        listeners.into_iter().map(|l| accept(front.clone(), l, slots.clone(), stopping.clone())).collect();
    let every = (front.options.sessions.idle / 4).clamp(Duration::from_secs(1), Duration::from_secs(60));
    tokio::select! {
        () = shutdown => {}
        () = sweep(&front, every) => {}
    }
    stop.send_replace(true);
    let _ = tokio::time::timeout(front.options.drain, async {
        while accepting.join_next().await.is_some() {}
        // Calls whose clients have hung up.
        front.load.idle().await;
    })
    .await;
}

async fn sweep<G: Governed>(front: &Front<G>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        front.sessions.sweep(front.now_ms());
        front.parking.sweep();
    }
}

/// Most connections that are still taken out of the system's queue at a stop. More cannot have been waiting, save
/// where the queue is longer; those are refused as new ones are.
const WAITING: usize = 1024;

/// Accepts until told to stop, then waits for its connections.
async fn accept<S: Serving>(
    front: Arc<S>,
    listener: TcpListener,
    slots: Arc<Semaphore>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let told = stopping.clone();
    let serve = |connections: &mut JoinSet<()>, (stream, slot): (TcpStream, OwnedSemaphorePermit)| {
        let (front, stopping) = (front.clone(), told.clone());
        connections.spawn(async move {
            connection::serve(front, stream, stopping).await;
            drop(slot);
        });
    };
    loop {
        let accepted = tokio::select! {
            () = stopped(&mut stopping) => break,
            Some(_) = connections.join_next() => continue,
            accepted = next(&listener, &slots) => accepted,
        };
        match accepted {
            Some(accepted) => serve(&mut connections, accepted),
            // Out of descriptors, most likely: those in use must time out first.
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    // The system has taken these connections up already, and requests may have come on them.
    for _ in 0..WAITING {
        let Ok(Some(accepted)) = tokio::time::timeout(Duration::ZERO, next(&listener, &slots)).await else { break };
        serve(&mut connections, accepted);
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn next(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let slot = slots.clone().acquire_owned().await.ok()?;
    let (stream, _) = listener.accept().await.ok()?;
    Some((stream, slot))
}
