//! The strict walk: one pass over the text, no recursion, a flat list of where each value stands.

use std::borrow::Cow;
use std::collections::HashSet;

/// What a text may be. The defaults are those of design section 2 of the path of a call.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most levels of arrays and objects.
    pub depth: usize,
    /// Most values and keys together.
    pub nodes: usize,
    /// Whether a `\u` escape may name half a surrogate pair. Such a string has no Unicode text and
    /// parsers disagree about it, so requests may not; results may, since servers do send them.
    pub lone_surrogates: bool,
}

impl Limits {
    /// For what an agent sends and a decision reads.
    pub const REQUEST: Self = Self { depth: 64, nodes: 262_144, lone_surrogates: false };
    /// For what a server sends back.
    pub const RESULT: Self = Self { depth: 64, nodes: 1_048_576, lone_surrogates: true };
}

/// Why a text was refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at byte {at}")]
pub struct JsonError {
    /// What is wrong.
    pub fault: Fault,
    /// Byte offset in the text.
    pub at: usize,
}

/// What can be wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not RFC 8259.
    #[error("not valid JSON")]
    Grammar,
    /// Ends too early.
    #[error("unfinished JSON")]
    Truncated,
    /// Not UTF-8.
    #[error("not UTF-8")]
    Utf8,
    /// An escape names half a surrogate pair.
    #[error("half a surrogate pair")]
    LoneSurrogate,
    /// The same member twice in one object.
    #[error("a member that the object already has")]
    Duplicate,
    /// Over [`Limits::depth`].
    #[error("nested too deep")]
    Depth,
    /// Over [`Limits::nodes`], or a text of 4 GiB.
    #[error("too many values")]
    Size,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Null,
    True,
    False,
    Number,
    /// Without escapes: the text between the quotes is the value.
    Plain,
    /// With escapes.
    Escaped,
    Array,
    Object,
}

/// Where one value stands. `end` is one past its last byte, `next` the index after its subtree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) next: u32,
    pub(super) token: Token,
}

/// The values of one JSON text in document order; an object is followed by key, value, key, value.
#[derive(Clone, Debug)]
pub struct Tape {
    pub(super) nodes: Vec<Node>,
}

impl Tape {
    /// Checks `text` and notes where its values stand. Time and memory are linear in the text.
    ///
    /// # Errors
    ///
    /// [`JsonError`] at the first fault.
    pub fn parse(text: &[u8], limits: Limits) -> Result<Self, JsonError> {
        if u32::try_from(text.len()).is_err() {
            return Err(JsonError { fault: Fault::Size, at: 0 });
        }
        if let Err(e) = std::str::from_utf8(text) {
            return Err(JsonError { fault: Fault::Utf8, at: e.valid_up_to() });
        }
        let mut walk = Walk { text, at: 0, nodes: Vec::with_capacity(16 + text.len() / 24), limits };
        walk.document()?;
        Ok(Self { nodes: walk.nodes })
    }
}

/// What the walk expects next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrEnd,
    KeyOrEnd,
    Key,
    CommaOrEnd,
}

struct Walk<'a> {
    text: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    limits: Limits,
}

