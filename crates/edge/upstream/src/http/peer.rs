//! MCP over streamable HTTP: one request and its answer, and the stream on which a server announces.
//!
//! In scope: our headers, answers as JSON or as events, resuming, listening, the session's end.
//! Out of scope: which requests are made. Source: MCP 2025-11-25 and 2026-07-28, streamable HTTP.

use super::client::{Client, Reply};
use super::origin::Origin;
use super::tls;
use crate::aside::{Heard, Hearers};
use crate::link::{Ending, Gone, Inbound, Link, count};
use crate::secret::SecretString;
use crate::spec::{KeyPin, Limits};
use crate::sse;
use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use interlock_engine::ports::UpstreamFault;
use interlock_mcp::{Frame, Id, Response};
use interlock_model::Code;
use interlock_model::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The header that names a legacy session.
pub(crate) const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
/// The header that names the revision.
pub(crate) const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// The header that names a modern request's method.
pub(crate) const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// The header that names what a modern request is about.
pub(crate) const NAME: HeaderName = HeaderName::from_static("mcp-name");

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const JSON_OR_EVENTS: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
/// For messages whose answers nobody waits for.
const ASIDE: Duration = Duration::from_secs(5);

/// What came of a request.
pub(crate) enum Exchanged {
    /// An answer, and the headers it came with.
    Answered(Box<(Response, HeaderMap)>),
    /// The server does not know our session; the request did nothing.
    SessionGone,
    /// An HTTP status that refuses, and no MCP message.
    Refused(StatusCode, UpstreamFault),
}

/// An HTTP server.
pub(crate) struct Peer {
    inner: Arc<Inner>,
    listener: ArcSwapOption<Listener>,
}

/// Stops listening when dropped.
struct Listener(tokio::task::AbortHandle);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Inner {
    client: Arc<Client>,
    link: Arc<Link>,
    gone: Arc<Gone>,
    hearers: Arc<Hearers>,
    /// What every request carries. Of an agent's own headers only its place in a trace goes on, re-read.
    headers: ArcSwap<HeaderMap>,
    limits: Limits,
}

impl Peer {
    pub(crate) fn new(
        place: (&http::Uri, &[(HeaderName, SecretString)], &[KeyPin]),
        pool: usize,
        limits: Limits,
        (link, gone, hearers): (&Arc<Link>, &Arc<Gone>, &Arc<Hearers>),
    ) -> Result<Self, UpstreamFault> {
        let (client, headers) = client(place, pool, link)?;
        let headers = ArcSwap::from_pointee(headers);
        let inner = Inner { client, link: link.clone(), gone: gone.clone(), hearers: hearers.clone(), headers, limits };
        Ok(Self { inner: Arc::new(inner), listener: ArcSwapOption::empty() })
    }

    /// Sets or removes headers that all later requests carry.
    pub(crate) fn set_headers(&self, changes: [(HeaderName, Option<HeaderValue>); 2]) {
        let mut headers = HeaderMap::clone(&self.inner.headers.load());
        for (name, value) in changes {
            match value {
                Some(value) => drop(headers.insert(name, value)),
                None => drop(headers.remove(name)),
            }
        }
        self.inner.headers.store(Arc::new(headers));
    }

    /// Sends a request and waits for the answer to `id`.
    pub(crate) async fn request(
        &self,
        id: u64,
        body: Bytes,
        extra: Vec<(HeaderName, HeaderValue)>,
        deadline: Instant,
        heard: Option<&Heard>,
    ) -> Result<Exchanged, UpstreamFault> {
        self.inner.request(id, body, extra, deadline, heard).await
    }

    /// Sends a message that has no answer.
    pub(crate) async fn notify(&self, body: Bytes) -> Result<(), UpstreamFault> {
        self.inner.notify(body).await
    }

