//! Newline-delimited messages out of a byte stream, with a bound on what an unfinished line may hold.
//!
//! In scope: finding lines, and saying enough about one that is too long to know whose answer it was.
//! Out of scope: I/O, JSON.

use bytes::{Bytes, BytesMut};

/// One line, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// All of it.
    Whole(Bytes),
    /// Over the limit; it was dropped as it came in, save its two ends.
    TooLong {
        /// The first bytes.
        head: Bytes,
        /// The last bytes.
        tail: Vec<u8>,
    },
}

/// The state between reads. Bytes are appended to [`Lines::buffer`], lines taken with [`Lines::next`].
#[derive(Debug)]
pub(crate) struct Lines {
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line end.
    scanned: usize,
    max: usize,
    dropping: Option<(Bytes, Vec<u8>)>,
}

impl Lines {
    /// What is kept of each end of a line over the limit.
    pub(crate) const END: usize = 256;
    /// What one read may bring.
    const READ: usize = 64 << 10;

    /// `max`: most bytes of a line.
    pub(crate) fn new(max: usize) -> Self {
        Self { buffer: BytesMut::new(), scanned: 0, max, dropping: None }
    }

    /// Where the next read goes.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        self.buffer.reserve(Self::READ);
        &mut self.buffer
    }

    /// The next complete line.
    pub(crate) fn next(&mut self) -> Option<Line> {
        let unread = self.buffer.get(self.scanned..).unwrap_or_default();
        let Some(end) = memchr::memchr(b'\n', unread).map(|at| self.scanned + at) else {
            self.scanned = self.buffer.len();
            if self.scanned > self.max || self.dropping.is_some() {
                self.drop_unfinished();
            }
            return None;
        };
        self.scanned = 0;
        let mut line = self.buffer.split_to(end + 1);
        line.truncate(end);
        if line.ends_with(b"\r") {
            line.truncate(end - 1);
        }
        match self.dropping.take() {
            Some((head, mut tail)) => {
                keep_tail(&mut tail, &line);
                Some(Line::TooLong { head, tail })
            }
            None if line.len() > self.max => {
                let mut tail = Vec::new();
                keep_tail(&mut tail, &line);
                line.truncate(Self::END);
                Some(Line::TooLong { head: Bytes::copy_from_slice(&line), tail })
            }
            None => Some(Line::Whole(line.freeze())),
        }
    }

    fn drop_unfinished(&mut self) {
        let held = self.buffer.split();
        self.scanned = 0;
        let (_, tail) = self.dropping.get_or_insert_with(|| {
            (Bytes::copy_from_slice(held.get(..Self::END).unwrap_or(&held)), Vec::with_capacity(Self::END * 2))
        });
        keep_tail(tail, &held);
    }
}

/// Appends `more` and keeps the last [`Lines::END`] bytes.
pub(crate) fn keep_tail(tail: &mut Vec<u8>, more: &[u8]) {
    tail.extend_from_slice(more.get(more.len().saturating_sub(Lines::END)..).unwrap_or_default());
    let excess = tail.len().saturating_sub(Lines::END);
    tail.drain(..excess);
}

/// The id of a response that was too long to keep, if its ends show it: our ids are integers, and
/// servers put the member either near the start or last of all.
pub(crate) fn id_of_too_long(head: &[u8], tail: &[u8]) -> Option<u64> {
    let tail = tail.trim_ascii_end().strip_suffix(b"}").and_then(|rest| {
        let rest = rest.trim_ascii_end();
        let digits = rest.iter().rev().take_while(|b| b.is_ascii_digit()).count();
        let (before, digits) = rest.split_at_checked(rest.len() - digits)?;
        let before = before.trim_ascii_end().strip_suffix(b":")?.trim_ascii_end().strip_suffix(b"\"id\"")?;
        before.trim_ascii_end().ends_with(b",").then_some(digits)
    });
    let digits = tail.or_else(|| {
        // Only members that cannot nest may stand before it, so that an `id` of the payload is none.
        let mut rest = head.trim_ascii_start().strip_prefix(b"{")?.trim_ascii_start();
        if let Some(after) = rest.strip_prefix(b"\"jsonrpc\"") {
            rest = after.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"2.0\"")?;
            rest = rest.trim_ascii_start().strip_prefix(b",")?.trim_ascii_start();
        }
        let rest = rest.strip_prefix(b"\"id\"")?.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
        let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
        rest.get(..digits)
    })?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(chunks: &[&[u8]], max: usize) -> Vec<Line> {
        let mut lines = Lines::new(max);
        let mut out = Vec::new();
        for chunk in chunks {
            lines.buffer().extend_from_slice(chunk);
            while let Some(line) = lines.next() {
                out.push(line);
            }
            assert!(lines.buffer.len() <= max, "an unfinished line holds no more than the limit");
        }
        out
    }

    fn whole(text: &str) -> Line {
        Line::Whole(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn lines() {
        assert_eq!(read(&[b"a\r\nb\n\nc"], 10), [whole("a"), whole("b"), whole("")]);
        assert_eq!(read(&[b"a", b"b", b"\n", b"c\n"], 10), [whole("ab"), whole("c")]);
    }

    #[test]
    fn a_line_over_the_limit_is_dropped_as_it_comes() {
        let long = "x".repeat(1000);
        let text = format!("{{\"id\":7,{long}\nnext\n");
        for size in [1, 7, 300, 5000] {
            let chunks: Vec<&[u8]> = text.as_bytes().chunks(size).collect();
            let lines = read(&chunks, 500);
            let [Line::TooLong { head, tail }, next] = &lines[..] else { panic!("{lines:?}") };
            assert_eq!(head.len(), Lines::END, "chunks of {size}");
            assert_eq!((id_of_too_long(head, tail), tail.len()), (Some(7), Lines::END));
            assert_eq!(next, &whole("next"));
        }
    }

    #[test]
    fn whose_answer_was_too_long() {
        for (head, tail, expected) in [
            (r#"{"jsonrpc":"2.0","id":12,"result":{"id":3"#, "\"}}", Some(12)),
            (r#"{ "id" : 12 , "result""#, "}", Some(12)),
            (r#"{"result":{"id":3"#, r#"x"},"jsonrpc":"2.0","id":12}"#, Some(12)),
            (r#"{"result":{"id":3"#, r#"x"}, "id" : 12 } "#, Some(12)),
            (r#"{"result":{"id":3"#, r#"x","id":4}}"#, None),
            (r#"{"jsonrpc":"2.0","method":"m","params":{"id":3"#, r#""}}"#, None),
            (r#"{"result":"\"#, r#"\"id\":4}"}"#, None),
        ] {
            assert_eq!(id_of_too_long(head.as_bytes(), tail.as_bytes()), expected, "{head} {tail}");
        }
    }

    proptest! {
        #[test]
        fn chunks_do_not_matter(text in "[a\r\n]{0,40}", cut in 0_usize..40) {
            let bytes = text.as_bytes();
            let cut = cut.min(bytes.len());
            let text = |lines: Vec<Line>| lines.into_iter().map(|l| match l {
                Line::Whole(b) => b.to_vec(),
                Line::TooLong { head, .. } => head.to_vec(),
            }).collect::<Vec<_>>();
            prop_assert_eq!(text(read(&[bytes], 100)), text(read(&[&bytes[..cut], &bytes[cut..]], 100)));
        }
    }
}
