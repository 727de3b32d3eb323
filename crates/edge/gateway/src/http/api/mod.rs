//! The API beside the MCP port: decisions for callers that act themselves, and whether the gateway is ready.
//!
//! In scope: paths, who asks, limits, statuses. Out of scope: the console; what a question means (`evaluation`).
//! Source: OpenID AuthZEN, Authorization API 1.0, "Transport" and "Policy Decision Point Metadata".

mod evaluation;

use super::HttpOptions;
use super::accept;
use super::body::{self, Answer, BodyFault};
use super::connection::Busy;
use super::guard::Guard;
use super::load::{Held, Load};
use super::reply;
use super::service::{bearer, is_json};
use super::serving::Serving;
use bytes::Bytes;
use evaluation::{Batch, Fault, Question};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use interlock_engine::authorize::Authorizes;
use interlock_engine::front::{Caller, Endpoint};
use interlock_identity::Principal;
use interlock_mcp::Revision;
use interlock_model::Code;
use interlock_model::json::{Json, Limits};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Instant;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const BEARER: HeaderValue = HeaderValue::from_static("Bearer");
const SOON: HeaderValue = HeaderValue::from_static("1");

/// All that is served here.
const PATHS: [&str; 6] = [
    "/readyz",
    "/.well-known/authzen-configuration",
    "/api/v1/authorize",
    "/api/v1/authorize/evaluations",
    "/access/v1/evaluation",
    "/access/v1/evaluations",
];

/// Everything that the connections of the API share.
struct Api<G> {
    governed: Arc<G>,
    options: HttpOptions,
    guard: Guard,
    load: Arc<Load>,
    streams: Arc<Load>,
    started: Instant,
}

/// Serves the API on `listeners` until `shutdown` ends and what is under way has finished, at most
/// [`HttpOptions::drain`] later.
pub async fn serve_api<G: Authorizes>(
    listeners: Vec<TcpListener>,
    governed: Arc<G>,
    options: HttpOptions,
    shutdown: impl Future<Output = ()> + Send,
) {
    let (stop, stopping) = watch::channel(false);
    let slots = Arc::new(Semaphore::new(options.connections.min(Semaphore::MAX_PERMITS)));
    let api = Arc::new(Api {
        guard: Guard::new(&options.allowed_hosts, &options.allowed_origins),
        load: Load::new(options.in_flight, options.buffered_bytes),
        streams: Load::new(options.connections, 0),
        started: Instant::now(),
        governed,
        options,
    });
    let mut accepting: JoinSet<()> =
        listeners.into_iter().map(|l| accept(api.clone(), l, slots.clone(), stopping.clone())).collect();
    shutdown.await;
    stop.send_replace(true);
    let _ = tokio::time::timeout(api.options.drain, async {
        while accepting.join_next().await.is_some() {}
        // Questions whose callers have hung up.
        api.load.idle().await;
    })
    .await;
}

impl<G: Authorizes> Serving for Api<G> {
    fn options(&self) -> &HttpOptions {
        &self.options
    }

    fn started(&self) -> Instant {
        self.started
    }

    fn streams(&self) -> &Arc<Load> {
        &self.streams
    }

    async fn handle(self: Arc<Self>, request: Request<Incoming>, _: Busy) -> Response<Answer> {
        let (head, body) = request.into_parts();
        let id = head.headers.get(REQUEST_ID).cloned();
        let mut response = self.answer(&head, body).await.unwrap_or_else(refuse);
        if let Some(id) = id {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }
}

impl<G: Authorizes> Api<G> {
    async fn answer(&self, head: &Parts, body: Incoming) -> Result<Response<Answer>, Fault> {
        let reads = matches!(head.method, Method::GET | Method::HEAD);
        let asks = head.method == Method::POST;
        match head.uri.path() {
            // For whoever starts and restarts processes, under whatever name they reach this one: it tells nothing else.
            "/readyz" if reads => Ok(self.ready()),
            "/.well-known/authzen-configuration" if reads => self.metadata(head),
            "/api/v1/authorize" | "/access/v1/evaluation" if asks => self.evaluate(head, body, false).await,
            "/api/v1/authorize/evaluations" | "/access/v1/evaluations" if asks => self.evaluate(head, body, true).await,
            path => {
                body::discard(&head.headers, body);
                Err(match PATHS.contains(&path) {
                    true => Fault::new(StatusCode::METHOD_NOT_ALLOWED, "this HTTP method is not served here"),
                    false => Fault::new(StatusCode::NOT_FOUND, "nothing is served at this path"),
                })
            }
        }
    }

    fn ready(&self) -> Response<Answer> {
        match self.governed.ready() {
            Ok(()) => reply::json(StatusCode::OK, Bytes::from_static(br#"{"status":"ready"}"#)),
            Err(why) => json_body(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "not_ready", "reason": why })),
        }
    }

    /// Where the endpoints are, as the caller names this host: that name has been checked.
    fn metadata(&self, head: &Parts) -> Result<Response<Answer>, Fault> {
        self.check_origin(head)?;
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
        let host = head.uri.authority().map(http::uri::Authority::as_str).or(host).unwrap_or_default();
        let scheme = if self.options.tls.is_some() { "https" } else { "http" };
        let base = format!("{scheme}://{host}");
        Ok(json_body(
            StatusCode::OK,
            &json!({
                "policy_decision_point": base,
                "access_evaluation_endpoint": format!("{base}/access/v1/evaluation"),
                "access_evaluations_endpoint": format!("{base}/access/v1/evaluations"),
            }),
        ))
    }

