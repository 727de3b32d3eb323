//! What the result of a list must carry for a modern client, spliced into the bytes that the engine gave.
//!
//! 2026-07-28: every result has `resultType`; results of lists say how long they may be cached. A list
//! filtered by who asks is private and may change at any moment, so it is never kept.

use bytes::Bytes;
use interlock_mcp::frame::splice;
use interlock_model::json::{Json, Kind, Limits, View};

const RESULT_TYPE: (&str, &str) = ("resultType", r#""complete""#);
const LIST: [(&str, &str); 3] = [RESULT_TYPE, ("ttlMs", "0"), ("cacheScope", r#""private""#)];

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
