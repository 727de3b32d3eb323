//! What is selected of a field's result.
//!
//! Two ways, and in both a document is written from the schema's names only. By default: all fields that need no
//! arguments, down to a number of levels. Or what the call asks for in `select`, read as a list of field names in
//! braces, each looked up in the schema, and written anew: no arguments, aliases, directives, variables, comments or
//! named fragments, hence nothing that could call, count or compute. The levels bound both, since they are how far
//! into the graph an approved tool can read.
//!
//! Source: GraphQL October 2021, section 2.4 (Selection Sets), 2.8 (Inline Fragments), 5.3 (Validation: Fields).

use super::schema::{Schema, is_name};
use std::collections::{HashMap, HashSet};

/// Most fields of a selection.
const FIELDS: usize = 200;
/// Most bytes of a `select` argument.
const TEXT: usize = 8 * 1024;

/// Why a selection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionFault {
    /// Over 8 KiB or 200 fields.
    #[error("too long")]
    Size,
    /// More levels than the tool reads.
    #[error("nested deeper than this tool reads")]
    Depth,
    /// Something else than names, braces and `... on Type`.
    #[error("only field names, braces and `... on Type` are accepted")]
    Syntax,
    /// A brace too many or too few, or nothing selected.
    #[error("unbalanced or empty braces")]
    Braces,
    /// The type has no such field.
    #[error("no such field")]
    Field,
    /// The field cannot be selected without arguments.
    #[error("the field needs arguments")]
    Arguments,
    /// An object without a selection of its fields.
    #[error("the fields of this object must be selected in braces")]
    Object,
    /// A selection on something without fields.
    #[error("this field has no fields")]
    Leaf,
    /// A type that the result cannot be here.
    #[error("the result cannot be of this type here")]
    Type,
}

/// The default selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Default {
    /// In braces; empty for a field that has no fields.
    pub(super) text: String,
    /// Whether objects are left out for being too many levels down.
    pub(super) is_cut: bool,
}

/// Selects all that can be selected of a composite type, down to `levels` levels of objects inside it.
///
/// Left out are deprecated fields, objects that take arguments (lists to be paged through, as a rule) and what is over
/// the limit. `__typename` is selected where more than one type is possible, or nothing else.
pub(super) fn by_default(schema: &Schema, name: &str, levels: usize, work: &mut u64) -> Default {
    let mut default = Default { text: String::new(), is_cut: false };
    if schema.is_composite(name) {
        let mut left = FIELDS;
        write_default(schema, name, levels, &mut left, work, &mut default);
    }
    default
}

fn write_default(schema: &Schema, name: &str, levels: usize, left: &mut usize, work: &mut u64, out: &mut Default) {
    out.text.push_str("{ ");
    let start = out.text.len();
    let mut leaves: HashMap<&str, String> = HashMap::new();
    for field in schema.fields(name) {
        *work = work.saturating_sub(1);
        if *left == 0 || *work == 0 {
            out.is_cut = true;
            break;
        }
        if field.is_deprecated || field.needs_arguments {
            continue;
        }
        if schema.is_leaf(&field.result.name) {
            *left -= 1;
            leaves.insert(&field.name, field.result.text());
            out.text.push_str(&field.name);
            out.text.push(' ');
        } else if schema.is_composite(&field.result.name) && field.arguments.is_empty() {
            if levels == 0 {
                out.is_cut = true;
                continue;
            }
            *left -= 1;
            out.text.push_str(&field.name);
            out.text.push(' ');
            write_default(schema, &field.result.name, levels - 1, left, work, out);
            out.text.push(' ');
        }
    }
    let own: HashSet<&str> = schema.fields(name).iter().take(FIELDS).map(|f| f.name.as_str()).collect();
    let mut several = false;
    for of in schema.possible(name).filter(|of| *of != name) {
        several = true;
        let Some(rest) = left.checked_sub(1) else {
            out.is_cut = true;
            break;
        };
        *left = rest;
        write_fragment(schema, of, &own, &mut leaves, left, work, out);
    }
    if several || out.text.len() == start {
        out.text.push_str("__typename ");
    }
    out.text.push('}');
}

/// The leaves that one possible type has and the type itself has not.
fn write_fragment<'s>(
    schema: &'s Schema,
    of: &str,
    own: &HashSet<&str>,
    leaves: &mut HashMap<&'s str, String>,
    left: &mut usize,
    work: &mut u64,
    out: &mut Default,
) {
    let mut names = String::new();
    for field in schema.fields(of) {
        *work = work.saturating_sub(1);
        if *left == 0 || *work == 0 {
            out.is_cut = true;
            break;
        }
        if field.is_deprecated || field.needs_arguments || own.contains(field.name.as_str()) {
            continue;
        }
        if !schema.is_leaf(&field.result.name) {
            out.is_cut = true;
            continue;
        }
        // Section 5.3.2: fields of one name must have one type, whichever object they are of.
        let text = field.result.text();
        if *leaves.entry(&field.name).or_insert_with(|| text.clone()) == text {
            *left -= 1;
            names.push_str(&field.name);
            names.push(' ');
        }
    }
    if !names.is_empty() {
        out.text.push_str(&format!("... on {of} {{ {names}}} "));
    }
}

