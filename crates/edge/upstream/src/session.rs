//! A conversation with one server: opened in the era that the server speaks, then one exchange per call.
//!
//! In scope: the opening exchange, ids, which members and headers a request gets, cancelling.
//! Out of scope: transports, when to open again. Source: MCP 2025-11-25, lifecycle; 2026-07-28, discovery.

use crate::adapted;
use crate::aside::{Heard, Hearers, Listener, replies_to, wanted};
use crate::event::ServerInfo;
use crate::http::http_sse;
use crate::http::peer::{self as http, Exchanged};
use crate::link::{Ending, Gone, Link, count};
use crate::spec::{ClientInfo, Launch, ServerSpec};
use crate::stdio::child::Program;
use crate::stdio::peer as stdio;
use crate::subscriptions::empty;
use crate::wire::header::{self, ParamHeader};
use crate::wire::outbound::{self, Differing, Style};
use crate::wire::trace;
use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use arc_swap::ArcSwap;
use bytes::Bytes;
use interlock_engine::Trace;
use interlock_engine::front::Aside;
use interlock_engine::ports::UpstreamFault;
use interlock_mcp::answer::quote;
use interlock_mcp::{Era, NameAt, Offers, Request, Response, Revision};
use interlock_model::Code;
use interlock_model::json::{self, Json, View};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// How long a server may take to start and to say what it speaks.
pub(crate) const OPENING: Duration = Duration::from_secs(30);

/// One call, in plain parts.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The member of the request that says what it is about, and the server's own name for that.
    pub(crate) name: Option<(NameAt, Box<str>)>,
    /// Whose it is, where calls wait in turn: those with one key wait for each other, not others for them.
    pub(crate) key: u64,
    /// The request as the agent sent it.
    pub(crate) request: Request,
    /// Replaces the request's arguments.
    pub(crate) arguments: Option<Bytes>,
    /// The server's own `requestState`.
    pub(crate) state: Option<String>,
    /// The revision that the client speaks.
    pub(crate) revision: Revision,
    /// What the client can do, a JSON object; empty for nothing.
    pub(crate) capabilities: Bytes,
    /// The mildest log lines that a legacy client wants.
    pub(crate) log_level: Option<&'static str>,
    /// How long the server may take.
    pub(crate) timeout: Duration,
    /// Where the request stands in a trace.
    pub(crate) trace: Option<Trace>,
}

/// What came of a call.
pub(crate) enum Called {
    /// The server answered.
    Answered(Response),
    /// The server had forgotten the session; the call did nothing.
    SessionGone,
}

/// An open conversation.
pub(crate) struct Session {
    pub(crate) revision: Revision,
    pub(crate) server_info: ServerInfo,
    pub(crate) gone: Arc<Gone>,
    pub(crate) offers: Offers,
    style: Style,
    peer: Peer,
    ids: AtomicU64,
    /// Tools whose calls repeat arguments as headers; only toward modern HTTP servers.
    param_headers: ArcSwap<HashMap<Box<str>, Vec<ParamHeader>>>,
    hearers: Arc<Hearers>,
    /// The request that listens, over one pipe; zero for none.
    listening: AtomicU64,
    link: Arc<Link>,
}

enum Peer {
    Http(http::Peer),
    HttpSse(http_sse::Peer),
    Stdio(stdio::Peer),
    /// No conversation: an API, called once for each call.
    Adapted(Box<adapted::Peer>),
}

/// How a server is spoken with; remembered, so that the next opening begins with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// `initialize`, over streamable HTTP or standard streams.
    Legacy,
    /// `initialize` over HTTP+SSE, the transport of revision 2024-11-05.
    HttpSse,
    /// `server/discover`.
    Modern,
}

/// Why an opening exchange in one era did not work.
enum NotOpened {
    /// The server answers, but not to this; over HTTP perhaps with no more than a status.
    Refused(String, Option<StatusCode>),
    /// It does not answer.
    Fault(UpstreamFault),
}

impl NotOpened {
    fn refused(why: impl Into<String>) -> Self {
        Self::Refused(why.into(), None)
    }
}

