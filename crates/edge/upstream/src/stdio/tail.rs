//! The last lines a child wrote to its standard error, for messages about its end.

use crate::link::{Link, add, count};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::Instant;

/// A few short lines, whatever the child writes. Secrets of its environment are taken out before a
/// line is kept.
#[derive(Default)]
pub(crate) struct Tail(Mutex<VecDeque<String>>);

impl Tail {
    const LINES: usize = 8;
    const LINE: usize = 512;

    /// Reads `stream` to its end. The child is never held up by what it says here: what comes faster than
    /// [`Rate`] allows is read, counted and forgotten.
    pub(crate) async fn follow(&self, mut stream: impl AsyncRead + Unpin, link: &Link) {
        let mut buffer = vec![0; 8192];
        let mut line: Vec<u8> = Vec::with_capacity(Self::LINE);
        let mut rate = Rate::new(Instant::now());
        // A line of which something is missing may hold half a secret, which nobody would find: all of it goes.
        let mut torn = false;
        while let Ok(n @ 1..) = stream.read(&mut buffer).await {
            add(&link.tally.stderr_bytes, n);
            if !rate.admits(n, Instant::now()) {
                add(&link.tally.stderr_dropped, n);
                line.clear();
                torn = true;
                continue;
            }
            let mut rest = buffer.get(..n).unwrap_or_default();
            while let Some(end) = memchr::memchr(b'\n', rest) {
                let (head, tail) = rest.split_at(end);
                if !std::mem::take(&mut torn) {
                    extend(&mut line, head);
                    self.keep(&line, link);
                }
                line.clear();
                rest = tail.get(1..).unwrap_or_default();
            }
            if !torn {
                extend(&mut line, rest);
            }
        }
        if !torn {
            self.keep(&line, link);
        }
    }

    fn keep(&self, line: &[u8], link: &Link) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        let mut text = link.redactor.clean(text);
        if text.len() > Self::LINE {
            count(&link.tally.stderr_cut);
        }
        text.truncate(text.floor_char_boundary(Self::LINE));
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == Self::LINES {
            lines.pop_front();
        }
        lines.push_back(text);
    }

    /// The lines, for a message; empty if there were none.
    pub(crate) fn read(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join(" | ")
    }
}

/// How much a child may say: that much in a second, and as much again at once.
#[derive(Debug)]
struct Rate {
    left: usize,
    at: Instant,
}

impl Rate {
    const BYTES_PER_SECOND: usize = 64 << 10;

    const fn new(now: Instant) -> Self {
        Self { left: Self::BYTES_PER_SECOND, at: now }
    }

    /// Whether `n` bytes more are within it; takes them if so.
    fn admits(&mut self, n: usize, now: Instant) -> bool {
        let elapsed_ms = usize::try_from(now.saturating_duration_since(self.at).as_millis()).unwrap_or(usize::MAX);
        let gained = elapsed_ms.min(1000) * Self::BYTES_PER_SECOND / 1000;
        if gained > 0 {
            self.left = (self.left + gained).min(Self::BYTES_PER_SECOND);
            self.at = now;
        }
        let within = n <= self.left;
        if within {
            self.left -= n;
        }
        within
    }
}

/// A secret that is cut in half is no longer found, so more than is shown is kept until it is cleaned.
fn extend(line: &mut Vec<u8>, more: &[u8]) {
    let room = (Tail::LINE * 16).saturating_sub(line.len());
    line.extend_from_slice(more.get(..room).unwrap_or(more));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{Redactor, SecretString};

    fn link() -> std::sync::Arc<Link> {
        let secret = SecretString::from("s3cret-value".to_owned());
        Link::unheard_of("srv".parse().unwrap(), Redactor::new(std::iter::once(secret)))
    }

    #[tokio::test]
    async fn invariant_7_last_lines_without_secrets() {
        let (tail, link) = (Tail::default(), link());
        let text: String = (0..20).map(|n| format!("line {n} s3cret-value\n")).collect();
        tail.follow(text.as_bytes(), &link).await;
        let read = tail.read();
        assert!(read.starts_with("line 12 ***") && read.ends_with("line 19 ***"), "{read}");
        assert_eq!(link.tally.read().stderr_bytes, text.len() as u64);
    }

    #[tokio::test]
    async fn invariant_7_a_flood_is_counted_and_leaves_no_half_a_secret() {
        let (tail, link) = (Tail::default(), link());
        // Wherever the rate ends, it ends within one of these.
        let text = format!("first\n{}", "s3cret-value".repeat(1 << 20));
        tail.follow(text.as_bytes(), &link).await;
        let counters = link.tally.read();
        assert_eq!(counters.stderr_bytes, text.len() as u64);
        assert!(counters.stderr_dropped > counters.stderr_bytes / 2, "{counters:?}");
        assert!(!tail.read().contains("s3c"), "{}", tail.read());
        assert!(tail.read().starts_with("first"));
    }

    #[tokio::test]
    async fn long_lines_are_cut_and_counted() {
        let (tail, link) = (Tail::default(), link());
        tail.follow(format!("{}\nshort\n", "ab ".repeat(2000)).as_bytes(), &link).await;
        assert_eq!(link.tally.read().stderr_cut, 1);
        let read = tail.read();
        assert!(read.ends_with(" | short") && read.len() < Tail::LINE + 10, "{read}");
    }

    #[test]
    fn so_much_in_a_second() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let at = |ms| start + std::time::Duration::from_millis(ms);
        for (ms, n, expected) in [
            (0, 64 << 10, true),
            (0, 1, false),
            (500, 32 << 10, true),
            (500, 1, false),
            (60_000, (64 << 10) + 1, false),
            (60_000, 64 << 10, true),
            (60_000, 1, false),
        ] {
            assert_eq!(rate.admits(n, at(ms)), expected, "{n} at {ms}");
        }
    }
}
