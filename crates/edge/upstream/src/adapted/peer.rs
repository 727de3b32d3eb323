//! An API behind tools: the document, read again with each listing, and one request for each call.
//!
//! Source: MCP 2026-07-28, server/tools; RFC 9110; GraphQL over HTTP, "Request".

use super::document::{Imported, Source};
use super::{DocumentError, DocumentKind};
use crate::event::ServerInfo;
use crate::http::client::{Client, Reply};
use crate::http::peer;
use crate::link::Link;
use crate::listing::Listing;
use crate::secret::SecretString;
use crate::session::Call;
use crate::spec::{KeyPin, Limits};
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, COOKIE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use interlock_adapter::openapi::Beside;
use interlock_adapter::{HttpRequest, HttpResponse, ResultLimits, Tool};
use interlock_engine::ports::UpstreamFault;
use interlock_mcp::answer::quote;
use interlock_mcp::{Frame, NameAt, Response, RpcError};
use interlock_model::Code;
use interlock_model::json::{self, Json};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

const JSON_FIRST: HeaderValue = HeaderValue::from_static("application/json, text/*;q=0.8, */*;q=0.5");
// GraphQL over HTTP, "Media Types".
const GRAPHQL: HeaderValue = HeaderValue::from_static("application/graphql-response+json, application/json;q=0.9");
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

/// Where an API and its document are.
pub(crate) struct Place<'a> {
    pub(crate) kind: DocumentKind,
    pub(crate) document: &'a PathBuf,
    pub(crate) url: &'a Uri,
    pub(crate) headers: &'a [(HeaderName, SecretString)],
    pub(crate) key_pins: &'a [KeyPin],
}

/// An API presented as tools.
pub(crate) struct Peer {
    client: Arc<Client>,
    /// What every request carries; those that were configured are marked sensitive.
    headers: HeaderMap,
    /// The path of the base URL, without a `/` at its end.
    base: String,
    source: Source,
    imported: ArcSwap<Imported>,
    limits: Limits,
    link: Arc<Link>,
}

impl Peer {
    /// Reads the document. Nothing is sent.
    pub(crate) async fn open(
        place: Place<'_>,
        pool: usize,
        limits: Limits,
        link: &Arc<Link>,
        deadline: Instant,
    ) -> Result<Self, UpstreamFault> {
        let Place { kind, document, url, headers: configured, key_pins } = place;
        if kind == DocumentKind::OpenApi && url.query().is_some() {
            return Err(link.unsent(Code::ServerUnavailable, "a base URL cannot have a query; put keys into `headers`"));
        }
        let (client, mut headers) = peer::client((url, configured, key_pins), pool, link)?;
        headers.remove(CONTENT_TYPE);
        // Some APIs name their versions there.
        match configured.iter().find(|(name, _)| *name == ACCEPT) {
            Some((_, value)) => {
                let invalid = |_| link.unsent(Code::ServerUnavailable, "the value of header `accept` is not one");
                let mut value = HeaderValue::from_str(value.danger_str()).map_err(invalid)?;
                value.set_sensitive(true);
                headers.insert(ACCEPT, value);
            }
            None if kind == DocumentKind::GraphQl => drop(headers.insert(ACCEPT, GRAPHQL)),
            None => drop(headers.insert(ACCEPT, JSON_FIRST)),
        }
        // Results are looked through, so content comes as it is.
        headers.insert(ACCEPT_ENCODING, IDENTITY);
        let source = Source { kind, file: document.clone(), beside: beside(configured) };
        let imported = import(&source, limits, None, link, deadline).await?;
        let imported = imported.ok_or_else(|| link.unsent(Code::Internal, "a document that was not read"))?;
        Ok(Self {
            client,
            headers,
            base: url.path().trim_end_matches('/').to_owned(),
            source,
            imported: ArcSwap::from_pointee(imported),
            limits,
            link: link.clone(),
        })
    }

    /// What the document calls the API.
    pub(crate) fn server_info(&self) -> ServerInfo {
        let about = &self.imported.load().about;
        let text = |text: &str| self.link.redactor.clean(text).chars().take(256).collect();
        ServerInfo { name: text(&about.title), version: text(&about.version) }
    }