/// Why a request has no answer.
struct Unanswered {
    fault: UpstreamFault,
    /// The HTTP status that refused it, if that is all there was.
    status: Option<StatusCode>,
}

impl From<UpstreamFault> for Unanswered {
    fn from(fault: UpstreamFault) -> Self {
        Self { fault, status: None }
    }
}

impl From<Unanswered> for NotOpened {
    fn from(Unanswered { fault, status }: Unanswered) -> Self {
        match Self::from(fault) {
            Self::Refused(why, _) => Self::Refused(why, status),
            fault @ Self::Fault(_) => fault,
        }
    }
}

impl From<UpstreamFault> for NotOpened {
    fn from(fault: UpstreamFault) -> Self {
        // An HTTP refusal without a message may be a server that does not know the method.
        if fault.code == Code::UpstreamInvalid { Self::refused(fault.detail) } else { Self::Fault(fault) }
    }
}

impl Session {
    /// Connects and finds out what the server speaks: what it spoke last time first. Over HTTP else `server/discover`
    /// before `initialize`, which is not to be sent to a server of the newer era; a child is first sent `initialize`,
    /// since an old one may end because of a request that it does not know.
    pub(crate) async fn open(
        spec: &ServerSpec,
        client: &ClientInfo,
        link: &Arc<Link>,
        remembered: Option<Way>,
    ) -> Result<Self, UpstreamFault> {
        let deadline = Instant::now() + OPENING;
        if let Launch::Adapted { kind, document, url, headers, key_pins } = &spec.launch {
            let place = adapted::Place { kind: *kind, document, url, headers, key_pins };
            return Self::open_adapted(place, spec, link, deadline).await;
        }
        let client = client.to_json();
        let order = match remembered {
            Some(Way::Modern) => [Way::Modern, Way::Legacy, Way::HttpSse],
            Some(Way::HttpSse) => [Way::HttpSse, Way::Legacy, Way::Modern],
            None if matches!(spec.launch, Launch::Http { .. }) => [Way::Modern, Way::Legacy, Way::HttpSse],
            Some(Way::Legacy) | None => [Way::Legacy, Way::HttpSse, Way::Modern],
        };
        let mut may_be_http_sse = remembered == Some(Way::HttpSse);
        let mut refusals: Vec<String> = Vec::new();
        let mut kept: Option<Self> = None;
        for way in order {
            let opened = match way {
                Way::HttpSse if !may_be_http_sse => continue,
                Way::HttpSse => Self::open_http_sse(spec, &client, link, deadline).await,
                Way::Legacy | Way::Modern => {
                    // A child may have ended because of a request it does not know.
                    let living = kept.take().filter(|s| s.gone.ending().is_none());
                    let fresh = || {
                        count(&link.tally.connects);
                        Self::connect(spec, link)
                    };
                    let mut session = living.map_or_else(fresh, Ok)?;
                    let said = match way {
                        // As long as it is a guess, it may not cost the others their time.
                        Way::Modern if remembered != Some(Way::Modern) => {
                            session.discover(&client, deadline.min(Instant::now() + BESIDE)).await
                        }
                        Way::Modern => session.discover(&client, deadline).await,
                        Way::Legacy | Way::HttpSse => session.initialize(&client, deadline).await,
                    };
                    match said {
                        Ok(()) => Ok(session),
                        Err(NotOpened::Fault(fault)) if session.gone.ending().is_some() => {
                            Err(NotOpened::refused(fault.detail))
                        }
                        Err(why) => {
                            kept = Some(session);
                            Err(why)
                        }
                    }
                }
            };
            match opened {
                Ok(session) => return Ok(session),
                Err(NotOpened::Refused(why, status)) => {
                    // MCP 2025-11-25, transports, "Backwards compatibility": what does not take the POST may be
                    // older than streamable HTTP. A refusal that is an MCP message comes from none of those.
                    may_be_http_sse |= way == Way::Legacy
                        && matches!(
                            status,
                            Some(StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)
                        );
                    refusals.push(why);
                }
                // It is there, but this was only a guess.
                Err(NotOpened::Fault(fault)) if is_guess(way, remembered) && fault.code != Code::ServerUnavailable => {
                    refusals.push(fault.detail);
                }
                Err(NotOpened::Fault(fault)) => return Err(fault),
            }
        }
        refusals.dedup();
        Err(link.unsent(Code::ServerUnavailable, format!("cannot be talked to: {}", refusals.join("; then "))))
    }

