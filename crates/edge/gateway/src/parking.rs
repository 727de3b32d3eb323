//! Calls that wait for their client, where it takes questions of servers only as answers (2026-07-28).
//!
//! A server of an older revision asks while it works. The call is parked then: its client gets `input_required` with
//! the questions and a `requestState`, and the call's next leg brings the replies and takes it up again. What is parked
//! lives in this process; a state that is not known here is refused, and the client begins anew.
//!
//! Source: MCP 2026-07-28, basic/patterns/mrtr.

use bytes::Bytes;
use http::StatusCode;
use interlock_engine::front::{Aside, Endpoint, NoReply, Replying};
use interlock_identity::Principal;
use interlock_mcp::{Ask, Frame, Id, Notification, Request, Response, RpcError, frame};
use interlock_model::json::{Kind, Limits, View};
use interlock_model::{AgentId, Code, Digest, digest};
use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};

/// Most parked calls of one agent.
const PER_AGENT: usize = 64;
/// Most parked calls in all.
const TOTAL: usize = 4096;
/// What a state of ours begins with.
const MARK: &str = "ilp.";

/// The status of HTTP and the message that answers a request.
pub(crate) type Answered = (StatusCode, Bytes);
type Work = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// A call under way, and where its questions are put.
pub(crate) struct Running<S> {
    work: Work,
    desk: Arc<Desk>,
    /// Takes what comes before the answer.
    pub(crate) sink: S,
    /// Whether it was begun by an earlier leg, whose id its answer has.
    resumed: bool,
}

/// Whose leg this is, and of what.
pub(crate) struct Leg {
    pub(crate) id: Id,
    pub(crate) principal: Principal,
    pub(crate) endpoint: Endpoint,
    /// What is asked, which all legs have in common.
    pub(crate) about: Digest,
}

/// Questions of one call that wait to be shown.
#[derive(Default)]
pub(crate) struct Desk {
    put: Mutex<Vec<Put>>,
    news: Notify,
}

struct Put {
    question: Request,
    reply: oneshot::Sender<Response>,
}

/// The client's side of one call.
pub(crate) struct ModernSide<S> {
    sink: S,
    desk: Arc<Desk>,
    /// The mildest severity that the request asks to be told; log lines are sent only where it does.
    level: Option<u8>,
    patience: Duration,
}

impl<S> ModernSide<S> {
    pub(crate) const fn new(sink: S, desk: Arc<Desk>, level: Option<u8>, patience: Duration) -> Self {
        Self { sink, desk, level, patience }
    }
}

impl<S: crate::side::Sink> Aside for ModernSide<S> {
    fn tell(&self, notification: &Notification) {
        let heard = match (crate::side::logged(notification), self.level) {
            (None, _) => true,
            (Some(severity), Some(level)) => severity >= level,
            (Some(_), None) => false,
        };
        if heard {
            // A client that does not keep up loses progress and log lines, and nothing else.
            let _ = self.sink.put(notification.bytes().clone());
        }
    }

    fn ask(&self, question: Request) -> Replying<'_> {
        Box::pin(async move {
            let (reply, replied) = oneshot::channel();
            self.desk.lock().push(Put { question, reply });
            self.desk.news.notify_one();
            match tokio::time::timeout(self.patience, replied).await {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(_)) => Err(NoReply { code: Code::Cancelled, reason: "the client cannot be asked".to_owned() }),
                Err(_) => {
                    Err(NoReply { code: Code::UpstreamTimeout, reason: "the client did not answer in time".to_owned() })
                }
            }
        })
    }
}

