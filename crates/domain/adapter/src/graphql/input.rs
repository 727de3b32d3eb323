//! The input schema of a field's arguments (JSON Schema 2020-12).
//!
//! Source: GraphQL October 2021, section 3.5 (Scalars: input coercion), 3.9 (Enums), 3.10 (Input Objects).

use super::schema::{Around, Field, InputValue, Schema, Type};
use crate::import::Reason;
use crate::limits::Limits;
use crate::openapi::Widened;
use crate::quote::{key, quote};
use std::collections::{BTreeSet, HashSet};

/// Writes the schemas of one field's arguments.
pub(super) struct Input<'s> {
    schema: &'s Schema,
    soft: usize,
    hard: usize,
    defs: Vec<&'s str>,
    known: HashSet<&'s str>,
    pub(super) widened: BTreeSet<Widened>,
}

impl<'s> Input<'s> {
    pub(super) fn new(schema: &'s Schema, limits: &Limits) -> Self {
        Self {
            schema,
            soft: limits.schema_bytes,
            hard: limits.definition_bytes,
            defs: Vec::new(),
            known: HashSet::new(),
            widened: BTreeSet::new(),
        }
    }

    /// Appends the members of the input schema's `properties`.
    pub(super) fn arguments(&mut self, field: &'s Field, out: &mut Vec<u8>) -> Result<(), Reason> {
        field.arguments.iter().try_for_each(|argument| self.member(argument, out))
    }

    /// Appends the member `$defs`, where there are any.
    pub(super) fn write_defs(&mut self, out: &mut Vec<u8>) -> Result<(), Reason> {
        let mut at = 0;
        while let Some(name) = self.defs.get(at).copied() {
            if at == 0 {
                key("$defs", out);
                out.push(b'{');
            }
            key(name, out);
            self.definition(name, out)?;
            at += 1;
        }
        if at > 0 {
            out.push(b'}');
        }
        Ok(())
    }

    fn member(&mut self, value: &'s InputValue, out: &mut Vec<u8>) -> Result<(), Reason> {
        if out.len() > self.hard {
            return Err(Reason::TooLarge);
        }
        key(&value.name, out);
        out.push(b'{');
        if let Some(description) = &value.description {
            key("description", out);
            quote(description, out);
        }
        self.inside(&value.type_ref.name, &value.type_ref.around, out)?;
        out.push(b'}');
        Ok(())
    }

    /// Appends the members of the schema for a type, without braces.
    fn inside(&mut self, name: &'s str, around: &[Around], out: &mut Vec<u8>) -> Result<(), Reason> {
        let (non_null, around) = match around {
            [Around::NonNull, rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        if let [Around::List, rest @ ..] = around {
            key("type", out);
            out.extend_from_slice(if non_null { b"\"array\"" } else { b"[\"array\",\"null\"]" });
            key("items", out);
            out.push(b'{');
            self.inside(name, rest, out)?;
            out.push(b'}');
            return Ok(());
        }
        let types: &[&str] = match (name, self.schema.types.get(name)) {
            // Section 3.5.1: 32 bits.
            ("Int", _) => {
                out.extend_from_slice(if out.last() == Some(&b'{') { b"" } else { b"," });
                out.extend_from_slice(b"\"minimum\":-2147483648,\"maximum\":2147483647");
                &["integer"]
            }
            ("Float", _) => &["number"],
            ("String", _) => &["string"],
            ("Boolean", _) => &["boolean"],
            // Section 3.5.5: integers are accepted as well, but whatever can be written as one can be written as a string,
            // and of a type that may be either no policy could read the value.
            ("ID", _) => &["string"],
            // What a scalar of the API's own takes, only the API knows.
            (_, Some(Type::Scalar)) => return Ok(()),
            (_, Some(Type::Enum { .. } | Type::Input { .. })) => {
                self.reference(name, non_null, out);
                return Ok(());
            }
            (_, Some(Type::Composite { .. }) | None) => return Err(Reason::Type),
        };
        key("type", out);
        let null = if non_null { None } else { Some("null") };
        let types: Vec<&str> = types.iter().copied().chain(null).collect();
        match types.as_slice() {
            [one] => quote(one, out),
            many => list(many.iter().copied(), out),
        }
        Ok(())
    }

    fn reference(&mut self, name: &'s str, non_null: bool, out: &mut Vec<u8>) {
        if self.known.insert(name) {
            self.defs.push(name);
        }
        let text = format!("#/$defs/{name}");
        if non_null {
            key("$ref", out);
            quote(&text, out);
        } else {
            key("anyOf", out);
            out.extend_from_slice(b"[{\"$ref\":");
            quote(&text, out);
            out.extend_from_slice(b"},{\"type\":\"null\"}]");
        }
    }

    fn definition(&mut self, name: &'s str, out: &mut Vec<u8>) -> Result<(), Reason> {
        if out.len() > self.soft {
            self.widened.insert(Widened::Size);
            out.extend_from_slice(b"{}");
            return Ok(());
        }
        match self.schema.types.get(name) {
            Some(Type::Enum { values, bytes }) => {
                out.extend_from_slice(b"{\"type\":\"string\"");
                // An enumeration over the limit is no help to anyone who chooses from it.
                if bytes + 3 * values.len() > self.soft / 4 {
                    self.widened.insert(Widened::Value);
                } else if !values.is_empty() {
                    let mut seen = HashSet::new();
                    key("enum", out);
                    list(values.iter().map(String::as_str).filter(|value| seen.insert(*value)), out);
                }
                out.push(b'}');
            }
            Some(Type::Input { fields, one_of }) => {
                out.extend_from_slice(b"{\"type\":\"object\",\"properties\":{");
                for field in fields {
                    self.member(field, out)?;
                }
                out.push(b'}');
                write_required(fields, out);
                if *one_of {
                    out.extend_from_slice(b",\"minProperties\":1,\"maxProperties\":1");
                }
                out.extend_from_slice(b",\"additionalProperties\":false}");
            }
            Some(Type::Scalar | Type::Composite { .. }) | None => return Err(Reason::Type),
        }
        Ok(())
    }
}

/// Appends the member `required`, unless none is.
pub(super) fn write_required(values: &[InputValue], out: &mut Vec<u8>) {
    let required: Vec<&str> = values.iter().filter(|v| v.is_required()).map(|v| v.name.as_str()).collect();
    if !required.is_empty() {
        key("required", out);
        list(required.into_iter(), out);
    }
}

fn list<'t>(texts: impl Iterator<Item = &'t str>, out: &mut Vec<u8>) {
    out.push(b'[');
    for (i, text) in texts.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        quote(text, out);
    }
    out.push(b']');
}
