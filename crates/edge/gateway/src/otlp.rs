//! Spans to a collector: OTLP over HTTP, as JSON.
//!
//! In scope: one span for each request of an agent, batches, what happens where the collector is slow or gone. Out of
//! scope: metrics, logs, TLS (a collector on the same machine forwards). Nothing on the path of a call waits for this:
//! the queue is bounded, and what does not fit is dropped and counted. The ledger is the record, not this.
//! Source: OTLP 1.x, "OTLP/HTTP", JSON encoding; OpenTelemetry semantic conventions for MCP and for GenAI.

use interlock_engine::{Observed, Observer};
use interlock_mcp::Ask;
use interlock_model::{Digest, digest};
use serde_json::{Value, json};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

/// Where spans go: the base of a collector's OTLP/HTTP address, `http://host:port[/path]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    authority: String,
    path: String,
}

/// It is not an address of a collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an address such as `http://127.0.0.1:4318`; TLS is not spoken here, a collector on this machine forwards")]
pub struct InvalidCollector;

impl FromStr for Collector {
    type Err = InvalidCollector;

    fn from_str(text: &str) -> Result<Self, InvalidCollector> {
        let uri: http::Uri = text.parse().map_err(|_| InvalidCollector)?;
        let authority = uri.authority().filter(|a| !a.as_str().contains('@')).ok_or(InvalidCollector)?;
        if uri.scheme_str() != Some("http") || uri.query().is_some() {
            return Err(InvalidCollector);
        }
        let port = authority.port_u16().unwrap_or(4318);
        let path = format!("{}/v1/traces", uri.path().trim_end_matches('/'));
        Ok(Self { authority: format!("{}:{port}", authority.host()), path })
    }
}

/// How spans are gathered.
#[derive(Clone, Copy, Debug)]
pub struct OtlpOptions {
    /// Most spans that wait.
    pub queue: usize,
    /// Most spans in one request.
    pub batch: usize,
    /// How long a span waits for others.
    pub every: Duration,
    /// How long the collector may take.
    pub timeout: Duration,
}

impl Default for OtlpOptions {
    fn default() -> Self {
        Self { queue: 2048, batch: 512, every: Duration::from_secs(1), timeout: Duration::from_secs(5) }
    }
}

/// Takes spans.
#[derive(Clone, Debug)]
pub struct Otlp {
    queue: mpsc::Sender<Observed>,
    dropped: Arc<AtomicU64>,
}

impl Observer for Otlp {
    fn observed(&self, what: Observed) {
        // Whoever began the trace has decided whether it is kept (W3C Trace Context, "sampled flag").
        if what.trace.as_ref().is_some_and(|trace| !trace.is_sampled()) {
            return;
        }
        if self.queue.try_send(what).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What takes spans, and what sends them: a future that ends after `shutdown` and a last batch.
pub fn otlp(
    collector: Collector,
    options: OtlpOptions,
    log: impl Fn(&str) + Send,
    shutdown: impl Future<Output = ()> + Send,
) -> (Otlp, impl Future<Output = ()> + Send) {
    let (queue, waiting) = mpsc::channel(options.queue.max(1));
    let dropped = Arc::new(AtomicU64::new(0));
    let sending = send_all(waiting, collector, options, dropped.clone(), log, shutdown);
    (Otlp { queue, dropped }, sending)
}

async fn send_all(
    mut waiting: mpsc::Receiver<Observed>,
    collector: Collector,
    options: OtlpOptions,
    dropped: Arc<AtomicU64>,
    log: impl Fn(&str) + Send,
    shutdown: impl Future<Output = ()> + Send,
) {
    let mut shutdown = std::pin::pin!(shutdown);
    let (mut stopping, mut failing) = (false, false);
    while !stopping {
        let mut batch = Vec::new();
        tokio::select! {
            first = waiting.recv() => match first {
                Some(first) => batch.push(first),
                None => return,
            },
            () = shutdown.as_mut() => stopping = true,
        }
        let until = Instant::now() + options.every;
        while !stopping && batch.len() < options.batch {
            tokio::select! {
                next = waiting.recv() => match next {
                    Some(next) => batch.push(next),
                    None => stopping = true,
                },
                () = sleep_until(until) => break,
                () = shutdown.as_mut() => stopping = true,
            }
        }
        if stopping {
            waiting.close();
            while let Ok(last) = waiting.try_recv() {
                batch.push(last);
            }
        }
        for some in batch.chunks(options.batch.max(1)) {
            let sent = timeout(options.timeout, post(&collector, &spans(some)))
                .await
                .unwrap_or_else(|_| Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "it took too long")));
            match sent {
                Ok(()) if failing => {
                    let lost = dropped.swap(0, Ordering::Relaxed);
                    log(&format!("telemetry: the collector takes spans again; {lost} were lost meanwhile"));
                    failing = false;
                }
                Ok(()) => {}
                Err(why) => {
                    dropped.fetch_add(some.len() as u64, Ordering::Relaxed);
                    if !failing {
                        log(&format!(
                            "telemetry: {} does not take spans, they are dropped: {why}",
                            collector.authority
                        ));
                    }
                    failing = true;
                }
            }
        }
    }
}

