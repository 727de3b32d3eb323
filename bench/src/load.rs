//! The load: connections that each have one call open at a time, every answer checked.

use crate::Failure;
use crate::call::{Era, LEGACY, Shape, TOOL};
use crate::upstream::runtime;
use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Every answer's size is judged, and every so many answers are read in full: reading all of a 1 MiB answer would make the
/// load cost more than what it measures.
const THOROUGH_EVERY: u64 = 16;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// The MCP endpoint, `http://` only
    #[arg(long)]
    url: Uri,
    #[arg(long, value_enum, default_value = "modern")]
    era: Era,
    /// The tool's name at this endpoint
    #[arg(long, default_value = TOOL)]
    tool: String,
    /// A bearer key, best given through the environment
    #[arg(long, env = "INTERLOCK_BENCH_KEY", hide_env_values = true)]
    key: Option<String>,
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// Size of the arguments object
    #[arg(long, default_value_t = 1024)]
    arguments_bytes: usize,
    /// Size of the answers, a multiple of 64
    #[arg(long, default_value_t = 1024)]
    answer_bytes: usize,
    /// Seconds measured
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Seconds before that
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// Stop after this many calls instead
    #[arg(long, conflicts_with_all = ["seconds", "warm_up"])]
    calls: Option<u64>,
}

/// When a measurement ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extent {
    /// After a warm-up, for a time.
    Time { warm_up: Duration, measured: Duration },
    /// After exactly so many calls, with no warm-up.
    Calls(u64),
}

/// What one measurement saw.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Calls answered while measured.
    pub(crate) calls: u64,
    pub(crate) elapsed: Duration,
    /// Nanoseconds from the first byte sent to the last received.
    pub(crate) latency: Histogram<u64>,
}

impl Seen {
    pub(crate) fn per_second(&self) -> f64 {
        self.calls as f64 / self.elapsed.as_secs_f64()
    }

    /// In microseconds.
    pub(crate) fn quantile_us(&self, quantile: f64) -> f64 {
        self.latency.value_at_quantile(quantile) as f64 / 1e3
    }
}

/// Runs one measurement from the command line.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let shape = Shape {
        uri: options.url.clone(),
        era: options.era,
        tool: options.tool.clone(),
        key: options.key.clone(),
        arguments_bytes: options.arguments_bytes,
        answer_bytes: options.answer_bytes,
    };
    let extent = options.calls.map_or(
        Extent::Time {
            warm_up: Duration::from_secs_f64(options.warm_up),
            measured: Duration::from_secs_f64(options.seconds),
        },
        Extent::Calls,
    );
    let (seen, ()) = runtime(1)?.block_on(measure(&shape, options.connections, extent, || Ok(()), |(), _| Ok(())))?;
    println!(
        "{} calls in {:.2} s: {:.0} per second, p50 {:.0} us, p99 {:.0} us, max {:.0} us",
        seen.calls,
        seen.elapsed.as_secs_f64(),
        seen.per_second(),
        seen.quantile_us(0.5),
        seen.quantile_us(0.99),
        seen.latency.max() as f64 / 1e3,
    );
    Ok(())
}

/// What the connections of one measurement share.
struct Shared {
    shape: Shape,
    /// The number of the first call.
    first: u64,
    issued: AtomicU64,
    answered: AtomicU64,
    limit: u64,
    measuring: AtomicBool,
    stopping: AtomicBool,
}

