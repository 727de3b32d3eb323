//! What a modern result must carry, spliced into the bytes that the engine gave.
//!
//! 2026-07-28: every result has `resultType`; results of lists say how long they may be cached. A list
//! filtered by who asks is private and may change at any moment, so it is never kept.

use bytes::Bytes;
use interlock_mcp::{Id, frame::splice};
use interlock_model::json::{Json, Kind, Limits, View};
use memchr::memmem;

const RESULT_TYPE: (&str, &str) = ("resultType", r#""complete""#);
const LIST: [(&str, &str); 3] = [RESULT_TYPE, ("ttlMs", "0"), ("cacheScope", r#""private""#)];

/// A response as it goes to a modern client.
pub(crate) struct Stamped {
    pub(crate) message: Bytes,
    /// The JSON-RPC code, where it is an error.
    pub(crate) error: Option<i64>,
}

/// A whole response to a modern client: its result says what kind it is.
///
/// The engine writes its envelopes in one way, so that the result's opening brace is found without
/// walking the text; only where the member's name (or an escape that could hide it) occurs anywhere is
/// the text walked.
pub(crate) fn response(id: &Id, message: Bytes) -> Stamped {
    const HEAD: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":";
    const RESULT: &[u8] = b",\"result\":{";
    let rest = message.strip_prefix(HEAD).and_then(|rest| rest.strip_prefix(id.raw()));
    if let Some(inside) = rest.and_then(|rest| rest.strip_prefix(RESULT))
        && memmem::find(inside, b"resultType").is_none()
        && memmem::find(inside, b"\\u").is_none()
    {
        let at = message.len() - inside.len();
        let empty = inside.trim_ascii_start().starts_with(b"}");
        let message = splice(&message, &[(at..at, &members(&[RESULT_TYPE], empty))]).into();
        return Stamped { message, error: None };
    }
    let Ok(json) = Json::parse(message.as_ref(), Limits::RESULT) else { return Stamped { message, error: None } };
    let error = json.root().get("error").and_then(|error| error.get("code")).and_then(|code| code.as_i64());
    let message = match json.root().get("result").and_then(|result| missing(result, &[RESULT_TYPE])) {
        Some((at, added)) => splice(&message, &[(at..at, &added)]).into(),
        None => message,
    };
    Stamped { message, error }
}

/// The result of a list to a modern client.
pub(crate) fn list(result: Bytes) -> Bytes {
    let Ok(json) = Json::parse(result.as_ref(), Limits::RESULT) else { return result };
    match missing(json.root(), &LIST) {
        Some((at, added)) => splice(&result, &[(at..at, &added)]).into(),
        None => result,
    }
}

/// Where in the text to add which members, if `object` lacks any of `wanted`.
fn missing(object: View<'_>, wanted: &[(&str, &str)]) -> Option<(usize, Vec<u8>)> {
    if object.kind() != Kind::Object {
        return None;
    }
    let lacks: Vec<_> = wanted.iter().copied().filter(|(name, _)| object.get(name).is_none()).collect();
    let empty = object.members().next().is_none();
    (!lacks.is_empty()).then(|| (object.span().start + 1, members(&lacks, empty)))
}

fn members(added: &[(&str, &str)], last: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    for (i, (name, value)) in added.iter().enumerate() {
        out.push(b'"');
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        out.extend_from_slice(value.as_bytes());
        if !last || i + 1 < added.len() {
            out.push(b',');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_stamped_once() {
        let head = r#"{"jsonrpc":"2.0","id":1,"#;
        for (message, expected) in [
            (r#""result":{"a":1}}"#, r#""result":{"resultType":"complete","a":1}}"#),
            (r#""result":{}}"#, r#""result":{"resultType":"complete"}}"#),
            (r#""result":{ }}"#, r#""result":{"resultType":"complete" }}"#),
            (r#""result":{"resultType":"input_required"}}"#, r#""result":{"resultType":"input_required"}}"#),
            (r#""result":{"\u0072esultType":"x"}}"#, r#""result":{"\u0072esultType":"x"}}"#),
            (r#""result":{"a":{"resultType":1}}}"#, r#""result":{"resultType":"complete","a":{"resultType":1}}}"#),
            (r#" "result": {"a":"\u00e4"}}"#, r#" "result": {"resultType":"complete","a":"\u00e4"}}"#),
            (r#""error":{"code":1}}"#, r#""error":{"code":1}}"#),
        ] {
            let stamped = response(&Id::number(1), Bytes::from(format!("{head}{message}"))).message;
            assert_eq!(stamped, format!("{head}{expected}"), "{message}");
        }
    }

    #[test]
    fn another_spelling_of_the_envelope_is_walked() {
        let stamped = response(&Id::number(1), Bytes::from_static(br#"{"result":{"a":1},"id":1,"jsonrpc":"2.0"}"#));
        assert_eq!(stamped.error, None);
        assert_eq!(stamped.message, r#"{"result":{"resultType":"complete","a":1},"id":1,"jsonrpc":"2.0"}"#);
    }

    #[test]
    fn errors_keep_their_bytes_and_say_their_code() {
        let message = Bytes::from_static(br#"{"jsonrpc":"2.0","id":1,"error":{"message":"x","code":-32021}}"#);
        let stamped = response(&Id::number(1), message.clone());
        assert_eq!((stamped.message, stamped.error), (message, Some(-32021)));
    }

    #[test]
    fn lists_say_that_they_are_private_and_not_kept() {
        for (result, expected) in [
            (r#"{"tools":[]}"#, r#"{"resultType":"complete","ttlMs":0,"cacheScope":"private","tools":[]}"#),
            (r#"{"ttlMs":5}"#, r#"{"resultType":"complete","cacheScope":"private","ttlMs":5}"#),
            ("{}", r#"{"resultType":"complete","ttlMs":0,"cacheScope":"private"}"#),
        ] {
            assert_eq!(list(Bytes::from_static(result.as_bytes())), expected);
        }
    }
}
