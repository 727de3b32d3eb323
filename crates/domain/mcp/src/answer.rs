//! The messages the gateway itself writes: results and errors around raw JSON.

use crate::frame::Id;
use bytes::Bytes;
use interlock_model::Code;

/// A JSON-RPC error that the gateway authors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcError {
    /// The JSON-RPC error code.
    pub rpc_code: i32,
    /// Our own stable code, put into `data.code`.
    pub code: Code,
    /// For people: lower case, no full stop.
    pub message: String,
    /// Further members of `data`, as JSON text of an object's inside (`"supported":[...]`), or empty.
    pub data: String,
}

impl RpcError {
    /// JSON-RPC: not valid JSON.
    pub const PARSE: i32 = -32700;
    /// JSON-RPC: not a request.
    pub const INVALID_REQUEST: i32 = -32600;
    /// JSON-RPC: no such method.
    pub const METHOD_NOT_FOUND: i32 = -32601;
    /// JSON-RPC: wrong parameters; also MCP's unknown tool.
    pub const INVALID_PARAMS: i32 = -32602;
    /// JSON-RPC: a fault of the receiver.
    pub const INTERNAL: i32 = -32603;
    /// MCP 2026-07-28: headers and body disagree.
    pub const HEADER_MISMATCH: i32 = -32020;
    /// MCP 2026-07-28: the request needs a capability that the client did not declare.
    pub const MISSING_CAPABILITY: i32 = -32021;
    /// MCP 2026-07-28: the revision is not served.
    pub const UNSUPPORTED_REVISION: i32 = -32022;

    /// An error with no further data.
    #[must_use]
    pub fn new(rpc_code: i32, code: Code, message: impl Into<String>) -> Self {
        Self { rpc_code, code, message: message.into(), data: String::new() }
    }

    /// The whole message; `id` is `null` where the request's could not be read.
    #[must_use]
    pub fn to_frame(&self, id: Option<&Id>) -> Bytes {
        let mut out = Vec::with_capacity(160 + self.message.len() + self.data.len());
        out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
        out.extend_from_slice(id.map_or(b"null", Id::raw));
        out.extend_from_slice(b",\"error\":{\"code\":");
        out.extend_from_slice(self.rpc_code.to_string().as_bytes());
        out.extend_from_slice(b",\"message\":");
        out.extend_from_slice(quote(&self.message).as_bytes());
        out.extend_from_slice(b",\"data\":{\"code\":\"");
        out.extend_from_slice(self.code.as_str().as_bytes());
        out.push(b'"');
        if !self.data.is_empty() {
            out.push(b',');
            out.extend_from_slice(self.data.as_bytes());
        }
        out.extend_from_slice(b"}}}");
        out.into()
    }
}

/// A response with `result` (JSON text) as its result.
#[must_use]
pub fn result(id: &Id, result: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(40 + id.raw().len() + result.len());
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id.raw());
    out.extend_from_slice(b",\"result\":");
    out.extend_from_slice(result);
    out.push(b'}');
    out.into()
}

/// `s` as a JSON string.
#[must_use]
pub fn quote(s: &str) -> String {
    serde_json::Value::from(s).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_json_whatever_the_message() {
        let error =
            RpcError { data: "\"supported\":[1]".into(), ..RpcError::new(-32600, Code::Malformed, "a \"b\"\n\u{1}") };
        let value: serde_json::Value = serde_json::from_slice(&error.to_frame(None)).unwrap();
        assert_eq!(value["error"]["message"], "a \"b\"\n\u{1}");
        assert_eq!(value["error"]["data"], serde_json::json!({"code": "malformed", "supported": [1]}));
        assert_eq!(value["id"], serde_json::Value::Null);
    }
}
