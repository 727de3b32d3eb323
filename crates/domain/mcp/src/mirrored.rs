//! Arguments that modern calls repeat as headers, so that intermediaries can route by them (`x-mcp-header`).
//!
//! In scope: which ones a tool's input schema names, and the text of a header's value. Out of scope: sending and
//! comparing headers. Source: MCP 2026-07-28, streamable HTTP, "Custom headers from tool parameters".

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use interlock_model::json::View;
use std::borrow::Cow;
use std::collections::HashSet;

/// One argument, and the header that repeats it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrored {
    /// The header is `Mcp-Param-{header}`: a token, at most 128 bytes.
    pub header: Box<str>,
    /// Members from the arguments down to the value.
    pub path: Box<[Box<str>]>,
}

/// An annotation that clients must not accept; they leave out the whole tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAnnotation {
    /// Empty or not a token.
    #[error("an `x-mcp-header` that is no header name")]
    Name,
    /// Twice the same, whatever the case.
    #[error("two parameters with the same `x-mcp-header`")]
    Duplicate,
    /// On something other than a string, integer or boolean.
    #[error("an `x-mcp-header` on a parameter that is no string, integer or boolean")]
    Type,
    /// Not on a property that is reached through `properties` alone.
    #[error("an `x-mcp-header` that is not reached through `properties` alone")]
    Place,
}

/// The arguments that `schema`, a tool's input schema, wants repeated.
///
/// # Errors
///
/// [`InvalidAnnotation`] for the first one that must not be there.
pub fn mirrored(schema: View<'_>) -> Result<Vec<Mirrored>, InvalidAnnotation> {
    let mut found = Vec::new();
    walk(schema, &mut Vec::new(), true, &mut found)?;
    let mut names = HashSet::new();
    let distinct = found.iter().all(|one| names.insert(one.header.to_ascii_lowercase()));
    if distinct { Ok(found) } else { Err(InvalidAnnotation::Duplicate) }
}

const ANNOTATION: &str = "x-mcp-header";
/// Keywords of JSON Schema 2020-12 and older whose value is a schema or a list of schemas.
const SCHEMA: [&str; 17] = [
    "items",
    "prefixItems",
    "additionalItems",
    "unevaluatedItems",
    "contains",
    "additionalProperties",
    "unevaluatedProperties",
    "propertyNames",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "contentSchema",
    "dependencies",
];
/// Keywords whose value holds schemas by name.
const SCHEMAS: [&str; 4] = ["patternProperties", "dependentSchemas", "$defs", "definitions"];

