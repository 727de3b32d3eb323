//! A response as an MCP tool result.
//!
//! In scope: which content a body becomes, what is cut and that it says so. Out of scope: judging the content (the
//! gateway inspects every result), encodings of the transfer.
//! Source: MCP 2026-07-28, server/tools, "Tool Result"; RFC 9110, section 15.

use crate::http::HttpResponse;
use crate::media::{self, Kind};
use crate::quote::{key, quote};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use interlock_model::Digest;
use interlock_model::json::{self, Json, Limits};

/// How much of a response reaches the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultLimits {
    /// Most bytes of a body shown as text. A longer one is cut, and then there is no structured content, for half of
    /// a JSON text is none.
    pub text_bytes: usize,
    /// Most bytes of a body passed on as an image, audio or a file. A larger one is left out, and said to be.
    pub blob_bytes: usize,
}

impl ResultLimits {
    /// What models can read, and a picture or a document.
    pub const DEFAULT: Self = Self { text_bytes: 256 * 1024, blob_bytes: 4 * 1024 * 1024 };
}

impl Default for ResultLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// A JSON body that is made part of a result, itself part of a message: some levels and values are theirs.
const STRUCTURED: json::Limits =
    Limits { depth: Limits::RESULT.depth - 8, nodes: Limits::RESULT.nodes - 64, ..Limits::RESULT };

/// The result (a JSON object: `content`, `structuredContent` where the body is a JSON object, `isError`).
///
/// A status of 400 and above is an error, and the text says which. So is one below 200, which is no final answer. A
/// redirect is not followed, and the text says so.
#[must_use]
pub fn tool_result(response: &HttpResponse<'_>, limits: &ResultLimits) -> Bytes {
    tool_result_with(response, limits, None)
}

/// As [`tool_result`], but an error with this `fault` whatever the status.
pub(crate) fn tool_result_with(response: &HttpResponse<'_>, limits: &ResultLimits, fault: Option<&str>) -> Bytes {
    let status = response.status;
    let is_error = fault.is_some() || !(200..400).contains(&status);
    let mut heading = String::new();
    if let Some(fault) = fault {
        heading = format!("HTTP status {status}: {fault}");
    } else if is_error {
        heading = format!("HTTP status {status}");
    } else if (300..400).contains(&status) {
        heading = format!("HTTP status {status}: redirects are not followed");
    } else if response.body.is_empty() {
        heading = format!("HTTP status {status}, without content");
    }
    let mut out = Results::new(heading);
    let declared = response.content_type.map(media::essence);
    let essence = declared.clone().flatten();
    let kind = essence.as_deref().map_or(Kind::Other, media::kind);
    let text = std::str::from_utf8(response.body).ok();
    match (kind, text) {
        _ if response.body.is_empty() => {}
        (Kind::Json | Kind::Text, Some(text)) => out.text(text, limits),
        // RFC 9110, section 8.3: without a type, the recipient may look at the content.
        (Kind::Other, Some(text)) if declared.is_none() && is_shown(text) => out.text(text, limits),
        _ => out.blob(kind, essence.as_deref().unwrap_or("application/octet-stream"), response.body, limits),
    }
    let json = kind == Kind::Json || declared.is_none();
    if json && response.body.len() <= limits.text_bytes {
        out.structured(response.body);
    }
    out.finish(is_error)
}

