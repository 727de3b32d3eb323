//! The stream of what a modern client listens to.
//!
//! Source: MCP 2026-07-28, basic/patterns/subscriptions: it begins with what is honoured, brings nothing else, and ends
//! with a result where the server ends it.

use super::body::{Answer, COMMENT};
use super::outbox::{self, event};
use crate::stopped;
use crate::subscription::Listening;
use bytes::Bytes;
use http::Response;
use interlock_engine::front::Notice;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, watch};

/// What a stream listens to.
pub(super) struct Sources {
    pub(super) catalog_epoch: watch::Receiver<u64>,
    pub(super) notices: broadcast::Receiver<Notice>,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) keep_alive: Duration,
}

/// The response that carries the stream, and a task that feeds it until the client or the front ends.
pub(super) fn open(listening: Listening, mut sources: Sources) -> Response<Answer> {
    let (out, events) = mpsc::channel(8);
    sources.catalog_epoch.mark_unchanged();
    tokio::spawn(feed(listening, out, sources));
    outbox::stream(Answer::Events(events))
}

async fn feed(listening: Listening, out: mpsc::Sender<Bytes>, mut sources: Sources) {
    let every = sources.keep_alive;
    if out.send_timeout(event(&listening.acknowledgement()), every).await.is_err() {
        return;
    }
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    while !listening.is_empty() {
        let message = tokio::select! {
            () = out.closed() => return,
            () = stopped(&mut sources.stopping) => break,
            Ok(()) = sources.catalog_epoch.changed() => listening.tools_changed().as_ref().map(event),
            notice = sources.notices.recv() => match notice {
                Ok(notice) => listening.hears(&notice).as_ref().map(event),
                // One that falls behind loses notices: what changed can still be listed.
                Err(broadcast::error::RecvError::Lagged(_)) => None,
                Err(broadcast::error::RecvError::Closed) => break,
            },
            _ = tick.tick() => Some(Bytes::from_static(COMMENT)),
        };
        // A client that has read nothing for so long is not there.
        if let Some(message) = message
            && out.send_timeout(message, every).await.is_err()
        {
            return;
        }
    }
    // A client that is gone needs no end.
    let _ = out.send_timeout(event(&listening.end()), every).await;
}