    /// What the document has and no tool was made of, and where tools differ from it.
    pub(crate) fn remarks(&self) -> (Vec<String>, Vec<String>) {
        let imported = self.imported.load();
        (imported.left_out.clone(), imported.notes.clone())
    }

    /// Reads the document again and lists its tools. Where they are others, calls wait from here on until the listing was
    /// compared.
    pub(crate) async fn list(&self, deadline: Instant) -> Result<Listing, UpstreamFault> {
        let before = self.imported.load_full();
        if let Some(now) = import(&self.source, self.limits, Some(&before), &self.link, deadline).await? {
            if now.listing != before.listing {
                // Before the tools change: no call may go by one that nobody compared.
                self.link.changed();
            }
            self.imported.store(Arc::new(now));
        }
        let imported = self.imported.load();
        Ok(Listing { tools: imported.definitions.clone(), digest: imported.listing, headers: HashMap::new() })
    }

    /// Sends the one request that a call becomes; its answer as that of an MCP server to the request `id`. Dropping the
    /// future closes the connection, which is all the cancelling that HTTP has.
    pub(crate) async fn call(&self, call: &Call, id: u64, patience: Duration) -> Result<Response, UpstreamFault> {
        let tool = match (call.request.method(), &call.name) {
            ("tools/call", Some((NameAt::Name, name))) => name,
            // It offers tools and nothing else.
            _ => return self.error(id, RpcError::METHOD_NOT_FOUND, "this server has tools and nothing else"),
        };
        let imported = self.imported.load_full();
        if imported.listing != self.link.freshness.listing() {
            return Err(self.link.unsent(Code::ServerUnavailable, "its tools changed just now; send the call again"));
        }
        let Some(tool) = imported.tools.get(tool) else {
            return self.error(id, RpcError::INVALID_PARAMS, "the document has no such tool");
        };
        let request = match &call.arguments {
            Some(replaced) => {
                let unreadable = |_| self.link.unsent(Code::Internal, "replaced arguments that are no JSON");
                let replaced = Json::parse(replaced, json::Limits::REQUEST).map_err(unreadable)?;
                tool.request(Some(replaced.root()))
            }
            None => tool.request(call.request.param("arguments")),
        };
        match request {
            // Nothing was sent, and the agent can do better: a result, not an error of the protocol.
            Err(refused) => {
                let text = quote(&format!("The call was not sent: {refused}."));
                let result = format!("{{\"content\":[{{\"type\":\"text\",\"text\":{text}}}],\"isError\":true}}");
                self.answer(id, "result", result.as_bytes())
            }
            Ok(request) => {
                let deadline = Instant::now() + patience;
                let slow = |_| self.link.sent(Code::UpstreamTimeout, "did not answer the call in time");
                let result = timeout_at(deadline, self.exchange(tool, request, deadline)).await.map_err(slow)??;
                self.answer(id, "result", &result)
            }
        }
    }

    /// One request and its answer, as a tool result.
    async fn exchange(&self, tool: &Tool, request: HttpRequest, deadline: Instant) -> Result<Bytes, UpstreamFault> {
        let impossible = |what: &str| self.link.unsent(Code::Internal, format!("made a request with {what}"));
        let headers = self.headers_of(&request).ok_or_else(|| impossible("a header that cannot be one"))?;
        let method = Method::from_bytes(request.method.as_str().as_bytes()).map_err(|_| impossible("no method"))?;
        let body = request.body.unwrap_or_default();
        let mut reply = if request.path_and_query.is_empty() {
            // The configured address as it stands: whether a `/` ends it matters to some.
            self.client.send(method, headers, body, deadline).await?
        } else {
            let target = target(&self.base, &request.path_and_query).ok_or_else(|| impossible("no target"))?;
            self.client.send_to(&target, method, headers, body, deadline).await?
        };
        let (status, headers) = (reply.status, std::mem::take(&mut reply.headers));
        let encoded = headers.get(CONTENT_ENCODING).is_some_and(|e| !e.as_bytes().eq_ignore_ascii_case(b"identity"));
        if encoded {
            return Err(self.link.sent(Code::UpstreamInvalid, "answered with content in an encoding nobody asked for"));
        }
        let body = self.content(reply, status).await?;
        let content_type = headers.get(CONTENT_TYPE).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let response = HttpResponse { status: status.as_u16(), content_type: content_type.as_deref(), body: &body };
        let most = self.limits.result_bytes;
        let limits = ResultLimits {
            text_bytes: ResultLimits::DEFAULT.text_bytes.min(most),
            blob_bytes: ResultLimits::DEFAULT.blob_bytes.min(most),
        };
        Ok(tool.result(&response, &limits))
    }

