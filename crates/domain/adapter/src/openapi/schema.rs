//! Schema Objects as JSON Schema 2020-12, inside one tool's input schema.
//!
//! What is written never refuses what the description admits, with one exception: members that are `readOnly` are not
//! for requests and are taken out. So whatever is too large, too deep or not understood is widened, at worst to `{}`;
//! the API itself still checks it. `oneOf` is written as `anyOf` and `not` only where nothing in it was widened, since
//! inside them wider parts would refuse more. References become `$defs` of the same tool, which is what keeps recursive
//! schemas finite.
//!
//! Source: OpenAPI 3.1.1 and 3.0.4, "Schema Object"; JSON Schema 2020-12.

use super::Version;
use crate::limits::Limits;
use crate::name;
use crate::quote::{key, quote};
use crate::refs::Refs;
use interlock_model::json::{Kind, View};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

/// Most levels of a definition's JSON that schemas may fill.
const DEPTH: usize = 40;
/// Most levels of a default, an example or one value of an enumeration.
const VALUE_DEPTH: usize = 4;
/// Most bytes of a default, an example or one enumeration.
const VALUE_BYTES: usize = 16 * 1024;
/// Most bytes of a regular expression.
const PATTERN_BYTES: usize = 512;
/// Most keywords in one tool's schema that need a validator of their own: the catalog compiles 128.
const COSTLY: usize = 120;
/// Longest chain of schemas that apply to one value, from a reference on: the catalog follows 16, and some stand before it.
const IN_PLACE: usize = 12;
/// Formats for which no validator exists.
const FREE_FORMATS: [&str; 8] = ["int32", "int64", "float", "double", "byte", "binary", "password", "decimal"];

/// What was widened in a tool's input schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Widened {
    /// Over the limit on bytes.
    Size,
    /// Nested too deep.
    Depth,
    /// A value of an enumeration, default or example is too large.
    Value,
    /// A reference that is not followed.
    Reference,
    /// A keyword that is not carried over, or not a valid one.
    Keyword,
    /// A regular expression that is too long, or too many keywords that are costly to check.
    Costly,
}

impl fmt::Display for Widened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "the input schema is too large: parts of it admit anything",
            Self::Depth => "the input schema nests too deep: parts of it admit anything",
            Self::Value => "a large enumeration, default or example was taken out of the input schema",
            Self::Reference => "a reference in the input schema is not followed: that part admits anything",
            Self::Keyword => "keywords that are not supported were taken out of the input schema",
            Self::Costly => "patterns that are too long or too many were taken out of the input schema",
        })
    }
}

/// The schemas of one tool.
pub(super) struct Schemas<'r, 'a> {
    refs: &'r mut Refs<'a>,
    version: Version,
    soft: usize,
    hard: usize,
    defs: Vec<(String, View<'a>)>,
    by_place: HashMap<usize, usize>,
    taken: HashSet<String>,
    /// How many schemas apply to one value from a place on; none while it is being counted, or without end.
    heights: HashMap<usize, Option<usize>>,
    costly: usize,
    widened: BTreeSet<Widened>,
    /// How often something was widened or left to a reference: what tells whether a part is exact.
    inexact: usize,
}

impl<'r, 'a> Schemas<'r, 'a> {
    pub(super) fn new(refs: &'r mut Refs<'a>, version: Version, limits: &Limits) -> Self {
        Self {
            refs,
            version,
            soft: limits.schema_bytes,
            hard: limits.definition_bytes,
            defs: Vec::new(),
            by_place: HashMap::new(),
            taken: HashSet::new(),
            heights: HashMap::new(),
            costly: 0,
            widened: BTreeSet::new(),
            inexact: 0,
        }
    }

    /// What was widened so far.
    pub(super) fn widened(self) -> BTreeSet<Widened> {
        self.widened
    }

