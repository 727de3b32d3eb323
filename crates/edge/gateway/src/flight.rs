//! The requests of one session or connection that are under way, so that they can be cancelled by id.

use interlock_mcp::Id;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The requests under way of one sender. Ids are unique per sender; a few dozen at most are open, so
/// they are searched in a row, under a lock that is held for that search alone.
pub(crate) struct Flights {
    open: Mutex<Vec<(Id, oneshot::Sender<()>)>>,
    most: usize,
}

/// One request under way; leaves the list when dropped.
pub(crate) struct Flight {
    flights: Arc<Flights>,
    id: Id,
    cancelled: oneshot::Receiver<()>,
}

/// Why a request may not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grounded {
    /// One with this id is under way.
    Duplicate,
    /// Too many are under way.
    Full,
}

impl Flights {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { open: Mutex::default(), most })
    }

    pub(crate) fn start(self: &Arc<Self>, id: &Id) -> Result<Flight, Grounded> {
        let mut open = self.lock();
        if open.iter().any(|(other, _)| other == id) {
            return Err(Grounded::Duplicate);
        }
        if open.len() >= self.most {
            return Err(Grounded::Full);
        }
        let (cancel, cancelled) = oneshot::channel();
        open.push((id.clone(), cancel));
        Ok(Flight { flights: self.clone(), id: id.clone(), cancelled })
    }

    /// Cancels the request whose id is spelled `raw`, if it is under way.
    pub(crate) fn cancel(&self, raw: &[u8]) {
        let mut open = self.lock();
        if let Some(at) = open.iter().position(|(id, _)| id.raw() == raw) {
            // A receiver that is gone has its answer already.
            let _ = open.swap_remove(at).1.send(());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Id, oneshot::Sender<()>)>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    /// Runs `work` unless the request is cancelled first; `None` then, and `work` is dropped.
    pub(crate) async fn run<T>(mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            Ok(()) = &mut self.cancelled => None,
            done = work => Some(done),
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.flights.lock().retain(|(id, _)| *id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ids_are_unique_bounded_and_cancellable() {
        let flights = Flights::new(2);
        let one = flights.start(&Id::number(1)).unwrap();
        assert_eq!(flights.start(&Id::number(1)).err(), Some(Grounded::Duplicate));
        let two = flights.start(&Id::number(2)).unwrap();
        assert_eq!(flights.start(&Id::number(3)).err(), Some(Grounded::Full));
        flights.cancel(b"7");
        flights.cancel(b"1");
        assert_eq!(one.run(std::future::pending::<()>()).await, None);
        assert_eq!(two.run(async { 5 }).await, Some(5));
        assert!(flights.is_empty());
    }
}