    /// Sends a message that has no answer, later, whatever becomes of it.
    pub(crate) fn notify_aside(&self, body: Bytes) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let inner = self.inner.clone();
            runtime.spawn(async move { drop(inner.notify(body).await) });
        }
    }

    /// Opens the stream on which the server announces: by GET (legacy), or with the request `body`
    /// (modern; `extra` are its headers).
    pub(crate) fn listen(&self, modern: Option<(Bytes, Vec<(HeaderName, HeaderValue)>)>) {
        let task = tokio::spawn(self.inner.clone().listen(modern));
        // The one before stops listening as it is dropped.
        self.listener.store(Some(Arc::new(Listener(task.abort_handle()))));
    }

    /// Ends a legacy session, as far as the server cares.
    pub(crate) async fn close(&self) {
        let headers = HeaderMap::clone(&self.inner.headers.load());
        if headers.contains_key(SESSION) {
            let deadline = Instant::now() + Duration::from_secs(1);
            let delete = self.inner.client.send(Method::DELETE, headers, Bytes::new(), deadline);
            drop(tokio::time::timeout_at(deadline, delete).await);
        }
    }
}

impl Inner {
    async fn request(
        &self,
        id: u64,
        body: Bytes,
        extra: Vec<(HeaderName, HeaderValue)>,
        deadline: Instant,
        heard: Option<&Heard>,
    ) -> Result<Exchanged, UpstreamFault> {
        let mut reply = self.post(body, extra, deadline).await?;
        if reply.status == StatusCode::NOT_FOUND && self.headers.load().contains_key(SESSION) {
            reply.release_after_rest();
            return Ok(Exchanged::SessionGone);
        }
        let status = reply.status;
        match content(&reply) {
            Content::Json => {
                let headers = std::mem::take(&mut reply.headers);
                let body = reply.collect(self.limits.result_bytes).await?;
                let frame = match self.parse(body) {
                    Err(fault) if !status.is_success() => return Ok(Exchanged::Refused(status, fault)),
                    frame => frame?,
                };
                match frame {
                    Frame::Response(response) if answers(&response, id) => {
                        // Some servers refuse a session they do not know with 400, where 404 is asked for.
                        // That is not certain enough to send the call again, but to open another session.
                        let unread = status == StatusCode::BAD_REQUEST && response.id().is_none();
                        if unread && self.headers.load().contains_key(SESSION) {
                            self.gone.set(Ending::Forgotten, &self.link);
                        }
                        Ok(Exchanged::Answered(Box::new((response, headers))))
                    }
                    Frame::Response(_) => {
                        count(&self.link.tally.responses_dropped);
                        Err(self.invalid("an answer to another request"))
                    }
                    Frame::Request(_) | Frame::Notification(_) => Err(self.invalid("a message that is no answer")),
                }
            }
            Content::Events if status.is_success() => self.read_events(reply, id, deadline, heard).await,
            Content::Events | Content::Other if status.is_success() => Err(self.invalid(&refusal(status))),
            Content::Events | Content::Other => Ok(Exchanged::Refused(status, self.invalid(&refusal(status)))),
        }
    }

    async fn post(
        &self,
        body: Bytes,
        extra: Vec<(HeaderName, HeaderValue)>,
        deadline: Instant,
    ) -> Result<Reply, UpstreamFault> {
        let mut headers = HeaderMap::clone(&self.headers.load());
        headers.extend(extra);
        self.client.send(Method::POST, headers, body, deadline).await
    }

    async fn notify(&self, body: Bytes) -> Result<(), UpstreamFault> {
        let deadline = Instant::now() + ASIDE;
        let exchange = async {
            let reply = self.post(body, Vec::new(), deadline).await?;
            let status = reply.status;
            if status.is_success() {
                reply.release_after_rest();
                Ok(())
            } else {
                Err(self.invalid(&refusal(status)))
            }
        };
        tokio::time::timeout_at(deadline, exchange)
            .await
            .map_err(|_| self.link.sent(Code::UpstreamTimeout, "a notification was not accepted in time"))?
    }