/// Reads a selection of a composite type's fields, with or without the outermost braces, and writes it anew.
///
/// # Errors
///
/// The byte offset and [`SelectionFault`].
pub(super) fn by_text(
    schema: &Schema,
    name: &str,
    levels: usize,
    text: &str,
) -> Result<String, (usize, SelectionFault)> {
    if text.len() > TEXT {
        return Err((0, SelectionFault::Size));
    }
    let tokens = tokens(text)?;
    let outer = tokens.first().is_some_and(|(_, token)| *token == Token::Open);
    let mut reader = Reader { schema, tokens: &tokens, at: 0, end: text.len(), left: FIELDS, out: String::new() };
    if outer {
        reader.at = 1;
    }
    reader.selection(name, levels, outer)?;
    match reader.tokens.get(reader.at) {
        Some((at, _)) => Err((*at, SelectionFault::Braces)),
        None => Ok(reader.out),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'t> {
    Open,
    Close,
    Spread,
    Name(&'t str),
}

fn tokens(text: &str) -> Result<Vec<(usize, Token<'_>)>, (usize, SelectionFault)> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let word = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
        let (token, len) = match rest.as_bytes() {
            [b' ' | b'\t' | b'\n' | b'\r' | b',', ..] => {
                at += 1;
                continue;
            }
            [b'{', ..] => (Token::Open, 1),
            [b'}', ..] => (Token::Close, 1),
            [b'.', b'.', b'.', ..] => (Token::Spread, 3),
            _ => match rest.get(..word).filter(|word| is_name(word)) {
                Some(name) => (Token::Name(name), word),
                None => return Err((at, SelectionFault::Syntax)),
            },
        };
        tokens.push((at, token));
        at += len;
    }
    Ok(tokens)
}

struct Reader<'r> {
    schema: &'r Schema,
    tokens: &'r [(usize, Token<'r>)],
    at: usize,
    /// Where the text ends.
    end: usize,
    left: usize,
    out: String,
}

impl<'r> Reader<'r> {
    fn next(&mut self) -> Option<(usize, Token<'r>)> {
        let token = self.tokens.get(self.at).copied();
        self.at += usize::from(token.is_some());
        token
    }

    fn is_open(&self) -> bool {
        matches!(self.tokens.get(self.at), Some((_, Token::Open)))
    }

    /// What stands after an opening brace, up to its other half (or, of the outermost one, the end).
    // Recursion is bounded by `levels`, and by `left` where fragments stand in each other.
    fn selection(&mut self, name: &'r str, levels: usize, braced: bool) -> Result<(), (usize, SelectionFault)> {
        self.out.push_str("{ ");
        let mut any = false;
        loop {
            let Some((at, token)) = self.next() else {
                if braced || !any {
                    return Err((self.end, SelectionFault::Braces));
                }
                break;
            };
            if token == Token::Close {
                if !braced || !any {
                    return Err((at, SelectionFault::Braces));
                }
                break;
            }
            any = true;
            self.left = self.left.checked_sub(1).ok_or((at, SelectionFault::Size))?;
            match token {
                Token::Open | Token::Close => return Err((at, SelectionFault::Braces)),
                Token::Spread => self.fragment(at, name, levels)?,
                Token::Name(field) => self.field(at, name, field, levels)?,
            }
        }
        self.out.push('}');
        Ok(())
    }

    fn field(&mut self, at: usize, name: &str, field: &str, levels: usize) -> Result<(), (usize, SelectionFault)> {
        let braced = self.is_open();
        // Section 4.3: on every composite type.
        if field == "__typename" {
            self.out.push_str("__typename ");
            return if braced { Err((at, SelectionFault::Leaf)) } else { Ok(()) };
        }
        let found = self.schema.fields(name).iter().find(|f| f.name == field).ok_or((at, SelectionFault::Field))?;
        if found.needs_arguments {
            return Err((at, SelectionFault::Arguments));
        }
        self.out.push_str(&found.name);
        self.out.push(' ');
        match (self.schema.is_composite(&found.result.name), braced) {
            (true, false) => Err((at, SelectionFault::Object)),
            (false, true) => Err((at, SelectionFault::Leaf)),
            (false, false) => Ok(()),
            (true, true) => {
                let levels = levels.checked_sub(1).ok_or((at, SelectionFault::Depth))?;
                self.at += 1;
                self.selection(&found.result.name, levels, true)?;
                self.out.push(' ');
                Ok(())
            }
        }
    }

    fn fragment(&mut self, at: usize, name: &'r str, levels: usize) -> Result<(), (usize, SelectionFault)> {
        let (Some((_, Token::Name("on"))), Some((place, Token::Name(of)))) = (self.next(), self.next()) else {
            return Err((at, SelectionFault::Syntax));
        };
        // Section 5.5.2.3: the types must have an object in common.
        let schema = self.schema;
        let here: HashSet<&str> = schema.possible(name).collect();
        let meets = schema.possible(of).any(|one| here.contains(one));
        if !meets {
            return Err((place, SelectionFault::Type));
        }
        if !self.is_open() {
            return Err((place, SelectionFault::Braces));
        }
        self.at += 1;
        self.out.push_str(&format!("... on {of} "));
        self.selection(of, levels, true)?;
        self.out.push(' ');
        Ok(())
    }
}
