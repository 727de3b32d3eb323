//! Header values that repeat parts of a modern request's body.
//!
//! In scope: `Mcp-Name`, `Mcp-Param-*`, the annotation `x-mcp-header`. Out of scope: sending them.
//! Source: MCP 2026-07-28, streamable HTTP, "Standard headers" and "Custom headers from tool parameters".

use base64::Engine as _;
use http::{HeaderName, HeaderValue};
use interlock_model::json::{Kind, View};
use std::collections::HashSet;

/// `text` as a header's value: itself where it is plain ASCII with nothing at its ends to lose, else
/// in the base64 sentinel.
pub(crate) fn encode(text: &str) -> HeaderValue {
    let plain = text.bytes().all(|b| (0x20..0x7F).contains(&b))
        && text.trim_ascii() == text
        && !(text.starts_with("=?base64?") && text.ends_with("?="));
    if plain && let Ok(value) = HeaderValue::from_str(text) {
        return value;
    }
    let coded = format!("=?base64?{}?=", base64::engine::general_purpose::STANDARD.encode(text));
    HeaderValue::from_str(&coded).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// One argument that the server wants repeated as a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParamHeader {
    name: HeaderName,
    path: Vec<Box<str>>,
}

impl ParamHeader {
    /// The header for these arguments; none where the argument is absent or null.
    pub(crate) fn of(&self, arguments: View<'_>) -> Option<(HeaderName, HeaderValue)> {
        let value = self.path.iter().try_fold(arguments, |at, name| at.get(name))?;
        let text = match value.kind() {
            Kind::String => value.as_str()?,
            Kind::Bool | Kind::Number => std::str::from_utf8(value.raw()).ok()?.into(),
            Kind::Null | Kind::Array | Kind::Object => return None,
        };
        Some((self.name.clone(), encode(&text)))
    }
}

/// A tool with a header annotation that clients must not accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidAnnotation {
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

/// The headers that calls of `tool` (a tool object) carry.
pub(crate) fn annotations(tool: View<'_>) -> Result<Vec<ParamHeader>, InvalidAnnotation> {
    let mut found = Vec::new();
    if let Some(schema) = tool.get("inputSchema") {
        walk(schema, &mut Vec::new(), true, &mut found)?;
    }
    let mut names = HashSet::new();
    if found.iter().all(|h| names.insert(&h.name)) { Ok(found) } else { Err(InvalidAnnotation::Duplicate) }
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

// The recursion is bounded by the depth that the listing was checked with.
fn walk(
    schema: View<'_>,
    path: &mut Vec<Box<str>>,
    reachable: bool,
    found: &mut Vec<ParamHeader>,
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
                found.push(ParamHeader { name: header_name(value)?, path: path.clone() });
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

fn header_name(value: View<'_>) -> Result<HeaderName, InvalidAnnotation> {
    let name = value.as_str().filter(|n| !n.is_empty() && n.len() <= 128).ok_or(InvalidAnnotation::Name)?;
    format!("mcp-param-{name}").parse().map_err(|_| InvalidAnnotation::Name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_model::json::{Json, Limits};

    #[test]
    fn encoding() {
        for (text, expected) in [
            ("us-west1", "us-west1"),
            ("a b", "a b"),
            ("", ""),
            (" a", "=?base64?IGE=?="),
            ("a\t", "=?base64?YQk=?="),
            ("Grüße", "=?base64?R3LDvMOfZQ==?="),
            ("a\r\nX: y", "=?base64?YQ0KWDogeQ==?="),
            ("=?base64?YQ==?=", "=?base64?PT9iYXNlNjQ/WVE9PT89?="),
        ] {
            assert_eq!(encode(text), expected, "{text:?}");
        }
    }

    fn read(schema: &str) -> Result<Vec<ParamHeader>, InvalidAnnotation> {
        let tool = format!(r#"{{"name":"t","inputSchema":{schema}}}"#);
        annotations(Json::parse(tool, Limits::RESULT).unwrap().root())
    }

    #[test]
    fn annotations_are_found_and_checked() {
        let of = |p: &str| read(&format!(r#"{{"type":"object","properties":{p}}}"#)).map(|h| h.len());
        for (properties, expected) in [
            (r#"{"a":{"type":"string"}}"#, Ok(0)),
            (r#"{"a":{"type":"string","x-mcp-header":"Region"}}"#, Ok(1)),
            (r#"{"x-mcp-header":{"type":"string"}}"#, Ok(0)),
            (r#"{"a":{"type":"object","properties":{"b":{"type":"integer","x-mcp-header":"B"}}}}"#, Ok(1)),
            (r#"{"a":{"type":"string","default":{"x-mcp-header":""}}}"#, Ok(0)),
            (r#"{"a":{"type":"string","x-mcp-header":""}}"#, Err(InvalidAnnotation::Name)),
            (r#"{"a":{"type":"string","x-mcp-header":"a b"}}"#, Err(InvalidAnnotation::Name)),
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

    #[test]
    fn values_come_from_the_arguments() {
        let headers = read(
            r#"{"properties":{"a":{"type":"string","x-mcp-header":"A"},"o":{"properties":{"i":{"type":"integer","x-mcp-header":"I"},"b":{"type":"boolean","x-mcp-header":"B"}}}}}"#,
        )
        .unwrap();
        let of = |arguments: &str| {
            let json = Json::parse(arguments.to_owned(), Limits::REQUEST).unwrap();
            headers
                .iter()
                .filter_map(|h| h.of(json.root()))
                .map(|(n, v)| format!("{n}={}", v.to_str().unwrap()))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            of(r#"{"a":"\u00e9","o":{"i":42,"b":false}}"#),
            ["mcp-param-a==?base64?w6k=?=", "mcp-param-i=42", "mcp-param-b=false"]
        );
        assert!(of(r#"{"a":null,"o":[]}"#).is_empty());
    }
}
