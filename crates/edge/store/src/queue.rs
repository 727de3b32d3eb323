//! What waits to be written: a lock-free queue with a bound on entries and bytes, drained by one thread.
//!
//! A caller that queues takes no lock that another caller, or the writer, could hold.

use crossbeam_queue::SegQueue;
use interlock_engine::ports::AppendError;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering, fence};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// Something that can wait.
pub(crate) trait Waiting {
    /// Its bytes in memory, roughly.
    fn bytes(&self) -> usize;
    /// Whether somebody waits for it; what nobody waits for may stay until something else comes.
    fn is_awaited(&self) -> bool;
    /// Ends the wait without an answer from the writer.
    fn refuse(self, error: AppendError);
}

/// The writer works, or looks again before it rests.
const AWAKE: u8 = 0;
/// It wakes by itself within [`DOZE`]; only what is waited for wakes it earlier.
const DOZING: u8 = 1;
/// Anything wakes it.
const ASLEEP: u8 = 2;

/// Longest time that what nobody waits for stays where nothing else comes.
const DOZE: Duration = Duration::from_millis(2);

/// The queue.
pub(crate) struct Queue<T: Waiting> {
    items: SegQueue<T>,
    waiting: AtomicUsize,
    waiting_bytes: AtomicUsize,
    max: usize,
    max_bytes: usize,
    writer: OnceLock<Thread>,
    /// How the writer rests, as one of the three below.
    rest: AtomicU8,
    /// No more is taken in; what waits is still written.
    closing: AtomicBool,
    /// Nobody drains any more, and why.
    ended: OnceLock<String>,
}

impl<T: Waiting> Queue<T> {
    pub(crate) fn new(max: usize, max_bytes: usize) -> Self {
        Self {
            items: SegQueue::new(),
            waiting: AtomicUsize::new(0),
            waiting_bytes: AtomicUsize::new(0),
            max,
            max_bytes,
            writer: OnceLock::new(),
            rest: AtomicU8::new(AWAKE),
            closing: AtomicBool::new(false),
            ended: OnceLock::new(),
        }
    }

    /// Whether something of `bytes` would be taken now; asked before work is spent on it.
    pub(crate) fn admits(&self, bytes: usize) -> Result<(), AppendError> {
        if self.closing.load(Ordering::Acquire) {
            return Err(AppendError::Closed(self.reason()));
        }
        let full = self.waiting.load(Ordering::Relaxed) >= self.max
            || self.waiting_bytes.load(Ordering::Relaxed).saturating_add(bytes) > self.max_bytes;
        if full { Err(AppendError::Backlog) } else { Ok(()) }
    }

