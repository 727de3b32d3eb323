//! Requests and notifications as they leave.
//!
//! In scope: splicing an agent's `tools/call`; writing our own messages. Out of scope: I/O, headers.
//! Source: MCP 2026-07-28, base protocol, "Per-request metadata".

use interlock_engine::front::NoReply;
use interlock_mcp::answer::quote;
use interlock_mcp::{Id, NameAt, Request, Response, Revision, frame};
use interlock_model::Code;
use interlock_model::json::{Kind, View};
use std::ops::Range;

const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
const PROGRESS_TOKEN: &str = "progressToken";

/// What a modern server finds in `_meta` of every request beside the client's capabilities, as the inside of the object.
pub(crate) fn envelope(client_info: &str) -> String {
    format!("\"{PROTOCOL_VERSION}\":\"{}\",\"{CLIENT_INFO}\":{client_info}", Revision::V2026_07_28)
}

/// How one session wants its messages.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    /// [`envelope`] toward a modern server.
    pub(crate) envelope: Option<Box<str>>,
    /// Each message is one line.
    pub(crate) lines: bool,
    /// Several agents' calls share one space of progress tokens.
    pub(crate) shared: bool,
}

/// What must differ in an agent's request toward its server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Differing<'a> {
    /// The member that names what is asked for, and the server's own name for it.
    pub(crate) name: Option<(NameAt, &'a str)>,
    /// Replaces the arguments.
    pub(crate) arguments: Option<&'a [u8]>,
    /// The server's own `requestState`.
    pub(crate) state: Option<&'a str>,
    /// What the client can do, a JSON object; empty for nothing.
    pub(crate) capabilities: &'a [u8],
    /// Replies to what the server asked, a JSON object, and its state if it gave one: a further leg.
    pub(crate) replies: Option<(&'a [u8], Option<&'a [u8]>)>,
    /// The mildest log lines to be told, for a client that says so apart from its requests.
    pub(crate) log_level: Option<&'a str>,
}

/// The agent's request with what must differ toward the server, in one copy. `None` if it does not name what it
/// should.
///
/// Changed are: `id`; the name where the server's own differs; `params.arguments` where an
/// obligation replaced them; `params.requestState`, which was sealed; and in `params._meta` the protocol's own members and, on a shared
/// session, `progressToken`, which becomes our id. All else stays byte for byte, save that line
/// breaks between tokens become spaces where a message is one line.
pub(crate) fn call(request: &Request, differing: &Differing<'_>, id: &str, style: &Style) -> Option<Vec<u8>> {
    let arguments = differing.arguments;
    let text = request.bytes();
    let (mut id_at, mut params) = (None, None);
    for (key, value) in request.root().members() {
        match key.as_str().as_deref() {
            Some("id") => id_at = Some(value.span()),
            Some("params") => params = Some(value),
            _ => {}
        }
    }
    let Some(params) = params.filter(|p| p.kind() == Kind::Object) else {
        return differing.name.is_none().then(|| without_params(request, id_at, (id, differing.capabilities), style));
    };
    let (mut name, mut uri, mut to, mut task) = (None, None, None, None);
    let (mut given, mut meta, mut state) = (None, None, None);
    for (key, value) in params.members() {
        match key.as_str().as_deref() {
            Some("name") => name = Some(value),
            Some("uri") => uri = Some(value),
            Some("ref") => to = Some(value),
            Some("taskId") => task = Some(value),
            Some("arguments") => given = Some(value),
            Some("_meta") => meta = Some(value),
            Some("requestState") => state = Some(value),
            _ => {}
        }
    }
    let named = match differing.name {
        None => None,
        Some((at, new)) => {
            let found = match at {
                NameAt::Name => name,
                NameAt::Uri => uri,
                NameAt::RefName => to.and_then(|to| to.get("name")),
                NameAt::RefUri => to.and_then(|to| to.get("uri")),
                NameAt::TaskId => task,
            }?;
            (!found.is_str(new)).then(|| (found.span(), quote(new)))
        }
    };
    let new_state = differing.state.map(quote);
    let new_meta = meta_for(meta, id, differing, style);

    let mut added = Vec::new();
    if let Some((replies, state)) = differing.replies {
        added.extend_from_slice(b"\"inputResponses\":");
        added.extend_from_slice(replies);
        added.push(b',');
        if let Some(state) = state {
            added.extend_from_slice(b"\"requestState\":");
            added.extend_from_slice(state);
            added.push(b',');
        }
    }
    if let (None, Some(arguments)) = (given, arguments) {
        added.extend_from_slice(b"\"arguments\":");
        added.extend_from_slice(arguments);
        added.push(b',');
    }
    if let (None, Some(meta)) = (meta, &new_meta) {
        added.extend_from_slice(b"\"_meta\":");
        added.extend_from_slice(meta);
        added.push(b',');
    }
    let mut changes: Vec<(Range<usize>, &[u8])> = Vec::with_capacity(6);
    changes.push((id_at?, id.as_bytes()));
    if !added.is_empty() {
        if params.members().next().is_none() {
            added.pop();
        }
        let inside = params.span().start + 1;
        changes.push((inside..inside, &added));
    }
    if let Some((at, new)) = &named {
        changes.push((at.clone(), new.as_bytes()));
    }
    if let (Some(old), Some(new)) = (state, &new_state) {
        changes.push((old.span(), new.as_bytes()));
    }
    if let (Some(old), Some(new)) = (given, arguments) {
        changes.push((old.span(), new));
    }
    if let (Some(old), Some(new)) = (meta, &new_meta) {
        changes.push((old.span(), new));
    }
    changes.sort_by_key(|(at, _)| at.start);
    if style.lines {
        changes.push((text.len()..text.len(), b"\n"));
    }
    let mut out = frame::splice(text, &changes);
    if style.lines {
        let last = out.len().saturating_sub(1);
        one_line(out.get_mut(..last).unwrap_or_default());
    }
    Some(out)
}

