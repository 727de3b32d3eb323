//! One request from its head to its response.

use super::agreement::{self, VERSION};
use super::body::{self, Answer, BodyFault, Exchange};
use super::connection::Busy;
use super::events;
use super::guard::Guard;
use super::listen;
use super::load::{Held, Load};
use super::outbox::{self, Outbox};
use super::reply::{self, Refusal};
use super::run_on::RunOn;
use super::session::{NotOpened, Session, Sessions};
use super::trace::trace;
use super::{HttpOptions, Published};
use crate::flight::Grounded;
use crate::legacy::Opened;
use crate::parking::{self, Desk, Leg, ModernSide, Parking, Running};
use crate::side::LegacySide;
use crate::subscription::{Listening, is_listen};
use crate::{batch, era, legacy, modern};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request as HttpRequest, Response, StatusCode, header};
use hyper::body::Incoming;
use interlock_engine::front::{Caller, Deaf, Endpoint, Governed, NotIdentified};
use interlock_identity::Principal;
use interlock_mcp::{Era, Frame, FrameError, Notification, Request, Revision, RpcError};
use interlock_model::Code;
use interlock_model::json::Limits;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::sync::watch;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// Everything that the connections of one front share.
pub(super) struct Front<G> {
    pub(super) governed: Arc<G>,
    pub(super) options: HttpOptions,
    pub(super) published: Published,
    pub(super) guard: Guard,
    pub(super) sessions: Sessions,
    pub(super) parking: Arc<Parking<Arc<Outbox>>>,
    pub(super) load: Arc<Load>,
    /// HTTP/2 streams of all connections.
    pub(super) streams: Arc<Load>,
    pub(super) started: Instant,
    pub(super) stopping: watch::Receiver<bool>,
}

/// Who asks, where, and how their request began.
struct Asked {
    head: Parts,
    endpoint: Endpoint,
    principal: Principal,
    received_us: u64,
}

impl Asked {
    /// The caller that a legacy session is.
    fn caller_of(&self, session: &Session) -> Caller {
        let log_level = Some(session.shared.level.name());
        Caller { log_level, ..self.caller(session.revision, session.capabilities.clone()) }
    }

    fn caller(&self, revision: Revision, capabilities: Bytes) -> Caller {
        Caller {
            log_level: None,
            principal: self.principal.clone(),
            endpoint: self.endpoint.clone(),
            revision,
            capabilities,
            trace: trace(&self.head.headers),
            received_us: self.received_us,
        }
    }

    /// Whether the client takes a stream of events as an answer.
    fn takes_events(&self) -> bool {
        self.head.headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|value| {
            value
                .split(',')
                .map(|kind| kind.split(';').next().unwrap_or_default().trim())
                .any(|kind| ["text/event-stream", "text/*", "*/*"].iter().any(|taken| kind.eq_ignore_ascii_case(taken)))
        })
    }

    fn outbox(&self) -> Arc<Outbox> {
        if self.takes_events() { Arc::default() } else { Outbox::closed() }
    }

    fn version(&self) -> Result<Option<&str>, Refusal> {
        agreement::single(&self.head.headers, &VERSION).map_err(Refusal::bad)
    }
}

