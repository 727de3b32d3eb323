//! One JSON-RPC message, checked once and read in place.

use bytes::Bytes;
use interlock_model::json::{Fault, Json, JsonError, Kind, Limits, View};
use std::borrow::Cow;
use std::fmt;

/// Members whose spelling decides what a message is: in another case they are refused, since a
/// lenient server would read `Method` where we read `method`.
const RESERVED: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
const RESERVED_PARAMS: [&str; 3] = ["name", "arguments", "_meta"];

/// A message in one of its three forms. The bytes are kept as they came.
#[derive(Clone, Debug)]
pub enum Frame {
    /// Has a method and an id.
    Request(Request),
    /// Has a method and no id.
    Notification(Notification),
    /// Has a result or an error.
    Response(Response),
}

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    json: Json<Bytes>,
    id: Id,
    method: Box<str>,
}

/// A notification.
#[derive(Clone, Debug)]
pub struct Notification {
    json: Json<Bytes>,
    method: Box<str>,
}

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    json: Json<Bytes>,
    /// `None` where the sender could not read our id (`null`).
    id: Option<Id>,
    failed: bool,
}

/// A JSON-RPC id in its literal spelling: a string with its quotes, or an integer.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Id(Bytes);

impl Id {
    /// The id `n`.
    #[must_use]
    pub fn number(n: u64) -> Self {
        Self(Bytes::from(n.to_string()))
    }

    /// The literal, as it stands in JSON.
    #[must_use]
    pub fn raw(&self) -> &[u8] {
        &self.0
    }

    fn of(json: &Json<Bytes>, value: View<'_>) -> Result<Self, FrameError> {
        let number = value.as_number().is_some_and(|n| n.bytes().all(|b| b.is_ascii_digit() || b == b'-'));
        // MCP, base protocol: an id is a string or an integer, never null.
        if !(value.kind() == Kind::String || number) || value.raw().len() > 1024 {
            return Err(FrameError::Id);
        }
        Ok(Self(json.text().slice(value.span())))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not acceptable JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A batch; only 2025-03-26 had them.
    #[error("a batch of messages, which this revision does not have")]
    Batch,
    /// Not a JSON-RPC 2.0 object of one of the three forms.
    #[error("not one JSON-RPC 2.0 request, notification or response")]
    Form,
    /// The id is neither a string nor an integer.
    #[error("the id is neither a string nor an integer")]
    Id,
    /// A reserved member in another case.
    #[error("a reserved member in another case")]
    CaseVariant,
}

impl FrameError {
    /// Whether the message has a member twice, or one that a lenient reader would take for another.
    #[must_use]
    pub const fn is_ambiguous(&self) -> bool {
        matches!(self, Self::CaseVariant | Self::Json(JsonError { fault: Fault::Duplicate, .. }))
    }
}

impl Frame {
    /// Reads one message.
    ///
    /// # Errors
    ///
    /// [`FrameError`]; nothing of the message may be acted on then.
    pub fn parse(text: Bytes, limits: Limits) -> Result<Self, FrameError> {
        let json = Json::parse(text, limits)?;
        let root = json.root();
        if root.kind() == Kind::Array {
            return Err(FrameError::Batch);
        }
        let mut version = false;
        let (mut id, mut method, mut params, mut result, mut error) = (None, None, None, None, None);
        for (key, value) in root.members() {
            match key.as_str().as_deref() {
                Some("jsonrpc") => version = value.is_str("2.0"),
                Some("id") => id = Some(value),
                Some("method") => method = Some(value.as_str().ok_or(FrameError::Form)?),
                Some("params") => params = Some(value),
                Some("result") => result = Some(value),
                Some("error") => error = Some(value),
                Some(other) if is_case_variant(other, &RESERVED) => return Err(FrameError::CaseVariant),
                _ => {}
            }
        }
        if !version {
            return Err(FrameError::Form);
        }
        if let Some(params) = params {
            check_params(params)?;
        }
        match (method.map(Cow::into_owned).map(String::into_boxed_str), id, result, error) {
            (Some(method), Some(id), None, None) => {
                let id = Id::of(&json, id)?;
                Ok(Self::Request(Request { json, id, method }))
            }
            (Some(method), None, None, None) => Ok(Self::Notification(Notification { json, method })),
            (None, id, Some(_), None) => {
                let id = Id::of(&json, id.ok_or(FrameError::Form)?)?;
                Ok(Self::Response(Response { json, id: Some(id), failed: false }))
            }
            (None, id, None, Some(error)) => {
                if error.kind() != Kind::Object {
                    return Err(FrameError::Form);
                }
                let id = match id {
                    Some(id) if id.kind() != Kind::Null => Some(Id::of(&json, id)?),
                    _ => None,
                };
                Ok(Self::Response(Response { json, id, failed: true }))
            }
            _ => Err(FrameError::Form),
        }
    }
}

fn check_params(params: View<'_>) -> Result<(), FrameError> {
    if params.kind() != Kind::Object {
        return Err(FrameError::Form);
    }
    for (key, _) in params.members() {
        if key.as_str().is_some_and(|k| is_case_variant(&k, &RESERVED_PARAMS)) {
            return Err(FrameError::CaseVariant);
        }
    }
    Ok(())
}

fn is_case_variant(name: &str, reserved: &[&str]) -> bool {
    reserved.iter().any(|r| r.eq_ignore_ascii_case(name) && *r != name)
}

impl Request {
    /// The whole message, as it came.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        self.json.text()
    }
    /// The whole message, to read.
    #[must_use]
    pub fn root(&self) -> View<'_> {
        self.json.root()
    }
    /// The sender's id.
    #[must_use]
    pub const fn id(&self) -> &Id {
        &self.id
    }
    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }
    /// The parameters, an object, if there are any.
    #[must_use]
    pub fn params(&self) -> Option<View<'_>> {
        self.root().get("params")
    }
    /// A member of the parameters.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<View<'_>> {
        self.params()?.get(name)
    }
}