/// A request that has no parameters of its own.
fn without_params(
    asked: &Request,
    id_at: Option<Range<usize>>,
    (id, capabilities): (&str, &[u8]),
    style: &Style,
) -> Vec<u8> {
    if style.envelope.is_some() || id_at.is_none() {
        return request(asked.method(), "", id, capabilities, style);
    }
    let text = asked.bytes();
    let end: &[u8] = if style.lines { b"\n" } else { b"" };
    let mut out = frame::splice(text, &[(id_at.unwrap_or_default(), id.as_bytes()), (text.len()..text.len(), end)]);
    let last = out.len() - end.len();
    if style.lines {
        one_line(out.get_mut(..last).unwrap_or_default());
    }
    out
}

/// A raw line break in JSON stands between tokens, where any space means the same.
fn one_line(mut rest: &mut [u8]) {
    while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
        let (_, found) = rest.split_at_mut(at);
        let Some((byte, after)) = found.split_first_mut() else { break };
        *byte = b' ';
        rest = after;
    }
}

/// The new `_meta`, or `None` where the one found (or none) is right as it is.
fn meta_for(found: Option<View<'_>>, id: &str, differing: &Differing<'_>, style: &Style) -> Option<Vec<u8>> {
    let modern = style.envelope.is_some();
    let is_ours = |key: &str| match key {
        PROTOCOL_VERSION | CLIENT_CAPABILITIES | CLIENT_INFO => true,
        LOG_LEVEL => !modern || differing.log_level.is_some(),
        PROGRESS_TOKEN => style.shared,
        _ => false,
    };
    let found = found.filter(|m| m.kind() == Kind::Object);
    let touched = found.is_some_and(|m| m.members().any(|(key, _)| key.as_str().is_some_and(|k| is_ours(&k))));
    if !touched && !modern {
        return None;
    }
    let mut out = Vec::with_capacity(found.map_or(0, |m| m.raw().len()) + 256);
    out.push(b'{');
    if let Some(envelope) = &style.envelope {
        out.extend_from_slice(&whole_envelope(envelope, differing.capabilities));
        if let Some(level) = differing.log_level {
            out.extend_from_slice(format!(",\"{LOG_LEVEL}\":\"{level}\"").as_bytes());
        }
    }
    for (key, value) in found.iter().flat_map(View::members) {
        let name = key.as_str();
        let ours = name.as_deref().is_some_and(is_ours);
        let token = ours && name.as_deref() == Some(PROGRESS_TOKEN);
        if ours && !token {
            continue;
        }
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(key.raw());
        out.push(b':');
        out.extend_from_slice(if token { id.as_bytes() } else { value.raw() });
    }
    out.push(b'}');
    Some(out)
}

