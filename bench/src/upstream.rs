//! The MCP server that is called: both eras over streamable HTTP, plain JSON answers, as cheap as it can be.

use crate::Failure;
use crate::call::{self, LEGACY, MODERN};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::convert::Infallible;
use std::net::SocketAddr;
use tokio::net::TcpListener;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Where to listen; port 0 takes a free one, which is printed
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Threads that serve
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

/// Serves until killed.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    runtime(options.threads)?.block_on(async {
        let listener = listen(options.listen).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::spawn(async move {
                let served = hyper::server::conn::http1::Builder::new()
                    .serve_connection(
                        TokioIo::new(stream),
                        service_fn(|request| async move { Ok::<_, Infallible>(serve(request).await) }),
                    )
                    .await;
                // A client that hangs up is no news: every measurement ends so.
                drop(served);
            });
        }
    })
}

/// A runtime with that many workers.
pub(crate) fn runtime(threads: usize) -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(threads.max(1)).enable_all().build()?)
}

/// Binds and says where on standard output, which is how the parent learns the port.
pub(crate) async fn listen(address: SocketAddr) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(address).await?;
    println!("listening {}", listener.local_addr()?);
    Ok(listener)
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct CallParams<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    arguments: &'a RawValue,
}

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    request_id: Cow<'a, str>,
    max_bytes: usize,
}

async fn serve(request: Request<Incoming>) -> Response<Full<Bytes>> {
    if request.method() != Method::POST {
        return plain(StatusCode::METHOD_NOT_ALLOWED, String::new());
    }
    let modern = request.headers().get("mcp-protocol-version").is_some_and(|version| version == MODERN);
    let Ok(body) = request.into_body().collect().await else {
        return plain(StatusCode::BAD_REQUEST, String::new());
    };
    let body = body.to_bytes();
    match answer(&body, modern) {
        Some((status, text)) => plain(status, text),
        None => plain(StatusCode::ACCEPTED, String::new()),
    }
}

/// The answer to one message; `None` to a notification.
fn answer(body: &[u8], modern: bool) -> Option<(StatusCode, String)> {
    let Ok(message) = serde_json::from_slice::<Message<'_>>(body) else {
        return Some((StatusCode::BAD_REQUEST, error("null", -32700, "not one JSON-RPC message")));
    };
    let id = message.id?.get();
    let complete = if modern { r#""resultType":"complete","# } else { "" };
    let result = match (message.method.as_ref(), modern) {
        ("tools/call", _) => return Some((StatusCode::OK, called(id, message.params, complete))),
        ("tools/list", true) => {
            format!(r#"{{{complete}"ttlMs":60000,"cacheScope":"public","tools":{}}}"#, call::TOOLS.trim_end())
        }
        ("tools/list", false) => format!(r#"{{"tools":{}}}"#, call::TOOLS.trim_end()),
        ("server/discover", true) => format!(
            r#"{{{complete}"ttlMs":60000,"cacheScope":"public","supportedVersions":["{MODERN}"],"capabilities":{{"tools":{{}}}},"_meta":{{"io.modelcontextprotocol/serverInfo":{{"name":"bench","version":"1"}}}}}}"#
        ),
        ("initialize", false) => format!(
            r#"{{"protocolVersion":"{LEGACY}","capabilities":{{"tools":{{}}}},"serverInfo":{{"name":"bench","version":"1"}}}}"#
        ),
        ("ping", false) => "{}".to_owned(),
        _ => {
            let status = if modern { StatusCode::NOT_FOUND } else { StatusCode::OK };
            return Some((status, error(id, -32601, "method not found")));
        }
    };
    Some((StatusCode::OK, format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)))
}

fn called(id: &str, params: Option<&RawValue>, complete: &str) -> String {
    let Some(params) = params.and_then(|params| serde_json::from_str::<CallParams<'_>>(params.get()).ok()) else {
        return error(id, -32602, "name and arguments are needed");
    };
    let mut text = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{{complete}"content":[{{"type":"text","text":""#);
    match params.name.as_ref() {
        call::TOOL => {
            let Ok(payload) = serde_json::from_str::<Payload<'_>>(params.arguments.get()) else {
                return error(id, -32602, "request_id and max_bytes are needed");
            };
            call::answer_text(&payload.request_id, payload.max_bytes, &mut text);
        }
        "sink" => text.push_str("ok"),
        _ => return error(id, -32602, "unknown tool"),
    }
    text.push_str(r#""}],"isError":false}}"#);
    text
}

fn error(id: &str, code: i32, message: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":"{message}"}}}}"#)
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_both_eras() {
        let ask = |text: &str, modern| answer(text.as_bytes(), modern);
        let (status, text) = ask(r#"{"jsonrpc":"2.0","id":"a","method":"server/discover"}"#, true).unwrap();
        assert_eq!(status, StatusCode::OK);
        let message: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(message["result"]["supportedVersions"][0], MODERN);
        assert_eq!(message["id"], "a");

        let (status, _) = ask(r#"{"jsonrpc":"2.0","id":1,"method":"server/discover"}"#, false).unwrap();
        assert_eq!(status, StatusCode::OK, "a legacy server answers with an error in band");
        assert!(ask(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#, false).is_none());
        let (status, _) = ask("[", false).unwrap();
        assert_eq!(status, StatusCode::BAD_REQUEST);
    }
}