/// Calls over `connections` connections. `before` is run when measuring begins and `after`, given what `before` returned and
/// the calls answered in between, when it ends: that is where the cost of the process under test is read.
pub(crate) async fn measure<S, T>(
    shape: &Shape,
    connections: usize,
    extent: Extent,
    before: impl FnOnce() -> Result<S, Failure>,
    after: impl FnOnce(S, u64) -> Result<T, Failure>,
) -> Result<(Seen, T), Failure> {
    /// Numbers go on from one measurement to the next: the gateway sees each set of arguments once.
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    let shared = Arc::new(Shared {
        shape: shape.clone(),
        first: NUMBERS.fetch_add(1 << 32, Ordering::Relaxed),
        issued: AtomicU64::new(0),
        answered: AtomicU64::new(0),
        limit: if let Extent::Calls(calls) = extent { calls } else { u64::MAX },
        measuring: AtomicBool::new(matches!(extent, Extent::Calls(_))),
        stopping: AtomicBool::new(false),
    });
    let mut opened = Vec::with_capacity(connections);
    for _ in 0..connections {
        opened.push(Connection::open(shape).await?);
    }
    let mut running = JoinSet::new();
    let start = |running: &mut Running| {
        for connection in opened {
            running.spawn(connection.repeat(Arc::clone(&shared)));
        }
    };
    match extent {
        Extent::Time { warm_up, measured } => {
            start(&mut running);
            wait(&mut running, warm_up).await?;
            let snapshot = before()?;
            let begun = Instant::now();
            let answered = shared.answered.load(Ordering::Relaxed);
            shared.measuring.store(true, Ordering::Relaxed);
            wait(&mut running, measured).await?;
            let calls = shared.answered.load(Ordering::Relaxed) - answered;
            let elapsed = begun.elapsed();
            let cost = after(snapshot, calls)?;
            shared.stopping.store(true, Ordering::Relaxed);
            Ok((Seen { calls, elapsed, latency: gather(&mut running).await? }, cost))
        }
        Extent::Calls(_) => {
            let snapshot = before()?;
            let begun = Instant::now();
            start(&mut running);
            let latency = gather(&mut running).await?;
            let calls = shared.answered.load(Ordering::Relaxed);
            Ok((Seen { calls, elapsed: begun.elapsed(), latency }, after(snapshot, calls)?))
        }
    }
}

type Running = JoinSet<Result<Histogram<u64>, Failure>>;

/// Sleeps, unless a connection fails meanwhile.
async fn wait(running: &mut Running, time: Duration) -> Result<(), Failure> {
    tokio::select! {
        () = tokio::time::sleep(time) => Ok(()),
        Some(ended) = running.join_next() => Err(ended?.err().unwrap_or_else(|| "a connection stopped early".into())),
    }
}

/// Joins every connection and adds up what they saw.
async fn gather(running: &mut Running) -> Result<Histogram<u64>, Failure> {
    let mut all = histogram()?;
    while let Some(ended) = running.join_next().await {
        all.add(ended??)?;
    }
    Ok(all)
}

/// Up to a minute, to three digits.
fn histogram() -> Result<Histogram<u64>, Failure> {
    Ok(Histogram::new_with_bounds(1, 60_000_000_000, 3)?)
}

/// One keep-alive connection with its session, if the era has one.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    headers: HeaderMap,
}

impl Connection {
    async fn open(shape: &Shape) -> Result<Self, Failure> {
        let authority = shape.uri.authority().ok_or("the URL names no host")?;
        let stream = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80))).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let mut this = Self { sender, headers: shape.headers(None)? };
        if shape.era == Era::Legacy {
            let hello = format!(
                r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{LEGACY}","capabilities":{{}},"clientInfo":{{"name":"bench","version":"1"}}}}}}"#
            );
            let response = this.send(shape.post(&this.headers, hello)?).await?;
            let session: Option<HeaderValue> = response.headers().get("mcp-session-id").cloned();
            response.into_body().collect().await?;
            this.headers = shape.headers(session.as_ref())?;
            let initialized = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#.to_owned();
            this.send(shape.post(&this.headers, initialized)?).await?.into_body().collect().await?;
        }
        Ok(this)
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }

    /// Calls until told to stop or nothing is left to call.
    async fn repeat(mut self, shared: Arc<Shared>) -> Result<Histogram<u64>, Failure> {
        let mut latency = histogram()?;
        while !shared.stopping.load(Ordering::Relaxed) {
            let issued = shared.issued.fetch_add(1, Ordering::Relaxed);
            if issued >= shared.limit {
                break;
            }
            let n = shared.first + issued;
            let request = shared.shape.post(&self.headers, shared.shape.body(n))?;
            let counted = shared.measuring.load(Ordering::Relaxed);
            let begun = Instant::now();
            let response = self.send(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            if counted {
                latency.saturating_record(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
            }
            if status != StatusCode::OK {
                return Err(format!("call {n} was answered {status}: {}", String::from_utf8_lossy(&body)).into());
            }
            shared
                .shape
                .check(n, &body, issued.is_multiple_of(THOROUGH_EVERY))
                .map_err(|wrong| format!("call {n} was answered wrongly: {}", wrong.0))?;
            shared.answered.fetch_add(1, Ordering::Relaxed);
        }
        Ok(latency)
    }
}