impl<G: Governed> Front<G> {
    /// Answers one request. `busy` keeps the connection open meanwhile.
    pub(super) async fn handle(self: Arc<Self>, request: HttpRequest<Incoming>, busy: Busy) -> Response<Answer> {
        let (head, body) = request.into_parts();
        let answered = match head.uri.path() {
            "/healthz" if matches!(head.method, Method::GET | Method::HEAD) => {
                return reply::json(StatusCode::OK, Bytes::from_static(br#"{"status":"ok"}"#));
            }
            "/log/checkpoint" if head.method == Method::GET => self.checkpoint(&head),
            "/mcp" => self.mcp(Endpoint::All, head, body, busy).await,
            path => match path.strip_prefix("/mcp/").map(str::parse) {
                Some(Ok(server)) => self.mcp(Endpoint::Server(server), head, body, busy).await,
                _ => Err(nothing_here()),
            },
        };
        answered.unwrap_or_else(Refusal::respond)
    }

    fn checkpoint(&self, head: &Parts) -> Result<Response<Answer>, Refusal> {
        self.check_origin(head)?;
        (self.published.checkpoint)().map(reply::text).ok_or_else(nothing_here)
    }

    fn check_origin(&self, head: &Parts) -> Result<(), Refusal> {
        self.guard.check(head.version, &head.uri, &head.headers).map_err(|e| Refusal::new(StatusCode::FORBIDDEN, e))
    }

    async fn mcp(
        &self,
        endpoint: Endpoint,
        head: Parts,
        body: Incoming,
        busy: Busy,
    ) -> Result<Response<Answer>, Refusal> {
        let principal = match self.admit(&head, &endpoint) {
            Ok(principal) => principal,
            Err(refusal) => {
                body::discard(&head.headers, body);
                return Err(refusal);
            }
        };
        let mut asked = Asked { head, endpoint, principal, received_us: 0 };
        match asked.head.method {
            Method::POST => {
                let (text, held) = self.read(&asked.head.headers, body).await?;
                asked.received_us = self.governed.monotonic_us();
                self.post(asked, text, held).await
            }
            Method::GET => self.listen(&asked, busy),
            Method::DELETE => self.end(&asked),
            _ => Err(not_allowed()),
        }
    }

    /// Everything that is checked before the body is looked at.
    fn admit(&self, head: &Parts, endpoint: &Endpoint) -> Result<Principal, Refusal> {
        self.check_origin(head)?;
        let principal = self.identify(&head.headers)?;
        if !self.governed.has_endpoint(endpoint) {
            return Err(Refusal::new(StatusCode::NOT_FOUND, era::no_such_endpoint()));
        }
        Ok(principal)
    }

    fn identify(&self, headers: &HeaderMap) -> Result<Principal, Refusal> {
        let refuse = |refusal: NotIdentified| {
            let status = match refusal.code {
                Code::AgentNotActive => StatusCode::FORBIDDEN,
                _ => StatusCode::UNAUTHORIZED,
            };
            Refusal::new(status, era::not_identified(refusal))
        };
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let presented = match (values.next(), values.next()) {
            (None, _) => None,
            // Something was presented that is no bearer key: that is a wrong key, not the lack of one.
            (Some(value), None) => {
                Some(bearer(value).ok_or_else(|| refuse(NotIdentified { code: Code::Unauthenticated }))?)
            }
            (Some(_), Some(_)) => return Err(refuse(NotIdentified { code: Code::Unauthenticated })),
        };
        self.governed.identify(presented).map_err(refuse)
    }

    async fn read(&self, headers: &HeaderMap, body: Incoming) -> Result<(Bytes, Held), Refusal> {
        // A page can post text/plain or a form anywhere without being asked; application/json it cannot.
        if !headers.get(header::CONTENT_TYPE).is_some_and(is_json) {
            body::discard(headers, body);
            return Err(Refusal::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                RpcError::new(RpcError::INVALID_REQUEST, Code::Malformed, "the Content-Type is not application/json"),
            ));
        }
        let options = &self.options;
        body::read(headers, body, options.message_bytes, options.body_timeout, &self.load).await.map_err(|fault| {
            match fault {
                BodyFault::TooLarge => {
                    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, era::too_large(options.message_bytes))
                }
                BodyFault::NoRoom => Refusal::new(StatusCode::SERVICE_UNAVAILABLE, era::overloaded()),
                BodyFault::TooSlow => Refusal::new(
                    StatusCode::REQUEST_TIMEOUT,
                    RpcError::new(RpcError::INVALID_REQUEST, Code::Malformed, "the body did not arrive in time"),
                ),
                BodyFault::Broken => {
                    Refusal::bad(RpcError::new(RpcError::PARSE, Code::Malformed, "the body is incomplete"))
                }
            }
        })
    }

    async fn post(&self, asked: Asked, text: Bytes, held: Held) -> Result<Response<Answer>, Refusal> {
        match Frame::parse(text.clone(), Limits::REQUEST) {
            Ok(Frame::Request(request)) => {
                let id = request.id().clone();
                let version = asked.version().map_err(|r| r.to(&id))?;
                let era = era::classify(version, request.params()).map_err(|e| Refusal::bad(e).to(&id))?;
                match era {
                    Era::Modern => self.modern_request(&asked, request, held).await.map_err(|r| r.to(&id)),
                    Era::Legacy => self.legacy_request(&asked, request, held).await,
                }
            }
            Ok(Frame::Notification(notification)) => self.notification(&asked, &notification),
            // A reply to nothing that was asked is accepted all the same, as the transport says.
            Ok(Frame::Response(response)) => match asked.version()?.map(str::parse::<Revision>) {
                Some(Ok(revision)) if revision.era() == Era::Modern => {
                    Err(Refusal::bad(era::unreadable(FrameError::Form)))
                }
                Some(Err(_)) => Err(Refusal::bad(era::unreadable(FrameError::Form))),
                None | Some(Ok(_)) => {
                    self.session(&asked)?.shared.questions.reply(response);
                    Ok(reply::empty(StatusCode::ACCEPTED))
                }
            },
            Err(FrameError::Batch) => self.batch(&asked, &text, held).await,
            Err(error) => Err(Refusal::bad(era::unreadable(error))),
        }
    }

