//! What a server asks of the client's side while it works on a call (sampling, elicitation, roots): attributed to the
//! server, decided and recorded like a call of its own, and only then shown.
//!
//! Source: MCP 2025-11-25, client features; 2026-07-28, basic/patterns/mrtr.

use crate::asked::Question;
use crate::engine::{Engine, Ports, Released, Toward};
use crate::front::{Aside, Caller, NoReply, Replying};
use crate::ports::Clock;
use crate::refusal::{Refusal, Refused};
use crate::stages::{Aim, Permitted};
use bytes::Bytes;
use interlock_mcp::{Frame, Notification, Request, Response};
use interlock_model::json::{Json, Kind, Limits, View};
use interlock_model::{CallId, Code, ServerName};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Most questions within one call: a server that asks without end is not working.
const MOST: usize = 64;

/// Stands between a server that works on a call and the client that made it.
pub(crate) struct Between<'a, P: Ports> {
    engine: &'a Engine<P>,
    permitted: &'a Permitted,
    client: &'a dyn Aside,
    asked: AtomicUsize,
}

impl<'a, P: Ports> Between<'a, P> {
    pub(crate) const fn new(engine: &'a Engine<P>, permitted: &'a Permitted, client: &'a dyn Aside) -> Self {
        Self { engine, permitted, client, asked: AtomicUsize::new(0) }
    }
}

impl<P: Ports> Aside for Between<'_, P> {
    fn tell(&self, notification: &Notification) {
        if matches!(notification.method(), "notifications/progress" | "notifications/message") {
            self.client.tell(notification);
        }
    }

    fn ask(&self, question: Request) -> Replying<'_> {
        Box::pin(async move {
            if self.asked.fetch_add(1, Ordering::Relaxed) >= MOST {
                let reason = format!("more than {MOST} questions within one call");
                return Err(NoReply { code: Code::Overloaded, reason });
            }
            let identified = self.permitted.prior.identified();
            let server = self.permitted.asked().server();
            self.engine.question(&identified.caller, server, identified.call, question, self.client).await
        })
    }
}

impl<P: Ports> Engine<P> {
    /// One question of `server` for the sake of the call `within`, and the client's reply to it.
    async fn question(
        &self,
        caller: &Caller,
        server: &ServerName,
        within: CallId,
        asked: Request,
        client: &dyn Aside,
    ) -> Result<Response, NoReply> {
        let Some(question) = Question::of(asked.method()) else {
            let reason = format!("`{}` is nothing that a client is asked for", clip(asked.method()));
            return Err(NoReply { code: Code::UnknownMethod, reason });
        };
        if !declares(&caller.capabilities, question) {
            return Err(NoReply::not_offered(question.capability()));
        }
        let call = CallId::new(self.clock.now(), self.clock.entropy());
        let aim = Aim::Question(question, server.clone(), within);
        // A question is a call within a call: its state is apart, so that the stack is that of one.
        match Box::pin(self.path(caller.clone(), (asked, aim), call, Toward::Client(client))).await {
            Ok(Released { answer, .. }) => answer.map_err(|fault| NoReply { code: fault.code, reason: fault.detail }),
            Err(refused) => {
                let Refusal { code, reason, .. } = self.refuse(refused).await;
                // A person may say no in the protocol's own words; policy says it for them.
                declined().filter(|_| question == Question::Elicit).ok_or(NoReply { code, reason })
            }
        }
    }

    /// Decides and records the questions that an answer carries (2026-07-28), before the client sees any of them.
    pub(crate) async fn show_questions(&self, released: &Released) -> Result<(), Refused> {
        let Ok(response) = &released.answer else { return Ok(()) };
        let Some(questions) = questions_in(response) else { return Ok(()) };
        let identified = released.permitted.prior.identified();
        let (caller, server) = (&identified.caller, released.permitted.asked().server());
        let refuse = |code, reason: String| Refused { refusal: Refusal::deny(code, reason), denial: None };
        for (at, (_, asked)) in questions.members().enumerate() {
            if at >= MOST {
                return Err(refuse(Code::UpstreamInvalid, format!("the server asks more than {MOST} things at once")));
            }
            let Some((question, asked)) = request_of(asked) else {
                return Err(refuse(Code::UpstreamInvalid, "the server asks for what clients do not do".to_owned()));
            };
            if !declares(&caller.capabilities, question) {
                let reason =
                    format!("the server asks for `{}`, which the client did not declare", question.capability());
                return Err(refuse(Code::UpstreamInvalid, reason));
            }
            let call = CallId::new(self.clock.now(), self.clock.entropy());
            let aim = Aim::Question(question, server.clone(), identified.call);
            Box::pin(self.path(caller.clone(), (asked, aim), call, Toward::Shown)).await?;
        }
        Ok(())
    }
}

/// The `inputRequests` of an answer, or of a task, that needs input.
fn questions_in(response: &Response) -> Option<View<'_>> {
    let result = response.result()?;
    let asks = |member: &str| result.get(member).is_some_and(|kind| kind.is_str("input_required"));
    if !asks("resultType") && !asks("status") {
        return None;
    }
    result.get("inputRequests").filter(|requests| requests.kind() == Kind::Object)
}

/// An element of `inputRequests` as a request of its own.
fn request_of(asked: View<'_>) -> Option<(Question, Request)> {
    let method = asked.get("method")?.as_str()?;
    let question = Question::of(&method)?;
    let params = asked.get("params").map_or(&b"{}"[..], |params| params.raw());
    let text = [br#"{"jsonrpc":"2.0","id":0,"method":""#, method.as_bytes(), br#"","params":"#, params, b"}"].concat();
    match Frame::parse(Bytes::from(text), Limits::RESULT) {
        Ok(Frame::Request(request)) => Some((question, request)),
        _ => None,
    }
}

/// Whether the client said that it does this.
fn declares(capabilities: &Bytes, question: Question) -> bool {
    let json = Json::parse(capabilities.as_ref(), Limits::REQUEST);
    json.is_ok_and(|json| json.root().get(question.capability()).is_some_and(|c| c.kind() == Kind::Object))
}

fn declined() -> Option<Response> {
    let text = Bytes::from_static(br#"{"jsonrpc":"2.0","id":0,"result":{"action":"decline"}}"#);
    match Frame::parse(text, Limits::REQUEST) {
        Ok(Frame::Response(response)) => Some(response),
        _ => None,
    }
}

fn clip(text: &str) -> String {
    text.chars().take(128).collect()
}
