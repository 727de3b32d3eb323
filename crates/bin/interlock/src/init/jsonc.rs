//! JSON as client configurations hold it: comments and trailing commas allowed, and every value knows where it
//! stands, so that one value can be replaced and the rest of the file stays as its owner wrote it.
//!
//! In scope: reading such text within limits. Out of scope: MCP messages (`interlock_model::json` is strict).

use std::ops::Range;

/// A value and its place in the text.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Bytes of the text.
    pub at: Range<usize>,
    /// The value.
    pub json: Json,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number, as written.
    Number(String),
    /// A string, unescaped.
    String(String),
    /// An array.
    Array(Vec<Node>),
    /// An object, in the order of the text; of a name given twice, the last value.
    Object(Vec<(String, Node)>),
}

/// Why a text was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct JsoncError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// Most levels of arrays and objects.
const MAX_DEPTH: usize = 64;

impl Node {
    /// The member called `name`, if this is an object that has one.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.members().iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// The members, if this is an object.
    #[must_use]
    pub fn members(&self) -> &[(String, Self)] {
        match &self.json {
            Json::Object(members) => members,
            _ => &[],
        }
    }

    /// The items, if this is an array.
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match &self.json {
            Json::Array(items) => items,
            _ => &[],
        }
    }

    /// The text, if this is a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.json {
            Json::String(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a string, number or boolean: what an environment would hold.
    #[must_use]
    pub fn as_text(&self) -> Option<String> {
        match &self.json {
            Json::String(text) | Json::Number(text) => Some(text.clone()),
            Json::Bool(b) => Some(b.to_string()),
            Json::Null | Json::Array(_) | Json::Object(_) => None,
        }
    }
}