impl Notification {
    /// The whole message, as it came.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        self.json.text()
    }
    /// The method.
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }
    /// The parameters, an object, if there are any.
    #[must_use]
    pub fn params(&self) -> Option<View<'_>> {
        self.json.root().get("params")
    }
}

impl Response {
    /// The whole message, as it came.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        self.json.text()
    }
    /// The id it answers; `None` where the sender could not read ours.
    #[must_use]
    pub const fn id(&self) -> Option<&Id> {
        self.id.as_ref()
    }
    /// The `result`, if it succeeded.
    #[must_use]
    pub fn result(&self) -> Option<View<'_>> {
        if self.failed { None } else { self.json.root().get("result") }
    }
    /// The `error` object, if it failed.
    #[must_use]
    pub fn error(&self) -> Option<View<'_>> {
        if self.failed { self.json.root().get("error") } else { None }
    }
    /// The whole message, to read.
    #[must_use]
    pub fn root(&self) -> View<'_> {
        self.json.root()
    }
}

/// Copies `text`, putting `with` in place of each `span`. Spans are in order and do not overlap;
/// one that does not fit the text is ignored together with all after it.
#[must_use]
pub fn splice(text: &[u8], changes: &[(std::ops::Range<usize>, &[u8])]) -> Vec<u8> {
    let grown: usize = changes.iter().map(|(_, with)| with.len()).sum();
    let mut out = Vec::with_capacity(text.len() + grown);
    let mut at = 0;
    for (span, with) in changes {
        let Some(kept) = text.get(at..span.start) else { break };
        out.extend_from_slice(kept);
        out.extend_from_slice(with);
        at = span.end;
    }
    out.extend_from_slice(text.get(at..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Frame, FrameError> {
        Frame::parse(Bytes::copy_from_slice(text.as_bytes()), Limits::REQUEST)
    }

    #[test]
    fn forms() {
        let Ok(Frame::Request(r)) = parse(
            r#"{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"name":"a","arguments":{"k":1.0}},"extra":1}"#,
        ) else {
            panic!("a request")
        };
        assert_eq!(r.id().raw(), b"\"x\"");
        assert_eq!(r.param("arguments").unwrap().raw(), b"{\"k\":1.0}");
        assert!(matches!(parse(r#"{"jsonrpc":"2.0","method":"n"}"#), Ok(Frame::Notification(_))));
        assert!(matches!(parse(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#), Ok(Frame::Response(_))));
        assert!(matches!(parse(r#"{"jsonrpc":"2.0","id":null,"error":{}}"#), Ok(Frame::Response(_))));
    }

    #[test]
    fn refused() {
        for (text, error) in [
            ("[]", FrameError::Batch),
            ("{}", FrameError::Form),
            ("1", FrameError::Form),
            (r#"{"jsonrpc":"1.0","id":1,"method":"m"}"#, FrameError::Form),
            (r#"{"jsonrpc":"2.0","id":1}"#, FrameError::Form),
            (r#"{"jsonrpc":"2.0","id":1,"method":1}"#, FrameError::Form),
            (r#"{"jsonrpc":"2.0","id":null,"method":"m"}"#, FrameError::Id),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"m"}"#, FrameError::Id),
            (r#"{"jsonrpc":"2.0","id":{},"method":"m"}"#, FrameError::Id),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":[]}"#, FrameError::Form),
            (r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#, FrameError::Form),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","result":{}}"#, FrameError::Form),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","Method":"x"}"#, FrameError::CaseVariant),
            (r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":"a","Name":"b"}}"#, FrameError::CaseVariant),
        ] {
            assert_eq!(parse(text).map(drop), Err(error), "{text}");
        }
        assert!(
            parse(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"name":"a","name":"b"}}"#)
                .unwrap_err()
                .is_ambiguous()
        );
    }

    #[test]
    fn splice_replaces_in_order() {
        assert_eq!(splice(b"abcdef", &[(1..2, b"XX"), (4..6, b"")]), b"aXXcd");
        assert_eq!(splice(b"abc", &[]), b"abc");
    }
}
