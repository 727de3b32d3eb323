//! The two threads of a store: the writer, and the publisher that follows it.

use crate::command::Command;
use crate::group::Core;
use crate::published::{Leaves, Publisher};
use crate::queue::{Queue, Waiting as _};
use interlock_ledger::tree::Hash;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

/// Most appends in one transaction: more save nothing and make everyone wait.
const GROUP_MAX: usize = 1024;
/// And about this many bytes.
const GROUP_MAX_BYTES: usize = 8 << 20;
/// Appends in one group from which on commits are paced: the time from one to the next is so much for each append
/// of the last group, up to a bound. A commit costs about as much processor time as ten appends, whatever its size:
/// with few of them a caller is better off at once, with many the shared cost of a larger group buys more than
/// the wait takes.
const MANY: usize = 12;
const PACE_EACH: Duration = Duration::from_micros(40);
const PACE_MAX: Duration = Duration::from_millis(2);
/// The part of a commit's time that a group waits for more to come: one in so many.
const WAIT_SHARE: u32 = 8;
/// No thread sleeps shorter than this: asked to, it sleeps longer.
const WAIT_MIN: Duration = Duration::from_micros(50);
/// However slow the disk is.
const WAIT_MAX: Duration = Duration::from_micros(250);
/// Bytes of appends after which the publisher copies the WAL into the database, beside the writer. Where it keeps up, the
/// writer has little left to copy when the WAL is full (`WAL_PAGES`), and nobody waits for that.
const WAL_COPY_BYTES: usize = 4 << 20;

/// How the writer tells the publisher that there is news.
#[derive(Debug, Default)]
pub(crate) struct News {
    size: AtomicU64,
    /// For the publisher alone; nobody else waits for either of the two.
    leaves: Mutex<Leaves>,
    /// Bytes of appends since the WAL was last copied.
    uncopied: AtomicUsize,
    idle: AtomicBool,
    stop: AtomicBool,
    thread: std::sync::OnceLock<Thread>,
}

impl News {
    /// `leaves` are those of the newest entries, up to `size`; `bytes` is what was appended.
    pub(crate) fn committed(&self, size: u64, leaves: &mut Vec<Hash>, bytes: usize) {
        self.leaves.lock().unwrap_or_else(PoisonError::into_inner).append(leaves, size);
        self.size.store(size, Ordering::Release);
        let before = self.uncopied.fetch_add(bytes, Ordering::AcqRel);
        let copy = before < WAL_COPY_BYTES && before + bytes >= WAL_COPY_BYTES;
        fence(Ordering::SeqCst);
        if self.idle.swap(false, Ordering::AcqRel) || copy {
            self.wake();
        }
    }

    fn copy_is_due(&self) -> bool {
        self.uncopied.load(Ordering::Acquire) >= WAL_COPY_BYTES
    }