/// The inside of `_meta` toward a modern server.
fn whole_envelope(envelope: &str, capabilities: &[u8]) -> Vec<u8> {
    let capabilities = if capabilities.is_empty() { b"{}" } else { capabilities };
    [envelope.as_bytes(), b",\"", CLIENT_CAPABILITIES.as_bytes(), b"\":", capabilities].concat()
}

/// A request of our own. `params` is the inside of an object.
pub(crate) fn request(method: &str, params: &str, id: &str, capabilities: &[u8], style: &Style) -> Vec<u8> {
    let (meta, comma) = match &style.envelope {
        Some(envelope) => {
            let envelope = whole_envelope(envelope, capabilities);
            (format!("\"_meta\":{{{}}}", String::from_utf8_lossy(&envelope)), if params.is_empty() { "" } else { "," })
        }
        None => (String::new(), ""),
    };
    let end = if style.lines { "\n" } else { "" };
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\",\"params\":{{{meta}{comma}{params}}}}}{end}")
        .into_bytes()
}

/// A notification of our own.
pub(crate) fn notification(method: &str, params: &str, style: &Style) -> Vec<u8> {
    let end = if style.lines { "\n" } else { "" };
    let params = if params.is_empty() { String::new() } else { format!(",\"params\":{{{params}}}") };
    format!("{{\"jsonrpc\":\"2.0\",\"method\":\"{method}\"{params}}}{end}").into_bytes()
}

/// That nobody waits for the answer to `id` any more.
pub(crate) fn cancelled(id: u64, reason: &str, style: &Style) -> Vec<u8> {
    notification("notifications/cancelled", &format!("\"requestId\":{id},\"reason\":{}", quote(reason)), style)
}

/// Our answer to a request of the server: `ping` is answered, anything else is not offered.
pub(crate) fn answer(request: &Request, lines: bool) -> Vec<u8> {
    let id = String::from_utf8_lossy(request.id().raw());
    let end = if lines { "\n" } else { "" };
    if request.method() == "ping" {
        format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{}}}}{end}").into_bytes()
    } else {
        format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":-32601,\"message\":\"not offered by this client\"}}}}{end}"
        )
        .into_bytes()
    }
}

/// The client's reply to a question: its result or error, under the server's id.
pub(crate) fn reply(id: &Id, response: &Response, lines: bool) -> Vec<u8> {
    let id_at = response.root().get("id").map(|theirs| theirs.span()).unwrap_or_default();
    let mut out = frame::splice(response.bytes(), &[(id_at, id.raw())]);
    if lines {
        one_line(&mut out);
        out.push(b'\n');
    }
    out
}