    /// Reads events until the one that answers `id`, over several connections if the server hangs up
    /// after having said where to resume.
    async fn read_events(
        &self,
        mut reply: Reply,
        id: u64,
        deadline: Instant,
        heard: Option<&Heard>,
    ) -> Result<Exchanged, UpstreamFault> {
        let headers = reply.headers.clone();
        let mut resume: Option<(Box<str>, u64)> = None;
        loop {
            let mut events = Vec::new();
            let mut parser = sse::Parser::new(self.limits.result_bytes);
            let mut budget = self.limits.result_bytes.saturating_mul(4);
            let ended = loop {
                let chunk = match reply.chunk().await {
                    Ok(Some(chunk)) => chunk,
                    Ok(None) => break self.link.sent(Code::UpstreamClosed, "the stream ended without the answer"),
                    Err(fault) => break fault,
                };
                budget = budget
                    .checked_sub(chunk.len())
                    .ok_or_else(|| self.too_large("the stream of events is too long"))?;
                parser.feed(&chunk, &mut events).map_err(|e| self.too_large(&e.to_string()))?;
                if let Some(response) = self.take_events(&mut events, Some(id), heard).await? {
                    reply.release_after_rest();
                    return Ok(Exchanged::Answered(Box::new((response, headers))));
                }
            };
            if let Some(id) = parser.last_id() {
                resume = Some((id.into(), parser.retry_ms().unwrap_or(1000)));
            }
            let Some((last, retry_ms)) = resume.as_ref().filter(|_| self.headers.load().contains_key(SESSION)) else {
                return Err(ended);
            };
            tokio::time::sleep(Duration::from_millis((*retry_ms).clamp(10, 60_000))).await;
            reply = self.get(Some(last), deadline).await?;
            if !(reply.status.is_success() && content(&reply) == Content::Events) {
                return Err(ended);
            }
        }
    }

    async fn get(&self, last_id: Option<&str>, deadline: Instant) -> Result<Reply, UpstreamFault> {
        let mut headers = HeaderMap::clone(&self.headers.load());
        headers.insert(ACCEPT, EVENTS);
        headers.remove(CONTENT_TYPE);
        if let Some(value) = last_id.and_then(|id| HeaderValue::from_str(id).ok()) {
            headers.insert(LAST_EVENT_ID, value);
        }
        self.client.send(Method::GET, headers, Bytes::new(), deadline).await
    }

    /// Handles events in order; gives back the answer to `id` if it is among them.
    async fn take_events(
        &self,
        events: &mut Vec<sse::Event>,
        id: Option<u64>,
        heard: Option<&Heard>,
    ) -> Result<Option<Response>, UpstreamFault> {
        let mut found = None;
        for event in events.drain(..).filter(|e| e.kind == sse::Kind::Message && !e.data.is_empty()) {
            let taken = match self.link.take(self.parse(event.data)?, false) {
                // On a request's own stream it is about that request; on the common one, about whom it names.
                Inbound::Aside(aside) => {
                    let told = match heard {
                        Some(heard) => heard.put(aside.clone()).then_some(()).ok_or(aside),
                        None => self.hearers.tell(aside),
                    };
                    told.map_or_else(|unheard| self.link.unheard(unheard, false), |()| Inbound::Done)
                }
                other => other,
            };
            match taken {
                Inbound::Response(response) => {
                    let wanted = found.is_none() && id.is_some_and(|id| answers(&response, id));
                    if wanted {
                        found = Some(response);
                    } else {
                        count(&self.link.tally.responses_dropped);
                    }
                }
                // A server that cannot take our answer has only itself to wait for.
                Inbound::Reply(body) => drop(self.notify(body.into()).await),
                Inbound::Aside(_) | Inbound::Done => {}
            }
        }
        Ok(found)
    }

