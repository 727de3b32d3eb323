//! What servers have to say for themselves: that they are up, down, and which tools they have.

use crate::freshness::ListingAck;
use bytes::Bytes;
use interlock_mcp::Revision;
use interlock_model::ServerName;
use std::fmt;
use std::time::Duration;

/// Something happened to a server. Sent in order per server.
#[derive(Debug)]
pub enum ServerEvent {
    /// It answered the opening exchange.
    Up {
        /// The server.
        server: ServerName,
        /// The revision agreed on.
        revision: Revision,
        /// What it says it is; unverified.
        server_info: ServerInfo,
    },
    /// It is not there; it is tried again by itself.
    Down {
        /// The server.
        server: ServerName,
        /// Why, for people; holds no secret.
        reason: String,
    },
    /// It listed its tools.
    Listed {
        /// The server.
        server: ServerName,
        /// Each tool object exactly as sent, in order, all pages together. Tools whose header
        /// annotations the specification forbids are left out (see [`Counters::tools_dropped`]).
        tools: Vec<Bytes>,
        /// To be given back once the tools have been compared with the catalog.
        ack: ListingAck,
    },
}

/// What a server says it is: unverified, cut to 256 characters, without control characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerInfo {
    /// Its name for itself.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// How a server is doing.
#[derive(Clone, Debug)]
pub struct ServerStatus {
    /// The server.
    pub server: ServerName,
    /// Whether it answers.
    pub condition: Condition,
    /// Whether its newest listing has been compared with the catalog.
    pub settled: bool,
    /// Why calls are refused at once, if they are: it cannot be reached, or failed too many calls in a row.
    pub outage: Option<Outage>,
    /// Calls under way.
    pub in_flight: usize,
    /// Calls that wait for one of those to end.
    pub queued: usize,
    /// Oddities since start.
    pub counters: Counters,
}

/// A time in which calls are refused at once. Relative to when it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// How long it has lasted.
    pub since: Duration,
    /// How long until the server is tried again; zero while it is being tried.
    pub next_try: Duration,
    /// Why, for people; holds no secret.
    pub reason: String,
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unavailable for {}, ", Seconds(self.since))?;
        if self.next_try.is_zero() {
            f.write_str("being tried now")?;
        } else {
            write!(f, "tried again in {}", Seconds(self.next_try))?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// To a tenth of a second.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} s", self.0.as_secs_f64())
    }
}

/// Whether a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Being started or asked for its revision.
    Connecting,
    /// It answers.
    Up {
        /// The revision agreed on.
        revision: Revision,
        /// What it says it is.
        server_info: ServerInfo,
    },
    /// It does not; tried again by itself.
    Down {
        /// Why.
        reason: String,
    },
}

/// Oddities of one server since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Notifications nobody here waits for.
    pub notifications_dropped: u64,
    /// Responses to no request of ours, or to one already answered.
    pub responses_dropped: u64,
    /// Lines or events that are no message.
    pub garbage: u64,
    /// Requests of the server that were refused: no client capability is declared.
    pub requests_refused: u64,
    /// Tools left out of listings because of forbidden header annotations, per listing.
    pub tools_dropped: u64,
    /// How often it was connected to.
    pub connects: u64,
    /// Bytes that children wrote to their standard error.
    pub stderr_bytes: u64,
    /// Those of them that came too fast to be looked at.
    pub stderr_dropped: u64,
    /// Lines of them that were cut.
    pub stderr_cut: u64,
}