/// Reads one value and nothing after it but space and comments.
///
/// # Errors
///
/// [`JsoncError`] with the place.
pub fn parse(text: &str) -> Result<Node, JsoncError> {
    let mut reader = Reader { text, at: 0 };
    let node = reader.value(0).and_then(|node| {
        reader.space()?;
        if reader.at == text.len() { Ok(node) } else { Err("something follows the end".to_owned()) }
    });
    node.map_err(|message| {
        let before = text.get(..text.floor_char_boundary(reader.at)).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        JsoncError {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            message,
        }
    })
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Skips white space and comments.
    fn space(&mut self) -> Result<(), String> {
        loop {
            while self.peek().is_some_and(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
                self.at += 1;
            }
            if self.rest().starts_with("//") {
                self.at += self.rest().find('\n').unwrap_or(self.rest().len());
            } else if self.rest().starts_with("/*") {
                self.at += self.rest().find("*/").ok_or("a comment is not closed")? + 2;
            } else {
                return Ok(());
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, String> {
        if depth > MAX_DEPTH {
            return Err(format!("more than {MAX_DEPTH} levels"));
        }
        self.space()?;
        let start = self.at;
        let json = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => Json::String(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) => self.word()?,
            None => return Err("a value is missing at the end".to_owned()),
        };
        Ok(Node { at: start..self.at, json })
    }

    fn object(&mut self, depth: usize) -> Result<Json, String> {
        self.at += 1;
        let mut members: Vec<(String, Node)> = Vec::new();
        loop {
            self.space()?;
            if self.eat(b'}') {
                return Ok(Json::Object(members));
            }
            if self.peek() != Some(b'"') {
                return Err("expected a name in double quotes, or `}`".to_owned());
            }
            let name = self.string()?;
            self.space()?;
            if !self.eat(b':') {
                return Err("expected `:` after the name".to_owned());
            }
            let value = self.value(depth + 1)?;
            members.retain(|(n, _)| *n != name);
            members.push((name, value));
            self.space()?;
            if !self.eat(b',') && self.peek() != Some(b'}') {
                return Err("expected `,` or `}`".to_owned());
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Json, String> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.space()?;
            if self.eat(b']') {
                return Ok(Json::Array(items));
            }
            items.push(self.value(depth + 1)?);
            self.space()?;
            if !self.eat(b',') && self.peek() != Some(b']') {
                return Err("expected `,` or `]`".to_owned());
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        self.at += 1;
        let mut out = String::new();
        loop {
            let plain = self.rest().find(['"', '\\', '\n']).ok_or("a string is not closed")?;
            out.push_str(self.rest().get(..plain).unwrap_or_default());
            self.at += plain;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some(b'\\') => out.push(self.escape()?),
                _ => return Err("a string is not closed on its line".to_owned()),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let c = self.text.as_bytes().get(self.at + 1).copied();
        let plain = match c {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(r"a single `\`: in JSON a Windows path is written with two, C:\\like\\this".to_owned()),
        };
        self.at += 2;
        Ok(plain)
    }

    fn unicode(&mut self) -> Result<char, String> {
        let unit = |text: &str| {
            text.strip_prefix("\\u").and_then(|t| t.get(..4)).and_then(|h| u32::from_str_radix(h, 16).ok())
        };
        let invalid = || "not a `\\u` escape; in JSON a Windows path is written with two `\\`".to_owned();
        let first = unit(self.rest()).ok_or_else(invalid)?;
        self.at += 6;
        if (0xd800..0xdc00).contains(&first) {
            let second = unit(self.rest()).filter(|u| (0xdc00..0xe000).contains(u)).ok_or_else(invalid)?;
            self.at += 6;
            return char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or_else(invalid);
        }
        char::from_u32(first).ok_or_else(invalid)
    }

    fn number(&mut self) -> Result<Json, String> {
        let len = self
            .rest()
            .find(|c: char| !matches!(c, '-' | '+' | '.' | 'e' | 'E' | '0'..='9'))
            .unwrap_or(self.rest().len());
        let text = self.rest().get(..len).unwrap_or_default().to_owned();
        if text.parse::<f64>().is_err() {
            return Err("not a number".to_owned());
        }
        self.at += len;
        Ok(Json::Number(text))
    }

    fn word(&mut self) -> Result<Json, String> {
        for (word, json) in [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))] {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return Ok(json);
            }
        }
        Err("expected a value".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(node: &Node) -> serde_json::Value {
        match &node.json {
            Json::Null => serde_json::Value::Null,
            Json::Bool(b) => (*b).into(),
            Json::Number(n) => serde_json::from_str(n).unwrap(),
            Json::String(s) => s.as_str().into(),
            Json::Array(items) => items.iter().map(plain).collect(),
            Json::Object(members) => members.iter().map(|(n, v)| (n.clone(), plain(v))).collect(),
        }
    }

    #[test]
    fn comments_and_trailing_commas() {
        let text = "// head\n{ /* a */ \"a\": [1, 2.5e3, -7,], // b\n \"b\": \"http://x // no comment\", \"b\": \"\\u00e9\\ud83d\\ude00\\\\\",\n}\n// tail";
        let node = parse(text).unwrap();
        assert_eq!(plain(&node), serde_json::json!({"a": [1, 2500.0, -7], "b": "\u{e9}\u{1f600}\\"}));
        let a = node.get("a").unwrap();
        assert_eq!(&text[a.at.clone()], "[1, 2.5e3, -7,]");
    }

    #[test]
    fn refusals_have_a_place() {
        for (text, line, column, part) in [
            ("{\n  \"a\": \"C:\\Users\"\n}", 2, 11, "C:\\\\like"),
            ("{\"a\": \"C:\\users\"}", 1, 10, "Windows path"),
            ("{\"a\" 1}", 1, 6, "`:`"),
            ("{\"a\": 1 \"b\": 2}", 1, 9, "`,`"),
            ("[1 2]", 1, 4, "`,`"),
            ("{a: 1}", 1, 2, "double quotes"),
            ("{} x", 1, 4, "follows"),
            ("{\"a\": \"x\n\"}", 1, 9, "closed"),
            ("/* x", 1, 1, "closed"),
            ("", 1, 1, "missing"),
            ("[nul]", 1, 2, "expected a value"),
            ("[,]", 1, 2, "expected a value"),
        ] {
            let error = parse(text).unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{text}: {error}");
            assert!(error.message.contains(part), "{text}: {error}");
        }
        assert!(parse(&"[".repeat(100_000)).unwrap_err().message.contains("levels"));
    }

    proptest! {
        #[test]
        fn any_text_ends_without_a_panic(text in ".{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn json_reads_as_serde_reads_it(text in r#"[\[\]{}:,"a1 \\nu]{0,24}"#) {
            if let Ok(expected) = serde_json::from_str::<serde_json::Value>(&text) {
                prop_assert_eq!(plain(&parse(&text).unwrap()), expected);
            }
        }
    }
}
