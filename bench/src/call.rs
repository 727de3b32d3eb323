//! One benchmarked call: what is sent, what must come back.
//!
//! Arguments and answers are text such as tools really exchange (paths, queries, log lines with escapes), and no two calls
//! are the same, so that nothing under test can answer from a cache what a real agent would make it compute.

use crate::Failure;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::Full;
use serde::Deserialize;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::LazyLock;

/// The tool that answers with as many bytes as asked.
pub(crate) const TOOL: &str = "payload";
/// The upstream's tools as `tools/list` gives them; the reference policies are written for these.
pub(crate) const TOOLS: &str = include_str!("../tools.json");

pub(crate) const MODERN: &str = "2026-07-28";
pub(crate) const LEGACY: &str = "2025-11-25";

/// Bytes of one line of an answer, with its line feed.
const LINE: usize = 64;

/// Which protocol the load speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Era {
    /// 2026-07-28: no session, the metadata on every request.
    Modern,
    /// 2025-11-25: a session opened once per connection.
    Legacy,
}

/// What every call of one measurement has in common.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) uri: Uri,
    pub(crate) era: Era,
    /// The name under which the endpoint offers [`TOOL`].
    pub(crate) tool: String,
    /// Presented as a bearer key.
    pub(crate) key: Option<String>,
    /// Size of the `arguments` object.
    pub(crate) arguments_bytes: usize,
    /// Size of the answer's text, a multiple of 64.
    pub(crate) answer_bytes: usize,
}

/// An answer that is not the one to this call.
#[derive(Debug)]
pub(crate) struct Wrong(pub(crate) String);

