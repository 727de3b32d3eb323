//! Whether what a server offers has been compared with the catalog since it last said that it changed.

use arc_swap::ArcSwap;
use interlock_model::Digest;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// Two counters: changes announced, and the newest change whose listing was compared. Equal means
/// settled; that one comparison is all that a call pays.
#[derive(Debug)]
pub(crate) struct Freshness {
    changes: AtomicU64,
    compared: AtomicU64,
    listing: ArcSwap<Digest>,
    moved: Notify,
}

impl Freshness {
    /// A server starts out unsettled: nothing of it has been seen.
    pub(crate) fn new() -> Self {
        Self {
            changes: AtomicU64::new(1),
            compared: AtomicU64::new(0),
            listing: ArcSwap::from_pointee(Digest([0; 32])),
            moved: Notify::new(),
        }
    }

    /// The tools may have changed. Whoever delivers a later message of the server calls this first.
    pub(crate) fn changed(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.compared.load(Ordering::Acquire) == self.changes.load(Ordering::Acquire)
    }

    /// Digest of the listing that was compared last.
    pub(crate) fn listing(&self) -> Digest {
        **self.listing.load()
    }

    /// Ends when something that a waiter looks at may have changed. Make it before looking.
    pub(crate) fn moved(&self) -> tokio::sync::futures::Notified<'_> {
        self.moved.notified()
    }

    /// Wakes those who wait, to look again.
    pub(crate) fn wake(&self) {
        self.moved.notify_waiters();
    }
}

/// Owed for a listing: until it is given back with [`ListingAck::done`], calls to the server wait.
/// Dropping it leaves them waiting; the next listing brings another one.
#[derive(Debug)]
#[must_use = "calls to the server wait until the listing is acknowledged"]
pub struct ListingAck {
    freshness: Arc<Freshness>,
    change: u64,
    listing: Digest,
}

impl ListingAck {
    /// For the listing with this digest, asked for when `change` was the newest change.
    pub(crate) const fn new(freshness: Arc<Freshness>, change: u64, listing: Digest) -> Self {
        Self { freshness, change, listing }
    }

    /// The listing has been compared with the catalog and what differs is quarantined. A change that
    /// was announced after the listing was asked for still counts.
    pub fn done(self) {
        // The digest first: whoever sees the server settled also sees what it was settled with.
        self.freshness.listing.store(Arc::new(self.listing));
        self.freshness.compared.fetch_max(self.change, Ordering::AcqRel);
        self.freshness.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invariant_4_a_change_during_a_listing_outlives_its_acknowledgement() {
        let freshness = Arc::new(Freshness::new());
        assert!(!freshness.is_settled(), "nothing was compared yet");
        let ack = |change| ListingAck::new(freshness.clone(), change, Digest([1; 32]));
        let first = ack(freshness.changes());
        freshness.changed();
        first.done();
        assert!(!freshness.is_settled());
        ack(freshness.changes()).done();
        assert!(freshness.is_settled());
        ack(1).done();
        assert!(freshness.is_settled(), "a late acknowledgement of an older listing takes nothing back");
    }
}