    /// 2026-07-28. The future is dropped when the client closes the stream, and that is the cancel.
    async fn modern_request(&self, asked: &Asked, request: Request, held: Held) -> Result<Response<Answer>, Refusal> {
        let headers = &asked.head.headers;
        let revision = modern::check_envelope(request.params(), Some(asked.version()?)).map_err(Refusal::bad)?;
        agreement::check(headers, &request).map_err(Refusal::bad)?;
        let caller = asked.caller(revision, modern::capabilities(&request));
        if request.method() == "tools/call"
            && let Some(tool) = request.param("name").and_then(|n| n.as_str())
            && let Some(mirrored) = self.governed.mirrored(&caller, &tool)
        {
            agreement::check_mirrored(headers, &request, &mirrored).map_err(Refusal::bad)?;
        }
        if is_listen(request.method()) {
            return self.subscriptions(caller, &request).await;
        }
        let permit = self.load.call().ok_or_else(overloaded)?;
        if !modern::may_hear(&request) {
            let (status, message) = modern::answer(&*self.governed, caller, request, &Deaf).await;
            drop((held, permit));
            return Ok(reply::json(status, message));
        }
        let leg = Leg {
            id: request.id().clone(),
            principal: asked.principal.clone(),
            endpoint: asked.endpoint.clone(),
            about: parking::about(&request),
        };
        let running = match self.parking.resume(&request, &leg) {
            Some(resumed) => {
                let running = resumed.map_err(|e| Refusal::new(StatusCode::OK, e))?;
                if asked.takes_events() {
                    running.sink.reopen();
                }
                running
            }
            None => {
                let (desk, outbox) = (Arc::<Desk>::default(), asked.outbox());
                let level = modern::level(&request);
                let side = ModernSide::new(outbox.clone(), desk.clone(), level, self.options.question_timeout);
                let governed = self.governed.clone();
                Running::new(async move { modern::answer(&*governed, caller, request, &side).await }, desk, outbox)
            }
        };
        let outbox = running.sink.clone();
        let parking = self.parking.clone();
        let mut work = Box::pin(async move {
            let answered = parking.run(running, leg).await;
            drop((held, permit));
            answered
        });
        tokio::select! {
            biased;
            (status, message) = &mut work => if let Some(message) = outbox.finish(message, false) {
                return Ok(reply::json(status, message));
            },
            () = outbox.first() => {
                let rest = Box::pin(async move { work.await.1 });
                let exchange = Exchange::new(outbox, Some(rest), self.options.keep_alive);
                return Ok(outbox::stream(Answer::Exchange(exchange)));
            }
        }
        Ok(outbox::stream(Answer::Exchange(Exchange::new(outbox, None, self.options.keep_alive))))
    }

    /// The stream of what a modern client listens to; it takes no place among the requests under way.
    async fn subscriptions(&self, caller: Caller, request: &Request) -> Result<Response<Answer>, Refusal> {
        // Before it is opened, so that nothing is missed between the two.
        let sources = listen::Sources {
            catalog_epoch: self.published.catalog_epoch.clone(),
            notices: self.published.notices.subscribe(),
            stopping: self.stopping.clone(),
            keep_alive: self.options.keep_alive,
        };
        let listening =
            Listening::open(&self.governed, caller, request).await.map_err(|e| Refusal::new(StatusCode::OK, e))?;
        Ok(listen::open(listening, sources))
    }