/// Whether bytes that nobody named a type for are text: no control characters but those of layout.
fn is_shown(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

/// A result in the making.
pub(crate) struct Results {
    /// Shown before the first text.
    heading: String,
    /// The members of `content`, each a JSON object.
    content: Vec<Vec<u8>>,
    structured: Option<Vec<u8>>,
}

impl Results {
    pub(crate) const fn new(heading: String) -> Self {
        Self { heading, content: Vec::new(), structured: None }
    }

    /// Adds the body as text, cut where it is over the limit.
    pub(crate) fn text(&mut self, text: &str, limits: &ResultLimits) {
        let end = text.floor_char_boundary(limits.text_bytes.min(text.len()));
        let shown = text.get(..end).unwrap_or_default();
        let mut whole = std::mem::take(&mut self.heading);
        if !whole.is_empty() {
            whole.push_str("\n\n");
        }
        whole.push_str(shown);
        if end < text.len() {
            whole.push_str(&format!("\n\n[cut by the gateway: the first {end} of {} bytes are shown]", text.len()));
        }
        self.push_text(&whole);
    }

    fn blob(&mut self, kind: Kind, media_type: &str, body: &[u8], limits: &ResultLimits) {
        if body.len() > limits.blob_bytes {
            let note = format!(
                "[left out by the gateway: {} bytes of {media_type}, over the limit of {}]",
                body.len(),
                limits.blob_bytes
            );
            return self.text(&note, &ResultLimits { text_bytes: note.len(), ..*limits });
        }
        if !self.heading.is_empty() {
            let heading = std::mem::take(&mut self.heading);
            self.push_text(&heading);
        }
        let data = STANDARD.encode(body);
        let mut out = Vec::with_capacity(data.len() + 256);
        let (word, member) = match kind {
            Kind::Image => ("image", "data"),
            Kind::Audio => ("audio", "data"),
            Kind::Json | Kind::Text | Kind::Other => ("resource", "blob"),
        };
        out.extend_from_slice(format!("{{\"type\":\"{word}\"").as_bytes());
        if member == "blob" {
            key("resource", &mut out);
            out.push(b'{');
            // A resource must have an address. This one says what it is and leads nowhere.
            key("uri", &mut out);
            quote(&format!("urn:{}", Digest::of(body)), &mut out);
        }
        key("mimeType", &mut out);
        quote(media_type, &mut out);
        key(member, &mut out);
        // Base64 needs no escapes.
        out.push(b'"');
        out.extend_from_slice(data.as_bytes());
        out.push(b'"');
        out.extend_from_slice(if member == "blob" { b"}}" } else { b"}" });
        self.content.push(out);
    }

    /// Takes the body as structured content if it is a JSON object within the limits of results, as it came.
    pub(crate) fn structured(&mut self, body: &[u8]) {
        if let Ok(json) = Json::parse(body, STRUCTURED)
            && json.root().kind() == json::Kind::Object
        {
            self.structured = Some(json.root().raw().to_vec());
        }
    }

    fn push_text(&mut self, text: &str) {
        let mut out = b"{\"type\":\"text\",\"text\":".to_vec();
        quote(text, &mut out);
        out.push(b'}');
        self.content.push(out);
    }

    pub(crate) fn finish(mut self, is_error: bool) -> Bytes {
        if !self.heading.is_empty() {
            let heading = std::mem::take(&mut self.heading);
            self.push_text(&heading);
        }
        let mut out = b"{\"content\":[".to_vec();
        for (i, content) in self.content.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(content);
        }
        out.push(b']');
        if let Some(structured) = self.structured {
            key("structuredContent", &mut out);
            out.extend_from_slice(&structured);
        }
        key("isError", &mut out);
        out.extend_from_slice(if is_error { b"true" } else { b"false" });
        out.push(b'}');
        out.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const SMALL: ResultLimits = ResultLimits { text_bytes: 16, blob_bytes: 8 };

    fn raw(status: u16, content_type: Option<&str>, body: &[u8], limits: &ResultLimits) -> String {
        let result = tool_result(&HttpResponse { status, content_type, body }, limits);
        String::from_utf8(result.to_vec()).unwrap()
    }

    fn result(status: u16, content_type: &str, body: &[u8]) -> Value {
        serde_json::from_str(&raw(status, Some(content_type), body, &ResultLimits::DEFAULT)).unwrap()
    }

    fn text(text: &str) -> Value {
        json!([{"type": "text", "text": text}])
    }

    #[test]
    fn bodies() {
        let object = r#"{"a": 1.10, "n": 12345678901234567890}"#;
        // The object's own bytes.
        assert_eq!(
            raw(200, Some("application/json"), object.as_bytes(), &ResultLimits::DEFAULT),
            format!(
                r#"{{"content":[{{"type":"text","text":{}}}],"structuredContent":{object},"isError":false}}"#,
                Value::from(object)
            )
        );
        for (status, content_type, body, expected) in [
            (200, "application/json", "[1]", json!({"content": text("[1]"), "isError": false})),
            (
                200,
                "application/json",
                r#"{"a":1,"a":2}"#,
                json!({"content": text(r#"{"a":1,"a":2}"#), "isError": false}),
            ),
            (200, "text/plain", r#"{"a":1}"#, json!({"content": text(r#"{"a":1}"#), "isError": false})),
            (200, "text/html", "<b>", json!({"content": text("<b>"), "isError": false})),
            (204, "text/plain", "", json!({"content": text("HTTP status 204, without content"), "isError": false})),
            (
                303,
                "text/plain",
                "see",
                json!({"content": text("HTTP status 303: redirects are not followed\n\nsee"), "isError": false}),
            ),
            (404, "text/plain", "gone", json!({"content": text("HTTP status 404\n\ngone"), "isError": true})),
            (500, "text/plain", "", json!({"content": text("HTTP status 500"), "isError": true})),
            (101, "text/plain", "", json!({"content": text("HTTP status 101"), "isError": true})),
            (
                422,
                "application/problem+json; charset=utf-8",
                r#"{"title":"no"}"#,
                json!({"content": text("HTTP status 422\n\n{\"title\":\"no\"}"), "structuredContent": {"title": "no"}, "isError": true}),
            ),
        ] {
            assert_eq!(result(status, content_type, body.as_bytes()), expected, "{status} {content_type} {body}");
        }
    }

    #[test]
    fn what_is_no_text() {
        let found = result(200, "image/png", b"\x89PNG");
        assert_eq!(found["content"], json!([{"type": "image", "mimeType": "image/png", "data": "iVBORw=="}]));
        let found = result(200, "Audio/MPEG; x=1", b"\xff");
        assert_eq!(found["content"], json!([{"type": "audio", "mimeType": "audio/mpeg", "data": "/w=="}]));
        let found = result(200, "application/zip", b"PK");
        let resource = &found["content"][0]["resource"];
        assert_eq!(resource["blob"], "UEs=");
        assert_eq!(resource["mimeType"], "application/zip");
        assert!(resource["uri"].as_str().unwrap().starts_with("urn:sha256:"));
        // Said to be text, and is not.
        let found = result(502, "text/plain", b"\xff\xfe");
        assert_eq!(found["content"][0], text("HTTP status 502")[0]);
        assert_eq!(found["content"][1]["resource"]["blob"], "//4=");
        assert_eq!(found["isError"], true);
        // What is not a media type is not repeated.
        let found = result(200, "x\"y", b"z");
        assert_eq!(found["content"][0]["resource"]["mimeType"], "application/octet-stream");
        // No type at all: as it looks.
        let found: Value = serde_json::from_str(&raw(200, None, b"{\"a\":1}", &ResultLimits::DEFAULT)).unwrap();
        assert_eq!(found["structuredContent"], json!({"a": 1}));
        let found: Value = serde_json::from_str(&raw(200, None, b"a\0b", &ResultLimits::DEFAULT)).unwrap();
        assert_eq!(found["content"][0]["type"], "resource");
    }

    #[test]
    fn what_is_cut_says_so() {
        let body = "ä".repeat(20);
        let found: Value = serde_json::from_str(&raw(200, Some("text/plain"), body.as_bytes(), &SMALL)).unwrap();
        let expected = format!("{}\n\n[cut by the gateway: the first 16 of 40 bytes are shown]", "ä".repeat(8));
        assert_eq!(found["content"], text(&expected));
        let body = format!(r#"{{"a":"{}"}}"#, "x".repeat(20));
        let found: Value = serde_json::from_str(&raw(200, Some("application/json"), body.as_bytes(), &SMALL)).unwrap();
        assert_eq!(found.get("structuredContent"), None);
        let found: Value = serde_json::from_str(&raw(200, Some("image/png"), b"123456789", &SMALL)).unwrap();
        assert_eq!(found["content"], text("[left out by the gateway: 9 bytes of image/png, over the limit of 8]"));
    }

    proptest! {
        /// A result is always JSON that a message can hold.
        #[test]
        fn a_result_is_json(status in any::<u16>(), content_type in prop_oneof!["[a-z/+;= ]{0,20}", Just("application/json".to_owned())],
            body in prop_oneof![prop::collection::vec(any::<u8>(), 0..60), "\\{\"a\":[\\[\\]0-9\\\\ud8\"]{0,20}\\}".prop_map(String::into_bytes)]) {
            let found = raw(status, Some(&content_type), &body, &SMALL);
            prop_assert!(Json::parse(found.as_bytes(), Limits::RESULT).is_ok());
        }
    }
}