    async fn content(&self, reply: Reply, status: StatusCode) -> Result<Bytes, UpstreamFault> {
        // What follows is another protocol; dropping the reply ends it.
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(Bytes::new());
        }
        reply.collect(self.limits.result_bytes).await
    }

    /// What is configured, what the call says, and what the content is.
    fn headers_of(&self, request: &HttpRequest) -> Option<HeaderMap> {
        let mut headers = self.headers.clone();
        for (name, value) in &request.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            let value = HeaderValue::from_str(value).ok()?;
            match headers.get_mut(&name) {
                // RFC 6265, section 5.4: there is one such header. Names of configured cookies are no arguments.
                Some(configured) if name == COOKIE => {
                    let both = [configured.as_bytes(), b"; ", value.as_bytes()].concat();
                    *configured = HeaderValue::from_bytes(&both).ok()?;
                    configured.set_sensitive(true);
                }
                // It is no argument either: the import was told.
                Some(configured) if configured.is_sensitive() => {}
                _ => drop(headers.insert(name, value)),
            }
        }
        if let Some(content_type) = &request.content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).ok()?);
        }
        Some(headers)
    }

    fn error(&self, id: u64, code: i32, message: &str) -> Result<Response, UpstreamFault> {
        self.answer(id, "error", format!("{{\"code\":{code},\"message\":{}}}", quote(message)).as_bytes())
    }

    fn answer(&self, id: u64, member: &str, value: &[u8]) -> Result<Response, UpstreamFault> {
        let mut message = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"{member}\":").into_bytes();
        message.extend_from_slice(value);
        message.push(b'}');
        match Frame::parse(message.into(), json::Limits::RESULT) {
            Ok(Frame::Response(response)) => Ok(response),
            _ => Err(self.link.sent(Code::Internal, "an answer that is no MCP message")),
        }
    }
}

/// Reads the document; `None` if it is what it was `before`.
async fn import(
    source: &Source,
    limits: Limits,
    before: Option<&Imported>,
    link: &Arc<Link>,
    deadline: Instant,
) -> Result<Option<Imported>, UpstreamFault> {
    let (source, before) = (source.clone(), before.map(|imported| imported.digest));
    let reading = tokio::task::spawn_blocking(move || -> Result<Option<Imported>, DocumentError> {
        let text = source.read()?;
        if before == Some(interlock_model::Digest::of(&text)) {
            return Ok(None);
        }
        source.import(&text, limits).map(Some)
    });
    let unavailable = |why: String| link.unsent(Code::ServerUnavailable, why);
    match timeout_at(deadline, reading).await {
        Ok(Ok(read)) => read.map_err(|e| unavailable(e.to_string())),
        Ok(Err(e)) => Err(unavailable(format!("its document was not read: {e}"))),
        Err(_) => Err(unavailable("its document could not be read in time".to_owned())),
    }
}

/// The names of what is configured: what the gateway sends is no argument.
fn beside(configured: &[(HeaderName, SecretString)]) -> Beside {
    let names = |cookies: &str| -> Vec<String> {
        let pairs = cookies.split(';').filter_map(|pair| Some(pair.split_once('=')?.0.trim().to_owned()));
        pairs.collect()
    };
    let cookies = configured.iter().filter(|(name, _)| *name == COOKIE);
    Beside {
        headers: configured.iter().map(|(name, _)| name.as_str().to_owned()).collect(),
        cookies: cookies.flat_map(|(_, value)| names(value.danger_str())).collect(),
    }
}

/// The base URL's path and what the call asks for below it.
fn target(base: &str, path_and_query: &str) -> Option<Uri> {
    let slash = if base.is_empty() && !path_and_query.starts_with('/') { "/" } else { "" };
    let target: PathAndQuery = format!("{base}{slash}{path_and_query}").parse().ok()?;
    Some(Uri::from(target))
}
