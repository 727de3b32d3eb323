//! A server's answer as the client's revision spells it: the server's own bytes wherever nothing has to differ.
//!
//! Source: MCP 2026-07-28, basic ("Results"), server/utilities/caching; for the revisions before it, their server
//! features.

use bytes::Bytes;
use interlock_mcp::{Ask, Era, Id, Response, Revision, frame, namespace};
use interlock_model::ServerName;
use interlock_model::json::{Kind, View};
use std::ops::Range;

/// Member of a result's `_meta` that says what `enforcing` mode would have done.
const ADVICE_KEY: &str = "interlock/advisory";
/// Members of results that only the modern era has.
const MODERN: [&str; 3] = ["resultType", "ttlMs", "cacheScope"];

/// To whom an answer goes, and what of it differs.
pub(crate) struct Relay<'a> {
    pub(crate) id: &'a Id,
    pub(crate) revision: Revision,
    pub(crate) ask: Ask,
    /// What `enforcing` mode would have done: JSON.
    pub(crate) advice: Option<&'a str>,
    /// The server, where the client sees all servers through one endpoint: addresses of resources then name it.
    pub(crate) server: Option<&'a ServerName>,
    /// Takes the place of the server's `requestState`.
    pub(crate) state: Option<String>,
    /// Takes the place of the server's `taskId`.
    pub(crate) task: Option<String>,
}

type Changes = Vec<(Range<usize>, Vec<u8>)>;

impl Relay<'_> {
    /// The message for the client.
    pub(crate) fn message(&self, response: &Response) -> Bytes {
        let mut changes: Changes = Vec::with_capacity(3);
        if let Some(theirs) = response.root().get("id") {
            changes.push((theirs.span(), self.id.raw().to_vec()));
        }
        if let Some(result) = response.result() {
            self.dress(result, &mut changes);
        }
        if let Some(error) = response.error() {
            self.recode(error, &mut changes);
        }
        // What is put in at a place comes before what is cut there.
        changes.sort_by_key(|(span, _)| (span.start, span.end));
        let changes: Vec<_> = changes.iter().map(|(span, with)| (span.clone(), &with[..])).collect();
        frame::splice(response.bytes(), &changes).into()
    }

    fn dress(&self, result: View<'_>, changes: &mut Changes) {
        if result.kind() != Kind::Object {
            return;
        }
        let modern = self.revision.era() == Era::Modern;
        let mut added: Vec<String> = Vec::new();
        if modern {
            if result.get("resultType").is_none() {
                added.push("\"resultType\":\"complete\"".to_owned());
            }
            if matches!(self.ask, Ask::Read | Ask::List(_)) {
                if result.get("ttlMs").is_none() {
                    added.push("\"ttlMs\":0".to_owned());
                }
                // What policy lets one agent see is not for others, whatever the server said.
                match result.get("cacheScope") {
                    None => added.push("\"cacheScope\":\"private\"".to_owned()),
                    Some(scope) if scope.is_str("private") => {}
                    Some(scope) => changes.push((scope.span(), b"\"private\"".to_vec())),
                }
            }
        } else if MODERN.iter().any(|name| result.get(name).is_some()) {
            changes.extend(removals(result, &MODERN));
        }
        if let (Some(state), Some(theirs)) = (&self.state, result.get("requestState")) {
            changes.push((theirs.span(), interlock_mcp::answer::quote(state).into_bytes()));
        }
        if let (Some(task), Some(theirs)) = (&self.task, result.get("taskId")) {
            changes.push((theirs.span(), interlock_mcp::answer::quote(task).into_bytes()));
        }
        if let Some(server) = self.server {
            let exposed = |uri: String| interlock_mcp::answer::quote(&namespace::address(server, &uri)).into_bytes();
            changes.extend(namespace::addresses_in(result).into_iter().map(|(at, uri)| (at, exposed(uri))));
        }
        if let Some(advice) = self.advice {
            let member = format!("\"{ADVICE_KEY}\":{advice}");
            match result.get("_meta").filter(|m| m.kind() == Kind::Object) {
                Some(meta) => {
                    let comma = if meta.members().next().is_some() { "," } else { "" };
                    let at = meta.span().start + 1;
                    changes.push((at..at, format!("{member}{comma}").into_bytes()));
                }
                None => added.push(format!("\"_meta\":{{{member}}}")),
            }
        }
        if !added.is_empty() {
            let mut members = added.join(",").into_bytes();
            if result.members().any(|(key, _)| modern || !key.as_str().is_some_and(|k| MODERN.contains(&&*k))) {
                members.push(b',');
            }
            let at = result.span().start + 1;
            changes.push((at..at, members));
        }
    }

    /// A resource that is not there has another code in each era.
    fn recode(&self, error: View<'_>, changes: &mut Changes) {
        const NOT_FOUND: i64 = -32002;
        const INVALID: i64 = interlock_mcp::RpcError::INVALID_PARAMS as i64;
        let Some(code) = error.get("code") else { return };
        let about_uri = error.get("data").is_some_and(|data| data.get("uri").is_some());
        match (self.revision.era(), code.as_i64()) {
            (Era::Modern, Some(NOT_FOUND)) => changes.push((code.span(), INVALID.to_string().into_bytes())),
            (Era::Legacy, Some(INVALID)) if self.ask == Ask::Read && about_uri => {
                changes.push((code.span(), NOT_FOUND.to_string().into_bytes()));
            }
            _ => {}
        }
    }
}