// The recursion is bounded by the depth that the text was checked with.
fn walk(
    schema: View<'_>,
    path: &mut Vec<Box<str>>,
    reachable: bool,
    found: &mut Vec<Mirrored>,
) -> Result<(), InvalidAnnotation> {
    for element in schema.elements() {
        walk(element, path, false, found)?;
    }
    for (key, value) in schema.members() {
        let Some(key) = key.as_str() else { continue };
        match &*key {
            ANNOTATION => {
                if !reachable || path.is_empty() {
                    return Err(InvalidAnnotation::Place);
                }
                found.push(Mirrored { header: header_name(value)?, path: path.as_slice().into() });
                let primitive =
                    schema.get("type").is_some_and(|t| ["string", "integer", "boolean"].iter().any(|p| t.is_str(p)));
                if !primitive {
                    return Err(InvalidAnnotation::Type);
                }
            }
            "properties" => {
                for (name, property) in value.members() {
                    path.push(name.as_str().unwrap_or_default().into());
                    walk(property, path, reachable, found)?;
                    path.pop();
                }
            }
            keyword if SCHEMA.contains(&keyword) => walk(value, path, false, found)?,
            keyword if SCHEMAS.contains(&keyword) => {
                for (_, schema) in value.members() {
                    walk(schema, path, false, found)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn header_name(value: View<'_>) -> Result<Box<str>, InvalidAnnotation> {
    // RFC 9110, 5.6.2.
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let name = value.as_str().filter(|n| !n.is_empty() && n.len() <= 128 && n.bytes().all(token));
    name.map(|n| n.into()).ok_or(InvalidAnnotation::Name)
}

const CODED: (&str, &str) = ("=?base64?", "?=");

/// `text` as a header's value: itself where it is plain ASCII with nothing at its ends to lose, else in the base64
/// sentinel.
#[must_use]
pub fn header_value(text: &str) -> Cow<'_, str> {
    let (start, end) = CODED;
    let plain = text.bytes().all(|b| (0x20..0x7F).contains(&b))
        && text.trim_ascii() == text
        && !(text.starts_with(start) && text.ends_with(end));
    if plain { Cow::Borrowed(text) } else { Cow::Owned(format!("{start}{}{end}", STANDARD.encode(text))) }
}

/// The text behind a header's value; `None` for a sentinel that holds no base64 of UTF-8.
#[must_use]
pub fn header_text(value: &str) -> Option<Cow<'_, str>> {
    let (start, end) = CODED;
    let Some(coded) = value.strip_prefix(start).and_then(|rest| rest.strip_suffix(end)) else {
        return Some(Cow::Borrowed(value));
    };
    String::from_utf8(STANDARD.decode(coded).ok()?).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_model::json::{Json, Limits};

    #[test]
    fn values() {
        for (text, value) in [
            ("us-west1", "us-west1"),
            ("a b", "a b"),
            ("", ""),
            (" a", "=?base64?IGE=?="),
            ("a\t", "=?base64?YQk=?="),
            ("Gr\u{fc}\u{df}e", "=?base64?R3LDvMOfZQ==?="),
            ("a\r\nX: y", "=?base64?YQ0KWDogeQ==?="),
            ("=?base64?YQ==?=", "=?base64?PT9iYXNlNjQ/WVE9PT89?="),
        ] {
            assert_eq!(header_value(text), value, "{text:?}");
            assert_eq!(header_text(value).as_deref(), Some(text), "{value}");
        }
        for broken in ["=?base64?YQ?=", "=?base64?//8=?=", "=?base64?!?="] {
            assert_eq!(header_text(broken), None, "{broken}");
        }
    }

    fn read(schema: &str) -> Result<usize, InvalidAnnotation> {
        mirrored(Json::parse(schema, Limits::RESULT).unwrap().root()).map(|all| all.len())
    }

    #[test]
    fn annotations_are_found_and_checked() {
        let of = |p: &str| read(&format!(r#"{{"type":"object","properties":{p}}}"#));
        for (properties, expected) in [
            (r#"{"a":{"type":"string"}}"#, Ok(0)),
            (r#"{"a":{"type":"string","x-mcp-header":"Region"}}"#, Ok(1)),
            (r#"{"x-mcp-header":{"type":"string"}}"#, Ok(0)),
            (r#"{"a":{"type":"object","properties":{"b":{"type":"integer","x-mcp-header":"B"}}}}"#, Ok(1)),
            (r#"{"a":{"type":"string","default":{"x-mcp-header":""}}}"#, Ok(0)),
            (r#"{"a":{"type":"string","x-mcp-header":""}}"#, Err(InvalidAnnotation::Name)),
            (r#"{"a":{"type":"string","x-mcp-header":"a b"}}"#, Err(InvalidAnnotation::Name)),
            (r#"{"a":{"type":"string","x-mcp-header":"a:b"}}"#, Err(InvalidAnnotation::Name)),
            (r#"{"a":{"type":"string","x-mcp-header":1}}"#, Err(InvalidAnnotation::Name)),
            (r#"{"a":{"type":"number","x-mcp-header":"A"}}"#, Err(InvalidAnnotation::Type)),
            (r#"{"a":{"type":["string","null"],"x-mcp-header":"A"}}"#, Err(InvalidAnnotation::Type)),
            (r#"{"a":{"x-mcp-header":"A"}}"#, Err(InvalidAnnotation::Type)),
            (r#"{"a":{"type":"array","items":{"type":"string","x-mcp-header":"A"}}}"#, Err(InvalidAnnotation::Place)),
            (r#"{"a":{"anyOf":[{"type":"string","x-mcp-header":"A"}]}}"#, Err(InvalidAnnotation::Place)),
            (
                r#"{"a":{"type":"string","x-mcp-header":"A"},"b":{"type":"string","x-mcp-header":"a"}}"#,
                Err(InvalidAnnotation::Duplicate),
            ),
        ] {
            assert_eq!(of(properties), expected, "{properties}");
        }
        assert_eq!(read(r#"{"type":"string","x-mcp-header":"A"}"#), Err(InvalidAnnotation::Place));
        assert_eq!(read(r#"{"$defs":{"d":{"type":"string","x-mcp-header":"A"}}}"#), Err(InvalidAnnotation::Place));
    }
}