    async fn evaluate(&self, head: &Parts, body: Incoming, many: bool) -> Result<Response<Answer>, Fault> {
        let principal = match self.check_origin(head).and_then(|()| self.identify(head)) {
            Ok(principal) => principal,
            Err(fault) => {
                body::discard(&head.headers, body);
                return Err(fault);
            }
        };
        let (text, _held) = self.read(head, body).await?;
        let received_us = self.governed.monotonic_us();
        let json = Json::parse(text, Limits::REQUEST)
            .map_err(|error| Fault::new(StatusCode::BAD_REQUEST, format!("the body is not one JSON text: {error}")))?;
        let batch = if many { evaluation::batch(json.root())? } else { None };
        let Some(batch) = batch else {
            let question = evaluation::question(json.root(), &principal)?;
            let told = self.decide(question, &principal, received_us).await?;
            return Ok(json_body(StatusCode::OK, &told));
        };
        let Batch { asked, semantic } = batch;
        let mut told = Vec::with_capacity(asked.len());
        // One after the other: what the first one raises is there when the next is judged.
        for one in asked {
            let decided = match one.question(&principal) {
                Ok(question) => self.decide(question, &principal, received_us).await,
                Err(fault) => Err(fault),
            };
            let one = decided.unwrap_or_else(|fault| fault.as_decision());
            let permitted = one.get("decision").and_then(Value::as_bool).unwrap_or(false);
            told.push(one);
            if semantic.ends_with(permitted) {
                break;
            }
        }
        Ok(json_body(StatusCode::OK, &json!({ "evaluations": told })))
    }

    /// The decision, or that there is none.
    async fn decide(&self, question: Question, principal: &Principal, received_us: u64) -> Result<Value, Fault> {
        let caller = Caller {
            principal: principal.clone(),
            endpoint: Endpoint::Server(question.server),
            // No revision of MCP is spoken here; nothing that is decided depends on it.
            revision: Revision::NEWEST_LEGACY,
            capabilities: Bytes::new(),
            // Nothing goes on from here.
            log_level: None,
            trace: None,
            received_us,
        };
        let verdict = if question.only_lists {
            self.governed.may_list(&caller, question.ask, &question.request)
        } else {
            let _permit = self.load.call().ok_or_else(Fault::overloaded)?;
            self.governed.authorize(caller, question.ask, question.request).await
        };
        if verdict.is_failure() {
            return Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, verdict.reason).with_code(verdict.code));
        }
        Ok(evaluation::decision(&verdict))
    }

    fn check_origin(&self, head: &Parts) -> Result<(), Fault> {
        self.guard
            .check(head.version, &head.uri, &head.headers)
            .map_err(|error| Fault::new(StatusCode::FORBIDDEN, error.message).with_code(Some(error.code)))
    }

    fn identify(&self, head: &Parts) -> Result<Principal, Fault> {
        let refuse = |code: Code| {
            let status = match code {
                Code::AgentNotActive => StatusCode::FORBIDDEN,
                _ => StatusCode::UNAUTHORIZED,
            };
            Fault::new(status, code.meaning()).with_code(Some(code))
        };
        let mut values = head.headers.get_all(header::AUTHORIZATION).iter();
        let presented = match (values.next(), values.next()) {
            (None, _) => None,
            // Something was presented that is no bearer key: that is a wrong key, not the lack of one.
            (Some(value), None) => Some(bearer(value).ok_or_else(|| refuse(Code::Unauthenticated))?),
            (Some(_), Some(_)) => return Err(refuse(Code::Unauthenticated)),
        };
        self.governed.identify(presented).map_err(|refused| refuse(refused.code))
    }

    async fn read(&self, head: &Parts, body: Incoming) -> Result<(Bytes, Held), Fault> {
        // A page can post text/plain or a form anywhere without being asked; application/json it cannot.
        if !head.headers.get(header::CONTENT_TYPE).is_some_and(is_json) {
            body::discard(&head.headers, body);
            return Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the Content-Type is not application/json"));
        }
        let options = &self.options;
        body::read(&head.headers, body, options.message_bytes, options.body_timeout, &self.load).await.map_err(
            |fault| match fault {
                BodyFault::TooLarge => Fault::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    format!("the body is over {} bytes", options.message_bytes),
                ),
                BodyFault::NoRoom => Fault::overloaded(),
                BodyFault::TooSlow => Fault::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
                BodyFault::Broken => Fault::new(StatusCode::BAD_REQUEST, "the body is broken off"),
            },
        )
    }
}

fn json_body(status: StatusCode, value: &Value) -> Response<Answer> {
    reply::json(status, Bytes::from(value.to_string()))
}

/// "An error message string", as the specification has it; our code stands behind it.
fn refuse(fault: Fault) -> Response<Answer> {
    let mut response = reply::text(Bytes::from(fault.text()));
    *response.status_mut() = fault.status;
    match fault.status {
        StatusCode::UNAUTHORIZED => response.headers_mut().insert(header::WWW_AUTHENTICATE, BEARER),
        StatusCode::SERVICE_UNAVAILABLE => response.headers_mut().insert(header::RETRY_AFTER, SOON),
        // What is left of the body is not read, so nothing can follow on this connection.
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_TIMEOUT => {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"))
        }
        _ => None,
    };
    response
}
