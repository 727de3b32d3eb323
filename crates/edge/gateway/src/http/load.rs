//! How much is under way: calls, and bytes of requests in memory. Both are bounded, and a drain waits
//! for the calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// What is under way in one front.
pub(super) struct Load {
    calls: AtomicUsize,
    most_calls: usize,
    bytes: AtomicUsize,
    most_bytes: usize,
    idle: Notify,
}

/// One call under way.
pub(super) struct Permit(Arc<Load>);

/// Bytes in memory.
pub(super) struct Held {
    load: Arc<Load>,
    bytes: usize,
}

impl Load {
    pub(super) fn new(most_calls: usize, most_bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            calls: AtomicUsize::new(0),
            most_calls,
            bytes: AtomicUsize::new(0),
            most_bytes,
            idle: Notify::new(),
        })
    }

    /// Room for one more call, if there is.
    pub(super) fn call(self: &Arc<Self>) -> Option<Permit> {
        let permit = Permit(self.clone());
        (self.calls.fetch_add(1, Ordering::Relaxed) < self.most_calls).then_some(permit)
    }

    pub(super) fn hold(self: &Arc<Self>) -> Held {
        Held { load: self.clone(), bytes: 0 }
    }

    /// Ends once no call is under way.
    pub(super) async fn idle(&self) {
        loop {
            let idle = self.idle.notified();
            if self.calls.load(Ordering::Acquire) == 0 {
                return;
            }
            idle.await;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.0.calls.fetch_sub(1, Ordering::Release) == 1 {
            self.0.idle.notify_waiters();
        }
    }
}

impl Held {
    /// Counts `more` bytes; `None` if there is no room for them.
    pub(super) fn grow(&mut self, more: usize) -> Option<()> {
        self.bytes += more;
        (self.load.bytes.fetch_add(more, Ordering::Relaxed) + more <= self.load.most_bytes).then_some(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.load.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_are_bounded_and_given_back() {
        let load = Load::new(1, 10);
        let one = load.call().unwrap();
        assert!(load.call().is_none());
        assert!(tokio::time::timeout(std::time::Duration::from_millis(10), load.idle()).await.is_err());
        drop(one);
        load.idle().await;
        assert!(load.call().is_some());

        let mut held = load.hold();
        assert_eq!(held.grow(10), Some(()));
        assert_eq!(load.hold().grow(1), None);
        drop(held);
        assert_eq!(load.hold().grow(1), Some(()));
    }
}
