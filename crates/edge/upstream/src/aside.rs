//! What a server says while it works on a call, before it answers: progress, log lines, questions.
//!
//! In scope: whose call such a message is about, handing it over, the client's own progress tokens, replies to
//! questions. Out of scope: what may pass, which is the engine's. Source: MCP 2025-11-25, basic/utilities/progress and
//! client features.

use crate::link::{Link, count};
use crate::wire::outbound;
use interlock_engine::front::{Aside, NoReply};
use interlock_mcp::{Frame, Notification, Request, Response, frame};
use interlock_model::Code;
use interlock_model::json::{Limits, View};
use papaya::HashMap;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// Most messages that wait for a call to hear them; a server that floods it loses the rest.
const MOST: usize = 256;
/// Most bytes of them.
const MOST_BYTES: usize = 4 << 20;

/// What one call has still to hear. Its lock is held to put a message in or to take one out.
#[derive(Default)]
pub(crate) struct Heard(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Frame>,
    bytes: usize,
    waker: Option<Waker>,
}

impl Heard {
    /// Puts a message in; false if too many wait.
    pub(crate) fn put(&self, message: Frame) -> bool {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = size(&message);
        if waiting.messages.len() >= MOST || waiting.bytes + bytes > MOST_BYTES {
            return false;
        }
        waiting.bytes += bytes;
        waiting.messages.push_back(message);
        let waker = waiting.waker.take();
        drop(waiting);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// The next message; where there is none, `cx` is woken by the next one.
    fn take(&self, cx: &Context<'_>) -> Option<Frame> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = waiting.messages.pop_front();
        waiting.bytes -= next.as_ref().map_or(0, size);
        if next.is_none() {
            waiting.waker = Some(cx.waker().clone());
        }
        next
    }
}

fn size(message: &Frame) -> usize {
    match message {
        Frame::Notification(notification) => notification.bytes().len(),
        Frame::Request(request) => request.bytes().len(),
        Frame::Response(response) => response.bytes().len(),
    }
}

/// The calls under way on a connection that several share, by our ids.
#[derive(Default)]
pub(crate) struct Hearers(HashMap<u64, Arc<Heard>>);

/// One call among the hearers, for as long as this lives.
pub(crate) struct Hearing<'a> {
    hearers: &'a Hearers,
    id: u64,
}

impl Hearers {
    pub(crate) fn join(&self, id: u64, heard: &Arc<Heard>) -> Hearing<'_> {
        self.0.pin().insert(id, heard.clone());
        Hearing { hearers: self, id }
    }

    /// Hands a message to the call that it names, or else to the only one there is: what cannot be attributed is shown
    /// to nobody. Gives it back then.
    pub(crate) fn tell(&self, message: Frame) -> Result<(), Frame> {
        let all = self.0.pin();
        let named = named(&message);
        let heard = match named {
            Some(id) => all.get(&id),
            None => {
                let mut values = all.values();
                match (values.next(), values.next()) {
                    (Some(only), None) => Some(only),
                    _ => None,
                }
            }
        };
        match heard {
            Some(heard) if heard.put(message.clone()) => Ok(()),
            _ => Err(message),
        }
    }
}

impl Drop for Hearing<'_> {
    fn drop(&mut self) {
        self.hearers.0.pin().remove(&self.id);
    }
}

/// The call that a message names: by its progress token, which is our id.
fn named(message: &Frame) -> Option<u64> {
    let params = match message {
        Frame::Notification(notification) => notification.params()?,
        Frame::Request(request) => request.params()?,
        Frame::Response(_) => return None,
    };
    let token = params.get("progressToken").or_else(|| params.get("_meta")?.get("progressToken"))?;
    std::str::from_utf8(token.raw()).ok()?.parse().ok()
}

/// Whether a message of a server is one that a call may have to hear.
pub(crate) fn is_aside(message: &Frame) -> bool {
    match message {
        Frame::Notification(n) => matches!(n.method(), "notifications/progress" | "notifications/message"),
        Frame::Request(request) => request.method() != "ping",
        Frame::Response(_) => false,
    }
}

/// A call's side of the conversation: what it heard goes to the client, and replies go back.
pub(crate) struct Listener<'a> {
    heard: &'a Heard,
    client: &'a dyn Aside,
    /// The client's own progress token, where the server was given our id instead. `Some(None)`: it gave none.
    token: Option<Option<&'a [u8]>>,
    replies: Vec<Pin<Box<dyn Future<Output = Vec<u8>> + Send + 'a>>>,
    link: &'a Link,
    lines: bool,
}

/// What a look at the conversation brought.
#[derive(Default)]
pub(crate) struct Turn {
    /// Replies for the server.
    pub(crate) replies: Vec<Vec<u8>>,
    /// Whether the server showed that it works.
    pub(crate) alive: bool,
}

