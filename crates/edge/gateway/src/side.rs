//! The client's side of a call, toward clients that take requests of servers as requests (up to 2025-11-25).
//!
//! In scope: which log lines a client wants, questions and whose replies they get. Out of scope: what may be asked,
//! which is the engine's; transports. Source: MCP 2025-11-25, server/utilities/logging and client features.

use crate::subscription::Subscribed;
use bytes::Bytes;
use interlock_engine::front::{Aside, NoReply, Replying};
use interlock_mcp::{Notification, Request, Response, frame};
use interlock_model::Code;
use interlock_model::json::View;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Most questions that one client has open at once.
const MOST: usize = 64;

/// Takes messages for a client. False: it does not keep up, or is gone.
pub(crate) trait Sink: Send + Sync {
    /// Puts one message in.
    fn put(&self, message: Bytes) -> bool;
}

/// Severities, mildest first (RFC 5424).
const LEVELS: [&str; 8] = ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"];

/// The mildest severity that a client wants to hear of, plus one; zero before it has said so.
#[derive(Debug, Default)]
pub(crate) struct Level(AtomicU8);

/// How mild a severity is; `None` where it is none.
pub(crate) fn severity(level: View<'_>) -> Option<u8> {
    let level = level.as_str()?;
    LEVELS.iter().position(|name| *name == level).and_then(|at| u8::try_from(at).ok())
}

/// Whether a message is a log line, and how severe; a severity that nobody knows is heard.
pub(crate) fn logged(notification: &Notification) -> Option<u8> {
    (notification.method() == "notifications/message").then(|| {
        let level = notification.params().and_then(|params| params.get("level"));
        level.and_then(severity).unwrap_or(u8::MAX)
    })
}

impl Level {
    /// Its name, for servers; before the client has set one, what is of interest to most.
    pub(crate) fn name(&self) -> &'static str {
        match self.0.load(Ordering::Relaxed) {
            0 => "info",
            at => LEVELS.get(usize::from(at - 1)).copied().unwrap_or("emergency"),
        }
    }

    /// Sets it.
    pub(crate) fn set(&self, severity: u8) {
        self.0.store(severity.saturating_add(1), Ordering::Relaxed);
    }

    fn lets(&self, notification: &Notification) -> bool {
        logged(notification).is_none_or(|severity| severity.saturating_add(1) >= self.0.load(Ordering::Relaxed))
    }
}

/// Questions that one client has not answered yet.
#[derive(Default)]
pub(crate) struct Questions {
    next: AtomicU64,
    open: Mutex<HashMap<u64, oneshot::Sender<Response>>>,
}

/// One open question; dropped, no reply to it is taken any more.
struct Open<'a> {
    questions: &'a Questions,
    id: u64,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.questions.lock().remove(&self.id);
    }
}

impl Questions {
    fn open(&self) -> Option<(Open<'_>, oneshot::Receiver<Response>)> {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let (reply, replied) = oneshot::channel();
        let mut open = self.lock();
        if open.len() >= MOST {
            return None;
        }
        open.insert(id, reply);
        drop(open);
        Some((Open { questions: self, id }, replied))
    }

