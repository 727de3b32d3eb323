//! The two threads of a store: the writer, and the publisher that follows it.

use crate::command::Command;
use crate::group::Core;
use crate::published::Publisher;
use crate::queue::{Queue, Waiting as _};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

/// Most appends in one transaction: more save nothing and make everyone wait.
const GROUP_MAX: usize = 1024;
/// And about this many bytes.
const GROUP_MAX_BYTES: usize = 8 << 20;
/// The part of a commit's time that a group waits for more to come: one in so many.
const WAIT_SHARE: u32 = 8;
/// No thread sleeps shorter than this: asked to, it sleeps longer.
const WAIT_MIN: Duration = Duration::from_micros(50);
/// However slow the disk is.
const WAIT_MAX: Duration = Duration::from_micros(250);
/// Bytes of WAL from which the publisher copies it into the database.
const WAL_COPY_BYTES: u64 = 4 << 20;

/// How the writer tells the publisher that there is news.
#[derive(Debug, Default)]
pub(crate) struct News {
    size: AtomicU64,
    idle: AtomicBool,
    stop: AtomicBool,
    thread: std::sync::OnceLock<Thread>,
}

impl News {
    pub(crate) fn committed(&self, size: u64) {
        self.size.store(size, Ordering::Release);
        fence(Ordering::SeqCst);
        if self.idle.swap(false, Ordering::AcqRel) {
            self.wake();
        }
    }

    fn stop(&self) {
        self.stop.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

/// Starts the writer. It ends when the queue is closed and empty, or when the store is broken, and gives
/// back what it owned.
pub(crate) fn start_writer(
    mut core: Core,
    queue: Arc<Queue<Command>>,
    news: Arc<News>,
) -> io::Result<JoinHandle<Core>> {
    thread::Builder::new().name("ledger-writer".into()).spawn(move || {
        // However this thread ends, nobody waits for it for ever.
        let ending = Ending(Arc::clone(&queue));
        let mut group = Vec::with_capacity(GROUP_MAX);
        let mut last = LastGroup::default();
        while queue.drain(&mut group, GROUP_MAX, GROUP_MAX_BYTES) {
            if group.len() < last.items {
                match last.wait() {
                    Some(wait) => thread::sleep(wait),
                    // Where cores are busy, callers that are ready come first; where one is free, this is nothing.
                    None => thread::yield_now(),
                }
                queue.take(&mut group, GROUP_MAX, GROUP_MAX_BYTES);
            }
            let began = Instant::now();
            let (items, bytes) = (group.len(), group.iter().map(Command::bytes).sum());
            let done = core.commit(&mut group);
            last = LastGroup { items, took: began.elapsed() };
            queue.leave(items, bytes);
            news.committed(core.frontier.size());
            if let Err(broken) = done {
                queue.end(broken.to_string());
                break;
            }
        }
        drop(ending);
        core
    })
}

/// What the last commit tells of the next one. Callers who were answered together come back together, a
/// few at a time: a group that takes the first of them alone makes the others wait for two syncs.
#[derive(Default)]
struct LastGroup {
    items: usize,
    took: Duration,
}

impl LastGroup {
    /// How long to wait for the rest of a group of which fewer are here: a small part of what a commit takes;
    /// `None` if that is shorter than a thread can sleep.
    fn wait(&self) -> Option<Duration> {
        let wait = (self.took / WAIT_SHARE).min(WAIT_MAX);
        (wait >= WAIT_MIN).then_some(wait)
    }
}

struct Ending(Arc<Queue<Command>>);

impl Drop for Ending {
    fn drop(&mut self) {
        let reason = if thread::panicking() { "the writer failed" } else { "it was closed" };
        self.0.end(reason.to_owned());
    }
}

/// Starts the publisher: at most one publication in `every` while there is news, and a last one at the end.
pub(crate) fn start_publisher(
    mut publisher: Publisher,
    news: Arc<News>,
    wal: std::path::PathBuf,
    every: Duration,
) -> io::Result<JoinHandle<Result<(), String>>> {
    thread::Builder::new().name("ledger-publisher".into()).spawn(move || {
        let _ = news.thread.set(thread::current());
        let mut seen = news.size.load(Ordering::Acquire);
        loop {
            let stopping = news.stop.load(Ordering::SeqCst);
            let size = news.size.load(Ordering::Acquire);
            let mut outcome = Ok(());
            if size != seen || stopping {
                // A failure to publish is not one to record: the next turn tries again.
                outcome = publisher.catch_up().map_err(|e| e.to_string());
                if outcome.is_ok() {
                    seen = size;
                }
                if std::fs::metadata(&wal).is_ok_and(|m| m.len() >= WAL_COPY_BYTES) {
                    let _ = publisher.copy_wal();
                }
            }
            if stopping {
                return outcome;
            }
            if size == seen {
                news.idle.store(true, Ordering::SeqCst);
                fence(Ordering::SeqCst);
                if news.size.load(Ordering::Acquire) == seen && !news.stop.load(Ordering::SeqCst) {
                    thread::park();
                }
                news.idle.store(false, Ordering::SeqCst);
            }
            // At most one publication in `every`; only being stopped cuts the wait short.
            let until = std::time::Instant::now() + every;
            while !news.stop.load(Ordering::SeqCst)
                && let Some(left) = until.checked_duration_since(std::time::Instant::now())
                && !left.is_zero()
            {
                thread::park_timeout(left);
            }
        }
    })
}

/// Tells the publisher to publish once more and end, and waits for it.
pub(crate) fn stop_publisher(news: &News, handle: JoinHandle<Result<(), String>>) -> Result<(), String> {
    news.stop();
    handle.join().unwrap_or_else(|_| Err("the publisher failed".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_waits_for_a_small_part_of_a_commit_or_not_at_all() {
        for (took_us, wait_us) in [(0, None), (399, None), (400, Some(50)), (1600, Some(200)), (90_000, Some(250))] {
            let last = LastGroup { items: 2, took: Duration::from_micros(took_us) };
            assert_eq!(last.wait(), wait_us.map(Duration::from_micros), "{took_us}");
        }
    }
}
