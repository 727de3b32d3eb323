//! Server-sent events, read as they come: chunks in, events out, never more held than the limit.
//!
//! In scope: the event-stream format (WHATWG HTML, "Server-sent events", parsing).
//! Out of scope: I/O, reconnecting, what the data means.

use bytes::Bytes;

/// One dispatched event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// The `data` lines, joined with line feeds; may be empty (a priming event).
    pub(crate) data: Bytes,
    /// Whether the event's type is one that MCP sends messages under: none, or `message`.
    pub(crate) is_message: bool,
}

/// The stream holds a line or an event over the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of more than {max} bytes")]
pub(crate) struct TooLong {
    /// The limit.
    pub(crate) max: usize,
}

/// The state between chunks.
#[derive(Debug)]
pub(crate) struct Parser {
    max: usize,
    /// An unfinished line; complete ones are read where they stand.
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    is_message: bool,
    /// The last chunk ended in a carriage return: a line feed that follows belongs to it.
    after_cr: bool,
    at_start: bool,
    last_id: Option<Box<str>>,
    retry_ms: Option<u64>,
}

impl Parser {
    /// Other fields than `data` are short; longer ones are ignored.
    const MAX_FIELD: usize = 1024;

    /// `max`: most bytes of one line and of one event's data.
    pub(crate) const fn new(max: usize) -> Self {
        Self {
            max,
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            is_message: true,
            after_cr: false,
            at_start: true,
            last_id: None,
            retry_ms: None,
        }
    }

    /// The newest `id` field: where to resume.
    pub(crate) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// The newest `retry` field, in milliseconds.
    pub(crate) const fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// Reads `chunk` and appends what it completes to `out`.
    pub(crate) fn feed(&mut self, mut chunk: &[u8], out: &mut Vec<Event>) -> Result<(), TooLong> {
        if self.after_cr && !chunk.is_empty() {
            self.after_cr = false;
            chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
        }
        while let Some(end) = memchr::memchr2(b'\n', b'\r', chunk) {
            let (line, rest) = chunk.split_at(end);
            chunk = match rest {
                [b'\r', b'\n', rest @ ..] | [_, rest @ ..] => rest,
                [] => rest,
            };
            self.after_cr = rest == b"\r";
            if self.line.is_empty() {
                self.check(line.len())?;
                self.take_line(line, out)?;
            } else {
                self.check(self.line.len() + line.len())?;
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.take_line(&whole, out)?;
                if whole.capacity() <= 1 << 16 {
                    whole.clear();
                    self.line = whole;
                }
            }
        }
        self.check(self.line.len() + chunk.len())?;
        self.line.extend_from_slice(chunk);
        Ok(())
    }

    const fn check(&self, len: usize) -> Result<(), TooLong> {
        if len > self.max { Err(TooLong { max: self.max }) } else { Ok(()) }
    }

    fn take_line(&mut self, mut line: &[u8], out: &mut Vec<Event>) -> Result<(), TooLong> {
        if std::mem::take(&mut self.at_start) {
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        if line.is_empty() {
            self.dispatch(out);
            return Ok(());
        }
        let (field, value) = match memchr::memchr(b':', line) {
            Some(0) => return Ok(()), // a comment
            Some(at) => {
                let (field, value) = line.split_at(at);
                let value = value.get(1..).unwrap_or_default();
                (field, value.strip_prefix(b" ").unwrap_or(value))
            }
            None => (line, &b""[..]),
        };
        match field {
            b"data" => {
                self.check(self.data.len() + value.len() + 1)?;
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            b"event" => self.is_message = value.is_empty() || value == b"message",
            b"id" if value.len() <= Self::MAX_FIELD && !value.contains(&0) => {
                self.last_id = std::str::from_utf8(value).ok().map(Into::into);
            }
            b"retry" if !value.is_empty() && value.len() < 10 && value.iter().all(u8::is_ascii_digit) => {
                self.retry_ms = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
            }
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, out: &mut Vec<Event>) {
        if self.has_data {
            out.push(Event { data: std::mem::take(&mut self.data).into(), is_message: self.is_message });
        }
        self.has_data = false;
        self.is_message = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(chunks: &[&[u8]]) -> Result<Vec<String>, TooLong> {
        let mut parser = Parser::new(64);
        let mut out = Vec::new();
        for chunk in chunks {
            parser.feed(chunk, &mut out)?;
        }
        Ok(out.into_iter().map(|e| String::from_utf8_lossy(&e.data).into_owned()).collect())
    }

    #[test]
    fn lines_end_three_ways() {
        for (name, text, expected) in [
            ("lf", &b"data: a\n\ndata: b\n\n"[..], vec!["a", "b"]),
            ("crlf", b"data: a\r\n\r\ndata: b\r\n\r\n", vec!["a", "b"]),
            ("cr", b"data: a\r\rdata: b\r\r", vec!["a", "b"]),
            ("mixed", b"data: a\r\n\rdata: b\n\r\n", vec!["a", "b"]),
            ("byte order mark", b"\xEF\xBB\xBFdata: a\n\n", vec!["a"]),
            ("many lines", b"data: a\ndata:b\ndata\ndata:  c\n\n", vec!["a\nb\n\n c"]),
            ("comments and others", b": ping\n\nevent: message\nfoo: x\nid: 7\ndata: a\n\n", vec!["a"]),
            ("no data", b"event: message\nid: 1\n\n", vec![]),
            ("empty data", b"id: 1\ndata:\n\n", vec![""]),
            ("unfinished", b"data: a\n", vec![]),
        ] {
            assert_eq!(read(&[text]).unwrap(), expected, "{name}");
            let bytes: Vec<&[u8]> = text.chunks(1).collect();
            assert_eq!(read(&bytes).unwrap(), expected, "{name}, byte by byte");
        }
    }

    #[test]
    fn type_id_and_retry() {
        let mut parser = Parser::new(64);
        let mut out = Vec::new();
        parser
            .feed(b"event: endpoint\ndata: /x\nid: a\nretry: 250\n\nretry: soon\nid: b\0\ndata: y\n\n", &mut out)
            .unwrap();
        assert_eq!(out.iter().map(|e| e.is_message).collect::<Vec<_>>(), [false, true]);
        assert_eq!((parser.last_id(), parser.retry_ms()), (Some("a"), Some(250)));
    }

    #[test]
    fn too_long() {
        assert_eq!(read(&[&[b'x'; 65]]), Err(TooLong { max: 64 }));
        assert_eq!(read(&[&[b'x'; 40], &[b'x'; 40]]), Err(TooLong { max: 64 }));
        let line = format!("data: {}\n", "x".repeat(30));
        assert_eq!(read(&[line.as_bytes(), line.as_bytes(), line.as_bytes()]), Err(TooLong { max: 64 }));
    }

    proptest! {
        #[test]
        fn chunks_do_not_matter(text in "(data: ?[a-c]{0,3}|id: x|:c|)(\r|\n|\r\n)(\r|\n|\r\n|data)*", cut in 0_usize..40) {
            let bytes = text.as_bytes();
            let cut = cut.min(bytes.len());
            prop_assert_eq!(read(&[bytes]), read(&[&bytes[..cut], &bytes[cut..]]));
        }

        #[test]
        fn never_holds_more_than_the_limit(chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..20)) {
            let mut parser = Parser::new(64);
            let mut out = Vec::new();
            for chunk in &chunks {
                if parser.feed(chunk, &mut out).is_err() { break; }
                prop_assert!(parser.line.len() <= 64 && parser.data.len() <= 64);
            }
        }
    }
}
