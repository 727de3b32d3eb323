//! The resources of one server that clients are subscribed to. The server knows one client, the gateway: it is told of the
//! first that wants to hear of a resource, and of the last that does no more.
//!
//! Source: MCP 2025-11-25, server/resources; 2026-07-28, basic/patterns/subscriptions.

use crate::session::{Call, Called, OPENING, Session};
use interlock_engine::front::Aside;
use interlock_engine::ports::UpstreamFault;
use interlock_mcp::answer::{self, quote};
use interlock_mcp::{Frame, Id, Response};
use interlock_model::Code;
use interlock_model::json::Limits;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Most resources of one server that are subscribed to.
const MOST: usize = 4096;

/// How many clients are subscribed to each resource, by the server's own address for it.
#[derive(Default)]
pub(crate) struct Subscriptions(Mutex<BTreeMap<Box<str>, usize>>);

/// Whether a call begins or ends a subscription.
pub(crate) fn is_subscription(call: &Call) -> bool {
    matches!(call.request.method(), "resources/subscribe" | "resources/unsubscribe")
}

impl Subscriptions {
    /// One client more or less for a resource; the server is asked only where that changes something for it.
    pub(crate) async fn change(
        &self,
        session: &Session,
        call: &Call,
        patience: Duration,
        client: &dyn Aside,
    ) -> Result<Called, UpstreamFault> {
        let Some((_, address)) = &call.name else { return session.call(call, patience, client).await };
        let begins = call.request.method() == "resources/subscribe";
        if !self.count(address, begins) {
            return done(session);
        }
        if begins && self.lock().len() > MOST {
            self.count(address, false);
            return Err(session.refuse(Code::Overloaded, "too many of its resources are subscribed to"));
        }
        if session.listens_by_request() {
            // Here the server is told by one request what all is listened to.
            session.listen(&self.addresses());
            return done(session);
        }
        let called = session.call(call, patience, client).await;
        let refused = match &called {
            Ok(Called::Answered(response)) => response.error().is_some(),
            Ok(Called::SessionGone) | Err(_) => true,
        };
        if refused && begins {
            self.count(address, false);
        }
        called
    }

    /// Opens the stream of announcements of a new conversation, with all that is subscribed to.
    pub(crate) async fn renew(&self, session: &Session) {
        let addresses = self.addresses();
        session.listen(&addresses);
        if session.listens_by_request() {
            return;
        }
        for address in addresses {
            let params = format!("\"uri\":{}", quote(&address));
            // What the server does not take is not heard of any more, as after any restart of it.
            drop(session.ask("resources/subscribe", &params, Instant::now() + OPENING).await);
        }
    }

    /// Counts; whether that was the first or the last.
    fn count(&self, address: &str, begins: bool) -> bool {
        let mut all = self.lock();
        if begins {
            let count = all.entry(address.into()).or_default();
            *count += 1;
            return *count == 1;
        }
        match all.get_mut(address) {
            Some(count) if *count > 1 => {
                *count -= 1;
                false
            }
            Some(_) => all.remove(address).is_some(),
            // Nobody is: the server may say so.
            None => true,
        }
    }

    fn addresses(&self) -> Vec<Box<str>> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer where nothing has to be asked.
fn done(session: &Session) -> Result<Called, UpstreamFault> {
    empty().map(Called::Answered).ok_or_else(|| session.refuse(Code::Internal, "an empty answer is no answer"))
}

/// A response with nothing in it.
pub(crate) fn empty() -> Option<Response> {
    match Frame::parse(answer::result(&Id::number(0), b"{}"), Limits::RESULT) {
        Ok(Frame::Response(response)) => Some(response),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_hears_of_the_first_and_of_the_last() {
        let subscriptions = Subscriptions::default();
        let steps = [(true, true), (true, false), (false, false), (false, true), (false, true), (true, true)];
        for (at, (begins, told)) in steps.into_iter().enumerate() {
            assert_eq!(subscriptions.count("a:b", begins), told, "{at}");
        }
        assert_eq!(subscriptions.addresses(), ["a:b".into()]);
    }
}