    async fn legacy_request(&self, asked: &Asked, request: Request, held: Held) -> Result<Response<Answer>, Refusal> {
        if request.method() == "initialize" {
            return self.initialize(asked, &request);
        }
        let id = request.id().clone();
        let session = self.session(asked).map_err(|r| r.to(&id))?;
        let outbox = asked.outbox();
        let caller = asked.caller_of(&session);
        let work = self.work(&session, caller, request, &outbox)?;
        let streaming = Arc::new(AtomicBool::new(false));
        let (sent, streams) = (outbox.clone(), streaming.clone());
        let mut message = RunOn::new(async move {
            let message = work.await;
            drop(held);
            sent.finish(message, streams.load(Ordering::Acquire))
        });
        let every = self.options.keep_alive;
        // Only once the stream is one may the work go on by itself: it then knows where its answer belongs.
        // A call that is silent for so long becomes a stream too, for the comments that keep its connection.
        let silent = tokio::time::sleep(every);
        tokio::select! {
            biased;
            message = &mut message => if let Some(message) = message {
                return Ok(reply::json(StatusCode::OK, message));
            },
            () = outbox.first() => streaming.store(true, Ordering::Release),
            () = silent, if asked.takes_events() => streaming.store(true, Ordering::Release),
        }
        Ok(outbox::stream(Answer::Exchange(Exchange::new(outbox, None, every))))
    }

    /// The whole work of a legacy request; it goes on if the connection ends.
    fn work(
        &self,
        session: &Arc<Session>,
        caller: Caller,
        request: Request,
        outbox: &Arc<Outbox>,
    ) -> Result<impl Future<Output = Bytes> + Send + use<G>, Refusal> {
        let id = request.id().clone();
        let permit = self.load.call().ok_or_else(|| overloaded().to(&id))?;
        let flight = session.flights.start(&id).map_err(|grounded| match grounded {
            Grounded::Duplicate => Refusal::bad(legacy::duplicate_id()),
            Grounded::Full => overloaded().to(&id),
        })?;
        let governed = self.governed.clone();
        let side = LegacySide::new(outbox.clone(), session.shared.clone(), self.options.question_timeout);
        Ok(async move {
            let answer = flight.run(legacy::answer(&governed, caller, request, side)).await;
            drop(permit);
            answer.unwrap_or_else(|| legacy::cancelled().to_frame(Some(&id)))
        })
    }

