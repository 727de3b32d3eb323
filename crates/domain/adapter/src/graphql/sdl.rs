//! A schema in its definition language.
//!
//! In scope: type system documents, extensions merged into what they extend. Default values are skipped (that there is
//! one is all that matters), and so are directives but `@deprecated` and `@oneOf`. Nothing is validated beyond what
//! writing documents relies on: names, and that types are what they must be where they are used.
//!
//! No recursion: lists of types are counted, values are skipped by counting brackets.
//!
//! Source: GraphQL October 2021, section 2.1 (Source Text), 2.9.4 (String Value), 3 (Type System).

use super::schema::{Around, Field, InputValue, Schema, Type, TypeRef, is_name, shorten_description};
use crate::import::{DescriptionError, LeftOut, Reason};
use crate::limits::Limits;
use std::collections::{HashMap, HashSet};

/// Most lists and non-nulls around a type.
const WRAPPERS: usize = 8;

/// Reads a type system document.
///
/// # Errors
///
/// [`DescriptionError::Sdl`] with the byte offset of what cannot be read, [`DescriptionError::Exhausted`] over the limit.
pub(super) fn read(text: &str, limits: &Limits, left_out: &mut Vec<LeftOut>) -> Result<Schema, DescriptionError> {
    let tokens = tokens(text, limits.nodes)?;
    let mut reader = Reader {
        tokens: &tokens,
        at: 0,
        end: text.len(),
        types: HashMap::new(),
        implements: Vec::new(),
        roots: HashMap::new(),
        has_schema: false,
        work: limits.work,
        left_out,
    };
    while reader.at < tokens.len() {
        reader.definition()?;
    }
    Ok(reader.finish())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'t> {
    Name(&'t str),
    /// With its quotes.
    Text(&'t str),
    /// With its quotes, three each.
    Block(&'t str),
    Number,
    Mark(u8),
}

fn tokens(text: &str, most: usize) -> Result<Vec<(usize, Token<'_>)>, DescriptionError> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let rest = text.get(at..).unwrap_or_default();
        let fault = DescriptionError::Sdl { at };
        let (token, len) = match byte {
            // Section 2.1: white space, line terminators, commas, the byte order mark.
            b' ' | b'\t' | b'\n' | b'\r' | b',' => {
                at += 1;
                continue;
            }
            0xef if rest.starts_with('\u{feff}') => {
                at += 3;
                continue;
            }
            b'#' => {
                at += rest.find(['\n', '\r']).unwrap_or(rest.len());
                continue;
            }
            b'"' => {
                let len = string_len(rest).ok_or(fault)?;
                let token = rest.get(..len).unwrap_or_default();
                (if rest.starts_with("\"\"\"") { Token::Block(token) } else { Token::Text(token) }, len)
            }
            b'!' | b'$' | b'&' | b'(' | b')' | b':' | b'=' | b'@' | b'[' | b']' | b'{' | b'|' | b'}' => {
                (Token::Mark(*byte), 1)
            }
            b'-' | b'0'..=b'9' => {
                let number = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.');
                (Token::Number, rest.bytes().take_while(|b| number(b)).count())
            }
            _ => {
                let len = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
                let name = rest.get(..len).filter(|name| is_name(name)).ok_or(fault)?;
                (Token::Name(name), len)
            }
        };
        if tokens.len() >= most {
            return Err(DescriptionError::Exhausted);
        }
        tokens.push((at, token));
        at += len;
    }
    Ok(tokens)
}

/// The bytes of the string at the start of `text`, quotes included; `None` if it does not end.
fn string_len(text: &str) -> Option<usize> {
    if let Some(inside) = text.strip_prefix("\"\"\"") {
        let mut at = 0;
        loop {
            let end = at + inside.get(at..)?.find("\"\"\"")?;
            // Section 2.9.4: `\"""` does not end a block string.
            if !inside.get(..end)?.ends_with('\\') {
                return Some(end + 6);
            }
            at = end + 3;
        }
    }
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'\n' | b'\r' => return None,
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

type Read<T> = Result<T, DescriptionError>;

struct Reader<'t, 'l> {
    tokens: &'t [(usize, Token<'t>)],
    at: usize,
    end: usize,
    types: HashMap<String, Type>,
    /// Interface and object.
    implements: Vec<(String, String)>,
    /// The types of `query`, `mutation` and `subscription`.
    roots: HashMap<&'t str, String>,
    has_schema: bool,
    /// What is left for extensions, each of which looks at all that is there already.
    work: u64,
    left_out: &'l mut Vec<LeftOut>,
}

impl<'t> Reader<'t, '_> {
    fn peek(&self) -> Option<Token<'t>> {
        self.tokens.get(self.at).map(|(_, token)| *token)
    }

    fn fault<T>(&self) -> Read<T> {
        Err(DescriptionError::Sdl { at: self.tokens.get(self.at).map_or(self.end, |(at, _)| *at) })
    }

    fn eat(&mut self, mark: u8) -> bool {
        let found = self.peek() == Some(Token::Mark(mark));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, mark: u8) -> Read<()> {
        if self.eat(mark) { Ok(()) } else { self.fault() }
    }

    fn eat_name(&mut self, name: &str) -> bool {
        let found = self.peek() == Some(Token::Name(name));
        self.at += usize::from(found);
        found
    }

    fn name(&mut self) -> Read<&'t str> {
        match self.peek() {
            Some(Token::Name(name)) => {
                self.at += 1;
                Ok(name)
            }
            _ => self.fault(),
        }
    }

    fn description(&mut self) -> Read<Option<String>> {
        let text = match self.peek() {
            Some(Token::Text(text)) => {
                // The escapes of October 2021 are those of JSON; only a tab may stand bare here.
                let Ok(text) = serde_json::from_str::<String>(&text.replace('\t', "\\t")) else { return self.fault() };
                text
            }
            Some(Token::Block(text)) => block(text),
            _ => return Ok(None),
        };
        self.at += 1;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    fn definition(&mut self) -> Read<()> {
        // Of types themselves it is not shown anywhere.
        drop(self.description()?);
        let start = self.at;
        let extends = self.eat_name("extend");
        match self.name()? {
            "schema" => {
                self.has_schema |= !extends;
                self.directives()?;
                if self.eat(b'{') {
                    while !self.eat(b'}') {
                        drop(self.description()?);
                        let operation = self.name()?;
                        self.expect(b':')?;
                        let of = self.name()?.to_owned();
                        self.roots.insert(operation, of);
                    }
                }
            }
            "scalar" => {
                let name = self.name()?;
                self.directives()?;
                self.types.entry(name.to_owned()).or_insert(Type::Scalar);
            }
            "type" => self.composite(true)?,
            "interface" => self.composite(false)?,
            "union" => {
                let name = self.name()?;
                self.directives()?;
                let mut members = Vec::new();
                if self.eat(b'=') {
                    self.eat(b'|');
                    members.push(self.name()?.to_owned());
                    while self.eat(b'|') {
                        members.push(self.name()?.to_owned());
                    }
                }
                self.add(name, Type::Composite { fields: Vec::new(), possible: members, is_object: false })?;
            }
            "enum" => {
                let name = self.name()?;
                self.directives()?;
                let mut values = Vec::new();
                if self.eat(b'{') {
                    while !self.eat(b'}') {
                        drop(self.description()?);
                        let value = self.name()?;
                        self.directives()?;
                        if !matches!(value, "true" | "false" | "null") {
                            values.push(value.to_owned());
                        }
                    }
                }
                let bytes = values.iter().map(String::len).sum();
                self.add(name, Type::Enum { values, bytes })?;
            }
            "input" => {
                let name = self.name()?;
                let one_of = self.directives()?.one_of;
                let fields = if self.eat(b'{') { self.input_values(b'}')? } else { Some(Vec::new()) };
                // With a field that cannot be named, no value can be written: what uses the type is left out.
                if let Some(fields) = fields {
                    self.add(name, Type::Input { fields, one_of })?;
                }
            }
            "directive" if !extends => {
                self.expect(b'@')?;
                self.name()?;
                if self.eat(b'(') {
                    self.input_values(b')')?;
                }
                self.eat_name("repeatable");
                if !self.eat_name("on") {
                    return self.fault();
                }
                self.eat(b'|');
                self.name()?;
                while self.eat(b'|') {
                    self.name()?;
                }
            }
            _ => {
                self.at = start;
                return self.fault();
            }
        }
        Ok(())
    }

    fn composite(&mut self, is_object: bool) -> Read<()> {
        let name = self.name()?;
        if self.eat_name("implements") {
            self.eat(b'&');
            loop {
                let interface = self.name()?.to_owned();
                if is_object {
                    self.implements.push((interface, name.to_owned()));
                }
                if !self.eat(b'&') {
                    break;
                }
            }
        }
        self.directives()?;
        let mut fields = Vec::new();
        if self.eat(b'{') {
            while !self.eat(b'}') {
                let description = self.description()?;
                let field = self.name()?;
                let arguments = if self.eat(b'(') { self.input_values(b')')? } else { Some(Vec::new()) };
                self.expect(b':')?;
                let result = self.type_ref()?;
                let is_deprecated = self.directives()?.deprecated;
                match arguments {
                    Some(arguments) if !field.starts_with("__") => fields.push(Field {
                        name: field.to_owned(),
                        description,
                        is_deprecated,
                        needs_arguments: arguments.iter().any(InputValue::is_required),
                        arguments,
                        result,
                    }),
                    _ => {
                        self.left_out.push(LeftOut { what: format!("{name}.{field}"), reason: Reason::FieldName });
                    }
                }
            }
        }
        self.add(name, Type::Composite { fields, possible: Vec::new(), is_object })
    }

    /// Adds a type, or the members of an extension. What is there already, or is of another kind, stays as it is.
    fn add(&mut self, name: &str, new: Type) -> Read<()> {
        let Some(old) = self.types.get_mut(name) else {
            self.types.insert(name.to_owned(), new);
            return Ok(());
        };
        let there = match old {
            Type::Composite { fields, .. } => fields.len(),
            Type::Input { fields, .. } => fields.len(),
            Type::Scalar | Type::Enum { .. } => 0,
        };
        // A set of names is made of them, which costs more than a look.
        self.work = self.work.checked_sub(8 * (there as u64 + 1)).ok_or(DescriptionError::Exhausted)?;
        match (old, new) {
            (
                Type::Composite { fields, possible, .. },
                Type::Composite { fields: more, possible: more_possible, .. },
            ) => {
                let known: HashSet<&str> = fields.iter().map(|f| f.name.as_str()).collect();
                let more: Vec<_> = more.into_iter().filter(|f| !known.contains(f.name.as_str())).collect();
                fields.extend(more);
                possible.extend(more_possible);
            }
            (Type::Input { fields, .. }, Type::Input { fields: more, .. }) => {
                let known: HashSet<&str> = fields.iter().map(|f| f.name.as_str()).collect();
                let more: Vec<_> = more.into_iter().filter(|f| !known.contains(f.name.as_str())).collect();
                fields.extend(more);
            }
            (Type::Enum { values, bytes }, Type::Enum { values: more, bytes: more_bytes }) => {
                values.extend(more);
                *bytes += more_bytes;
            }
            _ => {}
        }
        Ok(())
    }

    /// Arguments or input fields up to `close`; `None` if two have the same name, or one has a reserved one.
    fn input_values(&mut self, close: u8) -> Read<Option<Vec<InputValue>>> {
        let mut values = Vec::new();
        let mut names = HashSet::new();
        let mut valid = true;
        while !self.eat(close) {
            let description = self.description()?.map(|d| shorten_description(&d));
            let name = self.name()?;
            self.expect(b':')?;
            let type_ref = self.type_ref()?;
            let has_default = self.eat(b'=');
            if has_default {
                self.skip_value()?;
            }
            self.directives()?;
            valid &= names.insert(name) && !name.starts_with("__");
            values.push(InputValue { name: name.to_owned(), description, type_ref, has_default });
        }
        Ok(valid.then_some(values))
    }

    fn type_ref(&mut self) -> Read<TypeRef> {
        let mut lists = 0;
        while self.eat(b'[') {
            lists += 1;
            if lists > WRAPPERS {
                return self.fault();
            }
        }
        let name = self.name()?.to_owned();
        // From the inside out, then the other way round.
        let mut around = Vec::new();
        if self.eat(b'!') {
            around.push(Around::NonNull);
        }
        for _ in 0..lists {
            self.expect(b']')?;
            around.push(Around::List);
            if self.eat(b'!') {
                around.push(Around::NonNull);
            }
        }
        around.reverse();
        Ok(TypeRef { name, around })
    }

    fn skip_value(&mut self) -> Read<()> {
        match self.peek() {
            Some(Token::Mark(open @ (b'[' | b'{'))) => self.skip_brackets(open),
            Some(Token::Mark(_)) | None => self.fault(),
            Some(_) => {
                self.at += 1;
                Ok(())
            }
        }
    }

    /// Skips from an opening bracket to its other half. Which bracket closes which is not looked at.
    fn skip_brackets(&mut self, open: u8) -> Read<()> {
        self.expect(open)?;
        let mut depth = 1_usize;
        while depth > 0 {
            match self.peek() {
                None => return self.fault(),
                Some(Token::Mark(b'[' | b'{' | b'(')) => depth += 1,
                Some(Token::Mark(b']' | b'}' | b')')) => depth -= 1,
                Some(_) => {}
            }
            self.at += 1;
        }
        Ok(())
    }

    fn directives(&mut self) -> Read<Directives> {
        let mut found = Directives::default();
        while self.eat(b'@') {
            let name = self.name()?;
            found.deprecated |= name == "deprecated";
            found.one_of |= name == "oneOf";
            if self.peek() == Some(Token::Mark(b'(')) {
                self.skip_brackets(b'(')?;
            }
        }
        Ok(found)
    }

    fn finish(mut self) -> Schema {
        // Section 3.5: these need no definition.
        for name in ["Int", "Float", "String", "Boolean", "ID"] {
            self.types.entry(name.to_owned()).or_insert(Type::Scalar);
        }
        for (interface, object) in std::mem::take(&mut self.implements) {
            if let Some(Type::Composite { possible, is_object: false, .. }) = self.types.get_mut(&interface) {
                possible.push(object);
            }
        }
        // Section 3.3.1: without a schema definition, the types are those of the usual names.
        let usual = |name: &str| (!self.has_schema && self.types.contains_key(name)).then(|| name.to_owned());
        let root = |operation: &str, name: &str| self.roots.get(operation).cloned().or_else(|| usual(name));
        Schema {
            query: root("query", "Query"),
            mutation: root("mutation", "Mutation"),
            subscription: root("subscription", "Subscription"),
            types: self.types,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Directives {
    deprecated: bool,
    one_of: bool,
}

/// The value of a block string (section 2.9.4, `BlockStringValue`): without common indentation and blank ends.
fn block(token: &str) -> String {
    let inside = token.strip_prefix("\"\"\"").and_then(|t| t.strip_suffix("\"\"\"")).unwrap_or_default();
    let raw = inside.replace("\\\"\"\"", "\"\"\"");
    let lines: Vec<&str> = raw.lines().collect();
    let is_blank = |line: &&str| line.trim_matches([' ', '\t']).is_empty();
    let indent = |line: &&str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let common = lines.iter().skip(1).filter(|l| !is_blank(l)).map(indent).min().unwrap_or(0);
    let cut = |(at, line): (usize, &&'_ str)| {
        let from = if at == 0 { 0 } else { common.min(line.len()) };
        line.get(from..).unwrap_or_default().to_owned()
    };
    let cut: Vec<String> = lines.iter().enumerate().map(cut).collect();
    let start = cut.iter().position(|l| !is_blank(&l.as_str())).unwrap_or(cut.len());
    let end = cut.iter().rposition(|l| !is_blank(&l.as_str())).map_or(start, |at| at + 1);
    cut.get(start..end).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> String {
        read(text, &Limits::DEFAULT, &mut Vec::new()).unwrap_err().to_string()
    }

    #[test]
    fn blocks() {
        for (token, expected) in [
            ("\"\"\"a\"\"\"", "a"),
            ("\"\"\"\n    Hello,\n      World!\n\n    Yours.\n  \"\"\"", "Hello,\n  World!\n\nYours."),
            ("\"\"\"say \\\"\"\" x\"\"\"", "say \"\"\" x"),
            ("\"\"\"\"\"\"", ""),
        ] {
            assert_eq!(string_len(token), Some(token.len()), "{token}");
            assert_eq!(block(token), expected, "{token}");
        }
    }

    #[test]
    fn what_cannot_be_read() {
        for (text, at) in [
            ("type", 4),
            ("type Query { a }", 15),
            ("type Query { a: [Int }", 21),
            ("type Query { a: Int!! }", 20),
            ("query { a }", 0),
            ("extend directive @x on FIELD", 0),
            ("type Query { a(b: Int = ) : Int }", 24),
            ("type Query { a: Int @x( }", 25),
            ("\"unfinished", 0),
            ("type Q\u{e9} { a: Int }", 6),
            ("type Query { a: [[[[[[[[[Int]]]]]]]]] }", 25),
        ] {
            assert_eq!(fault(text), format!("not a GraphQL schema at byte {at}"), "{text}");
        }
        // Each extension looks at all fields before it.
        let extensions: String = (0..20_000).map(|n| format!("extend type Query {{ f{n}: Int }} ")).collect();
        let limits = Limits { work: 1_000_000, ..Limits::DEFAULT };
        let exhausted = read(&extensions, &limits, &mut Vec::new()).unwrap_err();
        assert_eq!(exhausted, DescriptionError::Exhausted);
        assert!(fault(&format!("input A {{ a: Int = {}", "[".repeat(100_000))).starts_with("not a GraphQL schema"));
    }
}
