//! The strict walk: one pass over the text, no recursion, a flat list of where each value stands.

use super::plain;
use std::borrow::Cow;

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
    /// Checks `text` and notes where its values stand. Time and memory are linear in the text, but that the
    /// keys of an object of many members are sorted.
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
        let nodes = Vec::with_capacity(16 + text.len() / 24);
        let mut walk = Walk { text, at: 0, nodes, open: None, depth: 0, limits };
        walk.document()?;
        Ok(Self { nodes: walk.nodes })
    }
}

struct Walk<'a> {
    text: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    /// The innermost container that is open. Until it is closed, its node's `next` is the one around it
    /// (of the outermost one: anything), so that no list of them is kept beside the tape.
    open: Option<Open>,
    depth: usize,
    limits: Limits,
}

#[derive(Clone, Copy)]
struct Open {
    index: usize,
    object: bool,
}

impl Walk<'_> {
    fn document(&mut self) -> Result<(), JsonError> {
        loop {
            // Here stands a value.
            match self.next_byte()? {
                b'"' => self.string()?,
                b'{' => {
                    self.open(true)?;
                    if self.next_byte()? != b'}' {
                        self.key()?;
                        continue;
                    }
                }
                b'[' => {
                    self.open(false)?;
                    if self.next_byte()? != b']' {
                        continue;
                    }
                }
                b'-' | b'0'..=b'9' => self.number()?,
                b't' => self.literal(b"true", Token::True)?,
                b'f' => self.literal(b"false", Token::False)?,
                b'n' => self.literal(b"null", Token::Null)?,
                _ => return Err(self.fault(Fault::Grammar)),
            }
            // Here one has ended, or the container that was opened last is empty.
            loop {
                let Some(open) = self.open else {
                    self.skip_space();
                    return if self.at == self.text.len() { Ok(()) } else { Err(self.fault(Fault::Grammar)) };
                };
                match self.next_byte()? {
                    b',' => {
                        self.at += 1;
                        if open.object {
                            self.key()?;
                        }
                        break;
                    }
                    b'}' if open.object => {
                        self.close(open)?;
                        self.refuse_duplicates(open.index)?;
                    }
                    b']' if !open.object => self.close(open)?,
                    _ => return Err(self.fault(Fault::Grammar)),
                }
            }
        }
    }

    /// A member's key and the colon after it.
    fn key(&mut self) -> Result<(), JsonError> {
        if self.next_byte()? != b'"' {
            return Err(self.fault(Fault::Grammar));
        }
        self.string()?;
        if self.next_byte()? != b':' {
            return Err(self.fault(Fault::Grammar));
        }
        self.at += 1;
        Ok(())
    }

    /// Begins the container whose opening bracket stands at `self.at`.
    fn open(&mut self, object: bool) -> Result<(), JsonError> {
        if self.depth >= self.limits.depth {
            return Err(self.fault(Fault::Depth));
        }
        let index = self.nodes.len();
        self.push(if object { Token::Object } else { Token::Array }, self.at, self.at)?;
        if let (Some(node), Some(around)) = (self.nodes.last_mut(), self.open) {
            node.next = narrow(around.index);
        }
        self.open = Some(Open { index, object });
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// Ends the innermost container, whose closing bracket stands at `self.at`.
    fn close(&mut self, open: Open) -> Result<(), JsonError> {
        let wrong = self.fault(Fault::Grammar);
        self.at += 1;
        self.depth -= 1;
        let (end, next) = (self.at, self.nodes.len());
        let node = self.nodes.get_mut(open.index).ok_or(wrong)?;
        let around = node.next as usize;
        node.end = narrow(end);
        node.next = narrow(next);
        self.open = (self.depth > 0)
            .then(|| self.nodes.get(around))
            .flatten()
            .map(|node| Open { index: around, object: node.token == Token::Object });
        Ok(())
    }

    /// Compares what the keys *mean*. First by their prints: where no two are the same, no two keys are.
    fn refuse_duplicates(&self, object: usize) -> Result<(), JsonError> {
        const FEW: usize = 24;
        let mut prints = [0; FEW];
        for (seen, key) in self.keys(object).enumerate() {
            let print = if key.token == Token::Plain {
                print(self.span(key.start, key.end))
            } else {
                return self.compare_keys(object);
            };
            let (before, rest) = prints.split_at_mut(seen);
            match rest.first_mut() {
                Some(slot) if !before.contains(&print) => *slot = print,
                _ => return self.compare_keys(object),
            }
        }
        Ok(())
    }

    /// Sorts the keys, by print first. The order does not lean on chance: whatever keys were chosen, this takes
    /// n log n comparisons.
    fn compare_keys(&self, object: usize) -> Result<(), JsonError> {
        struct Key<'a> {
            print: u64,
            name: Cow<'a, [u8]>,
            start: u32,
        }
        let mut keys: Vec<Key<'_>> = Vec::with_capacity(self.keys(object).count());
        keys.extend(self.keys(object).map(|key| {
            let raw = self.span(key.start, key.end);
            let name = match key.token {
                // Two halves of surrogate pairs are the same if they are spelled the same.
                Token::Escaped => super::view::unescape(raw).map_or(Cow::Borrowed(raw), |s| Cow::Owned(s.into_bytes())),
                _ => Cow::Borrowed(raw),
            };
            Key { print: print(&name), name, start: key.start }
        }));
        keys.sort_unstable_by(|a, b| (a.print, &a.name, a.start).cmp(&(b.print, &b.name, b.start)));
        let again = keys.array_windows().filter(|[a, b]| a.print == b.print && a.name == b.name);
        match again.map(|[_, b]| b.start).min() {
            Some(start) => Err(JsonError { fault: Fault::Duplicate, at: start as usize }),
            None => Ok(()),
        }
    }

    /// The keys of a closed object, in the order of the text.
    fn keys(&self, object: usize) -> impl Iterator<Item = &Node> {
        let end = self.nodes.get(object).map_or(0, |n| n.next as usize);
        let mut at = object + 1;
        std::iter::from_fn(move || {
            let (key, value) = (self.nodes.get(at)?, self.nodes.get(at + 1)?);
            (at < end).then(|| {
                at = value.next as usize;
                key
            })
        })
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
            at += plain::run(self.text.get(at..).unwrap_or_default());
            match self.text.get(at) {
                None => return Err(JsonError { fault: Fault::Truncated, at }),
                Some(b'"') => break,
                Some(b'\\') => {
                    token = Token::Escaped;
                    at = self.escape(at)?;
                }
                Some(_) => return Err(JsonError { fault: Fault::Grammar, at }),
            }
        }
        self.at = at + 1;
        self.push(token, start, at + 1)
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

    /// The byte after any space, which stays where it is.
    fn next_byte(&mut self) -> Result<u8, JsonError> {
        self.skip_space();
        self.peek().ok_or_else(|| self.fault(Fault::Truncated))
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

/// A number that differs for most keys that differ: made of the first and the last eight bytes.
fn print(name: &[u8]) -> u64 {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    match (name.first_chunk(), name.last_chunk()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first).wrapping_mul(SPREAD) ^ u64::from_le_bytes(*last),
        _ => name.iter().fold(0, |print, byte| print << 8 | u64::from(*byte)),
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
