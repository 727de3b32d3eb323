//! Places among the calls under way at a server, and who gets the next one.
//!
//! In scope: how many at once, waiting in turn by key, what gives way when too many wait. Out of scope: how long to
//! wait, and what a key stands for.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// At most `places` at once; at most `most` wait, each key in turn.
///
/// Where nobody waits, a place costs two atomic operations. The lock is for those who wait.
#[derive(Debug)]
pub(crate) struct Queue {
    places: usize,
    most: usize,
    taken: AtomicUsize,
    /// How many wait. Written under the lock.
    waiting: AtomicUsize,
    line: Mutex<Line>,
}

/// Those who wait: for each key in the order in which they came, the keys in turn.
#[derive(Debug, Default)]
struct Line {
    waiters: HashMap<u64, VecDeque<Waiter>>,
    /// Keys with waiters, the next one first.
    turns: VecDeque<u64>,
    tickets: u64,
}

#[derive(Debug)]
struct Waiter {
    ticket: u64,
    granted: oneshot::Sender<()>,
}

/// More wait than may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A place; dropping it gives it to the next.
#[derive(Debug)]
pub(crate) struct Place<'a>(&'a Queue);

impl Queue {
    pub(crate) fn new(places: usize, most: usize) -> Self {
        let (taken, waiting) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { places, most, taken, waiting, line: Mutex::default() }
    }

    /// How many have a place.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// A place at once, if there is one and nobody waits.
    pub(crate) fn try_enter(&self) -> Option<Place<'_>> {
        // Lazily: a place that is made and dropped is given back.
        (self.waiting.load(Ordering::SeqCst) == 0 && self.take()).then(|| Place(self))
    }

    /// A place when it is the turn of `key`. Dropping the future gives up the turn.
    pub(crate) async fn enter(&self, key: u64) -> Result<Place<'_>, Full> {
        if let Some(place) = self.try_enter() {
            return Ok(place);
        }
        let mut turn = self.line_up(key)?;
        match (&mut turn.granted).await {
            Ok(()) => {
                turn.over = true;
                Ok(Place(self))
            }
            // Another key's call, of which fewer wait, took its stead.
            Err(_) => Err(Full),
        }
    }

    fn take(&self) -> bool {
        let free = |taken: usize| (taken < self.places).then_some(taken + 1);
        self.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, free).is_ok()
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn line_up(&self, key: u64) -> Result<Turn<'_>, Full> {
        let mut line = self.line();
        if self.waiting.load(Ordering::SeqCst) >= self.most {
            line.make_room(key)?;
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        let (ticket, granted) = line.push(key);
        // Counted before looking again: whoever gives a place back in between either sees us, or we see the place.
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.serve(&mut line);
        Ok(Turn { queue: self, key, ticket, granted, over: false })
    }

    /// Gives free places to those whose turn it is.
    fn serve(&self, line: &mut Line) {
        while !line.turns.is_empty() && self.take() {
            let granted = line.next().is_some_and(|waiter| {
                self.waiting.fetch_sub(1, Ordering::SeqCst);
                waiter.granted.send(()).is_ok()
            });
            if !granted {
                self.taken.fetch_sub(1, Ordering::SeqCst);
            }
        }
    }

    fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::SeqCst);
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.serve(&mut self.line());
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

impl Line {
    fn push(&mut self, key: u64) -> (u64, oneshot::Receiver<()>) {
        self.tickets += 1;
        let (granted, receiver) = oneshot::channel();
        let of_key = self.waiters.entry(key).or_default();
        if of_key.is_empty() {
            self.turns.push_back(key);
        }
        of_key.push_back(Waiter { ticket: self.tickets, granted });
        (self.tickets, receiver)
    }

    /// The one whose turn it is; its key goes to the end.
    fn next(&mut self) -> Option<Waiter> {
        let key = self.turns.pop_front()?;
        let of_key = self.waiters.get_mut(&key)?;
        let waiter = of_key.pop_front();
        if of_key.is_empty() {
            self.waiters.remove(&key);
        } else {
            self.turns.push_back(key);
        }
        waiter
    }

    /// Sends away the youngest of the key with most waiters, unless that is the one who asks.
    fn make_room(&mut self, key: u64) -> Result<(), Full> {
        let own = self.waiters.get(&key).map_or(0, VecDeque::len);
        let (&longest, waiters) = self.waiters.iter().max_by_key(|(_, waiters)| waiters.len()).ok_or(Full)?;
        let youngest = waiters.back().filter(|_| waiters.len() > own + 1).ok_or(Full)?.ticket;
        // Dropping its sender tells it.
        self.remove(longest, youngest);
        Ok(())
    }