impl Desk {
    async fn questions(&self) -> Vec<Put> {
        loop {
            let news = self.news.notified();
            let put = std::mem::take(&mut *self.lock());
            if !put.is_empty() {
                return put;
            }
            news.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Put>> {
        self.put.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls that wait for their clients.
pub(crate) struct Parking<S>(Mutex<HashMap<[u8; 32], Parked<S>>>);

struct Parked<S> {
    running: Running<S>,
    replies: BTreeMap<String, Put>,
    agent: AgentId,
    key: Digest,
    bound: bool,
    endpoint: Endpoint,
    about: Digest,
    until: Instant,
}

impl<S> Parked<S> {
    fn is_of(&self, leg: &Leg) -> bool {
        let agent = &leg.principal.agent;
        self.bound == leg.principal.bound
            && self.key == agent.key
            && self.agent == agent.id
            && self.endpoint == leg.endpoint
            && self.about == leg.about
    }
}

/// Ends its task when dropped.
struct Task(tokio::task::JoinHandle<Answered>);

impl Future for Task {
    type Output = Answered;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answered> {
        let failed = || {
            let error = RpcError::new(RpcError::INTERNAL, Code::Internal, "the call did not end in order");
            (StatusCode::OK, error.to_frame(None))
        };
        Pin::new(&mut self.0).poll(cx).map(|done| done.unwrap_or_else(|_| failed()))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What the legs of one call have in common: the method, what it is about, and its arguments.
pub(crate) fn about(request: &Request) -> Digest {
    let name = Ask::of(request.method()).and_then(|ask| ask.name(request)).map_or(&b""[..], |(_, name)| name.raw());
    let arguments = request.param("arguments").map_or(&b""[..], |arguments| arguments.raw());
    Digest::of_parts("interlock/parked", &[request.method().as_bytes(), name, arguments])
}

impl<S> Running<S> {
    pub(crate) fn new(work: impl Future<Output = Answered> + Send + 'static, desk: Arc<Desk>, sink: S) -> Self {
        Self { work: Box::pin(work), desk, sink, resumed: false }
    }
}

impl<S> Default for Parking<S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<S> Parking<S> {
    /// Goes on with a call until it is answered or asks its client something; then it is parked. Dropping the future
    /// cancels the call.
    pub(crate) async fn run(&self, mut running: Running<S>, leg: Leg) -> Answered {
        let desk = running.desk.clone();
        let mut put = tokio::select! {
            biased;
            (status, message) = &mut running.work => {
                return (status, if running.resumed { renamed(message, &leg.id) } else { message });
            }
            put = desk.questions() => put,
        };
        // A server may ask several things at the same time: those that follow at once are shown with the first.
        tokio::select! {
            biased;
            (status, message) = &mut running.work => {
                return (status, if running.resumed { renamed(message, &leg.id) } else { message });
            }
            () = tokio::time::sleep(GATHER) => {}
        }
        put.append(&mut desk.lock());
        match self.park(running, put, &leg) {
            Some(message) => (StatusCode::OK, message),
            None => {
                let error =
                    RpcError::new(RpcError::INTERNAL, Code::Overloaded, "too many calls wait for their clients");
                (StatusCode::OK, error.to_frame(Some(&leg.id)))
            }
        }
    }

    fn park(&self, mut running: Running<S>, put: Vec<Put>, leg: &Leg) -> Option<Bytes> {
        let mut state = [0; 32];
        getrandom::fill(&mut state).ok()?;
        let replies: BTreeMap<String, Put> =
            put.into_iter().enumerate().map(|(at, put)| (format!("question-{}", at + 1), put)).collect();
        let requests: Vec<String> = replies.iter().map(|(key, put)| request(key, &put.question)).collect();
        let result = format!(
            r#"{{"resultType":"input_required","inputRequests":{{{}}},"requestState":"{MARK}{}"}}"#,
            requests.join(","),
            digest::hex(&state)
        );
        let agent = &leg.principal.agent;
        let mut parked = self.lock();
        let now = Instant::now();
        parked.retain(|_, call| call.until > now);
        if parked.len() >= TOTAL || parked.values().filter(|call| call.agent == agent.id).count() >= PER_AGENT {
            return None;
        }
        // While it waits it is driven by a task of its own: the server may go on without the reply.
        running.work = Box::pin(Task(tokio::spawn(running.work)));
        running.resumed = true;
        let call = Parked {
            running,
            replies,
            agent: agent.id.clone(),
            key: agent.key,
            bound: leg.principal.bound,
            endpoint: leg.endpoint.clone(),
            about: leg.about,
            until: now + LIFE,
        };
        parked.insert(state, call);
        drop(parked);
        Some(interlock_mcp::answer::result(&leg.id, result.as_bytes()))
    }

    /// Takes up the call that a request is another leg of; `None` if it is not one.
    ///
    /// # Errors
    ///
    /// -32602 for a state that is not known, or is another's.
    pub(crate) fn resume(&self, request: &Request, leg: &Leg) -> Option<Result<Running<S>, RpcError>> {
        let state = request.param("requestState")?.as_str()?;
        let state = state.strip_prefix(MARK)?;
        let unknown = || RpcError::new(RpcError::INVALID_PARAMS, Code::ForgedState, Code::ForgedState.meaning());
        let state: Option<[u8; 32]> = digest::unhex(state).and_then(|state| state.try_into().ok());
        Some(state.and_then(|state| self.take(&state, leg)).map(|call| replied(call, request)).ok_or_else(unknown))
    }

    /// Another one's state is as unknown as one that never was, and stays where it is.
    fn take(&self, state: &[u8; 32], leg: &Leg) -> Option<Parked<S>> {
        let mut parked = self.lock();
        parked.get(state).filter(|call| call.is_of(leg) && call.until > Instant::now())?;
        parked.remove(state)
    }

    /// Ends the calls that have waited for too long.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        let mut parked = self.lock();
        let stale: Vec<[u8; 32]> =
            parked.iter().filter(|(_, call)| call.until <= now).map(|(state, _)| *state).collect();
        let ended: Vec<Option<Parked<S>>> = stale.iter().map(|state| parked.remove(state)).collect();
        drop(parked);
        drop(ended);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<[u8; 32], Parked<S>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long further questions are waited for after the first.
const GATHER: Duration = Duration::from_millis(50);

/// How long a parked call waits.
const LIFE: Duration = Duration::from_secs(3600);

/// Hands out the replies; a question without one is asked again.
fn replied<S>(call: Parked<S>, request: &Request) -> Running<S> {
    let responses = request.param("inputResponses").filter(|responses| responses.kind() == Kind::Object);
    let Parked { running, replies, .. } = call;
    for (key, put) in replies {
        match responses.and_then(|responses| responses.get(&key)).and_then(response) {
            // Whoever asked may have gone.
            Some(response) => drop(put.reply.send(response)),
            None => {
                running.desk.lock().push(put);
                running.desk.news.notify_one();
            }
        }
    }
    running
}

fn response(result: View<'_>) -> Option<Response> {
    let text = [br#"{"jsonrpc":"2.0","id":0,"result":"#, result.raw(), b"}"].concat();
    match Frame::parse(text.into(), Limits::REQUEST) {
        Ok(Frame::Response(response)) => Some(response),
        _ => None,
    }
}

fn request(key: &str, question: &Request) -> String {
    let method = question.method();
    match question.params() {
        Some(params) => {
            format!(r#""{key}":{{"method":"{method}","params":{}}}"#, String::from_utf8_lossy(params.raw()))
        }
        None => format!(r#""{key}":{{"method":"{method}"}}"#),
    }
}

/// The message under another id.
fn renamed(message: Bytes, id: &Id) -> Bytes {
    match Frame::parse(message.clone(), Limits::RESULT) {
        Ok(Frame::Response(response)) => {
            let at = response.root().get("id").map(|id| id.span()).unwrap_or_default();
            frame::splice(&message, &[(at, id.raw())]).into()
        }
        _ => message,
    }
}
