//! What goes to a client before the answer to its request: the response becomes a stream of events with the first of
//! it, so that a plain call stays one JSON body.

use super::body::Answer;
use crate::side::{Sink, one_line};
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Most events that wait for a client to read them.
const MOST: usize = 256;
/// Most bytes of them.
const MOST_BYTES: usize = 4 << 20;

/// Events for one client. Its lock is held to put one in or to take one out.
#[derive(Default)]
pub(crate) struct Outbox(Mutex<State>);

#[derive(Default)]
struct State {
    events: VecDeque<Bytes>,
    bytes: usize,
    /// No more will come.
    ended: bool,
    /// The client takes no events.
    closed: bool,
    waker: Option<Waker>,
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn push(&mut self, event: Bytes) {
        self.bytes += event.len();
        self.events.push_back(event);
        self.wake();
    }
}

/// A message as an event.
pub(super) fn event(message: &Bytes) -> Bytes {
    [b"event: message\ndata: ", &one_line(message)[..], b"\n\n"].concat().into()
}

impl Outbox {
    /// One for a client that takes no events: what is put in is refused.
    pub(super) fn closed() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { closed: true, ..State::default() })))
    }

    /// The last message. Given back where nothing came before it, so that it can be the whole body.
    pub(super) fn finish(&self, message: Bytes, streaming: bool) -> Option<Bytes> {
        let mut state = self.lock();
        if !streaming && state.events.is_empty() {
            return Some(message);
        }
        state.push(event(&message));
        state.ended = true;
        None
    }

    /// Ends once there is something to send.
    pub(super) async fn first(&self) {
        poll_fn(|cx| {
            let mut state = self.lock();
            if state.events.is_empty() {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }

    /// The next event; `None` after the last.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<Option<Bytes>> {
        let mut state = self.lock();
        match state.events.pop_front() {
            Some(event) => {
                state.bytes -= event.len();
                Poll::Ready(Some(event))
            }
            None if state.ended => Poll::Ready(None),
            None => {
                state.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Takes events again, for another leg of the same call.
    pub(super) fn reopen(&self) {
        let mut state = self.lock();
        (state.closed, state.ended) = (false, false);
    }

    /// The client is gone: nothing more is taken.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.events.clear();
        state.bytes = 0;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Arc<Outbox> {
    fn put(&self, message: Bytes) -> bool {
        let mut state = self.lock();
        if state.closed || state.ended || state.events.len() >= MOST || state.bytes + message.len() > MOST_BYTES {
            return false;
        }
        state.push(event(&message));
        true
    }
}

/// A response that carries events.
pub(super) fn stream(body: Answer) -> Response<Answer> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(outbox: &Outbox) -> Vec<Bytes> {
        let cx = Context::from_waker(Waker::noop());
        let mut out = Vec::new();
        while let Poll::Ready(Some(event)) = outbox.poll(&cx) {
            out.push(event);
        }
        out
    }

    #[test]
    fn a_plain_answer_is_no_stream_and_what_came_before_it_makes_it_one() {
        let message = Bytes::from_static(b"{\n}");
        let outbox = Arc::new(Outbox::default());
        assert_eq!(outbox.finish(message.clone(), false), Some(message.clone()));
        assert!(outbox.put(message.clone()));
        assert_eq!(outbox.finish(message.clone(), false), None);
        assert_eq!(all(&outbox), ["event: message\ndata: { }\n\n"; 2]);
        assert!(!outbox.put(message), "it has ended");
    }

    #[test]
    fn a_client_that_does_not_read_loses_what_is_too_much() {
        let outbox = Arc::new(Outbox::default());
        assert_eq!((0..MOST * 2).filter(|_| outbox.put(Bytes::from_static(b"{}"))).count(), MOST);
        let outbox = Arc::new(Outbox::default());
        let large = Bytes::from(vec![b'1'; 1 << 20]);
        assert_eq!((0..9).filter(|_| outbox.put(large.clone())).count(), 3);
        assert!(!Outbox::closed().put(large));
    }
}