    /// Delivers a reply to its question, if that is open.
    pub(crate) fn reply(&self, response: Response) {
        let id = response.id().and_then(|id| std::str::from_utf8(id.raw()).ok()?.parse().ok());
        let waiting = id.and_then(|id: u64| self.lock().remove(&id));
        if let Some(waiting) = waiting {
            // Whoever asked may have gone.
            let _ = waiting.send(response);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, oneshot::Sender<Response>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the calls of one legacy session or connection share.
#[derive(Default)]
pub(crate) struct Shared {
    pub(crate) questions: Questions,
    pub(crate) level: Level,
    pub(crate) subscribed: Subscribed,
}

/// The client's side of one call.
pub(crate) struct LegacySide<S> {
    sink: S,
    shared: Arc<Shared>,
    patience: Duration,
}

impl<S: Sink> LegacySide<S> {
    pub(crate) const fn new(sink: S, shared: Arc<Shared>, patience: Duration) -> Self {
        Self { sink, shared, patience }
    }
}

impl<S> LegacySide<S> {
    /// What the session or connection has beside this call.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// From now on the client hears of nothing milder.
    pub(crate) fn set_level(&self, severity: u8) {
        self.shared.level.set(severity);
    }
}

impl<S: Sink> Aside for LegacySide<S> {
    fn tell(&self, notification: &Notification) {
        if self.shared.level.lets(notification) {
            // A client that does not keep up loses progress and log lines, and nothing else.
            let _ = self.sink.put(notification.bytes().clone());
        }
    }

    fn ask(&self, question: Request) -> Replying<'_> {
        Box::pin(async move {
            let too_many =
                || NoReply { code: Code::Overloaded, reason: "the client has too many questions open".to_owned() };
            let (open, replied) = self.shared.questions.open().ok_or_else(too_many)?;
            let id = question.root().get("id").map(|id| id.span()).unwrap_or_default();
            let text = frame::splice(question.bytes(), &[(id, open.id.to_string().as_bytes())]);
            if !self.sink.put(text.into()) {
                return Err(unreachable_client());
            }
            match tokio::time::timeout(self.patience, replied).await {
                Ok(Ok(response)) => Ok(response),
                Ok(Err(_)) => Err(unreachable_client()),
                Err(_) => {
                    Err(NoReply { code: Code::UpstreamTimeout, reason: "the client did not answer in time".to_owned() })
                }
            }
        })
    }
}

fn unreachable_client() -> NoReply {
    NoReply { code: Code::Cancelled, reason: "the client cannot be asked: it takes no messages now".to_owned() }
}

/// `message` in one line: a line break within it is space between its values, since in strings it is escaped.
pub(crate) fn one_line(message: &Bytes) -> Bytes {
    if memchr::memchr2(b'\n', b'\r', message).is_none() {
        return message.clone();
    }
    message.iter().map(|b| if matches!(b, b'\n' | b'\r') { b' ' } else { *b }).collect::<Vec<u8>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_mcp::Frame;
    use interlock_model::json::Limits;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<Bytes>>>);

    impl Sink for Kept {
        fn put(&self, message: Bytes) -> bool {
            let mut kept = self.0.lock().unwrap();
            kept.push(message);
            true
        }
    }

    fn frame(text: &str) -> Frame {
        Frame::parse(Bytes::copy_from_slice(text.as_bytes()), Limits::RESULT).unwrap()
    }

    fn log(level: &str) -> Notification {
        let text = format!(r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"{level}"}}}}"#);
        match frame(&text) {
            Frame::Notification(notification) => notification,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn log_lines_below_the_level_are_not_sent() {
        let (kept, shared) = (Kept::default(), Arc::new(Shared::default()));
        let side = LegacySide::new(kept.clone(), shared.clone(), Duration::from_secs(1));
        side.tell(&log("debug"));
        shared.level.set(3);
        for level in ["info", "warning", "emergency", "unheard-of"] {
            side.tell(&log(level));
        }
        assert_eq!(kept.0.lock().unwrap().len(), 4);
    }

    #[tokio::test]
    async fn a_reply_finds_its_question_and_no_other() {
        let (kept, shared) = (Kept::default(), Arc::new(Shared::default()));
        let side = LegacySide::new(kept.clone(), shared.clone(), Duration::from_millis(50));
        let Frame::Request(question) = frame(r#"{"jsonrpc":"2.0","id":"theirs","method":"roots/list"}"#) else {
            panic!()
        };
        let reply = |id: &str| match frame(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"roots":[]}}}}"#)) {
            Frame::Response(response) => response,
            other => panic!("{other:?}"),
        };
        let asked = side.ask(question.clone());
        let answering = async {
            tokio::task::yield_now().await;
            let sent = kept.0.lock().unwrap()[0].clone();
            assert_eq!(sent, r#"{"jsonrpc":"2.0","id":1,"method":"roots/list"}"#);
            for id in ["\"theirs\"", "2", "\"1\"", "1"] {
                shared.questions.reply(reply(id));
            }
        };
        let (replied, ()) = tokio::join!(asked, answering);
        assert!(replied.unwrap().result().is_some());
        assert_eq!(side.ask(question).await.unwrap_err().code, Code::UpstreamTimeout);
        assert!(shared.questions.lock().is_empty(), "nobody waits, nothing is kept");
    }
}