/// That a question has no reply. Source: MCP 2025-11-25, client/sampling, "Error Handling": -1 is for a person who
/// says no.
pub(crate) fn no_reply(id: &Id, why: &NoReply, lines: bool) -> Vec<u8> {
    let code = if why.code == Code::UnknownMethod { -32601 } else { -1 };
    let (id, message) = (String::from_utf8_lossy(id.raw()), quote(&why.reason));
    let end = if lines { "\n" } else { "" };
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":{code},\"message\":{message}}}}}{end}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use interlock_mcp::Frame;
    use interlock_model::json::{Json, Limits};
    use proptest::prelude::*;

    fn parse(text: &str) -> Request {
        match Frame::parse(Bytes::copy_from_slice(text.as_bytes()), Limits::REQUEST) {
            Ok(Frame::Request(r)) => r,
            other => panic!("{other:?}"),
        }
    }

    fn style(modern: bool, lines: bool) -> Style {
        Style { envelope: modern.then(|| envelope("{}").into()), lines, shared: !modern || lines }
    }

    fn spliced(text: &str, tool: &str, arguments: Option<&str>, style: &Style) -> String {
        String::from_utf8(call(&parse(text), &differing(tool, arguments), "42", style).unwrap()).unwrap()
    }

    fn differing<'a>(tool: &'a str, arguments: Option<&'a str>) -> Differing<'a> {
        Differing { name: Some((NameAt::Name, tool)), arguments: arguments.map(str::as_bytes), ..Differing::default() }
    }

    #[test]
    fn only_what_must_differ_differs() {
        let text = "{ \"extra\":1.10, \"id\" : \"a\", \"jsonrpc\":\"2.0\",\"method\":\"tools/call\",\"params\":{ \"name\" : \"s__t\" , \
                    \"arguments\": {\"n\":12345678901234567890123, \"f\": 1.10 ,\t\"u\":\"\\u00e9\"}, \"_meta\" : {\"traceparent\":\"00-1\"}, \"task\":{ } } }";
        let legacy = style(false, false);
        assert_eq!(spliced(text, "s__t", None, &legacy), text.replace("\"a\"", "42"));
        assert_eq!(spliced(text, "t", None, &legacy), text.replace("\"a\"", "42").replace("s__t", "t"));
        let replaced = spliced(text, "s__t", Some("{\"x\": 1}"), &legacy);
        assert!(
            replaced.contains("\"arguments\": {\"x\": 1}, \"_meta\" : {\"traceparent\":\"00-1\"}, \"task\":{ } }"),
            "{replaced}"
        );
        let modern = spliced(text, "s__t", None, &style(true, false));
        let unchanged = text.replace("\"a\"", "42");
        let (before, after) = unchanged.split_once("\"traceparent\"").unwrap();
        assert!(
            modern.starts_with(&format!("{before}\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"")),
            "{modern}"
        );
        assert!(modern.ends_with(&format!("\"traceparent\"{after}")), "{modern}");
    }

    #[test]
    fn protocol_members_follow_the_server_not_the_agent() {
        let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"sampling":{}},"io.modelcontextprotocol/clientInfo":{"name":"agent"},"io.modelcontextprotocol/logLevel":"debug","progressToken":"p","x/y":[1.0]}}}"#;
        let meta = |style: &Style| {
            let out = spliced(text, "t", None, style);
            let json = Json::parse(out.into_bytes(), Limits::REQUEST).unwrap();
            String::from_utf8(json.root().get("params").unwrap().get("_meta").unwrap().raw().to_vec()).unwrap()
        };
        assert_eq!(meta(&style(false, false)), r#"{"progressToken":42,"x/y":[1.0]}"#);
        assert_eq!(
            meta(&style(true, false)),
            r#"{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{},"io.modelcontextprotocol/clientCapabilities":{},"io.modelcontextprotocol/logLevel":"debug","progressToken":"p","x/y":[1.0]}"#
        );
    }

    #[test]
    fn members_are_added_where_there_are_none() {
        let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}"#;
        assert_eq!(spliced(text, "t", None, &style(false, false)), text.replace(":1,", ":42,"));
        let out = spliced(text, "t", Some("{}"), &style(true, false));
        assert!(
            out.contains(r#""params":{"arguments":{},"_meta":{"io.modelcontextprotocol/protocolVersion""#),
            "{out}"
        );
        assert!(parse(&out).param("name").unwrap().is_str("t"));
        let nameless = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}"#;
        assert_eq!(call(&parse(nameless), &differing("t", None), "42", &style(false, false)), None);
    }

    #[test]
    fn one_message_is_one_line_for_a_child() {
        let text = "{\"jsonrpc\":\"2.0\",\n\"id\":1,\r\n\"method\":\"tools/call\",\"params\":{\"name\":\"t\",\"arguments\":{\"a\":\"x\\ny\"\n}}}\n";
        let out = spliced(text, "t", None, &style(false, true));
        assert_eq!(out.matches('\n').count(), 1);
        assert_eq!(out.trim_end(), text.replace(['\n', '\r'], " ").replace("\"id\":1", "\"id\":42").trim_end());
    }

    proptest! {
        #[test]
        fn arguments_arrive_byte_for_byte(arguments in r#"\{( |"k[a-z]{0,3}": ?(1\.[0-9]0|[1-9][0-9]{0,30}|"[ -!#-\[\]-~]{0,9}"|true|\[ \]))?\}"#, modern: bool) {
            let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t","arguments":{arguments}}}}}"#);
            let out = spliced(&text, "t", None, &style(modern, false));
            let sent = parse(&out);
            prop_assert_eq!(sent.param("arguments").unwrap().raw(), arguments.as_bytes());
        }
    }
}