    /// Appends the schema, with `description` in place of its own where given. `depth` is how many levels of JSON
    /// stand around it.
    pub(super) fn write(&mut self, schema: View<'a>, description: Option<&str>, depth: usize, out: &mut Vec<u8>) {
        if out.len() > self.soft {
            return self.anything(Widened::Size, out);
        }
        if depth + 3 > DEPTH {
            return self.anything(Widened::Depth, out);
        }
        match schema.kind() {
            Kind::Object => self.object(schema, description, depth, out),
            Kind::Bool if schema.as_bool() == Some(false) => out.extend_from_slice(b"false"),
            Kind::Bool => out.extend_from_slice(b"{}"),
            _ => self.anything(Widened::Keyword, out),
        }
    }

    /// Appends the member `$defs`, where there were references. Comes last: its schemas may refer to further ones.
    pub(super) fn write_defs(&mut self, out: &mut Vec<u8>) {
        let mut at = 0;
        while let Some((name, schema)) = self.defs.get(at).cloned() {
            if at == 0 {
                key("$defs", out);
                out.push(b'{');
            }
            key(&name, out);
            self.write(schema, None, 3, out);
            at += 1;
        }
        if at > 0 {
            out.push(b'}');
        }
    }

    fn anything(&mut self, why: Widened, out: &mut Vec<u8>) {
        self.widen(why);
        out.extend_from_slice(b"{}");
    }

    fn widen(&mut self, why: Widened) {
        self.widened.insert(why);
        self.inexact += 1;
    }

    fn object(&mut self, schema: View<'a>, description: Option<&str>, depth: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        let reference = self.refs.get(schema, "$ref");
        if let Some(reference) = reference {
            self.reference(reference, out);
        }
        if let Some(description) = description {
            key("description", out);
            quote(description, out);
        }
        // OpenAPI 3.0.4, "Reference Object": what stands beside `$ref` is ignored. In 3.1 it counts.
        if reference.is_none() || self.version == Version::V31 {
            self.keywords(schema, description.is_some(), depth, out);
        }
        out.push(b'}');
    }

    fn reference(&mut self, reference: View<'a>, out: &mut Vec<u8>) {
        self.inexact += 1;
        let target = reference.as_str().and_then(|text| self.refs.resolve(&text).ok());
        // A schema that applies itself to the same value says nothing, and checking it would not end.
        let Some(target) = target.filter(|t| self.height(*t, 0).is_some_and(|height| height <= IN_PLACE)) else {
            return self.widen(Widened::Reference);
        };
        let place = target.span().start;
        let at = match self.by_place.get(&place) {
            Some(at) => *at,
            None => {
                let text = reference.as_str().unwrap_or_default();
                let last = name::argument(text.rsplit('/').next().unwrap_or_default());
                let name = name::free(last.trim_start_matches('#').to_owned(), &self.taken);
                self.taken.insert(name.clone());
                self.defs.push((name, target));
                self.by_place.insert(place, self.defs.len() - 1);
                self.defs.len() - 1
            }
        };
        let name = self.defs.get(at).map(|(name, _)| name.as_str()).unwrap_or_default();
        key("$ref", out);
        quote(&format!("#/$defs/{name}"), out);
    }

    /// How many schemas apply to the same value in a row; none if there is no end to them, or none near.
    fn height(&mut self, schema: View<'a>, above: usize) -> Option<usize> {
        let place = schema.span().start;
        if let Some(known) = self.heights.get(&place) {
            return *known;
        }
        if above > 2 * IN_PLACE {
            return None;
        }
        self.heights.insert(place, None);
        let mut height = 0;
        for (name, value) in schema.members() {
            if !self.refs.spend() {
                return None;
            }
            let Some(name) = name.as_plain() else { continue };
            let parts: Vec<View<'a>> = match name {
                b"$ref" => {
                    let target = value.as_str().and_then(|text| self.refs.resolve(&text).ok());
                    // What leads nowhere is written as `{}` where it stands.
                    target.into_iter().collect()
                }
                b"allOf" | b"anyOf" | b"oneOf" => value.elements().collect(),
                b"dependentSchemas" => value.members().map(|(_, schema)| schema).collect(),
                b"not" => vec![value],
                _ => continue,
            };
            for part in parts {
                height = height.max(self.height(part, above + 1)?);
            }
        }
        self.heights.insert(place, Some(height + 1));
        Some(height + 1)
    }