/// What to cut so that `object` loses the members called `names`, commas and all.
fn removals(object: View<'_>, names: &[&str]) -> Changes {
    let members: Vec<(Range<usize>, bool)> = object
        .members()
        .map(|(key, value)| {
            let gone = key.as_str().is_some_and(|key| names.contains(&&*key));
            (key.span().start..value.span().end, gone)
        })
        .collect();
    let mut cuts = Changes::new();
    // The end of the last member that stays, so far.
    let mut kept: Option<usize> = None;
    let mut iter = members.iter().peekable();
    while let Some((span, gone)) = iter.next() {
        if !gone {
            kept = Some(span.end);
            continue;
        }
        match (kept, iter.peek()) {
            // From the end of what stays before it, with the comma between.
            (Some(end), _) => {
                cuts.push((end..span.end, Vec::new()));
                kept = Some(span.end);
            }
            (None, Some((next, _))) => cuts.push((span.start..next.start, Vec::new())),
            (None, None) => cuts.push((span.clone(), Vec::new())),
        }
    }
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_mcp::{Frame, Listed};
    use interlock_model::json::{Json, Limits};

    fn response(text: &str) -> Response {
        match Frame::parse(Bytes::copy_from_slice(text.as_bytes()), Limits::RESULT) {
            Ok(Frame::Response(response)) => response,
            other => panic!("{other:?}"),
        }
    }

    fn relayed(member: &str, revision: Revision, ask: Ask) -> String {
        let id = Id::number(7);
        let relay = Relay { id: &id, revision, ask, advice: None, server: None, state: None, task: None };
        let message = relay.message(&response(&format!(r#"{{"jsonrpc":"2.0","id":1,{member}}}"#)));
        Json::parse(message.clone(), Limits::RESULT).unwrap();
        String::from_utf8(message.to_vec()).unwrap()
    }

    #[test]
    fn what_each_era_requires_of_a_result() {
        let lists = Ask::List(Listed::Prompts);
        for (member, revision, ask, expected) in [
            (r#""result":{ "a":1.0 }"#, Revision::V2025_11_25, Ask::Call, r#""result":{ "a":1.0 }"#),
            (r#""result":{"a":1}"#, Revision::V2026_07_28, Ask::Call, r#""result":{"resultType":"complete","a":1}"#),
            (r#""result":{}"#, Revision::V2026_07_28, Ask::Call, r#""result":{"resultType":"complete"}"#),
            (
                r#""result":{"resultType":"complete","ttlMs":5,"cacheScope":"public"}"#,
                Revision::V2026_07_28,
                Ask::Read,
                r#""result":{"resultType":"complete","ttlMs":5,"cacheScope":"private"}"#,
            ),
            (
                r#""result":{"prompts":[]}"#,
                Revision::V2026_07_28,
                lists,
                r#""result":{"resultType":"complete","ttlMs":0,"cacheScope":"private","prompts":[]}"#,
            ),
            (
                r#""result":{"resultType":"complete","a":1,"ttlMs":5,"cacheScope":"public"}"#,
                Revision::V2025_11_25,
                Ask::Read,
                r#""result":{"a":1}"#,
            ),
            (r#""result":{"ttlMs":5,"resultType":"complete"}"#, Revision::V2025_11_25, Ask::Read, r#""result":{}"#),
            (r#""result":{"a":1,"ttlMs":5,"b":2}"#, Revision::V2025_11_25, Ask::Read, r#""result":{"a":1,"b":2}"#),
            (
                r#""error":{"code":-32002,"message":"x"}"#,
                Revision::V2026_07_28,
                Ask::Read,
                r#""error":{"code":-32602,"message":"x"}"#,
            ),
            (
                r#""error":{"code":-32602,"message":"x","data":{"uri":"a:b"}}"#,
                Revision::V2025_06_18,
                Ask::Read,
                r#""error":{"code":-32002,"message":"x","data":{"uri":"a:b"}}"#,
            ),
        ] {
            assert_eq!(relayed(member, revision, ask), format!(r#"{{"jsonrpc":"2.0","id":7,{expected}}}"#));
        }
    }

    #[test]
    fn addresses_and_states_are_those_of_the_gateway() {
        let id = Id::number(7);
        let server = "files".parse().unwrap();
        let relay = Relay {
            id: &id,
            revision: Revision::V2026_07_28,
            ask: Ask::Read,
            advice: Some("1"),
            server: Some(&server),
            state: Some("sealed".to_owned()),
            task: None,
        };
        let theirs = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","requestState":"s","ttlMs":1,"cacheScope":"private","contents":[{"uri":"a:b"}],"_meta":{}}}"#;
        let expected = r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"input_required","requestState":"sealed","ttlMs":1,"cacheScope":"private","contents":[{"uri":"files+a:b"}],"_meta":{"interlock/advisory":1}}}"#;
        assert_eq!(relay.message(&response(theirs)), expected);
    }
}
