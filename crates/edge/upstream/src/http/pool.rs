//! Idle connections to one origin, without a lock.

use super::connection::Connection;
use crossbeam_queue::ArrayQueue;
use std::time::{Duration, Instant};

/// How long a server that does not say keeps an idle connection, at least: common servers close
/// after five seconds, and a request written into that close could not be told from one that ran.
pub(crate) const GOOD_FOR: Duration = Duration::from_secs(4);

struct Idle {
    connection: Connection,
    until: Instant,
}

/// Connections nobody uses at the moment; the oldest goes first.
pub(crate) struct Pool(ArrayQueue<Idle>);

impl Pool {
    /// At most `size` connections are kept.
    pub(crate) fn new(size: usize) -> Self {
        Self(ArrayQueue::new(size.clamp(1, 1024)))
    }

    /// One that is open, as far as is known.
    pub(crate) fn take(&self) -> Option<Connection> {
        let now = Instant::now();
        while let Some(idle) = self.0.pop() {
            if idle.until > now && !idle.connection.is_closed() {
                return Some(idle.connection);
            }
        }
        None
    }

    /// Gives one back that may be used for a while longer; closed ones and those too many are dropped.
    pub(crate) fn put(&self, connection: Connection, good_for: Duration) {
        if !connection.is_closed() {
            // A full pool means that more were open than calls are allowed: this one may go.
            drop(self.0.push(Idle { connection, until: Instant::now() + good_for }));
        }
    }
}
