//! Header values that repeat parts of a modern request's body.
//!
//! In scope: `Mcp-Name`, `Mcp-Param-*`. Out of scope: sending them. Source: MCP 2026-07-28, streamable HTTP,
//! "Standard headers" and "Custom headers from tool parameters".

use http::{HeaderName, HeaderValue};
use interlock_mcp::mirrored::{InvalidAnnotation, Mirrored, header_value, mirrored};
use interlock_model::json::{Kind, View};

/// `text` as a header's value.
pub(crate) fn encode(text: &str) -> HeaderValue {
    // What `header_value` gives is printable ASCII.
    HeaderValue::from_str(&header_value(text)).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// One argument that the server wants repeated as a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParamHeader {
    name: HeaderName,
    path: Box<[Box<str>]>,
}

impl ParamHeader {
    fn new(wanted: Mirrored) -> Result<Self, InvalidAnnotation> {
        let name = format!("mcp-param-{}", wanted.header).parse().map_err(|_| InvalidAnnotation::Name)?;
        Ok(Self { name, path: wanted.path })
    }

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

/// The headers that calls of `tool` (a tool object) carry.
pub(crate) fn annotations(tool: View<'_>) -> Result<Vec<ParamHeader>, InvalidAnnotation> {
    let wanted = tool.get("inputSchema").map(mirrored).transpose()?.unwrap_or_default();
    wanted.into_iter().map(ParamHeader::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_model::json::{Json, Limits};

    #[test]
    fn values_come_from_the_arguments() {
        let tool = r#"{"name":"t","inputSchema":{"properties":{"a":{"type":"string","x-mcp-header":"A"},"o":{"properties":{"i":{"type":"integer","x-mcp-header":"I"},"b":{"type":"boolean","x-mcp-header":"B"}}}}}}"#;
        let headers = annotations(Json::parse(tool, Limits::RESULT).unwrap().root()).unwrap();
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