    fn keywords(&mut self, schema: View<'a>, described: bool, depth: usize, out: &mut Vec<u8>) {
        // An address of its own changes what the references in it mean (JSON Schema 2020-12 core, section 8.2.1).
        let moved = ["$id", "$dynamicRef", "$recursiveRef"].iter().any(|k| self.refs.get(schema, k).is_some());
        if moved {
            return self.widen(Widened::Keyword);
        }
        let nullable = self.version == Version::V30 && self.refs.flag(schema, "nullable") == Some(true);
        let mut left_out = HashSet::new();
        let mut required = None;
        let mut additional = None;
        let mut patterns_lost = false;
        for (name, value) in schema.members() {
            if !self.refs.spend() || out.len() > self.hard {
                return self.widen(Widened::Size);
            }
            let Some(name) = name.as_str() else { continue };
            match &*name {
                "description" if described => {}
                "title" | "description" | "contentEncoding" | "contentMediaType" => {
                    self.raw_if(value.kind() == Kind::String, &name, value, out);
                }
                "type" => self.types(value, nullable, out),
                "format" => self.format(value, out),
                "pattern" => {
                    if self.pattern(value) {
                        self.raw_if(true, &name, value, out);
                    }
                }
                "enum" => {
                    let valid = value.elements().next().is_some();
                    self.value_if(valid, &name, value, VALUE_DEPTH + 1, out);
                }
                "examples" => self.value_if(value.kind() == Kind::Array, &name, value, VALUE_DEPTH + 1, out),
                "const" | "default" => self.value_if(true, &name, value, VALUE_DEPTH, out),
                "example" => self.example(schema, value, out),
                "deprecated" => self.raw_if(value.as_bool().is_some(), &name, value, out),
                "uniqueItems" if value.as_bool() == Some(false) => {}
                "uniqueItems" => {
                    let valid = value.as_bool().is_some() && self.afford();
                    self.raw_if(valid, &name, value, out);
                }
                "multipleOf" => {
                    let valid = is_positive(value) && self.afford();
                    self.raw_if(valid, &name, value, out);
                }
                "minimum" | "maximum" => self.bound(schema, &name, value, out),
                "exclusiveMinimum" | "exclusiveMaximum" => {
                    // A boolean (3.0) is read beside the bound that it is about.
                    if value.as_bool().is_none() {
                        self.raw_if(value.kind() == Kind::Number, &name, value, out);
                    }
                }
                "minLength" | "maxLength" | "minItems" | "maxItems" | "minProperties" | "maxProperties"
                | "minContains" | "maxContains" => {
                    let digits = value.as_number().is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit()));
                    self.raw_if(digits, &name, value, out);
                }
                "properties" => left_out = self.properties(value, depth, out),
                "required" => required = Some(value),
                "additionalProperties" => additional = Some(value),
                "patternProperties" => patterns_lost = !self.patterns(value, depth, out),
                "dependentSchemas" => self.map(&name, value, depth, out),
                "dependentRequired" => {
                    let lists = value.kind() == Kind::Object
                        && value.raw().len() <= VALUE_BYTES
                        && value.members().all(|(_, list)| is_names(list));
                    self.raw_if(lists, &name, value, out);
                }
                "items" | "contains" | "propertyNames" => {
                    key(&name, out);
                    self.write(value, None, depth + 1, out);
                }
                "prefixItems" | "allOf" | "anyOf" => self.list(&name, value, depth, out),
                "oneOf" if self.refs.get(schema, "anyOf").is_some() => self.widen(Widened::Keyword),
                "oneOf" => {
                    self.inexact += 1;
                    self.list("anyOf", value, depth, out);
                }
                "not" => self.not(value, depth, out),
                // Says nothing about what is valid, or is read elsewhere.
                "$ref" | "$defs" | "definitions" | "nullable" | "readOnly" | "writeOnly" | "discriminator" | "xml"
                | "externalDocs" | "$comment" | "$schema" | "$anchor" | "$dynamicAnchor" | "$recursiveAnchor"
                | "contentSchema" => {}
                extension if extension.starts_with("x-") => {}
                _ => self.widen(Widened::Keyword),
            }
        }
        if let Some(required) = required {
            self.required(required, &left_out, out);
        }
        match additional {
            // Members that were described by a pattern would fall under it.
            Some(_) if patterns_lost => self.widen(Widened::Costly),
            Some(additional) => {
                key("additionalProperties", out);
                self.write(additional, None, depth + 1, out);
            }
            None => {}
        }
    }

    fn raw_if(&mut self, valid: bool, name: &str, value: View<'a>, out: &mut Vec<u8>) {
        if !valid {
            self.widen(Widened::Keyword);
        } else if value.raw().len() > self.soft {
            self.widen(Widened::Size);
        } else {
            key(name, out);
            out.extend_from_slice(value.raw());
        }
    }

    fn value_if(&mut self, valid: bool, name: &str, value: View<'a>, levels: usize, out: &mut Vec<u8>) {
        if value.raw().len() > VALUE_BYTES || !is_within(value, levels) {
            return self.widen(Widened::Value);
        }
        self.raw_if(valid, name, value, out);
    }

    fn types(&mut self, value: View<'a>, nullable: bool, out: &mut Vec<u8>) {
        const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "number", "string", "integer"];
        let known = |v: View<'a>| TYPES.iter().copied().find(|t| v.is_str(t));
        let names: Option<Vec<&str>> = match value.kind() {
            Kind::Array => value.elements().take(8).map(known).collect(),
            _ => known(value).map(|name| vec![name]),
        };
        let Some(mut names) = names else { return self.widen(Widened::Keyword) };
        if nullable {
            names.push("null");
        }
        let mut seen = HashSet::new();
        names.retain(|name| seen.insert(*name));
        match names.as_slice() {
            [] => self.widen(Widened::Keyword),
            [one] => {
                key("type", out);
                quote(one, out);
            }
            many => {
                key("type", out);
                for (i, name) in many.iter().enumerate() {
                    out.push(if i == 0 { b'[' } else { b',' });
                    quote(name, out);
                }
                out.push(b']');
            }
        }
    }

    fn format(&mut self, value: View<'a>, out: &mut Vec<u8>) {
        let free = FREE_FORMATS.iter().any(|f| value.is_str(f));
        let valid = value.kind() == Kind::String && value.raw().len() <= PATTERN_BYTES && (free || self.afford());
        self.raw_if(valid, "format", value, out);
    }

    fn pattern(&mut self, value: View<'a>) -> bool {
        let kept = value.kind() == Kind::String && value.raw().len() <= PATTERN_BYTES && self.afford();
        if !kept {
            self.widen(Widened::Costly);
        }
        kept
    }

    fn afford(&mut self) -> bool {
        self.costly += 1;
        self.costly <= COSTLY
    }

    fn example(&mut self, schema: View<'a>, value: View<'a>, out: &mut Vec<u8>) {
        let small = value.raw().len() <= VALUE_BYTES && is_within(value, VALUE_DEPTH);
        if small && self.refs.get(schema, "examples").is_none() {
            key("examples", out);
            out.push(b'[');
            out.extend_from_slice(value.raw());
            out.push(b']');
        }
    }

    /// `minimum` and `maximum`; in 3.0, a boolean beside them says that the bound itself is outside.
    fn bound(&mut self, schema: View<'a>, name: &str, value: View<'a>, out: &mut Vec<u8>) {
        let exclusive = if name == "minimum" { "exclusiveMinimum" } else { "exclusiveMaximum" };
        let open = self.refs.flag(schema, exclusive) == Some(true);
        self.raw_if(value.kind() == Kind::Number, if open { exclusive } else { name }, value, out);
    }

    /// Returns the names of members that are not for requests.
    fn properties(&mut self, value: View<'a>, depth: usize, out: &mut Vec<u8>) -> HashSet<String> {
        let mut left_out = HashSet::new();
        if value.kind() != Kind::Object {
            self.widen(Widened::Keyword);
            return left_out;
        }
        key("properties", out);
        out.push(b'{');
        for (name, schema) in value.members() {
            if !self.refs.spend() || out.len() > self.hard {
                self.widen(Widened::Size);
                break;
            }
            // "Schema Object", `readOnly`: such a member should not be sent as part of a request.
            let followed = self.refs.follow(schema).unwrap_or(schema);
            let own = self.refs.flag(schema, "readOnly");
            if own.or_else(|| self.refs.flag(followed, "readOnly")) == Some(true) {
                self.inexact += 1;
                left_out.extend(name.as_str().map(std::borrow::Cow::into_owned));
                continue;
            }
            member(name, out);
            self.write(schema, None, depth + 2, out);
        }
        out.push(b'}');
        left_out
    }

    fn required(&mut self, value: View<'a>, left_out: &HashSet<String>, out: &mut Vec<u8>) {
        if !is_names(value) {
            return self.widen(Widened::Keyword);
        }
        let names: Vec<View<'a>> =
            value.elements().filter(|n| n.as_str().is_none_or(|n| !left_out.contains(&*n))).collect();
        for (i, name) in names.iter().enumerate() {
            if i == 0 {
                key("required", out);
                out.push(b'[');
            } else {
                out.push(b',');
            }
            out.extend_from_slice(name.raw());
        }
        if !names.is_empty() {
            out.push(b']');
        }
    }

    /// Returns whether all patterns were kept.
    fn patterns(&mut self, value: View<'a>, depth: usize, out: &mut Vec<u8>) -> bool {
        key("patternProperties", out);
        out.push(b'{');
        let mut all = value.kind() == Kind::Object;
        for (pattern, schema) in value.members() {
            if !self.refs.spend() || out.len() > self.hard || !self.pattern(pattern) {
                all = false;
                break;
            }
            member(pattern, out);
            self.write(schema, None, depth + 2, out);
        }
        out.push(b'}');
        all
    }

    fn map(&mut self, name: &str, value: View<'a>, depth: usize, out: &mut Vec<u8>) {
        key(name, out);
        out.push(b'{');
        for (name, schema) in value.members() {
            if !self.refs.spend() || out.len() > self.hard {
                self.widen(Widened::Size);
                break;
            }
            member(name, out);
            self.write(schema, None, depth + 2, out);
        }
        out.push(b'}');
    }

    fn list(&mut self, name: &str, value: View<'a>, depth: usize, out: &mut Vec<u8>) {
        if value.elements().next().is_none() {
            return self.widen(Widened::Keyword);
        }
        key(name, out);
        for (i, schema) in value.elements().enumerate() {
            out.push(if i == 0 { b'[' } else { b',' });
            if !self.refs.spend() || out.len() > self.hard {
                self.anything(Widened::Size, out);
                break;
            }
            self.write(schema, None, depth + 2, out);
        }
        out.push(b']');
    }

    fn not(&mut self, value: View<'a>, depth: usize, out: &mut Vec<u8>) {
        let (length, inexact) = (out.len(), self.inexact);
        key("not", out);
        self.write(value, None, depth + 1, out);
        if self.inexact != inexact {
            out.truncate(length);
            self.widen(Widened::Keyword);
        }
    }
}

/// A key as it stands in the document, after a comma unless it is the first.
fn member(name: View<'_>, out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.extend_from_slice(name.raw());
    out.push(b':');
}

fn is_names(value: View<'_>) -> bool {
    let mut seen = HashSet::new();
    value.kind() == Kind::Array
        && value.raw().len() <= VALUE_BYTES
        && value.elements().all(|name| name.as_str().is_some_and(|n| seen.insert(n)))
}

/// Above zero, whatever its spelling.
fn is_positive(value: View<'_>) -> bool {
    let Some(literal) = value.as_number() else { return false };
    let mantissa = literal.split(['e', 'E']).next().unwrap_or_default();
    !literal.starts_with('-') && mantissa.bytes().any(|b| (b'1'..=b'9').contains(&b))
}

/// Whether the value has at most `levels` levels of arrays and objects.
fn is_within(value: View<'_>, levels: usize) -> bool {
    match value.kind() {
        Kind::Array => levels > 0 && value.elements().all(|v| is_within(v, levels - 1)),
        Kind::Object => levels > 0 && value.members().all(|(_, v)| is_within(v, levels - 1)),
        Kind::Null | Kind::Bool | Kind::Number | Kind::String => true,
    }
}