/// One request on a connection of its own: there is at most one a second.
async fn post(collector: &Collector, body: &Value) -> std::io::Result<()> {
    let Collector { authority, path } = collector;
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         User-Agent: interlock/{}\r\nConnection: close\r\n\r\n",
        body.len(),
        env!("CARGO_PKG_VERSION"),
    );
    let mut stream = TcpStream::connect(authority.as_str()).await?;
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    // `HTTP/1.1 200`: no more of the answer is needed.
    let mut status = [0; 12];
    stream.read_exact(&mut status).await?;
    if status.starts_with(b"HTTP/1.") && status.get(9) == Some(&b'2') {
        Ok(())
    } else {
        Err(std::io::Error::other(format!("it answered `{}`", String::from_utf8_lossy(&status).escape_debug())))
    }
}

/// The request that exports these.
fn spans(observed: &[Observed]) -> Value {
    let scope = json!({ "name": "interlock", "version": env!("CARGO_PKG_VERSION") });
    let resource = [("service.name", "interlock"), ("service.version", env!("CARGO_PKG_VERSION"))];
    json!({
        "resourceSpans": [{
            "resource": { "attributes": resource.map(|(key, value)| attribute(key, value)) },
            "scopeSpans": [{ "scope": scope, "spans": observed.iter().map(span).collect::<Vec<_>>() }],
        }],
    })
}

fn attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn span(observed: &Observed) -> Value {
    const SERVER: u8 = 2;
    const ERROR: u8 = 2;
    // The call's id is random, so what is made of it is; and it leads from the span to the ledger and back.
    let own = Digest::of(observed.call.to_string().as_bytes()).0;
    let (trace, parent) = match &observed.trace {
        Some(trace) => (trace.trace_id().to_owned(), trace.span_id().to_owned()),
        None => (digest::hex(&own[..16]), String::new()),
    };
    let method = observed.ask.method();
    let name = observed.name.as_deref();
    let begun = u128::from(observed.at.0) * 1_000_000;
    let mut attributes = vec![
        attribute("mcp.method.name", method),
        attribute("mcp.protocol.version", observed.revision.as_str()),
        attribute("interlock.agent", observed.agent.as_str()),
        attribute("interlock.call_id", &observed.call.to_string()),
    ];
    let mut put = |key: &str, value: Option<&str>| attributes.extend(value.map(|value| attribute(key, value)));
    match observed.ask {
        Ask::Call => {
            put("gen_ai.operation.name", Some("execute_tool"));
            put("gen_ai.tool.name", name);
        }
        Ask::Prompt => put("gen_ai.prompt.name", name),
        Ask::Read | Ask::Subscribe | Ask::Unsubscribe | Ask::Complete | Ask::Task(_) | Ask::List(_) => {}
    }
    put("interlock.server", observed.server.as_ref().map(|server| server.as_str()));
    put("interlock.decision", observed.decision.map(|decision| decision.as_str()));
    // "tool_error" is the conventions' own word for a result with `isError`.
    let error = observed.code.map(|code| code.as_str()).or_else(|| observed.failed.then_some("tool_error"));
    put("error.type", error);
    json!({
        "traceId": trace,
        "spanId": digest::hex(&own[16..24]),
        "parentSpanId": parent,
        "name": name.map_or_else(|| method.to_owned(), |name| format!("{method} {name}")),
        "kind": SERVER,
        "startTimeUnixNano": begun.to_string(),
        "endTimeUnixNano": (begun + u128::from(observed.took_us) * 1000).to_string(),
        "attributes": attributes,
        "status": if error.is_some() { json!({ "code": ERROR }) } else { json!({}) },
    })
}