impl Shape {
    /// The headers of every request of a connection; `session` is what `initialize` gave.
    pub(crate) fn headers(&self, session: Option<&HeaderValue>) -> Result<HeaderMap, Failure> {
        let mut headers = HeaderMap::new();
        let host = self.uri.authority().ok_or("the URL names no host")?.as_str();
        headers.insert("host", HeaderValue::from_str(host)?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        if let Some(key) = &self.key {
            let mut value = HeaderValue::from_str(&format!("Bearer {key}"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let version = HeaderName::from_static("mcp-protocol-version");
        match self.era {
            Era::Modern => {
                headers.insert(version, HeaderValue::from_static(MODERN));
                headers.insert("mcp-method", HeaderValue::from_static("tools/call"));
                headers.insert("mcp-name", HeaderValue::from_str(&self.tool)?);
            }
            Era::Legacy => {
                headers.insert(version, HeaderValue::from_static(LEGACY));
                if let Some(session) = session {
                    headers.insert("mcp-session-id", session.clone());
                }
            }
        }
        Ok(headers)
    }

    /// A POST to the endpoint.
    pub(crate) fn post(&self, headers: &HeaderMap, body: String) -> Result<Request<Full<Bytes>>, Failure> {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder().method(Method::POST).uri(path).body(Full::new(Bytes::from(body)))?;
        headers.clone_into(request.headers_mut());
        Ok(request)
    }

    /// The body of call number `n`.
    pub(crate) fn body(&self, n: u64) -> String {
        let mut body = String::with_capacity(self.arguments_bytes + 512);
        let tool = &self.tool;
        _ = write!(body, r#"{{"jsonrpc":"2.0","id":{n},"method":"tools/call","params":{{"name":"{tool}","arguments":"#);
        let begin = body.len();
        _ = write!(
            body,
            r#"{{"request_id":"req-{n:012}","path":"/srv/fleet/site-{:02}/records/{:04}","query":"status = 'open' and age > {}","max_bytes":{},"recursive":{},"labels":["nightly","unit-{:03}","eu-west"],"options":{{"depth":{},"format":"text"}},"message":""#,
            n % 48,
            n % 9973,
            n % 31,
            self.answer_bytes,
            n.is_multiple_of(2),
            n % 997,
            n % 7,
        );
        // Two bytes close the string and the object.
        let space = self.arguments_bytes.saturating_sub(body.len() - begin + 2);
        prose(&mut body, n, space);
        body.push_str("\"}");
        if self.era == Era::Modern {
            _ = write!(
                body,
                r#","_meta":{{"io.modelcontextprotocol/protocolVersion":"{MODERN}","io.modelcontextprotocol/clientInfo":{{"name":"bench","version":"1"}},"io.modelcontextprotocol/clientCapabilities":{{}}}}"#
            );
        }
        body.push_str("}}");
        body
    }

    /// Checks the answer to call `n`: `thorough` reads all of it, else only its size is judged.
    pub(crate) fn check(&self, n: u64, body: &[u8], thorough: bool) -> Result<(), Wrong> {
        if body.len() < self.answer_bytes {
            return Err(Wrong(shorten(body)));
        }
        if !thorough {
            return Ok(());
        }
        let answer: Answer<'_> =
            serde_json::from_slice(body).map_err(|error| Wrong(format!("{error}: {}", shorten(body))))?;
        let right = answer.id == n
            && !answer.result.is_error
            && answer.result.content.first().is_some_and(|block| {
                block.text.len() == self.answer_bytes && block.text.starts_with(&format!("req-{n:012}"))
            });
        if right { Ok(()) } else { Err(Wrong(shorten(body))) }
    }
}

#[derive(Deserialize)]
struct Answer<'a> {
    id: u64,
    #[serde(borrow)]
    result: CallResult<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CallResult<'a> {
    #[serde(borrow)]
    content: Vec<Block<'a>>,
    #[serde(default)]
    is_error: bool,
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
}

/// The text that answers a request, as it stands inside a JSON string: lines of 64 bytes, each ended by an escaped line
/// feed, the first beginning with the request's own id, the others from a place in a fixed text that differs by id. Copied,
/// not made: a real server's answer costs it more, but here the upstream shares the machine with what is measured.
pub(crate) fn answer_text(request_id: &str, bytes: usize, into: &mut String) {
    /// Lines of the fixed text, and bytes of one as written in JSON.
    const LINES: usize = 2048;
    const WRITTEN: usize = LINE + 1;
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let mut text = String::with_capacity(LINES * WRITTEN);
        for number in 0..LINES as u64 {
            let begin = text.len();
            _ = write!(text, "{:02}:{:02} unit-{:03} ", number % 24, number % 60, number % 997);
            let space = (LINE - 1).saturating_sub(text.len() - begin);
            prose(&mut text, number, space);
            text.push_str("\\n");
        }
        text
    });

    let seed: usize = request_id.bytes().fold(7, |seed: usize, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    into.reserve(bytes / LINE * WRITTEN + WRITTEN);
    let begin = into.len();
    into.push_str(request_id);
    into.push(' ');
    let space = (LINE - 1).saturating_sub(into.len() - begin);
    prose(into, seed as u64, space);
    into.push_str("\\n");
    let mut line = seed % LINES;
    let mut left = (bytes / LINE).saturating_sub(1);
    while left > 0 {
        let run = left.min(LINES - line);
        into.push_str(TEXT.get(line * WRITTEN..(line + run) * WRITTEN).unwrap_or_default());
        left -= run;
        line = 0;
    }
}

/// Exactly `space` bytes of plain words, a different run of them for each `seed`.
fn prose(into: &mut String, seed: u64, space: usize) {
    const WORDS: [&str; 24] = [
        "pump",
        "valve",
        "reported",
        "pressure",
        "within",
        "limits",
        "after",
        "the",
        "restart",
        "of",
        "module",
        "seven",
        "operator",
        "noted",
        "drift",
        "in",
        "sensor",
        "readings",
        "since",
        "last",
        "calibration",
        "and",
        "asked",
        "review",
    ];
    let end = into.len() + space;
    let mut state = seed | 1;
    while into.len() < end {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let word = WORDS.get((state >> 33) as usize % WORDS.len()).copied().unwrap_or("unit");
        into.push_str(word);
        into.push(' ');
    }
    // Every word is ASCII, so the cut is between characters.
    into.truncate(end);
}

fn shorten(body: &[u8]) -> String {
    String::from_utf8_lossy(body.get(..body.len().min(400)).unwrap_or(body)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(era: Era, answer_bytes: usize) -> Shape {
        Shape {
            uri: Uri::from_static("http://127.0.0.1:1/mcp"),
            era,
            tool: TOOL.to_owned(),
            key: None,
            arguments_bytes: 1024,
            answer_bytes,
        }
    }

    fn answer(n: u64, bytes: usize) -> String {
        let mut text = String::new();
        answer_text(&format!("req-{n:012}"), bytes, &mut text);
        format!(r#"{{"jsonrpc":"2.0","id":{n},"result":{{"content":[{{"type":"text","text":"{text}"}}]}}}}"#)
    }

    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(borrow)]
        params: Params<'a>,
    }

    #[derive(Deserialize)]
    struct Params<'a> {
        #[serde(borrow)]
        arguments: &'a serde_json::value::RawValue,
    }

    #[test]
    fn arguments_have_the_size_asked_for_eight_members_and_differ_from_call_to_call() {
        for era in [Era::Modern, Era::Legacy] {
            let mut seen = std::collections::HashSet::new();
            for n in [1, 2, 99, 1_000_000] {
                let body = shape(era, 1024).body(n);
                let message: serde_json::Value = serde_json::from_str(&body).unwrap();
                let arguments = &message["params"]["arguments"];
                assert_eq!(arguments.as_object().unwrap().len(), 8);
                let sent: Message<'_> = serde_json::from_str(&body).unwrap();
                assert_eq!(sent.params.arguments.get().len(), 1024);
                assert!(seen.insert(arguments.to_string()), "call {n} repeats another's arguments");
            }
        }
    }

    #[test]
    fn only_the_answer_to_this_very_call_passes() {
        for bytes in [64, 1024, 1 << 20] {
            let shape = shape(Era::Modern, bytes);
            shape.check(7, answer(7, bytes).as_bytes(), true).unwrap();
            assert!(shape.check(8, answer(7, bytes).as_bytes(), true).is_err(), "another call's answer");
            assert!(shape.check(7, answer(7, bytes * 2).as_bytes(), true).is_err(), "another size");
            let refused = answer(7, bytes).replacen("\"content\"", "\"isError\":true,\"content\"", 1);
            assert!(shape.check(7, refused.as_bytes(), true).is_err(), "a refusal");
            assert!(shape.check(7, b"{}", false).is_err(), "too short, even in passing");
        }
    }

    #[test]
    fn the_listed_tools_are_valid_json_and_have_the_one_that_is_called() {
        let tools: serde_json::Value = serde_json::from_str(TOOLS).unwrap();
        assert!(tools.as_array().unwrap().iter().any(|tool| tool["name"] == TOOL));
    }
}
