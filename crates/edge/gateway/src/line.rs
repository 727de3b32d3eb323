//! Lines of JSON from a byte stream, bounded while they are read.
//!
//! A line that is too long is reported once and skipped up to its end. A byte order mark and carriage
//! returns are tolerated; UTF-16 is named as what it is, since it cannot be split into lines.

use bytes::{Bytes, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What came next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line without its end; never blank.
    Text(Bytes),
    /// A line over the limit; the next one is the one after it.
    TooLong,
    /// The stream is UTF-16; nothing more can be read.
    Utf16,
}

/// Reads lines of at most a number of bytes.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: R,
    buffer: BytesMut,
    /// Bytes of the buffer known to hold no end of line.
    searched: usize,
    most: usize,
    skipping: bool,
    started: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(reader: R, most: usize) -> Self {
        Self { reader, buffer: BytesMut::new(), searched: 0, most, skipping: false, started: false }
    }

    /// The reader and what it gave beyond the last line.
    #[cfg(unix)]
    pub(crate) fn into_parts(self) -> (BytesMut, R) {
        (self.buffer, self.reader)
    }

    /// The same stream with another limit.
    #[cfg(unix)]
    pub(crate) fn limited(self, most: usize) -> Self {
        Self { most, ..self }
    }

    /// The next line; `None` at the end of the stream, and for an unfinished last line. Loses nothing if
    /// it is dropped before it ends.
    pub(crate) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.take() {
                return Ok(Some(line));
            }
            self.buffer.reserve(4096);
            if self.reader.read_buf(&mut self.buffer).await? == 0 {
                return Ok(self.take_last());
            }
        }
    }

    fn take(&mut self) -> Option<Line> {
        if !self.started && !self.start()? {
            return Some(Line::Utf16);
        }
        loop {
            let fresh = self.buffer.get(self.searched..).unwrap_or_default();
            let Some(at) = memchr::memchr(b'\n', fresh).map(|at| at + self.searched) else {
                self.searched = self.buffer.len();
                if self.skipping || self.buffer.len() > self.most {
                    let first = !std::mem::replace(&mut self.skipping, true);
                    self.buffer.clear();
                    self.searched = 0;
                    return first.then_some(Line::TooLong);
                }
                return None;
            };
            self.searched = 0;
            let line = self.buffer.split_to(at + 1).freeze().slice(..at);
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if line.len() > self.most {
                return Some(Line::TooLong);
            }
            if let Some(text) = trimmed(line) {
                return Some(Line::Text(text));
            }
        }
    }

    /// Some hosts close without a last end of line.
    fn take_last(&mut self) -> Option<Line> {
        self.searched = 0;
        let rest = self.buffer.split().freeze();
        if self.skipping { None } else { trimmed(rest).map(Line::Text) }
    }

    /// Skips a byte order mark. `None`: more bytes are needed; `Some(false)`: this is UTF-16.
    fn start(&mut self) -> Option<bool> {
        match *self.buffer {
            [] | [0xEF] | [0xEF, 0xBB] => return None,
            [0xEF, 0xBB, 0xBF, ..] => drop(self.buffer.split_to(3)),
            // A mark, or a zero byte beside the first character, which is ASCII in JSON.
            [0xFE, ..] | [0xFF, ..] | [0, ..] | [_, 0, ..] => return Some(false),
            [b'{' | b'['] => return None,
            _ => {}
        }
        self.started = true;
        Some(true)
    }
}

fn trimmed(line: Bytes) -> Option<Bytes> {
    let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r');
    let start = line.iter().position(|b| !blank(b))?;
    let end = line.iter().rposition(|b| !blank(b))? + 1;
    Some(line.slice(start..end))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(bytes: &[u8], piece: usize) -> Vec<Line> {
        let (mut feed, reader) = tokio::io::duplex(piece);
        let bytes = bytes.to_vec();
        tokio::spawn(async move { tokio::io::AsyncWriteExt::write_all(&mut feed, &bytes).await });
        let mut lines = Lines::new(reader, 8);
        let mut out = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            let last = line == Line::Utf16;
            out.push(line);
            if last {
                break;
            }
        }
        out
    }

    #[tokio::test]
    async fn however_the_bytes_arrive() {
        let text = |t: &'static str| Line::Text(Bytes::from_static(t.as_bytes()));
        for (bytes, expected) in [
            (&b"{\"a\":1}\n[]\n"[..], vec![text("{\"a\":1}"), text("[]")]),
            (b"\xEF\xBB\xBF{}\r\n\r\n \n{}", vec![text("{}"), text("{}")]),
            (b"12345678\n123456789\n1\n", vec![text("12345678"), Line::TooLong, text("1")]),
            (b"0123456789012345678901234567890123456789\n1\n", vec![Line::TooLong, text("1")]),
            (b"0123456789012345678901234567890123456789", vec![Line::TooLong]),
            (b"\xFF\xFE{\0}\0\n\0", vec![Line::Utf16]),
            (b"\xFE\xFF\0{", vec![Line::Utf16]),
            (b"{\0}\0\n\0", vec![Line::Utf16]),
            (b"\0{\0}", vec![Line::Utf16]),
            (b"{", vec![text("{")]),
            (b"", vec![]),
        ] {
            for piece in [1, 2, 3, 7, 64] {
                assert_eq!(all(bytes, piece).await, expected, "{:?} by {piece}", String::from_utf8_lossy(bytes));
            }
        }
    }
}
