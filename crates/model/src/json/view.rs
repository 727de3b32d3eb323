//! Reading values out of a checked text without copying it.

use super::plain;
use super::tape::{Node, Tape, Token, hex4};
use std::borrow::Cow;
use std::ops::Range;

/// One value of a checked text.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    text: &'a [u8],
    nodes: &'a [Node],
    at: usize,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number, as its text.
    Number,
    /// A string.
    String,
    /// An array.
    Array,
    /// An object.
    Object,
}

impl Kind {
    /// The JSON Schema name of the kind.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "boolean",
            Self::Number => "number",
            Self::String => "string",
            Self::Array => "array",
            Self::Object => "object",
        }
    }
}

impl<'a> View<'a> {
    pub(super) fn new(text: &'a [u8], tape: &'a Tape) -> Self {
        Self { text, nodes: &tape.nodes, at: 0 }
    }

    /// What the value is.
    #[must_use]
    #[inline]
    pub fn kind(&self) -> Kind {
        match self.node().token {
            Token::Null => Kind::Null,
            Token::True | Token::False => Kind::Bool,
            Token::Number => Kind::Number,
            Token::Plain | Token::Escaped => Kind::String,
            Token::Array => Kind::Array,
            Token::Object => Kind::Object,
        }
    }

    /// Where the value stands in the text, quotes and brackets included.
    #[must_use]
    #[inline]
    pub fn span(&self) -> Range<usize> {
        let n = self.node();
        n.start as usize..n.end as usize
    }

    /// The value's own bytes, as they came.
    #[must_use]
    #[inline]
    pub fn raw(&self) -> &'a [u8] {
        self.text.get(self.span()).unwrap_or_default()
    }

    /// The boolean, if it is one.
    #[must_use]
    #[inline]
    pub fn as_bool(&self) -> Option<bool> {
        match self.node().token {
            Token::True => Some(true),
            Token::False => Some(false),
            _ => None,
        }
    }

    /// The number's literal, if it is one: never rounded.
    #[must_use]
    pub fn as_number(&self) -> Option<&'a str> {
        (self.node().token == Token::Number).then(|| std::str::from_utf8(self.raw()).unwrap_or_default())
    }

    /// The number, if it is written as an integer and fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        self.as_number()?.parse().ok()
    }

    /// The string's value. `None` if it is not a string, or one that has no Unicode text.
    #[must_use]
    pub fn as_str(&self) -> Option<Cow<'a, str>> {
        let inner = self.raw().get(1..self.raw().len().saturating_sub(1)).unwrap_or_default();
        match self.node().token {
            Token::Plain => std::str::from_utf8(inner).ok().map(Cow::Borrowed),
            Token::Escaped => unescape(inner).map(Cow::Owned),
            _ => None,
        }
    }

    /// The string's bytes where it is written without escapes: its value, read without a check or a copy.
    #[must_use]
    #[inline]
    pub fn as_plain(&self) -> Option<&'a [u8]> {
        let raw = self.raw();
        (self.node().token == Token::Plain).then(|| raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default())
    }

    /// Whether the value is the string `s`.
    #[must_use]
    pub fn is_str(&self, s: &str) -> bool {
        match self.as_plain() {
            Some(found) => found == s.as_bytes(),
            None => self.as_str().is_some_and(|found| found == s),
        }
    }

    /// The member `name` of an object. `None` if there is none, or this is no object.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<View<'a>> {
        self.members().find(|(key, _)| key.is_str(name)).map(|(_, value)| value)
    }

    /// The members of an object, in the order of the text; none for other kinds.
    #[must_use]
    #[inline]
    pub fn members(&self) -> Members<'a> {
        let n = self.node();
        let end = if n.token == Token::Object { n.next as usize } else { 0 };
        Members { text: self.text, nodes: self.nodes, at: self.at + 1, end }
    }

    /// The elements of an array; none for other kinds.
    #[must_use]
    #[inline]
    pub fn elements(&self) -> Elements<'a> {
        let n = self.node();
        let end = if n.token == Token::Array { n.next as usize } else { 0 };
        Elements { text: self.text, nodes: self.nodes, at: self.at + 1, end }
    }

    #[inline]
    fn node(&self) -> Node {
        // A view is only made for an index that the tape has.
        self.nodes.get(self.at).copied().unwrap_or(Node { start: 0, end: 0, next: 0, token: Token::Null })
    }
}

/// Iterator over an object's members: key and value.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    text: &'a [u8],
    nodes: &'a [Node],
    at: usize,
    end: usize,
}

impl<'a> Iterator for Members<'a> {
    type Item = (View<'a>, View<'a>);
    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        let view = |at| View { text: self.text, nodes: self.nodes, at };
        let (key, value) = (view(self.at), view(self.at + 1));
        self.at = self.nodes.get(self.at + 1)?.next as usize;
        Some((key, value))
    }
}

/// Iterator over an array's elements.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    text: &'a [u8],
    nodes: &'a [Node],
    at: usize,
    end: usize,
}

impl<'a> Iterator for Elements<'a> {
    type Item = View<'a>;
    #[inline]
    fn next(&mut self) -> Option<View<'a>> {
        if self.at >= self.end {
            return None;
        }
        let value = View { text: self.text, nodes: self.nodes, at: self.at };
        self.at = self.nodes.get(self.at)?.next as usize;
        Some(value)
    }
}

/// The text behind the inside of a checked string; `None` where it names half a surrogate pair.
pub(super) fn unescape(inner: &[u8]) -> Option<String> {
    let mut out: Vec<u8> = Vec::with_capacity(inner.len());
    let mut rest = inner;
    loop {
        // No quote and no control character stands in it bare, so that a run ends at a backslash.
        let (run, escape) = rest.split_at_checked(plain::run(rest))?;
        out.extend_from_slice(run);
        if escape.is_empty() {
            break;
        }
        let (byte, used) = match escape.get(1)? {
            b'b' => (8, 2),
            b'f' => (12, 2),
            b'n' => (b'\n', 2),
            b'r' => (b'\r', 2),
            b't' => (b'\t', 2),
            b'u' => {
                let unit = hex4(escape.get(2..6))?;
                let (scalar, used) = if (0xD800..0xDC00).contains(&unit) {
                    let low = hex4(escape.get(8..12)).filter(|u| (0xDC00..0xE000).contains(u))?;
                    (0x10000 + ((u32::from(unit) - 0xD800) << 10) + (u32::from(low) - 0xDC00), 12)
                } else {
                    (u32::from(unit), 6)
                };
                out.extend_from_slice(char::from_u32(scalar)?.encode_utf8(&mut [0; 4]).as_bytes());
                rest = escape.get(used..)?;
                continue;
            }
            same => (*same, 2),
        };
        out.push(byte);
        rest = escape.get(used..)?;
    }
    String::from_utf8(out).ok()
}