impl<'a> Listener<'a> {
    pub(crate) fn new(
        heard: &'a Heard,
        client: &'a dyn Aside,
        request: &'a Request,
        (link, shared, lines): (&'a Link, bool, bool),
    ) -> Self {
        let token = || request.param("_meta")?.get("progressToken").map(|token| token.raw());
        Self { heard, client, token: shared.then(token), replies: Vec::new(), link, lines }
    }

    /// Whether the server waits for the client.
    pub(crate) const fn is_asked(&self) -> bool {
        !self.replies.is_empty()
    }

    /// Hands over all that has come.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Turn {
        let mut turn = Turn::default();
        while let Some(message) = self.heard.take(cx) {
            turn.alive = true;
            match message {
                Frame::Notification(notification) => self.tell(&notification),
                Frame::Request(question) => self.replies.push(reply(self.client, question, (self.link, self.lines))),
                Frame::Response(_) => {}
            }
        }
        self.replies.retain_mut(|reply| match reply.as_mut().poll(cx) {
            Poll::Ready(reply) => {
                turn.replies.push(reply);
                turn.alive = true;
                false
            }
            Poll::Pending => true,
        });
        turn
    }

    fn tell(&self, notification: &Notification) {
        let theirs = notification.params().and_then(|params| params.get("progressToken"));
        match (self.token, theirs) {
            (Some(Some(token)), Some(theirs)) => {
                let text = frame::splice(notification.bytes(), &[(theirs.span(), token)]);
                if let Ok(Frame::Notification(renamed)) = Frame::parse(text.into(), Limits::RESULT) {
                    self.client.tell(&renamed);
                }
            }
            // Nobody asked for progress.
            (Some(None), Some(_)) => {}
            (None, _) | (Some(_), None) => self.client.tell(notification),
        }
    }
}

/// The client's reply to a question, as a message for the server.
fn reply<'a>(
    client: &'a dyn Aside,
    question: Request,
    (link, lines): (&'a Link, bool),
) -> Pin<Box<dyn Future<Output = Vec<u8>> + Send + 'a>> {
    Box::pin(async move {
        let id = question.id().clone();
        match client.ask(question).await {
            Ok(response) => outbound::reply(&id, &response, lines),
            Err(no) => {
                count(&link.tally.requests_refused);
                outbound::no_reply(&id, &no, lines)
            }
        }
    })
}

/// The members of `inputResponses`: what the client says to each of the questions that a modern server's answer
/// carries. A question without a reply ends the call, as a server that asked directly would have been told.
pub(crate) async fn replies_to(client: &dyn Aside, questions: View<'_>) -> Result<Vec<u8>, NoReply> {
    let mut out = b"{".to_vec();
    for (key, asked) in questions.members() {
        let question = question_of(asked).ok_or_else(|| NoReply {
            code: Code::UpstreamInvalid,
            reason: "the server asks for something that is no question".to_owned(),
        })?;
        let response = client.ask(question).await?;
        let result = response.result().ok_or_else(|| NoReply {
            code: Code::Cancelled,
            reason: format!("the client did not answer: {}", crate::session::error_text(&response)),
        })?;
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(key.raw());
        out.push(b':');
        out.extend_from_slice(result.raw());
    }
    out.push(b'}');
    Ok(out)
}

fn question_of(asked: View<'_>) -> Option<Request> {
    let method = asked.get("method")?.raw();
    let params = asked.get("params").map_or(&b"{}"[..], |params| params.raw());
    let text = [br#"{"jsonrpc":"2.0","id":0,"method":"#, method, br#","params":"#, params, b"}"].concat();
    match Frame::parse(text.into(), Limits::RESULT) {
        Ok(Frame::Request(request)) => Some(request),
        _ => None,
    }
}

/// A result that asks for more before the call can go on (2026-07-28), and the server's state with it.
pub(crate) fn wanted(response: &Response) -> Option<(Option<View<'_>>, Option<View<'_>>)> {
    let result = response.result()?;
    result.get("resultType").filter(|kind| kind.is_str("input_required"))?;
    Some((result.get("inputRequests"), result.get("requestState")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn frame(text: &str) -> Frame {
        Frame::parse(Bytes::copy_from_slice(text.as_bytes()), Limits::RESULT).unwrap()
    }

    #[test]
    fn messages_reach_the_call_they_are_about_or_nobody() {
        let hearers = Hearers::default();
        let (one, two) = (Arc::new(Heard::default()), Arc::new(Heard::default()));
        let log = || frame(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info"}}"#);
        let progress = |token: u64| {
            frame(&format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token}}}}}"#
            ))
        };
        assert!(hearers.tell(log()).is_err(), "nobody is there");
        let first = hearers.join(1, &one);
        assert!(hearers.tell(log()).is_ok(), "the only one");
        let second = hearers.join(2, &two);
        assert!(hearers.tell(log()).is_err(), "either could be meant");
        assert!(hearers.tell(progress(2)).is_ok() && hearers.tell(progress(3)).is_err());
        drop(second);
        assert!(hearers.tell(progress(2)).is_err(), "it is over");
        drop(first);
        let count = |heard: &Heard| heard.0.lock().unwrap().messages.len();
        assert_eq!((count(&one), count(&two)), (1, 1));
    }

    #[test]
    fn a_flood_is_bounded() {
        let heard = Heard::default();
        let log = || frame(r#"{"jsonrpc":"2.0","method":"notifications/message"}"#);
        assert_eq!((0..MOST * 2).filter(|_| heard.put(log())).count(), MOST);
        let heard = Heard::default();
        let text = "x".repeat(1 << 20);
        let large =
            || frame(&format!(r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"data":"{text}"}}}}"#));
        assert_eq!((0..9).filter(|_| heard.put(large())).count(), 3);
    }
}
