//! What the parts of one server's connection share: where changes are announced, what is counted, and
//! how a fault is worded.

use crate::aside::is_aside;
use crate::event::Counters;
use crate::freshness::Freshness;
use crate::secret::Redactor;
use crate::wire::outbound;
use interlock_engine::front::{Change, Notice};
use interlock_engine::ports::UpstreamFault;
use interlock_mcp::{Frame, Notification, Response};
use interlock_model::{Code, ServerName};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::sync::{Notify, broadcast};

/// One server, as its transport sees it.
pub(crate) struct Link {
    pub(crate) name: ServerName,
    pub(crate) freshness: Arc<Freshness>,
    pub(crate) tally: Tally,
    pub(crate) redactor: Redactor,
    /// Wakes the server's supervisor.
    pub(crate) wake: Notify,
    /// Where it is told what changed beside tools.
    notices: broadcast::Sender<Notice>,
}

/// [`Counters`] as they are counted.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) notifications_dropped: AtomicU64,
    pub(crate) responses_dropped: AtomicU64,
    pub(crate) garbage: AtomicU64,
    pub(crate) requests_refused: AtomicU64,
    pub(crate) tools_dropped: AtomicU64,
    pub(crate) connects: AtomicU64,
    pub(crate) stderr_bytes: AtomicU64,
    pub(crate) stderr_dropped: AtomicU64,
    pub(crate) stderr_cut: AtomicU64,
}

/// Adds one.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Adds so many.
pub(crate) fn add(counter: &AtomicU64, n: usize) {
    counter.fetch_add(n as u64, Ordering::Relaxed);
}

impl Tally {
    pub(crate) fn read(&self) -> Counters {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counters {
            notifications_dropped: of(&self.notifications_dropped),
            responses_dropped: of(&self.responses_dropped),
            garbage: of(&self.garbage),
            requests_refused: of(&self.requests_refused),
            tools_dropped: of(&self.tools_dropped),
            connects: of(&self.connects),
            stderr_bytes: of(&self.stderr_bytes),
            stderr_dropped: of(&self.stderr_dropped),
            stderr_cut: of(&self.stderr_cut),
        }
    }
}

/// What a server's message asks of its reader.
pub(crate) enum Inbound {
    /// It answers something.
    Response(Response),
    /// These bytes go back to the server.
    Reply(Vec<u8>),
    /// A call may have to hear it.
    Aside(Frame),
    /// Nothing more.
    Done,
}

impl Link {
    pub(crate) fn new(name: ServerName, redactor: Redactor, notices: broadcast::Sender<Notice>) -> Arc<Self> {
        let freshness = Arc::new(Freshness::new());
        Arc::new(Self { name, freshness, tally: Tally::default(), redactor, wake: Notify::new(), notices })
    }

    /// One of which nobody hears what changed.
    pub(crate) fn unheard_of(name: ServerName, redactor: Redactor) -> Arc<Self> {
        Self::new(name, redactor, broadcast::channel(1).0)
    }

    fn announce(&self, change: Change) {
        // Where nobody listens there is nobody to tell.
        let _ = self.notices.send(Notice { server: self.name.clone(), change });
    }

    /// The tools may have changed: calls wait from here on.
    pub(crate) fn changed(&self) {
        self.freshness.changed();
        self.wake.notify_one();
    }

    /// Handles what needs no caller. Runs before any later message of the same stream is delivered,
    /// so that an answer never overtakes the announcement before it.
    pub(crate) fn take(&self, frame: Frame, lines: bool) -> Inbound {
        match frame {
            Frame::Response(response) => Inbound::Response(response),
            Frame::Notification(n) if n.method() == "notifications/tools/list_changed" => {
                self.changed();
                Inbound::Done
            }
            Frame::Notification(n) if change_of(&n).is_some() => {
                if let Some(change) = change_of(&n) {
                    self.announce(change);
                }
                Inbound::Done
            }
            aside if is_aside(&aside) => Inbound::Aside(aside),
            unheard => self.unheard(unheard, lines),
        }
    }

    /// Handles what no call hears: a notification is dropped, a question refused.
    pub(crate) fn unheard(&self, frame: Frame, lines: bool) -> Inbound {
        match frame {
            Frame::Request(request) => {
                if request.method() != "ping" {
                    count(&self.tally.requests_refused);
                }
                Inbound::Reply(outbound::answer(&request, lines))
            }
            Frame::Notification(_) => {
                count(&self.tally.notifications_dropped);
                Inbound::Done
            }
            Frame::Response(response) => Inbound::Response(response),
        }
    }

    /// A fault after the request may have reached the server.
    pub(crate) fn sent(&self, code: Code, detail: impl AsRef<str>) -> UpstreamFault {
        UpstreamFault { code, sent: true, detail: self.word(detail.as_ref()) }
    }

    /// A fault before that.
    pub(crate) fn unsent(&self, code: Code, detail: impl AsRef<str>) -> UpstreamFault {
        UpstreamFault { code, sent: false, detail: self.word(detail.as_ref()) }
    }

    fn word(&self, detail: &str) -> String {
        let prefix = format!("server `{}`: ", self.name);
        // One fault is often the reason of another.
        self.redactor.clean(&format!("{prefix}{}", detail.replace(&prefix, "")))
    }
}

/// What a notification says has changed, beside tools.
fn change_of(notification: &Notification) -> Option<Change> {
    match notification.method() {
        "notifications/prompts/list_changed" => Some(Change::Prompts),
        "notifications/resources/list_changed" => Some(Change::Resources),
        "notifications/resources/updated" => {
            let uri = notification.params()?.get("uri")?.as_str()?;
            Some(Change::Resource(uri.as_ref().into()))
        }
        _ => None,
    }
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The server does not know it any more; another can be opened at once.
    Forgotten,
    /// The server is gone or makes no sense; why, for people.
    Broken(String),
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forgotten => f.write_str("the server does not know the session any more"),
            Self::Broken(why) => f.write_str(why),
        }
    }
}

/// Whether a session is over, and how. Set once.
#[derive(Debug, Default)]
pub(crate) struct Gone(OnceLock<Ending>);

impl Gone {
    /// The session is over; the first to say so also announces it, since what comes next is unknown.
    pub(crate) fn set(&self, ending: Ending, link: &Link) {
        if self.0.set(ending).is_ok() {
            link.changed();
        }
    }

    pub(crate) fn ending(&self) -> Option<&Ending> {
        self.0.get()
    }
}
