//! The last lines a child wrote to its standard error, for messages about its end.

use crate::secret::Redactor;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// A few short lines, whatever the child writes. Secrets of its environment are taken out before a
/// line is kept.
#[derive(Default)]
pub(crate) struct Tail(Mutex<VecDeque<String>>);

impl Tail {
    const LINES: usize = 8;
    const LINE: usize = 512;

    /// Reads `stream` to its end. The child is never held up by what it says here.
    pub(crate) async fn follow(&self, mut stream: impl AsyncRead + Unpin, redactor: &Redactor) {
        let mut buffer = vec![0; 8192];
        let mut line: Vec<u8> = Vec::with_capacity(Self::LINE);
        while let Ok(n @ 1..) = stream.read(&mut buffer).await {
            let mut rest = buffer.get(..n).unwrap_or_default();
            while let Some(end) = memchr::memchr(b'\n', rest) {
                let (head, tail) = rest.split_at(end);
                extend(&mut line, head);
                self.keep(&line, redactor);
                line.clear();
                rest = tail.get(1..).unwrap_or_default();
            }
            extend(&mut line, rest);
        }
        self.keep(&line, redactor);
    }

    fn keep(&self, line: &[u8], redactor: &Redactor) {
        let text = String::from_utf8_lossy(line);
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        let mut text = redactor.clean(text);
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

/// A secret that is cut in half is no longer found, so more than is shown is kept until it is cleaned.
fn extend(line: &mut Vec<u8>, more: &[u8]) {
    let room = (Tail::LINE * 16).saturating_sub(line.len());
    line.extend_from_slice(more.get(..room).unwrap_or(more));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SecretString;

    #[tokio::test]
    async fn invariant_7_last_lines_without_secrets() {
        let tail = Tail::default();
        let redactor = Redactor::new(std::iter::once(SecretString::from("s3cret-value".to_owned())));
        let text: String = (0..20).map(|n| format!("line {n} s3cret-value\n")).collect();
        tail.follow(text.as_bytes(), &redactor).await;
        let read = tail.read();
        assert!(read.starts_with("line 12 ***") && read.ends_with("line 19 ***"), "{read}");
    }
}