    /// A session with an API that is no MCP server.
    async fn open_adapted(
        place: adapted::Place<'_>,
        spec: &ServerSpec,
        link: &Arc<Link>,
        deadline: Instant,
    ) -> Result<Self, UpstreamFault> {
        count(&link.tally.connects);
        let peer = adapted::Peer::open(place, spec.max_in_flight, spec.limits, link, deadline).await?;
        let server_info = peer.server_info();
        let session = Self::over(Peer::Adapted(Box::new(peer)), Arc::default(), Arc::default(), link);
        let offers = Offers { tools: true, ..Offers::default() };
        Ok(Self { revision: Revision::V2026_07_28, server_info, offers, ..session })
    }

    /// The API, where it is no MCP server.
    pub(crate) fn adapted(&self) -> Option<&adapted::Peer> {
        if let Peer::Adapted(peer) = &self.peer { Some(peer) } else { None }
    }

    /// The same server in the legacy era, beside an open modern session: clients of either era then find their own.
    /// `None` where it does not speak it, and over standard streams, where there is one conversation.
    pub(crate) async fn open_legacy(spec: &ServerSpec, client: &ClientInfo, link: &Arc<Link>) -> Option<Self> {
        let Launch::Http { .. } = &spec.launch else { return None };
        let mut session = Self::connect(spec, link).ok()?;
        session.initialize(&client.to_json(), Instant::now() + BESIDE).await.ok()?;
        Some(session)
    }

    /// A connection over which nothing was said yet.
    fn connect(spec: &ServerSpec, link: &Arc<Link>) -> Result<Self, UpstreamFault> {
        let (gone, hearers) = (Arc::new(Gone::default()), Arc::new(Hearers::default()));
        let shared = (link, &gone, &hearers);
        let peer = match &spec.launch {
            Launch::Http { url, headers, key_pins } => {
                Peer::Http(http::Peer::new((url, headers, key_pins), spec.max_in_flight, spec.limits, shared)?)
            }
            Launch::Adapted { .. } => return Err(link.unsent(Code::Internal, NO_MESSAGES)),
            Launch::Stdio { program, args, env, cwd } => Peer::Stdio(stdio::Peer::start(
                Program { path: program, args, env, cwd: cwd.as_deref() },
                spec.max_in_flight,
                spec.limits,
                shared,
            )?),
        };
        Ok(Self::over(peer, gone, hearers, link))
    }

    /// A session over HTTP+SSE, open.
    async fn open_http_sse(
        spec: &ServerSpec,
        client: &str,
        link: &Arc<Link>,
        deadline: Instant,
    ) -> Result<Self, NotOpened> {
        let Launch::Http { url, headers, key_pins } = &spec.launch else {
            return Err(NotOpened::refused("only HTTP has event streams"));
        };
        count(&link.tally.connects);
        let (gone, hearers) = (Arc::new(Gone::default()), Arc::new(Hearers::default()));
        let (place, shared) = ((url, headers.as_slice(), key_pins.as_slice()), (link, &gone, &hearers));
        let peer = http_sse::Peer::open(place, spec.max_in_flight, spec.limits, shared, deadline).await?;
        let mut session = Self::over(Peer::HttpSse(peer), gone, hearers, link);
        session.initialize(client, deadline).await?;
        Ok(session)
    }

    fn over(peer: Peer, gone: Arc<Gone>, hearers: Arc<Hearers>, link: &Arc<Link>) -> Self {
        let lines = matches!(peer, Peer::Stdio(_));
        Self {
            revision: Revision::NEWEST_LEGACY,
            server_info: ServerInfo::default(),
            gone,
            offers: Offers::default(),
            style: Style { envelope: None, lines, shared: true },
            peer,
            ids: AtomicU64::new(1),
            param_headers: ArcSwap::default(),
            hearers,
            listening: AtomicU64::new(0),
            link: link.clone(),
        }
    }

