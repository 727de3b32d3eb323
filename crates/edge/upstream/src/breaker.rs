//! Whether a server is well enough to be called.
//!
//! In scope: when calls are no longer sent, when the server is tried again. Out of scope: trying it (`server`), and
//! servers that cannot be reached at all, whose sessions the supervisor opens again at growing intervals.

use crate::event::Outage;
use crate::spec::Tolerance;
use interlock_engine::ports::UpstreamFault;
use interlock_model::Code;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How often a server failed in a row, and since when calls to it are refused. Pure: `now` is an argument.
///
/// What tries the server again is a request of our own without effect, not somebody's call: an agent whose calls
/// hang cannot keep a server from the others by being the one who tries.
#[derive(Debug)]
struct State {
    tolerance: Tolerance,
    faults: u32,
    /// The wait after the next failed try.
    wait: Duration,
    open: Option<Open>,
}

/// Calls are refused.
#[derive(Debug)]
struct Open {
    since: Instant,
    next_try: Instant,
    reason: String,
}

impl State {
    const fn new(tolerance: Tolerance) -> Self {
        Self { tolerance, faults: 0, wait: tolerance.wait, open: None }
    }

    /// Whether there is nothing to remember.
    fn is_pristine(&self) -> bool {
        self.faults == 0 && self.open.is_none() && self.wait == self.tolerance.wait
    }

    /// A call was answered.
    fn answered(&mut self) {
        self.faults = 0;
        if self.open.is_none() {
            self.wait = self.tolerance.wait;
        }
    }

    /// A call failed as it does where the server is unwell. True if calls are refused from now on.
    fn failed(&mut self, now: Instant, reason: &str) -> bool {
        self.faults = self.faults.saturating_add(1);
        if self.open.is_some() || self.faults < self.tolerance.faults {
            return false;
        }
        self.open = Some(Open { since: now, next_try: now + self.wait, reason: reason.to_owned() });
        self.wait = (self.wait * 2).min(self.tolerance.longest_wait);
        true
    }

    /// The server was tried. One that answers is called again, but the next outage lasts longer unless a call was
    /// answered in between.
    fn tried(&mut self, now: Instant, well: bool) {
        let Some(open) = &mut self.open else { return };
        if well {
            self.open = None;
            self.faults = 0;
        } else {
            open.next_try = now + self.wait;
            self.wait = (self.wait * 2).min(self.tolerance.longest_wait);
        }
    }

    fn outage(&self, now: Instant) -> Option<Outage> {
        self.open.as_ref().map(|open| Outage {
            since: now.saturating_duration_since(open.since),
            next_try: open.next_try.saturating_duration_since(now),
            reason: open.reason.clone(),
        })
    }
}

/// [`State`], shared. A server that is well costs its calls one load.
#[derive(Debug)]
pub(crate) struct Breaker {
    /// Anything to remember at all.
    troubled: AtomicBool,
    state: Mutex<State>,
}

impl Breaker {
    pub(crate) const fn new(tolerance: Tolerance) -> Self {
        Self { troubled: AtomicBool::new(false), state: Mutex::new(State::new(tolerance)) }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let out = change(&mut state);
        self.troubled.store(!state.is_pristine(), Ordering::Release);
        out
    }

    /// Whether there is anything to ask for.
    pub(crate) fn is_troubled(&self) -> bool {
        self.troubled.load(Ordering::Acquire)
    }

    pub(crate) fn answered(&self) {
        if self.is_troubled() {
            self.change(State::answered);
        }
    }

    /// Counts `fault` if it says that the server is unwell. True if calls are refused from now on.
    pub(crate) fn failed(&self, now: Instant, fault: &UpstreamFault) -> bool {
        says_unwell(fault) && self.change(|state| state.failed(now, &fault.detail))
    }

    pub(crate) fn tried(&self, now: Instant, well: bool) {
        if self.is_troubled() {
            self.change(|state| state.tried(now, well));
        }
    }

    /// Since when calls are refused, if they are.
    pub(crate) fn outage(&self, now: Instant) -> Option<Outage> {
        if !self.is_troubled() {
            return None;
        }
        self.state.lock().unwrap_or_else(PoisonError::into_inner).outage(now)
    }
}

/// Whether a fault is the server's and not that of one call: an answer over the limit comes from a server that is
/// well, and so does a JSON-RPC error, which is no fault at all.
const fn says_unwell(fault: &UpstreamFault) -> bool {
    matches!(fault.code, Code::UpstreamTimeout | Code::UpstreamClosed | Code::UpstreamInvalid | Code::ServerUnavailable)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Tolerance = Tolerance {
        faults: 3,
        wait: Duration::from_secs(1),
        longest_wait: Duration::from_secs(5),
        ..Tolerance::DEFAULT
    };

    fn waits(state: &State, now: Instant) -> Option<(u64, u64)> {
        state.outage(now).map(|o| (o.since.as_secs(), o.next_try.as_secs()))
    }

    #[test]
    fn opens_after_consecutive_faults_only() {
        let (mut state, now) = (State::new(TOLERANCE), Instant::now());
        for _ in 0..10 {
            assert!(!state.failed(now, "a") && !state.failed(now, "b"));
            state.answered();
        }
        assert!(state.is_pristine());
        assert!(!state.failed(now, "a") && !state.failed(now, "b") && state.failed(now, "c"));
        assert_eq!(waits(&state, now), Some((0, 1)));
        assert_eq!(state.outage(now).unwrap().reason, "c");
        assert!(!state.failed(now, "late, from before"), "says so once");
    }

    #[test]
    fn waits_double_to_the_bound_and_begin_anew_once_a_call_was_answered() {
        let (mut state, mut now) = (State::new(TOLERANCE), Instant::now());
        let fail = |state: &mut State, now| (0..3).filter(|_| state.failed(now, "x")).count();
        assert_eq!(fail(&mut state, now), 1);
        for (wait, expected) in [(1, 2), (2, 4), (4, 5), (5, 5)] {
            assert_eq!(state.outage(now).unwrap().next_try.as_secs(), wait);
            now += Duration::from_secs(wait);
            state.tried(now, false);
            assert_eq!(state.outage(now).unwrap().next_try.as_secs(), expected);
        }
        assert_eq!(waits(&state, now), Some((12, 5)));
        state.tried(now, true);
        assert_eq!(waits(&state, now), None);
        // It answers us but not its calls: no better than before.
        assert_eq!(fail(&mut state, now), 1);
        assert_eq!(waits(&state, now), Some((0, 5)));
        state.tried(now, true);
        state.answered();
        assert!(state.is_pristine());
        assert_eq!(fail(&mut state, now), 1);
        assert_eq!(waits(&state, now), Some((0, 1)));
    }

    #[test]
    fn faults_that_say_that_a_server_is_unwell() {
        for (code, expected) in [
            (Code::ServerUnavailable, true),
            (Code::UpstreamTimeout, true),
            (Code::UpstreamClosed, true),
            (Code::UpstreamInvalid, true),
            (Code::UpstreamTooLarge, false),
            (Code::Overloaded, false),
            (Code::Internal, false),
        ] {
            assert_eq!(says_unwell(&UpstreamFault { code, sent: true, detail: String::new() }), expected, "{code}");
        }
    }
}
