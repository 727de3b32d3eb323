//! Server-sent events, read as they come: chunks in, events out, never more held than the limit.
//!
//! In scope: the event-stream format (WHATWG HTML, "Server-sent events", parsing).
//! Out of scope: I/O, reconnecting, what the data means.

use crate::lines::{Lines, keep_tail};
use bytes::Bytes;

/// One dispatched event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// The `data` lines, joined with line feeds; may be empty (a priming event).
    pub(crate) data: Bytes,
    /// Its type, as far as it matters here.
    pub(crate) kind: Kind,
    /// The last bytes of one that was too long.
    pub(crate) tail: Vec<u8>,
}

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No type, or `message`: MCP sends its messages so.
    Message,
    /// `endpoint`: where messages go, in MCP 2024-11-05.
    Endpoint,
    /// Over the limit: its data holds only the first bytes. Comes only of [`Parser::skipping`].
    TooLong,
    /// Anything else.
    Other,
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
    kind: Kind,
    /// The last chunk ended in a carriage return: a line feed that follows belongs to it.
    after_cr: bool,
    at_start: bool,
    last_id: Option<Box<str>>,
    retry_ms: Option<u64>,
    /// How much of an event over the limit is read and forgotten before the stream is given up.
    patience: usize,
    skipped: Option<Skipped>,
}

/// What is kept of an event over the limit.
#[derive(Debug, Default)]
struct Skipped {
    head: Vec<u8>,
    tail: Vec<u8>,
    bytes: usize,
    /// The line that is forgotten has not ended yet.
    mid_line: bool,
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
            kind: Kind::Message,
            after_cr: false,
            at_start: true,
            last_id: None,
            retry_ms: None,
            patience: 0,
            skipped: None,
        }
    }

    /// The same, but an event that is over the limit, though not by much more than three times, costs only itself.
    pub(crate) fn skipping(max: usize) -> Self {
        Self { patience: max.saturating_mul(4), ..Self::new(max) }
    }

    /// The newest `id` field: where to resume.
    pub(crate) fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// The newest `retry` field, in milliseconds.
    pub(crate) const fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    /// The first bytes of an event for which the stream was given up.
    pub(crate) fn given_up(&self) -> &[u8] {
        self.skipped.as_ref().map_or(&[], |skipped| &skipped.head)
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
            if self.ends_skipped_line() || self.line.len() + line.len() > self.max {
                self.skip_line(line)?;
            } else if self.line.is_empty() {
                self.take_line(line, out)?;
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.take_line(&whole, out)?;
                if whole.capacity() <= 1 << 16 {
                    whole.clear();
                    self.line = whole;
                }
            }
        }
        let skips = self.skipped.as_ref().is_some_and(|skipped| skipped.mid_line);
        if skips || self.line.len() + chunk.len() > self.max {
            self.skip_line(chunk)?;
            if let Some(skipped) = &mut self.skipped {
                skipped.mid_line = true;
            }
        } else {
            self.line.extend_from_slice(chunk);
        }
        Ok(())
    }

    fn ends_skipped_line(&mut self) -> bool {
        self.skipped.as_mut().is_some_and(|skipped| std::mem::take(&mut skipped.mid_line))
    }

    /// Forgets a line, of which `more` is what is not held yet.
    fn skip_line(&mut self, more: &[u8]) -> Result<(), TooLong> {
        let mut line = std::mem::take(&mut self.line);
        line.extend_from_slice(more);
        let value = line.strip_prefix(b"data:").unwrap_or(&line);
        self.skip(value.strip_prefix(b" ").unwrap_or(value))
    }

    /// Forgets data of the current event.
    fn skip(&mut self, more: &[u8]) -> Result<(), TooLong> {
        let skipped = self.skipped.get_or_insert_with(|| {
            let data = std::mem::take(&mut self.data);
            let first = if data.is_empty() { more } else { &data };
            let mut skipped = Skipped { head: first.get(..Lines::END).unwrap_or(first).to_vec(), ..Skipped::default() };
            keep_tail(&mut skipped.tail, &data);
            skipped
        });
        skipped.bytes = skipped.bytes.saturating_add(more.len());
        keep_tail(&mut skipped.tail, more);
        if skipped.bytes > self.patience { Err(TooLong { max: self.max }) } else { Ok(()) }
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
            b"data" if self.skipped.is_some() || self.data.len() + value.len() + 1 > self.max => self.skip(value)?,
            b"data" => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            b"event" => {
                self.kind = match value {
                    b"" | b"message" => Kind::Message,
                    b"endpoint" => Kind::Endpoint,
                    _ => Kind::Other,
                };
            }
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
        if let Some(Skipped { head, tail, .. }) = self.skipped.take() {
            out.push(Event { data: head.into(), kind: Kind::TooLong, tail });
        } else if self.has_data {
            out.push(Event { data: std::mem::take(&mut self.data).into(), kind: self.kind, tail: Vec::new() });
        }
        self.has_data = false;
        self.kind = Kind::Message;
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
        assert_eq!(out.iter().map(|e| e.kind).collect::<Vec<_>>(), [Kind::Endpoint, Kind::Message]);
        assert_eq!((parser.last_id(), parser.retry_ms()), (Some("a"), Some(250)));
    }

    #[test]
    fn an_event_that_is_too_long_costs_only_itself() {
        let long = "x".repeat(100);
        for (name, text, head, tail) in [
            ("one line", format!("data: {{\"id\":7,{long}}}\n\n"), "{\"id\":7,x", "x}"),
            ("many lines", format!("data: {{\"id\":7,\ndata:{long}\rdata: ,\r\ndata: }}\n\n"), "{\"id\":7,", "x,}"),
            ("a long field of no meaning", format!("foo: {long}\ndata: a\n\n"), "foo: x", "xa"),
        ] {
            let text = format!("data: before\n\n{text}data: after\n\n");
            for size in [1, 2, 7, 63, 300] {
                let mut parser = Parser::skipping(64);
                let mut out = Vec::new();
                for chunk in text.as_bytes().chunks(size) {
                    parser.feed(chunk, &mut out).unwrap();
                    assert!(parser.line.len() <= 64 && parser.data.len() <= 64);
                }
                let [before, skipped, after] = &out[..] else { panic!("{name}, chunks of {size}: {out:?}") };
                assert_eq!((&before.data[..], &after.data[..]), (&b"before"[..], &b"after"[..]), "{name}");
                assert_eq!(skipped.kind, Kind::TooLong, "{name}");
                assert!(skipped.data.starts_with(head.as_bytes()) && skipped.tail.ends_with(tail.as_bytes()), "{name}");
            }
        }
        let mut parser = Parser::skipping(64);
        let endless = format!("data: {{\"id\":7,{}", "x".repeat(300));
        assert_eq!(parser.feed(endless.as_bytes(), &mut Vec::new()), Err(TooLong { max: 64 }));
        assert!(parser.given_up().starts_with(b"{\"id\":7,x"));
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
            for mut parser in [Parser::new(64), Parser::skipping(64)] {
                let mut out = Vec::new();
                for chunk in &chunks {
                    if parser.feed(chunk, &mut out).is_err() { break; }
                    prop_assert!(parser.line.len() <= 64 && parser.data.len() <= 64);
                    let ends = parser.skipped.as_ref().map_or(0, |s| s.head.len().max(s.tail.len()));
                    prop_assert!(ends <= Lines::END);
                }
            }
        }
    }
}