    /// How the server was found to be spoken with.
    pub(crate) const fn way(&self) -> Way {
        match (&self.peer, self.revision.era()) {
            (Peer::HttpSse(_), _) => Way::HttpSse,
            (_, Era::Legacy) => Way::Legacy,
            (_, Era::Modern) => Way::Modern,
        }
    }

    async fn initialize(&mut self, client: &str, deadline: Instant) -> Result<(), NotOpened> {
        self.style.envelope = None;
        self.style.shared = true;
        self.set_headers([(http::SESSION, None), (http::VERSION, None)]);
        let params = format!(
            "\"protocolVersion\":\"{}\",\"capabilities\":{ABLE},\"clientInfo\":{client}",
            Revision::NEWEST_LEGACY
        );
        let (response, headers) = self.exchange("initialize", &params, deadline).await?;
        let result = self.result_of(&response)?;
        let version = result.get("protocolVersion").and_then(|v| v.as_str()).unwrap_or_default();
        let revision: Revision = version
            .parse()
            .ok()
            .filter(|r: &Revision| r.era() == Era::Legacy)
            .ok_or_else(|| NotOpened::refused(format!("`initialize` was answered with revision `{version}`")))?;
        self.learn(result, revision);
        if let Some(session) = headers.and_then(|mut h| h.remove(http::SESSION)) {
            // MCP, streamable HTTP: visible ASCII only. We send it back with every request.
            let visible = session.as_bytes().iter().all(u8::is_ascii_graphic);
            if !visible || session.is_empty() || session.len() > 1024 {
                return Err(NotOpened::refused("the session id is not visible ASCII of at most 1024 bytes"));
            }
            self.set_headers([(http::SESSION, Some(session)), (http::VERSION, None)]);
        }
        if revision >= Revision::V2025_06_18 {
            let version = HeaderValue::from_static(revision.as_str());
            self.set_headers([(http::VERSION, Some(version.clone())), (http::VERSION, Some(version))]);
        }
        let initialized = outbound::notification("notifications/initialized", "", &self.style);
        match &self.peer {
            Peer::Http(peer) => peer.notify(initialized.into()).await?,
            Peer::HttpSse(peer) => peer.notify(initialized.into()).await?,
            Peer::Stdio(peer) => peer.notify(initialized.into())?,
            Peer::Adapted(_) => {}
        }
        Ok(())
    }

    async fn discover(&mut self, client: &str, deadline: Instant) -> Result<(), NotOpened> {
        self.style.envelope = Some(outbound::envelope(client).into());
        self.style.shared = self.style.lines;
        let version = HeaderValue::from_static(Revision::V2026_07_28.as_str());
        self.set_headers([(http::SESSION, None), (http::VERSION, Some(version))]);
        let (mut response, _) = self.exchange("server/discover", "", deadline).await?;
        if supports_ours(&response) {
            // It refused the revision and says that it speaks it: with several versions behind one address, both happen.
            (response, _) = self.exchange("server/discover", "", deadline).await?;
        }
        let result = self.result_of(&response)?;
        let spoken = result
            .get("supportedVersions")
            .is_some_and(|versions| versions.elements().any(|v| v.is_str(Revision::V2026_07_28.as_str())));
        if !spoken {
            return Err(NotOpened::refused("`server/discover` lists no revision known here"));
        }
        self.learn(result, Revision::V2026_07_28);
        Ok(())
    }

    fn set_headers(&self, changes: [(HeaderName, Option<HeaderValue>); 2]) {
        if let Peer::Http(peer) = &self.peer {
            peer.set_headers(changes);
        }
    }

