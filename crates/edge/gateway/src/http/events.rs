//! The event stream of a legacy session: says when the tools that the client may see have changed.

use super::body::{Answer, COMMENT};
use super::connection::Busy;
use super::outbox;
use super::session::Streaming;
use crate::legacy::LIST_CHANGED;
use crate::stopped;
use crate::subscription::to_legacy;
use bytes::Bytes;
use http::Response;
use interlock_engine::front::Notice;
use std::time::{Duration, Instant};
use tokio::sync::{broadcast, mpsc, watch};

/// What a stream listens to.
pub(super) struct Sources {
    pub(super) catalog_epoch: watch::Receiver<u64>,
    pub(super) notices: broadcast::Receiver<Notice>,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) keep_alive: Duration,
    pub(super) started: Instant,
}

/// The response that carries the stream, and a task that feeds it until the session, the client or the
/// front ends.
pub(super) fn open(streaming: Streaming, busy: Busy, sources: Sources) -> Response<Answer> {
    let (out, events) = mpsc::channel(4);
    tokio::spawn(feed(streaming, out, sources, busy));
    outbox::stream(Answer::Events(events))
}

/// Until this ends the connection counts as busy; what is left to send then has the time of an idle connection.
async fn feed(streaming: Streaming, out: mpsc::Sender<Bytes>, mut sources: Sources, _busy: Busy) {
    let changed = Bytes::from([b"event: message\ndata: ", LIST_CHANGED, b"\n\n"].concat());
    sources.catalog_epoch.mark_unchanged();
    let mut tick = tokio::time::interval(sources.keep_alive);
    loop {
        let event = tokio::select! {
            () = streaming.session().ended() => return,
            () = out.closed() => return,
            () = stopped(&mut sources.stopping) => return,
            Ok(()) = sources.catalog_epoch.changed() => changed.clone(),
            // One that falls behind loses notices: what changed can still be listed.
            Ok(notice) = sources.notices.recv() => {
                let session = streaming.session();
                match to_legacy(&notice, session.endpoint(), &session.shared.subscribed) {
                    Some(message) => outbox::event(&message),
                    None => continue,
                }
            }
            _ = tick.tick() => {
                let now = u64::try_from(sources.started.elapsed().as_millis()).unwrap_or(u64::MAX);
                streaming.session().touch(now);
                Bytes::from_static(COMMENT)
            }
        };
        // A client that has read nothing for so long is not there.
        if out.send_timeout(event, sources.keep_alive).await.is_err() {
            return;
        }
    }
}