    /// Queues `item`, or refuses it.
    pub(crate) fn push(&self, item: T) {
        let bytes = item.bytes();
        if self.closing.load(Ordering::Acquire) {
            return item.refuse(AppendError::Closed(self.reason()));
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let bytes_before = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before >= self.max || bytes_before.saturating_add(bytes) > self.max_bytes {
            self.leave(1, bytes);
            return item.refuse(AppendError::Backlog);
        }
        let awaited = item.is_awaited();
        self.items.push(item);
        // Either the writer, about to rest or to end, sees the item, or we see that it rests or has ended.
        fence(Ordering::SeqCst);
        let rest = self.rest.load(Ordering::Acquire);
        if (rest == ASLEEP || (awaited && rest == DOZING)) && self.rest.swap(AWAKE, Ordering::AcqRel) != AWAKE {
            self.wake();
        }
        if self.ended.get().is_some() {
            self.refuse_all();
        }
    }

    /// Takes no more; what waits is still written. The writer ends once it has.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Says that nobody drains any more, and refuses what waits.
    pub(crate) fn end(&self, reason: String) {
        let _ = self.ended.set(reason);
        self.closing.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        self.refuse_all();
    }

    /// Moves what waits into `group`, up to `max` items and about `max_bytes`; rests while there is nothing, or
    /// nothing yet that anybody waits for. False once the queue is closing and empty.
    pub(crate) fn drain(&self, group: &mut Vec<T>, max: usize, max_bytes: usize) -> bool {
        let _ = self.writer.set(thread::current());
        let mut until = Instant::now() + DOZE;
        loop {
            let empty = group.is_empty();
            self.take(group, max, max_bytes);
            if group.iter().any(Waiting::is_awaited) || group.len() >= max {
                return true;
            }
            let closing = self.closing.load(Ordering::SeqCst);
            if empty && !group.is_empty() {
                until = Instant::now() + DOZE;
            }
            let left = until.saturating_duration_since(Instant::now());
            if !group.is_empty() && (closing || left.is_zero()) {
                return true;
            }
            // After work, more is likely to come soon: a short rest first, from which a patient item does not wake.
            let rest = if left.is_zero() { ASLEEP } else { DOZING };
            self.rest.store(rest, Ordering::SeqCst);
            fence(Ordering::SeqCst);
            if !self.items.is_empty() {
                self.rest.store(AWAKE, Ordering::SeqCst);
                continue;
            }
            if closing {
                return false;
            }
            if rest == ASLEEP {
                thread::park()
            } else {
                thread::park_timeout(left)
            }
            self.rest.store(AWAKE, Ordering::SeqCst);
        }
    }

    /// Fills `group` up with what waits now, to `max` items and about `max_bytes` in all.
    pub(crate) fn take(&self, group: &mut Vec<T>, max: usize, max_bytes: usize) {
        let mut bytes: usize = group.iter().map(Waiting::bytes).sum();
        while group.len() < max
            && bytes < max_bytes
            && let Some(item) = self.items.pop()
        {
            bytes += item.bytes();
            group.push(item);
        }
    }

    /// Items of `bytes` in all were written or refused.
    pub(crate) fn leave(&self, items: usize, bytes: usize) {
        self.waiting.fetch_sub(items, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn refuse_all(&self) {
        while let Some(item) = self.items.pop() {
            self.leave(1, item.bytes());
            item.refuse(AppendError::Closed(self.reason()));
        }
    }

    fn reason(&self) -> String {
        self.ended.get().cloned().unwrap_or_else(|| "it is closing".to_owned())
    }

    fn wake(&self) {
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    struct Item(usize, Arc<Mutex<Vec<String>>>);

    /// Nobody waits for an item of this size.
    const PATIENT: usize = 7;

    impl Waiting for Item {
        fn bytes(&self) -> usize {
            self.0
        }
        fn is_awaited(&self) -> bool {
            self.0 != PATIENT
        }
        fn refuse(self, error: AppendError) {
            self.1.lock().unwrap().push(error.to_string());
        }
    }

    #[test]
    fn bounded_by_items_and_bytes_until_they_leave() {
        let refused = Arc::default();
        let queue = Queue::new(3, 100);
        for bytes in [10, 80, 11, 10, 0] {
            queue.push(Item(bytes, Arc::clone(&refused)));
        }
        assert_eq!(refused.lock().unwrap().len(), 2, "11 is over the bytes, 0 is the fourth item");
        let mut group = Vec::new();
        assert!(queue.drain(&mut group, 2, 1000));
        assert_eq!(group.len(), 2);
        assert!(matches!(queue.admits(0), Err(AppendError::Backlog)));
        queue.take(&mut group, 2, 1000);
        assert_eq!(group.len(), 2, "it is full");
        queue.take(&mut group, 3, 90);
        assert_eq!(group.len(), 2, "it has its bytes");
        queue.take(&mut group, 3, 1000);
        assert_eq!(group.len(), 3);
        queue.take(&mut group, 4, 1000);
        assert_eq!(group.len(), 3, "nothing waits, and it does not wait for it");
        queue.leave(2, 90);
        assert!(queue.admits(90).is_ok());
        assert!(matches!(queue.admits(91), Err(AppendError::Backlog)));
    }

    #[test]
    fn closing_drains_and_ending_refuses() {
        let refused = Arc::default();
        let queue = Queue::new(10, 100);
        queue.push(Item(1, Arc::clone(&refused)));
        queue.close();
        queue.push(Item(1, Arc::clone(&refused)));
        assert_eq!(refused.lock().unwrap().len(), 1);
        let mut group = Vec::new();
        assert!(queue.drain(&mut group, 10, 100));
        group.clear();
        assert!(!queue.drain(&mut group, 10, 100));
        queue.end("the disk is full".into());
        queue.push(Item(1, Arc::clone(&refused)));
        assert!(refused.lock().unwrap()[1].contains("the disk is full"));
    }

    #[test]
    fn what_nobody_waits_for_goes_with_the_next_or_a_moment_later() {
        let refused = Arc::default();
        let queue = Queue::new(10, 1000);
        let item = |bytes| Item(bytes, Arc::clone(&refused));
        let mut group = Vec::new();
        queue.push(item(PATIENT));
        let began = Instant::now();
        assert!(queue.drain(&mut group, 10, 1000));
        assert!(began.elapsed() >= DOZE, "alone, it waits");
        assert_eq!(group.len(), 1);

        group.clear();
        queue.push(item(PATIENT));
        queue.push(item(1));
        assert!(queue.drain(&mut group, 10, 1000));
        assert_eq!(group.len(), 2);

        group.clear();
        queue.push(item(PATIENT));
        queue.close();
        assert!(queue.drain(&mut group, 10, 1000), "and it is not lost when the queue closes");
        group.clear();
        assert!(!queue.drain(&mut group, 10, 1000));
    }

    #[test]
    fn nothing_is_left_behind_between_a_sleeping_writer_and_many_callers() {
        let queue = Arc::new(Queue::new(1_000_000, 1_000_000));
        let refused = Arc::<Mutex<Vec<String>>>::default();
        let writer = thread::spawn({
            let queue = Arc::clone(&queue);
            move || {
                let (mut seen, mut group) = (0, Vec::new());
                while queue.drain(&mut group, 7, 100) {
                    seen += group.len();
                    queue.leave(group.len(), group.iter().map(Waiting::bytes).sum());
                    group.clear();
                }
                queue.end("done".into());
                seen
            }
        });
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let (queue, refused) = (Arc::clone(&queue), Arc::clone(&refused));
                thread::spawn(move || {
                    for i in 0..5000 {
                        queue.push(Item(if i % 3 == 0 { PATIENT } else { 1 }, Arc::clone(&refused)));
                        if i % 64 == 0 {
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        thread::sleep(std::time::Duration::from_millis(2));
        queue.close();
        for caller in callers {
            caller.join().unwrap();
        }
        let seen = writer.join().unwrap();
        assert_eq!(seen + refused.lock().unwrap().len(), 20_000);
        assert_eq!(queue.waiting.load(Ordering::SeqCst), 0);
    }
}
