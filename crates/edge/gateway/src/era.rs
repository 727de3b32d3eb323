//! Which era a message belongs to, and the errors that every front answers alike.
//!
//! Source: MCP 2026-07-28, basic/versioning; before it, a request without a version is 2025-03-26.

use interlock_engine::front::{Endpoint, Governed, NotIdentified};
use interlock_mcp::{Ask, Era, FrameError, Listed, Offers, Revision, RpcError, answer::quote};
use interlock_model::Code;
use interlock_model::json::{Fault, JsonError, View};

/// The member of `_meta` that says the revision; its presence alone makes a message modern.
pub(crate) const META_REVISION: &str = "io.modelcontextprotocol/protocolVersion";

/// What the message's own envelope claims: the value of [`META_REVISION`], if it is there at all.
pub(crate) fn claimed(params: Option<View<'_>>) -> Option<View<'_>> {
    params?.get("_meta")?.get(META_REVISION)
}

/// The era of a message, given its transport's version header, where the transport has one.
///
/// # Errors
///
/// -32022 where the header names a revision nobody here speaks and the message does not say more.
pub(crate) fn classify(header: Option<&str>, params: Option<View<'_>>) -> Result<Era, RpcError> {
    if claimed(params).is_some() {
        return Ok(Era::Modern);
    }
    match header.map(str::parse::<Revision>) {
        None => Ok(Era::Legacy),
        Some(Ok(revision)) => Ok(revision.era()),
        Some(Err(_)) => Err(unsupported(header.unwrap_or_default(), &Revision::ALL[1..])),
    }
}

/// Whether some server behind the endpoint has what is asked for. Tools there always are: the gateway lists them.
pub(crate) fn is_served<G: Governed>(governed: &G, endpoint: &Endpoint, ask: Ask) -> bool {
    match ask {
        Ask::Call | Ask::List(Listed::Tools) => true,
        Ask::Read | Ask::List(Listed::Resources | Listed::Templates) => governed.offers(endpoint).resources,
        Ask::Subscribe | Ask::Unsubscribe => governed.offers(endpoint).subscribe,
        Ask::Prompt | Ask::List(Listed::Prompts) => governed.offers(endpoint).prompts,
        Ask::Complete => governed.offers(endpoint).completions,
        Ask::Task(_) => governed.offers(endpoint).tasks,
    }
}

/// The inside of `capabilities`, as both eras spell it.
pub(crate) fn capabilities(offers: Offers) -> String {
    let mut out = r#""tools":{"listChanged":true}"#.to_owned();
    if offers.prompts {
        out.push_str(&format!(r#","prompts":{{"listChanged":{}}}"#, offers.prompts_changed));
    }
    if offers.resources {
        let (subscribe, changed) = (offers.subscribe, offers.resources_changed);
        out.push_str(&format!(r#","resources":{{"subscribe":{subscribe},"listChanged":{changed}}}"#));
    }
    if offers.completions {
        out.push_str(r#","completions":{}"#);
    }
    if offers.logging {
        out.push_str(r#","logging":{}"#);
    }
    out
}

/// -32022 with what is served and what was asked for.
pub(crate) fn unsupported(requested: &str, supported: &[Revision]) -> RpcError {
    let supported = supported.iter().map(|r| quote(r.as_str())).collect::<Vec<_>>().join(",");
    RpcError {
        data: format!(r#""supported":[{supported}],"requested":{}"#, quote(requested)),
        ..RpcError::new(
            RpcError::UNSUPPORTED_REVISION,
            Code::UnsupportedRevision,
            "this protocol revision is not served here",
        )
    }
}

/// What to answer to bytes that are no message. The id is not known then.
pub(crate) fn unreadable(error: FrameError) -> RpcError {
    let (rpc_code, code) = match error {
        FrameError::Json(JsonError { fault, .. }) => (
            RpcError::PARSE,
            match fault {
                Fault::Grammar | Fault::Truncated | Fault::Utf8 | Fault::LoneSurrogate => Code::Malformed,
                Fault::Duplicate => Code::DuplicateMember,
                Fault::Depth => Code::TooDeep,
                Fault::Size => Code::TooLarge,
            },
        ),
        FrameError::CaseVariant => (RpcError::INVALID_REQUEST, Code::DuplicateMember),
        FrameError::Batch | FrameError::Form | FrameError::Id => (RpcError::INVALID_REQUEST, Code::Malformed),
    };
    RpcError::new(rpc_code, code, error.to_string())
}

/// What to answer to a message over the limit of `limit` bytes.
pub(crate) fn too_large(limit: usize) -> RpcError {
    RpcError::new(
        RpcError::INVALID_REQUEST,
        Code::TooLarge,
        format!("the message is larger than `limits.message_bytes` ({limit})"),
    )
}

/// What to answer to a request with more headers than `limit`.
pub(crate) fn too_many_headers(limit: usize) -> RpcError {
    RpcError::new(RpcError::INVALID_REQUEST, Code::TooLarge, format!("the request has more than {limit} headers"))
}

/// What to answer to a caller who cannot be named or may not ask.
pub(crate) fn not_identified(refusal: NotIdentified) -> RpcError {
    RpcError::new(RpcError::INVALID_REQUEST, refusal.code, refusal.code.meaning())
}

/// What to answer to a method that is not served.
pub(crate) fn unknown_method(method: &str) -> RpcError {
    // A method's name is the sender's text: a long one is cut, so that the answer stays small.
    let shown: String = method.chars().take(128).collect();
    RpcError::new(RpcError::METHOD_NOT_FOUND, Code::UnknownMethod, format!("the method `{shown}` is not served here"))
}

/// What to answer where more is under way than may be.
pub(crate) fn overloaded() -> RpcError {
    RpcError::new(RpcError::INTERNAL, Code::Overloaded, "too many calls at once; try again a little later")
}

/// What to answer to an endpoint that does not exist.
pub(crate) fn no_such_endpoint() -> RpcError {
    RpcError::new(RpcError::INVALID_REQUEST, Code::ServerUnavailable, "no server of this name is configured")
}

#[cfg(test)]
mod tests {
    use super::*;
    use interlock_model::json::{Json, Limits};

    #[test]
    fn the_era_of_a_message() {
        let modern = r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;
        let odd = r#"{"_meta":{"io.modelcontextprotocol/protocolVersion":1}}"#;
        for (header, params, expected) in [
            (None, "{}", Some(Era::Legacy)),
            (Some("2025-03-26"), "{}", Some(Era::Legacy)),
            (Some("2025-11-25"), "{}", Some(Era::Legacy)),
            (Some("2026-07-28"), "{}", Some(Era::Modern)),
            (Some("2027-01-01"), "{}", None),
            (Some(""), "{}", None),
            (None, modern, Some(Era::Modern)),
            (Some("2025-11-25"), modern, Some(Era::Modern)),
            (Some("2027-01-01"), modern, Some(Era::Modern)),
            (None, odd, Some(Era::Modern)),
        ] {
            let json = Json::parse(params, Limits::REQUEST).unwrap();
            assert_eq!(classify(header, Some(json.root())).ok(), expected, "{header:?} {params}");
        }
    }
}
