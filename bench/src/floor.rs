//! The floor: a proxy that only forwards. It reads no body and decides nothing, so whatever it costs is what a hop costs.

use crate::Failure;
use crate::upstream::{listen, runtime};
use http::header::{CONNECTION, HOST, HeaderValue, TRANSFER_ENCODING};
use http::uri::{PathAndQuery, Scheme};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::net::SocketAddr;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where to listen; port 0 takes a free one, which is printed
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where to forward to
    #[arg(long)]
    to: SocketAddr,
    /// Threads that serve (all cores unless given)
    #[arg(long)]
    threads: Option<usize>,
}

type Upstream = Client<HttpConnector, Incoming>;

/// Serves until killed.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let threads = options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    runtime(threads)?.block_on(async {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client: Upstream = Client::builder(TokioExecutor::new()).build(connector);
        let authority = http::uri::Authority::try_from(options.to.to_string())?;
        let host = HeaderValue::from_str(authority.as_str())?;
        let listener = listen(options.listen).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (client, authority, host) = (client.clone(), authority.clone(), host.clone());
            tokio::spawn(async move {
                let served = hyper::server::conn::http1::Builder::new()
                    .serve_connection(
                        TokioIo::new(stream),
                        service_fn(|request| {
                            let (client, authority, host) = (client.clone(), authority.clone(), host.clone());
                            async move { Ok::<_, Infallible>(forward(&client, authority, host, request).await) }
                        }),
                    )
                    .await;
                // A client that hangs up is no news: every measurement ends so.
                drop(served);
            });
        }
    })
}

async fn forward(
    client: &Upstream,
    authority: http::uri::Authority,
    host: HeaderValue,
    request: Request<Incoming>,
) -> Response<BoxBody<Bytes, hyper::Error>> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    let Ok(uri) = Uri::builder().scheme(Scheme::HTTP).authority(authority).path_and_query(path).build() else {
        return unreachable_upstream();
    };
    parts.uri = uri;
    parts.headers.remove(CONNECTION);
    parts.headers.insert(HOST, host);
    match client.request(Request::from_parts(parts, body)).await {
        Ok(mut response) => {
            response.headers_mut().remove(CONNECTION);
            response.headers_mut().remove(TRANSFER_ENCODING);
            response.map(BodyExt::boxed)
        }
        Err(_) => unreachable_upstream(),
    }
}

fn unreachable_upstream() -> Response<BoxBody<Bytes, hyper::Error>> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}