    /// Listens until the server has no such stream or the session ends.
    async fn listen(self: Arc<Self>, modern: Option<(Bytes, Vec<(HeaderName, HeaderValue)>)>) {
        let (mut last_id, mut retry): (Option<Box<str>>, Option<u64>) = (None, None);
        let mut pause_ms = 500_u64;
        for round in 0_u64.. {
            if round > 0 {
                tokio::time::sleep(Duration::from_millis(retry.unwrap_or(pause_ms).clamp(500, 60_000))).await;
                pause_ms = (pause_ms * 2).min(60_000);
            }
            let far = Instant::now() + Duration::from_secs(60);
            let opened = match &modern {
                None => self.get(last_id.as_deref(), far).await,
                Some((body, extra)) => self.post(body.clone(), extra.clone(), far).await,
            };
            let Ok(mut reply) = opened else { continue };
            if reply.status == StatusCode::NOT_FOUND && self.headers.load().contains_key(SESSION) {
                return self.gone.set(Ending::Forgotten, &self.link);
            }
            if reply.status.is_server_error() {
                continue;
            }
            if !(reply.status.is_success() && content(&reply) == Content::Events) {
                return; // it has no such stream (405), which is fine: tools are listed from time to time
            }
            if round > 0 {
                // What was announced meanwhile may be lost.
                self.link.changed();
            }
            let started = Instant::now();
            let mut parser = sse::Parser::new(1 << 20);
            let mut events = Vec::new();
            while let Ok(Some(chunk)) = reply.chunk().await {
                if parser.feed(&chunk, &mut events).is_err() || self.take_events(&mut events, None, None).await.is_err()
                {
                    break;
                }
            }
            last_id = parser.last_id().map(Into::into).or(last_id);
            retry = parser.retry_ms().or(retry);
            if started.elapsed() > Duration::from_secs(30) {
                pause_ms = 500;
            }
        }
    }

    fn parse(&self, text: Bytes) -> Result<Frame, UpstreamFault> {
        Frame::parse(text, json::Limits::RESULT).map_err(|e| {
            count(&self.link.tally.garbage);
            self.invalid(&format!("no MCP message: {e}"))
        })
    }

    fn invalid(&self, what: &str) -> UpstreamFault {
        self.link.sent(Code::UpstreamInvalid, format!("answered with {what}"))
    }

    fn too_large(&self, what: &str) -> UpstreamFault {
        self.link.sent(Code::UpstreamTooLarge, what)
    }
}

/// The way to an endpoint, and what every request to it carries.
pub(crate) fn client(
    (url, headers, pins): (&http::Uri, &[(HeaderName, SecretString)], &[KeyPin]),
    pool: usize,
    link: &Arc<Link>,
) -> Result<(Arc<Client>, HeaderMap), UpstreamFault> {
    let refuse = |why: String| link.unsent(Code::ServerUnavailable, why);
    let origin = Origin::new(url, !headers.is_empty()).map_err(|e| refuse(e.to_string()))?;
    let tls = if origin.tls { Some(tls::config(pins).map_err(refuse)?) } else { None };
    let mut all = HeaderMap::with_capacity(headers.len() + 12);
    for (name, value) in headers {
        let mut value = HeaderValue::from_str(value.danger_str())
            .map_err(|_| refuse(format!("the value of header `{name}` has characters that no header may")))?;
        value.set_sensitive(true);
        all.append(name, value);
    }
    // After the configured ones, which so cannot change how messages are framed.
    all.insert(CONTENT_TYPE, JSON);
    all.insert(ACCEPT, JSON_OR_EVENTS);
    all.entry(USER_AGENT).or_insert(HeaderValue::from_static("interlock"));
    for framing in [http::header::CONTENT_LENGTH, http::header::TRANSFER_ENCODING, http::header::CONNECTION] {
        all.remove(framing);
    }
    Ok((Arc::new(Client::new(origin, tls, pool, link.clone())), all))
}

/// Whether `response` answers `id`. An error without an id on this very exchange does: its sender
/// could not read ours.
pub(crate) fn answers(response: &Response, id: u64) -> bool {
    response.id().map_or_else(|| response.error().is_some(), |found| *found == Id::number(id))
}

/// What a response holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Json,
    Events,
    Other,
}

pub(crate) fn content(reply: &Reply) -> Content {
    let value = reply.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = value.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        Content::Json
    } else if kind.eq_ignore_ascii_case("text/event-stream") {
        Content::Events
    } else {
        Content::Other
    }
}

/// A status without a message, for people.
pub(crate) fn refusal(status: StatusCode) -> String {
    let hint = match status.as_u16() {
        300..=399 => ", a redirect; they are not followed, configure the final URL",
        401 | 403 => ", so it does not accept the configured credential",
        202 | 204 => " and no answer",
        _ => " and no MCP message",
    };
    format!("HTTP status {}{hint}", status.as_u16())
}