impl Walk<'_> {
    fn document(&mut self) -> Result<(), JsonError> {
        // Indices of the containers that are open; its length is the depth.
        let mut open: Vec<usize> = Vec::with_capacity(8);
        let mut expect = Expect::Value;
        loop {
            self.skip_space();
            let byte = self.peek().ok_or_else(|| self.fault(Fault::Truncated))?;
            match (expect, byte) {
                (Expect::KeyOrEnd, b'}') | (Expect::ValueOrEnd, b']') => self.close(&mut open)?,
                (Expect::CommaOrEnd, b'}' | b']') => self.close(&mut open)?,
                (Expect::CommaOrEnd, b',') => {
                    self.at += 1;
                    expect = if self.in_object(&open) { Expect::Key } else { Expect::Value };
                    continue;
                }
                (Expect::KeyOrEnd | Expect::Key, b'"') => {
                    self.string()?;
                    self.skip_space();
                    match self.peek() {
                        Some(b':') => self.at += 1,
                        Some(_) => return Err(self.fault(Fault::Grammar)),
                        None => return Err(self.fault(Fault::Truncated)),
                    }
                    expect = Expect::Value;
                    continue;
                }
                (Expect::Value | Expect::ValueOrEnd, b'{' | b'[') => {
                    if open.len() >= self.limits.depth {
                        return Err(self.fault(Fault::Depth));
                    }
                    open.push(self.nodes.len());
                    let object = byte == b'{';
                    self.push(if object { Token::Object } else { Token::Array }, self.at, self.at)?;
                    self.at += 1;
                    expect = if object { Expect::KeyOrEnd } else { Expect::ValueOrEnd };
                    continue;
                }
                (Expect::Value | Expect::ValueOrEnd, b'"') => self.string()?,
                (Expect::Value | Expect::ValueOrEnd, b'-' | b'0'..=b'9') => self.number()?,
                (Expect::Value | Expect::ValueOrEnd, b't') => self.literal(b"true", Token::True)?,
                (Expect::Value | Expect::ValueOrEnd, b'f') => self.literal(b"false", Token::False)?,
                (Expect::Value | Expect::ValueOrEnd, b'n') => self.literal(b"null", Token::Null)?,
                _ => return Err(self.fault(Fault::Grammar)),
            }
            if open.is_empty() {
                self.skip_space();
                return if self.at == self.text.len() { Ok(()) } else { Err(self.fault(Fault::Grammar)) };
            }
            expect = Expect::CommaOrEnd;
        }
    }

    fn in_object(&self, open: &[usize]) -> bool {
        open.last().and_then(|i| self.nodes.get(*i)).is_some_and(|n| n.token == Token::Object)
    }

    /// Ends the innermost container, whose closing bracket stands at `self.at`.
    fn close(&mut self, open: &mut Vec<usize>) -> Result<(), JsonError> {
        let wrong = self.fault(Fault::Grammar);
        let index = open.pop().ok_or(wrong)?;
        let object = self.peek() == Some(b'}');
        let (end, next) = (self.at + 1, self.nodes.len());
        let node = self.nodes.get_mut(index).ok_or(wrong)?;
        if (node.token == Token::Object) != object {
            return Err(wrong);
        }
        node.end = narrow(end);
        node.next = narrow(next);
        self.at = end;
        if object { self.refuse_duplicates(index) } else { Ok(()) }
    }

    /// Few keys are compared pairwise, many through a set; both compare what the keys *mean*.
    fn refuse_duplicates(&self, object: usize) -> Result<(), JsonError> {
        const FEW: usize = 8;
        let mut few: [(u32, u32); FEW] = [(0, 0); FEW];
        let mut seen = 0;
        let mut at = object + 1;
        let end = self.nodes.get(object).map_or(0, |n| n.next as usize);
        while let (Some(key), Some(value)) = (self.nodes.get(at), self.nodes.get(at + 1))
            && at < end
        {
            if seen == FEW || key.token == Token::Escaped {
                return self.refuse_duplicates_among_many(object, end);
            }
            let this = self.span(key.start, key.end);
            if few.iter().take(seen).any(|(s, e)| self.span(*s, *e) == this) {
                return Err(JsonError { fault: Fault::Duplicate, at: key.start as usize });
            }
            if let Some(slot) = few.get_mut(seen) {
                *slot = (key.start, key.end);
            }
            seen += 1;
            at = value.next as usize;
        }
        Ok(())
    }

    fn refuse_duplicates_among_many(&self, object: usize, end: usize) -> Result<(), JsonError> {
        let mut names: HashSet<Cow<'_, [u8]>> = HashSet::new();
        let mut at = object + 1;
        while let (Some(key), Some(value)) = (self.nodes.get(at), self.nodes.get(at + 1))
            && at < end
        {
            let raw = self.span(key.start, key.end);
            let name = if key.token == Token::Escaped {
                super::view::unescape(raw).map_or(Cow::Borrowed(raw), |s| Cow::Owned(s.into_bytes()))
            } else {
                Cow::Borrowed(raw)
            };
            if !names.insert(name) {
                return Err(JsonError { fault: Fault::Duplicate, at: key.start as usize });
            }
            at = value.next as usize;
        }
        Ok(())
    }

    /// A string's text without its quotes.
    fn span(&self, start: u32, end: u32) -> &[u8] {
        self.text.get(start as usize + 1..end as usize - 1).unwrap_or_default()
    }

    fn string(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        let mut token = Token::Plain;
        let mut at = start + 1;
        loop {
            match self.text.get(at) {
                None => return Err(JsonError { fault: Fault::Truncated, at }),
                Some(b'"') => break,
                Some(b'\\') => {
                    token = Token::Escaped;
                    at = self.escape(at)?;
                }
                Some(0..0x20) => return Err(JsonError { fault: Fault::Grammar, at }),
                // The common run: nothing to look at until the next quote, backslash or control.
                Some(_) => at = self.plain_run(at + 1),
            }
        }
        self.at = at + 1;
        self.push(token, start, at + 1)
    }

    /// The first offset at or after `from` that holds a quote, a backslash or a control character.
    fn plain_run(&self, from: usize) -> usize {
        const fn ends(b: u8) -> bool {
            matches!(b, b'"' | b'\\' | 0..0x20)
        }
        let rest = self.text.get(from..).unwrap_or_default();
        let (chunks, _) = rest.as_chunks::<32>();
        // A whole chunk is judged without branches, which the compiler turns into vector instructions.
        let clean =
            chunks.iter().take_while(|chunk| !chunk.iter().fold(false, |found, b| found | ends(*b))).count() * 32;
        let tail = rest.get(clean..).unwrap_or_default();
        from + clean + tail.iter().position(|b| ends(*b)).unwrap_or(tail.len())
    }

    /// Checks the escape at `at` and returns the offset after it.
    fn escape(&self, at: usize) -> Result<usize, JsonError> {
        let bad = |fault| Err(JsonError { fault, at });
        match self.text.get(at + 1) {
            None => bad(Fault::Truncated),
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
            Some(b'u') => {
                let Some(unit) = hex4(self.text.get(at + 2..at + 6)) else { return bad(Fault::Grammar) };
                match unit {
                    0xD800..=0xDBFF => match (self.text.get(at + 6..at + 8), hex4(self.text.get(at + 8..at + 12))) {
                        (Some(b"\\u"), Some(0xDC00..=0xDFFF)) => Ok(at + 12),
                        _ if self.limits.lone_surrogates => Ok(at + 6),
                        _ => bad(Fault::LoneSurrogate),
                    },
                    0xDC00..=0xDFFF if !self.limits.lone_surrogates => bad(Fault::LoneSurrogate),
                    _ => Ok(at + 6),
                }
            }
            Some(_) => bad(Fault::Grammar),
        }
    }

    fn number(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(self.grammar_or_end()),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        self.push(Token::Number, start, self.at)
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at > from { Ok(()) } else { Err(self.grammar_or_end()) }
    }

    fn literal(&mut self, word: &[u8], token: Token) -> Result<(), JsonError> {
        let start = self.at;
        let end = start + word.len();
        match self.text.get(start..end) {
            Some(found) if found == word => {
                self.at = end;
                self.push(token, start, end)
            }
            Some(_) => Err(self.fault(Fault::Grammar)),
            None if word.starts_with(self.text.get(start..).unwrap_or_default()) => Err(self.fault(Fault::Truncated)),
            None => Err(self.fault(Fault::Grammar)),
        }
    }

    fn push(&mut self, token: Token, start: usize, end: usize) -> Result<(), JsonError> {
        if self.nodes.len() >= self.limits.nodes {
            return Err(self.fault(Fault::Size));
        }
        let next = narrow(self.nodes.len() + 1);
        self.nodes.push(Node { start: narrow(start), end: narrow(end), next, token });
        Ok(())
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    const fn fault(&self, fault: Fault) -> JsonError {
        JsonError { fault, at: self.at }
    }

    fn grammar_or_end(&self) -> JsonError {
        self.fault(if self.at >= self.text.len() { Fault::Truncated } else { Fault::Grammar })
    }
}

/// Offsets fit: `Tape::parse` refuses texts of 4 GiB and more, and there are fewer nodes than bytes.
#[expect(clippy::cast_possible_truncation, reason = "bounded by the check in `Tape::parse`")]
const fn narrow(n: usize) -> u32 {
    n as u32
}

/// Four hexadecimal digits of either case.
pub(super) fn hex4(digits: Option<&[u8]>) -> Option<u16> {
    let digits = digits?;
    if digits.len() != 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    std::str::from_utf8(digits).ok().and_then(|s| u16::from_str_radix(s, 16).ok())
}