    fn take_leaves(&self) -> Leaves {
        std::mem::take(&mut *self.leaves.lock().unwrap_or_else(PoisonError::into_inner))
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
        let mut last = LastGroup { items: 0, began: Instant::now(), took: Duration::ZERO };
        while queue.drain(&mut group, GROUP_MAX, GROUP_MAX_BYTES) {
            match last.wait(group.len(), last.began.elapsed()) {
                Wait::No => {}
                // Where cores are busy, callers that are ready come first; where one is free, this is nothing.
                Wait::Yield => thread::yield_now(),
                Wait::For(time) => thread::sleep(time),
            }
            queue.take(&mut group, GROUP_MAX, GROUP_MAX_BYTES);
            let began = Instant::now();
            let (items, bytes) = (group.len(), group.iter().map(Command::bytes).sum());
            let done = core.commit(&mut group);
            last = LastGroup { items, began, took: began.elapsed() };
            queue.leave(items, bytes);
            news.committed(core.frontier.size(), &mut core.fresh, bytes);
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
struct LastGroup {
    items: usize,
    began: Instant,
    took: Duration,
}

/// How long a group waits for more to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    No,
    Yield,
    For(Duration),
}

impl LastGroup {
    /// How a group of `here` waits, `since` the last one began: where many call, for its turn; else for the rest
    /// of a group of which fewer are here, a small part of what a commit takes.
    fn wait(&self, here: usize, since: Duration) -> Wait {
        if self.items >= MANY {
            let pace = PACE_EACH.saturating_mul(u32::try_from(self.items).unwrap_or(u32::MAX)).min(PACE_MAX);
            return pace.checked_sub(since).filter(|rest| *rest >= WAIT_MIN).map_or(Wait::No, Wait::For);
        }
        if here >= self.items {
            return Wait::No;
        }
        let wait = (self.took / WAIT_SHARE).min(WAIT_MAX);
        if wait >= WAIT_MIN { Wait::For(wait) } else { Wait::Yield }
    }
}

struct Ending(Arc<Queue<Command>>);

impl Drop for Ending {
    fn drop(&mut self) {
        let reason = if thread::panicking() { "the writer failed" } else { "it was closed" };
        self.0.end(reason.to_owned());
    }
}

/// Starts the publisher: at most one publication in `every` while there is news, and a last one at the end; and
/// the WAL copied as it grows.
pub(crate) fn start_publisher(
    mut publisher: Publisher,
    news: Arc<News>,
    every: Duration,
) -> io::Result<JoinHandle<Result<(), String>>> {
    // Whatever came since is news, however late this thread begins: recovery's entries, too.
    let mut seen = publisher.frontier().size();
    thread::Builder::new().name("ledger-publisher".into()).spawn(move || {
        let _ = news.thread.set(thread::current());
        let mut next = Instant::now() + every;
        loop {
            let stopping = news.stop.load(Ordering::SeqCst);
            let size = news.size.load(Ordering::Acquire);
            if news.copy_is_due() {
                news.uncopied.store(0, Ordering::Release);
                // What is not copied now is copied later, at the latest by the writer.
                let _ = publisher.copy_wal();
            }
            if stopping || (size != seen && Instant::now() >= next) {
                // A failure to publish is not one to record: the next turn tries again.
                let outcome = publisher.catch_up(news.take_leaves()).map_err(|e| e.to_string());
                if stopping {
                    return outcome;
                }
                if outcome.is_ok() {
                    seen = size;
                }
                next = Instant::now() + every;
            }
            if size != seen {
                // At most one publication in `every`; being stopped and the WAL cut the wait short.
                thread::park_timeout(next.saturating_duration_since(Instant::now()));
                continue;
            }
            news.idle.store(true, Ordering::SeqCst);
            fence(Ordering::SeqCst);
            if news.size.load(Ordering::Acquire) == seen && !news.stop.load(Ordering::SeqCst) {
                thread::park();
            }
            news.idle.store(false, Ordering::SeqCst);
            // What comes after the first news comes with it.
            next = Instant::now() + every;
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
    fn a_group_waits_for_a_small_part_of_a_commit_or_for_its_turn() {
        let us = Duration::from_micros;
        for (items, here, took, since, wait) in [
            (2, 1, 0, 0, Wait::Yield),
            (2, 1, 399, 0, Wait::Yield),
            (2, 1, 400, 0, Wait::For(us(50))),
            (2, 1, 1600, 0, Wait::For(us(200))),
            (2, 1, 90_000, 0, Wait::For(us(250))),
            (2, 2, 1600, 0, Wait::No),
            (MANY - 1, MANY, 1600, 0, Wait::No),
            (MANY, MANY, 100, 100, Wait::For(us(380))),
            (MANY, 1, 100, 420, Wait::For(us(60))),
            (MANY, 1, 100, 440, Wait::No),
            (40, 1, 100, 100, Wait::For(us(1500))),
            (50, 1, 100, 100, Wait::For(us(1900))),
            (1024, 1, 100, 100, Wait::For(us(1900))),
            (1024, 1, 9000, 9000, Wait::No),
        ] {
            let last = LastGroup { items, began: Instant::now(), took: us(took) };
            assert_eq!(last.wait(here, us(since)), wait, "{items} {here} {took} {since}");
        }
    }
}