    /// Whether it was there.
    fn remove(&mut self, key: u64, ticket: u64) -> bool {
        let Some(of_key) = self.waiters.get_mut(&key) else { return false };
        let before = of_key.len();
        of_key.retain(|waiter| waiter.ticket != ticket);
        let found = of_key.len() < before;
        if of_key.is_empty() {
            self.waiters.remove(&key);
            self.turns.retain(|turn| *turn != key);
        }
        found
    }
}

/// Somebody who waits.
struct Turn<'a> {
    queue: &'a Queue,
    key: u64,
    ticket: u64,
    granted: oneshot::Receiver<()>,
    /// It has become a [`Place`].
    over: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut line = self.queue.line();
        if line.remove(self.key, self.ticket) {
            self.queue.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        drop(line);
        // Granted at the very moment it was given up.
        if self.granted.try_recv().is_ok() {
            self.queue.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    /// Enters with each key in order, from tasks of their own, and notes who got a place in which order.
    async fn lined_up(
        queue: &Arc<Queue>,
        keys: &[u64],
    ) -> (Arc<Mutex<Vec<(u64, bool)>>>, Vec<tokio::task::JoinHandle<()>>) {
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for &key in keys {
            let (queue, noted) = (queue.clone(), order.clone());
            tasks.push(tokio::spawn(async move {
                let place = queue.enter(key).await;
                noted.lock().unwrap().push((key, place.is_ok()));
                tokio::task::yield_now().await;
            }));
            tokio::task::yield_now().await;
        }
        (order, tasks)
    }

    #[tokio::test]
    async fn keys_take_turns() {
        let queue = Arc::new(Queue::new(1, 100));
        let held = queue.enter(1).await.unwrap();
        let (order, tasks) = lined_up(&queue, &[1, 1, 1, 1, 2, 2, 3]).await;
        assert_eq!((queue.taken(), queue.waiting()), (1, 7));
        assert!(queue.try_enter().is_none());
        drop(held);
        for task in tasks {
            task.await.unwrap();
        }
        let order: Vec<u64> = order.lock().unwrap().iter().map(|(key, _)| *key).collect();
        assert_eq!(order, [1, 2, 3, 1, 2, 1, 1]);
        assert_eq!((queue.taken(), queue.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn a_full_queue_sends_away_those_of_whom_most_wait() {
        let queue = Arc::new(Queue::new(1, 4));
        let held = queue.enter(1).await.unwrap();
        let (order, tasks) = lined_up(&queue, &[1, 1, 1, 1, 1, 2, 3, 2]).await;
        // The fifth of 1 at once; then its youngest for 2 and for 3; the second of 2 would only trade places.
        tokio::task::yield_now().await;
        assert_eq!(*order.lock().unwrap(), [(1, false), (1, false), (1, false), (2, false)]);
        drop(held);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(order.lock().unwrap()[4..], [(1, true), (2, true), (3, true), (1, true)]);
        assert_eq!((queue.taken(), queue.waiting()), (0, 0));
        assert_eq!(Queue::new(0, 0).enter(1).await.unwrap_err(), Full);
    }

    #[tokio::test]
    async fn who_no_longer_waits_holds_nobody_up() {
        let queue = Arc::new(Queue::new(1, 10));
        let held = queue.enter(1).await.unwrap();
        for key in [1, 1, 2] {
            assert!(tokio::time::timeout(Duration::from_millis(5), queue.enter(key)).await.is_err());
        }
        assert_eq!(queue.waiting(), 0);
        // Granted, but dropped before it looked.
        let granted = queue.line_up(7).unwrap();
        drop(held);
        assert_eq!((queue.taken(), queue.waiting()), (1, 0));
        drop(granted);
        assert_eq!(queue.taken(), 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_more_than_the_places_and_nobody_is_forgotten() {
        let queue = Arc::new(Queue::new(3, 10_000));
        let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..2000_u64)
            .map(|n| {
                let (queue, inside, most) = (queue.clone(), inside.clone(), most.clone());
                tokio::spawn(async move {
                    let entering = tokio::time::timeout(Duration::from_micros(n % 7 * 200), queue.enter(n % 5));
                    let place = match entering.await {
                        Ok(place) => place.unwrap(),
                        // Given up; comes again with patience.
                        Err(_) => queue.enter(n % 5).await.unwrap(),
                    };
                    most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(place);
                })
            })
            .collect();
        for task in tasks {
            tokio::time::timeout(Duration::from_secs(20), task).await.unwrap().unwrap();
        }
        assert!(most.load(Ordering::SeqCst) <= 3);
        assert_eq!((queue.taken(), queue.waiting()), (0, 0));
    }
}
