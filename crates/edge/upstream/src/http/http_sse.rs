//! MCP over HTTP+SSE, as it was before streamable HTTP: one stream brings all that the server says, messages to
//! it are posted to an endpoint that the stream names first.
//!
//! In scope: the opening of the stream, where its endpoint may be, whose answer is whose, its end.
//! Out of scope: which requests are made, opening again. Source: MCP 2024-11-05, transports, "HTTP with SSE".

use super::client::{Client, Reply};
use super::origin::Origin;
use super::peer::{self, Exchanged};
use crate::aside::Hearers;
use crate::lines::id_of_too_long;
use crate::link::{Ending, Gone, Inbound, Link, count};
use crate::routes::Routes;
use crate::secret::SecretString;
use crate::spec::{KeyPin, Limits};
use crate::sse;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, uri::PathAndQuery};
use interlock_engine::ports::UpstreamFault;
use interlock_mcp::{Frame, Response};
use interlock_model::{Code, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// The longest a server may take to open its stream and to name the endpoint there.
const NAMING: Duration = Duration::from_secs(10);
/// For messages whose answers nobody waits for, and for what is left of an exchange whose result is known.
const ASIDE: Duration = Duration::from_secs(5);
/// Most answers to the server's own requests at once: one that asks and never reads gets no more.
const ASIDES: usize = 16;
/// The longest reference to an endpoint.
const MAX_ENDPOINT: usize = 2048;

/// A server of revision 2024-11-05. Dropping it closes the stream.
pub(crate) struct Peer {
    inner: Arc<Inner>,
    reader: tokio::task::AbortHandle,
}

struct Inner {
    client: Arc<Client>,
    link: Arc<Link>,
    gone: Arc<Gone>,
    routes: Routes,
    hearers: Arc<Hearers>,
    headers: HeaderMap,
    endpoint: Uri,
    limits: Limits,
    asides: Arc<Semaphore>,
}

impl Peer {
    /// Opens the stream and waits until it has named the endpoint.
    pub(crate) async fn open(
        (url, headers, pins): (&Uri, &[(HeaderName, SecretString)], &[KeyPin]),
        pool: usize,
        limits: Limits,
        (link, gone, hearers): (&Arc<Link>, &Arc<Gone>, &Arc<Hearers>),
        deadline: Instant,
    ) -> Result<Self, UpstreamFault> {
        let deadline = deadline.min(Instant::now() + NAMING);
        let (client, headers) = peer::client((url, headers, pins), pool, link)?;
        let opening = async {
            let mut asking = headers.clone();
            asking.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
            asking.remove(CONTENT_TYPE);
            let reply = client.send(Method::GET, asking, Bytes::new(), deadline).await?;
            let status = reply.status;
            if !(status.is_success() && peer::content(&reply) == peer::Content::Events) {
                return Err(link.sent(Code::UpstreamInvalid, format!("answered GET with {}", peer::refusal(status))));
            }
            let mut stream = Stream { reply, parser: sse::Parser::skipping(limits.result_bytes), events: Vec::new() };
            let endpoint = stream.endpoint(url, link).await?;
            Ok((stream, endpoint))
        };
        let slow = |_| link.sent(Code::UpstreamTimeout, "opened no event stream with an endpoint in time");
        let (stream, endpoint) = timeout_at(deadline, opening).await.map_err(slow)??;
        let inner = Arc::new(Inner {
            client,
            link: link.clone(),
            gone: gone.clone(),
            routes: Routes::default(),
            hearers: hearers.clone(),
            headers,
            endpoint,
            limits,
            asides: Arc::new(Semaphore::new(ASIDES)),
        });
        let reading = inner.clone();
        let reader = tokio::spawn(async move { reading.end(&reading.read(stream).await) }).abort_handle();
        Ok(Self { inner, reader })
    }

    /// Posts a request and waits for the answer to `id` on the stream.
    pub(crate) async fn request(&self, id: u64, body: Bytes, deadline: Instant) -> Result<Exchanged, UpstreamFault> {
        let inner = &self.inner;
        let route = inner.routes.open(id);
        // After opening: whoever ends the session closes the routes after saying so.
        if let Some(ending) = inner.gone.ending() {
            return Err(inner.link.unsent(Code::ServerUnavailable, ending.to_string()));
        }
        let mut answer = std::pin::pin!(route.answer());
        let mut posting = Box::pin(inner.clone().post(body, deadline));
        let answered = tokio::select! {
            biased;
            answered = &mut answer => {
                // The answer overtook the end of the post, whose connection is good for the next one.
                inner.aside(async move { drop(posting.await) });
                answered
            }
            posted = &mut posting => {
                match posted? {
                    status if status.is_success() => {}
                    // As with streamable HTTP: the session is unknown, and so the request did nothing.
                    StatusCode::NOT_FOUND => return Ok(Exchanged::SessionGone),
                    status => return Err(inner.invalid(&peer::refusal(status))),
                }
                answer.await
            }
        };
        let lost = || Err(inner.link.sent(Code::UpstreamClosed, "the stream of answers is gone"));
        let response = answered.unwrap_or_else(lost)?;
        Ok(Exchanged::Answered(Box::new((response, HeaderMap::new()))))
    }

    /// Sends a message that has no answer.
    pub(crate) async fn notify(&self, body: Bytes) -> Result<(), UpstreamFault> {
        self.inner.clone().notify(body).await
    }

    /// Sends a message that has no answer, later, whatever becomes of it.
    pub(crate) fn notify_aside(&self, body: Bytes) {
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let inner = self.inner.clone();
            runtime.spawn(async move { drop(inner.notify(body).await) });
        }
    }

    /// Sends a reply to the server's question, unless too many are on their way: one that asks and does not read gets
    /// no more.
    pub(crate) fn say(&self, body: Bytes) {
        let inner = self.inner.clone();
        self.inner.aside(async move { drop(inner.notify(body).await) });
    }

    /// Closes the stream, which ends the session at the server.
    pub(crate) fn close(&self) {
        self.reader.abort();
        self.inner.end("was closed");
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// The stream on which the server speaks.
struct Stream {
    reply: Reply,
    parser: sse::Parser,
    events: Vec<sse::Event>,
}

impl Stream {
    /// Reads until the first event, which has to name the endpoint.
    async fn endpoint(&mut self, url: &Uri, link: &Link) -> Result<Uri, UpstreamFault> {
        // Comments may come before it, but not for ever.
        let mut budget: usize = 64 << 10;
        while self.events.is_empty() {
            let Some(chunk) = self.reply.chunk().await? else {
                return Err(no_endpoint(link, "names no endpoint before it ends"));
            };
            budget = budget.checked_sub(chunk.len()).ok_or_else(|| no_endpoint(link, "names no endpoint"))?;
            self.parser.feed(&chunk, &mut self.events).map_err(|_| no_endpoint(link, "names no endpoint"))?;
        }
        let first = self.events.remove(0);
        if first.kind != sse::Kind::Endpoint {
            return Err(no_endpoint(link, "begins with something else than its endpoint"));
        }
        endpoint(url, &first.data).map_err(|why| no_endpoint(link, &format!("names an unusable endpoint: {why}")))
    }
}

impl Inner {
    /// Reads messages until the stream ends or makes no sense. Why it ended.
    async fn read(self: &Arc<Self>, mut stream: Stream) -> String {
        loop {
            for event in stream.events.drain(..) {
                self.take(event);
            }
            match stream.reply.chunk().await {
                Ok(Some(chunk)) => {
                    if let Err(too_long) = stream.parser.feed(&chunk, &mut stream.events) {
                        for event in stream.events.drain(..) {
                            self.take(event);
                        }
                        self.take_too_long(stream.parser.given_up(), &[]);
                        return format!("was given up: {too_long}");
                    }
                }
                Ok(None) => return "ended".to_owned(),
                Err(fault) => return format!("ended: {}", fault.detail),
            }
        }
    }

    fn take(self: &Arc<Self>, event: sse::Event) {
        match event.kind {
            sse::Kind::Message if event.data.is_empty() => {}
            sse::Kind::Message => match Frame::parse(event.data.clone(), json::Limits::RESULT) {
                Ok(frame) => self.take_frame(frame),
                Err(_) => {
                    count(&self.link.tally.garbage);
                    let tail = event.data.get(event.data.len().saturating_sub(256)..).unwrap_or_default();
                    if let Some(id) = id_of_too_long(&event.data, tail) {
                        self.routes.deliver(id, Err(self.invalid("no valid MCP message")));
                    }
                }
            },
            sse::Kind::TooLong => self.take_too_long(&event.data, &event.tail),
            // The endpoint is named once; a later one does not move a session.
            sse::Kind::Endpoint => count(&self.link.tally.garbage),
            sse::Kind::Other => {}
        }
    }

    /// Tells a call that its answer is over the limit, if it can be seen whose it was.
    fn take_too_long(&self, head: &[u8], tail: &[u8]) {
        count(&self.link.tally.garbage);
        if let Some(id) = id_of_too_long(head, tail) {
            let max = self.limits.result_bytes;
            let fault = self.link.sent(Code::UpstreamTooLarge, format!("the answer is over {max} bytes"));
            self.routes.deliver(id, Err(fault));
        }
    }

    fn take_frame(self: &Arc<Self>, frame: Frame) {
        let taken = match self.link.take(frame, false) {
            Inbound::Aside(aside) => match self.hearers.tell(aside) {
                Ok(()) => Inbound::Done,
                Err(unheard) => self.link.unheard(unheard, false),
            },
            other => other,
        };
        match taken {
            Inbound::Response(response) => {
                let delivered = id_of(&response).is_some_and(|id| self.routes.deliver(id, Ok(response)));
                if !delivered {
                    count(&self.link.tally.responses_dropped);
                }
            }
            Inbound::Reply(body) => {
                let inner = self.clone();
                self.aside(async move { drop(inner.notify(body.into()).await) });
            }
            Inbound::Aside(_) | Inbound::Done => {}
        }
    }

    /// Lets `work` go on for a moment without anybody who waits; not at all if too much does already.
    fn aside(&self, work: impl Future<Output = ()> + Send + 'static) {
        let Ok(permit) = self.asides.clone().try_acquire_owned() else { return };
        tokio::spawn(async move {
            drop(tokio::time::timeout(ASIDE, work).await);
            drop(permit);
        });
    }

    async fn post(self: Arc<Self>, body: Bytes, deadline: Instant) -> Result<StatusCode, UpstreamFault> {
        let sending = self.client.send_to(&self.endpoint, Method::POST, self.headers.clone(), body, deadline);
        let reply = sending.await?;
        let status = reply.status;
        reply.release_after_rest();
        if status == StatusCode::NOT_FOUND {
            self.gone.set(Ending::Forgotten, &self.link);
        }
        Ok(status)
    }

    async fn notify(self: Arc<Self>, body: Bytes) -> Result<(), UpstreamFault> {
        let deadline = Instant::now() + ASIDE;
        let slow = |_| self.link.sent(Code::UpstreamTimeout, "a notification was not accepted in time");
        let status = timeout_at(deadline, self.clone().post(body, deadline)).await.map_err(slow)??;
        if status.is_success() { Ok(()) } else { Err(self.invalid(&peer::refusal(status))) }
    }

    fn end(&self, reason: &str) {
        let reason = format!("the stream of answers {reason}");
        // First the flag, then the routes: a call that opens its route in between sees the flag.
        self.gone.set(Ending::Broken(reason.clone()), &self.link);
        self.routes.fail_all(&self.link.sent(Code::UpstreamClosed, reason));
    }

    fn invalid(&self, what: &str) -> UpstreamFault {
        self.link.sent(Code::UpstreamInvalid, format!("answered with {what}"))
    }
}

fn id_of(response: &Response) -> Option<u64> {
    std::str::from_utf8(response.id()?.raw()).ok()?.parse().ok()
}

fn no_endpoint(link: &Link, why: &str) -> UpstreamFault {
    link.sent(Code::UpstreamInvalid, format!("its event stream {why}"))
}

/// Why a reference is no endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum InvalidEndpoint {
    /// Empty, too long, or not a URL.
    #[error("not a URL")]
    Url,
    /// MCP leaves this to clients; messages and credentials would go wherever the server likes.
    #[error("on another origin than the stream")]
    ForeignOrigin,
}

/// What messages are posted to: `reference`, as the stream at `url` gave it (RFC 3986, section 5.2), of
/// which only path and query can be chosen.
fn endpoint(url: &Uri, reference: &[u8]) -> Result<Uri, InvalidEndpoint> {
    let reference = std::str::from_utf8(reference).map_err(|_| InvalidEndpoint::Url)?.trim();
    // Browsers read a backslash as a slash; nobody needs one here.
    if reference.is_empty() || reference.len() > MAX_ENDPOINT || reference.contains(['\\', '#']) {
        return Err(InvalidEndpoint::Url);
    }
    let authority = reference.starts_with("//");
    let before_path = reference.split(['/', '?']).next().unwrap_or_default();
    if authority || before_path.contains(':') {
        let scheme = url.scheme_str().unwrap_or_default();
        let absolute = if authority { format!("{scheme}:{reference}") } else { reference.to_owned() };
        let absolute: Uri = absolute.parse().map_err(|_| InvalidEndpoint::Url)?;
        let (Ok(ours), Ok(theirs)) = (Origin::new(url, false), Origin::new(&absolute, false)) else {
            return Err(InvalidEndpoint::ForeignOrigin);
        };
        let same = ours.tls == theirs.tls && ours.port == theirs.port && ours.host.eq_ignore_ascii_case(&theirs.host);
        return if same { Ok(theirs.target) } else { Err(InvalidEndpoint::ForeignOrigin) };
    }
    let path = match reference.as_bytes().first() {
        Some(b'/') => reference.to_owned(),
        Some(b'?') => format!("{}{reference}", url.path()),
        _ => relative(url.path(), reference),
    };
    path.parse::<PathAndQuery>().map(Uri::from).map_err(|_| InvalidEndpoint::Url)
}

/// `reference` beside the last segment of `base`, without `.` and `..`.
fn relative(base: &str, reference: &str) -> String {
    let (path, query) = reference.split_once('?').map_or((reference, None), |(p, q)| (p, Some(q)));
    let mut segments: Vec<&str> = base.split('/').skip(1).collect();
    segments.pop();
    let last = path.split('/').count() - 1;
    for (at, segment) in path.split('/').enumerate() {
        match segment {
            "." | ".." => {
                if segment == ".." {
                    segments.pop();
                }
                if at == last {
                    segments.push("");
                }
            }
            other => segments.push(other),
        }
    }
    let path = segments.join("/");
    query.map_or_else(|| format!("/{path}"), |query| format!("/{path}?{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn endpoints_stay_where_the_stream_is() {
        let url: Uri = "http://localhost:3001/a/sse?x=1".parse().unwrap();
        for (reference, expected) in [
            ("/message?sessionId=1", Ok("/message?sessionId=1")),
            ("message?s=1", Ok("/a/message?s=1")),
            ("message?u=http://x/", Ok("/a/message?u=http://x/")),
            ("../message", Ok("/message")),
            ("../../../message", Ok("/message")),
            ("./b/..", Ok("/a/")),
            ("?s=1", Ok("/a/sse?s=1")),
            ("http://localhost:3001/message", Ok("/message")),
            ("HTTP://LOCALHOST:3001/message", Ok("/message")),
            ("//localhost:3001/message", Ok("/message")),
            ("http://localhost:3002/message", Err(InvalidEndpoint::ForeignOrigin)),
            ("https://localhost:3001/message", Err(InvalidEndpoint::ForeignOrigin)),
            ("http://127.0.0.1:3001/message", Err(InvalidEndpoint::ForeignOrigin)),
            ("http://localhost:3001@example.com/message", Err(InvalidEndpoint::ForeignOrigin)),
            ("//example.com/message", Err(InvalidEndpoint::ForeignOrigin)),
            ("file:///etc/passwd", Err(InvalidEndpoint::Url)),
            ("/\\example.com/", Err(InvalidEndpoint::Url)),
            ("/a b", Err(InvalidEndpoint::Url)),
            ("", Err(InvalidEndpoint::Url)),
        ] {
            let found = endpoint(&url, reference.as_bytes());
            assert_eq!(
                found.as_ref().map(ToString::to_string).map_err(|e| *e),
                expected.map(str::to_owned),
                "{reference}"
            );
        }
        assert_eq!(endpoint(&url, &[b'/'; MAX_ENDPOINT + 1]), Err(InvalidEndpoint::Url));
    }

    proptest! {
        #[test]
        fn whatever_is_named_only_path_and_query_are_taken(reference in "(http:|HTTPS:|//|/|\\.\\./|\\?|localhost|@|:3001|\\PC){0,12}") {
            let url: Uri = "http://localhost:3001/a/sse?x=1".parse().unwrap();
            if let Ok(found) = endpoint(&url, reference.as_bytes()) {
                prop_assert!(found.authority().is_none() && found.scheme().is_none() && found.path().starts_with('/'));
            }
        }
    }
}
