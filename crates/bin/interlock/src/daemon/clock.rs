//! The machine's clocks and its randomness.

use interlock_engine::ports::Clock;
use interlock_model::UnixMillis;
use std::cell::RefCell;
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
        if !Pool::fill(&mut bytes) {
            let count = self.fallback.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            let (high, low) = bytes.split_at_mut(2);
            high.copy_from_slice(&std::process::id().to_be_bytes()[2..]);
            low.copy_from_slice(&count);
        }
        bytes
    }
}

/// Randomness of this thread, fetched many ids at a time: asking the system for ten bytes costs as much as for
/// a kilobyte, and every call has an id. No byte is given out twice.
struct Pool {
    bytes: [u8; 1000],
    used: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; 1000], used: 1000 }) };
}

impl Pool {
    /// False if the system has no randomness to give.
    fn fill(out: &mut [u8; 10]) -> bool {
        POOL.with_borrow_mut(|pool| {
            if pool.used + out.len() > pool.bytes.len() {
                if getrandom::fill(&mut pool.bytes).is_err() {
                    return false;
                }
                pool.used = 0;
            }
            let Some(next) = pool.bytes.get_mut(pool.used..).and_then(<[u8]>::first_chunk_mut) else { return false };
            *out = std::mem::take(next);
            pool.used += out.len();
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_id_comes_twice() {
        let ids: HashSet<_> = (0..1000).map(|_| SystemClock::new().entropy()).collect();
        assert_eq!(ids.len(), 1000);
        assert!(!ids.contains(&[0; 10]));
    }
}