    fn result_of<'a>(&self, response: &'a Response) -> Result<View<'a>, NotOpened> {
        response.result().ok_or_else(|| NotOpened::refused(self.link.redactor.clean(&error_text(response))))
    }

    fn learn(&mut self, result: View<'_>, revision: Revision) {
        self.revision = revision;
        let info = result.get("serverInfo").or_else(|| result.get("_meta")?.get("io.modelcontextprotocol/serverInfo"));
        let text = |name: &str| {
            let found = info.and_then(|i| i.get(name)).and_then(|v| v.as_str()).unwrap_or_default();
            self.link.redactor.clean(&found).chars().take(256).collect()
        };
        self.server_info = ServerInfo { name: text("name"), version: text("version") };
        self.offers = Offers::of(result.get("capabilities"));
    }

    /// Whether a server that is silent is better spoken with over a new connection: where there is only one, it may
    /// be that which is broken. A child that is only busy has other calls to lose, unless it failed many already.
    pub(crate) const fn dies_of_silence(&self, failed_many: bool) -> bool {
        match self.peer {
            Peer::Http(_) | Peer::Adapted(_) => false,
            Peer::HttpSse(_) => true,
            Peer::Stdio(_) => failed_many,
        }
    }

    /// Whether it has tools at all.
    pub(crate) const fn has_tools(&self) -> bool {
        self.offers.tools
    }

    /// Whether its calls need [`Session::set_param_headers`].
    pub(crate) const fn wants_param_headers(&self) -> bool {
        matches!(self.peer, Peer::Http(_)) && self.style.envelope.is_some()
    }

    pub(crate) fn set_param_headers(&self, headers: HashMap<Box<str>, Vec<ParamHeader>>) {
        if self.wants_param_headers() {
            self.param_headers.store(Arc::new(headers));
        }
    }

    /// Whether what is listened to is said by one request, and not by one for each resource.
    pub(crate) const fn listens_by_request(&self) -> bool {
        self.style.envelope.is_some()
    }

    /// Opens the stream of announcements, where the transport does not bring them by itself; toward a modern server, of
    /// these resources too, and in place of the stream before.
    pub(crate) fn listen(&self, addresses: &[Box<str>]) {
        if !self.listens_by_request() {
            if let Peer::Http(peer) = &self.peer {
                peer.listen(None);
            }
            // All that the others say comes on the one stream anyway.
            return;
        }
        let mut wanted = Vec::new();
        for (name, offered) in [
            ("toolsListChanged", self.offers.tools_changed),
            ("promptsListChanged", self.offers.prompts_changed),
            ("resourcesListChanged", self.offers.resources_changed),
        ] {
            if offered {
                wanted.push(format!("\"{name}\":true"));
            }
        }
        if !addresses.is_empty() {
            let addresses: Vec<String> = addresses.iter().map(|address| quote(address)).collect();
            wanted.push(format!("\"resourceSubscriptions\":[{}]", addresses.join(",")));
        }
        if wanted.is_empty() {
            return;
        }
        let id = self.next_id();
        let params = format!("\"notifications\":{{{}}}", wanted.join(","));
        let ask = outbound::request("subscriptions/listen", &params, &id.to_string(), b"", &self.style);
        match &self.peer {
            Peer::Http(peer) => {
                let method = HeaderValue::from_static("subscriptions/listen");
                peer.listen(Some((ask.into(), vec![(http::METHOD, method)])));
            }
            // Its answer comes only at the end, and then nobody waits for it.
            Peer::Stdio(peer) => {
                drop(peer.notify(ask.into()));
                match self.listening.swap(id, Ordering::Relaxed) {
                    0 => {}
                    before => self.cancel(before),
                }
            }
            Peer::HttpSse(_) | Peer::Adapted(_) => {}
        }
    }

    /// A request of our own.
    pub(crate) async fn ask(&self, method: &str, params: &str, deadline: Instant) -> Result<Response, UpstreamFault> {
        self.exchange(method, params, deadline).await.map(|(response, _)| response).map_err(|e| e.fault)
    }

    async fn exchange(
        &self,
        method: &str,
        params: &str,
        deadline: Instant,
    ) -> Result<(Response, Option<HeaderMap>), Unanswered> {
        let id = self.next_id();
        let body = outbound::request(method, params, &id.to_string(), b"", &self.style).into();
        let mut extra = Vec::new();
        if self.style.envelope.is_some() {
            extra.push((http::METHOD, header::encode(method)));
        }
        let exchange = async {
            let exchanged = match &self.peer {
                Peer::Stdio(peer) => return Ok((peer.request(id, body).await?, None)),
                Peer::Http(peer) => peer.request(id, body, extra, deadline, None).await?,
                Peer::HttpSse(peer) => peer.request(id, body, deadline).await?,
                Peer::Adapted(_) => return Err(self.link.unsent(Code::Internal, NO_MESSAGES).into()),
            };
            match exchanged {
                Exchanged::Answered(answer) => Ok((answer.0, Some(answer.1))),
                Exchanged::SessionGone => Err(self.forgotten().into()),
                Exchanged::Refused(status, fault) => Err(Unanswered { fault, status: Some(status) }),
            }
        };
        let slow = || self.link.sent(Code::UpstreamTimeout, format!("did not answer `{method}` in time"));
        timeout_at(deadline, exchange).await.unwrap_or_else(|_| Err(slow().into()))
    }

    fn forgotten(&self) -> UpstreamFault {
        self.gone.set(Ending::Forgotten, &self.link);
        self.link.unsent(Code::ServerUnavailable, Ending::Forgotten.to_string())
    }

    /// Sends one call and waits for its answer, for as long as `patience` lasts between signs of life. Dropping the
    /// future, or running out of time, cancels the call at the server.
    ///
    /// A modern server that asks for input is answered for a legacy client, which knows questions only as requests:
    /// its replies go up in another leg.
    pub(crate) async fn call(
        &self,
        call: &Call,
        patience: Duration,
        client: &dyn Aside,
    ) -> Result<Called, UpstreamFault> {
        if let Peer::Adapted(peer) = &self.peer {
            return peer.call(call, self.next_id(), patience).await.map(Called::Answered);
        }
        if self.style.envelope.is_some() && call.request.method() == "logging/setLevel" {
            // Here each request says what it wants to be told.
            return empty().map(Called::Answered).ok_or_else(|| self.refuse(Code::Internal, "no answer"));
        }
        let mut replies: Option<(Vec<u8>, Option<Bytes>)> = None;
        for _ in 0..MAX_LEGS {
            let called = self.leg(call, replies.as_ref(), patience, client).await?;
            let Called::Answered(response) = &called else { return Ok(called) };
            let Some((questions, state)) = wanted(response).filter(|_| call.revision.era() == Era::Legacy) else {
                return Ok(called);
            };
            let state = state.map(|state| response.bytes().slice(state.span()));
            let said = match questions {
                Some(questions) => replies_to(client, questions).await,
                None => Ok(b"{}".to_vec()),
            };
            let said = said.map_err(|no| UpstreamFault { code: no.code, sent: true, detail: no.reason })?;
            replies = Some((said, state));
        }
        Err(self.link.sent(Code::UpstreamInvalid, "asks for more and more input"))
    }

    async fn leg(
        &self,
        call: &Call,
        replies: Option<&(Vec<u8>, Option<Bytes>)>,
        patience: Duration,
        client: &dyn Aside,
    ) -> Result<Called, UpstreamFault> {
        let id = self.next_id();
        let differing = Differing {
            name: call.name.as_ref().map(|(at, name)| (*at, &**name)),
            arguments: call.arguments.as_deref(),
            state: call.state.as_deref().filter(|_| replies.is_none()),
            capabilities: &call.capabilities,
            replies: replies.map(|(said, state)| (&said[..], state.as_deref())),
            log_level: call.log_level.filter(|_| self.offers.logging),
        };
        let body = outbound::call(&call.request, &differing, &id.to_string(), &self.style)
            .ok_or_else(|| self.link.unsent(Code::Internal, "a call that does not name what it is about"))?;
        let mut waiting = Waiting { session: self, id, waits: true };
        let heard = Arc::new(Heard::default());
        // Over HTTP, a request's own stream brings what is about it; only a question may come on the common one.
        let alone = matches!(self.peer, Peer::Http(_)) && call.capabilities.is_empty();
        let _hearing = (!alone).then(|| self.hearers.join(id, &heard));
        let deadline = Instant::now() + patience;
        let exchange = async {
            let exchanged = match &self.peer {
                Peer::Stdio(peer) => return peer.request(id, body.into()).await.map(Called::Answered),
                Peer::Http(peer) => {
                    let headers = self.call_headers(call);
                    peer.request(id, body.into(), headers, deadline, Some(&heard)).await?
                }
                Peer::HttpSse(peer) => peer.request(id, body.into(), deadline).await?,
                Peer::Adapted(_) => return Err(self.link.unsent(Code::Internal, NO_MESSAGES)),
            };
            match exchanged {
                Exchanged::Answered(answer) => Ok(Called::Answered(answer.0)),
                Exchanged::SessionGone => {
                    self.forgotten();
                    Ok(Called::SessionGone)
                }
                Exchanged::Refused(_, fault) => Err(fault),
            }
        };
        let listener = Listener::new(&heard, client, &call.request, (&self.link, self.style.shared, self.style.lines));
        let called = match self.listen_until(exchange, listener, patience).await {
            Some(called) => called,
            None => return Err(self.link.sent(Code::UpstreamTimeout, "did not answer the call in time")),
        };
        // Too large an answer may still be on its way, so that call is cancelled too.
        waiting.waits = matches!(&called, Err(fault) if fault.code == Code::UpstreamTooLarge);
        if let Ok(Called::Answered(response)) = &called
            && response.error().and_then(|e| e.get("code")?.as_i64()) == Some(HEADER_MISMATCH)
        {
            // The annotations are not those that were listed: list again before the next call.
            self.link.changed();
        }
        called
    }

    /// What `exchange` brings, while all that is said before it is handed over; `None` if the server was silent for too
    /// long, or took too long in all. Time in which it waits for the client is not its own.
    async fn listen_until<T>(
        &self,
        exchange: impl Future<Output = T>,
        mut listener: Listener<'_>,
        patience: Duration,
    ) -> Option<T> {
        let begun = Instant::now();
        let last = begun + patience.saturating_mul(MAX_PATIENCE);
        let mut exchange = std::pin::pin!(exchange);
        let mut silence = std::pin::pin!(sleep_until(begun + patience));
        std::future::poll_fn(|cx| {
            let done = exchange.as_mut().poll(cx);
            // Also where it is done: what came before the answer is heard before it.
            let turn = listener.poll(cx);
            for reply in turn.replies {
                self.say(reply.into());
            }
            if let Poll::Ready(done) = done {
                return Poll::Ready(Some(done));
            }
            let now = Instant::now();
            if turn.alive {
                silence.as_mut().reset((now + patience).min(last));
            }
            match silence.as_mut().poll(cx) {
                Poll::Ready(()) if listener.is_asked() => {
                    silence.as_mut().reset(now + patience);
                    let _again = silence.as_mut().poll(cx);
                    Poll::Pending
                }
                Poll::Ready(()) => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// A fault of ours, before anything was sent.
    pub(crate) fn refuse(&self, code: Code, why: &str) -> UpstreamFault {
        self.link.unsent(code, why)
    }

    /// Sends a message that has no answer, whatever becomes of it.
    fn say(&self, message: Bytes) {
        match &self.peer {
            Peer::Stdio(peer) => drop(peer.notify(message)),
            Peer::Http(peer) => peer.notify_aside(message),
            Peer::HttpSse(peer) => peer.say(message),
            Peer::Adapted(_) => {}
        }
    }

    /// The headers that say where this call stands in a trace, and those that repeat parts of its body; none of the
    /// latter toward a legacy server.
    fn call_headers(&self, call: &Call) -> Vec<(HeaderName, HeaderValue)> {
        let mut headers = call.trace.as_ref().map(trace::headers).unwrap_or_default();
        if self.style.envelope.is_none() {
            return headers;
        }
        headers.push((http::METHOD, header::encode(call.request.method())));
        let Some((at, name)) = &call.name else { return headers };
        if matches!(at, NameAt::Name | NameAt::Uri | NameAt::TaskId) {
            headers.push((http::NAME, header::encode(name)));
        }
        let annotated = self.param_headers.load();
        let Some(wanted) = annotated.get(name).filter(|_| call.request.method() == "tools/call") else {
            return headers;
        };
        match &call.arguments {
            // Replaced arguments were checked where they were made.
            Some(bytes) => {
                if let Ok(replaced) = Json::parse(bytes, json::Limits::REQUEST) {
                    headers.extend(wanted.iter().filter_map(|h| h.of(replaced.root())));
                }
            }
            None => {
                if let Some(given) = call.request.param("arguments") {
                    headers.extend(wanted.iter().filter_map(|h| h.of(given)));
                }
            }
        }
        headers
    }

    fn cancel(&self, id: u64) {
        let message = outbound::cancelled(id, "no longer waited for", &self.style);
        match &self.peer {
            Peer::Stdio(peer) => drop(peer.notify(message.into())),
            // Toward a modern server, closing the stream is the cancellation.
            Peer::Http(peer) if self.style.envelope.is_none() => peer.notify_aside(message.into()),
            Peer::Http(_) | Peer::Adapted(_) => {}
            Peer::HttpSse(peer) => peer.notify_aside(message.into()),
        }
    }

    /// Unique in this session: servers may not see two equal ids, whoever asked.
    fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Ends the session and what belongs to it.
    pub(crate) async fn close(&self) {
        match &self.peer {
            Peer::Http(peer) => peer.close().await,
            Peer::HttpSse(peer) => peer.close(),
            Peer::Stdio(peer) => peer.close().await,
            Peer::Adapted(_) => {}
        }
    }
}

/// Where a message would go to an API that is no MCP server.
const NO_MESSAGES: &str = "an API that takes no messages";

/// What we say that a client can do: all that can be handed on. A client that cannot answers so.
const ABLE: &str = r#"{"roots":{},"sampling":{},"elicitation":{"form":{},"url":{}}}"#;

/// Whether an error is -32022 and lists the modern revision known here (2026-07-28, basic/versioning).
fn supports_ours(response: &Response) -> bool {
    const UNSUPPORTED: i64 = interlock_mcp::RpcError::UNSUPPORTED_REVISION as i64;
    response.error().is_some_and(|error| {
        let ours = |supported: View<'_>| supported.elements().any(|v| v.is_str(Revision::V2026_07_28.as_str()));
        error.get("code").and_then(|code| code.as_i64()) == Some(UNSUPPORTED)
            && error.get("data").and_then(|data| data.get("supported")).is_some_and(ours)
    })
}

/// Whether trying this way is no more than a guess.
fn is_guess(way: Way, remembered: Option<Way>) -> bool {
    way == Way::HttpSse || (way == Way::Modern && remembered != Some(Way::Modern))
}

/// How long a server may take to say whether it speaks another era.
const BESIDE: Duration = Duration::from_secs(3);

/// Most legs of one call.
const MAX_LEGS: usize = 8;

/// So many times the patience with a silent server, one that keeps showing progress may take in all.
const MAX_PATIENCE: u32 = 30;

const HEADER_MISMATCH: i64 = interlock_mcp::RpcError::HEADER_MISMATCH as i64;

/// A call that waits; dropped while it does, it is cancelled at the server.
struct Waiting<'a> {
    session: &'a Session,
    id: u64,
    waits: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.waits {
            self.session.cancel(self.id);
        }
    }
}

/// An error response, for people.
pub(crate) fn error_text(response: &Response) -> String {
    let member = |name: &str| response.error().and_then(|e| e.get(name));
    let code = member("code").map(|c| String::from_utf8_lossy(c.raw()).into_owned()).unwrap_or_default();
    let message = member("message").and_then(|m| m.as_str().map(|s| s.into_owned())).unwrap_or_default();
    format!("error {code}: {message}")
}