    fn initialize(&self, asked: &Asked, request: &Request) -> Result<Response<Answer>, Refusal> {
        let offers = self.governed.offers(&asked.endpoint);
        let Opened { revision, capabilities, message } = legacy::initialize(request, Revision::V2025_03_26, offers)
            .map_err(|e| Refusal::new(StatusCode::OK, e).to(request.id()))?;
        let session = self
            .sessions
            .open(&asked.principal, asked.endpoint.clone(), (revision, capabilities), self.now_ms())
            .map_err(|refused| match refused {
                NotOpened::Full => overloaded(),
                NotOpened::NoEntropy => Refusal::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    RpcError::new(RpcError::INTERNAL, Code::Internal, "the system gave no random bytes"),
                ),
            })
            .map_err(|r| r.to(request.id()))?;
        let mut response = reply::json(StatusCode::OK, message);
        if let Ok(id) = HeaderValue::try_from(session.id()) {
            response.headers_mut().insert(SESSION, id);
        }
        Ok(response)
    }

    fn notification(&self, asked: &Asked, notification: &Notification) -> Result<Response<Answer>, Refusal> {
        let version = asked.version()?;
        match era::classify(version, notification.params()).map_err(Refusal::bad)? {
            Era::Modern => {
                let claimed = era::claimed(notification.params()).and_then(|v| v.as_str());
                if claimed.is_some_and(|claimed| version != Some(&*claimed)) {
                    return Err(Refusal::bad(modern::mismatch(
                        "the header MCP-Protocol-Version is not the envelope's",
                    )));
                }
                agreement::check_method(&asked.head.headers, notification.method()).map_err(Refusal::bad)?;
            }
            Era::Legacy => {
                let session = self.session(asked)?;
                if let Some(id) = legacy::cancelled_id(notification) {
                    session.flights.cancel(id);
                }
            }
        }
        Ok(reply::empty(StatusCode::ACCEPTED))
    }

    async fn batch(&self, asked: &Asked, text: &Bytes, held: Held) -> Result<Response<Answer>, Refusal> {
        let not_here = || Refusal::bad(era::unreadable(FrameError::Batch));
        if asked.version()?.is_some_and(|v| v != Revision::V2025_03_26.as_str()) {
            return Err(not_here());
        }
        let session = self.session(asked)?;
        if session.revision != Revision::V2025_03_26 {
            return Err(not_here());
        }
        let mut work = Vec::new();
        for frame in batch::split(text).map_err(Refusal::bad)? {
            let begun =
                match frame {
                    Ok(Frame::Request(request)) if request.method() == "initialize" => Err(Refusal::bad(
                        RpcError::new(RpcError::INVALID_REQUEST, Code::Malformed, "`initialize` may not be in a batch"),
                    )
                    .to(request.id())),
                    Ok(Frame::Request(request)) => {
                        let caller = asked.caller_of(&session);
                        // A batch is one body, so that nothing comes before its answers.
                        self.work(&session, caller, request, &Outbox::closed())
                    }
                    Ok(Frame::Notification(notification)) => {
                        if let Some(id) = legacy::cancelled_id(&notification) {
                            session.flights.cancel(id);
                        }
                        continue;
                    }
                    Ok(Frame::Response(response)) => {
                        session.shared.questions.reply(response);
                        continue;
                    }
                    Err(error) => Err(Refusal::bad(era::unreadable(error))),
                };
            work.push(async move {
                Some(match begun {
                    Ok(work) => work.await,
                    Err(refusal) => refusal.error.to_frame(refusal.id.as_ref()),
                })
            });
        }
        let answers = RunOn::new(async move {
            let answers = batch::answer(work.into_iter()).await;
            drop(held);
            answers
        });
        Ok(match answers.await {
            Some(message) => reply::json(StatusCode::OK, message),
            None => reply::empty(StatusCode::ACCEPTED),
        })
    }

    /// The session that a request names, if it is its sender's.
    fn session(&self, asked: &Asked) -> Result<Arc<Session>, Refusal> {
        let unknown = |status, message: &str| {
            Refusal::new(status, RpcError::new(RpcError::INVALID_REQUEST, Code::UnknownSession, message))
        };
        let id = agreement::single(&asked.head.headers, &SESSION).map_err(Refusal::bad)?.ok_or_else(|| {
            unknown(StatusCode::BAD_REQUEST, "the header Mcp-Session-Id is missing; initialize first")
        })?;
        let session = self
            .sessions
            .find(id, &asked.principal, &asked.endpoint, self.now_ms())
            .ok_or_else(|| unknown(StatusCode::NOT_FOUND, "the session is not known; initialize again"))?;
        session.touch(self.now_ms());
        Ok(session)
    }

    fn listen(&self, asked: &Asked, busy: Busy) -> Result<Response<Answer>, Refusal> {
        self.legacy_only(asked)?;
        let streaming = self.session(asked)?.stream().ok_or_else(|| {
            Refusal::new(
                StatusCode::CONFLICT,
                RpcError::new(RpcError::INVALID_REQUEST, Code::Malformed, "the session has an event stream already"),
            )
        })?;
        let sources = events::Sources {
            catalog_epoch: self.published.catalog_epoch.clone(),
            notices: self.published.notices.subscribe(),
            stopping: self.stopping.clone(),
            keep_alive: self.options.keep_alive,
            started: self.started,
        };
        Ok(events::open(streaming, busy, sources))
    }

    fn end(&self, asked: &Asked) -> Result<Response<Answer>, Refusal> {
        self.legacy_only(asked)?;
        let session = self.session(asked)?;
        self.sessions.end(&session);
        Ok(reply::empty(StatusCode::NO_CONTENT))
    }

    /// GET and DELETE belong to sessions, which only the legacy revisions have.
    fn legacy_only(&self, asked: &Asked) -> Result<(), Refusal> {
        match asked.version()?.map(str::parse::<Revision>) {
            None => Ok(()),
            Some(Ok(revision)) if revision.era() == Era::Legacy => Ok(()),
            Some(_) => Err(not_allowed()),
        }
    }

    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

pub(super) fn overloaded() -> Refusal {
    Refusal::new(StatusCode::SERVICE_UNAVAILABLE, era::overloaded())
}

fn nothing_here() -> Refusal {
    Refusal::new(
        StatusCode::NOT_FOUND,
        RpcError::new(
            RpcError::INVALID_REQUEST,
            Code::UnknownMethod,
            "nothing is served at this path; MCP is at `/mcp`",
        ),
    )
}

fn not_allowed() -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        RpcError::new(RpcError::INVALID_REQUEST, Code::UnknownMethod, "this HTTP method is not served here; use POST"),
    )
}

/// The key of `Bearer <key>`.
pub(super) fn bearer(value: &HeaderValue) -> Option<&str> {
    let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
    let key = key.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then_some(key)
}

pub(super) fn is_json(value: &HeaderValue) -> bool {
    let kind = value.to_str().unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}
