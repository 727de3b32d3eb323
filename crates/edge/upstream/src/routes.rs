//! Which call an answer belongs to, without a lock.

use crossbeam_queue::ArrayQueue;
use interlock_engine::ports::UpstreamFault;
use interlock_mcp::Response;
use papaya::HashMap;
use tokio::sync::oneshot;

type Delivery = Result<Response, UpstreamFault>;

/// Calls that wait, by our id.
#[derive(Default)]
pub(crate) struct Routes(HashMap<u64, Waiting>);

/// Holds the sender until the first who takes it; a map without locks only lends its values.
struct Waiting(ArrayQueue<oneshot::Sender<Delivery>>);

/// One call that waits; dropping it closes the route.
pub(crate) struct Route<'a> {
    routes: &'a Routes,
    id: u64,
    answer: oneshot::Receiver<Delivery>,
}

impl Routes {
    /// Opens the route for `id`, which is used only once.
    pub(crate) fn open(&self, id: u64) -> Route<'_> {
        let (sender, answer) = oneshot::channel();
        let slot = ArrayQueue::new(1);
        // A new queue has room for one.
        drop(slot.push(sender));
        self.0.pin().insert(id, Waiting(slot));
        Route { routes: self, id, answer }
    }

    /// Delivers to `id`; false if nobody waits there (any more).
    pub(crate) fn deliver(&self, id: u64, what: Delivery) -> bool {
        let sender = self.0.pin().remove(&id).and_then(|waiting| waiting.0.pop());
        sender.is_some_and(|sender| sender.send(what).is_ok())
    }

    /// Everyone who waits gets this.
    pub(crate) fn fail_all(&self, fault: &UpstreamFault) {
        let ids: Vec<u64> = self.0.pin().keys().copied().collect();
        for id in ids {
            self.deliver(id, Err(fault.clone()));
        }
    }
}

impl Route<'_> {
    /// The answer; `None` if the connection went away without a word.
    pub(crate) async fn answer(mut self) -> Option<Delivery> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Route<'_> {
    fn drop(&mut self) {
        self.routes.0.pin().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_model::Code;

    #[tokio::test]
    async fn each_route_takes_one_delivery() {
        let routes = Routes::default();
        let fault = |detail: &str| UpstreamFault { code: Code::UpstreamClosed, sent: true, detail: detail.into() };
        let (first, second) = (routes.open(1), routes.open(2));
        assert!(routes.deliver(1, Err(fault("a"))));
        assert!(!routes.deliver(1, Err(fault("again"))) && !routes.deliver(3, Err(fault("foreign"))));
        assert_eq!(first.answer().await.unwrap().unwrap_err().detail, "a");
        drop(second);
        assert!(!routes.deliver(2, Err(fault("too late"))));
        let third = routes.open(4);
        routes.fail_all(&fault("end"));
        assert_eq!(third.answer().await.unwrap().unwrap_err().detail, "end");
        assert!(routes.0.pin().is_empty());
    }
}
