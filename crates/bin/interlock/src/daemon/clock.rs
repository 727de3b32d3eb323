//! The machine's clocks and its randomness.

use interlock_engine::ports::Clock;
use interlock_model::UnixMillis;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The system's clock.
pub(crate) struct SystemClock {
    started: Instant,
    /// Where the system has no randomness to give, ids still differ; nothing secret is made from these.
    fallback: AtomicU64,
}

impl SystemClock {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), fallback: AtomicU64::new(0) }
    }
}

/// Now, by the system's clock.
pub(crate) fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

impl Clock for SystemClock {
    fn now(&self) -> UnixMillis {
        now()
    }

    fn monotonic_us(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn entropy(&self) -> [u8; 10] {
        let mut bytes = [0; 10];
        if getrandom::fill(&mut bytes).is_err() {
            let count = self.fallback.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            let (high, low) = bytes.split_at_mut(2);
            high.copy_from_slice(&std::process::id().to_be_bytes()[2..]);
            low.copy_from_slice(&count);
        }
        bytes
    }
}
